"""Fit one problem with one Python engine in a process of its own: ``python -m benchmarks.worker ENGINE TASK``."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.problems import PROBLEMS, Problem


def memory(field: str) -> float:
    """A line of the process's status in MB: ``VmRSS`` now, ``VmHWM`` at the peak."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    line = next(line for line in status.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def timed(fit: Callable[[], Any], task: dict[str, Any]) -> tuple[list[float], float, Any]:
    """CPU times of warm fits, peak memory of the first above what was there, and the first fit.

    One thread's CPU time is its wall-clock time on a quiet core, and does not count the time of others on a busy one.
    """
    before = memory("VmRSS")
    forget_peak()
    begin = time.process_time()
    first = fit()
    duration = time.process_time() - begin
    peak = memory("VmHWM") - before
    times = [duration] if duration > task["long"] else []
    while len(times) < task["repeats"] and (not times or time.process_time() - begin < task["budget"]):
        start = time.process_time()
        fit()
        times.append(time.process_time() - start)
    return times, peak, first


def load(peer: Any) -> None:
    """Fit something tiny, so that what a package loads at its first fit is no memory of the problem's."""
    rows = range(40)
    tiny = pd.DataFrame({"y": [(7 * i) % 11 + i % 8 for i in rows], "g": pd.Categorical([f"L{i % 8}" for i in rows])})
    peer.fit(Problem("tiny", "y ~ 1 + (1 | g)", lambda: tiny, ""), tiny)


def main(engine: str, task_file: str) -> None:
    warnings.simplefilter("ignore")
    task = json.loads(Path(task_file).read_text())
    peer = import_module(f"benchmarks.peers.{engine}")
    problem = PROBLEMS[task["name"]]
    load(peer)
    frame = pd.read_csv(task["csv"], dtype=dict.fromkeys(task["factors"], str))
    frame = frame.astype(dict.fromkeys(task["factors"], "category"))
    times, peak, first = timed(lambda: peer.fit(problem, frame), task)
    print(json.dumps(asdict(peer.estimates(first)) | {"times": times, "peak": peak, "version": peer.VERSION}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
