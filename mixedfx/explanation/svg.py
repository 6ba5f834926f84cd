"""A plate diagram as SVG: text that browsers and notebooks show."""

from __future__ import annotations

from xml.sax.saxutils import escape

from mixedfx.explanation.diagram import DOT, LETTER, LINE, NOTE, RADIUS, Arrow, Diagram, Frame, Node

__all__ = ["svg"]

STYLE = (
    ".mixedfx text{font-family:'DejaVu Sans',sans-serif;fill:currentColor}.mixedfx .n{font-size:10.5px}"
    ".mixedfx .s{font-size:15px}.mixedfx .f{fill:none;stroke:#3a8fc7}"
    ".mixedfx .e,.mixedfx .d,.mixedfx .p{fill:none;stroke:currentColor}.mixedfx .p{stroke-dasharray:3 2}"
    ".mixedfx .y{fill:#8a8a8a;fill-opacity:.35;stroke:currentColor}.mixedfx .o{fill:currentColor}"
    ".mixedfx .a{stroke:currentColor;marker-end:url(#mixedfx-head)}"
)
HEAD = (
    '<defs><marker id="mixedfx-head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0,0L8,4L0,8z" fill="currentColor"/></marker></defs>'
)
CLASSES = {"effect": "e", "response": "y", "predictor": "p"}


def svg(diagram: Diagram) -> str:
    """Return a diagram as one ``<svg>`` element; names are escaped."""
    parts = [
        *(_frame(frame) for frame in diagram.frames),
        *(_arrow(arrow) for arrow in diagram.arrows),
        *(_node(node) for node in diagram.nodes),
        *(
            _text(0.5 * LINE, diagram.height - LINE * (len(diagram.lines) - i) + 2.0, line, "n", "start")
            for i, line in enumerate(diagram.lines)
        ),
    ]
    size = f'width="{diagram.width:.0f}" height="{diagram.height:.0f}"'
    box = f'viewBox="0 0 {diagram.width:.0f} {diagram.height:.0f}"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} role="img" class="mixedfx">'
    return "\n".join([opening, f"<style>{STYLE}</style>{HEAD}", *parts, "</svg>"])


def _text(x: float, y: float, text: str, kind: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _frame(frame: Frame) -> str:
    width, height = frame.x1 - frame.x0, frame.y1 - frame.y0
    border = f'<rect x="{frame.x0:.1f}" y="{frame.y0:.1f}" width="{width:.1f}" height="{height:.1f}" rx="6" class="f"/>'
    at, anchor = (frame.x1 - 6.0, "end") if frame.right else (frame.x0 + 6.0, "start")
    return border + _text(at, frame.y1 - 5.0, frame.label, "n", anchor)


def _arrow(arrow: Arrow) -> str:
    return f'<line x1="{arrow.x0:.1f}" y1="{arrow.y0:.1f}" x2="{arrow.x1:.1f}" y2="{arrow.y1:.1f}" class="a"/>'


def _node(node: Node) -> str:
    x, y, anchor = node.symbol_at
    symbol = _text(x, y + 0.35 * LETTER, node.symbol, "s", anchor)
    if node.kind == "parameter":
        return f'<circle cx="{node.x:.1f}" cy="{node.y:.1f}" r="{DOT}" class="o"/>' + symbol + "".join(_notes(node))
    if node.kind == "data":
        width, height = node.half
        box = f'x="{node.x - width:.1f}" y="{node.y - height:.1f}" width="{2 * width:.1f}" height="{2 * height:.1f}"'
        return f'<rect {box} class="d"/>' + "".join(_notes(node))
    circle = f'<circle cx="{node.x:.1f}" cy="{node.y:.1f}" r="{RADIUS}" class="{CLASSES[node.kind]}"/>'
    return circle + symbol + "".join(_notes(node))


def _notes(node: Node) -> list[str]:
    x, y, anchor = node.notes_at
    return [_text(x, y + LINE * i + 0.35 * NOTE, line, "n", anchor) for i, line in enumerate(node.notes)]
