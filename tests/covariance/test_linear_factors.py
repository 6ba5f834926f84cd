"""Unstructured and diagonal covariances against their definitions, written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mixedfx.covariance import (
    DiagonalCovariance,
    HomogeneousDiagonalCovariance,
    UnstructuredCovariance,
    covariance_for,
)
from mixedfx.exceptions import SpecificationError


def test_unstructured_reads_the_lower_triangle_by_columns():
    factor = UnstructuredCovariance(3).factor(np.arange(1.0, 7.0))
    assert factor.tolist() == [[1, 0, 0], [2, 4, 0], [3, 5, 6]]


def test_unstructured_labels_follow_the_lower_triangle():
    labels = UnstructuredCovariance(3).labels(["a", "b", "c"])
    assert labels == ("a", "b.a", "c.a", "b", "c.b", "c")


def test_diagonals():
    assert DiagonalCovariance(2).factor(np.array([2.0, 3.0])).tolist() == [[2, 0], [0, 3]]
    assert HomogeneousDiagonalCovariance(2).factor(np.array([2.0])).tolist() == [[2, 0], [0, 2]]
    assert DiagonalCovariance(2).labels(["a", "b"]) == ("a", "b")
    assert HomogeneousDiagonalCovariance(2).labels(["a", "b"]) == ("sd",)


@given(st.integers(1, 5), st.integers(1, 7), st.data())
def test_unstructured_parameters_of_any_factor_reproduce_its_covariance(size, columns, data):
    factor = data.draw(arrays(float, (size, columns), elements=st.integers(-5, 5).map(float)))
    covariance = UnstructuredCovariance(size)
    theta = covariance.parameters(factor)
    assert np.all(theta >= covariance.lower())
    assert covariance.covariance(theta) == pytest.approx(factor @ factor.T, abs=1e-11)


def test_only_the_unstructured_one_is_closed_under_affine_maps():
    assert covariance_for("us", 2).closed_under_affine()
    assert not covariance_for("diag", 2).closed_under_affine()
    assert not covariance_for("homdiag", 2).closed_under_affine()
    assert not covariance_for("homdiag", 2).closed_under_scaling()


def test_unknown_keyword_is_refused_with_the_choices():
    with pytest.raises(SpecificationError, match=r"unknown covariance 'banana'.*'diag'"):
        covariance_for("banana", 2)


def test_a_term_without_columns_is_refused():
    with pytest.raises(SpecificationError, match="at least one column"):
        UnstructuredCovariance(0)


@pytest.mark.parametrize("kind", [UnstructuredCovariance, DiagonalCovariance, HomogeneousDiagonalCovariance])
def test_a_start_near_a_covariance_may_have_effects_without_variance(kind):
    covariance = np.diag([4.0, 0.0, 1.0])
    covariance[0, 2] = covariance[2, 0] = 0.5
    near = kind(3).covariance(kind(3).near(covariance))
    assert np.isfinite(near).all()
    if kind is UnstructuredCovariance:
        np.testing.assert_allclose(near, covariance, atol=1e-8)
