"""Symmetric matrices of which every number is stored once, in LAPACK's rectangular full packed format.

A matrix ``A`` of n rows is a vector of n (n + 1) / 2 *cells*. Cut in two halves of k = ceil(n / 2) and n - k rows, its
blocks lie in a rectangle of k rows: the upper triangle of ``A_11`` beside the lower triangle of ``A_22``, with which it
makes up a square, and then ``A_12``. So LAPACK works on whole blocks, as fast as on a full matrix of twice the size.

References
----------
Gustavson, Wasniewski, Dongarra & Langou (2010), ACM TOMS 37(2), 18.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.linalg import blas, lapack

from mixedfx._typing import Array, BoolArray, IntArray

__all__ = [
    "count",
    "factorize",
    "full",
    "inverse",
    "pack",
    "positions",
    "product",
    "scale",
    "solve",
    "squared_product",
    "times",
]

SMALL = 64  # rows of matrices whose triangles are kept
TILE = 256  # rows of the blocks of a product that is never formed as a whole
STRIPE = 256  # columns of a full matrix that are filled at once; a matrix of so few is multiplied as a full one


def count(n: int) -> int:
    """Return the number of cells of a matrix of n rows."""
    return n * (n + 1) // 2


def positions(n: int, i: IntArray, j: IntArray) -> IntArray:
    """Return the cells of the entries (i, j), i >= j."""
    k, even = _halves(n)
    width = n + even
    first = j * width + i + even
    second = (i - k + 1 - even) * width + j - k
    return np.where(j < k, first, second)


def _halves(n: int) -> tuple[int, int]:
    """Rows of the first half, and whether n is even (1) or odd (0)."""
    return (n + 1) // 2, 1 - n % 2


def _blocks(cells: Array, n: int) -> tuple[Array, Array, Array]:
    """Views of ``A_11`` (in the upper triangle), ``A_12``, and ``A_22`` (in the lower triangle)."""
    k, even = _halves(n)
    rectangle = cells.reshape(k, n + even)
    return rectangle[:, even : k + even], rectangle[:, k + even :], rectangle[1 - even :, : n - k]


@lru_cache(maxsize=SMALL)
def _below(n: int, diagonal: int) -> BoolArray:
    """Where a matrix (n, n) has entries on the given diagonal and below it; read-only, as it is shared."""
    below = np.tri(n, k=diagonal, dtype=bool)
    below.flags.writeable = False
    return below


def _upper(a: Array) -> Array:
    """The upper triangle of a square matrix, zeros below."""
    return np.where(_below(len(a), -1), 0.0, a) if len(a) <= SMALL else np.triu(a)


def _lower(a: Array, diagonal: int = 0) -> Array:
    """The lower triangle of a square matrix from a diagonal on, zeros above."""
    return np.where(_below(len(a), diagonal), a, 0.0) if len(a) <= SMALL else np.tril(a, diagonal)


def pack(a: Array) -> Array:
    """Return the cells of a symmetric matrix (n, n)."""
    k, _ = _halves(len(a))
    return _assembled(a[:k, :k], a[:k, k:], a[k:, k:])


def product(left: Array, right: Array) -> Array:
    """Return the cells of ``left' right`` (n, n), known to be symmetric, from (r, n) each."""
    k, _ = _halves(left.shape[1])
    one, two = left.T[:k], left.T[k:]
    return _assembled(one @ right[:, :k], one @ right[:, k:], two @ right[:, k:])


def _assembled(first: Array, across: Array, second: Array) -> Array:
    n = len(first) + len(second)
    cells = np.zeros(count(n))
    a, b, c = _blocks(cells, n)
    a[:] = _upper(first)
    b[:] = across
    c += _lower(second)
    return cells


def full(cells: Array, n: int) -> Array:
    """Return the matrix (n, n), both triangles."""
    lower, info = lapack.dtfttr(n, cells, transr="N", uplo="L")
    assert info == 0
    for at in range(0, n, STRIPE):
        stripe = lower[at : at + STRIPE]
        lower[:at, at : at + STRIPE] = stripe[:, :at].T
        square = stripe[:, at : at + STRIPE]
        square += _lower(square, -1).T
    return np.asarray(lower)


def times(cells: Array, n: int, b: Array) -> Array:
    """Return ``A @ b`` (n, c)."""
    if b.shape[1] == 0:
        return b
    if n <= STRIPE:
        return np.asarray(full(cells, n) @ b)
    k, _ = _halves(n)
    first, across, second = _blocks(cells, n)
    out = np.empty((n, b.shape[1]))
    out[:k] = blas.dsymm(1.0, first.T, b[:k], lower=1)
    out[:k] += across @ b[k:]
    out[k:] = blas.dsymm(1.0, second.T, b[k:], lower=0)
    out[k:] += across.T @ b[:k]
    return out


def squared_product(a: Array, b: Array, n: int) -> tuple[float, Array]:
    """Return ``tr(A B A B)`` and the diagonal (n,) of ``A B A`` for the cells of two symmetric matrices.

    The product ``A B`` is formed block by block, each beside its mirror image, and never as a whole.
    """
    spans, left, right = _spans(n), _tiles(a, n), _tiles(b, n)
    trace, diagonal = 0.0, np.zeros(n)
    for i, own in enumerate(spans):
        for j, other in enumerate(spans[: i + 1]):
            tile = _tile_of_product(left[i], right, j)
            mirror = tile if i == j else _tile_of_product(left[j], right, i)
            trace += (1.0 if i == j else 2.0) * float(np.einsum("ij,ji->", tile, mirror))
            diagonal[own] += np.einsum("ij,ij->i", tile, left[i][j])
            if i != j:
                diagonal[other] += np.einsum("ij,ij->i", mirror, left[j][i])
    return trace, diagonal


def _tile_of_product(row: list[Array], right: list[list[Array]], j: int) -> Array:
    out = row[0] @ right[0][j]
    for m in range(1, len(row)):
        out += row[m] @ right[m][j]
    return out


def _spans(n: int) -> list[slice]:
    """Rows of the tiles, none of which lies in both halves."""
    k, _ = _halves(n)
    return [slice(at, min(at + TILE, end)) for begin, end in ((0, k), (k, n)) for at in range(begin, end, TILE)]


def _tiles(cells: Array, n: int) -> list[list[Array]]:
    """All tiles of a matrix: views of its cells, except for those on the diagonal."""
    spans = _spans(n)
    lower = [[_lower_tile(cells, n, own, other) for other in spans[: i + 1]] for i, own in enumerate(spans)]
    return [[lower[i][j] if j <= i else lower[j][i].T for j in range(len(spans))] for i in range(len(spans))]


def _lower_tile(cells: Array, n: int, rows: slice, columns: slice) -> Array:
    k, _ = _halves(n)
    first, across, second = _blocks(cells, n)
    a, b = (slice(at.start - k, at.stop - k) if at.start >= k else at for at in (rows, columns))
    tile = second[a, b] if columns.start >= k else (first if rows.start < k else across)[b, a].T
    return tile if rows != columns else np.tril(tile) + np.tril(tile, -1).T


def scale(cells: Array, n: int, d: Array) -> Array:
    """Return the cells of ``diag(d) A diag(d)``, in the place of those of ``A``."""
    k, even = _halves(n)
    one, two = d[:k], np.concatenate([[1.0], d[k:], [1.0, 1.0]])
    for at in range(0, k, STRIPE):
        end = min(at + STRIPE, k)
        rows = cells.reshape(k, n + even)[at:end]
        above, below = one[at:end, None], two[at + even : end + even, None]
        rows[:, : at + even] *= below * two[1 : at + even + 1]
        beside = _lower(below * two[at + even + 1 : end + even + 1], -1)
        rows[:, at + even : end + even] *= beside + _upper(above * one[at:end])
        rows[:, end + even :] *= above
        rows[:, end + even :] *= d[end:]
    return cells


def factorize(cells: Array, n: int) -> Array:
    """Return the cells of the lower Cholesky factor of a positive definite matrix, in the place of that.

    Raises
    ------
    FloatingPointError
        If it is not positive definite.
    """
    root, info = lapack.dpftrf(n, cells, transr="N", uplo="L", overwrite_a=1)
    if info:
        raise FloatingPointError("the remainder of the mixed-model equations is not positive definite")
    return np.asarray(root)


def inverse(root: Array, n: int, *, overwrite: bool = False) -> Array:
    """Return the cells of the inverse of the matrix with this Cholesky factor; in the place of that if it may be."""
    out, info = lapack.dpftri(n, root, transr="N", uplo="L", overwrite_a=overwrite)
    assert info == 0
    return np.asarray(out)


def solve(root: Array, n: int, side: Array) -> Array:
    """Return ``A^-1 side`` (n, c) for the matrix with this Cholesky factor."""
    out, info = lapack.dpftrs(n, root, side, transr="N", uplo="L")
    assert info == 0
    return np.asarray(out)
