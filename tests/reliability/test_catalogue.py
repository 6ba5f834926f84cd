"""All of the reliability catalogue; ``python -m tests.reliability`` prints the scoreboard."""

import pytest

from tests.reliability import cases
from tests.reliability.catalogue import heavy, judge, missing
from tests.reliability.meta import META

# Cases where another behaviour than the catalogue's is right (docs/guide/reliability.md), and what must be said then.
ARGUED = {"SNG-06": "dropped a column that follows from the others (collinear): w0 = x"}


def _parameter(case: str):
    absent = missing(case)
    marks = [pytest.mark.slow] if heavy(case) else []
    marks += [pytest.mark.skip(reason=f"needs mixedfx.{absent[0]}")] if absent else []
    return pytest.param(case, marks=marks)


@pytest.mark.parametrize("case", [_parameter(case) for case in cases.CASES])
def test_behaves_as_it_should(case: str):
    verdict = judge(case)
    if case in ARGUED:
        assert ARGUED[case] in verdict.why
    else:
        assert verdict.passed, verdict.why


def test_every_case_in_words_has_its_check():
    light = [case for case, (category, _) in cases.CASES.items() if category != "big" and not case.startswith("NIST")]
    in_words = {case for case in light if cases.build(case)["expect"]["kind"] == "meta"}
    assert in_words == set(META)
