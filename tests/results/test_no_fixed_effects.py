"""Models without fixed effects: every table is there, and empty where there is nothing to say."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(10), 8)
    data = pd.DataFrame({"g": g.astype(str), "y": rng.standard_normal(10)[g] + rng.standard_normal(80)})
    data["count"] = rng.poisson(np.exp(0.8 * rng.standard_normal(10)[g]))
    return data


@pytest.fixture(params=["lmer", "ml", "glmer"], scope="module")
def fit(request, frame):
    if request.param == "glmer":
        return mfx.glmer("count ~ 0 + (1 | g)", frame, family="poisson")
    return mfx.lmer("y ~ 0 + (1 | g)", frame, reml=request.param == "lmer")


def test_tables_of_fixed_effects_are_empty(fit):
    for series in (fit.params, fit.bse, fit.df, fit.tvalues, fit.pvalues):
        assert series.size == 0
    assert not fit.use_t
    assert fit.cov_params().shape == (0, 0)
    assert fit.conf_int().shape == (0, 2)
    assert "sd_Intercept|g" in fit.conf_int(which="all").index
    assert "g" in str(fit.summary())
    assert (mfx.tidy(fit).effect != "fixed").all()
    assert "g" in str(mfx.explain(fit))
    assert mfx.summary_col([fit]) is not None
    with pytest.raises(mfx.SpecificationError, match="no fixed effects"):
        fit.t_test("x = 0")


def test_rows_are_predicted(fit, frame):
    assert (fit.predict(frame, random=False, which="linear") == 0.0).all()
    found = fit.get_prediction(frame, random=False).summary_frame()
    assert (found["mean_se"] == 0.0).all()
    assert fit.cov_joint().shape == (10, 10)
    assert fit.simulate(2, seed=1, data=frame).shape == (80, 2)
