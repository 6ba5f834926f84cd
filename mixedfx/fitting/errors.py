"""Errors of linear predictors ``x beta + z b`` and of random effects, from which every prediction takes its own.

In a linear model (Henderson 1975, Biometrics 31, 423) the variances count as known: with
``K = Sigma - Sigma Z' V^-1 Z Sigma`` and ``B = Sigma Z' V^-1 X`` the error of ``x beta + z b`` has variance
``sigma^2 (z K z' + (x - z B) (X' V^-1 X)^-1 (x - z B)')``. In a generalised one the modes move with all parameters,
variances included (Kass & Steffey 1989, JASA 84, 717): ``z K z' + g V g'``, V the covariance of all parameters,
``g = (x, 0) + z B`` and B the derivative of the modes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.criterion.assembly import Assembly
from mixedfx.criterion.linear import LinearEvaluation
from mixedfx.criterion.linear_problem import LinearProblem
from mixedfx.exceptions import SpecificationError
from mixedfx.linalg.factor import BlockFactor
from mixedfx.linalg.gram import Rows
from mixedfx.linalg.layout import Layout
from mixedfx.linalg.row_variances import known_variances, sampled_variances
from mixedfx.linalg.rowwise import RowMap
from mixedfx.matrices import Design
from mixedfx.matrices.basis import TermBasis
from mixedfx.matrices.new_rows import PredictedRows

if TYPE_CHECKING:
    from mixedfx.criterion.generalized_problem import GeneralizedProblem
    from mixedfx.criterion.mode import ModeState

__all__ = ["PredictorErrors", "generalized_errors", "generalized_joint", "linear_errors", "linear_joint", "root_of"]

MOST_WORK = 5e9  # multiplications of the solves for one answer where they are sparse products …
MOST_DENSE_WORK = 1e12  # … and where they are dense ones
STEPS = 30  # products with the remainder in a solve by iteration
MOST_COMPARED = 1_000_000  # rows that are looked through for copies
FEWEST_SOLVED = 20  # right-hand sides that are always solved
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
    error : float
        Largest Monte Carlo error of a root of ``conditional``, relative to it; 0 where all is exact.
    """

    slopes: Array
    conditional: Array
    outside: Array
    error: float = 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What random probes leave open of the standard errors; empty where all is exact."""
        if not self.error:
            return ()
        share = f"{100.0 * self.error:.2g} %"
        return (
            f"The standard errors come from random probes: the part of the random effects has a Monte Carlo standard "
            f"deviation of at most {share}. Asked for in few rows they are exact.",
        )

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
    slopes, conditional, error = rows.x @ problem.basis.matrix, np.zeros(len(rows.x)), 0.0
    if any(part.any() for part in z):
        conditional, predicted, error = _conditional(problem, at, rows, z)
        slopes = slopes - predicted
    scale = problem.basis.scale**2 * at.sigma2
    return PredictorErrors(slopes, scale * conditional, rows.outside(problem.design.random, covariances), error)


def _codes(problem: LinearProblem | GeneralizedProblem, rows: PredictedRows) -> list[IntArray]:
    """Level (n,) of every factor; any where it is unknown."""
    out = [np.zeros(len(rows.x), dtype=np.intp) for _ in problem.assembly.rows.layout.sizes]
    for k, (factor, _) in enumerate(problem.assembly.places):
        out[factor] = np.maximum(rows.codes[k], 0)
    return out


def _inner_rows(problem: LinearProblem | GeneralizedProblem, rows: PredictedRows) -> list[Array]:
    """Columns (Q, n) of every factor on the inner scale, zero where a term is left out or its level unknown."""
    out = [np.zeros((size, len(rows.x))) for size in problem.assembly.rows.layout.sizes]
    for k, (factor, coefficients) in enumerate(problem.assembly.places):
        included = rows.included(k)
        if included is not None:
            out[factor][coefficients] = (included @ problem.terms[k].matrix).T
    return out


def _conditional(
    problem: LinearProblem, at: LinearEvaluation, rows: PredictedRows, z: list[Array]
) -> tuple[Array, Array, float]:
    """Return ``z K z'`` (n,), ``z B`` (n, p) and the Monte Carlo error of the former."""
    layout, loadings = problem.assembly.rows.layout, problem.assembly.rows.loadings
    codes = _codes(problem, rows)
    predicted = np.zeros((len(rows.x), rows.x.shape[1]))
    for f, effects in enumerate(at.column_effects):
        moved = effects[:, :, :-1]
        moved = moved if f not in loadings else np.einsum("lm,qmp->qlp", loadings[f], moved)
        one = moved.shape[1] == 1
        predicted += z[f].T @ moved[:, 0] if one else np.einsum("qi,qip->ip", z[f], moved[:, codes[f]])
    many = many_variances(problem.assembly.rows, at.factor, codes, z)
    conditional, error = (_by_solves(layout, loadings, at, codes, z), 0.0) if many is None else many
    return conditional, predicted, error


def _by_solves(
    layout: Layout, loadings: Mapping[int, Array], at: LinearEvaluation, codes: list[IntArray], z: list[Array]
) -> Array:
    """``z K z'`` (n,) by one solve for each row that is not another's copy."""
    first, copies = unlike_rows(codes, z)
    check_solves(layout, first.size)
    step = max(1, CHUNK_CELLS // max(1, sum(m * q for m, q in zip(layout.levels, layout.sizes, strict=True))))
    parts = [
        _solved(layout, loadings, at, [c[chosen] for c in codes], [part[:, chosen] for part in z])
        for chosen in (first[i : i + step] for i in range(0, first.size, step))
    ]
    return np.concatenate(parts)[copies] if parts else np.zeros(0)


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
    error = 0.0
    if any(mask.any() for mask in rows.chosen):
        z, codes = _inner_rows(problem, rows), _codes(problem, rows)
        slopes += _moved(problem, state.movement[0], codes, z)
        many = many_variances(problem.assembly.rows, state.factor, codes, z)
        conditional, error = (_modes_by_solves(problem, state, rows, codes, z), 0.0) if many is None else many
    outside = rows.outside(problem.design.random, covariances)
    return PredictorErrors(slopes, np.maximum(conditional, 0.0), outside, error)


def _moved(problem: GeneralizedProblem, movement: Array, codes: list[IntArray], z: list[Array]) -> Array:
    """``z B`` (n, k) for the derivatives B (q, k) of the modes in the parameters."""
    rows, out = problem.assembly.rows, np.zeros((codes[0].size, movement.shape[1]))
    for f, part in enumerate(problem.model.space.split(movement)):
        loading = rows.loadings.get(f)
        of_level = part if loading is None else np.einsum("lm,qmk->qlk", loading, part)
        for covariate, effects in zip(z[f], of_level, strict=True):
            if covariate.any():
                out += covariate[:, None] * effects[codes[f]]
    return out


def _modes_by_solves(
    problem: GeneralizedProblem, state: ModeState, rows: PredictedRows, codes: list[IntArray], z: list[Array]
) -> Array:
    """``z K z'`` (n,) by one solve for each row that is not another's copy."""
    space = problem.model.space
    first, copies = unlike_rows(codes, z)
    check_solves(space.rows.layout, first.size)
    conditional, size = np.zeros(first.size), max(1, CHUNK_CELLS // max(space.n_effects, 1))
    for start in range(0, first.size, size):
        side = _sides(problem, rows, first[start : start + size])
        inside, _ = space.solve(state.factor, side)
        conditional[start : start + size] = np.einsum("qi,qi->i", side, inside)
    return conditional[copies]


def _sides(problem: GeneralizedProblem, rows: PredictedRows, at: IntArray) -> Array:
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
    M, p = problem.bases[0].matrix, problem.model.n_fixed
    if not problem.design.random:
        return np.asarray(M @ covariance[:p, :p] @ M.T)
    _check_size(problem.design)
    model, V, moved = problem.model, covariance, state.movement[0]
    K, _ = model.space.solve(state.factor, np.eye(model.space.n_effects))
    T = _to_user(problem.design, problem.assembly, problem.terms)
    cross = M @ V[:p] @ moved.T @ T.T
    return _joined(M @ V[:p, :p] @ M.T, cross, T @ (K + moved @ V @ moved.T) @ T.T)


# ---------------------------------------------------------------- both
def many_variances(
    fitted: Rows, factor: BlockFactor, codes: list[IntArray], z: list[Array]
) -> tuple[Array, float] | None:
    """Return ``z K z'`` (n,) of so many rows that a solve each is too dear, and its largest Monte Carlo error.

    None where solves are to be had. The rows of a fit lie on the pattern of ``K``; where that is never formed, any rows
    do whose levels have met.
    """
    layout = fitted.layout
    if layout.is_operator:
        n, most = codes[0].size, MOST_WORK / _solve_work(layout)
        if n <= most or (n <= MOST_COMPARED and unlike_rows(codes, z)[0].size <= most):
            return None
        found, errors = sampled_variances(layout, factor.inverse, z, codes)
        if np.isnan(found).any():
            return None
        sizes = np.where(found > 0, found, np.inf)
        return found, 0.5 * float(np.max(errors / sizes, initial=0.0))
    active = [f for f, part in enumerate(z) if part.any()]
    n = codes[0].size
    if not fitted.loadings and (layout.n_remainder == 0 or (len(active) == 1 and n > layout.n_remainder)):
        found = known_variances(layout, factor.inverse, z, codes)
        return None if np.isnan(found).any() else (found, 0.0)
    same = all(np.array_equal(a, b) for a, b, part in zip(codes, layout.codes, z, strict=True) if part.any())
    if n <= layout.n_remainder or n != layout.codes[0].size or not same:
        return None
    return RowMap(replace(fitted, z=tuple(z))).leverages(factor.inverse), 0.0


def unlike_rows(codes: Sequence[IntArray], z: Sequence[Array]) -> tuple[IntArray, IntArray]:
    """Return rows (u,) of which no two are the same, and for every row (n,) which of them it is."""
    key = np.zeros(codes[0].size, dtype=np.intp)
    for level, covariates in zip(codes, z, strict=True):
        for column in (np.where(covariates.any(axis=0), level, -1), *covariates):
            _, own = np.unique(column, return_inverse=True)
            _, key = np.unique(key * (int(own.max(initial=0)) + 1) + own, return_inverse=True)
    _, first, copies = np.unique(key, return_index=True, return_inverse=True)
    return first, copies


def _solve_work(layout: Layout) -> float:
    """What a solve with one right-hand side takes, in multiplications."""
    if layout.is_operator:
        return STEPS * float(sum(pairs.columns.size for pairs, _ in layout.meetings.values()))
    return float(layout.n_remainder) ** 2 + sum(q * m for q, m in zip(layout.sizes, layout.levels, strict=True))


def check_solves(layout: Layout, count: int) -> None:
    """Refuse more solves than are to be had in about a minute.

    Raises
    ------
    SpecificationError
    """
    most = int((MOST_WORK if layout.is_operator else MOST_DENSE_WORK) / max(_solve_work(layout), 1.0))
    if count > max(most, FEWEST_SOLVED):
        raise SpecificationError(
            f"the standard errors that are asked for take {count:,} solutions of equations with "
            f"{layout.n_remainder:,} crossed random effects: ask for about {max(most, FEWEST_SOLVED):,} rows or levels "
            "at a time, for the fitted rows (data=None), or without random effects (random=False)"
        )


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
