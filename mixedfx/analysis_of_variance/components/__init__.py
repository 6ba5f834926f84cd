"""Variance components and random effects: mean squares, batches of coefficients, tests of variances."""
