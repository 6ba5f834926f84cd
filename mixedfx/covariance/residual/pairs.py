"""Residual correlation of the rows of a group: one for all pairs, or one for each pair of visits (MMRM)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.special import expit

from mixedfx._arguments import written
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array, IntArray
from mixedfx.covariance.residual.columns import Columns, Levels, group_codes, group_names, level_label, place, read
from mixedfx.covariance.residual.scales import LOGIT_REACH, Bounded, NaturalMap, Parameters, ParameterScale
from mixedfx.covariance.residual.structure import BoundCorrelation, CorrelationStructure, check_group, check_name
from mixedfx.covariance.residual.variance import LevelVariance
from mixedfx.exceptions import DataError

__all__ = ["CompoundSymmetry", "Unstructured"]


@hinting_methods
@dataclass(frozen=True)
class CompoundSymmetry(CorrelationStructure):
    """Correlation ``rho`` between any two rows of a group, ``-1 / (n - 1) < rho < 1`` with n the largest group.

    Unlike a random intercept it allows a negative correlation.

    Parameters
    ----------
    group : str or tuple of str
        Rows of different groups are independent; ``"a:b"`` or ``("a", "b")`` for combinations of two columns.

    Examples
    --------
    >>> bound = CompoundSymmetry("Subject").bind({"Subject": ["a", "b", "a", "b"]})
    >>> bound.names, bound.natural(bound.start)
    (('rho',), array([0.]))
    """

    group: str | tuple[str, ...]

    def __post_init__(self) -> None:
        if self.group is None or self.group == ():
            raise TypeError("CompoundSymmetry: group must be a column name (str), found None")
        check_group("CompoundSymmetry", self.group)

    @property
    def columns(self) -> tuple[str, ...]:
        """The group."""
        return group_names(self.group)

    def bind_variances(self, columns: Columns) -> tuple[()]:
        """Return nothing: the variances are equal."""
        return ()

    def bind_correlation(self, columns: Columns) -> ExchangeableResiduals:
        """Return the correlation for the rows of ``columns``."""
        codes = group_codes(columns, self.columns, len(read(columns, self.columns[0])))
        largest = int(np.bincount(codes).max(initial=0))
        if largest < 2:
            raise DataError(f"no group of {':'.join(self.columns)} has two rows: their correlation cannot be estimated")
        scale = Bounded(-1.0 / (largest - 1), 1.0)
        parameters = Parameters.elementwise(("rho",), scale, scale.real(0.0), LOGIT_REACH)
        return ExchangeableResiduals(self.columns, codes, largest, parameters)

    def __str__(self) -> str:
        return f"compound symmetry within {':'.join(self.columns)}"


@dataclass(frozen=True)
class ExchangeableResiduals(BoundCorrelation):
    """Within a group of m rows the eigenvalues are ``1 - rho`` (contrasts) and ``1 + (m - 1) rho`` (mean).

    The symmetric root of the inverse is ``a I + (b - a) J / m`` with a and b their inverse square roots.
    """

    names: tuple[str, ...]
    codes: IntArray
    largest: int
    parameters: Parameters

    @property
    def groups(self) -> IntArray:
        """Group (n,) of every row."""
        return self.codes

    @cached_property
    def _sizes(self) -> Array:
        return np.bincount(self.codes).astype(np.float64)

    @cached_property
    def _sums(self) -> sp.csc_array:
        """The matrix (groups, n) that sums rows by group."""
        n = self.codes.size
        return sp.csc_array((np.ones(n), self.codes, np.arange(n + 1)), shape=(self._sizes.size, n))

    def _eigenvalues(self, x: float) -> tuple[float, Array, float]:
        """Return ``1 - rho``, ``1 + (m - 1) rho`` for each group, and ``drho / dx``."""
        span = 1.0 + 1.0 / (self.largest - 1)
        rise = self._sizes - 1
        mean = 1.0 - rise / (self.largest - 1) + rise * span * expit(x)
        if np.any(mean <= 0):
            raise DataError(
                f"a group of {':'.join(self.names)} has {int(self._sizes.max())} rows, more than the {self.largest} "
                "of the fit: the negative correlation is impossible there"
            )
        return float(span * expit(-x)), mean, float(span * expit(x) * expit(-x))

    def _mix(self, contrast: float, mean: Array, M: Array) -> Array:
        """Return ``(contrast I + (mean - contrast) J / m) M`` group by group."""
        weights = (mean - contrast) / self._sizes
        return np.asarray(contrast * M + (weights[:, None] * (self._sums @ M))[self.codes])

    def whiten(self, rho: Array, M: Array) -> Array:
        """Return ``C**(-1/2) M`` (n, k)."""
        contrast, mean, _ = self._eigenvalues(float(rho[0]))
        return self._mix(contrast**-0.5, mean**-0.5, M)

    def unwhiten(self, rho: Array, M: Array) -> Array:
        """Return ``C**(1/2) M`` (n, k)."""
        contrast, mean, _ = self._eigenvalues(float(rho[0]))
        return self._mix(contrast**0.5, mean**0.5, M)

    def whiten_derivative(self, rho: Array, M: Array) -> Array:
        """Return the derivative (1, n, k) of :meth:`whiten`."""
        contrast, mean, slope = self._eigenvalues(float(rho[0]))
        rise = self._sizes - 1
        return self._mix(slope * contrast**-1.5 / 2, -slope * rise * mean**-1.5 / 2, M)[None]

    def logdet(self, rho: Array) -> float:
        """Return ``log |C|``."""
        contrast, mean, _ = self._eigenvalues(float(rho[0]))
        return float(np.sum((self._sizes - 1) * np.log(contrast) + np.log(mean)))

    def logdet_derivative(self, rho: Array) -> Array:
        """Return ``d log |C| / d rho`` (1,)."""
        contrast, mean, slope = self._eigenvalues(float(rho[0]))
        return np.array([slope * np.sum((self._sizes - 1) * (1 / mean - 1 / contrast))])

    def rebind(self, columns: Columns) -> ExchangeableResiduals:
        """Return the correlation of other rows."""
        codes = group_codes(columns, self.names, len(read(columns, self.names[0])))
        return ExchangeableResiduals(self.names, codes, self.largest, self.parameters)


REACH = 1e5
"""A single parameter takes a correlation at most 5e-11 away from 1."""


@hinting_methods
@dataclass(frozen=True)
class Unstructured(CorrelationStructure):
    """A standard deviation for each visit and a correlation for each pair of visits within a group.

    Sigma is the standard deviation at the first visit; the others are given as ratios to it. Groups may miss visits.

    Parameters
    ----------
    visit : str
        Numeric or text (ascending), or categorical (in the order of the categories); distinct within a group.
    group : str or tuple of str
        Rows of different groups are independent; ``"a:b"`` or ``("a", "b")`` for combinations of two columns.

    Examples
    --------
    >>> bound = Unstructured("visit", group="id").bind({"visit": [1, 2, 1, 2], "id": [1, 1, 2, 2]})
    >>> bound.names
    ('visit[2]', 'cor[1,2]')
    """

    visit: str
    group: str | tuple[str, ...]

    def __post_init__(self) -> None:
        check_name("Unstructured", "visit", self.visit)
        if self.group is None or self.group == ():
            raise TypeError("Unstructured: group must be a column name (str), found None")
        check_group("Unstructured", self.group)

    @property
    def columns(self) -> tuple[str, ...]:
        """The visit and the group."""
        return (self.visit, *group_names(self.group))

    def bind_variances(self, columns: Columns) -> tuple[LevelVariance, ...]:
        """Return a variance for each visit; that of a single one is sigma squared."""
        visits = Levels.sorted(columns, self.visit)
        return (LevelVariance.of(visits),) if len(visits.values) > 1 else ()

    def bind_correlation(self, columns: Columns) -> VisitCorrelation:
        """Return the correlation for the rows of ``columns``."""
        visits = Levels.sorted(columns, self.visit)
        correlation = VisitCorrelation.of(visits, group_names(self.group), columns)
        _check_pairs(correlation)
        return correlation

    def __str__(self) -> str:
        return f"unstructured over {self.visit} within {':'.join(group_names(self.group))}"


@dataclass(frozen=True)
class _Batch:
    """All groups of one size k: their rows (m, k) by visit, and which of the distinct patterns (p, k) each has."""

    rows: IntArray
    patterns: IntArray
    pattern: IntArray

    @cached_property
    def counts(self) -> IntArray:
        """Number of groups with each pattern (p,)."""
        return np.bincount(self.pattern, minlength=len(self.patterns)).astype(np.intp)

    def blocks(self, matrix: Array) -> Array:
        """Return the submatrix (…, p, k, k) of ``matrix`` (…, V, V) for every pattern."""
        return np.asarray(matrix[..., self.patterns[:, :, None], self.patterns[:, None, :]])


@dataclass(frozen=True)
class VisitCorrelation(BoundCorrelation):
    """``C = L L'`` over V visits, the rows of L being ``(a_i1, …, a_i(i-1), 1)`` normalised to length 1.

    The ``a`` (row by row) are ``rho``: free real numbers. Groups of one size are worked on together.
    """

    visits: Levels
    names: tuple[str, ...]
    codes: IntArray
    parameters: Parameters

    @classmethod
    def of(cls, visits: Levels, names: tuple[str, ...], columns: Columns) -> VisitCorrelation:
        """Make the parameters of the pairs of visits; refuse a visit that comes twice in a group."""
        codes = group_codes(columns, names, len(visits.codes))
        _check_distinct(visits, names, codes, columns)
        size = len(visits.values)
        called = [level_label(value) for value in visits.values]
        pairs = [f"cor[{called[j]},{called[i]}]" for i in range(size) for j in range(i)]
        at = np.zeros(len(pairs))
        parameters = Parameters(tuple(pairs), at, at - REACH, at + REACH, PairCorrelations(size))
        return cls(visits, names, codes, parameters)

    @property
    def groups(self) -> IntArray:
        """Group (n,) of every row."""
        return self.codes

    @property
    def size(self) -> int:
        """Number of visits."""
        return len(self.visits.values)

    @cached_property
    def batches(self) -> tuple[_Batch, ...]:
        """The groups by their number of rows."""
        order = np.lexsort((self.visits.codes, self.codes)).astype(np.intp)
        counts = np.bincount(self.codes)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        batches = []
        for k in np.unique(counts[counts > 0]):
            rows = order[starts[counts == k][:, None] + np.arange(k)]
            patterns, pattern = np.unique(self.visits.codes[rows], axis=0, return_inverse=True)
            batches.append(_Batch(rows, patterns, pattern.reshape(-1).astype(np.intp)))
        return tuple(batches)

    def whiten(self, rho: Array, M: Array) -> Array:
        """Return ``C**(-1/2) M`` (n, k)."""
        C = correlation(rho, self.size)
        result = np.empty_like(M)
        for batch in self.batches:
            inverse = np.linalg.inv(_factors(batch.blocks(C)))
            result[batch.rows] = inverse[batch.pattern] @ M[batch.rows]
        return result

    def unwhiten(self, rho: Array, M: Array) -> Array:
        """Return ``C**(1/2) M`` (n, k)."""
        C = correlation(rho, self.size)
        result = np.empty_like(M)
        for batch in self.batches:
            result[batch.rows] = _factors(batch.blocks(C))[batch.pattern] @ M[batch.rows]
        return result

    def whiten_derivative(self, rho: Array, M: Array) -> Array:
        """Return the derivative (n_rho, n, k) of :meth:`whiten`.

        ``dL = L Phi(L^-1 dC L^-T)`` with Phi the lower triangle and half the diagonal, hence
        ``d(L^-1 M) = -Phi(L^-1 dC L^-T) L^-1 M``.
        """
        C, dC = correlation(rho, self.size), correlation_derivative(rho, self.size)
        result = np.empty((len(rho), *M.shape))
        for batch in self.batches:
            inverse = np.linalg.inv(_factors(batch.blocks(C)))
            middle = inverse @ batch.blocks(dC) @ inverse.swapaxes(-1, -2)
            half = np.tril(middle) - middle * np.eye(middle.shape[-1]) / 2
            white = inverse[batch.pattern] @ M[batch.rows]
            for derivative, factor in zip(result, half):
                derivative[batch.rows] = -factor[batch.pattern] @ white
        return result

    def logdet(self, rho: Array) -> float:
        """Return ``log |C|``."""
        C, total = correlation(rho, self.size), 0.0
        for batch in self.batches:
            diagonals = np.diagonal(_factors(batch.blocks(C)), axis1=-2, axis2=-1)
            total += 2.0 * float(batch.counts @ np.log(diagonals).sum(axis=1))
        return total

    def logdet_derivative(self, rho: Array) -> Array:
        """Return ``d log |C| / d rho`` (n_rho,)."""
        C, dC = correlation(rho, self.size), correlation_derivative(rho, self.size)
        total = np.zeros(len(rho))
        for batch in self.batches:
            precision = np.linalg.inv(batch.blocks(C)) * batch.counts[:, None, None]
            total += np.einsum("pij,rpij->r", precision, batch.blocks(dC))
        return total

    def rebind(self, columns: Columns) -> VisitCorrelation:
        """Return the correlation of other rows."""
        visits = self.visits.of(columns)
        codes = group_codes(columns, self.names, len(visits.codes))
        _check_distinct(visits, self.names, codes, columns)
        return VisitCorrelation(visits, self.names, codes, self.parameters)


@dataclass(frozen=True)
class PairCorrelations(NaturalMap):
    """The correlations of the pairs of visits, row by row of the lower triangle."""

    size: int

    @property
    def scales(self) -> tuple[ParameterScale, ...]:
        """Correlations lie in (-1, 1)."""
        return (Bounded(-1.0, 1.0),) * (self.size * (self.size - 1) // 2)

    def natural(self, rho: Array) -> Array:
        """Return the correlations (n_rho,)."""
        return np.asarray(correlation(rho, self.size)[np.tril_indices(self.size, -1)])

    def derivative(self, rho: Array) -> Array:
        """Return their derivatives (n_rho, n_rho)."""
        rows, columns = np.tril_indices(self.size, -1)
        return np.asarray(correlation_derivative(rho, self.size)[:, rows, columns].T)


def _factors(blocks: Array) -> Array:
    """Return the Cholesky factors; FloatingPointError, which the optimiser steps back from, at correlations of one."""
    try:
        return np.asarray(np.linalg.cholesky(blocks))
    except np.linalg.LinAlgError as error:
        raise FloatingPointError("a correlation matrix is singular in floating point") from error


def _root(rho: Array, size: int) -> tuple[Array, Array]:
    """Return L (V, V) and the lengths (V,) that its rows were divided by."""
    L = np.eye(size)
    L[np.tril_indices(size, -1)] = rho
    lengths = np.linalg.norm(L, axis=1)
    return L / lengths[:, None], lengths


def correlation(rho: Array, size: int) -> Array:
    """Return ``C`` (V, V)."""
    L = _root(rho, size)[0]
    return np.asarray(L @ L.T)


def correlation_derivative(rho: Array, size: int) -> Array:
    """Return ``dC / drho`` (n_rho, V, V).

    With the row ``l_i = w_i / |w_i|``, ``dl_i / da_ij = (e_j - l_ij l_i) / |w_i|``.
    """
    L, lengths = _root(rho, size)
    rows, columns = np.tril_indices(size, -1)
    dL = np.zeros((len(rho), size, size))
    each = np.arange(len(rho))
    dL[each, rows] = -L[rows, columns][:, None] * L[rows]
    dL[each, rows, columns] += 1.0
    dL[each, rows] /= lengths[rows][:, None]
    half = dL @ L.T
    return np.asarray(half + half.swapaxes(1, 2))


def _check_distinct(visits: Levels, names: tuple[str, ...], codes: IntArray, columns: Columns) -> None:
    key = codes * len(visits.values) + visits.codes
    distinct, first, count = np.unique(key, return_index=True, return_counts=True)
    if len(distinct) < len(key):
        row = first[count > 1][0]
        visit = written(visits.values.tolist()[visits.codes[row]])
        raise DataError(f"column {visits.name!r} has the visit {visit} twice in {place(columns, names, row)}")


def _check_pairs(correlation: VisitCorrelation) -> None:
    together = np.zeros((correlation.size, correlation.size), dtype=bool)
    for batch in correlation.batches:
        together[batch.patterns[:, :, None], batch.patterns[:, None, :]] = True
    if not together.all():
        i, j = np.argwhere(~together)[0]
        names, values = ":".join(correlation.names), correlation.visits.values.tolist()
        raise DataError(
            f"no group of {names} has both {correlation.visits.name} {written(values[i])} and {written(values[j])}: "
            "their correlation cannot be estimated"
        )
