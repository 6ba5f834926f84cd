"""Marginal means, slopes and comparisons of fitted models."""

from mixedfx.marginal_means.effects import comparisons, marginal_effects
from mixedfx.marginal_means.estimated import emmeans, joint_tests, trends
from mixedfx.marginal_means.means import MarginalMeans

__all__ = ["MarginalMeans", "comparisons", "emmeans", "joint_tests", "marginal_effects", "trends"]
