"""What users of R's packages reported, on generated data: the right values by laws, by hand, or by R."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from tests.reports import frames

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")


def test_every_row_has_its_own_offset():
    data = frames.counts()
    offset = np.log(data["effort"].to_numpy())
    fit = mfx.glmer("y ~ x + trt + (1 | site)", data, family="poisson", offset=offset)
    mean = {t: fit.predict(data.assign(trt=t), random=False, offset=offset).mean() for t in "abc"}
    found = mfx.comparisons(fit, "trt").to_frame()["estimate"]
    np.testing.assert_allclose(found, [mean["b"] - mean["a"], mean["c"] - mean["a"]], rtol=1e-8)
    np.testing.assert_allclose(found, [2.9011, -3.9474], atol=5e-5)
    slope = (fit.predict(data, random=False, offset=offset) * fit.params["x"]).mean()
    assert mfx.marginal_effects(fit, "x").to_frame()["estimate"].item() == pytest.approx(slope, rel=1e-6)
    by_column = mfx.glmer("y ~ x + trt + offset(log(effort)) + (1 | site)", data, family="poisson")
    np.testing.assert_allclose(mfx.comparisons(by_column, "trt").to_frame()["estimate"], found, rtol=1e-5)


@pytest.mark.parametrize("family, end, expected", [("nbinom2", "lower", 19.2538), ("nbinom1", "upper", 0.11943)])
def test_profile_of_a_dispersion_that_has_run_to_its_limit(family, end, expected):
    fit = mfx.glmer("y ~ x + (1 | g)", frames.poisson_counts(), family=family)
    limits = fit.conf_int(method="profile", which="family").loc["family: dispersion"]
    assert limits[end] == pytest.approx(expected, rel=2e-3)


def test_one_model_written_as_dispersion_and_as_residual_structure():
    data = frames.unequal_variances()
    by_dispersion = mfx.glmer("obs ~ trt + (1 | expt / unit)", data, family="gaussian", dispersion="~ expt")
    by_structure = mfx.lmer("obs ~ trt + (1 | expt / unit)", data, reml=False, residual=mfx.VarIdent("expt"))
    assert by_dispersion.llf == pytest.approx(by_structure.llf, abs=1e-6)
    np.testing.assert_allclose(mfx.icc(by_dispersion), mfx.icc(by_structure), rtol=1e-4)
    np.testing.assert_allclose(mfx.r2(by_dispersion), mfx.r2(by_structure), rtol=1e-4)
    assert "1.0000        1.0000" not in str(by_dispersion.summary())


def test_an_empty_cell_has_no_prediction_whatever_the_order_of_levels():
    data, row = frames.missing_cell(), pd.DataFrame({"time": ["A"], "lake": ["ref1"]})
    for levels in (["exp", "ref1", "ref2"], ["ref2", "exp", "ref1"]):
        fit = mfx.lmer("count ~ time * lake + (1 | block)", data.assign(lake=pd.Categorical(data["lake"], levels)))
        assert np.isnan(fit.predict(row, random=False).item())
        means = mfx.emmeans(fit, ["time", "lake"]).to_frame()
        assert means.query("time == 'A' and lake == 'ref1'")["mean"].isna().all()


def test_an_interaction_is_one_coefficient_in_whatever_order_it_is_written():
    r = np.random.default_rng(21)
    g, x, u = np.repeat(np.arange(25), 20), r.normal(size=(2, 500)), r.normal(size=(25, 4))
    data = pd.DataFrame({"a": x[0], "b": x[1], "g": g.astype(str)})
    effects = u[g, 0] + 0.5 * u[g, 1] * x[0] + 0.5 * u[g, 2] * x[1] + 0.8 * u[g, 3] * x[0] * x[1]
    data["y"] = 1 + x[0] + 0.5 * x[1] + 0.3 * x[0] * x[1] + effects + r.normal(size=500)
    one, two = mfx.lmer("y ~ b * a + (a * b || g)", data), mfx.lmer("y ~ a * b + (a * b || g)", data)
    first, second = one.coefficients["g"], two.coefficients["g"]
    assert list(first.columns) == ["Intercept", "b", "a", "b:a"]
    np.testing.assert_allclose(first["b:a"], second["a:b"], rtol=1e-5)
    assert first["b:a"].iloc[0] == pytest.approx(-0.1516, abs=5e-4)


def test_truncated_families_have_the_mean_of_the_response_everywhere():
    data = frames.positive_counts()
    fit = mfx.glmer("y ~ x + f + (1 | g)", data, family="truncated_poisson")
    new = pd.DataFrame({"x": [0, 0], "f": ["hi", "lo"]})
    means = mfx.emmeans(fit, "f", scale="response", at={"x": [0]}).to_frame()["mean"]
    np.testing.assert_allclose(means, fit.predict(new, random=False), rtol=1e-8)
    np.testing.assert_allclose(means, [1.7499, 2.6202], atol=1e-4)
    mean = {f: fit.predict(data.assign(f=f), random=False).mean() for f in ("lo", "hi")}
    estimate = mfx.comparisons(fit, "f").to_frame()["estimate"].item()
    assert estimate == pytest.approx(mean["lo"] - mean["hi"], rel=1e-8)
    mu = np.exp(fit.predict(data, random=False, which="linear"))
    cut = np.exp(-mu)
    slope = (mu * fit.params["x"] * (1 - cut - mu * cut) / (1 - cut) ** 2).mean()
    assert mfx.marginal_effects(fit, "x").to_frame()["estimate"].item() == pytest.approx(slope, rel=1e-6)


def test_type_three_without_intercept_does_not_depend_on_the_coding_of_another_factor():
    data, formula = frames.three_conditions(), "y ~ 0 + cong + isH + z + (1 + z | subj)"
    tables = [mfx.anova(mfx.lmer(formula, data, contrasts=c), type=3).to_frame() for c in (None, {"isH": "sum"})]
    np.testing.assert_allclose(tables[0]["F"], tables[1]["F"], rtol=1e-6)
    np.testing.assert_allclose(tables[0]["den_df"], tables[1]["den_df"], rtol=1e-5)
    assert tables[0].loc["cong", "F"] == pytest.approx(12.7556, abs=5e-4)


def test_containment_df_of_means_do_not_depend_on_the_reference_level():
    data = mfx.load_dataset("orthodont")
    for levels in (["Male", "Female"], ["Female", "Male"]):
        fit = mfx.lmer("distance ~ age + Sex + (1 | Subject)", data.assign(Sex=pd.Categorical(data["Sex"], levels)))
        assert mfx.emmeans(fit, "Sex", ddf="containment").to_frame()["df"].tolist() == [25, 25]


def test_latent_means_do_not_depend_on_the_coding():
    """R's emmeans takes the mean threshold off: -.928 and .193."""
    data = frames.pain()
    for coding in ({}, {"time": "poly"}, {"arm": "sum"}):
        fit = mfx.glmer("pain ~ time * arm + (1 | id)", data, family="ordinal", contrasts=coding)
        np.testing.assert_allclose(mfx.emmeans(fit, "arm").to_frame()["mean"], [-0.928, 0.193], atol=1e-3)


def test_the_summary_shows_a_residual_structure():
    data = mfx.load_dataset("sleepstudy")
    fit = mfx.lmer("Reaction ~ Days + (1 | Subject)", data, residual=mfx.AR1("Days", group="Subject"))
    assert "phi" in str(fit.summary())
    assert "0.653" in str(fit.summary())


def test_an_exposure_that_was_not_logged_is_named():
    r = np.random.default_rng(1)
    data = {"y": r.poisson(0.2, 1000), "time": r.exponential(150, 1000), "study": r.integers(0, 10, 1000).astype(str)}
    with pytest.raises(mfx.DataError, match=r"offset\(log\("):
        mfx.glmer("y ~ 1 + offset(time) + (1 | study)", data, family="poisson")


def test_the_tests_of_a_separated_factor_carry_a_note():
    data = frames.separated()
    fit = mfx.glmer("y ~ trt + (1 | nest)", data, family="binomial")
    table = mfx.anova(fit)
    assert "separat" in str(table).lower()
    smaller = mfx.glmer("y ~ 1 + (1 | nest)", data, family="binomial")
    assert mfx.anova(smaller, fit).to_frame()["PR(>chi2)"].iloc[1] == pytest.approx(1.3129e-4, rel=1e-3)


def test_text_has_no_order():
    data = frames.pain()
    names = dict(enumerate(["none", "mild", "moderate", "severe", "extreme"]))
    with pytest.raises(mfx.DataError, match="ordered=True"):
        mfx.glmer("p ~ arm + (1 | id)", data.assign(p=data["pain"].map(names)), family="ordinal")
    ordered = pd.Categorical(data["pain"].map(names), list(names.values()), ordered=True)
    by_name = mfx.glmer("p ~ arm + (1 | id)", data.assign(p=ordered), family="ordinal")
    by_number = mfx.glmer("pain ~ arm + (1 | id)", data, family="ordinal")
    np.testing.assert_allclose(by_name.params, by_number.params, rtol=1e-6)


def test_new_rows_are_augmented_and_two_fits_compared():
    data = mfx.load_dataset("sleepstudy")
    one, two = (mfx.lmer(f"Reaction ~ {x} + (1 | Subject)", data, reml=False) for x in ("Days", "1"))
    assert len(mfx.augment(one, data.head(3))) == 3
    assert len(mfx.compare([one, two]).to_frame()) == 2
    with pytest.raises(mfx.SpecificationError, match="list"):
        mfx.compare(one, two)


@pytest.mark.parametrize("method, expected", [(None, 20.876), ("kenward-roger", 17.413)])
def test_df_of_one_hypothesis_do_not_depend_on_coding_or_function(method, expected):
    """lmerTest: 20.876 with its default coding."""
    data = frames.unbalanced_conditions()
    found = []
    for coding in ({}, {"cong": "helmert"}, {"cong": "sum"}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = mfx.lmer("y ~ cong + (1 + cong | subj)", data, contrasts=coding)
        found.append(mfx.anova(fit, type=3, ddf=method).to_frame()["den_df"].item())
        found.append(mfx.joint_tests(fit, ddf=method).to_frame()["den_df"].item())
    np.testing.assert_allclose(found, expected, atol=2e-3)
