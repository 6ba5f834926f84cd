"""What ``benchmarks.compare`` times: fits of problems of the catalogue, and what one asks of a fit afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import pandas as pd

from benchmarks.problems import PROBLEMS, Problem, crossed, dataset, slopes

FITS = (
    *(PROBLEMS[name] for name in ("sleepstudy", "penicillin", "machines", "nested", "cbpp", "contraception", "owls")),
    Problem("dyestuff", "Yield ~ 1 + (1 | Batch)", dataset("dyestuff"), "30 rows, 6 batches"),
    Problem("slopes", "y ~ x + (x | g)", partial(slopes, 100_000, 5000), "1e5 rows, 5000 groups with slopes"),
    replace(PROBLEMS["crossed"], frame=partial(crossed, 100_000, 500, 500), note="1e5 rows, crossed 500 x 500"),
)
ASKED = {"machines": "Machine", "cbpp": "period"}  # the fits that are asked, with the factor of their marginal means


@dataclass(frozen=True)
class Task:
    """What is timed, ``run(made)``, and what is made before each time, ``make()``."""

    make: Callable[[], Any]
    run: Callable[[Any], object]


PROBLEM = {problem.name: problem for problem in FITS}


@cache
def _frame(name: str) -> pd.DataFrame:
    return PROBLEM[name].frame()


def _fit(name: str) -> Any:
    import mixedfx as mfx

    problem = PROBLEM[name]
    if problem.family == "gaussian":
        return mfx.lmer(problem.formula, _frame(name))
    return mfx.glmer(problem.formula, _frame(name), family=problem.family, **problem.options)


def _calls(factor: str, data: pd.DataFrame) -> dict[str, Callable[[Any], object]]:
    import mixedfx as mfx

    return {
        "summary": lambda fit: str(fit.summary()),
        "anova": lambda fit: str(mfx.anova(fit)),
        "emmeans": lambda fit: str(mfx.emmeans(fit, factor)),
        "predict": lambda fit: fit.predict(data),
        "get_prediction": lambda fit: fit.get_prediction(data),
        "simulate": lambda fit: fit.simulate(20, seed=1),
        "residuals": lambda fit: fit.resid,
        "tidy": lambda fit: mfx.tidy(fit),
        "influence": lambda fit: mfx.influence(fit).to_frame(),
        "profile": lambda fit: mfx.profile(fit).conf_int(),
    }


def tasks() -> dict[str, Task]:
    """All tasks by name; the data of a fit are made when they are first needed."""
    found = {f"fit {name}": Task(partial(_frame, name), partial(_fitted, name)) for name in PROBLEM}
    for name, factor in ASKED.items():
        for call, run in _calls(factor, _frame(name)).items():
            found[f"{call} {name}"] = Task(partial(_fit, name), run)
    return found


def _fitted(name: str, _: pd.DataFrame) -> object:
    return _fit(name).llf
