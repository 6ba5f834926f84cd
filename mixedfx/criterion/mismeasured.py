"""The joint likelihood of a response and of measurements of its predictors, and its exact gradient.

With :mod:`mixedfx.criterion.exposure`'s law of the true values given their measurements, ``x | w ~ N(m, V)``, the
linear predictor of a row is ``z'beta_z + m'b + e``, ``e ~ N(0, b'V b)``: that of the model of the response with m in
the place of the measurement, and one more normal error. Where a true value belongs to a row, the family takes the error
(:mod:`mixedfx.families.blurred`), and so one integral a row, whatever the number of values; where it belongs to a
group, a random effect of the group is the error, with standard deviation ``|b| sqrt(V)``. Neither the mean nor the size
of the error is free of the parameters of the measurements, which the response therefore informs too.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.criterion.evaluation import Integrator
from mixedfx.criterion.exposure import Exposure, Posterior
from mixedfx.criterion.generalized_problem import GeneralizedProblem
from mixedfx.criterion.marginal import MarginalModel
from mixedfx.criterion.mode import mode_state

__all__ = ["JointEvaluation", "JointProblem", "RowsEvaluation"]

SMALLEST_LOG_SD = -12.0  # of true values and errors, relative to the measurements: a variance of zero
STEP, CENTRAL_STEP = 1e-6, 1e-4  # of differences of the gradient, relative to a parameter …
VALUE_STEP = 1e-3  # … and of the value, by a five-point rule
STENCIL = ((-2.0, 1.0), (-1.0, -8.0), (1.0, 8.0), (2.0, -1.0))  # offsets and weights / 12
FAR = 0.1  # change of the criterion, by a Hessian, beyond which that is computed again
SAME = 1e-12  # relative difference of the errors of groups that are equal
LEAST_SIZE = 0.1  # a parameter below this size moves as if it had it


@dataclass(frozen=True)
class RowsEvaluation:
    """Minus twice the log-likelihood of a model without random effects: a sum over rows."""

    model: MarginalModel
    x: Array

    @cached_property
    def _scores(self) -> tuple[Array, Array, tuple[Array, ...]]:
        parts = self.model.parts(self.x)
        auxiliary = self.model.auxiliary_values(parts.extra)
        return self.model.likelihood.scores(self.model.fixed_part(parts.beta), auxiliary)

    @cached_property
    def value(self) -> float:
        """The criterion."""
        return -2.0 * float(self._scores[0].sum())

    @property
    def state(self) -> None:
        """None: there is no mode."""

    @property
    def row_slopes(self) -> Array:
        """Derivative (n,) in the linear predictors."""
        return -2.0 * self._scores[1]

    @property
    def auxiliary_slopes(self) -> list[Array]:
        """Derivatives (n,) in the auxiliary variables."""
        return [-2.0 * slope for slope in self._scores[2]]

    @property
    def gradient(self) -> Array:
        """Exact gradient (k,)."""
        matrices = self.model.auxiliary_matrices
        extra = [m.T @ slope for m, slope in zip(matrices, self.auxiliary_slopes, strict=True)]
        return np.concatenate([self.model.X.T @ self.row_slopes, *extra])


@dataclass(frozen=True)
class JointProblem:
    """The joint likelihood as a function of ``x = (beta, theta, extra, psi)`` on the inner scale.

    Attributes
    ----------
    problem : GeneralizedProblem
        Of the response: with a blurred family where rows have true values, with a last random term where groups have.
    exposure : Exposure
        Of the measurements; ``psi`` are its parameters.
    integrate : Integrator
        How random effects are integrated out.
    """

    problem: GeneralizedProblem
    exposure: Exposure
    integrate: Integrator

    @property
    def of_groups(self) -> bool:
        """Whether a true value belongs to a group."""
        return self.exposure.data.codes is not None

    @cached_property
    def own(self) -> IntArray:
        """Positions of those parameters of :attr:`problem` that are free: not the size of the last random term."""
        k = np.arange(self.problem.n_parameters)
        return np.asarray(k[k != self._latent] if self.of_groups else k)

    @property
    def _latent(self) -> int:
        return int(self.problem.theta_slice.stop) - 1

    @property
    def n_own(self) -> int:
        """Number of parameters before psi."""
        return len(self.own)

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds (k,) of ``x``."""
        lower, upper = self.problem.bounds
        exposure, K = self.exposure, self.exposure.n_values
        low = np.full(exposure.n_psi, -np.inf)
        rows, columns = np.tril_indices(K)
        low[exposure.n_gamma + np.flatnonzero(rows == columns)] = SMALLEST_LOG_SD
        low[exposure.n_gamma + rows.size :] = SMALLEST_LOG_SD
        return np.concatenate([lower[self.own], low]), np.concatenate([upper[self.own], np.full(low.size, np.inf)])

    def slopes_of(self, x: Array) -> Array:
        """Return the coefficients (K,) of the true values on the user's scale."""
        basis = self.problem.bases[0]
        return np.asarray(basis.beta(x[: self.problem.model.n_fixed])[self.exposure.data.places])

    @cached_property
    def unit(self) -> float:
        """The inner size of the last random term where its standard deviation is 1 on the user's scale."""
        return float(self.problem.terms[-1].to_inner(np.ones(1))[0])

    def whole(self, x: Array) -> Array:
        """Return the parameters of :attr:`problem`, the size of the last random term among them."""
        if not self.of_groups:
            return x[: self.n_own]
        out = np.zeros(self.problem.n_parameters)
        out[self.own] = x[: self.n_own]
        out[self._latent] = self.unit * abs(self.slopes_of(x)[0])
        return out

    def model_at(self, x: Array, posterior: Posterior) -> MarginalModel:
        """Return the model of the response given the measurements."""
        model, data, b = self.problem.model, self.exposure.data, self.slopes_of(x)
        offset = model.offset + data.at_rows((posterior.mean - data.means) @ b)
        if self.of_groups:
            sd = data.at_rows(np.sqrt(np.maximum(posterior.covariance[:, 0, 0], 0.0)))
            return replace(model, offset=offset, space=self._scaled(sd))
        place = self._error
        auxiliaries = list(model.auxiliaries)
        auxiliaries[place] = replace(auxiliaries[place], offset=self.spread(b, posterior.covariance))
        return replace(model, offset=offset, auxiliaries=tuple(auxiliaries))

    @property
    def _error(self) -> int:
        """Position of the error among the auxiliary variables: the last linear predictor."""
        return len(self.problem.components) - 1

    @staticmethod
    def spread(b: Array, V: Array) -> Array:
        """Return the standard deviation (n,) of what the measurements leave open of the linear predictor."""
        return np.asarray(np.sqrt(np.maximum(np.einsum("k,ikl,l->i", b, V, b), 0.0)))

    def _scaled(self, sd: Array) -> Any:
        """The incidence of the random effects with the last term's column times ``sd`` (n,)."""
        space, slot = self.problem.model.space, self.problem.covariance.terms[-1]
        z = list(space.rows.z)
        moved = np.array(z[slot.factor])
        moved[slot.coefficients] *= sd
        z[slot.factor] = moved
        return type(space)(replace(space.rows, z=tuple(z)))

    def evaluate(self, x: Array, near: JointEvaluation | None = None) -> JointEvaluation:
        """Evaluate minus twice the joint log-likelihood."""
        posterior = self.exposure.posterior(x[self.n_own :])
        model, whole = self.model_at(x, posterior), self.whole(x)
        known = None if near is None else near.known_hessian
        if not self.problem.design.random:
            return JointEvaluation(self, x, posterior, RowsEvaluation(model, whole), known)
        state = mode_state(model, whole, None if near is None else near.response.state)
        return JointEvaluation(self, x, posterior, self.integrate(state), known)


@dataclass(frozen=True)
class JointEvaluation:
    """Minus twice the joint log-likelihood at one place.

    Attributes
    ----------
    joint : JointProblem
    x : (k,)
    posterior : Posterior
        The true values given their measurements.
    response
        The evaluation of the response given the measurements.
    known : tuple of (k,) and (k, k), or None
        Where a Hessian was computed nearby, and that Hessian.
    """

    joint: JointProblem
    x: Array
    posterior: Posterior
    response: Any
    known: tuple[Array, Array] | None = field(default=None, repr=False)

    @cached_property
    def value(self) -> float:
        """The criterion, all constants included."""
        return float(self.response.value) - 2.0 * float(self.posterior.llf)

    @cached_property
    def gradient(self) -> Array:
        """Gradient (k,): exact but for the size of a group's error, whose derivative is a difference of values."""
        joint, data = self.joint, self.joint.exposure.data
        b, slopes = joint.slopes_of(self.x), joint.exposure.slopes(self.x[joint.n_own :])
        whole, rows = np.array(self.response.gradient), data.sums(self.response.row_slopes)
        by_b = (self.posterior.mean - data.means).T @ rows
        by_psi = np.einsum("juk,k,u->j", slopes.mean, b, rows) - 2.0 * slopes.llf
        if joint.of_groups:
            by_b = by_b + np.sign(b) * whole[joint._latent] * joint.unit
            by_psi = by_psi + self._by_spread(slopes)
        else:
            V, s = self.posterior.covariance, joint.spread(b, self.posterior.covariance)
            errors = np.divide(self.response.auxiliary_slopes[joint._error], s, out=np.zeros_like(s), where=s > 0)
            by_b = by_b + np.einsum("ikl,l,i->k", V, b, errors)
            by_psi = by_psi + 0.5 * np.einsum("k,jikl,l,i->j", b, slopes.covariance, b, errors)
        whole[: joint.problem.model.n_fixed] += joint.problem.bases[0].matrix[data.places].T @ by_b
        return np.concatenate([whole[joint.own], by_psi])

    def _by_spread(self, slopes: Posterior) -> Array:
        """Derivative in psi (k,) through the size of a group's error alone."""
        joint, v = self.joint, self.posterior.covariance[:, 0, 0]
        if np.ptp(v) <= SAME * v.max():  # one size for all groups: as if the term's standard deviation changed
            at = joint._latent
            size = float(joint.whole(self.x)[at])
            moved = 0.5 * slopes.covariance[:, 0, 0, 0] / max(float(v[0]), np.finfo(float).tiny)
            return np.asarray(self.response.gradient[at] * size * moved)
        out, start = np.zeros(joint.exposure.n_psi), joint.n_own
        whole, state = joint.whole(self.x), self.response.state
        for j in range(joint.exposure.n_gamma, out.size):
            for offset, weight in STENCIL:
                psi = self.x[start:].copy()
                psi[j] += offset * VALUE_STEP
                moved = replace(self.posterior, covariance=joint.exposure.posterior(psi).covariance)
                there = joint.integrate(mode_state(joint.model_at(self.x, moved), whole, state))
                out[j] += weight * there.value / (12.0 * VALUE_STEP)
        return out

    @cached_property
    def anchor(self) -> tuple[Array, Array]:
        """Where a Hessian (k, k) near here was computed, and that Hessian: here, if the last one is too far away."""
        if self.known is not None:
            moved = self.x - self.known[0]
            if abs(float(moved @ self.known[1] @ moved)) < FAR:
                return self.known
        return self.x, self.hessian(central=False)

    @property
    def known_hessian(self) -> tuple[Array, Array] | None:
        """:attr:`anchor`, if it was asked for: that of a point which a search accepted."""
        found: tuple[Array, Array] | None = self.__dict__.get("anchor")
        return found

    @property
    def curvature(self) -> Array:
        """Hessian (k, k) nearby, by forward differences of the gradient."""
        return self.anchor[1]

    @property
    def curvature_is_exact(self) -> bool:
        """Whether :attr:`curvature` is the Hessian itself."""
        return False

    def hessian(self, *, central: bool = True) -> Array:
        """Return the Hessian (k, k) by differences of the gradient."""
        lower, upper = self.joint.bounds
        rows = []
        for j in range(self.x.size):
            step = (CENTRAL_STEP if central else STEP) * max(abs(self.x[j]), LEAST_SIZE)
            ends = []
            for sign in (1.0, -1.0) if central else (1.0,):
                moved = self.x.copy()
                moved[j] = np.clip(moved[j] + sign * step, lower[j], upper[j])
                ends.append((moved[j], self.joint.evaluate(moved, self).gradient))
            if not central:
                ends.append((self.x[j], self.gradient))
            rows.append((ends[0][1] - ends[1][1]) / (ends[0][0] - ends[1][0] or np.inf))
        out = np.array(rows)
        return np.asarray(0.5 * (out + out.T))
