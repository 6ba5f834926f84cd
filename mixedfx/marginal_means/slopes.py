"""How far a numeric predictor is moved to see how fast something changes with it."""

from __future__ import annotations

import numpy as np

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.functions import Functions
from mixedfx.marginal_means.model import FittedModel, unknown_predictor
from mixedfx.marginal_means.scales import IDENTITY, Scale, scale_of_response
from mixedfx.matrices.expressions import variables_in

__all__ = ["STEP", "on_scale", "step_of", "variable_of"]

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


def variable_of(model: FittedModel, text: str) -> tuple[str, Scale]:
    """Return the predictor in which a slope is wanted, and the scale on which it is counted: ``log(x)`` is one of x.

    Raises
    ------
    SpecificationError
        If the text is a function that is not known, of several columns, or of none.
    """
    if not isinstance(text, str):
        raise TypeError(f"variable is the name of a predictor, or one such as 'log(x)'; found {type(text).__name__}")
    scale = IDENTITY if text in model.predictors else scale_of_response(text)
    if text in model.predictors or scale.is_identity:
        return text, IDENTITY
    names = variables_in([text], {})
    return (names[0], scale) if len(names) == 1 else (text, IDENTITY)


def on_scale(slopes: Functions, scale: Scale, values: Array) -> Functions:
    """Return slopes in ``h(x)`` from those in x, at the values (n,) of x: divided by the slope of h.

    Raises
    ------
    SpecificationError
        If h has no value there.
    """
    if scale.is_identity:
        return slopes
    with np.errstate(all="ignore"):  # what is not finite is refused
        per_unit = scale.inverse(scale.function(values))[1]
    if not np.isfinite(per_unit).all():
        raise SpecificationError(
            f"{scale.name} has no value where the slope is wanted (at={values.min():.4g}); give at="
        )
    return Functions(slopes.model, slopes.values * per_unit, slopes.rows * per_unit[:, None])
