"""Blocks of many columns: the ways that spare tables of the fourth power of their number agree with the others."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.criterion import traces


def made():
    rng = np.random.default_rng(7)
    n = 120
    frame = pd.DataFrame({"a": rng.integers(0, 30, n), "b": rng.integers(0, 30, n), "x": rng.uniform(size=n)})
    effects = 3.0 * rng.normal(size=30)
    frame["y"] = np.sin(5 * frame["x"]) + effects[frame["a"]] / 2 + effects[frame["b"]] / 2 + rng.normal(0, 0.4, n)
    frame["g"], frame["p"] = rng.integers(0, 6, n), rng.integers(0, 40, n)
    frame["y"] += rng.normal(size=6)[frame["g"]]
    return frame.assign(**{name: frame[name].astype(str) for name in "abgp"})


@pytest.mark.parametrize("term", ["(1 | mm(a, b))", "(1 | mm(a, b)) + s(x, k=6)", "(1 | mm(a, b)) + (1 | g)"])
@pytest.mark.parametrize("reml", [True, False])
def test_the_hessian_does_not_depend_on_how_traces_are_computed(term, reml, monkeypatch):
    covariances = []
    for limit in (2, 10_000):
        monkeypatch.setattr(traces, "MANY_COLUMNS", limit)
        fit = mfx.lmer(f"y ~ x + {term}".replace("x + (1 | mm(a, b)) + s", "(1 | mm(a, b)) + s"), made(), reml=reml)
        covariances.append(fit.cov_varpar("theta").to_numpy())
    assert covariances[0] == pytest.approx(covariances[1], rel=1e-6)


def test_the_hessian_is_that_of_differences():
    fit = mfx.lmer("y ~ x + (1 | mm(a, b)) + (1 | g)", made())
    theta, steps = fit.theta.to_numpy(), 1e-4 * np.eye(2)
    slopes = [fit.model.objective(theta + s)[1] - fit.model.objective(theta - s)[1] for s in steps]
    profiled = np.array(slopes) / 2e-4
    expected = np.linalg.inv(0.25 * (profiled + profiled.T))
    assert fit.cov_varpar("theta").to_numpy()[:2, :2] == pytest.approx(expected, rel=1e-4)
