"""Effective number of parameters of a linear mixed model, for the conditional Akaike criterion."""

from __future__ import annotations

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.linear import LinearEvaluation
from mixedfx.inference.information import apply_information, inverse_on_range

__all__ = ["effective_parameters", "trace_of_hat"]


def trace_of_hat(at: LinearEvaluation) -> float:
    """Return ``sum d fitted_i / d y_i`` at known variance parameters: ``n - tr(P)``, P relative to sigma squared.

    References
    ----------
    Hodges & Sargent (2001), Biometrika 88, 367; Vaida & Blanchard (2005), Biometrika 92, 351.
    """
    total = float(at.criterion.n_fixed)
    for information, zx, factor in zip(at.information, at.z_vinv_x, at.factor.factors, strict=True):
        block = information.sum(axis=2) - np.einsum("amp,pr,bmr->ab", zx, at.unscaled_cov, zx, optimize=True)
        total += float(np.sum(block * (factor @ factor.T)))
    return total


def effective_parameters(at: LinearEvaluation) -> float:
    """Return ``sum d fitted_i / d y_i`` when the variance parameters are estimated from the same data.

    Notes
    -----
    The fitted values are ``y - P y``, and ``d theta / d y`` follows from the gradient being zero: with
    ``a_j = P V_j P y`` it adds ``sum_jk H^-1_jk nu [2 a_j'a_k / r2 - 2 (y'P V_k P y) (Py)'a_j / r2^2]``, H the exact
    Hessian of the criterion. Products with P in the middle follow from ``P P = P - P Z Sigma Z' P``. Variances at zero
    stay there.

    References
    ----------
    Greven & Kneib (2010), Biometrika 97, 773.
    """
    k = at.theta.size
    if k == 0:
        return trace_of_hat(at)
    outer, along_y = at.quadratic_forms
    inner, across = _sandwiches(at)
    nu, r2 = at.criterion.nu, at.sigma2 * at.criterion.nu
    between = outer - inner
    if at.criterion.sigma2 is not None:
        change = 2.0 * between / at.sigma2
    else:
        change = nu * (2.0 * between / r2 - 2.0 * np.outer(along_y - across, along_y) / r2**2)
    return trace_of_hat(at) + float(np.sum(inverse_on_range(at.hessian) * change))


def _sandwiches(at: LinearEvaluation) -> tuple[Array, Array]:
    """``w_j' P Z Sigma Z' P w_k`` (k, k) and ``y' P Z Sigma Z' P w_k`` (k,) with ``w_k = V_k P y``."""
    model, phi, p = at.criterion.model, at.unscaled_cov, at.criterion.n_fixed
    moved = [np.zeros((*s.shape, at.theta.size)) for s in at.s]
    for f, own in enumerate(model.by_factor):
        if own.size == 0:
            continue
        slopes = [d @ t.T for d, t in zip(model.derivatives(at.theta), at.factor.factors, strict=True)][f]
        t = np.einsum("kab,bm->amk", slopes + slopes.swapaxes(1, 2), at.s[f])
        x_part = phi @ (at.z_vinv_x[f].reshape(-1, p).T @ t.reshape(-1, own.size))
        for g, block in enumerate(apply_information(at, f, t)):
            moved[g][:, :, own] = block - at.z_vinv_x[g] @ x_part
    inner, across = np.zeros((at.theta.size, at.theta.size)), np.zeros(at.theta.size)
    for s, block, factor in zip(at.s, moved, at.factor.factors, strict=True):
        half = np.einsum("ab,amk->bmk", factor, block).reshape(-1, at.theta.size)
        inner += half.T @ half
        across += (factor.T @ s).reshape(-1) @ half
    return inner, across
