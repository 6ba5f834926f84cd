"""Estimates of the variance parameters with their asymptotic covariance, on the scales that users know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.covariance.linear import DiagonalCovariance, HomogeneousDiagonalCovariance, UnstructuredCovariance
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.satterthwaite import VarianceParameters
from mixedfx.matrices import RandomEffects

__all__ = ["RESIDUAL", "SCALES", "Label", "VarianceEstimates", "covariance_entries", "deviations", "variance_estimates"]

Label = tuple[str, str, str]
RESIDUAL = "Residual"


@dataclass(frozen=True)
class VarianceEstimates:
    """Parameters of the random part and the residual, the residual last.

    Attributes
    ----------
    labels : tuple of (group, effect, other effect)
        The other effect is empty for variances and standard deviations.
    values : (r,)
    covariance : (r, r)
    """

    labels: tuple[Label, ...]
    values: Array
    covariance: Array


def variance_estimates(
    parameters: VarianceParameters, scale: str, *, with_structure: bool = False
) -> VarianceEstimates:
    """Return estimates and their covariance on one of the :data:`SCALES`.

    Parameters
    ----------
    parameters : VarianceParameters
    scale : str
        ``"variance"``: variances and covariances; ``"sd"``: standard deviations and correlations; ``"theta"``: the
        relative factor and sigma.
    with_structure : bool
        Whether the natural parameters of a residual structure are wanted too, before the residual itself.

    Raises
    ------
    SpecificationError
        If there is no such scale.
    """
    if scale not in SCALES:
        raise SpecificationError(f"scale is one of {', '.join(map(repr, SCALES))}; found {scale!r}")
    labels, values, jacobian = SCALES[scale](parameters)
    if with_structure:
        labels, values, jacobian = _inserted(parameters, labels, values, jacobian)
    return VarianceEstimates(tuple(labels), values, jacobian @ parameters.covariance @ jacobian.T)


def _inserted(
    parameters: VarianceParameters, labels: list[Label], values: Array, jacobian: Array
) -> tuple[list[Label], Array, Array]:
    """Put the natural parameters of the residual structure before the last entry."""
    bound, fit = parameters.fit.problem.residual, parameters.fit
    if bound is None:
        return labels, values, jacobian
    rows = np.zeros((bound.n_rho, jacobian.shape[1]))
    rows[:, fit.inner_theta.size : -1] = bound.natural_derivative(fit.rho)
    own: list[Label] = [(RESIDUAL, name, "") for name in bound.names]
    return (
        [*labels[:-1], *own, labels[-1]],
        np.concatenate([values[:-1], bound.natural(fit.rho), values[-1:]]),
        np.concatenate([jacobian[:-1], rows, jacobian[-1:]]),
    )


@dataclass(frozen=True)
class _Moving:
    """Covariance matrices of the terms on the user's scale, and their derivatives by ``(theta, log sigma^2)``."""

    matrices: list[Array]
    slopes: list[Array]  # (k + 1, q, q) of every term
    sigma2: float


def _covariances(parameters: VarianceParameters) -> _Moving:
    fit = parameters.fit
    sigma2 = fit.at.sigma2 * fit.problem.basis.scale**2
    matrices, slopes = [], []
    for basis, slot in zip(fit.problem.terms, fit.problem.covariance.terms, strict=True):
        own = fit.inner_theta[slot.theta]
        matrix = sigma2 * basis.matrix @ slot.covariance.covariance(own) @ basis.matrix.T
        slope = np.zeros((len(parameters.covariance), *matrix.shape))
        inner = slot.covariance.covariance_derivative(own)
        slope[slot.theta] = sigma2 * basis.matrix @ inner @ basis.matrix.T
        slope[-1] = matrix
        matrices.append(matrix)
        slopes.append(slope)
    return _Moving(matrices, slopes, sigma2)


def covariance_entries(term: RandomEffects) -> list[tuple[int, int]]:
    """Return the entries of a term's covariance that are parameters: the lower triangle by column, or the diagonal."""
    q = term.n_columns
    if isinstance(term.covariance, DiagonalCovariance | HomogeneousDiagonalCovariance):
        return [(i, i) for i in range(q)]
    return [(i, j) for j in range(q) for i in range(j, q)]


def _entries(parameters: VarianceParameters, k: int) -> list[tuple[int, int]]:
    return covariance_entries(parameters.fit.problem.design.random[k])


def _labelled(parameters: VarianceParameters) -> list[Label]:
    out = []
    for k, term in enumerate(parameters.fit.problem.design.random):
        out += [(term.group, term.names[j], "" if i == j else term.names[i]) for i, j in _entries(parameters, k)]
    return [*out, (RESIDUAL, "", "")]


def _on_variances(parameters: VarianceParameters) -> tuple[list[Label], Array, Array]:
    moving = _covariances(parameters)
    values, rows = [], []
    for k, (matrix, slope) in enumerate(zip(moving.matrices, moving.slopes, strict=True)):
        for i, j in _entries(parameters, k):
            values.append(matrix[i, j])
            rows.append(slope[:, i, j])
    return _with_residual(parameters, values, rows, moving.sigma2, moving.sigma2)


def _on_deviations(parameters: VarianceParameters) -> tuple[list[Label], Array, Array]:
    moving = _covariances(parameters)
    values: list[float] = []
    rows: list[Array] = []
    for k, (matrix, slope) in enumerate(zip(moving.matrices, moving.slopes, strict=True)):
        found, own = deviations(matrix, slope, _entries(parameters, k))
        values += found
        rows += own
    sigma = float(np.sqrt(moving.sigma2))
    return _with_residual(parameters, values, rows, sigma, 0.5 * sigma)


def deviations(matrix: Array, slope: Array, entries: Sequence[tuple[int, int]]) -> tuple[list[float], list[Array]]:
    """Return standard deviations ``(i, i)`` and correlations ``(i, j)`` of a covariance, and their derivatives (k,).

    Parameters
    ----------
    matrix : (q, q)
        The covariance.
    slope : (k, q, q)
        Its derivatives.
    entries : sequence of pairs
    """
    values: list[float] = []
    rows: list[Array] = []
    sd = np.sqrt(matrix.diagonal())
    with np.errstate(divide="ignore", invalid="ignore"):  # a vanishing sd has no derivative: nan says so
        d_sd = np.einsum("kii->ki", slope) / (2.0 * sd)
        for i, j in entries:
            if i == j:
                values.append(float(sd[i]))
                rows.append(d_sd[:, i])
                continue
            correlation = matrix[i, j] / (sd[i] * sd[j])
            values.append(float(correlation))
            rows.append(slope[:, i, j] / (sd[i] * sd[j]) - correlation * (d_sd[:, i] / sd[i] + d_sd[:, j] / sd[j]))
    return values, rows


def _with_residual(
    parameters: VarianceParameters, values: Sequence[float], rows: Sequence[Array], value: float, slope: float
) -> tuple[list[Label], Array, Array]:
    last = np.zeros(len(parameters.covariance))
    last[-1] = slope
    return _labelled(parameters), np.array([*values, value]), np.stack([*rows, last])


def _on_theta(parameters: VarianceParameters) -> tuple[list[Label], Array, Array]:
    fit = parameters.fit
    jacobian = np.zeros((fit.inner_theta.size + 1, len(parameters.covariance)))
    labels: list[Label] = []
    for term, basis, slot in zip(
        fit.problem.design.random, fit.problem.terms, fit.problem.covariance.terms, strict=True
    ):
        own = fit.inner_theta[slot.theta]
        if basis.diagonal is None:
            jacobian[slot.theta, slot.theta] = _triangular_jacobian(basis.matrix, slot.covariance, own)
        else:
            shifts = own + np.eye(own.size)
            jacobian[slot.theta, slot.theta] = (
                np.stack([slot.covariance.rescale(shift, basis.diagonal) for shift in shifts], axis=1)
                - basis.to_user(own)[:, None]
            )
        labels += [(term.group, label, "") for label in term.covariance.labels(list(term.names))]
    sigma = float(np.sqrt(fit.at.sigma2)) * fit.problem.basis.scale
    jacobian[-1, -1] = 0.5 * sigma
    values = np.append(fit.theta, sigma)
    return [*labels, (RESIDUAL, "sigma", "")], values, jacobian


def _triangular_jacobian(matrix: Array, covariance: object, theta: Array) -> Array:
    """Derivatives (k, k) of the lower triangle of ``matrix @ T(theta)``, made lower triangular again by a rotation."""
    assert isinstance(covariance, UnstructuredCovariance)
    T = covariance.factor(covariance.parameters(matrix @ covariance.factor(theta)))
    if np.abs(T.diagonal()).min() == 0:
        return np.full((theta.size, theta.size), np.nan)
    slopes = matrix @ covariance.covariance_derivative(theta) @ matrix.T
    inverse = np.linalg.inv(T)
    middle = np.tril(inverse @ slopes @ inverse.T)
    middle[:, np.arange(len(T)), np.arange(len(T))] *= 0.5
    columns, rows = np.triu_indices(len(T))
    return np.asarray((T @ middle)[:, rows, columns].T)


Scaled = tuple[list[Label], Array, Array]

#: Scales by name.
SCALES: dict[str, Callable[[VarianceParameters], Scaled]] = {
    "variance": _on_variances,
    "sd": _on_deviations,
    "theta": _on_theta,
}
