"""Partially crossed designs whose remainder is sparse, against the dense remainder and the dense definition."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.covariance import UnstructuredCovariance
from mixedfx.criterion.assembly import TermRows, assemble
from mixedfx.criterion.linear import LinearCriterion
from mixedfx.linalg import elimination
from mixedfx.linalg import layout as layout_module
from mixedfx.linalg.gram import cross_products
from tests.examples import examples


@pytest.fixture
def eager(monkeypatch):
    """Eliminate as long as there is anything to eliminate, whatever the size would choose."""
    monkeypatch.setattr(layout_module, "_prefers_dense", lambda layout, f: False)
    monkeypatch.setattr(layout_module, "SPARSE_COLUMNS", 1)
    monkeypatch.setattr(layout_module, "SPARSE_FILL", 2.0)
    monkeypatch.setattr(layout_module, "_is_cheaper", lambda plan: True)
    monkeypatch.setattr(elimination, "_pays", lambda graph, chosen, n: chosen.size > 0 and n > 4)


def criterion_of(seed, n_factors, pupils=40, classes=15):
    """Pupils, of whom a fifth of the rows lie in another class, and more crossed factors."""
    rng = np.random.default_rng(seed)
    pupil = np.repeat(np.arange(pupils), 4)
    home = rng.integers(0, classes, pupils)[pupil]
    home[:classes] = np.arange(classes)
    moved = np.where(rng.random(pupil.size) < 0.2, rng.integers(0, classes, pupil.size), home)
    codes = [pupil, moved, rng.integers(0, 6, pupil.size), rng.integers(0, 4, pupil.size)][:n_factors]
    terms = []
    for k, code in enumerate(codes):
        _, own = np.unique(code, return_inverse=True)
        z = np.ones((1, own.size)) if k % 2 else rng.uniform(0.5, 1.5, (1, own.size))
        terms.append(TermRows(k, own, int(own.max()) + 1, z, UnstructuredCovariance(1)))
    X = np.column_stack([np.ones(pupil.size), rng.standard_normal(pupil.size)])
    assembly = assemble(terms, np.column_stack([X, rng.standard_normal(pupil.size)]))
    gram = cross_products(assembly.rows, rng.uniform(0.5, 2.0, pupil.size))
    return LinearCriterion(gram, assembly.covariance, pupil.size, True)


def both(seed, n_factors):
    """The same criterion with a sparse remainder and with a dense one."""
    sparse = criterion_of(seed, n_factors)
    assert sparse.gram.layout.plan is not None
    assert len(sparse.gram.layout.plan.rounds) > 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout_module, "_may_be_sparse", lambda layout: False)
        dense = criterion_of(seed, n_factors)
        assert dense.gram.layout.plan is None
    return sparse, dense


@pytest.mark.parametrize(
    "theta", [(0.8, 0.5, 0.3, 0.2), (0.8, 0.0, 0.3, 0.2), (0.0, 0.0, 0.0, 0.0), (3.0, 1e-5, 2.0, 0.1)]
)
@pytest.mark.parametrize("n_factors", [2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_sparse_remainder_is_the_dense_one(eager, seed, n_factors, theta):
    sparse, dense = both(seed, n_factors)
    at = np.array(theta[:n_factors])
    a, b = sparse(at), dense(at)
    assert a.value == pytest.approx(b.value, rel=1e-11)
    np.testing.assert_allclose(a.gradient, b.gradient, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(a.average_information, b.average_information, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(a.hessian, b.hessian, rtol=1e-6, atol=1e-6)
    for own, other in zip(a.information, b.information, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-7, atol=1e-7)
    for own, other in zip(a.factor.inverse.diagonal, b.factor.inverse.diagonal, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-8, atol=1e-10)
    pattern = a.factor.inverse.remainder != 0
    np.testing.assert_allclose(a.factor.inverse.remainder[pattern], b.factor.inverse.remainder[pattern], rtol=1e-8)
    np.testing.assert_allclose(sparse.start, dense.start, rtol=1e-8)


@given(st.integers(0, 2**32 - 1), st.integers(3, 60), st.floats(0.02, 0.3))
@examples(50)
def test_every_entry_of_the_pattern_has_a_cell_of_its_own(seed, n, density):
    rng = np.random.default_rng(seed)
    graph = sp.csr_array((rng.random((n, n)) < density).astype(float))
    pattern = sp.csr_array(graph + graph.T + sp.eye_array(n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elimination, "_pays", lambda graph, chosen, n: chosen.size > 0 and n > 2)
        plan = elimination.plan_elimination(pattern)
    i, j = sp.coo_array(sp.tril(pattern)).coords
    cells = plan.positions(i.astype(np.intp), j.astype(np.intp))
    assert np.unique(cells).size == cells.size
    eliminated = np.concatenate([own.nodes for own in plan.rounds]) if plan.rounds else np.zeros(0, dtype=int)
    assert sorted([*eliminated, *plan.core]) == list(range(n))
    for own in plan.rounds:
        block = pattern[own.nodes][:, own.nodes].toarray()
        assert np.count_nonzero(block - np.diag(block.diagonal())) == 0


def test_dense_remainders_stay_dense():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 500, 20_000), rng.integers(0, 400, 20_000)
    ones = np.ones((1, a.size))
    terms = [TermRows(0, a, 500, ones, UnstructuredCovariance(1)), TermRows(1, b, 400, ones, UnstructuredCovariance(1))]
    assert assemble(terms, ones.T).rows.layout.plan is None


def test_a_parent_of_few_cells_is_stored_as_its_children_are():
    """Children that meet every column are stored densely; their one parent of many has hardly a column."""
    rng = np.random.default_rng(3)
    columns, full, lone = 60, 30, 400
    child = np.concatenate([np.repeat(np.arange(full), columns), np.repeat(full + np.arange(lone), 2)])
    parent = np.where(child < full, 0, child - full + 1)
    crossed = np.concatenate([np.tile(np.arange(columns), full), rng.integers(0, columns, 2 * lone)])
    levels = (full + lone, lone + 1, columns)
    z = np.ones((1, child.size))
    terms = [
        TermRows(k, codes, m, z, UnstructuredCovariance(1))
        for k, (codes, m) in enumerate(zip((child, parent, crossed), levels, strict=True))
    ]
    y = rng.standard_normal(child.size)
    assembly = assemble(terms, np.column_stack([np.ones(child.size), y]))
    gram, theta = cross_products(assembly.rows), np.array([0.8, 0.5, 0.3])
    at = LinearCriterion(gram, assembly.covariance, child.size, True)(theta)
    V = np.eye(child.size)
    for codes, sd in zip((child, parent, crossed), theta, strict=True):
        V += sd**2 * (codes[:, None] == codes)
    solved = np.linalg.solve(V, np.column_stack([np.ones(child.size), y]))
    of_one, of_y = solved.sum(axis=0)
    r2 = y @ solved[:, 1] - of_y**2 / of_one
    nu = child.size - 1
    expected = np.linalg.slogdet(V)[1] + np.log(of_one) + nu * (1.0 + np.log(2.0 * np.pi * r2 / nu))
    assert at.value == pytest.approx(expected, rel=1e-10)
    assert np.isfinite(at.gradient).all()
