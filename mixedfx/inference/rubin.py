"""Rubin's rules: one inference from the analyses of several imputed data sets.

References
----------
Rubin (1987), Multiple Imputation for Nonresponse in Surveys. Barnard & Rubin (1999), Biometrika 86, 948-955. Li,
Raghunathan & Rubin (1991), J. Am. Stat. Assoc. 86, 1065-1073. Reiter (2007), Biometrika 94, 502-508.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array
from mixedfx.inference.denominator import Denominator

__all__ = ["Combined", "Rubin", "combined"]

ROUNDING = 1e-12  # a share of the variance between the imputations that is none
FEW = 4.0  # degrees of freedom between the imputations, at or below which the expansions of the joint test do not hold


@dataclass(frozen=True)
class Combined:
    """Estimates of m analyses put together, number by number.

    Attributes
    ----------
    estimate : (r,)
        Means of the m estimates.
    within : (r,)
        Means of their squared standard errors.
    between : (r,)
        Variances of the estimates.
    complete : (r,)
        Degrees of freedom that complete data would give.
    m : int
    """

    estimate: Array
    within: Array
    between: Array
    complete: Array
    m: int

    @property
    def variance(self) -> Array:
        """Total variance (r,): ``W + (1 + 1/m) B``."""
        return self.within + (1.0 + 1.0 / self.m) * self.between

    @property
    def increase(self) -> Array:
        """Relative increase in variance (r,) due to what is missing: ``(1 + 1/m) B / W``."""
        return _ratio((1.0 + 1.0 / self.m) * self.between, self.within)

    @property
    def df(self) -> Array:
        """Degrees of freedom (r,) of Barnard and Rubin."""
        share = _share(_ratio((1.0 + 1.0 / self.m) * self.between, self.variance))
        return _two_sources(_ratio(np.full(share.shape, self.m - 1.0), share**2), self.complete, share)

    @property
    def missing(self) -> Array:
        """Fraction of missing information (r,): ``(r + 2 / (df + 3)) / (1 + r)``."""
        r = self.increase
        with np.errstate(invalid="ignore"):
            fraction = (r + 2.0 / (self.df + 3.0)) / (1.0 + r)
        return np.where(np.isinf(r), 1.0, fraction)


def combined(estimates: Array, variances: Array, complete: Array) -> Combined:
    """Put the ``estimates`` (m, r) of m analyses together.

    Parameters
    ----------
    estimates, variances : (m, r)
        Estimates and their squared standard errors.
    complete : (m, r)
        Their degrees of freedom. Two over them is the relative variance of a squared standard error, so that their
        harmonic mean counts.
    """
    between = (estimates - estimates[0]).var(axis=0, ddof=1)  # zero where all are the same
    return Combined(estimates.mean(axis=0), variances.mean(axis=0), between, harmonic_mean(complete), len(estimates))


def harmonic_mean(df: Array) -> Array:
    """Return the harmonic mean (…) of degrees of freedom (m, …); inf if all are."""
    return np.asarray(_ratio(np.ones(df.shape[1:]), (1.0 / df).mean(axis=0)))


@dataclass(frozen=True, repr=False)
class Rubin(Denominator):
    """Fixed effects of m analyses put together.

    Attributes
    ----------
    estimates : (m, p)
    each : tuple of Denominator
        Covariance and degrees of freedom of each analysis.

    Notes
    -----
    Several combinations are tested together by ``D1 = d' W^-1 d / (k (1 + r))``, which takes the fractions of missing
    information of the k combinations for equal: ``r = (1 + 1/m) tr(B W^-1) / k`` (Li, Raghunathan and Rubin). The
    degrees of freedom are Reiter's. One combination alone has those of Barnard and Rubin, and so is tested as by its t
    statistic. Where an expansion does not hold, the degrees of freedom of an infinite sample (Li, Raghunathan and
    Rubin) and those of complete data are put together as Barnard and Rubin do: with ``k (m - 1) <= 4``, or few degrees
    of freedom of complete data beside ``4 (1 + r)``.
    """

    estimates: Array
    each: tuple[Denominator, ...]
    label = "Barnard and Rubin"
    several = "Reiter"

    @property
    def depends_on_rows(self) -> bool:  # type: ignore[override]
        """Whether those of each analysis do."""
        return any(one.depends_on_rows for one in self.each)

    @property
    def by_covariance(self) -> bool:  # type: ignore[override]
        """Whether those of each analysis do."""
        return all(one.by_covariance for one in self.each)

    @cached_property
    def within(self) -> Array:
        """Mean covariance (p, p) within the analyses, W."""
        return np.asarray(np.mean([one.covariance for one in self.each], axis=0))

    @cached_property
    def between(self) -> Array:
        """Covariance (p, p) of the estimates between the analyses, B; zero where all are the same."""
        return np.cov(self.estimates - self.estimates[0], rowvar=False).reshape(2 * self.estimates.shape[1:])

    @property
    def covariance(self) -> Array:
        """The total covariance (p, p): ``W + (1 + 1/m) B``."""
        return np.asarray(self.within + (1.0 + 1.0 / len(self.each)) * self.between)

    def combined(self, rows: Array) -> Combined:
        """Return combinations ``rows`` (r, p) of the coefficients put together."""
        variances = np.array([np.einsum("rp,pq,rq->r", rows, one.covariance, rows) for one in self.each])
        complete = np.array([one.of_rows(rows) for one in self.each])
        return combined(self.estimates @ rows.T, np.maximum(variances, 0.0), complete)

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,) of Barnard and Rubin."""
        return self.combined(rows).df

    def together(self, rows: Array) -> Array:
        """Return ``(1 + r)`` times the covariance (r, r) within the analyses."""
        return (1.0 + self._increase(rows)) * (rows @ self.within @ rows.T)

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return the degrees of freedom of independent ``rows``, and the mean of what the analyses multiply F by."""
        complete, scaling = np.array([one.joint(rows) for one in self.each]).T
        k, m = len(rows), len(self.each)
        return _joint_df(self._increase(rows), k, m, float(harmonic_mean(complete))), float(scaling.mean())

    def _increase(self, rows: Array) -> float:
        """Relative increase in variance of independent ``rows`` (k, p), on average."""
        increase = np.linalg.solve(rows @ self.within @ rows.T, rows @ self.between @ rows.T)
        return (1.0 + 1.0 / len(self.each)) * float(np.trace(increase)) / len(rows)

    def of_means(self) -> Denominator:
        """Return what calibrates means and their contrasts in each analysis, put together."""
        return Rubin(self.estimates, tuple(one.of_means() for one in self.each))


def _joint_df(r: float, k: int, m: int, complete: float) -> float:
    t, share = float(k * (m - 1)), float(_share(np.array(r / (1.0 + r))))
    a = r * t / (t - 2.0) if t > FEW else np.nan
    expanded = _reiter(a, t, complete * (complete + 1.0) / (complete + 3.0)) if k > 1 and complete < np.inf else np.nan
    if not np.isnan(expanded):
        return expanded
    if share == 0.0:
        infinite = np.inf
    elif k == 1:
        infinite = (m - 1.0) / share**2
    elif t > FEW:
        infinite = 4.0 + (t - 4.0) * (1.0 + 1.0 / a) ** 2
    else:
        infinite = t * (1.0 + 1.0 / k) * (1.0 + 1.0 / r) ** 2 / 2.0
    return float(_two_sources(np.array(infinite), np.array(complete), np.array(share)))


def _reiter(a: float, t: float, observed: float) -> float:
    """Reiter's degrees of freedom; nan where his expansion in ``1 / observed`` does not hold."""
    c1, c2 = observed - 2.0 * (1.0 + a), observed - 4.0 * (1.0 + a)
    if not (t > FEW and c2 > 0.0):
        return np.nan
    c0 = 1.0 / (t - 4.0)
    z = 1.0 / c2 + c0 * a**2 * c1 / ((1.0 + a) ** 2 * c2)
    z += c0 * (8.0 * a**2 * c1 / ((1.0 + a) * c2**2) + 4.0 * a**2 / ((1.0 + a) * c2))
    z += c0 * (4.0 * a**2 / (c2 * c1) + 16.0 * a**2 * c1 / c2**3)
    z += c0 * 8.0 * a**2 / c2**2
    return 4.0 + 1.0 / z


def _share(between: Array) -> Array:
    """Share of the variance that is between the analyses, without what is rounding."""
    return np.where(between < ROUNDING, 0.0, between)


def _two_sources(infinite: Array, complete: Array, share: Array) -> Array:
    """Put together degrees of freedom of an infinite sample and of complete data, of which ``1 - share`` is left."""
    with np.errstate(invalid="ignore"):
        left = (complete + 1.0) / (complete + 3.0) * complete * (1.0 - share)
    left = np.where(np.isinf(complete), np.inf, left)
    return np.asarray(_ratio(np.ones(np.shape(left)), 1.0 / infinite + _ratio(np.ones(np.shape(left)), left)))


def _ratio(above: Array, below: Array) -> Array:
    """``above / below``; inf where only ``below`` is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.divide(above, below))
