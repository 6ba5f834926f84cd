"""The interface of a relative covariance: parameters in, one lower-triangular factor and its derivatives out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError

__all__ = ["Contained", "Covariance"]


@dataclass(frozen=True)
class Contained:
    """A narrower structure, and the map ``embed`` of its parameters to those of the wider one.

    The maps are for parameters on the user's scale.
    """

    covariance: Covariance
    embed: Callable[[Array], Array]


@dataclass(frozen=True)
class Covariance(ABC):
    """Relative covariance of one random-effects term: ``Sigma / sigma**2 = T @ T.T``.

    Parameters
    ----------
    size : int
        Number q of random-effects columns of the term.

    Notes
    -----
    A standard deviation of zero is a legal value everywhere: ``T`` and its derivatives stay finite there. Correlation
    parameters stay strictly inside their interval, by the margin that :meth:`lower` and :meth:`upper` leave.

    A structure knows no units: ``theta`` may be on the user's scale or, while a model is fitted, on the inner one,
    where the columns are scaled; :meth:`rescale` leads from one to the other.
    """

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise SpecificationError(f"a random-effects term needs at least one column, found {self.size}")

    @property
    @abstractmethod
    def n_theta(self) -> int:
        """Number of parameters."""

    @abstractmethod
    def factor(self, theta: Array) -> Array:
        """Return the lower-triangular ``T`` (q, q) at ``theta`` (n_theta,)."""

    @abstractmethod
    def derivative(self, theta: Array) -> Array:
        """Return ``dT / dtheta`` (n_theta, q, q)."""

    @abstractmethod
    def second_derivative(self, theta: Array) -> Array | None:
        """Return ``d2T / dtheta2`` (n_theta, n_theta, q, q), or None where ``T`` is linear in ``theta``."""

    @abstractmethod
    def lower(self) -> Array:
        """Return the smallest legal values (n_theta,): 0 for a standard deviation."""

    @abstractmethod
    def upper(self) -> Array:
        """Return the largest legal values (n_theta,)."""

    @abstractmethod
    def start(self) -> Array:
        """Return the parameters (n_theta,) of the identity."""

    @abstractmethod
    def labels(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Name the parameters after the ``columns`` (q,) of the term."""

    @abstractmethod
    def closed_under_affine(self) -> bool:
        """Say whether ``A T T' A'`` belongs to the family for every invertible ``A`` (q, q)."""

    @abstractmethod
    def closed_under_scaling(self) -> bool:
        """Say whether ``diag(scale) T T' diag(scale)`` belongs to the family for every positive ``scale`` (q,)."""

    @abstractmethod
    def rescale(self, theta: Array, scale: Array) -> Array:
        """Return the parameters of ``diag(scale) T(theta)``; needs equal scales if not closed under scaling."""

    @property
    def is_correlated(self) -> bool:
        """Whether the effects of a level may be correlated."""
        return True

    def parameters(self, factor: Array) -> Array:
        """Return the parameters (n_theta,) of the covariance ``factor @ factor.T``, for any ``factor`` (q, k).

        Only structures that are closed under affine maps, :meth:`closed_under_affine`, have such for every factor.

        Raises
        ------
        SpecificationError
            In the others.
        """
        raise SpecificationError(
            f"{type(self).__name__} lacks a method for the parameters of a covariance: parameters()"
        )

    def near(self, covariance: Array) -> Array:
        """Return parameters (n_theta,) to start from near a symmetric matrix (q, q) that may be indefinite.

        The default is :meth:`start`.
        """
        return self.start()

    def contained(self) -> tuple[Contained, ...]:
        """Return narrower structures to search from, where the likelihood may have several maxima.

        The default is none: free and diagonal covariances have been seen to have one.
        """
        return ()

    def search_lower(self) -> Array:
        """Return lower bounds (n_theta,) for an optimiser: minus infinity where crossing zero stays in the family."""
        return self.lower()

    def canonical(self, theta: Array) -> Array:
        """Return the legal parameters (n_theta,) of the covariance at a ``theta`` within :meth:`search_lower`."""
        return theta

    def closed(self, theta: Array, rest: Array) -> Array:
        """Return the parameters with the variance outside the columns of ``rest`` (q, k) set to exactly zero.

        The default leaves ``theta`` as it is: structures other than the unstructured and diagonal ones reach a zero
        variance only through a standard deviation, which is then zero already.
        """
        return theta

    def reopened(self, theta: Array, null: Array, gradient: Array, size: float) -> Array:
        """Return parameters with some variance ``size**2`` along the null directions ``null`` (q, k).

        ``gradient`` (q, q) is the derivative of the criterion with respect to the covariance: directions in which it is
        negative are preferred. The default raises the standard deviations that are zero.
        """
        return np.where((self.lower() == 0) & (np.abs(theta) < size), size, theta)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters while the columns have none: the labels of columns ``1, 2, …, q``."""
        return self.labels([str(column + 1) for column in range(self.size)])

    def covariance(self, theta: Array) -> Array:
        """Return ``T T'`` (q, q), the covariance relative to ``sigma**2``."""
        T = self.factor(theta)
        return np.asarray(T @ T.T)

    def covariance_derivative(self, theta: Array) -> Array:
        """Return ``d(T T') / dtheta`` (n_theta, q, q)."""
        half = self.derivative(theta) @ self.factor(theta).T
        return np.asarray(half + half.transpose(0, 2, 1))

    def covariance_second_derivative(self, theta: Array) -> Array:
        """Return ``d2(T T') / dtheta2`` (n_theta, n_theta, q, q)."""
        first = self.derivative(theta)
        half = first[:, None] @ first.swapaxes(1, 2)[None]
        second = self.second_derivative(theta)
        if second is not None:
            half = half + second @ self.factor(theta).T
        return np.asarray(half + half.swapaxes(2, 3))
