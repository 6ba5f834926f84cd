"""The fixed effects profiled out of the Laplace approximation by the inner iteration: quick and slightly off.

``beta`` maximises the penalised log-likelihood together with the random effects instead of the Laplace approximation,
so that an optimiser sees only theta and the auxiliary parameters. lme4 calls it ``nAGQ = 0``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.criterion.marginal import MarginalModel
from mixedfx.criterion.mode_state import ModeState
from mixedfx.criterion.pirls import find_joint_mode

__all__ = ["ProfiledEvaluation", "profiled"]


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
        state = self.inner.state
        model, p = state.model, state.model.n_fixed
        weighted = model.X * state.expansion.observed.weight[:, None]
        return np.asarray(model.X.T @ weighted + model.space.collect(weighted).T @ state.movement[0][:, :p])

    @cached_property
    def covariance(self) -> Array:
        """Covariance (p, p) of the fixed effects given the other parameters."""
        return self._solved(np.eye(self.inner.state.model.n_fixed))

    def _solved(self, side: Array) -> Array:
        """Solve with the information of the fixed effects.

        Raises
        ------
        FloatingPointError
            If the rows say nothing of some combination of them.
        """
        try:
            return np.asarray(np.linalg.solve(self.information, side))
        except np.linalg.LinAlgError:
            raise FloatingPointError("the information about the fixed effects is singular") from None

    @cached_property
    def _fixed_movement(self) -> Array:
        """Derivative (p, k) of the profiled ``beta`` in the other parameters."""
        state = self.inner.state
        model, p = state.model, state.model.n_fixed
        weighted = model.X * state.expansion.observed.weight[:, None]
        change = -model.space.collect(weighted).T @ state.movement[0][:, p:]
        mixed = [m * part.mixed[:, None] for m, part in zip(model.auxiliary_matrices, state.expansion.auxiliary)]
        if mixed:
            change[:, model.covariance.n_theta :] += model.X.T @ np.concatenate(mixed, axis=1)
        return self._solved(change)

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
        return np.asarray(whole[p:, p:] - whole[p:, :p] @ np.linalg.solve(whole[:p, :p], whole[:p, p:]))


def profiled(model: MarginalModel, outer: Array, near: tuple[Array, Array]) -> ProfiledEvaluation:
    """Evaluate at ``outer = (theta, extra)``, the search starting from fixed and random effects ``near``."""
    k = model.covariance.n_theta
    auxiliary = model.auxiliary_values(outer[k:])

    def quadratic(eta: Array) -> tuple[Array, Array, Array]:
        return model.likelihood.quadratic(eta, auxiliary)

    factors = model.covariance.factors(outer[:k])
    mode = find_joint_mode(model.space, quadratic, model.X, model.offset, factors, near)
    return ProfiledEvaluation(LaplaceEvaluation(ModeState(model, np.concatenate([mode.beta, outer]), mode)))
