"""A fitted hierarchical generalised linear model: what the laws of its random effects change of a mixed model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import pandas as pd

from mixedfx._typing import AnyArray, Array, BoolArray, IntArray
from mixedfx._workers import Workers
from mixedfx.criterion.boundary import VarianceVerdict
from mixedfx.criterion.corrections import NOTHING, Conjugate, CorrectedEvaluation, Correction, SecondOrder
from mixedfx.criterion.evaluation import Integrator, MarginalEvaluation
from mixedfx.criterion.hierarchical import HierarchicalProblem, hierarchical_problem
from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.criterion.mode import ModeState
from mixedfx.exceptions import SpecificationError
from mixedfx.families.random_laws import Law
from mixedfx.fitting.certificate import Certificate
from mixedfx.fitting.errors import root_of
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.fitting.quantities import PositiveParameter
from mixedfx.fitting.reported import LOGARITHM, Reported, generalized_reported
from mixedfx.fitting.working import LeverageParts, WorkingModel
from mixedfx.linalg.factor import factorize
from mixedfx.linalg.gram import cross_products
from mixedfx.matrices import Design
from mixedfx.matrices.fixed import full_rank
from mixedfx.matrices.new_rows import fitted_predictor

__all__ = [
    "CRITERIA",
    "EQL",
    "LAPLACE",
    "STRATEGIES",
    "CriterionName",
    "HierarchicalFit",
    "Strategy",
    "StrategyName",
    "corrected",
    "exact",
    "integrator_of",
]

StrategyName: TypeAlias = Literal["exact", "laplace", "laplace2", "eql"]
CriterionName: TypeAlias = Literal["ml", "reml"]
UNIT_MEAN = ("gamma", "inverse_gamma")  # laws of effects of mean 1, which a log link leaves in the mean


@dataclass(frozen=True)
class Strategy:
    """How the random effects are integrated out, or that they are not.

    Attributes
    ----------
    name : str
        As the user writes it.
    words : str
        As the summary has it.
    correction : Correction
        What is added to the Laplace approximation.
    """

    name: str
    words: str
    correction: Correction = NOTHING

    def criterion(self, restricted: bool) -> str:
        """Return the name of what is maximised."""
        if self.name == "eql":
            return "interconnected GLMs"
        if self.name == "exact":
            return "adjusted likelihood" if restricted else "marginal likelihood"
        order = "second" if self.name == "laplace2" else "first"
        return f"{'p_bv(h)' if restricted else 'p_v(h)'} to {order} order"


CRITERIA: dict[str, bool] = {"ml": False, "reml": True}
LAPLACE = Strategy("laplace", "Laplace")
SECOND_ORDER = Strategy("laplace2", "Laplace, second order", SecondOrder())
EQL = Strategy("eql", "none (EQL)")


STRATEGIES: dict[str, Strategy | None] = {"exact": None, "laplace": LAPLACE, "laplace2": SECOND_ORDER, "eql": EQL}
"""By the word of the user; what is exact depends on family and laws."""


def exact(words: str, correction: Correction = NOTHING) -> Strategy:
    """Return the strategy for an integral that is known."""
    return Strategy("exact", f"exact ({words})", correction)


def integrator_of(strategy: Strategy) -> Integrator:
    """Return the approximation of the likelihood at a conditional mode."""
    return partial(corrected, correction=strategy.correction)


def corrected(state: ModeState, correction: Correction) -> MarginalEvaluation:
    """Evaluate the corrected log-likelihood at a conditional mode."""
    return CorrectedEvaluation(LaplaceEvaluation(state), correction)


@dataclass(frozen=True)
class HierarchicalFit(GeneralizedFit):
    """A fitted hierarchical generalised linear model on the inner scale.

    Attributes
    ----------
    strategy : Strategy
        How the random effects were integrated out.
    restricted : bool
        Whether the likelihood was adjusted for the fixed effects.
    solved : Certificate or None
        The verdict on equations that are no derivatives of a likelihood.
    """

    kind = "hierarchical"
    title = "Hierarchical generalised linear model"

    strategy: Strategy = field(default=LAPLACE)
    restricted: bool = False
    solved: Certificate | None = None

    # ---------------------------------------------------------------- the model
    @property
    def laws_of_terms(self) -> tuple[Law | None, ...]:
        """The law of every term; None for a normal one."""
        problem = cast(HierarchicalProblem, self.problem)
        return tuple(problem.law_of(k) for k in range(len(problem.design.random)))

    @property
    def robust_kinds(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def laws(self) -> dict[str, str]:
        """The laws of the random effects that are not normal, by grouping factor."""
        pairs = zip(self.design.random, self.laws_of_terms, strict=True)
        return {term.group: law.name.replace("_", " ") for term, law in pairs if law is not None}

    @property
    def reml(self) -> bool:
        """Whether the likelihood was adjusted for the fixed effects."""
        return self.restricted

    @property
    def integration(self) -> str:
        """How the random effects were integrated out, and what was maximised."""
        return self.strategy.criterion(self.restricted) if self.design.random else ""

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Family, link, integration, and the criterion by its name."""
        words = self.strategy.words if self.design.random else ""
        named = (("Family", self.family.name), ("Link", self.link.name), ("Integration", words))
        return tuple((name, value) for name, value in (*named, ("Criterion", self.integration)) if value)

    @property
    def method(self) -> str:
        """How the parameters were estimated, in a word."""
        return "EQL" if self.strategy.name == "eql" else super().method

    @property
    def how(self) -> str:
        """How the model was fitted, in a sentence."""
        if self.strategy.name == "eql":
            return "Fitted by Lee and Nelder's interconnected generalised linear models (extended quasi-likelihood)."
        which = "maximum likelihood adjusted for the fixed effects" if self.restricted else "maximum likelihood"
        ways = {"laplace": "Laplace's approximation", "laplace2": "Laplace's approximation of second order"}
        words = ways.get(self.strategy.name)
        rest = f"; the random effects are integrated out by {words}" if words else ", which is known in closed form"
        return f"Fitted by {which}{rest if self.design.random else ''}."

    @property
    def as_ml(self) -> dict[str, Any]:
        """Arguments of the model's ``fit`` by which it maximises the likelihood, integrated as here."""
        return {"method": self.strategy.name, "criterion": "ml"}

    @property
    def incomparable(self) -> str:
        """Why the log-likelihood cannot be compared with that of another model; empty where it can."""
        if self.strategy.name != "eql":
            return ""
        return (
            'estimates by method="eql" maximise no likelihood that models could be compared by: fit them with '
            'method="laplace" (or "exact")'
        )

    @property
    def unprofilable(self) -> str:
        """Why the likelihood cannot be profiled; empty where it can."""
        if self.strategy.name == "eql":
            return 'estimates by method="eql" have no likelihood to profile: fit with method="laplace" (or "exact")'
        return ""

    # ---------------------------------------------------------------- lambda
    @cached_property
    def sizes(self) -> Array:
        """``lambda`` of every term: of a normal one the variance, 0 for a law that has run to its limit."""
        problem = cast(HierarchicalProblem, self.problem)
        place = problem.lambda_slice
        found = np.where(self._at_lower, 0.0, np.exp(self.x[place]))
        out = np.array([float(root[0, 0] ** 2) if len(root) else 0.0 for root in problem.roots(self.x)])
        for placed, size in zip(problem.laws, found, strict=True):
            out[placed.term] = size
        return out

    @cached_property
    def at_limit(self) -> BoolArray:
        """Parameters (k,) beside the mean that have run to a limit; none where equations were solved."""
        return super().at_limit if self.solved is None else np.zeros(self.x.size, dtype=bool)

    @cached_property
    def _at_lower(self) -> BoolArray:
        """Which laws have no variance at all."""
        problem = cast(HierarchicalProblem, self.problem)
        place = problem.lambda_slice
        low = self.x[place] < 0.0
        return np.asarray(low & (self.at_limit[place] | (self.x[place] <= problem.bounds[0][place])))

    @cached_property
    def roots(self) -> tuple[Array, ...]:
        """A root (q, q) of the covariance of the random effects of each term, on the scale of the linear predictor."""
        plain = self.problem.roots(self.x)
        out = []
        for root, law, size in zip(plain, self.laws_of_terms, self.sizes, strict=True):
            if law is None:
                out.append(root)
                continue
            variance = 0.0 if size == 0.0 else law.predictor_moments(float(size))[1]
            out.append(np.array([[np.sqrt(variance)]]))
        return tuple(out)

    @cached_property
    def reported(self) -> tuple[Reported, ...]:
        """The numbers that intervals are made for: ``lambda`` for terms with a law."""
        problem = cast(HierarchicalProblem, self.problem)
        groups = [problem.design.random[placed.term].group for placed in problem.laws]
        names = {f"sd_{name}|{t.group}" for t in problem.design.random if t.group in groups for name in t.names}
        sizes = [
            Reported(f"lambda|{group}", "random", "covariance", PositiveParameter(position), LOGARITHM)
            for group, position in zip(
                groups, range(problem.lambda_slice.start, problem.lambda_slice.stop), strict=True
            )
        ]
        kept = [number for number in generalized_reported(problem) if number.name not in names]
        random = [number for number in kept if number.component == "covariance"]
        rest = [number for number in kept if number.component != "covariance"]
        return (*random, *sizes, *rest)

    @property
    def parameters(self) -> dict[tuple[str, str], float]:
        """All parameters by (component, name); ``lambda`` of the laws among the covariance parameters."""
        problem = cast(HierarchicalProblem, self.problem)
        own = {
            ("covariance", f"{problem.design.random[placed.term].group}: lambda"): float(self.sizes[placed.term])
            for placed in problem.laws
        }
        return super().parameters | own

    # ---------------------------------------------------------------- random effects
    def integrated_variance(self, integrated: Sequence[BoolArray], data: Any) -> Array:
        """Return the variance (n,) of the normal random effects that a mean is averaged over.

        Gamma and inverse gamma effects have mean 1, which a log link leaves in the mean: they add nothing.

        Raises
        ------
        SpecificationError
            If effects of another law are to be averaged over.
        """
        return super().integrated_variance(self._normal_columns(integrated), data)

    def variance_slopes(self, integrated: Sequence[BoolArray], data: Any) -> Array:
        """Return the derivative (n, k) of that variance in all inner parameters."""
        return super().variance_slopes(self._normal_columns(integrated), data)

    def _normal_columns(self, integrated: Sequence[BoolArray]) -> list[BoolArray]:
        out = []
        for term, law, columns in zip(self.design.random, self.laws_of_terms, integrated, strict=True):
            if law is not None and columns.any() and not (self.link.name == "log" and law.name in UNIT_MEAN):
                raise SpecificationError(
                    f"means are averaged over normal random effects; those of {term.group!r} have another law "
                    f"({law.name.replace('_', ' ')}): average over fit.simulate(…), or write random=False without "
                    "integrate=True for a group whose effect is the average one"
                )
            out.append(columns if law is None else np.zeros_like(columns))
        return out

    def drawn_effects(self, term: int, levels: int, draws: int, rng: np.random.Generator) -> Array:
        """Return new effects (q, levels, draws) of a term, drawn from its law."""
        law, size = self.laws_of_terms[term], float(self.sizes[term])
        if law is None:
            return super().drawn_effects(term, levels, draws, rng)
        if size == 0.0:
            return np.zeros((1, levels, draws))
        return law.draw(rng, size, (1, levels, draws))

    @property
    def conjugate(self) -> Conjugate | None:
        """The closed form of the effects given the data; None where there is none."""
        correction = self.strategy.correction
        return correction if isinstance(correction, Conjugate) else None

    # ---------------------------------------------------------------- rows of the data
    def _working(self) -> WorkingModel:
        """The working model of the rows of the data and of the laws."""
        problem, response, space = self.problem, self.response, self.problem.model.space
        eta = fitted_predictor(self.design, self.beta, self.modes)
        predictors = response.predictors(eta, response.matrices)
        weights = np.array(self.at.state.expansion.observed.weight)
        weights[: problem.observed.n] = self.family.expected_weights(problem.observed, predictors, response.phi)
        factor = factorize(cross_products(space.rows, weights), self.at.state.factors)
        return WorkingModel(space, problem.level_columns, weights, factor)

    def leverages(self) -> tuple[Array, Array]:
        """Return how much every working response pulls its own linear predictor, through fixed and random effects."""
        parts: LeverageParts = self._working().parts
        fixed, random = parts.leverages()
        n = self.problem.observed.n
        return fixed[:n], random[:n]

    def weighted_rows(self, matrix: Any) -> Any:
        """Return rows ``M`` (n, q) times the roots of the working weights at the modes."""
        import scipy.sparse as sp

        weight = np.maximum(self.at.state.expansion.observed.weight[: self.problem.observed.n], 0.0)
        return sp.diags_array(np.sqrt(weight)) @ matrix

    def drawn_predictor(self, effects: Array, rng: np.random.Generator) -> Array:
        """Return a draw of the linear predictor (n,) given the data: normal around the modes, with their covariance."""
        joint = self.joint_covariance()
        drawn = root_of(joint) @ rng.standard_normal(len(joint))
        p = len(self.beta)
        modes, start = [], p
        for mode in self.modes:
            q, m = mode.shape
            modes.append(mode + drawn[start : start + q * m].reshape(m, q).T)
            start += q * m
        return fitted_predictor(self.design, self.beta + drawn[:p], tuple(modes))

    # ---------------------------------------------------------------- the same model again
    def on_rows(self, design: Design, rows: AnyArray) -> HierarchicalProblem:
        """Return the problem of the same model for ``design``, which has the fitted rows ``rows``, some repeated."""
        components = [
            replace(c, fixed=replace(c.fixed, matrix=full_rank(c.matrix[rows], c.names)))
            for c in self.problem.components
        ]
        observed = self.problem.observed.take(rows)
        return hierarchical_problem(design, self.family, observed, self.laws_of_terms, components)

    def without(self, sets: IntArray, columns: pd.DataFrame | None, workers: Workers) -> Any:
        """Refuse: the working weights of levels are no rows of the data."""
        raise self._lacks("estimates without rows; fit the model to the other rows with fit.update(data=…)")

    def stored(self) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        """Return how the search ended, the parameters on the inner scale, the modes and the Hessian."""
        state, arrays = super().stored()
        return state | {"method": self.strategy.name, "restricted": self.restricted}, arrays

    # ---------------------------------------------------------------- verdicts
    @cached_property
    def certificate(self) -> Certificate:
        """From the Hessian at the estimate, or from the equations that were solved."""
        own = super().certificate if self.solved is None else self.solved
        problem = cast(HierarchicalProblem, self.problem)
        verdicts = list(own.variances)
        for placed, gone in zip(problem.laws, self._at_lower, strict=True):
            label = problem.design.random[placed.term].term
            verdicts[placed.term] = VarianceVerdict(label, 0 if gone else 1, 1, confirmed=True)
        return replace(own, variances=tuple(verdicts))
