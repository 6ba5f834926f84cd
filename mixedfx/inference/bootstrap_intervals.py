"""Confidence limits from bootstrap replicates of one number: arrays in, two limits out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy import special

from mixedfx._arguments import checked_choice
from mixedfx._typing import Array

__all__ = ["LIMITS", "LimitName", "Sample", "acceleration", "limits_for"]


@dataclass(frozen=True)
class Sample:
    """Replicates of one number.

    Attributes
    ----------
    replicates : (R,)
        Finite, at least two.
    estimate : float
        The number in the data themselves.
    acceleration : float
        Of the BCa interval; the others do not use it.
    lower, upper : float
        Smallest and largest possible value of the number.
    """

    replicates: Array
    estimate: float
    acceleration: float = 0.0
    lower: float = -np.inf
    upper: float = np.inf

    def inside(self, low: float, high: float) -> tuple[float, float]:
        """Return the limits cut to the possible values."""
        return max(low, self.lower), min(high, self.upper)


Limits = Callable[[Sample, float], tuple[float, float]]


def _percentile(sample: Sample, alpha: float) -> tuple[float, float]:
    low, high = np.quantile(sample.replicates, [0.5 * alpha, 1.0 - 0.5 * alpha])
    return float(low), float(high)


def _basic(sample: Sample, alpha: float) -> tuple[float, float]:
    """Reflect the percentiles at the estimate (Davison and Hinkley 1997, section 5.2.1)."""
    low, high = _percentile(sample, alpha)
    return sample.inside(2.0 * sample.estimate - high, 2.0 * sample.estimate - low)


def _normal(sample: Sample, alpha: float) -> tuple[float, float]:
    """Estimate less bias, plus and minus a normal quantile times the standard deviation."""
    centre = 2.0 * sample.estimate - float(sample.replicates.mean())
    half = float(special.ndtri(1.0 - 0.5 * alpha)) * float(sample.replicates.std(ddof=1))
    return sample.inside(centre - half, centre + half)


def _shortest(sample: Sample, alpha: float) -> tuple[float, float]:
    """Shortest interval that holds a share ``1 - alpha`` of the replicates."""
    values = np.sort(sample.replicates)
    count = min(int(np.ceil((1.0 - alpha) * values.size)), values.size)
    first = int(np.argmin(values[count - 1 :] - values[: values.size - count + 1]))
    return float(values[first]), float(values[first + count - 1])


def _bca(sample: Sample, alpha: float) -> tuple[float, float]:
    """Percentiles moved for median bias and acceleration (Efron 1987)."""
    values = sample.replicates
    below = np.mean(values < sample.estimate) + 0.5 * np.mean(values == sample.estimate)
    edge = 0.5 / values.size  # an estimate beyond all replicates has no finite bias correction
    z0 = float(special.ndtri(np.clip(below, edge, 1.0 - edge)))
    z = z0 + special.ndtri(np.array([0.5 * alpha, 1.0 - 0.5 * alpha]))
    levels = special.ndtr(z0 + z / (1.0 - sample.acceleration * z))
    low, high = np.quantile(values, levels)
    return float(low), float(high)


def acceleration(jackknife: Array) -> Array:
    """Return the acceleration (k,) from estimates (m, k) with one independent unit left out each.

    Efron (1987), equation 6.6: a sixth of the skewness of the jackknife's influence values; 0 where they are constant.
    """
    influence = jackknife.mean(axis=0) - jackknife
    spread = np.sum(influence**2, axis=0) ** 1.5
    out = np.zeros(spread.shape)
    np.divide(np.sum(influence**3, axis=0), 6.0 * spread, out=out, where=spread > 0)
    return out


LimitName: TypeAlias = Literal["percentile", "basic", "bca", "shortest", "normal"]

#: Kinds of intervals by name.
LIMITS: dict[str, Limits] = {
    "percentile": _percentile,
    "basic": _basic,
    "bca": _bca,
    "shortest": _shortest,
    "normal": _normal,
}


def limits_for(kind: str) -> Limits:
    """Resolve a kind of interval; the only place where it is a string.

    Raises
    ------
    SpecificationError
        If there is no such kind.
    """
    return checked_choice("kind", kind, LIMITS)
