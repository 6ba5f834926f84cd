"""Asymptotic covariance of the variance parameters of a linear mixed model, from the exact Hessian."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array
from mixedfx.fitting import LinearFit
from mixedfx.inference.linear_algebra import inverse_on_range

__all__ = ["VarianceParameters"]


@dataclass(frozen=True)
class VarianceParameters:
    """The parameters ``(theta, rho, log sigma^2)`` on the inner scale, and what they do to ``Var(beta)``.

    With ``f`` minus twice the log-likelihood, their covariance is twice the inverse of the Hessian of ``f`` in which
    sigma is not profiled out. If sigma is known, its row and column are zero.
    """

    fit: LinearFit

    @cached_property
    def covariance(self) -> Array:
        """Covariance (k + 1, k + 1) of the parameters; on the boundary, of those directions that can vary."""
        at, point = self.fit.at, self.fit.point
        k = point.theta.size
        out = np.zeros((k + 1, k + 1))
        out[:k, :k] = 2.0 * inverse_on_range(point.hessian)
        if at.criterion.sigma2 is None:
            slope = point.response_slopes / (at.sigma2 * at.criterion.nu)
            shared = -out[:k, :k] @ slope
            out[:k, k] = out[k, :k] = shared
            out[k, k] = 2.0 / at.criterion.nu - slope @ shared
        return out

    def slopes(self, rows: Array) -> Array:
        """Return the derivatives (k + 1, r) of the variances of ``rows @ beta`` for ``rows`` (r, p) on the inner scale.

        Relative to ``sigma^2 = 1``: multiply by sigma squared.
        """
        at = self.fit.at
        spread = rows @ at.unscaled_cov
        forms = ((spread @ self.fit.point.x_form_stack) * spread).sum(axis=2)
        own = (rows * spread).sum(axis=1)[None]
        return np.concatenate([forms, own if at.criterion.sigma2 is None else np.zeros_like(own)])
