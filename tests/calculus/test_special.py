"""Functions of jets against mpmath (make_reference_values.py), and the arithmetic of jets."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import special as sp

from mixedfx.calculus import gamma_functions, special
from mixedfx.calculus.jets import Jet, constant, seeds, where
from tests.differences import derivative

KEYS = [(), (0,), (0, 0), (0, 0, 0)]
ROWS = json.loads(Path(__file__).with_name("reference_special.json").read_text())


@pytest.mark.parametrize("name", dict.fromkeys(row["function"] for row in ROWS))
def test_values_and_derivatives(name):
    rows = [row for row in ROWS if row["function"] == name]
    (x,), _ = seeds([np.array([float(row["x"]) for row in rows])], [], 3)
    kind, *y = name.split()
    size = 1.0
    with np.errstate(all="ignore"):  # as families call them: both sides of a choice are computed
        if y:  # the terms of a rising factorial are as large as y
            size = 1 + float(y[0])
            result = gamma_functions.log_rising(np.array(float(y[0])), x)
        else:
            result = getattr(gamma_functions if kind == "stirling" else special, kind)(x)
    expected = np.array([row["derivatives"] for row in rows])
    for order, key in enumerate(KEYS):
        assert result.part(key) == pytest.approx(expected[:, order], rel=1e-12, abs=2e-14 * size)


def random_jet(rng, n=4):
    """A jet with every partial derivative, as a polynomial of two variables and a parameter."""
    (a, b), (c,) = seeds([rng.uniform(0.5, 1.5, n), rng.uniform(0.5, 1.5, n)], [np.array(rng.uniform(0.5, 1.5))], 3)
    return (a + b * c) * (a * a + 0.5) + b, (a, b, c)


ONE_ARGUMENT = {
    "exp": (np.exp, np.exp),
    "expm1": (np.expm1, np.expm1),
    "log": (np.log, np.log),
    "log1p": (np.log1p, np.log1p),
    "sqrt": (np.sqrt, np.sqrt),
    "square": (np.square, np.square),
    "negative": (np.negative, np.negative),
    "gammaln": (sp.gammaln, sp.gammaln),
    "expit": (sp.expit, sp.expit),
    "log_expit": (sp.log_expit, sp.log_expit),
    "log_ndtr": (sp.log_ndtr, sp.log_ndtr),
    "power": (lambda x: x**2.5, lambda x: x**2.5),
    "np.power": (lambda x: np.power(x, 3), lambda x: x**3),
    "reciprocal": (lambda x: 2.0 / x, lambda x: 2.0 / x),
    "left": (lambda x: np.array(3.0) - x, lambda x: 3.0 - x),
    "quotient": (lambda x: np.array(3.0) / (x + x * x), lambda x: 3.0 / (x + x * x)),
    "own": (lambda x: x / (1.0 + x), lambda x: x / (1.0 + x)),
    "logaddexp": (lambda x: np.logaddexp(x, 0.3), lambda x: np.logaddexp(x, 0.3)),
    "logaddexp of two": (lambda x: np.logaddexp(0.3, x), lambda x: np.logaddexp(x, 0.3)),
}


@pytest.mark.parametrize("name", ONE_ARGUMENT)
def test_numpy_and_scipy_functions_of_jets(name):
    of_jet, of_array = ONE_ARGUMENT[name]
    at = np.array([0.4, 1.3, 2.2])
    (x,), _ = seeds([at], [], 3)
    result = of_jet(x)
    assert isinstance(result, Jet)
    assert result.value == pytest.approx(of_array(at))
    for order in (1, 2, 3):
        lower = lambda t, key=KEYS[order - 1]: of_jet(seeds([at + t], [], 3)[0][0]).part(key)  # noqa: E731
        assert result.part(KEYS[order]) == pytest.approx(derivative(lower, 0.0, 1e-2), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("far", [-1e3, -1e71])
def test_a_sum_of_exponentials_is_the_larger_one_however_small_the_other_is(far):
    (x, y), _ = seeds([np.array([0.4, -2.0]), np.array([far, far])], [], 1)
    for both in (np.logaddexp(x, y), np.logaddexp(y, x)):
        assert both.value.tolist() == [0.4, -2.0]


def test_mixed_partial_derivatives():
    """Of ``f = a**3 + b c a**2 + 0.5 a + 0.5 b c + b``, by hand."""
    result, (a, b, c) = random_jet(np.random.default_rng(1))
    A, B, C = a.value, b.value, c.value
    by_hand = {
        (): A**3 + B * C * A**2 + 0.5 * A + 0.5 * B * C + B,
        (0,): 3 * A**2 + 2 * A * B * C + 0.5,
        (1,): C * A**2 + 0.5 * C + 1,
        (2,): B * A**2 + 0.5 * B,
        (0, 0): 6 * A + 2 * B * C,
        (0, 1): 2 * A * C,
        (0, 2): 2 * A * B,
        (1, 2): A**2 + 0.5,
        (0, 0, 2): 2 * B,
        (0, 1, 2): 2 * A,
        (1, 1, 2): 0 * A,
    }
    for key, expected in by_hand.items():
        assert result.part(key) == pytest.approx(expected), key
    assert (2, 2) not in result.space
    assert (0, 0, 0) not in result.space


def test_choices_constants_and_selections():
    result, (a, _, _) = random_jet(np.random.default_rng(2))
    mask = np.array([True, False, True, False])
    chosen = where(mask, result, a)
    assert chosen.part((0,)) == pytest.approx(np.where(mask, result.part((0,)), 1.0))
    assert chosen.part((0, 0)) == pytest.approx(np.where(mask, result.part((0, 0)), 0.0))
    flat = constant(np.array([1.0, 2.0, 3.0, 4.0]), a.space)
    assert (result * flat).part((0, 1)) == pytest.approx(result.part((0, 1)) * flat.value)
    assert (a - a).part((0,)) == pytest.approx(np.zeros(4))
    assert result.map(lambda part: part[::2]).part((1, 2)) == pytest.approx(result.part((1, 2))[::2])
    assert repr(a) == "Jet(shape=(4,), parts=[(), (0,)])"


def test_a_function_without_derivatives_is_refused():
    (x,), _ = seeds([np.ones(2)], [], 1)
    with pytest.raises(TypeError, match="sin has no derivatives here"):
        np.sin(x)
    with pytest.raises(TypeError, match="add has no derivatives here"):
        np.add.reduce(x)
