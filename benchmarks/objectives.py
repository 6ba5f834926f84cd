"""Every peer's estimates, evaluated in one and the same criterion: that of mixedfx."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from benchmarks.problems import Problem
from benchmarks.runs import factors_of


def evaluator(problem: Problem, frame: pd.DataFrame) -> Any:
    """A function from an engine's answer to minus twice the log-likelihood (REML if linear) at its estimates.

    It is nan where an engine does not give its estimates in full.
    """
    return _linear(problem, frame) if problem.family == "gaussian" else _generalized(problem, frame)


def _linear(problem: Problem, frame: pd.DataFrame) -> Any:
    import mixedfx as mfx

    model = mfx.LinearMixedModel(problem.formula, frame)

    def value(answer: dict[str, Any]) -> float:
        if not answer.get("covariances") or answer.get("sigma2") is None:
            return float("nan")
        return float(model.objective(_theta(model, answer["covariances"], float(answer["sigma2"])))[0])

    return value


def _generalized(problem: Problem, frame: pd.DataFrame) -> Any:
    import mixedfx as mfx

    frame = frame.astype(dict.fromkeys(factors_of(frame), str))  # levels in the order of the file that engines read
    model = mfx.GeneralizedLinearMixedModel(problem.formula, frame, family=problem.family, **problem.options)

    def value(answer: dict[str, Any]) -> float:
        beta = np.array(answer.get("beta") or [], dtype=float)
        if not answer.get("covariances") or beta.size == 0:
            return float("nan")
        known = np.concatenate([beta, _theta(model, answer["covariances"], 1.0)])
        return _best_of_the_rest(lambda x: model.objective(x, nagq=problem.nagq), known, model.problem.n_parameters)

    return value


def _best_of_the_rest(objective: Callable[[np.ndarray], tuple[float, np.ndarray]], known: np.ndarray, n: int) -> float:
    """The smallest value over the parameters that engines do not report alike: dispersion, zero inflation."""
    if known.size == n:
        return objective(known)[0]

    def rest(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = objective(np.concatenate([known, x]))
        return value, gradient[known.size :]

    options = {"ftol": 1e-15, "gtol": 1e-8}
    return float(minimize(rest, np.zeros(n - known.size), jac=True, method="L-BFGS-B", options=options).fun)


def _theta(model: Any, reported: dict[str, Any], unit: float) -> np.ndarray:
    """Covariance parameters of the model from an engine's covariance matrices by group, relative to ``unit``."""
    covariances = {_key(name): np.array(matrix, dtype=float) for name, matrix in reported.items()}
    theta = []
    for term in model.design.random:
        matrix = covariances.get(_key(term.group))
        if matrix is None:
            matrix = next(iter(covariances.values()))
        values, vectors = np.linalg.eigh(matrix.reshape(len(term.names), -1) / unit)
        theta.append(term.covariance.parameters(vectors * np.sqrt(np.maximum(values, 0.0))))
    return np.concatenate(theta)


def _key(group: str) -> str:
    """A group's name without the numbers that R appends to a second term."""
    return group.split(".")[0]
