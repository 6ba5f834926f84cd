"""New responses of a generalised model, the uncertainty of its estimates included."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.start import row_weight
from mixedfx.families.mean_function import joined
from mixedfx.results.response import ResponseModel

__all__ = ["PredictedResponses"]

DRAWS = 2000  # simulated responses of a row behind its interval


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

    def taken(self, at: slice) -> PredictedResponses:
        """Return some of the rows."""
        prior = None if self.prior is None else self.prior[at]
        return replace(
            self,
            eta=self.eta[at],
            further=self.further[at],
            slopes=self.slopes[at],
            spread=self.spread[at],
            prior=prior,
        )

    def limits(self, alpha: float, seed: int) -> tuple[Array, Array]:
        """Return quantiles (n,), (n,) of simulated responses; nan where a predictor or the trials are unknown.

        Every row starts from the same seed: its limits do not depend on the rows beside it.
        """
        out = np.full((2, self.eta.size), np.nan)
        parts = [self.eta, self.spread, self.further.sum(axis=1), self.slopes.sum(axis=(1, 2))]
        known = np.isfinite(sum(parts))
        if self.prior is not None:
            known &= (self.prior > 0) & np.isfinite(self.prior)
        common = np.random.default_rng(seed)
        errors = common.standard_normal((DRAWS, self.slopes.shape[2]))
        effects = common.standard_normal(DRAWS)
        phi = self._phi(errors)
        for row in np.flatnonzero(known):
            drawn = self._drawn(int(row), errors, effects, phi, np.random.default_rng(seed))
            out[:, row] = np.quantile(drawn, [0.5 * alpha, 1.0 - 0.5 * alpha], method="inverted_cdf")
        return out[0], out[1]

    def _phi(self, errors: Array) -> Array:
        """Family-wide parameters (m, draws)."""
        problem = self.response.problem
        lower, upper = ((end + row_weight(problem))[:, None] for end in problem.family.phi_bounds)
        return np.clip(self.response.phi[:, None] + self.phi_slopes @ errors.T, lower, upper)

    def _drawn(self, row: int, errors: Array, effects: Array, phi: Array, rng: np.random.Generator) -> Array:
        """Responses (draws,) of one row."""
        moved = errors @ self.slopes[row].T
        eta = self.eta[row] + moved[:, 0] + self.spread[row] * effects
        own = None if self.prior is None else np.full(len(errors), self.prior[row])
        counted = self.response.problem.design.response.trials is not None
        predictors = joined(eta, self.further[row] + moved[:, 1:])
        trials, weights = (own, None) if counted else (None, own)
        family = self.response.problem.family
        return family.simulate(rng, predictors, phi, trials=1.0 if trials is None else trials, weights=weights)
