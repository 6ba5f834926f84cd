"""Analysis of variance: tests of terms, error strata, mean squares, batches of coefficients, random effects."""

from mixedfx.analysis_of_variance.anova import anova, drop1
from mixedfx.analysis_of_variance.aov import AovResults, aov
from mixedfx.analysis_of_variance.batches import Batches, batches
from mixedfx.analysis_of_variance.contextual import contextual_test
from mixedfx.analysis_of_variance.mean_squares import MeanSquares, mean_squares
from mixedfx.analysis_of_variance.random_terms import ranova

__all__ = [
    "AovResults",
    "Batches",
    "MeanSquares",
    "anova",
    "aov",
    "batches",
    "contextual_test",
    "drop1",
    "mean_squares",
    "ranova",
]
