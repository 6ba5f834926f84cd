"""The criterion of a Gaussian mixed model whose residuals have a structure of their own: a function of (theta, rho).

With ``Var(e) = sigma^2 D(rho)`` the rows are whitened by ``D^-1/2``, and the criterion is that of ordinary residuals
plus ``log|D|``. For the derivative with respect to rho let ``E = C - Z B`` be the columns ``C = [X y]`` less their
predicted random effects; then, everything whitened,

    ``d (C' V^-1 C) = E' dE + dE' E``,  ``dE = dC - dZ B``,   and   ``d log|V| = d log|D| + tr(K d(Z'Z))``

with ``K = Lambda (Lambda' Z'Z Lambda + I)^-1 Lambda'``, of which only the blocks on the pattern of ``Z'Z`` are needed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mixedfx._typing import Array
from mixedfx.covariance.residual.structure import BoundResidual
from mixedfx.criterion.assembly import CovarianceModel
from mixedfx.criterion.linear import LinearCriterion, LinearEvaluation, central_differences
from mixedfx.criterion.refinement import less_effects
from mixedfx.linalg.factor import PatternInverse
from mixedfx.linalg.gram import Gram, Rows, cross_products

__all__ = ["ResidualCriterion", "ResidualEvaluation"]


@dataclass(frozen=True)
class ResidualCriterion:
    """Minus twice the (restricted) log-likelihood as a function of (theta, rho).

    Attributes
    ----------
    rows : Rows
        Rows before whitening, prior weights absorbed.
    residual : BoundResidual
    covariance : CovarianceModel
    reml : bool
    constant : float
        Beyond ``log|D|``, as in :class:`LinearCriterion`.
    sigma2 : float or None
        Residual variance if it is known.
    """

    rows: Rows
    residual: BoundResidual
    covariance: CovarianceModel
    reml: bool
    constant: float
    sigma2: float | None

    @property
    def start(self) -> Array:
        """Starting values (n_theta + n_rho,)."""
        return np.concatenate([self.covariance.start, self.residual.start])

    @property
    def search_lower(self) -> Array:
        """Lower bounds for the optimiser."""
        return np.concatenate([self.covariance.search_lower, self.residual.lower])

    @property
    def upper(self) -> Array:
        """Upper bounds."""
        return np.concatenate([self.covariance.upper, self.residual.upper])

    def with_columns(self, columns: Array) -> ResidualCriterion:
        """Return the criterion with ``[X y]`` multiplied by ``columns`` (p + 1, c)."""
        return replace(self, rows=replace(self.rows, columns=self.rows.columns @ columns))

    @property
    def nu(self) -> int:
        """Divisor of the residual variance: n, or n - p under REML."""
        rows = self.rows.columns
        return len(rows) - (rows.shape[1] - 1 if self.reml else 0)

    @property
    def is_refined(self) -> bool:
        """False: these rows are never split."""
        return False

    def refined(self, rows: Rows, weights: Array | None) -> None:
        """Return None: columns are split where residuals are independent."""

    def with_sigma2(self, sigma2: float) -> ResidualCriterion:
        """Return the criterion with a known residual variance."""
        return replace(self, sigma2=sigma2)

    def with_response(
        self, rows: Rows, weights: Array | None, constant: float, sigma2: float | None
    ) -> ResidualCriterion:
        """Return the criterion with the last dense column of ``rows`` as response."""
        root = 1.0 if weights is None else np.sqrt(weights)
        return replace(self, rows=self.rows.with_response(rows.columns[:, -1] * root), constant=constant, sigma2=sigma2)

    def __call__(self, x: Array) -> ResidualEvaluation:
        """Evaluate at ``x = (theta, rho)``."""
        return ResidualEvaluation(self, np.asarray(x, dtype=float))

    def whitened(self, rho: Array) -> Rows:
        """Return the rows multiplied by ``D^-1/2``."""
        rows = self.rows
        z = tuple(np.ascontiguousarray(self.residual.whiten(rho, z.T).T) for z in rows.z)
        return Rows(rows.layout, z, self.residual.whiten(rho, rows.columns), rows.loadings)

    def whitened_derivatives(self, rho: Array) -> list[Rows]:
        """Return the derivative of :meth:`whitened` with respect to each entry of rho."""
        rows = self.rows
        z = [self.residual.whiten_derivative(rho, z.T) for z in rows.z]
        columns = self.residual.whiten_derivative(rho, rows.columns)
        return [
            Rows(rows.layout, tuple(np.ascontiguousarray(part[j].T) for part in z), columns[j], rows.loadings)
            for j in range(self.residual.n_rho)
        ]


@dataclass(frozen=True)
class ResidualEvaluation:
    """The criterion at one (theta, rho); ``linear`` is the ordinary criterion of the whitened rows."""

    criterion: ResidualCriterion
    x: Array

    @property
    def theta(self) -> Array:
        """Covariance parameters (n_theta,)."""
        return self.x[: self.criterion.covariance.n_theta]

    @property
    def rho(self) -> Array:
        """Parameters of the residual structure (n_rho,)."""
        return self.x[self.criterion.covariance.n_theta :]

    @cached_property
    def rows(self) -> Rows:
        """The whitened rows."""
        return self.criterion.whitened(self.rho)

    @cached_property
    def linear(self) -> LinearEvaluation:
        """The ordinary criterion of the whitened rows at theta."""
        c = self.criterion
        constant = c.constant + self.criterion.residual.logdet(self.rho)
        n = len(self.rows.columns)
        inner = LinearCriterion(cross_products(self.rows), c.covariance, n, c.reml, constant, c.sigma2)
        return inner(self.theta)

    @cached_property
    def value(self) -> float:
        """Minus twice the log-likelihood, all constants included."""
        return self.linear.value

    @property
    def hessian_is_exact(self) -> bool:
        """It is."""
        return True

    @property
    def covariance_deviations(self) -> tuple[Array, ...]:
        """None: nothing is sampled."""
        return ()

    @property
    def covariance_gradient(self) -> tuple[Array, ...]:
        """Derivative (Q, Q) with respect to the relative covariance, by factor."""
        return self.linear.covariance_gradient

    @cached_property
    def _derivatives(self) -> list[Rows]:
        return self.criterion.whitened_derivatives(self.rho)

    @cached_property
    def _forms(self) -> Array:
        """``d([X y]' V^-1 [X y]) / drho`` (n_rho, p + 1, p + 1)."""
        effects = self.linear.column_effects
        E = less_effects(self.rows, effects)
        half = [E.T @ less_effects(d, effects) for d in self._derivatives]
        return np.array([h + h.T for h in half]).reshape(len(half), E.shape[1], E.shape[1])

    @cached_property
    def response_slopes(self) -> Array:
        """Minus the derivative of ``r2`` with respect to (theta, rho)."""
        weights = np.append(-self.linear.beta, 1.0)
        slopes = -np.einsum("p,jpq,q->j", weights, self._forms, weights)
        return np.concatenate([self.linear.response_slopes, slopes])

    @cached_property
    def x_form_stack(self) -> Array:
        """Minus the derivative of ``X' V^-1 X`` with respect to (theta, rho): (k, p, p)."""
        return np.concatenate([self.linear.x_form_stack, -self._forms[:, :-1, :-1]])

    @cached_property
    def gradient(self) -> Array:
        """Exact gradient with respect to (theta, rho)."""
        at, c = self.linear, self.criterion
        gradient = c.residual.logdet_derivative(self.rho) - self.response_slopes[c.covariance.n_theta :] / at.sigma2
        gradient = gradient + np.array([_trace(at, self.rows, d) for d in self._derivatives])
        if c.reml:
            gradient = gradient + np.einsum("jpq,pq->j", self._forms[:, :-1, :-1], at.unscaled_cov)
        return np.concatenate([at.gradient, gradient])

    @cached_property
    def hessian(self) -> Array:
        """Hessian, by central differences of the exact gradient."""
        bounds = self.criterion.search_lower, self.criterion.upper
        return central_differences(lambda x: self.criterion(x).gradient, self.x, *bounds)

    @property
    def curvature(self) -> Array:
        """The Hessian."""
        return self.hessian

    @property
    def curvature_is_exact(self) -> bool:
        """True."""
        return True

    def forget(self) -> None:
        """Drop what grows with the data; it is computed again when asked for."""
        for name in ("rows", "linear", "_derivatives"):
            self.__dict__.pop(name, None)


def _trace(at: LinearEvaluation, rows: Rows, change: Rows) -> float:
    """``tr(K d(Z'Z))`` with ``d(Z'Z) = Z' dZ + dZ' Z``, by polarisation of cross-products."""
    if not rows.z:
        return 0.0
    empty = np.zeros((len(rows.columns), 0))
    up = Rows(rows.layout, tuple(z + d for z, d in zip(rows.z, change.z, strict=True)), empty, rows.loadings)
    down = Rows(rows.layout, tuple(z - d for z, d in zip(rows.z, change.z, strict=True)), empty, rows.loadings)
    return 0.5 * (_inner(at, cross_products(up)) - _inner(at, cross_products(down)))


def _inner_of_remainders(gram: Gram, inverse: PatternInverse) -> float:
    if isinstance(gram.remainder, np.ndarray):
        return float(np.vdot(gram.remainder, inverse.remainder))
    i, j, entries = gram.remainder_entries
    return float(entries @ inverse.remainder_entries(i, j))


def _inner(at: LinearEvaluation, gram: Gram) -> float:
    """Sum of the products of ``K`` with the cross-products of the random effects."""
    inverse = at.factor.inverse
    total = sum(float(np.vdot(k, g)) for k, g in zip(inverse.diagonal, gram.diagonal, strict=True))
    total += 2.0 * sum(float(np.vdot(inverse.chain[pair], block)) for pair, block in gram.chain.items())
    for k, block in zip(inverse.cross, gram.cross, strict=True):
        total += 2.0 * float(np.einsum("aal->", block.overlap(k)))
    if gram.layout.n_remainder:
        total += _inner_of_remainders(gram, inverse)
    return total
