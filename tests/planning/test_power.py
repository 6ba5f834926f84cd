"""Power: by formula, by simulation, and that both agree where the formula holds."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mfx
from mixedfx.planning.power import wilson

SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleep():
    return mfx.lmer(SLEEP, mfx.load_dataset("sleepstudy"))


# ---------------------------------------------------------------- against closed forms
def test_the_paired_t_test():
    """Differences within n subjects: variance 2 sigma^2, n - 1 degrees of freedom."""
    plan = mfx.design(subjects=20, within={"c": ["a", "b"]})
    values = {"Intercept": 0.0, "c[T.b]": 0.5, "sd_Intercept|subject": 1.5, "sigma": 0.8}
    found = mfx.power("y ~ c + (1 | subject)", plan, params=values, effect="c[T.b]", seed=1).to_frame()
    shift, critical = 0.5 / (0.8 * np.sqrt(2 / 20)), stats.t.ppf(0.975, 19)
    expected = stats.nct.sf(critical, 19, shift) + stats.nct.cdf(-critical, 19, shift)
    assert found["method"].tolist() == ["analytic"]
    assert found["power"].iloc[0] == pytest.approx(expected, abs=1e-6)


def test_the_f_test_of_groups():
    """Means of m visits of n subjects in each of three groups: one-way analysis of variance of the means."""
    plan = mfx.design(subjects=36, visits=5, between={"g": ["a", "b", "d"]})
    values = {"Intercept": 0.0, "g[T.b]": 0.4, "g[T.d]": 0.9, "sd_Intercept|subject": 0.8, "sigma": 1.0}
    found = mfx.power("y ~ g + (1 | subject)", plan, params=values, effect="g", seed=1).to_frame()
    means, spread = np.array([0, 0.4, 0.9]), 0.8**2 + 1.0 / 5
    expected = stats.ncf.sf(stats.f.ppf(0.95, 2, 33), 2, 33, 12 * np.sum((means - means.mean()) ** 2) / spread)
    assert found["power"].iloc[0] == pytest.approx(expected, abs=1e-6)


def test_nothing_to_find_is_found_as_often_as_the_level(sleep):
    for level in (0.05, 0.01):
        found = mfx.power(sleep, effect={"Days": 0.0}, alpha=level, seed=1).to_frame()
        assert found["power"].iloc[0] == pytest.approx(level, abs=1e-10)


def test_scaling_the_response_changes_nothing(sleep):
    data = mfx.load_dataset("sleepstudy")
    small = mfx.lmer(SLEEP, data.assign(Reaction=data["Reaction"] / 1000))
    first = mfx.power(sleep, effect={"Days": 5.0}, seed=1).to_frame()["power"]
    second = mfx.power(small, effect={"Days": 0.005}, seed=1).to_frame()["power"]
    np.testing.assert_allclose(first, second, rtol=1e-5)


def test_a_fit_and_its_parameters_written_out_agree(sleep):
    values = {
        "Intercept": sleep.params["Intercept"],
        "Days": 5.0,
        "sigma": sleep.sigma,
        "theta": sleep.theta.to_numpy(),
    }
    written = mfx.power(
        "y ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"), params=values, effect="Days", seed=1
    )
    fitted = mfx.power(sleep, effect={"Days": 5.0}, seed=1)
    np.testing.assert_allclose(written.to_frame()["power"], fitted.to_frame()["power"], rtol=1e-8)


# ---------------------------------------------------------------- by simulation
def test_a_fit_keeps_the_order_of_its_categories():
    formula, effect = "y ~ arm * visit + (1 | subject)", "arm[T.drug]:visit"
    plan = mfx.design(subjects=12, visits=3, between={"arm": ["usual", "drug"]})
    values = {"Intercept": 0, "arm[T.drug]": 0, "visit": 0, effect: 1, "sd_Intercept|subject": 2, "sigma": 1}
    fit = mfx.lmer(formula, plan.assign(y=mfx.simulate(formula, plan, params=values, seed=1)[0]))
    asked = {"params": values, "effect": effect, "along": "subject", "sizes": [12, 30], "seed": 1}
    of_fit = mfx.power(fit, **asked).to_frame()
    pd.testing.assert_frame_equal(of_fit, mfx.power(formula, plan, **asked).to_frame())


def test_simulation_is_that_of_refits_by_hand(sleep):
    found = mfx.power(sleep, effect={"Days": 5.0}, method="simulate", n_sim=200, seed=4).to_frame().iloc[0]
    values = {
        "Intercept": sleep.params["Intercept"],
        "Days": 5.0,
        "sigma": sleep.sigma,
        "theta": sleep.theta.to_numpy(),
    }
    Y = mfx.simulate(SLEEP, mfx.load_dataset("sleepstudy"), params=values, n=200, seed=4)
    share = float((sleep.refit_many(Y).pvalues["Days"] < 0.05).mean())
    assert found["power"] == pytest.approx(share)
    assert (found["lower"], found["upper"]) == wilson(round(200 * share), 200)


def test_wilson_against_scipy():
    for hits in (0, 3, 50, 99, 100):
        interval = stats.binomtest(hits, 100).proportion_ci(method="wilson")
        np.testing.assert_allclose(wilson(hits, 100), interval, atol=1e-12)


def test_where_a_variance_is_often_zero_studies_are_simulated():
    plan = mfx.design(subjects=8, visits=4)
    values = {"Intercept": 0, "visit": 0.6, "sd_Intercept|subject": 1, "sd_visit|subject": 0.4, "sigma": 1}
    found = mfx.power("y ~ visit + (visit | subject)", plan, params=values, effect="visit", n_sim=100, seed=1)
    assert found.to_frame()["method"].tolist() == ["simulate"]
    assert "boundary" in str(found)


def test_tests_that_have_no_formula(sleep):
    herds = mfx.glmer(
        "cbind(incidence, size - incidence) ~ period + (1 | herd)", mfx.load_dataset("cbpp"), family="binomial"
    )
    found = mfx.power(herds, effect=["period[T.2]", "period"], n_sim=20, seed=1)
    assert found.to_frame()["effect"].tolist() == ["period[T.2]", "period"]
    assert "generalised" in str(found)
    ratios = mfx.power(sleep, effect={"Days": 3.0}, test="lrt", n_sim=20, seed=1)
    assert "likelihood-ratio" in str(ratios)
    adjusted = mfx.power(
        sleep, effect={"Days": 3.0}, test="kenward-roger", method="simulate", n_sim=20, seed=1
    ).to_frame()
    usual = mfx.power(sleep, effect={"Days": 3.0}, method="simulate", n_sim=20, seed=1).to_frame()
    assert abs(adjusted["power"].iloc[0] - usual["power"].iloc[0]) <= 0.1


# ---------------------------------------------------------------- along sizes
def test_power_grows_along_the_sizes_and_the_smallest_is_the_first_that_reaches(sleep):
    found = mfx.power(sleep, effect={"Days": 4.0}, along="Subject", sizes=[15, 30, 60], seed=1)
    frame = found.to_frame()
    assert frame["power"].is_monotonic_increasing
    n = int(found.smallest(0.9))
    around = mfx.power(sleep, effect={"Days": 4.0}, along="Subject", sizes=[n - 1, n], seed=1).to_frame()["power"]
    assert around.iloc[0] < 0.9 <= around.iloc[1]
    stretched = mfx.power(sleep, effect={"Days": 4.0}, along="effect", sizes=[0.5, 1, 2], seed=1)
    assert stretched.to_frame()["power"].is_monotonic_increasing
    assert 0.5 < stretched.smallest(0.7) < 2
    import matplotlib.pyplot as plt

    assert found.plot().get_xlabel() == "levels of Subject"
    plt.close("all")


SIX = {
    "paired": (
        {"subjects": 24, "within": {"c": ["a", "b"]}},
        "y ~ c + (1 | subject)",
        {"Intercept": 0, "c[T.b]": 0.5, "sd_Intercept|subject": 1.0, "sigma": 0.8},
        "c[T.b]",
    ),
    "slopes": (
        {"subjects": 24, "visits": 6},
        "y ~ visit + (visit | subject)",
        {"Intercept": 0, "visit": 0.4, "sd_Intercept|subject": 1.5, "sd_visit|subject": 0.6, "sigma": 0.6},
        "visit",
    ),
    "groups": (
        {"subjects": 24, "visits": 5, "between": {"g": 2}},
        "y ~ g + (1 | subject)",
        {"Intercept": 0, "g[T.g2]": 0.8, "sd_Intercept|subject": 0.8, "sigma": 1.0},
        "g[T.g2]",
    ),
    "split plot": (
        {"blocks": 8, "whole_plots": {"v": 2}, "within": {"n": ["p", "q", "r"]}},
        "y ~ v * n + (1 | block / plot)",
        {
            "Intercept": 0,
            "v[T.v2]": 1.5,
            "n[T.q]": 0,
            "n[T.r]": 0,
            "v[T.v2]:n[T.q]": 0,
            "v[T.v2]:n[T.r]": 0,
            "sd_Intercept|block": 1.5,
            "sd_Intercept|block:plot": 1.0,
            "sigma": 0.5,
        },
        "v[T.v2]",
    ),
    "clusters": (
        {"clusters": {"school": 12}, "subjects": 10, "between_clusters": {"m": ["old", "new"]}},
        "y ~ m + (1 | school)",
        {"Intercept": 0, "m[T.new]": 1.0, "sd_Intercept|school": 0.6, "sigma": 1.0},
        "m[T.new]",
    ),
    "interaction": (
        {"subjects": 24, "between": {"g": 2}, "within": {"c": ["a", "b"]}, "replicates": 3},
        "y ~ g * c + (c | subject)",
        {
            "Intercept": 0,
            "g[T.g2]": 0.2,
            "c[T.b]": 0.1,
            "g[T.g2]:c[T.b]": 1.0,
            "sd_Intercept|subject": 1.0,
            "sd_c[T.b]|subject": 1.0,
            "sigma": 0.6,
        },
        "g[T.g2]:c[T.b]",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SIX)
def test_the_formula_is_that_of_many_simulations(name):
    """Within .01 of 20 000 studies where no variance is near zero (the Monte Carlo error is at most .0035)."""
    arguments, formula, values, effect = SIX[name]
    plan = mfx.design(**arguments)
    formed = mfx.power(formula, plan, params=values, effect=effect, seed=1).to_frame()
    assert formed["method"].tolist() == ["analytic"]
    drawn = mfx.power(formula, plan, params=values, effect=effect, method="simulate", n_sim=20_000, seed=2).to_frame()
    assert drawn["failed"].iloc[0] == 0
    assert formed["power"].iloc[0] == pytest.approx(drawn["power"].iloc[0], abs=0.01)


def test_a_saved_design_of_other_tables_serves(sleep):
    plan = mfx.design(subjects=12, within={"c": ["a", "b"]})
    values = {"Intercept": 0.0, "c[T.b]": 0.5, "sd_Intercept|subject": 1.0, "sigma": 0.5}
    expected = mfx.power("y ~ c + (1 | subject)", plan, params=values, effect="c", seed=1).to_frame()
    columns = {name: plan[name].to_numpy(dtype=object) for name in plan}
    found = mfx.power("y ~ c + (1 | subject)", columns, params=values, effect="c", seed=1).to_frame()
    pd.testing.assert_frame_equal(found, expected)
