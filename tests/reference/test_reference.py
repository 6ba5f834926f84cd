"""Every number of the corpus against mixedfx; ``python -m tests.reference`` shows the digits of agreement."""

import pytest

from tests.reference.cases import HERE, Case, load_cases
from tests.reference.conftest import SCORES
from tests.reference.coverage import DESCRIPTION, left_out, whole_case
from tests.reference.measures import failures
from tests.reference.runner import Suite, measures, pairs
from tests.reference.suites import ACTIVE, SUITES

CASES = load_cases()


FINISHED = [suite for suite in SUITES if suite.name in ACTIVE]


@pytest.mark.parametrize(("suite", "case"), pairs(FINISHED, CASES), ids=lambda value: value.name)
def test_agrees_with_r(suite: Suite, case: Case):
    results = list(measures(suite, case))
    SCORES.extend(results)
    wrong = failures(results)
    assert not wrong, "\n".join(["", *wrong])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_number_is_compared_or_left_out_for_a_reason(case: Case):
    if whole_case(case):
        return
    compared = {key for suite in SUITES if case.engine in suite.engines for key in suite.comparers}
    forgotten = set(case.content) - DESCRIPTION - compared - set(left_out(case))
    assert not forgotten


def test_no_file_is_forgotten():
    assert {case.name for case in CASES} == {file.stem for file in (HERE / "fits").iterdir()}
    assert {case["data"] for case in CASES} <= {file.name for file in (HERE / "data").iterdir()}
