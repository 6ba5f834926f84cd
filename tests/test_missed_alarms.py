"""What cannot be estimated is said; ``python -m tests.missed_alarms`` takes twenty data sets of each design."""

import pytest

from tests.missed_alarms import cases, missed

CASES = list(cases())


def test_there_are_sixty_designs():
    assert len(CASES) >= 60


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_no_alarm_is_missed(case):
    assert missed(case, 3) == ""
