"""On what scale marginal means are averaged and shown: the linear predictor, the response, categories."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.functions import Functions
from mixedfx.marginal_means.model import FittedModel
from mixedfx.marginal_means.outcomes import Outcome
from mixedfx.marginal_means.predictions import POPULATION, SCALES, class_mean, linear_predictor, mean_of, require_mean
from mixedfx.marginal_means.scales import IDENTITY, Scale

__all__ = ["View", "view_for"]


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

    def finished(self, averaged: Functions) -> Functions:
        """Return the averages (r,) on the scale on which they are tested."""
        return averaged

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
class LatentView(View):
    """The latent variable of ordered categories, its origin at the mean threshold."""

    outcome: Outcome
    notes: tuple[str, ...]
    scale: Scale = IDENTITY

    def of(self, model: FittedModel, data: pd.DataFrame) -> list[Functions]:
        """Return the latent variable of every row."""
        return [self.outcome.latent(linear_predictor(model, data))]


@dataclass(frozen=True, eq=False)
class MeanView(View):
    """The mean of the response where it is more than the inverse link: averaged as such, tested on the link's scale."""

    model: FittedModel
    scale: Scale
    notes: tuple[str, ...]
    integrate: bool

    def of(self, model: FittedModel, data: pd.DataFrame) -> list[Functions]:
        """Return the mean of every row."""
        return [mean_of(model, data, integrate=self.integrate)]

    def finished(self, averaged: Functions) -> Functions:
        """Return the link of the averages: intervals stay in the range of the mean, differences become ratios."""
        link = self.model.scale
        with np.errstate(divide="ignore", invalid="ignore"):  # a mean at the end of its range has no interval
            eta = link.function(averaged.values)
            return Functions(averaged.model, eta, averaged.rows / link.inverse(eta)[1][:, None])


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
        return self.outcome.of(linear_predictor(model, data), data, integrate=self.integrate)

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
        return [class_mean(self.outcome.of(linear_predictor(model, data), data, integrate=self.integrate))]


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
        if scale == "response":
            return CategoryView(outcome, (*population, "Tests and intervals by the delta method."), integrate)
        if integrate:
            require_mean(model)
        return LatentView(outcome, ("Estimates are on the scale of the latent variable, less the mean threshold.",))
    if scale == "mean_class":
        raise SpecificationError("scale='mean_class' is for ordinal responses; use 'link' or 'response'")
    shown = model.scale if scale == "response" else IDENTITY
    if not integrate and (scale == "link" or outcome is None or outcome.is_inverse_link):
        return LinkView(shown, _scale_notes(model, scale))
    delta = "Means are those of the response, averaged as such (arithmetic means); intervals by the delta method."
    return MeanView(model, shown, (*population, delta, *_scale_notes(model, scale)), integrate)


def _scale_notes(model: FittedModel, chosen: str) -> tuple[str, ...]:
    if model.scale.is_identity:
        return ()
    if chosen == "response":
        return (f"Tests and intervals were made on the {model.scale.name} scale, estimates are on the response scale.",)
    return (f"Estimates are on the {model.scale.name} scale.",)
