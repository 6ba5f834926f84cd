"""From the results of a fit, ours or statsmodels', to what marginal means need."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.families import family_for
from mixedfx.formula import Formula, columns_in
from mixedfx.inference.denominator import Asymptotic, Denominator
from mixedfx.marginal_means.model import Columns, FittedModel, Predictor, Spread, fixed_df, predictor_of
from mixedfx.marginal_means.outcomes import Outcome, outcome_of, outcome_of_transformed
from mixedfx.marginal_means.scales import IDENTITY, MeanScale, scale_of_discrete, scale_of_link, scale_of_response
from mixedfx.matrices import Design, as_frame
from mixedfx.matrices.encoder import Encoder, FormulaicEncoder, Variable, read_variable
from mixedfx.matrices.frame import FrameRows
from mixedfx.matrices.new_rows import linear_predictor_variance
from mixedfx.matrices.rows import read_argument
from mixedfx.results.generalized import GeneralizedLinearMixedResults
from mixedfx.results.linear import LinearMixedResults

__all__ = ["fitted_model"]

STEP = 1e-5  # of differences of variances in their parameters
RANK = 1e-9  # singular values of scaled columns, relative to the largest, that count as zero

Ours = LinearMixedResults | GeneralizedLinearMixedResults


def fitted_model(fit: Any, ddf: str | float | None, *, population: bool = False, response: bool = False) -> FittedModel:
    """Return what marginal means need of ``fit``.

    Parameters
    ----------
    fit : results
        Of mixedfx (those of :func:`mixedfx.aov` stand for the mixed model with the same strata), or of a statsmodels
        model that was given as a formula.
    ddf : str or float, optional
        Method of the denominator degrees of freedom, or a number of them.
    population : bool
        Whether the columns of the random effects will be needed.
    response : bool
        Whether the response is wanted, and not only the linear predictor.

    Raises
    ------
    TypeError
        If ``fit`` is nothing of the kind.
    """
    if isinstance(fit, LinearMixedResults | GeneralizedLinearMixedResults):
        return _of_mixed(fit, ddf, population, response)
    if isinstance(fit, Stratified):
        return _of_strata(fit, ddf, population)
    if hasattr(fit, "cov_params") and hasattr(getattr(fit, "model", None), "exog"):
        if np.ndim(fit.params) != 1:
            raise SpecificationError(
                f"a model of several linear predictors has no marginal means here; found {type(fit.model).__name__}: "
                "fit the categories in pairs, by logit"
            )
        return _of_statsmodels(fit, ddf)
    raise TypeError(
        "marginal means need results of lmer, glmer or aov, or of a statsmodels model fitted from a formula, found "
        f"{type(fit).__name__}"
    )


def _number_or_none(ddf: Any) -> float | None:
    if isinstance(ddf, bool) or not isinstance(ddf, int | float | np.number):
        return None
    if not ddf > 0:
        raise SpecificationError(f"ddf is the name of a method or a positive number; found {ddf}")
    return float(ddf)


# ---------------------------------------------------------------- mixed models
@dataclass(frozen=True, eq=False)
class MixedColumns(Columns):
    """Columns by the encoders of a design."""

    design: Design

    def matrix(self, data: pd.DataFrame) -> Array:
        """Return all columns (n, P)."""
        return self.design.fixed.encode_full(data)

    @property
    def offset_names(self) -> tuple[str, ...]:
        """The predictors that the offset uses."""
        return _offset_columns(self.design)

    @property
    def has_offset(self) -> bool:
        """Whether there is an offset at all."""
        return self.design.offset is not None

    def own_offset(self, data: pd.DataFrame) -> Array:
        """Return the offset (n,) of the rows of the fit, with other values of predictors."""
        return _or_zero(self.design.offsets.encode(data, self.design.offsets.given), data)

    def new_offset(self, data: pd.DataFrame, given: Any) -> Array:
        """Return the offset (n,) of other rows."""
        return _or_zero(self.design.offsets.encode(data, given), data)

    def usual_offset(self, data: pd.DataFrame) -> Array:
        """Return the offset (n,) of a reference grid: an array argument counts with its mean."""
        given = self.design.offsets.given
        mean = None if given is None else np.full(len(data), float(np.mean(given)))
        return _or_zero(self.design.offsets.encode(data, mean), data)


def _or_zero(offset: Array | None, data: pd.DataFrame) -> Array:
    return np.zeros(len(data)) if offset is None else offset


def _variance(design: Design, data: pd.DataFrame, covariances: Sequence[Array]) -> Array:
    """Return the variance (n,) that random effects of typical levels give to the linear predictor."""
    total = np.zeros(len(data))
    for term, covariance in zip(design.random, covariances, strict=True):
        z = term.encoder.encode(data)
        own = 1.0 if term.loading is None else float(np.mean(np.sum(term.loading**2, axis=1)))
        total += own * np.einsum("ia,ab,ib->i", z, covariance, z)
    return total


def _of_mixed(fit: Ours, ddf: str | float | None, population: bool, response: bool = False) -> FittedModel:
    design = fit.design
    fixed = design.fixed
    null = fixed.silent()
    scale = _scale(fit)
    wide = response or not _has_intercept(fit)
    predictors, observed = _predictors(fit, population, wide)
    beta = np.asarray(fit.params, dtype=float)
    denominator, terms = _denominator(fit, ddf), _terms(design)
    model = FittedModel(
        beta,
        denominator,
        fixed.kept,
        null,
        MixedColumns(design),
        predictors,
        observed,
        scale,
        terms,
        design.response.name,
        tuple(fit.params.index),
        partial(_spread, fit) if isinstance(fit, LinearMixedResults) and not len(fit.residual_params) else None,
        partial(_rows, fit, ["weights="]),
        elsewhere={own: part for own, part in _elsewhere(fit).items() if own not in predictors},
        write=lambda rows: fit._canonical_rows.usual(rows),
        notes=fit.separation_notes,
    )
    if isinstance(fit, GeneralizedLinearMixedResults):
        return replace(model, outcome=_outcome(fit, model, ddf)) if wide else model
    return replace(model, outcome=_transformed(fit, model)) if population and not scale.is_identity else model


def _elsewhere(fit: Ours) -> dict[str, str]:
    """Return the columns of the further linear predictors, with the name of one that uses them."""
    if not isinstance(fit, GeneralizedLinearMixedResults):
        return {}
    return {name: part for part, fixed in fit.model.components.items() for name in fixed.encoder.variables}


def _outcome(fit: GeneralizedLinearMixedResults, model: FittedModel, ddf: str | float | None) -> Outcome:
    def variance(data: pd.DataFrame, x: Array) -> Array:
        return _variance(fit.design, data, fit.solution.problem.covariances(x))

    return outcome_of(fit, model, _number(fit, ddf), variance)


def _transformed(fit: LinearMixedResults, model: FittedModel) -> Outcome:
    """Return the response behind a transformed one, whose residual is averaged over too."""

    def variance(data: pd.DataFrame, theta: Array) -> Array:
        return _total_variance(fit, theta, lambda own: _variance(fit.design, data, own))

    theta = _variance_parameters(fit)
    return outcome_of_transformed(fit, model, variance, theta, fit.variance_parameters.covariance)


def _variance_parameters(fit: LinearMixedResults) -> Array:
    """Return ``(theta, rho, log sigma^2)``, whose covariance ``fit.variance_parameters`` knows."""
    return np.append(fit.solution.point.x, np.log(fit.solution.at.sigma2))


def _total_variance(fit: LinearMixedResults, theta: Array, of_effects: Callable[[list[Array]], Array]) -> Array:
    """Return the variance of observations: that of the random effects, by their covariances, and the residual's.

    Parameters beyond a bound stand at it: differences may look there, at parameters that do not vary.
    """
    problem = fit.solution.problem
    inside = np.clip(theta[:-1], problem.criterion.search_lower, problem.criterion.upper)
    relative = problem.relative_covariances(inside)
    return np.asarray(problem.basis.scale**2 * np.exp(theta[-1]) * (1.0 + of_effects(relative)))


def _spread(fit: LinearMixedResults) -> Spread:
    """Return the standard deviation of an observation: random effects and residual together, averaged over the rows."""

    def variance(theta: Array) -> float:
        everything = [np.ones(term.n_columns, dtype=bool) for term in fit.design.random]
        found = _total_variance(fit, theta, lambda own: linear_predictor_variance(fit.design, own, everything))
        return float(np.mean(found))

    at = _variance_parameters(fit)
    slope = np.array([variance(at + s) - variance(at - s) for s in STEP * np.eye(at.size)]) / (2.0 * STEP)
    total, error = variance(at), float(slope @ fit.variance_parameters.covariance @ slope)
    words = "random effects and residual together" if fit.design.random else "the residual"
    return Spread(float(np.sqrt(total)), 2.0 * total**2 / error if error > 0 else np.inf, words)


def _terms(design: Design) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(columns_in(term)) for term in design.formula.fixed_terms)


def _has_intercept(fit: Ours) -> bool:
    return not isinstance(fit, GeneralizedLinearMixedResults) or fit.solution.problem.family.has_intercept


def _denominator(fit: Ours, ddf: str | float | None) -> Denominator:
    number = _number(fit, ddf)
    if number is None:
        return fit.denominator(ddf).of_means()  # type: ignore[arg-type]
    return fixed_df(np.asarray(fit.cov_params()), number, "the user" if ddf != "residual" else "the residual")


def _number(fit: Ours, ddf: str | float | None) -> float | None:
    """Return the degrees of freedom if they are the same for everything."""
    number = _number_or_none(ddf)
    if number is None and ddf == "residual" and isinstance(fit, GeneralizedLinearMixedResults):
        return float(fit.df_resid)
    return number


def _scale(fit: Ours) -> MeanScale:
    if isinstance(fit, GeneralizedLinearMixedResults):
        return scale_of_link(fit.solution.problem.family.link, has_mean=_has_intercept(fit))
    return scale_of_response(fit.design.formula.response)


def _predictors(fit: Ours, population: bool, wide: bool) -> tuple[dict[str, Predictor], pd.DataFrame]:
    """Return the predictors of the fixed part, the offset and, if wanted, of random effects and further predictors."""
    design = fit.design
    variables = dict(design.variables)
    encoders = [design.fixed.encoder, *(term.encoder for term in design.random if population)]
    of_fixed = set(variables)
    if wide and isinstance(fit, GeneralizedLinearMixedResults):
        own = [fixed.encoder for fixed in fit.model.components.values()]
        encoders += own
        of_fixed |= {name for encoder in own for name in encoder.variables}
    further = [name for encoder in encoders for name in encoder.variables if name not in variables]
    further += [name for name in _offset_columns(design) if name not in variables]
    if further:
        rows = _rows(fit, further)
        variables |= {name: read_variable(name, rows) for name in further}
    return _described(variables, encoders, of_fixed)


def _described(
    variables: Mapping[str, Variable], encoders: Sequence[Encoder], of_fixed: Container[str]
) -> tuple[dict[str, Predictor], pd.DataFrame]:
    """Return the predictors and their values."""
    made_of = {name for encoder in encoders for name in _factor_columns(encoder)}
    observed = pd.DataFrame({name: _values(variable) for name, variable in variables.items()})
    found = {}
    for name, variable in variables.items():
        predictor = predictor_of(name, observed[name], is_factor=variable.is_factor or name in made_of)
        found[name] = replace(predictor, is_fixed=name in of_fixed)
    return found, observed


def _rows(fit: Ours, names: Sequence[str]) -> FrameRows:
    inputs = fit.model.inputs
    if inputs is None:
        raise SpecificationError(
            f"a refit does not keep the columns {', '.join(map(repr, names))}, which are needed here: fit the model "
            "to data with the new response"
        )
    return FrameRows(inputs.frame, fit.design.keep)


def _values(variable: Variable) -> pd.Series:
    if variable.labels is None:
        return pd.Series(np.asarray(variable.numbers).astype(bool) if variable.is_logical else variable.numbers)
    return pd.Series(pd.Categorical.from_codes(variable.labels.codes, categories=variable.labels.levels))


def _factor_columns(encoder: Encoder) -> tuple[str, ...]:
    """Return the columns of which the factors of an encoder are made."""
    if not isinstance(encoder, FormulaicEncoder):
        return ()
    return columns_in(text for text in encoder.expressions if text in encoder.levels)


def _offset_columns(design: Design) -> tuple[str, ...]:
    offsets = design.offsets
    named = () if offsets.column is None else (offsets.column,)
    return (*columns_in(offsets.expressions), *named)


# ---------------------------------------------------------------- error strata
class StrataModel(Protocol):
    """The model with the same strata."""

    @property
    def mixed(self) -> Formula:
        """Its formula."""

    def design(self) -> Design:
        """Return its design."""


class StrataEstimates(Protocol):
    """Coefficients with errors from strata."""

    @property
    def design(self) -> Design:
        """The design."""

    @property
    def beta(self) -> Array:
        """The coefficients (p,)."""

    @property
    def denominator(self) -> Denominator:
        """Their covariance and degrees of freedom."""


@runtime_checkable
class Stratified(Protocol):
    """Results of an analysis of variance with error strata, which another room of the package makes."""

    @property
    def model(self) -> StrataModel:
        """The model with the same strata."""

    def strata_estimates(self) -> StrataEstimates | None:
        """Return the coefficients with errors from the strata, where these have one variance each."""

    def mixed_model(self) -> LinearMixedResults:
        """Return the mixed model with the same strata, fitted."""


def _of_strata(fit: Stratified, ddf: str | float | None, population: bool) -> FittedModel:
    """Return the estimates of the strata; with one stratum only those of least squares, else those of a mixed model."""
    formula = fit.model.mixed
    if not formula.random:
        return _of_design(fit.model.design(), ddf)
    number = _number_or_none(ddf)
    found = fit.strata_estimates() if ddf in (None, "z") or number is not None else None
    averaged = population and not scale_of_response(formula.response).is_identity  # needs the variances
    if found is not None and not averaged:
        covariance = found.denominator.covariance
        denominator = Asymptotic(covariance) if ddf == "z" else found.denominator
        if number is not None:
            denominator = fixed_df(covariance, number, "the user")
        return replace(_linear(found.design, found.beta, denominator), notes=("From the error strata of aov.",))
    note = f"From the mixed model with the strata of aov: {formula}."
    return replace(_of_mixed(fit.mixed_model(), ddf, population), notes=(note,))


def _of_design(design: Design, ddf: str | float | None) -> FittedModel:
    """Fit a linear model by least squares."""
    fixed, y = design.fixed, design.response.values
    Q, R = np.linalg.qr(fixed.matrix)
    inverse = np.linalg.inv(R)
    beta = inverse @ (Q.T @ y)
    df = float(len(y) - len(beta))
    rest = y - fixed.matrix @ beta
    covariance = inverse @ inverse.T * (rest @ rest / df if df > 0 else np.nan)
    spread = Spread(float(np.sqrt(rest @ rest / df)) if df > 0 else np.nan, df, "the residual")
    return _linear(design, beta, _plain_denominator(covariance, df, ddf, "residual"), lambda: spread)


def _linear(
    design: Design, beta: Array, denominator: Denominator, spread: Callable[[], Spread] | None = None
) -> FittedModel:
    """Return a model without random effects."""
    fixed = design.fixed
    predictors, observed = _described(design.variables, [fixed.encoder], design.variables)
    return FittedModel(
        beta,
        denominator,
        fixed.kept,
        fixed.silent(),
        MixedColumns(design),
        predictors,
        observed,
        scale_of_response(design.formula.response),
        _terms(design),
        design.response.name,
        fixed.names,
        spread,
    )


# ---------------------------------------------------------------- statsmodels
@dataclass(frozen=True, eq=False)
class StatsmodelsColumns(Columns):
    """Columns by the formula engine of statsmodels."""

    encode: Callable[[pd.DataFrame], Array]
    known: Array | None
    offset_names: tuple[str, ...] = ()

    def matrix(self, data: pd.DataFrame) -> Array:
        """Return all columns (n, P)."""
        return self.encode(data)

    @property
    def has_offset(self) -> bool:
        """Whether there is an offset or an exposure."""
        return self.known is not None

    def own_offset(self, data: pd.DataFrame) -> Array:
        """Return the offset (n,) of the rows of the fit."""
        return _or_zero(self.known, data)

    def new_offset(self, data: pd.DataFrame, given: Any) -> Array:
        """Return the offset (n,) of other rows, which must be given if the model has one."""
        if given is None and self.has_offset:
            raise SpecificationError("the model has an offset: give offset=… for the new data too (one value a row)")
        argument = read_argument("offset", given, as_frame(data))
        return _or_zero(None if argument is None else argument.used(None), data)

    def usual_offset(self, data: pd.DataFrame) -> Array:
        """Return the mean (n,) of the offset."""
        return np.zeros(len(data)) if self.known is None else np.full(len(data), float(np.mean(self.known)))


def _of_statsmodels(fit: Any, ddf: str | float | None) -> FittedModel:
    spec, frame = getattr(fit.model.data, "model_spec", None), getattr(fit.model.data, "frame", None)
    if spec is None:
        spec = getattr(fit.model.data, "design_info", None)  # statsmodels before 0.15
    if spec is None or frame is None:
        raise SpecificationError(
            "the statsmodels model must be fitted from a formula: smf.ols('y ~ a * b', data).fit()"
        )
    expressions, encode = _patsy(spec) if hasattr(spec, "factor_infos") else _formulaic(spec)
    keep = np.ones(len(frame), dtype=bool)
    keep[list(fit.model.data.missing_row_idx or [])] = False
    used = frame[keep]
    names = [name for name in columns_in(expressions) if name in frame.columns]
    factors = columns_in(text for text, categorical in expressions.items() if categorical)
    observed = used[names].reset_index(drop=True)
    predictors = {name: predictor_of(name, observed[name], is_factor=name in factors) for name in names}
    exog = np.asarray(fit.model.exog, dtype=float)
    p = exog.shape[1]
    beta, covariance = np.asarray(fit.params, dtype=float)[:p], np.asarray(fit.cov_params(), dtype=float)[:p, :p]
    return FittedModel(
        beta,
        _statsmodels_denominator(fit, covariance, ddf),
        np.arange(p),
        _null_space(exog),
        StatsmodelsColumns(encode, _statsmodels_offset(fit)),
        predictors,
        observed,
        _statsmodels_scale(fit),
        _statsmodels_terms(spec),
        str(fit.model.endog_names),
        tuple(map(str, fit.model.exog_names)),
        (lambda: Spread(float(np.sqrt(fit.scale)), float(fit.df_resid), "the residual")) if _is_linear(fit) else None,
        lambda: FrameRows(as_frame(frame), keep),
    )


def _is_linear(fit: Any) -> bool:
    """Say whether a fit of statsmodels is one of a linear model, whose scale is the variance of an observation."""
    return hasattr(fit, "ssr") and hasattr(fit, "scale")


def _statsmodels_terms(spec: Any) -> tuple[frozenset[str], ...]:
    """Return the predictors in each term, of patsy's or formulaic's description of a model matrix."""
    if hasattr(spec, "factor_infos"):
        texts = [[factor.code for factor in term.factors] for term in spec.terms]
    else:
        texts = [[factor.expr for factor in term.factors] for term in spec.terms]
    return tuple(frozenset(columns_in(own)) for own in texts)


def _patsy(info: Any) -> tuple[Mapping[str, bool], Callable[[pd.DataFrame], Array]]:
    from patsy import build_design_matrices

    kinds = {factor.code: found.type == "categorical" for factor, found in info.factor_infos.items()}
    return kinds, lambda data: np.asarray(build_design_matrices([info], data, NA_action="raise")[0], dtype=float)


def _formulaic(spec: Any) -> tuple[Mapping[str, bool], Callable[[pd.DataFrame], Array]]:
    kinds = {text: "categorical" in str(kind) for text, (kind, _) in spec.encoder_state.items()}
    context = {"np": np}
    return kinds, lambda data: np.asarray(spec.get_model_matrix(data, context=context), dtype=float)


def _null_space(exog: Array) -> Array:
    """Return an orthonormal basis (P, d) of the combinations of columns that are zero in every row."""
    size = np.sqrt(np.einsum("ij,ij->j", exog, exog))
    size = np.where(size > 0, size, 1.0)
    _, singular, right = np.linalg.svd(exog / size, full_matrices=False)
    null = right[singular <= RANK * singular[0]].T / size[:, None]
    return np.where(np.abs(null) > RANK * np.abs(null).max(initial=0.0), null, 0.0)


def _statsmodels_offset(fit: Any) -> Array | None:
    """Return offset and (logarithm of) exposure together; None if there are none."""
    parts = (getattr(fit.model, name, None) for name in ("offset", "exposure"))
    there = [np.asarray(part, dtype=float) for part in parts if part is not None and np.ndim(part) == 1]
    total = np.sum(there, axis=0) if there else np.zeros(0)
    return total if np.any(total) else None


def _statsmodels_scale(fit: Any) -> MeanScale:
    family = getattr(fit.model, "family", None)
    if family is not None:
        return scale_of_link(family_for(family).link)
    named = scale_of_discrete(type(fit.model).__name__)
    if named is not None:
        return named
    response = fit.model.endog_names
    return scale_of_response(response) if isinstance(response, str) and response.isprintable() else IDENTITY


def _statsmodels_denominator(fit: Any, covariance: Array, ddf: str | float | None) -> Denominator:
    return _plain_denominator(covariance, float(fit.df_resid), ddf, "residual" if fit.use_t else "z")


def _plain_denominator(covariance: Array, df: float, ddf: str | float | None, usual: str) -> Denominator:
    """Return the denominator of a model without random effects."""
    number = _number_or_none(ddf)
    if number is not None:
        return fixed_df(covariance, number, "the user")
    chosen = usual if ddf is None else ddf
    if chosen not in ("residual", "z"):
        raise SpecificationError(f"ddf={ddf!r} is for mixed models; a linear model has 'residual' and 'z'")
    return Asymptotic(covariance) if chosen == "z" else fixed_df(covariance, df, "the residual")
