"""Estimates of the variance parameters of a generalised model with their asymptotic covariance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.inference.variance_scales import RESIDUAL, Label, VarianceEstimates, covariance_entries, deviations

__all__ = ["generalized_variance_estimates"]


def generalized_variance_estimates(fit: GeneralizedFit, scale: str) -> VarianceEstimates:
    """Return estimates and their covariance on the scale ``"variance"``, ``"sd"`` or ``"theta"``.

    Where the family has a dispersion that is a residual variance, it stands last. A parameter that depends on one held
    at the end of its range has no covariance: nan.

    Raises
    ------
    SpecificationError
        If there is no such scale.
    """
    if scale not in SCALES:
        raise SpecificationError(f"scale is one of {', '.join(map(repr, SCALES))}; found {scale!r}")
    labels, values, jacobian = SCALES[scale](fit)
    dispersion = _dispersion(fit)
    if dispersion is not None:
        place, sigma = dispersion
        last = np.zeros(jacobian.shape[1])
        last[place] = sigma**2 if scale == "variance" else 0.5 * sigma
        labels = [*labels, (RESIDUAL, "sigma" if scale == "theta" else "", "")]
        values = np.append(values, sigma**2 if scale == "variance" else sigma)
        jacobian = np.vstack([jacobian, last])
    covariance = fit.covariance
    held = np.isnan(covariance.diagonal())
    known = np.where(np.isnan(covariance), 0.0, covariance)
    steady = np.where(np.isnan(jacobian), 0.0, jacobian)
    out = steady @ known @ steady.T
    unknown = np.isnan(jacobian).any(axis=1) | (np.abs(steady[:, held]).sum(axis=1) > 0)
    unknown |= ~(out.diagonal() > 0)
    out[unknown] = np.nan
    out[:, unknown] = np.nan
    return VarianceEstimates(tuple(labels), values, out)


def _dispersion(fit: GeneralizedFit) -> tuple[int, float] | None:
    """Return the position of the logarithm of the dispersion among all parameters, and sigma."""
    family = fit.problem.family
    if not family.precision_weights or "dispersion" not in family.phi_names:
        return None
    place = fit.problem.n_parameters - len(family.phi_names) + family.phi_names.index("dispersion")
    return place, float(np.exp(0.5 * fit.x[place]))


Scaled = tuple[list[Label], Array, Array]


def _on_entries(fit: GeneralizedFit, *, roots: bool) -> Scaled:
    problem = fit.problem
    at = problem.theta_slice
    theta = problem.to_user(fit.x)[at]
    labels: list[Label] = []
    values: list[float] = []
    rows: list[Array] = []
    start = 0
    for term in problem.design.random:
        own = slice(start, start + term.covariance.n_theta)
        start = own.stop
        matrix = term.covariance.covariance(theta[own])
        inner = term.covariance.covariance_derivative(theta[own])
        slope = np.zeros((problem.n_parameters, *matrix.shape))
        slope[at.start + own.start : at.start + own.stop] = inner
        entries = covariance_entries(term)
        labels += [(term.group, term.names[j], "" if i == j else term.names[i]) for i, j in entries]
        if roots:
            found, derivatives = deviations(matrix, slope, entries)
        else:
            found, derivatives = [float(matrix[i, j]) for i, j in entries], [slope[:, i, j] for i, j in entries]
        values += found
        rows += derivatives
    return labels, np.array(values), np.array(rows).reshape(len(values), problem.n_parameters)


def _on_theta(fit: GeneralizedFit) -> Scaled:
    problem = fit.problem
    at = problem.theta_slice
    labels = [
        (term.group, label, "") for term in problem.design.random for label in term.covariance.labels(list(term.names))
    ]
    return labels, problem.to_user(fit.x)[at], np.eye(problem.n_parameters)[at]


#: Scales by name.
SCALES: dict[str, Callable[[GeneralizedFit], Scaled]] = {
    "variance": lambda fit: _on_entries(fit, roots=False),
    "sd": lambda fit: _on_entries(fit, roots=True),
    "theta": _on_theta,
}
