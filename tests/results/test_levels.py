"""A level that makes no interval is refused in the same words, whatever function is asked."""

import numpy as np
import pytest

import mixedfx as mfx


@pytest.fixture(scope="module")
def linear():
    return mfx.lmer("Reaction ~ Days + (1 | Subject)", mfx.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def binomial():
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    return mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")


OF_A_LINEAR_FIT = {
    "conf_int": lambda fit, alpha: fit.conf_int(alpha),
    "conf_int profile": lambda fit, alpha: fit.conf_int(alpha, method="profile"),
    "conf_int bootstrap": lambda fit, alpha: fit.conf_int(alpha, method="bootstrap", n=3),
    "summary": lambda fit, alpha: fit.summary(alpha),
    "profile": lambda fit, alpha: mfx.profile(fit).conf_int(alpha),
    "profile levels": lambda fit, alpha: mfx.profile(fit).plot(levels=[1 - alpha]),
    "bootstrap": lambda fit, alpha: mfx.bootstrap(fit, 3, seed=1).conf_int(alpha),
    "bootstrap summary": lambda fit, alpha: mfx.bootstrap(fit, 3, seed=1).summary(alpha),
    "bootstrap plot": lambda fit, alpha: mfx.bootstrap(fit, 3, seed=1).plot(alpha=alpha),
    "prediction": lambda fit, alpha: fit.get_prediction().conf_int(alpha),
    "prediction of rows": lambda fit, alpha: fit.get_prediction().conf_int(alpha, obs=True),
    "prediction frame": lambda fit, alpha: fit.get_prediction().summary_frame(alpha),
    "t_test": lambda fit, alpha: fit.t_test("Days = 0").conf_int(alpha),
    "t_test frame": lambda fit, alpha: fit.t_test("Days = 0").summary_frame(alpha=alpha),
    "t_test summary": lambda fit, alpha: fit.t_test("Days = 0").summary(alpha),
    "emmeans": lambda fit, alpha: mfx.emmeans(fit, "Days").conf_int(alpha),
    "emmeans frame": lambda fit, alpha: mfx.emmeans(fit, "Days").to_frame(alpha),
    "emmeans summary": lambda fit, alpha: mfx.emmeans(fit, "Days").summary(alpha),
    "emmeans plot": lambda fit, alpha: mfx.emmeans(fit, "Days").plot(alpha=alpha),
    "comparisons": lambda fit, alpha: mfx.comparisons(fit, alpha=alpha),
    "marginal_effects": lambda fit, alpha: mfx.marginal_effects(fit, alpha=alpha),
    "tidy": lambda fit, alpha: mfx.tidy(fit, alpha=alpha),
    "batches": lambda fit, alpha: mfx.batches(fit, alpha=alpha),
    "forest": lambda fit, alpha: mfx.plots.forest(fit, alpha=alpha),
    "caterpillar": lambda fit, alpha: mfx.plots.caterpillar(fit, alpha=alpha),
    "effect": lambda fit, alpha: mfx.plots.effect(fit, "Days", alpha=alpha),
    "qq": lambda fit, alpha: mfx.plots.qq(fit, alpha=alpha),
}
OF_A_GENERALISED_FIT = {
    "conf_int": lambda fit, alpha: fit.conf_int(alpha, which="all"),
    "summary": lambda fit, alpha: fit.summary(alpha),
    "profile": lambda fit, alpha: mfx.profile(fit).conf_int(alpha),
    "prediction": lambda fit, alpha: fit.get_prediction().conf_int(alpha),
    "prediction of rows": lambda fit, alpha: fit.get_prediction().conf_int(alpha, obs=True),
    "prediction frame": lambda fit, alpha: fit.get_prediction().summary_frame(alpha),
    "emmeans": lambda fit, alpha: mfx.emmeans(fit, "period").to_frame(alpha),
    "letters": lambda fit, alpha: mfx.emmeans(fit, "period").letters(alpha=alpha),
    "tidy": lambda fit, alpha: mfx.tidy(fit, alpha=alpha),
    "pairwise_pvalues": lambda fit, alpha: mfx.plots.pairwise_pvalues(mfx.emmeans(fit, "period"), alpha=alpha),
    "interaction": lambda fit, alpha: mfx.plots.interaction(mfx.emmeans(fit, "period"), alpha=alpha),
}
WRONG = (95, 0, 1, 1.5, -0.1, 5, np.nan, np.inf)


@pytest.mark.parametrize("asked", OF_A_LINEAR_FIT)
def test_of_a_linear_fit(linear, asked):
    _refused(OF_A_LINEAR_FIT[asked], linear)


@pytest.mark.parametrize("asked", OF_A_GENERALISED_FIT)
def test_of_a_generalised_fit(binomial, asked):
    _refused(OF_A_GENERALISED_FIT[asked], binomial)


def _refused(function, fit):
    for alpha in WRONG:
        with pytest.raises(mfx.SpecificationError, match=r"between 0 and 1"):
            function(fit, alpha)
    if function is not OF_A_LINEAR_FIT["profile levels"]:
        with pytest.raises(TypeError, match="alpha is a number between 0 and 1, found str"):
            function(fit, "95%")


def test_of_mean_squares():
    table = mfx.mean_squares("y ~ part * operator", mfx.load_dataset("gage"))
    for alpha in WRONG:
        for asked in (table.variance_components, lambda alpha: table.combination({"operator": 1}, alpha=alpha)):
            with pytest.raises(mfx.SpecificationError, match="alpha lies between 0 and 1"):
                asked(alpha=alpha)
