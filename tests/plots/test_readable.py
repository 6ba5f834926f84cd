"""Pictures can be read: nothing overprints, legends stand beside the data, dark themes are not dark on dark."""

import itertools

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

import mixedfx as mfx
from mixedfx._display.names import shortened
from mixedfx.plots.names import broken

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
    figure.draw_without_rendering()
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


@pytest.fixture(scope="module")
def three():
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        {
            "x": rng.normal(size=240),
            "when": 2010 + rng.integers(0, 12, 240) / 4,  # years and quarters
            "mostly": np.where(rng.uniform(size=240) < 0.8, 0, rng.integers(1, 5, 240)),
            "f": np.tile([f"level {k}" for k in range(6)], 40),
            "h": np.repeat(["in", "out"], 120),
            "g": np.arange(240) % 12,
        }
    )
    eta = 0.5 * data["x"] + 0.8 * rng.normal(size=12)[data["g"]]
    data["count"] = rng.poisson(np.exp(eta))
    data["yes"] = (rng.logistic(size=240) < eta).astype(int)
    data["said"] = pd.cut(eta + rng.logistic(size=240), [-np.inf, -1, 1, np.inf], labels=["no", "perhaps", "yes"])
    data["value"] = np.exp(eta + 0.3 * rng.normal(size=240))
    right = "x * h + f + when + mostly + (1 | g)"
    return {
        "poisson": mfx.glmer(f"count ~ {right}", data, family="poisson"),
        "binomial": mfx.glmer(f"yes ~ {right}", data, family="binomial"),
        "ordinal": mfx.glmer(f"said ~ {right}", data, family="ordinal"),
        "gaussian": mfx.lmer(f"log(value) ~ {right}", data),
    }


@pytest.mark.parametrize(
    ("kind", "x", "by", "panels", "count"),
    [
        ("poisson", "x", "h", "f", 6),
        ("binomial", "f", "x", "h", 2),
        ("ordinal", "f", "when", "h", 2),
        ("gaussian", "x", "when", "mostly", 2),
    ],
)
def test_pictures_of_three_variables_say_what_they_show(three, kind, x, by, panels, count):
    fit = three[kind]
    drawn = mfx.plots.effect(fit, x, by, panels=panels, at={"when": 2011.25} if by != "when" else None)
    figure = drawn[0].figure
    titles = [panel.get_title() for panel in drawn]
    assert len(drawn) == len(set(titles)) == count  # a quantile that comes twice is one panel
    assert all(title.startswith(f"{panels} = ") for title in titles)
    others = {"x", "h", "f", "when", "mostly"} - {x, by, panels}
    said = figure.get_suptitle().replace("\n", " ")
    assert all(f"{name} = " in said for name in others)
    assert "when" not in others or "when = 2011.25" in said
    (legend,) = [panel.get_legend() for panel in drawn if panel.get_legend()]
    assert legend.axes is drawn[min(count, 4) - 1]
    if by == "when":
        assert all(2010 <= float(text.get_text()) <= 2013 for text in legend.get_texts())
    points = [line for panel in drawn for line in panel.lines if line.get_alpha() == 0.35]
    assert sum(len(line.get_xdata()) for line in points) == fit.nobs
    assert len({line.get_color() for line in points}) == len(legend.get_texts())
    assert figure.get_figwidth() <= 15
    assert [panel for panel in drawn if panel.get_ylabel()] == drawn[::4]
    shown = [text for panel in drawn for text in (panel.title, panel.yaxis.label, panel.xaxis.label)]
    taken = boxes([*shown, figure._suptitle], figure)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(taken, 2))


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
    assert 'aria-label="Plate diagram; Subject: 18; rows: 180; ' in text
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


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("name", ["factorial", "sleep"])
def test_the_lines_of_a_check_stand_under_their_pictures(request, name, style):
    with plt.style.context(style):
        page = mfx.check(request.getfixturevalue(name))
        axes = page.plot()
        figure = axes[0, 0].figure
        figure.canvas.draw()
        lines = [ax.texts[-1] for ax in axes.flat]
        shown = [" ".join(line.get_text().split()) for line in lines]
        assert shown == [" ".join(line.split()) for line in page.panels()["line"]]
        inside, taken = figure.bbox, [line.get_window_extent() for line in lines]
        assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 for box in taken)
        assert not any(a.overlaps(b) for a, b in itertools.combinations(taken, 2))
        for ax, box in zip(axes.flat, taken, strict=True):
            assert ax.get_tightbbox().width >= box.width
            assert not box.overlaps(ax.xaxis.label.get_window_extent()) or not ax.axison
        paper = np.array(to_rgb(figure.get_facecolor()))
        assert all(np.abs(np.array(to_rgb(line.get_color())) - paper).min() > 0.6 for line in lines)
        upper = max(ax.get_tightbbox().y0 for ax in axes[1])
        assert all(box.y0 > upper for box in taken[:3])


# --------------------------------------------------------------------------- names as people write them
X = "Mittlere_Größe (%) der $x_1^2$ in \\frac{a}{b}"
Y = "Umsatz je Κατάστημα in $ und Monat \\alpha_1 %"
GROUP = "Кафедра_университета $номер$ ^2 \\beta_{ij} %%"
FACTOR = "Behandlung_$A$ oder_$B$ (100 %) \\gamma^{k}_n"
HALF = "Geschlecht_$m$_$w$ oder keine Angabe \\delta %"


@pytest.fixture(scope="module")
def messy():
    """Fits of columns and levels with 40 letters, of signs that mathtext would read; a group has one row."""
    rng, n = np.random.default_rng(0), 400
    group = np.concatenate([[0], rng.integers(1, 40, n - 1)])
    levels = np.array([f"_Stufe_{k} $\\mu_{k}$ ≥ 100 % der Größe ^{k} Ωμέγα" for k in range(4)])
    halves = np.array([f"{sex} und sehr lange $Angabe$ hier, 100 %" for sex in ("weiblich", "männlich")])
    schools = np.array([f"Group_$g_{{{k}}}$ школа №{k} \\int 50 % ^2 _______" for k in range(40)])
    data = pd.DataFrame(
        {
            X: rng.normal(size=n),
            FACTOR: levels[rng.integers(0, 4, n)],
            HALF: halves[rng.integers(0, 2, n)],
            GROUP: schools[group],
        }
    )
    eta = 0.5 * data[X] + 0.8 * rng.normal(size=40)[group] + 0.4 * rng.normal(size=40)[group] * data[X]
    data[Y] = eta + 0.7 * rng.normal(size=n)
    data["n " + Y] = rng.poisson(np.exp(0.6 * eta))
    data["p " + Y] = (rng.logistic(size=n) < eta).astype(int)
    said = [f"stimme_$gar$ {word} zu, überhaupt {word}, 50 % ^" for word in ("nicht", "weder noch", "sehr")]
    data["o " + Y] = pd.cut(eta + rng.logistic(size=n), [-np.inf, -1, 1, np.inf], labels=said)
    right = f"`{X}` + `{FACTOR}` + `{HALF}` + (1 | `{GROUP}`)"
    return {
        "linear": mfx.lmer(f"`{Y}` ~ `{X}` * `{FACTOR}` + `{HALF}` + (`{X}` | `{GROUP}`)", data),
        "poisson": mfx.glmer(f"`n {Y}` ~ {right}", data, family="poisson"),
        "binomial": mfx.glmer(f"`p {Y}` ~ {right}", data, family="binomial"),
        "ordinal": mfx.glmer(f"`o {Y}` ~ {right}", data, family="ordinal"),
        "smooth": mfx.lmer(f"`{Y}` ~ s(`{X}`, k=5, by=`{HALF}`) + `{HALF}` + (1 | `{GROUP}`)", data),
        "flat": mfx.lmer(f"`{Y}` ~ `{X}` + (1 | `{GROUP}`)", data),
    }


plots = mfx.plots
MESSY = {  # pictures of the fits with such names
    "caterpillar": lambda fits: plots.caterpillar(fits["linear"]),
    "shrinkage": lambda fits: plots.shrinkage(fits["linear"]),
    "shrinkage of one coefficient": lambda fits: plots.shrinkage(fits["poisson"]),
    "group_panels": lambda fits: plots.group_panels(fits["linear"], X),
    "forest": lambda fits: plots.forest({GROUP: fits["linear"], "_" + FACTOR: fits["flat"]}),
    "effect": lambda fits: plots.effect(fits["linear"], X),
    "effect by a factor": lambda fits: plots.effect(fits["poisson"], HALF, FACTOR),
    "effect on a probability": lambda fits: plots.effect(fits["binomial"], FACTOR, X),
    "effect on categories": lambda fits: plots.effect(fits["ordinal"], FACTOR, HALF),
    "effect of three": lambda fits: plots.effect(fits["ordinal"], X, FACTOR, panels=HALF),
    "effect at quantiles": lambda fits: plots.effect(fits["linear"], FACTOR, HALF, panels=X),
    "predictive": lambda fits: plots.predictive(fits["ordinal"]),
    "predictive of a number": lambda fits: plots.predictive(fits["linear"], 30),
    "residuals": lambda fits: plots.residuals(fits["linear"]),
    "scale_location": lambda fits: plots.scale_location(fits["linear"]),
    "qq": lambda fits: plots.qq(fits["linear"], GROUP, X),
    "quantiles": lambda fits: plots.quantiles(mfx.quantile_residuals(fits["poisson"], 50, seed=1)),
    "influence": lambda fits: plots.influence(mfx.influence(fits["linear"], GROUP)),
    "dashboard": lambda fits: plots.dashboard(fits["linear"]),
    "correlogram": lambda fits: plots.correlogram(mfx.acf(fits["linear"])),
    "deconvolution": lambda fits: plots.deconvolution(fits["flat"].deconvolve(GROUP, method="normal")),
    "ridge": lambda fits: plots.ridge(fits["flat"]),
    "scatter_matrix": lambda fits: plots.scatter_matrix(fits["linear"]),
    "modes_and_means": lambda fits: plots.modes_and_means(fits["poisson"]),
    "joint_and_marginal": lambda fits: plots.joint_and_marginal(fits["flat"], [0.1, 1.0, 3.0]),
    "likelihood_surface": lambda fits: plots.likelihood_surface(fits["flat"]),
    "matrix_image": lambda fits: plots.matrix_image(fits["flat"]),
    "plot_profile": lambda fits: plots.plot_profile(mfx.profile(fits["flat"])),
    "plot_bootstrap": lambda fits: plots.plot_bootstrap(mfx.bootstrap(fits["flat"], 20, seed=1)),
    "plot_batches": lambda fits: plots.plot_batches(mfx.batches(fits["flat"])),
    "plot_marginal_means": lambda fits: plots.plot_marginal_means(mfx.emmeans(fits["linear"], FACTOR, by=HALF)),
    "contrasts": lambda fits: plots.plot_marginal_means(mfx.emmeans(fits["linear"], FACTOR).pairs()),
    "interaction": lambda fits: plots.interaction(mfx.emmeans(fits["linear"], [HALF, FACTOR])),
    "pairwise_pvalues": lambda fits: plots.pairwise_pvalues(mfx.emmeans(fits["linear"], FACTOR)),
    "smooth": lambda fits: plots.smooth(fits["smooth"]),
    "diagram": lambda fits: mfx.explain(fits["linear"]).plot(),
    "graph": lambda fits: mfx.graph(fits["linear"]).plot(),
    "pooling": lambda fits: mfx.pooling(fits["flat"]).plot(),
}
TAKES_LONG = {"group_panels", "effect of three", "effect at quantiles", "dashboard", "pooling"}


def shown_texts(figure):
    """The texts that are drawn: ticks beyond the ends of an axis are not."""
    from matplotlib.text import Text

    hidden = set()
    for axis in [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not (axis.axes.axison and low - 1e-9 <= tick.get_loc() <= high + 1e-9):
                hidden |= {tick.label1, tick.label2}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    bare = {id(text) for ax in figure.axes if not ax.axison for text in (ax.title, ax.xaxis.label, ax.yaxis.label)}
    return [text for text in texts if text not in hidden and id(text) not in bare]


def test_every_picture_is_drawn_with_such_names():
    drawn = {name for name in plots.__all__ if not name.endswith("_frame")} - {"optimizer_path", "save_figure"}
    assert drawn <= set(MESSY)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in TAKES_LONG else []) for name in MESSY]
)
def test_names_are_written_as_they_are_and_keep_to_their_place(messy, name):
    from matplotlib.cbook import is_math_text

    figure = plots.files.figure_of(MESSY[name](messy))
    figure.draw_without_rendering()
    texts = shown_texts(figure)
    formulas = [text.get_text() for text in texts if text.get_parse_math() and is_math_text(text.get_text()) is True]
    assert [formula for formula in formulas if "mathdefault" not in formula] == []  # those are numbers of matplotlib
    taken = [(text, text.get_window_extent()) for text in texts]
    page, edge = figure.bbox, 4.0  # pixels: the margin of the layout
    assert [
        text.get_text()
        for text, box in taken
        if min(box.x0, box.y0) < -edge or box.x1 > page.x1 + edge or box.y1 > page.y1 + edge
    ] == []
    level = [(text, box.padded(-0.75)) for text, box in taken if text.get_rotation() % 90 == 0]
    assert [
        (one.get_text(), other.get_text())
        for (one, a), (other, b) in itertools.combinations(level, 2)
        if a.width > 0 and b.width > 0 and a.overlaps(b)
    ] == []
    for ax in figure.axes:
        legend = [] if ax.get_legend() is None else [text.get_text() for text in ax.get_legend().get_texts()]
        for names in (
            legend,
            *([text.get_text() for text in axis.get_majorticklabels()] for axis in (ax.xaxis, ax.yaxis)),
        ):
            named = [text for text in names if len(text) > 8]
            assert len(set(named)) == len(named)


def test_a_level_that_begins_with_an_underscore_is_in_the_legend(messy):
    for panel in (
        plots.effect(messy["poisson"], HALF, FACTOR),
        plots.interaction(mfx.emmeans(messy["linear"], [HALF, FACTOR])),
        plots.plot_marginal_means(mfx.emmeans(messy["linear"], HALF, by=FACTOR)),
    ):
        texts = [text.get_text().strip() for text in panel.get_legend().get_texts()]
        assert [text[:8] for text in texts] == [f"_Stufe_{k}" for k in range(4)]


def test_a_legend_counts_what_it_has_no_room_for():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"f": np.repeat([f"level {k} of forty" for k in range(40)], 6), "g": np.arange(240) % 12})
    data["x"], data["y"] = rng.normal(size=240), rng.normal(size=240) + rng.normal(size=12)[data["g"]]
    panel = plots.effect(mfx.lmer("y ~ x + f + (1 | g)", data), "x", "f")
    panel.figure.draw_without_rendering()
    texts = [text.get_text() for text in panel.get_legend().get_texts()]
    assert texts[-1] == f"and {40 - len(texts) + 1} more"
    assert len(texts) > 8
    assert panel.get_legend().get_window_extent().y0 >= 0


@pytest.mark.parametrize("most", [6, 10, 28])
def test_names_that_differ_are_different_when_they_are_short(most):
    names = [f"{'a' * k}participant {i} of the trial{'z' * k}" for k in (0, 5, 30) for i in (1, 2, 11)]
    found = shortened(names, most)
    assert len(set(found)) == len(names)
    assert all(short == name or (len(short) < len(name) and "…" in short) for short, name in zip(found, names))
    assert max(map(len, shortened(["one " * 20, "two " * 20], most))) <= most


@pytest.mark.parametrize("most", [6, 17, 40])
@pytest.mark.parametrize("text", [X, Y, GROUP, "0.0123, 4.5 and 1.25.", "a" * 100, "short", ""])
def test_a_broken_text_keeps_its_letters_and_its_lines(text, most):
    found = broken(text, most)
    assert found.count("\n") < 3
    assert max(map(len, found.split("\n"))) <= most
    whole = broken(text, most, 100)
    assert "".join(whole.split()) == "".join(text.split())
    assert not any(line[-2:-1].isdigit() and line.endswith(".") and line != text for line in whole.split("\n")[:-1])
