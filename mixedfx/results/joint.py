"""The joint covariance of fixed effects and random effects, from which every prediction takes its standard error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._typing import Array
from mixedfx.criterion.assembly import Assembly
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import LinearFit
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.matrices import Design
from mixedfx.matrices.basis import TermBasis
from mixedfx.results.predictor_errors import known_covariance

__all__ = ["cholesky_factor", "generalized_joint", "joint_frame", "linear_joint"]

MOST_EFFECTS = 4000  # random effects whose joint covariance is made


def joint_frame(design: Design, matrix: Array) -> pd.DataFrame:
    """Return the joint covariance with labels: ``group, level, term``; fixed effects have the group ``""``."""
    labels: list[tuple[Any, Any, str]] = [("", "", name) for name in design.fixed.names]
    for term in design.random:
        labels += [(term.group, level, name) for level in term.levels for name in term.names]
    index = pd.MultiIndex.from_tuples(labels, names=["group", "level", "term"])
    return pd.DataFrame(matrix, index=index, columns=index)


def cholesky_factor(rows: Any) -> sp.csr_array:
    """Return the lower Cholesky factor (q, q) of ``M'M + I`` for rows ``M`` (n, q)."""
    q = rows.shape[1]
    if q > MOST_EFFECTS:
        raise SpecificationError(f"L has {q} columns, one for each random effect: at most {MOST_EFFECTS} are factored")
    columns = sp.csc_array(rows)
    product = sp.coo_array(columns.T @ columns).toarray() + np.eye(q)
    return sp.csr_array(np.linalg.cholesky(product))


def linear_joint(fit: LinearFit) -> Array:
    """Return the covariance (p + q, p + q) of the errors of ``beta`` and ``b`` on the user's scale.

    Terms in the order of the formula, levels within a term, coefficients within a level. With K the conditional
    covariance of ``b`` and B the derivative ``-db / dbeta``: ``[[C, -C B'], [-B C, K + B C B']]`` (Henderson 1975).
    """
    problem, at = fit.problem, fit.at
    scale = problem.basis.scale**2 * at.sigma2
    C, M = at.unscaled_cov, problem.basis.matrix
    if not problem.design.random:
        return np.asarray(scale * M @ C @ M.T)
    layout = problem.assembly.rows.layout
    _check_size(problem.design)
    count = sum(m * q for m, q in zip(layout.levels, layout.sizes, strict=True))
    sides, start = [], 0
    for size, levels in zip(layout.sizes, layout.levels, strict=True):
        side = np.zeros((size * levels, count))
        side[np.arange(size * levels), start + np.arange(size * levels)] = 1.0
        sides.append(side.reshape(size, levels, count))
        start += size * levels
    flat = [side.reshape(-1, count) for side in sides[layout.n_chain :]]
    rest = np.concatenate(flat) if flat else np.zeros((0, count))
    solved = at.by_factor(at.factor.solve(sides[: layout.n_chain], rest)[0])
    inner = np.concatenate([part.reshape(-1, count) for part in solved])
    moved = [
        effects[:, :, :-1].reshape(effects.shape[0] * effects.shape[1], effects.shape[2] - 1)
        for effects in at.column_effects
    ]
    B = np.concatenate(moved)
    T = _to_user(problem.design, problem.assembly, problem.terms, layout.sizes, layout.levels)
    return scale * _joined(M @ C @ M.T, -M @ C @ B.T @ T.T, T @ (inner + B @ C @ B.T) @ T.T)


def generalized_joint(fit: GeneralizedFit) -> Array:
    """Return the covariance (p + q, p + q) of ``beta`` and of the modes ``b``, as uncertain as all parameters are.

    The modes move with all parameters, variances included (Kass & Steffey 1989): what a prediction's standard error
    is made of.
    """
    problem, state = fit.problem, fit.at.state
    model = problem.model
    _check_size(problem.design)
    layout = model.space.rows.layout
    K, _ = model.space.solve(state.factor, np.eye(model.space.n_effects))
    V, moved = known_covariance(fit), state.movement[0]
    T = _to_user(problem.design, problem.assembly, problem.terms, layout.sizes, layout.levels)
    M, p = problem.bases[0].matrix, model.n_fixed
    cross = M @ V[:p] @ moved.T @ T.T
    return _joined(M @ V[:p, :p] @ M.T, cross, T @ (K + moved @ V @ moved.T) @ T.T)


def _joined(corner: Array, side: Array, rest: Array) -> Array:
    whole = np.block([[corner, side], [side.T, rest]])
    return np.asarray(0.5 * (whole + whole.T))


def _check_size(design: Design) -> None:
    count = sum(term.n_columns * term.n_levels for term in design.random)
    if count > MOST_EFFECTS:
        raise SpecificationError(
            f"the joint covariance of {count} random effects is too large a matrix (at most {MOST_EFFECTS}): "
            "random_effects_sd has their standard deviations, get_prediction those of what is made of them"
        )


def _to_user(
    design: Design,
    assembly: Assembly,
    bases: Sequence[TermBasis],
    sizes: Sequence[int],
    levels: Sequence[int],
) -> Array:
    """Return the map (q, Q) from the inner random effects, by factor, coefficient and level, to the user's."""
    starts = np.concatenate([[0], np.cumsum([size * m for size, m in zip(sizes, levels, strict=True)])])
    loadings: Mapping[int, Array] = assembly.rows.loadings
    blocks = []
    for term, basis, (factor, own) in zip(design.random, bases, assembly.places, strict=True):
        m, q = levels[factor], term.n_columns
        loading = loadings.get(factor)
        between = np.eye(m) if loading is None else loading
        block = np.zeros((term.n_levels, q, int(starts[-1])))
        for c, column in zip(range(own.start, own.stop), basis.matrix.T, strict=True):
            at = int(starts[factor]) + c * m
            block[:, :, at : at + m] = np.einsum("a,lm->lam", column, between)
        blocks.append(block.reshape(term.n_levels * q, -1))
    return np.concatenate(blocks)
