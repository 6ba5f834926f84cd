"""The model behind marginal means: a fit, the scale of its mean, the outcome if it is needed, and the offset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.families.links import EVERYWHERE
from mixedfx.inference.ddf import DdfName
from mixedfx.marginal_means.functions import Coefficients
from mixedfx.marginal_means.outcomes import OutcomeModel, outcome_of, outcome_of_transformed
from mixedfx.marginal_means.scales import MeanScale, scale_of_link, scale_of_response
from mixedfx.results.adapted import AdaptedFit
from mixedfx.results.adapters import adapted

__all__ = ["MeansModel", "means_model", "unknown_predictor"]


@dataclass(frozen=True, eq=False)
class MeansModel:
    """The model behind marginal means and effects.

    Attributes
    ----------
    fit : AdaptedFit
    coefficients : Coefficients
        Of its linear predictor.
    scale : MeanScale
        Of its linear predictor.
    outcome : OutcomeModel or None
        Mean or categories of the response, if they are needed.
    analyses : tuple of MeansModel
        The models of several fits that are put together, where each is asked for its outcome.
    offset : callable
        Maps rows to the known part (n,) of their linear predictors; :meth:`on_grid` and the like choose it.
    """

    fit: AdaptedFit
    coefficients: Coefficients
    scale: MeanScale
    outcome: OutcomeModel | None = None
    analyses: tuple[MeansModel, ...] = ()
    offset: Callable[[pd.DataFrame], Array] = field(default=lambda data: np.zeros(len(data)), repr=False)

    @property
    def answering(self) -> tuple[MeansModel, ...]:
        """The models that are asked for their outcome: the fits that are put together, or the model itself.

        Raises
        ------
        SpecificationError
            If nobody knows it.
        """
        if self.fit.silence and not self.analyses:
            raise SpecificationError(self.fit.silence)
        return self.analyses or (self,)

    @property
    def categories(self) -> OutcomeModel | None:
        """The outcome, if it is needed and has ordered categories."""
        return self.outcome if self.outcome is not None and self.outcome.categories else None

    def in_its_rows(self) -> MeansModel:
        """Return the model for the rows of the fit, each with its own offset."""
        return replace(self, offset=self.fit.columns.own_offset)

    def in_new_rows(self, offset: Any) -> MeansModel:
        """Return the model for other rows; their offset is given, or made of their columns."""
        return replace(self, offset=lambda data: self.fit.columns.new_offset(data, offset))

    def on_grid(self, offset: float | None) -> MeansModel:
        """Return the model for a reference grid, whose offset is the usual one or a number."""
        fit = self.fit
        analyses = tuple(one.on_grid(offset) for one in self.analyses)
        if offset is None:
            return replace(self, offset=fit.columns.usual_offset, analyses=analyses)
        used = {name for term in fit.terms for name in term}
        only = [name for name in fit.columns.offset_names if name not in used]
        left = {name: each for name, each in fit.predictors.items() if name not in only or each.is_fixed}
        known = replace(self, offset=lambda data: np.full(len(data), offset), analyses=analyses)
        return replace(known, fit=replace(fit, predictors=left))


def means_model(
    fit: Any, ddf: DdfName | float | None, *, population: bool = False, response: bool = False
) -> MeansModel:
    """Return the model behind marginal means of ``fit``.

    Parameters
    ----------
    fit : results
        Of mixedfx, aov or statsmodels: see :func:`mixedfx.results.adapters.adapted`.
    ddf : str or float, optional
        Method of the denominator degrees of freedom, or a number of them.
    population : bool
        Whether random effects will be averaged over.
    response : bool
        Whether the response is wanted, and not only the linear predictor.
    """
    source = adapted(fit, ddf, random=population, further=response)
    model = _model(source, population=population, response=response)
    analyses = tuple(_model(one, population=population, response=response) for one in source.analyses)
    return replace(model, analyses=analyses) if analyses else model


def _model(source: AdaptedFit, *, population: bool, response: bool) -> MeansModel:
    coefficients = Coefficients(
        source.beta, source.denominator, source.kept, source.silent, source.usual_rows, source.notes
    )
    text, link = source.transformed, source.link
    domain = EVERYWHERE if source.solution is None else link.domain(source.solution.family.mean_range)
    scale = scale_of_response(text) if text else scale_of_link(link, has_mean=source.has_mean, domain=domain)
    model = MeansModel(source, coefficients, scale)
    if source.solution is None:
        return model
    if not text and (response or not source.has_mean):
        return replace(model, outcome=outcome_of(source.solution, source, coefficients))
    variances = source.solution.normal_variances if population and not scale.is_identity else None
    if variances is None:
        return model
    return replace(model, outcome=outcome_of_transformed(source.solution.design, scale, variances, coefficients))


def unknown_predictor(model: MeansModel, name: str) -> SpecificationError:
    """Return the error for a name that is no predictor, or one of another part of the model only."""
    fit = model.fit
    if name in fit.elsewhere:
        return SpecificationError(
            f"{name!r} stands in {fit.elsewhere[name]}= only, which the linear predictor of the mean does not see: "
            "ask for means of the response, with scale='response'"
        )
    known = ", ".join(map(repr, fit.predictors)) or "none"
    return SpecificationError(f"{name!r} is no predictor of the model; they are {known}")
