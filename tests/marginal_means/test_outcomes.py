"""Probabilities of categories and means with zeros: numbers of R (made by ``outcomes_reference.R``) and laws."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special

import mixedfx as mfx

HERE = Path(__file__).parent
THEIRS = json.loads(HERE.joinpath("outcomes_reference.json").read_text(encoding="utf-8"))
SE = 1e-3  # relative: the programs differentiate their likelihoods differently
ZEROS = {
    "zi": ("zero_inflated_poisson", "~ mined"),
    "zi_nbinom2": ("zero_inflated_nbinom2", "~ 1"),
    "hurdle": ("hurdle_poisson", "~ mined"),
    "hurdle_nbinom2": ("hurdle_nbinom2", "~ mined"),
}


def column(rows, name):
    return np.array([float(row[name]) for row in rows])


@cache
def ordinal():
    factors = ["Consumer", "Product", "Information", "Gender"]
    ham = pd.read_csv(HERE.parent / "reference" / "data" / "ham.csv", dtype=dict.fromkeys(factors, str))
    ham["liking"] = pd.cut(ham["Informed.liking"], [0, 4, 6, 9], labels=["low", "middle", "high"])
    return mfx.glmer("liking ~ Product + Information + (1 | Consumer)", ham, family="ordinal")


@cache
def zeros(key):
    family, formula = ZEROS[key]
    return mfx.glmer(
        "count ~ mined + (1 | site)", mfx.load_dataset("salamanders"), family=family, zero_inflation=formula
    )


@pytest.mark.parametrize(
    ("key", "column_name", "bounds", "made"),
    [
        ("prob", "prob", (0, 1), lambda means: means),
        ("prob_pairs", "estimate", None, lambda means: means.pairs(adjust="none")),
        ("mean_class", "mean.class", (1, 3), lambda means: means),
        ("mean_class_pairs", "estimate", None, lambda means: means.pairs()),
    ],
)
def test_categories_are_those_of_r(key, column_name, bounds, made):
    """R's intervals are symmetric and may leave the range; ours are those of its numbers on the logit scale."""
    table = made(mfx.emmeans(ordinal(), "Product", scale="response" if key.startswith("prob") else "mean_class"))
    rows = THEIRS[key]
    frame, se = table.to_frame(), column(rows, "SE")
    np.testing.assert_allclose(frame["se"], se, rtol=SE)
    assert np.abs((frame[table.estimate] - column(rows, column_name)) / se).max() < SE
    lower, upper = column(rows, "asymp.LCL"), column(rows, "asymp.UCL")
    if bounds is not None:
        lowest, width = bounds[0], bounds[1] - bounds[0]
        share = (column(rows, column_name) - lowest) / width
        half = (upper - lower) / 2 / width / (share * (1 - share))
        lower, upper = (lowest + width * special.expit(special.logit(share) + half * side) for side in (-1, 1))
    assert np.abs((frame["lower"] - lower) / se).max() < 3 * SE
    assert np.abs((frame["upper"] - upper) / se).max() < 3 * SE
    np.testing.assert_allclose(frame["pvalue"], column(rows, "p.value"), atol=SE)


@pytest.mark.parametrize("key", ZEROS)
def test_means_with_zeros_are_those_of_glmmtmb(key):
    frame, rows = mfx.emmeans(zeros(key), "mined", scale="response").to_frame(), THEIRS[key]
    order = [frame["mined"].tolist().index(row["mined"]) for row in rows]
    np.testing.assert_allclose(frame["mean"].iloc[order], column(rows, "mean"), rtol=SE)
    np.testing.assert_allclose(frame["se"].iloc[order], column(rows, "SE"), rtol=SE)


# --------------------------------------------------------------------------- laws
def test_probabilities_are_those_of_predict_and_sum_to_one():
    table = mfx.emmeans(ordinal(), ["Product", "Information"], scale="response")
    frame = table.to_frame()
    grid = {"Product": list("1234") * 2, "Information": list("11112222")}
    theirs = ordinal().predict(grid, random=False, which="probabilities")
    np.testing.assert_allclose(frame["probability"].to_numpy().reshape(3, 8), theirs.to_numpy().T)
    total = table.functions.combined(np.tile(np.eye(8), 3))
    np.testing.assert_allclose(total.values, 1.0)
    np.testing.assert_allclose(total.se, 0.0, atol=1e-9)
    assert table.by == ("liking",)
    within = table.contrast("identity", by=["Product", "Information"])
    assert len(within) == 24


def test_probabilities_in_the_population_are_integrals():
    ours = mfx.emmeans(ordinal(), ["Product", "Information"], scale="response", integrate=True).to_frame()
    grid = {"Product": list("1234") * 2, "Information": list("11112222")}
    theirs = ordinal().predict(grid, integrate=True, which="probabilities")
    np.testing.assert_allclose(ours["probability"].to_numpy().reshape(3, 8), theirs.to_numpy().T, rtol=1e-6)


@pytest.mark.parametrize("key", ZEROS)
def test_means_with_zeros_are_those_of_predict(key):
    grid = {"mined": ["no", "yes"]}
    for integrate in (False, True):
        table = mfx.emmeans(zeros(key), "mined", at=grid, scale="response", integrate=integrate)
        theirs = zeros(key).predict(grid, random=False, integrate=integrate)
        np.testing.assert_allclose(table.estimates, theirs, rtol=1e-6)
    ratio = table.contrast("treatment")
    assert ratio.estimates[0] == pytest.approx(theirs.iloc[1] / theirs.iloc[0], rel=1e-6)
    effect = mfx.comparisons(zeros(key), "mined", data=grid, integrate=True)
    assert abs(effect["estimate"].iloc[0]) == pytest.approx(theirs.iloc[0] - theirs.iloc[1], rel=1e-6)


def test_link_scale_stays_the_conditional_part():
    fit = zeros("zi")
    table = mfx.emmeans(fit, "mined", at={"mined": ["no", "yes"]})
    grid = {"mined": ["no", "yes"]}
    np.testing.assert_allclose(table.estimates, fit.predict(grid, random=False, which="linear"))


def test_degrees_of_freedom_can_be_given():
    table = mfx.emmeans(zeros("zi"), "mined", scale="response", ddf=7)
    assert table.df.tolist() == [7.0, 7.0]
    assert np.isinf(mfx.emmeans(ordinal(), "Product", scale="response").df).all()


def test_predictors_of_the_zeros_alone_are_averaged_over():
    data = mfx.load_dataset("salamanders")
    fit = mfx.glmer("count ~ mined + (1 | site)", data, family="zero_inflated_poisson", zero_inflation="~ spp")
    table = mfx.emmeans(fit, "mined", scale="response")
    assert "Averaged over the levels of: spp" in str(table)
    species = sorted(data["spp"].unique())
    mean = fit.predict({"mined": ["yes"] * len(species), "spp": species}, random=False).mean()
    assert table.estimates[table.labels["mined"].tolist().index("yes")] == pytest.approx(mean)
    assert "spp" in set(mfx.marginal_effects(fit)["term"])
