"""Pictures of profiles and bootstraps show the numbers of their intervals."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from scipy.integrate import trapezoid
from scipy.stats import norm

import mixedfx as mfx
from mixedfx.plots import plot_bootstrap, plot_profile
from mixedfx.plots.parameters import ZetaCurve, reflected_density


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def fit():
    return mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def profile(fit):
    return mfx.profile(fit)


def _curve(profile, name):
    frame = profile.to_frame()
    return ZetaCurve.of(frame[frame["parameter"] == name])


def test_ends_of_the_smooth_curve_are_the_intervals(profile):
    limits = profile.conf_int(0.2)
    for name in limits.index:
        ends = [value for value, _ in _curve(profile, name).ends(0.8)]
        np.testing.assert_allclose(
            ends, limits.loc[name], atol=2e-3 * (limits.loc[name, "upper"] - limits.loc[name, "lower"])
        )


def test_density_of_a_straight_curve_is_normal_and_areas_are_levels(profile):
    zeta = np.linspace(-2.5, 2.5, 7)
    straight = ZetaCurve(zeta, 3.0 + 2.0 * zeta)
    values, heights = straight.density()
    np.testing.assert_allclose(heights, norm(3.0, 2.0).pdf(values), rtol=1e-9)
    values, heights = _curve(profile, "sd_Days|Subject").density()
    low, high = (value for value, _ in _curve(profile, "sd_Days|Subject").ends(0.9))
    inside = (values >= low) & (values <= high)
    assert trapezoid(heights[inside], values[inside]) == pytest.approx(0.9, abs=0.01)


def test_curves_that_do_not_rise_are_tidied():
    frame = pd.DataFrame({"value": [0.0, 0.0, 0.1, 0.3, 0.35, 1.0], "zeta": [-0.4, -0.4, -0.2, 0.0, -0.1, 1.0]})
    curve = ZetaCurve.of(frame)
    assert curve.value.tolist() == [0.0, 0.1, 0.3, 1.0]
    assert np.all(np.diff(curve.smooth(curve.fine)) > 0)
    assert curve.ends(0.5) == [(curve.smooth(norm.ppf(0.75)), pytest.approx(norm.ppf(0.75)))]


def test_panels_of_a_profile(profile):
    panels = profile.plot()
    assert [panel.get_title() for panel in panels] == list(profile.profiles)
    (panel,) = plot_profile(profile, "density", parameters="Days")
    assert panel.get_title() == "Days"
    _, axes = pyplot.subplots(1, 2)
    assert list(plot_profile(profile, parameters=["Days", "sigma"], axes=axes)) == list(axes)
    with pytest.raises(mfx.SpecificationError, match="'density'"):
        plot_profile(profile, "curve")
    with pytest.raises(mfx.SpecificationError, match="no parameter 'x'"):
        plot_profile(profile, parameters="x")
    with pytest.raises(mfx.SpecificationError, match="levels"):
        plot_profile(profile, levels=[95])
    with pytest.raises(mfx.SpecificationError, match="6 parameters"):
        plot_profile(profile, axes=axes)


def test_panels_of_a_bootstrap_show_estimate_and_interval(fit):
    replicates = mfx.bootstrap(fit, 100, seed=1)
    panels = replicates.plot("fixed", kind="basic", alpha=0.2)
    limits = replicates.conf_int(0.2, "fixed", "basic")
    for panel, name in zip(panels, limits.index, strict=True):
        lines = [np.asarray(line.get_xdata()) for line in panel.get_lines()]
        assert any(np.array_equal(x, limits.loc[name]) for x in lines)
        assert any(np.array_equal(x, [replicates.estimate[name]] * 2) for x in lines)
    with pytest.raises(mfx.SpecificationError, match="at least 10"):
        plot_bootstrap(mfx.bootstrap(fit, 5, seed=1))


def test_density_at_a_bound_loses_nothing():
    values = np.abs(np.random.default_rng(1).normal(size=500))
    at = np.linspace(0.0, 6.0, 2001)
    assert trapezoid(reflected_density(values, at, lower=0.0), at) == pytest.approx(1.0, abs=1e-3)
    assert reflected_density(values, np.array([-0.1]), lower=0.0)[0] == 0.0


def test_a_constant_quantity_can_be_drawn(fit):
    replicates = mfx.bootstrap(fit, 12, seed=1, statistic=lambda fit: 1.0)
    (panel,) = replicates.plot()
    assert panel.get_title() == "statistic"


def test_an_interval_without_end_is_an_arrow():
    """An infinite line is not drawn at all, and the least certain mean would look like the most certain one."""
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"t": ["c"] * 8 + ["d"] * 40, "g": rng.integers(0, 6, 48)})
    data["y"] = rng.gamma(0.3, np.where(data["t"] == "c", 20.0, 1.0)) + 1e-3
    fit = mfx.glmer("y ~ t + (1 | g)", data, family="gamma", link="inverse")
    means = mfx.emmeans(fit, "t", scale="response")
    assert np.isinf(means.conf_int()["upper"]).any()
    for panel, along, mark in ((means.plot(), 0, ">"), (mfx.plots.effect(fit, "t"), 1, "^")):
        lines = np.concatenate(
            [np.array(one.get_segments()) for one in panel.collections if hasattr(one, "get_segments")]
        )
        assert len(lines) == 2
        assert np.isfinite(lines).all()
        assert [line.get_marker() for line in panel.lines].count(mark) == 1
        assert lines[..., along].max() > means.estimates.max()
