"""The published grid of validation is whole, holds the tolerances, and says what the suites say today."""

import pytest

from tests.reference.measures import TOLERANCES
from tests.validation import COLUMNS, finished, read, rows

PUBLISHED = read()
AGAIN = ("sleepstudy_slope_reml", "cbpp_logit_nagq1", "aov_oats", "tmb_epil2_nbinom2")  # quick ones of four programs


def test_the_columns_are_those_of_the_page():
    assert tuple(PUBLISHED[0]) == COLUMNS


def test_every_row_agrees_within_the_tolerance_of_its_suite():
    for row in PUBLISHED:
        assert float(row["tolerance"]) == TOLERANCES[row["quantity"]], row
        assert float(row["error"]) <= float(row["tolerance"]) * 1.05, row  # the error is rounded to two digits


def test_every_case_of_a_finished_suite_is_there():
    known = {(suite.name, case.name) for suite, case in finished()}
    published = {(row["suite"], row["case"]) for row in PUBLISHED}
    assert published <= known
    assert {case for _, case in published} == {case for _, case in known}


@pytest.mark.parametrize("name", AGAIN)
def test_rows_come_out_again(name):
    chosen = [(suite, case) for suite, case in finished() if case.name == name]
    assert chosen
    known = {(row["suite"], row["quantity"]): row for row in PUBLISHED if row["case"] == name}
    found = {(row["suite"], row["quantity"]): row for row in rows(chosen)}
    assert found.keys() == known.keys()
    for key, row in found.items():
        assert float(row["error"]) <= float(row["tolerance"]), row
        if row["number"] == known[key]["number"] and row["quantity"] not in ("counts", "flags"):
            assert float(row["theirs"]) == float(known[key]["theirs"]), row
