"""Which structures can hide a residual: those to which adding a multiple of the identity changes nothing but theta."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from mixedfx.covariance import covariance_for

KEYWORDS = ["us", "diag", "homdiag", "cs", "homcs", "ar1", "hetar1", "toep"]


@pytest.mark.parametrize("keyword", KEYWORDS)
@pytest.mark.parametrize("size", [1, 4])
def test_absorbs_residual_is_what_a_fit_to_the_shifted_covariance_says(keyword, size):
    covariance = covariance_for(keyword, size)
    rng = np.random.default_rng(4)
    theta = np.clip(
        covariance.start() + rng.uniform(0.1, 0.5, covariance.n_theta), covariance.lower(), covariance.upper()
    )
    target = covariance.covariance(theta) + 0.7 * np.eye(size)
    found = least_squares(
        lambda t: (covariance.covariance(t) - target).ravel(),
        theta,
        bounds=(covariance.lower(), covariance.upper()),
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
    )
    assert (np.abs(found.fun).max() < 1e-6) == covariance.absorbs_residual()
