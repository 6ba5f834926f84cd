"""The search knows no statistics: functions whose minima are known."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der, rosen_hess

from mixedfx.optimize import equilibrium, minimize
from mixedfx.optimize.newton import LOPSIDED, PATIENCE

SKEWED = np.array([[3.0, 1.0], [1.0, 2.0]])
FREE = np.full(2, -np.inf), np.full(2, np.inf)


@dataclass
class Point:
    """A function at one place, with a curvature that may be wrong."""

    value: float
    gradient: np.ndarray
    curvature: np.ndarray
    curvature_is_exact: bool = True


def rosenbrock(x):
    return Point(float(rosen(x)), rosen_der(x), rosen_hess(x))


def bowl(x, centre=(1.0, -2.0)):
    d = x - np.asarray(centre)
    return Point(float(d @ d), 2 * d, 2 * np.eye(2))


def test_a_curved_valley_is_followed_to_its_end():
    found = minimize(rosenbrock, np.array([-1.2, 1.0]), *FREE)
    np.testing.assert_allclose(found.x, 1.0, atol=1e-6)
    assert found.converged
    assert not found.cut
    np.testing.assert_array_equal(found.path[0], [-1.2, 1.0])
    assert len(found.path) == found.iterations + 1


def test_the_minimum_within_bounds_lies_on_one():
    found = minimize(bowl, np.zeros(2), np.array([-np.inf, -1.0]), FREE[1])
    np.testing.assert_allclose(found.x, [1.0, -1.0])
    assert found.converged


def test_a_search_that_is_cut_says_so():
    for limit in ({"max_iter": 1}, {"max_evaluations": 2}):
        found = minimize(rosenbrock, np.array([-1.2, 1.0]), *FREE, **limit)
        assert found.cut
        assert not found.converged
        assert found.iterations == 1


def test_places_that_cannot_be_computed_are_stepped_back_from():
    def half_plane(x):
        if x[0] > 0.9:
            raise FloatingPointError("beyond")
        return bowl(x, (0.5, 0.0))

    far = Point(1.0, np.array([-2.0, 0.0]), np.eye(2))
    found = minimize(lambda x: far if x[0] == 0 else half_plane(x), np.zeros(2), *FREE)
    np.testing.assert_allclose(found.x, [0.5, 0.0])


@pytest.mark.parametrize("edge", [1e-3, 1e-6, 1e-9])
def test_a_wall_close_by_is_found_in_few_trials(edge):
    """Each trial beyond it may cost the whole of a fruitless search for the conditional mode."""
    tried = []

    def walled(x):
        tried.append(float(x[0]))
        if x[0] > edge:
            raise FloatingPointError("beyond")
        return Point(-float(x[0]), np.array([-1.0, 0.0]), np.eye(2))

    found = minimize(walled, np.zeros(2), *FREE, max_iter=1)
    assert found.iterations == 1
    assert 0 < found.x[0] <= edge
    assert len(tried) <= 10


def test_a_start_that_cannot_be_computed_is_an_error():
    def nowhere(x):
        raise FloatingPointError("nothing here")

    with pytest.raises(FloatingPointError, match="nothing here"):
        minimize(nowhere, np.zeros(2), *FREE)


def poorly_bent(x):
    """The right function with a curvature that knows nothing of the valley."""
    return Point(float(rosen(x)), rosen_der(x), np.diag([1e3, 2e2]), False)


def test_a_long_search_asks_for_the_hessian():
    asked = []

    def hessian(point):
        asked.append(point)
        return rosen_hess(next(x for x in places if rosen(x) == point.value))

    places = []

    def function(x):
        places.append(x)
        return poorly_bent(x)

    start = np.array([-1.2, 1.0])
    alone = minimize(function, start, *FREE, max_iter=60)
    assert not alone.converged
    places.clear()
    helped = minimize(function, start, *FREE, max_iter=60, hessian=hessian)
    assert helped.converged
    np.testing.assert_allclose(helped.x, 1.0, atol=1e-5)
    assert len(asked) == helped.iterations + 1 - PATIENCE


def test_a_hessian_that_is_not_finite_is_not_used():
    found = minimize(
        poorly_bent, np.array([0.5, 0.3]), *FREE, max_iter=20, hessian=lambda point: np.full((2, 2), np.nan)
    )
    assert np.isfinite(found.x).all()
    assert rosen(found.x) < rosen(np.array([0.5, 0.3]))


def skewed_bowl(x):
    """A quadratic function whose curvature is told wrongly."""
    d = x - np.array([1.0, -2.0])
    return Point(float(d @ SKEWED @ d), 2 * SKEWED @ d, np.diag([20.0, 20.0]), False)


def test_a_hessian_known_at_the_start_corrects_the_curvature():
    start = np.array([2.0, 2.0])
    known = minimize(skewed_bowl, start, *FREE, first_hessian=2 * SKEWED)
    assert known.iterations == 1
    np.testing.assert_allclose(known.x, [1.0, -2.0], rtol=1e-12)
    for nothing in (None, np.full((2, 2), np.nan)):
        other = minimize(skewed_bowl, start, *FREE, first_hessian=nothing)
        assert other.converged
        assert other.iterations > 1


def test_a_saddle_is_left():
    def saddle(x):
        value = x[0] ** 2 + (x[1] ** 2 - 1.0) ** 2
        hessian = np.diag([2.0, 12 * x[1] ** 2 - 4.0])
        return Point(float(value), np.array([2 * x[0], 4 * x[1] * (x[1] ** 2 - 1.0)]), hessian)

    found = minimize(saddle, np.array([1.0, 0.01]), *FREE)
    np.testing.assert_allclose(found.x, [0.0, 1.0], atol=1e-6)


def test_a_vanishing_curvature_beside_others_makes_nothing_flat():
    h = np.array([[2.0, 30.0, 0.0], [30.0, 1e-60, 0.0], [0.0, 0.0, 5.0]])
    scale = equilibrium(h)
    assert np.abs(h / np.outer(scale, scale)).max() <= LOPSIDED
    definite = np.array([[4.0, 1.0], [1.0, 9.0]])
    np.testing.assert_allclose(equilibrium(definite), [2.0, 3.0])
