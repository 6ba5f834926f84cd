"""Simulated responses have the mean and the covariance of the model; seeds decide."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx


def test_moments_are_those_of_the_model():
    data = mfx.load_dataset("sleepstudy").iloc[:60].assign(w=lambda d: 1 + d.Days % 3)
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", data, weights="w")
    draws = fit.simulate(20_000, seed=3).to_numpy()
    half = (fit.model.exog_re @ fit.model.Lambda(fit.theta)).toarray()
    covariance = fit.scale * (half @ half.T + np.diag(1 / data.w))
    mean = fit.predict(random=False).to_numpy()
    sd = np.sqrt(np.diag(covariance))
    assert np.abs((draws.mean(axis=1) - mean) / (sd / np.sqrt(20_000))).max() < 5
    correlation = np.cov(draws) / np.outer(sd, sd)
    np.testing.assert_allclose(correlation, covariance / np.outer(sd, sd), atol=6 / np.sqrt(20_000))


def test_residual_structure_is_drawn():
    data = pd.DataFrame({"g": np.repeat(range(10), 4), "t": list(range(4)) * 10})
    data["y"] = np.random.default_rng(1).normal(size=40)
    fit = mfx.lmer("y ~ 1", data, residual=mfx.AR1("t", group="g"))
    draws = fit.simulate(20_000, seed=1).to_numpy()
    phi = fit.residual_params.iloc[0]
    assert np.corrcoef(draws[0], draws[1])[0, 1] == pytest.approx(phi, abs=0.04)
    assert np.corrcoef(draws[0], draws[2])[0, 1] == pytest.approx(phi**2, abs=0.04)


def test_fitted_random_effects_and_seeds():
    fit = mfx.lmer("strength ~ 1 + (1 | batch/cask)", mfx.load_dataset("pastes"))
    fixed = fit.simulate(5000, seed=1, random="fitted").to_numpy()
    assert np.abs(fixed.mean(axis=1) - fit.fittedvalues.to_numpy()).max() < 5 * fit.sigma / np.sqrt(5000)
    pd.testing.assert_frame_equal(fit.simulate(2, seed=7), fit.simulate(2, seed=7))
    with pytest.raises(mfx.SpecificationError, match="new"):
        fit.simulate(1, random="old")
    with pytest.raises(TypeError, match="seed"):
        fit.simulate(1, seed="x")
