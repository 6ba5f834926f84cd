"""A summary: blocks below each other with notes, as text, HTML, LaTeX, CSV or Markdown."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from mixedfx._arguments import checked_whole
from mixedfx._display import html, latex, plain, text
from mixedfx._display.blocks import Block

__all__ = ["Summary"]

TERMINAL = 80


@dataclass(frozen=True)
class Summary:
    """Tables of a result, ready to be shown.

    Parameters
    ----------
    blocks : tuple of Table or Facts
        From top to bottom.
    title : str
        Heading of the whole.
    notes : tuple of str
        Sentences at the bottom, in plain language.

    Examples
    --------
    >>> from mixedfx._display import Column, Numbers, Table
    >>> names = Column("", ("Intercept", "Days"), stub=True)
    >>> print(Summary((Table((names, Column("coef", (251.40510, 10.46729), Numbers()))),), notes=("By hand.",)))
    =====================
                     coef
    ---------------------
    Intercept    251.4051
    Days          10.4673
    =====================
    Notes:
    [1] By hand.
    """

    blocks: tuple[Block, ...]
    title: str = ""
    notes: tuple[str, ...] = ()

    @property
    def tables(self) -> list[pd.DataFrame]:
        """The blocks as DataFrames with unrounded numbers."""
        return [block.to_frame() for block in self.blocks]

    def as_text(self, width: int = TERMINAL) -> str:
        """Return the text for a terminal.

        Parameters
        ----------
        width : int
            Cells of a line. Long names are continued on the next line, and tables that are still too wide are
            continued below; nothing is cut off.
        """
        return text.as_text(self.title, self.blocks, self.notes, checked_whole("width", width, 1))

    def as_html(self) -> str:
        """Return escaped HTML that carries its own style."""
        return html.as_html(self.title, self.blocks, self.notes)

    def as_latex(self) -> str:
        """Return a LaTeX ``table``; it needs the package booktabs."""
        return latex.as_latex(self.title, self.blocks, self.notes)

    def as_csv(self) -> str:
        """Return comma-separated values with unrounded numbers, an empty line between tables."""
        return plain.as_csv(self.blocks)

    def as_markdown(self) -> str:
        """Return pipe tables."""
        return plain.as_markdown(self.title, self.blocks, self.notes)

    def __str__(self) -> str:
        return self.as_text()

    def __repr__(self) -> str:
        return self.as_text()

    def _repr_html_(self) -> str:
        return self.as_html()
