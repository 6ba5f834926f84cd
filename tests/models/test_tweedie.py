"""Tweedie powers at the ends of their range, and what a fit says of parameters that it did not estimate."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import mixedfx as mfx
from mixedfx.families import Tweedie


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(2)
    g, x = np.repeat(np.arange(30), 8), rng.normal(size=240)
    eta = 0.3 + 0.5 * x + 0.6 * rng.normal(size=30)[g]
    positive = np.exp(eta + 0.4 * rng.normal(size=240))
    return pd.DataFrame({"g": g, "x": x, "positive": positive, "count": rng.poisson(np.exp(eta))})


def test_positive_numbers_end_at_the_gamma_distribution(frame):
    skew = frame.assign(positive=frame["positive"] ** 1.5)  # lognormal: more skewed than Gamma
    fit = mfx.glmer("positive ~ x + (1 | g)", skew, family="tweedie")
    gamma = mfx.glmer("positive ~ x + (1 | g)", skew, family="gamma", link="log")
    assert fit.converged
    assert fit.family_params["power"] == pytest.approx(2.0, abs=1e-4)
    assert fit.llf == pytest.approx(gamma.llf, abs=0.01)
    np.testing.assert_allclose(fit.params, gamma.params, atol=1e-4)
    np.testing.assert_allclose(fit.bse, gamma.bse, rtol=1e-3)
    assert any("power = 2" in note for note in fit.notes)


def test_counts_end_near_the_poisson_distribution(frame):
    fit = mfx.glmer("count ~ x + (1 | g)", frame, family="tweedie")
    poisson = mfx.glmer("count ~ x + (1 | g)", frame, family="poisson")
    assert fit.family_params["power"] < 1.001
    assert fit.family_params["dispersion"] == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(fit.params, poisson.params, atol=1e-3)
    assert any("power = 1" in note for note in fit.notes)


def printed_error(fit, name):
    line = next(row for row in str(fit.summary()).splitlines() if row.startswith(name))
    return float(line.split()[-1])


def test_a_parameter_at_its_end_leaves_the_others_their_standard_errors(frame):
    end = mfx.glmer("count ~ x + (1 | g)", frame, family="tweedie")
    power = float(end.family_params["power"])
    held = mfx.glmer("count ~ x + (1 | g)", frame, family=Tweedie().with_fixed(power=power))
    assert held.llf == pytest.approx(end.llf, abs=1e-6)
    assert printed_error(end, "dispersion") == pytest.approx(printed_error(held, "dispersion"), rel=0.05)


def test_the_summary_names_what_was_given_with_the_family(frame):
    family = sm.families.NegativeBinomial(alpha=0.5)
    fit = mfx.glmer("count ~ x + (1 | g)", frame, family=family)
    assert "not estimated: dispersion = 2" in str(fit.summary())
