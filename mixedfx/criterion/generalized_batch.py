"""The Laplace approximation of many responses of one design at once, where the design falls into small blocks.

Replicates are the last array axis: linear predictors have the shape (n, R), effects (Q, m, R), matrices of the blocks
(Q, Q, m, R), with the blocks of :mod:`~mixedfx.criterion.batch`. The equations are those of
:mod:`~mixedfx.criterion.laplace` and :mod:`~mixedfx.criterion.mode`; the family is asked for all responses together.
What cannot be computed for one response (no mode, a fold) is infinite for that one, and does not hold up the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.criterion.batch import BlockMap
from mixedfx.criterion.marginal import Auxiliary, AuxiliaryPart, Curve, Expansion, FamilyLikelihood, MarginalModel
from mixedfx.families.observed import Observed
from mixedfx.linalg.gram import Rows
from mixedfx.linalg.small import multiply, resolvent_of

__all__ = ["BlockRows", "GeneralizedBatch", "GeneralizedPoint", "Modes", "generalized_batch", "stacked"]

MAX_STEPS = 50
TOLERANCE = 1e-9  # of the Newton decrement before the last step, which squares the error
HALVINGS = 26  # of a step that loses ground
ROUNDING = 1e-8  # relative size of an eigenvalue that may be none
RISE = 1e-12  # relative rounding of the penalised log-likelihood
DIFFERENCE_STEP = 1e-6  # of forward differences of the exact gradient, relative to the size of a parameter


@dataclass(frozen=True)
class BlockRows:
    """Between the rows and the coefficients of the blocks, for many responses at once.

    Attributes
    ----------
    size, count : int
        Coefficients Q of a block, number m of blocks.
    incidence : (Q m, n)
        ``Z'``.
    pairs : (c m, n)
        Products of two covariates of a row, for the c pairs of coefficients that meet in some row.
    first, second : (c,)
        Which coefficients these are; the first is not above the second.
    """

    size: int
    count: int
    incidence: sp.csr_array
    pairs: sp.csr_array
    first: IntArray
    second: IntArray

    @cached_property
    def _rows(self) -> sp.csr_array:
        return sp.csr_array(self.incidence.T)

    @cached_property
    def _row_pairs(self) -> sp.csr_array:
        """The products by row, those off the diagonal twice."""
        twice = np.repeat(np.where(self.first == self.second, 1.0, 2.0), self.count)
        return sp.csr_array(self.pairs.T * twice)

    def collect(self, values: Array) -> Array:
        """Return ``Z' values`` (Q, m, R)."""
        return np.asarray(self.incidence @ values).reshape(self.size, self.count, -1)

    def spread(self, effects: Array) -> Array:
        """Return ``Z effects`` (n, R)."""
        return np.asarray(self._rows @ effects.reshape(self.size * self.count, -1))

    def gram(self, weight: Array) -> Array:
        """Return ``Z_l' W Z_l`` (Q, Q, m, R)."""
        sums = np.asarray(self.pairs @ weight).reshape(len(self.first), self.count, -1)
        out = np.zeros((self.size, self.size, *sums.shape[1:]))
        out[self.first, self.second] = sums
        out[self.second, self.first] = sums
        return out

    def leverages(self, k: Array) -> Array:
        """Return ``z_i' K z_i`` (n, R) for symmetric ``K`` (Q, Q, m, R)."""
        chosen = k[self.first, self.second]
        return np.asarray(self._row_pairs @ chosen.reshape(len(self.first) * self.count, -1))


def block_rows(blocks: BlockMap, rows: Rows) -> BlockRows:
    """Return the maps between rows and blocks."""
    incidence, n = blocks.incidence(rows), len(rows.columns)
    block = blocks.block[0][rows.layout.codes[0]]
    coo = sp.coo_array(incidence)
    place, row = coo.coords
    values = np.zeros((blocks.size, n))
    values[place // blocks.count, row] = coo.data
    first, second, parts = [], [], []
    for a in range(blocks.size):
        for b in range(a, blocks.size):
            product = values[a] * values[b]
            if a == b or product.any():
                first.append(a)
                second.append(b)
                parts.append(sp.csr_array((product, (block, np.arange(n))), shape=(blocks.count, n)))
    pairs = sp.csr_array(sp.vstack(parts))
    pairs.eliminate_zeros()
    return BlockRows(blocks.size, blocks.count, incidence, pairs, np.array(first), np.array(second))


def stacked(parts: Sequence[Observed]) -> Observed:
    """Return the responses of one family and one design as one, with a leading axis (R, n)."""
    first = parts[0]
    inner = [part.inner for part in parts if part.inner is not None]
    return replace(
        first,
        y=_columns([part.y for part in parts]),
        constant=_columns([part.constant for part in parts]),
        inner=stacked(inner) if inner else None,
    )


def _columns(arrays: Sequence[Array]) -> Array:
    """Return the arrays (n,) as (R, n), replicate by replicate next to each other in memory."""
    return np.stack(arrays, axis=1).T


def _taken(observed: Observed, which: IntArray) -> Observed:
    inner = None if observed.inner is None else _taken(observed.inner, which)
    return replace(observed, y=observed.y.T[:, which].T, constant=observed.constant.T[:, which].T, inner=inner)


@dataclass(frozen=True)
class Modes:
    """Modes: ``t = Sigma^-1 b`` (Q, m, R), linear predictors ``eta`` (n, R), and whether they were found (R,)."""

    t: Array
    eta: Array
    found: BoolArray


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
        return self if which.size == self.n_responses else replace(self, observed=_taken(self.observed, which))

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
        sigma = multiply(factor, factor.swapaxes(0, 1))
        return GeneralizedPoint(self, x, factor, _modes(self, x, factor, sigma, start))

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


# ---------------------------------------------------------------- the modes
def _modes(batch: GeneralizedBatch, x: Array, factor: Array, sigma: Array, start: Array) -> Modes:
    """Newton steps for all responses, each with its own halving; those that are done wait."""
    fixed, auxiliary = batch.fixed(x), batch.auxiliary(x)
    search = _Search(batch, fixed, auxiliary, sigma, factor)
    at = search.evaluate(start, fixed + batch.rows.spread(_times(sigma, start)))
    lost = ~np.isfinite(at.value)
    if lost.any():
        t = np.where(lost, 0.0, start)
        at = search.evaluate(t, fixed + batch.rows.spread(_times(sigma, t)))
    t, eta, found = at.t.copy(), at.eta.copy(), np.zeros(len(x), dtype=bool)
    which = np.flatnonzero(np.isfinite(at.value))
    at, search = at.take(which), search.take(which)
    for _ in range(MAX_STEPS):
        if not which.size:
            break
        full_t, full_eta, decrement = search.newton(at)
        done = decrement <= TOLERANCE
        own = which[done]
        t[..., own], eta[:, own], found[own] = full_t[..., done], full_eta[:, done], True
        left = np.flatnonzero(~done & np.isfinite(decrement))
        which, search = which[left], search.take(left)
        at, alive = search.stepped(at.take(left), full_t[..., left], full_eta[:, left])
        which, search, at = which[alive], search.take(alive), at.take(alive)
    return Modes(t, eta, found)


def _times(sigma: Array, t: Array) -> Array:
    """``Sigma t`` (Q, m, R)."""
    return np.asarray((sigma[:, :, None] * t).sum(axis=1))


@dataclass(frozen=True)
class _Iterates:
    """Points of the search for the modes, with the likelihood there."""

    t: Array
    eta: Array
    value: Array
    gradient: Array
    weight: Array

    def take(self, which: IntArray) -> _Iterates:
        if which.size == self.value.size:
            return self
        parts = (self.t, self.eta, self.value, self.gradient, self.weight)
        return _Iterates(*(part[..., which] for part in parts))


@dataclass(frozen=True)
class _Search:
    """What the search for the modes of some responses needs, all else being fixed."""

    batch: GeneralizedBatch
    fixed: Array
    auxiliary: Sequence[Array]
    sigma: Array
    factor: Array

    def take(self, which: IntArray) -> _Search:
        if which.size == self.fixed.shape[1]:
            return self
        auxiliary = [part[which] for part in self.auxiliary]
        own = (self.fixed[:, which], auxiliary, self.sigma[..., which], self.factor[..., which])
        return _Search(self.batch.take(which), *own)

    def evaluate(self, t: Array, eta: Array) -> _Iterates:
        """The penalised log-likelihood at ``t``, whose linear predictors are ``eta``."""
        value, gradient, weight = self.batch.likelihood.quadratic(eta.T, self.auxiliary)
        penalty = 0.5 * (t * _times(self.sigma, t)).sum(axis=(0, 1))
        return _Iterates(t, eta, value.sum(axis=1) - penalty, gradient.T, weight.T)

    def newton(self, at: _Iterates) -> tuple[Array, Array, Array]:
        """``t`` and ``eta`` after a full step, and its squared length; nan where there is none."""
        rows = self.batch.rows
        resolvent, _, _, good = _resolvents(rows.gram(at.weight), self.sigma, self.factor)
        side = rows.collect(at.gradient + at.weight * (at.eta - self.fixed))
        t = _apply(resolvent, side)
        b = _times(self.sigma, t)
        eta = self.fixed + rows.spread(b)
        change = eta - at.eta
        length = (np.abs(at.weight) * change * change).sum(axis=0)
        length = length + np.abs(((t - at.t) * _times(self.sigma, t - at.t)).sum(axis=(0, 1)))
        return t, eta, np.where(good, length, np.nan)

    def stepped(self, at: _Iterates, t: Array, eta: Array) -> tuple[_Iterates, IntArray]:
        """The points after steps that are halved until they gain, and which of the responses have one."""
        floor = at.value - RISE * np.maximum(1.0, np.abs(at.value))
        new = self.evaluate(t, eta)
        good = new.value >= floor
        parts = tuple(part.copy() for part in (new.t, new.eta, new.value, new.gradient, new.weight))
        fraction = 1.0
        for _ in range(HALVINGS):
            bad = np.flatnonzero(~good)
            if not bad.size:
                break
            fraction *= 0.5
            own, start = self.take(bad), at.take(bad)
            moved = (old + fraction * (full - old) for old, full in ((start.t, t[..., bad]), (start.eta, eta[:, bad])))
            trial = own.evaluate(*moved)
            gains = trial.value >= floor[bad]
            which = bad[gains]
            for part, value in zip(parts, (trial.t, trial.eta, trial.value, trial.gradient, trial.weight), strict=True):
                part[..., which] = value[..., gains]
            good[which] = True
        return _Iterates(*parts), np.flatnonzero(good)


def _apply(matrices: Array, vectors: Array) -> Array:
    """Products (Q, m, R) of matrices (Q, Q, m, R) with vectors."""
    return np.asarray((matrices * vectors).sum(axis=1))


def _resolvents(s: Array, sigma: Array, factor: Array) -> tuple[Array, Array, Array, BoolArray]:
    """``F = (I + S Sigma)^-1``, ``K = Sigma F`` (Q, Q, m, R), ``log|I + S Sigma|``, and who has them (R,)."""
    good = np.asarray(np.isfinite(s).all(axis=(0, 1, 2)) & np.isfinite(sigma).all(axis=(0, 1)))
    s, sigma, factor = (part if good.all() else np.where(good, part, 0.0) for part in (s, sigma, factor))
    root = np.square(np.einsum("aar->ar", factor).prod(axis=0))
    try:
        f, k, logdet = resolvent_of(s, sigma[:, :, None], root)
    except (FloatingPointError, np.linalg.LinAlgError):
        good &= _definite(s, factor)
        f, k, logdet = resolvent_of(np.where(good, s, 0.0), sigma[:, :, None], root)
    return f, k, np.asarray(logdet.sum(axis=0)), good


def _definite(s: Array, factor: Array) -> BoolArray:
    """For which responses ``I + T' S T`` is positive definite beyond rounding in all blocks (R,)."""
    half = np.einsum("acr,abmr,bdr->rmcd", factor, s, factor, optimize=True)
    values = 1.0 + np.linalg.eigvalsh(half)
    return np.asarray((values > ROUNDING * np.abs(values).max(axis=-1, keepdims=True)).all(axis=(1, 2)))


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
        return _times(self.sigma, self.modes.t) if self.effects is None else self.effects

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
        return _resolvents(self._gram, self.sigma, self.factor)

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
        return a, _apply(f, side), rows.spread(_apply(k, side))

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
        sides += [-_apply(self._gram, one) for one in direct]
        for auxiliary, part in zip(model.auxiliaries, e.auxiliary, strict=True):
            columns = np.broadcast_to(auxiliary.matrix, (len(model.X), auxiliary.matrix.shape[1])).T
            sides += [rows.collect(part.mixed * column[:, None]) for column in columns]
        f, k = self._resolved[:2]
        db, dt = np.stack([_apply(k, s) for s in sides], axis=-1), np.stack([_apply(f, s) for s in sides], axis=-1)
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
