"""Family-wide parameters and the unbounded scales on which they are estimated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import special as sp

__all__ = ["DEGREES_OF_FREEDOM", "DISPERSION", "POWER", "ZERO_INFLATION", "Parameter", "positive_parameter"]

LARGEST_LOG = 200.0  # of a positive number in a search: exp(200) is as good as infinite and can still be computed with


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
    lower, upper : float
        Where a search stops, on the unbounded scale; a user may hold the parameter beyond.
    """

    name: str
    natural: Callable[[float], float]
    slope: Callable[[float], float]
    unbounded: Callable[[float], float]
    lower: float = -np.inf
    upper: float = np.inf


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
    return Parameter(name, _exp, _exp, _log, -LARGEST_LOG, LARGEST_LOG)


def real_parameter(name: str) -> Parameter:
    """Return a parameter without bounds."""
    return Parameter(name, _identity, _one, _identity)


DISPERSION = positive_parameter("dispersion")

# Fernandez & Steel (1999), Biometrika 86, 153: where the mean passes through k of n rows, a t density with fewer than
# k / (n - k) degrees of freedom has a likelihood that grows without end as its dispersion goes to zero. And below one
# the conditional density has so many modes that there is no Laplace approximation to speak of. From 1e8 on, n rows
# tell the t from the normal distribution by less than n / 1e8 in the log-likelihood.
FEWEST_DF, MOST_DF = 1.0, 1e8
DEGREES_OF_FREEDOM = replace(positive_parameter("df"), lower=_log(FEWEST_DF), upper=_log(MOST_DF))

# Towards a Tweedie power of 1 the density piles up on the multiples of the dispersion, and counts have a likelihood
# without a maximum. Towards 2 the distribution is a Gamma distribution, and so it is at 2 - 5e-5 for all that data can
# say, while the series of the density has some 1e5 terms there: nearer to 2 rounding eats its derivatives.
SMALLEST_POWER, LARGEST_POWER = -7.0, 10.0
POWER = Parameter("power", _power, _expit_slope, _power_inverse, SMALLEST_POWER, LARGEST_POWER)
ZERO_INFLATION = Parameter("zero_inflation", _expit, _expit_slope, _logit)
