"""Pictures: results in, matplotlib Axes out. Matplotlib is imported when something is drawn."""

from mixedfx.plots.bootstrap import plot_bootstrap
from mixedfx.plots.caterpillar import caterpillar, caterpillar_frame
from mixedfx.plots.files import save_figure
from mixedfx.plots.profile import plot_profile

__all__ = ["caterpillar", "caterpillar_frame", "plot_bootstrap", "plot_profile", "save_figure"]
