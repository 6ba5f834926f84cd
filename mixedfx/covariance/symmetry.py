"""Compound symmetry: every two columns are equally correlated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.covariance.correlation import CORRELATION_MARGIN, Correlation

__all__ = ["ExchangeableCorrelation"]


@dataclass(frozen=True)
class ExchangeableCorrelation(Correlation):
    """``(1 - rho) I + rho 11'`` with ``-1 / (q - 1) < rho < 1``.

    Notes
    -----
    With ``a_j = 1 + j rho``, column j of the Cholesky factor has the diagonal ``sqrt((1 - rho) a_j / a_(j-1))`` and
    below it the constant ``rho sqrt((1 - rho) / (a_(j-1) a_j))``.

    Examples
    --------
    >>> import numpy as np
    >>> C = ExchangeableCorrelation(3).cholesky(np.array([-0.25]))
    >>> (C @ C.T).round(12)
    array([[ 1.  , -0.25, -0.25],
           [-0.25,  1.  , -0.25],
           [-0.25, -0.25,  1.  ]])
    """

    @property
    def is_exchangeable(self) -> bool:
        """True."""
        return True

    @property
    def names(self) -> tuple[str, ...]:
        """``rho``."""
        return ("rho",) if self.size > 1 else ()

    def cholesky(self, rho: Array) -> Array:
        """Return ``C`` (q, q)."""
        if self.size == 1:
            return np.ones((1, 1))
        on, below = self._columns(rho[0])
        return self._assemble(on[0], below[0])

    def derivative(self, rho: Array) -> Array:
        """Return ``dC / drho`` (n_rho, q, q)."""
        if self.size == 1:
            return np.zeros((0, 1, 1))
        on, below = self._columns(rho[0])
        return self._assemble(on[1], below[1])[None]

    def second_derivative(self, rho: Array) -> Array:
        """Return ``d2C / drho2`` (n_rho, n_rho, q, q)."""
        if self.size == 1:
            return np.zeros((0, 0, 1, 1))
        on, below = self._columns(rho[0])
        return self._assemble(on[2], below[2])[None, None]

    def lower(self) -> Array:
        """Return just above ``-1 / (q - 1)``."""
        return np.full(self.n_rho, -(1 - CORRELATION_MARGIN) / max(self.size - 1, 1))

    def upper(self) -> Array:
        """Return just below 1."""
        return np.full(self.n_rho, 1 - CORRELATION_MARGIN)

    def _columns(self, rho: float) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:
        """Diagonal and subdiagonal value of each column (q,), with first and second derivatives.

        A product of powers ``v = prod a_i ** p_i`` has ``v' = v g`` and ``v'' = v (g**2 + g')``, ``g = (log v)'``.
        """
        j = np.arange(self.size)
        a, previous, rest = 1 + j * rho, 1 + (j - 1) * rho, 1 - rho
        slope, slope_previous = j / a, (j - 1) / previous
        on = np.sqrt(rest * a / previous)
        g = (-1 / rest + slope - slope_previous) / 2
        dg = (-1 / rest**2 - slope**2 + slope_previous**2) / 2
        root = np.sqrt(rest / (previous * a))
        h = (-1 / rest - slope - slope_previous) / 2
        dh = (-1 / rest**2 + slope**2 + slope_previous**2) / 2
        droot, d2root = root * h, root * (h**2 + dh)
        return (on, on * g, on * (g**2 + dg)), (rho * root, root + rho * droot, 2 * droot + rho * d2root)

    def _assemble(self, on: Array, below: Array) -> Array:
        """Put ``on`` on the diagonal and ``below[j]`` under it in column j."""
        return np.asarray(np.tril(np.broadcast_to(below, (self.size, self.size)), -1) + np.diag(on))
