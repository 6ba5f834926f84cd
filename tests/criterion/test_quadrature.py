"""Adaptive quadrature: the dense definition, exact integrals, its own gradient, conditional moments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.calculus.quadrature import hermite_rule
from mixedfx.criterion.laplace import LaplaceEvaluation, first_order_mean
from mixedfx.criterion.mode import mode_state
from mixedfx.criterion.quadrature import QuadratureEvaluation
from tests import dense_glmm
from tests.criterion import exact_cases
from tests.criterion.generalized import build
from tests.differences import assert_gradient
from tests.examples import examples
from tests.strategies import designs

ONE_FACTOR = ("one factor", "slopes", "slope only", "three columns", "two terms on one factor")
FAMILIES = [
    ("binomial", "logit"),
    ("binomial", "cloglog"),
    ("poisson", "log"),
    ("nbinom2", "log"),
    ("ordinal", "logit"),
]
FEW = examples(5)


def evaluate(case, x, order):
    size = case.model.space.rows.layout.sizes[0]
    return QuadratureEvaluation(mode_state(case.model, x), hermite_rule(order, size))


@given(order=st.integers(1, 300), dimension=st.integers(1, 2))
@examples(20)
def test_rule_integrates_the_gaussian(order, dimension):
    rule = hermite_rule(min(order, 300 if dimension == 1 else 40), dimension)
    squares = np.sum(rule.nodes**2, axis=1)
    weights = np.exp(rule.log_weights - squares)
    assert weights.sum() == pytest.approx(np.pi ** (dimension / 2), rel=1e-12)
    if rule.order > 1:
        assert weights @ squares == pytest.approx(dimension / 2 * np.pi ** (dimension / 2), rel=1e-11)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@given(design=designs(ONE_FACTOR[:3], weights=False), seed=st.integers(0, 100))
@FEW
def test_value_is_the_dense_definition(order, design, seed):
    case = build(design, "binomial", "logit", seed)
    expected = dense_glmm.adaptive_quadrature(*case.twin("binomial", "logit"), order)
    assert -0.5 * evaluate(case, case.x, order).value == pytest.approx(expected, rel=1e-8, abs=1e-8)


@given(design=designs(ONE_FACTOR, weights=False), seed=st.integers(0, 100))
@FEW
def test_one_node_is_laplace(design, seed):
    case = build(design, "nbinom2", "log", seed)
    one, laplace = evaluate(case, case.x, 1), LaplaceEvaluation(mode_state(case.model, case.x))
    assert one.value == pytest.approx(laplace.value, rel=1e-12)
    np.testing.assert_allclose(one.gradient, laplace.gradient, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("order", [2, 3, 5])
@pytest.mark.parametrize("name, link", FAMILIES)
@given(design=designs(ONE_FACTOR, weights=False), seed=st.integers(0, 100))
@examples(3)
def test_gradient_is_that_of_the_value(name, link, order, design, seed):
    case = build(design, name, link, seed)
    assert_gradient(lambda x: evaluate(case, x, order).value, case.x, evaluate(case, case.x, order).gradient, 1e-7)


@given(design=designs(ONE_FACTOR, weights=False), seed=st.integers(0, 100))
@examples(3)
def test_nodes_in_portions_give_the_same(design, seed):
    from unittest import mock

    case = build(design, "nbinom2", "log", seed)
    whole = evaluate(case, case.x, 5)
    with mock.patch("mixedfx.criterion.quadrature.CHUNK_CELLS", 50):
        parts = evaluate(case, case.x, 5)
        assert parts.value == pytest.approx(whole.value, rel=1e-13)
        np.testing.assert_allclose(parts.gradient, whole.gradient, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", exact_cases.NAMES)
def test_fixed_parameters(name):
    """Log-likelihoods of Laplace and quadrature, and the gradient, free of optimiser error."""
    reference, model = exact_cases.load(name)
    fixed = reference["at_fixed_parameters"]
    x = np.array([*fixed["beta"], fixed["sigma"]])
    for label, expected in fixed["loglik"].items():
        nodes = 1 if label == "laplace" else int(label.removeprefix("agq"))
        assert -0.5 * model.objective(x, nagq=nodes)[0] == pytest.approx(expected, abs=1e-8), label
    value, slope = model.objective(x, nagq=255)
    slope[-1] *= fixed["sigma"]
    assert -0.5 * value == pytest.approx(fixed["exact_loglik"], abs=1e-8)
    np.testing.assert_allclose(-0.5 * slope, fixed["exact_gradient_beta_logsigma"], atol=1e-8)


@pytest.mark.parametrize("name", exact_cases.NAMES)
def test_conditional_moments(name):
    reference, model = exact_cases.load(name)
    fixed, problem = reference["at_fixed_parameters"], model.problem
    state = mode_state(problem.model, problem.to_inner(np.array([*fixed["beta"], fixed["sigma"]])))
    scale = problem.terms[0].matrix
    moments = QuadratureEvaluation(state, hermite_rule(255, 1)).moments(scale)
    table = {level["level"]: level for level in fixed["cond"]}
    order = (
        [list(map(str, problem.design.random[0].levels)).index(str(level)) for level in table]
        if name != ("fabric_poisson")
        else [int(level) - 1 for level in table]
    )
    for key, values in (("mode", scale @ state.mode.b[None]), ("mean", moments.mean), ("sd", moments.sd)):
        np.testing.assert_allclose(values[0][order], [level[key] for level in table.values()], atol=1e-6, err_msg=key)
    if "skewness" in fixed["cond"][0]:
        np.testing.assert_allclose(moments.skewness[0][order], [c["skewness"] for c in fixed["cond"]], atol=1e-6)


def test_first_order_mean_is_nearer_than_the_mode():
    reference, model = exact_cases.load("cbpp")
    fixed, problem = reference["at_fixed_parameters"], model.problem
    state = mode_state(problem.model, problem.to_inner(np.array([*fixed["beta"], fixed["sigma"]])))
    scale = problem.terms[0].matrix[0, 0]
    mean = np.array([level["mean"] for level in fixed["cond"]])
    corrected = scale * first_order_mean(LaplaceEvaluation(state))
    assert np.abs(corrected - mean).max() < 0.05 * np.abs(scale * state.mode.b - mean).max()
