"""Priors that say little: their widths follow from the spread of the response and of the columns, and are shown."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mixedfx._typing import Array
from mixedfx.families.base import Family
from mixedfx.programs.description import THRESHOLDS, Description, Predictor, Term
from mixedfx.programs.priors import CORRELATIONS, REAL, Domain, Prior, parsed_prior

__all__ = ["default_priors", "domains"]

WIDE = 2.5  # units of the linear predictor
UNIT_LINKS = ("log", "logit", "probit", "cloglog", "cauchit")  # on which one is a large difference
THRESHOLD_SD = 5.0
DIGITS = 3


def domains(model: Description) -> dict[str, Domain]:
    """Return the values that every parameter may have, by the keys of ``priors``."""
    found = {parameter.key: parameter.domain for parameter in model.parameters}
    if model.thresholds:
        found[THRESHOLDS] = REAL
    return found | {term.correlation.key: CORRELATIONS for term in model.terms if term.correlation is not None}


def default_priors(model: Description) -> dict[str, Prior]:
    """Return weakly informative priors.

    Notes
    -----
    With s the standard deviation of the response on the scale of the linear predictor (1 for the log, logit, probit,
    cloglog and cauchit links): a slope is normal(0, 2.5 s / sd(x)); the intercept normal(g(mean(y)), 2.5 s), wider by
    what the slopes move it, since columns are not centred; the standard deviation of effects half_student_t(3,
    2.5 s / sd(z)), of z's root mean square where z is constant; sigma half_student_t(3, s); correlations lkj(2).
    Coefficients of further linear predictors are as those of a log link.
    """
    written = dict(_written(model))
    return {key: parsed_prior(key, written[key], domain) for key, domain in domains(model).items()}


def _written(model: Description) -> Iterator[tuple[str, str]]:
    centre, scale = _location(model)
    yield from _coefficients(model.mean, centre, scale)
    for number in model.numbers:
        if number.predictor is not None:
            yield from _coefficients(number.predictor, _dispersion(model, number.number.power), 1.0)
        if number.parameter is not None:
            default = number.number.default or f"half_student_t(3.0, {_rounded(_spread(model))})"
            yield number.parameter.key, default
    if model.thresholds:
        yield THRESHOLDS, f"normal(0.0, {THRESHOLD_SD})"
    for term in model.terms:
        widths = WIDE * scale / _units(term)
        for parameter, width in zip(term.deviations, widths):
            yield parameter.key, f"half_student_t(3.0, {_rounded(width)})"
        if term.correlation is not None:
            yield term.correlation.key, "lkj(2.0)"


def _rounded(value: float) -> float:
    """Three digits: a prior knows no more."""
    return float(f"{value:.{DIGITS}g}")


def _response(model: Description) -> Array:
    return model.y if model.trials is None else model.y / model.trials


def _spread(model: Description) -> float:
    """Standard deviation of the residual scale of the response: of its logarithm where that is normal."""
    y = np.log(model.y) if model.family.name == "lognormal" else _response(model)
    return float(np.std(y, ddof=1)) or 1.0


def _location(model: Description) -> tuple[float, float]:
    """Centre and spread of the linear predictor that the response suggests."""
    family, y = model.family, _response(model)
    if family.has_categories:
        return 0.0, 1.0
    if family.name == "lognormal":
        y = np.exp(np.log(y).mean(keepdims=True))
    mean, link = _inside(family, float(np.average(y, weights=model.trials))), family.link
    centre = float(link(np.array(mean))) - (0.0 if model.mean.offset is None else float(np.mean(model.mean.offset)))
    if link.name in UNIT_LINKS:
        return centre, 1.0
    slope = float(np.asarray(link.inverse(link(np.array(mean)), 1)[1]))
    return centre, _spread(model) / abs(slope)


def _inside(family: Family, mean: float) -> float:
    """The mean, moved inside where all responses lie at an end."""
    if family.mean_range == "unit":
        return float(np.clip(mean, 0.01, 0.99))
    return max(mean, 0.01) if family.mean_range == "positive" else mean


def _dispersion(model: Description, power: float) -> float:
    """Centre of the linear predictor of a dispersion: the logarithm of the variance where it is that."""
    return 2.0 * float(np.log(_spread(model))) if power == 2.0 else 0.0


def _coefficients(predictor: Predictor, centre: float, scale: float) -> Iterator[tuple[str, str]]:
    means, sds = predictor.matrix.mean(axis=0), predictor.matrix.std(axis=0)
    constant = sds <= 1e-12 * np.abs(means)
    widths = WIDE * scale / np.where(constant, np.where(means == 0.0, 1.0, np.abs(means)), sds)
    moved = float(np.sum(np.square(widths * means)[~constant]))
    for parameter, mean, width, is_constant in zip(predictor.coefficients, means, widths, constant):
        if is_constant:
            middle = centre / mean if mean else 0.0
            yield parameter.key, f"normal({_rounded(middle)}, {_rounded(float(np.hypot(width, np.sqrt(moved))))})"
        else:
            yield parameter.key, f"normal(0.0, {_rounded(width)})"


def _units(term: Term) -> Array:
    """Spread of the columns of every standard deviation; their root mean square where it is constant or of several."""
    sds, squares = term.matrix.std(axis=0), np.mean(np.square(term.matrix), axis=0)
    units = []
    for k in range(len(term.deviations)):
        own = np.array(term.which) == k
        size, sd = float(np.sqrt(squares[own].sum())), float(sds[own][0])
        units.append(sd if own.sum() == 1 and sd > 1e-12 * size else size or 1.0)
    return np.array(units)
