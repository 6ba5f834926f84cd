"""``tr(V^-1 V_i V^-1 V_j)`` for directions ``V_i = Z D_i Z'``, in the space of the random effects."""

from __future__ import annotations

import numpy as np

from mixedfx._typing import Array
from mixedfx.covariance.unstructured import UnstructuredCovariance
from mixedfx.criterion.linear import DENSE_EFFECTS, LinearEvaluation
from mixedfx.inference.variance_directions import VarianceDirections
from mixedfx.linalg.factor import factorize

__all__ = ["apply_information", "information_traces"]

STEP = 1e-3  # of a one-sided difference, relative to the largest covariance that would not change the information
WIDE = 4_000_000  # at most so many numbers at a time


def apply_information(at: LinearEvaluation, factor: int, t: Array) -> list[Array]:
    """Return ``Z' V^-1 Z_f t`` by factor, (Q_g, m_g, c), for ``t`` (Q_f, m_f, c) on the levels of one factor."""
    layout = at.criterion.gram.layout
    if layout.n_factors == 1 and layout.n_chain == 1:
        return [np.einsum("abm,bmc->amc", at.information[0], t)]
    return at.by_factor(at.factor.solve(*at.criterion.gram.times(factor, t))[1])


def information_traces(at: LinearEvaluation, directions: VarianceDirections) -> Array:
    """Return ``tr(V^-1 V_i V^-1 V_j)`` (k, k).

    Notes
    -----
    Exact for one grouping factor and up to ``DENSE_EFFECTS`` random effects. Beyond that, third-order differences of
    the exact diagonal blocks of ``Z' V^-1 Z``, whose derivative in direction j is ``- [Z' V^-1 V_j V^-1 Z]``.
    """
    layout = at.criterion.gram.layout
    n_effects = sum(m * size for m, size in zip(layout.levels, layout.sizes, strict=True))
    if layout.n_factors == 1 and layout.n_chain == 1:
        return _traces_of_blocks(at, directions)
    if n_effects <= DENSE_EFFECTS:
        return _traces_by_columns(at, directions)
    return _traces_by_differences(at, directions)


def _traces_of_blocks(at: LinearEvaluation, directions: VarianceDirections) -> Array:
    e = at.information[0]
    size, _, m = e.shape
    flat = e.reshape(size * size, m)
    pairs = (flat @ flat.T).reshape(size, size, size, size)
    d = np.stack(directions.matrices)
    return np.asarray(np.einsum("abcd,ibc,jda->ij", pairs, d, d, optimize=True))


def _traces_by_columns(at: LinearEvaluation, directions: VarianceDirections) -> Array:
    """From ``Z' V^-1 Z``, some columns at a time."""
    layout = at.criterion.gram.layout
    trace = np.zeros((directions.size, directions.size))
    n_effects = sum(m * size for m, size in zip(layout.levels, layout.sizes, strict=True))
    for g, (columns, right) in directions.by_factor.items():
        size, m = layout.sizes[g], layout.levels[g]
        chunk = max(1, WIDE // (n_effects * size))
        for start in range(0, m, chunk):
            levels = np.arange(start, min(start + chunk, m))
            t = np.zeros((size, m, size, levels.size))
            t[np.arange(size)[:, None], levels, np.arange(size)[:, None], np.arange(levels.size)] = 1.0
            moved = apply_information(at, g, t.reshape(size, m, -1))
            for f, (rows, left) in directions.by_factor.items():
                block = moved[f].reshape(layout.sizes[f], layout.levels[f], size, levels.size)
                flat = block.transpose(0, 2, 1, 3).reshape(layout.sizes[f] * size, -1)
                pairs = (flat @ flat.T).reshape(layout.sizes[f], size, layout.sizes[f], size)
                trace[np.ix_(rows, columns)] += np.einsum("abcd,iac,jdb->ij", pairs, left, right, optimize=True)
    return trace


def _traces_by_differences(at: LinearEvaluation, directions: VarianceDirections) -> Array:
    trace = np.zeros((directions.size, directions.size))
    for j in range(directions.size):
        slopes = _information_slope(at, int(directions.factor[j]), directions.matrices[j])
        for g, (own, matrices) in directions.by_factor.items():
            trace[own, j] = -np.tensordot(matrices, slopes[g], axes=2)
    return 0.5 * (trace + trace.T)


def _information_slope(at: LinearEvaluation, f: int, direction: Array) -> list[Array]:
    """Derivative of the sums over levels of ``[Z' V^-1 Z]_ll``, (Q_g, Q_g) by factor, along a direction of factor f.

    One-sided, as a variance may be zero: the positive and the negative part of the direction are added in turn.
    """
    here = _block_sums(at.information)
    values, vectors = np.linalg.eigh(direction)
    out = [np.zeros_like(part) for part in here]
    for kept, sign in ((values > 0, 1.0), (values < 0, -1.0)):
        if not kept.any():
            continue
        root = vectors[:, kept] * np.sqrt(np.abs(values[kept]))
        largest = float(np.max(np.einsum("ai,abm,bi->m", root, at.information[f], root)))
        step = STEP / largest if largest > 0 else STEP
        one, two, three = (_block_sums(_moved(at, f, np.sqrt(i * step) * root)) for i in (1, 2, 3))
        for slope, a, b, c, d in zip(out, here, one, two, three, strict=True):
            slope += sign * (18.0 * b - 9.0 * c + 2.0 * d - 11.0 * a) / (6.0 * step)
    return out


def _block_sums(blocks: tuple[Array, ...]) -> list[Array]:
    return [block.sum(axis=2) for block in blocks]


def _moved(at: LinearEvaluation, f: int, root: Array) -> tuple[Array, ...]:
    """Diagonal blocks of ``Z' V^-1 Z`` with ``root root'`` added to the covariance of factor f."""
    factors = list(at.factor.factors)
    covariance = UnstructuredCovariance(len(root))
    factors[f] = covariance.factor(covariance.parameters(np.hstack([factors[f], root])))
    return factorize(at.criterion.gram, factors).information()
