"""Residual structures: value against the dense matrix, gradient against differences of the value."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from tests.differences import gradient as numerical_gradient

RNG = np.random.default_rng(11)
G, T = 9, 5
DATA = pd.DataFrame(
    {
        "g": np.repeat([f"g{i}" for i in range(G)], T),
        "t": np.tile(np.arange(T), G),
        "x": RNG.normal(size=G * T),
        "k": pd.Categorical(np.tile(list("abc"), G * T // 3)),
        "u": RNG.uniform(0.5, 2, G * T),
        "w": RNG.uniform(0.5, 2, G * T),
    }
)
DATA["y"] = 1 + DATA.x + np.repeat(RNG.normal(size=G), T) + RNG.normal(size=G * T)
DATA = DATA.sample(frac=0.9, random_state=1).reset_index(drop=True)

STRUCTURES = [
    mfx.VarIdent("k"),
    mfx.VarPower("u"),
    mfx.VarExp("x"),
    mfx.AR1("t", group="g"),
    mfx.CAR1("u", group="g"),
    mfx.CompoundSymmetry("g"),
    mfx.Unstructured("t", group="g"),
    mfx.VarIdent("k") * mfx.AR1("t", group="g"),
]


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("random", ["", " + (1 | g)", " + (x | g)"])
@pytest.mark.parametrize("reml", [True, False])
def test_value_and_gradient(structure, random, reml):
    model = mfx.LinearMixedModel(f"y ~ x{random}", DATA, residual=structure, weights="w")
    problem = model._problem(reml)
    rng = np.random.default_rng(3)
    at = problem.criterion.start + 0.2 * rng.normal(size=problem.criterion.start.size)
    point = problem.criterion(at)
    assert point.value == pytest.approx(dense_value(model, problem, at, reml), rel=1e-10)
    expected = numerical_gradient(lambda p: problem.criterion(p).value, at)
    np.testing.assert_allclose(point.gradient, expected, rtol=1e-6, atol=1e-6 * (1 + np.abs(expected).max()))


def dense_value(model, problem, parameters, reml):
    """From V = D^(1/2)... in full: D unwhitened from the identity, Z Lambda as the model shows them."""
    k = problem.covariance.n_theta
    n = len(model.endog)
    root = problem.residual.unwhiten(parameters[k:], np.eye(n)) / np.sqrt(model.design.weights)[:, None]
    V = root @ root.T
    if k:
        half = (model.exog_re @ model.Lambda(problem.to_user(parameters[:k]))).toarray()
        V = V + half @ half.T
    X, y = model.exog, model.endog
    A = X.T @ np.linalg.solve(V, X)
    beta = np.linalg.solve(A, X.T @ np.linalg.solve(V, y))
    r = y - X @ beta
    nu = n - X.shape[1] if reml else n
    value = np.linalg.slogdet(V)[1] + nu * (1 + np.log(2 * np.pi * (r @ np.linalg.solve(V, r)) / nu))
    return value + (np.linalg.slogdet(A)[1] if reml else 0.0)


def test_correlation_across_levels_is_refused():
    with pytest.raises(mfx.SpecificationError, match="'k'"):
        mfx.lmer("y ~ x + (1 | k)", DATA, residual=mfx.AR1("t", group="g"))


def test_strings_are_not_structures():
    with pytest.raises(TypeError, match="VarIdent"):
        mfx.lmer("y ~ x + (1 | g)", DATA, residual="ar1")


def test_known_sampling_variances_are_the_random_effects_meta_analysis():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"study": np.arange(12), "vi": rng.uniform(0.1, 0.5, 12)})
    data["yi"] = 0.3 + rng.normal(size=12) * np.sqrt(data.vi + 2.0)
    fit = mfx.lmer("yi ~ 1 + (1 | study)", data, residual=mfx.KnownVariance("vi"))
    tau2 = fit.varcorr.to_frame().query("group == 'study'").variance.iloc[0]
    w = 1 / (data.vi + tau2)
    mu = (w * data.yi).sum() / w.sum()
    assert fit.params["Intercept"] == pytest.approx(mu, rel=1e-8)
    assert fit.bse["Intercept"] == pytest.approx(w.sum() ** -0.5, rel=1e-8)
    score = 0.5 * ((w**2 * (data.yi - mu) ** 2).sum() - w.sum() + (w**2).sum() / w.sum())
    assert abs(score) < 1e-6 * np.sqrt(0.5 * (w**2).sum())
