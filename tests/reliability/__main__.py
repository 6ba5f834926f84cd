"""``python -m tests.reliability [--heavy] [--case REGEX]``: the scoreboard of the catalogue."""

import argparse
import re
import sys
import time
from collections import Counter

from tests.reliability import cases
from tests.reliability.catalogue import heavy, judge, missing


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("--heavy", action="store_true", help="also the cases that need minutes or gigabytes")
    parser.add_argument("--case", default="", help="only cases matching this regular expression")
    options = parser.parse_args(arguments)
    total, passed, absent = Counter(), Counter(), Counter()
    for case, (category, _) in cases.CASES.items():
        if not re.search(options.case, case) or (heavy(case) and not options.heavy):
            continue
        total[category] += 1
        if missing(case):
            absent[category] += 1
            continue
        start = time.perf_counter()
        verdict = judge(case)
        passed[category] += verdict.passed
        seconds = time.perf_counter() - start
        if not verdict.passed or seconds > 5:
            print(f"{'ok  ' if verdict.passed else 'FAIL'} {case:18} {seconds:6.1f}s  {verdict.why}", flush=True)
    print(f"\n{'category':20} {'cases':>6} {'as expected':>12} {'not yet':>8}")
    for category in total:
        print(f"{category:20} {total[category]:6d} {passed[category]:12d} {absent[category]:8d}")
    runnable = sum(total.values()) - sum(absent.values())
    print(f"\n{sum(passed.values())} of {runnable} runnable cases behave as expected")
    return 0 if sum(passed.values()) == runnable else 1


if __name__ == "__main__":
    sys.exit(main())
