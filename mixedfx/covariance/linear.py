"""Covariances whose factor is linear in theta: independent effects, and any covariance at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.linalg import lapack

from mixedfx._lazy import cached_property
from mixedfx._typing import Array, IntArray
from mixedfx.covariance.base import Covariance

__all__ = ["DiagonalCovariance", "HomogeneousDiagonalCovariance", "UnstructuredCovariance"]


@dataclass(frozen=True)
class DiagonalCovariance(Covariance):
    """``T = diag(theta)``: ``theta`` holds the relative standard deviations.

    Examples
    --------
    >>> import numpy as np
    >>> DiagonalCovariance(2).factor(np.array([2.0, 0.5]))
    array([[2. , 0. ],
           [0. , 0.5]])
    """

    @cached_property
    def _basis(self) -> Array:
        basis = np.zeros((self.size, self.size, self.size))
        basis[(np.arange(self.size),) * 3] = 1.0
        basis.flags.writeable = False
        return basis

    @property
    def is_correlated(self) -> bool:
        """Return False."""
        return False

    @property
    def n_theta(self) -> int:
        """One parameter a column."""
        return self.size

    def factor(self, theta: Array) -> Array:
        """Return ``T`` (q, q)."""
        return np.diag(theta)

    def derivative(self, theta: Array) -> Array:
        """Return the constant ``dT / dtheta`` (q, q, q), read-only."""
        return self._basis

    def second_derivative(self, theta: Array) -> None:
        """Return None: ``T`` is linear in ``theta``."""
        return None

    def lower(self) -> Array:
        """Return zeros."""
        return np.zeros(self.size)

    def upper(self) -> Array:
        """Return infinity."""
        return np.full(self.size, np.inf)

    def start(self) -> Array:
        """Return ones."""
        return np.ones(self.size)

    def near(self, covariance: Array) -> Array:
        """Return the standard deviations."""
        return np.asarray(np.sqrt(covariance.diagonal()))

    def labels(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Name each standard deviation after its column."""
        return tuple(columns)

    def closed_under_affine(self) -> bool:
        """Return True for a single column only."""
        return self.size == 1

    def closed_under_scaling(self) -> bool:
        """Return True."""
        return True

    def search_lower(self) -> Array:
        """Return minus infinity: only squares enter the covariance."""
        return np.full(self.n_theta, -np.inf)

    def canonical(self, theta: Array) -> Array:
        """Return the absolute values."""
        return np.abs(theta)

    def closed(self, theta: Array, rest: Array) -> Array:
        """Return the parameters with the standard deviations outside the span of ``rest`` (q, k) set to zero."""
        return np.where(np.abs(rest).sum(axis=1) > 0, theta, 0.0)

    def reopened(self, theta: Array, null: Array, gradient: Array, size: float) -> Array:
        """Return the parameters with those null standard deviations raised that the criterion wants positive."""
        wanted = (np.abs(null).sum(axis=1) > 0) & (gradient.diagonal() < 0)
        return np.where(wanted if wanted.any() else np.abs(null).sum(axis=1) > 0, size, theta)

    def rescale(self, theta: Array, scale: Array) -> Array:
        """Return the parameters of ``diag(scale) T(theta)``."""
        return np.asarray(theta * scale)


@dataclass(frozen=True)
class HomogeneousDiagonalCovariance(Covariance):
    """``T = theta I``: one relative standard deviation for all columns.

    Examples
    --------
    >>> import numpy as np
    >>> HomogeneousDiagonalCovariance(2).factor(np.array([2.0]))
    array([[2., 0.],
           [0., 2.]])
    """

    @property
    def is_correlated(self) -> bool:
        """Return False."""
        return False

    @property
    def n_theta(self) -> int:
        """One."""
        return 1

    def factor(self, theta: Array) -> Array:
        """Return ``T`` (q, q)."""
        return np.asarray(theta[0] * np.eye(self.size))

    def derivative(self, theta: Array) -> Array:
        """Return the constant ``dT / dtheta`` (1, q, q)."""
        return np.eye(self.size)[None]

    def second_derivative(self, theta: Array) -> None:
        """Return None: ``T`` is linear in ``theta``."""
        return None

    def lower(self) -> Array:
        """Return zero."""
        return np.zeros(1)

    def upper(self) -> Array:
        """Return infinity."""
        return np.full(1, np.inf)

    def start(self) -> Array:
        """Return one."""
        return np.ones(1)

    def near(self, covariance: Array) -> Array:
        """Return the root of the mean variance."""
        return np.asarray(np.sqrt(covariance.diagonal().mean(keepdims=True)))

    def labels(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Name the parameter after a single column, else ``sd``."""
        return (columns[0],) if self.size == 1 else ("sd",)

    def closed_under_affine(self) -> bool:
        """Return True for a single column only."""
        return self.size == 1

    def closed_under_scaling(self) -> bool:
        """Return True for a single column only."""
        return self.size == 1

    def search_lower(self) -> Array:
        """Return minus infinity: only squares enter the covariance."""
        return np.full(self.n_theta, -np.inf)

    def canonical(self, theta: Array) -> Array:
        """Return the absolute values."""
        return np.abs(theta)

    def rescale(self, theta: Array, scale: Array) -> Array:
        """Return the parameters of ``scale[0] * T(theta)``; the scales must be equal."""
        return np.asarray(theta * scale[:1])


SMALLEST_EIGENVALUE = 0.05  # of a correlation matrix to start from


KEPT_SIZE = 8  # terms of up to so many columns share their constant arrays


def _triangle(size: int) -> tuple[tuple[IntArray, IntArray], Array]:
    """Rows and columns (n_theta,) of a lower triangle, column-wise; matrices (n_theta, q, q) with a one there."""
    columns, rows = np.triu_indices(size)
    basis = np.zeros((rows.size, size, size))
    basis[np.arange(rows.size), rows, columns] = 1.0
    for shared in (rows, columns, basis):
        shared.flags.writeable = False
    return (rows, columns), basis


_kept_triangle = lru_cache(maxsize=KEPT_SIZE)(_triangle)


@dataclass(frozen=True)
class UnstructuredCovariance(Covariance):
    """``theta`` is the lower triangle of ``T``, column-wise, with a diagonal that is not negative.

    Examples
    --------
    >>> import numpy as np
    >>> UnstructuredCovariance(2).factor(np.array([2.0, 0.5, 1.0]))
    array([[2. , 0. ],
           [0.5, 1. ]])
    >>> UnstructuredCovariance(2).labels(["Intercept", "Days"])
    ('Intercept', 'Days.Intercept', 'Days')
    """

    @cached_property
    def _triangle(self) -> tuple[tuple[IntArray, IntArray], Array]:
        return (_kept_triangle if self.size <= KEPT_SIZE else _triangle)(self.size)

    @property
    def _positions(self) -> tuple[IntArray, IntArray]:
        """Rows and columns (n_theta,) of the lower triangle, column-wise."""
        return self._triangle[0]

    @property
    def _basis(self) -> Array:
        return self._triangle[1]

    @property
    def n_theta(self) -> int:
        """``q (q + 1) / 2``."""
        return self.size * (self.size + 1) // 2

    def factor(self, theta: Array) -> Array:
        """Return ``T`` (q, q); for a stack of parameters (…, n_theta) the stack (…, q, q)."""
        T = np.zeros((*theta.shape[:-1], self.size, self.size))
        T[..., *self._positions] = theta
        return T

    def derivative(self, theta: Array) -> Array:
        """Return the constant ``dT / dtheta`` (n_theta, q, q), read-only."""
        return self._basis

    def second_derivative(self, theta: Array) -> None:
        """Return None: ``T`` is linear in ``theta``."""
        return None

    def lower(self) -> Array:
        """Return 0 on the diagonal, minus infinity below it."""
        rows, columns = self._positions
        return np.where(rows == columns, 0.0, -np.inf)

    def upper(self) -> Array:
        """Return infinity."""
        return np.full(self.n_theta, np.inf)

    def start(self) -> Array:
        """Return the parameters of the identity."""
        rows, columns = self._positions
        return np.where(rows == columns, 1.0, 0.0)

    def near(self, covariance: Array) -> Array:
        """Return the parameters with correlations cut until the matrix is well positive definite."""
        sd = np.sqrt(covariance.diagonal())
        unit = np.where(sd > 0, sd, 1.0)  # an effect without variance has no correlations
        values, vectors = np.linalg.eigh(covariance / (unit * unit[:, None]))
        return self.parameters(sd[:, None] * vectors * np.sqrt(np.maximum(values, SMALLEST_EIGENVALUE)))

    def labels(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Name the diagonal after its column, the entry below it ``row.column``."""
        return tuple(
            columns[row] if row == column else f"{columns[row]}.{columns[column]}"
            for row, column in zip(*self._positions)
        )

    def closed_under_affine(self) -> bool:
        """Return True."""
        return True

    def closed_under_scaling(self) -> bool:
        """Return True."""
        return True

    def rescale(self, theta: Array, scale: Array) -> Array:
        """Return the parameters of ``diag(scale) T(theta)``."""
        return np.asarray(theta * scale[self._positions[0]])

    def search_lower(self) -> Array:
        """Return minus infinity: every lower triangle is the factor of some covariance."""
        return np.full(self.n_theta, -np.inf)

    def canonical(self, theta: Array) -> Array:
        """Return the parameters with a diagonal that is not negative."""
        return self.parameters(self.factor(theta))

    def closed(self, theta: Array, rest: Array) -> Array:
        """Return the parameters of the covariance projected on the columns of ``rest`` (q, k)."""
        if rest.shape[1] == 0:
            return np.zeros(self.n_theta)
        return self.parameters(rest @ (rest.T @ self.factor(theta)))

    def reopened(self, theta: Array, null: Array, gradient: Array, size: float) -> Array:
        """Return the parameters with variance added along the null direction that the criterion likes best."""
        values, vectors = np.linalg.eigh(null.T @ gradient @ null)
        chosen = null @ vectors[:, values <= max(float(values[0]), 0.0)]
        return self.parameters(np.hstack([self.factor(theta), size * chosen]))

    def parameters(self, factor: Array) -> Array:
        """Return the ``theta`` whose ``T T'`` equals ``factor @ factor.T``, for any real ``factor`` (q, k).

        The inverse of :meth:`factor` and, through a QR decomposition, the way back from ``A @ T`` to a lower triangle
        with a diagonal that is not negative. A singular ``factor`` is legal, and so is a stack of factors (…, q, k).
        """
        columns = factor.shape[-1]
        if columns >= self.size:
            padded = factor.swapaxes(-1, -2)
        else:
            padded = np.zeros((*factor.shape[:-2], self.size, self.size))
            padded[..., :columns, :] = factor.swapaxes(-1, -2)
        if padded.ndim == 2:
            R: Array = lapack.dgeqrf(padded)[0][: self.size]  # with the rotation below the diagonal
        else:
            R = np.asarray(np.linalg.qr(padded, mode="r"))
        T = R.swapaxes(-1, -2) * np.where(R.diagonal(axis1=-2, axis2=-1) < 0, -1.0, 1.0)[..., None, :]
        return np.asarray(T[..., *self._positions])
