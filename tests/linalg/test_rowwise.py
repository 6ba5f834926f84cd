"""Rows to effects and back, against a dense ``Z``; weights that are not positive."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.covariance import UnstructuredCovariance
from mixedfx.criterion.assembly import TermRows, assemble
from mixedfx.linalg import layout as layout_module
from mixedfx.linalg.factor import factorize
from mixedfx.linalg.gram import cross_products
from mixedfx.linalg.rowwise import RowMap
from mixedfx.linalg.small import weighted_resolvent
from tests.examples import examples
from tests.strategies import designs


def setting(design, seed, loaded=False):
    """The map, ``Z`` in its order of the effects, and covariance factors."""
    rng = np.random.default_rng(seed)
    terms = []
    for spec, term in zip(design.terms, design.dense().terms, strict=True):
        root = np.linalg.cholesky(np.eye(term.n_levels) + 0.3) if loaded else None
        z, covariance = np.ascontiguousarray(term.matrix.T), UnstructuredCovariance(term.q)
        terms.append(TermRows(spec.group, term.codes, term.n_levels, z, covariance, root))
    rows = assemble(terms, np.zeros((len(design.frame), 0))).rows
    blocks = []
    for f, z in enumerate(rows.z):
        onehot = np.eye(rows.layout.levels[f])[rows.layout.codes[f]] @ rows.loadings.get(
            f, np.eye(rows.layout.levels[f])
        )
        blocks += [coefficient[:, None] * onehot for coefficient in z]
    factors = [np.tril(rng.normal(size=(q, q))) for q in rows.layout.sizes]
    return RowMap(rows), np.hstack(blocks), factors


@pytest.fixture(params=["dense", "sparse"])
def storage(request, monkeypatch):
    monkeypatch.setattr(layout_module, "_prefers_dense", lambda layout, f: request.param == "dense")


@pytest.mark.parametrize("loaded", [False, True])
@given(data=st.data(), seed=st.integers(0, 100))
@examples(15)
def test_against_dense(loaded, data, seed):
    space, Z, factors = setting(data.draw(designs()), seed, loaded)
    rng = np.random.default_rng(seed)
    b, g, w = rng.normal(size=space.n_effects), rng.normal(size=(len(Z), 2)), rng.uniform(0.2, 2.0, len(Z))
    np.testing.assert_allclose(space.spread(b), Z @ b, atol=1e-12)
    np.testing.assert_allclose(space.collect(g), Z.T @ g, atol=1e-12)
    levels, sizes = space.rows.layout.levels, space.rows.layout.sizes
    blocks = [np.kron(T @ T.T, np.eye(m)) for T, m in zip(factors, levels, strict=True)]
    sigma = np.zeros((space.n_effects, space.n_effects))
    at = 0
    for block, m, q in zip(blocks, levels, sizes, strict=True):
        sigma[at : at + m * q, at : at + m * q] = block
        at += m * q
    K = sigma @ np.linalg.inv(np.eye(len(sigma)) + Z.T @ (w[:, None] * Z) @ sigma)
    factor = factorize(cross_products(space.rows, w), factors)
    inside, outside = space.solve(factor, Z.T @ g)
    np.testing.assert_allclose(inside, K @ Z.T @ g, atol=1e-8)
    np.testing.assert_allclose(outside, Z.T @ g - Z.T @ (w[:, None] * (Z @ inside)), atol=1e-8)
    np.testing.assert_allclose(space.leverages(factor.inverse), np.einsum("iq,qr,ir->i", Z, K, Z), atol=1e-8)


def test_leverages_in_both_storages(storage):
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, 7, 80), rng.integers(0, 5, 80)]
    z = np.stack([np.ones(80), rng.normal(size=80)])
    terms = [TermRows(k, c, int(c.max()) + 1, z, UnstructuredCovariance(2)) for k, c in enumerate(codes)]
    space = RowMap(assemble(terms, np.zeros((80, 0))).rows)
    unit = np.eye(space.n_effects)
    Z = np.stack([space.spread(row) for row in unit], axis=1)
    factors = [np.array([[0.8, 0.0], [0.3, 0.5]])] * 2
    factor = factorize(cross_products(space.rows, np.ones(80)), factors)
    K = space.solve(factor, unit)[0]
    np.testing.assert_allclose(space.leverages(factor.inverse), np.einsum("iq,qr,ir->i", Z, K, Z), atol=1e-10)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_indefinite_cross_products(size):
    """Negative weights are allowed as long as the result stays positive definite, and refused otherwise."""
    rng = np.random.default_rng(size)
    half = rng.normal(size=(6, size, size))
    s = np.moveaxis(half + half.transpose(0, 2, 1), 0, 2)
    T = 0.2 * np.tril(rng.normal(size=(size, size))) + 0.1 * np.eye(size)
    resolvent, k, logdet = weighted_resolvent(s, T)
    for level in range(6):
        inner = np.eye(size) + s[:, :, level] @ T @ T.T
        np.testing.assert_allclose(resolvent[:, :, level], np.linalg.inv(inner), atol=1e-12)
        np.testing.assert_allclose(k[:, :, level], T @ T.T @ np.linalg.inv(inner), atol=1e-12)
        assert logdet[level] == pytest.approx(np.linalg.slogdet(inner)[1], abs=1e-12)
    bad = s.copy()
    bad[:, :, 0] = -np.eye(size)
    bad[0, 0, 0] = -1e6
    with pytest.raises(FloatingPointError):
        weighted_resolvent(bad, T)
