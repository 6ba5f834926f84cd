"""The Laplace approximation of many responses of one design at once, where the design falls into small blocks.

Replicates are the last array axis: linear predictors have the shape (n, R), effects (Q, m, R), matrices of the blocks
(Q, Q, m, R), with the blocks of :mod:`~mixedfx.criterion.batch`. The equations are those of
:mod:`~mixedfx.criterion.laplace` and :mod:`~mixedfx.criterion.mode`; the family is asked for all responses together.
What cannot be computed for one response (no mode, a fold) is infinite for that one, and does not hold up the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.criterion.batch import BlockMap
from mixedfx.criterion.generalized_modes import (
    BlockRows,
    Modes,
    apply,
    block_rows,
    find_modes,
    resolvents,
    taken,
    times,
)
from mixedfx.criterion.marginal import Auxiliary, AuxiliaryPart, Curve, Expansion, FamilyLikelihood, MarginalModel
from mixedfx.families.observed import Observed
from mixedfx.linalg.small import multiply

__all__ = ["GeneralizedBatch", "GeneralizedPoint", "generalized_batch"]

DIFFERENCE_STEP = 1e-6  # of forward differences of the exact gradient, relative to the size of a parameter


@dataclass(frozen=True)
class GeneralizedBatch:
    """Minus twice the Laplace log-likelihood (plus penalty) of R responses, each at its own parameters.

    Attributes
    ----------
    model : MarginalModel
        Of one response; the other responses differ in ``observed``.
    rows : BlockRows
    basis : (k, Q, Q)
        ``T = sum of theta_i basis_i``.
    observed : Observed
        The responses, (R, n) in it.
    """

    model: MarginalModel
    rows: BlockRows
    basis: Array
    observed: Observed

    @property
    def n_responses(self) -> int:
        """Number R of responses."""
        return len(self.observed.y)

    def take(self, which: IntArray) -> GeneralizedBatch:
        """Return the responses number ``which`` (r,), in rising order."""
        return self if which.size == self.n_responses else replace(self, observed=taken(self.observed, which))

    @property
    def likelihood(self) -> FamilyLikelihood:
        """The family with all responses."""
        return replace(self.model.likelihood, observed=self.observed)

    def fixed(self, x: Array) -> Array:
        """Return the linear predictors (n, R) without random effects, at ``x`` (R, k)."""
        return np.asarray(self.model.X @ x[:, : self.model.n_fixed].T + self.model.offset[:, None])

    def auxiliary(self, x: Array) -> list[Array]:
        """Return the auxiliary variables at ``x`` (R, k): (R, n), or (R, 1) where one number serves all rows."""
        extra = x[:, self.model.theta_slice.stop :]
        pairs = zip(self.model.auxiliaries, self.model.extra_slices, strict=True)
        return [_variable(auxiliary, extra[:, at]) for auxiliary, at in pairs]

    def at(self, x: Array, start: Array) -> GeneralizedPoint:
        """Evaluate at ``x`` (R, k), the search for the modes starting from ``t`` (Q, m, R)."""
        factor = np.tensordot(self.basis, x[:, self.model.theta_slice], axes=(0, 1))
        return GeneralizedPoint(
            self, x, factor, find_modes(self.rows, self.likelihood, self.fixed(x), self.auxiliary(x), factor, start)
        )

    def near(self, point: GeneralizedPoint, x: Array) -> GeneralizedPoint:
        """Return the point that the derivatives of the mode predict at ``x``: its errors are of second order."""
        factor = np.tensordot(self.basis, x[:, self.model.theta_slice], axes=(0, 1))
        change = x - point.x
        db, dt = point.movement
        b = point.b + np.einsum("qmrk,rk->qmr", db, change, optimize=True)
        t = point.modes.t + np.einsum("qmrk,rk->qmr", dt, change, optimize=True)
        modes = Modes(t, self.fixed(x) + self.rows.spread(b), point.modes.found)
        return GeneralizedPoint(self, x, factor, modes, b)


def generalized_batch(model: MarginalModel, blocks: BlockMap, observed: Observed) -> GeneralizedBatch:
    """Put a model, its blocks and many responses together."""
    rows = model.space.rows
    return GeneralizedBatch(model, block_rows(blocks, rows), blocks.factor_basis(model.covariance), observed)


def _variable(auxiliary: Auxiliary, parameters: Array) -> Array:
    values = parameters @ auxiliary.matrix.T + auxiliary.offset
    return np.asarray(values if auxiliary.matrix.shape[0] == 1 else np.asfortranarray(values))


# ---------------------------------------------------------------- the criterion
@dataclass(frozen=True)
class GeneralizedPoint:
    """The criterion of R responses at R places; each part is computed when asked for."""

    batch: GeneralizedBatch
    x: Array
    factor: Array
    modes: Modes
    effects: Array | None = None

    def take(self, which: IntArray) -> GeneralizedPoint:
        """Return the point of the responses number ``which``, in rising order."""
        modes = Modes(self.modes.t[..., which], self.modes.eta[:, which], self.modes.found[which])
        effects = None if self.effects is None else self.effects[..., which]
        return GeneralizedPoint(self.batch.take(which), self.x[which], self.factor[..., which], modes, effects)

    @cached_property
    def sigma(self) -> Array:
        """``Sigma = T T'`` (Q, Q, R)."""
        return multiply(self.factor, self.factor.swapaxes(0, 1))

    @cached_property
    def b(self) -> Array:
        """Random effects (Q, m, R) at the mode."""
        return times(self.sigma, self.modes.t) if self.effects is None else self.effects

    @cached_property
    def expansion(self) -> Expansion:
        """The log-likelihood of all rows around the modes, in arrays (n, R)."""
        found = self.batch.likelihood.expansion(self.modes.eta.T, self.batch.auxiliary(self.x))
        return _turned(found)

    @cached_property
    def _gram(self) -> Array:
        return self.batch.rows.gram(self.expansion.observed.weight)

    @cached_property
    def _resolved(self) -> tuple[Array, Array, Array, BoolArray]:
        return resolvents(self._gram, self.sigma, self.factor)

    @cached_property
    def is_known(self) -> BoolArray:
        """For which responses the criterion can be computed (R,)."""
        finite = np.isfinite(self._value) & np.isfinite(self.gradient).all(axis=1)
        return np.asarray(self.modes.found & self._resolved[3] & finite)

    @cached_property
    def _value(self) -> Array:
        penalty = self.batch.model.penalty.precision
        beta = self.x[:, : self.batch.model.n_fixed]
        quadratic = (self.modes.t * self.b).sum(axis=(0, 1)) + np.einsum("ri,ij,rj->r", beta, penalty, beta)
        return np.asarray(-2.0 * self.expansion.value.sum(axis=0) + quadratic + self._resolved[2])

    @property
    def rough_value(self) -> Array:
        """Minus twice the log-likelihoods (R,), whether they can be differentiated or not; infinite without a mode."""
        return np.where(self.modes.found & self._resolved[3] & np.isfinite(self._value), self._value, np.inf)

    @property
    def value(self) -> Array:
        """Minus twice the log-likelihoods (R,); infinite where no mode was found."""
        return np.where(self.is_known, self._value, np.inf)

    @cached_property
    def _leverages(self) -> Array:
        return self.batch.rows.leverages(self._resolved[1])

    @cached_property
    def _adjoint(self) -> tuple[Array, Array, Array]:
        """``a`` (n, R), ``r`` (Q, m, R) and ``v`` (n, R) of :class:`~mixedfx.criterion.laplace.Adjoint`."""
        rows, (f, k, _, _) = self.batch.rows, self._resolved
        a = 0.5 * self._leverages * self.expansion.determinant.slope
        side = rows.collect(a)
        return a, apply(f, side), rows.spread(apply(k, side))

    @cached_property
    def covariance_gradient(self) -> Array:
        """``N`` (Q, Q, R): the derivative with respect to the covariance of a block."""
        information = multiply(self._resolved[0], self._gram).sum(axis=2)
        t, r = self.modes.t, self._adjoint[1]
        cross = np.einsum("amr,bmr->abr", r - 0.5 * t, t, optimize=True)
        out = information + cross + cross.swapaxes(0, 1)
        return np.asarray(0.5 * (out + out.swapaxes(0, 1)))

    @cached_property
    def _slopes(self) -> Array:
        """``dSigma / dtheta`` (k, Q, Q, R)."""
        half = np.einsum("kac,bcr->kabr", self.batch.basis, self.factor)
        return np.asarray(half + half.swapaxes(1, 2))

    @cached_property
    def gradient(self) -> Array:
        """Exact gradients (R, k)."""
        e, model, (a, _, v) = self.expansion, self.batch.model, self._adjoint
        beta = 2.0 * (model.X.T @ (a - e.gradient - e.observed.weight * v))
        beta = beta + 2.0 * model.penalty.precision @ self.x[:, : model.n_fixed].T
        theta = np.einsum("kabr,abr->kr", self._slopes, self.covariance_gradient)
        extra = [
            2.0 * _collected(auxiliary, 0.5 * self._leverages * slope + v * part.mixed - part.slope)
            for auxiliary, slope, part in zip(model.auxiliaries, e.determinant.auxiliary, e.auxiliary, strict=True)
        ]
        return np.asarray(np.concatenate([beta, theta, *extra]).T)

    @cached_property
    def movement(self) -> tuple[Array, Array]:
        """Derivatives of the modes, ``db/dx`` and ``dt/dx`` (Q, m, R, k)."""
        rows, model, e = self.batch.rows, self.batch.model, self.expansion
        weight = e.observed.weight
        direct = np.einsum("kabr,bmr->kamr", self._slopes, self.modes.t, optimize=True)
        sides = [-rows.collect(weight * column[:, None]) for column in model.X.T]
        sides += [-apply(self._gram, one) for one in direct]
        for auxiliary, part in zip(model.auxiliaries, e.auxiliary, strict=True):
            columns = np.broadcast_to(auxiliary.matrix, (len(model.X), auxiliary.matrix.shape[1])).T
            sides += [rows.collect(part.mixed * column[:, None]) for column in columns]
        f, k = self._resolved[:2]
        db, dt = np.stack([apply(k, s) for s in sides], axis=-1), np.stack([apply(f, s) for s in sides], axis=-1)
        db[..., model.theta_slice] += np.moveaxis(direct, 0, -1)
        return db, dt

    @cached_property
    def hessian(self) -> Array:
        """Hessians (R, k, k) by forward differences of the exact gradient, the modes moved by their derivatives."""
        steps = DIFFERENCE_STEP * np.maximum(np.abs(self.x), 0.1)
        columns = []
        for j in range(self.x.shape[1]):
            moved = self.x.copy()
            moved[:, j] += steps[:, j]
            taken = moved[:, j] - self.x[:, j]
            columns.append((self.batch.near(self, moved).gradient - self.gradient) / taken[:, None])
        jacobian = np.stack(columns, axis=1)
        return np.asarray(0.5 * (jacobian + jacobian.swapaxes(1, 2)))


def _collected(auxiliary: Auxiliary, values: Array) -> Array:
    """``M' values`` (c, R) for the columns M (n, c) of an auxiliary variable."""
    if auxiliary.matrix.shape[0] == 1:
        return np.asarray(auxiliary.matrix.T * values.sum(axis=0))
    return np.asarray(auxiliary.matrix.T @ values)


def _turned(e: Expansion) -> Expansion:
    """The expansion with the replicates as last axis."""
    observed = _curve(e.observed)
    determinant = observed if e.determinant is e.observed else _curve(e.determinant)
    parts = tuple(AuxiliaryPart(part.slope.T, part.mixed.T) for part in e.auxiliary)
    return Expansion(e.value.T, e.gradient.T, observed, determinant, parts)


def _curve(curve: Curve) -> Curve:
    return Curve(curve.weight.T, curve.slope.T, tuple(part.T for part in curve.auxiliary))
