"""Rows with missing values, weights and offsets stay in step."""

import numpy as np
import pandas as pd
import pytest

from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.matrices import build_design
from tests.matrices.frames import small

DATA = small()
FORMULA = "y ~ x + f + (z | g) + (1 | g:h)"


def with_holes(**holes):
    data = DATA.copy()
    for name, rows in holes.items():
        data.loc[rows, name] = np.nan if data[name].dtype == float else None
    return data


@pytest.mark.parametrize("name", ["y", "x", "f", "z", "g", "h"])
def test_a_missing_value_anywhere_costs_its_row_only(name):
    design = build_design(FORMULA, with_holes(**{name: [3, 8]}))
    expected = build_design(FORMULA, DATA.drop(index=[3, 8]))
    assert design.n_dropped == 2
    assert design.notes == (f"2 of 24 rows were left out because of missing values: {name} (2)",)
    assert design.fixed.matrix.tolist() == expected.fixed.matrix.tolist()
    assert design.response.values.tolist() == expected.response.values.tolist()
    assert [term.codes.tolist() for term in design.random] == [term.codes.tolist() for term in expected.random]
    assert design.index.tolist() == expected.index.tolist()


def test_each_source_is_counted():
    design = build_design(FORMULA, with_holes(y=[1], x=[1, 2], g=[5]))
    assert design.notes == ("3 of 24 rows were left out because of missing values: y (1), x (2), g (1)",)
    assert build_design("y ~ x + (1 | g)", with_holes(x=[4])).notes[0].startswith("1 of 24 rows was left out")


def test_columns_that_are_not_used_may_be_missing():
    assert build_design("y ~ x + (1 | g)", with_holes(z=[1], f=[2])).n_dropped == 0


def test_no_notes_without_missing_values():
    assert build_design(FORMULA, DATA).notes == ()


def test_missing_values_can_be_refused():
    with pytest.raises(DataError, match=r"2 of 24 rows have missing values: y \(1\), x \(2\)"):
        build_design(FORMULA, with_holes(y=[1], x=[1, 2]), missing="raise")
    assert build_design(FORMULA, DATA, missing="raise").n_dropped == 0


def test_other_words_for_missing_are_refused():
    with pytest.raises(SpecificationError, match="missing must be 'drop' or 'raise'"):
        build_design(FORMULA, DATA, missing="omit")


def test_nothing_left():
    with pytest.raises(DataError, match=r"no rows are left.*x \(24\)"):
        build_design(FORMULA, DATA.assign(x=np.nan))


def test_a_level_without_complete_rows_goes():
    design = build_design("y ~ f + (1 | g)", with_holes(y=list(range(6))))
    assert design.random[0].levels.tolist() == ["g2", "g3", "g4"]
    data = DATA.assign(y=DATA.y.where(DATA.f != "a"))
    assert build_design("y ~ f + (1 | g)", data).fixed.names == ("Intercept", "f[T.c]")


def test_transforms_learn_from_the_rows_that_are_used():
    design = build_design("y ~ scale(x) + (1 | g)", with_holes(y=[0, 1]))
    assert design.fixed.matrix[:, 1].mean() == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize(
    ("formula", "name"),
    [("y ~ x + (1 | g)", "y"), ("y ~ x + (1 | g)", "x"), ("y ~ f*z + (1 | g)", "z"), ("y ~ 1 + (z | g)", "z")],
)
def test_infinite_values_are_refused_by_name(formula, name, value):
    data = DATA.copy()
    data.loc[7, name] = value
    with pytest.raises(DataError, match=rf"^{name} is infinite \(inf\) in 1 row; the first is row 7"):
        build_design(formula, data)


# ------------------------------------------------------------------- weights and offset
W = np.linspace(0.5, 2, 24)


@pytest.mark.parametrize("given", ["z", DATA.z, DATA.z.to_numpy(), DATA.z.tolist()])
def test_weights_as_column_series_array_or_list(given):
    design = build_design("y ~ x + (1 | g)", DATA, weights=given, offset=given)
    assert design.weights.tolist() == DATA.z.tolist()
    assert design.offset.tolist() == DATA.z.tolist()
    assert design.weights_column == ("z" if isinstance(given, str) else None)


def test_weights_and_offset_are_subset_with_the_rows():
    design = build_design("y ~ x + (1 | g)", with_holes(x=[0, 5]), weights=W, offset=-W)
    kept = np.delete(W, [0, 5])
    assert design.weights.tolist() == kept.tolist()
    assert design.offset.tolist() == (-kept).tolist()


def test_missing_weights_and_offsets_cost_their_rows():
    weights, offset = W.copy(), W.copy()
    weights[2], offset[3] = np.nan, np.nan
    design = build_design("y ~ x + (1 | g)", DATA, weights=weights, offset=offset)
    assert design.notes == ("2 of 24 rows were left out because of missing values: weights (1), offset (1)",)
    assert len(design.weights) == len(design.offset) == design.n_rows == 22


def test_a_series_is_aligned_by_its_labels():
    series = pd.Series(W, index=DATA.index)
    shuffled = series.sample(frac=1, random_state=1)
    assert build_design("y ~ x + (1 | g)", DATA, weights=shuffled).weights.tolist() == W.tolist()
    longer = pd.Series(np.arange(30.0) + 1)
    with pytest.raises(DataError, match="30 values for the 24 rows"):
        build_design("y ~ x + (1 | g)", DATA, weights=longer.to_numpy())


@pytest.mark.parametrize("index", [range(1, 25), [0] * 24])
def test_a_series_with_other_labels_is_refused(index):
    with pytest.raises(DataError, match=r"index of weights.*weights\.to_numpy\(\)"):
        build_design("y ~ x + (1 | g)", DATA, weights=pd.Series(W, index=index))


def test_rows_of_weight_zero_are_left_out_and_counted():
    weights, data = W.copy(), DATA.assign(y=DATA["y"].where(np.arange(24) > 0))
    weights[:3] = 0
    design = build_design("y ~ x + (1 | g)", data, weights=weights, missing="raise")
    assert design.n_rows == 21
    assert design.index.tolist() == DATA.index[3:].tolist()
    assert design.notes == ("3 of 24 rows were left out because their weight is zero",)
    both = build_design("y ~ x + (1 | g)", data.assign(x=DATA["x"].where(np.arange(24) != 5)), weights=weights)
    assert both.n_rows == 20
    assert both.n_dropped == 4
    assert both.notes[1] == "1 of 24 rows was left out because of missing values: x (1)"


def test_rows_without_trials_are_left_out():
    data = DATA.assign(s=2.0, f=np.where(np.arange(24) < 2, 0.0, 3.0)).assign(s=lambda d: d["s"] * (d["f"] > 0))
    design = build_design("cbind(s, f) ~ x + (1 | g)", data, response_kind="binomial")
    assert design.n_rows == 22
    assert design.notes == ("2 of 24 rows were left out because they have no trials",)
    with pytest.raises(DataError, match="no rows are left: each of the 24 rows says nothing: they have no trials"):
        build_design("cbind(s, f) ~ x + (1 | g)", data.assign(s=0.0, f=0.0), response_kind="binomial")


def test_columns_that_only_rows_without_weight_tell_apart_are_redundant():
    data = DATA.assign(first=np.eye(24)[0])
    weights = W.copy()
    weights[0] = 0
    with pytest.warns(UserWarning, match="first = 0"):
        assert build_design("y ~ x + first + (1 | g)", data, weights=weights).fixed.dropped == ("first",)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.where(W > 1.9, -1.0, W), r"weights must not be negative: 2 values are, such as -1"),
        (np.where(W > 1.99, np.inf, W), r"weights is infinite \(inf\)"),
        (np.zeros(24), "weights must be positive somewhere"),
        (W[:5], "weights has 5 values for the 24 rows"),
        (np.ones((24, 2)), "'weights' has 2 dimensions"),
        (["heavy"] * 24, "'weights' is not numeric"),
        ("f", "column 'f' is not numeric"),
        ("nothing", "no column 'nothing'"),
    ],
)
def test_weights_without_meaning_are_refused(weights, message):
    with pytest.raises(DataError, match=message):
        build_design("y ~ x + (1 | g)", DATA, weights=weights)


@pytest.mark.parametrize("weights", [3.0, True, object()])
def test_weights_of_another_type(weights):
    with pytest.raises(TypeError, match="weights must be the name of a column or an array"):
        build_design("y ~ x + (1 | g)", DATA, weights=weights)


def test_offsets_of_the_formula_and_the_argument_add_up():
    design = build_design("y ~ x + offset(log(z)) + offset(x) + (1 | g)", DATA, offset="z")
    assert design.offset == pytest.approx((np.log(DATA.z) + DATA.x + DATA.z).to_numpy())
    assert design.offsets.encode(DATA.iloc[[4, 2]]) == pytest.approx(design.offset[[4, 2]])


def test_no_offset():
    design = build_design("y ~ x + (1 | g)", DATA)
    assert design.offset is None
    assert design.offsets.variables == ()
    assert design.offsets.encode(DATA) is None


def test_an_array_of_offsets_is_asked_for_again():
    design = build_design("y ~ x + offset(x) + (1 | g)", DATA, offset=W)
    with pytest.raises(SpecificationError, match="give offset=… for the new data"):
        design.offsets.encode(DATA[:3])
    assert design.offsets.encode(DATA[:3], offset=[1, 2, 3]) == pytest.approx(DATA.x[:3].to_numpy() + [1, 2, 3])


def test_offsets_of_new_rows_with_missing_values_are_nan():
    design = build_design("y ~ x + offset(scale(z)) + (1 | g)", DATA)
    np.testing.assert_allclose(design.offsets.encode({"z": [DATA.z.mean(), np.nan]}), [0, np.nan], atol=1e-15)


def test_offsets_must_be_numbers():
    with pytest.raises(DataError, match="f must be one column of numbers"):
        build_design("y ~ x + offset(f) + (1 | g)", DATA)


def test_infinite_offsets_of_the_formula_are_named():
    with pytest.raises(DataError, match=r"log\(k\) is infinite"):
        build_design("y ~ x + offset(log(k)) + (1 | g)", DATA.assign(k=np.arange(24)))
