"""Public functions and methods with odd arguments: a short run of ``python -m tests.calls``."""

import inspect

import pytest

from tests.calls import ARGUMENTS, callables, campaign, simple

FREE = {"ax", "axes", "kwargs", "options", "changes", "values"}  # where to draw, and keywords that are passed on


def test_every_parameter_has_values():
    missing = {
        f"{name}({parameter})"
        for name, call in callables(simple()).items()
        for parameter in inspect.signature(call).parameters
        if parameter not in ARGUMENTS and parameter not in FREE and not name.startswith("mfx.plots.")
    }
    assert sorted(missing) == []


@pytest.mark.parametrize("fits", [8, pytest.param(20, marks=pytest.mark.slow)])
def test_random_calls_end_in_a_result_or_in_our_errors(fits):
    assert [f"{what}: {wrong}" for what, wrong in campaign(fits, 8, seed=0) if wrong] == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [101, 102])
def test_many_random_calls(seed):
    assert [f"{what}: {wrong}" for what, wrong in campaign(100, 12, seed) if wrong] == []
