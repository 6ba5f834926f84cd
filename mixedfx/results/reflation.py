"""Responses from resampled random effects and residuals, which first get back the variances that shrinkage took."""

from __future__ import annotations

import numpy as np

from mixedfx._typing import Array
from mixedfx.matrices.new_rows import fitted_predictor
from mixedfx.results.linear import LinearMixedResults

__all__ = ["reflated", "residual_draws"]

NEGLIGIBLE = 1e-10  # variance of the modes in a direction, relative to the largest, that counts as none


def residual_draws(fit: LinearMixedResults, count: int, seed: np.random.SeedSequence) -> Array:
    """Return ``count`` responses (n, R): fixed part, resampled random effects, resampled residuals.

    References
    ----------
    Carpenter, Goldstein & Rasbash (2003), J. R. Stat. Soc. C 52, 431-443.
    """
    rng, design = np.random.default_rng(seed), fit.design
    modes = fit.solution.modes
    fixed = fitted_predictor(design, fit.solution.beta, modes, random=False)
    y = np.repeat(fixed[:, None], count, axis=1)
    for term, covariance, mode in zip(design.random, fit.varcorr.terms, modes, strict=True):
        own = mode if term.loading is None else np.asarray(np.linalg.solve(term.loading, mode.T).T, dtype=np.float64)
        effects = reflated(own, covariance.matrix)[:, rng.integers(own.shape[1], size=(own.shape[1], count))]
        if term.loading is not None:
            effects = np.einsum("lm,qmr->qlr", term.loading, effects)
        for column, part in zip(term.matrix.T, effects, strict=True):
            y += column[:, None] * part[term.codes]
    noise = _noise(fit)
    return y + fit.solution.response.residual_draws(noise[rng.integers(noise.size, size=(fit.nobs, count))])


def reflated(effects: Array, covariance: Array) -> Array:
    """Return effects (q, m) centred and mapped linearly so that ``effects @ effects.T / m`` is ``covariance``."""
    centred = effects - effects.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(centred @ centred.T / centred.shape[1])
    kept = values > NEGLIGIBLE * max(float(values[-1]), np.finfo(float).tiny)
    inverse_root = (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T
    own, axes = np.linalg.eigh(covariance)
    root = (axes * np.sqrt(np.maximum(own, 0.0))) @ axes.T
    return np.asarray(root @ inverse_root @ centred)


def _noise(fit: LinearMixedResults) -> Array:
    """Whitened residuals with mean 0 and variance 1."""
    white = fit.residuals("normalized").to_numpy(dtype=float)
    centred = white - white.mean()
    return np.asarray(centred / np.sqrt(np.mean(centred**2)))
