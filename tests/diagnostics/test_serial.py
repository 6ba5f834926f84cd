"""Autocorrelations and variograms of residuals: nlme's numbers, loops by hand, and what is refused."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx import plots

CBPP = mfx.load_dataset("cbpp")

CYCLE = "follicles ~ sin(2 * pi * Time) + cos(2 * pi * Time) + (1 | Mare)"


@pytest.fixture(scope="module")
def mares():
    return mfx.lmer(CYCLE, mfx.load_dataset("ovary"))


@pytest.fixture(scope="module")
def teeth():
    return mfx.lmer("distance ~ age * Sex + (1 | Subject)", mfx.load_dataset("orthodont"))


def test_autocorrelations_are_those_of_nlme(mares, teeth):
    # R: ACF(lme(follicles ~ sin(2*pi*Time) + cos(2*pi*Time), Ovary, random = ~1 | Mare), maxLag = 6)
    expected = [1.0, 0.50273110314, 0.32887611085, 0.18779959764, 0.16708294445, 0.0847805755, 0.08239249075]
    assert mfx.acf(mares, lags=6).to_frame()["acf"].tolist() == pytest.approx(expected, rel=1e-4)
    # R: ACF(lme(…, correlation = corAR1(form = ~1 | Mare)), resType = "normalized", maxLag = 4) with the levels of Mare
    # in the order of the rows. In another order (that of Ovary) nlme whitens as if mares were as long as others: its
    # normalized residuals then differ at the seams from (r_t - phi r_(t-1)) / sqrt(1 - phi^2), and lag 1 is -0.0923.
    structured = mfx.lmer(CYCLE, mfx.load_dataset("ovary"), residual=mfx.AR1(group="Mare"))
    expected = [1.0, -0.11450874212, 0.0451315049, -0.03828224902, 0.08666534118]
    found = mfx.acf(structured, kind="normalized", lags=4).to_frame()["acf"]
    assert found.tolist() == pytest.approx(expected, rel=1e-4)
    # R: ACF(lme(distance ~ age * Sex, Orthodont, random = ~1 | Subject))
    expected = [1.0, -0.3189564326, -0.07876559585, -0.57615517051]
    assert mfx.acf(teeth).to_frame()["acf"].tolist() == pytest.approx(expected, rel=1e-4)


def test_variograms_are_those_of_nlme(teeth):
    # R: Variogram(lme(distance ~ age * Sex, Orthodont, random = ~1 | Subject), form = ~age)
    found = mfx.variogram(teeth, "age").to_frame()
    assert found["distance"].tolist() == [2.0, 4.0, 6.0]
    assert found["variogram"].tolist() == pytest.approx([1.0027977896, 0.8208478983, 1.2017626867], rel=1e-4)
    assert found["pairs"].tolist() == [81, 54, 27]


def test_by_hand_with_gaps_and_any_order_of_rows():
    rng = np.random.default_rng(1)
    g, t = np.repeat(np.arange(12), 9), np.tile(np.arange(9), 12)
    data = pd.DataFrame(
        {"g": g, "t": t, "u": rng.uniform(size=108), "v": rng.uniform(size=108), "x": rng.normal(size=108)}
    )
    data["y"] = data["x"] + rng.normal(size=12)[g] + rng.normal(size=108)
    data = data[rng.uniform(size=108) > 0.3].sample(frac=1.0, random_state=2)
    data.iloc[3, 4] = np.nan
    fit = mfx.lmer("y ~ x + (1 | g)", data)
    used = data.dropna().assign(r=fit.residuals("pearson"))
    rows = list(used[["g", "t", "u", "v", "r"]].itertuples(index=False))
    for lag in (1, 4):
        pairs = [a.r * b.r for a in rows for b in rows if a.g == b.g and b.t - a.t == lag]
        found = mfx.acf(fit, time="t").to_frame().loc[lag]
        assert found["acf"] == pytest.approx(np.mean(pairs) / np.mean(used["r"] ** 2))
        assert found["pairs"] == len(pairs)
    given = mfx.acf(fit, time=data["t"].to_numpy()).to_frame()
    pd.testing.assert_frame_equal(given, mfx.acf(fit, "g", time="t").to_frame())
    pairs = [
        (np.hypot(a.u - b.u, a.v - b.v), (a.r - b.r) ** 2 / 2)
        for i, a in enumerate(rows)
        for b in rows[:i]
        if a.g == b.g
    ]
    found = mfx.variogram(fit, ["u", "v"], intervals=7).to_frame()
    assert found["pairs"].sum() == len(pairs)
    assert np.ptp(found["pairs"]) <= 2
    for k in ("distance", "variogram"):
        position = ["distance", "variogram"].index(k)
        assert found[k] @ found["pairs"] == pytest.approx(sum(pair[position] for pair in pairs))


def test_units_change_nothing(mares):
    data = mfx.load_dataset("ovary").assign(follicles=lambda d: 1e-9 * d["follicles"])
    other = mfx.acf(mfx.lmer(CYCLE, data)).to_frame()["acf"]
    assert other.to_numpy() == pytest.approx(mfx.acf(mares).to_frame()["acf"].to_numpy(), rel=1e-4)


def test_generalised_models_and_models_without_groups():
    cbpp = mfx.load_dataset("cbpp").assign(p=lambda d: d["period"].astype(int))
    fit = mfx.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", cbpp, family="binomial")
    found = mfx.acf(fit, time="p", kind="deviance").to_frame()
    assert found.loc[0, "pairs"] == 56
    assert found.loc[1, "pairs"] == sum(((d["p"] + 1).isin(d["p"])).sum() for _, d in cbpp.groupby("herd"))
    alone = mfx.lmer("distance ~ age * Sex", mfx.load_dataset("orthodont"), residual=mfx.VarIdent("Sex"))
    assert mfx.acf(alone, lags=2).to_frame()["pairs"].tolist() == [108, 107, 106]
    assert mfx.acf(alone, mfx.load_dataset("orthodont")["Subject"], lags=2).to_frame()["pairs"].tolist() == [
        108,
        81,
        54,
    ]


def test_what_cannot_be_answered_is_refused(mares, teeth):
    with pytest.raises(mfx.DataError, match=r"whole numbers.*variogram"):
        mfx.acf(mares, time="Time")
    with pytest.raises(mfx.DataError, match="occurs twice"):
        mfx.acf(teeth, np.zeros(108), time="age")
    with pytest.raises(mfx.SpecificationError, match="no two rows"):
        mfx.acf(teeth, np.arange(108))
    with pytest.raises(mfx.SpecificationError, match="lags is the largest lag"):
        mfx.acf(teeth, lags=0)
    with pytest.raises(mfx.DataError, match="'nope'"):
        mfx.variogram(teeth, "nope")
    with pytest.raises(mfx.DataError, match="108 rows"):
        mfx.variogram(teeth, np.zeros(3))
    with pytest.raises(mfx.SpecificationError, match="no pairs"):
        mfx.variogram(teeth, "age", np.arange(108))
    with pytest.raises(mfx.SpecificationError, match="intervals"):
        mfx.variogram(teeth, "age", intervals=0)
    with pytest.raises(mfx.SpecificationError, match="kind"):
        mfx.acf(teeth, kind="nope")


def test_pictures(mares, teeth):
    panel = mfx.acf(mares).plot()
    assert panel.get_xlabel() == "lag"
    found = mfx.variogram(teeth, "age")
    assert plots.correlogram(found).get_xlabel() == "distance"
    assert "Variogram of residuals" in str(found)
    assert found._repr_html_().startswith("<")


def test_more_lags_than_times_cost_nothing():
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    assert mfx.acf(fit, lags=10**9).to_frame().index.tolist() == list(range(10))


def test_no_kind_is_the_usual_one_of_the_model():
    counts = mfx.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", CBPP, family="binomial")
    for fit, usual in ((mfx.lmer("incidence ~ period + (1 | herd)", CBPP), "response"), (counts, "deviance")):
        assert mfx.acf(fit, kind=None, lags=2).to_frame().equals(mfx.acf(fit, kind=usual, lags=2).to_frame())
        np.testing.assert_array_equal(fit.residuals(), fit.residuals(usual))


def test_effects_of_a_model_without_random_effects_are_an_empty_table():
    fit = mfx.lmer("distance ~ age", mfx.load_dataset("orthodont"), residual=mfx.VarIdent("Sex"))
    frame = mfx.diagnostics.standardized_effects(fit)
    assert list(frame) == ["group", "term", "level", "value"]
    assert frame.empty
    with pytest.raises(mfx.SpecificationError, match="no random effects"):
        plots.qq(fit, group="Subject")
