"""Regression calibration and moments: fits to the true values that the measurements lead one to expect.

The law of the true values comes from moments of the measurements alone, the coefficients from an ordinary fit to
``E(x | w, z)``. Their standard errors belong to both: without random effects from the stacked estimating equations of
the two stages (a sandwich, so that neither stage need be right about variances); with random effects from the
covariance of the fit plus what the first stage, again by its sandwich, moves in it.

Fuller's estimator for known or replicated errors, ``(S_ww - S_uu)^-1 S_wy`` with its standard errors, is an ordinary
fit to calibrated values as well; near or beyond ``S_ww = S_uu`` it is modified as he proposes.

References
----------
Carroll, R. J., Ruppert, D., Stefanski, L. A. and Crainiceanu, C. M. (2006). *Measurement Error in Nonlinear Models*,
2nd ed., chapter 4 and appendix B.3. Fuller, W. A. (1987). *Measurement Error Models*, sections 1.2, 2.2, 2.5.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import eigh

from mixedfx._typing import Array
from mixedfx.criterion.exposure import Exposure
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.families import Family
from mixedfx.fitting.corrected import CorrectedFit, Correction, MeasurementTable
from mixedfx.fitting.fit import Fit
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.fitting.mismeasured import calibrated_design
from mixedfx.matrices import Design
from mixedfx.matrices.measured import Measurements

__all__ = ["check_reliable", "fit_calibrated", "fit_moments"]

STEP = 1e-4  # of a parameter of the first stage, on its standardised scale, in differences of the second
SANDWICH = "Standard errors: sandwich of the stacked estimating equations of calibration and regression."
TWO_STAGES = (
    "Standard errors: those of the fit to calibrated values, and what the uncertainty of the calibration (by its "
    "sandwich) adds."
)
NOT_JOINT = (
    "The log-likelihood is that of the fit to calibrated values: it can be compared with that of no other model of the "
    "measurements."
)
DEGENERATE = (
    "the measurements of {names} vary hardly more than their errors do (reliability {reliability:.3f}): there is "
    "nothing to tell the true values by. Is the size of the error right? It is on the scale of the measurements"
)

Refit = Callable[[Design], Fit]
"""From a design with calibrated values to its ordinary fit."""


def fit_calibrated(design: Design, family: Family, data: Measurements, refit: Refit) -> CorrectedFit:
    """Fit by regression calibration.

    Parameters
    ----------
    design : Design
        With the mean measurements for predictors.
    family : Family
    data : Measurements
    refit : callable

    Raises
    ------
    DataError
        If the measurements vary no more than their errors do.
    """
    exposure = Exposure(data)
    check_reliable(exposure)
    psi = exposure.moments()
    influence = exposure.influence(psi)
    outer = calibrated_design(design, data, exposure.posterior(psi).mean)
    fit = refit(outer)
    moved = np.zeros((fit.beta.size, psi.size))
    for j in range(psi.size):
        ends = []
        for sign in (1.0, -1.0):
            other = psi.copy()
            other[j] += sign * STEP
            ends.append(refit(calibrated_design(design, data, exposure.posterior(other).mean)).beta)
        moved[:, j] = (ends[0] - ends[1]) / (2.0 * STEP)
    if design.random:
        covariance = fit.beta_covariance + moved @ (influence.T @ influence) @ moved.T
        note = TWO_STAGES
    else:
        own = _row_influence(fit) + data.at_rows(influence) @ moved.T
        covariance, note = own.T @ own, SANDWICH
    return _corrected("rc", fit, outer, family, exposure, psi, influence, covariance, (note, NOT_JOINT))


def check_reliable(exposure: Exposure) -> None:
    """Refuse measurements that vary no more than their errors do.

    Raises
    ------
    DataError
    """
    if exposure.is_degenerate():
        names, share = ", ".join(exposure.data.names), 1.0 - float(np.max(_error_shares(exposure)))
        raise DataError(DEGENERATE.format(names=names, reliability=share))


def _error_shares(exposure: Exposure) -> Array:
    """Share (K,) of the variance of the mean measurements that is error, by moments."""
    errors = exposure.mean_errors(exposure.moments())
    return np.asarray(errors.mean(axis=0) / exposure.data.means.var(axis=0, ddof=1))


def _row_influence(fit: Fit) -> Array:
    """What every row contributes (n, p) to the errors of the fixed effects of a model without random effects."""
    design = fit.design
    X = design.fixed.matrix
    if isinstance(fit, GeneralizedFit):
        model, x = fit.problem.model, fit.x
        parts = model.parts(x)
        auxiliary = model.auxiliary_values(parts.extra)
        _, slope, further = model.likelihood.scores(model.fixed_part(parts.beta), auxiliary)
        rows = [model.X * slope[:, None]]
        rows += [m * part[:, None] for m, part in zip(model.auxiliary_matrices, further, strict=True)]
        bread = np.nan_to_num(fit.inner_covariance)
        return np.asarray(np.hstack(rows) @ bread[:, : model.n_fixed] @ fit.problem.bases[0].matrix.T)
    offset = 0.0 if design.offset is None else design.offset
    residual = design.response.values - offset - X @ fit.beta
    weighted = residual if design.weights is None else design.weights * residual
    root = fit.cross_product_root
    return np.asarray((X * weighted[:, None]) @ np.linalg.inv(root.T @ root))


def _corrected(
    method: str,
    fit: Fit,
    outer: Design,
    family: Family,
    exposure: Exposure,
    psi: Array,
    influence: Array,
    covariance: Array,
    notes: tuple[str, ...],
    scale: float | None = None,
) -> CorrectedFit:
    """Put the stages together; ``covariance`` (p, p) is that of the fixed effects."""
    data, posterior = exposure.data, exposure.posterior(psi)
    moved = exposure.natural_slopes(psi)
    table = MeasurementTable(
        tuple(exposure.natural_names()), exposure.natural(psi), moved @ (influence.T @ influence) @ moved.T
    )
    correction = Correction(
        method,
        data,
        table,
        posterior.mean,
        posterior.covariance,
        exposure.mean_errors(psi),
        _of_parameters(fit, covariance),
        family,
        fit.response,
        fit.llf,
        fit.n_parameters + psi.size,
        fit.scale if scale is None else scale,
        fit.certificate,
        not isinstance(fit, GeneralizedFit),
        notes,
    )
    return CorrectedFit(fit, outer, correction)


def _of_parameters(fit: Fit, covariance: Array) -> Array:
    """The covariance (k, k) of the parameters of the fit inside whose fixed effects have ``covariance`` (p, p)."""
    p = len(covariance)
    inverse = np.linalg.inv(fit.beta_slopes[:, :p])
    out = np.array(fit.error_covariance)
    out[:p, :p] = inverse @ covariance @ inverse.T
    return out


# ---------------------------------------------------------------- moments
def fit_moments(design: Design, family: Family, data: Measurements, refit: Refit) -> CorrectedFit:
    """Fit a linear model without random effects by Fuller's moments.

    Raises
    ------
    SpecificationError
        If the model has random effects or weights, or the errors differ between rows.
    """
    if design.random or design.weights is not None or not (family.name == "gaussian" and family.is_location):
        what = "random effects" if design.random else "weights" if design.weights is not None else "another family"
        raise SpecificationError(
            f'errors_in_variables="moment" is for linear models without random effects or weights; found {what}. Take '
            '"ml" or "rc"'
        )
    exposure = Exposure(data)
    errors = exposure.mean_errors(exposure.moments())
    if not np.allclose(errors, errors[0], rtol=1e-9, atol=0.0):
        raise SpecificationError(
            'errors_in_variables="moment" takes errors of one size: here they, or the numbers of replicates, differ '
            'between rows. Take "ml" or "rc"'
        )
    Z, n = data.Z, len(data.means)
    others = np.delete(design.fixed.matrix, data.places, axis=1)
    if np.linalg.matrix_rank(others) < Z.shape[1]:
        raise SpecificationError('errors_in_variables="moment" needs an intercept: leave out 0 + or - 1, or take "ml"')
    y = design.response.values - (0.0 if design.offset is None else design.offset)
    Q = np.linalg.qr(Z)[0]
    w, r = data.means - Q @ (Q.T @ data.means), y - Q @ (Q.T @ y)
    free = n - Z.shape[1]
    S, s_wy, s_yy = w.T @ w / free, w.T @ r / free, float(r @ r) / free
    U = np.diag(errors[0])
    H, note = _true_variance(S, s_wy, s_yy, U, free)
    b = np.linalg.solve(H, s_wy)
    fitted = Q @ (Q.T @ data.means)
    outer = calibrated_design(design, data, fitted + w @ np.linalg.solve(S, H))
    fit = refit(outer)
    residual = r - w @ b
    s_vv = float(residual @ residual) / (free - len(b))
    of_b = _slope_covariance(H, S, U, b, s_vv, free, data)
    covariance = _whole_covariance(design, data, others, of_b, s_vv)
    psi = exposure.moments()
    found = _corrected(
        "moment",
        fit,
        outer,
        family,
        exposure,
        psi,
        exposure.influence(psi),
        covariance,
        (*note, NOT_JOINT),
        max(s_yy - float(b @ s_wy), 0.0),
    )
    return found


def _true_variance(S: Array, s_wy: Array, s_yy: float, U: Array, free: int) -> tuple[Array, tuple[str, ...]]:
    """Covariance of the true values, modified where it would be nearly singular, and what is said of that."""
    given_y = S - np.outer(s_wy, s_wy) / s_yy
    inverse = eigh(U, given_y, eigvals_only=True)[-1]  # the smallest root of |S - l U| is one over it
    root = np.inf if inverse <= 0 else 1.0 / float(inverse)
    if root >= 1.0 + 1.0 / free:
        return S - U, ()
    return S - (root - 1.0 / free) * U, (
        "The measurements vary hardly more than their errors do: Fuller's modified estimator (1987, section 2.5), "
        f"which takes off {root - 1.0 / free:.3g} of the error variance, in place of all of it.",
    )


def _slope_covariance(H: Array, S: Array, U: Array, b: Array, s_vv: float, free: int, data: Measurements) -> Array:
    """Fuller's covariance (K, K) of the slopes; estimated error variances add their own uncertainty."""
    inverse, cross = np.linalg.inv(H), -U @ b
    out = inverse @ (S * s_vv + np.outer(cross, cross)) @ inverse / free
    for k in np.flatnonzero(data.estimated):
        moved = inverse[:, k] * b[k] * U[k, k]
        out = out + 2.0 / data.spare[k] * np.outer(moved, moved)
    return np.asarray(out)


def _whole_covariance(design: Design, data: Measurements, others: Array, of_b: Array, s_vv: float) -> Array:
    """Covariance (p, p) of all fixed effects: those of the others follow from the slopes by least squares."""
    inverse = np.linalg.inv(others.T @ others)
    A = inverse @ others.T @ data.means
    p = design.fixed.matrix.shape[1]
    rest = np.setdiff1d(np.arange(p), data.places)
    out = np.empty((p, p))
    out[np.ix_(data.places, data.places)] = of_b
    out[np.ix_(rest, data.places)] = -A @ of_b
    out[np.ix_(data.places, rest)] = -(A @ of_b).T
    out[np.ix_(rest, rest)] = s_vv * inverse + A @ of_b @ A.T
    return out
