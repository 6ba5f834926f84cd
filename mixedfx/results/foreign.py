"""Fits of statsmodels as tables of several models need them: the only place where those tables meet them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.families import Family, family_for

__all__ = ["ForeignFit", "foreign_fit", "is_foreign"]


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
    model = getattr(fit, "model", None)
    if not all(hasattr(model, name) for name in ("endog", "exog_names")) or not hasattr(fit, "bse"):
        return False
    try:
        return bool(np.ndim(fit.params) == 1 and np.isfinite(float(fit.llf)))
    except (AttributeError, NotImplementedError, TypeError):  # robust models and estimating equations have none
        return False


def foreign_fit(fit: Any) -> ForeignFit:
    """Read results of statsmodels (see :func:`is_foreign`): OLS, WLS, GLM, discrete models, MixedLM."""
    model = fit.model
    mixed = hasattr(fit, "cov_re")
    names = [str(name) for name in model.exog_names]
    p = len(names) if mixed else len(fit.params)
    scaled = not mixed and float(getattr(fit, "scale", 1.0)) != 1.0
    n_covariance = int(model.k_re2 + model.k_vc + 1) if mixed else 0
    return ForeignFit(
        str(getattr(model, "formula", type(model).__name__)),
        float(fit.llf),
        p + scaled + n_covariance,
        np.asarray(model.endog, dtype=float),
        _unequal(getattr(model, "n_trials", None), 1.0),
        tuple(names),
        mixed and fit.method == "REML",
        _family(model, mixed),
        _unequal(_weights(model), 1.0),
        _unequal(getattr(model, "offset", None), 0.0),
        _coefficients(fit, p),
        tuple(_random(fit)) if mixed else (),
        float(getattr(fit, "rsquared", np.nan)),
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
