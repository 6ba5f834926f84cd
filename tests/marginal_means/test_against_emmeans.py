"""Numbers of R's emmeans beyond those of the reference folder (made by ``emmeans_reference.R``)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

import mixedfx as mfx

HERE = Path(__file__).parent
THEIRS = json.loads(HERE.joinpath("emmeans_reference.json").read_text(encoding="utf-8"))
DATA = HERE.parent / "reference" / "data"
ESTIMATES = ("emmean", "estimate", "response", "ratio", "rate", "prob", "Age.trend", "Days.trend")
TOLERANCE = 1e-4  # of a standard error; relative for standard errors: lme4 stopped at its usual tolerance


def read(name, factors):
    frame = pd.read_csv(DATA / f"{name}.csv", dtype=dict.fromkeys(factors, str))
    return frame.astype(dict.fromkeys(factors, "category"))


@pytest.fixture(scope="module")
def oats():
    return read("OatsF", ["Block", "Variety", "nitroF"])


@pytest.fixture(scope="module")
def split_plot(oats):
    return mfx.lmer("yield ~ Variety * nitroF + (1 | Block/Variety)", oats)


def column(rows, *names):
    name = next(name for name in names if name in rows[0])
    return np.array([np.nan if row.get(name) in (None, "NaN") else float(row[name]) for row in rows])


def compare(table, key, *, p_tolerance=1e-5):
    ours, rows = table.to_frame(), THEIRS[key]
    se = column(rows, "SE")
    np.testing.assert_array_equal(np.isnan(ours["se"]), np.isnan(se))
    known = ~np.isnan(se)
    estimates = ours[table.estimate].to_numpy()
    assert np.abs((estimates - column(rows, *ESTIMATES)) / se)[known].max() < TOLERANCE
    np.testing.assert_allclose(ours["se"][known], se[known], rtol=TOLERANCE)
    limits = ours[["lower", "upper"]].to_numpy()
    for ours_side, theirs in zip(limits.T, (("lower.CL", "asymp.LCL"), ("upper.CL", "asymp.UCL"))):
        assert np.abs((ours_side - column(rows, *theirs)) / se)[known].max() < 1e-3
    np.testing.assert_allclose(ours["pvalue"][known], column(rows, "p.value")[known], atol=p_tolerance)
    df = column(rows, "df")
    finite = ~np.isnan(df)
    np.testing.assert_allclose(ours["df"][finite], df[finite], rtol=1e-3)


@pytest.mark.parametrize(
    ("key", "method", "adjust"),
    [
        ("scheffe", "pairwise", "scheffe"),
        ("fdr", "pairwise", "fdr"),
        ("eff", "effects", None),
        ("poly", "polynomial", None),
        ("consec", "sequential", "none"),
        ("custom", {"first": [1, 0, 0, -1], "second": [1, -2, 1, 0]}, "sidak"),
    ],
)
def test_contrasts(split_plot, key, method, adjust):
    compare(mfx.emmeans(split_plot, "nitroF").contrast(method, adjust=adjust), key)


def test_dunnett(split_plot):
    table = mfx.emmeans(split_plot, "nitroF").contrast("treatment")
    compare(table, "dunnett", p_tolerance=1e-4)
    assert list(table.to_frame()["contrast"]) == [row["contrast"] for row in THEIRS["dunnett"]]


def test_interaction_contrasts(split_plot):
    table = mfx.emmeans(split_plot, ["Variety", "nitroF"]).contrast(interaction=["poly", "consec"])
    compare(table, "interaction")


def test_pairs_within(split_plot):
    compare(mfx.emmeans(split_plot, ["Variety", "nitroF"]).pairs(by="Variety"), "by")
    compare(mfx.emmeans(split_plot, "~ nitroF | Variety").pairs(), "by")


def test_overall_mean(split_plot):
    compare(mfx.emmeans(split_plot), "overall")


def test_one_sided(split_plot):
    table = mfx.emmeans(split_plot, "nitroF").pairs().test(side="less", adjust="none")
    np.testing.assert_allclose(table["pvalue"], column(THEIRS["less"], "p.value"), rtol=1e-4)


@pytest.mark.parametrize("by", [None, "Variety"])
def test_joint_tests(split_plot, by):
    table, rows = mfx.joint_tests(split_plot, by=by), THEIRS["joint_by" if by else "joint"]
    np.testing.assert_allclose(table["F"], column(rows, "F.ratio"), atol=6e-4)
    np.testing.assert_allclose(table["df"], column(rows, "df1"))
    np.testing.assert_allclose(table["den_df"], column(rows, "df2"), rtol=6e-3)
    np.testing.assert_allclose(table["PR(>F)"], column(rows, "p.value"), rtol=1e-4)


@pytest.fixture(scope="module")
def ham():
    frame = read("ham", ["Consumer", "Product", "Information", "Gender"])
    levels = sorted(frame["Consumer"].unique(), key=int)
    number = frame["Consumer"].map({level: i + 1 for i, level in enumerate(levels)})
    dropped = (frame["Product"] == "1") & (frame["Information"] == "1") & (number.astype(int) % 3 != 0)
    return frame[~dropped]


@pytest.mark.parametrize("weights", ["equal", "proportional", "outer", "cells", "flat"])
def test_weights(ham, weights):
    fit = smf.ols("Q('Informed.liking') ~ Product * Information + Gender + Age", ham).fit()
    compare(mfx.emmeans(fit, "Product", weights=weights), f"weights_{weights}")


def test_empty_cells_are_not_estimable(oats):
    empty = oats[~((oats["Variety"] == "Victory") & (oats["nitroF"] == "0.6"))]
    with pytest.warns(mfx.RankDeficientWarning):
        fit = mfx.lmer("yield ~ Variety * nitroF + (1 | Block)", empty)
    compare(mfx.emmeans(fit, ["Variety", "nitroF"]), "empty_cells")
    compare(mfx.emmeans(fit, "Variety"), "empty_margins")
    assert "not estimable" in str(mfx.emmeans(fit, "Variety"))
    assert mfx.emmeans(fit, "~ nitroF | Variety").pairs().to_frame()["pvalue"].isna().sum() == 3


def test_logarithm_of_the_response():
    fit = mfx.lmer("log(Reaction) ~ Days + I(Days^2) + (1 | Subject)", read("sleepstudy", ["Subject"]))
    means = mfx.emmeans(fit, "Days", at={"Days": [0, 9]}, scale="response")
    compare(means, "log_response")
    compare(means.pairs(), "log_pairs")
    compare(mfx.trends(fit, "Days", "Days", at={"Days": [1, 6]}), "quadratic_trend")


def test_offset_is_evaluated_on_the_grid():
    owls = read("Owls", ["Nest", "FoodTreatment", "SexParent"])
    formula = "SiblingNegotiation ~ FoodTreatment * SexParent"
    fit = smf.glm(formula, owls, offset=owls["logBroodSize"], family=sm.families.Poisson()).fit()
    compare(mfx.emmeans(fit, "FoodTreatment", scale="response"), "offset")
    compare(mfx.emmeans(fit, "~ FoodTreatment | SexParent", scale="response").pairs(), "offset_ratio")


def test_probit_has_no_ratios():
    cbpp = read("cbpp", ["herd", "period"])
    cbpp["healthy"] = cbpp["size"] - cbpp["incidence"]
    family = sm.families.Binomial(sm.families.links.Probit())
    fit = sm.GLM.from_formula("incidence + healthy ~ period", cbpp, family=family).fit()
    means = mfx.emmeans(fit, "period", scale="response")
    compare(means, "probit")
    compare(means.pairs(), "probit_pairs")


def test_slope_of_transformed_terms(ham):
    fit = smf.ols("Q('Informed.liking') ~ Product * np.log(Age) + Age + I(Age**2)", ham).fit()
    compare(mfx.trends(fit, "Age", "Product"), "ham_trend")
