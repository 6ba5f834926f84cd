"""Factors nested in others: numbers of R's emmeans, 1.8.4-1.

d <- subset(Pastes, batch %in% c("A", "B", "C", "D") & sample != "A:a")
d$region <- factor(ifelse(d$batch == "D", "south", "north"))
f <- lm(strength ~ region + batch, d); emmeans(f, "region"); emmeans(f, "batch"); emmeans(f, ~ 1)
"""

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
