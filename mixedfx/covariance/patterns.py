"""Correlation patterns: autoregression, compound symmetry, Toeplitz."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.covariance.correlation import CORRELATION_MARGIN, Correlation

__all__ = ["AutoregressiveCorrelation", "ExchangeableCorrelation", "ToeplitzCorrelation"]


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


_Jet = tuple[Array, ...]
"""Value (q,), gradient (q - 1, q) and Hessian (q - 1, q - 1, q) in the parameters of one row over the innovations, up
to the order that is wanted."""


@dataclass(frozen=True)
class ToeplitzCorrelation(Correlation):
    """Columns i and j have a correlation that depends on ``|i - j|`` only, by its partial autocorrelations.

    ``rho[k - 1]`` is the correlation of two columns k apart given those between them. Each lies in (-1, 1) freely,
    and together they run through all positive definite Toeplitz correlations exactly once, so that an optimiser
    within a box never leaves them; plain correlations by lag have no such box.

    Notes
    -----
    The rows of the Cholesky factor come from the normalised lattice filter run backwards: with forward and backward
    innovations f and b of unit variance and ``c_k = sqrt(1 - rho_k**2)``, for k = t, …, 1

    ``f_(k-1)(t) = c_k f_k(t) + rho_k b_(k-1)(t-1)`` and ``b_k(t) = c_k b_(k-1)(t-1) - rho_k f_k(t)``,

    rotations all, stable up to the boundary. References: Barndorff-Nielsen & Schou (1973), J. Multivariate Analysis
    3, 408-419; Itakura & Saito (1971) for the lattice.

    Examples
    --------
    >>> import numpy as np
    >>> C = ToeplitzCorrelation(3).cholesky(np.array([0.5, 0.2]))
    >>> (C @ C.T).round(12)
    array([[1. , 0.5, 0.4],
           [0.5, 1. , 0.5],
           [0.4, 0.5, 1. ]])
    """

    @property
    def names(self) -> tuple[str, ...]:
        """``partial.1``, ``partial.2``, …: partial autocorrelations by distance."""
        return tuple(f"partial.{lag}" for lag in range(1, self.size))

    def narrower(self) -> tuple[tuple[Correlation, Callable[[Array], Array]], ...]:
        """Return the first-order autoregression and compound symmetry."""
        if self.n_rho < 2:
            return ()
        lags = np.arange(self.n_rho)
        ends = self.lower(), self.upper()
        return (
            (AutoregressiveCorrelation(self.size), lambda rho: np.where(lags == 0, rho, 0.0)),
            (ExchangeableCorrelation(self.size), lambda rho: np.clip(rho / (1.0 + lags * rho), *ends)),
        )

    def cholesky(self, rho: Array) -> Array:
        """Return ``C`` (q, q)."""
        return self._jets(rho, 0)[0]

    def derivative(self, rho: Array) -> Array:
        """Return ``dC / drho`` (n_rho, q, q)."""
        return self._jets(rho, 1)[1]

    def second_derivative(self, rho: Array) -> Array:
        """Return ``d2C / drho2`` (n_rho, n_rho, q, q)."""
        return self._jets(rho, 2)[2]

    def lower(self) -> Array:
        """Return just above -1."""
        return np.full(self.n_rho, -(1 - CORRELATION_MARGIN))

    def upper(self) -> Array:
        """Return just below 1."""
        return np.full(self.n_rho, 1 - CORRELATION_MARGIN)

    def _jets(self, rho: Array, order: int) -> _Jet:
        """``C`` (q, q), first (n_rho, q, q) and second (n_rho, n_rho, q, q) derivative by the lattice."""
        q, n = self.size, self.size - 1
        out = tuple(np.zeros((*(n,) * degree, q, q)) for degree in range(order + 1))
        backward: list[_Jet] = []
        for t in range(q):
            forward: _Jet = (np.eye(q)[t], *(np.zeros((*(n,) * degree, q)) for degree in range(1, order + 1)))
            renewed: list[_Jet] = []
            for k in range(t - 1, -1, -1):
                forward, rotated = _rotate(rho, k, forward, backward[k])
                renewed.append(rotated)
            backward = [forward, *reversed(renewed)]
            for part, row in zip(out, forward, strict=True):
                part[..., t, :] = row
        return out


def _rotate(rho: Array, k: int, forward: _Jet, backward: _Jet) -> tuple[_Jet, _Jet]:
    """Return ``c f + rho_k b`` and ``c b - rho_k f`` with their derivatives, ``c = sqrt(1 - rho_k**2)``."""
    sine, cosine = float(rho[k]), float(np.sqrt(1 - rho[k] ** 2))
    dcosine, d2cosine = -sine / cosine, -1 / cosine**3
    return (
        _combine(k, (cosine, dcosine, d2cosine), forward, (sine, 1.0, 0.0), backward),
        _combine(k, (cosine, dcosine, d2cosine), backward, (-sine, -1.0, 0.0), forward),
    )


def _combine(k: int, a: tuple[float, float, float], x: _Jet, b: tuple[float, float, float], y: _Jet) -> _Jet:
    """Return ``a x + b y`` with its derivatives; ``a`` and ``b`` depend on parameter k alone."""
    out = tuple(a[0] * left + b[0] * right for left, right in zip(x, y, strict=True))
    if len(out) > 1:
        out[1][k] += a[1] * x[0] + b[1] * y[0]
    if len(out) > 2:
        cross = a[1] * x[1] + b[1] * y[1]
        out[2][k] += cross
        out[2][:, k] += cross
        out[2][k, k] += a[2] * x[0] + b[2] * y[0]
    return out
