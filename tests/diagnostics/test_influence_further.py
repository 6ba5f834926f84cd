"""Influence in generalised models and with residual structures against fits to the data without the rows.

Agreement: coefficients and covariance parameters within 1e-5 standard errors (measured: 2e-6), standard errors within
a relative 5e-4 (measured: 2e-4), the ratio of determinants 2e-3 (measured: 6e-4); with residual structures,
where every set has a search of its own, all within 1e-5 (measured: 1e-6).
"""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.criterion.residual import ResidualCriterion
from mixedfx.fitting import without

CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
CONTRACEPTION = "use ~ age + livch + urban + (1 | district)"
ORTHODONT = "distance ~ age * Sex + (1 | Subject)"


def assert_same_as_refits(fitted, data, group, sets, chosen, estimates=1e-5, errors=5e-4):
    fit = fitted(data)
    found = mfx.influence(fit, group)
    for label in chosen:
        exact, at = fitted(data[sets != label]), found.labels.get_loc(label)
        change = (found.params.iloc[at] - exact.params).abs() / fit.bse
        assert change.max() < estimates
        assert found.theta.iloc[at].to_numpy() == pytest.approx(exact.theta.to_numpy(), abs=estimates)
        assert found.bse.iloc[at].to_numpy() == pytest.approx(exact.bse.to_numpy(), rel=errors)
        assert found.sigma.iloc[at] == pytest.approx(exact.sigma, rel=errors)
        ratio = np.linalg.det(exact.cov_params()) / np.linalg.det(fit.cov_params())
        assert found.covratio.iloc[at] == pytest.approx(ratio, rel=4 * errors)
        own = found.variances.iloc[at]
        single = [own[term.group, name, ""] for term in exact.varcorr.terms for name in term.names]
        exactly = np.concatenate([term.matrix.diagonal() for term in exact.varcorr.terms])
        assert single == pytest.approx(exactly.tolist(), rel=1e-4)
    return found


@pytest.mark.parametrize("nagq", [0, 1, 9])
def test_herds_and_rows_of_cbpp(nagq):
    data = mfx.load_dataset("cbpp")

    def fitted(rows):
        return mfx.glmer(CBPP, rows, family="binomial", nagq=nagq)

    herds = data["herd"].astype(str).to_numpy()
    assert_same_as_refits(fitted, data, "herd", herds, np.unique(herds) if nagq == 1 else ["1", "11"])
    assert_same_as_refits(fitted, data, None, data.index.to_numpy(), data.index[:: 1 if nagq == 1 else 12])


def test_districts_of_contraception():
    data = mfx.load_dataset("contraception")
    districts = data["district"].astype(str).to_numpy()
    found = assert_same_as_refits(
        lambda rows: mfx.glmer(CONTRACEPTION, rows, family="binomial"), data, "district", districts, ["1", "11", "14"]
    )
    assert "sigma" not in found.to_frame()


def test_a_dispersion_and_prior_weights():
    rng = np.random.default_rng(3)
    group, x = rng.integers(0, 20, 200), rng.normal(size=200)
    mean = np.exp(1 + 0.3 * x + 0.5 * rng.normal(size=20)[group])
    data = pd.DataFrame({"y": rng.gamma(3.0, mean / 3.0), "x": x, "g": group, "w": rng.uniform(0.5, 2.0, 200)})

    def fitted(rows):
        return mfx.glmer("y ~ x + (1 | g)", rows, family=mfx.families.Gamma(link="log"), weights="w")

    found = assert_same_as_refits(fitted, data, "g", group, [0, 7])
    exact = fitted(data[group != 7])
    assert found.further.loc[7].to_numpy() == pytest.approx(exact.phi, abs=1e-4)
    assert found.variance_change.loc[7].iloc[-1] == pytest.approx(exact.scale / fitted(data).scale - 1, abs=1e-4)


def test_a_variance_that_vanishes_is_settled_by_a_fit():
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(12), 8)
    eta = np.where(group == 3, 2.5, 0.0)
    data = pd.DataFrame({"y": rng.poisson(np.exp(eta)), "x": rng.normal(size=96), "g": group})
    found = mfx.influence(mfx.glmer("y ~ x + (1 | g)", data, family="poisson"), "g")
    with pytest.warns(mfx.SingularFitWarning):
        exact = mfx.glmer("y ~ x + (1 | g)", data[group != 3], family="poisson")
    assert exact.theta.iloc[0] == 0.0
    assert found.theta.loc[3].iloc[0] == 0.0
    assert found.params.loc[3].to_numpy() == pytest.approx(exact.params.to_numpy(), abs=1e-5)


def test_effects_that_cannot_be_estimated_are_nan():
    data = mfx.load_dataset("cbpp")
    none = mfx.influence(mfx.glmer(CBPP.replace("period", "0"), data, family="binomial"), "herd")
    assert none.to_frame()["cooks_distance"].to_numpy() == pytest.approx(0.0)
    data["first"] = (data["herd"].astype(str) == "1") * 1.0
    found = mfx.influence(mfx.glmer(CBPP.replace("period", "first"), data, family="binomial"), "herd")
    assert found.params.loc["1"].isna().all()
    assert found.params.drop("1").notna().all().all()


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_a_response_that_is_separated_without_a_set_has_no_estimates():
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(15), 10)
    y = rng.integers(0, 2, 150)
    data = pd.DataFrame({"y": y, "g": group, "x": np.where(group == 3, 1, (group == 4) * y)})
    found = mfx.influence(mfx.glmer("y ~ x + (1 | g)", data, family="binomial"), "g")
    assert found.params.loc[3].isna().all()
    assert found.params.drop(3).notna().all().all()
    assert np.isnan(found.cooks_distance[3])


@pytest.mark.parametrize(
    "residual",
    [mfx.VarIdent("Sex"), mfx.AR1("age", group="Subject"), mfx.VarIdent("Sex") * mfx.CAR1("age", group="Subject")],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_residual_structures(residual):
    data = mfx.load_dataset("orthodont")

    def fitted(rows):
        return mfx.lmer(ORTHODONT, rows, residual=residual)

    subjects = data["Subject"].astype(str).to_numpy()
    found = assert_same_as_refits(fitted, data, "Subject", subjects, ["M01", "M09", "F11"], 1e-5, 1e-5)
    rho = fitted(data[subjects != "M09"]).solution
    assert found.further.loc["M09"].to_numpy() == pytest.approx(rho.problem.residual.natural(rho.rho), abs=1e-5)
    halves = np.where(np.isin(subjects, np.unique(subjects)[::2]), "one", "other")
    rows = mfx.influence(fitted(data), np.where(np.arange(108) == 50, "out", halves))
    exact = fitted(data.drop(index=data.index[50]))
    assert rows.params.loc["out"].to_numpy() == pytest.approx(exact.params.to_numpy(), abs=1e-5)


CORRELATED = {
    "plain": ("y ~ x + (1 | g)", 1.0, mfx.AR1("t", group="g"), True),
    "ml, by the order of the rows": ("y ~ x + (1 | g)", 1.0, mfx.AR1(group="g"), False),
    "no variance": ("y ~ x + (1 | g)", 0.0, mfx.AR1("t", group="g"), True),
    "slopes without a variance of their own": ("y ~ x + (x | g)", 1.0, mfx.AR1("t", group="g"), True),
    "no effects": ("y ~ x", 1.0, mfx.AR1("t", group="g"), True),
    "two structures": ("y ~ x + (1 | g)", 1.0, mfx.VarExp("x") * mfx.AR1("t", group="g"), True),
}


def correlated(case):
    """Rows, and how they are fitted."""
    formula, sd, residual, reml = CORRELATED[case]
    rng = np.random.default_rng(6)
    g, t, x = np.repeat(np.arange(8), 12), np.tile(np.arange(12), 8), rng.normal(size=96)
    errors = rng.normal(size=(8, 12))
    for now in range(1, 12):
        errors[:, now] = 0.5 * errors[:, now - 1] + 0.75**0.5 * errors[:, now]
    data = pd.DataFrame({"y": 1 + x + sd * rng.normal(size=8)[g] + errors.ravel(), "x": x, "g": g, "t": t})
    return data, lambda rows: mfx.lmer(formula, rows, residual=residual, reml=reml)


@pytest.mark.parametrize("case", CORRELATED)
@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_correlated_residuals_without_a_row_a_group_or_several(case):
    data, fitted = correlated(case)
    sets = np.select([data["g"] == 7, data.index == 40, data["g"] < 3], ["group", "row", "three groups"], "rest")
    found = mfx.influence(fitted(data), sets)
    for name in ("row", "group", "three groups"):
        exact = fitted(data[sets != name])
        assert found.params.loc[name].to_numpy() == pytest.approx(exact.params.to_numpy(), abs=1e-6)
        assert found.bse.loc[name].to_numpy() == pytest.approx(exact.bse.to_numpy(), rel=1e-5)
        assert found.theta.loc[name].to_numpy() == pytest.approx(exact.theta.to_numpy(), abs=1e-5)
        natural = exact.solution.residual.natural(exact.solution.rho)
        assert found.further.loc[name].to_numpy() == pytest.approx(natural, abs=1e-5)
        assert found.sigma[name] == pytest.approx(exact.sigma, rel=1e-5)


@pytest.mark.parametrize("case", CORRELATED)
@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_a_row_costs_a_few_evaluations_whatever_the_boundary(case, monkeypatch):
    """The Hessian, which takes many, is that of all rows."""
    data, fitted = correlated(case)
    fit, evaluate, refit, costs = fitted(data), ResidualCriterion.__call__, without._linear_refit, []

    def counted(self, x):
        costs[-1] += 1
        return evaluate(self, x)

    monkeypatch.setattr(ResidualCriterion, "__call__", counted)
    monkeypatch.setattr(without, "_linear_refit", lambda *arguments: costs.append(0) or refit(*arguments))
    costs.append(0)
    mfx.influence(fit, np.where(data["t"] == 3, data.index, -1))
    assert max(costs[2:]) < 8  # the first set is of all other rows


def dense_leverages(X, Z, R):
    """Diagonals of both parts of the matrix that makes fitted values, Z times a root of the covariance."""
    G = Z @ Z.T
    inverse = np.linalg.inv(G + R)
    fixed = X @ np.linalg.inv(X.T @ inverse @ X) @ X.T @ inverse
    return fixed.diagonal(), (G @ inverse @ (np.eye(len(X)) - fixed)).diagonal()


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_leverages_of_the_working_model(family):
    data = mfx.load_dataset("cbpp")
    formula = CBPP if family == "binomial" else "incidence ~ period + (1 | herd) + offset(log(size))"
    fit = mfx.glmer(formula, data, family=family)
    mean = fit.fittedvalues.to_numpy()
    weights = data["size"].to_numpy() * mean * (1 - mean) if family == "binomial" else mean
    herds = pd.get_dummies(data["herd"]).to_numpy(dtype=float)
    Z = fit.theta.iloc[0] * herds
    fixed, random = dense_leverages(fit.design.fixed.matrix, Z, np.diag(1 / weights))
    found = mfx.leverage(fit)
    assert found["fixed"].to_numpy() == pytest.approx(fixed, abs=1e-9)
    assert found["random"].to_numpy() == pytest.approx(random, abs=1e-9)


def test_a_gaussian_family_has_the_leverages_and_the_influence_of_the_linear_model():
    data = mfx.load_dataset("sleepstudy")
    formula = "Reaction ~ Days + (Days | Subject)"
    linear, other = mfx.lmer(formula, data, reml=False), mfx.glmer(formula, data, family="gaussian")
    expected = mfx.leverage(linear)
    assert mfx.leverage(other).to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-5)
    mine, theirs = mfx.influence(other, "Subject"), mfx.influence(linear, "Subject")
    assert mine.params.to_numpy() == pytest.approx(theirs.params.to_numpy(), abs=2e-3)
    assert mine.sigma.to_numpy() == pytest.approx(theirs.sigma.to_numpy(), rel=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_leverages_with_a_residual_structure(weighted):
    data = mfx.load_dataset("orthodont")
    data["w"] = np.random.default_rng(0).uniform(0.5, 2.0, len(data))
    residual = mfx.VarIdent("Sex") * mfx.AR1("age", group="Subject")
    fit = mfx.lmer(ORTHODONT, data, residual=residual, weights="w" if weighted else None)
    root = fit.solution.problem.residual.unwhiten(fit.solution.rho, np.eye(len(data)))
    weights = data["w"].to_numpy() if weighted else np.ones(len(data))
    Z = fit.theta.iloc[0] * pd.get_dummies(data["Subject"]).to_numpy(dtype=float)
    R = root @ root.T / np.sqrt(np.outer(weights, weights))
    fixed, random = dense_leverages(fit.design.fixed.matrix, Z, R)
    found = mfx.leverage(fit)
    assert found["fixed"].to_numpy() == pytest.approx(fixed, abs=1e-9)
    assert found["random"].to_numpy() == pytest.approx(random, abs=1e-9)
