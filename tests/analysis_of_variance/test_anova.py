"""Tables of terms: laws that they must obey, and statsmodels' own on the models that both can fit."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.anova import anova_lm

import mixedfx as mfx
from mixedfx.analysis_of_variance.components.random_terms import Extension, chi_bar_square_tail
from mixedfx.analysis_of_variance.terms.coding import terms_of_design
from mixedfx.analysis_of_variance.terms.tables import cohen_f, partial_eta_squared

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")

CODINGS = ["treatment", "sum", "helmert", "poly", "sdif"]


@pytest.fixture(scope="module")
def data():
    """Unbalanced, three groups of three sizes, one factor of two and one of three levels, a covariate."""
    rng = np.random.default_rng(11)
    n = 150
    frame = pd.DataFrame(
        {
            "a": rng.choice(list("pqr"), n, p=[0.5, 0.3, 0.2]),
            "b": rng.choice(list("uv"), n, p=[0.7, 0.3]),
            "x": rng.normal(2, 1, n),
            "g": rng.choice([f"g{i:02d}" for i in range(15)], n),
        }
    )
    effect = dict(zip(sorted(frame["g"].unique()), rng.normal(size=15)))
    frame["y"] = 0.3 * frame["x"] * (frame["a"] == "q") + frame["g"].map(effect) + rng.normal(size=n)
    return frame


FORMULA = "y ~ a * b + a * x + (1 | g)"


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_no_type_depends_on_the_coding(data, kind):
    tables = [
        mfx.anova(mfx.lmer(FORMULA, data, contrasts={"a": a, "b": b}), type=kind)
        for a, b in zip(CODINGS, [*CODINGS[1:], CODINGS[0]])
    ]
    for table in tables[1:]:
        assert list(table.index) == list(tables[0].index)
        for column in ("F", "df"):
            assert table[column].to_numpy() == pytest.approx(tables[0][column].to_numpy(), rel=1e-6)
        single = tables[0]["df"] == 1
        assert table["den_df"][single].to_numpy() == pytest.approx(tables[0]["den_df"][single].to_numpy(), rel=1e-5)


def test_order_of_the_levels_does_not_matter(data):
    other = data.assign(a=pd.Categorical(data["a"], categories=list("rqp")))
    ours, theirs = mfx.anova(mfx.lmer(FORMULA, data)), mfx.anova(mfx.lmer(FORMULA, other))
    assert theirs["F"].to_numpy() == pytest.approx(ours["F"].to_numpy(), rel=1e-6)


def test_type_three_tests_unweighted_cell_means(data):
    """The term's hypothesis, written out by hand on the treatment coding."""
    fit = mfx.lmer("y ~ a * b + (1 | g)", data)
    names = list(fit.params.index)
    cells = {}
    for a, b in itertools.product("pqr", "uv"):
        wanted = ["Intercept", f"a[T.{a}]", f"b[T.{b}]", f"a[T.{a}]:b[T.{b}]"]
        cells[a, b] = np.isin(names, wanted).astype(float)
    mean_a = {a: (cells[a, "u"] + cells[a, "v"]) / 2 for a in "pqr"}
    mean_b = {b: sum(cells[a, b] for a in "pqr") / 3 for b in "uv"}
    by_hand = {
        "a": np.array([mean_a["q"] - mean_a["p"], mean_a["r"] - mean_a["p"]]),
        "b": mean_b["v"] - mean_b["u"],
    }
    table = mfx.anova(fit)
    for term, rows in by_hand.items():
        test = fit.f_test(np.atleast_2d(rows))
        assert table.loc[term, "F"] == pytest.approx(test.fvalue, rel=1e-9)
        assert table.loc[term, "df"] == test.df_num


def test_without_an_intercept_the_first_factor_has_all_its_means(data):
    table = mfx.anova(mfx.lmer("y ~ 0 + a + b + (1 | g)", data))
    assert table["df"].to_dict() == {"a": 3.0, "b": 1.0}


def test_missing_margins_belong_to_the_interaction(data):
    whole = mfx.anova(mfx.lmer("y ~ a + a:b + (1 | g)", data))
    assert whole["df"].to_dict() == {"a": 2.0, "a:b": 3.0}


def test_last_term_is_the_same_in_all_types(data):
    fit = mfx.lmer(FORMULA, data)
    rows = [mfx.anova(fit, type=kind).loc["a:x", "F"] for kind in (1, 2, 3)]
    assert rows == pytest.approx([rows[0]] * 3, rel=1e-8)


def test_type_two_wald_tests_do_not_depend_on_the_origin_of_a_covariate(data):
    ours = mfx.anova(mfx.lmer(FORMULA, data), type=2, ddf="z")
    shifted = mfx.anova(mfx.lmer(FORMULA, data.assign(x=data["x"] - 7)), type=2, ddf="z")
    assert shifted["chi2"].to_numpy() == pytest.approx(ours["chi2"].to_numpy(), rel=1e-6)


def test_the_f_table_says_that_a_covariate_is_at_zero(data):
    notes = " ".join(mfx.anova(mfx.lmer(FORMULA, data), type=2).notes)
    assert "a is adjusted for a:x" in notes
    assert "adjusted for" not in " ".join(mfx.anova(mfx.lmer(FORMULA, data), type=2, ddf="z").notes)


def test_sequential_chi_squares_add_up(data):
    fit = mfx.lmer(FORMULA, data)
    p = len(fit.params)
    total = fit.wald_test(np.eye(p)[1:], use_f=False).statistic
    assert mfx.anova(fit, type=1, ddf="z")["chi2"].sum() == pytest.approx(total, rel=1e-8)


def test_empty_cells_are_reported(data):
    holes = data[~((data["a"] == "r") & (data["b"] == "v"))]
    with pytest.warns(mfx.RankDeficientWarning):
        fit = mfx.lmer("y ~ a * b + (1 | g)", holes)
    table = mfx.anova(fit)
    assert table["df"].to_dict() == {"a": 2.0, "b": 1.0, "a:b": 1.0}
    assert any("a:b: 1 of 2" in note for note in table.notes)
    where_both = pd.Series(0.0, index=fit.params.index)  # b is compared where both of its levels occur: in p and q
    where_both["b[T.v]"], where_both["a[T.q]:b[T.v]"] = 1.0, 0.5
    assert table.loc["b", "F"] == pytest.approx(fit.f_test(where_both.to_numpy()[None]).fvalue, rel=1e-9)


def test_columns_and_effect_sizes(data):
    table = mfx.anova(mfx.lmer("y ~ a + x + (1 | g)", data))
    row = table.loc["x"]
    assert row["mean_sq"] * row["df"] == pytest.approx(row["sum_sq"])
    assert row["PR(>F)"] == pytest.approx(stats.f.sf(row["F"], row["df"], row["den_df"]))
    eta = row["partial_eta_sq"]
    assert row["cohen_f"] == pytest.approx(np.sqrt(eta / (1 - eta)))
    assert row["partial_omega_sq"] < eta


def test_eta_squared_of_a_one_way_layout():
    """F and df give back the ratio of the sums of squares."""
    rng = np.random.default_rng(2)
    g, y = np.repeat([0, 1, 2], 10), rng.normal(size=30)
    means = np.array([y[g == i].mean() for i in range(3)])[g]
    between, within = np.sum((means - y.mean()) ** 2), np.sum((y - means) ** 2)
    f = between / 2 / (within / 27)
    assert partial_eta_squared(f, 2.0, 27.0) == pytest.approx(between / (between + within))
    assert cohen_f(f, 2.0, 27.0) == pytest.approx(np.sqrt(between / within))


# --------------------------------------------------------------------------- ordinary linear models
@pytest.mark.parametrize("formula", ["y ~ a * b", "y ~ a + b + x", "y ~ C(a, Sum) * b + x"])
@pytest.mark.parametrize("kind", [1, 2])
def test_least_squares_against_statsmodels(data, formula, kind):
    fit = smf.ols(formula, data).fit()
    ours, theirs = mfx.anova(fit, type=kind), anova_lm(fit, typ=kind)
    for column in ("sum_sq", "df", "F", "PR(>F)"):
        expected = theirs[column].to_numpy()
        assert ours.loc[theirs.index, column].to_numpy() == pytest.approx(expected, rel=1e-8, nan_ok=True)


def test_least_squares_type_three_is_that_of_sum_coding_whatever_the_coding(data):
    ours = mfx.anova(smf.ols("y ~ a * b * x", data).fit())
    theirs = anova_lm(smf.ols("y ~ C(a, Sum) * C(b, Sum) * x", data).fit(), typ=3)
    theirs.index = [name.replace("C(a, Sum)", "a").replace("C(b, Sum)", "b") for name in theirs.index]
    for term in ours.index.drop("Residual"):
        assert ours.loc[term, "sum_sq"] == pytest.approx(theirs.loc[term, "sum_sq"], rel=1e-8)


def test_what_anova_refuses(data):
    fit = mfx.lmer("y ~ a + (1 | g)", data)
    with pytest.raises(mfx.SpecificationError, match="type is 1, 2 or 3"):
        mfx.anova(fit, type=4)
    with pytest.raises(TypeError, match="anova needs results"):
        mfx.anova("a fit")
    with pytest.raises(mfx.SpecificationError, match="one model"):
        mfx.anova(fit, fit, type=2)
    with pytest.raises(mfx.SpecificationError, match="formula"):
        mfx.anova(sm.OLS(data["y"], data[["x"]]).fit())
    with pytest.raises(mfx.SpecificationError, match="mixed models"):
        mfx.anova(smf.ols("y ~ a", data).fit(), ddf="kr")


# --------------------------------------------------------------------------- comparisons
def test_likelihood_ratio_table(data):
    small, large = mfx.lmer("y ~ a + (1 | g)", data), mfx.lmer("y ~ a * b + (1 | g)", data)
    table = mfx.anova(large, small)
    by_ml = [fit.model.fit(reml=False) for fit in (small, large)]
    chi2 = 2 * (by_ml[1].llf - by_ml[0].llf)
    assert table["chi2"].iloc[1] == pytest.approx(chi2)
    assert table["PR(>chi2)"].iloc[1] == pytest.approx(stats.chi2.sf(chi2, 3))
    assert table["aic"].to_list() == pytest.approx([fit.aic for fit in by_ml])
    assert table["bic"].to_list() == pytest.approx([fit.bic for fit in by_ml])
    assert any("refitted" in note for note in table.notes)
    assert "PR(boundary)" not in table


def test_a_single_variance_is_tested_on_the_boundary(data):
    large = mfx.lmer("y ~ a + (1 | g)", data, reml=False)
    small = smf.ols("y ~ a", data).fit()
    table = mfx.anova(small, large)
    p = table["PR(>chi2)"].iloc[1]
    assert table["df"].iloc[1] == 1
    assert table["PR(boundary)"].iloc[1] == pytest.approx(p / 2)


@pytest.mark.parametrize("make", [smf.poisson, lambda f, d: smf.glm(f, d, family=sm.families.Poisson())])
def test_a_variance_of_counts_is_tested_against_a_model_of_statsmodels(make):
    frame = mfx.load_dataset("salamanders")
    small = make("count ~ mined", frame).fit(**({"disp": 0} if make is smf.poisson else {}))
    large = mfx.glmer("count ~ mined + (1 | site)", frame, family="poisson")
    table = mfx.anova(small, large).to_frame()
    assert table["n_params"].tolist() == [2, 3]
    chi2 = 2 * (large.llf - small.llf)
    assert table["chi2"].iloc[1] == pytest.approx(chi2)
    assert table["PR(boundary)"].iloc[1] == pytest.approx(stats.chi2.sf(chi2, 1) / 2)


def test_likelihoods_of_different_integrators_are_told_apart():
    frame = mfx.load_dataset("cbpp")
    formula = "cbind(incidence, size - incidence) ~ {} + (1 | herd)"
    small = mfx.glmer(formula.format("1"), frame, family="binomial")
    large = mfx.glmer(formula.format("period"), frame, family="binomial", nagq=9)
    assert "not approximated alike (Laplace, quadrature)" in " ".join(str(mfx.anova(small, large)).split())
    alike = mfx.glmer(formula.format("1"), frame, family="binomial", nagq=25)
    assert "approximated" not in str(mfx.anova(alike, large))


def test_mixtures():
    assert chi_bar_square_tail(2.0, Extension(1, 1)) == pytest.approx((stats.chi2.sf(2, 1) + stats.chi2.sf(2, 2)) / 2)
    assert chi_bar_square_tail(0.0, Extension(1, 0)) == pytest.approx(1.0)
    assert chi_bar_square_tail(2.0, Extension(0, 2)) == pytest.approx(stats.chi2.sf(2, 2))
    assert np.isnan(chi_bar_square_tail(2.0, Extension(2, 1)))


def test_comparisons_that_make_no_sense(data):
    fit = mfx.lmer("y ~ a + (1 | g)", data)
    with pytest.raises(mfx.DataError, match="rows"):
        mfx.anova(fit, mfx.lmer("y ~ (1 | g)", data.iloc[:-3]))
    with pytest.raises(mfx.DataError, match="different responses"):
        mfx.anova(fit, mfx.lmer("x ~ (1 | g)", data))
    with pytest.raises(mfx.SpecificationError, match="fixed effects"):
        mfx.anova(fit, mfx.lmer("y ~ (1 | g)", data), refit=False)
    with pytest.raises(TypeError, match="compares fitted models"):
        mfx.anova(fit, 3)


def test_ranova_against_the_models_written_out(data):
    fit = mfx.lmer("y ~ a + (x | g)", data)
    without = mfx.lmer("y ~ a + (1 | g)", data)
    table = mfx.ranova(fit)
    assert table["lrt"].iloc[1] == pytest.approx(2 * (fit.llf - without.llf), abs=1e-6)
    assert table["df"].iloc[1] == 2


def test_ranova_goes_down_to_the_fixed_effects(data):
    fit = mfx.lmer("y ~ a + (1 | g)", data, reml=False)
    table = mfx.ranova(fit)
    assert table["llf"].iloc[1] == pytest.approx(smf.ols("y ~ a", data).fit().llf, abs=1e-8)
    assert table["PR(boundary)"].iloc[1] == pytest.approx(table["PR(>chi2)"].iloc[1] / 2)


def test_drop1_tests_only_what_can_go(data):
    fit = mfx.lmer("y ~ a * b + x + (1 | g)", data)
    table = mfx.drop1(fit)
    assert list(table.index) == ["x", "a:b"]
    assert table["F"].to_numpy() == pytest.approx(mfx.anova(fit).loc[table.index, "F"].to_numpy())


@pytest.mark.parametrize(
    "formula",
    ["y ~ a * b + a:x + (1 | g)", "y ~ 0 + a:b + poly(x, 2) : a + (1 | g)", "y ~ bs(x, df=4) + x:b + a + (1 | g)"],
)
@pytest.mark.parametrize("coding", CODINGS)
def test_cells_are_the_columns_of_the_design(data, formula, coding):
    """The columns of a term in every row are those of its cell, times the covariates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.RankDeficientWarning)
        model = mfx.LinearMixedModel(formula, data, contrasts={"a": coding, "b": coding})
    fixed = model.design.fixed
    X = fixed.encode_full(data)
    covariates = {"x": data[["x"]].to_numpy()}
    for name, label in (("poly(x, 2)", "y ~ 0 + poly(x, 2)"), ("bs(x, df=4)", "y ~ 0 + bs(x, df=4)")):
        covariates[name] = mfx.LinearMixedModel(f"{label} + (1 | g)", data).exog
    for term in terms_of_design(model.design, model.inputs.frame):
        codes = [pd.Categorical(data[factor]).codes for factor in term.factors]
        units = covariates[next(iter(term.covariates))] if term.covariates else np.ones((len(data), 1))
        own = term.cells[tuple(codes)] if codes else np.broadcast_to(term.cells, (len(data), *term.cells.shape))
        assert np.einsum("nk,nkc->nc", units, own) == pytest.approx(X[:, list(term.columns)])


def test_a_refit_to_another_response_is_refused_by_name(data):
    fit = mfx.lmer("y ~ a + (1 | g)", data)
    with pytest.raises(mfx.SpecificationError, match="a refit to another response has no data of its own"):
        mfx.anova(fit.refit(data["y"] + 1.0))


@pytest.fixture(scope="module")
def slopes():
    """A factor of three levels whose effects differ between groups."""
    r = np.random.default_rng(8)
    g, f = r.integers(0, 15, 180), r.integers(0, 3, 180)
    d = pd.DataFrame({"g": [f"g{i:02d}" for i in g], "f": np.array(list("pqr"))[f], "x": r.normal(size=180)})
    return d.assign(y=r.normal(size=(15, 3))[g, f] + d["x"] * r.normal(size=15)[g] * 0.5 + r.normal(size=180))


@pytest.mark.parametrize("random", ["(f | g)", "(0 + f | g)", "(f + x | g)", "(0 + x + f | g)", "(f * x | g)"])
def test_ranova_drops_a_factor_whole_whatever_its_coding(slopes, random):
    tables = [
        mfx.ranova(mfx.lmer(f"y ~ f + {random}", data, contrasts={"f": coding}))
        for data in (slopes, slopes.assign(f=pd.Categorical(slopes["f"], list("rpq"))))
        for coding in ("treatment", "sum", "poly")
    ]
    for table in tables[1:]:
        assert list(table.index) == list(tables[0].index)
        assert table["df"].to_numpy() == pytest.approx(tables[0]["df"].to_numpy(), nan_ok=True)
        assert table["lrt"].to_numpy() == pytest.approx(tables[0]["lrt"].to_numpy(), abs=2e-5, nan_ok=True)


def test_ranova_against_the_models_without_a_factor(slopes):
    """lmerTest: ``f in (f | g)`` and ``f in (0 + f | g)`` are the same test, against ``(1 | g)``, on 5 df."""
    without = mfx.lmer("y ~ f + (1 | g)", slopes)
    for random in ("(f | g)", "(0 + f | g)"):
        fit = mfx.lmer(f"y ~ f + {random}", slopes)
        row = mfx.ranova(fit).iloc[1]
        assert row["df"] == 5
        assert row["lrt"] == pytest.approx(2 * (fit.llf - without.llf), abs=2e-5)
        assert np.isnan(row["PR(boundary)"])  # two variances at once
    fit = mfx.lmer("y ~ f + (f * x | g)", slopes)
    assert list(mfx.ranova(fit).index[1:]) == ["f:x in (1 + f + x + f:x | g)"]
    fit = mfx.lmer("y ~ f + (0 + f || g)", slopes)
    assert mfx.ranova(fit)["df"].iloc[1] == 3


def test_an_effect_that_is_not_identified_takes_no_parameter_and_has_no_test():
    """The variances of f by h are those of f by k, whose levels are h's: the model without them is the same."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"y": rng.normal(size=60), "f": np.tile(list("abc"), 20), "k": np.repeat(list("pqrs"), 15)})
    with pytest.warns(mfx.SingularFitWarning):
        fit = mfx.lmer("y ~ 1 + (0 + f || k) + (1 + f || h)", frame.assign(h=frame["k"]))
    table = mfx.ranova(fit).to_frame()
    same = table["df"] == 0
    assert same.any()
    assert table.loc[same, "PR(>chi2)"].isna().all()
    np.testing.assert_allclose(table.loc[same, "llf"], fit.llf, atol=1e-8)


def test_notes_on_covariates(data):
    """Where a term beside an interaction is tested; of several columns lmerTest's rule is another one."""
    fit = mfx.lmer(FORMULA, data)
    notes = " ".join(mfx.anova(fit).notes)
    assert "a: tested where x is 0" in notes
    assert "F df / (F df + den_df)" in notes
    assert "as in SAS and R's lmerTest" in " ".join(mfx.anova(fit, type=2).notes)
    curved = " ".join(mfx.anova(mfx.lmer("y ~ a * poly(x, 2) + (1 | g)", data), type=2).notes)
    assert "takes several columns for a factor" in curved
    assert "tested where" not in " ".join(mfx.anova(mfx.lmer("y ~ a + x + (1 | g)", data)).notes)


def test_the_test_where_the_covariate_is_zero_and_that_of_joint_tests(data):
    """They agree once the covariate is centred."""
    fit = mfx.lmer("y ~ a * x + (1 | g)", data)
    centred = mfx.anova(mfx.lmer("y ~ a * x + (1 | g)", data.assign(x=data["x"] - data["x"].mean()))).loc["a"]
    ours = mfx.joint_tests(fit).to_frame().loc["a"]
    assert ours[["F", "den_df"]].to_numpy(dtype=float) == pytest.approx(centred[["F", "den_df"]].to_numpy(), rel=1e-6)


@pytest.mark.parametrize("kind", [2, 3])
def test_robust_covariances_of_a_linear_model_are_those_of_its_tests(data, kind):
    """A term of one degree of freedom: F is the square of the t of statsmodels, whatever the covariance."""
    for cov_type in ("nonrobust", "HC3"):
        fit = smf.ols("y ~ x + a", data).fit(cov_type=cov_type, use_t=True)
        assert mfx.anova(fit, type=kind).loc["x", "F"] == pytest.approx(fit.tvalues["x"] ** 2, rel=1e-9)


def test_only_tests_at_the_origin_of_a_covariate_are_said_to_be_there(data):
    """By SAS's rule ``a`` is adjusted for ``a:x``: its test depends on the origin of x. By names it does not."""
    moved = data.assign(x=data["x"] + 2)
    tables = {
        "sas": lambda d: mfx.anova(mfx.lmer("y ~ a * x + (1 | g)", d), type=2),
        "least squares": lambda d: mfx.anova(smf.ols("y ~ a * x", d).fit(), type=2),
        "dropped": lambda d: mfx.drop1(mfx.lmer("y ~ a * x + (1 | g)", d)),
    }
    for table in tables.values():
        one, other = table(data), table(moved)
        depends = any(one.loc[t, "F"] != pytest.approx(other.loc[t, "F"], rel=1e-4) for t in one.index if t == "a")
        assert any("where the covariate is zero" in note for note in one.notes) == depends
