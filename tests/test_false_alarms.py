"""Good fits are not said to be bad; ``python -m tests.false_alarms`` runs all corpora."""

import numpy as np
import pytest

import mixedfx as mfx
from mixedfx.criterion.boundary import curvature_verdict
from tests.false_alarms import Model, judge, models

QUICK = ("bundled data", "R, further families", "catalogue")
CHOSEN = [model for model in models() if model.suite.startswith(QUICK)]


@pytest.mark.parametrize("model", CHOSEN, ids=[f"{model.suite}: {model.name}" for model in CHOSEN])
def test_no_false_alarm(model):
    found = judge(model)
    assert found.end == "quiet", found.why


def test_a_search_that_is_cut_off_is_counted():
    sleep = mfx.load_dataset("sleepstudy")
    cut = mfx.Control(max_iter=1, start=[5.0, 3.0, 0.1])
    model = Model("test", "cut", lambda: mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep, control=cut), -871.8141)
    assert judge(model).end == "missed"


def test_a_negative_curvature_that_no_move_of_a_parameters_size_would_notice_is_flat():
    """Two terms share a variance: rounding of the slope across the valley bends it by 2e-7 (machines, REML)."""
    valley = np.array([1.0, -1.0]) / np.sqrt(2)
    hessian = np.eye(2) - (1 + 2e-7) * np.outer(valley, valley)
    verdict = curvature_verdict(hessian, np.full(2, 1e-9), np.ones(2, dtype=bool), np.ones(2))
    assert (verdict.negative, verdict.flat) == (0, 1)
    saddle = np.eye(2) - (1 + 2e-4) * np.outer(valley, valley)
    assert curvature_verdict(saddle, np.full(2, 1e-9), np.ones(2, dtype=bool), np.ones(2)).negative == 1
