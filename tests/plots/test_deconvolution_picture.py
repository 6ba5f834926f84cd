"""The picture of a deconvolution: what is drawn is what was estimated."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

import mixedfx as mfx
from mixedfx import plots

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def y():
    rng = np.random.default_rng(1)
    return rng.choice([-1.0, 1.5], 40) + rng.normal(size=40)


@pytest.mark.parametrize("method", ["npmle", "spline", "normal"])
def test_the_frame_holds_both_laws(y, method):
    found = mfx.deconvolve(y, sd=1.0, method=method)
    frame = plots.deconvolution_frame(found)
    normal = frame[frame["law"] == "normal"]
    z = (normal["theta"] - found.normal.location) / found.normal.spread
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) / found.normal.spread
    np.testing.assert_allclose(normal["height"], density, rtol=1e-3)
    own = frame[frame["law"] == method]
    if method == "npmle":
        np.testing.assert_array_equal(own["height"], found.mass)
    if method == "spline":
        step = found.grid[1] - found.grid[0]
        np.testing.assert_allclose(own["height"] * step, found.density)
        np.testing.assert_allclose(own["se"] * step, found.se)


@pytest.mark.parametrize("method", ["npmle", "spline", "normal"])
def test_three_panels(y, method):
    found = mfx.deconvolve(y, sd=1.0, method=method)
    law, observations, shrinkage = found.plot()
    law.figure.canvas.draw()
    drawn = observations.lines[0].get_xdata()
    np.testing.assert_array_equal(drawn, np.sort(y))
    assert law.get_shared_x_axes().joined(law, observations)
    dots = [line for line in shrinkage.lines if line.get_linestyle() == "None"]
    np.testing.assert_allclose(dots[0].get_ydata(), found.to_frame()["normal"])
    if method != "normal":
        np.testing.assert_allclose(dots[1].get_ydata(), found.posterior_mean)


def test_on_given_axes_and_with_infinite_effects():
    found = mfx.deconvolve([0, 2, 3, 5, 1], family="binomial", trials=5)
    axes = list(plt.figure().subplots(1, 3))
    assert plots.deconvolution(found, ax=axes) == axes
    assert axes[0].get_xlim()[0] >= 0.0
    rows = {"y": [1] * 8 + [0, 1, 1, 0, 0, 1, 0, 1], "g": list("aaaabbbbccccdddd")}
    fit = mfx.glmer("y ~ 1 + (1 | g)", rows, family="binomial")
    law, observations, _ = fit.deconvolve("g").plot()
    assert law.get_xlim()[1] < 10
    assert "2 of 4 shown" in observations.get_xlabel()


def test_an_error_that_explains_everything():
    found = mfx.deconvolve([1.0, 1.0, 1.0], sd=1.0)
    panels = found.plot()
    assert plots.deconvolution_frame(found)["law"].tolist() == ["npmle"]
    panels[0].figure.canvas.draw()
