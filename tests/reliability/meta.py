"""The cases that are described in words: life cycle, determinism, threads, files, interrupts."""

import multiprocessing
import pickle
import signal
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from tests.reliability import cases
from tests.reliability.adapter import time_limit

FORMULA = "y ~ x + (1|g)"
META: dict[str, tuple[tuple[str, ...], Callable[[], None]]] = {}


def meta(case: str, *needs: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def register(check: Callable[[], None]) -> Callable[[], None]:
        META[case] = (needs, check)
        return check

    return register


def numbers(fit: Any) -> np.ndarray:
    """Everything estimated, for bitwise comparison."""
    modes = [frame.to_numpy().ravel() for frame in fit.random_effects.values()]
    return np.concatenate([fit.params, fit.bse, np.asarray(fit.theta), [fit.sigma, fit.llf], *modes])


def same(first: Any, second: Any) -> bool:
    return bool(np.array_equal(numbers(first), numbers(second)))


@meta("PRD-18")
def integer_columns_predict_like_floats() -> None:
    fit = mfx.lmer("y ~ x + f + (1|g)", cases.base())
    integers = pd.DataFrame({"x": [1, 2], "f": ["a", "b"], "g": ["g000", "g001"]})
    floats = integers.assign(x=integers.x.astype(float))
    assert np.array_equal(fit.predict(integers), fit.predict(floats))


@meta("IDX-20")
def the_callers_frame_is_untouched() -> None:
    data = cases.base().assign(f=lambda d: pd.Categorical(d.f))
    data.attrs["source"] = "here"
    before = data.copy(deep=True)
    fit = mfx.lmer("y ~ x + f + (1|g)", data)
    fit.predict(data)
    if hasattr(mfx, "anova"):
        mfx.anova(fit)
    pd.testing.assert_frame_equal(data, before, check_exact=True)
    assert data.attrs == {"source": "here"}
    read_only = {name: data[name].to_numpy().copy() for name in ("x", "y", "g")}
    for values in read_only.values():
        values.flags.writeable = False
    assert same(mfx.lmer(FORMULA, read_only), mfx.lmer(FORMULA, data))


@meta("IDX-21")
def polars_and_arrow_give_the_same_numbers() -> None:
    import polars
    import pyarrow

    data = cases.base()
    expected = mfx.lmer(FORMULA, data)
    assert same(mfx.lmer(FORMULA, polars.from_pandas(data)), expected)
    assert same(mfx.lmer(FORMULA, pyarrow.Table.from_pandas(data)), expected)
    holes = polars.from_pandas(data).with_columns(polars.when(polars.col("x") > 1).then(None).otherwise("x").alias("x"))
    assert same(mfx.lmer(FORMULA, holes), mfx.lmer(FORMULA, data[data.x <= 1]))


@meta("CNV-01")
def a_cut_run_says_so() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = mfx.lmer("Reaction ~ Days + (Days|Subject)", cases.sleepstudy(), control=mfx.Control(max_iter=1))
    assert fit.converged is False
    messages = [str(w.message) for w in caught if issubclass(w.category, mfx.ConvergenceWarning)]
    assert any("iteration" in message or "max_iter" in message for message in messages)


@meta("CNV-08")
def refits_are_bit_identical() -> None:
    first = mfx.lmer(FORMULA, cases.base())
    mfx.lmer("Reaction ~ Days + (Days|Subject)", cases.sleepstudy())
    assert same(first, mfx.lmer(FORMULA, cases.base()))


@meta("CNV-09")
def seeds_and_the_global_state() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    fit = mfx.lmer(FORMULA, cases.base())
    assert np.array_equal(fit.simulate(3, seed=1), fit.simulate(3, seed=1))
    assert not np.array_equal(fit.simulate(3, seed=1), fit.simulate(3, seed=2))
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@meta("CNV-10", "bootstrap")
def workers_do_not_matter() -> None:
    fit = mfx.lmer("y ~ x + (1|g) + (1|h)", cases.base())
    one, two = (mfx.bootstrap(fit, 8, seed=1, n_jobs=jobs).to_frame() for jobs in (1, 2))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


@meta("CNV-11")
def threads_do_not_mix() -> None:
    frames = [cases.base(seed=seed) for seed in range(4)]
    alone = [mfx.lmer(FORMULA, frame) for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda frame: mfx.lmer(FORMULA, frame), frames))
    assert all(same(a, b) for a, b in zip(alone, together))


def _child(connection: Any) -> None:
    connection.send(numbers(mfx.lmer(FORMULA, cases.base())))


@meta("CNV-12")
def a_forked_child_fits() -> None:
    parent = mfx.lmer(FORMULA, cases.base())
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # python warns about fork in a process with threads
        process = context.Process(target=_child, args=(send,))
        process.start()
    assert receive.poll(60)
    assert np.array_equal(receive.recv(), numbers(parent))
    process.join(10)


@meta("CNV-13")
def pickles_come_back() -> None:
    data = cases.base(G=100, m=100)
    fit = mfx.lmer(FORMULA, data)
    stored = pickle.dumps(fit)
    again = pickle.loads(stored)
    assert again.summary().as_text() == fit.summary().as_text()
    assert np.array_equal(again.predict(data.head()), fit.predict(data.head()))
    assert len(stored) < 3 * data.memory_usage(deep=True).sum() + 100_000


@meta("CNV-14")
def files_come_back_without_code() -> None:
    data = cases.base()
    fit = mfx.lmer(FORMULA, data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fit.mfx"
        fit.save(path)
        assert b"pickle" not in path.read_bytes()[:4096].lower()
        again = mfx.load(path)
    assert same(again, fit)
    assert again.summary().as_text() == fit.summary().as_text()
    assert np.array_equal(again.predict(data.head()), fit.predict(data.head()))


@meta("CNV-15")
def later_changes_of_the_data_do_not_matter() -> None:
    data = cases.base()
    fit = mfx.lmer(FORMULA, data)
    before = fit.fittedvalues.copy(), fit.predict().copy(), deepcopy(fit.summary().as_text())
    data["x"] = 0.0
    data.loc[:, "y"] = 1.0
    data["g"] = "other"
    assert np.array_equal(fit.fittedvalues, before[0])
    assert np.array_equal(fit.predict(), before[1])
    assert fit.summary().as_text() == before[2]


@meta("CNV-16")
def strict_warnings_and_floating_point() -> None:
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        for formula, data in ((FORMULA, cases.base()), ("Reaction ~ Days + (Days|Subject)", cases.sleepstudy())):
            fit = mfx.lmer(formula, data)
            fit.summary().as_text()
            fit.predict(data)
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        mfx.lmer(FORMULA, cases.base())


@meta("CNV-17")
def an_interrupt_comes_through() -> None:
    data = cases.base(G=2000, m=100, slope=0.5)

    def press(*_: Any) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, press)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        for _ in range(1000):
            mfx.lmer("y ~ x + (1 + x|g)", data)
        raise AssertionError("not interrupted")
    except KeyboardInterrupt:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert same(mfx.lmer(FORMULA, cases.base()), mfx.lmer(FORMULA, cases.base()))


@meta("CNV-18", "anova")
def unlike_models_are_not_compared() -> None:
    data = cases.base()
    full = mfx.lmer("y ~ x + z + (1|g)", data)
    with pytest.raises(ValueError, match=r"rows|observations"):
        mfx.anova(mfx.lmer(FORMULA, data.iloc[:-10]), full)
    table = mfx.anova(mfx.lmer(FORMULA, data), full)
    assert "ML" in str(table)


@meta("CNV-19", "bootstrap")
def failed_replicates_are_counted() -> None:
    fit = mfx.lmer(FORMULA, cases.base())
    assert mfx.bootstrap(fit, 5, seed=1).n_failed == 0


@meta("CNV-20")
def html_is_escaped() -> None:
    evil = "<script>alert(1)</script>"
    data = cases.base()
    levels = {"a": evil, "b": "\x1b[31mred", "c": "%s {0} & <b>"}
    data = data.assign(f=data.f.map(levels)).rename(columns={"g": "<i>g</i>"})
    with time_limit(60):
        summary = mfx.lmer("y ~ x + f + (1|`<i>g</i>`)", data).summary()
    for html in (summary.as_html(), summary._repr_html_()):
        assert "<script>" not in html
        assert "<i>g" not in html
    assert "\x1b" not in summary.as_text()
    assert "\x1b" not in repr(summary)
