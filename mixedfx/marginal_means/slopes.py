"""Derivatives of the columns of a model in a numeric predictor, through whatever the formula makes of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.model import FittedModel

__all__ = ["STEP", "slope_rows", "step_of"]

STEP = 1e-3  # of the range of a predictor


def step_of(model: FittedModel, variable: str) -> float:
    """Return the step of the differences in a predictor.

    Raises
    ------
    SpecificationError
        If it is no numeric predictor of the model.
    """
    predictor = model.predictors.get(variable)
    if predictor is None:
        known = ", ".join(map(repr, model.predictors)) or "none"
        raise SpecificationError(f"{variable!r} is no predictor of the model; they are {known}")
    if np.isnan(predictor.mean):
        raise SpecificationError(f"{variable!r} is a factor: it has no slope; ask for emmeans(fit, {variable!r})")
    return STEP * ((predictor.upper - predictor.lower) or abs(predictor.mean) or 1.0)


def slope_rows(model: FittedModel, data: pd.DataFrame, variable: str, step: float) -> tuple[Array, Array]:
    """Return the derivatives (n, P) of all columns, and (n,) of the linear predictor.

    Central differences of fourth order: exact, up to rounding, for polynomials of the fourth degree.
    """
    x = data[variable].to_numpy(dtype=float)
    moved = [data.assign(**{variable: x + k * step}) for k in (-2, -1, 1, 2)]
    rows = [model.columns.matrix(frame) for frame in moved]
    offsets = [model.columns.offset(frame) for frame in moved]
    slopes = _fourth_order(rows, step)
    return slopes, slopes[:, model.kept] @ model.beta + _fourth_order(offsets, step)


def _fourth_order(values: list[Array], step: float) -> Array:
    two_below, below, above, two_above = values
    return np.asarray((8.0 * (above - below) - (two_above - two_below)) / (12.0 * step))
