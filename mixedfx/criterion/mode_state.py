"""The conditional mode at given parameters, how it moves with them, and the linear model that it solves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import lapack

from mixedfx._typing import Array
from mixedfx.criterion.expansion import Expansion
from mixedfx.criterion.marginal import MarginalModel, Parts
from mixedfx.criterion.pirls import TOLERANCE, Mode, find_mode
from mixedfx.linalg.factor import BlockFactor, factorize
from mixedfx.linalg.gram import Gram, cross_products

__all__ = ["ModeState", "known_state", "mode_state", "predicted_states", "working_curvature"]


BATCH_CELLS = 100_000  # rows times points whose likelihood is expanded at a time


@dataclass(frozen=True)
class ModeState:
    """The conditional mode at one value of the parameters, and the factorised equations there.

    Attributes
    ----------
    model : MarginalModel
    x : (k,)
        All parameters.
    mode : Mode
    known : Expansion, optional
        The expansion of the likelihood, where it has been computed already.
    """

    model: MarginalModel
    x: Array
    mode: Mode
    known: Expansion | None = None

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
        if self.known is not None:
            return self.known
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
    def fixed_sides(self) -> tuple[Array, Array]:
        """``W X`` (n, p) and ``Z'W X`` (q, p)."""
        weighted = self.model.X * self.expansion.observed.weight[:, None]
        return weighted, self.model.space.collect(weighted)

    @cached_property
    def movement(self) -> tuple[Array, Array]:
        """Derivatives of the mode, ``db/dx`` and ``dt/dx`` (q, len(x)): one solve with a side a parameter."""
        model = self.model
        sides = [-self.fixed_sides[1], -self._gram_times(self.theta_sides)]
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


def mode_state(
    model: MarginalModel, x: Array, near: ModeState | None = None, tolerance: float = TOLERANCE
) -> ModeState:
    """Find the conditional mode at the parameters ``x`` (k,), from where another state leads one to expect it.

    ``tolerance`` is that of :func:`~mixedfx.criterion.pirls.find_mode`.
    """
    parts = model.parts(x)
    auxiliary = model.auxiliary_values(parts.extra)

    def quadratic(eta: Array) -> tuple[Array, Array, Array]:
        return model.likelihood.quadratic(eta, auxiliary)

    factors = model.covariance.factors(parts.theta)
    start = None if near is None else _predicted(near, x)
    return ModeState(
        model, x, find_mode(model.space, quadratic, model.fixed_part(parts.beta), factors, start, tolerance)
    )


def known_state(model: MarginalModel, x: Array, b: Array, t: Array, converged: bool) -> ModeState:
    """Return the state whose conditional mode ``b`` and ``t = Sigma^-1 b`` (q,) is known, as in a saved fit."""
    eta = model.fixed_part(model.parts(x).beta) + model.space.spread(b)
    return ModeState(model, x, Mode(b, t, eta, converged=converged))


def _predicted(near: ModeState, x: Array) -> tuple[Array, Array]:
    """``b`` and ``t`` at ``x`` to first order."""
    (db, dt), change = near.movement, x - near.x
    return near.mode.b + db @ change, near.mode.t + dt @ change


def predicted_states(state: ModeState, xs: Sequence[Array]) -> list[ModeState]:
    """Return the states that the derivatives of the mode predict at points close by: their errors are of second order.

    The likelihood is expanded at all points with the same auxiliary values together.
    """
    model, found = state.model, []
    for x in xs:
        b, t = _predicted(state, x)
        found.append(ModeState(model, x, Mode(b, t, model.fixed_part(model.parts(x).beta) + model.space.spread(b))))
    extra = state.parts.extra
    together = [i for i, other in enumerate(found) if np.array_equal(other.parts.extra, extra)]
    size = max(1, BATCH_CELLS // max(state.mode.eta.size, 1))
    for start in range(0, len(together), size):
        chosen = together[start : start + size]
        whole = model.likelihood.expansion(np.stack([found[i].mode.eta for i in chosen]), state.auxiliary)
        for place, i in enumerate(chosen):
            found[i] = replace(found[i], known=whole.take(place))
    return found


def working_curvature(state: ModeState, covariance_gradient: tuple[Array, ...]) -> Array:
    """Curvature, in all parameters, of the linear mixed model that the mode's last iteration solves.

    The average information serves for theta, the outer products of the scores for the auxiliary parameters.
    """
    model, e, (db, dt) = state.model, state.expansion, state.movement
    p, theta, size = model.n_fixed, model.theta_slice, state.x.size
    weighted, side = state.fixed_sides
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
    average = 0.5 * out[theta, theta]
    _, solved, info = lapack.dposv(0.5 * out[:p, :p], cross.T) if p else (None, cross.T, 0)
    if info == 0:
        average = average + cross @ np.asarray(solved)
    out[theta, theta] = average + model.covariance.curvature(state.parts.theta, covariance_gradient)
    out[:p, :p] += model.penalty.curvature()
    upper = np.triu(out)
    return np.asarray(upper + np.triu(out, 1).T)
