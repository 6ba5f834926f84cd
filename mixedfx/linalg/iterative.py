"""A remainder that is never formed: its Schur complement is an operator, its equations are solved, traces are sampled.

With ``M = Lambda' S Lambda + I`` and P its diagonal blocks, level by level, everything happens in the coordinates in
which P is the identity: ``A = L^-1 M L^-T``, ``P = L L'``. Where two crossed factors meet, the eigenvalues of A are one
next to zero for each remainder factor and random column, which comes of their constants, and the others close to 1. The
few vectors V of the former are found by inverse iteration and treated exactly: solves, traces and the determinant are
those of the block of A on V and of the Schur complement ``A_o = A - A V (V' A V)^-1 V' A`` on what is orthogonal to it,
which is right for any V. Random signs z see the latter alone:

    ``K = Lambda P^-1 Lambda' + Lambda (M^-1 - P^-1) Lambda'``,

the first term exact, the second by probes; and ``log|A_o| = tr(A_o - I) + tr(log A_o - A_o + I)``, by Lanczos.
Where A is not so close to the identity as to make the noise small, most of it is that of ``I - A_o``, the first term of
the series of ``A_o^-1 - I``: it is taken off the probes that are solved for, and added again as the mean over many more
for which only a product is needed.

References
----------
Hutchinson (1990), Commun. Stat. Simul. Comput. 19, 433, for traces by signs; Gambhir, Stathopoulos & Orginos (2017),
SIAM J. Sci. Comput. 39, A532, for their deflation; Ubaru, Chen & Saad (2017), SIAM J. Matrix Anal. Appl. 38, 1075, for
the determinant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.linalg.conjugate import Solved, solve_columns
from mixedfx.linalg.layout import Layout, fields_only
from mixedfx.linalg.operator import OperatorCross, OperatorSquare, joined, split
from mixedfx.linalg.probes import Expansion, Nearby, Solver, signs
from mixedfx.linalg.remainder import SMALL_VARIANCE, Remainder
from mixedfx.linalg.small import apply, congruence, from_stack, left_multiply, multiply, symmetrize, to_stack

__all__ = ["Deflation", "IterativeRemainder"]

VECTOR_TOLERANCE = 1e-6  # of their solves
KEY_BITS = 20  # of the key of a stream of signs: the coefficient; those above are the factor
STRONG = 4.0  # variance of a direction times a level's information on it, from which on it is divided by
FEW = 1e-9  # share of that at which a limit is taken
LEAST_INFORMATION = 1e-8  # of the largest: a direction of which levels say less than that counts as of this size
LINE_UP = 1e-8  # relative length below which a vector lies in the span of the others
TOO_LARGE = "the remainder of the mixed-model equations is too large to be formed"


@dataclass(frozen=True)
class Deflation:
    """A few orthonormal vectors V that a symmetric operator is treated exactly on.

    Attributes
    ----------
    times : callable
        The operator A, on columns (r, c).
    vectors, images : (r, d)
        V and ``A V``.
    """

    times: Callable[[Array], Array]
    vectors: Array
    images: Array

    @classmethod
    def of(cls, times: Callable[[Array], Array], vectors: Array) -> Deflation:
        """Return the deflation by the span of ``vectors`` (r, d)."""
        basis = _orthonormal(vectors)
        return cls(times, basis, times(basis) if basis.shape[1] else basis)

    @cached_property
    def inner(self) -> Array:
        """``G = V' A V`` (d, d)."""
        inner = self.vectors.T @ self.images
        return np.asarray(0.5 * (inner + inner.T))

    @cached_property
    def _oblique(self) -> Array:
        """``A V G^-1`` (r, d)."""
        return np.asarray(np.linalg.solve(self.inner, self.images.T).T)

    def outside(self, b: Array) -> Array:
        """Return the part of ``b`` (r, c) that is orthogonal to V."""
        return np.asarray(b - self.vectors @ (self.vectors.T @ b))

    def times_outside(self, v: Array) -> Array:
        """Return ``A_o v`` for ``v`` (r, c) orthogonal to V."""
        product = self.times(v)
        product -= self._oblique @ (self.vectors.T @ product)
        return product

    def solve(self, b: Array, tolerance: float, start: Array | None = None) -> Array:
        """Return ``A^-1 b`` (r, c)."""
        if b.shape[1] == 0:
            return b
        along = self.vectors.T @ b
        first = None if start is None else self.outside(start)
        rest = solve_columns(self.times_outside, b - self._oblique @ along, tolerance, first, scale=b).x
        return self.joined(rest, along)

    def joined(self, rest: Array, along: Array) -> Array:
        """Return the solution from its part ``rest`` (r, c) outside V, for right-hand sides with ``V' b = along``."""
        return np.asarray(rest + self.vectors @ np.linalg.solve(self.inner, along - self.images.T @ rest))

    @cached_property
    def trace_outside(self) -> float:
        """``tr(A_o - I)`` for an operator with a unit diagonal."""
        outer = self.images - self.vectors @ self.inner
        lost = float(np.trace(self.inner)) + float(np.vdot(outer, np.linalg.solve(self.inner, outer.T).T))
        return float(self.vectors.shape[1] - lost)


@dataclass(frozen=True)
class _Ways:
    """How the information ``N = S - S K S`` of a factor is written, so that no small variance is divided by.

    ``N = (T G + J)' N (T G + J)`` with ``T G + J = I``: J vanishes in directions with much variance, where
    ``T' N T = I - M^-1`` says most, and G in directions with none. Between them, ``T' N = M^-1 Lambda' S``.

    Attributes
    ----------
    back : (Q, Q)
        G.
    weak : (Q, Q) or None
        J; None if it vanishes.
    """

    back: Array
    weak: Array | None

    @classmethod
    def of(cls, factor: Array, information: Array) -> _Ways:
        """Split at the covariance factor T (Q, Q), where a level has about the ``information`` (Q, Q)."""
        sizes, ways = np.linalg.eigh(0.5 * (information + information.T))
        sizes = np.sqrt(np.maximum(sizes, LEAST_INFORMATION * max(float(sizes[-1]), np.finfo(float).tiny)))
        root = (ways * sizes) @ ways.T
        known, turned = np.linalg.eigh(root @ factor @ factor.T @ root)
        if known[0] >= STRONG:
            return cls(_inverse(factor), None)
        share = np.maximum(1.0 - np.maximum(known, 0.0) / STRONG, 0.0) ** 3
        few = known < FEW * STRONG
        gain = np.where(few, 3.0 / STRONG, (1.0 - share) / np.where(few, 1.0, known))
        back = factor.T @ root @ (turned * gain) @ turned.T @ root
        return cls(np.asarray(back), np.eye(len(factor)) - factor @ back)


@dataclass(frozen=True)
class _Operator:
    """``A = L^-1 M L^-T`` as sparse products, apart from the remainder, so that nothing refers to itself.

    Attributes
    ----------
    layout : Layout
    square, eliminated
        As in :class:`IterativeRemainder`.
    moves : tuple of (Q, Q, m)
        ``D = T L^-T`` by factor: from the coordinates in which P is the identity to the effects.
    own : tuple of (Q, Q, m)
        ``D' R_ll D + L^-1 L^-T`` by factor: what a level does to itself before others are eliminated.
    """

    layout: Layout
    square: OperatorSquare
    eliminated: tuple[tuple[OperatorCross, Array], ...]
    moves: tuple[Array, ...]
    own: tuple[Array, ...]

    def schur_times(self, parts: Sequence[Array]) -> list[Array]:
        """Return ``S v`` by factor, for effects (Q, m, c) by factor."""
        out = self.square.times(parts)
        self._less_eliminated(out, parts)
        return out

    def _less_eliminated(self, out: list[Array], parts: Sequence[Array]) -> None:
        for cross, k in self.eliminated:
            moved = apply(k, cross.by_factor(parts))
            for total, block in zip(out, cross.blocks, strict=True):
                total -= block.transpose_dot(moved)

    def times(self, columns: Array) -> Array:
        """Return ``A v`` for columns (r, c)."""
        parts = split(self.layout, columns)
        effects = self.effects(parts)
        out = self.square.times_between(effects)
        self._less_eliminated(out, effects)
        for i, (move, own) in enumerate(zip(self.moves, self.own, strict=True)):
            out[i] = apply(move.swapaxes(0, 1), out[i])
            out[i] += apply(own, parts[i])
        return joined(out)

    def effects(self, parts: Sequence[Array]) -> list[Array]:
        """Return ``D v`` by factor, for columns (Q, m, c) by factor."""
        return [apply(move, part) for move, part in zip(self.moves, parts, strict=True)]

    def back(self, parts: Sequence[Array]) -> list[Array]:
        """Return ``D' v`` by factor."""
        return [apply(move.swapaxes(0, 1), part) for move, part in zip(self.moves, parts, strict=True)]


@dataclass(frozen=True)
class IterativeRemainder(Remainder):
    """A remainder whose equations are solved by conjugate gradients.

    Attributes
    ----------
    layout : Layout
    square : OperatorSquare
        The remainder's own cross-products.
    eliminated : tuple of (OperatorCross, (Q, Q, m))
        ``C`` and ``K`` of every eliminated factor.
    factors : tuple of (Q, Q)
        ``T`` of the remainder's factors.
    solver : Solver
    near : Nearby, optional
        What is known at another value of the covariance factors, where to start.
    """

    layout: Layout
    square: OperatorSquare
    eliminated: tuple[tuple[OperatorCross, Array], ...]
    factors: tuple[Array, ...]
    solver: Solver
    near: Nearby | None = None

    __getstate__ = fields_only

    # ---------------------------------------------------------------- the operator
    @cached_property
    def schur_blocks(self) -> tuple[Array, ...]:
        """Diagonal blocks (Q, Q, m) of ``S`` by factor."""
        out = list(self.square.own)
        for cross, k in self.eliminated:
            out = [own - lost for own, lost in zip(out, cross.diagonal_schur(k), strict=True)]
        return tuple(symmetrize(block) for block in out)

    @cached_property
    def _roots(self) -> tuple[tuple[Array, Array], ...]:
        """``L`` and ``L^-1`` (Q, Q, m) of the blocks ``P = T' S_ll T + I``, by factor."""
        return tuple(_cholesky(congruence(t, s)) for t, s in zip(self.factors, self.schur_blocks, strict=True))

    @cached_property
    def operator(self) -> _Operator:
        """``A = L^-1 M L^-T``."""
        moves, owns = [], []
        for t, own, (_, inverse) in zip(self.factors, self.square.own, self._roots, strict=True):
            move = left_multiply(t, np.ascontiguousarray(inverse.swapaxes(0, 1)))
            inside = multiply(multiply(move.swapaxes(0, 1), own), move)
            moves.append(move)
            owns.append(inside + multiply(inverse, inverse.swapaxes(0, 1)))
        return _Operator(self.layout, self.square, self.eliminated, tuple(moves), tuple(owns))

    def effects(self, columns: Array) -> Array:
        """Return ``D v`` for columns (r, c): effects of the remainder."""
        return joined(self.operator.effects(split(self.layout, columns)))

    # ---------------------------------------------------------------- solving
    @cached_property
    def deflation(self) -> Deflation:
        """The near-null vectors: from the constants of every factor and column, by inverse iteration."""
        vectors = self._constants
        known = Deflation.of(self.operator.times, vectors if self.near is None else self.near.vectors)
        for _ in range(self.solver.inverse_iterations):
            vectors = known.solve(_orthonormal(vectors), VECTOR_TOLERANCE)
            known = Deflation.of(self.operator.times, vectors) if self.near is None else known
        return Deflation.of(self.operator.times, vectors) if self.solver.inverse_iterations else known

    @cached_property
    def _constants(self) -> Array:
        """``L' T^-1 e`` (r, d) for every column e: the effects that are the same on all levels of a factor."""
        columns, total = [], sum(self.layout.sizes[r] for r in self.layout.remainder)
        at = 0
        for r, factor, (root, _) in zip(self.layout.remainder, self.factors, self._roots, strict=True):
            size, m = self.layout.sizes[r], self.layout.levels[r]
            part = np.zeros((size, m, total))
            part[:, :, at : at + size] = np.linalg.pinv(factor)[:, None, :]
            columns.append(apply(root.swapaxes(0, 1), part))
            at += size
        return joined(columns)

    def solve(self, side: Array) -> tuple[Array, Array]:
        """Return ``b = K side`` and ``side - S b`` for ``side`` (r, c)."""
        if side.shape[1] == 0:
            return side, side
        back = joined(self.operator.back(split(self.layout, side)))
        b = self.effects(self.deflation.solve(back, self.solver.tolerance))
        parts, regular = split(self.layout, b), self._is_regular
        lost = parts if all(regular) else self.operator.schur_times(parts)
        outside = [
            left_multiply(_inverse(t @ t.T), part) if direct else given - taken
            for t, part, direct, given, taken in zip(
                self.factors, parts, regular, split(self.layout, side), lost, strict=True
            )
        ]
        return b, joined(outside)

    @cached_property
    def _is_regular(self) -> tuple[bool, ...]:
        """For every factor, whether what is divided by ``T`` keeps its digits."""
        out = []
        for factor, blocks in zip(self.factors, self.schur_blocks, strict=True):
            smallest = float(np.linalg.svd(factor, compute_uv=False)[-1])
            scale = float(np.max(np.einsum("aal->al", blocks), initial=0.0))
            out.append(smallest**2 * scale > SMALL_VARIANCE)
        return tuple(out)

    # ---------------------------------------------------------------- probes
    @cached_property
    def _signs(self) -> Array:
        """Signs (r, K), the deflated part taken off."""
        return self._drawn(0, self.solver.probes)

    def _drawn(self, first: int, last: int) -> Array:
        """Signs of the probes ``first`` to ``last``, the deflated part taken off."""
        layout = self.layout
        columns = [(r, a) for r in layout.remainder for a in range(layout.sizes[r])]
        places = [((layout.order[r] << KEY_BITS) + a, layout.levels[r]) for r, a in columns]
        return self.deflation.outside(signs(self.solver.seed, places, first, last))

    @cached_property
    def _probed(self) -> Solved:
        """``A_o^-1 z`` of the probes."""
        start = self._start
        solver, deflation = self.solver, self.deflation
        return solve_columns(deflation.times_outside, self._signs, solver.probe_tolerance, start, least_steps=1)

    @property
    def _start(self) -> Array | None:
        """The solutions of a remainder nearby."""
        near = self.near
        if near is None or near.probed is None or near.probed.shape[1] != self.solver.probes:
            return None
        return self.deflation.outside(near.probed)

    @cached_property
    def columns(self) -> Expansion:
        """``M^-1 - P^-1`` in the coordinates of A, by columns (r, d + N)."""
        deflation, z, solver = self.deflation, self._signs, self.solver
        exact = deflation.solve(deflation.vectors, solver.probe_tolerance)
        nothing = np.zeros((deflation.vectors.shape[1], z.shape[1]))
        left = [exact - deflation.vectors, deflation.joined(self._probed.x, nothing) - z]
        right = [deflation.vectors, z]
        if solver.controls:
            further = self._drawn(solver.probes, solver.probes + solver.controls)
            left[1] += deflation.times_outside(z) - z
            left.append(further - deflation.times_outside(further))
            right.append(further)
        sides = np.concatenate(left, axis=1), np.concatenate(right, axis=1)
        return Expansion(*sides, deflation.vectors.shape[1], solver.controls)

    @cached_property
    def expansion(self) -> Expansion:
        """``K - Lambda P^-1 Lambda'`` over the remainder, by its columns (r, d + N)."""
        columns = self.columns
        return replace(columns, left=self.effects(columns.left), right=self.effects(columns.right))

    def nearby(self) -> Nearby:
        """Return what helps a remainder at other covariance factors to start."""
        probed = self.__dict__.get("_probed")
        return Nearby(self.deflation.vectors, None if probed is None else probed.x)

    # ---------------------------------------------------------------- what is asked of a remainder
    @cached_property
    def logdets(self) -> Array:
        """``log|Lambda' S Lambda + I|`` by each probe (K,); needs a cold start."""
        own = sum(2.0 * float(np.log(root[a, a]).sum()) for root, _ in self._roots for a in range(len(root)))
        deflation, solved = self.deflation, self._cold
        known = own + float(np.linalg.slogdet(deflation.inner)[1]) + deflation.trace_outside
        lengths = np.einsum("ij,ij->j", self._signs, self._signs)
        return np.asarray(known + lengths * (solved.logarithms() - 1.0 / solved.alpha[0] + 1.0))

    @property
    def _cold(self) -> Solved:
        if self._start is None:
            return self._probed
        return replace(self, near=None)._probed

    @property
    def logdet(self) -> float:
        """``log|Lambda' S Lambda + I|``, the mean over the probes."""
        return float(self.logdets.mean())

    @cached_property
    def inner(self) -> tuple[Array, ...]:
        """``Lambda P^-1 Lambda'``, in blocks (Q, Q, m) by factor."""
        return tuple(multiply(move, move.swapaxes(0, 1)) for move in self.operator.moves)

    @property
    def k(self) -> Array:
        """Refuse: ``K`` is never formed."""
        raise FloatingPointError(TOO_LARGE)

    @property
    def dense_k(self) -> Array:
        """Refuse: ``K`` is never formed."""
        raise FloatingPointError(TOO_LARGE)

    def k_entries(self, i: IntArray, j: IntArray) -> Array:
        """Refuse: entries of ``K`` are not at hand."""
        raise FloatingPointError(TOO_LARGE)

    def k_blocks(self, r: int) -> Array:
        """Diagonal blocks (Q, Q, m) of ``K`` for one factor, estimated."""
        at, e = r - self.layout.n_chain, self.expansion
        return self.inner[at] + e.blocks(split(self.layout, e.left)[at], split(self.layout, e.right)[at])

    def information(self, r: int) -> Array:
        """Diagonal blocks (Q, Q, m) of ``S - S K S`` for one factor, estimated."""
        at, e = r - self.layout.n_chain, self.expansion
        (left, right), beyond = self._for_information[at]
        blocks = self._known_information(at) - e.blocks(left, right)
        return blocks if beyond is None else blocks - e.squares(beyond)

    def information_deviations(self, r: int) -> Array:
        """By how much each probe's sum (N, Q, Q) of these blocks differs from the mean."""
        e = self.expansion
        (left, right), beyond = self._for_information[r - self.layout.n_chain]
        deviations = -e.deviations(left, right)
        return deviations if beyond is None else deviations - e.square_deviations(beyond)

    def _known_information(self, at: int) -> Array:
        """What of the blocks needs no probes: ``M^-1`` is P^-1, and S is its own diagonal blocks."""
        way, s = self._ways[at], self.schur_blocks[at]
        root = self._roots[at][1]
        inverse = multiply(root.swapaxes(0, 1), root)
        inside = congruence(way.back, np.eye(len(s))[:, :, None] - inverse)
        if way.weak is None:
            return symmetrize(inside)
        across = left_multiply(way.back.T, multiply(inverse, left_multiply(self.factors[at].T, s)))
        across = left_multiply(way.weak.T, np.ascontiguousarray(across.swapaxes(0, 1)))
        beyond = congruence(way.weak, symmetrize(s - multiply(multiply(s, self.inner[at]), s)))
        return symmetrize(inside + across + across.swapaxes(0, 1) + beyond)

    @cached_property
    def _for_information(self) -> list[tuple[tuple[Array, Array], Array | None]]:
        """Columns (Q, m, d + N) by factor whose products are what probes know of the blocks; see :class:`_Ways`.

        What the blocks of S beside the diagonal make of ``Lambda P^-1 Lambda'`` stands alone, if it is needed.
        """
        raw = [split(self.layout, side) for side in (self.columns.left, self.columns.right)]
        weak = any(way.weak is not None for way in self._ways)
        effects = [self.operator.effects(side) for side in raw] if weak else raw
        moved = [self.operator.schur_times(side) for side in effects] if weak else raw
        out: list[tuple[tuple[Array, Array], Array | None]] = []
        for at, (way, (_, inverse)) in enumerate(zip(self._ways, self._roots, strict=True)):
            back = left_multiply(way.back.T, np.ascontiguousarray(inverse.swapaxes(0, 1)))
            pair = [apply(back, side[at]) for side in raw]
            beyond = None
            if way.weak is not None:
                pair = [own - left_multiply(way.weak.T, other[at]) for own, other in zip(pair, moved, strict=True)]
                off = moved[1][at] - apply(self.schur_blocks[at], effects[1][at])
                beyond = left_multiply(way.weak.T, off)
            out.append(((pair[0], pair[1]), beyond))
        return out

    @cached_property
    def _ways(self) -> tuple[_Ways, ...]:
        """For every factor, how its information is written."""
        return tuple(_Ways.of(t, own.mean(axis=2)) for t, own in zip(self.factors, self.square.own, strict=True))

    def forget(self) -> None:
        """Keep all: nothing here is larger than the columns."""


def _orthonormal(columns: Array) -> Array:
    """Return an orthonormal basis (r, d') of the span of columns (r, d)."""
    lengths = np.linalg.norm(columns, axis=0)
    unit = columns[:, lengths > 0] / lengths[lengths > 0]
    left, sizes, _ = np.linalg.svd(unit, full_matrices=False)
    return np.asarray(left[:, sizes > LINE_UP * sizes.max(initial=0.0)])


def _cholesky(blocks: Array) -> tuple[Array, Array]:
    """Lower Cholesky factors of ``blocks + I`` (Q, Q, m) and their inverses."""
    size = len(blocks)
    if size == 1:
        determinant = 1.0 + blocks
        if not np.min(determinant, initial=1.0) > 0:
            raise FloatingPointError("the remainder of the mixed-model equations is not positive definite")
        root = np.sqrt(determinant)
        return root, 1.0 / root
    try:
        roots = np.linalg.cholesky(to_stack(blocks) + np.eye(size))
    except np.linalg.LinAlgError as error:
        raise FloatingPointError("the remainder of the mixed-model equations is not positive definite") from error
    lower: Array = np.asarray(roots, dtype=float)
    return from_stack(lower), from_stack(np.tril(_inverse(lower)))


def _inverse(matrix: Array) -> Array:
    return np.asarray(np.linalg.inv(matrix), dtype=float)
