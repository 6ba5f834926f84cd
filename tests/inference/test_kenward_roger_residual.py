"""Kenward and Roger with a residual structure, against n by n matrices and numerical derivatives of V."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from tests import dense
from tests.differences import jacobian
from tests.inference.test_kenward_roger import _dense_kenward_roger_2009

STRUCTURES = {
    "VarIdent": mfx.VarIdent("sex"),
    "VarPower": mfx.VarPower("x"),
    "AR1": mfx.AR1("visit", group="g"),
    "CAR1": mfx.CAR1("time", group="g"),
    "CompoundSymmetry": mfx.CompoundSymmetry("g"),
    "Unstructured": mfx.Unstructured("visit", group="g"),
    "VarIdent * AR1": mfx.VarIdent("sex") * mfx.AR1("visit", group="g"),
}


@pytest.fixture(scope="module")
def trial():
    """30 subjects of 6 sites with 2 to 4 of four visits, an arm and unequal variances."""
    rng = np.random.default_rng(11)
    rows = [(s, v) for s in range(30) for v in (1, 2, 3, 4) if v < 3 or (s + v) % 4]
    frame = pd.DataFrame(rows, columns=["subject", "visit"])
    n = len(frame)
    frame["g"] = [f"s{s:02d}" for s in frame["subject"]]
    frame["site"] = [f"c{s % 6}" for s in frame["subject"]]
    frame["arm"] = (frame["subject"] % 2).map({0: "active", 1: "placebo"})
    frame["sex"] = np.where(frame["subject"] % 3, "f", "m")
    frame["x"] = rng.uniform(0.5, 2.0, n)
    frame["time"] = frame["visit"] + rng.uniform(-0.3, 0.3, n)
    noise = 0.8 * rng.normal(size=30)[frame["subject"]] + 0.6 * rng.normal(size=n)
    site = rng.normal(size=6)[frame["subject"] % 6]
    frame["y"] = 1.0 + 0.4 * frame["visit"] + site + noise * np.where(frame["sex"] == "m", 1.5, 1.0)
    return frame.sample(frac=1.0, random_state=5).reset_index(drop=True)


def _indicators(codes):
    return (codes.to_numpy()[:, None] == np.unique(codes)[None, :]).astype(float)


def _marginal(fit, frame, groups, n_theta):
    """V as a function of (theta, rho, sigma^2), intercepts for each of ``groups``."""
    bound = fit.solution.problem.residual
    identity = np.eye(len(frame))
    together = [Z @ Z.T for Z in (_indicators(frame[name]) for name in groups)]

    def marginal(gamma):
        root = bound.unwhiten(gamma[n_theta:-1], identity)
        random = sum(t**2 * shared for t, shared in zip(gamma[:n_theta], together))
        return gamma[-1] * (root @ root.T + random)

    return marginal


def _compare(fit, frame, groups=()):
    n_theta = len(groups)
    gamma = np.concatenate([np.asarray(fit.theta), fit.solution.rho, [fit.sigma**2]])
    truth = _dense_kenward_roger_2009(_marginal(fit, frame, groups, n_theta), gamma, fit.model.exog)
    ours = fit.cov_params(ddf="kenward-roger").to_numpy()
    assert ours == pytest.approx(truth, rel=2e-5, abs=2e-5 * np.abs(truth).max())


@pytest.mark.parametrize("name", STRUCTURES)
def test_without_random_effects(trial, name):
    _compare(mfx.lmer("y ~ visit * arm", trial, residual=STRUCTURES[name]), trial)


@pytest.mark.parametrize("name", ["VarIdent", "AR1", "VarIdent * AR1"])
def test_with_random_effects(trial, name):
    fit = mfx.lmer("y ~ visit + (1 | site)", trial, residual=STRUCTURES[name])
    assert not fit.is_singular
    _compare(fit, trial, ["site"])


def _units(size):
    """A basis of the symmetric matrices."""
    for i in range(size):
        for j in range(i + 1):
            unit = np.zeros((size, size))
            unit[i, j] = unit[j, i] = 1.0
            yield unit


def test_unstructured_visits_have_no_second_derivatives(trial):
    """Parametrised by variances and covariances, V is linear: the article of 1997 as it stands, df and F included."""
    fit = mfx.lmer("y ~ visit * arm", trial, residual=STRUCTURES["Unstructured"])
    visits, subjects = _indicators(trial["visit"]), _indicators(trial["g"])
    same = subjects @ subjects.T
    root = fit.solution.problem.residual.unwhiten(fit.solution.rho, np.eye(len(trial)))
    model = dense.DenseModel(trial["y"].to_numpy(), fit.model.exog, ())
    derivatives = [(visits @ unit @ visits.T) * same for unit in _units(4)]
    truth = dense.kenward_roger_of(model, fit.sigma**2 * root @ root.T, derivatives)
    assert fit.cov_params(ddf="kr").to_numpy() == pytest.approx(truth.adjusted, rel=1e-6, abs=1e-9)
    for rows in (np.eye(4)[2:], np.eye(4)[1:], *np.eye(4)[:, None]):
        F, df, _ = truth.f_test(rows)
        found = fit.f_test(rows, ddf="kr")
        assert (found.fvalue, found.df_denom) == pytest.approx((F, df), rel=1e-5)


def test_an_unstructured_pair_of_visits_is_the_paired_t_test():
    """Complete data, two visits: the change has n - 1 degrees of freedom, and nothing to adjust."""
    rng = np.random.default_rng(2)
    y = rng.normal(size=(9, 2)) @ np.array([[1.0, 0.6], [0.0, 1.3]])
    frame = pd.DataFrame({"y": y.ravel(), "visit": np.tile([0, 1], 9), "g": np.repeat(list("abcdefghi"), 2)})
    fit = mfx.lmer("y ~ visit", frame, residual=mfx.Unstructured("visit", group="g"))
    change = y[:, 1] - y[:, 0]
    for ddf in ("kr", "satterthwaite"):
        found = fit.t_test("visit = 0", ddf=ddf)
        assert found.df_denom == pytest.approx([8.0], rel=1e-6)
        assert found.tvalue == pytest.approx([change.mean() / (change.std(ddof=1) / 3.0)], rel=1e-6)


def test_uncorrelated_rows_of_two_groups_are_welchs_t_test():
    """With a variance a group the df are those of Satterthwaite (1946), plain and adjusted."""
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=8), rng.normal(1.0, 3.0, size=13)
    frame = pd.DataFrame({"y": np.append(a, b), "g": ["a"] * 8 + ["b"] * 13})
    fit = mfx.lmer("y ~ g", frame, residual=mfx.VarIdent("g"))
    va, vb = a.var(ddof=1) / 8, b.var(ddof=1) / 13
    df = (va + vb) ** 2 / (va**2 / 7 + vb**2 / 12)
    for ddf in ("kr", "satterthwaite"):
        found = fit.t_test(np.array([[0.0, 1.0]]), ddf=ddf)
        assert found.df_denom == pytest.approx([df], rel=1e-5)
        assert found.sd == pytest.approx([np.sqrt(va + vb)], rel=1e-6)


@pytest.mark.parametrize("name", ["AR1", "VarIdent * AR1", "CompoundSymmetry"])
def test_satterthwaite_by_the_definition(trial, name):
    fit = mfx.lmer("y ~ visit + arm", trial, residual=STRUCTURES[name])
    marginal = _marginal(fit, trial, (), 0)
    X, y = fit.model.exog, trial["y"].to_numpy()
    unit = np.append(np.ones(fit.solution.rho.size), fit.sigma**2)
    gamma = np.append(fit.solution.rho, fit.sigma**2) / unit

    def phi(g):
        return np.linalg.inv(X.T @ np.linalg.solve(marginal(g * unit), X))

    def restricted(g):
        V = marginal(g * unit)
        r = y - X @ phi(g) @ X.T @ np.linalg.solve(V, y)
        return np.linalg.slogdet(V)[1] - np.linalg.slogdet(phi(g))[1] + r @ np.linalg.solve(V, r)

    A = 2.0 * np.linalg.inv(dense.hessian(restricted, gamma))
    expected = []
    for row in np.eye(3):
        slopes = jacobian(lambda g, row=row: row @ phi(g) @ row, gamma)
        expected.append(2.0 * (row @ phi(gamma) @ row) ** 2 / (slopes @ A @ slopes))
    assert fit.df.to_numpy() == pytest.approx(expected, rel=1e-4)


def test_the_covariance_of_variance_parameters_has_those_of_the_residuals(trial):
    """On any scale; against the Wald limits, which were compared with nlme's."""
    fit = mfx.lmer("y ~ visit + (1 | site)", trial, residual=STRUCTURES["VarIdent"])
    for scale in ("sd", "variance", "theta"):
        table = fit.cov_varpar(scale)
        assert [label[0] for label in table.index] == ["site", "Residual", "Residual"]
        assert table.index[1][1] == fit.residual_params.index[0]
        assert np.all(np.linalg.eigvalsh(table.to_numpy()) > 0)
    ratio = fit.residual_params.iloc[0]
    lower, upper = fit.conf_int(which="random").loc[fit.residual_params.index[0]]
    se = np.sqrt(fit.cov_varpar("sd").to_numpy()[1, 1])
    assert np.log(upper / lower) == pytest.approx(2 * 1.959963984540054 * se / ratio, rel=1e-9)


def test_blocks_that_are_too_large_are_refused():
    rng = np.random.default_rng(0)
    n = 8000
    frame = pd.DataFrame({"y": rng.normal(size=n), "x": rng.uniform(1.0, 2.0, n), "g": np.arange(n) % 2})
    fit = mfx.lmer("y ~ x", frame, residual=mfx.AR1(group="g"))
    with pytest.raises(mfx.SpecificationError, match="4000 of 8000 rows"):
        fit.t_test("x = 0", ddf="kr")
