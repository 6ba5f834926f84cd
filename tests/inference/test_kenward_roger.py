"""Kenward and Roger from the mixed-model equations against n by n matrices, published numbers and laws."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

import mixedfx as mfx
from mixedfx.covariance import covariance_for
from mixedfx.inference.information import (
    _traces_by_columns,
    _traces_by_differences,
    information_traces,
    linear_members,
    variance_directions,
)
from mixedfx.inference.kenward_roger import KenwardRoger, kenward_roger_moments
from tests import dense
from tests.strategies import RandomDesign, TermSpec, designs_with_theta


@pytest.fixture(scope="module")
def small():
    """23 rows, 6 groups of unequal sizes: where the methods differ visibly."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(6), [2, 3, 5, 8, 2, 3])
    x, z = rng.normal(size=len(g)), (g % 2).astype(float)
    y = 1 + 0.5 * x + rng.normal(size=6)[g] * 0.7 + rng.normal(size=len(g))
    return mfx.lmer("y ~ x + z + (1 | g)", pd.DataFrame({"y": y, "x": x, "z": z, "g": g.astype(str)}))


def test_the_23_rows(small):
    assert small.llf == pytest.approx(-35.1600, abs=5e-5)
    assert small.df.to_numpy() == pytest.approx([5.72, 18.81, 4.42], abs=5e-3)
    tests = small.t_test(np.eye(3), ddf="kenward-roger")
    assert tests.df_denom == pytest.approx([3.96, 18.13, 2.97], abs=5e-3)
    assert tests.sd[0] == pytest.approx(0.451, abs=5e-4)


def _at(design, theta, reml=True):
    problem = mfx.LinearMixedModel(design.formula, design.frame, weights=design.weights)._problem(reml)
    return problem, problem.criterion(problem.to_inner(np.asarray(theta)))


@given(designs_with_theta())
def test_covariance_and_df_are_the_textbooks(case):
    design, theta = case
    model = design.dense()
    problem, at = _at(design, theta)
    sigma2 = at.sigma2 * problem.basis.scale**2
    truth = dense.kenward_roger(model, dense.unstructured(model, theta), sigma2)
    own = KenwardRoger.of(at)
    adjusted = problem.basis.covariance(at.sigma2 * own.covariance)
    se = np.sqrt(np.diag(truth.vcov))
    assert adjusted / np.outer(se, se) == pytest.approx(truth.adjusted / np.outer(se, se), abs=1e-6)
    p = len(se)
    for rows in [*np.eye(p)[:, None], np.eye(p)[::-1][: max(p - 1, 1)]]:
        _, df, scaling = truth.f_test(rows)
        ours = own.f_test(problem.basis.scale * (rows @ problem.basis.matrix))
        assert ours == pytest.approx((df, scaling), rel=1e-5)


@given(designs_with_theta())
def test_traces_do_not_depend_on_the_way(case):
    design, theta = case
    _, at = _at(design, theta)
    directions = variance_directions(at)
    truth = information_traces(at, directions)
    scale = np.sqrt(np.outer(truth.diagonal(), truth.diagonal()))
    assert _traces_by_columns(at, directions) / scale == pytest.approx(truth / scale, abs=1e-9)
    assert _traces_by_differences(at, directions) / scale == pytest.approx(truth / scale, abs=1e-6)


def test_t_is_the_root_of_f(small):
    row = np.array([[0.0, 1.0, -1.0]])
    t, f = small.t_test(row, ddf="kenward-roger"), small.f_test(row, ddf="kenward-roger")
    assert f.fvalue == pytest.approx(t.tvalue[0] ** 2, rel=1e-9)
    assert f.df_denom == pytest.approx(t.df_denom[0])
    assert f.pvalue == pytest.approx(t.pvalue[0])


@pytest.mark.parametrize("second", [0.5, 0.1, 1e-3])
def test_one_row_has_two_over_a2_degrees_of_freedom_and_no_scaling(second):
    df, scaling = kenward_roger_moments(1, second, second)
    assert df == pytest.approx(2 / second)
    assert scaling == pytest.approx(1.0)


def test_no_uncertainty_no_finite_df():
    assert kenward_roger_moments(3, 0.0, 0.0) == (np.inf, 1.0)


@pytest.mark.parametrize(
    "keyword, linear", [("us", True), ("diag", True), ("homdiag", True), ("homcs", True), ("cs", False), ("ar1", False)]
)
def test_linear_families_are_recognised(keyword, linear):
    covariance = covariance_for(keyword, 3)
    members = linear_members(covariance)
    assert (members is not None) == linear
    if members is not None:
        assert np.linalg.matrix_rank(members.reshape(len(members), -1)) == covariance.n_theta


@pytest.mark.parametrize("keyword", ["us", "diag", "homdiag", "homcs"])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_the_basis_of_a_linear_family_is_well_conditioned(keyword, size):
    """A nearly dependent basis once made the information look singular, and one of its directions was dropped."""
    members = linear_members(covariance_for(keyword, size))
    assert np.linalg.cond(members.reshape(len(members), -1)) < 1.0 + size


def test_few_levels_and_strong_correlations_keep_all_directions():
    rng = np.random.default_rng(0)
    g, h = np.divmod(np.arange(66), 22)
    x = rng.normal(size=66)
    frame = pd.DataFrame({"g": g.astype(str), "h": (h % 2).astype(str), "x": x, "y": rng.normal(size=66)})
    terms = (TermSpec(("1", "x"), ("g",)), TermSpec(("1", "x"), ("h",)))
    design, theta = RandomDesign("crossed slopes", frame, ("x",), terms), np.array([2.86, 1.32, 2.07, 3.51, 2.01, 0.17])
    problem, at = _at(design, theta)
    sigma2 = at.sigma2 * problem.basis.scale**2
    truth = dense.kenward_roger(design.dense(), dense.unstructured(design.dense(), theta), sigma2)
    own = KenwardRoger.of(at)
    assert problem.basis.covariance(at.sigma2 * own.covariance) == pytest.approx(truth.adjusted, rel=1e-7)
    for rows in (np.eye(2), np.eye(2)[:1], np.eye(2)[1:]):
        _, df, scaling = truth.f_test(rows)
        assert own.f_test(problem.basis.scale * (rows @ problem.basis.matrix)) == pytest.approx((df, scaling), rel=1e-6)


def _machines():
    rng = np.random.default_rng(8)
    frame = pd.DataFrame([(w, m, r) for w in "abcdefgh" for m in "XYZ" for r in range(2)], columns=["w", "m", "r"])
    effect = dict(zip("abcdefgh", rng.normal(size=8)))
    cell = {(w, m): rng.normal() for w in "abcdefgh" for m in "XYZ"}
    noise = rng.normal(size=len(frame)) * 0.5
    frame["y"] = [effect[w] + cell[w, m] for w, m in zip(frame["w"], frame["m"])] + noise
    return frame.iloc[2:]


def test_compound_symmetry_is_two_nested_intercepts():
    """The same family of covariances, written in two ways."""
    data = _machines()
    one = mfx.lmer("y ~ m + homcs(0 + m | w)", data)
    two = mfx.lmer("y ~ m + (1 | w) + (1 | w:m)", data)
    assert one.llf == pytest.approx(two.llf, abs=1e-8)
    for ddf in ("kenward-roger", "satterthwaite"):
        ours, theirs = mfx.anova(one, ddf=ddf), mfx.anova(two, ddf=ddf)
        assert ours.to_numpy(dtype=float) == pytest.approx(theirs.to_numpy(dtype=float), rel=1e-4)


def _dense_kenward_roger_2009(V_of, gamma, X):
    """Article of 2009: second derivatives count, less what their bias in the parameters takes away."""
    k, V = len(gamma), V_of(gamma)
    steps = 1e-4 * np.eye(k)
    first = np.array([(V_of(gamma + h) - V_of(gamma - h)) / 2e-4 for h in steps])
    second = np.array(
        [
            [
                (V_of(gamma + a + b) - V_of(gamma + a - b) - V_of(gamma - a + b) + V_of(gamma - a - b)) / 4e-8
                for b in steps
            ]
            for a in steps
        ]
    )
    Vi = np.linalg.inv(V)
    Phi = np.linalg.inv(X.T @ Vi @ X)
    P_matrix = Vi - Vi @ X @ Phi @ X.T @ Vi
    W = np.linalg.inv([[0.5 * np.sum((P_matrix @ a) * (P_matrix @ b).T) for b in first] for a in first])
    P = np.array([-X.T @ Vi @ a @ Vi @ X for a in first])
    Q = np.array([[X.T @ Vi @ a @ Vi @ b @ Vi @ X for b in first] for a in first])
    middle = np.einsum("ij,ijab->ab", W, Q) - np.einsum("ij,iab,bc,jcd->ad", W, P, Phi, P)
    bend = np.einsum("ij,ijab->ab", W, second)
    bias = W @ np.array([0.5 * np.sum((P_matrix @ a) * (P_matrix @ bend).T) for a in first])
    R = X.T @ Vi @ (bend - np.tensordot(bias, first, axes=1)) @ Vi @ X
    adjusted = Phi + 2 * Phi @ (middle - 0.25 * R) @ Phi
    return (adjusted + adjusted.T) / 2


@pytest.mark.parametrize("keyword", ["cs", "ar1", "hetar1"])
def test_covariances_that_are_not_linear_in_their_parameters(keyword):
    data = _machines()
    model = mfx.LinearMixedModel(f"y ~ m + {keyword}(0 + m | w)", data)
    problem, covariance = model._problem(True), model.design.random[0].covariance
    theta = np.where(covariance.upper() < np.inf, 0.3, np.linspace(0.8, 1.4, covariance.n_theta))
    at = problem.criterion(problem.to_inner(theta))
    sigma2 = at.sigma2 * problem.basis.scale**2
    term = dense.DenseTerm(model.design.random[0].codes, model.design.random[0].matrix, 8)

    def marginal(gamma):
        return gamma[-1] * (np.eye(len(data)) + term.Z @ term.covariance(covariance.factor(gamma[:-1])) @ term.Z.T)

    truth = _dense_kenward_roger_2009(marginal, np.append(theta, sigma2), model.exog)
    ours = problem.basis.covariance(at.sigma2 * KenwardRoger.of(at).covariance)
    assert ours == pytest.approx(truth, rel=2e-5, abs=2e-5 * np.abs(truth).max())


def test_it_needs_reml(small):
    with pytest.warns(mfx.SingularFitWarning):
        fit = small.model.fit(reml=False)
    with pytest.raises(mfx.SpecificationError, match="REML"):
        fit.t_test("x = 0", ddf="kr")


def test_the_unit_of_the_weights_is_arbitrary():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(8), 4)
    frame = pd.DataFrame({"g": g.astype(str), "x": rng.normal(size=32), "w": rng.uniform(0.5, 2, 32)})
    frame["y"] = frame["x"] + rng.normal(size=8)[g] + rng.normal(size=32) / np.sqrt(frame["w"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = mfx.lmer("y ~ x + (1 | g)", frame, weights="w")
        two = mfx.lmer("y ~ x + (1 | g)", frame.assign(w=10 * frame["w"]), weights="w")
    ours, scaled = (fit.t_test(np.eye(2), ddf="kr") for fit in (one, two))
    assert ours.df_denom == pytest.approx(scaled.df_denom, rel=1e-6)
    assert ours.sd == pytest.approx(scaled.sd, rel=1e-6)
