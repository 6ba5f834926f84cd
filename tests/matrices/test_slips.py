"""What looks like a slip of the data is said in a note, and what does not is not."""

import numpy as np
import pandas as pd
import pytest

from mixedfx.matrices import build_design

Y = np.arange(12.0)
ARM, ID = np.repeat(["drug", "placebo"], 6), np.tile(np.arange(1, 5), 3)


def notes(**columns):
    data = pd.DataFrame({"y": Y, "x": np.tile([0.0, 1.0, 2.0], 4), "arm": ARM, "id": ID}).assign(**columns)
    return " ".join(build_design("y ~ x + arm + (1 | id)", data).notes)


def with_value(values, value):
    return np.concatenate([[value, value], values[2:]])


@pytest.mark.parametrize("code", [-99, 999, -9999.0, 99])
@pytest.mark.parametrize("column", ["y", "x"])
def test_a_usual_code_far_from_all_other_values_is_doubted(code, column):
    values = with_value(Y, code)
    assert f"{column} is {code:g} in 2 rows" in notes(**{column: values})


@pytest.mark.parametrize(
    "values",
    [
        Y,
        with_value(Y, 12.0),  # no code
        np.linspace(0, 99, 12),  # the end of a scale
        with_value(2 * Y, -9.0),  # not further than the others are from each other
        np.tile([-9.0, 9.0], 6),  # a contrast
    ],
)
def test_values_that_may_well_be_true_are_not(values):
    assert notes(y=values, x=values) == ""


def test_ids_are_no_measurements():
    assert notes(id=np.where(ID == 4, 99, ID)) == ""


@pytest.mark.parametrize("column", ["arm", "id"])
def test_labels_that_differ_in_spaces_alone_are_named(column):
    labels = np.where(np.arange(12) % 5 == 0, "drug ", "drug").astype(object)
    labels[-1] = "placebo"
    assert f"{column} has levels that differ in spaces alone: 'drug ' beside 'drug'" in notes(**{column: labels})
    assert notes(**{column: np.where(ARM == "drug", "drug ", ARM)}) == "", "one spelling of each level"


@pytest.mark.parametrize("column", ["arm", "id"])
def test_words_that_differ_in_capitals_alone_are_named(column):
    labels = np.where(np.arange(12) % 5 == 0, "Drug", "drug").astype(object)
    labels[-1] = "placebo"
    told = notes(**{column: labels})
    assert f"{column} has levels that differ in capitals alone: 'Drug' beside 'drug'" in told
    assert f"data['{column}'].str.lower() makes them the same" in told
    for alleles in (["AA", "Aa", "aa"], ["m", "M", "w"], ["Drug", "Placebo", "drugs"]):
        assert "capitals" not in notes(**{column: np.tile(alleles, 4)})
