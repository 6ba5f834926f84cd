"""Kinds of residuals of linear models against their definitions."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx


def test_kinds_by_their_definitions():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"x": rng.normal(size=60), "g": np.repeat(np.arange(10), 6), "w": rng.uniform(0.5, 2, 60)})
    data["y"] = data["x"] + rng.normal(size=10)[data["g"]] + rng.normal(size=60) / np.sqrt(data["w"])
    fit = mfx.lmer("y ~ x + (1 | g)", data, weights="w")
    plain = data["y"] - fit.fittedvalues
    for kind in ("response", "conditional", "working"):
        assert fit.residuals(kind).to_numpy() == pytest.approx(plain.to_numpy())
    assert fit.residuals("deviance").to_numpy() == pytest.approx((plain * np.sqrt(data["w"])).to_numpy())
    assert fit.residuals("pearson").to_numpy() == pytest.approx((plain * np.sqrt(data["w"]) / fit.sigma).to_numpy())
    assert fit.residuals("marginal").to_numpy() == pytest.approx((data["y"] - fit.predict(random=False)).to_numpy())
    with pytest.raises(mfx.SpecificationError, match="'marginal'"):
        fit.residuals("other")
