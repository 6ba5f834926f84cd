"""What a generalised model estimates beside the mean and the random effects, as quantities with intervals.

Names: ``dispersion: x`` and ``zero_inflation: x`` for coefficients of further linear predictors, ``family: df`` for
family-wide parameters on their natural scale. A dispersion that is a variance is
``sigma``, in the random part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._typing import Array
from mixedfx.criterion.generalized_problem import GeneralizedProblem
from mixedfx.families import Parameter
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.inference.quantities import Coefficient, FamilyParameter, Quantity
from mixedfx.results.components import family_table

__all__ = [
    "UnboundedScale",
    "dispersion_is_variance",
    "further_quantities",
    "further_wald",
    "root_dispersion",
    "unbounded_scales",
]

PREFIX = "family: "
FAR = 1e7  # a parameter that is sought up to there or further has no upper end


def dispersion_is_variance(problem: GeneralizedProblem) -> bool:
    """Say whether the model has a ``sigma``."""
    return problem.family.precision_weights and "dispersion" in problem.family.phi_names


def further_quantities(fit: GeneralizedFit) -> dict[str, Quantity]:
    """Return the coefficients of further linear predictors and the family-wide parameters, of ``fit.x``."""
    problem = fit.problem
    found: dict[str, Quantity] = {}
    for component, basis in zip(problem.components, problem.bases[1:], strict=True):
        place = problem.component_slices[component.name]
        for row, name in zip(basis.matrix, component.names, strict=True):
            found[f"{component.name}: {name}"] = Coefficient(row, place)
    count = len(problem.family.phi_names)
    for position, label in enumerate(_labels(fit)):
        if label != "dispersion" or not dispersion_is_variance(problem):
            lower, upper = _bounds(problem, position)
            found[PREFIX + label] = FamilyParameter(partial(_natural, problem, position), count, lower, upper)
    return found


def root_dispersion(problem: GeneralizedProblem) -> Quantity:
    """Return ``sigma``."""
    names = problem.family.phi_names
    return FamilyParameter(partial(_root, names.index("dispersion")), len(names), 0.0)


@dataclass(frozen=True)
class UnboundedScale:
    """The scale on which a family-wide parameter is estimated: ``quantity`` there, and the way to the natural one."""

    quantity: Quantity
    natural: Callable[[float], float]
    slope: Callable[[float], float]
    unbounded: Callable[[float], float]


def unbounded_scales(fit: GeneralizedFit) -> dict[str, UnboundedScale]:
    """Return the scales of the family-wide parameters that have one each, by the names of the quantities."""
    problem = fit.problem
    if problem.family.has_categories:
        return {}
    count, found = len(problem.family.phi_names), {}
    place = slice(problem.n_parameters - count, problem.n_parameters)
    for position, label in enumerate(_labels(fit)):
        parameter, row = _parameter(problem, position), np.eye(count)[position]
        quantity = Coefficient(row, place, parameter.lower, parameter.upper)
        if label == "dispersion" and dispersion_is_variance(problem):
            found["sigma"] = UnboundedScale(quantity, _root_of_exp, _root_slope, _twice_log)
        else:
            found[PREFIX + label] = UnboundedScale(quantity, parameter.natural, parameter.slope, parameter.unbounded)
    return found


def _root_of_exp(value: float) -> float:
    return float(np.exp(0.5 * value))


def _root_slope(value: float) -> float:
    return 0.5 * _root_of_exp(value)


def _twice_log(value: float) -> float:
    return 2.0 * float(np.log(value))


def _labels(fit: GeneralizedFit) -> list[str]:
    return list(map(str, family_table(fit.problem, fit.x, np.zeros((fit.x.size, fit.x.size))).index))


def _natural(problem: GeneralizedProblem, position: int, own: Array) -> tuple[float, Array]:
    values, jacobian = problem.family.natural(own)
    return list(values.values())[position], jacobian[position]


def _root(position: int, own: Array) -> tuple[float, Array]:
    root = float(np.exp(0.5 * own[position]))
    slope = np.zeros(own.size)
    slope[position] = 0.5 * root
    return root, slope


def _bounds(problem: GeneralizedProblem, position: int) -> tuple[float, float]:
    """Smallest and largest values; what a search takes for zero or infinity is that."""
    if problem.family.has_categories:
        return -np.inf, np.inf
    parameter = _parameter(problem, position)
    lower, upper = parameter.natural(parameter.lower), parameter.natural(parameter.upper)
    tiny, huge = parameter.natural(-np.inf), parameter.natural(np.inf)
    close = tiny + 1.0 / FAR
    return (tiny if lower < close else lower), (huge if upper >= FAR else upper)


def _parameter(problem: GeneralizedProblem, position: int) -> Parameter:
    name = problem.family.phi_names[position]
    return next(parameter for parameter in problem.family.parameters if parameter.name == name)


def further_wald(fit: GeneralizedFit, alpha: float) -> pd.DataFrame:
    """Return Wald limits, for family-wide parameters on the scale on which they are unbounded."""
    problem, reach = fit.problem, float(special.ndtri(1.0 - 0.5 * alpha))
    estimate, covariance = problem.to_user(fit.x), fit.covariance
    with np.errstate(invalid="ignore"):  # a parameter without a standard error has no limits
        se = np.sqrt(covariance.diagonal())
    limits: dict[str, tuple[float, float]] = {}
    for component in problem.components:
        place = problem.component_slices[component.name]
        for name, value, error in zip(component.names, estimate[place], se[place], strict=True):
            limits[f"{component.name}: {name}"] = (value - reach * error, value + reach * error)
    table, count = family_table(problem, estimate, covariance), len(problem.family.phi_names)
    for position, (label, row) in enumerate(table.iterrows()):
        natural: Callable[[float], float] = float
        value, error = float(row["coef"]), float(row["bse"])
        if not problem.family.has_categories:
            natural = _parameter(problem, position).natural
            value, error = float(estimate[position - count]), float(se[position - count])
        if label != "dispersion" or not dispersion_is_variance(problem):
            limits[PREFIX + str(label)] = (natural(value - reach * error), natural(value + reach * error))
    index = pd.Index(list(limits), dtype=object)
    return pd.DataFrame(np.array(list(limits.values())).reshape(-1, 2), index=index, columns=["lower", "upper"])
