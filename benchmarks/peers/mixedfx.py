"""mixedfx itself."""

from __future__ import annotations

from typing import Any

import pandas as pd

import mixedfx as mfx
from benchmarks.peers.estimates import Estimates
from benchmarks.problems import Problem

VERSION = "0.1.0"


def fit(problem: Problem, frame: pd.DataFrame) -> Any:
    if problem.family == "gaussian":
        return mfx.lmer(problem.formula, frame)
    return mfx.glmer(problem.formula, frame, family=problem.family, nagq=problem.nagq, **problem.options)


def estimates(fitted: Any) -> Estimates:
    covariances = {term.group: term.matrix.tolist() for term in fitted.varcorr.terms}
    linear = isinstance(fitted.model, mfx.LinearMixedModel)
    return Estimates(fitted.llf, list(fitted.params), covariances, fitted.scale if linear else None)
