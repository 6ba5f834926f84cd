"""Whether a model contains another: its columns, its random terms, its residuals and what else it was given.

Two spellings of one space of columns are one space, and so are two spellings of one covariance. What is asked of the
random part is whether the covariance that a term gives to pairs of rows is among the linear combinations of those that
the larger model can give: where it is not, the models are not nested, whatever the values of the parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import linalg

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.covariance.residual.structure import BoundResidual, ResidualStructure, factors_of
from mixedfx.families import Family, parameters_at_limit
from mixedfx.fitting.starts import random_theta
from mixedfx.matrices import RandomEffects
from mixedfx.matrices.fixed import independent_columns
from mixedfx.results.base import MixedResults

__all__ = ["MEAN", "Columns", "Contents", "Difference", "contents_of", "difference", "same_values"]

MEAN = "mean"  # the parameter of every family whose linear predictor comes first
SAME = 1e-8  # relative difference of weights and offsets that counts as none
OUTSIDE = 1e-8  # part of an offset outside of the columns of a model, relative to its size, that counts as none
APART = 1e-6  # part of a covariance outside of those of a model, relative to its size, that counts as some
RANK = 1e-10  # pivots, relative to the first, that count as zero
FEWEST, MOST = 400, 600  # pairs of rows looked at for every grouping; covariances of a model beyond which none is
RHO = 0.4  # size of the parameters at which a residual structure is looked at
LARGEST = 2**24  # numbers of the root of a residual covariance that are looked at
SHOWN = 4  # columns or terms that are named


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns (n, p) of a linear predictor, and their names."""

    matrix: Array
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Contents:
    """What of a model says whether another contains it.

    Attributes
    ----------
    family : Family or None
    weights, offset : array or None
    predictors : dict of str to Columns, or None
        Columns of each linear predictor, by the parameter of the family; None where they are not known.
    random : tuple of RandomEffects
    laws : dict of str to str
        Laws of random effects that are not normal, by group.
    normal : bool
        Whether there are residuals with a variance of their own.
    sigma : float or None
        Their standard deviation where it is known.
    residual : BoundResidual or None
        Their structure.
    factors : tuple of ResidualStructure
        What it is made of.
    """

    family: Family | None
    weights: Array | None = field(repr=False)
    offset: Array | None = field(repr=False)
    predictors: Mapping[str, Columns] | None = None
    random: tuple[RandomEffects, ...] = ()
    laws: Mapping[str, str] = field(default_factory=dict)
    normal: bool = False
    sigma: float | None = None
    residual: BoundResidual | None = None
    factors: tuple[ResidualStructure, ...] = ()


@dataclass(frozen=True)
class Difference:
    """Why a model does not contain a smaller one; false if it does, or if that cannot be told.

    Attributes
    ----------
    settings : tuple of str
        What both have, but not the same.
    lacking : tuple of str
        Columns and terms of the smaller model that the larger one lacks.
    """

    settings: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.settings or self.lacking)

    def words(self, small: str, large: str) -> str:
        """Say it of two models that are called ``small`` and ``large``."""
        parts = [f"{small} and {large} differ in their {' and '.join(self.settings)}"] if self.settings else []
        more = len(self.lacking) - SHOWN
        named = ", ".join(self.lacking[:SHOWN]) + (f" and {more} more" if more > 0 else "")
        parts += [f"{small} has {named}, which {large} lacks"] if self.lacking else []
        return "; ".join(parts)


def contents_of(fit: MixedResults, weights: Array | None, offset: Array | None) -> Contents:
    """Return the contents of a fit; ``weights`` and ``offset`` are those of its rows, or stand for them."""
    design, solution = fit.design, fit.solution
    normal = solution.response.has_normal_residuals
    known = normal and not solution.has_sigma
    sigma = float(np.sqrt(solution.scale)) if known else None
    if design.represented is not None or solution.measured_by:  # no rows, or not those of the true values
        return Contents(solution.family, weights, offset, normal=normal, sigma=sigma)
    fixed = {MEAN: design.fixed} | dict(solution.components)
    structure = fit.model.residual
    return Contents(
        solution.family,
        weights,
        offset,
        {name: Columns(part.matrix, tuple(part.names)) for name, part in fixed.items()},
        design.random,
        solution.laws,
        normal,
        sigma,
        solution.residual,
        () if structure is None else factors_of(structure),
    )


def difference(small: Contents, large: Contents) -> Difference:
    """Return why ``large`` does not contain ``small``; nothing if it does, or if that cannot be told."""
    settings = [] if same_values(small.weights, large.weights, 1.0) else ["weights"]
    if small.family is not None and large.family is not None:
        if small.family.link != large.family.link:
            settings.append("links")
        elif parameters_at_limit(small.family, large.family) is None:
            settings.append("families")
    settings += [] if _offset_is_a_predictor(small, large) else ["offsets"]
    if dict(small.laws) != {group: law for group, law in large.laws.items() if group in _groups(small)}:
        settings.append("laws of random effects")
    if large.sigma is not None and small.normal and small.sigma != large.sigma:
        settings.append("known residual standard deviations")
    if small.predictors is None or large.predictors is None:
        return Difference(tuple(settings))
    lacking = [*_lacking_columns(small, large), *_lacking_terms(small, large), *_lacking_residuals(small, large)]
    return Difference(tuple(settings), tuple(lacking))


def _groups(model: Contents) -> set[str]:
    return {term.group for term in model.random}


def same_values(one: Array | None, other: Array | None, usual: float) -> bool:
    """Whether two arguments with a value for each row are equal; none given means the ``usual`` value everywhere."""
    if one is None and other is None:
        return True
    a, b = (np.asarray(usual) if values is None else values for values in (one, other))
    return bool(np.allclose(a, b, rtol=SAME, atol=0.0))


def _offset_is_a_predictor(small: Contents, large: Contents) -> bool:
    """Whether the larger model can have the offset of the smaller one: equal, or made of its columns."""
    if same_values(small.offset, large.offset, 0.0):
        return True
    if large.predictors is None:
        return False
    X = large.predictors[MEAN].matrix
    own, other = (np.zeros(len(X)) if o is None else o for o in (small.offset, large.offset))
    size = np.linalg.norm(X, axis=0)
    X = X / np.where(size > 0, size, 1.0)
    rest = own - other
    left = rest - X @ np.linalg.lstsq(X, rest, rcond=None)[0]
    return bool(np.linalg.norm(left) <= OUTSIDE * np.linalg.norm(rest))


# ---------------------------------------------------------------- columns
def _lacking_columns(small: Contents, large: Contents) -> list[str]:
    """Names of the columns of linear predictors that are no combinations of those of the larger model."""
    own, others = dict(small.predictors or {}), dict(large.predictors or {})
    n = len(own[MEAN].matrix)
    constant = Columns(np.ones((n, 1)), ("Intercept",))
    has = {parameter.name for parameter in small.family.parameters} if small.family is not None else set()
    missing: list[str] = []
    for name in dict.fromkeys([*own, *others]):
        if name not in own and name not in has:  # the larger model is the smaller one without it
            continue
        there = others.get(name, constant)
        wanted = _without_shared(own.get(name, constant), there)
        if not wanted.names:
            continue
        implied = name == MEAN and large.family is not None and not large.family.has_intercept
        before = np.column_stack([constant.matrix, there.matrix]) if implied else there.matrix
        kept = independent_columns(_constant_first(before, wanted.matrix)).kept - before.shape[1]
        label = "" if name == MEAN else f"{name}: "
        missing += [f"{label}{wanted.names[j]}" for j in kept[kept >= 0].tolist()]
    return missing


def _without_shared(wanted: Columns, there: Columns) -> Columns:
    """The columns that are not, by name and value, among others."""
    places = {name: j for j, name in enumerate(there.names)}
    kept = [
        j
        for j, name in enumerate(wanted.names)
        if name not in places or not np.array_equal(wanted.matrix[:, j], there.matrix[:, places[name]])
    ]
    return Columns(wanted.matrix[:, kept], tuple(wanted.names[j] for j in kept))


def _constant_first(before: Array, after: Array) -> Array:
    """Columns beside columns, a constant one of the first at the very front: others are judged by their spread."""
    constant = np.all(before == before[:1], axis=0) & (before[0] != 0)
    return np.column_stack([before[:, constant], before[:, ~constant], after])


# ---------------------------------------------------------------- random terms
@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of rows; a row with itself is one, too."""

    first: IntArray
    second: IntArray

    @property
    def equal(self) -> BoolArray:
        return np.asarray(self.first == self.second)

    def without(self, left_out: BoolArray) -> _Pairs:
        return _Pairs(self.first[~left_out], self.second[~left_out])


def _lacking_terms(small: Contents, large: Contents) -> list[str]:
    """The random terms whose covariances are no combinations of those of the larger model."""
    count = sum(_count(term) for term in large.random)
    own = [term for term in small.random if not any(_is_same(term, other) for other in large.random)]
    own = [term for term in own if _count(term) <= MOST]
    if not own or count > MOST:
        return []
    n = len(own[0].codes)
    pairs = _known_pairs(_drawn_pairs([*own, *large.random], np.arange(n), max(FEWEST, 2 * count)), large)
    basis = _basis(large, pairs)
    return [term.term for term in own if _is_outside(_covariances(term, pairs), basis)]


def _is_same(one: RandomEffects, other: RandomEffects) -> bool:
    return (
        one.covariance == other.covariance
        and one.loading is other.loading is None
        and np.array_equal(one.codes, other.codes)
        and np.array_equal(one.matrix, other.matrix)
    )


def _count(term: RandomEffects) -> int:
    """How many covariances span those that the term can give."""
    covariance = term.covariance
    return covariance.size * (covariance.size + 1) // 2 if covariance.is_correlated else covariance.n_theta


def _drawn_pairs(terms: Sequence[RandomEffects], rows: IntArray, count: int) -> _Pairs:
    """Rows with themselves, pairs of any rows, and pairs that share a level of each term, ``count`` of each kind."""
    rng = np.random.default_rng(0)
    found = [(some := rng.permutation(rows)[:count], some), (rng.choice(rows, count), rng.choice(rows, count))]
    for codes in {id(term.codes): term.codes for term in terms}.values():
        mixed = rng.permutation(rows)
        order = mixed[np.argsort(codes[mixed], kind="stable")]
        for lag in (1, 2):
            first, second = order[:-lag], order[lag:]
            shared = np.flatnonzero(codes[first] == codes[second])
            some = rng.permutation(shared)[:count]
            found.append((first[some], second[some]))
    first, second = (np.concatenate(part) for part in zip(*found, strict=True))
    return _Pairs(first, second)


def _known_pairs(pairs: _Pairs, large: Contents) -> _Pairs:
    """The pairs whose covariance a residual structure of the larger model leaves to its random terms."""
    if large.residual is None:
        return pairs
    groups = large.residual.groups
    alike = np.zeros(len(pairs.first), dtype=bool) if groups is None else groups[pairs.first] == groups[pairs.second]
    return pairs.without(alike | (pairs.equal & bool(large.residual.variances)))


def _basis(model: Contents, pairs: _Pairs) -> Array:
    """An orthonormal basis (P, k) of the covariances that a model can give to pairs of rows."""
    parts = [_covariances(term, pairs) for term in model.random]
    if model.normal:
        weights = np.ones(1 + int(pairs.first.max(initial=0))) if model.weights is None else model.weights
        parts.append((pairs.equal / weights[pairs.first])[:, None])
    return _orthonormal(np.column_stack([np.zeros((len(pairs.first), 0)), *parts]))


def _orthonormal(columns: Array) -> Array:
    """An orthonormal basis of the span of columns, each of which counts by its direction."""
    size = np.linalg.norm(columns, axis=0)
    columns = columns[:, size > 0] / size[size > 0]
    if not columns.size:
        return np.zeros((len(columns), 0))
    Q, R, _ = linalg.qr(columns, mode="economic", pivoting=True)
    pivots = np.abs(R.diagonal())
    return np.asarray(Q[:, : np.sum(pivots > RANK * pivots[0])])


def _is_outside(columns: Array, basis: Array) -> bool:
    """Whether a column is no combination of the orthonormal columns of ``basis``."""
    left = columns - basis @ (basis.T @ columns)
    return bool(np.any(np.linalg.norm(left, axis=0) > APART * np.linalg.norm(columns, axis=0)))


def _covariances(term: RandomEffects, pairs: _Pairs) -> Array:
    """Covariances (P, k) of the pairs that span those that the term can give them."""
    one, other = term.codes[pairs.first], term.codes[pairs.second]
    shared = 1.0 * (one == other) if term.loading is None else np.sum(term.loading[one] * term.loading[other], axis=1)
    if term.covariance.closed_under_affine():  # every covariance of every basis of the columns
        rows, places = np.unique(np.concatenate([pairs.first, pairs.second]), return_inverse=True)
        Q = _orthonormal(term.matrix[rows])[places]
        left, right = Q[: len(one)], Q[len(one) :]
        a, b = np.tril_indices(Q.shape[1])
        return np.asarray(shared[:, None] * (left[:, a] * right[:, b] + left[:, b] * right[:, a]))
    left, right = term.matrix[pairs.first], term.matrix[pairs.second]
    found = [np.sum((left @ Sigma) * right, axis=1) for Sigma in _drawn_covariances(term)]
    return np.asarray(shared[:, None] * np.column_stack(found))


def _drawn_covariances(term: RandomEffects) -> list[Array]:
    """Covariances (q, q) of the structure, enough to span them, of columns that are of one size where it allows it."""
    covariance, rng = term.covariance, np.random.default_rng(0)
    size = np.linalg.norm(term.matrix, axis=0)
    scale = 1.0 / np.where(size > 0, size, 1.0) if covariance.closed_under_scaling() else np.ones(covariance.size)
    thetas = [covariance.rescale(random_theta(covariance, rng), scale) for _ in range(_count(term) + 1)]
    return [covariance.covariance(theta) for theta in thetas]


# ---------------------------------------------------------------- residuals
def _lacking_residuals(small: Contents, large: Contents) -> list[str]:
    """The residual structure if the larger model has no such covariances."""
    if small.residual is None or all(one in large.factors for one in small.factors):
        return []
    rows = _whole_groups(small.residual)
    if rows.size * small.residual.n > LARGEST or sum(_count(term) for term in large.random) > MOST:
        return []
    within = np.column_stack(np.tril_indices(rows.size))
    some = np.random.default_rng(0).permutation(len(within))[: 10 * MOST]
    pairs = _known_pairs(_Pairs(rows[within[some, 0]], rows[within[some, 1]]), large)
    places = np.searchsorted(rows, pairs.first), np.searchsorted(rows, pairs.second)
    found = _residual_covariance(small.residual, small.weights, rows)[places]
    outside = _is_outside(found[:, None], _basis(large, pairs))
    return [f"residuals with {'; '.join(map(str, small.factors))}"] if outside else []


def _whole_groups(residual: BoundResidual) -> IntArray:
    """Rows in increasing order, of whole groups as far as these are small."""
    if residual.groups is None:
        return np.arange(min(residual.n, FEWEST))
    order = np.argsort(residual.groups, kind="stable")
    last = residual.groups[order[min(residual.n, FEWEST) - 1]]
    return np.flatnonzero(residual.groups <= last)


def _residual_covariance(residual: BoundResidual, weights: Array | None, rows: IntArray) -> Array:
    """Covariance (r, r) of the residuals of some rows at some value of the parameters, relative to sigma squared."""
    signs = np.where(np.arange(residual.n_rho) % 2, -RHO, RHO)
    rho = np.clip(residual.start + signs, residual.lower, residual.upper)
    units = np.zeros((residual.n, rows.size))
    units[rows, np.arange(rows.size)] = 1.0
    root = residual.unwhiten(rho, units)[rows]
    root = root if weights is None else root / np.sqrt(weights[rows])[:, None]
    return np.asarray(root @ root.T)
