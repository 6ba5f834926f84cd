"""The normal law of best likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.deconvolution.kernels import Kernel, NormalErrors
from mixedfx.deconvolution.laws import NormalLaw, normal_nodes
from mixedfx.optimize import minimize

__all__ = ["normal_law"]

SPREADS = np.geomspace(1e-3, 3.0, 25)  # of the law that are tried, relative to that of the estimates
COARSE = 4  # every so many of them where each takes an integral
SMALLEST, LARGEST = 1e-6, 10.0
FIRST = 60  # locations that are tried
GAIN = 1e-10  # of the log-likelihood, relative to the number of observations, below which a spread is none


def normal_law(kernel: Kernel, weights: Array, near: NormalLaw | None = None) -> NormalLaw:
    """Maximise the likelihood over all normal laws, on the kernel's scale.

    Parameters
    ----------
    kernel : Kernel
        k observations.
    weights : (k,)
        How often each was observed.
    near : NormalLaw, optional
        A law at which the search may begin.

    Notes
    -----
    The likelihood can have several peaks where errors differ: the search begins at the best of many spreads.
    """
    used = weights > 0
    linear, w = kernel.take(np.flatnonzero(used)).linear, weights[used]
    estimates, errors = linear.estimates
    unit = float(np.hypot(np.sqrt(np.cov(estimates, aweights=w, ddof=0)), _finite(float(errors.min()))))
    low, high = _reach(linear, unit)
    fast = isinstance(linear, NormalErrors)
    spreads = unit * (SPREADS if fast and near is None else SPREADS[::COARSE])
    if near is not None and near.spread > 0:
        spreads = np.append(spreads, near.spread) if fast else np.array([near.spread])
    trials = [_best_location(linear, w, float(spread)) for spread in spreads]
    start = max(trials, key=lambda point: -point.value)
    found = minimize(
        lambda x: _Point.at(linear, w, float(x[0]), float(x[1])),
        np.array([start.location, start.spread]),
        np.array([low, SMALLEST * unit]),
        np.array([high, LARGEST * unit]),
    )
    point, mean = found.point, _best_location(linear, w, SMALLEST * unit)
    if -point.value <= -mean.value + GAIN * float(w.sum()):
        return NormalLaw(mean.location, 0.0, kernel.scale)
    return NormalLaw(point.location, point.spread, kernel.scale)


@dataclass(frozen=True)
class _Point:
    """Minus the log-likelihood at a location and a spread, with derivatives by Fisher's and Louis's identities."""

    location: float
    spread: float
    value: float
    gradient: Array
    curvature: Array
    curvature_is_exact: bool = True

    @classmethod
    def at(cls, kernel: Kernel, w: Array, location: float, spread: float) -> _Point:
        if isinstance(kernel, NormalErrors):
            return cls._of_normal(kernel, w, location, spread)
        nodes, weights, log_f = normal_nodes(kernel, location, spread)
        z = (nodes - location) / spread
        scores = np.stack([z / spread, (z * z - 1.0) / spread])
        mean = np.einsum("akm,km->ak", scores, weights)
        second = np.einsum("akm,bkm,km->abk", scores, scores, weights) - mean[:, None] * mean
        z1, z2 = (np.sum(weights * power, axis=1) for power in (z, z * z))
        complete = np.stack([[np.ones_like(z1), 2.0 * z1], [2.0 * z1, 3.0 * z2 - 1.0]]) / spread**2
        return cls(location, spread, -float(w @ log_f), -(mean @ w), (complete - second) @ w)

    @classmethod
    def _of_normal(cls, kernel: NormalErrors, w: Array, location: float, spread: float) -> _Point:
        total = spread**2 + kernel.sd**2
        r = (kernel.y - location) / total
        value = 0.5 * float(w @ (np.log(2.0 * np.pi * total) + r * (kernel.y - location)))
        by_variance = 0.5 * float(w @ (1.0 / total - r * r))
        bend = float(w @ (r * r / total - 0.5 / total**2))
        cross = 2.0 * spread * float(w @ (r / total))
        curvature = np.array([[float(w @ (1.0 / total)), cross], [cross, 4.0 * spread**2 * bend + 2.0 * by_variance]])
        return cls(location, spread, value, np.array([-float(w @ r), 2.0 * spread * by_variance]), curvature)


def _best_location(kernel: Kernel, w: Array, spread: float) -> _Point:
    """The location of best likelihood for a given spread."""
    points = np.linspace(*kernel.span, FIRST)
    start = float(points[np.argmax(w @ kernel.log_density(points[None, :]))])
    low, high = _reach(kernel, spread)
    found = minimize(
        lambda x: _Along.of(_Point.at(kernel, w, float(x[0]), spread)),
        np.array([start]),
        np.array([low]),
        np.array([high]),
    )
    return found.point.point


def _finite(error: float) -> float:
    return error if np.isfinite(error) else 1.0


def _reach(kernel: Kernel, spread: float) -> tuple[float, float]:
    """Where the location is looked for: where the estimates are, and a spread further."""
    low, high = kernel.span
    return low - spread, high + spread


@dataclass(frozen=True)
class _Along:
    """A point as a function of the location alone."""

    point: _Point
    value: float
    gradient: Array
    curvature: Array
    curvature_is_exact: bool = True

    @classmethod
    def of(cls, point: _Point) -> _Along:
        return cls(point, point.value, point.gradient[:1], point.curvature[:1, :1])
