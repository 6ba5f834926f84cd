"""Derivatives of every family and link against numerical differentiation of its log-likelihood."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.calculus.jets import Space
from mixedfx.families.evaluate import CLOSED_FORMS
from tests.differences import derivative
from tests.families.catalogue import CASES, DISPERSED, samples

STEP = 1e-2
FEW = settings(max_examples=6, deadline=None)


def close(exact, numerical, scale=1.0):
    size = np.max(np.abs(numerical), initial=1.0)
    assert exact == pytest.approx(numerical, rel=2e-7, abs=2e-8 * size * scale)


def shifted(eta, place, step):
    moved = np.array(eta)
    moved[(..., place) if np.ndim(eta) > 1 else ...] += step
    return moved


def component(array, place, n_predictors):
    return array if n_predictors == 1 else array[..., place]


@pytest.mark.parametrize("case", [*CASES, *DISPERSED], ids=str)
@FEW
@given(data=st.data())
def test_each_order_is_the_derivative_of_the_order_below(case, data):
    s = data.draw(samples(case))
    n_predictors = len(s.family.predictors)
    exact = s.family.derivatives(s.observed, s.eta, s.phi)
    assert exact[0] == pytest.approx(s.family.loglik(s.observed, s.eta, s.phi), rel=1e-13, abs=1e-13)
    for place in range(n_predictors):
        for order in (1, 2, 3):
            numerical = derivative(
                lambda t, k=place, d=order: s.family.derivatives(s.observed, shifted(s.eta, k, t), s.phi)[d - 1],
                0.0,
                STEP,
            )
            close(component(exact[order], place, n_predictors), numerical)


@pytest.mark.parametrize("case", [*CASES, *DISPERSED], ids=str)
@FEW
@given(data=st.data())
def test_derivatives_in_phi(case, data):
    s = data.draw(samples(case))
    exact = s.family.phi_derivatives(s.observed, s.eta, s.phi)
    n_predictors = len(s.family.predictors)
    for order, array in enumerate(exact):
        axes = () if n_predictors == 1 else (n_predictors,) * order
        assert array.shape == (s.observed.n, *axes, s.phi.size)
    for place in range(s.phi.size):
        unit = np.eye(s.phi.size)[place]
        for order in (0, 1, 2):
            numerical = derivative(
                lambda t, u=unit, d=order: s.family.derivatives(s.observed, s.eta, s.phi + t * u)[d], 0.0, STEP
            )
            close(exact[order][..., place], numerical)


@pytest.mark.parametrize("case", [*CASES, *DISPERSED], ids=str)
@FEW
@given(data=st.data())
def test_the_inner_loop_has_the_same_derivatives_up_to_terms_without_the_mean(case, data):
    s = data.draw(samples(case))
    full = s.family.derivatives(s.observed, s.eta, s.phi)
    inner = s.family.mean_derivatives(s.observed, s.eta, s.phi, order=3)
    moved = shifted(s.eta, 0, 0.05 if np.all(s.eta > 0) else -0.05)
    for order in (1, 2, 3):
        expected = full[order][(slice(None), *(0,) * order)] if len(s.family.predictors) > 1 else full[order]
        assert inner[order] == pytest.approx(expected, rel=1e-9, abs=1e-11 * np.max(np.abs(expected), initial=1.0))
    outer = s.family.loglik(s.observed, moved, s.phi) - full[0]
    kernel = s.family.mean_derivatives(s.observed, moved, s.phi, order=0)[0] - inner[0]
    assert kernel == pytest.approx(outer, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("case", [*CASES, *DISPERSED], ids=str)
@FEW
@given(data=st.data())
def test_one_pass_gives_what_two_give(case, data):
    s = data.draw(samples(case))
    in_eta, in_phi = s.family.all_derivatives(s.observed, s.eta, s.phi)
    two = (*s.family.derivatives(s.observed, s.eta, s.phi), *s.family.phi_derivatives(s.observed, s.eta, s.phi))
    for left, right in zip((*in_eta, *in_phi), two, strict=True):
        assert left == pytest.approx(right, rel=1e-10, abs=1e-10 * np.max(np.abs(right), initial=1.0))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_leading_axes_are_broadcast(case):
    family = case.family
    rng = np.random.default_rng(3)
    n, n_predictors = 4, len(family.predictors)
    eta = rng.uniform(0.3, 0.9, size=(3, n) if n_predictors == 1 else (3, n, n_predictors))
    if family.mean_range == "unit" and case.link == "log":
        eta = -eta
    phi = rng.normal(size=len(family.phi_names)) * 0.3
    observed = family.observe(family.simulate(rng, eta[0], phi))
    together = family.derivatives(observed, eta, phi)
    for node in range(3):
        for all_nodes, one in zip(together, family.derivatives(observed, eta[node], phi), strict=True):
            assert all_nodes[node] == pytest.approx(one, rel=1e-12, abs=1e-12)
    in_phi = family.phi_derivatives(observed, eta, phi)
    assert in_phi[1][1] == pytest.approx(family.phi_derivatives(observed, eta[1], phi)[1], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("pair", CLOSED_FORMS, ids=lambda pair: f"{pair[0].__name__}-{pair[1].name}")
def test_closed_forms_are_the_density_differentiated_automatically(pair):
    family = pair[0](pair[1])
    rng = np.random.default_rng(5)
    eta = rng.normal(size=60) * 3
    phi = np.full(len(family.phi_names), 0.4)
    for trials in (np.ones(60), np.full(60, 7.0)):
        observed = family.observe(family.simulate(rng, eta, phi, trials=trials), trials=trials)
        weighted = family.observe(
            observed.y / (trials if family.proportions else 1.0), trials=trials, weights=np.ones(60)
        )
        closed = family.derivatives(observed, eta, phi)
        automatic = family.derivatives(weighted, eta, phi)  # a weighted response takes the general way
        for left, right in zip(closed, automatic, strict=True):
            assert left == pytest.approx(right, rel=1e-10, abs=1e-10)


def test_a_space_without_parameters_holds_all_partial_derivatives():
    assert len(list(Space(1, 3))) == 4
    assert len(list(Space(2, 3))) == 10
    assert len(list(Space(3, 3))) == 20
    assert list(Space(1, 3, 1)) == [(), (0,), (1,), (0, 0), (0, 1), (0, 0, 1)]
