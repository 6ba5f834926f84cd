"""Life cycle and kinds of input beside tests/reliability/meta.py: ways of storing a column, frames of odd shape."""

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

MODELS = {
    "lmer": lambda data: mfx.lmer("y ~ x + b + f + (1 + x | g)", data),
    "glmer": lambda data: mfx.glmer("c ~ x + b + f + (1 | g)", data, family="poisson"),
}
KINDS = {
    "object": lambda d: d.astype(object),
    "categorical": lambda d: d.assign(f=pd.Categorical(d.f), g=pd.Categorical(d.g)),
    "nullable": lambda d: d.convert_dtypes(),
    "float32 flags": lambda d: d.assign(b=d.b.astype("boolean"), c=d.c.astype("int8")),
    "duplicated index": lambda d: d.set_axis(np.zeros(len(d), dtype=int)),
    "two-level index": lambda d: d.set_index(["g", "c"], drop=False, append=False).rename_axis(["i", "j"]),
    "dates as index": lambda d: d.set_axis(pd.date_range("2024-01-01", periods=len(d))),
    "unused twins": lambda d: pd.concat([d, pd.DataFrame(0.0, d.index, ["u", "u"])], axis=1),
    "dict": lambda d: {name: d[name].to_numpy() for name in d},
    "polars": lambda d: pytest.importorskip("polars").from_pandas(d),
    "pyarrow": lambda d: pytest.importorskip("pyarrow").Table.from_pandas(d),
}


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(10), 8)
    x = rng.normal(size=80)
    y = x + 2 * rng.normal(size=10)[g] + 2 * rng.normal(size=10)[g] * x + rng.normal(size=80)
    count = rng.poisson(np.exp(0.5 + 0.3 * x + 0.5 * rng.normal(size=10)[g]))
    return pd.DataFrame({"y": y, "x": x, "b": x > y, "f": list("abcd") * 20, "g": [f"g{i}" for i in g], "c": count})


def numbers(fit) -> np.ndarray:
    modes = [table.to_numpy().ravel() for table in fit.random_effects.values()]
    return np.concatenate([fit.params, fit.bse, np.asarray(fit.theta), [fit.llf], fit.fittedvalues, *modes])


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]


@pytest.mark.parametrize("kind", KINDS)
def test_the_way_a_column_is_stored_does_not_matter(model, kind):
    assert np.array_equal(numbers(model(KINDS[kind](frame()))), numbers(model(frame())))


def test_a_pickle_holds_no_tables_that_can_be_made_again():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"a": rng.integers(0, 500, 2000), "b": rng.integers(0, 250, 2000)})
    data["y"] = rng.standard_normal(500)[data.a] + rng.standard_normal(250)[data.b] + rng.standard_normal(2000)
    fit = mfx.lmer("y ~ 1 + (1 | a) + (1 | b)", data)
    pattern = pickle.loads(pickle.dumps(fit.solution.problem.assembly.rows.layout.patterns[0]))
    before = len(pickle.dumps(pattern))
    assert pattern.pair_cells.size > 2 * pattern.rows.size
    assert len(pickle.dumps(pattern)) == before
    again = pickle.loads(pickle.dumps(fit))
    assert np.array_equal(again.get_prediction().se_mean, fit.get_prediction().se_mean)
    assert np.array_equal(again.df, fit.df)


def test_refits_threads_and_pickles_are_bit_identical(model):
    first = numbers(model(frame()))
    with ThreadPoolExecutor(3) as pool:
        assert all(np.array_equal(numbers(fit), first) for fit in pool.map(lambda _: model(frame()), range(3)))
    assert np.array_equal(numbers(pickle.loads(pickle.dumps(model(frame())))), first)


def test_files_bring_back_the_same_numbers(model, tmp_path):
    fit = model(frame())
    fit.save(tmp_path / "fit.mfx")
    again = mfx.load(tmp_path / "fit.mfx")
    assert np.allclose(numbers(again), numbers(fit), rtol=1e-10, atol=1e-12)
    assert again.summary().as_text() == fit.summary().as_text()


def test_nothing_of_the_caller_is_touched(model):
    data, state = frame(), np.random.get_state()[1].copy()  # noqa: NPY002
    settings = np.geterr()
    fit = model(data)
    fit.predict(data)
    fit.simulate(2, seed=1)
    fit.summary().as_text()
    pd.testing.assert_frame_equal(data, frame(), check_exact=True)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert np.geterr() == settings


def test_strict_floating_point_and_no_warning(model):
    with np.errstate(all="raise", under="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = model(frame())
        fit.summary().as_text()
        fit.predict(frame())


@pytest.mark.parametrize("rows", [0, 1])
def test_frames_without_rows_to_speak_of(model, rows):
    with pytest.raises(mfx.DataError):
        model(frame().iloc[:rows])


@pytest.mark.parametrize("rows", [0, 1])
def test_short_frames_are_predicted(model, rows):
    fit, short = model(frame()), frame().iloc[:rows]
    predicted = fit.predict(short)
    assert predicted.index.equals(short.index)
    assert np.allclose(predicted, fit.predict(frame()).iloc[:rows])


def test_a_date_is_a_group_but_no_number():
    data = frame().assign(d=lambda d: pd.Timestamp("2024-01-01") + pd.to_timedelta(d.c, unit="D"))
    by_date, by_label = (mfx.lmer(f"y ~ x + (1 | {name})", data) for name in ("d", "c"))
    assert by_date.llf == pytest.approx(by_label.llf, abs=1e-8)
    with pytest.raises(mfx.DataError, match="'d' holds dates"):
        mfx.lmer("y ~ d + (1 | g)", data)
