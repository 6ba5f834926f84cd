"""Contrasts: matrices of R, names of formulaic, and refusals."""

import numpy as np
import pandas as pd
import pytest
from formulaic.transforms import contrasts as theirs

from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.matrices import build_design
from mixedfx.matrices.values import (
    DifferenceCoding,
    HelmertCoding,
    PolynomialCoding,
    SumCoding,
    TreatmentCoding,
    coding_for,
)
from tests.matrices.frames import small

DATA = small(48)
DATA["k"] = np.arange(48) % 4 + 1

PAIRS = [
    (TreatmentCoding(), theirs.TreatmentContrasts()),
    (TreatmentCoding("c"), theirs.TreatmentContrasts("c")),
    (SumCoding(), theirs.SumContrasts()),
    (HelmertCoding(), theirs.HelmertContrasts()),
    (DifferenceCoding(), theirs.DiffContrasts()),
    (PolynomialCoding(), theirs.PolyContrasts()),
]

# contr.poly(5); contr.poly(4, scores = c(1, 2, 4, 8)); MASS::contr.sdif(4); contr.helmert(4)
POLY_5 = [
    [-6.3245553203368e-01, 5.3452248382485e-01, -3.1622776601684e-01, 1.1952286093344e-01],
    [-3.1622776601684e-01, -2.6726124191242e-01, 6.3245553203368e-01, -4.7809144373376e-01],
    [0, -5.3452248382485e-01, 0, 7.1713716560064e-01],
    [3.1622776601684e-01, -2.6726124191242e-01, -6.3245553203368e-01, -4.7809144373376e-01],
    [6.3245553203368e-01, 5.3452248382485e-01, 3.1622776601684e-01, 1.1952286093344e-01],
]
POLY_SCORES = [
    [-0.512877644532173, 0.529627141332376, -0.454369467397652],
    [-0.326376682884110, -0.105925428266475, 0.795146567945891],
    [0.046625240412016, -0.767959354931945, -0.397573283972945],
    [0.792629087004267, 0.344257641866044, 0.056796183424707],
]
SDIF_4 = [[-0.75, -0.5, -0.25], [0.25, -0.5, -0.25], [0.25, 0.5, -0.25], [0.25, 0.5, 0.75]]
HELMERT_4 = [[-1, -1, -1], [1, -1, -1], [0, 2, -1], [0, 0, 3]]


@pytest.mark.parametrize(
    ("coding", "expected"),
    [
        (PolynomialCoding(), POLY_5),
        (PolynomialCoding((1, 2, 4, 8)), POLY_SCORES),
        (DifferenceCoding(), SDIF_4),
        (HelmertCoding(), HELMERT_4),
        (SumCoding(), [[1, 0], [0, 1], [-1, -1]]),
        (TreatmentCoding(3), [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]),
    ],
)
def test_matrices_are_those_of_r(coding, expected):
    assert coding.matrix(range(1, len(expected) + 1)) == pytest.approx(np.array(expected), abs=1e-13)


@pytest.mark.parametrize("levels", [["a", "b", "c"], ["c", "x", "y", "z", "w", "v"], [3, 1, "c"]])
@pytest.mark.parametrize(("ours", "formulaic"), PAIRS)
def test_matrices_and_names_are_those_of_formulaic(ours, formulaic, levels):
    matrix = formulaic.get_coding_matrix(levels)
    assert ours.matrix(levels) == pytest.approx(matrix.to_numpy(), abs=1e-13)
    assert list(ours.columns(levels)) == list(matrix.columns)
    assert f"{{name}}[{ours.prefix}{{field}}]" == formulaic.FACTOR_FORMAT_REDUCED


def names(fixed, contrasts=None, data=DATA):
    return build_design(f"y ~ {fixed} + (1 | g)", data, contrasts=contrasts).fixed.names


@pytest.mark.parametrize(
    ("fixed", "contrasts", "expected"),
    [
        ("f", None, ("f[T.b]", "f[T.c]")),
        ("f", {"f": "sum"}, ("f[S.a]", "f[S.b]")),
        ("f", {"f": "contr.sum"}, ("f[S.a]", "f[S.b]")),
        ("f", {"f": "helmert"}, ("f[H.b]", "f[H.c]")),
        ("f", {"f": "poly"}, ("f[.L]", "f[.Q]")),
        ("f", {"f": "sdif"}, ("f[D.b]", "f[D.c]")),
        ("f", {"f": TreatmentCoding("b")}, ("f[T.a]", "f[T.c]")),
        ("C(f, contr.sum)", None, ("C(f, contr.sum)[S.a]", "C(f, contr.sum)[S.b]")),
        ("C(f, Sum)", None, ("C(f, contr.sum)[S.a]", "C(f, contr.sum)[S.b]")),
        (
            "C(f, contr.treatment(base='c'))",
            None,
            ("C(f, contr.treatment(base='c'))[T.a]", "C(f, contr.treatment(base='c'))[T.b]"),
        ),
        ("C(f, levels=['c', 'b', 'a'])", None, tuple(f"C(f, levels=['c', 'b', 'a'])[T.{level}]" for level in "ba")),
        ("C(k)", None, ("C(k)[T.2]", "C(k)[T.3]", "C(k)[T.4]")),
        ("C(k, contr.helmert)", {"f": "sum"}, tuple(f"C(k, contr.helmert)[H.{level}]" for level in (2, 3, 4))),
    ],
)
def test_contrasts_by_argument_and_in_the_formula(fixed, contrasts, expected):
    assert names(fixed, contrasts) == ("Intercept", *expected)


@pytest.mark.parametrize(
    ("word", "formulaic"), [("sum", "contr.sum"), ("helmert", "contr.helmert"), ("sdif", "contr.sdif")]
)
def test_the_argument_and_the_formula_give_the_same_columns(word, formulaic):
    by_argument = build_design("y ~ f*x + (f | g)", DATA, contrasts={"f": word})
    in_formula = build_design(f"y ~ C(f, {formulaic})*x + (C(f, {formulaic}) | g)", DATA)
    assert by_argument.fixed.matrix == pytest.approx(in_formula.fixed.matrix)
    assert by_argument.random[0].matrix == pytest.approx(in_formula.random[0].matrix)


def test_a_matrix_with_labels():
    matrix = pd.DataFrame({"late": [-0.5, -0.5, 1.0], "first": [1.0, -1.0, 0.0]}, index=["a", "b", "c"])
    design = build_design("y ~ f + (1 | g)", DATA, contrasts={"f": matrix.iloc[[2, 0, 1]]})
    assert design.fixed.names == ("Intercept", "f[late]", "f[first]")
    assert design.fixed.matrix[:3, 1:] == pytest.approx(matrix.to_numpy())


def test_a_matrix_without_labels_goes_by_the_order_of_the_levels():
    design = build_design("y ~ f + (1 | g)", DATA, contrasts={"f": [[0, 0], [1, 0], [1, 1]]})
    assert design.fixed.names == ("Intercept", "f[1]", "f[2]")
    assert design.fixed.matrix[:3, 1:].tolist() == [[0, 0], [1, 0], [1, 1]]


def test_a_matrix_of_the_users_in_the_formula():
    own = pd.DataFrame({"up": [0.0, 1.0, 2.0]}, index=["a", "b", "c"])
    design = build_design("y ~ C(f, own) + (1 | g)", DATA, functions={"own": own})
    assert design.fixed.names == ("Intercept", "C(f, own)[up]")


def test_ordered_categories_are_treated_like_others():
    data = DATA.assign(f=pd.Categorical(DATA.f, ordered=True))
    assert names("f", data=data) == ("Intercept", "f[T.b]", "f[T.c]")


def test_without_an_intercept_every_level_has_a_column_whatever_the_contrasts():
    assert names("0 + f", {"f": "sum"}) == ("f[a]", "f[b]", "f[c]")


def test_contrasts_of_factors_that_are_not_used_are_ignored():
    assert names("x", {"f": "sum"}) == ("Intercept", "x")
    with pytest.raises(SpecificationError, match="no column 'nowhere'"):  # a slip, such as another case
        names("x", {"f": "sum", "nowhere": "sum"})


@pytest.mark.parametrize(
    ("fixed", "contrasts", "message"),
    [
        ("f", {"f": "backwards"}, "unknown contrasts 'backwards' for 'f'; choose from treatment, sum"),
        ("f", {"f": np.eye(3)}, r"shape \(3, 3\).*3 rows and at most 2 columns"),
        ("f", {"f": [[1, 1], [1, 1], [1, 1]]}, "linearly independent"),
        ("f", {"f": pd.DataFrame({"u": [1, 2, 3]}, index=list("abd"))}, "'a', 'b', 'd'; the levels are 'a', 'b', 'c'"),
        ("f", {"f": TreatmentCoding("z")}, "'z' of the treatment contrasts is not a level of 'f'"),
        ("C(f, contr.treatment(base='z'))", None, "'z' of the treatment contrasts is not a level of 'f'"),
        ("C(f, contr.poly(scores=[1, 2]))", None, "3 distinct scores"),
        ("x", {"x": "sum"}, r"numeric column 'x'.*C\(x\)"),
    ],
)
def test_contrasts_without_meaning_are_refused(fixed, contrasts, message):
    with pytest.raises(SpecificationError, match=message):
        names(fixed, contrasts)


def test_levels_that_leave_one_out_are_refused():
    with pytest.raises(DataError, match=r"leaves out 'c'"):
        names("C(f, levels=['a', 'b'])")


@pytest.mark.parametrize("contrasts", ["sum", [("f", "sum")]])
def test_contrasts_must_be_a_dict(contrasts):
    with pytest.raises(TypeError, match="contrasts must be a dict"):
        names("f", contrasts)


def test_contrasts_of_another_type():
    with pytest.raises(TypeError, match="contrasts of 'f'"):
        coding_for("f", 3)


def test_a_factor_with_one_level_is_refused():
    with pytest.raises(DataError, match="factor f in the fixed part has only one level"):
        names("f", data=DATA.assign(f="a"))
