"""Fit a criterion: optimise, settle the boundary, and certify what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.linear import LinearEvaluation
from mixedfx.criterion.prepare import LinearProblem
from mixedfx.exceptions import SpecificationError
from mixedfx.optimize import Optimum, minimize

__all__ = ["Certificate", "Control", "LinearFit", "VarianceVerdict", "fit_linear"]

NEGLIGIBLE_VARIANCE = 1e-8  # relative variance on the inner scale below which a direction counts as zero
NEGLIGIBLE_RATIO = 1e-12  # … or relative to the largest variance of its term
CERTIFIED_GAP = 1e-5  # a fit is converged if -2 log L can fall by no more than this
FLAT = 1e-8  # relative size of a Hessian eigenvalue that counts as zero
RESTARTS = 3  # restarts from a doubtful boundary at the most
NUDGE = 0.1  # relative standard deviation at which a restart re-opens a variance


@dataclass(frozen=True)
class Control:
    """How to optimise.

    Parameters
    ----------
    max_iter : int
        Newton steps at the most; a fit that is cut says so.
    tol : float
        Stop when the Newton decrement, an estimate of how far -2 log L can still fall, is below it.
    start : array-like, optional
        Starting values of ``theta`` in the order of ``fit.theta``, on the user's scale.
    verbose : bool
        Print one line an iteration.

    Raises
    ------
    SpecificationError
        If a number is out of range.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> mfx.Control(max_iter=50).max_iter
    50
    """

    max_iter: int = 200
    tol: float = 1e-12
    start: Any = None
    verbose: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.max_iter, bool) or not isinstance(self.max_iter, int | np.integer):
            raise TypeError(f"max_iter is a whole number, found {type(self.max_iter).__name__}")
        if self.max_iter < 0:
            raise SpecificationError(f"max_iter is the number of iterations, at least 0; found {self.max_iter}")
        if not 0 < self.tol < 1:
            raise SpecificationError(f"tol is a small positive number such as 1e-12; found {self.tol}")

    def callback(self) -> Callable[[int, Array, Any], None] | None:
        """Return what the optimiser calls after every step."""
        return _report if self.verbose else None


def _report(iteration: int, x: Array, point: Any) -> None:
    print(f"iteration {iteration:3d}   -2 log L = {point.value:.8f}   theta = {np.array2string(x, precision=5)}")


@dataclass(frozen=True)
class VarianceVerdict:
    """What the certificate says of one random-effects term.

    Attributes
    ----------
    group : str
    rank, size : int
        Number of directions with positive variance, of all.
    confirmed : bool
        Where ``rank < size``: the criterion rises when any of the missing directions is given a variance.
    """

    group: str
    rank: int
    size: int
    confirmed: bool


@dataclass(frozen=True)
class Certificate:
    """How sure it is that the optimum was found.

    Attributes
    ----------
    gap : float
        How far minus twice the log-likelihood could still fall, by the exact Hessian.
    negative_directions : int
        Eigenvalues of the Hessian that are negative: 0 at a minimum.
    flat_directions : int
        Eigenvalues that vanish: directions of theta that the data say nothing about (or that do not matter).
    variances : tuple of VarianceVerdict
    cut : bool
        The iteration limit ended the search.
    iterations, evaluations : int

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> print(fit.certificate)
    This is the optimum: by the curvature of the likelihood, -2 log L cannot fall by more than 1e-09.
    Every variance is positive and no correlation is at -1 or 1.
    """

    gap: float
    negative_directions: int
    flat_directions: int
    variances: tuple[VarianceVerdict, ...]
    cut: bool
    iterations: int
    evaluations: int

    @property
    def converged(self) -> bool:
        """Whether nothing worth mentioning is left to gain."""
        boundary = all(v.confirmed for v in self.variances if v.rank < v.size)
        return bool(np.isfinite(self.gap) and self.gap <= CERTIFIED_GAP and self.negative_directions == 0 and boundary)

    @property
    def is_singular(self) -> bool:
        """Whether some variance is zero or some correlation is -1 or 1."""
        return any(v.rank < v.size for v in self.variances)

    def __str__(self) -> str:
        return f"{self._verdict()}\n{self._boundary()}"

    def _verdict(self) -> str:
        if self.converged:
            bound = max(1e-9, float(f"{self.gap:.0e}"))
            return (
                "This is the optimum: by the curvature of the likelihood, -2 log L cannot fall by more than "
                f"{bound:.0e}."
            )
        reason = "the iteration limit ended the search" if self.cut else "the search could not go on"
        if self.negative_directions:
            return f"This is not the optimum: {reason} at a point from which the likelihood still rises (a saddle)."
        return f"This is not the optimum: {reason}, and -2 log L could still fall by about {self.gap:.2g}."

    def _boundary(self) -> str:
        zero = [v for v in self.variances if v.rank < v.size]
        if not zero:
            return "Every variance is positive and no correlation is at -1 or 1."
        named = ", ".join(
            f"{v.group} has no variance at all"
            if v.rank == 0
            else f"{v.group} varies in {v.rank} of {v.size} directions"
            for v in zero
        )
        sure = "the likelihood falls when more is allowed" if all(v.confirmed for v in zero) else "this is in doubt"
        return f"The estimate lies on the boundary: {named}; {sure}."


@dataclass(frozen=True)
class LinearFit:
    """A fitted Gaussian mixed model on the inner scale.

    Attributes
    ----------
    problem : LinearProblem
    optimum : Optimum
    at : LinearEvaluation
        The criterion at the estimate, boundary settled.
    """

    problem: LinearProblem
    optimum: Optimum[LinearEvaluation]
    at: LinearEvaluation

    @property
    def theta(self) -> Array:
        """Estimate on the inner scale."""
        return self.at.theta

    @cached_property
    def certificate(self) -> Certificate:
        """From the exact Hessian at the estimate."""
        gap, negative, flat = _curvature_verdict(self)
        labels = [term.group for term in self.problem.design.random]
        verdicts = tuple(_verdict(self.at, k, label) for k, label in enumerate(labels))
        o = self.optimum
        return Certificate(gap, negative, flat, verdicts, o.cut, o.iterations, o.evaluations)


def fit_linear(problem: LinearProblem, control: Control) -> LinearFit:
    """Minimise the criterion of a Gaussian mixed model.

    Directions whose variance vanishes are settled by the sign of the derivative with respect to the covariance: set to
    exactly zero where it is not negative, re-opened otherwise.
    """
    model = problem.model
    start = (
        model.start if control.start is None else problem.theta_to_inner(_checked_start(control.start, model.n_theta))
    )
    optimum = _minimize(problem, start, control)
    at = optimum.point
    for _ in range(RESTARTS):
        opened = _reopened(at)
        if opened is None or optimum.cut:
            break
        again = _minimize(problem, opened, control)
        if not again.point.value < at.value:
            break
        optimum, at = again, again.point
    return LinearFit(problem, optimum, _settled(at))


def _minimize(problem: LinearProblem, start: Array, control: Control) -> Optimum[LinearEvaluation]:
    model = problem.model
    return minimize(
        problem.criterion,
        start,
        model.search_lower,
        model.upper,
        tol=control.tol,
        max_iter=control.max_iter,
        callback=control.callback(),
    )


def _checked_start(start: Any, n_theta: int) -> Array:
    values = np.asarray(start, dtype=float)
    if values.shape != (n_theta,) or not np.all(np.isfinite(values)):
        raise SpecificationError(
            f"start needs {n_theta} finite numbers, one for each entry of fit.theta; found {values.tolist()}"
        )
    return values


def _null_space(covariance: Array) -> tuple[Array, Array]:
    """Split the eigenvectors (q, q) of a relative covariance into null directions (q, k) and the others."""
    values, vectors = np.linalg.eigh(covariance)
    zero = values <= max(NEGLIGIBLE_VARIANCE, NEGLIGIBLE_RATIO * float(values[-1]))
    return vectors[:, zero], vectors[:, ~zero]


def _term_covariance(at: LinearEvaluation, k: int) -> tuple[Array, Array]:
    """Relative covariance (q, q) of term k, and the derivative ``N`` of the criterion with respect to it."""
    slot = at.criterion.model.terms[k]
    n = at.covariance_gradient[slot.factor][slot.coefficients, slot.coefficients]
    return slot.covariance.covariance(at.theta[slot.theta]), n


def _rise(at: LinearEvaluation, k: int) -> tuple[float, Array]:
    """Smallest derivative of the criterion along a null direction that the term allows, and the parameters there."""
    slot = at.criterion.model.terms[k]
    covariance, n = _term_covariance(at, k)
    null, _ = _null_space(covariance)
    own = at.theta[slot.theta]
    if null.shape[1] == 0:
        return np.inf, own
    nudged = slot.covariance.reopened(own, null, n, NUDGE)
    change = slot.covariance.covariance(nudged) - covariance
    size = float(np.abs(change).max())
    return (float(np.sum(n * change)) / size if size > 0 else np.inf), nudged


def _tolerated(at: LinearEvaluation) -> float:
    """Rounding level of a derivative with respect to a relative covariance."""
    return CERTIFIED_GAP * max(1.0, max((float(np.abs(n).max()) for n in at.covariance_gradient), default=1.0))


def _reopened(at: LinearEvaluation) -> Array | None:
    """Parameters with the wrongly closed directions re-opened, or None where every boundary is confirmed."""
    theta, found = at.theta.copy(), False
    for k, slot in enumerate(at.criterion.model.terms):
        slope, nudged = _rise(at, k)
        if slope < -_tolerated(at):
            theta[slot.theta], found = nudged, True
    return theta if found else None


def _settled(at: LinearEvaluation) -> LinearEvaluation:
    """The evaluation with negligible directions set to exactly zero and theta in its canonical form."""
    theta = at.theta.copy()
    for k, slot in enumerate(at.criterion.model.terms):
        covariance, _ = _term_covariance(at, k)
        null, rest = _null_space(covariance)
        own = theta[slot.theta]
        theta[slot.theta] = slot.covariance.canonical(own if null.shape[1] == 0 else slot.covariance.closed(own, rest))
    if np.array_equal(theta, at.theta):
        return at
    settled = at.criterion(theta)
    return settled if settled.value <= at.value + at.criterion.nu * NEGLIGIBLE_VARIANCE else at


def _curvature_verdict(fit: LinearFit) -> tuple[float, int, int]:
    """Gap ``g' H^-1 g / 2`` over the free parameters, and the numbers of negative and flat directions."""
    at, model = fit.at, fit.problem.model
    free = (at.theta > model.search_lower) & (at.theta < model.upper)
    if not free.any():
        return 0.0, 0, 0
    h, g = at.hessian[np.ix_(free, free)], at.gradient[free]
    diagonal = np.sqrt(np.maximum(np.abs(h.diagonal()), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(h / np.outer(diagonal, diagonal))
    along = vectors.T @ (g / diagonal)
    flat = np.abs(values) <= FLAT * max(float(np.abs(values).max()), np.finfo(float).tiny)
    gap = 0.5 * float(np.sum(along[~flat] ** 2 / np.abs(values[~flat])))
    return gap, int(np.sum(values[~flat] < 0)), int(flat.sum())


def _verdict(at: LinearEvaluation, k: int, label: str) -> VarianceVerdict:
    covariance, _ = _term_covariance(at, k)
    _, rest = _null_space(covariance)
    slope, _ = _rise(at, k)
    return VarianceVerdict(label, rest.shape[1], len(covariance), bool(slope >= -_tolerated(at)))
