"""Means and contrasts of an analysis of variance are tested as its tables test terms, whatever the components."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mfx


def measured(seed, conditions=("a", "b"), subjects=12, within=1.0):
    rng = np.random.default_rng(seed)
    rows = [(str(s), c) for s in range(subjects) for c in conditions]
    d = pd.DataFrame(rows, columns=["s", "c"])
    k = len(conditions)
    own = rng.normal(size=(subjects, k)) - within * rng.normal(size=(subjects, k)).mean(axis=1, keepdims=True)
    d["y"] = (own - 0.8 * own.mean(axis=1, keepdims=True)).ravel() + (d["c"] == "b")  # subjects differ less than rows
    d["group"] = np.where(d["s"].astype(int) < subjects // 2, "u", "v")
    return d


@pytest.mark.parametrize("seed", range(6))
def test_two_conditions_are_a_paired_t_test(seed):
    d = measured(seed)
    wide = d.pivot(index="s", columns="c", values="y")
    expected = stats.ttest_rel(wide["a"], wide["b"])
    found = mfx.emmeans(mfx.aov("y ~ c + Error(s/c)", d), "c").pairs().to_frame().iloc[0]
    assert found[["t", "df", "pvalue"]].tolist() == pytest.approx([expected.statistic, 11.0, expected.pvalue])


@pytest.mark.parametrize("seed", range(4))
def test_joint_tests_are_the_table(seed):
    d = measured(seed, conditions=("a", "b", "c", "d"))
    table = mfx.aov("y ~ group * c + Error(s/c)", d)
    joint = mfx.joint_tests(table)
    rows = table.table()
    for term in ("group", "c", "group:c"):
        own = joint.loc[term]
        assert own["F"] == pytest.approx(rows.loc[term, "F"])
        assert own["den_df"] == pytest.approx(rows.loc[term, "den_df"])


def test_balanced_strata_without_negative_components_are_the_mixed_model():
    oats = mfx.load_dataset("oats").astype({"nitro": "category"})
    result = mfx.aov("yield ~ Variety * nitro + Error(Block/Variety)", oats)
    for specs, by in (("Variety", None), ("nitro", None), ("nitro", "Variety"), (None, None)):
        ours, theirs = mfx.emmeans(result, specs, by), mfx.emmeans(result.mixed_model(), specs, by)
        np.testing.assert_allclose(ours.estimates, theirs.estimates, rtol=1e-9)
        np.testing.assert_allclose(ours.se, theirs.se, rtol=1e-6)
        np.testing.assert_allclose(ours.df, theirs.df, rtol=1e-6)
    assert "error strata" in str(mfx.emmeans(result, "nitro"))
    assert "mixed model" in str(mfx.emmeans(result, "nitro", ddf="kenward-roger"))
    assert np.isinf(mfx.emmeans(result, "nitro", ddf="z").df).all()


@pytest.mark.parametrize("name", ["y", "yield", "my y", "y.1"])
def test_averages_over_random_effects_rest_on_the_strata_whatever_the_response_is_called(name):
    d = measured(3)
    result = mfx.aov(f"`{name}` ~ c + Error(s/c)", d.rename(columns={"y": name}))
    means = mfx.emmeans(result, "c")
    averaged = mfx.emmeans(result, "c", integrate=True, scale="response")
    assert "error strata" in str(averaged)
    np.testing.assert_array_equal([averaged.estimates, averaged.se, averaged.df], [means.estimates, means.se, means.df])


def test_averages_of_a_transformed_response_need_the_variances():
    d = measured(3).assign(z=lambda rows: np.exp(rows["y"]))
    means = mfx.emmeans(mfx.aov("log(z) ~ c + Error(s/c)", d), "c", integrate=True, scale="response")
    assert "mixed model" in str(means)


def test_units_of_different_size_go_through_the_mixed_model():
    d = measured(1, conditions=("a", "b", "c")).drop(index=[4])
    result = mfx.aov("y ~ c + Error(s)", d)
    assert result.strata_estimates() is None
    assert "mixed model" in str(mfx.emmeans(result, "c"))


def test_crossed_units_combine_their_strata():
    """A Latin square: the mean has the variance of rows and columns together, less that of the plots."""
    rng = np.random.default_rng(3)
    d = pd.DataFrame([(r, c, "pqrst"[(r + c) % 5]) for r in range(5) for c in range(5)], columns=["r", "c", "t"])
    d["y"] = 2.0 * rng.normal(size=5)[d["r"]] + 2.0 * rng.normal(size=5)[d["c"]] + rng.normal(size=25)
    d = d.astype({"r": str, "c": str})
    result = mfx.aov("y ~ t + Error(r + c)", d)
    xi = {stratum.name: stratum.mean_sq for stratum in result.analysis}
    mean = mfx.emmeans(result)
    assert mean.se[0] == pytest.approx(np.sqrt((xi["r"] + xi["c"] - xi["Within"]) / 25))
    assert mfx.emmeans(result, "t").pairs().se == pytest.approx(np.sqrt(2 * xi["Within"] / 5))
    assert mfx.emmeans(result, "t").pairs().df == pytest.approx(12.0)
