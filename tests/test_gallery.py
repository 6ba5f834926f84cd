"""The gallery shows every picture, each with a description."""

import re
from pathlib import Path

from mixedfx import plots

PAGE = (Path(__file__).parents[1] / "docs" / "gallery.md").read_text(encoding="utf-8")
CELLS = re.findall(r"```\{code-cell\} ipython3\n(.*?)\n```", PAGE, re.DOTALL)

# Pictures that are drawn by the plot() of what they show.
METHODS = {
    "correlogram": "mfx.acf(",
    "dashboard": "mfx.check(",
    "deconvolution": ".deconvolve(",
    "plot_batches": "mfx.batches(",
    "plot_bootstrap": "mfx.bootstrap(",
    "plot_marginal_means": "means.plot()",
    "plot_profile": "profile.plot()",
    "quantiles": "mfx.quantile_residuals(",
}
NO_PICTURES = {"optimizer_path", "save_figure"}


def test_every_picture_is_shown():
    pictures = {name for name in plots.__all__ if not name.endswith("_frame")} - NO_PICTURES
    hidden = {name for name in pictures if f"plots.{name}(" not in PAGE and METHODS.get(name, "?") not in PAGE}
    assert hidden == set()


def test_every_picture_is_described():
    drawing = CELLS[1:]
    assert len(drawing) == PAGE.count("\n### ")
    for cell in drawing:
        assert re.search(r'^    alt: "[^"]{20,}"$', cell, re.MULTILINE), cell
