"""Predictions as functions of the coefficients, on the scale on which effects are wanted."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.linalg.quadrature import hermite_rule
from mixedfx.marginal_means.functions import Functions
from mixedfx.marginal_means.model import FittedModel

__all__ = ["LinkPredictions", "Predictions", "linear_predictor", "population_mean", "predictions_for", "require_mean"]

NODES = 61


def linear_predictor(model: FittedModel, data: pd.DataFrame) -> Functions:
    """Return the linear predictor of every row; its gradients are the columns of the model."""
    rows = model.columns.matrix(data)
    return Functions(model, rows[:, model.kept] @ model.beta + model.columns.offset(data), rows)


def population_mean(model: FittedModel, data: pd.DataFrame) -> Functions:
    """Return ``E mu(eta + e)`` of every row, ``e`` the random part of the linear predictor."""
    linear, variance = linear_predictor(model, data), model.columns.variance(data)
    if model.outcome is not None:
        return model.outcome.of(linear, data, variance)[0]
    rule = hermite_rule(NODES, 1)
    weights = np.exp(rule.log_weights - rule.nodes[:, 0] ** 2) / np.sqrt(np.pi)
    mean, slope, _ = model.scale.inverse(linear.values + np.sqrt(2.0 * variance) * rule.nodes)
    return Functions(model, weights @ mean, (weights @ slope)[:, None] * linear.rows)


def require_mean(model: FittedModel) -> None:
    """Raise a SpecificationError if the response has no mean."""
    if not model.scale.has_mean:
        raise SpecificationError(
            "an ordinal response has no mean: stay on the scale of the latent variable (scale='link'), or ask for "
            "probabilities: emmeans(fit, …, scale='response') or fit.predict(data, which='probabilities')"
        )


class Predictions(ABC):
    """What is predicted for a row."""

    #: What notes say of it.
    notes: tuple[str, ...] = ()

    @abstractmethod
    def of(self, model: FittedModel, data: pd.DataFrame) -> Functions:
        """Return the prediction of every row."""

    def slopes(self, model: FittedModel, data: pd.DataFrame, variable: str, step: float) -> Functions:
        """Return its derivative in a numeric predictor: central differences of fourth order."""
        x = data[variable].to_numpy(dtype=float)
        moved = [self.of(model, data.assign(**{variable: x + k * step})) for k in (-2, -1, 1, 2)]
        return Functions(
            moved[0].model, _fourth_order([f.values for f in moved], step), _fourth_order([f.rows for f in moved], step)
        )


class LinkPredictions(Predictions):
    """The linear predictor."""

    def of(self, model: FittedModel, data: pd.DataFrame) -> Functions:
        """Return the linear predictor of every row."""
        return linear_predictor(model, data)


class ResponsePredictions(Predictions):
    """The mean where the random effects are zero."""

    def of(self, model: FittedModel, data: pd.DataFrame) -> Functions:
        """Return the mean of every row."""
        require_mean(model)
        linear = linear_predictor(model, data)
        if model.outcome is not None:
            return model.outcome.of(linear, data, np.zeros(len(data)))[0]
        if model.scale.is_identity:
            return linear
        mean, slope, _ = model.scale.inverse(linear.values)
        return Functions(model, mean, slope[:, None] * linear.rows)


class PopulationPredictions(Predictions):
    """The mean averaged over the distribution of the random effects."""

    notes = ("Averaged over the distribution of the random effects (population means).",)

    def of(self, model: FittedModel, data: pd.DataFrame) -> Functions:
        """Return the mean of every row."""
        require_mean(model)
        return population_mean(model, data)


def _fourth_order(values: list[Array], step: float) -> Array:
    two_below, below, above, two_above = values
    return np.asarray((8.0 * (above - below) - (two_above - two_below)) / (12.0 * step))


SCALES: dict[str, type[Predictions]] = {"link": LinkPredictions, "response": ResponsePredictions}


def predictions_for(scale: str, *, integrate: bool) -> Predictions:
    """Resolve ``scale=`` and ``integrate=``."""
    if scale not in SCALES:
        raise SpecificationError(f"scale is 'link' or 'response'; found {scale!r}")
    if not integrate:
        return SCALES[scale]()
    if scale == "link":
        raise SpecificationError("integrate=True averages means over the random effects: it needs scale='response'")
    return PopulationPredictions()
