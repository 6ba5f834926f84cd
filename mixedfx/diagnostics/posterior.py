"""One draw of the linear predictor from its distribution given the data: it gives back what fitting took.

Residuals about an estimate are too small, and not of the right shape where groups are small, because the estimate has
followed the data. About a draw of the coefficients (whose prior is flat) and of the random effects, given the data, the
responses are what the model says that they are about the true ones: independent, and of the family. The draw is the
conditional mean plus the error of the fit to data of its own, which has the same distribution.
"""

from __future__ import annotations

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.conditional import first_order_mean
from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.criterion.responses import with_response
from mixedfx.diagnostics.leverage import WorkingModel
from mixedfx.exceptions import DataError
from mixedfx.fitting import LinearFit
from mixedfx.results.generalized import GeneralizedLinearMixedResults
from mixedfx.results.linear import LinearMixedResults
from mixedfx.results.simulate import conditional_columns, random_parts, simulated_rows

__all__ = ["drawn_predictor"]


def drawn_predictor(fit: LinearMixedResults | GeneralizedLinearMixedResults, rng: np.random.Generator) -> Array:
    """Return one draw of the linear predictor (n,) of the mean, given the data and the variances.

    Raises
    ------
    DataError
        If the fit is so near singular that no draw can be computed.

    References
    ----------
    Papandreou & Yuille (2010), Adv. Neural Inf. Process. Syst. 23: draws by perturbation.
    """
    try:
        drawn = _linear(fit, rng) if isinstance(fit, LinearMixedResults) else _generalized(fit, rng)
    except (ArithmeticError, np.linalg.LinAlgError) as reason:
        raise _near_singular(str(reason)) from None
    if not np.isfinite(drawn).all():
        raise _near_singular("a draw is not finite")
    return drawn


def _near_singular(reason: str) -> DataError:
    return DataError(
        f"the fit is too near singular to draw the random effects given the data ({reason}): take random='new', or a "
        "smaller model"
    )


def _linear(fit: LinearMixedResults, rng: np.random.Generator) -> Array:
    """Exact: the random effects are normal given the data."""
    problem = fit.fit.problem
    roots = [fit.sigma * root for root in problem.relative_roots(fit.fit.theta)]
    fixed, random = _drawn_afresh(fit, roots, rng)
    eta = fixed + random
    own = with_response(problem, eta + fit._residual_draws(rng.standard_normal((eta.size, 1)))[:, 0])
    again = type(fit)(fit.model, LinearFit(own, fit.fit.optimum, own.criterion(fit.fit.point.theta)))
    return np.asarray(fit.fittedvalues.to_numpy() + eta - again.fittedvalues.to_numpy())


def _generalized(fit: GeneralizedLinearMixedResults, rng: np.random.Generator) -> Array:
    """To first order: about the conditional mean, with the information at the mode."""
    working, state = WorkingModel.of(fit.fit), fit.fit.at.state
    _, own = _drawn_afresh(fit, fit.fit.problem.roots(fit.fit.x), rng)
    noise = np.sqrt(working.weights) * rng.standard_normal(own.size)
    error = own - working.fitted(working.weights * own + noise)
    skewness = working.space.spread(first_order_mean(LaplaceEvaluation(state)) - state.mode.b)
    return np.asarray(fit.linear_predictors[:, 0] + skewness + error)


def _drawn_afresh(
    fit: LinearMixedResults | GeneralizedLinearMixedResults, roots: list[Array], rng: np.random.Generator
) -> tuple[Array, Array]:
    """The fixed part of the linear predictor (n,), and ``Z b`` (n,) of effects with the covariances ``R R'``."""
    chosen = conditional_columns(fit.design, "new")
    rows = simulated_rows(fit.design, fit._beta, None, chosen)
    return rows.fixed, random_parts(rows, roots, fit._modes, 1, rng, chosen)[:, 0]
