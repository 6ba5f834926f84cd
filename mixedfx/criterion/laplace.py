"""The Laplace approximation of a generalised mixed model's log-likelihood, with its exact gradient.

With ``l`` the log-likelihood of the rows, and ``g, W`` its derivative and minus its second one at the conditional mode,

    ``f(beta, theta, phi) = -2 l(y | eta) + t'b + log|I + Z'WZ Sigma|``,   ``b = Sigma t``, ``t = Z'g``,

which is minus twice the approximate log-likelihood. With ``h_i = z_i' K z_i``, ``a = h o W' / 2`` (W' the derivative in
eta), ``r = (I + Z'WZ Sigma)^-1 Z'a`` and ``v = Z Sigma r`` (one adjoint solve for the mode's movement),

    ``df/dbeta = 2 X' (-g + a - W o v)``,
    ``df/dSigma = sum over levels [Z'V^-1 Z - t t' + r t' + t r']_ll``,
    ``df/dphi = 2 sum (-dl/dphi + h o dW/dphi / 2 + v o dg/dphi)``.

With the fixed effects profiled out (:class:`ProfiledEvaluation`), ``beta`` maximises the penalised log-likelihood
together with the random effects instead of the Laplace approximation: quick, and slightly off. lme4 calls it
``nAGQ = 0``.

References
----------
Tierney & Kadane (1986), JASA 81, 82; Kristensen et al. (2016), J. Stat. Softw. 70(5), for observed information;
Breslow & Clayton (1993), JASA 88, 9, for the working linear model that supplies the curvature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfx._lazy import cached_property
from mixedfx._typing import Array
from mixedfx.criterion.marginal import MarginalModel
from mixedfx.criterion.mode import ModeState, find_joint_mode, working_curvature

__all__ = ["Adjoint", "LaplaceEvaluation", "ProfiledEvaluation", "first_order_mean", "profiled"]


@dataclass(frozen=True)
class Adjoint:
    """How the criterion changes when the mode moves: ``r`` (q,) and ``v = Z Sigma r`` (n,)."""

    a: Array
    r: Array
    v: Array


@dataclass(frozen=True)
class LaplaceEvaluation:
    """Minus twice the Laplace log-likelihood at one point; each part is computed when asked for."""

    state: ModeState

    @property
    def x(self) -> Array:
        """All parameters: fixed effects, theta, auxiliary parameters."""
        return self.state.x

    @property
    def model(self) -> MarginalModel:
        """The model that was evaluated."""
        return self.state.model

    @property
    def theta(self) -> Array:
        """Covariance parameters."""
        return self.state.parts.theta

    @cached_property
    def value(self) -> float:
        """Minus twice the log-likelihood, all constants included; ``inf`` where no mode with a maximum was found."""
        state = self.state
        if not state.mode.converged:
            return np.inf
        try:
            logdet = state.determinant_factor.logdet
        except FloatingPointError:
            return np.inf
        total = -2.0 * state.log_likelihood + float(state.mode.t @ state.mode.b) + logdet
        return total + self.model.penalty.value(state.parts.beta)

    @cached_property
    def leverages(self) -> Array:
        """``h_i = z_i' K z_i`` (n,): the conditional variance of the linear predictor."""
        return self.model.space.leverages(self.state.determinant_factor.inverse)

    @cached_property
    def adjoint(self) -> Adjoint:
        """How the determinant changes when the mode moves."""
        space, state = self.model.space, self.state
        a = 0.5 * self.leverages * state.expansion.determinant.slope
        inside, outside = space.solve(state.factor, space.collect(a[:, None]))
        return Adjoint(a, outside[:, 0], space.spread(inside[:, 0]))

    @cached_property
    def covariance_deviations(self) -> tuple[Array, ...]:
        """By how much ``N`` of each random probe (K, Q, Q) differs from the mean, by factor; empty if exact."""
        state, space = self.state, self.model.space
        expansion = state.determinant_factor.expansion
        if expansion is None:
            return ()
        slope, sides = 0.5 * state.expansion.determinant.slope, []
        for left, right in zip(expansion.left.T[expansion.exact :], expansion.right.T[expansion.exact :], strict=True):
            sides.append(space.collect((slope * space.spread(left) * space.spread(right))[:, None]))
        whole = np.concatenate(sides, axis=1)
        _, moved = space.solve(state.factor, np.ascontiguousarray(expansion.spread(whole.T).T))
        out = []
        information = state.determinant_factor.information_deviations()
        for of_factor, t, r in zip(information, space.split(state.mode.t), space.split(moved), strict=True):
            cross = np.einsum("amk,bm->kab", r, t)
            out.append(of_factor + cross + cross.swapaxes(1, 2))
        return tuple(out)

    @cached_property
    def covariance_gradient(self) -> tuple[Array, ...]:
        """``N`` (Q, Q) by factor: the derivative with respect to the covariance."""
        space, out = self.model.space, []
        t, r = space.split(self.state.mode.t), space.split(self.adjoint.r)
        for information, t_f, r_f in zip(self.state.determinant_factor.information(), t, r, strict=True):
            cross = r_f @ t_f.T
            out.append(information.sum(axis=2) - t_f @ t_f.T + cross + cross.T)
        return tuple(out)

    @property
    def level_slopes(self) -> tuple[Array, ...]:
        """Derivatives (k, m) of :attr:`value` in the covariance parameters of each factor, by level of the factor."""
        state, space, out = self.state, self.model.space, []
        t, r = space.split(state.mode.t), space.split(self.adjoint.r)
        parts = zip(state.determinant_factor.information(), t, r, state.sigma_derivatives, strict=True)
        for information, t_f, r_f, derivative in parts:
            cross = r_f[:, None] * t_f[None]
            by_level = information - t_f[:, None] * t_f[None] + cross + cross.swapaxes(0, 1)
            out.append(np.tensordot(derivative, by_level, axes=2))
        return tuple(out)

    @cached_property
    def gradient(self) -> Array:
        """Exact gradient (len(x),)."""
        state, model = self.state, self.model
        beta = model.X.T @ self.row_slopes
        theta = model.covariance.gradient(state.sigma_derivatives, self.covariance_gradient)
        extra = [m.T @ slope for m, slope in zip(model.auxiliary_matrices, self.auxiliary_slopes, strict=True)]
        return np.concatenate([beta + model.penalty.gradient(state.parts.beta), theta, *extra])

    @property
    def row_slopes(self) -> Array:
        """Derivative (n,) of :attr:`value`, without penalty, in the fixed part of each row's linear predictor."""
        adjoint, e = self.adjoint, self.state.expansion
        return np.asarray(2.0 * (adjoint.a - e.gradient - e.observed.weight * adjoint.v))

    @property
    def auxiliary_slopes(self) -> list[Array]:
        """Derivatives (n,) of :attr:`value` in every auxiliary variable of each row."""
        adjoint, e = self.adjoint, self.state.expansion
        return [
            2.0 * (0.5 * self.leverages * slope + adjoint.v * part.mixed - part.slope)
            for slope, part in zip(e.determinant.auxiliary, e.auxiliary, strict=True)
        ]

    def weight_movement(self, rows: slice) -> Array:
        """Derivatives (m, k) of the determinant's weights in all parameters, through the mode's movement too."""
        state, model = self.state, self.model
        curve, (db, _) = state.expansion.determinant, state.movement
        out = model.space.spread_columns(db, rows)
        out[:, : model.n_fixed] += model.X[rows]
        out *= curve.slope[rows, None]
        for at, matrix, part in zip(model.extra_slices, model.auxiliary_matrices, curve.auxiliary, strict=True):
            place = slice(model.theta_slice.stop + at.start, model.theta_slice.stop + at.stop)
            out[:, place] += matrix[rows] * part[rows, None]
        return out

    @cached_property
    def gradient_deviations(self) -> Array:
        """By how much the gradient by each random probe (K, len(x)) differs from their mean; K = 0 if it is exact.

        That of the log-determinant is ``sum_i h_i dW_i + tr(Z'V^-1 Z dSigma)``, dW the total derivatives.
        """
        state, model = self.state, self.model
        factor = state.determinant_factor
        expansion = factor.expansion
        if expansion is None:
            return np.zeros((0, self.x.size))
        sums = model.space.expanded_sums(expansion, self.weight_movement, self.x.size)
        out = expansion.spread(sums[expansion.exact :])
        information = factor.information_deviations()
        for k, row in enumerate(out):
            by_covariance = [of_factor[k] for of_factor in information]
            row[model.theta_slice] += model.covariance.gradient(state.sigma_derivatives, by_covariance)
        return out

    def lighten(self) -> None:
        """Compute what a search asks of a point, and drop the rest of what has the length of the data."""
        for name in ("gradient", "covariance_gradient", "curvature"):
            getattr(self, name)
        self.state.lighten()
        for name in ("leverages", "adjoint"):
            self.__dict__.pop(name, None)

    @property
    def curvature_is_exact(self) -> bool:
        """Whether :attr:`curvature` is the Hessian itself."""
        return False

    def moments(self, matrix: Array) -> None:
        """Return None: there are no nodes."""

    @cached_property
    def curvature(self) -> Array:
        """Hessian (len(x), len(x)) of the working linear model, with the average information for theta."""
        return working_curvature(self.state, self.covariance_gradient)


@dataclass(frozen=True)
class ProfiledEvaluation:
    """Minus twice the Laplace log-likelihood at the profiled ``beta``, as a function of the other parameters."""

    inner: LaplaceEvaluation

    @property
    def value(self) -> float:
        """Minus twice the log-likelihood."""
        return self.inner.value

    @cached_property
    def information(self) -> Array:
        """``X'V^-1 X`` (p, p) of the working linear model."""
        state, p = self.inner.state, self.inner.model.n_fixed
        own, side = state.fixed_sides
        return np.asarray(own + side.T @ state.movement[0][:, :p])

    @cached_property
    def _fixed_movement(self) -> Array:
        """Derivative (p, k) of the profiled ``beta`` in the other parameters.

        Raises
        ------
        FloatingPointError
            If the rows say nothing of some combination of the fixed effects.
        """
        state, model, p = self.inner.state, self.inner.model, self.inner.model.n_fixed
        change = -state.fixed_sides[1].T @ state.movement[0][:, p:]
        mixed = [
            m * part.mixed[:, None] for m, part in zip(model.auxiliary_matrices, state.expansion.auxiliary, strict=True)
        ]
        if mixed:
            change[:, model.covariance.n_theta :] += model.X.T @ np.concatenate(mixed, axis=1)
        try:
            return np.asarray(np.linalg.solve(self.information, change))
        except np.linalg.LinAlgError:
            raise FloatingPointError("the information about the fixed effects is singular") from None

    @cached_property
    def gradient(self) -> Array:
        """Exact gradient (k,) in theta and the auxiliary parameters."""
        p = self.inner.model.n_fixed
        gradient = self.inner.gradient
        return np.asarray(gradient[p:] + self._fixed_movement.T @ gradient[:p])

    @property
    def curvature_is_exact(self) -> bool:
        """Whether :attr:`curvature` is the Hessian itself."""
        return False

    @cached_property
    def curvature(self) -> Array:
        """Approximate Hessian (k, k)."""
        p, whole = self.inner.model.n_fixed, self.inner.curvature
        if p == 0:
            return whole
        try:
            moved = np.linalg.solve(whole[:p, :p], whole[:p, p:])
        except np.linalg.LinAlgError:
            raise FloatingPointError("the information about the fixed effects is singular") from None
        return np.asarray(whole[p:, p:] - whole[p:, :p] @ moved)


def profiled(model: MarginalModel, outer: Array, near: tuple[Array, Array]) -> ProfiledEvaluation:
    """Evaluate at ``outer = (theta, extra)``, the search starting from fixed and random effects ``near``."""
    k = model.covariance.n_theta
    auxiliary = model.auxiliary_values(outer[k:])

    def quadratic(eta: Array) -> tuple[Array, Array, Array]:
        return model.likelihood.quadratic(eta, auxiliary)

    factors = model.covariance.factors(outer[:k])
    mode = find_joint_mode(model.space, quadratic, model.X, model.offset, factors, near)
    return ProfiledEvaluation(LaplaceEvaluation(ModeState(model, np.concatenate([mode.beta, outer]), mode)))


def first_order_mean(at: LaplaceEvaluation) -> Array:
    """Return the conditional mean (q,) of all effects to first order: the mode less ``K Z'a``.

    Notes
    -----
    ``E b = b^ + K Z' l''' h / 2 + ...``: the correction of a mode by the third derivative (Tierney & Kadane 1986).
    """
    space, state = at.model.space, at.state
    inside, _ = space.solve(state.factor, space.collect(at.adjoint.a[:, None]))
    return np.asarray(state.mode.b - inside[:, 0])
