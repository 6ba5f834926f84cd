"""Minimisation by gradients alone, where the value is dear or noisy and its derivatives are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from mixedfx._typing import Array
from mixedfx.optimize.newton import SECANT_REGION, Box, Optimum, Point, bounded_step, secant

__all__ = ["descend"]

OVERSHOT = 0.5  # uphill slope at the end of a step, relative to the slope down at its start, that is too much
SHORTEST = 1e-6  # steps that must be shorter than this fraction end the search


P = TypeVar("P", bound=Point)


def descend(
    function: Callable[[Array, P | None], P],
    start: Array,
    lower: Array,
    upper: Array,
    *,
    tol: float,
    max_iter: int,
    callback: Callable[[int, Array, P], None] | None = None,
    first: P | None = None,
) -> Optimum[P]:
    """Minimise between bounds by Newton steps, each as long as the function falls along it by its slope.

    Parameters
    ----------
    function : callable
        Gives the :class:`~mixedfx.optimize.Point` at ``x`` (k,), whose value is not asked for,
        with the last accepted one (or None) at hand. A trial step is rejected where it raises a
        ``FloatingPointError``.
    start, lower, upper : (k,)
    tol : float
        Stop when the Newton decrement ``g' H^-1 g / 2`` is below it.
    max_iter : int
        Accepted steps at the most.
    callback : callable, optional
        Called with (iteration, x, point) after every accepted step.
    first : point, optional
        A point nearby that is given to ``function`` at the start.
    """
    box = Box.of(lower, upper)
    x = box.clipped(start.copy())
    point = function(x, first)
    correction = np.zeros((x.size, x.size))
    path, evaluations = [x], 1
    for iteration in range(max_iter + 1):
        gradient = point.gradient
        step, decrement = bounded_step(x, gradient, point.curvature + correction, box)
        if decrement <= tol or iteration == max_iter:
            done = bool(decrement <= tol)
            return Optimum(x, point, decrement, iteration, evaluations, done, not done, tuple(path))
        trial, fraction = None, 1.0
        while trial is None and fraction > SHORTEST:
            there = box.clipped(x + fraction * step)
            evaluations += 1
            trial, fraction = _tried(function, point, x, there, fraction)
        if trial is None:
            return Optimum(x, point, decrement, iteration, evaluations, False, False, tuple(path))
        if decrement < SECANT_REGION:
            correction = secant(correction, there - x, trial.gradient - gradient, trial.curvature)
        x, point = there, trial
        path.append(x)
        if callback is not None:
            callback(iteration + 1, x, point)
    raise AssertionError("unreachable")


def _tried(
    function: Callable[[Array, P | None], P], point: P, x: Array, there: Array, fraction: float
) -> tuple[P | None, float]:
    """The point there, or None where the step went too far, and the fraction of the step to try next."""
    try:
        trial = function(there, point)
        gradient = trial.gradient
    except FloatingPointError:
        return None, 0.25 * fraction
    if not np.isfinite(gradient).all():
        return None, 0.25 * fraction
    before, after = float(point.gradient @ (there - x)), float(gradient @ (there - x))
    if after > OVERSHOT * abs(before):
        return None, fraction * float(np.clip(before / (before - after), 0.1, 0.5))
    return trial, fraction
