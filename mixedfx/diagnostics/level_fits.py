"""Least squares with coefficients of their own for every level of a factor: no pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array, BoolArray, IntArray

__all__ = ["LevelFits", "LevelRows", "fit_levels", "least_squares"]

SPAN = 1e-8  # relative size of an eigenvalue, or of what is left of a column, that counts as none


@dataclass(frozen=True)
class LevelRows:
    """Rows with a level each, and the columns whose coefficients belong to the levels.

    Attributes
    ----------
    codes : (n,) array
    n_levels : int
    Z : (n, q) array
        Columns with coefficients by level.
    names : tuple of str
    weights : (n,) array
    """

    codes: IntArray
    n_levels: int
    Z: Array
    names: tuple[str, ...]
    weights: Array

    def sums(self, values: Array) -> Array:
        """Return the sum (m,) of values (n,) by level."""
        return np.asarray(np.bincount(self.codes, weights=values, minlength=self.n_levels), dtype=np.float64)

    def cross(self, columns: Array) -> Array:
        """Return ``Z' W columns`` (m, q, r) by level."""
        out = np.empty((self.n_levels, self.Z.shape[1], columns.shape[1]))
        for a, z in enumerate(self.Z.T):
            for b, column in enumerate(columns.T):
                out[:, a, b] = self.sums(self.weights * z * column)
        return out

    def fitted(self, coefficients: Array) -> Array:
        """Return ``Z c`` (n, r) of coefficients (m, q, r)."""
        return np.asarray(np.einsum("nq,nqr->nr", self.Z, coefficients[self.codes]))


@dataclass(frozen=True)
class LevelFits:
    """Least squares with a coefficient of every column of Z for every level, and common ones for the others.

    Attributes
    ----------
    coefficients, variances : (m, q) arrays
        nan where a level has too few rows.
    common : (p,) array
        Coefficients of the columns of X that the levels leave over; zero for the others.
    shares : (m, q, p) array
        How the columns of X that the levels take up are made of Z: a column that is constant within levels is part of
        the intercept.
    fitted_values : (n,) array
        ``Z c``, of levels with too few rows as well.
    """

    coefficients: Array
    variances: Array
    common: Array
    shares: Array
    fitted_values: Array


def fit_levels(rows: LevelRows, X: Array, names: Sequence[str], y: Array) -> LevelFits:
    """Fit ``y`` (n,) by Z level by level, and by those columns of X (n, p) that Z does not span in the levels."""
    gram = rows.cross(rows.Z)
    inverse = np.linalg.pinv(gram, rcond=SPAN, hermitian=True)
    values = np.linalg.eigvalsh(gram)
    projected = inverse @ rows.cross(np.column_stack([X, y]))
    left = np.column_stack([X, y]) - rows.fitted(projected)
    root = np.sqrt(rows.weights)[:, None]
    norms = [np.linalg.norm(root * part, axis=0) for part in (left[:, :-1], X)]
    varying = (norms[0] > SPAN * norms[1]) & ~np.isin(names, rows.names)
    common, unscaled, rank = _common(root * left[:, :-1][:, varying], root[:, 0] * left[:, -1])
    slopes = projected[:, :, :-1][:, :, varying]
    coefficients = projected[:, :, -1] - slopes @ common
    rest = root[:, 0] * (left[:, -1] - left[:, :-1][:, varying] @ common)
    df = len(y) - int(np.sum(values > SPAN * values[:, -1:])) - rank
    scale = rest @ rest / df if df > 0 else np.nan
    variances = scale * (np.einsum("mqq->mq", inverse) + np.einsum("mqa,ab,mqb->mq", slopes, unscaled, slopes))
    fitted = rows.fitted(coefficients[:, :, None])[:, 0]
    short = ~(values[:, 0] > SPAN * values[:, -1])
    coefficients[short], variances[short] = np.nan, np.nan
    full = np.zeros(len(names))
    full[varying] = common
    return LevelFits(coefficients, variances, full, _shares(rows, X, names, projected[:, :, :-1], varying), fitted)


def _common(X: Array, y: Array) -> tuple[Array, Array, int]:
    """Coefficients, ``(X'X)^-`` and rank."""
    if not X.shape[1]:
        return np.zeros(0), np.zeros((0, 0)), 0
    beta, _, rank, _ = np.linalg.lstsq(X, y, rcond=None)
    return np.asarray(beta), np.asarray(np.linalg.pinv(X.T @ X, hermitian=True)), int(rank)


def _shares(rows: LevelRows, X: Array, names: Sequence[str], projected: Array, varying: BoolArray) -> Array:
    shares = np.where(varying, 0.0, projected)
    counts = rows.sums(np.ones(len(X)))
    for j, name in enumerate(names):
        if name in rows.names:
            shares[:, :, j] = np.array([own == name for own in rows.names], dtype=float)
            continue
        mean = rows.sums(X[:, j]) / counts
        if "Intercept" in rows.names and np.allclose(X[:, j], mean[rows.codes], rtol=SPAN, atol=0.0):
            shares[:, :, j] = 0.0
            shares[:, rows.names.index("Intercept"), j] = mean
    return shares


def least_squares(X: Array, y: Array, weights: Array) -> tuple[Array, Array]:
    """Return the coefficients (p,) and their covariance (p, p) of one regression for all rows."""
    root = np.sqrt(weights)
    Q, R = np.linalg.qr(root[:, None] * X)
    beta = np.linalg.solve(R, Q.T @ (root * y))
    left = root * (y - X @ beta)
    inverse = np.linalg.inv(R)
    return beta, (left @ left / (len(y) - X.shape[1])) * inverse @ inverse.T
