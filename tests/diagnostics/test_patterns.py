"""Bends and unequal spread are found, named, and gone once the advice is followed; good fits are calm."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.diagnostics.page import _distribution
from mixedfx.diagnostics.patterns import Column, Pattern, Patterns, _of_draws, _spread, patterns

COUNT = 60  # good fits


def told(fit):
    return mfx.check(fit).to_frame()


def nested(seed, m=30, k=8):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(m), k)
    frame = pd.DataFrame({"g": g, "x": rng.normal(size=m * k), "a": rng.choice(["u", "v"], m * k)})
    return rng, frame, frame["x"] + rng.normal(size=m)[g]


def test_a_spread_by_a_factor_is_found_and_the_advice_takes_it_away():
    teeth, formula = mfx.load_dataset("orthodont"), "distance ~ age * Sex + (1 | Subject)"
    found = told(mfx.lmer(formula, teeth)).loc["equal spread"]
    assert (found["verdict"], found["advice"]) == ("look", 'try residual=mfx.VarIdent("Sex")')
    assert found["found"].startswith("residuals of Sex Male are 1.")
    calm = told(mfx.lmer(formula, teeth, residual=mfx.VarIdent("Sex"))).loc["equal spread"]
    assert (calm["verdict"], calm["advice"]) == ("well", "")


def test_a_spread_along_a_number_that_the_fitted_values_do_not_show():
    rng, data, mean = nested(3)
    data["time"] = rng.uniform(0, 1, len(data))
    data["y"] = mean + np.exp(data["time"]) * rng.normal(size=len(data))
    formula = "y ~ x + time + (1 | g)"
    found = told(mfx.lmer(formula, data)).loc["equal spread"]
    assert found["advice"] == 'try residual=mfx.VarExp("time")'
    assert "grow with time" in found["found"]
    assert told(mfx.lmer(formula, data, residual=mfx.VarExp("time"))).loc["equal spread", "verdict"] == "well"
    also = told(mfx.lmer(formula, data, residual=mfx.AR1(group="g"))).loc["equal spread"]
    assert also["advice"] == 'multiply residual= by mfx.VarExp("time")'


def test_a_dispersion_by_a_factor_is_found_in_a_family():
    rng, data, mean = nested(4)
    shape = np.where(data["a"] == "u", 1.5, 12.0)
    data["y"] = rng.gamma(shape, np.exp(0.3 * mean) / shape)
    options = {"family": "gamma", "link": "log"}
    found = told(mfx.glmer("y ~ x + a + (1 | g)", data, **options)).loc["equal spread"]
    assert found["advice"] == 'try dispersion="~ a"'
    calm = told(mfx.glmer("y ~ x + a + (1 | g)", data, dispersion="~ a", **options))
    assert calm.loc["equal spread", "verdict"] == "well"


def test_a_family_without_a_dispersion_is_told_one_that_has_it():
    rng, data, mean = nested(5)
    extra = np.where(data["a"] == "u", 0.0, 1.0) * rng.normal(size=len(data))
    data["y"] = rng.poisson(np.exp(1.0 + 0.3 * mean + extra))
    found = told(mfx.glmer("y ~ x + a + (1 | g)", data, family="poisson")).loc["equal spread"]
    assert found["advice"] == 'try family="nbinom2", dispersion="~ a"'
    mfx.glmer("y ~ x + a + (1 | g)", data, family="nbinom2", dispersion="~ a")


def test_a_spread_that_grows_with_the_mean_asks_for_a_logarithm():
    rng, data, mean = nested(6)
    data["y"] = np.exp(0.7 * mean + 0.5 * rng.normal(size=len(data)))
    found = told(mfx.lmer("y ~ x + (1 | g)", data)).loc["equal spread"]
    assert found["advice"] == "try log(y) as the response"
    assert told(mfx.lmer("log(y) ~ x + (1 | g)", data)).loc["equal spread", "verdict"] == "well"


@pytest.mark.parametrize("family", [None, "poisson"])
def test_a_bend_is_found_and_a_curve_takes_it_away(family):
    rng, data, mean = nested(7)
    mean = 1.0 + 0.4 * mean + 0.4 * data["x"] ** 2
    data["y"] = mean + 0.7 * rng.normal(size=len(data)) if family is None else rng.poisson(np.exp(mean))
    call = mfx.lmer if family is None else mfx.glmer
    options = {} if family is None else {"family": family}
    found = told(call("y ~ x + a + (1 | g)", data, **options)).loc["bends"]
    assert (found["verdict"], found["advice"]) == ("look", "try a curve, ns(x, 3), in its place")
    assert told(call("y ~ poly(x, 2) + a + (1 | g)", data, **options)).loc["bends", "verdict"] == "well"


def good(kind, seed):
    rng, data, mean = nested(seed, 24, 5)
    draw = {
        "normal": lambda: mean + rng.normal(size=len(data)),
        "poisson": lambda: rng.poisson(np.exp(0.4 * mean)),
        "gamma": lambda: rng.gamma(2.0, np.exp(0.4 * mean) / 2.0),
    }
    data["y"] = draw[kind]()
    if kind == "normal":
        return mfx.lmer("y ~ x + a + (1 | g)", data)
    return mfx.glmer("y ~ x + a + (1 | g)", data, family=kind, link="log")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "poisson", "gamma"])
def test_good_fits_are_seldom_alarmed(kind):
    """Of 60 p-values with size 5 %, more than 9 lie below with a probability of 0.1 %."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.SingularFitWarning)
        found = [patterns(good(kind, 100 + seed), seed) for seed in range(COUNT)]
    assert sum(one.spreads[0].pvalue < 0.05 for one in found) <= 9
    assert sum(one.bends[0].pvalue < 0.05 for one in found) <= 9


@pytest.mark.parametrize("sizes", [(1, 290), (1, 1, 8, 290), (2, 2, 30, 60), (10, 40, 250), (12,) * 20])
def test_rare_levels_do_not_alarm_and_one_that_is_odd_does(sizes):
    """Of 150 p-values with size 1 %, more than 6 lie below with a probability of 0.1 %."""
    rng, codes = np.random.default_rng(1), np.repeat(np.arange(len(sizes)), sizes)
    column = Column("a", None, codes, tuple(map(str, sizes)))
    pvalues = np.array([_spread(rng.normal(size=codes.size), column).pvalue for _ in range(150)])
    assert np.sum(pvalues < 0.01) <= 6
    assert np.mean(pvalues < 0.5) == pytest.approx(0.5, abs=0.13)  # uniform, so that draws can be averaged
    assert pvalues.max() < 1.0
    wide = np.where(codes == len(sizes) - 1, 4.0, 1.0)
    assert sizes[0] < 10 or _spread(wide * rng.normal(size=codes.size), column).pvalue < 1e-3


def test_what_cannot_be_seen_is_not_tested():
    toenail = mfx.load_dataset("toenail")
    fit = mfx.glmer("y ~ treatment * time + (1 | patientID)", toenail, family="binomial")
    page = mfx.check(fit)
    assert "equal spread" not in page.to_frame().index
    assert "zeros and ones" in page.panels().loc["spread", "line"]
    with pytest.warns(mfx.SingularFitWarning):
        flat = mfx.check(mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff2")))
    assert "all fitted values are the same" in flat.panels().loc["spread", "line"]


def test_modes_of_effects_of_which_the_data_tell_little_are_not_tested():
    """Modes of zeros and ones take few values: normal effects would be called far from normal nearly always."""
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(100), 6)
    y = rng.binomial(1, 1 / (1 + np.exp(-2 * rng.normal(size=100)[g])))
    fit = mfx.glmer("y ~ 1 + (1 | g)", {"y": y, "g": g}, family="binomial")
    assert mfx.random_effects_normality(fit)["p"].iloc[0] < 0.01
    found = told(fit).loc["random effects"]
    assert found["verdict"] == "well"
    assert found["found"].startswith("not tested: the rows of a level show only")


def test_one_row_far_out_is_no_skewness():
    rng, data, mean = nested(9, 20, 6)
    data["y"] = mean + rng.normal(size=len(data))
    data.loc[17, "y"] += 9
    found = told(mfx.lmer("y ~ x + (1 | g)", data))
    assert "skewed" not in found.loc["distribution", "found"]
    assert "row 17" in found.loc["residuals", "found"]


@pytest.mark.parametrize("name", ["normal", "poisson", "gamma"])
def test_the_line_under_a_picture_is_what_the_page_says(name):
    page = mfx.check(good(name, 1))
    frame, panels = page.to_frame(), page.panels()
    assert len(panels) == 6
    for _, panel in panels[panels["topic"] != ""].iterrows():
        found = frame.loc[panel["topic"]]
        assert found["verdict"] == panel["verdict"]
        assert found["found"] in panel["line"]
        assert found["advice"][1:] in panel["line"]


@pytest.mark.parametrize("certain", [[], [1.0], [1.0, 0.0], [1.0] * 10, [0.0] * 10])
def test_a_draw_that_is_certain_decides_nothing_alone(certain):
    """p-values of exactly 1, which Bonferroni gives, are as usual as small ones, and hide no others."""
    column = Column("x", None)
    found = _of_draws([Pattern(column, p, 2.0) for p in [*certain, *[1e-6] * (10 - len(certain))]])
    assert (found.pvalue < 1e-3) == (certain.count(1.0) <= 1)
    assert 0.0 <= found.pvalue <= 1.0


@pytest.mark.parametrize("p", [0.0099, 0.01, 0.017, 0.0499, 0.05, 0.4])
def test_a_p_value_between_the_limits_says_which_one_holds(p, monkeypatch):
    """Whatever is tested: an ok beside a p below 5 % names the limit of the page, and nothing else does."""
    rng, data, mean = nested(6, m=12)
    data["y"] = mean + rng.normal(size=len(data))
    fit = mfx.lmer("y ~ x + a + (1 | g)", data)
    column = Column("a", codes=(data["a"] == "v").to_numpy().astype(int), levels=("u", "v"))
    found = Patterns(fit, len(data), (Pattern(column, p, 2.0, "u", "v"),), (Pattern(column, p, 0.9),))
    monkeypatch.setattr("mixedfx.diagnostics.page.anderson_darling", lambda values: (1.0, p))
    lines = [*found.bend(), *found.spread(), _distribution(fit, 0)]
    assert len(lines) == 3
    for line in lines:
        assert (line.verdict == "well") == (p >= 0.01)
        assert ("a look is for p below 0.01" in line.words) == (0.01 <= p < 0.05)
        assert f"p = {p:.2g}" in line.words
