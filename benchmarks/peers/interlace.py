"""interlace-lme."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

import interlace
import pandas as pd

from benchmarks.peers.estimates import Estimates
from benchmarks.problems import Problem

VERSION = version("interlace-lme")
TERM = re.compile(r"\s*\+\s*(\([^|]+\|\s*\w+\s*\))")


def fit(problem: Problem, frame: pd.DataFrame) -> Any:
    if problem.nagq != 1 or "cbind" in problem.formula:
        raise NotImplementedError("outside the package")
    random = [_with_intercept(term) for term in TERM.findall(problem.formula)]
    fixed = TERM.sub("", problem.formula)
    if problem.family == "gaussian":
        return interlace.fit(fixed, frame, random=random)
    return interlace.glmer(fixed, frame, family=problem.family, random=random)


def _with_intercept(term: str) -> str:
    """``(x | g)`` means ``(0 + x | g)`` there."""
    return term if term.startswith("(1") else term.replace("(", "(1 + ", 1)


def estimates(fitted: Any) -> Estimates:
    """Only its log-likelihood: covariances of slopes are not given as matrices."""
    return Estimates(float(fitted.llf))
