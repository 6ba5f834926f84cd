"""mixedfx: linear and generalised linear mixed models from R-like formulas.

The public names are imported when they are first used, so that ``import mixedfx`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any

# To publish a name: one line here (for Python) and its twin in the block below (for type checkers and editors).
# tests/test_imports.py fails if the two disagree or if a name cannot be imported.
_HOME = {
    "AR1": "covariance.residual",
    "CAR1": "covariance.residual",
    "CompoundSymmetry": "covariance.residual",
    "Control": "fitting",
    "ConvergenceWarning": "exceptions",
    "DataError": "exceptions",
    "GeneralizedLinearMixedModel": "models",
    "KnownVariance": "covariance.residual",
    "LinearMixedModel": "models",
    "MixedfxWarning": "exceptions",
    "RankDeficientWarning": "exceptions",
    "SeparationWarning": "exceptions",
    "SingularFitWarning": "exceptions",
    "SpecificationError": "exceptions",
    "Unstructured": "covariance.residual",
    "VarExp": "covariance.residual",
    "VarIdent": "covariance.residual",
    "VarPower": "covariance.residual",
    "anova": "analysis_of_variance",
    "aov": "analysis_of_variance",
    "batches": "analysis_of_variance",
    "contextual_test": "analysis_of_variance",
    "acf": "diagnostics",
    "aicc": "diagnostics",
    "comparisons": "marginal_means",
    "deconvolve": "deconvolution",
    "CrossProducts": "scale",
    "cross_products": "scale",
    "compare_draws": "programs",
    "conditional_aic": "diagnostics",
    "icc": "diagnostics",
    "r2": "diagnostics",
    "random_effects_pca": "diagnostics",
    "check": "diagnostics",
    "check_design": "diagnostics",
    "heterogeneity": "diagnostics",
    "influence": "diagnostics",
    "least_confounded_residuals": "diagnostics",
    "leverage": "diagnostics",
    "overdispersion": "diagnostics",
    "pooling": "diagnostics",
    "quantile_residuals": "diagnostics",
    "random_effects_independence": "diagnostics",
    "random_effects_normality": "diagnostics",
    "variogram": "diagnostics",
    "vif": "diagnostics",
    "variance_tests": "diagnostics",
    "Bootstrap": "results.bootstrap",
    "bootstrap": "results.bootstrap",
    "bootstrap_test": "results.ratio_bootstrap",
    "deming": "measurement",
    "design": "planning",
    "drop1": "analysis_of_variance",
    "eff_size": "marginal_means",
    "emmeans": "marginal_means",
    "hypotheses": "marginal_means",
    "Graph": "graphs",
    "graph": "graphs",
    "extend": "planning",
    "glmer": "models",
    "hglm": "models",
    "list_datasets": "datasets",
    "joint_tests": "marginal_means",
    "lmer": "models",
    "explain": "explanation.explain",
    "summary_col": "explanation.tables",
    "compare": "explanation.tables",
    "augment": "explanation.tables",
    "glance": "explanation.tables",
    "tidy": "explanation.tables",
    "Pooled": "results.pool",
    "pool": "results.pool",
    "Power": "planning",
    "power": "planning",
    "profile": "results.profile",
    "Profile": "results.profile",
    "load": "models",
    "load_cross_products": "models",
    "load_dataset": "datasets",
    "marginal_effects": "marginal_means",
    "mean_squares": "analysis_of_variance",
    "options": "_display",
    "ranova": "analysis_of_variance",
    "linearity_test": "analysis_of_variance",
    "register_covariance": "covariance",
    "simulate": "results.simulation",
    "trends": "marginal_means",
    "york": "measurement",
}

if TYPE_CHECKING:
    from mixedfx._display import options as options
    from mixedfx.analysis_of_variance import anova as anova
    from mixedfx.analysis_of_variance import aov as aov
    from mixedfx.analysis_of_variance import batches as batches
    from mixedfx.analysis_of_variance import contextual_test as contextual_test
    from mixedfx.analysis_of_variance import drop1 as drop1
    from mixedfx.analysis_of_variance import linearity_test as linearity_test
    from mixedfx.analysis_of_variance import mean_squares as mean_squares
    from mixedfx.analysis_of_variance import ranova as ranova
    from mixedfx.covariance import register_covariance as register_covariance
    from mixedfx.covariance.residual import AR1 as AR1
    from mixedfx.covariance.residual import CAR1 as CAR1
    from mixedfx.covariance.residual import CompoundSymmetry as CompoundSymmetry
    from mixedfx.covariance.residual import KnownVariance as KnownVariance
    from mixedfx.covariance.residual import Unstructured as Unstructured
    from mixedfx.covariance.residual import VarExp as VarExp
    from mixedfx.covariance.residual import VarIdent as VarIdent
    from mixedfx.covariance.residual import VarPower as VarPower
    from mixedfx.datasets import list_datasets as list_datasets
    from mixedfx.datasets import load_dataset as load_dataset
    from mixedfx.deconvolution import deconvolve as deconvolve
    from mixedfx.diagnostics import acf as acf
    from mixedfx.diagnostics import aicc as aicc
    from mixedfx.diagnostics import check as check
    from mixedfx.diagnostics import check_design as check_design
    from mixedfx.diagnostics import conditional_aic as conditional_aic
    from mixedfx.diagnostics import heterogeneity as heterogeneity
    from mixedfx.diagnostics import icc as icc
    from mixedfx.diagnostics import influence as influence
    from mixedfx.diagnostics import least_confounded_residuals as least_confounded_residuals
    from mixedfx.diagnostics import leverage as leverage
    from mixedfx.diagnostics import overdispersion as overdispersion
    from mixedfx.diagnostics import pooling as pooling
    from mixedfx.diagnostics import quantile_residuals as quantile_residuals
    from mixedfx.diagnostics import r2 as r2
    from mixedfx.diagnostics import random_effects_independence as random_effects_independence
    from mixedfx.diagnostics import random_effects_normality as random_effects_normality
    from mixedfx.diagnostics import random_effects_pca as random_effects_pca
    from mixedfx.diagnostics import variance_tests as variance_tests
    from mixedfx.diagnostics import variogram as variogram
    from mixedfx.diagnostics import vif as vif
    from mixedfx.exceptions import ConvergenceWarning as ConvergenceWarning
    from mixedfx.exceptions import DataError as DataError
    from mixedfx.exceptions import MixedfxWarning as MixedfxWarning
    from mixedfx.exceptions import RankDeficientWarning as RankDeficientWarning
    from mixedfx.exceptions import SeparationWarning as SeparationWarning
    from mixedfx.exceptions import SingularFitWarning as SingularFitWarning
    from mixedfx.exceptions import SpecificationError as SpecificationError
    from mixedfx.explanation.explain import explain as explain
    from mixedfx.explanation.tables import augment as augment
    from mixedfx.explanation.tables import compare as compare
    from mixedfx.explanation.tables import glance as glance
    from mixedfx.explanation.tables import summary_col as summary_col
    from mixedfx.explanation.tables import tidy as tidy
    from mixedfx.fitting import Control as Control
    from mixedfx.graphs import Graph as Graph
    from mixedfx.graphs import graph as graph
    from mixedfx.marginal_means import comparisons as comparisons
    from mixedfx.marginal_means import eff_size as eff_size
    from mixedfx.marginal_means import emmeans as emmeans
    from mixedfx.marginal_means import hypotheses as hypotheses
    from mixedfx.marginal_means import joint_tests as joint_tests
    from mixedfx.marginal_means import marginal_effects as marginal_effects
    from mixedfx.marginal_means import trends as trends
    from mixedfx.measurement import deming as deming
    from mixedfx.measurement import york as york
    from mixedfx.models import GeneralizedLinearMixedModel as GeneralizedLinearMixedModel
    from mixedfx.models import LinearMixedModel as LinearMixedModel
    from mixedfx.models import glmer as glmer
    from mixedfx.models import hglm as hglm
    from mixedfx.models import lmer as lmer
    from mixedfx.models import load as load
    from mixedfx.models import load_cross_products as load_cross_products
    from mixedfx.planning import Power as Power
    from mixedfx.planning import design as design
    from mixedfx.planning import extend as extend
    from mixedfx.planning import power as power
    from mixedfx.programs import compare_draws as compare_draws
    from mixedfx.results.bootstrap import Bootstrap as Bootstrap
    from mixedfx.results.bootstrap import bootstrap as bootstrap
    from mixedfx.results.pool import Pooled as Pooled
    from mixedfx.results.pool import pool as pool
    from mixedfx.results.profile import Profile as Profile
    from mixedfx.results.profile import profile as profile
    from mixedfx.results.ratio_bootstrap import bootstrap_test as bootstrap_test
    from mixedfx.results.simulation import simulate as simulate
    from mixedfx.scale import CrossProducts as CrossProducts
    from mixedfx.scale import cross_products as cross_products

    __version__: str

_ROOMS = (
    "analysis_of_variance",
    "covariance",
    "datasets",
    "deconvolution",
    "diagnostics",
    "exceptions",
    "explanation",
    "families",
    "fitting",
    "formula",
    "graphs",
    "inference",
    "marginal_means",
    "matrices",
    "measurement",
    "models",
    "plots",
    "programs",
    "results",
)  # modules, imported when they are first used

__all__ = sorted(_HOME)


if not TYPE_CHECKING:  # a type checker shall miss the names that are not there

    def __getattr__(name: str) -> Any:
        if name in _HOME:
            value = getattr(import_module(f"mixedfx.{_HOME[name]}"), name)
            if isinstance(value, FunctionType):
                value = _published(value)
        elif name in _ROOMS:
            return import_module(f"mixedfx.{name}")
        elif name == "__version__":
            from importlib.metadata import version

            value = version("mixedfx")
        else:
            from mixedfx._suggestions import unknown_name

            raise unknown_name("module 'mixedfx'", name, __dir__())
        globals()[name] = value
        return value


def _published(function: FunctionType) -> Any:
    """Return a public function that knows what people mean by other arguments; it is pickled by its public name."""
    from mixedfx._suggestions import hinting

    public = hinting(function)
    public.__module__ = "mixedfx"
    return public


def __dir__() -> list[str]:
    return sorted({*_HOME, "plots", "__all__", "__doc__", "__file__", "__name__", "__path__", "__version__"})
