"""``python -m benchmarks --inference``: what inference costs, beside the fit itself and beside R, on one core."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.report import duration, markdown
from benchmarks.runs import ONE_THREAD, ROOT

SLEEPSTUDY = "Reaction ~ Days + (Days | Subject)"
LONG = "y ~ x + z + (x | g)"
REPLICATES = 200
SHARE = 0.2  # of the time of the fit that a Satterthwaite table may take
AT_LEAST = {"kenward_roger": 50.0, "bootstrap": 100.0, "profile": 20.0}  # times faster than R
LABELS = {
    "kenward_roger": "Kenward–Roger's covariance, 10 000 rows (pbkrtest)",
    "bootstrap": f"parametric bootstrap of sleepstudy, {REPLICATES} replicates (bootMer)",
    "profile": "profile of all six parameters of sleepstudy (lme4)",
}


def seconds(function: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def satterthwaite_shares(rounds: int = 9, pattern: str = "") -> dict[str, tuple[float, float]]:
    """Median CPU seconds of a fit, and of its degrees of freedom, of every reference model: a fresh fit each time."""
    import mixedfx as mfx
    from tests.reference import translate
    from tests.reference.cases import HERE, load_cases

    out = {}
    for case in load_cases(HERE):
        if case.engine != "lmer" or not re.search(pattern, case.name):
            continue
        arguments = {"reml": case["REML"], **translate.common_arguments(case)}
        mfx.lmer(**arguments)
        fits, tables = [], []
        for _ in range(rounds):
            start = time.process_time()
            fit = mfx.lmer(**arguments)
            fits.append(time.process_time() - start)
            tables.append(seconds(lambda fit=fit: fit.df))
        out[case.name] = float(np.median(fits)), float(np.median(tables))
    return out


def long_frame(rows: int = 10_000) -> pd.DataFrame:
    """Groups of 20 rows with intercepts and slopes: a pattern that is sparse, in favour of pbkrtest."""
    rng = np.random.default_rng(7)
    g = np.arange(rows) // 20
    x, z = rng.normal(size=rows), (g % 2).astype(float)
    effects = rng.normal(size=(g[-1] + 1, 2)) * [1.0, 0.5]
    return pd.DataFrame({"y": x + effects[g, 0] + effects[g, 1] * x + rng.normal(size=rows), "x": x, "z": z, "g": g})


def ours(frame: pd.DataFrame, rounds: int) -> dict[str, Any]:
    """Median CPU seconds of each task after a first run, each on a fit of its own."""
    import mixedfx as mfx

    data = mfx.load_dataset("sleepstudy")
    tasks: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
        "kenward_roger": (lambda: mfx.lmer(LONG, frame), lambda fit: fit.cov_params(ddf="kenward-roger")),
        "bootstrap": (lambda: mfx.lmer(SLEEPSTUDY, data), lambda fit: mfx.bootstrap(fit, REPLICATES, seed=1)),
        "profile": (lambda: mfx.lmer(SLEEPSTUDY, data, reml=False), lambda fit: mfx.profile(fit).conf_int()),
    }
    out: dict[str, Any] = {}
    for name, (make, task) in tasks.items():
        task(make())
        times = []
        for _ in range(rounds):
            fit = make()
            times.append(seconds(lambda task=task, fit=fit: task(fit)))
        out[name] = float(np.median(times))
    out["covariance"] = mfx.lmer(LONG, frame).cov_params(ddf="kenward-roger").to_numpy()
    return out


def theirs(frame: pd.DataFrame) -> dict[str, Any]:
    """The same in R; empty without ``Rscript`` or lme4."""
    import mixedfx as mfx

    rscript = shutil.which("Rscript")
    if rscript is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        sleep, long = Path(folder) / "sleepstudy.csv", Path(folder) / "long.csv"
        mfx.load_dataset("sleepstudy").to_csv(sleep, index=False)
        frame.to_csv(long, index=False)
        script = ROOT / "benchmarks" / "peers" / "inference.R"
        command = [rscript, str(script), str(sleep), str(long), LONG]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ONE_THREAD, check=False)
    if done.returncode:
        print(done.stderr)
        return {}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measured(rounds: int = 9, rows: int = 10_000) -> dict[str, Any]:
    """All measurements, ready for JSON."""
    warnings.simplefilter("ignore")
    frame = long_frame(rows)
    own, peer = ours(frame, rounds), theirs(frame)
    covariance = own.pop("covariance")
    record: dict[str, Any] = {"ours": own, "theirs": {k: v for k, v in peer.items() if k in own}}
    record["versions"] = peer.get("versions", [])
    if "covariance" in peer:
        se = np.sqrt(np.diag(covariance))
        difference = np.abs(np.array(peer["covariance"], dtype=float) - covariance) / np.outer(se, se)
        record["kenward_roger_difference"] = float(difference.max())
    record["shares"] = satterthwaite_shares(rounds)
    return record


def tables(record: dict[str, Any]) -> str:
    """The measurements as two tables."""
    rows = []
    for name, label in LABELS.items():
        own, peer = record["ours"][name], record["theirs"].get(name)
        ratio = "—" if peer is None else f"**{peer / own:.0f}×** (wanted: {AT_LEAST[name]:.0f}×)"
        rows.append([label, duration(own), "—" if peer is None else duration(peer), ratio])
    shares = sorted(record["shares"].items(), key=lambda item: item[1][0] / item[1][1])
    worst = [[name, duration(fit), duration(table), f"{table / fit:.1%}"] for name, (fit, table) in shares[:10]]
    above = [name for name, (fit, table) in shares if table > SHARE * fit]
    return "\n\n".join(
        [
            markdown(["task", "mixedfx", "R", "faster"], rows),
            f"Satterthwaite's degrees of freedom as a share of the fit, ten largest of {len(shares)} reference models; "
            f"above {SHARE:.0%}: {', '.join(above) or 'none'}.",
            markdown(["model", "fit", "df", "share"], worst),
        ]
    )
