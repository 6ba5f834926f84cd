"""Design check, collinearity, random effects, and the page."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mfx


@pytest.fixture(scope="module")
def teeth():
    return mfx.lmer("distance ~ age * Sex + (1 | Subject)", mfx.load_dataset("orthodont"))


def test_variance_inflation_is_that_of_car(teeth):
    # R: car::vif(lmer(distance ~ age*Sex + (1|Subject), Orthodont))
    assert mfx.vif(teeth)["gvif"].tolist() == pytest.approx([1.687500, 4.076998, 4.764498], rel=1e-5)
    with pytest.raises(mfx.SpecificationError, match="at least two terms"):
        mfx.vif(mfx.lmer("distance ~ age + (1 | Subject)", mfx.load_dataset("orthodont")))


def test_numbers_that_may_be_codes_are_doubted():
    data = pd.DataFrame(
        {"g": np.repeat(np.arange(10), 6), "cond": np.tile([1, 2, 3], 20), "dose": np.tile([0, 1, 3], 20)}
    )
    data["y"] = np.random.default_rng(1).normal(size=60) + data["g"]

    def said(formula):
        return [remark for remark in mfx.check_design(formula, data).remarks if "codes" in remark]

    (remark,) = said("y ~ cond + dose + (1 | g)")
    assert "cond has the values 1 to 3" in remark
    assert "C(cond)" in remark
    assert said("y ~ C(cond) + dose + (1 | g)") == []
    assert said("y ~ cond + (1 | g)") == [remark]
    data["cond"] -= 1
    assert said("y ~ cond + (1 | g)") == []


def test_effects_are_tested_in_their_own_standard_deviations(teeth):
    values = teeth.random_effects["Subject"]["Intercept"]
    sd = np.sqrt(teeth.varcorr.covariances["Subject"].iloc[0, 0] - teeth.random_effects_sd["Subject"]["Intercept"] ** 2)
    found = mfx.random_effects_normality(teeth)
    assert found["W"].iloc[0] == pytest.approx(stats.shapiro(values / sd).statistic)


def test_random_effects_that_go_with_a_predictor_are_found():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(60), 5)
    x = rng.normal(size=60)[g] + 0.7 * rng.normal(size=300)
    mean = np.bincount(g, weights=x)[g] / 5
    data = pd.DataFrame({"x": x, "g": g, "y": x + 3 * mean + rng.normal(size=300)})
    fit = mfx.lmer("y ~ x + (1 | g)", data)
    assert mfx.random_effects_independence(fit)["p"].iloc[0] < 1e-6
    assert mfx.check(fit).to_frame().loc["within and between", "verdict"] == "look"


def test_design_that_is_fine():
    found = mfx.check_design("diameter ~ 1 + (1 | plate) + (1 | sample)", mfx.load_dataset("penicillin"))
    assert found.ok
    assert found.factors["levels"].tolist() == [24, 6]
    assert found.relations["relation"].tolist() == ["plate and sample are fully crossed"]
    assert "No problem found" in str(found)


def test_design_with_every_fault():
    data = mfx.load_dataset("orthodont")
    data["row"], data["same"] = np.arange(len(data)), data["Subject"].astype(str) + "x"
    data.loc[3, "age"] = np.nan
    found = mfx.check_design("distance ~ age * Sex + (Sex | Subject) + (1 | same) + (1 | row)", data)
    text = " ".join(found.problems)
    assert "Subject and same group the rows in the same way" in text
    assert "Sex[T.Female] does not vary within any level of Subject" in text
    assert "every row is a level of its own" in text
    assert found.rows == {"total": 108, "used": 107}
    assert any("left out because of missing values" in remark for remark in found.remarks)
    assert any("differs only between levels of Subject" in remark for remark in found.remarks)
    share = found.predictors.loc["Sex[T.Female]", "between Subject"]
    assert share == pytest.approx(1.0)


def test_design_with_as_many_effects_as_rows_and_few_levels():
    data = pd.DataFrame({"y": np.arange(12.0) ** 2, "x": np.tile([0.0, 1.0, 2.0], 4), "g": np.repeat(list("abcd"), 3)})
    found = mfx.check_design("y ~ x + (1 + x + I(x ** 2) | g)", data)
    assert "12 random effects for 12 rows" in found.problems[0]
    assert "only 4 levels" in found.remarks[0]
    assert mfx.check_design("y ~ g + (1 | g)", data).remarks[-1].startswith("g is both a fixed effect and")
    with pytest.raises(TypeError, match="no argument 'wieghts'"):
        mfx.check_design("y ~ x + (1 | g)", data, wieghts="x")


@pytest.mark.parametrize("family", [None, "poisson", "gamma", "lognormal", "beta", "binomial", "ordinal", "student_t"])
def test_a_plan_is_checked_without_a_response(family):
    """What is said is what is said of any responses, and none of them is named."""
    plan = mfx.design(subjects=12, within={"dose": ["low", "high"]}, replicates=3)
    plan["twin"] = "t" + plan["subject"].astype(str)
    rng, n = np.random.default_rng(3), len(plan)
    plan["y"] = {"binomial": lambda: np.arange(n) % 2, "ordinal": lambda: rng.integers(1, 5, n)}.get(
        family, lambda: rng.integers(1, 9, n) / 10 if family == "beta" else rng.permutation(np.arange(1, n + 1))
    )()
    right = "~ dose + (dose | subject) + (1 | twin)"
    planned = mfx.check_design(right, plan.drop(columns="y"), family=family)
    real = mfx.check_design(f"y {right}", plan, family=family)
    assert (planned.problems, planned.remarks) == (real.problems, real.remarks)
    assert planned.problems
    assert "response" not in str(planned)


def test_a_plan_does_not_say_how_many_trials_a_row_has():
    plan = mfx.design(subjects=12, within={"dose": ["low", "high"]}).assign(row=range(24))
    formula = "~ dose + (1 | subject) + (1 | row)"
    assert mfx.check_design(formula, plan, family="binomial").ok
    assert not mfx.check_design(f"y {formula}", plan.assign(y=plan["row"] % 2), family="binomial").ok
    assert not mfx.check_design(formula, plan, family="ordinal").ok


def test_page_is_calm_or_points_at_the_fault(teeth):
    page = mfx.check(teeth)
    assert page.to_frame().loc["convergence", "verdict"] == "well"
    assert "collinearity" in str(page)
    sleep = mfx.check(mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy")))
    assert not sleep.ok
    assert sleep.to_frame().loc["residuals", "verdict"] == "look"
    flat = mfx.check(mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff2")))
    assert flat.to_frame().loc["variances", "verdict"] == "look"


def test_page_of_a_generalised_model():
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    page = mfx.check(mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial"))
    assert {"zeros", "dispersion"} <= set(page.to_frame().index)
    assert page._repr_html_().startswith("<")


def test_nothing_is_said_of_the_normality_of_effects_without_variance():
    with pytest.warns(mfx.SingularFitWarning):
        flat = mfx.check(mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff2")))
    words = flat.to_frame().loc["random effects", "found"]
    assert words.startswith("nothing can be told of Intercept of Batch")


def test_text_and_html_say_the_same_word(teeth):
    page = mfx.check(teeth)
    assert set(page.table()["verdict"]) <= {"ok", "look", "wrong"}
    for topic, verdict in page.table()["verdict"].items():
        assert any(line.startswith(f"[{verdict}]") and f" {topic} " in line for line in str(page).splitlines())


def test_the_page_survives_fits_that_are_wrong():
    """Unidentified, not converged, nearly exact, more effects than the data bear, and all but collinear predictors."""
    rng = np.random.default_rng(7)
    g, x = np.repeat(np.arange(7), 2), rng.normal(size=14)
    data = {"y": rng.normal(size=14), "x": x, "g": g, "h": np.arange(14) // 4, "near": x + 1e-9 * rng.normal(size=14)}
    data |= {"exact": 1 + x + 1e-9 * rng.normal(size=14), "c": rng.poisson(2.0, 14), "twin": g.astype(str)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = [
            mfx.lmer("y ~ x + (1 | g) + (1 | twin)", data),
            mfx.lmer("y ~ x + near + (1 | g)", data),
            mfx.lmer("exact ~ x + (1 | g)", data),
            mfx.lmer("y ~ x + (1 + x | h)", data, control=mfx.Control(max_iter=1)),
            mfx.glmer("c ~ x + (1 + x | g)", data, family="nbinom2"),
            mfx.glmer("c ~ x + (1 | g) + (1 | twin)", data, family="poisson"),
        ]
    for fit in fits:
        page = mfx.check(fit)
        assert {"convergence", "variances", "distribution"} <= set(page.to_frame().index)
        assert str(page)
        page.plot()


@pytest.mark.parametrize(
    "family", ["poisson", "zero_inflated_poisson", "hurdle_poisson", "truncated_poisson", "binomial"]
)
def test_the_family_that_is_advised_for_too_much_variation_fits_better(family):
    """And no p value is written as zero."""
    rng, g = np.random.default_rng(8), np.repeat(np.arange(20), 15)
    x = rng.normal(size=300)
    counts = rng.negative_binomial(0.8, 0.8 / (0.8 + np.exp(1.5 + 0.3 * x + 0.3 * rng.normal(size=20)[g])))
    d = pd.DataFrame({"g": g, "x": x, "y": counts, "n": 12})
    formula = "y ~ x + (1 | g)"
    if family == "binomial":
        d["y"], formula = rng.binomial(12, rng.beta(1.0, 1.5, 300)), "cbind(y, n - y) ~ x + (1 | g)"
    if family == "truncated_poisson":
        d = d[d["y"] > 0]
    fit = mfx.glmer(formula, d, family=family)
    page = mfx.check(fit).to_frame()
    assert not page["found"].str.contains(r"p = 0\b(?!\.)", regex=True).any()
    advised = re.fullmatch('try family="(.*)"', page.loc["dispersion", "advice"])
    assert advised is not None
    assert mfx.glmer(formula, d, family=advised[1]).llf > fit.llf + 10.0
