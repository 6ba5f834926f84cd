"""How much work a small fit is, in calls of functions: most of its time goes there, not into numbers."""

import pytest

import mixedfx as mfx
from tests.effort import calls

FITS = {
    "dyestuff": ("Yield ~ 1 + (1 | Batch)", 3000),
    "sleepstudy": ("Reaction ~ Days + (Days | Subject)", 4000),
    "penicillin": ("diameter ~ 1 + (1 | plate) + (1 | sample)", 5800),
}  # a sixth above what was measured, as caches of pandas and Python may be cold


@pytest.mark.parametrize("name", FITS)
def test_a_warm_small_fit_makes_few_calls(name):
    (formula, most), data = FITS[name], mfx.load_dataset(name)
    mfx.lmer(formula, data)
    assert calls(mfx.lmer, formula, data) < most
