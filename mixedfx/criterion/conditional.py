"""Conditional moments of the random effects: exact from the nodes of a quadrature, else to first order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.criterion.mode_state import ModeState
from mixedfx.criterion.quadrature import ROOT2, QuadratureEvaluation

__all__ = ["Moments", "first_order_mean", "mode_covariance", "node_moments"]


@dataclass(frozen=True)
class Moments:
    """Mean, standard deviation and skewness (q, m) of the random effects given the data and the parameters."""

    mean: Array
    sd: Array
    skewness: Array


def node_moments(at: QuadratureEvaluation, matrix: Array) -> Moments:
    """Return the moments of ``matrix @ b`` for every group, from the nodes.

    Parameters
    ----------
    at : QuadratureEvaluation
    matrix : (r, q)
        From the inner effects to the wanted ones.
    """
    likelihood, state = at.state.model.likelihood, at.state
    nodes, log_weights = at.rule.nodes, at.rule.log_weights
    terms = np.concatenate(
        [at.terms(z, w, likelihood.value(at.linear_predictors(z), state.auxiliary)) for z, w in at.chunks()]
    )
    p = np.exp(terms - at.sums.log_integral)
    assert len(p) == len(log_weights)
    transform = matrix @ at.factor
    centre = transform @ at.u
    spread = ROOT2 * np.tensordot(transform, at.root, axes=1)
    mean, sd, skewness = np.empty_like(centre), np.empty_like(centre), np.empty_like(centre)
    for r, direction in enumerate(spread):
        value = nodes @ direction
        shift = np.einsum("cm,cm->m", p, value)
        deviation = value - shift
        variance = np.einsum("cm,cm->m", p, deviation**2)
        third = np.einsum("cm,cm->m", p, deviation**3)
        mean[r], sd[r] = centre[r] + shift, np.sqrt(variance)
        skewness[r] = np.divide(third, variance**1.5, out=np.zeros_like(third), where=variance > 0)
    return Moments(mean, sd, skewness)


def first_order_mean(at: LaplaceEvaluation) -> Array:
    """Return the conditional mean (q,) of all effects to first order: the mode less ``K Z'a``.

    Notes
    -----
    ``E b = b^ + K Z' l''' h / 2 + ...``: the correction of a mode by the third derivative (Tierney & Kadane 1986).
    """
    space, state = at.model.space, at.state
    inside, _ = space.solve(state.factor, space.collect(at.adjoint.a[:, None]))
    return np.asarray(state.mode.b - inside[:, 0])


def mode_covariance(state: ModeState, factor: int) -> Array:
    """Return the blocks (Q, Q, m) of ``K``, the conditional covariance of one factor's effects around their mode."""
    layout, inverse = state.model.space.rows.layout, state.determinant_factor.inverse
    if factor < layout.n_chain:
        return inverse.diagonal[factor]
    loading = state.model.space.rows.loadings.get(factor)
    if loading is None:
        return inverse.remainder_blocks(factor)
    at, size, m = layout.span(factor), layout.sizes[factor], layout.levels[factor]
    blocks = inverse.remainder[at, at].reshape(size, m, size, m)
    return np.asarray(np.einsum("li,aibj,lj->abl", loading, blocks, loading, optimize=True))
