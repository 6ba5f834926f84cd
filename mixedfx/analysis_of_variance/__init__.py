"""Analysis of variance: hypotheses of types I, II and III, likelihood-ratio tests, tests of random effects."""

from mixedfx.analysis_of_variance.anova import anova, drop1
from mixedfx.analysis_of_variance.random_terms import ranova

__all__ = ["anova", "drop1", "ranova"]
