"""``python -m tests.validation``: write the grid of the site's page on validation, our numbers beside those of R.

One row for each quantity of each case of ``tests/reference``: of all numbers of that quantity the one that agrees
least.
"""

import csv
import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.reference.cases import Case, load_cases
from tests.reference.measures import Measure
from tests.reference.runner import Suite, measures, pairs
from tests.reference.suites import ACTIVE, SUITES

TABLE = Path(__file__).parents[1] / "docs" / "validation.csv"
COLUMNS = ("case", "program", "suite", "quantity", "number", "ours", "theirs", "error", "tolerance", "digits")
NOTHING = "nothing to compare"  # R has no number there
Row = dict[str, str]


def finished() -> list[tuple[Suite, Case]]:
    """Pairs of a suite whose feature is finished and a case that it applies to."""
    return pairs([suite for suite in SUITES if suite.name in ACTIVE], load_cases())


def rows(chosen: Iterable[tuple[Suite, Case]]) -> Iterator[Row]:
    """The grid of some pairs, a row for each quantity."""
    for suite, case in chosen:
        worst: dict[str, Measure] = {}
        for found in measures(suite, case):
            if found.worst == NOTHING:
                continue
            known = worst.get(found.quantity)
            if known is None or found.error > known.error:
                worst[found.quantity] = found
        yield from (_row(suite, case, found) for found in worst.values())


def _row(suite: Suite, case: Case, found: Measure) -> Row:
    """What ``Measure.worst`` says, "Days: 10.47 against 10.47", in columns."""
    left, _, theirs = found.worst.rpartition(" against ")
    place, _, ours = left.rpartition(" ") if found.quantity not in ("flags", "counts") else ("", "", left)
    return {
        "case": case.name,
        "program": case.engine,
        "suite": suite.name,
        "quantity": found.quantity,
        "number": f"{found.label} {place}".strip(),
        "ours": ours,
        "theirs": theirs,
        "error": f"{found.error:.1e}",
        "tolerance": f"{found.tolerance:g}",
        "digits": f"{found.digits:.1f}",
    }


def text(table: Iterable[Row]) -> str:
    """The grid as a file of comma-separated values."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return out.getvalue()


def read() -> list[Row]:
    """The grid as it is published."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main() -> int:
    TABLE.write_text(text(rows(finished())), encoding="utf-8")
    print(f"{len(read())} rows in {TABLE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
