"""Numerical differentiation to nearly full precision: central differences, Richardson-extrapolated."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEVELS = 3  # steps h, h/2, h/4: the error is of order h**6


def _extrapolate(estimates: list[Any]) -> Any:
    """Richardson's scheme for an error series in even powers of the step, halved each time."""
    table = estimates
    for order in range(1, len(estimates)):
        factor = 4.0**order
        table = [(factor * fine - coarse) / (factor - 1) for coarse, fine in pairwise(table)]
    return table[0]


def derivative(function: Callable[[float], Any], at: float, step: float = 1e-2) -> Any:
    """``function'(at)`` for a function of one number (with values of any shape)."""
    steps = [step / 2**level for level in range(LEVELS)]
    return _extrapolate([(np.asarray(function(at + h)) - np.asarray(function(at - h))) / (2 * h) for h in steps])


def jacobian(function: Callable[[Array], Any], at: Array, step: float = 1e-2) -> Array:
    """Derivatives along the *last* axis: shape ``(*value.shape, len(at))``."""
    at = np.asarray(at, dtype=float)
    columns = []
    for index in range(at.size):
        unit = np.eye(at.size)[index]
        scale = step * max(1.0, abs(at[index]))
        columns.append(derivative(lambda t, u=unit: function(at + t * u), 0.0, scale))
    return np.stack(columns, axis=-1)


def gradient(function: Callable[[Array], float], at: Array, step: float = 1e-2) -> Array:
    """Gradient of a scalar function."""
    return jacobian(function, at, step)


def assert_gradient(
    function: Callable[[Array], float], at: Array, found: Array, atol: float, step: float = 2e-3
) -> None:
    """Two random directions hold all components of a gradient, at the price of two derivatives."""
    scale = np.maximum(1.0, np.abs(at))
    for signs in np.random.default_rng(at.size).choice([-1.0, 1.0], size=(2, at.size)):
        direction = scale * signs
        expected = derivative(lambda t, d=direction: function(at + t * d), 0.0, step)
        np.testing.assert_allclose(found @ direction, expected, rtol=1e-6, atol=atol * (1 + np.abs(found).max()))


def _second(function: Callable[[Array], float], at: Array, left: Array, right: Array) -> float:
    """Mixed second derivative along two (scaled) directions."""

    def at_scale(scale: float) -> float:
        values = [
            sign_left * sign_right * function(at + scale * (sign_left * left + sign_right * right))
            for sign_left in (1, -1)
            for sign_right in (1, -1)
        ]
        return sum(values) / (4 * scale**2)

    return float(_extrapolate([at_scale(1 / 2**level) for level in range(3)]))


def hessian(function: Callable[[Array], float], at: Array, step: float = 2e-2) -> Array:
    """Hessian of a scalar function (about 1e-8 relative for a smooth one)."""
    at = np.asarray(at, dtype=float)
    scales = step * np.maximum(1.0, np.abs(at))
    directions = np.diag(scales)
    out = np.empty((at.size, at.size))
    for i in range(at.size):
        for j in range(i + 1):
            out[i, j] = out[j, i] = _second(function, at, directions[i], directions[j]) / (scales[i] * scales[j])
    return out


# Central stencils of order 8 for the derivatives of many scalar functions at once.
_OFFSETS = np.arange(-4, 5)
_FIRST = np.array([1 / 280, -4 / 105, 1 / 5, -4 / 5, 0, 4 / 5, -1 / 5, 4 / 105, -1 / 280])
_SECOND = np.array([-1 / 560, 8 / 315, -1 / 5, 8 / 5, -205 / 72, 8 / 5, -1 / 5, 8 / 315, -1 / 560])


def elementwise(function: Callable[[Array], Array], at: Array, step: float = 3e-2) -> tuple[Array, Array]:
    """First and second derivatives of ``function`` that acts on each element by itself."""
    values = np.stack([function(at + offset * step) for offset in _OFFSETS])
    return np.tensordot(_FIRST, values, 1) / step, np.tensordot(_SECOND, values, 1) / step**2
