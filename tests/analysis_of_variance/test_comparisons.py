"""Models side by side: what is tested at the end of its range, and what cannot be tested at all."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

import mixedfx as mfx

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")


@pytest.fixture(scope="module")
def counts():
    r = np.random.default_rng(3)
    g, x = r.integers(0, 15, 240), r.normal(size=240)
    mu = np.exp(0.6 + 0.3 * x + 0.4 * r.normal(size=15)[g])
    y = r.poisson(mu * r.gamma(4.0, 0.25, 240)) * (r.random(240) > 0.08)
    n = r.integers(3, 9, 240)
    k = r.binomial(n, r.beta(4, 4, 240))
    f = np.array(list("ab"))[r.integers(0, 2, 240)]
    return pd.DataFrame({"y": y, "x": x, "g": [f"g{i}" for i in g], "n": n, "k": k, "f": f, "e": r.uniform(1, 3, 240)})


def glmm(data, family="poisson", formula="y ~ x + (1 | g)", **options):
    return mfx.glmer(formula, data, family=family, **options)


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ("poisson", "nbinom2"),
        ("poisson", "nbinom1"),
        ("poisson", "zero_inflated_poisson"),
        ("nbinom2", "zero_inflated_nbinom2"),
        ("zero_inflated_poisson", "zero_inflated_nbinom2"),
        ("hurdle_poisson", "hurdle_nbinom2"),
    ],
)
def test_one_parameter_at_the_end_of_its_range(counts, small, large):
    """Self and Liang (1987): half of a chi-squared with one df, half a point at zero."""
    one, two = glmm(counts, small), glmm(counts, large)
    row = mfx.anova(two, one).iloc[1]
    chi2 = max(2 * (two.llf - one.llf), 0.0)
    assert row["chi2"] == pytest.approx(chi2, abs=1e-8)
    assert row["PR(boundary)"] == pytest.approx(0.5 * stats.chi2.sf(chi2, 1))


def test_beta_binomial_and_student_t(counts):
    pairs = [
        (glmm(counts, "binomial", "cbind(k, n - k) ~ x + (1 | g)"),
         glmm(counts, "beta_binomial", "cbind(k, n - k) ~ x + (1 | g)")),
        (mfx.lmer("e ~ x + (1 | g)", counts), glmm(counts, "student_t", "e ~ x + (1 | g)")),
    ]  # fmt: skip
    for one, two in pairs:
        row = mfx.anova(one, two).iloc[1]
        assert row["PR(boundary)"] == pytest.approx(0.5 * stats.chi2.sf(row["chi2"], 1) + 0.5 * (row["chi2"] <= 0))


def test_a_predictor_beside_a_boundary(counts):
    one, two = glmm(counts, formula="y ~ 1 + (1 | g)"), glmm(counts, "nbinom2")
    row = mfx.anova(one, two).iloc[1]
    expected = 0.5 * stats.chi2.sf(row["chi2"], 1) + 0.5 * stats.chi2.sf(row["chi2"], 2)
    assert row["PR(boundary)"] == pytest.approx(expected)


def test_several_at_once_have_no_p_value_and_others_the_usual_one(counts):
    for large in (glmm(counts, "zero_inflated_nbinom2"), glmm(counts, zero_inflation="~ f")):
        table = mfx.anova(glmm(counts), large)
        assert np.isnan(table["PR(boundary)"].iloc[1])
        assert "bootstrap_test" in " ".join(table.notes)
    table = mfx.anova(glmm(counts, zero_inflation="~ 1"), glmm(counts, zero_inflation="~ f"))
    assert "PR(boundary)" not in table
    assert np.isfinite(table["PR(>chi2)"].iloc[1])
    table = mfx.anova(glmm(counts, "nbinom2"), glmm(counts, "nbinom2", dispersion="~ f"))
    assert "PR(boundary)" not in table


def test_against_models_of_statsmodels(counts):
    row = mfx.anova(smf.poisson("y ~ x", counts).fit(disp=0), glmm(counts, "nbinom2")).iloc[1]
    assert row["df"] == 2
    assert np.isnan(row["PR(boundary)"])  # a variance and the spread


@pytest.mark.slow
def test_the_boundary_p_value_has_its_size():
    """True Poisson counts: P(p < .1) is 10 % (of the usual p-value 5 %)."""
    r, below, usual = np.random.default_rng(1), 0, 0
    for _ in range(300):
        g = np.repeat(np.arange(12), 12)
        d = pd.DataFrame({"g": g.astype(str), "y": r.poisson(np.exp(0.5 + 0.5 * r.normal(size=12)[g]))})
        row = mfx.anova(glmm(d, formula="y ~ 1 + (1 | g)"), glmm(d, "zero_inflated_poisson", "y ~ 1 + (1 | g)")).iloc[1]
        below, usual = below + (row["PR(boundary)"] < 0.1), usual + (row["PR(>chi2)"] < 0.1)
    assert 0.06 < below / 300 < 0.14
    assert usual / 300 < 0.08


# --------------------------------------------------------------------------- no test
def test_models_of_which_none_contains_the_other(counts):
    plain = glmm(counts)
    others = {
        "weights": glmm(counts, weights="n", formula="y ~ x + f + (1 | g)"),
        "links": glmm(counts, link="sqrt", formula="y ~ x + f + (1 | g)"),
        "offsets": glmm(counts, offset="e", formula="y ~ x + f + (1 | g)"),
        "families": glmm(counts, "hurdle_poisson"),
    }
    for what, other in others.items():
        table = mfx.anova(plain, other)
        assert f"Model 1 and model 2 differ in their {what}: they are not nested" in " ".join(table.notes)
        assert np.isnan(table["PR(>chi2)"].iloc[1])


def test_an_offset_that_is_a_predictor_of_the_larger_model_is_nested(counts):
    table = mfx.anova(glmm(counts, offset="e"), glmm(counts, formula="y ~ x + e + (1 | g)"))
    assert np.isfinite(table["PR(>chi2)"].iloc[1])
    one, two = mfx.lmer("y ~ x + offset(e) + (1 | g)", counts), mfx.lmer("y ~ x + e + (1 | g)", counts)
    assert np.isfinite(mfx.anova(one, two)["PR(>chi2)"].iloc[1])


def test_one_sees_in_what_models_differ(counts):
    notes = mfx.anova(glmm(counts), glmm(counts, zero_inflation="~ f")).notes
    assert notes[1].endswith("; family zero_inflated_poisson, zero inflation ~ f")
    sleep = mfx.load_dataset("sleepstudy")
    fits = [mfx.lmer("Reaction ~ Days + (1 | Subject)", sleep, residual=r) for r in (None, mfx.AR1(group="Subject"))]
    assert mfx.anova(*fits).notes[1].endswith("; residuals AR(1) over rows within Subject")


def test_rows_and_responses_of_compared_models(counts):
    a, b = counts.iloc[:200], counts.iloc[40:]
    with pytest.raises(mfx.DataError, match="160 of 200 in common"):
        mfx.anova(glmm(a), glmm(b))
    one = mfx.lmer("e ~ x + (1 | g)", counts)
    with pytest.raises(mfx.DataError, match=r"different responses: 'e ~ .* and 'log\(e\) ~ "):
        mfx.anova(one, mfx.lmer("log(e) ~ x + f + (1 | g)", counts))
    formula = "cbind(k, n - k) ~ x + (1 | g)"
    fits = [glmm(counts.assign(n=m * counts["n"], k=m * counts["k"]), "binomial", formula) for m in (1, 2)]
    with pytest.raises(mfx.DataError, match="different responses"):
        mfx.anova(*fits)


def test_an_intercept_is_part_of_correlated_levels():
    """(1 | g) is (0 + f | g) with equal, wholly correlated effects: ranova and anova test the same."""
    r = np.random.default_rng(2)
    g, f = r.integers(0, 14, 150), r.integers(0, 2, 150)
    data = pd.DataFrame({"g": g.astype(str), "f": np.array(list("ab"))[f]})
    data["y"] = r.normal(size=(14, 2))[g, f] + r.normal(size=150)
    one, two = (mfx.lmer(f"y ~ f + ({left} | g)", data) for left in ("1", "0 + f"))
    row, drop = mfx.anova(one, two, refit=False).iloc[1], mfx.ranova(two).iloc[1]
    assert row["PR(boundary)"] == pytest.approx(drop["PR(boundary)"], rel=1e-4)
    expected = 0.5 * stats.chi2.sf(row["chi2"], 1) + 0.5 * stats.chi2.sf(row["chi2"], 2)
    assert row["PR(boundary)"] == pytest.approx(expected)
