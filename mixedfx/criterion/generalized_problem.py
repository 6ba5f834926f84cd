"""From a design and a family to a marginal model on its inner scale, with the maps back to the user's scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.evaluation import Integrator, MarginalEvaluation
from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.criterion.marginal import Auxiliary, FamilyLikelihood, Information, MarginalModel, RidgePenalty
from mixedfx.criterion.mode import TOLERANCE, ModeState, mode_state
from mixedfx.criterion.problem import REMAINDERS, Problem, assembled
from mixedfx.criterion.start import starting_values
from mixedfx.families.base import Family
from mixedfx.families.observed import Observed
from mixedfx.linalg.probes import Solver
from mixedfx.linalg.rowwise import RowMap
from mixedfx.matrices import Design
from mixedfx.matrices.basis import FixedBasis, TermBasis, fixed_basis
from mixedfx.matrices.fixed import FixedEffects

__all__ = ["Component", "GeneralizedProblem", "generalized_problem"]

MAP_STEP = 1e-6  # relative step of the differences of the map of theta
SINGULAR_MAP = 1e8  # condition number of that map beyond which it is singular


@dataclass(frozen=True)
class Component:
    """A further linear predictor on the user's scale.

    Attributes
    ----------
    name : str
    fixed : FixedEffects
        Its columns, and how they are made of data.
    """

    name: str
    fixed: FixedEffects

    @property
    def matrix(self) -> Array:
        """Columns (n, k) in the fitted rows."""
        return self.fixed.matrix

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.fixed.names


@dataclass(frozen=True)
class GeneralizedProblem(Problem):
    """A generalised mixed model ready to be evaluated.

    The parameters are ``x = (beta, theta, extra)``; extra are the coefficients of the further linear predictors in the
    order of the family, then the family-wide parameters on their unbounded scales.

    Attributes
    ----------
    design, assembly, bases, terms
        As in :class:`~mixedfx.criterion.problem.Problem`.
    family : Family
    observed : Observed
    model : MarginalModel
        On the inner scale; its value is on the user's.
    components : tuple of Component
        The further linear predictors.
    shift : float
        Subtracted from the response inside the likelihood of a location family, so that responses of size 1e10 keep
        their digits.
    penalty : float
        Precision of the normal prior on the fixed effects.
    most_exact : float
        Crossed random effects beside the largest factor that are factorised, rather than solved by iteration.
    """

    family: Family
    observed: Observed
    model: MarginalModel
    components: tuple[Component, ...]
    shift: float = 0.0
    penalty: float = 0.0
    most_exact: float = REMAINDERS["auto"]

    @property
    def is_iterative(self) -> bool:
        """Whether the equations of crossed factors are solved by iteration, traces and determinants by probes."""
        return self.assembly.rows.layout.is_operator

    def with_solver(self, solver: Solver) -> Self:
        """Return the problem with its crossed equations solved in another way."""
        return replace(self, model=replace(self.model, solver=solver))

    @property
    def shifted_response(self) -> Observed:
        """The response less :attr:`shift`, as the likelihood of the model has it."""
        return self.model.likelihood.observed

    @property
    def information(self) -> Information:
        """Whose determinant the Laplace approximation takes."""
        return self.model.likelihood.information

    def with_observed(self, observed: Observed) -> Self:
        """Return the problem with another response; all else is shared."""
        likelihood = replace(self.model.likelihood, observed=_shifted(observed, self.shift))
        model = replace(self.model, likelihood=likelihood)
        return replace(self, observed=observed, model=model)

    def with_response(self, y: Array) -> Self:
        """Return the problem with the response ``y`` (n,), proportions if binomial; all else is shared.

        Raises
        ------
        DataError
            If the family cannot have such a response.
        """
        response = replace(self.design.response, values=y)
        design = self.design
        observed = self.family.observe(y, trials=response.trials, weights=design.weights, rows=design.index)
        return replace(self.with_observed(observed), design=replace(design, response=response))

    def with_design(self, design: Design) -> GeneralizedProblem:
        """Return the problem of the same model for ``design``, which differs in its random terms only."""
        other = generalized_problem(
            design,
            self.family,
            self.observed,
            information=self.information,
            components=self.components,
            most_exact=self.most_exact,
        )
        return replace(other, model=replace(other.model, penalty=self.model.penalty, solver=self.model.solver))

    @property
    def n_parameters(self) -> int:
        """Length of ``x``."""
        return self.model.n_parameters

    @property
    def theta_slice(self) -> slice:
        """Positions of theta in ``x``."""
        return self.model.theta_slice

    @property
    def coefficients(self) -> list[tuple[slice, FixedBasis]]:
        """Positions in ``x`` of the coefficients of every linear predictor, and their basis."""
        slices = [slice(0, self.model.n_fixed), *self.component_slices.values()]
        return list(zip(slices, self.bases, strict=True))

    @property
    def level(self) -> int | None:
        """Position in ``x`` of the first family-wide parameter where it stands for the intercept; else None."""
        return self.n_parameters - len(self.family.phi_names) if self.basis.centre.any() else None

    @cached_property
    def phi_slopes(self) -> Array:
        """Derivative (m, k) in an inner ``x`` of the family-wide parameters on the user's scale."""
        out = np.eye(self.n_parameters)[self.n_parameters - len(self.family.phi_names) :]
        if self.level is not None:
            out[0, : self.model.n_fixed] = self.basis.centre @ self.basis.matrix
        return out

    @property
    def level_columns(self) -> Array:
        """Columns (n, …) that move the linear predictor: those of the mean, and the common level of thresholds."""
        X = self.model.X
        if self.family.has_intercept:
            return X
        return np.column_stack([np.arange(len(X)) < self.observed.n, X])

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds (k,) of ``x`` for the search."""
        lower, upper = np.full(self.n_parameters, -np.inf), np.full(self.n_parameters, np.inf)
        lower[self.theta_slice], upper[self.theta_slice] = self.covariance.search_lower, self.covariance.upper
        first = lower.size - len(self.family.phi_names)
        lower[first:], upper[first:] = (end + self.phi_log_weights for end in self.family.phi_bounds)
        return lower, upper

    @property
    def start(self) -> Array:
        """Parameters ``x`` to begin with."""
        return starting_values(self)

    @property
    def phi_log_weights(self) -> Array:
        """Logarithm of a typical weight for those family-wide parameters that the weights divide, else 0."""
        return np.array([self.log_weight(name) for name in self.family.phi_names])

    def log_weight(self, name: str) -> float:
        """Return the logarithm of a typical weight where ``name`` is what the weights divide, else 0."""
        weights = self.observed.log_precision
        return 0.0 if weights is None or name != "dispersion" else float(np.mean(weights[np.isfinite(weights)]))

    def evaluate(
        self,
        x: Array,
        integrate: Integrator = LaplaceEvaluation,
        near: ModeState | None = None,
        tolerance: float = TOLERANCE,
    ) -> MarginalEvaluation:
        """Evaluate an approximation of the log-likelihood at ``x`` (k,), on the inner scale.

        Parameters
        ----------
        x : (k,)
        integrate : Integrator
            The approximation.
        near : ModeState, optional
            Whose mode says where to look for the one at ``x``.
        tolerance : float
            Of :func:`~mixedfx.criterion.mode.find_mode`.
        """
        return integrate(mode_state(self.model, x, near, tolerance))

    def gradient_to_user(self, user: Array, gradient: Array, by_covariance: Sequence[Array]) -> Array:
        """Return the gradient (k,) of a criterion on the user's scale, at ``user`` (k,).

        Parameters
        ----------
        user, gradient : (k,)
            Parameters on the user's scale; gradient on the inner one.
        by_covariance : sequence of (Q, Q)
            Derivative in the covariance of every factor, from which the gradient follows where a covariance is
            singular and the map of its parameters cannot be inverted. (That of a quadrature is exact only there.)
        """
        out = np.array(gradient, dtype=float)
        for at, fixed in self.coefficients:
            out[at] = np.linalg.solve(fixed.matrix.T, gradient[at])
        if self.level is not None:
            out[: self.model.n_fixed] -= self.basis.centre * gradient[self.level]
        span = self.theta_slice
        theta, jacobian = out[span], self.jacobian_to_user(self.to_inner(user))[span, span]
        for basis, slot in zip(self.terms, self.covariance.terms, strict=True):
            block = jacobian[slot.theta, slot.theta]
            if np.isfinite(block).all() and np.linalg.cond(block) < SINGULAR_MAP:
                theta[slot.theta] = np.linalg.solve(block.T, gradient[span][slot.theta])
                continue
            n = by_covariance[slot.factor][slot.coefficients, slot.coefficients]
            theta[slot.theta] = basis.gradient_to_user(user[span][slot.theta], n)
        return out

    def jacobian_to_user(self, x: Array) -> Array:
        """Return the derivative (k, k) of :meth:`to_user` at an inner ``x``."""
        out = np.eye(x.size)
        out[x.size - len(self.phi_slopes) :] = self.phi_slopes
        for at, fixed in self.coefficients:
            out[at, at] = fixed.matrix
        offset, theta = self.theta_slice.start, x[self.theta_slice]
        for basis, slot in zip(self.terms, self.covariance.terms, strict=True):
            span = slice(offset + slot.theta.start, offset + slot.theta.stop)
            exact = basis.jacobian_to_user(theta[slot.theta])
            out[span, span] = exact if np.isfinite(exact).all() else _differences(basis, theta[slot.theta])
        return out

    @cached_property
    def component_slices(self) -> dict[str, slice]:
        """Positions of the coefficients of every further linear predictor among all parameters."""
        stop = self.theta_slice.stop
        pairs = zip(self.components, self.model.extra_slices, strict=False)
        return {c.name: slice(stop + at.start, stop + at.stop) for c, at in pairs}

    def roots(self, x: Array) -> list[Array]:
        """Return ``R`` (q, q) with ``R R'`` the covariance on the user's scale, of every term, at an inner ``x``."""
        return self._roots(x[self.theta_slice])

    def covariances(self, x: Array) -> list[Array]:
        """Return the covariance (q, q) of every term on the user's scale, at an inner ``x``."""
        return [root @ root.T for root in self.roots(x)]


def _differences(basis: TermBasis, theta: Array) -> Array:
    """Central differences of one term's map to the user's scale, for directions that a singular covariance has left."""
    size = max(float(np.abs(theta).max()), 1e-3)
    columns = []
    for i in range(theta.size):
        shift = np.zeros_like(theta)
        shift[i] = MAP_STEP * size
        columns.append((basis.to_user(theta + shift) - basis.to_user(theta - shift)) / (2.0 * MAP_STEP * size))
    return np.array(columns).T


def generalized_problem(
    design: Design,
    family: Family,
    observed: Observed,
    *,
    information: Information,
    components: Sequence[Component] = (),
    penalty: float = 0.0,
    most_exact: float = REMAINDERS["auto"],
) -> GeneralizedProblem:
    """Re-base the columns of a design and put the rows together.

    Parameters
    ----------
    design : Design
    family : Family
        With one linear predictor more than ``components``.
    observed : Observed
        The response.
    information : Information
        Whose determinant the Laplace approximation takes.
    components : sequence of Component
        The further linear predictors, in the order of the family.
    penalty : float
        Precision of the normal prior on every fixed effect but the intercept, with columns of standard deviation 1.
    most_exact : float
        Crossed random effects beside the largest factor that are factorised, rather than solved by iteration.
    """
    n = len(design.index)
    has_levels = not family.has_intercept and family.parameters[0].name in family.phi_names
    basis, X, _ = fixed_basis(design.fixed.matrix, np.zeros(n), scale_response=False, has_levels=has_levels)
    assembly, terms = assembled(design, np.zeros((n, 0)), most_exact=most_exact)
    further = [fixed_basis(c.matrix, np.zeros(n), scale_response=False) for c in components]
    shift = _location_shift(family, observed, basis)
    basis = replace(basis, origin=shift * basis.intercept)
    auxiliaries = [Auxiliary(inner) for _, inner, _ in further] + [Auxiliary(np.ones((1, 1))) for _ in family.phi_names]
    model = MarginalModel(
        RowMap(assembly.rows),
        assembly.covariance,
        X,
        np.broadcast_to(0.0, n) if design.offset is None else design.offset,
        FamilyLikelihood(family, _shifted(observed, shift), information),
        tuple(auxiliaries),
        RidgePenalty(_prior_precision(design, basis, penalty)),
    )
    bases = (basis, *(b for b, _, _ in further))
    return GeneralizedProblem(
        design, assembly, bases, terms, family, observed, model, tuple(components), shift, penalty, most_exact
    )


def _location_shift(family: Family, observed: Observed, basis: FixedBasis) -> float:
    """A data value near the mean where the mean is a location and the intercept can take it up; else 0."""
    if not (family.is_location and basis.intercept.any() and observed.n):
        return 0.0
    return float(observed.y[np.argmin(np.abs(observed.y - observed.y.mean()))])


def _shifted(observed: Observed, shift: float) -> Observed:
    return observed if shift == 0.0 else replace(observed, y=observed.y - shift)


def _prior_precision(design: Design, basis: FixedBasis, penalty: float) -> Array:
    """Precision (p, p) on the inner scale of the prior on the user's coefficients."""
    variances = design.fixed.matrix.var(axis=0)
    return np.asarray(basis.matrix.T @ (penalty * variances[:, None] * basis.matrix))
