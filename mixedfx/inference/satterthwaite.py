"""Satterthwaite's degrees of freedom from exact derivatives."""

from __future__ import annotations

import numpy as np

from mixedfx._typing import Array
from mixedfx.inference.variance_parameters import VarianceParameters

__all__ = ["satterthwaite_df"]


def satterthwaite_df(parameters: VarianceParameters, rows: Array) -> Array:
    """Return the degrees of freedom (r,) of ``rows @ beta``: ``2 v^2 / Var(v)`` by the delta method.

    Parameters
    ----------
    parameters : VarianceParameters
    rows : (r, p)
        Contrasts on the inner scale.

    Returns
    -------
    (r,) array
        ``inf`` where the variance of the contrast does not depend on estimated variances, nan for a zero contrast.

    References
    ----------
    Satterthwaite (1946), Biometrics Bulletin 2, 110; Fai & Cornelius (1996), J. Stat. Comput. Simul. 54, 363.
    """
    gradient = parameters.slopes(rows)
    variance = ((rows @ parameters.fit.at.unscaled_cov) * rows).sum(axis=1)
    spread = (gradient * (parameters.covariance @ gradient)).sum(axis=0)
    out = np.full(len(rows), np.inf)
    np.divide(2.0 * variance**2, spread, out=out, where=spread > 0)
    return np.where(variance > 0, out, np.nan)
