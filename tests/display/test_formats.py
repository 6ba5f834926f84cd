"""What formatted numbers must be: true to the number, told from zero, without signs of nothing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx._display import Each, Numbers, OnceOnly, Text, format_count, format_df, format_number, format_p
from mixedfx._display.formats import format_percent, format_text

FINITE = st.floats(-1e308, 1e308)  # beyond, the nearest number of few digits is infinite


@given(FINITE.filter(lambda x: x == 0 or abs(x) > 1e-300), st.integers(2, 6))
def test_numbers_are_written_to_three_digits_at_least(x, digits):
    assert float(format_number(x, digits)) == pytest.approx(x, rel=0.5 * 10.0 ** -(min(digits, 3) - 1))


@given(FINITE, st.floats(1e-8, 1e8))
def test_with_a_standard_error_nothing_of_its_size_is_lost(x, unit):
    assert float(format_number(x, unit=unit)) == pytest.approx(x, abs=0.05 * unit, rel=1e-3)


@given(st.lists(FINITE.filter(lambda x: abs(x) < 1e308), min_size=1, max_size=6))
def test_a_column_is_as_true_as_its_numbers(values):
    for text, x in zip(Numbers()(values), values):
        assert float(text) == pytest.approx(x, rel=0.005, abs=1e-300)


@given(FINITE, st.floats(1e-3, 1e3))
def test_no_number_is_minus_zero(x, unit):
    text = format_number(x, unit=unit)
    assert not text.startswith("-") or float(text) < 0


@pytest.mark.parametrize(
    "x, expected",
    [
        (251.405105, "251.4051"),
        (0.0123456, "0.0123"),
        (0.00123456, "0.00123"),
        (0.000123456, "0.000123"),
        (1.23456e-5, "1.235e-05"),
        (-1234567.891, "-1234567.9"),
        (99999999.0, "99999999"),
        (123456789.0, "1.235e+08"),
        (0.0, "0.0000"),
        (-0.0, "0.0000"),
        (5, "5.0000"),
        (np.float32(0.5), "0.5000"),
        (np.inf, "∞"),
        (-np.inf, "-∞"),
        (np.nan, ""),
        (None, ""),
        (pd.NA, ""),
    ],
)
def test_number(x, expected):
    assert format_number(x) == expected


def test_a_coefficient_far_below_its_error_is_zero_and_one_far_above_keeps_its_digits():
    assert format_number(-3e-14, unit=5.0) == "0.0000"
    assert format_number(1000000251.405, unit=6.8) == "1000000251.4"
    assert format_number(2.5e12, unit=1e11) == "2.500e+12"
    assert format_number(1e-7, unit=np.nan) == "1.000e-07"


@pytest.mark.parametrize(
    "p, expected", [(0.05, "0.050"), (0.0009, "<0.001"), (0.0, "<0.001"), (1.0, "1.000"), (np.nan, "")]
)
def test_p(p, expected):
    assert format_p(p) == expected


@given(st.floats(0, 1, exclude_min=True))
def test_no_positive_p_value_is_written_as_zero(p):
    assert format_p(p).lstrip("<") != "0.000"


def test_degrees_of_freedom_counts_and_shares():
    assert [format_df(df) for df in (17, 323.2345, np.inf, 0.04, np.nan)] == ["17.0", "323.2", "∞", "0.0", ""]
    assert [format_count(n) for n in (180, 180.0, 17.5, np.inf, None)] == ["180", "180", "17.5", "∞", ""]
    assert [format_percent(share) for share in (0.1234, 1, 0.0, np.nan)] == ["12.3%", "100.0%", "0.0%", ""]


def test_columns_share_their_decimals():
    assert Numbers(3)([1.0, 0.0123, 250.0]) == ["1.0000", "0.0123", "250.0000"]
    assert Numbers(3, units=(1.0,))([36.8381, 1e-9]) == ["36.838", "0.000"]


def test_undefined_and_absent_numbers_differ():
    assert Numbers(missing="—")([np.nan, None, 1.0]) == ["—", "", "1.0000"]
    assert Each(format_p, missing="—")([np.nan, 0.5]) == ["—", "0.500"]


def test_names():
    assert Text()(["a\tb", 3, None]) == ["a\\tb", "3", ""]
    assert OnceOnly()(["g", "g", "h", "g"]) == ["g", "", "h", "g"]
    assert format_text("\x1b[31mred\u202e") == "\\x1b[31mred\\u202e"
