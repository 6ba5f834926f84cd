"""Traces of the exact Hessian: closed forms for random intercepts, and dense products, against n by n matrices."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.criterion.traces import dense_traces, has_intercepts_only, traces_of_intercepts

TERMS = {
    "nested": "(1 | a/i)",
    "two crossed": "(1 | a) + (1 | b)",
    "three crossed": "(1 | c) + (1 | a) + (1 | b)",
    "slopes and crossed": "(x | a) + (1 | b)",
    "crossed slopes": "(x | a) + (x | c)",
    "two nested and one crossed": "(1 | a/i) + (1 | b)",
}


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    n = 150
    frame = pd.DataFrame({"a": rng.integers(0, 20, n), "b": rng.integers(0, 9, n), "c": rng.integers(0, 5, n)})
    frame["i"], frame["x"] = rng.integers(0, 4, n), rng.normal(size=n)
    return frame.assign(y=frame["x"] + rng.normal(size=n))


def _evaluation(terms, frame, reml):
    """The criterion away from the optimum, so that no variance is near zero."""
    criterion = mfx.LinearMixedModel(f"y ~ x + {terms}", frame)._problem(reml).criterion
    return criterion(np.linspace(0.6, 1.1, len(criterion.start)))


def _truth(at, rows, reml):
    """``tr(P* V_i P* V_j)`` with V_i by differences of V, which is quadratic in theta: exact up to rounding."""

    def marginal(theta):
        V = np.eye(len(rows.columns))
        for z, codes, factor in zip(rows.z, rows.layout.codes, at.criterion.covariance.factors(theta), strict=True):
            V = V + (z.T @ factor @ factor.T @ z) * (codes[:, None] == codes)
        return V

    k, h = at.theta.size, 1e-3
    slopes = [(marginal(at.theta + h * e) - marginal(at.theta - h * e)) / (2.0 * h) for e in np.eye(k)]
    P, X = np.linalg.inv(marginal(at.theta)), rows.columns[:, :-1]
    if reml:
        P = P - P @ X @ np.linalg.solve(X.T @ P @ X, X.T @ P)
    products = [P @ slope for slope in slopes]
    return np.array([[np.sum(a * b.T) for b in products] for a in products])


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", TERMS)
def test_traces(frame, name, reml):
    at = _evaluation(TERMS[name], frame, reml)
    rows = mfx.LinearMixedModel(f"y ~ x + {TERMS[name]}", frame)._problem(reml).assembly.rows
    truth = _truth(at, rows, reml)
    scale = np.sqrt(np.outer(truth.diagonal(), truth.diagonal()))
    assert dense_traces(at) / scale == pytest.approx(truth / scale, abs=1e-9)
    assert has_intercepts_only(at) == (name in ("nested", "two crossed", "three crossed"))
    if has_intercepts_only(at):
        assert traces_of_intercepts(at) / scale == pytest.approx(truth / scale, abs=1e-9)
