"""Standard errors of predictions against Henderson's prediction error covariance in full."""

import numpy as np
import pytest
from hypothesis import given

import mixedfx as mfx
from tests import dense
from tests.strategies import designs


@given(design=designs())
@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
def test_standard_errors_are_those_of_the_joint_covariance(design):
    try:
        fit = mfx.lmer(design.formula, design.frame, weights=design.weights)
    except mfx.DataError:
        return  # too many levels for the rows
    model = design.dense()
    factors, at = [], 0
    for term in model.terms:
        size = term.q * (term.q + 1) // 2
        T = np.zeros((term.q, term.q))
        columns, rows = np.triu_indices(term.q)
        T[rows, columns] = fit.theta.to_numpy()[at : at + size]
        factors.append(T)
        at += size
    joint = dense.joint_covariance(model, factors, fit.scale)
    rows = np.hstack([model.X, *(term.Z for term in model.terms)])
    expected = np.sqrt(np.einsum("ij,jk,ik->i", rows, joint, rows))
    found = fit.get_prediction().se_mean.to_numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8 * fit.sigma)
    again = fit.get_prediction(design.frame).se_mean.to_numpy()
    np.testing.assert_allclose(again, found, rtol=1e-10)


def test_new_groups_and_observations():
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    new = {"Days": [0.0, 3.0], "Subject": ["none", "none"]}
    prediction = fit.get_prediction(new, new_levels="population")
    x = np.array([[1, 0], [1, 3]])
    se = np.sqrt(np.einsum("ij,jk,ik->i", x, fit.cov_params().to_numpy(), x))
    np.testing.assert_allclose(prediction.se_mean, se, rtol=1e-10)
    between = np.einsum("ij,jk,ik->i", x, fit.varcorr.covariances["Subject"].to_numpy(), x)
    np.testing.assert_allclose(prediction.var_obs, between + fit.scale, rtol=1e-10)
    population = fit.get_prediction({"Days": [0.0]}, random=False)
    assert population.df[0] == pytest.approx(fit.df["Intercept"])
    np.testing.assert_allclose(population.conf_int().iloc[0], fit.conf_int().loc["Intercept"])
    assert list(prediction.summary_frame().columns) == [
        "mean",
        "mean_se",
        "mean_ci_lower",
        "mean_ci_upper",
        "obs_ci_lower",
        "obs_ci_upper",
    ]
