"""Sphericity and its corrections: definitions, limits, refusals. R's afex is compared in tests/reference."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

FORMULA = "y ~ group * time + Error(unit/time)"


def repeated(covariance, units=12, seed=1, groups=2):
    """Measurements of every unit at each time with a given covariance."""
    rng = np.random.default_rng(seed)
    k = len(covariance)
    values = rng.standard_normal((units, k)) @ np.linalg.cholesky(covariance).T
    return pd.DataFrame(
        {
            "y": values.ravel(),
            "unit": np.repeat(np.arange(units), k).astype(str),
            "time": np.tile([f"t{j}" for j in range(k)], units),
            "group": np.repeat(np.arange(units) % groups, k).astype(str),
        }
    )


def test_epsilon_is_the_definition_on_the_wide_table():
    data = repeated(np.diag([1.0, 4.0, 9.0, 1.0]) + 2.0)
    wide = data.pivot(index="unit", columns="time", values="y")
    group = data.drop_duplicates("unit").set_index("unit")["group"]
    left = wide - wide.groupby(group).transform("mean")
    centring = np.eye(4) - 0.25
    S = centring @ (left.T @ left).to_numpy() @ centring
    ours = mfx.aov(FORMULA, data).sphericity()
    assert ours.loc["time", "GG"] == pytest.approx(np.trace(S) ** 2 / (3 * np.sum(S * S)), rel=1e-12)
    values = np.linalg.eigvalsh(S)[1:]
    assert ours.loc["time", "W"] == pytest.approx(np.prod(values) / values.mean() ** 3, rel=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_epsilon_lies_between_its_limits(seed):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((5, 5))
    table = mfx.aov(FORMULA, repeated(root @ root.T + np.eye(5), seed=seed)).sphericity()
    assert np.all((table["GG"] >= 0.25 - 1e-12) & (table["GG"] <= 1.0))


def test_corrections_multiply_both_degrees_of_freedom():
    result = mfx.aov(FORMULA, repeated(np.diag([1.0, 4.0, 9.0])))
    plain, corrected = result.table(), result.table(correction="GG")
    epsilon = result.sphericity().loc["time", "GG"]
    np.testing.assert_allclose(corrected.loc["time", ["num_df", "den_df"]].astype(float), epsilon * np.array([2, 20]))
    assert corrected.loc["time", "F"] == plain.loc["time", "F"]
    assert corrected.loc["group", "den_df"] == 10


def test_huynh_feldt_is_at_most_one_in_the_table():
    result = mfx.aov("y ~ time + Error(unit/time)", repeated(np.eye(3), units=6, seed=4))
    assert result.sphericity().loc["time", "HF"] > 1
    assert result.table(correction="HF").loc["time", "num_df"] == 2


def test_two_levels_need_no_correction():
    result = mfx.aov(FORMULA, repeated(np.eye(2) + 1.0))
    assert result.sphericity().empty
    assert result.table(correction="GG").loc["time", "num_df"] == 1


def test_mauchly_needs_more_units_than_contrasts():
    table = mfx.aov("y ~ time + Error(unit/time)", repeated(np.eye(6), units=5)).sphericity()
    assert np.isnan(table.loc["time", "W"])
    assert table.loc["time", "GG"] > 0


def test_mauchly_is_uniform_under_sphericity():
    p = [
        mfx.aov("y ~ time + Error(unit/time)", repeated(np.eye(3) + 1.0, units=15, seed=seed))
        .sphericity()
        .loc["time", "p"]
        for seed in range(120)
    ]
    assert abs(np.mean(p) - 0.5) < 3 / np.sqrt(12 * 120)


@pytest.mark.parametrize("spoil", [lambda d: d.iloc[1:], lambda d: pd.concat([d, d.iloc[:1]])])
def test_incomplete_units_have_tables_but_no_corrections(spoil):
    result = mfx.aov(FORMULA, spoil(repeated(np.eye(3))))
    assert result.strata
    with pytest.raises(mfx.DataError, match=r"aggregate='mean'.*lmer"):
        result.sphericity()
    with pytest.raises(mfx.DataError, match="one row for each unit"):
        result.table(correction="GG")


def test_a_correction_must_be_known():
    with pytest.raises(mfx.SpecificationError, match="'none', 'GG', 'HF'"):
        mfx.aov(FORMULA, repeated(np.eye(3))).table(correction="greenhouse")


def test_generalised_eta_squared_of_a_lone_factor_is_eta_squared():
    table = mfx.aov("Yield ~ Batch", mfx.load_dataset("dyestuff")).table()
    assert table.loc["Batch", "ges"] == pytest.approx(56357.5 / (56357.5 + 58830.0))
    assert table.loc["Batch", "pes"] == table.loc["Batch", "ges"]


def test_many_subjects_are_fast():
    """Averages, not matrices: 5000 subjects with 6 cells each."""
    rng = np.random.default_rng(0)
    n = 5000
    data = pd.DataFrame({"s": np.repeat(np.arange(n), 6), "a": np.tile(list("ppqq"), 3 * n // 2)[: 6 * n]})
    data["a"], data["b"] = np.tile(list("ppprrr"), n), np.tile(list("xyzxyz"), n)
    data["y"] = rng.standard_normal(6 * n)
    result = mfx.aov("y ~ a * b + Error(s/(a * b))", data)
    assert result.strata["s:a:b"].loc["Residual", "df"] == 2 * (n - 1)
    assert result.sphericity().loc["a:b", "GG"] > 0.99
