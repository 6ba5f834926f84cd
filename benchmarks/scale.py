"""Crossed factors with very many levels, and rows that need not fit into memory: ``python -m benchmarks.scale``.

The ratings of MovieLens cannot be had without a licence; their shape can: the number of ratings of a user or of a film
falls as a power of its rank. Every engine runs in a process of its own, on one thread, formula and data frame included.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.runs import ONE_THREAD, ROOT
from benchmarks.worker import forget_peak, memory

HERE = Path(__file__).parent
TWO = "y ~ x + (1 | user) + (1 | film)"
THREE = "y ~ x + (1 | a) + (1 | b) + (1 | c)"
CHUNK = 5_000_000  # rows of a streamed file that are made at a time


@dataclass(frozen=True)
class Large:
    """A large problem.

    Attributes
    ----------
    name, formula, family : str
    make : callable
        Makes the frame; levels are integers.
    rows : int
    note : str
    engines : tuple of str
        Those that are asked.
    """

    name: str
    formula: str
    make: Callable[[], pd.DataFrame]
    rows: int
    note: str
    engines: tuple[str, ...] = ("iterative", "exact", "gpboost")
    family: str = "gaussian"
    options: dict[str, Any] = field(default_factory=dict)


def popular(rng: np.random.Generator, levels: int, n: int, power: float) -> np.ndarray:
    """Levels (n,) whose popularity falls as a power of their rank."""
    share = (np.arange(levels) + 10.0) ** -power
    return rng.choice(levels, n, p=share / share.sum()).astype(np.int32)


def ratings(n: int, users: int, films: int, bernoulli: bool = False, seed: int = 1) -> pd.DataFrame:
    """Ratings of films by users, as numbers or as likes."""
    rng = np.random.default_rng(seed)
    user, film, x = popular(rng, users, n, 0.6), popular(rng, films, n, 1.0), rng.standard_normal(n)
    eta = 0.1 * x + 0.45 * rng.standard_normal(users)[user] + 0.6 * rng.standard_normal(films)[film]
    likes = (rng.random(n) < 1.0 / (1.0 + np.exp(-eta))).astype(float) if bernoulli else None
    y = 3.5 + eta + 0.9 * rng.standard_normal(n) if likes is None else likes
    return pd.DataFrame({"y": y, "x": x, "user": user, "film": film})


def three_crossed(n: int, levels: int) -> pd.DataFrame:
    """Three crossed factors, all levels equally frequent."""
    rng = np.random.default_rng(2)
    codes = {name: rng.integers(0, levels, n).astype(np.int32) for name in "abc"}
    x = rng.standard_normal(n)
    y = 0.1 * x + sum(0.5 * rng.standard_normal(levels)[code] for code in codes.values()) + rng.standard_normal(n)
    return pd.DataFrame({"y": y, "x": x} | codes)


def _large(n: int, users: int, films: int, engines: tuple[str, ...], bernoulli: bool = False) -> Large:
    kind = "Bernoulli" if bernoulli else "normal"
    note = f"{kind}, {n:.0e} rows, crossed {users} x {films}".replace("e+0", "e")
    family = "binomial" if bernoulli else "gaussian"
    make = partial(ratings, n, users, films, bernoulli)
    return Large(f"{kind} {n:.0e}".replace("e+0", "e"), TWO, make, n, note, engines, family)


PROBLEMS = (
    _large(100_000, 2000, 2000, ("iterative", "exact", "gpboost")),
    _large(300_000, 5000, 5000, ("iterative", "exact", "gpboost")),
    _large(1_000_000, 20_000, 10_000, ("iterative", "gpboost")),
    _large(5_000_000, 100_000, 40_000, ("iterative", "gpboost")),
    _large(32_000_000, 200_948, 84_432, ("iterative",)),
    _large(50_000, 1000, 500, ("iterative", "exact", "gpboost"), bernoulli=True),
    _large(1_000_000, 20_000, 10_000, ("iterative", "gpboost"), bernoulli=True),
    _large(5_000_000, 100_000, 40_000, ("iterative",), bernoulli=True),
    _large(32_000_000, 200_948, 84_432, ("iterative",), bernoulli=True),
    Large(
        "three crossed",
        THREE,
        partial(three_crossed, 300_000, 3000),
        300_000,
        "3e5 rows, crossed 3000³",
        ("iterative",),
    ),
)
BY_NAME = {problem.name: problem for problem in PROBLEMS}


def fitted(problem: Large, engine: str, frame: pd.DataFrame) -> dict[str, Any]:
    """Fit with one engine: what is worth telling."""
    if engine == "gpboost":
        return _by_gpboost(problem, frame)
    import mixedfx as mfx

    control = mfx.Control(remainder=engine)
    if problem.family == "gaussian":
        fit = mfx.lmer(problem.formula, frame, control=control)
    else:
        fit = mfx.glmer(problem.formula, frame, family=problem.family, control=control)
    deviations = [float(np.sqrt(term.matrix[0, 0])) for term in fit.varcorr.terms]
    return {
        "deviations": deviations,
        "error": float(fit.certificate.monte_carlo_error),
        "converged": bool(fit.converged),
    }


def _by_gpboost(problem: Large, frame: pd.DataFrame) -> dict[str, Any]:
    import gpboost

    kind = "gaussian" if problem.family == "gaussian" else "bernoulli_logit"
    model = gpboost.GPModel(group_data=frame[["user", "film"]], likelihood=kind, num_parallel_threads=1)
    model.fit(y=frame["y"].to_numpy(), X=np.column_stack([np.ones(len(frame)), frame["x"]]))
    variances = np.asarray(model.get_cov_pars(format_pandas=False)).ravel()[-2:]
    return {"deviations": np.sqrt(variances).tolist(), "error": None, "converged": None}


def worker(name: str, engine: str) -> None:
    """Fit one problem with one engine, and print what it took."""
    warnings.simplefilter("ignore")
    problem = BY_NAME[name]
    fitted(problem, engine, problem.make().head(2000))  # what is loaded at a first fit is not the problem's
    frame = problem.make()
    before = memory("VmRSS")
    forget_peak()
    start = time.process_time()
    answer = fitted(problem, engine, frame)
    seconds = time.process_time() - start
    print(json.dumps(answer | {"seconds": seconds, "peak": memory("VmHWM") - before}))


def streamed(rows: int) -> dict[str, Any]:
    """Sums over a Parquet file that is written first, and the fit to them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    import mixedfx as mfx

    with tempfile.TemporaryDirectory() as folder:
        path, writer = Path(folder) / "rows.parquet", None
        for seed, first in enumerate(range(0, rows, CHUNK)):
            table = pa.Table.from_pandas(ratings(min(CHUNK, rows - first), 20_000, 500, seed=seed))
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table, row_group_size=500_000)
        if writer is not None:
            writer.close()
        before = memory("VmRSS")
        forget_peak()
        start = time.process_time()
        fit = mfx.lmer(None, mfx.cross_products(path, TWO))
        seconds = time.process_time() - start
        return {"seconds": seconds, "peak": memory("VmHWM") - before, "converged": bool(fit.converged)}


def run(arguments: list[str], cap: float) -> dict[str, Any]:
    """Run this module once more, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale", *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=cap, cwd=ROOT, env=os.environ | ONE_THREAD, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failure": f"more than {cap:.0f} s"}
    if done.returncode:
        return {"failure": (done.stderr.strip().splitlines() or ["killed"])[-1][:200]}
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def table(record: list[dict[str, Any]]) -> str:
    """CPU seconds, peak memory above the data, and the stated Monte Carlo error."""
    lines = [
        "| problem | engine | CPU s | peak, GB | standard deviations | Monte Carlo error, of a se |",
        "|---|---|---|---|---|---|",
    ]
    for entry in record:
        if "failure" in entry:
            lines.append(f"| {entry['note']} | {entry['engine']} | {entry['failure']} | | | |")
            continue
        deviations = ", ".join(f"{value:.4f}" for value in entry.get("deviations", []))
        error = "" if not entry.get("error") else f"{100 * entry['error']:.2g} %"
        lines.append(
            f"| {entry['note']} | {entry['engine']} | {entry['seconds']:.3g} | {entry['peak'] / 1024:.2f} "
            f"| {deviations} | {error} |"
        )
    return "\n".join(lines)


def picture(record: list[dict[str, Any]], path: Path) -> None:
    """Time against the number of rows, a line an engine."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for entry in record:
        if "seconds" in entry and entry["kind"] != "three":
            lines.setdefault((entry["engine"], entry["kind"]), []).append((entry["rows"], entry["seconds"]))
    for (engine, kind), points in lines.items():
        rows, seconds = zip(*sorted(points), strict=True)
        axes.loglog(rows, seconds, "--o" if kind == "Bernoulli" else "-o", label=f"{engine}, {kind}")
    axes.set(xlabel="rows", ylabel="CPU seconds, one thread", title="Crossed factors with many levels")
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--problem", default="", help="only problems whose name matches this regular expression")
    parser.add_argument("--cap", type=float, default=600.0, help="seconds a run may take")
    parser.add_argument("--stream", type=float, nargs="*", default=[1e7], help="rows of streamed files")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of scale.json, scale.md and scale.png")
    parser.add_argument("--one", nargs=2, metavar=("PROBLEM", "ENGINE"), help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        worker(*options.one)
        return
    if options.rows:
        print(json.dumps(streamed(int(options.rows))))
        return
    record = []
    for problem in (p for p in PROBLEMS if re.search(options.problem, p.name)):
        for engine in problem.engines:
            answer = run(["--one", problem.name, engine], options.cap)
            kind = problem.name.split()[0]
            record.append({"note": problem.note, "rows": problem.rows, "engine": engine, "kind": kind} | answer)
            print(table(record[-1:]).splitlines()[-1], flush=True)
    for rows in options.stream:
        note = f"normal, {rows:.0e} rows of a Parquet file, crossed 20000 x 500".replace("e+0", "e")
        answer = run(["--rows", str(rows)], options.cap)
        record.append({"note": note, "rows": int(rows), "engine": "streamed", "kind": "normal"} | answer)
        print(table(record[-1:]).splitlines()[-1], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "scale.json").write_text(json.dumps(record, indent=1))
    (options.output / "scale.md").write_text(f"# Large crossed designs\n\n{__doc__}\n{table(record)}\n")
    picture(record, options.output / "scale.png")


if __name__ == "__main__":
    main()
