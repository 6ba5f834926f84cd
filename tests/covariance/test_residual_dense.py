"""Residual structures against the dense matrix, written out entry by entry from its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.covariance.residual import (
    AR1,
    CAR1,
    CompoundSymmetry,
    KnownVariance,
    Unstructured,
    VarExp,
    VarIdent,
    VarPower,
)

STEP = 2


def dense_ident(columns, natural):
    ratio = dict(zip(dict.fromkeys(columns["sex"]), [1.0, *natural]))
    return np.diag([ratio[sex] ** 2 for sex in columns["sex"]])


def dense_power(columns, natural):
    return np.diag(np.abs(columns["x"]) ** (2 * natural[0]))


def dense_exp_by_sex(columns, natural):
    rate = dict(zip(dict.fromkeys(columns["sex"]), natural))
    return np.diag([np.exp(2 * rate[sex] * x) for sex, x in zip(columns["sex"], columns["x"])])


def dense_known(columns, natural):
    return np.diag(columns["x"] ** 2)


def by_group(columns, entry):
    g, n = columns["g"], len(columns["g"])
    return np.array([[(entry(i, j) if i != j else 1.0) if g[i] == g[j] else 0.0 for j in range(n)] for i in range(n)])


def dense_ar1(columns, natural):
    t = columns["visit"]
    return by_group(columns, lambda i, j: natural[-1] ** (abs(t[i] - t[j]) / STEP))


def dense_rows(columns, natural):
    g = columns["g"]
    position = [list(g[:i]).count(g[i]) for i in range(len(g))]
    return by_group(columns, lambda i, j: natural[0] ** abs(position[i] - position[j]))


def dense_car1(columns, natural):
    t = columns["time"]
    return by_group(columns, lambda i, j: natural[0] ** abs(t[i] - t[j]))


def dense_cs(columns, natural):
    return by_group(columns, lambda i, j: natural[0])


def dense_unstructured(columns, natural):
    visits = sorted(set(columns["visit"]))
    V = len(visits)
    sd = dict(zip(visits, [1.0, *natural[: V - 1]]))
    pairs = {(j, i): r for (i, j), r in zip(((i, j) for i in range(V) for j in range(i)), natural[V - 1 :])}
    at = [visits.index(visit) for visit in columns["visit"]]
    scale = np.array([sd[visit] for visit in columns["visit"]])
    return scale[:, None] * by_group(columns, lambda i, j: pairs[tuple(sorted((at[i], at[j])))]) * scale


def dense_product(columns, natural):
    scale = np.sqrt(np.diag(dense_ident(columns, natural[:-2]) * dense_power(columns, natural[-2:-1])))
    return scale[:, None] * dense_ar1(columns, natural[-1:]) * scale


CASES = {
    "VarIdent": (VarIdent("sex"), dense_ident),
    "VarPower": (VarPower("x"), dense_power),
    "VarExp": (VarExp("x", group="sex"), dense_exp_by_sex),
    "KnownVariance": (KnownVariance("x2"), dense_known),
    "AR1": (AR1("visit", group="g"), dense_ar1),
    "AR1 of rows": (AR1(group="g"), dense_rows),
    "CAR1": (CAR1("time", group="g"), dense_car1),
    "CompoundSymmetry": (CompoundSymmetry("g"), dense_cs),
    "Unstructured": (Unstructured("visit", group="g"), dense_unstructured),
    "product": (VarIdent("sex") * VarPower("x") * AR1("visit", group="g"), dense_product),
}


def make_columns(seed):
    """Groups of 1 to 4 visits (all of them in the first) with gaps, in random order, not contiguous."""
    generator = np.random.default_rng(seed)
    visits = [3, 5, 7, 11]
    rows = [("g0", visit) for visit in visits]
    for group in range(1, 6):
        chosen = generator.choice(visits, size=generator.integers(1, 5), replace=False)
        rows += [(f"g{group}", int(visit)) for visit in chosen]
    rows = [rows[i] for i in generator.permutation(len(rows))]
    x = generator.uniform(0.5, 2, len(rows))
    return {
        "g": np.array([group for group, _ in rows]),
        "visit": np.array([visit for _, visit in rows]),
        "time": generator.permutation(len(rows)) * 0.37,
        "sex": np.array(["m", "f", "m", *generator.choice(["m", "f", "d"], len(rows) - 3)]),
        "x": x,
        "x2": x**2,
    }


@st.composite
def bounds(draw, case):
    columns = make_columns(draw(st.integers(0, 10_000)))
    structure, dense = CASES[case]
    bound = structure.bind(columns)
    shift = draw(st.lists(st.integers(-20, 20), min_size=bound.n_rho, max_size=bound.n_rho))
    rho = bound.start + np.array(shift, dtype=float) / 10
    M = np.random.default_rng(draw(st.integers(0, 99))).normal(size=(bound.n, 3))
    return bound, rho, M, dense(columns, bound.natural(rho))


def differences(function, rho, step=1e-6):
    each = step * np.eye(len(rho))
    return [(np.asarray(function(rho + h)) - np.asarray(function(rho - h))) / (2 * step) for h in each]


parametrize = pytest.mark.parametrize("case", CASES)


@parametrize
@given(st.data())
def test_whitening_determinant_and_diagonal_are_those_of_the_dense_matrix(case, data):
    bound, rho, M, D = data.draw(bounds(case))
    white = bound.whiten(rho, M)
    np.testing.assert_allclose(white.T @ white, M.T @ np.linalg.solve(D, M), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(bound.unwhiten(rho, white), M, rtol=1e-9, atol=1e-9)
    root = bound.unwhiten(rho, np.eye(bound.n))
    np.testing.assert_allclose(root @ root.T, D, rtol=1e-9, atol=1e-9)
    assert bound.logdet(rho) == pytest.approx(np.linalg.slogdet(D)[1], abs=1e-9)
    np.testing.assert_allclose(bound.relative_variances(rho), np.diag(D), rtol=1e-12)


@parametrize
@given(st.data())
def test_derivatives_are_those_of_the_functions(case, data):
    bound, rho, M, _ = data.draw(bounds(case))
    shape = (bound.n_rho, *M.shape)
    slope = bound.whiten_derivative(rho, M)
    expected = np.reshape(differences(lambda at: bound.whiten(at, M), rho), shape)
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-6)
    expected = np.reshape(differences(bound.logdet, rho), bound.n_rho)
    np.testing.assert_allclose(bound.logdet_derivative(rho), expected, rtol=1e-5, atol=1e-6)
    expected = np.reshape(differences(bound.natural, rho), (bound.n_rho, bound.n_rho))
    np.testing.assert_allclose(bound.natural_derivative(rho).T, expected, rtol=1e-5, atol=1e-7)

    def gram(at):
        white = bound.whiten(at, M)
        return white.T @ white

    expected = np.reshape(differences(gram, rho), (bound.n_rho, 3, 3))
    half = bound.whiten(rho, M).T @ slope
    np.testing.assert_allclose(half + half.swapaxes(1, 2), expected, rtol=1e-5, atol=1e-5)


@parametrize
def test_start_is_no_structure_but_for_car1(case):
    columns = make_columns(1)
    bound = CASES[case][0].bind(columns)
    expected = {"KnownVariance": columns["x2"]}.get(case, np.ones(bound.n))
    np.testing.assert_allclose(bound.relative_variances(bound.start), expected)
    if case != "CAR1":
        np.testing.assert_allclose(bound.whiten(bound.start, np.eye(bound.n)), np.diag(expected**-0.5), atol=1e-12)


@parametrize
@pytest.mark.parametrize("end", ["lower", "upper"])
def test_everything_is_finite_at_the_bounds(case, end):
    bound = CASES[case][0].bind(make_columns(2))
    rho = bound.start.copy()
    for j in range(bound.n_rho):
        rho[j] = getattr(bound, end)[j]
        M = np.ones((bound.n, 1))
        values = [bound.whiten(rho, M), bound.whiten_derivative(rho, M), bound.unwhiten(rho, M), bound.natural(rho)]
        assert all(np.all(np.isfinite(value)) for value in [*values, bound.logdet(rho), bound.logdet_derivative(rho)])
        rho[j] = bound.start[j]


@parametrize
def test_rebinding_gives_the_covariance_of_other_rows(case):
    columns = make_columns(3)
    bound = CASES[case][0].bind(columns)
    rho = bound.start + 0.3
    whole = bound.unwhiten(rho, np.eye(bound.n))
    keep = np.flatnonzero(columns["g"] != "g1")[::-1]
    if case == "AR1 of rows":
        keep = keep[::-1]
    part = bound.rebind({name: values[keep] for name, values in columns.items()})
    root = part.unwhiten(rho, np.eye(len(keep)))
    np.testing.assert_allclose(root @ root.T, (whole @ whole.T)[np.ix_(keep, keep)], rtol=1e-10, atol=1e-12)


def test_a_long_series_takes_no_loop_over_its_rows():
    n = 200_000
    bound = AR1("t").bind({"t": np.arange(n)})
    rho = np.array([1.0])
    M = np.random.default_rng(0).normal(size=(n, 2))
    np.testing.assert_allclose(bound.whiten(rho, bound.unwhiten(rho, M)), M, atol=1e-10)
