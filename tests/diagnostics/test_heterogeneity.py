"""Cochran's Q, I squared and H squared against published numbers and by hand."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

# Log risk ratios of 13 trials of the BCG vaccine (Colditz et al. 1994, J. Am. Med. Assoc. 271, 698), from the counts
# of cases and others among the vaccinated and the controls.
COUNTS = [
    (4, 119, 11, 128), (6, 300, 29, 274), (3, 228, 11, 209), (62, 13536, 248, 12619), (33, 5036, 47, 5761),
    (180, 1361, 372, 1079), (8, 2537, 10, 619), (505, 87886, 499, 87892), (29, 7470, 45, 7232),
    (17, 1699, 65, 1600), (186, 50448, 141, 27197), (5, 2493, 3, 2338), (27, 16886, 29, 17825),
]  # fmt: skip


@pytest.fixture(scope="module")
def bcg():
    a, b, c, d = np.array(COUNTS, dtype=float).T
    latitude = [44, 55, 42, 52, 13, 44, 19, 13, 27, 42, 18, 33, 33]
    return pd.DataFrame(
        {
            "yi": np.log((a / (a + b)) / (c / (c + d))),
            "vi": 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d),
            "trial": [f"t{i:02d}" for i in range(13)],
            "latitude": np.array(latitude, dtype=float),
        }
    )


def test_published_numbers(bcg):
    """Viechtbauer (2010), J. Stat. Softw. 36(3), section 3: tau2, Q, I2 and H2 by REML, with and without latitude."""
    found = mfx.heterogeneity(mfx.lmer("yi ~ 1 + (1 | trial)", bcg, residual=mfx.KnownVariance("vi"))).iloc[0]
    assert found["Q"] == pytest.approx(152.2330, abs=5e-5)
    assert found["df"] == 12
    assert found["I2"] == pytest.approx(92.22, abs=5e-3)
    assert found["H2"] == pytest.approx(12.86, abs=5e-3)
    assert found["tau2"] == pytest.approx(0.3132, abs=5e-5)
    assert found["pvalue"] < 1e-4


def test_both_ways_to_write_known_variances_agree(bcg):
    known = mfx.lmer("yi ~ latitude + (1 | trial)", bcg, residual=mfx.KnownVariance("vi"))
    weighted = mfx.lmer("yi ~ latitude + (1 | trial)", bcg.assign(w=1 / bcg["vi"]), weights="w", sigma=1.0)
    np.testing.assert_allclose(mfx.heterogeneity(known).to_numpy(), mfx.heterogeneity(weighted).to_numpy(), rtol=1e-6)
    w, X = np.diag(1 / bcg["vi"]), np.column_stack([np.ones(13), bcg["latitude"]])
    P = w - w @ X @ np.linalg.solve(X.T @ w @ X, X.T @ w)
    found = mfx.heterogeneity(known).iloc[0]
    typical = 11 / np.trace(P)
    assert found["Q"] == pytest.approx(bcg["yi"] @ P @ bcg["yi"], rel=1e-8)
    assert found["I2"] == pytest.approx(100 * found["tau2"] / (found["tau2"] + typical), rel=1e-8)


def test_estimated_variances_are_refused():
    with pytest.raises(mfx.SpecificationError, match="KnownVariance"):
        mfx.heterogeneity(mfx.lmer("Reaction ~ Days + (1 | Subject)", mfx.load_dataset("sleepstudy")))
    with pytest.raises(TypeError, match="found str"):
        mfx.heterogeneity("fit")
