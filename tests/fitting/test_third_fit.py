"""A third kind of fit, least squares with a known standard deviation, goes through all floors above ``fitting``."""

import inspect
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

import mixedfx as mfx
from mixedfx import plots
from mixedfx.families import family_for
from mixedfx.fitting import Certificate, Fit
from mixedfx.fitting.errors import PredictorErrors
from mixedfx.fitting.response import GaussianResponse
from mixedfx.matrices import Design, build_design
from mixedfx.models import load
from mixedfx.models.base import MixedModel
from mixedfx.models.inputs import ModelInputs
from mixedfx.models.storage import register
from mixedfx.results.base import MixedResults


@dataclass(frozen=True)
class Problem:
    """What is solved: a design without random effects, and no inner scale."""

    design: Design


class LeastSquares(Fit):
    """``y = X beta + e``, the standard deviation of ``e`` known."""

    kind, title = "least squares", "Least squares"

    def __init__(self, problem, sigma):
        self.problem, self._sigma = problem, sigma

    family = family_for("gaussian")
    theta = x = np.zeros(0)
    roots = modes = covariances = mode_variances = ()
    has_sigma = False
    certificate = Certificate(0.0, 0, 0, (), False, 1, 1)

    @property
    def beta(self):
        return np.linalg.lstsq(self.design.fixed.matrix, self.design.response.values, rcond=None)[0]

    @property
    def beta_covariance(self):
        return self.error_root @ self.error_root.T

    @property
    def error_root(self):
        return self._sigma * np.linalg.pinv(self.design.fixed.matrix)

    @property
    def scale(self):
        return self._sigma**2

    @property
    def llf(self):
        return stats.norm.logpdf(self.design.response.values, self.design.fixed.matrix @ self.beta, self._sigma).sum()

    @property
    def n_parameters(self):
        return self.beta.size

    @property
    def response(self):
        return GaussianResponse(self.design, self.family, self._sigma, None, np.zeros(0), self.beta)

    def predictor_errors(self, rows):
        return PredictorErrors(rows.x, np.zeros(len(rows.x)), np.zeros(len(rows.x)))

    def factor_covariance(self, factor):
        raise IndexError(factor)

    def joint_covariance(self):
        return self.beta_covariance

    def weighted_rows(self, matrix):
        return matrix

    def leverages(self):
        hat = self.design.fixed.matrix @ np.linalg.pinv(self.design.fixed.matrix)
        return hat.diagonal(), np.zeros(len(hat))

    def drawn_predictor(self, effects, rng):
        errors = self.error_root @ rng.standard_normal(self.error_root.shape[1])
        return self.design.fixed.matrix @ (self.beta + errors)

    def with_response(self, y):
        return Problem(replace(self.design, response=replace(self.design.response, values=y)))

    def on_rows(self, design, rows):
        return Problem(design)

    def stored(self):
        return {"sigma": self._sigma}, {}


class LeastSquaresModel(MixedModel):
    """The model: how its problem is built, and how it is fitted."""

    def __init__(self, formula, data, *, sigma):
        self.design, self.sigma = build_design(formula, data), sigma
        self.inputs = ModelInputs.of(self.design.formula, data, {"sigma": sigma})

    def fit(self):
        return self._results(LeastSquares(Problem(self.design), self.sigma))

    def objective(self, beta):
        error = self.endog - self.exog @ beta
        value = -2.0 * stats.norm.logpdf(error, scale=self.sigma).sum()
        return value, -2.0 * self.exog.T @ error / self.sigma**2

    def _prepared(self, reml):
        return Problem(self.design)

    def _again(self, earlier, problem):
        return LeastSquares(problem, self.sigma)

    def _stored_fit(self, state, arrays):
        return LeastSquares(Problem(self.design), state["sigma"])

    def _results(self, fit, asked=None):
        return MixedResults(self, fit, asked or {})


register(LeastSquares.kind, LeastSquaresModel)

SIGMA = 0.5


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    f, x = np.tile(["a", "b", "c"], 20), rng.normal(size=60)
    return pd.DataFrame({"f": f, "x": x, "y": x + (f == "b") + SIGMA * rng.normal(size=60)})


@pytest.fixture(scope="module")
def fit(data):
    return LeastSquaresModel("y ~ f + x", data, sigma=SIGMA).fit()


@pytest.fixture(scope="module")
def truth(data):
    """The same by statsmodels, its standard errors scaled to the known standard deviation."""
    return smf.ols("y ~ f + x", data).fit(cov_type="fixed scale", cov_kwds={"scale": SIGMA**2})


def test_the_kind_is_small():
    source = inspect.getsource(LeastSquares).splitlines()
    assert len(source) <= 80


def test_summary_and_estimates(fit, truth):
    assert np.allclose(fit.params, truth.params)
    assert np.allclose(fit.bse, truth.bse)
    assert np.allclose(fit.conf_int(), truth.conf_int())
    assert all(name in str(fit.summary()) for name in ("Least squares", *fit.params.index))
    assert np.allclose(fit.t_test("x = 1").pvalue, truth.t_test("x = 1").pvalue)


def test_predictions(fit, truth, data):
    new = data.head(3)
    assert np.allclose(fit.predict(new), truth.predict(new))
    frame, theirs = fit.get_prediction(new).summary_frame(), truth.get_prediction(new).summary_frame()
    assert np.allclose(frame["mean_se"], theirs["mean_se"])
    assert np.allclose(fit.fittedvalues, truth.fittedvalues)
    assert np.allclose(fit.residuals("pearson"), truth.resid / SIGMA)


def test_simulate_and_refit(fit):
    draws = fit.simulate(4000, seed=1)
    assert np.allclose(draws.mean(axis=1), fit.fittedvalues, atol=0.05)
    assert np.allclose(draws.std(axis=1), SIGMA, atol=0.05)
    assert np.allclose(fit.refit(fit.fittedvalues).params, fit.params)


def test_bootstrap(fit, truth):
    boot = mfx.bootstrap(fit, 300, seed=1)
    assert list(boot.replicates) == list(fit.params.index)
    assert np.allclose(boot.replicates.std(), truth.bse, rtol=0.2)


def test_marginal_means(fit, truth, data):
    means = mfx.emmeans(fit, "f").to_frame()
    grid = pd.DataFrame({"f": ["a", "b", "c"], "x": data.x.mean()})
    theirs = truth.get_prediction(grid).summary_frame()
    assert np.allclose(means["mean"], theirs["mean"])
    assert np.allclose(means["se"], theirs["mean_se"])


def test_contrasts_and_effects(fit, truth):
    for scale in ("link", "response"):
        ours = mfx.emmeans(fit, "f", scale=scale, integrate=scale == "response").pairs(adjust="none").to_frame()
        theirs = mfx.emmeans(truth, "f", scale=scale, ddf="z").pairs(adjust="none").to_frame()
        np.testing.assert_allclose(ours.select_dtypes(float), theirs.select_dtypes(float), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mfx.joint_tests(fit)["chi2"], mfx.joint_tests(truth, ddf="z")["chi2"])
    np.testing.assert_allclose(mfx.marginal_effects(fit)["std_error"], mfx.marginal_effects(truth)["std_error"])
    assert mfx.hypotheses(fit, "b2 / b4")["estimate"].item() == pytest.approx(fit.params.iloc[1] / fit.params.iloc[3])
    with pytest.raises(mfx.SpecificationError, match="sigma="):
        mfx.eff_size(mfx.emmeans(fit, "f"))
    sizes = mfx.eff_size(mfx.emmeans(fit, "f"), sigma=SIGMA).to_frame()
    np.testing.assert_allclose(sizes["effect_size"], mfx.emmeans(fit, "f").pairs().to_frame()["estimate"] / SIGMA)


def test_tables(fit, truth):
    table = mfx.tidy(fit).query("effect == 'fixed'")
    assert np.allclose(table["estimate"], truth.params)
    assert np.allclose(table["std_error"], truth.bse)
    assert mfx.glance(fit)["llf"].item() == pytest.approx(fit.llf)
    assert np.allclose(mfx.augment(fit)[".fitted"], truth.fittedvalues)


def test_diagnostics(fit, truth):
    assert np.allclose(mfx.leverage(fit)["total"], truth.get_influence().hat_matrix_diag)
    assert mfx.quantile_residuals(fit, 200, seed=1).uniformity()["pvalue"] > 1e-3
    assert mfx.check(fit).to_frame().loc["distribution", "verdict"] == "well"


@pytest.mark.parametrize("call", [mfx.profile, mfx.influence, lambda fit: fit.cov_varpar()])
def test_what_the_kind_has_no_answer_to_is_said(fit, call):
    with pytest.raises(mfx.SpecificationError, match="least squares has no"):
        call(fit)


def test_explanation(fit):
    explanation = mfx.explain(fit)
    text = " ".join(explanation.sentences)
    assert f"standard deviation {SIGMA:.3f} (given, not estimated)" in text
    assert "Fitted by maximum likelihood." in text
    assert "yᵢ = β₀ + " in explanation.equations.plain
    assert explanation.diagram.lines == ("y ~ normal(μ, σ²),  μ = Xβ",)
    assert not {"lme4", "glmmTMB", "nlme"} & set(explanation.code)  # they estimate the standard deviation
    assert explanation._repr_html_().startswith("<svg")


def test_pictures(fit, truth):
    frame = plots.residual_frame(fit)
    assert np.allclose(frame["fitted"], truth.fittedvalues)
    assert np.allclose(frame["residual"], truth.resid / SIGMA)
    assert plots.residuals(fit).get_xlabel() == "fitted value"
    assert list(plots.effect_frame(fit, "f")["x"]) == ["a", "b", "c"]
    assert np.allclose(plots.forest_frame(fit)["estimate"], truth.params[1:])


def test_anova(fit, truth):
    ours = mfx.anova(fit, type=2).to_frame()
    theirs = truth.wald_test_terms(scalar=True).table
    assert np.allclose(ours.loc["f"].filter(like="PR").item(), theirs.loc["f", "pvalue"])


def test_save_and_load(fit, tmp_path):
    fit.save(tmp_path / "third.mfx")
    again = load(tmp_path / "third.mfx")
    assert np.array_equal(again.params, fit.params)
    assert again.llf == fit.llf
