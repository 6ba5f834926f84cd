"""Correlation patterns, each with one standard deviation for all columns or with one for each of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.covariance.base import Contained, Covariance
from mixedfx.covariance.linear import DiagonalCovariance, HomogeneousDiagonalCovariance

__all__ = ["CORRELATION_MARGIN", "Correlation", "HeterogeneousCovariance", "HomogeneousCovariance", "best_opening"]

FEW = 6  # closed standard deviations up to which every subset is looked at
WORTH = 1e-5  # predicted fall of -2 log L that is worth an opening


def best_opening(
    sd: Array, zero: BoolArray, gradient: Array, candidates: Iterable[tuple[Array, Array]], size: float
) -> tuple[Array, Array] | None:
    """Return standard deviations (q,) and correlation parameters that the criterion likes best, or None.

    Parameters
    ----------
    sd : (q,)
        Standard deviations.
    zero : (q,)
        Which of them are closed and may be raised, by no more than ``size``.
    gradient : (q, q)
        Derivative ``N`` of the criterion with respect to the covariance.
    candidates : iterable of (rho, correlation)
        Correlation parameters that leave the correlations of the open columns as they are, with their matrix (q, q).

    Notes
    -----
    Standard deviations ``d`` in place of zeros change the criterion by ``c'd + d'M d`` to first order in the
    covariance, ``M`` the entries of ``N o R`` of the closed columns and ``c`` twice its products with the open ones. On
    ``d >= 0`` a quadratic form is least at an eigenvector of one of its principal submatrices.
    """
    best, opening = -WORTH, None
    for rho, correlation in candidates:
        product = gradient * correlation
        M = product[np.ix_(zero, zero)]
        c = 2.0 * product[np.ix_(zero, ~zero)] @ sd[~zero]
        for d in _directions(M, c, size):
            change = float(c @ d + d @ M @ d)
            if change < best:
                best, opening = change, (_raised(sd, zero, d), rho)
    return opening


def _raised(sd: Array, zero: BoolArray, d: Array) -> Array:
    out = sd.copy()
    out[zero] = d
    return out


def _directions(M: Array, c: Array, size: float) -> list[Array]:
    """Standard deviations (k,) worth a look: along each slope that falls, along all, and where there is no slope.

    The quadratic form counts only where there is no slope: it is of second order, as are the terms that are left out.
    """
    k = len(c)
    diagonal = M.diagonal()
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(diagonal > 0, np.minimum(-0.5 * c / diagonal, size), size)
    falling = np.where(c < 0, reach, 0.0)
    out = [falling, *np.diag(falling)[c < 0]]
    for subset in _subsets(np.flatnonzero(c * size <= WORTH)):
        _, vectors = np.linalg.eigh(M[np.ix_(subset, subset)])
        leading = vectors[:, 0] * np.sign(vectors[np.argmax(np.abs(vectors[:, 0])), 0])
        if np.all(leading >= 0):
            d = np.zeros(k)
            d[list(subset)] = size * leading
            out.append(d)
    return out


def _subsets(which: IntArray) -> list[tuple[int, ...]]:
    k = len(which)
    sizes = range(1, k + 1) if k <= FEW else (1, 2, k)
    return [subset for count in sizes for subset in combinations(which.tolist(), count)]


GRID = 21  # values of a free correlation parameter that are looked at …
ENDS = 0.98  # … up to this share of its interval: at an end other parameters may lose their meaning
UNMOVED = 1e-12  # change of a correlation that is none
OFF = 0.01  # share of its interval by which a correlation leaves an end
CLOSED = 1e-3  # share of the size of an opening up to which a standard deviation counts as zero

CORRELATION_MARGIN = 1e-10
"""Relative distance kept from the ends of a correlation's interval: there the last diagonal entry of ``T`` is about
1e-5 of its scale, the smallest for which the cancellation in the gradient (about ``1e-16 / T**2``) stays harmless."""


@dataclass(frozen=True)
class Correlation(ABC):
    """A family of correlation matrices ``C @ C.T`` of ``size`` columns, ``C`` lower triangular."""

    size: int

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the parameters ``rho``; none for a single column."""

    @abstractmethod
    def cholesky(self, rho: Array) -> Array:
        """Return ``C`` (q, q) at ``rho`` (n_rho,), with a diagonal that is not negative."""

    @abstractmethod
    def derivative(self, rho: Array) -> Array:
        """Return ``dC / drho`` (n_rho, q, q)."""

    @abstractmethod
    def second_derivative(self, rho: Array) -> Array:
        """Return ``d2C / drho2`` (n_rho, n_rho, q, q)."""

    @abstractmethod
    def lower(self) -> Array:
        """Return the smallest legal values (n_rho,), inside the open interval."""

    @abstractmethod
    def upper(self) -> Array:
        """Return the largest legal values (n_rho,), inside the open interval."""

    def narrower(self) -> tuple[tuple[Correlation, Callable[[Array], Array]], ...]:
        """Return the correlation patterns that this one contains, each with its map (n_rho',) -> (n_rho,)."""
        return ()

    def start(self) -> Array:
        """Return the parameters (n_rho,) to start from: no correlation, where the pattern has such."""
        return np.zeros(self.n_rho)

    def independent(self) -> Array | None:
        """Return the parameters (n_rho,) of no correlation at all, or None if the pattern has no such member."""
        return np.zeros(self.n_rho)

    def matrix(self, rho: Array) -> Array:
        """Return the correlations (q, q)."""
        C = self.cholesky(rho)
        return np.asarray(C @ C.T)

    def grid(self, rho: Array, held: BoolArray) -> Iterator[tuple[Array, Array]]:
        """Yield parameters, with their matrices, that leave the correlations of the ``held`` columns (q,) as they are.

        The parameters ``rho`` themselves come first; then those that the held columns say nothing about run through
        their intervals, one at a time and, if all are free, by the patterns that this one contains.
        """
        yield rho, self.matrix(rho)
        pairs = np.ix_(held, held)
        slopes = self.derivative(rho)
        change = slopes @ self.cholesky(rho).T
        change = change + change.swapaxes(1, 2)
        free = [j for j in range(self.n_rho) if not np.any(np.abs(change[j][pairs]) > UNMOVED)]
        lower, upper = self.lower(), self.upper()
        start = self.start()
        base = rho if len(free) < self.n_rho else start
        low, high = start + ENDS * (lower - start), start + ENDS * (upper - start)
        for j in free:
            for value in np.linspace(low[j], high[j], GRID):
                moved = base.copy()
                moved[j] = value
                yield moved, self.matrix(moved)
        if len(free) == self.n_rho:
            for inner, embed in self.narrower():
                for value in np.linspace(ENDS * inner.lower()[0], ENDS * inner.upper()[0], GRID):
                    moved = np.clip(embed(np.array([value])), lower, upper)
                    yield moved, self.matrix(moved)

    @property
    def n_rho(self) -> int:
        """Number of parameters."""
        return len(self.names)


def _off_the_ends(covariance: Covariance, theta: Array, gradient: Array) -> Array:
    """Return the parameters with the correlations moved off those ends that the criterion wants left."""
    slopes = np.tensordot(covariance.covariance_derivative(theta), gradient, axes=2)
    upper = np.where(np.isfinite(covariance.upper()), covariance.upper(), np.nan)
    lower = np.where(np.isfinite(upper), covariance.lower(), np.nan)
    inside = OFF * (upper - lower)
    moved = np.where((theta >= upper) & (slopes > 0), upper - inside, theta)
    return np.where((theta <= lower) & (slopes < 0), lower + inside, moved)


def _apart(covariance: Covariance, correlation: Correlation) -> tuple[Contained, ...]:
    """Return the independent columns, if the pattern can say so."""
    none = correlation.independent()
    return () if none is None else (Contained(covariance, lambda theta: np.concatenate([theta, none])),)


def _wider(covariance: Covariance, n_sd: int, embed: Callable[[Array], Array]) -> Contained:
    return Contained(covariance, lambda theta: np.concatenate([theta[:n_sd], embed(theta[n_sd:])]))


@dataclass(frozen=True)
class HeterogeneousCovariance(Covariance):
    """``T = diag(sd) C(rho)`` with ``theta = (sd_1, …, sd_q, rho…)``, standard deviations relative to sigma."""

    correlation: Correlation

    @property
    def n_theta(self) -> int:
        """One standard deviation a column, then the correlation parameters."""
        return self.size + self.correlation.n_rho

    def factor(self, theta: Array) -> Array:
        """Return ``T`` (q, q)."""
        sd, rho = theta[: self.size], theta[self.size :]
        return np.asarray(sd[:, None] * self.correlation.cholesky(rho))

    def derivative(self, theta: Array) -> Array:
        """Return ``dT / dtheta`` (n_theta, q, q)."""
        q, sd, rho = self.size, theta[: self.size], theta[self.size :]
        result = np.zeros((self.n_theta, q, q))
        result[np.arange(q), np.arange(q)] = self.correlation.cholesky(rho)
        result[q:] = sd[:, None] * self.correlation.derivative(rho)
        return result

    def second_derivative(self, theta: Array) -> Array:
        """Return ``d2T / dtheta2`` (n_theta, n_theta, q, q)."""
        q, sd, rho = self.size, theta[: self.size], theta[self.size :]
        result = np.zeros((self.n_theta, self.n_theta, q, q))
        first = self.correlation.derivative(rho).transpose(1, 0, 2)
        columns = np.arange(q)
        result[columns, q:, columns] = first
        result[q:, columns, columns] = first.transpose(1, 0, 2)
        result[q:, q:] = sd[:, None] * self.correlation.second_derivative(rho)
        return result

    def lower(self) -> Array:
        """Return 0 for the standard deviations, then the correlation's bounds."""
        return np.concatenate([np.zeros(self.size), self.correlation.lower()])

    def upper(self) -> Array:
        """Return infinity for the standard deviations, then the correlation's bounds."""
        return np.concatenate([np.full(self.size, np.inf), self.correlation.upper()])

    def start(self) -> Array:
        """Return the parameters of the identity."""
        return np.concatenate([np.ones(self.size), self.correlation.start()])

    def labels(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Name each standard deviation after its column, then the correlation parameters."""
        return (*columns, *self.correlation.names)

    def closed_under_affine(self) -> bool:
        """Return True for a single column only."""
        return self.size == 1

    def closed_under_scaling(self) -> bool:
        """Return True."""
        return True

    def contained(self) -> tuple[Contained, ...]:
        """Return independent columns, one standard deviation for all of them, and the narrower correlations."""
        q, corr = self.size, self.correlation
        if corr.n_rho == 0:
            return ()
        alike = Contained(
            HomogeneousCovariance(q, corr), lambda theta: np.concatenate([np.repeat(theta[:1], q), theta[1:]])
        )
        return (
            *_apart(DiagonalCovariance(q), corr),
            alike,
            *(_wider(HeterogeneousCovariance(q, c), q, embed) for c, embed in corr.narrower()),
        )

    def reopened(self, theta: Array, null: Array, gradient: Array, size: float) -> Array:
        """Return the parameters with the zero standard deviations and the free correlations that the criterion wants.

        Where no standard deviation is zero a correlation is at its end, and leaves it if the criterion wants that.
        """
        sd, rho = theta[: self.size], theta[self.size :]
        zero = np.abs(sd) <= CLOSED * size
        if not zero.any():
            return _off_the_ends(self, theta, gradient)
        opening = best_opening(sd, zero, gradient, self.correlation.grid(rho, ~zero), size)
        return theta if opening is None else np.concatenate(opening)

    def rescale(self, theta: Array, scale: Array) -> Array:
        """Return the parameters of ``diag(scale) T(theta)``."""
        return np.concatenate([theta[..., : self.size] * scale, theta[..., self.size :]], axis=-1)


@dataclass(frozen=True)
class HomogeneousCovariance(Covariance):
    """``T = sd C(rho)`` with ``theta = (sd, rho…)``, the standard deviation relative to sigma."""

    correlation: Correlation

    @property
    def n_theta(self) -> int:
        """One standard deviation, then the correlation parameters."""
        return 1 + self.correlation.n_rho

    def factor(self, theta: Array) -> Array:
        """Return ``T`` (q, q)."""
        return np.asarray(theta[0] * self.correlation.cholesky(theta[1:]))

    def derivative(self, theta: Array) -> Array:
        """Return ``dT / dtheta`` (n_theta, q, q)."""
        first = theta[0] * self.correlation.derivative(theta[1:])
        return np.concatenate([self.correlation.cholesky(theta[1:])[None], first])

    def second_derivative(self, theta: Array) -> Array:
        """Return ``d2T / dtheta2`` (n_theta, n_theta, q, q)."""
        result = np.zeros((self.n_theta, self.n_theta, self.size, self.size))
        result[0, 1:] = result[1:, 0] = self.correlation.derivative(theta[1:])
        result[1:, 1:] = theta[0] * self.correlation.second_derivative(theta[1:])
        return result

    def lower(self) -> Array:
        """Return 0 for the standard deviation, then the correlation's bounds."""
        return np.concatenate([np.zeros(1), self.correlation.lower()])

    def upper(self) -> Array:
        """Return infinity for the standard deviation, then the correlation's bounds."""
        return np.concatenate([np.full(1, np.inf), self.correlation.upper()])

    def start(self) -> Array:
        """Return the parameters of the identity."""
        return np.concatenate([np.ones(1), self.correlation.start()])

    def labels(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Name the standard deviation after a single column, else ``sd``; then the correlation parameters."""
        return (columns[0] if self.size == 1 else "sd", *self.correlation.names)

    def closed_under_affine(self) -> bool:
        """Return True for a single column only."""
        return self.size == 1

    def closed_under_scaling(self) -> bool:
        """Return True for a single column only."""
        return self.size == 1

    def search_lower(self) -> Array:
        """Return the bounds without that of the standard deviation, of which only the square counts."""
        return np.concatenate([[-np.inf], self.lower()[1:]])

    def canonical(self, theta: Array) -> Array:
        """Return the parameters with a standard deviation that is not negative."""
        return np.concatenate([np.abs(theta[:1]), theta[1:]])

    def contained(self) -> tuple[Contained, ...]:
        """Return independent columns and the narrower correlations."""
        q, corr = self.size, self.correlation
        if corr.n_rho == 0:
            return ()
        return (
            *_apart(HomogeneousDiagonalCovariance(q), corr),
            *(_wider(HomogeneousCovariance(q, c), 1, embed) for c, embed in corr.narrower()),
        )

    def reopened(self, theta: Array, null: Array, gradient: Array, size: float) -> Array:
        """Return a positive standard deviation with the correlations that the criterion likes best."""
        if np.abs(theta[0]) > CLOSED * size:
            return _off_the_ends(self, theta, gradient)
        candidates = self.correlation.grid(theta[1:], np.zeros(self.size, dtype=bool))
        rho, _ = min(candidates, key=lambda candidate: float(np.sum(gradient * candidate[1])))
        return np.concatenate([[size], rho])

    def rescale(self, theta: Array, scale: Array) -> Array:
        """Return the parameters of ``scale[0] * T(theta)``; the scales must be equal."""
        return np.concatenate([theta[..., :1] * scale[:1], theta[..., 1:]], axis=-1)
