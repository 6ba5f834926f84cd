"""conf_int by all methods: Wald limits of the random part against glmmTMB, the others against their own functions."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

SLOPES = "Reaction ~ Days + (Days | Subject)"
NAMES = ["sd_Intercept|Subject", "sd_Days|Subject", "cor_Days.Intercept|Subject", "sigma", "Intercept", "Days"]


@pytest.fixture(scope="module")
def fit():
    return mfx.lmer(SLOPES, mfx.load_dataset("sleepstudy"))


def test_wald_limits_of_standard_deviations_are_those_of_glmmtmb():
    """confint(m) for the sds, root of exp(betadisp +- 1.96 se) for sigma; glmmTMB stops a little below the top."""
    found = mfx.lmer(SLOPES, mfx.load_dataset("sleepstudy"), reml=False).conf_int(which="random")
    expected = [[15.0170902613, 37.6581445232], [3.8054582285, 8.5882003525], np.sqrt([519.8612395, 825.1210575])]
    np.testing.assert_allclose(found.loc[[NAMES[0], NAMES[1], "sigma"]], expected, rtol=5e-6)


def test_wald_limits_of_a_generalised_fit_are_those_of_glmmtmb():
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    found = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial").conf_int(which="all")
    np.testing.assert_allclose(found.loc["sd_Intercept|herd"], [0.3724432155, 1.1075515366], rtol=1e-5)
    np.testing.assert_allclose(found.loc["period[T.4]"], [-2.4180740223, -0.7425533519], rtol=1e-5)


def test_wald_limits_of_correlations_are_fishers(fit):
    """tanh(atanh(r) +- z se / (1 - r^2)), se from the covariance of the variance parameters."""
    table = fit.cov_varpar("sd")
    label = ("Subject", "Intercept", "Days")
    se, r = np.sqrt(table.loc[label, label]), fit.varcorr.to_frame()["corr"][2]
    half = 1.2815515655446004 * se / (1 - r**2)
    expected = np.tanh(np.arctanh(r) + np.array([-half, half]))
    np.testing.assert_allclose(fit.conf_int(0.2, which="random").loc[NAMES[2]], expected, rtol=1e-10)


def test_which_chooses_and_fixed_effects_are_the_default(fit):
    assert list(fit.conf_int(which="all").index) == NAMES
    pd.testing.assert_frame_equal(fit.conf_int(), fit.conf_int(which="all").iloc[4:])
    pd.testing.assert_frame_equal(fit.conf_int(which="random"), fit.conf_int(which="all").iloc[:4])
    assert list(fit.conf_int().columns) == ["lower", "upper"]


def test_other_methods_are_those_of_profile_and_bootstrap(fit):
    pd.testing.assert_frame_equal(
        fit.conf_int(0.1, "profile", "all"), mfx.profile(fit).conf_int(0.1), check_exact=False, rtol=1e-8
    )
    pd.testing.assert_frame_equal(
        fit.conf_int(0.1, "bootstrap", "random", n=60, seed=2), mfx.bootstrap(fit, 60, seed=2).conf_int(0.1, "random")
    )


def test_no_wald_limits_on_the_boundary():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        flat = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff2")).conf_int(which="all")
        pair = mfx.glmer("y ~ 1 + (1 | g)", {"y": [0, 1] * 12, "g": [i // 4 for i in range(24)]}, family="binomial")
    assert flat.loc["sd_Intercept|Batch"].isna().all()
    assert flat.loc["sigma"].notna().all()
    assert pair.conf_int(which="random").isna().all(axis=None)


def test_wald_limits_with_a_residual_structure_are_those_of_nlme():
    """intervals(lme(distance ~ age * Sex, random = ~ 1 | Subject, weights = varIdent(form = ~ 1 | Sex)))."""
    fit = mfx.lmer("distance ~ age * Sex + (1 | Subject)", mfx.load_dataset("orthodont"), residual=mfx.VarIdent("Sex"))
    expected = [[1.355727855, 2.517847956], [0.3409405633, 0.6421212641], [1.367470895, 2.039026084]]
    np.testing.assert_allclose(fit.conf_int(which="random"), expected, rtol=3e-5)  # nlme differentiates numerically


def test_wald_limits_of_a_serial_correlation():
    """From second differences of the criterion; nlme's own differences give (-0.3531, 0.2857)."""
    fit = mfx.lmer(
        "distance ~ age * Sex + (1 | Subject)", mfx.load_dataset("orthodont"), residual=mfx.AR1(group="Subject")
    )
    criterion, x, steps = fit.solution.problem.criterion, fit.solution.point.x, 1e-3 * np.eye(2)
    value = [[[criterion(x + i * a + j * b).value for i in (1, -1) for j in (1, -1)] for b in steps] for a in steps]
    hessian = np.array(value) @ [1.0, -1.0, -1.0, 1.0] / 4e-6
    half = 1.959963984540054 * np.sqrt(2.0 * np.linalg.inv(hessian)[1, 1])
    phi = fit.residual_params["phi"]
    slope = fit.solution.problem.residual.natural_derivative(fit.solution.rho)[0, 0] / (1.0 - phi**2)  # of atanh(phi)
    expected = np.tanh(np.arctanh(phi) + np.array([-half, half]) * slope)
    np.testing.assert_allclose(fit.conf_int(which="random").loc["phi"], expected, rtol=1e-4)
    np.testing.assert_allclose(expected, [-0.3531, 0.2857], rtol=0.02)


def test_a_known_sigma_has_no_interval():
    fit = mfx.lmer(SLOPES, mfx.load_dataset("sleepstudy"), sigma=25.0)
    assert list(fit.conf_int(which="random").index) == NAMES[:3]
    assert mfx.bootstrap(fit, 5, seed=1).conf_int(which="random").shape == (3, 2)


def test_sigma_of_a_gaussian_glmer_agrees_with_lmer():
    data = mfx.load_dataset("sleepstudy")
    by_lmer = mfx.lmer("Reaction ~ Days + (1 | Subject)", data, reml=False).conf_int(which="random")
    by_glmer = mfx.glmer("Reaction ~ Days + (1 | Subject)", data, family="gaussian").conf_int(which="random")
    pd.testing.assert_frame_equal(by_glmer, by_lmer, rtol=1e-4)


def test_arguments(fit):
    with pytest.raises(mfx.SpecificationError, match="'profile'"):
        fit.conf_int(method="score")
    with pytest.raises(mfx.SpecificationError, match="'random'"):
        fit.conf_int(which="beta")
    with pytest.raises(mfx.SpecificationError, match="alpha"):
        fit.conf_int(2.0, method="bootstrap")


def test_all_methods_name_the_same_parameters_of_a_generalised_fit():
    poisson = mfx.glmer("y ~ x + (1 | g)", _counts(), family="poisson")
    wald, profile = poisson.conf_int(which="all"), poisson.conf_int(method="profile", which="all")
    drawn = poisson.conf_int(method="bootstrap", which="all", n=10, seed=1)
    assert list(wald.index) == list(profile.index) == list(drawn.index) == ["sd_Intercept|g", "Intercept", "x"]
    np.testing.assert_allclose(profile, wald, atol=0.3)


def _counts():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"g": np.repeat(range(10), 8), "x": rng.normal(size=80)})
    return data.assign(y=rng.poisson(np.exp(0.3 * data.x + 0.7 * rng.normal(size=10)[data.g])))
