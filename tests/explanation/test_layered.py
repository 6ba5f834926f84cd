"""Pictures of graphs: every node and edge once, parents above children, nothing on top of each other."""

from itertools import combinations

import matplotlib.pyplot as plt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfx as mfx
from mixedfx.explanation.diagram import NOTE, RADIUS, text_width
from mixedfx.explanation.layered import diagram_of
from tests.graphs.test_dag import dags
from tests.graphs.test_model_graphs import crossed


@given(dags(most=9), st.booleans())
def test_layers(case, long):
    names, edges, fixed = case
    called = {name: f"{name} with a long name" if long else name for name in names}
    dag = mfx.Graph([(called[a], called[b]) for a, b in edges], [called[n] for n in fixed], nodes=called.values())
    picture = diagram_of(dag)
    assert len(picture.nodes) == len(names)
    assert len(picture.arrows) == len(edges)
    assert all(arrow.tail.y < arrow.head.y for arrow in picture.arrows)
    for one, other in combinations(picture.nodes, 2):
        if one.y == other.y:
            room = sum(max(RADIUS, 0.5 * text_width(node.notes, NOTE)) for node in (one, other))
            assert abs(one.x - other.x) >= room
    for node in picture.nodes:
        half = max(RADIUS, 0.5 * text_width(node.notes, NOTE))
        assert half <= node.x <= picture.width - half
        assert RADIUS <= node.y <= picture.height - RADIUS


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("formula", ["y ~ x + u + (x | g)", "y ~ u + (1 | g/h)", "y ~ x + (1 | g) + (1 | k)"])
def test_plates_have_every_node_but_the_predictors_of_one_box(formula, centered):
    """Fixed terms share a box where they enter together; all other nodes and their edges are drawn."""
    dag = mfx.graph(formula, crossed(), centered=centered)
    picture = diagram_of(dag)
    boxes = [node for node in picture.nodes if node.kind == "data"]
    assert sorted(note for box in boxes for note in box.notes) == sorted(n for n in dag.nodes if dag.kind(n) == "data")
    others = [n for n in dag.nodes if dag.kind(n) != "data"]
    assert len(picture.nodes) - len(boxes) == len(others)
    drawn = [arrow for arrow in picture.arrows if arrow.tail.kind != "data"]
    assert len(drawn) == sum(dag.kind(tail) != "data" for tail, _ in dag.edges)
    shown = {note for node in picture.nodes for note in node.notes}
    assert {n for n in others if n not in ("beta", "mu")} <= shown


def test_plot_draws_on_the_axes_it_is_given():
    _, panel = plt.subplots()
    dag = mfx.Graph([("a", "b")])
    assert dag.plot(ax=panel) is panel
    assert {text.get_text() for text in panel.texts} == {"a", "b"}
    assert mfx.graph("y ~ x + (1 | g)", crossed(), residual=mfx.VarIdent("k")).plot() is not panel
    plt.close("all")
