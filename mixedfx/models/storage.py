"""Save a fit as JSON and arrays, and load it without executing anything from the file.

A file is a zip of ``.npy`` members, which ``numpy.load`` can look into: ``head`` (JSON as bytes), ``data/…`` and
``fit/…`` (arrays) and ``checksum`` (SHA-256 of all of them).
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from mixedfx._typing import AnyArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.models.inputs import ModelInputs
from mixedfx.results.many_files import replacing

if TYPE_CHECKING:
    from mixedfx.models.sums import SumsInputs
    from mixedfx.scale import CrossProducts

__all__ = ["load", "load_cross_products", "read_parts", "register", "write", "write_parts", "write_sums"]

FORMAT = 2
AGREEMENT = 1e-9  # relative difference of the log-likelihood above which a rebuilt fit is refused
SMALL = 1 << 26  # bytes that a file may always grow to in memory …
LARGEST_RATIO = 200  # … beyond them, no more than so many times its own size
PLAIN = "fiub"  # kinds of arrays that are kept
HEAD, CHECKSUM = "head", "checksum"
DAMAGED = (  # errors of reading a file of another kind, or half a file
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, MemoryError),
    *(KeyError, ValueError, TypeError, AttributeError),
)

# Modules of this room, each named after the fits that its model makes.
OWN = ("errors_in_variables", "generalized", "hierarchical", "linear", "partitioned")
_MODELS: dict[str, type[Any]] = {}

SUMS = "sums"  # the kind of file that holds sums over rows


def register(kind: str, model: type[Any]) -> None:
    """Declare the model whose ``restored`` rebuilds fits of this kind (:attr:`~mixedfx.fitting.Fit.kind`)."""
    _MODELS[kind] = model


def write(
    path: str | Path,
    kind: str,
    inputs: ModelInputs | SumsInputs | None,
    state: Mapping[str, Any],
    arrays: Mapping[str, AnyArray],
    llf: float,
) -> None:
    """Write a fit: its inputs and the numbers that fix the estimate.

    The file is written beside ``path`` and renamed when it is whole: what was there before is never half lost.

    Raises
    ------
    SpecificationError
        If the fit has no data of its own, or was built from something that cannot be saved without saving code.
    DataError
        If the file cannot be written.
    """
    if inputs is None:
        raise SpecificationError("a refit has no data of its own to save: fit the model to a frame with the response")
    parts, data = inputs.to_parts()
    write_parts(path, {"kind": kind, "inputs": parts, "state": dict(state), "llf": llf}, data, arrays)


def write_parts(
    path: str | Path, head: Mapping[str, Any], data: Mapping[str, AnyArray], arrays: Mapping[str, AnyArray]
) -> None:
    """Write values that JSON has and arrays, with their checksum.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    text = json.dumps({"format": FORMAT, **head})
    named: dict[str, AnyArray] = {HEAD: np.frombuffer(text.encode(), dtype=np.uint8)}
    named |= {f"data/{key}": np.ascontiguousarray(value) for key, value in data.items()}
    named |= {f"fit/{key}": np.ascontiguousarray(value) for key, value in arrays.items()}
    named[CHECKSUM] = _checksum(named)
    with replacing(Path(path)) as beside, beside.open("r+b") as file:
        _pack(file, named)


def load(path: str | Path) -> Any:
    """Load a fit saved with ``fit.save(path)``.

    The model is rebuilt from the stored data and evaluated at the stored estimate; nothing in the file is executed.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    LinearMixedResults or GeneralizedLinearMixedResults

    Raises
    ------
    DataError
        If there is no such file, it is not a saved fit or of another format, its checksum does not fit its content,
        it would grow beyond measure in memory, or it gives another log-likelihood than when it was saved.

    Examples
    --------
    >>> import mixedfx as mfx, tempfile, pathlib
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "sleep.mfx"
    >>> fit.save(path)
    >>> mfx.load(path).llf == fit.llf
    True
    """
    head, stored = read_parts(path)
    return _rebuilt(path, head["kind"], head, stored)


def read_parts(path: str | Path) -> tuple[dict[str, Any], dict[str, AnyArray]]:
    """Return the values and the arrays of a file of :func:`write_parts`, whose checksum is right.

    Raises
    ------
    DataError
        If there is no such file, or it is not one of these.
    """
    place = Path(path)
    if not place.is_file():
        raise DataError(f"there is no file {str(path)!r}")
    try:
        stored = _unpack(place)
        head = json.loads(stored[HEAD].tobytes().decode())
        written, _ = head["format"], head["kind"]
    except DataError:
        raise
    except DAMAGED as error:
        raise DataError(f"{path} is not a fit saved by mixedfx, or it is damaged") from error
    if written != FORMAT:
        raise DataError(f"{path} has format {written!r}; this version of mixedfx reads format {FORMAT}: fit it again")
    if not np.array_equal(stored.get(CHECKSUM, np.zeros(0)), _checksum(stored)):
        raise DataError(f"{path} is damaged or was changed: its checksum does not fit its content")
    return head, stored


def _rebuilt(path: str | Path, kind: str, head: Mapping[str, Any], stored: Mapping[str, AnyArray]) -> Any:
    if kind == SUMS:
        raise DataError(f"{path} holds sums over rows, not a fit: read it with mfx.load_cross_products")
    data = {key.removeprefix("data/"): value for key, value in stored.items() if key.startswith("data/")}
    arrays = {key.removeprefix("fit/"): value for key, value in stored.items() if key.startswith("fit/")}
    try:
        formula, given, options = _inputs(head["inputs"], data).arguments
        fit = _model(kind)(formula, given, **options).restored(head["state"], arrays)
        llf, before = float(fit.llf), float(head["llf"])
    except Exception as error:  # a changed description may lead to any error
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(f"{path} describes a fit that cannot be rebuilt ({reason})") from error
    if llf != before and not abs(llf - before) <= AGREEMENT * max(1.0, abs(before)):
        raise DataError(f"{path} holds a {kind} fit whose log-likelihood was {before:.8g}; rebuilt it is {llf:.8g}")
    return fit


def _model(kind: str) -> type[Any]:
    if kind in OWN:
        import_module(f"mixedfx.models.{kind}")
    return _MODELS[kind]


def _inputs(parts: Mapping[str, Any], data: Mapping[str, AnyArray]) -> ModelInputs | SumsInputs:
    if SUMS not in parts:
        return ModelInputs.from_parts(parts, data)
    from mixedfx.models.sums import SumsInputs

    return SumsInputs.from_parts(parts, data)


def write_sums(path: str | Path, sums: CrossProducts) -> None:
    """Write sums over rows; ``save`` of :class:`mixedfx.CrossProducts` calls it."""
    from mixedfx.models.sums import sums_parts

    parts, arrays = sums_parts(sums)
    write_parts(path, {"kind": SUMS, "sums": parts}, arrays, {})


def load_cross_products(path: str | Path) -> CrossProducts:
    """Load sums over rows that were saved with ``stats.save(path)``; nothing in the file is executed.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    CrossProducts

    Raises
    ------
    DataError
        If there is no such file, it does not hold sums over rows, or its checksum does not fit its content.

    Examples
    --------
    >>> import mixedfx as mfx, tempfile, pathlib
    >>> stats = mfx.cross_products(mfx.load_dataset("sleepstudy"), "Reaction ~ Days + (Days | Subject)")
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "sleep.sums"
    >>> stats.save(path)
    >>> mfx.load_cross_products(path).n_rows
    180
    """
    from mixedfx.models.sums import sums_of_parts

    head, stored = read_parts(path)
    if head["kind"] != SUMS:
        raise DataError(f"{path} holds a fit, not sums over rows: read it with mfx.load")
    data = {key.removeprefix("data/"): value for key, value in stored.items() if key.startswith("data/")}
    try:
        return sums_of_parts(head["sums"], data)
    except Exception as error:  # a changed description may lead to any error
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(f"{path} describes sums that cannot be rebuilt ({reason})") from error


def _pack(file: BinaryIO, named: Mapping[str, AnyArray]) -> None:
    """Write the members compressed, or plain where they shrink so much that :func:`_unpack` would refuse them."""
    total = sum(values.nbytes for values in named.values())
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        file.seek(0)
        file.truncate()
        with zipfile.ZipFile(file, "w", compression) as archive:
            for name, values in named.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, values, allow_pickle=False)
        if total <= max(SMALL, LARGEST_RATIO // 2 * file.tell()):
            return


def _unpack(path: Path) -> dict[str, AnyArray]:
    """Read the members that a saved fit has, and no others, if the memory they ask for is plausible."""
    members = {}
    with zipfile.ZipFile(path) as archive:
        grown, size = sum(member.file_size for member in archive.infolist()), path.stat().st_size
        if grown > max(SMALL, LARGEST_RATIO * size):
            raise DataError(
                f"{path} would take {grown / 1e6:.0f} MB of memory, {grown / size:.0f} times its own size, "
                "which no saved fit does"
            )
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name not in (HEAD, CHECKSUM) and not name.startswith(("data/", "fit/")):
                raise ValueError(f"unknown member {name}")
            members[name] = _array(archive.read(member))
    return members


def _array(content: bytes) -> AnyArray:
    """Return the array of an ``.npy`` member, whose header must fit the bytes that are there."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, fortran, dtype = read(file)
    if dtype.kind not in PLAIN or (fortran and len(shape) > 1):
        raise ValueError(f"an array of {dtype}")
    left = len(content) - file.tell()
    if math.prod(shape) * dtype.itemsize != left or any(size < 0 for size in shape):
        raise ValueError("the size of an array does not fit its header")
    return np.frombuffer(content, dtype=dtype, offset=file.tell()).reshape(shape).copy()


def _checksum(named: Mapping[str, AnyArray]) -> AnyArray:
    """SHA-256 (32,) of the names, types, shapes and bytes of all members but the checksum itself."""
    digest = hashlib.sha256()
    for name in sorted(set(named) - {CHECKSUM}):
        values = named[name]
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(np.ascontiguousarray(values).data)
    return np.frombuffer(digest.digest(), dtype=np.uint8)
