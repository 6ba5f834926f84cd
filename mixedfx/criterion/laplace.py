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
from mixedfx.criterion.expansion import Expansion
from mixedfx.criterion.marginal import MarginalModel, Parts
from mixedfx.criterion.pirls import Mode, find_mode
from mixedfx.linalg.factor import BlockFactor, factorize
from mixedfx.linalg.gram import Gram, cross_products

__all__ = ["Adjoint", "LaplaceEvaluation", "ModeState", "laplace"]


@dataclass(frozen=True)
class ModeState:
    """The conditional mode at one value of the parameters, and the factorised equations there."""

    model: MarginalModel
    x: Array
    mode: Mode

    @cached_property
    def parts(self) -> Parts:
        """``beta``, ``theta`` and the auxiliary parameters."""
        return self.model.parts(self.x)

    @cached_property
    def factors(self) -> list[Array]:
        """``T`` of every grouping factor."""
        return self.model.covariance.factors(self.parts.theta)

    @cached_property
    def auxiliary(self) -> list[Array]:
        """Values of the auxiliary variables."""
        return self.model.auxiliary_values(self.parts.extra)

    @cached_property
    def expansion(self) -> Expansion:
        """The log-likelihood of the rows around the mode."""
        return self.model.likelihood.expansion(self.mode.eta, self.auxiliary)

    @cached_property
    def gram(self) -> Gram:
        """Cross-products with the observed weights."""
        return cross_products(self.model.space.rows, self.expansion.observed.weight)

    @cached_property
    def factor(self) -> BlockFactor:
        """The equations of the mode, factorised (observed weights)."""
        return factorize(self.gram, self.factors)

    @cached_property
    def determinant_factor(self) -> BlockFactor:
        """The factor whose determinant is the Laplace approximation's."""
        curves = self.expansion
        if curves.determinant is curves.observed:
            return self.factor
        return factorize(cross_products(self.model.space.rows, curves.determinant.weight), self.factors)

    @cached_property
    def sigma_derivatives(self) -> list[Array]:
        """``dSigma / dtheta`` (k_f, Q, Q) by factor, for the factor's own parameters."""
        derivatives = self.model.covariance.derivatives(self.parts.theta)
        products = [d @ t.T for d, t in zip(derivatives, self.factors, strict=True)]
        return [half + half.swapaxes(1, 2) for half in products]

    @cached_property
    def theta_sides(self) -> Array:
        """``(dSigma / dtheta_i) t`` (q, k): what the effects gain directly when theta moves."""
        model, t = self.model, self.model.space.split(self.mode.t)
        out = np.zeros((model.space.n_effects, model.covariance.n_theta))
        for f, (own, d) in enumerate(zip(model.covariance.by_factor, self.sigma_derivatives, strict=True)):
            block = np.tensordot(d, t[f], axes=(2, 0))
            out[model.space.starts[f] : model.space.starts[f + 1], own] = block.reshape(own.size, -1).T
        return out

    @cached_property
    def movement(self) -> tuple[Array, Array]:
        """Derivatives of the mode, ``db/dx`` and ``dt/dx`` (q, len(x)): one solve with a side a parameter."""
        model = self.model
        weighted = self.expansion.observed.weight
        sides = [-model.space.collect(model.X * weighted[:, None]), -self._gram_times(self.theta_sides)]
        sides += [
            model.space.collect(derivative[:, None] * matrix)
            for derivative, matrix in zip(
                [part.mixed for part in self.expansion.auxiliary], model.auxiliary_matrices, strict=True
            )
        ]
        b, t = model.space.solve(self.factor, np.concatenate(sides, axis=1))
        b[:, model.theta_slice] += self.theta_sides
        return b, t

    def _gram_times(self, effects: Array) -> Array:
        """``Z'WZ effects`` for effects (q, c)."""
        model, layout = self.model, self.model.space.rows.layout
        out = np.zeros_like(effects)
        for f, part in enumerate(model.space.split(effects)):
            own = model.covariance.by_factor[f]
            if own.size:
                chain, rest = self.gram.times(f, np.ascontiguousarray(part[:, :, own]))
                out[:, own] += np.concatenate([*[c.reshape(-1, own.size) for c in chain], rest])
        assert layout.n_factors == len(model.covariance.by_factor)
        return out


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


def working_curvature(state: ModeState, covariance_gradient: tuple[Array, ...]) -> Array:
    """Curvature, in all parameters, of the linear mixed model that the mode's last iteration solves.

    The average information serves for theta, the outer products of the scores for the auxiliary parameters.
    """
    model, e, (db, dt) = state.model, state.expansion, state.movement
    p, theta, size = model.n_fixed, model.theta_slice, state.x.size
    weighted = model.X * e.observed.weight[:, None]
    side = model.space.collect(weighted)
    out = np.zeros((size, size))
    out[:p] = 2.0 * side.T @ db
    out[:p, :p] += 2.0 * model.X.T @ weighted
    scores = [m * part.slope[:, None] for m, part in zip(model.auxiliary_matrices, e.auxiliary, strict=True)]
    if scores:
        mixed = [m * part.mixed[:, None] for m, part in zip(model.auxiliary_matrices, e.auxiliary, strict=True)]
        out[:p, theta.stop :] -= 2.0 * model.X.T @ np.concatenate(mixed, axis=1)
        stacked = np.concatenate(scores, axis=1)
        out[theta.stop :, theta.stop :] = 2.0 * stacked.T @ stacked
    out[theta] = -2.0 * state.theta_sides.T @ dt
    cross = 0.5 * out[theta, :p]
    fixed = 0.5 * out[:p, :p]
    average = 0.5 * out[theta, theta] + cross @ np.linalg.pinv(fixed, hermitian=True) @ cross.T
    out[theta, theta] = average + model.covariance.curvature(state.parts.theta, covariance_gradient)
    out[:p, :p] += model.penalty.curvature()
    upper = np.triu(out)
    return np.asarray(upper + np.triu(out, 1).T)


def laplace(model: MarginalModel, x: Array, near: Array | None = None) -> LaplaceEvaluation:
    """Evaluate at the parameters ``x``.

    Parameters
    ----------
    model : MarginalModel
    x : (k,)
    near : (q,), optional
        Random effects to start the search for the mode from.
    """
    parts = model.parts(x)
    auxiliary = model.auxiliary_values(parts.extra)

    def quadratic(eta: Array) -> tuple[Array, Array, Array]:
        return model.likelihood.quadratic(eta, auxiliary)

    factors = model.covariance.factors(parts.theta)
    return LaplaceEvaluation(
        ModeState(model, x, find_mode(model.space, quadratic, model.fixed_part(parts.beta), factors, near))
    )
