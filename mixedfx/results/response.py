"""The response of a generalised model at its estimate: means, residuals, draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._typing import Array
from mixedfx.calculus.quadrature import averaged
from mixedfx.criterion.generalized_problem import GeneralizedProblem
from mixedfx.exceptions import SpecificationError
from mixedfx.families import Family

__all__ = ["RESIDUALS", "ResponseModel"]


@dataclass(frozen=True)
class ResponseModel:
    """A family at its estimated parameters.

    Attributes
    ----------
    problem : GeneralizedProblem
    estimate : (k,)
        All parameters on the user's scale.
    """

    problem: GeneralizedProblem
    estimate: Array

    @property
    def phi(self) -> Array:
        """Family-wide parameters on their unbounded scales."""
        return np.asarray(self.estimate[self.estimate.size - len(self.problem.family.phi_names) :])

    @cached_property
    def matrices(self) -> dict[str, Array]:
        """Columns of the further linear predictors in the fitted rows."""
        return {c.name: c.matrix for c in self.problem.components}

    @property
    def trials(self) -> Array | float:
        """Binomial denominators of the fitted rows."""
        trials = self.problem.design.response.trials
        return 1.0 if trials is None else trials

    def predictors(self, eta: Array, matrices: dict[str, Array]) -> Array:
        """Return all linear predictors as the family takes them, from the first one (…, n)."""
        if not self.problem.components:
            return eta
        others = [
            matrices[c.name] @ self.estimate[self.problem.component_slices[c.name]] for c in self.problem.components
        ]
        return np.stack(np.broadcast_arrays(eta, *others), axis=-1)

    def mean(self, predictors: Array) -> Array:
        """Return the mean of the response."""
        return self.mean_at(predictors, self.phi)

    def mean_at(self, predictors: Array, phi: Array) -> Array:
        """Return the mean of the response at other family-wide parameters."""
        return self.problem.family.mean(predictors, phi)

    def drawn(self, eta: Array, matrices: dict[str, Array], prior: Array | None, rng: np.random.Generator) -> Array:
        """Draw responses (…, n) for rows with their trials or weights ``prior`` (n,); nan where something is unknown.

        Binomial rows without trials are nan too.
        """
        counted = self.problem.design.response.trials is not None
        known = np.isfinite(eta).all(axis=tuple(range(eta.ndim - 1)))
        for matrix in matrices.values():
            known &= np.isfinite(matrix).all(axis=1)
        if prior is not None:
            known &= prior > 0 if counted else np.isfinite(prior)
        at = slice(None) if known.all() else known
        predictors = self.predictors(eta[..., at], {name: matrix[at] for name, matrix in matrices.items()})
        own = None if prior is None else prior[at]
        trials, weights = (own, None) if counted else (None, own)
        family = self.problem.family
        drawn = family.simulate(rng, predictors, self.phi, trials=1.0 if trials is None else trials, weights=weights)
        if known.all():
            return drawn
        out = np.full(eta.shape, np.nan)
        out[..., at] = drawn
        return out

    def predicted(self, which: str, eta: pd.Series[float], matrices: dict[str, Array], variance: Array) -> Any:
        """Return means, category probabilities or natural values of a component, for linear predictors ``eta``."""
        family = self.problem.family
        if which == "mean":
            mean = _averaged(lambda e: self.mean(self.predictors(e, matrices)), eta, variance)
            return pd.Series(mean, index=eta.index, name="predicted")
        if which in matrices:
            parameter = next(p for p in family.parameters if p.name == which)
            values = matrices[which] @ self.estimate[self.problem.component_slices[which]]
            return pd.Series([parameter.natural(v) for v in values], index=eta.index, name=which, dtype=float)
        if which == "probabilities" and family.has_categories:
            return self._probabilities(family, eta, variance)
        known = ["mean", "linear", "marginal", *matrices, *(["probabilities"] if family.has_categories else [])]
        raise SpecificationError(f"which is one of {', '.join(map(repr, known))}; found {which!r}")

    def _probabilities(self, family: Family, eta: pd.Series[float], variance: Array) -> pd.DataFrame:
        columns = [
            _averaged(lambda e, j=j: family.probabilities(e, self.phi)[..., j], eta, variance)  # type: ignore[misc]
            for j in range(family.n_categories)
        ]
        names = self.problem.design.response.categories or range(1, family.n_categories + 1)
        return pd.DataFrame(np.stack(columns, axis=1), index=eta.index, columns=list(names))


def _averaged(function: Callable[[Array], Array], eta: pd.Series[float], variance: Array) -> Array:
    """The function of the linear predictor, averaged where there is variance."""
    values: Array = np.asarray(eta, dtype=np.float64)
    return averaged(function, values, variance) if variance.any() else np.asarray(function(values))


def _response(model: ResponseModel, predictors: Array, rng: np.random.Generator) -> Array:
    return np.asarray(model.problem.design.response.values - model.mean(predictors))


def _pearson(model: ResponseModel, predictors: Array, rng: np.random.Generator) -> Array:
    weights = model.problem.design.weights
    variance = model.problem.family.variance(predictors, model.phi, trials=model.trials, weights=weights)
    counted = model.problem.observed.multiplier
    size = np.where(np.isfinite(variance) & (variance > 0), variance, np.nan)
    return np.asarray(_response(model, predictors, rng) * np.sqrt((1.0 if counted is None else counted) / size))


def _deviance(model: ResponseModel, predictors: Array, rng: np.random.Generator) -> Array:
    deviance = model.problem.family.unit_deviance(model.problem.observed, predictors, model.phi)
    return np.asarray(np.sign(_response(model, predictors, rng)) * np.sqrt(np.maximum(deviance, 0.0)))


def _working(model: ResponseModel, predictors: Array, rng: np.random.Generator) -> Array:
    family, observed = model.problem.family, model.problem.observed
    gradient = family.derivatives(observed, predictors, model.phi, order=1)[1]
    slope = gradient if len(family.predictors) == 1 else gradient[..., 0]
    weight = family.expected_weights(observed, predictors, model.phi)
    out = np.full(weight.shape, np.nan)
    np.divide(slope, weight, out=out, where=weight > 0)
    return out


def _quantile(model: ResponseModel, predictors: Array, rng: np.random.Generator) -> Array:
    low, high = model.problem.family.cdf_limits(model.problem.observed, predictors, model.phi)
    draw = low + (high - low) * rng.uniform(size=low.shape)
    return np.asarray(special.ndtri(np.clip(draw, np.finfo(float).tiny, 1.0 - np.finfo(float).epsneg)))


RESIDUALS: dict[str, Callable[[ResponseModel, Array, np.random.Generator], Array]] = {
    "response": _response,
    "pearson": _pearson,
    "deviance": _deviance,
    "working": _working,
    "quantile": _quantile,
}
"""Residuals by kind."""
