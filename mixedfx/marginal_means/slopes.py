"""How far a numeric predictor is moved to see how fast something changes with it."""

from __future__ import annotations

import numpy as np

from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.model import FittedModel, unknown_predictor

__all__ = ["STEP", "step_of"]

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
        raise unknown_predictor(model, variable)
    if np.isnan(predictor.mean):
        raise SpecificationError(f"{variable!r} is a factor: it has no slope; ask for emmeans(fit, {variable!r})")
    return STEP * ((predictor.upper - predictor.lower) or abs(predictor.mean) or 1.0)
