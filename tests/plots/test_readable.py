"""Pictures can be read: nothing overprints, legends stand beside the data, dark themes are not dark on dark."""

import itertools

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

import mixedfx as mfx

matplotlib.use("Agg")
NAMES = [f"treatment with a very long name {letter}" for letter in "abcdef"]


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def factorial():
    rng = np.random.default_rng(0)
    data = pd.DataFrame(
        {
            "A": np.tile(np.repeat(NAMES, 4), 10),
            "B": np.tile(["w", "x", "y", "z"], 60),
            "g": np.repeat(np.arange(10), 24),
            "x": rng.normal(size=240),
        }
    )
    data["y"] = rng.normal(size=240) + rng.normal(size=10)[data["g"]]
    return mfx.lmer("y ~ A * B + x + (1 | g)", data)


@pytest.fixture(scope="module")
def sleep():
    return mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))


def boxes(labels, figure):
    figure.canvas.draw()
    return [label.get_window_extent() for label in labels if label.get_text() and label.get_visible()]


def corners_overlap(labels, figure):
    """Whether label k prints over label k + 1: by their true, slanted outlines."""
    from matplotlib.transforms import Bbox

    figure.canvas.draw()
    tips = [label.get_window_extent() for label in labels if label.get_text()]
    if labels[0].get_rotation() == 0:
        return any(Bbox.intersection(a, b) is not None for a, b in itertools.pairwise(tips))
    gaps = np.diff([box.x1 for box in tips]) * np.sin(np.deg2rad(labels[0].get_rotation()))
    return bool(np.any(gaps < labels[0].get_fontsize()))  # distance of parallel lines, against the height of a letter


def test_long_levels_do_not_print_over_each_other(factorial):
    for x, by in (("A", "B"), ("B", "A"), ("A", None)):
        panel = mfx.plots.effect(factorial, x, by)
        assert not corners_overlap(panel.get_xticklabels(), panel.figure)


def test_the_legend_stands_beside_the_data(factorial, sleep):
    for panel in (
        mfx.plots.effect(factorial, "A", "B"),
        mfx.plots.forest({"one": sleep, "two": sleep}),
        mfx.plots.shrinkage(sleep),
    ):
        panel.figure.canvas.draw()
        assert panel.get_legend().get_window_extent().x0 >= panel.get_window_extent().x1 - 1.0


def test_the_title_says_where_other_predictors_stand(factorial):
    panel = mfx.plots.effect(factorial, "B", at={"x": 1.5})
    assert "x = 1.5" in panel.get_title()
    assert f"A = {NAMES[0]}" in panel.get_title().replace("\n", " ")
    assert mfx.plots.effect(factorial, "B", "A").get_title().startswith("at x = ")


@pytest.mark.parametrize(
    ("formula", "data", "options", "said"),
    [
        ("cbind(incidence, size - incidence) ~ period + (1 | herd)", "cbpp", {}, "proportion of incidence"),
        ("use ~ urban + (1 | district)", "contraception", {}, "probability of use = 'Y'"),
    ],
)
def test_the_axis_of_a_probability_says_of_what(formula, data, options, said):
    fit = mfx.glmer(formula, mfx.load_dataset(data), family="binomial", **options)
    assert mfx.plots.effect(fit, next(iter(fit.design.variables))).get_ylabel() == said


def test_ordered_categories_have_their_names_where_their_points_are():
    ham = mfx.load_dataset("ham").astype({"Product": str})
    ham["liking"] = pd.cut(ham["Informed.liking"], [0, 4, 6, 9], labels=["low", "middle", "high"])
    panel = mfx.plots.effect(mfx.glmer("liking ~ Product + (1 | Consumer)", ham, family="ordinal"), "Product")
    assert [label.get_text() for label in panel.get_yticklabels()] == ["low", "middle", "high"]
    drawn = np.concatenate([line.get_ydata() for line in panel.lines if len(line.get_ydata()) > 100])
    assert set(np.round(drawn)) == set(panel.get_yticks())


def test_panels_say_how_many_levels_they_show(sleep):
    panels = mfx.plots.group_panels(sleep, "Days")
    assert "12 of the 18 levels of Subject" in panels[0].figure.get_supxlabel()
    assert (
        "levels"
        not in mfx.plots.group_panels(sleep, "Days", levels=list(sleep.model.groups["Subject"]))[
            0
        ].figure.get_supxlabel()
    )


def test_panels_of_long_names_do_not_print_over_each_other():
    data = mfx.load_dataset("sleepstudy")
    data["Subject"] = "participant number " + data["Subject"].astype(str) + " of the second wave"
    panels = mfx.plots.group_panels(mfx.lmer("Reaction ~ Days + (Days | Subject)", data), "Days")
    row = boxes([panel.title for panel in panels[:4]], panels[0].figure)
    assert all(a.x1 <= b.x0 for a, b in itertools.pairwise(row))


def test_many_levels_name_their_extremes():
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(120), 4)
    fit = mfx.lmer("y ~ 1 + (1 | g)", {"y": rng.normal(size=120)[g] + rng.normal(size=480), "g": g})
    (panel,) = mfx.plots.caterpillar(fit)
    order = fit.random_effects["g"]["Intercept"].sort_values().index.astype(str).tolist()
    low, high = (label.get_text().split("\n") for label in panel.get_yticklabels())
    assert low == order[4::-1]
    assert high == order[:-6:-1]
    assert panel.figure.get_size_inches()[1] <= 6


def contrast(one, two):
    """The contrast ratio of WCAG."""
    light = []
    for colour in (one, two):
        channels = np.array(to_rgb(colour))
        channels = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        light.append(float(channels @ [0.2126, 0.7152, 0.0722]))
    return (max(light) + 0.05) / (min(light) + 0.05)


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_writing_and_marks_stand_out_on_any_theme(style, sleep):
    with plt.style.context(style):
        explained = mfx.explain(sleep).plot()
        surface, shrink = mfx.plots.likelihood_surface(sleep), mfx.plots.shrinkage(sleep)
        ground = explained.figure.get_facecolor()
        assert all(contrast(text.get_color(), ground) > 7 for text in explained.texts)
        arrows = [patch for patch in explained.patches if type(patch).__name__ == "FancyArrowPatch"]
        assert arrows
        assert all(contrast(arrow.get_edgecolor(), ground) > 7 for arrow in arrows)
        for panel, marker in ((surface, "*"), (shrink, "P")):
            (line,) = [line for line in panel.lines if line.get_marker() == marker]
            assert contrast(line.get_color(), ground) > 7


def test_the_svg_takes_the_colours_of_the_page(sleep):
    text = mfx.explain(sleep).svg
    assert "currentColor" in text
    for fixed in ("#222", "#fff", "#ccc"):
        assert fixed not in text


def test_saved_files_cut_no_names(tmp_path, factorial):
    path = tmp_path / "forest.png"
    panel = mfx.plots.forest(factorial)
    figure = panel.figure
    figure.canvas.draw()
    left = min(label.get_window_extent().x0 for label in panel.get_yticklabels())
    mfx.plots.save_figure(panel, path)
    width = plt.imread(path).shape[1] / 150
    assert width >= (figure.bbox.x1 - min(left, 0.0)) / figure.dpi - 0.5
    ink = plt.imread(path)[:, :2, :3]
    assert ink.min() > 0.9  # nothing touches the border


@pytest.mark.parametrize("levels", [30, 300])
def test_names_of_influential_groups_do_not_print_over_each_other(levels):
    rng = np.random.default_rng(levels)
    group = np.repeat(np.arange(levels), 4)
    data = {
        "site": [f"Hospital of Saint Somebody {i}" for i in group],
        "y": rng.standard_t(2, levels)[group] + rng.normal(size=group.size),
    }
    fit = mfx.lmer("y ~ 1 + (1 | site)", data)
    panel = mfx.plots.influence(mfx.influence(fit, "site"))
    shown = boxes(panel.texts, panel.figure)
    assert len(shown) >= 1
    assert not any(a.overlaps(b) for a, b in itertools.combinations(shown, 2))


@pytest.mark.parametrize("formula", ["Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + (1 | Subject)"])
def test_arrows_of_a_plate_diagram_cross_no_small_print(formula):
    diagram = mfx.explain(mfx.lmer(formula, mfx.load_dataset("sleepstudy"))).diagram
    for arrow in diagram.arrows:
        for node in diagram.nodes:
            if node.kind in ("parameter", "data") or not node.notes:
                continue
            top, bottom = node.y + 20.0, node.y + 20.0 + 13.0 * len(node.notes)
            for t in np.linspace(0.0, 1.0, 101):
                x, y = arrow.x0 + t * (arrow.x1 - arrow.x0), arrow.y0 + t * (arrow.y1 - arrow.y0)
                assert not (top < y < bottom and abs(x - node.x) < 3.0)


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_grid_lines_stay_behind_what_is_shown(style, factorial):
    with plt.style.context(style):
        panel = mfx.emmeans(factorial, "B").plot()
        line = panel.get_xgridlines()[0]
        assert line.get_alpha() is not None
        assert line.get_alpha() < 0.5
