"""The rows at which a fit is asked, old or new: their random effects, offset, levels, trials and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_choice
from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.exceptions import DataError, RankDeficientWarning, SpecificationError, warn
from mixedfx.formula import RandomTerm, parse
from mixedfx.matrices.build import Design
from mixedfx.matrices.encoder import term_label
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.fixed import FixedEffects, estimable_rows
from mixedfx.matrices.frame import Frame, FrameRows, as_frame, missing_column
from mixedfx.matrices.measured import with_means
from mixedfx.matrices.pooled import MemberEncoder
from mixedfx.matrices.random import RandomEffects
from mixedfx.matrices.response import read_response
from mixedfx.matrices.rows import RowArgument, complete_rows, missing_of, read_argument

__all__ = [
    "NEW_LEVELS",
    "NewLevelsName",
    "PredictedRows",
    "RowPrior",
    "UnknownLevels",
    "averaged_columns",
    "chosen_columns",
    "encoded_component",
    "fitted_predictor",
    "fixed_part",
    "linear_predictor_variance",
    "new_fixed_part",
    "predicted_rows",
    "refuse_offset",
    "row_weights",
    "unknown_levels",
]

NewLevelsName: TypeAlias = Literal["error", "population", "nan"]


@dataclass(frozen=True)
class UnknownLevels:
    """What becomes of rows whose level the fit does not know.

    Attributes
    ----------
    refused : bool
        Whether they are an error.
    effect : float
        The random effect that they have: 0, or nan for rows without a value.
    drawn : bool
        Whether their effect is drawn instead, where responses are.
    """

    refused: bool = False
    effect: float = float("nan")
    drawn: bool = False


NEW_LEVELS: dict[str, UnknownLevels] = {
    "error": UnknownLevels(refused=True),
    "population": UnknownLevels(effect=0.0),
    "nan": UnknownLevels(),
}


def chosen_columns(design: Design, random: Any) -> list[BoolArray]:
    """Resolve ``random=`` to a flag for every column (q,) of every term.

    Parameters
    ----------
    design : Design
    random : bool, str or list of str
        Smooths ``s(x)`` are always chosen. True, False, a group (``"Subject"``), a term (``"(Days | Subject)"``), a
        part of one (``"(1 | Subject)"`` out of
        ``(Days | Subject)``), or a list of these.

    Returns
    -------
    list of (q,) bool arrays

    Raises
    ------
    SpecificationError
        If a name is none of them.
    TypeError
        If it is nothing of the kind.
    """
    if isinstance(random, bool | np.bool_):
        return [np.full(term.n_columns, bool(random) or term.is_smooth) for term in design.random]
    if random is None:
        raise SpecificationError(
            "random=None: lme4 has re.form=NULL for all random effects and re.form=NA for none; write random=True or "
            "random=False"
        )
    wanted = [random] if isinstance(random, str) else random
    if not isinstance(wanted, list | tuple | set | frozenset) or not all(isinstance(name, str) for name in wanted):
        raise TypeError(f"random is True, False, the name of a group, a term, or a list of these; found {random!r}")
    chosen = [np.full(term.n_columns, term.is_smooth) for term in design.random]
    for name in wanted:
        for flags, named in zip(chosen, _named(design, name), strict=True):
            flags |= named
    return chosen


def _named(design: Design, name: str) -> list[BoolArray]:
    """Return the columns that one name stands for."""
    group = frozenset(part.strip() for part in name.split(":"))
    by_group = [frozenset(term.factors) == group or term.group == name.strip() for term in design.random]
    if any(by_group):
        return [np.full(term.n_columns, used) for term, used in zip(design.random, by_group, strict=True)]
    spelled = [_compact(str(written)) == _compact(name) for written in design.formula.random]
    if any(spelled):
        return [np.full(term.n_columns, used) for term, used in zip(design.random, spelled, strict=True)]
    asked = _asked_terms(name)
    if not asked:
        raise _unknown(design, name)
    chosen = [np.zeros(term.n_columns, dtype=bool) for term in design.random]
    for part in asked:
        for label in part.terms:
            hit = False
            for flags, term in zip(chosen, design.random, strict=True):
                columns = _columns_of(term, label) if frozenset(term.factors) == frozenset(part.group) else ()
                flags[list(columns)] = True
                hit = hit or bool(columns)
            if not hit:
                raise _unknown(design, name)
    return chosen


def _asked_terms(name: str) -> tuple[RandomTerm, ...]:
    """Return the random terms that a text spells; none if it is not one."""
    text = name.strip().removeprefix("~").strip()
    if "|" not in text:
        return ()
    try:
        return parse(f"y ~ {text if '(' in text else f'({text})'}").random
    except (DataError, SpecificationError):
        return ()


def _columns_of(term: RandomEffects, asked: tuple[str, ...]) -> tuple[int, ...]:
    """Return the positions of the columns of one term ``a:b`` left of the bar, however it is written."""
    for label, columns in term.encoder.terms.items():
        if _factors(label) == _factors(term_label(asked)):
            return columns
    return ()


def _factors(label: str) -> frozenset[str]:
    return frozenset(_compact(part) for part in label.split(":"))


def _compact(text: str) -> str:
    return "".join(text.split()).strip("()")


def _unknown(design: Design, name: str) -> SpecificationError:
    known = ", ".join(dict.fromkeys(repr(term.group) for term in design.random)) or "none"
    terms = ", ".join(dict.fromkeys(str(written) for written in design.formula.random)) or "none"
    return SpecificationError(
        f"random={name!r} names no random-effects term; the groups are {known}, the terms {terms} (a part of a term "
        "can be written as a term)"
    )


def linear_predictor_variance(
    design: Design, covariances: Sequence[Array], integrated: Sequence[BoolArray], data: Any = None
) -> Array:
    """Return the variance (n,) that the integrated terms give to the linear predictor of each row.

    Parameters
    ----------
    design : Design
    covariances : sequence of (q, q)
        Of every term.
    integrated : sequence of (q,) bool
        Which columns of every term count.
    data : data frame, optional
        New rows; the fitted ones if omitted. Where the level is unknown or not given, the average level counts.

    Returns
    -------
    (n,) array
        On the scale of ``covariances``.
    """
    total: Array | float = 0.0
    for term, covariance, used in zip(design.random, covariances, integrated, strict=True):
        if used.any():
            if term.members is not None and data is not None:
                total = total + covariance[0, 0] * _member_squares(term.members, term.matrix, data)
                continue
            whole = term.matrix if data is None else term.encoder.encode(data)
            matrix = whole if used.all() else np.where(used, whole, 0.0)
            share = term.row_variances(matrix, covariance)
            if term.loading is not None:
                share = share * term.level_variances(term.codes if data is None else _known_levels(term, data))
            total = total + share
    return np.asarray(total, dtype=float)


def _member_squares(members: MemberEncoder, fitted: Array, data: Any) -> Array:
    """Return the squared columns (n,) of memberships in new data; the mean of the fitted rows where there are none."""
    frame = as_frame(data)
    if not all(name in frame for name in members.members.variables):
        return np.full(len(frame), float(np.mean(np.einsum("ij,ij->i", fitted, fitted))))
    known = members.encode(frame)
    return np.asarray(np.einsum("ij,ij->i", known, known) + members.unknown_squares(frame))


def _known_levels(term: RandomEffects, data: Any) -> IntArray:
    """Return the level (n,) of each row of new data; -1 where it is unknown, or there is no such column."""
    frame = as_frame(data)
    is_there = all(name in frame for name in term.factors)
    return term.encode_codes(frame) if is_there else np.full(len(frame), -1, dtype=np.intp)


@dataclass(frozen=True)
class PredictedRows:
    """Rows at which to predict, on the user's scale.

    Attributes
    ----------
    x : (n, p)
        Fixed-effects rows.
    codes : sequence of (n,)
        Level of every random-effects term; -1 where it is unknown.
    z : sequence of (n, q)
        Columns of every random-effects term; nan where the data do not have them and the prediction does not need them.
    chosen : sequence of (q,) bool
        Columns of every term whose conditional modes enter the prediction.
    offset : (n,) or None
    lost : (n,) bool or None
        Rows without a prediction: cells about which the data are silent, levels that are to be nan.
    index : Index or None
    silent : (n,) bool or None
        Rows that are lost because they lie in empty cells.
    absent : tuple of str
        Columns of random effects that do not enter, which the rows do not have.
    strange : sequence of (n,) or None
        Squared columns of the labels of ``mm(…)`` that are unknown beside others that are known, by term; empty where
        there are none.
    """

    x: Array
    codes: Sequence[IntArray]
    z: Sequence[Array]
    chosen: Sequence[BoolArray]
    offset: Array | None = None
    lost: BoolArray | None = None
    index: pd.Index[Any] | None = field(default=None, repr=False)
    silent: BoolArray | None = None
    absent: tuple[str, ...] = ()
    strange: Sequence[Array | None] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the table of predictions says about rows that are not estimable, and about columns that are absent."""
        count = 0 if self.silent is None else int(self.silent.sum())
        notes = [silent_note(count)] if count else []
        if self.absent:
            listed = ", ".join(map(repr, self.absent))
            notes.append(f"The limits of an observation need {listed} of the random effects, which the rows lack.")
        return tuple(notes)

    def included(self, k: int) -> Array | None:
        """Return the columns (n, q) of term k that enter: zero where they are left out or the level is unknown."""
        mask, known = self.chosen[k], self.codes[k] >= 0
        if not mask.any():
            return None
        if mask.all() and known.all():
            return self.z[k]
        return np.where(known[:, None] & mask, self.z[k], 0.0)

    @property
    def with_effects(self) -> BoolArray:
        """Whether a conditional mode enters the prediction of each row (n,)."""
        out = np.zeros(len(self.x), dtype=bool)
        for codes, mask in zip(self.codes, self.chosen, strict=True):
            if mask.any():
                out |= codes >= 0
        return out

    def predictor(self, beta: Array, modes: Sequence[Array]) -> Array:
        """Return ``X beta + Z b + offset`` (n,)."""
        eta = self.x @ beta
        if self.offset is not None:
            eta = eta + self.offset
        for k, (codes, b) in enumerate(zip(self.codes, modes, strict=True)):
            columns = self.included(k)
            if columns is not None:
                one = b.shape[1] == 1
                eta = eta + (columns @ b[:, 0] if one else np.einsum("iq,qi->i", columns, b[:, codes]))
        return np.asarray(eta if self.lost is None else np.where(self.lost, np.nan, eta))

    def outside(self, terms: Sequence[RandomEffects], covariances: Sequence[Array]) -> Array:
        """Return the variance (n,) of the random effects that do not enter: left out, or of unknown levels."""
        total = np.zeros(len(self.x))
        for term, sigma, codes, z, mask in zip(terms, covariances, self.codes, self.z, self.chosen, strict=True):
            known = codes >= 0
            if mask.all() and known.all():
                continue
            left = np.where(known[:, None] & mask, 0.0, z)
            share = term.row_variances(left, sigma)
            total += share if term.loading is None else share * term.level_variances(codes)
        for sigma, extra in zip(covariances, self.strange, strict=False):
            if extra is not None:
                total += sigma[0, 0] * extra
        return total


def predicted_rows(
    design: Design,
    data: Any,
    chosen: Sequence[BoolArray],
    *,
    new_levels: NewLevelsName = "error",
    offset: Any = None,
    whole: bool = True,
) -> PredictedRows:
    """Return the fitted rows, or those of new data.

    Parameters
    ----------
    design : Design
    data : data frame or None
    chosen : sequence of (q,) bool
        As :func:`chosen_columns` gives them.
    new_levels : {"error", "population", "nan"}
    offset : str or array, optional
        As of ``predict``.
    whole : bool
        Whether the columns of terms that do not enter are wanted too: for the variance between groups.

    Returns
    -------
    PredictedRows

    Raises
    ------
    DataError
        If a level is unknown and ``new_levels="error"``, or columns are missing.
    SpecificationError
        If ``new_levels`` is none of the three words.

    Warns
    -----
    RankDeficientWarning
        If rows lie in cells that the data of the fit do not have.
    """
    rule = checked_choice("new_levels", new_levels, NEW_LEVELS)
    if data is None:
        refuse_offset(offset)
        design.need_rows("predictions for the fitted rows")
        codes, z = [t.codes for t in design.random], [t.matrix for t in design.random]
        return PredictedRows(design.fixed.matrix, codes, z, chosen, design.offset, None, design.index)
    frame = as_frame(data)
    x, shift, silent = _new_fixed(design, frame, offset)
    codes, z, lost = [], [], silent
    strange: list[Array | None] = []
    for term, mask in zip(design.random, chosen, strict=True):
        term_codes, term_z = _new_term(term, frame, used=bool(mask.any()), whole=whole)
        unknown = term_codes < 0
        strange.append(_strange(term, frame, unknown, term_z))
        if term.members is not None and strange[-1] is not None:
            term_codes = np.zeros_like(term_codes)
        if mask.any() and unknown.any() and rule.refused:
            remedy = 'write new_levels="population" to predict them without a random effect, or new_levels="nan"'
            raise unknown_levels(term, frame, unknown, remedy)
        if mask.any() and np.isnan(rule.effect):
            lost = unknown if lost is None else lost | unknown
        codes.append(term_codes)
        z.append(term_z)
    needed = [name for term in design.random for name in term.encoder.variables] if whole else []
    absent = tuple(name for name in dict.fromkeys(needed) if name not in frame)
    return PredictedRows(x, codes, z, chosen, shift, lost, frame.index, silent, absent, strange)


def _strange(term: RandomEffects, frame: Frame, unknown: BoolArray, z: Array) -> Array | None:
    """Return the squared columns (n,) of unknown labels; None without memberships, or where they are not asked for."""
    if term.members is None or not unknown.any() or np.isnan(z).any():
        return None
    return term.members.unknown_squares(frame)


def averaged_columns(design: Design) -> list[BoolArray]:
    """Return which columns (q,) of every term a population average is taken over: smooths stay as they are."""
    return [np.full(term.n_columns, not term.is_smooth) for term in design.random]


def fitted_predictor(design: Design, beta: Array, modes: Sequence[Array], random: Any = True) -> Array:
    """Return ``X beta + Z b + offset`` (n,) for the fitted rows, with the random effects that ``random`` names."""
    return predicted_rows(design, None, chosen_columns(design, random)).predictor(beta, modes)


def refuse_offset(offset: Any) -> None:
    """Raise a SpecificationError if an offset is given without new rows."""
    if offset is not None:
        raise SpecificationError("offset is that of new rows: give data=… with it; the fitted rows have their own")


def _new_term(term: RandomEffects, frame: Frame, *, used: bool, whole: bool) -> tuple[IntArray, Array]:
    """Return the levels (n,) and columns (n, q) of a term for new data; without use, no column is needed."""
    if used:
        if absent := [name for name in term.factors if name not in frame]:
            missing = missing_column(absent, frame.names, frame.unnamed)
            raise DataError(f"{missing}; a prediction for the population, random=False, needs no groups")
        return term.encode(frame)
    n, q = len(frame), term.n_columns
    names = term.factors if term.members is None else term.members.variables
    has_levels = whole and all(name in frame for name in names)
    codes = term.encode_codes(frame) if has_levels else np.full(n, -1, dtype=np.intp)
    if whole and all(name in frame for name in term.encoder.variables):
        return codes, term.encoder.encode(frame)
    return codes, np.full((n, q), np.nan)


# ---------------------------------------------------------------- fixed part
def fixed_part(design: Design, beta: Array) -> Array:
    """Return ``X beta + offset`` (n,) for the fitted rows."""
    design.need_rows("the fixed part of the fitted rows")
    eta = design.fixed.matrix @ beta
    return np.asarray(eta if design.offset is None else eta + design.offset)


def new_fixed_part(design: Design, beta: Array, frame: Frame, offset: Any) -> Array:
    """Return ``X beta + offset`` (n,) for new data; nan in cells that the data of the fit do not have."""
    x, shift, lost = _new_fixed(design, frame, offset)
    eta = x @ beta
    eta = eta if shift is None else eta + shift
    return np.asarray(eta if lost is None else np.where(lost, np.nan, eta))


def _new_fixed(design: Design, frame: Frame, offset: Any) -> tuple[Array, Array | None, BoolArray | None]:
    """Return columns (n, p), offset and which rows cannot be predicted."""
    fixed = design.fixed
    full = fixed.encode_full(with_means(frame, design.measured, errors=False) if design.measured else frame)
    silent = fixed.silent()
    lost = ~estimable_rows(full, silent) if silent.size else None
    if lost is not None and not lost.any():
        lost = None
    if lost is not None:
        warn(silent_note(int(lost.sum())), RankDeficientWarning)
    x = full if len(fixed.kept) == len(fixed.full_names) else np.asfortranarray(full[:, fixed.kept])
    return x, design.offsets.encode(frame, offset), lost


def encoded_component(fixed: FixedEffects, data: Any) -> Array:
    """Return the columns (n, k) of a further linear predictor for new data; nan in cells the fit's data do not have."""
    full = fixed.encode_full(data)
    lost = ~estimable_rows(full, fixed.silent())
    if lost.any():
        warn(silent_note(int(lost.sum())), RankDeficientWarning)
        full[lost] = np.nan
    return full if len(fixed.kept) == len(fixed.full_names) else np.asfortranarray(full[:, fixed.kept])


def silent_note(count: int) -> str:
    """Return the words for rows about which the data say nothing."""
    rows = "1 row is" if count == 1 else f"{count} rows are"
    return f"{rows} not estimable: the data of the fit have no information on them (empty cells); they are nan"


# ---------------------------------------------------------------- levels
def unknown_levels(term: RandomEffects, frame: Frame, unknown: BoolArray, remedy: str) -> DataError:
    """Return the error for rows whose level the fit does not know."""
    if term.members is not None:
        labels = term.members.unknown_labels(frame)
        known = ", ".join(repr(_plain(label)) for label in labels[:3]) + (", …" if len(labels) > 3 else "")
        return DataError(
            f"{term.group}: {int(unknown.sum())} row(s) of the new data have labels that the fit does not know, or no "
            f"label ({known or 'missing'}); {remedy}"
        )
    rows = np.flatnonzero(unknown)
    shown = ", ".join(_label(term, frame, row) for row in rows[:3].tolist()) + (", …" if len(rows) > 3 else "")
    return DataError(
        f"{term.group}: {len(rows)} row(s) of the new data have levels that the fit does not know ({shown}); {remedy}"
    )


def _label(term: RandomEffects, frame: Frame, row: int) -> str:
    parts = []
    for name in term.factors:
        labels = frame.column(name).labels
        code = int(labels.codes[row])
        parts.append("missing" if code < 0 else repr(_plain(labels.levels[code])))
    return ":".join(parts)


def _plain(value: Any) -> Any:
    """Return a number of NumPy as Python writes it."""
    return value.item() if isinstance(value, np.generic) else value


# ---------------------------------------------------------------- trials and weights
@dataclass(frozen=True)
class RowPrior:
    """Trials of a binomial response, elsewhere precision weights.

    Attributes
    ----------
    values : (n,) array or None
        nan where unknown; None if all are 1.
    note : str or None
        What is missing, in words.
    """

    values: Array | None
    note: str | None = None


def row_weights(design: Design, data: Any, weights: Any) -> RowPrior:
    """Return the trials or precision weights of the fitted rows, or of new ones.

    New rows have those of the argument, else those of the column (or of the counts) that the fit took its own from.

    Returns
    -------
    RowPrior

    Raises
    ------
    SpecificationError
        If the argument is given without new rows.
    DataError
        If a weight of the argument is not a positive number, or trials are not whole numbers.
    """
    trials = design.response.trials
    if data is None:
        if weights is not None:
            raise SpecificationError(
                "weights are those of new rows: give data=… with them; the fitted rows have their own"
            )
        design.need_rows("the residual variances of the fitted rows")
        return RowPrior(design.weights if trials is None else trials)
    frame = as_frame(data)
    if weights is not None:
        given = read_argument("weights", weights, frame)
        assert given is not None
        return RowPrior(_checked(given, whole=trials is not None, positive=True))
    named = design.weights_column
    if named is not None and named in frame:
        given = read_argument("weights", named, frame)
        assert given is not None
        return RowPrior(_checked(given, whole=trials is not None, positive=False))
    if trials is not None:
        counted = _counted_trials(design, frame)
        note = None if counted is not None else "The trials of the rows are unknown: give weights=…"
        return RowPrior(np.full(len(frame), np.nan) if counted is None else counted, note)
    if not design.has_weights:
        return RowPrior(None)
    which = "" if named is None else f" ({named})"
    return RowPrior(None, f"The fit has weights{which}, the rows have none: an observation is one of weight 1.")


def _checked(given: RowArgument, *, whole: bool, positive: bool) -> Array:
    values, what = given.values, "trials" if whole else "weights"
    bad = ~(values > 0) | np.isinf(values) if positive else (values < 0) | np.isinf(values)
    if whole:
        bad = bad | (np.isfinite(values) & (values != np.rint(values)))
    if bad.any():
        kind = "positive whole numbers" if whole else "positive numbers" if positive else "not negative"
        where = "" if given.label == what else f"{given.label}: "
        raise DataError(f"{where}{what} of new rows must be {kind}; found {values[bad][0]:g}")
    return values


def _counted_trials(design: Design, frame: Frame) -> Array | None:
    """Return successes plus failures of ``cbind(…)``, if the rows have the columns."""
    expression, functions = design.formula.response, design.fixed.encoder.functions
    if design.weights_column is not None or not all(name in frame for name in expression.columns):
        return None
    keep = complete_rows(len(frame), missing_of(frame, (expression,), functions)).keep
    rows = FrameRows(frame, keep)
    if not rows.size:
        return None
    trials = read_response(expression, Evaluator(rows, functions, {}), "binomial", None).trials
    if trials is None:
        return None
    of_all = np.full(len(frame), np.nan)
    of_all[slice(None) if keep is None else keep] = trials
    return of_all
