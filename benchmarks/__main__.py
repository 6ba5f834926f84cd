"""``python -m benchmarks``: mixedfx beside every peer that is installed, on one core, by turns."""

from __future__ import annotations

import argparse
import datetime
import json
import math
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import imports, inference, refits, report
from benchmarks.objectives import evaluator
from benchmarks.peers import ENGINES
from benchmarks.problems import PROBLEMS, Problem
from benchmarks.runs import ROOT, Measured, Plan, installed, measure

HERE = Path(__file__).parent


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--problem", default="", help="only problems whose name matches this regular expression")
    parser.add_argument("--engine", action="append", help="only these engines (may be repeated)")
    parser.add_argument("--python", action="append", default=[], help="further interpreters that have peers installed")
    parser.add_argument("--quick", action="store_true", help="leave out the large problems")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cap", type=float, default=300.0, help="seconds a run may take")
    parser.add_argument("--core", type=int, help="pin every run to this core")
    parser.add_argument("--no-scaling", action="store_true", help="leave out the scaling curves and import times")
    parser.add_argument("--inference", action="store_true", help="only what inference costs, beside fits and R")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of results.json and results.png")
    return parser.parse_args()


def result_of(problem: Problem, measured: dict[str, Measured], values: dict[str, float]) -> dict[str, Any]:
    """One problem's measurements, ready for JSON."""
    known = [value for value in values.values() if not math.isnan(value)]
    best = min(known) if known else float("nan")
    engines = {
        engine: {
            "seconds": m.seconds,
            "peak": m.peak,
            "objective": values.get(engine),
            "excess": values[engine] - best if engine in values else None,
            "failure": m.failure,
            "version": m.answer.get("version", ""),
        }
        for engine, m in measured.items()
    }
    return {"name": problem.name, "formula": problem.formula, "note": problem.note, "engines": engines}


def one_problem(problem: Problem, engines: Sequence[str], plan: Plan) -> dict[str, Any]:
    frame = problem.frame()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(problem, frame, engines, Path(folder), plan)
    value = evaluator(problem, frame)
    values = {engine: value(m.answer) for engine, m in measured.items() if m.answer}
    return result_of(problem, measured, values)


def scaling_curves() -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def only_inference(folder: Path) -> None:
    """Measure inference, print the tables, and keep the numbers in ``inference.json``."""
    record = inference.measured()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "inference.json").write_text(json.dumps(record, indent=1))
    print(inference.tables(record))


def main() -> None:
    options = arguments()
    if options.inference:
        only_inference(options.output)
        return
    plan = Plan(rounds=options.rounds, cap=options.cap, pythons=(sys.executable, *options.python), core=options.core)
    engines = installed(options.engine or ENGINES, plan)
    print("engines:", ", ".join(engines))
    chosen = [p for p in PROBLEMS.values() if re.search(options.problem, p.name) and not (options.quick and p.large)]
    results = []
    for problem in chosen:
        results.append(one_problem(problem, engines, plan))
        print(report.times_table(results[-1:]).splitlines()[-1], flush=True)
    full = not options.no_scaling
    record = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}, one thread",
        "results": results,
        "scaling": scaling_curves() if full else [],
        "imports": imports.measured() if full else {},
        "refits": refits.measured() if full else {},
        "rounds": f"{options.rounds} round{'s' * (options.rounds > 1)}",
    }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.json").write_text(json.dumps(record, indent=1))
    (options.output / "README.md").write_text(report.readme(record))
    report.picture(results, record["scaling"], options.output / "results.png")
    for table in (report.times_table, report.memory_table, report.objective_table):
        print(f"\n{table.__doc__}\n\n{table(results)}")
    for name, seconds in record["imports"].items():
        print(f"{name}: {report.duration(seconds)}")


if __name__ == "__main__":
    main()
