"""Graphs of models: both views, what is centred where, and the reference graphs that formulas give."""

import json
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
from tests.examples import examples

REFERENCE = json.loads(Path(__file__).with_name("dag_results.json").read_text(encoding="utf-8"))


def table(**columns):
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"y": np.random.default_rng(1).normal(size=n), **columns})


def is_same(dag, edges, nodes=None):
    """Whether a graph has these edges, whatever its nodes are called."""
    found = dag.to_networkx() if nodes is None else dag.to_networkx().subgraph(nodes)
    return nx.is_isomorphic(nx.DiGraph(found.edges), nx.DiGraph(edges))


# ------------------------------------------------------------------ against the reference
def test_radon_with_a_predictor_of_counties_is_the_reference_graph():
    """Two counties with two houses each; mu, which the reference leaves out, is collapsed."""
    data = table(floor=[0.0, 1.0, 0.5, 0.2], u=[0.1, 0.1, 0.7, 0.7], county=["a", "a", "b", "b"])
    data = pd.concat([data, data.assign(y=data["y"] + 1.0)])  # rows to fit; each county's are looked at
    dag = mfx.graph("y ~ 0 + floor + u + (1 | county)", data, view="unrolled", constant=())
    rows = [name for name in dag.nodes if not name.endswith(("4]", "5]", "6]", "7]"))]
    edges = [(tail, head) for tail, head in dag.collapsed().edges if tail in rows and head in rows]
    assert nx.is_isomorphic(nx.DiGraph(edges), nx.DiGraph(REFERENCE["radon_M2"]["edges"]))
    small = mfx.Graph(edges)
    mapping = {
        "gamma": "gamma[county]", "tau": "sd[county]", "beta": "beta", "sigma": "sigma",
        "a1": "a[county: a]", "a2": "a[county: b]", "u1": "u[a]", "u2": "u[b]",
        **{f"x{i}{j}": f"floor[{2 * i + j - 3}]" for i in (1, 2) for j in (1, 2)},
        **{f"y{i}{j}": f"y[{2 * i + j - 3}]" for i in (1, 2) for j in (1, 2)},
    }  # fmt: skip
    for query in REFERENCE["radon_M2"]["queries"]:
        known = [mapping[name] for name in query["given"]]
        assert small.independent(mapping[query["x"]], mapping[query["y"]], known) is query["independent"]


def test_three_levels_are_the_reference_graph():
    data = table(school=list("sstttt"), cls=list("112334"))
    dag = mfx.graph("y ~ 1 + (1 | school/cls)", data, view="unrolled").collapsed()
    inside = [(tail, head) for tail, head in dag.edges if "t" not in tail.partition("[")[2].replace("school:cls", "")]
    names = {"b[school: s]": "school", "a[school:cls: s:1]": "class", "y[0]": "pupil1", "y[1]": "pupil2"}
    assert {(names[a], names[b]) for a, b in inside} == {("school", "class"), ("class", "pupil1"), ("class", "pupil2")}
    assert dag.independent("y[0]", "y[1]", "a[school:cls: s:1]")
    assert not dag.independent("y[2]", "y[3]")
    assert dag.independent("y[2]", "y[3]", "b[school: t]")
    assert not dag.independent("a[school:cls: t:2]", "a[school:cls: t:3]", ["y[2]", "y[3]"])


# ------------------------------------------------------------------ the two views
FORMULAS = [
    "y ~ x + u + (x | g)",
    "y ~ x + (1 | g/h)",
    "y ~ u + (1 | g) + (1 | k)",
    "y ~ x + (1 + x | g) + (1 | g:h) + (1 | k)",
    "y ~ x + (1 | g) + (0 + x | g)",
]


def crossed(seed=0, n=18):
    rng = np.random.default_rng(seed)
    g, h, k = np.arange(n) // 6, np.arange(n) // 3, np.arange(n) % 3
    u = rng.normal(size=3)[g]
    return pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n), "u": u, "g": g, "h": h % 2, "k": k})


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("centered", [True, False])
def test_a_statement_on_plates_is_one_on_all_levels(formula, centered):
    """Whole vectors are separated in the unrolled graph exactly if their plates are."""
    data = crossed()
    options = {"centered": centered, "constant": "predictors"}
    plates, rows = (mfx.graph(formula, data, view=view, **options) for view in ("plates", "unrolled"))

    def copies(name):
        stem, bracket = (name[:-1], "]") if name.endswith("]") else (name, "")
        begins = f"{stem}: " if bracket else f"{name}["
        return [n for n in rows.nodes if n == name or n.startswith(begins)]

    assert sorted(n for name in plates.nodes for n in copies(name)) == sorted(rows.nodes)
    rng = np.random.default_rng(3)
    for a, b in combinations(plates.nodes, 2):
        others = [n for n in plates.nodes if n not in (a, b)]
        for known in ([], [n for n in others if rng.random() < 0.4]):
            spread = [n for name in known for n in copies(name)]
            assert plates.independent(a, b, known) == rows.independent(copies(a), copies(b), spread)


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_moral_graph_of_deviations_is_the_pattern_of_the_equations(formula):
    data = crossed(n=18)
    model = mfx.LinearMixedModel(formula, data)
    dag = mfx.graph(model, view="unrolled", centered=False).collapsed()
    moral = dag.moral()
    blocks = [
        (f"b[{group if same == 1 else term.term[1:-1]}: ", term)
        for term in model.design.random
        for group in [term.group]
        for same in [sum(t.group == group for t in model.design.random)]
    ]
    names = [
        f"{begin}{':'.join(map(str, level)) if isinstance(level, tuple) else level}]"
        for begin, term in blocks
        for level in term.levels
    ]
    owner = np.repeat(np.arange(len(names)), [t.n_columns for _, t in blocks for _ in t.levels])
    z = (abs(model.exog_re) > 0).astype(int)
    together = (z.T @ z).toarray()
    meets = np.zeros((len(names), len(names)), dtype=bool)
    np.logical_or.at(meets, (owner[:, None], owner[None, :]), together > 0)
    for i, j in combinations(range(len(names)), 2):
        assert moral.has_edge(names[i], names[j]) == meets[i, j]


def test_given_the_data_crossed_effects_depend_on_each_other_and_nested_ones_do_not():
    dag = mfx.graph("y ~ 1 + (1 | g) + (1 | k)", crossed(), view="unrolled")
    rows = [n for n in dag.nodes if n.startswith("y[")]
    assert dag.independent("b[g: 0]", "b[g: 1]")
    assert not dag.independent("b[g: 0]", "b[g: 1]", rows)
    nested = mfx.graph("y ~ 1 + (1 | g/h)", crossed(), view="unrolled")
    assert nested.independent("b[g: 0]", "b[g: 1]", rows)


def test_what_is_centred_where():
    def mean_of(formula, node):
        return set(mfx.graph(formula, crossed()).parents[node])

    assert mean_of("y ~ x + u + (1 | g)", "a[g]") == {"sd[g]", "gamma[g]", "u"}
    assert mean_of("y ~ x + u + (0 + x | g)", "mu") == {"beta", "x", "u", "b[g]"}
    assert mean_of("y ~ x + (1 | g/h)", "a[g:h]") == {"sd[g:h]", "b[g]"}
    assert mean_of("y ~ x + (1 + x | g) + (1 | g:h)", "a[g:h]") == {"sd[g:h]", "b[g]"}
    assert mean_of("y ~ x + (1 + x | g) + (1 | g:h)", "mu") == {"beta", "x", "b[g]", "a[g:h]"}
    # two factors within g that are crossed: neither is next
    assert mean_of("y ~ 1 + (1 | g) + (1 | g:h) + (1 | g:k)", "mu") == {"beta", "b[g]", "b[g:h]", "b[g:k]"}


def test_generalised_models_have_their_parameters_and_predictors():
    rng = np.random.default_rng(2)
    data = crossed().assign(y=rng.poisson(3.0, 18))
    options = {"family": "nbinom2", "zero_inflation": "~ x", "dispersion": "~ u"}
    dag = mfx.graph("y ~ x + u + (1 | g)", data, **options)
    assert {"eta", "eta[dispersion]", "eta[zero_inflation]"} <= dag.parents.keys()
    assert set(dag.parents["y"]) == {"eta", "eta[dispersion]", "eta[zero_inflation]"}
    assert set(dag.parents["eta[dispersion]"]) == {"beta[dispersion]", "u"}
    assert set(mfx.graph("y ~ x + (1 | g)", data, family="nbinom2").parents["y"]) == {"eta", "dispersion"}
    ordinal = mfx.graph("y ~ x + (1 | g)", data.assign(y=np.arange(18) % 3), family="ordinal")
    assert set(ordinal.parents["y"]) == {"eta", "thresholds"}


def test_residuals_that_are_correlated_share_a_vector():
    data = crossed().assign(t=np.arange(18) % 6)
    dag = mfx.graph("y ~ x + (1 | k)", data, residual=mfx.AR1("t", group="g"), view="unrolled")
    rows = [n for n in dag.nodes if n.startswith("b[k")]
    assert not dag.independent("y[0]", "y[1]", rows)
    assert dag.independent("y[0]", "y[6]", rows)
    heteroscedastic = mfx.graph("y ~ x + (1 | k)", data, residual=mfx.VarIdent("g"))
    assert set(heteroscedastic.parents["y"]) == {"mu", "sigma", "R"}


def test_levels_that_are_correlated_as_given_are_sums_of_independent_ones():
    related = np.eye(3)
    related[0, 1] = related[1, 0] = 0.5
    functions = {"A": pd.DataFrame(related, [0, 1, 2], [0, 1, 2])}
    dag = mfx.graph("y ~ 1 + known(1 | g, A)", crossed(), functions=functions, view="unrolled")
    assert not dag.independent("b[g: 0]", "b[g: 1]")
    assert dag.independent("b[g: 0]", "b[g: 2]")


def test_columns_keep_their_names_and_ours_get_an_apostrophe():
    data = crossed().rename(columns={"y": "mu", "x": "beta"})
    dag = mfx.graph("mu ~ beta + (1 | g)", data)
    assert {"mu", "beta", "mu'", "beta'"} <= dag.parents.keys()
    assert set(dag.parents["mu"]) == {"mu'", "sigma"}


def test_a_fit_a_model_and_a_formula_have_the_same_graph():
    formula, data = "Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy")
    model = mfx.LinearMixedModel(formula, data)
    fit = model.fit()
    graphs = [mfx.graph(source) for source in (fit, model)] + [mfx.graph(formula, data)]
    assert len({(g.nodes, g.edges, g.deterministic, g.panels) for g in graphs}) == 1
    assert graphs[0].kind("Reaction") == "response"


def test_a_saved_fit_has_the_same_graph(tmp_path):
    data = crossed().assign(t=np.arange(18) % 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        fit = mfx.lmer("y ~ x + (1 | g)", data, residual=mfx.VarIdent("k"))
        fit.save(tmp_path / "fit.mfx")
        again = mfx.load(tmp_path / "fit.mfx")
    assert mfx.graph(again, view="unrolled").edges == mfx.graph(fit, view="unrolled").edges


def test_plates_in_text_lie_as_the_factors_do():
    nested = mfx.graph("y ~ x + (1 | g/h)", crossed()).to_dot()
    opened = [line for line in nested.splitlines() if "subgraph" in line]
    assert [len(line) - len(line.lstrip()) for line in opened] == [2, 4, 6]
    flat = mfx.graph("y ~ x + (1 | g) + (1 | k)", crossed()).to_mermaid()
    assert flat.count("subgraph") == flat.count("end") == 3
    assert mfx.graph("y ~ x + (1 | g/h)", crossed()).to_networkx().nodes["a[g:h]"]["plates"] == ("g: 3", "g:h: 6")


@examples(15)
@given(st.permutations(range(18)))
def test_the_order_of_rows_changes_no_statement(order):
    data = crossed()
    one, other = (mfx.graph(FORMULAS[3], d, view="unrolled") for d in (data, data.iloc[list(order)]))
    assert sorted(one.edges) == sorted(other.edges)
    assert one.deterministic == other.deterministic


# ------------------------------------------------------------------ smooths and memberships
def members(n=24, seed=4):
    rng = np.random.default_rng(seed)
    one, two = rng.integers(0, 3, n), rng.integers(0, 3, n)
    block = np.arange(n) % 2
    labels = np.array(list("abcdef"))
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.uniform(size=n),
            "one": labels[3 * block + one],
            "two": labels[3 * block + two],
            "g": block * 2 + rng.integers(0, 2, n),
        }
    )


def test_rows_of_several_levels_have_all_of_them_as_parents():
    data = members()
    formula = "y ~ x + (1 | mm(one, two))"
    rows = mfx.graph(formula, data, view="unrolled")
    for i, (one, two) in enumerate(zip(data["one"], data["two"], strict=True)):
        effects = {name for name in rows.parents[f"mu[{i}]"] if name.startswith("b[")}
        assert effects == {f"b[mm(one, two): {label}]" for label in (one, two)}
    plates = mfx.graph(formula, data)
    assert plates.panels[-1].label == "mm(one, two): 6"
    assert plates.panels[-1].nodes == ("b[mm(one, two)]",)
    parts = rows.components()
    assert sorted(parts["mm(one, two)"]) == [("a", "b", "c"), ("d", "e", "f")]
    assert list(parts["effects"]) == [3, 3]
    found = rows.elimination()
    z = (mfx.LinearMixedModel(formula, data).design.random[0].matrix != 0).astype(int)
    assert found.nonzeros == np.count_nonzero(np.tril(z.T @ z + np.eye(6)))
    assert found.factor == 21


def test_a_smooth_is_one_vector_that_all_rows_share():
    dag = mfx.graph("y ~ s(x, k=5) + (1 | g)", members())
    assert set(dag.parents["mu"]) == {"beta", "s(x, k=5)", "b[s(x)]", "b[g]"}
    assert dag.parents["b[s(x)]"] == ("sd[s(x)]",)
    rows = mfx.graph("y ~ s(x, k=5) + (1 | g)", members(), view="unrolled")
    assert not rows.independent("y[0]", "y[1]")
    assert len(rows.components()) == 1
    assert len(mfx.graph("y ~ x + (1 | g)", members()).components()) > 1


# ------------------------------------------------------------------ errors in variables
def measured(n=40, seed=6):
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, n))
    truth = x + 0.5 * z
    columns = {"w1": truth + 0.3 * rng.normal(size=n), "w2": truth + 0.3 * rng.normal(size=n), "z": z}
    return pd.DataFrame(columns | {"y": truth + z + rng.normal(size=n), "g": np.arange(n) % 8})


def test_a_predictor_measured_with_error_is_the_reference_graph():
    dag = mfx.graph("y ~ me(w1, w2) + z", measured(), constant=(), view="unrolled").collapsed()
    names = {"x": "me(w1, w2)[0]", "z": "z[0]", "w1": "w1[0]", "w2": "w2[0]", "y": "y[0]", "su": "error[me(w1, w2)]"}
    edges = [(a, b) for a, b in dag.edges if a in names.values() and b in names.values()]
    assert set(edges) == {(names[a], names[b]) for a, b in REFERENCE["errors_in_variables"]["edges"]}
    small = mfx.Graph(edges)
    for query in REFERENCE["errors_in_variables"]["queries"]:
        known = [names[name] for name in query["given"]]
        assert small.independent(names[query["x"]], names[query["y"]], known) is query["independent"]


def test_measurements_of_a_fit_and_of_groups():
    data = measured()
    data["v"] = data.groupby("g")["w1"].transform("mean")
    fit = mfx.lmer("y ~ me(w1, sd=0.3) + z + (1 | g)", data)
    dag = mfx.graph(fit)
    assert {"mu", "sigma", "me(w1)", "w1", "error[me(w1)]"} <= dag.parents.keys()
    assert dag.kind("me(w1)") == "effect"
    assert dag.independent("w1", "y", "me(w1)")
    assert not dag.independent("w1", "y", "z")
    assert dag.plot() is not None
    grouped = mfx.graph("y ~ me(v, sd=0.1) + z + (1 | g)", data)
    assert "v" in grouped.panels[0].nodes
    assert "me(v)" in grouped.parents["a[g]"]
    counts = data.assign(y=np.arange(40) % 4)
    assert {"eta", "me(w1)"} <= mfx.graph("y ~ me(w1, sd=0.3) + (1 | g)", counts, family="poisson").parents.keys()


def test_effects_that_are_not_normal_have_a_dispersion():
    rng = np.random.default_rng(2)
    data = crossed().assign(y=rng.poisson(3.0, 18))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        fit = mfx.hglm("y ~ x + (1 | g)", data, family="poisson", random={"g": "gamma"})
    dag = mfx.graph(fit)
    assert dag.parents["b[g]"] == ("lambda[g]",)
    assert set(dag.parents["y"]) == {"eta"}
    assert dag.plot() is not None
