"""Errors of the linear predictors of a generalised model: how they move with the parameters, and the random effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.matrices.new_rows import PredictedRows, linear_predictor_variance

__all__ = [
    "PredictorErrors",
    "known_covariance",
    "predictor_errors",
    "variance_slopes",
]

CHUNK_CELLS = 4_000_000  # numbers in one block of right-hand sides
THETA_STEP = 1e-5  # of the difference of the random effects' variance in theta


@dataclass(frozen=True)
class PredictorErrors:
    """What makes the first linear predictor ``x beta + z b`` of each row uncertain.

    Attributes
    ----------
    slopes : (n, k)
        Derivatives in all parameters on the inner scale, the modes of the random effects following.
    conditional : (n,)
        Variance of the included random effects around their modes, given the parameters.
    outside : (n,)
        Variance of the random effects that are not included, or whose level is unknown.
    """

    slopes: Array
    conditional: Array
    outside: Array


def known_covariance(fit: GeneralizedFit) -> Array:
    """Return the covariance (k, k) of all parameters on the inner scale, zero for what is held or has run to a limit.

    Fixed effects about which there is no information keep their nan.
    """
    covariance = fit.inner_covariance
    certain = np.isnan(covariance.diagonal())
    certain[: fit.problem.model.n_fixed] = False
    return np.where(certain | certain[:, None], 0.0, covariance)


def predictor_errors(fit: GeneralizedFit, rows: PredictedRows) -> PredictorErrors:
    """Return what makes the linear predictors of some rows uncertain.

    Notes
    -----
    The error of ``x beta + z b`` has variance ``z K z' + g V g'``: K is the conditional covariance of the random
    effects at their modes, V the covariance of all parameters ``(beta, theta, …)``, and ``g = (x, 0) + z B`` with B
    the derivative of the modes in the parameters (Kass & Steffey 1989, JASA 84, 717).
    """
    n, model = len(rows.x), fit.problem.model
    basis, state = fit.problem.bases[0].matrix, fit.at.state
    slopes, conditional = np.zeros((n, fit.x.size)), np.zeros(n)
    slopes[:, : model.n_fixed] = rows.x @ basis
    if any(mask.any() for mask in rows.chosen):
        size = max(1, CHUNK_CELLS // max(model.space.n_effects, 1))
        for start in range(0, n, size):
            at = slice(start, start + size)
            side = _sides(fit, rows, at)
            inside, _ = model.space.solve(state.factor, side)
            conditional[at] = np.einsum("qi,qi->i", side, inside)
            slopes[at] += side.T @ state.movement[0]
    outside = rows.outside(fit.problem.design.random, fit.problem.covariances(fit.x))
    return PredictorErrors(slopes, np.maximum(conditional, 0.0), outside)


def variance_slopes(fit: GeneralizedFit, integrated: Sequence[BoolArray], data: Any) -> Array:
    """Return the derivative (n, k) of the variance of the integrated terms in all parameters on the inner scale."""
    problem, own = fit.problem, fit.problem.theta_slice
    columns = []
    for step in THETA_STEP * np.eye(fit.x.size)[own]:
        high, low = (
            linear_predictor_variance(problem.design, problem.covariances(x), integrated, data)
            for x in (fit.x + step, fit.x - step)
        )
        columns.append((high - low) / (2.0 * THETA_STEP))
    inner = np.stack(columns, axis=1)
    return np.pad(inner, [(0, 0), (own.start, fit.x.size - own.stop)])


def _sides(fit: GeneralizedFit, rows: PredictedRows, at: slice) -> Array:
    """Coefficients (q, c) of the inner effects in the linear predictors of some rows."""
    problem, space = fit.problem, fit.problem.model.space
    count = len(rows.x[at])
    out = np.zeros((space.n_effects, count))
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
