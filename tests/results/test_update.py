"""`fit.update` gives what a new call gives, whatever is changed."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(12), 8)
    x, z = rng.normal(size=(2, 96))
    slopes = rng.normal(size=12)
    y = 4 + x + 2 * rng.normal(size=12)[g] + slopes[g] * x + rng.normal(size=96)
    data = pd.DataFrame({"y": y, "x": x, "z": z, "g": [f"g{i}" for i in g], "f": list("abcd") * 24})
    data["w"], data["o"] = rng.uniform(0.5, 2, 96), rng.normal(size=96)
    data["count"] = rng.poisson(np.exp(0.4 * x + 0.5 * slopes[g]))
    data["gap"] = data["z"].where(data.index % 10 != 3)
    return data


def same(found, expected):
    assert found.llf == expected.llf
    pd.testing.assert_series_equal(found.params, expected.params, check_exact=True)
    pd.testing.assert_series_equal(found.theta, expected.theta, check_exact=True)


LINEAR = [
    ("~ . - x", {}, "y ~ f + (x | g)", {}),
    ("~ . + z", {}, "y ~ x + f + z + (x | g)", {}),
    ("~ . - (x | g) + (1 | g)", {}, "y ~ x + f + (1 | g)", {}),
    ("~ . - (x | g) + (x || g)", {}, "y ~ x + f + (x || g)", {}),
    ("I(. + 1) ~ .", {}, "I(y + 1) ~ x + f + (x | g)", {}),
    (None, {"reml": True}, "y ~ x + f + (x | g)", {"reml": True}),
    (None, {"weights": None, "offset": None}, "y ~ x + f + (x | g)", {"weights": None, "offset": None}),
    ("~ . + offset(z)", {"contrasts": None}, "y ~ x + f + offset(z) + (x | g)", {"contrasts": None}),
    ("~ . - (x | g)", {"residual": mfx.VarIdent("f")}, "y ~ x + f", {"residual": mfx.VarIdent("f")}),
]


@pytest.mark.parametrize(("change", "changes", "formula", "arguments"), LINEAR)
def test_linear_fits_keep_what_is_not_changed(frame, change, changes, formula, arguments):
    own = {"reml": False, "weights": "w", "offset": frame["o"].to_numpy(), "contrasts": {"f": "sum"}}
    fit = mfx.lmer("y ~ x + f + (x | g)", frame, **own)
    same(fit.update(change, **changes), mfx.lmer(formula, frame, **own | arguments))


GENERALIZED = [
    ("~ . - x", {}, "count ~ 1 + (1 | g)", {}),
    ("~ . + z", {"nagq": 1}, "count ~ x + z + (1 | g)", {"nagq": 1}),
    ("~ . - (1 | g) + (x | g)", {"nagq": 1}, "count ~ x + (x | g)", {"nagq": 1}),
    (None, {"family": "nbinom2"}, "count ~ x + (1 | g)", {"family": "nbinom2"}),
    (None, {"zero_inflation": "~ 1"}, "count ~ x + (1 | g)", {"zero_inflation": "~ 1"}),
]


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning", "ignore::mixedfx.ConvergenceWarning")
@pytest.mark.parametrize(("change", "changes", "formula", "arguments"), GENERALIZED)
def test_generalised_fits_keep_what_is_not_changed(frame, change, changes, formula, arguments):
    own = {"family": "poisson", "nagq": 5, "offset": "o"}
    fit = mfx.glmer("count ~ x + (1 | g)", frame, **own)
    same(fit.update(change, **changes), mfx.glmer(formula, frame, **own | arguments))


def test_own_functions_stay_and_nothing_else_is_evaluated(frame):
    fit = mfx.lmer("y ~ double(x) + (1 | g)", frame, functions={"double": lambda x: 2 * x})
    assert fit.update("~ . + double(z)").params.index.tolist() == ["Intercept", "double(x)", "double(z)"]
    for text in ("~ . + I(__import__('os'))", "~ . + (eval('x') | g)", "open('f') ~ ."):
        with pytest.raises(mfx.SpecificationError):
            fit.update(text)


def test_other_data(frame):
    fit = mfx.lmer("y ~ x + (1 | g)", frame)
    half = frame.iloc[::2]
    same(fit.update("~ . + z", data=half), mfx.lmer("y ~ x + z + (1 | g)", half))
    weighted = fit.update(weights=frame["w"].to_numpy())
    with pytest.raises(mfx.SpecificationError, match="weights was an array"):
        weighted.update(data=half)
    same(weighted.update(data=half, weights="w"), mfx.lmer("y ~ x + (1 | g)", half, weights="w"))


def test_what_becomes_of_the_callers_frame_does_not_matter(frame):
    data = frame.copy()
    fit = mfx.lmer("y ~ x + (1 | g)", data)
    data["z"] = 0.0
    del data["f"]
    same(fit.update("~ . + z + f"), mfx.lmer("y ~ x + z + f + (1 | g)", frame))


def test_rows_that_change_are_said(frame):
    fit = mfx.lmer("y ~ x + (1 | g)", frame)
    fewer = fit.update("~ . + gap")
    assert any("10 rows are no longer used (3, 13, 23, 33, 43, …)" in note for note in fewer.notes)
    assert any("10 rows are used anew (3, 13" in note for note in fewer.update("~ . - gap").notes)
    assert fit.update("~ . + z").notes == ()


def test_control_is_kept_without_starting_values_of_another_model(frame):
    with pytest.warns(mfx.ConvergenceWarning):
        fit = mfx.lmer("y ~ x + (x | g)", frame, control=mfx.Control(max_iter=0, start=[1.0, 0.0, 1.0]))
    with pytest.warns(mfx.ConvergenceWarning):
        kept = fit.update("~ . + z")
    np.testing.assert_allclose(kept.theta, [1.0, 0.0, 1.0], atol=1e-14)
    with pytest.warns(mfx.ConvergenceWarning):
        assert len(fit.update("~ . - (x | g) + (1 | g)").theta) == 1


def test_warnings_point_to_the_callers_line(frame):
    fit = mfx.lmer("y ~ x + (1 | g)", frame)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit.update("rank ~ x + (1 | g)", data=frame.assign(rank=np.arange(96) % 8))
    assert [(w.category, w.filename) for w in caught] == [(mfx.SingularFitWarning, __file__)]


def test_saved_fits_know_their_own_columns_only(tmp_path, frame):
    fit = mfx.lmer("y ~ x + f + (1 | g)", frame, reml=False)
    fit.save(tmp_path / "fit.mfx")
    for back in (mfx.load(tmp_path / "fit.mfx"), pickle.loads(pickle.dumps(fit))):
        same(back.update("~ . - f"), fit.update("~ . - f"))
        same(back.update("~ . + z", data=frame), fit.update("~ . + z"))
        with pytest.raises(mfx.SpecificationError, match="to use 'z', give the data again"):
            back.update("~ . + z")


def test_mistakes(frame):
    fit = mfx.lmer("y ~ x + (1 | g)", frame)
    with pytest.raises(mfx.SpecificationError, match="no term z"):
        fit.update("~ . - z")
    with pytest.raises(mfx.SpecificationError, match="no random term"):
        fit.update("~ . - (1 | f)")
    with pytest.raises(mfx.DataError, match="no column 'q'"):
        fit.update("~ . + q")
    with pytest.raises(TypeError, match="no argument 'familly'"):
        fit.update(familly="poisson")
    with pytest.raises(mfx.SpecificationError, match="refit"):
        fit.refit(frame["z"]).update("~ . - x")
