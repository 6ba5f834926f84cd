"""Saving without loss: data of every kind come back, the estimate is the same to the last bit, no code is stored."""

import pickle

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx


@pytest.fixture
def frame():
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(8), 6)
    data = pd.DataFrame(
        {
            "y": rng.normal(size=48) + rng.normal(size=8)[g],
            "x": pd.array(rng.normal(size=48), dtype="Float64"),
            "f": pd.Categorical(np.tile(["b", "a", "c"], 16), categories=["c", "b", "a"]),
            "site": np.array([f"s{i}" for i in g], dtype=object),
            "when": pd.to_datetime("2020-01-01") + pd.to_timedelta(g % 4, unit="D"),
            "n": g % 2 == 0,
            "w": rng.uniform(0.5, 2, 48),
        },
        index=pd.Index([f"row{i}" for i in range(48)], name="row"),
    )
    data.loc["row3", "x"] = pd.NA
    return data


FORMULAS = ["y ~ x + f + (1 | site)", "y ~ scale(x) * n + (1 | when:site)", "log(y + 9) ~ C(f, contr.sum) + (x | site)"]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_saved_fits_come_back_without_loss(tmp_path, frame, formula, weights):
    fit = mfx.lmer(formula, frame, weights=weights, reml=weights is None)
    fit.save(tmp_path / "fit.mfx")
    for back in (mfx.load(tmp_path / "fit.mfx"), pickle.loads(pickle.dumps(fit))):
        assert back.llf == fit.llf
        pd.testing.assert_series_equal(back.params, fit.params, check_exact=True)
        pd.testing.assert_series_equal(back.fittedvalues, fit.fittedvalues, check_exact=True)
        pd.testing.assert_series_equal(back.predict(frame), fit.predict(frame), check_exact=True)
        assert str(back.summary()) == str(fit.summary())


def test_what_is_code_is_not_saved(tmp_path, frame):
    fit = mfx.lmer("y ~ double(x) + (1 | site)", frame, functions={"double": lambda x: 2 * x})
    with pytest.raises(mfx.SpecificationError, match="double"):
        fit.save(tmp_path / "fit.mfx")


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps({"a": 1})])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(mfx.DataError, match="not a fit"):
        mfx.load(path)
