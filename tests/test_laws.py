"""Laws that hold for every design: what a change of the data that does not matter must not change.

tests/reliability (SCL-…) has single hard cases of scale; here hypothesis chooses designs and changes.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfx as mfx
from tests.examples import examples

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
FEW = examples(12)
SEEDS = st.integers(0, 10_000)
SLOPES, CROSSED = "y ~ x + f + (1 + x | g)", "y ~ x + f + (1 | g) + (1 | h)"
FORMULAS = st.sampled_from([SLOPES, CROSSED, "y ~ x + f + (1 | g)"])
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def frame(seed: int, groups: int = 8, size: int = 9) -> pd.DataFrame:
    """Groups with an effect large enough that no variance is zero."""
    rng = np.random.default_rng(seed)
    g, n = np.repeat(np.arange(groups), size), groups * size
    h, x = rng.integers(0, 5, n), rng.normal(size=n)
    effects = 2.0 * rng.normal(size=(groups, 2))
    y = 1.0 + 0.5 * x + effects[g, 0] + effects[g, 1] * x + 1.5 * rng.normal(size=5)[h] + rng.normal(size=n)
    f = rng.choice(list("abc"), n)
    return pd.DataFrame({"y": y, "x": x, "f": f, "g": [f"g{i}" for i in g], "h": [f"h{i}" for i in h]})


def deviations(fit) -> np.ndarray:
    return fit.varcorr.to_frame()["sd"].dropna().to_numpy(dtype=float)


def agree(first, second) -> None:
    """The same fixed effects, standard errors, standard deviations and likelihood."""
    assert np.allclose(second.params[first.params.index], first.params, **CLOSE)
    assert np.allclose(second.bse[first.bse.index], first.bse, **CLOSE)
    assert np.allclose(deviations(second), deviations(first), **CLOSE)
    assert second.llf == pytest.approx(first.llf, abs=1e-6)


@FEW
@given(seed=SEEDS, formula=FORMULAS, reml=st.booleans())
def test_the_order_of_the_rows_does_not_matter(seed, formula, reml):
    data = frame(seed)
    fit, other = (mfx.lmer(formula, d, reml=reml) for d in (data, data.sample(frac=1, random_state=seed)))
    agree(fit, other)
    assert np.allclose(other.fittedvalues[fit.fittedvalues.index], fit.fittedvalues, **CLOSE)


@FEW
@given(seed=SEEDS, formula=FORMULAS)
def test_the_names_of_the_groups_do_not_matter(seed, formula):
    data = frame(seed)
    names = np.random.default_rng(seed).permutation(1000)
    renamed = data.assign(g=[int(names[int(g[1:])]) for g in data.g], h=[f"{names[int(h[1:])]}:" for h in data.h])
    agree(mfx.lmer(formula, data), mfx.lmer(formula, renamed))


@FEW
@given(seed=SEEDS, formula=FORMULAS, power=st.integers(-8, 8), offset=st.sampled_from([0.0, 1e3, -1e6]))
def test_shift_and_scale_of_the_response(seed, formula, power, offset):
    data, scale = frame(seed), 10.0**power
    fit = mfx.lmer(formula, data)
    moved = mfx.lmer(formula, data.assign(y=scale * (data.y + offset)))
    expected = scale * (fit.params + np.where(fit.params.index == "Intercept", offset, 0.0))
    assert np.allclose(moved.params / scale, expected / scale, rtol=1e-5, atol=1e-5)
    assert np.allclose(deviations(moved) / scale, deviations(fit), rtol=1e-4, atol=1e-5)
    assert np.allclose(moved.tvalues["x"], fit.tvalues["x"], rtol=1e-4)


@FEW
@given(seed=SEEDS, formula=FORMULAS, power=st.integers(-8, 8), offset=st.sampled_from([0.0, 10.0, -1e6]))
def test_shift_and_scale_of_a_predictor(seed, formula, power, offset):
    data, scale = frame(seed), 10.0**power
    fit = mfx.lmer(formula, data)
    moved = mfx.lmer(formula, data.assign(x=scale * (data.x + offset)))
    assert moved.params["x"] * scale == pytest.approx(fit.params["x"], rel=1e-4, abs=1e-5)
    assert np.allclose(moved.fittedvalues, fit.fittedvalues, rtol=1e-4, atol=1e-4)
    assert moved.sigma == pytest.approx(fit.sigma, rel=1e-5)
    ml = [mfx.lmer(formula, d, reml=False).llf for d in (data, data.assign(x=scale * (data.x + offset)))]
    assert ml[1] == pytest.approx(ml[0], abs=1e-5)


@FEW
@given(seed=SEEDS, formula=FORMULAS, coding=st.sampled_from(["sum", "helmert", "poly", "sdif"]))
def test_the_coding_of_a_factor_does_not_matter_to_the_fit(seed, formula, coding):
    data = frame(seed)
    fit, other = (mfx.lmer(formula, data, reml=False, contrasts=c) for c in (None, {"f": coding}))
    assert other.llf == pytest.approx(fit.llf, abs=1e-6)
    assert np.allclose(other.fittedvalues, fit.fittedvalues, **CLOSE)
    assert np.allclose(deviations(other), deviations(fit), **CLOSE)
    assert other.params["x"] == pytest.approx(fit.params["x"], rel=1e-5, abs=1e-6)


@FEW
@given(seed=SEEDS, entries=st.lists(st.floats(-2, 2), min_size=4, max_size=4), reml=st.booleans())
def test_another_basis_of_the_fixed_effects(seed, entries, reml):
    """``X -> X A``: beta becomes ``A^-1 beta``; minus twice REML's log-likelihood moves by ``2 log|det A|``."""
    A = np.eye(2) * 2.5 + np.array(entries).reshape(2, 2) / 4
    data = frame(seed)
    data["z"] = np.random.default_rng(seed + 1).normal(size=len(data))
    data[["u", "v"]] = data[["x", "z"]].to_numpy() @ A
    fit, other = (mfx.lmer(f"y ~ {names} + (1 | g)", data, reml=reml) for names in ("x + z", "u + v"))
    assert np.allclose(A @ other.params[["u", "v"]], fit.params[["x", "z"]], **CLOSE)
    change = 2 * np.log(abs(np.linalg.det(A))) if reml else 0.0
    assert other.deviance == pytest.approx(fit.deviance + change, abs=1e-5)
    assert np.allclose(deviations(other), deviations(fit), **CLOSE)


@FEW
@given(seed=SEEDS, formula=st.sampled_from(["s ~ x + (1 | g)", "s ~ x + (1 | g) + (1 | h)"]))
def test_a_count_is_so_many_rows_in_binomial_models(seed, formula):
    """k successes of n are n rows of 0 and 1: only the binomial coefficients of the likelihood differ."""
    data, rng = frame(seed), np.random.default_rng(seed)
    data["n"] = rng.integers(1, 5, len(data))
    data["k"] = rng.binomial(data.n, 1 / (1 + np.exp(-data.y / 3)))
    counts = mfx.glmer(formula.replace("s ~", "cbind(k, n - k) ~"), data, family="binomial")
    rows = data.loc[data.index.repeat(data.n)].copy()
    rows["s"] = (rows.groupby(level=0).cumcount() < rows.k).astype(int)
    single = mfx.glmer(formula, rows.reset_index(drop=True), family="binomial")
    assert np.allclose(single.params, counts.params, rtol=1e-4, atol=1e-5)
    assert np.allclose(single.theta, counts.theta, rtol=1e-3, atol=1e-4)


@FEW
@given(seed=SEEDS)
def test_a_weight_is_so_many_rows_in_poisson_models(seed):
    data, rng = frame(seed), np.random.default_rng(seed)
    data["w"], data["c"] = rng.integers(1, 4, len(data)), rng.poisson(np.exp(data.y / 6))
    weighted = mfx.glmer("c ~ x + (1 | g)", data, family="poisson", weights="w")
    repeated = mfx.glmer("c ~ x + (1 | g)", data.loc[data.index.repeat(data.w)], family="poisson")
    assert np.allclose(repeated.params, weighted.params, rtol=1e-4, atol=1e-5)
    assert repeated.llf == pytest.approx(weighted.llf, abs=1e-5)


@FEW
@given(seed=SEEDS)
def test_weights_of_zero_are_no_rows(seed):
    data = frame(seed)
    data["w"] = np.random.default_rng(seed).integers(0, 2, len(data))
    agree(mfx.lmer("y ~ x + (1 | g)", data[data.w > 0]), mfx.lmer("y ~ x + (1 | g)", data, weights="w"))


@FEW
@given(seed=SEEDS)
def test_more_parameters_never_fit_worse(seed):
    data = frame(seed)
    nested = [
        "y ~ 1 + (1 | g)",
        "y ~ x + (1 | g)",
        "y ~ x + (x || g)",
        "y ~ x + (x | g)",
        "y ~ x + f + (x | g) + (1 | h)",
    ]
    llf = [mfx.lmer(formula, data, reml=False).llf for formula in nested]
    assert np.all(np.diff(llf) >= -1e-7)


@FEW
@given(seed=SEEDS, groups=st.integers(3, 9), size=st.integers(2, 7))
def test_balanced_reml_is_the_analysis_of_variance(seed, groups, size):
    rng = np.random.default_rng(seed)
    y = 3.0 * rng.normal(size=(groups, 1)) + rng.normal(size=(groups, size))
    between, within = size * y.mean(1).var(ddof=1), y.var(axis=1, ddof=1).mean()
    fit = mfx.lmer("y ~ 1 + (1 | g)", {"y": y.ravel(), "g": np.repeat(np.arange(groups), size)})
    sds = deviations(fit)
    if between > within:
        assert sds**2 == pytest.approx([(between - within) / size, within], rel=1e-5)
        assert fit.bse["Intercept"] ** 2 == pytest.approx(between / (groups * size), rel=1e-5)
    else:
        assert sds[0] == 0.0


def test_a_variance_of_zero_gives_the_degrees_of_freedom_of_the_model_without_it():
    checked = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        data = pd.DataFrame({"g": np.repeat(np.arange(8), 8), "h": np.tile(np.arange(8), 8), "x": rng.normal(size=64)})
        data["y"] = data.x + rng.normal(size=8)[data.g] + rng.normal(size=64)
        fit = mfx.lmer("y ~ x + (1 | g) + (1 | h)", data)
        if fit.is_singular:
            checked += 1
            assert np.allclose(fit.df, mfx.lmer("y ~ x + (1 | g)", data).df, rtol=1e-5)
    assert checked >= 3


def test_without_any_variance_the_degrees_of_freedom_are_those_of_least_squares():
    data = mfx.load_dataset("dyestuff2")
    fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", data)
    assert fit.is_singular
    assert fit.df["Intercept"] == pytest.approx(len(data) - 1)
