"""What the rows of each level say by themselves of coefficients that vary between levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import Fit
from mixedfx.optimize import Derivatives, minimize_many
from mixedfx.results.base import MixedResults

__all__ = ["SPAN", "estimates_by_level", "fit_of_rows", "sums_by_level", "told_by_level"]

SPAN = 1e-8  # relative size of an eigenvalue, or of what is left of a column, that counts as none
RUN_OFF = 1e-6  # information of a level that has run off to infinity, relative to that of a row at the start
FAR = 6.0  # contribution of a coefficient to the linear predictor that counts as endless, where there is no information


def fit_of_rows(results: MixedResults, what: str, *, sums: bool = False) -> Fit:
    """Return the fit of a model in which levels can be fitted by themselves; its residuals never tie levels together.

    Sums over rows will do if ``sums`` says so.

    Raises
    ------
    SpecificationError
        If its rows are not kept, or its likelihood is not that of rows given normal effects.
    """
    fit = results.solution
    if not sums:
        results.design.need_rows(what)
    if fit.not_linear:
        raise SpecificationError(f"{what} {fit.not_linear}")
    fit.check_normal(what)
    return fit


def sums_by_level(codes: IntArray, n_levels: int, values: Array) -> Array:
    """Return the sums (m, …) of rows (n, …) by level."""
    flat = values.reshape(len(values), -1)
    sums = [np.bincount(codes, weights=column, minlength=n_levels) for column in flat.T]
    return np.asarray(np.stack(sums, axis=-1), dtype=np.float64).reshape(n_levels, *values.shape[1:])


def told_by_level(gram: Array) -> tuple[Array, Array, BoolArray]:
    """Return what cross-products of columns by level (m, q, q) tell of coefficients.

    Returns
    -------
    inverse : (m, q, q)
        Pseudo-inverses.
    ranks : (m,)
    known : (m, q)
        Which coefficients the columns of a level determine.
    """
    values, vectors = np.linalg.eigh(gram)
    seen = values > SPAN * np.maximum(values[:, -1:], np.finfo(float).tiny)
    inverse = np.einsum("mqk,mk,mrk->mqr", vectors, seen / np.where(seen, values, 1.0), vectors)
    unseen = np.einsum("mqk,mk->mq", vectors**2, ~seen)
    return inverse, np.asarray(seen.sum(axis=1)), np.asarray(unseen < SPAN)


def estimates_by_level(fit: Fit, codes: IntArray, n_levels: int, Z: Array, offset: Array, start: Array) -> Array:
    """Return the maximum-likelihood coefficients of the columns Z by level, everything else held as in the fit.

    Parameters
    ----------
    fit : Fit
        Its family-wide parameters, further linear predictors and residual structure are taken as they are.
    codes : (n,)
        Level of each row.
    n_levels : int
    Z : (n, q)
    offset : (n,)
        The rest of the linear predictor.
    start : (m, q)
        Where searches start; coefficients with which every row has a likelihood.

    Returns
    -------
    (m, q)
        nan for what the columns of a level do not determine, -inf or inf where the likelihood rises for ever: levels
        of zeros alone, or whose columns separate the outcomes.
    """
    known = told_by_level(sums_by_level(codes, n_levels, np.einsum("nq,nr->nqr", Z, Z)))[2]
    if fit.response.has_normal_residuals:
        found = _least_squares(fit, codes, n_levels, Z, offset)
    else:
        found = _likeliest(fit, codes, n_levels, Z, offset, start, np.asarray(known.all(axis=1)))
    return np.where(known, found, np.nan)


def _least_squares(fit: Fit, codes: IntArray, n_levels: int, Z: Array, offset: Array) -> Array:
    """Generalised least squares by level: of rows whose weights and correlations are taken out of them."""
    both: Any = fit.weighted_rows(sp.csr_array(np.column_stack([Z, fit.design.response.values - offset])))
    dense: Any = both.toarray() if hasattr(both, "toarray") else both
    rows = np.asarray(dense, dtype=np.float64)
    white, left = rows[:, :-1], rows[:, -1]
    gram = sums_by_level(codes, n_levels, np.einsum("nq,nr->nqr", white, white))
    side = sums_by_level(codes, n_levels, white * left[:, None])
    return np.asarray(np.einsum("mqr,mr->mq", told_by_level(gram)[0], side))


@dataclass(frozen=True)
class _Search:
    """Minus the log-likelihood of each level as a function of its coefficients."""

    fit: Any
    codes: IntArray
    Z: Array
    offset: Array
    order: IntArray
    starts: IntArray

    def __call__(self, coefficients: Array, which: IntArray) -> Derivatives:
        counts = self.starts[which + 1] - self.starts[which]
        place = np.repeat(np.arange(len(which)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = self.order[np.repeat(self.starts[which], counts) + within]
        Z = self.Z[rows]
        eta = self.offset[rows] + np.einsum("nq,nq->n", Z, coefficients[place])
        response = self.fit.response
        predictors = response.predictors(eta, {name: X[rows] for name, X in response.matrices.items()})
        value, slope, bend = response.family.derivatives(
            self.fit.problem.observed.take(rows), predictors, response.phi, order=2
        )
        if predictors.ndim > 1:
            slope, bend = slope[:, 0], bend[:, 0, 0]
        value = np.where(np.isfinite(value), value, -np.inf)
        curvature = bend[:, None, None] * np.einsum("nq,nr->nqr", Z, Z)
        count = len(which)
        return Derivatives(
            -sums_by_level(place, count, value),
            -sums_by_level(place, count, slope[:, None] * Z),
            -sums_by_level(place, count, curvature),
        )


def _likeliest(
    fit: Fit, codes: IntArray, n_levels: int, Z: Array, offset: Array, start: Array, seen: BoolArray
) -> Array:
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(n_levels + 1))
    search = _Search(fit, codes, Z, offset, order, starts)
    found = minimize_many(search, start)
    at_start, at_end = (search(x, np.arange(n_levels)).hessian for x in (start, found.x))
    scale = np.sqrt(np.maximum(sums_by_level(codes, n_levels, Z**2), np.finfo(float).tiny))
    information = [np.linalg.eigvalsh(h / scale[:, :, None] / scale[:, None, :]) for h in (at_start, at_end)]
    usual = float(np.median(np.abs(information[0][:, -1])))
    least = np.where(seen, information[1][:, 0], information[1][:, -1])
    endless = least < RUN_OFF * usual
    reach = np.abs(found.x) * scale / np.sqrt(np.maximum(np.bincount(codes, minlength=n_levels), 1))[:, None]
    away = np.where(reach > FAR, np.where(found.x > 0, np.inf, -np.inf), np.nan)
    return np.asarray(np.where(endless[:, None], away, found.x))
