"""New responses of a generalised model, the uncertainty of its estimates included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.results.mean_function import joined
from mixedfx.results.response import ResponseModel

__all__ = ["PredictedResponses"]

DRAWS = 2000  # simulated responses of a row behind its interval
CHUNK_CELLS = 2_000_000  # simulated responses at a time


@dataclass(frozen=True)
class PredictedResponses:
    """Responses whose parameters and random effects are as uncertain as the fit leaves them.

    Attributes
    ----------
    response : ResponseModel
    eta, further : (n,), (n, K - 1)
        Estimated linear predictors.
    slopes : (n, K, r)
        Of all linear predictors in ``r`` independent standard normal errors of the parameters.
    phi_slopes : (m, r)
        Of the family-wide parameters.
    spread : (n,)
        Standard deviation of the random effects, given the parameters: of included ones around their modes, of others
        around zero.
    prior : (n,) array or None
        Trials of a binomial response, elsewhere precision weights; nan where they are unknown.
    """

    response: ResponseModel
    eta: Array
    further: Array
    slopes: Array
    phi_slopes: Array
    spread: Array
    prior: Array | None

    def limits(self, alpha: float, seed: int) -> tuple[Array, Array]:
        """Return quantiles (n,), (n,) of simulated responses; nan where a predictor or the trials are unknown."""
        rng = np.random.default_rng(seed)
        out = np.full((2, self.eta.size), np.nan)
        parts = [self.eta, self.spread, self.further.sum(axis=1), self.slopes.sum(axis=(1, 2))]
        known = np.isfinite(sum(parts) if self.prior is None else sum(parts) + self.prior)
        errors = rng.standard_normal((DRAWS, self.slopes.shape[2]))
        rows, size = np.flatnonzero(known), CHUNK_CELLS // DRAWS
        for start in range(0, rows.size, size):
            at = rows[start : start + size]
            drawn = self._drawn(at, errors, rng)
            out[:, at] = np.quantile(drawn, [0.5 * alpha, 1.0 - 0.5 * alpha], axis=0, method="inverted_cdf")
        return out[0], out[1]

    def _drawn(self, at: IntArray, errors: Array, rng: np.random.Generator) -> Array:
        """Responses (draws, c) of some rows."""
        moved = np.einsum("dr,ikr->dik", errors, self.slopes[at])
        eta = self.eta[at] + moved[..., 0] + self.spread[at] * rng.standard_normal((len(errors), at.size))
        family = self.response.problem.family
        lower, upper = (bound[:, None] for bound in family.phi_bounds)
        phi = np.clip(self.response.phi[:, None] + self.phi_slopes @ errors.T, lower, upper)[..., None]
        own = None if self.prior is None else self.prior[at]
        counted = self.response.problem.design.response.trials is not None
        predictors = joined(eta, self.further[at] + moved[..., 1:])
        trials, weights = (own, None) if counted else (None, own)
        return family.simulate(rng, predictors, phi, trials=1.0 if trials is None else trials, weights=weights)
