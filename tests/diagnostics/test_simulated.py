"""Simulated quantile residuals: ranks by hand, and models that are right, too narrow, without zeros."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.diagnostics.residuals import anderson_darling, drawn_predictor
from tests.diagnostics.sizes import FALSE, TRUE, rejected


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


@pytest.mark.parametrize("random", ["new", "fitted", "posterior"])
@pytest.mark.parametrize(("scale", "shift"), [(1e-10, 0.0), (1e-3, 0.0), (1.0, 1e9), (-1e15, 3e15)])
def test_units_of_the_response_change_no_residual(random, scale, shift):
    """y -> a y + b: up to the few draws that rounding moves across the response."""
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(30), 10), rng.normal(size=300)
    y = 1 + x + 2 * rng.normal(size=30)[g] + rng.exponential(size=300) ** 2
    one, other = (
        mfx.quantile_residuals(mfx.lmer("y ~ x + (1 | g)", {"g": g, "x": x, "y": values}), 200, seed=1, random=random)
        for values in (y, scale * y + shift)
    )
    if scale > 0:
        assert np.abs(one.values - other.values).max() < 5 / 201
        assert other.tests()["pvalue"].to_numpy() == pytest.approx(one.tests()["pvalue"].to_numpy(), abs=5 / 201)
    assert (other.uniformity()["pvalue"] < 0.02) == (one.uniformity()["pvalue"] < 0.02)


def test_units_of_a_positive_response_change_no_residual():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(20), 10)
    y = rng.gamma(2.0, np.exp(0.5 * rng.normal(size=20))[g])
    one, other = (
        mfx.quantile_residuals(
            mfx.glmer("y ~ 1 + (1 | g)", {"g": g, "y": a * y}, family="gamma", link="log"), 200, seed=1
        )
        for a in (1.0, 1e-10)
    )
    assert np.abs(one.values - other.values).max() < 5 / 201


def test_proportions_tie_whatever_their_digits():
    """4/7 as the data have it may be another number than the quotient that is drawn."""
    cbpp = mfx.load_dataset("cbpp").assign(p=lambda d: (d["incidence"] / d["size"]).round(7))
    counts = mfx.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", cbpp, family="binomial")
    found = [mfx.quantile_residuals(fit, 200, seed=3).values.to_numpy() for fit in (counts, counts.refit(cbpp["p"]))]
    assert np.abs(found[0] - found[1]).max() < 5 / 201


def test_zeros_are_counted_where_a_response_can_be_zero():
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(10), 10)
    found = mfx.quantile_residuals(mfx.lmer("y ~ 1 + (1 | g)", {"y": rng.normal(size=100).round(1), "g": g}), seed=1)
    assert found.zeros == 0
    assert "zeros" not in found.tests().index
    assert (
        "zeros"
        not in mfx.check(mfx.lmer("y ~ 1 + (1 | g)", {"y": rng.normal(size=100).round(1), "g": g})).to_frame().index
    )


def test_the_uniformity_of_few_groups_is_no_alarm():
    """5 x 96, sd 2: Kolmogorov's table gives 2e-7, and 57 % of such true models p < 0.05."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(5), 96)
    fit = mfx.lmer("y ~ 1 + (1 | g)", {"y": 2 * rng.normal(size=5)[g] + rng.normal(size=480), "g": g})
    assert mfx.quantile_residuals(fit, seed=1).uniformity()["pvalue"] > 0.05
    assert mfx.check(fit).to_frame().loc["distribution", "verdict"] == "well"


def test_a_draw_given_the_data_has_their_mean_and_covariance():
    """Dense: beta with a flat prior and b, given y."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(6), [2, 3, 4, 5, 6, 4])
    x = rng.normal(size=24)
    weights = rng.uniform(0.5, 2.0, 24)
    y = 1 + x + rng.normal(size=6)[g] + rng.normal(size=24)
    fit = mfx.lmer("y ~ x + (x | g)", {"y": y, "x": x, "g": g}, weights=weights)
    draws = np.array([drawn_predictor(fit, rng) for _ in range(300)])
    X, Z = fit.design.fixed.matrix, fit.model.exog_re.toarray()
    relative = fit.model.Lambda(fit.theta.to_numpy()).toarray()
    C = np.column_stack([X, Z @ relative])
    covariance = (
        fit.scale * C @ np.linalg.solve(C.T @ (weights[:, None] * C) + np.diag([0.0] * 2 + [1.0] * Z.shape[1]), C.T)
    )
    sd = np.sqrt(covariance.diagonal())
    assert np.abs((draws.mean(axis=0) - fit.fittedvalues.to_numpy()) / sd).max() < 5 / np.sqrt(300)
    assert np.abs((np.cov(draws.T) - covariance) / np.outer(sd, sd)).max() < 5 * np.sqrt(2 / 300)
    assert (draws.var(axis=0) / sd**2).mean() == pytest.approx(1.0, abs=0.08)


def test_anderson_and_darlings_tail_is_theirs():
    """Shares of 4000 normal samples beyond the quantiles that table 4.9 gives."""
    rng = np.random.default_rng(6)
    p = np.array([anderson_darling(rng.normal(3.0, 2.0, 40))[1] for _ in range(4000)])
    for level in (0.01, 0.05, 0.25, 0.5):
        assert np.mean(p < level) == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 4000))


def test_the_page_finds_the_overdispersion_of_ticks():
    """Elston et al. (2001); an effect of every row takes 196 off -2 log L."""
    fit = mfx.glmer("TICKS ~ cHEIGHT + YEAR + (1 | BROOD)", mfx.load_dataset("grouseticks"), family="poisson")
    page = mfx.check(fit).to_frame()
    assert page.loc["dispersion", "verdict"] == "look"
    assert float(page.loc["dispersion", "found"].split()[3]) > 1.7


def test_overdispersion_of_repeated_rows_is_that_of_weights():
    data = counts(extra=0.9, n=120, m=12).assign(w=lambda d: 1.0 + np.arange(len(d)) % 3)
    weighted = mfx.glmer("y ~ x + (1 | g)", data, family="poisson", weights="w")
    repeated = mfx.glmer("y ~ x + (1 | g)", data.loc[data.index.repeat(data["w"].astype(int))], family="poisson")
    assert mfx.overdispersion(weighted).to_numpy() == pytest.approx(mfx.overdispersion(repeated).to_numpy(), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRUE)
def test_true_models_are_suspected_as_often_as_the_level_says(name):
    shares = [share for share in rejected(name, 400) if np.isfinite(share)]
    assert all(0.05 - 4 * 0.0109 < share < 0.05 + 4 * 0.0109 for share in shares)


@pytest.mark.slow
@pytest.mark.parametrize("name", FALSE)
def test_extra_variation_is_found(name):
    assert rejected(name, 100)[1] >= 0.9
