"""A fitted model in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mixedfx.explanation.coefficients import Reading, capitalised, coefficient_sentences, number, p_words, reading_of
from mixedfx.explanation.structures import ResidualEstimates, accounts_of
from mixedfx.inference.smooths import FittedSmooth
from mixedfx.results.base import MixedResults
from mixedfx.results.settings import success_of
from mixedfx.results.varcorr import TermCovariance

__all__ = ["Further", "further_sentences", "method_sentence", "of_the_rows", "residual_sentences", "sentences"]


@dataclass(frozen=True)
class Further:
    """What is estimated beside fixed effects, random effects and sigma.

    Attributes
    ----------
    residual, family, thresholds : dict of str to float
        Parameters of the residual structure and of the family, on their natural scales, and thresholds of categories.
    components : dict of str to dict
        By further linear predictor and column: the coefficient and its 95 % limits.
    """

    residual: dict[str, float]
    family: dict[str, float]
    thresholds: dict[str, float]
    components: dict[str, dict[str, tuple[float, float, float]]]

    @classmethod
    def of(cls, fit: MixedResults) -> Further:
        """Read them from a fit."""
        table, components = fit._further_table(0.05), fit.solution.components
        found: dict[str, dict[str, float]] = {"residual": {}, "family": {}, "thresholds": {}}
        coefficients: dict[str, dict[str, tuple[float, float, float]]] = {name: {} for name in components}
        columns = (table[name] for name in ("component", "term", "estimate", "conf_low", "conf_high"))
        for component, term, estimate, low, high in zip(*columns, strict=True):
            if component in coefficients:
                coefficients[component][str(term)] = (float(estimate), float(low), float(high))
            else:
                found[component if component in found else "family"][str(term)] = float(estimate)
        return cls(**found, components=coefficients)


def sentences(fit: MixedResults, further: Further) -> list[str]:
    """Return what the summary says, a sentence for each of its lines.

    Parameters
    ----------
    fit : fitted mixed model
    further : Further
        Of the fit.

    Returns
    -------
    list of str
    """
    said = [
        *_opening(fit),
        *coefficient_sentences(fit),
        *_random(fit),
        *further_sentences(fit, further),
        *_closing(fit, further),
    ]
    return [f"{one.removesuffix('..')}." if one.endswith("..") else one for one in said]  # of a name with a full stop


def _opening(fit: MixedResults) -> Iterator[str]:
    groups = " and ".join(f"{count} levels of {name}" for name, count in fit.n_groups.items())
    yield f"{fit.nobs} observations of {fit.design.response.words}{f' in {groups}' if groups else ''}."
    link, groups = fit.solution.link.name, " and ".join(fit.n_groups)
    yield from of_the_rows(fit)
    if link != "identity" and groups:
        yield f"All effects are those within one and the same {groups}{_beside_averages(fit).format(groups)}."


FLATTENED = ("logit", "probit", "cloglog", "loglog")
"""Links of probabilities whose averages over levels rise more slowly than the probabilities of one level do."""


def _beside_averages(fit: MixedResults) -> str:
    """Say how the effects of one level and those of averages over levels differ, where that is known."""
    terms = [term for term in fit.varcorr.terms if not term.smooth]
    if not any(sd > 0 for term in terms for sd in term.sd):
        return ""
    shifted = all(tuple(term.names) == ("Intercept",) for term in terms)
    if shifted and fit.solution.link.name == "log":
        return ""
    return (
        ", and larger than those on averages over {}"
        if shifted and fit.solution.link.name in FLATTENED
        else (", not those on averages over {}")
    )


def success_sentence(fit: MixedResults) -> str:
    """Say what is counted as success."""
    success, design = success_of(fit), fit.design
    if success == "success":
        trials = f"the weights {design.weights_column}" if design.weights_column else "the weights given"
        return f"The response is the proportion of successes among the trials ({trials})."
    trials = ", out of the trials of each row" if design.response.trials is not None else ""
    return f"What is counted as success is {success}{trials}."


def _meaning_of_weights(fit: MixedResults) -> str:
    if fit.solution.response.has_normal_residuals:
        return "the residual variance is divided by the weight"
    if fit.solution.family.precision_weights:
        return "the dispersion is divided by the weight"
    return "the likelihood of a row counts as often as its weight says"


def of_the_rows(fit: MixedResults) -> Iterator[str]:
    """Say what a response means, and what every row brings along: weights and offset."""
    design, family = fit.design, fit.solution.family
    if family.has_categories:
        order = " < ".join(map(str, design.response.categories or ()))
        yield f"The response has ordered categories: {order}."
    elif family.proportions:
        yield success_sentence(fit)
    if design.has_weights:
        name = "the weights given" if design.weights_column is None else f"the weights {design.weights_column}"
        yield f"Rows have {name}: {_meaning_of_weights(fit)}."
    if design.offset is not None:
        names = [*design.offsets.expressions, *([design.offsets.column] if design.offsets.column else [])]
        known = f"the offset {' and '.join(names)}" if names else "the offset given"
        yield f"The linear predictor has a known part with coefficient 1, {known}."


def _random(fit: MixedResults) -> Iterator[str]:
    reading = reading_of(fit)
    limits = None
    for smooth in fit.fitted_smooths:
        yield _smooth(smooth)
    for term, design in zip(fit.varcorr.terms, fit.design.random, strict=True):
        if design.is_smooth:
            continue
        for name, sd in zip(term.names, term.sd, strict=True):
            at = [other for other in term.names if other != "Intercept"] if name == "Intercept" else []
            yield _spread(term.group, name, float(sd), reading, _where_zero(at))
        if design.loading is not None:
            yield f"Levels of {term.group} are related as the given matrix says."
        if term.correlated and len(term.names) > 1:
            if limits is None:
                limits = fit.conf_int(which="random")
            yield from _correlations(term, limits)


def _smooth(smooth: FittedSmooth) -> str:
    """Say how far a smooth bends, and whether there is anything at all."""
    shape = "a straight line" if smooth.is_straight else f"a curve of {number(smooth.edf)} degrees of freedom"
    if smooth.times is not None:
        shape = f"the coefficient of {smooth.times}, {shape}"
    tested = p_words(smooth.pvalue).removeprefix(", ")
    about = f" ({tested} for no effect at all)" if tested else ""
    return f"{smooth.label} is {shape}{about}: mfx.plots.smooth draws it."


def _where_zero(names: list[str]) -> str:
    """Say where the level of a group is meant if its slopes vary too."""
    return f" where {', '.join(names)} {'is' if len(names) == 1 else 'are'} 0" if names else ""


def _spread(group: str, name: str, sd: float, reading: Reading, where: str = "") -> str:
    what = f"their level{where}" if name == "Intercept" else f"their effect of {name}"
    if sd == 0:
        return f"Levels of {group} show no differences in {what} beyond chance."
    start = f"Levels of {group} differ in {what}: standard deviation {number(sd)}"
    if not reading.ratio:
        return f"{start}; about two thirds lie within {number(sd)} of the average."
    with np.errstate(over="ignore"):  # of a fit that has run away
        low, high = number(np.exp(-sd)), number(np.exp(sd))
    if name == "Intercept":
        return f"{start}; about two thirds have {low} to {high} times the {reading.quantity} of the average."
    return f"{start}; about two thirds have {low} to {high} times the {reading.ratio_name} of the average."


def _correlations(term: TermCovariance, limits: pd.DataFrame) -> Iterator[str]:
    for j, first in enumerate(term.names):
        for i in range(j + 1, len(term.names)):
            value = float(term.correlation[i, j])
            if not np.isfinite(value):
                continue
            key = f"cor_{term.names[i]}.{first}|{term.group}"
            ends = limits.loc[limits.index == key].to_numpy(dtype=float)  # two terms of a group may share a name
            low, high = ends[0] if len(ends) == 1 else (np.nan, np.nan)
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


def _closing(fit: MixedResults, further: Further) -> Iterator[str]:
    if fit.solution.response.has_normal_residuals:
        yield from residual_sentences(fit, further)
    yield method_sentence(fit)
    if fit.is_singular:
        yield "The estimate lies on the boundary: some variance is zero or some correlation is -1 or 1."
    yield "The fit converged." if fit.converged else "The fit did NOT converge: do not interpret these numbers."


def method_sentence(fit: MixedResults) -> str:
    """Say how the model was fitted."""
    if fit.solution.how:
        return fit.solution.how
    nodes = fit.solution.nodes if fit.design.random else None
    if nodes is None:
        return f"Fitted by {'restricted maximum likelihood (REML)' if fit.reml else 'maximum likelihood'}."
    if nodes == 0:
        return (
            "Fitted by maximum likelihood of a Laplace approximation in which the fixed effects are conditional modes."
        )
    integral = (
        "the Laplace approximation"
        if nodes == 1
        else f"adaptive Gauss-Hermite quadrature with {nodes} nodes in each dimension"
    )
    return f"Fitted by maximum likelihood; the random effects are integrated out by {integral}."


SPREADS = {
    "gaussian": "Single observations have residual variance {value} (standard deviation {root}).",
    "gamma": "The variance is {value} times the squared mean (coefficient of variation {root}).",
    "inverse_gaussian": "The variance is {value} times the cubed mean.",
    "lognormal": "The logarithm of the response has residual variance {value} (standard deviation {root}).",
    "student_t": "Single observations have the squared scale {value} (scale {root}).",
    "tweedie": "The variance is {value} times a power of the mean.",
    "nbinom2": "Counts vary more than Poisson's: variance μ (1 + μ/φ) about the mean μ, with φ = {value}.",
    "nbinom1": "Counts vary more than Poisson's: variance μ (1 + φ) about the mean μ, with φ = {value}.",
    "beta": "The variance is μ (1 - μ)/(1 + φ) about the mean μ, with precision φ = {value}.",
    "beta_binomial": "Proportions vary more than binomial ones: the probabilities of rows have variance "
    "μ (1 - μ)/(1 + φ) about their mean μ, with φ = {value}.",
}
"""What a dispersion says, by the family without its zeros and truncation."""
SHAPES = {
    "df": "The tails are those of a t distribution with {value} degrees of freedom.",
    "power": "The power of the mean is {value}.",
    "zero_inflation": "The probability of an extra zero is {value}.",
}
"""What other parameters of a family say."""


# ------------------------------------------------------------------ linear models
def residual_sentences(fit: MixedResults, further: Further) -> Iterator[str]:
    """Yield what the residuals of a linear model are like."""
    accounts = accounts_of(fit.model.residual)
    columns = fit.model.residual_columns if accounts else {}
    estimates = ResidualEstimates(float(fit.sigma), further.residual, columns)
    if all(account.has_scale for account in accounts):
        sigma, given = number(fit.sigma), " (given, not estimated)" if fit.model.sigma is not None else ""
        weight = " where the weight is 1" if fit.design.has_weights else ""
        if any(account.spreads for account in accounts):
            yield f"The standard deviation of single observations differs between rows (unit: {sigma}{given})."
        else:
            yield f"Single observations scatter around all this with standard deviation {sigma}{weight}{given}."
    for account in accounts:
        yield from account.sentences(estimates)


# ------------------------------------------------------------------ generalised models
def further_sentences(fit: MixedResults, further: Further) -> Iterator[str]:
    """Yield what a generalised model estimates beside the mean: thresholds, dispersion, extra zeros, shapes."""
    if further.thresholds:
        yield from _thresholds(fit, further.thresholds)
        return
    family, limits = fit.solution.family, fit.limits
    yield from (f"{capitalised(words)}." for words in limits.values())
    for name, value in further.family.items():
        if name not in limits:
            yield _family_wide(family.innermost.name, name, value)
    for name, coefficients in further.components.items():
        if name not in limits:
            yield from _component(family.is_truncated, name, coefficients)


def _family_wide(family: str, name: str, value: float) -> str:
    if name == "dispersion" and family in SPREADS:
        return SPREADS[family].format(value=number(value), root=number(np.sqrt(value)))
    return SHAPES.get(name, "The parameter {name} of the family is {value}.").format(name=name, value=number(value))


def _component(truncated: bool, name: str, coefficients: Mapping[str, tuple[float, ...]]) -> Iterator[str]:
    """Yield what each coefficient says, with its interval; ``coefficients`` are estimates and limits."""
    zeros = "a zero" if truncated else "an extra zero"
    others = [column for column in coefficients if column != "Intercept"]
    where = f"where {', '.join(others)} {'is' if len(others) == 1 else 'are'} 0 " if others else ""
    for column, estimates in coefficients.items():
        with np.errstate(over="ignore"):  # no extra zeros at all: an infinite logit
            value, low, high = np.exp(estimates)
            p, p_low, p_high = 1.0 / (1.0 + np.exp(-np.array(estimates)))
        if name == "zero_inflation":
            if column == "Intercept":
                yield capitalised(f"{where}the probability of {zeros} is {number(p)}{_interval(p_low, p_high)}.")
            else:
                yield f"Zeros, {column}: the odds of {zeros} are multiplied by {number(value)}{_interval(low, high)}."
        elif column == "Intercept":
            yield capitalised(f"{where}the dispersion is {number(value)}{_interval(low, high)}.")
        else:
            yield f"Dispersion, {column}: it is multiplied by {number(value)}{_interval(low, high)}."


def _interval(low: float, high: float) -> str:
    """The interval in parentheses; nothing where there is none."""
    return f" (95 % interval {number(low)} to {number(high)})" if np.isfinite(low) and np.isfinite(high) else ""


def _thresholds(fit: MixedResults, cuts: Mapping[str, float]) -> Iterator[str]:
    link, categories = fit.solution.link, list(fit.design.response.categories or ())
    shown = ", ".join(f"{name} at {number(value)}" for name, value in cuts.items())
    yield (
        f"On the {link.name} scale the categories are parted by thresholds: {shown}; what raises the linear predictor "
        "makes higher categories more likely."
    )
    below = np.asarray(link.inverse(np.array(list(cuts.values())), 0)[0], dtype=float)
    shares = np.diff(below, prepend=0.0, append=1.0)
    chances = ", ".join(f"{c} {number(p)}" for c, p in zip(categories, shares, strict=True))
    yield f"Where the linear predictor is zero the probabilities are: {chances}."
