"""Functions of jets that stay accurate where the textbook formula cancels or overflows.

Every function takes a :class:`~mixedfx.calculus.jets.Jet`; its derivatives are closed forms. NumPy's ``exp, log,
log1p, expm1, sqrt, logaddexp`` and SciPy's ``gammaln, expit, log_expit, log_ndtr`` work on jets too, so that the
log-density of a user's family can be written with the functions that everybody knows.

The exponential saturates at ``exp(200)``: its third power is still a number. A mean of 1e86 is nonsense all the same,
and the log-density there is finite, hugely negative and rejected by any line search.

Where a formula has two branches both are computed and one is chosen; callers silence NumPy around the whole, as
:mod:`mixedfx.families.evaluate` does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special as sp

from mixedfx._typing import Array
from mixedfx.calculus.jets import UFUNCS, Derivatives, Jet

__all__ = [
    "cloglog_log_mean",
    "exp",
    "exp_excess",
    "expm1",
    "horner",
    "log",
    "log1m_exp",
    "log1p",
    "log1p_ratio",
    "log_expit",
    "log_ndtr",
    "log_softplus",
    "logaddexp",
    "saturated_exp",
    "softplus",
]

LARGEST_EXPONENT = 200.0
DOUBLE_TAIL = -36.0  # left of it softplus(x) is exp(x) - exp(2 x) / 2 to working precision
FAR_TAIL = -5.0  # left of it the continued fraction of Mills' ratio replaces differences of hazards
FRACTION_DEPTH = 40
SERIES_RADIUS = 0.5  # inside it t / expm1(t) comes from its power series
EVEN_BERNOULLI = (sp.bernoulli(18) / sp.factorial(np.arange(19)))[::2]  # the only odd coefficient is -1/2


def horner(coefficients: Array, x: Array) -> Array:
    """Polynomial with the constant coefficient first."""
    total = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


def saturated_exp(x: Array) -> Array:
    """``exp(min(x, 200))`` for plain arrays."""
    return np.exp(np.minimum(x, LARGEST_EXPONENT))


def _exp(x: Array, order: int) -> Derivatives:
    return (saturated_exp(x),) * (order + 1)


def _expm1(x: Array, order: int) -> Derivatives:
    value = np.expm1(np.minimum(x, LARGEST_EXPONENT))
    return (value, *(saturated_exp(x),) * order)


def _log(x: Array, order: int) -> Derivatives:
    inverse = 1.0 / x
    square = inverse * inverse
    return (np.log(x), inverse, -square, 2 * square * inverse)[: order + 1]


def _log1p(x: Array, order: int) -> Derivatives:
    inverse = 1.0 / (1.0 + x)
    square = inverse * inverse
    return (np.log1p(x), inverse, -square, 2 * square * inverse)[: order + 1]


def _logistic(x: Array) -> tuple[Array, Array, Array]:
    """``expit(x)``, ``expit(-x)`` and their product, each with full relative accuracy."""
    low, high = np.minimum(x, 0.0), np.maximum(x, 0.0)
    small = np.exp(low - high)
    inverse = 1.0 / (1.0 + small)
    return np.exp(low) * inverse, np.exp(-high) * inverse, small * inverse**2


def plain_softplus(x: Array) -> Array:
    """``log(1 + exp(x))`` of a plain array."""
    return np.asarray(np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))))


def plain_log1m_exp(x: Array) -> Array:
    """``log(1 - exp(-x))`` of a plain positive array."""
    return np.where(x < np.log(2), np.log(-np.expm1(-x)), np.log1p(-np.exp(-x)))


def softplus_derivatives(x: Array, order: int) -> Derivatives:
    """``log(1 + exp(x))`` and its derivatives."""
    value = plain_softplus(x)
    if order == 0:
        return (value,)
    p, q, pq = _logistic(x)
    return (value, p, pq, pq * (q - p))[: order + 1]


def log_expit_derivatives(x: Array, order: int) -> Derivatives:
    """``log(1 / (1 + exp(-x)))`` and its derivatives."""
    low, high = np.minimum(x, 0.0), np.maximum(x, 0.0)
    small = np.asarray(low - high)
    np.exp(small, out=small)
    value = np.asarray(low - np.log1p(small))
    if order == 0:
        return (value,)
    inverse = np.asarray(1.0 / (1.0 + small))
    tail = np.asarray(np.exp(-high) * inverse)
    if order == 1:
        return (value, tail)
    small *= inverse
    second = np.asarray(-small * inverse)
    if order == 2:
        return (value, tail, second)
    inverse *= np.exp(low)
    return (value, tail, second, second * (tail - inverse))


def _log_softplus(x: Array, order: int) -> Derivatives:
    far = x < DOUBLE_TAIL
    near = np.where(far, 0.0, x)
    value = plain_softplus(near)
    tail = -np.exp(np.minimum(x, 0.0)) / 2
    result = [np.where(far, x + tail, np.log(value))]
    if order > 0:
        p, q, pq = _logistic(near)
        first = p / value
        second = first * (q - first)
        third = second * (q - first) - first * (pq + second)
        result += [np.where(far, 1 + tail, first), np.where(far, tail, second), np.where(far, tail, third)]
    return tuple(result[: order + 1])


def cloglog_log_mean_derivatives(x: Array, order: int) -> Derivatives:
    """``log(1 - exp(-exp(x)))`` and its derivatives: with ``t = exp(x)`` the first is ``t / expm1(t)``."""
    t = saturated_exp(x)
    result = [np.where(x < -30.0, x - t / 2, plain_log1m_exp(np.maximum(t, 1e-20)))]
    if order > 0:
        inside = np.minimum(t, SERIES_RADIUS)
        outside = np.maximum(t, SERIES_RADIUS)
        first = outside * np.exp(-outside) / -np.expm1(-outside)
        slope = 1 - outside - first
        second = first * slope
        third = second * slope - first * (outside + second)
        for power, direct in enumerate((first, second, third)[:order]):
            even = EVEN_BERNOULLI * (2.0 * np.arange(EVEN_BERNOULLI.size)) ** power
            series = horner(even, inside * inside) - 0.5 * inside
            result.append(np.where(t < SERIES_RADIUS, series, direct))
    return tuple(result)


def _mills_steps(z: Array) -> tuple[Array, Array, Array]:
    """Tails ``k / (z + (k + 1) / (z + ...))`` of the continued fraction of Mills' ratio, for k = 1, 2, 3."""
    step = np.zeros_like(z)
    for k in range(FRACTION_DEPTH, 3, -1):
        step = k / (z + step)
    third = 3 / (z + step)
    second = 2 / (z + third)
    return 1 / (z + second), second, third


def log_ndtr_derivatives(x: Array, order: int) -> Derivatives:
    """``log Phi(x)``; the third derivative is accurate in the far left tail too."""
    x = np.asarray(x, dtype=float)
    scaled = sp.erfcx(np.abs(x) * np.sqrt(0.5))  # 2 Phi(-|x|) exp(x²/2)
    density = np.exp(-0.5 * np.square(x))
    left = x < 0
    right_area = 1.0 - 0.5 * scaled * density
    value = np.where(left, np.log(0.5 * scaled) - 0.5 * np.square(x), np.log1p(-0.5 * scaled * density))
    if order == 0:
        return (value,)
    hazard = np.where(left, np.sqrt(2 / np.pi) / scaled, density / (np.sqrt(2 * np.pi) * right_area))
    excess = x + hazard
    parts = [value, hazard, -hazard * excess, hazard * (excess * (x + 2 * hazard) - 1)]
    far = x < FAR_TAIL
    if np.any(far):
        z = -x[far]
        a, b, c = _mills_steps(z)
        parts[2][far] = -(z + a) * a
        parts[3][far] = 2 * (z + a) * a * (c - b) / ((z + b) * (z + c))
    return tuple(parts[: order + 1])


def _log1m_exp(x: Array, order: int) -> Derivatives:
    """``log(1 - exp(-x))`` for positive x."""
    x = np.minimum(x, 700.0)
    growth = 1.0 / np.expm1(x)
    decay = 1.0 / -np.expm1(-x)
    return (plain_log1m_exp(x), growth, -growth * decay, growth * decay * (growth + decay))[: order + 1]


def _exp_excess(x: Array, order: int) -> Derivatives:
    """``exp(x) - 1 - x``, by its series for small x."""
    full, slope = saturated_exp(x), np.expm1(np.minimum(x, LARGEST_EXPONENT))
    near = np.clip(x, -0.1, 0.1)
    series = near**2 * horner(1 / sp.factorial(np.arange(2, 13)), near)
    return (np.where(np.abs(x) < 0.1, series, slope - x), slope, full, full)[: order + 1]


def _log1p_ratio(x: Array, order: int) -> Derivatives:
    """``log1p(t) / t`` at ``t = exp(x)``: 1 for tiny t, and no quotient of two underflows on the way."""
    t = saturated_exp(x)
    ratio = np.where(t > 0, np.log1p(t) / np.maximum(t, 1e-300), 1.0)
    q = 1.0 / (1.0 + t)
    p = t * q
    # f' = q - f, and the derivatives of q with respect to x are -p q, p q (p - q)
    first = np.where(t < 1e-3, _log1p_ratio_slope(t), q - ratio)
    return (ratio, first, -p * q - first, p * q * (p - q) + p * q + first)[: order + 1]


def _log1p_ratio_slope(t: Array) -> Array:
    """``1 / (1 + t) - log1p(t) / t`` for small t, as a series."""
    degrees = np.arange(8)
    coefficients = (-1.0) ** degrees * (1 - 1 / (degrees + 1))
    return np.asarray(horner(coefficients, np.minimum(t, 1e-3)))


def exp(x: Jet) -> Jet:
    """``exp(x)``, saturated at ``exp(200)``."""
    return x.compose(_exp)


def expm1(x: Jet) -> Jet:
    """``exp(x) - 1``, saturated."""
    return x.compose(_expm1)


def log(x: Jet) -> Jet:
    """Natural logarithm."""
    return x.compose(_log)


def log1p(x: Jet) -> Jet:
    """``log(1 + x)``."""
    return x.compose(_log1p)


def softplus(x: Jet) -> Jet:
    """``log(1 + exp(x))``."""
    return x.compose(softplus_derivatives)


def log_softplus(x: Jet) -> Jet:
    """``log(log(1 + exp(x)))``, which is x far to the left."""
    return x.compose(_log_softplus)


def log_expit(x: Jet) -> Jet:
    """``-log(1 + exp(-x))``."""
    return x.compose(log_expit_derivatives)


def log_ndtr(x: Jet) -> Jet:
    """Logarithm of the normal distribution function."""
    return x.compose(log_ndtr_derivatives)


def cloglog_log_mean(x: Jet) -> Jet:
    """``log(1 - exp(-exp(x)))``."""
    return x.compose(cloglog_log_mean_derivatives)


def log1m_exp(x: Jet) -> Jet:
    """``log(1 - exp(-x))`` for positive x."""
    return x.compose(_log1m_exp)


def exp_excess(x: Jet) -> Jet:
    """``exp(x) - 1 - x``: half a Gamma unit deviance."""
    return x.compose(_exp_excess)


def log1p_ratio(x: Jet) -> Jet:
    """``log1p(exp(x)) / exp(x)``."""
    return x.compose(_log1p_ratio)


def logaddexp(a: Any, b: Any) -> Jet:
    """``log(exp(a) + exp(b))`` of jets, one of which may be plain; near the larger one however small the other is."""
    difference: Jet = a - b
    excess = softplus(difference)
    total = b + excess
    larger = a.value if isinstance(a, Jet) else a
    value = np.where(difference.value > 0, larger + (excess.value - difference.value), total.value)
    return Jet({**total.parts, (): value}, total.space)


UFUNCS |= {
    np.exp: exp,
    np.expm1: expm1,
    np.log: log,
    np.log1p: log1p,
    np.sqrt: lambda x: x**0.5,
    np.logaddexp: logaddexp,
    sp.expit: lambda x: exp(log_expit(x)),
    sp.log_expit: log_expit,
    sp.log_ndtr: log_ndtr,
}
