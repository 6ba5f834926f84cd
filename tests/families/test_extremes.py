"""Nothing warns, nothing is NaN, whatever the linear predictor, the dispersion and the response."""

import numpy as np
import pytest

from mixedfx.families import Ordinal, family_for
from tests.families.catalogue import CASES

ETA = np.array([-1e3, -300.0, -40.0, -1e-8, 0.0, 1e-8, 40.0, 300.0, 1e3])
UNBOUNDED = (-700.0, -300.0, -30.0, 0.0, 30.0, 300.0, 700.0)


def responses(case):
    if case.name == "ordinal":
        return (1.0, 2.0, 3.0, 4.0)
    family = case.family
    if family.proportions:
        return (0.0, 0.5, 1.0)
    if family.mean_range == "unit":
        return (1e-300, 0.5, 1 - 1e-16)
    if family.mean_range == "real":
        return (-1e8, 0.0, 1e8)
    if family.support.atoms == "integers":
        return (1.0, 5.0, 1e6) if case.name.startswith("truncated") else (0.0, 1.0, 5.0, 1e6)
    return (0.0, 1e-8, 1.0, 1e4) if case.name == "tweedie" else (1e-300, 1e-8, 1.0, 1e8, 1e300)


def parameters(case, value):
    if isinstance(case.family, Ordinal):
        return np.array([np.clip(value, -50, 50), 0.1, -3.0])
    phi = np.full(len(case.family.phi_names), value)
    if case.name == "tweedie":
        phi = np.clip(phi, -10, 10) * [1.0, 0.3]
    return phi


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_result_is_a_number(case):
    family, rng = case.family, np.random.default_rng(0)
    y = responses(case)
    means, y = np.tile(ETA, len(y)), np.repeat(y, ETA.size)
    others = [np.tile(rng.choice(ETA, ETA.size), y.size // ETA.size) for _ in family.predictors[1:]]
    eta = np.column_stack([means, *others]) if others else means
    trials = np.full(y.size, 2.0 if family.proportions else 1.0)
    observed = family.observe(y, trials=trials)
    for value in UNBOUNDED if family.phi_names else (0.0,):
        phi = parameters(case, value)
        log_density, *slopes = family.derivatives(observed, eta, phi)
        assert not np.isnan(log_density).any()
        assert np.all(log_density < np.inf)
        in_phi = family.phi_derivatives(observed, eta, phi)
        inner = family.mean_derivatives(observed, eta, phi, order=3)
        assert all(np.isfinite(array).all() for array in (*slopes, *in_phi, *inner[1:]))
        weights = family.expected_weights(observed, eta, phi)
        assert np.all(np.isfinite(weights) & (weights >= 0))
        deviance = family.unit_deviance(observed, eta, phi)
        assert np.all(deviance >= 0)
        lower, upper = family.cdf_limits(observed, eta, phi)
        assert np.all((lower >= 0) & (lower <= upper) & (upper <= 1))
        family.simulate(rng, eta, phi, trials=trials)
        family.variance(eta, phi, trials=trials)


@pytest.mark.parametrize(
    ("name", "link", "outside", "inside"),
    [
        ("poisson", "identity", -0.1, 0.1),
        ("nbinom2", "identity", 0.0, 1.0),
        ("gamma", "inverse", -2.0, 2.0),
        ("inverse_gaussian", "inverse_squared", 0.0, 2.0),
        ("binomial", "log", 0.1, -0.1),
        ("binomial", "identity", 1.2, 0.9),
        ("beta", "identity", -0.1, 0.1),
        ("zero_inflated_poisson", "identity", -0.1, 0.1),
    ],
)
def test_a_link_that_leaves_the_range_is_rejected(name, link, outside, inside):
    family = family_for(name, link)
    observed = family.observe([0.5 if name == "beta" else 1.0])
    phi = np.zeros(len(family.phi_names))

    def at(value):
        return np.array([value]) if len(family.predictors) == 1 else np.array([[value, 0.0]])

    log_density, *slopes = family.derivatives(observed, at(outside), phi)
    assert log_density == [-np.inf]
    assert not any(np.any(array) for array in slopes)
    assert family.mean_derivatives(observed, at(outside), phi)[0] == [-np.inf]
    assert family.expected_weights(observed, at(outside), phi) == [0.0]
    assert not any(np.any(array) for array in family.phi_derivatives(observed, at(outside), phi))
    assert np.isnan(family.mean(at(outside), phi))
    assert np.isfinite(family.loglik(observed, at(inside), phi))


@pytest.mark.parametrize(("link", "far"), [("logit", 800.0), ("probit", 800.0), ("cloglog", 150.0), ("cauchit", 1e6)])
def test_a_certain_outcome_costs_nothing_and_a_wrong_one_what_it_should(link, far):
    family = family_for("binomial", link)
    right, wrong = family.observe([1.0, 0.0]), family.observe([0.0, 1.0])
    eta = np.array([far, -far])
    assert family.loglik(right, eta) == pytest.approx([0.0, 0.0], abs=1e-6)
    expected = {
        "logit": [-800.0, -800.0],
        "probit": [-(far**2) / 2 - np.log(far * np.sqrt(2 * np.pi))] * 2,
        "cloglog": [-np.exp(150.0), -150.0],
        "cauchit": [-np.log(np.pi * 1e6)] * 2,
    }[link]
    assert family.loglik(wrong, eta) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("size", [30.0, 190.0, 230.0, 600.0, 2000.0])
@pytest.mark.parametrize("name", ["nbinom2", "nbinom1"])
def test_negative_binomials_become_poisson(name, size):
    eta, y = np.array([-2.0, 0.5, 4.0]), [0.0, 3.0, 60.0]
    family, limit = family_for(name), family_for("poisson")
    log_dispersion = size if name == "nbinom2" else -size
    ours = family.derivatives(family.observe(y), eta, [log_dispersion])
    for left, right in zip(ours, limit.derivatives(limit.observe(y), eta), strict=True):
        assert left == pytest.approx(right, rel=1e-10)
    both = family.with_predictors("dispersion")
    jointly = both.derivatives(both.observe(y), np.column_stack([eta, np.full(3, log_dispersion)]), order=2)
    assert jointly[0] == pytest.approx(ours[0], rel=1e-10)
    assert jointly[1] == pytest.approx(np.column_stack([ours[1], np.zeros(3)]), rel=1e-10, abs=1e-9)


@pytest.mark.parametrize("name", ["poisson", "nbinom2", "gamma"])
def test_the_square_root_link_is_even(name):
    family = family_for(name, "sqrt")
    phi = np.full(len(family.phi_names), 0.3)
    observed = family.observe([2.0, 1.0, 7.0])
    eta = np.array([0.4, 1.7, 2.2])
    left, right = family.derivatives(observed, -eta, phi), family.derivatives(observed, eta, phi)
    for order, sign in enumerate((1, -1, 1, -1)):
        assert left[order] == pytest.approx(sign * right[order], rel=1e-13)


def test_a_square_root_of_zero():
    family = family_for("poisson", "sqrt")
    log_density, slope, curvature, _ = family.derivatives(family.observe([0.0]), np.zeros(1))
    assert (log_density[0], slope[0], curvature[0]) == (0.0, 0.0, -2.0)


def test_other_limits():
    eta, y = np.array([-1.0, 0.2, 1.4]), [-2.0, 0.3, 1.0]
    student, gaussian = family_for("student_t"), family_for("gaussian")
    ours = student.derivatives(student.observe(y), eta, [0.7, 35.0])
    for left, right in zip(ours, gaussian.derivatives(gaussian.observe(y), eta, [0.7]), strict=True):
        assert left == pytest.approx(right, rel=1e-10, abs=1e-10)
    beta_binomial, binomial = family_for("beta_binomial"), family_for("binomial")
    shares, trials = [0.0, 0.5, 1.0], [4.0, 8.0, 3.0]
    ours = beta_binomial.derivatives(beta_binomial.observe(shares, trials=trials), eta, [33.0])
    for left, right in zip(ours, binomial.derivatives(binomial.observe(shares, trials=trials), eta), strict=True):
        assert left == pytest.approx(right, rel=1e-9, abs=1e-9)
