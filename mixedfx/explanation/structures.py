"""Residual structures in words, in equations and in nlme's code: an account for each kind of factor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from mixedfx.covariance.residual import (
    AR1,
    CAR1,
    Combined,
    CompoundSymmetry,
    KnownVariance,
    ResidualStructure,
    Unstructured,
    VarExp,
    VarIdent,
    VarPower,
)
from mixedfx.covariance.residual.columns import level_label
from mixedfx.explanation.coefficients import number
from mixedfx.formula import quote

if TYPE_CHECKING:
    from mixedfx.explanation.equations import Notation

__all__ = ["Account", "InNlme", "ResidualEstimates", "accounts_of"]

MOST_LISTED = 10  # levels or pairs that a sentence lists


@dataclass(frozen=True)
class ResidualEstimates:
    """What was estimated of the residuals.

    Attributes
    ----------
    sigma : float
        The residual standard deviation, where all factors of the structure are 1.
    parameters : mapping of str to float
        Parameters of the structure on their natural scale, by name.
    columns : mapping of str
        The data that the structure reads, by name.
    """

    sigma: float
    parameters: Mapping[str, float]
    columns: Mapping[str, Any] | pd.DataFrame


@dataclass(frozen=True)
class InNlme:
    """A factor in nlme: its variance function, its correlation; empty where it has none."""

    variance: str = ""
    correlation: str = ""


@dataclass(frozen=True)
class Account:
    """What is said of a factor of a residual structure; this one knows nothing of it.

    Attributes
    ----------
    factor : ResidualStructure
    spreads : bool
        Whether standard deviations differ between rows by what was estimated.
    has_scale : bool
        Whether sigma multiplies them.
    """

    factor: Any
    spreads: ClassVar[bool] = False
    has_scale: ClassVar[bool] = True

    def sentences(self, estimates: ResidualEstimates) -> Iterator[str]:
        """Yield what the estimates say."""
        yield from ()

    def variance(self, n: Notation) -> str:
        """Return the factor of the variance of the row i in an equation; nothing if there is none."""
        return ""

    def correlation(self, n: Notation) -> str:
        """Return the correlation of the rows i and j in an equation; nothing if there is none."""
        return ""

    def in_nlme(self, group: str | None) -> InNlme | None:
        """Return the factor in nlme, or None if nlme has none like it.

        Its correlations are within the ``group`` of the random effects, if there are any.
        """
        return None


def _rows(n: Notation, names: tuple[str, ...], index: str = "i") -> str:
    return ", ".join(n.row(n.name(name), index) for name in names)


def _residuals(group: str | tuple[str, ...] | None) -> str:
    if not group:
        return "Residuals"
    return f"Residuals of the same {group if isinstance(group, str) else ':'.join(group)}"


def _by_level(name: str, estimates: ResidualEstimates) -> str:
    """Standard deviations by level of ``name``: sigma in the first one, a ratio times sigma in others."""
    start, sigma = f"{name}[", estimates.sigma
    ratios = {key[len(start) : -1]: r for key, r in estimates.parameters.items() if key.startswith(start)}
    columns = estimates.columns
    levels = dict.fromkeys(level_label(value) for value in columns[name]) if name in columns else {}
    first = [level for level in levels if level not in ratios]
    where = f"where {name} is {first[0]}" if len(first) == 1 else f"in the first level of {name}"
    shown = [f"{number(sigma)} {where}"]
    shown += [f"{number(ratio * sigma)} where {name} is {level}" for level, ratio in ratios.items()]
    return f"It is {', '.join(shown[:MOST_LISTED])}{', …' if len(shown) > MOST_LISTED else ''}."


# ------------------------------------------------------------------ variances
class LevelAccount(Account):
    """A standard deviation for each level."""

    spreads = True

    def sentences(self, estimates: ResidualEstimates) -> Iterator[str]:
        """Yield the standard deviations."""
        yield _by_level(":".join(self.factor.columns), estimates)

    def variance(self, n: Notation) -> str:
        """Return ``δ[level]²``."""
        return f"{n.greek('delta')}[{_rows(n, self.factor.columns)}]{n.square}"

    def in_nlme(self, group: str | None) -> InNlme:
        """Return ``varIdent``."""
        return InNlme(f"varIdent(form = ~ 1 | {' * '.join(map(quote, self.factor.columns))})")


class PowerAccount(Account):
    """A power of a covariate."""

    spreads = True

    def sentences(self, estimates: ResidualEstimates) -> Iterator[str]:
        """Yield the power."""
        yield f"It is proportional to the power {number(estimates.parameters['power'])} of {self.factor.columns[0]}."

    def variance(self, n: Notation) -> str:
        """Return ``|x|^(2δ)``."""
        return f"|{_rows(n, self.factor.columns[:1])}|{n.raised('2' + n.greek('delta'))}"

    def in_nlme(self, group: str | None) -> InNlme:
        """Return ``varPower``."""
        return InNlme(f"varPower(form = ~ {quote(self.factor.columns[0])})")


class ExponentialAccount(Account):
    """An exponential of a covariate."""

    spreads = True

    def sentences(self, estimates: ResidualEstimates) -> Iterator[str]:
        """Yield the rate."""
        yield f"It is proportional to exp({number(estimates.parameters['rate'])} {self.factor.columns[0]})."

    def variance(self, n: Notation) -> str:
        """Return ``exp(2δ x)``."""
        return f"{n.name('exp')}(2{n.greek('delta')} {_rows(n, self.factor.columns[:1])})"

    def in_nlme(self, group: str | None) -> InNlme:
        """Return ``varExp``."""
        return InNlme(f"varExp(form = ~ {quote(self.factor.columns[0])})")


class KnownAccount(Account):
    """Variances that are known."""

    has_scale = False

    def sentences(self, estimates: ResidualEstimates) -> Iterator[str]:
        """Yield the name of the column."""
        yield f"The variances of single observations are known: the column {self.factor.columns[0]}."

    def variance(self, n: Notation) -> str:
        """Return the column."""
        return _rows(n, self.factor.columns[:1])


# ------------------------------------------------------------------ correlations
def _nlme_group(name: Any, group: str | None) -> str | None:
    """The group of a correlation, if nlme can have it: one column, that of the random effects if there are some."""
    if not isinstance(name, str) or ":" in name or (group is not None and name != group):
        return None
    return quote(name)


@dataclass(frozen=True)
class SerialAccount(Account):
    """A correlation that falls along time."""

    in_r: ClassVar[str]

    def correlation(self, n: Notation) -> str:
        """Return ``φ^|t - t'|``."""
        return n.greek("phi") + n.raised(f"|{n.row('t')}-{n.row('t', 'j')}|")

    def in_nlme(self, group: str | None) -> InNlme | None:
        """Return ``corAR1`` or ``corCAR1``."""
        within, time = _nlme_group(self.factor.group, group), self.factor.time
        if within is None:
            return None
        return InNlme(correlation=f"{self.in_r}(form = ~ {'1' if time is None else quote(time)} | {within})")


class StepAccount(SerialAccount):
    """Equal steps."""

    in_r = "corAR1"

    def sentences(self, estimates: ResidualEstimates) -> Iterator[str]:
        """Yield the correlation of neighbours."""
        over = f" (one step of {self.factor.time})" if self.factor.time is not None else ""
        yield (
            f"{_residuals(self.factor.group)} are correlated along time: {number(estimates.parameters['phi'])} between "
            f"neighbours{over}, its powers between those further apart."
        )


class DistanceAccount(SerialAccount):
    """Any distances."""

    in_r = "corCAR1"

    def sentences(self, estimates: ResidualEstimates) -> Iterator[str]:
        """Yield the correlation at distance 1."""
        yield (
            f"{_residuals(self.factor.group)} are correlated along {self.factor.time}: "
            f"{number(estimates.parameters['phi'])} at distance 1, and that to the power of the distance."
        )


class EqualAccount(Account):
    """The same correlation of any two."""

    def sentences(self, estimates: ResidualEstimates) -> Iterator[str]:
        """Yield the correlation."""
        correlation = number(estimates.parameters["rho"])
        yield f"{_residuals(self.factor.columns)} are correlated: {correlation} between any two."

    def correlation(self, n: Notation) -> str:
        """Return ``ρ``."""
        return n.greek("rho")

    def in_nlme(self, group: str | None) -> InNlme | None:
        """Return ``corCompSymm``."""
        within = _nlme_group(self.factor.columns[-1], group)
        return None if within is None else InNlme(correlation=f"corCompSymm(form = ~ 1 | {within})")


class VisitAccount(Account):
    """A standard deviation for each visit, a correlation for each pair."""

    spreads = True

    def sentences(self, estimates: ResidualEstimates) -> Iterator[str]:
        """Yield the standard deviations and the correlations."""
        visit, *group = self.factor.columns
        yield _by_level(visit, estimates)
        pairs = [
            f"{name.removeprefix('cor[')[:-1].replace(',', ' and ')}: {number(value)}"
            for name, value in estimates.parameters.items()
            if name.startswith("cor[")
        ]
        shown = "; ".join(pairs[:MOST_LISTED]) + ("; …" if len(pairs) > MOST_LISTED else "")
        of = f" of the same {':'.join(group)}" if group else ""
        yield f"Residuals of two visits ({visit}){of} are correlated: {shown}."

    def variance(self, n: Notation) -> str:
        """Return ``δ[visit]²``."""
        return f"{n.greek('delta')}[{_rows(n, self.factor.columns[:1])}]{n.square}"

    def correlation(self, n: Notation) -> str:
        """Return ``ρ[visit, visit]``."""
        visit = self.factor.columns[:1]
        return f"{n.greek('rho')}[{_rows(n, visit)}, {_rows(n, visit, 'j')}]"

    def in_nlme(self, group: str | None) -> InNlme | None:
        """Return ``varIdent`` and ``corSymm``."""
        within, visit = _nlme_group(self.factor.columns[-1], group), quote(self.factor.columns[0])
        if within is None:
            return None
        return InNlme(f"varIdent(form = ~ 1 | {visit})", f"corSymm(form = ~ as.integer(factor({visit})) | {within})")


ACCOUNTS: dict[type[ResidualStructure], type[Account]] = {
    VarIdent: LevelAccount,
    VarPower: PowerAccount,
    VarExp: ExponentialAccount,
    KnownVariance: KnownAccount,
    AR1: StepAccount,
    CAR1: DistanceAccount,
    CompoundSymmetry: EqualAccount,
    Unstructured: VisitAccount,
}


def accounts_of(residual: ResidualStructure | None) -> tuple[Account, ...]:
    """Return an account for each factor of a residual structure; none for independent residuals of one variance."""
    if residual is None:
        return ()
    factors = residual.factors if isinstance(residual, Combined) else (residual,)
    return tuple(ACCOUNTS.get(type(factor), Account)(factor) for factor in factors)
