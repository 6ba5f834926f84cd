"""Laws of scale: the units of response and weights, and the size of what the fixed effects explain, change nothing."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx


def few_groups(seed: int = 1) -> tuple[pd.DataFrame, np.ndarray]:
    """Columns x and g of 96 rows, and a response of standard deviation 1 around zero."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(12), 8)
    return pd.DataFrame({"x": rng.normal(size=96), "g": g}), rng.normal(size=12)[g] + rng.normal(size=96)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(("size", "digits"), [(1e-4, 1e-9), (1e-6, 1e-8), (1e-8, 1e-6), (1e-10, 1e-4)])
def test_what_the_fixed_effects_explain_changes_nothing(size, digits, reml):
    data, e = few_groups()
    whole = mfx.lmer("e ~ x + (1 | g)", data.assign(e=e), reml=reml)
    fit = mfx.lmer("y ~ x + (1 | g)", data.assign(y=1.0 + data.x + size * e), reml=reml)
    assert fit.converged
    assert fit.llf + (fit.nobs - 2 * reml) * np.log(size) == pytest.approx(whole.llf, abs=100 * digits)
    sd, expected = (f.varcorr.to_frame()["sd"].to_numpy() for f in (fit, whole))
    np.testing.assert_allclose(sd / size, expected, rtol=digits)
    np.testing.assert_allclose(fit.bse / size, whole.bse, rtol=digits)
    np.testing.assert_allclose((fit.params - 1.0) / size, whole.params, rtol=digits, atol=1e-15 / size)


def test_a_refit_to_nearly_exact_responses_is_a_fit():
    data, e = few_groups()
    Y = np.column_stack([1.0 + data.x + 1e-8 * e, e, 5.0 - 1e-9 * e + data.x])
    first = mfx.lmer("y ~ x + (1 | g)", data.assign(y=Y[:, 0]))
    for y in Y.T:
        fresh = mfx.lmer("y ~ x + (1 | g)", data.assign(y=y))
        again = first.refit(y)
        assert again.llf == pytest.approx(fresh.llf, abs=1e-5)
        np.testing.assert_allclose(again.bse, fresh.bse, rtol=1e-5)


WEIGHTED = {
    "plain": ("y ~ x + (x | g)", {}),
    "independent": ("y ~ x + (1 | g) + (0 + x | g)", {}),
    "structured": ("y ~ x + cs(1 + x | g)", {}),
    "residual": ("y ~ x + (1 | g)", {"residual": mfx.VarIdent("h")}),
    "serial": ("y ~ x + (1 | g)", {"residual": mfx.AR1("t", group="g")}),
}


@pytest.mark.parametrize("scale", [1e9, 1e100, 1e-100, 1e-300])
@pytest.mark.parametrize("model", list(WEIGHTED))
def test_a_common_scale_of_the_weights_changes_nothing(model, scale):
    formula, options = WEIGHTED[model]
    data, e = few_groups(2)
    data = data.assign(y=e, h=np.where(data.x > 0, "a", "b"), t=np.tile(np.arange(8), 12))
    weights = np.random.default_rng(3).uniform(0.3, 3.0, 96)
    usual, scaled = (mfx.lmer(formula, data, weights=w, **options) for w in (weights, weights * scale))
    assert scaled.converged
    assert usual.is_singular == scaled.is_singular
    assert scaled.llf == pytest.approx(usual.llf, abs=1e-7)
    assert scaled.sigma / np.sqrt(scale) == pytest.approx(usual.sigma, rel=1e-5)
    np.testing.assert_allclose(scaled.bse, usual.bse, rtol=1e-5)
    np.testing.assert_allclose(scaled.params, usual.params, atol=1e-5)


@pytest.mark.parametrize("size", [1e-10, 1e-5, 1e10, 1e60])
def test_the_unit_of_known_variances_changes_nothing(size):
    rng = np.random.default_rng(6)
    v = rng.uniform(0.1, 1.0, 15)
    y = 0.5 + rng.normal(size=15) + np.sqrt(v) * rng.normal(size=15)
    data = pd.DataFrame({"study": np.arange(15), "y": y * size, "v": v * size**2})
    usual = mfx.lmer("y ~ 1 + (1 | study)", data.assign(y=y, v=v), residual=mfx.KnownVariance("v"))
    by_residual = mfx.lmer("y ~ 1 + (1 | study)", data, residual=mfx.KnownVariance("v"))
    by_weights = mfx.lmer("y ~ 1 + (1 | study)", data, weights=1 / data.v, sigma=1.0)
    for fit in (by_residual, by_weights):
        assert fit.converged
        assert fit.is_singular == usual.is_singular
        assert fit.llf + 14 * np.log(size) == pytest.approx(usual.llf, abs=1e-7)
        np.testing.assert_allclose(fit.bse / size, usual.bse, rtol=1e-6)
        np.testing.assert_allclose(fit.theta / size, usual.theta, rtol=1e-5)


def test_one_row_of_a_large_weight_is_fitted_exactly_and_no_more():
    data, e = few_groups(2)
    fits = []
    for heavy in (1e7, 1e8, 1e9):
        weights = np.where(np.arange(96) == 3, heavy, 1.0)
        fit = mfx.lmer("y ~ x + (x | g)", data.assign(y=e), weights=weights)
        assert fit.converged
        fits.append(np.array([*fit.bse, fit.sigma, fit.llf]))
    np.testing.assert_allclose(fits[1], fits[0], rtol=1e-4)
    np.testing.assert_allclose(fits[2], fits[0], rtol=1e-4)


@pytest.mark.parametrize("heavy", [1e15, 1e40, 1e200])
def test_a_weight_beside_which_the_others_vanish_is_refused(heavy):
    data, e = few_groups(2)
    weights = np.where(np.arange(96) == 3, heavy, 1.0)
    with pytest.raises(mfx.DataError, match=r"row 3 weighs 1e\+"):
        mfx.lmer("y ~ x + (x | g)", data.assign(y=e), weights=weights)


@pytest.mark.parametrize("scale", [1e12, 1e100, 1e-300])
@pytest.mark.parametrize("family", ["gaussian", "gamma", "inverse_gaussian", "student_t", "tweedie"])
def test_a_common_scale_of_precision_weights_changes_nothing(family, scale):
    data = mfx.load_dataset("sleepstudy")
    weights = np.random.default_rng(0).uniform(0.2, 3.0, len(data))
    options = {} if family in ("gaussian", "student_t") else {"link": "log"}
    usual, scaled = (
        mfx.glmer("Reaction ~ Days + (1 | Subject)", data, family=family, weights=w, **options)
        for w in (weights, weights * scale)
    )
    assert scaled.converged
    assert scaled.llf == pytest.approx(usual.llf, abs=1e-5)
    assert scaled.sigma / np.sqrt(scale) == pytest.approx(usual.sigma, rel=1e-5)
    np.testing.assert_allclose(scaled.bse, usual.bse, rtol=1e-4)
    np.testing.assert_allclose(scaled.theta, usual.theta, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e100, 1e-100])
def test_a_common_scale_of_weights_beside_a_dispersion_formula(scale):
    data = mfx.load_dataset("sleepstudy")
    weights = np.random.default_rng(0).uniform(0.2, 3.0, len(data))
    usual, scaled = (
        mfx.glmer("Reaction ~ Days + (1 | Subject)", data, family="gaussian", dispersion="~ Days", weights=w)
        for w in (weights, weights * scale)
    )
    assert scaled.converged
    assert scaled.llf == pytest.approx(usual.llf, abs=1e-5)
    np.testing.assert_allclose(scaled.bse, usual.bse, rtol=1e-4)


@pytest.mark.parametrize(("shift", "digits"), [(1e6, 1e-8), (1e8, 1e-7), (1e10, 1e-5), (1e12, 1e-3)])
@pytest.mark.parametrize("family", ["gaussian", "student_t"])
def test_a_large_mean_changes_nothing_but_the_intercept(family, shift, digits):
    data, e = few_groups(3)
    rounded = (e + shift) - shift  # the digits that are left beside the mean
    formula = "y ~ x + (1 | g)"
    usual = mfx.glmer(formula, data.assign(y=rounded), family=family)
    moved = mfx.glmer(formula, data.assign(y=rounded + shift), family=family)
    assert moved.converged
    assert moved.llf == pytest.approx(usual.llf, abs=1e-5)
    np.testing.assert_allclose(moved.bse, usual.bse, rtol=digits)
    np.testing.assert_allclose(moved.theta, usual.theta, rtol=digits)
    assert moved.params["x"] == pytest.approx(usual.params["x"], abs=digits)
    np.testing.assert_allclose(moved.fittedvalues - shift, usual.fittedvalues, atol=4e-16 * shift + digits)
    again = moved.refit(rounded + shift)
    np.testing.assert_allclose(again.bse, usual.bse, rtol=max(10 * digits, 1e-5))  # by differences from elsewhere
