"""Terms to columns, learnt from the data of the model and replayed exactly on new data; the variables behind them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array, IntArray
from mixedfx.exceptions import DataError
from mixedfx.formula import Expression, Term, coefficient_name, columns_in, display
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.frame import FrameRows, as_frame
from mixedfx.matrices.labels import Labels
from mixedfx.matrices.limits import check_columns
from mixedfx.matrices.products import TermStructure, hierarchical_structure, minimal_columns, term_columns
from mixedfx.matrices.rows import complete_rows, missing_of
from mixedfx.matrices.transforms import FittedTransform, GroupMeans
from mixedfx.matrices.values import Coding, Factor, Value

__all__ = [
    "Encoder",
    "FormulaicEncoder",
    "PlainEncoder",
    "SelectedEncoder",
    "Settings",
    "Term",
    "Variable",
    "encoder_of_values",
    "is_plain",
    "learn_encoder",
    "read_variable",
    "read_variables",
    "term_label",
    "unlike_contrasts",
    "unlike_levels",
    "unlike_numbers",
]


SAME = 1e-9  # a relative difference of learnt numbers that is rounding


@dataclass(frozen=True)
class Settings:
    """What the user added to the language of formulas.

    Parameters
    ----------
    functions : mapping
        Own functions and constants by name.
    codings : mapping
        Contrasts by column.
    """

    functions: Mapping[str, Any] = field(default_factory=dict)
    codings: Mapping[str, Coding] = field(default_factory=dict)

    def named_in(self, expressions: Iterable[Expression]) -> Settings:
        """Return the settings with those functions only that the ``expressions`` name."""
        used = frozenset().union(*(expression.functions for expression in expressions))
        return Settings({name: function for name, function in self.functions.items() if name in used}, self.codings)


class Encoder(ABC):
    """How the columns of some terms are made of any data.

    Attributes
    ----------
    names : tuple of str
        Names (p) of the columns.
    terms : dict
        Positions of the columns of each term; ``"Intercept"`` is the intercept's. A term without columns has none.
    """

    names: tuple[str, ...]
    terms: dict[str, tuple[int, ...]]

    @property
    @abstractmethod
    def expressions(self) -> tuple[Expression, ...]:
        """The expressions of which the terms are products."""

    @property
    @abstractmethod
    def functions(self) -> Mapping[str, Any]:
        """The user's own functions."""

    @abstractmethod
    def columns(self, rows: FrameRows) -> Array:
        """Return the columns (n, p) for rows without missing values."""

    def encode(self, data: Any) -> Array:
        """Return the columns (n, p) for the rows of new data; rows with missing values are NaN.

        Raises
        ------
        DataError
            If a column is missing, has a level that was unknown when the encoder learnt, or is not what it was.
        """
        frame = as_frame(data)
        frame.require(self.variables)
        keep = complete_rows(len(frame), missing_of(frame, self.expressions, self.functions)).keep
        columns = self.columns(FrameRows(frame, keep))
        if keep is None:
            return columns
        matrix = np.full((len(frame), len(self.names)), np.nan, order="F")
        matrix[keep] = columns
        return matrix

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the data's columns that the terms use."""
        return columns_in(self.expressions)


def term_label(term: tuple[str, ...]) -> str:
    """Return the name of a term: ``Intercept``, ``x``, ``f:x``."""
    return coefficient_name(":".join(term)) if term else "Intercept"


@dataclass(frozen=True)
class PlainEncoder(Encoder):
    """Intercept, numeric columns and their products; no need of formulaic."""

    products: tuple[Term, ...]
    names: tuple[str, ...]
    terms: dict[str, tuple[int, ...]]

    @classmethod
    def of(cls, terms: Sequence[Term]) -> PlainEncoder:
        """Return the encoder of terms that are products of numeric columns."""
        names = tuple(term_label(term) for term in terms)
        return cls(tuple(terms), names, {name: (j,) for j, name in enumerate(names)})

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The columns, as identifiers."""
        return tuple(dict.fromkeys(name for term in self.products for name in term))

    @property
    def functions(self) -> Mapping[str, Any]:
        """None."""
        return {}

    def columns(self, rows: FrameRows) -> Array:
        """Return the columns (n, p)."""
        return self.values(Evaluator(rows, {}, {}, ({}, {})))

    def values(self, value: Evaluator) -> Array:
        """Return the columns (n, p) by the values of their factors."""
        matrix = np.empty((value.rows.size, len(self.products)), order="F")
        for j, term in enumerate(self.products):
            matrix[:, j] = value.numbers(term[0]) if term else 1.0
            for factor in term[1:]:
                matrix[:, j] *= value.numbers(factor)
        return matrix


@dataclass(frozen=True)
class FormulaicEncoder(Encoder):
    """Any terms: those that lack a margin have the columns that formulaic says they need.

    Parameters
    ----------
    structure : tuple of TermStructure
        Of which products the columns of each term are made.
    settings : Settings
        The user's functions and contrasts.
    transforms : dict
        What ``scale``, ``poly``, splines, … learnt, by expression.
    levels : dict
        Levels of the factors, by column or expression.
    """

    structure: tuple[TermStructure, ...]
    settings: Settings
    transforms: dict[str, FittedTransform]
    levels: dict[str, pd.Index[Any]]
    names: tuple[str, ...]
    terms: dict[str, tuple[int, ...]]
    expressions: tuple[Expression, ...] = ()

    @property
    def functions(self) -> Mapping[str, Any]:
        """The user's own functions."""
        return self.settings.functions

    def columns(self, rows: FrameRows) -> Array:
        """Return the columns (n, p)."""
        value = Evaluator(rows, self.settings.functions, self.settings.codings, (self.transforms, self.levels))
        return term_columns(self.structure, {text: value(text) for text in self.expressions}, rows.size)[0]


@dataclass(frozen=True)
class SelectedEncoder(Encoder):
    """Some of the columns of another encoder.

    Parameters
    ----------
    whole : Encoder
    chosen : tuple of int
        Positions of the columns.
    """

    whole: Encoder
    chosen: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the chosen columns."""
        return tuple(self.whole.names[j] for j in self.chosen)

    @property
    def terms(self) -> dict[str, tuple[int, ...]]:  # type: ignore[override]
        """Positions of the columns of each term among the chosen ones."""
        place = {old: new for new, old in enumerate(self.chosen)}
        return {term: tuple(place[j] for j in columns if j in place) for term, columns in self.whole.terms.items()}

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The expressions of which the terms are products."""
        return self.whole.expressions

    @property
    def functions(self) -> Mapping[str, Any]:
        """The user's own functions."""
        return self.whole.functions

    def columns(self, rows: FrameRows) -> Array:
        """Return the columns (n, p)."""
        return np.asfortranarray(self.whole.columns(rows)[:, list(self.chosen)])


def learn_encoder(
    terms: Sequence[Term], rows: FrameRows, settings: Settings, part: str, *, within_only: bool = False
) -> tuple[Encoder, Array]:
    """Learn the columns of ``terms`` from ``rows`` and return the encoder with its columns.

    Parameters
    ----------
    terms : sequence of tuple of Expression
        Each term's factors; ``()`` is the intercept.
    rows : FrameRows
        The rows of the model, without missing values.
    settings : Settings
        The user's functions and contrasts.
    part : str
        What the terms are for, as error messages call it.
    within_only : bool
        Whether ``wb(x, g)`` stands for the deviations only, as it does left of a bar.

    Returns
    -------
    encoder : Encoder
    columns : (n, p) array
        On the user's scale.
    """
    ordered = sorted(terms, key=len)
    if all(is_plain(factor, rows, settings) for term in ordered for factor in term):
        plain = PlainEncoder.of(ordered)
        check_columns(part, dict.fromkeys(plain.names, 1), rows.size)
        return plain, plain.values(Evaluator(rows, {}, {}))
    return _learn_formulaic(ordered, rows, settings, part, within_only)


def is_plain(factor: Expression, rows: FrameRows, settings: Settings) -> bool:
    """Say whether a factor of a term is a column of numbers."""
    if not factor.is_column:
        return False
    name = factor.columns[0]
    return name in rows.frame and not rows.is_factor(name) and name not in settings.codings


def _learn_formulaic(
    terms: Sequence[Term], rows: FrameRows, settings: Settings, part: str, within_only: bool
) -> tuple[Encoder, Array]:
    value = Evaluator(rows, settings.functions, settings.codings, within_only=within_only)
    values = {text: value(text) for text in dict.fromkeys(factor for term in terms for factor in term)}
    return encoder_of_values(terms, values, (value.transforms, value.levels), settings, part, rows.size)


def encoder_of_values(
    terms: Sequence[Term],
    values: Mapping[Expression, Value],
    learnt: tuple[dict[str, FittedTransform], dict[str, pd.Index[Any]]],
    settings: Settings,
    part: str,
    n_rows: int,
) -> tuple[FormulaicEncoder, Array]:
    """Return the encoder of terms whose factors have these values (n_rows,), and the columns (n_rows, p) there.

    ``learnt`` are what the functions of the expressions learnt, and the levels of the factors.
    """
    expressions = tuple(values)
    for text, content in values.items():
        if isinstance(content, Factor) and len(content.levels) < 2:
            raise DataError(
                f"the factor {display(text)} in {part} has only one level ({content.levels[0]!r}): leave it out"
            )
    check_columns(part, {term_label(term): minimal_columns([values[text] for text in term]) for term in terms}, n_rows)
    structure = hierarchical_structure(terms, values) or _structure_by_formulaic(terms, values)
    matrix, names = term_columns(structure, values, n_rows)
    ends = list(accumulate(map(len, names), initial=0))
    encoder = FormulaicEncoder(
        structure,
        settings.named_in(expressions),
        *learnt,
        tuple(coefficient_name(name) for of_term in names for name in of_term),
        {term_label(term): tuple(range(*at)) for term, at in zip(terms, pairwise(ends), strict=True)},
        expressions,
    )
    return encoder, matrix


def _structure_by_formulaic(terms: Sequence[Term], values: Mapping[Expression, Value]) -> tuple[TermStructure, ...]:
    from mixedfx.matrices.materialize import structure_by_formulaic  # a fifth of a second

    return structure_by_formulaic(terms, values)


def unlike_levels(one: Encoder, other: Encoder) -> dict[str, tuple[list[Any], list[Any]]]:
    """Return the factors whose levels two encoders of the same terms know differently, with those of both."""
    first, second = _learnt(one), _learnt(other)
    names = [name for name in first.levels if name in second.levels]
    both = {name: (list(first.levels[name]), list(second.levels[name])) for name in names}
    return {name: levels for name, levels in both.items() if levels[0] != levels[1]}


def unlike_numbers(one: Encoder, other: Encoder) -> list[str]:
    """Return the expressions for which two encoders of the same terms learnt different numbers from their data.

    These are those of ``scale``, ``poly``, splines and ``cut``. Means by group do not count: they are data, not what
    the columns mean.
    """
    first, second = _learnt(one).transforms, _learnt(other).transforms
    return [name for name in first if name in second and not _alike(first[name], second[name])]


def unlike_contrasts(one: Encoder, other: Encoder) -> list[str]:
    """Return the columns for which two encoders of the same terms were given different contrasts."""
    first, second = _learnt(one).settings.codings, _learnt(other).settings.codings
    return [name for name in {**first, **second} if not _alike(first.get(name), second.get(name))]


def _learnt(encoder: Encoder) -> FormulaicEncoder:
    whole = encoder.whole if isinstance(encoder, SelectedEncoder) else encoder
    return whole if isinstance(whole, FormulaicEncoder) else FormulaicEncoder((), Settings(), {}, {}, (), {})


def _alike(one: Any, other: Any) -> bool:
    """Whether two learnt transforms, or what they are made of, are the same but for rounding."""
    if type(one) is not type(other):
        return False
    if isinstance(one, GroupMeans):
        return one.within_only == other.within_only  # type: ignore[no-any-return]
    if is_dataclass(one):
        return all(_alike(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_alike(value, other[key]) for key, value in one.items())
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float | np.ndarray | np.floating) and np.asarray(one).dtype.kind == "f":
        scale = float(np.abs(one).max(initial=0.0)) if np.size(one) else 0.0
        return np.shape(one) == np.shape(other) and bool(np.allclose(one, other, rtol=0.0, atol=SAME * scale))
    return bool(np.all(one == other)) if np.shape(one) == np.shape(other) else False


@dataclass(frozen=True)
class Variable:
    """A column of the data that the terms use, in the rows of the model.

    Parameters
    ----------
    name : str
        Its name.
    numbers : numpy.ndarray or None
        Its values (n,) if it is numeric.
    labels : Labels or None
        Its labels if it is a factor.
    is_logical : bool
        Whether its numbers stand for True and False.
    """

    name: str
    numbers: Array | None
    labels: Labels | None
    is_logical: bool = False

    def taken(self, rows: IntArray) -> Variable:
        """Return the variable in some rows, repeated or not; a factor keeps all its levels."""
        numbers = None if self.numbers is None else self.numbers[rows]
        labels = None if self.labels is None else Labels(self.labels.codes[rows], self.labels.levels)
        return replace(self, numbers=numbers, labels=labels)

    @property
    def is_factor(self) -> bool:
        """Whether formulas read it as a factor."""
        return self.labels is not None

    @property
    def is_summed(self) -> bool:
        """Whether its mean and range are known, but not its values."""
        return False

    @property
    def levels(self) -> tuple[Hashable, ...]:
        """The levels of a factor, or the distinct values of a numeric variable in increasing order."""
        if self.labels is not None:
            return tuple(self.labels.levels.tolist())
        return tuple(np.unique(np.asarray(self.numbers)).tolist())

    @property
    def mean(self) -> float:
        """The mean of a numeric variable; NaN for a factor."""
        return float("nan") if self.numbers is None else float(np.mean(self.numbers))

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value of a numeric variable; NaN for a factor."""
        if self.numbers is None:
            return float("nan"), float("nan")
        return float(np.min(self.numbers)), float(np.max(self.numbers))

    def __repr__(self) -> str:
        if self.is_factor:
            return f"<Variable: {self.name}, a factor of {len(self.levels)} levels>"
        return f"<Variable: {self.name}, numbers from {self.range[0]:g} to {self.range[1]:g}>"


def read_variables(encoder: Encoder, rows: FrameRows) -> dict[str, Variable]:
    """Return the variables that an encoder uses.

    A numeric column that occurs only as ``C(k)`` or in ``wb(x, k)`` is a factor. Numbers are copied, so that the
    caller may change the data later.
    """
    return {
        name: read_variable(name, rows, as_factor=_is_only_labelled(name, encoder.expressions))
        for name in encoder.variables
    }


def read_variable(name: str, rows: FrameRows, *, as_factor: bool = False) -> Variable:
    """Return a column as formulas read it; as a factor anyhow if ``as_factor``."""
    if as_factor or rows.is_factor(name):
        return Variable(name, None, rows.labels(name))
    return Variable(name, np.array(rows.numbers(name)), None, rows.is_logical(name))


def _is_only_labelled(name: str, expressions: Sequence[Expression]) -> bool:
    """Say whether every expression that uses the column reads its labels only."""
    return all(name in expression.labelled for expression in expressions if name in expression.columns)
