"""Methods for denominator degrees of freedom by name; ``ddf=`` of every test is one of these words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import LinearFit
from mixedfx.inference.containment import containment
from mixedfx.inference.denominator import NORMAL, Denominator, asymptotic, residual
from mixedfx.inference.kenward_roger import KenwardRogerDenominator
from mixedfx.inference.satterthwaite import satterthwaite

__all__ = ["ALIASES", "DDF", "DdfName", "denominator_for"]

DdfName: TypeAlias = Literal["satterthwaite", "kenward-roger", "containment", "residual", "z"]

#: Methods by name: what makes the :class:`Denominator` of a fit.
DDF: dict[str, Callable[[LinearFit], Denominator]] = {
    "satterthwaite": satterthwaite,
    "kenward-roger": KenwardRogerDenominator,
    "containment": containment,
    "residual": residual,
    "z": asymptotic,
}
ALIASES = {"kr": "kenward-roger", "between-within": "containment"} | dict.fromkeys(NORMAL, "z")


def denominator_for(word: str, fit: LinearFit) -> Denominator:
    """Resolve the word of ``ddf=``; the only place where a method is a string.

    Raises
    ------
    SpecificationError
        If there is no such method.
    TypeError
        If it is not a word.
    """
    if not isinstance(word, str):
        raise TypeError(f"ddf is the name of a method, such as 'satterthwaite'; found {type(word).__name__}")
    key = word.strip().lower().replace("_", "-").replace(" ", "-")
    key = ALIASES.get(key, key)
    if key not in DDF:
        raise SpecificationError(f"unknown ddf {word!r}; choose from {', '.join(map(repr, DDF))}")
    return DDF[key](fit)
