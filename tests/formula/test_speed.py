"""What a formula costs, in calls of functions."""

from mixedfx.formula import parse
from tests.effort import calls

FORMULA = "Reaction ~ Days + (Days | Subject)"
COLUMNS = ["Reaction", "Days", "Subject"]


def test_a_repeated_formula_costs_nothing():
    parse(FORMULA, columns=COLUMNS)
    assert calls(lambda: parse(FORMULA, columns=COLUMNS)) < 60


def test_a_new_formula_costs_little():
    parse(FORMULA, columns=COLUMNS)
    assert calls(lambda: parse(FORMULA + " + x", columns=[*COLUMNS, "x"])) < 2000
