"""One self-contained page of HTML about a fit, to hand on: report, summary, checks, pictures."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from html import escape
from io import BytesIO
from typing import Any

import mixedfx as mfx
from mixedfx.plots.files import figure_of

__all__ = ["page"]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em;
  color: #222; background: #fff; }
h1 { font-size: 1.4em; } h2 { font-size: 1.1em; margin-top: 2em; border-bottom: 1px solid #ccc; }
figure { margin: 1em 0; } figure img { max-width: 100%; background: #fff; } figcaption { color: #555; }
footer { margin-top: 3em; color: #555; font-size: 0.9em; } code { font-family: ui-monospace, monospace; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818; } figcaption, footer { color: #aaa; } }
"""
DPI = 110


def page(fit: Any, tables: Sequence[Any], source: str, found: Any) -> str:
    """Return the text of the page.

    Parameters
    ----------
    fit : fitted mixed model
    tables : sequence
        What else was asked for and has HTML: an analysis of variance, marginal means.
    source : str
        Where the data came from.
    found : Check
        Of the fit.
    """
    parts = [f"<h1>{escape(str(fit.model.formula))}</h1>", f"<p>Data: <code>{escape(source)}</code></p>"]
    parts += ["<h2>In words</h2>", *(f"<p>{escape(text)}</p>" for text in fit.report().split("\n\n"))]
    parts += ["<h2>Summary</h2>", fit.summary().as_html()]
    parts += [f"<div>{table._repr_html_()}</div>" for table in tables]
    parts += ["<h2>Does the model hold?</h2>", found._repr_html_(), "<h2>Pictures</h2>", *_figures(fit)]
    footer = f"<footer>Made by mixedfx {escape(mfx.__version__)}.</footer>"
    head = f'<meta charset="utf-8"><title>{escape(str(fit.model.formula))}</title><style>{STYLE}</style>'
    return "\n".join(
        ["<!doctype html>", f'<html lang="en"><head>{head}</head><body>', *parts, footer, "</body></html>"]
    )


def _figures(fit: Any) -> Iterator[str]:
    pictures: list[tuple[str, Callable[[], Any]]] = [("The fit and the data", fit.plot)]
    if fit.n_groups:
        pictures.append(("The random effects with intervals", lambda: fit.plot("caterpillar")))
    pictures.append(("Residuals", lambda: fit.plot("dashboard")))
    for caption, draw in pictures:
        try:
            image = _png(draw())
        except (mfx.SpecificationError, mfx.DataError) as error:
            yield f"<p>{escape(caption)}: {escape(str(error))}</p>"
            continue
        yield (
            f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{image}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )


def _png(panel: Any) -> str:
    figure, buffer = figure_of(panel), BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", facecolor="white")
    figure.clear()
    return b64encode(buffer.getvalue()).decode("ascii")
