"""The door for fitted models: ``fit.deconvolve`` comes here."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfx.deconvolution.estimate import Options, Sample, estimated
from mixedfx.deconvolution.fits import levels_of
from mixedfx.deconvolution.results import Deconvolution
from mixedfx.results.base import MixedResults

__all__ = ["deconvolved"]


def deconvolved(results: MixedResults, group: Any, method: Any, *options: Any) -> Deconvolution:
    """Estimate the law of the random intercepts of ``group``; see ``fit.deconvolve``."""
    results.solution.check_normal("deconvolve")
    levels = levels_of(results, group)
    weights = np.ones(levels.kernel.size)
    sample = Sample(levels.kernel, weights, levels.index, str(group), levels.law, levels.notes)
    return estimated(sample, method, Options(*options))
