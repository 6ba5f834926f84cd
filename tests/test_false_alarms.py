"""Good fits are not said to be bad; ``python -m tests.false_alarms`` runs all corpora."""

import pytest

import mixedfx as mfx
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
