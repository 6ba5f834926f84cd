"""Importance sampling of the marginal likelihood, for crossed factors and large dimensions.

The proposal is a multivariate t at the conditional mode with the inverse information as scale, drawn in antithetic
pairs. Random effects that share no row are independent given the parameters: every connected component of the design
is integrated by itself, on the same draws, and the logarithms add up.

References
----------
Skaug (2002), J. Comput. Graph. Stat. 11, 458; Durbin & Koopman (1997), Biometrika 84, 669, for antithetic draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy import linalg, special
from scipy.sparse import csgraph

from mixedfx._typing import Array, IntArray
from mixedfx.criterion.mode import ModeState
from mixedfx.exceptions import SpecificationError
from mixedfx.linalg.gram import Rows

__all__ = ["LARGEST_DIMENSION", "ImportanceEstimate", "importance_estimate", "pareto_shape"]

DEGREES_OF_FREEDOM = 10.0
CHUNK_CELLS = 2_000_000  # rows times draws that are worked on at a time
LARGEST_DIMENSION = 4000  # random effects whose information matrix is formed densely
TAIL_SHARE = 0.2  # of the draws at the most belong to the tail
PRIOR_COUNT = 10.0  # weight of the prior guess of the shape, in observations
PRIOR_SHAPE = 0.5


@dataclass(frozen=True)
class ImportanceEstimate:
    """A simulated log-likelihood and what it is worth.

    Attributes
    ----------
    llf : float
        Log-likelihood.
    standard_error : float
        Its Monte Carlo standard error.
    pareto_shape : float
        Largest tail shape of the weights: below 0.5 fine, above 0.7 not to be trusted.
    components : int
        Parts of the design that are integrated by themselves.
    """

    llf: float
    standard_error: float
    pareto_shape: float
    components: int


@dataclass(frozen=True)
class _Proposal:
    """The conditional mode in standardised effects, the root of the information, and the connected components."""

    spread: sp.csr_array
    mode: Array
    root: Array
    component: IntArray
    component_of_row: IntArray
    sizes: IntArray
    log_det: Array


def importance_estimate(state: ModeState, draws: int = 10_000, seed: int = 0) -> ImportanceEstimate:
    """Estimate the log-likelihood at the parameters of ``state``.

    Parameters
    ----------
    state : ModeState
    draws : int
        Even number of draws of each component.
    seed : int
        The same seed gives the same draws, so that estimates at different parameters can be compared.

    Raises
    ------
    SpecificationError
        If there are too many random effects for a dense matrix.
    """
    if state.model.space.n_effects > LARGEST_DIMENSION:
        raise SpecificationError(
            f"importance sampling forms a dense matrix of all random effects, of which there are "
            f"{state.model.space.n_effects}; at most {LARGEST_DIMENSION} are possible"
        )
    proposal = _proposal(state)
    rng = np.random.default_rng(seed)
    pairs, size = draws // 2, max(1, CHUNK_CELLS // (2 * state.mode.eta.size))
    parts = [_log_weights(state, proposal, rng, min(size, pairs - at)) for at in range(0, pairs, size)]
    return _summary(np.concatenate(parts))


def _proposal(state: ModeState) -> _Proposal:
    rows, space = state.model.space.rows, state.model.space
    spread = _spread(rows, state.factors)
    weighted = sp.csr_array(spread * state.expansion.observed.weight[:, None])
    information = np.asarray((spread.T @ weighted).toarray()) + np.eye(space.n_effects)
    root = np.asarray(linalg.cholesky(information, lower=True), dtype=float)
    count, labels = csgraph.connected_components(sp.csr_array(spread.T @ spread), directed=False)
    component = labels.astype(np.intp)
    u = np.concatenate([(T.T @ t).ravel() for T, t in zip(state.factors, space.split(state.mode.t), strict=True)])
    first = spread.indices[np.minimum(spread.indptr[:-1], max(spread.nnz - 1, 0))]
    return _Proposal(
        spread,
        u,
        root,
        component,
        component[first],
        np.bincount(component, minlength=count),
        np.asarray(2.0 * np.bincount(component, weights=np.log(root.diagonal()), minlength=count), dtype=float),
    )


def _spread(rows: Rows, factors: list[Array]) -> sp.csr_array:
    """``Z Lambda`` (n, q), the columns ordered as effects are; zero covariances keep their pattern."""
    n = rows.columns.shape[0]
    blocks = []
    for f, T in enumerate(factors):
        m, codes = rows.layout.levels[f], rows.layout.codes[f]
        loading = rows.loadings.get(f)
        for a in range(T.shape[0]):
            block = sp.csr_array((T[:, a] @ rows.z[f], codes, np.arange(n + 1)), shape=(n, m))
            blocks.append(block if loading is None else sp.csr_array(block @ loading))
    return sp.csr_array(sp.hstack(blocks, format="csr"))


def _log_weights(state: ModeState, proposal: _Proposal, rng: np.random.Generator, pairs: int) -> Array:
    """Logarithms (pairs, 2, components) of the importance weights of antithetic pairs."""
    nu, count = DEGREES_OF_FREEDOM, proposal.sizes.size
    normal = rng.standard_normal((proposal.mode.size, pairs))
    stretch = np.sqrt(nu / rng.chisquare(nu, (count, pairs)))
    moved = linalg.solve_triangular(proposal.root, normal, lower=True, trans=1) * stretch[proposal.component]
    squared = np.stack([np.bincount(proposal.component, weights=e * e, minlength=count) for e in normal.T], axis=1)
    size = proposal.sizes[:, None]
    log_proposal = (
        special.gammaln(0.5 * (nu + size))
        - special.gammaln(0.5 * nu)
        - 0.5 * size * np.log(nu * np.pi)
        + 0.5 * proposal.log_det[:, None]
        - 0.5 * (nu + size) * np.log1p(squared * stretch**2 / nu)
    )
    out = np.empty((pairs, 2, count))
    for side, sign in enumerate((1.0, -1.0)):
        u = proposal.mode[:, None] + sign * moved
        eta = state.mode.eta + sign * (proposal.spread @ moved).T
        value = state.model.likelihood.value(eta, state.auxiliary)
        rows = np.stack([np.bincount(proposal.component_of_row, weights=v, minlength=count) for v in value])
        prior = np.stack([np.bincount(proposal.component, weights=c * c, minlength=count) for c in u.T])
        out[:, side] = rows - 0.5 * prior - 0.5 * proposal.sizes * np.log(2.0 * np.pi) - log_proposal.T
    return out


def _summary(log_weights: Array) -> ImportanceEstimate:
    """The estimate from the logarithms (pairs, 2, components) of the weights."""
    pairs, _, count = log_weights.shape
    flat = log_weights.reshape(-1, count)
    top = flat.max(axis=0)
    weights = np.exp(log_weights - top)
    mean = weights.mean(axis=(0, 1))
    relative = weights.mean(axis=1).var(axis=0, ddof=1) / (pairs * mean**2)
    llf, error = float((top + np.log(mean)).sum()), float(np.sqrt(relative.sum()))
    return ImportanceEstimate(llf, error, float(pareto_shape(flat).max()), count)


def pareto_shape(log_weights: Array) -> Array:
    """Return the shape ``k`` (c,) of a generalised Pareto distribution fitted to the largest weights of each column.

    Below 0.5 the variance of the weights is finite; above 0.7 an average of them is not to be trusted.

    Parameters
    ----------
    log_weights : (draws, c)

    References
    ----------
    Zhang & Stephens (2009), Technometrics 51, 316; Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72).
    """
    draws = log_weights.shape[0]
    n = int(min(TAIL_SHARE * draws, 3.0 * np.sqrt(draws)))
    ordered = np.exp(np.sort(log_weights, axis=0)[-n - 1 :] - log_weights.max(axis=0))
    x = ordered[1:] - ordered[0]
    flat = x[-1] <= 0
    x = np.where(flat, np.arange(1.0, n + 1)[:, None], x)
    shape = _posterior_mean_shape(np.maximum(x, np.finfo(float).tiny))
    shape = (n * shape + PRIOR_COUNT * PRIOR_SHAPE) / (n + PRIOR_COUNT)
    return np.where(flat, -np.inf, shape)


def _posterior_mean_shape(x: Array) -> Array:
    """Zhang and Stephens' estimate for increasing exceedances ``x`` (n, c)."""
    n = x.shape[0]
    grid = 30 + int(np.sqrt(n))
    quartile = x[int(n / 4 + 0.5) - 1]
    steps = 1.0 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))
    b = 1.0 / x[-1] + steps[:, None] / (3.0 * quartile)
    k = np.stack([np.log1p(-row * x).mean(axis=0) for row in b])
    profile = n * (np.log(np.where(k == 0, 1.0, -b / np.where(k == 0, 1.0, k))) - k - 1.0)
    weights = np.exp(profile - profile.max(axis=0))
    best = (b * weights).sum(axis=0) / weights.sum(axis=0)
    return np.asarray(np.log1p(-best * x).mean(axis=0))
