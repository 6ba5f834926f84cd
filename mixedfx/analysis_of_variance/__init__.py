"""Analysis of variance: hypotheses of types I, II and III, likelihood-ratio tests, tests of random effects."""

from mixedfx.analysis_of_variance.anova import anova, drop1
from mixedfx.analysis_of_variance.aov import AovResults, aov
from mixedfx.analysis_of_variance.mean_squares import MeanSquares, mean_squares
from mixedfx.analysis_of_variance.random_terms import ranova

__all__ = ["AovResults", "MeanSquares", "anova", "aov", "drop1", "mean_squares", "ranova"]
