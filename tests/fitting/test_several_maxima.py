"""Likelihoods with a maximum where a variance is zero, and a higher one beyond."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx


def nested_times(seed):
    rng = np.random.default_rng(seed)
    g, h = np.repeat(np.arange(12), 6), rng.integers(0, 3, 72)
    mean = np.exp(0.4 * rng.normal(size=12)[g] + 0.6 * rng.normal(size=36)[3 * g + h])
    return pd.DataFrame({"y": rng.wald(mean, mean), "g": g, "h": h})


@pytest.mark.parametrize(("seed", "highest"), [(123, -83.79454), (165, -82.88043), (247, -57.21746)])
def test_the_higher_maximum_is_found(seed, highest):
    model = mfx.GeneralizedLinearMixedModel(
        "y ~ 1 + (1 | g / h)", nested_times(seed), family="inverse_gaussian", link="log"
    )
    fit = model.fit()
    assert fit.converged
    assert fit.llf == pytest.approx(highest, abs=1e-5)
    others = [model.fit(control=mfx.Control(start=start)) for start in ([0.1, 0.1], [0.3, 1.0], [1.0, 0.3])]
    assert fit.llf >= max(other.llf for other in others if other.converged) - 1e-6


def test_a_maximum_is_not_given_up_for_a_density_that_splits():
    fit = mfx.glmer("y ~ 1 + (1 | g / h)", nested_times(127), family="inverse_gaussian", link="log")
    assert fit.converged
    assert fit.llf == pytest.approx(-121.16082, abs=1e-5)
