"""Effective degrees of freedom of smooths, and the test of their being zero.

With ``M = [X, ZΛ]' W [X, ZΛ] + diag(0, I)``, Λ a root of the covariance of the random effects, the fit is linear in the
response with ``F = M^-1 [X, ZΛ]' W [X, ZΛ] = I - M^-1 diag(0, I)``; the effective degrees of freedom of a smooth are
the trace of F over its columns, and ``2 F - F F`` in place of F has the reference degrees of freedom of its test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy import special

from mixedfx._typing import Array, IntArray
from mixedfx.fitting import Fit
from mixedfx.fitting.likelihood import NormalVariances
from mixedfx.inference.distributions import f_tail
from mixedfx.matrices import RandomEffects
from mixedfx.matrices.new_rows import PredictedRows
from mixedfx.matrices.pooled import smooth_encoder

__all__ = [
    "FittedSmooth",
    "WoodStatistic",
    "fitted_smooths",
    "smooth_errors",
    "smooth_joint",
    "smooth_pvalue",
    "smooth_slopes",
    "wood_statistic",
]

NODES = 60  # of the quadrature of the distribution of the statistic
STRAIGHT = 0.01  # effective degrees of freedom of what bends below which nothing does
STEP = 1e-5  # of differences of the joint covariance in the parameters of variances
WHOLE = 1e-8  # a rank this near a whole number is one


@dataclass(frozen=True)
class FittedSmooth:
    """One smooth of a fit: of a factor's level if there is one.

    Attributes
    ----------
    label : str
        ``s(x)``, ``s(x):f[a]``.
    line : str
        The term of the fixed effects that holds its straight line: ``s(x, k=8)``.
    term : int
        Position of its random term.
    level : int or None
        Level of the factor.
    times : str or None
        The number that it multiplies.
    fixed, random : (a,), (b,) int arrays
        Its columns among the fixed effects (the line; none if it is redundant), and among those of the random term.
    parts : (a,) int array
        Which of the columns of the lines of all levels the fixed ones are.
    edf, ref_df : float
        Effective degrees of freedom; those of the reference distribution.
    statistic : float
        Wood's statistic, a sum of about ``ref_df`` squares; nan where the smooth has no columns with a variance.
    df_denom : float
        Rows less effective degrees of freedom of the whole fit; infinite where the dispersion is known.
    pvalue : float
    """

    label: str
    line: str
    term: int
    level: int | None
    times: str | None
    fixed: IntArray
    random: IntArray
    parts: IntArray
    edf: float
    ref_df: float
    statistic: float
    df_denom: float
    pvalue: float

    @property
    def is_straight(self) -> bool:
        """Whether there is nothing but the straight line."""
        return self.edf < self.fixed.size + STRAIGHT

    @property
    def fvalue(self) -> float:
        """The statistic by its reference degrees of freedom."""
        return self.statistic / self.ref_df if self.ref_df > 0 else np.nan


@dataclass(frozen=True)
class WoodStatistic:
    """A quadratic form in the fitted values of a smooth, of fractional rank (Wood 2013, Biometrika 100:221).

    The signs of two eigenvectors, which are arbitrary, decide whether ``half`` is added or taken off; the statistic is
    the mean of both.

    Attributes
    ----------
    mean, half : float
    rank : float
    """

    mean: float
    half: float
    rank: float


def wood_statistic(columns: Array, effects: Array, covariance: Array, rank: float) -> WoodStatistic:
    """Return ``f' V^(r-) f`` with ``f = columns @ effects`` and V the covariance of f, of a pseudo-inverse of rank r.

    Parameters
    ----------
    columns : (n, k)
    effects : (k,)
    covariance : (k, k)
        Of the effects: the Bayesian one, in which the smooth has its prior.
    rank : float
        Between 1 and k.
    """
    R = np.asarray(np.linalg.qr(columns, mode="r"))
    values, vectors = np.linalg.eigh(R @ covariance @ R.T)
    values, scores = values[::-1], (vectors.T @ (R @ effects))[::-1]
    possible = int(np.sum(values > np.finfo(float).eps ** 0.8 * max(float(values[0]), 0.0)))
    if possible == 0 or rank < WHOLE:
        return WoodStatistic(np.nan, np.nan, 0.0)
    rank = min(max(rank, 1.0), float(possible))
    whole, part = int(np.floor(rank + WHOLE)), rank - np.floor(rank + WHOLE)
    squares = scores[:possible] ** 2 / values[:possible]
    mean = float(squares[:whole].sum())
    if part < WHOLE or whole >= possible:
        return WoodStatistic(mean, 0.0, rank)
    mixed = scores[whole - 1] * scores[whole] / np.sqrt(values[whole - 1] * values[whole])
    return WoodStatistic(mean + part * float(squares[whole]), float(np.sqrt(2.0 * part * (1.0 - part)) * mixed), rank)


def smooth_pvalue(statistic: float, rank: float, df_denom: float) -> float:
    """Return the upper tail of ``chi2_w + p chi2_1``, w and p the whole and the rest of ``rank``, over its denominator.

    The sum is ``chi2_(w+1) (1 - (1 - p) V)`` with V independent of it and from Beta(1/2, w/2), so that the tail is a
    mean of tails of F: an integral of a positive function.
    """
    if not np.isfinite(statistic):
        return np.nan
    whole, part = int(np.floor(rank + WHOLE)), rank - np.floor(rank + WHOLE)
    if part < WHOLE:
        return float(f_tail(statistic / whole, whole, df_denom))
    nodes, weights = special.roots_jacobi(NODES, 0.5 * whole - 1.0, -0.5)
    share = 1.0 - (1.0 - part) * 0.5 * (1.0 + nodes)
    tails = f_tail(statistic / ((whole + 1) * share), whole + 1, df_denom)
    return float(weights @ tails / weights.sum())


def fitted_smooths(fit: Fit) -> tuple[FittedSmooth, ...]:
    """Return the smooths of a fit with their degrees of freedom and tests."""
    design = fit.design
    if not any(term.is_smooth for term in design.random):
        return ()
    X, equations = design.fixed.matrix, _Equations.of(fit)
    p, starts, roots = X.shape[1], equations.starts, equations.roots
    spread = fit.scale if fit.is_relative else 1.0
    df_denom = _denominator(fit)
    found = []
    for k, term in enumerate(design.random):
        if not term.is_smooth:
            continue
        times = smooth_encoder(term).times
        for label, level, line, own, parts in _blocks(term, design.fixed.names):
            places = np.concatenate([line, starts[k] + own]).astype(np.intp)
            inverse = equations.inverse(places)
            penalised = inverse[:, line.size :]
            edf = places.size - float(np.trace(inverse[places][line.size :, line.size :]))
            ref_df = places.size - float(np.square(penalised[p:]).sum())
            back = np.ones(places.size)
            back[line.size :] = roots[k].diagonal()[own]
            covariance = spread * back[:, None] * inverse[places] * back
            effects = np.concatenate([fit.beta[line], fit.modes[k][own, 0]])
            columns = sp.csr_array(np.hstack([X[:, line], term.matrix[:, own]]))
            weighted: Any = fit.weighted_rows(columns)
            dense = np.asarray(weighted if isinstance(weighted, np.ndarray) else weighted.toarray())
            wood = wood_statistic(dense, effects, 0.5 * (covariance + covariance.T), ref_df)
            pvalue = smooth_pvalue(wood.mean, wood.rank, df_denom)
            place = label, term.term, k, level, times, line, own, parts
            found.append(FittedSmooth(*place, edf, ref_df, wood.mean, df_denom, pvalue))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class _Equations:
    """The mixed-model equations M of all effects, those of random terms on the scale where they are independent.

    Attributes
    ----------
    roots : tuple of sparse (k, k)
        Of the covariance of each term's effects, levels slowest; relative to sigma in linear models.
    starts : (t,) int array
        First random column of each term among all.
    solver : object
        A factorisation of M.
    size : int
    """

    roots: tuple[Any, ...]
    starts: IntArray
    solver: Any
    size: int

    @classmethod
    def of(cls, fit: Fit) -> _Equations:
        """Return the equations at the estimate."""
        return cls.at(fit, fit.covariances, fit.scale if fit.is_relative else 1.0)

    @classmethod
    def at(cls, fit: Fit, covariances: Sequence[Array], unit: float) -> _Equations:
        """Return the equations with other variances, ``unit`` the residual one in linear models."""
        from scipy.sparse.linalg import splu  # few fits have smooths

        design, p = fit.design, fit.beta.size
        roots = tuple(_root(term, matrix, unit) for term, matrix in zip(design.random, covariances, strict=True))
        Z = [_sparse(term) for term in design.random]
        blocks = [sp.csr_array(design.fixed.matrix), *(z @ root for z, root in zip(Z, roots, strict=True))]
        rows = sp.csc_array(fit.weighted_rows(sp.csr_array(sp.hstack(blocks))))
        size = int(rows.shape[1])
        ridge = np.concatenate([np.zeros(p), np.ones(size - p)])
        starts = p + np.concatenate([[0], np.cumsum([z.shape[1] for z in Z])])
        M = sp.csc_array(rows.T @ rows + sp.diags_array(ridge))
        solver = splu(M, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        return cls(roots, starts.astype(np.intp), solver, size)

    def inverse(self, columns: IntArray) -> Array:
        """Return columns (size, c) of the inverse of M."""
        side = np.zeros((self.size, columns.size))
        side[columns, np.arange(columns.size)] = 1.0
        return np.asarray(self.solver.solve(side))


def smooth_joint(fit: Fit) -> Array:
    """Return the covariance (p + q, p + q) of the errors of the fixed effects and of the random columns of all smooths.

    In a linear model the variances count as known.
    """
    p, design = fit.beta.size, fit.design
    if not fit.is_relative:
        sizes = [term.n_columns * term.n_levels for term in design.random]
        bent = np.repeat([term.is_smooth for term in design.random], sizes)
        chosen = np.concatenate([np.arange(p), p + np.flatnonzero(bent)])
        return np.asarray(fit.joint_covariance()[np.ix_(chosen, chosen)])
    return _joint(fit, _Equations.of(fit), fit.scale)


def smooth_slopes(fit: Fit, variances: NormalVariances) -> tuple[Array, Array]:
    """Return how :func:`smooth_joint` of a linear model moves with its variances, and what these are uncertain by.

    The variances of smooths count as known, as in the tests of smooths, and so do parameters of residual structures.

    Returns
    -------
    slopes : (k, p + q, p + q)
        Derivatives in the parameters of the other random effects and the logarithm of the residual variance.
    covariance : (k, k)
        Of these parameters.
    """
    sizes = [term.covariance.n_theta for term in fit.design.random]
    held = np.repeat([term.is_smooth for term in fit.design.random], sizes)
    free = [*np.flatnonzero(~held), variances.phi.size - 1]
    free = [k for k in free if variances.covariance[k, k] > 0.0]

    def joint(phi: Array) -> Array:
        covariances, residual = variances.at(phi)
        return _joint(fit, _Equations.at(fit, covariances, residual), residual)

    slopes = []
    for k in free:
        step = STEP * max(1.0, abs(variances.phi[k])) * (np.arange(variances.phi.size) == k)
        slopes.append((joint(variances.phi + step) - joint(variances.phi - step)) / (2.0 * step[k]))
    size = len(smooth_joint(fit))
    stacked = np.array(slopes).reshape(-1, size, size)
    return stacked, np.asarray(variances.covariance[np.ix_(free, free)])


def _joint(fit: Fit, equations: _Equations, unit: float) -> Array:
    """The joint covariance of a linear model with the residual variance ``unit``."""
    p, design = fit.beta.size, fit.design
    smooth = [equations.starts[k] + np.arange(t.n_columns) for k, t in enumerate(design.random) if t.is_smooth]
    chosen = np.concatenate([np.arange(p), *smooth]).astype(np.intp)
    back = np.concatenate(
        [np.ones(p), *(equations.roots[k].diagonal() for k, term in enumerate(design.random) if term.is_smooth)]
    )
    covariance = unit * back[:, None] * equations.inverse(chosen)[chosen] * back
    return np.asarray(0.5 * (covariance + covariance.T))


def smooth_errors(fit: Fit) -> tuple[Array, Array]:
    """Return what makes the random columns of all smooths uncertain: nothing of nothing without smooths.

    Returns
    -------
    slopes : (q, k)
        Derivatives in the parameters of ``fit.error_covariance`` (k, k), which the modes follow.
    conditional : (q, q)
        Covariance given the parameters.
    """
    design, k = fit.design, len(fit.error_covariance)
    smooths = [place for place, term in enumerate(design.random) if term.is_smooth]
    if not smooths:
        return np.zeros((0, k)), np.zeros((0, 0))
    slopes = []
    for place in smooths:
        q = design.random[place].n_columns
        z = [np.zeros((q, term.n_columns)) for term in design.random]
        z[place] = np.eye(q)
        codes = [np.zeros(q, dtype=np.intp) for _ in design.random]
        chosen = [np.full(term.n_columns, other == place) for other, term in enumerate(design.random)]
        rows = PredictedRows(np.zeros((q, fit.beta.size)), codes, z, chosen)
        slopes.append(fit.predictor_errors(rows).slopes)
    moved, p = np.vstack(slopes), fit.beta.size
    known = np.where(np.isnan(fit.error_covariance), 0.0, fit.error_covariance)
    return moved, np.asarray(smooth_joint(fit)[p:, p:] - moved @ known @ moved.T)


def _root(term: RandomEffects, covariance: Array, unit: float) -> Any:
    """A sparse root of the covariance of a term's effects, levels slowest, in units of the variance ``unit``."""
    if term.pooled is not None:
        return sp.csr_array(sp.diags_array(np.sqrt(covariance.diagonal() / unit)))
    values, vectors = np.linalg.eigh(covariance / unit)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    levels = sp.eye_array(term.n_levels) if term.loading is None else sp.csr_array(term.loading)
    return sp.csr_array(sp.kron(levels, sp.csr_array(root)))


def _sparse(term: RandomEffects) -> sp.csr_array:
    """Return the columns (n, levels * q) of a term, levels slowest."""
    n, q = term.matrix.shape
    columns = (term.codes[:, None] * q + np.arange(q)).ravel()
    rows = np.repeat(np.arange(n), q)
    return sp.csr_array((np.ascontiguousarray(term.matrix).ravel(), (rows, columns)), shape=(n, term.n_levels * q))


def _blocks(term: RandomEffects, names: tuple[str, ...]) -> list[tuple[str, int | None, IntArray, IntArray, IntArray]]:
    """Label and level of every smooth of a term; its line among the fixed ``names``, random columns, parts of lines."""
    encoder = smooth_encoder(term)
    places, firsts = {name: j for j, name in enumerate(names)}, [first for _, first in term.variances]
    ends = [*firsts[1:], term.n_columns]
    out = []
    for level, (label, lines, first) in enumerate(zip(encoder.labels, encoder.line_names, firsts, strict=True)):
        kept = [j for j, name in enumerate(lines) if name in places]
        line = np.array([places[lines[j]] for j in kept], dtype=np.intp)
        parts = np.array(kept, dtype=np.intp) + level * len(lines)
        out.append((label, level if encoder.by else None, line, np.arange(first, ends[level]), parts))
    return out


def _denominator(fit: Fit) -> float:
    """Rows less the effective degrees of freedom of the fit; infinite where the dispersion is known."""
    if not fit.has_sigma:
        return np.inf
    fixed, random = fit.leverages()
    return float(max(fit.design.n_rows - fixed.sum() - random.sum(), 1.0))
