"""The contextual effect: against lmerTest and pbkrtest on columns made by hand, and against Mundlak's identity."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

# lmerTest 3.1-3 with pbkrtest 0.5.2: d$m <- ave(d$basement, d$county); d$w <- d$basement - d$m;
# contest(lmer(log.radon ~ w + m + uranium + (1 | county), d), c(0, -1, 1, 0), joint = FALSE, ddf = …)
LMERTEST = {
    "satterthwaite": (0.409609955704, 0.201344383397, 133.149716218, 2.03437487947, 0.0438994331954),
    "kenward-roger": (0.409609955704, 0.202523320995, 163.833213036, 2.02253228759, 0.0447478711292),
}


@pytest.fixture(scope="module")
def radon():
    return mfx.load_dataset("radon").rename(columns={"log.radon": "radon"})


@pytest.mark.parametrize("ddf", LMERTEST)
def test_as_lmertest_on_columns_made_by_hand(radon, ddf):
    fit = mfx.lmer("radon ~ wb(basement, county) + uranium + (1 | county)", radon)
    row = mfx.contextual_test(fit, ddf=ddf).iloc[0]
    found = row[["contextual", "se", "df", "t", "PR(>|t|)"]].to_numpy()
    np.testing.assert_allclose(found, LMERTEST[ddf], rtol=1e-5)
    assert row["contextual"] == pytest.approx(row["between"] - row["within"])


def test_the_effect_within_is_that_of_an_indicator_for_every_group(radon):
    fit = mfx.lmer("radon ~ wb(basement, county) + uranium + (1 | county)", radon)
    indicators = np.asarray(pd.get_dummies(radon["county"]), dtype=float)
    X = np.column_stack([radon["basement"], indicators])
    expected = np.linalg.lstsq(X, radon["radon"].to_numpy(), rcond=None)[0][0]
    assert mfx.contextual_test(fit)["within"].iloc[0] == pytest.approx(expected, rel=1e-8)


def test_several_pairs_and_their_joint_test(radon):
    fit = mfx.lmer("radon ~ wb(basement, county) * uranium + (1 | county)", radon)
    table = mfx.contextual_test(fit)
    assert table.index.tolist() == ["wb(basement, county)", "wb(basement, county):uranium"]
    m = radon.groupby("county", observed=True)["basement"].transform("mean")
    data = radon.assign(m=m, w=radon["basement"] - m, mu=m * radon["uranium"])
    data["wu"] = data["w"] * data["uranium"]
    hand = mfx.lmer("radon ~ w + m + uranium + wu + mu + (1 | county)", data)
    tests = hand.t_test("m - w = 0, mu - wu = 0")
    np.testing.assert_allclose(table["df"], tests.df_denom, rtol=1e-6)
    np.testing.assert_allclose(table["t"], tests.tvalue, rtol=1e-6)
    assert str(hand.f_test("m - w = 0, mu - wu = 0")) in table.notes[1]


def test_generalised_models_have_z_tests():
    data = mfx.load_dataset("contraception").assign(use=lambda d: (d["use"] == "Y").astype(int))
    fit = mfx.glmer("use ~ wb(age, district) + (1 | district)", data, family="binomial")
    table = mfx.contextual_test(fit)
    row = np.array([0.0, -1.0, 1.0])
    se = np.sqrt(row @ fit.cov_params().to_numpy() @ row)
    assert table["z"].iloc[0] == pytest.approx(row @ fit.params.to_numpy() / se)
    assert np.isinf(table["df"].iloc[0])


def test_models_without_a_split_are_refused(radon):
    fit = mfx.lmer("radon ~ basement + (1 | county)", radon)
    with pytest.raises(mfx.SpecificationError, match=r"wb\(x, g\)"):
        mfx.contextual_test(fit)
    with pytest.raises(TypeError, match="results of mixedfx"):
        mfx.contextual_test("fit")
