"""Estimates of a mixed model without each of many sets of rows, from those with all rows.

In a linear model the cross-products of the rows are taken off exactly (see ``deletion``); designs that do not fall into
small blocks, and residual structures, are fitted anew set by set.

In a generalised model weights of zero take the rows out of the likelihood. The gradient of what is left is exact, the
conditional modes found anew. The first step from the estimate with all rows is Pregibon's one step, in all parameters
at once and with the Hessian of all rows; the next ones take the Hessian of the rows that are left, which gives their
standard errors too.

References
----------
Pregibon (1981), Ann. Stat. 9, 705; Christensen, Pearson & Johnson (1992), Technometrics 34, 38; Xiang, Tse & Lee
(2002), Comput. Stat. Data Anal. 40, 759.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx._workers import Workers
from mixedfx.criterion.batch import BlockMap, block_map
from mixedfx.criterion.boundary import reopened
from mixedfx.criterion.evaluation import GaussianEvaluation
from mixedfx.criterion.generalized_problem import GeneralizedProblem
from mixedfx.criterion.linear_problem import LinearProblem, linear_problem
from mixedfx.criterion.mode import mode_state
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.fitting.deletion import CHUNK_CELLS, Blocks, DeletedCriterion, DeletedPoint, block_sums, estimable
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.fitting.generalized_search import difference_hessian
from mixedfx.fitting.integrators import refit_generalized
from mixedfx.fitting.linear import LinearFit
from mixedfx.fitting.linear_search import fit_linear, settled_point
from mixedfx.linalg.gram import Rows
from mixedfx.linalg.layout import parents_of
from mixedfx.matrices import Design
from mixedfx.optimize import Optimum, minimize, minimize_many

__all__ = ["Without", "generalized_without", "linear_without"]

EXACT_WORK = 1e5  # size of an exact evaluation of all sets, above which one step each is taken where it can be trusted
BLOCK_WORK = 3e8  # multiplications above which the sets are fitted one after the other
ESTIMABLE = 1e-9  # smallest share of the information about a fixed effect that must be left
TRUSTED = 3e-4  # error of theta, in standard errors, that a single step may leave
DIFFERENCE_STEP = 1e-3  # of the third derivatives, relative to 1 + |theta|
NUDGE = 1e-2  # where a standard deviation of zero starts, relative to the largest
TOLERANCE = 1e-12
SETTLED = 1e-3  # length of the last step in standard errors; the error left is about its square
MOST_STEPS = 6
MOST_LEARNT = 12  # steps that begin with the Hessian of all rows
LONGEST = 2.0  # longest step, in standard errors, for which the estimate with all rows is a good start
MOST_REFITTED = 2e9  # rows of all fits that are made one by one: hours
NEAR_ZERO = 1e-3  # relative standard deviation below which a new fit has to settle the boundary


@dataclass(frozen=True)
class Without:
    """Estimates without each of R sets of rows; nan where the fixed effects cannot be told apart any more.

    Attributes
    ----------
    theta : (R, k)
        On the user's scale.
    beta : (R, p)
        On the user's scale.
    covariance : (R, p, p)
        Of beta.
    sigma2 : (R,)
        Residual variances on the user's scale; dispersions of a family, 1 where it has none.
    further : (R, m)
        Other parameters: of a residual structure, of further linear predictors, of a family.
    """

    theta: Array
    beta: Array
    covariance: Array
    sigma2: Array
    further: Array

    @classmethod
    def concatenated(cls, parts: Sequence[Without]) -> Without:
        """Return the estimates of all parts in turn."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def filled(self, which: IntArray | BoolArray, others: Without) -> Without:
        """Return a copy with the sets ``which`` replaced by ``others``."""
        columns = []
        for f in fields(self):
            column = getattr(self, f.name).copy()
            column[which] = getattr(others, f.name)
            columns.append(column)
        return Without(*columns)


def linear_without(fit: LinearFit, sets: IntArray, columns: pd.DataFrame | None, workers: Workers) -> Without:
    """Return the estimates of a linear model without the rows of each set.

    Parameters
    ----------
    fit : LinearFit
    sets : (n,)
        Number of the set that every row belongs to.
    columns : DataFrame, optional
        What a residual structure reads.
    workers : Workers
        Who fits, where the sets are fitted one by one.
    """
    blocks = None if fit.residual is not None else _blocks(fit.problem, sets)
    return _one_by_one(fit, sets, columns, workers) if blocks is None else _all_at_once(fit, sets, *blocks)


def _blocks(problem: LinearProblem, sets: IntArray) -> tuple[BlockMap, IntArray] | None:
    """The blocks of the design and the block of every set; None where sets or covariances do not fit in."""
    rows, model = problem.assembly.rows, problem.covariance
    linear = all(t.covariance.second_derivative(t.covariance.start()) is None for t in model.terms)
    if not linear or rows.loadings or not model.terms or not np.all(np.isneginf(model.search_lower)):
        return None
    blocks = block_map(rows.layout)
    count = int(sets.max()) + 1
    home = parents_of(sets, blocks.block[0][rows.layout.codes[0]], count)
    work = float(blocks.size) ** 3 * (blocks.count + count) * (1 + model.n_theta)
    return None if home is None or work > BLOCK_WORK else (blocks, home)


def _all_at_once(fit: LinearFit, sets: IntArray, blocks: BlockMap, home: IntArray) -> Without:
    problem = fit.problem
    criterion = _criterion(fit, sets, blocks, home)
    full = fit.at.criterion.gram.total[:-1, :-1]
    which = np.flatnonzero(estimable(criterion.total[:, :-1, :-1], full, ESTIMABLE) & (criterion.nu > 0))
    out = _empty(len(home), problem)
    if which.size == 0:
        return out
    work = len(home) * blocks.count * blocks.size * len(fit.inner_theta) * max(blocks.size, len(full) + 1)
    far = which
    if work > EXACT_WORK and not problem.is_iterative:  # third derivatives need the exact Hessian
        try:
            with np.errstate(all="ignore"):
                near, trusted = _expanded(fit, criterion.take(which))
        except (np.linalg.LinAlgError, ArithmeticError):
            near, trusted = _empty(which.size, problem), np.zeros(which.size, dtype=bool)
        out, far = out.filled(which, near), which[~trusted]
    return out.filled(far, _exact(fit, criterion.take(far))) if far.size else out


def _exact(fit: LinearFit, criterion: DeletedCriterion) -> Without:
    """Newton steps for all sets at once, to convergence; a set whose fit cannot be computed costs no other."""
    count = len(criterion.home)
    try:
        with np.errstate(all="ignore"):  # sets that leave no residual: not finite, and so given up
            return _converged(fit, criterion)
    except (np.linalg.LinAlgError, ArithmeticError):
        if count == 1:
            return _empty(1, fit.problem)
    halves = np.array_split(np.arange(count), 2)
    return Without.concatenated([_exact(fit, criterion.take(half)) for half in halves])


def _converged(fit: LinearFit, criterion: DeletedCriterion) -> Without:
    """Newton steps for all sets at once."""
    start = np.tile(_nudged(fit), (len(criterion.home), 1))
    theta = minimize_many(criterion, start, tol=TOLERANCE).x
    parts = []
    for own in criterion.chunks(len(theta), len(criterion.blocks.s)):
        chosen = criterion.take(np.arange(len(theta))[own])
        parts.append(_estimates(fit.problem, chosen.at(theta[own]), theta[own]))
    return Without.concatenated(parts)


def _expanded(fit: LinearFit, criterion: DeletedCriterion) -> tuple[Without, BoolArray]:
    """One third-order step for all sets from the estimate with all rows, and whether it is accurate enough."""
    blocks = criterion.blocks
    each = None
    if len(blocks.s) * (len(fit.inner_theta) * blocks.c.shape[2]) ** 2 <= CHUNK_CELLS:
        each = criterion.each_block(fit.inner_theta, np.arange(len(blocks.s)))
        centre = each.total()
    else:
        centre = block_sums(criterion.basis, fit.inner_theta[None], blocks.s[None], blocks.c[None])
    third = _third_derivatives(fit)
    parts, trusted = [], []
    for own in criterion.chunks(len(criterion.home), 1):
        chosen = criterion.take(np.arange(len(criterion.home))[own])
        point = chosen.around(fit.inner_theta, centre, each)
        shift, good = _third_order_step(point.gradient, point.hessian, third)
        parts.append(_estimates(fit.problem, chosen.point(point.sums.moved(shift)), fit.inner_theta + shift))
        trusted.append(good)
    return Without.concatenated(parts), np.concatenate(trusted)


def _third_order_step(gradient: Array, hessian: Array, third: Array) -> tuple[Array, BoolArray]:
    """Minimise ``g'd + d'Hd/2 + T[d, d, d]/6`` from the Newton step by one more (Halley's method).

    What the step leaves is about the square of the correction over the step: trusted if small in standard errors.
    """
    safe = np.linalg.eigvalsh(hessian)[:, 0] > 0
    hessian = np.where(safe[:, None, None], hessian, np.eye(hessian.shape[1]))
    first = -np.linalg.solve(hessian, gradient[..., None])[..., 0]
    bend = np.einsum("ijk,rj,rk->ri", third, first, first, optimize=True)
    turned = hessian + np.tensordot(first, third, axes=1)
    correction = -np.linalg.solve(turned, 0.5 * bend[..., None])[..., 0]
    length, corrected = (np.sqrt(np.einsum("ri,rij,rj->r", d, hessian, d) / 2.0) for d in (first, correction))
    trusted: BoolArray = safe & (corrected**2 <= TRUSTED * length)
    return np.asarray(first + correction), trusted


def _third_derivatives(fit: LinearFit) -> Array:
    """Third derivatives (k, k, k) of the criterion of all rows: central differences of its exact Hessian."""
    slopes = []
    for i, step in enumerate(DIFFERENCE_STEP * (1.0 + np.abs(fit.inner_theta))):
        shift = np.zeros_like(fit.inner_theta)
        shift[i] = step
        ahead, behind = (fit.problem.criterion(fit.inner_theta + sign * shift).hessian for sign in (1.0, -1.0))
        slopes.append((ahead - behind) / (2.0 * step))
    return np.array(slopes)


def _criterion(fit: LinearFit, sets: IntArray, blocks: BlockMap, home: IntArray) -> DeletedCriterion:
    problem, criterion = fit.problem, fit.at.criterion
    rows, weights, count = problem.assembly.rows, problem.design.weights, len(home)
    everything = _cross_products(blocks, rows, weights, blocks.block[0][rows.layout.codes[0]], blocks.count)
    deleted = _cross_products(blocks, rows, weights, sets, count)
    sizes = np.bincount(sets, minlength=count).astype(float)
    emptied = sizes == np.bincount(blocks.block[0][rows.layout.codes[0]])[home]
    return DeletedCriterion(
        blocks.factor_basis(problem.covariance),
        everything,
        home,
        everything.take(home).less(deleted, emptied),
        criterion.gram.total - outer_sums(rows.columns, weights, sets, count),
        criterion.nu - sizes,
        criterion.reml,
        criterion.sigma2,
    )


def _cross_products(blocks: BlockMap, rows: Rows, weights: Array | None, owner: IntArray, count: int) -> Blocks:
    """Cross-products of the rows of each of ``count`` owners, in the coefficients of their blocks."""
    layout, n = rows.layout, len(rows.columns)
    places, values = [], []
    for f, z in enumerate(rows.z):
        rank = blocks.position[f][layout.codes[f]]
        for a, covariate in enumerate(z):
            places.append((blocks.start[f] + a * blocks.width[f] + rank) * count + owner)
            values.append(covariate)
    entries = (np.concatenate(values), (np.concatenate(places), np.tile(np.arange(n), len(places))))
    incidence = sp.csr_array(sp.coo_array(entries, shape=(blocks.size * count, n)))
    weighted = incidence if weights is None else sp.csr_array(incidence * weights)
    product = sp.coo_array(weighted @ incidence.T)
    row, column = product.coords
    s = np.zeros((count, blocks.size, blocks.size))
    s[row % count, row // count, column // count] = product.data
    c = np.asarray(weighted @ rows.columns).reshape(blocks.size, count, -1).swapaxes(0, 1)
    return Blocks(s, np.ascontiguousarray(c))


def outer_sums(columns: Array, weights: Array | None, sets: IntArray, count: int) -> Array:
    """``[X y]'[X y]`` (R, C, C) of the rows of each set."""
    n, width = columns.shape
    indicator = sp.csr_array((np.ones(n), (sets, np.arange(n))), shape=(count, n))
    weighted = columns if weights is None else columns * weights[:, None]
    out = np.empty((count, width, width))
    for a in range(width):
        out[:, a, :] = np.asarray(indicator @ (weighted[:, a : a + 1] * columns))
    return out


def _nudged(fit: LinearFit) -> Array:
    """The estimate with standard deviations of zero a little above it, where their slope is not zero."""
    theta, model = fit.inner_theta, fit.problem.covariance
    floor = NUDGE * max(float(np.abs(theta).max(initial=0.0)), NUDGE)
    return np.where((model.lower == 0) & (np.abs(theta) < floor), floor, theta)


def _estimates(problem: LinearProblem, point: DeletedPoint, theta: Array) -> Without:
    basis = problem.basis
    return Without(
        problem.to_user(theta),
        basis.scale * (point.beta @ basis.matrix.T) + basis.origin,
        basis.scale**2 * point.sigma2[:, None, None] * (basis.matrix @ point.unscaled_cov @ basis.matrix.T),
        basis.scale**2 * point.sigma2,
        np.zeros((len(theta), 0)),
    )


def _empty(count: int, problem: LinearProblem) -> Without:
    p, k = problem.basis.matrix.shape[0], problem.covariance.n_theta
    m = 0 if problem.residual is None else problem.residual.n_rho
    shapes = ((count, k), (count, p), (count, p, p), (count,), (count, m))
    return Without(*(np.full(shape, np.nan) for shape in shapes))


def _one_by_one(fit: LinearFit, sets: IntArray, columns: pd.DataFrame | None, workers: Workers) -> Without:
    """Fit anew without each set, from the estimate with all rows."""
    problem, count = fit.problem, int(sets.max()) + 1
    X, weights = problem.assembly.rows.columns[:, :-1], problem.design.weights
    full = X.T @ (X if weights is None else X * weights[:, None])
    which = np.flatnonzero(estimable(full - outer_sums(X, weights, sets, count), full, ESTIMABLE))
    check_refits(which.size, problem.design)
    hessian = None if fit.residual is None or fit.is_doubtful else fit.point.curvature
    shared, tasks = (fit, hessian, sets, columns), [(int(number),) for number in which]
    return _filled(_empty(count, problem), which, workers.run(_linear_refit, shared, tasks, "influence"))


def check_refits(count: int, design: Design) -> None:
    """Refuse so many fits that they would take hours.

    Raises
    ------
    SpecificationError
    """
    if count * design.n_rows > MOST_REFITTED:
        raise SpecificationError(
            f"influence would take {count:,} fits of {design.n_rows:,} rows each: leave out the levels of a factor "
            "with fewer, or give group= a label for each row, the same for all rows that are of no interest"
        )


def _filled(out: Without, which: IntArray, found: list[Without | None]) -> Without:
    """Enter the estimates (of one set each) of the sets ``which``; None where there are none."""
    some = [(number, one) for number, one in zip(which, found, strict=True) if one is not None]
    if not some:
        return out
    return out.filled(np.array([number for number, _ in some]), Without.concatenated([one for _, one in some]))


def _linear_refit(
    fit: LinearFit, hessian: Array | None, sets: IntArray, columns: pd.DataFrame | None, number: int
) -> Without | None:
    """Fit anew without one set; None where that cannot be done."""
    control = replace(fit.same_way, start=fit.theta) if fit.inner_theta.all() else fit.same_way
    try:
        other = _problem_of(fit, sets != number, columns)
        refit = _warm_fit(fit, other, hessian) or fit_linear(other, control)
    except (DataError, ArithmeticError, np.linalg.LinAlgError):
        return None
    further = refit.rho if refit.residual is None else refit.residual.natural(refit.rho)
    numbers = (refit.theta, refit.beta, refit.beta_covariance, np.array(refit.scale), further)
    return Without(*(one[None] for one in numbers))


def _problem_of(fit: LinearFit, kept: BoolArray, columns: pd.DataFrame | None) -> LinearProblem:
    """The problem with the rows that are ``kept`` (n,), a residual structure with its parameters bound to them."""
    residual = fit.residual
    if residual is not None and columns is not None:
        residual = residual.rebind(columns[kept].reset_index(drop=True))
    sigma = fit.problem.known_sigma
    return linear_problem(_rows_of(fit.design, kept), reml=fit.reml, sigma=sigma, residual=residual)


@dataclass(frozen=True)
class _Near:
    """The criterion without a set at one place, where the Hessian with all rows stands in for one that is dear."""

    at: GaussianEvaluation
    curvature: Array
    curvature_is_exact = False

    @property
    def value(self) -> float:
        return self.at.value

    @property
    def gradient(self) -> Array:
        return self.at.gradient


def _warm_fit(fit: LinearFit, other: LinearProblem, hessian: Array | None) -> LinearFit | None:
    """Minimise from all parameters of ``fit``; None where a boundary is to be settled, or no optimum is found.

    Where the ``hessian`` (k, k) of the fit is given, the search goes by it and what its steps tell of its change.
    """
    start = np.concatenate([other.to_inner(fit.theta), fit.rho])
    bounds = other.criterion.search_lower, other.criterion.upper
    if hessian is None:
        optimum = minimize(other.evaluate, start, *bounds, tol=TOLERANCE)
        refit = LinearFit(other, optimum, optimum.point)
        return refit if refit.is_plain else None
    found = minimize(lambda x: _Near(other.evaluate(x), hessian), start, *bounds, tol=TOLERANCE, max_iter=MOST_LEARNT)
    point = settled_point(other, found.point.at)
    refit = LinearFit(other, replace(cast("Optimum[Any]", found), point=point), point)
    ranks = [(verdict.rank, verdict.rank == verdict.size or verdict.confirmed) for verdict in refit.verdicts]
    alike = ranks == [(verdict.rank, True) for verdict in fit.verdicts]
    return refit if found.converged and alike else None


def _rows_of(design: Design, kept: BoolArray) -> Design:
    """The design with the rows that are ``kept`` (n,); the columns stay as they are."""
    return replace(
        design,
        response=replace(design.response, values=design.response.values[kept]),
        fixed=replace(design.fixed, matrix=np.asfortranarray(design.fixed.matrix[kept])),
        random=tuple(replace(t, codes=t.codes[kept], matrix=t.matrix[kept]) for t in design.random),
        weights=None if design.weights is None else design.weights[kept],
        offset=None if design.offset is None else design.offset[kept],
        index=design.index[kept],
    )


@dataclass(frozen=True)
class _Refit:
    """Parameters (k,) on the inner scale and a fit next to them."""

    x: Array
    fit: GeneralizedFit


def generalized_without(fit: GeneralizedFit, sets: IntArray, workers: Workers) -> Without:
    """Return the estimates without the rows of each set (n,): by Newton steps, or by a fit where they do not settle."""
    count, p = int(sets.max()) + 1, fit.problem.model.n_fixed
    shapes = ((fit.problem.covariance.n_theta,), (p,), (p, p), (), (fit.x.size - fit.problem.theta_slice.stop,))
    which = np.flatnonzero(_estimable_sets(fit.problem, sets, count))
    check_refits(which.size, fit.design)
    if fit.nodes:
        _ = fit.hessian  # which all need: known before they are told of the fit
    tasks = [(int(number),) for number in which]
    found = workers.run(_generalized_refit, (fit, sets), tasks, "influence")
    return _filled(Without(*(np.full((count, *shape), np.nan) for shape in shapes)), which, found)


def _generalized_refit(fit: GeneralizedFit, sets: IntArray, number: int) -> Without | None:
    refit = _fit_without(fit, sets != number)
    return None if refit is None else _entry(refit)


def _fit_without(fit: GeneralizedFit, kept: BoolArray) -> _Refit | None:
    """The fit to the rows that are ``kept`` (n,); None where there is none."""
    problem = _weighted(fit.problem, kept)
    try:
        refit = None if fit.nodes == 0 else _stepped(fit, problem)
        if refit is None:
            again = refit_generalized(fit, problem)
            refit = _Refit(again.x, again)
    except (DataError, ArithmeticError, np.linalg.LinAlgError):
        return None
    return None if refit.fit.separated else refit


def _weighted(problem: GeneralizedProblem, kept: BoolArray) -> GeneralizedProblem:
    """The problem with weights of zero for the rows that are not ``kept`` (n,)."""
    given = problem.observed.multiplier
    multiplier = kept.astype(float) if given is None else kept * given
    return problem.with_observed(replace(problem.observed, multiplier=multiplier))


def _stepped(fit: GeneralizedFit, problem: GeneralizedProblem) -> _Refit | None:
    """Newton steps from the fit with all rows; None where they do not settle, or near the boundary."""
    free, state, hessian = np.flatnonzero(fit.free & ~fit.unnoticed), fit.at.state, fit.hessian
    block, x = np.ix_(free, free), fit.x
    for step in range(MOST_STEPS):
        state = mode_state(problem.model, x, near=state)
        if not state.mode.converged:
            return None
        at = fit.integrate(state)
        if step:
            hessian = difference_hessian(fit.integrate, at)
        change = _newton(hessian[block], at.gradient[free])
        if change is None:
            return None
        x = x.copy()
        x[free] += change
        if step and np.sqrt(0.5 * change @ hessian[block] @ change) <= SETTLED:
            refit = replace(fit, problem=problem, at=at, hessian=hessian)
            return None if _at_boundary(refit) else _Refit(x, refit)
    return None


def _newton(hessian: Array, gradient: Array) -> Array | None:
    """The step, or None where the Hessian is not positive definite or the step is long."""
    try:
        half = np.linalg.solve(np.linalg.cholesky(hessian), gradient)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(half).all() or half @ half > 2.0 * LONGEST**2:
        return None
    return np.asarray(-np.linalg.solve(hessian, gradient), dtype=float)


def _at_boundary(fit: GeneralizedFit) -> bool:
    """Whether a variance has vanished, or would leave zero."""
    model, at = fit.problem.covariance, fit.at
    deviations = at.theta[model.lower == 0]
    closing = deviations < NEAR_ZERO * max(1.0, float(np.abs(at.theta).max(initial=0.0)))
    return bool(closing.any()) or reopened(model, at) is not None


def _estimable_sets(problem: GeneralizedProblem, sets: IntArray, count: int) -> BoolArray:
    """Which sets leave all coefficients of all linear predictors estimable."""
    given = problem.observed.multiplier
    matrices = [problem.level_columns, *(c.matrix for c in problem.components)]
    out: BoolArray = np.ones(count, dtype=bool)
    for matrix in matrices:
        full = matrix.T @ (matrix if given is None else matrix * (given > 0)[:, None])
        positive = None if given is None else (given > 0).astype(float)
        out &= estimable(full - outer_sums(matrix, positive, sets, count), full, ESTIMABLE)
    return out


def _entry(refit: _Refit) -> Without:
    """The estimates of one set."""
    problem = refit.fit.problem
    x, p, stop = problem.to_user(refit.x), problem.model.n_fixed, problem.theta_slice.stop
    scale = refit.fit.scale if refit.fit.has_sigma else 1.0
    numbers = (x[p:stop], x[:p], refit.fit.beta_covariance, np.array(scale), x[stop:])
    return Without(*(one[None] for one in numbers))
