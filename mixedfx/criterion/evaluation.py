"""What is asked of a criterion at one place, whichever kind of model it belongs to.

A criterion is a function of ``x``, all parameters that are not profiled out, on the inner scale: ``(theta, rho)`` of a
Gaussian model, ``(beta, theta, extra)`` of a generalised one. ``theta`` is always the covariance parameters alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from mixedfx._typing import Array

if TYPE_CHECKING:
    from mixedfx.criterion.assembly import CovarianceModel
    from mixedfx.criterion.linear import LinearEvaluation
    from mixedfx.criterion.mode import ModeState
    from mixedfx.criterion.quadrature import Moments
    from mixedfx.linalg.gram import Rows

__all__ = ["Evaluation", "GaussianCriterion", "GaussianEvaluation", "Integrator", "MarginalEvaluation"]


class Evaluation(Protocol):
    """Minus twice a log-likelihood at one place, with its derivatives; each part is computed when asked for."""

    @property
    def x(self) -> Array:
        """All parameters (k,) of the criterion, on the inner scale."""

    @property
    def theta(self) -> Array:
        """The covariance parameters (n_theta,) among them."""

    @property
    def value(self) -> float:
        """Minus twice the log-likelihood, plus any penalty; all constants included, on the user's scale."""

    @property
    def gradient(self) -> Array:
        """Exact gradient (k,) with respect to ``x``."""

    @property
    def curvature(self) -> Array:
        """The Hessian (k, k) to iterate with, exact or approximate."""

    @property
    def curvature_is_exact(self) -> bool:
        """Whether :attr:`curvature` is the Hessian itself."""

    @property
    def covariance_gradient(self) -> tuple[Array, ...]:
        """Derivative (Q, Q) with respect to the covariance of every grouping factor, in elimination order."""

    @property
    def covariance_deviations(self) -> tuple[Array, ...]:
        """By how much that of each random probe (K, Q, Q) differs from the mean, by factor; empty if all is exact."""


class GaussianEvaluation(Evaluation, Protocol):
    """The profiled criterion of a Gaussian model: fixed effects and residual variance follow from ``x``."""

    @property
    def hessian(self) -> Array:
        """Exact Hessian (k, k), unless :attr:`hessian_is_exact` denies it."""

    @property
    def hessian_is_exact(self) -> bool:
        """Whether :attr:`hessian` is the Hessian itself rather than the average information."""

    @property
    def linear(self) -> LinearEvaluation:
        """The linear algebra of the rows, whitened if the residuals have a structure."""

    @property
    def response_slopes(self) -> Array:
        """Minus the derivative (k,) of the residual sum of squares."""

    @property
    def x_form_stack(self) -> Array:
        """Minus the derivative (k, p, p) of ``X' V^-1 X``."""

    def forget(self) -> None:
        """Drop what takes memory; it is computed again when asked for."""


class MarginalEvaluation(Evaluation, Protocol):
    """An approximate log-likelihood of a generalised model, which rests on a conditional mode."""

    @property
    def state(self) -> ModeState:
        """The conditional mode."""

    @property
    def gradient_deviations(self) -> Array:
        """By how much the gradient by each random probe (K, k) differs from their mean; K = 0 if it is exact."""

    def moments(self, matrix: Array) -> Moments | None:
        """Return the moments of ``matrix @ b`` (r,) given the data, for every group; None if there are no nodes."""


Integrator = Callable[["ModeState"], MarginalEvaluation]  # Laplace, quadrature, …


class GaussianCriterion(Protocol):
    """Minus twice the (restricted) log-likelihood of a Gaussian model as a function of ``x = (theta, rho)``."""

    @property
    def covariance(self) -> CovarianceModel:
        """From theta to the covariances."""

    @property
    def reml(self) -> bool:
        """Whether the likelihood is the restricted one."""

    @property
    def constant(self) -> float:
        """Difference between the criterion on the user's scale and that of the inner columns."""

    @property
    def sigma2(self) -> float | None:
        """Residual variance on the inner scale if it is known."""

    @property
    def start(self) -> Array:
        """Starting values (k,)."""

    @property
    def search_lower(self) -> Array:
        """Lower bounds (k,) for the optimiser."""

    @property
    def upper(self) -> Array:
        """Upper bounds (k,)."""

    @property
    def nu(self) -> int:
        """Divisor of the residual variance: n, or n - p under REML."""

    @property
    def is_refined(self) -> bool:
        """Whether the columns are split for precision."""

    def refined(self, rows: Rows, weights: Array | None) -> GaussianCriterion | None:
        """Return the criterion with the columns of ``rows`` split for precision; None if done or not possible."""

    def with_columns(self, columns: Array) -> GaussianCriterion:
        """Return the criterion with ``[X y]`` multiplied by ``columns`` (p + 1, c)."""

    def with_sigma2(self, sigma2: float) -> GaussianCriterion:
        """Return the criterion with a known residual variance."""

    def with_response(
        self, rows: Rows, weights: Array | None, constant: float, sigma2: float | None
    ) -> GaussianCriterion:
        """Return the criterion with the last dense column of ``rows`` as response."""

    def __call__(self, x: Array, /) -> GaussianEvaluation:
        """Evaluate at ``x`` (k,)."""
