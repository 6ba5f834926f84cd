"""From the results of a fit, ours or statsmodels', to what marginal means need."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.design import Design
from mixedfx.design.encoder import Encoder, FormulaicEncoder
from mixedfx.design.expressions import variables_in
from mixedfx.design.rows import Rows
from mixedfx.design.variables import Variable
from mixedfx.exceptions import SpecificationError
from mixedfx.families import family_for
from mixedfx.formula import Formula
from mixedfx.inference.denominator import Asymptotic, Denominator
from mixedfx.marginal_means.model import Columns, FittedModel, Predictor, fixed_df, predictor_of
from mixedfx.marginal_means.outcomes import has_outcome, outcome_of
from mixedfx.marginal_means.scales import IDENTITY, Scale, scale_of_discrete, scale_of_link, scale_of_response
from mixedfx.results.generalized import GeneralizedLinearMixedResults
from mixedfx.results.linear import LinearMixedResults

__all__ = ["fitted_model"]

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
    covariances: Sequence[Array]
    residual: float

    def matrix(self, data: pd.DataFrame) -> Array:
        """Return all columns (n, P)."""
        return self.design.fixed.encode_full(data)

    def offset(self, data: pd.DataFrame) -> Array:
        """Return the offset (n,): an array argument counts with its mean."""
        if self.design.offset is None:
            return np.zeros(len(data))
        if self.design.offsets.needs_array:
            return np.full(len(data), float(self.design.offset.mean()))
        found = self.design.offsets.encode(data)
        return np.zeros(len(data)) if found is None else found

    def variance(self, data: pd.DataFrame) -> Array:
        """Return the variance (n,) of random effects (and residuals, where the response was transformed)."""
        total = np.full(len(data), self.residual)
        for term, covariance in zip(self.design.random, self.covariances, strict=True):
            z = term.encoder.encode(data)
            own = 1.0 if term.loading is None else float(np.mean(np.sum(term.loading**2, axis=1)))
            total += own * np.einsum("ia,ab,ib->i", z, covariance, z)
        return total


def _of_mixed(fit: Ours, ddf: str | float | None, population: bool, response: bool = False) -> FittedModel:
    design = fit.design
    fixed = design.fixed
    null = fixed.silent()
    scale, covariances, residual = _scale_and_variances(fit)
    wide = response and isinstance(fit, GeneralizedLinearMixedResults) and has_outcome(fit)
    predictors, observed = _predictors(fit, population, wide)
    columns = MixedColumns(design, covariances, residual)
    beta = np.asarray(fit.params, dtype=float)
    denominator, terms = _denominator(fit, ddf), _terms(design)
    model = FittedModel(
        beta,
        denominator,
        fixed.kept,
        null,
        columns,
        predictors,
        observed,
        scale,
        terms,
        write=lambda rows: fit._canonical_rows.usual(rows),
    )
    if wide and isinstance(fit, GeneralizedLinearMixedResults):
        return replace(model, outcome=outcome_of(fit, model, _number(fit, ddf)))
    return model


def _terms(design: Design) -> tuple[frozenset[str], ...]:
    functions = design.fixed.encoder.functions
    return tuple(frozenset(variables_in(term, functions)) for term in design.formula.fixed_terms)


def _has_intercept(fit: Ours) -> bool:
    return not isinstance(fit, GeneralizedLinearMixedResults) or fit.fit.problem.family.has_intercept


def _denominator(fit: Ours, ddf: str | float | None) -> Denominator:
    number = _number(fit, ddf)
    if number is None:
        return fit.denominator(ddf)  # type: ignore[arg-type]
    return fixed_df(np.asarray(fit.cov_params()), number, "the user" if ddf != "residual" else "the residual")


def _number(fit: Ours, ddf: str | float | None) -> float | None:
    """Return the degrees of freedom if they are the same for everything."""
    number = _number_or_none(ddf)
    if number is None and ddf == "residual" and isinstance(fit, GeneralizedLinearMixedResults):
        return float(fit.df_resid)
    return number


def _scale_and_variances(fit: Ours) -> tuple[Scale, Sequence[Array], float]:
    if isinstance(fit, GeneralizedLinearMixedResults):
        covariances = [np.asarray(c) for c in fit.fit.problem.covariances(fit.fit.x)]
        scale = scale_of_link(fit.fit.problem.family.link, has_mean=_has_intercept(fit))
        return scale, covariances, 0.0
    problem = fit.fit.problem
    size = problem.fixed.scale**2 * fit.fit.at.sigma2
    scale = scale_of_response(fit.design.formula.response)
    covariances = [size * c for c in problem.relative_covariances(fit.fit.theta)]
    return scale, covariances, 0.0 if scale.is_identity else float(fit.scale)


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
        for name in further:
            factor = rows.is_factor(name)
            variables[name] = Variable(
                name, None if factor else rows.numbers(name), rows.labels(name) if factor else None
            )
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


def _rows(fit: Ours, names: Sequence[str]) -> Rows:
    inputs = fit.model.inputs
    if inputs is None:
        raise SpecificationError(
            f"a refit does not keep the columns {', '.join(map(repr, names))}, which are needed here: fit the model "
            "to data with the new response"
        )
    return Rows(inputs.frame, fit.design.keep)


def _values(variable: Variable) -> pd.Series:
    if variable.labels is None:
        return pd.Series(variable.numbers)
    return pd.Series(pd.Categorical.from_codes(variable.labels.codes, categories=variable.labels.levels))


def _factor_columns(encoder: Encoder) -> tuple[str, ...]:
    """Return the columns of which the factors of an encoder are made."""
    if not isinstance(encoder, FormulaicEncoder):
        return ()
    return variables_in([text for text in encoder.expressions if text in encoder.levels], encoder.functions)


def _offset_columns(design: Design) -> tuple[str, ...]:
    offsets = design.offsets
    named = () if offsets.column is None else (offsets.column,)
    return (*variables_in(offsets.expressions, offsets.functions), *named)


# ---------------------------------------------------------------- error strata
class StrataModel(Protocol):
    """The model with the same strata."""

    @property
    def mixed(self) -> Formula:
        """Its formula."""

    def design(self) -> Design:
        """Return its design."""


@runtime_checkable
class Stratified(Protocol):
    """Results of an analysis of variance with error strata, which another room of the package makes."""

    @property
    def model(self) -> StrataModel:
        """The model with the same strata."""

    def mixed_model(self) -> LinearMixedResults:
        """Return the mixed model with the same strata, fitted."""


def _of_strata(fit: Stratified, ddf: str | float | None, population: bool) -> FittedModel:
    """Return the mixed model of the strata; with one stratum only, the linear model."""
    formula = fit.model.mixed
    if not formula.random:
        return _of_design(fit.model.design(), ddf)
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
    predictors, observed = _described(design.variables, [fixed.encoder], design.variables)
    return FittedModel(
        beta,
        _plain_denominator(covariance, df, ddf, "residual"),
        fixed.kept,
        fixed.silent(),
        MixedColumns(design, [], float(rest @ rest / df) if df > 0 else np.nan),
        predictors,
        observed,
        scale_of_response(design.formula.response),
        _terms(design),
    )


# ---------------------------------------------------------------- statsmodels
@dataclass(frozen=True, eq=False)
class StatsmodelsColumns(Columns):
    """Columns by the formula engine of statsmodels."""

    encode: Callable[[pd.DataFrame], Array]
    mean_offset: float

    def matrix(self, data: pd.DataFrame) -> Array:
        """Return all columns (n, P)."""
        return self.encode(data)

    def offset(self, data: pd.DataFrame) -> Array:
        """Return the mean (n,) of the offset."""
        return np.full(len(data), self.mean_offset)

    def variance(self, data: pd.DataFrame) -> Array:
        """Return zero (n,): there are no random effects."""
        return np.zeros(len(data))


def _of_statsmodels(fit: Any, ddf: str | float | None) -> FittedModel:
    spec, frame = getattr(fit.model.data, "model_spec", None), getattr(fit.model.data, "frame", None)
    if spec is None:
        spec = getattr(fit.model.data, "design_info", None)  # statsmodels before 0.15
    if spec is None or frame is None:
        raise SpecificationError(
            "the statsmodels model must be fitted from a formula: smf.ols('y ~ a * b', data).fit()"
        )
    expressions, encode = _patsy(spec) if hasattr(spec, "factor_infos") else _formulaic(spec)
    used = frame.drop(frame.index[list(fit.model.data.missing_row_idx or [])])
    names = [name for name in variables_in(expressions, {}) if name in frame.columns]
    factors = variables_in([text for text, categorical in expressions.items() if categorical], {})
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
    )


def _statsmodels_terms(spec: Any) -> tuple[frozenset[str], ...]:
    """Return the predictors in each term, of patsy's or formulaic's description of a model matrix."""
    if hasattr(spec, "factor_infos"):
        texts = [[factor.code for factor in term.factors] for term in spec.terms]
    else:
        texts = [[factor.expr for factor in term.factors] for term in spec.terms]
    return tuple(frozenset(variables_in(own, {})) for own in texts)


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


def _statsmodels_offset(fit: Any) -> float:
    parts = (getattr(fit.model, name, None) for name in ("offset", "exposure"))
    return float(sum(np.mean(part) for part in parts if part is not None and np.size(part)))


def _statsmodels_scale(fit: Any) -> Scale:
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
