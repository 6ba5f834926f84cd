"""Bootstrap limits against numpy, the textbook formulas and Efron and Tibshirani's spatial test data."""

import numpy as np
import pytest
from scipy import stats

from mixedfx.exceptions import SpecificationError
from mixedfx.inference.bootstrap_intervals import LIMITS, Sample, acceleration, limits_for

# Efron and Tibshirani (1993), An Introduction to the Bootstrap, table 14.1: spatial perception of 26 children, test A.
SPATIAL = np.array(
    [48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6, 0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41], dtype=float
)


@pytest.fixture(scope="module")
def sample():
    draws = np.random.default_rng(3).gamma(2.0, size=1999)
    return Sample(draws, 1.8)


def test_percentiles_are_those_of_numpy(sample):
    low, high = LIMITS["percentile"](sample, 0.1)
    assert (low, high) == tuple(np.quantile(sample.replicates, [0.05, 0.95]))
    assert LIMITS["basic"](sample, 0.1) == (3.6 - high, 3.6 - low)


def test_normal_limits_correct_the_bias(sample):
    bias, se = sample.replicates.mean() - 1.8, sample.replicates.std(ddof=1)
    expected = (1.8 - bias - 1.959963984540054 * se, 1.8 - bias + 1.959963984540054 * se)
    np.testing.assert_allclose(LIMITS["normal"](sample, 0.05), expected, rtol=1e-12)


def test_shortest_interval_is_found_by_trying_all(sample):
    values = np.sort(sample.replicates)
    count = int(np.ceil(0.9 * values.size))
    first, last = values[: values.size - count + 1], values[count - 1 :]
    every = list(zip(last - first, first, last, strict=True))
    assert LIMITS["shortest"](sample, 0.1) == min(every)[1:]


def test_bca_of_the_spatial_test_data():
    """Section 14.2: acceleration 0.061, bias correction 0.146; BCa (115.8, 259.6), percentiles (100.8, 233.9)."""
    influence = np.array([np.delete(SPATIAL, i).var() for i in range(26)])
    a = float(acceleration(influence[:, None])[0])
    assert a == pytest.approx(0.061, abs=0.0006)
    draws = SPATIAL[np.random.default_rng(1).integers(26, size=(200_000, 26))].var(axis=1)
    sample = Sample(draws, SPATIAL.var(), a)
    np.testing.assert_allclose(LIMITS["bca"](sample, 0.1), (115.8, 259.6), atol=3.0)  # theirs: 2000 replicates
    np.testing.assert_allclose(LIMITS["percentile"](sample, 0.1), (100.8, 233.9), atol=3.0)


def test_bca_is_that_of_scipy():
    found = stats.bootstrap((SPATIAL,), np.var, method="BCa", n_resamples=4000, vectorized=True)
    influence = np.array([np.delete(SPATIAL, i).var() for i in range(26)])
    sample = Sample(found.bootstrap_distribution, SPATIAL.var(), float(acceleration(influence[:, None])[0]))
    np.testing.assert_allclose(LIMITS["bca"](sample, 0.05), found.confidence_interval, rtol=1e-10)


def test_limits_respect_the_possible_values_and_constant_replicates():
    draws = np.concatenate([np.zeros(50), np.linspace(0.0, 3.0, 50)])
    low, _ = LIMITS["basic"](Sample(draws, 0.2, lower=0.0), 0.05)
    assert low == 0.0
    constant = Sample(np.ones(20), 1.0)
    assert all(limits(constant, 0.05) == (1.0, 1.0) for limits in LIMITS.values())
    assert acceleration(np.ones((5, 2))).tolist() == [0.0, 0.0]
    with pytest.raises(SpecificationError, match="'shortest'"):
        limits_for("student")
