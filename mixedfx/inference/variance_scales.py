"""Estimates of the variance parameters with their asymptotic covariance, on the scales that users know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from mixedfx._arguments import checked_choice
from mixedfx._typing import Array
from mixedfx.fitting import Fit
from mixedfx.fitting.reported import covariance_entries

__all__ = ["RESIDUAL", "SCALES", "VarianceEstimates", "VarianceScaleName", "variance_estimates"]

VarianceScaleName: TypeAlias = Literal["variance", "sd", "theta"]

Label = tuple[str, str, str]
RESIDUAL = "Residual"


@dataclass(frozen=True)
class VarianceEstimates:
    """Parameters of the random part, of a residual structure, and the residual variance or its root as the last.

    Attributes
    ----------
    labels : tuple of (group, effect, other effect)
        The other effect is empty for variances and standard deviations.
    values : (r,)
        On the user's scale.
    covariance : (r, r)
        Nan for variances of zero, and for what depends on a parameter held at the end of its range.
    """

    labels: tuple[Label, ...]
    values: Array
    covariance: Array


@dataclass(frozen=True)
class _Labelled:
    """Numbers with labels, values (r,) and derivatives (r, k) in the parameters of the likelihood."""

    labels: list[Label]
    values: Array
    slopes: Array

    def followed_by(self, other: _Labelled) -> _Labelled:
        values, slopes = np.concatenate([self.values, other.values]), np.concatenate([self.slopes, other.slopes])
        return _Labelled([*self.labels, *other.labels], values, slopes)


def variance_estimates(fit: Fit, scale: VarianceScaleName) -> VarianceEstimates:
    """Return estimates and their covariance on one of the :data:`SCALES`.

    Parameters
    ----------
    fit : Fit
    scale : str
        ``"variance"``: variances and covariances; ``"sd"``: standard deviations and correlations; ``"theta"``: the
        covariance parameters (relative to sigma in a linear model) and sigma.

    Raises
    ------
    SpecificationError
        If there is no such scale.
    """
    terms = checked_choice("scale", scale, SCALES)(fit)
    numbers = terms.followed_by(_structure(fit)).followed_by(_residual(fit, scale))
    covariance, slopes = fit.phi_covariance, np.where(np.isnan(numbers.slopes), 0.0, numbers.slopes)
    held = np.isnan(covariance.diagonal())
    out = slopes @ np.where(np.isnan(covariance), 0.0, covariance) @ slopes.T
    unknown = np.isnan(numbers.slopes).any(axis=1) | slopes[:, held].any(axis=1)
    unknown |= (numbers.values == 0.0) & ~(out.diagonal() > 0)
    out[unknown] = np.nan
    out[:, unknown] = np.nan
    return VarianceEstimates(tuple(numbers.labels), numbers.values, out)


def _structure(fit: Fit) -> _Labelled:
    """The natural parameters of a residual structure."""
    bound, k = fit.residual, fit.likelihood.phi.size
    if bound is None:
        return _Labelled([], np.zeros(0), np.zeros((0, k)))
    slopes = np.zeros((bound.n_rho, k))
    start = fit.likelihood.theta.stop
    slopes[:, start : start + bound.n_rho] = bound.natural_derivative(fit.rho)
    return _Labelled([(RESIDUAL, name, "") for name in bound.names], bound.natural(fit.rho), slopes)


def _residual(fit: Fit, scale: str) -> _Labelled:
    """The residual variance, or its root."""
    likelihood = fit.likelihood
    slopes = np.zeros((1, likelihood.phi.size))
    if likelihood.log_variance is None:
        return _Labelled([], np.zeros(0), slopes[:0])
    variance = likelihood.residual_variance
    sigma = float(np.sqrt(variance))
    slopes[0, likelihood.log_variance] = variance if scale == "variance" else 0.5 * sigma
    label = (RESIDUAL, "sigma" if scale == "theta" else "", "")
    return _Labelled([label], np.array([variance if scale == "variance" else sigma]), slopes)


def _by_entry(
    fit: Fit, numbers: Callable[[Array, Array, Sequence[tuple[int, int]]], tuple[list[float], list[Array]]]
) -> _Labelled:
    """Numbers of each term's covariance (q, q) and its derivatives (k, q, q), for the entries that are parameters."""
    likelihood = fit.likelihood
    k, theta = likelihood.phi.size, likelihood.phi[likelihood.theta]
    unit = likelihood.residual_variance if likelihood.is_relative else 1.0
    labels: list[Label] = []
    values: list[float] = []
    slopes: list[Array] = []
    for term, basis, slot in zip(fit.design.random, fit.problem.terms, likelihood.terms, strict=True):
        inner = theta[slot.theta]
        moving = (slot.covariance.covariance(inner), slot.covariance.covariance_derivative(inner))
        matrix, derivative = (unit * basis.matrix @ part @ basis.matrix.T for part in moving)
        slope = np.zeros((k, *matrix.shape))
        slope[likelihood.theta][slot.theta] = derivative
        if likelihood.is_relative:
            slope[likelihood.log_variance] = matrix
        entries = covariance_entries(term)
        labels += [(term.group, term.variance_name(j), "" if i == j else term.variance_name(i)) for i, j in entries]
        more_values, more_slopes = numbers(matrix, slope, entries)
        values += more_values
        slopes += more_slopes
    return _Labelled(labels, np.array(values), np.array(slopes).reshape(len(values), k))


def _entries(matrix: Array, slope: Array, entries: Sequence[tuple[int, int]]) -> tuple[list[float], list[Array]]:
    return [float(matrix[i, j]) for i, j in entries], [slope[:, i, j] for i, j in entries]


def _deviations(matrix: Array, slope: Array, entries: Sequence[tuple[int, int]]) -> tuple[list[float], list[Array]]:
    """Standard deviations ``(i, i)`` and correlations ``(i, j)`` of a covariance, and their derivatives (k,)."""
    values: list[float] = []
    slopes: list[Array] = []
    sd = np.sqrt(matrix.diagonal())
    with np.errstate(divide="ignore", invalid="ignore"):  # a vanishing sd has no derivative: nan says so
        d_sd = np.einsum("kii->ki", slope) / (2.0 * sd)
        for i, j in entries:
            if i == j:
                values.append(float(sd[i]))
                slopes.append(d_sd[:, i])
                continue
            correlation = matrix[i, j] / (sd[i] * sd[j])
            values.append(float(correlation))
            slopes.append(slope[:, i, j] / (sd[i] * sd[j]) - correlation * (d_sd[:, i] / sd[i] + d_sd[:, j] / sd[j]))
    return values, slopes


def _on_theta(fit: Fit) -> _Labelled:
    likelihood = fit.likelihood
    slopes = np.zeros((fit.theta.size, likelihood.phi.size))
    slopes[:, likelihood.theta] = fit.theta_jacobian
    terms = fit.design.random
    labels: list[Label] = [(t.group, label, "") for t in terms for label in t.theta_labels]
    return _Labelled(labels, fit.theta, slopes)


#: Scales by name.
SCALES: dict[str, Callable[[Fit], _Labelled]] = {
    "variance": lambda fit: _by_entry(fit, _entries),
    "sd": lambda fit: _by_entry(fit, _deviations),
    "theta": _on_theta,
}
