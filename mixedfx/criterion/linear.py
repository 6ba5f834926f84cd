"""The profiled ML and REML criterion of a Gaussian mixed model, with gradient and Hessian, from cross-products.

Minus twice the log-likelihood with sigma and beta profiled out is

    ``f(theta) = log|V| + [REML: log|X' V^-1 X|] + nu (1 + log(2 pi r2 / nu)) + constant``,

``V = I + Z Sigma Z'`` relative to sigma squared and with the weights absorbed, nu = n or n - p, and
``r2 = (y - X beta)' V^-1 (y - X beta)``. With ``P`` the projection and ``s = Z' P y``, the
derivative with respect to a relative covariance is

    ``N = sum over levels [Z' P* Z]_ll - s_l s_l' / sigma^2``,   ``P* = P`` (REML) or ``V^-1`` (ML),

and the chain rule through ``Sigma(theta)`` gives the rest.

References
----------
Bates, Maechler, Bolker & Walker (2015), J. Stat. Softw. 67(1); Gilmour, Thompson & Cullis (1995), Biometrics 51, 1440,
for the average information.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from scipy.linalg import lapack

from mixedfx._lazy import cached_property
from mixedfx._typing import Array
from mixedfx.criterion.assembly import CovarianceModel
from mixedfx.criterion.moments import moment_start
from mixedfx.criterion.refinement import Refinement, loses_digits, refinement
from mixedfx.criterion.traces import dense_traces, has_intercepts_only, traces_of_blocks, traces_of_intercepts
from mixedfx.linalg.factor import BlockFactor, SplitEffects, factorize
from mixedfx.linalg.gram import Gram, Rows
from mixedfx.linalg.probes import Nearby, Solver
from mixedfx.linalg.remainder import mirrored
from mixedfx.linalg.rowwise import RowMap
from mixedfx.linalg.small import apply

__all__ = ["LinearCriterion", "LinearEvaluation"]

DENSE_EFFECTS = 1200  # exact traces are formed densely up to so many random effects …
DENSE_PER_PARAMETER = 100  # … and up to so many a parameter; beyond, differences of the exact gradient are cheaper
LARGE = ("factor", "_solved", "effects", "s", "column_effects", "z_vinv_x", "information")  # parts of an evaluation
MANY_LEVELS = 1000  # of every factor: beyond, the average information is the Hessian but for some per mille
DIFFERENCE_STEP = 1e-4  # relative step of central differences of the exact gradient


@dataclass(frozen=True)
class LinearCriterion:
    """Minus twice the (restricted) log-likelihood as a function of theta.

    Attributes
    ----------
    gram : Gram
        Cross-products of ``[Z X y]``; the last dense column is y.
    covariance : CovarianceModel
    n : int
        Number of rows with positive weight.
    reml : bool
    constant : float
        Added to the formula above for the user's scale: ``- sum log w`` and the scalings.
    sigma2 : float or None
        Residual variance if it is known rather than estimated.
    refinement : Refinement or None
        Split of the columns for data whose residuals are tiny.
    """

    gram: Gram
    covariance: CovarianceModel
    n: int
    reml: bool
    constant: float = 0.0
    sigma2: float | None = None
    refinement: Refinement | None = None

    @cached_property
    def n_fixed(self) -> int:
        """Number p of fixed effects."""
        return int(self.gram.total.shape[0]) - 1

    @cached_property
    def has_cheap_hessian(self) -> bool:
        """Whether the exact Hessian costs no more than an evaluation."""
        return self.gram.layout.n_factors <= 1 and self.gram.layout.n_remainder == 0

    @cached_property
    def nu(self) -> int:
        """Divisor of the residual variance: n, or n - p under REML."""
        return self.n - self.n_fixed if self.reml else self.n

    @cached_property
    def start(self) -> Array:
        """Starting values (n_theta,), from moments."""
        return moment_start(self.gram, self.covariance, self.n)

    @property
    def search_lower(self) -> Array:
        """Lower bounds for the optimiser."""
        return self.covariance.search_lower

    @property
    def upper(self) -> Array:
        """Upper bounds."""
        return self.covariance.upper

    def with_columns(self, columns: Array) -> LinearCriterion:
        """Return the criterion with ``[X y]`` multiplied by ``columns`` (p + 1, c)."""
        return replace(self, gram=self.gram.with_columns(columns), refinement=None)

    @property
    def is_refined(self) -> bool:
        """Whether the columns are split for precision."""
        return self.refinement is not None

    def refined(self, rows: Rows, weights: Array | None) -> LinearCriterion | None:
        """Return the criterion with the columns of ``rows`` split for precision; None if done or not possible."""
        split = None if self.is_refined else refinement(rows, self.gram, weights)
        return None if split is None else replace(self, refinement=split)

    def with_sigma2(self, sigma2: float) -> LinearCriterion:
        """Return the criterion with a known residual variance."""
        return replace(self, sigma2=sigma2)

    def with_response(
        self, rows: Rows, weights: Array | None, constant: float, sigma2: float | None
    ) -> LinearCriterion:
        """Return the criterion with the last dense column of ``rows`` as response."""
        gram = _with_response(self.gram, rows, weights)
        split = refinement(rows, gram, weights) if loses_digits(gram) else None
        return replace(self, gram=gram, constant=constant, sigma2=sigma2, refinement=split)

    @property
    def is_sampled(self) -> bool:
        """Whether traces and determinants are means over random probes."""
        return self.gram.layout.is_operator

    def with_solver(self, solver: Solver) -> LinearCriterion:
        """Return the criterion with its crossed equations solved in another way."""
        return replace(self, gram=replace(self.gram, solver=solver))

    def __call__(self, x: Array, near: LinearEvaluation | None = None) -> LinearEvaluation:
        """Evaluate at ``x = theta`` (n_theta,); equations that are solved by iteration start at those of ``near``."""
        return LinearEvaluation(self, np.asarray(x, dtype=float), None if near is None else near.factor.nearby)


@dataclass(frozen=True)
class LinearEvaluation:
    """The criterion and everything that follows from one factorisation; each part is computed when asked for."""

    criterion: LinearCriterion
    x: Array
    near: Nearby | None = None

    @property
    def theta(self) -> Array:
        """Covariance parameters (n_theta,): all parameters."""
        return self.x

    @cached_property
    def factor(self) -> BlockFactor:
        """The factorised mixed-model equations."""
        return factorize(self.criterion.gram, self.criterion.covariance.factors(self.theta), self.near)

    @cached_property
    def _solved(self) -> tuple[SplitEffects, SplitEffects, Array]:
        """``Sigma Z' V^-1 C``, ``Z' V^-1 C`` and ``C' V^-1 C`` for ``C = [X y]``."""
        gram, refinement = self.criterion.gram, self.criterion.refinement
        if refinement is not None:
            return refinement.solve(self.factor)
        b, outside = self.factor.solve(gram.sides, gram.remainder_side)
        projected = gram.total - gram.remainder_side.T @ b.remainder if gram.layout.n_remainder else gram.total
        for side, effects in zip(gram.sides, b.chain, strict=True):
            c = side.shape[2]
            projected = projected - side.reshape(-1, c).T @ effects.reshape(-1, c)
        return b, outside, projected

    @property
    def projected(self) -> Array:
        """``[X y]' V^-1 [X y]`` (p + 1, p + 1)."""
        return self._solved[2]

    @cached_property
    def _cholesky(self) -> Array:
        projected = self._solved[2]
        root, info = lapack.dpotrf(0.5 * (projected + projected.T), lower=1, clean=1)
        if info > self.criterion.n_fixed:
            raise FloatingPointError("the residuals vanish in rounding")
        if info:
            raise FloatingPointError("X' V^-1 X is not positive definite")
        return cast(Array, root)

    @cached_property
    def beta(self) -> Array:
        """Generalised least-squares estimate (p,)."""
        p = self.criterion.n_fixed
        if p == 0:
            return np.zeros(0)
        solved, _ = lapack.dtrtrs(self._cholesky[:p, :p], self._cholesky[p, :p], lower=1, trans=1)
        return np.asarray(solved)

    @cached_property
    def unscaled_cov(self) -> Array:
        """``(X' V^-1 X)^-1`` (p, p)."""
        p = self.criterion.n_fixed
        if p == 0:
            return np.zeros((0, 0))
        inverse, _ = lapack.dpotri(self._cholesky[:p, :p], lower=1)
        return mirrored(np.asarray(inverse))

    @property
    def unscaled_root(self) -> Array:
        """``R`` (p, p) with ``R R'`` = :attr:`unscaled_cov`, which there is however ill-conditioned that is."""
        p = self.criterion.n_fixed
        if p == 0:
            return np.zeros((0, 0))
        inverse, _ = lapack.dtrtri(self._cholesky[:p, :p], lower=1)
        return np.asarray(inverse.T)

    @cached_property
    def r2(self) -> float:
        """Generalised residual sum of squares."""
        return float(self._cholesky[-1, -1]) ** 2

    @cached_property
    def sigma2(self) -> float:
        """Residual variance: estimated, or the known one."""
        known = self.criterion.sigma2
        return self.r2 / self.criterion.nu if known is None else known

    @cached_property
    def value(self) -> float:
        """Minus twice the log-likelihood (restricted under REML), all constants included."""
        criterion = self.criterion
        total = self.factor.logdet + criterion.constant + criterion.nu * math.log(2.0 * math.pi * self.sigma2)
        if criterion.reml:
            total += 2.0 * float(np.log(self._cholesky.diagonal()[:-1]).sum())
        return total + self.r2 / self.sigma2

    @cached_property
    def effects(self) -> tuple[Array, ...]:
        """``b = Sigma Z' P y`` (Q, m) by factor in elimination order: the conditional modes."""
        return self._combined(self._solved[0])

    @cached_property
    def s(self) -> tuple[Array, ...]:
        """``Z' P y`` (Q, m) by factor."""
        return self._combined(self._solved[1])

    @cached_property
    def _of_residual(self) -> Array:
        """``(-beta, 1)`` (p + 1,): what makes residuals of ``[X y]``."""
        weights = np.ones(self.beta.size + 1)
        np.negative(self.beta, out=weights[:-1])
        return weights

    def _combined(self, effects: SplitEffects) -> tuple[Array, ...]:
        return tuple(part @ self._of_residual for part in self.by_factor(effects))

    def by_factor(self, effects: SplitEffects) -> list[Array]:
        """Split effects into (Q, m, c) by factor, the remainder's factors included."""
        layout = self.criterion.gram.layout
        out = list(effects.chain)
        for r in layout.remainder:
            out.append(effects.remainder[layout.span(r)].reshape(layout.sizes[r], layout.levels[r], -1))
        return out

    @cached_property
    def column_effects(self) -> tuple[Array, ...]:
        """``Sigma Z' V^-1 [X y]`` (Q, m, p + 1) by factor: the predicted random effects of every dense column."""
        return tuple(self.by_factor(self._solved[0]))

    @cached_property
    def z_vinv_x(self) -> tuple[Array, ...]:
        """``Z' V^-1 X`` (Q, m, p) by factor."""
        return tuple(part[:, :, :-1] for part in self.by_factor(self._solved[1]))

    @cached_property
    def information(self) -> tuple[Array, ...]:
        """Diagonal blocks (Q, Q, m) of ``Z' V^-1 Z`` by factor."""
        return self.factor.information()

    @cached_property
    def covariance_gradient(self) -> tuple[Array, ...]:
        """``N`` (Q, Q) by factor: the derivative with respect to the relative covariance."""
        out = []
        for information, s, zx in zip(self.information, self.s, self.z_vinv_x, strict=True):
            n = information.sum(axis=2) - s @ s.T / self.sigma2
            if self.criterion.reml and self.criterion.n_fixed:
                size = zx.shape[0]
                n = n - (zx @ self.unscaled_cov).reshape(size, -1) @ zx.reshape(size, -1).T
            out.append(0.5 * (n + n.T))
        return tuple(out)

    def without_near(self) -> LinearEvaluation:
        """Return the evaluation without its memory of another."""
        return LinearEvaluation(self.criterion, self.x)

    @cached_property
    def covariance_deviations(self) -> tuple[Array, ...]:
        """By how much ``N`` of each random probe (K, Q, Q) differs from the mean, by factor; empty if exact."""
        return self.factor.information_deviations() if self.criterion.is_sampled else ()

    @cached_property
    def gradient_deviations(self) -> Array:
        """By how much the gradient of each random probe (K, n_theta) differs from the mean; K = 0 if exact."""
        probes = len(self.covariance_deviations[0]) if self.covariance_deviations else 0
        each = [[part[k] for part in self.covariance_deviations] for k in range(probes)]
        rows = [self.criterion.covariance.gradient(self.sigma_derivatives, parts) for parts in each]
        return np.array(rows).reshape(probes, self.theta.size)

    @property
    def values(self) -> Array:
        """:attr:`value` by each random probe (K,); empty if exact."""
        return self.factor.logdets - self.factor.logdet + self.value if self.criterion.is_sampled else np.zeros(0)

    @cached_property
    def sigma_derivatives(self) -> list[Array]:
        """``dSigma / dtheta`` (k_f, Q, Q) by factor, for the factor's own parameters."""
        return self.criterion.covariance.covariance_derivatives(self.theta, self.factor.factors)

    @cached_property
    def gradient(self) -> Array:
        """Exact gradient (n_theta,)."""
        return self.criterion.covariance.gradient(self.sigma_derivatives, self.covariance_gradient)

    @property
    def response_slopes(self) -> Array:
        """Minus the derivative of :attr:`r2` with respect to theta (n_theta,)."""
        return self.quadratic_forms[1]

    @property
    def linear(self) -> LinearEvaluation:
        """This evaluation: there is no residual structure."""
        return self

    @cached_property
    def quadratic_forms(self) -> tuple[Array, Array]:
        """``w_i' P w_j`` (k, k) and ``w_i' P y`` (k,) with ``w_i = dV/dtheta_i P y``."""
        covariance, k, p = self.criterion.covariance, self.criterion.covariance.n_theta, self.criterion.n_fixed
        outer, cross_x, cross_y = np.zeros((k, k)), np.zeros((p, k)), np.zeros(k)
        t = [(d @ s).transpose(1, 2, 0) for d, s in zip(self.sigma_derivatives, self.s, strict=True)]
        order = covariance.order
        for f, (positions, moved) in enumerate(zip(covariance.by_factor, self.moved(t), strict=True)):
            flat = t[f].reshape(self.s[f].size, positions.size)
            cross_x[:, positions] = self.z_vinv_x[f].reshape(len(flat), p).T @ flat
            cross_y[positions] = self.s[f].ravel() @ flat
            outer[positions[:, None], order] = flat.T @ moved.reshape(len(flat), k)
        outer -= cross_x.T @ self.unscaled_cov @ cross_x
        return 0.5 * (outer + outer.T), cross_y

    def moved(self, t: list[Array]) -> list[Array]:
        """Return ``Z_g' V^-1 Z_f t_f`` (Q, m, k) by factor g, the columns of all factors f side by side."""
        gram = self.criterion.gram
        if not t:
            return []
        if gram.layout.n_factors == 1 and gram.layout.n_chain == 1:
            return [apply(self.information[0], t[0])]
        sides, rests = zip(*(gram.times(f, columns) for f, columns in enumerate(t)), strict=True)
        chain = [np.concatenate(parts, axis=2) for parts in zip(*sides, strict=True)]
        return self.by_factor(self.factor.solve(chain, np.concatenate(rests, axis=1))[1])

    def _with_trace(self, trace: Array | float) -> Array:
        outer, cross_y = self.quadratic_forms
        bend = self.criterion.covariance.curvature(self.theta, self.covariance_gradient)
        hessian = 2.0 * outer / self.sigma2 - trace + bend
        if self.criterion.sigma2 is None:
            slopes = cross_y / self.sigma2
            hessian = hessian - slopes[:, None] * (slopes / self.criterion.nu)
        return np.asarray(hessian)

    @cached_property
    def average_information(self) -> Array:
        """Hessian (n_theta, n_theta) with the trace replaced by the quadratic form: right for iterating."""
        return self._with_trace(self.quadratic_forms[0] / self.sigma2)

    @property
    def has_cheap_hessian(self) -> bool:
        """Whether the exact Hessian costs no more than an evaluation."""
        return self.criterion.has_cheap_hessian

    @property
    def curvature_is_exact(self) -> bool:
        """Whether :attr:`curvature` is the exact Hessian."""
        return self.has_cheap_hessian

    @property
    def curvature(self) -> Array:
        """The Hessian to iterate with: the exact one where it is cheap, else the average information."""
        return self.hessian if self.has_cheap_hessian else self.average_information

    @property
    def hessian_is_exact(self) -> bool:
        """Whether :attr:`hessian` is the Hessian itself (of the random probes if any), not the average information."""
        return not self.criterion.is_sampled or min(self.criterion.gram.layout.levels) < MANY_LEVELS

    @cached_property
    def hessian(self) -> Array:
        """Exact Hessian (n_theta, n_theta); with random probes and many levels the average information."""
        if not self.hessian_is_exact:
            return self.average_information
        bounds = self.criterion.search_lower, self.criterion.upper
        if self.criterion.is_sampled:
            return central_differences(lambda theta: self.criterion(theta, self).gradient, self.theta, *bounds)
        if self.has_cheap_hessian:
            return self._with_trace(traces_of_blocks(self))
        layout = self.criterion.gram.layout
        if has_intercepts_only(self):
            return self._with_trace(traces_of_intercepts(self))
        n_effects = sum(m * q for m, q in zip(layout.levels, layout.sizes, strict=True))
        if n_effects <= min(DENSE_EFFECTS, DENSE_PER_PARAMETER * self.theta.size):
            return self._with_trace(dense_traces(self))
        if self.factor.remainder is not None:
            self.factor.remainder.forget()
        return central_differences(lambda theta: self.criterion(theta).gradient, self.theta, *bounds)

    def forget(self) -> None:
        """Drop what grows with the data, unless it rests on random probes; it is computed again when asked for."""
        for name in () if self.criterion.is_sampled else LARGE:
            self.__dict__.pop(name, None)

    @cached_property
    def x_form_stack(self) -> Array:
        """``X' V^-1 (dV/dtheta_i) V^-1 X`` (k, p, p): minus the derivative of ``X' V^-1 X``."""
        p = self.criterion.n_fixed
        out = np.zeros((self.theta.size, p, p))
        by_factor = self.criterion.covariance.by_factor
        for positions, d, zx in zip(by_factor, self.sigma_derivatives, self.z_vinv_x, strict=True):
            size, m, _ = zx.shape
            flat = np.ascontiguousarray(zx.transpose(1, 0, 2).reshape(m, size * p))  # the same bits after a pickle
            gram = (flat.T @ flat).reshape(size, p, size, p).transpose(0, 2, 1, 3)
            out[positions] = (d.reshape(-1, size * size) @ gram.reshape(size * size, p * p)).reshape(len(d), p, p)
        return out


def _with_response(gram: Gram, rows: Rows, weights: Array | None) -> Gram:
    """The cross-products with the last dense column of ``rows`` in place of the old response."""
    layout, y = gram.layout, rows.columns[:, -1]
    weighted = y if weights is None else y * weights
    row_map = RowMap(rows)
    side = row_map.collect(weighted[:, None])
    chain = tuple(
        np.concatenate([old[:, :, :-1], new], axis=2) for old, new in zip(gram.sides, row_map.split(side), strict=False)
    )
    rest = np.concatenate([gram.remainder_side[:, :-1], side[row_map.starts[layout.n_chain] :]], axis=1)
    total = gram.total.copy()
    total[-1] = total[:, -1] = rows.columns.T @ weighted
    return replace(gram, sides=chain, remainder_side=rest, total=total)


def central_differences(gradient: Callable[[Array], Array], theta: Array, lower: Array, upper: Array) -> Array:
    """Return the symmetric Jacobian (k, k) of an exact ``gradient`` at ``theta`` (k,), within the bounds."""
    steps = DIFFERENCE_STEP * np.maximum(np.abs(theta), 0.1)
    theta = np.clip(theta, lower + steps, upper - steps)
    columns = []
    for i, step in enumerate(steps):
        shift = np.zeros_like(theta)
        shift[i] = step
        try:
            columns.append((gradient(theta + shift) - gradient(theta - shift)) / (2.0 * step))
        except FloatingPointError:
            columns.append(np.full_like(theta, np.nan))
    jacobian = np.array(columns)
    return np.asarray(0.5 * (jacobian + jacobian.T))
