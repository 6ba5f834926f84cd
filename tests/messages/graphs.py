"""Graphs: cycles, nodes that are not there, sets that overlap, sizes beyond a picture or a list."""

from typing import Any

import numpy as np

import mixedfx as mfx
from mixedfx import SpecificationError, _libraries
from tests.messages.helpers import MODEL, Case, data

S = SpecificationError


def dag() -> mfx.Graph:
    return mfx.Graph([("x", "w"), ("x", "y")])


def star(n: int) -> mfx.Graph:
    return mfx.Graph([("centre", f"v{i}") for i in range(n)])


def without_networkx() -> Any:
    module = _libraries.import_module
    _libraries.import_module = lambda name: (_ for _ in ()).throw(ImportError(name))  # type: ignore[assignment]
    try:
        return dag().independent("w", "y")
    finally:
        _libraries.import_module = module


CASES: dict[str, Case] = {
    "a cycle": (lambda: mfx.Graph([("a", "b"), ("b", "c"), ("c", "a")]), S, ("'a' → 'b' → 'c' → 'a'", "leave one")),
    "its own parent": (lambda: mfx.Graph([("a", "a")]), S, ("'a' → 'a'",)),
    "a determined node that is not there": (lambda: mfx.Graph([("a", "b")], ["m"]), S, ("deterministic", "'m'", "'a'")),
    "a node that is not there": (lambda: dag().independent("w", "q", "x"), S, ("b: ", "'q'", "'w'")),
    "a node that is misspelt": (
        lambda: mfx.graph(MODEL, data()).markov_blanket("b[h]"),
        S,
        ("'b[h]'", "did you mean 'b[g]'"),
    ),
    "both sides": (lambda: dag().independent(["w", "x"], ["y", "w"]), S, ("'w'", "in a and in b")),
    "a side that is given": (lambda: dag().independent("w", "y", ["x", "y"]), S, ("'y'", "in b and in given")),
    "no side": (lambda: dag().independent([], "y"), S, ("a names no node",)),
    "a graph of a formula without data": (lambda: mfx.graph("y ~ x + (1 | g)"), S, ("graph('y ~ x + (1 | g)', data)",)),
    "data for a model": (
        lambda: mfx.graph(mfx.LinearMixedModel(MODEL, data()), data()),
        S,
        ("data belongs to a formula", "graph(fit)"),
    ),
    "a picture of too much": (lambda: star(200).plot(), S, ("201 nodes", "view='plates'")),
    "a list of too much": (lambda: star(1500).implied_independencies(), S, ("1,501 nodes", "nodes=[…]")),
    "an unrolled graph of too much": (
        lambda: mfx.graph(
            "y ~ x + (1 | g)",
            {"y": np.arange(70_000) % 7.0, "x": np.arange(70_000) % 11.0, "g": np.arange(70_000) % 9},
            view="unrolled",
        ),
        S,
        ("210,012 nodes", "view='plates'"),
    ),
    "the elimination of edges": (lambda: dag().elimination(), S, ("elimination()", "mfx.graph(fit)")),
    "the components of edges": (lambda: dag().components(), S, ("components()", "made of edges")),
    "another view": (lambda: mfx.graph(MODEL, data(), view="plate"), S, ("'plate'", "'plates'")),
    "something else that is constant": (lambda: mfx.graph(MODEL, data(), constant="beta"), S, ("'beta'", "predictors")),
    "no networkx": (without_networkx, S, ("independent", "networkx", "pip install 'mixedfx[graph]'")),
}
