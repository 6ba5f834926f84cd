"""A fit of any package, as tests and means of its linear predictor need it.

:func:`mixedfx.results.adapters.adapted` makes it of results of ours, of ``aov`` and of statsmodels; nothing above asks
which they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import is_number
from mixedfx._typing import Array, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.families.links import Link, link_for
from mixedfx.families.mean_function import is_inverse_link
from mixedfx.fitting.fit import Fit
from mixedfx.inference.denominator import Asymptotic, ByCoefficient, Denominator
from mixedfx.matrices.frame import FrameRows

__all__ = [
    "AdaptedFit",
    "ObservationSpread",
    "Predictor",
    "PredictorColumns",
    "fixed_df",
    "given_df",
    "predictor_of",
    "residual_denominator",
]

KEPT_VALUES = 2  # a numeric predictor with no more distinct values than this is averaged over them, like a factor
IDENTITY = link_for("identity")


@dataclass(frozen=True)
class Predictor:
    """A column of the data that the linear predictor uses.

    Attributes
    ----------
    name : str
    levels : tuple
        Distinct values, in order.
    is_factor : bool
        Whether formulas read it as a factor, some factor of the formula is made of it, or it is True or False.
    mean, lower, upper : float
        Of a numeric one; nan for text and categories.
    is_fixed : bool
        Whether the fixed effects use it, and not the offset or the random effects only.
    """

    name: str
    levels: tuple[Hashable, ...]
    is_factor: bool
    mean: float = np.nan
    lower: float = np.nan
    upper: float = np.nan
    is_fixed: bool = True

    @property
    def is_discrete(self) -> bool:
        """Whether the reference grid has all its values."""
        return self.is_factor or len(self.levels) <= KEPT_VALUES

    @property
    def reference(self) -> tuple[Hashable, ...]:
        """Values in the reference grid: all of them, or the mean."""
        return self.levels if self.is_discrete else (self.mean,)


def predictor_of(name: str, values: pd.Series, *, is_factor: bool, is_fixed: bool = True) -> Predictor:
    """Return the predictor of a column without missing values."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        levels = tuple(values.cat.remove_unused_categories().cat.categories.tolist())
        return Predictor(name, levels, True, is_fixed=is_fixed)
    levels = tuple(np.sort(values.unique()).tolist()) if values.dtype.kind in "biuf" else tuple(sorted(set(values)))
    if values.dtype.kind not in "iuf":
        return Predictor(name, levels, True, is_fixed=is_fixed)
    numbers = values.to_numpy(dtype=float)
    return Predictor(
        name, levels, is_factor, float(numbers.mean()), float(numbers.min()), float(numbers.max()), is_fixed
    )


class PredictorColumns(ABC):
    """Makes the columns and the offset of the linear predictor for rows of any data frame with the predictors."""

    @abstractmethod
    def matrix(self, data: pd.DataFrame) -> Array:
        """Return all columns (n, P) of the fixed effects, redundant ones included."""

    @property
    @abstractmethod
    def has_offset(self) -> bool:
        """Whether the linear predictor has a known part."""

    @property
    @abstractmethod
    def offset_names(self) -> tuple[str, ...]:
        """The predictors of which the offset is made."""

    @abstractmethod
    def own_offset(self, data: pd.DataFrame) -> Array:
        """Return the known part (n,) of the linear predictor in the rows of the fit, with predictors changed."""

    @abstractmethod
    def new_offset(self, data: pd.DataFrame, given: Any) -> Array:
        """Return that of other rows; a SpecificationError if it was an array and is not given."""

    @abstractmethod
    def usual_offset(self, data: pd.DataFrame) -> Array:
        """Return that of a reference grid."""


@dataclass(frozen=True)
class ObservationSpread:
    """The standard deviation of an observation, in the units of the data.

    Attributes
    ----------
    sd : float
    df : float
        Degrees of freedom with which it is estimated.
    words : str
        Its name in notes.
    """

    sd: float
    df: float
    words: str


@dataclass(frozen=True, eq=False)
class AdaptedFit:
    """A fit as far as its linear predictor goes; everything on the user's scale.

    Attributes
    ----------
    names : tuple of str
        Of the estimated coefficients.
    beta : (p,)
    denominator : Denominator
        Their covariance, and the degrees of freedom of combinations of them.
    kept : (p,)
        Positions of the estimated columns among all P.
    silent : (P, d)
        Basis of the combinations of coefficients that the data do not determine: rows that are not orthogonal to it
        cannot be estimated.
    columns : PredictorColumns
    terms : tuple of frozenset of str
        The predictors in each term of the fixed effects.
    predictors : dict of Predictor
    observed : DataFrame
        Their values in the rows of the fit.
    response : str
        Name of the response, as the user wrote it.
    transformed : str
        The expression of the response in the formula of a linear model, which may transform it; empty elsewhere.
    rows : callable or None
        Returns the data of the fit, and which of their rows it used.
    link : Link
        Of the mean.
    has_mean : bool
        Whether the response has a mean: ordered categories have none.
    spread : callable or None
        Returns the standard deviation of an observation, or None if its error is not known.
    notes : tuple of str
        For tables of the fit.
    elsewhere : dict of str
        Columns that only another linear predictor uses, with its name.
    df : float or None
        The degrees of freedom of all tests, if the user wants the same for everything.
    usual_rows : callable or None
        Maps a hypothesis (r, p) to the equivalent rows from which its pooled degrees of freedom are computed.
    residual : (float, float) or None
        Residual degrees of freedom and sum of squares of an ordinary linear model.
    info : object
        Patsy's or formulaic's description of the columns, where they are those of statsmodels.
    solution : Fit or None
        The fit itself, if it is one of ours.
    counts : (n,) or None
        How many rows of the data each of :attr:`observed` is; one if None.
    fitted : callable or None
        Returns linear predictors (n, K) and means (n,) of the fitted rows, of a fit of ours.
    need_rows : callable
        Refuses what averages over rows, in the words that it is given, where there are none.
    analyses : tuple of AdaptedFit
        The fits that it is put together of, where each is asked what the response is.
    silence : str
        Why it does not say itself what the response is, where that takes more than the linear predictor.
    """

    names: tuple[str, ...]
    beta: Array
    denominator: Denominator
    kept: IntArray
    silent: Array
    columns: PredictorColumns = field(repr=False)
    terms: tuple[frozenset[str], ...]
    predictors: Mapping[str, Predictor]
    observed: pd.DataFrame = field(repr=False)
    response: str
    transformed: str
    rows: Callable[[], FrameRows] | None = field(default=None, repr=False)
    link: Link = IDENTITY
    has_mean: bool = True
    spread: Callable[[], ObservationSpread | None] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    df: float | None = None
    usual_rows: Callable[[Array], Array] | None = field(default=None, repr=False)
    residual: tuple[float, float] | None = None
    info: Any = field(default=None, repr=False)
    solution: Fit | None = field(default=None, repr=False)
    counts: Array | None = field(default=None, repr=False)
    fitted: Callable[[], tuple[Array, Array]] | None = field(default=None, repr=False)
    need_rows: Callable[[str], None] = field(default=lambda asker: None, repr=False)
    analyses: tuple[AdaptedFit, ...] = field(default=(), repr=False)
    silence: str = ""

    @property
    def mean_is_inverse_link(self) -> bool:
        """Whether the mean of the fitted rows is the inverse link of the first linear predictor, and nothing else."""
        if self.fitted is None:
            return True
        predictors, mean = self.fitted()
        return is_inverse_link(self.link, predictors[:, 0], mean)


# ---------------------------------------------------------------- degrees of freedom
def fixed_df(covariance: Array, df: float, label: str) -> Denominator:
    """Return the denominator that has the same degrees of freedom for everything."""
    return ByCoefficient(covariance, np.full(len(covariance), float(df)), label)


def given_df(ddf: Any) -> float | None:
    """Return ``ddf=`` if it is a number of degrees of freedom, and None if it names a method."""
    if not is_number(ddf):
        return None
    if not ddf > 0:
        raise SpecificationError(f"ddf is the name of a method or a positive number; found {ddf}")
    return float(ddf)


def residual_denominator(covariance: Array, df: float, ddf: Any, usual: str) -> Denominator:
    """Resolve ``ddf=`` of a model without random effects; ``usual`` is the method where none is named."""
    number = given_df(ddf)
    if number is not None:
        return fixed_df(covariance, number, "the user")
    method = LINEAR_DDF.get(str(usual if ddf is None else ddf))
    if method is None:
        raise SpecificationError(f"ddf={ddf!r} is for mixed models; a linear model has 'residual' and 'z'")
    return method(covariance, df)


LINEAR_DDF: dict[str, Callable[[Array, float], Denominator]] = {
    "residual": lambda covariance, df: fixed_df(covariance, df, "the residual"),
    "z": lambda covariance, df: Asymptotic(covariance),
}
