"""Levels by themselves in generalised models: against statsmodels' GLM of each level, or with an indicator a level."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from matplotlib import pyplot as plt

import mixedfx as mfx
from mixedfx import plots

G = np.repeat(np.arange(12), 15)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def rows() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    data = pd.DataFrame({"x": np.tile(np.linspace(-1, 1, 15), 12), "z": rng.normal(size=180), "g": G})
    data["time"] = rng.uniform(1, 4, 180)
    data["log_time"] = np.log(data["time"])
    eta = 0.3 + 0.8 * rng.normal(size=12)[G] + (0.7 + 0.4 * rng.normal(size=12)[G]) * data["x"] + 0.3 * data["z"]
    data["count"] = rng.poisson(data["time"] * np.exp(eta))
    data["positive"] = rng.gamma(4.0, np.exp(eta) / 4.0)
    data["yes"] = rng.uniform(size=180) < 1.0 / (1.0 + np.exp(-eta))
    data["yes"] = data["yes"].astype(int)
    return data


MODELS = {
    "poisson": ("count ~ x + z + offset(log_time) + (x | g)", {"family": "poisson"}, sm.families.Poisson()),
    "gamma": (
        "positive ~ x + z + (x | g)",
        {"family": "gamma", "link": "log"},
        sm.families.Gamma(sm.families.links.Log()),
    ),
    "binomial": ("yes ~ x + z + (1 | g)", {"family": "binomial", "nagq": 5}, sm.families.Binomial()),
}


def fitted(name: str):
    formula, options, family = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        return mfx.glmer(formula, rows(), **options), family


@pytest.mark.parametrize("name", MODELS)
def test_shrinkage_starts_at_a_glm_of_each_level(name):
    fit, family = fitted(name)
    data, y = rows(), fit.model.endog
    random = list(fit.random_effects["g"].columns)
    others = [c for c in fit.params.index if c not in random]
    offset = fit.model.exog[:, [list(fit.params.index).index(c) for c in others]] @ fit.params[others]
    offset = offset + (data["log_time"] if name == "poisson" else 0.0)
    frame = plots.shrinkage_frame(fit).set_index(["level", "term"])["no"].unstack("term")[random]
    Z = np.column_stack([np.ones(180), data["x"]])[:, : len(random)]
    for k in range(12):
        at = k == G
        own = sm.GLM(np.asarray(y)[at], Z[at], family=family, offset=np.asarray(offset)[at]).fit(tol=1e-12)
        np.testing.assert_allclose(frame.loc[str(k)], own.params, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", MODELS)
def test_no_pooling_is_a_glm_with_indicators_and_complete_pooling_one_without(name):
    fit, family = fitted(name)
    data, frame = rows(), mfx.pooling(fit).to_frame()
    D = pd.get_dummies(pd.Series(G)).to_numpy(dtype=float)
    common = data[["z"]] if name != "binomial" else data[["x", "z"]]
    own = np.hstack([D, D * data[["x"]].to_numpy()]) if name != "binomial" else D
    offset = data["log_time"] if name == "poisson" else None
    y, scale = np.asarray(fit.model.endog), float(fit.scale)
    apart = sm.GLM(y, np.hstack([own, common]), family=family, offset=offset).fit(tol=1e-13, scale=scale)
    found = frame.unstack("term")
    for k, term in enumerate(fit.random_effects["g"].columns):
        place = slice(12 * k, 12 * k + 12)
        np.testing.assert_allclose(found["no"][term].loc[range(12)], apart.params[place], rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(found["no_se"][term].loc[range(12)], apart.bse[place], rtol=1e-5)
    X = sm.add_constant(data[["x", "z"]])
    together = sm.GLM(y, X, family=family, offset=offset).fit(tol=1e-13, scale=scale)
    np.testing.assert_allclose(found["complete"]["Intercept"], together.params["const"], rtol=1e-6)
    np.testing.assert_allclose(found["complete_se"]["Intercept"], together.bse["const"], rtol=1e-5)
    np.testing.assert_allclose(found["partial"]["Intercept"].to_numpy(), fit.coefficients["g"]["Intercept"], rtol=1e-9)


def test_lines_of_panels_are_glms_of_the_rows_of_each_level():
    fit, family = fitted("poisson")
    data = rows()
    frame = plots.group_panels_frame(fit, "x", levels=[3, 7]).set_index(["level", "pooling"])
    for k in (3, 7):
        own = data[data["g"] == k]
        line = sm.GLM(own["count"], sm.add_constant(own["x"]), family=family, offset=own["log_time"]).fit(tol=1e-12)
        expected = [line.params["const"] + own["log_time"].mean(), line.params["x"]]
        np.testing.assert_allclose(frame.loc[(k, "no")].astype(float), expected, rtol=1e-5)
    together = sm.GLM(data["count"], sm.add_constant(data["x"]), family=family, offset=data["log_time"]).fit(tol=1e-12)
    assert frame.loc[(3, "complete"), "slope"] == pytest.approx(together.params["x"], rel=1e-6)
    panel = plots.group_panels(fit, "x", levels=[3])[0]
    drawn = next(line for line in panel.lines if line.get_label() == "no pooling")
    intercept, slope = frame.loc[(3, "no")].astype(float)
    np.testing.assert_allclose(drawn.get_ydata(), np.exp(intercept + slope * drawn.get_xdata()), rtol=1e-9)


@pytest.mark.parametrize("value", [0, 1])
def test_levels_of_one_outcome_have_an_infinite_estimate_and_are_drawn_at_the_edge(value):
    data = rows()
    data.loc[data["g"] == 4, "yes"] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        fit = mfx.glmer("yes ~ x + (1 | g)", data, family="binomial")
    endless = np.inf if value else -np.inf
    frame = plots.shrinkage_frame(fit).set_index("level")
    assert frame.loc["4", "no"] == endless
    assert np.isfinite(frame["no"].drop("4")).all()
    pooled = mfx.pooling(fit)
    assert pooled.to_frame()["no"].loc[(4, "Intercept")] == endless
    assert any("No finite estimate" in note and "Intercept of 4" in note for note in pooled.table.notes)
    panel = plots.shrinkage(fit)
    assert "1 of 12 levels without a finite estimate" in panel.get_title().replace("\n", " ")
    (mark,) = [line for line in panel.lines if line.get_marker() == ("^" if value else "v")]
    at = float(mark.get_ydata()[0])
    assert at > frame["partial"].max() if value else at < frame["partial"].min()
    low = plots.group_panels(fit, "x", levels=[4])[0]
    own = next(line for line in low.lines if line.get_label() == "no pooling")
    np.testing.assert_allclose(own.get_ydata(), value, atol=1e-9)


def test_a_level_of_one_x_keeps_what_it_determines():
    data = rows()
    data.loc[data["g"] == 2, "x"] = 0.0
    data.loc[data["g"] == 5, "x"] = 0.5
    fit = mfx.lmer("positive ~ x + z + (x | g)", data)
    frame = mfx.pooling(fit).to_frame()["no"].unstack("term")
    missing = frame.isna()
    assert missing.loc[2].tolist() == [False, True]
    assert missing.loc[5].tolist() == [True, True]
    assert missing.to_numpy().sum() == 3
    D = pd.get_dummies(pd.Series(G)).to_numpy(dtype=float)
    X = np.hstack([D, (D * data[["x"]].to_numpy())[:, [k for k in range(12) if k not in (2, 5)]], data[["z"]]])
    own = sm.OLS(data["positive"], X).fit()
    np.testing.assert_allclose(frame.loc[2, "Intercept"], np.asarray(own.params)[2])
    panel = plots.group_panels(fit, "x", levels=[5])[0]
    (diamond,) = [line for line in panel.lines if line.get_marker() == "D"]
    assert diamond.get_xydata()[0] == pytest.approx([0.5, data.loc[data["g"] == 5, "positive"].mean()])


def test_levels_of_a_linear_model_with_correlated_residuals_are_fitted_by_generalised_least_squares():
    data = rows().assign(k=np.tile(np.arange(15), 12))
    fit = mfx.lmer("positive ~ x + (x | g)", data, residual=mfx.AR1("k", group="g"))
    own = data[data["g"] == 3]
    frame = plots.shrinkage_frame(fit).set_index(["level", "term"])["no"]
    V = fit.solution.residual.unwhiten(fit.solution.rho, np.eye(180))
    V = (V @ V.T)[45:60, 45:60]
    line = sm.GLS(own["positive"], sm.add_constant(own["x"]), sigma=V).fit()
    np.testing.assert_allclose(frame.loc["3"], line.params, rtol=1e-8)


def test_thresholds_are_given_to_the_levels_of_an_ordinal_model():
    data = rows()
    data["grade"] = pd.cut(data["positive"], [0, 0.8, 1.6, 99], labels=["low", "middle", "high"])
    fit = mfx.glmer("grade ~ x + (1 | g)", data, family="ordinal")
    frame = plots.shrinkage_frame(fit).set_index("level")["no"]
    cuts = fit.params_all.loc["thresholds"].to_numpy()
    own = data[data["g"] == 3]
    place, eta = own["grade"].cat.codes.to_numpy(), fit.params["x"] * own["x"].to_numpy()
    ends = np.concatenate([[-np.inf], cuts, [np.inf]])

    def loss(shift):
        below, above = (1 / (1 + np.exp(-(ends[place + k] - eta - shift))) for k in (0, 1))
        return -np.log(above - below).sum()

    from scipy.optimize import minimize_scalar

    assert frame.loc["3"] == pytest.approx(minimize_scalar(loss, (-1, 1), tol=1e-10).x, abs=1e-5)
    with pytest.raises(mfx.SpecificationError, match=r"plots\.effect"):
        plots.group_panels(fit, "x")
    with pytest.raises(mfx.SpecificationError, match=r"plots\.shrinkage"):
        mfx.pooling(fit)
