"""Derivatives of every family and link against numerical differentiation of its log-likelihood."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.calculus.jets import Space
from mixedfx.families.evaluate import CLOSED_FORMS
from tests.differences import LEVELS, derivative
from tests.examples import examples
from tests.families.catalogue import CASES, DISPERSED, samples

STEP = 5e-3
FEW = examples(6)


def close(exact, numerical, scale=1.0):
    size = np.max(np.abs(numerical), initial=1.0)
    assert exact == pytest.approx(numerical, rel=2e-7, abs=2e-8 * size * scale)


def derivatives_of(arrays, like):
    """Derivatives at 0 of a function of one number that returns arrays of the shapes of ``like``."""
    flat = derivative(lambda t: np.concatenate([np.ravel(array) for array in arrays(t)]), 0.0, STEP)
    pieces = np.split(flat, np.cumsum([array.size for array in like])[:-1])
    return [piece.reshape(array.shape) for piece, array in zip(pieces, like)]


def along_a_predictor(s, place):
    """Derivatives of the arrays of all orders along one linear predictor; the rows at all steps are one call."""
    steps = [side * STEP / 2**level for level in range(LEVELS) for side in (1, -1)]
    eta = np.stack([shifted(s.eta, place, step) for step in steps])
    orders = s.family.derivatives(s.observed, eta, s.phi)
    at = {step: [order[k] for order in orders] for k, step in enumerate(steps)}
    return derivatives_of(at.__getitem__, at[STEP])


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
        below = along_a_predictor(s, place)
        for order in (1, 2, 3):
            close(component(exact[order], place, n_predictors), below[order - 1])


@pytest.mark.parametrize("case", [*CASES, *DISPERSED], ids=str)
@FEW
@given(data=st.data())
def test_derivatives_in_phi(case, data):
    s = data.draw(samples(case))
    exact = s.family.phi_derivatives(s.observed, s.eta, s.phi)
    below = s.family.derivatives(s.observed, s.eta, s.phi)
    n_predictors = len(s.family.predictors)
    for order, array in enumerate(exact):
        axes = () if n_predictors == 1 else (n_predictors,) * order
        assert array.shape == (s.observed.n, *axes, s.phi.size)
    for place in range(s.phi.size):
        unit = np.eye(s.phi.size)[place]
        numerical = derivatives_of(lambda t, u=unit: s.family.derivatives(s.observed, s.eta, s.phi + t * u), below)
        for order in (0, 1, 2):
            close(exact[order][..., place], numerical[order])


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
@pytest.mark.parametrize("trials", [1.0, 7.0])
def test_closed_forms_are_the_density_differentiated_automatically(pair, trials, monkeypatch):
    family = pair[0](pair[1])
    rng = np.random.default_rng(5)
    eta, phi = rng.normal(size=60) * 3, np.full(len(family.phi_names), 0.4)
    drawn = family.simulate(rng, eta, phi, trials=np.full(60, trials))
    weights = rng.uniform(0.2, 3.0, 60) if family.precision_weights else None
    observed = family.observe(drawn, trials=np.full(60, trials), weights=weights)

    def everything():
        inner = family.mean_derivatives(observed, eta, phi)
        both = family.all_derivatives(observed, eta, phi)
        return [*family.derivatives(observed, eta, phi), inner[1], inner[2], *both[0], *both[1]]

    closed = everything()
    monkeypatch.delitem(CLOSED_FORMS, pair)
    for left, right in zip(closed, everything(), strict=True):
        assert left == pytest.approx(right, rel=1e-10, abs=1e-10)


def test_a_space_without_parameters_holds_all_partial_derivatives():
    assert len(list(Space(1, 3))) == 4
    assert len(list(Space(2, 3))) == 10
    assert len(list(Space(3, 3))) == 20
    assert list(Space(1, 3, 1)) == [(), (0,), (1,), (0, 0), (0, 1), (0, 0, 1)]
