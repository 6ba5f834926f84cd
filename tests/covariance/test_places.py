"""Messages name values as the data have them: whole numbers without a decimal point, and with all their digits."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx


def frame(kind):
    r = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "y": r.normal(size=60),
            "x": r.normal(size=60),
            "g": np.repeat(range(10), 6).astype(kind),
            "t": np.tile(range(20240101, 20240107), 10).astype(kind),
        }
    )


CASES = {
    "a time twice": (lambda d: twice(d), mfx.AR1("t", group="g"), "same time 20240101 twice in one group, g 0"),
    "a moment twice": (lambda d: twice(d), mfx.CAR1("t", group="g"), "same time 20240101 twice in one group, g 0"),
    "a visit twice": (lambda d: twice(d), mfx.Unstructured("t", group="g"), "visit 20240101 twice in g 0"),
    "visits apart": (
        lambda d: d[(d["t"] != 20240101) | (d["g"] < 5)][lambda e: (e["t"] != 20240102) | (e["g"] >= 5)],
        mfx.Unstructured("t", group="g"),
        "both t 20240101 and 20240102",
    ),
    "no whole time": (lambda d: d.assign(t=d["t"] + 0.5), mfx.AR1("t", group="g"), "contains 20240101.5"),
}


def twice(data):
    return data.assign(t=data["t"].where(data.index != 1, 20240101))


@pytest.mark.parametrize("kind", [int, float, "int32"])
@pytest.mark.parametrize("case", CASES)
def test_numbers_are_written_as_the_data_have_them(case, kind):
    change, residual, words = CASES[case]
    with pytest.raises(mfx.DataError) as found:
        mfx.lmer("y ~ x", change(frame(kind)), residual=residual)
    assert words in str(found.value)
    assert ".0" not in str(found.value)


def test_rows_with_an_impossible_value_are_named_with_all_digits():
    with pytest.raises(mfx.DataError, match=r"where t = -20240101$"):
        mfx.lmer("y ~ log(t) + (1 | g)", frame(int).assign(t=lambda d: -d["t"]))


def test_levels_unknown_to_a_residual_structure():
    data = frame(int)
    data["s"] = np.tile([1, 2, 3], 20)
    fit = mfx.lmer("y ~ x", data, residual=mfx.VarIdent("s"))
    with pytest.raises(mfx.DataError, match=r"level\(s\) 9, unknown .* known are 1, 2, 3"):
        fit.model.bound_residual.rebind({"s": [9, 9]})
