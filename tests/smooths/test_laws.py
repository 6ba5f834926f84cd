"""Laws of smooths: what must not change anything, what is kept, and what agrees with what."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mfx
from mixedfx.analysis_of_variance.components.linearity import ratio_draws
from mixedfx.covariance import PooledDiagonalCovariance
from mixedfx.inference.smooths import smooth_pvalue
from mixedfx.matrices.smooths import SmoothInputs, learn_smooth
from tests.differences import jacobian

BASES = ("cr", "tp", "ps")


def made(seed=2, n=160):
    rng = np.random.default_rng(seed)
    x, z, f, g = rng.uniform(2, 9, n), rng.normal(size=n), rng.choice(list("abc"), n), rng.integers(0, 10, n)
    y = np.sin(x) + 0.4 * (f == "b") * x + 0.3 * z**2 + rng.normal(0, 0.5, 10)[g] + rng.normal(0, 0.4, n)
    frame = pd.DataFrame({"x": x, "z": z, "f": f, "g": [f"g{k}" for k in g], "y": y})
    return frame.assign(count=rng.poisson(np.exp(0.4 * np.sin(x) + 0.3)))


DATA = made()
FORMULA = "y ~ f + s(x, by=f) + s(z, bs='tp', k=6) + (1 | g)"


@pytest.fixture(scope="module")
def fit():
    return mfx.lmer(FORMULA, DATA)


# ---------------------------------------------------------------- bases
@pytest.mark.parametrize("bs", BASES)
def test_the_random_part_sums_to_zero_has_rows_of_mean_square_one_and_the_straight_line_is_no_part_of_it(bs):
    x = np.random.default_rng(0).gamma(2.0, 3.0, 90)
    smooth = learn_smooth(SmoothInputs(x), k=9, bs=bs)
    Z = smooth.wiggle(SmoothInputs(x))
    assert Z.shape == (90, 7)
    assert Z.sum(axis=0) == pytest.approx(np.zeros(7), abs=1e-8)
    assert np.mean(np.sum(Z**2, axis=1)) == pytest.approx(1.0)
    whole = np.column_stack([np.ones(90), x, Z])
    basis = smooth.basis((x - smooth.low) / smooth.span)
    assert np.linalg.matrix_rank(whole) == 9
    assert whole @ np.linalg.lstsq(whole, basis, rcond=None)[0] == pytest.approx(basis, abs=1e-7)


@pytest.mark.parametrize("bs", ["cr", "tp"])
def test_the_penalty_is_the_integral_of_the_squared_second_derivative(bs):
    """Of a natural spline, whose second derivative is a polygon: zero beyond the data."""
    x = np.random.default_rng(1).uniform(0, 1, 40)
    smooth = learn_smooth(SmoothInputs(x), k=7, bs=bs)
    grid, h = np.linspace(0, 1, 20_001), 1e-4
    low, here, high = (smooth.basis(grid + step) for step in (-h, 0.0, h))
    bent = (low - 2 * here + high) / h**2
    integral = np.trapezoid(bent[:, :, None] * bent[:, None, :], grid, axis=0)
    scale = np.abs(integral).max()
    assert smooth.basis.penalty == pytest.approx(integral, abs=2e-3 * scale)
    u = smooth.penalized.T @ smooth.basis.penalty @ smooth.penalized
    assert u / u[0, 0] == pytest.approx(np.eye(5), abs=1e-8)


@pytest.mark.parametrize("bs", BASES)
def test_a_smooth_goes_on_as_a_straight_line(bs):
    x = np.random.default_rng(1).uniform(0, 1, 60)
    smooth = learn_smooth(SmoothInputs(x), k=8, bs=bs)
    beyond = np.array([1.5, 2.0, 2.5, 3.0])
    for points in (beyond, 1.0 - beyond):
        assert np.diff(smooth.wiggle(SmoothInputs(points)), 2, axis=0) == pytest.approx(np.zeros((2, 6)), abs=1e-9)


# ---------------------------------------------------------------- what changes nothing
@pytest.mark.parametrize("bs", BASES)
@pytest.mark.parametrize("moved", [lambda x: 1e4 + x, lambda x: 1e-3 * x, lambda x: 30 - 7 * x])
def test_shift_scale_and_direction_of_x_change_nothing(bs, moved):
    formula = f"y ~ s(x, bs='{bs}') + (1 | g)"
    one, other = (mfx.lmer(formula, data, reml=False) for data in (DATA, DATA.assign(x=moved(DATA["x"]))))
    assert one.llf == pytest.approx(other.llf, abs=1e-6)
    assert one.fittedvalues.to_numpy() == pytest.approx(other.fittedvalues.to_numpy(), abs=1e-5)
    assert one.smooths["edf"].to_numpy() == pytest.approx(other.smooths["edf"].to_numpy(), abs=1e-4)
    assert one.theta.to_numpy() == pytest.approx(other.theta.to_numpy(), rel=1e-4)


def test_the_order_of_rows_and_of_levels_changes_nothing(fit):
    shuffled = DATA.sample(frac=1, random_state=1)
    shuffled["f"] = pd.Categorical(shuffled["f"], categories=list("cab"))
    other = mfx.lmer(FORMULA, shuffled)
    assert other.llf == pytest.approx(fit.llf, abs=1e-7)
    assert other.fittedvalues[DATA.index].to_numpy() == pytest.approx(fit.fittedvalues.to_numpy(), abs=1e-6)
    pd.testing.assert_frame_equal(other.smooths.loc[fit.smooths.index], fit.smooths, rtol=1e-4)


def test_without_variance_a_smooth_is_a_line():
    line, bent = (mfx.LinearMixedModel(formula, DATA) for formula in ("y ~ x + (1 | g)", "y ~ s(x) + (1 | g)"))
    theta = line.fit(reml=False).theta.to_numpy()
    assert bent.objective([*theta, 0.0], reml=False)[0] == pytest.approx(line.objective(theta, reml=False)[0], abs=1e-8)


def test_a_straight_relation_is_fitted_by_a_straight_line():
    data = DATA.assign(y=1 + 2 * DATA["x"] + np.random.default_rng(8).normal(size=len(DATA)))
    with pytest.warns(mfx.SingularFitWarning, match=r"simpler model: write x for s\(x\)"):
        bent = mfx.lmer("y ~ s(x)", data)
    assert bent.smooths["edf"].tolist() == pytest.approx([1.0])
    assert "straight line" in " ".join(str(bent.summary()).split())
    slope, intercept = np.polyfit(data["x"], data["y"], 1)
    assert bent.fittedvalues.to_numpy() == pytest.approx(intercept + slope * data["x"].to_numpy(), abs=1e-6)
    assert bent.params["s(x)[linear]"] == pytest.approx(slope)
    assert mfx.linearity_test(bent).to_frame()["pvalue"].tolist() == [1.0]


# ---------------------------------------------------------------- coefficients that vary
VARYING, WITH_SLOPE = "y ~ s(x) + s(x, by=z, k=8) + (1 | g)", DATA.assign(y=DATA["y"] + DATA["z"] * np.cos(DATA["x"]))


@pytest.fixture(scope="module")
def coefficient():
    return mfx.lmer(VARYING, WITH_SLOPE)


def test_curves_of_indicators_are_the_curves_of_a_factor():
    """The same columns and the same penalties in other coordinates."""
    data = DATA.assign(**{level: 1.0 * (DATA["f"] == level) for level in "abc"})
    factor = mfx.lmer("y ~ f + s(x, by=f) + (1 | g)", data)
    numbers = mfx.lmer("y ~ 0 + s(x, by=a) + s(x, by=b) + s(x, by=c) + (1 | g)", data)
    assert numbers.fittedvalues.to_numpy() == pytest.approx(factor.fittedvalues.to_numpy(), abs=1e-5)
    assert numbers.smooths["edf"].to_numpy() == pytest.approx(1 + factor.smooths["edf"].to_numpy(), abs=1e-4)
    assert numbers.scale == pytest.approx(factor.scale, rel=1e-6)


@pytest.mark.parametrize("moved", [{"z": 1e3 * DATA["z"]}, {"z": -DATA["z"]}, {"x": 5 - 1e2 * DATA["x"]}])
def test_units_change_nothing_of_a_coefficient_that_varies(coefficient, moved):
    other = mfx.lmer(VARYING, WITH_SLOPE.assign(**moved))
    assert other.fittedvalues.to_numpy() == pytest.approx(coefficient.fittedvalues.to_numpy(), abs=1e-5)
    assert other.smooths["edf"].to_numpy() == pytest.approx(coefficient.smooths["edf"].to_numpy(), abs=1e-4)


def test_the_slope_of_the_number_is_the_coefficient(coefficient):
    curve = mfx.plots.smooth_frame(coefficient, "s(x):z").iloc[[0, 30, 100]]
    trends = mfx.trends(coefficient, "z", at={"x": curve["x"].tolist()}, by="x").to_frame()
    assert trends["estimate"].to_numpy() == pytest.approx(curve["fit"].to_numpy(), rel=1e-6)
    assert trends["se"].to_numpy() == pytest.approx(curve["se"].to_numpy(), rel=1e-4)
    two = coefficient.predict(pd.DataFrame({"x": curve["x"].iloc[[1, 1]], "z": [0.0, 3.0], "g": "g1"})).to_numpy()
    assert (two[1] - two[0]) / 3 == pytest.approx(curve["fit"].iloc[1])


def test_without_bend_the_coefficient_is_a_product():
    """The number and its product with x, whose columns the summary calls constant and linear."""
    line, bent = (mfx.LinearMixedModel(f"y ~ {fixed} + (1 | g)", DATA) for fixed in ("0 + z + z:x", "0 + s(x, by=z)"))
    theta = line.fit(reml=False).theta.to_numpy()
    assert bent.objective([*theta, 0.0], reml=False)[0] == pytest.approx(line.objective(theta, reml=False)[0], abs=1e-8)


@pytest.mark.parametrize(("smooth", "lines"), [("s(x)", "x"), ("s(x, by=z)", "z + z:x"), ("s(x, by=f)", "f:x")])
def test_what_a_warning_says_to_write_is_the_fit_without_bends(smooth, lines):
    data = DATA.assign(y=DATA["z"] + np.random.default_rng(8).normal(size=len(DATA)))
    model = mfx.LinearMixedModel(f"y ~ f + {smooth} + (1 | g)", data)
    term = model.design.random[1]
    assert term.encoder.straight == lines
    line, bends = mfx.LinearMixedModel(f"y ~ f + {lines} + (1 | g)", data), np.zeros(len(term.variances))
    assert model.objective([0.3, *bends], reml=False)[0] == pytest.approx(line.objective([0.3], reml=False)[0])


def test_a_coefficient_that_varies_in_words(coefficient):
    words = " ".join(str(mfx.explain(coefficient)).split())
    assert "s(x):z is the coefficient of z, a curve of" in words
    assert "With the curves s(x) and s(x):z at zero" in words
    assert "·zᵢ" in words
    assert "make z a category" in " ".join(str(coefficient.summary()).split())
    assert "coefficient of z" in mfx.plots.smooth(coefficient, "s(x):z").get_ylabel()
    with pytest.raises(mfx.DataError, match="by=one has the same value in every row"):
        mfx.lmer("y ~ s(x, by=one) + (1 | g)", DATA.assign(one=1.0))


# ---------------------------------------------------------------- after the fit
def test_a_smooth_is_no_group(fit):
    assert fit.n_groups == {"g": 10}
    assert list(fit.random_effects) == list(fit.coefficients) == list(fit.model.groups) == ["g"]
    assert fit.varcorr.to_frame()["term1"].dropna().tolist() == ["Intercept", "f[a]", "f[b]", "f[c]", "smooth"]
    assert "Smooths" in str(fit.summary())


def test_predictions_without_random_effects_keep_smooths(fit):
    effects = fit.random_effects["g"]["Intercept"][DATA["g"]].to_numpy()
    kept = fit.predict(random=False).to_numpy()
    assert kept == pytest.approx(fit.fittedvalues.to_numpy() - effects)
    assert fit.predict(DATA, random=False).to_numpy() == pytest.approx(kept)
    assert fit.predict(DATA, random=["g"]).to_numpy() == pytest.approx(fit.fittedvalues.to_numpy())


def test_new_responses_keep_smooths(fit):
    drawn = fit.simulate(400, seed=1).to_numpy()
    assert drawn.mean(axis=1) == pytest.approx(fit.predict(random=False).to_numpy(), abs=0.35)


def test_standard_errors_are_those_of_the_joint_covariance(fit):
    whole = np.hstack([fit.model.exog, fit.model.exog_re.toarray()])
    variance = np.einsum("ij,jk,ik->i", whole, fit.cov_joint().to_numpy(), whole)
    assert fit.get_prediction().summary_frame()["mean_se"].to_numpy() == pytest.approx(np.sqrt(variance))


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_marginal_means_are_predictions_at_the_mean_of_x(family):
    if family == "gaussian":
        model = mfx.lmer(FORMULA, DATA)
    else:
        model = mfx.glmer("count ~ f + s(x) + (1 | g)", DATA, family="poisson")
    grid = pd.DataFrame({"f": list("abc"), "x": DATA["x"].mean(), "z": DATA["z"].mean(), "g": "g1"})
    means = mfx.emmeans(model, "f", scale="response" if family == "poisson" else "link").to_frame()
    predicted = model.get_prediction(grid, random=False).summary_frame()
    assert means["mean"].to_numpy() == pytest.approx(predicted["mean"].to_numpy())
    assert means["se"].to_numpy() == pytest.approx(predicted["mean_se"].to_numpy(), rel=1e-5)
    assert any("x = " in note for note in mfx.emmeans(model, "f").notes)


def test_intervals_of_means_beside_smooths_are_those_of_predictions_and_know_the_groups():
    model = mfx.lmer("y ~ f + s(x) + (1 | g)", DATA)
    grid = pd.DataFrame({"f": list("abc"), "x": DATA["x"].mean()})
    means = mfx.emmeans(model, "f").to_frame()
    predicted = model.get_prediction(grid, random=False).conf_int()
    np.testing.assert_allclose(means[["lower", "upper"]], predicted, rtol=1e-6)
    picture = mfx.plots.effect_frame(model, "f")
    np.testing.assert_allclose(picture[["lower", "upper"]], predicted, rtol=1e-6)
    assert np.all(means["df"] < 80)  # ten groups: far from the 160 rows
    straight = made(n=80).assign(y=lambda d: d["x"] + d.groupby("g")["y"].transform("mean") + np.tile([-1, 1], 40))
    with pytest.warns(mfx.SingularFitWarning):
        bent = mfx.emmeans(mfx.lmer("y ~ f + s(x) + (1 | g)", straight), "f").to_frame()
    line = mfx.emmeans(mfx.lmer("y ~ f + x + (1 | g)", straight), "f").to_frame()
    np.testing.assert_allclose(bent[["mean", "se", "df"]], line[["mean", "se", "df"]], rtol=1e-4)


def test_without_other_random_effects_the_degrees_of_freedom_are_nearly_those_of_the_rows():
    model = mfx.lmer("y ~ f + s(x)", DATA)
    rest = len(DATA) - 3 - model.smooths["edf"].sum()
    assert mfx.emmeans(model, "f").to_frame()["df"].to_numpy() == pytest.approx(rest, rel=0.08)
    assert mfx.emmeans(model, "f", ddf=7).to_frame()["df"].tolist() == [7.0] * 3
    assert np.isinf(mfx.emmeans(model, "f", ddf="z").to_frame()["df"]).all()


def test_a_smooth_that_levels_share_leaves_their_differences_alone():
    model = mfx.lmer("y ~ f + s(x) + (1 | g)", DATA)
    pairs = mfx.emmeans(model, "f").pairs().to_frame()
    assert pairs["estimate"].iloc[0] == pytest.approx(-model.params["f[T.b]"])
    assert pairs["se"].iloc[0] == pytest.approx(model.bse["f[T.b]"])
    assert pairs["df"].iloc[0] == pytest.approx(model.df["f[T.b]"], rel=1e-6)


def test_anova_tests_whole_smooths(fit):
    table = mfx.anova(fit).to_frame()
    assert list(table.index) == ["f", *fit.smooths.index]
    assert table.loc[fit.smooths.index, "F"].to_numpy() == pytest.approx(fit.smooths["F"].to_numpy())
    assert table.loc[fit.smooths.index, "PR(>F)"].to_numpy() == pytest.approx(fit.smooths["pvalue"].to_numpy())


def test_the_picture_is_the_smooth(fit):
    frame = mfx.plots.smooth_frame(fit)
    assert frame["smooth"].unique().tolist() == fit.smooths.index.tolist()
    own = mfx.plots.smooth_frame(fit, "s(x):f[b]")
    grid = pd.DataFrame({"x": own["x"], "f": "b", "z": 0.0, "g": "g1"})
    predicted = fit.predict(grid).to_numpy()
    assert own["fit"].to_numpy() - own["fit"].iloc[0] == pytest.approx(predicted - predicted[0])
    z = mfx.plots.smooth_frame(fit, "s(z)")
    assert np.interp(DATA["z"], z["x"], z["fit"]).sum() == pytest.approx(0.0, abs=0.5)
    drawn = mfx.plots.smooth(fit, "s(z)")
    assert drawn.lines[1].get_ydata() == pytest.approx(z["fit"].to_numpy())


@pytest.mark.parametrize("formula", [FORMULA, "y ~ s(log(x), bs='ps', k=7)", "y ~ s(x, by=z)"])
def test_saved_and_loaded(formula, tmp_path):
    one = mfx.lmer(formula, DATA)
    one.save(tmp_path / "fit.mfx")
    other = mfx.load(tmp_path / "fit.mfx")
    assert other.llf == one.llf
    pd.testing.assert_frame_equal(other.smooths, one.smooths)
    pd.testing.assert_series_equal(other.predict(DATA.head()), one.predict(DATA.head()))


def test_shares_of_variance_count_smooths_as_fixed(fit):
    fixed = np.var(fit.predict(random=False), ddof=1)
    between = fit.varcorr.to_frame()["variance"].iloc[0]
    assert mfx.r2(fit)["marginal"] == pytest.approx(fixed / (fixed + between + fit.scale))
    assert mfx.icc(fit)["adjusted"] == pytest.approx(between / (between + fit.scale))


# ---------------------------------------------------------------- distributions
@pytest.mark.parametrize(("rank", "df"), [(3.4, 25.0), (1.2, np.inf), (6.0, 50.0), (2.95, 12.0)])
def test_the_tail_of_the_statistic(rank, df):
    rng = np.random.default_rng(4)
    whole, part = int(rank), rank - int(rank)
    drawn = rng.chisquare(whole, 400_000) + part * rng.chisquare(1, 400_000)
    if np.isfinite(df):
        drawn /= rng.chisquare(df, 400_000) / df
    for point in np.quantile(drawn, [0.5, 0.95, 0.99]):
        share = np.mean(drawn >= point)
        assert smooth_pvalue(point, rank, df) == pytest.approx(share, abs=4 * np.sqrt(share / 400_000))
    assert smooth_pvalue(4.0, 2.0, 30.0) == pytest.approx(stats.f.sf(2.0, 2, 30))


def test_the_null_distribution_of_linearity():
    """Against fits to data that are straight lines, one after the other."""
    x = np.random.default_rng(5).uniform(size=40)
    data = pd.DataFrame({"x": x, "y": np.sin(40 * x)})
    fit = mfx.LinearMixedModel("y ~ s(x, k=6)", data)
    Z, rng = fit.design.random[0].matrix, np.random.default_rng(6)
    draws = ratio_draws(fit.exog, Z, 40_000, rng, reml=True)
    grid = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 60)])
    Q = np.linalg.qr(fit.exog)[0]
    noise = rng.normal(size=(40, 3_000))
    noise -= Q @ (Q.T @ noise)
    U, d, _ = np.linalg.svd(Z - Q @ (Q.T @ Z), full_matrices=False)
    rotated, rest = U.T @ noise, (noise**2).sum(axis=0)
    values = []
    for variance in grid:  # the restricted likelihood with V = I + variance Z Z', beside X
        v = 1 + variance * d**2
        quadratic = rest - ((1 - 1 / v)[:, None] * rotated**2).sum(axis=0)
        values.append(-38 * np.log(quadratic) - np.log(v).sum())
    ratio = np.max(values, axis=0) - values[0]
    assert np.mean(draws < 1e-8) == pytest.approx(np.mean(ratio < 1e-8), abs=0.03)
    for level in (0.8, 0.9, 0.95):
        assert np.mean(draws <= np.quantile(ratio, level)) == pytest.approx(level, abs=0.02)


def test_linearity_of_several_smooths(fit):
    table = mfx.linearity_test(fit, n=2_000, seed=1).to_frame()
    assert list(table.index) == list(fit.smooths.index)
    assert (table["pvalue"] < 0.05).all()
    null = mfx.lmer("y ~ f + z + s(x, by=f) + (1 | g)", DATA)
    assert table.loc["s(z)", "lrt"] == pytest.approx(max(2 * (fit.llf - null.llf), 0.0), abs=1e-5)


@pytest.mark.parametrize("counts", [(4,), (2, 3), (1, 1, 2)])
def test_derivatives_of_the_covariance(counts):
    covariance = PooledDiagonalCovariance(sum(counts), counts)
    theta = np.linspace(0.5, 2.0, len(counts))
    found = jacobian(lambda t: covariance.factor(t).ravel(), theta)
    assert pytest.approx(found, abs=1e-7) == covariance.derivative(theta).reshape(len(counts), -1).T
    assert covariance.near(covariance.covariance(theta)) == pytest.approx(theta)
