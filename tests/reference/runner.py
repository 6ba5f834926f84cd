"""Suites of comparisons, and how to run them over a folder."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import inf

from tests.reference.cases import Case
from tests.reference.coverage import plan
from tests.reference.measures import Measure
from tests.reference.translate import Outcome


@dataclass(frozen=True)
class Suite:
    """Comparers of one feature, for the cases of some R functions."""

    name: str
    engines: frozenset[str]
    fit: Callable[[Case], Outcome]
    comparers: dict[str, Callable[..., Iterator[Measure]]]
    table: str = ""  # for suites that look at part of case["anova"]: regular expression of its keys

    def applies(self, case: Case) -> bool:
        """Whether the case is of these R functions and has something to compare."""
        if case.engine not in self.engines or not any(True for _ in plan(case, self.comparers)):
            return False
        return not self.table or any(re.match(self.table, key) for key in case.get("anova", {}))


def measures(suite: Suite, case: Case) -> Iterator[Measure]:
    """All measures of a case; errors propagate."""
    outcome = suite.fit(case)
    for _, comparer in plan(case, suite.comparers):
        yield from comparer(case, outcome)


def measures_with_errors(suite: Suite, case: Case) -> list[Measure]:
    """The same for a scoreboard: an exception is an infinite error of what it prevented."""
    try:
        outcome = suite.fit(case)
    except Exception as error:
        return [Measure("flags", "fit", inf, f"{type(error).__name__}: {error}")]
    out: list[Measure] = []
    for key, comparer in plan(case, suite.comparers):
        try:
            out.extend(comparer(case, outcome))
        except Exception as error:
            out.append(Measure("flags", key, inf, f"{type(error).__name__}: {error}"))
    return out


def pairs(suites: Iterable[Suite], cases: Iterable[Case]) -> list[tuple[Suite, Case]]:
    cases = list(cases)
    return [(suite, case) for suite in suites for case in cases if suite.applies(case)]
