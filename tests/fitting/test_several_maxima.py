"""Likelihoods with a maximum where a variance is zero, and a higher one beyond."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx


def nested_times(seed):
    rng = np.random.default_rng(seed)
    g, h = np.repeat(np.arange(12), 6), rng.integers(0, 3, 72)
    mean = np.exp(0.4 * rng.normal(size=12)[g] + 0.6 * rng.normal(size=36)[3 * g + h])
    return pd.DataFrame({"y": rng.wald(mean, mean), "g": g, "h": h})


@pytest.mark.parametrize(("seed", "highest"), [(123, -83.79454), (165, -82.88043), (247, -57.21746)])
def test_the_higher_maximum_is_found(seed, highest):
    model = mfx.GeneralizedLinearMixedModel(
        "y ~ 1 + (1 | g / h)", nested_times(seed), family="inverse_gaussian", link="log"
    )
    fit = model.fit()
    assert fit.converged
    assert fit.llf == pytest.approx(highest, abs=1e-5)
    others = [model.fit(control=mfx.Control(start=start)) for start in ([0.1, 0.1], [0.3, 1.0], [1.0, 0.3])]
    assert fit.llf >= max(other.llf for other in others if other.converged) - 1e-6


def test_a_maximum_is_not_given_up_for_a_density_that_splits():
    fit = mfx.glmer("y ~ 1 + (1 | g / h)", nested_times(127), family="inverse_gaussian", link="log")
    assert fit.converged
    assert fit.llf == pytest.approx(-121.16082, abs=1e-5)


def zeros_twice_over(seed):
    """Counts and proportions in which some zeros are extra, or the variance is larger than theirs, or both or none."""
    rng = np.random.default_rng(seed)
    g, x = np.repeat(np.arange(12), 8), rng.normal(size=96)
    eta = rng.choice([-0.7, 0.0, 0.7, 1.5]) + 0.3 * x + rng.normal(size=12)[g] * rng.choice([0.0, 0.3, 0.6])
    size = rng.choice([1.0, 3.0, 1e6])
    rate = np.exp(eta) * (rng.gamma(size, 1.0 / size, size=96) if size < 1e5 else 1.0)
    y = rng.poisson(rate) * (rng.random(96) > rng.choice([0.0, 0.0, 0.1, 0.3]))
    n = rng.integers(3, 9, size=96)
    p = 1.0 / (1.0 + np.exp(1.0 - eta + rng.normal(size=96) * rng.choice([0.0, 0.0, 0.5, 1.0])))
    s = rng.binomial(n, p) * (rng.random(96) > rng.choice([0.0, 0.0, 0.1, 0.3]))
    return pd.DataFrame({"y": y, "s": s, "f": n - s, "x": x, "g": g})


SMALLER = {
    "nbinom2": [("poisson", True), ("nbinom2", False)],
    "nbinom1": [("poisson", True), ("nbinom1", False)],
    "beta_binomial": [("binomial", True), ("beta_binomial", False)],
}


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
@pytest.mark.parametrize(
    ("family", "seed"),
    [("nbinom2", 1034), ("nbinom2", 77), ("nbinom1", 2068), ("beta_binomial", 2046)]
    + [
        pytest.param(family, seed, marks=pytest.mark.slow)
        for family in ("nbinom2", "nbinom1", "beta_binomial")
        for seed in range(10)
    ],
)
def test_no_family_with_extra_zeros_ends_below_one_that_it_contains(family, seed):
    """Extra zeros and a larger variance stand for each other: there is a maximum with either."""
    data = zeros_twice_over(seed)
    left = "cbind(s, f)" if family == "beta_binomial" else "y"

    def fitted(name, zeros, dispersion=None):
        more = {"zero_inflation": "~ 1"} if zeros else {}
        return mfx.glmer(f"{left} ~ x + (1 | g)", data, family=name, dispersion=dispersion, **more)

    large = fitted(family, True)
    assert large.converged
    for name, zeros in SMALLER[family]:
        small = fitted(name, zeros)
        assert small.llf <= large.llf + 1e-5 or not small.converged, (name, zeros)
