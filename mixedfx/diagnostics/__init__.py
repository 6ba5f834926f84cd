"""Diagnostics: how well a model fits, and where it does not."""

from mixedfx.diagnostics.design_check import DesignCheck, check_design
from mixedfx.diagnostics.influence import Influence, influence
from mixedfx.diagnostics.measures import aicc, conditional_aic, icc, r2, vif
from mixedfx.diagnostics.page import Check, check
from mixedfx.diagnostics.pooling import Pooling, pooling
from mixedfx.diagnostics.random_effects import (
    random_effects_independence,
    random_effects_normality,
    standardized_effects,
)
from mixedfx.diagnostics.residuals import least_confounded_residuals, leverage
from mixedfx.diagnostics.serial import SerialCorrelation, acf, variogram
from mixedfx.diagnostics.simulated import QuantileResiduals, quantile_residuals
from mixedfx.diagnostics.variances import heterogeneity, overdispersion, random_effects_pca, variance_tests

__all__ = [
    "Check",
    "DesignCheck",
    "Influence",
    "Pooling",
    "QuantileResiduals",
    "SerialCorrelation",
    "acf",
    "aicc",
    "check",
    "check_design",
    "conditional_aic",
    "heterogeneity",
    "icc",
    "influence",
    "least_confounded_residuals",
    "leverage",
    "overdispersion",
    "pooling",
    "quantile_residuals",
    "r2",
    "random_effects_independence",
    "random_effects_normality",
    "random_effects_pca",
    "standardized_effects",
    "variance_tests",
    "variogram",
    "vif",
]
