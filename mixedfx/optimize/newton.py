"""Safeguarded Newton minimisation: of one function between bounds, or of many without bounds at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from scipy.linalg import lapack

from mixedfx._typing import Array, BoolArray, IntArray

__all__ = [
    "SECANT_REGION",
    "Box",
    "Derivatives",
    "Optima",
    "Optimum",
    "Point",
    "bounded_step",
    "eigen",
    "equilibrium",
    "minimize",
    "minimize_many",
    "secant",
]

EIGENVALUE_FLOOR = 1e-7  # of the scaled curvature, relative to its largest eigenvalue
SUFFICIENT_DECREASE = 1e-4  # Armijo's constant
SHORT_STEP, STUCK = 1e-3, 10  # so many steps in a row of a smaller fraction end the search
SMALLEST_STEP = 1e-10  # give up a line search below this fraction of the Newton step
UNCOMPUTABLE, FAR_SHORTER = 4, 0.01  # after so many trials in a row without a value a step becomes far shorter
LARGEST_MOVE = 4.0  # along no principal direction an unbounded parameter moves by more than this times (1 + its size)
LOPSIDED = 1e3  # a larger entry beside a unit diagonal asks for another scale …
EQUILIBRATIONS = 20  # … found in so many steps at the most
SMALLEST_SCALE = 1e-100  # relative to the largest
PATIENCE = 12  # steps with an approximate curvature, before a Hessian is worth its price
ROUNDING = 1e-13  # relative rounding error of a function value
SECANT_REGION = 0.05  # the secant correction learns only from steps that began with a smaller decrement
SECANT_SAFEGUARD = 1e-8  # smallest cosine for which a secant correction is trusted
WITHIN_ROUNDING = 1e3  # a search that stalls at a decrement below so many rounding errors of the value has arrived


class Point(Protocol):
    """A function at one place: value, exact gradient, and the best curvature at hand."""

    @property
    def value(self) -> float:
        """The function."""

    @property
    def gradient(self) -> Array:
        """Its gradient (k,)."""

    @property
    def curvature(self) -> Array:
        """Its Hessian (k, k), exact or approximate."""

    @property
    def curvature_is_exact(self) -> bool:
        """Whether :attr:`curvature` is the Hessian itself."""


P = TypeVar("P", bound=Point)


@dataclass(frozen=True)
class Optimum(Generic[P]):
    """Where a minimisation ended, and why.

    Attributes
    ----------
    x : (k,)
    point : Point
        The function there.
    decrement : float
        ``g' H^-1 g / 2``: how far a quadratic model says that the function can still fall.
    iterations, evaluations : int
    converged : bool
        The decrement is below the tolerance.
    cut : bool
        The limit on the iterations or evaluations ended the search.
    path : tuple of (k,)
        The accepted points, the start first.
    """

    x: Array
    point: P
    decrement: float
    iterations: int
    evaluations: int
    converged: bool
    cut: bool
    path: tuple[Array, ...]


def minimize(
    function: Callable[[Array], P],
    start: Array,
    lower: Array,
    upper: Array,
    *,
    tol: float = 1e-12,
    max_iter: int = 100,
    max_evaluations: int | None = None,
    callback: Callable[[int, Array, P], None] | None = None,
    hessian: Callable[[P], Array] | None = None,
    first_hessian: Array | None = None,
    release: Callable[[P], None] | None = None,
) -> Optimum[P]:
    """Minimise a smooth function between bounds by Newton steps with a backtracking line search.

    Parameters
    ----------
    function : callable
        Gives the :class:`Point` at ``x`` (k,). A trial step is rejected where the function or its gradient cannot be
        computed: by a ``FloatingPointError``, or a value of ``inf`` or nan.
    start, lower, upper : (k,)
    tol : float
        Stop when the Newton decrement ``g' H^-1 g / 2`` is below it.
    max_iter : int
        Number of accepted steps at the most.
    max_evaluations : int, optional
        No further step is taken after so many evaluations; a Hessian counts as k.
    callback : callable, optional
        Called with (iteration, x, point) after every accepted step.
    hessian : callable, optional
        Gives the Hessian (k, k) of a point whose curvature is approximate, at some expense: asked for in long searches.
    first_hessian : (k, k), optional
        What the Hessian at the start is known to be, or nearly: where the curvature is approximate, the search learns
        from it how far off that is.
    release : callable, optional
        Called with a point before others are evaluated: what takes memory there and can be computed again may go.

    Raises
    ------
    FloatingPointError
        If the function or its derivatives cannot be computed at an accepted point.

    Notes
    -----
    Where the curvature is approximate, the structured secant method adds a symmetric rank-one correction learnt from
    the gradients (Dennis, Gay & Welsch 1981, ACM TOMS 7, 348).
    """
    box = Box.of(lower, upper)
    x = box.clipped(start.copy())
    point = function(x)
    correction = _correction(point, first_hessian)
    path, evaluations, short = [x], 1, 0
    allowed, spent = np.inf if max_evaluations is None else max_evaluations, 0
    for iteration in range(max_iter + 1):
        value, gradient = point.value, point.gradient
        curvature = point.curvature + correction
        if hessian is not None and iteration >= PATIENCE and not point.curvature_is_exact:
            curvature = _finite_or(hessian(point), curvature)
            spent += x.size
        step, decrement = bounded_step(x, gradient, curvature, box)
        if decrement <= tol or iteration == max_iter or evaluations + spent >= allowed:
            done = bool(decrement <= tol)
            return Optimum(x, point, decrement, iteration, evaluations, done, not done, tuple(path))
        if release is not None:
            release(point)
        trial = _line_search(function, x, point, step, box)
        evaluations += trial.evaluations
        short = short + 1 if trial.fraction < SHORT_STEP else 0
        if trial.point is None or short == STUCK:
            within_rounding = decrement <= ROUNDING * 1e3 * max(1.0, abs(value))
            return Optimum(x, point, decrement, iteration, evaluations, within_rounding, False, tuple(path))
        if not trial.point.curvature_is_exact and decrement < SECANT_REGION:
            correction = secant(correction, trial.x - x, trial.point.gradient - gradient, trial.point.curvature)
        x, point = trial.x, trial.point
        path.append(x)
        if callback is not None:
            callback(iteration + 1, x, point)
    raise AssertionError("unreachable")


@dataclass(frozen=True)
class Box:
    """The bounds (k,) of a search; ``closed`` coordinates have both, and ``is_open`` says that there is none at all."""

    lower: Array
    upper: Array
    closed: BoolArray
    is_open: bool

    @classmethod
    def of(cls, lower: Array, upper: Array) -> Box:
        """Look at the bounds once."""
        low, high = np.isfinite(lower), np.isfinite(upper)
        return cls(lower, upper, low & high, not (low.any() or high.any()))

    def clipped(self, x: Array) -> Array:
        """Return the nearest place (k,) between the bounds."""
        return x if self.is_open else np.clip(x, self.lower, self.upper)

    def free(self, x: Array, gradient: Array) -> BoolArray:
        """Return the coordinates (k,) that no bound holds back."""
        if self.is_open:
            return np.ones(x.size, dtype=bool)
        return np.asarray(~(((x <= self.lower) & (gradient > 0)) | ((x >= self.upper) & (gradient < 0))))

    def limit(self, x: Array) -> Array:
        """Return the longest moves (k,) of a step."""
        limit = LARGEST_MOVE * (1.0 + np.abs(x))
        return limit if self.is_open else np.where(self.closed, np.inf, limit)


def _correction(point: Point, hessian: Array | None) -> Array:
    """Difference between the Hessian and the curvature; zero where no Hessian is known."""
    nothing = np.zeros((point.gradient.size,) * 2)
    if hessian is None or point.curvature_is_exact:
        return nothing
    return _finite_or(hessian - point.curvature, nothing)


def _finite_or(matrix: Array, other: Array) -> Array:
    return matrix if np.isfinite(matrix).all() else other


def equilibrium(h: Array) -> Array:
    """Return a scale (k,) so that no entry of ``h / outer(scale, scale)`` is large: with a unit diagonal if possible.

    A parameter whose own curvature vanishes beside its curvature with others, at a saddle, would otherwise make all
    others look flat (Ruiz 2001, RAL-TR-2001-034, for the iteration).
    """
    diagonal = np.abs(h.diagonal())
    if diagonal.all():
        scale = np.sqrt(diagonal)
    else:
        scale = np.sqrt(np.where(diagonal > 0, diagonal, max(float(diagonal.max(initial=0.0)), 1.0)))
    for _ in range(EQUILIBRATIONS):
        scale = np.maximum(scale, SMALLEST_SCALE * float(scale.max(initial=0.0)))
        sizes = np.abs((h / scale) / scale[:, None])
        if not sizes.max(initial=0.0) > LOPSIDED:
            break
        scale = scale * np.sqrt(np.maximum(sizes.max(axis=1, initial=0.0), 1.0))
    return np.asarray(scale)


def eigen(matrix: Array) -> tuple[Array, Array]:
    """Return the eigenvalues (k,), rising, and eigenvectors (k, k) of a small symmetric matrix, in few calls.

    Raises
    ------
    LinAlgError
        If the iteration does not converge.
    """
    values, vectors, info = lapack.dsyevd(matrix, lower=1)
    if info:
        raise np.linalg.LinAlgError("Eigenvalues did not converge")
    return values, vectors


def bounded_step(x: Array, gradient: Array, curvature: Array, box: Box) -> tuple[Array, float]:
    """Return the Newton step to the least of the quadratic model between the bounds, nearly, and the decrement.

    Coordinates that the step would carry beyond a bound stop there, and the others take the step that is best then.
    """
    free, limit = box.free(x, gradient), box.limit(x)
    step, decrement = _newton_step(gradient, curvature, free, limit)
    if box.is_open:
        return step, decrement
    lower, upper = box.lower, box.upper
    first, left, moved = step, free, np.zeros_like(x)
    while True:
        beyond = left & ((x + step < lower) | (x + step > upper))
        if not beyond.any():
            break
        moved = np.where(beyond, np.clip(x + step, lower, upper) - x, moved)
        left = left & ~beyond
        step = moved + _newton_step(gradient + curvature @ moved, curvature, left, limit)[0]
    descends = float(gradient @ step) < min(0.0, SUFFICIENT_DECREASE * float(gradient @ first))
    return (step if descends else first), decrement


def _newton_step(gradient: Array, curvature: Array, free: BoolArray, limit: Array) -> tuple[Array, float]:
    """Return ``-H^-1 g`` on the free coordinates, negative or tiny curvature mended, and the decrement.

    Every principal direction is limited for itself, to moves of ``limit`` (k,): a flat one, which asks for a huge move,
    does not hold up the rest.
    """
    if free.size and free.all():
        return _free_step(gradient, curvature, limit)
    step, decrement = np.zeros(gradient.size), 0.0
    if free.any():
        step[free], decrement = _free_step(gradient[free], curvature[np.ix_(free, free)], limit[free])
    return step, decrement


def _free_step(g: Array, h: Array, limit: Array) -> tuple[Array, float]:
    if not (np.isfinite(h).all() and np.isfinite(g).all()):
        raise FloatingPointError("its derivatives are not finite")
    scale = equilibrium(h)
    values, vectors = eigen(h / (scale * scale[:, None]))
    magnitude = np.abs(values)
    magnitude = np.maximum(magnitude, EIGENVALUE_FLOOR * float(magnitude.max()) or 1.0)  # steepest descent on a plane
    along = (g / scale) @ vectors
    solved = along / magnitude
    moves = vectors * solved / scale[:, None]
    largest = (np.abs(moves) / limit[:, None]).max(axis=0)
    return -(moves @ (1.0 / np.maximum(largest, 1.0))), 0.5 * float(along @ solved)


@dataclass(frozen=True)
class _Trial(Generic[P]):
    x: Array
    point: P | None
    fraction: float
    evaluations: int


def _line_search(function: Callable[[Array], P], x: Array, point: P, step: Array, box: Box) -> _Trial[P]:
    """Backtrack along the projected step until the function falls enough; ``point`` None if it never does."""
    slack = ROUNDING * abs(point.value)
    fraction, evaluations, uncomputable = 1.0, 0, 0
    while fraction > SMALLEST_STEP:
        trial_x = box.clipped(x + fraction * step)
        slope = float(point.gradient @ (trial_x - x))
        trial: P | None = None  # the one before makes room
        trial, value = _tried(function, trial_x)
        evaluations += 1
        good = math.isfinite(value) and value <= point.value + SUFFICIENT_DECREASE * min(slope, 0.0) + slack
        if trial is not None and good and _has_derivatives(trial):
            return _Trial(trial_x, trial, fraction, evaluations)
        uncomputable = 0 if math.isfinite(value) else uncomputable + 1
        shorter = float(_shrinkage(np.asarray(value - point.value), np.asarray(slope)))
        fraction *= FAR_SHORTER if uncomputable >= UNCOMPUTABLE else shorter
    return _Trial(x, None, 0.0, evaluations)


def _tried(function: Callable[[Array], P], x: Array) -> tuple[P | None, float]:
    """The point and the function there, infinite where floating point cannot compute it."""
    try:
        trial = function(x)
        return trial, trial.value
    except FloatingPointError:
        return None, np.inf


def _has_derivatives(trial: Point) -> bool:
    """Whether a next step could be taken from there."""
    try:
        return bool(np.isfinite(trial.gradient).all() and np.isfinite(trial.curvature).all())
    except FloatingPointError:
        return False


def secant(correction: Array, step: Array, change: Array, curvature: Array) -> Array:
    """Symmetric rank-one update, so that ``(curvature + correction) @ step`` meets the observed change of gradient."""
    residual = change - (curvature + correction) @ step
    along = float(residual @ step)
    if abs(along) <= SECANT_SAFEGUARD * float(np.linalg.norm(residual) * np.linalg.norm(step)):
        return correction
    return correction + np.outer(residual, residual) / along


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
