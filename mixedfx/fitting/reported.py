"""The numbers that a fit reports intervals for: standard deviations, correlations, sigma, coefficients, the family's.

Names: ``sd_x|g``, ``cor_x.y|g``, ``sigma``; the fixed effects; ``dispersion: x`` and ``zero_inflation: x`` for
coefficients of further linear predictors, ``family: df`` for family-wide parameters on their natural scale. A
dispersion that is a variance is ``sigma``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.covariance.linear import DiagonalCovariance, HomogeneousDiagonalCovariance
from mixedfx.criterion.assembly import TermSlot
from mixedfx.criterion.linear_problem import LinearProblem
from mixedfx.families.parameters import Parameter
from mixedfx.fitting.quantities import (
    EffectCorrelation,
    FamilyParameter,
    LinearQuantity,
    OfAll,
    Quantity,
    ResidualSd,
    StandardDeviation,
    StructureParameter,
)
from mixedfx.matrices import RandomEffects

if TYPE_CHECKING:
    from mixedfx.criterion.generalized_problem import GeneralizedProblem

__all__ = [
    "NaturalScale",
    "Reported",
    "covariance_entries",
    "family_names",
    "generalized_reported",
    "linear_reported",
    "standard_error",
    "term_entries",
]

FAR = 1e7  # a parameter that is sought up to there or further has no upper end


@dataclass(frozen=True)
class NaturalScale:
    """A scale on which an estimate is closer to normal: the way from it to the natural one, its slope, and back."""

    natural: Callable[[float], float]
    slope: Callable[[float], float]
    unbounded: Callable[[float], float]


def _same(value: float) -> float:
    return float(value)


def _one(value: float) -> float:
    return 1.0


def _exp(value: float) -> float:
    return float(np.exp(value))


def _log(value: float) -> float:
    return float(np.log(value)) if value > 0.0 else np.nan


def _tanh(value: float) -> float:
    return float(np.tanh(value))


def _tanh_slope(value: float) -> float:
    return float(1.0 - np.tanh(value) ** 2)


def _atanh(value: float) -> float:
    return float(np.arctanh(value)) if abs(value) < 1.0 else np.nan


def _root_of_exp(value: float) -> float:
    return float(np.exp(0.5 * value))


def _half_root_of_exp(value: float) -> float:
    return 0.5 * _root_of_exp(value)


def _twice_log(value: float) -> float:
    return 2.0 * float(np.log(value))


IDENTITY = NaturalScale(_same, _one, _same)
LOGARITHM = NaturalScale(_exp, _exp, _log)
FISHER = NaturalScale(_tanh, _tanh_slope, _atanh)
DISPERSION = NaturalScale(_root_of_exp, _half_root_of_exp, _twice_log)


@dataclass(frozen=True)
class Reported:
    """A number with intervals, on the user's scale.

    Attributes
    ----------
    name : str
    part : str
        ``"random"``, ``"fixed"`` or ``"family"``: what ``which=`` of intervals asks for.
    component : str
        ``"covariance"``, ``"structure"`` (of the residuals), ``"residual"`` (sigma), ``"conditional"``, the name of a
        further linear predictor, or ``"family"``.
    quantity : Quantity or None
        It as a function of the parameters ``phi`` of the likelihood; None for a fixed effect that this profiles out.
    scale : NaturalScale
        Where its Wald limits are made.
    unbounded : Quantity or None
        It on that scale, where its profile is followed there.
    among : tuple of str
        The standard deviations without which it means nothing.
    is_tied : bool
        Whether it is a function of parameters that the other numbers of its term show.
    """

    name: str
    part: str
    component: str
    quantity: Quantity | None
    scale: NaturalScale = IDENTITY
    unbounded: Quantity | None = None
    among: tuple[str, ...] = ()
    is_tied: bool = False

    def among_all(self, places: IntArray) -> Reported:
        """Return the number as a function of all parameters, among which its own have these places."""
        quantity, unbounded = (one and OfAll(one, places) for one in (self.quantity, self.unbounded))
        return replace(self, quantity=quantity, unbounded=unbounded)

    @property
    def lower(self) -> float:
        """Smallest possible value."""
        return -np.inf if self.quantity is None else self.quantity.lower

    @property
    def upper(self) -> float:
        """Largest possible value."""
        return np.inf if self.quantity is None else self.quantity.upper

    def value(self, phi: Array) -> float:
        """Return the number at the inner parameters ``phi`` (k,); nan if the likelihood profiles it out."""
        return np.nan if self.quantity is None else self.quantity.value(phi)

    def on_scale(self, phi: Array, covariance: Array) -> tuple[float, float]:
        """Return the estimate and its standard error on its scale; nan where there is none.

        Parameters
        ----------
        phi, covariance : (k,), (k, k)
            Estimates of the inner parameters and their covariance, nan for those that have none.
        """
        if self.quantity is None:
            return np.nan, np.nan
        with np.errstate(all="ignore"):  # an estimate at the end of its range
            if self.unbounded is not None:
                return self.unbounded.value(phi), standard_error(self.unbounded, phi, covariance)
            at = self.scale.unbounded(self.quantity.value(phi))
            return at, standard_error(self.quantity, phi, covariance) / abs(self.scale.slope(at))

    def wald_limits(self, phi: Array, covariance: Array, reach: float) -> tuple[float, float]:
        """Return the estimate minus and plus ``reach`` standard errors on its scale, as natural values.

        Parameters
        ----------
        phi, covariance
            As for :meth:`on_scale`.
        reach : float
            Quantile of the normal distribution.
        """
        at, error = self.on_scale(phi, covariance)
        if not (np.isfinite(at) and np.isfinite(error)):
            return np.nan, np.nan
        with np.errstate(all="ignore"):  # a limit beyond all numbers is infinite
            ends = self.scale.natural(at - reach * error), self.scale.natural(at + reach * error)
        return min(ends), max(ends)


def standard_error(quantity: Quantity | None, phi: Array, covariance: Array) -> float:
    """Return the standard error of a quantity by the delta method; nan if it depends on a parameter that has none."""
    if quantity is None:
        return np.nan
    gradient = quantity.gradient(phi)
    unknown = np.isnan(covariance.diagonal())
    if np.isnan(gradient).any() or gradient[unknown].any():
        return np.nan
    return float(np.sqrt(max(gradient[~unknown] @ covariance[np.ix_(~unknown, ~unknown)] @ gradient[~unknown], 0.0)))


# ---------------------------------------------------------------- random effects
def covariance_entries(term: RandomEffects) -> list[tuple[int, int]]:
    """Return the entries of a term's covariance that are parameters: the lower triangle by column, or the diagonal."""
    q = term.n_columns
    if term.pooled is not None:
        return [(j, j) for _, j in term.variances]
    if isinstance(term.covariance, DiagonalCovariance | HomogeneousDiagonalCovariance):
        return [(i, i) for i in range(q)]
    return [(i, j) for j in range(q) for i in range(j, q)]


def term_entries(term: RandomEffects) -> list[tuple[str, int, int]]:
    """Return names and entries ``(name, i, j)`` of a term's standard deviations (i = j), then correlations (i > j)."""
    name, entries = term.variance_name, covariance_entries(term)
    out = [(f"sd_{name(i)}|{term.group}", i, j) for i, j in entries if i == j]
    return out + [(f"cor_{name(i)}.{name(j)}|{term.group}", i, j) for i, j in entries if i != j]


def _of_term(
    term: RandomEffects, matrix: Array, slot: TermSlot, scale: float, place: slice | None
) -> Iterator[Reported]:
    """Standard deviations, then correlations; theta in its ``place`` among all parameters, or first of them (None)."""
    deviations = [f"sd_{name}|{term.group}" for name in term.names]
    tied = slot.covariance.n_theta <= len(term.names)
    for name, i, j in term_entries(term):
        quantity: Quantity = (
            StandardDeviation(slot, matrix, i, scale) if i == j else EffectCorrelation(slot, matrix, i, j)
        )
        if place is not None:
            quantity = OfAll(quantity, np.append(np.arange(place.start, place.stop), -1))  # sigma is 1
        if i == j:
            yield Reported(name, "random", "covariance", quantity, LOGARITHM)
        else:
            among = (deviations[i], deviations[j])
            yield Reported(name, "random", "covariance", quantity, FISHER, among=among, is_tied=tied)


# ---------------------------------------------------------------- linear models
def linear_reported(problem: LinearProblem) -> tuple[Reported, ...]:
    """Return what a linear model reports, as functions of ``phi = (theta, rho, log sigma^2)``."""
    unit, k, bound = problem.basis.scale, problem.covariance.n_theta, problem.residual
    numbers: list[Reported] = []
    for term, basis, slot in zip(problem.design.random, problem.terms, problem.covariance.terms, strict=True):
        numbers += _of_term(term, np.asarray(basis.matrix), slot, unit, None)
    if bound is not None:
        for j, (name, scale) in enumerate(zip(bound.names, bound.parameters.map.scales, strict=True)):
            natural = NaturalScale(scale.natural, scale.slope, partial(_inside, scale.real))
            numbers.append(
                Reported(name, "random", "structure", StructureParameter(bound, j, slice(k, k + bound.n_rho)), natural)
            )
    if problem.criterion.sigma2 is None:
        numbers.append(Reported("sigma", "random", "residual", ResidualSd(unit), LOGARITHM))
    return (*numbers, *(Reported(str(name), "fixed", "conditional", None) for name in problem.design.fixed.names))


def _inside(real: Callable[[float], float], value: float) -> float:
    """The value on its unbounded scale; an estimate at its end is not inside."""
    with np.errstate(all="ignore"):
        return real(value)


# ---------------------------------------------------------------- generalised models
def generalized_reported(problem: GeneralizedProblem) -> tuple[Reported, ...]:
    """Return what a generalised model reports, as functions of all its inner parameters."""
    place = problem.theta_slice
    numbers: list[Reported] = []
    for term, basis, slot in zip(problem.design.random, problem.terms, problem.covariance.terms, strict=True):
        numbers += _of_term(term, np.asarray(basis.matrix), slot, 1.0, place)
    wide = list(_family_wide(problem))
    numbers += [entry for entry in wide if entry.part == "random"]
    mean = problem.bases[0]
    for j, name in enumerate(problem.design.fixed.names):
        row = LinearQuantity(mean.matrix[j], slice(0, place.start), shift=float(mean.origin[j]))
        numbers.append(Reported(str(name), "fixed", "conditional", row))
    for component, fixed in zip(problem.components, problem.bases[1:], strict=True):
        coefficients = problem.component_slices[component.name]
        for row, name in zip(fixed.matrix, component.names, strict=True):
            numbers.append(
                Reported(f"{component.name}: {name}", "family", component.name, LinearQuantity(row, coefficients))
            )
    return (*numbers, *(entry for entry in wide if entry.part == "family"))


def family_names(problem: GeneralizedProblem) -> list[str]:
    """Return the names of the family-wide parameters; thresholds between named categories bear both names."""
    family, categories = problem.family, problem.design.response.categories
    if categories is not None and family.has_categories:
        return [f"{low}|{high}" for low, high in pairwise(categories)]
    return list(family.natural(np.zeros(len(family.phi_names)))[0])


def _family_wide(problem: GeneralizedProblem) -> Iterator[Reported]:
    """The family-wide parameters; a dispersion that is a variance as ``sigma``, among the random part."""
    family, count = problem.family, len(problem.family.phi_names)
    last, slopes = slice(problem.n_parameters - count, problem.n_parameters), problem.phi_slopes
    for position, label in enumerate(family_names(problem)):
        if family.has_categories:  # thresholds: any number, each a function of several parameters
            yield Reported(
                f"family: {label}", "family", "family", FamilyParameter(partial(_natural, problem, position), slopes)
            )
            continue
        parameter = next(p for p in family.parameters if p.name == family.phi_names[position])
        unbounded = LinearQuantity(np.eye(count)[position], last, parameter.lower, parameter.upper)
        if label == "dispersion" and family.precision_weights:
            root = FamilyParameter(partial(_root, position), slopes, 0.0)
            yield Reported("sigma", "random", "residual", root, DISPERSION, unbounded)
        else:
            lower, upper = _natural_bounds(parameter)
            quantity = FamilyParameter(partial(_natural, problem, position), slopes, lower, upper)
            scale = NaturalScale(parameter.natural, parameter.slope, parameter.unbounded)
            yield Reported(f"family: {label}", "family", "family", quantity, scale, unbounded)


def _natural(problem: GeneralizedProblem, position: int, phi: Array) -> tuple[float, Array]:
    values, jacobian = problem.family.natural(phi)
    return list(values.values())[position], jacobian[position]


def _root(position: int, phi: Array) -> tuple[float, Array]:
    root = float(np.exp(0.5 * phi[position]))
    slope = np.zeros(phi.size)
    slope[position] = 0.5 * root
    return root, slope


def _natural_bounds(parameter: Parameter) -> tuple[float, float]:
    """Smallest and largest values; what a search takes for zero or infinity is that."""
    lower, upper = parameter.natural(parameter.lower), parameter.natural(parameter.upper)
    tiny, huge = parameter.natural(-np.inf), parameter.natural(np.inf)
    close = tiny + 1.0 / FAR
    return (tiny if lower < close else lower), (huge if upper >= FAR else upper)
