"""Names of columns, levels and models: written as they are, in the room that a picture has for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfx._display.names import LONGEST, short, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.text import Text

__all__ = [
    "BESIDE",
    "MOST_LINES",
    "broken",
    "entry",
    "label_axes",
    "legend_beside",
    "level_names",
    "literal",
    "name_levels",
    "name_rows",
    "plain",
    "row_width",
    "write",
    "write_over",
]

LETTER = 0.078  # inches, of a letter of a tick label
BESIDE = 34  # letters of a line beside a row
ENTRY = 18  # letters of a line of a legend
EVEN = 0.92  # share of its room that a line may take by the mean width of its letters
POINTS = 72.0  # to an inch
TICKS = 0.6  # inches that numbers at ticks and the name of an axis take
LINE = 1.45  # height of a line of a legend, in sizes of the font
FEWEST, SURE = 12, 18  # letters of a line that is broken, and that need not be
LINES, MOST_LINES = 3, 12  # lines of a text, and of a title that must be complete
MARKS = re.compile(r".*?(?:[|:_/\[\]\s]+|[.,]+(?!\d)|$)")  # a line may end behind these


# ------------------------------------------------------------------ text
def plain(name: object) -> str:
    """Return a name without the back-quotes that a formula needs."""
    return re.sub(r"`([^`]*)`", r"\1", str(name))


def level_names(levels: Iterable[object]) -> list[str]:
    """Return levels as text, the parts of those of several factors joined by colons."""
    return [":".join(map(str, level)) if isinstance(level, tuple) else str(level) for level in levels]


def broken(words: object, most: int, lines: int = LINES) -> str:
    """Return a text in lines of ``most`` letters, broken behind spaces and marks; the middle is left out of a long one.

    Examples
    --------
    >>> print(broken("sd_Intercept|hospital of treatment", 16))
    sd_Intercept|
    hospital of
    treatment
    """
    text = str(words)
    if "\n" in text:
        return "\n".join(broken(line, most, lines) for line in text.split("\n"))
    letters = len(text)
    while True:
        found = _lines(short(text, letters), most)
        if len(found) <= lines:
            return "\n".join(found)
        letters -= 1


def _lines(text: str, most: int) -> list[str]:
    lines = [""]
    for piece in MARKS.findall(text):
        for part in [piece[i : i + most] for i in range(0, len(piece), most)]:
            if lines[-1] and len(lines[-1]) + len(part.rstrip()) > most:
                lines.append("")
            lines[-1] += part
    return [line.rstrip() for line in lines]


# ------------------------------------------------------------------ writing
def literal(*places: Text) -> None:
    """Let dollar signs be dollar signs: names are no formulas."""
    for place in places:
        if "$" in place.get_text():
            place.set_parse_math(False)


def write(place: Text, words: object, room: float, lines: int = LINES) -> None:
    """Write words that may hold names, in lines of ``room`` inches."""
    text = str(words)
    longest = max(text.split("\n"), key=len)
    place.set_text(longest)
    literal(place)
    taken = _inches(place)
    most = len(longest) if taken <= room else int(EVEN * room * len(longest) / taken)
    place.set_text(broken(text, max(FEWEST, most), lines))


def _inches(place: Text) -> float:
    """The length of a text."""
    box = place.get_window_extent()
    return float(max(box.width, box.height)) / place.figure.dpi if place.get_text() else 0.0


def _names_at(axis: Axis) -> list[Text]:
    """The names at the ticks of an axis; none where it has numbers that matplotlib chooses."""
    from matplotlib.ticker import FixedLocator

    return list(axis.get_majorticklabels()) if isinstance(axis.get_major_locator(), FixedLocator) else []


def _left(ax: Axes) -> float:
    """Inches left of a panel."""
    slanted = [text for text in _names_at(ax.xaxis) if text.get_rotation() not in (0.0, 90.0)]
    reach = max((text.get_window_extent().width / ax.figure.dpi for text in slanted), default=0.0) - 0.5 * TICKS
    if not ax.yaxis.get_tick_params().get("labelleft", True):
        return max(reach, 0.0)
    names = [text.get_window_extent().width / ax.figure.dpi for text in _names_at(ax.yaxis)]
    return max(max(TICKS, 0.5 * TICKS + max(names, default=0.0)) + _further_lines(ax.yaxis.label), reach)


def _below(ax: Axes) -> float:
    """Inches below a panel."""
    names = [text.get_window_extent().height / ax.figure.dpi for text in _names_at(ax.xaxis)]
    return max(TICKS, 0.5 * TICKS + max(names, default=0.0)) + _further_lines(ax.xaxis.label)


def _further_lines(place: Text) -> float:
    """Inches that all lines but the first take."""
    return _height(place.get_text().partition("\n")[2], place.get_fontsize())


def _right(ax: Axes) -> float:
    """Inches of the legend to the right of a panel."""
    legend = ax.get_legend()
    if legend is None or legend.get_bbox_to_anchor().x0 < ax.bbox.x1 - 1.0:
        return 0.0
    texts = [legend.get_title(), *legend.get_texts()]
    return TICKS + max(text.get_window_extent().width / ax.figure.dpi for text in texts)


def _room(ax: Axes) -> tuple[float, float]:
    """Inches (width, height) that the names of axes have without reaching into the next panel or out of the figure."""
    width, height = (float(side) / ax.figure.dpi for side in ax.figure.bbox.size)
    height -= _height(ax.figure.get_suptitle(), ax.title.get_fontsize())
    place = ax.get_subplotspec()
    if place is None:
        return width - _left(ax) - _right(ax), height - _below(ax)
    grid = place.get_gridspec()
    rows, columns = grid.get_geometry()
    left, below, right = np.zeros(columns), np.zeros(rows), np.zeros(columns)
    for other in ax.figure.axes:
        at = other.get_subplotspec()
        if at is not None and at.get_gridspec() is grid:
            left[at.colspan.start] = max(left[at.colspan.start], _left(other))
            right[at.colspan.stop - 1] = max(right[at.colspan.stop - 1], _right(other))
            below[at.rowspan.start] = max(below[at.rowspan.start], _below(other))
    shares = len(place.colspan) / columns, len(place.rowspan) / rows
    return (width - left.sum() - right.sum()) * shares[0], (height - below.sum()) * shares[1]


def label_axes(
    ax: Axes, *, x: object = "", y: object = "", title: object = "", small: bool = False, lines: int = LINES
) -> Axes:
    """Name the axes and take away what distracts; names at ticks, legends and titles of the figure come before.

    Parameters
    ----------
    small : bool
        Whether the title is in small print.
    lines : int
        Of the title, at the most.
    """
    ax.tick_params(labelsize="small")
    ax.set_title("", fontsize="small" if small else "medium")
    longest = max(len(line) for words in (x, y, title) for line in str(words).split("\n"))
    for _ in range(2 if longest > SURE else 1):  # a label of two lines leaves less room to the others
        across, upwards = _room(ax) if longest > SURE else (np.inf, np.inf)
        write(ax.xaxis.label, x, across)
        write(ax.title, title, across, lines)
        write(ax.yaxis.label, y, upwards - _height(ax.get_title(), ax.title.get_fontsize()))
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _height(text: str, size: Any) -> float:
    """Inches that a text takes."""
    return (1 + text.count("\n")) * LINE * size / POINTS if text else 0.0


def write_over(place: Text, words: object) -> None:
    """Write all of a title or label of a whole figure, from left to right or upwards."""
    figure: Any = place.figure
    side = figure.bbox.height if place.get_rotation() else figure.bbox.width
    write(place, words, float(side) / figure.dpi, MOST_LINES)


def name_levels(ax: Axes, names: Sequence[object]) -> None:
    """Write the levels of a factor below the x axis, slanted if they are too long to stand side by side."""
    labels = shortened(names)
    room = ax.get_position().width * float(ax.figure.bbox.width) / ax.figure.dpi / max(len(labels), 1)
    fits = LETTER * max(map(len, labels), default=0) < 0.9 * room
    slant: dict[str, Any] = (
        {} if fits else {"rotation": 35 if room > 2.5 * LETTER else 90, "ha": "right", "rotation_mode": "anchor"}
    )
    ax.set_xticks(np.arange(len(labels)), labels, **slant)
    literal(*ax.get_xticklabels())


def name_rows(ax: Axes, places: Any, names: Sequence[object], *, most: int = LONGEST, lines: int = 1) -> None:
    """Write names beside rows."""
    labels = [broken(name, most, lines) for name in shortened(names, most * lines)]
    ax.set_yticks(places, labels)
    literal(*ax.get_yticklabels())


def row_width(names: Iterable[object], most: int = BESIDE) -> float:
    """Return the inches that names beside rows take."""
    return LETTER * min(most, max((len(str(name)) for name in names), default=0))


# ------------------------------------------------------------------ legends
def entry(name: object) -> str:
    """Return a name as the label of a line: matplotlib leaves what begins with an underscore out of legends."""
    text = str(name)
    return f" {text}" if text.startswith("_") else text


def legend_beside(ax: Axes, title: object = None) -> None:
    """Put the legend to the right of the panel, where no data are; the last line counts what it has no room for."""
    from matplotlib.lines import Line2D

    handles, labels = ax.get_legend_handles_labels()
    texts = [broken(label, ENTRY, 2) for label in shortened(labels, 2 * ENTRY)]
    heading = None if title is None else broken(title, ENTRY)
    size = 0.83 * float(ax.xaxis.label.get_fontsize())
    lines = int(_room(ax)[1] * POINTS / (LINE * size)) - (0 if heading is None else 1 + heading.count("\n"))
    needed = np.cumsum([1 + text.count("\n") for text in texts])
    if len(texts) and needed[-1] > lines:
        kept = max(1, int(np.searchsorted(needed, lines - 1, side="right")))
        handles = [*handles[:kept], Line2D([], [], linestyle="")]
        texts = [*texts[:kept], f"and {len(texts) - kept} more"]
    legend = ax.legend(
        handles, texts, title=heading, frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0)
    )
    literal(legend.get_title(), *legend.get_texts())
