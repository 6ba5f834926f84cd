"""Analysis of variance: tests of terms, error strata, mean squares, batches of coefficients, random effects."""

from mixedfx.analysis_of_variance.anova import anova, drop1
from mixedfx.analysis_of_variance.components.batches import Batches, batches
from mixedfx.analysis_of_variance.components.linearity import linearity_test
from mixedfx.analysis_of_variance.components.mean_squares import MeanSquares, mean_squares
from mixedfx.analysis_of_variance.components.random_terms import ranova
from mixedfx.analysis_of_variance.strata.aov import AovResults, aov
from mixedfx.analysis_of_variance.terms.contextual import contextual_test

__all__ = [
    "AovResults",
    "Batches",
    "MeanSquares",
    "anova",
    "aov",
    "batches",
    "contextual_test",
    "drop1",
    "linearity_test",
    "mean_squares",
    "ranova",
]
