"""First-order autoregression over the columns of a term, which stand at equal distances in their order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.covariance.correlation import CORRELATION_MARGIN, Correlation

__all__ = ["AutoregressiveCorrelation"]


@dataclass(frozen=True)
class AutoregressiveCorrelation(Correlation):
    """Columns i and j have the correlation ``rho ** |i - j|``, ``-1 < rho < 1``.

    Notes
    -----
    The Cholesky factor is ``rho ** i`` in the first column and ``rho ** (i - j) sqrt(1 - rho**2)`` in the others.

    Examples
    --------
    >>> import numpy as np
    >>> C = AutoregressiveCorrelation(3).cholesky(np.array([0.5]))
    >>> (C @ C.T).round(12)
    array([[1.  , 0.5 , 0.25],
           [0.5 , 1.  , 0.5 ],
           [0.25, 0.5 , 1.  ]])
    """

    @property
    def names(self) -> tuple[str, ...]:
        """``rho``."""
        return ("rho",) if self.size > 1 else ()

    def cholesky(self, rho: Array) -> Array:
        """Return ``C`` (q, q)."""
        if self.size == 1:
            return np.ones((1, 1))
        power, innovation = self._powers(rho[0])[0], np.sqrt(1 - rho[0] ** 2)
        power[:, 1:] *= innovation
        return power

    def derivative(self, rho: Array) -> Array:
        """Return ``dC / drho`` (n_rho, q, q)."""
        if self.size == 1:
            return np.zeros((0, 1, 1))
        power, first, _ = self._powers(rho[0])
        innovation = np.sqrt(1 - rho[0] ** 2)
        first[:, 1:] = first[:, 1:] * innovation - power[:, 1:] * rho[0] / innovation
        return first[None]

    def second_derivative(self, rho: Array) -> Array:
        """Return ``d2C / drho2`` (n_rho, n_rho, q, q)."""
        if self.size == 1:
            return np.zeros((0, 0, 1, 1))
        power, first, second = self._powers(rho[0])
        innovation = np.sqrt(1 - rho[0] ** 2)
        slope, curvature = -rho[0] / innovation, -1 / innovation**3
        second[:, 1:] = second[:, 1:] * innovation + 2 * first[:, 1:] * slope + power[:, 1:] * curvature
        return second[None, None]

    def lower(self) -> Array:
        """Return just above -1."""
        return np.full(self.n_rho, -(1 - CORRELATION_MARGIN))

    def upper(self) -> Array:
        """Return just below 1."""
        return np.full(self.n_rho, 1 - CORRELATION_MARGIN)

    def _powers(self, rho: float) -> tuple[Array, Array, Array]:
        """``rho ** (i - j)`` in the lower triangle (q, q), its first and its second derivative."""
        lag = np.arange(self.size)[:, None] - np.arange(self.size)
        power = np.where(lag >= 0, rho ** np.maximum(lag, 0), 0.0)
        first = np.where(lag >= 1, lag * rho ** np.maximum(lag - 1, 0), 0.0)
        second = np.where(lag >= 2, lag * (lag - 1) * rho ** np.maximum(lag - 2, 0), 0.0)
        return power, first, second
