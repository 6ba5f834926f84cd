"""Designs have the cells that they promise, and can be fitted."""

import itertools

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
    assert found.ok, str(found)
    assert mfx.lmer(formula, plan.assign(y=np.random.default_rng(1).normal(size=n))).nobs == n


def test_a_latin_square_is_one():
    plan = mfx.design(square=5)
    for unit in ("row", "column"):
        assert (plan.groupby(unit)["treatment"].nunique() == 5).all()
    assert len(plan.drop_duplicates(["row", "column"])) == 25


@pytest.mark.parametrize("k", [2, 4, 6, 10])
def test_an_even_square_is_balanced_for_what_is_carried_over(k):
    plan = mfx.design(square=k).pivot(index="row", columns="column", values="treatment").to_numpy()
    followed = {(a, b) for row in plan for a, b in itertools.pairwise(row)}
    assert len(followed) == k * (k - 1)  # each by each other one, once


def test_counterbalancing_is_balanced_within_groups():
    plan = mfx.design(subjects=12, items=6, within={"c": ["a", "b", "d"]}, between={"g": 2}, counterbalance="latin")
    assert (plan.groupby(["subject", "item"]).size() == 1).all()
    assert plan.groupby(["subject", "c"]).size().nunique() == 1
    assert plan.groupby(["g", "item", "c"]).size().nunique() == 1


@pytest.mark.parametrize(
    "more",
    [
        {"between_items": {"kind": ["high", "low"]}},
        {"between": {"g": 2}, "between_items": {"kind": 4}},
        {"clusters": {"class": 4}, "between_clusters": {"kind": 2}, "subjects": 5},
        {"clusters": {"class": 4}, "between_clusters": {"kind": 2}, "between": {"g": 2}, "subjects": 5},
    ],
)
def test_counterbalancing_is_balanced_within_every_kind(more):
    """Within each item's (and each kind of subjects') rows every condition is met as often."""
    plan = mfx.design(**{"subjects": 8, "items": 16, "within": {"c": ["a", "b"]}, "counterbalance": "latin", **more})
    if "between_items" in more:
        assert plan.groupby(["subject", "kind", "c"], observed=False).size().nunique() == 1
    kinds = [name for name in ("kind", "g") if name in plan]
    counts = plan.groupby([*kinds, "item", "c"], observed=True).size().unstack("c")
    assert (counts.max(axis=1) - counts.min(axis=1)).max() <= (1 if "clusters" in more and "g" in kinds else 0)


def test_between_goes_round_the_subjects_of_each_kind_of_cluster():
    plan = mfx.design(clusters={"class": 4}, subjects=5, between={"g": 2}, between_clusters={"kind": ["o", "n"]})
    assert plan.groupby(["kind", "g"], observed=True).size().tolist() == [5, 5, 5, 5]


@pytest.mark.parametrize("part", ["between", "within"])
def test_levels_may_have_shares(part):
    plan = mfx.design(subjects=30, **{part: {"arm": {"drug": 2, "placebo": 1}}})
    counts = plan["arm"].value_counts()
    assert counts["drug"] == 2 * counts["placebo"]
    assert plan["arm"].cat.categories.tolist() == ["drug", "placebo"]


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


def test_who_drops_out_of_a_wedge_does_not_come_back_in_a_later_period():
    plan = mfx.design(subjects=3000, wedge=3, visits=2, dropout=0.2, seed=3)
    share = plan.groupby(["period", "visit"]).size().to_numpy() / 3000
    np.testing.assert_allclose(share, 0.8 ** np.arange(6), atol=0.025)


# ---------------------------------------------------------------- extending
@pytest.mark.parametrize("n", [3, 10, 11, 24])
def test_more_levels_are_copies(n):
    plan = mfx.design(subjects=10, visits=4, between={"arm": ["a", "b"]})
    more = mfx.extend(plan, "subject", n)
    assert more["subject"].nunique() == n
    assert (more.groupby("subject").size() == 4).all()
    arms = more.groupby("arm")["subject"].nunique()
    assert abs(arms["a"] - arms["b"]) <= 1


@pytest.mark.parametrize("n", [4, 6, 9, 12, 15, 21, 27, 60])
def test_any_number_of_levels_has_the_kinds_in_proportion(n):
    """Arms of 20 and 10, the steps of a wedge, the lists of a counterbalanced design, visits before a dropout."""
    arms = mfx.design(subjects=30, visits=3, between={"arm": {"a": 2, "b": 1}})
    wedge = mfx.design(clusters={"ward": 12}, wedge=4)
    lists = mfx.design(subjects=30, items=6, within={"c": 3}, between={"arm": {"a": 2, "b": 1}}, counterbalance="latin")
    leaving = mfx.design(subjects=60, visits=3, dropout=0.3, seed=1)
    for plan, along, mean in (
        (arms, "subject", lambda plan: plan["arm"] == "a"),
        (wedge, "ward", lambda plan: plan["treatment"]),
        (lists, "subject", lambda plan: plan["arm"] == "a"),
        (lists[lists["item"] == "i1"], "subject", lambda plan: plan["c"] == "c1"),
        (leaving, "subject", lambda plan: plan["visit"] > 0),
    ):
        more = mfx.extend(plan, along, n)
        assert more[along].nunique() == n
        assert mean(more).mean() == pytest.approx(mean(plan).mean(), abs=1.0 / n)


@pytest.mark.parametrize("seed", range(8))
def test_every_factor_of_an_extended_design_is_in_proportion(seed):
    """Within about one level, of several factors that cross and of the lists of a counterbalanced design."""
    rng = np.random.default_rng(seed)
    between = {"arm": int(rng.integers(2, 4)), "sex": 2, "site": int(rng.integers(2, 4))}
    plan = mfx.design(
        subjects=int(rng.integers(18, 50)), items=6, within={"c": 2}, between=between, counterbalance="latin"
    )
    plan["list"] = plan.groupby("subject")["c"].transform("first").astype(str)
    for n in rng.integers(2, 120, size=4):
        more = mfx.extend(plan, "subject", int(n))
        for name in (*between, "list"):
            before, after = (rows.groupby(name, observed=False)["subject"].nunique() for rows in (plan, more))
            assert np.abs(after.reindex(before.index, fill_value=0) - n * before / before.sum()).max() <= 1.5


def test_a_smaller_design_lies_within_a_larger_one():
    plan = mfx.design(subjects=40, visits=4, dropout=0.2, between={"arm": {"a": 2, "b": 1}}, seed=2)
    before = mfx.extend(plan, "subject", 2)
    for n in range(3, 90, 7):
        after = mfx.extend(plan, "subject", n)
        pd.testing.assert_frame_equal(after.iloc[: len(before)].astype(str), before.astype(str))
        before = after


@pytest.mark.parametrize(
    "labels",
    [
        ["a", "b", "c"],
        ["a", "a+1", "a++1"],
        [1, 2, 7],
        [-0.5, 1.0, 2.5],
        [True, False],
        pd.Categorical([3, 1, 2], [3, 2, 1]),
        pd.Categorical(["b", "a"], ["b", "a"], ordered=True),
        pd.to_datetime(["2020-01-01", "2021-01-01"]),
        pd.array([1, 2], dtype="Int64"),
    ],
)
def test_levels_of_any_kind_are_new_ones_however_often_a_design_grows(labels):
    plan = pd.DataFrame({"id": labels, "w": 1.5, "when": pd.Timestamp("2020-01-01")})
    larger = mfx.extend(mfx.extend(mfx.extend(plan, "id", 4), "id", 9), "id", 30)
    assert larger["id"].nunique() == len(larger) == 30
    assert larger["w"].dtype == plan["w"].dtype
    assert larger["when"].dtype == plan["when"].dtype
    if isinstance(labels, pd.Categorical):
        assert larger["id"].cat.ordered == labels.ordered
        assert larger["id"].cat.categories[: len(labels)].tolist() == labels.categories.tolist()


def test_days_are_no_labels():
    plan = mfx.design(subjects=3, visits=2).assign(day=pd.date_range("2024-01-01", periods=6))
    assert mfx.extend(plan, "subject", 5)["day"].dtype == plan["day"].dtype


def test_named_labels_are_new_ones_even_one_a_level():
    plan = mfx.design(clusters={"school": 4}, subjects=2).assign(head=lambda d: d["school"].astype(str) + "h")
    assert mfx.extend(plan, "school", 8)["head"].nunique() == 4
    assert mfx.extend(plan, "school", 8, labels=["head"])["head"].nunique() == 8


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
