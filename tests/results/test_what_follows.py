"""What follows a fit: every name of it answers or refuses, whatever the order of the rows and the storage."""

import inspect
import pickle
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from tests.calls import agree, outcome, public_functions, reloaded

OF_PATHS = {"load_cross_products"}
INNER = {"fit", "model", "estimates", "sets", "plot", "workers", "layout", "strata_estimates"}
INNER |= {"responses", "profiles", "parts", "refits"}


def made():
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"s": np.repeat([f"s{k}" for k in range(6)], 6), "A": np.tile(["a"] * 3 + ["b"] * 3, 6)})
    data["t"], data["x"] = np.tile(np.arange(6), 6), rng.normal(size=36)
    data["y"] = 1 + 0.5 * (data["A"] == "b") + 0.3 * data["x"] + np.repeat(rng.normal(size=6), 6)
    data["y"] += 0.5 * rng.normal(size=36)
    return data.assign(c=rng.poisson(np.exp(0.3 * data["y"])), z=data["y"] + rng.normal(size=36))


def linear(data):
    return mfx.lmer("y ~ x + (1 | s)", data)


FITS = {
    "linear": linear,
    "singular": lambda data: mfx.lmer("z ~ x + (x | s)", data),
    "AR1": lambda data: mfx.lmer("y ~ x + (1 | s)", data, residual=mfx.AR1("t", group="s")),
    "Poisson": lambda data: mfx.glmer("c ~ x + (1 | s)", data, family="poisson"),
}
AFTER = {
    "influence": lambda fit, data: fit.influence("s"),
    "profile": lambda fit, data: fit.profile(),
    "bootstrap": lambda fit, data: fit.bootstrap(3, seed=1),
    "refit_many": lambda fit, data: fit.refit_many(data[["c", "t"]]),
}
ALONE = {
    "aov of strata": lambda data: mfx.aov("y ~ A + Error(s / A)", data),
    "aov of rows": lambda data: mfx.aov("y ~ A * x", data),
    "mean squares": lambda data: mfx.mean_squares("y ~ A + (1 | s) + (1 | s:A)", data),
    "one way": lambda data: mfx.mean_squares("y ~ (1 | s)", data),
}
MADE = made()
ORDER = np.random.default_rng(0).permutation(len(MADE))
KINDS = [(what, kind) for what in AFTER for kind in FITS if what != "profile" or kind == "linear"]
KINDS += [(what, "") for what in ALONE]
pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")


def followed(what, kind, data):
    return AFTER[what](FITS[kind](data), data) if kind else ALONE[what](data)


def needs_no_more(call, given=0):
    parameters = list(inspect.signature(call).parameters.values())[given:]
    return all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)


def answer(found, name):
    value = getattr(found, name)
    return value() if callable(value) and needs_no_more(value) else value


def asked(found):
    """What every public name answers, and what is wrong and shown."""
    values, told = {}, {}
    for name in (name for name in dir(found) if not name.startswith("_")):
        told[name] = outcome(lambda name=name: values.setdefault(name, answer(found, name)))[:2]
    plt.close("all")
    return values, told


def alike(one, other):
    """Whether two answers are the same, to what searches leave."""
    if isinstance(one, dict):
        return set(one) == set(other) and all(alike(one[key], other[key]) for key in one)
    if hasattr(one, "to_frame") and not isinstance(one, pd.Series | pd.Index):
        return alike(one.to_frame(), other.to_frame())
    if isinstance(one, pd.DataFrame):
        return one.columns.equals(other.columns) and all(
            alike(one.iloc[:, k], other.iloc[:, k]) for k in range(one.shape[1])
        )
    numeric = isinstance(one, float | np.ndarray) or (isinstance(one, pd.Series) and pd.api.types.is_numeric_dtype(one))
    if not numeric:
        return str(one) == str(other)
    same_rows = not isinstance(one, pd.Series) or one.index.equals(other.index)
    return same_rows and np.allclose(
        np.asarray(one, float), np.asarray(other, float), rtol=1e-4, atol=1e-5, equal_nan=True
    )


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: " of ".join(filter(None, kind)))
def kind(request):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        found = followed(*request.param, MADE)
        return *request.param, found, *asked(found)


def assert_alike(told, other):
    found = asked(other)[1]
    assert [name for name in set(told) - INNER if not agree(told[name][1], found[name][1])] == []


def test_every_name_answers_or_refuses(kind):
    assert {name: wrong for name, (wrong, _) in kind[-1].items() if wrong} == {}


@pytest.mark.parametrize(
    "what", [("influence", "linear"), ("bootstrap", "linear"), ("refit_many", "Poisson"), *KINDS[-4:-1]]
)
def test_every_function_answers_or_refuses(what):
    """Also one that is for something else."""
    found, wrong = followed(*what, MADE), {}
    for name, function in public_functions().items():
        if name not in OF_PATHS and needs_no_more(function, 1):
            wrong[name] = outcome(lambda function=function: function(found))[0]
            plt.close("all")
    assert {name: words for name, words in wrong.items() if words} == {}


def test_the_order_of_the_rows_does_not_matter(kind):
    what, of, _, values, _ = kind
    if what == "bootstrap":
        return  # whose draws go to the rows in turn
    other = followed(what, of, MADE.iloc[ORDER])
    assert [name for name in set(values) - INNER if not alike(values[name], answer(other, name))] == []


def test_a_copy_from_a_pickle_is_the_same(kind):
    assert_alike(kind[-1], pickle.loads(pickle.dumps(kind[2])))


def test_what_follows_a_fit_from_a_file_is_the_same(kind):
    what, of, *_, told = kind
    if of:
        assert_alike(told, AFTER[what](reloaded(FITS[of](MADE)), MADE))
