"""What every problem and every evaluation of its criterion promise, whichever kind they are."""

import numpy as np
import pytest

import mixedfx as mfx
from mixedfx.fitting.integrators import integrator

pytestmark = pytest.mark.filterwarnings("ignore:singular fit")  # the herds hardly differ beside their dispersion

SLEEP, HERDS = mfx.load_dataset("sleepstudy"), mfx.load_dataset("cbpp")
HERD_FORMULA = "cbind(incidence, size - incidence) ~ period + (1 | herd)"


def linear(**options):
    return mfx.lmer("Reaction ~ Days + (Days | Subject)", SLEEP, **options).solution.problem


def counts(family="binomial"):
    return mfx.glmer(HERD_FORMULA, HERDS, family=family).solution.problem


PROBLEMS = {
    "plain": linear,
    "residual structure": lambda: linear(residual=mfx.AR1("Days", group="Subject")),
    "binomial": counts,
    "dispersion": lambda: counts("beta_binomial"),
}


@pytest.fixture(params=PROBLEMS, scope="module")
def problem(request):
    return PROBLEMS[request.param]()


def at_random(problem, seed=1):
    """Parameters between the bounds, standard deviations positive."""
    lower, upper = problem.bounds
    x = np.random.default_rng(seed).uniform(0.2, 0.6, lower.size)
    return np.clip(x, lower + 1e-3, upper - 1e-3)


def test_scales_are_each_others_inverse(problem):
    x = at_random(problem)
    np.testing.assert_allclose(problem.to_inner(problem.to_user(x)), x, rtol=1e-10)


def test_an_evaluation_knows_its_parameters_and_its_exact_gradient(problem):
    x = at_random(problem)
    at = problem.evaluate(x)
    np.testing.assert_array_equal(at.x, x)
    np.testing.assert_array_equal(at.theta, x[problem.theta_slice])
    steps = 1e-5 * np.eye(x.size)
    numeric = [(problem.evaluate(x + h).value - problem.evaluate(x - h).value) / 2e-5 for h in steps]
    np.testing.assert_allclose(at.gradient, numeric, rtol=1e-5, atol=1e-5)
    assert at.curvature.shape == (x.size, x.size)


def test_theta_moves_the_criterion_through_the_covariances_alone(problem):
    at, model = problem.evaluate(at_random(problem)), problem.covariance
    derivatives = model.covariance_derivatives(at.theta, model.factors(at.theta))
    through = model.gradient(derivatives, at.covariance_gradient)
    np.testing.assert_allclose(at.gradient[problem.theta_slice], through, rtol=1e-10)


def test_the_same_response_and_the_same_design_make_the_same_problem(problem):
    x = at_random(problem)
    value = problem.evaluate(x).value
    for again in (problem.with_response(problem.design.response.values), problem.with_design(problem.design)):
        assert again.evaluate(x).value == pytest.approx(value, rel=1e-12)


def test_only_nodes_have_moments():
    problem = counts()
    x, matrix = at_random(problem), np.eye(1)
    assert problem.evaluate(x).moments(matrix) is None
    moments = problem.evaluate(x, integrator(problem, 25)).moments(matrix)
    assert moments.mean.shape == moments.sd.shape == (1, 15)
    assert np.all(moments.sd > 0)


def test_the_jacobian_is_the_derivative_of_the_map(problem):
    x = at_random(problem)
    for basis, slot in zip(problem.terms, problem.covariance.terms, strict=True):
        theta = x[problem.theta_slice][slot.theta]
        numeric = [(basis.to_user(theta + h) - basis.to_user(theta - h)) / 2e-6 for h in 1e-6 * np.eye(theta.size)]
        np.testing.assert_allclose(basis.jacobian_to_user(theta), np.array(numeric).T, rtol=1e-7, atol=1e-7)
