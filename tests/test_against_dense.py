"""Fits of random designs against the dense definition: criterion, gradient, estimates, df, modes, predictions."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfx as mfx
from tests import dense
from tests.strategies import RandomDesign, designs, designs_with_theta


def fitted(design: RandomDesign, *, reml: bool):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", mfx.SingularFitWarning)
        return mfx.lmer(design.formula, design.frame, reml=reml, weights=design.weights)


def factors_of(model):
    return lambda theta: dense.unstructured(model, np.asarray(theta))


@given(designs_with_theta(), st.booleans())
def test_objective_and_gradient(case, reml):
    design, theta = case
    model = design.dense(reml=reml)
    value, gradient = fitted(design, reml=reml).model.objective(theta, reml=reml)
    assert value == pytest.approx(dense.criterion(model, factors_of(model)(theta)), rel=1e-9)
    expected = dense.criterion_gradient(model, factors_of(model), theta)
    assert gradient == pytest.approx(expected, rel=1e-6, abs=1e-6 * max(1.0, np.abs(expected).max()))


@given(designs(), st.booleans())
def test_estimates_follow_from_theta(design, reml):
    fit, model = fitted(design, reml=reml), design.dense(reml=reml)
    truth = dense.estimate(model, factors_of(model)(fit.theta))
    se = np.sqrt(np.diag(truth.vcov))
    assert -2 * fit.llf == pytest.approx(dense.criterion(model, factors_of(model)(fit.theta)), rel=1e-9)
    assert fit.sigma == pytest.approx(truth.sigma2**0.5, rel=1e-7)
    assert np.asarray(fit.params) / se == pytest.approx(truth.beta / se, abs=1e-6)
    assert np.asarray(fit.cov_params()) / np.outer(se, se) == pytest.approx(truth.vcov / np.outer(se, se), abs=1e-6)
    assert np.asarray(fit.fittedvalues) == pytest.approx(truth.fitted, abs=1e-6 * fit.sigma)


@given(designs(["one factor", "slopes", "nested", "crossed slopes", "three columns"]))
def test_modes_and_their_spread(design):
    fit, model = fitted(design, reml=True), design.dense()
    truth = dense.estimate(model, factors_of(model)(fit.theta))
    for spec, modes, covariance in zip(design.terms, truth.modes, truth.mode_covariance):
        group = ":".join(spec.group)
        assert np.asarray(fit.random_effects[group]) == pytest.approx(modes, abs=1e-6 * fit.sigma)
        spread = np.sqrt(np.einsum("lii->li", covariance))
        assert np.asarray(fit.random_effects_sd[group]) == pytest.approx(spread, abs=1e-6 * fit.sigma)


@given(designs(), st.booleans())
def test_no_neighbour_is_better(design, reml):
    """The optimum: no step along a coordinate, up or down, nor a jump, lowers the dense criterion."""
    fit, model = fitted(design, reml=reml), design.dense(reml=reml)
    best = dense.criterion(model, factors_of(model)(fit.theta))
    for index in range(design.n_theta):
        for step in (1e-3, -1e-3, 0.03, -0.03, 0.3, -0.3, 1.0):
            theta = np.asarray(fit.theta) + step * np.eye(design.n_theta)[index]
            assert dense.criterion(model, factors_of(model)(theta)) > best - 1e-6


@given(designs(["one factor", "slopes", "nested", "crossed"]))
def test_satterthwaite_df(design):
    fit, model = fitted(design, reml=True), design.dense()
    if fit.is_singular or np.min(np.abs(fit.theta)) < 0.05:  # the Hessian of the definition needs room around theta
        return
    rows = np.eye(len(fit.params))
    expected = dense.satterthwaite_df(model, factors_of(model), np.asarray(fit.theta), fit.sigma, rows)
    assert np.asarray(fit.df) == pytest.approx(expected, rel=1e-4)


@given(designs(["one factor", "slopes", "nested", "crossed slopes"]), st.booleans())
def test_predictions_of_known_and_new_levels(design, random):
    fit = fitted(design, reml=True)
    data = design.frame.iloc[::-3].copy()
    assert np.asarray(fit.predict(data)) == pytest.approx(np.asarray(fit.fittedvalues[data.index]), abs=1e-9)
    fixed = design.dense().X[data.index] @ np.asarray(fit.params)
    new = data.assign(g="unseen", h="unseen", k="unseen")
    ours = fit.predict(new, random=random, new_levels="population")
    assert np.asarray(ours) == pytest.approx(fixed, abs=1e-9)


@given(designs(["one factor", "slopes", "nested", "crossed slopes", "two terms on one factor"]))
def test_kenward_roger(design):
    fit, model = fitted(design, reml=True), design.dense()
    if fit.is_singular or np.min(np.abs(fit.theta)) < 0.05:  # the information is singular there
        return
    truth = dense.kenward_roger(model, factors_of(model)(fit.theta), fit.sigma**2)
    se = np.sqrt(np.diag(truth.adjusted))
    ours = np.asarray(fit.cov_params(ddf="kenward-roger"))
    assert ours / np.outer(se, se) == pytest.approx(truth.adjusted / np.outer(se, se), abs=1e-6)
    L = np.eye(len(fit.params))[-2:]
    F, df, _ = truth.f_test(L)
    test = fit.f_test(L, ddf="kenward-roger")
    assert [test.fvalue, test.df_denom] == pytest.approx([F, df], rel=1e-5)
