"""What fits to Parquet files take: sums over rows, and rows that are read again and again.

``python -m benchmarks.streams`` prints CPU seconds and peak memory above that of the loaded package; each task runs in
a process of its own. ``--sums 1e8`` and ``--passes 1e7`` set the numbers of rows.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.worker import forget_peak, memory

CHUNK = 5_000_000  # rows that are made at a time
GROUPS = 10_000  # of the zeros and ones
ROWS_A_CUSTOMER = 100


def written(path: Path, rows: int, chunk: Callable[[np.random.Generator, int], pd.DataFrame]) -> None:
    """Write a Parquet file, a chunk of rows at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng, writer = np.random.default_rng(1), None
    for first in range(0, rows, CHUNK):
        table = pa.Table.from_pandas(chunk(rng, min(CHUNK, rows - first)), preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=500_000)
    if writer is not None:
        writer.close()


def purchases(customers: int) -> Callable[[np.random.Generator, int], pd.DataFrame]:
    """Numbers of customers, beside a covariate and a factor of three levels."""
    effect = np.random.default_rng(2).normal(size=customers)

    def chunk(rng: np.random.Generator, n: int) -> pd.DataFrame:
        customer, x, f = rng.integers(0, customers, n), rng.normal(size=n), rng.integers(0, 3, n)
        y = x + 0.5 * f + effect[customer] + rng.normal(size=n)
        return pd.DataFrame({"y": y, "x": x, "f": pd.Categorical(f.astype(str)), "customer": customer})

    return chunk


def events(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Zeros and ones of groups, beside a covariate."""
    effect = np.random.default_rng(2).normal(size=GROUPS)
    group, x = rng.integers(0, GROUPS, n), rng.normal(size=n)
    return pd.DataFrame(
        {"y": (rng.random(n) < 1 / (1 + np.exp(-x - effect[group]))).astype(int), "x": x, "group": group}
    )


def sums(path: Path) -> Any:
    """Sums of the rows, and the fit to them."""
    import mixedfx as mfx

    return mfx.lmer(None, mfx.cross_products(path, "y ~ x + f + (1 | customer)"))


def passes(path: Path) -> Any:
    """A generalised model whose rows are read again and again."""
    import mixedfx as mfx

    return mfx.glmer("y ~ x + (1 | group)", path, family="binomial")


def frame(path: Path) -> Any:
    """The same model of the rows in memory."""
    import mixedfx as mfx

    return mfx.glmer("y ~ x + (1 | group)", pd.read_parquet(path), family="binomial")


def cost(task: Callable[[Path], Any], path: Path, small: Path) -> tuple[float, float]:
    """CPU seconds and gigabytes above what the loaded package takes."""
    task(small)  # what is loaded at a first fit is not the task's
    before = memory("VmRSS")
    forget_peak()
    start = time.process_time()
    task(path)
    return time.process_time() - start, (memory("VmHWM") - before) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", description=__doc__)
    parser.add_argument("--sums", type=float, default=1e7, help="rows that are summed")
    parser.add_argument("--passes", type=float, default=1e6, help="rows that are read again and again")
    options = parser.parse_args()
    tasks = (
        (sums, int(options.sums), purchases(max(int(options.sums) // ROWS_A_CUSTOMER, 10))),
        (passes, int(options.passes), events),
        (frame, int(options.passes), events),
    )
    for task, rows, chunk in tasks:
        with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(1) as pool:
            path, small = Path(folder) / "rows.parquet", Path(folder) / "few.parquet"
            written(path, rows, chunk)
            written(small, 2000, chunk)
            seconds, peak = pool.apply(cost, (task, path, small))
        print(f"{task.__name__}, {rows:.0e} rows: {seconds:.3g} CPU seconds, {peak:.2g} GB", flush=True)


if __name__ == "__main__":
    main()
