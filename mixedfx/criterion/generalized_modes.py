"""The conditional modes of many responses of one design at once, where the design falls into small blocks.

Replicates are the last array axis: linear predictors have the shape (n, R), effects (Q, m, R), matrices of the blocks
(Q, Q, m, R), with the blocks of :mod:`~mixedfx.criterion.batch`. The equations are those of
:mod:`~mixedfx.criterion.mode`; the family is asked for all responses together. A response without a mode does not hold
up the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.criterion.batch import BlockMap
from mixedfx.criterion.marginal import FamilyLikelihood
from mixedfx.criterion.newton import positive_weight
from mixedfx.families.observed import Observed
from mixedfx.linalg.gram import Rows
from mixedfx.linalg.small import multiply, resolvent_of

__all__ = ["BlockRows", "Modes", "apply", "block_rows", "find_modes", "resolvents", "stacked", "taken", "times"]

MAX_STEPS = 50
TOLERANCE = 1e-9  # of the Newton decrement before the last step, which squares the error
HALVINGS = 26  # of a step that loses ground
ROUNDING = 1e-8  # relative size of an eigenvalue that may be none
RISE = 1e-12  # relative rounding of the penalised log-likelihood


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


def taken(observed: Observed, which: IntArray) -> Observed:
    """Return the responses number ``which`` of several that were :func:`stacked`."""
    inner = None if observed.inner is None else taken(observed.inner, which)
    return replace(observed, y=observed.y.T[:, which].T, constant=observed.constant.T[:, which].T, inner=inner)


@dataclass(frozen=True)
class Modes:
    """Modes: ``t = Sigma^-1 b`` (Q, m, R), linear predictors ``eta`` (n, R), and whether they were found (R,)."""

    t: Array
    eta: Array
    found: BoolArray


def find_modes(
    rows: BlockRows,
    likelihood: FamilyLikelihood,
    fixed: Array,
    auxiliary: Sequence[Array],
    factor: Array,
    start: Array,
) -> Modes:
    """Find the conditional modes by Newton steps for all responses, each with its own halving; who is done waits.

    Parameters
    ----------
    rows : BlockRows
    likelihood : FamilyLikelihood
        With the responses :func:`stacked`.
    fixed : (n, R)
        Linear predictors without the random effects.
    auxiliary : sequence of (R, n) or (R, 1)
    factor : (Q, Q, R)
        ``T``, a root of the covariance of a block.
    start : (Q, m, R)
        ``Sigma^-1 b`` to start from; zero instead where the likelihood is not finite there.
    """
    sigma = multiply(factor, factor.swapaxes(0, 1))
    search = _Search(rows, likelihood, fixed, auxiliary, sigma, factor)
    at = search.evaluate(start, fixed + rows.spread(times(sigma, start)))
    lost = ~np.isfinite(at.value)
    if lost.any():
        t = np.where(lost, 0.0, start)
        at = search.evaluate(t, fixed + rows.spread(times(sigma, t)))
    t, eta, found = at.t.copy(), at.eta.copy(), np.zeros(fixed.shape[1], dtype=bool)
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


def times(sigma: Array, t: Array) -> Array:
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

    rows: BlockRows
    likelihood: FamilyLikelihood
    fixed: Array
    auxiliary: Sequence[Array]
    sigma: Array
    factor: Array

    def take(self, which: IntArray) -> _Search:
        if which.size == self.fixed.shape[1]:
            return self
        auxiliary = [part[which] for part in self.auxiliary]
        own = (self.fixed[:, which], auxiliary, self.sigma[..., which], self.factor[..., which])
        likelihood = replace(self.likelihood, observed=taken(self.likelihood.observed, which))
        return _Search(self.rows, likelihood, *own)

    def evaluate(self, t: Array, eta: Array) -> _Iterates:
        """The penalised log-likelihood at ``t``, whose linear predictors are ``eta``."""
        value, gradient, weight = self.likelihood.quadratic(eta.T, self.auxiliary)
        penalty = 0.5 * (t * times(self.sigma, t)).sum(axis=(0, 1))
        return _Iterates(t, eta, value.sum(axis=1) - penalty, gradient.T, weight.T)

    def newton(self, at: _Iterates) -> tuple[Array, Array, Array]:
        """``t`` and ``eta`` after a full step, and its squared length; nan where there is none."""
        rows, weight = self.rows, at.weight
        resolvent, _, _, good = resolvents(rows.gram(weight), self.sigma, self.factor)
        if not good.all():
            weight = np.where(good, weight, positive_weight(weight))
            resolvent, _, _, good = resolvents(rows.gram(weight), self.sigma, self.factor)
        side = rows.collect(at.gradient + weight * (at.eta - self.fixed))
        t = apply(resolvent, side)
        b = times(self.sigma, t)
        eta = self.fixed + rows.spread(b)
        change = eta - at.eta
        length = (np.abs(at.weight) * change * change).sum(axis=0)
        length = length + np.abs(((t - at.t) * times(self.sigma, t - at.t)).sum(axis=(0, 1)))
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


def apply(matrices: Array, vectors: Array) -> Array:
    """Products (Q, m, R) of matrices (Q, Q, m, R) with vectors."""
    return np.asarray((matrices * vectors).sum(axis=1))


def resolvents(s: Array, sigma: Array, factor: Array) -> tuple[Array, Array, Array, BoolArray]:
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
