"""A fitted Gaussian mixed model: estimates, errors and certificate, from one factorisation at the estimate."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._lazy import cached_property, higher
from mixedfx._typing import AnyArray, Array, IntArray
from mixedfx._workers import Workers
from mixedfx.covariance.residual.structure import BoundResidual
from mixedfx.criterion.boundary import (
    CERTIFIED_GAP,
    CurvatureVerdict,
    VarianceVerdict,
    curvature_verdict,
    followed,
    variance_verdicts,
)
from mixedfx.criterion.evaluation import GaussianEvaluation
from mixedfx.criterion.linear import LinearEvaluation
from mixedfx.criterion.linear_problem import LinearProblem, linear_problem
from mixedfx.families import Family, family_for
from mixedfx.fitting.certificate import Certificate, Sampling
from mixedfx.fitting.control import Control
from mixedfx.fitting.errors import PredictorErrors, linear_errors, linear_joint
from mixedfx.fitting.fit import SAMPLED_LIKELIHOOD, Fit
from mixedfx.fitting.likelihood import (
    Likelihood,
    NormalVariances,
    linear_likelihood,
    linear_theta_jacobian,
    linear_variances,
    variance_covariance,
)
from mixedfx.fitting.monte_carlo import MonteCarlo, monte_carlo, relative_errors
from mixedfx.fitting.reported import Reported, linear_reported
from mixedfx.fitting.response import GaussianResponse
from mixedfx.fitting.starts import Starts, ended
from mixedfx.fitting.working import linear_leverage
from mixedfx.matrices import Design, Undetermined, verdict_of
from mixedfx.matrices.new_rows import PredictedRows, fitted_predictor
from mixedfx.optimize import Optimum

if TYPE_CHECKING:
    from mixedfx.fitting.without import Without

__all__ = ["LinearFit"]

OUTWEIGHS = 1e4  # a variance of random effects so many times that of the residuals …
FURTHER = 10.0  # … may be 100 times as large beside it, where there is no residual variance
AT_END = 1e-4  # share of its range: a parameter of the residuals so near to an end lies there
MOST_ROWS = 400  # up to which the rank of all columns together is computed
UNBOUNDED = (
    "the fixed and random effects together fit every row exactly, so that the likelihood rises without end as the "
    "variances grow; fit by REML (reml=True), or with fewer effects"
)
NO_RESIDUAL = (
    "the fixed and random effects together fit every row exactly, and the likelihood is highest where no residual "
    "variance is left; fewer effects are needed"
)
GAUSSIAN = family_for("gaussian")


@dataclass(frozen=True)
class LinearFit(Fit):
    """A fitted Gaussian mixed model on the inner scale.

    Attributes
    ----------
    problem : LinearProblem
    optimum : Optimum
    point : GaussianEvaluation
        The criterion at the estimate, boundary settled.
    starts : Starts, optional
        What each of several searches found.
    """

    kind = "linear"
    title = "Linear mixed model"
    default_ddf = "satterthwaite"
    is_relative = True
    ddf_methods = ("satterthwaite", "kenward-roger", "containment", "residual", "z")

    problem: LinearProblem
    optimum: Optimum[GaussianEvaluation]
    point: GaussianEvaluation
    starts: Starts | None = None

    @property
    def at(self) -> LinearEvaluation:
        """The linear algebra at the estimate: that of the whitened rows, if the residuals have a structure."""
        return self.point.linear

    @property
    def inner_theta(self) -> Array:
        """Covariance parameters (t,) on the inner scale."""
        return self.at.theta

    # ---------------------------------------------------------------- the model
    @property
    def family(self) -> Family:
        """The normal distribution with the identity link."""
        return GAUSSIAN

    @property
    def reml(self) -> bool:
        """Whether the criterion is the restricted likelihood."""
        return self.problem.criterion.reml

    @property
    def residual(self) -> BoundResidual | None:
        """Structure of the residuals, if they have one."""
        return self.problem.residual

    @property
    def rho(self) -> Array:
        """Parameters (r,) of the residual structure on their unbounded scales."""
        return self.point.x[self.at.theta.size :]

    @property
    def robust_kinds(self) -> tuple[str, ...]:
        """All: the working covariance is known in closed form."""
        return ("CR0", "CR1", "CR2")

    # ---------------------------------------------------------------- estimates
    @property
    def x(self) -> Array:
        """Covariance parameters, relative to sigma on the inner scale, and those of the residual structure (k,)."""
        return self.point.x

    @cached_property
    def beta(self) -> Array:
        """Fixed effects (p,), by generalised least squares."""
        return self.problem.basis.beta(self.at.beta)

    @cached_property
    def beta_covariance(self) -> Array:
        """Covariance (p, p) of the fixed effects."""
        return self.problem.basis.covariance(self.at.sigma2 * self.at.unscaled_cov)

    def inner_rows(self, rows: Array) -> Array:
        """Return contrasts (r, p) of the fixed effects as contrasts of the inner ones, in the user's units."""
        return np.asarray(self.problem.basis.scale * (np.atleast_2d(rows) @ self.problem.basis.matrix))

    @property
    def cross_product_root(self) -> Array:
        """``R`` (p, p) with ``R'R = X'WX`` on the user's scale, from the cross-products of the fit."""
        p, basis = self.at.criterion.n_fixed, self.problem.basis
        inner = np.linalg.cholesky(self.at.criterion.gram.total[:p, :p]).T
        return np.asarray(inner @ np.linalg.inv(basis.matrix))

    @cached_property
    def theta(self) -> Array:
        """Covariance parameters (t,) relative to sigma, in the order of the formula."""
        return self.problem.to_user(self.inner_theta)

    @property
    def scale(self) -> float:
        """Residual variance, sigma squared."""
        return float(self.at.sigma2 * self.problem.basis.scale**2)

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return float(np.sqrt(self.scale))

    @property
    def has_sigma(self) -> bool:
        """Whether sigma is estimated rather than known."""
        return self.at.criterion.sigma2 is None

    @cached_property
    def covariances(self) -> tuple[Array, ...]:
        """Covariance (q, q) of the random effects of each term."""
        return tuple(self.scale * matrix for matrix in self.problem.relative_covariances(self.inner_theta))

    @property
    def further_names(self) -> tuple[str, ...]:
        """Names of the parameters of the residual structure."""
        return () if self.residual is None else tuple(self.residual.names)

    @property
    def roots(self) -> tuple[Array, ...]:
        """A root (q, q) of the covariance of the random effects of each term."""
        return tuple(self.sigma * root for root in self.problem.relative_roots(self.inner_theta))

    @property
    def llf(self) -> float:
        """Log-likelihood (restricted under REML), all constants included."""
        return -0.5 * float(self.at.value)

    @property
    def llfs(self) -> Array:
        """The log-likelihood by each random probe (K,); empty where it is exact."""
        return -0.5 * self.at.values

    @property
    def n_parameters(self) -> int:
        """Fixed effects, covariance and residual parameters, and sigma unless it is known."""
        return self.at.criterion.n_fixed + self.x.size + self.has_sigma

    # ---------------------------------------------------------------- intervals
    @cached_property
    def reported(self) -> tuple[Reported, ...]:
        """The numbers that intervals are made for; the fixed effects are profiled out of the criterion."""
        return linear_reported(self.problem)

    @property
    def parameters(self) -> dict[tuple[str, str], float]:
        """Fixed effects, covariance parameters, those of the residual structure on their natural scales, and sigma."""
        fixed, covariances = self._named_parameters
        bound = self.residual
        natural = {} if bound is None else dict(zip(bound.names, bound.natural(self.rho), strict=True))
        residual = {("residual", str(name)): float(value) for name, value in natural.items()}
        return fixed | covariances | residual | {("residual", "sigma"): self.sigma}

    @cached_property
    def likelihood(self) -> Likelihood:
        """The likelihood around the estimate, in ``phi = (theta, rho, log sigma^2)``."""
        return linear_likelihood(self)

    @property
    def unprofilable(self) -> str:
        """Why the likelihood cannot be profiled; empty where it can."""
        return SAMPLED_LIKELIHOOD if self.problem.is_iterative else ""

    @cached_property
    def phi_covariance(self) -> Array:
        """Covariance (k + 1, k + 1) of ``(theta, rho, log sigma^2)`` on the inner scale, zero for what cannot vary."""
        return variance_covariance(self.point)

    @property
    def normal_variances(self) -> NormalVariances:
        """The variances of the random effects and of the residual as functions of ``likelihood.phi``."""
        return NormalVariances(self.likelihood.phi, self.phi_covariance, partial(linear_variances, self.problem))

    def contrast_slopes(self, rows: Array) -> tuple[Array, Array]:
        """Return the variances (r,) of ``rows @ beta`` and their derivatives (k + 1, r) in ``likelihood.phi``.

        Parameters
        ----------
        rows : (r, p)
            Contrasts of the user's coefficients.
        """
        inner = self.inner_rows(rows)
        spread = inner @ self.at.unscaled_cov
        variance = (inner * spread).sum(axis=1)
        forms = ((spread @ self.point.x_form_stack) * spread).sum(axis=2)
        slopes = np.concatenate([forms, (variance if self.has_sigma else np.zeros_like(variance))[None]])
        return self.at.sigma2 * variance, self.at.sigma2 * slopes

    @property
    def theta_jacobian(self) -> Array:
        """Derivatives (t, t) of :attr:`theta` in the inner covariance parameters; nan where there are none."""
        return linear_theta_jacobian(self)

    # ---------------------------------------------------------------- random effects
    @cached_property
    def modes(self) -> tuple[Array, ...]:
        """Conditional modes (q, m) of the random effects of each term: their best linear unbiased predictions."""
        out = []
        for basis, (factor, place) in zip(self.problem.terms, self.problem.assembly.places, strict=True):
            loading = self.problem.assembly.rows.loadings.get(factor)
            effects = basis.matrix @ self.at.effects[factor][place]
            out.append(self.problem.basis.scale * (effects if loading is None else effects @ loading.T))
        return tuple(out)

    def factor_covariance(self, factor: int) -> Array:
        """Return the conditional covariances (Q, Q, m) of a factor's effects, in the basis of the inner scale."""
        layout, inverse = self.problem.assembly.rows.layout, self.at.factor.inverse
        if factor < layout.n_chain:
            return self.scale * inverse.chain_blocks(factor)
        loading = self.problem.assembly.rows.loadings.get(factor)
        if loading is None:
            return self.scale * inverse.remainder_blocks(factor)
        at, size, m = layout.span(factor), layout.sizes[factor], layout.levels[factor]
        blocks = inverse.remainder[at, at].reshape(size, m, size, m)
        return np.asarray(self.scale * np.einsum("li,aibj,lj->abl", loading, blocks, loading, optimize=True))

    def joint_covariance(self) -> Array:
        """Return the covariance (p + q, p + q) of the errors of fixed and random effects, variances known."""
        return linear_joint(self.problem, self.at)

    def weighted_rows(self, matrix: Any) -> Any:
        """Return rows ``M`` (n, q) times a root of the inverse residual covariance relative to sigma squared."""
        weights = self.design.weights
        weighted = matrix if weights is None else sp.diags_array(np.sqrt(weights)) @ matrix
        return weighted if self.residual is None else self.residual.whiten(self.rho, weighted.toarray())

    # ---------------------------------------------------------------- predictions
    @cached_property
    def response(self) -> GaussianResponse:
        """Normal responses with the residuals of the model."""
        return GaussianResponse(self.design, self.family, self.sigma, self.residual, self.rho, self.beta)

    @cached_property
    def error_root(self) -> Array:
        """A root (p, p) of the covariance of the inner fixed effects, in the user's units."""
        return np.asarray(self.sigma * self.at.unscaled_root)

    @property
    def beta_slopes(self) -> Array:
        """Derivatives (p, p) of the fixed effects in the inner ones."""
        return self.problem.basis.matrix

    def predictor_errors(self, rows: PredictedRows) -> PredictorErrors:
        """Return what makes the linear predictor of each row uncertain, the variances counting as known."""
        return linear_errors(self.problem, self.at, rows, self.covariances)

    def leverages(self) -> tuple[Array, Array]:
        """Return how much every response pulls its own fitted value, through fixed and through random effects."""
        self.design.need_rows("leverages")
        return linear_leverage(self).leverages()

    def drawn_predictor(self, effects: Array, rng: np.random.Generator) -> Array:
        """Return a draw of the linear predictor (n,) given the data: exact, as random effects are normal then."""
        eta = self.response.fixed_part + effects
        y = eta + self.response.residual_draws(rng.standard_normal((eta.size, 1)))[:, 0]
        problem = self.with_response(y)
        again = replace(self, problem=problem, point=problem.criterion(self.x))
        fitted, refitted = (fitted_predictor(self.design, fit.beta, fit.modes) for fit in (self, again))
        return np.asarray(fitted + eta - refitted)

    # ---------------------------------------------------------------- the same model again
    def with_response(self, y: Array) -> LinearProblem:
        """Return the problem with the response ``y`` (n,) in place of the fitted one."""
        return self.problem.with_response(y)

    def on_rows(self, design: Design, rows: AnyArray) -> LinearProblem:
        """Return the problem of the same model for ``design``, which has the fitted rows ``rows``, some repeated."""
        sigma = None if self.has_sigma else self.sigma
        return linear_problem(design, reml=self.reml, sigma=sigma, most_exact=self.problem.most_exact)

    @property
    def same_way(self) -> Control:
        """Settings by which another fit solves its equations as this one did: exactly, or with the same probes."""
        return Control.alike(self.problem.most_exact, self.problem.solver)

    def without(self, sets: IntArray, columns: pd.DataFrame | None, workers: Workers) -> Without:
        """Return the estimates without the rows of each set: cross-products taken off, or a new fit each."""
        return cast("Without", higher("linear_without")(self, sets, columns, workers))

    # ---------------------------------------------------------------- storage
    def stored(self) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        """Return how the search ended, and the parameters on the inner scale."""
        o = self.optimum
        state: dict[str, Any] = {
            "reml": self.reml,
            "iterations": o.iterations,
            "evaluations": o.evaluations,
            "cut": o.cut,
        }
        state |= {"decrement": o.decrement, "converged": o.converged, "refined": self.problem.criterion.is_refined}
        solver = self.problem.solver
        state |= {"remainder": self.same_way.remainder, "solver": None if solver is None else asdict(solver)}
        return state, {"theta": self.x}

    # ---------------------------------------------------------------- verdicts
    @cached_property
    def verdicts(self) -> tuple[VarianceVerdict, ...]:
        """What can be said of every term's boundary without the Hessian."""
        return variance_verdicts(self.problem.covariance, self.at, self.problem.design.random)

    @property
    def undetermined(self) -> tuple[Undetermined, ...]:
        """Variances that the design does not determine under this criterion."""
        reml = self.problem.criterion.reml
        return tuple(found for found in self.problem.design.undetermined if reml or not found.restricted)

    @property
    def is_doubtful(self) -> bool:
        """Whether only the certificate can tell if this is the optimum: the search had trouble, or all is flat."""
        confirmed = all(v.confirmed for v in self.verdicts if v.rank < v.size) and not self.undetermined
        if self.is_unbounded:
            return True
        return not self.optimum.converged or not confirmed or self._signature(self.point.curvature).flat > 0

    @property
    def is_plain(self) -> bool:
        """Whether the search had no trouble, and every covariance has full rank."""
        return not self.is_doubtful and all(v.rank == v.size for v in self.verdicts)

    def _signature(self, hessian: Array) -> CurvatureVerdict:
        point, criterion = self.point, self.problem.criterion
        free = (point.x > criterion.search_lower) & (point.x < criterion.upper)
        if self.residual is not None:
            free[self.at.theta.size :] &= ~self.residual.parameters.at_ends(self.rho, AT_END)
        known = sum(finding.column is None for finding in self.undetermined)
        return curvature_verdict(hessian, point.gradient, free, point.x, known_flat=known)

    @cached_property
    def monte_carlo(self) -> MonteCarlo:
        """The error that random probes leave in the covariance parameters, on the inner scale; none if all is exact."""
        at, k = self.at, self.at.theta.size
        if not self.problem.is_iterative:
            return monte_carlo(np.eye(k), np.zeros((0, k)), np.zeros(0))
        criterion = at.criterion
        free = (self.x > criterion.search_lower) & (self.x < criterion.upper) & (self.x != 0.0)
        return monte_carlo(at.hessian, at.gradient_deviations, at.factor.logdets, free)

    @cached_property
    def monte_carlo_errors(self) -> dict[str, float]:
        """Monte Carlo errors of the reported numbers, in their standard errors; empty if all is exact."""
        if not self.problem.is_iterative:
            return {}
        phi = self.likelihood.phi
        moved = np.vstack([np.eye(self.x.size), np.zeros(self.x.size)])
        if self.has_sigma:
            moved[-1] = -self.point.response_slopes / (self.at.sigma2 * self.at.criterion.nu)
        covariance = moved @ self.monte_carlo.covariance @ moved.T
        return relative_errors(self.reported, phi, covariance, self.phi_covariance)

    @cached_property
    def certificate(self) -> Certificate:
        """From the exact Hessian at the estimate; from the average information where traces are sampled."""
        point, criterion, o = self.point, self.problem.criterion, self.optimum
        bounds = criterion.search_lower, criterion.upper
        signature = followed(self._signature(point.hessian), self.problem.evaluate, point.x, point.value, *bounds)
        counts = (o.cut, o.iterations, o.evaluations)
        said = verdict_of(self.undetermined)
        gap = signature.whole_gap if o.cut else signature.gap
        found = Certificate(gap, signature.negative, signature.flat, signature.confirming(self.verdicts), *counts)
        if self.is_unbounded:
            found = replace(found, gap=np.inf, obstacle=UNBOUNDED)
        elif not found.converged and self._is_saturated:
            found = replace(found, obstacle=NO_RESIDUAL)
        if found.flat_directions and not said:
            found = replace(found, exhausting=self._exhausting)
        return replace(found, undetermined=said, starts=self.starts, sampling=self._sampling, held=self.held)

    @property
    def held(self) -> tuple[str, ...]:
        """Parameters of residuals and of users' structures at the end of their range, with their values there."""
        held = ended(self.problem.design, self.problem.covariance, self.inner_theta)
        if self.residual is not None:
            natural = self.residual.natural(self.rho)
            places = np.flatnonzero(self.residual.parameters.at_ends(self.rho, AT_END))
            held += [f"{self.residual.names[j]} of the residuals = {natural[j]:.3g}" for j in places]
        return tuple(held)

    @property
    def _exhausting(self) -> tuple[str, ...]:
        """Terms beside whose variance that of the residuals is nothing, if the likelihood does not miss the rest of it.

        The direction in which all variances grow beside that of the residuals is then flat, and no other need be.
        """
        theta, terms, large = self.inner_theta.copy(), self.problem.covariance.terms, []
        for term, slot in zip(self.problem.design.random, terms, strict=True):
            structure, own = slot.covariance, theta[slot.theta]
            if structure.covariance(own).max() > OUTWEIGHS:
                large.append(term.term)
            theta[slot.theta] = structure.rescale(own, np.full(structure.size, FURTHER))
        if not (large and self.has_sigma):
            return ()
        try:
            beyond = self.problem.evaluate(np.concatenate([theta, self.rho])).value
        except FloatingPointError:
            return ()
        return tuple(large) if beyond <= self.point.value + CERTIFIED_GAP else ()

    @property
    def _sampling(self) -> Sampling | None:
        if not self.problem.is_iterative:
            return None
        return Sampling.of(self.monte_carlo, self.monte_carlo_errors, hessian_is_exact=self.point.hessian_is_exact)

    def __repr__(self) -> str:
        return f"<LinearFit: -2 log L = {self.at.value:.4f}, {self.problem.design!r}>"

    @cached_property
    def is_unbounded(self) -> bool:
        """Whether the effects fit every row exactly and the likelihood grows without end, as ``t**(n - rank Z)``.

        The restricted likelihood has a limit.
        """
        design, reml = self.problem.design, self.problem.criterion.reml
        return bool(not reml and self._is_saturated and np.linalg.matrix_rank(random_matrix(design)) < design.n_rows)

    @cached_property
    def _is_saturated(self) -> bool:
        """Whether fixed and random effects together fit every row exactly, while the residual variance is estimated.

        Asked of small designs only: larger ones have more rows than effects, or more than one can look at.
        """
        return is_saturated(self.problem)


def is_saturated(problem: LinearProblem) -> bool:
    """Whether the columns of all effects of a small design span its rows, while the residual variance is estimated."""
    design, layout = problem.design, problem.assembly.rows.layout
    X = problem.assembly.rows.columns[:, :-1]
    effects = sum(m * q for m, q in zip(layout.levels, layout.sizes, strict=True))
    if problem.criterion.sigma2 is not None or problem.residual is not None:
        return False
    if design.n_rows > min(X.shape[1] + effects, MOST_ROWS):
        return False
    return bool(np.linalg.matrix_rank(np.hstack([unit_columns(X), random_matrix(design)])) == design.n_rows)


def unit_columns(matrix: Array) -> Array:
    """Return the columns of ``matrix`` scaled to length 1."""
    size = np.linalg.norm(matrix, axis=0)
    return np.asarray(matrix / np.where(size > 0, size, 1.0))


def random_matrix(design: Design) -> Array:
    """Return the columns (n, q) of all random effects, scaled to length 1."""
    blocks = []
    for term in design.random:
        own = np.zeros((design.n_rows, len(term.levels), term.matrix.shape[1]))
        own[np.arange(design.n_rows), term.codes] = term.matrix
        blocks.append(unit_columns(own.reshape(design.n_rows, -1)))
    return np.hstack(blocks)
