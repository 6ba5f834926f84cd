"""Laws that tie families together: weights, deviances, mixtures, ordinal models, link variances."""

import numpy as np
import pytest
from scipy import special

from mixedfx import DataError, SpecificationError
from mixedfx.families import Ordinal, family_for, with_zero_inflation
from tests.families.catalogue import CASES, eta_range

ETA = np.array([-0.7, 0.2, 1.1])


@pytest.mark.parametrize("name", ["poisson", "nbinom2", "nbinom1", "beta_binomial", "binomial", "beta"])
def test_weights_multiply_the_log_likelihood(name):
    family = family_for(name)
    phi = np.full(len(family.phi_names), 0.3)
    y = np.array([0.2, 0.5, 0.9]) if name == "beta" else np.array([0.0, 1.0, 1.0])
    once, twice = family.observe(y), family.observe(y, weights=[2.0, 1.0, 0.0])
    for plain, weighted in zip(family.derivatives(once, ETA, phi), family.derivatives(twice, ETA, phi), strict=True):
        assert weighted == pytest.approx(plain * [2.0, 1.0, 0.0])
    assert family.expected_weights(twice, ETA, phi) == pytest.approx(
        family.expected_weights(once, ETA, phi) * [2.0, 1.0, 0.0]
    )


@pytest.mark.parametrize("name", ["gaussian", "student_t", "gamma", "inverse_gaussian", "lognormal", "tweedie"])
def test_weights_divide_the_dispersion(name):
    family = family_for(name, "log")
    phi = np.full(len(family.phi_names), 0.3)
    y = np.array([0.4, 1.3, 2.2])
    weighted = family.observe(y, weights=[4.0, 1.0, 0.0])
    for row, weight in ((0, 4.0), (1, 1.0)):
        changed = phi - np.r_[np.log(weight), np.zeros(phi.size - 1)]
        plain = family.derivatives(family.observe(y), ETA, changed)
        for left, right in zip(family.derivatives(weighted, ETA, phi), plain, strict=True):
            assert left[row] == pytest.approx(right[row], rel=1e-12)
    assert not any(array[2] for array in family.derivatives(weighted, ETA, phi))
    assert family.variance(ETA, phi, weights=[4.0, 1.0, 1.0])[1] == family.variance(ETA, phi)[1]


@pytest.mark.parametrize("case", [case for case in CASES if case.name != "ordinal"], ids=str)
def test_no_mean_gives_a_row_a_larger_log_likelihood_than_the_saturated_one(case):
    family, rng = case.family, np.random.default_rng(2)
    n = 12
    low, high = eta_range(family)
    eta = rng.uniform(low, high, size=n)
    if len(family.predictors) > 1:
        eta = np.column_stack([eta, *(rng.normal(size=n) for _ in family.predictors[1:])])
    phi = np.full(len(family.phi_names), 0.3)
    observed = family.observe(family.simulate(rng, eta, phi))
    deviance = family.unit_deviance(observed, eta, phi)
    assert np.all(deviance >= 0)
    scale = np.exp(phi[0]) if family.exponential_dispersion else 1.0
    best = family.loglik(observed, eta, phi) + deviance / (2 * scale)
    grid = np.broadcast_to(eta, (400, *eta.shape)).copy()
    values = np.linspace(low, high, 400)[:, None]
    grid[...] = values if eta.ndim == 1 else np.where(np.arange(eta.shape[1]) == 0, values[..., None], grid)
    largest = family.loglik(observed, grid, phi).max(axis=0)
    assert np.all(largest <= best + 1e-9)
    inner = (np.argmax(family.loglik(observed, grid, phi), axis=0) % 399) != 0
    assert best[inner] == pytest.approx(largest[inner], abs=2e-2)


def test_deviances_of_textbooks():
    y, mu, phi = np.array([0.4, 1.3, 2.2]), np.exp(ETA), [0.8]
    expected = {
        "gaussian": (y - mu) ** 2,
        "gamma": 2 * (y / mu - 1 - np.log(y / mu)),
        "inverse_gaussian": (y - mu) ** 2 / (mu**2 * y),
    }
    for name, deviance in expected.items():
        family = family_for(name, "log")
        assert family.unit_deviance(family.observe(y), ETA, phi) == pytest.approx(deviance, rel=1e-10)
        weighted = family.observe(y, weights=[2.0, 1.0, 3.0])
        assert family.unit_deviance(weighted, ETA, phi) == pytest.approx(deviance * [2.0, 1.0, 3.0], rel=1e-10)
    counts = np.array([0.0, 1.0, 5.0])
    poisson = 2 * (special.xlogy(counts, counts / mu) - counts + mu)
    family = family_for("poisson")
    assert family.unit_deviance(family.observe(counts), ETA) == pytest.approx(poisson)
    p, n = special.expit(ETA), 7.0
    binomial = 2 * (special.xlogy(counts, counts / (n * p)) + special.xlogy(n - counts, (n - counts) / (n * (1 - p))))
    family = family_for("binomial")
    assert family.unit_deviance(family.observe(counts / n, trials=[n] * 3), ETA) == pytest.approx(binomial)


@pytest.mark.parametrize("name", ["poisson", "nbinom2", "nbinom1", "binomial", "beta_binomial", "tweedie"])
@pytest.mark.parametrize("logit", [-45.0, -1e71])
def test_zero_inflation_that_vanishes(name, logit):
    base = family_for(name)
    inflated = with_zero_inflation(base)
    phi = np.full(len(base.phi_names), 0.3)
    y = np.array([0.0, 1.0, 0.0])
    left = inflated.derivatives(inflated.observe(y), np.column_stack([ETA, np.full(3, logit)]), phi)
    right = base.derivatives(base.observe(y), ETA, phi)
    for order in range(4):
        assert left[order][(slice(None), *(0,) * order)] == pytest.approx(right[order], rel=1e-12, abs=1e-12)


def test_a_hurdle_separates_into_two_models():
    base, hurdle = family_for("gamma", "log"), with_zero_inflation(family_for("gamma", "log"))
    zeros = family_for("binomial")
    y, second, phi = np.array([0.0, 2.5, 0.7]), np.array([0.4, -1.0, 0.9]), [0.2]
    total = hurdle.loglik(hurdle.observe(y), np.column_stack([ETA, second]), phi)
    positive = base.loglik(base.observe(y[1:]), ETA[1:], phi)
    binary = zeros.loglik(zeros.observe((y == 0).astype(float)), second)
    assert total == pytest.approx(binary + np.r_[0.0, positive], rel=1e-12)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "cauchit"])
def test_two_ordered_categories_are_a_binomial(link):
    ordinal, binary = Ordinal(link, 2), family_for("binomial", link)
    y = np.array([0.0, 1.0, 1.0])
    left = ordinal.derivatives(ordinal.observe(1 + y), ETA, [0.4])
    right = binary.derivatives(binary.observe(1 - y), 0.4 - ETA)
    for order, sign in enumerate((1, -1, 1, -1)):
        assert left[order] == pytest.approx(sign * right[order], rel=1e-11)


def test_ordinal_probabilities_and_categories():
    family = Ordinal("logit", 4)
    phi = np.array([-0.5, 0.1, -0.4])
    chances = family.probabilities(ETA, phi)
    assert chances.sum(axis=-1) == pytest.approx(np.ones(3))
    for code in range(4):
        observed = family.observe(np.full(3, 1.0 + code))
        assert np.exp(family.loglik(observed, ETA, phi)) == pytest.approx(chances[:, code])
    assert family_for("ordinal").adapted([1, 3, 2, 2]).n_categories == 3
    assert family.adapted([1, 2, 3, 4]) == family
    shares = Ordinal("logit", 3)
    observed = shares.observe([1.0] * 20 + [2.0] * 50 + [3.0] * 30)
    start = shares.probabilities(np.zeros(1), shares.start_phi(observed))
    assert start == pytest.approx(np.array([[0.2, 0.5, 0.3]]), abs=0.01)
    with pytest.raises(DataError, match="without gaps"):
        family.adapted([1, 3])
    with pytest.raises(SpecificationError, match="at least 2 categories"):
        Ordinal("logit", 1)


def test_link_variances_of_nakagawa_johnson_and_schielzeth():
    """Table 1 and section 3 of J. R. Soc. Interface 14: 20170213."""
    at = np.log(np.array([2.5]))
    poisson, gamma, nbinom2 = family_for("poisson"), family_for("gamma", "log"), family_for("nbinom2")
    assert poisson.link_variance(at) == pytest.approx([np.log1p(1 / 2.5)])
    assert poisson.link_variance(at, method="delta") == pytest.approx([1 / 2.5])
    assert poisson.link_variance(at, method="trigamma") == pytest.approx(special.polygamma(1, [2.5]))
    size = 1.7
    inside = 1 / 2.5 + 1 / size
    assert nbinom2.link_variance(at, [np.log(size)]) == pytest.approx([np.log1p(inside)])
    assert nbinom2.link_variance(at, [np.log(size)], method="delta") == pytest.approx([inside])
    assert nbinom2.link_variance(at, [np.log(size)], method="trigamma") == pytest.approx(
        special.polygamma(1, [1 / inside])
    )
    shape = 3.0
    assert gamma.link_variance(at, [-np.log(shape)]) == pytest.approx([np.log1p(1 / shape)])
    assert gamma.link_variance(at, [-np.log(shape)], method="trigamma") == pytest.approx(special.polygamma(1, [shape]))
    for link, variance in {"logit": np.pi**2 / 3, "probit": 1.0, "cloglog": np.pi**2 / 6}.items():
        assert family_for("binomial", link).link_variance([0.3]) == pytest.approx([variance])
        assert Ordinal(link, 4).link_variance([0.3], [0.0, 0.0, 0.0]) == pytest.approx([variance])
    p = special.expit(0.3)
    assert family_for("binomial").link_variance([0.3], method="delta") == pytest.approx([1 / (p * (1 - p))])
    assert family_for("poisson", "sqrt").link_variance([1.3]) == pytest.approx([0.25])
    assert family_for("gaussian").link_variance([1.3], [np.log(4.0)]) == pytest.approx([4.0])
    with pytest.raises(SpecificationError, match="log link"):
        family_for("poisson", "sqrt").link_variance([1.3], method="lognormal")
    with pytest.raises(SpecificationError, match="unknown method"):
        poisson.link_variance(at, method="lognormall")
    with pytest.raises(SpecificationError, match="no latent variance"):
        poisson.link_variance(at, method="latent")
