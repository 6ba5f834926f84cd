import gzip
from importlib.resources import files

import pytest

import mixedfx as mfx
from mixedfx.datasets.catalogue import CATALOGUE
from tests.datasets.twins import TWINS


@pytest.mark.parametrize("name", TWINS)
def test_the_file_is_what_the_function_draws(name):
    shipped = files("mixedfx.datasets").joinpath("data", f"{name}.csv.gz").read_bytes()
    assert gzip.decompress(shipped).decode() == TWINS[name]().to_csv(index=False)


def test_twins_and_only_they_are_named_as_such_and_say_that_they_are_simulated():
    assert {name for name in CATALOGUE if name.endswith("_like")} == set(TWINS)
    for name in TWINS:
        entry = CATALOGUE[name]
        assert entry.description.startswith("Simulated, not the data: ")
        assert "simulated" in entry.source
        assert "simulated" in entry.origin


def test_the_classroom_has_the_size_of_the_study():
    data = mfx.load_dataset("classroom_like")
    assert (len(data), data["classid"].nunique(), data["school"].nunique()) == (1190, 312, 107)
    assert data.groupby("classid", observed=True).size().max() <= 10
    assert data.drop_duplicates("classid").groupby("school", observed=True).size().max() <= 9
