"""Deming's and York's lines: published values, each other, and the limits that are least squares."""

import numpy as np
import pytest

import mixedfx as mfx

X = np.array([0.0, 0.9, 1.8, 2.6, 3.3, 4.4, 5.2, 6.1, 6.5, 7.4])
Y = np.array([5.9, 5.4, 4.4, 4.6, 3.5, 3.7, 2.8, 2.8, 2.4, 1.5])
WX = np.array([1000, 1000, 500, 800, 200, 80, 60, 20, 1.8, 1])
WY = np.array([1, 1.8, 4, 8, 20, 20, 70, 70, 100, 500])


@pytest.fixture
def points():
    rng = np.random.default_rng(1)
    x = rng.normal(size=40)
    return x + 0.4 * rng.normal(size=40), 1 + 2 * x + 0.6 * rng.normal(size=40)


def test_pearsons_points_with_yorks_weights():
    line = mfx.york(X, Y, WX**-0.5, WY**-0.5)
    # York et al. (2004), table II
    assert (line.intercept, line.slope) == pytest.approx((5.47991022, -0.480533407), rel=1e-8)
    assert (line.se_intercept, line.se_slope) == pytest.approx((0.294970735, 0.057985009), rel=1e-8)
    assert line.chi2 == pytest.approx(11.8663531941, rel=1e-9)
    scaled = mfx.york(X, Y, WX**-0.5, WY**-0.5, scaled=True)
    factor = np.sqrt(line.chi2 / 8)
    assert scaled.se_slope == pytest.approx(factor * line.se_slope)
    assert scaled.convention != line.convention
    assert list(line.to_frame().index) == ["intercept", "slope"]


def test_york_is_the_least_of_its_sum_of_squares(points):
    x, y = points
    rng = np.random.default_rng(2)
    sx, sy, r = rng.uniform(0.2, 1, 40), rng.uniform(0.2, 1, 40), rng.uniform(-0.8, 0.8, 40)
    line = mfx.york(x, y, sx, sy, r)

    def total(a, b):
        return np.sum((y - a - b * x) ** 2 / (sy**2 + b**2 * sx**2 - 2 * b * r * sx * sy))

    assert total(line.intercept, line.slope) == pytest.approx(line.chi2)
    nearby = [total(line.intercept + da, line.slope + db) for da in (-1e-3, 0, 1e-3) for db in (-1e-3, 0, 1e-3)]
    assert min(nearby) >= line.chi2 * (1 - 1e-12)


def test_york_with_constant_errors_is_deming(points):
    for ratio in (0.3, 1.0, 4.0):
        own, other = mfx.deming(*points, ratio=ratio), mfx.york(*points, 0.5, 0.5 * np.sqrt(ratio))
        assert (own.intercept, own.slope) == pytest.approx((other.intercept, other.slope), rel=1e-10)
        assert own.chi2 == pytest.approx(other.chi2 * 0.25, rel=1e-10)


def test_limits_are_least_squares(points):
    x, y = points
    slope, intercept = np.polyfit(x, y, 1)
    for line in (mfx.york(x, y, 0.0, 1.0), mfx.deming(x, y, ratio=1e12)):
        assert (line.intercept, line.slope) == pytest.approx((intercept, slope), rel=1e-9)
    assert mfx.york(x, y, 1.0, 0.0).slope == pytest.approx(1 / np.polyfit(y, x, 1)[0], rel=1e-9)


def test_exchanging_the_coordinates_inverts_the_line(points):
    x, y = points
    assert mfx.deming(y, x, ratio=0.25).slope == pytest.approx(1 / mfx.deming(x, y, ratio=4.0).slope, rel=1e-12)
    sx, sy = np.linspace(0.3, 1, 40), np.linspace(1, 0.2, 40)
    assert mfx.york(y, x, sy, sx).slope == pytest.approx(1 / mfx.york(x, y, sx, sy).slope, rel=1e-10)


def test_errors_of_deming_are_those_of_simulation():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 60))
    w, y = x + 0.4 * rng.normal(size=x.shape), 1 + 2 * x + 0.4 * rng.normal(size=x.shape)
    lines = [mfx.deming(a, b) for a, b in zip(w, y, strict=True)]
    for name in ("slope", "intercept"):
        sd = np.std([getattr(line, name) for line in lines])
        assert np.mean([getattr(line, f"se_{name}") for line in lines]) == pytest.approx(sd, rel=0.12)


def test_prediction_and_words():
    line = mfx.deming(X, Y)
    assert line.predict([0.0, 1.0]) == pytest.approx([line.intercept, line.intercept + line.slope])
    assert "Fuller" in repr(line)
    assert line.df == 8
