"""The paragraphs on methods and results that a paper needs, rounded as the American Psychological Association asks."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import numpy as np

from mixedfx._arguments import checked_alpha
from mixedfx.diagnostics import r2
from mixedfx.exceptions import SpecificationError
from mixedfx.explanation.words import method_sentence
from mixedfx.results.base import RATIOS, MixedResults
from mixedfx.results.varcorr import TermCovariance

__all__ = ["report"]

MOST_DECIMALS = 6


def report(fit: MixedResults, alpha: float = 0.05) -> str:
    """Return what was fitted and what was found, in two paragraphs.

    Parameters
    ----------
    fit : fitted mixed model
    alpha : float
        One minus the level of the intervals.

    Returns
    -------
    str

    Notes
    -----
    Estimates have two decimals, more where the standard error needs them; p values three, without a leading zero
    (American Psychological Association 2020, section 6.36).
    """
    level = checked_alpha(alpha)
    paragraphs = [_doubts(fit), " ".join(_methods(fit)), " ".join(_results(fit, level))]
    return "\n\n".join(filter(None, paragraphs))


def _doubts(fit: MixedResults) -> str:
    if not fit.converged:
        return "THE FIT DID NOT CONVERGE: what follows is not to be reported before fit.certificate has been looked at."
    return ""


def _methods(fit: MixedResults) -> Iterator[str]:
    solution = fit.solution
    kind = solution.heading[:1].lower() + solution.heading[1:]
    pair = (solution.family.name, solution.link.name)
    law = "" if pair == ("gaussian", "identity") else f" ({pair[0]} family, {pair[1]} link)"
    sizes = " and ".join(f"{count} levels of {group}" for group, count in fit.n_groups.items())
    name = fit.design.response.name
    yield f"A {kind}{law} was fitted to {fit.nobs} observations of {name}{f' in {sizes}' if sizes else ''}:"
    yield f"{fit.model.formula}."
    yield method_sentence(fit)
    if fit.use_t and len(fit.params):
        yield "Tests of the fixed effects are t tests with Satterthwaite's degrees of freedom."
    elif len(fit.params):
        yield "Tests of the fixed effects are Wald z tests."
    yield (
        f"The analysis was done with the Python package mixedfx, version {version('mixedfx')} "
        "(The mixedfx developers, 2026)."
    )


def _results(fit: MixedResults, alpha: float) -> Iterator[str]:
    limits, ratio = fit.conf_int(alpha), RATIOS.get(fit.solution.link.name)
    percent = f"{100 * (1 - alpha):g}% CI"
    for name in fit.params.index:
        value, se, statistic, p = (float(series[name]) for series in (fit.params, fit.bse, fit.tvalues, fit.pvalues))
        lower, upper = (float(limits.loc[name, side]) for side in ("lower", "upper"))
        if not np.isfinite(se):
            yield f"{name}: b = {_number(value, abs(value))}, with no standard error."
            continue
        letter = f"t({_df(float(fit.df[name]))})" if fit.use_t else "z"
        interval = f"{percent} [{_number(lower, se)}, {_number(upper, se)}]"
        text = f"{name}: b = {_number(value, se)}, SE = {_number(se, se)}, {interval}, "
        text += f"{letter} = {_number(statistic, 1.0)}, {_p(p)}"
        if ratio is not None and name != "Intercept":
            raised = [np.exp(min(x, 700.0)) for x in (value, lower, upper)]
            shown = [_number(x, raised[0] * se) for x in raised]
            text += f"; {ratio} {shown[0]} [{shown[1]}, {shown[2]}]"
        yield f"{text}."
    yield from (_spread(term) for term in fit.varcorr.terms)
    if fit.solution.response.has_normal_residuals and np.isfinite(fit.sigma):
        yield f"The residual standard deviation was {_number(float(fit.sigma), float(fit.sigma))}."
    if fit.is_singular:
        yield "The estimate of the random part lies on the boundary (a singular fit)."
    yield from _explained(fit)


def _spread(term: TermCovariance) -> str:
    sds = [f"{_number(float(sd), float(sd))} ({name})" for name, sd in zip(term.names, term.sd, strict=True)]
    lower = np.tril_indices(len(term.names), -1)
    correlations = term.correlation[lower] if term.correlated else np.zeros(0)
    known = [_unit(float(r)) for r in correlations if np.isfinite(r)]
    said = f", correlation{'s' if len(known) > 1 else ''} {', '.join(known)}" if known else ""
    many = len(sds) > 1
    return f"Standard deviation{'s' if many else ''} between levels of {term.group}: {', '.join(sds)}{said}."


def _explained(fit: MixedResults) -> Iterator[str]:
    try:
        shares = r2(fit)
    except SpecificationError:  # some families have none
        return
    if {"marginal", "conditional"} <= set(shares.index) and np.isfinite(shares).all():
        marginal, conditional = (_unit(float(shares[name])) for name in ("marginal", "conditional"))
        yield (
            f"The fixed effects explained R² = {marginal} of the variance, fixed and random effects together "
            f"R² = {conditional} (Nakagawa, Johnson and Schielzeth, 2017)."
        )


def _number(value: float, unit: float) -> str:
    """Two decimals, or as many as show two digits of ``unit``; a minus sign of typography."""
    decimals = 2
    if np.isfinite(unit) and unit > 0:
        decimals = int(np.clip(1 - np.floor(np.log10(unit)), 2, MOST_DECIMALS))
    if not np.isfinite(value) or abs(value) >= 1e9 or 0 < abs(value) < 10.0**-MOST_DECIMALS:
        return f"{value:.3g}".replace("-", "−", 1) if value < 0 else f"{value:.3g}"
    text = f"{value:.{decimals}f}"
    return f"−{text[1:]}" if text.startswith("-") and float(text) != 0 else text.removeprefix("-")


def _unit(value: float) -> str:
    """A number between −1 and 1, without the zero before the point."""
    text = f"{abs(value):.2f}"
    return ("−" if value < 0 and float(text) else "") + (text if text.startswith("1") else text[1:])


def _df(df: float) -> str:
    return "∞" if not np.isfinite(df) else f"{df:.1f}"


def _p(p: float) -> str:
    if not np.isfinite(p):
        return "p undefined"
    text = f"{p:.3f}"
    return "p < .001" if p < 0.001 else "p > .999" if text.startswith("1") else f"p = {text[1:]}"
