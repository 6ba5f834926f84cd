"""Variance functions: residual standard deviations by group or by covariate, or known ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array, BoolArray
from mixedfx.covariance.residual.columns import Columns, Levels, level_label, numbers
from mixedfx.covariance.residual.scales import Parameters, Positive, Unlimited
from mixedfx.covariance.residual.structure import BoundVariance, ResidualStructure, check_name
from mixedfx.exceptions import DataError

__all__ = ["KnownVariance", "LevelVariance", "VarExp", "VarIdent", "VarPower"]

LOG_RATIO_REACH = 25.0
"""Standard deviations differ by a factor of at most ``exp(25)`` between levels."""

LOG_SD_REACH = 300.0
"""``|log sd|`` that a power or an exponential may reach: its square's exponential is still a finite number."""


class VarianceStructure(ResidualStructure):
    """A structure of independent residuals."""

    def bind_correlation(self, columns: Columns) -> None:
        """Return None: the residuals are independent."""
        return None


@hinting_methods
@dataclass(frozen=True)
class VarIdent(VarianceStructure):
    """A residual standard deviation for each level of a factor.

    ``sd = sigma`` at the first level and ``sigma * ratio`` at the others. The first level is the first category of a
    categorical column, else the first one met in the data.

    Parameters
    ----------
    column : str
        The factor.

    Examples
    --------
    >>> bound = VarIdent("Sex").bind({"Sex": ["Male", "Female", "Male"]})
    >>> bound.names
    ('Sex[Female]',)
    >>> bound.natural(bound.start)
    array([1.])
    """

    column: str

    def __post_init__(self) -> None:
        check_name("VarIdent", "column", self.column)

    @property
    def columns(self) -> tuple[str, ...]:
        """The factor."""
        return (self.column,)

    def bind_variances(self, columns: Columns) -> tuple[BoundVariance, ...]:
        """Return the function for the rows of ``columns``."""
        return (LevelVariance.of(Levels.by_appearance(columns, self.column)),)

    def __str__(self) -> str:
        return f"variance by {self.column}"


@dataclass(frozen=True)
class LevelVariance(BoundVariance):
    """``log_sd = rho[level - 1]``, zero at the first level."""

    levels: Levels
    parameters: Parameters
    fixes_sigma = False

    @classmethod
    def of(cls, levels: Levels) -> LevelVariance:
        """Make the parameters: the logarithm of a ratio for every level but the first."""
        if len(levels.values) < 2:
            raise DataError(
                f"column {levels.name!r} has a single level: its residual variance is sigma squared already"
            )
        names = [f"{levels.name}[{level_label(level)}]" for level in levels.values[1:]]
        return cls(levels, Parameters.elementwise(names, Positive(), 0.0, LOG_RATIO_REACH))

    @property
    def columns(self) -> tuple[str, ...]:
        """The factor."""
        return (self.levels.name,)

    def knows(self, columns: pd.DataFrame) -> BoolArray:
        """Say which rows have a level of the fit."""
        return self.levels.contains(columns)

    def log_sd(self, rho: Array) -> Array:
        """Return ``log_sd`` (n,)."""
        return np.concatenate([[0.0], rho])[self.levels.codes]

    def log_sd_derivative(self, rho: Array) -> Array:
        """Return the indicators (n_rho, n) of the levels."""
        return np.equal.outer(np.arange(1, len(self.levels.values)), self.levels.codes).astype(np.float64)

    def rebind(self, columns: Columns) -> LevelVariance:
        """Return the function for other rows."""
        return LevelVariance(self.levels.of(columns), self.parameters)


@hinting_methods
@dataclass(frozen=True)
class VarPower(VarianceStructure):
    """``sd = sigma |v|**power``, with a power for each level of ``group`` if given.

    Parameters
    ----------
    column : str
        The covariate v: numeric, nowhere zero.
    group : str, optional
        A factor.

    Examples
    --------
    >>> bound = VarPower("age").bind({"age": [8.0, 10.0]})
    >>> bound.names
    ('power',)
    """

    column: str
    group: str | None = None

    def __post_init__(self) -> None:
        check_name("VarPower", "column", self.column)
        if self.group is not None:
            check_name("VarPower", "group", self.group)

    @property
    def columns(self) -> tuple[str, ...]:
        """The covariate and the factor."""
        return (self.column,) if self.group is None else (self.column, self.group)

    def bind_variances(self, columns: Columns) -> tuple[BoundVariance, ...]:
        """Return the function for the rows of ``columns``."""
        levels = None if self.group is None else Levels.by_appearance(columns, self.group)
        return (LogLinearVariance.of("power", LogCovariate(self.column), levels, columns),)

    def __str__(self) -> str:
        return f"standard deviation a power of {self.column}" + (f" by {self.group}" if self.group else "")


@hinting_methods
@dataclass(frozen=True)
class VarExp(VarianceStructure):
    """``sd = sigma exp(rate v)``, with a rate for each level of ``group`` if given.

    Sigma is the standard deviation at v = 0: centre a covariate that lies far from zero.

    Parameters
    ----------
    column : str
        The covariate v: numeric.
    group : str, optional
        A factor.

    Examples
    --------
    >>> bound = VarExp("age", group="Sex").bind({"age": [8, 10], "Sex": ["Male", "Female"]})
    >>> bound.names
    ('rate[Male]', 'rate[Female]')
    """

    column: str
    group: str | None = None

    def __post_init__(self) -> None:
        check_name("VarExp", "column", self.column)
        if self.group is not None:
            check_name("VarExp", "group", self.group)

    @property
    def columns(self) -> tuple[str, ...]:
        """The covariate and the factor."""
        return (self.column,) if self.group is None else (self.column, self.group)

    def bind_variances(self, columns: Columns) -> tuple[BoundVariance, ...]:
        """Return the function for the rows of ``columns``."""
        levels = None if self.group is None else Levels.by_appearance(columns, self.group)
        return (LogLinearVariance.of("rate", Covariate(self.column), levels, columns),)

    def __str__(self) -> str:
        return f"standard deviation exponential in {self.column}" + (f" by {self.group}" if self.group else "")


@dataclass(frozen=True)
class Covariate:
    """A numeric column as it is."""

    name: str

    def values(self, columns: Columns) -> Array:
        """Return the column (n,)."""
        return numbers(columns, self.name)


@dataclass(frozen=True)
class LogCovariate:
    """The logarithm of the absolute value of a numeric column."""

    name: str

    def values(self, columns: Columns) -> Array:
        """Return ``log |v|`` (n,)."""
        sizes = np.abs(numbers(columns, self.name))
        if np.any(sizes == 0):
            raise DataError(f"VarPower: column {self.name!r} contains zeros, where the power is undefined; use VarExp")
        return np.log(sizes)


@dataclass(frozen=True)
class LogLinearVariance(BoundVariance):
    """``log_sd = rho[level] * x`` with a transformed covariate x."""

    source: Covariate | LogCovariate
    x: Array
    levels: Levels | None
    parameters: Parameters
    fixes_sigma = False

    @classmethod
    def of(
        cls, name: str, source: Covariate | LogCovariate, levels: Levels | None, columns: Columns
    ) -> LogLinearVariance:
        """Make the parameters, one for each level."""
        x = source.values(columns)
        if np.ptp(x) == 0:
            raise DataError(f"column {source.name!r} is constant: the residual variance cannot depend on it")
        names = [name] if levels is None else [f"{name}[{level_label(level)}]" for level in levels.values]
        reach = LOG_SD_REACH / float(np.max(np.abs(x)))
        return cls(source, x, levels, Parameters.elementwise(names, Unlimited(), 0.0, reach))

    @property
    def columns(self) -> tuple[str, ...]:
        """The covariate and the factor."""
        return (self.source.name,) if self.levels is None else (self.source.name, self.levels.name)

    def knows(self, columns: pd.DataFrame) -> BoolArray:
        """Say which rows have a level of the fit."""
        return np.ones(len(columns), dtype=bool) if self.levels is None else self.levels.contains(columns)

    def log_sd(self, rho: Array) -> Array:
        """Return ``log_sd`` (n,)."""
        return np.asarray((rho[0] if self.levels is None else rho[self.levels.codes]) * self.x)

    def log_sd_derivative(self, rho: Array) -> Array:
        """Return ``d log_sd / d rho`` (n_rho, n)."""
        if self.levels is None:
            return self.x[None]
        return np.where(np.equal.outer(np.arange(len(rho)), self.levels.codes), self.x, 0.0)

    def rebind(self, columns: Columns) -> LogLinearVariance:
        """Return the function for other rows."""
        levels = None if self.levels is None else self.levels.of(columns)
        return LogLinearVariance(self.source, self.source.values(columns), levels, self.parameters)


@hinting_methods
@dataclass(frozen=True)
class KnownVariance(VarianceStructure):
    """Residual variances that are known, sigma being 1: the sampling variances of a meta-analysis.

    Parameters
    ----------
    column : str
        The variances: numeric, positive.

    Examples
    --------
    >>> bound = KnownVariance("vi").bind({"vi": [0.04, 0.01]})
    >>> bound.sigma, bound.n_rho
    (1.0, 0)
    """

    column: str

    def __post_init__(self) -> None:
        check_name("KnownVariance", "column", self.column)

    @property
    def columns(self) -> tuple[str, ...]:
        """The variances."""
        return (self.column,)

    def bind_variances(self, columns: Columns) -> tuple[BoundVariance, ...]:
        """Return the function for the rows of ``columns``."""
        return (ConstantVariance.of(columns, self.column),)

    def __str__(self) -> str:
        return f"known variances {self.column}"


@dataclass(frozen=True)
class ConstantVariance(BoundVariance):
    """Known standard deviations, no parameter."""

    name: str
    log_sds: Array
    parameters: Parameters
    fixes_sigma = True

    @classmethod
    def of(cls, columns: Columns, name: str) -> ConstantVariance:
        """Read the variances."""
        variances = numbers(columns, name)
        if np.any(variances <= 0):
            raise DataError(f"KnownVariance: column {name!r} must be positive, found {variances.min():g}")
        return cls(name, np.log(variances) / 2, Parameters.elementwise((), Unlimited(), 0.0, 0.0))

    @property
    def columns(self) -> tuple[str, ...]:
        """The variances."""
        return (self.name,)

    def log_sd(self, rho: Array) -> Array:
        """Return ``log_sd`` (n,)."""
        return self.log_sds

    def log_sd_derivative(self, rho: Array) -> Array:
        """Return nothing (0, n)."""
        return np.zeros((0, len(self.log_sds)))

    def rebind(self, columns: Columns) -> ConstantVariance:
        """Return the function for other rows."""
        return ConstantVariance.of(columns, self.name)
