"""Generalised models of sources: rows that are read piece by piece whenever they are needed, and never kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from mixedfx._arguments import checked_choice
from mixedfx._typing import AnyArray, Array
from mixedfx.criterion.mode import Mode
from mixedfx.criterion.partitioned import PartitionedEvaluation, PartitionedProblem, PartitionedState
from mixedfx.criterion.problem import REMAINDERS
from mixedfx.criterion.start import MEASURED
from mixedfx.exceptions import SpecificationError
from mixedfx.families import Family, FamilyName, LinkName, family_for
from mixedfx.families.links import EVERYWHERE
from mixedfx.fitting import Control
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.fitting.partitioned import PartitionedFit, fit_partitioned, sums_of_arrays
from mixedfx.formula import Formula
from mixedfx.matrices import Design, identified_twin
from mixedfx.models.base import checked_control
from mixedfx.models.generalized import (
    INFORMATION,
    GeneralizedLinearMixedModel,
    InformationName,
    completed_family,
    response_kind_of,
)
from mixedfx.models.identifiable import check_generalized, generalized_noise
from mixedfx.models.sources import once_only
from mixedfx.models.storage import register
from mixedfx.models.sums import SumsInputs
from mixedfx.optimize import Optimum
from mixedfx.results.generalized import GeneralizedLinearMixedResults
from mixedfx.scale import CrossProducts
from mixedfx.scale.pieces import ROWS_OF_A_PIECE, GeneralizedRecipe, partitioned_problem
from mixedfx.scale.sources import Source, as_source
from mixedfx.scale.statistics import recipe_of

__all__ = ["PartitionedMixedModel", "fit_source"]


def fit_source(
    formula: str | Formula, data: Any, said: Mapping[str, Any], nagq: int | Literal["auto"], control: Control | None
) -> GeneralizedLinearMixedResults:
    """Fit a generalised model to a source: in passes over its rows, or with its columns in memory, which a note says.

    Parameters
    ----------
    formula : str
    data : source
    said : dict
        Further arguments of the model.
    nagq, control
        Of the fit.
    """
    source = as_source(data)
    if not source.can_be_read_again:
        raise once_only(source.name)
    source.rows_at_once = ROWS_OF_A_PIECE
    model, reason = _of_source(formula, source, said, nagq, checked_control(control).most_exact)
    if model is None:
        in_memory = GeneralizedLinearMixedModel(formula, data, **said)
        note = f"The columns of the formula were read into memory: {reason}."
        in_memory.design = replace(in_memory.design, notes=(*in_memory.design.notes, note))
        return in_memory.fit(nagq, control=control)
    return model.fit(1, control=control)


def _of_source(
    formula: str | Formula, source: Source, said: Mapping[str, Any], nagq: Any, most_exact: float
) -> tuple[PartitionedMixedModel | None, str]:
    """The model of a source, or why it needs its columns in memory."""
    family, _ = completed_family(family_for(said["family"], said["link"]), said["dispersion"], said["zero_inflation"])
    reason = _unsuited(family, said, nagq)
    if reason:
        return None, reason
    asked = {name: said[name] for name in ("weights", "offset", "contrasts", "functions")}
    try:
        recipe = GeneralizedRecipe.of(recipe_of(source, formula, asked), response_kind_of(family), said["missing"])
    except SpecificationError as error:
        return None, str(error).rstrip(".")
    if any(recipe.kinds[name] == "factor" for name in recipe.formula.response.columns):
        return None, "a response of labels is coded by all that there are"
    if recipe.formula.error or not recipe.formula.random:
        return None, "the model has no random effects"
    if not all(term.group for term in recipe.formula.random):
        return None, "smooths and multiple memberships are not fitted in passes"
    sums = source.sums_of_rows(recipe)
    if sums is None or sums.tally.used == 0:
        return None, "no rows were complete"
    options = {name: said[name] for name in ("family", "link", "information")}
    model = PartitionedMixedModel(None, CrossProducts(recipe, sums), source=source, **options)
    model.said = dict(said)
    if model.problem.assembly.rows.layout.n_remainder > most_exact:
        return None, "crossed factors whose equations are solved by iteration are not fitted in passes"
    return model, ""


def _unsuited(family: Family, said: Mapping[str, Any], nagq: Any) -> str:
    """Why a model is not fitted in passes; empty if it may be."""
    arrays = [name for name in ("weights", "offset") if said[name] is not None and not isinstance(said[name], str)]
    link = family.mean_link
    has_edge = family.has_intercept and link.domain(family.mean_range) != EVERYWHERE
    reasons = {
        "only the Laplace approximation (nagq=1) is computed in passes": nagq != 1 or isinstance(nagq, bool),
        f"{' and '.join(arrays)} of one number a row are no column of it": bool(arrays),
        "a family with further linear predictors is not fitted in passes": len(family.predictors) > 1,
        "ordered categories are not fitted in passes": not family.has_intercept,
        f"the link {link.name!r} is not fitted in passes": link.name in MEASURED or has_edge,
        "a penalty is not fitted in passes": bool(said["penalty"]),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


class PartitionedMixedModel(GeneralizedLinearMixedModel):
    """A generalised linear mixed model of rows that are read piece by piece: what ``glmer`` makes of a source.

    Parameters
    ----------
    formula : None
        That of the sums.
    sums : CrossProducts
        Levels, constants of transforms and counts, as the first pass over the rows found them.
    family, link, information
        As of :class:`GeneralizedLinearMixedModel`.
    source : Source, optional
        Where the rows are; without it the model can be looked at, but not fitted.
    """

    def __init__(
        self,
        formula: None,
        sums: CrossProducts,
        *,
        family: FamilyName | Any,
        link: LinkName | Any = None,
        information: InformationName = "observed",
        source: Source | None = None,
    ) -> None:
        recipe: Any = sums.recipe
        design = _with_rows_of(sums.design(), recipe)
        check_generalized(design)
        self.family: Family = family_for(family, link)
        self.components = {}
        self.information = checked_choice("information", information, INFORMATION)
        self.penalty = 0.0
        self.source, self.said = source, None
        noise = generalized_noise(self.family, design, {})
        self.design = identified_twin(design, noise)
        self.inputs = SumsInputs(sums, {"family": family, "link": link, "information": information})
        self._recipe, self._tally = recipe, sums.sums.tally

    said: dict[str, Any] | None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"source": None, "said": None}

    @property
    def problem(self) -> PartitionedProblem:
        """The model on its inner scale."""
        problem: PartitionedProblem = self._problem()
        return problem

    def _prepared(self, reml: bool, most_exact: float = REMAINDERS["auto"]) -> PartitionedProblem:
        information = INFORMATION[self.information] if isinstance(self.information, str) else self.information
        return partitioned_problem(self.design, self._recipe, self.family, information, self.source, self._tally)

    def _fit(self, nagq: int | str, control: Control) -> PartitionedFit:
        if nagq != 1 or isinstance(nagq, bool):
            self.design.need_rows("another approximation than Laplace's (nagq=1)")
        if self.source is None:
            self.design.need_rows("another fit")
        return fit_partitioned(self.problem, control)

    def _again(self, earlier: Any, problem: Any) -> GeneralizedFit:
        self.design.need_rows("a fit to other rows or another response")
        return super()._again(earlier, problem)

    def _stored_fit(self, state: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> PartitionedFit:
        problem, x = self.problem, arrays["x"]
        mode = Mode(arrays["b"], arrays["t"], np.zeros(0), converged=bool(state["mode_converged"]))
        at_mode = PartitionedState(problem.model, x, mode)
        for name in ("curves", "leverages"):
            at_mode.__dict__[f"_{name}"] = sums_of_arrays(state[name], arrays)
        at = PartitionedEvaluation(at_mode)
        counts = (int(state["iterations"]), int(state["evaluations"]), bool(state["converged"]), bool(state["cut"]))
        optimum: Optimum[Any] = Optimum(x, at, float(state["decrement"]), *counts, path=(x,))
        fit = PartitionedFit(problem, PartitionedEvaluation, optimum, at, arrays["hessian"])  # type: ignore[arg-type]
        return fit.with_verdicts(state, arrays)

    def objective(self, parameters: Any, *, nagq: int = 1) -> tuple[float, Array]:
        """Evaluate minus twice the Laplace log-likelihood without fitting, in some passes over the rows."""
        if nagq != 1 or isinstance(nagq, bool):
            self.design.need_rows("another approximation than Laplace's (nagq=1)")
        problem = self.problem

        def evaluate(values: Array) -> tuple[float, Array]:
            at = problem.evaluate(problem.to_inner(values), PartitionedEvaluation)  # type: ignore[arg-type]
            return at.value, problem.gradient_to_user(values, at.gradient, at.covariance_gradient)

        return self._objective_at("parameters", parameters, problem, problem.n_parameters, evaluate)

    def updated(self, asked: Mapping[str, Any], formula: str | None, data: Any, changes: Mapping[str, Any]) -> Any:
        """Return the fit to the same source with other arguments."""
        if formula is not None or data is not None or self.source is None or self.said is None:
            self.design.need_rows("another formula or other data")
        said = self.said or {}
        unknown = [name for name in changes if name not in (*said, *asked)]
        if unknown:
            known = ", ".join((*said, *asked))
            raise TypeError(f"update of a fit to a source has no argument {unknown[0]!r}; choose from {known}")
        model = {name: changes.get(name, value) for name, value in said.items()}
        options = {name: changes.get(name, value) for name, value in asked.items()}
        return fit_source(self.formula, self.source, model, options["nagq"], options["control"])


def _with_rows_of(design: Design, recipe: GeneralizedRecipe) -> Design:
    """The design of a generalised model: with trials and an offset where its rows have them."""
    n = len(design.response.values)
    binomial = recipe.kind == "binomial"
    counted = binomial and (recipe.weights is not None or recipe.formula.response.function == "cbind")
    response = replace(design.response, trials=np.full(n, np.nan)) if counted else design.response
    has_offset = recipe.offset is not None or bool(recipe.formula.offsets)
    return replace(
        design,
        response=response,
        offset=np.zeros(n) if has_offset else None,
        represented=None if design.represented is None else replace(design.represented, read_in_pieces=True),
    )


register(PartitionedFit.kind, PartitionedMixedModel)
