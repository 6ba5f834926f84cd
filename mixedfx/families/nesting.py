"""Which family is another one with parameters at the end of their range: Poisson a negative binomial without spread."""

from __future__ import annotations

from mixedfx.families.base import Family
from mixedfx.families.truncated import Truncated
from mixedfx.families.zero_inflated import ExtraZeros, ZeroInflated

__all__ = ["parameters_at_limit"]


def parameters_at_limit(small: Family, large: Family) -> tuple[str, ...] | None:
    """Return the parameters of ``large`` that are at the end of their range where it is ``small``; None if none are.

    Examples
    --------
    >>> from mixedfx.families import family_for
    >>> parameters_at_limit(family_for("poisson"), family_for("zero_inflated_nbinom2"))
    ('dispersion', 'zero_inflation')
    >>> parameters_at_limit(family_for("nbinom1"), family_for("nbinom2")) is None
    True
    """
    if small.link != large.link:
        return None
    if isinstance(large, ZeroInflated) and not isinstance(small, ZeroInflated):
        inner = parameters_at_limit(small, large.base)
        return None if inner is None else (*inner, "zero_inflation")
    if isinstance(large, ExtraZeros | Truncated):
        if type(small) is not type(large) or not isinstance(small, ExtraZeros | Truncated):
            return None
        return parameters_at_limit(small.base, large.base)
    if small.name == large.name:
        return ()
    if large.limit != small.name:
        return None
    had = {parameter.name for parameter in small.parameters}
    return tuple(parameter.name for parameter in large.parameters if parameter.name not in had)
