"""The mean of a response as a differentiable function of its linear predictor."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.calculus.jets import Jet
from mixedfx.families.links import EVERYWHERE, Link, MeanRange

__all__ = ["Mean", "inside_domain"]


class Mean:
    """A mean, its logarithm and the logarithm of its complement, each computed only if a density asks for it.

    Parameters
    ----------
    link : Link
        How the mean hangs on the linear predictor.
    eta : Jet
        The linear predictor.
    """

    def __init__(self, link: Link, eta: Jet) -> None:
        self.link = link
        self.eta = eta

    @cached_property
    def value(self) -> Jet:
        """The mean ``mu`` itself."""
        return self.eta.compose(self.link.inverse)

    @cached_property
    def log(self) -> Jet:
        """``log(mu)``, of the mean before rounding."""
        return self.eta.compose(self.link.log_mean)

    @cached_property
    def log_complement(self) -> Jet:
        """``log(1 - mu)``, of the mean before rounding."""
        return self.eta.compose(self.link.log_complement)

    def working(self, mean_range: MeanRange) -> Jet:
        """The mean on its unbounded scale: itself, its logarithm or its logit."""
        if mean_range == "real":
            return self.value
        return self.log if mean_range == "positive" else self.log - self.log_complement


def inside_domain(link: Link, mean_range: MeanRange, eta: Array) -> tuple[BoolArray | None, Array]:
    """Mark the linear predictors that the link can take, and replace the others by one that it can.

    Returns
    -------
    inside : boolean array or None
        None if the link can take every number.
    eta : array
        Linear predictors that are safe to evaluate.
    """
    lower, upper = link.domain(mean_range)
    if (lower, upper) == EVERYWHERE:
        return None, eta
    inside = (eta > lower) & (eta < upper)
    if np.isfinite(lower) and np.isfinite(upper):
        harmless = (lower + upper) / 2
    else:
        harmless = lower + 1.0 if np.isfinite(lower) else upper - 1.0
    return inside, np.where(inside, eta, harmless)
