"""What is called the end of a profile has the rise that was asked for, wherever the searches fail."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import mixedfx as mfx
from mixedfx.inference.profile_ends import Held, find_end
from tests.examples import examples

TARGET = 1.96


@dataclass
class Followed:
    """A rise that saturates at ``ceiling``, ``steepness`` the curvature at the estimate; searches fail beyond a place.

    Such is the profile of a logit of zeros in excess, which tends to the model without any.
    """

    ceiling: float
    steepness: float
    fails_beyond: float
    estimate: float = 0.0
    se: float = 1.0
    lower: float = -np.inf
    upper: float = np.inf
    start: np.ndarray = field(default_factory=lambda: np.zeros(1))

    def rise(self, value: float) -> float:
        return self.ceiling * -np.expm1(-self.steepness * value**2 / self.ceiling)

    def hold(self, value: float, state: np.ndarray) -> Held:
        if abs(value) > self.fails_beyond:
            return Held(300.0, 200.0, state, converged=False)
        slope = 2.0 * self.steepness * value * np.exp(-self.steepness * value**2 / self.ceiling)
        return Held(self.rise(value), slope, state)


@examples(200)
@example(ceiling=1.0, steepness=0.75, fails_beyond=32.0, side=-1)  # its slope falls below the normal numbers
@given(
    ceiling=st.floats(0.5, 30.0).filter(lambda c: abs(c - TARGET**2) > 0.1),
    steepness=st.floats(1e-2, 4.0),
    fails_beyond=st.floats(0.1, 300.0),
    side=st.sampled_from([-1, 1]),
)
def test_an_end_is_where_the_rise_is_the_wanted_one(ceiling, steepness, fails_beyond, side):
    profile = Followed(ceiling, steepness, fails_beyond)
    end = find_end(profile, 0.0, side * TARGET)
    if end.reached:
        assert profile.rise(end.value) == pytest.approx(TARGET**2, rel=1e-5)
        assert np.sign(end.value) == side
    elif end.is_open:
        assert ceiling < TARGET**2
    else:  # what was not found is said to be missing
        assert np.isnan(end.value)


@pytest.mark.parametrize("ceiling", [1.0, 3.0, 5.0, 20.0])
def test_failures_far_beyond_the_end_cost_nothing(ceiling):
    """The profile is known up to where it has levelled off: nothing further out is needed."""
    for fails_beyond in (30.0, 60.0, 100.0, 1e6):
        end = find_end(Followed(ceiling, 1.0, fails_beyond), 0.0, -TARGET)
        assert end.is_open if ceiling < TARGET**2 else end.reached


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
@pytest.mark.parametrize("seed", [30, 34, 37])
@pytest.mark.parametrize(
    ("larger", "smaller", "name", "side"),
    [
        ({"family": "nbinom2", "zero_inflation": "~ 1"}, {"family": "nbinom2"}, "zero_inflation: Intercept", -1),
        ({"family": "nbinom2"}, {"family": "poisson"}, "family: dispersion", 1),
    ],
)
def test_an_end_is_open_if_the_model_at_the_end_of_the_range_is_not_rejected(seed, larger, smaller, name, side):
    rng = np.random.default_rng(seed)
    g, x = np.repeat(np.arange(12), 8), rng.normal(size=96)
    mean = np.exp(0.4 + 0.3 * x + 0.6 * rng.normal(size=12)[g])
    counts = np.where(rng.random(96) < 0.1, 0, rng.poisson(mean * rng.gamma(4.0, 0.25, 96)))
    data = pd.DataFrame({"y": counts, "x": x, "g": g})
    fit, without = (mfx.glmer("y ~ x + (1 | g)", data, **model) for model in (larger, smaller))
    end = mfx.profile(fit).end(name, side * TARGET)
    assert end.is_open == (fit.deviance > without.deviance - TARGET**2)
