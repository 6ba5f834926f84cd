"""Grouping factors: codes, levels, combinations, and rows of new data."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.covariance import DiagonalCovariance, UnstructuredCovariance
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.matrices import build_design, nested_in
from mixedfx.matrices.labels import combine, compress, factorize
from tests.matrices.frames import small

DATA = small()


def random_of(bar, data=DATA, **arguments):
    return build_design(f"y ~ x + {bar}", data, **arguments).random


def test_levels_are_sorted():
    (term,) = random_of("(1 | g)", DATA.assign(g=list("dcba") * 6))
    assert term.levels.tolist() == list("abcd")
    assert term.levels.name == "g"
    assert term.levels[term.codes].tolist() == list("dcba") * 6


def test_levels_of_categoricals_keep_their_order_and_unused_ones_go():
    group = pd.Categorical(DATA.g, categories=["g4", "none", "g1", "g3", "g2"])
    (term,) = random_of("(1 | g)", DATA.assign(g=group))
    assert term.levels.tolist() == ["g4", "g1", "g3", "g2"]
    assert term.levels[term.codes].tolist() == DATA.g.tolist()


def test_numbers_are_sorted_as_numbers():
    (term,) = random_of("(1 | k)", DATA.assign(k=np.repeat([10, 9, 100, -1], 6)))
    assert term.levels.tolist() == [-1, 9, 10, 100]


def test_odd_labels_are_ordinary():
    labels = ["", "nan", "NA", "None", "a", "a ", "A", "ä"] * 3
    (term,) = random_of("(1 | k)", DATA.assign(k=labels))
    assert term.levels[term.codes].tolist() == labels
    assert term.n_levels == 8


def test_combinations_are_made_of_codes():
    a = ["x:y", "x", "p", "p", "x:y", "x", "p", "x"]
    b = ["z", "y:z", "q", "z", "q", "z", "y:z", "q"]
    (term,) = random_of("(1 | a:b)", DATA.assign(a=a * 3, b=b * 3))
    assert term.n_levels == 8
    assert [term.levels[code] for code in term.codes] == list(zip(a * 3, b * 3))
    assert term.levels.is_monotonic_increasing
    assert term.levels.names == ["a", "b"]
    assert term.group == "a:b"
    assert term.factors == ("a", "b")


def test_nested_terms():
    outer, inner = random_of("(1 | g/h)")
    assert (outer.group, inner.group) == ("g", "g:h")
    assert nested_in(inner.codes, outer.codes)
    assert not nested_in(outer.codes, inner.codes)


def test_three_factors():
    (term,) = random_of("(1 | f:g:h)")
    expected = DATA[["f", "g", "h"]].drop_duplicates()
    assert term.n_levels == len(expected)
    assert [term.levels[code] for code in term.codes] == list(DATA[["f", "g", "h"]].itertuples(index=False, name=None))


def test_combinations_of_many_levels_do_not_overflow():
    k = 60_000
    a = np.repeat(np.arange(k, dtype="int32"), 2)
    b = np.random.default_rng(0).permutation(k).astype("int32")[a]
    labels = combine([factorize("a", a), factorize("b", b), factorize("a", a), factorize("b", b)], list("abcd"))
    assert len(labels.levels) == k
    assert labels.codes.tolist() == a.tolist()


@given(st.lists(st.tuples(*[st.integers(-3, 3)] * 3), min_size=1, max_size=30))
def test_any_combination(rows):
    labels = combine([factorize("", np.array(column)) for column in zip(*rows)], list("abc"))
    assert [labels.levels[code] for code in labels.codes] == rows
    assert labels.levels.tolist() == sorted(set(rows))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20), st.integers(0, 2**63 - 1))
def test_any_integers(values, base):
    for numbers in (np.array(values, dtype=np.int64), np.arange(base, min(base + 20, 2**63 - 1))):
        codes, distinct = compress(numbers)
        assert distinct[codes].tolist() == numbers.tolist()
        assert distinct.tolist() == sorted(set(numbers.tolist()))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64"])
def test_the_whole_range_of_a_dtype(dtype):
    limits = np.iinfo(dtype)
    codes, distinct = compress(np.array([limits.max, limits.min, limits.max], dtype=dtype))
    assert codes.tolist() == [1, 0, 1]
    assert distinct.tolist() == [limits.min, limits.max]


def test_new_rows_find_their_levels():
    one, cell = random_of("(x | g) + (1 | g:h)")
    new = {"x": [1.0, 2.0, 3.0, 4.0], "g": ["g2", "new", None, "g1"], "h": ["q", "p", "p", "other"]}
    codes, matrix = one.encode(new)
    assert codes.tolist() == [1, -1, -1, 0]
    assert matrix.tolist() == [[1, 1], [1, 2], [1, 3], [1, 4]]
    assert cell.encode(new)[0].tolist() == [cell.levels.get_loc(("g2", "q")), -1, -1, -1]


def test_new_rows_whose_categories_are_coded_otherwise():
    one, cell = random_of("(1 | g) + (1 | g:h)")
    tail = DATA.tail(5).assign(
        g=pd.Categorical(DATA.g.tail(5)), h=pd.Categorical(DATA.h.tail(5), categories=["q", "p"])
    )
    assert one.encode(tail)[0].tolist() == one.codes[-5:].tolist()
    assert cell.encode(tail)[0].tolist() == cell.codes[-5:].tolist()


def test_new_rows_need_the_grouping_columns():
    (cell,) = random_of("(1 | g:h)")
    with pytest.raises(DataError, match="no columns 'g', 'h'"):
        cell.encode(DATA[["x"]])


@pytest.mark.parametrize("bar", ["(1 | k)", "(1 | k:m)"])
def test_one_level_is_refused_by_name(bar):
    name = bar[5:-1]
    with pytest.raises(DataError, match=f"grouping factor '{name}' has only one level"):
        random_of(bar, DATA.assign(k="only", m=1))


def test_as_many_levels_as_rows_are_for_the_model_to_judge():
    (term,) = random_of("(1 | k)", DATA.assign(k=np.arange(24)))
    assert term.n_levels == 24


def test_unhashable_labels_are_refused():
    with pytest.raises(DataError, match=r"'k'.*type list"):
        random_of("(1 | k)", DATA.assign(k=[[1]] * 24))


def test_columns_and_covariances():
    slope, factor, diagonal = random_of("(x | g) + (0 + f | h) + (f || g:h)")
    assert slope.names == ("Intercept", "x")
    assert slope.covariance == UnstructuredCovariance(2)
    assert factor.names == ("f[a]", "f[b]", "f[c]")
    assert diagonal.names == ("Intercept", "f[T.b]", "f[T.c]")
    assert diagonal.covariance == DiagonalCovariance(3)
    assert slope.matrix.tolist() == np.column_stack([np.ones(24), DATA.x]).tolist()
    assert [term.term for term in (slope, factor)] == ["(1 + x | g)", "(0 + f | h)"]


def test_terms_with_equal_left_sides_share_their_columns():
    design = build_design("y ~ x + (x | g) + (x | h)", DATA)
    assert design.random[0].matrix is design.random[1].matrix


def test_more_covariance_parameters_than_rows_are_refused():
    data = DATA.assign(k=[f"k{i:02d}" for i in range(12)] * 2)
    with pytest.raises(SpecificationError, match=r"\(1 \+ k \| g\) has 12 columns and so 78 covariance parameters.*24"):
        random_of("(k | g)", data)
    assert len(random_of("(0 + k || g)", data)[0].names) == 12


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=15))
def test_nested_in_is_what_it_says(rows):
    inner, outer = np.array(rows).T
    assert nested_in(inner, outer) == all(len(set(outer[inner == level])) == 1 for level in set(inner.tolist()))


def test_a_relationship_is_put_in_the_order_of_the_levels():
    levels = ["g3", "g1", "other", "g4", "g2"]
    matrix = np.diag([1.0, 2.0, 3.0, 4.0, 5.0]) + 0.25
    (term,) = random_of("known(1 | g, K)", functions={"K": pd.DataFrame(matrix, levels, levels)})
    places = [levels.index(level) for level in ("g1", "g2", "g3", "g4")]
    assert term.loading @ term.loading.T == pytest.approx(matrix[np.ix_(places, places)])
    assert random_of("(1 | g)")[0].loading is None
