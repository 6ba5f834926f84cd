"""Graphs of edges: d-separation against partial covariances, moral graphs, text that is drawn elsewhere."""

import json
import pickle
import re
from itertools import combinations
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfx as mfx

# Three graphs with their queries, by networkx and by exact partial covariances of linear Gaussian models.
REFERENCE = json.loads(Path(__file__).with_name("dag_results.json").read_text(encoding="utf-8"))
QUERIES = [
    (name, q["x"], q["y"], tuple(q["given"]), q["independent"])
    for name in REFERENCE
    for q in REFERENCE[name]["queries"]
]


@pytest.mark.parametrize("name, x, y, known, truth", QUERIES)
def test_every_query_of_the_reference(name, x, y, known, truth):
    dag = mfx.Graph(REFERENCE[name]["edges"])
    assert dag.independent(x, y, known) is truth
    assert dag.independent(y, x, known) is truth


@pytest.mark.parametrize("name", REFERENCE)
def test_blankets_and_moral_graph_of_the_reference(name):
    case = REFERENCE[name]
    dag = mfx.Graph(case["edges"])
    assert {node: sorted(dag.markov_blanket(node)) for node in dag.nodes} == case["markov_blankets"]
    assert sorted(sorted(edge) for edge in dag.moral().edges) == case["moral_graph_edges"]


# ------------------------------------------------------------------ laws
@st.composite
def dags(draw, most=7):
    """Edges from earlier to later nodes, the names shuffled, and the nodes without noise of their own."""
    n = draw(st.integers(2, most))
    names = draw(st.permutations([f"v{i}" for i in range(n)]))
    pairs = list(combinations(range(n), 2))
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=len(pairs)))
    inner = sorted({j for _, j in chosen})
    fixed = draw(st.lists(st.sampled_from(inner), unique=True)) if inner else []
    edges = draw(st.permutations([(names[i], names[j]) for i, j in chosen]))
    return names, edges, [names[j] for j in fixed]


def covariance(dag, seed=0):
    """Of a linear Gaussian model on the graph with generic weights; deterministic nodes have no noise."""
    rng, at = np.random.default_rng(seed), {name: i for i, name in enumerate(dag.nodes)}
    weights = np.zeros((len(at), len(at)))
    for tail, head in dag.edges:
        weights[at[head], at[tail]] = rng.uniform(0.6, 1.4) * rng.choice([-1.0, 1.0])
    noise = np.array([0.0 if name in dag.deterministic else rng.uniform(0.5, 1.5) for name in dag.nodes])
    total = np.linalg.inv(np.eye(len(at)) - weights)
    return total @ np.diag(noise) @ total.T, at


def partial(cov, i, j, known):
    known = list(known)
    block = np.linalg.pinv(cov[np.ix_(known, known)], rcond=1e-10)
    inside = cov[np.ix_([i, j], [i, j])] - cov[np.ix_([i, j], known)] @ block @ cov[np.ix_(known, [i, j])]
    return abs(inside[0, 1])


@given(dags(), st.data())
def test_independent_says_what_partial_covariances_say(case, data):
    names, edges, _ = case
    dag = mfx.Graph(edges, nodes=names)
    cov, at = covariance(dag)
    for a, b in combinations(names, 2):
        known = data.draw(st.sets(st.sampled_from(names))) - {a, b}
        zero = partial(cov, at[a], at[b], [at[name] for name in known]) < 1e-9
        assert dag.independent(a, b, known) == dag.independent(b, a, known) == zero


@given(dags(), st.data())
def test_what_determined_nodes_separate_is_uncorrelated(case, data):
    names, edges, fixed = case
    dag = mfx.Graph(edges, fixed, nodes=names)
    plain = mfx.Graph(edges, nodes=names)
    cov, at = covariance(dag)
    for a, b in combinations(names, 2):
        known = data.draw(st.sets(st.sampled_from(names))) - {a, b}
        if dag.independent(a, b, known):
            assert partial(cov, at[a], at[b], [at[name] for name in known]) < 1e-8
        else:  # determinism only adds independences
            assert not plain.independent(a, b, known)


@given(dags())
def test_a_set_is_independent_where_all_of_it_is(case):
    names, edges, fixed = case
    dag = mfx.Graph(edges, fixed, nodes=names)
    first, rest = list(names[:2]), list(names[2:])
    if rest:
        each = [dag.independent(a, b) for a in first for b in rest]
        assert dag.independent(first, rest) == dag.independent(rest, first) == all(each)


@given(dags())
def test_given_its_blanket_a_node_is_independent_of_the_rest(case):
    names, edges, _ = case
    dag = mfx.Graph(edges, nodes=names)
    for node in names:
        blanket = dag.markov_blanket(node)
        assert blanket == set(dag.moral()[node])
        rest = set(names) - blanket - {node}
        assert not rest or dag.independent(node, rest, blanket)
        assert all(not dag.independent(node, one, blanket - {one}) for one in blanket)


@given(dags())
def test_the_list_of_independences_has_each_pair_without_an_edge(case):
    names, edges, _ = case
    dag = mfx.Graph(edges, nodes=names)
    found = dag.implied_independencies()
    joined = {frozenset(edge) for edge in edges}
    assert {frozenset((s.a, s.b)) for s in found} == {frozenset(p) for p in combinations(names, 2)} - joined
    for statement in found:
        assert dag.independent(statement.a, statement.b, statement.given)
        for name in statement.given:
            assert not dag.independent(statement.a, statement.b, set(statement.given) - {name})


@given(dags(), st.data())
def test_the_list_among_some_nodes_names_these_alone_and_holds(case, data):
    names, edges, fixed = case
    dag = mfx.Graph(edges, fixed, nodes=names)
    seen = data.draw(st.sets(st.sampled_from(names)))
    for statement in dag.implied_independencies(seen):
        assert {statement.a, statement.b, *statement.given} <= seen
        assert dag.independent(statement.a, statement.b, statement.given)
        assert not {statement.a, statement.b} & dag.determined(statement.given)


@given(dags())
def test_the_collapsed_graph_has_the_covariances_of_its_nodes(case):
    """Random nodes are separated without the deterministic ones as they are with them."""
    names, edges, fixed = case
    dag = mfx.Graph(edges, fixed, nodes=names)
    small = dag.collapsed()
    assert set(small.nodes) == set(names) - set(fixed)
    for a, b in combinations(small.nodes, 2):
        for known in [(), *((name,) for name in small.nodes if name not in (a, b))]:
            if small.independent(a, b, known):
                assert dag.independent(a, b, known)


@given(dags())
def test_order_of_edges_does_not_matter_and_parents_come_first(case):
    names, edges, fixed = case
    dag, other = mfx.Graph(edges, fixed, nodes=names), mfx.Graph(edges[::-1], fixed, nodes=names)
    place = {name: i for i, name in enumerate(dag.nodes)}
    assert all(place[tail] < place[head] for tail, head in edges)
    assert dag.nodes == mfx.Graph(edges + edges, fixed, nodes=names).nodes
    assert sorted(other.edges) == sorted(dag.edges)
    assert nx.utils.graphs_equal(dag.to_networkx(), other.to_networkx())


# ------------------------------------------------------------------ deterministic nodes
def test_what_its_parents_determine_counts_as_given():
    dag = mfx.Graph([("a", "m"), ("b", "m"), ("m", "y"), ("m", "z")], deterministic=["m"])
    assert dag.independent("y", "z", ["a", "b"])
    assert not dag.independent("y", "z", "a")
    assert dag.independent("m", "y", ["a", "b"])  # a constant then
    assert dag.determined(["a", "b"]) == {"a", "b", "m"}
    assert not mfx.Graph(dag.edges).independent("y", "z", ["a", "b"])


def test_a_constant_is_independent_of_everything():
    dag = mfx.Graph([("theta", "a"), ("theta", "b")], deterministic="theta")
    assert dag.independent("theta", "a")
    assert dag.independent("a", "b")
    assert dag.determined() == {"theta"}
    assert [str(s) for s in dag.implied_independencies()] == ["a ⟂ b"]


def test_functions_of_functions_are_determined():
    dag = mfx.Graph([("a", "m"), ("m", "t"), ("t", "y"), ("t", "z")], deterministic=["t", "m"])
    assert dag.independent("y", "z", "a")
    assert dag.collapsed().edges == (("a", "y"), ("a", "z"))


# ------------------------------------------------------------------ text
ODD = [
    'a "b"',
    "back\\slash",
    "ends in \\",
    "two\nlines",
    "τ² ≥ 0",
    "<b>&amp;</b>",
    "`x`",
    "{a|b}",
    "a]b",
    "#35;",
    "; end",
]


def dot_labels(text):
    """What Graphviz shows: backslashes of labels undone."""
    undo = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
    found = re.findall(r'^  n\d+ \[label="((?:[^"\\]|\\.)*)"', text, re.MULTILINE)
    return [re.sub(r"\\.", lambda m: undo[m[0]], label) for label in found]


def mermaid_labels(text):
    found = re.findall(r'^  n\d+\(?\["([^"]*)"\]\)?$', text, re.MULTILINE)
    return [re.sub(r"#(\d+);", lambda m: chr(int(m[1])), label.replace("<br/>", "\n")) for label in found]


@given(
    st.lists(st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_characters="\r"))), min_size=1, unique=True)
)
def test_names_are_text_whatever_they_hold(names):
    dag = mfx.Graph([(names[0], name) for name in names[1:]], nodes=names)
    assert dot_labels(dag.to_dot()) == list(dag.nodes)
    assert mermaid_labels(dag.to_mermaid()) == list(dag.nodes)
    assert len(re.findall("->", re.sub(r'"(?:[^"\\]|\\.)*"', "", dag.to_dot()))) == len(dag.edges)


def test_networkx_and_back():
    dag = mfx.Graph([("a", "m"), ("b", "m")], deterministic=["m"])
    out = dag.to_networkx()
    assert mfx.Graph(out.edges, [n for n, d in out.nodes(data="deterministic") if d]).edges == dag.edges
    assert out.nodes["a"]["kind"] == "variable"


def test_a_graph_can_be_pickled():
    dag = mfx.Graph([("a", "m"), ("b", "m")], deterministic=["m"])
    dag.moral()
    again = pickle.loads(pickle.dumps(dag))
    assert again.edges == dag.edges
    assert again.independent("a", "b")
    assert str(dag) == "<Graph: 3 nodes, 2 edges, 1 deterministic>"


def test_the_cycle_is_shown():
    with pytest.raises(mfx.SpecificationError, match="'b' → 'c' → 'd' → 'b'"):
        mfx.Graph([("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")])
