"""Algebra of many small matrices at once, stored with the matrices along the last axes: shape (rows, columns, m).

Where the text says (…, m) any number of trailing axes will do, and they broadcast. The layout makes every entry a
contiguous array over the m matrices, so that sizes 1 and 2 (by far the most common) are a handful of whole-array
expressions. Larger sizes go through LAPACK on a stack.
"""

from __future__ import annotations

import numpy as np

from mixedfx._typing import Array, IntArray

__all__ = [
    "apply",
    "congruence",
    "diagonal_blocks",
    "from_stack",
    "left_multiply",
    "multiply",
    "resolvent_of",
    "segment_sum",
    "segment_sum_columns",
    "symmetrize",
    "to_stack",
    "weighted_resolvent",
]

UNROLLED_SIZE = 64  # products of at most this many terms are written out entry by entry
SIGNS = np.array([[1.0, -1.0], [-1.0, 1.0]])  # of the cofactors of a 2 x 2 matrix
ROUNDING = 1e-14  # a 2 x 2 determinant smaller than this times its products is rounding


def multiply(a: Array, b: Array) -> Array:
    """Return the m products ``a[..., l] @ b[..., l]``: (i, j, …, m) times (j, k, …, m) gives (i, k, …, m)."""
    rows, inner = a.shape[:2]
    columns = b.shape[1]
    if rows * inner * columns > UNROLLED_SIZE:
        return from_stack(np.matmul(to_stack(a), to_stack(b)))
    out: Array = a[:, :1] * b[:1]
    for j in range(1, inner):
        out += a[:, j : j + 1] * b[j : j + 1]
    return out


def to_stack(a: Array) -> Array:
    """Return the matrices (rows, columns, …, m) with the matrix axes last, as LAPACK on stacks wants them."""
    return np.moveaxis(a, (0, 1), (-2, -1))


def from_stack(a: Array) -> Array:
    """Return matrices (…, m, rows, columns) with the matrix axes first."""
    return np.ascontiguousarray(np.moveaxis(a, (-2, -1), (0, 1)))


def apply(a: Array, x: Array) -> Array:
    """Return the m products ``a[..., l] @ x[:, l]``: (i, j, m) times (j, m, c) gives (i, m, c)."""
    rows, inner, _ = a.shape
    if rows * inner > UNROLLED_SIZE:
        product = np.matmul(np.moveaxis(a, 2, 0), np.moveaxis(x, 1, 0))
        return np.ascontiguousarray(np.moveaxis(product, 0, 1))
    out: Array = a[:, 0, :, None] * x[0]
    for j in range(1, inner):
        out += a[:, j, :, None] * x[j]
    return out


def left_multiply(constant: Array, a: Array) -> Array:
    """Return ``constant @ a[..., l]`` for one matrix ``constant`` (i, j) and many ``a`` (j, k, m)."""
    out: Array = (constant @ a.reshape(a.shape[0], -1)).reshape(constant.shape[0], *a.shape[1:])
    return out


def congruence(constant: Array, a: Array) -> Array:
    """Return ``constant.T @ a[..., l] @ constant`` for symmetric ``a`` (q, q, m)."""
    half = left_multiply(constant.T, a)
    return left_multiply(constant.T, np.ascontiguousarray(half.swapaxes(0, 1)))


def symmetrize(a: Array) -> Array:
    """Return the symmetric parts of ``a`` (q, q, m)."""
    if a.shape[0] == 1:
        return a
    out: Array = 0.5 * (a + a.swapaxes(0, 1))
    return out


def weighted_resolvent(s: Array, factor: Array) -> tuple[Array, Array, Array]:
    """Return ``F = (I + S Sigma)^-1``, ``K = Sigma F`` and ``log det(I + S Sigma)`` with ``Sigma = T T'``.

    Parameters
    ----------
    s : (q, q, m)
        Symmetric matrices; positive semidefinite unless the weights of a likelihood that is not concave made them.
    factor : (q, q)
        Lower-triangular ``T``, possibly singular.

    Raises
    ------
    FloatingPointError
        If some ``det(I + S Sigma)`` is not positive.

    Notes
    -----
    ``K = T (T' S T + I)^-1 T'`` and ``F = I - S K``, written so that neither a vanishing nor a huge ``T`` cancels.
    """
    sigma = (factor @ factor.T)[:, :, None]
    determinant = float(factor[0, 0] * factor[1, 1]) if len(factor) == 2 else 0.0
    return resolvent_of(s, sigma, determinant * determinant)


def resolvent_of(s: Array, sigma: Array, determinant_sigma: Array | float | None) -> tuple[Array, Array, Array]:
    """Return the same as :func:`weighted_resolvent`, for ``sigma`` (q, q, …) whose axes broadcast with those of ``s``.

    ``determinant_sigma`` is needed for q = 2 only.
    """
    size = s.shape[0]
    if size == 1:
        determinant = _positive(1.0 + s[0, 0] * sigma[0, 0])
        resolvent = (1.0 / determinant)[None, None]
        return resolvent, sigma[0, 0] * resolvent, np.log(determinant)
    if size == 2:
        assert determinant_sigma is not None
        return _resolvent_of_pairs(s, sigma, determinant_sigma)
    stacked = to_stack(sigma)
    stack = np.eye(size) + to_stack(s) @ stacked
    sign, logdet = np.linalg.slogdet(stack)
    _positive(sign)
    inverse = np.asarray(np.linalg.inv(stack), dtype=float)
    return from_stack(inverse), symmetrize(from_stack(stacked @ inverse)), logdet


def _positive(determinants: Array) -> Array:
    if not determinants.min(initial=1.0) > 0:
        raise FloatingPointError("I + S Sigma is not positive definite")
    return determinants


def _resolvent_of_pairs(s: Array, sigma: Array, determinant_sigma: Array | float) -> tuple[Array, Array, Array]:
    """The 2 x 2 case, with ``det(I + S Sigma) = 1 + tr(S Sigma) + det S det Sigma``."""
    product = multiply(sigma, s)
    first, second = product[0, 0], product[1, 1]
    determinant = _positive(1.0 + first + second + _minors(s) * determinant_sigma)
    inverse = 1.0 / determinant
    resolvent = np.empty((2, 2, *inverse.shape))
    np.add(second, 1.0, out=resolvent[0, 0])
    np.add(first, 1.0, out=resolvent[1, 1])
    np.negative(product[1, 0], out=resolvent[0, 1])
    np.negative(product[0, 1], out=resolvent[1, 0])
    resolvent *= inverse
    k = s[::-1, ::-1] * (SIGNS.reshape(2, 2, *(1,) * (s.ndim - 2)) * determinant_sigma) + sigma
    k *= inverse
    return resolvent, k, np.log(determinant)


def _minors(s: Array) -> Array:
    """Determinants of symmetric 2 x 2 matrices (2, 2, ...), no negative one that is rounding."""
    product = s[0, 0] * s[1, 1]
    minor = product - s[0, 1] * s[0, 1]
    return np.asarray(np.where(np.abs(minor) > ROUNDING * np.abs(product), minor, np.maximum(minor, 0.0)))


def segment_sum(values: Array, segments: IntArray, count: int) -> Array:
    """Sum ``values`` (..., m) over equal ``segments`` (m,): returns (..., count)."""
    flat = values.reshape(-1, values.shape[-1])
    out = np.empty((flat.shape[0], count))
    for row, entry in zip(out, flat, strict=True):
        row[:] = np.bincount(segments, weights=entry, minlength=count)
    return out.reshape(*values.shape[:-1], count)


def segment_sum_columns(values: Array, segments: IntArray, count: int) -> Array:
    """Sum ``values`` (q, m, c) over equal ``segments`` (m,): returns (q, count, c)."""
    out = np.empty((values.shape[0], count, values.shape[2]))
    for rows, entries in zip(out, values, strict=True):
        for j in range(values.shape[2]):
            rows[:, j] = np.bincount(segments, weights=entries[:, j], minlength=count)
    return out


def diagonal_blocks(dense: Array, size: int) -> Array:
    """Return the (size, size, m) blocks ``dense[a*m + l, b*m + l]`` of a matrix of ``size * m`` rows."""
    m = dense.shape[0] // size
    levels = np.arange(m)
    view = dense.reshape(size, m, size, m)
    return np.ascontiguousarray(view[:, levels, :, levels].transpose(1, 2, 0))
