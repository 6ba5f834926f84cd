"""What calibrates a Wald test of fixed effects: which covariance, and how many denominator degrees of freedom."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.criterion.residual import ResidualEvaluation
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import LinearFit
from mixedfx.inference.canonical_rows import term_maps
from mixedfx.inference.containment import containment_df
from mixedfx.inference.kenward_roger import KenwardRoger
from mixedfx.inference.kenward_roger_blocks import StructuredKenwardRoger
from mixedfx.inference.satterthwaite import satterthwaite_df
from mixedfx.inference.variance_parameters import VarianceParameters
from mixedfx.matrices import Design

__all__ = ["DDF", "Asymptotic", "ByCoefficient", "Denominator", "asymptotic_for", "denominator_for", "fai_cornelius"]

ROUNDING = 1e-9  # coefficient of a function in a parameter, relative to what it is the sum of, that counts as none
EQUAL = 1e-8  # degrees of freedom that differ by less are one number


class Denominator(ABC):
    """How tests of ``L beta`` are calibrated; everything on the user's scale."""

    #: Whose method it is, as notes below a table say it.
    label: str
    #: Whether the degrees of freedom of several rows depend on the combinations of them that are given.
    depends_on_rows = False

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

    def of_means(self) -> Denominator:
        """Return what calibrates means and their contrasts; the same, unless it depends on what coefficients mean."""
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: denominator df by {self.label}, of {len(self.covariance)} coefficients>"


def fai_cornelius(df: Array) -> float:
    """Return the denominator df of an F that is the mean of independent squared t statistics with ``df`` (r,).

    Its mean is matched: ``E = sum nu / (nu - 2)``, ``2 E / (E - r)``; 2 where some ``nu`` is not above 2.

    References
    ----------
    Fai & Cornelius (1996), J. Stat. Comput. Simul. 54, 363.
    """
    if np.isnan(df).any():
        return np.nan
    if np.ptp(df) <= EQUAL * float(df.max()) if np.isfinite(df).all() else np.isinf(df).all():
        return float(df.mean())
    if (df <= 2.0).any():
        return 2.0
    finite = df[np.isfinite(df)]
    excess = float(np.sum(2.0 / (finite - 2.0)))  # E - r
    return 2.0 * (excess + df.size) / excess


@dataclass(frozen=True, repr=False)
class Satterthwaite(Denominator):
    """Satterthwaite's degrees of freedom by the delta method; several rows by Fai and Cornelius."""

    parameters: VarianceParameters
    label = "Satterthwaite"
    depends_on_rows = True

    @cached_property
    def covariance(self) -> Array:
        """The estimated covariance (p, p)."""
        return _covariance(self.parameters.fit)

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,)."""
        return satterthwaite_df(self.parameters, inner_rows(self.parameters.fit, rows))

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return the degrees of freedom of uncorrelated combinations, pooled; F is not scaled."""
        _, vectors = np.linalg.eigh(rows @ self.covariance @ rows.T)
        return fai_cornelius(self.of_rows(vectors.T @ rows)), 1.0


@dataclass(frozen=True, repr=False)
class KenwardRogerDenominator(Denominator):
    """Kenward and Roger's adjusted covariance, degrees of freedom and scaled F."""

    fit: LinearFit
    label = "Kenward and Roger"

    @cached_property
    def _own(self) -> KenwardRoger | StructuredKenwardRoger:
        if not self.fit.at.criterion.reml:
            raise SpecificationError(
                "Kenward and Roger's method is for REML fits, and this one is by maximum likelihood: fit it with "
                'reml=True, or take ddf="satterthwaite"'
            )
        point = self.fit.point
        return StructuredKenwardRoger(point) if isinstance(point, ResidualEvaluation) else KenwardRoger.of(point)

    @cached_property
    def covariance(self) -> Array:
        """The adjusted covariance (p, p)."""
        return self.fit.problem.fixed.covariance(self.fit.at.sigma2 * self._own.covariance)

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,)."""
        inner = inner_rows(self.fit, rows)
        return np.array([self._own.f_test(row[None])[0] if row.any() else np.nan for row in inner])

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return the denominator df and the scaling of F."""
        return self._own.f_test(inner_rows(self.fit, rows))


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
class Containment(Denominator):
    """Degrees of freedom that belong to coefficients, and of means to terms.

    What a coefficient is depends on the coding: of a factor between groups the intercept is the mean of its first
    level, and has degrees of freedom of rows as a coefficient. Functions of the model have parameters of their own,
    one a cell of each term, whatever the coding: a mean or contrast has the smallest degrees of freedom of the terms
    that it involves.
    """

    coefficients: ByCoefficient
    design: Design

    @property
    def label(self) -> str:  # type: ignore[override]
        """Whose method it is."""
        return self.coefficients.label

    @property
    def covariance(self) -> Array:
        """The estimated covariance (p, p)."""
        return self.coefficients.covariance

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,)."""
        return self.coefficients.of_rows(rows)

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return the smallest degrees of freedom; F is not scaled."""
        return self.coefficients.joint(rows)

    def of_means(self) -> Denominator:
        """Return the degrees of freedom by terms."""
        fixed, (terms, maps) = self.design.fixed, term_maps(self.design, None)
        df = [self.coefficients.df[list(fixed.terms.get(term, ()))].min(initial=np.inf) for term in terms]
        return ByTerm(self.covariance, maps, np.array(df), self.label)


@dataclass(frozen=True, repr=False)
class ByTerm(Denominator):
    """Degrees of freedom that belong to terms: a function has the smallest of those that it involves.

    Attributes
    ----------
    matrix : (p, p)
        Covariance.
    maps : tuple of (p, q)
        Coefficients times these are those of the parameters of each term, one for each cell.
    df : (T,)
    label : str
    """

    matrix: Array
    maps: tuple[Array, ...]
    df: Array
    label: str

    @property
    def covariance(self) -> Array:
        """The estimated covariance (p, p)."""
        return self.matrix

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,)."""
        involved = np.column_stack([_involves(rows, own) for own in self.maps])
        found = np.where(involved, self.df, np.inf).min(axis=1, initial=np.inf)
        return np.where(involved.any(axis=1), found, np.nan)

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return the smallest degrees of freedom; F is not scaled."""
        return float(self.of_rows(rows).min()), 1.0


def _involves(rows: Array, own: Array) -> BoolArray:
    """Whether rows (r, p) have coefficients in parameters, by a map (p, q), that are more than rounding (r,)."""
    size = (np.abs(rows) @ np.abs(own)).max(axis=1, initial=0.0)
    return np.asarray(np.abs(rows @ own).max(axis=1, initial=0.0) > ROUNDING * size)


@dataclass(frozen=True, repr=False)
class Asymptotic(Denominator):
    """The normal and the chi-squared limit."""

    matrix: Array
    label = "the normal distribution"

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


def inner_rows(fit: LinearFit, rows: Array) -> Array:
    """Return contrasts (r, p) of the user's coefficients as contrasts of the inner ones, response scale included."""
    basis = fit.problem.fixed
    return np.asarray(basis.scale * (np.atleast_2d(rows) @ basis.matrix))


def _covariance(fit: LinearFit) -> Array:
    return fit.problem.fixed.covariance(fit.at.sigma2 * fit.at.unscaled_cov)


def _residual(fit: LinearFit) -> Denominator:
    n, p = fit.at.criterion.n, fit.at.criterion.n_fixed
    return ByCoefficient(_covariance(fit), np.full(p, float(n - p)), "the residual")


def _containment(fit: LinearFit) -> Denominator:
    design = fit.problem.design
    return Containment(ByCoefficient(_covariance(fit), containment_df(design), "containment"), design)


def asymptotic_for(word: str | None, covariance: Array) -> Asymptotic:
    """Return the normal limit, the only method of a model without denominator degrees of freedom.

    Raises
    ------
    SpecificationError
        If ``word`` asks for another method.
    """
    if word is not None and word not in ("z", *(alias for alias, key in ALIASES.items() if key == "z")):
        raise SpecificationError(
            f"ddf={word!r} is for linear mixed models: the tests of this fit are asymptotic (ddf='z')"
        )
    return Asymptotic(covariance)


#: Methods by name; ``ddf=`` of every test is one of these words.
DDF: dict[str, Callable[[LinearFit, VarianceParameters], Denominator]] = {
    "satterthwaite": lambda fit, parameters: Satterthwaite(parameters),
    "kenward-roger": lambda fit, parameters: KenwardRogerDenominator(fit),
    "containment": lambda fit, parameters: _containment(fit),
    "residual": lambda fit, parameters: _residual(fit),
    "z": lambda fit, parameters: Asymptotic(_covariance(fit)),
}
ALIASES = {"kr": "kenward-roger", "asymptotic": "z", "normal": "z", "inf": "z", "between-within": "containment"}


def denominator_for(word: str, parameters: VarianceParameters) -> Denominator:
    """Resolve the word of ``ddf=``; the only place where a method is a string.

    Raises
    ------
    SpecificationError
        If there is no such method.
    TypeError
        If it is not a word.
    """
    if not isinstance(word, str):
        raise TypeError(f"ddf is the name of a method, such as 'satterthwaite'; found {type(word).__name__}")
    key = word.strip().lower().replace("_", "-").replace(" ", "-")
    key = ALIASES.get(key, key)
    if key not in DDF:
        raise SpecificationError(f"unknown ddf {word!r}; choose from {', '.join(map(repr, DDF))}")
    return DDF[key](parameters.fit, parameters)
