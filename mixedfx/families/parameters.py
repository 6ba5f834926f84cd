"""Family-wide parameters and the unbounded scales on which they are estimated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special as sp

__all__ = ["DEGREES_OF_FREEDOM", "DISPERSION", "POWER", "ZERO_INFLATION", "Parameter", "positive_parameter"]


@dataclass(frozen=True)
class Parameter:
    """One parameter beside the mean: a number for the whole family, or a linear predictor of its own.

    Parameters
    ----------
    name : str
        Component name, as in ``dispersion="~ x"``.
    natural : callable
        From the unbounded scale to the natural one (``exp`` for a dispersion).
    slope : callable
        Derivative of ``natural``.
    unbounded : callable
        Inverse of ``natural``.
    """

    name: str
    natural: Callable[[float], float]
    slope: Callable[[float], float]
    unbounded: Callable[[float], float]


def _identity(value: float) -> float:
    return float(value)


def _one(value: float) -> float:
    return 1.0


def _exp(value: float) -> float:
    with np.errstate(over="ignore"):  # a parameter that ran off is infinite
        return float(np.exp(value))


def _log(value: float) -> float:
    return float(np.log(value))


def _expit(value: float) -> float:
    return float(sp.expit(value))


def _logit(value: float) -> float:
    return float(sp.logit(value))


def _expit_slope(value: float) -> float:
    return float(sp.expit(value) * sp.expit(-value))


def _power(value: float) -> float:
    return 1.0 + float(sp.expit(value))


def _power_inverse(power: float) -> float:
    return float(sp.logit(power - 1.0))


def positive_parameter(name: str) -> Parameter:
    """Return a positive parameter, estimated by its logarithm."""
    return Parameter(name, _exp, _exp, _log)


def real_parameter(name: str) -> Parameter:
    """Return a parameter without bounds."""
    return Parameter(name, _identity, _one, _identity)


DISPERSION = positive_parameter("dispersion")
DEGREES_OF_FREEDOM = positive_parameter("df")
POWER = Parameter("power", _power, _expit_slope, _power_inverse)
ZERO_INFLATION = Parameter("zero_inflation", _expit, _expit_slope, _logit)
