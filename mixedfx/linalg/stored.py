"""What is kept of a value when it is pickled."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

__all__ = ["fields_only"]


def fields_only(value: Any) -> dict[str, Any]:
    """Return the state of a frozen dataclass without what it computed on the way, which can be computed again.

    Large tables of places and products are made once and used by every evaluation; in a pickle they would outweigh the
    data a hundred times.
    """
    return {field.name: getattr(value, field.name) for field in fields(value)}
