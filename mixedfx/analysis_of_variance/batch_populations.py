"""Intervals for the standard deviations of populations: chi-squared from the precision of a variance, or profiles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixedfx.analysis_of_variance.batch_kinds import HALF, Spread, population_spread
from mixedfx.analysis_of_variance.batch_terms import batch_label
from mixedfx.analysis_of_variance.strata import RESIDUAL
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.variance_scales import variance_estimates
from mixedfx.results.linear import LinearMixedResults
from mixedfx.results.profile import profile

__all__ = ["Populations", "populations_by"]

Populations = Callable[[LinearMixedResults, float], dict[str, Spread]]


def by_chi_squared(fit: LinearMixedResults, alpha: float) -> dict[str, Spread]:
    """Return the spread of every random column and of the residuals, limits by chi-squared."""
    found = variance_estimates(fit.variance_parameters, "variance")
    spread = zip(found.labels, found.values, found.covariance.diagonal(), strict=True)
    return {
        batch_label(group, effect): population_spread(float(value), float(uncertainty), alpha)
        for (group, effect, other), value, uncertainty in spread
        if not other
    }


def by_profile(fit: LinearMixedResults, alpha: float) -> dict[str, Spread]:
    """Return the same with limits of the profiled likelihood, which exist for variances estimated as zero too."""
    made = profile(fit)
    outer, inner = made.conf_int(alpha, which="random"), made.conf_int(HALF, which="random")
    keys = {RESIDUAL: "sigma"}
    for term in fit.design.random:
        keys |= {batch_label(term.group, name): f"sd_{name}|{term.group}" for name in term.names}
    out = {}
    for label, spread in by_chi_squared(fit, alpha).items():
        (lower, upper), (q25, q75) = (np.asarray(table.loc[keys[label]], dtype=float) for table in (outer, inner))
        out[label] = Spread(spread.sd, float(lower), float(q25), float(q75), float(upper))
    return out


#: Ways to the intervals by name, with what a table says of them.
WAYS: dict[str, tuple[Populations, str]] = {
    "chi2": (
        by_chi_squared,
        "Intervals of super sds: chi-squared, with the df that the precision of the estimated variance implies.",
    ),
    "profile": (by_profile, "Intervals of super sds: profiled likelihood (ML)."),
}


def populations_by(name: object) -> tuple[Populations, str]:
    """Resolve ``population=``.

    Raises
    ------
    SpecificationError
        If it is not known.
    """
    if not isinstance(name, str) or name not in WAYS:
        raise SpecificationError(f"population is {' or '.join(map(repr, WAYS))}; found {name!r}")
    return WAYS[name]
