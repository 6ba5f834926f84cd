"""Newton's method for the conditional mode: halved steps, warm starts, and when to give up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import numpy as np

from mixedfx._typing import Array

__all__ = ["TOLERANCE", "Iterate", "Mode", "Quadratic", "ascend", "positive_weight", "search"]

MAX_STEPS = 50
STUCK = 6  # so many steps in a row that are cut below a thousandth mean that there is no mode to be reached
SHORT = 1e-3
TOLERANCE = 1e-12  # of the Newton decrement before the last step, which squares the error
SMALLEST_FRACTION = 1e-8  # give up halving below
RISE = 1e-12  # relative rounding of the penalised log-likelihood
CLIPPED_WEIGHT = 1e-2  # smallest weight, relative to the mean absolute one, where the observed ones are not positive


def positive_weight(weight: Array, mean: Array | float | None = None) -> Array:
    """Return weights (n, …) for a step where the observed ones are not positive definite: their sizes.

    Where a log-density bends upwards, as in heavy tails, its curvature still says how far a step may go. None is less
    than a share of the ``mean`` size, which is that of these rows unless it is given.
    """
    size = np.abs(weight)
    return np.maximum(size, CLIPPED_WEIGHT * (size.mean(axis=0) if mean is None else mean))


Quadratic = Callable[[Array], tuple[Array, Array, Array]]


@dataclass(frozen=True)
class Mode:
    """A point of the search for the mode, or the mode itself.

    Attributes
    ----------
    b, t : (q,)
        Random effects and ``Sigma^-1 b``.
    eta : (n,)
        Linear predictor.
    beta : (p,)
        Fixed effects, where they are sought too; else empty.
    converged : bool
    steps : int
        Newton steps taken.
    """

    b: Array
    t: Array
    eta: Array
    beta: Array = field(default_factory=lambda: np.zeros(0))
    converged: bool = True
    steps: int = 0


@dataclass(frozen=True)
class Iterate:
    """A point with the penalised log-likelihood there, its rows' derivative and minus the second one (n,)."""

    mode: Mode
    value: float
    gradient: Array
    weight: Array


class Place(Protocol):
    """A point of a search."""

    @property
    def mode(self) -> Mode:
        """Where it is."""

    @property
    def value(self) -> float:
        """The penalised log-likelihood there."""


S = TypeVar("S", bound=Place)


def search(newton: Callable[[Iterate], Mode], quadratic: Quadratic, start: Mode, tolerance: float) -> Mode:
    """Newton steps from ``start``. The first is taken in full: a given ``t`` and ``b`` need not match."""
    return ascend(newton, lambda mode: _evaluate(mode, quadratic), _decrement, start, tolerance)


def ascend(
    newton: Callable[[S], Mode],
    evaluate: Callable[[Mode], S],
    decrement_of: Callable[[S, Mode], float],
    start: Mode,
    tolerance: float,
) -> Mode:
    """Newton steps from ``start``, whatever is kept of a point.

    Parameters
    ----------
    newton : callable
        From a point to where the full step leads.
    evaluate : callable
        From a mode to the point there.
    decrement_of : callable
        Squared length of a step.
    start : Mode
    tolerance : float
        Decrement before the last step.
    """
    state = evaluate(start)
    consistent, short = not start.b.any(), 0
    for step in range(1, MAX_STEPS + 1):
        if not np.isfinite(state.value):
            break
        try:
            full = newton(state)
        except FloatingPointError:
            break
        if decrement_of(state, full) <= tolerance:
            return replace(full, converged=True, steps=step)
        fraction, trial = _line_search(state, full, evaluate) if consistent else (1.0, evaluate(full))
        short = short + 1 if fraction < SHORT else 0
        if trial is None or short == STUCK:
            break
        state, consistent = trial, True
    return state.mode


def _evaluate(mode: Mode, quadratic: Quadratic) -> Iterate:
    with np.errstate(over="ignore", invalid="ignore"):  # a wild step is judged by its value and taken back
        value, gradient, weight = quadratic(mode.eta)
        return Iterate(mode, float(value.sum() - 0.5 * (mode.t @ mode.b)), gradient, weight)


def _decrement(state: Iterate, full: Mode) -> float:
    """Squared length of the step in the metric of the observed information."""
    squares = full.eta - state.mode.eta
    squares *= squares
    likelihood = float(np.abs(state.weight) @ squares)
    return likelihood + abs(float((full.t - state.mode.t) @ (full.b - state.mode.b)))


def _line_search(state: S, full: Mode, evaluate: Callable[[Mode], S]) -> tuple[float, S | None]:
    """Halve the step until the penalised log-likelihood does not fall: the fraction taken and the point reached."""
    fraction, start = 1.0, state.mode
    floor = state.value - RISE * max(1.0, abs(state.value))
    while fraction > SMALLEST_FRACTION:
        trial = full if fraction == 1.0 else _between(start, full, fraction)
        step = evaluate(trial)
        if step.value >= floor:
            return fraction, step
        fraction *= 0.5
    return fraction, None


def _between(start: Mode, full: Mode, fraction: float) -> Mode:
    b = start.b + fraction * (full.b - start.b)
    t = start.t + fraction * (full.t - start.t)
    beta = start.beta + fraction * (full.beta - start.beta)
    return Mode(b, t, start.eta + fraction * (full.eta - start.eta), beta, converged=False)
