"""Parameters of a generalised model beside the fixed effects of the mean: tables and names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.fitting.certificate import held_notes
from mixedfx.fitting.reported import family_names
from mixedfx.inference.distributions import two_sided

if TYPE_CHECKING:
    from mixedfx.criterion.generalized_problem import Component, GeneralizedProblem
    from mixedfx.fitting.generalized import GeneralizedFit

__all__ = [
    "component_tables",
    "family_table",
    "further_table",
    "limit_notes",
    "limit_words",
    "summary_tables",
]


INFINITE_LOGIT = 15.0  # a probability of 3e-7 or less is none
LIMITS = {
    ("nbinom2", "dispersion"): "counts vary no more than Poisson's",
    ("nbinom1", "dispersion"): "counts vary no more than Poisson's",
    ("beta_binomial", "dispersion"): "proportions vary no more than binomial ones",
    ("student_t", "df"): "the tails are no heavier than a normal distribution's",
}
"""By family and parameter: what the data show at its limit."""


def component_tables(problem: GeneralizedProblem, estimate: Array, covariance: Array) -> dict[str, pd.DataFrame]:
    """Return a table ``coef, bse, statistic, pvalue`` of every further linear predictor.

    Parameters
    ----------
    problem : GeneralizedProblem
    estimate, covariance : (k,), (k, k)
        Of all parameters on the user's scale.
    """
    out = {}
    for component in problem.components:
        at = problem.component_slices[component.name]
        values = estimate[at]
        if _has_run_off(component, values, covariance[at, at]):
            values = np.where(values == 0, 0.0, np.copysign(np.inf, values))
        out[component.name] = _table(values, covariance[at, at], component.names)
    return out


def _has_run_off(component: Component, values: Array, covariance: Array) -> bool:
    """Whether a logit of zero inflation is infinite in every row: no extra zeros, or nothing else."""
    logits = component.matrix @ values
    unknown = bool(np.isnan(covariance.diagonal()).all())
    return component.name == "zero_inflation" and unknown and bool(np.all(np.abs(logits) > INFINITE_LOGIT))


def _table(values: Array, covariance: Array, names: tuple[str, ...]) -> pd.DataFrame:
    se = np.sqrt(np.maximum(covariance.diagonal(), 0.0))
    statistic = np.full(values.size, np.nan)
    np.divide(values, se, out=statistic, where=se > 0)
    p = two_sided(statistic, np.full(values.size, np.inf))
    return pd.DataFrame({"coef": values, "bse": se, "statistic": statistic, "pvalue": p}, index=list(names))


def family_table(problem: GeneralizedProblem, estimate: Array, covariance: Array) -> pd.DataFrame:
    """Return natural family-wide parameters and their standard errors by the delta method (``coef, bse``)."""
    at = _family_positions(problem, estimate)
    natural, jacobian = problem.family.natural(estimate[at])
    own = covariance[at, at]
    with np.errstate(invalid="ignore", over="ignore"):  # a parameter that ran off has no standard error
        variances = np.array((jacobian @ np.where(np.isnan(own), 0.0, own) @ jacobian.T).diagonal())
        variances[np.abs(jacobian) @ np.isnan(own.diagonal()).astype(float) > 0] = np.nan
    table = {"coef": list(natural.values()), "bse": np.sqrt(np.maximum(variances, 0.0))}
    return pd.DataFrame(table, index=family_names(problem), dtype=float)


def _family_positions(problem: GeneralizedProblem, estimate: Array) -> slice:
    return slice(estimate.size - len(problem.family.phi_names), estimate.size)


def further_table(component: str, names: Iterable[object], estimate: Array, se: Array, limits: Array) -> pd.DataFrame:
    """Return parameters without tests: ``component, term, estimate, std_error, statistic, …, conf_low, conf_high``."""
    return pd.DataFrame(
        {
            "component": component,
            "term": [str(name) for name in names],
            "estimate": estimate,
            "std_error": se,
            "statistic": np.nan,
            "p_value": np.nan,
            "conf_low": limits[:, 0],
            "conf_high": limits[:, 1],
        }
    )


def limit_notes(fit: GeneralizedFit, estimate: Array) -> list[str]:
    """Return a sentence for every parameter that has run to a limit, or was never sought."""
    limits = limit_words(fit, estimate)
    notes = list(limits.values())
    notes += held_notes([text for text in fit.held if text.split(" = ")[0] not in limits])
    for name, columns in fit.separated_components.items():
        notes.append(f"no finite estimate in the {name.replace('_', ' ')}: {', '.join(columns)} (separation)")
    family = fit.problem.family
    fixed = [(p.name, p.natural(family.fixed[p.name])) for p in family.parameters if p.name in family.fixed]
    return [*notes, *(f"given with the family, not estimated: {name} = {value:.6g}" for name, value in fixed)]


def limit_words(fit: GeneralizedFit, estimate: Array) -> dict[str, str]:
    """Return what every parameter or component that has run to a limit says, by its name."""
    beyond = [name for name, _ in fit.further_parameters]
    reached = fit.at_limit[fit.x.size - len(beyond) :]
    limits = dict.fromkeys(name for name, out in zip(beyond, reached, strict=True) if out)
    return {name: _limit_note(fit.problem, estimate, name) for name in limits}


def _limit_note(problem: GeneralizedProblem, estimate: Array, name: str) -> str:
    """Say what a component at its limit means, in which rows."""
    words = f"the {name.replace('_', ' ')} has run to its limit"
    component = next((c for c in problem.components if c.name == name), None)
    if name != "zero_inflation" or component is None:
        innermost = problem.family.innermost
        meaning, is_large = LIMITS.get((innermost.name, name), ""), innermost.limit_end > 0
        if component is None:
            size = float(estimate[_family_positions(problem, estimate)][problem.family.phi_names.index(name)])
        else:
            size = float(np.mean(component.matrix @ estimate[problem.component_slices[name]]))
        return f"{words}: {meaning}" if meaning and (size > 0) == is_large else words
    logits = component.matrix @ estimate[problem.component_slices[name]]
    low, high = int(np.sum(logits < -INFINITE_LOGIT)), int(np.sum(logits > INFINITE_LOGIT))
    if not high:
        return f"{words}: the data show none" + ("" if low == logits.size else f" in {low} of {logits.size} rows")
    rest = f"; {low} rows show none" if low else ""
    return f"{words}: in {high} of {logits.size} rows every response is zero{rest}"


def summary_tables(problem: GeneralizedProblem, estimate: Array, covariance: Array) -> dict[str, pd.DataFrame]:
    """Return the tables below the fixed effects of a summary, by title."""
    tables = component_tables(problem, estimate, covariance)
    titled = {name.replace("_", " ").capitalize(): table for name, table in tables.items()}
    if problem.family.phi_names:
        titled["Family parameters"] = family_table(problem, estimate, covariance)
    return titled
