"""Which variances the design determines, whatever the response: settled before anything is fitted.

Without its mean the response has the covariance ``V = sum Z_k (I x Sigma_k) Z_k' + R``, and the restricted likelihood
knows ``M V M`` only, M the projector beside the fixed effects. A model is identified if the map from the parameters of
``Sigma`` and ``R`` to V has full rank. The rank is that of the quadratic forms ``v' (dV) v`` in as many random vectors
as there are parameters and a few more: sums over levels, never an n x n matrix. What is identified by some of the rows
is identified by all, so that a few rows settle the ordinary case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.covariance import (
    Covariance,
    DiagonalCovariance,
    HomogeneousDiagonalCovariance,
    UnstructuredCovariance,
)
from mixedfx.matrices.labels import nested_in
from mixedfx.matrices.quadratic_forms import (
    ABSORBED,
    DEPENDENT,
    NO_NOISE,
    SEED,
    Direction,
    Noise,
    View,
    directions_of,
    forms_of,
    is_full,
    rank_of,
    scaled,
    view_of,
)
from mixedfx.matrices.random import RandomEffects

__all__ = ["Identification", "Undetermined", "identify", "verdict_of"]

FEW_ROWS, SOME_LEVELS = 4_000, 1_500  # rows that are looked at in full; rows of each factor that are chosen of more
MOST_PARAMETERS = 300  # with more, this search would cost more than the fit, whose end then shows it
CLEARLY = 1e-4  # smallest eigenvalue of the correlations of columns in a level that has full rank
NOTICEABLE = 1e-6  # coefficient of a combination that counts


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
    """Return the verdict on a model with these findings, the same wherever it is reported; empty if there are none."""
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
    """Which random effects the design determines.

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
        if len(few) > X.shape[1] and is_full(view_of(X, random, noise, few, count), kept, covariances):
            return everything
    view = view_of(X, random, noise, rows, count)
    if is_full(view, kept, covariances):
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
    codes, columns = term.codes[:FEW_ROWS], term.matrix[:FEW_ROWS]
    sizes, q = np.bincount(codes), term.n_columns  # zero for levels of other rows
    full = sizes > q
    if q > 1 or (columns[:, 0] != columns[0, 0]).any():
        gram = np.empty((q, q, sizes.size))
        for a in range(q):
            for b in range(a + 1):
                gram[a, b] = gram[b, a] = np.bincount(codes, weights=columns[:, a] * columns[:, b])
        size = np.sqrt(np.einsum("aal->al", gram))
        size[:, ~full], gram[..., ~full] = 1.0, 0.0
        if not np.isfinite(size).all() or not size.all():
            return False
        full &= _smallest_eigenvalues(gram / (size[:, None] * size)) > CLEARLY
    elif columns[0, 0] == 0:
        return False
    return bool(full.sum() > 2 * p and (sizes[full] - q).sum() > p)


def _smallest_eigenvalues(correlations: Array) -> Array:
    """Smallest eigenvalue (m,) of each correlation matrix (q, q, m)."""
    if len(correlations) == 2:
        return np.asarray(1.0 - np.abs(correlations[0, 1]))
    return np.asarray(np.linalg.eigvalsh(correlations.transpose(2, 0, 1))[:, 0])


def _is_nested(random: Sequence[RandomEffects], noise: Noise) -> bool:
    """Whether correlated residuals stay within the levels of every factor (other models are refused)."""
    groups = None if noise.structure is None else noise.structure.groups
    return groups is None or all(nested_in(groups, term.codes) for term in random)


def _chosen(random: Sequence[RandomEffects], rows: IntArray) -> IntArray:
    """Rows of some levels of every factor, all rows of such a level."""
    rng, chosen = np.random.default_rng(SEED), np.zeros(0, dtype=np.intp)
    for codes, m in {term.group: (term.codes, term.n_levels) for term in random}.values():
        codes_here = codes[rows]
        order = np.argsort(rng.permutation(m))
        sizes = np.bincount(codes_here, minlength=m)
        by_rank = np.empty(m, dtype=np.intp)
        by_rank[order] = sizes
        enough = int(np.searchsorted(np.cumsum(by_rank), SOME_LEVELS)) + 1
        chosen = np.union1d(chosen, rows[np.flatnonzero(order[codes_here] < enough)][: 2 * SOME_LEVELS])
    return chosen


class _Search:
    """Leaves columns out until the rest is identified, and says why each had to go."""

    def __init__(self, view: View, kept: list[list[int]], covariances: list[Covariance]) -> None:
        self.view, self.kept, self.covariances = view, kept, covariances
        self.findings: list[Undetermined] = []

    def result(self) -> Identification:
        """Return what is left, and the findings."""
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
        forms = np.hstack([forms_of(self.view.raw, parameters, self.kept), self.view.raw_noise])
        rank = rank_of(forms)
        if rank == forms.shape[1]:
            return None
        alone = [k for k in range(len(self.kept)) if len(self.kept[k]) == 1]
        several = [k for k in range(len(self.kept)) if len(self.kept[k]) > 1 and self._removable(k)]
        for k in [*reversed(alone), *reversed(several)]:
            for position in reversed(range(len(self.kept[k]))):
                j = self.kept[k][position]
                reason = self._without(k, position, parameters, forms, rank)
                if reason is not None:
                    return (k, j, *reason)
        return None

    def _without(
        self, k: int, position: int, parameters: Sequence[Direction], forms: Array, rank: int
    ) -> tuple[str, bool] | None:
        """Return why a column can go, and whether the residuals take its variance over; None if it cannot."""
        touched = [i for i, p in enumerate(parameters) if p.term == k and np.any(p.matrix[position])]
        if isinstance(self.covariances[k], HomogeneousDiagonalCovariance) and len(self.kept[k]) > 1:
            return None
        rest = np.setdiff1d(np.arange(forms.shape[1]), touched)
        if rank_of(forms[:, rest]) < rank:
            return None
        variance = next(i for i in touched if parameters[i].matrix[position, position] != 0)
        size = np.maximum(np.linalg.norm(forms, axis=0), 1e-300)
        weights = np.linalg.lstsq(forms[:, rest] / size[rest], forms[:, variance] / size[variance], rcond=DEPENDENT)[0]
        weights = weights * size[variance] / size[rest]
        if len(touched) == 1 and not self._is_covariance(weights, rest, parameters):
            return None
        return self._why(k, weights, rest, parameters)

    def _is_covariance(self, weights: Array, rest: IntArray, parameters: Sequence[Direction]) -> bool:
        """Whether the other terms can take the variance over: what each would gain is a covariance."""
        scale = max(float(np.abs(weights).max(initial=0.0)), 1e-300)
        for k in range(len(self.kept)):
            shares = [
                (c, parameters[i]) for c, i in zip(weights, rest) if i < len(parameters) and parameters[i].term == k
            ]
            if shares and np.linalg.eigvalsh(sum(c * p.matrix for c, p in shares)).min() < -NOTICEABLE * scale:
                return False
        noise = [c for c, i in zip(weights, rest) if i >= len(parameters)]
        return all(c > -NOTICEABLE * scale for c in noise[: len(self.view.diagonals)])

    def _why(self, k: int, weights: Array, rest: IntArray, parameters: Sequence[Direction]) -> tuple[str, bool]:
        scale = max(float(np.abs(weights).max(initial=0.0)), 1e-300)
        partners = [i for c, i in zip(weights, rest) if abs(c) > NOTICEABLE * scale]
        noise = any(i >= len(parameters) for i in partners)
        others = list(dict.fromkeys(parameters[i].term for i in partners if i < len(parameters)))
        if noise and not others:
            if self.view.structure is not None:
                return "cannot be told from the structure of the residuals", True
            where = ": every row is a level of its own" if self.view.terms[k].n_levels >= len(self.view.X) else ""
            return f"cannot be told from the residual variance{where}", True
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
            columns = self.kept[k]
            if (
                len(columns) < 2
                or not isinstance(self.covariances[k], UnstructuredCovariance)
                or term.loading is not None
            ):
                continue
            seen = np.stack(
                [np.bincount(term.codes, weights=term.matrix[:, j] != 0, minlength=term.n_levels) > 0 for j in columns]
            )
            if np.any(np.triu(seen.astype(float) @ seen.T, 1)):
                continue
            self.covariances[k] = DiagonalCovariance(len(columns))
            names = ", ".join(term.names[j] for j in columns)
            what = f"the correlation of {names} by {term.group}"
            self.findings.append(Undetermined(what, f"cannot be told: no level of {term.group} has two of them", k, ""))

    def _flat(self, moments: Sequence[Array], noise: Array, restricted: bool) -> list[Undetermined]:
        """Name the parameters of which only combinations are determined."""
        parameters = self._parameters()
        forms = np.hstack([forms_of(moments, parameters, self.kept), noise])
        if forms.shape[1] == 0 or rank_of(forms) == forms.shape[1]:
            return []
        values, vectors = np.linalg.svd(scaled(forms))[1:]
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

    def _name(self, parameter: Direction) -> str:
        """What a parameter is called; those of an unstructured term depend on its basis and bear one name."""
        k = parameter.term
        if len(self.kept[k]) == 1 or not isinstance(self.covariances[k], UnstructuredCovariance):
            return parameter.what
        names = [self.view.terms[k].names[j] for j in self.kept[k]]
        return f"the covariance of {', '.join(names[:-1])} and {names[-1]} by {self.view.terms[k].group}"

    def _parameters(self) -> list[Direction]:
        return directions_of(self.view, self.kept, self.covariances)
