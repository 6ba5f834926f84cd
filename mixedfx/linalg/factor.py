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
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixedfx._lazy import cached_property
from mixedfx._typing import Array, IntArray
from mixedfx.linalg.cross import Cross
from mixedfx.linalg.gram import Gram
from mixedfx.linalg.layout import Layout
from mixedfx.linalg.probes import Expansion, Nearby
from mixedfx.linalg.remainder import Remainder
from mixedfx.linalg.schur import schur_of
from mixedfx.linalg.small import (
    apply,
    multiply,
    segment_sum,
    segment_sum_columns,
    symmetrize,
    weighted_resolvent,
)

__all__ = ["BlockFactor", "SplitEffects", "factorize"]


@dataclass(frozen=True)
class SplitEffects:
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
    remainder : Remainder or None
        What is left, factorised; None if there is nothing.
    chain_logdet : float
        What the chain has of ``log|V|``.
    """

    layout: Layout
    factors: tuple[Array, ...]
    s: tuple[Array, ...]
    resolvents: tuple[Array, ...]
    k: tuple[Array, ...]
    chain: dict[tuple[int, int], Array]
    cross: tuple[Cross, ...]
    remainder: Remainder | None
    chain_logdet: float

    @property
    def logdet(self) -> float:
        """``log|V|``."""
        return self.chain_logdet + (self.remainder.logdet if self.remainder else 0.0)

    @property
    def logdets(self) -> Array:
        """``log|V|`` by each random probe (K,); empty where nothing is estimated."""
        return self.chain_logdet + self.remainder.logdets if self.remainder else np.zeros(0)

    def solve(self, sides: Sequence[Array], remainder_side: Array) -> tuple[SplitEffects, SplitEffects]:
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
                forward[g] = forward[g] - segment_sum_columns(push, layout.parents[f, g], layout.levels[g])
            if self.cross:
                rest = rest - self.cross[f].transpose_dot(eliminated)
        b_rest, g_rest = self.remainder.solve(rest) if self.remainder else (rest, rest)
        b, outside = self._backward(forward, b_rest)
        return SplitEffects(b, b_rest), SplitEffects(outside, g_rest)

    def _backward(self, forward: Sequence[Array], b_rest: Array) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """``b`` and ``Z' V^-1 C`` of the chain's factors, last factor first."""
        layout = self.layout
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
        return tuple(b), tuple(outside)

    def spread(self, b_rest: Array) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Return what effects (r, c) of the remainder do to the chain's ``b`` and ``Z' V^-1 C`` (Q, m, c)."""
        layout = self.layout
        nothing = [np.zeros((layout.sizes[f], layout.levels[f], b_rest.shape[1])) for f in layout.chain]
        return self._backward(nothing, b_rest)

    def information(self) -> tuple[Array, ...]:
        """Return the diagonal blocks (Q, Q, m) of ``Z' V^-1 Z``, by factor in elimination order."""
        rest = [] if self.remainder is None else [self.remainder.information(r) for r in self.layout.remainder]
        return (*self._chain_information(), *rest)

    def information_deviations(self) -> tuple[Array, ...]:
        """Return by how much each probe's sum (K, Q, Q) of these blocks differs from the mean; K = 0 if exact."""
        layout = self.layout
        rest = [] if self.remainder is None else [self.remainder.information_deviations(r) for r in layout.remainder]
        if self._sampled is None:
            return (*(np.zeros((0, size, size)) for size in layout.sizes[: layout.n_chain]), *rest)
        expansion, left, right = self._sampled
        return (*(-expansion.deviations(a, b) for a, b in zip(left, right, strict=True)), *rest)

    @property
    def nearby(self) -> Nearby | None:
        """What helps the equations at other factors to start, where they are solved by iteration; else None."""
        return None if self.remainder is None else self.remainder.nearby()

    @property
    def expansion(self) -> Expansion | None:
        """What is estimated of ``K``, by random columns (q, c) over all effects; None where nothing is."""
        expansion = None if self.remainder is None else self.remainder.expansion
        if expansion is None:
            return None
        left, right = (self._over_all(side) for side in (expansion.left, expansion.right))
        return replace(expansion, left=left, right=right)

    def _over_all(self, b_rest: Array) -> Array:
        chain = [part.reshape(-1, b_rest.shape[1]) for part in self.spread(b_rest)[0]]
        return np.concatenate([*chain, b_rest])

    @cached_property
    def _sampled(self) -> tuple[Expansion, tuple[Array, ...], tuple[Array, ...]] | None:
        """``Z_f' V^-1`` of the remainder's random columns (Q, m, c), if there are any."""
        expansion = None if self.remainder is None else self.remainder.expansion
        if expansion is None:
            return None
        return expansion, self.spread(expansion.left)[1], self.spread(expansion.right)[1]

    def _chain_information(self) -> list[Array]:
        exact = self._known_information()
        if self._sampled is None:
            return exact
        expansion, left, right = self._sampled
        return [known - expansion.blocks(a, b) for known, a, b in zip(exact, left, right, strict=True)]

    def _known_information(self) -> list[Array]:
        layout = self.layout
        if layout.n_chain == 0:
            return []
        if layout.n_chain == 1:
            inner = self.cross[0].quadratic(self.remainder.inner) if self.remainder else None
            return [self._own_information(0, inner)]
        inverse = self.inverse
        return [self._own_information(f, inverse.quadratics[f]) for f in layout.chain]

    def _own_information(self, f: int, quadratic: Array | None) -> Array:
        resolvent = self.resolvents[f]
        information = multiply(resolvent, self.s[f])
        if quadratic is not None:
            information = information - multiply(multiply(resolvent, quadratic), resolvent.swapaxes(0, 1))
        return symmetrize(information)

    @cached_property
    def inverse(self) -> PatternInverse:
        """``K = Sigma - Sigma Z' V^-1 Z Sigma`` on the pattern of the cross-products."""
        return _invert_on_pattern(self)


@dataclass(frozen=True)
class PatternInverse:
    """Blocks of ``K = Lambda (Lambda' Z'Z Lambda + I)^-1 Lambda'`` where the cross-products have theirs.

    ``quadratics`` holds ``S_fL K_LL S_Lf`` (Q, Q, m) of every chain factor f with all that is eliminated after it;
    ``rest`` is the factorised remainder, which knows its own part of ``K``. Where that is estimated, the blocks lack
    what ``expansion`` has, random columns (q, c) over all effects.
    """

    diagonal: tuple[Array, ...]
    chain: dict[tuple[int, int], Array]
    cross: tuple[Cross, ...]
    rest: Remainder | None
    quadratics: tuple[Array, ...]
    expansion: Expansion | None = None

    @property
    def inner(self) -> Any:
        """What is known of the remainder's part without random columns."""
        return None if self.rest is None else self.rest.inner

    def chain_blocks(self, f: int) -> Array:
        """Diagonal blocks (Q, Q, m) of a factor of the chain, estimated where there are random columns."""
        e, size = self.expansion, len(self.diagonal[f])
        if e is None:
            return self.diagonal[f]
        start = sum(block.shape[0] * block.shape[2] for block in self.diagonal[:f])
        at = slice(start, start + size * self.diagonal[f].shape[2])
        return self.diagonal[f] + e.blocks(*(side[at].reshape(size, -1, side.shape[1]) for side in (e.left, e.right)))

    @property
    def remainder(self) -> Array:
        """The remainder's part (r, r), both triangles; zero outside its pattern."""
        return self.rest.dense_k if self.rest else np.zeros((0, 0))

    def remainder_blocks(self, r: int) -> Array:
        """Diagonal blocks (Q, Q, m) of a factor of the remainder."""
        assert self.rest is not None
        return self.rest.k_blocks(r)

    def remainder_entries(self, i: IntArray, j: IntArray) -> Array:
        """Entries (i, j) of the remainder's part, on its pattern."""
        assert self.rest is not None
        return self.rest.k_entries(i, j)


def factorize(gram: Gram, factors: Sequence[Array], near: Nearby | None = None) -> BlockFactor:
    """Eliminate all random effects at the covariance factors ``factors`` (one (Q, Q) a factor, elimination order).

    Where equations are solved by iteration, it starts at what ``near`` knows of those at other factors.
    """
    layout = gram.layout
    s = list(gram.diagonal)
    chain = dict(gram.chain)
    cross = list(gram.cross)
    schur = schur_of(gram, near) if layout.n_remainder else None
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
        if schur is not None:
            schur = schur.minus(cross[f], k_f)
    rest = None if schur is None else schur.factorised(factors)
    return BlockFactor(layout, tuple(factors), tuple(s), tuple(resolvents), tuple(k), chain, tuple(cross), rest, logdet)


def _invert_on_pattern(factor: BlockFactor) -> PatternInverse:
    """Backward pass: ``K_fL = -K_f S_fL K_LL`` and ``K_ff = K_f + K_f (S_fL K_LL S_Lf) K_f``, last factor first."""
    layout = factor.layout
    diagonal: dict[int, Array] = {}
    chain: dict[tuple[int, int], Array] = {}
    cross: dict[int, Cross] = {}
    quadratics: dict[int, Array] = {}
    remainder = factor.remainder.inner if factor.remainder else None
    for f in reversed(layout.chain):
        later = range(f + 1, layout.n_chain)
        quadratic = np.zeros_like(factor.s[f])
        rows = factor.cross[f].rows_times(remainder) if factor.remainder else None
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
        factor.remainder,
        tuple(quadratics[f] for f in order),
        factor.expansion,
    )
