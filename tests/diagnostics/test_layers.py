"""Layers: what the structure identifies, counted by hand; flat profiles, found where the data tell only a sum."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfx as mfx
from mixedfx.diagnostics.layers import flat_layers, layers_of
from tests.examples import examples


def nested(children, rows=2, seed=0):
    """Balanced layers l0, l1, …: each level holds so many of the next."""
    labels = np.zeros((1, 0), dtype=int)
    for count in children:
        labels = np.column_stack([np.repeat(labels, count, axis=0), np.tile(np.arange(count), len(labels))])
    labels = np.repeat(labels, rows, axis=0)
    frame = pd.DataFrame(labels, columns=[f"l{i}" for i in range(len(children))])
    return frame.assign(y=np.random.default_rng(seed).normal(size=len(frame)))


def formula_of(children):
    return f"y ~ 1 + (1 | {'/'.join(f'l{i}' for i in range(len(children)))})"


def names_of(children):
    return [":".join(f"l{i}" for i in range(k + 1)) for k in range(len(children))]


@examples(40)
@given(st.integers(2, 5), st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(1, 3))
def test_one_child_a_parent_is_a_problem_in_any_layer(top, further, rows):
    children = [top, *further]
    found = mfx.check_design(formula_of(children), nested(children, rows))
    names = names_of(children)
    single = [k for k in range(1, len(children)) if children[k] == 1]
    for k in single:
        assert any(names[k] in p and names[k - 1] in p and "same" in p for p in found.problems)
    if rows == 1:
        assert any("residual variance" in p for p in found.problems)
    else:
        assert found.ok == (not single)


@examples(40)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 4))
def test_the_table_of_layers_counts_children(seed, top, most):
    """Random numbers of children: counts by hand, contrasts as the rank that one layer adds to the one above."""
    rng = np.random.default_rng(seed)
    a = np.repeat(np.arange(top), rng.integers(1, most + 1, top))
    b = np.arange(a.size)
    counts = rng.integers(2, 4, b.size)
    frame = pd.DataFrame({"a": np.repeat(a, counts), "b": np.repeat(b, counts)})
    frame["u"] = rng.normal(size=b.size)[frame["b"]]
    frame["y"] = rng.normal(size=len(frame))
    found = mfx.check_design("y ~ u + (1 | a/b)", frame)
    children = frame.groupby("a")["b"].nunique()
    row = found.layers.iloc[0]
    assert (row["fewest levels"], row["most"]) == (children.min(), children.max())
    assert row["with several"] == (children > 1).sum()

    def rank(*parts):
        return np.linalg.matrix_rank(np.column_stack(parts))

    outer, inner = (pd.get_dummies(frame[name]).to_numpy(float) for name in ("a", "b"))
    assert row["df"] == rank(outer, inner) - rank(outer, frame["u"])


def test_few_comparisons_are_remarked_with_their_number():
    frame = nested((20, 1), rows=3)
    frame = pd.concat([frame, frame.iloc[:3].assign(l1=1)], ignore_index=True)
    found = mfx.check_design("y ~ 1 + (1 | l0/l1)", frame)
    assert found.ok
    assert any("1 of 20 levels of l0 have several of l0:l1: 1 degree of freedom tells" in r for r in found.remarks)
    absorbed = mfx.check_design("y ~ 0 + C(l0):C(l1) + (1 | l0/l1)", nested((4, 2), rows=3))
    assert not absorbed.ok


def test_nearly_as_many_levels_as_rows_are_remarked():
    frame = nested((30,), rows=1)
    frame = pd.concat([frame, frame.iloc[:2].assign(y=0.3)], ignore_index=True)
    found = mfx.check_design("y ~ 1 + (1 | l0)", frame)
    assert any("l0 has 30 levels for 32 rows" in remark and "(2)" in remark for remark in found.remarks)


def test_fixed_effects_that_take_a_layer_leave_unequal_numbers_only():
    rng = np.random.default_rng(1)
    a = np.repeat(np.arange(12), [2, 1] * 6)
    b = np.arange(a.size)
    frame = pd.DataFrame({"a": np.repeat(a, 3), "b": np.repeat(b, 3)})
    twins = [level for level in range(12) if (a == level).sum() == 2]
    for i, level in enumerate(twins):
        frame[f"u{i}"] = np.where(frame["b"] == b[a == level][0], 1.0, 0.0)
    frame["y"] = rng.normal(size=len(frame))
    columns = " + ".join(f"u{i}" for i in range(len(twins)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = mfx.check_design(f"y ~ {columns} + (1 | a/b)", frame)
    assert found.layers.iloc[0]["df"] == 0
    assert any(
        "take all differences between levels of a:b within a" in text for text in (*found.remarks, *found.problems)
    )


@pytest.mark.parametrize(
    "family, y", [("binomial", lambda n: np.arange(n) % 2), ("ordinal", lambda n: np.arange(n) % 3)]
)
def test_single_outcomes_have_no_layer_of_their_own(family, y):
    frame = nested((8, 5), rows=1)
    frame["y"] = y(len(frame))
    problems = mfx.check_design("y ~ 1 + (1 | l0/l1)", frame, family=family).problems
    assert [p for p in problems if "every level of l0:l1 has a single row" in p]
    assert mfx.check_design("y ~ 1 + (1 | l0)", frame, family=family).ok


def test_single_counts_have_one():
    frame = nested((8, 5), rows=1)
    frame["y"] = np.random.default_rng(1).poisson(3.0, len(frame))
    assert mfx.check_design("y ~ 1 + (1 | l0/l1)", frame, family="poisson").ok
    frame = frame.assign(k=np.minimum(frame["y"], 5), n=5)
    assert mfx.check_design("cbind(k, n - k) ~ 1 + (1 | l0/l1)", frame, family="binomial").ok


def test_layers_lie_within_the_nearest_coarser_ones():
    frame = nested((3, 2, 2), rows=2)
    model = mfx.LinearMixedModel("y ~ 1 + (1 | l0/l1/l2)", frame)
    assert [(x.child, x.parent) for x in layers_of(model.design)] == [
        ("l0", ""),
        ("l0:l1", "l0"),
        ("l0:l1:l2", "l0:l1"),
    ]
    crossed = nested((4, 3, 2), rows=2)
    model = mfx.LinearMixedModel("y ~ 1 + (1 | l0) + (1 | l1) + (1 | l0:l1)", crossed)
    assert {(x.child, x.parent) for x in layers_of(model.design)} == {
        ("l1", ""), ("l0", ""), ("l0:l1", "l0"), ("l0:l1", "l1"),
    }  # fmt: skip


# ------------------------------------------------------------------ after a fit
def doubled(seed, parents=40, several=1, rows=5):
    """One child a parent, but for a few that have two."""
    rng = np.random.default_rng(seed)
    a = np.concatenate([np.arange(parents), np.arange(several)])
    b = np.concatenate([np.zeros(parents, dtype=int), np.ones(several, dtype=int)])
    effect = rng.normal(size=parents)[a] + rng.normal(size=a.size)
    a, b, effect = (np.repeat(values, rows) for values in (a, b, effect))
    return pd.DataFrame({"y": effect + rng.normal(size=a.size), "a": a, "b": b})


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        yield


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("reml", [True, False])
def test_a_profile_is_called_flat_if_the_models_without_either_layer_are_as_good(seed, reml):
    data = doubled(seed)
    data["ab"] = data["a"] * 2 + data["b"]
    fit = mfx.lmer("y ~ 1 + (1 | a/b)", data, reml=reml, control=mfx.Control(starts=4))
    without = [mfx.lmer(f"y ~ 1 + (1 | {g})", data, reml=reml) for g in ("a", "ab")]
    rise = max(2.0 * (fit.llf - other.llf) for other in without)
    found = [x for x in flat_layers(fit) if "a:b" in x.one and x.other == "the variance of Intercept by a"]
    assert bool(found) == (rise < 3.84)
    if found:
        assert found[0].rise == pytest.approx(rise, abs=0.05)  # or where one has all that both have, which is near it
        assert mfx.check(fit).to_frame()["verdict"]["layers"] == "look"


@pytest.mark.usefixtures("quiet")
def test_a_lower_maximum_of_a_ridge_is_found_out():
    """The search ended at a variance of zero for a, and the ridge leads to a better fit."""
    data = doubled(2)
    fit = mfx.lmer("y ~ 1 + (1 | a/b)", data)
    best = mfx.lmer("y ~ 1 + (1 | a/b)", data, control=mfx.Control(starts=5))
    found = list(flat_layers(fit))
    if best.llf > fit.llf + 1e-3:
        assert found[0].is_better
        assert mfx.check(fit).to_frame()["verdict"]["layers"] == "wrong"
        assert 0.0 < found[0].fall <= 2.0 * (best.llf - fit.llf) + 1e-6
    assert not any(x.is_better for x in flat_layers(best))


@pytest.mark.parametrize("seed", range(6))
def test_layers_that_many_comparisons_tell_apart_are_not_flat(seed):
    rng = np.random.default_rng(seed)
    data = nested((25, 4), rows=4)
    effect = rng.normal(size=25)[data["l0"]] + rng.normal(size=100)[data["l0"] * 4 + data["l1"]]
    data["y"] = effect + rng.normal(size=len(data))
    fit = mfx.lmer("y ~ 1 + (1 | l0/l1)", data)
    assert list(flat_layers(fit)) == []
    assert "layers" not in mfx.check(fit).to_frame().index or seed > 0


@pytest.mark.usefixtures("quiet")
def test_generalised_models_have_layers_too():
    rng = np.random.default_rng(4)
    data = doubled(5, parents=60, rows=4)
    data["y"] = rng.poisson(np.exp(0.6 * data.groupby(["a", "b"])["y"].transform("mean")))
    fit = mfx.glmer("y ~ 1 + (1 | a/b)", data, family="poisson")
    data["ab"] = data["a"] * 2 + data["b"]
    without = [mfx.glmer(f"y ~ 1 + (1 | {g})", data, family="poisson") for g in ("a", "ab")]
    rise = max(2.0 * (fit.llf - other.llf) for other in without)
    assert bool(list(flat_layers(fit))) == (rise < 3.84)
