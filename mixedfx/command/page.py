"""One self-contained page of HTML about a fit, to hand on: report, summary, checks, pictures."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from html import escape
from io import BytesIO
from typing import Any

import mixedfx as mfx
from mixedfx.explanation.report import REFERENCE
from mixedfx.plots.files import described, figure_of

__all__ = ["page"]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em;
  color: #222; background: #fff; }
h1 { font-size: 1.4em; } h2 { font-size: 1.1em; margin-top: 2em; border-bottom: 1px solid #ccc; }
h1 { overflow-wrap: anywhere; }
figure { margin: 1em 0; } figure img { max-width: 100%; background: #fff; } figcaption { color: #555; }
footer { margin-top: 3em; color: #555; font-size: 0.9em; } code { font-family: ui-monospace, monospace; }
.mfx.mfx.mfx > div { display: block; min-width: 0; }
.mfx.mfx.mfx td { white-space: normal; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818; } figcaption, footer { color: #aaa; } }
"""
DPI = 110
HEAD = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'


def page(fit: Any, tables: Sequence[Any], source: str) -> str:
    """Return the text of the page.

    Parameters
    ----------
    fit : fitted mixed model
    tables : sequence
        What else was asked for and has HTML: an analysis of variance, marginal means.
    source : str
        Where the data came from.

    Returns
    -------
    str
        It needs no other file and no network.
    """
    held, residuals = _checked(fit)
    formula = escape(fit.model.written)
    parts = [f"<h1>{formula}</h1>", f"<p>Data: <code>{escape(source)}</code></p>"]
    parts += ["<h2>In words</h2>", *(f"<p>{escape(text)}</p>" for text in fit.report().split("\n\n"))]
    parts += ["<h2>Summary</h2>", replace(fit.summary(), following="").as_html()]
    parts += [f"<div>{table._repr_html_()}</div>" for table in tables]
    parts += ["<h2>Does the model hold?</h2>", held, "<h2>Pictures</h2>", *_figures(fit, residuals)]
    parts += ["<h2>How to cite</h2>", f"<p>{escape(REFERENCE)}</p>"]
    footer = f"<footer>Made by mixedfx {escape(mfx.__version__)}.</footer>"
    head = f"{HEAD}<title>{formula}</title><style>{STYLE}</style>"
    return "\n".join(
        ["<!doctype html>", f'<html lang="en"><head>{head}</head><body>', *parts, footer, "</body></html>"]
    )


def _checked(fit: Any) -> tuple[str, Callable[[], Any]]:
    """What the check of a fit says, and what draws its residuals."""
    try:
        found = fit.check()
    except mfx.SpecificationError as error:  # some kinds of fits have none
        return f"<p>{escape(str(error))}</p>", lambda: fit.plot("dashboard")
    return found._repr_html_(), found.plot


def _figures(fit: Any, residuals: Callable[[], Any]) -> Iterator[str]:
    pictures: list[tuple[str, Callable[[], Any]]] = [("The fit and the data", fit.plot)]
    if fit.n_groups:
        pictures.append(("The random effects with intervals", lambda: fit.plot("caterpillar")))
    pictures.append(("Residuals", residuals))
    for caption, draw in pictures:
        try:
            panel = draw()
            words, image = described(panel), _png(panel)
        except (mfx.SpecificationError, mfx.DataError) as error:
            yield f"<p>{escape(caption)}: {escape(str(error))}</p>"
            continue
        words = escape(f"{caption}: {fit.model.written}. {words}")
        yield (
            f'<figure><img alt="{words}" src="data:image/png;base64,{image}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )


def _png(panel: Any) -> str:
    figure, buffer = figure_of(panel), BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", facecolor="white")
    figure.clear()
    return b64encode(buffer.getvalue()).decode("ascii")
