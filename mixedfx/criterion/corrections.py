"""What the Laplace approximation lacks: all of it where the integral is known, else the next term of the expansion.

With ``S = Z K Z'`` (K the conditional covariance of the random effects) and ``b3, b4`` minus the third and fourth
derivatives of the log-likelihood of every row, those of the laws among them, the second-order approximation adds

    ``- sum_o b4_o S_oo^2 / 8 + sum_op b3_o b3_p (S_oo S_op S_pp / 8 + S_op^3 / 12)``.

For Poisson counts with gamma effects, and gamma responses with inverse gamma effects, h is the logarithm of a gamma
density in the effect of every level but for a constant, and what Laplace's approximation lacks is the remainder of
Stirling's formula of its shape. That is free of the fixed effects, so that the best ones are those of h.

References
----------
Shun & McCullagh (1995), JRSS B 57, 749; Noh & Lee (2007), J. Multivariate Anal. 98, 896; Lee & Nelder (1996).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy import special as sp

from mixedfx._lazy import cached_property
from mixedfx._typing import Array, IntArray
from mixedfx.calculus.gamma_functions import stirling
from mixedfx.calculus.jets import seeds
from mixedfx.criterion.hierarchical import AugmentedLikelihood, HierarchicalProblem
from mixedfx.criterion.laplace import LaplaceEvaluation, ProfiledEvaluation, profiled
from mixedfx.criterion.marginal import MarginalModel
from mixedfx.criterion.mode import ModeState, mode_covariance, mode_state
from mixedfx.exceptions import SpecificationError
from mixedfx.families.evaluate import plain_parameters

__all__ = [
    "CLOSED_FORMS",
    "NOTHING",
    "Conjugate",
    "CorrectedEvaluation",
    "Correction",
    "Posterior",
    "RestrictedEvaluation",
    "SecondOrder",
    "WholeRestricted",
    "adjusted_at",
    "adjusted_here",
    "restricted",
]

STENCIL = ((1.0, 8.0), (2.0, -1.0))  # five-point rule: offsets and weights / 12
STEP = 1e-3  # of that rule, relative to the size of a parameter
MOST_ROWS = 4000  # of the data and of the levels together, for which all pairs are looked at
LOG_2PI = float(np.log(2.0 * np.pi))


class Correction(ABC):
    """What is added to the logarithm of the Laplace approximation."""

    @abstractmethod
    def value(self, state: ModeState) -> float:
        """Return the correction at a conditional mode."""

    @abstractmethod
    def gradient(self, state: ModeState) -> Array:
        """Return its derivatives (k,) in all parameters, the mode moving with them."""


@dataclass(frozen=True)
class _Nothing(Correction):
    def value(self, state: ModeState) -> float:
        return 0.0

    def gradient(self, state: ModeState) -> Array:
        return np.zeros(state.x.size)


NOTHING: Correction = _Nothing()


# ---------------------------------------------------------------- closed forms
@dataclass(frozen=True)
class Posterior:
    """The density of ``sign v`` of every level given the data: ``exp(shape w - rate e^w)`` but for a constant.

    Attributes
    ----------
    sign : float
        1 where u has a gamma density given the data, -1 where it has an inverse gamma one.
    shape, rate : (m,)
    """

    sign: float
    shape: Array
    rate: Array

    def effects(self) -> dict[str, Array]:
        """Return mean, mode and standard deviation (m,) of u given the data; infinite where there is none."""
        a, b = self.shape, self.rate
        if self.sign > 0:
            return {"mean": a / b, "mode": np.maximum(a - 1.0, 0.0) / b, "sd": np.sqrt(a) / b}
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(a > 1.0, b / (a - 1.0), np.inf)
            sd = np.where(a > 2.0, mean / np.sqrt(np.maximum(a - 2.0, 0.0)), np.inf)
        return {"mean": mean, "mode": b / (a + 1.0), "sd": sd}

    def predictor_means(self) -> Array:
        """Return the mean (m,) of v given the data."""
        return np.asarray(self.sign * (sp.digamma(self.shape) - np.log(self.rate)))


class Conjugate(Correction):
    """A pair of a family and a law whose integral is known: the remainder of Stirling's formula of every level."""

    @abstractmethod
    def posterior(self, state: ModeState) -> Posterior:
        """Return what is known of every level given the data."""

    @abstractmethod
    def shape_slopes(self, state: ModeState, weights: Array) -> Array:
        """Return the derivatives (k,) in all parameters of the sum of the shapes times ``weights`` (m,)."""

    def value(self, state: ModeState) -> float:
        """Return the sum of the remainders of the shapes."""
        return float(self._remainder(self.posterior(state).shape, 0).sum())

    def gradient(self, state: ModeState) -> Array:
        """Return its derivatives (k,)."""
        shape = self.posterior(state).shape
        return self.shape_slopes(state, self._remainder(shape, 1) / shape)

    @staticmethod
    def _remainder(shape: Array, order: int) -> Array:
        (log_shape,), _ = seeds([np.log(shape)], [], 1)
        return stirling(log_shape).part((0,) * order)


def _parts(state: ModeState) -> tuple[AugmentedLikelihood, IntArray, Array, float]:
    """The likelihood, the level (n,) of every row of the data, its multiplicity (n,), and ``1 / lambda``."""
    likelihood = cast(AugmentedLikelihood, state.model.likelihood)
    codes = state.model.space.rows.layout.codes[0][: likelihood.n_data]
    multiplier = likelihood.observed.multiplier
    counted = np.ones(likelihood.n_data) if multiplier is None else multiplier
    return likelihood, codes, counted, float(np.exp(-state.auxiliary[0]))


def _level_sums(codes: IntArray, values: Array, state: ModeState) -> Array:
    return np.asarray(np.bincount(codes, weights=values, minlength=state.model.space.n_effects), dtype=float)


def _fixed_mean(state: ModeState, n: int) -> Array:
    """Means (n,) of the rows of the data at ``u = 1``, under a log link."""
    return np.exp(state.model.fixed_part(state.parts.beta)[:n])


@dataclass(frozen=True)
class PoissonGamma(Conjugate):
    """Poisson counts with a log link and gamma effects: negative multinomial given the fixed effects."""

    def posterior(self, state: ModeState) -> Posterior:
        """Shape ``y+ + k`` and rate ``mu+ + k``."""
        likelihood, codes, counted, k = _parts(state)
        mean = _fixed_mean(state, likelihood.n_data)
        shape = _level_sums(codes, counted * likelihood.observed.y, state) + k
        return Posterior(1.0, shape, _level_sums(codes, counted * mean, state) + k)

    def shape_slopes(self, state: ModeState, weights: Array) -> Array:
        """Only lambda moves a shape."""
        out = np.zeros(state.x.size)
        out[state.model.theta_slice.stop] = -float(np.exp(-state.auxiliary[0])) * float(weights.sum())
        return out


@dataclass(frozen=True)
class GammaInverseGamma(Conjugate):
    """Gamma responses with a log link and inverse gamma effects."""

    @staticmethod
    def _shapes(state: ModeState) -> Array:
        """``1 / dispersion`` (n,) of the rows."""
        likelihood = _parts(state)[0]
        eta, phi = likelihood.arguments(state.mode.eta, state.auxiliary)
        family, observed = likelihood.family, likelihood.observed
        (log_dispersion,) = plain_parameters(family, eta, phi, observed.log_precision)
        return np.broadcast_to(np.exp(-log_dispersion), likelihood.n_data)

    def posterior(self, state: ModeState) -> Posterior:
        """Shape ``kappa+ + 1 + k`` and scale ``(kappa y / mu)+ + k``."""
        likelihood, codes, counted, k = _parts(state)
        kappa = counted * self._shapes(state)
        ratio = likelihood.observed.y / _fixed_mean(state, likelihood.n_data)
        shape = _level_sums(codes, kappa, state) + 1.0 + k
        return Posterior(-1.0, shape, _level_sums(codes, kappa * ratio, state) + k)

    def shape_slopes(self, state: ModeState, weights: Array) -> Array:
        """Lambda and the dispersion move the shapes."""
        likelihood, codes, counted, k = _parts(state)
        model, out = state.model, np.zeros(state.x.size)
        out[model.theta_slice.stop] = -k * float(weights.sum())
        by_row = -counted * self._shapes(state) * weights[codes]
        at, matrix = model.extra_slices[1], model.auxiliary_matrices[1][: likelihood.n_data]
        start = model.theta_slice.stop
        out[start + at.start : start + at.stop] = matrix.T @ by_row
        return out


CLOSED_FORMS: dict[tuple[str, str, str], Conjugate] = {
    ("poisson", "log", "gamma"): PoissonGamma(),
    ("gamma", "log", "inverse_gamma"): GammaInverseGamma(),
}
"""By family, link and law of the effects of a single grouping factor."""


# ---------------------------------------------------------------- the second order
@dataclass(frozen=True)
class SecondOrder(Correction):
    """The next term of the expansion of the integral; its derivatives by a five-point rule."""

    def value(self, state: ModeState) -> float:
        """Return the term."""
        model = state.model
        likelihood = cast(AugmentedLikelihood, model.likelihood)
        third = state.expansion.observed.slope
        fourth = -likelihood.fourth(state.mode.eta, state.auxiliary)
        rows = model.space.rows
        if rows.layout.n_factors == 1 and rows.layout.sizes[0] == 1 and not rows.loadings:
            return _of_levels(state, third, fourth)
        if third.size > MOST_ROWS:
            raise SpecificationError(
                'method="laplace2" looks at all pairs of rows where factors are crossed or groups have several '
                f"effects: at most {MOST_ROWS} rows and levels, here are {third.size}; write method='laplace'"
            )
        Z = model.space.collect(np.eye(third.size))
        S = Z.T @ model.space.solve(state.determinant_factor, Z)[0]
        own = S.diagonal()
        pull = third * own
        return float(-0.125 * (fourth @ own**2) + 0.125 * (pull @ S @ pull) + third @ (S * S * S) @ third / 12.0)

    def gradient(self, state: ModeState) -> Array:
        """Return its derivatives (k,)."""

        def at(x: Array) -> float:
            return self.value(mode_state(state.model, x, state))

        return _slopes(at, state.x)


def _of_levels(state: ModeState, third: Array, fourth: Array) -> float:
    """The term where every row has one effect, independent of the others."""
    rows = state.model.space.rows
    z, codes, m = rows.z[0][0], rows.layout.codes[0], rows.layout.levels[0]
    K = mode_covariance(state, 0)[0, 0]
    third_sums = np.bincount(codes, weights=third * z**3, minlength=m)
    fourth_sums = np.bincount(codes, weights=fourth * z**4, minlength=m)
    return float(np.sum(-0.125 * fourth_sums * K**2 + (5.0 / 24.0) * third_sums**2 * K**3))


def _slopes(function: Callable[[Array], float], x: Array) -> Array:
    """Derivatives (k,) of a smooth function by a five-point rule."""
    steps = STEP * np.maximum(np.abs(x), 1.0)
    out = np.zeros(x.size)
    for j, step in enumerate(steps):
        for offset, weight in STENCIL:
            for sign in (1.0, -1.0):
                moved = x.copy()
                moved[j] += sign * offset * step
                out[j] += sign * weight * function(moved) / (12.0 * step)
    return out


# ---------------------------------------------------------------- criteria
class _Corrected(ABC):
    """What evaluations of a corrected likelihood share: neither probes nor nodes."""

    @property
    @abstractmethod
    def state(self) -> ModeState:
        """The joint mode."""

    @property
    def x(self) -> Array:
        """All parameters."""
        return self.state.x

    @property
    def covariance_deviations(self) -> tuple[Array, ...]:
        """Empty: there are no probes."""
        return ()

    @property
    def gradient_deviations(self) -> Array:
        """Empty (0, k): there are no probes."""
        return np.zeros((0, self.x.size))

    def moments(self, matrix: Array) -> None:
        """Return None: there are no nodes."""
        return


@dataclass(frozen=True)
class CorrectedEvaluation(_Corrected):
    """Minus twice the corrected log-likelihood at one point, in all parameters."""

    inner: LaplaceEvaluation
    correction: Correction

    @property
    def state(self) -> ModeState:
        """The conditional mode."""
        return self.inner.state

    @property
    def theta(self) -> Array:
        """Covariance parameters of the normal terms."""
        return self.inner.theta

    @cached_property
    def value(self) -> float:
        """Minus twice the log-likelihood, all constants included; ``inf`` where no mode was found."""
        value = self.inner.value
        return value - 2.0 * self.correction.value(self.state) if np.isfinite(value) else value

    @cached_property
    def gradient(self) -> Array:
        """Gradient (k,)."""
        return np.asarray(self.inner.gradient - 2.0 * self.correction.gradient(self.state))

    @property
    def curvature(self) -> Array:
        """That of the Laplace approximation's working model."""
        return self.inner.curvature

    @property
    def curvature_is_exact(self) -> bool:
        """Whether :attr:`curvature` is the Hessian itself."""
        return False

    @property
    def covariance_gradient(self) -> tuple[Array, ...]:
        """That of the Laplace approximation."""
        return self.inner.covariance_gradient

    def lighten(self) -> None:
        """Compute what a search asks of a point, and drop the rest of what has the length of the data."""
        for name in ("value", "gradient"):
            getattr(self, name)
        self.inner.lighten()


@dataclass(frozen=True)
class RestrictedEvaluation:
    """Minus twice the log-likelihood adjusted for the fixed effects, ``p_{beta,v}``, in all other parameters.

    Attributes
    ----------
    inner : ProfiledEvaluation
        At the joint mode of fixed and random effects.
    correction : Correction
    constant : float
        Difference of ``log |X'V^-1 X|`` on the user's and the inner scale, and ``-p log 2 pi``.
    """

    inner: ProfiledEvaluation
    correction: Correction
    constant: float

    @property
    def state(self) -> ModeState:
        """The joint mode."""
        return self.inner.inner.state

    @property
    def outer(self) -> Array:
        """All parameters but the fixed effects."""
        return self.state.x[self.state.model.n_fixed :]

    @cached_property
    def adjustment(self) -> float:
        """What is added to minus twice the Laplace log-likelihood."""
        return self._adjustment(self.inner)

    def _adjustment(self, at: ProfiledEvaluation) -> float:
        sign, logdet = np.linalg.slogdet(at.information)
        if sign <= 0:
            return np.inf
        return float(logdet) + self.constant - 2.0 * self.correction.value(at.inner.state)

    @cached_property
    def value(self) -> float:
        """Minus twice the adjusted log-likelihood, all constants included."""
        value = self.inner.value
        return value + self.adjustment if np.isfinite(value) else value

    @cached_property
    def gradient(self) -> Array:
        """Gradient (k,) in all parameters but the fixed effects."""
        near = (self.state.parts.beta, self.state.mode.b)

        def at(outer: Array) -> float:
            return self._adjustment(profiled(self.state.model, outer, near))

        return np.asarray(self.inner.gradient + _slopes(at, self.outer))

    @property
    def curvature(self) -> Array:
        """That of the profiled working model."""
        return self.inner.curvature

    @property
    def curvature_is_exact(self) -> bool:
        """Whether :attr:`curvature` is the Hessian itself."""
        return False


@dataclass(frozen=True)
class WholeRestricted(_Corrected):
    """The adjusted log-likelihood as a function of all parameters, the fixed effects at their best for the others."""

    point: RestrictedEvaluation

    @property
    def state(self) -> ModeState:
        """The joint mode."""
        return self.point.state

    @property
    def theta(self) -> Array:
        """Covariance parameters of the normal terms."""
        return self.state.parts.theta

    @property
    def value(self) -> float:
        """Minus twice the adjusted log-likelihood."""
        return self.point.value

    @property
    def gradient(self) -> Array:
        """Gradient (k,): zero for the fixed effects, which are the best ones."""
        return np.concatenate([np.zeros(self.state.model.n_fixed), self.point.gradient])

    @property
    def curvature(self) -> Array:
        """That of the Laplace approximation's working model."""
        return self.point.inner.inner.curvature

    @property
    def curvature_is_exact(self) -> bool:
        """Whether :attr:`curvature` is the Hessian itself."""
        return False

    @property
    def covariance_gradient(self) -> tuple[Array, ...]:
        """That of the Laplace approximation."""
        return self.point.inner.inner.covariance_gradient


def adjusted_at(
    problem: HierarchicalProblem, correction: Correction, outer: Array, near: tuple[Array, Array]
) -> RestrictedEvaluation:
    """Evaluate the adjusted likelihood at ``outer``, all parameters but the fixed effects, which are the best ones."""
    return restricted(problem.model, outer, near, correction, _adjustment_constant(problem))


def adjusted_here(problem: HierarchicalProblem, state: ModeState) -> WholeRestricted:
    """Evaluate the adjusted likelihood at the fixed effects of a state, whether they are the best ones or not."""
    here = ProfiledEvaluation(LaplaceEvaluation(state))
    return WholeRestricted(RestrictedEvaluation(here, NOTHING, _adjustment_constant(problem)))


def _adjustment_constant(problem: HierarchicalProblem) -> float:
    """Difference of the information's logarithm on the user's and the inner scale, and ``-p log 2 pi``."""
    matrix, p = problem.bases[0].matrix, problem.model.n_fixed
    return -2.0 * float(np.linalg.slogdet(matrix)[1]) - p * LOG_2PI if p else 0.0


def restricted(
    model: MarginalModel, outer: Array, near: tuple[Array, Array], correction: Correction, constant: float
) -> RestrictedEvaluation:
    """Evaluate at ``outer``, all parameters but the fixed effects, from fixed and random effects ``near``."""
    return RestrictedEvaluation(profiled(model, outer, near), correction, constant)
