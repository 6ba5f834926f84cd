"""How results look: tables and summaries as text, HTML, LaTeX, CSV and Markdown. Knows nothing of models."""

from __future__ import annotations

from mixedfx._display.blocks import Block, Column, Fact, Facts, Table
from mixedfx._display.formats import (
    ColumnFormat,
    Each,
    Numbers,
    OnceOnly,
    Text,
    format_count,
    format_df,
    format_number,
    format_p,
    format_percent,
    format_text,
)
from mixedfx._display.options import Options, options
from mixedfx._display.summary import StatsTable, Summary

__all__ = [
    "Block",
    "Column",
    "ColumnFormat",
    "Each",
    "Fact",
    "Facts",
    "Numbers",
    "OnceOnly",
    "Options",
    "StatsTable",
    "Summary",
    "Table",
    "Text",
    "format_count",
    "format_df",
    "format_number",
    "format_p",
    "format_percent",
    "format_text",
    "options",
]
