"""What a user writes after ``residual=``: a typed description, bound to rows later; and the product of several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from mixedfx.covariance.residual.bound import BoundCorrelation, BoundResidual, BoundVariance
from mixedfx.covariance.residual.columns import Columns, read
from mixedfx.exceptions import SpecificationError

__all__ = ["Combined", "ResidualStructure", "check_group", "check_name"]


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

        Raises
        ------
        DataError
            If a column is missing or does not fit: not numeric, duplicate times within a group, …
        """
        n = len(read(columns, self.columns[0]))
        return BoundResidual(n, self.bind_variances(columns), self.bind_correlation(columns))

    def __mul__(self, other: object) -> Combined:
        if not isinstance(other, ResidualStructure):
            return NotImplemented
        return Combined((*_factors(self), *_factors(other)))


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
        found = [factor.bind_correlation(columns) for factor in self.factors]
        return next((correlation for correlation in found if correlation is not None), None)

    def __str__(self) -> str:
        return "; ".join(str(factor) for factor in self.factors)


class CorrelationStructure(ResidualStructure):
    """A structure with a correlation between rows of a group."""


def _factors(structure: ResidualStructure) -> tuple[ResidualStructure, ...]:
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
