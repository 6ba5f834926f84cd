"""Methods for denominator degrees of freedom by name; ``ddf=`` of every test is one of these words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from mixedfx._suggestions import advised
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import Fit
from mixedfx.inference.denominator import NORMAL, Denominator, asymptotic, residual
from mixedfx.inference.satterthwaite import Satterthwaite

__all__ = ["ALIASES", "DDF", "DdfName", "denominator_of"]

DdfName: TypeAlias = Literal["satterthwaite", "kenward-roger", "containment", "residual", "z"]


def _kenward_roger(fit: Any) -> Denominator:
    from mixedfx.inference.kenward_roger import KenwardRogerDenominator

    return KenwardRogerDenominator(fit)


def _containment(fit: Any) -> Denominator:
    from mixedfx.inference.containment import containment

    return containment(fit)


#: Methods by name: what makes the :class:`Denominator` of a fit.
DDF: dict[str, Callable[[Any], Denominator]] = {
    "satterthwaite": Satterthwaite,
    "kenward-roger": _kenward_roger,
    "containment": _containment,
    "residual": residual,
    "z": asymptotic,
}
ALIASES = {"kr": "kenward-roger"} | dict.fromkeys(NORMAL, "z")


def denominator_of(fit: Fit, word: str | Denominator | None = None) -> Denominator:
    """Return what calibrates the tests of a fit; the only place where a method is a string.

    Parameters
    ----------
    fit : Fit
        It says which methods it has, and which is the usual one.
    word : str or Denominator, optional
        As the user wrote it; or what it would become, such as a robust covariance.

    Raises
    ------
    SpecificationError
        If there is no such method, or not for this fit.
    TypeError
        If it is not a word.
    """
    if word is None:
        return DDF[fit.default_ddf](fit)
    if isinstance(word, Denominator):
        return word
    if not isinstance(word, str):
        raise TypeError(f"ddf is the name of a method, such as {fit.default_ddf!r}; found {type(word).__name__}")
    key = word.strip().lower().replace("_", "-").replace(" ", "-")
    key = ALIASES.get(key, key)
    if key in fit.ddf_methods:
        return DDF[key](fit)
    if fit.ddf_methods == ("z",):
        raise SpecificationError(
            f"ddf={word!r} is for linear mixed models: the tests of this fit are asymptotic (ddf='z')"
        )
    raise SpecificationError(f"unknown ddf {word!r}; {advised('ddf', word, fit.ddf_methods)}")
