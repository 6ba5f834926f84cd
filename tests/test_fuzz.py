"""A short run of the fuzzer; ``python -m tests.fuzz`` is the long one."""

import pytest

from tests.fuzz import pairs, strings

FINE = {"fit", "refused"}


def failures(runs):
    return [f"{what}: {verdict}" for what, verdict in runs if verdict not in FINE]


def test_random_models_end_in_a_fit_or_in_one_of_our_errors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert failures(pairs(150, seed=11)) == []
    assert list(tmp_path.iterdir()) == []


def test_random_strings_are_refused_or_fitted():
    assert failures(strings(300, seed=11)) == []


@pytest.mark.slow
def test_many_random_models_and_strings():
    assert failures(pairs(2500, seed=12)) == []
    assert failures(strings(1500, seed=12)) == []
