"""GPBoost: maximum likelihood, random intercepts; its likelihood is approximate by default for several factors."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

import gpboost
import numpy as np
import pandas as pd
from formulaic import model_matrix

from benchmarks.peers.estimates import Estimates
from benchmarks.problems import Problem

VERSION = version("gpboost")
TERM = re.compile(r"\s*\+\s*\(([^|]+)\|\s*(\w+)\s*\)")
LIKELIHOODS = {"gaussian": "gaussian", "binomial": "bernoulli_logit", "poisson": "poisson"}


def fit(problem: Problem, frame: pd.DataFrame) -> Any:
    terms = TERM.findall(problem.formula)
    plain = all(columns.strip() == "1" for columns, _ in terms)
    if not plain or problem.family not in LIKELIHOODS or problem.nagq != 1 or "cbind" in problem.formula:
        raise NotImplementedError("outside the package")
    matrices = model_matrix(TERM.sub("", problem.formula), frame)
    groups = frame[[group for _, group in terms]]
    model = gpboost.GPModel(group_data=groups, likelihood=LIKELIHOODS[problem.family], num_parallel_threads=1)
    model.fit(y=np.asarray(matrices.lhs, dtype=float).ravel(), X=np.asarray(matrices.rhs, dtype=float))
    return model


def estimates(fitted: Any) -> Estimates:
    """Only its log-likelihood, which is that of maximum likelihood and not comparable with REML."""
    return Estimates(-float(fitted.get_current_neg_log_likelihood()))
