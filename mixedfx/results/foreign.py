"""Fits of statsmodels: the only place that knows how they are made.

:func:`foreign_fit` reads the likelihood of one for tables of several models, :func:`adapted_statsmodels` the linear
predictor of one that was given as a formula, for tests and means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.families import Family, family_for
from mixedfx.families.links import link_for
from mixedfx.formula import columns_in
from mixedfx.inference.ddf import DdfName
from mixedfx.matrices import as_frame
from mixedfx.matrices.frame import FrameRows
from mixedfx.matrices.rows import read_argument
from mixedfx.results.adapted import (
    AdaptedFit,
    ObservationSpread,
    PredictorColumns,
    predictor_of,
    residual_denominator,
)

__all__ = ["ForeignFit", "adapted_statsmodels", "foreign_fit", "has_linear_predictor", "is_foreign"]

RANK = 1e-9  # singular values of scaled columns, relative to the largest, that count as zero


@dataclass(frozen=True, eq=False)
class ForeignFit:
    """A fit of statsmodels.

    Attributes
    ----------
    label : str
        Its formula, or the name of its kind.
    llf : float
    n_parameters : int
        An estimated scale included, which is no entry of ``params``.
    response, trials : (n,), (n,) or None
    columns : tuple of str
        Names of the columns of the fixed part.
    reml : bool
    family : Family or None
        None where it is none of ours.
    weights, offset : (n,) or None
    coefficients : DataFrame
        ``term, estimate, std_error, statistic, df, p_value``.
    random : tuple of (str, str, float)
        Group, name, and standard deviation or correlation of the random effects.
    r_squared : float
        Of an ordinary linear model; else nan.
    """

    label: str
    llf: float
    n_parameters: int
    response: Array
    trials: Array | None
    columns: tuple[str, ...]
    reml: bool
    family: Family | None
    weights: Array | None
    offset: Array | None
    coefficients: pd.DataFrame
    random: tuple[tuple[str, str, float], ...]
    r_squared: float

    @property
    def nobs(self) -> int:
        """Number of rows."""
        return len(self.response)

    @property
    def aic(self) -> float:
        """Akaike's criterion, the scale counted as in mixed models."""
        return -2.0 * self.llf + 2.0 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion, the scale counted as in mixed models."""
        return -2.0 * self.llf + float(np.log(self.nobs)) * self.n_parameters


def is_foreign(fit: Any) -> bool:
    """Say whether something looks like results of statsmodels: a likelihood, one response, a vector of coefficients."""
    model = None if hasattr(fit, "_adapted") else getattr(fit, "model", None)  # ours have models too
    if not all(hasattr(model, name) for name in ("endog", "exog_names")) or not hasattr(fit, "bse"):
        return False
    try:
        return bool(np.ndim(fit.params) == 1 and np.isfinite(float(fit.llf)))
    except (AttributeError, NotImplementedError, TypeError):  # robust models and estimating equations have none
        return False


def foreign_fit(fit: Any) -> ForeignFit | None:
    """Read results of statsmodels (see :func:`is_foreign`): OLS, WLS, GLM, discrete models, MixedLM; None of others."""
    if not is_foreign(fit):
        return None
    model = fit.model
    mixed = hasattr(fit, "cov_re")
    names = [str(name) for name in model.exog_names]
    p = len(names) if mixed else len(fit.params)
    scaled = not mixed and float(getattr(fit, "scale", 1.0)) != 1.0
    n_covariance = int(model.k_re2 + model.k_vc + 1) if mixed else 0
    return ForeignFit(
        label=str(getattr(model, "formula", type(model).__name__)),
        llf=float(fit.llf),
        n_parameters=p + scaled + n_covariance,
        response=np.asarray(model.endog, dtype=float),
        trials=_unequal(getattr(model, "n_trials", None), 1.0),
        columns=tuple(names),
        reml=mixed and fit.method == "REML",
        family=_family(model, mixed),
        weights=_unequal(_weights(model), 1.0),
        offset=_unequal(getattr(model, "offset", None), 0.0),
        coefficients=_coefficients(fit, p),
        random=tuple(_random(fit)) if mixed else (),
        r_squared=float(getattr(fit, "rsquared", np.nan)),
    )


def _family(model: Any, mixed: bool) -> Family | None:
    kind = type(model).__name__
    if hasattr(model, "family"):
        return family_for(model.family)
    named = {"OLS": "gaussian", "WLS": "gaussian", "Poisson": "poisson", "Logit": "binomial", "Probit": "binomial"}
    if mixed or kind in named:
        return family_for("gaussian" if mixed else named[kind], "probit" if kind == "Probit" else None)
    return None


def _weights(model: Any) -> Any:
    """Weights that were given; those that a GLM calls so are of its last iteration."""
    if hasattr(model, "freq_weights"):
        return np.asarray(model.freq_weights) * np.asarray(model.var_weights)
    return getattr(model, "weights", None)


def _unequal(values: Any, usual: float) -> Array | None:
    """An argument with a value for each row, unless it is the same usual one everywhere."""
    if values is None or not np.ndim(values) or np.all(np.asarray(values) == usual):
        return None
    return np.asarray(values, dtype=float)


def _coefficients(fit: Any, p: int) -> pd.DataFrame:
    names = list(fit.params.index)[:p] if isinstance(fit.params, pd.Series) else list(fit.model.exog_names)[:p]
    use_t = bool(getattr(fit, "use_t", False)) and not hasattr(fit, "cov_re")
    return pd.DataFrame(
        {
            "term": [str(name) for name in names],
            "estimate": np.asarray(fit.params, dtype=float)[:p],
            "std_error": np.asarray(fit.bse, dtype=float)[:p],
            "statistic": np.asarray(fit.tvalues, dtype=float)[:p],
            "df": float(fit.df_resid) if use_t else np.inf,
            "p_value": np.asarray(fit.pvalues, dtype=float)[:p],
        }
    )


def _random(fit: Any) -> list[tuple[str, str, float]]:
    """Standard deviations and correlations of a MixedLM."""
    k = int(fit.model.k_re)
    given = [str(name) for name in getattr(fit.cov_re, "index", range(k))][:k]
    covariance = np.asarray(fit.cov_re, dtype=float).ravel()[: k * k].reshape(k, k)
    constant = [bool(np.all(np.asarray(fit.model.exog_re)[:, j] == 1.0)) for j in range(k)]
    group = next((name for name, is_one in zip(given, constant) if is_one and name != "Intercept"), "Group")
    names = ["Intercept" if is_one else name for name, is_one in zip(given, constant)]
    sd = np.sqrt(covariance.diagonal())
    out = [(group, f"sd__{name}", float(s)) for name, s in zip(names, sd)]
    for i in range(len(names)):
        for j in range(i):
            size = sd[i] * sd[j]
            correlation = float(covariance[i, j] / size) if size > 0 else np.nan
            out.append((group, f"cor__{names[j]}__{names[i]}", correlation))
    own = zip(fit.model.exog_vc.names, np.asarray(fit.vcomp, dtype=float), strict=True) if fit.model.k_vc else ()
    out += [(str(name), "sd__Intercept", float(np.sqrt(value))) for name, value in own]
    return [*out, ("Residual", "sd__Observation", float(np.sqrt(fit.scale)))]


# ---------------------------------------------------------------- linear predictors
def has_linear_predictor(fit: Any) -> bool:
    """Whether something looks like results of statsmodels with columns, coefficients and their covariance.

    Raises
    ------
    SpecificationError
        If there are several linear predictors.
    """
    if not hasattr(fit, "cov_params") or not hasattr(getattr(fit, "model", None), "exog"):
        return False
    if np.ndim(fit.params) != 1:
        raise SpecificationError(
            f"a model of several linear predictors has no marginal means here; found {type(fit.model).__name__}: "
            "fit the categories in pairs, by logit"
        )
    return True


def adapted_statsmodels(fit: Any, ddf: DdfName | float | None) -> AdaptedFit:
    """Return what tests and means need of results of statsmodels.

    Raises
    ------
    SpecificationError
        If the model was not given as a formula.
    """
    model, data = fit.model, fit.model.data
    spec, frame = _spec(data), getattr(data, "frame", None)
    if spec is None or frame is None:
        raise SpecificationError(
            "the statsmodels model must be fitted from a formula: smf.ols('y ~ a * b', data).fit()"
        )
    kinds, terms, encode = _patsy(spec) if hasattr(spec, "factor_infos") else _formulaic(spec)
    keep = np.ones(len(frame), dtype=bool)
    keep[list(data.missing_row_idx or [])] = False
    names = [name for name in columns_in(kinds) if name in frame.columns]
    factors = columns_in(text for text, is_categorical in kinds.items() if is_categorical)
    observed = frame[keep][names].reset_index(drop=True)
    exog = np.asarray(model.exog, dtype=float)
    p = exog.shape[1]
    covariance = np.asarray(fit.cov_params(), dtype=float)[:p, :p]
    spread, residual = None, None
    if hasattr(fit, "ssr") and hasattr(fit, "scale"):  # a linear model: the scale is the variance of an observation
        spread = ObservationSpread(float(np.sqrt(fit.scale)), float(fit.df_resid), "the residual")
        residual = float(fit.df_resid), float(fit.ssr)
    family = _linked_family(model)
    response = model.endog_names
    return AdaptedFit(
        names=tuple(map(str, model.exog_names)),
        beta=np.asarray(fit.params, dtype=float)[:p],
        denominator=residual_denominator(covariance, float(fit.df_resid), ddf, "residual" if fit.use_t else "z"),
        kept=np.arange(p),
        silent=_null_space(exog),
        columns=_EncodedColumns(encode, _known_part(model)),
        terms=terms,
        predictors={name: predictor_of(name, observed[name], is_factor=name in factors) for name in names},
        observed=observed,
        response=str(response),
        transformed=response if family is None and isinstance(response, str) and response.isprintable() else "",
        rows=lambda: FrameRows(as_frame(frame), keep),
        link=link_for("identity") if family is None else family.link,
        spread=None if spread is None else lambda: spread,
        residual=residual,
        info=spec,
    )


def _spec(data: Any) -> Any:
    """Return patsy's or formulaic's description of the columns; None where there was no formula."""
    spec = getattr(data, "model_spec", None)
    return getattr(data, "design_info", None) if spec is None else spec  # statsmodels before 0.15


def _linked_family(model: Any) -> Family | None:
    """Return the family of a model whose linear predictor is a link of the mean; None of one of the mean itself."""
    has_link = hasattr(model, "family") or type(model).__name__ in ("Logit", "Probit", "Poisson")
    return _family(model, mixed=False) if has_link else None


@dataclass(frozen=True, eq=False)
class _EncodedColumns(PredictorColumns):
    """Columns by the formula engine of statsmodels, and the known part (n,) of the linear predictor."""

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
        return np.zeros(len(data)) if self.known is None else self.known

    def new_offset(self, data: pd.DataFrame, given: Any) -> Array:
        """Return the offset (n,) of other rows, which must be given if the model has one."""
        if given is None and self.has_offset:
            raise SpecificationError("the model has an offset: give offset=… for the new data too (one value a row)")
        argument = read_argument("offset", given, as_frame(data))
        return np.zeros(len(data)) if argument is None else np.asarray(argument.used(None))

    def usual_offset(self, data: pd.DataFrame) -> Array:
        """Return the mean (n,) of the offset."""
        return np.full(len(data), 0.0 if self.known is None else float(np.mean(self.known)))


_Encoding = tuple[Mapping[str, bool], tuple[frozenset[str], ...], Callable[[pd.DataFrame], Array]]
"""Whether each expression is categorical, the predictors of each term, and what makes columns of rows."""


def _patsy(info: Any) -> _Encoding:
    from patsy import build_design_matrices

    kinds = {factor.code: found.type == "categorical" for factor, found in info.factor_infos.items()}
    terms = tuple(frozenset(columns_in(factor.code for factor in term.factors)) for term in info.terms)
    return (
        kinds,
        terms,
        lambda data: np.asarray(build_design_matrices([info], data, NA_action="raise")[0], dtype=float),
    )


def _formulaic(spec: Any) -> _Encoding:
    kinds = {text: "categorical" in str(kind) for text, (kind, _) in spec.encoder_state.items()}
    terms = tuple(frozenset(columns_in(factor.expr for factor in term.factors)) for term in spec.terms)
    context = {"np": np}
    return kinds, terms, lambda data: np.asarray(spec.get_model_matrix(data, context=context), dtype=float)


def _null_space(exog: Array) -> Array:
    """Return an orthonormal basis (P, d) of the combinations of columns that are zero in every row."""
    size = np.sqrt(np.einsum("ij,ij->j", exog, exog))
    size = np.where(size > 0, size, 1.0)
    _, singular, right = np.linalg.svd(exog / size, full_matrices=False)
    null = right[singular <= RANK * singular[0]].T / size[:, None]
    return np.where(np.abs(null) > RANK * np.abs(null).max(initial=0.0), null, 0.0)


def _known_part(model: Any) -> Array | None:
    """Return offset and (logarithm of) exposure together; None if there are none."""
    parts = (getattr(model, name, None) for name in ("offset", "exposure"))
    known = [np.asarray(part, dtype=float) for part in parts if part is not None and np.ndim(part) == 1]
    total = np.sum(known, axis=0) if known else np.zeros(0)
    return total if np.any(total) else None
