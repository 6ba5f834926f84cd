"""Smooths of a fit: a row each with its test, and their curves with standard errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfx._display import Column, Each, Numbers, Table, format_p
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import Fit
from mixedfx.inference.distributions import quantile
from mixedfx.inference.smooths import FittedSmooth
from mixedfx.matrices.new_rows import PredictedRows
from mixedfx.matrices.pooled import smooth_encoder
from mixedfx.matrices.smooths import SmoothInputs

__all__ = ["CURVE_COLUMNS", "chosen_smooths", "smooth_curve", "smooth_frame", "smooth_table"]

CURVE_COLUMNS = ["smooth", "level", "x", "fit", "se", "lower", "upper"]
UNDEFINED = "—"


def smooth_frame(smooths: tuple[FittedSmooth, ...]) -> pd.DataFrame:
    """Return ``edf, ref_df, F, pvalue`` of every smooth, a row each."""
    columns = {
        "edf": [smooth.edf for smooth in smooths],
        "ref_df": [smooth.ref_df for smooth in smooths],
        "F": [smooth.fvalue for smooth in smooths],
        "pvalue": [smooth.pvalue for smooth in smooths],
    }
    index = pd.Index([smooth.label for smooth in smooths], name="smooth", dtype=object)
    return pd.DataFrame(columns, index=index, dtype=float)


def smooth_table(frame: pd.DataFrame) -> Table:
    """Lay out the smooths for a summary."""
    one = Numbers(3, (1.0,), UNDEFINED)
    return Table(
        (
            Column("", tuple(map(str, frame.index)), stub=True),
            *(Column(name, tuple(frame[name]), one) for name in ("edf", "ref_df", "F")),
            Column("P>F", tuple(frame["pvalue"]), Each(format_p, UNDEFINED)),
        ),
        title="Smooths",
    )


def chosen_smooths(smooths: tuple[FittedSmooth, ...], fit: Fit, name: str | None) -> tuple[FittedSmooth, ...]:
    """Return the smooths that ``name`` means: ``s(x)``, ``s(x):f`` for all levels, ``s(x):f[a]``; all if omitted.

    Raises
    ------
    SpecificationError
        If there are none.
    """
    if not smooths:
        raise SpecificationError("the model has no smooths: write s(x) in its formula")
    wanted = None if name is None else "".join(str(name).split())
    groups = [fit.design.random[smooth.term].group for smooth in smooths]
    found = tuple(
        smooth
        for smooth, group in zip(smooths, groups, strict=True)
        if wanted is None or wanted in ("".join(smooth.label.split()), "".join(group.split()))
    )
    if not found:
        known = ", ".join(repr(smooth.label) for smooth in smooths)
        raise SpecificationError(f"there is no smooth {name!r}; choose from {known}")
    return found


def smooth_curve(fit: Fit, smooth: FittedSmooth, points: int, alpha: float) -> pd.DataFrame:
    """Return the values of a smooth along its variable, with standard errors and pointwise limits.

    The smooth sums to zero over the rows of the fit, so that it has no constant of its own; one that multiplies a
    number is the coefficient of that number.
    """
    term = fit.design.random[smooth.term]
    transform = smooth_encoder(term).transform
    grid = transform.low + transform.span * np.linspace(0.0, 1.0, points)
    codes = None if smooth.level is None else np.full(points, smooth.level, dtype=np.intp)
    at = SmoothInputs(grid, codes, np.ones(points) if transform.has_constant else None)
    rows = _rows_of(fit, smooth, transform.line(at), transform.wiggle(at))
    value = rows.predictor(fit.beta, fit.modes)
    se = np.sqrt(np.maximum(fit.predictor_errors(rows).variance(fit.error_root), 0.0))
    reach = float(quantile(1.0 - 0.5 * alpha, np.array([smooth.df_denom]))[0])
    level: Any = None if smooth.level is None else smooth_encoder(term).levels[smooth.level]
    columns = [smooth.label, level, grid, value, se, value - reach * se, value + reach * se]
    return pd.DataFrame(dict(zip(CURVE_COLUMNS, columns, strict=True)))


def _rows_of(fit: Fit, smooth: FittedSmooth, line: Array, wiggle: Array) -> PredictedRows:
    """Rows of the linear predictor that have one smooth and nothing else."""
    n, design = len(line), fit.design
    x = np.zeros((n, len(design.fixed.names)))
    x[:, smooth.fixed] = line[:, smooth.parts]
    codes = [np.zeros(n, dtype=np.intp) for _ in design.random]
    z = [np.zeros((n, term.n_columns)) for term in design.random]
    z[smooth.term] = wiggle
    chosen = [np.full(term.n_columns, k == smooth.term) for k, term in enumerate(design.random)]
    return PredictedRows(x, codes, z, chosen)
