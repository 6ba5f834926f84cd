"""The likelihood around an estimate in all parameters that it depends on: what intervals and profiles are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.criterion.assembly import TermSlot
from mixedfx.criterion.boundary import flattest
from mixedfx.criterion.evaluation import GaussianCriterion, GaussianEvaluation, MarginalEvaluation
from mixedfx.optimize import equilibrium

if TYPE_CHECKING:
    from mixedfx.criterion.linear_problem import LinearProblem
    from mixedfx.fitting.generalized import GeneralizedFit
    from mixedfx.fitting.linear import LinearFit

__all__ = [
    "GeneralizedPoint",
    "Likelihood",
    "NormalVariances",
    "UnprofiledPoint",
    "generalized_likelihood",
    "inverse_information",
    "inverse_on_range",
    "linear_likelihood",
    "linear_theta_jacobian",
    "linear_variances",
    "opened",
    "variance_covariance",
    "with_variances",
]

SINGULAR = 1e-8  # eigenvalue of the scaled Hessian, relative to the largest, below which there is no information
TAKES_PART = 1e-4  # share of a direction without information that makes a parameter unknown
RANK_TOLERANCE = 1e-8  # eigenvalues below this, relative to the largest of the scaled matrix, count as zero
VANISHED = 1e-8  # eigenvalue of a covariance, relative to the largest, that counts as zero
REOPENED = 0.1  # standard deviation given to its direction
INFINITE = 40.0  # size of a linear predictor, of zero inflation say, that stands for infinity
CURVED = 1e-3  # least curvature at a bound from which a standard error can be guessed


@dataclass(frozen=True, eq=False)
class NormalVariances:
    """The variances of a normal response as functions of parameters that are estimated independently of the means.

    Attributes
    ----------
    phi : (k,)
        The parameters on the inner scale, as estimated.
    covariance : (k, k)
        Their covariance, zero for what cannot vary.
    at : callable
        From parameters (k,) to the covariance (q, q) of the random effects of each term and the residual variance (of a
        row of weight 1), on the user's scale.
    """

    phi: Array
    covariance: Array
    at: Callable[[Array], tuple[list[Array], float]]


def linear_variances(problem: LinearProblem, phi: Array) -> tuple[list[Array], float]:
    """Return the covariances of the random effects and the residual variance at ``phi = (theta, rho, log sigma^2)``.

    Parameters beyond a bound stand at it: differences may look there, at parameters that do not vary.
    """
    inside = np.clip(phi[:-1], problem.criterion.search_lower, problem.criterion.upper)
    residual = float(problem.basis.scale**2 * np.exp(phi[-1]))
    return [residual * relative for relative in problem.relative_covariances(inside)], residual


@dataclass(frozen=True)
class Likelihood:
    """Minus twice the log-likelihood as a function of ``phi`` (k,) on the inner scale, and its estimate.

    Attributes
    ----------
    evaluate : callable
        The function at ``phi``: ``value``, ``gradient``, ``hessian``, ``hessian_is_exact``.
    phi : (k,)
        The estimate.
    value : float
        The function there.
    covariance : (k, k)
        Its covariance, zero where there is none.
    lower, upper : (k,)
        Bounds of the parameters.
    opening : callable
        Moves parameters at the end of their range (a standard deviation of zero) off it, where their slope vanishes.
    ended : (k,)
        Parameters, other than standard deviations of zero, that the estimate has at the end of their range.
    releasable : (k,)
        Those of them that ``opening`` moves off it.
    theta : slice
        Place of the covariance parameters among ``phi``.
    terms : tuple of TermSlot
        The terms of the formula and their places within theta.
    log_variance : int or None
        Place of the logarithm of the residual variance in units of ``unit`` squared, if there is one.
    unit : float
    is_relative : bool
        Whether theta is relative to the residual standard deviation.
    """

    evaluate: Callable[[Array], Any]
    phi: Array
    value: float
    covariance: Array
    lower: Array
    upper: Array
    opening: Callable[[Array], Array]
    ended: BoolArray
    releasable: BoolArray
    theta: slice
    terms: tuple[TermSlot, ...]
    log_variance: int | None
    unit: float = 1.0
    is_relative: bool = False

    @property
    def residual_variance(self) -> float:
        """Residual variance or dispersion on the user's scale; 1 if there is none."""
        return 1.0 if self.log_variance is None else float(self.unit**2 * np.exp(self.phi[self.log_variance]))


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


def with_variances(slots: Sequence[TermSlot], theta: Array) -> Array:
    """Return inner theta with a little variance in every direction in which a term of ``slots`` has almost none."""
    out = theta.copy()
    for slot in slots:
        part = out[slot.theta]
        covariance = slot.covariance.covariance(part)
        if not np.isfinite(covariance).all():
            continue
        values, vectors = np.linalg.eigh(covariance)
        null = vectors[:, values <= VANISHED * max(float(values[-1]), 1.0)]
        if null.shape[1]:
            part = slot.covariance.reopened(part, null, -np.eye(len(values)), REOPENED)
            closed = (slot.covariance.lower() == 0.0) & (np.abs(part) <= VANISHED)
            out[slot.theta] = np.where(closed, REOPENED, part)
    return out


def opened(slots: Sequence[TermSlot], place: slice, start: Array, phi: Array) -> Array:
    """The parameters with some variance in every direction without, and those with a ``start`` (k,) there."""
    out = np.where(np.isnan(start), phi, start)
    out[place] = with_variances(slots, phi[place])
    return out


# ---------------------------------------------------------------- linear models
@dataclass(frozen=True)
class UnprofiledPoint:
    """Minus twice the log-likelihood at ``phi = (theta, rho, log sigma^2)``, beta profiled out.

    ``rho`` are the parameters of a residual structure, if there is one.
    """

    criterion: GaussianCriterion
    phi: Array

    @cached_property
    def at(self) -> GaussianEvaluation:
        """The criterion at (theta, rho) with this sigma."""
        return self.criterion.with_sigma2(float(np.exp(self.phi[-1])))(self.phi[:-1])

    @property
    def value(self) -> float:
        """The criterion."""
        return self.at.value

    @cached_property
    def _ratio(self) -> float:
        """Residual sum of squares over sigma squared."""
        return self.at.linear.r2 / self.at.linear.sigma2

    @cached_property
    def gradient(self) -> Array:
        """Exact gradient (k + 1,)."""
        return np.append(self.at.gradient, self.at.linear.criterion.nu - self._ratio)

    @cached_property
    def hessian(self) -> Array:
        """Hessian (k + 1, k + 1): exact where that is cheap, else with the average information."""
        k = self.phi.size - 1
        out = np.empty((k + 1, k + 1))
        out[:k, :k] = self.at.curvature
        out[:k, k] = out[k, :k] = self.at.response_slopes / self.at.linear.sigma2
        out[k, k] = self._ratio
        return out

    @property
    def hessian_is_exact(self) -> bool:
        """Whether it is the Hessian itself."""
        return self.at.curvature_is_exact


def variance_covariance(point: GaussianEvaluation) -> Array:
    """Return the covariance (k + 1, k + 1) of ``(theta, rho, log sigma^2)`` on the inner scale, from the exact Hessian.

    With ``f`` minus twice the log-likelihood, it is twice the inverse of the Hessian of ``f`` in which sigma is not
    profiled out: on the boundary, of those directions that can vary. If sigma is known, its row and column are zero.
    """
    at, k = point.linear, point.x.size
    out = np.zeros((k + 1, k + 1))
    out[:k, :k] = 2.0 * inverse_on_range(point.hessian)
    if at.criterion.sigma2 is None:
        slope = point.response_slopes / (at.sigma2 * at.criterion.nu)
        shared = -out[:k, :k] @ slope
        out[:k, k] = out[k, :k] = shared
        out[k, k] = 2.0 / at.criterion.nu - slope @ shared
    return out


def linear_theta_jacobian(fit: LinearFit) -> Array:
    """Return the derivatives (t, t) of the user's covariance parameters in the inner ones; nan where there are none."""
    theta = fit.at.theta
    out = np.zeros((theta.size, theta.size))
    for basis, slot in zip(fit.problem.terms, fit.problem.covariance.terms, strict=True):
        out[slot.theta, slot.theta] = basis.jacobian_to_user(theta[slot.theta])
    return out


def linear_likelihood(fit: LinearFit) -> Likelihood:
    """Return the likelihood of a linear model, beta profiled out, in ``phi = (theta, rho, log sigma^2)``."""
    criterion, covariance = fit.problem.criterion, fit.problem.covariance
    log_sigma2 = float(np.log(fit.at.sigma2))
    known = criterion.sigma2 is not None
    phi = np.append(fit.point.x, log_sigma2)
    nothing = np.zeros(phi.size, dtype=bool)
    return Likelihood(
        partial(UnprofiledPoint, criterion),
        phi,
        float(fit.at.value),
        fit.phi_covariance,
        np.append(criterion.search_lower, log_sigma2 if known else -np.inf),
        np.append(criterion.upper, log_sigma2 if known else np.inf),
        partial(opened, covariance.terms, slice(0, covariance.n_theta), np.full(phi.size, np.nan)),
        nothing,
        nothing,
        slice(0, covariance.n_theta),
        tuple(covariance.terms),
        phi.size - 1,
        fit.problem.basis.scale,
        True,
    )


# ---------------------------------------------------------------- generalised models
@dataclass(frozen=True)
class GeneralizedPoint:
    """Minus twice the log-likelihood at the inner parameters ``phi`` (k,), integrated as in the fit."""

    fit: GeneralizedFit
    phi: Array

    @cached_property
    def at(self) -> MarginalEvaluation:
        """The evaluation."""
        return self.fit.problem.evaluate(self.phi, self.fit.integrate, self.fit.at.state)

    @property
    def value(self) -> float:
        """The criterion; infinite where no mode was found."""
        return self.at.value

    @property
    def gradient(self) -> Array:
        """Exact gradient (k,)."""
        return self.at.gradient

    @cached_property
    def hessian(self) -> Array:
        """Approximate Hessian (k, k) here, plus what the approximation lacks at the estimate."""
        lack = self.fit.hessian - self.fit.at.curvature
        known = np.isfinite(lack) & self.fit.free[:, None] & self.fit.free
        return np.asarray(self.at.curvature + np.where(known, lack, 0.0))

    @property
    def hessian_is_exact(self) -> bool:
        """Always false: it rests on the difference at the estimate."""
        return False


def generalized_likelihood(fit: GeneralizedFit) -> Likelihood:
    """Return the likelihood of a generalised model in all its inner parameters."""
    problem, family = fit.problem, fit.problem.family
    is_variance = family.precision_weights and "dispersion" in family.phi_names
    free = np.ix_(fit.free, fit.free)
    covariance = np.zeros_like(fit.hessian)
    covariance[free] = 2.0 * inverse_on_range(np.nan_to_num(fit.hessian[free]))
    curvature = np.nan_to_num(fit.hessian.diagonal())
    curved = ~fit.free & (curvature > CURVED)
    covariance[curved, curved] = 2.0 / curvature[curved]
    position = np.arange(fit.x.size)
    ended = (position >= problem.theta_slice.stop) & ~fit.free
    single = [place for place in problem.component_slices.values() if place.stop - place.start == 1]
    family_wide = position >= fit.x.size - len(family.phi_names)
    releasable = ended & (family_wide | np.isin(position, [place.start for place in single]))
    start = problem.start if releasable.any() else fit.x
    return Likelihood(
        partial(GeneralizedPoint, fit),
        np.where(releasable & ~family_wide, np.clip(fit.x, -INFINITE, INFINITE), fit.x),
        float(fit.at.value),
        covariance,
        *problem.bounds,
        partial(opened, problem.covariance.terms, problem.theta_slice, np.where(releasable, start, np.nan)),
        ended,
        releasable,
        problem.theta_slice,
        tuple(problem.covariance.terms),
        fit.x.size - len(family.phi_names) + family.phi_names.index("dispersion") if is_variance else None,
    )


def inverse_information(hessian: Array, known_flat: int = 0) -> Array:
    """Inverse of a positive semidefinite matrix; nan for parameters that take part in a direction without curvature.

    So many directions as the design is known to leave open, those of least curvature, have none whatever rounding says.
    """
    if not np.isfinite(hessian).all():
        return np.full_like(hessian, np.nan)
    scale = equilibrium(hessian)
    scaled = (hessian / scale) / scale[:, None]
    values, vectors = np.linalg.eigh(scaled)
    vanishing = np.abs(values) <= SINGULAR * np.abs(values).max(initial=0.0)
    vanishing |= flattest(values, known_flat)
    if np.any(values[~vanishing] < 0):
        return np.full_like(hessian, np.nan)
    determined, kept = ~(np.abs(vectors[:, vanishing]) > TAKES_PART).any(axis=1), vectors[:, ~vanishing]
    out = np.full_like(hessian, np.nan)
    both = np.ix_(determined, determined)
    out[both] = ((kept / values[~vanishing]) @ kept.T / np.outer(scale, scale))[both]
    return out
