"""How much work a small fit is, in calls of functions: most of its time goes there, not into numbers."""

import pytest

import mixedfx as mfx
from tests.effort import calls

FITS = {
    "dyestuff": ("Yield ~ 1 + (1 | Batch)", 2600),
    "sleepstudy": ("Reaction ~ Days + (Days | Subject)", 3700),
    "penicillin": ("diameter ~ 1 + (1 | plate) + (1 | sample)", 5800),
}  # about a tenth above what was measured


@pytest.mark.parametrize("name", FITS)
def test_a_warm_small_fit_makes_few_calls(name):
    (formula, most), data = FITS[name], mfx.load_dataset(name)
    mfx.lmer(formula, data)
    assert calls(mfx.lmer, formula, data) < most
