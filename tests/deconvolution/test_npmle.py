"""The nonparametric estimate: its certificate by brute force, reference numbers, and what must not change it."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mfx
from tests.deconvolution.reference import data, numbers


@pytest.mark.parametrize("method", ["npmle", "spline", "normal"])
def test_probabilities_of_nothing_are_missing(method):
    found = mfx.deconvolve([1.0, 2.5, 3.0, 5.0, 9.0], sd=1.0, method=method).cdf([-np.inf, np.nan, 4.0, np.inf])
    assert np.isnan(found[1])
    assert found[0] == 0.0 < found[2] < found[3] == 1.0


# ---------------------------------------------------------------- reference numbers


@pytest.fixture(scope="module")
def tacks():
    table = data("tacks")
    return mfx.deconvolve(table["x"], family="binomial", trials=table["k"])


def test_tacks(tacks):
    reference = numbers("npmle_results")["tacks_binomial"]
    assert tacks.llf == pytest.approx(reference["loglik"], abs=1e-9)
    assert 0 <= tacks.gap < 1e-8
    np.testing.assert_allclose(tacks.support, reference["support"], atol=1e-5)
    np.testing.assert_allclose(tacks.mass, reference["mass"], atol=1e-5)
    means = tacks.posterior_mean.groupby(data("tacks")["x"]).first()
    expected = pd.Series(reference["posterior_mean_by_x"]).rename(int)
    np.testing.assert_allclose(means, expected[means.index], atol=1e-6)


def test_tacks_by_counts_are_tacks_one_by_one(tacks):
    counts = data("tacks")["x"].value_counts()
    found = mfx.deconvolve(counts.index, family="binomial", trials=9, weights=counts)
    assert found.llf == pytest.approx(tacks.llf, abs=1e-9)
    np.testing.assert_allclose(found.support, tacks.support, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "table", "y", "trials", "grid"),
    [
        ("tacks_binomial_grid199", "tacks", "x", "k", np.linspace(0.005, 0.995, 199)),
        ("surg_nodes_grid99", "surg_nodes", "s", "n", np.arange(1, 100) / 100),
    ],
)
def test_on_a_grid(name, table, y, trials, grid):
    rows, reference = data(table), numbers("npmle_results")[name]
    found = mfx.deconvolve(rows[y], family="binomial", trials=rows[trials], support=grid)
    assert found.llf == pytest.approx(reference["loglik"], abs=1e-9)
    assert found.gap < 1e-8
    np.testing.assert_allclose(found.support, reference["support"], atol=1e-12)
    np.testing.assert_allclose(found.mass, reference["mass"], atol=1e-4)


def test_batting_averages():
    reference = numbers("npmle_results")["efron_morris_gaussian_arcsine"]
    found = mfx.deconvolve(reference["x"], sd=1.0)
    assert found.llf == pytest.approx(reference["loglik"], abs=1e-9)
    np.testing.assert_allclose(found.support, reference["support"], atol=1e-6)
    np.testing.assert_allclose(found.posterior_mean, reference["posterior_mean"], atol=1e-6)
    normal = mfx.deconvolve(reference["x"], sd=1.0, method="normal")
    assert normal.mean == pytest.approx(reference["gaussian_mle"]["mu"], abs=1e-8)
    assert normal.sd**2 == pytest.approx(reference["gaussian_mle"]["tau2"], abs=1e-7)


def test_counties_of_radon():
    reference = numbers("npmle_results")["radon_county_gaussian_het"]
    rows = data("radon_mn")
    fit = mfx.lmer("log_radon ~ floor + (1 | county)", rows)
    found = fit.deconvolve("county")
    assert found.llf == pytest.approx(reference["loglik"], abs=1e-7)
    assert found.gap < 1e-8
    np.testing.assert_allclose(found.support, reference["support"], atol=1e-4)
    expected = pd.Series(reference["posterior_mean"]).rename(str.strip)
    means = found.posterior_mean.rename(lambda name: str(name).strip())
    np.testing.assert_allclose(means, expected[means.index], atol=1e-6)
    assert found.mean == pytest.approx(reference["overall_mean"], abs=1e-6)
    assert found.sd == pytest.approx(reference["overall_sd"], abs=1e-6)


# ---------------------------------------------------------------- laws
def normal_case(seed, n=40):
    rng = np.random.default_rng(seed)
    theta = np.where(rng.uniform(size=n) < 0.6, -1.0, rng.normal(1.5, 0.5, n))
    sd = rng.uniform(0.3, 1.5, n)
    return theta + sd * rng.standard_normal(n), {"sd": sd}


def binomial_case(seed, n=60):
    rng = np.random.default_rng(seed)
    trials = rng.integers(1, 20, n)
    return rng.binomial(trials, rng.beta(2, 3, n)), {"family": "binomial", "trials": trials}


def poisson_case(seed, n=60):
    rng = np.random.default_rng(seed)
    exposure = rng.uniform(0.5, 3.0, n)
    return rng.poisson(exposure * rng.gamma(2.0, 1.5, n)), {"family": "poisson", "exposure": exposure}


def truncated_case(seed):
    y = poisson_case(seed)[0]
    return y[y > 0], {"family": "poisson", "truncated": True}


CASES = {"normal": normal_case, "binomial": binomial_case, "poisson": poisson_case, "truncated": truncated_case}


def density(y, options, theta):
    """``p(y_i | theta_j)`` (n, m) by scipy, as it is written in books."""
    y = np.asarray(y)[:, None]
    if "sd" in options:
        return stats.norm.pdf(y, theta, np.asarray(options["sd"])[:, None])
    if "trials" in options:
        return stats.binom.pmf(y, np.asarray(options["trials"])[:, None], theta)
    mean = np.asarray(options.get("exposure", np.ones(len(y))))[:, None] * np.maximum(theta, 1e-12)
    p = stats.poisson.pmf(y, mean)
    return p / -np.expm1(-mean) if options.get("truncated") else p


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_certificate_by_brute_force(case, seed):
    y, options = CASES[case](seed)
    found = mfx.deconvolve(y, **options)
    f = density(y, options, found.support) @ found.mass
    assert found.llf == pytest.approx(np.log(f).sum(), abs=1e-9)
    low, high = (1e-9, 1.0) if case == "binomial" else (np.min(y) - 3.0, np.max(y) + 3.0)
    points = np.linspace(max(low, 1e-9) if case != "normal" else low, high, 4001)
    D = (density(y, options, points) / f[:, None]).sum(axis=0) - len(y)
    assert len(y) * np.log1p(max(D.max(), 0.0) / len(y)) <= found.gap + 1e-9
    assert found.gap < 1e-8
    at_atoms = (density(y, options, found.support) / f[:, None]).sum(axis=0) - len(y)
    np.testing.assert_allclose(at_atoms, 0.0, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_no_other_law_is_likelier(case):
    y, options = CASES[case](3)
    best = mfx.deconvolve(y, **options)
    for method in ("normal", "spline"):
        other = mfx.deconvolve(y, method=method, **options)
        assert other.llf <= best.llf
        assert other.llf + other.gap >= best.llf  # the gap of any law bounds what there is to gain
    rng = np.random.default_rng(4)
    for _ in range(30):
        support = rng.uniform(best.support[0], best.support[-1], 6)
        p = density(y, options, support) @ rng.dirichlet(np.ones(6))
        assert np.log(p).sum() <= best.llf


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", ["npmle", "spline", "normal"])
def test_the_order_of_rows_does_not_matter(case, method):
    y, options = CASES[case](5)
    order = np.random.default_rng(6).permutation(len(y))
    shuffled = {k: v[order] if isinstance(v, np.ndarray) else v for k, v in options.items()}
    one = mfx.deconvolve(y, method=method, **options)
    other = mfx.deconvolve(np.asarray(y)[order], method=method, **shuffled)
    assert one.llf == other.llf
    assert one.law_frame().equals(other.law_frame())
    np.testing.assert_array_equal(one.posterior_mean.to_numpy()[order], other.posterior_mean)


@pytest.mark.parametrize("method", ["npmle", "spline", "normal"])
def test_shift_and_scale_move_the_law_alike(method):
    y, options = normal_case(7)
    one = mfx.deconvolve(y, method=method, **options)
    other = mfx.deconvolve(1000.0 + 50.0 * y, sd=50.0 * options["sd"], method=method)
    assert other.llf == pytest.approx(one.llf - len(y) * np.log(50.0), abs=1e-7)
    np.testing.assert_allclose(other.posterior_mean, 1000.0 + 50.0 * one.posterior_mean, rtol=1e-6)
    np.testing.assert_allclose(other.posterior_sd, 50.0 * one.posterior_sd, rtol=1e-5)
    if method == "npmle":
        np.testing.assert_allclose(other.support, 1000.0 + 50.0 * one.support, rtol=1e-6)
        np.testing.assert_allclose(other.mass, one.mass, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_repeated_rows_are_weights(case):
    y, options = CASES[case](8)
    twice = {k: np.repeat(v, 2) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    weighted = mfx.deconvolve(y, weights=2, **options)
    repeated = mfx.deconvolve(np.repeat(y, 2), **twice)
    assert weighted.llf == pytest.approx(repeated.llf, abs=1e-9)
    np.testing.assert_allclose(weighted.support, repeated.support, atol=1e-6)
    without = mfx.deconvolve(y, weights=np.append(np.ones(len(y) - 1), 0.0), **options)
    shorter = {k: v[:-1] if isinstance(v, np.ndarray) else v for k, v in options.items()}
    assert without.llf == pytest.approx(mfx.deconvolve(y[:-1], **shorter).llf, abs=1e-9)
    assert np.isfinite(without.posterior_mean.iloc[-1])


def test_far_observations_have_atoms_of_their_own():
    found = mfx.deconvolve([0.0, 1e3, 1e6], sd=1e-3)
    np.testing.assert_allclose(found.support, [0.0, 1e3, 1e6])
    np.testing.assert_allclose(found.mass, 1 / 3)


@pytest.mark.parametrize(
    ("y", "options", "atom"),
    [
        ([2.0], {"sd": 1.0}, 2.0),
        ([2.0] * 5, {"sd": [1, 2, 3, 4, 5]}, 2.0),
        ([3, 3], {"family": "binomial", "trials": 3}, 1.0),
        ([0, 0], {"family": "poisson"}, 0.0),
        ([1, 1], {"family": "poisson", "truncated": True}, 0.0),
    ],
)
def test_observations_that_agree_have_one_atom(y, options, atom):
    found = mfx.deconvolve(y, **options)
    assert found.support == pytest.approx([atom])
    assert found.gap == pytest.approx(0.0, abs=1e-12)
    assert found.posterior_sd.to_numpy() == pytest.approx(0.0)
    assert mfx.deconvolve(y, method="normal", **options).llf <= found.llf + 1e-9


def test_errors_of_very_different_size():
    rng = np.random.default_rng(9)
    found = mfx.deconvolve(rng.normal(size=40), sd=10.0 ** rng.uniform(-3, 1, 40))
    assert found.gap < 1e-8


def test_cells_so_small_that_they_are_values():
    y, sd = np.random.default_rng(10).normal(0.0, 2.0, 50), 1.0
    edges = np.unique(np.concatenate([y - 5e-7, y + 5e-7]))
    exact, cells = mfx.deconvolve(y, sd=sd), mfx.deconvolve(y, sd=sd, bins=edges)
    assert cells.llf == pytest.approx(exact.llf + 50 * np.log(1e-6), abs=1e-5)
    np.testing.assert_allclose(cells.posterior_mean, exact.posterior_mean, atol=1e-5)


def test_posterior_intervals_hold_their_probability():
    y, options = normal_case(11)
    found = mfx.deconvolve(y, **options)
    limits = found.posterior_interval(0.8)
    weights = density(y, options, found.support) * found.mass
    weights /= weights.sum(axis=1, keepdims=True)
    inside = (found.support >= limits["lower"].to_numpy()[:, None]) & (
        found.support <= limits["upper"].to_numpy()[:, None]
    )
    assert np.all((weights * inside).sum(axis=1) >= 0.8 - 1e-9)
    np.testing.assert_allclose(found.posterior_mean, weights @ found.support, rtol=1e-10)
    assert found.cdf(found.support[0]) == pytest.approx(found.mass[0])
    np.testing.assert_allclose(found.cdf([-1e9, 1e9]), [0.0, 1.0])
