"""Mean squares and variance components: independent numbers, the dense definition, REML, coverage."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

import mixedfx as mfx
from mixedfx.analysis_of_variance.components.expected import MeanSquareSum
from mixedfx.analysis_of_variance.components.intervals import mls_interval, satterthwaite_interval
from tests.analysis_of_variance.classical import COMPONENTS, FORMULAS, NUMBERS, mean_squares_of

CASES = list(FORMULAS)
COLUMNS = {"estimate": "estimate", "truncated": "nonnegative", "se": "se_unbiased", "se_plugin": "se_plugin"}


def name_of(component):
    return COMPONENTS.get(component, component)


@pytest.mark.parametrize("case", CASES)
def test_components_and_intervals_are_the_published_ones(case):
    theirs = NUMBERS["mean_squares"][case]
    made = mean_squares_of(case)
    np.testing.assert_allclose(made.table["mean_sq"], theirs["MS"], rtol=1e-10)
    np.testing.assert_array_equal(made.table["df"], theirs["df"])
    ours = made.variance_components(method="satterthwaite")
    for component, wanted in theirs["components"].items():
        if component == "gauge_total":
            continue
        row = ours.loc[name_of(component)]
        for column, key in COLUMNS.items():
            assert row[column] == pytest.approx(wanted[key], rel=1e-6, abs=1e-12)
        assert row["df"] == pytest.approx(wanted["satterthwaite_df"], rel=1e-3)
        interval = wanted["ci95_satterthwaite"] or [np.nan, np.nan]
        np.testing.assert_allclose([row["lower"], row["upper"]], interval, rtol=1e-5)


def test_the_weights_of_the_mean_squares_are_the_published_ones():
    made = mean_squares_of("gage").analysis
    theirs = NUMBERS["mean_squares"]["gage"]["components"]
    for name, weights in zip(made.components, made.weights):
        np.testing.assert_allclose(weights, theirs[name.replace("Residual", "residual")]["coef_on_MS"], atol=1e-12)


def test_the_gauge_is_a_sum_of_components():
    wanted = NUMBERS["mean_squares"]["gage"]["components"]["gauge_total"]
    weights = {"operator": 1, "part:operator": 1, "Residual": 1}
    row = mean_squares_of("gage").combination(weights, method="satterthwaite").iloc[0]
    assert row["estimate"] == pytest.approx(wanted["estimate"], rel=1e-10)
    assert row["df"] == pytest.approx(wanted["satterthwaite_df"], rel=1e-8)
    np.testing.assert_allclose([row["lower"], row["upper"]], wanted["ci95_satterthwaite"], rtol=1e-8)


def test_tests_have_the_denominator_of_their_expectation():
    theirs = NUMBERS["mean_squares"]["gage"]
    f = mean_squares_of("gage").table["F"]
    wanted = [theirs["F_part"], theirs["F_operator"], theirs["F_inter"]]
    np.testing.assert_allclose(f.iloc[:3], wanted, rtol=1e-10)


def test_one_way_intervals_are_exact():
    wanted = NUMBERS["mean_squares"]["dyestuff"]["exact_oneway"]
    table = mean_squares_of("dyestuff").one_way()
    for row, key in (
        ("ratio", "ratio_ci"),
        ("icc", "icc_ci"),
        ("Batch", "williams_tukey_sigma_a2"),
        ("Residual", "sigma_e2_ci"),
    ):
        np.testing.assert_allclose(table.loc[row, ["lower", "upper"]].astype(float), wanted[key], rtol=1e-7)


# --------------------------------------------------------------------------- expectations
@st.composite
def crossed(draw):
    """Rows of two random factors and their interaction, balanced or not."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    a, b = draw(st.integers(2, 4)), draw(st.integers(2, 4))
    cells = np.repeat(np.arange(a * b), 2)
    extra = rng.integers(a * b, size=draw(st.integers(0, 6)))
    codes = np.concatenate([cells, extra])
    return pd.DataFrame(
        {"a": (codes // b).astype(str), "b": (codes % b).astype(str), "y": rng.standard_normal(codes.size)}
    )


@given(crossed())
def test_expectations_are_traces_of_dense_matrices(data):
    made = mfx.mean_squares("y ~ a * b", data)
    Z = [pd.get_dummies(data["a"]).to_numpy(float), pd.get_dummies(data["b"]).to_numpy(float)]
    Z.append(pd.get_dummies(data["a"] + data["b"]).to_numpy(float))
    before = np.full((len(data),) * 2, 1 / len(data))
    columns = [np.ones((len(data), 1))]
    for row, own in zip(made.table.index, Z):
        columns.append(own)
        after = np.column_stack(columns) @ np.linalg.pinv(np.column_stack(columns))
        P, df = after - before, made.table.loc[row, "df"]
        assert made.table.loc[row, "sum_sq"] == pytest.approx(data["y"] @ P @ data["y"], abs=1e-9)
        wanted = [np.trace(P @ z @ z.T) / df for z in Z]
        np.testing.assert_allclose(made.expected.loc[row].to_numpy()[:-1], wanted, atol=1e-8)
        before = after


def test_expectations_read_as_in_the_textbook():
    made = mfx.mean_squares("score ~ Machine * Worker", mfx.load_dataset("machines"), fixed="Machine")
    assert made.table["expected"].tolist() == [
        "σ² + 3 σ²(Machine:Worker) + Q(Machine)",
        "σ² + 3 σ²(Machine:Worker) + 9 σ²(Worker)",
        "σ² + 3 σ²(Machine:Worker)",
        "σ²",
    ]
    bars = mfx.mean_squares("score ~ Machine + (1 | Worker) + (1 | Machine:Worker)", mfx.load_dataset("machines"))
    pd.testing.assert_series_equal(made.components, bars.components)


def test_conventions_differ_in_the_test_of_the_random_factor():
    data = mfx.load_dataset("machines")
    restricted = mfx.mean_squares("score ~ Machine * Worker", data, fixed="Machine", convention="restricted")
    assert restricted.table.loc["Worker", "expected"] == "σ² + 9 σ²(Worker)"
    assert restricted.table.loc["Worker", "denominator"] == "Residual"
    assert restricted.table.loc["Worker", "F"] == pytest.approx(248.379 / 0.924629629629630)
    assert restricted.components["Worker"] == pytest.approx((248.379 - 0.92462962962963) / 9)
    assert restricted.table.loc["Machine", "denominator"] == "Machine:Worker"
    with pytest.raises(mfx.SpecificationError, match="balanced designs only"):
        mfx.mean_squares("score ~ Machine * Worker", data.iloc[:-1], fixed="Machine", convention="restricted")


def test_quasi_f_of_three_random_factors():
    """The denominator of a main effect is MS(ab) + MS(ac) - MS(abc) (Winer; Montgomery, ch. 13)."""
    rng = np.random.default_rng(2)
    grid = np.indices((3, 4, 5, 2)).reshape(4, -1)
    data = pd.DataFrame({name: codes.astype(str) for name, codes in zip("abcr", grid)})
    data["y"] = rng.standard_normal(len(data))
    table = mfx.mean_squares("y ~ a * b * c", data).table
    assert table.loc["a", "denominator"] == "a:b + a:c - a:b:c"
    ms, df = table["mean_sq"], table["df"]
    below = ms["a:b"] + ms["a:c"] - ms["a:b:c"]
    spread = sum(ms[row] ** 2 / df[row] for row in ("a:b", "a:c", "a:b:c"))
    assert table.loc["a", "F"] == pytest.approx(ms["a"] / below)
    assert table.loc["a", "den_df"] == pytest.approx(below**2 / spread)
    assert table.loc["a:b", "denominator"] == "a:b:c"


def test_covariates_are_fixed_and_come_first():
    data = mfx.load_dataset("oats")
    made = mfx.mean_squares("yield ~ nitro + Block + Block:Variety", data, fixed="nitro")
    assert list(made.table.index) == ["nitro", "Block", "Block:Variety", "Residual"]
    assert made.table.loc["nitro", "df"] == 1
    assert made.table.loc["nitro", "denominator"] == "Residual"
    by_reml = mfx.lmer("yield ~ nitro + (1 | Block) + (1 | Block:Variety)", data).varcorr.to_frame()["variance"]
    np.testing.assert_allclose(made.components, by_reml, rtol=1e-4)


# --------------------------------------------------------------------------- the bridge
@pytest.mark.parametrize("case", CASES)
def test_reml_of_the_bridge_is_that_of_lme4(case):
    groups = {"leaf:plant": "plant:leaf", "sample:batch": "batch:sample"}
    theirs = NUMBERS["reml"][case]
    table = mean_squares_of(case).against_reml()
    scale = theirs["var"][-1]
    for group, value in zip(theirs["grp"], theirs["var"]):
        assert table.loc[groups.get(group, group), "reml"] == pytest.approx(value, rel=1e-5, abs=1e-5 * scale)


@st.composite
def balanced(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    a, b, n = draw(st.integers(3, 5)), draw(st.integers(3, 5)), draw(st.integers(2, 3))
    sd = [draw(st.floats(0.3, 3.0)) for _ in range(3)]
    i, j, _ = np.indices((a, b, n)).reshape(3, -1)
    y = sd[0] * rng.standard_normal(a)[i] + sd[1] * rng.standard_normal(b)[j]
    y += sd[2] * rng.standard_normal((a, b))[i, j] + rng.standard_normal(i.size)
    return pd.DataFrame({"y": y, "a": i.astype(str), "b": j.astype(str)})


@given(balanced(), st.sampled_from([(), "a"]))
def test_reml_equals_mean_squares_in_balanced_designs_without_negative_estimates(data, fixed):
    made = mfx.mean_squares("y ~ a * b", data, fixed=fixed)
    assume((made.components > 0).all())
    table = made.against_reml()
    np.testing.assert_allclose(table["reml"], table["mean_squares"], rtol=1e-4, atol=1e-5 * made.components["Residual"])
    assert "as they must" in str(table.notes)


def test_the_bridge_says_why_estimates_differ():
    assert "negative variance (part:operator)" in str(mean_squares_of("gage").against_reml().notes)
    unbalanced = mfx.mean_squares("Yield ~ Batch", mfx.load_dataset("dyestuff").iloc[:-3]).against_reml()
    assert "not balanced" in str(unbalanced.notes)
    data = mfx.load_dataset("machines")
    restricted = mfx.mean_squares("score ~ Machine * Worker", data, fixed="Machine", convention="restricted")
    assert "another meaning" in str(restricted.against_reml().notes)


# --------------------------------------------------------------------------- intervals
def test_both_intervals_are_exact_for_one_mean_square():
    total = MeanSquareSum(np.array([0.0, 2.0]), np.array([5.0, 3.0]), np.array([4.0, 7.0]))
    exact = 7 * 6.0 / stats.chi2.ppf([0.975, 0.025], 7)
    np.testing.assert_allclose(mls_interval(total, 0.05), exact)
    np.testing.assert_allclose(satterthwaite_interval(total, 0.05), exact)


@pytest.mark.parametrize(
    "c, df", [([1, 1], [3, 20]), ([0.25, -0.25], [4, 15]), ([0.2, 0.3, -0.5], [3, 6, 12]), ([1, -0.4, -0.3], [9, 4, 6])]
)
@pytest.mark.parametrize("ratio", [1.5, 6.0])
def test_large_sample_intervals_hold_their_level(c, df, ratio):
    """90 % intervals of simulated mean squares; the Monte Carlo error is 0.7 %, the method keeps 88 to 93 %."""
    c, df = np.array(c, dtype=float), np.array(df, dtype=float)
    expectations = np.where(c > 0, ratio, 1.0) * np.array([2.0, 1.5, 1.0])[: len(c)]
    rng = np.random.default_rng(5)
    drawn = expectations * rng.chisquare(df, (2000, len(df))) / df
    bounds = np.array([mls_interval(MeanSquareSum(c, row, df), 0.1) for row in drawn])
    truth = c @ expectations
    covered = np.mean((bounds[:, 0] <= truth) & (truth <= bounds[:, 1]))
    assert 0.875 <= covered <= 0.95


def test_the_exact_ratio_covers_in_unbalanced_data():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(6), [2, 3, 4, 5, 8, 10])
    hits = 0
    for _ in range(400):
        y = 1.5 * rng.standard_normal(6)[g] + rng.standard_normal(g.size)
        table = mfx.mean_squares("y ~ g", {"y": y, "g": g.astype(str)}).one_way(alpha=0.1)
        hits += table.loc["ratio", "lower"] <= 2.25 <= table.loc["ratio", "upper"]
    assert abs(hits / 400 - 0.9) < 3 * np.sqrt(0.09 / 400)


# --------------------------------------------------------------------------- input and output
@pytest.mark.parametrize(
    "formula, options, words",
    [
        ("y ~ part * operator", {"fixed": ["part", "operator"]}, "every factor is fixed"),
        ("y ~ part * operator", {"fixed": "oper"}, "'oper'"),
        ("y ~ part * operator", {"convention": "mixed"}, "'unrestricted' or 'restricted'"),
        ("y ~ part + Error(operator)", {}, "Error"),
        ("y ~ 0 + part", {}, "needs the intercept"),
        ("~ part", {}, "no response"),
        ("y ~ part + (rep | operator)", {}, "slope"),
        ("y ~ part * operator * rep", {}, "all degrees of freedom"),
        ("y ~ part + log(rep)", {}, "must be a column"),
    ],
)
def test_mistakes_are_named(formula, options, words):
    with pytest.raises(ValueError, match=words):
        mfx.mean_squares(formula, mfx.load_dataset("gage"), **options)


def test_arguments_of_methods_are_checked():
    made = mean_squares_of("gage")
    with pytest.raises(mfx.SpecificationError, match="'mls' or 'satterthwaite'"):
        made.variance_components(method="wald")
    with pytest.raises(mfx.SpecificationError, match="no component 'reproducibility'"):
        made.combination({"reproducibility": 1})
    with pytest.raises(mfx.SpecificationError, match="single random factor"):
        made.one_way()
    with pytest.raises(mfx.SpecificationError, match="alpha"):
        made.variance_components(alpha=95)


def test_constant_responses_have_tables_without_tests():
    data = mfx.load_dataset("dyestuff").assign(Yield=5.0)
    made = mfx.mean_squares("Yield ~ Batch", data)
    assert (made.components == 0.0).all()
    assert np.isnan(made.table.loc["Batch", "F"])
    with pytest.raises(mfx.DataError, match="residual mean square is zero"):
        made.one_way()


def test_what_is_printed_has_both_tables():
    text = str(mean_squares_of("gage"))
    assert "σ² + 2 σ²(part:operator) + 6 σ²(part)" in text
    assert "A negative estimate (part:operator)" in text
    assert "<table" in mean_squares_of("gage")._repr_html_()
