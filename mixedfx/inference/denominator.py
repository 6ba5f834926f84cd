"""What calibrates a Wald test of fixed effects: which covariance, and how many denominator degrees of freedom."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.fitting import Fit

__all__ = [
    "NORMAL",
    "Asymptotic",
    "ByCoefficient",
    "Denominator",
    "asymptotic",
    "fai_cornelius",
    "residual",
]

NORMAL = ("z", "asymptotic", "normal", "inf")  # words for the normal limit
EQUAL = 1e-8  # degrees of freedom that differ by less are one number


class Denominator(ABC):
    """How tests of ``L beta`` are calibrated; everything on the user's scale."""

    #: Whose method it is, as notes below a table say it.
    label: str
    #: Whose method it is of several rows together, where it is another.
    several = ""
    #: Whether the degrees of freedom of several rows depend on the combinations of them that are given.
    depends_on_rows = False
    #: Whether terms are adjusted for each other by the covariance of the estimates, not by cross-products of columns.
    by_covariance = False

    @property
    @abstractmethod
    def covariance(self) -> Array:
        """Covariance (p, p) of the fixed effects that the tests use."""

    @abstractmethod
    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,) of the t test of each of the ``rows`` (r, p)."""

    @abstractmethod
    def joint(self, rows: Array) -> tuple[float, float]:
        """Return the denominator df of the F test of independent ``rows`` (r, p), and what F is multiplied by."""

    def together(self, rows: Array) -> Array:
        """Return the covariance (r, r) by which independent ``rows`` (r, p) are tested together."""
        return np.asarray(rows @ self.covariance @ rows.T)

    @property
    def labels(self) -> str:
        """Whose methods they are, as notes below a table of terms say it."""
        return f"{self.label}, of several coefficients by {self.several}" if self.several else self.label

    def of_means(self) -> Denominator:
        """Return what calibrates means and their contrasts; the same, unless it depends on what coefficients mean."""
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: denominator df by {self.label}, of {len(self.covariance)} coefficients>"


def fai_cornelius(df: Array) -> Array:
    """Return the denominator df (…,) of F that are means of independent squared t statistics with ``df`` (…, r).

    Its mean is matched: ``E = sum nu / (nu - 2)``, ``2 E / (E - r)``; 2 where some ``nu`` is not above 2.

    References
    ----------
    Fai & Cornelius (1996), J. Stat. Comput. Simul. 54, 363.
    """
    finite = np.isfinite(df)
    known = np.where(finite, df, 4.0)  # any number above 2
    excess = np.where(finite & (df > 2.0), 2.0 / np.where(known > 2.0, known - 2.0, 1.0), 0.0).sum(axis=-1)  # E - r
    pooled = np.divide(2.0 * (excess + df.shape[-1]), excess, out=np.full(excess.shape, np.inf), where=excess > 0)
    alike = finite.all(axis=-1) & (np.ptp(known, axis=-1) <= EQUAL * known.max(axis=-1))
    out = np.where(alike, known.mean(axis=-1), np.where((df <= 2.0).any(axis=-1), 2.0, pooled))
    return np.where(np.isnan(df).any(axis=-1), np.nan, out)


@dataclass(frozen=True, repr=False)
class ByCoefficient(Denominator):
    """Degrees of freedom that belong to coefficients: a contrast has the smallest of those that it involves."""

    matrix: Array
    df: Array
    label: str

    @property
    def covariance(self) -> Array:
        """The estimated covariance (p, p)."""
        return self.matrix

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,)."""
        involved = np.where(rows != 0, self.df, np.inf).min(axis=1, initial=np.inf)
        return np.where((rows != 0).any(axis=1), involved, np.nan)

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return the smallest degrees of freedom; F is not scaled."""
        return float(self.of_rows(rows).min()), 1.0


@dataclass(frozen=True, repr=False)
class Asymptotic(Denominator):
    """The normal and the chi-squared limit."""

    matrix: Array
    label = "the normal distribution"
    by_covariance = True

    @property
    def covariance(self) -> Array:
        """The covariance (p, p) that it was given."""
        return self.matrix

    def of_rows(self, rows: Array) -> Array:
        """Return infinity (r,)."""
        return np.full(len(rows), np.inf)

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return infinity; F is not scaled."""
        return np.inf, 1.0


def residual(fit: Fit) -> Denominator:
    """Return the degrees of freedom of least squares: rows of positive weight less coefficients."""
    p = fit.beta.size
    return ByCoefficient(fit.beta_covariance, np.full(p, float(fit.design.n_rows - p)), "the residual")


def asymptotic(fit: Fit) -> Denominator:
    """Return the normal and chi-squared limits."""
    return Asymptotic(fit.beta_covariance)
