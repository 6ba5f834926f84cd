"""What marginal means need of a fit, whichever package it comes from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.denominator import ByCoefficient, Denominator
from mixedfx.marginal_means.scales import MeanScale
from mixedfx.matrices.frame import FrameRows

if TYPE_CHECKING:
    from mixedfx.marginal_means.outcomes import Outcome

__all__ = ["Columns", "FittedModel", "Predictor", "Spread", "fixed_df", "predictor_of", "unknown_predictor"]

KEPT_VALUES = 2  # a numeric predictor with no more distinct values than this is averaged over them, like a factor


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
        Of a numeric one.
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


def predictor_of(name: str, values: pd.Series, *, is_factor: bool) -> Predictor:
    """Return the predictor of a column without missing values."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return Predictor(name, tuple(values.cat.remove_unused_categories().cat.categories.tolist()), True)
    levels = tuple(np.sort(values.unique()).tolist()) if values.dtype.kind in "biuf" else tuple(sorted(set(values)))
    if values.dtype.kind not in "iuf":
        return Predictor(name, levels, True)
    numbers = values.to_numpy(dtype=float)
    return Predictor(name, levels, is_factor, float(numbers.mean()), float(numbers.min()), float(numbers.max()))


class Columns(ABC):
    """Makes what depends on predictors, for the rows of any data frame that has them."""

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
class Spread:
    """The standard deviation of an observation.

    Attributes
    ----------
    sd : float
    df : float
        Degrees of freedom with which it is estimated.
    words : str
        What it is.
    """

    sd: float
    df: float
    words: str


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A fit as far as its linear predictor goes.

    Attributes
    ----------
    beta : (p,)
        Estimated coefficients.
    denominator : Denominator
        Their covariance, and the degrees of freedom of combinations of them.
    kept : (p,)
        Positions of the estimated columns among all P.
    null : (P, d)
        Basis of the combinations of coefficients that the data say nothing about: what is not orthogonal to them
        cannot be estimated.
    columns : Columns
    predictors : dict of Predictor
    observed : DataFrame
        Their values in the rows of the fit.
    scale : MeanScale
        Of the linear predictor.
    terms : tuple of frozenset of str
        The predictors in each term of the fixed effects.
    response : str
        Name of the response.
    names : tuple of str
        Of the estimated coefficients.
    spread : callable or None
        Gives the standard deviation of an observation, where the model has one.
    rows : callable or None
        Gives the data of the fit, and which of their rows it used.
    offset : callable
        From rows to the known part (n,) of their linear predictors; :meth:`at` says of which rows.
    notes : tuple of str
        What tables of it should say.
    elsewhere : dict of str
        Columns that only another linear predictor uses, and its name.
    outcome : Outcome or None
        If it was asked for: what the response does.
    write : callable or None
        Gives the rows on which the pooled degrees of freedom of rows (r, p) rest.
    """

    beta: Array
    denominator: Denominator
    kept: IntArray
    null: Array
    columns: Columns = field(repr=False)
    predictors: Mapping[str, Predictor]
    observed: pd.DataFrame = field(repr=False)
    scale: MeanScale
    terms: tuple[frozenset[str], ...] = ()
    response: str = ""
    names: tuple[str, ...] = ()
    spread: Callable[[], Spread] | None = field(default=None, repr=False)
    rows: Callable[[], FrameRows] | None = field(default=None, repr=False)
    offset: Callable[[pd.DataFrame], Array] = field(default=lambda data: np.zeros(len(data)), repr=False)
    notes: tuple[str, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    outcome: Outcome | None = field(default=None, repr=False)
    write: Callable[[Array], Array] | None = field(default=None, repr=False)

    @property
    def categories(self) -> Outcome | None:
        """What the response does, if it is asked for and has ordered categories."""
        return self.outcome if self.outcome is not None and self.outcome.categories else None

    def in_its_rows(self) -> FittedModel:
        """Return it for the rows of the fit, each with its own offset."""
        return replace(self, offset=self.columns.own_offset)

    def in_new_rows(self, offset: Any) -> FittedModel:
        """Return it for other rows, whose offset is given unless their columns tell it."""
        return replace(self, offset=lambda data: self.columns.new_offset(data, offset))

    def on_grid(self, offset: float | None) -> FittedModel:
        """Return it for a reference grid, whose offset is the usual one or a number."""
        if offset is None:
            return replace(self, offset=self.columns.usual_offset)
        used = {name for term in self.terms for name in term}
        only = [name for name in self.columns.offset_names if name not in used]
        left = {name: own for name, own in self.predictors.items() if name not in only or own.is_fixed}
        return replace(self, predictors=left, offset=lambda data: np.full(len(data), offset))


def unknown_predictor(model: FittedModel, name: str) -> SpecificationError:
    """Return the error for a name that is no predictor, or one of another part of the model only."""
    if name in model.elsewhere:
        return SpecificationError(
            f"{name!r} stands in {model.elsewhere[name]}= only, which the linear predictor of the mean does not see: "
            "ask for means of the response, with scale='response'"
        )
    known = ", ".join(map(repr, model.predictors)) or "none"
    return SpecificationError(f"{name!r} is no predictor of the model; they are {known}")


def fixed_df(covariance: Array, df: float, label: str) -> Denominator:
    """Return the denominator that has the same degrees of freedom for everything."""
    return ByCoefficient(covariance, np.full(len(covariance), float(df)), label)
