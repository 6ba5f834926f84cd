"""The Laplace approximation where the equations of the remainder are solved by iteration, beside the exact one.

The mean over *all* vectors of signs is an exact trace, so that every estimate must then be the exact number.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from mixedfx.criterion import marginal
from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.criterion.marginal import EXPECTED, OBSERVED
from mixedfx.criterion.mode import mode_covariance, mode_state, predicted_states
from mixedfx.linalg import iterative
from mixedfx.linalg.probes import Solver
from tests.criterion.generalized import build
from tests.strategies import KINDS, RandomDesign, _frame

CASES = [
    ("crossed", "binomial", OBSERVED),
    ("crossed", "nbinom2", EXPECTED),
    ("crossed slopes", "poisson", OBSERVED),
    ("crossed and nested", "gamma", OBSERVED),
    ("three crossed", "zero_inflated_poisson", OBSERVED),
    ("three crossed", "nbinom2", EXPECTED),
]


def case_of(kind, name, information, seed=1):
    frame = _frame(np.random.default_rng(seed), 60, (5, 4, 3), balanced=False).assign(y=0.0)
    return build(RandomDesign(kind, frame, ("x",), KINDS[kind], None), name, None, information=information)


def iterated(model, **solver):
    """The model with a remainder that is never formed."""
    rows = model.space.rows
    rows = replace(rows, layout=replace(rows.layout, is_operator=True))
    return replace(model, space=replace(model.space, rows=rows), solver=Solver(**solver))


def with_signs(monkeypatch, columns):
    monkeypatch.setattr(iterative, "signs", lambda seed, places, first, last: columns)


def all_signs(model):
    """Every vector of signs but for its negative."""
    count = model.space.rows.layout.n_remainder
    return np.array(list(product([1.0, -1.0], repeat=count)))[: 2 ** (count - 1)].T


@pytest.mark.parametrize("kind, name, information", CASES)
def test_the_mean_over_all_signs_is_exact(kind, name, information, monkeypatch):
    case = case_of(kind, name, information)
    exact = LaplaceEvaluation(mode_state(case.model, case.x))
    with_signs(monkeypatch, all_signs(case.model))
    at = LaplaceEvaluation(mode_state(iterated(case.model), case.x))
    np.testing.assert_allclose(at.state.mode.b, exact.state.mode.b, atol=1e-8)
    np.testing.assert_allclose(at.leverages, exact.leverages, atol=1e-7)
    np.testing.assert_allclose(at.gradient, exact.gradient, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(at.curvature, exact.curvature, rtol=1e-6, atol=1e-6)
    assert at.value == pytest.approx(exact.value, rel=1e-7)
    for factor in range(case.model.space.rows.layout.n_factors):
        blocks = (mode_covariance(state, factor) for state in (at.state, exact.state))
        np.testing.assert_allclose(*blocks, atol=1e-7)


@pytest.mark.parametrize("kind, name, information", CASES)
def test_deviations_are_those_of_single_probes(kind, name, information, monkeypatch):
    case, count = case_of(kind, name, information), 5
    signs = np.random.default_rng(1).choice([-1.0, 1.0], (case.model.space.rows.layout.n_remainder, count))
    singles, by_covariance = [], []
    for k in range(count):
        with_signs(monkeypatch, signs[:, k : k + 1])
        single = LaplaceEvaluation(mode_state(iterated(case.model, probes=1, probe_tolerance=1e-10), case.x))
        singles.append(single.gradient)
        by_covariance.append(single.covariance_gradient)
    with_signs(monkeypatch, signs)
    at = LaplaceEvaluation(mode_state(iterated(case.model, probes=count, probe_tolerance=1e-10), case.x))
    scale = max(np.abs(at.gradient_deviations).max(), 1e-5)  # of small variances the probes leave next to nothing open
    np.testing.assert_allclose(at.gradient, np.mean(singles, axis=0), atol=1e-6 * scale)
    np.testing.assert_allclose(at.gradient_deviations, singles - at.gradient, atol=1e-5 * scale)
    for f, deviations in enumerate(at.covariance_deviations):
        expected = [parts[f] - at.covariance_gradient[f] for parts in by_covariance]
        np.testing.assert_allclose(deviations, expected, atol=1e-5 * scale)


@pytest.mark.parametrize("kind, name, information", CASES)
def test_controls_leave_the_gradient_what_it_is(kind, name, information):
    case = case_of(kind, name, information)
    exact = LaplaceEvaluation(mode_state(case.model, case.x))
    at = LaplaceEvaluation(mode_state(iterated(case.model, probes=60, seed=2, controls=240), case.x))
    deviations, count = at.gradient_deviations, 300
    assert deviations.shape == (count, case.x.size)
    error = np.sqrt(np.square(deviations).sum(axis=0) / (count * (count - 1)))
    assert np.all(np.abs(at.gradient - exact.gradient) <= 4.5 * error + 1e-6)
    for known, estimate, of_factor in zip(
        exact.covariance_gradient, at.covariance_gradient, at.covariance_deviations, strict=True
    ):
        error = np.sqrt(np.square(of_factor).sum(axis=0) / (count * (count - 1)))
        assert np.all(np.abs(estimate - known) <= 4.5 * error + 1e-6)
    np.testing.assert_allclose(at.leverages, exact.leverages, rtol=0.2, atol=0.02)


def test_an_exact_gradient_has_no_deviations():
    case = case_of("crossed", "poisson", OBSERVED)
    at = LaplaceEvaluation(mode_state(case.model, case.x))
    assert at.gradient_deviations.shape == (0, case.x.size)
    assert at.covariance_deviations == ()


@pytest.mark.parametrize("kind, name, information", CASES)
def test_warm_starts_do_not_matter(kind, name, information):
    case = case_of(kind, name, information)
    model = iterated(case.model, probes=6)
    far = mode_state(model, case.x + 0.05)
    assert np.isfinite(LaplaceEvaluation(far).gradient).all()  # its solutions are what the next ones start from
    warm, cold = mode_state(model, case.x, far), mode_state(model, case.x)
    np.testing.assert_allclose(warm.mode.b, cold.mode.b, atol=1e-8)
    gradients = [LaplaceEvaluation(state).gradient for state in (warm, cold)]
    np.testing.assert_allclose(*gradients, rtol=1e-5, atol=1e-5)
    assert LaplaceEvaluation(warm).value == pytest.approx(LaplaceEvaluation(cold).value, rel=1e-7)


@pytest.mark.parametrize("kind, name, information", CASES)
def test_predicted_states_are_those_of_the_exact_engine(kind, name, information):
    case = case_of(kind, name, information)
    xs = [case.x + 1e-3 * row for row in np.eye(case.x.size)]
    pairs = (predicted_states(mode_state(model, case.x), xs) for model in (iterated(case.model), case.model))
    for ours, exact in zip(*pairs, strict=True):
        np.testing.assert_allclose(ours.mode.b, exact.mode.b, atol=1e-8)


def test_a_variance_of_zero_is_legal(monkeypatch):
    case = case_of("crossed slopes", "poisson", OBSERVED)
    x = case.x.copy()
    x[case.model.theta_slice.stop - 1] = 0.0
    with_signs(monkeypatch, all_signs(case.model))
    pairs = [LaplaceEvaluation(mode_state(model, x)) for model in (iterated(case.model), case.model)]
    np.testing.assert_allclose(*(at.gradient for at in pairs), rtol=1e-6, atol=1e-6)
    for ours, exact in zip(*(at.covariance_gradient for at in pairs), strict=True):
        np.testing.assert_allclose(ours, exact, rtol=1e-6, atol=1e-6)


def test_weights_that_are_not_positive_on_the_way_do_not_stop_the_search_for_the_mode():
    case = case_of("crossed", "student_t", OBSERVED)
    start = case.x.copy()
    start[0] += 8.0  # tails, where the log-density is convex
    modes = [mode_state(model, start).mode for model in (iterated(case.model), case.model)]
    assert modes[0].converged
    assert modes[1].converged
    np.testing.assert_allclose(*(mode.b for mode in modes), atol=1e-7)


@pytest.mark.parametrize("kind, name, information", CASES)
def test_rows_in_pieces_are_the_same_rows(kind, name, information, monkeypatch):
    case = case_of(kind, name, information)
    likelihood, auxiliary = case.model.likelihood, case.model.auxiliary_values(case.model.parts(case.x).extra)
    eta = np.linspace(-1.0, 1.0, likelihood.observed.n)
    whole = likelihood.quadratic(eta, auxiliary), likelihood.expansion(eta, auxiliary)
    monkeypatch.setattr(marginal, "ROWS_AT_ONCE", 7)
    cut = likelihood.quadratic(eta, auxiliary), likelihood.expansion(eta, auxiliary)
    for ours, expected in zip(cut[0], whole[0], strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-14)
    for ours, expected in zip(cut[1].arrays, whole[1].arrays, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-14)
    assert (cut[1].determinant is cut[1].observed) == (whole[1].determinant is whole[1].observed)
    np.testing.assert_array_equal(cut[1].observed.weight, cut[1].arrays[2])
