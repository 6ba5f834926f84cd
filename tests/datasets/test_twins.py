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


def test_the_pups_have_the_design_of_the_study():
    pups = mfx.load_dataset("ratpup_like")
    litters = pups.drop_duplicates("litter")
    assert litters["treatment"].value_counts().to_dict() == {"Control": 10, "Low": 10, "High": 7}
    assert (litters["size"].min(), litters["size"].max(), litters["size"].sum()) == (2, 18, 322)
    assert (pups.groupby("litter", observed=True).size() == litters.set_index("litter")["size"]).all()


def test_the_times_have_the_design_of_the_study():
    times = mfx.load_dataset("kb07_like")
    conditions = ["speaker", "precedent", "load"]
    assert (times["subject"].nunique(), times["item"].nunique()) == (56, 32)
    assert set(times.groupby(["subject", "item"], observed=False).size()) == {1}
    assert set(times.groupby(["item", *conditions], observed=False).size()) == {7}
    assert set(times.groupby(["subject", *conditions], observed=False).size()) == {4}
    assert times["rt"].min() > 300
