"""Formulas without bars: least squares, and generalised linear models of every family."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy import optimize, special, stats

import mixedfx as mfx

N = 160


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(8)
    x, f = rng.normal(size=N), rng.choice(["a", "b", "c"], N)
    eta = 0.3 + 0.4 * x - 0.3 * (f == "b")
    mean, p, trials = np.exp(eta), special.expit(eta), rng.integers(3, 12, N)
    share = rng.beta(4 * p, 4 * (1 - p))
    successes = rng.binomial(trials, share)
    positive = rng.gamma(2.5, mean / 2.5)
    count = rng.negative_binomial(2.0, 2.0 / (2.0 + mean))
    latent = np.digitize(eta + rng.logistic(size=N), [-1.0, 0.2, 1.0])
    return pd.DataFrame(
        {
            "x": x,
            "f": f,
            "normal": eta + 0.7 * rng.normal(size=N),
            "heavy": eta + 0.7 * rng.standard_t(4, size=N),
            "yes": rng.binomial(1, p),
            "successes": successes,
            "failures": trials - successes,
            "events": rng.poisson(mean),
            "count": count,
            "positive": positive,
            "share": np.clip(share, 1e-3, 1 - 1e-3),
            "rain": positive * (count > 0),
            "rating": pd.Categorical(latent, ordered=True),
            "w": rng.uniform(0.5, 2.0, N),
        }
    )


# ---------------------------------------------------------------- against statsmodels
@pytest.mark.parametrize("weights", [None, "w"])
def test_least_squares(rows, weights):
    fit = mfx.LinearMixedModel("normal ~ x + f", rows, weights=weights).fit()
    expected = smf.wls("normal ~ x + f", rows, weights=1.0 if weights is None else rows[weights]).fit()
    for ours, theirs in ((fit.params, expected.params), (fit.bse, expected.bse), (fit.pvalues, expected.pvalues)):
        np.testing.assert_allclose(ours, theirs[fit.params.index], rtol=1e-8)
    np.testing.assert_allclose(fit.df, expected.df_resid)
    assert fit.scale == pytest.approx(expected.scale, rel=1e-10)
    assert fit.update(reml=False).llf == pytest.approx(expected.llf, abs=1e-8)
    table, theirs = mfx.anova(fit, type=2), sm.stats.anova_lm(expected, typ=2)
    np.testing.assert_allclose(table.to_frame()["F"], theirs.loc[["x", "f"], "F"], rtol=1e-8)


MODELS = [
    ("poisson", None, "events", sm.families.Poisson()),
    ("binomial", None, "yes", sm.families.Binomial()),
    ("binomial", "probit", "yes", sm.families.Binomial(sm.families.links.Probit())),
    ("binomial", None, "cbind(successes, failures)", sm.families.Binomial()),
    ("gaussian", None, "normal", sm.families.Gaussian()),
    ("gamma", "log", "positive", sm.families.Gamma(sm.families.links.Log())),
    ("inverse_gaussian", "log", "positive", sm.families.InverseGaussian(sm.families.links.Log())),
]


@pytest.mark.parametrize(("family", "link", "response", "theirs"), MODELS)
def test_generalised_linear_models(rows, family, link, response, theirs):
    fit = mfx.glmer(f"{response} ~ x + f", rows, family=family, link=link)
    said = response.replace("cbind(successes, failures)", "successes + failures")
    expected = smf.glm(f"{said} ~ x + f", rows, family=theirs).fit(method="newton", tol=1e-14, maxiter=100)
    np.testing.assert_allclose(fit.params, expected.params[fit.params.index], atol=1e-8)
    if family in ("poisson", "binomial"):
        assert fit.llf == pytest.approx(expected.llf, abs=1e-8)
        np.testing.assert_allclose(fit.bse, expected.bse[fit.params.index], rtol=1e-6)


# ---------------------------------------------------------------- against a direct search, density by SciPy
def _beta_binomial(rows, eta, extra):
    p, trials = special.expit(eta), rows["successes"] + rows["failures"]
    return stats.betabinom.logpmf(rows["successes"], trials, p * np.exp(extra[0]), (1 - p) * np.exp(extra[0]))


def _beta(rows, eta, extra):
    p = special.expit(eta)
    return stats.beta.logpdf(rows["share"], p * np.exp(extra[0]), (1 - p) * np.exp(extra[0]))


def _negative_binomial(rows, eta, extra):
    size = np.exp(extra[0])
    return stats.nbinom.logpmf(rows["count"], size, size / (size + np.exp(eta)))


def _linear_variance(rows, eta, extra):
    size = np.exp(eta - extra[0])
    return stats.nbinom.logpmf(rows["count"], size, 1.0 / (1.0 + np.exp(extra[0])))


def _gamma(rows, eta, extra):
    shape = np.exp(extra[0])
    return stats.gamma.logpdf(rows["positive"], shape, scale=np.exp(eta) / shape)


def _inverse_gaussian(rows, eta, extra):
    shape = np.exp(extra[0])
    return stats.invgauss.logpdf(rows["positive"], np.exp(eta) / shape, scale=shape)


def _lognormal(rows, eta, extra):
    y, sd = rows["positive"], np.exp(extra[0])  # the linear predictor is the logarithm of the mean
    return stats.norm.logpdf(np.log(y), eta - 0.5 * sd**2, sd) - np.log(y)


def _student(rows, eta, extra):
    return stats.t.logpdf(rows["heavy"], 1.0 + np.exp(extra[1]), eta, np.exp(extra[0]))


DENSITIES = [
    ("beta_binomial", None, "cbind(successes, failures)", _beta_binomial, 1),
    ("beta", None, "share", _beta, 1),
    ("nbinom2", None, "count", _negative_binomial, 1),
    ("nbinom1", None, "count", _linear_variance, 1),
    ("gamma", "log", "positive", _gamma, 1),
    ("inverse_gaussian", "log", "positive", _inverse_gaussian, 1),
    ("lognormal", None, "positive", _lognormal, 1),
    ("student_t", None, "heavy", _student, 2),
]


@pytest.mark.parametrize(("family", "link", "response", "density", "more"), DENSITIES)
def test_the_likelihood_is_at_its_largest(rows, family, link, response, density, more):
    fit = mfx.glmer(f"{response} ~ x + f", rows, family=family, link=link)
    X = fit.model.exog

    def minus(p):
        return -float(np.sum(density(rows, X @ p[:4], p[4:])))

    start = np.concatenate([fit.params + 0.05, np.zeros(more)])
    least = optimize.minimize(minus, start, method="BFGS", options={"gtol": 1e-7})
    assert fit.llf == pytest.approx(-least.fun, abs=1e-6)
    np.testing.assert_allclose(fit.params, least.x[:4], atol=2e-5)
    nearby = optimize.approx_fprime(least.x, minus, 1e-6)
    assert np.abs(nearby).max() < 1e-2


def test_ordered_categories(rows):
    fit = mfx.glmer("rating ~ x + f", rows, family="ordinal")
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    expected = OrderedModel.from_formula("rating ~ x + f", rows, distr="logit").fit(disp=0, gtol=1e-10, method="bfgs")
    np.testing.assert_allclose(fit.params, expected.params[fit.params.index], atol=1e-5)
    assert fit.llf == pytest.approx(expected.llf, abs=1e-8)


# ---------------------------------------------------------------- laws
EVERY = [
    ("gaussian", "normal"),
    ("binomial", "yes"),
    ("poisson", "events"),
    ("gamma", "positive"),
    ("inverse_gaussian", "positive"),
    ("nbinom2", "count"),
    ("nbinom1", "count"),
    ("beta", "share"),
    ("beta_binomial", "cbind(successes, failures)"),
    ("tweedie", "rain"),
    ("student_t", "heavy"),
    ("lognormal", "positive"),
    ("ordinal", "rating"),
]


@pytest.mark.parametrize(("family", "response"), EVERY)
def test_everything_that_follows_a_fit(rows, tmp_path, family, response):
    link = "log" if family in ("gamma", "inverse_gaussian") else None
    fit = mfx.glmer(f"{response} ~ x + f", rows, family=family, link=link, nagq="auto")
    assert fit.converged
    text = fit.summary().as_text()
    assert "Generalised linear model\n" in text
    assert "Laplace" not in text
    assert "variance is positive" not in text
    assert (fit.random_effects, fit.n_groups, len(fit.theta)) == ({}, {}, 0)
    assert len(mfx.anova(fit).to_frame()) == 2
    assert np.isfinite(fit.conf_int(method="profile").to_numpy()).all()
    assert fit.predict(rows.head(3)).shape[0] == 3
    assert fit.simulate(2, seed=1).shape == (N, 2)
    assert fit.cov_joint().shape == (len(fit.params),) * 2
    smaller = fit.update("~ . - x")
    assert mfx.anova(smaller, fit).to_frame()["chi2"].iloc[-1] >= 0.0
    fit.save(tmp_path / "fit.mfx")
    again = mfx.load(tmp_path / "fit.mfx")
    pd.testing.assert_series_equal(again.params, fit.params, rtol=1e-10)
    pd.testing.assert_series_equal(again.bse, fit.bse, rtol=1e-8)
    assert again.summary().as_text() == text


def test_a_dispersion_of_its_own_and_zeros_in_excess(rows):
    fit = mfx.glmer("count ~ x", rows, family="nbinom2", dispersion="~ f")
    assert fit.converged
    assert len(fit.component_params["dispersion"]) == 3
    zeros = mfx.glmer("events ~ x", rows, family="poisson", zero_inflation="~ 1")
    assert zeros.llf >= mfx.glmer("events ~ x", rows, family="poisson").llf - 1e-8


def test_separation_is_said(rows):
    data = rows.assign(yes=(rows["x"] > 0).astype(int))
    with pytest.warns(mfx.SeparationWarning):
        mfx.glmer("yes ~ x", data, family="binomial")


def test_the_summary_of_least_squares(rows):
    text = mfx.LinearMixedModel("normal ~ x + f", rows).fit().summary().as_text()
    assert "Linear model\n" in text
    assert "the residual degrees of freedom" in " ".join(text.split())
    assert "variance is positive" not in text


def test_a_variance_of_zero_is_the_model_without_bars(rows):
    data = rows.assign(g=np.arange(N) % 20)
    data["normal"] -= data.groupby("g")["normal"].transform("mean")  # no variance between groups
    with pytest.warns(mfx.SingularFitWarning):
        mixed = mfx.lmer("normal ~ 1 + (1 | g)", data, reml=False)
    plain = mfx.LinearMixedModel("normal ~ 1", data).fit(reml=False)
    assert mixed.llf == pytest.approx(plain.llf, abs=1e-9)
    np.testing.assert_allclose(mixed.params, plain.params, atol=1e-9)


def test_means_averaged_over_no_random_effects(rows):
    fit = mfx.glmer("events ~ x + f", rows, family="poisson")
    averaged = mfx.emmeans(fit, "f", scale="response", integrate=True).to_frame()
    pd.testing.assert_frame_equal(averaged, mfx.emmeans(fit, "f", scale="response").to_frame())
