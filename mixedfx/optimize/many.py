"""Safeguarded Newton minimisation of many functions of one form at once. Knows no statistics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.optimize.newton import EIGENVALUE_FLOOR, LARGEST_MOVE, ROUNDING, SMALLEST_STEP, SUFFICIENT_DECREASE

__all__ = ["Derivatives", "Optima", "minimize_many"]

WITHIN_ROUNDING = 1e3  # a search that stalls at a decrement below so many rounding errors of the value has arrived


@dataclass(frozen=True)
class Derivatives:
    """Values (R,), gradients (R, k), exact Hessians (R, k, k) of R functions; ``extra`` (R, …) is kept along."""

    value: Array
    gradient: Array
    hessian: Array
    extra: tuple[Array, ...] = ()


@dataclass(frozen=True)
class Optima:
    """Where R minimisations ended: ``x`` (R, k), ``value``, ``decrement`` and ``converged`` (R,), ``extra`` there."""

    x: Array
    value: Array
    decrement: Array
    converged: BoolArray
    extra: tuple[Array, ...]


def minimize_many(
    function: Callable[[Array, IntArray], Derivatives], start: Array, *, tol: float = 1e-12, max_iter: int = 100
) -> Optima:
    """Minimise R smooth functions without bounds by Newton steps, each with its own backtracking.

    Parameters
    ----------
    function : callable
        ``function(x, which)`` evaluates the functions number ``which`` (r,) at the points ``x`` (r, k).
    start : (R, k)
    tol : float
        A search ends when its Newton decrement ``g' H^-1 g / 2`` is below it.
    max_iter : int
        Trial steps at the most.
    """
    x = start.copy()
    at = function(x, np.arange(len(x)))
    value, gradient, extra = at.value.copy(), at.gradient.copy(), tuple(part.copy() for part in at.extra)
    step, decrement = _newton_steps(gradient, at.hessian, x)
    fraction = np.ones(len(x))
    active = decrement > tol
    for _ in range(max_iter):
        rows = np.flatnonzero(active)
        if rows.size == 0:
            break
        move = fraction[rows, None] * step[rows]
        trial = x[rows] + move
        at = function(trial, rows)
        slope = np.sum(gradient[rows] * move, axis=1)
        rise = at.value - value[rows]
        fallen = rise <= SUFFICIENT_DECREASE * np.minimum(slope, 0.0) + ROUNDING * np.abs(value[rows])
        good, bad = rows[fallen], rows[~fallen]
        x[good], value[good], gradient[good] = trial[fallen], at.value[fallen], at.gradient[fallen]
        for kept, new in zip(extra, at.extra, strict=True):
            kept[good] = new[fallen]
        step[good], decrement[good] = _newton_steps(gradient[good], at.hessian[fallen], x[good])
        fraction[good] = 1.0
        fraction[bad] *= _shrinkage(rise[~fallen], slope[~fallen])
        active[rows] = (decrement[rows] > tol) & (fraction[rows] > SMALLEST_STEP)
    stalled = decrement <= ROUNDING * WITHIN_ROUNDING * np.maximum(1.0, np.abs(value))
    return Optima(x, value, decrement, (decrement <= tol) | (~active & stalled), extra)


def _newton_steps(gradient: Array, hessian: Array, x: Array) -> tuple[Array, Array]:
    """Return ``-H^-1 g`` (R, k) with negative or tiny curvature mended and long steps cut, and the decrements (R,)."""
    if gradient.size == 0:
        return np.zeros_like(gradient), np.zeros(len(gradient))
    diagonal = np.abs(np.einsum("rii->ri", hessian))
    scale = np.sqrt(np.where(diagonal > 0, diagonal, np.maximum(diagonal.max(axis=1, keepdims=True), 1.0)))
    values, vectors = np.linalg.eigh(hessian / (scale[:, :, None] * scale[:, None, :]))
    magnitude = np.abs(values)
    magnitude = np.maximum(magnitude, EIGENVALUE_FLOOR * magnitude.max(axis=1, keepdims=True))
    along = np.einsum("rij,ri->rj", vectors, gradient / scale)
    step = -np.einsum("rij,rj->ri", vectors, along / magnitude) / scale
    largest = np.max(np.abs(step) / (1.0 + np.abs(x)), axis=1, keepdims=True)
    step *= np.minimum(1.0, LARGEST_MOVE / np.maximum(largest, LARGEST_MOVE))
    return step, 0.5 * np.sum(along**2 / magnitude, axis=1)


def _shrinkage(rise: Array, slope: Array) -> Array:
    """Minimiser of the parabola through the two values and the slope, kept between 0.1 and 0.5; 0.25 if it has none."""
    known = np.isfinite(rise) & (rise - slope > 0)
    ratio = np.divide(-0.5 * slope, rise - slope, out=np.full(rise.shape, 0.25), where=known)
    return np.asarray(np.clip(ratio, 0.1, 0.5))
