"""Pictures: results in, matplotlib Axes out. Matplotlib is imported when something is drawn."""

from mixedfx.plots.caterpillar import caterpillar, caterpillar_frame

__all__ = ["caterpillar", "caterpillar_frame"]
