"""Is a variance more than noise? Tests of single variances, and principal components of the random effects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._display import StatsTable
from mixedfx._typing import Array, BoolArray
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.variance_scales import variance_estimates
from mixedfx.results.base import MixedResults
from mixedfx.results.linear import LinearMixedResults

__all__ = ["random_effects_pca", "variance_tests"]


def variance_tests(fit: Any) -> StatsTable:
    """Test every variance against zero by Wald's method, and every parameter of a residual structure.

    A likelihood-ratio test (:func:`mixedfx.ranova`) is better: the distribution of an estimated variance is skewed, and
    it cannot be negative. This is the test of SAS's and SPSS's tables.

    Parameters
    ----------
    fit : LinearMixedResults

    Returns
    -------
    StatsTable
        ``estimate, se, z, PR(>z)`` (one-sided for variances, two-sided for covariances), a parameter a row. Parameters
        of a residual structure (in the group "Residual") are compared with the value at which the residuals are
        independent with equal variances: correlations and powers with 0, ratios of standard deviations with 1.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.variance_tests(fit).to_frame()["se"].round(1).tolist()
    [288.8, 46.7, 14.8, 77.2]
    """
    if not isinstance(fit, LinearMixedResults):
        raise TypeError(f"variance_tests is for linear mixed models, found {type(fit).__name__}")
    found = variance_estimates(fit.variance_parameters, "variance", with_structure=True)
    null, is_structure = _null_values(fit, len(found.values))
    se = np.sqrt(np.maximum(found.covariance.diagonal(), 0.0))
    z = np.full(se.size, np.nan)
    np.divide(found.values - null, se, out=z, where=se > 0)
    single = np.array([not other for _, _, other in found.labels]) & ~is_structure
    frame = pd.DataFrame(
        {
            "estimate": found.values,
            "se": se,
            "z": z,
            "PR(>z)": np.where(single, special.ndtr(-z), 2.0 * special.ndtr(-np.abs(z))),
        },
        index=pd.MultiIndex.from_tuples(list(found.labels), names=["group", "term1", "term2"]),
    )
    notes = [
        "Wald tests, one-sided for variances. The distribution of an estimated variance is skewed: ranova has "
        "likelihood-ratio tests."
    ]
    if is_structure.any():
        notes.append(
            f"Residuals: {fit.model.residual}. Its parameters are compared with their values for independent residuals "
            "with equal variances, two-sided."
        )
    return StatsTable.from_frame(frame, heading="Tests of variances", notes=notes, formats={"PR(>z)": "p"})


def _null_values(fit: LinearMixedResults, size: int) -> tuple[Array, BoolArray]:
    """Return what each parameter is compared with (r,), and whether it belongs to the residual structure (r,)."""
    bound, null, is_structure = fit.fit.problem.residual, np.zeros(size), np.zeros(size, dtype=bool)
    if bound is not None and bound.n_rho:
        own = slice(size - 1 - bound.n_rho, size - 1)
        is_structure[own] = True
        of_variances = bound.natural(bound.start)[: sum(variance.parameters.n_rho for variance in bound.variances)]
        null[own.start : own.start + len(of_variances)] = of_variances
    return null, is_structure


def random_effects_pca(fit: Any) -> StatsTable:
    """Return the principal components of the random effects of every grouping factor.

    Components with a share near zero say that the random part has more dimensions than the data support.

    Parameters
    ----------
    fit : MixedResults

    Returns
    -------
    StatsTable
        A row a component: ``sd``, its ``share`` of the variance, and the ``cumulative`` share, by group.

    Raises
    ------
    SpecificationError
        If the model has no random effects.

    References
    ----------
    Bates, Kliegl, Vasishth & Baayen (2015), arXiv:1506.04967.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.random_effects_pca(fit).to_frame()["sd"].round(2).tolist()
    [24.74, 5.91]
    """
    if not isinstance(fit, MixedResults):
        raise TypeError(f"random_effects_pca needs results of mixedfx, found {type(fit).__name__}")
    if not fit.varcorr.covariances:
        raise SpecificationError("random_effects_pca is for models with random effects; this one has a residual only")
    frames = []
    for group, covariance in fit.varcorr.covariances.items():
        values = np.maximum(np.linalg.eigvalsh(covariance.to_numpy())[::-1], 0.0)
        share = values / values.sum() if values.sum() > 0 else np.zeros(values.size)
        index = pd.MultiIndex.from_product([[group], [f"PC{i + 1}" for i in range(values.size)]])
        frames.append(pd.DataFrame({"sd": np.sqrt(values), "share": share, "cumulative": share.cumsum()}, index=index))
    table = pd.concat(frames).rename_axis(["group", "component"])
    return StatsTable.from_frame(
        table,
        heading="Principal components of the random effects",
        formats={"share": "percent", "cumulative": "percent"},
    )
