"""Exact second derivatives of reported quantities against differences of their gradients."""

import numpy as np
import pytest

from mixedfx.covariance import covariance_for
from mixedfx.criterion.assembly import TermSlot
from mixedfx.fitting.quantities import EffectCorrelation, Quantity, ResidualSd, StandardDeviation


@pytest.mark.parametrize("keyword", ["us", "diag", "cs", "ar1"])
def test_hessians(keyword):
    covariance = covariance_for(keyword, 3)
    k = covariance.n_theta
    slot = TermSlot(covariance, 0, slice(0, 3), slice(0, k))
    matrix = np.array([[1.0, 0.3, -0.2], [0.0, 1.2, 0.1], [0.0, 0.0, 0.7]])
    phi = np.append(np.where(covariance.upper() < np.inf, 0.3, np.linspace(0.7, 1.3, k)), 0.4)
    for quantity in (StandardDeviation(slot, matrix, 1, 2.0), EffectCorrelation(slot, matrix, 0, 2), ResidualSd(2.0)):
        expected = Quantity.hessian(quantity, phi)
        assert quantity.hessian(phi) == pytest.approx(expected, rel=1e-6, abs=1e-8)
