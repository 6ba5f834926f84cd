"""Seconds of one refit when 200 simulated responses are fitted to one design together.

Linear models with and without their p values, generalised ones with them; the latter beside one ``refit`` after the
other. By itself: ``python -m benchmarks.refits``.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.problems import PROBLEMS

DESIGNS = ("sleepstudy", "penicillin", "pastes", "machines", "nested")
GENERALISED = ("cbpp", "contraception", "salamanders")
ALONE = 10  # responses that are fitted one after the other, for comparison


def seconds(work: Callable[..., Any], *arguments: Any, repeats: int = 1) -> float:
    """Median CPU seconds."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work(*arguments)
        times.append(time.process_time() - start)
    return float(np.median(times))


def fitted(fit: Any, Y: Any) -> Any:
    """All responses at once, without their tests in a linear model."""
    return fit.refit_many(Y).params


def tested(fit: Any, Y: Any) -> Any:
    """All responses at once, with p values."""
    return fit.refit_many(Y).pvalues


def alone(fit: Any, Y: Any) -> Any:
    """Some responses one after the other, with p values."""
    return [fit.refit(Y[k]).pvalues for k in range(ALONE)]


def measured(count: int = 200, repeats: int = 5) -> dict[str, float]:
    """Median CPU seconds of one fit among ``count``, by problem."""
    import mixedfx as mfx

    warnings.simplefilter("ignore")
    out = {}
    for name in DESIGNS:
        problem, often = PROBLEMS[name], repeats if name != "nested" else 1
        fit = mfx.lmer(problem.formula, problem.frame())
        Y = fit.simulate(count, seed=1)
        out[name] = seconds(fitted, fit, Y, repeats=often) / count
        if often > 1:
            out[f"{name}, p values"] = seconds(tested, fit, Y, repeats=often) / count
    return out | generalised(count)


def generalised(count: int) -> dict[str, float]:
    """The same for generalised models, and for one refit after the other."""
    import mixedfx as mfx

    out = {}
    for name in GENERALISED:
        problem = PROBLEMS[name]
        fit = mfx.glmer(problem.formula, problem.frame(), family=problem.family, **problem.options)
        Y = fit.simulate(count, seed=1)
        fit.refit_many(Y.iloc[:, :2])
        out[f"{name}, p values"] = seconds(tested, fit, Y) / count
        out[f"{name}, one by one"] = seconds(alone, fit, Y) / ALONE
    return out


if __name__ == "__main__":
    for label, duration in measured().items():
        print(f"{label:28s} {1e3 * duration:9.3f} ms")
