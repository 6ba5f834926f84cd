"""The summary says what was fitted, with the numbers of the fit unrounded and the notes in words."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.results.summary import coefficient_table, summarize
from mixedfx.results.varcorr import TermCovariance, VarCorr
from tests.results.fakes import FakeFit, FakeModel

TEXT = """\
                               Linear mixed model
================================================================================
Formula:    Reaction ~ Days + (Days | Subject)
Groups:     Subject (18)
Method:                           REML    REML log-likelihood:          -871.814
Observations:                      180    AIC:                          1755.628
Residual df:                       174    BIC:                          1774.786
Converged:  yes. The criterion could fall by at most 3e-13.
================================================================================
Random effects                                  Variance     Std. dev.     Corr.
--------------------------------------------------------------------------------
Subject      Intercept                          612.1002       24.7407
             Days                                35.0717        5.9221     0.066
Residual                                        654.9400       25.5918
================================================================================
Fixed effects        coef   std err     df        t    P>|t|    [0.025    0.975]
--------------------------------------------------------------------------------
Intercept        251.4051     6.825   17.0   36.838   <0.001   237.006   265.804
Days              10.4673     1.546   17.0    6.771   <0.001     7.206    13.729
================================================================================
Notes:
[1] t tests and intervals of the fixed effects have Satterthwaite's degrees of
    freedom.
Next: .plot() shows the fit, .check() its assumptions, .explain() every line."""


def flat(summary):
    return " ".join(str(summary).split())


def test_text():
    assert str(summarize(FakeFit(), method="REML")) == TEXT


def test_tables_have_the_unrounded_numbers():
    fit = FakeFit()
    model, random, fixed = summarize(fit, alpha=0.1).tables
    assert model.loc["AIC", "value"] == fit.aic
    assert model.loc["REML log-likelihood", "value"] == fit.llf
    assert model.loc["Observations", "value"] == 180
    assert random.loc[("Subject", "Days"), "Variance"] == 35.0717
    assert list(fixed.columns) == ["coef", "std err", "df", "t", "P>|t|", "[0.05", "0.95]"]
    np.testing.assert_array_equal(fixed["coef"], fit.params)
    np.testing.assert_array_equal(fixed["P>|t|"], fit.pvalues)
    np.testing.assert_array_equal(fixed[["[0.05", "0.95]"]], fit.conf_int(alpha=0.1))


def test_z_tests_have_no_degrees_of_freedom():
    summary = summarize(FakeFit(use_t=False, reml=False), title="Generalised linear mixed model")
    assert list(summary.tables[2].columns) == ["coef", "std err", "z", "P>|z|", "[0.025", "0.975]"]
    assert "Satterthwaite" not in flat(summary)
    assert summary.tables[0].loc["Method", "value"] == "ML"
    assert "Log-likelihood" in summary.tables[0].index


def test_further_facts_and_components():
    zero = pd.DataFrame({"coef": [-1.2], "bse": [0.3], "statistic": [-4.0], "pvalue": [6e-5]}, index=["Intercept"])
    facts = [("Family", "poisson"), ("Nodes", 7)]
    summary = summarize(FakeFit(use_t=False), facts=facts, components={"Zero inflation": zero})
    assert summary.tables[0].loc["Nodes", "value"] == 7
    assert summary.tables[3].loc["Intercept", "z"] == -4.0
    assert "Zero inflation" in flat(summary)
    assert "<caption>Zero inflation</caption>" in summary.as_html()


def test_ratios():
    fit = FakeFit(coef=(0.5, -1.0), se=(0.1, 0.2), use_t=False)
    fixed = summarize(fit, ratio="odds ratio").tables[2]
    assert list(fixed.columns) == ["odds ratio", "z", "P>|z|", "[0.025", "0.975]"]
    np.testing.assert_allclose(fixed["odds ratio"], np.exp([0.5, -1.0]), rtol=1e-15)
    np.testing.assert_allclose(fixed["0.975]"], np.exp(fit.conf_int()["upper"]), rtol=1e-15)
    assert "exponentiated" in flat(summarize(fit, ratio="odds ratio"))


def test_the_ratio_of_a_separated_coefficient_is_infinite():
    estimates = pd.DataFrame({"coef": [800.0], "bse": [1e5], "lower": [-2e5], "upper": [2e5]}, index=["x"])
    table = coefficient_table("", estimates, ratio="odds ratio")
    assert table.to_frame().loc["x"].tolist() == [np.inf, 0.0, np.inf]
    assert [column.format(column.values)[0] for column in table.columns[1:]] == ["∞", "0.000", "∞"]


def test_digits_follow_the_standard_error():
    estimates = pd.DataFrame({"coef": [1000000251.405, -1e-14, 1.5], "bse": [6.8, 2.0, np.nan]}, index=list("abc"))
    coef, bse = coefficient_table("", estimates).columns[1:]
    assert coef.format(coef.values) == ["1000000251.4", "0.0000", "1.5000"]
    assert bse.format(bse.values) == ["6.800", "2.000", "—"]


def test_notes_of_the_fit_are_told():
    notes = ("3 of 183 rows were dropped: Days is missing.", "The column Days2 repeats Days and was dropped.")
    text = flat(summarize(FakeFit(notes=notes)))
    assert all(note in text for note in notes)


def test_a_fit_that_failed_says_so_first():
    summary = summarize(FakeFit(converged=False, certificate="It could fall by 12."))
    assert "Converged: NO. It could fall by 12." in flat(summary)
    assert summary.notes[0].startswith("NOT CONVERGED")


@pytest.mark.parametrize(
    "matrix, sentence",
    [
        ([[4.0, 0.0], [0.0, 0.0]], "the variance of Days by Subject is estimated as zero."),
        ([[4.0, -2.0], [-2.0, 1.0]], "the correlation of Intercept and Days by Subject is estimated as -1."),
        ([[4.0, 1.0], [1.0, 1.0]], "some combination of the random effects has no variance."),
    ],
)
def test_a_singular_fit_is_explained(matrix, sentence):
    varcorr = VarCorr.from_terms([("Subject", ("Intercept", "Days"), np.array(matrix))], 1.0)
    summary = summarize(FakeFit(is_singular=True, varcorr=varcorr))
    assert sentence in summary.notes[0]
    assert "on the boundary (see the notes)" in flat(summary)


def test_a_singular_fit_is_as_good_without_what_vanished_and_not_without_a_correlation():
    rng = np.random.default_rng(1)
    d = pd.DataFrame({"g": np.repeat(np.arange(40), 10), "h": np.tile(np.arange(10), 40), "x": rng.normal(size=400)})
    u = rng.normal(size=40)[d["g"]]
    d["y"] = u * (1.0 + d["x"]) + 0.5 * rng.normal(size=400)
    d["y"] -= d.groupby("h")["y"].transform("mean") - d["y"].mean()  # h explains nothing
    with pytest.warns(mfx.SingularFitWarning):
        one, gone = (mfx.lmer(f"y ~ x + {random}", d, reml=False) for random in ("(x | g)", "(1 | g) + (1 | h)"))
    independent, without = (mfx.lmer(f"y ~ x + {random}", d, reml=False) for random in ("(x || g)", "(1 | g)"))
    assert one.llf - independent.llf > 10.0
    assert "as well, mfx.anova(simpler, fit) tells" in one.summary().notes[0]
    assert gone.llf == pytest.approx(without.llf, abs=1e-6)
    assert "has the same likelihood" in gone.summary().notes[0]


def test_without_random_or_fixed_effects():
    random = summarize(FakeFit(names=(), coef=(), se=(), df_values=(), t=(), p=()))
    assert len(random.tables) == 2
    assert random.notes == ()
    fixed = summarize(FakeFit(varcorr=VarCorr((), 2.0), n_groups={}))
    assert "Groups" not in fixed.tables[0].index
    assert fixed.tables[1]["Variance"].tolist() == [2.0]
    assert len(summarize(FakeFit(varcorr=VarCorr(()), n_groups={})).tables) == 2


def test_html_is_escaped_and_text_fits_eighty_columns():
    evil = "<img src=x onerror=alert(1)>"
    names = (evil, "a_very_long_name_of_a_predictor:another_very_long_name[T.and_a_level]")
    varcorr = VarCorr((TermCovariance(evil * 3, names, np.eye(2)),), 1.0)
    model = FakeModel(f"{evil} ~ " + " + ".join(f"predictor_{i}" for i in range(40)))
    summary = summarize(FakeFit(names=names, varcorr=varcorr, model=model, n_groups={evil * 3: 7}, notes=(evil,)))
    assert "<img" not in summary.as_html()
    assert max(map(len, str(summary).splitlines())) <= 80
    assert "".join(names[1].split()) in "".join(summary.as_csv().split())


@pytest.mark.parametrize(("link", "ratio"), [("logit", "odds ratio"), ("cloglog", "hazard ratio"), ("probit", "exp")])
def test_summary_of_categories_names_the_link_of_their_probabilities(link, ratio):
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat(np.arange(12), 10), "x": rng.normal(size=120)})
    data["grade"] = np.digitize(data["x"] + rng.logistic(size=120), [-1.0, 1.0])
    fit = mfx.glmer("grade ~ x + (1 | g)", data, family="ordinal", link=link)
    text = str(fit.summary(exp=True))
    assert f"Link: {link}" in " ".join(text.split())
    assert ratio in text
