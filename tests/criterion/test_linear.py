"""The fast criterion, its gradient and Hessians, against the dense definition."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from mixedfx.covariance import UnstructuredCovariance
from mixedfx.criterion.assembly import TermRows, assemble
from mixedfx.criterion.linear import LinearCriterion
from mixedfx.linalg import elimination
from mixedfx.linalg import layout as layout_module
from mixedfx.linalg.gram import cross_products
from mixedfx.linalg.small import diagonal_blocks
from tests import dense
from tests.differences import jacobian
from tests.strategies import designs


def fast(design, reml=True):
    model = design.dense(reml=reml)
    terms = [
        TermRows(
            spec.group, term.codes, term.n_levels, np.ascontiguousarray(term.matrix.T), UnstructuredCovariance(term.q)
        )
        for spec, term in zip(design.terms, model.terms, strict=True)
    ]
    assembly = assemble(terms, np.column_stack([model.X, model.y]))
    gram = cross_products(assembly.rows, model.weights)
    constant = 0.0 if model.weights is None else -np.log(model.weights).sum()
    return model, assembly, LinearCriterion(gram, assembly.covariance, len(model.y), reml, constant)


def theta_for(design, seed):
    rng = np.random.default_rng(seed)
    return np.concatenate([unstructured_theta(len(t.columns), rng) for t in design.terms])


def unstructured_theta(q, rng):
    T = np.tril(rng.normal(size=(q, q)) * 0.5)
    T[np.diag_indices(q)] = rng.uniform(0.1, 1.5, q)
    columns, rows = np.triu_indices(q)
    return T[rows, columns]


@pytest.fixture(params=["dense", "sparse", "inner sparse", "sparse remainder"])
def storage(request, monkeypatch):
    """All storages of the cross blocks and of the remainder, whatever the size would choose."""
    dense_from = {"dense": 0, "inner sparse": 1}.get(request.param, np.inf)
    monkeypatch.setattr(layout_module, "_prefers_dense", lambda layout, f: f >= dense_from)
    if request.param == "sparse remainder":
        monkeypatch.setattr(layout_module, "SPARSE_COLUMNS", 0)
        monkeypatch.setattr(layout_module, "SPARSE_FILL", 2.0)
        monkeypatch.setattr(layout_module, "_is_cheaper", lambda plan: True)
        monkeypatch.setattr(elimination, "_pays", lambda graph, chosen, n: chosen.size > 0 and n > 2)


EACH_STORAGE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("reml", [True, False])
@given(design=designs())
@EACH_STORAGE
def test_value_gradient_and_hessians(storage, design, reml):
    model, _, criterion = fast(design, reml)
    theta = theta_for(design, 1)
    at = criterion(theta)
    assert at.value == pytest.approx(dense.criterion(model, dense.unstructured(model, theta)), rel=1e-10, abs=1e-8)

    def value_and_gradient(t):
        there = criterion(t)
        return np.append(there.value, there.gradient)

    expected, *exact = jacobian(value_and_gradient, theta)
    np.testing.assert_allclose(at.gradient, expected, rtol=1e-6, atol=1e-7 * (1 + np.abs(expected).max()))
    np.testing.assert_allclose(at.hessian, exact, rtol=1e-6, atol=1e-6 * (1 + np.abs(exact).max()))


@given(design=designs())
@EACH_STORAGE
def test_estimates(storage, design):
    model, assembly, criterion = fast(design)
    theta = theta_for(design, 2)
    factors = dense.unstructured(model, theta)
    at, right = criterion(theta), dense.estimate(model, factors)
    np.testing.assert_allclose(at.beta, right.beta, rtol=1e-8, atol=1e-8)
    assert at.sigma2 == pytest.approx(right.sigma2, rel=1e-8)
    for (factor, coefficients), modes in zip(assembly.places, right.modes, strict=True):
        np.testing.assert_allclose(at.effects[factor][coefficients].T, modes, rtol=1e-7, atol=1e-8)


@given(design=designs())
@EACH_STORAGE
def test_inverse_on_the_pattern(storage, design):
    """K = Sigma - Sigma Z' V^-1 Z Sigma, block by block, for rows that share levels."""
    model, assembly, criterion = fast(design)
    theta = theta_for(design, 3)
    inverse = criterion(theta).factor.inverse
    layout = assembly.rows.layout
    _, sigma = dense._stacked(model, dense.unstructured(model, theta))
    conditional = dense._conditional_covariance(model, dense.unstructured(model, theta), 1.0)
    starts = np.cumsum([0] + [t.n_levels * t.q for t in model.terms])
    for k, (factor, coefficients) in enumerate(assembly.places):
        q, m = model.terms[k].q, model.terms[k].n_levels
        block = conditional[starts[k] : starts[k + 1], starts[k] : starts[k + 1]].reshape(m, q, m, q)
        expected = block[np.arange(m), :, np.arange(m)].transpose(1, 2, 0)
        if factor < layout.n_chain:
            found = inverse.diagonal[factor][coefficients, coefficients]
        else:
            at = layout.span(factor)
            whole = diagonal_blocks(inverse.remainder[at, at], layout.sizes[factor])
            found = whole[coefficients, coefficients]
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9 * (1 + np.abs(sigma).max()))
