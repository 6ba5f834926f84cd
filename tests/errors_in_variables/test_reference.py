"""Fuller's corn, and simulated replicates: values of independent computations (``data/README.md``)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

DATA = Path(__file__).parent / "data"
VALUES = json.loads((DATA / "eiv_results.json").read_text())


def table(name):
    return pd.read_csv(DATA / f"{name}.csv")


def close(ours, theirs, se):
    """Estimates agree to 1e-5 of a standard error."""
    assert np.abs(np.asarray(ours) - np.asarray(theirs)).max() <= 1e-5 * np.min(se)


@pytest.fixture(scope="module")
def corn():
    return table("fuller_corn")


def test_moments_of_corn(corn):
    fit = mfx.lmer("yield_ ~ me(nitrogen, var=57)", corn, errors_in_variables="moment")
    values = VALUES["fuller_corn"]["moment"]
    np.testing.assert_allclose(fit.params, [values["b0"], values["b1"]], rtol=1e-10)
    np.testing.assert_allclose(fit.bse, [values["se_b0"], values["se_b1"]], rtol=1e-10)
    assert fit.scale == pytest.approx(values["sigma_ee"], rel=1e-10)
    assert fit.measurement_model.loc["var(me(nitrogen))", "estimate"] == pytest.approx(values["sigma_xx"], rel=1e-10)
    assert fit.reliability.item() == pytest.approx(VALUES["fuller_corn"]["reliability"], rel=1e-12)
    assert [f"{fit.params.iloc[1]:.4f}", f"{fit.bse.iloc[1]:.4f}"] == ["0.4232", "0.1745"]  # as printed in the book
    assert fit.naive.params.iloc[1] == pytest.approx(VALUES["fuller_corn"]["ols_slope"], rel=1e-10)


def test_likelihood_of_corn(corn):
    fit = mfx.lmer("yield_ ~ me(nitrogen, var=57)", corn)
    values = VALUES["fuller_corn"]["ml"]
    close(fit.params, [values["b0"], values["b1"]], fit.bse)
    assert fit.llf == pytest.approx(values["loglik"], abs=1e-8)
    assert fit.scale == pytest.approx(values["sigma_ee"], rel=1e-5)
    law = fit.measurement_model
    np.testing.assert_allclose(law["estimate"], [values["mu_x"], values["sigma_xx"]], rtol=1e-6)
    np.testing.assert_allclose(fit.bse, exact_errors(corn), rtol=1e-6)
    # the differences of the reference have fewer digits
    theirs = values["se_observed_info"]
    np.testing.assert_allclose(fit.bse, [theirs["b0"], theirs["b1"]], rtol=1e-4)


def exact_errors(corn):
    """Standard errors of intercept and slope from the observed information: differences of fourth order."""
    values = VALUES["fuller_corn"]["ml"]
    w, y = corn["nitrogen"].to_numpy(dtype=np.longdouble), corn["yield_"].to_numpy(dtype=np.longdouble)
    size = np.array([10.0, 0.1, 10.0, 1.0, 1.0], dtype=np.longdouble)

    def minus_llf(p):
        b0, b1, mu, sx, se = p[0], p[1], p[2], np.exp(p[3]), np.exp(p[4])
        a, b, c = sx + 57, b1 * sx, b1**2 * sx + se
        u, v, det = w - mu, y - b0 - b1 * mu, a * c - b * b
        return 0.5 * np.sum((c * u * u - 2 * b * u * v + a * v * v) / det + np.log(det))

    at = np.array(
        [values["b0"], values["b1"], values["mu_x"], np.log(values["sigma_xx"]), np.log(values["sigma_ee"])],
        dtype=np.longdouble,
    )
    weights, step, unit = {-2: 1.0, -1: -8.0, 1: 8.0, 2: -1.0}, np.longdouble(2e-3), np.eye(5)

    def second(i, j):
        total = sum(
            p * q * minus_llf(at + step * size * (k * unit[i] + m * unit[j]))
            for k, p in weights.items()
            for m, q in weights.items()
        )
        return total / (144 * step**2 * size[i] * size[j])

    hessian = np.array([[float(second(i, j)) for j in range(5)] for i in range(5)])
    return np.sqrt(np.linalg.inv(hessian).diagonal()[:2])


def test_replicates_of_a_linear_model():
    values, data = VALUES["replicates_linear"], table("eiv_replicates_linear")
    fit = mfx.lmer("y ~ me(w1, w2) + z", data)
    ml, se = values["ml"], values["ml_se_obs_info"]
    assert list(fit.params.index) == ["Intercept", "me(w1, w2)", "z"]
    close(fit.params, [ml["b0"], ml["b1"], ml["bz"]], fit.bse)
    assert fit.llf == pytest.approx(values["ml_loglik"], abs=1e-8)
    np.testing.assert_allclose(fit.bse, [se["b0"], se["b1"], se["bz"]], rtol=1e-5)
    law = fit.measurement_model
    np.testing.assert_allclose(law["estimate"], [ml["a0"], ml["az"], ml["s2_x_given_z"], ml["s2_u"]], rtol=1e-6)
    scaled = [se["a0"], se["az"], ml["s2_x_given_z"] * se["log_s2x"], ml["s2_u"] * se["log_s2u"]]
    np.testing.assert_allclose(law["std_error"], scaled, rtol=1e-5)
    assert fit.scale == pytest.approx(ml["s2_e"], rel=1e-6)
    np.testing.assert_allclose(fit.naive.params, values["naive_mean_of_w"], rtol=1e-8)


@pytest.mark.parametrize("method", ["rc", "moment"])
def test_calibrated_replicates_of_a_linear_model(method):
    values = VALUES["replicates_linear"]["regression_calibration"]
    fit = mfx.lmer("y ~ me(w1, w2) + z", table("eiv_replicates_linear"), errors_in_variables=method)
    np.testing.assert_allclose(fit.params, values["coef"], rtol=1e-8)
    np.testing.assert_allclose(
        fit.measurement_model["estimate"][2:], [values["s2_x_given_z"], values["s2_u"]], rtol=1e-8
    )


def test_replicates_of_a_logistic_model():
    values, data = VALUES["replicates_logistic"], table("eiv_replicates_logistic")
    fit = mfx.glmer("y ~ me(w1, w2)", data, family="binomial")
    ml, se = values["ml"], values["ml_se"]
    close(fit.params, [ml["b0"], ml["b1"]], fit.bse)
    assert fit.llf == pytest.approx(ml["loglik"], abs=1e-8)
    np.testing.assert_allclose(fit.bse, [se["b0"], se["b1"]], rtol=1e-5)
    np.testing.assert_allclose(fit.measurement_model["estimate"], [ml["mu_x"], ml["s2_x"], ml["s2_u"]], rtol=1e-5)
    np.testing.assert_allclose(fit.naive.params, values["naive"]["coef"], rtol=1e-6)
    np.testing.assert_allclose(fit.naive.bse, values["naive"]["se"], rtol=1e-5)


def test_calibration_of_a_logistic_model():
    values = VALUES["replicates_logistic"]["regression_calibration"]
    fit = mfx.glmer("y ~ me(w1, w2)", table("eiv_replicates_logistic"), family="binomial", errors_in_variables="rc")
    np.testing.assert_allclose(fit.params, values["coef"], rtol=1e-6)
    np.testing.assert_allclose(fit.measurement_model["estimate"][1:], [values["s2_x"], values["s2_u"]], rtol=1e-8)
    assert (fit.bse.to_numpy() > values["naive_se"]).all()
