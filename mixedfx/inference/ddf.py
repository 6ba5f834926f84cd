"""Methods for denominator degrees of freedom by name; ``ddf=`` of every test is one of these words."""

from __future__ import annotations

from collections.abc import Callable

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import LinearFit
from mixedfx.inference.containment import containment
from mixedfx.inference.denominator import Asymptotic, Denominator, asymptotic, residual
from mixedfx.inference.kenward_roger import KenwardRogerDenominator
from mixedfx.inference.satterthwaite import satterthwaite

__all__ = ["ALIASES", "DDF", "asymptotic_for", "denominator_for"]

#: Methods by name: what makes the :class:`Denominator` of a fit.
DDF: dict[str, Callable[[LinearFit], Denominator]] = {
    "satterthwaite": satterthwaite,
    "kenward-roger": KenwardRogerDenominator,
    "containment": containment,
    "residual": residual,
    "z": asymptotic,
}
ALIASES = {"kr": "kenward-roger", "asymptotic": "z", "normal": "z", "inf": "z", "between-within": "containment"}


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


def asymptotic_for(word: str | None, covariance: Array) -> Asymptotic:
    """Return the normal limit, the only method of a model without denominator degrees of freedom.

    Raises
    ------
    SpecificationError
        If ``word`` asks for another method.
    """
    if word is not None and word not in ("z", *(alias for alias, key in ALIASES.items() if key == "z")):
        raise SpecificationError(
            f"ddf={word!r} is for linear mixed models: the tests of this fit are asymptotic (ddf='z')"
        )
    return Asymptotic(covariance)
