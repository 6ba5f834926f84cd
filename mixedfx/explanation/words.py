"""A fitted model in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.explanation.coefficients import coefficient_sentences
from mixedfx.explanation.further_words import further_sentences, residual_sentences
from mixedfx.explanation.readings import Reading, number, reading_of
from mixedfx.results.base import MixedResults
from mixedfx.results.linear import LinearMixedResults
from mixedfx.results.success import success_of
from mixedfx.results.varcorr import TermCovariance

__all__ = ["sentences"]


def sentences(fit: MixedResults) -> list[str]:
    """Return what the summary says, a sentence for each of its lines.

    Parameters
    ----------
    fit : fitted mixed model
    """
    return [*_opening(fit), *coefficient_sentences(fit), *_random(fit), *further_sentences(fit), *_closing(fit)]


def _opening(fit: MixedResults) -> Iterator[str]:
    groups = " and ".join(f"{count} levels of {name}" for name, count in fit.n_groups.items())
    yield f"{fit.nobs} observations of {fit.design.response.name}{f' in {groups}' if groups else ''}."
    if isinstance(fit, LinearMixedResults):
        yield from _rows(fit, "the residual variance is divided by the weight")
        return
    family: Any = fit.model.family
    if not family.has_intercept:
        order = " < ".join(map(str, fit.design.response.categories or ()))
        yield f"The response has ordered categories: {order}."
    elif family.proportions:
        success = success_of(fit)
        if success == "success":
            yield f"The response is the proportion of successes among the trials ({_trials(fit)})."
        else:
            trials = ", out of the trials of each row" if fit.design.response.trials is not None else ""
            yield f"What is counted as success is {success}{trials}."
    meaning = (
        "the dispersion is divided by the weight"
        if family.precision_weights
        else ("the likelihood of a row counts as often as its weight says")
    )
    yield from _rows(fit, meaning)
    if family.link.name != "identity" and fit.n_groups:
        groups = " and ".join(fit.n_groups)
        average = "" if family.link.name == "log" else f", and larger than those on averages over {groups}"
        yield f"All effects are those within one and the same {groups}{average}."


def _trials(fit: MixedResults) -> str:
    return f"the weights {fit.design.weights_column}" if fit.design.weights_column else "the weights given"


def _rows(fit: MixedResults, weights: str) -> Iterator[str]:
    """What every row brings along: weights and offset."""
    design = fit.design
    if design.weights is not None:
        name = "the weights given" if design.weights_column is None else f"the weights {design.weights_column}"
        yield f"Rows have {name}: {weights}."
    if design.offset is not None:
        names = [*design.offsets.expressions, *([design.offsets.column] if design.offsets.column else [])]
        known = f"the offset {' and '.join(names)}" if names else "the offset given"
        yield f"The linear predictor has a known part with coefficient 1, {known}."


def _random(fit: MixedResults) -> Iterator[str]:
    reading = reading_of(fit)
    limits = None
    for term, design in zip(fit.varcorr.terms, fit.design.random, strict=True):
        for name, sd in zip(term.names, term.sd, strict=True):
            at = [other for other in term.names if other != "Intercept"] if name == "Intercept" else []
            yield _spread(term.group, name, float(sd), reading, _where_zero(at))
        if design.loading is not None:
            yield f"Levels of {term.group} are related as the given matrix says."
        if term.correlated and len(term.names) > 1:
            if limits is None:
                limits = fit.conf_int(which="random")
            yield from _correlations(term, limits)


def _where_zero(names: list[str]) -> str:
    """Say where the level of a group is meant if its slopes vary too."""
    return f" where {', '.join(names)} {'is' if len(names) == 1 else 'are'} 0" if names else ""


def _spread(group: str, name: str, sd: float, reading: Reading, where: str = "") -> str:
    what = f"their level{where}" if name == "Intercept" else f"their effect of {name}"
    if sd == 0:
        return f"Levels of {group} show no differences in {what} beyond chance."
    said = f"Levels of {group} differ in {what}: standard deviation {number(sd)}"
    if not reading.ratio:
        return f"{said}; about two thirds lie within {number(sd)} of the average."
    low, high = number(np.exp(-sd)), number(np.exp(sd))
    if name == "Intercept":
        return f"{said}; about two thirds have {low} to {high} times the {reading.quantity} of the average."
    return f"{said}; about two thirds have {low} to {high} times the {reading.ratio_name} of the average."


def _correlations(term: TermCovariance, limits: pd.DataFrame) -> Iterator[str]:
    for j, first in enumerate(term.names):
        for i in range(j + 1, len(term.names)):
            value = float(term.correlation[i, j])
            if not np.isfinite(value):
                continue
            key = f"cor_{term.names[i]}.{first}|{term.group}"
            found = limits.loc[limits.index == key].to_numpy(dtype=float)  # two terms of a group may share a name
            low, high = found[0] if len(found) == 1 else (np.nan, np.nan)
            yield _correlation(term.group, first, term.names[i], value, low, high)


def _correlation(group: str, first: str, second: str, value: float, low: float, high: float) -> str:
    """A tendency is claimed only if the interval of the correlation has one sign."""
    shown = f"correlation {number(value)}"
    if not (np.isfinite(low) and np.isfinite(high)):
        return f"Between the {first} and the {second} of levels of {group}: {shown}, without an interval."
    shown += f", 95 % interval {number(low)} to {number(high)}"
    if low <= 0.0 <= high:
        return f"Whether levels of {group} with a higher {first} have a higher or a lower {second} is open: {shown}."
    direction = "higher" if value > 0 else "lower"
    return f"Levels of {group} with a higher {first} tend to have a {direction} {second}: {shown}."


def _closing(fit: MixedResults) -> Iterator[str]:
    if isinstance(fit, LinearMixedResults):
        yield from residual_sentences(fit)
    yield _method(fit)
    if fit.is_singular:
        yield "The estimate lies on the boundary: some variance is zero or some correlation is -1 or 1."
    yield "The fit converged." if fit.converged else "The fit did NOT converge: do not interpret these numbers."


def _method(fit: Any) -> str:
    if isinstance(fit, LinearMixedResults):
        return f"Fitted by {'restricted maximum likelihood (REML)' if fit.reml else 'maximum likelihood'}."
    nodes = int(fit.fit.nodes)
    if not fit.design.random:
        return "Fitted by maximum likelihood."
    if nodes == 0:
        return (
            "Fitted by maximum likelihood of a Laplace approximation in which the fixed effects are conditional modes."
        )
    if nodes == 1:
        return "Fitted by maximum likelihood; the random effects are integrated out by the Laplace approximation."
    return (
        "Fitted by maximum likelihood; the random effects are integrated out by adaptive Gauss-Hermite quadrature with "
        f"{nodes} nodes in each dimension."
    )
