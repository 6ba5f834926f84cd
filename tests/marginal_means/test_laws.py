"""Laws of means, comparisons and slopes: they agree with predict, and do not depend on codings, labels or order."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

import mixedfx as mfx
from mixedfx.families.links import image, link_for

FAMILIES = {
    "poisson": {},
    "nbinom2": {},
    "truncated_poisson": {},
    "truncated_nbinom2": {},
    "zero_inflated_poisson": {"zero_inflation": "~ t"},
    "hurdle_poisson": {"zero_inflation": "~ x"},
    "gamma": {"link": "log"},
    "binomial": {"link": "probit"},
    "beta": {},
    "ordinal": {},
}
ZEROS = ("zero_inflated_poisson", "hurdle_poisson")


def rows(family, n=160, seed=4):
    rng = np.random.default_rng(seed)
    d = pd.DataFrame({"g": rng.integers(0, 16, n).astype(str), "x": rng.normal(size=n), "e": rng.uniform(0.5, 2.0, n)})
    d["t"] = rng.choice(["c", "d", "f"], n)
    eta = 0.4 + 0.3 * d["x"] + 0.5 * (d["t"] == "d") + 0.5 * rng.normal(size=16)[d["g"].astype(int)]
    counts = rng.poisson(np.exp(eta) * d["e"])
    made = {
        "gamma": rng.gamma(3.0, np.exp(eta) / 3.0),
        "binomial": (rng.uniform(size=n) < stats.norm.cdf(eta - 0.5)).astype(int),
        "beta": np.clip(rng.beta(4.0 * stats.logistic.cdf(eta), 4.0 * stats.logistic.cdf(-eta)), 1e-4, 1 - 1e-4),
        "ordinal": pd.Categorical(np.array(["lo", "mid", "hi"])[np.digitize(eta + rng.logistic(size=n), [0.0, 1.5])]),
    }
    d["y"] = made.get(
        family, np.where(counts > 0, counts * (rng.uniform(size=n) < 0.8), 0) if family in ZEROS else counts
    )
    if family == "ordinal":
        d["y"] = d["y"].cat.reorder_categories(["lo", "mid", "hi"], ordered=True)
    return d[d["y"] > 0].reset_index(drop=True) if family.startswith("truncated") else d


@pytest.fixture(scope="module", params=list(FAMILIES))
def fitted(request):
    d = rows(request.param)
    offset = np.log(d["e"].to_numpy()) if request.param not in ("ordinal", "beta", "binomial") else None
    fit = mfx.glmer("y ~ x + t + (1 | g)", d, family=request.param, offset=offset, **FAMILIES[request.param])
    return fit, d, offset


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
@pytest.mark.parametrize("integrate", [False, True])
def test_comparisons_slopes_and_means_agree_with_predict(fitted, integrate):
    fit, d, offset = fitted
    scale = "response" if fit.solution.problem.family.has_intercept else "mean_class"

    def predicted(frame, own=offset):
        return fit.predict(frame, random=False, integrate=integrate, offset=own).to_numpy()

    table = mfx.comparisons(fit, {"t": "pairwise", "x": 0.5}, scale=scale, integrate=integrate).set_index("contrast")
    for contrast in ("d - c", "f - d"):
        high, low = contrast.split(" - ")
        change = predicted(d.assign(t=high)) - predicted(d.assign(t=low))
        assert table.loc[contrast, "estimate"] == pytest.approx(change.mean(), rel=1e-7, abs=1e-12)
    change = predicted(d.assign(x=d["x"] + 0.5)) - predicted(d)
    assert table.loc["+0.5", "estimate"] == pytest.approx(change.mean(), rel=1e-7)
    slope = mfx.marginal_effects(fit, "x", scale=scale, integrate=integrate)["estimate"].iloc[0]
    by_hand = (predicted(d.assign(x=d["x"] + 1e-5)) - predicted(d.assign(x=d["x"] - 1e-5))).mean() / 2e-5
    assert slope == pytest.approx(by_hand, rel=1e-5)
    grid = pd.DataFrame({"x": [d["x"].mean()] * 3, "t": ["c", "d", "f"]})
    own = None if offset is None else np.full(3, offset.mean())
    means = mfx.emmeans(fit, "t", scale=scale, integrate=integrate)
    np.testing.assert_allclose(means.estimates, predicted(grid, own), rtol=1e-7)


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_errors_of_population_means_are_those_of_predictions(fitted):
    fit, d, offset = fitted
    scale = "response" if fit.solution.problem.family.has_intercept else "mean_class"
    grid = pd.DataFrame({"x": [d["x"].mean()] * 3, "t": ["c", "d", "f"]})
    own = None if offset is None else np.full(3, offset.mean())
    expected = fit.get_prediction(grid, random=False, integrate=True, offset=own).summary_frame()["mean_se"]
    np.testing.assert_allclose(mfx.emmeans(fit, "t", scale=scale, integrate=True).se, expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
@pytest.mark.parametrize("integrate", [False, True])
def test_one_mean_has_one_interval(fitted, integrate):
    fit, d, offset = fitted
    family = fit.solution.problem.family
    scale = "response" if family.has_intercept else "mean_class"
    grid = pd.DataFrame({"x": [d["x"].mean()] * 3, "t": ["c", "d", "f"]})
    own = None if offset is None else np.full(3, offset.mean())
    predicted = fit.get_prediction(grid, random=False, integrate=integrate, offset=own).conf_int(0.01)
    means = mfx.emmeans(fit, "t", scale=scale, integrate=integrate).conf_int(0.01)
    np.testing.assert_allclose(means[["lower", "upper"]], predicted, rtol=1e-6)
    lowest, highest = family.mean_bounds
    assert (predicted["lower"] > lowest).all()
    assert (predicted["upper"] < highest).all()


@pytest.mark.parametrize(
    ("family", "link", "ends"),
    [
        ("poisson", "sqrt", lambda low, high: (0.0 if low < 0 < high else min(low**2, high**2), max(low**2, high**2))),
        ("gamma", "inverse", lambda low, high: (1.0 / high, 1.0 / low if low > 0 else np.inf)),
        ("inverse_gaussian", "inverse_squared", lambda low, high: (high**-0.5, low**-0.5 if low > 0 else np.inf)),
    ],
)
def test_an_interval_that_goes_beyond_the_edge_of_a_link_ends_there(family, link, ends):
    """The square of a negative root is no lower end, and the reciprocal of a negative rate no upper one."""
    rng = np.random.default_rng(5)
    d = pd.DataFrame({"t": ["c"] * 8 + ["d"] * 40, "g": rng.integers(0, 6, 48)})
    size = np.where(d["t"] == "c", 0.1, 4.0) if family == "poisson" else np.where(d["t"] == "c", 20.0, 1.0)
    d["y"] = rng.poisson(size) if family == "poisson" else rng.gamma(0.3, size) + 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        fit = mfx.glmer("y ~ t + (1 | g)", d, family=family, link=link)
    on_link = fit.get_prediction({"t": ["c", "d"]}, random=False).conf_int(which="linear")
    expected = [ends(low, high) for low, high in on_link.to_numpy()]
    assert (on_link["lower"] < 0).any()
    np.testing.assert_allclose(fit.get_prediction({"t": ["c", "d"]}, random=False).conf_int(), expected)
    means = mfx.emmeans(fit, "t", scale="response")
    np.testing.assert_allclose(means.conf_int()[["lower", "upper"]], expected, rtol=1e-6)
    assert (means.conf_int()["lower"] <= means.estimates).all()
    assert (means.conf_int()["upper"] >= means.estimates).all()


@pytest.mark.parametrize("domain", [(-np.inf, np.inf), (0.0, np.inf)])
@pytest.mark.parametrize("name", ["logit", "log", "cauchit", "inverse", "sqrt", "identity"])
def test_no_mean_between_two_linear_predictors_is_left_out(name, domain):
    link, rng = link_for(name), np.random.default_rng(1)
    low, high = np.sort(rng.normal(size=(2, 50)), axis=0)
    lower, upper = image(link, domain, low, high)
    for share in np.linspace(0.0, 1.0, 101)[1:-1]:
        inside = np.clip(low + share * (high - low), *domain)
        with np.errstate(divide="ignore"):
            mean = link.mean(inside)
        assert (mean >= lower - 1e-12).all()
        assert (mean <= upper + 1e-12).all()


def test_two_ordered_categories_have_the_interval_of_a_binary_response():
    d = rows("binomial")
    ordered = d.assign(y=pd.Categorical(d["y"], ordered=True))
    binary = mfx.glmer("y ~ x + t + (1 | g)", d, family="binomial").emmeans("t", scale="response")
    two = mfx.glmer("y ~ x + t + (1 | g)", ordered, family="ordinal").emmeans("t", scale="response")
    one = two.to_frame().query("y == 1")
    for name, own in {"probability": "mean", "se": "se", "lower": "lower", "upper": "upper"}.items():
        np.testing.assert_allclose(one[name], binary.to_frame()[own], rtol=1e-5)


def test_new_rows_need_their_offset_where_it_was_an_array():
    d = rows("poisson")
    array = mfx.glmer("y ~ t + (1 | g)", d, family="poisson", offset=np.log(d["e"].to_numpy()))
    column = mfx.glmer("y ~ t + (1 | g)", d.assign(le=np.log(d["e"])), family="poisson", offset="le")
    for table in (mfx.comparisons, mfx.marginal_effects):
        with pytest.raises(mfx.SpecificationError, match="array as offset"):
            table(array, data=d.head(20))
        given = table(array, data=d.head(20), offset=np.log(d["e"].to_numpy()[:20]))["estimate"]
        named = table(column, data=d.head(20).assign(le=np.log(d["e"])))["estimate"]
        np.testing.assert_allclose(given, named, rtol=1e-6)
        with pytest.raises(mfx.SpecificationError, match="of the rows of data="):
            table(array, offset="e")
    at_mean, per_unit = mfx.emmeans(array, "t"), mfx.emmeans(array, "t", offset=0)
    np.testing.assert_allclose(at_mean.estimates - per_unit.estimates, np.log(d["e"]).mean(), rtol=1e-9)
    assert f"Offset: {np.log(d['e']).mean():.4g}." in str(at_mean)
    assert "Offset: 0." in str(per_unit)
    with pytest.raises(TypeError, match="one number"):
        mfx.emmeans(array, "t", offset="e")


def test_weights_of_averages():
    d = rows("poisson")
    fit = mfx.glmer("y ~ x * t + (1 | g)", d, family="poisson")
    twice = pd.concat([d, d[d["t"] == "c"]])
    weighted = mfx.comparisons(fit, data=d, weights=np.where(d["t"] == "c", 2.0, 1.0))
    np.testing.assert_allclose(weighted["estimate"], mfx.comparisons(fit, data=twice)["estimate"], rtol=1e-9)
    with pytest.raises(mfx.DataError, match="negative"):
        mfx.comparisons(fit, weights=-np.ones(len(d)))
    holes = d.assign(x=d["x"].where(np.arange(len(d)) % 5 > 0))
    used = holes["x"].notna().to_numpy()
    given = [d["e"], d["e"].to_numpy(), d["e"].to_numpy()[used]]
    ours = mfx.glmer("y ~ x * t + (1 | g)", holes, family="poisson")
    for other in (ours, smf.ols("y ~ x * t", holes).fit()):
        expected = mfx.comparisons(other, data=holes[used], weights="e")["estimate"]
        for own in given:
            np.testing.assert_allclose(mfx.comparisons(other, weights=own)["estimate"], expected, rtol=1e-9)


def test_population_means_of_a_transformed_response_count_the_variances():
    d = rows("gamma")
    fit = mfx.lmer("log(y) ~ t + (1 | g)", d)
    means = mfx.emmeans(fit, "t", scale="response", integrate=True)
    variance = fit.varcorr.to_frame()["variance"].sum()
    np.testing.assert_allclose(means.estimates, np.exp(mfx.emmeans(fit, "t").estimates + variance / 2), rtol=1e-8)
    of_variances = fit.cov_varpar("variance").to_numpy().sum()
    expected = means.estimates * np.sqrt(mfx.emmeans(fit, "t").se ** 2 + of_variances / 4.0)
    np.testing.assert_allclose(means.se, expected, rtol=1e-6)


def test_latent_means_do_not_depend_on_the_coding():
    d = rows("ordinal")
    fits = [
        mfx.glmer("y ~ x + t + (1 | g)", d, family="ordinal", contrasts=contrasts)
        for contrasts in ({}, {"t": "sum"}, {"t": "helmert"})
    ]
    fits.append(mfx.glmer("y ~ x + t + (1 | g)", d.assign(t=pd.Categorical(d["t"], ["f", "d", "c"])), family="ordinal"))
    frames = [mfx.emmeans(fit, "t").to_frame().sort_values("t") for fit in fits]
    for frame in frames[1:]:
        np.testing.assert_allclose(frame[["mean", "se"]], frames[0][["mean", "se"]], rtol=1e-4)
    first = fits[0].predict(pd.DataFrame({"x": [d["x"].mean()], "t": ["c"]}), random=False, which="linear").iloc[0]
    cuts = fits[0].params_all["thresholds"]
    assert frames[0]["mean"].iloc[0] == pytest.approx(first - cuts.mean())


def test_means_of_a_nested_factor_do_not_depend_on_its_labels():
    rng = np.random.default_rng(3)
    d = pd.DataFrame({"g": rng.integers(0, 8, 100).astype(str), "A": rng.choice(list("pqr"), 100, p=[0.5, 0.3, 0.2])})
    d["B"] = np.where(rng.uniform(size=100) < np.where(d["A"] == "r", 0.2, 0.7), "1", "2")
    d["C"] = rng.choice(["u", "v"], 100)
    d["site"], d["y"] = d["A"] + d["B"], (d["B"] == "2") * 2.0 + rng.normal(size=100)
    with pytest.warns(mfx.RankDeficientWarning):
        named = mfx.lmer("y ~ A/site + C + (1 | g)", d)
    again = mfx.lmer("y ~ A/B + C + (1 | g)", d)
    for weights in ("equal", "proportional", "outer", "cells", "flat"):
        ours = mfx.emmeans(again, "A", weights=weights).to_frame()[["mean", "se"]]
        np.testing.assert_allclose(ours, mfx.emmeans(named, "A", weights=weights).to_frame()[["mean", "se"]], rtol=1e-7)
    alone = mfx.emmeans(mfx.lmer("y ~ A/B + (1 | g)", d), "A", weights="proportional")
    assert alone.labels["A"].tolist() == ["p", "q", "r"]


@pytest.mark.parametrize("column", ["lg", "z", "text", "C(z)"])
def test_a_logical_and_its_twins_are_compared_alike(column):
    d = rows("binomial").assign(lg=lambda d: d["t"] == "d")
    d["z"], d["text"] = d["lg"].astype(int), np.where(d["lg"], "yes", "no")
    fit = mfx.glmer(f"y ~ {column} + x + (1 | g)", d, family="binomial")
    name = column.strip("C()")
    values = {"lg": (False, True), "text": ("no", "yes")}.get(name, (0, 1))
    low, high = (fit.predict(d.assign(**{name: value}), random=False) for value in values)
    row = mfx.comparisons(fit, name).iloc[0]
    assert row["estimate"] == pytest.approx((high - low).mean(), rel=1e-8)
    assert row["contrast"] == f"{values[1]} - {values[0]}"
    ratio = mfx.comparisons(fit, name, comparison="ratio").iloc[0]
    assert ratio["contrast"] == f"{values[1]} / {values[0]}"
    assert ratio["estimate"] == pytest.approx(high.mean() / low.mean(), rel=1e-8)
    assert ratio["statistic"] == pytest.approx((ratio["estimate"] - 1.0) / ratio["std_error"])
    assert mfx.emmeans(fit, name).labels[name].tolist() == list(values)
    if column == "lg":
        assert "True - False" in str(mfx.marginal_effects(fit, "lg"))
        with pytest.raises(mfx.SpecificationError, match="is a factor"):
            mfx.trends(fit, "lg")


def test_a_ratio_without_an_effect_is_no_news():
    d = rows("poisson")
    rng = np.random.default_rng(8)
    p = [
        mfx.comparisons(
            mfx.glmer("y ~ s + (1 | g)", d.assign(s=rng.choice(["a", "b"], len(d))), family="poisson"),
            "s",
            comparison="ratio",
        )["p_value"].iloc[0]
        for _ in range(12)
    ]
    assert np.mean(np.array(p) < 0.05) < 0.5
    assert max(p) > 0.5


@pytest.fixture(scope="module")
def days():
    return mfx.emmeans(mfx.lmer("Reaction ~ C(Days) + (1 | Subject)", mfx.load_dataset("sleepstudy")), "Days")


@pytest.mark.parametrize(
    "formula", ["y ~ wb(x, g) * t + (1 | g)", "y ~ x + C(g) + t + (1 | h)", "y ~ t + wb(x, g, h) + (1 | g)"]
)
def test_numbers_that_are_labels_are_labels(formula):
    rng = np.random.default_rng(8)
    d = pd.DataFrame({"g": rng.integers(10, 15, 90), "h": rng.integers(0, 4, 90), "x": rng.normal(size=90)})
    d["t"], d["y"] = rng.choice(["c", "d"], 90), d["x"] + 0.2 * d["g"] + rng.normal(size=90)
    fits = [mfx.lmer(formula, each) for each in (d, d.assign(g=d["g"].astype(str), h=d["h"].astype(str)))]
    for ask in (
        lambda fit: mfx.emmeans(fit, "t").to_frame().iloc[:, 1:],
        lambda fit: mfx.trends(fit, "x").to_frame().iloc[:, 1:],
        lambda fit: mfx.comparisons(fit).to_frame().iloc[:, 2:],
        lambda fit: mfx.joint_tests(fit).to_frame(),
    ):
        numbers, text = map(ask, fits)
        np.testing.assert_allclose(numbers.to_numpy(float), text.to_numpy(float), rtol=1e-8)


def test_the_slope_within_groups_interacts_with_none():
    rng = np.random.default_rng(8)
    d = pd.DataFrame({"g": np.repeat(np.arange(9), 8), "x": rng.normal(size=72)})
    fit = mfx.lmer("y ~ wb(x, g) + (1 | g)", d.assign(y=d["x"] + rng.normal(size=9)[d["g"]] + rng.normal(size=72)))
    slope = mfx.trends(fit, "x")
    assert slope.to_frame()["estimate"].iloc[0] == pytest.approx(fit.params["wb(x, g)[within]"])
    assert "interacts" not in str(slope)


@pytest.mark.parametrize("adjust", ["none", "bonferroni", "sidak", "holm", "fdr", "tukey", "dunnett", "scheffe"])
def test_one_sided_tests_know_their_direction(days, adjust):
    up, down = days.contrast("treatment"), days.contrast(-np.eye(10)[1:] + np.eye(10)[0])
    for side, other in (("less", "greater"), ("greater", "less")):
        own = up.test(side=side, adjust=adjust)["pvalue"].to_numpy()
        np.testing.assert_allclose(own, down.test(side=other, adjust=adjust)["pvalue"], atol=2e-4)
    assert up.test(side="less", adjust=adjust)["pvalue"].iloc[-1] > 0.99
    assert up.test(side="greater", adjust=adjust)["pvalue"].iloc[-1] < 1e-9


def test_the_null_of_a_joint_test(days):
    data = mfx.load_dataset("sleepstudy")
    shifted = mfx.emmeans(mfx.lmer("I(Reaction - 250) ~ C(Days) + (1 | Subject)", data), "Days")
    found = days.test(250, joint=True)
    assert found["F"].iloc[0] == pytest.approx(shifted.test(joint=True)["F"].iloc[0], rel=1e-6)
    assert "all are 250" in str(found)
    for wrong in ({"side": "less"}, {"delta": 1.0}, {"adjust": "holm"}):
        with pytest.raises(mfx.SpecificationError, match="a joint test"):
            days.test(joint=True, **wrong)


def test_equivalence_is_two_one_sided_tests(days):
    pairs = days.contrast("treatment")
    table = pairs.test(2.0, delta=30.0, adjust="none")
    estimate, se, df = pairs.estimates, pairs.se, pairs.df
    low = stats.t.sf((estimate - 2.0 + 30.0) / se, df)
    high = stats.t.cdf((estimate - 2.0 - 30.0) / se, df)
    np.testing.assert_allclose(table["pvalue"], np.maximum(low, high), rtol=1e-9)
    np.testing.assert_allclose(pairs.test(2.0, delta=30.0, side="greater", adjust="none")["pvalue"], low, rtol=1e-9)
    np.testing.assert_allclose(pairs.test(2.0, delta=30.0, side="less", adjust="none")["pvalue"], high, rtol=1e-9)
    assert (pairs.test(delta=30.0)["pvalue"] >= pairs.test(delta=30.0, adjust="none")["pvalue"]).all()
    for wrong in ({"null": "a"}, {"delta": "a"}, {"null": True}):
        with pytest.raises(TypeError, match="is a number"):
            pairs.test(**wrong)
    for wrong in ({"delta": -1.0}, {"null": np.nan}):
        with pytest.raises(mfx.SpecificationError):
            pairs.test(**wrong)


def test_tables_tell_what_a_reader_must_know():
    oats = mfx.load_dataset("oats").astype({"nitro": "category"})
    fit = mfx.lmer("yield ~ Variety * nitro + (1 | Block)", oats)
    assert "Variety interacts with nitro" in str(mfx.emmeans(fit, "Variety"))
    assert "interacts" not in str(mfx.emmeans(fit, ["Variety", "nitro"]))
    growth = mfx.lmer("distance ~ age * Sex + (1 | Subject)", mfx.load_dataset("orthodont"))
    assert "age interacts with Sex" in str(mfx.trends(growth, "age"))
    long = mfx.emmeans(growth, ["age", "Sex"], at={"age": [29.7150462962963, 540.5460999264726]})
    assert "29.715 " in str(long)
    assert "540.55 " in str(long)
    assert "0462" not in str(long)
    assert "age540.55" in long.pairs().labels["contrast"].iloc[0] + long.pairs().labels["contrast"].iloc[-1]
    blocks = mfx.lmer("yield ~ Variety + nitro + Block + (1 | Block:Variety)", oats)
    rows = mfx.emmeans(blocks, "Variety", by=["Block", "nitro"]).labels
    assert rows["Block"].tolist() == sorted(rows["Block"].tolist(), key=list(dict.fromkeys(rows["Block"])).index)
    assert list(rows.columns) == ["Variety", "Block", "nitro"]
    with pytest.raises(mfx.SpecificationError, match="not all zero"):
        mfx.emmeans(fit, "Variety", weights=[0, 0, 0, 0])
    salamanders = mfx.load_dataset("salamanders")
    zeros = mfx.glmer("count ~ mined + (1 | site)", salamanders, family="zero_inflated_poisson", zero_inflation="~ spp")
    with pytest.raises(mfx.SpecificationError, match="stands in zero_inflation= only"):
        mfx.emmeans(zeros, "spp")


def test_a_model_without_predictors_has_no_effects():
    d = rows("poisson")
    for fit in (mfx.glmer("y ~ 1 + (1 | g)", d, family="poisson"), mfx.lmer("y ~ 1 + offset(e) + (1 | g)", d)):
        for function in (mfx.marginal_effects, mfx.comparisons):
            with pytest.raises(mfx.SpecificationError, match="no predictor"):
                function(fit)


@pytest.mark.parametrize("function", ["log", "log2", "log10", "log1p", "sqrt"])
def test_slopes_per_unit_of_a_transformed_predictor(function):
    d = rows("gamma")
    fit = mfx.lmer(f"y ~ {function}(e) * t + (1 | g)", d)
    found = mfx.trends(fit, f"{function}(e)", "t")
    first = fit.params[f"{function}(e)"]
    expected = [first, *(first + fit.params[f"{function}(e):t[T.{level}]"] for level in "df")]
    np.testing.assert_allclose(found.estimates, expected, rtol=1e-6)
    assert found.se[0] == pytest.approx(fit.bse[f"{function}(e)"], rel=1e-5)
    elsewhere = mfx.trends(fit, f"{function}(e)", "t", at={"e": 1.7})
    np.testing.assert_allclose(elsewhere.estimates, expected, rtol=1e-6)
    with pytest.raises(mfx.SpecificationError, match="has no value"):
        mfx.trends(mfx.lmer("y ~ e + (1 | g)", d), "log(e)", at={"e": -1.0})


def test_ratios_of_predictions_of_both_signs_are_no_numbers():
    d = rows("gamma").assign(v=lambda d: d["y"] - d["y"].mean() + 3.0 * (d["t"] == "d"))
    fit = mfx.lmer("v ~ t + (1 | g)", d)
    assert np.isnan(mfx.comparisons(fit, {"t": ("c", "d")}, comparison="lnratio")["estimate"].iloc[0])


CURVES = {  # of a positive predictor of a wide range: the column, and its derivative
    "log(x)": lambda x: 1.0 / x,
    "sqrt(x)": lambda x: 0.5 / np.sqrt(x),
    "log10(x)": lambda x: 1.0 / (x * np.log(10.0)),
    "I(1 / x)": lambda x: -1.0 / x**2,
    "I(x^2)": lambda x: 2.0 * x,
}


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("curve", CURVES)
def test_slopes_are_derivatives_at_every_row(curve, unit):
    """Rows near an end of the range, where a step of a share of it would leave the domain, included."""
    rng = np.random.default_rng(8)
    g, x = np.repeat(np.arange(20), 10), unit * np.exp(2.0 * rng.normal(size=200))
    y = np.log(x / unit) + rng.normal(size=20)[g] + rng.normal(size=200)
    data = pd.DataFrame({"x": x, "y": y, "g": g})
    fit = mfx.lmer(f"y ~ {curve} + (1 | g)", data)
    exact = fit.params.iloc[1] * CURVES[curve](x)
    close = {"rel": 1e-7, "abs": 1e-8 * np.abs(exact).max()}  # next to the intercept a small change is rounded
    assert mfx.marginal_effects(fit, "x", average=False)["estimate"].to_numpy() == pytest.approx(exact, **close)
    assert mfx.marginal_effects(fit, "x")["estimate"].iloc[0] == pytest.approx(exact.mean(), rel=1e-7)
    for place in (0, 17, 101):
        slope = mfx.trends(fit, "x", at={"x": [x[place]]}).to_frame()["estimate"].iloc[0]
        assert slope == pytest.approx(exact[place], **close)


@pytest.mark.parametrize("term", ["bs(x, df=4)", "bs(x, df=7)", "ns(x, df=3)", "cr(x, df=4)", "poly(x, 3)"])
def test_slopes_of_a_basis_are_those_of_predict_up_to_the_ends(term):
    """A spline that ends with the data has slopes in their first and last rows too."""
    rng = np.random.default_rng(9)
    g, x = np.repeat(np.arange(15), 10), rng.uniform(-2.0, 5.0, 150)
    data = pd.DataFrame({"x": x, "g": g, "y": np.sin(x) + rng.normal(size=15)[g] + 0.3 * rng.normal(size=150)})
    fit = mfx.lmer(f"y ~ {term} + (1 | g)", data)
    slopes = mfx.marginal_effects(fit, "x", average=False)["estimate"].to_numpy()
    assert mfx.marginal_effects(fit, "x")["estimate"].iloc[0] == pytest.approx(slopes.mean(), rel=1e-9)
    step = 1e-6 * np.where(x < x.max() - 1e-3, 1.0, -1.0)
    change = fit.predict(data.assign(x=x + step), random=False) - fit.predict(data, random=False)
    assert slopes == pytest.approx(change.to_numpy() / step, rel=1e-3, abs=1e-3)


def test_a_name_with_blanks_that_is_no_predictor_is_called_that():
    fit = mfx.lmer("Reaction ~ Days + (1 | Subject)", mfx.load_dataset("sleepstudy"))
    with pytest.raises(mfx.SpecificationError, match="'größe x' is no predictor of the model; they are 'Days'"):
        mfx.trends(fit, "größe x")
