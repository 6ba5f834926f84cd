"""A fitted generalised linear mixed model: its covariance and its certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._lazy import higher
from mixedfx._typing import AnyArray, Array, BoolArray, IntArray
from mixedfx._workers import Workers
from mixedfx.criterion.boundary import UNKNOWABLE, CurvatureVerdict, curvature_verdict, followed, variance_verdicts
from mixedfx.criterion.evaluation import Integrator, MarginalEvaluation
from mixedfx.criterion.generalized_problem import GeneralizedProblem, generalized_problem
from mixedfx.criterion.laplace import LaplaceEvaluation, first_order_mean
from mixedfx.criterion.mode import mode_covariance
from mixedfx.criterion.separation import divided_factors, looks_separated, nearly_folded, separating_direction
from mixedfx.criterion.start import response_unit
from mixedfx.families import Family
from mixedfx.fitting.certificate import Certificate, Sampling
from mixedfx.fitting.control import Control
from mixedfx.fitting.errors import PredictorErrors, generalized_errors, generalized_joint, root_of
from mixedfx.fitting.fit import SAMPLED_LIKELIHOOD, Fit
from mixedfx.fitting.likelihood import Likelihood, generalized_likelihood, inverse_information
from mixedfx.fitting.monte_carlo import MonteCarlo, monte_carlo, relative_errors
from mixedfx.fitting.obstacles import COLLAPSE, has_no_end, obstacle_at
from mixedfx.fitting.reported import Reported, family_names, generalized_reported
from mixedfx.fitting.response import FamilyResponse
from mixedfx.fitting.starts import Starts, ended
from mixedfx.fitting.working import WorkingModel
from mixedfx.matrices import Design, FixedEffects, Undetermined, verdict_of
from mixedfx.matrices.fixed import Reference, full_rank
from mixedfx.matrices.new_rows import PredictedRows, fitted_predictor, linear_predictor_variance
from mixedfx.optimize import Optimum

if TYPE_CHECKING:
    from mixedfx.fitting.without import Without

__all__ = [
    "GeneralizedFit",
    "inverse_information",
    "unit_at",
]

SEPARATED = 1e-3  # share of the largest effect that makes a column take part in a separation
AT_LIMIT = 1e-5  # curvature and slope of -2 log L in an unbounded parameter below which it is at infinity
THETA_STEP = 1e-5  # of the difference of the random effects' variance in theta


@dataclass(frozen=True)
class GeneralizedFit(Fit):
    """A fitted generalised linear mixed model on the inner scale.

    Attributes
    ----------
    problem : GeneralizedProblem
    integrate : Integrator
    optimum : Optimum
        Where the search ended.
    at : MarginalEvaluation
        The criterion at the estimate, boundary settled.
    hessian : (k, k)
        Of minus twice the log-likelihood (plus penalty) at the estimate.
    nodes : int
        Nodes in each dimension: 1 is the Laplace approximation, 0 the one with profiled fixed effects.
    remaining : float, optional
        How far the criterion could still fall, where the gradient of ``at`` does not say it (profiled fixed effects).
    starts : Starts, optional
        What each of several searches found.
    """

    kind = "generalized"
    title = "Generalised linear mixed model"

    problem: GeneralizedProblem
    integrate: Integrator
    optimum: Optimum[Any]
    at: MarginalEvaluation
    hessian: Array
    nodes: int = 1
    remaining: float | None = None
    starts: Starts | None = None

    def __repr__(self) -> str:
        return f"<GeneralizedFit: -2 log L = {-2.0 * self.llf:.4f}, {self.problem.design!r}>"

    # ---------------------------------------------------------------- the model
    @property
    def family(self) -> Family:
        """Distribution of the response given the random effects."""
        return self.problem.family

    @property
    def integration(self) -> str:
        """How the random effects were integrated out, in words; empty where there are none."""
        if not self.design.random:
            return ""
        if self.nodes == 0:
            return "Laplace, effects profiled"
        return "Laplace" if self.nodes == 1 else f"quadrature, {self.nodes} nodes"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Family, link, and how the random effects were integrated out."""
        named = (("Family", self.family.name), ("Link", self.link.name), ("Integration", self.integration))
        return tuple((name, value) for name, value in named if value)

    @property
    def robust_kinds(self) -> tuple[str, ...]:
        """Those by the scores of the marginal likelihood, where it is maximised in all parameters."""
        return ("CR0", "CR1") if self.nodes > 0 and not self.problem.is_iterative else ()

    # ---------------------------------------------------------------- estimates
    @property
    def x(self) -> Array:
        """All parameters (k,) on the inner scale: fixed effects, covariance parameters, further ones."""
        return self.at.state.x

    @cached_property
    def estimate(self) -> Array:
        """All parameters (k,) on the user's scale, in the order of :attr:`x`."""
        return self.problem.to_user(self.x)

    @property
    def beta(self) -> Array:
        """Fixed effects (p,) of the first linear predictor."""
        return self.estimate[: self.problem.model.n_fixed]

    @property
    def beta_covariance(self) -> Array:
        """Covariance (p, p) of :attr:`beta`."""
        p = self.problem.model.n_fixed
        return np.asarray(self.covariance[:p, :p])

    @property
    def theta(self) -> Array:
        """Covariance parameters (t,), in the order of the formula."""
        return self.estimate[self.problem.theta_slice]

    @property
    def phi(self) -> Array:
        """Family-wide parameters on their unbounded scales, named by ``family.phi_names``."""
        return self.response.phi

    @property
    def scale(self) -> float:
        """Dispersion of the family where it is one number; that of the reference row where it has a formula; else 1."""
        family = self.family
        if not family.precision_weights:
            return 1.0
        if "dispersion" in family.phi_names:
            return float(np.exp(self.phi[family.phi_names.index("dispersion")]))
        if self.dispersion_reference is not None:
            place = self.problem.component_slices["dispersion"]
            with np.errstate(over="ignore"):  # a dispersion beyond all numbers is infinite
                return float(np.exp(self.dispersion_reference.row @ self.estimate[place]))
        return float(np.exp(family.fixed["dispersion"]))

    @cached_property
    def dispersion_reference(self) -> Reference | None:
        """Where :attr:`scale` is the dispersion, if that has a linear predictor of its own."""
        for component in self.problem.components:
            if component.name == "dispersion":
                return Reference.of(component.fixed)
        return None

    @property
    def has_sigma(self) -> bool:
        """Whether the dispersion is a residual variance that is estimated as one number."""
        return self.family.precision_weights and "dispersion" in self.family.phi_names

    @property
    def further_names(self) -> tuple[str, ...]:
        """Names of the coefficients of further linear predictors and of the family-wide parameters."""
        names = [f"{c.name}: {name}" for c in self.problem.components for name in c.names]
        return (*names, *self.family.phi_names)

    @property
    def roots(self) -> tuple[Array, ...]:
        """A root (q, q) of the covariance of the random effects of each term."""
        return tuple(self.problem.roots(self.x))

    @property
    def llf(self) -> float:
        """Log-likelihood without the penalty, all constants included."""
        penalty = self.problem.model.penalty.value(self.at.state.parts.beta)
        return -0.5 * (float(self.at.value) - penalty)

    @property
    def llfs(self) -> Array:
        """The log-likelihood by each random probe (K,); empty where it is exact."""
        factor = self.at.state.determinant_factor
        return np.asarray(self.llf - 0.5 * (factor.logdets - factor.logdet))

    @property
    def n_parameters(self) -> int:
        """Number of estimated parameters."""
        return self.problem.n_parameters

    # ---------------------------------------------------------------- intervals
    @cached_property
    def reported(self) -> tuple[Reported, ...]:
        """The numbers that intervals are made for."""
        return generalized_reported(self.problem)

    @property
    def parameters(self) -> dict[tuple[str, str], float]:
        """Fixed effects, further coefficients, family-wide parameters on unbounded scales, covariance parameters."""
        fixed, covariances = self._named_parameters
        return fixed | self.further_parameters | covariances

    @cached_property
    def further_parameters(self) -> dict[tuple[str, str], float]:
        """Coefficients of further linear predictors, unbounded family-wide parameters, natural thresholds, by name."""
        problem, family = self.problem, self.family
        parts: dict[tuple[str, str], float] = {}
        for component in problem.components:
            values = self.estimate[problem.component_slices[component.name]]
            parts |= {(component.name, name): float(v) for name, v in zip(component.names, values, strict=True)}
        if family.has_categories:
            natural, names = family.natural(self.phi)[0], family_names(problem)
            return parts | {("thresholds", n): float(v) for n, v in zip(names, natural.values(), strict=True)}
        return parts | {(name, "Intercept"): float(v) for name, v in zip(family.phi_names, self.phi, strict=True)}

    @cached_property
    def likelihood(self) -> Likelihood:
        """The likelihood around the estimate, in all inner parameters."""
        return generalized_likelihood(self)

    @property
    def phi_covariance(self) -> Array:
        """Covariance (k, k) of all inner parameters, nan for those held at the boundary."""
        return self.inner_covariance

    @property
    def theta_jacobian(self) -> Array:
        """Derivatives (t, t) of :attr:`theta` in the inner covariance parameters."""
        place = self.problem.theta_slice
        return self.problem.jacobian_to_user(self.x)[place, place]

    @property
    def unprofilable(self) -> str:
        """Why the likelihood cannot be profiled; empty where it can."""
        if self.problem.is_iterative:
            return SAMPLED_LIKELIHOOD
        if has_no_end(self.problem, self.optimum):
            return f"there is no maximum to profile around: {COLLAPSE}"
        return "a fit with nagq=0 has no likelihood to profile: fit it with nagq=1" if self.nodes == 0 else ""

    # ---------------------------------------------------------------- random effects
    @cached_property
    def modes(self) -> tuple[Array, ...]:
        """Conditional modes (q, m) of the random effects of each term."""
        return self.by_term(self.at.state.mode.b)

    def by_term(self, effects: Array) -> tuple[Array, ...]:
        """Return inner effects (q,) as the user's effects (q, m) of every term, in the order of the formula."""
        parts, out = self.problem.model.space.split(effects), []
        for basis, (factor, place) in zip(self.problem.terms, self.problem.assembly.places, strict=True):
            loading = self.problem.assembly.rows.loadings.get(factor)
            by_level = basis.matrix @ parts[factor][place]
            out.append(by_level if loading is None else by_level @ loading.T)
        return tuple(out)

    def factor_covariance(self, factor: int) -> Array:
        """Return the conditional covariances (Q, Q, m) of a factor's effects, in the basis of the inner scale."""
        return mode_covariance(self.at.state, factor)

    def joint_covariance(self) -> Array:
        """Return the covariance (p + q, p + q) of the errors of fixed and random effects, variances estimated too."""
        return generalized_joint(self.problem, self.at.state, self.known_covariance)

    def weighted_rows(self, matrix: Any) -> Any:
        """Return rows ``M`` (n, q) times the roots of the working weights at the modes."""
        weight = np.maximum(self.at.state.expansion.observed.weight, 0.0)
        return sp.diags_array(np.sqrt(weight)) @ matrix

    # ---------------------------------------------------------------- predictions
    @cached_property
    def response(self) -> FamilyResponse:
        """The family at its estimated parameters."""
        return FamilyResponse(self.problem, self.estimate)

    @cached_property
    def components(self) -> Mapping[str, FixedEffects]:
        """Columns of the further linear predictors, by the parameter of the family that they model."""
        return {component.name: component.fixed for component in self.problem.components}

    @cached_property
    def known_covariance(self) -> Array:
        """Covariance (k, k) of all parameters on the inner scale, zero for what is held or has run to a limit.

        Fixed effects about which there is no information keep their nan.
        """
        covariance = self.inner_covariance
        certain = np.isnan(covariance.diagonal())
        certain[: self.problem.model.n_fixed] = False
        return np.where(certain | certain[:, None], 0.0, covariance)

    @cached_property
    def error_root(self) -> Array:
        """A root (k, k) of :attr:`known_covariance`."""
        return root_of(self.known_covariance)

    @property
    def error_covariance(self) -> Array:
        """:attr:`known_covariance`."""
        return self.known_covariance

    @property
    def beta_slopes(self) -> Array:
        """Derivatives (p, k) of the fixed effects in all inner parameters."""
        matrix = self.problem.bases[0].matrix
        return np.pad(matrix, [(0, 0), (0, self.x.size - matrix.shape[1])])

    @property
    def phi_slopes(self) -> Array:
        """Derivatives (m, k) of the family-wide parameters in all inner parameters."""
        return self.problem.phi_slopes

    def predictor_errors(self, rows: PredictedRows) -> PredictorErrors:
        """Return what makes the first linear predictor of each row uncertain, the variances estimated too."""
        return generalized_errors(self.problem, self.at.state, rows, self.covariances)

    def variance_slopes(self, integrated: Sequence[BoolArray], data: Any) -> Array:
        """Return the derivative (n, k) of the variance of the integrated random effects, in all inner parameters."""
        problem, place = self.problem, self.problem.theta_slice
        if place.start == place.stop:
            return np.zeros((self.design.n_rows if data is None else len(data), self.x.size))
        columns = []
        for step in THETA_STEP * np.eye(self.x.size)[place]:
            high, low = (
                linear_predictor_variance(problem.design, problem.covariances(x), integrated, data)
                for x in (self.x + step, self.x - step)
            )
            columns.append((high - low) / (2.0 * THETA_STEP))
        inner = np.stack(columns, axis=1)
        return np.pad(inner, [(0, 0), (place.start, self.x.size - place.stop)])

    def component_slopes(self, matrices: Mapping[str, Array]) -> list[Array]:
        """Return the derivatives (n, k) of every further linear predictor in all inner parameters, for its columns."""
        out = []
        for component, basis in zip(self.problem.components, self.problem.bases[1:], strict=True):
            inner = matrices[component.name] @ basis.matrix
            slopes = np.zeros((len(inner), self.x.size))
            slopes[:, self.problem.component_slices[component.name]] = inner
            out.append(slopes)
        return out

    @property
    def phi_bounds(self) -> tuple[Array, Array]:
        """Smallest and largest values (m,) of the family-wide parameters on their unbounded scales."""
        lower, upper = (end + self.problem.phi_log_weights for end in self.family.phi_bounds)
        return lower, upper

    def leverages(self) -> tuple[Array, Array]:
        """Return how much every working response pulls its own linear predictor, through fixed and random effects."""
        return WorkingModel.of(self).parts.leverages()

    def drawn_predictor(self, effects: Array, rng: np.random.Generator) -> Array:
        """Return a draw of the linear predictor (n,) given the data, to first order.

        It lies about the conditional mean, with the information at the mode.
        """
        working, state = WorkingModel.of(self), self.at.state
        noise = np.sqrt(working.weights) * rng.standard_normal(effects.size)
        error = effects - working.fitted(working.weights * effects + noise)
        skewness = working.space.spread(first_order_mean(LaplaceEvaluation(state)) - state.mode.b)
        return np.asarray(fitted_predictor(self.design, self.beta, self.modes) + skewness + error)

    # ---------------------------------------------------------------- the same model again
    def with_response(self, y: Array) -> GeneralizedProblem:
        """Return the problem with the response ``y`` (n,), proportions if binomial, in place of the fitted one."""
        return self.problem.with_response(y)

    def on_rows(self, design: Design, rows: AnyArray) -> GeneralizedProblem:
        """Return the problem of the same model for ``design``, which has the fitted rows ``rows``, some repeated."""
        problem = self.problem
        components = [
            replace(c, fixed=replace(c.fixed, matrix=full_rank(c.matrix[rows], c.names))) for c in problem.components
        ]
        return generalized_problem(
            design,
            problem.family,
            problem.observed.take(rows),
            information=problem.information,
            components=components,
            penalty=problem.penalty,
            most_exact=problem.most_exact,
        )

    @property
    def same_way(self) -> Control:
        """Settings by which another fit solves its equations as this one did: exactly, or with the same probes."""
        return Control.alike(self.problem.most_exact, self.problem.model.solver if self.problem.is_iterative else None)

    def without(self, sets: IntArray, columns: pd.DataFrame | None, workers: Workers) -> Without:
        """Return the estimates without the rows of each set: weights of zero, and Newton steps from the estimate."""
        return cast("Without", higher("generalized_without")(self, sets, workers))

    # ---------------------------------------------------------------- storage
    def stored(self) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        """Return how the search ended, the parameters on the inner scale, the modes and the Hessian."""
        o, mode = self.optimum, self.at.state.mode
        state: dict[str, Any] = {
            "iterations": o.iterations,
            "evaluations": o.evaluations,
            "cut": o.cut,
            "converged": o.converged,
        }
        state |= {"decrement": o.decrement, "nodes": self.nodes, "remaining": self.remaining}
        state["mode_converged"] = mode.converged
        solver = self.problem.model.solver
        known = (solver.probes, solver.seed, solver.controls) if self.problem.is_iterative else (0, 0, 0)
        state |= dict(zip(("probes", "seed", "controls"), known, strict=True))
        return state, {"x": self.x, "hessian": self.hessian, "b": mode.b, "t": mode.t}

    # ---------------------------------------------------------------- verdicts
    @property
    def undetermined(self) -> tuple[Undetermined, ...]:
        """Variances that the design does not determine."""
        return tuple(finding for finding in self.problem.design.undetermined if not finding.restricted)

    @property
    def _known_flat(self) -> int:
        return sum(finding.column is None for finding in self.undetermined)

    @cached_property
    def free(self) -> BoolArray:
        """Parameters (k,) that are neither held by a bound nor at a limit."""
        lower, upper = self.problem.bounds
        return np.asarray((self.x > lower) & (self.x < upper) & ~self.at_limit)

    @cached_property
    def at_limit(self) -> BoolArray:
        """Parameters (k,) beside the mean that have run to a limit, such as a dispersion that the data do not show."""
        beyond = np.arange(self.x.size) >= self.problem.theta_slice.stop
        flat = (np.abs(self.hessian.diagonal()) < AT_LIMIT) & (np.abs(self.at.gradient) < AT_LIMIT)
        return np.asarray(beyond & flat)

    @cached_property
    def _signature(self) -> CurvatureVerdict:
        problem, at = self.problem, self.at
        counted = np.isin(np.arange(self.x.size), np.arange(self.x.size)[problem.theta_slice])
        point = (self.hessian, at.gradient, self.free, self.x)
        found = curvature_verdict(*point, known_flat=self._known_flat, counted=counted)
        if self.remaining is not None or not np.isfinite(at.value) or has_no_end(problem, self.optimum):
            return found
        nearby = partial(problem.evaluate, integrate=self.integrate, near=at.state)
        return followed(found, nearby, self.x, at.value, *problem.bounds)

    @property
    def unnoticed(self) -> BoolArray:
        """Covariance parameters (k,) whose own size the likelihood does not notice: correlations of no variance.

        That of a direction that is just about to open or to close, with a curvature next to zero from below, is too.
        """
        found, own = self._signature.closing(self.problem.theta_slice), self.problem.theta_slice
        size = np.maximum(np.abs(self.x[own]), 1.0)
        found[own] |= np.abs(self.hessian.diagonal()[own]) * size**2 <= UNKNOWABLE
        return found

    @property
    def inner_covariance(self) -> Array:
        """Joint covariance (k, k) of all parameters on the inner scale; nan for those held at the boundary."""
        inner = np.full_like(self.hessian, np.nan)
        sought = np.ix_(self.free & ~self.unnoticed, self.free & ~self.unnoticed)
        inner[sought] = 2.0 * inverse_information(self.hessian[sought], self._known_flat)
        return inner

    @cached_property
    def covariance(self) -> Array:
        """Joint covariance (k, k) of all parameters on the user's scale; nan for those held at the boundary."""
        inner = self.inner_covariance
        jacobian = self.problem.jacobian_to_user(self.x)
        unknown = np.isnan(inner.diagonal())
        known = np.where(np.isnan(inner), 0.0, inner)
        out = jacobian @ known @ jacobian.T
        held = np.abs(jacobian) @ unknown.astype(float) > 0
        out[held] = np.nan
        out[:, held] = np.nan
        return np.asarray(out)

    @cached_property
    def certificate(self) -> Certificate:
        """From the Hessian at the estimate."""
        problem, at, o, signature = self.problem, self.at, self.optimum, self._signature
        verdicts = signature.confirming(variance_verdicts(problem.covariance, at, self.design.random, unit_at(at)))
        gap = signature.whole_gap if o.cut else signature.gap
        gap = gap if self.remaining is None else self.remaining
        gap = gap if at.state.mode.converged else np.inf
        counts = (o.cut, o.iterations, o.evaluations)
        apart = (self.separated, self.divided)
        own = Certificate(gap, signature.negative, signature.flat, verdicts, *counts, *apart, starts=self.starts)
        own = replace(own, undetermined=verdict_of(self.undetermined), levels=self.separated_levels)
        if self.problem.is_iterative:
            errors = relative_errors(self.reported, self.x, self.monte_carlo.covariance, self.phi_covariance)
            own = replace(own, sampling=Sampling.of(self.monte_carlo, errors))
        own = replace(own, unseen=self._unseen()) if own.converged else own
        return replace(own, held=self.held) if own.converged else replace(own, obstacle=self._obstacle())

    @cached_property
    def monte_carlo(self) -> MonteCarlo:
        """The error that random probes leave in all parameters, on the inner scale; none if all is exact."""
        at, free = self.at, self.free & ~self.unnoticed
        return monte_carlo(self.hessian, at.gradient_deviations, at.state.determinant_factor.logdets, free)

    @cached_property
    def separated_components(self) -> dict[str, tuple[str, ...]]:
        """Columns without a finite estimate, by further linear predictor."""
        if not self.certificate.converged:
            return {}
        unknown = np.isnan(self.covariance.diagonal()) & ~self.at_limit
        columns: dict[str, tuple[str, ...]] = {}
        for component in self.problem.components:
            endless = unknown[self.problem.component_slices[component.name]]
            if endless.any():
                columns[component.name] = tuple(name for name, one in zip(component.names, endless, strict=True) if one)
        return columns

    @cached_property
    def held(self) -> tuple[str, ...]:
        """Family-wide parameters, and those of users' structures, held at a bound, with their values there."""
        family = self.problem.family
        own = self.x[self.x.size - len(family.phi_names) :]
        lower, upper = (end + self.problem.phi_log_weights for end in family.phi_bounds)
        at_bound = (own <= lower) | (own >= upper)
        natural, values = {one.name: one.natural for one in family.parameters}, zip(family.phi_names, own, at_bound)
        family_wide = [f"{name} = {natural[name](value):.3g}" for name, value, held in values if held]
        return (*family_wide, *ended(self.design, self.problem.covariance, self.at.theta))

    def _unseen(self) -> tuple[str, ...]:
        """Names of the fixed effects without a standard error, where floating point lost their curvature."""
        variances = self.covariance.diagonal()[: self.problem.model.n_fixed]
        names = self.problem.design.fixed.names
        return tuple(name for name, variance in zip(names, variances, strict=True) if not np.isfinite(variance))

    def _obstacle(self) -> str:
        """What a search that found no optimum ran into, in words; empty where nothing is known."""
        return obstacle_at(self.problem, self.x, lambda: nearly_folded(self.at.state))

    @cached_property
    def divided(self) -> tuple[str, ...]:
        """Names of the grouping factors none of whose levels has more than one outcome: infinite variances."""
        slots, terms = self.problem.covariance.terms, self.problem.design.random
        found = divided_factors(self.at.state)
        return tuple(dict.fromkeys(t.group for t, slot in zip(terms, slots, strict=True) if slot.factor in found))

    @cached_property
    def _separating(self) -> Array | None:
        """A direction of the fixed effects on the user's scale along which the likelihood rises without end, if any.

        None under a penalty, which keeps them finite.
        """
        state, problem = self.at.state, self.problem
        p = problem.model.n_fixed
        if problem.model.penalty.precision.any() or p == 0:
            return None
        with np.errstate(invalid="ignore"):  # a separated fit may have no covariance
            inner = np.sqrt(2.0 * inverse_information(self.hessian[np.ix_(self.free, self.free)]).diagonal()[:p])
        direction = separating_direction(state) if looks_separated(state, inner) else None
        return None if direction is None else np.asarray(problem.bases[0].matrix @ direction)

    @cached_property
    def separated(self) -> tuple[str, ...]:
        """Names of the fixed effects that separate the response; empty under a penalty, which keeps them finite."""
        moved, fixed = self._separating, self.problem.design.fixed
        if moved is None:
            return ()
        size = np.abs(moved) * fixed.matrix.std(axis=0)
        chosen = size > SEPARATED * max(float(size.max()), 1e-300)
        return tuple(name for name, one in zip(fixed.names, chosen, strict=True) if one) or fixed.names

    @cached_property
    def separated_levels(self) -> tuple[str, ...]:
        """The levels of one factor whose rows are those that are told apart, whatever the coding; empty if none are."""
        moved, design = self._separating, self.problem.design
        if moved is None:
            return ()
        change = np.abs(design.fixed.matrix @ moved)
        pushed = change > SEPARATED * float(change.max())
        for name, variable in design.variables.items():
            if variable.labels is None or pushed.all():
                continue
            codes, levels = variable.labels.codes, variable.labels.levels
            share = np.bincount(codes, weights=pushed) / np.maximum(np.bincount(codes), 1)
            if np.all((share == 0) | (share == 1)):
                return tuple(f"{name} = {levels[int(k)]!r}" for k in np.flatnonzero(share == 1))
        return ()


def unit_at(at: MarginalEvaluation) -> float:
    """What a standard deviation of random effects is compared with."""
    return response_unit(at.state.model, at.state.mode.eta, at.state.auxiliary)
