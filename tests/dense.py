"""The obviously right linear mixed model: n by n matrices, no tricks. Fast paths are compared with these.

A model is a :class:`DenseModel` (arrays) and a list of *factors*: for each term the lower-triangular ``T`` of its
relative covariance, ``Var(b_level) = sigma**2 T T'``. Everything follows from
``V0 = W**-1 + sum_k Z_k (I x T_k T_k') Z_k'`` and the textbook.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from tests.differences import gradient, hessian, jacobian

Array = NDArray[np.float64]
Factors = Sequence[Array]


@dataclass(frozen=True)
class DenseTerm:
    """One random term: level of each row, covariates of each row."""

    codes: NDArray[np.intp]  # (n,) in 0 .. n_levels - 1
    matrix: Array  # (n, q)
    n_levels: int

    @property
    def q(self) -> int:
        return self.matrix.shape[1]

    @property
    def Z(self) -> Array:
        """(n, n_levels * q), the levels outermost."""
        n = len(self.codes)
        out = np.zeros((n, self.n_levels, self.q))
        out[np.arange(n), self.codes] = self.matrix
        return out.reshape(n, -1)

    def covariance(self, factor: Array) -> Array:
        """``I x T T'`` (m q, m q)."""
        return np.kron(np.eye(self.n_levels), factor @ factor.T)


@dataclass(frozen=True)
class DenseModel:
    """Response (offset already subtracted), fixed effects, random terms, prior weights."""

    y: Array
    X: Array
    terms: tuple[DenseTerm, ...]
    weights: Array | None = None
    reml: bool = True

    @property
    def w(self) -> Array:
        return np.ones(len(self.y)) if self.weights is None else self.weights

    @property
    def nu(self) -> int:
        return len(self.y) - (self.X.shape[1] if self.reml else 0)

    def ml(self) -> "DenseModel":
        return replace(self, reml=False)


def marginal_covariance(model: DenseModel, factors: Factors) -> Array:
    """``V0 = Var(y) / sigma**2`` (n, n)."""
    V = np.diag(1 / model.w)
    for term, factor in zip(model.terms, factors):
        V = V + term.Z @ term.covariance(factor) @ term.Z.T
    return V


def _log_det(matrix: Array) -> float:
    return float(np.linalg.slogdet(matrix)[1])


@dataclass(frozen=True)
class DenseEstimate:
    """What follows from a marginal covariance ``V0`` by generalised least squares."""

    beta: Array
    sigma2: float
    vcov: Array  # sigma2 * (X' V0^-1 X)^-1
    modes: tuple[Array, ...]  # per term (levels, q): E(b | y)
    mode_covariance: tuple[Array, ...]  # per term (levels, q, q): Var(b | y, beta, theta, sigma)
    fitted: Array  # X beta + Z b


def gls(model: DenseModel, V0: Array) -> tuple[Array, Array, float]:
    """``beta``, ``X' V0^-1 X`` and the residual sum of squares in the metric of ``V0``."""
    solve = np.linalg.solve
    A = model.X.T @ solve(V0, model.X)
    beta = solve(A, model.X.T @ solve(V0, model.y))
    residual = model.y - model.X @ beta
    return beta, A, float(residual @ solve(V0, residual))


def criterion(model: DenseModel, factors: Factors, sigma: float | None = None) -> float:
    """-2 log L (ML) or the REML criterion, ``beta`` profiled out, ``sigma`` too unless it is given."""
    V0 = marginal_covariance(model, factors)
    _, A, rss = gls(model, V0)
    sigma2 = rss / model.nu if sigma is None else sigma**2
    value = _log_det(V0) + model.nu * np.log(2 * np.pi * sigma2) + rss / sigma2
    return value + (_log_det(A) if model.reml else 0.0)


def estimate(model: DenseModel, factors: Factors, sigma: float | None = None) -> DenseEstimate:
    """Estimates given the relative covariance factors."""
    V0 = marginal_covariance(model, factors)
    beta, A, rss = gls(model, V0)
    sigma2 = rss / model.nu if sigma is None else sigma**2
    whitened = np.linalg.solve(V0, model.y - model.X @ beta)
    modes, spreads, fitted = [], [], model.X @ beta
    joint = _conditional_covariance(model, factors, sigma2)
    start = 0
    for term, factor in zip(model.terms, factors):
        b = term.covariance(factor) @ term.Z.T @ whitened
        fitted = fitted + term.Z @ b
        size = term.n_levels * term.q
        block = joint[start : start + size, start : start + size]
        index = np.arange(size).reshape(term.n_levels, term.q)
        modes.append(b.reshape(term.n_levels, term.q))
        spreads.append(block[index[:, :, None], index[:, None, :]])
        start += size
    return DenseEstimate(beta, sigma2, sigma2 * np.linalg.inv(A), tuple(modes), tuple(spreads), fitted)


def _stacked(model: DenseModel, factors: Factors) -> tuple[Array, Array]:
    """``Z`` of all terms side by side and the relative covariance ``G0`` of all random effects."""
    Z = np.hstack([term.Z for term in model.terms])
    return Z, linalg.block_diag(*(term.covariance(factor) for term, factor in zip(model.terms, factors)))


def _conditional_covariance(model: DenseModel, factors: Factors, sigma2: float) -> Array:
    """``Var(b | y)`` at known parameters: ``G - G Z' V^-1 Z G``."""
    Z, G0 = _stacked(model, factors)
    V0 = marginal_covariance(model, factors)
    return sigma2 * (G0 - G0 @ Z.T @ np.linalg.solve(V0, Z @ G0))


def joint_covariance(model: DenseModel, factors: Factors, sigma2: float) -> Array:
    """Covariance of ``(beta_hat - beta, b_hat - b)``: Henderson's prediction error covariance.

    ``b_hat - b`` and ``beta_hat - beta`` are linear in ``(y, b)``, whose joint covariance is known; nothing is inverted
    but ``V0`` and ``X' V0^-1 X``, so that singular covariances are allowed.
    """
    Z, G0 = _stacked(model, factors)
    V0 = marginal_covariance(model, factors)
    p, q, n = model.X.shape[1], Z.shape[1], len(model.y)
    to_beta = np.linalg.solve(model.X.T @ np.linalg.solve(V0, model.X), np.linalg.solve(V0, model.X).T)
    to_b = G0 @ Z.T @ np.linalg.solve(V0, np.eye(n) - model.X @ to_beta)
    maps = np.vstack([np.hstack([to_beta, np.zeros((p, q))]), np.hstack([to_b, -np.eye(q)])])
    return sigma2 * maps @ np.block([[V0, Z @ G0], [G0 @ Z.T, G0]]) @ maps.T


# --------------------------------------------------------------------------- derivatives
FactorsOf = Callable[[Array], Factors]


def unstructured(model: DenseModel, theta: Array) -> list[Array]:
    """Lower triangles, column-wise, of the terms in turn: lme4's ``theta``."""
    factors, start = [], 0
    for term in model.terms:
        T = np.zeros((term.q, term.q))
        rows, columns = np.triu_indices(term.q)  # (column, row) of the lower triangle, column by column
        size = len(rows)
        T[columns, rows] = theta[start : start + size]
        factors.append(T)
        start += size
    return factors


def criterion_gradient(model: DenseModel, factors_of: FactorsOf, theta: Array, sigma: float | None = None) -> Array:
    return gradient(lambda t: criterion(model, factors_of(t), sigma), theta)


def criterion_hessian(model: DenseModel, factors_of: FactorsOf, theta: Array, sigma: float | None = None) -> Array:
    return hessian(lambda t: criterion(model, factors_of(t), sigma), theta)


# --------------------------------------------------------------------------- Satterthwaite
def varpar_covariance(model: DenseModel, factors_of: FactorsOf, theta: Array, sigma: float) -> Array:
    """Asymptotic covariance of ``(theta, sigma)``: twice the inverse Hessian of the unprofiled criterion."""
    at = np.append(theta, sigma)
    scale = np.append(np.ones(len(theta)), sigma)  # sigma in its own units, for the steps
    H = hessian(lambda g: criterion(model, factors_of((g * scale)[:-1]), (g * scale)[-1]), at / scale)
    return 2 * np.linalg.inv(H) * np.outer(scale, scale)


def _vcov(model: DenseModel, factors: Factors, sigma: float) -> Array:
    _, A, _ = gls(model, marginal_covariance(model, factors))
    return sigma**2 * np.linalg.inv(A)


def satterthwaite_df(model: DenseModel, factors_of: FactorsOf, theta: Array, sigma: float, rows: Array) -> Array:
    """Degrees of freedom (q,) of ``rows @ beta`` for ``rows`` (q, p)."""
    A = varpar_covariance(model, factors_of, theta, sigma)

    def variances(g: Array) -> Array:
        return np.einsum("ij,jk,ik->i", rows, _vcov(model, factors_of(g[:-1]), g[-1]), rows)

    at = np.append(theta, sigma)
    slopes = jacobian(variances, at)
    return 2 * variances(at) ** 2 / np.einsum("ij,jk,ik->i", slopes, A, slopes)


def satterthwaite_f(
    model: DenseModel, factors_of: FactorsOf, theta: Array, sigma: float, L: Array
) -> tuple[float, float]:
    """F and denominator df of ``L beta = 0`` by the rule of Fai and Cornelius (1996), as lmerTest applies it."""
    beta, _, _ = gls(model, marginal_covariance(model, factors_of(theta)))
    values, vectors = np.linalg.eigh(L @ _vcov(model, factors_of(theta), sigma) @ L.T)
    rows = vectors.T @ L
    F = float(np.mean((rows @ beta) ** 2 / values))
    dfs = satterthwaite_df(model, factors_of, theta, sigma, rows)
    if len(dfs) == 1:
        return F, float(dfs[0])
    above = dfs[dfs > 2]
    expected = float(np.sum(above / (above - 2)))
    return F, 2 * expected / (expected - len(dfs)) if expected > len(dfs) else 2.0


# --------------------------------------------------------------------------- Kenward and Roger
@dataclass(frozen=True)
class KenwardRoger:
    """Kenward & Roger (1997), for a covariance that is linear in its parameters."""

    beta: Array
    vcov: Array
    adjusted: Array
    W: Array  # inverse of the expected REML information
    P: Array  # (k, p, p)

    def f_test(self, L: Array) -> tuple[float, float, float]:
        """F (scaled), denominator df, and the scaling factor of ``L beta = 0``."""
        rank = L.shape[0]
        Theta = L.T @ np.linalg.solve(L @ self.vcov @ L.T, L)
        products = [Theta @ self.vcov @ P @ self.vcov for P in self.P]
        traces = np.array([np.trace(product) for product in products])
        pairs = np.array([[np.trace(a @ b) for b in products] for a in products])
        A1, A2 = float(traces @ self.W @ traces), float(np.sum(self.W * pairs))
        df, scaling = _kenward_roger_moments(rank, A1, A2)
        estimate_ = L @ self.beta
        wald = float(estimate_ @ np.linalg.solve(L @ self.adjusted @ L.T, estimate_)) / rank
        return scaling * wald, df, scaling


def _kenward_roger_moments(rank: int, A1: float, A2: float) -> tuple[float, float]:
    """Denominator df and scaling from matched moments (sections 3 and 4 of the paper).

    For one row ``A1 = A2`` and the equations reduce to ``df = 2 / A2`` without scaling; near two degrees of freedom,
    where the mean of F ceases to exist, they would divide rounding errors by one another. For several rows the
    statistic is not scaled there (Halekoh & Hojsgaard 2014).
    """
    if rank == 1:
        return 2 / A2, 1.0
    B = (A1 + 6 * A2) / (2 * rank)
    g = ((rank + 1) * A1 - (rank + 4) * A2) / ((rank + 2) * A2)
    c = np.array([g, rank - g, rank + 2 - g]) / (3 * rank + 2 * (1 - g))
    mean = 1 / (1 - A2 / rank)
    variance = 2 / rank * (1 + c[0] * B) / ((1 - c[1] * B) ** 2 * (1 - c[2] * B))
    rho = variance / (2 * mean**2)
    df = 4 + (rank + 2) / (rank * rho - 1)
    return float(df), 1.0 if abs(df - 2) < 1e-2 else float(df / (mean * (df - 2)))


def variance_derivatives(model: DenseModel) -> list[Array]:
    """``dV/d gamma`` for the variances and covariances of each unstructured term, and last the residual variance."""
    out = []
    for term in model.terms:
        for column in range(term.q):
            for row in range(column, term.q):
                unit = np.zeros((term.q, term.q))
                unit[row, column] = unit[column, row] = 1.0
                out.append(term.Z @ np.kron(np.eye(term.n_levels), unit) @ term.Z.T)
    return [*out, np.diag(1 / model.w)]


def kenward_roger(model: DenseModel, factors: Factors, sigma2: float) -> KenwardRoger:
    """Adjusted covariance of the fixed effects, all matrices n by n."""
    return kenward_roger_of(model, sigma2 * marginal_covariance(model, factors), variance_derivatives(model))


def kenward_roger_of(model: DenseModel, V: Array, derivatives: Sequence[Array]) -> KenwardRoger:
    """The same for any ``V`` that is linear in its parameters."""
    Vi, X = np.linalg.inv(V), model.X
    Phi = np.linalg.inv(X.T @ Vi @ X)
    beta = Phi @ X.T @ Vi @ model.y
    GVi = [G @ Vi for G in derivatives]
    P = np.array([-X.T @ Vi @ g @ X for g in GVi])
    Q = np.array([[X.T @ Vi @ g @ h @ X for h in GVi] for g in GVi])
    traces = np.array([[np.sum(g * h.T) for h in GVi] for g in GVi])
    correction = -2 * np.einsum("ab,ijba->ij", Phi, Q) + np.einsum("ab,ibc,cd,jda->ij", Phi, P, Phi, P)
    W = np.linalg.inv((traces + correction) / 2)
    middle = np.einsum("ij,ijab->ab", W, Q) - np.einsum("ij,iab,bc,jcd->ad", W, P, Phi, P)
    adjusted = Phi + 2 * Phi @ middle @ Phi
    return KenwardRoger(beta, Phi, (adjusted + adjusted.T) / 2, W, P)
