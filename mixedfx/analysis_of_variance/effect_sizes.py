"""Effect sizes that follow from an F statistic and its degrees of freedom."""

from __future__ import annotations

import numpy as np

from mixedfx._typing import Array

__all__ = ["cohen_f", "partial_eta_squared", "partial_omega_squared"]


def partial_eta_squared(f: Array, df: Array, den_df: Array) -> Array:
    """Share of the variation that is not explained otherwise: ``F df / (F df + den_df)``."""
    return np.asarray(f * df / (f * df + den_df))


def partial_omega_squared(f: Array, df: Array, den_df: Array) -> Array:
    """The same, less what chance explains: ``(F - 1) df / (F df + den_df + 1)``; it can be negative.

    References
    ----------
    Olejnik & Algina (2003), Psychol. Methods 8, 434.
    """
    return np.asarray((f - 1.0) * df / (f * df + den_df + 1.0))


def cohen_f(f: Array, df: Array, den_df: Array) -> Array:
    """Cohen's f: the root of ``eta^2 / (1 - eta^2)`` with partial eta squared."""
    return np.sqrt(np.maximum(f * df / den_df, 0.0))
