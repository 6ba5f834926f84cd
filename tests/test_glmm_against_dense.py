"""The Laplace deviance and its standard errors against the dense definition, at lme4's points and at the optimum.

lme4 takes the determinant with the weights of its last-but-one iteration, and so is off by up to 1e-5 in places; the
dense definition says what is right.
"""

import numpy as np
import pytest

from tests import dense, dense_glmm
from tests.differences import hessian
from tests.reference import translate
from tests.reference.cases import load_cases
from tests.reference.compare import fixed_names
from tests.reference.translate import theta_blocks

CASES = {case.name: case for case in load_cases()}
ONE_FACTOR = ["grouseticks_simple", "salamanders_poisson", "owls_poisson_offset", "contraception_intercept"]
SEVERAL = ["grouseticks_poisson"]


def _dense(case, fit):
    """The model of a Poisson or Bernoulli case with random intercepts."""
    frame = case.frame
    groups = [term.group for term in fit.model.design.random]
    codes = [frame[group].cat.codes.to_numpy() for group in groups]
    terms = tuple(dense.DenseTerm(c, np.ones((len(frame), 1)), int(c.max()) + 1) for c in codes)
    offset = frame["logBroodSize"].to_numpy() if "offset" in case["formula"] else 0.0
    density = dense_glmm.density(case["family"], case["link"])
    y = np.asarray(fit.model.endog, dtype=float)
    return dense_glmm.DenseGLMM(y, np.asarray(fit.model.exog), terms, density, offset)


def _deviance(model, beta, theta):
    return -2 * dense_glmm.laplace(model, beta, [np.array([[value]]) for value in theta])


@pytest.mark.parametrize("name", ONE_FACTOR + SEVERAL)
def test_deviance_at_lme4s_points(name):
    case = CASES[name]
    fit = translate.fit(case).fit
    model, names = _dense(case, fit), list(fixed_names(case, fit).values())
    order = [names.index(name) for name in fit.params.index]
    for point in case["objective_at"]:
        beta = np.array(point["beta"])[order]
        theta = np.concatenate([point["theta"][start : start + size] for start, size in theta_blocks(case)])
        value = fit.model.objective(np.concatenate([beta, theta]))[0]
        assert value == pytest.approx(_deviance(model, beta, theta), abs=1e-8)


QUICK = {"grouseticks_simple", "owls_poisson_offset"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in ONE_FACTOR]
)
def test_standard_errors_are_of_the_whole_hessian(name):
    case = CASES[name]
    fit = translate.fit(case).fit
    model = _dense(case, fit)
    at, scale = np.append(fit.params, fit.theta), np.append(fit.bse, 0.1)
    p = len(fit.params)

    def deviance(shift):
        moved = at + shift * scale
        return _deviance(model, moved[:p], moved[p:])

    covariance = 2 * np.linalg.inv(hessian(deviance, np.zeros(p + 1), step=0.3)) * np.outer(scale, scale)
    assert np.asarray(fit.bse) == pytest.approx(np.sqrt(np.diag(covariance))[:p], rel=1e-5)
