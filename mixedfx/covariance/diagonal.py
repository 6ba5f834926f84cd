"""Independent random effects: a standard deviation for each column, or one for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array
from mixedfx.covariance.base import Covariance

__all__ = ["DiagonalCovariance", "HomogeneousDiagonalCovariance"]


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

    def absorbs_residual(self) -> bool:
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

    def absorbs_residual(self) -> bool:
        """Return True."""
        return True

    def search_lower(self) -> Array:
        """Return minus infinity: only squares enter the covariance."""
        return np.full(self.n_theta, -np.inf)

    def canonical(self, theta: Array) -> Array:
        """Return the absolute values."""
        return np.abs(theta)

    def rescale(self, theta: Array, scale: Array) -> Array:
        """Return the parameters of ``scale[0] * T(theta)``; the scales must be equal."""
        return np.asarray(theta * scale[:1])
