"""A mixed model as independent blocks of rows, every block with the same coefficients: what a batch of fits works on.

The levels of one grouping factor are such blocks. Nested or crossed factors have them too: the connected components of
the levels, each with as many coefficients as the largest needs (those that a block lacks have a covariate of zero,
which changes nothing).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from mixedfx._typing import Array, IntArray
from mixedfx.covariance.base import Covariance
from mixedfx.covariance.linear import UnstructuredCovariance
from mixedfx.criterion.parameters import CovarianceModel, TermSlot
from mixedfx.linalg.gram import Rows
from mixedfx.linalg.layout import Layout

__all__ = ["BlockGram", "BlockMap", "block_map", "covariance_directions"]


@dataclass(frozen=True)
class BlockGram:
    """Cross-products of ``[Z X]`` by block.

    Attributes
    ----------
    s : (Q, Q, u)
        ``Z_l' W Z_l`` of the distinct blocks.
    kind : (m,)
        Which distinct block every block is.
    counts : (u,)
        Number of blocks of each kind.
    zx : (Q, p, m)
        ``Z_l' W X_l``.
    xx : (p, p)
        ``X' W X``.
    """

    s: Array
    kind: IntArray
    counts: Array
    zx: Array
    xx: Array


@dataclass(frozen=True)
class BlockMap:
    """Where the levels of every factor are found among the coefficients of the blocks.

    Attributes
    ----------
    size, count : int
        Coefficients Q of a block, number m of blocks.
    block : tuple of (m_f,)
        Block of every level, by factor.
    position : tuple of (m_f,)
        Rank of every level among those of its factor in its block.
    width : tuple of int
        Levels that the largest block has of each factor.
    start : tuple of int
        First coefficient of each factor: its coefficient a of the level at rank j is ``start + a * width + j``.
    """

    size: int
    count: int
    block: tuple[IntArray, ...]
    position: tuple[IntArray, ...]
    width: tuple[int, ...]
    start: tuple[int, ...]

    def incidence(self, rows: Rows) -> sp.csr_array:
        """Return ``Z'`` (Q m, n), row ``coefficient * m + block``."""
        layout = rows.layout
        n = len(rows.columns)
        places, values = [], []
        for f, z in enumerate(rows.z):
            rank, block = self.position[f][layout.codes[f]], self.block[f][layout.codes[f]]
            for a, covariate in enumerate(z):
                places.append((self.start[f] + a * self.width[f] + rank) * self.count + block)
                values.append(covariate)
        entries = (np.concatenate(values), (np.concatenate(places), np.tile(np.arange(n), len(places))))
        return sp.csr_array(sp.coo_array(entries, shape=(self.size * self.count, n)))

    def gram(self, incidence: sp.csr_array, X: Array, weights: Array | None) -> BlockGram:
        """Return the cross-products of ``Z`` and ``X`` (n, p)."""
        weighted = incidence if weights is None else incidence * weights
        product = sp.coo_array(weighted @ incidence.T)
        row, column = product.coords
        s = np.zeros((self.size, self.size, self.count))
        s[row // self.count, column // self.count, row % self.count] = product.data
        kind, first = _kinds(s)
        zx = np.asarray(weighted @ X).reshape(self.size, self.count, -1).swapaxes(1, 2)
        right = X if weights is None else X * weights[:, None]
        counts = np.bincount(kind, minlength=first.size).astype(float)
        return BlockGram(s[:, :, first], kind, counts, np.ascontiguousarray(zx), X.T @ right)

    def factor_basis(self, model: CovarianceModel) -> Array:
        """Return ``B`` (k, Q, Q) with ``T = sum of theta_i B_i``, for covariances whose factor is linear in theta."""
        out = np.zeros((model.n_theta, self.size, self.size))
        for term in model.terms:
            derivative = term.covariance.derivative(term.covariance.start())
            for at in self._places(term):
                out[term.theta, at[:, None], at[None, :]] = derivative
        return out

    def covariance_basis(self, model: CovarianceModel) -> tuple[Array, list[slice]]:
        """Return directions (j, Q, Q) that span the covariances, and which of them belong to each term."""
        out: list[Array] = []
        spans = []
        for term in model.terms:
            own = covariance_directions(term.covariance)
            spans.append(slice(len(out), len(out) + len(own)))
            for direction in own:
                whole = np.zeros((self.size, self.size))
                for at in self._places(term):
                    whole[at[:, None], at[None, :]] = direction
                out.append(whole)
        return np.array(out), spans

    def _places(self, term: TermSlot) -> IntArray:
        """Coefficients (width, q) of a term at every rank of its factor."""
        width = self.width[term.factor]
        coefficients = np.arange(term.coefficients.start, term.coefficients.stop)
        return self.start[term.factor] + coefficients * width + np.arange(width)[:, None]

    def term_gradient(self, gradient: Array, term: TermSlot) -> Array:
        """Return the derivative (R, q, q) with respect to one term's covariance, from that of the blocks' (R, Q, Q)."""
        at = self._places(term)
        return np.asarray(gradient[:, at[:, :, None], at[:, None, :]].sum(axis=1))


def covariance_directions(covariance: Covariance) -> list[Array]:
    """Symmetric matrices (q, q) that span the covariances of one term."""
    if isinstance(covariance, UnstructuredCovariance):
        units = np.eye(covariance.size)
        pairs = [(a, b) for a in range(covariance.size) for b in range(a + 1)]
        return [np.outer(units[a], units[b]) + (a != b) * np.outer(units[b], units[a]) for a, b in pairs]
    return [b @ b.T for b in covariance.derivative(covariance.start())]


def block_map(layout: Layout) -> BlockMap:
    """Find the blocks of a layout."""
    labels = _components(layout)
    count = int(max(own.max() for own in labels)) + 1
    ranks = [_ranks(own, count) for own in labels]
    width = [int(rank.max()) + 1 for rank in ranks]
    coefficients = [w * size for w, size in zip(width, layout.sizes, strict=True)]
    start = np.concatenate([[0], np.cumsum(coefficients)]).tolist()
    return BlockMap(start[-1], count, tuple(labels), tuple(ranks), tuple(width), tuple(start[:-1]))


def _components(layout: Layout) -> list[IntArray]:
    """Connected component of every level, by factor; the levels of a single factor in their own order."""
    if layout.n_factors == 1:
        return [np.arange(layout.levels[0])]
    offsets = np.concatenate([[0], np.cumsum(layout.levels)])
    first = np.tile(layout.codes[0], layout.n_factors - 1)
    others = np.concatenate([codes + start for codes, start in zip(layout.codes[1:], offsets[1:-1], strict=True)])
    graph = sp.coo_array((np.ones(first.size, dtype=bool), (first, others)), shape=(offsets[-1], offsets[-1]))
    _, labels = connected_components(graph, directed=False)
    return [labels[a:b].astype(np.intp) for a, b in pairwise(offsets)]


def _ranks(labels: IntArray, count: int) -> IntArray:
    """Rank of every entry among those of the same label."""
    order = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=count))])
    out = np.empty(labels.size, dtype=np.intp)
    out[order] = np.arange(labels.size) - starts[labels[order]]
    return out


def _kinds(s: Array) -> tuple[IntArray, IntArray]:
    """Return the kind (m,) of every block of ``s`` (Q, Q, m), and the first block of each kind."""
    flat = s.reshape(-1, s.shape[2])
    signature = np.random.default_rng(0).standard_normal(len(flat)) @ flat
    _, first, kind = np.unique(signature, return_index=True, return_inverse=True)
    if first.size < kind.size and np.array_equal(flat[:, first[kind]], flat):
        return kind, first
    return np.arange(s.shape[2]), np.arange(s.shape[2])
