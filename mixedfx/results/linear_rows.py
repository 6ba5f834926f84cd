"""Residuals of the rows of a linear model, old or new: their variances, and draws of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfx._typing import Array
from mixedfx.fitting import LinearFit
from mixedfx.matrices.frame import Frame, as_frame, used_columns
from mixedfx.matrices.new_rows import row_weights

__all__ = ["drawn_residuals", "residual_variances"]


def residual_variances(fit: LinearFit, data: Any = None, weights: Any = None) -> tuple[Array, tuple[str, ...]]:
    """Return the variance (n,) of the residual of every row, and what is unknown or assumed, in words.

    It is sigma squared, divided by the weight, times what the residual structure says of the row: infinite where the
    weight is zero, nan where the data do not tell it.
    """
    design, bound = fit.problem.design, fit.problem.residual
    prior = row_weights(design, data, weights)
    n = design.n_rows if data is None else len(as_frame(data))
    out = np.full(n, float(fit.at.sigma2 * fit.problem.basis.scale**2))
    if prior.values is not None:
        positive = ~(prior.values <= 0)  # a missing weight gives a missing variance
        out = np.divide(out, prior.values, out=np.full(n, np.inf), where=positive)
    notes = () if prior.note is None else (prior.note,)
    if bound is None or not bound.variance_columns:  # one variance for all rows
        return out, notes
    if data is None:
        return out * bound.relative_variances(fit.rho), notes
    relative, note = _new_relative(fit, as_frame(data))
    return out * relative, notes if note is None else (*notes, note)


def _new_relative(fit: LinearFit, frame: Frame) -> tuple[Array, str | None]:
    """Return what the residual structure says of new rows, and what it cannot say."""
    bound = fit.problem.residual
    assert bound is not None
    absent = [name for name in bound.variance_columns if name not in frame]
    if absent:
        listed = ", ".join(map(repr, absent))
        note = f"The limits of an observation need the column {listed} of the residual structure: the rows lack it."
        return np.full(len(frame), np.nan), note
    columns = used_columns(frame, bound.variance_columns, None)
    found = bound.relative_variances_at(fit.rho, columns)
    unknown = int(np.sum(np.isnan(found) & ~columns.isna().any(axis=1).to_numpy()))
    if not unknown:
        return found, None
    listed = ", ".join(map(repr, bound.variance_columns))
    return found, (
        f"{unknown} row(s) have levels of {listed} whose residual variance the fit does not know: the limits of an "
        "observation are nan there."
    )


def drawn_residuals(fit: LinearFit, noise: Array, data: Any, names: list[str], weights: Any) -> Array:
    """Return standard normal ``noise`` (n, k) with the covariance of the residuals; nan where it is not known.

    Parameters
    ----------
    fit : LinearFit
    noise : (n, k)
    data : data frame or None
        New rows; the fitted ones if None.
    names : list of str
        Columns of the residual structure.
    weights : str or array, optional
    """
    design, bound = fit.problem.design, fit.problem.residual
    prior = row_weights(design, data, weights).values
    sigma = float(np.sqrt(fit.at.sigma2)) * fit.problem.basis.scale
    shaped = noise
    if bound is not None and data is None:
        shaped = bound.unwhiten(fit.rho, noise)
    elif bound is not None:
        shaped = _newly_shaped(fit, noise, as_frame(data), names)
    if prior is None:
        return sigma * shaped
    root = np.full(prior.size, np.nan)
    np.divide(1.0, np.sqrt(prior, where=prior > 0, out=np.ones(prior.size)), out=root, where=prior > 0)
    return np.asarray(sigma * shaped * root[:, None])


def _newly_shaped(fit: LinearFit, noise: Array, frame: Frame, names: list[str]) -> Array:
    bound = fit.problem.residual
    assert bound is not None
    frame.require(names)
    columns = used_columns(frame, names, None)
    known = ~columns.isna().any(axis=1).to_numpy()
    out = np.full(noise.shape, np.nan)
    if known.any():
        other = bound.rebind(columns[known].reset_index(drop=True))
        out[known] = other.unwhiten(fit.rho, noise[known])
    return out
