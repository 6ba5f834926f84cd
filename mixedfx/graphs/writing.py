"""A graph as text in the languages of Graphviz and of Mermaid.

Nodes are numbered there, and their names are labels: whatever a name holds, it is text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mixedfx.graphs.dag import Graph

__all__ = ["dot", "mermaid"]

SHAPES = {
    "data": "shape=box",
    "parameter": "shape=plaintext",
    "response": 'shape=ellipse, style=filled, fillcolor="lightgrey"',
}
# Beside letters, digits and spaces, what means nothing to Mermaid within quotes.
PLAIN = re.compile(r"[^\w \-.,:()\[\]+*/=|]")


def dot(graph: Graph) -> str:
    """Return a graph in Graphviz's language."""
    number = {name: f"n{i}" for i, name in enumerate(graph.nodes)}
    lines = ["digraph {"]
    for name in graph.nodes:
        style = SHAPES.get(graph.kind(name), "shape=ellipse")
        if name in graph.deterministic and "style" not in style and graph.kind(name) not in SHAPES:
            style += ", style=dashed"
        lines.append(f"  {number[name]} [label={_quoted(name)}, {style}];")
    for plate in _boxes(graph):
        lines += _cluster(plate, number, "  ")
    lines += [f"  {number[tail]} -> {number[head]};" for tail, head in graph.edges]
    return "\n".join([*lines, "}", ""])


def _cluster(plate: _Box, number: dict[str, str], indent: str) -> list[str]:
    within = " ".join(f"{number[name]};" for name in plate.nodes)
    lines = [f"{indent}subgraph cluster_{plate.number} {{", f"{indent}  label={_quoted(plate.label)}; {within}"]
    for inner in plate.boxes:
        lines += _cluster(inner, number, indent + "  ")
    return [*lines, f"{indent}}}"]


def _quoted(text: str) -> str:
    """A label in quotes; a backslash there begins one of Graphviz's own signs, unless it is doubled."""
    inside = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "\\n")
    return f'"{inside}"'


def mermaid(graph: Graph) -> str:
    """Return a graph in Mermaid's language."""
    number = {name: f"n{i}" for i, name in enumerate(graph.nodes)}
    lines = ["flowchart TD"]
    for name in graph.nodes:
        left, right = ("[", "]") if graph.kind(name) == "data" else ("([", "])")
        lines.append(f'  {number[name]}{left}"{_coded(name)}"{right}')
    for plate in _boxes(graph):
        lines += _subgraph(plate, number, "  ")
    lines += [f"  {number[tail]} --> {number[head]}" for tail, head in graph.edges]
    dashed = [number[n] for n in graph.nodes if n in graph.deterministic and graph.kind(n) not in SHAPES]
    shaded = [number[n] for n in graph.nodes if graph.kind(n) == "response"]
    for names, word, style in ((dashed, "determined", "stroke-dasharray:4"), (shaded, "observed", "fill:#ddd")):
        if names:
            lines += [f"  classDef {word} {style}", f"  class {','.join(names)} {word}"]
    return "\n".join([*lines, ""])


def _subgraph(plate: _Box, number: dict[str, str], indent: str) -> list[str]:
    lines = [f'{indent}subgraph p{plate.number} ["{_coded(plate.label)}"]']
    lines += [f"{indent}  {number[name]}" for name in plate.nodes]
    for inner in plate.boxes:
        lines += _subgraph(inner, number, indent + "  ")
    return [*lines, f"{indent}end"]


def _coded(text: str) -> str:
    """A label for quotes: whatever could mean something is written as the number of its character."""
    return PLAIN.sub(lambda found: "<br/>" if found[0] == "\n" else f"#{ord(found[0])};", text)


@dataclass
class _Box:
    """A plate with what is in no finer one, and the plates within; of crossed plates the finer ones stand apart."""

    number: int
    label: str
    nodes: list[str] = field(default_factory=list)
    boxes: list[_Box] = field(default_factory=list)


def _boxes(graph: Graph) -> list[_Box]:
    """The outermost plates."""
    order = sorted(range(len(graph.panels)), key=lambda i: -len(graph.panels[i].nodes))
    sets = {i: set(graph.panels[i].nodes) for i in order}
    boxes = {i: _Box(i, graph.panels[i].label) for i in order}
    outer: list[_Box] = []
    for place, i in enumerate(order):
        around = [j for j in order[:place] if sets[j] >= sets[i]]
        nested = all(sets[j] >= sets[k] for j, k in pairwise(around))
        home = boxes[around[-1]].boxes if around and nested else outer
        home.append(boxes[i])
    for name in graph.nodes:
        finest = next((i for i in reversed(order) if name in sets[i]), None)
        if finest is not None:
            boxes[finest].nodes.append(name)
    return outer
