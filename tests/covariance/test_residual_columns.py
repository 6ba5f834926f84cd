"""What residual structures read from the data, how they name parameters, and what they refuse."""

import numpy as np
import pandas as pd
import pytest

from mixedfx.covariance.residual import (
    AR1,
    CAR1,
    CompoundSymmetry,
    KnownVariance,
    Unstructured,
    VarExp,
    VarIdent,
    VarPower,
)
from mixedfx.exceptions import DataError, SpecificationError

DATA = pd.DataFrame(
    {
        "age": [8, 10, 12, 14, 8, 10, 12, 14],
        "id": list("aaaabbbb"),
        "sex": list("mmmmffff"),
        "half": np.arange(8) + 0.5,
        "one": 1.0,
        "zero": [0.0, 1, 2, 3, 4, 5, 6, 7],
        "visit": pd.Categorical(["pre", "mid", "post", "late"] * 2, ["pre", "mid", "post", "late"], ordered=True),
    },
    index=range(100, 108),
)


def test_reference_is_the_first_level_met_or_the_first_category():
    assert VarIdent("sex").bind(DATA).names == ("sex[f]",)
    assert VarIdent("sex").bind({"sex": pd.Categorical(DATA["sex"], ["f", "m"])}).names == ("sex[m]",)


def test_ar1_counts_in_the_common_step_of_the_times():
    by_age, by_visit, by_row = (AR1(time, "id").bind(DATA) for time in ("age", "visit", None))
    rho, M = np.array([0.7]), np.eye(8)
    assert np.array_equal(by_age.whiten(rho, M), by_visit.whiten(rho, M))
    assert np.array_equal(by_age.whiten(rho, M), by_row.whiten(rho, M))
    one_step = by_age.unwhiten(rho, M)
    assert (one_step @ one_step.T)[0, 1] == pytest.approx(by_age.natural(rho)[0])


@pytest.mark.parametrize("group", [("id", "sex"), "id:sex"])
def test_groups_may_be_combinations_of_columns(group):
    bound = CompoundSymmetry(group).bind(DATA.assign(sex=list("mmffmmff")))
    assert len(set(bound.groups)) == 4
    assert bound.natural(np.array([-50.0]))[0] == pytest.approx(-1)


def test_unstructured_names_ratios_and_correlations_in_the_order_of_visits():
    names = Unstructured("visit", "id").bind(DATA).names
    assert names[:4] == ("visit[mid]", "visit[post]", "visit[late]", "cor[pre,mid]")
    assert names[-1] == "cor[post,late]"


def test_sigma_is_one_where_variances_are_known():
    assert KnownVariance("half").bind(DATA).sigma == 1.0
    assert (KnownVariance("half") * AR1("age", "id")).bind(DATA).sigma == 1.0
    assert VarExp("half").bind(DATA).sigma is None


def test_independent_rows_have_no_groups():
    assert VarIdent("sex").bind(DATA).groups is None
    assert AR1("age", "id").bind(DATA).groups.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def wald_limits(bound, rho, cov):
    """Limits (n_rho, 2) at 95 % by the delta method, each on the scale on which its parameter is unbounded."""
    J = bound.natural_derivative(rho)
    reach = 1.959963984540054 * np.sqrt(np.diag(J @ cov @ J.T))
    limits = []
    for scale, value, width in zip(bound.parameters.map.scales, bound.natural(rho), reach, strict=True):
        x = scale.real(value)
        limits.append(sorted(scale.natural(x + sign * width / abs(scale.slope(x))) for sign in (-1, 1)))
    return np.array(limits)


def test_wald_limits_are_symmetric_on_the_unbounded_scale():
    bound = (VarIdent("sex") * AR1("age", "id")).bind(DATA)
    rho, cov = np.array([0.5, 1.0]), np.diag([0.04, 0.09])
    limits = wald_limits(bound, rho, cov)
    z = 1.959963984540054
    assert limits[0] == pytest.approx(np.exp([0.5 - 0.2 * z, 0.5 + 0.2 * z]))
    assert limits[1] == pytest.approx(np.tanh([(1 - 0.3 * z) / 2, (1 + 0.3 * z) / 2]))


def test_wald_limits_of_visit_correlations_are_fishers():
    bound = Unstructured("age", "id").bind(DATA)
    rho, cov = np.linspace(-0.5, 0.7, 9), 0.01 * np.eye(9)
    limits, natural = wald_limits(bound, rho, cov), bound.natural(rho)
    se = 0.1 * np.linalg.norm(bound.natural_derivative(rho), axis=1)
    reach = 1.959963984540054 * se[3:] / (1 - natural[3:] ** 2)
    assert limits[3:, 1] == pytest.approx(np.tanh(np.arctanh(natural[3:]) + reach))


def test_the_product_reads_in_words():
    assert str(VarIdent("sex") * CAR1("half", "id")) == "variance by sex; CAR(1) over half within id"
    assert str(Unstructured("visit", ("id", "sex"))) == "unstructured over visit within id:sex"


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (VarIdent("nothing"), "needs the column 'nothing'"),
        (VarIdent("one"), "'one' has a single level"),
        (VarPower("zero"), "'zero' contains zeros"),
        (VarPower("sex"), "'sex' of the residual structure must be numeric"),
        (VarExp("one"), "'one' is constant"),
        (KnownVariance("zero"), "'zero' must be positive, found 0"),
        (AR1("half", "id"), r"times must be integers, column 'half' contains 0.5; use CAR1\('half', …\)"),
        (AR1("age"), "'age' has the same time 8 twice in one group"),
        (AR1("age", "sex_missing"), "needs the column 'sex_missing'"),
        (AR1("age", ("id", "half")), "no group of id:half has two rows"),
        (CAR1("one", "id"), "'one' has the same time 1 twice in one group, id 'a'"),
        (CompoundSymmetry("half"), "no group of half has two rows"),
        (Unstructured("sex", "id"), "'sex' has the visit 'm' twice in id 'a'"),
        (Unstructured("half", "id"), "no group of id has both half 0.5 and 4.5"),
    ],
)
def test_data_that_do_not_fit_are_refused(structure, message):
    with pytest.raises(DataError, match=message):
        structure.bind(DATA)


def test_missing_values_are_refused():
    with pytest.raises(DataError, match="'age' of the residual structure has 1 missing"):
        AR1("age", "id").bind(DATA.assign(age=[np.nan, *DATA["age"][1:]]))


def test_levels_and_times_that_the_fit_did_not_have_are_refused():
    with pytest.raises(DataError, match=r"level\(s\) 'x', unknown to the fitted"):
        VarIdent("sex").bind(DATA).rebind({"sex": ["x", "m"]})
    between = AR1("age", "id").bind(DATA).rebind({"age": [8, 9], "id": ["a", "a"]})
    with pytest.raises(DataError, match="not whole steps of 2 apart"):
        between.unwhiten(np.zeros(1), np.ones((2, 1)))
    larger = CompoundSymmetry("id").bind(DATA).rebind({"id": ["a"] * 6})
    with pytest.raises(DataError, match="has 6 rows, more than the 4 of the fit"):
        larger.unwhiten(np.array([-20.0]), np.ones((6, 1)))


@pytest.mark.parametrize(
    ("product", "message"),
    [
        (lambda: AR1("age", "id") * CompoundSymmetry("id"), "one correlation structure, found 2 in AR1"),
        (lambda: VarIdent("sex") * VarIdent("sex"), "the same residual structure twice"),
        (lambda: AR1(), "AR1 needs the name of the time column, of the group, or of both"),
    ],
)
def test_contradictions_are_refused(product, message):
    with pytest.raises(SpecificationError, match=message):
        product()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: VarIdent(3),
        lambda: AR1("age", group=3),
        lambda: CompoundSymmetry(None),
        lambda: Unstructured("age", None),
        lambda: VarIdent("sex") * "AR1",
    ],
)
def test_wrong_types_are_refused(wrong):
    with pytest.raises(TypeError):
        wrong()
