"""The inner scale: centred and scaled columns on which the optimiser works, and the way back to the user's scale.

A shift or rescaling of the predictors changes nothing about a mixed model as long as the covariance of the random
effects is closed under it. Working on centred, scaled (and where needed orthogonalised) columns keeps the digits that
cross-products would lose, so that calendar years or responses of size 1e9 are ordinary data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_solve, lapack

from mixedfx._lazy import cached_property
from mixedfx._typing import Array, IntArray
from mixedfx.covariance.base import Covariance

__all__ = ["FixedBasis", "InnerResponses", "RowWeights", "TermBasis", "fixed_basis", "inner_responses", "term_basis"]

SINGULAR = 1e-8  # diagonal entry of a factor, relative to the largest entry, below which it cannot be differentiated
COLLINEAR = 0.05  # smallest Cholesky pivot of a correlation matrix that is left without orthogonalisation
SPAN_TOLERANCE = 1e-10  # squared distance of 1 from the span of X, relative to n, below which it lies in it
DEPENDENT = 1e-10  # smallest share of a column of a random term, beside the others, that can be told from rounding
EXPLAINED = 1e-3  # share of squares left by the fixed effects below which their least-squares fit is taken off first
SWEEPS = 3  # of that fit: each mends the rounding of the one before


@dataclass(frozen=True)
class RowWeights:
    """Prior weights by their mean ``unit`` and their ratio ``relative`` (n,) to it, which alone matters inside.

    The columns of the inner scale are divided by the root of the unit, so that ``z' W z`` has the size of n whatever
    the common scale of the weights. Rows that stand for others, ``represented`` of them, give the means of those.
    """

    unit: float
    relative: Array
    represented: int | None = None

    @classmethod
    def of(cls, weights: Array | None, n: int) -> RowWeights:
        """Return the weights of the rows, all one if there are none; ``n`` is how many rows they stand for."""
        if weights is None:
            return cls(1.0, np.broadcast_to(1.0, n))
        largest = float(weights.max())
        mean = float(np.sum(weights / largest)) / n
        return cls(largest * mean, weights / largest / mean, n)

    @cached_property
    def are_equal(self) -> bool:
        """Whether no row counts more than another."""
        values = self.relative[:1] if self.relative.strides == (0,) else self.relative
        return bool((values == 1.0).all())

    @property
    def root(self) -> float:
        """Root of the unit."""
        return float(np.sqrt(self.unit))

    @property
    def count(self) -> int:
        """Number of rows, at least 1."""
        return max(len(self.relative) if self.represented is None else self.represented, 1)

    def mean(self, columns: Array) -> Array:
        """Return the weighted mean over the rows of ``columns`` (n, …)."""
        if self.are_equal:
            return np.asarray(columns.mean(axis=0))
        return np.asarray(np.tensordot(self.relative, columns, axes=1) / self.relative.sum())

    def mean_squares(self, columns: Array) -> Array:
        """Return the mean (p,) of the weighted squares of ``columns`` (n, p)."""
        if self.are_equal:
            return np.asarray(np.einsum("ij,ij->j", columns, columns) / self.count)
        return np.asarray(np.einsum("i,ij,ij->j", self.relative, columns, columns) / self.count)

    def rooted(self, columns: Array) -> Array:
        """Return the rows of ``columns`` (n, p) times the roots of the relative weights."""
        if self.are_equal:
            return columns
        return np.asarray(columns * np.sqrt(self.relative)[:, None])


@dataclass(frozen=True)
class InnerResponses:
    """R responses on the inner scale, ``values (n, R) = (y - X @ origin) / scale``.

    Attributes
    ----------
    values : (n, R)
    origin : (R, p)
        Coefficients on the user's scale that were taken off.
    scale : (R,)
    """

    values: Array
    origin: Array
    scale: Array

    def take(self, which: IntArray) -> InnerResponses:
        """Return the responses number ``which``."""
        return InnerResponses(self.values[:, which], self.origin[which], self.scale[which])


@dataclass(frozen=True)
class FixedBasis:
    """Affine maps of the fixed effects and the response.

    ``X_inner = (X - centre) @ matrix`` and ``y_inner = (y - X @ origin) / scale``, so that
    ``beta = scale * matrix @ beta_inner + origin``.

    Attributes
    ----------
    matrix : (p, p)
    intercept : (p,)
        Coefficients ``a`` with ``X @ a = 1``; zeros if 1 is not in the span.
    origin : (p,)
        Coefficients taken off the response.
    scale : float
        Of the response.
    log_det : float
        ``log |det matrix|``.
    root : (p, p) or None
        Cholesky factor of the weighted mean products of ``X_inner``, by the unit of the weights; None where it is
        singular.
    centre : (p,)
        What was taken off the columns although no column takes it up: parameters of the family stand for the intercept,
        and ``centre @ beta`` is added to them. Zeros where a column takes it up, by ``matrix``, or none is there.
    """

    matrix: Array
    intercept: Array
    origin: Array
    scale: float
    log_det: float
    root: Array | None
    centre: Array

    def columns(self, X: Array) -> Array:
        """Return the columns (…, p) of the inner scale."""
        return np.asarray((X - self.centre if self.centre.any() else X) @ self.matrix)

    def beta(self, inner: Array) -> Array:
        """Return the coefficients (…, p) on the user's scale."""
        return np.asarray(self.scale * (inner @ self.matrix.T) + self.origin)

    def beta_inner(self, beta: Array) -> Array:
        """Return the coefficients (…, p) on the inner scale."""
        return np.asarray(np.linalg.solve(self.matrix, (beta - self.origin)[..., None])[..., 0] / self.scale)

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

    def jacobian_to_user(self, theta: Array) -> Array:
        """Return the derivatives (k, k) of :meth:`to_user` at an inner ``theta`` (k,) in canonical form.

        They are nan where ``theta`` is not canonical, or its covariance is singular. Scaling is linear. Otherwise the
        user's parameters are the lower triangle of ``matrix @ T(theta)``, made lower triangular again by a rotation.
        """
        covariance = self.covariance
        if not np.allclose(covariance.canonical(theta), theta):
            return np.full((theta.size, theta.size), np.nan)
        if self.diagonal is not None:
            shifts = theta + np.eye(theta.size)
            moved = np.array([covariance.rescale(shift, self.diagonal) for shift in shifts]).reshape(shifts.shape).T
            return np.asarray(moved - self.to_user(theta)[:, None])
        T = covariance.factor(self.to_user(theta))
        if np.abs(T.diagonal()).min() <= SINGULAR * np.abs(T).max():
            return np.full((theta.size, theta.size), np.nan)
        slopes = self.matrix @ covariance.covariance_derivative(theta) @ self.matrix.T
        inverse = np.linalg.inv(T)
        middle = np.tril(inverse @ slopes @ inverse.T)
        middle[:, np.arange(len(T)), np.arange(len(T))] *= 0.5
        columns, rows = np.triu_indices(len(T))
        return np.asarray((T @ middle)[:, rows, columns].T)

    def gradient_to_user(self, theta: Array, inner: Array) -> Array:
        """Return the derivative (n_theta,) in ``theta`` on the user's scale of a function of the covariance.

        ``inner`` (q, q) is its derivative ``N`` in the inner covariance. With ``Sigma = R Sigma_inner R'`` that in
        ``Sigma`` is ``R^-T N R^-1``, also where the map of the parameters is singular.
        """
        inverse = np.linalg.inv(self.matrix)
        d = self.covariance.covariance_derivative(theta)
        return np.asarray(d.reshape(len(d), -1) @ (inverse.T @ inner @ inverse).ravel())

    def _mapped(self, theta: Array, matrix: Array, diagonal: Array | None) -> Array:
        canonical = self.covariance.canonical(theta)
        if diagonal is not None:
            return self.covariance.rescale(canonical, diagonal)
        return self.covariance.parameters(matrix @ self.covariance.factor(canonical))


def fixed_basis(
    X: Array, y: Array, weights: RowWeights | None = None, *, scale_response: bool = True, has_levels: bool = False
) -> tuple[FixedBasis, Array, Array]:
    """Centre and scale the fixed-effects columns and the response.

    Parameters
    ----------
    X : (n, p)
        Full column rank.
    y : (n,)
        Response less its offset.
    weights : RowWeights, optional
        Equal ones if omitted.
    scale_response : bool
        Whether the response may be shifted and scaled (a Gaussian model whose sigma is free).
    has_levels : bool
        Whether parameters of the family stand for the intercept, as thresholds do: no combination of columns is 1.

    Returns
    -------
    basis : FixedBasis
    X_inner, y_inner : (n, p), (n,)
    """
    p = X.shape[1]
    weights = RowWeights.of(None, len(X)) if weights is None else weights
    intercept = np.zeros(p) if has_levels else _intercept(X)
    centred = intercept == 0 if has_levels or intercept.any() else np.zeros(p, dtype=bool)
    centre = np.where(centred, weights.mean(X), 0.0) if p else np.zeros(0)
    inner = X - centre if centred.any() else X.copy(order="F")
    spread = np.sqrt(weights.mean_squares(inner)) if p else np.zeros(0)
    spread = np.where(spread > 0, spread, 1.0)
    inner /= spread
    matrix = (np.eye(p) - np.outer(intercept, centre)) / spread
    log_det = -float(np.log(spread).sum())
    rotation, root = _orthogonalizer(weights.rooted(inner), weights.count)
    if rotation is not None:
        inner, matrix = inner @ rotation, matrix @ rotation
        log_det += float(np.log(np.abs(rotation.diagonal())).sum())
    if weights.unit != 1.0:
        inner, matrix = inner / weights.root, matrix / weights.root
        log_det -= p * float(np.log(weights.root))
    taken_off = centre if has_levels else np.zeros(p)
    basis = FixedBasis(matrix, intercept, np.zeros(p), 1.0, log_det, root, taken_off)
    if not (scale_response and y.size):
        return basis, inner, y
    responses = inner_responses(basis, inner, y[:, None], weights)
    basis = replace(basis, origin=responses.origin[0], scale=float(responses.scale[0]))
    return basis, inner, responses.values[:, 0]


def inner_responses(basis: FixedBasis, inner: Array, Y: Array, weights: RowWeights) -> InnerResponses:
    """Shift and scale the responses ``Y`` (n, R), each by numbers of its own; ``inner`` is ``X @ basis.matrix``.

    A data value is subtracted, which is exact. Where the fixed effects explain nearly everything, their least-squares
    fit is taken off as well: cross-products would lose what is left.
    """
    shift = np.zeros(Y.shape[1])
    if basis.intercept.any():
        shift = Y[np.abs(Y - weights.mean(Y)).argmin(axis=0), np.arange(Y.shape[1])]
    values = Y - shift
    origin = shift[:, None] * basis.intercept
    size = np.sqrt(weights.mean_squares(values))
    near = np.flatnonzero(_unexplained(basis, inner, values, weights) < EXPLAINED * size**2)
    if near.size:
        coefficients, left = _less_fit(basis, inner, values[:, near], weights)
        values[:, near] = left
        origin[near] += (basis.matrix @ coefficients).T
        size[near] = np.sqrt(weights.mean_squares(left))
    size = np.where(size > 0, size, 1.0)
    return InnerResponses(values / (size * weights.root), origin, size * weights.root)


def _unexplained(basis: FixedBasis, inner: Array, values: Array, weights: RowWeights) -> Array:
    """Mean squares (R,) that the fixed effects leave of ``values``, by cross-products: right where it is not tiny."""
    total = weights.mean_squares(values)
    if basis.root is None or basis.root.size == 0:
        return total
    side = _products(inner, values, weights)
    solved, _ = lapack.dtrtrs(basis.root, side, lower=1)
    return np.asarray(total - np.square(solved).sum(axis=0))


def _less_fit(basis: FixedBasis, inner: Array, values: Array, weights: RowWeights) -> tuple[Array, Array]:
    """Least-squares coefficients (p, R) of ``values`` (n, R) on ``inner``, and what they leave (n, R)."""
    assert basis.root is not None
    coefficients, left = np.zeros((inner.shape[1], values.shape[1])), values
    for _ in range(SWEEPS):
        coefficients = coefficients + cho_solve((basis.root, True), _products(inner, left, weights)) * weights.root
        left = values - inner @ coefficients
    return coefficients, left


def _products(inner: Array, values: Array, weights: RowWeights) -> Array:
    """Weighted mean products (p, R), by the unit of the weights."""
    weighted = values if weights.are_equal else values * weights.relative[:, None]
    return np.asarray(inner.T @ weighted * (weights.root / weights.count))


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
    coefficients, *_ = np.linalg.lstsq(scaled.T @ scaled, scaled.sum(axis=0), rcond=None)
    residual = 1.0 - scaled @ coefficients
    if residual @ residual > SPAN_TOLERANCE * len(X):
        return unit
    out = coefficients / scale
    out[np.abs(out) < SPAN_TOLERANCE * np.abs(out).max()] = 0.0
    return np.asarray(out)


def _orthogonalizer(inner: Array, n: int) -> tuple[Array | None, Array | None]:
    """Upper-triangular map to columns of correlation zero, and the Cholesky factor of the columns' mean products then.

    No map where the columns are far from collinear, neither where they are dependent. ``n`` divides the means.
    """
    p = inner.shape[1]
    if len(inner) < p or p == 0:
        return None, None if p else np.zeros((0, 0))
    upper = _gram_root(inner, n)
    if upper is not None:
        return None, np.asarray(upper.T)
    upper = np.asarray(np.linalg.qr(inner, mode="r"))
    if np.abs(upper.diagonal()).min() == 0:
        return None, None
    return np.asarray(np.linalg.inv(upper) * np.sqrt(n)), np.eye(p)


def _gram_root(columns: Array, n: int) -> Array | None:
    """Upper Cholesky factor of the columns' mean products, or None where they are too collinear to trust it."""
    upper, info = lapack.dpotrf(columns.T @ columns / n, clean=1)
    return None if info or not float(upper.diagonal().min()) ** 2 > COLLINEAR else upper


def term_basis(z: Array, covariance: Covariance, weights: RowWeights | None = None) -> tuple[TermBasis, Array]:
    """Re-base the columns of one random-effects term as far as its covariance is closed under the map.

    Parameters
    ----------
    z : (n, q)
    covariance : Covariance
    weights : RowWeights, optional
        Equal ones if omitted.

    Returns
    -------
    basis : TermBasis
    z_inner : (q, n)
    """
    rows = np.ascontiguousarray(z.T)
    weights = RowWeights.of(None, rows.shape[1]) if weights is None else weights
    if not covariance.closed_under_affine() or covariance.size == 1:
        size = np.sqrt(weights.mean_squares(rows.T))
        if not covariance.closed_under_scaling():
            size = np.full(covariance.size, np.sqrt(np.mean(size**2)))
        size = np.where(size > 0, size, 1.0) * weights.root
        basis = TermBasis(covariance, np.diag(1.0 / size), 1.0 / size)
        return basis, rows / size[:, None] if np.any(size != 1.0) else rows
    matrix = _orthonormal_map(rows, weights) / weights.root
    return TermBasis(covariance, matrix, None), np.asarray(matrix.T @ rows)


def _orthonormal_map(rows: Array, weights: RowWeights) -> Array:
    """Upper-triangular ``R`` (q, q) such that the columns ``z R`` are uncorrelated with mean square 1, if possible."""
    q = rows.shape[0]
    constant = next((j for j in range(q) if rows[j, 0] != 0 and (rows[j] == rows[j, 0]).all()), None)
    shift = np.eye(q)
    centred = rows
    if constant is not None:
        others = np.arange(q) != constant
        shift[constant, others] = -weights.mean(rows[others].T) / rows[constant, 0]
        centred = rows + (shift - np.eye(q)).T @ rows
    size = np.sqrt(weights.mean_squares(centred.T))
    size = np.where(size > 0, size, 1.0)
    matrix = shift / size
    scaled = weights.rooted((centred / size[:, None]).T)
    upper = _gram_root(scaled, weights.count)
    if upper is None:
        upper = np.asarray(np.linalg.qr(scaled, mode="r") / np.sqrt(weights.count))
    if upper.shape[0] < q or np.abs(upper.diagonal()).min() < DEPENDENT:
        return matrix
    return np.asarray(matrix @ np.linalg.inv(upper))
