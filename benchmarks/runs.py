"""Run the engines on one problem, each in a process of its own, by turns, on one core."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.peers import PYTHON, R
from benchmarks.problems import Problem

ROOT = Path(__file__).parents[1]
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
)


@dataclass(frozen=True)
class Plan:
    """How to measure: rounds of alternating runs, fits a run, seconds a run may repeat, seconds it may take at all."""

    rounds: int = 3
    repeats: int = 15
    budget: float = 6.0
    long: float = 2.0
    cap: float = 300.0
    pythons: tuple[str, ...] = (sys.executable,)
    core: int | None = None


@dataclass
class Measured:
    """What one engine did on one problem; ``failure`` says why it did nothing."""

    times: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=dict)
    failure: str = ""

    @property
    def seconds(self) -> float:
        return float(np.median(self.times)) if self.times else float("nan")

    @property
    def peak(self) -> float:
        return float(np.median(self.peaks)) if self.peaks else float("nan")


def factors_of(frame: pd.DataFrame) -> list[str]:
    """Columns of text or categories."""
    return [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]


def write_task(problem: Problem, frame: pd.DataFrame, folder: Path, plan: Plan) -> Path:
    """Write the data and what to do with them; every engine reads the same two files."""
    csv, task = folder / "data.csv", folder / "task.json"
    frame.to_csv(csv, index=False)
    settings = {"name": problem.name, "formula": problem.formula, "family": problem.family, "nagq": problem.nagq}
    settings |= {"csv": str(csv), "factors": factors_of(frame), "options": problem.options}
    task.write_text(json.dumps(settings | {"repeats": plan.repeats, "budget": plan.budget, "long": plan.long}))
    return task


def command_for(engine: str, task: Path, plan: Plan) -> list[str] | None:
    """The command that runs an engine, or None where it is not installed."""
    if engine in R:
        rscript = shutil.which("Rscript")
        if rscript is None or not _r_has(rscript, engine):
            return None
        return [rscript, str(ROOT / "benchmarks" / "peers" / "engine.R"), engine, str(task)]
    package = {"interlace": "interlace"}.get(engine, engine)
    for python in plan.pythons:
        found = subprocess.run([python, "-c", f"import {package}"], capture_output=True, cwd=ROOT, check=False)
        if found.returncode == 0:
            return [python, "-m", "benchmarks.worker", engine, str(task)]
    return None


def _r_has(rscript: str, package: str) -> bool:
    test = f"quit(status = !requireNamespace('{package}', quietly = TRUE))"
    return subprocess.run([rscript, "-e", test], capture_output=True, check=False).returncode == 0


def _pinned(core: int | None) -> None:
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def run(command: Sequence[str], plan: Plan) -> dict[str, Any]:
    """Run one engine once; the last line that it prints is its answer."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=plan.cap,
        cwd=ROOT,
        env=os.environ | ONE_THREAD,
        preexec_fn=lambda: _pinned(plan.core),
        check=False,
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1][:200])
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _scalar(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def measure(
    problem: Problem, frame: pd.DataFrame, engines: Sequence[str], folder: Path, plan: Plan
) -> dict[str, Measured]:
    """Measure the engines by turns; one that fails, or needs more than half its cap, has no second turn."""
    task = write_task(problem, frame, folder, plan)
    measured = {engine: Measured() for engine in engines if engine not in problem.skip}
    commands = {engine: command_for(engine, task, plan) for engine in measured}
    for _ in range(plan.rounds):
        for engine, result in measured.items():
            command = commands[engine]
            if command is None:
                result.failure = "not installed"
            if command is None or result.failure or result.seconds > 0.1 * plan.cap:
                continue
            try:
                answer = run(command, plan)
            except subprocess.TimeoutExpired:
                result.failure = f"more than {plan.cap:.0f} s"
            except RuntimeError as error:
                result.failure = str(error)
            else:
                times = answer.pop("times")
                result.times.extend(times if isinstance(times, list) else [times])
                result.peaks.append(_scalar(answer.pop("peak")))
                result.answer = {
                    key: value if key in ("beta", "covariances") else _scalar(value) for key, value in answer.items()
                }
    return measured


def installed(engines: Sequence[str], plan: Plan) -> list[str]:
    """Those of the engines that can be run here."""
    return [e for e in engines if command_for(e, Path("task.json"), plan) is not None and e in (*PYTHON, *R)]
