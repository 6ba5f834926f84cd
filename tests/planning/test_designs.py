"""Designs have the cells that they promise, and can be fitted."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

DESIGNS = {
    "crossed": (
        {"subjects": 12, "items": 8, "within": {"prime": ["a", "b"]}},
        "y ~ prime + (1 | subject) + (1 | item)",
        12 * 8 * 2,
    ),
    "latin": (
        {
            "subjects": 12,
            "items": 8,
            "within": {"prime": ["a", "b"]},
            "between": {"group": 2},
            "counterbalance": "latin",
        },
        "y ~ prime * group + (1 | subject) + (1 | item)",
        12 * 8,
    ),
    "nested": (
        {"clusters": {"school": 6, "class": 3}, "subjects": 5, "between_clusters": {"method": ["old", "new"]}},
        "y ~ method + (1 | school / class)",
        90,
    ),
    "split plot": (
        {"blocks": 6, "whole_plots": {"variety": 3}, "within": {"nitrogen": [0.0, 0.2, 0.4, 0.6]}},
        "y ~ variety * nitrogen + (1 | block / plot)",
        72,
    ),
    "square": ({"square": ["a", "b", "c", "d"]}, "y ~ treatment + (1 | row) + (1 | column)", 16),
    "wedge": (
        {"clusters": {"ward": 12}, "subjects": 4, "wedge": 5},
        "y ~ C(period) + treatment + (1 | ward / subject)",
        12 * 4 * 5,
    ),
    "visits": (
        {"subjects": 40, "visits": [0, 1, 3, 6], "between": {"arm": ["drug", "placebo"]}},
        "y ~ arm * visit + (visit | subject)",
        160,
    ),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_designs_can_be_fitted(name):
    arguments, formula, n = DESIGNS[name]
    plan = mfx.design(**arguments)
    assert len(plan) == n
    assert not plan.duplicated().any()
    found = mfx.check_design(formula, plan.assign(y=np.random.default_rng(1).normal(size=n)))
    assert "wrong" not in str(found)
    assert mfx.lmer(formula, plan.assign(y=np.random.default_rng(1).normal(size=n))).nobs == n


def test_a_latin_square_is_one():
    plan = mfx.design(square=5)
    for unit in ("row", "column"):
        assert (plan.groupby(unit)["treatment"].nunique() == 5).all()
    assert len(plan.drop_duplicates(["row", "column"])) == 25


def test_counterbalancing_is_balanced_within_groups():
    plan = mfx.design(subjects=12, items=6, within={"c": ["a", "b", "d"]}, between={"g": 2}, counterbalance="latin")
    assert (plan.groupby(["subject", "item"]).size() == 1).all()
    assert plan.groupby(["subject", "c"]).size().nunique() == 1
    assert plan.groupby(["g", "item", "c"]).size().nunique() == 1


def test_a_wedge_goes_over_step_by_step():
    plan = mfx.design(clusters={"ward": 12}, subjects=2, wedge=4)
    by_period = plan.groupby("period")["treatment"].mean()
    assert by_period.tolist() == [0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]
    treated = plan.groupby(["ward", "period"])["treatment"].agg(["min", "max"])
    assert (treated["min"] == treated["max"]).all()
    assert (plan.sort_values("period").groupby(["ward", "subject"])["treatment"].diff().dropna() >= 0).all()


def test_who_drops_out_does_not_come_back():
    plan = mfx.design(subjects=4000, visits=4, dropout=0.2, seed=3)
    share = plan.groupby("visit").size() / 4000
    np.testing.assert_allclose(share, 0.8 ** np.arange(4), atol=0.025)
    assert (plan.groupby("subject")["visit"].max() == plan.groupby("subject").size() - 1).all()
    pd.testing.assert_frame_equal(plan, mfx.design(subjects=4000, visits=4, dropout=0.2, seed=3))


# ---------------------------------------------------------------- extending
@pytest.mark.parametrize("n", [3, 10, 11, 24])
def test_more_levels_are_copies(n):
    plan = mfx.design(subjects=10, visits=4, between={"arm": ["a", "b"]})
    more = mfx.extend(plan, "subject", n)
    assert more["subject"].nunique() == n
    assert (more.groupby("subject").size() == 4).all()
    arms = more.groupby("arm")["subject"].nunique()
    assert abs(arms["a"] - arms["b"]) <= 1


def test_units_within_are_copied_with_theirs():
    plan = mfx.design(clusters={"school": 4, "class": 3}, subjects=5)
    more = mfx.extend(plan, "school", 10)
    assert more["class"].nunique() == 30
    assert more["subject"].nunique() == 150
    numbered = plan.assign(**{"class": pd.factorize(plan["class"])[0]})
    assert mfx.extend(numbered, "school", 10, labels=["class"])["class"].nunique() == 30


def test_an_extension_keeps_types_and_crossed_factors():
    data = mfx.load_dataset("sleepstudy")
    more = mfx.extend(data, "Subject", 40)
    assert isinstance(more["Subject"].dtype, pd.CategoricalDtype)
    assert more["Subject"].nunique() == 40
    assert more.dtypes["Days"] == data.dtypes["Days"]
    assert sorted(more["Days"].unique()) == sorted(data["Days"].unique())
    machines = mfx.extend(mfx.load_dataset("machines"), "Worker", 12)
    assert machines["Machine"].nunique() == 3


def test_numbers_as_labels_stay_numbers():
    plan = pd.DataFrame({"id": np.repeat([3, 5], 4), "x": np.tile(np.arange(4), 2)})
    assert mfx.extend(plan, "id", 6)["id"].nunique() == 6
    assert pd.api.types.is_integer_dtype(mfx.extend(plan, "id", 6)["id"])
