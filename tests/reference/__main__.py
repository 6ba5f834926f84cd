"""``python -m tests.reference [FOLDER] [--all] [--case REGEX] [--detail]``: the scoreboard."""

import argparse
import re
import sys
import time
from pathlib import Path

from tests.reference.cases import HERE, load_cases
from tests.reference.measures import Measure, totals
from tests.reference.runner import measures_with_errors, pairs
from tests.reference.suites import ACTIVE, SUITES

SHOWN = ("objective", "fixef", "se", "df", "sd", "modes", "fitted", "predictions")


def _line(name: str, suite: str, results: list[Measure], seconds: float) -> str:
    digits: dict[str, float] = {}
    for result in results:
        digits[result.quantity] = min(digits.get(result.quantity, 99.0), result.digits)
    wrong = sum(not result.passed for result in results)
    cells = " ".join(f"{digits[key]:9.1f}" if key in digits else " " * 9 for key in SHOWN)
    verdict = "ok" if not wrong else f"{wrong} WRONG"
    return f"{name:34} {suite:14} {cells}  {len(results):4d} {seconds:6.2f}s  {verdict}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.reference", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=HERE, help="a folder with fits/ and data/")
    parser.add_argument("--all", action="store_true", help="also suites of features that are not finished")
    parser.add_argument("--suite", help="only this suite")
    parser.add_argument("--case", default="", help="only cases matching this regular expression")
    options = parser.parse_args(arguments)
    suites = [suite for suite in SUITES if options.all or suite.name in ACTIVE or suite.name == options.suite]
    suites = [suite for suite in suites if options.suite in (None, suite.name)]
    cases = [case for case in load_cases(options.folder) if re.search(options.case, case.name)]
    every: list[Measure] = []
    print(f"{'case':34} {'suite':14} {' '.join(f'{key:>9}' for key in SHOWN)}  {'n':>4} {'time':>7}")
    for suite, case in pairs(suites, cases):
        start = time.perf_counter()
        results = measures_with_errors(suite, case)
        if not results:
            continue
        print(_line(case.name, suite.name, results, time.perf_counter() - start), flush=True)
        for result in results:
            if not result.passed:
                print(f"    {result}")
        every += results
    wrong = sum(not result.passed for result in every)
    print(f"\n{totals(every)}\n\n{len(every) - wrong} of {len(every)} comparisons agree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
