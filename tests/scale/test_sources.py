"""Every source of rows gives the same sums."""

import os
import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.scale.sources import grouped_rows
from tests.scale.test_cross_products import CASES, arguments_of, assert_same, pieces

pyarrow = pytest.importorskip("pyarrow")
for _name in ("parquet", "dataset"):
    pytest.importorskip(f"pyarrow.{_name}")


def parquet_folder(data, folder):
    for k, piece in enumerate(pieces(data)):
        pyarrow.parquet.write_table(pyarrow.Table.from_pandas(piece, preserve_index=False), folder / f"{k}.parquet")
    return str(folder)


def parquet_file(data, folder):
    path = folder / "rows.parquet"
    table = pyarrow.Table.from_pandas(data, preserve_index=False)
    pyarrow.parquet.write_table(table, path, row_group_size=len(data) // 7 + 1)
    return path


def arrow_dataset(data, folder):
    return pyarrow.dataset.dataset(parquet_folder(data, folder))


def duckdb_relation(data, folder):
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    return connection.sql(f"select * from read_parquet('{parquet_folder(data, folder)}/*.parquet')")


def polars_lazy(data, folder):
    polars = pytest.importorskip("polars")
    return polars.scan_parquet(f"{parquet_folder(data, folder)}/*.parquet")


def dask_frame(data, folder):
    frame = pytest.importorskip("dask.dataframe")
    return frame.from_pandas(data.reset_index(drop=True), npartitions=7)


def list_of_frames(data, folder):
    return pieces(data)


SOURCES = [parquet_folder, parquet_file, arrow_dataset, duckdb_relation, polars_lazy, dask_frame, list_of_frames]
ORDERED_BY_TEXT = (duckdb_relation, polars_lazy)  # engines that keep categories, or give them back as text


def as_given(data, source):
    """Data whose factors have one order of levels whatever reads them: that of their text."""
    if source not in ORDERED_BY_TEXT:
        return data
    changed = {name: data[name].astype(str).where(data[name].notna(), None) for name in data.select_dtypes("category")}
    return data.assign(**changed)


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "name",
    [
        "sleepstudy_weights_reml",
        "machines_factorslopes_reml",
        "cake_sum_contrasts_reml",
        "rankdef_empty_cell_reml",
        "carrots_doublebar_reml",
    ],
)
def test_a_source_gives_the_fit_in_memory(name, source, tmp_path):
    check(name, source, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", CASES)
def test_every_source_gives_the_fit_in_memory(name, source, tmp_path):
    check(name, source, tmp_path)


def check(name, source, folder):
    case = CASES[name]
    given = arguments_of(case)
    data, formula = as_given(given.pop("data"), source), given.pop("formula")
    rows = mfx.lmer(formula, data, reml=case["REML"], **given)
    stats = mfx.cross_products(source(data, folder), formula, **given)

    def reordered():
        return [mfx.lmer(formula, data[::-1], reml=case["REML"], **given)]

    assert_same(rows, mfx.lmer(None, stats, reml=case["REML"]), reordered)


def test_partitions_are_summed_where_they_are(tmp_path):
    """The sums of partitions are tasks of the user's scheduler; what comes back is their sum alone."""
    dask = pytest.importorskip("dask")
    data = mfx.load_dataset("sleepstudy")
    source = dask_frame(data, tmp_path)
    seen = []

    def scheduler(graph, keys, **options):
        seen.append(keys)
        return dask.get(graph, keys, **options)

    with dask.config.set(scheduler=scheduler):
        stats = mfx.cross_products(source, "Reaction ~ Days + (Days | Subject)")
    assert len(seen) == 2  # a look at the first rows, and the sums
    assert mfx.lmer(None, stats).nobs == 180


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_nothing(tmp_path):
    """Of a cluster of processes one dies in the middle: the scheduler gives its work to the others."""
    distributed = pytest.importorskip("distributed")
    data = pd.concat([mfx.load_dataset("sleepstudy")] * 50, ignore_index=True)
    formula = "Reaction ~ Days + (Days | Subject)"
    with (
        distributed.LocalCluster(n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        source = pytest.importorskip("dask.dataframe").from_pandas(data, npartitions=60)
        slow = source.map_partitions(slowly, meta=source._meta)
        killer = threading.Timer(1.5, kill, [client])
        killer.start()
        stats = mfx.cross_products(slow, formula)
        killer.join()
    assert_same(mfx.lmer(formula, data), mfx.lmer(None, stats))


def slowly(piece):
    time.sleep(0.2)
    return piece


def kill(client):
    pid = next(iter(client.run(os.getpid).values()))
    os.kill(pid, signal.SIGKILL)


def test_a_database_groups_rows_that_are_alike():
    duckdb = pytest.importorskip("duckdb")
    rng = np.random.default_rng(3)
    n = 5000
    data = pd.DataFrame({"g": rng.integers(0, 12, n), "f": rng.choice(list("abc"), n), "x": rng.integers(0, 5, n) / 2})
    data["y"] = 1e3 + data.x + rng.normal(size=12)[data.g] + rng.normal(size=n)
    data.loc[[5, 9, 70], "y"] = np.nan
    data.loc[[9, 71], "x"] = np.nan
    connection = duckdb.connect()
    connection.register("rows", data)
    formula = "y ~ f * x + scale(x) + (x | g)"
    relation = connection.sql("select * from rows")
    grouped, _ = grouped_rows(relation, mfx.cross_products(data, formula).recipe)
    assert len(grouped.fetchall()) < 12 * 3 * 6
    stats = mfx.cross_products("select * from rows", formula, connection=connection)
    with pytest.warns(mfx.RankDeficientWarning):
        rows, sums = mfx.lmer(formula, data), mfx.lmer(None, stats)
    assert_same(rows, sums)
    assert stats.n_rows == n - 4
    assert grouped_rows(relation, mfx.cross_products(data.assign(w=1.0), formula, weights="w").recipe) is None
    assert grouped_rows(connection.sql("select y, x + random() as x, g, f from rows"), stats.recipe) is None


def test_batches_and_chunks_of_files_are_frames(tmp_path):
    data, formula = mfx.load_dataset("sleepstudy"), "Reaction ~ Days + (Days | Subject)"
    data.to_csv(tmp_path / "rows.csv", index=False)
    batches = pyarrow.parquet.ParquetFile(parquet_file(data, tmp_path)).iter_batches(batch_size=50)
    chunks = pd.read_csv(tmp_path / "rows.csv", chunksize=50, dtype={"Subject": str})
    for source in (batches, chunks):
        assert_same(mfx.lmer(formula, data), mfx.lmer(None, mfx.cross_products(source, formula)))
