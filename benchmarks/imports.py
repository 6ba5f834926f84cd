"""How long ``import`` takes, and import with a first small fit, beside statsmodels."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np

from benchmarks.runs import ONE_THREAD, ROOT

FIRST_FIT = "import mixedfx as m; m.lmer('Reaction ~ Days + (Days | Subject)', m.load_dataset('sleepstudy')).llf"
SCRIPTS = {
    "import mixedfx": "import mixedfx",
    "from mixedfx import lmer": "from mixedfx import lmer",
    "import mixedfx and a first fit": FIRST_FIT,
    "import statsmodels.formula.api": "import statsmodels.formula.api",
}


def measured(rounds: int = 5) -> dict[str, float]:
    """Median seconds of each script in a new process, by turns; the bare interpreter's time is subtracted."""
    times: dict[str, list[float]] = {name: [] for name in ("", *SCRIPTS)}
    for _ in range(rounds):
        for name, script in {"": "", **SCRIPTS}.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=os.environ | ONE_THREAD, check=True)
            times[name].append(time.perf_counter() - start)
    bare = float(np.median(times.pop("")))
    return {name: float(np.median(values)) - bare for name, values in times.items()}
