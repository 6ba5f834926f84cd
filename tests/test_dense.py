"""The dense definitions themselves, against lme4's and pbkrtest's published numbers and against laws."""

import numpy as np
import pytest
from formulaic import model_matrix
from hypothesis import given

from tests import dense, dense_glmm
from tests.differences import derivative, elementwise, gradient, hessian
from tests.reference.cases import load_cases
from tests.strategies import TermSpec, dense_term, designs_with_theta


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


def _corpus(name, columns, group):
    """A case of the corpus with its model matrix from plain columns."""
    case = next(case for case in load_cases() if case.name == name)
    frame = case.frame
    term = TermSpec(("1",), group) if len(columns) > 2 else TermSpec(("1", *columns[1:]), group)
    X = model_matrix(" + ".join(columns), frame).to_numpy()
    response = case["formula"].partition("~")[0].strip()
    return case, dense.DenseModel(frame[response].to_numpy(dtype=float), X, (dense_term(frame, term),))


@pytest.mark.parametrize("name", ["sleepstudy_slope_reml", "sleepstudy_slope_ml"])
def test_criterion_and_satterthwaite_are_those_of_lme4_and_lmertest(name):
    case, model = _corpus(name, ["1", "Days"], ("Subject",))
    model = model if case["REML"] else model.ml()
    for point in case["objective_at"]:
        factors = dense.unstructured(model, np.array(point["theta"]))
        assert dense.criterion(model, factors) == pytest.approx(point["value"], abs=1e-8)
    theta, sigma = np.array(case["theta"]), case["sigma"]
    fit = dense.estimate(model, dense.unstructured(model, theta))
    assert fit.modes[0][0] == pytest.approx(np.array(case["ranef"]["Subject"]["values"][0]), rel=1e-6)
    assert fit.mode_covariance[0][0] == pytest.approx(np.array(case["ranef"]["Subject"]["cond_var_first"]), rel=1e-6)
    df = dense.satterthwaite_df(model, lambda t: dense.unstructured(model, t), theta, sigma, np.array([[0.0, 1.0]]))
    assert df == pytest.approx(case["fixef"]["Days"]["df_satterthwaite"], rel=1e-6)
    V = dense.varpar_covariance(model, lambda t: dense.unstructured(model, t), theta, sigma)
    assert pytest.approx(np.array(case["vcov_varpar"]["matrix"]), rel=1e-4) == V


def test_kenward_roger_is_that_of_pbkrtest():
    case, model = _corpus("beets_sugpct_reml", ["1", "block", "sow", "harvest"], ("block", "harvest"))
    factors = dense.unstructured(model, np.array(case["theta"]))
    sigma2 = case["sigma"] ** 2
    kr = dense.kenward_roger(model, factors, sigma2)
    assert kr.adjusted == pytest.approx(np.array(case["vcov_kr"]["matrix"]), rel=1e-6)
    hypotheses = {"sow": np.eye(8)[3:7], "harvest": np.eye(8)[7:]}
    for name, L in hypotheses.items():
        F, df, scaling = kr.f_test(L)
        theirs = case["kr_modcomp"][name]
        assert [F, df, scaling] == pytest.approx([theirs["F"], theirs["den_df"], theirs["F_scaling"]], rel=1e-4)
        F, df = dense.satterthwaite_f(
            model, lambda t: dense.unstructured(model, t), np.array(case["theta"]), case["sigma"], L
        )
        theirs = case["anova"]["type3_satterthwaite"][name]
        assert [F, df] == pytest.approx([theirs["F"], theirs["den_df"]], rel=1e-4)
