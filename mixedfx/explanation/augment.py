"""One row an observation: the rows with fitted values and residuals beside them, as of R's broom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array, BoolArray
from mixedfx.matrices import Design
from mixedfx.matrices.columns import TimeColumn
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.expressions import variables_in
from mixedfx.matrices.frame import Frame, FrameRows, as_frame
from mixedfx.matrices.response import is_cbind, read_response
from mixedfx.matrices.rows import complete_rows, missing_of
from mixedfx.matrices.values import Factor
from mixedfx.results.base import MixedResults

__all__ = ["augment"]


def augment(fit: Any, data: Any = None, *, new_levels: str = "error", offset: Any = None) -> pd.DataFrame:
    """Return rows with fitted values and residuals beside them.

    Parameters
    ----------
    fit : fitted mixed model
    data : data frame or dict of arrays, optional
        The data that were fitted: its used rows are put before the new columns. Or other rows, which are predicted.
    new_levels : str
        As for ``fit.predict``, for other rows: ``"error"``, ``"population"`` or ``"nan"``.
    offset : str or array, optional
        As for ``fit.predict``, for other rows.

    Returns
    -------
    DataFrame
        ``.fitted`` (conditional), ``.fixed`` (population), ``.resid``; indexed as the rows. The residuals of other rows
        are nan where they lack the response.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> sleep = mfx.load_dataset("sleepstudy")
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> mfx.augment(fit, sleep).head(2).round(1)
       Reaction  Days Subject  .fitted  .fixed  .resid
    0     249.6     0     308    253.7   251.4    -4.1
    1     258.7     1     308    273.3   261.9   -14.6
    >>> mfx.augment(fit, {"Days": [12], "Subject": ["308"]}).round(1)
       Days Subject  .fitted  .fixed  .resid
    0    12     308    489.7   377.0     NaN
    """
    if not isinstance(fit, MixedResults):
        raise TypeError(f"a fitted mixed model is needed, found {type(fit).__name__}")
    results: Any = fit
    own = pd.DataFrame(
        {".fitted": results.fittedvalues, ".fixed": results.predict(random=False), ".resid": results.resid}
    )
    if data is None:
        return own
    frame = as_frame(data)
    if _is_fitted(results, frame):
        keep = results.design.keep
        rows = _plain(data, frame)
        used: pd.DataFrame = rows if keep is None else rows.loc[keep]
        return pd.concat([used, own.set_axis(used.index)], axis=1)
    fitted = results.predict(data, new_levels=new_levels, offset=offset)
    beside = pd.DataFrame(
        {
            ".fitted": fitted,
            ".fixed": results.predict(data, random=False, offset=offset),
            ".resid": _new_response(results, frame) - fitted.to_numpy(),
        }
    )
    return pd.concat([_plain(data, frame), beside], axis=1)


def _is_fitted(results: Any, frame: Frame) -> bool:
    """Whether the rows are those that were fitted: as many, with the same labels and the same values."""
    design, inputs = results.design, results.model.inputs
    n = design.n_rows if design.keep is None else design.keep.size
    if len(frame) != n:
        return False
    if inputs is None:
        return True
    known = inputs.frame
    shared = [name for name in known.names if name in frame]
    if not shared:
        return bool(frame.index.equals(known.index))
    return all(_same(known, frame, name) for name in shared)


def _same(first: Frame, second: Frame, name: str) -> bool:
    one, two = first.column(name), second.column(name)
    if one.is_factor or two.is_factor or isinstance(one, TimeColumn) or isinstance(two, TimeColumn):
        codes = two.labels.recode(one.labels.levels)
        return bool(np.array_equal(codes, one.labels.codes))
    return bool(np.array_equal(one.numbers, two.numbers, equal_nan=True))


def _plain(data: Any, frame: Frame) -> pd.DataFrame:
    """The rows as a pandas DataFrame."""
    if isinstance(data, pd.DataFrame):
        return data
    columns = {}
    for name in frame.names:
        column = frame.column(name)
        if column.is_factor or isinstance(column, TimeColumn):
            values = pd.Series(column.labels.levels.to_numpy().astype(object)).reindex(column.labels.codes)
            columns[name] = values.set_axis(frame.index)
        elif column.missing is None:
            columns[name] = pd.Series(column.labels.levels.to_numpy()[column.labels.codes], index=frame.index)
        else:
            columns[name] = pd.Series(column.numbers, index=frame.index)
    return pd.DataFrame(columns, index=frame.index)


def _new_response(results: Any, frame: Frame) -> Array:
    """Return the response (n,) of other rows as the fit has it; nan where they lack it."""
    design: Design = results.design
    expression, functions = design.formula.response, design.fixed.encoder.functions
    out = np.full(len(frame), np.nan)
    if not all(name in frame for name in variables_in([expression], functions)):
        return out
    keep: BoolArray | None = complete_rows(len(frame), missing_of(frame, (expression,), functions)).keep
    rows = FrameRows(frame, keep)
    if not rows.size:
        return out
    value = Evaluator(rows, functions, {})
    at = slice(None) if keep is None else keep
    if is_cbind(expression):
        found = read_response(expression, value, "binomial", None)
        out[at] = found.values if found.trials is None else np.where(found.trials > 0, found.values, np.nan)
        return out
    values = value.unchecked(expression)
    categories = design.response.categories
    if categories is None:
        out[at] = np.nan if isinstance(values, Factor) else values
        return out
    labels = [values.levels[code] for code in values.labels.codes] if isinstance(values, Factor) else values
    first = 0 if results.fit.problem.family.proportions else 1  # failure and success, or the first category
    places = {category: float(place) for place, category in enumerate(categories, first)}
    out[at] = [places.get(label, np.nan) for label in labels]
    return out
