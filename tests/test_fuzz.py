"""A short run of the fuzzer; ``python -m tests.fuzz`` is the long one."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

import mixedfx as mfx
from tests.fuzz import frame, pairs, strings, verdict

FINE = {"fit", "refused"}


def failures(runs):
    return [f"{what}: {verdict}" for what, verdict in runs if verdict not in FINE]


@pytest.mark.parametrize("seed", [11, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (12, 13))])
def test_random_models_end_in_a_fit_or_in_one_of_our_errors(seed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert failures(pairs(30, seed=seed)) == []
    assert list(tmp_path.iterdir()) == []


def test_random_calls_follow_random_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert failures(pairs(20, seed=13, n_calls=2)) == []
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


FOUND = {  # by the long run, and mended
    (7001, 7764): ("I(y * 2) ~ (x + z)^2 + (x | h) + ar1(poly(x, 2) | g/h)", None),
    (7001, 11531): ("I(y * 2) ~ z + toep(f | g/h)", "beta"),
    (7001, 18947): ("log(p) ~ toep(x | g/h/k) + (1 | g/h)", None),
    (8002, 6672): ("y ~ np.exp(z) + log(p) + cs(x:z | g:h)", "student_t"),
}


@pytest.mark.parametrize("seed", FOUND)
def test_what_the_long_run_found(seed):
    data, (formula, family) = frame(np.random.default_rng(seed)), FOUND[seed]
    calls = [lambda: mfx.glmer(formula, data, family=family)] if family else []
    calls = calls or [lambda reml=reml: mfx.lmer(formula, data, reml=reml) for reml in (True, False)]
    assert {verdict(call) for call in calls} <= FINE


def test_a_fit_whose_curvature_is_lost_in_rounding_is_not_certain():
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    lost = replace(fit.certificate, unseen=("Days",))
    assert not lost.converged
    assert "in Days is lost in rounding" in str(lost)


@pytest.mark.slow
def test_many_random_models_and_strings():
    assert failures(pairs(2500, seed=12, n_calls=1)) == []
    assert failures(strings(1500, seed=12)) == []
