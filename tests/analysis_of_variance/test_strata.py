"""Error strata: numbers of R, the dense definition of projections, and laws."""

import pickle

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given
from hypothesis import strategies as st

import mixedfx as mfx
from tests.analysis_of_variance.classical import NUMBERS
from tests.reliability import cases

OATS = mfx.load_dataset("oats").astype({"nitro": "category"})


def split_plot():
    return mfx.aov("yield ~ nitro * Variety + Error(Block/Variety)", OATS)


def machines():
    return mfx.aov("score ~ Machine + Error(Worker/Machine)", mfx.load_dataset("machines"))


def gage():
    return mfx.aov("y ~ operator + Error(part/operator)", mfx.load_dataset("gage"))


@pytest.mark.parametrize("case, made", [("oats", split_plot), ("machines", machines), ("gage", gage)])
def test_strata_are_those_of_r(case, made):
    ours = list(made().strata.values())
    theirs = list(NUMBERS["strata"][case].values())
    assert len(ours) == len(theirs)
    for table, reference in zip(ours, theirs):
        for column, key in (("df", "df"), ("sum_sq", "SS"), ("mean_sq", "MS"), ("F", "F"), ("PR(>F)", "p")):
            wanted = np.atleast_1d(np.array(reference[key], dtype=float))
            np.testing.assert_allclose(table[column].to_numpy(dtype=float), wanted, rtol=1e-10, err_msg=column)


@pytest.mark.parametrize("name", list(cases.NIST))
def test_nist_one_way_is_exact_to_twelve_digits(name):
    data = cases.nist_data(name)
    exact = cases.exact_oneway(data["y"].to_numpy(), data["g"].to_numpy())
    table = mfx.aov("y ~ g", data).to_frame()
    assert cases.lre(table["F"].iloc[0], exact["F"]) >= 12
    assert cases.lre(table["mean_sq"].iloc[0], exact["MSB"]) >= 12
    assert cases.lre(table["mean_sq"].iloc[1], exact["MSW"]) >= 12


# --------------------------------------------------------------------------- the dense definition
def projection(*blocks):
    """Onto the span of the columns of all blocks."""
    left, sizes, _ = np.linalg.svd(np.column_stack(blocks), full_matrices=False)
    basis = left[:, sizes > 1e-9 * sizes[0]]
    return basis @ basis.T


def indicators(*columns):
    codes = pd.Series(list(zip(*columns))).factorize()[0]
    return np.eye(codes.max() + 1)[codes]


def dense_strata(data):
    """Sequential sums of squares of ``a * b`` in the strata of ``Error(u + v)``, by n x n matrices."""
    n, y = len(data), data["y"].to_numpy()
    one = np.ones((n, 1))
    a, b = pd.get_dummies(data["a"]).to_numpy(float), pd.get_dummies(data["b"]).to_numpy(float)
    ab = indicators(data["a"], data["b"])
    spaces = [one, indicators(data["u"]), indicators(data["v"])]
    cumulative = [projection(*spaces[: k + 1]) for k in range(3)]
    strata = {
        "u": cumulative[1] - cumulative[0],
        "v": cumulative[2] - cumulative[1],
        "Within": np.eye(n) - cumulative[2],
    }
    out = {}
    for name, P in strata.items():
        before, used = np.zeros((n, n)), [P @ one]
        rows = {}
        for label, columns in (("a", a), ("b", b), ("a:b", ab)):
            used.append(P @ columns)
            after = projection(*[np.where(np.abs(c) < 1e-9, 0.0, c) for c in used])
            rows[label] = (round(np.trace(after - before)), float(y @ (after - before) @ y))
            before = after
        rows["Residual"] = (round(np.trace(P - before)), float(y @ (P - before) @ y))
        out[name] = rows
    return out


@st.composite
def experiments(draw):
    """Two treatments on rows and columns of any shape, balanced or not."""
    n = draw(st.integers(14, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = {"u": draw(st.integers(2, 4)), "v": draw(st.integers(2, 4)), "a": draw(st.integers(2, 3)), "b": 2}
    frame = pd.DataFrame({name: rng.integers(size, size=n) for name, size in levels.items()}).astype(str)
    for name, size in levels.items():  # every level occurs
        frame.loc[frame.index[:size], name] = [str(k) for k in range(size)]
    return frame.assign(y=rng.standard_normal(n))


@given(experiments())
def test_strata_of_any_design_are_the_dense_ones(data):
    ours = mfx.aov("y ~ a * b + Error(u + v)", data).strata
    total = float(np.sum((data["y"] - data["y"].mean()) ** 2))
    for name, rows in dense_strata(data).items():
        for label, (df, sum_sq) in rows.items():
            if df == 0:
                assert name not in ours or label not in ours[name].index
                continue
            assert ours[name].loc[label, "df"] == df
            assert ours[name].loc[label, "sum_sq"] == pytest.approx(sum_sq, abs=1e-9 * total)


# --------------------------------------------------------------------------- laws
def test_sums_of_squares_and_degrees_of_freedom_add_up():
    y = OATS["yield"]
    frame = split_plot().to_frame()
    assert frame["sum_sq"].sum() == pytest.approx(np.sum((y - y.mean()) ** 2), rel=1e-12)
    assert frame["df"].sum() == len(OATS) - 1


@pytest.mark.parametrize("kind", [2, 3, "II"])
def test_types_agree_in_balanced_designs(kind):
    formula = "yield ~ nitro * Variety + Error(Block/Variety)"
    first, other = mfx.aov(formula, OATS).to_frame(), mfx.aov(formula, OATS, type=kind).to_frame()
    pd.testing.assert_frame_equal(first, other, rtol=1e-9)


def test_tables_do_not_depend_on_contrasts_nor_on_the_order_of_rows():
    obk = mfx.load_dataset("obk")
    formula = "value ~ treatment * gender * phase + Error(id/phase)"
    first = mfx.aov(formula, obk, type=3, aggregate="mean").to_frame()
    shuffled = obk.sample(frac=1.0, random_state=3)
    contrasts = {"treatment": "helmert", "gender": "sum", "phase": "poly"}
    other = mfx.aov(formula, shuffled, type=3, aggregate="mean", contrasts=contrasts).to_frame()
    pd.testing.assert_frame_equal(first, other, rtol=1e-9)


def test_one_stratum_is_the_linear_model_of_statsmodels():
    data = mfx.load_dataset("moore").rename(columns=lambda name: name.replace(".", "_"))
    import statsmodels.formula.api as smf

    formula = "conformity ~ fcategory * partner_status"
    fit = smf.ols(formula, data).fit()
    for kind in (1, 2, 3):
        ours, theirs = mfx.aov(formula, data, type=kind).to_frame(), mfx.anova(fit, type=kind).to_frame()
        np.testing.assert_allclose(ours["sum_sq"], theirs["sum_sq"], rtol=1e-9)
        np.testing.assert_allclose(ours["F"].iloc[:3], theirs["F"].iloc[:3], rtol=1e-9)


def test_shifting_the_response_changes_nothing():
    shifted = OATS.assign(**{"yield": OATS["yield"] + 2.0**40})
    formula = "yield ~ nitro * Variety + Error(Block/Variety)"
    pd.testing.assert_frame_equal(mfx.aov(formula, OATS).to_frame(), mfx.aov(formula, shifted).to_frame(), rtol=1e-9)


def test_incomplete_blocks_share_the_information_on_treatments():
    """Four treatments in four blocks of three: efficiency 8/9 within blocks (Bailey, sec. 11.5)."""
    data = pd.DataFrame({"b": list("aaabbbcccddd"), "t": list("xyzxywxzwyzw"), "y": np.arange(12.0) ** 1.5})
    result = mfx.aov("y ~ t + Error(b)", data)
    assert result.strata["Within"].loc["t", "efficiency"] == pytest.approx(8 / 9)
    assert result.efficiency().loc["t"].sum() == pytest.approx(1.0)
    assert "no residual degrees of freedom" in str(result)


def test_total_confounding_shows_in_one_stratum_only():
    result = mfx.aov("yield ~ N * P * K + Error(block)", mfx.load_dataset("npk"))
    assert "N:P:K" in result.strata["block"].index
    assert "N:P:K" not in result.strata["Within"].index
    assert "efficiency" not in result.strata["block"]


def test_latin_square_has_row_and_column_strata():
    result = mfx.aov("yield ~ spacing + Error(row + col)", mfx.load_dataset("millet"))
    within = result.strata["Within"]
    assert list(result.strata) == ["row", "col", "Within"]
    assert within.loc["spacing", "mean_sq"] == pytest.approx(1039.14)
    assert within.loc["Residual", "df"] == 12


# --------------------------------------------------------------------------- input and output
def test_rows_of_a_cell_are_aggregated_only_when_asked():
    obk = mfx.load_dataset("obk")
    formula = "value ~ treatment * phase + Error(id/phase)"
    kept, mean = mfx.aov(formula, obk), mfx.aov(formula, obk, aggregate="mean")
    assert "Within" in kept.strata
    assert "Within" not in mean.strata
    assert "240 rows were aggregated to 48 cells" in str(mean)
    cells = obk.groupby(["id", "treatment", "phase"], observed=True, as_index=False)["value"].median()
    ours, theirs = mfx.aov(formula, obk, aggregate="median").to_frame(), mfx.aov(formula, cells).to_frame()
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_results_survive_pickling_and_are_shown():
    result = split_plot()
    again = pickle.loads(pickle.dumps(result))
    pd.testing.assert_frame_equal(again.to_frame(), result.to_frame())
    assert str(again) == str(result)
    assert "<table" in result._repr_html_()


def test_polars_and_dicts_are_data_too():
    pl = pytest.importorskip("polars")
    npk = mfx.load_dataset("npk")
    columns = {name: npk[name].astype(str).tolist() if name != "yield" else npk[name].tolist() for name in npk}
    formula = "yield ~ N + P + Error(block)"
    wanted = mfx.aov(formula, npk).to_frame()
    for data in (columns, pl.DataFrame(columns)):
        np.testing.assert_allclose(mfx.aov(formula, data).to_frame(), wanted, rtol=1e-12)


def test_a_number_in_error_is_a_label_and_the_table_says_so():
    data = OATS.assign(nitro=mfx.load_dataset("oats")["nitro"])
    result = mfx.aov("yield ~ nitro + Error(Block/nitro)", data)
    assert result.strata["Block:nitro"].loc["nitro", "df"] == 1
    assert "nitro is a number" in str(result)


@pytest.mark.parametrize(
    "formula, options, words",
    [
        ("yield ~ nitro + (1 | Block)", {}, r"Error\(Block\)"),
        ("yield ~ 0 + nitro", {}, "needs the intercept"),
        ("yield ~ nitro + offset(x)", {}, "no offsets"),
        ("yield ~ nitro + Error(Block)", {"type": 4}, "type is 1, 2 or 3"),
        ("yield ~ nitro + Error(Block)", {"aggregate": "mode"}, "aggregate"),
        ("yield ~ nitro + Error(Block)", {"observed": "gender"}, "'gender'"),
        ("yield ~ nitro + Error(Blok)", {}, "Blok"),
    ],
)
def test_mistakes_are_named(formula, options, words):
    with pytest.raises(ValueError, match=words):
        mfx.aov(formula, OATS.assign(x=1.0), **options)


# --------------------------------------------------------------------------- the mixed model of the strata
def test_marginal_means_have_the_degrees_of_freedom_of_the_strata():
    table = mfx.emmeans(split_plot(), "Variety").pairs()
    within = split_plot().strata["Block:Variety"].loc["Residual"]
    np.testing.assert_allclose(table.df, within["df"], rtol=1e-6)
    np.testing.assert_allclose(table.se, np.sqrt(2 * within["mean_sq"] / 24), rtol=1e-6)
    means = OATS.groupby("Variety", observed=True)["yield"].mean().to_numpy()
    np.testing.assert_allclose(table.estimates, [means[0] - means[1], means[0] - means[2], means[1] - means[2]])
    assert "From the error strata of aov" in str(table)


def test_units_of_one_row_and_units_named_twice_are_no_random_terms():
    data = mfx.load_dataset("md_12.1").assign(person=lambda d: d["id"].astype(str) + "!")
    result = mfx.aov("rt ~ angle * noise + Error(id/(angle * noise) + person)", data)
    assert [term.label for term in result.mixed_model().model.formula.random] == ["id", "id:angle", "id:noise"]
    f = mfx.anova(result.mixed_model())["F"]
    np.testing.assert_allclose(f, result.table()["F"].loc[f.index], rtol=1e-6)


def test_aggregated_cells_have_the_marginal_means_of_their_averages():
    obk = mfx.load_dataset("obk")
    formula = "value ~ gender * phase + Error(id/phase)"
    cells = obk.groupby(["id", "gender", "phase"], observed=True, as_index=False)["value"].mean()
    ours = mfx.emmeans(mfx.aov(formula, obk, aggregate="mean"), "phase", by="gender").to_frame()
    theirs = mfx.emmeans(mfx.aov(formula, cells), "phase", by="gender").to_frame()
    pd.testing.assert_frame_equal(ours, theirs)
    logged = mfx.aov(f"log({formula.replace(' ~', ') ~')}", obk, aggregate="median")
    assert logged.mixed_model().nobs == len(cells)


def test_one_stratum_has_the_marginal_means_of_the_linear_model():
    npk = mfx.load_dataset("npk").rename(columns={"yield": "y"}).iloc[1:]
    for ddf in (None, "z", 7):
        ours = mfx.emmeans(mfx.aov("y ~ N * P", npk), ["N", "P"], ddf=ddf).to_frame()
        theirs = mfx.emmeans(smf.ols("y ~ N * P", npk).fit(), ["N", "P"], ddf=ddf).to_frame()
        pd.testing.assert_frame_equal(ours, theirs, check_dtype=False)
    with pytest.raises(mfx.SpecificationError, match=r"smf\.ols"):
        mfx.aov("y ~ N * P", npk).mixed_model()


def test_an_empty_cell_stays_unknown():
    data = OATS[(OATS["Variety"] != "Victory") | (OATS["nitro"] != 0.6)]
    table = mfx.emmeans(mfx.aov("yield ~ nitro * Variety + Error(Block/Variety)", data), ["nitro", "Variety"])
    assert np.isnan(table.se).sum() == 1


@pytest.mark.parametrize("formula", ["yield ~ Variety * nitro + Error(Block/Variety)", "yield ~ Variety * nitro"])
def test_the_frame_has_what_the_table_has(formula):
    result = mfx.aov(formula, OATS)
    frame, table = result.to_frame(), result.table().to_frame()
    rows = frame.droplevel("stratum") if frame.index.nlevels > 1 else frame
    for name in ("den_df", "mse", "F", "PR(>F)", "pes", "ges"):
        assert rows.loc[list(table.index), name].to_numpy() == pytest.approx(table[name].to_numpy(dtype=float))


# --------------------------------------------------------------------------- incomplete units
PLOTS = [(b, v, n) for b in "ABCD" for v in "xyz" for n in "012"]


@given(lost=st.sets(st.integers(0, 35), max_size=6), seed=st.integers(0, 99))
def test_units_that_lack_rows_are_named_where_they_split_terms(lost, seed):
    """One note in every table that shows a term twice for want of rows, and none elsewhere."""
    data = pd.DataFrame(PLOTS, columns=["block", "variety", "dose"]).assign(
        y=np.random.default_rng(seed).normal(size=36)
    )
    made = mfx.aov("y ~ variety * dose + Error(block/variety)", data.drop(index=list(lost)))
    notes = [note for note in made.notes if note.startswith("Incomplete units")]
    lines = [effect.label for stratum in made.analysis for effect in stratum.effects]
    assert len(notes) == (len(set(lines)) < len(lines))
    counts = data.drop(index=list(lost)).groupby(["block", "variety"]).size()
    for note in notes:
        assert note in made.table().notes
        assert note in " ".join(str(made).split())
        for (block, variety), count in counts[counts < counts.max()].head(4).items():
            assert f"{block}:{variety} ({count} of {counts.max()} rows)" in note


def test_a_lost_cell_of_repeated_measures_is_named():
    data = mfx.load_dataset("sleepstudy").astype({"Days": "category"})
    made = mfx.aov("Reaction ~ Days + Error(Subject/Days)", data.drop(index=7))
    note = next(note for note in made.notes if note.startswith("Incomplete"))
    assert "Subject 308 (9 of 10 rows)" in note
    assert "Days in Subject and Subject:Days" in note
    assert not mfx.aov("Reaction ~ Days + Error(Subject/Days)", data).notes
