"""Modules of a package that are imported when they are first named."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["submodules"]


def submodules(package: str) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for ``package`` that knows its modules.

    Parameters
    ----------
    package : str
        ``__name__`` of the package.
    """

    def module(name: str) -> Any:
        if name.startswith("_") or not name.isidentifier() or find_spec(f"{package}.{name}") is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(f"{package}.{name}")

    return module
