"""Small helpers for symmetric matrices that may be singular."""

from __future__ import annotations

import numpy as np

from mixedfx._typing import Array

__all__ = ["inverse_on_range"]

SMALLEST = 1e-280  # a diagonal entry below is zero: its inverse would be beyond all numbers
RANK_TOLERANCE = 1e-8  # eigenvalues below this, relative to the largest of the scaled matrix, count as zero


def inverse_on_range(matrix: Array) -> Array:
    """Return the inverse (k, k) of a symmetric matrix on the span of its positive eigenvectors, zero elsewhere.

    The matrix is scaled to a unit diagonal first, so that the rank does not depend on the units of the parameters.
    """
    if matrix.size == 0:
        return matrix.copy()
    diagonal = np.abs(matrix.diagonal())
    scale = np.sqrt(np.where(diagonal > SMALLEST, diagonal, 1.0))
    values, vectors = np.linalg.eigh((matrix / scale) / scale[:, None])
    kept = values > RANK_TOLERANCE * max(float(values[-1]), 0.0)
    half = vectors[:, kept] / np.sqrt(values[kept])
    return np.asarray(((half @ half.T) / scale) / scale[:, None])
