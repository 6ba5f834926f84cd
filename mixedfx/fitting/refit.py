"""Fit many responses of one linear model: together where the design allows it, else one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from mixedfx._typing import AnyArray, Array, BoolArray, IntArray
from mixedfx.covariance.linear import UnstructuredCovariance
from mixedfx.criterion.assembly import TermSlot
from mixedfx.criterion.batch import BatchCriterion, BatchPoint, BlockMap, ResponseGram, block_map, covariance_directions
from mixedfx.criterion.boundary import CERTIFIED_GAP, NEGLIGIBLE_RATIO, NEGLIGIBLE_VARIANCE
from mixedfx.criterion.linear_problem import LinearProblem
from mixedfx.exceptions import DataError
from mixedfx.fitting.control import Control
from mixedfx.fitting.linear_search import fit_linear
from mixedfx.matrices.basis import InnerResponses
from mixedfx.optimize import minimize_many

__all__ = ["Refits", "batch_chunks", "batch_fit", "blocks_of", "refit_many"]

BLOCK_WORK = 4e6  # multiplications an evaluation, above which one fit after the other is as fast as all at once
PARAMETER_CELLS = 1e6  # numbers that the products of the factor's derivatives may take
SMALLEST_SHARE = 1e-2  # starting variances are at least this share of the largest of their term
CHUNK_CELLS = 4e6  # numbers in the largest array of a batch
NOTHING, NO_MATRIX = np.zeros(0), np.zeros((0, 0))
CONSTANT = "all its values are the same: there is no residual to estimate a variance from"
UNKNOWN = "the likelihood cannot be computed"


def refit_many(problem: LinearProblem, Y: Array, start: Array | None = None, control: Control | None = None) -> Refits:
    """Fit every column of ``Y`` in place of the response.

    Parameters
    ----------
    problem : LinearProblem
    Y : (n, R)
        Responses in the rows of the design, on the user's scale, offset included.
    start : (k,), optional
        Inner parameters to start from: those of a fit to a similar response.
    control : Control, optional
        Tolerance and iteration limit; the probes of the problem if it is solved by iteration.
    """
    control = Control.alike(problem.most_exact, problem.solver) if control is None else control
    start = problem.criterion.start if start is None else start
    blocks = blocks_of(problem)
    if blocks is None:
        return _one_by_one(problem, Y, start, control)
    words = _without_residual(problem, Y)
    which = np.flatnonzero(words == "")
    if which.size < words.size:
        nothing = Refits.failed(words.size, len(start), problem.basis.matrix.shape[1], words)
        return nothing.replaced(which, refit_many(problem, Y[:, which], start, control)) if which.size else nothing
    found = batch_fit(problem, blocks, Y, start, control)
    doubtful = np.flatnonzero(~found.converged)
    return found.replaced(doubtful, _one_by_one(problem, Y[:, doubtful], start, control)) if doubtful.size else found


def _without_residual(problem: LinearProblem, Y: Array) -> AnyArray:
    """Say of every constant response that it leaves no residual, where an intercept takes it up; else nothing (R,)."""
    constant = (Y[:1] == Y).all(axis=0) & bool(problem.basis.intercept.any()) & (problem.criterion.sigma2 is None)
    plain = problem.design.offset is None
    return np.where(constant & plain, CONSTANT, "").astype(object)


def blocks_of(problem: LinearProblem) -> BlockMap | None:
    """Return the blocks of the design, or None where its shape or size is not one for a batch."""
    layout, model = problem.assembly.rows.layout, problem.covariance
    linear = all(t.covariance.second_derivative(t.covariance.start()) is None for t in model.terms)
    free = np.all(np.isneginf(model.search_lower)) and np.all(np.isposinf(model.upper))
    if not (linear and free and problem.is_plain and layout.n_factors) or problem.is_iterative:
        return None
    blocks = block_map(layout)
    work = blocks.count * blocks.size**3 * (4 + 2 * model.n_theta)
    single = layout.n_factors == 1
    fits = (work <= BLOCK_WORK or single) and (model.n_theta * blocks.size) ** 2 <= PARAMETER_CELLS
    return blocks if fits else None


def _one_by_one(problem: LinearProblem, Y: Array, start: Array, control: Control) -> Refits:
    warm = replace(control, start=problem.to_user(start[: problem.covariance.n_theta]))
    return Refits.concatenated([_one(problem, y, len(start), warm) for y in Y.T])


def _one(problem: LinearProblem, y: Array, n_parameters: int, control: Control) -> Refits:
    """The fit to one response; where it cannot be computed, why: that must not cost the others."""
    own = problem.with_response(y)
    try:
        fit = fit_linear(own, control)
        converged = (fit.optimum.converged and not fit.is_doubtful) or fit.certificate.converged
    except (DataError, FloatingPointError, np.linalg.LinAlgError) as error:
        return Refits.failed(1, n_parameters, problem.basis.matrix.shape[1], str(error))
    theta = np.concatenate([fit.theta, fit.rho])
    sigma = np.sqrt(fit.at.sigma2) * own.basis.scale
    singular = any(v.rank < v.size for v in fit.verdicts)
    words = "" if converged else fit.certificate.verdict
    found = (theta, own.basis.beta(fit.at.beta), sigma, fit.point.value, converged, singular, words)
    return Refits.of(*found)


@dataclass(frozen=True)
class Refits:
    """Estimates of R fits, on the user's scale.

    Attributes
    ----------
    theta : (R, k)
        Covariance parameters relative to sigma (and the parameters of a residual structure after them).
    beta : (R, p)
    sigma : (R,)
    values : (R,)
        Minus twice the log-likelihood (restricted under REML).
    converged, singular : (R,)
        Whether the optimum was found; whether some variance is zero or some correlation -1 or 1.
    words : (R,)
        What a search that found no optimum ran into; empty for the others.
    further : (R, f)
        Coefficients of further linear predictors and the family's own numbers, of generalised models.
    covariance, df : (R, p, p) and (R, p), or (R, 0, 0) and (R, 0)
        Of the fixed effects, and the degrees of freedom of each, where they come with the fit.
    """

    theta: Array
    beta: Array
    sigma: Array
    values: Array
    converged: BoolArray
    singular: BoolArray
    words: AnyArray
    further: Array
    covariance: Array
    df: Array

    @property
    def errors(self) -> Array:
        """Standard errors (R, p) of the fixed effects, where they come with the fit."""
        return np.asarray(np.sqrt(np.einsum("rii->ri", self.covariance)))

    @classmethod
    def of(
        cls,
        theta: Array,
        beta: Array,
        sigma: float,
        value: float,
        converged: bool,
        singular: bool,
        words: str = "",
        further: Array = NOTHING,
        covariance: Array = NO_MATRIX,
        df: Array = NOTHING,
    ) -> Refits:
        """Return one fit."""
        said = np.array([words], dtype=object)
        verdicts = (np.array([converged]), np.array([singular]), said)
        estimated = (theta[None], beta[None], np.array([sigma]), np.array([value]))
        return cls(*estimated, *verdicts, further[None], covariance[None], df[None])

    @classmethod
    def failed(
        cls,
        count: int,
        n_parameters: int,
        n_fixed: int,
        words: str | AnyArray = UNKNOWN,
        *,
        n_further: int = 0,
        n_tests: int = 0,
    ) -> Refits:
        """Return ``count`` fits that found nothing, and why: one reason, or one each (count,)."""
        nothing, no = np.full(count, np.nan), np.zeros(count, dtype=bool)
        theta, beta, further, tests = (
            np.full((count, width), np.nan) for width in (n_parameters, n_fixed, n_further, n_tests)
        )
        covariance = np.full((count, n_tests, n_tests), np.nan)
        said = np.full(count, words, dtype=object)
        return cls(theta, beta, nothing, nothing, no, no, said, further, covariance, tests)

    def among(self, which: IntArray, words: AnyArray) -> Refits:
        """Return these fits as number ``which`` of several; of the others there is only why they failed (R,)."""
        sizes = (self.theta.shape[1], self.beta.shape[1])
        further, tests = self.further.shape[1], self.df.shape[1]
        nothing = Refits.failed(len(words), *sizes, words, n_further=further, n_tests=tests)
        return nothing.replaced(which, self)

    @classmethod
    def concatenated(cls, parts: Sequence[Refits]) -> Refits:
        """Return the fits of all parts in turn."""
        columns = ([getattr(part, f.name) for part in parts] for f in fields(cls))
        return cls(*(np.concatenate(column) for column in columns))

    def taken(self, which: IntArray) -> Refits:
        """Return the fits number ``which``."""
        return Refits(*(getattr(self, f.name)[which] for f in fields(self)))

    def replaced(self, which: IntArray, others: Refits) -> Refits:
        """Return the fits with those number ``which`` replaced by ``others``."""
        columns = []
        for f in fields(self):
            column = getattr(self, f.name).copy()
            column[which] = getattr(others, f.name)
            columns.append(column)
        return Refits(*columns)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # responses without a residual
def batch_fit(problem: LinearProblem, blocks: BlockMap, Y: Array, start: Array, control: Control) -> Refits:
    """Fit every column of ``Y`` (n, R), starting from the inner parameters ``start`` (k,).

    ``converged`` is True only where the boundary, if any, is confirmed as well.
    """
    parts = []
    for _, criterion, inner in batch_chunks(problem, blocks, Y, len(start)):
        parts += _parts(problem, blocks, criterion, inner, start, control)
    return Refits.concatenated(parts)


def _parts(
    problem: LinearProblem,
    blocks: BlockMap,
    criterion: BatchCriterion,
    inner: InnerResponses,
    start: Array,
    control: Control,
) -> list[Refits]:
    """Fit all responses of a criterion at once; in halves where one of them cannot be fitted, until it is alone."""
    count = inner.scale.size
    try:
        return [_fit(problem, blocks, criterion, inner, start, control)]
    except (np.linalg.LinAlgError, FloatingPointError):
        if count == 1:
            return [Refits.failed(1, len(start), problem.basis.matrix.shape[1])]
    halves = np.array_split(np.arange(count), 2)
    taken = ((replace(criterion, responses=criterion.responses.take(half)), inner.take(half)) for half in halves)
    return [part for own, half in taken for part in _parts(problem, blocks, own, half, start, control)]


def batch_chunks(
    problem: LinearProblem, blocks: BlockMap, Y: Array, n_parameters: int
) -> Iterator[tuple[IntArray, BatchCriterion, InnerResponses]]:
    """Yield columns of ``Y`` (n, R), few enough for small arrays: their numbers and their criterion."""
    inner = problem.responses(Y)
    criterion = _criterion(problem, blocks, inner)
    count, width = Y.shape[1], problem.basis.matrix.shape[1] + 1 + blocks.size
    cells = float(blocks.size * blocks.count * max(n_parameters, 1) * width)
    chunk = max(1, int(CHUNK_CELLS / cells))
    for first in range(0, count, chunk):
        which = np.arange(first, min(first + chunk, count))
        yield which, replace(criterion, responses=criterion.responses.take(which)), inner.take(which)


def _criterion(problem: LinearProblem, blocks: BlockMap, inner: InnerResponses) -> BatchCriterion:
    rows, weights = problem.assembly.rows, problem.design.weights
    X, Y = rows.columns[:, :-1], inner.values
    incidence = blocks.incidence(rows)
    weighted = Y if weights is None else Y * weights[:, None]
    zy = np.asarray(incidence @ weighted).reshape(blocks.size, blocks.count, -1).swapaxes(1, 2)
    yy = np.einsum("nr,nr->r", Y, weighted)
    responses = ResponseGram(np.ascontiguousarray(zy), weighted.T @ X, yy, problem.known_sigma2(inner))
    gram, basis = blocks.gram(incidence, X, weights), blocks.factor_basis(problem.covariance)
    return BatchCriterion(gram, basis, responses, problem.criterion.nu, problem.criterion.reml)


def _fit(
    problem: LinearProblem,
    blocks: BlockMap,
    criterion: BatchCriterion,
    inner: InnerResponses,
    start: Array,
    control: Control,
) -> Refits:
    everything = np.arange(inner.scale.size)
    begin = _scored(problem, blocks, criterion.at(np.tile(start, (everything.size, 1)), everything))
    optima = minimize_many(criterion, begin, tol=control.tol, max_iter=control.max_iter)
    beta, sigma2, gradient = optima.extra
    values = optima.value
    theta, confirmed, singular = _settled(problem, blocks, optima.x, gradient)
    moved = np.flatnonzero(singular)
    if moved.size:
        at = criterion.at(theta[moved], moved)
        beta[moved], sigma2[moved], values[moved] = at.beta, at.sigma2, at.value
    fixed = problem.basis
    beta = inner.scale[:, None] * (beta @ fixed.matrix.T) + inner.origin
    sigma = np.sqrt(sigma2) * inner.scale
    values = values + problem.constants(inner)
    converged = optima.converged & confirmed
    words, none = np.where(converged, "", UNKNOWN).astype(object), np.zeros((sigma.size, 0))
    estimated = (problem.to_user(theta), beta, sigma, values)
    return Refits(*estimated, converged, singular, words, none, np.zeros((sigma.size, 0, 0)), none)


def _scored(problem: LinearProblem, blocks: BlockMap, at: BatchPoint) -> Array:
    """Return starting values (R, k): one scoring step in the covariances, brought back among the legal ones."""
    directions, spans = blocks.covariance_basis(problem.covariance)
    found = at.scoring_step(directions)
    theta = at.theta.copy()
    for slot, own in zip(problem.covariance.terms, spans, strict=True):
        if isinstance(slot.covariance, UnstructuredCovariance):
            small = np.array(covariance_directions(slot.covariance))
            values, vectors = np.linalg.eigh(np.tensordot(found[:, own], small, axes=1))
            floor = SMALLEST_SHARE * np.maximum(np.abs(values).max(axis=1, keepdims=True), SMALLEST_SHARE)
            theta[:, slot.theta] = slot.covariance.parameters(vectors * np.sqrt(np.maximum(values, floor))[:, None, :])
        else:
            floor = SMALLEST_SHARE * np.maximum(np.abs(found[:, own]).max(axis=1, keepdims=True), SMALLEST_SHARE)
            theta[:, slot.theta] = np.sqrt(np.maximum(found[:, own], floor))
    return theta


def _settled(
    problem: LinearProblem, blocks: BlockMap, found: Array, gradients: Array
) -> tuple[Array, BoolArray, BoolArray]:
    """Set negligible directions to zero; return theta (R, k), if the boundary is confirmed, if there is one."""
    theta = found.copy()
    confirmed, singular = np.ones(len(theta), dtype=bool), np.zeros(len(theta), dtype=bool)
    tolerated = CERTIFIED_GAP * np.maximum(1.0, np.abs(gradients).max(axis=(1, 2), initial=0.0))
    for slot in problem.covariance.terms:
        own = theta[:, slot.theta]
        root = np.tensordot(own, slot.covariance.derivative(own[0]), axes=1)
        values, vectors = np.linalg.eigh(root @ root.swapaxes(1, 2))
        zero = values <= np.maximum(NEGLIGIBLE_VARIANCE, NEGLIGIBLE_RATIO * values[:, -1:])
        closed = zero.any(axis=1)
        null = vectors * zero[:, None, :]
        gradient = blocks.term_gradient(gradients, slot)
        slope = np.linalg.eigvalsh(null.swapaxes(1, 2) @ gradient @ null)[:, 0]
        confirmed &= ~closed | (slope >= -tolerated)
        singular |= closed
        rest = vectors * ~zero[:, None, :]
        theta[closed, slot.theta] = _closed(slot, own[closed], root[closed], rest[closed])
    return theta, confirmed, singular


def _closed(slot: TermSlot, theta: Array, root: Array, rest: Array) -> Array:
    """Parameters (R, k) with the variance outside the columns of ``rest`` (R, q, q) set to exactly zero."""
    if isinstance(slot.covariance, UnstructuredCovariance):
        return slot.covariance.parameters(rest @ (rest.swapaxes(1, 2) @ root))
    negligible = np.maximum(NEGLIGIBLE_VARIANCE, NEGLIGIBLE_RATIO * np.square(theta).max(axis=1, keepdims=True))
    return np.where(np.square(theta) > negligible, theta, 0.0)
