"""The one door for fitted models of any origin: results of ours, of ``aov``, and of statsmodels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting.fit import Fit
from mixedfx.formula import columns_in
from mixedfx.inference.ddf import DdfName
from mixedfx.inference.denominator import Denominator
from mixedfx.matrices import Design
from mixedfx.matrices.encoder import Encoder, FormulaicEncoder, Variable, read_variable
from mixedfx.matrices.frame import FrameRows
from mixedfx.matrices.new_rows import averaged_columns, linear_predictor_variance
from mixedfx.results.adapted import (
    AdaptedFit,
    ObservationSpread,
    Predictor,
    PredictorColumns,
    fixed_df,
    given_df,
    predictor_of,
    residual_denominator,
)
from mixedfx.results.foreign import adapted_statsmodels, has_linear_predictor
from mixedfx.results.smooth_adapter import with_smooths

if TYPE_CHECKING:
    from mixedfx.results.base import MixedResults

__all__ = ["Adaptable", "adapted", "least_squares_fit", "linear_fit", "mixed_fit"]

STEP = 1e-5  # of differences of variances in their parameters


@runtime_checkable
class Adaptable(Protocol):
    """Results that know how they are adapted: those of ours, whatever was fitted, and of ``aov``."""

    def _adapted(self, ddf: DdfName | float | None, *, random: bool, further: bool) -> AdaptedFit: ...


def adapted(
    fit: Any,
    ddf: DdfName | float | None = None,
    *,
    random: bool = False,
    further: bool = False,
    asker: str = "marginal means need",
) -> AdaptedFit:
    """Return what tests and means of a linear predictor need of ``fit``.

    Parameters
    ----------
    fit : results
        Of mixedfx (those of :func:`mixedfx.aov` by their error strata, or by the mixed model with the same strata), or
        of a statsmodels model that was given as a formula.
    ddf : str or float, optional
        Method of the denominator degrees of freedom, or a number of them.
    random : bool
        Whether random effects will be averaged over, so that their predictors and variances are needed.
    further : bool
        Whether the response is wanted, so that the predictors of further linear predictors are needed.

    asker : str
        Who asks, for the message: ``"anova needs"``.

    Raises
    ------
    SpecificationError
        If a statsmodels model was not fitted from a formula, or there is no such ``ddf``.
    TypeError
        If ``fit`` is nothing of the kind.
    """
    if isinstance(fit, Adaptable):  # the question is whether it can answer, not of which kind it is
        return fit._adapted(ddf, random=random, further=further)
    if has_linear_predictor(fit):
        return adapted_statsmodels(fit, ddf)
    raise TypeError(
        f"{asker} results of lmer, glmer or aov, or of a statsmodels model fitted from a formula, found "
        f"{type(fit).__name__}"
    )


# ---------------------------------------------------------------- results of ours
def mixed_fit(
    results: MixedResults, ddf: DdfName | float | Denominator | None, *, random: bool, further: bool
) -> AdaptedFit:
    """Return results of ours as adapted: see :func:`adapted`."""
    fit, design = results.solution, results.design
    response = fit.response
    encoders = [term.left_encoder for term in design.random] if random else []
    components = [fixed.encoder for fixed in fit.components.values()] if further or not fit.family.has_intercept else []
    predictors, observed = _predictors(results, encoders, components)
    elsewhere = {name: part for part, fixed in fit.components.items() for name in fixed.encoder.variables}
    denominator, df = _denominator(results, ddf)
    out = AdaptedFit(
        names=design.fixed.names,
        beta=np.asarray(results.params, dtype=float),
        denominator=denominator,
        kept=design.fixed.kept,
        silent=design.fixed.silent(),
        columns=DesignColumns(design),
        terms=_terms(design),
        predictors=predictors,
        observed=observed,
        response=design.response.name,
        transformed=design.formula.response if response.mean_is_linear else "",
        rows=partial(_rows, results, ["weights="]),
        link=fit.family.link,
        has_mean=fit.family.has_intercept,
        spread=partial(_spread, fit) if response.has_normal_residuals and fit.residual is None else None,
        notes=results.separation_notes,
        elsewhere={name: part for name, part in elsewhere.items() if name not in predictors},
        df=df,
        usual_rows=lambda rows: results._canonical_rows.usual(rows),
        solution=fit,
        counts=design.counts,
        fitted=partial(_fitted, results),
        need_rows=design.need_rows,
    )
    return with_smooths(out, design) if any(term.is_smooth for term in design.random) else out


def _denominator(results: MixedResults, ddf: DdfName | float | Denominator | None) -> tuple[Denominator, float | None]:
    """Resolve ``ddf=``; with the degrees of freedom if they are the same for everything."""
    number, label = given_df(ddf), "the user"
    if ddf == "residual" and ddf not in results.solution.ddf_methods:
        number, label = float(results.df_resid), "the residual"
    if number is None:
        return results.denominator(ddf).of_means(), None  # type: ignore[arg-type]
    return fixed_df(np.asarray(results.cov_params()), number, label), number


def _predictors(
    results: MixedResults, random: Sequence[Encoder], further: Sequence[Encoder]
) -> tuple[dict[str, Predictor], pd.DataFrame]:
    """Return the predictors of the fixed part and the offset, and of the encoders of other parts."""
    design = results.design
    variables = dict(design.variables)
    fixed = {*variables, *(name for encoder in further for name in encoder.variables)}
    encoders = [design.fixed.encoder, *random, *further]
    names = [name for encoder in encoders for name in encoder.variables]
    absent = [name for name in (*names, *_offset_columns(design)) if name not in variables]
    if absent:
        rows = _rows(results, absent)
        variables |= {name: read_variable(name, rows) for name in absent}
    return _described(variables, encoders, fixed)


def _rows(results: MixedResults, names: Sequence[str]) -> FrameRows:
    """Return the rows of the fit, which are needed for the columns ``names``."""
    inputs = results.model.inputs
    if inputs is None:
        raise SpecificationError(
            f"a refit does not keep the columns {', '.join(map(repr, names))}, which are needed here: fit the model "
            "to data with the new response"
        )
    return FrameRows(inputs.frame, results.design.keep)


def _fitted(results: MixedResults) -> tuple[Array, Array]:
    """Return linear predictors (n, K) and means (n,) of the fitted rows, those of rows that stand for them at b = 0."""
    design, response = results.design, results.solution.response
    if design.represented is None:
        return results.linear_predictors, np.asarray(results.fittedvalues, dtype=float)
    predictors = response.predictors(design.fixed.matrix @ results.solution.beta, response.matrices)
    columns = predictors[:, None] if predictors.ndim == 1 else predictors
    return columns, np.asarray(response.mean(predictors), dtype=float)


def _spread(fit: Fit) -> ObservationSpread | None:
    """Return the standard deviation of an observation: random effects and residual together, averaged over the rows."""
    variances, design = fit.normal_variances, fit.design
    if variances is None:
        return None
    everything = averaged_columns(design)

    def total(phi: Array) -> float:
        covariances, residual = variances.at(phi)
        return residual + design.mean_over_rows(linear_predictor_variance(design, covariances, everything))

    phi = variances.phi
    slope = np.array([total(phi + s) - total(phi - s) for s in STEP * np.eye(phi.size)]) / (2.0 * STEP)
    variance, error = total(phi), float(slope @ variances.covariance @ slope)
    words = "random effects and residual together" if design.random else "the residual"
    return ObservationSpread(float(np.sqrt(variance)), 2.0 * variance**2 / error if error > 0 else np.inf, words)


# ---------------------------------------------------------------- designs
@dataclass(frozen=True, eq=False)
class DesignColumns(PredictorColumns):
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
        return self._encoded(data, self.design.offsets.given)

    def new_offset(self, data: pd.DataFrame, given: Any) -> Array:
        """Return the offset (n,) of other rows."""
        return self._encoded(data, given)

    def usual_offset(self, data: pd.DataFrame) -> Array:
        """Return the offset (n,) of a reference grid: an array argument counts with its mean."""
        given = self.design.offsets.given
        return self._encoded(data, None if given is None else np.full(len(data), float(np.mean(given))))

    def _encoded(self, data: pd.DataFrame, given: Any) -> Array:
        offset = self.design.offsets.encode(data, given)
        return np.zeros(len(data)) if offset is None else offset


def least_squares_fit(design: Design, ddf: DdfName | float | None) -> AdaptedFit:
    """Fit a design without random effects by least squares."""
    fixed, y = design.fixed, design.response.values
    Q, R = np.linalg.qr(fixed.matrix)
    inverse = np.linalg.inv(R)
    beta = inverse @ (Q.T @ y)
    rest = y - fixed.matrix @ beta
    df, squares = float(len(y) - len(beta)), float(rest @ rest)
    variance = squares / df if df > 0 else np.nan
    denominator = residual_denominator(inverse @ inverse.T * variance, df, ddf, "residual")
    spread = ObservationSpread(float(np.sqrt(variance)), df, "the residual")
    return linear_fit(design, beta, denominator, spread=lambda: spread, residual=(df, squares))


def linear_fit(design: Design, beta: Array, denominator: Denominator, **further: Any) -> AdaptedFit:
    """Return the adapted fit of a design without random effects, with coefficients (p,) and their errors."""
    fixed = design.fixed
    predictors, observed = _described(design.variables, [fixed.encoder], design.variables)
    return AdaptedFit(
        names=fixed.names,
        beta=beta,
        denominator=denominator,
        kept=fixed.kept,
        silent=fixed.silent(),
        columns=DesignColumns(design),
        terms=_terms(design),
        predictors=predictors,
        observed=observed,
        response=design.response.name,
        transformed=design.formula.response,
        **further,
    )


def _terms(design: Design) -> tuple[frozenset[str], ...]:
    """Return the columns of each term; a product of sums, as of ``wb(x, g)``, is a sum of products."""
    products = (product(*(factor.summands for factor in term)) for term in design.formula.fixed_terms)
    return tuple(frozenset(name for part in parts for name in part) for term in products for parts in term)


def _described(
    variables: Mapping[str, Variable], encoders: Sequence[Encoder], fixed: Collection[str]
) -> tuple[dict[str, Predictor], pd.DataFrame]:
    """Return the predictors and their values; ``fixed`` names those of fixed effects."""
    factors = {name for encoder in encoders for name in _factor_columns(encoder)}
    observed = pd.DataFrame({name: _values(variable) for name, variable in variables.items()})
    predictors = {}
    for name, variable in variables.items():
        is_factor, is_fixed = variable.is_factor or name in factors, name in fixed
        if variable.is_summed:
            range_of = (variable.mean, *variable.range)
            is_factor = is_factor or variable.is_logical
            predictors[name] = Predictor(name, variable.levels, is_factor, *range_of, is_fixed)
        else:
            predictors[name] = predictor_of(name, observed[name], is_factor=is_factor, is_fixed=is_fixed)
    return predictors, observed


def _values(variable: Variable) -> pd.Series:
    if variable.labels is None:
        return pd.Series(np.asarray(variable.numbers).astype(bool) if variable.is_logical else variable.numbers)
    return pd.Series(pd.Categorical.from_codes(variable.labels.codes, categories=variable.labels.levels))


def _factor_columns(encoder: Encoder) -> tuple[str, ...]:
    """Return the columns of which the factors of an encoder are made."""
    if not isinstance(encoder, FormulaicEncoder):
        return ()
    labelled = (name for expression in encoder.expressions for name in expression.labelled)
    return (*columns_in(text for text in encoder.expressions if text in encoder.levels), *labelled)


def _offset_columns(design: Design) -> tuple[str, ...]:
    offsets = design.offsets
    named = () if offsets.column is None else (offsets.column,)
    return (*columns_in(offsets.expressions), *named)
