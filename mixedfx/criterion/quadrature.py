"""Adaptive Gauss-Hermite quadrature for one grouping factor, with the exact gradient of the computed value.

For each group, ``log integral exp(h(u)) du / (2 pi)^(q/2)`` with ``h(u) = l(y | fixed + Z T u) - u'u / 2`` is
approximated with nodes ``u_k = u^ + sqrt(2) L z_k``, u^ the mode and ``L L' = M^-1 = (I + T'Z'WZ T)^-1`` there. The
nodes move with the parameters; their movement is differentiated too (through the mode's equation and the Cholesky
factor), so that the gradient is the one of the value and not of the integral.

References
----------
Pinheiro & Bates (1995), J. Comput. Graph. Stat. 4, 12; Liu & Pierce (1994), Biometrika 81, 624.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.calculus.quadrature import HermiteRule
from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.criterion.mode import ModeState, working_curvature
from mixedfx.linalg.rowwise import row_forms
from mixedfx.linalg.small import congruence, left_multiply, multiply, segment_sum

__all__ = ["Moments", "NodeSums", "QuadratureEvaluation", "group_codes"]

CHUNK_CELLS = 30_000  # rows times nodes that are worked on at a time: a dozen arrays of them fit a core's cache
ROOT2 = float(np.sqrt(2.0))


@dataclass(frozen=True)
class NodeSums:
    """Sums over the nodes, weighted by the posterior probabilities ``p`` of the nodes of each group.

    Attributes
    ----------
    log_integral : (m,)
        ``log sum exp`` of the terms.
    score : (n,)
        Mean of the derivative of the log-likelihood in eta.
    score_nodes : (q, n)
        Mean of that derivative times the node ``z``.
    auxiliary : (v, n)
        Mean of the derivatives in the auxiliary variables.
    first : (q, m)
        Mean node.
    second : (q, q, m)
        Mean product of the nodes.
    """

    log_integral: Array
    score: Array
    score_nodes: Array
    auxiliary: Array
    first: Array
    second: Array


def group_codes(state: ModeState) -> IntArray:
    """Return the group (n,) of every row."""
    return state.model.space.rows.layout.codes[0]


@dataclass(frozen=True)
class Moments:
    """Mean, standard deviation and skewness (q, m) of the random effects given the data and the parameters."""

    mean: Array
    sd: Array
    skewness: Array


@dataclass(frozen=True)
class QuadratureEvaluation:
    """Minus twice the log-likelihood by adaptive quadrature at one point."""

    state: ModeState
    rule: HermiteRule

    @property
    def x(self) -> Array:
        """All parameters: fixed effects, theta, auxiliary parameters."""
        return self.state.x

    @property
    def theta(self) -> Array:
        """Covariance parameters."""
        return self.state.parts.theta

    @property
    def factor(self) -> Array:
        """``T`` (q, q)."""
        return self.state.factors[0]

    @cached_property
    def u(self) -> Array:
        """Mode (q, m) of the standardised effects."""
        (t,) = self.state.model.space.split(self.state.mode.t)
        return self.factor.T @ t

    @cached_property
    def root(self) -> Array:
        """``L`` (q, q, m), lower triangular."""
        T = self.factor
        half = left_multiply(T.T, self.state.gram.diagonal[0])
        if len(T) == 1:
            return np.asarray(1.0 / np.sqrt(half * T[0, 0] + 1.0))
        inside = np.moveaxis(half, 2, 0) @ T + np.eye(T.shape[0])
        return np.ascontiguousarray(np.moveaxis(np.linalg.cholesky(np.linalg.inv(inside)), 0, 2))

    @cached_property
    def directions(self) -> Array:
        """What a unit of each coordinate of a node adds to eta: ``sqrt(2) z_i' T L`` (q, n)."""
        spread = ROOT2 * left_multiply(self.factor, self.root)
        codes, z = group_codes(self.state), self.state.model.space.rows.z[0]
        return np.stack(
            [sum(covariates * part[codes] for covariates, part in zip(z, column)) for column in spread.swapaxes(0, 1)]
        )

    def chunks(self) -> Iterator[tuple[Array, Array]]:
        """Nodes (c, q) and log-weights (c,), a few at a time."""
        size = max(1, CHUNK_CELLS // max(self.state.mode.eta.size, 1))
        for start in range(0, len(self.rule.log_weights), size):
            yield self.rule.nodes[start : start + size], self.rule.log_weights[start : start + size]

    def terms(self, nodes: Array, log_weights: Array, values: Array) -> Array:
        """Logarithms (c, m) of the terms of the sum, from the rows' log-likelihoods (c, n)."""
        m = self.u.shape[1]
        sums = segment_sum(values, group_codes(self.state), m)
        penalty = np.zeros((len(nodes), m))
        for a, u in enumerate(self.u):
            penalty += (u + ROOT2 * (nodes @ self.root[a])) ** 2
        return np.asarray(sums - 0.5 * penalty + log_weights[:, None])

    def linear_predictors(self, nodes: Array) -> Array:
        """Linear predictors (c, n) at some nodes."""
        return nodes @ self.directions + self.state.mode.eta

    @cached_property
    def sums(self) -> NodeSums:
        """All sums over the nodes in one pass, rescaled whenever a larger term turns up."""
        state, q = self.state, self.factor.shape[0]
        codes, m = group_codes(state), self.u.shape[1]
        n, v = state.mode.eta.size, state.model.likelihood.n_auxiliary
        top = np.full(m, -np.inf)
        by_row, by_group = np.zeros((1 + q + v, n)), np.zeros((1 + q + q * q, m))
        for nodes, log_weights in self.chunks():
            value, gradient, auxiliary = state.model.likelihood.scores(self.linear_predictors(nodes), state.auxiliary)
            terms = self.terms(nodes, log_weights, value)
            higher = np.maximum(top, terms.max(axis=0))
            shrink = np.exp(top - higher)
            p = np.exp(terms - higher)
            products = (nodes[:, :, None] * nodes[:, None, :]).reshape(len(nodes), -1)
            basis = np.concatenate([np.ones((len(nodes), 1)), nodes], axis=1)
            by_group = by_group * shrink + np.concatenate([basis, products], axis=1).T @ p
            at_rows = np.take(p, codes, axis=1)
            by_row *= shrink[codes]
            by_row[: 1 + q] += basis.T @ (at_rows * gradient)
            for j, part in enumerate(auxiliary):
                by_row[1 + q + j] += np.einsum("cn,cn->n", at_rows, part)
            top = higher
        by_row /= by_group[0][codes]
        mean = by_group[1:] / by_group[0]
        second = mean[q:].reshape(q, q, m)
        return NodeSums(top + np.log(by_group[0]), by_row[0], by_row[1 : 1 + q], by_row[1 + q :], mean[:q], second)

    @cached_property
    def value(self) -> float:
        """Minus twice the log-likelihood, all constants included; ``inf`` where there is no mode with a maximum."""
        if not self.state.mode.converged:
            return np.inf
        try:
            self.state.factor  # noqa: B018  (positive definite, or no maximum)
        except FloatingPointError:
            return np.inf
        q, m = self.u.shape
        log_det = float(np.log(np.einsum("aam->am", self.root)).sum())
        total = float(self.sums.log_integral.sum()) + log_det - 0.5 * q * m * float(np.log(np.pi))
        return float(-2.0 * total + self.state.model.penalty.value(self.state.parts.beta))

    @cached_property
    def _mode_slope(self) -> Array:
        """Derivative (q, m) of the log-likelihood in the centre of the nodes: ``E (T'Z'g - u)``."""
        moved = self.u + ROOT2 * np.einsum("adm,dm->am", self.root, self.sums.first)
        return np.asarray(self.factor.T @ self._level_sums(self.sums.score) - moved)

    def _level_sums(self, values: Array) -> Array:
        """``Z' values`` (q, …, m) for ``values`` (…, n)."""
        rows, codes = self.state.model.space.rows, group_codes(self.state)
        z = rows.z[0].reshape(-1, *[1] * (values.ndim - 1), codes.size)
        return segment_sum(z * values, codes, rows.layout.levels[0])

    @cached_property
    def _score_nodes(self) -> Array:
        """``E Z'g z'`` (q, q, m)."""
        return self._level_sums(self.sums.score_nodes)

    @cached_property
    def _information_slope(self) -> Array:
        """Derivative (q, q, m) of the log-likelihood in ``M``, through the scale of the nodes."""
        sums, root = self.sums, self.root
        products = self.u[:, None] * sums.first[None] + ROOT2 * multiply(root, sums.second)
        slope = left_multiply(self.factor.T, self._score_nodes) - products
        unit = np.eye(len(slope))
        inner = ROOT2 * multiply(root.swapaxes(0, 1), slope) + unit[:, :, None]
        lower = inner * (np.tri(len(slope)) - 0.5 * unit)[:, :, None]
        symmetric = 0.5 * (lower + lower.swapaxes(0, 1))
        return -multiply(multiply(root, symmetric), root.swapaxes(0, 1))

    @cached_property
    def _movement(self) -> tuple[Array, Array, Array, Array]:
        """``omega`` (n,), ``a`` (n,), ``c`` (q, m) and ``v`` (n,): how scale and centre of the nodes move the value."""
        e, T = self.state.expansion, self.factor
        codes, z = group_codes(self.state), self.state.model.space.rows.z[0]
        omega = row_forms(z, z, congruence(T.T, self._information_slope), codes)
        a = omega * e.observed.slope
        inverse = multiply(self.root, self.root.swapaxes(0, 1))
        c = np.einsum("abm,bm->am", inverse, self._mode_slope + T.T @ self._level_sums(a))
        return omega, a, c, np.einsum("an,an->n", z, (T @ c)[:, codes])

    @property
    def row_slopes(self) -> Array:
        """Derivative (n,) of :attr:`value`, without penalty, in the fixed part of each row's linear predictor."""
        _, a, _, v = self._movement
        return np.asarray(-2.0 * (self.sums.score + a - self.state.expansion.observed.weight * v))

    @property
    def auxiliary_slopes(self) -> list[Array]:
        """Derivatives (n,) of :attr:`value` in every auxiliary variable of each row."""
        (omega, _, _, v), e = self._movement, self.state.expansion
        return [
            -2.0 * (mean + omega * curve + v * part.mixed)
            for mean, curve, part in zip(self.sums.auxiliary, e.observed.auxiliary, e.auxiliary, strict=True)
        ]

    @cached_property
    def gradient(self) -> Array:
        """Exact gradient (k,) of :attr:`value`."""
        state, model = self.state, self.state.model
        beta = model.X.T @ self.row_slopes
        extra = [m.T @ slope for m, slope in zip(model.auxiliary_matrices, self.auxiliary_slopes, strict=True)]
        (positions,) = model.covariance.by_factor
        theta = np.zeros(model.covariance.n_theta)
        theta[positions] = self.level_slopes[0].sum(axis=1)
        return np.concatenate([model.penalty.gradient(state.parts.beta) + beta, theta, *extra])

    @property
    def level_slopes(self) -> tuple[Array, ...]:
        """Derivatives (k, m) of :attr:`value` in the covariance parameters of the factor, by its levels."""
        (derivatives,) = self.state.model.covariance.derivatives(self.theta)
        return (-2.0 * np.tensordot(derivatives, self._factor_slopes, axes=2),)

    @property
    def _factor_slopes(self) -> Array:
        """Derivative (q, q, m) of the log-likelihood of every level in ``T``."""
        state, sums, T, slope = self.state, self.sums, self.factor, self._information_slope
        _, a, c, v = self._movement
        (t,) = state.model.space.split(state.mode.t)
        weighted = self._level_sums(sums.score + a - state.expansion.observed.weight * v)
        nodes = ROOT2 * np.einsum("adm,bdm->abm", self._score_nodes, self.root)
        scale = 2.0 * multiply(state.gram.diagonal[0], left_multiply(T, slope))
        return np.asarray(weighted[:, None] * self.u[None] + nodes + scale + t[:, None] * c[None])

    @property
    def covariance_deviations(self) -> tuple[Array, ...]:
        """None: nothing is sampled."""
        return ()

    @property
    def gradient_deviations(self) -> Array:
        """None: nothing is sampled."""
        return np.zeros((0, self.x.size))

    @cached_property
    def covariance_gradient(self) -> tuple[Array, ...]:
        """Derivative of the Laplace approximation in the covariance: it decides on a boundary, where both agree."""
        return LaplaceEvaluation(self.state).covariance_gradient

    @property
    def curvature_is_exact(self) -> bool:
        """Whether :attr:`curvature` is the Hessian itself."""
        return False

    @cached_property
    def curvature(self) -> Array:
        """Hessian (k, k) of the working linear model."""
        return working_curvature(self.state, self.covariance_gradient)

    def moments(self, matrix: Array) -> Moments:
        """Return the moments of ``matrix @ b`` for every group, from the nodes.

        Parameters
        ----------
        matrix : (r, q)
            From the inner effects to the wanted ones.
        """
        likelihood, state = self.state.model.likelihood, self.state
        nodes, log_weights = self.rule.nodes, self.rule.log_weights
        terms = np.concatenate(
            [self.terms(z, w, likelihood.value(self.linear_predictors(z), state.auxiliary)) for z, w in self.chunks()]
        )
        p = np.exp(terms - self.sums.log_integral)
        assert len(p) == len(log_weights)
        transform = matrix @ self.factor
        centre = transform @ self.u
        spread = ROOT2 * np.tensordot(transform, self.root, axes=1)
        mean, sd, skewness = np.empty_like(centre), np.empty_like(centre), np.empty_like(centre)
        for r, direction in enumerate(spread):
            value = nodes @ direction
            shift = np.einsum("cm,cm->m", p, value)
            deviation = value - shift
            variance = np.einsum("cm,cm->m", p, deviation**2)
            third = np.einsum("cm,cm->m", p, deviation**3)
            mean[r], sd[r] = centre[r] + shift, np.sqrt(variance)
            skewness[r] = np.divide(third, variance**1.5, out=np.zeros_like(third), where=variance > 0)
        return Moments(mean, sd, skewness)
