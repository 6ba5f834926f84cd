"""Shrinkage where several terms give one factor effects of the same name."""

import warnings

import numpy as np
import pandas as pd

import mixedfx as mfx


def test_ellipses_have_the_variance_of_all_terms_of_the_factor():
    rng = np.random.default_rng(3)
    h = np.repeat(np.arange(12), 10)
    data = pd.DataFrame({"x": rng.normal(size=120), "z": rng.normal(size=120), "h": h})
    effects = rng.normal(size=(12, 3))[h]
    data["y"] = effects[:, 0] + effects[:, 1] * data["x"] + effects[:, 2] * data["z"] + rng.normal(size=120)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        fit = mfx.lmer("y ~ x + (1 + x | h) + (1 + z | h)", data)
    panel = mfx.plots.shrinkage(fit, "h")
    one = min((line.get_xdata() for line in panel.lines if len(line.get_xdata()) == 181), key=np.ptp)
    variance = fit.varcorr.covariances["h"].loc["Intercept", "Intercept"].to_numpy().sum()
    np.testing.assert_allclose(np.ptp(one), 2.0 * np.sqrt(variance), rtol=1e-3)
