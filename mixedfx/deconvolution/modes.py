"""Where likelihoods, alone or with a normal law, are largest: damped Newton steps for all observations at once."""

from __future__ import annotations

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.deconvolution.kernels import Kernel

__all__ = ["find_modes"]

STEPS, HALVINGS = 40, 40
STILL = 1e-12
SETTLED = 1e-6


def find_modes(kernel: Kernel, location: float, precision: float) -> tuple[Array, Array, BoolArray]:
    """Return the theta (k,) of largest ``log p_i(y_i | theta) - precision (theta - location)**2 / 2``.

    Parameters
    ----------
    kernel : Kernel
        k observations.
    location, precision : float
        Of a normal law; a precision of zero leaves the likelihood alone.

    Returns
    -------
    theta : (k,)
    curvature : (k,)
        Minus the second derivative there.
    settled : (k,)
        Whether the search has arrived: it does not where a likelihood rises for ever.
    """

    def value(theta: Array) -> Array:
        return np.asarray(kernel.log_density(theta) - 0.5 * precision * (theta - location) ** 2)

    theta = np.full((kernel.size, 1), location)
    now, moved = value(theta), np.zeros_like(theta)
    for _ in range(STEPS):
        slope, bend = kernel.slopes(theta)
        slope, curvature = slope - precision * (theta - location), np.maximum(-bend, 0.0) + precision
        step = np.divide(slope, curvature, out=np.sign(slope), where=curvature > 0)
        step = np.where(np.abs(step) > STILL * (1.0 + np.abs(theta)), step, 0.0)
        for _ in range(HALVINGS):
            tried = value(theta + step)
            worse = ~(tried >= now - STILL * np.abs(now))
            if not worse.any():
                break
            step = np.where(worse, 0.5 * step, step)
        moved = np.where(worse, 0.0, step)
        theta, now = theta + moved, np.where(worse, now, tried)
        if not moved.any():
            break
    settled = np.abs(moved) <= SETTLED * (1.0 + np.abs(theta))
    return theta[:, 0], (precision - kernel.slopes(theta)[1])[:, 0], settled[:, 0]
