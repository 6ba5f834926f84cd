"""glmm (Rust)."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import glmm
import pandas as pd

from benchmarks.peers.estimates import Estimates, unpacked
from benchmarks.problems import Problem

VERSION = version("glmm")


def fit(problem: Problem, frame: pd.DataFrame) -> Any:
    formula = problem.formulas.get("glmm", problem.formula)
    return glmm.fit(frame, formula, family=problem.family, nagq=problem.nagq, satterthwaite=False)


def estimates(fitted: Any) -> Estimates:
    groups = [name for name, _ in fitted.re_groups]
    packed = fitted.varcorr() if callable(fitted.varcorr) else fitted.varcorr
    covariances = {name: unpacked(list(values)) for name, values in zip(groups, packed)}
    return Estimates(float(fitted.loglik), [float(b) for b in fitted.beta], covariances, float(fitted.dispersion))
