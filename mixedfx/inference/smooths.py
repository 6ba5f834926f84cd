"""Effective degrees of freedom of smooths, and the test of their being zero.

With ``M = [X, ZΛ]' W [X, ZΛ] + diag(0, I)``, Λ a root of the covariance of the random effects, the fit is linear in the
response with ``F = M^-1 [X, ZΛ]' W [X, ZΛ] = I - M^-1 diag(0, I)``; the effective degrees of freedom of a smooth are
the trace of F over its columns, and ``2 F - F F`` in place of F has the reference degrees of freedom of its test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy import special

from mixedfx._typing import Array, IntArray
from mixedfx.fitting import Fit
from mixedfx.inference.distributions import f_tail
from mixedfx.matrices import RandomEffects
from mixedfx.matrices.pooled import smooth_encoder

__all__ = ["FittedSmooth", "WoodStatistic", "fitted_smooths", "smooth_pvalue", "wood_statistic"]

NODES = 60  # of the quadrature of the distribution of the statistic
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
    fixed, random : (a,), (b,) int arrays
        Its columns among the fixed effects (the line; none if it is redundant), and among those of the random term.
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
    fixed: IntArray
    random: IntArray
    edf: float
    ref_df: float
    statistic: float
    df_denom: float
    pvalue: float

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
    """Return the smooths of a fit with their degrees of freedom and tests.

    Raises
    ------
    SpecificationError
        If the rows of the fit stand for others.
    """
    design = fit.design
    if not any(term.is_smooth for term in design.random):
        return ()
    from scipy.sparse.linalg import splu  # few fits have smooths

    design.need_rows("the effective degrees of freedom of smooths")
    p, X = len(design.fixed.names), design.fixed.matrix
    roots = [_root(term, covariance, fit) for term, covariance in zip(design.random, fit.covariances, strict=True)]
    Z = [_sparse(term) for term in design.random]
    rows = fit.weighted_rows(sp.csr_array(sp.hstack([sp.csr_array(X), *(z @ root for z, root in zip(Z, roots))])))
    rows = sp.csc_array(rows)
    ridge = np.concatenate([np.zeros(p), np.ones(rows.shape[1] - p)])
    solver = splu(sp.csc_array(rows.T @ rows + sp.diags_array(ridge)))
    spread = fit.scale if fit.family.precision_weights and fit.is_relative else 1.0
    df_denom = _denominator(fit)
    starts = p + np.concatenate([[0], np.cumsum([z.shape[1] for z in Z])])
    found = []
    for k, term in enumerate(design.random):
        if not term.is_smooth:
            continue
        for label, level, line, own in _blocks(term, design.fixed.names):
            places = np.concatenate([line, starts[k] + own]).astype(np.intp)
            side = np.zeros((rows.shape[1], places.size))
            side[places, np.arange(places.size)] = 1.0
            inverse = solver.solve(side)  # columns of M^-1
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
            found.append(FittedSmooth(label, term.term, k, level, line, own, edf, ref_df, wood.mean, df_denom, pvalue))
    return tuple(found)


def _root(term: RandomEffects, covariance: Array, fit: Fit) -> Any:
    """A sparse root of the covariance of a term's effects, levels slowest; relative to sigma in linear models."""
    unit = float(np.sqrt(fit.scale)) if fit.is_relative else 1.0
    if term.pooled is not None:
        return sp.csr_array(sp.diags_array(np.sqrt(covariance.diagonal()) / unit))
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0)) / unit
    levels = sp.eye_array(term.n_levels) if term.loading is None else sp.csr_array(term.loading)
    return sp.csr_array(sp.kron(levels, sp.csr_array(root)))


def _sparse(term: RandomEffects) -> sp.csr_array:
    """Return the columns (n, levels * q) of a term, levels slowest."""
    n, q = term.matrix.shape
    columns = (term.codes[:, None] * q + np.arange(q)).ravel()
    rows = np.repeat(np.arange(n), q)
    return sp.csr_array((np.ascontiguousarray(term.matrix).ravel(), (rows, columns)), shape=(n, term.n_levels * q))


def _blocks(term: RandomEffects, names: tuple[str, ...]) -> list[tuple[str, int | None, IntArray, IntArray]]:
    """Label, level, columns of the line among the fixed effects ``names``, random columns of every smooth of a term."""
    encoder = smooth_encoder(term)
    places, firsts = {name: j for j, name in enumerate(names)}, [first for _, first in term.variances]
    ends = [*firsts[1:], term.n_columns]
    out = []
    for level, (label, line_name, first) in enumerate(zip(encoder.labels, encoder.line_names, firsts, strict=True)):
        line = np.array([places[line_name]] if line_name in places else [], dtype=np.intp)
        out.append((label, level if encoder.by else None, line, np.arange(first, ends[level])))
    return out


def _denominator(fit: Fit) -> float:
    """Rows less the effective degrees of freedom of the fit; infinite where the dispersion is known."""
    if not fit.has_sigma:
        return np.inf
    fixed, random = fit.leverages()
    return float(max(fit.design.n_rows - fixed.sum() - random.sum(), 1.0))
