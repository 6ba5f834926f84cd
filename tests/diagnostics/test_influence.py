"""Influence against fits without the rows, leverages against the dense hat matrix."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.fitting import without

SLEEP, PASTES = "Reaction ~ Days + (Days | Subject)", "strength ~ 1 + (1 | batch/cask)"
TOLERANCE = 1e-3  # standard errors: what the project promises


@pytest.fixture(scope="module")
def sleep():
    return mfx.load_dataset("sleepstudy")


def unbalanced(seed=1, m=60, n=600):
    rng = np.random.default_rng(seed)
    g, x = rng.integers(0, m, n), rng.normal(size=n)
    b = rng.multivariate_normal([0, 0], [[1.0, 0.3], [0.3, 0.5]], m)
    y = 1 + x + b[g, 0] + b[g, 1] * x + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "g": g, "w": rng.uniform(0.5, 2.0, n)})


def assert_same_as_refits(formula, data, group, sets, chosen, **options):
    fit = mfx.lmer(formula, data, **options)
    found = mfx.influence(fit, group)
    for label in chosen:
        exact = mfx.lmer(formula, data[sets != label], **options)
        assert np.abs(found.params.loc[label] - exact.params).max() < TOLERANCE * fit.bse.min()
        assert found.bse.loc[label].to_numpy() == pytest.approx(exact.bse.to_numpy(), rel=1e-3)
        assert found.sigma.loc[label] == pytest.approx(exact.sigma, rel=1e-3)
        own = found.variances.loc[label].to_numpy()
        expected = exact.varcorr.to_frame()
        size = float(expected["variance"].max())
        assert own[-1] == pytest.approx(exact.scale, rel=1e-3)
        for term in exact.varcorr.terms:
            kept = found.variances.loc[label, term.group]
            single = [kept[name, ""] for name in term.names]
            assert single == pytest.approx(term.matrix.diagonal().tolist(), rel=1e-3, abs=1e-4 * size)


def test_subjects_and_rows_of_sleepstudy(sleep):
    subjects = sleep["Subject"].astype(str).to_numpy()
    assert_same_as_refits(SLEEP, sleep, "Subject", subjects, ["308", "335", "372"])
    assert_same_as_refits(SLEEP, sleep, None, sleep.index.to_numpy(), [0, 59, 130], reml=False)


def test_nested_factors_by_the_outer_and_the_inner_one():
    data = mfx.load_dataset("pastes")
    assert_same_as_refits(PASTES, data, "batch", data["batch"].astype(str).to_numpy(), ["A", "J"])
    fit = mfx.lmer(PASTES, data)
    found = mfx.influence(fit, "batch:cask")
    label = found.labels[4]
    kept = ~((data["batch"].astype(str) == label[0]) & (data["cask"].astype(str) == label[1])).to_numpy()
    assert found.params.iloc[4, 0] == pytest.approx(mfx.lmer(PASTES, data[kept]).params.iloc[0], abs=1e-6)


def test_crossed_factors():
    data = mfx.load_dataset("penicillin")
    formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"
    assert_same_as_refits(formula, data, "sample", data["sample"].astype(str).to_numpy(), ["A", "F"])


def test_weights_and_the_expansion(monkeypatch):
    data = unbalanced()
    monkeypatch.setattr(without, "EXACT_WORK", 0)
    assert_same_as_refits("y ~ x + (x | g)", data, "g", data["g"].to_numpy(), [0, 7, 33], weights="w")
    assert_same_as_refits("y ~ x + (1 | g)", data, None, data.index.to_numpy(), [3, 400], reml=False)


def test_a_variance_of_zero_stays_or_opens():
    data = mfx.load_dataset("dyestuff2")
    formula = "Yield ~ 1 + (1 | Batch)"
    assert_same_as_refits(formula, data, "Batch", data["Batch"].astype(str).to_numpy(), ["A", "E"])


def test_covariances_that_are_not_linear_are_fitted_one_by_one(sleep):
    formula = "Reaction ~ Days + cs(Days | Subject)"
    fit = mfx.lmer(formula, sleep)
    found = mfx.influence(fit, "Subject")
    exact = mfx.lmer(formula, sleep[sleep["Subject"].astype(str) != "335"])
    assert found.params.loc["335"].to_numpy() == pytest.approx(exact.params.to_numpy(), rel=1e-5)


def test_effects_that_cannot_be_estimated_are_nan():
    data = unbalanced()
    data["only"] = (data["g"] == 5) * 1.0
    found = mfx.influence(mfx.lmer("y ~ x + only + (1 | g)", data), "g")
    assert found.params.loc[5].isna().all()
    assert found.params.drop(5).notna().all().all()
    assert "cannot all be estimated" in str(found)


def test_measures_by_their_definitions(sleep):
    fit = mfx.lmer(SLEEP, sleep)
    found = mfx.influence(fit, "Subject")
    # lme4 1.1-31, dfbetas(influence(fm, "Subject")), which has the other sign
    assert found.dfbetas.loc["308"].to_numpy() == pytest.approx([-0.05872488, 0.4489274], abs=1e-5)
    change = found.dfbeta.loc["309"].to_numpy()
    inverse = np.linalg.inv(fit.cov_params().to_numpy())
    assert found.cooks_distance["309"] == pytest.approx(change @ inverse @ change / 2)
    exact = mfx.lmer(SLEEP, sleep[sleep["Subject"].astype(str) != "309"]).cov_params().to_numpy()
    assert found.covratio["309"] == pytest.approx(np.linalg.det(exact @ inverse), rel=1e-3)
    assert found.covtrace["309"] == pytest.approx(abs(np.trace(exact @ inverse) - 2), abs=1e-3)
    assert found.variance_change.loc["308"].iloc[-1] == pytest.approx(found.sigma["308"] ** 2 / fit.scale - 1)


@pytest.mark.parametrize("weighted", [False, True])
def test_leverages_are_the_diagonal_of_the_hat_matrix(weighted):
    data = unbalanced(n=80, m=8)
    options = {"weights": "w"} if weighted else {}
    fit = mfx.lmer("y ~ x + (x | g)", data, **options)
    w = data["w"].to_numpy() if weighted else np.ones(len(data))
    Z = fit.model.exog_re.toarray() @ fit.model.Lambda(fit.theta.to_numpy()).toarray()
    V = Z @ Z.T + np.diag(1 / w)
    X, inverse = fit.model.exog, np.linalg.inv(V)
    fixed = X @ np.linalg.inv(X.T @ inverse @ X) @ X.T @ inverse
    random = Z @ Z.T @ inverse @ (np.eye(len(w)) - fixed)
    found = mfx.leverage(fit)
    assert found["fixed"].to_numpy() == pytest.approx(fixed.diagonal(), abs=1e-9)
    assert found["random"].to_numpy() == pytest.approx(random.diagonal(), abs=1e-9)


@pytest.mark.filterwarnings("error")
def test_a_set_without_which_errors_are_not_known_leaves_the_measures_of_the_others(sleep):
    found = mfx.influence(mfx.lmer(SLEEP, sleep), "Subject")
    covariance = found.estimates.covariance.copy()
    covariance[3] = np.nan
    lost = replace(found, estimates=replace(found.estimates, covariance=covariance))
    for name in ("cooks_distance", "mdffits", "covratio", "covtrace"):
        measured, expected = (getattr(one, name).to_numpy() for one in (lost, found))
        assert np.delete(measured, 3) == pytest.approx(np.delete(expected, 3), rel=1e-12)
        assert np.isnan(measured[3]) or name == "cooks_distance"


def graded(seed):
    rng = np.random.default_rng(seed)
    data = unbalanced(seed, m=15, n=150).assign(f=rng.choice(list("abc"), 150))
    grade = pd.cut(data["y"], [-np.inf, 0.0, 1.5, np.inf], labels=["low", "mid", "high"])
    return data.assign(grade=grade, passed=pd.Categorical(data["y"] > 0.0, ordered=True))


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
@pytest.mark.parametrize("link", ["logit", "probit"])
def test_leverages_of_two_ordered_categories_are_those_of_a_binary_response(link):
    """The thresholds take the place of the intercept, and its leverage."""
    data = graded(3)
    ordinal, binary = (
        mfx.leverage(mfx.glmer("passed ~ f + x + (1 | g)", data, family=family, link=link))
        for family in ("ordinal", "binomial")
    )
    assert np.allclose(ordinal, binary, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
@pytest.mark.parametrize("formula", ["grade ~ f * x + (1 | g)", "grade ~ f + x + (x | g)", "grade ~ f + (1 | g)"])
def test_leverages_of_ordered_categories_do_not_depend_on_coding_levels_or_origin(formula):
    data = graded(4)
    turned = data.assign(f=pd.Categorical(data["f"], ["c", "a", "b"]), x=data["x"] + 10.0)
    fit = mfx.glmer(formula, data, family="ordinal")
    expected = mfx.leverage(fit)
    assert expected["fixed"].sum() == pytest.approx(len(fit.params) + 1)
    others = {"levels": (turned, None), "coding": (data, {"f": "sum"}), "helmert": (turned, {"f": "helmert"})}
    for rows, contrasts in others.values():
        found = mfx.leverage(mfx.glmer(formula, rows, family="ordinal", contrasts=contrasts))
        assert np.allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_least_confounded_residuals_are_uncorrelated_by_construction(sleep):
    fit = mfx.lmer(SLEEP, sleep)
    found = mfx.least_confounded_residuals(fit)
    marginal = fit.residuals("marginal").to_numpy()
    Z = fit.model.exog_re.toarray() @ fit.model.Lambda(fit.theta.to_numpy()).toarray()
    V = fit.scale * (np.eye(180) + Z @ Z.T)
    assert len(found) == 178
    assert (found**2).sum() == pytest.approx(marginal @ np.linalg.solve(V, marginal))
    assert found.index.max() == pytest.approx(1.0)
    assert found.index.is_monotonic_decreasing


def test_what_cannot_be_done_is_said(sleep):
    fit = mfx.lmer(SLEEP, sleep)
    with pytest.raises(mfx.SpecificationError, match="no grouping factor 'Days'; it has 'Subject'"):
        mfx.influence(fit, "Days")
    with pytest.raises(mfx.DataError, match="3 labels for 180 rows"):
        mfx.influence(fit, [1, 2, 3])
    with pytest.raises(TypeError, match="results of lmer or glmer"):
        mfx.influence(sleep)
    assert len(mfx.influence(fit, sleep["Days"]).params) == 10


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
def test_least_confounded_residuals_beside_a_huge_variance():
    """Found by the fuzzer: the variance of the groups was 1e18 times that of the residuals."""
    rng = np.random.default_rng(3)
    g, noise = np.repeat(np.arange(8), 6), rng.normal(size=48)
    level = 1e3 * rng.normal(size=8)[g]
    for size in (1.0, 1e-4):
        frame = pd.DataFrame({"y": level + size * noise, "g": g})
        found = np.asarray(mfx.least_confounded_residuals(mfx.lmer("y ~ 1 + (1 | g)", frame)))
        assert np.sum(found**2) == pytest.approx(47, rel=1e-4)  # REML: rows less fixed effects
