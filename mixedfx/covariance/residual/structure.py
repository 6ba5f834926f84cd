"""What a user writes after ``residual=``, and its form bound to rows: ``R = sigma**2 D(rho)`` by whitening alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.covariance.residual.columns import Columns, read
from mixedfx.covariance.residual.scales import Parameters, join
from mixedfx.exceptions import SpecificationError

__all__ = [
    "BoundCorrelation",
    "BoundResidual",
    "BoundVariance",
    "Combined",
    "ResidualStructure",
    "check_group",
    "check_name",
    "factors_of",
]


class BoundVariance(ABC):
    """The standard deviation of every row relative to sigma, ``exp(log_sd(rho))``."""

    parameters: Parameters
    fixes_sigma: bool

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that it reads."""

    def knows(self, columns: pd.DataFrame) -> BoolArray:
        """Say which rows have levels that the function has a parameter for."""
        return np.ones(len(columns), dtype=bool)

    def log_sd_at(self, rho: Array, columns: pd.DataFrame) -> Array:
        """Return the logarithm (n,) for other rows; nan where a value is missing or a level unknown."""
        out = np.full(len(columns), np.nan)
        if not all(name in columns for name in self.columns):
            return out
        values = columns[list(self.columns)]
        usable = ~values.isna().any(axis=1).to_numpy()
        usable[usable] = self.knows(values[usable])
        if usable.any():
            out[usable] = self.rebind(values[usable].reset_index(drop=True)).log_sd(rho)
        return out

    @abstractmethod
    def log_sd(self, rho: Array) -> Array:
        """Return the logarithm of the relative standard deviations (n,)."""

    @abstractmethod
    def log_sd_derivative(self, rho: Array) -> Array:
        """Return ``d log_sd / d rho`` (n_rho, n)."""

    @abstractmethod
    def rebind(self, columns: Columns) -> BoundVariance:
        """Return the same function, with the same parameters, for other rows."""


class BoundCorrelation(ABC):
    """The correlation matrix ``C(rho)`` of the rows, block-diagonal by group, through a root of its inverse."""

    parameters: Parameters

    @property
    @abstractmethod
    def groups(self) -> IntArray:
        """Group (n,) of every row; rows of different groups are independent."""

    @abstractmethod
    def whiten(self, rho: Array, M: Array) -> Array:
        """Return ``C**(-1/2) M`` (n, k): some root, the same for all M."""

    @abstractmethod
    def unwhiten(self, rho: Array, M: Array) -> Array:
        """Return ``C**(1/2) M`` (n, k): the inverse of :meth:`whiten`."""

    @abstractmethod
    def whiten_derivative(self, rho: Array, M: Array) -> Array:
        """Return the derivative of :meth:`whiten` (n_rho, n, k)."""

    @abstractmethod
    def logdet(self, rho: Array) -> float:
        """Return ``log |C|``."""

    @abstractmethod
    def logdet_derivative(self, rho: Array) -> Array:
        """Return ``d log |C| / d rho`` (n_rho,)."""

    @abstractmethod
    def rebind(self, columns: Columns) -> BoundCorrelation:
        """Return the same structure, with the same parameters, for other rows."""


@dataclass(frozen=True)
class BoundResidual:
    """``R = sigma**2 D(rho)``, ``D = S C S``: variance functions S and at most one correlation C of n rows.

    Rows keep their order everywhere; those of a group need be neither contiguous nor sorted.

    Attributes
    ----------
    n : int
        Number of rows.
    variances : tuple of BoundVariance
        Their standard deviations multiply.
    correlation : BoundCorrelation or None
    columns : tuple of str
        Names of the columns that the structure reads.
    """

    n: int
    variances: tuple[BoundVariance, ...]
    correlation: BoundCorrelation | None
    columns: tuple[str, ...] = ()

    @cached_property
    def parameters(self) -> Parameters:
        """Names, start values, bounds and natural scales of ``rho``: variances first, then the correlation."""
        correlations = [] if self.correlation is None else [self.correlation.parameters]
        return join([variance.parameters for variance in self.variances] + correlations)

    @property
    def n_rho(self) -> int:
        """Number of parameters."""
        return self.parameters.n_rho

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the natural parameters (n_rho,)."""
        return self.parameters.names

    @property
    def start(self) -> Array:
        """Start values (n_rho,): equal variances, no correlation."""
        return self.parameters.start

    @property
    def lower(self) -> Array:
        """Lower bounds (n_rho,)."""
        return self.parameters.lower

    @property
    def upper(self) -> Array:
        """Upper bounds (n_rho,)."""
        return self.parameters.upper

    @property
    def sigma(self) -> float | None:
        """1 where the variances are known outright, None where sigma is to be estimated."""
        return 1.0 if any(variance.fixes_sigma for variance in self.variances) else None

    @property
    def groups(self) -> IntArray | None:
        """Group (n,) of every row: rows of different groups are independent. None if all rows are."""
        return None if self.correlation is None else self.correlation.groups

    def whiten(self, rho: Array, M: Array) -> Array:
        """Return ``M~ = D**(-1/2) M`` (n, k), so that ``M~' M~ = M' D**-1 M``."""
        scaled = M * np.exp(-self._log_sd(rho))[:, None]
        return scaled if self.correlation is None else self.correlation.whiten(self._split(rho)[-1], scaled)

    def unwhiten(self, rho: Array, M: Array) -> Array:
        """Return ``D**(1/2) M`` (n, k): independent standard columns become residuals relative to sigma."""
        mixed = M if self.correlation is None else self.correlation.unwhiten(self._split(rho)[-1], M)
        return np.asarray(mixed * np.exp(self._log_sd(rho))[:, None])

    def whiten_derivative(self, rho: Array, M: Array) -> Array:
        """Return ``d M~ / d rho`` (n_rho, n, k)."""
        scaled = M * np.exp(-self._log_sd(rho))[:, None]
        slopes = [-slope[:, None] * scaled for slope in self._log_sd_derivative(rho)]
        if self.correlation is None:
            return np.array(slopes).reshape(self.n_rho, *M.shape)
        last = self._split(rho)[-1]
        result = np.empty((self.n_rho, *M.shape))
        for j, slope in enumerate(slopes):
            result[j] = self.correlation.whiten(last, slope)
        result[len(slopes) :] = self.correlation.whiten_derivative(last, scaled)
        return result

    def logdet(self, rho: Array) -> float:
        """Return ``log |D|``."""
        correlation = 0.0 if self.correlation is None else self.correlation.logdet(self._split(rho)[-1])
        return 2.0 * float(np.sum(self._log_sd(rho))) + correlation

    def logdet_derivative(self, rho: Array) -> Array:
        """Return ``d log |D| / d rho`` (n_rho,)."""
        variances = 2.0 * self._log_sd_derivative(rho).sum(axis=1)
        if self.correlation is None:
            return np.asarray(variances)
        return np.concatenate([variances, self.correlation.logdet_derivative(self._split(rho)[-1])])

    def relative_variances(self, rho: Array) -> Array:
        """Return the diagonal of ``D`` (n,)."""
        return np.exp(2.0 * self._log_sd(rho))

    def relative_variances_at(self, rho: Array, columns: pd.DataFrame) -> Array:
        """Return the diagonal of ``D`` (n,) for other rows; nan where the columns do not tell it."""
        total = np.zeros(len(columns))
        for variance, part in zip(self.variances, self._split(rho)):
            total = total + variance.log_sd_at(part, columns)
        return np.asarray(np.exp(2.0 * total))

    @property
    def variance_columns(self) -> tuple[str, ...]:
        """Names of the columns that the variances depend on."""
        return tuple(dict.fromkeys(name for variance in self.variances for name in variance.columns))

    def natural(self, rho: Array) -> Array:
        """Return the parameters (n_rho,) as tables show them, :attr:`names` in order."""
        return self.parameters.map.natural(rho)

    def natural_derivative(self, rho: Array) -> Array:
        """Return ``d natural / d rho`` (n_rho, n_rho), for the delta method."""
        return self.parameters.map.derivative(rho)

    def rebind(self, columns: Columns) -> BoundResidual:
        """Return the structure with the same parameters for other rows, for prediction and simulation.

        Raises
        ------
        DataError
            If the rows lack a column, or have a level that the structure has no parameter for.
        """
        variances = tuple(variance.rebind(columns) for variance in self.variances)
        correlation = None if self.correlation is None else self.correlation.rebind(columns)
        n = len(correlation.groups) if correlation is not None else len(variances[0].log_sd(self._split(self.start)[0]))
        return BoundResidual(n, variances, correlation, self.columns)

    def _split(self, rho: Array) -> list[Array]:
        """Cut ``rho`` into the parameters of each variance function and, last, of the correlation."""
        ends = np.cumsum([variance.parameters.n_rho for variance in self.variances], dtype=np.intp)
        return np.split(rho, ends)

    def _log_sd(self, rho: Array) -> Array:
        parts: Sequence[Array] = [v.log_sd(part) for v, part in zip(self.variances, self._split(rho))]
        return np.sum(parts, axis=0) if parts else np.zeros(self.n)

    def _log_sd_derivative(self, rho: Array) -> Array:
        parts = [v.log_sd_derivative(part) for v, part in zip(self.variances, self._split(rho))]
        return np.concatenate([np.zeros((0, self.n)), *parts])


@hinting_methods
class ResidualStructure(ABC):
    """Variances and correlations of the residuals; multiply two to combine them.

    Examples
    --------
    >>> import mixedfx.covariance.residual as residual
    >>> both = residual.VarIdent("Sex") * residual.AR1("age", group="Subject")
    >>> both.columns
    ('Sex', 'age', 'Subject')
    >>> print(both)
    variance by Sex; AR(1) over age within Subject
    """

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that the structure reads."""

    @abstractmethod
    def bind_variances(self, columns: Columns) -> tuple[BoundVariance, ...]:
        """Return its variance functions for the rows of ``columns``."""

    @abstractmethod
    def bind_correlation(self, columns: Columns) -> BoundCorrelation | None:
        """Return its correlation, if any, for the rows of ``columns``."""

    def bind(self, columns: Columns) -> BoundResidual:
        """Check the columns and return the structure for their rows.

        Parameters
        ----------
        columns : mapping of str to array-like, or DataFrame
            At least :attr:`columns`, without missing values.

        Returns
        -------
        BoundResidual
            For these rows, with the names and start values of its parameters.

        Raises
        ------
        DataError
            If a column is missing or does not fit: not numeric, duplicate times within a group, …
        """
        n = len(read(columns, self.columns[0]))
        return BoundResidual(n, self.bind_variances(columns), self.bind_correlation(columns), self.columns)

    def __mul__(self, other: object) -> Combined:
        if not isinstance(other, ResidualStructure):
            return NotImplemented
        return Combined((*factors_of(self), *factors_of(other)))


@dataclass(frozen=True)
class Combined(ResidualStructure):
    """The product of variance functions and at most one correlation: ``VarIdent("Sex") * AR1("age", group="Subject")``.

    Standard deviations multiply; the correlation is that of the standardised residuals.
    """

    factors: tuple[ResidualStructure, ...]

    def __post_init__(self) -> None:
        kinds = [type(factor).__name__ for factor in self.factors]
        correlations = [factor for factor in self.factors if isinstance(factor, CorrelationStructure)]
        if len(correlations) > 1:
            raise SpecificationError(
                f"a residual can have one correlation structure, found {len(correlations)} in {' * '.join(kinds)}"
            )
        if len(set(self.factors)) < len(self.factors):
            raise SpecificationError(f"{' * '.join(kinds)} contains the same residual structure twice")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, each once."""
        return tuple(dict.fromkeys(name for factor in self.factors for name in factor.columns))

    def bind_variances(self, columns: Columns) -> tuple[BoundVariance, ...]:
        """Return the variance functions of all factors."""
        return tuple(variance for factor in self.factors for variance in factor.bind_variances(columns))

    def bind_correlation(self, columns: Columns) -> BoundCorrelation | None:
        """Return the correlation of the factor that has one."""
        correlations = [factor.bind_correlation(columns) for factor in self.factors]
        return next((correlation for correlation in correlations if correlation is not None), None)

    def __str__(self) -> str:
        return "; ".join(str(factor) for factor in self.factors)


class CorrelationStructure(ResidualStructure):
    """A structure with a correlation between rows of a group."""


def factors_of(structure: ResidualStructure) -> tuple[ResidualStructure, ...]:
    """Return the structures that a product is made of; one that is no product is its only factor."""
    return structure.factors if isinstance(structure, Combined) else (structure,)


def check_name(structure: str, argument: str, value: object) -> None:
    """Refuse a column that is not given by its name."""
    if not isinstance(value, str):
        raise TypeError(f"{structure}: {argument} must be a column name (str), found {type(value).__name__}")


def check_group(structure: str, value: object) -> None:
    """Refuse a group that is neither None, a column name nor a tuple of column names."""
    names = value if isinstance(value, tuple) else () if value is None else (value,)
    for name in names:
        check_name(structure, "group", name)
