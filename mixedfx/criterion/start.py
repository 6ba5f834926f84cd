"""Where to begin: a generalised linear model for the fixed effects, moments of its scores for the variances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixedfx._typing import AnyArray, Array
from mixedfx.covariance.base import Covariance
from mixedfx.linalg.gram import cross_products

if TYPE_CHECKING:
    from mixedfx.criterion.generalized_problem import GeneralizedProblem
    from mixedfx.criterion.marginal import MarginalModel

__all__ = [
    "GAINED",
    "HALVINGS",
    "RIDGE",
    "SWEEPS",
    "expected_weights",
    "member_shift",
    "response_unit",
    "row_variance",
    "start_phi",
    "starting_values",
    "theta_of_moments",
]

SWEEPS = 5  # of iteratively re-weighted least squares
GAINED = 0.5  # of the log-likelihood by a step: less is left to the joint search
HALVINGS = 6  # of a step that loses ground
SMALLEST_SD, LARGEST_SD = 0.2, 3.0  # of the random effects to begin with, on the inner scale, in units of response_unit
ATTENUATION = {"logit": 0.346, "probit": 1.0}
LARGEST_ATTENUATION = 4.0
FIRST_ORDER = 1.0  # variances up to here are small
MEASURED = ("identity", "inverse", "inverse_squared", "sqrt")  # links with a linear predictor in units of the response
LARGEST_SHIFT = 2.0  # of the linear predictor, from the population's mean to that of a member, where it has no unit …
LARGEST_SHARE = 0.5  # … and of its own size where it has one
RIDGE = 1e-8  # relative, for columns that separate the response


def starting_values(problem: GeneralizedProblem) -> Array:
    """Return parameters ``x`` on the inner scale."""
    model = problem.model
    eta = problem.family.start_eta(problem.shifted_response)
    predictors = [eta] if eta.ndim == 1 else [eta[:, k] for k in range(eta.shape[1])]
    extra = [
        np.linalg.lstsq(a.matrix, predictors[k + 1] + problem.log_weight(c.name), rcond=None)[0]
        for k, (a, c) in enumerate(zip(model.auxiliaries, problem.components, strict=False))
    ]
    extra.append(start_phi(problem))
    auxiliary = model.auxiliary_values(np.concatenate(extra))
    beta = _generalized_linear(model, predictors[0], auxiliary)
    theta = _moments(model, model.fixed_part(beta), auxiliary)
    return np.concatenate([_conditional(problem, beta, theta), theta, *extra])


def start_phi(problem: GeneralizedProblem) -> Array:
    """Return the family-wide parameters to start from: the dispersion is that of a row of weight 1."""
    return problem.family.start_phi(problem.shifted_response) + problem.phi_log_weights


def _conditional(problem: GeneralizedProblem, beta: Array, theta: Array) -> Array:
    """Turn coefficients of the population's mean into those of its members."""
    model = problem.model
    if model.n_fixed == 0:
        return beta
    variance = row_variance(model, theta)
    shift = member_shift(model, beta, variance, float(variance.mean()))
    return np.asarray(beta + np.linalg.lstsq(model.X, shift, rcond=None)[0])


def member_shift(model: MarginalModel, beta: Array, variance: Array, typical: float) -> Array:
    """Return by how much the linear predictor (n,) of a member differs from that of the population's mean.

    ``E mean(eta + z'b) = mean(eta) + mean''(eta) Var(z'b) / 2``, so that eta must move by ``-mean''/mean' Var / 2``;
    large variances stretch eta by ``sqrt(1 + c Var)`` where :data:`ATTENUATION` has c.
    """
    link, eta = model.likelihood.family.mean_link, model.fixed_part(beta)
    if link.name in ATTENUATION and typical > FIRST_ORDER:
        shift = (np.sqrt(1.0 + ATTENUATION[link.name] * variance) - 1.0) * eta
    else:
        with np.errstate(all="ignore"):  # a link that is left, or a mean without a slope, moves nothing
            _, slope, bend = (0.0 if part is None else part for part in link.inverse(eta, 2))
            shift = -0.5 * np.nan_to_num(np.divide(bend, slope), posinf=0.0, neginf=0.0) * variance
        most = LARGEST_SHARE * np.abs(eta) if link.name in MEASURED else LARGEST_SHIFT
        shift = np.clip(shift, -most, most) + np.zeros(len(eta))
    return np.asarray(shift)


def row_variance(model: MarginalModel, theta: Array) -> Array:
    """Variance (n,) of the random part of the linear predictor."""
    total = np.zeros(model.X.shape[0])
    for factor, z in zip(model.covariance.factors(theta), model.space.rows.z, strict=True):
        total += np.square(np.stack(list(z), axis=1) @ factor).sum(axis=1)
    return total


def expected_weights(model: MarginalModel, eta: Array, auxiliary: list[Array]) -> Array:
    """Return Fisher's expected information (n,) about the linear predictor of every row."""
    likelihood = model.likelihood
    return likelihood.family.expected_weights(likelihood.observed, *likelihood.arguments(eta, auxiliary))


def _generalized_linear(model: MarginalModel, eta: Array, auxiliary: list[Array]) -> Array:
    """Coefficients of the model without random effects: Fisher scoring from a constant, halved until it gains."""
    if model.n_fixed == 0:
        return np.zeros(0)
    point = _point(model, np.linalg.lstsq(model.X, float(eta.mean()) - model.offset, rcond=None)[0], auxiliary)
    if not np.isfinite(point.value):
        point = _point(model, np.linalg.lstsq(model.X, eta - model.offset, rcond=None)[0], auxiliary)
    for _ in range(SWEEPS):
        better = _improved(model, point, auxiliary)
        if better is None:
            break
        gained, point = better.value - point.value, better
        if gained < GAINED:
            break
    return point.beta


@dataclass(frozen=True)
class _Point:
    beta: Array
    eta: Array
    value: float
    gradient: Array
    weight: Array


def _point(model: MarginalModel, beta: AnyArray, auxiliary: list[Array]) -> _Point:
    eta = model.fixed_part(beta)
    value, gradient, weight = model.likelihood.quadratic(eta, auxiliary)
    return _Point(np.asarray(beta, dtype=float), eta, float(value.sum()), gradient, weight)


def _improved(model: MarginalModel, point: _Point, auxiliary: list[Array]) -> _Point | None:
    """One step of scoring, with the observed weights where they are positive; None if nothing is gained."""
    positive = bool(np.all(point.weight > 0))
    weighted = model.X * (point.weight if positive else expected_weights(model, point.eta, auxiliary))[:, None]
    information = model.X.T @ weighted
    information.flat[:: model.n_fixed + 1] += RIDGE * (float(np.trace(information)) + 1.0) / model.n_fixed
    step = np.linalg.solve(information, model.X.T @ point.gradient)
    for halving in range(HALVINGS):
        trial = _point(model, point.beta + 0.5**halving * step, auxiliary)
        if np.isfinite(trial.value) and (trial.value > point.value or not np.isfinite(point.value)):
            return trial
    return None


def _moments(model: MarginalModel, eta: Array, auxiliary: list[Array]) -> Array:
    """Variances from the spread of the scores: ``E |Z_i' g|^2 = tr Z_i' W Z_i + sum_j |Z_i' W Z_j|^2 variance_j``."""
    if not model.covariance.terms:
        return np.zeros(0)
    _, gradient, _ = model.likelihood.quadratic(eta, auxiliary)
    weight = expected_weights(model, eta, auxiliary)
    expected = np.array([weight @ np.square(z) for covariates in model.space.rows.z for z in covariates])
    shared = cross_products(model.space.rows, weight).squared_norms()
    sides = model.space.collect(gradient[:, None])[:, 0]
    squares = np.array([float(np.mean(np.square(z))) for covariates in model.space.rows.z for z in covariates])
    return theta_of_moments(model, sides, expected, shared, squares, response_unit(model, eta, auxiliary))


def theta_of_moments(
    model: MarginalModel, sides: Array, expected: Array, shared: Array, squares: Array, unit: float
) -> Array:
    """Return the covariance parameters whose moments are those of the scores.

    Parameters
    ----------
    model : MarginalModel
    sides : (q,)
        ``Z'g``.
    expected : (k,)
        ``tr Z_i' W Z_i`` of every coefficient.
    shared : (k, k)
        ``|Z_i' W Z_j|^2``.
    squares : (k,)
        Mean squares of the covariates.
    unit : float
        Of standard deviations.
    """
    scores = model.space.split(sides)
    spread = np.concatenate([np.square(s).sum(axis=1) for s in scores])
    variances = np.linalg.lstsq(shared, spread - expected, rcond=None)[0]
    variances = variances * _attenuation(model, np.maximum(variances, 0.0), squares)
    sds = unit * np.sqrt(np.clip(variances / unit**2, SMALLEST_SD**2, LARGEST_SD**2))
    by_factor = np.split(sds, np.cumsum(model.covariance.sizes)[:-1])
    return np.concatenate(
        [_scaled(slot.covariance, by_factor[slot.factor][slot.coefficients]) for slot in model.covariance.terms]
    )


def _attenuation(model: MarginalModel, variances: Array, squares: Array) -> float:
    """How many times larger the variances of members are than those seen from the population.

    There ``V`` looks like ``V / (1 + c V)`` (Zeger, Liang & Albert 1988, Biometrics 44, 1049).
    """
    c = ATTENUATION.get(model.likelihood.family.mean_link.name, 0.0)
    return min(1.0 / max(1.0 - c * float(variances @ squares), 1e-9), LARGEST_ATTENUATION)


def response_unit(model: MarginalModel, eta: Array, auxiliary: list[Array]) -> float:
    """Standard deviation of a row where the linear predictor is in units of the response; else 1."""
    if model.likelihood.family.mean_link.name not in MEASURED:
        return 1.0
    information = float(np.mean(expected_weights(model, eta, auxiliary)))
    return information**-0.5 if 0.0 < information < np.inf else 1.0


def _scaled(covariance: Covariance, sds: Array) -> Array:
    """Parameters of independent effects with these standard deviations, as far as the structure allows."""
    scale = sds if covariance.closed_under_scaling() else np.full(sds.size, float(np.sqrt(np.mean(sds**2))))
    return covariance.rescale(covariance.start(), scale)
