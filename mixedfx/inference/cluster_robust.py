"""Sandwich covariances of fixed effects by clusters of independent rows, and what calibrates their tests.

Of a linear mixed model with working covariance V, ``W = V^-1``, ``M = (X'W X)^-1`` and residuals ``e = y - X beta``,

    ``M (sum over clusters  X_j' W_j A_j e_j e_j' A_j' W_j X_j) M``,

with ``A_j`` one (CR0), the root of ``m / (m - 1)`` (CR1), or such that the matrix has no bias where V is right (CR2):
``A_j = D' (D (V_j - X_j M X_j') D')^-1/2 D`` with ``D'D = V_j``. All follows from three things of each cluster, with
``Y_j = A_j' W_j X_j``: the scores ``Y_j' e_j``, the forms ``F_j = X_j' Y_j`` and the spreads ``G_j = Y_j' V_j Y_j``.
For contrasts ``C`` the variance of a cluster's own product is ``C M G_i M C'``, and ``- C M F_i' M F_j M C'`` is the
covariance of two clusters, where V is right.

References
----------
Liang & Zeger (1986), Biometrika 73, 13-22. McCaffrey, Bell & Botts (2001), Proc. Am. Stat. Assoc., for models with
working covariances. Pustejovsky & Tipton (2018), J. Bus. Econ. Stat. 36, 672-683, for A, degrees of freedom and the F
test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.fitting import LinearFit
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.inference.denominator import ByCoefficient, Denominator
from mixedfx.inference.marginal_blocks import RowBlocks, shared_effects

__all__ = [
    "KINDS",
    "ClusterRobust",
    "ClusterSums",
    "Kind",
    "KindName",
    "cluster_scores",
    "cluster_sums",
    "score_robust",
]

AT_HAND = 8  # matrices of the size of V that are held at once
EXPLAINED = 1e-8  # part of the residual variance in a direction of a cluster that counts as none


@dataclass(frozen=True)
class ClusterSums:
    """What the sandwich needs of the m clusters, on the inner scale and relative to sigma squared.

    Attributes
    ----------
    bread : (p, p)
        ``M``.
    scores : (m, p)
    forms, spreads : (m, p, p)
        ``F_j`` and ``G_j``.
    """

    bread: Array
    scores: Array
    forms: Array
    spreads: Array

    @property
    def covariance(self) -> Array:
        """The sandwich (p, p)."""
        halves = self.scores @ self.bread
        return np.asarray(halves.T @ halves)

    def products(self, rows: Array) -> tuple[Array, Array]:
        """Return ``S`` (m, r, r) and ``H`` (m, p, r) for contrasts (r, p): ``P_ij = [i = j] S_i - H_i' H_j``."""
        moved = self.bread @ rows.T
        root = np.linalg.cholesky(self.bread)
        spread = np.einsum("pr,jpq,qs->jrs", moved, self.spreads, moved, optimize=True)
        return spread, np.asarray(root.T @ (self.forms @ moved))


def cluster_sums(fit: LinearFit, codes: IntArray, kind: Kind) -> ClusterSums:
    """Sum over clusters.

    Parameters
    ----------
    fit : LinearFit
    codes : (n,)
        Cluster of every row, 0, 1, …; none of the random effects, and no residual correlation, reaches over two.
    kind : Kind
    """
    design, problem, bread = fit.design, fit.problem, fit.at.unscaled_cov
    rows, X = problem.assembly.rows, problem.assembly.rows.columns[:, :-1]
    offset = 0.0 if design.offset is None else design.offset
    e = (design.response.values - offset - design.fixed.matrix @ fit.beta) / problem.basis.scale
    blocks, root = RowBlocks(codes), _residual_root(fit, codes)
    m, p = int(codes.max()) + 1, len(bread)
    inflation = np.sqrt(kind.factor(m))
    scores, forms, spreads = np.zeros((m, p)), np.zeros((m, p, p)), np.zeros((m, p, p))
    for index in blocks.batches(AT_HAND):
        V = _residual_blocks(root, index)
        for f, factor in enumerate(fit.at.factor.factors):
            V = V + shared_effects(rows, f, factor @ factor.T, index)
        own = X[index]
        Y = inflation * kind.adjust(V, own, bread) @ np.linalg.solve(V, own)
        cluster = codes[index[:, 0]]
        scores[cluster] = np.einsum("bkp,bk->bp", Y, e[index])
        forms[cluster] = own.swapaxes(1, 2) @ Y
        spreads[cluster] = Y.swapaxes(1, 2) @ V @ Y
    return ClusterSums(bread, scores, forms, spreads)


def _residual_root(fit: LinearFit, codes: IntArray) -> Array:
    """A root of the residual covariance: (n,) where residuals are independent, else (n, k) by place in the cluster."""
    weights = fit.design.weights
    size = np.ones(len(codes)) if weights is None else 1.0 / np.sqrt(weights)
    if fit.residual is None:
        return size
    return np.asarray(fit.residual.unwhiten(fit.rho, RowBlocks(codes).seats) * size[:, None])


def _residual_blocks(root: Array, index: IntArray) -> Array:
    if root.ndim == 1:
        return np.asarray(np.eye(index.shape[1]) * root[index][:, :, None] ** 2)
    own = root[index, : index.shape[1]]
    return np.asarray(own @ own.swapaxes(1, 2))


# ---------------------------------------------------------------- adjustments
def unadjusted(V: Array, X: Array, bread: Array) -> Array:
    """Return identity matrices."""
    return np.broadcast_to(np.eye(V.shape[1]), V.shape)


def bias_reduced(V: Array, X: Array, bread: Array) -> Array:
    """Return the symmetric ``A`` with ``A (V - X M X') A = V``, by a pseudo-inverse where the fixed effects fit all.

    With ``V = L L'`` and ``N = L'L`` the matrix whose root is inverted is ``N (I - S S') N``, ``S = L^-1 X M^1/2``: the
    square of the singular values of ``N (I - S S')^1/2``, where that root is the identity but in the span of S.
    """
    L = np.linalg.cholesky(V)
    span, sizes, _ = np.linalg.svd(np.linalg.solve(L, X) @ np.linalg.cholesky(bread), full_matrices=False)
    left_over = np.where(sizes**2 < 1.0 - EXPLAINED, 1.0 - sizes**2, 0.0)
    N = L.swapaxes(1, 2) @ L
    half = N - ((N @ span) * (1.0 - np.sqrt(np.maximum(left_over, 0.0)))[:, None, :]) @ span.swapaxes(1, 2)
    left, singular, _ = np.linalg.svd(half)
    rank = V.shape[1] - (left_over == 0.0).sum(axis=1)
    kept = np.arange(V.shape[1]) < rank[:, None]
    inverse = np.where(kept, 1.0 / np.where(kept, singular, 1.0), 0.0)
    turned = L @ left
    return np.asarray((turned * inverse[:, None, :]) @ turned.swapaxes(1, 2))


@dataclass(frozen=True)
class Kind:
    """A kind of sandwich.

    Attributes
    ----------
    name : str
    adjust : callable
        How the residuals of a cluster are adjusted: from ``V`` (b, k, k), ``X`` (b, k, p) and ``M`` to ``A`` (b, k, k).
    inflated : bool
        Whether the matrix is then multiplied by m / (m - 1), m the number of clusters.
    """

    name: str
    adjust: Callable[[Array, Array, Array], Array]
    inflated: bool = False

    def factor(self, count: int) -> float:
        """By what the matrix of ``count`` clusters is multiplied."""
        return count / (count - 1.0) if self.inflated else 1.0


KindName: TypeAlias = Literal["CR0", "CR1", "CR2"]
KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (Kind("CR0", unadjusted), Kind("CR1", unadjusted, True), Kind("CR2", bias_reduced))
}


# ---------------------------------------------------------------- calibration
@dataclass(frozen=True, repr=False)
class ClusterRobust(Denominator):
    """A sandwich covariance with the degrees of freedom that it has where the working covariance is right.

    Attributes
    ----------
    fit : LinearFit
    sums : ClusterSums

    References
    ----------
    Pustejovsky & Tipton (2018), J. Bus. Econ. Stat. 36, 672-683: Satterthwaite's degrees of freedom of a contrast, and
    Hotelling's T squared with the degrees of freedom of an approximating Wishart distribution (HTZ) of several.
    """

    fit: LinearFit
    sums: ClusterSums
    label = "Pustejovsky and Tipton"

    @cached_property
    def covariance(self) -> Array:
        """The sandwich (p, p)."""
        return np.asarray(self.fit.problem.basis.covariance(self.sums.covariance))

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,), nan for a zero contrast."""
        spread, half = self.sums.products(self.fit.inner_rows(rows))
        own, lengths = np.einsum("jrr->rj", spread), np.einsum("jpr,jpr->rj", half, half)
        cross = np.einsum("jpr,jqr->rpq", half, half, optimize=True)
        total = (own - lengths).sum(axis=1)
        squares = (own**2 - 2.0 * own * lengths).sum(axis=1) + np.einsum("rpq,rpq->r", cross, cross)
        return np.asarray(np.divide(total**2, squares, out=np.full(len(rows), np.nan), where=squares > 0))

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return ``eta - q + 1``, and it over ``eta``, by which the mean of the Wald statistic is F; nan if negative.

        ``eta`` matches the total variance of the entries of the standardised sandwich (q, q) to a Wishart matrix's.
        """
        q = len(rows)
        spread, half = self.sums.products(self.fit.inner_rows(rows))
        expected = spread.sum(axis=0) - np.einsum("jpr,jps->rs", half, half)
        values, vectors = np.linalg.eigh(expected)
        if not values[0] > 0.0:
            return np.nan, np.nan
        turn = vectors / np.sqrt(values)
        spread, half = turn.T @ spread @ turn, half @ turn
        own = half.swapaxes(1, 2) @ half
        flat = half.reshape(len(half), -1)
        cross = (flat.T @ flat).reshape(half.shape[1], q, half.shape[1], q)
        trace, length = np.einsum("jrr->j", spread), np.einsum("jrr->j", own)
        variance = (trace**2 - 2.0 * trace * length).sum() + np.einsum("asbt,asbt->", cross, cross)
        variance += np.einsum("jrs,jsr->", spread, spread - 2.0 * own) + np.einsum("asbt,atbs->", cross, cross)
        eta = q * (q + 1.0) / float(variance)
        df = eta - q + 1.0
        return (df, df / eta) if df > 0.0 else (np.nan, np.nan)


# ---------------------------------------------------------------- generalised models
def cluster_scores(fit: GeneralizedFit, codes: IntArray, count: int) -> Array:
    """Return the derivatives (count, k) of the log-likelihood of every cluster in all parameters ``fit.x``.

    Parameters
    ----------
    fit : GeneralizedFit
    codes : (n,)
        Cluster of every row; no level of a grouping factor is in two of them.
    count : int
        Number of clusters.
    """
    at, model = cast(Any, fit.at), fit.problem.model
    theta, whole = model.theta_slice, np.zeros((count, fit.x.size))
    by_row = [model.X * at.row_slopes[:, None]]
    by_row += [m * slope[:, None] for m, slope in zip(model.auxiliary_matrices, at.auxiliary_slopes, strict=True)]
    whole[:, np.r_[: theta.start, theta.stop : fit.x.size]] = _sums(np.concatenate(by_row, axis=1), codes, count)
    factors = zip(model.space.rows.layout.codes, model.covariance.by_factor, at.level_slopes, strict=True)
    for levels, positions, slopes in factors:
        home = np.zeros(slopes.shape[1], dtype=np.intp)
        home[levels] = codes
        whole[:, theta.start + np.asarray(positions)] = _sums(slopes.T, home, count)
    return -0.5 * whole


def _sums(values: Array, codes: IntArray, count: int) -> Array:
    """Sums (count, c) of rows of values (n, c)."""
    out = np.zeros((count, values.shape[1]))
    np.add.at(out, codes, values)
    return out


def score_robust(fit: GeneralizedFit, codes: IntArray, kind: Kind) -> Denominator:
    """Return the sandwich of the scores of the marginal likelihood by cluster.

    The bread is the inverse of the observed information of all parameters, variances among them; t tests have one
    degree of freedom less than there are clusters.
    """
    count, p = int(codes.max()) + 1, fit.beta.size
    covariance = fit.covariance
    moved = np.where(np.isnan(fit.inner_covariance), 0.0, fit.inner_covariance) @ cluster_scores(fit, codes, count).T
    halves = fit.problem.coefficients[0][1].matrix @ moved[:p]
    sandwich = kind.factor(count) * halves @ halves.T
    sandwich = np.where(np.isnan(covariance[:p, :p]), np.nan, sandwich)
    return ByCoefficient(sandwich, np.full(p, count - 1.0), "the number of clusters")
