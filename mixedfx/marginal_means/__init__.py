"""Marginal means, slopes and comparisons of fitted models."""

from mixedfx.marginal_means.estimated import emmeans, joint_tests, trends
from mixedfx.marginal_means.means import MarginalMeans

__all__ = ["MarginalMeans", "emmeans", "joint_tests", "trends"]
