"""Efron's g-modelling: the numbers of deconvolveR, and its formulas by differences."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mfx
from mixedfx.deconvolution.spline import spline_basis
from tests.deconvolution.reference import data, numbers

TOLERANCE = 1e-7


def with_constant(grid, df=5):
    """deconvolveR's basis for Poisson counts: it has a constant column, which changes nothing but S."""
    return np.column_stack([np.full(grid.size, grid.size**-0.5), spline_basis(grid, df)])


def surgery():
    rows = data("surg_nodes")
    return mfx.deconvolve(rows["s"], family="binomial", trials=rows["n"], method="spline")


def shakespeare():
    rows, grid = data("bard_word_count"), np.exp(np.arange(-4.0, 4.5001, 0.025))
    options = {"family": "poisson", "truncated": True, "weights": rows["n_words"], "support": grid, "penalty": 2}
    return mfx.deconvolve(rows["times"], method="spline", basis=with_constant(grid), **options)


def chi_squared():
    counts = np.bincount(data("poisson_chisq10")["x"], minlength=40)
    grid = np.arange(1.0, 33.0)
    options = {"family": "poisson", "weights": counts, "support": grid, "basis": with_constant(grid)}
    return mfx.deconvolve(np.arange(40), method="spline", **options)


def towers(penalty):
    z, edges = data("twin_towers")["z"], np.linspace(-3.8, 5.7, 40)  # deconvolveR leaves out what lies outside
    z = z[(z >= edges[0]) & (z <= edges[-1])]
    options = {"bins": edges, "support": np.linspace(-4, 6, 51), "df": 6, "penalty": penalty}
    return mfx.deconvolve(z, sd=1.0, method="spline", **options)


REFERENCES = {
    "surg": surgery,
    "bard": shakespeare,
    "poisson_chisq10": chi_squared,
    "twin_towers_c0_1": lambda: towers(1),
    "twin_towers_c0_4": lambda: towers(4),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_deconvolver(name):
    reference = numbers("deconvolveR_results")[name]
    found, table = REFERENCES[name](), pd.DataFrame(reference["stats"])
    np.testing.assert_allclose(found.grid, table["theta"], rtol=1e-9)
    np.testing.assert_allclose(found.density, table["g"], atol=TOLERANCE)
    np.testing.assert_allclose(found.se, table["SE.g"], atol=TOLERANCE)
    np.testing.assert_allclose(found.bias, table["Bias.g"], atol=TOLERANCE)
    law = found.law_frame()
    np.testing.assert_allclose(law["cdf"], table["G"], atol=TOLERANCE)
    np.testing.assert_allclose(law["cdf_se"][:-1], table["SE.G"].dropna()[: len(law) - 1], atol=TOLERANCE)
    assert found.artificial_information == pytest.approx(reference["S"], abs=TOLERANCE)
    penalised = -found.llf + found.smooth.penalty * np.linalg.norm(found.smooth.alpha)
    assert penalised == pytest.approx(reference["penalised_negloglik"], abs=1e-5)
    assert found.converged


def test_published_numbers_of_surgery():
    found = surgery()
    at = int(np.argmin(np.abs(found.grid - 0.05)))
    assert found.density[at] == pytest.approx(0.0463457, abs=5e-8)
    assert found.se[at] == pytest.approx(0.0015738, abs=5e-8)
    assert found.cdf(0.2) == pytest.approx(0.591, abs=5e-4)
    assert 1.0 - found.cdf(0.795) == pytest.approx(0.069, abs=5e-4)
    reference, rows = numbers("deconvolveR_results")["surg"], data("surg_nodes")
    cases = [((rows["s"] == s) & (rows["n"] == n), f"EB_mean_x{s}_n{n}") for s, n in ((3, 6), (7, 32), (17, 18))]
    for which, name in cases:
        if which.any():
            np.testing.assert_allclose(found.posterior_mean[which], reference[name], atol=1e-6)
    one = mfx.deconvolve([3], family="binomial", trials=6, method="spline", support=found.grid, df=1)
    assert one.posterior_mean.between(0, 1).all()


def test_shakespeare_doubles_his_words():
    found, reference = shakespeare(), numbers("deconvolveR_results")["bard"]
    theta, g = found.grid, found.density

    def new(t):
        return float(g @ (np.exp(-theta) * -np.expm1(-theta * t) / -np.expm1(-theta)))

    np.testing.assert_allclose([new(t) for t in range(11)], reference["R_t_0_10"], atol=1e-6)
    low, high = 0.0, 10.0
    for _ in range(60):
        low, high = (0.5 * (low + high), high) if new(0.5 * (low + high)) < 1.0 else (low, 0.5 * (low + high))
    assert low == pytest.approx(3.653, abs=5e-4)
    assert found.cdf(1.0) == pytest.approx(reference["G_at_theta1"], abs=1e-7)


# ---------------------------------------------------------------- formulas
@pytest.fixture(scope="module")
def simulated():
    rng = np.random.default_rng(1)
    y = rng.normal(np.where(rng.uniform(size=200) < 0.5, -1.0, 1.5), 1.2)
    return mfx.deconvolve(y, sd=1.2, method="spline"), y


def test_the_penalised_likelihood_is_stationary(simulated):
    found, y = simulated
    P = stats.norm.pdf(y[:, None], found.grid, 1.2)

    def value(alpha):
        g = np.exp(found.smooth.basis @ alpha)
        return np.log(P @ (g / g.sum())).sum() - np.linalg.norm(alpha)

    alpha, step = found.smooth.alpha, 1e-4
    assert value(alpha) == pytest.approx(found.llf - np.linalg.norm(alpha), abs=1e-9)
    slopes = [(value(alpha + step * e) - value(alpha - step * e)) / (2 * step) for e in np.eye(alpha.size)]
    np.testing.assert_allclose(slopes, 0.0, atol=1e-5)
    rng = np.random.default_rng(2)
    assert all(value(alpha + rng.normal(size=alpha.size)) < value(alpha) for _ in range(50))


def test_standard_errors_are_those_of_many_samples():
    rng = np.random.default_rng(3)
    grid, rows = np.linspace(-4, 4, 41), []
    for _ in range(60):
        y = rng.normal(rng.normal(0.0, 1.0, 400), 0.7)
        rows.append(mfx.deconvolve(y, sd=0.7, method="spline", support=grid, bins=np.r_[-np.inf, grid, np.inf]))
    spread = np.std([found.density for found in rows], axis=0)
    stated = np.mean([found.se for found in rows], axis=0)
    middle = np.abs(grid) < 2
    ratio = spread[middle] / stated[middle]
    assert 0.8 < np.median(ratio) < 1.25


def test_a_heavy_penalty_leaves_a_flat_law():
    found = mfx.deconvolve([0.0, 0.5, 1.0, 2.0], sd=1.0, method="spline", penalty=100.0)
    np.testing.assert_allclose(found.density, 1.0 / found.grid.size)
    assert np.isnan(found.se).all()
    assert any("lower penalty=" in note for note in found.notes)


def test_observed_and_expected_information_agree_in_large_samples():
    y = np.random.default_rng(4).poisson(np.random.default_rng(5).gamma(3.0, 1.0, 20_000))
    options = {"family": "poisson", "method": "spline", "support": np.linspace(0.2, 14, 60)}
    observed = mfx.deconvolve(y, information="observed", **options)
    expected = mfx.deconvolve(y, **options)
    np.testing.assert_array_equal(observed.density, expected.density)
    np.testing.assert_allclose(observed.se, expected.se, atol=0.02 * expected.se.max())
