"""The Laplace approximation of a generalised mixed model's log-likelihood, with its exact gradient.

With ``l`` the log-likelihood of the rows, and ``g, W`` its derivative and minus its second one at the conditional mode,

    ``f(beta, theta, phi) = -2 l(y | eta) + t'b + log|I + Z'WZ Sigma|``,   ``b = Sigma t``, ``t = Z'g``,

which is minus twice the approximate log-likelihood. With ``h_i = z_i' K z_i``, ``a = h o W' / 2`` (W' the derivative in
eta), ``r = (I + Z'WZ Sigma)^-1 Z'a`` and ``v = Z Sigma r`` (one adjoint solve for the mode's movement),

    ``df/dbeta = 2 X' (-g + a - W o v)``,
    ``df/dSigma = sum over levels [Z'V^-1 Z - t t' + r t' + t r']_ll``,
    ``df/dphi = 2 sum (-dl/dphi + h o dW/dphi / 2 + v o dg/dphi)``.

References
----------
Tierney & Kadane (1986), JASA 81, 82; Kristensen et al. (2016), J. Stat. Softw. 70(5), for observed information;
Breslow & Clayton (1993), JASA 88, 9, for the working linear model that supplies the curvature.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.marginal import MarginalModel
from mixedfx.criterion.mode_state import ModeState, working_curvature

__all__ = ["Adjoint", "LaplaceEvaluation"]


@dataclass(frozen=True)
class Adjoint:
    """How the criterion answers to a movement of the mode: ``r`` (q,) and ``v = Z Sigma r`` (n,)."""

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
        total = -2.0 * float(state.expansion.value.sum()) + float(state.mode.t @ state.mode.b) + logdet
        return total + self.model.penalty.value(state.parts.beta)

    @cached_property
    def leverages(self) -> Array:
        """``h_i = z_i' K z_i`` (n,): the conditional variance of the linear predictor."""
        return self.model.space.leverages(self.state.determinant_factor.inverse)

    @cached_property
    def adjoint(self) -> Adjoint:
        """The movement of the mode, seen from the determinant."""
        space, state = self.model.space, self.state
        a = 0.5 * self.leverages * state.expansion.determinant.slope
        inside, outside = space.solve(state.factor, space.collect(a[:, None]))
        return Adjoint(a, outside[:, 0], space.spread(inside[:, 0]))

    @cached_property
    def covariance_gradient(self) -> tuple[Array, ...]:
        """``N`` (Q, Q) by factor: the derivative with respect to the covariance."""
        space, out = self.model.space, []
        t, r = space.split(self.state.mode.t), space.split(self.adjoint.r)
        for own, t_f, r_f in zip(self.state.determinant_factor.information(), t, r, strict=True):
            cross = r_f @ t_f.T
            out.append(own.sum(axis=2) - t_f @ t_f.T + cross + cross.T)
        return tuple(out)

    @cached_property
    def gradient(self) -> Array:
        """Exact gradient (len(x),)."""
        state, model, adjoint = self.state, self.model, self.adjoint
        e = state.expansion
        beta = 2.0 * (model.X.T @ (adjoint.a - e.gradient - e.observed.weight * adjoint.v))
        theta = np.zeros(model.covariance.n_theta)
        for own, n, d in zip(
            model.covariance.by_factor, self.covariance_gradient, state.sigma_derivatives, strict=True
        ):
            theta[own] = d.reshape(len(own), -1) @ n.ravel()
        extra = [
            2.0 * (matrix.T @ (0.5 * self.leverages * slope + adjoint.v * part.mixed - part.slope))
            for matrix, slope, part in zip(model.auxiliary_matrices, e.determinant.auxiliary, e.auxiliary, strict=True)
        ]
        return np.concatenate([beta + model.penalty.gradient(state.parts.beta), theta, *extra])

    @property
    def curvature_is_exact(self) -> bool:
        """Whether :attr:`curvature` is the Hessian itself."""
        return False

    @cached_property
    def curvature(self) -> Array:
        """Hessian (len(x), len(x)) of the working linear model, with the average information for theta."""
        return working_curvature(self.state, self.covariance_gradient)
