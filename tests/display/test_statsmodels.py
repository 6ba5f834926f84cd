"""Summaries as statsmodels': nothing is lost, neither what is shown nor the numbers behind it."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from statsmodels.iolib.summary import Summary as Foreign

import mixedfx as mfx
from mixedfx._display import Column, Fact, Facts, Numbers, Summary, Table, Text

NAMES = Column("group", ("a", "b", "c"), stub=True)
VALUES = Column("estimate", (1.23456789, None, -2e-9), Numbers())
WORDS = Column("said", ("x", "y_z", "µ < 3"), Text())
TABLE = Table((NAMES, VALUES, WORDS), "Estimates", ("A footnote.",), ((1, "the others"),))
FACTS = Facts((Fact("Formula", "y ~ x", wide=True), Fact("Rows", 180), Fact("AIC", 12.3456, "12.3"), Fact("Last", "")))
SUMMARY = Summary((FACTS, TABLE), "A model", ("A note.", "Another."))


@pytest.fixture(scope="module")
def fit():
    return mfx.glmer(
        "cbind(incidence, size - incidence) ~ period + (1 | herd)", mfx.load_dataset("cbpp"), family="binomial"
    )


def shown(summary):
    return [[[str(cell) for cell in row] for row in table.data] for table in summary.tables]


def test_every_cell_title_and_note_is_there():
    theirs = SUMMARY.as_statsmodels()
    assert isinstance(theirs, Foreign)
    assert [table.title for table in theirs.tables] == ["A model", "", "Estimates"]
    assert shown(theirs) == [
        [["Formula:", "y ~ x"]],
        [["Rows:", "180", "AIC:", "12.3"], ["Last:", "", "", ""]],
        [
            ["group", "estimate", "said"],
            ["a", "1.2346", "x"],
            ["the others", "", ""],
            ["b", "", "y_z"],
            ["c", "-2.000e-09", "µ < 3"],
        ],
    ]
    assert theirs.extra_txt == "A footnote.\nNotes:\n[1] A note.\n[2] Another."


def test_numbers_are_not_rounded():
    facts, table = SUMMARY.as_statsmodels().tables[1:]
    assert facts.data[0][1::2] == [180, 12.3456]
    assert [row[1] for row in table.data[1:] if row[1] != ""] == [1.23456789, -2e-9]


@pytest.mark.parametrize("write", ["as_text", "as_csv", "as_html", "as_latex"])
def test_statsmodels_can_write_it_anyhow(fit, write):
    written = getattr(fit.summary().as_statsmodels(), write)()
    assert "period[T.2]" in written or r"period[T.2]" in written.replace("{[}", "[").replace("{]}", "]")


def test_a_summary_of_a_fit(fit):
    table = fit.summary().as_statsmodels().tables[-1]
    header, rows = table.data[0], table.data[1:]
    assert [row[0] for row in rows] == list(fit.params.index)
    np.testing.assert_array_equal([row[header.index("coef")] for row in rows], fit.params)
    assert {len(line) for line in str(table).splitlines()[1:]} == {len(str(table).splitlines()[-1])}


def test_tables_of_every_kind(fit):
    for table in (mfx.emmeans(fit, "period"), mfx.anova(fit), mfx.emmeans(fit, "period").pairs()):
        theirs = table.summary().as_statsmodels()
        assert len(theirs.tables) == 1
        assert len(theirs.tables[0].data) == len(table.to_frame()) + 1


def test_nothing_to_show():
    assert Summary(()).as_statsmodels().tables == []
    empty = Summary((Table((Column("x", ()),)),)).as_statsmodels()
    assert empty.tables[0].data == [["x"]]


def test_it_can_be_pickled():
    again = pickle.loads(pickle.dumps(SUMMARY.as_statsmodels()))
    assert again.as_text() == SUMMARY.as_statsmodels().as_text()


def test_statsmodels_is_loaded_only_then():
    code = """
import sys, mixedfx as mfx
fit = mfx.lmer("Reaction ~ Days + (1 | Subject)", mfx.load_dataset("sleepstudy"))
str(fit.summary())
print("statsmodels" in sys.modules)
fit.summary().as_statsmodels()
print("statsmodels" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True"]
