"""The covariance of variance parameters at the boundary, and the directions along a constraint."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.inference.constrained import orthogonal_complement
from mixedfx.inference.variance_scales import variance_estimates


@pytest.mark.parametrize("normal", [[2.0, -1.0, 0.5], [0.0, 0.0, 3.0], [-1e-9, 1e-9, 0.0], [1e200, 1.0, 0.0]])
def test_the_complement_is_orthonormal_and_orthogonal(normal):
    normal = np.array(normal)
    basis = orthogonal_complement(normal)
    assert basis.T @ basis == pytest.approx(np.eye(2), abs=1e-14)
    assert basis.T @ (normal / np.abs(normal).max()) == pytest.approx([0.0, 0.0], abs=1e-14)


@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", "y ~ x + (x | g)"])
@pytest.mark.parametrize("scale", ["variance", "sd", "theta"])
def test_a_variance_of_zero_has_no_standard_error(formula, scale):
    """In a linear model as in a generalised one; what is left is a covariance."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"y": rng.normal(size=60), "g": np.repeat(np.arange(10), 6), "x": np.tile(np.arange(6.0), 10)})
    data["y"] -= data.groupby("g")["y"].transform("mean")
    with pytest.warns(mfx.SingularFitWarning):
        fit = mfx.lmer(formula, data)
    found = variance_estimates(fit.solution, scale)
    zero = (found.values == 0.0) & (scale != "theta")
    assert np.isnan(found.covariance[zero]).all()
    known = ~np.isnan(found.covariance.diagonal())
    assert np.linalg.eigvalsh(found.covariance[np.ix_(known, known)]).min() > -1e-8
    assert fit.bse_re.isna().any() == (np.diag(fit.cov_re) == 0).any()
