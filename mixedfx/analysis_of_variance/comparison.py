"""Likelihood-ratio tests between fits: what a comparison needs of each, whether it makes sense, and the table."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx._suggestions import wrong_fit
from mixedfx._typing import Array
from mixedfx.analysis_of_variance.components.random_terms import SEVERAL, Extension, chi_bar_square_tail, extension_of
from mixedfx.exceptions import DataError, SingularFitWarning, SpecificationError
from mixedfx.families import parameters_at_limit
from mixedfx.inference.distributions import chi2_tail
from mixedfx.inference.likelihood_ratio import likelihood_ratio
from mixedfx.matrices import Design
from mixedfx.results.base import MixedResults, results_of_ours
from mixedfx.results.foreign import ForeignFit, foreign_fit
from mixedfx.results.nesting import Contents, Difference, contents_of, difference, same_values
from mixedfx.results.settings import settings_of

__all__ = [
    "Candidate",
    "candidate",
    "integration_note",
    "labels_of",
    "likelihood_ratio_table",
    "unlike_criteria",
    "unlike_rows",
]

SAME = 1e-8  # relative difference of responses that counts as none
JOINT = "joint likelihood"  # of responses and measurements: the one correction that has a likelihood
INTEGRATED = (
    "The log-likelihoods are not approximated alike ({}): part of the difference is that of the approximations. Fit "
    "all models with the same nagq (or method)."
)
NOISE = 1e-6  # a likelihood ratio above minus this is zero to rounding
SHORT_OF_LIMIT = 1e-4  # the same where a search ends short of the limit of its family: at 1e8 degrees of freedom of a t
REFITTED = (
    "REML fits were refitted by maximum likelihood: restricted likelihoods of models with different fixed effects "
    "cannot be compared (refit=False compares them as they are)."
)
RESTRICTED = "Restricted likelihoods are compared: the models differ in their random part only."
BOUNDARY = (
    "boundary, PR(boundary), takes into account that {} cannot be negative: an even mixture of chi-squared "
    "distributions with one df less and with df (Self and Liang 1987, Stram and Lee 1994)."
)
NOT_NESTED = (
    "The larger model has the smaller likelihood: the models are not nested, or a search ended short of its maximum. "
    "There is no test."
)
SAMPLED = (
    "chi2_error is the Monte Carlo standard deviation of chi2: likelihoods were estimated by random probes, the same "
    "for all models."
)
SHORT = {"n_params": "npar", "chi2_error": "mc err", "PR(>chi2)": "P>chi2", "PR(boundary)": "boundary"}
LIMITS = {
    "zero_inflation": "the probability of an extra zero",
    "dispersion": "the extra spread of the larger family",
    "df": "the inverse of the degrees of freedom",
}
UNLIKE = "{}: they are not nested, and there is no test. Compare their AIC (mfx.compare)."
SAME_SIZE = "{} and {} have the same number of parameters: there is no test. Compare their AIC (mfx.compare)."


@dataclass(frozen=True, eq=False)
class Candidate:
    """One model of a comparison.

    Attributes
    ----------
    formula : str
    settings : dict of str to str
        What the formula does not say, by heading.
    llf : float
    n_params : int
    response, trials : (n,) or None
    contents : Contents
        What says whether another model contains it.
    rows : array or None
        Labels of the rows used, where they are known.
    designs : tuple of Design
        None for a model of statsmodels.
    reml : bool
    columns : tuple of str
        Names of the columns of the fixed part.
    sizes : dict of str to int
        Number of coefficients of each parameter of the family that has a linear predictor of its own.
    integration : str
        How random effects were integrated out; empty for linear models.
    refitted : bool
        Whether it is a REML fit that was fitted again by maximum likelihood.
    llfs : (K,)
        The log-likelihood by each random probe; empty where it is exact.
    n_rows : int or None
        Number of rows where the arrays are not theirs.
    measured : tuple of str
        What else than the response the likelihood is of: the method of correction first; empty for the response alone.
    """

    formula: str
    settings: Mapping[str, str]
    llf: float
    n_params: int
    response: Array
    trials: Array | None
    contents: Contents
    rows: Any
    designs: tuple[Design, ...]
    reml: bool
    columns: tuple[str, ...]
    sizes: Mapping[str, int]
    integration: str = ""
    refitted: bool = False
    llfs: Array = field(default_factory=lambda: np.zeros(0), repr=False)
    n_rows: int | None = None
    measured: tuple[str, ...] = ()

    @property
    def nobs(self) -> int:
        """Number of rows."""
        return len(self.response) if self.n_rows is None else self.n_rows


def candidate(fit: Any, *, refit: bool = False) -> Candidate:
    """Return what is compared of a fit of ours or of statsmodels.

    Parameters
    ----------
    fit : results
    refit : bool
        Whether a REML fit is fitted again by maximum likelihood.

    Raises
    ------
    TypeError
        If it is no fitted model.
    """
    ours = results_of_ours(fit)
    if ours is not None:
        again = refit and ours.reml and not ours.solution.measured_by  # which are refused
        return replace(_of_mixed(_by_maximum_likelihood(ours) if again else ours), refitted=again)
    theirs = foreign_fit(fit)
    if theirs is not None:
        return _of_foreign(theirs)
    raise wrong_fit("anova", "compares fitted models", fit)


def _by_maximum_likelihood(fit: MixedResults) -> MixedResults:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)  # of a fit that the user did not ask for
        again: MixedResults = fit.model.fit(**fit.solution.as_ml, control=fit.solution.same_way)
        return again


def _of_mixed(fit: MixedResults) -> Candidate:
    design, solution, family = fit.design, fit.solution, fit.solution.family
    if solution.incomparable:
        raise SpecificationError(solution.incomparable)
    summed = design.represented is not None
    weights, offset, trials = design.weights, design.offset, design.response.trials
    if summed:
        offset = None if offset is None else _named(*design.offsets.expressions, design.offsets.column)
        weights = np.array([design.log_weights])
        trials = None if trials is None else _named(design.weights_column)
    if design.represented is not None and design.represented.read_in_pieces:
        weights = _named(design.weights_column)
    return Candidate(
        design.written,
        {"Family": family.name, "Link": family.link.name} | settings_of(fit),
        fit.llf,
        fit.n_parameters,
        _moments(design) if summed else np.asarray(design.response.values, dtype=float),
        trials,
        contents_of(fit, weights, offset),
        None if summed else design.index,
        (design,),
        fit.reml,
        tuple(design.fixed.names),
        {name: len(fixed.names) for name, fixed in solution.components.items()},
        solution.integration.split(",")[0],
        llfs=solution.llfs,
        n_rows=design.n_rows,
        measured=solution.measured_by,
    )


def _named(*columns: Any) -> Array:
    """A number that stands for columns of rows that are not at hand: the same for the same columns."""
    return np.array([float(crc32("; ".join(map(str, columns)).encode()))])


def _moments(design: Design) -> Array:
    """What sums over rows say of the response, whatever else was summed: weight, mean, mean square."""
    y, weights = design.response.values, np.ones(1) if design.weights is None else design.weights
    return np.array([weights.sum(), weights @ y / weights.sum(), weights @ y**2 / weights.sum()])


def _of_foreign(fit: ForeignFit) -> Candidate:
    return Candidate(
        fit.label,
        {"Family": fit.family.name, "Link": fit.family.link.name} if fit.family is not None else {},
        fit.llf,
        fit.n_parameters,
        fit.response,
        fit.trials,
        Contents(fit.family, fit.weights, fit.offset),
        None,
        (),
        fit.reml,
        fit.columns,
        {},
    )


def labels_of(models: Sequence[Candidate]) -> list[str]:
    """Return what each model is called below a table: its formula, and the settings in which the models differ."""
    headings = dict.fromkeys(heading for model in models for heading in model.settings)
    differing = [h for h in headings if len({model.settings.get(h) for model in models}) > 1]
    out = []
    for model in models:
        parts = [f"{h[0].lower()}{h[1:]} {model.settings[h]}" for h in differing if h in model.settings]
        out.append("; ".join([model.formula, ", ".join(parts)] if parts else [model.formula]))
    return out


def unlike_rows(models: Sequence[Candidate]) -> str | None:
    """Return why likelihoods cannot be compared because rows or responses differ; None if they can."""
    if len({model.nobs for model in models}) > 1:
        counts = " and ".join(str(model.nobs) for model in models)
        return (
            f"the models were fitted to {counts} rows: fit them to the same rows (are values missing in a column that "
            "only one of them uses?)"
        )
    first = models[0]
    if reason := _unlike_measurements(models):
        return reason
    for other in models[1:]:
        alike = np.allclose(other.response, first.response, rtol=SAME, atol=0.0)
        if alike and same_values(first.trials, other.trials, 1.0):
            continue
        if first.rows is not None and other.rows is not None and not first.rows.equals(other.rows):
            common = len(first.rows.intersection(other.rows))
            return (
                f"the models were fitted to different rows ({common} of {first.nobs} in common): fit them to the same "
                "rows"
            )
        return (
            f"the models have different responses: {first.formula!r} and {other.formula!r}. Likelihoods of different "
            "responses cannot be compared; a response and its logarithm are by family='lognormal' beside 'gaussian'"
        )
    return None


def unlike_criteria(models: Sequence[Candidate]) -> str | None:
    """Return why likelihoods of the same rows cannot be compared: restricted ones are among them; None if they can."""
    restricted = [model for model in models if model.reml]
    if restricted and len(restricted) < len(models):
        return "some of the models have restricted likelihoods (REML) and some full ones, which do not compare"
    if len({frozenset(model.columns) for model in restricted}) > 1:
        return "restricted likelihoods compare models with the same fixed effects only"
    return None


def _unlike_measurements(models: Sequence[Candidate]) -> str:
    """Return why likelihoods of measured predictors cannot be compared; empty if they can."""
    corrected = [model for model in models if model.measured]
    if not corrected:
        return ""
    calibrated = [model.measured[0] for model in corrected if model.measured[0] != JOINT]
    if calibrated:
        return (
            f"errors of measurements were corrected for by {calibrated[0]}, which has no likelihood to compare: fit "
            'with errors_in_variables="ml", or test coefficients with fit.wald_test'
        )
    if len({model.measured for model in models}) == 1:
        return ""
    return (
        "the joint likelihood of a response and of measurements compares models with the same measurements and the "
        "same other predictors, on which the true values depend too: test coefficients with fit.wald_test"
    )


def integration_note(models: Sequence[Candidate]) -> list[str]:
    """Return a note if log-likelihoods are approximated in different ways."""
    kinds = dict.fromkeys(model.integration for model in models if model.integration)
    return [INTEGRATED.format(", ".join(kinds))] if len(kinds) > 1 else []


@dataclass(frozen=True)
class _Comparison:
    """A model against the next smaller one.

    Attributes
    ----------
    chi2, df, p : float
    boundary : float
        p-value where a parameter lies at the end of its range under the null hypothesis.
    at_limit : tuple of str
        What is tested there, a name for each parameter.
    unlike : Difference
        Why the larger model does not contain the smaller one.
    error : float
        Monte Carlo standard deviation of ``chi2``; 0 between exact fits.
    doubt : str
        Why that leaves no test.
    """

    chi2: float
    df: int
    p: float
    boundary: float = np.nan
    at_limit: tuple[str, ...] = ()
    unlike: Difference = field(default_factory=Difference)
    error: float = 0.0
    doubt: str = ""


def likelihood_ratio_table(fits: Sequence[Any], *, refit: bool = True) -> StatsTable:
    """Return the table: models in the order of their numbers of parameters, each tested against the one above."""
    candidates = [candidate(fit, refit=refit) for fit in fits]
    _check_comparable(candidates)
    models = sorted(candidates, key=lambda model: model.n_params)
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
    for name, key in (("chi2", "chi2"), ("df", "df"), ("PR(>chi2)", "p")):
        frame[name] = [np.nan, *(getattr(step, key) for step in steps)]
    if any(step.error for step in steps):
        frame.insert(list(frame).index("chi2") + 1, "chi2_error", [np.nan, *(step.error for step in steps)])
    notes = [f"model {i + 1}: {label}" for i, label in enumerate(labels_of(models))]
    notes += (
        [REFITTED]
        if any(model.refitted for model in models)
        else [RESTRICTED]
        if any(model.reml for model in models)
        else []
    )
    notes += integration_note(models)
    numbers = [(f"Model {i + 1}", f"model {i + 2}") for i in range(len(steps))]
    notes += [UNLIKE.format(s.unlike.words(*pair)) for pair, s in zip(numbers, steps, strict=True) if s.unlike]
    notes += [SAME_SIZE.format(*pair) for pair, s in zip(numbers, steps, strict=True) if not (s.df or s.unlike)]
    if any(np.isnan(step.p) and step.df > 0 and not (step.unlike or step.doubt) for step in steps):
        notes.append(NOT_NESTED)
    notes += [SAMPLED] if any(step.error for step in steps) else []
    notes += [f"model {i + 2}: {step.doubt}." for i, step in enumerate(steps) if step.doubt]
    if any(step.at_limit for step in steps):
        frame["PR(boundary)"] = [np.nan, *(step.boundary for step in steps)]
        single = dict.fromkeys(step.at_limit[0] for step in steps if len(step.at_limit) == 1)
        notes += [BOUNDARY.format(" or ".join(single))] if single else []
        notes += [SEVERAL] if any(len(step.at_limit) > 1 for step in steps) else []
    return StatsTable.from_frame(
        frame,
        heading="Likelihood-ratio tests",
        notes=notes,
        formats={"PR(boundary)": "p", "n_params": "count"},
        headers=SHORT,
    )


def _step(small: Candidate, large: Candidate) -> _Comparison:
    df = large.n_params - small.n_params
    ratio = likelihood_ratio((large.llf, large.llfs), (small.llf, small.llfs))
    unlike = difference(small.contents, large.contents)
    of_family = _at_limit(small, large)
    if df == 0 or unlike or ratio.is_negative(SHORT_OF_LIMIT if of_family else NOISE):
        return _Comparison(ratio.value if df else np.nan, df, np.nan, unlike=unlike, error=ratio.error if df else 0.0)
    chi2, doubt = max(ratio.value, 0.0), ratio.doubt(df)
    if doubt:
        return _Comparison(chi2, df, np.nan, error=ratio.error, doubt=doubt)
    in_residuals = any(one not in large.contents.factors for one in small.contents.factors)  # what may be a variance
    extension = extension_of(small.designs, large.designs[0], df) if large.designs and not in_residuals else None
    at_limit = ("a variance",) * (extension.variances if extension else 0) + of_family
    if extension is None or not at_limit:
        return _Comparison(chi2, df, chi2_tail(chi2, df), error=ratio.error)
    whole = Extension(len(at_limit), df - len(at_limit))
    tail = chi_bar_square_tail(chi2, whole)
    return _Comparison(chi2, df, chi2_tail(chi2, df), tail, at_limit, error=ratio.error)


def _at_limit(small: Candidate, large: Candidate) -> tuple[str, ...]:
    """The parameters of the larger family that are at the end of their range where it is the smaller one."""
    one, other = small.contents.family, large.contents.family
    if one is None or other is None:
        return ()
    names = [name for name in parameters_at_limit(one, other) or () if name not in other.fixed]
    return tuple(LIMITS.get(name, f"a {name}") for name in names for _ in range(large.sizes.get(name, 1)))


def _check_comparable(models: Sequence[Candidate]) -> None:
    reason = unlike_rows(models)
    if reason is not None:
        raise DataError(reason)
    reason = unlike_criteria(models)
    if reason is not None:
        raise SpecificationError(f"{reason}: leave refit=True, which fits all of them by maximum likelihood")
