"""Factors nested in others: numbers of R's emmeans, 1.8.4-1.

d <- subset(Pastes, batch %in% c("A", "B", "C", "D") & sample != "A:a")
d$region <- factor(ifelse(d$batch == "D", "south", "north"))
f <- lm(strength ~ region + batch, d); emmeans(f, "region"); emmeans(f, "batch"); emmeans(f, ~ 1)
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

import mixedfx as mfx

PASTES = mfx.load_dataset("pastes")
REGION = ([61.13333333, 59.7], [0.7295832, 1.1699359])
BATCH = ([62.05, 59.30, 62.05, 59.70], [1.4328730, 1.1699359, 1.1699359, 1.1699359])
OVERALL = ([60.41666667], [0.6893913])


def regions():
    data = PASTES[PASTES["batch"].isin(list("ABCD")) & (PASTES["sample"] != "A:a")]
    data = data.assign(batch=data["batch"].astype(str))
    return data.assign(region=np.where(data["batch"] == "D", "south", "north"))


def fits():
    data = regions()
    return [
        mfx.aov("strength ~ region / batch", data),
        mfx.aov("strength ~ region + batch", data),
        smf.ols("strength ~ region + batch", data).fit(),
    ]


@pytest.mark.parametrize("number", range(3))
def test_means_are_averaged_within_the_factor_that_contains(number):
    fit = fits()[number]
    for specs, (means, se) in (("region", REGION), ("batch", BATCH), (None, OVERALL)):
        table = mfx.emmeans(fit, specs)
        np.testing.assert_allclose(table.estimates, means, rtol=1e-8)
        np.testing.assert_allclose(table.se, se, rtol=1e-6)
        assert "batch is nested in region" in str(table)
    table = mfx.emmeans(fit, "batch")
    assert table.labels["region"].tolist() == ["north", "north", "north", "south"]
    assert len(table.pairs()) == 6
    assert len(mfx.emmeans(fit, "batch", by="region").pairs()) == 3


def test_cells_weigh_by_their_rows():
    data = regions()
    table = mfx.emmeans(mfx.aov("strength ~ region / batch", data), "region", weights="cells")
    np.testing.assert_allclose(table.estimates, data.groupby("region")["strength"].mean())


def test_a_factor_with_another_name_and_crossed_factors_are_not_nested():
    data = pd.DataFrame({"a": list("uuvv") * 6, "b": list("xyxy") * 6, "y": np.random.default_rng(1).normal(size=24)})
    table = mfx.emmeans(mfx.aov("y ~ a * b", data), "a")
    assert "nested" not in str(table)
    assert "nested" not in str(mfx.emmeans(mfx.aov("y ~ a + same", data.assign(same=data["a"] + "!")), "a"))


# --------------------------------------------------------------------------- numbers of nesting_reference.R
HERE = Path(__file__).parent
THEIRS = json.loads(HERE.joinpath("nesting_reference.json").read_text(encoding="utf-8"))
F_DIGITS = 6e-4  # emmeans rounds F ratios


@pytest.fixture(scope="module")
def oats():
    """As in nesting_reference.R."""
    factors = dict.fromkeys(["Block", "Variety", "nitroF"], str)
    frame = pd.read_csv(HERE.parent / "reference" / "data" / "OatsF.csv", dtype=factors)
    frame = frame.rename(columns={"nitroF": "dose"})
    row = np.arange(1, len(frame) + 1)
    level = frame["dose"].map({"0": "low", "0.2": "low", "0.4": "middle", "0.6": "high"})
    frame = frame.assign(x=(row * 7) % 11 + row / 10, t=np.where((row * 5) % 7 < 3, "u", "v"), level=level)
    return frame.assign(plot=[f"p{i}" for i in (row * 3) % 4])[row % 9 != 4]


def fitted(fixed, oats):
    return mfx.aov(f"yield ~ {fixed}", oats)


def theirs(rows, name):
    return np.array([row[name] for row in rows], dtype=float)


def compare_joint(table, rows, keys=("term",)):
    ours = table.to_frame().reset_index()
    assert [tuple(row[key] for key in keys) for row in rows] == list(zip(*(ours[key] for key in keys)))
    np.testing.assert_array_equal(ours["df"], theirs(rows, "df1"))
    np.testing.assert_array_equal(ours["den_df"], theirs(rows, "df2"))
    np.testing.assert_allclose(ours["F"], theirs(rows, "F.ratio"), atol=F_DIGITS)
    np.testing.assert_allclose(ours["PR(>F)"], theirs(rows, "p.value"), rtol=1e-6)


def compare_estimates(table, rows, estimate="emmean"):
    names = [name for name in rows[0] if name in table.labels]
    ours = table.to_frame().set_index(names) if names else table.to_frame()
    assert len(ours) == len(rows)
    if names:
        ours = ours.loc[[tuple(row[name] for name in names) if len(names) > 1 else row[names[0]] for row in rows]]
    np.testing.assert_allclose(ours[table.estimate], theirs(rows, estimate), rtol=1e-8)
    np.testing.assert_allclose(ours["se"], theirs(rows, "SE"), rtol=1e-8)


@pytest.mark.parametrize("fixed", THEIRS["joint"])
def test_joint_tests(oats, fixed):
    table, rows = mfx.joint_tests(fitted(fixed, oats)), THEIRS["joint"][fixed]
    compare_joint(table.loc[[row["term"] for row in rows]], rows)
    assert len(table) == len(rows)
    assert "nested" in str(table)


def test_joint_tests_within_levels_and_of_means(oats):
    table = mfx.joint_tests(fitted("t * (level / dose)", oats), by="t")
    compare_joint(table.loc[[(row["term"], row["t"]) for row in THEIRS["joint_by"]]], THEIRS["joint_by"])
    compare_joint(mfx.emmeans(fitted("level / dose + x", oats), "dose").joint_tests(), THEIRS["joint_means"])
    within = mfx.emmeans(fitted("level / dose", oats), "dose").joint_tests(by="level")
    assert within.to_frame().reset_index()[["term", "level", "df"]].to_numpy().tolist() == [["dose", "low", 1.0]]


def test_joint_tests_of_a_nested_factor_within_which_another_is_crossed(oats):
    """An interaction of t with doses within levels: of a mixed model, against the dense hypothesis."""
    fit = mfx.lmer("yield ~ t * dose + (1 | Block)", oats.astype({"dose": "category"}))
    names = list(fit.params.index)
    low = np.isin(names, ["t[T.v]:dose[T.0.2]"]).astype(float)[None]
    with_levels = mfx.lmer("yield ~ t * dose + level + (1 | Block)", oats)
    table = mfx.joint_tests(with_levels)
    assert table.loc["t:dose:level", "F"] == pytest.approx(fit.f_test(low).fvalue, rel=1e-6)


@pytest.mark.parametrize("specs", ["level", "dose", "1"])
def test_slopes(oats, specs):
    table = mfx.trends(fitted("x * dose + level", oats), "x", specs)
    compare_estimates(table, THEIRS[f"trend_{specs}"], "x.trend")
    assert "dose is nested in level" in str(table)


def test_nested_by_formula(oats):
    """Labels that repeat: t stands in no term without Variety."""
    fit = fitted("Variety / t", oats)
    compare_estimates(mfx.emmeans(fit, "t"), THEIRS["repeated_t"])
    compare_estimates(mfx.emmeans(fit, "Variety"), THEIRS["repeated_Variety"])
    fit = fitted("Variety * t + Variety:t:plot", oats)
    compare_estimates(mfx.emmeans(fit, "plot"), THEIRS["several_plot"])
    compare_estimates(mfx.emmeans(fit, "t"), THEIRS["several_t"])


def test_of_statsmodels_models_too(oats):
    fit = smf.ols("Q('yield') ~ Variety / t", oats).fit()
    compare_estimates(mfx.emmeans(fit, "t"), THEIRS["repeated_t"])
    compare_joint(mfx.joint_tests(fit), THEIRS["joint"]["Variety / t"])


def test_nesting_given(oats):
    fit = fitted("Variety * t", oats)
    nesting = {"t": "Variety"}
    compare_estimates(mfx.emmeans(fit, "t", nesting=nesting), THEIRS["override_t"])
    compare_joint(mfx.joint_tests(fit, nesting=nesting), THEIRS["joint_override"])
    assert "Variety" not in mfx.emmeans(fit, "t").labels
    assert mfx.trends(fitted("x * t * Variety", oats), "x", "t", nesting=nesting).labels.shape == (6, 2)


@pytest.mark.parametrize("none", [False, (), [], {}])
def test_nesting_refused(oats, none):
    """Without nesting ``Variety / t`` is ``Variety * t``."""
    nested, crossed = fitted("Variety / t", oats), fitted("Variety * t", oats)
    ours, same = mfx.emmeans(nested, "t", nesting=none), mfx.emmeans(crossed, "t")
    np.testing.assert_allclose(ours.estimates, same.estimates)
    ours, same = mfx.joint_tests(nested, nesting=none), mfx.joint_tests(crossed)
    assert list(ours.index) == list(same.index)
    np.testing.assert_allclose(ours["F"], same["F"])


def test_nesting_is_transitive(oats):
    fit = fitted("t * Variety * dose", oats)
    chain = mfx.emmeans(fit, "dose", nesting={"dose": "Variety", "Variety": ["t"]})
    whole = mfx.emmeans(fit, "dose", nesting={"dose": ("Variety", "t"), "Variety": "t"})
    assert chain.labels.columns.tolist() == ["dose", "Variety", "t"]
    pd.testing.assert_frame_equal(chain.to_frame(), whole.to_frame())


def test_wrong_types_of_nesting(oats):
    for wrong in (True, "t %in% Variety", 3, ["t"]):
        with pytest.raises(TypeError, match=r"nesting is a dict such as \{'state': 'region'\}"):
            mfx.emmeans(fitted("Variety * t", oats), "t", nesting=wrong)


def test_factors_with_the_names_of_columns(oats):
    """The factor keeps its name, the numbers change theirs."""
    named = oats.rename(columns={"Variety": "lower", "dose": "df"})
    fit, plain = mfx.aov("yield ~ t + lower + df", named), mfx.aov("yield ~ t + Variety + dose", oats)
    ours, same = mfx.emmeans(fit, ["t", "lower", "df"]), mfx.emmeans(plain, ["t", "Variety", "dose"])
    assert ours.to_frame().columns.tolist()[:6] == ["t", "lower", "df", "mean", "se", "df value"]
    np.testing.assert_allclose(ours.to_frame()["t value"], same.to_frame()["t value"])
    np.testing.assert_allclose(ours.conf_int()["lower value"], same.conf_int()["lower"])
    assert str(ours.letters()).count("lower") == str(same.letters()).count("lower") + 1
    assert "pvalue" not in str(mfx.emmeans(fit, "t"))
