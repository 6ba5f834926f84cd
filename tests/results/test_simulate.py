"""Simulated responses have the mean and the covariance of the model; seeds decide."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx


def test_moments_are_those_of_the_model():
    data = mfx.load_dataset("sleepstudy").iloc[:60].assign(w=lambda d: 1 + d.Days % 3)
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", data, weights="w")
    draws = fit.simulate(20_000, seed=3).to_numpy()
    half = (fit.model.exog_re @ fit.model.Lambda(fit.theta)).toarray()
    covariance = fit.scale * (half @ half.T + np.diag(1 / data.w))
    mean = fit.predict(random=False).to_numpy()
    sd = np.sqrt(np.diag(covariance))
    assert np.abs((draws.mean(axis=1) - mean) / (sd / np.sqrt(20_000))).max() < 5
    correlation = np.cov(draws) / np.outer(sd, sd)
    np.testing.assert_allclose(correlation, covariance / np.outer(sd, sd), atol=6 / np.sqrt(20_000))


def test_residual_structure_is_drawn():
    data = pd.DataFrame({"g": np.repeat(range(10), 4), "t": list(range(4)) * 10})
    data["y"] = np.random.default_rng(1).normal(size=40)
    fit = mfx.lmer("y ~ 1", data, residual=mfx.AR1("t", group="g"))
    draws = fit.simulate(20_000, seed=1).to_numpy()
    phi = fit.residual_params.iloc[0]
    assert np.corrcoef(draws[0], draws[1])[0, 1] == pytest.approx(phi, abs=0.04)
    assert np.corrcoef(draws[0], draws[2])[0, 1] == pytest.approx(phi**2, abs=0.04)


def test_fitted_random_effects_and_seeds():
    fit = mfx.lmer("strength ~ 1 + (1 | batch/cask)", mfx.load_dataset("pastes"))
    fixed = fit.simulate(5000, seed=1, random="fitted").to_numpy()
    assert np.abs(fixed.mean(axis=1) - fit.fittedvalues.to_numpy()).max() < 5 * fit.sigma / np.sqrt(5000)
    pd.testing.assert_frame_equal(fit.simulate(2, seed=7), fit.simulate(2, seed=7))
    with pytest.raises(mfx.SpecificationError, match="new"):
        fit.simulate(1, random="old")
    with pytest.raises(TypeError, match="seed"):
        fit.simulate(1, seed="x")


# ---------------------------------------------------------------- new data
@pytest.fixture(scope="module")
def sleep():
    return mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))


def test_new_rows_have_the_moments_of_the_model(sleep):
    new = pd.DataFrame({"Days": [0, 9, 0, 9], "Subject": ["308", "308", "p", "p"], "w": [1, 4, 1, 4]})
    z = np.array([[1, 0], [1, 9]])
    between = z @ sleep.varcorr.covariances["Subject"].to_numpy() @ z.T
    residual = sleep.scale * np.diag([1, 0.25])
    draws = sleep.simulate(20_000, seed=1, data=new, weights="w").to_numpy()
    for rows in (slice(0, 2), slice(2, 4)):
        found = np.cov(draws[rows])
        np.testing.assert_allclose(found, between + residual, rtol=0.1)
    assert np.abs(np.corrcoef(draws[0], draws[2])[0, 1]) < 0.03
    np.testing.assert_allclose(draws.mean(axis=1), sleep.predict(new, random=False), rtol=0.01)


def test_new_rows_with_the_fitted_effects(sleep):
    new = pd.DataFrame({"Days": [3, 3, np.nan], "Subject": ["308", "p", "308"]})
    with pytest.raises(mfx.DataError, match="'p'"):
        sleep.simulate(1, data=new, random="fitted")
    draws = sleep.simulate(20_000, seed=1, data=new, random="fitted", new_levels="draw").to_numpy()
    expected = sleep.predict(new.iloc[[0]]).iloc[0], sleep.predict(new.iloc[[1]], random=False).iloc[0]
    np.testing.assert_allclose(draws[:2].mean(axis=1), expected, rtol=0.01)
    z = np.array([1, 3])
    wide = z @ sleep.varcorr.covariances["Subject"].to_numpy() @ z + sleep.scale
    np.testing.assert_allclose(draws[:2].var(axis=1), [sleep.scale, wide], rtol=0.05)
    assert np.isnan(draws[2]).all()
    population = sleep.simulate(20_000, seed=1, data=new, random="fitted", new_levels="population").to_numpy()
    assert population[1].var() == pytest.approx(sleep.scale, rel=0.05)
    assert np.isnan(sleep.simulate(1, data=new, random="fitted", new_levels="nan").iloc[1, 0])


def test_the_rows_of_the_fit_given_again_are_the_same_rows(sleep):
    again = sleep.simulate(3, seed=5, data=mfx.load_dataset("sleepstudy"))
    np.testing.assert_allclose(again, sleep.simulate(3, seed=5), rtol=1e-12)
    data = mfx.load_dataset("cbpp").assign(share=lambda d: d.incidence / d["size"])
    fit = mfx.glmer("share ~ period + (1 | herd)", data, family="binomial", weights="size")
    np.testing.assert_allclose(fit.simulate(3, seed=5, data=data), fit.simulate(3, seed=5), rtol=1e-12)


def test_generalised_new_rows():
    data = mfx.load_dataset("cbpp")
    fit = mfx.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", data, family="binomial")
    new = pd.DataFrame({"period": ["1", "4", None], "herd": ["a", "b", "c"], "size": [20, 40, 10]})
    with pytest.raises(mfx.SpecificationError, match="trials"):
        fit.simulate(1, data=new)
    draws = fit.simulate(20_000, seed=1, data=new, weights="size").to_numpy()
    expected = fit.predict(new.iloc[:2], random=False, integrate=True)
    np.testing.assert_allclose(draws[:2].mean(axis=1), expected, rtol=0.05)
    assert set(np.unique(draws[0] * 20 % 1).round(9)) <= {0.0, 1.0}
    assert np.isnan(draws[2]).all()


def test_residual_structures_are_drawn_for_new_rows_as_for_old_ones():
    data = mfx.load_dataset("orthodont")
    structure = mfx.VarIdent("Sex") * mfx.AR1("age", group="Subject")
    fit = mfx.lmer("distance ~ age + (1 | Subject)", data, residual=structure)
    old, new = fit.simulate(3, seed=1), fit.simulate(3, seed=1, data=data)
    np.testing.assert_allclose(new, old, rtol=1e-10)
    with pytest.raises(mfx.DataError, match="Sex"):
        fit.simulate(1, data=data.drop(columns="Sex"))


def test_rows_without_a_group_have_no_draws(sleep):
    new = pd.DataFrame({"Days": [1.0, 2.0], "Subject": [None, "308"]})
    assert sleep.simulate(3, seed=1, data=new).isna().all(axis=1).tolist() == [True, False]
    assert sleep.simulate(3, seed=1, data=new.head(1)).isna().all(axis=None)


def test_effects_of_some_groups_as_fitted_the_others_drawn():
    fit = mfx.lmer("strength ~ 1 + (1 | batch/cask)", mfx.load_dataset("pastes"))
    draws = fit.simulate(4000, seed=1, random="batch").to_numpy()
    spread = np.sqrt(fit.varcorr.covariances["batch:cask"].iloc[0, 0] + fit.scale)
    assert np.abs(draws.mean(axis=1) - fit.predict(random="batch").to_numpy()).max() < 5 * spread / np.sqrt(4000)
    np.testing.assert_allclose(draws.std(axis=1), spread, rtol=0.08)
    sleep = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    draws = sleep.simulate(4000, seed=1, random="(1 | Subject)").to_numpy()
    slopes = sleep.varcorr.covariances["Subject"].loc["Days", "Days"]
    spread = np.sqrt(sleep.design.fixed.matrix[:, 1] ** 2 * slopes + sleep.scale)
    mean = sleep.predict(random="(1 | Subject)").to_numpy()
    assert (np.abs(draws.mean(axis=1) - mean) / spread).max() < 5 / np.sqrt(4000)
    np.testing.assert_allclose(draws.std(axis=1), spread, rtol=0.08)


# ---------------------------------------------------------------- without a fit
PLAN = pd.DataFrame({"g": np.repeat(np.arange(6), 5), "x": np.tile(np.arange(5.0), 6), "w": 1.0 + np.arange(30) % 2})
VALUES = {"Intercept": 2.0, "x": -0.5, "sd_Intercept|g": 1.5, "sd_x|g": 0.7, "cor_x.Intercept|g": -0.4, "sigma": 0.8}


@pytest.mark.parametrize("other_way", [False, True])
def test_stated_parameters_are_the_moments(other_way):
    values = dict(VALUES)
    if other_way:
        values["cor_Intercept.x|g"] = values.pop("cor_x.Intercept|g")
    draws = mfx.simulate("y ~ x + (x | g)", PLAN, params=values, n=20_000, seed=2, weights="w").to_numpy()
    sd = np.array([1.5, 0.7])
    between = np.array([[1, -0.4], [-0.4, 1]]) * np.outer(sd, sd)
    Z = np.kron(np.eye(6), np.column_stack([np.ones(5), np.arange(5)]))
    expected = Z @ np.kron(np.eye(6), between) @ Z.T + 0.64 * np.diag(1 / PLAN.w)
    deviations = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(draws.mean(axis=1), 2 - 0.5 * PLAN.x, atol=5 * deviations.max() / np.sqrt(20_000))
    scale = np.outer(deviations, deviations)
    np.testing.assert_allclose(np.cov(draws) / scale, expected / scale, atol=6 / np.sqrt(20_000))


def test_the_parameters_of_a_fit_give_its_draws():
    data = mfx.load_dataset("pastes")
    fit = mfx.lmer("strength ~ 1 + (1 | batch/cask)", data)
    known = data.drop(columns="strength")
    sds = fit.varcorr.to_frame()["sd"].to_numpy()
    by_name = {"sd_Intercept|batch": sds[0], "sd_Intercept|batch:cask": sds[1]}
    for covariance in ({"theta": fit.theta}, by_name):
        params = pd.Series({**fit.params, **covariance, "sigma": fit.sigma}, dtype=object)
        found = mfx.simulate("strength ~ 1 + (1 | batch/cask)", known, params=params, n=3, seed=4)
        np.testing.assert_allclose(found, fit.simulate(3, seed=4), rtol=1e-9)


FAMILIES = [
    ("poisson", {}, lambda eta: np.exp(eta + 0.045)),
    ("nbinom2", {"dispersion": 2.0}, lambda eta: np.exp(eta + 0.045)),
    ("gamma", {"dispersion": 0.3}, lambda eta: np.exp(eta + 0.045)),
    ("zero_inflated_poisson", {"zero_inflation": 0.25}, lambda eta: 0.75 * np.exp(eta + 0.045)),
    ("gaussian", {"sigma": 0.4}, lambda eta: eta),
]


@pytest.mark.parametrize(("family", "own", "mean"), FAMILIES)
def test_families_have_their_means(family, own, mean):
    """The mean over a normal random intercept with standard deviation 0.3 is known where the link is log."""
    params = {"Intercept": 0.5, "x": -0.2, "sd_Intercept|g": 0.3} | own
    link = "log" if family == "gamma" else None
    draws = mfx.simulate("n ~ x + (1 | g)", PLAN, params=params, family=family, link=link, n=20_000, seed=3).to_numpy()
    z = (draws.mean(axis=1) - mean(0.5 - 0.2 * PLAN.x)) / (draws.std(axis=1) / np.sqrt(20_000))
    assert np.abs(z).max() < 4.5


def test_a_gaussian_sigma_is_its_standard_deviation():
    params = {"Intercept": 0.5, "sd_Intercept|g": 0.0, "sigma": 0.4}
    draws = mfx.simulate("y ~ 1 + (1 | g)", PLAN, params=params, family="gaussian", n=2000, seed=3)
    assert draws.to_numpy().std() == pytest.approx(0.4, rel=0.02)


def test_binomial_and_ordinal_responses():
    params = {"Intercept": 0.5, "sd_Intercept|g": 0.0}
    arguments = {"params": params, "family": "binomial", "n": 2000, "seed": 1}
    draws = mfx.simulate("cbind(a, b) ~ 1 + (1 | g)", PLAN, weights=np.full(30, 8.0), **arguments).to_numpy()
    assert np.array_equal(draws * 8, np.round(draws * 8))
    assert draws.mean() == pytest.approx(1 / (1 + np.exp(-0.5)), abs=0.005)
    cuts = {"x": 0.0, "sd_Intercept|g": 0.0, "thresholds": [-1.0, 1.0]}
    found = mfx.simulate("o ~ x + (1 | g)", PLAN, params=cuts, family="ordinal", n=2000, seed=1).to_numpy()
    shares = np.bincount(found.astype(int).ravel())[1:] / found.size
    np.testing.assert_allclose(shares, [0.2689, 0.4621, 0.2689], atol=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma": None}, "missing for 'sigma'; expected are 'Intercept', 'x', 'sd_Intercept|g'"),
        ({"x": None, "sd_x|g": None}, "missing for 'x', 'sd_x|g'"),
        ({"z": 1.0}, "no parameter 'z'; expected are"),
        ({"sd_x|g": -1.0}, "'sd_x|g' must be at least 0"),
        ({"cor_x.Intercept|g": 2.0}, "at most 1"),
        ({"theta": [1.0, 0.0, 1.0]}, "no parameter 'sd_Intercept|g'"),
        ({"sigma": np.nan}, "'sigma'"),
    ],
)
def test_wrong_parameters_are_named(changes, message):
    params = {name: value for name, value in (VALUES | changes).items() if value is not None}
    with pytest.raises(mfx.SpecificationError) as error:
        mfx.simulate("y ~ x + (x | g)", PLAN, params=params)
    assert message in str(error.value)


def test_other_mistakes():
    with pytest.raises(TypeError, match="params is a dict"):
        mfx.simulate("y ~ x + (x | g)", PLAN, params=[1.0])
    with pytest.raises(TypeError, match="'x' is a number"):
        mfx.simulate("y ~ x + (x | g)", PLAN, params=VALUES | {"x": "a"})
    with pytest.raises(mfx.DataError, match="no column 'z'"):
        mfx.simulate("log(y) ~ z + (x | g)", PLAN, params=VALUES)
    with pytest.raises(mfx.SpecificationError, match="'theta' needs 3 numbers"):
        mfx.simulate("y ~ x + (x | g)", PLAN, params={"Intercept": 1, "x": 1, "sigma": 1, "theta": [1, 2]})
    three = {"sd_Intercept|g": 1, "sd_x|g": 1, "sd_w|g": 1, "Intercept": 0, "sigma": 1}
    three |= {"cor_x.Intercept|g": 0.9, "cor_w.Intercept|g": 0.9, "cor_w.x|g": -0.9}
    with pytest.raises(mfx.SpecificationError, match="all together"):
        mfx.simulate("y ~ 1 + (1 + x + w | g)", PLAN, params=three)
    params = {"Intercept": 1, "sd_Intercept|g": 1}
    with pytest.raises(mfx.SpecificationError, match="multiply the likelihood"):
        mfx.simulate("y ~ 1 + (1 | g)", PLAN, params=params, family="poisson", weights="w")
