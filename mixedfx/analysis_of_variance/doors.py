"""The doors of the room: which results a user may give. Behind them nobody asks of which kind a fit is."""

from __future__ import annotations

from typing import Any

from mixedfx.results.base import MixedResults
from mixedfx.results.linear import LinearMixedResults

__all__ = ["linear_results", "mixed_results", "results_of_ours"]


def results_of_ours(fit: Any) -> MixedResults | None:
    """Return results of mixedfx, and None for anything else."""
    return fit if isinstance(fit, MixedResults) else None  # others come from statsmodels, or are no fits


def mixed_results(fit: Any, function: str) -> MixedResults:
    """Return results of mixedfx; raise a TypeError for anything else."""
    results = results_of_ours(fit)
    if results is None:
        raise TypeError(f"{function} needs results of mixedfx, found {type(fit).__name__}")
    return results


def linear_results(fit: Any, function: str) -> LinearMixedResults:
    """Return results of a linear mixed model; raise a TypeError for anything else."""
    if not isinstance(fit, LinearMixedResults):  # the methods are made for the profiled criterion of Gaussian models
        raise TypeError(f"{function} is for linear mixed models, found {type(fit).__name__}")
    return fit
