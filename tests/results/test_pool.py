"""Rubin's rules: against their formulas written out, mitml and mice of R, and laws."""

import json
import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mfx

EXTRA = Path(__file__).parents[1] / "reference_extra"
M = 6


@cache
def reference():
    return json.loads((EXTRA / "inference" / "imputation.json").read_text(encoding="utf-8"))


@cache
def frames():
    data = pd.read_csv(EXTRA / "data" / "imputed.csv")
    return tuple(data.assign(z=data[f"z{i}"]) for i in range(1, M + 1))


@cache
def linear():
    return tuple(mfx.lmer("y ~ x + f + z + (z | school)", data) for data in frames())


@cache
def counts(formula="count ~ x + z + (1 | school)", **options):
    return tuple(mfx.glmer(formula, data, **({"family": "poisson"} | options)) for data in frames())


# ------------------------------------------------------------------ the formulas, a number at a time
def rubin(estimates, errors, complete):
    """Rubin (1987), Barnard and Rubin (1999), for one number."""
    m = len(estimates)
    mean = sum(estimates) / m
    within = sum(se**2 for se in errors) / m
    between = sum((b - mean) ** 2 for b in estimates) / (m - 1)
    total = within + (1 + 1 / m) * between
    share = (1 + 1 / m) * between / total
    old = (m - 1) / share**2
    known = np.inf if np.isinf(complete).all() else m / sum(1 / nu for nu in complete)
    df = old
    if np.isfinite(known):
        observed = (known + 1) / (known + 3) * known * (1 - share)
        df = old * observed / (old + observed)
    r = (1 + 1 / m) * between / within
    return mean, total**0.5, df, r, (r + 2 / (df + 3)) / (r + 1)


@pytest.mark.parametrize("fits", [linear, counts])
def test_each_coefficient_is_pooled_by_the_formulas(fits):
    fits = fits()
    table = mfx.pool(fits).to_frame()
    for name in fits[0].params.index:
        expected = rubin([f.params[name] for f in fits], [f.bse[name] for f in fits], [f.df[name] for f in fits])
        assert table.loc[name, ["estimate", "se", "df", "riv", "fmi"]].tolist() == pytest.approx(expected, rel=1e-10)
        t = stats.t(table.loc[name, "df"])
        assert table.loc[name, "pvalue"] == pytest.approx(2 * t.sf(abs(expected[0] / expected[1])), rel=1e-8)
        reach = t.ppf(0.975) * expected[1]
        limits = [expected[0] - reach, expected[0] + reach]
        assert table.loc[name, ["lower", "upper"]].tolist() == pytest.approx(limits, rel=1e-8)


def test_a_combination_is_pooled_as_a_coefficient_would_be():
    """Whatever the coding: with another reference level the difference is a coefficient."""
    pooled = mfx.pool(linear())
    again = mfx.pool(
        [
            mfx.lmer("y ~ x + f + z + (z | school)", data.assign(f=pd.Categorical(data["f"], ["b", "a", "c"])))
            for data in frames()
        ]
    )
    one, two = pooled.t_test("f[T.c] = f[T.b]").to_frame(), again.to_frame()
    assert one.iloc[0][["estimate", "se", "df"]].tolist() == pytest.approx(
        two.loc["f[T.c]", ["estimate", "se", "df"]].tolist(), rel=1e-4
    )
    first, second = (p.wald_test_terms().loc["f"] for p in (pooled, again))
    assert first.tolist() == pytest.approx(second.tolist(), rel=1e-4)


# ------------------------------------------------------------------ R
COLUMNS = ["estimate", "se", "df", "riv", "fmi"]


@pytest.mark.parametrize("ddf", ["z", "residual"])
def test_linear_models_as_mitml_pools_them(ddf):
    expected = reference()["linear"][ddf]
    pooled = mfx.pool(linear(), ddf=ddf)
    assert pooled.to_frame()[COLUMNS].to_numpy() == pytest.approx(np.array(expected["estimates"]), rel=2e-4)
    matrix, extra = pooled.varcorr.covariances["school"], expected["extra"]
    assert matrix.loc["Intercept", "Intercept"] == pytest.approx(extra["Intercept~~Intercept|school"], rel=1e-4)
    assert matrix.loc["z", "z"] == pytest.approx(extra["z~~z|school"], rel=1e-4)
    assert matrix.loc["z", "Intercept"] == pytest.approx(extra["Intercept~~z|school"], rel=1e-4)
    assert pooled.varcorr.residual == pytest.approx(extra["Residual~~Residual"], rel=1e-5)


def test_linear_models_as_mice_pools_them():
    expected = pd.DataFrame(reference()["linear"]["mice"])
    found = mfx.pool(linear(), ddf="residual").to_frame()[["estimate", "se", "df"]]
    assert found.to_numpy() == pytest.approx(expected[["estimate", "std.error", "df"]].to_numpy(), rel=2e-4)


@pytest.mark.parametrize(
    ("case", "ddf", "constraints"),
    [
        ("joint_z", "z", "f[T.b] = f[T.c] = 0"),
        ("joint_residual", "residual", "f[T.b] = 0, f[T.c] = 0"),
        ("joint_all", "residual", "x = 0, f[T.b] = f[T.c], z = 0"),
    ],
)
def test_joint_tests_as_mitml_has_them(case, ddf, constraints):
    expected = reference()["linear"][case]
    test = mfx.pool(linear(), ddf=ddf).wald_test(constraints)
    found = [test.fvalue, test.df_num, test.df_denom]
    assert found == pytest.approx([expected["F.value"], expected["df1"], expected["df2"]], rel=2e-4)


def test_generalised_models_as_mitml_pools_them():
    expected, pooled = reference()["counts"], mfx.pool(counts())
    found = pooled.to_frame()[COLUMNS].to_numpy()
    assert found == pytest.approx(np.array(expected["z"]["estimates"]), rel=2e-4)
    test, joint = pooled.wald_test("x = z = 0"), expected["joint_z"]
    assert [test.fvalue, test.df_denom] == pytest.approx([joint["F.value"], joint["df2"]], rel=2e-4)


# ------------------------------------------------------------------ the joint test
def reiter(r, k, m, complete):
    """Reiter (2007), equation by equation, with fractions of his letters."""
    t = k * (m - 1)
    a, nu = r * t / (t - 2), complete * (complete + 1) / (complete + 3)
    c0, c1, c2 = 1 / (t - 4), nu - 2 * (1 + a), nu - 4 * (1 + a)
    z = 1 / c2 + c0 * a**2 * c1 / ((1 + a) ** 2 * c2)
    z += c0 * (8 * a**2 * c1 / ((1 + a) * c2**2) + 4 * a**2 / ((1 + a) * c2))
    z += c0 * (4 * a**2 / (c2 * c1) + 16 * a**2 * c1 / c2**3) + c0 * 8 * a**2 / c2**2
    return 4 + 1 / z


def test_the_joint_test_is_written_out_by_hand():
    fits, pooled = linear(), mfx.pool(linear())
    L = np.array([[0.0, 0, 1, 0, 0], [0, 0, 0, 1, 0]])
    values = np.array([L @ fit.params.to_numpy() for fit in fits])
    within = np.mean([L @ fit.cov_params().to_numpy() @ L.T for fit in fits], axis=0)
    r = (1 + 1 / M) * np.trace(np.cov(values.T) @ np.linalg.inv(within)) / 2
    mean = values.mean(axis=0)
    complete = stats.hmean([fit.f_test(L).df_denom for fit in fits])
    test = pooled.wald_test(L)
    assert test.fvalue == pytest.approx(mean @ np.linalg.inv(within) @ mean / (2 * (1 + r)), rel=1e-10)
    assert test.df_denom == pytest.approx(reiter(r, 2, M, complete), rel=1e-10)
    assert test.pvalue == pytest.approx(stats.f.sf(test.fvalue, 2, test.df_denom), rel=1e-8)


@pytest.mark.parametrize("ddf", [None, "z"])
def test_one_row_together_is_the_row_alone(ddf):
    pooled = mfx.pool(linear(), ddf=ddf)
    alone, together = pooled.t_test("z = 0.3"), pooled.wald_test("z = 0.3")
    assert together.fvalue == pytest.approx(alone.statistic[0] ** 2, rel=1e-10)
    assert together.df_denom == pytest.approx(alone.df_denom[0], rel=1e-10)
    assert together.pvalue == pytest.approx(alone.pvalue[0], rel=1e-8)


@pytest.mark.parametrize("ddf", [None, "z"])
@pytest.mark.parametrize("m", [2, 3, 6])
def test_a_joint_test_does_not_depend_on_how_it_is_written(ddf, m):
    pooled = mfx.pool(linear()[:m], ddf=ddf)
    one = pooled.wald_test("f[T.b] = 0.1, f[T.c] = 0.2")
    for text in ("f[T.c] = 0.2, f[T.b] = 0.1", "f[T.b] + f[T.c] = 0.3, f[T.c] - f[T.b] = 0.1, 2 * f[T.b] = 0.2"):
        other = pooled.wald_test(text)
        assert [other.fvalue, other.df_num, other.df_denom] == pytest.approx([one.fvalue, 2, one.df_denom], rel=1e-8)


def test_degrees_of_freedom_never_exceed_those_of_complete_data():
    for m in (2, 3, 6):
        fits = linear()[:m]
        pooled = mfx.pool(fits)
        assert (pooled.df <= stats.hmean([fit.df for fit in fits])).all()
        for text in ("f[T.b] = f[T.c] = 0", "x = z = f[T.b] = 0"):
            test = pooled.wald_test(text)
            assert 0 < test.df_denom <= stats.hmean([fit.f_test(text).df_denom for fit in fits])


def test_few_degrees_of_freedom_and_much_missing_leave_a_valid_test():
    """Where mitml's expansion turns: with 8 degrees of freedom of complete data it says 4.6, with 12 3.2."""
    from mixedfx.inference.denominator import ByCoefficient
    from mixedfx.inference.rubin import Rubin

    rng = np.random.default_rng(1)
    values = rng.normal(size=(5, 2))
    complete = [ByCoefficient(0.5 * np.eye(2), np.full(2, nu), "") for nu in (4.0, 8.0, 12.0, 16.0, 1e3, np.inf)]
    df = [Rubin(values, (one,) * 5).joint(np.eye(2))[0] for one in complete]
    assert (np.diff(df) > 0).all()
    assert df[0] > 0


# ------------------------------------------------------------------ terms and means
@cache
def crossed(**options):
    return tuple(mfx.lmer("y ~ x + f * z + (z | school)", data, **options) for data in frames())


@cache
def coded(coding):
    """The same model in other coefficients."""
    if coding != "reordered":
        return mfx.pool(linear_in({"f": coding}, frames()[:4]))
    return mfx.pool(linear_in(None, [one.assign(f=pd.Categorical(one["f"], ["c", "a", "b"])) for one in frames()[:4]]))


def linear_in(contrasts, data):
    return [mfx.lmer("y ~ x + f * z + (z | school)", one, contrasts=contrasts) for one in data]


@pytest.mark.parametrize("ddf", ["z", "residual"])
def test_terms_as_mitml_tests_them(ddf):
    expected = reference()["crossed"]["terms"]
    table = mfx.pool(crossed(), ddf=ddf).anova()
    for term, wanted in expected.items():
        row = table.loc[term]
        assert row["F"] == pytest.approx(wanted[ddf]["F.value"], rel=1e-5)
        if row["df"] > 1:  # of one row mitml has other degrees of freedom than of its t test
            assert row["den_df"] == pytest.approx(wanted[ddf]["df2"], rel=1e-5)


def test_means_as_those_of_emmeans_are_pooled():
    means = mfx.pool(crossed()).emmeans("f", at={"z": 0.5})
    for found, column, name in ((means, "mean", "means"), (means.pairs(), "estimate", "pairs")):
        expected = pd.DataFrame(reference()["crossed"][name])
        assert found.to_frame()[column].to_numpy() == pytest.approx(expected["estimate"].to_numpy(), rel=1e-5)
        assert found.to_frame()["se"].to_numpy() == pytest.approx(expected["se"].to_numpy(), rel=1e-5)


ASKED = {
    "means": ("mean", lambda fit: mfx.emmeans(fit, "f", at={"x": 0.2, "z": -0.3})),
    "by": ("mean", lambda fit: mfx.emmeans(fit, "f", by="z", at={"x": 0.0, "z": [0, 1]})),
    "pairs": ("estimate", lambda fit: mfx.emmeans(fit, "f", at={"x": 0.2, "z": -0.3}).pairs(adjust="none")),
    "slopes": ("estimate", lambda fit: mfx.trends(fit, "z", "f")),
}


@pytest.mark.parametrize("fits", [crossed, counts])
@pytest.mark.parametrize("asked", ASKED)
def test_means_are_those_of_each_fit_put_together(asked, fits):
    fits = fits() if fits is crossed else counts("count ~ x + f + z + (1 | school)")
    name, ask = ASKED[asked]
    found, each = ask(mfx.pool(fits)).to_frame(), [ask(fit).to_frame() for fit in fits]
    for i in range(len(found)):
        own = [[table[column].iloc[i] for table in each] for column in (name, "se", "df")]
        mean, error, df, _, _ = rubin(*own)
        assert found[[name, "se", "df"]].iloc[i].tolist() == pytest.approx([mean, error, df], rel=1e-8)


@cache
def grades():
    cut = [one.assign(grade=pd.cut(one["y"], [-9, 0, 1, 2, 9], labels=False)) for one in frames()[:3]]
    return [mfx.glmer("grade ~ f + x + z + (1 | school)", one, family="ordinal") for one in cut]


@cache
def many_zeros():
    return counts("count ~ f + x + z + (1 | school)", zero_inflation="~ f")[:3]


def logarithms():
    return [mfx.lmer("log(u) ~ f * x + z + (1 | school)", one.assign(u=np.exp(one["y"]))) for one in frames()[:3]]


OUTCOMES = {
    "latent": (grades, {}),
    "probabilities": (grades, {"scale": "response"}),
    "classes": (grades, {"scale": "mean_class"}),
    "zeros": (many_zeros, {"scale": "response"}),
    "groups": (lambda: counts("count ~ x + f + z + (1 | school)")[:3], {"scale": "response", "integrate": True}),
    "logarithms of groups": (logarithms, {"scale": "response", "integrate": True}),
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_what_depends_on_more_than_the_linear_predictor_is_put_together_fit_by_fit(case):
    make, options = OUTCOMES[case]
    fits, at = make(), {"x": 0.2, "z": -0.3}
    found, each = mfx.pool(fits).emmeans("f", at=at, **options), [mfx.emmeans(f, "f", at=at, **options) for f in fits]
    compared = [means.contrast("treatment", adjust="none") for means in (found, *each)]
    for one, *own in ((found, *each), compared):
        triples = np.array([[t.functions.estimates, t.functions.se, t.df] for t in own])
        expected = [rubin(*triples[:, :, j].T)[:3] for j in range(triples.shape[2])]
        numbers = np.column_stack([one.functions.estimates, one.functions.se, one.df])
        assert numbers == pytest.approx(np.array(expected), rel=1e-8)
    again = mfx.pool([fits[0], fits[0]]).emmeans("f", at=at, **options).contrast("treatment").test(joint=True)
    own = each[0].contrast("treatment").test(joint=True)
    statistic = "F" if "F" in own else "chi2"
    assert again[statistic].tolist() == pytest.approx(own[statistic].tolist(), rel=1e-6)
    assert found.contrast("treatment").test(joint=True)["df"].tolist() == own["df"].tolist()


def test_probabilities_that_follow_from_the_others_do_not_count():
    fit = grades()[0]
    pooled, own = (mfx.emmeans(one, "f", scale="response") for one in (mfx.pool([fit, fit]), fit))
    for by in ("f", "grade"):
        pd.testing.assert_frame_equal(pooled.joint_tests(by).to_frame(), own.joint_tests(by).to_frame(), rtol=1e-6)


def test_numbers_are_held_at_their_means_over_all_imputed_data_sets():
    pooled = mfx.pool(crossed())
    at = {name: np.mean([data[name].mean() for data in frames()]) for name in ("x", "z")}
    pd.testing.assert_frame_equal(pooled.emmeans("f").to_frame(), pooled.emmeans("f", at=at).to_frame(), rtol=1e-12)


def test_shares_are_those_of_all_imputed_data_sets():
    data = [frame.assign(high=np.where(frame["z"] > 0.4, "yes", "no")) for frame in frames()]
    pooled = mfx.pool([mfx.lmer("y ~ f + high + (1 | school)", one) for one in data])
    share = np.mean([np.mean(one["high"] == "yes") for one in data])
    cells = pooled.emmeans(["f", "high"]).to_frame().set_index(["f", "high"])["mean"].unstack()
    expected = (1 - share) * cells["no"] + share * cells["yes"]
    found = pooled.emmeans("f", weights="proportional").to_frame()["mean"]
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-12)


def test_a_term_of_one_coefficient_is_tested_as_the_coefficient():
    pooled = mfx.pool(linear())
    for name in ("x", "z"):
        row = pooled.anova().loc[name]
        assert row["F"] == pytest.approx(pooled.tvalues[name] ** 2, rel=1e-10)
        assert row["den_df"] == pytest.approx(pooled.df[name], rel=1e-10)
        assert row["PR(>F)"] == pytest.approx(pooled.pvalues[name], rel=1e-8)


@pytest.mark.parametrize("coding", ["sum", "helmert", "reordered"])
def test_neither_coding_nor_order_of_levels_changes_terms_and_means(coding):
    first, other = mfx.pool(crossed()[:4]), coded(coding)
    for kind in (1, 2, 3):
        pd.testing.assert_frame_equal(other.anova(type=kind).to_frame(), first.anova(type=kind).to_frame(), rtol=1e-4)
    means = [one.emmeans("f").to_frame().set_index("f")[["mean", "se", "df"]] for one in (first, other)]
    pd.testing.assert_frame_equal(means[1].loc[list("abc")], means[0].loc[list("abc")], rtol=1e-4)


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_the_order_of_the_fits_does_not_change_terms_and_means(kind):
    one, other = mfx.pool(crossed()), mfx.pool(crossed()[::-1])
    pd.testing.assert_frame_equal(other.anova(type=kind).to_frame(), one.anova(type=kind).to_frame(), rtol=1e-8)
    pd.testing.assert_frame_equal(other.emmeans("f").to_frame(), one.emmeans("f").to_frame(), rtol=1e-8)


@pytest.mark.parametrize("kind", [1, 2, 3])
@pytest.mark.parametrize("ddf", [None, "kenward-roger", "residual", "z"])
def test_terms_of_data_sets_that_do_not_differ_are_the_fits_own(ddf, kind):
    fit = crossed()[0]
    pooled, own = mfx.pool([fit, fit], ddf=ddf).anova(type=kind), mfx.anova(fit, type=kind, ddf=ddf)
    f = own["chi2"] / own["df"] if ddf == "z" else own["F"]
    assert pooled["F"].tolist() == pytest.approx(f.tolist(), rel=1e-8)
    nu = own["den_df"].to_numpy() if ddf != "z" else np.full(4, np.inf)
    expected = nu if ddf == "z" else (nu + 1) / (nu + 3) * nu
    assert pooled["den_df"].to_numpy() == pytest.approx(expected, rel=1e-8)


def test_terms_and_means_of_identical_generalised_fits_are_their_own():
    fit = counts("count ~ x + f * z + (1 | school)")[0]
    pooled = mfx.pool([fit, fit, fit])
    for kind in (1, 2, 3):
        own, found = mfx.anova(fit, type=kind), pooled.anova(type=kind)
        assert found["F"].to_numpy() == pytest.approx((own["chi2"] / own["df"]).to_numpy(), rel=1e-8)
        assert found["PR(>F)"].to_numpy() == pytest.approx(own["PR(>chi2)"].to_numpy(), rel=1e-6)
    own, found = (mfx.emmeans(one, "f", scale="response").pairs().to_frame() for one in (fit, pooled))
    pd.testing.assert_frame_equal(found.rename(columns={"t": "z"}), own, rtol=1e-8)


def test_functions_of_fits_take_pooled_ones_too():
    pooled = mfx.pool(crossed())
    pd.testing.assert_frame_equal(mfx.anova(pooled).to_frame(), pooled.anova().to_frame())
    joint, terms = mfx.joint_tests(pooled), pooled.anova()
    assert joint.loc["f:z", "F"] == pytest.approx(terms.loc["f:z", "F"], rel=1e-10)
    assert joint.loc["f:z", "den_df"] == pytest.approx(terms.loc["f:z", "den_df"], rel=1e-10)
    ratio = mfx.hypotheses(pooled, "f[T.b] = f[T.c]").iloc[0]
    single = pooled.t_test("f[T.b] = f[T.c]").to_frame().iloc[0]
    assert ratio[["std_error", "df"]].tolist() == pytest.approx(single[["se", "df"]].tolist(), rel=1e-10)
    assert "\\begin{table}" in pooled.anova().summary().as_latex()
    copied = pickle.loads(pickle.dumps(pooled))
    pd.testing.assert_frame_equal(copied.emmeans("f").to_frame(), pooled.emmeans("f").to_frame())


def test_an_empty_cell_is_no_mean():
    data = [one[(one["f"] != "c") | (one["x"] <= 0)] for one in frames()]
    data = [one.assign(h=np.where(one["x"] > 0, "high", "low")) for one in data]
    with pytest.warns(mfx.RankDeficientWarning):
        fits = [mfx.lmer("y ~ f * h + z + (1 | school)", one) for one in data]
    pooled = mfx.pool(fits)
    means = pooled.emmeans(["f", "h"], at={"z": 0.0}).to_frame()
    missing = (means["f"] == "c") & (means["h"] == "high")
    assert (means["mean"].isna() == missing).all()
    one = mfx.pool([fits[0], fits[0]]).anova()
    assert one["F"].tolist() == pytest.approx(mfx.anova(fits[0])["F"].tolist(), rel=1e-8)
    assert pooled.anova().loc["f:h", "df"] == 1


def test_the_tidy_table_has_all_that_is_pooled():
    pooled = mfx.pool(counts(zero_inflation="~ z")[:2])
    table, own = mfx.tidy(pooled), pooled.to_frame()
    assert list(table.columns) == list(mfx.tidy(pooled.fits[0]).columns)
    names = mfx.tidy(pooled.fits[0])[["effect", "component", "group", "term"]]
    pd.testing.assert_frame_equal(table[["effect", "component", "group", "term"]], names)
    fixed = table[table["effect"] == "fixed"]
    pairs = [("estimate", "estimate"), ("std_error", "se"), ("df", "df"), ("p_value", "pvalue"), ("conf_low", "lower")]
    for column, name in pairs:
        assert fixed[column].tolist() == pytest.approx(own[name].tolist(), rel=1e-12, nan_ok=True)


# ------------------------------------------------------------------ robust fits
def test_robust_fits_are_pooled_with_their_errors():
    robust = [fit.robust() for fit in crossed()]
    pooled = mfx.pool(robust)
    for name in pooled.params.index:
        own = [[getattr(one, what)[name] for one in robust] for what in ("params", "bse", "df")]
        mean, error, df, _, _ = rubin(*own)
        found = pooled.to_frame().loc[name, ["estimate", "se", "df"]]
        assert found.tolist() == pytest.approx([mean, error, df], rel=1e-10)
    assert "CR2 standard errors by 24 clusters" in str(pooled)
    same, own = mfx.pool([robust[0], robust[0]]), robust[0].anova()
    assert same.anova()["F"].tolist() == pytest.approx(own["F"].tolist(), rel=1e-8)
    means = [one.emmeans("f", at={"x": 0.0, "z": 0.0}).to_frame()["se"].tolist() for one in (same, robust[0])]
    assert means[0] == pytest.approx(means[1], rel=1e-10)


# ------------------------------------------------------------------ fits that are not alike
LEARNT = ["scale(z)", "poly(z, 2)", "ns(z, 3)", "cut(z, 2, labels=['low', 'high'])", "s(z)"]


@pytest.mark.parametrize("term", LEARNT)
def test_columns_that_were_learnt_from_what_was_imputed_are_refused(term):
    fits = [mfx.lmer(f"y ~ {term} + (1 | school)", data) for data in frames()[:2]]
    with pytest.raises(mfx.SpecificationError, match=r"learnt from the data.*fit 1 and fit 2") as error:
        mfx.pool(fits)
    assert term.split("(")[0] in str(error.value)


@pytest.mark.parametrize("term", ["scale(x) + z", "wb(z, school)", "poly(x, 2) + z", "z + I(z^2)"])
def test_columns_that_mean_the_same_are_pooled(term):
    pooled = mfx.pool([mfx.lmer(f"y ~ {term} + (1 | school)", data) for data in frames()[:2]])
    assert np.isfinite(pooled.bse).all()


def test_learnt_numbers_of_random_terms_and_further_predictors_count():
    with pytest.raises(mfx.SpecificationError, match="scale"):
        mfx.pool([mfx.lmer("y ~ x + (0 + scale(z) | school)", data) for data in frames()[:2]])
    with pytest.raises(mfx.SpecificationError, match="scale"):
        mfx.pool(counts(zero_inflation="~ scale(z)")[:2])


# ------------------------------------------------------------------ laws
def test_neither_the_order_of_the_fits_nor_their_container_matters():
    one = mfx.pool(linear()).to_frame()
    for fits in (list(linear())[::-1], dict(enumerate(linear())), (fit for fit in linear())):
        pd.testing.assert_frame_equal(mfx.pool(fits).to_frame(), one, rtol=1e-10)


@pytest.mark.parametrize("ddf", [None, "kenward-roger", "residual", "z"])
def test_data_sets_that_do_not_differ_give_the_fit_itself(ddf):
    """With the degrees of freedom of Barnard and Rubin, which are a little fewer than those of complete data."""
    fit = linear()[0]
    pooled, own = mfx.pool([fit, fit, fit], ddf=ddf), fit.t_test(np.eye(5), ddf=ddf)
    assert pooled.params.tolist() == pytest.approx(fit.params.tolist(), rel=1e-12)
    assert pooled.bse.to_numpy() == pytest.approx(own.sd, rel=1e-12)
    assert pooled.riv.tolist() == [0.0] * 5
    nu = own.df_denom
    expected = np.where(np.isinf(nu), np.inf, (nu + 1) / (nu + 3) * nu) if ddf != "z" else nu
    assert pooled.df.to_numpy() == pytest.approx(expected, rel=1e-12)
    assert pooled.varcorr.to_frame().equals(fit.varcorr.to_frame())
    assert "All fits have the same estimates" in str(pooled)
    single = fit.f_test("f[T.b] = f[T.c] = 0", ddf=ddf)
    assert pooled.wald_test("f[T.b] = f[T.c] = 0").fvalue == pytest.approx(single.fvalue, rel=1e-10)


def test_units_of_the_data_are_those_of_the_results():
    scaled = [mfx.lmer("y ~ x + f + z + (z | school)", d.assign(y=1e3 * d["y"], z=d["z"] / 50)) for d in frames()]
    one, two = mfx.pool(linear()), mfx.pool(scaled)
    factor = np.array([1e3, 1e3, 1e3, 1e3, 5e4])
    assert two.params.to_numpy() == pytest.approx(factor * one.params.to_numpy(), rel=1e-5)
    assert two.bse.to_numpy() == pytest.approx(factor * one.bse.to_numpy(), rel=1e-5)
    invariant = ["df", "t", "pvalue", "fmi", "riv"]
    assert two.to_frame()[invariant].to_numpy() == pytest.approx(one.to_frame()[invariant].to_numpy(), rel=1e-3)


def test_the_total_covariance_is_within_and_between():
    pooled = mfx.pool(linear())
    total = pooled.cov_within + (1 + 1 / M) * pooled.cov_between
    pd.testing.assert_frame_equal(pooled.cov_params(), total)
    assert np.sqrt(np.diag(total)) == pytest.approx(pooled.bse.to_numpy(), rel=1e-12)


# ------------------------------------------------------------------ further components
def test_zero_inflation_and_dispersion_are_pooled_like_fixed_effects():
    fits = counts(family="nbinom2", zero_inflation="~ z")
    table = mfx.pool(fits).to_frame()
    for name in ("Intercept", "z"):
        own = [fit.component_params["zero_inflation"].loc[name] for fit in fits]
        expected = rubin([row["coef"] for row in own], [row["bse"] for row in own], [np.inf] * M)
        found = table.loc[f"zero_inflation: {name}", ["estimate", "se", "df", "riv", "fmi"]]
        assert found.tolist() == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_a_familys_number_is_pooled_where_its_interval_is_made():
    fits = counts(family="nbinom2")
    row = mfx.pool(fits).to_frame().loc["family: dispersion"]
    values = [fit.family_params["dispersion"] for fit in fits]
    errors = [np.diff(np.log(fit.conf_int(which="family").iloc[0]))[0] / 2 / stats.norm.ppf(0.975) for fit in fits]
    mean, se, df, riv, fmi = rubin(np.log(values), errors, [np.inf] * M)
    reach = stats.t.ppf(0.975, df) * se
    expected = [np.exp(mean), np.exp(mean) * se, df, np.exp(mean - reach), np.exp(mean + reach), fmi, riv]
    found = row[["estimate", "se", "df", "lower", "upper", "fmi", "riv"]]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)
    assert np.isnan(row["t"])


def test_thresholds_and_residual_structures_are_there():
    grades = [d.assign(grade=pd.cut(d["y"], [-9, 0, 1, 2, 9], labels=False)) for d in frames()[:3]]
    ordinal = [mfx.glmer("grade ~ x + z + (1 | school)", d, family="ordinal") for d in grades]
    table = mfx.pool(ordinal).to_frame()
    thresholds = [name for name in table.index if name.startswith("family: ")]
    assert len(thresholds) == 3
    assert table.loc[thresholds, "estimate"].is_monotonic_increasing
    assert (table.loc[thresholds, "lower"] < table.loc[thresholds, "estimate"]).all()
    uneven = [mfx.lmer("y ~ x + z + (1 | school)", d, residual=mfx.VarIdent("f")) for d in frames()[:3]]
    pooled = mfx.pool(uneven)
    own = pooled.to_frame().drop(pooled.params.index)
    assert list(own.index) == list(uneven[0].residual_params.index)
    assert (own["lower"] > 0).all()


# ------------------------------------------------------------------ tables
def test_the_tables_say_what_was_pooled():
    pooled = mfx.pool(linear())
    text = " ".join(str(pooled).split())
    for words in ("6 imputations", "Barnard and Rubin", "Random effects", "school", "fmi", "y ~ 1 + x + f + z"):
        assert words in text
    assert "\\begin{table}" in pooled.summary().as_latex()
    assert "<table" in pooled._repr_html_()
    assert pooled.summary().as_csv().count("school") >= 1


def test_models_without_fixed_or_random_effects():
    empty = mfx.pool([mfx.lmer("y ~ 0 + (1 | school)", d) for d in frames()[:2]])
    assert len(empty.params) == 0
    assert "Random effects" in str(empty)
    plain = mfx.pool([mfx.lmer("y ~ z", d, residual=mfx.VarIdent("f")) for d in frames()[:2]])
    assert plain.to_frame().shape[0] == 4


def test_a_separated_coefficient_has_no_pooled_error():
    def separated(data):
        return mfx.glmer("hit ~ cut + (1 | school)", data, family="binomial")

    data = [d.assign(hit=(d["y"] > 1).astype(int), cut=np.where(d["y"] > 1, "high", "low")) for d in frames()[:2]]
    with pytest.warns(mfx.MixedfxWarning):
        fits = [separated(d) for d in data]
    with pytest.warns(mfx.ConvergenceWarning):
        pooled = mfx.pool(fits)
    assert "did not converge" in str(pooled)


# ------------------------------------------------------------------ coverage
def missing_at_random(rng, m=30, size=6):
    """Groups of pupils; z is missing more often where y is high."""
    g = np.repeat(np.arange(m), size)
    x = rng.normal(size=g.size)
    z = 0.5 * x + rng.normal(size=g.size)
    y = 1.0 + 0.5 * x + 0.7 * z + rng.normal(0, 0.6, m)[g] + rng.normal(size=g.size)
    gone = rng.uniform(size=g.size) < 1 / (1 + np.exp(1.2 - 0.8 * y))
    return pd.DataFrame({"g": g.astype(str), "x": x, "z": np.where(gone, np.nan, z), "y": y})


def imputed(data, rng):
    """A proper draw of z given x, y and the group's mean of y, by the normal regression."""
    gone = data["z"].isna().to_numpy()
    X = np.column_stack([np.ones(len(data)), data["x"], data["y"], data.groupby("g")["y"].transform("mean")])
    X = np.column_stack([X, data.groupby("g")["x"].transform("mean")])
    own, z = X[~gone], data["z"].to_numpy()[~gone]
    inverse = np.linalg.inv(own.T @ own)
    b = inverse @ own.T @ z
    df = len(z) - X.shape[1]
    s2 = np.sum((z - own @ b) ** 2) / rng.chisquare(df)
    beta = rng.multivariate_normal(b, s2 * inverse)
    filled = data["z"].to_numpy().copy()
    filled[gone] = X[gone] @ beta + rng.normal(0, np.sqrt(s2), gone.sum())
    return data.assign(z=filled)


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    truth, count, rng = pd.Series({"Intercept": 1.0, "x": 0.5, "z": 0.7}), 300, np.random.default_rng(7)
    held = np.zeros(3)
    for _ in range(count):
        data = missing_at_random(rng)
        pooled = mfx.pool([mfx.lmer("y ~ x + z + (1 | g)", imputed(data, rng)) for _ in range(20)])
        limits = pooled.conf_int().loc[truth.index]
        held += ((limits["lower"] <= truth) & (truth <= limits["upper"])).to_numpy()
    error = np.sqrt(0.95 * 0.05 / count)
    assert (abs(held / count - 0.95) < 3.5 * error).all(), held / count
