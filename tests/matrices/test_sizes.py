"""Data of any size are fitted alike, or refused: their squares overflow or vanish."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx


def made():
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(10), 6)
    x = rng.normal(size=60)
    return pd.DataFrame({"y": 1 + 0.5 * x + rng.normal(size=10)[g] + rng.normal(size=60), "x": x, "g": g})


@pytest.mark.parametrize("power", [-308, -200, -155, -150, -143, -138, -100, -50, 50, 100, 138, 143, 155, 200, 300])
@pytest.mark.parametrize("column", ["y", "x"])
def test_a_column_of_any_size_is_fitted_alike_or_refused(column, power):
    data = made()
    plain = mfx.lmer("y ~ x + (1 | g)", data)
    data[column] *= 10.0**power
    if abs(power) > 140:
        with pytest.raises(mfx.DataError, match=rf"^{column} is .* to be squared in .* rows"):
            mfx.lmer("y ~ x + (1 | g)", data)
        return
    np.testing.assert_allclose(mfx.lmer("y ~ x + (1 | g)", data).tvalues, plain.tvalues, rtol=1e-9)


def test_new_rows_may_be_as_near_to_zero_as_they_like():
    fit = mfx.lmer("y ~ x + (1 | g)", made())
    at_zero, next_to_it = fit.predict({"x": [0.0, 1e-300], "g": [0, 0]})
    assert at_zero == next_to_it
