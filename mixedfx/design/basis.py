"""The inner scale: centred and scaled columns on which the optimiser works, and the way back to the user's scale.

A shift or rescaling of the predictors changes nothing about a mixed model as long as the covariance of the random
effects is closed under it. Working on centred, scaled (and where needed orthogonalised) columns keeps the digits that
cross-products would lose, so that calendar years or responses of size 1e9 are ordinary data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.covariance.base import Covariance
from mixedfx.covariance.unstructured import UnstructuredCovariance

__all__ = ["FixedBasis", "TermBasis", "fixed_basis", "term_basis"]

COLLINEAR = 0.05  # smallest Cholesky pivot of a correlation matrix that is left without orthogonalisation
SPAN_TOLERANCE = 1e-10  # squared distance of 1 from the span of X, relative to n, below which it lies in it


@dataclass(frozen=True)
class FixedBasis:
    """Affine maps of the fixed effects and the response.

    ``X_inner = X @ matrix`` and ``y_inner = (y - shift) / scale``, so that
    ``beta = scale * matrix @ beta_inner + shift * intercept``.

    Attributes
    ----------
    matrix : (p, p)
    intercept : (p,)
        Coefficients ``a`` with ``X @ a = 1``; zeros if 1 is not in the span (``shift`` is 0 then).
    shift, scale : float
        Of the response.
    log_det : float
        ``log |det matrix|``.
    """

    matrix: Array
    intercept: Array
    shift: float
    scale: float
    log_det: float

    def beta(self, inner: Array) -> Array:
        """Return the coefficients (p,) on the user's scale."""
        return np.asarray(self.scale * (self.matrix @ inner) + self.shift * self.intercept)

    def covariance(self, inner: Array) -> Array:
        """Return the covariance (p, p) of the coefficients on the user's scale, of one on the inner scale."""
        return np.asarray(self.scale**2 * (self.matrix @ inner @ self.matrix.T))


@dataclass(frozen=True)
class TermBasis:
    """Linear map of one term's random effects: ``b = matrix @ b_inner`` (times the response's scale).

    ``z_inner = z @ matrix``, and ``Sigma = matrix @ Sigma_inner @ matrix.T``.
    """

    covariance: Covariance
    matrix: Array
    diagonal: Array | None

    def to_user(self, theta: Array) -> Array:
        """Return the parameters on the user's scale."""
        return self._mapped(theta, self.matrix, self.diagonal)

    def to_inner(self, theta: Array) -> Array:
        """Return the parameters on the inner scale."""
        inverse = None if self.diagonal is None else 1.0 / self.diagonal
        return self._mapped(theta, np.asarray(np.linalg.inv(self.matrix)), inverse)

    def _mapped(self, theta: Array, matrix: Array, diagonal: Array | None) -> Array:
        canonical = self.covariance.canonical(theta)
        if diagonal is not None:
            return self.covariance.rescale(canonical, diagonal)
        assert isinstance(self.covariance, UnstructuredCovariance)
        return self.covariance.parameters(matrix @ self.covariance.factor(canonical))


def fixed_basis(X: Array, y: Array, *, scale_response: bool = True) -> tuple[FixedBasis, Array, Array]:
    """Centre and scale the fixed-effects columns and the response.

    Parameters
    ----------
    X : (n, p)
        Full column rank.
    y : (n,)
        Response less its offset.
    scale_response : bool
        Whether the response may be shifted and scaled (a Gaussian model whose sigma is free).

    Returns
    -------
    basis : FixedBasis
    X_inner, y_inner : (n, p), (n,)
    """
    p = X.shape[1]
    intercept = _intercept(X)
    centred = intercept == 0 if intercept.any() else np.zeros(p, dtype=bool)
    centre = np.where(centred, X.mean(axis=0), 0.0) if p else np.zeros(0)
    inner = X - centre if centred.any() else X.copy(order="F")
    spread = np.sqrt(np.einsum("ij,ij->j", inner, inner) / max(len(X), 1)) if p else np.zeros(0)
    spread = np.where(spread > 0, spread, 1.0)
    inner /= spread
    matrix = (np.eye(p) - np.outer(intercept, centre)) / spread
    log_det = -float(np.log(spread).sum())
    rotation = _orthogonalizer(inner)
    if rotation is not None:
        inner, matrix = inner @ rotation, matrix @ rotation
        log_det += float(np.log(np.abs(rotation.diagonal())).sum())
    shift, scale = 0.0, 1.0
    if scale_response and y.size:
        shift = _middle(y) if intercept.any() else 0.0
        scale = float(np.sqrt(np.mean((y - shift) ** 2))) or 1.0
    return FixedBasis(matrix, intercept, shift, scale, log_det), inner, (y - shift) / scale


def _middle(y: Array) -> float:
    """A data value near the mean: subtracting it from its neighbours is exact."""
    return float(y[np.argmin(np.abs(y - y.mean()))])


def _intercept(X: Array) -> Array:
    """Coefficients (p,) with ``X @ a = 1``; zeros if there are none."""
    p = X.shape[1]
    unit = np.zeros(p)
    for j in range(p):
        column = X[:, j]
        if column.size and column[0] != 0 and column[0] == column[-1] and np.ptp(column) == 0:
            unit[j] = 1.0 / column[0]
            return unit
    scale = np.sqrt(np.einsum("ij,ij->j", X, X))
    if p == 0 or not np.all(scale > 0):
        return unit
    scaled = X / scale
    found, *_ = np.linalg.lstsq(scaled.T @ scaled, scaled.sum(axis=0), rcond=None)
    residual = 1.0 - scaled @ found
    if residual @ residual > SPAN_TOLERANCE * len(X):
        return unit
    out = found / scale
    out[np.abs(out) < SPAN_TOLERANCE * np.abs(out).max()] = 0.0
    return np.asarray(out)


def _orthogonalizer(inner: Array) -> Array | None:
    """Upper-triangular map to columns of correlation zero, or None where the columns are far from collinear."""
    n, p = inner.shape
    if p < 2 or n <= p or _gram_root(inner) is not None:
        return None
    upper = np.asarray(np.linalg.qr(inner, mode="r"))
    if np.abs(upper.diagonal()).min() == 0:
        return None
    return np.asarray(np.linalg.inv(upper) * np.sqrt(n))


def _gram_root(columns: Array) -> Array | None:
    """Upper Cholesky factor of the columns' mean products, or None where they are too collinear to trust it."""
    try:
        upper: Array = np.asarray(np.linalg.cholesky(columns.T @ columns / len(columns)).T)
    except np.linalg.LinAlgError:
        return None
    return upper if float(np.min(upper.diagonal() ** 2)) > COLLINEAR else None


def term_basis(z: Array, covariance: Covariance) -> tuple[TermBasis, Array]:
    """Re-base the columns of one random-effects term as far as its covariance is closed under the map.

    Parameters
    ----------
    z : (n, q)
    covariance : Covariance

    Returns
    -------
    basis : TermBasis
    z_inner : (q, n)
    """
    rows = np.ascontiguousarray(z.T)
    n = max(rows.shape[1], 1)
    if not covariance.closed_under_affine() or covariance.size == 1:
        size = np.sqrt(np.einsum("ij,ij->i", rows, rows) / n)
        if not covariance.closed_under_scaling():
            size = np.full(covariance.size, np.sqrt(np.mean(size**2)))
        size = np.where(size > 0, size, 1.0)
        basis = TermBasis(covariance, np.diag(1.0 / size), 1.0 / size)
        return basis, rows / size[:, None] if np.any(size != 1.0) else rows
    matrix = _orthonormal_map(rows)
    return TermBasis(covariance, matrix, None), np.asarray(matrix.T @ rows)


def _orthonormal_map(rows: Array) -> Array:
    """Upper-triangular ``R`` (q, q) such that the columns ``z R`` are uncorrelated with mean square 1, if possible."""
    q, n = rows.shape
    constant = [j for j in range(q) if rows[j, 0] != 0 and np.ptp(rows[j]) == 0]
    shift = np.eye(q)
    if constant:
        j = constant[0]
        others = np.arange(q) != j
        shift[j, others] = -rows[others].mean(axis=1) / rows[j, 0]
    centred = rows + (shift - np.eye(q)).T @ rows
    size = np.sqrt(np.einsum("ij,ij->i", centred, centred) / n)
    size = np.where(size > 0, size, 1.0)
    matrix = shift / size
    scaled = centred / size[:, None]
    upper = _gram_root(scaled.T)
    if upper is None:
        upper = np.asarray(np.linalg.qr(scaled.T, mode="r") / np.sqrt(n))
    if np.abs(upper.diagonal()).min() < np.sqrt(SPAN_TOLERANCE):
        return matrix
    return np.asarray(matrix @ np.linalg.inv(upper))
