"""Gamma functions of jets without the cancellation of large logarithms.

``log Gamma`` of large numbers is a difference waiting to lose its digits. The densities here are written with two
functions that have no large part: the remainder of Stirling's formula, and the excess of a rising factorial
``r (r + 1) ... (r + y - 1)`` over ``r**y``, which vanishes where a negative binomial becomes a Poisson variable.
"""

from __future__ import annotations

import numpy as np
from scipy import special as sp

from mixedfx._typing import Array
from mixedfx.calculus.jets import UFUNCS, Derivatives, Jet, Primitive
from mixedfx.calculus.special import LARGEST_EXPONENT, horner

__all__ = ["gammaln", "log_rising", "log_rising_slope", "stirling"]

STIRLING_START = 10.0
STIRLING_COEFFICIENTS = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)
N_SHIFTS = 8
SMALLEST_LOG_SIZE, LARGEST_LOG_SIZE = -650.0, 100.0


def _gammaln(x: Array, order: int) -> Derivatives:
    return (sp.gammaln(x), *(sp.polygamma(degree, x) for degree in range(order)))


def _stirling_series(x: Array, order: int) -> list[Array]:
    """Remainder of Stirling's formula, and ``x**k`` times its k-th derivative in x, for x of at least eight."""
    inverse = 1.0 / x
    square = inverse * inverse
    result = []
    coefficients = np.array(STIRLING_COEFFICIENTS)
    exponents = 2.0 * np.arange(coefficients.size) + 1
    for degree in range(order + 1):
        result.append(inverse * horner(coefficients, square))
        coefficients = -coefficients * (exponents + degree)
    return result


def _powers(x: Array, order: int) -> list[Array]:
    """``x, x², …``; by multiplication, since NumPy's general power is slow."""
    result = [x]
    for _ in range(order - 1):
        result.append(result[-1] * x)
    return result[:order]


def _stirling_shifted(x: Array, log_x: Array, order: int) -> list[Array]:
    """Stirling's remainder for small x: at ``x + 8``, and eight factors of Gamma(x)."""
    shifted = x + N_SHIFTS
    log_shifted = np.log(shifted)
    series = _stirling_series(shifted, order)
    product = np.ones_like(x)
    sums = [np.ones_like(x) for _ in range(order)]  # of (x / (x + k))**degree; 1 is that of k = 0
    for shift in range(1, N_SHIFTS):
        product = product * (x + shift)
        sums = [total + power for total, power in zip(sums, _powers(x / (x + shift), order))]
    u = _powers(x / shifted, 3)
    leading = [
        x * (log_shifted - log_x) - 0.5 * u[0] + 0.5,
        x * u[0] + 0.5 * u[1] - x - 0.5,
        -x * u[1] - u[2] + x + 1.0,
    ]
    slopes = [a + b * c for a, b, c in zip(leading, u, series[1:])]
    value = (shifted - 0.5) * log_shifted - N_SHIFTS + series[0] - np.log(product) - (x + 0.5) * log_x
    return [value, *(slope + factor * total for slope, factor, total in zip(slopes, (-1.0, 1.0, -2.0), sums))]


def _stirling(log_x: Array, order: int) -> Derivatives:
    """``s(x) = log Gamma(x) - (x - 1/2) log x + x - log(2 pi)/2`` and its derivatives in ``log x``."""
    log_x = np.clip(log_x, -3 * LARGEST_EXPONENT, LARGEST_EXPONENT)
    x = np.exp(log_x)
    small = x < STIRLING_START
    if np.all(small):
        return _log_scale(_stirling_shifted(x, log_x, order))
    scaled = [np.asarray(part) for part in _stirling_series(np.maximum(x, STIRLING_START), order)]
    if np.any(small):
        for part, near in zip(scaled, _stirling_shifted(x[small], log_x[small], order)):
            part[small] = near
    return _log_scale(scaled)


def _log_scale(scaled: list[Array]) -> tuple[Array, ...]:
    """Derivatives in ``log x`` from ``x**k`` times those in x."""
    result = scaled[:2]
    if len(scaled) > 2:
        result.append(scaled[1] + scaled[2])
    if len(scaled) > 3:
        result.append(scaled[1] + 3 * scaled[2] + scaled[3])
    return tuple(result)


def _rising_value(y: Array, r: Array, log_r: Array) -> Array:
    """``log Gamma(y + r) - log Gamma(r) - y log r``: both arguments shifted by eight, then Stirling's formula."""
    shifted = r + N_SHIFTS
    product = np.ones(np.broadcast_shapes(y.shape, r.shape))
    for k in range(1, N_SHIFTS):
        product = product * (1 + y / (r + k))
    steps = np.log1p(y / r) + np.log(product)
    remainder = _stirling_series(shifted + y, 0)[0] - _stirling_series(shifted, 0)[0]
    leading = (y + shifted - 0.5) * np.log1p(y / shifted) - y
    return np.asarray(leading + y * (np.log(shifted) - log_r) - steps + remainder)


def _rising_slopes(y: Array, r: Array, order: int) -> list[Array]:
    """``r**k`` times the k-th derivative of ``log Gamma(y + r) - log Gamma(r)``, k = 1 .. order."""
    shifted = r + N_SHIFTS
    high, low = _stirling_series(shifted + y, order), _stirling_series(shifted, order)
    gaps = _power_gaps(r / shifted, r / (shifted + y), y / (shifted + y), order)
    relative = [_powers(r / (shifted + y), order), _powers(r / shifted, order)]
    slopes = [u * a - q * b for u, a, q, b in zip(relative[0], high[1:], relative[1], low[1:])]
    leading = [r * np.log1p(y / shifted) - gaps[0] / 2]
    leading += [r * gaps[0] + gaps[1] / 2] if order > 1 else []
    leading += [-r * gaps[1] - gaps[2]] if order > 2 else []
    slopes = [a + b for a, b in zip(slopes, leading)]
    for shift in range(N_SHIFTS):
        below = r + shift
        gaps = _power_gaps(r / below, r / (below + y), y / (below + y), order)
        slopes = [slope - factor * gap for slope, factor, gap in zip(slopes, (1.0, -1.0, 2.0), gaps)]
    return slopes


def _power_gaps(q: Array, u: Array, ratio: Array, order: int) -> list[Array]:
    """``u**k - q**k`` for k = 1 .. order, where ``u = q (1 - ratio)``, without cancellation."""
    gap = -q * ratio
    gaps = [gap, gap * (u + q)] if order > 1 else [gap]
    return [*gaps, gap * (u * u + u * q + q * q)] if order > 2 else gaps


def _log_rising(y: Array) -> Primitive:
    """For one number ``log_r`` every distinct count is computed once."""
    direct = _log_rising_directly(y)

    def primitive(log_r: Array, order: int) -> Derivatives:
        if np.ndim(log_r) > 0 or not 0 < float(y.max(initial=0.0)) < y.size:
            return direct(log_r, order)
        place = y.astype(np.intp)
        table = _log_rising_directly(np.arange(float(place.max()) + 1.0))(log_r, order)
        return tuple(None if part is None else np.broadcast_to(part, (place.max() + 1,))[place] for part in table)

    return primitive


def _log_rising_directly(y: Array) -> Primitive:
    def primitive(log_r: Array, order: int) -> Derivatives:
        clipped = np.clip(log_r, SMALLEST_LOG_SIZE, LARGEST_LOG_SIZE)
        r = np.exp(clipped)
        beyond = np.minimum(log_r - clipped, 0.0)  # a straight line to the left of the clip, constant to the right
        value = _rising_value(y, r, clipped) + np.where(y > 0, 1.0 - y, 0.0) * beyond
        if order == 0:
            return (value,)
        first, *higher = _log_scale([value, *_rising_slopes(y, r, order)])[1:]
        return (value, first - y, *higher)

    return primitive


def gammaln(x: Jet) -> Jet:
    """``log Gamma(x)`` for positive x."""
    return x.compose(_gammaln)


def stirling(log_x: Jet) -> Jet:
    """Remainder of Stirling's formula for ``log Gamma(x)``, as a function of ``log x``."""
    return log_x.compose(_stirling)


def log_rising(y: Array, log_r: Jet) -> Jet:
    """``log Gamma(y + r) - log Gamma(r) - y log r``: the excess of a rising factorial over ``r**y``; tends to 0."""
    return log_r.compose(_log_rising(y))


def log_rising_slope(y: Array, log_r: Array) -> Array:
    """Derivative of :func:`log_rising` in ``log r``, of plain arrays."""
    return np.asarray(_log_rising(y)(log_r, 1)[1])


UFUNCS |= {sp.gammaln: gammaln}
