"""The graph of a mixed model: parameters, random effects, linear predictor and response, once or for every level.

Every node is a template with the level of each row. In the plate view a template is one node; unrolled it is one node a
level, and the rows say which level of a parent goes with which level of a child.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_choice, checked_flag, checked_names
from mixedfx._typing import BoolArray, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.formula import Formula
from mixedfx.graphs.dag import DATA, EFFECT, PARAMETER, PREDICTOR, RESPONSE, Graph, Mark, Panel
from mixedfx.graphs.plates import Links, Plate, Scheme, arrange, links_of, plates_of, pooled_plates
from mixedfx.matrices import Design, RandomEffects
from mixedfx.models.base import MixedModel
from mixedfx.models.generalized import GeneralizedLinearMixedModel
from mixedfx.models.inputs import is_mismeasured
from mixedfx.models.linear import LinearMixedModel
from mixedfx.results.base import results_of_ours

__all__ = ["graph"]

VIEWS = {"plates": False, "unrolled": True}
ViewName: TypeAlias = Literal["plates", "unrolled"]
ConstantName: TypeAlias = Literal["parameters", "predictors"]
CONSTANTS = {"parameters": PARAMETER, "predictors": DATA}
MOST_NODES = 200_000  # of an unrolled graph


def graph(
    source: Any,
    data: Any = None,
    *,
    family: Any = None,
    view: ViewName = "plates",
    centered: bool = True,
    constant: ConstantName | Iterable[ConstantName] = ("parameters", "predictors"),
    **options: Any,
) -> Graph:
    """Return the directed graph of a model: what each random effect, linear predictor and response depends on.

    Parameters
    ----------
    source : fitted model, model or str
        Results of a fit, a model that is not fitted, or a formula.
    data : data frame, optional
        For a formula.
    family : str or Family, optional
        For a formula: that of :func:`mixedfx.glmer`; without one (or with ``"gaussian"``) the model is that of
        :func:`mixedfx.lmer`.
    view : {"plates", "unrolled"}
        One node for all levels of a factor, with plates around what stands once a level, or one node a level and a row.
    centered : bool
        Whether predictors that are constant within the levels of a factor, and the effects of factors that it is nested
        in, enter by the mean of its effects (called ``a[…]`` then); otherwise all effects are deviations ``b[…]`` as in
        ``fit.random_effects`` and enter the linear predictor.
    constant : {"parameters", "predictors"} or both
        What is held fixed: a constant tells nothing and is independent of everything. ``()`` makes all of them
        variables, as priors and a sample of predictors do.
    **options
        Further arguments of the model, for a formula.

    Returns
    -------
    Graph
        Nodes are ``beta`` (coefficients), ``gamma[g]`` (coefficients of predictors that enter at g), ``sd[g]``,
        ``Sigma[g]`` or ``lambda[g]`` (of effects that are not normal), ``b[g]`` or ``a[g]``, ``mu`` or ``eta``,
        parameters of the response such as ``sigma``, the terms of the formula, and the response; ``me(w)`` is a true
        value, whose measurements are its children. A name that is taken gets an apostrophe.

    Raises
    ------
    SpecificationError, DataError
        If the model cannot be built, or the unrolled graph is too large.

    Notes
    -----
    A statement on the plate view is one on all levels together: ``b[g]`` is the whole vector of effects, and such a
    statement is true in the plate view if and only if it is true in the unrolled graph.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> dag = mfx.graph(fit)
    >>> dag.nodes
    ('Sigma[Subject]', 'b[Subject]', 'beta', 'Days', 'mu', 'sigma', 'Reaction')
    >>> rows = mfx.graph(fit, view="unrolled")
    >>> rows.independent("Reaction[0]", "Reaction[1]"), rows.independent("Reaction[0]", "Reaction[10]")
    (False, True)
    """
    unrolled = checked_choice("view", view, VIEWS)
    held = {checked_choice("constant", word, CONSTANTS) for word in checked_names("constant", constant)}
    model = _model_of(source, data, family, options)
    model.design.need_rows("a graph")
    parts = _Parts(model, links_of(model.design, centered=checked_flag("centered", centered)))
    return parts.unrolled(held) if unrolled else parts.plain(held)


def _model_of(source: Any, data: Any, family: Any, options: dict[str, Any]) -> MixedModel[Any]:
    if isinstance(source, str | Formula):
        if data is None:
            raise SpecificationError(f"the graph of a formula needs data: graph({str(source)!r}, data)")
        if is_mismeasured(source, options.get("functions"), options.get("errors_in_variables")):
            from mixedfx.models.errors_in_variables import ErrorsInVariablesModel

            return ErrorsInVariablesModel(str(source), data, family=family, **options)
        if family is None or family == "gaussian":
            return LinearMixedModel(source, data, **options)
        return GeneralizedLinearMixedModel(source, data, family=family, **options)
    fit = results_of_ours(source)
    model = source if fit is None else fit.model
    if not isinstance(getattr(model, "design", None), Design):
        raise TypeError(f"graph takes a fitted model, a model or a formula with data; found {type(source).__name__}")
    given = [name for name, value in {"data": data, "family": family, **options}.items() if value is not None]
    if given:
        raise SpecificationError(f"{given[0]} belongs to a formula; a model has its own: leave it out, graph(fit)")
    unfitted: MixedModel[Any] = model
    return unfitted


@dataclass(frozen=True)
class _Template:
    """A node of the plate view.

    Attributes
    ----------
    name, kind : str
    codes : (n,) or None
        Level of every row; None for what stands once.
    labels : tuple of str
        Of the levels.
    deterministic : bool
        Whether it is a function of its parents.
    members : (n, m) or None
        Which levels every row has a part of, where it has several.
    notes : tuple of str
    """

    name: str
    kind: str
    codes: IntArray | None = None
    labels: tuple[str, ...] = ()
    deterministic: bool = False
    members: BoolArray | None = None
    notes: tuple[str, ...] = ()

    def copies(self) -> list[str]:
        """Names of its nodes when unrolled."""
        return [self.name] if not self.labels else [unrolled_name(self.name, label) for label in self.labels]


def unrolled_name(name: str, label: str) -> str:
    """Return the name of one level of a node: ``b[Subject]`` and ``308`` give ``b[Subject: 308]``."""
    return f"{name[:-1]}: {label}]" if name.endswith("]") else f"{name}[{label}]"


class _Parts:
    """Templates of a model, and the edges between them."""

    def __init__(self, model: MixedModel[Any], links: Links) -> None:
        self.model, self.links = model, links
        self.design = model.design
        self.plain_model: MixedModel[Any] = model if model.naive_model is None else model.naive_model
        self.measured = {one.name: one for one in model.design.measured}
        self.plates, _ = plates_of(model.design)
        self.templates: dict[str, _Template] = {}
        self.edges: list[tuple[str, str]] = []
        self.taken = {model.design.response.name, *model.design.fixed.terms}
        self.taken |= {name for one in self.measured.values() for name in one.columns}
        for component in model.components.values():
            self.taken |= set(component.terms)
        n = len(model.design.index)
        self.rows = _Template("rows", "", np.arange(n), _labels(model.design.index))
        self.of_plate = {plate.name: _labels(model.design.random[plate.terms[0]].levels) for plate in self.plates}
        self._build()

    # ---------------------------------------------------------------- the two views
    def plain(self, held: set[str]) -> Graph:
        """The plate view."""
        marks = {t.name: Mark(t.kind, t.notes) for t in self.templates.values()}
        fixed = [t.name for t in self.templates.values() if t.deterministic or t.kind in held]
        return Graph._of_model(self.edges, fixed, marks, self.model, tuple(self._panels()), self._scheme())

    def _panels(self) -> Iterable[Panel]:
        def inside(plate: Plate) -> tuple[str, ...]:
            return tuple(
                t.name
                for t in self.templates.values()
                if t.codes is not None and Plate("", len(t.labels), t.codes, ()).within(plate)
            )

        every = [*self.plates, Plate("rows", len(self.rows.labels), np.arange(len(self.rows.labels)), ())]
        for plate in every:
            yield Panel(f"{plate.name}: {plate.count}", inside(plate))
        for plate in pooled_plates(self.design):
            yield Panel(f"{plate.name}: {plate.count}", tuple(self._effect_name(k) for k in plate.terms))

    def _scheme(self) -> Scheme | None:
        """What a picture of plates needs; None where some node has no place in it."""
        design, terms = self.design, range(len(self.design.random))
        response = self.templates[design.response.name]
        shapes = [name for name in self._parents(response.name) if self.templates[name].kind == PARAMETER]
        others = {self.predictor, *shapes}
        if set(self._parents(response.name)) != others or design.offset is not None or self.measured:
            return None
        return Scheme(
            arrange(design),
            self.links,
            len(self.rows.labels),
            response.name,
            self.predictor,
            tuple(self._effect_name(k) for k in terms),
            tuple(self._spread_name(k) for k in terms),
            tuple(_columns(term) for term in design.random),
            {k: self._slope_name(k) for k in self.links.means},
            tuple(shapes),
        )

    def _parents(self, name: str) -> list[str]:
        return [tail for tail, head in self.edges if head == name]

    def unrolled(self, held: set[str]) -> Graph:
        """One node a level.

        Raises
        ------
        SpecificationError
            If there would be too many.
        """
        count = sum(max(1, len(t.labels)) for t in self.templates.values())
        if count > MOST_NODES:
            raise SpecificationError(
                f"the unrolled graph would have {count:,} nodes, more than {MOST_NODES:,}: take view='plates', or the "
                "graph of a part of the data"
            )
        marks, fixed = {}, []
        for template in self.templates.values():
            for name in template.copies():
                marks[name] = Mark(template.kind)
                if template.deterministic or template.kind in held:
                    fixed.append(name)
        edges = [edge for tail, head in self.edges for edge in self._copied(tail, head)]
        for k, term in enumerate(self.design.random):
            if term.loading is not None:
                edges += self._loaded(self._effect_name(k), term, marks, fixed)
        return Graph._of_model(edges, fixed, marks, self.model)

    def _copied(self, tail: str, head: str) -> Iterable[tuple[str, str]]:
        one, other = self.templates[tail], self.templates[head]
        tails, heads = one.copies(), other.copies()
        if one.members is not None:
            return [(tails[j], heads[i]) for i, j in zip(*np.nonzero(one.members))]
        if one.codes is None or other.codes is None:
            return [(a, b) for a in tails for b in heads]
        pairs = np.unique(one.codes * len(heads) + other.codes)
        return [(tails[key // len(heads)], heads[key % len(heads)]) for key in pairs]

    def _loaded(
        self, name: str, term: RandomEffects, marks: dict[str, Mark], fixed: list[str]
    ) -> Iterable[tuple[str, str]]:
        """Levels that are correlated as given are sums of independent ones: ``b = L z``."""
        copies = self.templates[name].copies()
        fixed += copies
        assert term.loading is not None
        sources = [f"z{copy[1:]}" for copy in copies]
        marks |= {source: Mark(EFFECT) for source in sources}
        rows, columns = np.nonzero(term.loading)
        return [(sources[j], copies[i]) for i, j in zip(rows, columns)]

    # ---------------------------------------------------------------- templates
    def _build(self) -> None:
        for plate in self.plates:
            for k in plate.terms:
                self._effect(k, plate)
        for plate in pooled_plates(self.design):
            for k in plate.terms:
                self._pooled(k)
        for term, others in self.links.shifts.items():
            self.edges += [(self._effect_name(k), self._effect_name(term)) for k in others]
        self.predictor = self._predictor()
        self._response(self.predictor)
        self._measurements()

    def _add(self, template: _Template, *children: str) -> str:
        """Add a node, and edges to nodes that stand already or will."""
        self.templates.setdefault(template.name, template)
        self.edges += [(template.name, child) for child in children]
        return template.name

    def _own(self, name: str) -> str:
        """A name of the model's own that no column bears."""
        while name in self.taken:
            name += "'"
        return name

    def _label(self, k: int) -> str:
        term = self.design.random[k]
        alone = sum(other.group == term.group for other in self.design.random) == 1
        return term.group if alone else term.term.removeprefix("(").removesuffix(")")

    def _effect_name(self, k: int) -> str:
        return self._own(f"{'a' if k in self.links.centred else 'b'}[{self._label(k)}]")

    def _slope_name(self, k: int) -> str:
        return self._own(f"gamma[{self._label(k)}]")

    def _spread_name(self, k: int) -> str:
        if self.model.laws and self.model.laws[k] is not None:
            return self._own(f"lambda[{self._label(k)}]")
        single = len(self.design.random[k].variances) == 1
        return self._own(f"{'sd' if single else 'Sigma'}[{self._label(k)}]")

    def _effect(self, k: int, plate: Plate) -> None:
        term, name = self.design.random[k], self._effect_name(k)
        if term.covariance.n_theta:
            self._add(_Template(self._spread_name(k), PARAMETER), name)
        means = self.links.means.get(k, ())
        if means:
            self._add(_Template(self._slope_name(k), PARAMETER), name)
        for fixed in means:
            self._data(fixed, name)
        self._add(_Template(name, EFFECT, plate.codes, self.of_plate[plate.name], notes=term.names))

    def _pooled(self, k: int) -> None:
        """The coefficients of a smooth as one vector; levels of which a row has several, each with its rows."""
        term, name = self.design.random[k], self._effect_name(k)
        self._add(_Template(self._spread_name(k), PARAMETER), name)
        if term.is_smooth:
            self._add(_Template(name, EFFECT, notes=term.shown_names))
        else:
            labels, members = _labels(term.shown_levels), term.matrix != 0.0
            self._add(_Template(name, EFFECT, labels=labels, members=members, notes=term.shown_names))

    def _data(self, name: str, child: str) -> None:
        """A fixed term, once a level of the coarsest factor within whose levels it is constant."""
        codes, labels = self.rows.codes, self.rows.labels
        unit = self.model.data.term if name in self.measured else None
        if unit is not None:
            codes, labels = unit.codes, _labels(unit.levels)
        else:
            for plate in self.plates:
                if name in plate.predictors:
                    codes, labels = plate.codes, self.of_plate[plate.name]
                    break
        self._add(_Template(name, EFFECT if name in self.measured else DATA, codes, labels), child)

    def _measurements(self) -> None:
        """True values depend on the other predictors, and each of its measurements on its true value alone."""
        others = [name for name in self.design.fixed.terms if name in self.templates and name not in self.measured]
        before: list[str] = []
        for name, one in self.measured.items():
            template = self.templates[name]
            self.edges += [(other, name) for other in (*others, *before)]
            before.append(name)
            for parameter in ("gamma", "sd"):
                self._add(_Template(self._own(f"{parameter}[{name}]"), PARAMETER), name)
            error = self._add(_Template(self._own(f"error[{name}]"), PARAMETER))
            for column in one.columns:
                self._add(_Template(column, RESPONSE, template.codes, template.labels))
                self.edges += [(name, column), (error, column)]

    def _predictor(self) -> str:
        normal = self.plain_model.family is None
        name = self._own("mu" if normal else "eta")
        node = _Template(name, PREDICTOR, self.rows.codes, self.rows.labels, deterministic=True)
        if self.design.fixed.names and (self.links.predictors or self.design.fixed.has_intercept):
            self._add(_Template(self._own("beta"), PARAMETER), name)
        for fixed in self.links.predictors:
            self._data(fixed, name)
        if self.design.offset is not None:
            self._add(_Template(self._own("offset"), DATA, self.rows.codes, self.rows.labels), name)
        self.edges += [(self._effect_name(k), name) for k in self.links.direct]
        return self._add(node)

    def _response(self, predictor: str) -> None:
        response = self.design.response.name
        self.edges.append((predictor, response))
        shaped = self._residuals(response)
        for parameter in self._parameters():
            self._add(_Template(self._own(parameter), PARAMETER), shaped)
        for component, fixed in self.plain_model.components.items():
            name = self._own(f"eta[{component}]")
            self._add(_Template(self._own(f"beta[{component}]"), PARAMETER), name)
            for term, columns in fixed.terms.items():
                if term != "Intercept" and columns:
                    self._data(term, name)
            rows = self.rows
            self._add(_Template(name, PREDICTOR, rows.codes, rows.labels, deterministic=True), response)
        self._add(_Template(response, RESPONSE, self.rows.codes, self.rows.labels))

    def _residuals(self, response: str) -> str:
        """What the parameters of the residuals shape: the response, or a vector for each group of correlated rows."""
        residual = self.plain_model.bound_residual
        if residual is None or residual.groups is None:
            return response
        labels = tuple(str(i) for i in range(int(residual.groups.max()) + 1))
        return self._add(_Template(self._own("e"), EFFECT, residual.groups, labels), response)

    def _parameters(self) -> Iterable[str]:
        family, residual = self.plain_model.family, self.plain_model.bound_residual
        if family is not None:
            yield from family.phi_names if family.has_intercept else ["thresholds"]
            return
        if self.plain_model.sigma is None and (residual is None or residual.sigma is None):
            yield "sigma"
        if residual is not None and residual.start.size:
            yield "R"


def _columns(term: RandomEffects) -> tuple[str, ...]:
    """What a level has coefficients of."""
    return (f"{term.n_columns} coefficients",) if term.is_smooth else term.shown_names


def _labels(index: pd.Index[Any]) -> tuple[str, ...]:
    """Levels or rows as distinct texts; positions where their own are not."""
    own = [":".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in index]
    return tuple(own) if len(set(own)) == len(own) else tuple(str(i) for i in range(len(own)))
