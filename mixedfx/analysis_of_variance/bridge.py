"""Mean squares beside REML: the same model estimated twice, and the reason why the estimates agree or differ."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.analysis_of_variance.expected import Expected
from mixedfx.analysis_of_variance.strata import RESIDUAL
from mixedfx.analysis_of_variance.variance_terms import Layout
from mixedfx.exceptions import SingularFitWarning
from mixedfx.models import lmer

__all__ = ["bridge_table"]

AGREE = 1e-4  # of the residual variance, below which a difference counts as none


def bridge_table(layout: Layout, expected: Expected, components: pd.Series[float], convention: str) -> StatsTable:
    """Return the estimates by mean squares and by REML, and the reason in the notes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        fit = lmer(layout.mixed, layout.frame)
    found = fit.varcorr.to_frame().set_index("group")["variance"]
    by_reml: Array = np.array([float(found[name]) for name in components.index])
    by_moments: Array = np.asarray(components, dtype=float)
    own = [expected.labels.index(name) for name in expected.components]
    frame = pd.DataFrame(
        {
            "df": expected.df[own],
            "mean_sq": expected.mean_sq[own],
            "mean_squares": by_moments,
            "truncated": np.maximum(by_moments, 0.0),
            "reml": by_reml,
            "difference": by_reml - by_moments,
        },
        index=components.index,
    )
    agree = bool(np.all(np.abs(by_reml - by_moments) <= AGREE * float(by_moments[-1])))
    notes = [f"REML: {layout.mixed}.", *_reasons(expected, by_moments, convention, agree=agree)]
    return StatsTable.from_frame(frame, heading=f"Variance components of {layout.name}", notes=notes)


def _reasons(expected: Expected, by_moments: Array, convention: str, *, agree: bool) -> list[str]:
    negative = [name for name, value in zip(expected.components, by_moments) if value < 0 and name != RESIDUAL]
    if agree:
        return [_why_same(expected)]
    out = ["They differ."]
    if convention == "restricted":
        out.append(
            "The restricted convention gives the variance of a random factor another meaning: its effects averaged "
            "over the levels of the fixed factor. REML has the unrestricted one."
        )
    if negative:
        out.append(
            f"The mean squares estimate a negative variance ({', '.join(negative)}). REML cannot: it sets the variance "
            "to zero and pools that mean square with others, so that the other estimates move too."
        )
    if not expected.is_balanced:
        out.append(
            "The design is not balanced: mean squares weight the rows by a fixed rule that depends on the order of the "
            "terms, REML by the information that the estimated variances give them. REML is more precise."
        )
    return out


def _why_same(expected: Expected) -> str:
    if expected.is_balanced:
        return (
            "They agree, as they must: the design is balanced and no estimate is negative, so the mean squares hold "
            "all information on the variances and both methods solve the same equations."
        )
    return "They agree to 1e-4 of the residual variance, though the design is not balanced and nothing forces them to."
