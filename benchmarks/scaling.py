"""How time and memory of mixedfx grow as rows, levels and parameters double: ``python -m benchmarks.scaling``."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.problems import crossed, labels, slopes
from benchmarks.worker import timed


def with_parameters(size: int, n: int = 100_000, levels: int = 2000) -> pd.DataFrame:
    """A random intercept and ``size - 1`` random slopes."""
    rng = np.random.default_rng(size)
    g, X = rng.integers(0, levels, n), np.column_stack([np.ones(n), rng.standard_normal((n, size - 1))])
    b = 0.5 * rng.standard_normal((size, levels))
    columns = {f"x{i}": X[:, i] for i in range(1, size)}
    y = np.sum(X.T * b[:, g], axis=0) + rng.standard_normal(n)
    return pd.DataFrame({"y": y, "g": labels(g)} | columns)


def cases() -> Iterator[tuple[str, int, str, Callable[[], pd.DataFrame]]]:
    """Curve, size, formula, data."""
    one, two = "y ~ x + (1 + x | g)", "y ~ x + (1 | a) + (1 | b)"
    for n in (62_500, 125_000, 250_000, 500_000, 1_000_000):
        yield "rows (10 000 groups with slopes)", n, one, partial(slopes, n, 10_000)
    for m in (6250, 12_500, 25_000, 50_000, 100_000):
        yield "groups with slopes (500 000 rows)", m, one, partial(slopes, 500_000, m)
    for q in (1, 2, 4, 8):
        columns = " + ".join(["1", *(f"x{i}" for i in range(1, q))])
        yield (
            "random effects a group (100 000 rows)",
            q,
            f"y ~ {columns} + ({columns} | g)",
            partial(with_parameters, q),
        )
    for m in (250, 500, 1000, 2000):
        yield "levels of each of two crossed factors (100 000 rows)", m, two, partial(crossed, 100_000, m, m)


def main() -> None:
    import mixedfx as mfx

    warnings.simplefilter("ignore")
    task: dict[str, Any] = {"repeats": 3, "budget": 5.0, "long": 3.0}
    for curve, size, formula, make in cases():
        frame = make()
        times, peak, _ = timed(partial(mfx.lmer, formula, frame), task)
        print(json.dumps({"curve": curve, "size": size, "seconds": float(np.median(times)), "peak": peak}))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
