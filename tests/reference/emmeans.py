"""Marginal means, trends and contrasts against the emmeans package."""

from typing import Any

import numpy as np
import pandas as pd

import mixedfx as mfx
from tests.reference.cases import Case, match
from tests.reference.frames import as_frame, column_of
from tests.reference.measures import Measures, column, measure, nan_for_null, relative
from tests.reference.translate import Outcome

NUMBERS = {"emmean", "estimate", "SE", "df", "lower.CL", "upper.CL", "t.ratio", "p.value", "response", "prob", "rate"}
NUMBERS |= {"z.ratio", "asymp.LCL", "asymp.UCL", "odds.ratio", "ratio", "null", "effect.size"}
KEYS = ("vcov_fixef", "vcov_fixef_accurate")
METHODS = {"trt.vs.ctrl": "treatment", "poly": "polynomial", "eff": "effects", "pairwise": "pairwise"}


def emmeans(case: Case, outcome: Outcome) -> Measures:
    for label, request in case["emmeans"].items():
        if request is None:
            continue
        means = requested(case, outcome.fit, request)
        yield from _table(case, f"emmeans {label}", _as_reported(case, outcome, means), request["means"])
        for key, rows in request.get("contrasts", {}).items():
            if request["specs"] == "~ 1":
                continue
            method, _, adjust = key.rpartition("_")
            ours = means.contrast(METHODS.get(method, method), adjust=adjust)
            yield from _contrast(f"emmeans {label} {key}", _as_reported(case, outcome, ours), rows)


def _as_reported(case: Case, outcome: Outcome, means: Any) -> pd.DataFrame:
    """Our table; for ``glmer`` with the error of lme4's differences in the standard errors put in (see NOTES.md)."""
    frame = as_frame(means)
    if "vcov_fixef_accurate" not in case.content:
        return frame
    theirs = {ours: name for name, ours in match(outcome.fit.params.index, case["fixef"], case.levels).items()}
    names = [theirs[name] for name in outcome.fit.params.index]
    rough, accurate = (_variances(means.functions.L, case[key], names) for key in KEYS)
    error = np.sqrt(rough / accurate)
    return frame.assign(se=frame["se"] * error, z=frame["z"] / error)


def _variances(rows: Any, covariance: dict[str, Any], names: list[str]) -> Any:
    order = [covariance["names"].index(name) for name in names]
    matrix = np.asarray(covariance["matrix"], dtype=float)[np.ix_(order, order)]
    return np.einsum("rp,pq,rq->r", rows, matrix, rows)


def requested(case: Case, fit: Any, request: dict[str, Any]) -> Any:
    """``~ a | b`` is ``emmeans(fit, "a", by="b")``; a trend variable asks for slopes."""
    left, _, by = request["specs"].removeprefix("~").partition("|")
    specs = [name.strip() for name in left.split("+") if name.strip() != "1"]
    arguments: dict[str, Any] = {"by": by.strip() or None, "at": request["at"]}
    if request["df_method"]:
        arguments["ddf"] = request["df_method"]
    if case.engine == "glmmTMB":  # whose marginal means have residual degrees of freedom
        arguments["ddf"] = "residual"
    arguments = {key: value for key, value in arguments.items() if value is not None}
    if request["trend_variable"]:
        return mfx.trends(fit, request["trend_variable"], specs or None, **arguments)
    if request["type"] == "response":
        arguments["scale"] = "response"
    return mfx.emmeans(fit, specs, **arguments)


def _sorted_rows(case: Case, frame: pd.DataFrame, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Our rows in R's order, found by the factor levels that both tables show."""
    keys = [key for key in rows[0] if key not in NUMBERS and not key.endswith(".trend") and key in frame]
    if not keys:
        return frame
    position = {tuple(str(row[key]) for key in keys): index for index, row in enumerate(frame[keys].to_dict("records"))}
    mark = "X" if case.engine.startswith("afex") else ""  # afex makes identifiers of levels that are numbers
    return frame.iloc[[position[tuple(str(row[key]).removeprefix(mark) for key in keys)] for row in rows]]


def _values(rows: list[dict[str, Any]], *names: str) -> Any:
    name = next(key for key in rows[0] if key in names or (names[0] == "emmean" and key.endswith(".trend")))
    return nan_for_null([row[name] for row in rows])


def _table(case: Case, label: str, frame: pd.DataFrame, rows: list[dict[str, Any]]) -> Measures:
    frame = _sorted_rows(case, frame.reset_index() if frame.index.names != [None] else frame, rows)
    se = _values(rows, "SE")
    yield measure(
        "estimate", f"{label} mean", column_of(frame, "emmean"), _values(rows, "emmean", "response", "prob", "rate"), se
    )
    yield from _spread(label, frame, rows, se)


def _spread(label: str, frame: pd.DataFrame, rows: list[dict[str, Any]], se: Any) -> Measures:
    yield relative("se", f"{label} SE", column_of(frame, "SE"), se)
    yield relative("df", f"{label} df", column_of(frame, "df"), column(dict(enumerate(rows)), "df", range(len(rows))))
    for side, names in (("lower.CL", ("lower.CL", "asymp.LCL")), ("upper.CL", ("upper.CL", "asymp.UCL"))):
        yield measure("interval", f"{label} {side}", column_of(frame, side), _values(rows, *names), 2 * se)
    ratio = next(name for name in ("t.ratio", "z.ratio") if name in rows[0])
    theirs = _values(rows, ratio)
    yield relative("statistic", f"{label} {ratio}", column_of(frame, ratio), theirs, 1.0)
    yield measure("adjusted p", f"{label} p", column_of(frame, "p.value"), _values(rows, "p.value"))


def _contrast(label: str, frame: pd.DataFrame, rows: list[dict[str, Any]]) -> Measures:
    """Contrasts come in R's order: pairs (1-2, 1-3, 2-3 …), treatments, polynomial degrees."""
    se = _values(rows, "SE")
    theirs = _values(rows, "estimate", "odds.ratio", "ratio")
    yield measure("estimate", f"{label} estimate", column_of(frame, "estimate"), theirs, se)
    yield from _spread(label, frame, rows, se)
