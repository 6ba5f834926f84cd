"""Seconds of one refit when 200 simulated responses are fitted to one design together."""

from __future__ import annotations

import time
import warnings

import numpy as np

from benchmarks.problems import PROBLEMS

DESIGNS = ("sleepstudy", "penicillin", "pastes", "machines", "nested")


def measured(count: int = 200, repeats: int = 5) -> dict[str, float]:
    """Median CPU seconds of one fit among ``count``, by problem."""
    import mixedfx as mfx

    warnings.simplefilter("ignore")
    out = {}
    for name in DESIGNS:
        problem = PROBLEMS[name]
        fit = mfx.lmer(problem.formula, problem.frame())
        Y = fit.simulate(count, seed=1)
        times = []
        for _ in range(repeats if name != "nested" else 1):
            start = time.process_time()
            fit.refit_many(Y)
            times.append(time.process_time() - start)
        out[name] = float(np.median(times)) / count
    return out
