"""Efron's g-modelling: a smooth law on a grid, the exponential of a natural spline, with standard errors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array
from mixedfx.deconvolution.kernels import Kernel
from mixedfx.deconvolution.npmle import npmle
from mixedfx.matrices.transforms import learn_ns
from mixedfx.optimize import Optimum, minimize

__all__ = ["Smooth", "smooth", "spline_basis"]

FLAT = 1e-10  # gain of the penalised log-likelihood over the flat law, relative to the observations, that is none
RANDOM_STARTS = 3
BLUR = 0.1  # of the range, to which atoms are smeared out for a start
FLOOR = 1e-6


@dataclass(frozen=True)
class Smooth:
    """A law ``g = exp(Q alpha) / sum`` on a grid.

    Attributes
    ----------
    grid : (m,)
    basis : (m, p)
        ``Q``.
    alpha : (p,)
    penalty : float
        ``c0``: the log-likelihood less ``c0 |alpha|`` is what was maximised.
    information : (p, p)
        Of alpha, without the penalty; nan where the law has run off to the end of its range.
    llf : float
        Log-likelihood without the penalty.
    converged : bool
    """

    grid: Array
    basis: Array
    alpha: Array
    penalty: float
    information: Array
    llf: float
    converged: bool

    @cached_property
    def g(self) -> Array:
        """Probabilities (m,) of the points of the grid."""
        return _softmax(self.basis @ self.alpha)

    @property
    def is_flat(self) -> bool:
        """Whether the penalty holds all points at the same probability: there are no standard errors then."""
        return not self.alpha.any()

    @cached_property
    def _penalty(self) -> tuple[Array, Array]:
        """First and second derivatives of the penalty."""
        return _penalty_slopes(self.alpha, self.penalty)

    @cached_property
    def _shape(self) -> tuple[Array, Array]:
        """Covariance (p, p) and bias (p,) of alpha."""
        if self.is_flat:
            return np.full_like(self.information, np.nan), np.full_like(self.alpha, np.nan)
        first, second = self._penalty
        inverse = np.linalg.pinv(self.information + second, hermitian=True)
        return inverse @ self.information @ inverse, -inverse @ first

    @cached_property
    def _slopes(self) -> Array:
        """Derivatives (m, p) of g in alpha."""
        return np.asarray(self.g[:, None] * (self.basis - self.g @ self.basis))

    @property
    def se(self) -> Array:
        """Standard errors (m,) of g."""
        return _root_diagonal(self._slopes, self._shape[0])

    @property
    def bias(self) -> Array:
        """Bias (m,) of g that comes from the penalty."""
        return np.asarray(self._slopes @ self._shape[1])

    @property
    def cdf_se(self) -> Array:
        """Standard errors (m,) of the cumulative sums of g."""
        return _root_diagonal(np.cumsum(self._slopes, axis=0), self._shape[0])

    @property
    def artificial_information(self) -> float:
        """Information that comes from the penalty, relative to that of the data: Efron's S."""
        if self.is_flat:
            return np.inf if self.penalty else 0.0
        return float(np.trace(self._penalty[1]) / np.trace(self.information))


def _root_diagonal(slopes: Array, covariance: Array) -> Array:
    return np.asarray(np.sqrt(np.maximum(np.einsum("ia,ab,ib->i", slopes, covariance, slopes), 0.0)))


def spline_basis(grid: Array, df: int) -> Array:
    """Return a natural cubic spline basis (m, df), its columns centred and of unit length."""
    columns = learn_ns(grid, df)(grid).matrix
    centred = columns - columns.mean(axis=0)
    return np.asarray(centred / np.sqrt(np.sum(centred**2, axis=0)))


def smooth(
    kernel: Kernel, weights: Array, grid: Array, basis: Array, penalty: float, expected_over: Kernel | None
) -> Smooth:
    """Maximise the penalised likelihood over ``g = exp(Q alpha) / sum`` on a grid.

    Parameters
    ----------
    kernel : Kernel
        k observations.
    weights : (k,)
        How often each was observed.
    grid : (m,)
        Values of theta.
    basis : (m, p)
        ``Q``.
    penalty : float
        ``c0``.
    expected_over : Kernel, optional
        All outcomes that an observation can have, for the expected information. By default it is the observed one: the
        sum of the products of scores.

    References
    ----------
    Efron (2016), Biometrika 103, 1-20; Narasimhan & Efron (2020), J. Stat. Softw. 94(11).
    """
    used = weights > 0
    own, w = kernel.take(np.flatnonzero(used)), weights[used]
    problem = _Problem.of(own, w, grid, basis, penalty)
    found = [
        minimize(problem.at, start, *_unbounded(start.size))
        for start in _starts(own, w, grid, basis)
        if np.isfinite(problem.at(start).value)
    ]
    best = min(found, key=lambda optimum: optimum.point.value)
    flat = np.zeros(basis.shape[1])
    is_flat = problem.value(flat) <= best.point.value + FLAT * float(w.sum())
    alpha = flat if is_flat else _one_step_on(problem, best)
    g = _softmax(basis @ alpha)
    if expected_over is None:
        information = _information(problem.P, w, g, basis)
    else:
        P = np.exp(expected_over.log_density(grid[None, :]))
        information = _information(P, float(w.sum()) * (P @ g), g, basis)
    llf = float(w @ (np.log(problem.P @ g) + problem.best))
    return Smooth(grid, basis, alpha, penalty, information, llf, bool(is_flat or best.converged))


def _one_step_on(problem: _Problem, optimum: Optimum[_Point]) -> Array:
    """The coefficients after one more Newton step, if that brings the gradient nearer to zero.

    The likelihood without the penalty still rises at the optimum: there an error of the coefficients is one of it.
    """
    step = np.linalg.pinv(optimum.point.curvature, hermitian=True) @ optimum.point.gradient
    after = problem.at(optimum.x - step)
    nearer = np.linalg.norm(after.gradient) < np.linalg.norm(optimum.point.gradient)
    return np.asarray(optimum.x - step if np.isfinite(after.value) and nearer else optimum.x)


def _unbounded(size: int) -> tuple[Array, Array]:
    return np.full(size, -np.inf), np.full(size, np.inf)


def _starts(kernel: Kernel, weights: Array, grid: Array, basis: Array) -> list[Array]:
    """Spline coefficients of a smeared-out nonparametric estimate, and random ones."""
    atoms = npmle(kernel, weights, grid).atoms
    z = (grid[:, None] - atoms.support) / (BLUR * np.ptp(grid))
    blurred = np.exp(-0.5 * z * z) @ atoms.mass + FLOOR
    target = np.log(blurred)
    first = np.linalg.lstsq(basis, target - target.mean(), rcond=None)[0]
    rng = np.random.default_rng(0)
    size = float(np.linalg.norm(first)) / np.sqrt(first.size) + 1.0
    return [first, *(size * rng.standard_normal((RANDOM_STARTS, first.size)))]


def _softmax(eta: Array) -> Array:
    g = np.exp(eta - eta.max())
    return np.asarray(g / g.sum())


def _penalty_slopes(alpha: Array, c0: float) -> tuple[Array, Array]:
    length = float(np.linalg.norm(alpha))
    if length == 0:
        return np.zeros_like(alpha), np.zeros((alpha.size, alpha.size))
    direction = alpha / length
    return c0 * direction, c0 / length * (np.eye(alpha.size) - np.outer(direction, direction))


def _information(P: Array, counts: Array, g: Array, basis: Array) -> Array:
    """``Q'W diag(counts) W'Q`` with rows ``W_k = g (P_k / f_k - 1)``."""
    f = P @ g
    scores = (P * g / f[:, None] - g) @ basis
    return np.asarray((scores.T * counts) @ scores)


@dataclass(frozen=True)
class _Problem:
    """Likelihoods ``P`` (k, m) relative to the best of each observation."""

    P: Array
    best: Array
    weights: Array
    basis: Array
    penalty: float

    @classmethod
    def of(cls, kernel: Kernel, weights: Array, grid: Array, basis: Array, penalty: float) -> _Problem:
        log_p = kernel.log_density(grid[None, :])
        best = log_p.max(axis=1)
        return cls(np.exp(log_p - best[:, None]), best, weights, basis, penalty)

    def value(self, alpha: Array) -> float:
        f = self.P @ _softmax(self.basis @ alpha)
        with np.errstate(divide="ignore"):
            return -float(self.weights @ np.log(f)) + self.penalty * float(np.linalg.norm(alpha))

    def at(self, alpha: Array) -> _Point:
        """Minus the penalised log-likelihood with its derivatives."""
        Q, w = self.basis, self.weights
        g = _softmax(Q @ alpha)
        f = self.P @ g
        if not np.all(f > 0):
            return _Point(np.inf, np.zeros_like(alpha), np.eye(alpha.size))
        posterior = self.P * g / f[:, None]
        mean, overall = posterior @ Q, g @ Q
        first, second = _penalty_slopes(alpha, self.penalty)
        gradient = -(w @ mean - w.sum() * overall) + first
        pooled = w @ posterior
        within = (Q.T * pooled) @ Q - (mean.T * w) @ mean
        prior = float(w.sum()) * ((Q.T * g) @ Q - np.outer(overall, overall))
        return _Point(self.value(alpha), gradient, prior - within + second)


@dataclass(frozen=True)
class _Point:
    value: float
    gradient: Array
    curvature: Array
    curvature_is_exact: bool = True
