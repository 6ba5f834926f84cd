"""From the parameter vector theta to the covariance factor of every grouping factor, with derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.covariance.base import Covariance

__all__ = ["CovarianceModel", "TermSlot"]


@dataclass(frozen=True)
class TermSlot:
    """Where one random-effects term lives.

    Attributes
    ----------
    covariance : Covariance
    factor : int
        Position of its grouping factor in elimination order.
    coefficients : slice
        Its coefficients among those of the factor (several terms may share a factor).
    theta : slice
        Its parameters in the whole vector.
    """

    covariance: Covariance
    factor: int
    coefficients: slice
    theta: slice


@dataclass(frozen=True)
class CovarianceModel:
    """All random-effects terms of a model, in the order of the formula.

    Attributes
    ----------
    terms : tuple of TermSlot
    sizes : tuple of int
        Coefficients of every grouping factor, in elimination order.
    """

    terms: tuple[TermSlot, ...]
    sizes: tuple[int, ...]

    @cached_property
    def n_theta(self) -> int:
        """Number of parameters."""
        return sum(term.covariance.n_theta for term in self.terms)

    def factors(self, theta: Array) -> list[Array]:
        """Return ``T`` (Q, Q) of every grouping factor, block-diagonal over its terms."""
        out = [np.zeros((size, size)) for size in self.sizes]
        for term in self.terms:
            out[term.factor][term.coefficients, term.coefficients] = term.covariance.factor(theta[term.theta])
        return out

    @cached_property
    def by_factor(self) -> tuple[IntArray, ...]:
        """Positions in theta of the parameters of every grouping factor."""
        found: list[list[int]] = [[] for _ in self.sizes]
        for term in self.terms:
            found[term.factor].extend(range(term.theta.start, term.theta.stop))
        return tuple(np.array(positions, dtype=np.intp) for positions in found)

    def derivatives(self, theta: Array) -> list[Array]:
        """Return ``dT / dtheta`` (k_f, Q, Q) of every grouping factor, for its own parameters (:attr:`by_factor`)."""
        out = [np.zeros((len(own), size, size)) for own, size in zip(self.by_factor, self.sizes, strict=True)]
        for term, rows in self._rows():
            out[term.factor][rows, term.coefficients, term.coefficients] = term.covariance.derivative(theta[term.theta])
        return out

    def _rows(self) -> list[tuple[TermSlot, slice]]:
        """Pair every term with its rows among the parameters of its factor."""
        used = [0] * len(self.sizes)
        found = []
        for term in self.terms:
            start = used[term.factor]
            used[term.factor] += term.covariance.n_theta
            found.append((term, slice(start, used[term.factor])))
        return found

    def curvature(self, theta: Array, gradient: Sequence[Array]) -> Array:
        """Return ``sum N o d2Sigma/dtheta_i dtheta_j`` (n_theta, n_theta) for symmetric ``N`` (Q, Q) by factor."""
        out = np.zeros((self.n_theta, self.n_theta))
        for term in self.terms:
            own = theta[term.theta]
            n = gradient[term.factor][term.coefficients, term.coefficients]
            first = term.covariance.derivative(own)
            flat = first.reshape(len(first), -1)
            block = 2.0 * (n @ first).reshape(len(first), -1) @ flat.T
            second = term.covariance.second_derivative(own)
            if second is not None:
                block = block + 2.0 * np.tensordot(second, n @ term.covariance.factor(own), axes=2)
            out[term.theta, term.theta] = block
        return out

    @cached_property
    def start(self) -> Array:
        """The parameters of the identity."""
        return np.concatenate([term.covariance.start() for term in self.terms]) if self.terms else np.zeros(0)

    @cached_property
    def lower(self) -> Array:
        """Smallest legal values."""
        return np.concatenate([term.covariance.lower() for term in self.terms]) if self.terms else np.zeros(0)

    @cached_property
    def search_lower(self) -> Array:
        """Lower bounds for an optimiser, which may cross zero where only a square counts."""
        return np.concatenate([t.covariance.search_lower() for t in self.terms]) if self.terms else np.zeros(0)

    @cached_property
    def upper(self) -> Array:
        """Largest legal values."""
        return np.concatenate([term.covariance.upper() for term in self.terms]) if self.terms else np.zeros(0)
