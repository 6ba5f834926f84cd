"""Which variances the design determines, whatever the response: found before anything is fitted.

Without its mean the response has the covariance ``V = sum Z_k (I x Sigma_k) Z_k' + R``, and the restricted likelihood
knows ``M V M`` only, M the projector beside the fixed effects. A model is identified if the map from the parameters of
``Sigma`` and ``R`` to V has full rank. The rank is that of the quadratic forms ``v' (dV) v`` in as many random vectors
as there are parameters and a few more: sums over levels, never an n x n matrix. What is identified by some of the rows
is identified by all, so that a few rows settle the ordinary case.
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
from mixedfx.covariance.residual.bound import BoundResidual
from mixedfx.matrices.labels import nested_in
from mixedfx.matrices.random import RandomEffects

__all__ = ["NO_NOISE", "Identification", "Noise", "Undetermined", "identify", "verdict_of"]

SEED = 20_11
FEW_ROWS, SOME_LEVELS = 4_000, 1_500  # rows that are looked at in full; rows of each factor that are chosen of more
SPARE = 8  # random vectors beyond the number of parameters
MOST_PARAMETERS = 300  # with more, a dense search is so slow that its end is what tells
ABSORBED = 1e-13  # share of a squared length outside the fixed effects below which nothing is left of it
DEPENDENT = 1e-9  # singular value, relative to the largest, of a direction that changes nothing
SAME_SPAN = 1e-11  # share of a column outside the ones before below which it depends on them
CLEARLY = 1e-4  # smallest eigenvalue of the correlations of columns in a level that has full rank
NOTICEABLE = 1e-6  # coefficient of a combination that counts
BLOCK = 2**22  # numbers of the sums that are made at a time
GENERIC = 0.3  # how far from the start a point is where nothing is special


@dataclass(frozen=True)
class Noise:
    """What the rows have of their own, beside the random effects.

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
class Undetermined:
    """A part of the random effects whose variance the design cannot tell.

    Attributes
    ----------
    what : str
        The parameter in words: ``the variance of Intercept by i``.
    why : str
        The end of the sentence: ``cannot be told from those of (0 + t | i)``.
    term : int
        Position of the random term in the formula.
    column : str or None
        The column that is left out; None if nothing can be left out.
    residual : bool
        Whether it is the residual variance that it cannot be told from.
    restricted : bool
        Whether only the restricted likelihood is blind to it.
    """

    what: str
    why: str
    term: int
    column: str | None
    residual: bool = False
    restricted: bool = False

    def __str__(self) -> str:
        return f"{self.what} {self.why}"


def verdict_of(findings: Sequence[Undetermined]) -> str:
    """Return what is said of a model with these findings: always the same, wherever it is said; empty without any."""
    if not findings:
        return ""
    named = "; ".join(dict.fromkeys(map(str, findings)))
    left_out = [f for f in findings if f.column is not None]
    open_ones = [f for f in findings if f.column is None]
    ends = []
    if left_out:
        ends.append("The fit is that of the model without, which describes any data as well.")
    if open_ones:
        ends.append("Other values of what is not determined fit equally well.")
    return f"The variances are not identified: {named}. {' '.join(ends)}"


@dataclass(frozen=True)
class Identification:
    """What of the random effects can be estimated.

    Attributes
    ----------
    kept : tuple of tuple of int
        Columns of every random term that the identified model has.
    covariances : tuple of Covariance
        Of the kept columns.
    findings : tuple of Undetermined
    """

    kept: tuple[tuple[int, ...], ...]
    covariances: tuple[Covariance, ...]
    findings: tuple[Undetermined, ...]


@dataclass(frozen=True)
class _Term:
    """A random term on the rows that are looked at.

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
            own = vectors[:, start : start + step]
            k = own.shape[1]
            values = (self.matrix[:, :, None] * own[:, None, :]).reshape(len(own), q * k)
            cells = self.codes[:, None] * (q * k) + np.arange(q * k)
            sums = np.bincount(cells.ravel(), weights=values.ravel(), minlength=self.n_levels * q * k)
            t: Array = np.asarray(sums.reshape(self.n_levels, q, k), dtype=float)
            if self.loading is not None:
                t = np.asarray(np.tensordot(self.loading.T, t, axes=1), dtype=float)
            out[start : start + step] = np.einsum("mak,mbk->kab", t, t)
        return out


@dataclass(frozen=True)
class _Parameter:
    """One direction of the covariances: a matrix (q, q) of a term, and what the parameter is called."""

    term: int
    matrix: Array
    what: str


@dataclass(frozen=True)
class _View:
    """The rows that are looked at."""

    X: Array
    terms: tuple[_Term, ...]
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
                own = vectors[:, start : start + step]
                moved = self.structure.whiten_derivative(self.rho, self.structure.unwhiten(self.rho, own))
                parts.append(np.einsum("is,ris->sr", own, moved))
            columns += list(np.concatenate(parts).T)
        return np.array(columns).T.reshape(vectors.shape[1], len(columns))


def _conditioned(X: Array) -> Array:
    """Columns (n, p) with the same span (if one is constant), centred and scaled."""
    constant = np.ptp(X, axis=0) == 0 if len(X) else np.zeros(X.shape[1], dtype=bool)
    centre = np.where(constant, 0.0, X.mean(axis=0)) if constant.any() and np.any(X[0, constant]) else 0.0
    moved = X - centre
    size = np.abs(moved).max(axis=0, initial=0.0)
    return np.asarray(moved[:, size > 0] / size[size > 0])


def identify(X: Array, random: Sequence[RandomEffects], noise: Noise = NO_NOISE) -> Identification:
    """Find the variances that the design does not determine, and the model without them.

    Parameters
    ----------
    X : (n, p) array
        Fixed effects.
    random : sequence of RandomEffects
    noise : Noise
        What the rows have of their own.

    Returns
    -------
    Identification
        A column is left out if the model without it has the same covariances of the response as the model with it.

    Notes
    -----
    The structure decides, not the response. Columns in the span of the fixed effects are left out under both criteria:
    maximum likelihood puts their variance at zero, restricted likelihood does not see it.
    """
    kept = [list(range(term.n_columns)) for term in random]
    covariances = [term.covariance for term in random]
    count = sum(c.n_theta for c in covariances) + len(noise.diagonals)
    count += 0 if noise.structure is None else noise.structure.n_rho
    everything = Identification(tuple(map(tuple, kept)), tuple(covariances), ())
    if not random or count > MOST_PARAMETERS or not _is_nested(random, noise) or _is_ordinary(X, random, noise):
        return everything
    rows = np.arange(len(X))
    if noise.structure is None and len(rows) > FEW_ROWS:
        few = _chosen(random, rows)
        if len(few) > X.shape[1] and _is_full(_view(X, random, noise, few, count), kept, covariances):
            return everything
    view = _view(X, random, noise, rows, count)
    if _is_full(view, kept, covariances):
        return everything
    return _Search(view, kept, covariances).result()


def _is_ordinary(X: Array, random: Sequence[RandomEffects], noise: Noise) -> bool:
    """Whether one look at the levels of a single term in the first rows settles the matter: many, with rows to spare.

    Let m levels have a ``Z_l`` of full rank q and more than q rows. If ``Z (I x A) Z' + s D`` vanishes beside X, s is
    zero (there are vectors beside X and Z), and the quadratic form of ``I x A`` vanishes on a space of codimension p at
    the most. Its rank is then 2 p at the most; it is m at least, unless ``A = 0``.
    """
    if len(random) != 1 or noise.structure is not None or len(noise.diagonals) > 1:
        return False
    term, p = random[0], X.shape[1]
    plain = isinstance(term.covariance, UnstructuredCovariance | DiagonalCovariance | HomogeneousDiagonalCovariance)
    if not plain or term.loading is not None:
        return False
    codes, columns = np.unique(term.codes[:FEW_ROWS], return_inverse=True)[1], term.matrix[:FEW_ROWS]
    sizes, q = np.bincount(codes), term.n_columns
    full = sizes > q
    if q > 1 or np.ptp(columns[:, 0]) > 0:
        gram = np.empty((q, q, sizes.size))
        for a in range(q):
            for b in range(a + 1):
                gram[a, b] = gram[b, a] = np.bincount(codes, weights=columns[:, a] * columns[:, b])
        size = np.sqrt(np.einsum("aal->al", gram))
        size[:, ~full], gram[..., ~full] = 1.0, 0.0
        if not np.isfinite(size).all() or np.any(size == 0):
            return False
        full &= np.linalg.eigvalsh((gram / (size[:, None] * size)).transpose(2, 0, 1))[:, 0] > CLEARLY
    elif columns[0, 0] == 0:
        return False
    return bool(full.sum() > 2 * p and (sizes[full] - q).sum() > p)


def _is_nested(random: Sequence[RandomEffects], noise: Noise) -> bool:
    """Whether correlated residuals stay within the levels of every factor (other models are refused)."""
    groups = None if noise.structure is None else noise.structure.groups
    return groups is None or all(nested_in(groups, term.codes) for term in random)


def _chosen(random: Sequence[RandomEffects], rows: IntArray) -> IntArray:
    """Rows of some levels of every factor, all rows of such a level."""
    rng, found = np.random.default_rng(SEED), np.zeros(0, dtype=np.intp)
    for codes, m in {term.group: (term.codes, term.n_levels) for term in random}.values():
        own = codes[rows]
        order = np.argsort(rng.permutation(m))
        sizes = np.bincount(own, minlength=m)
        by_rank = np.empty(m, dtype=np.intp)
        by_rank[order] = sizes
        enough = int(np.searchsorted(np.cumsum(by_rank), SOME_LEVELS)) + 1
        found = np.union1d(found, rows[np.flatnonzero(order[own] < enough)][: 2 * SOME_LEVELS])
    return found


def _view(X: Array, random: Sequence[RandomEffects], noise: Noise, rows: IntArray, count: int) -> _View:
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
        terms.append(_Term(t.term, t.group, tuple(t.names), t.covariance, codes, t.n_levels, matrix, zero, t.loading))
    diagonals = tuple(used(d) for d in noise.diagonals)
    return _View(whitened(used(X)), tuple(terms), diagonals, structure, rho, count + SPARE)


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


def _parameters(view: _View, kept: Sequence[Sequence[int]], covariances: Sequence[Covariance]) -> list[_Parameter]:
    out = []
    for k, (term, own, covariance) in enumerate(zip(view.terms, kept, covariances, strict=True)):
        names = [term.names[j] for j in own]
        for matrix, words in _directions(covariance, names) if own else ():
            out.append(_Parameter(k, matrix, f"{words} by {term.group}"))
    return out


def _directions(covariance: Covariance, names: Sequence[str]) -> list[tuple[Array, str]]:
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


def _forms(moments: Sequence[Array], parameters: Sequence[_Parameter], kept: Sequence[Sequence[int]]) -> Array:
    """Values (s, k) of the quadratic forms of the parameters."""
    chosen = [own[:, columns][:, :, columns] for own, columns in zip(moments, kept, strict=True)]
    columns = [np.einsum("sab,ab->s", chosen[p.term], p.matrix) for p in parameters]
    return np.array(columns).T.reshape(len(moments[0]), len(parameters))


def _scaled(forms: Array) -> Array:
    size = np.linalg.norm(forms, axis=0)
    return np.asarray(forms / np.where(size > 0, size, 1.0))


def _rank(forms: Array) -> int:
    if forms.shape[1] == 0:
        return 0
    values = np.linalg.svd(_scaled(forms), compute_uv=False)
    return int(np.sum(values > DEPENDENT * max(float(values[0]), 1e-300)))


def _is_full(view: _View, kept: Sequence[Sequence[int]], covariances: Sequence[Covariance]) -> bool:
    """Whether the restricted likelihood of these rows determines every parameter, clearly."""
    parameters = _parameters(view, kept, covariances)
    beside = _forms(view.projected, parameters, kept)
    size = np.linalg.norm(_forms([np.abs(m) for m in view.raw], [_absolute(p) for p in parameters], kept), axis=0)
    if np.any(np.linalg.norm(beside, axis=0) <= ABSORBED * size):
        return False
    forms = np.hstack([beside, view.projected_noise])
    return _rank(forms) == int(forms.shape[1])


def _absolute(parameter: _Parameter) -> _Parameter:
    return replace(parameter, matrix=np.abs(parameter.matrix))


class _Search:
    """Leaves columns out until the rest is identified, and says why each had to go."""

    def __init__(self, view: _View, kept: list[list[int]], covariances: list[Covariance]) -> None:
        self.view, self.kept, self.covariances = view, kept, covariances
        self.findings: list[Undetermined] = []

    def result(self) -> Identification:
        """Return what is left and what was found."""
        self._leave_out_absorbed()
        while (candidate := self._superfluous()) is not None:
            self._leave_out(*candidate)
        self._separate()
        self.findings += self._flat(self.view.raw, self.view.raw_noise, restricted=False)
        if not any(f.column is None for f in self.findings):
            self.findings += self._flat(self.view.projected, self.view.projected_noise, restricted=True)
        return Identification(tuple(map(tuple, self.kept)), tuple(self.covariances), tuple(self.findings))

    def _leave_out(self, k: int, j: int, why: str, residual: bool = False) -> None:
        term = self.view.terms[k]
        what = f"the variance of {term.names[j]} by {term.group}"
        self.findings.append(Undetermined(what, why, k, term.names[j], residual))
        self.kept[k] = [i for i in self.kept[k] if i != j]
        if self.kept[k]:
            self.covariances[k] = replace(self.covariances[k], size=len(self.kept[k]))

    def _removable(self, k: int) -> bool:
        """Whether single columns of the term may go: its structure is the same for fewer."""
        simple = isinstance(
            self.covariances[k], UnstructuredCovariance | DiagonalCovariance | HomogeneousDiagonalCovariance
        )
        return simple or len(self.kept[k]) == 1

    def _leave_out_absorbed(self) -> None:
        for k, term in enumerate(self.view.terms):
            whole = np.einsum("saa->a", self.view.raw[k])
            beside = np.einsum("saa->a", self.view.projected[k])
            gone = [j for j in self.kept[k] if beside[j] <= ABSORBED * whole[j]]
            if not self._removable(k) and len(gone) < len(self.kept[k]):
                continue
            for j in gone:
                why = "cannot be told: the fixed effects take all of it"
                if term.zero[j]:
                    why = f"is not seen: {term.names[j]} is zero in all rows"
                elif not np.any(term.matrix[:, j]):
                    why = f"cannot be told: its column is a combination of the others of {term.label}"
                self._leave_out(k, j, why)

    def _superfluous(self) -> tuple[int, int, str, bool] | None:
        """Return a column without which the covariances of the response are the same, and why."""
        parameters = self._parameters()
        forms = np.hstack([_forms(self.view.raw, parameters, self.kept), self.view.raw_noise])
        rank = _rank(forms)
        if rank == forms.shape[1]:
            return None
        alone = [k for k in range(len(self.kept)) if len(self.kept[k]) == 1]
        several = [k for k in range(len(self.kept)) if len(self.kept[k]) > 1 and self._removable(k)]
        for k in [*reversed(alone), *reversed(several)]:
            for position in reversed(range(len(self.kept[k]))):
                j = self.kept[k][position]
                found = self._without(k, position, parameters, forms, rank)
                if found is not None:
                    return (k, j, *found)
        return None

    def _without(
        self, k: int, position: int, parameters: Sequence[_Parameter], forms: Array, rank: int
    ) -> tuple[str, bool] | None:
        touched = [i for i, p in enumerate(parameters) if p.term == k and np.any(p.matrix[position])]
        if isinstance(self.covariances[k], HomogeneousDiagonalCovariance) and len(self.kept[k]) > 1:
            return None
        rest = np.setdiff1d(np.arange(forms.shape[1]), touched)
        if _rank(forms[:, rest]) < rank:
            return None
        own = next(i for i in touched if parameters[i].matrix[position, position] != 0)
        size = np.maximum(np.linalg.norm(forms, axis=0), 1e-300)
        found = np.linalg.lstsq(forms[:, rest] / size[rest], forms[:, own] / size[own], rcond=DEPENDENT)[0]
        found = found * size[own] / size[rest]
        if len(touched) == 1 and not self._is_covariance(found, rest, parameters):
            return None
        return self._why(k, found, rest, parameters)

    def _is_covariance(self, found: Array, rest: IntArray, parameters: Sequence[_Parameter]) -> bool:
        """Whether the others can take the variance over: what they would grow by has no negative variance."""
        scale = max(float(np.abs(found).max(initial=0.0)), 1e-300)
        for k in range(len(self.kept)):
            own = [(c, parameters[i]) for c, i in zip(found, rest) if i < len(parameters) and parameters[i].term == k]
            if own and np.linalg.eigvalsh(sum(c * p.matrix for c, p in own)).min() < -NOTICEABLE * scale:
                return False
        noise = [c for c, i in zip(found, rest) if i >= len(parameters)]
        return all(c > -NOTICEABLE * scale for c in noise[: len(self.view.diagonals)])

    def _why(self, k: int, found: Array, rest: IntArray, parameters: Sequence[_Parameter]) -> tuple[str, bool]:
        scale = max(float(np.abs(found).max(initial=0.0)), 1e-300)
        partners = [i for c, i in zip(found, rest) if abs(c) > NOTICEABLE * scale]
        noise = any(i >= len(parameters) for i in partners)
        others = list(dict.fromkeys(parameters[i].term for i in partners if i < len(parameters)))
        if noise and not others:
            if self.view.structure is not None:
                return "cannot be told from the structure of the residuals", True
            own = ": every row is a level of its own" if self.view.terms[k].n_levels >= len(self.view.X) else ""
            return f"cannot be told from the residual variance{own}", True
        labels = list(dict.fromkeys(self.view.terms[i].label for i in others))
        if others == [k]:
            return f"cannot be told: its column is a combination of the others of {labels[0]}", False
        if len(others) == 1 and self._same_groups(k, others[0]):
            mine, other = self.view.terms[k].group, self.view.terms[others[0]].group
            return f"cannot be told from that of {other}: {mine} and {other} are the same groups", False
        named = [f"those of {label}" for label in labels] + (["the residual variance"] if noise else [])
        return f"cannot be told from {' and '.join(named)}", noise

    def _same_groups(self, k: int, other: int) -> bool:
        a, b = self.view.terms[k], self.view.terms[other]
        return a.group != b.group and nested_in(a.codes, b.codes) and nested_in(b.codes, a.codes)

    def _separate(self) -> None:
        """Make a term whose columns never meet in a level independent: their correlations are not seen."""
        for k, term in enumerate(self.view.terms):
            own = self.kept[k]
            if len(own) < 2 or not isinstance(self.covariances[k], UnstructuredCovariance) or term.loading is not None:
                continue
            seen = np.stack(
                [np.bincount(term.codes, weights=term.matrix[:, j] != 0, minlength=term.n_levels) > 0 for j in own]
            )
            if np.any(np.triu(seen.astype(float) @ seen.T, 1)):
                continue
            self.covariances[k] = DiagonalCovariance(len(own))
            names = ", ".join(term.names[j] for j in own)
            what = f"the correlation of {names} by {term.group}"
            self.findings.append(Undetermined(what, f"cannot be told: no level of {term.group} has two of them", k, ""))

    def _flat(self, moments: Sequence[Array], noise: Array, restricted: bool) -> list[Undetermined]:
        """Name the parameters of which only combinations are determined."""
        parameters = self._parameters()
        forms = np.hstack([_forms(moments, parameters, self.kept), noise])
        if forms.shape[1] == 0 or _rank(forms) == forms.shape[1]:
            return []
        values, vectors = np.linalg.svd(_scaled(forms))[1:]
        null = vectors[values.size - int(np.sum(values <= DEPENDENT * values[0])) :]
        taking = np.flatnonzero(np.abs(null).max(axis=0) > NOTICEABLE)
        named = list(dict.fromkeys(self._name(parameters[i]) for i in taking if i < len(parameters)))
        residual = any(i >= len(parameters) for i in taking)
        if residual:
            named.append("the residual variance" if self.view.structure is None else "the structure of the residuals")
        terms = list(dict.fromkeys(parameters[i].term for i in taking if i < len(parameters)))
        words = "are determined together only, not one by one"
        what = ", ".join(named[:-1]) + f" and {named[-1]}" if len(named) > 1 else named[0]
        words = words if len(named) > 1 else "is not determined in full"
        counts = [self.view.terms[k].n_levels * len(self.kept[k]) for k in terms]
        if residual and counts and max(counts) >= len(self.view.X):
            words += f": there are {max(counts)} random effects for {len(self.view.X)} rows"
        one = Undetermined(what, words, terms[0] if terms else 0, None, residual, restricted)
        return [one] * len(null)

    def _name(self, parameter: _Parameter) -> str:
        """What a parameter is called; those of an unstructured term depend on its basis and bear one name."""
        k = parameter.term
        if len(self.kept[k]) == 1 or not isinstance(self.covariances[k], UnstructuredCovariance):
            return parameter.what
        names = [self.view.terms[k].names[j] for j in self.kept[k]]
        return f"the covariance of {', '.join(names[:-1])} and {names[-1]} by {self.view.terms[k].group}"

    def _parameters(self) -> list[_Parameter]:
        return _parameters(self.view, self.kept, self.covariances)
