"""Likelihood-ratio tests between fits."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.analysis_of_variance.boundary import SEVERAL, chi_bar_square_tail, extension_of
from mixedfx.design import Design
from mixedfx.exceptions import DataError, SingularFitWarning, SpecificationError
from mixedfx.inference.distributions import chi2_tail
from mixedfx.results.base import MixedResults
from mixedfx.results.linear import LinearMixedResults

__all__ = ["likelihood_ratio_table"]

SAME = 1e-8  # relative difference of responses that counts as none
NOISE = 1e-6  # a likelihood ratio above minus this is zero to rounding

REFITTED = (
    "REML fits were refitted by maximum likelihood: restricted likelihoods of models with different fixed effects "
    "cannot be compared (refit=False compares them as they are)."
)
RESTRICTED = "Restricted likelihoods are compared: the models differ in their random part only."
BOUNDARY = (
    "PR(boundary) takes into account that a variance cannot be negative: an even mixture of chi-squared distributions "
    "with one df less and with df (Stram and Lee 1994)."
)
NOT_NESTED = "The larger model has the smaller likelihood: the models are not nested, and there is no test."
INTEGRATED = (
    "The log-likelihoods are not approximated alike ({}): part of the difference is that of the approximations. Fit "
    "all models with the same nagq."
)


@dataclass(frozen=True)
class _Candidate:
    """One model of a comparison."""

    label: str
    llf: float
    n_params: int
    nobs: int
    response: Array
    designs: tuple[Design, ...]  # none for a model without random effects
    reml: bool
    columns: tuple[str, ...]
    integration: str = ""


def likelihood_ratio_table(fits: Sequence[Any], *, refit: bool = True) -> StatsTable:
    """Return the table: models in the order of their numbers of parameters, each tested against the one above."""
    given = [_candidate(fit, refit=refit) for fit in fits]
    _check_comparable(given)
    models = sorted(given, key=lambda model: model.n_params)
    refitted = refit and any(isinstance(fit, LinearMixedResults) and fit.reml for fit in fits)
    frame = pd.DataFrame(
        {
            "n_params": [model.n_params for model in models],
            "aic": [-2.0 * model.llf + 2.0 * model.n_params for model in models],
            "bic": [-2.0 * model.llf + np.log(model.nobs) * model.n_params for model in models],
            "llf": [model.llf for model in models],
            "deviance": [-2.0 * model.llf for model in models],
        },
        index=[f"model {i + 1}" for i in range(len(models))],
    )
    steps = [_step(small, large) for small, large in pairwise(models)]
    for name, position in (("chi2", 0), ("df", 1), ("PR(>chi2)", 2)):
        frame[name] = [np.nan, *(step[position] for step in steps)]
    notes = [f"model {i + 1}: {model.label}" for i, model in enumerate(models)]
    notes += [REFITTED] if refitted else [RESTRICTED] if any(model.reml for model in models) else []
    kinds = dict.fromkeys(model.integration for model in models if model.integration)
    if len(kinds) > 1:
        notes.append(INTEGRATED.format(", ".join(kinds)))
    if any(np.isnan(step[2]) and step[1] > 0 for step in steps):
        notes.append(NOT_NESTED)
    variances = [step[4] for step in steps]
    if any(variances):
        frame["PR(boundary)"] = [np.nan, *(step[3] for step in steps)]
        notes += [BOUNDARY] * (1 in variances) + [SEVERAL] * any(v > 1 for v in variances)
    return StatsTable.from_frame(
        frame, heading="Likelihood-ratio tests", notes=notes, formats={"PR(boundary)": "p", "n_params": "count"}
    )


def _step(small: _Candidate, large: _Candidate) -> tuple[float, int, float, float, int]:
    """Chi-squared, df, p, boundary-corrected p, and the number of variances tested."""
    df = large.n_params - small.n_params
    chi2 = 2.0 * (large.llf - small.llf)
    if df == 0 or chi2 < -NOISE:
        return chi2 if df else np.nan, df, np.nan, np.nan, 0
    chi2 = max(chi2, 0.0)
    extension = extension_of(small.designs, large.designs[0], df) if large.designs else None
    if extension is None:
        return chi2, df, chi2_tail(chi2, df), np.nan, 0
    return chi2, df, chi2_tail(chi2, df), chi_bar_square_tail(chi2, extension), extension.variances


def _candidate(fit: Any, *, refit: bool) -> _Candidate:
    if isinstance(fit, LinearMixedResults):
        used = _by_maximum_likelihood(fit) if refit and fit.reml else fit
        return _of_mixed(used, used.reml)
    if isinstance(fit, MixedResults):
        return _of_mixed(fit, False)
    if hasattr(fit, "llf") and hasattr(fit, "model") and hasattr(fit.model, "endog"):
        label = str(getattr(fit.model, "formula", type(fit.model).__name__))
        n_params = len(fit.params) + int(getattr(fit, "scale", 1.0) != 1.0)  # an estimated scale is no entry of params
        response = np.asarray(fit.model.endog, dtype=float)
        columns = tuple(map(str, fit.model.exog_names))
        return _Candidate(label, float(fit.llf), n_params, len(response), response, (), False, columns)
    raise TypeError(f"anova compares fitted models; found {type(fit).__name__}")


def _by_maximum_likelihood(fit: LinearMixedResults) -> LinearMixedResults:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)  # of a fit that the user did not ask for
        return fit.model.fit(reml=False)


def _of_mixed(fit: MixedResults, reml: bool) -> _Candidate:
    design = fit.design
    return _Candidate(
        str(design.formula),
        fit.llf,
        fit.n_parameters,
        fit.nobs,
        np.asarray(design.response.values, dtype=float),
        (design,),
        reml,
        tuple(design.fixed.names),
        str(getattr(fit, "integration", "")).split(",")[0],
    )


def _check_comparable(models: Sequence[_Candidate]) -> None:
    first = models[0]
    for other in models[1:]:
        if other.nobs != first.nobs:
            raise DataError(
                f"the models were fitted to {first.nobs} and {other.nobs} rows: fit them to the same rows (are values "
                "missing in a column that only one of them uses?)"
            )
        if not np.allclose(other.response, first.response, rtol=SAME, atol=0.0):
            raise DataError(f"the models have different responses: {first.label!r} and {other.label!r}")
        if other.reml != first.reml:
            raise SpecificationError("a REML fit and a fit by maximum likelihood cannot be compared: leave refit=True")
        if other.reml and set(other.columns) != set(first.columns):
            raise SpecificationError(
                "REML fits with different fixed effects cannot be compared: leave refit=True, which fits them by "
                "maximum likelihood"
            )
