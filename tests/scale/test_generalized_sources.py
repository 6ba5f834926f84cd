"""Generalised models take every source that can be read again."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from tests.scale.test_cross_products import pieces
from tests.scale.test_sources import SOURCES


@pytest.fixture(scope="module")
def data():
    data = mfx.load_dataset("cbpp")
    data = data.assign(herd=data["herd"].astype(str), period=data["period"].astype(str), other=1.0, n=data["size"])
    return data


FORMULA = "cbind(incidence, size - incidence) ~ period + (1 | herd)"


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_gives_the_fit_in_memory(data, source, tmp_path):
    rows = mfx.glmer(FORMULA, data, family="binomial")
    read = mfx.glmer(FORMULA, source(data, tmp_path), family="binomial")
    assert np.allclose(rows.params, read.params, rtol=1e-12)
    assert rows.llf == pytest.approx(read.llf, rel=1e-13)
    assert np.allclose(rows.fittedvalues, read.fittedvalues)
    assert "other" not in read.model.inputs.frame
    assert read.nobs == rows.nobs


def test_types_and_levels_are_those_of_the_whole(tmp_path):
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"g": rng.integers(10**15, 10**15 + 9, 210), "x": rng.normal(size=210)})
    data["f"] = pd.Categorical(rng.choice(["lo", "hi"], 210), categories=["lo", "mid", "hi"])
    data["t"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 6, 210), unit="D")
    data["flag"], data["y"] = data.x > 0, rng.poisson(2.0, 210).astype(float)
    data.loc[[3, 77], "x"], data.loc[[5], "y"] = np.nan, np.nan
    formula = "y ~ f * x + flag + (1 | g) + (1 | t)"
    rows = mfx.glmer(formula, data, family="poisson")
    read = mfx.glmer(formula, pieces(data), family="poisson")
    assert list(rows.params.index) == list(read.params.index)
    assert np.allclose(rows.params, read.params, rtol=1e-12)
    assert all(a.equals(b) for a, b in zip(rows.model.groups.values(), read.model.groups.values(), strict=True))
    assert rows.model.design.notes == read.model.design.notes
    read.save(tmp_path / "fit")
    assert mfx.load(tmp_path / "fit").llf == pytest.approx(read.llf, rel=1e-12)


def test_an_ordinal_response_of_text_is_refused_in_pieces_too(data):
    words = data.assign(word=np.where(data.incidence > 1, "many", "few"))
    with pytest.raises(mfx.DataError, match="is text, which has no order"):
        mfx.glmer("word ~ period + (1 | herd)", pieces(words), family="ordinal")


def test_a_source_that_gives_its_rows_once_is_refused_by_name(data):
    with pytest.raises(mfx.SpecificationError, match=r"one-shot iterator \(generator\).*list of frames"):
        mfx.glmer(FORMULA, (piece for piece in pieces(data)), family="binomial")
