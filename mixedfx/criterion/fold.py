"""Where the conditional mode stops being one: the density of the random effects given the data is about to split.

Under a family whose log-density is not concave (heavy tails, extra zeros) the mode can merge with a saddle as the
parameters move. There ``I + Z'WZ Sigma`` is singular, its log-determinant goes to minus infinity, and the Laplace
approximation of the likelihood rises without end: a cliff that no optimum stands on.
"""

from __future__ import annotations

import numpy as np

from mixedfx.criterion.mode_state import ModeState

__all__ = ["nearly_folded"]

LARGEST_LEVERAGE = 2.0  # of a row; with positive weights no leverage exceeds 1


def nearly_folded(state: ModeState) -> bool:
    """Whether some direction of the random effects has lost almost all of its curvature at the mode."""
    weight = state.expansion.observed.weight
    if not np.any(weight < 0):
        return False
    try:
        leverages = state.model.space.leverages(state.factor.inverse)
    except FloatingPointError:
        return True
    return bool(np.max(np.abs(weight) * leverages) > LARGEST_LEVERAGE)
