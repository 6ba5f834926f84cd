"""Text fits its width, aligns at decimal points and loses nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx._display import Column, Fact, Facts, Numbers, OnceOnly, Summary, Table
from mixedfx._display.formats import format_text
from mixedfx._display.text import aligned_at_point, display_width, wrap_label, wrap_sentence

NAMES = st.text(st.sampled_from("abcXYZ0123_:|+*,.()[] 日é"), min_size=1, max_size=70).filter(str.strip)


def bare(text):
    return "".join(text.split())


@given(NAMES, st.integers(8, 40))
def test_wrapped_names_fit_and_lose_nothing(name, width):
    lines = wrap_label(name, width)
    assert bare("".join(lines)) == bare(name)
    assert max(map(display_width, lines)) <= width


@given(st.text(max_size=200), st.integers(12, 40))
def test_wrapped_sentences_fit_and_lose_nothing(text, width):
    lines = wrap_sentence(format_text(text), width, "[1] ", "    ")
    assert lines[0].startswith("[1]")
    assert bare("".join(lines)) == bare("[1]" + format_text(text))
    assert max(map(display_width, lines)) <= width


def test_names_break_at_colons_first():
    assert wrap_label("Variety[T.Victory]:nitro", 20) == ["Variety[T.Victory]:", "  nitro"]


@pytest.mark.parametrize(
    "text, cells", [("Days", 4), ("日本", 4), ("e\u0301te\u0301", 3), ("χ²", 2), ("\u200b", 0), ("ﾊﾝ", 2)]
)
def test_display_width(text, cells):
    assert display_width(text) == cells


def test_points_stand_below_each_other():
    padded = [text.rjust(9) for text in aligned_at_point(["251.4051", "-0.5", "∞", "3", "12.5%"])]
    assert {len(text) for text in padded} == {9}
    assert [text.find(".") for text in padded if "." in text] == [3 + 1] * 3


def table(names, width=3, title=""):
    columns = (Column(f"column_{number}", (1.5,) * len(names), Numbers()) for number in range(width))
    return Table((Column("", tuple(names), stub=True), *columns), title=title)


@given(st.lists(NAMES, min_size=1, max_size=4), st.integers(0, 14), st.integers(40, 110))
def test_every_line_fits_and_every_cell_is_there(names, columns, width):
    block = table(names, columns)
    for blocks in ((block,), (block, block)):
        text = Summary(blocks, title="Some title", notes=("A note of several words.",)).as_text(width)
        assert max(map(display_width, text.splitlines())) <= width
        assert text.count("1.5000") == len(blocks) * len(names) * columns


def test_a_table_that_stands_alone_takes_what_it_needs():
    lines = str(Summary((table(["Intercept", "Days"], 2),), title="Effects")).splitlines()
    assert lines == [
        "             Effects",
        "=================================",
        "             column_0    column_1",
        "---------------------------------",
        "Intercept      1.5000      1.5000",
        "Days           1.5000      1.5000",
        "=================================",
    ]


def test_title_of_a_block_stands_above_the_names_of_its_rows():
    block = Table((Column("Group", ("g",), OnceOnly(), stub=True), Column("x", (1.0,), Numbers())), title="Effects")
    text = Summary((block, table(["a"], title="A title that is longer than the names")), title="Model").as_text(40)
    lines = text.splitlines()
    assert lines[2].split() == ["Effects", "x"]
    assert "A title that is longer than the names" in lines
    assert "Group" not in text


def test_wide_tables_shorten_headers_then_continue_below():
    names = ("partial_omega_squared", "partial_eta_squared", "standard_error_of_it", "another_long_header")
    wide = Table((Column("", ("a",), stub=True), *(Column(name, (1.5,), Numbers()) for name in names)))
    lines = Summary((wide,)).as_text(50).splitlines()
    assert lines[0] == "=" * 50
    assert sum(line.startswith("===") for line in lines) == 2
    for name in names:
        assert all(part in "".join(lines) for part in name.split("_"))
    assert sum(line.startswith("===") for line in Summary((wide,)).as_text(30).splitlines()) == 3


def test_facts_stand_in_pairs_and_long_ones_alone():
    facts = Facts((Fact("Formula", "y ~ x", wide=True), Fact("N", 10), Fact("AIC", 1.23456, "1.235"), Fact("M", "ML")))
    lines = Summary((facts, facts)).as_text(44).splitlines()
    assert lines[1:4] == ["Formula:  y ~ x", "N:                10    AIC:           1.235", "M:                ML"]
    long = Facts((Fact("N", 10), Fact("Link", "a very long name of a link function indeed")))
    assert [line.split(":")[0] for line in Summary((long,)).as_text(30).splitlines()[1:3]] == ["N", "Link"]
    assert facts.to_frame().loc["AIC", "value"] == 1.23456


def test_headings_open_groups_of_rows():
    block = Table((Column("", ("a", "b"), stub=True),), headings=((1, "sex = F"),))
    assert str(Summary((block,))).splitlines()[3:6] == ["a", "sex = F", "b"]


def test_footnotes_and_notes_are_at_the_bottom():
    block = Table((Column("", ("a",), stub=True),), footnotes=("Below the table.",))
    lines = str(Summary((block,), notes=("First.", "Second."))).splitlines()
    assert lines[-3:] == ["Notes:", "[1] First.", "[2] Second."]
    assert any("Below" in line for line in lines)


def test_columns_must_have_one_length():
    with pytest.raises(ValueError, match="one length"):
        Table((Column("a", (1,)), Column("b", (1, 2))))


def test_an_empty_table_has_its_header():
    assert "coef" in str(Summary((Table((Column("", (), stub=True), Column("coef", (), Numbers()))),)))
    assert str(Summary(())) == ""
