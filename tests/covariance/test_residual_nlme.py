"""Generalised least squares by whitening at nlme's estimates: nlme's log-likelihood, and no better one nearby."""

import numpy as np
import pytest

from mixedfx.covariance.residual import AR1, CompoundSymmetry, Unstructured
from tests.reference.cases import load_cases

CASES = {
    "gls_orthodont_cs": CompoundSymmetry("Subject"),
    "gls_orthodont_symm": Unstructured("age", group="Subject"),
    "gls_simar1_ar1_ml": AR1("t", group="g"),
}


def design(case):
    frame = case.frame
    if case["formula"] == "y ~ x":
        return np.column_stack([np.ones(len(frame)), frame["x"], frame["y"]])
    female = (frame["Sex"] == "Female").to_numpy(dtype=float)
    age = frame["age"].to_numpy(dtype=float)
    return np.column_stack([np.ones(len(frame)), age, female, age * female, frame["distance"]])


def log_likelihood(bound, rho, XY, reml):
    """The profiled log-likelihood of a linear model, from a QR decomposition of the whitened rows."""
    n, p = XY.shape[0], XY.shape[1] - 1
    R = np.linalg.qr(bound.whiten(rho, XY), mode="r")
    nu = n - p if reml else n
    deviance = bound.logdet(rho) + nu * (1 + np.log(2 * np.pi * R[-1, -1] ** 2 / nu))
    return -0.5 * (deviance + (2 * np.log(np.abs(np.diag(R)[:-1])).sum() if reml else 0.0))


def nlme_estimate(case, bound):
    """The parameters rho of nlme's natural ones, which it orders column by column."""
    ratios = list(case.get("variance_parameters", {}).values())
    correlations = list(case["correlation_parameters"].values())
    if len(correlations) == 1:
        return np.array([bound.parameters.map.scales[0].real(correlations[0])])
    C = np.eye(4)
    C[np.triu_indices(4, 1)] = correlations
    L = np.linalg.cholesky(C + C.T - np.eye(4))
    return np.concatenate([np.log(ratios), (L / np.diag(L)[:, None])[np.tril_indices(4, -1)]])


@pytest.mark.parametrize("case", [case for case in load_cases() if case.name in CASES], ids=lambda case: case.name)
def test_log_likelihood_and_optimum_are_nlmes(case):
    bound = CASES[case.name].bind(case.frame)
    rho, XY = nlme_estimate(case, bound), design(case)
    best = log_likelihood(bound, rho, XY, case["REML"])
    assert best == pytest.approx(case["loglik"], abs=1e-7)
    for step in 1e-3 * np.eye(bound.n_rho):
        assert log_likelihood(bound, rho + step, XY, case["REML"]) < best
        assert log_likelihood(bound, rho - step, XY, case["REML"]) < best
