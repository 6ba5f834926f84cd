"""A short run of the fuzzer; ``python -m tests.fuzz`` is the long one."""

import warnings

import numpy as np
import pytest

import mixedfx as mfx
from tests.fuzz import frame, pairs, strings

FINE = {"fit", "refused"}


def failures(runs):
    return [f"{what}: {verdict}" for what, verdict in runs if verdict not in FINE]


def test_random_models_end_in_a_fit_or_in_one_of_our_errors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert failures(pairs(150, seed=11)) == []
    assert list(tmp_path.iterdir()) == []


def test_random_strings_are_refused_or_fitted():
    assert failures(strings(300, seed=11)) == []


def test_standard_errors_stay_known_where_a_correlation_belongs_to_no_variance():
    """Found by the fuzzer: the curvature along the correlation is rounding, and it was taken for a saddle."""
    rng = np.random.default_rng([603, 461])
    data = frame(rng).rename(columns={"y": "other"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        fit = mfx.glmer("s ~ I(x^2) + ar1(f | k) + (x | g:h)", data, family="gaussian")
        plain = mfx.glmer("s ~ I(x^2) + (x | g:h)", data, family="gaussian")
    assert fit.converged
    np.testing.assert_allclose(fit.bse, plain.bse, rtol=1e-3)


@pytest.mark.slow
def test_many_random_models_and_strings():
    assert failures(pairs(2500, seed=12)) == []
    assert failures(strings(1500, seed=12)) == []
