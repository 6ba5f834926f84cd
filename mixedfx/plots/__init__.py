"""Pictures: results in, matplotlib Axes out. Matplotlib is imported when something is drawn."""

from typing import TYPE_CHECKING, Any

from mixedfx._lazy import submodules
from mixedfx._suggestions import hinting, unknown_name
from mixedfx.plots.deconvolution import deconvolution, deconvolution_frame
from mixedfx.plots.diagnostics import (
    correlogram,
    dashboard,
    influence,
    qq,
    qq_frame,
    quantiles,
    residual_frame,
    residuals,
    scale_location,
)
from mixedfx.plots.distributions import ridge, ridge_frame, scatter_matrix, scatter_matrix_frame
from mixedfx.plots.effects import effect, effect_frame
from mixedfx.plots.engine import (
    likelihood_surface,
    likelihood_surface_frame,
    matrix_frame,
    matrix_image,
    optimizer_path,
)
from mixedfx.plots.estimates import caterpillar, caterpillar_frame, forest, forest_frame, plot_batches
from mixedfx.plots.files import save_figure
from mixedfx.plots.means import (
    interaction,
    interaction_frame,
    marginal_means_frame,
    pairwise_pvalues,
    pairwise_pvalues_frame,
    plot_marginal_means,
)
from mixedfx.plots.modes import joint_and_marginal, joint_and_marginal_frame, modes_and_means, modes_and_means_frame
from mixedfx.plots.parameters import plot_bootstrap, plot_profile
from mixedfx.plots.pooling import group_panels, group_panels_frame, shrinkage, shrinkage_frame
from mixedfx.plots.predictive import predictive, predictive_frame
from mixedfx.plots.smooths import smooth, smooth_frame

__all__ = [
    "caterpillar",
    "caterpillar_frame",
    "correlogram",
    "dashboard",
    "deconvolution",
    "deconvolution_frame",
    "effect",
    "effect_frame",
    "forest",
    "forest_frame",
    "group_panels",
    "group_panels_frame",
    "influence",
    "interaction",
    "interaction_frame",
    "joint_and_marginal",
    "joint_and_marginal_frame",
    "likelihood_surface",
    "likelihood_surface_frame",
    "marginal_means_frame",
    "matrix_frame",
    "matrix_image",
    "modes_and_means",
    "modes_and_means_frame",
    "optimizer_path",
    "pairwise_pvalues",
    "pairwise_pvalues_frame",
    "plot_batches",
    "plot_bootstrap",
    "plot_marginal_means",
    "plot_profile",
    "predictive",
    "predictive_frame",
    "qq",
    "qq_frame",
    "quantiles",
    "residual_frame",
    "residuals",
    "ridge",
    "ridge_frame",
    "save_figure",
    "scale_location",
    "scatter_matrix",
    "scatter_matrix_frame",
    "shrinkage",
    "shrinkage_frame",
    "smooth",
    "smooth_frame",
]

for _name in __all__:  # calls with other arguments say what to write
    globals()[_name] = hinting(globals()[_name])
    globals()[_name].__module__ = __name__

if not TYPE_CHECKING:  # a type checker shall miss the names that are not there

    def __getattr__(name: str) -> Any:
        """Say what a picture is called here."""
        try:
            return submodules(__name__)(name)
        except AttributeError:
            raise unknown_name(f"module {__name__!r}", name, __all__) from None


def __dir__() -> list[str]:
    return sorted([*__all__, "__doc__", "__name__"])
