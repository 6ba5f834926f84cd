"""The front door: models, and functions that fit them in one call; each is imported when it is first used."""

from typing import TYPE_CHECKING

from mixedfx._lazy import names

if TYPE_CHECKING:
    from mixedfx.models.generalized import GeneralizedLinearMixedModel, glmer
    from mixedfx.models.hierarchical import HierarchicalGeneralizedLinearModel, hglm
    from mixedfx.models.linear import LinearMixedModel, lmer
    from mixedfx.models.storage import load, load_cross_products

__all__ = [
    "GeneralizedLinearMixedModel",
    "HierarchicalGeneralizedLinearModel",
    "LinearMixedModel",
    "glmer",
    "hglm",
    "lmer",
    "load",
    "load_cross_products",
]

__getattr__ = names(
    __name__,
    {
        "GeneralizedLinearMixedModel": "generalized",
        "HierarchicalGeneralizedLinearModel": "hierarchical",
        "LinearMixedModel": "linear",
        "glmer": "generalized",
        "hglm": "hierarchical",
        "lmer": "linear",
        "load": "storage",
        "load_cross_products": "storage",
    },
)
