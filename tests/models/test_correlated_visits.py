"""Visits that are almost perfectly correlated: the optimiser may try a correlation matrix that has no factor."""

import numpy as np
import pytest

import mixedfx as mfx
from mixedfx.covariance.residual import Unstructured


def test_a_correlation_of_one_is_beyond_floating_point_and_says_so():
    bound = Unstructured("visit", group="g").bind({"visit": [1, 2, 1, 2], "g": [1, 1, 2, 2]})
    rho = np.append(np.zeros(bound.n_rho - 1), 1e12)
    with pytest.raises(FloatingPointError, match="singular in floating point"):
        bound.logdet(rho)


def test_an_unstructured_covariance_of_complete_visits_is_that_of_the_sample():
    hours = mfx.load_dataset("obk").groupby(["id", "hour"], observed=True)["value"].mean().unstack()
    draws = np.random.default_rng(1).normal(size=(310, 16, 5))[309] @ np.linalg.cholesky(hours.cov()).T
    table = hours.stack().rename("y").reset_index().assign(y=draws.ravel())
    fit = mfx.lmer("y ~ hour", table, residual=Unstructured("hour", group="id"))
    sample = np.cov(draws, rowvar=False)
    spread = np.sqrt(np.diag(sample))
    found = fit.residual_params
    assert fit.sigma == pytest.approx(spread[0], rel=1e-5)
    assert found.filter(like="hour[").to_numpy() == pytest.approx(spread[1:] / spread[0], rel=1e-5)
    expected = (sample / np.outer(spread, spread))[np.tril_indices(5, -1)]
    assert found.filter(like="cor[").to_numpy() == pytest.approx(expected, rel=1e-5)


def test_residuals_whose_correlation_ran_away_are_looked_for_again():
    """Random slopes took all that correlated residuals describe better: nlme finds -566.030 with phi = .760."""
    data = mfx.load_dataset("bodyweight")
    fit = mfx.lmer("weight ~ Diet * Time + (Time | Rat)", data, residual=mfx.CAR1("Time", group="Rat"))
    assert fit.llf == pytest.approx(-566.0296, abs=1e-3)
    assert fit.residual_params["phi"] == pytest.approx(0.7604, abs=1e-3)
    assert fit.update(control=mfx.Control(starts=5)).llf <= fit.llf + 1e-4
