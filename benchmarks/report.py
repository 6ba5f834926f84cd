"""Tables and pictures of the measurements."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

Result = dict[str, Any]
REACHED = 1e-2  # an objective is reached if it is missed by no more, on the scale of -2 log L


def duration(seconds: float) -> str:
    if math.isnan(seconds):
        return "—"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _engines(results: list[Result]) -> list[str]:
    found = dict.fromkeys(engine for result in results for engine in result["engines"])
    return [engine for engine in found if engine != "mixedfx"]


def _cell(result: Result, engine: str) -> str:
    measured, own = result["engines"].get(engine), result["engines"]["mixedfx"]["seconds"]
    if measured is None:
        return ""
    if measured["failure"]:
        return "> cap" if measured["failure"].startswith("more than") else "—"
    ratio = measured["seconds"] / own
    mark = "" if reaches(result, engine) else "†"
    return f"{duration(measured['seconds'])} **{ratio:.3g}×**{mark}"


def reaches(result: Result, engine: str, slack: float = REACHED) -> bool:
    """Whether an engine's objective is the best one, but for rounding of its stopping rule."""
    excess = result["engines"][engine]["excess"]
    return excess is None or math.isnan(excess) or excess <= slack


def times_table(results: list[Result]) -> str:
    """Median CPU seconds of a warm fit; in bold, how many times longer than mixedfx."""
    peers = _engines(results)
    rows = [
        [r["name"], r["note"], duration(r["engines"]["mixedfx"]["seconds"]), *(_cell(r, e) for e in peers)]
        for r in results
    ]
    return markdown(["problem", "", "mixedfx", *peers], rows)


def memory_table(results: list[Result]) -> str:
    """Peak memory of the first fit in MB, above what data and package take."""
    engines = ["mixedfx", *_engines(results)]
    rows = []
    for r in results:
        cells = [r["engines"].get(e, {"peak": float("nan")})["peak"] for e in engines]
        rows.append([r["name"], *("—" if math.isnan(c) else f"{c:.0f}" for c in cells)])
    return markdown(["problem", *engines], rows)


def objective_table(results: list[Result]) -> str:
    """How far above the best engine's each objective is (-2 log L)."""
    engines = ["mixedfx", *_engines(results)]
    rows = []
    for r in results:
        cells = [r["engines"].get(e, {"excess": None})["excess"] for e in engines]
        rows.append([r["name"], *("—" if c is None or math.isnan(c) else f"{c:.1e}" for c in cells)])
    return markdown(["problem", *engines], rows)


README = """# Benchmarks

`python -m benchmarks` fits every problem of `problems.py` with mixedfx and with every peer that is installed, each run
in a process of its own, one thread, engines by turns, and writes this page, `results.json` and `results.png`.
Peers in another environment are found with `--python path/to/python`; lme4 and glmmTMB through `Rscript`.
`python -m benchmarks --inference` measures degrees of freedom, profiles and bootstraps instead, beside fits and R.
`python -m benchmarks.compare BASE` compares this tree with an earlier commit: ratios of alternating pairs of runs
(`--check` fails above 1.05).

Measured {date} ({machine}); {rounds}. Versions: {versions}.

## Time of a warm fit

CPU seconds (what a fit takes on a quiet core), formula and data frame included: the median, and in bold **how many
times longer than mixedfx**. `—`: outside the package, or an error; `> cap`: cut; †: stopped where -2 log L is more than
{slack:g} above the best.

{times}

## Peak memory

MB above what the loaded package and the data take, during one fit.

{memory}

## Objective

How far -2 log L (REML if linear) at each engine's estimates lies above the best, all evaluated in mixedfx's criterion;
dispersion and zero inflation at their best for the engine's other estimates. gpboost is left out (it has no REML, and
its likelihood of several factors is approximate), and so are engines that do not give their covariances in full.

{objectives}

## Many fits of one design

{refits}

## Import

{imports}

## Growth

{scaling}

![Times and growth](results.png)
"""


def readme(record: Result) -> str:
    """The page of a whole run."""
    results = record["results"]
    found: dict[str, str] = {}
    for result in results:
        found |= {e: str(m["version"]) for e, m in result["engines"].items() if m["version"]}
    curves = [[s["curve"], f"{s['size']:,}", duration(s["seconds"]), f"{s['peak']:.0f}"] for s in record["scaling"]]
    return README.format(
        date=record["date"],
        machine=record["machine"],
        rounds=record["rounds"],
        versions=", ".join(f"{engine} {version}" for engine, version in found.items()),
        slack=REACHED,
        times=times_table(results),
        memory=memory_table(results),
        objectives=objective_table(results),
        refits=markdown(["200 responses", "one fit of many"], [[n, duration(s)] for n, s in record["refits"].items()]),
        imports=markdown(["", "seconds"], [[name, duration(s)] for name, s in record["imports"].items()]),
        scaling=markdown(["", "size", "time", "peak MB"], curves),
    )


def picture(results: list[Result], scaling: list[Result], path: Path) -> None:
    """Times by problem and engine, and the scaling curves."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 0.42 * len(results) + 2), width_ratios=[3, 2])
    for engine in ("mixedfx", *_engines(results)):
        seconds = [r["engines"].get(engine, {"seconds": float("nan")})["seconds"] for r in results]
        size, order = (70, 3) if engine == "mixedfx" else (28, 2)
        left.scatter(seconds, range(len(results)), s=size, zorder=order, label=engine)
    left.set_yticks(range(len(results)), [r["name"] for r in results])
    left.invert_yaxis()
    left.set_xscale("log")
    left.set_xlabel("CPU seconds of a warm fit, one thread")
    left.grid(axis="x", alpha=0.4)
    left.legend(fontsize=8)
    for curve in dict.fromkeys(s["curve"] for s in scaling):
        own = [s for s in scaling if s["curve"] == curve]
        right.plot([s["size"] / own[-1]["size"] for s in own], [s["seconds"] for s in own], "o-", label=curve)
    right.set_xscale("log", base=2)
    right.set_yscale("log", base=2)
    right.set_xlabel("size, relative to the largest")
    right.set_ylabel("seconds, mixedfx")
    right.grid(alpha=0.4)
    if scaling:
        right.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
