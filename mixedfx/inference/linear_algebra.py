"""Small helpers for symmetric matrices that may be singular."""

from __future__ import annotations

import numpy as np

from mixedfx._typing import Array
from mixedfx.optimize import equilibrium

__all__ = ["inverse_on_range"]

RANK_TOLERANCE = 1e-8  # eigenvalues below this, relative to the largest of the scaled matrix, count as zero


def inverse_on_range(matrix: Array) -> Array:
    """Return the inverse (k, k) of a symmetric matrix on the span of its positive eigenvectors, zero elsewhere.

    The matrix is scaled first (to a unit diagonal, if possible), so that the rank does not depend on the units of the
    parameters.
    """
    if matrix.size == 0:
        return matrix.copy()
    scale = equilibrium(matrix)
    values, vectors = np.linalg.eigh((matrix / scale) / scale[:, None])
    kept = values > RANK_TOLERANCE * max(float(values[-1]), 0.0)
    half = vectors[:, kept] / np.sqrt(values[kept])
    return np.asarray(((half @ half.T) / scale) / scale[:, None])
