"""Save a fit as JSON and arrays, and load it without executing anything from the file."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mixedfx._typing import AnyArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.models.inputs import ModelInputs

__all__ = ["load", "register", "write"]

FORMAT = 1
AGREEMENT = 1e-9  # relative difference of the log-likelihood above which a rebuilt fit is refused

_RESTORE: dict[str, Callable[[ModelInputs, Mapping[str, Any], Mapping[str, AnyArray]], Any]] = {}


def register(kind: str, restore: Callable[[ModelInputs, Mapping[str, Any], Mapping[str, AnyArray]], Any]) -> None:
    """Declare how fits of one kind are rebuilt from their inputs, state and arrays."""
    _RESTORE[kind] = restore


def write(
    path: str | Path,
    kind: str,
    inputs: ModelInputs | None,
    state: Mapping[str, Any],
    arrays: Mapping[str, AnyArray],
    llf: float,
) -> None:
    """Write a fit: its inputs and the numbers that fix the estimate."""
    if inputs is None:
        raise SpecificationError("a refit has no data of its own to save: fit the model to a frame with the response")
    parts, data = inputs.to_parts()
    head = {"format": FORMAT, "kind": kind, "inputs": parts, "state": dict(state), "llf": llf}
    text = np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)
    named: dict[str, Any] = {"head": text}
    named |= {f"data/{key}": value for key, value in data.items()}
    named |= {f"fit/{key}": value for key, value in arrays.items()}
    with Path(path).open("wb") as file:
        np.savez_compressed(file, **named)


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
        If the file is not such a fit, or gives another log-likelihood than when it was saved.

    Examples
    --------
    >>> import mixedfx as mfx, tempfile, pathlib
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "sleep.mfx"
    >>> fit.save(path)
    >>> mfx.load(path).llf == fit.llf
    True
    """
    try:
        with np.load(Path(path), allow_pickle=False) as file:
            stored = {key: file[key] for key in file.files}
        head = json.loads(stored["head"].tobytes().decode())
        kind, restore = head["kind"], _RESTORE[head["kind"]]
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise DataError(f"{path} is not a fit saved by mixedfx") from error
    data = {key.removeprefix("data/"): value for key, value in stored.items() if key.startswith("data/")}
    arrays = {key.removeprefix("fit/"): value for key, value in stored.items() if key.startswith("fit/")}
    fit = restore(ModelInputs.from_parts(head["inputs"], data), head["state"], arrays)
    if not abs(fit.llf - head["llf"]) <= AGREEMENT * max(1.0, abs(head["llf"])):
        raise DataError(
            f"{path} holds a {kind} whose log-likelihood was {head['llf']:.8g}; rebuilt it is {fit.llf:.8g}"
        )
    return fit
