"""On what scale marginal means are averaged and shown: the linear predictor, the response, categories."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.functions import Functions
from mixedfx.marginal_means.model import FittedModel
from mixedfx.marginal_means.outcomes import Outcome
from mixedfx.marginal_means.predictions import linear_predictor, population_mean, require_mean
from mixedfx.marginal_means.scales import IDENTITY, Scale

__all__ = ["View", "view_for"]

SCALES = ("link", "response", "mean_class")
POPULATION = "Averaged over the distribution of the random effects (population means)."


class View(ABC):
    """What is averaged over the reference grid, and how the averages are shown."""

    #: Name of the column of estimates.
    estimate: str = "mean"
    heading: str = "Marginal means"
    #: By which the averages are shown.
    scale: Scale
    notes: tuple[str, ...]

    @abstractmethod
    def of(self, model: FittedModel, data: pd.DataFrame) -> list[Functions]:
        """Return the quantity of every row; one after the other if there are several."""

    def labels(self, labels: pd.DataFrame) -> pd.DataFrame:
        """Return the labels of all averages from those of one quantity."""
        return labels


@dataclass(frozen=True, eq=False)
class LinkView(View):
    """The linear predictor."""

    scale: Scale
    notes: tuple[str, ...]

    def of(self, model: FittedModel, data: pd.DataFrame) -> list[Functions]:
        """Return the linear predictor of every row."""
        return [linear_predictor(model, data)]


@dataclass(frozen=True, eq=False)
class MeanView(View):
    """The link of the mean ``eta* = g(E y)``, which more than the linear predictor decides on."""

    scale: Scale
    notes: tuple[str, ...]
    integrate: bool

    def of(self, model: FittedModel, data: pd.DataFrame) -> list[Functions]:
        """Return the link of the mean of every row."""
        mean = population_mean(model, data) if self.integrate else _mean(model, data)
        eta = model.scale.function(mean.values)
        return [Functions(mean.model, eta, mean.rows / model.scale.inverse(eta)[1][:, None])]


@dataclass(frozen=True, eq=False)
class CategoryView(View):
    """The probability of every category."""

    outcome: Outcome
    notes: tuple[str, ...]
    integrate: bool
    scale: Scale = IDENTITY
    estimate: str = "probability"
    heading: str = "Marginal probabilities"

    def of(self, model: FittedModel, data: pd.DataFrame) -> list[Functions]:
        """Return the probability of each category in every row."""
        return self.outcome.of(linear_predictor(model, data), data, _variance(model, data, self.integrate))

    def labels(self, labels: pd.DataFrame) -> pd.DataFrame:
        """Return the labels with the categories."""
        categories = pd.Index(list(self.outcome.categories))
        repeated = pd.concat([labels] * len(categories), ignore_index=True)
        return repeated.assign(**{self.outcome.name: categories.repeat(len(labels))})


@dataclass(frozen=True, eq=False)
class ClassView(View):
    """The mean of the numbers 1, 2, … of the categories."""

    outcome: Outcome
    notes: tuple[str, ...]
    integrate: bool
    scale: Scale = IDENTITY

    def of(self, model: FittedModel, data: pd.DataFrame) -> list[Functions]:
        """Return the mean category number of every row."""
        linear, variance = linear_predictor(model, data), _variance(model, data, self.integrate)
        parts = self.outcome.of(linear, data, variance)
        numbers = 1.0 + np.arange(len(parts))
        values = np.einsum("c,cn->n", numbers, np.stack([part.values for part in parts]))
        rows = np.einsum("c,cnp->np", numbers, np.stack([part.rows for part in parts]))
        return [Functions(self.outcome.model, values, rows)]


def _mean(model: FittedModel, data: pd.DataFrame) -> Functions:
    assert model.outcome is not None
    return model.outcome.of(linear_predictor(model, data), data, np.zeros(len(data)))[0]


def _variance(model: FittedModel, data: pd.DataFrame, integrate: bool) -> Array:
    return model.columns.variance(data) if integrate else np.zeros(len(data))


def view_for(model: FittedModel, scale: str, *, integrate: bool) -> View:
    """Resolve ``scale=`` and ``integrate=`` of marginal means.

    Raises
    ------
    SpecificationError
        If ``scale`` is another word, or the response has no such mean.
    """
    if scale not in SCALES:
        raise SpecificationError(f"scale is one of {', '.join(map(repr, SCALES))}; found {scale!r}")
    outcome, population = model.outcome, (POPULATION,) if integrate else ()
    if outcome is not None and outcome.categories:
        if scale == "mean_class":
            return ClassView(outcome, (*population, "Means of the category numbers 1, 2, …."), integrate)
        return CategoryView(outcome, (*population, "Tests and intervals by the delta method."), integrate)
    if scale == "mean_class":
        raise SpecificationError("scale='mean_class' is for ordinal responses; use 'link' or 'response'")
    if integrate:
        require_mean(model)
    shown = model.scale if scale == "response" else IDENTITY
    if outcome is None:
        notes = (*population, *_scale_notes(model, scale))
        return MeanView(shown, notes, True) if integrate else LinkView(shown, notes)
    zeros = "Means include the zeros of the zero-inflation or hurdle part; intervals by the delta method."
    return MeanView(shown, (*population, zeros, *_scale_notes(model, scale)), integrate)


def _scale_notes(model: FittedModel, chosen: str) -> tuple[str, ...]:
    if model.scale.is_identity:
        return ()
    if chosen == "response":
        return (f"Tests and intervals were made on the {model.scale.name} scale, estimates are on the response scale.",)
    return (f"Estimates are on the {model.scale.name} scale.",)
