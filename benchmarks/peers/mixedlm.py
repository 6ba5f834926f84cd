"""mixedlm (Rust)."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import mixedlm
import pandas as pd

from benchmarks.peers.estimates import Estimates
from benchmarks.problems import Problem

VERSION = version("mixedlm")


def fit(problem: Problem, frame: pd.DataFrame) -> Any:
    formula = problem.formulas.get("mixedlm", problem.formula)
    if problem.family == "gaussian":
        return mixedlm.lmer(formula, frame)
    if problem.family == "nbinom2":
        return mixedlm.glmer_nb(formula, frame)
    family = {"binomial": "Binomial", "poisson": "Poisson"}[problem.family]
    return mixedlm.glmer(formula, frame, family=getattr(mixedlm.families, family)(), nAGQ=problem.nagq)


def estimates(fitted: Any) -> Estimates:
    parts = fitted.VarCorr().groups.values()
    covariances = {part.grouping_factor: part.cov.tolist() for part in parts}
    sigma = getattr(fitted, "sigma", None)
    value = fitted.logLik()
    loglik = float(getattr(value, "value", value))
    return Estimates(
        loglik, [float(b) for b in fitted.fixef().values()], covariances, None if sigma is None else sigma**2
    )
