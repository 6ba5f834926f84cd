"""Our columns are formulaic's own: names, order and values; and they are replayed exactly on new data."""

import pickle
import sys

import formulaic
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.exceptions import DataError
from mixedfx.formula import parse
from mixedfx.matrices import build_design
from mixedfx.matrices.encoder import FormulaicEncoder, PlainEncoder
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.frame import FrameRows, as_frame
from mixedfx.matrices.materialize import structure_by_formulaic
from mixedfx.matrices.products import hierarchical_structure
from tests.matrices.frames import small

DATA = small(120)
DATA["w"] = DATA.x * 2 + DATA.z**2
DATA["k"] = np.arange(120) % 5


def encoder_of(fixed, data=DATA, **arguments):
    return build_design(f"y ~ {fixed} + (1 | g)", data, **arguments).fixed.encoder


def same_as_formulaic(fixed, kind):
    encoder = encoder_of(fixed)
    assert isinstance(encoder, kind)
    expected = formulaic.model_matrix(fixed, DATA)
    assert encoder.names == tuple(expected.columns)
    assert encoder.encode(DATA) == pytest.approx(expected.to_numpy(dtype=float), rel=1e-13, abs=1e-14)
    indices = {"Intercept" if str(term) == "1" else str(term): tuple(found)
               for term, found in expected.model_spec.term_indices.items()}  # fmt: skip
    assert encoder.terms == indices


PLAIN = ["1", "x", "0 + x", "x + z", "z + x", "x:z", "x*z", "x*z*w", "0 + x:z + w", "k + k:x"]
OTHER = ["f", "0 + f", "f*x", "f:x", "0 + f:x", "f + h", "f*h", "f:h", "f*h*x", "x + f:h:x", "h/f", "C(k)", "C(k)*f",
         "0 + f + C(k)", "poly(x, 2)*f", "f:poly(x, 2)", "x:f + I(x**2)", "scale(x)*h", "log(z):h",
         "poly(x, 3)", "poly(x, 2, raw=True)", "center(x):f", "scale(x, ddof=0)", "log(abs(x) + 1)"]  # fmt: skip
CODINGS = ["C(f, contr.sum)", "C(f, contr.sum)*x", "0 + C(f, contr.sum)", "C(f, contr.helmert)*h", "C(f, contr.poly)",
           "C(f, contr.treatment(base='b'))*h", "C(k, contr.helmert):x", "C(f, contr.sum):C(k)"]  # fmt: skip
SPLINES = ["bs(x, df=5)", "bs(x, df=4, degree=2)", "bs(x, knots=[0.1, 0.5])", "bs(x, df=4)*C(f, contr.sum)",
           "0 + bs(x, df=5, include_intercept=True):f", "cr(x, df=4)", "cs(x, df=4):h",
           "cr(x, df=4, constraints='center')"]  # fmt: skip


@pytest.mark.parametrize("fixed", PLAIN)
def test_plain_columns(fixed):
    same_as_formulaic(fixed, PlainEncoder)


@pytest.mark.parametrize("fixed", OTHER + CODINGS + SPLINES)
def test_other_columns(fixed):
    same_as_formulaic(fixed, FormulaicEncoder)


@given(st.lists(st.sets(st.sampled_from("xzw"), min_size=1), min_size=1, max_size=5), st.booleans())
def test_any_products_of_numbers(products, intercept):
    terms = [":".join(sorted(product)) for product in products]
    same_as_formulaic(" + ".join(["1" if intercept else "0", *terms]), PlainEncoder)


@given(st.lists(st.sets(st.sampled_from("xfhk"), min_size=1), min_size=1, max_size=4), st.booleans())
def test_any_products_of_numbers_and_factors(products, intercept):
    terms = [":".join(sorted(product)) for product in products]
    fixed = " + ".join(["1" if intercept else "0", *terms]).replace("k", "C(k)")
    if "f" in fixed or "h" in fixed or "C" in fixed:
        same_as_formulaic(fixed, FormulaicEncoder)


@given(st.lists(st.sets(st.sampled_from("xfhk"), min_size=1), min_size=1, max_size=5), st.booleans())
def test_terms_with_all_their_margins_have_the_structure_that_formulaic_finds(products, intercept):
    fixed = " + ".join(["1" if intercept else "0", *(":".join(sorted(p)) for p in products)]).replace("k", "C(k)")
    terms = sorted(parse(f"y ~ {fixed}").fixed_terms, key=len)
    evaluate = Evaluator(FrameRows(as_frame(DATA)), {}, {})
    values = {factor: evaluate(factor) for term in terms for factor in term}
    found = hierarchical_structure(terms, values)
    if found is None:
        assert not intercept or any(len(term) > 1 for term in terms)
    else:
        assert found == structure_by_formulaic(terms, values)


def test_main_effects_and_their_interactions_need_no_formulaic(monkeypatch):
    monkeypatch.setitem(sys.modules, "mixedfx.matrices.materialize", None)
    encoder = encoder_of("x*f*h + poly(x, 2) + x:C(k)")
    assert len(encoder.names) == encoder.encode(DATA).shape[1]
    with pytest.raises(ImportError):
        encoder_of("0 + f")


# ------------------------------------------------------------------- names
def test_names_are_spelled_as_the_user_spells_them():
    data = DATA.rename(columns={"x": "total.fruits", "z": "my z", "f": "a factor"})
    encoder = encoder_of("total.fruits + log(`my z`) + `a factor` + `a factor`:total.fruits", data)
    assert encoder.names == (
        "Intercept",
        "total.fruits",
        "log(`my z`)",
        "a factor[T.b]",
        "a factor[T.c]",
        "a factor[T.b]:total.fruits",
        "a factor[T.c]:total.fruits",
    )
    assert encoder.variables == ("total.fruits", "my z", "a factor")
    assert encoder.encode(data) == pytest.approx(encoder_of("x + log(z) + f + f:x").encode(DATA))


def test_columns_named_like_functions_are_columns():
    data = DATA.rename(columns={"x": "log", "g": "C", "z": "scale"})
    design = build_design("y ~ log + log(scale) + (1 | C)", data)
    assert design.fixed.names == ("Intercept", "log", "log(scale)")
    assert design.fixed.matrix[:, 1] == pytest.approx(DATA.x.to_numpy())


# ------------------------------------------------------------------- new data
@pytest.mark.parametrize("fixed", ["x*z", "f*x", "C(k) + f:h"])
def test_other_rows_and_columns_in_another_order(fixed):
    encoder = encoder_of(fixed)
    some = DATA.iloc[[7, 3, 40]][["h", "k", "f", "z", "x"]]
    assert encoder.encode(some).tolist() == encoder.encode(DATA)[[7, 3, 40]].tolist()


def test_another_order_of_the_categories_changes_nothing():
    encoder = encoder_of("f*x")
    turned = DATA.assign(f=pd.Categorical(DATA.f, categories=["c", "unused", "b", "a"], ordered=True))
    assert encoder.encode(turned).tolist() == encoder.encode(DATA).tolist()


@pytest.mark.parametrize("levels", ["c", "bc", "b"])
def test_a_subset_of_the_levels_changes_nothing(levels):
    rows = DATA.f.isin(list(levels)).to_numpy()
    encoder = encoder_of("f*x")
    assert encoder.encode(DATA[rows]).tolist() == encoder.encode(DATA)[rows].tolist()


def test_integers_where_floats_were():
    encoder = encoder_of("x + C(k)")
    assert (
        encoder.encode({"x": [1, 2], "k": [0.0, 3.0]}).tolist()
        == encoder.encode({"x": [1.0, 2.0], "k": [0, 3]}).tolist()
    )


def test_one_value_stands_for_all_rows():
    encoder = encoder_of("x + f")
    assert encoder.encode({"x": [1.0, 2.0], "f": "b"}).tolist() == [[1, 1, 1, 0], [1, 2, 1, 0]]
    assert encoder.encode({"x": 1.0, "f": "c"}).tolist() == [[1, 1, 0, 1]]


@pytest.mark.parametrize("fixed", ["f*x", "C(f) + x"])
def test_unknown_levels_are_named(fixed):
    with pytest.raises(DataError, match=r"'f' has the level 'd', unknown.*known levels: 'a', 'b', 'c'"):
        encoder_of(fixed).encode(DATA.assign(f=["d", *DATA.f[1:]]))


def test_unknown_levels_of_numbers_are_named():
    with pytest.raises(DataError, match=r"'k' has levels 7, 8.*known levels: 0, 1, 2, 3, 4"):
        encoder_of("C(k)").encode({"k": [7, 1, 8]})


def test_missing_columns_are_named_all_at_once():
    with pytest.raises(DataError, match=r"no columns 'f', 'x'"):
        encoder_of("f*x").encode(DATA[["y", "z"]])


def test_numbers_that_became_text_are_refused():
    with pytest.raises(DataError, match=r"'x' is not numeric.*'oops'"):
        encoder_of("f*x").encode({"x": ["oops"], "f": ["a"]})


@pytest.mark.parametrize("fixed", ["x", "f*x"])
def test_rows_with_missing_values_are_nan(fixed):
    encoder = encoder_of(fixed)
    holes = DATA.copy()
    holes.loc[1, "x"] = np.nan
    expected = encoder.encode(DATA)
    expected[1] = np.nan
    if "f" in fixed:
        holes.loc[4, "f"] = None
        expected[4] = np.nan
    np.testing.assert_array_equal(encoder.encode(holes), expected)


def test_no_rows_at_all():
    assert encoder_of("f*x").encode(DATA.iloc[:0]).shape == (0, 6)
    assert encoder_of("x").encode(DATA.iloc[:0]).shape == (0, 2)


@pytest.mark.parametrize(
    "fixed", ["x*z", "f*x", "scale(x) + bs(z, df=4)", "C(k, contr.sum) + ns(z, df=3)", "cut(x, 3)"]
)
def test_pickled_encoders_encode_the_same(fixed):
    encoder = encoder_of(fixed)
    assert pickle.loads(pickle.dumps(encoder)).encode(DATA).tolist() == encoder.encode(DATA).tolist()


def test_a_whole_design_can_be_pickled():
    design = build_design("log(z) ~ f*x + offset(w) + (x | g/h) + (1 | k)", DATA, weights="z")
    copy = pickle.loads(pickle.dumps(design))
    assert copy.fixed.encode(DATA).tolist() == design.fixed.matrix.tolist()
    assert copy.random[1].encode(DATA)[0].tolist() == design.random[1].codes.tolist()
    assert copy.offsets.encode(DATA).tolist() == design.offset.tolist()
    assert copy.formula == design.formula


def test_only_the_functions_that_are_used_are_kept():
    own = {"half": np.sqrt, "other": lambda x: x, "K": np.eye(4)}
    design = build_design("y ~ f + half(z) + offset(half(z)) + (1 | g)", DATA, functions=own)
    assert design.fixed.encoder.functions == {"half": np.sqrt}
    assert pickle.loads(pickle.dumps(design)).fixed.encode(DATA).tolist() == design.fixed.matrix.tolist()


def test_matrices_are_in_fortran_order_and_float():
    design = build_design("y ~ k + x + (k | g) + (f | h)", DATA)
    for matrix in (design.fixed.matrix, *(term.matrix for term in design.random)):
        assert matrix.flags.f_contiguous
        assert matrix.dtype == np.float64


def test_the_callers_data_may_change_afterwards():
    data = {name: DATA[name].to_numpy(copy=True) for name in DATA}
    design = build_design("y ~ x + (x | g)", data, weights=data["z"], offset="w")
    before = pickle.dumps((design.response, design.fixed.matrix, design.weights, design.offset, design.variables))
    for values in data.values():
        values[:] = values[::-1].copy()
    assert (
        pickle.dumps((design.response, design.fixed.matrix, design.weights, design.offset, design.variables)) == before
    )


def test_variables_of_the_fixed_part():
    variables = build_design("y ~ f*x + log(z) + (k | g)", DATA).variables
    assert list(variables) == ["f", "x", "z"]
    assert variables["f"].is_factor
    assert variables["f"].levels == ("a", "b", "c")
    assert variables["x"].mean == pytest.approx(DATA.x.mean())
    assert variables["z"].range == (DATA.z.min(), DATA.z.max())


def test_empty_fixed_part():
    fixed = build_design("y ~ 0 + (1 | g)", DATA).fixed
    assert fixed.matrix.shape == (len(DATA), 0)
    assert fixed.names == ()


def test_terms_without_columns_are_kept():
    data = DATA.assign(c=1.0)
    with pytest.warns(UserWarning, match="c = 1"):
        fixed = build_design("y ~ x + c + f + (1 | g)", data).fixed
    assert fixed.terms == {"Intercept": (0,), "x": (1,), "c": (), "f": (2, 3)}
    assert fixed.full_terms == {"Intercept": (0,), "x": (1,), "c": (2,), "f": (3, 4)}
