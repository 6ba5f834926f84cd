"""Verdicts of convergence: an optimum is one wherever the search was stopped, and an unbounded likelihood has none."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

SLEEP = "Reaction ~ Days + (Days | Subject)"


def quietly(fit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit()


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("kind", ["lmer", "glmer"])
def test_the_iteration_limit_is_no_failure_where_nothing_is_left_to_gain(steps, kind):
    control = mfx.Control(max_iter=steps)
    if kind == "lmer":
        best = mfx.lmer(SLEEP, mfx.load_dataset("sleepstudy"))
        fit = quietly(lambda: mfx.lmer(SLEEP, mfx.load_dataset("sleepstudy"), control=control))
    else:
        formula, data = "cbind(incidence, size - incidence) ~ period + (1 | herd)", mfx.load_dataset("cbpp")
        best = mfx.glmer(formula, data, family="binomial")
        fit = quietly(lambda: mfx.glmer(formula, data, family="binomial", control=control))
    left = 2 * (best.llf - fit.llf)
    assert fit.converged == (left < 1e-5)
    assert fit.certificate.gap == pytest.approx(left, rel=0.5, abs=1e-9)


def test_a_fit_that_is_cut_before_the_optimum_says_so():
    with pytest.warns(mfx.ConvergenceWarning, match="iteration limit"):
        mfx.lmer(SLEEP, mfx.load_dataset("sleepstudy"), control=mfx.Control(max_iter=0, start=[5.0, 0.0, 5.0]))


@pytest.mark.parametrize("noise", [1e-3, 1e-5, 1e-7])
@pytest.mark.parametrize("seed", range(3))
def test_nearly_collinear_slopes_are_an_ordinary_problem(seed, noise):
    """Turning the columns of a term changes nothing: x and x + noise e span what x and e span."""
    rng = np.random.default_rng(seed)
    g, x, e = np.repeat(np.arange(16), 10), rng.normal(size=160), rng.normal(size=160)
    y = x + rng.normal(size=16)[g] + 0.5 * rng.normal(size=16)[g] * x + rng.normal(size=160)
    data = pd.DataFrame({"y": y, "x": x, "e": e, "x2": x + noise * e, "g": g})
    near = quietly(lambda: mfx.lmer("y ~ x + (x + x2 | g)", data))
    apart = quietly(lambda: mfx.lmer("y ~ x + (x + e | g)", data))
    assert near.converged
    assert near.llf == pytest.approx(apart.llf, abs=1e-4)
    assert near.is_singular == apart.is_singular


def saturated(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    f, g = np.array(list("abcdefgabc")), np.arange(10) % 5
    return pd.DataFrame({"f": f, "g": g, "x": rng.normal(size=10), "y": rng.normal(size=10)})


@pytest.mark.parametrize("seed", range(5))
def test_a_likelihood_without_bound_is_not_certified(seed):
    data = saturated(seed)
    model = mfx.LinearMixedModel("y ~ f + (0 + x | g)", data)
    assert model.objective([1e6], reml=False)[0] < model.objective([1e3], reml=False)[0] - 10
    with pytest.warns(mfx.ConvergenceWarning, match="rises without end"):
        fit = model.fit(reml=False)
    assert not fit.converged


def test_more_effects_than_rows_may_be_right():
    """Crossed effects that outnumber the rows but do not fit them: the likelihood has a maximum."""
    rng = np.random.default_rng(3)
    a, b = np.repeat(np.arange(5), 2), np.tile(np.arange(2), 5)
    data = pd.DataFrame({"a": a, "b": b, "c": np.arange(10) // 4, "y": rng.normal(size=10)})
    fit = quietly(lambda: mfx.lmer("y ~ 1 + (1 | a) + (1 | b) + (1 | c)", data, reml=False))
    assert fit.converged
