"""After the tests: digits of agreement with R by quantity."""

from typing import Any

from tests.reference.measures import Measure, totals

SCORES: list[Measure] = []


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if SCORES:
        terminalreporter.section("digits of agreement with R")
        terminalreporter.write_line(totals(SCORES))
