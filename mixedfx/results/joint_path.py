"""The joint maximum of fixed and random effects of a linear mixed model, as their standard deviations shrink."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import plain_numbers
from mixedfx._typing import Array
from mixedfx.criterion.linear_problem import linear_problem
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting.linear import LinearFit

__all__ = ["SCALES", "checked_scales", "joint_frame_of", "linear_joint_path", "log_volume"]

SCALES = (2.0, 1.0, 0.5, 0.2, 0.1, 0.01, 0.001)
FARTHEST = 1e30
RANK = 1e-8  # singular value of a covariance's factor, relative to the largest, that counts as zero


def checked_scales(scales: Any) -> tuple[float, ...]:
    """Return factors on the standard deviations of the random effects: positive numbers.

    Raises
    ------
    SpecificationError
        If one is not.
    """
    values = np.atleast_1d(plain_numbers("scales", scales))
    if values.ndim != 1 or not values.size or not np.all((values > 1.0 / FARTHEST) & (values < FARTHEST)):
        raise SpecificationError(
            f"scales are positive numbers, factors on the standard deviations of the random effects; found {scales!r}"
        )
    return tuple(map(float, values))


def log_volume(factor: Array) -> tuple[int, float]:
    """Return rank and log-determinant of a covariance ``T T'`` in the directions that vary at all."""
    values = np.linalg.svd(factor, compute_uv=False)
    values = values[values > RANK * values.max(initial=0.0)]
    return values.size, 2.0 * float(np.log(values).sum())


def joint_frame_of(rows: Sequence[tuple[float, float]], scales: Sequence[float]) -> pd.DataFrame:
    """Return the table of ``joint`` and ``marginal`` by scale."""
    return pd.DataFrame(list(rows), index=pd.Index(scales, name="scale"), columns=["joint", "marginal"])


def linear_joint_path(fit: LinearFit, scales: Sequence[float]) -> pd.DataFrame:
    """Follow the joint mode of fixed and random effects while all their standard deviations are scaled.

    Parameters
    ----------
    fit : LinearFit
    scales : sequence of float
        Factors on the estimated standard deviations.

    Returns
    -------
    DataFrame
        Indexed by scale; ``joint``: log density of data and random effects at their joint mode, the residual variance
        held at its estimate; ``marginal``: log-likelihood at the same fixed effects. nan where rounding hides both.

    Notes
    -----
    The joint mode of a Gaussian model solves Henderson's equations, so that both values differ by the volume of the
    integral alone: ``log|Z'WZ + G^-1| / 2`` and constants.
    """
    problem = linear_problem(
        fit.design, reml=False, sigma=fit.sigma, residual=fit.residual, most_exact=fit.problem.most_exact
    )
    volumes = [
        _volume(term.loading, root, term.n_levels) for term, root in zip(fit.design.random, fit.roots, strict=True)
    ]
    dimension = sum(size for size, _ in volumes)
    volume = sum(log_det for _, log_det in volumes)
    rows = []
    for scale in scales:
        theta = fit.theta.copy()
        for slot in problem.covariance.terms:
            theta[slot.theta] = slot.covariance.rescale(theta[slot.theta], np.full(slot.covariance.size, scale))
        try:
            at: Any = problem.evaluate(problem.to_inner(np.append(theta, fit.rho)))
            marginal = -0.5 * float(at.value)
        except FloatingPointError:  # residuals that vanish beside the responses
            rows.append((np.nan, np.nan))
            continue
        relative = volume + dimension * (2.0 * np.log(scale) - np.log(fit.scale))  # log|G / sigma**2|
        integral = float(at.linear.factor.logdet) - relative - dimension * np.log(2.0 * np.pi * fit.scale)
        rows.append((marginal + 0.5 * integral, marginal))
    return joint_frame_of(rows, scales)


def _volume(loading: Array | None, root: Array, levels: int) -> tuple[int, float]:
    """Rank and log-determinant of the covariance of all effects of a term."""
    rank, log_det = log_volume(root)
    if loading is None:
        return levels * rank, levels * log_det
    own, between = log_volume(loading)
    return own * rank, own * log_det + rank * between
