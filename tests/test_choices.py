"""Options that are words: what type checkers and editors are told is what the table behind the door knows."""

import ast
import importlib
import inspect
import operator
import re
from pathlib import Path
from typing import get_args

import pytest

import mixedfx as mfx
from mixedfx.fitting.response import FamilyResponse, GaussianResponse, ResidualName
from tests.structure import FILES, nodes_of

# Alias and the table that resolves its words, both in this module of mixedfx.
CHOICES = [
    ("analysis_of_variance.components.batches", "PopulationName", "POPULATIONS"),
    ("analysis_of_variance.components.expected", "ConventionName", "CONVENTIONS"),
    ("analysis_of_variance.components.intervals", "IntervalName", "INTERVALS"),
    ("analysis_of_variance.strata.observations", "AggregateName", "REDUCERS"),
    ("analysis_of_variance.strata.sphericity", "CorrectionName", "CORRECTIONS"),
    ("covariance.registry", "VariancesName", "VARIANCES"),
    ("criterion.problem", "RemainderName", "REMAINDERS"),
    ("families.links", "LinkName", "LINKS"),
    ("families.links", "MeanRange", "MEAN_INTERVALS"),
    ("families.moments", "VarianceName", "LINK_VARIANCES"),
    ("families.random_laws", "LawName", "LAWS"),
    ("families.resolve", "FamilyName", "FAMILIES"),
    ("deconvolution.deconvolve", "ErrorName", "ERRORS"),
    ("deconvolution.estimate", "InformationName", "INFORMATION"),
    ("deconvolution.estimate", "MethodName", "METHODS"),
    ("fitting.hierarchical", "CriterionName", "CRITERIA"),
    ("fitting.hierarchical", "StrategyName", "STRATEGIES"),
    ("diagnostics.simulated", "SideName", "SIDES"),
    ("graphs.model", "ConstantName", "CONSTANTS"),
    ("graphs.model", "ViewName", "VIEWS"),
    ("inference.bootstrap_intervals", "LimitName", "LIMITS"),
    ("inference.cluster_robust", "KindName", "KINDS"),
    ("inference.ddf", "DdfName", "DDF"),
    ("marginal_means.adjust", "AdjustName", "ADJUSTMENTS"),
    ("marginal_means.adjust", "SideName", "SIDES"),
    ("marginal_means.changes", "ComparisonName", "COMPARISONS"),
    ("marginal_means.contrasts", "MethodName", "METHODS"),
    ("marginal_means.grid", "WeightsName", "WEIGHTS"),
    ("marginal_means.predictions", "ScaleName", "SCALES"),
    ("matrices.new_rows", "NewLevelsName", "NEW_LEVELS"),
    ("matrices.transforms", "ExtrapolationName", "OUTSIDE"),
    ("models.generalized", "InformationName", "INFORMATION"),
    ("planning.designs", "BalanceName", "BALANCES"),
    ("planning.power", "MethodName", "METHODS"),
    ("planning.power", "TestName", "TESTS"),
    ("plots.engine", "MatrixName", "MATRICES"),
    ("plots.estimates", "SdName", "SDS"),
    ("plots.parameters", "ProfileName", "PROFILES"),
    ("results.intervals", "MethodName", "METHODS"),
    ("results.quantities", "WhichName", "WHICH"),
    ("inference.variance_scales", "VarianceScaleName", "SCALES"),
    ("results.resampling", "BootstrapName", "SCHEMES"),
    ("results.simulate", "DrawnLevelsName", "DRAWN_LEVELS"),
    ("results.simulate", "SourceName", "SOURCES"),
]
REFERENCE = Path(mfx.__file__).parents[1] / "docs" / "reference" / "index.md"


def public_functions():
    """Every function that the reference lists, and every public method of its classes, by name."""
    for line in REFERENCE.read_text(encoding="utf-8").splitlines():
        if not re.fullmatch(r"   [\w.]+", line):
            continue
        value = operator.attrgetter(line.strip())(mfx)
        methods = inspect.getmembers(value, inspect.isfunction) if inspect.isclass(value) else [("", value)]
        for method, function in methods:
            if inspect.isfunction(function) and not method.startswith("_"):
                yield f"{line.strip()}.{method}".rstrip("."), function


@pytest.mark.parametrize(("module", "alias", "table"), CHOICES)
def test_the_words_of_a_table_are_those_of_its_alias(module, alias, table):
    home = importlib.import_module(f"mixedfx.{module}")
    assert get_args(getattr(home, alias)) == tuple(getattr(home, table))


def test_every_table_of_words_has_an_alias():
    tables = {
        node.args[2].id
        for path in FILES
        for node in nodes_of(path)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "checked_choice"
        and isinstance(node.args[2], ast.Name)  # what is looked up when it is asked for, such as pictures, is no table
    }
    assert tables <= {table for _, _, table in CHOICES}


def test_no_option_with_a_word_as_its_default_is_any_text():
    plain = [
        f"{name}({parameter.name})"
        for name, function in public_functions()
        for parameter in inspect.signature(function).parameters.values()
        if isinstance(parameter.default, str) and parameter.annotation in ("str", "str | None")
    ]
    assert plain == []


def test_the_kinds_of_residuals_are_those_of_the_response_models():
    words = get_args(ResidualName)
    assert set(words) == {*GaussianResponse.kinds, *FamilyResponse.kinds}
