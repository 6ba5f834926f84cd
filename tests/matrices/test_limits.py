"""Sizes are refused before anything is allocated, with what was found, the limit and what to do."""

import numpy as np
import pandas as pd
import pytest

from mixedfx.covariance import covariance_for
from mixedfx.exceptions import SpecificationError
from mixedfx.formula import parse
from mixedfx.matrices import build_design
from mixedfx.matrices.limits import MAX_PARAMETERS, check_columns, check_parameters


def design(formula: str, levels: int):
    rows = np.arange(3000)
    data = pd.DataFrame({"y": rows % 7.0, "f": [f"l{i % levels}" for i in rows], "g": [f"g{i % 11}" for i in rows]})
    return build_design(parse(formula), data)


@pytest.mark.parametrize(
    ("formula", "levels", "words"),
    [
        ("y ~ 1 + (0 + f | g)", 90, ("(0 + f | g)", "4095 covariance parameters", "3000 observations", "'||'")),
        ("y ~ 1 + cs(0 + f | g)", 400, ("cs(0 + f | g)", "401 covariance parameters", "191.7 GB", "'||'")),
        ("y ~ 1 + toep(0 + f | g)", 400, ("toep(0 + f | g)", "799 covariance parameters", "761.0 GB", "limit is 4")),
    ],
)
def test_covariance_parameters(formula, levels, words):
    with pytest.raises(SpecificationError) as caught:
        design(formula, levels)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_covariance_parameters_have_a_limit_of_their_own():
    check_parameters("(x | g)", covariance_for("us", 62), 10**7)
    with pytest.raises(SpecificationError, match=f"2016 covariance parameters, the limit is {MAX_PARAMETERS:,}"):
        check_parameters("(x | g)", covariance_for("us", 63), 10**7)


def test_structures_with_few_parameters_may_have_many_columns():
    for keyword in ("diag", "homcs", "ar1"):
        assert design(f"y ~ 1 + {keyword}(0 + f | g)", 400).random[0].n_columns == 400


def test_columns():
    check_columns("the fixed part", {"f": 100}, 1000)
    with pytest.raises(SpecificationError, match=r"f:g alone has 9000.*\(1 \| f:g\)"):
        check_columns("the fixed part", {"f": 10, "f:g": 9000}, 1000)
    with pytest.raises(SpecificationError, match=r"6\.7 GB of memory \(the limit is 4\)"):
        check_columns("the fixed part", {"f": 900}, 10**6)
