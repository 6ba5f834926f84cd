"""The studentized range and the largest of correlated t statistics against other integrals and R."""

import numpy as np
import pytest
from scipy import integrate, special, stats

from mixedfx.marginal_means.maxima import (
    largest_statistic_quantile,
    largest_statistic_tail,
    studentized_range_quantile,
    studentized_range_tail,
)

# ptukey(q, k, df, lower = FALSE) of R 4.2.2
PTUKEY = [(3.5, 3, 10.2, 0.0762664708750), (4.0, 100, 35.0, 0.9180889947626), (5.0, 2, 3.0, 0.0384864448534)]


@pytest.mark.parametrize(("q", "k", "df", "tail"), PTUKEY)
def test_studentized_range_agrees_with_r(q, k, df, tail):
    assert studentized_range_tail(np.array([q]), k, df)[0] == pytest.approx(tail, abs=1e-6)


@pytest.mark.parametrize(("q", "k", "df"), [(3.5, 3, 10.2), (2.0, 6, 4.0), (12.0, 4, 1.5), (4.2, 20, 80.0)])
def test_studentized_range_agrees_with_scipy(q, k, df):
    assert studentized_range_tail(np.array([q]), k, df)[0] == pytest.approx(
        stats.studentized_range.sf(q, k, df), abs=1e-7
    )


def test_two_means_are_a_t_test():
    t = np.array([0.3, 1.0, 2.5, 6.0])
    for df in (1.0, 3.7, 50.0, np.inf):
        expected = 2 * stats.t.sf(t, df) if np.isfinite(df) else 2 * stats.norm.sf(t)
        np.testing.assert_allclose(studentized_range_tail(np.sqrt(2) * t, 2, df), expected, atol=1e-10)


@pytest.mark.parametrize("df", [2.0, 14.3, np.inf])
def test_quantile_inverts_the_tail(df):
    q = studentized_range_quantile(0.05, 5, df)
    assert studentized_range_tail(np.array([q]), 5, df)[0] == pytest.approx(0.05, abs=1e-9)


def exchangeable_tail(t, m, rho, df):
    """``P(max |T| > t)`` for equal correlations: given what they share, the statistics are independent."""
    z = np.linspace(-9, 9, 2001)
    s = np.ones(1) if np.isinf(df) else np.linspace(1e-6, 8, 4001)
    shared, apart = np.sqrt(rho) * z, np.sqrt(1 - rho)
    inside = special.ndtr((t * s[:, None] - shared) / apart) - special.ndtr((-t * s[:, None] - shared) / apart)
    given_scale = integrate.simpson(stats.norm.pdf(z) * inside**m, x=z)
    if np.isinf(df):
        return 1 - given_scale[0]
    return 1 - integrate.simpson(stats.chi(df, scale=1 / np.sqrt(df)).pdf(s) * given_scale, x=s)


@pytest.mark.parametrize("m", [2, 4, 9])
@pytest.mark.parametrize(("t", "df"), [(2.3, 12.0), (1.4, np.inf), (3.5, 4.5)])
def test_dunnett_agrees_with_nested_integrals(m, t, df):
    correlation = np.full((m, m), 0.5) + 0.5 * np.eye(m)
    assert largest_statistic_tail(t, correlation, df) == pytest.approx(exchangeable_tail(t, m, 0.5, df), abs=2e-5)


@pytest.mark.parametrize(("t", "df"), [(2.5, 12.0), (1.5, np.inf), (3.2, 5.0)])
def test_all_pairs_of_equal_means_are_tukey(t, df):
    """The correlation of all pairwise differences is singular."""
    i, j = np.triu_indices(5, 1)
    K = (np.eye(5)[i] - np.eye(5)[j]) / np.sqrt(2)
    expected = studentized_range_tail(np.array([np.sqrt(2) * t]), 5, df)[0]
    assert largest_statistic_tail(t, K @ K.T, df) == pytest.approx(expected, abs=5e-5)


def test_independent_statistics_are_sidak():
    tail = largest_statistic_tail(2.0, np.eye(6), np.inf)
    assert tail == pytest.approx(1 - (1 - 2 * stats.norm.sf(2.0)) ** 6, abs=1e-5)


def test_one_sided():
    assert largest_statistic_tail(1.2, np.ones((3, 3)), 8.0, two_sided=False) == pytest.approx(
        stats.t.sf(1.2, 8.0), abs=1e-5
    )


def test_the_same_question_has_the_same_answer():
    correlation = np.full((4, 4), 0.3) + 0.7 * np.eye(4)
    assert largest_statistic_quantile(0.05, correlation, 9.0) == largest_statistic_quantile(0.05, correlation, 9.0)


@pytest.mark.parametrize("df", [1e6, 1e9, 1e12])
def test_studentized_range_of_many_degrees_of_freedom_is_that_of_the_normal_distribution(df):
    q = np.array([1.0, 2.2, 3.5, 6.0])
    many, infinite = studentized_range_tail(q, 5, df), studentized_range_tail(q, 5, np.inf)
    order = 1.0 + q**4 / 16.0  # S has variance 1 / (2 df), the tail falls as exp(-q^2 / 4)
    assert (np.abs(many / infinite - 1.0) <= 2.0 * order / df + 1e-8).all()
