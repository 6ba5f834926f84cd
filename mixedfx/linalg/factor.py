"""Block elimination of ``I + Z Sigma Z'`` in the space of the random effects.

With ``V = I + Z Sigma Z'`` (weights absorbed), ``Sigma = blockdiag(I x T T')`` and any columns ``C``, one pass over
the factors gives ``log|V|``, ``b = Sigma Z' V^-1 C`` and ``Z' V^-1 C``. Eliminating a factor f whose
(Schur-complemented) cross-products are ``S_ff`` takes only its small blocks

    ``F_f = (I + S_ff Sigma_f)^-1``,  ``K_f = Sigma_f F_f``,  ``S_gh <- S_gh - S_gf K_f S_fh`` for what remains,

so that cross-products are never scaled and a singular ``T`` is nothing special.

References
----------
Bates, Maechler, Bolker & Walker (2015), J. Stat. Softw. 67(1), for the profiled criterion; Takahashi, Fagan & Chen
(1973) for the inverse on the pattern of the factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import lapack

from mixedfx._typing import Array, IntArray
from mixedfx.linalg.cross import Cross
from mixedfx.linalg.gram import Gram
from mixedfx.linalg.layout import Layout
from mixedfx.linalg.small import (
    apply,
    congruence,
    diagonal_blocks,
    left_multiply,
    multiply,
    segment_sum,
    symmetrize,
    weighted_resolvent,
)

__all__ = ["BlockFactor", "Effects", "factorize"]

SMALL_VARIANCE = 1e-6  # below this, relative to the information, the inverse of T would cancel


@dataclass(frozen=True)
class Effects:
    """Vectors over the random effects: per chain factor (Q, m, c), and for the remainder (r, c)."""

    chain: tuple[Array, ...]
    remainder: Array


@dataclass(frozen=True)
class BlockFactor:
    """The factorised mixed-model equations at one value of the covariance factors.

    Attributes
    ----------
    factors : tuple of (Q, Q)
        ``T`` of every factor, in elimination order.
    s, resolvents, k : tuple of (Q, Q, m)
        ``S_ff``, ``F_f`` and ``K_f`` of every chain factor.
    chain : dict
        (f, g) to ``S_fg`` (Q_f, Q_g, m_f).
    cross : tuple of Cross
        ``S_fR`` of every chain factor.
    remainder : (r, r)
        Schur complement of the remainder; symmetric.
    cholesky : (r, r)
        Lower factor of ``Lambda' S_RR Lambda + I``.
    logdet : float
        ``log|V|``.
    """

    layout: Layout
    factors: tuple[Array, ...]
    s: tuple[Array, ...]
    resolvents: tuple[Array, ...]
    k: tuple[Array, ...]
    chain: dict[tuple[int, int], Array]
    cross: tuple[Cross, ...]
    remainder: Array
    cholesky: Array
    logdet: float

    def solve(self, sides: Sequence[Array], remainder_side: Array) -> tuple[Effects, Effects]:
        """Return ``b = Sigma Z' V^-1 C`` and ``Z' V^-1 C`` from ``Z' C``.

        Parameters
        ----------
        sides : sequence of (Q, m, c)
            ``Z_f' C`` of the chain factors.
        remainder_side : (r, c)
            ``Z_R' C``.
        """
        layout = self.layout
        forward = list(sides)
        rest = remainder_side
        for f in layout.chain:
            eliminated = apply(self.k[f], forward[f])
            for g in range(f + 1, layout.n_chain):
                push = apply(self.chain[f, g].swapaxes(0, 1), eliminated)
                parents = layout.parents[f, g]
                forward[g] = forward[g] - np.stack([_sum_rows(p, parents, layout.levels[g]) for p in push])
            if self.cross:
                rest = rest - self.cross[f].transpose_dot(eliminated)
        b_rest = self._solve_remainder(rest)
        g_rest = rest - self.remainder @ b_rest
        b: list[Array] = [np.empty(0)] * layout.n_chain
        outside: list[Array] = [np.empty(0)] * layout.n_chain
        for f in reversed(layout.chain):
            residual = forward[f]
            for g in range(f + 1, layout.n_chain):
                residual = residual - apply(self.chain[f, g], b[g][:, layout.parents[f, g]])
            if self.cross:
                residual = residual - self.cross[f].dot(b_rest)
            b[f] = apply(self.k[f], residual)
            outside[f] = apply(self.resolvents[f], residual)
        return Effects(tuple(b), b_rest), Effects(tuple(outside), g_rest)

    def _solve_remainder(self, rest: Array) -> Array:
        if not rest.size:
            return rest
        scaled = self._by_lambda(rest, transpose=True)
        solved, info = lapack.dpotrs(self.cholesky, scaled, lower=1)
        assert info == 0
        return self._by_lambda(np.asarray(solved), transpose=False)

    def _by_lambda(self, rows: Array, *, transpose: bool) -> Array:
        """Multiply the remainder's rows by Lambda (or its transpose)."""
        out = np.empty_like(rows)
        for r in self.layout.remainder:
            factor = self.factors[r].T if transpose else self.factors[r]
            at = self.layout.span(r)
            size, m = self.layout.sizes[r], self.layout.levels[r]
            out[at] = left_multiply(factor, rows[at].reshape(size, m, -1)).reshape(size * m, -1)
        return out

    @cached_property
    def remainder_inverse(self) -> Array:
        """``(Lambda' S_RR Lambda + I)^-1`` (r, r)."""
        inverse, info = lapack.dpotri(self.cholesky, lower=1)
        assert info == 0
        lower = np.tril(inverse)
        return np.asarray(lower + np.tril(inverse, -1).T)

    @cached_property
    def remainder_k(self) -> Array:
        """``K_RR = Lambda (Lambda' S_RR Lambda + I)^-1 Lambda'`` (r, r)."""
        half = self._by_lambda(self.remainder_inverse, transpose=False)
        return self._by_lambda(np.ascontiguousarray(half.T), transpose=False)

    def information(self) -> tuple[Array, ...]:
        """Return the diagonal blocks (Q, Q, m) of ``Z' V^-1 Z``, by factor in elimination order."""
        return tuple(self._chain_information()) + tuple(self._remainder_information(r) for r in self.layout.remainder)

    def _remainder_information(self, r: int) -> Array:
        """Blocks of ``S - S K S`` for one remainder factor; by ``T^-T (I - M^-1) T^-1`` where that does not cancel."""
        at, size = self.layout.span(r), self.layout.sizes[r]
        factor = self.factors[r]
        scale = float(np.max(np.einsum("aal->al", diagonal_blocks(self.remainder[at, at], size)), initial=0.0))
        smallest = float(np.linalg.svd(factor, compute_uv=False)[-1])
        if smallest**2 * scale > SMALL_VARIANCE:
            inside = np.eye(size)[:, :, None] - diagonal_blocks(self.remainder_inverse[at, at], size)
            return congruence(np.asarray(np.linalg.inv(factor)), symmetrize(inside))
        rows = self.remainder[at]
        m = self.layout.levels[r]
        product = (rows @ self.remainder_k).reshape(size, m, -1)
        quadratic = np.einsum("amc,bmc->abm", product, rows.reshape(size, m, -1))
        return symmetrize(diagonal_blocks(self.remainder[at, at], size) - quadratic)

    def _chain_information(self) -> list[Array]:
        layout = self.layout
        if layout.n_chain == 0:
            return []
        if layout.n_chain == 1:
            inner = self.cross[0].quadratic(self.remainder_k) if self.cross else None
            return [self._own_information(0, inner)]
        inverse = self.inverse
        return [self._own_information(f, inverse.quadratics[f]) for f in layout.chain]

    def _own_information(self, f: int, quadratic: Array | None) -> Array:
        resolvent = self.resolvents[f]
        own = multiply(resolvent, self.s[f])
        if quadratic is not None:
            own = own - multiply(multiply(resolvent, quadratic), resolvent.swapaxes(0, 1))
        return symmetrize(own)

    @cached_property
    def inverse(self) -> PatternInverse:
        """``K = Sigma - Sigma Z' V^-1 Z Sigma`` on the pattern of the cross-products."""
        return _invert_on_pattern(self)


@dataclass(frozen=True)
class PatternInverse:
    """Blocks of ``K = Lambda (Lambda' Z'Z Lambda + I)^-1 Lambda'`` where the cross-products have theirs.

    ``quadratics`` holds ``S_fL K_LL S_Lf`` (Q, Q, m) of every chain factor f with all that is eliminated after it.
    """

    diagonal: tuple[Array, ...]
    chain: dict[tuple[int, int], Array]
    cross: tuple[Cross, ...]
    remainder: Array
    quadratics: tuple[Array, ...]


def _sum_rows(values: Array, parents: IntArray, count: int) -> Array:
    """Sum the rows of (m, c) by parent: (count, c)."""
    return segment_sum(values.T, parents, count).T


def factorize(gram: Gram, factors: Sequence[Array]) -> BlockFactor:
    """Eliminate all random effects at the covariance factors ``factors`` (one (Q, Q) a factor, elimination order)."""
    layout = gram.layout
    s = list(gram.diagonal)
    chain = dict(gram.chain)
    cross = list(gram.cross)
    remainder = gram.remainder
    resolvents, k = [], []
    logdet = 0.0
    for f in layout.chain:
        resolvent, k_f, logdets = weighted_resolvent(s[f], factors[f])
        resolvents.append(resolvent)
        k.append(k_f)
        logdet += float(logdets.sum())
        for g in range(f + 1, layout.n_chain):
            parents, count = layout.parents[f, g], layout.levels[g]
            left = multiply(chain[f, g].swapaxes(0, 1), k_f)
            s[g] = symmetrize(s[g] - segment_sum(multiply(left, chain[f, g]), parents, count))
            for h in range(g + 1, layout.n_chain):
                chain[g, h] = chain[g, h] - segment_sum(multiply(left, chain[f, h]), parents, count)
            if cross:
                cross[g] = cross[g].plus(cross[f].gathered(left, parents, cross[g]), -1.0)
        if cross:
            remainder = remainder - cross[f].schur(k_f)
    return _with_remainder(layout, tuple(factors), s, resolvents, k, chain, cross, remainder, logdet)


def _with_remainder(
    layout: Layout,
    factors: tuple[Array, ...],
    s: list[Array],
    resolvents: list[Array],
    k: list[Array],
    chain: dict[tuple[int, int], Array],
    cross: list[Cross],
    remainder: Array,
    logdet: float,
) -> BlockFactor:
    cholesky = remainder
    if layout.n_remainder:
        lower = np.tril(remainder)
        remainder = lower + np.tril(remainder, -1).T
        shell = BlockFactor(layout, factors, (), (), (), {}, (), remainder, remainder, 0.0)
        half = shell._by_lambda(remainder, transpose=True)
        inner = shell._by_lambda(np.ascontiguousarray(half.T), transpose=True)
        inner.flat[:: inner.shape[0] + 1] += 1.0
        cholesky, info = lapack.dpotrf(inner.T, lower=1, overwrite_a=1, clean=1)
        if info:
            raise FloatingPointError("the remainder of the mixed-model equations is not positive definite")
        logdet += 2.0 * float(np.log(cholesky.diagonal()).sum())
    return BlockFactor(
        layout, factors, tuple(s), tuple(resolvents), tuple(k), chain, tuple(cross), remainder, cholesky, logdet
    )


def _invert_on_pattern(factor: BlockFactor) -> PatternInverse:
    """Backward pass: ``K_fL = -K_f S_fL K_LL`` and ``K_ff = K_f + K_f (S_fL K_LL S_Lf) K_f``, last factor first."""
    layout = factor.layout
    diagonal: dict[int, Array] = {}
    chain: dict[tuple[int, int], Array] = {}
    cross: dict[int, Cross] = {}
    quadratics: dict[int, Array] = {}
    remainder = factor.remainder_k if layout.n_remainder else factor.remainder
    for f in reversed(layout.chain):
        later = range(f + 1, layout.n_chain)
        quadratic = np.zeros_like(factor.s[f])
        rows = factor.cross[f].rows_times(remainder) if factor.cross else None
        for g in later:
            parents = layout.parents[f, g]
            product = multiply(factor.chain[f, g], diagonal[g][:, :, parents])
            for h in later:
                if h == g:
                    continue
                inner, outer = min(g, h), max(g, h)
                block = chain[inner, outer][:, :, layout.parents[f, inner]]
                product = product + multiply(factor.chain[f, h], block if h == inner else block.swapaxes(0, 1))
            if rows is not None:
                above = cross[g].spread(parents, factor.cross[f])
                rows = rows.plus(above.scaled(factor.chain[f, g]), 1.0)
                product = product + factor.cross[f].overlap(above)
            quadratic += multiply(product, factor.chain[f, g].swapaxes(0, 1))
            chain[f, g] = -multiply(factor.k[f], product)
        if rows is not None:
            quadratic += rows.overlap(factor.cross[f])
            cross[f] = rows.scaled(-factor.k[f])
        quadratics[f] = symmetrize(quadratic)
        diagonal[f] = symmetrize(factor.k[f] + multiply(multiply(factor.k[f], quadratics[f]), factor.k[f]))
    order = list(layout.chain)
    return PatternInverse(
        tuple(diagonal[f] for f in order),
        chain,
        tuple(cross[f] for f in order) if cross else (),
        remainder,
        tuple(quadratics[f] for f in order),
    )
