"""Every covariance: derivatives against differences, matrices against their definition, bounds against singularity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import toeplitz

from mixedfx.covariance import COVARIANCES, covariance_for

KEYWORDS = sorted(COVARIANCES)
STRUCTURED = ["ar1", "cs", "hetar1", "homcs", "toep"]


@st.composite
def points(draw, keywords=KEYWORDS):
    """A covariance with a theta inside its bounds, zero standard deviations included."""
    covariance = covariance_for(draw(st.sampled_from(keywords)), draw(st.integers(1, 5)))
    unit = np.array(draw(st.lists(st.integers(-18, 18), min_size=covariance.n_theta, max_size=covariance.n_theta))) / 20
    lower, upper = covariance.lower(), covariance.upper()
    correlations = np.isfinite(upper)
    span = np.where(correlations, np.where(unit < 0, -lower, upper), 1.0)
    theta = np.where(correlations, unit * span, np.where(lower == 0, np.abs(unit) * 2, unit * 2))
    return covariance, theta


def differences(function, theta, step=1e-5):
    steps = step * np.eye(theta.size)
    return np.array([(function(theta + h) - function(theta - h)) / (2 * step) for h in steps])


@given(points())
def test_first_derivative_is_that_of_the_factor(point):
    covariance, theta = point
    expected = differences(covariance.factor, theta).reshape(-1, covariance.size, covariance.size)
    assert covariance.derivative(theta) == pytest.approx(expected, abs=2e-7)


@given(points())
def test_second_derivative_is_that_of_the_first(point):
    covariance, theta = point
    second = covariance.second_derivative(theta)
    expected = differences(covariance.derivative, theta).reshape(-1, covariance.n_theta, *(covariance.size,) * 2)
    found = np.zeros_like(expected) if second is None else second
    assert found == pytest.approx(expected, abs=1e-5, rel=1e-5)


@given(points())
def test_covariance_derivative_is_that_of_the_product(point):
    covariance, theta = point
    expected = differences(covariance.covariance, theta)
    assert covariance.covariance_derivative(theta) == pytest.approx(expected, abs=1e-7)


@given(points(), st.data())
def test_rescaling_multiplies_rows(point, data):
    covariance, theta = point
    scale = np.array(data.draw(st.lists(st.integers(1, 9), min_size=covariance.size, max_size=covariance.size))) / 3
    if not covariance.closed_under_scaling():
        scale[:] = scale[0]
    rescaled = covariance.factor(covariance.rescale(theta, scale))
    assert rescaled == pytest.approx(scale[:, None] * covariance.factor(theta), abs=1e-12)


def definition(keyword, size, theta):
    """The covariance written out entry by entry; for toep from plain correlations by lag."""
    heterogeneous = keyword in ("cs", "hetar1", "toep")
    sd = theta[:size] if heterogeneous else np.full(size, theta[0])
    parameters = theta[size:] if heterogeneous else theta[1:]
    lag = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    if keyword == "toep":
        correlation = toeplitz([1.0, *autocorrelations(parameters)])
    elif keyword in ("cs", "homcs"):
        correlation = np.where(lag == 0, 1.0, parameters[0] if size > 1 else 0.0)
    else:
        correlation = (parameters[0] if size > 1 else 0.0) ** lag
    return sd[:, None] * correlation * sd


def autocorrelations(partial):
    """Each lag from its partial autocorrelation by the regression on the columns between (no recursion)."""
    found = []
    for k, value in enumerate(partial):
        between = toeplitz([1.0, *found])[:k, :k]
        r = np.array(found[:k])
        weights = np.linalg.solve(between, r) if k else r
        found.append(float(weights @ r[::-1] + value * (1 - weights @ r)))
    return found


@given(points(STRUCTURED), st.sampled_from(["lower", "inside"]))
def test_covariance_is_its_definition(point, where):
    covariance, theta = point
    keyword = next(key for key in STRUCTURED if covariance_for(key, covariance.size) == covariance)
    factor = covariance.factor(theta)
    assert np.array_equal(factor, np.tril(factor))
    assert factor @ factor.T == pytest.approx(definition(keyword, covariance.size, theta), abs=1e-9)


@pytest.mark.parametrize("keyword", KEYWORDS)
@pytest.mark.parametrize("size", [1, 2, 4])
def test_start_is_the_identity_inside_the_bounds(keyword, size):
    covariance = covariance_for(keyword, size)
    theta = covariance.start()
    assert covariance.factor(theta).tolist() == np.eye(size).tolist()
    assert np.all((covariance.lower() <= theta) & (theta <= covariance.upper()))
    assert len(covariance.names) == covariance.n_theta == len(theta)


@pytest.mark.parametrize("keyword", KEYWORDS)
@pytest.mark.parametrize("end", ["lower", "upper"])
def test_everything_is_finite_at_the_bounds(keyword, end):
    covariance = covariance_for(keyword, 4)
    bound = getattr(covariance, end)()
    theta = np.where(np.isfinite(bound), bound, np.sign(bound) * 2.0)
    factor, second = covariance.factor(theta), covariance.second_derivative(theta)
    assert np.all(np.isfinite(factor))
    assert np.all(np.isfinite(covariance.derivative(theta)))
    assert second is None or np.all(np.isfinite(second))


@pytest.mark.parametrize("keyword", STRUCTURED)
def test_correlation_bounds_are_where_the_matrix_turns_singular(keyword):
    covariance = covariance_for(keyword, 4)
    rho = np.isfinite(covariance.upper())
    for bound in (covariance.lower(), covariance.upper()):
        theta = covariance.start()
        first = np.flatnonzero(rho)[:1]
        theta[first] = bound[first]
        eigenvalues = np.linalg.eigvalsh(covariance.covariance(theta))
        assert abs(eigenvalues[0]) < 1e-9
        theta[first] *= 0.99
        assert np.linalg.eigvalsh(covariance.covariance(theta))[0] > 1e-4


def test_toeplitz_has_a_standard_deviation_for_each_column_and_a_parameter_for_each_lag():
    assert covariance_for("toep", 3).labels(["a", "b", "c"]) == ("a", "b", "c", "partial.1", "partial.2")
