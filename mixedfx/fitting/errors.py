"""Errors of linear predictors ``x beta + z b`` and of random effects, from which every prediction takes its own.

In a linear model (Henderson 1975, Biometrics 31, 423) the variances count as known: with
``K = Sigma - Sigma Z' V^-1 Z Sigma`` and ``B = Sigma Z' V^-1 X`` the error of ``x beta + z b`` has variance
``sigma^2 (z K z' + (x - z B) (X' V^-1 X)^-1 (x - z B)')``. In a generalised one the modes move with all parameters,
variances included (Kass & Steffey 1989, JASA 84, 717): ``z K z' + g V g'``, V the covariance of all parameters,
``g = (x, 0) + z B`` and B the derivative of the modes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.criterion.assembly import Assembly
from mixedfx.criterion.linear import LinearEvaluation
from mixedfx.criterion.linear_problem import LinearProblem
from mixedfx.exceptions import SpecificationError
from mixedfx.linalg.layout import Layout
from mixedfx.matrices import Design
from mixedfx.matrices.basis import TermBasis
from mixedfx.matrices.new_rows import PredictedRows

if TYPE_CHECKING:
    from mixedfx.criterion.generalized_problem import GeneralizedProblem
    from mixedfx.criterion.mode import ModeState

__all__ = ["PredictorErrors", "generalized_errors", "generalized_joint", "linear_errors", "linear_joint", "root_of"]

CHUNK_CELLS = 4_000_000  # numbers in one block of right-hand sides
MOST_EFFECTS = 4000  # random effects whose joint covariance is made


@dataclass(frozen=True)
class PredictorErrors:
    """What makes the first linear predictor ``x beta + z b`` of each row uncertain.

    Attributes
    ----------
    slopes : (n, k)
        Derivatives in the parameters of :attr:`Fit.error_root`, the modes of the included random effects following.
    conditional : (n,)
        Variance of the included random effects around their modes, given the parameters.
    outside : (n,)
        Variance of the random effects that are not included, or whose level is unknown.
    """

    slopes: Array
    conditional: Array
    outside: Array

    def variance(self, root: Array) -> Array:
        """Return the variance (n,) of the errors, from a root (k, k) of the covariance of the parameters."""
        moved = self.slopes @ root
        return np.asarray(np.einsum("ir,ir->i", moved, moved) + self.conditional)


def root_of(covariance: Array) -> Array:
    """Return ``R`` (k, k) with ``R R'`` the covariance; nan throughout if that has a nan."""
    if np.isnan(covariance).any():
        return np.full_like(covariance, np.nan)
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


# ---------------------------------------------------------------- linear models
def linear_errors(
    problem: LinearProblem, at: LinearEvaluation, rows: PredictedRows, covariances: Sequence[Array]
) -> PredictorErrors:
    """Return the errors of linear predictors; slopes (n, p) in the inner fixed effects."""
    z = _inner_rows(problem, rows)
    slopes, conditional = rows.x @ problem.basis.matrix, np.zeros(len(rows.x))
    if any(part.any() for part in z):
        conditional, predicted = _conditional(problem, at, rows, z)
        slopes = slopes - predicted
    scale = problem.basis.scale**2 * at.sigma2
    return PredictorErrors(slopes, scale * conditional, rows.outside(problem.design.random, covariances))


def _inner_rows(problem: LinearProblem, rows: PredictedRows) -> list[Array]:
    """Columns (Q, n) of every factor on the inner scale, zero where a term is left out or its level unknown."""
    out = [np.zeros((size, len(rows.x))) for size in problem.assembly.rows.layout.sizes]
    for k, (factor, coefficients) in enumerate(problem.assembly.places):
        included = rows.included(k)
        if included is not None:
            out[factor][coefficients] = (included @ problem.terms[k].matrix).T
    return out


def _conditional(
    problem: LinearProblem, at: LinearEvaluation, rows: PredictedRows, z: list[Array]
) -> tuple[Array, Array]:
    """Return ``z K z'`` (n,) and ``z B`` (n, p)."""
    layout, loadings = problem.assembly.rows.layout, problem.assembly.rows.loadings
    codes = [np.zeros(len(rows.x), dtype=np.intp) for _ in layout.sizes]
    for k, (factor, _) in enumerate(problem.assembly.places):
        codes[factor] = np.maximum(rows.codes[k], 0)
    predicted = np.zeros((len(rows.x), rows.x.shape[1]))
    for f, effects in enumerate(at.column_effects):
        moved = effects[:, :, :-1]
        moved = moved if f not in loadings else np.einsum("lm,qmp->qlp", loadings[f], moved)
        predicted += np.einsum("qi,qip->ip", z[f], moved[:, codes[f]])
    if layout.n_factors == 1 and layout.n_chain == 1:
        return np.einsum("ai,abi,bi->i", z[0], at.factor.inverse.diagonal[0][:, :, codes[0]], z[0]), predicted
    step = max(1, CHUNK_CELLS // max(1, sum(m * q for m, q in zip(layout.levels, layout.sizes, strict=True))))
    parts = [
        _solved(layout, loadings, at, [c[i : i + step] for c in codes], [part[:, i : i + step] for part in z])
        for i in range(0, len(rows.x), step)
    ]
    return np.concatenate(parts) if parts else np.zeros(0), predicted


def _solved(
    layout: Layout, loadings: Mapping[int, Array], at: LinearEvaluation, codes: list[IntArray], z: list[Array]
) -> Array:
    """``z K z'`` (c,) for a few rows, by one solve with as many right-hand sides."""
    count = len(codes[0])
    sides = []
    for f in range(layout.n_factors):
        side = np.zeros((layout.sizes[f], layout.levels[f], count))
        if f in loadings:
            side[:] = z[f][:, None] * loadings[f][codes[f]].T
        else:
            side[:, codes[f], np.arange(count)] = z[f]
        sides.append(side)
    return np.asarray(
        sum(np.einsum("qmc,qmc->c", side, b) for side, b in zip(sides, _effects_of(at, layout, sides), strict=True))
    )


def _effects_of(at: LinearEvaluation, layout: Layout, sides: list[Array]) -> list[Array]:
    """Return ``K`` times right-hand sides (Q, m, c) of every factor."""
    flat = [side.reshape(-1, side.shape[2]) for side in sides[layout.n_chain :]]
    rest = np.concatenate(flat) if flat else np.zeros((0, sides[0].shape[2]))
    return at.by_factor(at.factor.solve(sides[: layout.n_chain], rest)[0])


def linear_joint(problem: LinearProblem, at: LinearEvaluation) -> Array:
    """Return the covariance (p + q, p + q) of the errors of ``beta``, ``b``: ``[[C, -C B'], [-B C, K + B C B']]``."""
    scale = problem.basis.scale**2 * at.sigma2
    C, M = at.unscaled_cov, problem.basis.matrix
    if not problem.design.random:
        return np.asarray(scale * M @ C @ M.T)
    _check_size(problem.design)
    layout = problem.assembly.rows.layout
    count = sum(m * q for m, q in zip(layout.levels, layout.sizes, strict=True))
    sides, start = [], 0
    for size, levels in zip(layout.sizes, layout.levels, strict=True):
        side = np.zeros((size * levels, count))
        side[np.arange(size * levels), start + np.arange(size * levels)] = 1.0
        sides.append(side.reshape(size, levels, count))
        start += size * levels
    inner = np.concatenate([part.reshape(-1, count) for part in _effects_of(at, layout, sides)])
    moved = [e[:, :, :-1].reshape(e.shape[0] * e.shape[1], e.shape[2] - 1) for e in at.column_effects]
    B, T = np.concatenate(moved), _to_user(problem.design, problem.assembly, problem.terms)
    return scale * _joined(M @ C @ M.T, -M @ C @ B.T @ T.T, T @ (inner + B @ C @ B.T) @ T.T)


# ---------------------------------------------------------------- generalised models
def generalized_errors(
    problem: GeneralizedProblem, state: ModeState, rows: PredictedRows, covariances: Sequence[Array]
) -> PredictorErrors:
    """Return the errors of linear predictors; slopes (n, k) in all inner parameters."""
    n, model = len(rows.x), problem.model
    slopes, conditional = np.zeros((n, problem.n_parameters)), np.zeros(n)
    slopes[:, : model.n_fixed] = rows.x @ problem.bases[0].matrix
    if any(mask.any() for mask in rows.chosen):
        size = max(1, CHUNK_CELLS // max(model.space.n_effects, 1))
        for start in range(0, n, size):
            at = slice(start, start + size)
            side = _sides(problem, rows, at)
            inside, _ = model.space.solve(state.factor, side)
            conditional[at] = np.einsum("qi,qi->i", side, inside)
            slopes[at] += side.T @ state.movement[0]
    outside = rows.outside(problem.design.random, covariances)
    return PredictorErrors(slopes, np.maximum(conditional, 0.0), outside)


def _sides(problem: GeneralizedProblem, rows: PredictedRows, at: slice) -> Array:
    """Coefficients (q, c) of the inner effects in the linear predictors of some rows."""
    space = problem.model.space
    out = np.zeros((space.n_effects, len(rows.x[at])))
    parts = space.split(out)
    for k, (factor, coefficients) in enumerate(problem.assembly.places):
        included = rows.included(k)
        if included is None:
            continue
        codes = rows.codes[k][at]
        known = np.flatnonzero(codes >= 0)
        inner = (included[at] @ problem.terms[k].matrix)[known]
        loading = problem.assembly.rows.loadings.get(factor)
        for a, values in zip(range(coefficients.start, coefficients.stop), inner.T, strict=True):
            if loading is None:
                parts[factor][a, codes[known], known] += values
            else:
                parts[factor][a][:, known] += loading[codes[known]].T * values
    return out


def generalized_joint(problem: GeneralizedProblem, state: ModeState, covariance: Array) -> Array:
    """Return the covariance (p + q, p + q) of the errors of ``beta`` and ``b``.

    Parameters
    ----------
    problem : GeneralizedProblem
    state : ModeState
    covariance : (k, k)
        Of all parameters on the inner scale.
    """
    _check_size(problem.design)
    model, V, moved = problem.model, covariance, state.movement[0]
    K, _ = model.space.solve(state.factor, np.eye(model.space.n_effects))
    T = _to_user(problem.design, problem.assembly, problem.terms)
    M, p = problem.bases[0].matrix, model.n_fixed
    cross = M @ V[:p] @ moved.T @ T.T
    return _joined(M @ V[:p, :p] @ M.T, cross, T @ (K + moved @ V @ moved.T) @ T.T)


# ---------------------------------------------------------------- both
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


def _to_user(design: Design, assembly: Assembly, bases: Sequence[TermBasis]) -> Array:
    """Return the map (q, Q) from the inner random effects, by factor, coefficient and level, to the user's."""
    layout, loadings = assembly.rows.layout, assembly.rows.loadings
    starts = np.concatenate([[0], np.cumsum([q * m for q, m in zip(layout.sizes, layout.levels, strict=True)])])
    blocks = []
    for term, basis, (factor, place) in zip(design.random, bases, assembly.places, strict=True):
        m, q = layout.levels[factor], term.n_columns
        loading = loadings.get(factor)
        between = np.eye(m) if loading is None else loading
        block = np.zeros((term.n_levels, q, int(starts[-1])))
        for c, column in zip(range(place.start, place.stop), basis.matrix.T, strict=True):
            at = int(starts[factor]) + c * m
            block[:, :, at : at + m] = np.einsum("a,lm->lam", column, between)
        blocks.append(block.reshape(term.n_levels * q, -1))
    return np.concatenate(blocks)
