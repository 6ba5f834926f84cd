"""The joint distribution of fixed and random effects given the data, at the estimated variances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy import linalg
from scipy.linalg import lapack

from mixedfx._typing import Array
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.results.linear import LinearMixedResults

__all__ = ["JointEffects", "joint_effects", "least_squares_residual"]

LARGEST = 6_000  # fixed and random effects whose joint covariance is held densely


@dataclass(frozen=True)
class JointEffects:
    """Mean and covariance of ``(beta, b)`` given the data, beta with a flat prior.

    Attributes
    ----------
    n_fixed : int
    mean : (p + q,)
        Estimates and conditional modes, terms in the order of the formula, columns within levels.
    root : (p + q, p + q)
        ``R`` with ``R R'`` the covariance (of ``b`` less its prediction).
    """

    n_fixed: int
    mean: Array
    root: Array

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Return n draws (p + q, n)."""
        return np.asarray(self.mean[:, None] + self.root @ rng.standard_normal((len(self.mean), n)))


def joint_effects(fit: LinearMixedResults) -> JointEffects:
    """Return the distribution from the mixed-model equations in ``(gamma, u)``: ``X = Q R``, ``b = Lambda u``.

    With ``[Q, Z Lambda]' W [Q, Z Lambda] + diag(0, I) = L L'`` the covariance of ``(gamma, u)`` is
    ``sigma^2 L^-T L^-1``, also where variances are zero.

    Raises
    ------
    SpecificationError
        If the model has a residual structure, or too many effects.
    """
    model, design = fit.model, fit.design
    if fit.solution.problem.residual is not None:
        raise SpecificationError("batches is for models whose residuals are independent: fit without residual=")
    Z = model.exog_re
    p, q = design.fixed.matrix.shape[1], Z.shape[1]
    if p + q > LARGEST:
        raise SpecificationError(f"batches holds the covariance of all effects: {p + q} are more than {LARGEST}")
    weight = _weight(fit)
    Q, R = linalg.qr(design.fixed.matrix * weight[:, None], mode="economic")
    Lambda = model.Lambda(fit.theta)
    gram = _gram(np.asarray(Q), sp.csr_array(sp.diags_array(weight) @ Z @ Lambda))
    gram[np.arange(p, p + q), np.arange(p, p + q)] += 1.0
    try:
        lower = linalg.cholesky(gram, lower=True)
    except linalg.LinAlgError:
        raise DataError(
            "the covariance of all effects is lost in rounding, so great are the estimated variances beside the "
            "residual's: look at fit.varcorr, and rescale the predictors or fit a simpler random part"
        ) from None
    inverse = linalg.solve_triangular(lower, np.eye(p + q), lower=True).T
    root = np.empty_like(inverse)
    root[:p] = linalg.solve_triangular(R, inverse[:p])
    root[p:] = Lambda @ inverse[p:]
    modes = [effects.T.ravel() for effects in fit.solution.modes]
    return JointEffects(p, np.concatenate([np.asarray(fit.params, dtype=float), *modes]), fit.sigma * root)


def least_squares_residual(fit: LinearMixedResults) -> tuple[int, float]:
    """Return degrees of freedom and mean square of what all effects, fixed and random, leave if nothing is shrunken."""
    design, weight = fit.design, _weight(fit)
    Z = sp.csr_array(sp.diags_array(weight) @ fit.model.exog_re)
    Q, _ = linalg.qr(design.fixed.matrix * weight[:, None], mode="economic")
    y = design.response.values if design.offset is None else design.response.values - design.offset
    factor, order, rank, _ = lapack.dpstrf(_gram(np.asarray(Q), Z), lower=1, tol=-1.0)
    pivots, lower = order[:rank] - 1, np.tril(factor[:rank, :rank])
    columns = sp.csr_array(sp.hstack([sp.csr_array(Q), Z]))[:, pivots]
    residual = (y - y.mean()) * weight if design.fixed.has_intercept else y * weight
    for _ in range(2):
        residual = residual - columns @ linalg.cho_solve((lower, True), columns.T @ residual)
    df = int(np.sum(weight > 0)) - int(rank)
    return df, float(residual @ residual) / df if df > 0 else np.nan


def _weight(fit: LinearMixedResults) -> Array:
    weights = fit.design.weights
    return np.ones(fit.nobs) if weights is None else np.sqrt(weights)


def _gram(Q: Array, Z: sp.csr_array) -> Array:
    """Cross-products of ``[Q, Z]``, the columns of Q orthonormal."""
    p, q = Q.shape[1], Z.shape[1]
    out = np.eye(p + q)
    out[p:, p:] = (Z.T @ Z).toarray()
    out[p:, :p] = Z.T @ Q
    out[:p, p:] = out[p:, :p].T
    return out
