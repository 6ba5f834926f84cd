"""Predictions of rows: the linear predictor, the mean of the response, or the probabilities of its categories.

:class:`Predictions` give each quantity of every row of a data frame as functions of the coefficients;
:class:`MeansView` says how their averages over a reference grid are tested and shown. ``scale=`` is resolved here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_choice
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.families.mean_function import limits_within
from mixedfx.marginal_means.functions import Functions
from mixedfx.marginal_means.labels import MEANS, RowKind
from mixedfx.marginal_means.model import MeansModel, unknown_predictor
from mixedfx.marginal_means.outcomes import OutcomeModel
from mixedfx.marginal_means.scales import IDENTITY, MeanScale
from mixedfx.matrices.columns import column_from_pandas

__all__ = [
    "STEP",
    "LinkPredictions",
    "MeansView",
    "Predictions",
    "ScaleName",
    "Shown",
    "linear_predictor",
    "scale_for",
]

STEP = 1e-3  # by which a predictor is moved to see a slope, relative to its range
NODES = {-1: (-3, -2, -1, 0), 0: (-2, -1, 1, 2), 1: (0, 1, 2, 3)}  # backward, central and forward, in steps
WEIGHTS = {
    -1: (-2 / 6, 9 / 6, -18 / 6, 11 / 6),
    0: (1 / 12, -8 / 12, 8 / 12, -1 / 12),
    1: (-11 / 6, 18 / 6, -9 / 6, 2 / 6),
}
POPULATION = "Averaged over the distribution of the random effects (population means)."
NUMBERS = "Means of the category numbers 1, 2, …."
TESTED = "Tests by the delta method."
PROBABILITIES = RowKind(
    "probability",
    "Marginal probabilities",
    "probability",
    is_on_link=False,
    limits=partial(limits_within, (0.0, 1.0)),
)
CLASS_MEANS = RowKind("mean", "Marginal means", "mean category", place=" in the mean category", is_on_link=False)


def linear_predictor(model: MeansModel, data: pd.DataFrame) -> Functions:
    """Return the linear predictor of every row; its gradients are the columns of the model."""
    source = model.coefficients
    rows = model.fit.columns.matrix(data)
    return Functions(source, rows[:, source.kept] @ source.beta + model.offset(data), rows)


@dataclass(frozen=True)
class Stencil:
    """Where every row is predicted to see its slope, and the weights of these predictions.

    Central differences of fourth order. They stay within the range of the fit, where a spline or a logarithm may end:
    at either end they are one-sided, of third order. A predictor of one sign moves by a share of itself where that is
    less than one of the range, as logarithms and roots of it are curved there.

    Attributes
    ----------
    places, weights : (4, n)
    """

    places: Array
    weights: Array

    @classmethod
    def of(cls, model: MeansModel, variable: str, data: pd.DataFrame) -> Stencil:
        """Return it for the values of a predictor in the rows ``data``.

        Raises
        ------
        SpecificationError
            If it is no numeric predictor of the model.
        """
        predictor = model.fit.predictors.get(variable)
        if predictor is None:
            raise unknown_predictor(model, variable)
        if np.isnan(predictor.mean):
            raise SpecificationError(f"{variable!r} is a factor: it has no slope; ask for emmeans(fit, {variable!r})")
        x, lower, upper = column_from_pandas(variable, data[variable]).numbers, predictor.lower, predictor.upper
        step = np.full(x.size, STEP * ((upper - lower) or abs(predictor.mean) or 1.0))
        if lower > 0.0 or upper < 0.0:
            step = np.where(x != 0.0, np.minimum(step, STEP * np.abs(x)), step)
        at_lower = (x >= lower) & (x - 2.0 * step < lower) & (lower < upper)
        side = np.where(at_lower, 1, np.where((x <= upper) & (x + 2.0 * step > upper) & (lower < upper), -1, 0))
        nodes, weights = (np.array([kind[way] for way in (-1, 0, 1)]).T[:, side + 1] for kind in (NODES, WEIGHTS))
        return cls(x + nodes * step, weights / step)

    def slopes(self, moved: Sequence[Functions]) -> Functions:
        """Return the slopes, of the predictions at the four places."""
        values = np.einsum("kn,kn->n", self.weights, [one.values for one in moved])
        rows = np.einsum("kn,knp->np", self.weights, [one.rows for one in moved])
        return Functions(moved[0].of, values, rows)


class Predictions(ABC):
    """A quantity that is predicted for each row, or the probability of each category."""

    #: Labels of the quantities: none, or the category.
    labels: tuple[Mapping[str, Any], ...] = ({},)

    @abstractmethod
    def of(self, model: MeansModel, data: pd.DataFrame) -> list[Functions]:
        """Return each quantity of every row."""

    def slopes(self, model: MeansModel, data: pd.DataFrame, variable: str) -> list[Functions]:
        """Return the derivative of each quantity in a numeric predictor, by :class:`Stencil`."""
        stencil = Stencil.of(model, variable, data)
        moved = [self.of(model, data.assign(**{variable: place})) for place in stencil.places]
        return [stencil.slopes(same) for same in zip(*moved, strict=True)]


class LinkPredictions(Predictions):
    """The linear predictor."""

    def of(self, model: MeansModel, data: pd.DataFrame) -> list[Functions]:
        """Return the linear predictor of every row."""
        return [linear_predictor(model, data)]


@dataclass(frozen=True, eq=False)
class LatentPredictions(Predictions):
    """The latent variable of ordered categories, its origin at the mean threshold."""

    outcome: OutcomeModel

    def of(self, model: MeansModel, data: pd.DataFrame) -> list[Functions]:
        """Return the latent variable of every row."""
        return [self.outcome.latent(linear_predictor(model, data))]


@dataclass(frozen=True, eq=False)
class MeanPredictions(Predictions):
    """The mean of the response: where the random effects are zero, or averaged over them."""

    integrate: bool

    def of(self, model: MeansModel, data: pd.DataFrame) -> list[Functions]:
        """Return the mean of every row."""
        linear = linear_predictor(model, data)
        if model.outcome is not None:
            return model.outcome.of(linear, data, integrate=self.integrate)[:1]
        if model.scale.is_identity:
            return [linear]
        mean, slope, _ = model.scale.inverse(linear.values)
        return [Functions(linear.of, mean, slope[:, None] * linear.rows)]


@dataclass(frozen=True, eq=False)
class CategoryPredictions(Predictions):
    """The probability of every category."""

    outcome: OutcomeModel
    integrate: bool

    @property
    def labels(self) -> tuple[Mapping[str, Any], ...]:  # type: ignore[override]
        """The categories."""
        return tuple({self.outcome.name: category} for category in self.outcome.categories)

    def of(self, model: MeansModel, data: pd.DataFrame) -> list[Functions]:
        """Return the probability of each category in every row."""
        return self.outcome.of(linear_predictor(model, data), data, integrate=self.integrate)


@dataclass(frozen=True, eq=False)
class ClassPredictions(Predictions):
    """The mean of the numbers 1, 2, … of the categories."""

    outcome: OutcomeModel
    integrate: bool

    def of(self, model: MeansModel, data: pd.DataFrame) -> list[Functions]:
        """Return the mean category number of every row."""
        parts = self.outcome.of(linear_predictor(model, data), data, integrate=self.integrate)
        numbers = 1.0 + np.arange(len(parts))
        values = np.einsum("c,cn->n", numbers, np.stack([part.values for part in parts]))
        rows = np.einsum("c,cnp->np", numbers, np.stack([part.rows for part in parts]))
        return [Functions(parts[0].of, values, rows)]


# ---------------------------------------------------------------- averages over a reference grid
def _as_they_are(averaged: Functions) -> Functions:
    return averaged


@dataclass(frozen=True, eq=False)
class MeansView:
    """Quantities that are averaged over the reference grid, and how the averages are tested and shown.

    Attributes
    ----------
    predictions : Predictions
    scale : MeanScale
        On which the averages are shown.
    notes : tuple of str
    scale_notes : tuple of str
        Notes on the scale of the response; contrasts without a counterpart on it drop them.
    kind : RowKind
        What the averages are.
    tested : callable
        Maps the averages (r,) to the scale on which they are tested.
    """

    predictions: Predictions
    scale: MeanScale
    notes: tuple[str, ...]
    scale_notes: tuple[str, ...] = ()
    kind: RowKind = MEANS
    tested: Callable[[Functions], Functions] = _as_they_are

    def labels(self, labels: pd.DataFrame) -> pd.DataFrame:
        """Return the labels of the averages of all quantities, one after the other, from those of one."""
        quantities = self.predictions.labels
        repeated = pd.concat([labels] * len(quantities), ignore_index=True)
        columns = {name: pd.Index([own[name] for own in quantities]).repeat(len(labels)) for name in quantities[0]}
        return repeated.assign(**columns)


# ---------------------------------------------------------------- the scales by name
class Shown(ABC):
    """A scale of predictions and their averages: what a word of ``scale=`` stands for."""

    #: Whether it needs the response, and not only the linear predictor.
    needs_response: bool = True

    @abstractmethod
    def predictions(self, model: MeansModel, *, integrate: bool) -> tuple[Predictions, tuple[str, ...]]:
        """Return the predictions of which effects are differences, and notes on them.

        Raises
        ------
        SpecificationError
            If the scale has no meaning for the model.
        """

    @abstractmethod
    def view(self, model: MeansModel, *, integrate: bool) -> MeansView:
        """Return the quantities of which marginal means are averages, and how they are shown.

        Raises
        ------
        SpecificationError
            If the response has no such mean.
        """


class OnLink(Shown):
    """The linear predictor; of ordered categories the latent variable."""

    needs_response = False

    def predictions(self, model: MeansModel, *, integrate: bool) -> tuple[Predictions, tuple[str, ...]]:
        """Return the linear predictor."""
        if integrate:
            raise SpecificationError("integrate=True averages means over the random effects: it needs scale='response'")
        return LinkPredictions(), () if model.scale.is_identity else (f"On the {model.scale.name} scale.",)

    def view(self, model: MeansModel, *, integrate: bool) -> MeansView:
        """Return averages of the linear predictor; over groups the link of averages of the response."""
        outcome = model.categories
        if outcome is not None and integrate:
            raise SpecificationError(
                "an ordinal response has no mean: stay on the scale of the latent variable (scale='link'), or ask for "
                "probabilities (scale='response') or for the mean of the category numbers (scale='mean_class')"
            )
        if outcome is not None:
            note = "Estimates are on the scale of the latent variable, less the mean threshold."
            return MeansView(LatentPredictions(outcome), IDENTITY, (note,))
        notes = () if model.scale.is_identity else (f"Estimates are on the {model.scale.name} scale.",)
        if integrate:
            return _averaged_means(model, IDENTITY, notes, (), integrate=True)
        return MeansView(LinkPredictions(), model.scale if model.scale.is_identity else IDENTITY, notes)


class OnResponse(Shown):
    """The mean of the response; of ordered categories the probability of each."""

    def predictions(self, model: MeansModel, *, integrate: bool) -> tuple[Predictions, tuple[str, ...]]:
        """Return the mean, or the probabilities."""
        place = () if model.scale.is_identity else ("On the response scale.",)
        notes = (*place, *((POPULATION,) if integrate else ()))
        outcome = model.categories
        return MeanPredictions(integrate) if outcome is None else CategoryPredictions(outcome, integrate), notes

    def view(self, model: MeansModel, *, integrate: bool) -> MeansView:
        """Return averages of probabilities, of the linear predictor (shown transformed back), or of means."""
        outcome, link = model.categories, model.scale
        if outcome is not None:
            notes = (
                *((POPULATION,) if integrate else ()),
                TESTED,
                "Intervals of probabilities are made on the logit scale.",
            )
            predictions = CategoryPredictions(outcome, integrate)
            return MeansView(predictions, IDENTITY, notes, kind=PROBABILITIES)
        back = f"Tests and intervals were made on the {link.name} scale, estimates are on the response scale."
        scale_notes = () if link.is_identity else (back,)
        if not integrate and (model.outcome is None or model.outcome.is_inverse_link):
            return MeansView(LinkPredictions(), link, (), scale_notes)
        kind = MEANS if model.outcome is None else replace(MEANS, limits=model.outcome.limits)
        if model.outcome is not None and not model.outcome.is_on_link and not link.is_identity:
            scale_notes = (f"Tests were made on the {link.name} scale, intervals within the range of the mean.",)
        return _averaged_means(model, link, (), scale_notes, integrate=integrate, kind=kind)


class OnClasses(Shown):
    """The mean of the numbers of ordered categories."""

    def predictions(self, model: MeansModel, *, integrate: bool) -> tuple[Predictions, tuple[str, ...]]:
        """Return the mean number."""
        return self._of(model, integrate), (NUMBERS, *((POPULATION,) if integrate else ()))

    def view(self, model: MeansModel, *, integrate: bool) -> MeansView:
        """Return averages of it."""
        predictions = self._of(model, integrate)
        notes = (
            *((POPULATION,) if integrate else ()),
            NUMBERS,
            TESTED,
            "Intervals of means are made within their range.",
        )
        kind = replace(CLASS_MEANS, limits=predictions.outcome.limits)
        return MeansView(predictions, IDENTITY, notes, kind=kind)

    def _of(self, model: MeansModel, integrate: bool) -> ClassPredictions:
        if model.categories is None:
            raise SpecificationError("scale='mean_class' is for ordinal responses; use 'link' or 'response'")
        return ClassPredictions(model.categories, integrate)


def _averaged_means(
    model: MeansModel,
    shown: MeanScale,
    notes: tuple[str, ...],
    scale_notes: tuple[str, ...],
    *,
    integrate: bool,
    kind: RowKind = MEANS,
) -> MeansView:
    """Return the view of arithmetic means of the response, tested on the scale of the link."""

    def on_link(averaged: Functions) -> Functions:
        """Return the link of means: intervals stay in the range of the mean, differences become ratios."""
        with np.errstate(divide="ignore", invalid="ignore"):  # a mean at the end of its range has no interval
            eta = model.scale.function(averaged.values)
            return Functions(averaged.of, eta, averaged.rows / model.scale.inverse(eta)[1][:, None])

    delta = "Means are those of the response, averaged as such (arithmetic means); intervals by the delta method."
    population = (POPULATION,) if integrate else ()
    notes = (*population, delta, *notes)
    return MeansView(MeanPredictions(integrate), shown, notes, scale_notes, kind, tested=on_link)


ScaleName: TypeAlias = Literal["link", "response", "mean_class"]
SCALES: dict[str, Shown] = {"link": OnLink(), "response": OnResponse(), "mean_class": OnClasses()}


def scale_for(word: str) -> Shown:
    """Resolve ``scale=``."""
    return checked_choice("scale", word, SCALES)
