"""Log-densities against scipy.stats; total mass, moments, distribution function and information against sums."""

import numpy as np
import pytest
from scipy import special, stats

from mixedfx.criterion.generalized_modes import stacked
from mixedfx.families import LINKS, Ordinal
from tests.families.catalogue import CASES, eta_range

N_TRIALS = 7
BOUNDS = ("nbinom1", "beta_binomial", "truncated_nbinom1", "zero_inflated_nbinom1", "hurdle_nbinom1")


def scipy_frozen(name, mu, phi):
    """The distribution in scipy's parameters; ``phi`` on natural scales."""
    d = phi[0] if phi else None
    return {
        "gaussian": lambda: stats.norm(mu, np.sqrt(d)),
        "student_t": lambda: stats.t(phi[1], mu, np.sqrt(d)),
        "gamma": lambda: stats.gamma(1 / d, scale=mu * d),
        "inverse_gaussian": lambda: stats.invgauss(mu * d, scale=1 / d),
        "lognormal": lambda: stats.lognorm(np.sqrt(d), scale=mu * np.exp(-d / 2)),
        "poisson": lambda: stats.poisson(mu),
        "nbinom2": lambda: stats.nbinom(d, d / (d + mu)),
        "nbinom1": lambda: stats.nbinom(mu / d, 1 / (1 + d)),
        "binomial": lambda: stats.binom(N_TRIALS, mu),
        "beta_binomial": lambda: stats.betabinom(N_TRIALS, mu * d, (1 - mu) * d),
        "beta": lambda: stats.beta(mu * d, (1 - mu) * d),
    }[name]()


SCIPY = ("gaussian", "student_t", "gamma", "inverse_gaussian", "lognormal")
SCIPY += ("poisson", "nbinom2", "nbinom1", "binomial", "beta_binomial", "beta")


@pytest.mark.parametrize("case", [case for case in CASES if case.name in SCIPY], ids=str)
def test_against_scipy(case):
    family, rng = case.family, np.random.default_rng(11)
    eta = rng.uniform(*eta_range(family), size=40)
    phi = rng.uniform(1.5, 2.5, size=1) if case.name == "beta" else rng.uniform(-1, 1.5, size=len(family.phi_names))
    frozen = scipy_frozen(case.name, LINKS[case.link].mean(eta), list(family.natural(phi)[0].values()))
    y = frozen.rvs(random_state=rng).astype(float)
    y = np.minimum(y, 1 - 1e-12) if case.name == "beta" else y
    trials = np.full(40, N_TRIALS if family.proportions else 1.0)
    observed = family.observe(y / trials, trials=trials)
    density = frozen.logpmf(y) if family.support.atoms == "integers" else frozen.logpdf(y)
    assert family.loglik(observed, eta, phi) == pytest.approx(density, rel=1e-9, abs=1e-9)
    lower, upper = family.cdf_limits(observed, eta, phi)
    assert upper == pytest.approx(frozen.cdf(y), rel=1e-9, abs=1e-12)
    below = frozen.cdf(y - 1) if family.support.atoms == "integers" else frozen.cdf(y)
    assert lower == pytest.approx(below, rel=1e-9, abs=1e-12)
    if case.name != "student_t":
        assert family.mean(eta, phi) * trials == pytest.approx(frozen.mean(), rel=1e-10)
        assert family.variance(eta, phi, trials=trials) * trials**2 == pytest.approx(frozen.var(), rel=1e-10)


def grid(family):
    """Points and quadrature weights of the whole sample space, in the order of the responses."""
    if isinstance(family, Ordinal):
        return 1.0 + np.arange(family.n_categories), np.ones(family.n_categories)
    if family.proportions:
        return np.arange(N_TRIALS + 1) / N_TRIALS, np.ones(N_TRIALS + 1)
    whole = family.support.atoms == "integers"
    if whole:
        y = np.arange(3000.0)
        y = y if family.support.contains(np.zeros(1))[0] else y[1:]
        return y, np.ones(y.size)
    u = np.linspace(-40, 12, 52001)
    step = u[1] - u[0]
    if family.mean_range == "positive":
        y, weights = np.exp(u), np.exp(u) * step
    elif family.mean_range == "unit":
        u = np.linspace(-36, 36, 72001)
        y, weights = special.expit(u), special.expit(u) * special.expit(-u) * (u[1] - u[0])
    else:
        u = np.linspace(-25, 25, 100001)
        y, weights = np.sinh(u), np.cosh(u) * (u[1] - u[0])
    if family.support.atoms == "zero":
        return np.r_[0.0, y], np.r_[1.0, weights]
    return y, weights


def masses(family, eta, phi):
    y, weights = grid(family)
    trials = np.full(y.size, N_TRIALS if family.proportions else 1.0)
    observed = family.observe(y, trials=trials)
    predictors = np.broadcast_to(np.asarray(eta), (y.size, *np.shape(eta)))
    return observed, predictors, y, weights * np.exp(family.loglik(observed, predictors, phi))


def one_point(case):
    """Parameters in the middle, the same for each test."""
    family = case.family
    low, high = eta_range(family)
    eta = np.array([0.6 * low + 0.4 * high, *(-0.3,) * (len(family.predictors) - 1)])
    phi = np.full(len(family.phi_names), 0.4)
    if case.name == "student_t":
        phi = np.array([0.4, np.log(9.0)])
    if case.name == "beta":
        phi = np.array([2.5])  # else there is mass beyond the largest number below 1
    return family, (eta if eta.size > 1 else eta[0]), phi


@pytest.mark.parametrize("case", CASES, ids=str)
def test_total_mass_moments_and_distribution_function(case):
    family, eta, phi = one_point(case)
    observed, predictors, y, mass = masses(family, eta, phi)
    assert mass.sum() == pytest.approx(1.0, abs=1e-9)
    trials = observed.trials[0]
    mean = mass @ y
    assert family.mean(np.array([eta]), phi) == pytest.approx([mean], rel=1e-7)
    variance = mass @ (y - mean) ** 2
    assert family.variance(np.array([eta]), phi, trials=trials) == pytest.approx([variance], rel=1e-6)
    if family.support.atoms == "integers":
        lower, upper = family.cdf_limits(observed, predictors, phi)
        assert upper == pytest.approx(np.minimum(np.cumsum(mass), 1.0), abs=1e-9)
        assert lower == pytest.approx(np.minimum(np.cumsum(mass) - mass, 1.0), abs=1e-9)
    else:
        some = slice(y.size // 4, -1, y.size // 200)  # a trapezoidal sum, half of the last mass
        _, upper = family.cdf_limits(family.observe(y[some]), predictors[some], phi)
        assert upper == pytest.approx((np.cumsum(mass) - mass / 2)[some], abs=1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_expected_weights_are_the_variance_of_the_score(case):
    family, eta, phi = one_point(case)
    observed, predictors, _, mass = masses(family, eta, phi)
    score = family.mean_derivatives(observed, predictors, phi, order=1)[1]
    curvature = family.mean_derivatives(observed, predictors, phi, order=2)[2]
    assert mass @ score == pytest.approx(0.0, abs=1e-7 * max(1.0, np.sqrt(mass @ score**2)))
    information = mass @ score**2
    assert -mass @ curvature == pytest.approx(information, rel=1e-6)
    weights = family.expected_weights(observed, predictors, phi)
    if case.name in BOUNDS:
        assert 0.3 * information < weights[0] <= information * (1 + 1e-9)
    else:
        assert weights[0] == pytest.approx(information, rel=1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_draws_have_the_moments_and_start_where_the_likelihood_is_finite(case):
    family, eta, phi = one_point(case)
    rng, n = np.random.default_rng(17), 20000
    trials = np.full(n, N_TRIALS if family.proportions else 1.0)
    predictors = np.broadcast_to(np.asarray(eta), (n, *np.shape(eta)))
    y = family.simulate(rng, predictors, phi, trials=trials)
    observed = family.observe(y, trials=trials)
    mean, variance = family.mean(predictors, phi)[0], family.variance(predictors, phi, trials=trials)[0]
    assert np.mean(y) == pytest.approx(mean, abs=5 * np.sqrt(variance / n))
    spread = np.var((y - mean) ** 2)
    assert np.mean((y - mean) ** 2) == pytest.approx(variance, abs=5 * np.sqrt(spread / n))
    start_eta, start_phi = family.start_eta(observed), family.start_phi(observed)
    assert start_eta.shape == predictors.shape
    assert start_phi.shape == phi.shape
    assert np.all(np.isfinite(family.loglik(observed, start_eta, start_phi)))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_several_responses_at_once_have_a_start(case):
    family, eta, phi = one_point(case)
    trials = np.full(30, N_TRIALS if family.proportions else 1.0)
    rng, predictors = np.random.default_rng(3), np.broadcast_to(np.asarray(eta), (30, *np.shape(eta)))
    several = [family.observe(family.simulate(rng, predictors, phi, trials=trials), trials=trials) for _ in range(3)]
    assert np.all(np.isfinite(family.start_eta(stacked(several))))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_probability_transforms_of_draws_are_uniform(case):
    family, eta, phi = one_point(case)
    rng, n = np.random.default_rng(23), 4000
    trials = np.full(n, N_TRIALS if family.proportions else 1.0)
    predictors = np.broadcast_to(np.asarray(eta), (n, *np.shape(eta)))
    observed = family.observe(family.simulate(rng, predictors, phi, trials=trials), trials=trials)
    lower, upper = family.cdf_limits(observed, predictors, phi)
    uniform = lower + rng.random(n) * (upper - lower)
    assert stats.kstest(uniform, "uniform").pvalue > 1e-4
