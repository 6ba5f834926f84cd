"""Symmetric matrices stored once, against the same algebra on full matrices."""

import numpy as np
import pytest

from mixedfx.linalg import packed

SIZES = [1, 2, 3, 4, 5, 24, 25, packed.STRIPE + 1, 2 * packed.STRIPE + 6]


def matrix(n, seed=0):
    root = np.random.default_rng(seed).standard_normal((n + 3, n))
    return root.T @ root / n + np.eye(n)


@pytest.mark.parametrize("n", SIZES)
def test_every_entry_has_a_cell_of_its_own_and_comes_back(n):
    a = matrix(n)
    cells = packed.pack(a)
    i, j = np.tril_indices(n)
    assert np.array_equal(np.sort(packed.positions(n, i, j)), np.arange(packed.count(n)))
    assert np.array_equal(cells[packed.positions(n, i, j)], a[i, j])
    assert np.array_equal(packed.full(cells, n), a)


@pytest.mark.parametrize("n", SIZES)
def test_products_are_those_of_the_full_matrix(n):
    rng, a = np.random.default_rng(n), matrix(n)
    cells, b, d = packed.pack(a), rng.standard_normal((n, 3)), rng.standard_normal(n)
    np.testing.assert_allclose(packed.times(cells, n, b), a @ b, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(packed.full(packed.scale(cells.copy(), n, d), n), d[:, None] * a * d, rtol=1e-14)
    left = rng.standard_normal((7, n))
    np.testing.assert_allclose(packed.full(packed.product(left, left), n), left.T @ left, rtol=1e-11, atol=1e-11)
    assert packed.times(cells, n, b[:, :0]).shape == (n, 0)


@pytest.mark.parametrize("n", SIZES)
def test_factors_inverses_and_solutions_are_those_of_the_full_matrix(n):
    a, b = matrix(n), np.random.default_rng(n).standard_normal((n, 2))
    root = packed.factorize(packed.pack(a), n)
    lower = np.tril(packed.full(root, n))
    np.testing.assert_allclose(lower @ lower.T, a, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(packed.full(packed.inverse(root, n), n), np.linalg.inv(a), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(packed.solve(root, n, b), np.linalg.solve(a, b), rtol=1e-8, atol=1e-10)


def test_the_factor_takes_the_place_of_the_matrix():
    cells = packed.pack(matrix(50))
    assert np.shares_memory(packed.factorize(cells, 50), cells)


def test_no_factor_of_an_indefinite_matrix():
    with pytest.raises(FloatingPointError, match="not positive definite"):
        packed.factorize(packed.pack(np.diag([1.0, -1.0, 1.0])), 3)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("tile", [2, 7, packed.TILE])
def test_squares_of_a_product_are_those_of_the_full_one(monkeypatch, n, tile):
    monkeypatch.setattr(packed, "TILE", max(tile, n // 8))
    a, b = matrix(n), matrix(n, seed=1)
    trace, diagonal = packed.squared_product(packed.pack(a), packed.pack(b), n)
    assert trace == pytest.approx(np.trace(a @ b @ a @ b), rel=1e-11)
    np.testing.assert_allclose(diagonal, (a @ b @ a).diagonal(), rtol=1e-10)
