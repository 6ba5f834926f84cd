"""Integrals side by side, and why the joint mode is not interesting: questions to a generalised fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.criterion.importance import LARGEST_DIMENSION as MOST_EFFECTS
from mixedfx.criterion.importance import importance_estimate
from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.criterion.mode import find_joint_mode, mode_state
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.fitting.integrators import LARGEST_DIMENSION, integrator, largest_order

if TYPE_CHECKING:
    from mixedfx._typing import Array

__all__ = ["compare_integrators", "joint_map_path"]

ORDERS = (3, 7, 15, 31, 63)
SCALES = (2.0, 1.0, 0.5, 0.2, 0.1, 0.01, 0.001)
FEWEST_DRAWS = 100
RANK = 1e-8  # singular value of a covariance's factor, relative to the largest, that counts as zero


def compare_integrators(fit: GeneralizedFit, draws: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Evaluate the log-likelihood at the estimate by every method that applies.

    Parameters
    ----------
    fit : GeneralizedFit
    draws : int
        Draws of importance sampling, at least 100.
    seed : int

    Returns
    -------
    DataFrame
        One row a method; columns ``llf, standard_error, pareto_k, difference``: the Monte Carlo error and tail shape of
        importance sampling, and the distance to the most accurate method of the table. Where there is quadrature,
        importance sampling is left out for more than 4000 random effects.
    """
    if draws < FEWEST_DRAWS:
        raise SpecificationError(f"importance sampling needs at least {FEWEST_DRAWS} draws; found draws={draws}")
    problem, state = fit.problem, fit.at.state
    rows: dict[str, tuple[float, float, float]] = {}
    rows["Laplace"] = (-0.5 * LaplaceEvaluation(state).value, 0.0, np.nan)
    layout = problem.assembly.rows.layout
    if layout.n_factors == 1 and not problem.assembly.rows.loadings and layout.sizes[0] <= LARGEST_DIMENSION:
        for order in (k for k in ORDERS if k <= largest_order(layout.sizes[0])):
            rows[f"quadrature, {order} nodes"] = (-0.5 * integrator(problem, order)(state).value, 0.0, np.nan)
    penalty = 0.5 * problem.model.penalty.value(state.parts.beta)
    if len(rows) == 1 or problem.model.space.n_effects <= MOST_EFFECTS:
        sampled = importance_estimate(state, draws, seed)
        rows["importance sampling"] = (sampled.llf - penalty, sampled.standard_error, sampled.pareto_shape)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["llf", "standard_error", "pareto_k"])
    table["llf"] += penalty
    exact = [name for name in table.index if name.startswith("quadrature")]
    best = exact[-1] if exact else table.index[-1]
    table["difference"] = table["llf"] - table.loc[best, "llf"]
    return table


def joint_map_path(fit: GeneralizedFit, scales: tuple[float, ...] = SCALES) -> pd.DataFrame:
    """Follow the joint mode of fixed and random effects while all their standard deviations are scaled down.

    The joint log-density grows without bound as the standard deviations shrink, while the marginal log-likelihood has
    its maximum at the estimate: maximising jointly is no way to estimate a variance. Directions in which the random
    effects do not vary at the estimate (a singular fit) are left out of the density.

    Parameters
    ----------
    fit : GeneralizedFit
    scales : tuple of float
        Factors on the estimated standard deviations.

    Returns
    -------
    DataFrame
        Indexed by scale; columns ``joint`` (log density of data and random effects at their joint mode) and
        ``marginal`` (Laplace log-likelihood at the same fixed effects).
    """
    model, state = fit.problem.model, fit.at.state
    rows = []
    start = (state.parts.beta, state.mode.b)
    parts = [_log_volume(T) for T in state.factors]
    levels = model.space.rows.layout.levels
    dimension = sum(m * rank for m, (rank, _) in zip(levels, parts, strict=True))
    volume = sum(m * log_det for m, (_, log_det) in zip(levels, parts, strict=True))

    def quadratic(eta: Array) -> tuple[Array, Array, Array]:
        return model.likelihood.quadratic(eta, state.auxiliary)

    for scale in scales:
        factors = [scale * T for T in state.factors]
        mode = find_joint_mode(model.space, quadratic, model.X, model.offset, factors, start)
        log_det = volume + 2.0 * dimension * np.log(scale)
        value = float(model.likelihood.value(mode.eta, state.auxiliary).sum())
        joint = value - 0.5 * float(mode.t @ mode.b) - 0.5 * (log_det + dimension * np.log(2.0 * np.pi))
        rows.append((joint, _laplace_value(fit, scale, mode.beta)))
        start = (mode.beta, mode.b)
    index = pd.Index(scales, name="scale")
    return pd.DataFrame(rows, index=index, columns=["joint", "marginal"])


def _log_volume(factor: Array) -> tuple[int, float]:
    """Return rank and log-determinant of a covariance ``T T'`` in the directions that vary at all."""
    values = np.linalg.svd(factor, compute_uv=False)
    values = values[values > RANK * values.max(initial=0.0)]
    return values.size, 2.0 * float(np.log(values).sum())


def _laplace_value(fit: GeneralizedFit, scale: float, beta: Array) -> float:
    """Log-likelihood with all standard deviations scaled."""
    model = fit.problem.model
    x = fit.x.copy()
    x[: model.n_fixed] = beta
    for slot in model.covariance.terms:
        own = slice(model.theta_slice.start + slot.theta.start, model.theta_slice.start + slot.theta.stop)
        x[own] = slot.covariance.rescale(x[own], np.full(slot.covariance.size, scale))
    return -0.5 * LaplaceEvaluation(mode_state(model, x)).value
