"""The picture of a directed graph: the plate diagram of a model, or layers of nodes, parents above their children.

The layers follow Sugiyama, Tagawa & Toda (1981), IEEE Trans. Syst. Man Cybern. 11, 109: the longest path from above
says the layer, means over neighbours the order in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.explanation.diagram import (
    LETTER,
    LINE,
    NOTE,
    RADIUS,
    Arrow,
    Diagram,
    Kind,
    Node,
    text_width,
)
from mixedfx.explanation.plates import Symbols, draw_up, numbered
from mixedfx.graphs.dag import DATA, PARAMETER, RESPONSE, Graph
from mixedfx.graphs.plates import Scheme

__all__ = ["diagram_of"]

KINDS = {DATA: Kind.DATA, PARAMETER: Kind.PARAMETER, RESPONSE: Kind.RESPONSE}
GREEK = {"sigma": "σ", "dispersion": "φ", "thresholds": "θ"}
MOST_DRAWN = 80  # nodes
SWEEPS = 12  # over the layers, down and up
HEIGHT, GAP, MARGIN = 85.0, 16.0, 20.0  # between layers, between nodes of one, around all


def diagram_of(graph: Graph) -> Diagram:
    """Return the picture of a graph.

    Raises
    ------
    SpecificationError
        If it has more nodes than can be read.
    """
    if graph.scheme is not None:
        return draw_up(graph.scheme.arrangement, graph.scheme.links, _symbols(graph.scheme), graph.scheme.n_rows)
    if len(graph.nodes) > MOST_DRAWN:
        raise SpecificationError(
            f"the graph has {len(graph.nodes):,} nodes, and a picture of more than {MOST_DRAWN} cannot be read: take "
            "view='plates', or the graph of a part of the data"
        )
    return _layered(graph)


def _symbols(scheme: Scheme) -> Symbols:
    """Letters for the nodes, and as small print what they are called in the graph."""
    several = len(scheme.effects) > 1
    spreads = {"sd": "σ" if several else "τ", "lambda": "λ"}
    signs = [spreads.get(name.partition("[")[0], "Σ") for name in scheme.spreads]
    shown = Symbols.shown
    letters = numbered([name[0] for name in scheme.effects])
    described = [
        f"{letter} = {name}: {', '.join(shown(names))}"
        for letter, name, names in zip(letters, scheme.effects, scheme.columns, strict=True)
    ]
    return Symbols(
        response=shown([scheme.response])[0],
        predictor=f"{'μ' if scheme.predictor.startswith('mu') else 'η'}ᵢ",
        rows=f"rows: {scheme.n_rows}",
        letters=letters,
        covariances=numbered(signs),
        effects=tuple(shown([name]) for name in scheme.effects),
        spread=tuple(shown([name]) for name in scheme.spreads),
        scales=tuple((GREEK.get(name, "φ"), name) for name in scheme.shapes),
        laws=tuple(described),
        slopes={k: shown([name])[0] for k, name in scheme.slopes.items()},
    )


# ------------------------------------------------------------------ layers
def _layered(graph: Graph) -> Diagram:
    layers = _layers(graph)
    x = _places(graph, layers)
    nodes = {}
    for level, layer in enumerate(layers):
        for name in layer:
            nodes[name] = _node(graph, name, x[name] + MARGIN, MARGIN + RADIUS + HEIGHT * level)
    right = max((n.x + _room(graph, n_name) for n_name, n in nodes.items()), default=0.0)
    arrows = [
        Arrow(*nodes[tail].edge(nodes[head], 2.0), *nodes[head].edge(nodes[tail], 2.0), nodes[tail], nodes[head])
        for tail, head in graph.edges
    ]
    height = 2.0 * (MARGIN + RADIUS) + HEIGHT * (len(layers) - 1) + LINE
    return Diagram(right + MARGIN, height, (), tuple(nodes.values()), tuple(arrows), ())


def _node(graph: Graph, name: str, x: float, y: float) -> Node:
    notes = Symbols.shown([name])
    kind = KINDS.get(graph.kind(name), Kind.PREDICTOR if name in graph.deterministic else Kind.EFFECT)
    if kind is Kind.DATA:
        return Node(x, y, kind, "", notes)
    if kind is Kind.PARAMETER:  # above the arrows that leave it
        return Node(x, y, kind, notes[0])
    short = text_width(notes, NOTE) < 2.0 * RADIUS - 4.0
    return Node(x, y, kind, notes[0] if short and len(name) <= 3 else "", () if short and len(name) <= 3 else notes)


def _room(graph: Graph, name: str) -> float:
    """How far a node with its text reaches from its centre."""
    shown = Symbols.shown([name])
    if graph.kind(name) == PARAMETER:
        return text_width(shown, LETTER) + 8.0
    width = text_width(shown, NOTE)
    return max(RADIUS, 0.5 * width + (8.0 if graph.kind(name) == DATA else 0.0))


def _layers(graph: Graph) -> list[list[str]]:
    """Every node below its parents; what has none just above its first child."""
    level: dict[str, int] = {}
    children: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for tail, head in graph.edges:
        children[tail].append(head)
    for name in graph.nodes:
        level[name] = max((level[parent] + 1 for parent in graph.parents[name]), default=0)
    for name in reversed(graph.nodes):
        if not graph.parents[name] and children[name]:
            level[name] = min(level[child] for child in children[name]) - 1
    return [[n for n in graph.nodes if level[n] == i] for i in range(max(level.values(), default=-1) + 1)]


def _places(graph: Graph, layers: list[list[str]]) -> dict[str, float]:
    """Horizontal places: towards the mean of the neighbours, in turns from above and from below."""
    neighbours: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for tail, head in graph.edges:
        neighbours[tail].append(head)
        neighbours[head].append(tail)
    x: dict[str, float] = {}
    for layer in layers:
        _spread(graph, layer, np.arange(len(layer), dtype=float), x)
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            wanted = np.array([_mean(x, neighbours[name], x[name]) for name in layer])
            order = np.argsort(wanted, kind="stable")
            layer[:] = [layer[i] for i in order]
            _spread(graph, layer, wanted[order], x)
    left = min((x[name] - _room(graph, name) for name in graph.nodes), default=0.0)
    return {name: value - left for name, value in x.items()}


def _mean(x: Mapping[str, float], names: Sequence[str], otherwise: float) -> float:
    return float(np.mean([x[name] for name in names])) if names else otherwise


def _spread(graph: Graph, layer: Sequence[str], wanted: Array, x: dict[str, float]) -> None:
    """Put the nodes of a layer near where they should be, in this order, without overlap (least squares)."""
    room = np.array([_room(graph, name) for name in layer])
    offset = np.concatenate([[0.0], np.cumsum(room[:-1] + room[1:] + GAP)])
    for name, place in zip(layer, _increasing(wanted - offset) + offset, strict=True):
        x[name] = float(place)


def _increasing(values: Array) -> Array:
    """The nearest sequence that does not fall: neighbours that would are pooled at their mean."""
    pools: list[tuple[float, int]] = []
    for value in values:
        pools.append((float(value), 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m), (b, n) = pools[-2], pools.pop()
            pools[-1] = ((a * m + b * n) / (m + n), m + n)
    return np.concatenate([np.full(count, mean) for mean, count in pools])
