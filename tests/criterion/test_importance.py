"""Importance sampling against exact integrals, quadrature and long runs of others."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mfx
from mixedfx.criterion.importance import importance_estimate, pareto_shape
from mixedfx.criterion.mode import mode_state
from tests.criterion import exact_cases


def state_at(model, parameters):
    return mode_state(model.problem.model, model.problem.to_inner(np.asarray(parameters, dtype=float)))


def test_one_factor_against_the_exact_integral():
    reference, model = exact_cases.load("cbpp")
    fixed = reference["at_fixed_parameters"]
    found = importance_estimate(state_at(model, [*fixed["beta"], fixed["sigma"]]), 20_000, seed=1)
    assert found.components == 15
    assert abs(found.llf - fixed["exact_loglik"]) < 4 * found.standard_error < 0.04
    assert found.pareto_shape < 0.5


def test_crossed_factors_against_a_long_run():
    exact_cases.load("cbpp")
    reference = json.loads((exact_cases.FOLDER / "salamander_is_results.json").read_text())
    data = pd.read_csv(exact_cases.FOLDER / "data" / "salamander.csv")
    model = mfx.GeneralizedLinearMixedModel("Mate ~ TypeF * TypeM + (1 | Female) + (1 | Male)", data, family="binomial")
    fixed = reference["exact_is_at_fixed"]
    found = importance_estimate(state_at(model, fixed["par"]), 10_000, seed=2)
    assert -0.5 * model.objective(fixed["par"])[0] == pytest.approx(fixed["laplace"], abs=1e-8)
    error = float(np.hypot(found.standard_error, fixed["mc_se"]))
    assert abs(found.llf - fixed["loglik"]) < 4 * error < 0.15


def test_same_seed_same_number():
    reference, model = exact_cases.load("tiny_bernoulli")
    fixed = reference["at_fixed_parameters"]
    state = state_at(model, [*fixed["beta"], fixed["sigma"]])
    assert importance_estimate(state, 1000, seed=3) == importance_estimate(state, 1000, seed=3)


@pytest.mark.parametrize("shape", [0.2, 0.6, 0.9])
def test_shape_of_a_pareto_tail(shape):
    draws = stats.genpareto.rvs(shape, size=(40_000, 8), random_state=np.random.default_rng(4))
    np.testing.assert_allclose(pareto_shape(np.log(draws)).mean(), shape, atol=0.1)


def test_equal_weights_have_no_tail():
    assert np.all(pareto_shape(np.zeros((500, 3))) == -np.inf)
