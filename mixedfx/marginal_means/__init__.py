"""Marginal means, slopes and comparisons of fitted models."""

from mixedfx.marginal_means.delta import eff_size, hypotheses
from mixedfx.marginal_means.effects import comparisons, marginal_effects
from mixedfx.marginal_means.estimated import emmeans, joint_tests, trends
from mixedfx.marginal_means.means import MarginalMeans

__all__ = [
    "MarginalMeans",
    "comparisons",
    "eff_size",
    "emmeans",
    "hypotheses",
    "joint_tests",
    "marginal_effects",
    "trends",
]
