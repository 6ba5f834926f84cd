"""The conditional mode of the random effects, how it moves with the parameters, and the linear model that it solves.

The mode is found by penalised iteratively re-weighted least squares, which is Newton's method.

The mode solves ``t = Z' g(eta)``, ``b = Sigma t``, ``eta = fixed + Z b`` with g the derivative of the log-likelihood.
Carrying ``t`` beside ``b`` makes the penalty ``u'u = t'b`` and its gradient available for a singular ``Sigma`` too.

References
----------
Breslow & Clayton (1993), JASA 88, 9; Bates, Maechler, Bolker & Walker (2015), J. Stat. Softw. 67(1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import lapack

from mixedfx._lazy import cached_property
from mixedfx._typing import Array
from mixedfx.criterion.inexact import find_mode_roughly
from mixedfx.criterion.marginal import Expansion, MarginalModel, Parts
from mixedfx.criterion.newton import TOLERANCE, Iterate, Mode, Quadratic, positive_weight, search
from mixedfx.linalg.factor import BlockFactor, factorize
from mixedfx.linalg.gram import Gram, cross_products
from mixedfx.linalg.probes import Nearby
from mixedfx.linalg.rowwise import RowMap

__all__ = [
    "TOLERANCE",
    "Mode",
    "ModeState",
    "find_joint_mode",
    "find_mode",
    "known_state",
    "mode_covariance",
    "mode_state",
    "predicted_states",
    "working_curvature",
]

LOST = -1e12  # a penalised log-likelihood below it: the start led to where only short steps lead back from
BATCH_CELLS = 100_000  # rows times points whose likelihood is expanded at a time


def find_mode(
    space: RowMap,
    quadratic: Quadratic,
    fixed: Array,
    factors: Sequence[Array],
    start: tuple[Array, Array] | None = None,
    tolerance: float = TOLERANCE,
) -> Mode:
    """Maximise ``sum log f(y | fixed + Z b) - t'b / 2`` over the random effects.

    Parameters
    ----------
    space : RowMap
    quadratic : callable
        From eta (n,) to the log-likelihood of the rows, its derivative, and minus the second derivative.
    fixed : (n,)
        Linear predictor without the random effects.
    factors : sequence of (Q, Q)
        ``T`` of every grouping factor.
    start : ((q,), (q,)), optional
        Effects ``b`` and ``t`` to start from; zero if omitted, or if they lead nowhere.
    tolerance : float
        Newton decrement before the last step; the log-likelihood at the mode is then wrong by about as much.
    """

    def newton(state: Iterate) -> Mode:
        factor, weight = _factor(space, state.weight, factors)
        working = state.gradient + weight * (state.mode.eta - fixed)
        b, t = space.solve(factor, space.collect(working[:, None]))
        return Mode(b[:, 0], t[:, 0], fixed + space.spread(b[:, 0]), converged=False)

    def newton_nearby(state: Iterate) -> Mode:
        if state.value < LOST:
            raise FloatingPointError("the start leads too far away")
        return newton(state)

    if start is not None and start[0].any():
        b, t = start
        mode = search(newton_nearby, quadratic, Mode(b, t, fixed + space.spread(b), converged=False), tolerance)
        if mode.converged:
            return mode
    zero = np.zeros(space.n_effects)
    return search(newton, quadratic, Mode(zero, zero, fixed, converged=False), tolerance)


def find_joint_mode(
    space: RowMap,
    quadratic: Quadratic,
    X: Array,
    offset: Array,
    factors: Sequence[Array],
    start: tuple[Array, Array],
) -> Mode:
    """Maximise the same function over the fixed effects too.

    Parameters
    ----------
    space, quadratic, factors
        As for :func:`find_mode`.
    X : (n, p)
    offset : (n,)
    start : ((p,), (q,))
        Fixed and random effects to start from.
    """

    def newton(state: Iterate) -> Mode:
        factor, weight = _factor(space, state.weight, factors)
        working = state.gradient + weight * (state.mode.eta - offset)
        weighted = X * weight[:, None]
        sides = space.collect(np.column_stack([weighted, working]))
        inside, outside = space.solve(factor, sides)
        information = X.T @ weighted - sides[:, :-1].T @ inside[:, :-1]
        beta = _solved(information, X.T @ working - sides[:, :-1].T @ inside[:, -1])
        contrast = np.append(-beta, 1.0)
        b, t = inside @ contrast, outside @ contrast
        return Mode(b, t, offset + X @ beta + space.spread(b), np.asarray(beta), converged=False)

    beta, b = start
    eta = offset + X @ beta + space.spread(b)
    return search(newton, quadratic, Mode(b, np.zeros_like(b), eta, beta, converged=False), TOLERANCE)


def _factor(space: RowMap, weight: Array, factors: Sequence[Array]) -> tuple[BlockFactor, Array]:
    """Factorise with the observed weights, or with positive ones where those are not positive definite."""
    try:
        return factorize(cross_products(space.rows, weight), factors), weight
    except FloatingPointError:
        positive = positive_weight(weight)
        return factorize(cross_products(space.rows, positive), factors), positive


def _solved(information: Array, side: Array) -> Array:
    try:
        return np.asarray(np.linalg.solve(information, side), dtype=float)
    except np.linalg.LinAlgError as error:
        raise FloatingPointError("the information of the fixed effects is singular") from error


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
    near : Nearby, optional
        What the equations of a state close by know, where to start if they are solved by iteration.
    """

    model: MarginalModel
    x: Array
    mode: Mode
    known: Expansion | None = None
    near: Nearby | None = None

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
        return self.model.gram(self.expansion.observed.weight)

    @cached_property
    def factor(self) -> BlockFactor:
        """The equations of the mode, factorised (observed weights)."""
        return factorize(self.gram, self.factors, self.near)

    @cached_property
    def determinant_factor(self) -> BlockFactor:
        """The factor whose determinant is the Laplace approximation's."""
        curves = self.expansion
        if curves.determinant is curves.observed:
            return self.factor
        return factorize(self.model.gram(curves.determinant.weight), self.factors, self.near)

    @cached_property
    def sigma_derivatives(self) -> list[Array]:
        """``dSigma / dtheta`` (k_f, Q, Q) by factor, for the factor's own parameters."""
        return self.model.covariance.covariance_derivatives(self.parts.theta, self.factors)

    @cached_property
    def theta_sides(self) -> Array:
        """``(dSigma / dtheta_i) t`` (q, k): what the effects gain directly when theta moves."""
        model, t = self.model, self.model.space.split(self.mode.t)
        out = np.zeros((model.space.n_effects, model.covariance.n_theta))
        for f, (positions, d) in enumerate(zip(model.covariance.by_factor, self.sigma_derivatives, strict=True)):
            block = np.tensordot(d, t[f], axes=(2, 0))
            out[model.space.starts[f] : model.space.starts[f + 1], positions] = block.reshape(
                positions.size, t[f].size
            ).T
        return out

    @cached_property
    def fixed_sides(self) -> tuple[Array, Array]:
        """``X'W X`` (p, p) and ``Z'W X`` (q, p)."""
        weighted = self.model.X * self.expansion.observed.weight[:, None]
        return self.model.X.T @ weighted, self.model.space.collect(weighted)

    @property
    def log_likelihood(self) -> float:
        """Sum over the rows at the mode."""
        return float(self.expansion.value.sum())

    @property
    def fixed_side(self) -> Array:
        """``Z'W X`` (q, p)."""
        return self.fixed_sides[1]

    @property
    def fixed_information(self) -> Array:
        """``X'W X`` (p, p)."""
        return self.fixed_sides[0]

    @property
    def auxiliary_sides(self) -> list[Array]:
        """``Z'`` (q, k) times the derivative of the score in every auxiliary variable, in its parameters."""
        parts = zip(self.expansion.auxiliary, self.model.auxiliary_matrices, strict=True)
        return [self.model.space.collect(part.mixed[:, None] * matrix) for part, matrix in parts]

    @property
    def auxiliary_information(self) -> tuple[Array, Array]:
        """``X'`` times the same (p, k), and the products (k, k) of the scores of the extra parameters."""
        model, parts = self.model, self.expansion.auxiliary
        mixed = [m * part.mixed[:, None] for m, part in zip(model.auxiliary_matrices, parts, strict=True)]
        scores = [m * part.slope[:, None] for m, part in zip(model.auxiliary_matrices, parts, strict=True)]
        stacked = np.concatenate(scores, axis=1)
        return np.asarray(model.X.T @ np.concatenate(mixed, axis=1)), np.asarray(stacked.T @ stacked)

    @cached_property
    def movement(self) -> tuple[Array, Array]:
        """Derivatives of the mode, ``db/dx`` and ``dt/dx`` (q, len(x)), from one solve with many right-hand sides."""
        model = self.model
        sides = [-self.fixed_side, -self._gram_times(self.theta_sides), *self.auxiliary_sides]
        b, t = model.space.solve(self.factor, np.concatenate(sides, axis=1))
        b[:, model.theta_slice] += self.theta_sides
        return b, t

    @cached_property
    def nearby(self) -> Nearby | None:
        """What the equations of other states can start from, if they are solved by iteration."""
        return self.determinant_factor.nearby

    def predicted(self, xs: Sequence[Array]) -> list[ModeState]:
        """Return the states at points close by that :func:`predicted_states` tells."""
        return predicted_states(self, xs)

    def lighten(self) -> None:
        """Drop what has the length of the data and was computed on the way; it is computed again when asked for."""
        assert self.nearby is not None
        for name in ("expansion", "gram", "factor", "determinant_factor"):
            self.__dict__.pop(name, None)

    def _gram_times(self, effects: Array) -> Array:
        """``Z'WZ effects`` for effects (q, c)."""
        model, layout = self.model, self.model.space.rows.layout
        out = np.zeros_like(effects)
        for f, part in enumerate(model.space.split(effects)):
            positions = model.covariance.by_factor[f]
            if positions.size:
                chain, rest = self.gram.times(f, np.ascontiguousarray(part[:, :, positions]))
                out[:, positions] += np.concatenate([*[c.reshape(-1, positions.size) for c in chain], rest])
        assert layout.n_factors == len(model.covariance.by_factor)
        return out


def mode_state(
    model: MarginalModel, x: Array, near: ModeState | None = None, tolerance: float = TOLERANCE
) -> ModeState:
    """Find the conditional mode at the parameters ``x`` (k,), starting where the state ``near`` predicts it.

    ``tolerance`` is that of :func:`~mixedfx.criterion.mode.find_mode`.
    """
    parts = model.parts(x)
    auxiliary = model.auxiliary_values(parts.extra)

    def quadratic(eta: Array) -> tuple[Array, Array, Array]:
        return model.likelihood.quadratic(eta, auxiliary)

    factors = model.covariance.factors(parts.theta)
    start = None if near is None else _predicted(near, x)
    fixed = model.fixed_part(parts.beta)
    if not model.space.rows.layout.is_operator:
        return ModeState(model, x, find_mode(model.space, quadratic, fixed, factors, start, tolerance))
    known = None if near is None else near.nearby
    rough = model.roughly()

    def factorized(weight: Array) -> BlockFactor:
        return factorize(rough.gram(weight), factors, known)

    t = None if start is None else start[1]
    mode = find_mode_roughly(model.space, quadratic, fixed, factors, factorized, t, tolerance)
    return ModeState(model, x, mode, near=known)


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

    The likelihood is expanded at all points with the same auxiliary values together, unless they have very many rows.
    """
    model, states = state.model, []
    for x in xs:
        b, t = _predicted(state, x)
        eta = model.fixed_part(model.parts(x).beta) + model.space.spread(b)
        states.append(ModeState(model, x, Mode(b, t, eta), near=state.nearby))
    extra = state.parts.extra
    together = [i for i, other in enumerate(states) if np.array_equal(other.parts.extra, extra)]
    size = BATCH_CELLS // max(state.mode.eta.size, 1)
    if size <= 1:
        return states
    for start in range(0, len(together), size):
        chosen = together[start : start + size]
        whole = model.likelihood.expansion(np.stack([states[i].mode.eta for i in chosen]), state.auxiliary)
        for place, i in enumerate(chosen):
            states[i] = replace(states[i], known=whole.take(place))
    return states


def working_curvature(state: ModeState, covariance_gradient: tuple[Array, ...]) -> Array:
    """Curvature, in all parameters, of the linear mixed model that the mode's last iteration solves.

    The average information serves for theta, the outer products of the scores for the auxiliary parameters.
    """
    model, (db, dt) = state.model, state.movement
    p, theta, size = model.n_fixed, model.theta_slice, state.x.size
    out = np.zeros((size, size))
    out[:p] = 2.0 * state.fixed_side.T @ db
    out[:p, :p] += 2.0 * state.fixed_information
    if model.auxiliaries:
        mixed, squares = state.auxiliary_information
        out[:p, theta.stop :] -= 2.0 * mixed
        out[theta.stop :, theta.stop :] = 2.0 * squares
    out[theta] = -2.0 * state.theta_sides.T @ dt
    cross = 0.5 * out[theta, :p]
    average = 0.5 * out[theta, theta]
    _, solved, info = lapack.dposv(0.5 * out[:p, :p], cross.T) if p else (None, cross.T, 0)
    if info == 0:
        average = average + cross @ np.asarray(solved)
    out[theta, theta] = average + model.covariance.curvature(state.parts.theta, covariance_gradient)
    out[:p, :p] += model.penalty.curvature()
    below = np.arange(size)[:, None] > np.arange(size)
    return np.where(below, out.T, out)


def mode_covariance(state: ModeState, factor: int) -> Array:
    """Return the blocks (Q, Q, m) of ``K``, the conditional covariance of one factor's effects around their mode."""
    layout, inverse = state.model.space.rows.layout, state.determinant_factor.inverse
    if factor < layout.n_chain:
        return inverse.chain_blocks(factor)
    loading = state.model.space.rows.loadings.get(factor)
    if loading is None:
        return inverse.remainder_blocks(factor)
    at, size, m = layout.span(factor), layout.sizes[factor], layout.levels[factor]
    blocks = inverse.remainder[at, at].reshape(size, m, size, m)
    return np.asarray(np.einsum("li,aibj,lj->abl", loading, blocks, loading, optimize=True))
