"""Where data pass from a closed to an open direction of a covariance, every fit on the way has its verdict."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.criterion.boundary import CERTIFIED_GAP, CurvatureVerdict, curvature_verdict, followed

STEPS = (0, -1e-8, 1e-7, 1e-6, -1e-6, -1e-5, 1e-4, -1e-3)


def linear(formula, seed, share, unit=1.0):
    rng = np.random.default_rng(seed)
    a = np.repeat(np.arange(20), 6)
    x, b = rng.normal(size=a.size), rng.integers(0, 3, a.size)
    y, u = rng.normal(size=a.size), rng.normal(size=(20, 2))
    y = y + 0.1 * u[a, 0] + 0.4 * u[a, 0] * x + share * u[a, 1]
    return mfx.lmer(formula, pd.DataFrame({"y": unit * y, "x": x, "a": a.astype(str), "b": b.astype(str)}))


def generalized(family, seed, share, unit=1.0):
    rng = np.random.default_rng(seed)
    a = np.repeat(np.arange(15), 8)
    x, z, u = rng.normal(size=a.size), rng.normal(size=a.size), rng.normal(size=(15, 2))
    eta = 0.5 + 0.1 * u[a, 0] + 0.4 * u[a, 0] * x + share * u[a, 1] + 0.5 * z
    y = unit * np.exp(eta + 0.3 * rng.normal(size=a.size))
    return mfx.glmer("y ~ x + (x | a)", pd.DataFrame({"y": y, "x": x, "a": a.astype(str)}), family=family)


def threshold(fit, digits):
    """The share at which the first term of a model gets its second direction."""
    low, high = 0.0, 2.0
    for _ in range(digits):
        middle = 0.5 * (low + high)
        is_open = fit(middle).certificate.variances[0].rank == 2
        low, high = (low, middle) if is_open else (middle, high)
    return low


@pytest.mark.parametrize(
    ("fit", "digits"),
    [
        pytest.param(partial(linear, "y ~ x + (x | a)", 3), 30, id="slopes"),
        pytest.param(partial(linear, "y ~ poly(x, 2) + (x | a/b)", 2), 30, id="nested, 2"),
        pytest.param(partial(linear, "y ~ poly(x, 2) + (x | a/b)", 4), 30, id="nested, 4"),
        pytest.param(partial(generalized, "gamma", 17), 22, id="gamma"),
    ],
)
def test_every_fit_next_to_a_threshold_has_converged(fit, digits):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.SingularFitWarning)
        at = threshold(fit, digits)
        fits = [fit(at * (1.0 + step), unit) for step in STEPS for unit in (1.0, 1e4)]
    assert {one.certificate.variances[0].rank for one in fits} == {1, 2}
    assert [str(one.certificate) for one in fits if not one.converged] == []
    assert all(np.isfinite(one.bse).all() for one in fits)


class Quartic:
    """``x2**2 / 2 + x1**4 - slope * x1**2``: a saddle at 0 whose fall is ``slope**2 / 4``."""

    curvature_is_exact = True

    def __init__(self, slope, x):
        one, two = x
        self.value = 0.5 * two**2 + one**4 - slope * one**2
        self.gradient = np.array([4.0 * one**3 - 2.0 * slope * one, two])
        self.curvature = np.diag([12.0 * one**2 - 2.0 * slope, 1.0])


@pytest.mark.parametrize("slope", [1e-4, 1e-3, 1e-2, 0.1, 1.0])
def test_the_fall_along_a_negative_direction_is_found(slope):
    at, free, open_ = np.zeros(2), np.ones(2, dtype=bool), np.full(2, np.inf)
    saddle = Quartic(slope, at)
    first = curvature_verdict(saddle.curvature, saddle.gradient, free, at)
    found = followed(first, partial(Quartic, slope), at, saddle.value, -open_, open_)
    assert (first.negative, first.gap) == (1, 0.0)
    assert found.gap == pytest.approx(slope**2 / 4, rel=1e-6, abs=1e-12)
    assert found.negative == int(slope**2 / 4 > CERTIFIED_GAP)
    assert found.cleared == (found.negative == 0)


def test_nothing_is_followed_at_a_minimum():
    plain = CurvatureVerdict(0.0, 0, 0, 0.0, np.zeros((1, 0)))
    assert followed(plain, None, np.zeros(1), 0.0, np.zeros(1), np.zeros(1)) is plain
