"""The nonparametric maximum-likelihood estimate of a mixing law, with the certificate that it is one.

The log-likelihood of the law with masses p at atoms theta is ``sum_i w_i log f_i``, ``f_i = sum_j p_j p_i(y_i |
theta_j)``. A law is the best one if and only if ``D(theta) = sum_i w_i p_i(y_i | theta) / f_i - sum_i w_i`` is nowhere
positive (Lindsay 1983), and whatever D is, no law has a log-likelihood higher by more than ``W log(1 + max D / W)``,
``W = sum_i w_i``: the duality gap (Koenker & Mizera 2014).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array
from mixedfx.deconvolution.kernels import Kernel
from mixedfx.optimize import minimize

__all__ = ["Atoms", "Npmle", "duality_gap", "npmle"]

MOST_STEPS = 200
GAP = 1e-12  # relative to the number of observations, below which the search ends
STALLED = 3  # steps that gain nothing
NOTHING = 1e-15  # relative gain of the log-likelihood that is rounding
MOST_POLISHED, POLISHING = 80, 12  # atoms that are moved together, steps of that
FIRST_ATOMS = 30
UNCOVERED = 1e-6  # likelihood of an observation, relative to its best, below which it asks for an atom of its own
ARMIJO, HALVINGS = 1e-4, 40
BISECTIONS = 80
NEARNESS = 1e-13  # relative to the bracket, at which the peak of D is found
KEPT = 20_000_000  # entries of a matrix of likelihoods that is kept
NO_MASS = 1e-14
NONE = 1e-100  # a relative likelihood that is zero: arithmetic with much smaller numbers is slow
FARTHEST = 600.0  # logarithm of how much likelier an observation is counted under another law, which is not to overflow
TINY = 1e-15  # Newton decrement at which atoms stand still


@dataclass(frozen=True)
class Atoms:
    """A law with finitely many values."""

    support: Array
    mass: Array


@dataclass(frozen=True)
class Npmle:
    """What the search has found."""

    atoms: Atoms
    llf: float
    gap: float


@dataclass(frozen=True)
class _Likelihood:
    """Observations with weights, whose likelihoods are taken relative to the best that any theta can give them."""

    kernel: Kernel
    weights: Array
    best: Array

    @cached_property
    def total(self) -> float:
        return float(self.weights.sum())

    def relative(self, theta: Array) -> Array:
        """``p_i(y_i | theta)`` (k, m) relative to the best."""
        found = np.exp(self.kernel.log_density(theta[None, :]) - self.best[:, None])
        found[found < NONE] = 0.0
        return np.asarray(found)

    def llf(self, f: Array) -> float:
        """Log-likelihood of marginal densities (k,) relative to the best."""
        with np.errstate(divide="ignore"):
            return float(self.weights @ (np.log(f) + self.best))


def _likelihood(kernel: Kernel, weights: Array, grid: Array | None) -> _Likelihood:
    theta = np.clip(kernel.estimates[0], *kernel.domain)[:, None] if grid is None else grid[None, :]
    return _Likelihood(kernel, weights, kernel.log_density(theta).max(axis=1))


class _Directions:
    """``D`` on a grid of theta, and between its points."""

    def __init__(self, likelihood: _Likelihood, grid: Array, only_grid: bool) -> None:
        self.likelihood, self.grid, self.only_grid = likelihood, grid, only_grid
        size = max(1, KEPT // max(likelihood.kernel.size, 1))
        self.parts = [grid[i : i + size] for i in range(0, grid.size, size)]
        self.kept = likelihood.relative(grid) if len(self.parts) == 1 else None

    def values(self, weight: Array) -> Array:
        """``D`` (m,) on the grid for ``weight = w / f``."""
        if self.kept is not None:
            sums = weight @ self.kept
        else:
            sums = np.concatenate([weight @ self.likelihood.relative(part) for part in self.parts])
        return np.asarray(sums - self.likelihood.total)

    def peaks(self, weight: Array) -> tuple[Array, Array]:
        """Local maxima (c,) of ``D`` and its values there."""
        value, grid = self.values(weight), self.grid
        padded = np.concatenate([[-np.inf], value, [-np.inf]])
        at = np.flatnonzero((value >= padded[:-2]) & (value >= padded[2:]))
        if self.only_grid or grid.size == 1:
            return grid[at], value[at]
        inner = at[(at > 0) & (at < grid.size - 1)]
        found = self._refined(weight, grid[inner], grid[inner - 1], grid[inner + 1])
        ends = at[(at == 0) | (at == grid.size - 1)]
        near_ends = np.where(ends == 0, 1, grid.size - 2)
        between = self._refined(
            weight, 0.5 * (grid[ends] + grid[near_ends]), *np.sort([grid[ends], grid[near_ends]], axis=0)
        )
        theta = np.concatenate([found, between, grid[ends]])
        return theta, np.asarray(weight @ self.likelihood.relative(theta) - self.likelihood.total)

    def _refined(self, weight: Array, x: Array, low: Array, high: Array) -> Array:
        """Peaks (c,) within brackets, by Newton's method kept within them."""
        kernel, width = self.likelihood.kernel, high - low
        for _ in range(BISECTIONS if x.size else 0):
            density = weight[:, None] * self.likelihood.relative(x)
            first, second = kernel.slopes(x[None, :])
            with np.errstate(invalid="ignore"):
                slope = np.sum(density * first, axis=0)
                bend = np.sum(density * (first**2 + second), axis=0)
            low, high = np.where(slope > 0, x, low), np.where(slope > 0, high, x)
            step = np.divide(slope, -bend, out=np.full_like(x, np.inf), where=bend < 0)
            inside = (x + step > low) & (x + step < high)
            moved = np.where(inside, x + step, 0.5 * (low + high))
            done = np.all(np.abs(moved - x) <= NEARNESS * width)
            x = moved
            if done:
                break
        return x


def duality_gap(kernel: Kernel, weights: Array, log_f: Array, grid: Array | None = None) -> float:
    """Return by how much the log-likelihood of no other law exceeds that of one with marginals ``log_f`` (k,).

    Parameters
    ----------
    kernel : Kernel
        k observations.
    weights : (k,)
    log_f : (k,)
        Logarithms of their marginal densities under the law.
    grid : (m,), optional
        The only values that theta may have.
    """
    likelihood = _likelihood(kernel, weights, grid)
    directions = _Directions(likelihood, kernel.search_grid() if grid is None else grid, grid is not None)
    peaks = directions.peaks(weights * np.exp(np.minimum(likelihood.best - log_f, FARTHEST)))[1]
    return _gap(likelihood.total, float(peaks.max()))


def _gap(total: float, largest: float) -> float:
    return float(total * np.log1p(max(largest, 0.0) / total))


def npmle(kernel: Kernel, weights: Array, grid: Array | None = None) -> Npmle:
    """Maximise the likelihood over all laws of theta.

    Parameters
    ----------
    kernel : Kernel
        k observations.
    weights : (k,)
        How often each was observed.
    grid : (m,), optional
        The only values that theta may have; any value of its domain if omitted.

    Returns
    -------
    Npmle

    Notes
    -----
    The constrained Newton method: all peaks of D become atoms, the masses follow from a quadratic approximation of the
    log-likelihood with non-negative masses (nonnegative least squares), and those without mass are dropped. Where
    theta is free, places and masses of the few atoms are then polished together by Newton's method.

    References
    ----------
    Wang (2007), J. R. Stat. Soc. B 69, 185-198; Dax (1990), SIAM J. Matrix Anal. Appl. 11, 30, for least squares on
    the simplex.
    """
    used = weights > 0
    likelihood = _likelihood(kernel.take(np.flatnonzero(used)), weights[used], grid)
    points = likelihood.kernel.search_grid() if grid is None else grid
    directions = _Directions(likelihood, points, grid is not None)
    state = _State.of(likelihood, *_first_atoms(likelihood, points, grid is not None))
    best, best_gap, stalled = state, np.inf, 0
    for _ in range(MOST_STEPS):
        theta, values = directions.peaks(likelihood.weights / state.f)
        gap = _gap(likelihood.total, float(values.max()))
        if gap < best_gap:
            best, best_gap = state, gap
        if gap <= GAP * likelihood.total or stalled >= STALLED:
            break
        before, state = state.llf, state.with_atoms(theta[values > 0])
        if grid is None:
            state = state.polished(points)
        stalled = 0 if state.llf > before + NOTHING * abs(before) else stalled + 1
    order = np.argsort(best.support)
    atoms = Atoms(best.support[order], best.mass[order])
    return Npmle(atoms, likelihood.llf(best.f), best_gap)


def _first_atoms(likelihood: _Likelihood, points: Array, only_grid: bool) -> tuple[Array, Array]:
    """A law to begin with: equal masses, so many that no observation is impossible."""
    theta = points[np.unique(np.linspace(0, points.size - 1, FIRST_ATOMS).astype(int))]
    far = np.flatnonzero(likelihood.relative(theta).max(axis=1) < UNCOVERED)
    if far.size and only_grid:
        nearest = [int(np.argmax(row)) for row in likelihood.kernel.take(far).log_density(points[None, :])]
        theta = np.union1d(theta, points[nearest])
    elif far.size:
        theta = np.union1d(theta, np.clip(likelihood.kernel.estimates[0][far], *likelihood.kernel.domain))
    return theta, np.full(theta.size, 1.0 / theta.size)


@dataclass(frozen=True)
class _State:
    """A law of the search, with the likelihoods ``A`` (k, J) of its atoms."""

    likelihood: _Likelihood
    support: Array
    mass: Array
    A: Array

    @classmethod
    def of(cls, likelihood: _Likelihood, support: Array, mass: Array) -> _State:
        return cls(likelihood, support, mass, likelihood.relative(support))

    @cached_property
    def f(self) -> Array:
        """Marginal densities (k,) relative to the best."""
        return np.asarray(self.A @ self.mass)

    @cached_property
    def llf(self) -> float:
        return self.likelihood.llf(self.f)

    def with_atoms(self, theta: Array) -> _State:
        """Add atoms, find their masses, and drop those that get none."""
        new = np.setdiff1d(theta, self.support)
        support = np.concatenate([self.support, new])
        A = np.concatenate([self.A, self.likelihood.relative(new)], axis=1)
        old = np.concatenate([self.mass, np.zeros(new.size)])
        w, total = self.likelihood.weights, self.likelihood.total
        S = np.sqrt(w)[:, None] * (A / self.f[:, None] - 2.0) / np.sqrt(total)
        target = _on_simplex(S)
        slope = float((w / self.f) @ (A @ (target - old)))
        mass, fraction = target, 1.0
        for _ in range(HALVINGS):
            mass = old + fraction * (target - old)
            if self.likelihood.llf(A @ mass) >= self.llf + ARMIJO * fraction * slope:
                break
            fraction *= 0.5
        else:
            mass = old
        kept = mass > NO_MASS
        return _State(self.likelihood, support[kept], mass[kept] / mass[kept].sum(), A[:, kept])

    def polished(self, points: Array) -> _State:
        """Move atoms and masses together to where the likelihood is stationary, those that meet becoming one."""
        state = self
        while True:
            support, mass = _merged(state.support, state.mass, points)
            if support.size > MOST_POLISHED:
                return state
            other = state._moved(support, mass, (float(points[0]), float(points[-1])))
            if other is None or other.llf < state.llf - abs(state.llf) * NOTHING:
                return state
            if other.support.size == _merged(other.support, other.mass, points)[0].size:
                return other
            state = other

    def _moved(self, support: Array, mass: Array, span: tuple[float, float]) -> _State | None:
        """The law at the end of a few Newton steps, or None where they meet an impossible observation."""
        J = support.size
        lower, upper = np.repeat([span[0], 0.0], J), np.repeat([span[1], np.inf], J)
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # a step to where observations are nearly impossible
                found = minimize(
                    lambda x: _Point.at(self.likelihood, x[:J], x[J:]),
                    np.append(support, mass),
                    lower,
                    upper,
                    tol=TINY,
                    max_iter=POLISHING,
                ).x
        except FloatingPointError:
            return None
        kept = found[J:] > NO_MASS
        if not kept.any():
            return None
        return _State.of(self.likelihood, found[:J][kept], found[J:][kept] / found[J:][kept].sum())


def _merged(support: Array, mass: Array, points: Array) -> tuple[Array, Array]:
    """Atoms between the same points of the grid become one."""
    order = np.argsort(support)
    theta, p = support[order], mass[order]
    cell = np.searchsorted(points, theta)
    split = np.flatnonzero(np.append(True, np.diff(cell) > 1))
    together = np.add.reduceat(p, split)
    return np.add.reduceat(p * theta, split) / together, together


def _on_simplex(S: Array) -> Array:
    """Return the p >= 0, sum(p) = 1, that minimises ``|S p|``."""
    from scipy.optimize import nnls

    rows = np.linalg.qr(S, mode="r") if S.shape[0] > S.shape[1] else S
    system = np.concatenate([rows, np.ones((1, S.shape[1]))])
    found = nnls(system, np.append(np.zeros(len(rows)), 1.0), maxiter=100 * S.shape[1])[0]
    return np.asarray(found / found.sum())


@dataclass(frozen=True)
class _Point:
    """Minus the log-likelihood as a function of places and masses, the latter free but for ``W (sum(p) - 1)``."""

    value: float
    gradient: Array
    curvature: Array
    curvature_is_exact: bool = True

    @classmethod
    def at(cls, likelihood: _Likelihood, theta: Array, mass: Array) -> _Point:
        w, total = likelihood.weights, likelihood.total
        A = likelihood.relative(theta)
        f = A @ mass
        if not np.all(f > 0):
            raise FloatingPointError("an impossible observation")
        edge = np.isin(theta, likelihood.kernel.domain)  # there likelihoods may have no derivative: such atoms stay
        first, second = (np.zeros_like(A) for _ in range(2))
        first[:, ~edge], second[:, ~edge] = likelihood.kernel.slopes(theta[None, ~edge])
        R = A / f[:, None]
        moved = R * first * mass
        value = -float(w @ np.log(f)) + total * (float(mass.sum()) - 1.0)
        gradient = np.append(-w @ moved, total - w @ R)
        weighted = w[:, None] * R
        cross = weighted.T @ moved - np.diag(w @ (R * first))  # masses x places
        own = (w[:, None] * moved).T @ moved - np.diag(w @ (R * (first**2 + second)) * mass) + np.diag(1.0 * edge)
        curvature = np.block([[own, cross.T], [cross, weighted.T @ R]])
        return cls(value, gradient, curvature)
