"""Confidence intervals of a fit by method: Wald, profile, bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.generalized_scales import generalized_variance_estimates
from mixedfx.inference.variance_scales import VarianceEstimates, variance_estimates
from mixedfx.results.base import MixedResults
from mixedfx.results.bootstrap import bootstrap
from mixedfx.results.further import further_wald
from mixedfx.results.generalized import GeneralizedLinearMixedResults
from mixedfx.results.linear import LinearMixedResults
from mixedfx.results.profile import profile
from mixedfx.results.quantities import Quantities, estimates, quantities

__all__ = ["confidence_intervals"]


@dataclass(frozen=True)
class _Request:
    """Arguments of ``conf_int``."""

    fit: MixedResults
    alpha: float
    which: str
    n: int
    seed: Any


def confidence_intervals(
    fit: MixedResults, alpha: float, method: str, which: str, *, n: int = 1000, seed: Any = None
) -> pd.DataFrame:
    """Return the intervals; :meth:`MixedResults.conf_int` calls it."""
    if method not in METHODS:
        raise SpecificationError(f"method is one of {', '.join(map(repr, METHODS))}; found {method!r}")
    return METHODS[method](_Request(fit, alpha, which, n, seed))


def _wald(request: _Request) -> pd.DataFrame:
    fit, known = request.fit, quantities(request.fit)
    chosen = known.chosen(request.which)
    parts = []
    if chosen.start < known.n_random:
        parts.append(_random_wald(fit, known, request.alpha))
    if request.which in ("fixed", "all"):
        parts.append(fit._wald_interval(request.alpha))
    if request.which in ("family", "all") and isinstance(fit, GeneralizedLinearMixedResults):
        parts.append(further_wald(fit.solution, request.alpha))
    parts = [part for part in parts if len(part)]
    return pd.concat(parts) if parts else pd.DataFrame(columns=["lower", "upper"], dtype=float)


def _random_wald(fit: MixedResults, known: Quantities, alpha: float) -> pd.DataFrame:
    """Limits of standard deviations on the log scale, of correlations on the atanh scale."""
    names = known.names[: known.n_random]
    if isinstance(fit, LinearMixedResults):
        found = _errors(variance_estimates(fit.variance_parameters, "sd"))
    else:
        assert isinstance(fit, GeneralizedLinearMixedResults)
        found = _errors(generalized_variance_estimates(fit.solution, "sd"))
    values = estimates(fit)[: known.n_random]
    se = np.array([found.get(name, np.nan) for name in names])
    reach = special.ndtri(1.0 - 0.5 * alpha) * se
    limits = np.full((len(names), 2), np.nan)
    for row, (low, value, half) in enumerate(zip(known.lower, values, reach, strict=False)):
        scale = LOGARITHM if low == 0.0 else FISHER
        if np.isfinite(half) and scale.inside(value):
            limits[row] = scale.limits(value, half)
    frame = pd.DataFrame(limits, index=list(names), columns=["lower", "upper"])
    if isinstance(fit, LinearMixedResults) and len(fit.residual_params):
        frame.loc[list(fit.residual_params.index)] = _structure_limits(fit, alpha)
    return frame


def _structure_limits(fit: LinearMixedResults, alpha: float) -> Array:
    """Limits (r, 2) of the parameters of a residual structure, on the scales where they are unbounded."""
    bound, k = fit.solution.problem.residual, fit.solution.inner_theta.size
    assert bound is not None
    own = slice(k, k + bound.n_rho)
    return bound.natural_intervals(fit.solution.rho, fit.variance_parameters.covariance[own, own], alpha)


@dataclass(frozen=True)
class _Scale:
    """A scale on which an estimate is closer to normal."""

    inside: Callable[[float], bool]
    free: Callable[[float], float]
    slope: Callable[[float], float]
    natural: Callable[[Array], Array]

    def limits(self, value: float, half: float) -> Array:
        reach = half * self.slope(value)
        with np.errstate(over="ignore"):  # a limit beyond all numbers is infinite
            return self.natural(self.free(value) + np.array([-reach, reach]))


LOGARITHM = _Scale(lambda v: v > 0.0, lambda v: float(np.log(v)), lambda v: 1.0 / v, np.exp)
FISHER = _Scale(lambda v: abs(v) < 1.0, lambda v: float(np.arctanh(v)), lambda v: 1.0 / (1.0 - v**2), np.tanh)


def _errors(found: VarianceEstimates) -> dict[str, float]:
    """Standard errors of the random part by name."""
    with np.errstate(invalid="ignore"):  # nan where there is no standard error
        errors = np.sqrt(found.covariance.diagonal())
    names = [_name(*label) for label in found.labels]
    return dict(zip(names, errors.tolist(), strict=True))


def _name(group: str, effect: str, other: str) -> str:
    if not effect:
        return "sigma"
    return f"cor_{other}.{effect}|{group}" if other else f"sd_{effect}|{group}"


def _profile(request: _Request) -> pd.DataFrame:
    return profile(request.fit).conf_int(request.alpha, request.which)


def _bootstrap(request: _Request) -> pd.DataFrame:
    replicates = bootstrap(request.fit, request.n, seed=request.seed)
    return replicates.conf_int(request.alpha, request.which)


METHODS: dict[str, Callable[[_Request], pd.DataFrame]] = {
    "wald": _wald,
    "profile": _profile,
    "bootstrap": _bootstrap,
}
"""Methods by name."""
