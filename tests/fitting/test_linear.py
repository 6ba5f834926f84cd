"""Searches for the optimum of linear mixed models where the surface is not simple."""

import numpy as np
import pytest
from scipy.optimize import minimize

import mixedfx as mfx
from mixedfx.fitting import linear_search
from tests.strategies import KINDS, _frame, _response


def design(seed):
    """A small random design with several factors, and whether by REML."""
    rng = np.random.default_rng(seed)
    kind = list(KINDS)[rng.integers(len(KINDS))]
    sizes = (int(rng.integers(3, 8)), int(rng.integers(2, 5)), int(rng.integers(3, 7)))
    n = int(rng.integers(max(24, 2 * sizes[0] * sizes[1]), 73))
    frame = _frame(rng, n, sizes, bool(rng.integers(2)))
    return frame.assign(y=_response(rng, frame, KINDS[kind], [0.3, 1.0, 3.0][rng.integers(3)]))


@pytest.mark.parametrize(
    ("seed", "formula"),
    [
        (243, "y ~ 1 + x + z + (1 | g) + (1 | g:h) + (1 + x | k)"),
        (2438, "y ~ 1 + (1 + x | g) + (1 + z | k)"),
    ],
)
def test_the_lower_of_two_valleys_is_found(seed, formula, monkeypatch):
    model = mfx.LinearMixedModel(formula, design(seed))
    fit = model.fit()
    monkeypatch.setattr(linear_search, "LONG_SEARCH", np.inf)
    assert model.fit().llf < fit.llf - 1e-3  # where one search alone ends
    assert -2 * fit.llf <= best_of_many(model, fit.solution.problem.covariance.lower == 0) + 1e-6


def best_of_many(model, positive):
    """Smallest value that searches from random places reach."""
    rng = np.random.default_rng(0)
    bounds = [(0 if sd else None, None) for sd in positive]
    starts = [np.where(positive, rng.uniform(0.1, 3), 0.3 * rng.standard_normal()) for _ in range(12)]
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 500}
    return min(
        minimize(model.objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).fun
        for start in starts
    )
