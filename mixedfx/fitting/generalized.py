"""A fitted generalised linear mixed model: its covariance and its certificate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.criterion.boundary import (
    UNKNOWABLE,
    curvature_verdict,
    flattest,
    variance_verdict,
)
from mixedfx.criterion.evaluation import Integrator, MarginalEvaluation
from mixedfx.criterion.generalized_problem import GeneralizedProblem
from mixedfx.criterion.separation import divided_factors, looks_separated, nearly_folded, separating_direction
from mixedfx.criterion.start import response_unit, row_weight, start_phi
from mixedfx.fitting.certificate import Certificate
from mixedfx.fitting.starts import Starts
from mixedfx.matrices import Undetermined, verdict_of
from mixedfx.optimize import Optimum, equilibrium

__all__ = [
    "GeneralizedFit",
    "free_bounds",
    "inverse_information",
    "unit_at",
]

SEPARATED = 1e-3  # share of the largest effect that makes a column take part in a separation
AT_LIMIT = 1e-5  # curvature and slope of -2 log L in an unbounded parameter below which it is at infinity
SINGULAR = 1e-8  # eigenvalue of the scaled Hessian, relative to the largest, below which there is no information
LOG_COLLAPSE = float(np.log(1e-10))  # a dispersion so far below that of the response has gone to zero
COLLAPSE = "the dispersion goes to 0, where the mean passes through some rows exactly and the likelihood has no maximum"
FOLD = (
    "the search ran to where the density of the random effects is about to split into several modes, which is beyond "
    "the Laplace approximation; fewer random effects or lighter tails are needed, or information='expected'"
)
TAKES_PART = 1e-4  # share of a direction without information that makes a parameter unknown


@dataclass(frozen=True)
class GeneralizedFit:
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

    @property
    def x(self) -> Array:
        """All parameters on the inner scale."""
        return self.at.state.x

    @property
    def llf(self) -> float:
        """Log-likelihood without the penalty, all constants included."""
        penalty = self.problem.model.penalty.value(self.at.state.parts.beta)
        return -0.5 * (float(self.at.value) - penalty)

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
        lower, upper = free_bounds(self.problem)
        return np.asarray((self.x > lower) & (self.x < upper) & ~self.at_limit)

    @cached_property
    def at_limit(self) -> BoolArray:
        """Parameters (k,) beside the mean that have run to a limit, such as a dispersion that the data do not show."""
        beyond = np.arange(self.x.size) >= self.problem.theta_slice.stop
        flat = (np.abs(self.hessian.diagonal()) < AT_LIMIT) & (np.abs(self.at.gradient) < AT_LIMIT)
        return np.asarray(beyond & flat)

    @property
    def unnoticed(self) -> BoolArray:
        """Covariance parameters (k,) whose own size the likelihood does not notice: correlations of no variance."""
        found, own = np.zeros(self.x.size, dtype=bool), self.problem.theta_slice
        size = np.maximum(np.abs(self.x[own]), 1.0)
        found[own] = np.abs(self.hessian.diagonal()[own]) * size**2 <= UNKNOWABLE
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
        covariance = self.problem.covariance
        variances = np.zeros(self.x.size, dtype=bool)
        variances[self.problem.theta_slice] = True
        signature = curvature_verdict(
            self.hessian, self.at.gradient, self.free, self.x, known_flat=self._known_flat, counted=variances
        )
        labels, unit = [term.term for term in self.problem.design.random], unit_at(self.at)
        verdicts = tuple(variance_verdict(covariance, self.at, k, label, unit) for k, label in enumerate(labels))
        o = self.optimum
        gap = signature.whole_gap if o.cut else signature.gap
        gap = gap if self.remaining is None else self.remaining
        gap = gap if self.at.state.mode.converged else np.inf
        counts = (o.cut, o.iterations, o.evaluations)
        said = verdict_of(self.undetermined)
        apart = (self.separated, self.divided)
        own = Certificate(gap, signature.negative, signature.flat, verdicts, *counts, *apart)
        own = replace(own, undetermined=said, levels=self.separated_levels)
        own = replace(own, starts=self.starts)
        own = replace(own, unseen=self._unseen()) if own.converged else own
        return replace(own, held=self.held) if own.converged else replace(own, obstacle=self._obstacle())

    @cached_property
    def held(self) -> tuple[str, ...]:
        """Family-wide parameters held at a bound, with their values there."""
        family = self.problem.family
        own = self.x[self.x.size - len(family.phi_names) :]
        lower, upper = (end + row_weight(self.problem) for end in family.phi_bounds)
        at_bound = (own <= lower) | (own >= upper)
        values = family.natural(own)[0]
        return tuple(f"{name} = {values[name]:.3g}" for name, held in zip(family.phi_names, at_bound) if held)

    def _unseen(self) -> tuple[str, ...]:
        """Names of the fixed effects without a standard error, where floating point lost their curvature."""
        variances = self.covariance.diagonal()[: self.problem.model.n_fixed]
        names = self.problem.design.fixed.names
        return tuple(name for name, variance in zip(names, variances, strict=True) if not np.isfinite(variance))

    def _obstacle(self) -> str:
        """What a search that found no optimum ran into, in words; empty where nothing is known."""
        if _collapsed(self.problem, self.x):
            return COLLAPSE
        return FOLD if nearly_folded(self.at.state) else ""

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


def _collapsed(problem: GeneralizedProblem, x: Array) -> bool:
    """Whether the dispersion has gone to zero, next to the one to start from: some rows are fitted exactly."""
    family = problem.family
    if not family.precision_weights or "dispersion" not in family.phi_names:
        return False
    at = family.phi_names.index("dispersion") - len(family.phi_names)
    return bool(x[at] < start_phi(problem)[at] + LOG_COLLAPSE)


def inverse_information(hessian: Array, known_flat: int = 0) -> Array:
    """Inverse of a positive semidefinite matrix; nan for parameters that take part in a direction without curvature.

    So many directions as the design is known to leave open, those of least curvature, have none whatever rounding says.
    """
    if not np.isfinite(hessian).all():
        return np.full_like(hessian, np.nan)
    scale = equilibrium(hessian)
    scaled = (hessian / scale) / scale[:, None]
    values, vectors = np.linalg.eigh(scaled)
    vanishing = np.abs(values) <= SINGULAR * np.abs(values).max(initial=0.0)
    vanishing |= flattest(values, known_flat)
    if np.any(values[~vanishing] < 0):
        return np.full_like(hessian, np.nan)
    determined, kept = ~(np.abs(vectors[:, vanishing]) > TAKES_PART).any(axis=1), vectors[:, ~vanishing]
    out = np.full_like(hessian, np.nan)
    both = np.ix_(determined, determined)
    out[both] = ((kept / values[~vanishing]) @ kept.T / np.outer(scale, scale))[both]
    return out


def free_bounds(problem: GeneralizedProblem) -> tuple[Array, Array]:
    """Return the bounds (k,) of all parameters for the search."""
    covariance, at = problem.covariance, problem.theta_slice
    lower = np.full(problem.n_parameters, -np.inf)
    upper = np.full(problem.n_parameters, np.inf)
    lower[at], upper[at] = covariance.search_lower, covariance.upper
    n_phi = len(problem.family.phi_names)
    lower[lower.size - n_phi :], upper[upper.size - n_phi :] = (
        end + row_weight(problem) for end in problem.family.phi_bounds
    )
    return lower, upper


def unit_at(at: MarginalEvaluation) -> float:
    """What a standard deviation of random effects is compared with."""
    return response_unit(at.state.model, at.state.mode.eta, at.state.auxiliary)
