"""The Laplace criterion against its dense definition, and its gradient against numerical differentiation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.criterion.laplace import LaplaceEvaluation, profiled
from mixedfx.criterion.marginal import EXPECTED
from mixedfx.criterion.mode import find_mode, mode_state, predicted_states
from tests import dense_glmm
from tests.criterion.generalized import build
from tests.differences import assert_gradient, jacobian
from tests.examples import examples
from tests.strategies import KINDS, RandomDesign, _frame, designs

DENSE = [
    ("binomial", "logit"),
    ("binomial", "probit"),
    ("binomial", "cloglog"),
    ("poisson", "log"),
    ("nbinom2", "log"),
    ("gamma", "log"),
    ("beta", "logit"),
]
FAMILIES = [
    *DENSE,
    ("binomial", "cauchit"),
    ("nbinom1", "log"),
    ("gamma", "inverse"),
    ("gaussian", "identity"),
    ("gaussian", "log"),
    ("inverse_gaussian", "log"),
    ("beta_binomial", "logit"),
    ("student_t", "identity"),
    ("tweedie", "log"),
    ("lognormal", "log"),
    ("ordinal", "logit"),
    ("ordinal", "probit"),
    ("zero_inflated_poisson", "log"),
    ("zero_inflated_nbinom2", "log"),
    ("hurdle_poisson", "log"),
    ("truncated_poisson", "log"),
]
FEW = examples(6)
SOME_KINDS = ("one factor", "slopes", "nested slopes", "crossed", "crossed and nested")
DISPERSIONS = {"nbinom2": np.exp(0.3), "gamma": np.exp(0.3), "beta": np.exp(0.3)}


def evaluate(case, x):
    return LaplaceEvaluation(mode_state(case.model, x))


@pytest.mark.parametrize("name, link", DENSE)
@given(design=designs(weights=False), seed=st.integers(0, 100))
@FEW
def test_value_is_the_dense_definition(name, link, design, seed):
    case = build(design, name, link, seed, offset=0.1)
    expected = dense_glmm.laplace(*case.twin(name, link, DISPERSIONS.get(name, 1.0)))
    assert -0.5 * evaluate(case, case.x).value == pytest.approx(expected, rel=1e-7, abs=1e-7)


def check_gradient(case):
    assert_gradient(lambda x: evaluate(case, x).value, case.x, evaluate(case, case.x).gradient, 1e-7)


@pytest.mark.parametrize("name, link", FAMILIES)
@given(design=designs(SOME_KINDS, weights=False), seed=st.integers(0, 100))
@FEW
def test_gradient(name, link, design, seed):
    check_gradient(build(design, name, link, seed))


@pytest.mark.parametrize("kind", list(KINDS))
@given(data=st.data(), seed=st.integers(0, 100))
@examples(3)
def test_gradient_of_every_structure(kind, data, seed):
    check_gradient(build(data.draw(designs((kind,), weights=False)), "nbinom2", "log", seed))


@pytest.mark.parametrize("name, link", [("binomial", "probit"), ("nbinom2", "log"), ("gamma", "log")])
@given(design=designs(SOME_KINDS, weights=False), seed=st.integers(0, 100))
@FEW
def test_gradient_with_expected_information(name, link, design, seed):
    check_gradient(build(design, name, link, seed, information=EXPECTED))


@pytest.mark.parametrize("name", ["nbinom2", "beta", "zero_inflated_nbinom2"])
@given(design=designs(SOME_KINDS, weights=False), seed=st.integers(0, 100))
@FEW
def test_gradient_with_a_dispersion_formula(name, design, seed):
    check_gradient(build(design, name, None, seed, extra=("dispersion",)))


@given(design=designs(weights=False), seed=st.integers(0, 100))
@FEW
def test_the_mode_moves_as_its_derivative_says(design, seed):
    case = build(design, "nbinom2", "log", seed)
    state = mode_state(case.model, case.x)
    b, t = (jacobian(lambda x, part=p: getattr(mode_state(case.model, x).mode, part), case.x, 2e-3) for p in "bt")
    np.testing.assert_allclose(state.movement[0], b, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(state.movement[1], t, rtol=1e-6, atol=1e-6)


@given(design=designs(weights=False), seed=st.integers(0, 100))
@FEW
def test_predicted_states_are_of_second_order(design, seed):
    case = build(design, "poisson", "log", seed)
    state = mode_state(case.model, case.x)
    xs = [case.x + 1e-6 * row for row in np.eye(case.x.size)]
    for x, predicted in zip(xs, predicted_states(state, xs), strict=True):
        np.testing.assert_allclose(predicted.mode.b, mode_state(case.model, x).mode.b, atol=1e-10)
        np.testing.assert_allclose(predicted.expansion.value, mode_state(case.model, x).expansion.value, atol=1e-10)


@given(design=designs(weights=False), seed=st.integers(0, 100))
@FEW
def test_a_start_elsewhere_finds_the_same_mode(design, seed):
    case = build(design, "binomial", "logit", seed)
    far = mode_state(case.model, case.x + 0.5)
    np.testing.assert_allclose(
        mode_state(case.model, case.x, far).mode.eta, mode_state(case.model, case.x).mode.eta, atol=1e-9
    )


@given(design=designs(weights=False), seed=st.integers(0, 100))
@FEW
def test_gradient_with_profiled_fixed_effects(design, seed):
    case = build(design, "nbinom2", "log", seed)
    p = case.model.n_fixed
    near = (case.x[:p], np.zeros(case.model.space.n_effects))
    at = profiled(case.model, case.x[p:], near)
    assert_gradient(lambda outer: profiled(case.model, outer, near).value, case.x[p:], at.gradient, 1e-6)


def test_zero_variance_is_a_legal_value():
    frame = _frame(np.random.default_rng(1), 40, (5, 3, 4), balanced=False).assign(y=0.0)
    case = build(RandomDesign("slopes", frame, ("x",), KINDS["slopes"], None), "poisson", "log")
    x = case.x.copy()
    x[case.model.theta_slice] = 0.0
    state = mode_state(case.model, x)
    eta = case.model.fixed_part(case.model.parts(x).beta)
    value = LaplaceEvaluation(state).value
    assert value == pytest.approx(-2 * case.family.loglik(case.observed, eta).sum(), abs=1e-10)
    assert np.all(np.isfinite(LaplaceEvaluation(state).gradient))


def test_a_start_that_leads_far_away_costs_little():
    """Without weights the first step goes to where the next ones only creep back: the search begins anew at zero."""
    frame = _frame(np.random.default_rng(1), 40, (5, 3, 4), balanced=True).assign(y=0.0)
    space = build(RandomDesign("one factor", frame, (), KINDS["one factor"], None), "poisson", "log").model.space
    steps = []

    def quadratic(eta):
        steps.append(eta)
        mean = np.exp(eta)
        return 5 * eta - mean, 5 - mean, mean

    fixed, factors = np.zeros(len(frame)), [np.array([[1.4]])]
    expected = find_mode(space, quadratic, fixed, factors)
    from_zero = len(steps)
    away = np.full(space.n_effects, -30.0)
    found = find_mode(space, quadratic, fixed, factors, (away, away / 1.4**2))
    assert min(np.sum(5 * eta - np.exp(eta)) for eta in steps) < -1e20
    assert len(steps) <= 2 * from_zero + 5
    np.testing.assert_allclose(found.b, expected.b, rtol=1e-9)
