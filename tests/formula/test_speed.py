"""A formula costs microseconds: the best of several runs, so that a busy machine does not matter."""

import time

from mixedfx.formula import parse

FORMULA = "Reaction ~ Days + (Days | Subject)"
COLUMNS = ["Reaction", "Days", "Subject"]


def best(run, repeats):
    times = []
    for number in range(repeats):
        start = time.perf_counter()
        run(number)
        times.append(time.perf_counter() - start)
    return min(times)


def test_a_repeated_formula_costs_nothing():
    assert best(lambda number: parse(FORMULA, columns=COLUMNS), 200) < 50e-6


def test_a_new_formula_costs_less_than_a_millisecond():
    assert best(lambda number: parse(FORMULA + " " * number + "+ x", columns=[*COLUMNS, "x"]), 200) < 1e-3
