from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot

import mixedfx as mfx
from mixedfx.plots import caterpillar, caterpillar_frame, save_figure


@pytest.fixture
def fit():
    modes = pd.DataFrame({"Intercept": [2.0, -1.0, 0.5], "x": [0.1, 0.2, -0.3]}, index=["a", "b", "c"])
    single = pd.DataFrame({"Intercept": [1.0, -1.0]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]))
    return SimpleNamespace(
        random_effects={"g": modes, "g:h": single},
        random_effects_sd={"g": modes.abs() / 2, "g:h": single.abs()},
    )


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


def test_frame_holds_modes_and_normal_intervals(fit):
    frame = caterpillar_frame(fit, "g", alpha=0.05)
    assert frame["mode"].tolist() == [2.0, -1.0, 0.5, 0.1, 0.2, -0.3]
    assert (frame["upper"] - frame["mode"]).to_numpy() == pytest.approx(1.959963984540054 * frame["sd"].to_numpy())
    assert (frame["upper"] + frame["lower"]).to_numpy() == pytest.approx(2 * frame["mode"].to_numpy())
    assert caterpillar_frame(fit, "g:h")["level"].tolist() == ["a:1", "b:2"]


def test_panels_show_the_frame_sorted_by_the_first_coefficient(fit):
    first, second = caterpillar(fit)
    assert [label.get_text() for label in first.get_yticklabels()] == ["b", "c", "a"]
    assert first.get_ylabel() == "g"
    assert (first.get_title(), second.get_title()) == ("Intercept", "x")
    points = second.lines[-1].get_xdata()
    assert np.asarray(points) == pytest.approx([0.2, -0.3, 0.1])


def test_given_axes_are_used(fit):
    _, ax = pyplot.subplots()
    assert caterpillar(fit, "g:h", ax=ax)[0] is ax
    with pytest.raises(mfx.SpecificationError, match="this one has 2"):
        caterpillar(fit, "g", ax=ax)


def test_unknown_group_and_no_groups_are_named(fit):
    with pytest.raises(mfx.SpecificationError, match="'q'; choose from 'g', 'g:h'"):
        caterpillar(fit, "q")
    with pytest.raises(mfx.SpecificationError, match="no random effects"):
        caterpillar(SimpleNamespace(random_effects={}, random_effects_sd={}))


def test_pictures_are_written_in_the_format_of_their_name(fit, tmp_path):
    target = tmp_path / "g.svg"
    save_figure(caterpillar(fit)[0], target)
    assert "<svg" in target.read_text(encoding="utf-8")
    assert pyplot.get_fignums() == []
    with pytest.raises(mfx.SpecificationError, match=r"g\.doc.*must end in .*png"):
        save_figure(caterpillar(fit)[0], tmp_path / "g.doc")
