"""The joint covariance of fixed and random effects, the factor L and the covariance of variance parameters."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import mixedfx as mfx

SE_LOG_SD = 0.2780210399  # glmmTMB 1.1.5, R 4.2.2

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")


@cache
def crossed():
    rng = np.random.default_rng(7)
    n = 160
    data = pd.DataFrame({"a": rng.integers(0, 9, n), "b": rng.integers(0, 7, n), "x": rng.standard_normal(n)})
    data["f"], data["w"] = np.where(rng.uniform(size=n) < 0.5, "u", "v"), rng.uniform(0.5, 2.0, n)
    effect = rng.standard_normal(9)[data.a] * data.x + 0.8 * rng.standard_normal(7)[data.b]
    data["y"], data["count"] = effect + data.x + rng.standard_normal(n), rng.poisson(np.exp(0.5 * effect))
    return data


RELATED = 0.4 + 0.6 * np.eye(9)


def known():
    matrix = pd.DataFrame(RELATED, index=range(9), columns=range(9))
    return mfx.lmer("y ~ x + known(1 | a, K) + (1 | b)", crossed(), functions={"K": matrix})


FITS = {
    "slopes": lambda: mfx.lmer("y ~ x + (x | a)", crossed(), weights="w"),
    "crossed": lambda: mfx.lmer("y ~ x + (x || a) + (1 | b)", crossed()),
    "structure": lambda: mfx.lmer("y ~ x + (1 | a) + (1 | b)", crossed(), residual=mfx.VarIdent("f")),
    "known": known,
    "counts": lambda: mfx.glmer("count ~ x + (x | a)", crossed(), family="poisson"),
    "crossed counts": lambda: mfx.glmer("count ~ x + (1 | a) + (0 + x | a) + (1 | b)", crossed(), family="poisson"),
}


@pytest.mark.parametrize("name", FITS)
def test_predictions_have_the_errors_of_the_joint_covariance(name):
    fit = FITS[name]()
    joint = fit.cov_joint()
    rows = np.hstack([fit.model.exog, fit.model.exog_re.toarray()])
    found = fit.get_prediction()
    se = found.se_linear if name.endswith("counts") else found.se_mean
    np.testing.assert_allclose(np.sqrt(np.einsum("ij,jk,ik->i", rows, joint.to_numpy(), rows)), se, rtol=1e-8)
    p = len(fit.params)
    np.testing.assert_allclose(joint.iloc[:p, :p], fit.cov_params(), rtol=1e-8)
    assert joint.index.equals(joint.columns)
    assert joint.index[p] == ("a", 0, fit.design.random[0].names[0])


@pytest.mark.parametrize("name", ["slopes", "crossed", "structure", "known"])
def test_the_joint_covariance_is_the_inverse_of_hendersons_equations(name):
    fit = FITS[name]()
    X, Z = fit.model.exog, fit.model.exog_re.toarray()
    R = np.diag(fit.residual_variances)
    Lambda = fit.model.Lambda(fit.theta.to_numpy()).toarray()
    V = Z @ (fit.scale * Lambda @ Lambda.T) @ Z.T + R
    G, inverse = fit.scale * Lambda @ Lambda.T, np.linalg.inv(V)
    C = np.linalg.inv(X.T @ inverse @ X)
    B = G @ Z.T @ inverse @ X
    K = G - G @ Z.T @ inverse @ Z @ G
    expected = np.block([[C, -C @ B.T], [-B @ C, K + B @ C @ B.T]])
    np.testing.assert_allclose(fit.cov_joint(), expected, rtol=1e-6, atol=1e-9)


def test_l_is_the_factor_of_the_penalised_equations():
    for name, weights in (("slopes", crossed().w), ("crossed", 1.0), ("structure", None)):
        fit = FITS[name]()
        scaled = (fit.model.exog_re @ fit.model.Lambda(fit.theta.to_numpy())).toarray()
        own = fit.scale / fit.residual_variances if weights is None else np.broadcast_to(weights, len(scaled))
        L = fit.L.toarray()
        np.testing.assert_allclose(L @ L.T, scaled.T @ (own[:, None] * scaled) + np.eye(len(L)), rtol=1e-9, atol=1e-9)
        assert np.array_equal(L, np.tril(L))
        assert sp.issparse(fit.L)
    counts = FITS["counts"]()
    scaled = (counts.model.exog_re @ counts.model.Lambda(counts.theta.to_numpy())).toarray()
    mu = counts.fittedvalues.to_numpy()
    expected = scaled.T @ (mu[:, None] * scaled) + np.eye(18)
    np.testing.assert_allclose(counts.L.toarray() @ counts.L.toarray().T, expected, rtol=1e-6)


def test_too_many_random_effects_are_refused():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat(np.arange(4001), 2), "y": rng.standard_normal(8002)})
    fit = mfx.lmer("y ~ 1 + (1 | g)", data)
    for call in (fit.cov_joint, lambda: fit.L):
        with pytest.raises(mfx.SpecificationError, match="4001"):
            call()


@pytest.mark.parametrize("scale", ["sd", "variance", "theta"])
def test_variance_parameters_of_a_gaussian_model_have_the_covariance_of_the_linear_one(scale):
    data = mfx.load_dataset("sleepstudy")
    linear = mfx.lmer("Reaction ~ Days + (Days | Subject)", data, reml=False)
    general = mfx.glmer("Reaction ~ Days + (Days | Subject)", data, family="gaussian")
    expected, found = linear.cov_varpar(scale), general.cov_varpar(scale)
    assert list(found.index) == list(expected.index)
    if scale == "theta":  # relative to sigma there, absolute here
        expected, found = expected.iloc[-1:, -1:], found.iloc[-1:, -1:]
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-6)


def test_variance_parameters_of_counts():
    # glmmTMB, R: sqrt(diag(vcov(f, full = TRUE))) of theta_1|herd.1 (log sd), times the sd
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")
    se = float(np.sqrt(fit.cov_varpar().iloc[0, 0]))
    assert se == pytest.approx(SE_LOG_SD * fit.theta.iloc[0], rel=1e-4)
    variance = float(np.sqrt(fit.cov_varpar("variance").iloc[0, 0]))
    assert variance == pytest.approx(2.0 * fit.theta.iloc[0] * se, rel=1e-10)
    with pytest.raises(mfx.SpecificationError, match="scale is one of"):
        fit.cov_varpar("nope")
    flat = pd.DataFrame({"g": np.repeat(np.arange(8), 6), "y": np.tile([0, 1, 2, 1, 0, 3], 8)})
    assert mfx.glmer("y ~ 1 + (1 | g)", flat, family="poisson").cov_varpar().isna().all(axis=None)
