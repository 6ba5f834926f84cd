"""Ridges and scatter matrices against the mixed-model equations written out, and against what they should cover."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from scipy import stats

import mixedfx as mfx
from mixedfx import plots


@pytest.fixture(scope="module")
def sleep():
    return mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def moments(rows):
    x, density = rows["x"].to_numpy(), rows["density"].to_numpy()
    mass = np.trapezoid(density, x)
    mean = np.trapezoid(x * density, x) / mass
    return mass, mean, np.sqrt(np.trapezoid((x - mean) ** 2 * density, x) / mass)


def conditional(fit, data):
    """Means and covariances of the effects given the data by the covariance of the response, and no other equation."""
    Z, X, y = fit.model.exog_re.toarray(), fit.model.exog, data["Reaction"].to_numpy()
    G = np.kron(np.eye(18), fit.varcorr.covariances["Subject"].to_numpy())
    V = Z @ G @ Z.T + fit.scale * np.eye(len(y))
    gain = G @ Z.T @ np.linalg.inv(V)
    return gain @ (y - X @ fit.params.to_numpy()), G - gain @ Z @ G


def test_a_ridge_is_the_normal_law_of_a_level_given_the_data(sleep):
    data = mfx.load_dataset("sleepstudy")
    means, covariance = conditional(sleep, data)
    slopes, sds = means[1::2], np.sqrt(np.diag(covariance))[1::2]
    frame = plots.ridge_frame(sleep, "Subject", "Days")
    names = list(dict.fromkeys(frame["name"]))
    levels = [str(level) for level in sleep.random_effects["Subject"].index]
    assert names == [levels[k] for k in np.argsort(slopes)]
    for name, rows in frame.groupby("name"):
        k = levels.index(name)
        np.testing.assert_allclose(moments(rows), (1.0, slopes[k], sds[k]), rtol=5e-3)
        np.testing.assert_allclose(rows["density"], stats.norm.pdf(rows["x"], slopes[k], sds[k]), rtol=1e-6)


def test_ridges_cover_the_effects_that_were_drawn():
    rng, inside = np.random.default_rng(5), []
    g = np.repeat(np.arange(300), rng.integers(1, 8, 300))
    for _ in range(5):
        effects = rng.normal(size=300)
        fit = mfx.lmer("y ~ 1 + (1 | g)", {"y": effects[g] + rng.normal(size=g.size), "g": g})
        for name, rows in plots.ridge_frame(fit).groupby("name"):
            _, mean, sd = moments(rows)
            inside.append(abs(effects[int(name)] - mean) < 1.2816 * sd)
    assert np.mean(inside) == pytest.approx(0.8, abs=3 * np.sqrt(0.16 / len(inside)))


def test_the_picture_has_the_levels_in_their_order(sleep):
    panel = plots.ridge(sleep, term="Days")
    order = sleep.random_effects["Subject"]["Days"].sort_values().index.astype(str).tolist()
    assert [label.get_text() for label in panel.get_yticklabels()] == order
    assert panel.get_xlabel() == "Days: deviation from the mean"


def test_of_many_levels_the_picture_has_sixty_and_says_so():
    rng, g = np.random.default_rng(0), np.repeat(np.arange(400), 3)
    fit = mfx.lmer("y ~ 1 + (1 | g)", {"y": rng.normal(size=400)[g] + rng.normal(size=1200), "g": g})
    panel = plots.ridge(fit)
    shown = [label.get_text() for label in panel.get_yticklabels()]
    order = fit.random_effects["g"]["Intercept"].sort_values().index.astype(str).tolist()
    assert len(shown) == 60
    assert (shown[0], shown[-1]) == (order[0], order[-1])
    assert set(np.diff([order.index(name) for name in shown])) == {6, 7}
    assert panel.get_ylabel() == "g (60 of the 400 levels)"


def test_ridges_of_draws_and_profiles_are_in_standard_errors(sleep):
    drawn = mfx.bootstrap(sleep, 300, seed=1)
    frame = plots.ridge_frame(drawn, parameters=["Days", "sigma"])
    for name, rows in frame.groupby("name"):
        mass, mean, sd = moments(rows)
        column = drawn.replicates[name]
        assert mass == pytest.approx(1.0, abs=0.01)
        assert mean == pytest.approx((column.mean() - drawn.estimate[name]) / column.std(), abs=0.02)
        assert sd == pytest.approx(1.0, abs=0.1)  # a kernel widens it
    profile = mfx.profile(mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"), reml=False))
    rows = plots.ridge_frame(profile, parameters="sigma")
    x, density = rows["x"].to_numpy(), rows["density"].to_numpy()
    held = profile.profiles["sigma"]
    end = (profile.conf_int().loc["sigma", "upper"] - held.estimate) / held.se
    above = np.trapezoid(density[x >= end], x[x >= end])
    assert above == pytest.approx(0.025 - stats.norm.sf(2.6), abs=2e-3)
    assert len(plots.ridge(profile).get_yticklabels()) == 3


def test_a_scatter_matrix_has_the_modes_and_the_ellipses_of_the_model(sleep):
    frame = plots.scatter_matrix_frame(sleep)
    means, _ = conditional(sleep, mfx.load_dataset("sleepstudy"))
    np.testing.assert_allclose(frame.to_numpy(), means.reshape(18, 2), rtol=1e-6)
    axes = plots.scatter_matrix(sleep)
    assert axes.shape == (2, 2)
    points, one, two = axes[1, 0].lines
    np.testing.assert_allclose(np.column_stack(points.get_data()), means.reshape(18, 2), rtol=1e-6)
    precision = np.linalg.inv(sleep.varcorr.covariances["Subject"].to_numpy())
    for line, radius in ((one, 1.0), (two, 2.0)):
        curve = np.column_stack(line.get_data())
        np.testing.assert_allclose(np.einsum("ia,ab,ib->i", curve, precision, curve), radius**2, rtol=1e-8)
    covariance = sleep.varcorr.covariances["Subject"].to_numpy()
    model = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    said = axes[0, 1].texts[0].get_text()
    assert f"{model:.2f} in the model" in said
    assert f"{np.corrcoef(frame.to_numpy().T)[0, 1]:.2f} of the modes" in said


def test_a_scatter_matrix_of_three_coefficients_and_of_draws(sleep):
    fit = mfx.lmer("score ~ Machine + (0 + Machine | Worker)", mfx.load_dataset("machines"))
    axes = plots.scatter_matrix(fit, terms=["Machine[C]", "Machine[A]"])
    assert [axes[1, 0].get_xlabel(), axes[1, 0].get_ylabel()] == ["Machine[C]", "Machine[A]"]
    drawn = mfx.bootstrap(sleep, 50, seed=1)
    axes = plots.scatter_matrix(drawn, parameters=["Intercept", "Days"])
    shown = np.column_stack(axes[1, 0].lines[0].get_data())
    np.testing.assert_array_equal(shown, drawn.replicates[["Intercept", "Days"]].to_numpy())
    assert axes[1, 0].lines[1].get_xydata()[0] == pytest.approx(sleep.params.to_numpy())


def test_effects_of_one_name_in_two_terms_are_added():
    rng, h = np.random.default_rng(3), np.repeat(np.arange(12), 10)
    data = {"x": rng.normal(size=120), "h": h}
    data["y"] = rng.normal(size=12)[h] + rng.normal(size=12)[h] * data["x"] + rng.normal(size=120)
    fit = mfx.lmer("y ~ x + (1 | h) + (0 + x | h)", data)
    frame = plots.scatter_matrix_frame(fit)
    assert list(frame.columns) == ["Intercept", "x"]
    total = frame["Intercept"].to_numpy()[h] + frame["x"].to_numpy()[h] * data["x"]
    np.testing.assert_allclose(total, fit.fittedvalues - fit.predict(random=False), atol=1e-9)


def test_modes_of_a_generalised_model_are_drawn_as_well():
    fit = mfx.glmer(
        "cbind(incidence, size - incidence) ~ period + (1 | herd)", mfx.load_dataset("cbpp"), family="binomial"
    )
    name, rows = next(iter(plots.ridge_frame(fit).groupby("name", sort=False)))
    lowest = fit.random_effects["herd"]["Intercept"].idxmin()
    assert name == str(lowest)
    _, mean, sd = moments(rows)
    assert mean == pytest.approx(fit.random_effects["herd"].loc[lowest, "Intercept"], rel=1e-2)
    assert sd == pytest.approx(fit.random_effects_sd["herd"].loc[lowest, "Intercept"], rel=1e-2)
