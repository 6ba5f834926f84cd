"""The Monte Carlo error of an estimate against the errors of many."""

import numpy as np
import pytest
from scipy import stats

from mixedfx.fitting.monte_carlo import TOLERATED, MonteCarlo, Plan, monte_carlo

HESSIAN = np.array([[4.0, 1.0, 0.0], [1.0, 2.0, 0.3], [0.0, 0.3, 5.0]])
ROOT = np.array([[1.0, 0.0, 0.0], [0.5, 0.2, 0.0], [-0.3, 0.1, 0.4]])


def test_stated_errors_are_those_of_the_estimates():
    rng = np.random.default_rng(1)
    gradients = rng.normal(size=(4000, 12, 3)) @ ROOT.T
    estimates = -np.linalg.solve(HESSIAN, gradients.mean(axis=1).T).T
    stated = [monte_carlo(HESSIAN, g - g.mean(axis=0), np.zeros(12)).covariance for g in gradients]
    np.testing.assert_allclose(np.mean(stated, axis=0), np.cov(estimates.T), rtol=0.12, atol=1e-4)
    errors = np.sqrt(2.0 * np.linalg.inv(HESSIAN).diagonal())
    found = monte_carlo(HESSIAN, gradients[0] - gradients[0].mean(axis=0), np.zeros(12))
    np.testing.assert_allclose(found.relative, np.sqrt(found.covariance.diagonal()) / errors)


def test_the_limit_holds_nine_times_in_ten():
    rng = np.random.default_rng(2)
    limits = []
    for g in rng.normal(size=(2000, 8, 1)):
        limits.append(monte_carlo(np.eye(1), g - g.mean(axis=0), np.zeros(8)).limit)
    true = 1.0 / np.sqrt(8) / np.sqrt(2.0)
    assert stats.binomtest(int(np.sum(np.array(limits) >= true)), 2000, 0.9).pvalue > 1e-3


@pytest.mark.parametrize("relative, enough", [(0.1 * TOLERATED, True), (TOLERATED, False)])
def test_more_probes_only_where_they_are_needed(relative, enough):
    found = MonteCarlo(np.eye(1), np.array([relative]), 0.0, 16)
    assert found.is_enough is enough
    assert (found.needed < found.probes) is enough


def test_controls_come_first_then_more_of_both():
    poor, good = (MonteCarlo(np.eye(1), np.array([share * TOLERATED]), 0.0, 16) for share in (2.0, 0.1))
    first = Plan(16).more(poor)
    assert first.probes == 32
    assert first.controls == int(2 * poor.needed)
    assert first.more(poor) == Plan(64, 2 * first.controls)
    assert first.more(good) == Plan(64, first.controls)  # the sign of a slope is in doubt
    assert Plan(256, 512).more(poor) == Plan(256, 512)


def test_the_error_of_the_log_likelihood_is_half_that_of_the_determinant():
    logdets = np.random.default_rng(3).normal(size=16)
    expected = 0.5 * stats.sem(logdets)
    assert monte_carlo(np.eye(1), np.zeros((16, 1)), logdets).llf == pytest.approx(expected)
