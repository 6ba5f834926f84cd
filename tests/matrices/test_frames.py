"""Every container and storage gives the same numbers."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import mixedfx as mfx
from mixedfx.exceptions import DataError
from mixedfx.matrices import as_frame, build_design
from tests.matrices.frames import small

polars = pytest.importorskip("polars")

DATA = small()
FORMULA = "y ~ x + f + (x | g) + (1 | g:h)"
EXPECTED = build_design(FORMULA, DATA)


def assert_same(design, expected=EXPECTED):
    assert design.fixed.names == expected.fixed.names
    assert design.fixed.matrix.tolist() == expected.fixed.matrix.tolist()
    assert design.response.values.tolist() == expected.response.values.tolist()
    for ours, theirs in zip(design.random, expected.random, strict=True):
        assert ours.codes.tolist() == theirs.codes.tolist()
        assert ours.matrix.tolist() == theirs.matrix.tolist()
        assert ours.levels.tolist() == theirs.levels.tolist()


def columns_as(make):
    return {name: make(DATA[name]) for name in DATA}


CONTAINERS = {
    "dict of arrays": lambda: columns_as(lambda series: series.to_numpy()),
    "dict of numpy text": lambda: columns_as(
        lambda series: series.to_numpy(dtype="U2" if series.dtype != float else float)
    ),
    "dict of lists": lambda: columns_as(lambda series: series.tolist()),
    "dict of Series": lambda: columns_as(lambda series: series),
    "dict of Categoricals": lambda: columns_as(
        lambda series: series if series.dtype == float else pd.Categorical(series)
    ),
    "dict of polars Series": lambda: columns_as(lambda series: polars.Series(series.tolist())),
    "dict of arrow arrays": lambda: columns_as(lambda series: pa.chunked_array([series.tolist()])),
    "records": lambda: DATA.to_records(index=False),
    "polars": lambda: polars.DataFrame(columns_as(lambda series: series.tolist())),
    "polars Categorical": lambda: polars.DataFrame(columns_as(lambda series: series.tolist())).with_columns(
        polars.col("f", "g", "h").cast(polars.Categorical)
    ),
    "polars Enum": lambda: polars.DataFrame(columns_as(lambda series: series.tolist())).with_columns(
        polars.col("f").cast(polars.Enum(["a", "b", "c", "d"]))
    ),
    "pyarrow": lambda: pa.table(columns_as(lambda series: pa.array(series.tolist()))),
    "pyarrow dictionaries": lambda: pa.Table.from_pandas(DATA.astype(dict.fromkeys("fgh", "category"))),
    "category": lambda: DATA.astype(dict.fromkeys("fgh", "category")),
    "object": lambda: DATA.astype(dict.fromkeys("fgh", object)),
    "string": lambda: DATA.astype(dict.fromkeys("fgh", "string")),
    "string[pyarrow]": lambda: DATA.astype(dict.fromkeys("fgh", "string[pyarrow]")),
    "arrow dtypes": lambda: DATA.convert_dtypes(dtype_backend="pyarrow"),
    "nullable": lambda: DATA.convert_dtypes(),
    "objects for numbers": lambda: DATA.astype({"x": object, "y": object}),
    "sparse": lambda: DATA.assign(x=pd.arrays.SparseArray(DATA.x)),
    "index of dates": lambda: DATA.set_axis(pd.date_range("2020-01-01", periods=len(DATA), tz="UTC")),
    "duplicated index": lambda: DATA.set_axis([0] * len(DATA)),
    "MultiIndex": lambda: DATA.set_axis(pd.MultiIndex.from_arrays([DATA.index // 3, DATA.index % 3])),
    "columns that are not text": lambda: DATA.assign(unused=1).rename(columns={"unused": 5}),
    "an unused column twice": lambda: pd.concat([DATA, DATA[["z"]]], axis=1),
    "read-only": lambda: {name: _read_only(DATA[name].to_numpy(copy=True)) for name in DATA},
}


def _read_only(values):
    values.flags.writeable = False
    return values


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers(container):
    data = CONTAINERS[container]()
    assert_same(build_design(FORMULA, data))
    assert EXPECTED.fixed.encode(data).tolist() == EXPECTED.fixed.matrix.tolist()
    assert EXPECTED.random[1].encode(data)[0].tolist() == EXPECTED.random[1].codes.tolist()


def test_the_callers_frame_is_untouched():
    data = DATA.astype({"f": "category"})
    data.attrs["source"] = "made up"
    before = data.copy(deep=True)
    build_design(FORMULA + " + offset(log(z))", data, weights="z").fixed.encode(data)
    pd.testing.assert_frame_equal(data, before)
    assert data.attrs == {"source": "made up"}


@pytest.mark.parametrize("index", [np.random.default_rng(0).permutation(24), list("abcdefghijklmnopqrstuvwx")])
def test_the_index_is_that_of_the_rows_used(index):
    data = DATA.set_axis(index)
    data.iloc[[2, 5], 1] = np.nan
    kept = [row for row in range(24) if row not in (2, 5)]
    assert build_design(FORMULA, data).index.tolist() == [index[row] for row in kept]


@pytest.mark.parametrize(
    "dtype",
    [
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "float16",
        "float32",
        "bool",
        ">f8",
        ">i4",
    ],
)
def test_numbers_of_any_size(dtype):
    values = (np.arange(24) % 2).astype(dtype)
    design = build_design("y ~ x + (1 | k)", DATA.assign(x=values, k=values))
    assert design.fixed.matrix[:, 1].tolist() == values.astype(float).tolist()
    assert design.random[0].levels.tolist() == sorted(set(values.tolist()))


@pytest.mark.parametrize("dtype", ["float16", ">f8", ">i4"])
def test_numbers_as_instruments_store_them_survive_a_file(dtype, tmp_path):
    rng = np.random.default_rng(2)
    data = {
        "x": rng.integers(0, 9, 40).astype(dtype),
        "k": rng.integers(0, 6, 40).astype(dtype),
        "y": rng.normal(size=40),
    }
    fit = mfx.lmer("y ~ x + (1 | k)", data)
    fit.save(tmp_path / "fit")
    plain = mfx.lmer("y ~ x + (1 | k)", {name: np.asarray(values, dtype=float) for name, values in data.items()})
    for one in (fit, mfx.load(tmp_path / "fit")):
        np.testing.assert_allclose(one.params, plain.params)
        assert list(one.random_effects["k"].index) == list(plain.random_effects["k"].index)


@pytest.mark.parametrize("dtype", ["Int64", "UInt8", "Float32", "Float64", "boolean"])
def test_nullable_numbers(dtype):
    values = pd.array([None, *([0, 1] * 11), 1], dtype=dtype)
    design = build_design("y ~ x + (1 | k)", DATA.assign(x=values, k=values))
    assert design.n_dropped == 1
    assert design.fixed.matrix[:, 1].tolist() == [float(value) for value in values[1:]]
    assert design.random[0].n_levels == 2


def test_decimals_and_integers_with_missing_values_as_objects():
    x = [None, *map(Decimal, range(23))]
    design = build_design("y ~ x + (1 | g)", DATA.assign(x=pd.Series(x, dtype=object)))
    assert design.fixed.matrix[:, 1].tolist() == list(range(23))


def test_masked_arrays():
    masked = np.ma.masked_array(np.arange(24.0), mask=[True] + [False] * 23)
    design = build_design("y ~ x + (1 | g)", {**columns_as(lambda series: series.to_numpy()), "x": masked})
    assert design.fixed.matrix[:, 1].tolist() == list(range(1, 24))


@pytest.mark.parametrize("offset", [2**63 - 100, 2.0**53, 2**62])
def test_large_labels_stay_distinct(offset):
    codes = np.arange(24) // 2
    labels = codes * 2 + offset if isinstance(offset, float) else codes + offset
    random = build_design("y ~ 1 + (1 | k)", DATA.assign(k=labels)).random[0]
    assert random.codes.tolist() == codes.tolist()
    assert random.levels.tolist() == np.unique(labels).tolist()


def test_polars_nulls_and_nans_are_missing():
    data = polars.DataFrame(columns_as(lambda series: series.tolist())).with_columns(
        polars.when(polars.int_range(24) == 3).then(None).otherwise(polars.col("x")).alias("x"),
        polars.when(polars.int_range(24) == 5).then(float("nan")).otherwise(polars.col("y")).alias("y"),
        polars.when(polars.int_range(24) == 7).then(None).otherwise(polars.col("g")).alias("g"),
    )
    assert build_design(FORMULA, data).index.tolist() == [row for row in range(24) if row not in (3, 5, 7)]


def test_categories_without_an_order_are_the_text_that_they_are():
    """What text cannot do, such as to be an ordinal response, polars' Categorical cannot do either; an Enum can."""
    words = polars.Series(["low", "mid", "high"] * 8)
    data = polars.DataFrame({"x": DATA.x.tolist(), "g": DATA.g.tolist(), "v": words})
    for kind in (polars.String, polars.Categorical):
        with pytest.raises(mfx.DataError, match=r"'v' is text, which has no order.*pl\.Enum"):
            mfx.glmer("v ~ x + (1 | g)", data.with_columns(polars.col("v").cast(kind)), family="ordinal")
    enum = polars.Enum(["low", "mid", "high"])
    fit = mfx.glmer("v ~ x + (1 | g)", data.with_columns(polars.col("v").cast(enum)), family="ordinal")
    assert fit.design.response.categories == ("low", "mid", "high")


def test_polars_integers_and_booleans_with_nulls():
    data = polars.DataFrame(
        {"y": DATA.y.tolist(), "k": [None, *[1, 2] * 11, 1], "b": [None, None, *[True, False] * 11]}
    )
    design = build_design("y ~ b + (1 | k)", data)
    assert design.n_dropped == 2
    assert design.random[0].levels.tolist() == [1, 2]


@pytest.mark.parametrize(
    "values",
    [
        pd.date_range("2020-01-01", periods=4),
        pd.date_range("2020-01-01", periods=4, tz="UTC"),
        pd.period_range("2020-01", periods=4, freq="M"),
        pd.timedelta_range("1h", periods=4),
        pd.Index([datetime.date(2020, 1, day) for day in (1, 2, 3, 4)], dtype=object),
    ],
)
def test_dates_are_labels_but_not_numbers(values):
    data = DATA.assign(t=values.repeat(6))
    random = build_design("y ~ x + (1 | t)", data).random[0]
    assert random.codes.tolist() == np.repeat(range(4), 6).tolist()
    assert random.levels.tolist() == values.tolist()
    with pytest.raises(DataError, match=r"'t' holds dates or times.*origin"):
        build_design("y ~ t + (1 | g)", data)
    assert len(build_design("y ~ C(t) + (1 | g)", data).fixed.names) == 4


def test_polars_dates():
    data = polars.DataFrame({"y": DATA.y.tolist(), "t": [datetime.date(2020, 1, 1 + i // 6) for i in range(24)]})
    assert build_design("y ~ 1 + (1 | t)", data).random[0].n_levels == 4
    with pytest.raises(DataError, match="dates or times"):
        build_design("y ~ t + (1 | t)", data)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.arange(24) + 1j, "complex"),
        ([[1]] * 24, "type list"),
        ([{"a": 1}] * 24, "type dict"),
        ([1, "b"] * 12, "mix the types int, str"),
    ],
)
@pytest.mark.parametrize("formula", ["y ~ q + (1 | g)", "y ~ x + (1 | q)", "q ~ x + (1 | g)"])
def test_values_without_meaning_are_refused_by_name(formula, values, message):
    data = {**columns_as(lambda series: series.to_numpy()), "q": values}
    with pytest.raises(DataError, match=rf"'q'.*{message}"):
        build_design(formula, data)


def test_nested_values_of_polars_are_refused():
    with pytest.raises(DataError, match=r"'q'.*nested"):
        build_design("y ~ q + (1 | g)", polars.DataFrame({"y": [1.0, 2], "q": [[1], [2]], "g": [1, 2]}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"y": [1.0, 2.0], "x": np.ones((2, 2)), "g": [1, 2]}, r"'x' has 2 dimensions \(shape \(2, 2\)\)"),
        ({"y": [1.0, 2.0], "x": [1.0], "g": [1, 2]}, "differ in length: 'y' has 2, 'x' has 1, 'g' has 2"),
        ({"y": [], "x": [], "g": []}, "no rows"),
        (
            {"y": DATA.y, "x": DATA.x.sort_values(), "g": DATA.g},
            "Series 'x' and 'y' of the data have different indexes",
        ),
        (DATA.iloc[:0], "no rows"),
        (pd.concat([DATA, DATA[["x"]]], axis=1), "2 columns called 'x'"),
    ],
)
def test_frames_that_cannot_serve(data, message):
    with pytest.raises(DataError, match=message):
        build_design("y ~ x + (1 | g)", data)


def test_close_names_are_suggested():
    frame = as_frame(DATA.rename(columns={"x": "Days"}))
    with pytest.raises(DataError, match=r"no column 'Dayz'; did you mean 'Days'\?"):
        frame.column("Dayz")
    with pytest.raises(DataError, match=r"no column 'nothing'; there are 'y', 'Days'"):
        frame.column("nothing")


@pytest.mark.parametrize("data", [None, [[1, 2], [3, 4]], 3, "data.csv", DATA.to_numpy(dtype=object)])
def test_other_types_are_refused(data):
    with pytest.raises(TypeError, match="data must be a data frame"):
        build_design(FORMULA, data)


def test_lazy_frames_must_be_collected():
    with pytest.raises(TypeError, match="collect"):
        build_design(FORMULA, polars.DataFrame({"y": [1.0]}).lazy())


def test_pandas_columns_in_levels_are_not_found():
    data = pd.DataFrame([[1.0, 2.0]], columns=pd.MultiIndex.from_tuples([("a", "y"), ("a", "x")]))
    with pytest.raises(DataError, match="no column 'y'"):
        build_design("y ~ x + (1 | g)", data)
