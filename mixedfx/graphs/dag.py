"""A directed acyclic graph of variables, and the independences that it implies.

networkx does the algorithms (d-separation, minimal separators, moral graph). The closure of what is determined is
ours: a node that is a function of its parents is known as soon as they all are, and a constant is a function of none.

References
----------
Pearl (1988), Probabilistic Reasoning in Intelligent Systems, for d-separation; Geiger, Verma & Pearl (1990), Networks
20, 507, for D-separation in graphs with deterministic nodes; Lauritzen et al. (1990), Networks 20, 491, for the moral
graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from heapq import heapify, heappop, heappush
from itertools import combinations
from typing import TYPE_CHECKING, Any

from mixedfx._arguments import checked_names
from mixedfx._lazy import cached_property, higher
from mixedfx._libraries import needed
from mixedfx._suggestions import hinting_methods
from mixedfx.exceptions import SpecificationError
from mixedfx.graphs.writing import dot, mermaid

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from mixedfx.graphs.elimination import Elimination
    from mixedfx.graphs.plates import Scheme
    from mixedfx.models.base import MixedModel

__all__ = ["DATA", "EFFECT", "PARAMETER", "PREDICTOR", "RESPONSE", "VARIABLE", "Graph", "Independence", "Mark", "Panel"]

# What a node stands for.
VARIABLE, EFFECT, RESPONSE, PREDICTOR, DATA, PARAMETER = (
    *("variable", "effect", "response", "predictor"),
    *("data", "parameter"),
)
SHOWN = 6  # nodes that a message lists
MOST_STEPS = 3e6  # nodes and edges that the search for all independences may look at: some ten seconds


@dataclass(frozen=True)
class Mark:
    """What a node of a model stands for.

    Attributes
    ----------
    kind : str
        ``"effect"``, ``"response"``, ``"predictor"``, ``"data"``, ``"parameter"``, or ``"variable"``.
    notes : tuple of str
        Small print of a picture.
    """

    kind: str = VARIABLE
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """A plate: what is in it stands once for each level of a factor.

    Attributes
    ----------
    label : str
        ``"county: 85"``.
    nodes : tuple of str
    """

    label: str
    nodes: tuple[str, ...]


@hinting_methods
@dataclass(frozen=True)
class Independence:
    """``a`` and ``b`` are independent given ``given``."""

    a: str
    b: str
    given: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.a} ⟂ {self.b}" + (f" | {', '.join(self.given)}" if self.given else "")


@hinting_methods
class Graph:
    """A directed acyclic graph of variables; the independences that it implies hold in every model that fits it.

    Parameters
    ----------
    edges : iterable of (str, str)
        From parent to child.
    deterministic : iterable of str
        Nodes that are functions of their parents, without noise of their own; one without parents is a constant.
    nodes : iterable of str
        Nodes without edges, beside those of ``edges``.

    Attributes
    ----------
    nodes : tuple of str
        Parents before children.
    edges : tuple of (str, str)
    deterministic : frozenset of str

    Raises
    ------
    SpecificationError
        If the edges have a cycle, or ``deterministic`` names a node that is not there.

    Examples
    --------
    A predictor measured twice with error: the measurements tell of each other until the truth is known.

    >>> import mixedfx as mfx
    >>> dag = mfx.Graph([("x", "w1"), ("x", "w2"), ("x", "y"), ("z", "y")])
    >>> dag.independent("w1", "w2"), dag.independent("w1", "w2", given="x")
    (False, True)
    >>> sorted(dag.markov_blanket("x"))
    ['w1', 'w2', 'y', 'z']

    What is a function of known things is known:

    >>> sums = mfx.Graph([("a", "mu"), ("b", "mu"), ("mu", "y"), ("mu", "t")], deterministic=["mu"])
    >>> sums.independent("y", "t", given=["a", "b"])
    True
    """

    def __init__(
        self, edges: Iterable[Sequence[str]], deterministic: Iterable[str] = (), *, nodes: Iterable[str] = ()
    ) -> None:
        pairs = _checked_edges(edges)
        alone = checked_names("nodes", nodes)
        parents: dict[str, list[str]] = {name: [] for name in alone}
        for tail, head in pairs:
            parents.setdefault(tail, [])
            parents.setdefault(head, []).append(tail)
        self.nodes: tuple[str, ...] = _in_order(parents)
        self.edges: tuple[tuple[str, str], ...] = pairs
        self.parents: dict[str, tuple[str, ...]] = {name: tuple(parents[name]) for name in self.nodes}
        self.deterministic: frozenset[str] = frozenset(checked_names("deterministic", deterministic))
        for name in sorted(self.deterministic):
            self._check_node("deterministic", name)
        self.marks: Mapping[str, Mark] = {}
        self.panels: tuple[Panel, ...] = ()
        self.scheme: Scheme | None = None
        self.model: MixedModel[Any] | None = None

    @classmethod
    def _of_model(
        cls,
        edges: Iterable[tuple[str, str]],
        deterministic: Iterable[str],
        marks: Mapping[str, Mark],
        model: MixedModel[Any],
        panels: tuple[Panel, ...] = (),
        scheme: Scheme | None = None,
    ) -> Graph:
        """Return the graph of a model; every node has its mark."""
        out = cls(edges, deterministic, nodes=list(marks))
        out.marks, out.model, out.panels, out.scheme = dict(marks), model, panels, scheme
        return out

    def kind(self, node: str) -> str:
        """Return what a node stands for: ``"effect"``, ``"response"``, ``"predictor"``, ``"data"``, …

        Parameters
        ----------
        node : str

        Returns
        -------
        str
            ``"variable"`` in a graph that was made of edges alone.
        """
        self._check_node("node", node)
        return self.marks[node].kind if node in self.marks else VARIABLE

    # ---------------------------------------------------------------- questions
    def independent(self, a: str | Iterable[str], b: str | Iterable[str], given: str | Iterable[str] = ()) -> bool:
        """Tell whether the graph makes ``a`` independent of ``b`` given ``given``, whatever the distributions.

        Parameters
        ----------
        a, b : str or iterable of str
            Nodes, or sets of nodes.
        given : str or iterable of str
            What is known.

        Returns
        -------
        bool
            False says that the graph allows a dependence, and nearly all distributions on it have one.

        Raises
        ------
        SpecificationError
            If a node is not there, or is named twice.

        Notes
        -----
        d-separation; with deterministic nodes D-separation: what ``given`` determines counts as given, and what is
        constant then is independent of everything.
        """
        first, second, known = self._checked_sets(a, b, given)
        return self._separated(first, second, known)

    def determined(self, given: str | Iterable[str] = ()) -> set[str]:
        """Return the nodes that are known as soon as ``given`` is, which are among them.

        Parameters
        ----------
        given : str or iterable of str

        Returns
        -------
        set of str
            By default the constants.
        """
        known = set(self._named("given", given))
        for name in self.nodes:  # parents come first
            if name in self.deterministic and known.issuperset(self.parents[name]):
                known.add(name)
        return known

    def markov_blanket(self, node: str) -> set[str]:
        """Return parents, children and the children's other parents: given them all else tells nothing of the node.

        Parameters
        ----------
        node : str

        Returns
        -------
        set of str
            The neighbours in the moral graph.
        """
        self._check_node("node", node)
        return set(self._moral[node])

    def moral(self) -> Any:
        """Return the moral graph: all edges without direction, and parents of a common child joined.

        Returns
        -------
        networkx.Graph
        """
        return self._moral.copy()

    def implied_independencies(self, nodes: Iterable[str] | None = None) -> list[Independence]:
        """Return for every pair of nodes that can be separated, one smallest set that separates them.

        Parameters
        ----------
        nodes : iterable of str, optional
            Pairs and separating sets are sought among these alone, such as what was observed; by default all nodes.
            Constants count as known.

        Returns
        -------
        list of Independence
            ``a ⟂ b | given``, no smaller part of ``given`` would do; statements on what ``given`` determines are left
            out. A graph without deterministic nodes follows from its list.

        Raises
        ------
        SpecificationError
            If there are too many pairs.
        """
        constants = self.determined()
        chosen = self.nodes if nodes is None else self._named("nodes", nodes)
        allowed = [name for name in self.nodes if name in set(chosen) - constants]
        steps = 0.5 * len(allowed) ** 2 * (len(self.nodes) + len(self.edges))
        if steps > MOST_STEPS:
            raise SpecificationError(
                f"{len(allowed):,} nodes have too many pairs to list their independences: name those that matter, "
                "nodes=[…], or ask independent(a, b, given)"
            )
        return list(self._separations(allowed, constants))

    def collapsed(self) -> Graph:
        """Return the graph of the random variables alone.

        Returns
        -------
        Graph
            Without constants; children of a deterministic node have its parents.
        """
        constants = self.determined()
        sources: dict[str, list[str]] = {}
        for name in self.nodes:
            above = [s for p in self.parents[name] for s in (sources[p] if p in self.deterministic else [p])]
            sources[name] = [s for s in dict.fromkeys(above) if s not in constants]
        kept = [name for name in self.nodes if name not in self.deterministic]
        out = Graph([(tail, head) for head in kept for tail in sources[head]], nodes=kept)
        out.marks = {name: mark for name, mark in self.marks.items() if name in kept}
        out.panels = tuple(Panel(p.label, tuple(n for n in p.nodes if n in out.parents)) for p in self.panels)
        return out

    # ---------------------------------------------------------------- equations of a model
    def elimination(self, control: Any = None) -> Elimination:
        """Predict how the equations of the model's random effects will be factorised, from the design alone.

        Parameters
        ----------
        control : Control, optional
            Settings of the fit: ``remainder`` says whether crossed effects may be solved by iteration.

        Returns
        -------
        Elimination
            Order, ``nonzeros``, ``fill``, ``multiplications``, and whether the fit will be ``iterative``.

        Raises
        ------
        SpecificationError
            If the graph was made of edges alone.

        Examples
        --------
        Nested factors do not fill in, crossed ones do.

        >>> import mixedfx as mfx
        >>> pastes = mfx.load_dataset("pastes")
        >>> mfx.graph("strength ~ 1 + (1 | batch/cask)", pastes).elimination().fill
        0
        >>> penicillin = mfx.load_dataset("penicillin")
        >>> mfx.graph("diameter ~ 1 + (1 | plate) + (1 | sample)", penicillin).elimination().fill
        15
        """
        from mixedfx.graphs.elimination import elimination_of

        return elimination_of(self._of("elimination()"), control)

    def components(self) -> pd.DataFrame:
        """Return the parts of the model that are independent given the data and the parameters.

        Returns
        -------
        pandas.DataFrame
            One row a component: ``rows`` of the data, ``effects`` (the dimension of its integral), and the levels of
            each grouping factor. A likelihood is the product of one integral a component: adaptive quadrature
            (``nagq``) is for one grouping factor, each of whose levels is a component.

        Raises
        ------
        SpecificationError
            If the graph was made of edges alone.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> toenail = mfx.load_dataset("toenail")
        >>> parts = mfx.graph("y ~ treatment * time + (1 | patientID)", toenail, family="binomial").components()
        >>> len(parts), int(parts["effects"].max())
        (294, 1)
        """
        from mixedfx.graphs.elimination import components_of

        return components_of(self._of("components()"))

    def _of(self, what: str) -> MixedModel[Any]:
        if self.model is None:
            raise SpecificationError(f"{what} is for the graph of a model, mfx.graph(fit); this one was made of edges")
        return self.model

    # ---------------------------------------------------------------- other forms
    def to_networkx(self) -> Any:
        """Return a ``networkx.DiGraph`` whose nodes have ``kind`` and ``deterministic`` and ``plates``."""
        plates: dict[str, list[str]] = {name: [] for name in self.nodes}
        for panel in self.panels:
            for name in panel.nodes:
                plates[name].append(panel.label)
        out = self._digraph.copy()
        for name in self.nodes:
            out.nodes[name].update(
                kind=self.kind(name), deterministic=name in self.deterministic, plates=tuple(plates[name])
            )
        return out

    def to_dot(self) -> str:
        """Return the graph in Graphviz's language: deterministic nodes dashed, data in boxes, the response shaded."""
        return dot(self)

    def to_mermaid(self) -> str:
        """Return the graph in Mermaid's language, which Markdown of many sites draws."""
        return mermaid(self)

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the graph: circles are variables, dashed ones functions, boxes data, dots parameters, frames plates.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        SpecificationError
            If it has more nodes than can be read.
        """
        axes: Axes = higher("plate_diagram")(higher("diagram_of")(self), ax=ax)
        return axes

    def __repr__(self) -> str:
        fixed = f", {len(self.deterministic)} deterministic" if self.deterministic else ""
        return f"<Graph: {len(self.nodes)} nodes, {len(self.edges)} edges{fixed}>"

    # ---------------------------------------------------------------- within
    @cached_property
    def _digraph(self) -> Any:
        out = needed("networkx", "a question to a graph").DiGraph()
        out.add_nodes_from(self.nodes)
        out.add_edges_from(self.edges)
        return out

    @cached_property
    def _moral(self) -> Any:
        return needed("networkx", "a question to a graph").moral_graph(self._digraph)

    def _separated(self, first: set[str], second: set[str], known: set[str]) -> bool:
        determined = self.determined(known)
        first, second = first - determined, second - determined
        if not first or not second:
            return True
        separated: bool = needed("networkx", "independent()").is_d_separator(self._digraph, first, second, determined)
        return separated

    def _separations(self, allowed: list[str], constants: set[str]) -> Iterator[Independence]:
        nx = needed("networkx", "implied_independencies()")
        rest = self._digraph.subgraph([name for name in self.nodes if name not in constants])
        for a, b in combinations(allowed, 2):
            if rest.has_edge(a, b):
                continue
            for tail, head in ((a, b), (b, a)):  # near the one, or near the other
                found = nx.find_minimal_d_separator(rest, tail, head, restricted=set(allowed) - {a, b})
                if found is not None and not {a, b} & self.determined(found):
                    yield Independence(a, b, self._pruned(a, b, found))
                    break

    def _pruned(self, a: str, b: str, found: set[str]) -> tuple[str, ...]:
        """Drop what determined nodes make superfluous."""
        kept = set(found)
        for name in self.nodes:
            if name in kept and self._separated({a}, {b}, kept - {name}):
                kept.remove(name)
        return tuple(name for name in self.nodes if name in kept)

    def _checked_sets(self, a: Any, b: Any, given: Any) -> tuple[set[str], set[str], set[str]]:
        sides = {"a": self._named("a", a), "b": self._named("b", b), "given": self._named("given", given)}
        for side in ("a", "b"):
            if not sides[side]:
                raise SpecificationError(f"{side} names no node: independent(a, b) needs one or more on both sides")
        for one, other in (("a", "b"), ("a", "given"), ("b", "given")):
            twice = [name for name in sides[one] if name in sides[other]]
            if twice:
                raise SpecificationError(
                    f"the node {twice[0]!r} is in {one} and in {other}: a, b and given have no node in common"
                )
        return set(sides["a"]), set(sides["b"]), set(sides["given"])

    def _named(self, argument: str, names: Any) -> tuple[str, ...]:
        found = checked_names(argument, names)
        for name in found:
            self._check_node(argument, name)
        return found

    def _check_node(self, argument: str, name: Any) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{argument} is the name of a node; found {name!r}")
        if name in self.parents:
            return
        close = get_close_matches(name, self.nodes, 1)
        shown = ", ".join(map(repr, self.nodes[:SHOWN])) + (", …" if len(self.nodes) > SHOWN else "")
        hint = f"did you mean {close[0]!r}?" if close else f"it has {shown or 'no nodes'}"
        raise SpecificationError(f"{argument}: the graph has no node {name!r}; {hint}")


def _checked_edges(edges: Any) -> tuple[tuple[str, str], ...]:
    if isinstance(edges, str) or not isinstance(edges, Iterable):
        raise TypeError(f"edges are pairs of names such as [('x', 'y')]; found {edges!r}")
    found = []
    for edge in edges:
        is_pair = isinstance(edge, Sequence) and not isinstance(edge, str) and len(edge) == 2
        if not is_pair or not all(isinstance(name, str) for name in edge):
            raise TypeError(f"edges are pairs of names such as [('x', 'y')]; found {edge!r}")
        found.append((str(edge[0]), str(edge[1])))
    return tuple(dict.fromkeys(found))


def _in_order(parents: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Nodes with parents before children, otherwise as they were named.

    Raises
    ------
    SpecificationError
        If there is a cycle, which the message shows.
    """
    rank = {name: i for i, name in enumerate(parents)}
    names = list(parents)
    waiting = {name: len(above) for name, above in parents.items()}
    children: dict[str, list[str]] = {name: [] for name in names}
    for name, above in parents.items():
        for parent in above:
            children[parent].append(name)
    ready = [rank[name] for name in names if not waiting[name]]
    heapify(ready)
    out = []
    while ready:
        name = names[heappop(ready)]
        out.append(name)
        for child in children[name]:
            waiting[child] -= 1
            if not waiting[child]:
                heappush(ready, rank[child])
    if len(out) < len(names):
        raise SpecificationError(
            f"the edges have a cycle, {_cycle(parents, waiting)}: nothing can be its own cause; leave one of them out"
        )
    return tuple(out)


def _cycle(parents: Mapping[str, Sequence[str]], waiting: Mapping[str, int]) -> str:
    """One cycle in words: every node that still waits has a parent that does."""
    path = [next(name for name, count in waiting.items() if count)]
    while path[-1] not in path[:-1]:
        path.append(next(parent for parent in parents[path[-1]] if waiting[parent]))
    return " → ".join(repr(name) for name in path[path.index(path[-1]) :][::-1])
