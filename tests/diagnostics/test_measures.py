"""Measures of fit against their definitions."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.inference.effective_df import effective_parameters, trace_of_hat
from mixedfx.inference.variance_scales import variance_estimates
from tests.differences import gradient

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")


@pytest.fixture(scope="module")
def sleep():
    return mfx.load_dataset("sleepstudy")


CASES = [
    ("Reaction ~ Days + (Days | Subject)", True, None),
    ("Reaction ~ Days + (Days | Subject)", False, None),
    ("Reaction ~ Days + (1 | Subject)", True, "w"),
    ("Reaction ~ Days + (1 | Subject) + (1 | Days)", True, None),
]


@pytest.mark.parametrize("formula, reml, weights", CASES)
def test_effective_parameters_by_refitting(sleep, formula, reml, weights):
    """The sum of the derivatives of the fitted values, each found by moving one response and fitting again."""
    data = sleep.iloc[:40].assign(w=np.linspace(0.5, 2, 40), Reaction=lambda d: d["Reaction"].astype(float))
    control = mfx.Control(tol=1e-13)
    fit = mfx.lmer(formula, data, reml=reml, weights=weights)
    total, step = 0.0, 1e-2
    for i in range(len(data)):
        ends = []
        for sign in (1, -1):
            moved = data.copy()
            moved.iloc[i, moved.columns.get_loc("Reaction")] += sign * step
            ends.append(mfx.lmer(formula, moved, reml=reml, weights=weights, control=control).fittedvalues.iloc[i])
        total += (ends[0] - ends[1]) / (2 * step)
    assert effective_parameters(fit.fit.at) == pytest.approx(total, rel=1e-5)
    assert trace_of_hat(fit.fit.at) < total


def test_conditional_aic_without_correction(sleep):
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    found = mfx.conditional_aic(fit, corrected=False)
    e = fit.resid.to_numpy()
    llf = -0.5 * np.sum(np.log(2 * np.pi * fit.scale) + e**2 / fit.scale)
    assert found["llf"] == pytest.approx(llf)
    assert found["df"] == pytest.approx(29.02212 + 1, abs=1e-4)  # sum(hatvalues()) of lme4
    assert found["caic"] == pytest.approx(-2 * llf + 2 * found["df"])


def test_aicc(sleep):
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    assert mfx.aicc(fit) == pytest.approx(fit.aic + 2 * 6 * 7 / (180 - 7))
    with pytest.raises(mfx.SpecificationError, match="observations"):
        mfx.aicc(mfx.lmer("Reaction ~ 1 + (1 | Subject)", sleep.iloc[[0, 1, 11, 12]]))


def test_shares_do_not_depend_on_the_parametrisation():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame([(g, m) for g in "abcdefghij" for m in "XYZ" for _ in range(2)], columns=["g", "m"])
    cell = {key: rng.normal() for key in zip(frame["g"], frame["m"])}
    frame["y"] = [cell[key] for key in zip(frame["g"], frame["m"])] + rng.normal(size=len(frame)) * 0.3
    one, two = mfx.lmer("y ~ m + (m | g)", frame), mfx.lmer("y ~ m + (0 + m | g)", frame)
    assert mfx.r2(one).to_numpy() == pytest.approx(mfx.r2(two).to_numpy(), abs=1e-5)
    assert mfx.icc(one).to_numpy() == pytest.approx(mfx.icc(two).to_numpy(), abs=1e-5)


def test_shares_add_up(sleep):
    fit = mfx.lmer("Reaction ~ Days + (1 | Subject) + (1 | Days)", sleep)
    groups, whole, r2 = mfx.icc(fit, by_group=True), mfx.icc(fit), mfx.r2(fit)
    assert groups["adjusted"].sum() == pytest.approx(whole["adjusted"])
    assert r2["conditional"] - r2["marginal"] == pytest.approx(whole["unadjusted"])
    assert mfx.r2(mfx.lmer("Reaction ~ 1 + (1 | Subject)", sleep))["marginal"] == 0.0


@pytest.mark.parametrize("scale", ["variance", "sd"])
def test_scales_of_the_variance_parameters(sleep, scale):
    """The delta method by numerical differentiation of what varcorr shows."""
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    found = variance_estimates(fit.variance_parameters, scale)
    base = variance_estimates(fit.variance_parameters, "theta")

    def shown(parameters):
        T = np.array([[parameters[0], 0], [parameters[1], parameters[2]]])
        covariance = parameters[3] ** 2 * T @ T.T
        sd = np.sqrt(np.diag(covariance))
        if scale == "variance":
            return np.array([covariance[0, 0], covariance[0, 1], covariance[1, 1], parameters[3] ** 2])
        return np.array([sd[0], covariance[0, 1] / sd.prod(), sd[1], parameters[3]])

    J = np.array([gradient(lambda p, row=row: shown(p)[row], base.values) for row in range(4)])
    assert found.values == pytest.approx(shown(base.values))
    assert found.covariance == pytest.approx(J @ base.covariance @ J.T, rel=1e-5)


def test_published_standard_error_of_a_variance(sleep):
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    assert mfx.variance_tests(fit)["se"].iloc[0] == pytest.approx(288.8, abs=0.05)
    assert fit.cov_varpar("variance").iloc[0, 0] ** 0.5 == pytest.approx(288.8, abs=0.05)
    with pytest.raises(mfx.SpecificationError, match="scale"):
        fit.cov_varpar("log")


def test_principal_components(sleep):
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    table = mfx.random_effects_pca(fit)
    total = np.trace(fit.varcorr.covariances["Subject"])
    assert (table["sd"] ** 2).sum() == pytest.approx(total)
    assert table["cumulative"].iloc[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("function", [mfx.r2, mfx.icc, mfx.conditional_aic, mfx.variance_tests, mfx.random_effects_pca])
def test_wrong_type(function):
    with pytest.raises(TypeError):
        function("a fit")


def test_shares_of_a_poisson_model_are_those_of_the_published_formula():
    ticks = mfx.load_dataset("grouseticks")
    fit = mfx.glmer("TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)", ticks, family="poisson")
    table = fit.varcorr.to_frame().set_index("group")["variance"]
    residual = table["INDEX"] + np.log1p(1.0 / fit.fittedvalues.mean())  # Nakagawa, Johnson & Schielzeth, table 1
    fixed = np.var(fit.model.exog @ fit.params.to_numpy(), ddof=1)
    between = table["BROOD"] + table["LOCATION"]
    assert mfx.icc(fit)["adjusted"] == pytest.approx(between / (between + residual), rel=1e-10)
    assert mfx.r2(fit)["marginal"] == pytest.approx(fixed / (fixed + between + residual), rel=1e-10)
    assert list(mfx.icc(fit, by_group=True).to_frame().index) == ["BROOD", "LOCATION"]


def test_a_gaussian_generalised_model_has_the_shares_of_the_linear_one():
    sleep = mfx.load_dataset("sleepstudy")
    formula = "Reaction ~ Days + (Days | Subject)"
    linear, generalised = mfx.lmer(formula, sleep, reml=False), mfx.glmer(formula, sleep, family="gaussian")
    pd.testing.assert_series_equal(mfx.r2(generalised), mfx.r2(linear), rtol=1e-6)
    pd.testing.assert_series_equal(mfx.icc(generalised), mfx.icc(linear), rtol=1e-6)


def test_further_linear_predictors_take_part_in_the_shares():
    owls = mfx.load_dataset("owls")
    formula = "SiblingNegotiation ~ FoodTreatment + (1 | Nest)"
    fit = mfx.glmer(formula, owls, family="nbinom2", zero_inflation="~ SexParent")
    assert 0 < mfx.r2(fit)["marginal"] < mfx.r2(fit)["conditional"] < 1


def test_principal_components_need_random_effects():
    data = mfx.load_dataset("orthodont")
    fit = mfx.lmer("distance ~ age", data, residual=mfx.AR1("age", group="Subject"))
    with pytest.raises(mfx.SpecificationError, match="random effects"):
        mfx.random_effects_pca(fit)
