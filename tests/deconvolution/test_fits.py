"""Random effects of fitted models: what the data say of each level, and the law of them."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.stats as st

import mixedfx as mfx
from tests.deconvolution.reference import data, numbers


def panel(seed=1, groups=30, size=5, sd=1.0):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), size)
    b, x = sd * rng.normal(size=groups), rng.normal(size=g.size)
    eta = 0.3 + 0.5 * x + b[g]
    return pd.DataFrame(
        {
            "g": g,
            "h": np.tile(np.arange(size), groups),
            "x": x,
            "w": rng.uniform(0.5, 2.0, g.size),
            "y": eta + rng.normal(size=g.size),
            "count": rng.poisson(np.exp(eta)),
            "hit": rng.binomial(4, 1 / (1 + np.exp(-eta))),
            "size": rng.gamma(4.0, np.exp(eta) / 4.0),
        }
    )


LINEAR = {
    "reml": ("y ~ x + (1 | g)", {}),
    "ml": ("y ~ x + (1 | g)", {"reml": False}),
    "weights": ("y ~ x + (1 | g)", {"weights": "w"}),
    "offset": ("y ~ x + (1 | g)", {"offset": "w"}),
    "nested": ("y ~ x + (1 | g / h)", {}),
    "variances by group": ("y ~ x + (1 | g)", {"residual": mfx.VarIdent("h")}),
    "correlated residuals": ("y ~ x + (1 | g)", {"residual": mfx.AR1("h", group="g")}),
}


@pytest.mark.parametrize("name", LINEAR)
def test_posterior_means_of_the_normal_law_are_the_conditional_means(name):
    formula, options = LINEAR[name]
    frame = panel(size=6)
    if name == "nested":
        frame = pd.concat([frame, frame.assign(y=frame["y"] + np.random.default_rng(0).normal(size=len(frame)))])
        frame = frame.reset_index(drop=True)
    fit = mfx.lmer(formula, frame, **options)
    law = fit.deconvolve("g", method="normal")
    np.testing.assert_allclose(law.posterior_mean, fit.random_effects["g"]["Intercept"], atol=1e-10)
    np.testing.assert_allclose(law.posterior_sd, fit.random_effects_sd["g"]["Intercept"], atol=1e-10)
    assert law.sd == pytest.approx(fit.varcorr.covariances["g"].iloc[0, 0] ** 0.5, rel=1e-9)
    assert law.posterior_mean.index.equals(fit.random_effects["g"].index)


@pytest.mark.parametrize(
    ("response", "options"),
    [
        ("cbind(hit, 4 - hit)", {"family": "binomial"}),
        ("cbind(hit, 4 - hit)", {"family": "binomial", "link": "probit"}),
        ("count", {"family": "poisson", "offset": "w"}),
        ("count", {"family": "nbinom2"}),
        ("count", {"family": "poisson", "zero_inflation": "~ 1"}),
        ("size", {"family": "gamma", "link": "log"}),
        ("hit + 1", {"family": "ordinal"}),
    ],
)
def test_in_generalised_models_too(response, options):
    frame = panel(2)
    if options["family"] == "ordinal":
        frame, response = frame.assign(hit=frame["hit"] + 1), "hit"
    fit = mfx.glmer(f"{response} ~ x + (1 | g)", frame, nagq=41, **options)
    law = fit.deconvolve("g", method="normal")
    assert law.llf == pytest.approx(fit.llf, abs=1e-7)
    np.testing.assert_allclose(law.posterior_mean, fit.random_effects_mean["g"]["Intercept"], atol=1e-7)
    np.testing.assert_allclose(law.posterior_sd, fit.random_effects_moments["sd"]["g"]["Intercept"], atol=1e-7)
    best = fit.deconvolve("g")
    assert best.llf >= law.llf
    assert best.gap < 1e-7
    assert best.llf <= law.llf + law.gap


def test_balanced_data_are_group_means_with_one_error():
    frame = panel(3)
    fit = mfx.lmer("y ~ 1 + (1 | g)", frame)
    means = frame.groupby("g")["y"].mean() - fit.params["Intercept"]
    for method in ("npmle", "spline"):
        of_fit = fit.deconvolve("g", method=method)
        direct = mfx.deconvolve(means, sd=fit.sigma / np.sqrt(5), method=method)
        # the likelihood is highest at the law of the first, but not at a penalised one: there it moves with its end
        assert of_fit.llf == pytest.approx(direct.llf, abs=1e-9 if method == "npmle" else 1e-7)
        np.testing.assert_allclose(of_fit.posterior_mean, direct.posterior_mean, atol=1e-7)
        np.testing.assert_allclose(of_fit.to_frame()["estimate"], means, atol=1e-9)


def test_the_whole_likelihood_by_the_definition():
    """Density of all rows under the atoms, from the residual covariance of each group: equal up to one constant."""
    frame = panel(4, groups=8)
    fit = mfx.lmer("y ~ x + (1 | g)", frame, residual=mfx.AR1("h", group="g"))
    law = fit.deconvolve("g")
    rho, r = float(fit.residual_params.iloc[0]), fit.residuals("marginal").to_numpy().reshape(8, 5)
    lag = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    R = fit.scale * rho**lag

    def whole(support, mass):
        rows = [st.multivariate_normal(np.full(5, t), R).pdf(r) for t in support]
        return np.log(np.array(rows).T @ mass).sum()

    one = whole(law.support, law.mass) - law.llf
    other = mfx.deconvolve(law.to_frame()["estimate"], sd=law.to_frame()["se"], support=[-1.0, 0.5])
    assert whole(other.support, other.mass) - other.llf == pytest.approx(one, abs=1e-8)


def test_a_variance_at_zero_is_one_value():
    frame = panel(5, sd=0.0).assign(y=lambda d: d["y"] - d.groupby("g")["y"].transform("mean"))
    with pytest.warns(mfx.SingularFitWarning):
        fit = mfx.lmer("y ~ 1 + (1 | g)", frame)
    law = fit.deconvolve("g", method="normal")
    assert law.posterior_mean.abs().max() == 0.0
    assert any("errors alone" in note for note in law.notes)
    assert fit.deconvolve("g").gap < 1e-8


def test_effects_without_an_estimate_of_their_own():
    frame = panel(6).assign(win=lambda d: ((d["count"] > 0) | (d["g"] < 6)).astype(int))
    fit = mfx.glmer("win ~ 1 + (1 | g)", frame, family="binomial")
    law = fit.deconvolve("g")
    infinite = np.isinf(law.to_frame()["se"])
    assert infinite.any()
    assert not infinite.all()
    assert law.gap < 1e-7
    spline = fit.deconvolve("g", method="spline")
    assert spline.grid[-1] < 15


def test_saved_fits_and_pickled_laws(tmp_path):
    fit = mfx.lmer("y ~ x + (1 | g)", panel(7))
    law = fit.deconvolve("g")
    fit.save(tmp_path / "fit")
    again = mfx.load(tmp_path / "fit").deconvolve("g")
    assert str(again) == str(law)
    assert str(pickle.loads(pickle.dumps(law))) == str(law)
    assert law.to_frame().equals(again.to_frame())


def test_normal_counts_are_generalised_mixed_models():
    rows = panel(8, groups=40, size=1)
    logit = mfx.deconvolve(rows["hit"], family="binomial", trials=4, method="normal")
    fit = mfx.glmer("cbind(hit, 4 - hit) ~ 1 + (1 | g)", rows, family="binomial", nagq=41)
    assert logit.llf == pytest.approx(fit.llf, abs=1e-7)
    assert logit.law.location == pytest.approx(fit.params["Intercept"], abs=1e-4)
    log = mfx.deconvolve(rows["count"], family="poisson", exposure=rows["w"], method="normal")
    rows["log_w"] = np.log(rows["w"])
    fit = mfx.glmer("count ~ 1 + (1 | g)", rows, family="poisson", nagq=41, offset="log_w")
    assert log.llf == pytest.approx(fit.llf, abs=1e-7)
    eta = fit.params["Intercept"] + fit.random_effects_mean["g"]["Intercept"]
    assert (log.posterior_mean > np.exp(eta.to_numpy())).all()  # Jensen: the mean of exp is above exp of the mean


# ---------------------------------------------------------------- normality
def test_the_test_of_normality_sees_two_kinds_of_groups():
    rng = np.random.default_rng(9)
    apart = rng.choice([-2.0, 2.0], 60) + 0.4 * rng.standard_normal(60)
    test = mfx.deconvolve(apart, sd=0.4).normality_test(19, seed=1)
    assert test.pvalue == pytest.approx(0.05)
    assert test.statistic > 20
    assert test.pvalue_se == pytest.approx(np.sqrt(0.05 * 0.95 / 19))
    calm = mfx.deconvolve(rng.normal(size=60) * 1.1, sd=0.4)
    one, other = (calm.normality_test(9, seed=1) for _ in range(2))
    assert one.pvalue > 0.1
    np.testing.assert_array_equal(one.replicates, other.replicates)
    assert "chi-squared" in str(one)


def test_the_statistic_is_twice_the_gain():
    fit = mfx.lmer("y ~ x + (1 | g)", panel(10))
    law = fit.deconvolve("g")
    table = law.to_frame()
    normal = mfx.deconvolve(table["estimate"], sd=table["se"], method="normal")
    assert law.normality_test(2, seed=1).statistic == pytest.approx(2 * (law.llf - normal.llf), abs=1e-8)


@pytest.mark.slow
def test_the_size_of_the_test_of_normality():
    """Of 100 samples from normal laws, seen with unequal errors, about one in twenty is rejected at 5 %."""
    rng = np.random.default_rng(11)
    rejected = 0
    for _ in range(100):
        sd = rng.uniform(0.3, 1.5, 40)
        y = rng.normal(0.0, np.sqrt(1.0 + sd**2))
        rejected += mfx.deconvolve(y, sd=sd).normality_test(19, seed=rng).pvalue <= 0.05
    assert rejected <= 12


def test_radon_against_the_reference():
    reference = numbers("npmle_results")["radon_county_gaussian_het"]["normal_G"]
    fit = mfx.lmer("log_radon ~ floor + (1 | county)", data("radon_mn"))
    table = fit.deconvolve("county").to_frame()
    centred = mfx.deconvolve(table["estimate"], sd=table["se"], method="normal")
    assert centred.llf >= reference["loglik"]  # the reference has its mean at zero
    assert centred.sd == pytest.approx(reference["tau"], abs=1e-3)


@pytest.mark.slow
def test_workers_change_nothing():
    law = mfx.lmer("y ~ x + (1 | g)", panel(12)).deconvolve("g")
    one, two = (law.normality_test(20, seed=3, n_jobs=jobs).replicates for jobs in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_what_is_shown_is_a_screenful():
    rng = np.random.default_rng(13)
    many = mfx.deconvolve(100.0 * np.arange(40), sd=1.0)
    smooth = mfx.deconvolve(rng.normal(size=60), sd=0.5, method="spline")
    normal = mfx.deconvolve(rng.normal(size=60), sd=0.5, method="normal")
    for law in (many, smooth, normal):
        text = str(law)
        assert text.count("\n") <= 50
        assert max(map(len, text.splitlines())) <= 80
        assert "array(" not in text
        assert len(law._repr_html_()) < 20_000
    assert "15 further atoms are not shown" in str(many)
    assert len(many.law_frame()) == 40
    with pytest.raises(mfx.SpecificationError, match=r"'npmle' has no se; it has atoms"):
        many.se  # noqa: B018
