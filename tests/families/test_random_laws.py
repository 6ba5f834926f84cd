"""Laws of random effects: densities by SciPy, derivatives by differences, draws and moments."""

import numpy as np
import pytest
from scipy import integrate, special, stats

from mixedfx.families.random_laws import BETA, GAMMA, INVERSE_GAMMA
from tests.differences import derivative

V = np.array([-2.0, -0.4, 0.0, 0.3, 1.5])
LAMBDAS = (1e-3, 0.3, 2.5)
LAWS = (GAMMA, INVERSE_GAMMA, BETA)


def by_scipy(law, v, size):
    """Log-density of v: that of u by SciPy, times du/dv."""
    k = 1.0 / size
    if law is BETA:
        u = special.expit(v)
        return stats.beta.logpdf(u, k / 2, k / 2) + np.log(u * (1 - u))
    u = np.exp(v)
    known = stats.gamma(k, scale=1 / k) if law is GAMMA else stats.invgamma(1 + k, scale=k)
    return known.logpdf(u) + v


@pytest.mark.parametrize("size", LAMBDAS)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_densities_with_their_jacobian(law, size):
    np.testing.assert_allclose(law.derivatives(V, np.log(size))[()], by_scipy(law, V, size), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("size", LAMBDAS)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_derivatives(law, size):
    at, log_size = law.derivatives(V, np.log(size)), np.log(size)
    for key, below in (((0,), ()), ((0, 0), (0,)), ((0, 0, 0), (0, 0))):
        found = derivative(lambda h, below=below: law.derivatives(V + h, log_size)[below], 0.0)
        np.testing.assert_allclose(at[key], found, rtol=1e-7, atol=1e-7 * np.abs(found).max())
    for key, below in (((1,), ()), ((0, 1), (0,)), ((0, 0, 1), (0, 0))):
        found = derivative(lambda h, below=below: law.derivatives(V, log_size + h)[below], 0.0)
        np.testing.assert_allclose(at[key], found, rtol=1e-7, atol=1e-7 * np.abs(found).max())


@pytest.mark.parametrize("size", [0.3, *(pytest.param(size, marks=pytest.mark.slow) for size in (1e-3, 2.5))])
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_moments_are_integrals(law, size):
    mean, variance = law.predictor_moments(size)
    low, high = mean - 40 * variance**0.5, mean + 40 * variance**0.5

    def moment(function):
        def integrand(v):
            return function(v) * np.exp(law.derivatives(np.array([v]), np.log(size))[()][0])

        return integrate.quad(integrand, low, high, points=[mean], limit=400, epsabs=1e-11)[0]

    assert moment(lambda v: 1.0) == pytest.approx(1.0, abs=1e-8)
    assert moment(lambda v: v) == pytest.approx(mean, abs=1e-8)
    assert moment(lambda v: (v - mean) ** 2) == pytest.approx(variance, rel=1e-6)
    if not (law is INVERSE_GAMMA and size > 0.4):  # tails too heavy to integrate so
        assert moment(lambda v: float(law.effect(np.array(v)))) == pytest.approx(law.centre, rel=1e-6)
        assert moment(lambda v: (float(law.effect(np.array(v))) - law.centre) ** 2) == pytest.approx(
            law.variance(size), rel=1e-5
        )


@pytest.mark.parametrize("size", [1e-6, 0.3, 30.0])
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_draws(law, size):
    v = law.draw(np.random.default_rng(1), size, (40_000,))
    mean, variance = law.predictor_moments(size)
    assert np.isfinite(v).all()
    assert v.mean() == pytest.approx(mean, abs=4 * (variance / v.size) ** 0.5)
    assert v.var() == pytest.approx(variance, rel=0.1)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_law_of_no_variance_is_computed_without_loss(law):
    size = 1e-9
    at = law.derivatives(np.array([0.0]), np.log(size))
    assert at[(1,)][0] == pytest.approx(-0.5, abs=1e-7)  # of the normal density that it is there
    v = 1e-9 * np.array([0.0, 1.0, 2.0])  # far less than a standard deviation
    change = law.derivatives(v, np.log(size))[()] - at[()][0]
    np.testing.assert_allclose(change, at[(0,)][0] * v + 0.5 * at[0, 0][0] * v**2, atol=4e-15)
    start = law.start(1e-4)
    assert law.predictor_moments(start)[1] == pytest.approx(1e-4, rel=0.01)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_jacobians(law):
    value, first, second = law.log_jacobian(V)
    slope = derivative(lambda h: law.effect(V + h), 0.0)
    np.testing.assert_allclose(np.exp(value), slope, rtol=1e-7)
    np.testing.assert_allclose(first, derivative(lambda h: law.log_jacobian(V + h)[0], 0.0), atol=1e-7)
    np.testing.assert_allclose(second, derivative(lambda h: law.log_jacobian(V + h)[1], 0.0), atol=1e-7)


@pytest.mark.parametrize("law", [GAMMA, BETA], ids=lambda law: law.name)
def test_the_quasi_score_is_that_of_the_density(law):
    deviation, weight, deviance = law.quasi(V)
    score = law.derivatives(V, np.log(0.3))[(0,)]
    np.testing.assert_allclose(deviation * weight / 0.3, score, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(derivative(lambda h: law.quasi(V + h)[2], 0.0), -2.0 * deviation * weight, atol=1e-7)
    assert (deviance >= 0).all()
