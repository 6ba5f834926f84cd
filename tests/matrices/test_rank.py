"""Redundant columns: the leftmost independent ones stay, whatever their units and origin."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mixedfx.exceptions import DataError, RankDeficientWarning, SpecificationError
from mixedfx.matrices import build_design
from mixedfx.matrices.fixed import independent_columns
from tests.matrices.frames import small

DATA = small(60)
RANDOM = np.random.default_rng(11)
X, Z = RANDOM.normal(size=(2, 60))
ONE = np.ones(60)


def fixed_of(right, **columns):
    return build_design(f"y ~ {right} + (1 | g)", DATA.assign(**columns)).fixed


def leftmost(matrix):
    """The columns that raise the rank of those before them, by singular values of exact small integers."""
    ranks = [0, *(np.linalg.matrix_rank(matrix[:, : j + 1]) for j in range(matrix.shape[1]))]
    return [j for j in range(matrix.shape[1]) if ranks[j + 1] > ranks[j]]


@given(arrays(np.int8, st.tuples(st.integers(1, 8), st.integers(1, 6)), elements=st.integers(-2, 2)), st.booleans())
def test_the_leftmost_independent_columns_stay(integers, intercept):
    matrix = np.asfortranarray(integers, dtype=float)
    if intercept:
        matrix = np.column_stack([np.ones(len(matrix)), matrix])
    rank = independent_columns(matrix)
    assert rank.kept.tolist() == leftmost(matrix)
    assert sorted([*rank.kept, *rank.dropped]) == list(range(matrix.shape[1]))
    assert matrix[:, rank.kept] @ rank.alias == pytest.approx(matrix, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("columns", [[X, 3 * X], [X, Z, X + Z], [ONE * 7], [X, 1e9 + X], [X * 1e-9, X * 1e9]])
def test_combinations_are_found_in_any_unit(columns, scale):
    rank = independent_columns(np.column_stack([ONE, *(scale * column for column in columns)]))
    assert rank.dropped.tolist() == [len(columns)]


@pytest.mark.parametrize(
    "columns",
    [
        [1e9 + X],
        [1e9 + X, Z],
        [2000 + np.arange(60) % 10, (2000.0 + np.arange(60) % 10) ** 2],
        [X, X + 1e-4 * Z],
        [1e12 * X, 1e-12 * Z],
    ],
)
@pytest.mark.parametrize("intercept", [True, False])
def test_ill_scaled_columns_are_kept(columns, intercept):
    matrix = np.column_stack([ONE, *columns][not intercept :])
    assert independent_columns(matrix).is_full


def test_without_an_intercept_a_constant_is_an_ordinary_column():
    assert independent_columns(np.column_stack([X, ONE])).is_full
    assert independent_columns(np.column_stack([X, 1e9 + X, ONE])).dropped.tolist() == [2]


def test_the_warning_names_the_columns_and_their_combinations():
    message = r"dropped 2 columns that follow from the others \(collinear\): z = 3 x; w = 2 - x"
    with pytest.warns(RankDeficientWarning, match=message):
        fixed = fixed_of("x + z + w", z=3 * DATA.x, w=2 - DATA.x)
    assert fixed.names == ("Intercept", "x")
    assert fixed.dropped == ("z", "w")
    assert fixed.terms == {"Intercept": (0,), "x": (1,), "z": (), "w": ()}
    assert fixed.full_names == ("Intercept", "x", "z", "w")
    assert fixed.kept.tolist() == [0, 1]
    assert fixed.alias == pytest.approx(np.array([[1, 0, 0, 2], [0, 1, 3, -1]]))


def test_a_dropped_column_stays_dropped_on_new_data():
    with pytest.warns(RankDeficientWarning):
        fixed = fixed_of("x + z + f", z=3 * DATA.x)
    new = {"x": [1.0], "z": [77.0], "f": ["b"]}
    assert fixed.encode(new).tolist() == [[1, 1, 1, 0]]
    assert fixed.encode_full(new).tolist() == [[1, 1, 77, 1, 0]]


def test_the_note_is_kept_with_the_design():
    with pytest.warns(RankDeficientWarning):
        design = build_design("y ~ x + z + (1 | g)", DATA.assign(z=3 * DATA.x))
    assert "rank deficient" in design.notes[0]


def test_an_empty_cell():
    data = DATA[(DATA.f != "c") | (DATA.h != "q")]
    with pytest.warns(RankDeficientWarning, match=r"f\[T.c\]:h\[T.q\] = 0"):
        fixed = build_design("y ~ f*h + (1 | g)", data).fixed
    assert fixed.terms["f:h"] == (4,)


def test_no_warning_for_full_rank():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fixed = fixed_of("x + z + f*h")
    assert fixed.dropped == ()


def test_as_many_columns_as_rows_are_refused():
    columns = {f"v{j}": RANDOM.normal(size=60) for j in range(62)}
    with pytest.raises(DataError, match=r"rank 60 \(63 columns\) for 60 observations"):
        fixed_of(" + ".join(columns), **columns)
    with pytest.raises(DataError, match=r"the term k alone has 59"):
        fixed_of("k", k=[f"k{i}" for i in range(60)])
    with pytest.raises(DataError, match="for 1 observation:"):
        build_design("y ~ 1 + (1 | g)", DATA[:1])


def test_far_more_columns_than_rows_are_refused_before_they_are_made():
    with pytest.raises(SpecificationError, match=r"more columns than observations \(60 rows\).*C\(k\):f alone has 118"):
        fixed_of("C(k)*f + C(k)*h + C(k):f:h", k=np.arange(60))


def test_a_matrix_past_the_memory_is_refused_before_it_is_made():
    n = 100_000
    data = {"y": np.arange(n), "id": np.arange(n).astype(str), "g": np.arange(n) % 50}
    with pytest.raises(SpecificationError, match=r"the term id alone has 99999.*\(1 \| id\)"):
        build_design("y ~ id + (1 | g)", data)
    with pytest.raises(SpecificationError, match=r"left side of \(0 \+ id \| g\).*GB of memory"):
        build_design("y ~ 1 + (0 + id | g)", data)
