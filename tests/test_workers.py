"""Work spread over workers: the same numbers, errors and warnings as without, and nothing left behind by Ctrl-C."""

import importlib
import inspect
import os
import random
import signal
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx import _workers
from mixedfx._workers import Workers, _open, _parcel, _places, _unpacked
from tests.test_choices import public_functions

HERDS = "cbind(incidence, size - incidence) ~ {} + (1 | herd)"


@pytest.fixture(scope="module")
def sleep():
    return mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def herds():
    return mfx.glmer(HERDS.format("period"), mfx.load_dataset("cbpp"), family="binomial")


@pytest.fixture(scope="module")
def fits(sleep, herds):
    without_period = mfx.glmer(HERDS.format(1), mfx.load_dataset("cbpp"), family="binomial")
    batches = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"))
    orthodont = mfx.load_dataset("orthodont")
    orthodont = orthodont[orthodont["Subject"].str.startswith("F")]
    serial = mfx.lmer("distance ~ age + (1 | Subject)", orthodont, residual=mfx.AR1("age", group="Subject"))
    return sleep, herds, without_period, batches, serial


def work(fits):
    """Everything that is spread over workers, as tables of numbers by name."""
    sleep, herds, without_period, batches, serial_correlation = fits
    slopes = mfx.bootstrap(sleep, 6, seed=1, method="cluster", statistic=lambda fit: fit.params)
    return {
        "bootstrap": mfx.bootstrap(herds, 6, seed=1).to_frame(),
        "clusters and a statistic": slopes.to_frame(),
        "jackknife": slopes.conf_int(kind="bca"),
        "intervals": herds.conf_int(method="bootstrap", which="all", n=5, seed=2),
        "ratios": pd.DataFrame(mfx.bootstrap_test(without_period, herds, 4, seed=1).replicates),
        "profile": herds.conf_int(method="profile", which="all"),
        "curves": mfx.profile(batches).to_frame().drop(columns="parameter"),
        "without herds": mfx.influence(without_period, "herd").to_frame(),
        "without subjects": mfx.influence(serial_correlation, "Subject").to_frame(),
    }


@pytest.fixture(scope="module")
def alone(fits):
    return work(fits)


def assert_same(found, expected):
    for name, table in expected.items():
        pd.testing.assert_frame_equal(found[name], table, check_exact=True, obj=name)


# ------------------------------------------------------------------ the same numbers
@pytest.mark.parametrize(
    "backend, options",
    [
        ("loky", {}),
        ("threading", {}),
        pytest.param("multiprocessing", {}, marks=pytest.mark.slow),
        pytest.param("loky", {"max_nbytes": 100}, marks=pytest.mark.slow),  # all arrays are mapped into memory
    ],
)
def test_no_back_end_changes_a_bit(fits, alone, backend, options):
    with joblib.parallel_config(backend, n_jobs=2, **options):
        assert_same(work(fits), alone)


def test_what_workers_are_sent_is_used_as_it_is(monkeypatch, fits, alone):
    """No task writes into what it shares with others, and none needs what a pickle loses."""

    def sent(self, function, shared, tasks, done):
        function, shared = _open(_parcel((function, shared)))
        yield from ((number, function(*shared, *task)) for number, task in enumerate(tasks))

    monkeypatch.setattr(Workers, "_pieces", sent)
    assert_same(work(fits), alone)


@pytest.mark.slow
def test_a_cluster_changes_nothing(fits, alone):
    with chosen("dask"):
        assert_same(work(fits), alone)


# ------------------------------------------------------------------ how many, and what they are sent
def test_the_context_decides_where_nothing_is_said():
    def process(_):
        return os.getpid()

    def others(**options):
        found = Workers(**options).run(process, (), [(k,) for k in range(4)], "work")
        return os.getpid() not in found

    assert not others()
    assert others(n_jobs=2)
    with joblib.parallel_config("loky", n_jobs=2):
        assert others()
        assert not others(n_jobs=1)
    with joblib.parallel_config("threading", n_jobs=2):
        assert not others(n_jobs=2)


@pytest.mark.slow
def test_processes_compute_with_one_thread_unless_the_user_says_with_how_many():
    def threads(_):
        return os.environ.get("OPENBLAS_NUM_THREADS"), os.environ.get("OMP_NUM_THREADS")

    tasks = [(k,) for k in range(4)]
    with joblib.parallel_config("loky", n_jobs=2):
        assert set(Workers().run(threads, (), tasks, "work")) == {("1", "1")}
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=3):
        assert set(Workers().run(threads, (), tasks, "work")) == {("3", "3")}


def test_a_parcel_holds_every_array_once_and_nothing_in_it_can_be_written_to():
    rng = np.random.default_rng(1)
    large = rng.normal(size=(300, 40))
    thing = {"a": large, "b": [large, np.asfortranarray(large), large[:, ::3]], "c": pd.DataFrame(large), "d": "text"}
    thing["e"] = np.zeros((0, 3)), np.array([True, False, True]), np.arange(3, dtype=np.int8)
    parcel = _parcel(thing)
    assert parcel.nbytes < 3.7 * large.nbytes
    for misplaced in (0, 1, 8):  # where it may come to lie
        room = np.empty(parcel.size + misplaced, dtype=np.uint8)
        room[misplaced:] = parcel
        found = _open(room[misplaced:])
        assert found["d"] == "text"
        np.testing.assert_array_equal(found["a"], large)
        assert found["b"][0] is found["a"]
        np.testing.assert_array_equal(found["b"][1], large)
        np.testing.assert_array_equal(found["b"][2], large[:, ::3])
        pd.testing.assert_frame_equal(found["c"], thing["c"])
        for one, other in zip(found["e"], thing["e"], strict=True):
            np.testing.assert_array_equal(one, other)
        assert not found["a"].flags.writeable
        assert found["a"].ctypes.data % _workers.ALIGNED == 0
    assert (_places(np.array([2, 5, 17])) % _workers.ALIGNED == 0).all()


class Opened:
    """What is another number whenever it is unpickled."""

    def __reduce__(self):
        return random.random, ()


def test_what_is_shared_is_opened_once_in_every_process():
    def seen(shared, _):
        return os.getpid(), shared

    found = Workers(2).run(seen, (Opened(),), [(k,) for k in range(30)], "work")
    assert len(set(found)) == len({process for process, _ in found}) <= 2


# ------------------------------------------------------------------ errors and warnings
def of_one_column(fit):
    return fit.params[["nope"]]


def refused(fit):
    raise mfx.SpecificationError("this cannot be", formula="y ~ x", position=4)


@pytest.mark.parametrize("statistic", [pytest.param(of_one_column, marks=pytest.mark.slow), refused])
def test_errors_of_workers_are_those_of_serial_work(herds, statistic):
    measure = Workers(1), Workers(2)
    said = []
    for workers in measure:
        with pytest.raises(Exception) as error:
            workers.run(statistic, (herds,), [(), ()], "work")
        said.append((type(error.value), str(error.value)))
    assert said[0] == said[1]


def warns(number):
    warnings.warn(f"the number {number % 2}", UserWarning, stacklevel=1)
    np.log(np.array([-1.0 * (number == 3)]))
    return number


@pytest.mark.parametrize("action", ["default", "always", "ignore"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_warnings_of_workers_are_those_of_serial_work(action, n_jobs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(action)
        globals().pop("__warningregistry__", None)
        assert Workers(n_jobs).run(warns, (), [(k,) for k in range(6)], "work") == list(range(6))
    users = sorted(str(one.message) for one in caught if one.category is UserWarning)
    assert users == sorted(["the number 0", "the number 1"] * {"default": 1, "always": 3, "ignore": 0}[action])
    numeric = [one for one in caught if one.category is RuntimeWarning]
    assert bool(numeric) == (action != "ignore")


@pytest.mark.slow
def test_warnings_can_be_errors_in_workers_too():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="the number"):
            Workers(2).run(warns, (), [(0,), (1,)], "work")


def test_threads_leave_the_filters_of_warnings_as_they_were(sleep):
    before = list(warnings.filters)
    with joblib.parallel_config("threading", n_jobs=2):
        mfx.bootstrap(sleep, 20, seed=1, statistic=lambda fit: fit.sigma)
    assert list(warnings.filters) == before


def test_what_cannot_be_sent_is_an_error_that_says_what_to_do(herds):
    handle = sys.stderr
    with pytest.raises(mfx.SpecificationError, match=r"cannot be sent to other processes.*n_jobs=1"):
        mfx.bootstrap(herds, 4, seed=1, statistic=lambda fit: handle and fit.llf, n_jobs=2)
    with joblib.parallel_config("threading", n_jobs=2):
        assert mfx.bootstrap(herds, 4, seed=1, statistic=lambda fit: handle and fit.llf).n == 4


class OddError(Exception):
    """One that cannot be unpickled."""

    def __init__(self, one, other):
        super().__init__(one)


def fails_oddly():
    raise OddError(1, 2)


@pytest.mark.slow
def test_what_cannot_be_sent_back_is_an_error_that_says_what_to_do():
    with pytest.raises(mfx.SpecificationError, match="cannot be sent to other processes and back"):
        Workers(2).run(fails_oddly, (), [(), ()], "work")


def test_what_cannot_be_opened_there_is_an_error_that_says_what_to_do(monkeypatch, tmp_path):
    (tmp_path / "found_here_only.py").write_text("def one(): return 1\n")
    with monkeypatch.context() as here:
        here.syspath_prepend(tmp_path)
        parcel = _parcel((importlib.import_module("found_here_only").one, ()))
    del sys.modules["found_here_only"]
    with pytest.raises(mfx.SpecificationError, match="No module named 'found_here_only'"):
        _unpacked("token", parcel)


def test_arguments_are_checked(herds):
    with pytest.raises(TypeError, match="n_jobs is the number of processes"):
        mfx.profile(herds, n_jobs=1.5)
    with pytest.raises(mfx.SpecificationError, match="n_jobs"):
        mfx.influence(herds, n_jobs=0)
    with pytest.raises(TypeError, match="progress is True or False"):
        herds.conf_int(progress="yes")


# ------------------------------------------------------------------ workers that die
def dies_at(number, home, marker, always):
    """Kill the process at one task as the system does when memory is short, unless it is ``home``."""
    if number == 3 and os.getpid() != home and (always or not marker.exists()):
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed otherwise here")
def test_a_worker_that_dies_loses_nothing_and_one_that_always_dies_is_an_error(tmp_path):
    def run(name, always):
        tasks = [(k, os.getpid(), tmp_path / name, always) for k in range(6)]
        return Workers(2).run(dies_at, (), tasks, "work")

    with chosen("loky"):
        assert run("once", False) == list(range(6))
        with pytest.raises(mfx.DataError, match=r"killed again and again, most likely for want of memory.*n_jobs="):
            run("ever", True)
        assert Workers(2).run(abs, (), [(-1,), (-2,)], "work") == [1, 2]


@contextmanager
def chosen(backend):
    if backend != "dask":
        with joblib.parallel_config(backend, n_jobs=2):
            yield
        return
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        yield


# ------------------------------------------------------------------ one signature
def test_who_takes_workers_takes_them_alike():
    texts, seen = {}, set()
    for name, function in public_functions():
        signature = inspect.signature(inspect.unwrap(function)).parameters
        assert ("n_jobs" in signature) <= ("progress" in signature), name
        for parameter in {"n_jobs", "progress"} & set(signature):
            assert signature[parameter].default is None, name
            assert signature[parameter].kind is inspect.Parameter.KEYWORD_ONLY, name
            lines = inspect.getdoc(function).splitlines()
            at = lines.index(f"{parameter} : {'int' if parameter == 'n_jobs' else 'bool'}, optional")
            texts.setdefault(parameter, set()).add(lines[at + 1].strip())
            seen.add(name)
    assert {parameter: len(own) for parameter, own in texts.items()} == {"n_jobs": 1, "progress": 1}
    assert {"bootstrap", "bootstrap_test", "influence", "profile"} <= seen


# ------------------------------------------------------------------ Ctrl-C
CHILD = Path(__file__).with_name("interrupted.py")


def interrupted(kind, n_jobs, *, group):
    """Press Ctrl-C in the middle of some work in a process of its own; what it tells of it, line by line."""
    child = subprocess.Popen(
        [sys.executable, str(CHILD), kind, str(n_jobs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(Path(mfx.__file__).parents[1])},
    )
    try:
        assert child.stdout.readline().strip() == "at work"
        (os.killpg if group else os.kill)(child.pid, signal.SIGINT)
        out, err = child.communicate(timeout=120)
    finally:
        child.kill()
    assert child.returncode == 0, err
    return out.splitlines(), err


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Ctrl-C is sent otherwise here")
@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "kind",
    [
        "bootstrap",
        pytest.param("test", marks=pytest.mark.slow),
        pytest.param("profile", marks=pytest.mark.slow),
        pytest.param("influence", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_leaves_everything_usable(kind, n_jobs):
    """No process is left, the bar is closed, the fit and its caches are what they were, the next call works."""
    lines, err = interrupted(kind, n_jobs, group=kind != "profile")  # terminals send it to the workers too
    first = "kept some" if kind == "bootstrap" else "KeyboardInterrupt"
    assert lines == [first, "no workers", "no bar", "the same numbers"]
    assert "Traceback" not in err
