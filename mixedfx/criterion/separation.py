"""Likelihoods without a maximum: separated responses, divided factors, and modes that are about to split.

Separation is a direction of the fixed effects along which the likelihood never stops rising.

A row whose log-likelihood rises (or falls) over the whole line of its linear predictor never objects to being pushed
that way. The response is separated if some direction ``d`` pushes all such rows the way they like, and leaves every
other row where it is: a linear programme finds it. Ordered categories have their thresholds in the programme, too.

Under a family whose log-density is not concave (heavy tails, extra zeros) the conditional mode can merge with a saddle
as the parameters move. There ``I + Z'WZ Sigma`` is singular, its log-determinant goes to minus infinity, and the
Laplace approximation of the likelihood rises without end: a cliff that no optimum stands on.

References
----------
Albert & Anderson (1984), Biometrika 71, 1; Konis (2007), DPhil thesis, Oxford.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.criterion.marginal import FamilyLikelihood
from mixedfx.criterion.mode import ModeState
from mixedfx.families import Observed
from mixedfx.linalg.gram import level_sums

__all__ = [
    "LARGEST_LEVERAGE",
    "NEGLIGIBLE",
    "SUSPICIOUS_ETA",
    "SUSPICIOUS_SD",
    "SUSPICIOUS_SPREAD",
    "direction_of",
    "divided_factors",
    "looks_separated",
    "nearly_folded",
    "pushes",
    "separating_direction",
]

FAR = 15.0  # linear predictors at which a row's slope is looked at, beyond ten times the fitted ones
SUSPICIOUS_ETA = 12.0  # linear predictors (fixed part, less offset) beyond this make a fit suspicious
SUSPICIOUS_SD = 20.0  # so do standard errors of standardised coefficients beyond this
SUSPICIOUS_SPREAD = 5.0  # and standard deviations of random effects (inner scale) beyond this
NEGLIGIBLE = 1e-7  # size of an entry of the direction that counts as zero
OBJECTION = 1e-10  # score at the fit, relative to the largest of all rows, that counts as pulling back
LARGEST_LEVERAGE = 2.0  # of a row; with positive weights no leverage exceeds 1


def looks_separated(state: ModeState, sds: Array) -> bool:
    """Say whether the programme is worth solving: huge linear predictors, or standard errors ``sds`` (p,)."""
    model = state.model
    if model.n_fixed == 0:
        return False
    largest = float(np.abs(model.X @ state.parts.beta).max(initial=0.0))
    return largest > SUSPICIOUS_ETA or not bool(np.all(sds < SUSPICIOUS_SD))


def divided_factors(state: ModeState) -> tuple[int, ...]:
    """Return the grouping factors (in elimination order) in each of whose levels all rows pull the same way.

    Of ordered categories, all rows of a level are in one. The likelihood then rises without end as the factor's
    variance grows. Factors with small variances are not examined.
    """
    rows = state.model.space.rows
    large = [f for f, t in enumerate(state.factors) if np.abs(t).max(initial=0.0) > SUSPICIOUS_SPREAD]
    if not large:
        return ()
    ordered = _ordered(state)
    outcome = _push(state)[0] if ordered is None else ordered.y + 1.0
    if np.any(outcome == 0) or np.ptp(outcome) == 0:
        return ()
    divided = []
    for f in large:
        first, second, count = level_sums(
            rows.layout, f, np.column_stack([outcome, outcome**2, np.ones_like(outcome)])
        ).T
        if any(np.all(z == 1.0) for z in rows.z[f]) and np.all(first**2 == second * count):
            divided.append(f)
    return tuple(divided)


def _push(state: ModeState) -> tuple[Array, BoolArray]:
    """Direction (n,) in which the likelihood of every row rises without end, 0 for neither; which rows inform at all.

    A row of weight zero does not inform. A row whose slopes far out agree may still pull the other way where the fit
    is: a Gaussian response under an inverse link has a pole in between.
    """
    likelihood, eta, auxiliary = state.model.likelihood, state.mode.eta, state.auxiliary
    _, here, _ = likelihood.scores(eta, auxiliary)
    return pushes(likelihood, here, auxiliary, float(np.abs(eta).max()), float(np.abs(here).max(initial=0.0)))


def pushes(
    likelihood: FamilyLikelihood, here: Array, auxiliary: Sequence[Array], largest: float, strongest: float
) -> tuple[Array, BoolArray]:
    """Return the same for rows with the scores ``here`` (n,), the largest predictor and score of all rows given."""
    far = np.full(here.size, FAR + 10.0 * largest)
    (low, left, _), (high, right, _) = (likelihood.scores(place, auxiliary) for place in (-far, far))
    legal = np.isfinite(low) & np.isfinite(high)  # a link may exclude large linear predictors
    slack = OBJECTION * strongest
    some = legal & ((left != 0) | (right != 0))  # an end may be level: zero inflation takes over, exp() underflows
    up = some & (left >= 0) & (right >= 0) & (here >= -slack)
    down = some & (left <= 0) & (right <= 0) & (here <= slack)
    return np.where(up, 1.0, 0.0) - np.where(down, 1.0, 0.0), ~legal | (left != 0) | (right != 0)


def separating_direction(state: ModeState) -> Array | None:
    """Return a direction (p,) of the fixed effects on the inner scale that separates the response, or None."""
    ordered = _ordered(state)
    pushed, still = _pushed(state) if ordered is None else _pushed_ordered(state, ordered)
    if not pushed.size:
        return None
    return direction_of(pushed, still, pushed.sum(axis=0), state.model.n_fixed)


def direction_of(pushed: Array, still: Array, total: Array, n_fixed: int) -> Array | None:
    """Return a direction (p,) that raises ``total`` (k,), lowers no row of ``pushed`` and leaves those of ``still``."""
    from scipy.optimize import linprog  # only asked for where data look separated

    solution = linprog(
        np.asarray(-total),
        A_ub=-pushed,
        b_ub=np.zeros(len(pushed)),
        A_eq=still if still.size else None,
        b_eq=np.zeros(len(still)) if still.size else None,
        bounds=(-1.0, 1.0),
        method="highs",
    )
    if solution.status != 0 or -float(solution.fun or 0.0) <= NEGLIGIBLE * len(pushed):
        return None
    direction = np.asarray(solution.x, dtype=float)[:n_fixed]
    return np.where(np.abs(direction) > NEGLIGIBLE, direction, 0.0)


def _pushed(state: ModeState) -> tuple[Array, Array]:
    """Rows of X that a separating direction may only raise, turned upwards, and those that it must leave alone."""
    push, counted = _push(state)
    rows = np.unique(np.column_stack([state.model.X, push])[counted], axis=0)
    X, push = rows[:, :-1], rows[:, -1]
    return X[push != 0] * push[push != 0, None], X[push == 0]


def _ordered(state: ModeState) -> Observed | None:
    """Ordered categories between thresholds that are estimated with the fixed effects; None for other responses."""
    likelihood = state.model.likelihood
    if not likelihood.family.has_categories:
        return None
    return None if likelihood.family.fixed else likelihood.observed


def _pushed_ordered(state: ModeState, observed: Observed) -> tuple[Array, Array]:
    """The same for ordered categories, the thresholds beside the fixed effects: every row wants to be far from both.

    A category wants its linear predictor above the threshold below it, and below the one above it.
    """
    cuts = np.eye(state.model.likelihood.n_auxiliary)
    counted = np.ones(observed.n, dtype=bool) if observed.multiplier is None else observed.multiplier > 0
    X, codes = state.model.X[counted], observed.y[counted].astype(np.intp)
    below, above = codes > 0, codes < len(cuts)
    pushed = np.vstack([np.hstack([X[below], -cuts[codes[below] - 1]]), np.hstack([-X[above], cuts[codes[above]]])])
    return np.unique(pushed, axis=0), np.zeros((0, pushed.shape[1]))


def nearly_folded(state: ModeState) -> bool:
    """Whether some direction of the random effects has lost almost all of its curvature at the mode."""
    weight = state.expansion.observed.weight
    if not np.any(weight < 0):
        return False
    try:
        leverages = state.model.space.leverages(state.factor.inverse)
    except FloatingPointError:
        return True
    return bool(np.max(np.abs(weight) * leverages) > LARGEST_LEVERAGE)
