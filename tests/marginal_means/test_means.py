"""Marginal means against their definition, laws that hold for any model, and what users get to see."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.multitest import multipletests

import mixedfx as mfx
from mixedfx.marginal_means.labels import compact_letters

matplotlib.use("agg")


@pytest.fixture(scope="module")
def oats():
    return mfx.load_dataset("oats").astype({"nitro": str})


@pytest.fixture(scope="module")
def fit(oats):
    return mfx.lmer("yield ~ Variety * nitro + (1 | Block/Variety)", oats)


def test_means_are_averages_of_predictions(fit, oats):
    grid = oats[["Variety", "nitro"]].drop_duplicates()
    predicted = grid.assign(p=fit.predict(grid, random=False)).groupby("nitro")["p"].mean()
    means = mfx.emmeans(fit, "nitro").to_frame().set_index("nitro")["mean"]
    np.testing.assert_allclose(means, predicted[means.index])


@pytest.mark.parametrize("coding", ["sum", "helmert", "poly"])
def test_coding_does_not_matter(fit, oats, coding):
    other = mfx.lmer("yield ~ Variety * nitro + (1 | Block/Variety)", oats, contrasts={"Variety": coding})
    left, right = (mfx.emmeans(f, "~ Variety | nitro").pairs().to_frame() for f in (fit, other))
    columns = ["estimate", "se", "lower", "upper", "pvalue"]
    np.testing.assert_allclose(left[columns], right[columns], rtol=1e-5, atol=1e-6)


def test_joint_tests_are_the_analysis_of_variance(fit):
    joint, table = mfx.joint_tests(fit), mfx.anova(fit, type=3)
    np.testing.assert_allclose(joint["F"], table["F"], rtol=1e-7)
    np.testing.assert_allclose(joint["den_df"], table["den_df"], rtol=1e-5)


@pytest.mark.parametrize(
    ("adjust", "theirs"), [("bonferroni", "bonferroni"), ("sidak", "sidak"), ("holm", "holm"), ("fdr", "fdr_bh")]
)
def test_adjusted_p_values_are_those_of_statsmodels_within_each_family(fit, adjust, theirs):
    alone = mfx.emmeans(fit, "Variety", by="nitro").pairs(adjust="none").to_frame()
    adjusted = mfx.emmeans(fit, "Variety", by="nitro").pairs(adjust=adjust).to_frame()
    for _, own in alone.groupby("nitro"):
        expected = multipletests(own["pvalue"], method=theirs)[1]
        np.testing.assert_allclose(adjusted["pvalue"][own.index], expected, rtol=1e-12)


def test_simple_effects_are_the_same_whenever_by_is_given(fit):
    late = mfx.emmeans(fit, ["Variety", "nitro"]).joint_tests(by="nitro")
    early = mfx.emmeans(fit, "Variety", by="nitro").joint_tests()
    pd.testing.assert_frame_equal(pd.DataFrame(late), pd.DataFrame(early))
    assert late.index.names == ["term", "nitro"]


def test_a_grid_may_be_given(fit):
    means = mfx.emmeans(fit, "Variety", at={"nitro": ["0.0", "0.6"]}).to_frame()
    cells = mfx.emmeans(fit, ["Variety", "nitro"]).to_frame().set_index(["Variety", "nitro"])["mean"].unstack()
    np.testing.assert_allclose(means["mean"], cells[["0.0", "0.6"]].mean(axis=1))
    numbers = mfx.emmeans(fit, "Variety", weights=[1, 0, 0, 3]).to_frame()["mean"]
    np.testing.assert_allclose(numbers, 0.25 * cells["0.0"] + 0.75 * cells["0.6"])


def test_kenward_roger_and_a_number_of_degrees_of_freedom(fit):
    assert mfx.emmeans(fit, "nitro", ddf="kenward-roger").pairs().df == pytest.approx(45.0)
    assert mfx.emmeans(fit, "nitro", ddf=7).df.tolist() == [7.0] * 4
    assert "z" in mfx.emmeans(fit, "nitro", ddf="z").to_frame()


def test_contrasts_of_contrasts(fit):
    cells = mfx.emmeans(fit, "~ nitro | Variety")
    twice = cells.contrast("polynomial").pairs(by="contrast")
    both = mfx.emmeans(fit, ["nitro", "Variety"]).contrast(interaction={"nitro": "polynomial", "Variety": "pairwise"})
    left, right = (np.sort(table.estimates) for table in (twice, both))
    np.testing.assert_allclose(left, right, atol=1e-9)


def test_helmert_and_treatment_with_another_reference(fit):
    means = mfx.emmeans(fit, "Variety")
    a, b, c = means.estimates
    np.testing.assert_allclose(means.contrast("helmert").estimates, [b - a, c - (a + b) / 2])
    table = means.contrast("treatment", reference="Victory").to_frame()
    np.testing.assert_allclose(table["estimate"], [a - c, b - c])
    assert table["contrast"].tolist() == ["Golden Rain - Victory", "Marvellous - Victory"]
    joint = means.pairs().test(joint=True)
    assert joint["F"].iloc[0] == pytest.approx(means.joint_tests()["F"].iloc[0])


def test_statsmodels_by_both_formula_engines(oats):
    import statsmodels.formula

    if not hasattr(statsmodels.formula, "options"):
        pytest.skip("statsmodels before 0.15 has one formula engine")
    formula = "Q('yield') ~ Variety * nitro + Block"
    patsy = mfx.emmeans(smf.ols(formula, oats).fit(), "Variety").to_frame()
    options = statsmodels.formula.options
    before = options.formula_engine
    options.formula_engine = "formulaic"
    try:
        renamed = oats.rename(columns={"yield": "crop"})
        formulaic = mfx.emmeans(smf.ols("crop ~ Variety * nitro + Block", renamed).fit(), "Variety").to_frame()
    finally:
        options.formula_engine = before
    np.testing.assert_allclose(patsy[["mean", "se"]], formulaic[["mean", "se"]])


def test_missing_cells_of_a_statsmodels_model(oats):
    some = oats[(oats["Variety"] != "Victory") | (oats["nitro"] != "0.6")]
    means = mfx.emmeans(smf.ols("Q('yield') ~ Variety * nitro", some).fit(), ["Variety", "nitro"])
    assert means.to_frame()["mean"].isna().sum() == 1
    cells = some.groupby(["nitro", "Variety"])["yield"].mean()
    known = means.to_frame().dropna().set_index(["nitro", "Variety"])["mean"]
    np.testing.assert_allclose(known, cells[known.index])


def test_names_with_blanks_dots_and_numbers():
    rng = np.random.default_rng(1)
    n = 120
    data = pd.DataFrame({"my group": rng.choice(["a b", "c"], n), "x.1": rng.normal(size=n), "s": np.arange(n) % 10})
    data["k"] = rng.choice([1, 2, 3], n)
    data["y"] = rng.normal(size=n)
    fit = mfx.lmer("y ~ `my group` * x.1 + C(k) + (1 | s)", data)
    assert mfx.emmeans(fit, "my group").to_frame()["my group"].tolist() == ["a b", "c"]
    assert mfx.emmeans(fit, "k").pairs().to_frame()["contrast"].tolist() == ["k1 - k2", "k1 - k3", "k2 - k3"]
    slopes = mfx.trends(fit, "x.1", "my group").estimates
    assert slopes[0] == pytest.approx(fit.params["x.1"])


def test_letters():
    differ = np.array([[0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
    letters = compact_letters(np.array([1.0, 4.0, 3.0, 2.0]), differ)
    share = np.array([[bool(set(a) & set(b)) for b in letters] for a in letters])
    np.testing.assert_array_equal(share, ~differ)
    assert "a" in letters[0]


@pytest.mark.parametrize("seed", range(5))
def test_letters_tell_exactly_what_differs(seed):
    rng = np.random.default_rng(seed)
    k = 8
    means = np.sort(rng.normal(size=k))
    differ = np.triu(np.abs(means[:, None] - means) > rng.uniform(0.2, 1.5, (k, k)), 1)
    differ |= differ.T
    letters = compact_letters(means, differ)
    share = np.array([[bool(set(a) & set(b)) for b in letters] for a in letters])
    np.testing.assert_array_equal(share, ~differ)


def test_pictures_hold_the_numbers(fit):
    means = mfx.emmeans(fit, "Variety", by="nitro")
    panel = means.plot()
    assert [text.get_text() for text in panel.get_yticklabels()] == ["Golden Rain", "Marvellous", "Victory"]
    drawn = np.concatenate([line.get_xdata() for line in panel.lines])
    np.testing.assert_allclose(np.sort(drawn), np.sort(means.estimates))
    assert len(panel.get_legend().get_texts()) == 4


def test_shown_as_text_and_html(fit):
    table = mfx.emmeans(fit, "~ Variety | nitro").pairs()
    assert "Tukey" in str(table)
    assert "<table" in table._repr_html_()
    assert len(table) == 12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda fit: mfx.emmeans(fit, "variety"), "no predictor"),
        (lambda fit: mfx.emmeans(fit, "pairwise ~ Variety"), "left of '~'"),
        (lambda fit: mfx.emmeans(fit, "Variety", at={"nitro": ["9"]}), "no level"),
        (lambda fit: mfx.emmeans(fit, "Variety", at={"Block": ["I"]}), "no predictor"),
        (lambda fit: mfx.emmeans(fit, "Variety", weights="even"), "weights is"),
        (lambda fit: mfx.emmeans(fit, "Variety", weights=[1, 2]), "weights must be 4 numbers"),
        (lambda fit: mfx.emmeans(fit, "Variety", scale="log"), "scale is"),
        (lambda fit: mfx.emmeans(fit, "Variety").pairs(adjust="turkey"), "unknown adjust"),
        (lambda fit: mfx.emmeans(fit, "Variety").contrast("pair"), "unknown contrasts"),
        (lambda fit: mfx.emmeans(fit, "Variety").contrast({"a": [1, -1]}), "needs 3 finite coefficients"),
        (lambda fit: mfx.emmeans(fit).pairs(), "only one mean"),
        (lambda fit: mfx.trends(fit, "Variety"), "is a factor"),
        (lambda fit: mfx.emmeans(fit, "Variety", ddf="KRR"), "unknown ddf"),
        (lambda fit: mfx.emmeans(fit, "Variety").contrast("treatment", reference="X"), "is none of"),
    ],
)
def test_mistakes_are_explained(fit, call, message):
    with pytest.raises(mfx.SpecificationError, match=message):
        call(fit)


def test_ordinal_responses_have_latent_means():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"f": np.repeat(["a", "b"], 150), "g": np.arange(300) % 15})
    latent = (data["f"] == "b") + rng.logistic(size=300)
    data["y"] = pd.cut(latent, [-np.inf, 0, 1, np.inf], labels=["low", "middle", "high"])
    fit = mfx.glmer("y ~ f + (1 | g)", data, family="ordinal")
    assert mfx.emmeans(fit, "f").contrast("treatment").estimates[0] == pytest.approx(fit.params.iloc[0])
    with pytest.raises(mfx.SpecificationError, match="ordinal response has no mean"):
        mfx.emmeans(fit, "f", integrate=True)


def test_joint_tests_have_only_the_terms_of_the_model():
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"f": rng.choice(list("abc"), 200), "h": rng.choice(list("uv"), 200)})
    data = data.assign(x=rng.normal(size=200), exposure=rng.uniform(1, 2, 200), g=np.arange(200) % 10)
    data["y"] = rng.poisson(data["exposure"])
    fit = mfx.glmer("y ~ x * f + h + offset(log(exposure)) + (1 | g)", data, family="poisson")
    assert mfx.joint_tests(fit).index.tolist() == ["x", "f", "h", "x:f"]
    table = mfx.emmeans(fit, "f", at={"exposure": 1.0})
    shift = mfx.emmeans(fit, "f", at={"exposure": 2.0}).estimates - table.estimates
    np.testing.assert_allclose(shift, np.log(2))
    assert set(mfx.marginal_effects(fit)["term"]) == {"x", "f", "h"}
