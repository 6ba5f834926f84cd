"""The covariance of the response seen through random vectors: the forms ``v' (dV) v`` of every parameter.

Sums over levels, never an n x n matrix; beside the fixed effects or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.covariance import (
    Covariance,
    DiagonalCovariance,
    HomogeneousDiagonalCovariance,
    UnstructuredCovariance,
)
from mixedfx.covariance.residual.structure import BoundResidual
from mixedfx.matrices.random import RandomEffects

__all__ = [
    "ABSORBED",
    "DEPENDENT",
    "NO_NOISE",
    "SEED",
    "Direction",
    "Noise",
    "SeenTerm",
    "View",
    "directions_of",
    "forms_of",
    "is_full",
    "rank_of",
    "scaled",
    "view_of",
]

SEED = 20_11
SPARE = 8  # random vectors beyond the number of parameters
ABSORBED = 1e-13  # share of a squared length outside the fixed effects below which nothing is left of it
DEPENDENT = 1e-9  # singular value, relative to the largest, of a direction that changes nothing
SAME_SPAN = 1e-11  # share of a column outside the ones before below which it depends on them
BLOCK = 2**22  # numbers of the sums that are made at a time
GENERIC = 0.3  # how far from the start a point is where nothing is special


@dataclass(frozen=True)
class Noise:
    """The variance of the rows beside the random effects.

    Attributes
    ----------
    diagonals : tuple of (n,) arrays
        Derivatives of the variances of the rows with respect to their parameters; none where they are known.
    structure : BoundResidual or None
        Variances and correlations of the residuals.
    weights : (n,) or None
        Precision weights.
    """

    diagonals: tuple[Array, ...] = ()
    structure: BoundResidual | None = None
    weights: Array | None = None


NO_NOISE = Noise()


@dataclass(frozen=True)
class SeenTerm:
    """A random term in the rows of a view.

    ``matrix`` (n, q) has the columns in the metric of the residuals, orthogonal to the ones before where the structure
    allows that; ``zero`` (q,) says which were zero to begin with.
    """

    label: str
    group: str
    names: tuple[str, ...]
    covariance: Covariance
    codes: IntArray
    n_levels: int
    matrix: Array
    zero: tuple[bool, ...]
    loading: Array | None

    def moments(self, vectors: Array) -> Array:
        """Return ``sum over levels (Z'v)(Z'v)'`` (s, q, q) for the vectors (n, s)."""
        q, s = self.matrix.shape[1], vectors.shape[1]
        out = np.empty((s, q, q))
        step = max(1, BLOCK // max(len(vectors) * q, self.n_levels * q, 1))
        for start in range(0, s, step):
            some = vectors[:, start : start + step]
            k = some.shape[1]
            values = (self.matrix[:, :, None] * some[:, None, :]).reshape(len(some), q * k)
            cells = self.codes[:, None] * (q * k) + np.arange(q * k)
            sums = np.bincount(cells.ravel(), weights=values.ravel(), minlength=self.n_levels * q * k)
            t: Array = np.asarray(sums.reshape(self.n_levels, q, k), dtype=float)
            if self.loading is not None:
                t = np.asarray(np.tensordot(self.loading.T, t, axes=1), dtype=float)
            out[start : start + step] = np.einsum("mak,mbk->kab", t, t)
        return out


@dataclass(frozen=True)
class Direction:
    """One direction of the covariances: a matrix (q, q) of a term, and what the parameter is called."""

    term: int
    matrix: Array
    what: str


@dataclass(frozen=True)
class View:
    """Some rows of a design, in the metric of the residuals, and random vectors in them."""

    X: Array
    terms: tuple[SeenTerm, ...]
    diagonals: tuple[Array, ...]
    structure: BoundResidual | None
    rho: Array
    n_vectors: int

    @cached_property
    def _vectors(self) -> Array:
        return np.random.default_rng(SEED).standard_normal((len(self.X), self.n_vectors))

    @cached_property
    def _beside(self) -> Array:
        """The vectors less their part in the span of the fixed effects."""
        Q = np.linalg.qr(_conditioned(self.X))[0]
        once = self._vectors - Q @ (Q.T @ self._vectors)
        return np.asarray(once - Q @ (Q.T @ once))

    @cached_property
    def raw(self) -> list[Array]:
        """Moments (s, q, q) of every term."""
        return [term.moments(self._vectors) for term in self.terms]

    @cached_property
    def projected(self) -> list[Array]:
        """The same beside the fixed effects."""
        return [term.moments(self._beside) for term in self.terms]

    @cached_property
    def raw_noise(self) -> Array:
        """Forms (s, r) of the parameters of the residuals."""
        return self._noise(self._vectors)

    @cached_property
    def projected_noise(self) -> Array:
        """The same beside the fixed effects."""
        return self._noise(self._beside)

    def _noise(self, vectors: Array) -> Array:
        columns = [np.einsum("is,is,i->s", vectors, vectors, d) for d in self.diagonals]
        if self.structure is not None and self.structure.n_rho:
            step = max(1, BLOCK // (len(vectors) * self.structure.n_rho))
            parts = []
            for start in range(0, vectors.shape[1], step):
                some = vectors[:, start : start + step]
                moved = self.structure.whiten_derivative(self.rho, self.structure.unwhiten(self.rho, some))
                parts.append(np.einsum("is,ris->sr", some, moved))
            columns += list(np.concatenate(parts).T)
        return np.array(columns).T.reshape(vectors.shape[1], len(columns))


def _conditioned(X: Array) -> Array:
    """Columns (n, p) with the same span (if one is constant), centred and scaled."""
    constant = np.ptp(X, axis=0) == 0 if len(X) else np.zeros(X.shape[1], dtype=bool)
    centre = np.where(constant, 0.0, X.mean(axis=0)) if constant.any() and np.any(X[0, constant]) else 0.0
    moved = X - centre
    size = np.abs(moved).max(axis=0, initial=0.0)
    return np.asarray(moved[:, size > 0] / size[size > 0])


def view_of(X: Array, random: Sequence[RandomEffects], noise: Noise, rows: IntArray, count: int) -> View:
    """Return the given rows of a design in the metric of the residuals, with a few vectors more than ``count``."""
    whole = len(rows) == len(X)

    def used(values: Array) -> Array:
        return values if whole else values[rows]

    root = None if noise.weights is None else np.sqrt(used(noise.weights) / noise.weights.max())
    structure, rho = noise.structure, np.zeros(0)
    if structure is not None:
        rho = _generic(structure.start, structure.lower, structure.upper)

    def whitened(columns: Array) -> Array:
        weighted = columns if root is None else columns * root[:, None]
        return weighted if structure is None else structure.whiten(rho, weighted)

    terms = []
    for t in random:
        columns = whitened(used(t.matrix))
        zero = tuple(bool(one) for one in ~np.any(columns, axis=0))
        codes: IntArray = t.codes if whole else t.codes[rows]
        matrix = _comparable(columns, t.covariance)
        terms.append(
            SeenTerm(t.term, t.group, tuple(t.names), t.covariance, codes, t.n_levels, matrix, zero, t.loading)
        )
    diagonals = tuple(used(d) for d in noise.diagonals)
    return View(whitened(used(X)), tuple(terms), diagonals, structure, rho, count + SPARE)


def _comparable(columns: Array, covariance: Covariance) -> Array:
    """Columns (n, q) of one size and, if any covariance goes, orthogonal to those before; dependent ones are zero."""
    size = np.abs(columns).max(axis=0, initial=0.0)
    if not covariance.closed_under_scaling():
        size = np.full(size.shape, size.max(initial=0.0))
    scaled = columns / np.where(size > 0, size, 1.0)
    if not isinstance(covariance, UnstructuredCovariance) or covariance.size == 1:
        return np.asarray(scaled)
    done: list[Array] = []
    for column in scaled.T:
        length = float(np.linalg.norm(column))
        rest = column
        for _ in range(2):
            for other in done:
                rest = rest - other * float(other @ rest)
        left = float(np.linalg.norm(rest))
        done.append(rest / left if left > SAME_SPAN * length else np.zeros_like(column))
    return np.asarray(np.stack(done, axis=1) * np.sqrt(len(columns)))


def _generic(start: Array, lower: Array, upper: Array) -> Array:
    """A point near ``start`` within the bounds where nothing is special."""
    rng = np.random.default_rng(SEED)
    with np.errstate(invalid="ignore"):
        room = np.minimum(np.minimum(upper - start, start - lower) * 0.5, GENERIC)
    return np.asarray(start + np.where(room > 0, room, 0.0) * rng.uniform(0.3, 1.0, start.size))


def directions_of(view: View, kept: Sequence[Sequence[int]], covariances: Sequence[Covariance]) -> list[Direction]:
    """Return one direction for every parameter of the ``covariances`` of the kept columns."""
    out = []
    for k, (term, columns, covariance) in enumerate(zip(view.terms, kept, covariances, strict=True)):
        names = [term.names[j] for j in columns]
        for matrix, words in _tangents(covariance, names) if columns else ():
            out.append(Direction(k, matrix, f"{words} by {term.group}"))
    return out


def _tangents(covariance: Covariance, names: Sequence[str]) -> list[tuple[Array, str]]:
    """Tangents (q, q) of a family of covariances at a point where nothing is special, and their names."""
    q = len(names)
    unit = np.eye(q)
    if isinstance(covariance, DiagonalCovariance):
        return [(np.outer(e, e), f"the variance of {name}") for e, name in zip(unit, names, strict=True)]
    if isinstance(covariance, UnstructuredCovariance):
        return [
            (np.outer(unit[i], unit[j]) + np.outer(unit[j], unit[i]), _entry(names, i, j))
            for j in range(q)
            for i in range(j, q)
        ]
    if isinstance(covariance, HomogeneousDiagonalCovariance):
        return [(unit, f"the variance of {', '.join(names)}")]
    start, lower, upper = covariance.start(), covariance.lower(), covariance.upper()
    theta = _generic(start, np.where(lower == 0, -np.inf, lower), upper)
    labels = [f"the parameter {label}" for label in covariance.labels(list(names))]
    return list(zip(covariance.covariance_derivative(theta), labels, strict=True))


def _entry(names: Sequence[str], i: int, j: int) -> str:
    return f"the variance of {names[j]}" if i == j else f"the correlation of {names[j]} and {names[i]}"


def forms_of(moments: Sequence[Array], parameters: Sequence[Direction], kept: Sequence[Sequence[int]]) -> Array:
    """Values (s, k) of the quadratic forms of the parameters."""
    chosen = [whole[:, columns][:, :, columns] for whole, columns in zip(moments, kept, strict=True)]
    columns = [np.einsum("sab,ab->s", chosen[p.term], p.matrix) for p in parameters]
    return np.array(columns).T.reshape(len(moments[0]), len(parameters))


def scaled(forms: Array) -> Array:
    """Return the forms (s, k) with columns of length 1; a column of zeros stays."""
    size = np.linalg.norm(forms, axis=0)
    return np.asarray(forms / np.where(size > 0, size, 1.0))


def rank_of(forms: Array) -> int:
    """Return how many of the parameters behind the forms (s, k) are determined."""
    if forms.shape[1] == 0:
        return 0
    values = np.linalg.svd(scaled(forms), compute_uv=False)
    return int(np.sum(values > DEPENDENT * max(float(values[0]), 1e-300)))


def is_full(view: View, kept: Sequence[Sequence[int]], covariances: Sequence[Covariance]) -> bool:
    """Whether the restricted likelihood of these rows determines every parameter, clearly."""
    parameters = directions_of(view, kept, covariances)
    beside = forms_of(view.projected, parameters, kept)
    size = np.linalg.norm(forms_of([np.abs(m) for m in view.raw], [_absolute(p) for p in parameters], kept), axis=0)
    if np.any(np.linalg.norm(beside, axis=0) <= ABSORBED * size):
        return False
    forms = np.hstack([beside, view.projected_noise])
    return rank_of(forms) == int(forms.shape[1])


def _absolute(parameter: Direction) -> Direction:
    return replace(parameter, matrix=np.abs(parameter.matrix))
