"""Errors of saving and loading."""

import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import mixedfx as mfx
from mixedfx.models.storage import _checksum
from tests.messages.helpers import Case
from tests.messages.results import fit

D, S = mfx.DataError, mfx.SpecificationError


@cache
def saved() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.mfx"
        fit().save(path)
        return path.read_bytes()


def loaded(content: bytes | None) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.mfx"
        if content is not None:
            path.write_bytes(content)
        return mfx.load(path)


def changed(change: Callable[[dict[str, Any]], Any], seal: bool = True) -> Any:
    """Load a file whose description was changed, with a checksum that fits or not."""
    with np.load(io.BytesIO(saved())) as file:
        named = {name: file[name] for name in file.files}
    head = json.loads(named["head"].tobytes())
    change(head)
    named["head"] = np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)
    named["checksum"] = _checksum(named) if seal else named["checksum"]
    buffer = io.BytesIO()
    np.savez(buffer, **named)
    return loaded(buffer.getvalue())


def bomb() -> Any:
    buffer = io.BytesIO(saved())
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data/zeros.npy", bytes(100 << 20))
    return loaded(buffer.getvalue())


CASES: dict[str, Case] = {
    "no such file": (lambda: loaded(None), D, ("no file", "model.mfx")),
    "no folder to write to": (lambda: fit().save("no/such/folder/model.mfx"), D, ("cannot be written", "unchanged")),
    "something else": (lambda: loaded(b"nothing"), D, ("model.mfx", "not a fit saved by mixedfx")),
    "another format": (lambda: changed(lambda head: head.update(format=99)), D, ("format 99", "reads format")),
    "a changed file": (lambda: changed(lambda head: head.update(llf=0.0), seal=False), D, ("checksum",)),
    "an impossible description": (
        lambda: changed(lambda head: head["inputs"].update(formula="y ~ nope + (1 | g)")),
        D,
        ("cannot be rebuilt", "nope"),
    ),
    "another log-likelihood": (lambda: changed(lambda head: head.update(llf=0.0)), D, ("log-likelihood was 0",)),
    "a bomb": (bomb, D, ("MB of memory", "times its own size")),
}
