"""statsmodels: one grouping factor only (crossed effects would take a dense matrix)."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

import pandas as pd
import statsmodels.formula.api as smf

from benchmarks.peers.estimates import Estimates
from benchmarks.problems import Problem

VERSION = version("statsmodels")
TERM = re.compile(r"\s*\+\s*\(([^|]+)\|\s*(\w+)\s*\)")


def fit(problem: Problem, frame: pd.DataFrame) -> Any:
    terms = TERM.findall(problem.formula)
    if len(terms) != 1 or problem.family != "gaussian":
        raise NotImplementedError("outside the package")
    (columns, group), fixed = terms[0], TERM.sub("", problem.formula)
    return smf.mixedlm(fixed, frame, groups=group, re_formula=f"~ {columns}").fit()


def estimates(fitted: Any) -> Estimates:
    group = (
        str(fitted.model.group_labels is not None and fitted.model.groups.name)
        if hasattr(fitted.model.groups, "name")
        else ""
    )
    return Estimates(
        float(fitted.llf), list(fitted.fe_params), {group: fitted.cov_re.to_numpy().tolist()}, float(fitted.scale)
    )
