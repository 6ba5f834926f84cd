"""The three poolings against regressions written out: indicators for no pooling, Henderson's equations for partial."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import mixedfx as mfx


@pytest.fixture(scope="module")
def radon():
    return mfx.load_dataset("radon").rename(columns={"log.radon": "radon"})


@pytest.fixture(scope="module")
def houses(radon):
    return mfx.lmer("radon ~ basement + uranium + (1 | county)", radon)


def indicators(labels) -> np.ndarray:
    return pd.get_dummies(pd.Series(np.asarray(labels))).to_numpy(dtype=float)


def test_sleepstudy_without_pooling_is_a_regression_a_subject():
    data = mfx.load_dataset("sleepstudy")
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", data)
    frame = mfx.pooling(fit).to_frame()
    D = indicators(data["Subject"])
    separate = sm.OLS(data["Reaction"].to_numpy(), np.hstack([D, D * data[["Days"]].to_numpy()])).fit()
    together = sm.OLS(data["Reaction"].to_numpy(), sm.add_constant(data["Days"].to_numpy())).fit()
    for k, name in enumerate(["Intercept", "Days"]):
        own = frame.xs(name, level="term")
        np.testing.assert_allclose(own["no"], separate.params[18 * k : 18 * k + 18], rtol=1e-8)
        np.testing.assert_allclose(own["no_se"], separate.bse[18 * k : 18 * k + 18], rtol=1e-8)
        np.testing.assert_allclose(own["complete"], together.params[k], rtol=1e-10)
        np.testing.assert_allclose(own["complete_se"], together.bse[k], rtol=1e-10)
        np.testing.assert_allclose(own["partial"], fit.coefficients["Subject"][name], rtol=1e-10)
    assert (frame["n"] == 10).all()


def test_standard_errors_of_partial_pooling_are_hendersons():
    data = mfx.load_dataset("sleepstudy")
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", data)
    Z, X = fit.model.exog_re.toarray(), fit.model.exog
    prior = np.kron(np.eye(18), np.linalg.inv(fit.varcorr.covariances["Subject"].to_numpy()))
    left = np.block([[X.T @ X, X.T @ Z], [Z.T @ X, Z.T @ Z]]) / fit.scale
    left[2:, 2:] += prior
    joint = np.linalg.inv(left)
    rows = np.hstack([np.tile(np.eye(2), (18, 1)), np.eye(36)])
    expected = np.sqrt(np.einsum("ia,ab,ib->i", rows, joint, rows))
    np.testing.assert_allclose(mfx.pooling(fit).to_frame()["partial_se"], expected, rtol=1e-7)


def test_radon_has_an_indicator_a_county_and_a_common_slope(radon, houses):
    """Gelman and Hill (2007), section 12.2: the county's uranium is part of its intercept."""
    frame = mfx.pooling(houses).to_frame().xs("Intercept", level="term")
    X = np.column_stack([indicators(radon["county"].astype(int)), radon["basement"]])
    order = np.unique(radon["county"].astype(int).to_numpy())
    separate = sm.OLS(radon["radon"].to_numpy(), X).fit()
    found = frame.loc[[str(k) for k in order]]
    np.testing.assert_allclose(found["no"], separate.params[:85], rtol=1e-8)
    np.testing.assert_allclose(found["no_se"], separate.bse[:85], rtol=1e-8)
    uranium = radon.groupby("county", observed=True)["uranium"].first()
    expected = houses.coefficients["county"]["Intercept"] + houses.params["uranium"] * uranium
    np.testing.assert_allclose(frame["partial"], expected.loc[frame.index], rtol=1e-9)
    together = sm.OLS(radon["radon"], sm.add_constant(radon[["basement", "uranium"]])).fit()
    np.testing.assert_allclose(frame["complete"], together.params["const"] + together.params["uranium"] * uranium)
    at = pd.DataFrame({"basement": 0, "uranium": uranium, "county": uranium.index})
    prediction = houses.get_prediction(at)
    np.testing.assert_allclose(frame["partial_se"], prediction.se_mean, rtol=1e-8)


def test_lines_are_those_of_the_table(houses):
    pooled = mfx.pooling(houses)
    lines = pooled.lines("basement", ["26", "2"])
    assert lines["level"].tolist() == ["26"] * 3 + ["2"] * 3
    table = pooled.to_frame().xs("Intercept", level="term")
    for row in lines.itertuples():
        assert row.intercept == pytest.approx(table.loc[row.level, row.pooling], rel=1e-8)
    assert lines["slope"].iloc[2] == pytest.approx(houses.params["basement"])


def test_weights_and_offset_are_kept():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(8), 6)
    data = pd.DataFrame({"g": g, "x": rng.normal(size=48), "z": rng.normal(size=48), "w": rng.uniform(0.5, 2, 48)})
    data["y"] = data.x + rng.normal(size=8)[g] + rng.normal(size=48) / np.sqrt(data.w)
    fit = mfx.lmer("y ~ x + z + (1 | g)", data, weights="w", offset="z")
    frame = mfx.pooling(fit).to_frame()
    X = np.column_stack([indicators(g), data[["x", "z"]]])
    separate = sm.WLS((data.y - data.z).to_numpy(), X, weights=data.w.to_numpy()).fit()
    np.testing.assert_allclose(frame["no"], separate.params[:8], rtol=1e-8)
    np.testing.assert_allclose(frame["no_se"], separate.bse[:8], rtol=1e-8)


def test_levels_with_too_few_rows_have_no_estimate_of_their_own():
    data = mfx.load_dataset("sleepstudy")
    keep = (data["Subject"] != "308") | (data["Days"] == 3)
    frame = mfx.pooling(mfx.lmer("Reaction ~ Days + (Days | Subject)", data[keep])).to_frame()
    assert frame.loc["308", ["no", "no_se"]].isna().to_numpy().all()
    assert frame.drop(index="308").notna().to_numpy().all()
    assert frame.loc["308", ["partial", "partial_se", "complete"]].notna().to_numpy().all()


def test_cells_of_a_factor_and_terms_that_are_split():
    fit = mfx.lmer("score ~ Machine + (0 + Machine | Worker)", mfx.load_dataset("machines"))
    frame = mfx.pooling(fit).to_frame()
    means = mfx.load_dataset("machines").groupby(["Worker", "Machine"], observed=True)["score"].mean()
    np.testing.assert_allclose(np.sort(frame["no"]), np.sort(means))
    data = mfx.load_dataset("sleepstudy")
    split = mfx.pooling(mfx.lmer("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", data)).to_frame()
    whole = mfx.pooling(mfx.lmer("Reaction ~ Days + (Days || Subject)", data)).to_frame()
    pd.testing.assert_frame_equal(split, whole, rtol=1e-5)


def test_nested_levels_have_the_effects_around_them():
    data = mfx.load_dataset("pastes")
    fit = mfx.lmer("strength ~ 1 + (1 | batch/cask)", data)
    frame = mfx.pooling(fit, "batch:cask").to_frame()
    cells = data.assign(fitted=fit.fittedvalues).groupby(["batch", "cask"], observed=True)["fitted"].first()
    np.testing.assert_allclose(frame["partial"], cells, rtol=1e-9)
    se = fit.get_prediction(cells.reset_index()[["batch", "cask"]]).se_mean
    np.testing.assert_allclose(frame["partial_se"], se, rtol=1e-8)
    assert frame.index.names == ["batch", "cask", "term"]
    assert any("batch:cask" in note for note in mfx.pooling(fit, "batch").table.notes)


def test_pictures_have_the_lines(houses):
    plt = pytest.importorskip("matplotlib.pyplot")
    sleep = mfx.pooling(mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy")))
    panels = sleep.plot()
    assert panels[0].get_title() == "308"
    assert len(panels) == 12
    row = sleep.lines("Days", ["308"]).set_index("pooling").loc["no"]
    drawn = next(line for line in panels[0].get_lines() if line.get_label() == "no pooling")
    np.testing.assert_allclose(drawn.get_ydata(), row.intercept + row.slope * np.array([0, 9]))
    one = mfx.pooling(houses).plot(levels=["2"])
    assert one[0].figure._supxlabel.get_text().replace("\n", " ").startswith("basement   (1 of the 85 levels")
    nothing = mfx.pooling(mfx.lmer("strength ~ 1 + (1 | batch/cask)", mfx.load_dataset("pastes")), "batch:cask").plot()
    assert len(nothing.get_xticklabels()) == 30
    plt.close("all")


def test_mistakes(houses):
    with pytest.raises(mfx.SpecificationError, match="'county'"):
        mfx.pooling(houses, "state")
    with pytest.raises(mfx.SpecificationError, match="'basement', 'uranium'"):
        mfx.pooling(houses).lines("x")
    with pytest.raises(mfx.SpecificationError, match="no level '999'"):
        mfx.pooling(houses).plot(levels=["999"])
    with pytest.raises(TypeError, match="lmer"):
        mfx.pooling("fit")


def test_slopes_of_a_predictor_that_is_not_fixed_are_drawn_by_their_intercepts():
    r, g = np.random.default_rng(0), np.repeat(np.arange(19), 4)
    x = r.normal(size=76)
    data = {"y": r.normal(size=19)[g] + r.normal(size=19)[g] * x + r.normal(size=76), "x": x, "g": g.astype(str)}
    panel = mfx.pooling(mfx.lmer("y ~ (x | g)", data)).plot()
    assert len(panel.get_xticks()) == 19
