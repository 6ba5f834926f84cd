"""Known relationship matrices: the factor by its definition, and every refusal."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.covariance import relationship_matrix
from mixedfx.exceptions import DataError

# Sire and dam unrelated, two full sibs and a half sib: twice the kinship, from the definition of relatedness.
PEDIGREE = pd.DataFrame(
    [
        [1.0, 0.0, 0.5, 0.5, 0.5],
        [0.0, 1.0, 0.5, 0.5, 0.0],
        [0.5, 0.5, 1.0, 0.5, 0.25],
        [0.5, 0.5, 0.5, 1.0, 0.25],
        [0.5, 0.0, 0.25, 0.25, 1.0],
    ],
    index=list("sdabh"),
    columns=list("sdabh"),
)


@given(st.permutations(list("sdabh")), st.permutations(list("sdabh")), st.integers(1, 5))
def test_factor_squares_to_the_rows_of_the_levels_in_any_order(rows, columns, n_levels):
    relationship = relationship_matrix("A", PEDIGREE.loc[rows, columns])
    levels = pd.Index(rows[:n_levels])
    L = relationship.factor(levels)
    assert np.array_equal(L, np.tril(L))
    np.testing.assert_allclose(L @ L.T, PEDIGREE.loc[levels, levels].to_numpy(), atol=1e-12)


def test_matrix_with_labels_is_the_same_as_a_frame():
    levels = pd.Index(["h", "s"])
    expected = relationship_matrix("A", PEDIGREE).factor(levels)
    dense = relationship_matrix("A", (PEDIGREE.to_numpy(), list("sdabh")))
    sparse = relationship_matrix("A", (scipy.sparse.csr_array(PEDIGREE.to_numpy()), PEDIGREE.index))
    assert np.array_equal(dense.factor(levels), expected)
    assert np.array_equal(sparse.factor(levels), expected)


def test_identical_twins_give_a_singular_matrix_that_is_legal():
    relationship = relationship_matrix("A", (np.ones((3, 3)), [1, 2, 3]))
    L = relationship.factor(pd.Index([3, 1, 2]))
    np.testing.assert_allclose(L @ L.T, np.ones((3, 3)), atol=1e-12)


def test_tuples_label_combined_factors():
    index = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])
    relationship = relationship_matrix("K", pd.DataFrame([[1, 0.5], [0.5, 1]], index=index, columns=index))
    assert relationship.factor(index[::-1])[1, 0] == 0.5


def test_missing_levels_are_named():
    with pytest.raises(DataError, match=r"A has no row for 2 level\(s\) of the data: 'x', 'y'$"):
        relationship_matrix("A", PEDIGREE).factor(pd.Index(["s", "x", "y"]))


def test_numbers_as_text_are_explained():
    relationship = relationship_matrix("A", (np.eye(2), ["1", "2"]))
    with pytest.raises(DataError, match="labels are of type string, the data's integer"):
        relationship.factor(pd.Index([1, 2]))


def test_only_the_levels_of_the_data_must_be_semidefinite():
    K = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    relationship = relationship_matrix("K", (K, ["a", "b", "c"]))
    assert relationship.factor(pd.Index(["a", "c"])).tolist() == [[1, 0], [0, 1]]
    with pytest.raises(DataError, match="smallest eigenvalue is -1"):
        relationship.factor(pd.Index(["a", "b", "c"]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((np.eye(2), ["a", "a"]), "repeated labels: 'a'"),
        ((np.eye(2), ["a", "b", "c"]), "square matrix with a label a row"),
        ((np.ones((2, 3)), ["a", "b"]), "square matrix"),
        (([[1, np.nan], [np.nan, 1]], ["a", "b"]), "missing or infinite"),
        (([[1, 0.5], [0.4, 1]], ["a", "b"]), "not symmetric"),
        (([[1, "x"], ["x", 1]], ["a", "b"]), "numbers only"),
        (pd.DataFrame(np.eye(2), index=["a", "b"], columns=["a", "c"]), "same labels"),
    ],
)
def test_bad_matrices_are_refused(value, message):
    with pytest.raises(DataError, match=message):
        relationship_matrix("K", value)


@pytest.mark.parametrize("value", [np.eye(2), (np.eye(2), "ab"), (np.eye(2), 3), None])
def test_matrices_without_labels_are_refused(value):
    with pytest.raises(TypeError, match=r"K must be a pandas DataFrame|labels of K"):
        relationship_matrix("K", value)
