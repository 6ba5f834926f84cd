"""What users of Python's packages reported, on generated data: the right values by laws, by hand, or by others."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

import mixedfx as mfx
from mixedfx import plots
from tests.reports import frames

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")


def test_the_rows_of_the_fit_passed_as_data_have_the_same_limits():
    data = mfx.load_dataset("orthodont")
    fit = mfx.lmer("distance ~ age * Sex + (1 | Subject)", data, residual=mfx.VarIdent("Sex"))
    old, new = (fit.get_prediction(rows).summary_frame() for rows in (None, data))
    np.testing.assert_allclose(new[["obs_ci_lower", "obs_ci_upper"]], old[["obs_ci_lower", "obs_ci_upper"]], rtol=1e-8)


@pytest.fixture(scope="module")
def meta():
    return mfx.lmer("yi ~ 1 + (1 | trial)", frames.bcg(), residual=mfx.KnownVariance("vi"))


def test_meta_analysis(meta):
    """metafor's numbers (REML)."""
    variance = meta.varcorr.to_frame()["variance"].iloc[0]
    np.testing.assert_allclose([meta.params.item(), meta.bse.item(), variance], [-0.7452, 0.1860, 0.3378], atol=5e-4)
    np.testing.assert_allclose(meta.coefficients["trial"].iloc[:3, 0], [-0.8392, -1.3150, -1.0260], atol=5e-4)


def test_meta_analysis_has_profile_intervals(meta):
    limits = mfx.profile(meta).conf_int().loc["sd_Intercept|trial"]
    assert 0 < limits["lower"] < np.sqrt(0.3378) < limits["upper"] < 2


def test_post_hoc_tests_come_from_the_strata():
    """Two conditions within subjects are a paired t test, whatever the sign of the subjects' component."""
    r, n = np.random.default_rng(11), 12
    e = r.normal(0, 1, n)
    data = pd.DataFrame({"s": np.repeat(np.arange(n), 2), "c": ["a", "b"] * n})
    first = np.where(data["c"] == "a", e[data["s"]], -0.9 * e[data["s"]])
    data["y"] = first + r.normal(0, 0.3, 2 * n) + np.where(data["c"] == "b", 0.75, 0)
    wide = data.pivot(index="s", columns="c", values="y")
    expected = stats.ttest_rel(wide["a"], wide["b"])
    analysis = mfx.aov("y ~ c + Error(s / c)", data)
    assert analysis.table()["PR(>F)"].iloc[0] == pytest.approx(expected.pvalue)
    after = mfx.emmeans(analysis, "c").pairs().to_frame().iloc[0]
    np.testing.assert_allclose([after["df"], after["pvalue"]], [n - 1, expected.pvalue], rtol=1e-6)


def test_a_column_of_zeros_has_no_slope_variance():
    r, g = np.random.default_rng(12), np.repeat(np.arange(12), 8)
    data = pd.DataFrame({"g": g, "x": r.normal(size=96), "never": 0.0, "y": r.normal(size=96) + r.normal(size=12)[g]})
    fit = mfx.lmer("y ~ x + (1 + never || g)", data)
    assert "not identified" in str(fit.summary())
    assert not fit.certificate.is_identified


def test_refits_to_many_responses_have_tests():
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    found = fit.refit_many(fit.simulate(4, seed=1))
    assert found.pvalues.shape == found.bse.shape == (4, 2)


@pytest.mark.parametrize("picture", ["dashboard", "caterpillar"])
def test_pictures_of_several_panels_are_saved(tmp_path, picture):
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    plots.save_figure(getattr(plots, picture)(fit), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5000


def test_no_intercept_within_parentheses():
    r = np.random.default_rng(13)
    data = pd.DataFrame(
        {"Trt": np.repeat(list("abc"), 40), "g": np.tile(range(10), 12), "x": np.tile(range(40), 3) / 10}
    )
    data["y"] = data["x"] + r.normal(size=120) + r.normal(size=10)[data["g"]]
    one, two = (mfx.lmer(f"y ~ {f} + (1 | g)", data) for f in ("(Trt + 0) / x", "0 + Trt + Trt:x"))
    assert one.llf == pytest.approx(two.llf, abs=1e-8)


def test_one_visit_of_an_unstructured_trial_is_analysis_of_covariance():
    r = np.random.default_rng(14)
    data = pd.DataFrame({"u": [f"u{i}" for i in range(60)], "v": "VIS1", "arm": ["P", "T"] * 30})
    data["b"] = r.normal(40, 8, 60)
    data["y"] = 0.8 * data["b"] + 3 * (data["arm"] == "T") + r.normal(0, 5, 60)
    fit = mfx.lmer("y ~ b + arm", data, residual=mfx.Unstructured("v", group="u"))
    expected = smf.ols("y ~ b + arm", data).fit()
    np.testing.assert_allclose(fit.bse[["b", "arm[T.T]"]], expected.bse[["b", "arm[T.T]"]], rtol=1e-6)


def test_fractional_successes_are_not_told_to_give_the_trials_that_were_given():
    r = np.random.default_rng(15)
    data = pd.DataFrame({"g": list("aabbcc") * 5, "n": 10, "p": r.random(30)})
    with pytest.raises(mfx.DataError) as error:
        mfx.glmer("p ~ 1 + (1 | g)", data, family="binomial", weights="n")
    assert "give the trials as weights" not in str(error.value)


def test_labels_that_are_used_again_in_every_group_are_hinted_at():
    r = np.random.default_rng(16)
    rows = [(i, k, t) for k in "AB" for i in range(10) for t in ("pre", "mid", "post")]
    data = pd.DataFrame(rows, columns=["id", "grp", "time"]).assign(y=r.normal(size=60))
    notes = [
        *mfx.aov("y ~ grp * time + Error(id / time)", data).notes,
        str(mfx.check_design("y ~ grp * time + (1 | id)", data)),
    ]
    assert all(any("grp" in note and "id" in note for note in own) for own in (notes[:-1], notes[-1].split("\n\n")))


def test_numbers_with_a_decimal_comma_are_said_to_be_text():
    r = np.random.default_rng(17)
    data = pd.DataFrame({"g": np.repeat(range(15), 8), "y": r.normal(size=120)})
    data["x"] = [f"{value:.6f}".replace(".", ",") for value in r.normal(size=120)]
    with pytest.raises(mfx.DataError, match="text"):
        mfx.lmer("y ~ x + (1 | g)", data)
