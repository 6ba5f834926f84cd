"""Everything that helps to read a fitted model, in one object."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from textwrap import fill
from typing import TYPE_CHECKING, Any

from mixedfx._lazy import higher
from mixedfx._suggestions import hinting_methods
from mixedfx.explanation.diagram import Diagram, svg
from mixedfx.explanation.equations import Equations, equations
from mixedfx.explanation.plates import draw_up, symbols_of
from mixedfx.explanation.translations import translations
from mixedfx.explanation.words import Further, sentences
from mixedfx.graphs.plates import arrange, links_of
from mixedfx.results.base import checked_fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Explanation", "explain"]

WIDTH = 80


@hinting_methods
@dataclass(frozen=True)
class Explanation:
    """A fitted model explained; made by :func:`explain`.

    Attributes
    ----------
    equations : Equations
        LaTeX: ``scalar``, ``hierarchical``, ``matrix``, ``estimates``; text: ``plain``, ``plain_hierarchical``,
        ``plain_estimates``.
    sentences : tuple of str
        One for each line of the summary.
    code : dict
        Program to the same model in its language.
    diagram : Diagram
        The model as a plate diagram: shapes and their places. Circles are random variables (shaded: observed), the
        dashed circle is their sum, boxes are known columns, dots parameters; a plate stands for each level of a factor.
        Plates of nested factors lie within each other, those of two crossed factors overlap; of further crossed factors
        they stand apart and share the response only. A predictor that is constant within the levels of a factor stands
        in its plate.
    """

    equations: Equations
    sentences: tuple[str, ...]
    code: dict[str, str]
    diagram: Diagram

    @property
    def svg(self) -> str:
        """The plate diagram as SVG text."""
        return svg(self.diagram)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the plate diagram.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        matplotlib Axes
        """
        axes: Axes = higher("plate_diagram")(self.diagram, ax=ax)
        return axes

    def __str__(self) -> str:
        lines = ["In words", *(wrapped(sentence, "  * ", "    ") for sentence in self.sentences), "", "As equations"]
        for title, text in (
            ("in letters", self.equations.plain),
            ("with the estimates", self.equations.plain_estimates),
        ):
            lines += [f"  {title}", *(wrapped(line, "    ", "      ") for line in text.splitlines())]
        if self.code:
            lines += ["", "In other programs"]
            lines += [line for name, text in self.code.items() for line in (f"  {name}", _code(text))]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{escape(s)}</li>" for s in self.sentences)
        code = "".join(f"<dt>{escape(k)}</dt><dd><code>{escape(v)}</code></dd>" for k, v in self.code.items())
        both = (self.equations.scalar, self.equations.estimates)
        equation = "".join(f"<p>$${escape(text)}$$</p>" for text in both)
        return f"{self.svg}<ul>{items}</ul>{equation}<dl>{code}</dl>"


def _code(text: str) -> str:
    """Code in lines, whole where a break would change it: within quotes, before a comment."""
    return f"    {text}" if '"' in text or "#" in text else wrapped(text, "    ", "      ")


def wrapped(text: str, first: str, further: str) -> str:
    """Return text in lines of the width of the tables."""
    kept = text.replace(" %", "\u00a0%")  # a number and its unit stay on one line
    lines = fill(
        kept, WIDTH, initial_indent=first, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )
    return lines.replace("\u00a0", " ")


def explain(fit: Any) -> Explanation:
    """Explain a fitted model: in words, as equations, as a diagram, and as code for other programs.

    Parameters
    ----------
    fit : fitted mixed model

    Returns
    -------
    Explanation
        Prints as text; ``equations``, ``sentences``, ``code``, ``svg`` and ``plot()`` are the parts.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (1 | Subject)", mfx.load_dataset("sleepstudy"))
    >>> explanation = mfx.explain(fit)
    >>> explanation.code["lme4"]
    'lmer(Reaction ~ 1 + Days + (1 | Subject), data = d)'
    >>> explanation.sentences[0]
    '180 observations of Reaction in 18 levels of Subject.'
    >>> [frame.label for frame in explanation.diagram.frames]
    ['Subject: 18', 'rows: 180']
    >>> explanation.svg[:4]
    '<svg'
    """
    results = checked_fit(fit, "explain", "takes a fitted mixed model")
    results.solution.check_normal("explain")
    further = Further.of(results)
    plates, links = arrange(results.design), links_of(results.design, centered=False)
    diagram = draw_up(plates, links, symbols_of(results, further), results.nobs)
    words = tuple(sentences(results, further))
    return Explanation(equations(results, further), words, translations(results), diagram)
