"""The front door: models, and functions that fit them in one call."""

from mixedfx.models.generalized import GeneralizedLinearMixedModel, glmer
from mixedfx.models.linear import LinearMixedModel, lmer
from mixedfx.models.storage import load

__all__ = ["GeneralizedLinearMixedModel", "LinearMixedModel", "glmer", "lmer", "load"]
