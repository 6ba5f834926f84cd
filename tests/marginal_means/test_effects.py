"""Average marginal effects against predictions of the fit, differences and other packages."""

import numpy as np
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

import mixedfx as mfx


@pytest.fixture(scope="module")
def verbal():
    data = mfx.load_dataset("verbagg")
    return mfx.glmer("r2 ~ Anger * Gender + btype + (1 | id)", data[data["item"].astype(str) < "S2"], family="binomial")


@pytest.fixture(scope="module")
def cbpp():
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    return mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")


def numeric_se(fit, function, step=1e-6):
    """Delta method with differences in the coefficients."""
    beta, covariance = fit.params.to_numpy(), fit.cov_params().to_numpy()
    gradient = [(function(beta + step * e) - function(beta - step * e)) / (2 * step) for e in np.eye(beta.size)]
    return float(np.sqrt(gradient @ covariance @ gradient))


def test_average_slope_and_its_error(verbal):
    x = verbal.design.fixed.matrix
    d = np.zeros_like(x)
    names = list(verbal.params.index)
    d[:, names.index("Anger")] = 1.0
    d[:, names.index("Anger:Gender[T.M]")] = x[:, names.index("Gender[T.M]")]

    def slope(beta):
        mean = 1 / (1 + np.exp(-x @ beta))
        return np.mean(mean * (1 - mean) * (d @ beta))

    row = mfx.marginal_effects(verbal, "Anger").iloc[0]
    assert row["contrast"] == "dY/dX"
    assert row["estimate"] == pytest.approx(slope(verbal.params.to_numpy()), rel=1e-8)
    assert row["std_error"] == pytest.approx(numeric_se(verbal, slope), rel=1e-5)


def test_levels_are_compared_by_predictions(verbal):
    data = mfx.load_dataset("verbagg")
    used = data.loc[verbal.design.index]
    shown = {level: verbal.predict(used.assign(btype=level), random=False).mean() for level in ("curse", "shout")}
    table = mfx.comparisons(verbal, "btype").set_index("contrast")
    assert table.loc["shout - curse", "estimate"] == pytest.approx(shown["shout"] - shown["curse"], rel=1e-8)
    ratio = mfx.comparisons(verbal, "btype", comparison="ratio").set_index("contrast")
    assert ratio.loc["shout / curse", "estimate"] == pytest.approx(shown["shout"] / shown["curse"], rel=1e-8)


def test_groups_average_to_the_whole(verbal):
    by_gender = mfx.marginal_effects(verbal, "Anger", by="Gender")
    counts = mfx.load_dataset("verbagg").loc[verbal.design.index, "Gender"].value_counts()
    weighted = sum(row["estimate"] * counts[row["Gender"]] for _, row in by_gender.iterrows()) / counts.sum()
    assert weighted == pytest.approx(mfx.marginal_effects(verbal, "Anger")["estimate"].iloc[0])
    assert len(mfx.marginal_effects(verbal, "Anger", average=False)) == verbal.nobs


def test_population_means_are_integrated_predictions(cbpp):
    means = mfx.emmeans(cbpp, "period", scale="response", integrate=True).to_frame()
    expected = cbpp.predict({"period": ["1", "2", "3", "4"]}, random=False, integrate=True)
    np.testing.assert_allclose(means["mean"], expected, rtol=1e-9)
    effects = mfx.marginal_effects(cbpp, "period", integrate=True)["estimate"].to_numpy()
    np.testing.assert_allclose(effects, expected.to_numpy()[1:] - expected.to_numpy()[0], rtol=1e-9)


def test_a_linear_model_has_its_coefficient(cbpp):
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    row = mfx.marginal_effects(fit).iloc[0]
    assert row["estimate"] == pytest.approx(fit.params["Days"], rel=1e-9)
    assert row["std_error"] == pytest.approx(fit.bse["Days"], rel=1e-7)
    assert row["p_value"] == pytest.approx(fit.pvalues["Days"], rel=1e-5)


def test_agrees_with_statsmodels_margins():
    data = mfx.load_dataset("verbagg")
    data["yes"] = (data["r2"] == "Y").astype(float)
    fit = smf.glm("yes ~ Anger * Gender", data, family=sm.families.Binomial()).fit()
    ours = mfx.comparisons(fit, {"Gender": "reference"}).iloc[0]
    x = {g: fit.predict(data.assign(Gender=g)).mean() for g in ("F", "M")}
    assert ours["estimate"] == pytest.approx(x["M"] - x["F"], rel=1e-9)
    logit = smf.logit("yes ~ Anger + I(Anger**2)", data).fit(disp=0)
    plain = smf.logit("yes ~ Anger", data).fit(disp=0)
    margins = plain.get_margeff().summary_frame().iloc[0]
    row = mfx.marginal_effects(plain, "Anger").iloc[0]
    assert row["estimate"] == pytest.approx(margins.iloc[0], rel=1e-7)
    assert row["std_error"] == pytest.approx(margins.iloc[1], rel=1e-5)
    assert np.isfinite(mfx.marginal_effects(logit)["std_error"]).all()


@pytest.mark.parametrize(
    ("how", "contrast"), [(2, "+2"), ((10, 20), "20 - 10"), ("sd", "sd, centred"), ("iqr", "Q3 - Q1"), ("minmax", None)]
)
def test_changes_of_a_number(verbal, how, contrast):
    row = mfx.comparisons(verbal, {"Anger": how}, scale="link").iloc[0]
    x = mfx.load_dataset("verbagg").loc[verbal.design.index, "Anger"]
    width = {2: 2.0, "sd": x.std(), "iqr": x.quantile(0.75) - x.quantile(0.25), "minmax": x.max() - x.min()}
    per_unit = mfx.marginal_effects(verbal, "Anger", scale="link")["estimate"].iloc[0]
    assert row["estimate"] == pytest.approx(per_unit * (10.0 if isinstance(how, tuple) else width[how]), rel=1e-7)
    assert contrast is None or row["contrast"] == contrast


def test_mistakes_are_explained(verbal):
    with pytest.raises(mfx.SpecificationError, match="no predictor"):
        mfx.marginal_effects(verbal, "anger")
    with pytest.raises(mfx.SpecificationError, match="is a factor"):
        mfx.comparisons(verbal, {"btype": "sd"})
    with pytest.raises(mfx.SpecificationError, match="is numeric"):
        mfx.comparisons(verbal, {"Anger": "reference"})
    with pytest.raises(mfx.DataError, match="has no column 'Anger'"):
        mfx.marginal_effects(verbal, data={"Gender": ["F"]})
    with pytest.raises(TypeError, match="lmer, glmer or aov"):
        mfx.emmeans("fit", "A")


@pytest.mark.parametrize("flag", ["integrate", "average"])
def test_flags_are_true_or_false(flag):
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    with pytest.raises(TypeError, match=f"{flag} is True or False, found 'no'"):
        mfx.marginal_effects(fit, **{flag: "no"})
