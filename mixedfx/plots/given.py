"""Pictures of what is computed from a fit, when they are given the fit."""

from __future__ import annotations

from typing import Any

from mixedfx.exceptions import SpecificationError
from mixedfx.results.base import MixedResults

__all__ = ["refuse_fit"]


def refuse_fit(given: Any, picture: str, made: str) -> None:
    """Refuse a fit where a picture is of ``made`` from it, and it is left open what to compute.

    Raises
    ------
    SpecificationError
        If ``given`` is a fit.
    """
    if isinstance(given, MixedResults):
        raise SpecificationError(f"{picture} draws what {made} returns, not a fit: write {picture}({made})")
