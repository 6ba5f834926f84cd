"""Pictures: results in, matplotlib Axes out. Matplotlib is imported when something is drawn."""

from mixedfx.plots.caterpillar import caterpillar, caterpillar_frame
from mixedfx.plots.files import save_figure

__all__ = ["caterpillar", "caterpillar_frame", "save_figure"]
