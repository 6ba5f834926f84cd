import gzip
import io
from importlib.resources import files

import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.datasets.catalogue import CATALOGUE
from mixedfx.datasets.loading import natural_key
from tests.effort import calls

NEEDED = [
    "sleepstudy",
    "dyestuff",
    "dyestuff2",
    "penicillin",
    "pastes",
    "cake",
    "machines",
    "oats",
    "orthodont",
    "ergostool",
    "cbpp",
    "verbagg",
    "grouseticks",
    "insteval",
    "contraception",
    "radon",
    "npk",
    "obk",
    "salamanders",
    "owls",
]
# Means and sums that the publications or their R copies are known by: (rows, column, mean).
KNOWN = {
    "sleepstudy": (180, "Reaction", 298.507892),
    "dyestuff": (30, "Yield", 1527.5),
    "penicillin": (144, "diameter", 22.972222),
    "pastes": (60, "strength", 60.053333),
    "cake": (270, "angle", 32.122222),
    "machines": (54, "score", 59.65),
    "oats": (72, "yield", 103.972222),
    "orthodont": (108, "distance", 24.023148),
    "ergostool": (36, "effort", 10.25),
    "npk": (24, "yield", 54.875),
    "insteval": (73421, "y", 3.205745),
    "radon": (919, "log.radon", 1.224623),
}


@pytest.fixture(params=sorted(CATALOGUE))
def name(request):
    return request.param


def test_the_promised_data_sets_are_there():
    assert set(NEEDED) <= set(mfx.list_datasets().index)


def test_every_file_is_in_the_catalogue_and_the_reverse():
    found = {entry.name.removesuffix(".csv.gz") for entry in files("mixedfx.datasets").joinpath("data").iterdir()}
    assert found == set(CATALOGUE)


def test_columns_are_numeric_or_categorical_and_complete_in_their_categories(name):
    data = mfx.load_dataset(name)
    packed = files("mixedfx.datasets").joinpath("data", f"{name}.csv.gz").read_bytes()
    raw = pd.read_csv(io.BytesIO(gzip.decompress(packed)), dtype=str)
    assert list(data.columns) == list(raw.columns)
    for column in data:
        if isinstance(data[column].dtype, pd.CategoricalDtype):
            assert set(data[column].cat.categories) == set(raw[column].dropna())
        else:
            assert pd.api.types.is_numeric_dtype(data[column])
        assert (data[column].isna() == raw[column].isna()).all()


@pytest.mark.parametrize("known", KNOWN)
def test_known_size_and_mean(known):
    rows, column, mean = KNOWN[known]
    data = mfx.load_dataset(known)
    assert len(data) == rows
    assert data[column].mean() == pytest.approx(mean, rel=1e-6)


def test_categories_stand_in_a_sensible_order():
    assert list(mfx.load_dataset("oats")["Block"].cat.categories) == ["I", "II", "III", "IV", "V", "VI"]
    assert list(mfx.load_dataset("obk")["phase"].cat.categories) == ["pre", "post", "fup"]
    assert list(mfx.load_dataset("ergostool")["Subject"].cat.categories) == [str(k) for k in range(1, 10)]
    temperature = mfx.load_dataset("cake")["temperature"].cat
    assert temperature.ordered
    assert list(temperature.categories) == ["175", "185", "195", "205", "215", "225"]


def test_natural_order_counts_digits_as_numbers():
    assert sorted(["R-10", "VF-1", "R-2", "10", "9"], key=natural_key) == ["9", "10", "R-2", "R-10", "VF-1"]


def test_attributes_tell_description_and_sources(name):
    attributes = mfx.load_dataset(name).attrs
    assert attributes["name"] == name
    assert attributes["description"].endswith(".")
    assert attributes["source"]
    assert attributes["origin"]


def test_sources_file_and_docstring_list_every_data_set(name):
    sources = files("mixedfx.datasets").joinpath("SOURCES.md").read_text(encoding="utf-8")
    entry = CATALOGUE[name]
    assert f"## {name}\n\n{entry.description}\n\n* Source: {entry.source}\n* Copy: {entry.origin}\n" in sources
    assert f"* ``{name}``: " in mfx.load_dataset.__doc__


def test_a_copy_is_returned_each_time():
    first = mfx.load_dataset("sleepstudy")
    first.loc[0, "Reaction"] = -1.0
    first["Subject"] = first["Subject"].cat.rename_categories(lambda label: f"s{label}")
    first.attrs["source"] = "nowhere"
    second = mfx.load_dataset("sleepstudy")
    assert second.loc[0, "Reaction"] == 249.56
    assert second["Subject"].cat.categories[0] == "308"
    assert second.attrs["source"].startswith("Belenky")


def test_a_warm_load_reads_no_file():
    mfx.load_dataset("sleepstudy")
    assert calls(lambda: mfx.load_dataset("sleepstudy")) < 1000


def test_case_is_ignored():
    pd.testing.assert_frame_equal(mfx.load_dataset("SleepStudy"), mfx.load_dataset("sleepstudy"))


def test_unknown_names_get_suggestions():
    with pytest.raises(mfx.SpecificationError, match="'sleepstudie'; did you mean 'sleepstudy'"):
        mfx.load_dataset("sleepstudie")
    with pytest.raises(mfx.SpecificationError, match=r"list_datasets\(\) names"):
        mfx.load_dataset("qqqqqqqq")
    with pytest.raises(TypeError, match="not int"):
        mfx.load_dataset(3)
