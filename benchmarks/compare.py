"""``python -m benchmarks.compare BASE``: this tree beside an earlier commit, as ratios of pairs of runs.

Both sides run in processes of their own with one thread, by turns, the order of a pair changing each time. The ratio of
a pair is this tree's CPU time divided by the base's; the table has the medians. ``--check`` fails if a median is above
the limit, and still is in twice as many further pairs.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.report import duration, markdown
from benchmarks.runs import ONE_THREAD, ROOT
from benchmarks.tasks import tasks

IMPORTS = {
    "import mixedfx": "import mixedfx",
    "from mixedfx import lmer": "from mixedfx import lmer",
    "first fit": "import mixedfx as m; m.lmer('Reaction ~ Days + (Days | Subject)', m.load_dataset('sleepstudy')).llf",
}
CLOCK = "import time; start = time.process_time(); {script}; print(time.process_time() - start)"
PAIRS_A_PROCESS = 5  # new processes every few pairs: where memory lies in one of them is luck


@dataclass(frozen=True)
class Tree:
    """A checked-out tree, and the folder from which its processes run: it holds this tree's ``benchmarks``."""

    folder: Path
    home: Path

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=self.home,
            env=os.environ | ONE_THREAD | {"PYTHONPATH": str(self.folder)},
        )

    def script_seconds(self, name: str) -> float:
        """CPU seconds of a script in a new process, without the start of Python."""
        answer, _ = self.command("-c", CLOCK.format(script=IMPORTS[name])).communicate()
        return float(answer.split()[-1])


@contextmanager
def side(tree: Tree) -> Iterator[subprocess.Popen[str]]:
    """A process that answers; see :mod:`benchmarks.side`."""
    process = tree.command("-m", "benchmarks.side")
    try:
        where = Path(_answer(process))
        if not where.is_relative_to(tree.folder):
            raise RuntimeError(f"mixedfx of {tree.folder} was asked for, {where} was imported")
        yield process
    finally:
        process.kill()
        process.communicate()


def _answer(process: subprocess.Popen[str], question: str | None = None) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    if question is not None:
        process.stdin.write(f"{question}\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


def _seconds(process: subprocess.Popen[str], name: str) -> float:
    answer = _answer(process, name)
    try:
        return float(answer)
    except ValueError:
        raise RuntimeError(f"{name}: {answer or 'the process ended'}") from None


def pairs_of(name: str, base: Tree, head: Tree, count: int) -> list[tuple[float, float]]:
    """CPU seconds of (base, head), ``count`` times."""
    if name in IMPORTS:
        scripts = partial(base.script_seconds, name), partial(head.script_seconds, name)
        return [_in_turn(k, *scripts) for k in range(count)]
    found: list[tuple[float, float]] = []
    while len(found) < count:
        with side(base) as one, side(head) as other:
            runs = partial(_seconds, one, name), partial(_seconds, other, name)
            for run in runs:
                run()  # a first run imports and fills caches
            found += [_in_turn(k, *runs) for k in range(min(PAIRS_A_PROCESS, count - len(found)))]
    return found


def _in_turn(turn: int, one: Callable[[], float], other: Callable[[], float]) -> tuple[float, float]:
    if turn % 2:
        after, before = other(), one()
        return before, after
    return one(), other()


def median_ratio(pairs: list[tuple[float, float]]) -> float:
    """The median of head / base."""
    times = np.array(pairs)
    return float(np.median(times[:, 1] / times[:, 0]))


@contextmanager
def trees(base: str) -> Iterator[tuple[Tree, Tree]]:
    """The base's tree, checked out into a temporary folder, and this one."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home, checkout = Path(folder) / "home", Path(folder).resolve() / "base"
        shutil.copytree(ROOT / "benchmarks", home / "benchmarks")
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", checkout, base], cwd=ROOT, check=True)
        stack.callback(subprocess.run, ["git", "worktree", "remove", "--force", str(checkout)], cwd=ROOT, check=True)
        yield Tree(checkout, home), Tree(ROOT.resolve(), home)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("base", help="the commit to compare this tree with")
    parser.add_argument("--problem", default="", help="only tasks whose name matches this regular expression")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--limit", type=float, default=1.05, help="largest ratio that --check allows")
    parser.add_argument("--check", action="store_true", help="fail if a ratio is above the limit")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    names = [name for name in (*IMPORTS, *tasks()) if re.search(options.problem, name)]
    rows, slower = [], []
    with trees(options.base) as (base, head):
        for name in names:
            pairs = pairs_of(name, base, head, options.pairs)
            if options.check and median_ratio(pairs) > options.limit:
                pairs = pairs_of(name, base, head, 2 * options.pairs)
            ratio, (before, after) = median_ratio(pairs), np.median(pairs, axis=0)
            rows.append([name, duration(before), duration(after), f"{ratio:.3f}"])
            slower += [name] * (ratio > options.limit)
            print(" | ".join(rows[-1]), flush=True)
    print("\n" + markdown(["task", "base", "this tree", "ratio"], rows))
    print(f"\nabove {options.limit}: {', '.join(slower) or 'none'}")
    return int(options.check and bool(slower))


if __name__ == "__main__":
    sys.exit(main())
