"""Predictions as functions of what was estimated, on the scale on which effects are wanted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.functions import Functions
from mixedfx.marginal_means.model import FittedModel
from mixedfx.marginal_means.outcomes import Outcome

__all__ = ["POPULATION", "Predictions", "class_mean", "linear_predictor", "mean_of", "predictions_for", "require_mean"]

POPULATION = "Averaged over the distribution of the random effects (population means)."
SCALES = ("link", "response", "mean_class")


def linear_predictor(model: FittedModel, data: pd.DataFrame) -> Functions:
    """Return the linear predictor of every row; its gradients are the columns of the model."""
    rows = model.columns.matrix(data)
    return Functions(model, rows[:, model.kept] @ model.beta + model.offset(data), rows)


def mean_of(model: FittedModel, data: pd.DataFrame, *, integrate: bool) -> Functions:
    """Return the mean of the response in every row: where random effects are zero, or averaged over them."""
    linear = linear_predictor(model, data)
    if model.outcome is not None:
        return model.outcome.of(linear, data, integrate=integrate)[0]
    if model.scale.is_identity:
        return linear
    mean, slope, _ = model.scale.inverse(linear.values)
    return Functions(model, mean, slope[:, None] * linear.rows)


def class_mean(parts: list[Functions]) -> Functions:
    """Return the means of the category numbers 1, 2, … from the probabilities of the categories."""
    numbers = 1.0 + np.arange(len(parts))
    values = np.einsum("c,cn->n", numbers, np.stack([part.values for part in parts]))
    rows = np.einsum("c,cnp->np", numbers, np.stack([part.rows for part in parts]))
    return Functions(parts[0].model, values, rows)


def require_mean(model: FittedModel) -> None:
    """Raise a SpecificationError if the response has no mean."""
    if not model.scale.has_mean:
        raise SpecificationError(
            "an ordinal response has no mean: stay on the scale of the latent variable (scale='link'), or ask for "
            "probabilities (scale='response') or for the mean of the category numbers (scale='mean_class')"
        )


class Predictions(ABC):
    """What is predicted for a row: one quantity, or the probability of each category."""

    #: What notes say of it.
    notes: tuple[str, ...] = ()
    #: What each quantity is beside the predictors: nothing, or a category.
    labels: tuple[Mapping[str, Any], ...] = ({},)

    @abstractmethod
    def of(self, model: FittedModel, data: pd.DataFrame) -> list[Functions]:
        """Return each quantity of every row."""

    def slopes(self, model: FittedModel, data: pd.DataFrame, variable: str, step: float) -> list[Functions]:
        """Return its derivative in a numeric predictor: central differences of fourth order."""
        x = data[variable].to_numpy(dtype=float)
        moved = [self.of(model, data.assign(**{variable: x + k * step})) for k in (-2, -1, 1, 2)]
        return [
            Functions(f[0].model, _fourth_order([p.values for p in f], step), _fourth_order([p.rows for p in f], step))
            for f in zip(*moved, strict=True)
        ]


class LinkPredictions(Predictions):
    """The linear predictor."""

    def of(self, model: FittedModel, data: pd.DataFrame) -> list[Functions]:
        """Return the linear predictor of every row."""
        return [linear_predictor(model, data)]


class MeanPredictions(Predictions):
    """The mean of the response."""

    def __init__(self, *, integrate: bool) -> None:
        self.integrate = integrate
        self.notes = (POPULATION,) if integrate else ()

    def of(self, model: FittedModel, data: pd.DataFrame) -> list[Functions]:
        """Return the mean of every row."""
        return [mean_of(model, data, integrate=self.integrate)]


class CategoryPredictions(Predictions):
    """The probability of every category, or the mean of the category numbers."""

    def __init__(self, outcome: Outcome, *, integrate: bool, as_number: bool) -> None:
        self.outcome, self.integrate, self.as_number = outcome, integrate, as_number
        numbers = ("Means of the category numbers 1, 2, ….",) if as_number else ()
        self.notes = (*numbers, *((POPULATION,) if integrate else ()))
        self.labels = ({},) if as_number else tuple({outcome.name: own} for own in outcome.categories)

    def of(self, model: FittedModel, data: pd.DataFrame) -> list[Functions]:
        """Return the probability of each category in every row, or one mean."""
        parts = self.outcome.of(linear_predictor(model, data), data, integrate=self.integrate)
        return [class_mean(parts)] if self.as_number else parts


def _fourth_order(values: list[Array], step: float) -> Array:
    two_below, below, above, two_above = values
    return np.asarray((8.0 * (above - below) - (two_above - two_below)) / (12.0 * step))


def predictions_for(model: FittedModel, scale: str, *, integrate: bool) -> Predictions:
    """Resolve ``scale=`` and ``integrate=``.

    Raises
    ------
    SpecificationError
        If ``scale`` is another word, or has no meaning for the model.
    """
    if scale not in SCALES:
        raise SpecificationError(f"scale is one of {', '.join(map(repr, SCALES))}; found {scale!r}")
    outcome = model.outcome
    has_categories = outcome is not None and bool(outcome.categories)
    if scale == "mean_class" and not has_categories:
        raise SpecificationError("scale='mean_class' is for ordinal responses; use 'link' or 'response'")
    if scale == "link" and integrate:
        raise SpecificationError("integrate=True averages means over the random effects: it needs scale='response'")
    if scale == "link":
        return LinkPredictions()
    if outcome is not None and has_categories:
        return CategoryPredictions(outcome, integrate=integrate, as_number=scale == "mean_class")
    return MeanPredictions(integrate=integrate)
