"""Averages over random effects of every size, against adaptive integration."""

import numpy as np
import pytest
from scipy import integrate, special, stats

import mixedfx as mfx
from mixedfx.calculus.quadrature import averaged

ETA = np.array([-3.0, 0.3, 2.0])
MEANS = {
    "logit": special.expit,
    "probit": special.ndtr,
    "cloglog": lambda eta: -np.expm1(-np.exp(eta)),
    "cauchit": lambda eta: 0.5 + np.arctan(eta) / np.pi,
    "log": np.exp,
    "truncated": lambda eta: np.exp(eta) / -np.expm1(-np.exp(eta)),
}


def exact(mean, eta, sd):
    middle = min(max(-eta / sd, -8.0), 8.0)
    ends = (-9.0 - sd, 9.0 + sd)
    return integrate.quad(
        lambda u: float(mean(eta + sd * u)) * stats.norm.pdf(u), *ends, points=[middle], epsabs=1e-14, limit=500
    )[0]


@pytest.mark.parametrize("sd", [0.3, 1.0, 2.5, 6.0])
@pytest.mark.parametrize("link", MEANS)
def test_averages_are_exact_for_small_and_large_effects(link, sd):
    expected = [exact(MEANS[link], eta, sd) for eta in ETA]
    np.testing.assert_allclose(averaged(MEANS[link], ETA, np.full(3, sd**2)), expected, rtol=1e-10)


def test_rows_of_different_variance_and_missing_rows():
    variance = np.array([0.0, 16.0, np.nan])
    found = averaged(special.expit, ETA, variance)
    assert found[0] == pytest.approx(special.expit(ETA[0]), abs=1e-14)
    assert found[1] == pytest.approx(exact(special.expit, ETA[1], 4.0), abs=1e-12)
    assert np.isnan(found[2])


def test_the_huge_variance_of_the_toenail_trial_is_integrated_out():
    data = mfx.load_dataset("toenail")
    fit = mfx.glmer("y ~ treatment * time + (1 | patientID)", data, family="binomial", nagq="auto")
    new = data.iloc[:3]
    eta = fit.predict(new, random=False, which="linear")
    expected = [exact(special.expit, value, fit.theta.iloc[0]) for value in eta]
    np.testing.assert_allclose(fit.predict(new, integrate=True), expected, atol=1e-11)
