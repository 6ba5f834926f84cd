"""The criterion of a linear mixed model with sets of rows left out, many sets at once.

With sigma and beta profiled out the criterion needs the design through sums over independent blocks of rows,

    ``l = sum log|V_b|``,   ``M = [X y]' [X y] - sum C_b' Sigma (I + S_b Sigma)^-1 C_b``,

with ``S_b = Z_b' Z_b`` and ``C_b = Z_b' [X y]``. Leaving out rows of a block subtracts their cross-products from it and
leaves the other blocks alone. Each set needs its block twice, with and without its rows, and the sum over all blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.optimize import Derivatives

__all__ = ["Blocks", "DeletedCriterion", "DeletedPoint", "Sums", "block_sums", "estimable"]

CHUNK_CELLS = 2e6  # numbers in the largest temporary array


@dataclass(frozen=True)
class Blocks:
    """Cross-products of blocks of rows: ``s`` (m, Q, Q) = Z'Z and ``c`` (m, Q, C) = Z'[X y]."""

    s: Array
    c: Array

    def take(self, which: IntArray) -> Blocks:
        """Return the blocks number ``which``."""
        return Blocks(self.s[which], self.c[which])

    def less(self, other: Blocks, emptied: BoolArray) -> Blocks:
        """Return the blocks without the rows of ``other``; exactly nothing for those that are ``emptied`` (m,)."""
        left = ~emptied[:, None, None]
        return Blocks((self.s - other.s) * left, (self.c - other.c) * left)


@dataclass(frozen=True)
class Sums:
    """``l`` and the reduction ``M - [X y]'[X y]`` with their first and second derivatives in theta, for r sets.

    Attributes
    ----------
    logdet : (r,), (r, k), (r, k, k)
    reduction : (r, C, C), (r, k, C, C), (r, k, k, C, C)
    """

    logdet: tuple[Array, Array, Array]
    reduction: tuple[Array, Array, Array]

    def plus(self, other: Sums, sign: float) -> Sums:
        """Return the sum or the difference."""
        logdet = tuple(a + sign * b for a, b in zip(self.logdet, other.logdet, strict=True))
        reduction = tuple(a + sign * b for a, b in zip(self.reduction, other.reduction, strict=True))
        return Sums((logdet[0], logdet[1], logdet[2]), (reduction[0], reduction[1], reduction[2]))

    def take(self, which: IntArray) -> Sums:
        """Return the sums at the places number ``which``."""
        l, m = self.logdet, self.reduction
        return Sums((l[0][which], l[1][which], l[2][which]), (m[0][which], m[1][which], m[2][which]))

    def total(self) -> Sums:
        """Return the sum over all places, as one place."""
        l, m = ([part.sum(axis=0, keepdims=True) for part in parts] for parts in (self.logdet, self.reduction))
        return Sums((l[0], l[1], l[2]), (m[0], m[1], m[2]))

    def added(self, which: IntArray, other: Sums) -> Sums:
        """Return the sums with ``other`` added at the places number ``which``."""
        logdet = tuple(_added(a, which, b) for a, b in zip(self.logdet, other.logdet, strict=True))
        reduction = tuple(_added(a, which, b) for a, b in zip(self.reduction, other.reduction, strict=True))
        return Sums((logdet[0], logdet[1], logdet[2]), (reduction[0], reduction[1], reduction[2]))

    def moved(self, shift: Array) -> Sums:
        """Return the second-order expansion at ``theta + shift``, ``shift`` (r, k); the curvature stays."""
        logdet, reduction = _moved(self.logdet, shift), _moved(self.reduction, shift)
        return Sums(logdet, reduction)


def _added(values: Array, which: IntArray, more: Array) -> Array:
    if which.size == len(values):
        return values + more
    out = values.copy()
    out[which] += more
    return out


def _moved(parts: tuple[Array, Array, Array], shift: Array) -> tuple[Array, Array, Array]:
    value, slope, curvature = parts
    r, k = shift.shape
    row = shift[:, None, :]
    turned = (row @ curvature.reshape(r, k, -1)).reshape(slope.shape)
    change = (row @ (slope + 0.5 * turned).reshape(r, k, -1)).reshape(value.shape)
    return value + change, slope + turned, curvature


def block_sums(basis: Array, theta: Array, s: Array, c: Array) -> Sums:
    """Sum over blocks at r places.

    Parameters
    ----------
    basis : (k, Q, Q)
        ``T = sum of theta_i basis_i`` and ``Sigma = T T'``.
    theta : (r or 1, k)
    s, c : (r or 1, m, Q, Q), (r or 1, m, Q, C)
    """
    r, k = len(theta) if len(c) == 1 else len(c), len(basis)
    _, m, size, width = c.shape
    T = np.tensordot(theta, basis, axes=1)
    sigma = T @ T.swapaxes(1, 2)
    half = np.einsum("iab,rcb->riac", basis, T)
    slopes = half + half.swapaxes(2, 3)  # dSigma / dtheta (r, k, Q, Q)
    products = np.einsum("iac,jbc->ijab", basis, basis)
    second = products + products.swapaxes(2, 3)  # d2Sigma / dtheta2 (k, k, Q, Q)
    system = np.eye(size) + s @ sigma[:, None]
    logdet = np.linalg.slogdet(system)[1].sum(axis=1)
    resolvent = np.linalg.inv(system)
    information = resolvent @ s  # Z' V^-1 Z (r, m, Q, Q)
    g = resolvent @ c  # Z' V^-1 [X y] (r, m, Q, C)
    moved = slopes[:, None] @ g[:, :, None]  # (r, m, k, Q, C)
    bent = information[:, :, None] @ moved
    reduction = np.swapaxes((sigma[:, None] @ c).reshape(r, m * size, width), 1, 2) @ g.reshape(r, m * size, width)
    flat = _rows(moved)
    slope = -(_columns(g) @ flat).reshape(r, width, k, width).transpose(0, 2, 1, 3)
    cross = (flat.swapaxes(1, 2) @ _rows(bent)).reshape(r, k, width, k, width).transpose(0, 1, 3, 2, 4)
    outer = np.swapaxes(g.reshape(r, m, size * width), 1, 2) @ g.reshape(r, m, size * width)
    outer = outer.reshape(r, size, width, size, width)
    curvature = cross + cross.swapaxes(1, 2) - np.einsum("ijab,racbd->rijcd", second, outer, optimize=True)
    total = information.sum(axis=1)
    turned = information[:, :, None] @ slopes[:, None]  # (r, m, k, Q, Q)
    pairs = np.einsum("rmiab,rmjba->rij", turned, turned, optimize=True)
    return Sums(
        (logdet, np.einsum("riab,rab->ri", slopes, total), np.einsum("ijab,rab->rij", second, total) - pairs),
        (-reduction, slope, curvature),
    )


def _rows(moved: Array) -> Array:
    """(r, m, k, Q, C) as (r, m Q, k C)."""
    r, m, k, size, width = moved.shape
    return moved.transpose(0, 1, 3, 2, 4).reshape(r, m * size, k * width)


def _columns(g: Array) -> Array:
    """(r, m, Q, C) as (r, C, m Q)."""
    r, m, size, width = g.shape
    return g.reshape(r, m * size, width).swapaxes(1, 2)


@dataclass(frozen=True)
class DeletedCriterion:
    """Minus twice the (restricted) log-likelihood without each of R sets of rows, up to constants.

    Attributes
    ----------
    basis : (k, Q, Q)
        ``T = sum of theta_i basis_i``.
    blocks : Blocks
        Cross-products of all blocks.
    home : (R,)
        Block in which each set lies.
    rest : Blocks
        Cross-products of the block of each set without its rows.
    total : (R, C, C)
        ``[X y]'[X y]`` without the rows of each set.
    nu : (R,)
        Divisor of the residual variance.
    reml : bool
    sigma2 : float or None
        Residual variance if it is known.
    """

    basis: Array
    blocks: Blocks
    home: IntArray
    rest: Blocks
    total: Array
    nu: Array
    reml: bool
    sigma2: float | None

    def take(self, which: IntArray) -> DeletedCriterion:
        """Return the criterion of the sets number ``which``."""
        return replace(
            self,
            home=self.home[which],
            rest=self.rest.take(which),
            total=self.total[which],
            nu=self.nu[which],
        )

    def __call__(self, theta: Array, which: IntArray) -> Derivatives:
        """Return values, gradients and Hessians of the sets number ``which`` (r,) at ``theta`` (r, k)."""
        parts = [self.take(which[own]).at(theta[own]) for own in self.chunks(len(theta), len(self.blocks.s))]
        return Derivatives(
            np.concatenate([part.value for part in parts]),
            np.concatenate([part.gradient for part in parts]),
            np.concatenate([part.hessian for part in parts]),
        )

    def chunks(self, count: int, n_blocks: int) -> list[slice]:
        """Cut ``count`` sets, each with sums over ``n_blocks``, into pieces that fit into memory."""
        k, (_, size, width) = len(self.basis), self.blocks.c.shape
        cells = n_blocks * size * k * max(size, width) + (k * width) ** 2
        step = max(1, int(CHUNK_CELLS / cells))
        return [slice(start, start + step) for start in range(0, max(count, 1), step)]

    def at(self, theta: Array) -> DeletedPoint:
        """Evaluate each set exactly, each at its row of ``theta`` (R, k)."""
        blocks = self.blocks
        homes = blocks.take(self.home)
        sums = block_sums(self.basis, theta, blocks.s[None], blocks.c[None])
        with_rows = block_sums(self.basis, theta, homes.s[:, None], homes.c[:, None])
        without = block_sums(self.basis, theta, self.rest.s[:, None], self.rest.c[:, None])
        return self.point(sums.plus(with_rows, -1.0).plus(without, 1.0))

    def point(self, sums: Sums) -> DeletedPoint:
        """Return the criterion with sums that are known."""
        return DeletedPoint(self.total, self.nu, self.reml, self.sigma2, sums)

    def each_block(self, theta: Array, which: IntArray) -> Sums:
        """Return what the blocks number ``which`` contribute at ``theta`` (k,)."""
        chosen = self.blocks.take(which)
        return block_sums(self.basis, theta[None], chosen.s[:, None], chosen.c[:, None])

    def around(self, theta: Array, centre: Sums, each: Sums | None) -> DeletedPoint:
        """Evaluate all sets at one ``theta`` (k,), where the blocks contribute ``each`` and together ``centre``."""
        if each is None:
            homes, inverse = np.unique(self.home, return_inverse=True)
            with_rows = self.each_block(theta, homes).take(inverse)
        else:
            with_rows = each.take(self.home)
        kept = np.flatnonzero(self.rest.s.any(axis=(1, 2)))
        some = self.rest.take(kept)
        without = block_sums(self.basis, theta[None], some.s[:, None], some.c[:, None])
        return self.point(centre.plus(with_rows, -1.0).added(kept, without))


@dataclass(frozen=True)
class DeletedPoint:
    """The criterion of r sets at r places; each part is computed when asked for."""

    total: Array
    nu: Array
    reml: bool
    known_sigma2: float | None
    sums: Sums

    @cached_property
    def _projected(self) -> Array:
        """``[X y]' V^-1 [X y]`` (r, C, C) without the rows."""
        return np.asarray(self.total + self.sums.reduction[0])

    @cached_property
    def unscaled_cov(self) -> Array:
        """``(X' V^-1 X)^-1`` (r, p, p)."""
        return np.asarray(np.linalg.inv(self._projected[:, :-1, :-1]))

    @cached_property
    def beta(self) -> Array:
        """Generalised least-squares estimates (r, p)."""
        return np.asarray(np.einsum("rpq,rq->rp", self.unscaled_cov, self._projected[:, :-1, -1]))

    @cached_property
    def r2(self) -> Array:
        """Generalised residual sums of squares (r,)."""
        projected = self._projected
        r2 = projected[:, -1, -1] - np.einsum("rp,rp->r", projected[:, :-1, -1], self.beta)
        return np.asarray(np.maximum(r2, np.finfo(float).tiny))

    @property
    def sigma2(self) -> Array:
        """Residual variances (r,)."""
        known = self.known_sigma2
        return self.r2 / self.nu if known is None else np.full(self.r2.shape, known)

    @property
    def value(self) -> Array:
        """Values (r,), up to constants."""
        out = self.sums.logdet[0] + self.nu * np.log(self.sigma2) + self.r2 / self.sigma2
        if self.reml:
            out = out - np.linalg.slogdet(self.unscaled_cov)[1]
        return np.asarray(out)

    @cached_property
    def _residual_slopes(self) -> tuple[Array, Array]:
        """``(dM v)_X`` (r, k, p) and the derivative of r2 (r, k), with ``v = (-beta, 1)``."""
        v = np.concatenate([-self.beta, np.ones((len(self.beta), 1))], axis=1)
        turned = np.einsum("rkcd,rd->rkc", self.sums.reduction[1], v)
        return turned[:, :, :-1], np.einsum("rkc,rc->rk", turned, v)

    @property
    def _weight(self) -> Array:
        """``v v' / sigma^2``, and ``(X' V^-1 X)^-1`` in addition under REML (r, C, C): the slope by ``M``."""
        v = np.concatenate([-self.beta, np.ones((len(self.beta), 1))], axis=1)
        out = v[:, :, None] * (v / self.sigma2[:, None])[:, None, :]
        if self.reml:
            out[:, :-1, :-1] += self.unscaled_cov
        return np.asarray(out)

    @cached_property
    def _fixed_slopes(self) -> Array:
        """``Phi dM_XX`` (r, k, p, p)."""
        return np.asarray(self.unscaled_cov[:, None] @ self.sums.reduction[1][:, :, :-1, :-1])

    @property
    def gradient(self) -> Array:
        """Exact gradients (r, k)."""
        out = self.sums.logdet[1] + self._residual_slopes[1] / self.sigma2[:, None]
        if self.reml:
            out = out + np.einsum("rkpp->rk", self._fixed_slopes)
        return np.asarray(out)

    @property
    def hessian(self) -> Array:
        """Exact Hessians (r, k, k)."""
        turned, slope = self._residual_slopes
        second = self.sums.reduction[2]
        r, k = slope.shape
        bend = (second.reshape(r, k * k, -1) @ self._weight.reshape(r, -1, 1)).reshape(r, k, k)
        fall = turned @ self.unscaled_cov @ turned.swapaxes(1, 2)
        out = self.sums.logdet[2] + bend - 2.0 * fall / self.sigma2[:, None, None]
        if self.known_sigma2 is None:
            squares = slope[:, :, None] * slope[:, None, :]
            out = out - squares / (self.nu * self.sigma2**2)[:, None, None]
        if self.reml:
            fixed = self._fixed_slopes
            transposed = fixed.swapaxes(2, 3).reshape(r, k, -1)
            out = out - fixed.reshape(r, k, -1) @ transposed.swapaxes(1, 2)
        return np.asarray(0.5 * (out + out.swapaxes(1, 2)))


def estimable(total: Array, full: Array, tolerance: float) -> BoolArray:
    """Return whether the fixed effects can be told apart without each set, from ``X'X`` without it and with it."""
    if full.size == 0:
        return np.ones(len(total), dtype=bool)
    root = np.linalg.inv(np.linalg.cholesky(full))
    out: BoolArray = np.einsum("pq,rpq->r", root.T @ root, full - total) < 1.0 - tolerance  # the sum of what is lost
    doubtful = np.flatnonzero(~out)
    out[doubtful] = np.linalg.eigvalsh(root @ total[doubtful] @ root.T)[:, 0] > tolerance
    return out
