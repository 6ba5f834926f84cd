"""Variances and correlations: as data, by group, and as a table."""

import numpy as np
import pandas as pd
import pytest

from mixedfx.results.varcorr import TermCovariance, VarCorr

RNG = np.random.default_rng(7)


def covariance(size):
    root = RNG.normal(size=(size, size))
    return root @ root.T


@pytest.fixture
def varcorr():
    slopes = TermCovariance("Subject", ("Intercept", "Days", "Age"), covariance(3))
    separate = TermCovariance("Subject", ("x", "y"), np.diag([4.0, 9.0]), correlated=False)
    return VarCorr((slopes, separate, TermCovariance("batch:cask", ("Intercept",), np.array([[2.25]]))), 0.25)


def test_frame_has_a_row_a_parameter(varcorr):
    frame = varcorr.to_frame()
    assert list(frame.columns) == ["group", "term1", "term2", "variance", "sd", "corr"]
    assert frame["group"].tolist() == ["Subject"] * 8 + ["batch:cask", "Residual"]
    variances = frame[frame["term2"].isna()]
    np.testing.assert_allclose(variances["sd"] ** 2, variances["variance"], rtol=1e-14)
    assert variances["corr"].isna().all()
    assert variances["term1"].tolist()[:-1] == ["Intercept", "Days", "Age", "x", "y", "Intercept"]
    assert pd.isna(frame["term1"].iloc[-1])
    assert frame["sd"].iloc[-1] == 0.5


def test_covariances_come_column_by_column(varcorr):
    frame, matrix = varcorr.to_frame(), varcorr.terms[0].matrix
    pairs = frame[frame["term2"].notna()]
    named = [("Intercept", "Days"), ("Intercept", "Age"), ("Days", "Age")]
    assert list(zip(pairs["term1"], pairs["term2"])) == named
    np.testing.assert_array_equal(pairs["variance"], matrix[[1, 2, 2], [0, 0, 1]])
    assert pairs["sd"].isna().all()
    sd = np.sqrt(np.diag(matrix))
    np.testing.assert_allclose(pairs["corr"], (matrix / np.outer(sd, sd))[[1, 2, 2], [0, 0, 1]], rtol=1e-14)


def test_terms_of_one_group_are_blocks_of_one_matrix(varcorr):
    subject = varcorr.covariances["Subject"]
    assert list(subject.columns) == list(subject.index) == ["Intercept", "Days", "Age", "x", "y"]
    np.testing.assert_array_equal(subject.iloc[:3, :3], varcorr.terms[0].matrix)
    np.testing.assert_array_equal(subject.iloc[3:, :3], 0)
    assert list(varcorr.covariances) == ["Subject", "batch:cask"]
    np.testing.assert_allclose(np.diag(varcorr.correlations["Subject"]), 1, rtol=1e-14)


def test_table_has_the_lower_triangle_of_correlated_terms_only(varcorr):
    frame = varcorr.summary().tables[0]
    assert list(frame.columns) == ["Variance", "Std. dev.", "Corr. 1", "Corr. 2"]
    assert frame["Corr. 1"].notna().tolist() == [False, True, True, False, False, False, False]
    assert frame.loc[("Subject", "Age"), "Corr. 2"] == pytest.approx(varcorr.terms[0].correlation[2, 1], rel=1e-15)
    assert "Residual" in str(varcorr)
    assert "<caption>Random effects</caption>" in varcorr._repr_html_()


def test_no_correlation_with_what_does_not_vary():
    varcorr = VarCorr.from_terms([("g", ("Intercept", "x"), np.array([[1.0, 0.0], [0.0, 0.0]]))])
    frame = varcorr.to_frame()
    assert np.isnan(frame["corr"].iloc[2])
    assert "Residual" not in set(frame["group"])
    assert [line.split()[-1] for line in str(varcorr).splitlines()[3:5]] == ["1.0000", "—"]


def test_nothing_varies():
    frame = VarCorr(()).to_frame()
    assert len(frame) == 0
    assert frame["variance"].dtype == float
    assert VarCorr(()).covariances == {}


def test_names_and_matrix_must_agree():
    with pytest.raises(ValueError, match="covariance of 2 effects of g"):
        TermCovariance("g", ("a", "b"), np.eye(3))
