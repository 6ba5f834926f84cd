"""A StatsTable is a DataFrame in every respect but its looks."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

from mixedfx._display import StatsTable

FRAME = pd.DataFrame(
    {"sum_sq": [30031.0149, 12.3], "df": [1.0, 2.0], "F": [45.853, 0.9], "PR(>F)": [3.26384e-06, 0.41]},
    index=["Days", "cond<b>"],
)


@pytest.fixture
def table():
    return StatsTable.from_frame(FRAME, heading="Analysis of variance", notes=["Type III."], formats={"F": "number"})


def test_numbers_stay_unrounded(table):
    pd.testing.assert_frame_equal(table.to_frame(), FRAME)
    assert type(table.to_frame()) is pd.DataFrame
    assert table.to_frame().attrs == {}
    assert table.loc["Days", "PR(>F)"] == 3.26384e-06
    assert type(table["F"]) is pd.Series
    assert FRAME.attrs == {}


@pytest.mark.parametrize(
    "transform",
    [
        lambda t: t.copy(),
        copy.deepcopy,
        lambda t: pickle.loads(pickle.dumps(t)),
        lambda t: t.iloc[:1],
        lambda t: t[["F", "PR(>F)"]],
        lambda t: t[t["F"] > 1],
        lambda t: t.loc[["Days"]],
        lambda t: t.rename(columns={"sum_sq": "ss"}),
        lambda t: t.assign(new=1.0),
        lambda t: t.sort_values("F"),
        lambda t: pd.concat([t, t]),
        lambda t: pd.concat({"a": t, "b": t}),
        lambda t: t.head(1),
        lambda t: t.drop(columns="df"),
        lambda t: t.round(2),
    ],
)
def test_what_pandas_makes_of_it_keeps_heading_and_notes(table, transform):
    result = transform(table)
    assert type(result) is StatsTable
    assert (result.heading, result.notes) == ("Analysis of variance", ("Type III.",))
    assert str(result).splitlines()[0].strip() == "Analysis of variance"
    assert result._repr_html_().startswith('<div class="mfx">')


@pytest.mark.parametrize(
    "transform", [pd.DataFrame.describe, lambda t: t.T, lambda t: t.reset_index(), lambda t: t * 2]
)
def test_derived_tables_can_be_shown(table, transform):
    assert str(transform(table))


def test_a_copy_is_independent(table):
    other = table.copy()
    other.loc["Days", "F"] = 0.0
    other.attrs["notes"].append("changed")
    assert table.loc["Days", "F"] == 45.853
    assert table.notes == ("Type III.",)


def test_parquet_and_csv(table, tmp_path):
    pytest.importorskip("pyarrow")
    table.to_parquet(tmp_path / "t.parquet")
    back = pd.read_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(back, FRAME)
    assert back.attrs["heading"] == "Analysis of variance"
    assert StatsTable(back).notes == ()
    table.to_csv(tmp_path / "t.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "t.csv", index_col=0), FRAME)


def test_usual_columns_have_their_formats():
    frame = pd.DataFrame({"p": [0.0], "df": [17.04], "t": [1.0], "n": [7.0], "x": [1.0], "ok": [True], "k": [3]})
    row = str(StatsTable.from_frame(frame)).splitlines()[-2]
    assert row.split() == ["0", "<0.001", "17.0", "1.000", "7", "1.0000", "True", "3"]


def test_formats_can_be_chosen_and_must_exist():
    frame = pd.DataFrame({"share": [0.25]})
    assert "25.0%" in str(StatsTable.from_frame(frame, formats={"share": "percent"}))
    with pytest.raises(ValueError, match="unknown column formats"):
        StatsTable.from_frame(frame, formats={"share": "roman"})


def test_a_column_that_becomes_text_loses_its_format(table):
    assert "large" in str(table.assign(F="large"))


def test_the_same_in_all_notations(table):
    assert "Days" in table.as_text(60)
    assert "cond&lt;b&gt;" in table.as_html()
    assert r"\toprule" in table.as_latex()
    assert table.as_csv().splitlines()[1] == "Days,30031.0149,1.0,45.853,3.26384e-06"
    assert table.as_markdown().startswith("**Analysis of variance**")


def test_levels_of_the_index_are_named_once(table):
    both = pd.concat({"a": table, "b": table}, names=["group", "term"])
    lines = str(both).splitlines()
    assert lines[2].split()[:2] == ["group", "term"]
    assert [line.split()[0] for line in lines[4:8]] == ["a", "cond<b>", "b", "cond<b>"]


def test_long_tables_are_shown_in_part_and_written_whole():
    table = StatsTable.from_frame(pd.DataFrame({"x": np.arange(200.0)}))
    with pd.option_context("display.max_rows", 10):
        assert "190 more rows of 200" in repr(table)
        assert "190 more rows of 200" in table._repr_html_()
        assert len(table.as_text().splitlines()) == 204
    with pd.option_context("display.max_rows", None):
        assert len(repr(table).splitlines()) == 204


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(),
        pd.DataFrame({"x": []}),
        pd.DataFrame({"x": pd.array([1, None], dtype="Int64"), "c": pd.Categorical(["a", None])}),
        pd.DataFrame({"z": [1 + 2j], "d": pd.to_datetime(["2020-01-01"]), "o": [[1, 2]]}),
        pd.DataFrame([[1.0, 2.0]], columns=["same", "same"]),
        pd.DataFrame([[1.0, 2.0]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])),
    ],
)
def test_any_frame_can_be_shown(frame):
    table = StatsTable.from_frame(frame)
    for write in (str, StatsTable.as_html, StatsTable.as_latex, StatsTable.as_csv, StatsTable.as_markdown):
        assert isinstance(write(table), str)
