"""Predictions of generalised models against glmmTMB, closed forms, and each other."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import mixedfx as mfx

CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"

# glmmTMB 1.1.5, R 4.2.2: f <- glmmTMB(formula, data, family=, ziformula=, dispformula=, control=glmmTMBControl(
#   optCtrl=list(rel.tol=1e-15, x.tol=1e-12, iter.max=5000, eval.max=5000)));
# predict(f, new, se.fit=TRUE, type="link")$se.fit; predict(f, new, se.fit=TRUE, type="response")$se.fit
HERDS = {"period": ["1", "4", "2", "3"], "herd": ["1", "1", "7", "15"]}  # cbpp, family=binomial
CBPP_SE = [0.3783301285, 0.5324875006, 0.4251621253, 0.4930930404]
CBPP_SE_MEAN = [0.08066591580, 0.04098445569, 0.06335220138, 0.02113998653]
CBPP_SE_AVERAGE = [0.2324720507, 0.4300719548, 0.3102139779, 0.3302751600]  # re.form=NA
CBPP_SE_MEAN_AVERAGE = [0.03692252409, 0.01980441416, 0.02383605289, 0.02262416688]
# rows 1, 2, 4 of Salamanders, count ~ mined + (1 | site): link and response
SALAMANDERS = {
    ("nbinom2", "zero_inflation"): (
        [0.4364327923, 0.3040747655, 0.2165637374],
        [0.08193586118, 0.16500096456, 0.49361648143],
    ),
    ("nbinom2", "dispersion"): (
        [0.3541399972, 0.3706678694, 0.2180842409],
        [0.08764352074, 0.19765469292, 0.54243290976],
    ),
    ("hurdle_nbinom2", "zero_inflation"): (
        [0.2608562385, 0.2540722594, 0.1473301902],
        [0.05026882611, 0.04966846223, 0.23047155949],
    ),
}
# rows 1, 100, 700, 1500 of Contraception, use ~ age + urban + (urban | district), family=binomial
CONTRACEPTION_SE = [0.2631292239, 0.3257167916, 0.4147062902, 0.2230979038]
CONTRACEPTION_SE_MEAN = [0.06495379712, 0.05003447648, 0.10014485201, 0.05537153074]
# rows 1, 100, 250, 400 of grouseticks, family=poisson
TICKS_SE = [0.8029278101, 0.8787316758, 0.3572572083, 0.7938526427]
TICKS_SE_MEAN = [0.4038220034, 0.1753726347, 1.8542792951, 0.3523967010]


@cache
def cbpp():
    return mfx.glmer(CBPP, mfx.load_dataset("cbpp"), family="binomial")


@cache
def counts():
    rng = np.random.default_rng(2)
    g, x, t = np.repeat(np.arange(30), 15), rng.standard_normal(450), rng.uniform(1.0, 5.0, 450)
    b, c = rng.standard_normal((2, 30)) * [[0.8], [0.4]]
    frame = pd.DataFrame({"g": g.astype(str), "x": x, "t": t})
    frame["y"] = rng.poisson(t * np.exp(0.3 * x + b[g] + c[g] * x))
    frame["high"] = (frame["y"] > 3).astype(int)
    frame["level"] = pd.Categorical(np.where(frame["high"], "high", "low"), ["low", "high"], ordered=True)
    return frame


@cache
def slopes():
    return mfx.glmer("y ~ x + offset(log(t)) + (x | g)", counts(), family="poisson")


def check(prediction, link, response):
    np.testing.assert_allclose(prediction.se_linear, link, rtol=1e-5)
    np.testing.assert_allclose(prediction.se_mean, response, rtol=1e-5)


def test_standard_errors_of_proportions_are_those_of_glmmtmb():
    check(cbpp().get_prediction(HERDS), CBPP_SE, CBPP_SE_MEAN)
    check(cbpp().get_prediction(HERDS, random=False), CBPP_SE_AVERAGE, CBPP_SE_MEAN_AVERAGE)


@pytest.mark.parametrize("family, component", SALAMANDERS)
def test_standard_errors_of_inflated_counts_are_those_of_glmmtmb(family, component):
    data = mfx.load_dataset("salamanders")
    fit = mfx.glmer("count ~ mined + (1 | site)", data, family=family, **{component: "~ mined"})
    check(fit.get_prediction(data.iloc[[0, 1, 3]]), *SALAMANDERS[family, component])


def test_standard_errors_with_slopes_are_those_of_glmmtmb():
    data = mfx.load_dataset("contraception")
    fit = mfx.glmer("use ~ age + urban + (urban | district)", data, family="binomial")
    check(fit.get_prediction(data.iloc[[0, 99, 699, 1499]]), CONTRACEPTION_SE, CONTRACEPTION_SE_MEAN)


def test_standard_errors_with_crossed_terms_are_those_of_glmmtmb():
    data = mfx.load_dataset("grouseticks")
    formula = "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)"
    fit = mfx.glmer(formula, data, family="poisson")
    check(fit.get_prediction(data.iloc[[0, 99, 249, 399]]), TICKS_SE, TICKS_SE_MEAN)


def test_limits_are_those_of_the_linear_predictor_transformed():
    prediction = cbpp().get_prediction(HERDS)
    linear, mean = prediction.summary_frame(0.1, which="linear"), prediction.summary_frame(0.1)
    np.testing.assert_allclose(mean["mean_ci_lower"], special.expit(linear["linear_ci_lower"]), rtol=1e-12)
    np.testing.assert_allclose(mean["mean_ci_upper"], special.expit(linear["linear_ci_upper"]), rtol=1e-12)
    half = stats.norm.ppf(0.95) * linear["linear_se"]
    np.testing.assert_allclose(linear["linear_ci_upper"], linear["linear"] + half, rtol=1e-12)


def test_the_error_of_an_integrated_probit_mean_has_a_closed_form():
    fit = mfx.glmer("high ~ x + (1 | g)", counts(), family="binomial", link="probit")
    rows, theta = np.array([[1.0, 0.5], [1.0, -1.0]]), fit.theta.iloc[0]
    root = np.sqrt(1.0 + theta**2)
    z = rows @ fit.params.to_numpy() / root
    gradient = stats.norm.pdf(z)[:, None] * np.column_stack([rows / root, -z * theta / root**2])
    found = fit.get_prediction({"x": rows[:, 1]}, integrate=True)
    np.testing.assert_allclose(found.predicted_mean, stats.norm.cdf(z), rtol=1e-10)
    variance = np.einsum("ij,jk,ik->i", gradient, fit.solution.covariance, gradient)
    np.testing.assert_allclose(found.se_mean, np.sqrt(variance), rtol=1e-6)


def test_the_error_of_an_integrated_log_mean_has_a_closed_form():
    fit = slopes()
    rows, offset, (s, r, d) = np.array([[1.0, 0.5], [1.0, -1.0]]), np.log([2.0, 3.0]), fit.theta
    first, second = s + rows[:, 1] * r, rows[:, 1] * d
    mean = np.exp(rows @ fit.params.to_numpy() + offset + 0.5 * (first**2 + second**2))
    gradient = np.column_stack([rows, first, first * rows[:, 1], second * rows[:, 1]])
    relative = np.sqrt(np.einsum("ij,jk,ik->i", gradient, fit.solution.covariance, gradient))
    frame = fit.get_prediction({"x": rows[:, 1], "t": [2.0, 3.0]}, random=False, integrate=True).summary_frame()
    np.testing.assert_allclose(frame["mean"], mean, rtol=1e-10)
    np.testing.assert_allclose(frame["mean_se"], mean * relative, rtol=1e-6)
    half = stats.norm.ppf(0.975) * relative
    np.testing.assert_allclose(frame["mean_ci_upper"], mean * np.exp(half), rtol=1e-6)


@pytest.mark.parametrize("asked", [{}, {"random": False}, {"integrate": True}])
def test_two_ordered_categories_are_a_binary_response(asked):
    rows = counts().iloc[:5]
    pair = [("level", "ordinal"), ("high", "binomial")]
    frames = [
        mfx.glmer(f"{y} ~ x + (1 | g)", counts(), family=family).get_prediction(rows, **asked).summary_frame()
        for y, family in pair
    ]
    columns = ["mean", "mean_ci_lower", "mean_ci_upper"]  # categories are numbered 1 and 2
    np.testing.assert_allclose(frames[0][columns] - 1.0, frames[1][columns], rtol=1e-4)
    np.testing.assert_allclose(frames[0]["mean_se"], frames[1]["mean_se"], rtol=1e-4)


@pytest.mark.parametrize("asked", [{}, {"random": False}, {"integrate": True}, {"integrate": True, "random": "g"}])
def test_means_are_those_of_predict(asked):
    np.testing.assert_allclose(slopes().get_prediction(**asked).predicted_mean, slopes().predict(**asked))


def test_limits_for_a_response_are_quantiles_of_its_distribution():
    """With many rows hardly anything but the response itself is uncertain."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"g": np.repeat(np.arange(20), 500).astype(str)})
    frame["y"] = rng.binomial(30, special.expit(np.repeat(rng.standard_normal(20), 500))) / 30
    frame["n"] = 30
    fit = mfx.glmer("y ~ 1 + (1 | g)", frame, family="binomial", weights="n")
    new = pd.DataFrame({"g": ["0", "7"], "n": [100, 10]})
    limits = fit.get_prediction(new).conf_int(obs=True).to_numpy() * new[["n"]].to_numpy()
    mean = fit.predict(new).to_numpy()[:, None]
    expected = stats.binom.ppf([[0.025, 0.975]], new[["n"]].to_numpy(), mean)
    np.testing.assert_allclose(limits, expected, atol=1.0 + 1e-9)
    np.testing.assert_allclose(limits, np.round(limits), atol=1e-9)  # numbers of successes that can occur


def test_limits_for_a_response_of_a_new_group_include_its_random_effect():
    data = {"x": [0.5], "t": [20.0], "g": ["new"]}
    known = slopes().get_prediction(data | {"g": ["3"]}).conf_int(obs=True)
    asked = [{"new_levels": "population"}, {"random": False}, {"integrate": True}]
    new = [slopes().get_prediction(data, **each).conf_int(obs=True) for each in asked]
    drawn = slopes().simulate(20_000, seed=1, data=data)
    low, high = drawn.quantile([0.025, 0.975], axis=1).to_numpy()
    for limits in new:
        assert limits["upper"][0] / limits["lower"][0] > 3.0 * known["upper"][0] / known["lower"][0]
        assert limits["upper"][0] == pytest.approx(high[0], rel=0.25)
        assert limits["lower"][0] == pytest.approx(low[0], abs=2.0)


def test_unknown_trials_leave_the_limits_for_a_response_open():
    without = cbpp().get_prediction(HERDS).summary_frame()
    assert without[["obs_ci_lower", "obs_ci_upper"]].isna().all(axis=None)
    given = cbpp().get_prediction(HERDS, weights=[30, 30, 5, 5]).summary_frame()
    assert given.notna().all(axis=None)
    fitted = cbpp().get_prediction().summary_frame()
    share = fitted["obs_ci_upper"] * mfx.load_dataset("cbpp")["size"]
    np.testing.assert_allclose(share, share.round(), atol=1e-9)


def test_missing_values_and_no_rows():
    new = {"period": ["1", None, "1"], "herd": ["1", "1", "unknown"]}
    frame = cbpp().get_prediction(new, new_levels="nan", weights=[9, 9, 9]).summary_frame()
    assert frame.notna().all(axis=1).tolist() == [True, False, False]
    assert cbpp().get_prediction({"period": [], "herd": []}).summary_frame().shape == (0, 6)


def test_a_vanished_variance_leaves_the_other_errors():
    data = counts().assign(y=np.random.default_rng(5).poisson(2.0, len(counts())))
    with pytest.warns(mfx.SingularFitWarning):
        fit = mfx.glmer("y ~ x + (1 | g)", data, family="poisson")
    found, averaged = fit.get_prediction(), fit.get_prediction(integrate=True)
    plain = np.column_stack([np.ones(len(data)), data["x"]])
    expected = np.sqrt(np.einsum("ij,jk,ik->i", plain, fit.cov_params(), plain))
    np.testing.assert_allclose(found.se_linear, expected, rtol=1e-6)
    np.testing.assert_allclose(averaged.se_mean, found.se_mean, rtol=1e-6)
