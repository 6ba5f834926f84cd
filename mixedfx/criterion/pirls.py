"""The conditional mode of the random effects by penalised iteratively re-weighted least squares: Newton's method.

The mode solves ``t = Z' g(eta)``, ``b = Sigma t``, ``eta = fixed + Z b`` with g the derivative of the log-likelihood.
Carrying ``t`` beside ``b`` makes the penalty ``u'u = t'b`` and its gradient available for a singular ``Sigma`` too.

References
----------
Breslow & Clayton (1993), JASA 88, 9; Bates, Maechler, Bolker & Walker (2015), J. Stat. Softw. 67(1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mixedfx._typing import Array
from mixedfx.linalg.factor import BlockFactor, factorize
from mixedfx.linalg.gram import cross_products
from mixedfx.linalg.rowwise import RowMap

__all__ = ["TOLERANCE", "Mode", "find_joint_mode", "find_mode"]

MAX_STEPS = 50
STUCK = 6  # so many steps in a row that are cut below a thousandth mean that there is no mode to be reached
SHORT = 1e-3
TOLERANCE = 1e-12  # of the Newton decrement before the last step, which squares the error
SMALLEST_FRACTION = 1e-8  # give up halving below
RISE = 1e-12  # relative rounding of the penalised log-likelihood
CLIPPED_WEIGHT = 1e-2  # smallest weight, relative to the mean absolute one, where the observed ones are not positive

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
class _Step:
    mode: Mode
    value: float
    gradient: Array
    weight: Array


def find_mode(
    space: RowMap,
    quadratic: Quadratic,
    fixed: Array,
    factors: Sequence[Array],
    start: tuple[Array, Array] | None = None,
    tolerance: float = TOLERANCE,
) -> Mode:
    """Maximise ``sum log f(y | fixed + Z b) - t'b / 2`` over the random effects.

    Parameters
    ----------
    space : RowMap
    quadratic : callable
        From eta (n,) to the log-likelihood of the rows, its derivative, and minus the second derivative.
    fixed : (n,)
        Linear predictor without the random effects.
    factors : sequence of (Q, Q)
        ``T`` of every grouping factor.
    start : ((q,), (q,)), optional
        Effects ``b`` and ``t`` to start from; zero if omitted.
    tolerance : float
        Newton decrement before the last step; the log-likelihood at the mode is then wrong by about as much.
    """

    def newton(state: _Step) -> Mode:
        factor, weight = _factor(space, state.weight, factors)
        working = state.gradient + weight * (state.mode.eta - fixed)
        b, t = space.solve(factor, space.collect(working[:, None]))
        return Mode(b[:, 0], t[:, 0], fixed + space.spread(b[:, 0]), converged=False)

    if start is not None and start[0].any():
        b, t = start
        mode = _search(newton, quadratic, Mode(b, t, fixed + space.spread(b), converged=False), tolerance)
        if mode.converged:
            return mode
    zero = np.zeros(space.n_effects)
    return _search(newton, quadratic, Mode(zero, zero, fixed, converged=False), tolerance)


def find_joint_mode(
    space: RowMap,
    quadratic: Quadratic,
    X: Array,
    offset: Array,
    factors: Sequence[Array],
    start: tuple[Array, Array],
) -> Mode:
    """Maximise the same function over the fixed effects too.

    Parameters
    ----------
    space, quadratic, factors
        As for :func:`find_mode`.
    X : (n, p)
    offset : (n,)
    start : ((p,), (q,))
        Fixed and random effects to start from.
    """

    def newton(state: _Step) -> Mode:
        factor, weight = _factor(space, state.weight, factors)
        working = state.gradient + weight * (state.mode.eta - offset)
        weighted = X * weight[:, None]
        sides = space.collect(np.column_stack([weighted, working]))
        inside, outside = space.solve(factor, sides)
        information = X.T @ weighted - sides[:, :-1].T @ inside[:, :-1]
        beta = _solved(information, X.T @ working - sides[:, :-1].T @ inside[:, -1])
        contrast = np.append(-beta, 1.0)
        b, t = inside @ contrast, outside @ contrast
        return Mode(b, t, offset + X @ beta + space.spread(b), np.asarray(beta), converged=False)

    beta, b = start
    eta = offset + X @ beta + space.spread(b)
    return _search(newton, quadratic, Mode(b, np.zeros_like(b), eta, beta, converged=False), TOLERANCE)


def _search(newton: Callable[[_Step], Mode], quadratic: Quadratic, start: Mode, tolerance: float) -> Mode:
    """Newton steps from ``start``. The first one is taken whole: ``t`` and ``b`` from elsewhere need not belong."""
    state = _evaluate(start, quadratic)
    consistent, short = not start.b.any(), 0
    for step in range(1, MAX_STEPS + 1):
        if not np.isfinite(state.value):
            break
        try:
            full = newton(state)
        except FloatingPointError:
            break
        decrement = _decrement(state, full)
        if decrement <= tolerance:
            return replace(full, converged=True, steps=step)
        fraction, found = _line_search(state, full, quadratic) if consistent else (1.0, _evaluate(full, quadratic))
        short = short + 1 if fraction < SHORT else 0
        if found is None or short == STUCK:
            break
        state, consistent = found, True
    return state.mode


def _evaluate(mode: Mode, quadratic: Quadratic) -> _Step:
    with np.errstate(over="ignore", invalid="ignore"):  # a wild step is judged by its value and taken back
        value, gradient, weight = quadratic(mode.eta)
        return _Step(mode, float(value.sum() - 0.5 * (mode.t @ mode.b)), gradient, weight)


def _factor(space: RowMap, weight: Array, factors: Sequence[Array]) -> tuple[BlockFactor, Array]:
    """Factorise with the observed weights, or with clipped ones where those are not positive definite."""
    try:
        return factorize(cross_products(space.rows, weight), factors), weight
    except FloatingPointError:
        clipped = np.maximum(weight, CLIPPED_WEIGHT * float(np.abs(weight).mean()))
        return factorize(cross_products(space.rows, clipped), factors), clipped


def _solved(information: Array, side: Array) -> Array:
    try:
        return np.asarray(np.linalg.solve(information, side), dtype=float)
    except np.linalg.LinAlgError as error:
        raise FloatingPointError("the information of the fixed effects is singular") from error


def _decrement(state: _Step, full: Mode) -> float:
    """Squared length of the step in the metric of the observed information."""
    change = full.eta - state.mode.eta
    likelihood = float(np.abs(state.weight) @ (change * change))
    return likelihood + abs(float((full.t - state.mode.t) @ (full.b - state.mode.b)))


def _line_search(state: _Step, full: Mode, quadratic: Quadratic) -> tuple[float, _Step | None]:
    """Halve the step until the penalised log-likelihood does not fall: the fraction taken and the point reached."""
    fraction, start = 1.0, state.mode
    floor = state.value - RISE * max(1.0, abs(state.value))
    while fraction > SMALLEST_FRACTION:
        trial = full if fraction == 1.0 else _between(start, full, fraction)
        found = _evaluate(trial, quadratic)
        if found.value >= floor:
            return fraction, found
        fraction *= 0.5
    return fraction, None


def _between(start: Mode, full: Mode, fraction: float) -> Mode:
    b = start.b + fraction * (full.b - start.b)
    t = start.t + fraction * (full.t - start.t)
    beta = start.beta + fraction * (full.beta - start.beta)
    return Mode(b, t, start.eta + fraction * (full.eta - start.eta), beta, converged=False)
