"""Pictures: results in, matplotlib Axes out. Matplotlib is imported when something is drawn."""

from mixedfx.plots.bootstrap import plot_bootstrap
from mixedfx.plots.caterpillar import caterpillar, caterpillar_frame
from mixedfx.plots.files import save_figure
from mixedfx.plots.marginal_means import marginal_means_frame, plot_marginal_means
from mixedfx.plots.profile import plot_profile

__all__ = [
    "caterpillar",
    "caterpillar_frame",
    "marginal_means_frame",
    "plot_bootstrap",
    "plot_marginal_means",
    "plot_profile",
    "save_figure",
]
