"""The directions in which the covariance of the data can vary, as matrices: what Kenward and Roger differentiate by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from mixedfx._typing import Array, IntArray
from mixedfx.covariance.base import Covariance
from mixedfx.criterion.linear import LinearEvaluation

__all__ = ["VarianceDirections", "linear_members", "second_derivative", "variance_directions"]

SPAN_TOLERANCE = 1e-9  # relative size of what counts as outside of a linear span
SEED = 20  # of the members that are tried: any generic ones will do


@dataclass(frozen=True)
class VarianceDirections:
    """Symmetric matrices ``D_i``: the covariance of the data moves by ``Z_f (I x D_i) Z_f'``.

    Attributes
    ----------
    factor : (k,)
        Position of the grouping factor f of every direction, in elimination order.
    matrices : tuple of k arrays (Q_f, Q_f)
    curved : tuple of arrays (c, c, Q_f, Q_f)
        Second derivatives of the terms whose covariance is not linear in its parameters.
    curved_at : tuple of arrays (c,)
        The directions that these second derivatives belong to.
    """

    factor: IntArray
    matrices: tuple[Array, ...]
    curved: tuple[Array, ...]
    curved_at: tuple[IntArray, ...]

    @property
    def size(self) -> int:
        """Number k of directions."""
        return len(self.matrices)

    @cached_property
    def by_factor(self) -> dict[int, tuple[IntArray, Array]]:
        """For every factor that varies, the positions (k_f,) of its directions and their matrices (k_f, Q_f, Q_f)."""
        found = {}
        for f in np.unique(self.factor):
            own = np.flatnonzero(self.factor == f)
            found[int(f)] = (own, np.stack([self.matrices[i] for i in own]))
        return found

    def extended(self, factor: int, matrix: Array) -> VarianceDirections:
        """Return them with one more direction at the end."""
        return VarianceDirections(np.append(self.factor, factor), (*self.matrices, matrix), (), ())


def linear_members(covariance: Covariance) -> Array | None:
    """Return a basis (k, q, q) of a family of covariances, or None if the family is not linear.

    A family of k parameters is (an open part of) a linear space exactly if its members span k dimensions. The basis is
    in echelon form: one matrix of units for every variance, covariance, or set of equal ones. Any other, the members
    themselves above all, may be nearly dependent, and the information about their coefficients nearly singular.
    """
    rng = np.random.default_rng(SEED)
    k, start = covariance.n_theta, covariance.start()
    lower, upper = covariance.lower(), covariance.upper()
    room = np.where(np.isfinite(upper - lower), 0.4 * np.minimum(upper - start, start - lower), 0.7)
    free = k < covariance.size * (covariance.size + 1) // 2
    draws = start + room * rng.uniform(-1.0, 1.0, size=(k + (3 if free else 0), k))
    members = np.stack([covariance.covariance(draw) for draw in draws])
    flat = members.reshape(len(members), -1)
    sizes = np.linalg.svd(flat, compute_uv=False)
    if np.sum(sizes > SPAN_TOLERANCE * sizes[0]) != k:
        return None
    return _echelon(flat[:k]).reshape(-1, *members.shape[1:])


def _echelon(rows: Array) -> Array:
    """Return the basis (k, c) of the span of ``rows`` (k, c) that is the identity in the k best conditioned columns."""
    _, _, order = linalg.qr(rows, mode="economic", pivoting=True)
    return np.asarray(np.linalg.solve(rows[:, order[: len(rows)]], rows))


def variance_directions(at: LinearEvaluation) -> VarianceDirections:
    """Return the directions at an estimate: members of a linear family, else the tangents with their derivatives."""
    factor: list[int] = []
    matrices: list[Array] = []
    curved: list[Array] = []
    curved_at: list[IntArray] = []
    for slot in at.criterion.model.terms:
        own = at.theta[slot.theta]
        found = linear_members(slot.covariance)
        if found is None:
            found = slot.covariance.covariance_derivative(own)
            curved.append(_embedded(second_derivative(slot.covariance, own), at, slot.factor, slot.coefficients))
            curved_at.append(np.arange(len(matrices), len(matrices) + len(found)))
        matrices.extend(_embedded(found, at, slot.factor, slot.coefficients))
        factor.extend([slot.factor] * len(found))
    return VarianceDirections(np.array(factor, dtype=np.intp), tuple(matrices), tuple(curved), tuple(curved_at))


def second_derivative(covariance: Covariance, theta: Array) -> Array:
    """Return ``d2(T T') / dtheta2`` (k, k, q, q)."""
    first = covariance.derivative(theta)
    half = first[:, None] @ first.swapaxes(1, 2)[None]
    second = covariance.second_derivative(theta)
    if second is not None:
        half = half + second @ covariance.factor(theta).T
    return np.asarray(half + half.swapaxes(2, 3))


def _embedded(matrices: Array, at: LinearEvaluation, factor: int, coefficients: slice) -> Array:
    """Place matrices (…, q, q) of one term among the coefficients of its factor."""
    size = at.criterion.model.sizes[factor]
    out = np.zeros((*matrices.shape[:-2], size, size))
    out[..., coefficients, coefficients] = matrices
    return out
