"""The door: names, statsmodels families and users' families become :class:`Family` objects here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

from mixedfx._suggestions import way_out
from mixedfx.exceptions import SpecificationError
from mixedfx.families.base import Family
from mixedfx.families.continuous import Gamma, Gaussian, InverseGaussian, LogNormal, StudentT
from mixedfx.families.counts import CountFamily, NegativeBinomial1, NegativeBinomial2, Poisson
from mixedfx.families.links import is_from_statsmodels
from mixedfx.families.ordinal import Ordinal
from mixedfx.families.proportions import Beta, BetaBinomial, Binomial
from mixedfx.families.tweedie import Tweedie
from mixedfx.families.zeros import Truncated, with_zero_inflation

__all__ = ["FAMILIES", "FamilyName", "family_for"]

Maker = Callable[[object], Family]
FamilyName: TypeAlias = Literal[
    "gaussian",
    "binomial",
    "poisson",
    "gamma",
    "inverse_gaussian",
    "nbinom2",
    "nbinom1",
    "beta",
    "beta_binomial",
    "tweedie",
    "student_t",
    "lognormal",
    "ordinal",
    "negative_binomial",
    "truncated_poisson",
    "truncated_nbinom1",
    "truncated_nbinom2",
    "zero_inflated_poisson",
    "zero_inflated_nbinom1",
    "zero_inflated_nbinom2",
    "hurdle_poisson",
    "hurdle_nbinom1",
    "hurdle_nbinom2",
]

COUNTS: dict[str, type[CountFamily]] = {
    "poisson": Poisson,
    "nbinom1": NegativeBinomial1,
    "nbinom2": NegativeBinomial2,
}
SIMPLE: tuple[type[Family], ...] = (
    Gaussian,
    Binomial,
    Poisson,
    Gamma,
    InverseGaussian,
    NegativeBinomial2,
    NegativeBinomial1,
    Beta,
    BetaBinomial,
    Tweedie,
    StudentT,
    LogNormal,
    Ordinal,
)


def _truncated(count: type[CountFamily]) -> Maker:
    return lambda link: Truncated(count(link))


def _hurdle(count: type[CountFamily]) -> Maker:
    return lambda link: with_zero_inflation(Truncated(count(link)))


def _zero_inflated(count: type[CountFamily]) -> Maker:
    return lambda link: with_zero_inflation(count(link))


FAMILIES: dict[str, Maker] = {
    **{family.name: family for family in SIMPLE},
    "negative_binomial": NegativeBinomial2,
    **{f"truncated_{name}": _truncated(count) for name, count in COUNTS.items()},
    **{f"zero_inflated_{name}": _zero_inflated(count) for name, count in COUNTS.items()},
    **{f"hurdle_{name}": _hurdle(count) for name, count in COUNTS.items()},
}
"""Every family by its name."""

ALIASES = {
    "bernoulli": "binomial",
    "normal": "gaussian",
    "t": "student_t",
    "student": "student_t",
    "betabinomial": "beta_binomial",
    "beta_family": "beta",
    "t_family": "student_t",
    "inversegaussian": "inverse_gaussian",
}
STATSMODELS_FAMILIES: dict[str, type[Family]] = {
    "Gaussian": Gaussian,
    "Binomial": Binomial,
    "Poisson": Poisson,
    "Gamma": Gamma,
    "InverseGaussian": InverseGaussian,
}
TWEEDIE_POWERS: dict[float, type[Family]] = {0.0: Gaussian, 1.0: Poisson, 2.0: Gamma, 3.0: InverseGaussian}


def _named(name: str) -> str:
    plain = name.strip().lower().replace(".", "_").replace("-", "_").replace(" ", "_")
    return ALIASES.get(plain, plain)


def _from_statsmodels(family: Any, link: object) -> Family:
    """A statsmodels family with its link; a parameter that is fixed there (``alpha``, ``var_power``) stays fixed."""
    chosen = family.link if link is None else link
    class_name = type(family).__name__
    if class_name == "NegativeBinomial":
        return NegativeBinomial2(chosen).with_fixed(dispersion=1.0 / float(family.alpha))
    if class_name == "Tweedie":
        power = float(family.var_power)
        if power in TWEEDIE_POWERS:
            return TWEEDIE_POWERS[power](chosen)
        return Tweedie(chosen).with_fixed(power=power)
    if class_name not in STATSMODELS_FAMILIES:
        raise SpecificationError(f"statsmodels family {class_name} is not known; write a name: {_choices()}")
    return STATSMODELS_FAMILIES[class_name](chosen)


def _choices() -> str:
    return ", ".join(map(repr, FAMILIES))


def _unknown(family: str, name: str) -> SpecificationError:
    says = way_out("family", name)
    if says:
        return SpecificationError(f"unknown family {family!r}: {says}")
    close = get_close_matches(name, [*FAMILIES, *ALIASES], n=1)
    meant = f"did you mean {ALIASES.get(close[0], close[0])!r}? The others are " if close else "choose from "
    return SpecificationError(f"unknown family {family!r}; {meant}{_choices()}")


def _made(family: object) -> Family | None:
    """A user's family, given as an object or as its class; None if it is neither."""
    if isinstance(family, type) and issubclass(family, Family):
        return family()
    return family if isinstance(family, Family) else None


def family_for(family: object, link: object = None) -> Family:
    """Return the family of a name, of a statsmodels family, or of a user's :class:`Family`.

    Parameters
    ----------
    family : str, statsmodels family, Family or type of Family
        Names: ``"gaussian"``, ``"binomial"``, ``"poisson"``, ``"gamma"``, ``"inverse_gaussian"``, ``"nbinom2"``
        (also ``"negative_binomial"``), ``"nbinom1"``, ``"beta"``, ``"beta_binomial"``, ``"tweedie"``,
        ``"student_t"``, ``"lognormal"``, ``"ordinal"``, and the three counts with ``"truncated_"``,
        ``"zero_inflated_"`` or ``"hurdle_"`` in front. Dots, hyphens and capitals do not matter.

        A statsmodels ``NegativeBinomial(alpha=…)`` or ``Tweedie(var_power=…)`` holds that parameter fixed, as it
        does in statsmodels; the name estimates it.
    link : str, Link or statsmodels link, optional
        Instead of the family's default link, or of the one that the statsmodels family has.

    Returns
    -------
    Family

    Raises
    ------
    SpecificationError
        If the name is unknown, or the family cannot have the link; the message lists the choices.
    TypeError
        If it is nothing of the kind.

    Examples
    --------
    >>> from mixedfx.families import family_for
    >>> family_for("binomial", "probit")
    Binomial(link='probit')
    >>> family_for("Negative-Binomial")
    NegativeBinomial2(link='log')
    """
    made = _made(family)
    if made is not None:
        return made if link is None else made.with_link(link)
    if isinstance(family, str):
        name = _named(family)
        if name not in FAMILIES:
            raise _unknown(family, name)
        return FAMILIES[name](link)
    if is_from_statsmodels(family):
        return _from_statsmodels(family, link)
    if isinstance(family, type):
        raise TypeError(f"family must be a name or a family object, not a class: write {family.__name__}()")
    raise TypeError(f"family must be a name or a family object, not {type(family).__name__}")
