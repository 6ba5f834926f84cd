"""Every peer's estimates, evaluated in one and the same criterion: that of mixedfx."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.problems import Problem


def evaluator(problem: Problem, frame: pd.DataFrame) -> Any:
    """A function from an engine's answer to minus twice the REML log-likelihood at its estimates.

    Generalised models give minus twice the log-likelihood that the engine reports.
    """
    if problem.family != "gaussian":
        return lambda answer: -2.0 * float(answer["loglik"])
    import mixedfx as mfx

    model = mfx.LinearMixedModel(problem.formula, frame)

    def value(answer: dict[str, Any]) -> float:
        if not answer.get("covariances") or answer.get("sigma2") is None:
            return float("nan")
        covariances = {_key(name): np.array(matrix, dtype=float) for name, matrix in answer["covariances"].items()}
        theta = []
        for term in model.design.random:
            matrix = covariances.get(_key(term.group))
            if matrix is None:
                matrix = next(iter(covariances.values()))
            values, vectors = np.linalg.eigh(matrix.reshape(len(term.names), -1) / float(answer["sigma2"]))
            theta.append(term.covariance.parameters(vectors * np.sqrt(np.maximum(values, 0.0))))
        return model.objective(np.concatenate(theta))[0]

    return value


def _key(group: str) -> str:
    """A group's name without the numbers that R appends to a second term."""
    return group.split(".")[0]
