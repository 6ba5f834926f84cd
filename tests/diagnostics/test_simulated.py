"""Simulated quantile residuals: ranks by hand, and models that are right, too narrow, without zeros."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx


def counts(extra=0.0, zeros=0.0, seed=0, n=800, m=80):
    rng = np.random.default_rng(seed)
    g, x = rng.integers(0, m, n), rng.normal(size=n)
    eta = 0.8 + 0.4 * x + 0.5 * rng.normal(size=m)[g] + extra * rng.normal(size=n)
    y = rng.poisson(np.exp(eta)) * (rng.random(n) >= zeros)
    return pd.DataFrame({"y": y, "x": x, "g": g})


def fitted(**options):
    return mfx.glmer("y ~ x + (1 | g)", counts(**options), family="poisson")


def test_residuals_are_randomised_ranks_among_the_draws():
    fit = fitted(n=60, m=10)
    found = mfx.quantile_residuals(fit, 99, seed=3)
    drawn = fit.simulate(99, seed=np.random.default_rng(3)).to_numpy()
    y = fit.model.endog[:, None]
    less, ties = (drawn < y).sum(axis=1), (drawn == y).sum(axis=1)
    values = found.values.to_numpy()
    assert np.all((values >= less / 100) & (values <= (less + ties + 1) / 100))
    assert found.zeros == int((y == 0).sum())
    assert found.drawn_zeros.tolist() == (drawn == 0).sum(axis=0).tolist()
    ratio = ((y[:, 0] - drawn.mean(axis=1)) ** 2 / drawn.var(axis=1)).mean()
    assert found.spread == pytest.approx(ratio)
    assert found.dispersion()["statistic"] == pytest.approx(
        ratio / ((drawn - drawn.mean(axis=1)[:, None]) ** 2 / drawn.var(axis=1)[:, None]).mean()
    )


def test_the_same_seed_gives_the_same_residuals():
    fit = fitted(n=60, m=10)
    one, two = (mfx.quantile_residuals(fit, 50, seed=8).values for _ in range(2))
    assert one.equals(two)


def test_a_right_model_passes_and_wrong_ones_do_not():
    right = mfx.quantile_residuals(fitted(), seed=1).tests()["pvalue"]
    assert right.min() > 0.01
    wide = mfx.quantile_residuals(fitted(extra=0.9), seed=1)
    assert wide.dispersion("greater")["pvalue"] < 0.01
    assert wide.dispersion()["statistic"] > 1.3
    hollow = mfx.quantile_residuals(fitted(zeros=0.4), seed=1)
    assert hollow.zero_counts("greater")["pvalue"] < 0.01
    assert hollow.uniformity()["pvalue"] < 0.01


def test_linear_models_and_proportions():
    sleep = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    found = mfx.quantile_residuals(sleep, 200, seed=1)
    assert found.tests().index.tolist() == ["uniformity", "dispersion", "outliers"]
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    cbpp = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")
    assert mfx.quantile_residuals(cbpp, 200, seed=1).uniformity()["pvalue"] > 0.01


def test_a_far_response_lies_outside():
    data = mfx.load_dataset("sleepstudy")
    data.loc[5, "Reaction"] = 5000.0
    found = mfx.quantile_residuals(mfx.lmer("Reaction ~ Days + (1 | Subject)", data), 200, seed=1)
    assert found.outside[5]


def test_overdispersion_is_pearsons_statistic():
    fit = fitted(extra=0.9)
    found = mfx.overdispersion(fit)
    mean = fit.fittedvalues
    assert found["chi2"] == pytest.approx((((fit.model.endog - mean) ** 2) / mean).sum())
    assert found["pvalue"] < 1e-6
    data = counts().assign(y=lambda d: (d["y"] > 1) * 1.0)
    single = mfx.glmer("y ~ x + (1 | g)", data, family="binomial")
    with pytest.raises(mfx.SpecificationError, match="zeros and ones"):
        mfx.overdispersion(single)


def test_arguments_are_checked():
    fit = fitted(n=60, m=10)
    with pytest.raises(mfx.SpecificationError, match="'greater'"):
        mfx.quantile_residuals(fit, 20, seed=1).dispersion("up")
    with pytest.raises(TypeError, match="results of lmer or glmer"):
        mfx.quantile_residuals(counts())
