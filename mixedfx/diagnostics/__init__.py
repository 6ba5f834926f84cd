"""Diagnostics: how well a model fits, and where it does not."""

from mixedfx.diagnostics.measures import aicc, conditional_aic, icc, r2
from mixedfx.diagnostics.variances import random_effects_pca, variance_tests

__all__ = ["aicc", "conditional_aic", "icc", "r2", "random_effects_pca", "variance_tests"]
