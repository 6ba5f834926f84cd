"""Terms of nearly the same groups: the fit is the highest of the maxima between which their variance can move."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.fitting.starts import exchanged_thetas
from mixedfx.matrices.labels import nearly_same

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")

KINDS = ("nested", "three", "crossed")
FORMULAS = {"nested": "y ~ 1 + (1 | a/b)", "three": "y ~ 1 + (1 | a/b/c)", "crossed": "y ~ 1 + (1 | a) + (1 | b)"}
# Whose usual start ends at the lower of several maxima, and as many that no one has chosen.
KNOWN = {"nested": (11, 49, 60, 65), "three": (10, 19, 87, 94, 115, 135), "crossed": (39, 91, 117)}
SEEDS = {kind: (*known, *range(1000, 1008 - len(known))) for kind, known in KNOWN.items()}
MORE = {kind: range(1008 - len(known), 1020 - len(known)) for kind, known in KNOWN.items()}
STILL_THE_SAME = 1e-6  # relative, of the log-likelihood


def ridge(kind, seed):
    """Levels of which most have one child only (or whose twin in the other factor is themselves), few rows each."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    parents = int(rng.integers(6, 60))
    most = max(1, int(parents * rng.choice([0.03, 0.1, 0.3, 1.0])))
    children = np.concatenate([np.arange(parents), rng.integers(0, parents, int(rng.integers(1, most + 1)))])
    codes = [children, np.arange(children.size)]
    if kind == "three":
        further = rng.integers(0, children.size, int(rng.integers(1, most + 1)))
        own = np.concatenate([np.arange(children.size), further])
        codes = [children[own], own, np.arange(own.size)]
    cells, largest = len(codes[0]), int(rng.integers(2, 8))
    rows = rng.integers(1, largest + 1, cells) if rng.random() < 0.5 else np.full(cells, largest)
    codes = [np.repeat(code, rows) for code in codes]
    if kind == "crossed":
        first, second = codes[0], codes[0].copy()
        count = min(int(rng.integers(1, 4 + first.size // 10)), first.size)
        second[rng.choice(first.size, count, replace=False)] = rng.choice(parents, count)
        codes = [first, second]
    sds = rng.choice([0, 0.3, 0.5, 1, 2], len(codes))
    y = sum(sd * rng.standard_normal(code.max() + 1)[code] for sd, code in zip(sds, codes, strict=True))
    named = {name: [f"{name}{c:03d}" for c in code] for name, code in zip("abc", codes, strict=False)}
    return pd.DataFrame(named | {"y": y + rng.standard_normal(len(codes[0]))})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seeds", [SEEDS, pytest.param(MORE, marks=pytest.mark.slow)], ids=["some", "more"])
def test_no_start_finds_a_higher_maximum_than_the_usual_one(kind, seeds):
    for seed in seeds[kind]:
        data, reml = ridge(kind, seed), bool(seed % 2)
        fit = mfx.lmer(FORMULAS[kind], data, reml=reml)
        several = mfx.lmer(FORMULAS[kind], data, reml=reml, control=mfx.Control(starts=8))
        assert fit.llf >= several.llf - STILL_THE_SAME * abs(several.llf), (kind, seed)
        assert fit.certificate.converged


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_order_of_levels_change_nothing(kind):
    rng = np.random.default_rng(3)
    for seed in KNOWN[kind]:
        data = ridge(kind, seed)
        fit, other = mfx.lmer(FORMULAS[kind], data), data.copy()
        for name in data.columns[:-1]:
            levels = data[name].unique()
            other[name] = data[name].map(dict(zip(levels, rng.permutation(len(levels)).astype(str), strict=True)))
        again = mfx.lmer(FORMULAS[kind], other.sample(frac=1, random_state=1))
        assert again.llf == pytest.approx(fit.llf, rel=1e-9)
        np.testing.assert_allclose(again.theta, fit.theta, atol=1e-4)


def test_the_search_from_parameters_of_the_user_looks_at_the_other_end_too():
    data = ridge("nested", 49)
    fits = [
        mfx.lmer(FORMULAS["nested"], data, reml=False, control=mfx.Control(start=start))
        for start in ([0.0, 2.8], [2.9, 0.0], [2.6, 1.2])
    ]
    assert np.ptp([fit.llf for fit in fits]) < 1e-8


def test_slopes_move_as_intercepts_do():
    rng = np.random.default_rng(8)
    data = ridge("nested", 49)
    data = pd.concat([data] * 3, ignore_index=True)
    data["x"] = rng.standard_normal(len(data))
    data["y"] += data["x"] * rng.standard_normal(data["a"].nunique())[data["a"].astype("category").cat.codes]
    data["y"] += rng.standard_normal(len(data))
    for formula in ("y ~ x + (1 + x || a/b)", "y ~ x + (1 + x | a) + (1 | a:b)"):
        fit = mfx.lmer(formula, data)
        several = mfx.lmer(formula, data, control=mfx.Control(starts=8))
        assert fit.llf >= several.llf - STILL_THE_SAME * abs(several.llf)


def test_only_terms_of_nearly_the_same_groups_are_exchanged():
    pastes = mfx.lmer("strength ~ 1 + (1 | batch/cask)", mfx.load_dataset("pastes"))
    for theta in ([0.0, 1.0], [1.0, 0.0]):
        assert not list(exchanged_thetas(pastes.model.design, np.array(theta)))
    design = mfx.lmer(FORMULAS["nested"], ridge("nested", 49)).model.design
    assert not list(exchanged_thetas(design, np.array([1.0, 1.0])))
    assert not list(exchanged_thetas(design, np.array([0.0, 0.0])))
    (moved,) = exchanged_thetas(design, np.array([0.0, 2.0]))
    assert np.square(moved).sum() == pytest.approx(4.0)
    assert moved[0] > moved[1] > 0


def test_factors_that_are_nearly_the_same():
    one = np.repeat(np.arange(10), 3)
    assert nearly_same(one, one)
    assert nearly_same(one, one[::-1])
    assert not nearly_same(one, np.arange(30))
    assert not nearly_same(one, np.tile(np.arange(10), 3))
