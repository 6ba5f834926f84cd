"""A remainder that is never formed against the dense one: solves exactly, traces and determinants by their law."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from mixedfx.linalg.conjugate import solve_columns
from mixedfx.linalg.factor import factorize
from mixedfx.linalg.gram import Rows, cross_products
from mixedfx.linalg.layout import analyse
from mixedfx.linalg.pairs import meeting
from mixedfx.linalg.probes import Solver, signs

MANY = 300  # probes where their mean is looked at
DESIGNS = {  # levels and coefficients of every factor; a second factor below 0 is one that holds the first
    "two": ((30, 20), (1, 1)),
    "slopes": ((30, 20), (2, 3)),
    "three": ((30, 20, 10), (1, 1, 1)),
    "three with slopes": ((30, 20, 10), (2, 1, 2)),
    "nested above": ((40, -8, 20), (1, 1, 1)),
    "nested above with slopes": ((40, -8, 20, 6), (2, 1, 2, 1)),
    "chain of three": ((60, -12, -4, 15), (1, 2, 1, 1)),
}


def rows_of(name, seed=0, n=500):
    """Random rows of a design, weights beside; every level is met."""
    rng = np.random.default_rng(seed)
    levels, sizes = DESIGNS[name]
    codes = []
    for m in levels:
        codes.append(codes[-1] % -m if m < 0 else np.concatenate([np.arange(m), rng.integers(0, m, n - m)]))
    z = [np.vstack([np.ones(n), rng.standard_normal((q - 1, n))]) for q in sizes]
    layout = analyse(codes, [abs(m) for m in levels], sizes, [False] * len(levels))
    columns = np.column_stack([np.ones(n), rng.standard_normal((n, 2))])
    rows = Rows(layout, tuple(z[f] for f in layout.order), columns, {})
    factors = []
    for q in layout.sizes:
        t = 0.3 * np.tril(rng.standard_normal((q, q)))
        np.fill_diagonal(t, np.abs(t.diagonal()) + 0.4)
        factors.append(t)
    return rows, rng.uniform(0.5, 2.0, n), factors


def both(name, seed=0, probes=MANY, zero=None, controls=0):
    """The factor with a dense remainder and with an operator."""
    rows, weights, factors = rows_of(name, seed)
    if zero == "small":
        factors = [t @ np.diag([1.0, 1e-4, 0.1][: len(t)]) if len(t) > 1 else 0.01 * t for t in factors]
    elif zero is not None:
        factors[zero] = np.zeros_like(factors[zero])
    operator = replace(rows, layout=replace(rows.layout, is_operator=True))
    dense, sparse = cross_products(rows, weights), cross_products(operator, weights)
    sparse = replace(sparse, solver=Solver(probes, seed, 1e-12, 1e-10, controls=controls))
    return factorize(dense, factors), factorize(sparse, factors), dense, sparse


def flat(split):
    return np.concatenate([*(part.reshape(-1, part.shape[2]) for part in split.chain), split.remainder])


@pytest.mark.parametrize("name", DESIGNS)
def test_cross_products_are_those_of_the_dense_remainder(name):
    _, _, dense, operator = both(name, probes=1)
    np.testing.assert_allclose(operator.squared_norms(), dense.squared_norms(), rtol=1e-12)
    layout, rng = dense.layout, np.random.default_rng(3)
    for f in range(layout.n_factors):
        np.testing.assert_allclose(operator.own_blocks(f), dense.own_blocks(f), rtol=1e-12, atol=1e-12)
        t = rng.standard_normal((layout.sizes[f], layout.levels[f], 3))
        for a, b in zip(operator.times(f, t), dense.times(f, t), strict=True):
            for x, y in zip(a, b, strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", DESIGNS)
def test_the_operator_has_the_dense_schur_complement_and_a_unit_diagonal(name):
    exact, found, _, _ = both(name, probes=1)
    remainder = found.remainder
    r = found.layout.n_remainder
    whole = remainder.operator.times(np.eye(r))
    np.testing.assert_allclose(whole, whole.T, atol=1e-13)
    np.testing.assert_allclose(whole.diagonal(), 1.0, rtol=1e-12)
    k = remainder.effects(np.linalg.solve(whole, remainder.effects(np.eye(r)).T))
    np.testing.assert_allclose(k, exact.remainder.dense_k, atol=1e-11)


@pytest.mark.parametrize("zero", [None, -1, "small"])
@pytest.mark.parametrize("name", DESIGNS)
def test_solves_are_exact(name, zero):
    exact, found, dense, operator = both(name, probes=1, zero=zero)
    pairs = zip(
        exact.solve(dense.sides, dense.remainder_side),
        found.solve(operator.sides, operator.remainder_side),
        strict=True,
    )
    for a, b in pairs:
        np.testing.assert_allclose(flat(b), flat(a), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("controls", [0, 900])
@pytest.mark.parametrize("zero", [None, -1, "small"])
@pytest.mark.parametrize("name", DESIGNS)
def test_probes_estimate_traces_and_determinants_within_their_error(name, zero, controls):
    exact, found, _, _ = both(name, zero=zero, controls=controls)
    probes, logdets = MANY + controls, found.logdets
    assert logdets.size == MANY
    assert abs(logdets.mean() - exact.logdet) <= 4.0 * logdets.std() / np.sqrt(MANY) + 1e-8
    deviations = found.information_deviations()
    for known, estimate, deviation in zip(exact.information(), found.information(), deviations, strict=True):
        error = deviation.std(axis=0) / np.sqrt(probes)
        assert np.all(np.abs(estimate.sum(axis=2) - known.sum(axis=2)) <= 4.5 * error + 1e-8)
        np.testing.assert_allclose(deviation.mean(axis=0), 0.0, atol=1e-10)


def test_all_signs_of_a_small_remainder_give_the_exact_traces(monkeypatch):
    r = 6
    every = np.array([[1.0 if k >> j & 1 else -1.0 for k in range(2**r)] for j in range(r)])
    monkeypatch.setattr("mixedfx.linalg.iterative.signs", lambda seed, places, first, last: every)
    monkeypatch.setitem(DESIGNS, "small", ((12, 6), (1, 1)))
    exact, found, _, _ = both("small", probes=2**r)
    for known, estimate in zip(exact.information(), found.information(), strict=True):
        np.testing.assert_allclose(estimate.sum(axis=2), known.sum(axis=2), rtol=1e-9)
    assert found.logdet == pytest.approx(exact.logdet, rel=1e-10)


def sparse_design(rows_a_level=4, m=150, seed=0):
    """Two factors with few rows a level: the columns of both, and how to factorise at standard deviations."""
    rng = np.random.default_rng(seed)
    n = rows_a_level * m
    codes = [np.concatenate([np.arange(m), rng.integers(0, m, n - m)]) for _ in range(2)]
    layout = replace(analyse(codes, [m, m], [1, 1], [False, False]), is_operator=True)
    rows = Rows(layout, (np.ones((1, n)), np.ones((1, n))), np.zeros((n, 0)), {})
    indicators = [np.equal.outer(code, np.arange(m)).astype(float) for code in layout.codes]

    def factor(sds, solver):
        return factorize(replace(cross_products(rows), solver=solver), [np.array([[sd]]) for sd in sds])

    return indicators, factor


@pytest.mark.parametrize("sds", [(0.6, 0.6), (1.0, 1.0), (2.0, 1.0), (0.3, 3.0)])
def test_controls_estimate_the_derivatives_of_a_dense_determinant_with_much_less_noise(sds):
    indicators, factor = sparse_design()

    def logdet(variances):
        v = np.eye(len(indicators[0])) + sum(s * z @ z.T for s, z in zip(variances, indicators, strict=True))
        return np.linalg.slogdet(v)[1]

    variances, step = np.square(sds), 1e-5
    moves = np.diag(step * variances)
    known = [(logdet(variances + d) - logdet(variances - d)) / (2.0 * d.sum()) for d in moves]
    errors = []
    for controls in (0, 400):
        found = factor(sds, Solver(16, 1, 1e-12, 1e-10, controls=controls))
        deviations = [part[:, 0, 0] for part in found.information_deviations()]
        probes = 16 + controls
        errors.append([np.sqrt(np.sum(part**2) / (probes * (probes - 1))) for part in deviations])
        for slope, information, error in zip(known, found.information(), errors[-1], strict=True):
            assert abs(information.sum() - slope) <= 4.0 * error
    assert np.all(np.array(errors[1]) < 0.5 * np.array(errors[0]))


def test_errors_with_controls_are_honest():
    _, factor = sparse_design()
    found, stated = [], []
    for seed in range(120):
        at = factor((1.0, 0.7), Solver(6, seed, controls=18))
        found.append([part.sum() for part in at.information()])
        stated.append([np.sum(part**2) / (24 * 23) for part in at.information_deviations()])
    ratio = np.sqrt(np.mean(stated, axis=0)) / np.std(found, axis=0, ddof=1)
    assert np.all((ratio > 0.75) & (ratio < 1.35)), ratio


def test_traces_are_unbiased_over_seeds():
    exact = both("three", probes=1)[0]
    known = np.array([block.sum() for block in exact.information()])
    _, _, _, operator = both("three", probes=2)
    found = []
    for seed in range(30):
        gram = replace(operator, solver=Solver(2, seed))
        found.append([block.sum() for block in factorize(gram, exact.factors).information()])
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert np.all(np.abs(np.mean(found, axis=0) - known) <= 4.0 * error)


def test_deflation_makes_the_noise_small():
    _, found, _, _ = both("two")
    vectors = found.remainder.deflation.vectors
    values = np.linalg.eigvalsh(found.remainder.operator.times(np.eye(vectors.shape[0])))
    assert vectors.shape[1] == 1
    assert np.vdot(vectors, found.remainder.operator.times(vectors)) == pytest.approx(values[0], rel=1e-3)
    assert values[1] > 2.0 * values[0]


def test_what_is_no_longer_needed_is_freed_at_once():
    _, found, _, _ = both("three", probes=4)
    found.information()
    remainder = weakref.ref(found.remainder)
    gc.disable()
    try:
        del found
        assert remainder() is None
    finally:
        gc.enable()


def test_a_start_nearby_changes_rounding_only():
    rows, weights, factors = rows_of("three with slopes")
    gram = cross_products(replace(rows, layout=replace(rows.layout, is_operator=True)), weights)
    first = factorize(gram, [1.1 * t for t in factors])
    first.information()
    cold, warm = factorize(gram, factors), factorize(gram, factors, first.nearby)
    for a, b in zip(cold.information(), warm.information(), strict=True):
        np.testing.assert_allclose(b.sum(axis=2), a.sum(axis=2), rtol=1e-6)
    np.testing.assert_allclose(warm.logdets, cold.logdets, rtol=1e-8)
    steps = [factor.remainder._probed.steps.sum() for factor in (warm, cold)]
    assert steps[0] < steps[1]


def test_eight_probes_are_the_first_of_sixteen_and_belong_to_levels():
    places = [(3, 70), (9, 5)]
    sixteen = signs(5, places, 0, 16)
    np.testing.assert_array_equal(signs(5, places, 0, 8), sixteen[:, :8])
    np.testing.assert_array_equal(signs(5, places, 8, 16), sixteen[:, 8:])
    np.testing.assert_array_equal(signs(5, [(3, 300)], 0, 16)[:70], sixteen[:70])
    assert set(np.unique(sixteen)) == {-1.0, 1.0}
    assert not np.array_equal(signs(6, places, 0, 16), sixteen)


def test_order_of_rows_changes_rounding_only():
    rows, weights, factors = rows_of("nested above with slopes")
    order = np.random.default_rng(1).permutation(weights.size)
    codes = tuple(code[order] for code in rows.layout.codes)
    layout = replace(rows.layout, is_operator=True)
    shuffled = Rows(replace(layout, codes=codes), tuple(z[:, order] for z in rows.z), rows.columns[order], {})
    a = factorize(cross_products(replace(rows, layout=layout), weights), factors)
    b = factorize(cross_products(shuffled, weights[order]), factors)
    np.testing.assert_allclose(b.logdets, a.logdets, rtol=1e-9)
    for x, y in zip(a.information(), b.information(), strict=True):
        np.testing.assert_allclose(y, x, rtol=1e-6, atol=1e-8)


def test_pairs_that_meet_and_sums_over_their_rows():
    rng = np.random.default_rng(2)
    first, second, values = rng.integers(0, 7, 90), rng.integers(0, 5, 90), rng.standard_normal(90)
    pairs, rows = meeting(first, second, 8, 6)
    table = np.zeros((8, 6))
    np.add.at(table, (first, second), values)
    np.testing.assert_allclose(pairs.matrix(rows.sums(values)).toarray(), table, atol=1e-14)
    of_row = rows.of_row
    np.testing.assert_array_equal(pairs.rows[of_row], first)
    np.testing.assert_array_equal(pairs.columns[of_row], second)


def test_conjugate_gradients_refuse_what_is_not_positive_definite():
    matrix = np.diag([1.0, -1.0, 2.0])
    with pytest.raises(FloatingPointError, match="not positive definite"):
        solve_columns(lambda v: matrix @ v, np.ones((3, 1)), 1e-10)


def test_conjugate_gradients_refuse_to_stop_early(monkeypatch):
    monkeypatch.setattr("mixedfx.linalg.conjugate.MOST_STEPS", 3)
    matrix = np.diag(np.logspace(0, 8, 40))
    with pytest.raises(FloatingPointError, match="not solved in 3 steps"):
        solve_columns(lambda v: matrix @ v, np.ones((40, 2)), 1e-10)


def test_conjugate_gradients_know_the_logarithm():
    rng = np.random.default_rng(4)
    root = rng.standard_normal((12, 12))
    matrix = root @ root.T + np.eye(12)
    b = rng.standard_normal((12, 3))
    solved = solve_columns(lambda v: matrix @ v, b, 1e-13)
    values, vectors = np.linalg.eigh(matrix)
    logarithm = (vectors * np.log(values)) @ vectors.T
    expected = np.einsum("ij,ik,kj->j", b, logarithm, b) / np.square(b).sum(axis=0)
    np.testing.assert_allclose(solved.logarithms(), expected, rtol=1e-8)
    np.testing.assert_allclose(solved.x, np.linalg.solve(matrix, b), rtol=1e-9)
