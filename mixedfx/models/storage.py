"""Save a fit as JSON and arrays, and load it without executing anything from the file.

A file is a zip of ``.npy`` members, which ``numpy.load`` can look into: ``head`` (JSON as bytes), ``data/…`` and
``fit/…`` (arrays) and ``checksum`` (SHA-256 of all of them).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mixedfx._typing import AnyArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.models.inputs import ModelInputs

__all__ = ["load", "register", "write"]

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

OWN = ("generalized", "linear")  # modules of this room, each named after the fits that its model makes
_MODELS: dict[str, type[Any]] = {}


def register(kind: str, model: type[Any]) -> None:
    """Declare the model whose ``restored`` rebuilds fits of this kind (:attr:`~mixedfx.fitting.Fit.kind`)."""
    _MODELS[kind] = model


def write(
    path: str | Path,
    kind: str,
    inputs: ModelInputs | None,
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
    head = {"format": FORMAT, "kind": kind, "inputs": parts, "state": dict(state), "llf": llf}
    named: dict[str, AnyArray] = {HEAD: np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)}
    named |= {f"data/{key}": np.ascontiguousarray(value) for key, value in data.items()}
    named |= {f"fit/{key}": np.ascontiguousarray(value) for key, value in arrays.items()}
    named[CHECKSUM] = _checksum(named)
    try:
        with _replacing(Path(path)) as file:
            _pack(file, named)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}); what stood there before is unchanged"
        ) from error


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
    place = Path(path)
    if not place.is_file():
        raise DataError(f"there is no file {str(path)!r}")
    try:
        stored = _unpack(place)
        head = json.loads(stored[HEAD].tobytes().decode())
        written = head["format"]
        kind = head["kind"]
    except DataError:
        raise
    except DAMAGED as error:
        raise DataError(f"{path} is not a fit saved by mixedfx, or it is damaged") from error
    if written != FORMAT:
        raise DataError(f"{path} has format {written!r}; this version of mixedfx reads format {FORMAT}: fit it again")
    if not np.array_equal(stored.get(CHECKSUM, np.zeros(0)), _checksum(stored)):
        raise DataError(f"{path} is damaged or was changed: its checksum does not fit its content")
    return _rebuilt(path, kind, head, stored)


def _rebuilt(path: str | Path, kind: str, head: Mapping[str, Any], stored: Mapping[str, AnyArray]) -> Any:
    data = {key.removeprefix("data/"): value for key, value in stored.items() if key.startswith("data/")}
    arrays = {key.removeprefix("fit/"): value for key, value in stored.items() if key.startswith("fit/")}
    try:
        inputs = ModelInputs.from_parts(head["inputs"], data)
        fit = _model(kind)(inputs.formula, inputs.frame, **inputs.options).restored(head["state"], arrays)
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


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file beside ``path`` that takes its place once it is whole and on the disk, and vanishes otherwise."""
    beside = path.parent / f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


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
