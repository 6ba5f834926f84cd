"""The dense definitions themselves, against lme4's and pbkrtest's published numbers and against laws."""

import numpy as np
import pytest
from hypothesis import given

from tests import dense, dense_glmm
from tests.differences import derivative, elementwise, gradient, hessian
from tests.strategies import designs_with_theta


def test_differences_are_accurate_to_ten_digits():
    at = np.array([0.3, 1.7])

    def function(x):
        return float(np.exp(x[0]) * np.sin(x[1]) + x[0] ** 3)

    e, s, c = np.exp(0.3), np.sin(1.7), np.cos(1.7)
    assert derivative(np.exp, 0.3) == pytest.approx(e, rel=1e-11)
    assert gradient(function, at) == pytest.approx([e * s + 3 * 0.09, e * c], rel=1e-10)
    assert hessian(function, at) == pytest.approx(np.array([[e * s + 1.8, e * c], [e * c, -e * s]]), rel=1e-8)
    first, second = elementwise(np.exp, np.array([0.3, -2.0]))
    assert first == pytest.approx(np.exp([0.3, -2.0]), rel=1e-11)
    assert second == pytest.approx(np.exp([0.3, -2.0]), rel=1e-9)


@given(designs_with_theta())
def test_henderson_equations_agree_with_the_marginal_model(case):
    design, theta = case
    model = design.dense()
    factors = dense.unstructured(model, theta)
    fit = dense.estimate(model, factors)
    ZL = np.hstack([t.Z @ np.kron(np.eye(t.n_levels), T) for t, T in zip(model.terms, factors)])
    q = ZL.shape[1]
    A = np.hstack([ZL, model.X])
    J = A.T * model.w @ A + np.diag(np.repeat([1.0, 0.0], [q, model.X.shape[1]]))
    solution = np.linalg.solve(J, A.T @ (model.w * model.y))
    assert solution[q:] == pytest.approx(fit.beta, abs=1e-8)
    assert ZL @ solution[:q] + model.X @ solution[q:] == pytest.approx(fit.fitted, abs=1e-8)
    assert fit.sigma2 * np.linalg.inv(J)[q:, q:] == pytest.approx(fit.vcov, rel=1e-7, abs=1e-9)
    joint = dense.joint_covariance(model, factors, fit.sigma2)
    assert joint[: len(fit.beta), : len(fit.beta)] == pytest.approx(fit.vcov, rel=1e-7, abs=1e-9)


@given(designs_with_theta())
def test_log_determinant_lemma(case):
    design, theta = case
    model = design.dense(reml=False)
    factors = dense.unstructured(model, theta)
    ZL = np.hstack([t.Z @ np.kron(np.eye(t.n_levels), T) for t, T in zip(model.terms, factors)])
    M = ZL.T * model.w @ ZL + np.eye(ZL.shape[1])
    fit = dense.estimate(model, factors)
    n = len(model.y)
    value = np.linalg.slogdet(M)[1] - np.log(model.w).sum() + n * (1 + np.log(2 * np.pi * fit.sigma2))
    assert dense.criterion(model, factors) == pytest.approx(value, rel=1e-10)


def test_laplace_of_a_gaussian_model_is_exact():
    rng = np.random.default_rng(3)
    term = dense.DenseTerm(np.arange(24) % 6, np.ones((24, 1)), 6)
    y, X = rng.standard_normal(24), np.column_stack([np.ones(24), rng.standard_normal(24)])
    beta, sd, sigma = np.array([0.2, -0.4]), 0.7, 1.3
    V = sigma**2 * np.eye(24) + sd**2 * term.Z @ term.Z.T
    residual = y - X @ beta
    exact = -0.5 * (np.linalg.slogdet(2 * np.pi * V)[1] + residual @ np.linalg.solve(V, residual))
    model = dense_glmm.DenseGLMM(y, X, (term,), dense_glmm.density("gaussian", "identity", dispersion=sigma))
    factors = [np.array([[sd]])]
    assert dense_glmm.laplace(model, beta, factors) == pytest.approx(exact, abs=1e-9)
    assert dense_glmm.adaptive_quadrature(model, beta, factors, 3) == pytest.approx(exact, abs=1e-9)
    assert dense_glmm.exact(model, beta, factors) == pytest.approx(exact, abs=1e-9)


def test_quadrature_converges_to_the_integral():
    rng = np.random.default_rng(4)
    term = dense.DenseTerm(np.arange(30) % 5, np.ones((30, 1)), 5)
    y, X = rng.poisson(1.5, 30).astype(float), np.ones((30, 1))
    model = dense_glmm.DenseGLMM(y, X, (term,), dense_glmm.density("poisson", "log"))
    arguments = (model, np.array([0.3]), [np.array([[0.9]])])
    exact = dense_glmm.exact(*arguments)
    assert dense_glmm.adaptive_quadrature(*arguments, 1) == pytest.approx(dense_glmm.laplace(*arguments), abs=1e-9)
    assert dense_glmm.adaptive_quadrature(*arguments, 31) == pytest.approx(exact, abs=1e-9)
