"""The density of a family whose linear predictor has a normal error, against a fine sum over the error."""

import numpy as np
import pytest
from scipy.special import logsumexp

from mixedfx.families import family_for
from mixedfx.families.blurred import blurred

CASES = {
    "binomial": (None, [0.0, 1.0]),
    "poisson": (None, [0.0, 3.0, 40.0, 400.0]),
    "nbinom2": (None, [0.0, 3.0, 40.0]),
    "gamma": ("log", [0.01, 1.0, 30.0]),
    "gaussian": (None, [-3.0, 0.0, 5.0]),
}


def summed(family, observed, eta, s, phi):
    """Log-density (n,) and its slopes in eta and s, by the trapezoidal rule on a grid that covers a narrow peak too."""
    t = np.linspace(-36, 36, 40_001)[:, None]
    inside, slope = family.derivatives(observed, eta + s * t, phi, order=1)
    joint = inside - 0.5 * t**2
    total = logsumexp(joint, axis=0)
    share = np.exp(joint - total) * slope
    return total + np.log((t[1] - t[0]) / np.sqrt(2 * np.pi)), share.sum(axis=0), (share * t).sum(axis=0)


@pytest.mark.parametrize("s", [0.3, 0.9, 2.0, 4.0])
@pytest.mark.parametrize("name", CASES)
def test_density_and_slopes(name, s):
    link, y = CASES[name]
    base = family_for(name, link)
    family, response = blurred(base), np.repeat(y, 7)
    eta, phi = np.tile(np.linspace(-3, 5, 7), len(y)), np.full(len(base.phi_names), 0.4)
    observed, plain = family.observe(response), base.observe(response)
    value, slope, _ = family.derivatives(observed, np.stack([eta, np.full(eta.size, s)], axis=1), phi, order=2)
    expected, by_eta, by_s = summed(base, plain, eta, s, phi)
    np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(slope[:, 0], by_eta, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(slope[:, 1], by_s, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_without_error_it_is_the_family(name):
    link, y = CASES[name]
    base = family_for(name, link)
    family, phi = blurred(base), np.full(len(base.phi_names), 0.4)
    eta, response = np.linspace(-1, 2, len(y)), np.array(y)
    both = np.stack([eta, np.zeros(len(y))], axis=1)
    ours = family.derivatives(family.observe(response), both, phi, order=0)[0]
    np.testing.assert_allclose(ours, base.derivatives(base.observe(response), eta, phi, order=0)[0], rtol=1e-12)
    np.testing.assert_allclose(family.mean(both, phi), base.mean(eta, phi))
    np.testing.assert_allclose(family.variance(both, phi), base.variance(eta, phi))
