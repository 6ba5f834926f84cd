"""Are the random effects normal, and unrelated to the predictors?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.matrices import RandomEffects
from mixedfx.results.base import MixedResults

__all__ = ["random_effects_independence", "random_effects_normality", "standardized_effects"]

FEWEST_LEVELS = 4  # fewer say nothing about a distribution
MOST_LEVELS = 5000  # Shapiro and Wilk's tables end there
CONSTANT = 1e-10  # share of a predictor's variance below which it does not vary


@dataclass(frozen=True)
class _StandardizedEffects:
    """Standardised conditional modes of one coefficient."""

    term: RandomEffects
    name: str
    values: Array


def _effects(results: MixedResults) -> Iterator[_StandardizedEffects]:
    """Modes divided by their standard deviations: the variance of the effect less its conditional variance."""
    terms = zip(
        results.design.random,
        results.solution.modes,
        results.solution.mode_variances,
        results.varcorr.terms,
        strict=True,
    )
    for term, modes, left, covariance in terms:
        if term.is_smooth:
            continue
        diagonal = covariance.matrix.diagonal()
        variances = diagonal[:, None] - term.by_level(left)
        for name, mode, variance, whole in zip(
            term.shown_names, term.by_level(modes), variances, diagonal, strict=True
        ):
            known = variance > CONSTANT * max(float(whole), np.finfo(float).tiny)
            values = np.full(mode.size, np.nan)
            np.divide(mode, np.sqrt(np.maximum(variance, 0.0)), out=values, where=known)
            yield _StandardizedEffects(term, name, values)


def standardized_effects(fit: Any) -> pd.DataFrame:
    """Return conditional modes in units of their own standard deviation: ``group, term, level, value``.

    Modes of small groups are shrunk more; dividing each by its own standard deviation makes them comparable. Effects
    without any variance are nan. A model without random effects has no rows.

    Parameters
    ----------
    fit : MixedResults
    """
    nothing = pd.DataFrame(
        {name: pd.Series(dtype=object) for name in ("group", "term", "level")} | {"value": np.zeros(0)}
    )
    frames = [
        pd.DataFrame(
            {
                "group": effects.term.group,
                "term": effects.name,
                "level": [str(level) for level in effects.term.shown_levels],
                "value": effects.values,
            }
        )
        for effects in _effects(mixed_results(fit, "standardized_effects"))
    ]
    return pd.concat(frames, ignore_index=True) if frames else nothing


def random_effects_normality(fit: Any) -> StatsTable:
    """Test the random effects against the normal distribution (Shapiro and Wilk).

    Parameters
    ----------
    fit : MixedResults

    Returns
    -------
    StatsTable
        ``levels, W, p``, by group and term. Shrinkage makes modes look more normal than the effects are: a small
        p-value is evidence, a large one is not.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.random_effects_normality(fit).to_frame()["W"].between(0.9, 1).tolist()
    [True, True]
    """
    rows, results = {}, mixed_results(fit, "random_effects_normality")
    laws = results.solution.laws
    if all(term.group in laws for term in results.design.random):
        results.solution.check_normal("random_effects_normality")
    for effects in _effects(results):
        if effects.term.group in laws:
            continue
        values = effects.values[np.isfinite(effects.values)][:MOST_LEVELS]
        enough = values.size >= FEWEST_LEVELS and _varies(values)
        test = stats.shapiro(values) if enough else (np.nan, np.nan)
        rows[effects.term.group, effects.name] = (values.size, float(test[0]), float(test[1]))
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["levels", "W", "p"])
    frame.index = pd.MultiIndex.from_tuples(list(rows), names=["group", "term"])
    return StatsTable.from_frame(frame, heading="Normality of the random effects")


def random_effects_independence(fit: Any) -> StatsTable:
    """Test whether the random effects hang together with the predictors, which the model says they do not.

    Parameters
    ----------
    fit : MixedResults

    Returns
    -------
    StatsTable
        ``correlation, p`` of the random effects with the level means of every predictor that varies within levels, by
        group, term and predictor. A small p-value says that the effect of the predictor differs within and between
        groups: add its group mean to the formula.

    References
    ----------
    Mundlak (1978), Econometrica 46, 69.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> data = mfx.load_dataset("radon").rename(columns={"log.radon": "radon"})
    >>> fit = mfx.lmer("radon ~ basement + (1 | county)", data)
    >>> mfx.random_effects_independence(fit).index.get_level_values("predictor").tolist()
    ['basement']
    """
    results = mixed_results(fit, "random_effects_independence")
    results.design.need_rows("level means of predictors")
    rows: dict[tuple[str, str, str], tuple[float, float]] = {}
    for effects in _effects(results):
        if effects.term.pooled is not None:  # rows in several levels have no means of their own
            continue
        means = _varying_means(results, effects.term)
        for predictor, values in means.items():
            used = np.isfinite(effects.values)
            enough = used.sum() >= FEWEST_LEVELS and _varies(values[used]) and _varies(effects.values[used])
            test = stats.pearsonr(effects.values[used], values[used]) if enough else (np.nan, np.nan)
            rows[effects.term.group, effects.name, predictor] = (float(test[0]), float(test[1]))
    index = pd.MultiIndex.from_tuples(list(rows), names=["group", "term", "predictor"]) if rows else None
    frame = pd.DataFrame(list(rows.values()), index=index, columns=["correlation", "p"], dtype=float)
    return StatsTable.from_frame(frame, heading="Random effects and level means of predictors")


def _varies(values: Array) -> bool:
    """Whether values differ by more than rounding."""
    return bool(np.ptp(values) > CONSTANT * np.abs(values).max())


def _varying_means(results: MixedResults, term: RandomEffects) -> dict[str, Array]:
    """Level means (m,) of the fixed columns that vary both within levels and between them."""
    X, names, counts = results.design.fixed.matrix, results.design.fixed.names, np.bincount(term.codes)
    out = {}
    for column, name in zip(X.T, names, strict=True):
        means = np.bincount(term.codes, weights=column) / counts
        total, within = np.var(column), np.mean(np.square(column - means[term.codes]))
        if within > CONSTANT * total and np.var(means) > CONSTANT * total:
            out[name] = means
    return out
