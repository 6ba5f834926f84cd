"""The conditional mode where the equations are solved by iteration: Newton's method with steps that are solved roughly.

A step is the *change* of the effects, so that an error of its solution is small beside the step and the next one mends
it: the mode is reached at the rate of the tolerance of the solves instead of at Newton's, and for less. ``b = Sigma t``
holds at every point.

References
----------
Dembo, Eisenstat & Steihaug (1982), SIAM J. Numer. Anal. 19, 400.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.newton import TOLERANCE, Iterate, Mode, Quadratic, positive_weight, search
from mixedfx.linalg.factor import BlockFactor
from mixedfx.linalg.rowwise import RowMap
from mixedfx.linalg.small import left_multiply

__all__ = ["find_mode_roughly"]


def find_mode_roughly(
    space: RowMap,
    quadratic: Quadratic,
    fixed: Array,
    factors: Sequence[Array],
    factorized: Callable[[Array], BlockFactor],
    start: Array | None = None,
    tolerance: float = TOLERANCE,
) -> Mode:
    """Maximise ``sum log f(y | fixed + Z b) - t'b / 2`` over the random effects.

    Parameters
    ----------
    space, quadratic, fixed, factors, tolerance
        As for :func:`~mixedfx.criterion.mode.find_mode`.
    factorized : callable
        The equations at weights (n,).
    start : (q,), optional
        ``t`` to start from; zero if omitted.
    """

    def at(t: Array) -> Mode:
        b = _times_covariance(space, factors, t)
        return Mode(b, t, fixed + space.spread(b), converged=False)

    def newton(state: Iterate) -> Mode:
        side = space.collect(state.gradient[:, None]) - state.mode.t[:, None]
        return at(state.mode.t + _change(space, factorized, state.weight, side)[:, 0])

    if start is not None and start.any():
        mode = search(newton, quadratic, at(start), tolerance)
        if mode.converged:
            return mode
    zero = np.zeros(space.n_effects)
    return search(newton, quadratic, Mode(zero, zero, fixed, converged=False), tolerance)


def _change(space: RowMap, factorized: Callable[[Array], BlockFactor], weight: Array, side: Array) -> Array:
    """Solve with the observed weights, or with positive ones where those are not positive definite."""
    try:
        return space.solve(factorized(weight), side)[1]
    except FloatingPointError:
        positive = positive_weight(weight)
        return space.solve(factorized(positive), side)[1]


def _times_covariance(space: RowMap, factors: Sequence[Array], t: Array) -> Array:
    """``Sigma t`` (q,)."""
    parts = zip(space.split(t), factors, strict=True)
    return np.concatenate([left_multiply(factor @ factor.T, part).ravel() for part, factor in parts])
