"""What a program is written from: the model of a fit as data, names and parameters, whatever the language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array, IntArray
from mixedfx.covariance.linear import DiagonalCovariance, HomogeneousDiagonalCovariance, UnstructuredCovariance
from mixedfx.covariance.pooled import PooledDiagonalCovariance
from mixedfx.exceptions import SpecificationError
from mixedfx.families.base import Family
from mixedfx.families.links import LINKS
from mixedfx.fitting.reported import term_entries
from mixedfx.matrices import RandomEffects
from mixedfx.programs.families import FamilyNumber, numbers_of
from mixedfx.programs.names import Names
from mixedfx.programs.priors import POSITIVE, REAL, Domain, Prior
from mixedfx.results.base import MixedResults

__all__ = ["Correlation", "Description", "Number", "Parameter", "Predictor", "Term", "describe"]

SMALLEST_START = 0.1  # of a standard deviation, relative to the residual or to one: samplers cannot start at zero
LARGEST_START = 0.95  # of a correlation
FAR = 9.0  # of the logarithm of a shape or a size to start from
KINDS = ("linear", "generalized")
WRITTEN = UnstructuredCovariance | DiagonalCovariance | HomogeneousDiagonalCovariance | PooledDiagonalCovariance


@dataclass(frozen=True)
class Parameter:
    """A single number that has a prior.

    Attributes
    ----------
    key : str
        Its name in ``priors``: that of ``fit.conf_int(which="all")`` where it has one.
    name : str
        Its name in the program.
    domain : Domain
    start : float
        Its estimate, inside of its range.
    """

    key: str
    name: str
    domain: Domain
    start: float


@dataclass(frozen=True)
class Predictor:
    """A linear predictor: of the mean, or of another component of the family.

    Attributes
    ----------
    component : str
    coefficients : tuple of Parameter
    columns : tuple of str
        Names (p) of the columns.
    matrix : (n, p)
    offset : (n,) or None
    name : str
        Of the columns in the data.
    vector, dim : str
        Of the vector of coefficients, and of its coordinate.
    """

    component: str
    coefficients: tuple[Parameter, ...]
    columns: tuple[str, ...]
    matrix: Array
    offset: Array | None
    name: str
    vector: str
    dim: str


@dataclass(frozen=True)
class Number:
    """A parameter of the family: a number with a prior, one that is known, or one with a linear predictor."""

    number: FamilyNumber
    parameter: Parameter | None = None
    known: float | None = None
    predictor: Predictor | None = None


@dataclass(frozen=True)
class Correlation:
    """The correlations of the effects of a term, with an LKJ prior.

    Attributes
    ----------
    key : str
        Its name in ``priors``.
    name : str
        Of its Cholesky factor.
    matrix : str
        Of the correlations.
    partial : str
        Of the partial correlations, mapped to (0, 1), where a language has no Cholesky factor.
    start : (q, q)
        The Cholesky factor at the estimate, kept from the ends.
    """

    key: str
    name: str
    matrix: str
    partial: str
    start: Array


@dataclass(frozen=True)
class Term:
    """The random effects of one term.

    Attributes
    ----------
    text : str
        The term as a formula has it.
    group : str
    effects : tuple of str
        Names (q) of the columns.
    deviations : tuple of Parameter
        Standard deviations.
    which : tuple of int
        Which of them every column has.
    correlation : Correlation or None
    codes : (n,)
    levels : tuple of str
    matrix : (n, q)
    loading : (m, m) or None
        Factor of a known covariance between levels.
    name, code, columns, sd, effect, raw, dim, effect_dim, loading_name : str
        Identifiers: of the group, its codes, its columns, standard deviations, effects, standardised effects, levels,
        and columns.
    start : (m, q)
        The conditional modes, before ``loading``.
    """

    text: str
    group: str
    effects: tuple[str, ...]
    deviations: tuple[Parameter, ...]
    which: tuple[int, ...]
    correlation: Correlation | None
    codes: IntArray
    levels: tuple[str, ...]
    matrix: Array
    loading: Array | None
    name: str
    code: str
    columns: str
    sd: str
    effect: str
    raw: str
    dim: str
    effect_dim: str
    loading_name: str
    start: Array

    @property
    def size(self) -> int:
        """Number q of columns."""
        return len(self.effects)

    @property
    def is_plain(self) -> bool:
        """Whether its only column is constant one: an intercept for every level."""
        return self.size == 1 and bool(np.all(self.matrix == 1.0))

    @property
    def spreads(self) -> tuple[Parameter, ...]:
        """The standard deviation of every column (q,)."""
        return tuple(self.deviations[k] for k in self.which)

    @property
    def is_shared(self) -> bool:
        """Whether one standard deviation stands for several columns."""
        return len(self.deviations) < self.size


@dataclass(frozen=True)
class Description:
    """A mixed model as a program has it.

    Attributes
    ----------
    formula, title : str
        What is written at its head.
    response : str
        The left side of the formula.
    family : Family
    y : (n,)
        The response on the family's own scale: successes out of trials, categories from 0.
    trials, weights : (n,) or None
        Weights divide the dispersion.
    mean : Predictor
    numbers : tuple of Number
        Of the family, in its order.
    thresholds : tuple of float
        Where the categories of an ordinal response meet, at the estimate.
    threshold_names : tuple of str
        What a fit calls them.
    terms : tuple of Term
    priors : dict of Prior by key
    notes : tuple of str
    """

    formula: str
    title: str
    response: str
    family: Family
    y: Array
    trials: Array | None
    weights: Array | None
    mean: Predictor
    numbers: tuple[Number, ...]
    thresholds: tuple[float, ...]
    threshold_names: tuple[str, ...]
    terms: tuple[Term, ...]
    priors: dict[str, Prior]
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def predictors(self) -> tuple[Predictor, ...]:
        """All linear predictors, that of the mean first."""
        return (self.mean, *(number.predictor for number in self.numbers if number.predictor is not None))

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All single numbers that have priors: coefficients, standard deviations, the family's own."""
        coefficients = [p for predictor in self.predictors for p in predictor.coefficients]
        deviations = [p for term in self.terms for p in term.deviations]
        return (*coefficients, *deviations, *(n.parameter for n in self.numbers if n.parameter is not None))

    @property
    def correlations(self) -> tuple[Term, ...]:
        """The terms with correlated effects."""
        return tuple(term for term in self.terms if term.correlation is not None)

    @property
    def coordinates(self) -> dict[str, list[str]]:
        """Labels of the coordinates of vectors, by the name of the coordinate."""
        found = {p.dim: list(p.columns) for p in self.predictors if p.columns}
        for term in self.terms:
            found[term.dim] = list(term.levels)
            found[term.effect_dim] = list(term.effects)
        return found

    @property
    def vectors(self) -> set[str]:
        """Names of arrays in programs that are made of single numbers, or hold random effects."""
        found = {predictor.vector for predictor in self.predictors}
        for term in self.terms:
            found |= {term.sd, term.effect, term.raw}
            if term.correlation is not None:
                found |= {term.correlation.name, term.correlation.matrix, term.correlation.partial}
        return found

    @property
    def is_binary(self) -> bool:
        """Whether every row is one trial."""
        return self.trials is None or bool(np.all(self.trials == 1.0))

    def number(self, name: str) -> Number:
        """Return the family's parameter that programs call so."""
        return next(number for number in self.numbers if number.number.name == name)

    def with_priors(self, priors: dict[str, Prior]) -> Description:
        """Return it with other priors."""
        return replace(self, priors=priors)


THRESHOLDS = "family: thresholds"


# ---------------------------------------------------------------- from a fit
def describe(fit: MixedResults, method: str) -> Description:
    """Return the model of a fit, without priors.

    Parameters
    ----------
    fit : fitted mixed model
    method : str
        What the user called, for messages.

    Raises
    ------
    SpecificationError
        If the model has parts that no program here has.
    """
    _check(fit, method)
    design, solution, names = fit.design, fit.solution, Names()
    family = _family(fit)
    weights = _weights(fit) if family.precision_weights else None
    observed = family.observe(design.response.values, trials=design.response.trials)
    for own in (
        "sigma",
        "shape",
        "df",
        "concentration",
        "excess",
        "precision",
        "zero_inflation",
        "thresholds",
        "eta",
        "beta",
    ):
        names.own(own)
    coefficients = dict(zip(design.fixed.names, solution.beta))
    mean = _predictor("mean", design.fixed.names, coefficients, design.fixed.matrix, names, design.offset)
    numbers = tuple(_number(fit, family, own, names) for own in numbers_of(family))
    thresholds: tuple[float, ...] = ()
    threshold_names: tuple[str, ...] = ()
    if family.has_categories:
        thresholds = tuple(family.natural(solution.response.phi)[0].values())
        threshold_names = tuple(entry.name for entry in solution.reported if entry.component == "family")
    scale = float(np.sqrt(solution.scale)) if family.name == "gaussian" else 1.0
    keys = _keys(design.random)
    terms = tuple(
        _term(term, np.asarray(root), np.asarray(modes), own, names, scale)
        for term, root, modes, own in zip(design.random, solution.roots, solution.modes, keys, strict=True)
    )
    title = f"{family.name} response {design.response.name}, {family.link.name} link, {design.n_rows} rows"
    return Description(
        str(design.formula),
        title,
        design.response.name,
        family,
        np.asarray(observed.y),
        design.response.trials if family.proportions else None,
        weights,
        mean,
        numbers,
        thresholds,
        threshold_names,
        terms,
        {},
        tuple(_left_out(fit)),
    )


def _left_out(fit: MixedResults) -> Iterator[str]:
    """Yield sentences on what the formula or the fit have, and the program has not."""
    for one in fit.design.undetermined:
        yield f"Without {one.what}: it {one.why}."
    if getattr(fit.model, "penalty", 0.0):
        yield "Without the penalty of the fit, whose place the priors of the coefficients take."


def _check(fit: MixedResults, method: str) -> None:
    """Refuse what no program has."""
    solution, family = fit.solution, fit.solution.family
    fit.design.need_rows("a program with its data")
    if solution.kind not in KINDS:
        raise SpecificationError(
            f"{method} writes linear and generalised linear mixed models; this is a {solution.heading.lower()}"
        )
    residual = solution.residual
    if residual is not None and (residual.n_rho or residual.correlation is not None):
        raise SpecificationError(f"{method} has no residual structures but mfx.KnownVariance: fit without residual=")
    if family.link.name not in LINKS or family.link != LINKS[family.link.name]:
        raise SpecificationError(f"{method} knows the links of the package; found {family.link.name!r}")
    if fit.design.weights is not None and not family.precision_weights and fit.design.response.trials is None:
        raise SpecificationError(
            f"the weights of a {family.name} model say how many rows each row counts for, which {method} does not "
            "write: repeat the rows, or fit without weights"
        )
    for term in fit.design.random:
        if not isinstance(term.covariance, WRITTEN):
            raise SpecificationError(
                f"{method} has no covariance like that of {term.term}: it writes (x | g), (x || g), homdiag(x | g), "
                "known(1 | g, K), mm(…) and s(…)"
            )


def _family(fit: MixedResults) -> Family:
    """The family; a residual standard deviation that is known is fixed in it."""
    family, sigma, residual = fit.solution.family, getattr(fit.model, "sigma", None), fit.solution.residual
    if residual is not None:
        sigma = residual.sigma
    return family if sigma is None else family.with_fixed(dispersion=float(sigma) ** 2)


def _weights(fit: MixedResults) -> Array | None:
    """What divides the dispersion in every row; one over the variances that are known."""
    known = fit.solution.response.residual_variances() if fit.solution.residual is not None else None
    return fit.design.weights if known is None else np.asarray(fit.solution.scale / known[0])


def _predictor(
    component: str,
    columns: Sequence[str],
    estimates: dict[str, float],
    matrix: Array,
    names: Names,
    offset: Array | None = None,
) -> Predictor:
    first = component == "mean"
    prefix = () if first else (component,)
    coefficients = tuple(
        Parameter(key, names.new("b", *prefix, name), REAL, _finite(estimates[name]))
        for key, name in zip(columns if first else [f"{component}: {name}" for name in columns], columns)
    )
    own = ("X", "beta", "coefficient") if first else (f"X_{component}", f"beta_{component}", f"{component}_coefficient")
    data, vector, dim = map(names.own, own)
    return Predictor(component, coefficients, tuple(columns), np.asarray(matrix), offset, data, vector, dim)


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else 0.0


def _number(fit: MixedResults, family: Family, own: FamilyNumber, names: Names) -> Number:
    """A parameter of the family as the fit has it."""
    solution = fit.solution
    if own.component in family.fixed:
        return Number(own, known=own.natural(family.fixed[own.component]))
    if own.component in solution.components:
        fixed = solution.components[own.component]
        place = f"{own.component}"
        values = {name: solution.parameters[place, name] for name in fixed.names}
        return Number(
            own, predictor=_predictor(own.component, fixed.names, values, solution.response.matrices[place], names)
        )
    if "dispersion" in family.phi_names and not len(solution.response.phi):
        unbounded = float(np.log(solution.scale))  # of a linear model, which profiles it out
    else:
        unbounded = float(solution.response.phi[family.phi_names.index(own.component)])
    if own.name != "sigma":  # whose size is that of the response; others may have run to the end of their range
        unbounded = float(np.clip(unbounded, -FAR, FAR))
    return Number(own, Parameter(own.key, own.name, own.domain, own.natural(unbounded)))


# ---------------------------------------------------------------- random effects
def _keys(random: Sequence[RandomEffects]) -> list[list[str]]:
    """Names of the standard deviations of every term, then that of its correlations; each name once."""
    seen: dict[str, int] = {}
    out = []
    for term in random:
        shared = isinstance(term.covariance, HomogeneousDiagonalCovariance) and term.n_columns > 1
        own = [name for name, i, j in term_entries(term) if i == j]
        own = [f"sd|{term.group}"] if shared else own
        keys = []
        for key in (*own, f"cor|{term.group}"):
            seen[key] = seen.get(key, 0) + 1
            keys.append(key if seen[key] == 1 else f"{key} ({seen[key]})")
        out.append(keys)
    return out


def _term(term: RandomEffects, root: Array, modes: Array, keys: list[str], names: Names, scale: float) -> Term:
    covariance = root @ root.T
    spread = np.sqrt(np.diag(covariance))
    sizes = np.sqrt(np.mean(np.square(term.matrix), axis=0))
    least = SMALLEST_START * scale / np.where(sizes > 0, sizes, 1.0)
    start = np.maximum(spread, least)
    group = names.new(term.group, otherwise="group")
    which = _blocks(term, len(keys) - 1)
    firsts = [which.index(k) for k in range(len(keys) - 1)]
    labels = [()] if len(firsts) == 1 < term.n_columns else [(term.variance_name(j),) for j in firsts]
    deviations = tuple(
        Parameter(key, names.new("sd", group, *label), POSITIVE, float(start[j]))
        for key, label, j in zip(keys[:-1], labels, firsts, strict=True)
    )
    correlation = None
    if isinstance(term.covariance, UnstructuredCovariance) and term.n_columns > 1:
        own = (names.new("L", group), names.new("cor", group), names.new("partial", group))
        correlation = Correlation(keys[-1], *own, _correlation_start(covariance, spread))
    levels = _labels(term.levels)
    code, columns, sd, effect, raw, loading = (
        names.new(prefix, group) for prefix in ("code", "design", "sd", "u", "z", "loading")
    )
    before = np.asarray(modes.T if term.loading is None else np.linalg.solve(term.loading, modes.T))
    return Term(
        term.term,
        term.group,
        term.names,
        deviations,
        which,
        correlation,
        term.codes,
        levels,
        term.matrix,
        term.loading,
        group,
        code,
        columns,
        sd,
        effect,
        raw,
        group,
        names.new(group, "effect"),
        loading,
        before,
    )


def _blocks(term: RandomEffects, count: int) -> tuple[int, ...]:
    """Which of ``count`` standard deviations every column has."""
    if term.pooled is not None:
        return tuple((np.searchsorted(term.pooled.firsts, np.arange(term.n_columns), side="right") - 1).tolist())
    return tuple(range(term.n_columns)) if count == term.n_columns else (0,) * term.n_columns


def _labels(levels: pd.Index[Any]) -> tuple[str, ...]:
    """Labels of levels as text, all different."""
    labels = [":".join(map(str, level)) if isinstance(level, tuple) else str(level) for level in levels]
    if len(set(labels)) < len(labels):
        labels = [f"{label} ({k})" for k, label in enumerate(labels, 1)]
    return tuple(labels)


def _correlation_start(covariance: Array, spread: Array) -> Array:
    """Cholesky factor of the correlations, drawn towards independence where they are close to an end."""
    safe = np.where(spread > 0, spread, 1.0)
    matrix = covariance / np.outer(safe, safe)
    np.fill_diagonal(matrix, 1.0)
    if np.linalg.eigvalsh(matrix)[0] < 1.0 - LARGEST_START:
        matrix = LARGEST_START * matrix + (1.0 - LARGEST_START) * np.eye(len(spread))
    return np.asarray(np.linalg.cholesky(matrix))
