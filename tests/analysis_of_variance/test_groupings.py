"""Groupings of rows against dense averaging matrices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.analysis_of_variance.strata.projections import Averages, grouping_of, increments, meet, orthogonal


def averaging(codes):
    Z = np.eye(codes.max() + 1)[codes]
    Z = Z[:, Z.any(axis=0)]
    return Z @ np.diag(1 / Z.sum(axis=0)) @ Z.T


labels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 1)), min_size=2, max_size=16)


@given(labels)
def test_orthogonality_is_that_of_the_averages(rows):
    a, b, _ = (np.array(column) for column in zip(*rows))
    A, B = averaging(a), averaging(b)
    common = meet(grouping_of(a), grouping_of(b))
    commute = np.allclose(A @ B, B @ A, atol=1e-12)
    assert orthogonal(grouping_of(a), grouping_of(b), common) == commute
    if commute:
        assert np.allclose(A @ B, averaging(common.codes))


@given(labels)
def test_increments_are_projections_onto_what_is_new(rows):
    columns = [np.array(column) for column in zip(*rows)]
    n = len(rows)
    total = np.full((n, n), 1 / n)
    found = increments([grouping_of(column) for column in columns], n)
    for column, projector in zip(columns, found):
        P = projector.apply(np.eye(n))
        assert np.allclose(P, P.T, atol=1e-9)
        assert np.allclose(P @ P, P, atol=1e-9)
        assert np.allclose(P @ total, 0.0, atol=1e-9)
        assert projector.rank == round(np.trace(P))
        total = total + P
        assert np.allclose(total @ averaging(column), averaging(column), atol=1e-9)
        for other in columns:
            Z = np.eye(4)[other]
            assert projector.overlap(grouping_of(other)) == pytest.approx(np.trace(P @ Z @ Z.T), abs=1e-9)


def test_balanced_designs_need_no_matrices():
    a, b, r = (grid.ravel() for grid in np.indices((3, 4, 2)))
    found = increments([grouping_of(a), grouping_of(b), grouping_of(4 * a + b)], r.size)
    assert all(isinstance(projector, Averages) for projector in found)
    assert [projector.rank for projector in found] == [2, 3, 6]
