"""Responses from a formula and parameters, without a fit: to plan a study, to teach, to test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.families import Family, FamilyName, LinkName, family_for
from mixedfx.formula import Formula
from mixedfx.matrices import Predictors, build_predictors
from mixedfx.results.simulate import SimulatedRows, checked_count, drawn_terms, generator, random_parts, weighted_noise
from mixedfx.results.stated import Stated, stated

__all__ = ["simulate"]


def simulate(
    formula: str | Formula,
    data: Any,
    *,
    params: Mapping[str, Any] | pd.Series[float],
    family: FamilyName | Any = None,
    link: LinkName | Any = None,
    n: int = 1,
    seed: Any = None,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    functions: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Draw responses from a formula and parameters; nothing is fitted.

    Parameters
    ----------
    formula : str
        As for :func:`lmer`. The columns of its left side need not exist; what is drawn is the left side.
    data : data frame or dict of arrays
        Predictors and groups. Rows with missing values are left out.
    params : dict or Series
        Values by name: the fixed effects as in ``fit.params``, standard deviations ``sd_x|g`` and correlations
        ``cor_x.y|g`` as in ``fit.conf_int(which="all")`` (correlations that are left out are zero), ``sigma``. Instead
        of standard deviations and correlations ``theta``, all covariance parameters as in ``fit.theta``. With a family
        its own parameters on their natural scales: ``dispersion``, ``df``, ``power``, ``zero_inflation`` (a
        probability), ``thresholds`` (a list).
    family, link
        As for :func:`glmer`; a linear model if omitted.
    n : int
        Number of draws.
    seed : int, SeedSequence or Generator, optional
        The same seed gives the same draws.
    weights : str or array, optional
        Precision weights; the trials of a binomial response (1 if omitted).
    offset, contrasts, functions
        As for :func:`lmer`.

    Returns
    -------
    DataFrame
        Rows x n; proportions for a binomial response, numbers 1, 2, … for categories.

    Raises
    ------
    SpecificationError
        If a parameter is missing, unknown or impossible; the message lists what is expected.
    DataError
        If the data cannot serve the formula.

    Examples
    --------
    Twenty subjects on ten days, with a slope that has to be found:

    >>> import numpy as np, pandas as pd, mixedfx as mfx
    >>> plan = pd.DataFrame({"Subject": np.repeat(np.arange(20), 10), "Days": np.tile(np.arange(10), 20)})
    >>> values = {"Intercept": 250, "Days": 10, "sd_Intercept|Subject": 25, "sd_Days|Subject": 6, "sigma": 25}
    >>> draws = mfx.simulate("y ~ Days + (Days | Subject)", plan, params=values, n=100, seed=1)
    >>> draws.shape
    (200, 100)
    >>> plan["y"] = draws[0]
    >>> fit = mfx.lmer("y ~ Days + (Days | Subject)", plan)
    >>> slopes = fit.refit_many(draws).params["Days"]
    >>> print(f"{slopes.mean():.1f} +- {slopes.std():.1f}")
    9.9 +- 1.4
    """
    draws, rng = checked_count(n), generator(seed)
    chosen = None if family is None and link is None else _family(family, link, params)
    design = build_predictors(formula, data, weights=weights, offset=offset, contrasts=contrasts, functions=functions)
    values = stated(params, design, chosen)
    if chosen is not None and weights is not None and not (chosen.proportions or chosen.precision_weights):
        raise SpecificationError(f"weights multiply the likelihood of the family {chosen.name!r}: they draw nothing")
    fixed = values.fixed if design.offset is None else values.fixed + design.offset
    rows = SimulatedRows(fixed, drawn_terms(design.random), design.index)
    modes = [np.zeros((term.n_columns, term.n_levels)) for term in design.random]
    none = [np.zeros(term.n_columns, dtype=bool) for term in design.random]
    eta = fixed[:, None] + random_parts(rows, values.roots, modes, draws, rng, none)
    y = _linear(eta, design, values, rng) if chosen is None else _response(eta, design, values, chosen, rng)
    return pd.DataFrame(y, index=design.index)


def _family(family: Any, link: Any, params: Any) -> Family:
    """The family; an ordinal one has a category more than thresholds."""
    chosen = family_for("gaussian" if family is None else family, link)
    if not chosen.has_categories or "thresholds" not in params:
        return chosen
    return chosen.with_categories(np.size(params["thresholds"]) + 1)


def _linear(eta: Array, design: Predictors, values: Stated, rng: np.random.Generator) -> Array:
    return eta + values.sigma * weighted_noise(rng.standard_normal(eta.shape), design.weights)


def _response(eta: Array, design: Predictors, values: Stated, family: Family, rng: np.random.Generator) -> Array:
    others = [np.full(eta.T.shape, constant) for constant in values.components]
    predictors = np.stack([eta.T, *others], axis=-1) if others else eta.T
    trials = design.weights if family.proportions and design.weights is not None else 1.0
    weights = design.weights if family.precision_weights else None
    return family.simulate(rng, predictors, values.phi, trials=trials, weights=weights).T
