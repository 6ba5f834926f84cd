"""Where R's number is the rough one: an independent computation sides with ours to the tolerance that R misses.

Models with one Poisson intercept a group are written down from the definition: Newton's method for every mode, the
determinant at the mode itself, the Hessian by differences of second order with Richardson's extrapolation.
"""

import numpy as np
import pytest
from scipy import special

import mixedfx as mfx
from tests.differences import hessian
from tests.reference import translate
from tests.reference.cases import HERE, load_cases
from tests.reference.measures import ROUGH
from tests.reference.suites import SUITES

CASES = {case.name: case for case in load_cases()}
POISSON = ("grouseticks_simple", "owls_poisson_offset")


def laplace(fit, values):
    """Minus twice the Laplace log-likelihood at ``(beta, sd)``."""
    design = fit.model.design
    y, g = design.response.values, design.random[0].codes
    eta0 = design.fixed.matrix @ values[:-1] + (0.0 if design.offset is None else design.offset)
    sd, u = values[-1], np.zeros(g.max() + 1)
    for _ in range(60):
        mean = np.exp(eta0 + sd * u[g])
        curvature = 1.0 + sd**2 * np.bincount(g, mean)
        u = u + (sd * np.bincount(g, y - mean) - u) / curvature
    eta = eta0 + sd * u[g]
    mean = np.exp(eta)
    rows = y * eta - mean - special.gammaln(y + 1.0)
    return -2.0 * rows.sum() + u @ u + np.log(1.0 + sd**2 * np.bincount(g, mean)).sum()


@pytest.mark.parametrize("name", POISSON)
def test_the_deviance_is_ours(name):
    case = CASES[name]
    fit = translate.fit(case).fit
    for point in case["objective_at"]:
        beta = np.asarray(point["beta"])
        values = np.append(beta, point["theta"])
        assert fit.model.objective(values)[0] == pytest.approx(laplace(fit, values), abs=1e-8)


@pytest.mark.parametrize("name", POISSON)
def test_the_covariance_is_ours(name):
    fit = translate.fit(CASES[name]).fit
    at = np.append(fit.params.to_numpy(), fit.theta.to_numpy())
    expected = 2.0 * np.linalg.inv(hessian(lambda v: laplace(fit, v), at, step=1e-2))[:-1, :-1]
    error = (fit.cov_params().to_numpy() - expected) / np.outer(fit.bse, fit.bse)
    assert np.abs(error).max() < 2e-5


def test_gaussian_errors_of_glmmtmb_come_from_the_joint_hessian():
    case = CASES["tmb_simar1"]
    fit = mfx.glmer(translate.formula_of(case), case.frame, family="gaussian")
    theirs = [row["std_error"] for row in case["fixef"].values()]
    np.testing.assert_allclose(fit.bse, theirs, rtol=1e-4)


def test_every_rough_case_exists_and_is_compared():
    compared = {case.name for suite in SUITES for case in load_cases(HERE) if suite.applies(case)}
    assert {name for names in ROUGH.values() for name in names} <= compared
