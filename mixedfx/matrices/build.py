"""From a formula and data to the design of a model, and to the design without the variances it cannot determine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.covariance import Covariance, DiagonalCovariance
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import Formula, RandomTerm, parse, parse_predictors
from mixedfx.formula.measured import Measured
from mixedfx.formula.names import quote
from mixedfx.matrices.encoder import SelectedEncoder, Settings, Variable, learn_encoder, read_variables
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.fixed import FixedEffects, build_fixed, full_rank
from mixedfx.matrices.frame import Frame, FrameRows, as_frame, slip_notes, text_notes, unnamed_hint
from mixedfx.matrices.identification import Identification, Undetermined, identify
from mixedfx.matrices.pooled import memberless
from mixedfx.matrices.quadratic_forms import NO_NOISE, Noise
from mixedfx.matrices.random import RandomBuilder, RandomEffects
from mixedfx.matrices.response import Response, is_cbind, read_response, without_trials
from mixedfx.matrices.rows import (
    Completeness,
    MissingName,
    OffsetEncoder,
    RowArgument,
    check_weights,
    complete_rows,
    missing_of,
    read_argument,
    sum_of,
)
from mixedfx.matrices.values import codings_for

__all__ = [
    "Design",
    "Predictors",
    "Represented",
    "build_design",
    "build_predictors",
    "check_names",
    "double_bar",
    "identified_twin",
    "parsed_for",
    "used_rows",
]


@dataclass(frozen=True)
class Represented:
    """The rows of the data, where those of a design are not they but stand for them: weighted, with the same sums.

    Attributes
    ----------
    n_rows : int
        Number of rows.
    log_weights : float
        Sum of the logarithms of their weights.
    counts : (r,)
        How many rows each row of the design stands for.
    products : dict
        Products (r, k) of the numeric factors of terms of the fixed part, by term: not products of the rows' numbers.
    read_in_pieces : bool
        Whether the model saw the rows themselves, piece by piece, and kept none.
    """

    n_rows: int
    log_weights: float
    counts: Array
    products: Mapping[str, Array] = field(default_factory=dict)
    read_in_pieces: bool = False


@dataclass(frozen=True)
class Design:
    """Everything that a model needs of its data: numbers, names, and how to make the same columns of new data.

    Parameters
    ----------
    formula : Formula
        The formula.
    response : Response
        The left side.
    fixed : FixedEffects
        The fixed effects.
    random : tuple of RandomEffects
        The random terms, in the order of the formula.
    weights : numpy.ndarray or None
        Prior weights (n,), all positive; None without, and for binomial responses, where they are the trials.
    offset : numpy.ndarray or None
        Known part (n,) of the linear predictor; None without.
    index : pandas.Index
        Labels of the rows that are used.
    n_dropped : int
        Number of rows left out: with missing values, with a weight of zero, or without trials. They are no rows of the
        model in any respect.
    notes : tuple of str
        What was left out, in words.
    offsets : OffsetEncoder
        Makes the offset of new data.
    keep : numpy.ndarray of bool or None
        Which rows of the data are used; None if all are.
    weights_column : str or None
        The column that holds the weights, if one was named.
    variables : dict
        The columns of the data that the fixed effects use, by name.
    undetermined : tuple of Undetermined
        Variances that the design cannot determine, where they have been left out.
    represented : Represented or None
        What the rows stand for, if they are not those of the data.
    """

    formula: Formula
    response: Response
    fixed: FixedEffects
    random: tuple[RandomEffects, ...]
    weights: Array | None
    offset: Array | None
    index: pd.Index[Any]
    n_dropped: int
    notes: tuple[str, ...]
    offsets: OffsetEncoder
    keep: BoolArray | None
    weights_column: str | None
    variables: dict[str, Variable]
    undetermined: tuple[Undetermined, ...] = ()
    represented: Represented | None = None
    measured: tuple[Measured, ...] = ()

    @property
    def n_rows(self) -> int:
        """Number n of rows that are used."""
        return len(self.response.values) if self.represented is None else self.represented.n_rows

    @property
    def written(self) -> str:
        """The formula as it is written, without the quotes of what the data have no column of: true values."""
        text = str(self.formula)
        for one in self.measured:
            text = text.replace(quote(one.name), one.name)
        return text

    @property
    def grouped(self) -> tuple[RandomEffects, ...]:
        """The random terms of grouping factors, with one level for each row: neither smooths nor memberships."""
        return tuple(term for term in self.random if term.pooled is None)

    def need_rows(self, what: str) -> None:
        """Refuse what sums over rows do not say.

        Raises
        ------
        SpecificationError
            If the rows of the design are not those of the data.
        """
        if self.represented is not None and self.represented.read_in_pieces:
            raise SpecificationError(
                f"the rows of this model were read piece by piece and none was kept, and {what} cannot be had without "
                "them: give data=… where it is taken, or fit a data frame"
            )
        if self.represented is not None:
            raise SpecificationError(
                f"this model was fitted to sums over rows, and {what} cannot be had of sums: fit the rows themselves"
            )

    @property
    def counts(self) -> Array:
        """How many rows of the data each row of the design is: 1, unless it stands for others."""
        return np.ones(len(self.response.values)) if self.represented is None else self.represented.counts

    def mean_over_rows(self, squares: Array) -> float:
        """Return the mean over the rows of the data of a quadratic function (n,) of the columns of the design.

        Raises
        ------
        SpecificationError
            If the rows have weights, and those of the design stand for them.
        """
        if self.represented is None:
            return float(np.mean(squares))
        if self.has_weights:
            self.need_rows("averages over rows of unequal weight")
        return float(self.represented.counts @ squares) / self.n_rows

    def taken(self, rows: IntArray, random: Sequence[RandomEffects]) -> Design:
        """Return the design of some rows, repeated or not, with what its random terms are in these rows.

        Raises
        ------
        DataError
            If the fixed effects cannot all be estimated from them.
        """
        self.need_rows("a fit to some of the rows")
        return replace(
            self,
            response=self.response.taken(rows),
            fixed=replace(self.fixed, matrix=full_rank(self.fixed.matrix[rows], self.fixed.names)),
            random=tuple(random),
            weights=None if self.weights is None else self.weights[rows],
            offset=None if self.offset is None else self.offset[rows],
            index=pd.RangeIndex(rows.size),
            keep=None,
            variables={name: variable.taken(rows) for name, variable in self.variables.items()},
        )

    @property
    def has_weights(self) -> bool:
        """Whether the rows of the data have weights."""
        return self.weights is not None if self.represented is None else self.weights_column is not None

    @property
    def log_weights(self) -> float:
        """Sum of the logarithms of the weights of the rows that are used."""
        if self.represented is not None:
            return self.represented.log_weights
        return 0.0 if self.weights is None else float(np.log(self.weights).sum())

    def __repr__(self) -> str:
        groups = ", ".join(f"{term.group} ({len(term.levels)})" for term in self.random) or "no groups"
        size = f"{len(self.index)} rows, {len(self.fixed.names)} fixed effects, {groups}"
        return f"<Design: {self.formula}, {size}>"


def build_design(
    formula: str | Formula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    missing: MissingName = "drop",
    functions: Mapping[str, Any] | None = None,
    response_kind: str = "numeric",
    extra: Sequence[str] = (),
) -> Design:
    """Turn a formula and data into the arrays of a model.

    Parameters
    ----------
    formula : str or Formula
        The formula.
    data : data frame or dict of arrays
        Any data frame that narwhals reads.
    weights, offset : str or array, optional
        A column's name, or one value for each row of ``data``.
    contrasts : dict, optional
        Column -> "treatment", "sum", "helmert", "poly", "sdif", or a matrix.
    missing : {"drop", "raise"}
        What to do with rows that have missing values.
    functions : dict, optional
        Functions, constants and matrices that the formula may name.
    response_kind : {"numeric", "binomial", "ordinal"}
        What kind of response the family models.
    extra : sequence of str
        Further columns that must have a value in every row that is used.

    Returns
    -------
    Design
        Its numbers are on the scale of the user.

    Raises
    ------
    SpecificationError
        If the formula or an argument has no meaning.
    DataError
        If the data cannot serve the formula.

    Examples
    --------
    >>> data = {"y": [1.0, 2.5, 2.0, 4.0], "x": [0, 1, 0, 1], "g": ["a", "a", "b", "b"]}
    >>> design = build_design("y ~ x + (1 | g)", data)
    >>> design.fixed.names, design.random[0].group, design.random[0].codes.tolist()
    (('Intercept', 'x'), 'g', [0, 0, 1, 1])
    """
    frame = as_frame(data)
    known = _checked_functions(functions)
    parsed = parsed_for(formula, frame, known)
    if not parsed.response:
        raise SpecificationError(f"the formula {parsed.source!r} has no response: write it left of the '~'")
    if len(frame) == 0:
        raise DataError("the data are empty: there are no rows")
    settings = Settings(known, codings_for(contrasts))
    check_names(parsed, frame, settings, extra)
    prior, shift = read_argument("weights", weights, frame), read_argument("offset", offset, frame)
    frame.require(extra)
    complete = used_rows(parsed, frame, settings, prior, shift, extra)
    complete.enforce(missing)
    if response_kind == "binomial" and is_cbind(parsed.response):
        value = Evaluator(FrameRows(frame, complete.keep), settings.functions, {}, new_rows=False)
        complete = complete.without(without_trials(parsed.response, value), "they have no trials")
        complete.enforce(missing)
    return _Assembly(parsed, FrameRows(frame, complete.keep), settings, prior, shift).design(complete, response_kind)


@dataclass(frozen=True)
class Predictors:
    """What the right side of a formula makes of data; there is no response.

    Parameters
    ----------
    names : tuple of str
        Names (p) of the columns of the fixed effects, redundant ones included.
    matrix : numpy.ndarray
        These columns (n, p).
    random : tuple of RandomEffects
        The random terms, in the order of the formula.
    weights, offset : numpy.ndarray or None
        As in :class:`Design`.
    index : pandas.Index
        Labels of the rows without missing values.
    """

    names: tuple[str, ...]
    matrix: Array
    random: tuple[RandomEffects, ...]
    weights: Array | None
    offset: Array | None
    index: pd.Index[Any]


def build_predictors(
    formula: str | Formula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    functions: Mapping[str, Any] | None = None,
) -> Predictors:
    """Turn the right side of a formula and data into arrays; arguments and errors as for :func:`build_design`.

    Examples
    --------
    >>> right_side = build_predictors("y ~ x + (1 | g)", {"x": [0, 1, 0, 1], "g": ["a", "a", "b", "b"]})
    >>> right_side.names, right_side.random[0].names
    (('Intercept', 'x'), ('Intercept',))
    """
    frame = as_frame(data)
    known = _checked_functions(functions)
    parsed = parse_predictors(formula, columns=frame.names, functions=known)
    if parsed.error:
        raise SpecificationError("Error(…) names strata of an analysis of variance; write random terms: (1 | group)")
    if len(frame) == 0:
        raise DataError("the data are empty: there are no rows")
    settings = Settings(known, codings_for(contrasts))
    prior, shift = read_argument("weights", weights, frame), read_argument("offset", offset, frame)
    complete = used_rows(parsed, frame, settings, prior, shift)
    complete.enforce("drop")
    assembly = _Assembly(parsed, FrameRows(frame, complete.keep), settings, prior, shift)
    encoder, matrix = learn_encoder(parsed.fixed_terms, assembly.rows, settings, "the fixed part")
    builder = RandomBuilder(assembly.rows, settings)
    return Predictors(
        encoder.names,
        matrix,
        tuple(builder.build(term) for term in parsed.random),
        None if prior is None else prior.used(complete.keep),
        assembly._offset()[0],
        assembly.rows.index,
    )


def _checked_functions(functions: Any) -> Mapping[str, Any]:
    given = {} if functions is None else functions
    if not isinstance(given, Mapping):
        raise TypeError(f"functions must be a dict of names and functions, found {type(given).__name__}")
    return given


def parsed_for(formula: str | Formula, frame: Frame, functions: Mapping[str, Any]) -> Formula:
    """Return the formula, whose names are columns of the frame."""
    try:
        return parse(formula, columns=frame.names, functions=functions)
    except DataError as error:
        if frame.unnamed:
            raise DataError(f"{error}\n{unnamed_hint(frame.unnamed).strip()}") from None
        raise


def check_names(formula: Formula, frame: Frame, settings: Settings, extra: Sequence[str]) -> None:
    """Refuse contrasts for a name that is no column, and a column that would be taken for the intercept."""
    known = {*formula.variables, *extra, *frame.names}
    for name in settings.codings:
        if name not in known:
            close = get_close_matches(name, known, n=1, cutoff=0.5) or [n for n in known if n.lower() == name.lower()]
            meant = f"; did you mean {close[0]!r}?" if close else f"; the model has {', '.join(formula.variables)}"
            raise SpecificationError(f"contrasts: there is no column {name!r}{meant}")
    predictors = {factor for term in formula.fixed_terms for factor in term}
    predictors |= {factor for random in formula.random for term in random.terms for factor in term}
    if "Intercept" in predictors:
        raise SpecificationError(
            "a predictor called 'Intercept' could not be told from the intercept of the model: rename the column"
        )


def used_rows(
    formula: Formula,
    frame: Frame,
    settings: Settings,
    prior: RowArgument | None,
    shift: RowArgument | None,
    extra: Sequence[str] = (),
) -> Completeness:
    """Return which rows have a weight above zero and a value of everything that the model uses."""
    missing = missing_of(frame, formula.expressions, settings.functions)
    for name in dict.fromkeys((*formula.groups, *(name for term in formula.error for name in term), *extra)):
        places = frame.column(name).missing
        if places is not None:
            missing[name] = places
    for term in formula.random:
        if term.members is not None:
            missing |= memberless(term.members, frame)
    for argument in (prior, shift):
        if argument is not None:
            missing |= argument.missing()
    if prior is None:
        return complete_rows(len(frame), missing)
    known = prior.values[~np.isnan(prior.values)]
    if known.size:
        check_weights(prior, known)
    silent = prior.values == 0.0
    missing = {name: places for name, there in missing.items() if (places := there & ~silent).any()}
    complete = complete_rows(len(frame), missing)
    return complete.without(silent if complete.keep is None else silent[complete.keep], "their weight is zero")


def double_bar(term: RandomEffects) -> str | None:
    """Return what ``(f || g)`` means for a factor f, which lme4 reads in another way."""
    if "||" not in term.term or not any("[" in name for name in term.names):
        return None
    listed = ", ".join(term.names)
    return f"{term.term}: the effects {listed} are uncorrelated, those of a factor too (lme4 correlates the latter)"


@dataclass(frozen=True)
class _Assembly:
    """The parts of a design that is being put together."""

    formula: Formula
    rows: FrameRows
    settings: Settings
    prior: RowArgument | None
    shift: RowArgument | None

    def design(self, complete: Completeness, response_kind: str) -> Design:
        """Build the parts."""
        weights = None if self.prior is None else self.prior.used(self.rows.keep)
        value = Evaluator(self.rows, self.settings.functions, {}, new_rows=False)
        response = read_response(self.formula.response, value, response_kind, weights)
        fixed, redundant = build_fixed(self.formula.fixed_terms, self.rows, self.settings)
        builder = RandomBuilder(self.rows, self.settings)
        if not fixed.dropped:
            builder.reuse(self.formula.fixed_terms, fixed.encoder, fixed.matrix)
        random = tuple(builder.build(term) for term in self.formula.random)
        offset, encoder = self._offset()
        measured = dict.fromkeys((*self.formula.response.columns, *fixed.encoder.variables))
        groups = dict.fromkeys(name for term in random for name in term.factors)
        texts = [*text_notes(self.rows, fixed.encoder.variables), *slip_notes(self.rows, measured, groups)]
        notes = (*complete.notes(), *texts, redundant, *map(double_bar, random))
        return Design(
            self.formula,
            response,
            fixed,
            random,
            None if response.trials is not None else weights,
            offset,
            self.rows.index,
            complete.n_dropped,
            tuple(note for note in notes if note is not None),
            encoder,
            self.rows.keep,
            None if self.prior is None else self.prior.column,
            read_variables(fixed.encoder, self.rows),
        )

    def _offset(self) -> tuple[Array | None, OffsetEncoder]:
        """Return the offset and how to make it again."""
        value = Evaluator(self.rows, self.settings.functions, {})
        given = total = None if self.shift is None else self.shift.used(self.rows.keep)
        if self.formula.offsets:
            part = sum_of(self.formula.offsets, value)
            total = part if total is None else total + part
        encoder = OffsetEncoder(
            self.formula.offsets,
            None if self.shift is None else self.shift.column,
            self.shift is not None and self.shift.column is None,
            self.settings.named_in(self.formula.offsets).functions,
            (value.transforms, value.levels),
            None if self.shift is None or self.shift.column is not None else given,
        )
        return total, encoder


def identified_twin(design: Design, noise: Noise = NO_NOISE, X: Array | None = None) -> Design:
    """Return the design without the random effects whose variances it cannot determine, and with the findings.

    Parameters
    ----------
    design : Design
    noise : Noise
        What the rows have beside random effects.
    X : (n, p) array, optional
        Fixed effects that can take the place of random ones; those of the design if omitted.
    """
    identified = identify(design.fixed.matrix if X is None else X, design.random, noise)
    if not identified.findings:
        return design
    places = [k for k, columns in enumerate(identified.kept) if columns]
    formula = replace(
        design.formula, random=tuple(_written(design.formula.random[k], identified.covariances[k]) for k in places)
    )
    random = tuple(_selected(design.random[k], k, identified) for k in places)
    return replace(design, formula=formula, random=random, undetermined=identified.findings)


def _written(term: RandomTerm, covariance: Covariance) -> RandomTerm:
    independent = isinstance(covariance, DiagonalCovariance) and term.covariance == "us"
    return replace(term, covariance="diag") if independent else term


def _selected(term: RandomEffects, k: int, identified: Identification) -> RandomEffects:
    columns = identified.kept[k]
    if len(columns) == term.n_columns:
        return replace(term, covariance=identified.covariances[k])
    return replace(
        term,
        matrix=np.asfortranarray(term.matrix[:, list(columns)]),
        names=tuple(term.names[j] for j in columns),
        covariance=identified.covariances[k],
        encoder=SelectedEncoder(term.encoder, columns),
    )
