"""Pairs of entries of one level are listed some levels at a time; whatever the cuts, the products are the same."""

import numpy as np
import pytest

from mixedfx.covariance import UnstructuredCovariance
from mixedfx.criterion.assembly import TermRows, assemble
from mixedfx.linalg import layout as layout_module
from mixedfx.linalg import packed
from mixedfx.linalg.gram import cross_products


@pytest.mark.parametrize("at_once", [1, 7, 10_000])
@pytest.mark.parametrize("sizes", [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_products_of_pairs_are_those_of_the_dense_block(monkeypatch, sizes, at_once):
    monkeypatch.setattr(layout_module, "_prefers_dense", lambda layout, f: False)
    monkeypatch.setattr(layout_module, "PAIRS_AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    n, levels = 200, (40, 15)
    codes = [np.concatenate([np.arange(m), rng.integers(0, m, n - m)]) for m in levels]
    terms = [
        TermRows(k, codes[k], levels[k], rng.standard_normal((sizes[k], n)), UnstructuredCovariance(sizes[k]))
        for k in range(2)
    ]
    gram = cross_products(assemble(terms, np.ones((n, 1))).rows)
    cross, r = gram.cross[0], gram.layout.n_remainder
    dense = cross.dot(np.eye(r))  # (Q, m, r)
    half = rng.standard_normal((sizes[0], sizes[0], levels[0]))
    k = half + half.swapaxes(0, 1)
    inner = rng.standard_normal((r, r))
    inner = inner + inner.T
    schur = np.einsum("amr,abm,bms->rs", dense, k, dense)
    np.testing.assert_allclose(packed.full(cross.schur(k), r), schur, rtol=1e-10, atol=1e-10)
    quadratic = np.einsum("amr,rs,bms->abm", dense, inner, dense)
    np.testing.assert_allclose(cross.quadratic(packed.pack(inner)), quadratic, rtol=1e-10, atol=1e-10)
    rows = cross.rows_times(packed.pack(inner))
    there = cross.pattern.rows, cross.pattern.columns
    np.testing.assert_allclose(rows.values, (dense @ inner)[:, *there], rtol=1e-10, atol=1e-10)
