"""The joint likelihood at given parameters equals its definition, and its gradient the differences of its values."""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from mixedfx.models.errors_in_variables import ErrorsInVariablesModel
from tests.errors_in_variables import dense


def differences(function, x, step=1e-5):
    return np.array([(function(x + h) - function(x - h)) / (2 * step) for h in step * np.eye(x.size)])


def check_gradient(model, parameters, **options):
    _, gradient = model.objective(parameters, **options)
    numeric = differences(lambda p: model.objective(p, **options)[0], np.asarray(parameters, dtype=float))
    np.testing.assert_allclose(gradient, numeric, rtol=2e-5, atol=2e-5 * np.abs(numeric).max())


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    n, m = 60, 12
    g = np.arange(n) % m
    z, x = rng.normal(size=n), rng.normal(1, 2, size=n)
    v = 0.5 * x + rng.normal(size=n)
    s = rng.uniform(0.5, 1.5, size=n)
    frame = pd.DataFrame({"g": g, "z": z, "s": s})
    for name, truth, sd in (("w1", x, 1.0), ("w2", x, 1.0), ("w3", x, 1.0), ("v", v, s)):
        frame[name] = truth + sd * rng.normal(size=n)
    frame.loc[[1, 5, 9], "w2"] = np.nan
    frame.loc[[2, 5], "w3"] = np.nan
    u = rng.normal(0.0, 2.0, size=m) + 0.3 * rng.normal(size=m)
    frame["u1"], frame["u2"] = (u + 0.7 * rng.normal(size=m))[g], (u + 0.7 * rng.normal(size=m))[g]
    frame.loc[frame.g == 3, "u2"] = np.nan
    eta = 0.3 + 0.6 * x - 0.5 * z + 0.8 * rng.normal(size=m)[g]
    frame["y"] = eta + rng.normal(size=n)
    frame["t"] = (rng.uniform(size=n) < special.expit(eta)).astype(float)
    frame["c"] = rng.poisson(np.exp(0.3 * eta))
    return frame


def intercepts(data):
    return (data.g.to_numpy()[:, None] == np.arange(data.g.max() + 1)).astype(float)


def test_linear_with_replicates_missing_and_a_random_intercept(data):
    model = ErrorsInVariablesModel("y ~ me(w1, w2, w3) + z + (1 | g)", data)
    b, tau, s2e, gamma, s2x, s2u = np.array([0.2, 0.7, -0.4]), 0.9, 1.1, np.array([0.8, 0.3]), 3.0, 1.2
    n, Z = len(data), intercepts(data)
    X = np.column_stack([np.ones(n), np.zeros(n), data.z])
    expected = dense.linear(
        data.y, X, Z, tau**2 * np.eye(Z.shape[1]), b, s2e, [data[["w1", "w2", "w3"]].to_numpy()], [np.full(n, s2u)],
        [1], np.arange(n), np.column_stack([np.ones(n), data.z]), gamma[:, None], np.array([[s2x]]),
    )  # fmt: skip
    parameters = [*b, tau, np.log(s2e), *gamma, s2x, s2u]
    value, _ = model.objective(parameters)
    assert -0.5 * value == pytest.approx(expected, abs=1e-8)
    check_gradient(model, parameters)


def test_two_true_values_that_depend_on_each_other(data):
    model = ErrorsInVariablesModel("y ~ z + me(v, sd=s) + me(w1, w2) + (z | g)", data)
    b, T, s2e = np.array([0.1, -0.4, 0.5, 0.6]), np.array([[0.9, 0.0], [0.2, 0.5]]), 0.8
    gamma, S, s2u = np.array([[0.4, 0.9], [0.1, 0.2]]), np.array([[2.0, 1.1], [1.1, 3.0]]), 0.9
    n, m = len(data), data.g.max() + 1
    own = intercepts(data)
    Z = (own[:, :, None] * np.stack([np.ones(n), data.z], axis=1)[:, None]).reshape(n, -1)
    X = np.column_stack([np.ones(n), data.z, np.zeros((n, 2))])
    expected = dense.linear(
        data.y, X, Z, np.kron(np.eye(m), T @ T.T), b, s2e, [data[["v"]].to_numpy(), data[["w1", "w2"]].to_numpy()],
        [data.s.to_numpy() ** 2, np.full(n, s2u)], [2, 3], np.arange(n), np.column_stack([np.ones(n), data.z]), gamma,
        S,
    )  # fmt: skip
    parameters = [*b, 0.9, 0.2, 0.5, np.log(s2e), *gamma.T.ravel(), 2.0, 1.1, 3.0, s2u]
    value, _ = model.objective(parameters)
    assert -0.5 * value == pytest.approx(expected, abs=1e-8)
    check_gradient(model, parameters)


def test_a_group_has_one_true_value(data):
    model = ErrorsInVariablesModel("y ~ me(u1, u2) + z + (1 | g)", data)
    b, tau, s2e, s2x, s2u = np.array([0.2, 0.7, -0.4]), 0.9, 1.1, 2.5, 0.6
    gamma = np.array([0.3, 0.4])
    n, Z = len(data), intercepts(data)
    by_group = data.groupby("g")
    A = np.column_stack([np.ones(Z.shape[1]), by_group.z.mean()])
    X = np.column_stack([np.ones(n), np.zeros(n), data.z])
    expected = dense.linear(
        data.y, X, Z, tau**2 * np.eye(Z.shape[1]), b, s2e, [by_group[["u1", "u2"]].first().to_numpy()],
        [np.full(len(A), s2u)], [1], data.g.to_numpy(), A, gamma[:, None], np.array([[s2x]]),
    )  # fmt: skip
    parameters = [*b, tau, np.log(s2e), *gamma, s2x, s2u]
    value, _ = model.objective(parameters)
    assert -0.5 * value == pytest.approx(expected, abs=1e-8)
    check_gradient(model, parameters)


@pytest.mark.parametrize("family", ["binomial", "poisson"])
@pytest.mark.parametrize("grouped", [False, True])
def test_integrals_over_rows(data, family, grouped):
    y = data[{"binomial": "t", "poisson": "c"}[family]].to_numpy()
    name = {"binomial": "t", "poisson": "c"}[family]
    density = {
        "binomial": lambda eta: y * eta - np.logaddexp(0, eta),
        "poisson": lambda eta: stats.poisson.logpmf(y, np.exp(eta)),
    }[family]
    bars = " + (1 | g)" if grouped else ""
    model = ErrorsInVariablesModel(f"{name} ~ me(w1, w2, w3) + z{bars}", data, family=family)
    b, sd, gamma, s2x, s2u = np.array([0.2, 0.5, -0.4]), 0.7, np.array([0.8, 0.3]), 2.0, 1.2
    W, A = data[["w1", "w2", "w3"]].to_numpy(), np.column_stack([np.ones(len(data)), data.z])
    llf, mean, var = dense.measurements(W, np.full(len(data), s2u), A, gamma, s2x)
    groups = data.g.to_numpy() if grouped else None
    eta = b[0] + b[2] * data.z.to_numpy()
    expected = llf + dense.by_rows(density, eta, b[1], mean, var, groups, sd)
    parameters = [*b, *([sd] if grouped else []), *gamma, s2x, s2u]
    value, _ = model.objective(parameters, nagq=41 if grouped else 1)
    assert -0.5 * value == pytest.approx(expected, abs=1e-8)
    check_gradient(model, parameters, nagq=7 if grouped else 1)


def test_integrals_over_groups(data):
    y = data.t.to_numpy()
    model = ErrorsInVariablesModel("t ~ me(u1, u2) + z + (1 | g)", data, family="binomial")
    b, sd, gamma, s2x, s2u = np.array([0.2, 0.5, -0.4]), 0.7, np.array([0.8, 0.3]), 2.0, 0.6
    by_group = data.groupby("g")
    A = np.column_stack([np.ones(data.g.max() + 1), by_group.z.mean()])
    W = by_group[["u1", "u2"]].first().to_numpy()
    llf, mean, var = dense.measurements(W, np.full(len(A), s2u), A, gamma, s2x)

    def density(eta, own):
        return y[own] * eta - np.logaddexp(0, eta)

    expected = llf + dense.by_groups(density, b[0] + b[2] * data.z.to_numpy(), b[1], mean, var, data.g.to_numpy(), sd)
    parameters = [*b, sd, *gamma, s2x, s2u]
    value, _ = model.objective(parameters, nagq=25)
    assert -0.5 * value == pytest.approx(expected, abs=1e-8)
    check_gradient(model, parameters, nagq=5)
