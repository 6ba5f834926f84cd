"""What one evaluation of a crossed design holds at its peak, counted in packed matrices of its remainder."""

import tracemalloc

import numpy as np
import pytest

from mixedfx.covariance import UnstructuredCovariance
from mixedfx.criterion.assembly import TermRows, assemble
from mixedfx.criterion.linear import LinearCriterion
from mixedfx.linalg import layout as layout_module
from mixedfx.linalg import packed
from mixedfx.linalg.gram import cross_products

SHARE = 1.2  # vectors and blocks in work beside them
PAIR, BLOCK = 12, 100  # bytes of the product of two entries of a level with its place; of a pair that is listed


@pytest.fixture(scope="module")
def criterion():
    """2e4 rows, 900 crossed with 600 levels."""
    rng = np.random.default_rng(0)
    n, levels = 20_000, (900, 600)
    codes = [np.concatenate([np.arange(m), rng.integers(0, m, n - m)]) for m in levels]
    terms = [TermRows(k, codes[k], m, np.ones((1, n)), UnstructuredCovariance(1)) for k, m in enumerate(levels)]
    rows = assemble(terms, np.column_stack([np.ones(n), rng.standard_normal(n)])).rows
    assert rows.layout.plan is None
    covariance = assemble(terms, rows.columns).covariance
    return LinearCriterion(cross_products(rows), covariance, n, True)


def matrices(criterion, count):
    """Bytes of so many packed matrices, and a little more."""
    return SHARE * count * 8 * criterion.gram.layout.square.n_cells


def peak_of(work):
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_pairs_are_kept_as_products_and_places_alone(criterion):
    at = criterion(np.array([0.7, 0.4]))
    pairs = PAIR * criterion.gram.layout.patterns[0].n_pairs + BLOCK * layout_module.PAIRS_AT_ONCE
    assert peak_of(lambda: at.factor) < matrices(criterion, 1) + SHARE * pairs


def test_an_evaluation_holds_a_factor_and_an_inverse(criterion):
    at = criterion(np.array([0.7, 0.5]))
    assert peak_of(lambda: (at.value, at.gradient, at.average_information)) < matrices(criterion, 2)


def test_a_hessian_adds_one_matrix_and_squares_of_another(criterion, monkeypatch):
    monkeypatch.setattr(packed, "TILE", 50)  # of a small matrix the blocks in work should be a small part
    at = criterion(np.array([0.7, 0.5]))
    assert np.isfinite(at.gradient).all()
    assert peak_of(lambda: at.hessian) < matrices(criterion, 2)


def test_nothing_that_is_large_outlives_a_point_that_is_left(criterion):
    at = criterion(np.array([0.6, 0.5]))
    value, gradient = at.value, at.gradient
    kept = peak_of(lambda: None)
    tracemalloc.start()
    again = criterion(np.array([0.6, 0.5]))
    assert (again.value, again.gradient.tolist()) == (value, gradient.tolist())
    again.forget()
    left = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept <= left < 0.1 * matrices(criterion, 1)
    assert again.value == value
    np.testing.assert_array_equal(again.effects[0], at.effects[0])
