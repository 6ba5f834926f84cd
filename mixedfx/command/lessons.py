"""The lessons of the course, as notebooks that the package ships."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import mixedfx as mfx

__all__ = ["write_lesson"]


def write_lesson(number: str) -> str:
    """Write a lesson into the current folder, open it where Jupyter is installed, and return what was done.

    Raises
    ------
    SpecificationError
        If there is no such lesson, or a file of its name is there already.
    """
    folder = files("mixedfx").joinpath("lessons")
    shipped = sorted(path.name for path in folder.iterdir() if path.name.endswith(".ipynb"))
    name = f"lesson{int(number):02d}.ipynb" if number.isdecimal() else number
    if name not in shipped:
        numbers = ", ".join(str(int(one.removeprefix("lesson").removesuffix(".ipynb"))) for one in shipped)
        raise mfx.SpecificationError(f"there is no lesson {number!r}; there are {numbers}")
    target = Path(name)
    if target.exists():
        raise mfx.SpecificationError(f"{name} is there already, perhaps with your own answers: rename it first")
    target.write_bytes(folder.joinpath(name).read_bytes())
    if find_spec("jupyterlab") is None:
        return f"wrote {name}; open it with Jupyter (pip install jupyterlab)"
    if not sys.stdout.isatty():
        return f"wrote {name}; open it with Jupyter"
    subprocess.Popen([sys.executable, "-m", "jupyterlab", name])
    return f"wrote {name}; Jupyter opens it"
