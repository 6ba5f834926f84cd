"""The plate diagram shows the structure of the model, on Axes and as SVG."""

import itertools
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.explanation.diagram import NOTE, text_width

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


def frames(fit):
    return {frame.label.split(": ")[0]: frame for frame in mfx.explain(fit).diagram.frames}


def contains(a, b):
    return a.x0 < b.x0 and b.x1 < a.x1 and a.y0 < b.y0 and b.y1 < a.y1


def test_nested_plates_lie_within_each_other():
    found = frames(mfx.lmer("strength ~ 1 + (1 | batch/cask)", mfx.load_dataset("pastes")))
    assert contains(found["batch"], found["batch:cask"])
    assert contains(found["batch:cask"], found["rows"])


def test_crossed_plates_overlap_where_the_rows_are():
    found = frames(mfx.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", mfx.load_dataset("penicillin")))
    plate, sample, rows = found["plate"], found["sample"], found["rows"]
    assert contains(plate, rows)
    assert contains(sample, rows)
    assert not contains(plate, sample)
    assert not contains(sample, plate)


def test_three_crossed_factors_share_the_response_only():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({name: rng.integers(0, m, 200) for name, m in [("a", 5), ("b", 6), ("c", 7)]})
    data["y"] = rng.normal(size=200) + sum(rng.normal(size=8)[data[name]] for name in "abc")
    explanation = mfx.explain(mfx.lmer("y ~ 1 + (1 | a) + (1 | b) + (1 | c)", data))
    found = {frame.label[0]: frame for frame in explanation.diagram.frames}
    assert found["c"].x0 > max(found["a"].x1, found["b"].x1)
    tails = [arrow.tail.kind for arrow in explanation.diagram.arrows if arrow.head.kind == "predictor"]
    assert sorted(tails) == ["effect"] * 3 + ["parameter"]


def test_predictors_stand_in_the_plate_in_which_they_are_constant():
    fit = mfx.lmer("distance ~ age + Sex + (1 | Subject)", mfx.load_dataset("orthodont"))
    boxes = {node.notes: node for node in mfx.explain(fit).diagram.nodes if node.kind == "data"}
    rows = frames(fit)["rows"]
    assert rows.x0 < boxes[("age",)].x < rows.x1
    assert boxes[("Sex",)].x < rows.x0


@pytest.mark.parametrize(
    ("formula", "name", "family"),
    [
        ("strength ~ 1 + (1 | batch/cask)", "pastes", None),
        ("diameter ~ 1 + (1 | plate) + (1 | sample)", "penicillin", None),
        ("distance ~ age + Sex + (1 | Subject)", "orthodont", "student_t"),
    ],
)
def test_arrows_from_below_cross_no_name_of_a_plate(formula, name, family):
    data = mfx.load_dataset(name)
    fit = mfx.lmer(formula, data) if family is None else mfx.glmer(formula, data, family=family)
    diagram = mfx.explain(fit).diagram
    below = [arrow for arrow in diagram.arrows if arrow.y0 > arrow.y1 and arrow.head.kind == "response"]
    assert below
    for arrow, frame in itertools.product(below, diagram.frames):
        share = np.linspace(0.0, 1.0, 201)
        x, y = arrow.x0 + share * (arrow.x1 - arrow.x0), arrow.y0 + share * (arrow.y1 - arrow.y0)
        at = x[(y > frame.y1 - 15.0) & (y < frame.y1 - 3.0)]
        width = text_width((frame.label,), NOTE)
        left = frame.x1 - 6.0 - width if frame.right else frame.x0 + 6.0
        assert not np.any((at > left) & (at < left + width)), frame.label


def test_svg_is_well_formed_whatever_the_names():
    data = mfx.load_dataset("sleepstudy").rename(columns={"Days": "a<b & $c", "Subject": "q><g>"})
    explanation = mfx.explain(mfx.lmer('Reaction ~ Q("a<b & $c") + (1 | Q("q><g>"))', data))
    root = ElementTree.fromstring(explanation.svg)
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert any("a<b & $c" in str(text) for text in texts)
    assert "q><g>: 18" in texts
    explanation.plot().figure.canvas.draw()


def test_plot_shows_what_the_diagram_says():
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    explanation = mfx.explain(mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial"))
    shown = [text.get_text() for text in explanation.plot().texts]
    assert {"herd: 15", "rows: 56", "period", "ηᵢ", "β", "τ"} <= set(shown)
    assert any("logit of the mean" in text for text in shown)
    panel = matplotlib.figure.Figure().subplots()
    assert explanation.plot(panel) is panel


def test_parameters_of_the_response_have_their_own_letters():
    """Those of the equations: pi of zeros, phi of dispersions, theta of thresholds; constants with their values."""
    owls = mfx.load_dataset("owls")
    fit = mfx.glmer(
        "SiblingNegotiation ~ FoodTreatment + (1 | Nest)", owls, family="nbinom2", zero_inflation="~ FoodTreatment"
    )
    beside = {node.symbol: node.notes for node in mfx.explain(fit).diagram.nodes if node.kind == "parameter"}
    assert beside["φ"] == (f"dispersion {fit.family_params['dispersion']:.4g}",)
    assert beside["π"] == ("zero inflation",)
    ham = mfx.load_dataset("ham").astype({"Product": str})
    ham["liking"] = pd.cut(ham["Informed.liking"], [0, 4, 6, 9], labels=["low", "middle", "high"])
    ordered = mfx.glmer("liking ~ Product + (1 | Consumer)", ham, family="ordinal")
    beside = {node.symbol: node.notes for node in mfx.explain(ordered).diagram.nodes if node.kind == "parameter"}
    assert beside["θ"] == ("2 thresholds",)
