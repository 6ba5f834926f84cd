"""Names that users of statsmodels' MixedLM look for: what they say agrees with the rest, and with statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

import mixedfx as mfx

FORMULAS = [
    "y ~ x + f + (x | g)",
    "y ~ x + f + (1 | g) + (0 + x | g)",
    "y ~ x * f + (1 | h) + (x | g)",
    "y ~ x + (1 | h / g)",
]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(11)
    g = np.repeat(np.arange(15), 8)
    x, f = rng.normal(size=g.size), rng.integers(0, 3, g.size)
    linear = 1 + 0.5 * x + rng.normal(0, 0.8, 15)[g] + rng.normal(0, 0.5, 15)[g] * x
    return pd.DataFrame(
        {
            "g": g,
            "h": rng.integers(0, 5, g.size),
            "x": x,
            "f": np.array(["a", "b", "c"])[f],
            "y": linear + rng.normal(size=g.size),
            "k": rng.poisson(np.exp(0.3 * linear)),
        }
    )


def fits(formula, data):
    return mfx.lmer(formula, data), mfx.glmer(formula.replace("y ~", "k ~"), data, family="poisson")


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
@pytest.mark.parametrize("formula", FORMULAS)
def test_conditional_covariances_have_the_squared_standard_deviations(formula, data):
    for fit in fits(formula, data):
        assert set(fit.random_effects_cov) == set(fit.random_effects)
        for group, frame in fit.random_effects_cov.items():
            names = list(fit.random_effects[group].columns)
            blocks = frame.to_numpy().reshape(-1, len(names), len(names))
            assert list(frame.columns) == names
            assert blocks == pytest.approx(np.swapaxes(blocks, 1, 2), rel=1e-9, abs=1e-12)
            sd = fit.random_effects_sd[group]
            assert np.sqrt(np.einsum("mii->mi", blocks)) == pytest.approx(sd.to_numpy(), rel=1e-9)
            level = sd.index[3]
            inside = frame.loc[level] if not isinstance(level, tuple) else frame.loc[(*level, slice(None)), :]
            assert inside.to_numpy() == pytest.approx(blocks[3])


@pytest.mark.parametrize(("formula", "by_level"), [(FORMULAS[0], True), (FORMULAS[1], False)])
def test_conditional_covariances_against_dense(formula, by_level, data):
    """Also those between effects of two terms of one group: (Z' Z / sigma^2 + G^-1)^-1."""
    fit = mfx.lmer(formula, data)
    Z, L = fit.model.exog_re.toarray(), fit.model.Lambda(fit.theta).toarray()
    whole = fit.scale * L @ np.linalg.inv(L.T @ Z.T @ Z @ L + np.eye(Z.shape[1])) @ L.T
    m = fit.n_groups["g"]
    at = np.arange(2 * m).reshape(m, 2) if by_level else np.arange(2 * m).reshape(2, m).T
    dense = np.stack([whole[np.ix_(own, own)] for own in at])
    assert fit.random_effects_cov["g"].to_numpy().reshape(-1, 2, 2) == pytest.approx(dense, rel=1e-7, abs=1e-10)


def test_conditional_covariances_are_those_of_statsmodels(data):
    ours = mfx.lmer("y ~ x + (x | g)", data)
    theirs = smf.mixedlm("y ~ x", data, groups="g", re_formula="~ x").fit()
    for level, block in theirs.random_effects_cov.items():
        assert ours.random_effects_cov["g"].loc[level].to_numpy() == pytest.approx(block.to_numpy(), rel=0.01, abs=1e-3)


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
@pytest.mark.parametrize("formula", FORMULAS)
def test_standard_errors_of_variances_label_those_that_are_estimated(formula, data):
    for fit in fits(formula, data):
        covariance = fit.cov_varpar("variance")
        assert len(fit.bse_re) == len(fit.theta)
        assert fit.bse_re.to_numpy() ** 2 == pytest.approx(np.diag(covariance)[: len(fit.theta)], nan_ok=True)


@pytest.mark.parametrize("formula", FORMULAS[:3])
def test_terms_are_tested_as_by_statsmodels(formula, data):
    for fit in fits(formula, data):
        table = fit.wald_test_terms()
        for term, columns in fit.design.fixed.terms.items():
            test = fit.wald_test(np.eye(len(fit.params))[list(columns)])
            assert table.loc[term, "pvalue"] == pytest.approx(test.pvalue, rel=1e-9)
        several = fit.wald_test_terms(skip_single=True)
        assert (several["df_constraint"] > 1).all()
        chi = fit.wald_test_terms(ddf="z")
        b, V = fit.params.to_numpy(), fit.cov_params().to_numpy()
        own = list(fit.design.fixed.terms["f"]) if "f" in fit.design.fixed.terms else [1]
        name = "f" if "f" in fit.design.fixed.terms else "x"
        expected = b[own] @ np.linalg.solve(V[np.ix_(own, own)], b[own])
        assert chi.loc[name, "statistic"] == pytest.approx(expected, rel=1e-9)
        assert np.isinf(chi["df_denom"]).all()


def test_likelihood_and_score_of_a_model_without_fitting(data):
    linear, counts = fits(FORMULAS[0], data)
    assert linear.model.loglike(linear.theta) == pytest.approx(linear.llf, rel=1e-12)
    ml = linear.update(reml=False)
    assert ml.model.loglike(ml.theta, reml=False) == pytest.approx(ml.llf, rel=1e-12)
    assert np.abs(linear.model.score(linear.theta)).max() < 1e-5
    at = linear.theta.to_numpy() * 1.1
    numeric = [(linear.model.loglike(at + h) - linear.model.loglike(at - h)) / 2e-5 for h in 1e-5 * np.eye(len(at))]
    assert linear.model.score(at) == pytest.approx(np.array(numeric), rel=1e-5)
    start = np.concatenate([counts.params.to_numpy(), counts.theta.to_numpy()])
    assert counts.model.loglike(start) == pytest.approx(counts.llf, rel=1e-9)


@pytest.mark.parametrize("name", ["nobs", "hessian", "predict", "exog_vc", "k_fe", "n_totobs", "endogg"])
def test_models_say_what_a_name_is_called(name, data):
    model = mfx.LinearMixedModel(FORMULAS[0], data)
    with pytest.raises(AttributeError, match=r"write|did you mean"):
        getattr(model, name)
