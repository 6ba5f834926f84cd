"""``wb(x, g)`` gives the columns that one would make by hand, also for new rows."""

import pickle

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.matrices import build_design


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(11)
    sizes = rng.integers(3, 9, 15)
    g = np.repeat(np.arange(15), sizes)
    n = g.size
    x = 5 + 2 * rng.normal(size=15)[g] + rng.normal(size=n)
    y = 1 + 0.5 * x + 2 * rng.normal(size=15)[g] + rng.normal(size=15)[g] * (x - 5) + rng.normal(size=n) / 2
    data = pd.DataFrame({"y": y, "x": x, "g": [f"g{i:02d}" for i in g], "h": np.arange(n) % 4, "z": rng.normal(size=n)})
    data["count"] = rng.poisson(np.exp(0.1 * x + rng.normal(size=15)[g]))
    data.loc[[3, 20], "x"] = np.nan
    data.loc[[7, 30], "y"] = np.nan
    data.loc[11, "g"] = None
    return data


@pytest.fixture(scope="module")
def by_hand(frame):
    """The columns made beforehand, from the rows that are used."""
    used = frame.dropna(subset=["y", "x", "g"])
    mean = used.groupby("g")["x"].transform("mean")
    return used.assign(m=mean, w=used["x"] - mean)


def same_fit(found, expected):
    assert found.llf == pytest.approx(expected.llf, rel=1e-9)
    np.testing.assert_allclose(found.params, expected.params, rtol=1e-6)
    np.testing.assert_allclose(found.bse, expected.bse, rtol=1e-6)
    np.testing.assert_allclose(found.theta, expected.theta, rtol=1e-5, atol=1e-8)


def test_fixed_and_random_part(frame, by_hand):
    fit = mfx.lmer("y ~ wb(x, g) + z + (wb(x, g) | g)", frame)
    same_fit(fit, mfx.lmer("y ~ w + m + z + (w | g)", by_hand))
    names = ["Intercept", "wb(x, g)[within]", "wb(x, g)[between]", "z"]
    assert fit.params.index.tolist() == names
    assert list(fit.random_effects["g"]) == names[:2]
    assert list(fit.coefficients["g"]) == names
    assert "5 of" in fit.notes[0]


def test_generalised_model_and_interaction(frame, by_hand):
    fit = mfx.glmer("count ~ wb(x, g) * z + (1 | g)", frame.dropna(subset="y"), family="poisson")
    hand = by_hand.assign(wz=by_hand["w"] * by_hand["z"], mz=by_hand["m"] * by_hand["z"])
    expected = mfx.glmer("count ~ w + m + z + wz + mz + (1 | g)", hand, family="poisson")
    assert fit.llf == pytest.approx(expected.llf, rel=1e-9)
    assert fit.params["wb(x, g)[between]:z"] == pytest.approx(expected.params["mz"], rel=1e-5)


def test_expressions_and_cells(frame, by_hand):
    design = build_design("y ~ wb(log(x + 9), g, h) + (1 | g)", frame)
    value = np.log(by_hand["x"] + 9)
    mean = value.groupby([by_hand["g"], by_hand["h"]]).transform("mean")
    np.testing.assert_allclose(design.fixed.matrix[:, 1:], np.column_stack([value - mean, mean]), atol=1e-12)
    assert design.fixed.names[1] == "wb(log(x + 9), g, h)[within]"


def test_several_predictors_and_groups(frame, by_hand):
    design = build_design("y ~ wb(x, g) + wb(z, h) + (1 | g)", frame)
    mean = by_hand["z"].groupby(by_hand["h"]).transform("mean")
    np.testing.assert_allclose(design.fixed.matrix[:, 3], by_hand["z"] - mean, atol=1e-12)
    np.testing.assert_allclose(design.fixed.matrix[:, 4], mean, atol=1e-12)


def test_new_rows_of_known_and_unknown_groups(frame, by_hand):
    fit = mfx.lmer("y ~ wb(x, g) + (wb(x, g) | g)", frame)
    mean = by_hand.loc[by_hand["g"] == "g02", "m"].iloc[0]
    new = pd.DataFrame({"x": [4.0, 9.0, 1.0, 3.0, np.nan], "g": ["g02", "g02", "new", "new", "g02"]})
    columns = fit.design.fixed.encode(new)[:, 1:]
    np.testing.assert_allclose(columns[:4], [[4 - mean, mean], [9 - mean, mean], [-1, 2], [1, 2]], atol=1e-12)
    assert np.isnan(columns[4]).all()
    effects = fit.random_effects["g"].loc["g02"].to_numpy()
    expected = fit.params.to_numpy() @ [1, 4 - mean, mean] + effects @ [1, 4 - mean]
    assert fit.predict(new.iloc[:1]).iloc[0] == pytest.approx(expected)
    for other in (pickle.loads(pickle.dumps(fit)), fit.update(data=frame)):
        np.testing.assert_allclose(other.predict(new.iloc[:2]), fit.predict(new.iloc[:2]), rtol=1e-9)


def test_saved_fits_remember_the_means(tmp_path, frame):
    fit = mfx.lmer("y ~ wb(x, g) + (1 | g)", frame)
    fit.save(tmp_path / "fit.mfx")
    new = {"x": [4.0], "g": ["g02"]}
    assert mfx.load(tmp_path / "fit.mfx").predict(new).tolist() == fit.predict(new).tolist()


def test_a_predictor_of_the_groups_has_no_deviations():
    """Means of constant values are exact, so that the deviations vanish and are left out."""
    data = pd.DataFrame({"y": np.arange(30.0) % 7, "x": np.repeat(np.arange(1, 11) / 10 + 1e6, 3)})
    data["g"] = np.repeat(np.arange(10), 3)
    with pytest.warns(mfx.RankDeficientWarning, match=r"within\] = 0"):
        design = build_design("y ~ wb(x, g) + (1 | g)", data)
    assert design.fixed.names == ("Intercept", "wb(x, g)[between]")


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ("wb(x)", "one or more grouping columns"),
        ("wb(x, 2)", "a group of wb"),
        ("wb(x, log(z))", "a group of wb"),
        ("wb(1, g)", "first argument"),
        ("wb(x, g=g)", "grouping columns"),
        ("I(wb(x, g) + 1)", "term of its own"),
    ],
)
def test_what_makes_no_sense_is_refused(frame, term, message):
    with pytest.raises(mfx.SpecificationError, match=message):
        mfx.lmer(f"y ~ {term} + (1 | g)", frame)


def test_predictors_are_numbers_and_names_may_be_odd(frame):
    with pytest.raises(mfx.DataError, match=r"wb\(g, h\): g is a factor"):
        mfx.lmer("y ~ wb(g, h) + (1 | g)", frame)
    odd = frame.rename(columns={"x": "my x", "g": "the.group"})
    fit = mfx.lmer("y ~ wb(`my x`, the.group) + (wb(`my x`, the.group) | the.group)", odd)
    assert fit.params.index[1] == "wb(`my x`, the.group)[within]"
    assert fit.llf == pytest.approx(mfx.lmer("y ~ wb(x, g) + (wb(x, g) | g)", frame).llf, rel=1e-12)
