"""Errors of sums over rows."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import mixedfx as mfx
from mixedfx import _libraries
from mixedfx.models.storage import write_parts
from mixedfx.scale import sources
from tests.messages.helpers import MODEL, Case, data

D, S = mfx.DataError, mfx.SpecificationError


def summed(formula: str = MODEL, source: Any = None, **options: Any) -> Callable[[], Any]:
    return lambda: mfx.cross_products(data() if source is None else source, formula, **options)


def fit() -> Any:
    return mfx.lmer(None, summed()())


def filed(write: Callable[[Path], Any], read: Callable[[Path], Any]) -> Callable[[], Any]:
    def call() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            write(path)
            return read(path)

    return call


class Vanishing(sources.FrameSource):
    """A source that is empty when it is read again."""

    def sums(self, recipe: Any) -> None:
        return None


class Changing:
    """Frames of which something is another from the second pass on."""

    def __init__(self, change: Callable[[Any], Any], rows: Any = None) -> None:
        self.change, self.rows, self.passes = change, data() if rows is None else rows, 0

    def __iter__(self) -> Any:
        self.passes += 1
        rows = self.rows if self.passes <= 2 else self.change(self.rows)  # the first is a look at what columns are
        return iter([rows[:20], rows[20:]])


def changing(change: Callable[[Any], Any], formula: str = "b ~ x + (1 | g)") -> Callable[[], Any]:
    return lambda: mfx.glmer(formula, Changing(change), family="binomial")


def meeting() -> Any:
    """Many crossed levels, of which two meet in the second pass that have not met before."""
    rng = np.random.default_rng(2)
    rows = pd.DataFrame({"u": np.arange(900) % 180, "v": rng.integers(0, 149, 900), "b": rng.integers(0, 2, 900)})
    free = rows.v.where(rows.index != 7, next(v for v in range(149) if not ((rows.u == 7) & (rows.v == v)).any()))
    return mfx.glmer("b ~ 1 + (1 | u) + (1 | v)", Changing(lambda rows: rows.assign(v=free), rows), family="binomial")


def read() -> Any:
    return mfx.glmer("b ~ x + (1 | g)", [data()[:20], data()[20:]], family="binomial")


def without_pyarrow() -> Any:
    module = _libraries.import_module
    _libraries.import_module = lambda name: (_ for _ in ()).throw(ImportError(name))  # type: ignore[assignment]
    try:
        return mfx.cross_products("rows.parquet", MODEL)
    finally:
        _libraries.import_module = module


def query() -> Any:
    import duckdb

    return mfx.cross_products("select * from nowhere", MODEL, connection=duckdb.connect())


CASES: dict[str, Case] = {
    "rows of a fit to sums": (lambda: fit().fittedvalues, S, ("sums over rows", "fit the rows themselves")),
    "residuals with a structure": (
        lambda: mfx.lmer(None, summed()(), residual=mfx.AR1(group="g")),
        S,
        ("one by one", "fit the rows themselves"),
    ),
    "another formula": (lambda: mfx.lmer("y ~ 1 + (1 | g)", summed()()), S, ("y ~ 1 + x", "leave the formula out")),
    "weights beside sums": (lambda: mfx.lmer(None, summed()(), weights="w"), S, ("weights", "mfx.cross_products")),
    "a computed factor": (
        summed("y ~ half(x) + (1 | g)", functions={"half": lambda x: np.where(x > 0, "up", "down")}),
        S,
        ("half(x)", "make it a column"),
    ),
    "no response": (summed("~ x + (1 | g)"), S, ("no response",)),
    "scale inside": (summed("y ~ I(scale(x)^2) + (1 | g)"), S, ("scale(x)", "a term of its own")),
    "knots": (summed("y ~ bs(x, df=4) + (1 | g)"), S, ("bs(x, df=4)", "lower_bound")),
    "lag": (summed("y ~ lag(x, 1) + (1 | g)"), S, ("lag(x, 1)", "make it a column")),
    "constant scale": (lambda: mfx.lmer(None, summed("y ~ scale(t) + (1 | g)")()), D, ("scale(t)", "constant")),
    "polynomial": (lambda: mfx.lmer(None, summed("y ~ poly(b, 2) + (1 | g)")()), D, ("poly(b, 2)", "more than 2")),
    "two types": (summed(source=[data(), data(x="a")]), D, ("'x'", "labels", "one type in all")),
    "empty": (summed(source=iter([])), D, ("one-shot iterator", "empty")),
    "nothing complete": (summed(source=data(y=np.nan)), D, ("no rows are left", "missing")),
    "a source that vanishes": (summed(source=Vanishing([data()])), D, ("changed",)),
    "no such file": (summed(source="no/such.parquet"), D, ("no/such.parquet", "connection=")),
    "no library": (without_pyarrow, S, ("pyarrow", "pip install 'mixedfx[parquet]'")),
    "a wrong query": (query, D, ("select * from nowhere",)),
    "an iterator for a generalised model": (
        lambda: mfx.glmer("b ~ x + (1 | g)", iter([data()]), family="binomial"),
        S,
        ("one-shot iterator", "list of frames"),
    ),
    "rows that are not kept": (lambda: read().resid, S, ("piece by piece", "fit a data frame")),
    "another argument of a fit to a source": (lambda: read().update(knots=3), TypeError, ("'knots'", "family")),
    "rows that come later": (
        changing(lambda rows: rows[:-1]),
        D,
        ("a collection of frames (Changing) changed", "rows that count", "a copy"),
    ),
    "values that change": (
        changing(lambda rows: rows.assign(x=rows.x + (rows.index == 3))),
        D,
        ("a collection of frames (Changing) changed", "values in them are others"),
    ),
    "a level that comes later": (
        changing(lambda rows: rows.assign(g=rows.g.where(rows.index != 3, "new"))),
        D,
        ("changed", "'g'", "('new')"),
    ),
    "levels that meet later": (
        meeting,
        D,
        ("changed", "did not meet before"),
    ),
    "small cells": (summed(min_cell=7), S, ("8 cells", "min_cell=7", "g = 'g0' (6)", "merge levels")),
    "other sums": (lambda: summed()() + summed("y ~ 1 + (1 | g)")(), S, ("do not belong together", "formulas")),
    "a fit, not sums": (
        filed(lambda path: fit().save(path), mfx.load_cross_products),
        D,
        ("holds a fit", "mfx.load"),
    ),
    "sums, not a fit": (
        filed(lambda path: summed()().save(path), mfx.load),
        D,
        ("holds sums over rows", "mfx.load_cross_products"),
    ),
    "damaged sums": (
        filed(lambda path: write_parts(path, {"kind": "sums", "sums": {}}, {}, {}), mfx.load_cross_products),
        D,
        ("cannot be rebuilt",),
    ),
}
