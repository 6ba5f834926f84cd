"""The fixed-effects matrix of every reference case against the first rows of R's."""

import re
import warnings

import numpy as np
import pytest

from mixedfx.exceptions import RankDeficientWarning
from mixedfx.matrices import build_design
from tests.reference.cases import load_cases, match
from tests.reference.translate import common_arguments

CASES = [case for case in load_cases() if "model_matrix_head" in case]
KINDS = {"binomial": "binomial"}
#: R's basis of a spline is another one of the same space; its columns are compared by what they span.
SPANS = ("bs(", "ns(")


def design_of(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RankDeficientWarning)
        return build_design(**common_arguments(case), response_kind=KINDS.get(case["family"], "numeric"))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_columns_are_those_of_r(case):
    head = case["model_matrix_head"]
    fixed = design_of(case).fixed
    ours = match([_as_r(name) for name in fixed.names], [_as_r(name) for name in head["names"]], case.levels)
    position = {_as_r(name): j for j, name in enumerate(fixed.names)}
    columns = fixed.matrix[: len(head["rows"])][:, [position[ours[_as_r(name)]] for name in head["names"]]]
    assert columns == pytest.approx(np.array(head["rows"], dtype=float), rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_sizes_and_groups_are_those_of_r(case):
    design = design_of(case)
    assert design.n_rows == case["n_obs"]
    ours = {frozenset(term.factors): term.n_levels for term in design.random}
    theirs = {frozenset(re.sub(r"\.\d+$", "", name).split(":")): m for name, m in case["n_groups"].items()}
    assert ours == theirs


def _as_r(name):
    """``poly(x, 3)[1]`` and ``poly(x, 3)1`` are one name, as are polynomial contrasts."""
    return re.sub(r"\[(\.[LQC]|\^?\d+)\]", r"\1", name)


@pytest.mark.parametrize("name", ["rankdef_reml", "rankdef_empty_cell_reml"])
def test_the_redundant_column_is_the_one_that_r_drops(name):
    case = next(case for case in CASES if case.name == name)
    with pytest.warns(RankDeficientWarning, match="rank deficient"):
        design = build_design(**common_arguments(case))
    dropped = match([_as_r(found) for found in design.fixed.dropped], case["dropped_columns"], case.levels)
    assert len(dropped) == len(design.fixed.dropped)
