"""A fit whose curvature is lost in rounding has the same standard errors from a file."""

import warnings

import numpy as np

import mixedfx as mfx
from tests.fuzz import frame


def test_standard_errors_of_a_profiled_fit_are_those_of_its_file(tmp_path):
    data = frame(np.random.default_rng([1001, 47]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        fit = mfx.glmer("s ~ f:b + (x:z | g)", data, family="hurdle_poisson", nagq=0)
        fit.save(tmp_path / "fit.mfx")
        again = mfx.load(tmp_path / "fit.mfx")
    assert np.isfinite(fit.bse).any()
    np.testing.assert_allclose(again.bse, fit.bse, rtol=1e-6)
