"""The unit of a positive response does not matter under any link: starts are in units of the linear predictor."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

LINKS = ("log", "inverse", "identity", "inverse_squared", "sqrt")


def responses():
    rng = np.random.default_rng(11)
    g, x = np.repeat(np.arange(25), 10), rng.uniform(size=250)
    mean = np.exp(1.0 + 0.6 * x + 0.25 * rng.normal(size=25)[g])
    draws = {
        "gamma": rng.gamma(4.0, mean / 4.0),
        "inverse_gaussian": rng.wald(mean, 8.0 * mean),
        "lognormal": mean * np.exp(0.4 * rng.normal(size=250)),
        "gaussian": mean + 0.5 * rng.normal(size=250),
    }
    return pd.DataFrame({"g": g, "x": x} | draws)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("family", ["gamma", "inverse_gaussian", "lognormal", "gaussian"])
def test_the_unit_of_the_response_does_not_matter(family, link):
    frame = responses()
    base = mfx.glmer(f"{family} ~ x + (1 | g)", frame, family=family, link=link)
    for unit in (1e-4, 1e4):
        scaled = frame.assign(**{family: frame[family] * unit})
        fit = mfx.glmer(f"{family} ~ x + (1 | g)", scaled, family=family, link=link)
        assert fit.converged
        assert fit.llf + 250 * np.log(unit) == pytest.approx(base.llf, abs=1e-6)


def test_responses_that_are_all_but_zero_leak_no_warning(recwarn):
    frame = responses()
    mfx.glmer("gamma ~ x + (1 | g)", frame.assign(gamma=frame["gamma"] * 1e-135), family="gamma", link="log")
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning) and "overflow" in str(w.message)]
