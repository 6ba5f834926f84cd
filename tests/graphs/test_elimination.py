"""Predicted fill and components against the engine's own arrays and against eliminating node by node."""

import warnings
from itertools import combinations
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfx as mfx
from mixedfx.linalg.factor import factorize
from mixedfx.linalg.gram import cross_products
from tests.examples import examples

SALAMANDER = Path(mfx.__file__).parents[2] / "shared" / "reference" / "hierarchical" / "data" / "salamander.csv"


@st.composite
def designs(draw, rows=40):
    """Random nested and crossed factors with one or two coefficients."""
    n = draw(st.integers(12, rows))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    m = draw(st.integers(2, 6))
    a = np.concatenate([np.arange(m), rng.integers(0, m, n - m)])
    frame = {"y": rng.normal(size=n), "x": rng.normal(size=n), "a": a, "b": rng.integers(0, 3, n)}
    frame |= {"c": rng.permutation(np.arange(n) % draw(st.integers(2, 8))), "d": np.arange(n) % draw(st.integers(2, 5))}
    terms = st.sampled_from(
        ["(1 | a)", "(x | a)", "(1 | a:b)", "(x | a:b)", "(1 | c)", "(x | c)", "(1 | d)", "(1 | a:b:c)"]
    )
    chosen = draw(st.lists(terms, min_size=1, max_size=4, unique_by=lambda t: t.partition("| ")[2]))
    return "y ~ 1 + " + " + ".join(chosen), pd.DataFrame(frame)


def model_of(formula, frame):
    """The model as it is written: what is not identified stays, as it concerns numbers and not patterns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return mfx.LinearMixedModel(formula, frame)
        except (mfx.SpecificationError, mfx.DataError):
            return None


def engine(model):
    """The factorised equations of a model at the identity."""
    rows = model._problem().assembly.rows
    return factorize(cross_products(rows), [np.eye(size) for size in rows.layout.sizes]), rows.layout


def numbers_kept(factor):
    total = sum(k.size for k in factor.k) + sum(block.size for block in factor.chain.values())
    total += sum(cross.values.size for cross in factor.cross)
    rest = factor.remainder
    if rest is None:
        return total
    steps = getattr(rest, "steps", ())
    return total + rest.root.size + sum(step.l.size + step.d.size for step in steps)


def eliminated(model, layout):
    """Edges before and after, by joining the neighbours of one effect after the other; the core is joined at once."""
    random = list({t.group: t for t in model.design.random}.values())
    terms = [random[f] for f in layout.order]
    n = len(terms[0].codes)
    rows = [[(f, int(t.codes[i]), a) for f, t in enumerate(terms) for a in range(layout.sizes[f])] for i in range(n)]
    graph = nx.Graph()
    for row in rows:
        graph.add_nodes_from(row)
        graph.add_edges_from(combinations(row, 2))
    before = graph.number_of_edges()
    order = [(f, j, a) for f in layout.chain for j in range(layout.levels[f]) for a in range(layout.sizes[f])]
    column = {
        int(layout.span(f).start + a * layout.levels[f] + j): (f, j, a)
        for f in layout.remainder
        for a in range(layout.sizes[f])
        for j in range(layout.levels[f])
    }
    if layout.n_remainder and layout.plan is not None:
        order += [column[int(i)] for stage in layout.plan.rounds for i in stage.nodes]
    edges = multiplications = 0
    for node in order:
        around = list(graph[node])
        edges += len(around)
        multiplications += len(around) * (len(around) + 1) // 2
        graph.add_edges_from(combinations(around, 2))
        graph.remove_node(node)
    core = graph.number_of_nodes()
    return before, edges + core * (core - 1) // 2, multiplications + (core - 1) * core * (core + 1) // 6


@examples(60)
@given(designs())
def test_the_prediction_is_what_the_engine_does(case):
    model = model_of(*case)
    if model is None or not model.design.random:
        return
    predicted = mfx.graph(model).elimination()
    factor, layout = engine(model)
    assert predicted.stored == numbers_kept(factor)
    assert len(predicted.order) == layout.n_chain
    before, after, multiplications = eliminated(model, layout)
    assert predicted.nonzeros == predicted.effects + before
    assert predicted.factor == predicted.effects + after
    assert predicted.fill == after - before >= 0
    assert predicted.multiplications == multiplications


@examples(30)
@given(designs())
def test_the_numeric_factor_has_no_entry_that_was_not_predicted(case):
    """Dense Cholesky of the equations in the engine's order: the chain's columns have exactly the predicted entries."""
    model = model_of(*case)
    if model is None or not model.design.random:
        return
    predicted = mfx.graph(model).elimination()
    _, layout = engine(model)
    random = list({t.group: t for t in model.design.random}.values())
    rng = np.random.default_rng(0)
    blocks = []
    for f in layout.order:
        term = random[f]
        q, n = layout.sizes[layout.order.index(f)], len(term.codes)
        z = np.zeros((n, term.n_levels, q))
        z[np.arange(n), term.codes] = rng.uniform(0.5, 1.5, (n, q))
        blocks.append(z.reshape(n, -1))
    z = np.concatenate(blocks, axis=1)
    root = np.linalg.cholesky(z.T @ z + np.eye(z.shape[1]))
    found = int(np.sum(np.abs(root) > 1e-10))
    chain = sum(layout.levels[f] * layout.sizes[f] for f in layout.chain)
    exact = int(np.sum(np.abs(root[:, :chain]) > 1e-10))
    rest = z.shape[1] - chain
    if layout.n_remainder == 0 or layout.plan is None:
        assert predicted.factor == exact + rest * (rest + 1) // 2
    assert found <= predicted.factor


def large(seed=1, m=700, k=500):
    """Two crossed factors so large and sparse that the remainder is eliminated in rounds."""
    rng = np.random.default_rng(seed)
    n = 1600
    frame = {"y": rng.normal(size=n), "a": np.arange(n) % m, "b": rng.integers(0, k, n), "x": rng.normal(size=n)}
    return pd.DataFrame(frame)


def test_a_sparse_remainder_is_predicted_too():
    model = mfx.LinearMixedModel("y ~ x + (1 | a) + (1 | b)", large())
    predicted = mfx.graph(model).elimination()
    factor, layout = engine(model)
    assert layout.plan is not None
    assert predicted.stored == numbers_kept(factor)
    before, after, multiplications = eliminated(model, layout)
    assert (predicted.nonzeros, predicted.factor) == (predicted.effects + before, predicted.effects + after)
    assert predicted.multiplications == multiplications
    assert predicted.fill > 0


def test_nested_factors_never_fill():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 5, 200)
    frame = pd.DataFrame(
        {"y": rng.normal(size=200), "a": a, "b": rng.integers(0, 4, 200), "c": rng.integers(0, 3, 200)}
    )
    found = mfx.graph("y ~ 1 + (1 | a/b/c)", frame).elimination()
    assert found.fill == 0
    assert found.remainder == ()
    assert found.order == ("a:b:c", "a:b", "a")
    assert found.multiplications < 10 * found.effects


@pytest.mark.parametrize("remainder, word", [("auto", False), ("exact", False), ("iterative", True)])
def test_the_choice_of_iteration_is_that_of_the_fit(remainder, word):
    control = mfx.Control(remainder=remainder, probes=4)
    model = mfx.LinearMixedModel("y ~ x + (1 | a) + (1 | b)", large())
    found = mfx.graph(model).elimination(control)
    assert found.iterative is word
    assert model._prepared(True, control.most_exact).assembly.rows.layout.is_operator is word
    nested = mfx.graph("y ~ x + (1 | a)", large()).elimination(control)
    assert nested.iterative is False


@pytest.mark.slow
def test_iteration_is_foreseen_where_the_fit_would_choose_it():
    rng = np.random.default_rng(3)
    n = 90_000
    frame = pd.DataFrame({"y": rng.normal(size=n), "a": np.arange(n) % 20_000, "b": rng.integers(0, 13_000, n)})
    model = mfx.LinearMixedModel("y ~ 1 + (1 | a) + (1 | b)", frame)
    found = mfx.graph(model).elimination()
    assert found.iterative
    assert found.iterative == model._prepared(True).assembly.rows.layout.is_operator
    assert "solved by iteration" in str(found)


# ------------------------------------------------------------------ components
@examples(30)
@given(designs())
def test_components_are_those_of_the_moral_graph_given_the_data(case):
    model = model_of(*case)
    if model is None or not model.design.random:
        return
    parts = mfx.graph(model).components()
    random = list({t.group: t for t in model.design.random}.values())
    graph = nx.Graph()
    for i in range(len(random[0].codes)):
        nodes = [(t.group, t.levels[t.codes[i]]) for t in random]
        nx.add_path(graph, [*nodes, ("row", i)])
    want = list(nx.connected_components(graph))
    assert len(parts) == len(want)
    found = [{(t.group, level) for t in random for level in row[t.group]} for _, row in parts.iterrows()]
    assert sorted(map(len, found)) == sorted(len({n for n in c if n[0] != "row"}) for c in want)
    assert all({n for n in c if n[0] != "row"} in found for c in want)
    assert parts["rows"].sum() == len(model.design.index)
    assert parts["effects"].sum() == model.exog_re.shape[1]


def test_components_given_the_data_are_separated_in_the_unrolled_graph():
    rng = np.random.default_rng(0)
    block = np.repeat([0, 1], 8)
    frame = pd.DataFrame(
        {"y": rng.normal(size=16), "f": block * 2 + np.arange(16) % 2, "g": block * 3 + np.arange(16) % 3}
    )
    dag = mfx.graph("y ~ 1 + (1 | f) + (1 | g)", frame, view="unrolled")
    parts = dag.components()
    assert list(parts["effects"]) == [5, 5]
    names = [[f"b[{group}: {level}]" for group in ("f", "g") for level in row[group]] for _, row in parts.iterrows()]
    rows = [name for name in dag.nodes if name.startswith("y[")]
    assert dag.independent(*names, given=rows)
    assert not dag.independent(names[0][:1], names[0][-1:], rows)


def test_correlated_levels_and_residuals_join():
    frame = pd.DataFrame(
        {"y": np.arange(12.0) ** 1.5, "g": np.repeat(list("abcd"), 3), "t": list(range(6)) * 2, "k": [0] * 6 + [1] * 6}
    )
    related = pd.DataFrame(np.eye(4), list("abcd"), list("abcd"))
    related.loc["a", "b"] = related.loc["b", "a"] = 0.3
    known = mfx.graph("y ~ 1 + known(1 | g, A)", frame, functions={"A": related})
    assert list(known.components()["g"]) == [("a", "b"), ("c",), ("d",)]
    serial = mfx.graph("y ~ 1 + (1 | k)", frame, residual=mfx.AR1("t", group="k"))
    assert len(serial.components()) == 2
    assert known.elimination().order == ()


@pytest.mark.skipif(not SALAMANDER.exists(), reason="the reference data are not beside the project")
def test_salamanders_are_six_closed_groups():
    """Females and males of the mating experiment: six blocks of ten by ten."""
    data = pd.read_csv(SALAMANDER)
    parts = mfx.graph("Mate ~ 1 + (1 | Female) + (1 | Male)", data, family="binomial").components()
    assert list(parts["effects"]) == [20] * 6
    assert {len(levels) for group in ("Female", "Male") for levels in parts[group]} == {10}


def test_groups_of_one_factor_are_apart():
    data = mfx.load_dataset("sleepstudy")
    parts = mfx.graph("Reaction ~ Days + (Days | Subject)", data).components()
    assert len(parts) == 18
    assert set(parts["effects"]) == {2}
    assert set(parts["rows"]) == {10}
