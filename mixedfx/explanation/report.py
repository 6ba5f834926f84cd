"""The paragraphs on methods and results that a paper needs, rounded as the American Psychological Association asks."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import numpy as np

from mixedfx._arguments import checked_alpha
from mixedfx.diagnostics import r2
from mixedfx.exceptions import SpecificationError
from mixedfx.explanation.words import (
    Further,
    further_sentences,
    method_sentence,
    of_the_rows,
    residual_sentences,
)
from mixedfx.matrices import Design
from mixedfx.results.base import MixedResults
from mixedfx.results.settings import ratio_name, settings_of
from mixedfx.results.varcorr import TermCovariance

__all__ = ["REFERENCE", "report"]

MOST_DECIMALS = 6
LARGE = 1e5  # units from which a number is written with a power of ten
LARGEST_LOG = 700.0  # beyond, a ratio is no number
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
FAMILIES = {
    "zero_inflated": "zero-inflated",
    "inverse_gaussian": "inverse Gaussian",
    "nbinom1": "negative binomial (NB1)",
    "nbinom2": "negative binomial (NB2)",
    "beta_binomial": "beta-binomial",
    "gaussian": "Gaussian",
    "poisson": "Poisson",
    "student_t": "Student t",
    "tweedie": "Tweedie",
}
"""Names of families, or parts of them, as papers write them."""
SETTINGS = {
    "Measurements": "Measured with error",
    "Zero inflation": "Model of the extra zeros",
    "Dispersion": "Model of the dispersion",
    "Residuals": "Residuals",
    "Penalty": "Penalty on the fixed effects",
}
"""What the formula does not say, in words, by the heading of :func:`settings_of`."""
REFERENCE = (
    f"The mixedfx developers. (2026). mixedfx: Mixed-effects models in Python (Version {version('mixedfx')}) "
    "[Computer software]."
)
SATTERTHWAITE = (
    "Satterthwaite, F. E. (1946). An approximate distribution of estimates of variance components. Biometrics "
    "Bulletin, 2(6), 110–114."
)
NAKAGAWA = (
    "Nakagawa, S., Johnson, P. C. D., & Schielzeth, H. (2017). The coefficient of determination R² and intra-class "
    "correlation coefficient from generalized linear mixed-effects models revisited and expanded. Journal of the Royal "
    "Society Interface, 14(134), 20170213."
)


def report(fit: MixedResults, alpha: float = 0.05) -> str:
    """Return what was fitted and what was found, and the references, a paragraph each.

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
    Estimates have two decimals, more where the standard error needs them, and a power of ten where it is very large or
    small; p values have three, without a leading zero (American Psychological Association 2020, section 6.36).
    """
    level, explained = checked_alpha(alpha), _explained(fit)
    cited = [REFERENCE, *([SATTERTHWAITE] if _has_t(fit) else []), *([NAKAGAWA] if explained else [])]
    results = " ".join([*_results(fit, level), *explained])
    return "\n\n".join(filter(None, [_doubts(fit), " ".join(_methods(fit)), results, "References: " + " ".join(cited)]))


def _has_t(fit: MixedResults) -> bool:
    return bool(fit.use_t) and len(fit.params) > 0


def _doubts(fit: MixedResults) -> str:
    if not fit.converged:
        return "THE FIT DID NOT CONVERGE: what follows is not to be reported before fit.certificate has been looked at."
    return ""


def _methods(fit: MixedResults) -> Iterator[str]:
    solution = fit.solution
    kind = solution.heading[:1].lower() + solution.heading[1:]
    pair = (solution.family.name, solution.link.name)
    law = "" if pair == ("gaussian", "identity") else f" ({_family(pair[0])} family, {pair[1]} link)"
    sizes = " and ".join(f"{count} levels of {group}" for group, count in fit.n_groups.items())
    name = fit.design.response.words
    yield f"A {kind}{law} was fitted to {fit.nobs} observations of {name}{f' in {sizes}' if sizes else ''}:"
    yield f"{fit.model.written}."
    if fit.design.n_dropped:
        yield _left_out(fit.design)
    yield from of_the_rows(fit)
    yield from (
        f"The random effects of {group} follow a {law} distribution." for group, law in fit.solution.laws.items()
    )
    settings = settings_of(fit)
    yield from (f"{words}: {settings[heading]}." for heading, words in SETTINGS.items() if heading in settings)
    yield method_sentence(fit)
    if _has_t(fit):
        yield "Tests of the fixed effects are t tests with Satterthwaite's (1946) degrees of freedom."
    elif len(fit.params):
        yield "Tests of the fixed effects are Wald z tests."
    yield (
        f"The analysis was done with the Python package mixedfx, version {version('mixedfx')} "
        "(The mixedfx developers, 2026)."
    )


def _left_out(design: Design) -> str:
    left = design.n_dropped
    reasons = ["values were missing", *(["their weight was zero"] if design.has_weights else [])]
    reasons += ["they had no trials"] if design.response.trials is not None else []
    rows = f"{design.n_rows + left} rows {'was' if left == 1 else 'were'}"
    return f"{left} of {rows} left out, as {' or '.join(reasons)}."


def _family(name: str) -> str:
    for part, words in FAMILIES.items():
        name = name.replace(part, words)
    return name.replace("_", " ")


def _results(fit: MixedResults, alpha: float) -> Iterator[str]:
    limits, ratio = fit.conf_int(alpha), ratio_name(fit.solution)
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
        yield f"{text}{_ratio(ratio, value, se, lower, upper) if name != 'Intercept' else ''}."
    scale = (
        "" if fit.solution.link.name == "identity" or fit.solution.laws else f" (on the {fit.solution.link.name} scale)"
    )
    for term, design in zip(fit.varcorr.terms, fit.design.random, strict=True):
        if not design.is_smooth:
            yield _spread(term, scale)
    for label, *found in fit.smooths[["edf", "ref_df", "F", "pvalue"]].itertuples():
        edf, ref_df, statistic, p = map(float, found)
        tested = f", F({_df(ref_df)}) = {_number(statistic, 1.0)}, {_p(p)}" if np.isfinite(statistic) else ""
        yield f"{label}: effective df = {_df(edf)}{tested}."
    further = Further.of(fit)
    yield from further_sentences(fit, further)
    yield from _residuals(fit, further)
    if fit.is_singular:
        yield "The estimate of the random part lies on the boundary (a singular fit)."


def _ratio(name: str, value: float, se: float, lower: float, upper: float) -> str:
    """What the coefficient multiplies; nothing where it is beyond numbers."""
    if not name or max(abs(lower), abs(upper)) > LARGEST_LOG:
        return ""
    raised = [float(np.exp(x)) for x in (value, lower, upper)]
    shown = [_number(x, raised[0] * se) for x in raised]
    return f"; {name} {shown[0]} [{shown[1]}, {shown[2]}]"


def _residuals(fit: MixedResults, further: Further) -> Iterator[str]:
    """What a linear model says of single observations."""
    if not (fit.solution.response.has_normal_residuals and np.isfinite(fit.sigma)):
        return
    if fit.model.residual is not None:
        yield from residual_sentences(fit, further)
        return
    sigma = _number(float(fit.sigma), float(fit.sigma))
    where = " where the weight is 1" if fit.design.has_weights else ""
    known = " (given, not estimated)" if fit.model.sigma is not None else ""
    yield f"The residual standard deviation was {sigma}{where}{known}."


def _spread(term: TermCovariance, scale: str) -> str:
    sds = [f"{_number(float(sd), float(sd))} ({name})" for name, sd in zip(term.names, term.sd, strict=True)]
    lower = np.tril_indices(len(term.names), -1)
    correlations = term.correlation[lower] if term.correlated else np.zeros(0)
    known = [_unit(float(r)) for r in correlations if np.isfinite(r)]
    said = f", correlation{'s' if len(known) > 1 else ''} {', '.join(known)}" if known else ""
    many = "s" if len(sds) > 1 else ""
    return f"Standard deviation{many} between levels of {term.group}{scale}: {', '.join(sds)}{said}."


def _explained(fit: MixedResults) -> list[str]:
    """The shares of variance that are explained, as far as there is something that explains."""
    fixed, random = bool(set(fit.params.index) - {"Intercept"}), bool(fit.n_groups)
    if not fit.converged or not (fixed or random):
        return []
    try:
        shares = r2(fit)
    except SpecificationError:  # some families have none
        return []
    if not {"marginal", "conditional"} <= set(shares.index) or not np.isfinite(shares).all():
        return []
    marginal, conditional = (_unit(float(shares[name])) for name in ("marginal", "conditional"))
    parts = [f"the fixed effects explained R² = {marginal} of the variance"] if fixed else []
    if random and fixed:
        parts.append(f"fixed and random effects together R² = {conditional}")
    elif random:
        parts.append(f"the random effects explained R² = {conditional} of the variance")
    text = ", ".join(parts)
    return [f"{text[0].upper()}{text[1:]} (Nakagawa et al., 2017)."]


def _number(value: float, unit: float) -> str:
    """Two decimals, or as many as show two digits of ``unit``; a minus sign of typography."""
    if not np.isfinite(value):
        return "undefined" if np.isnan(value) else f"{'−' if value < 0 else ''}∞"
    known = np.isfinite(unit) and unit > 0
    place = int(np.floor(np.log10(unit))) if known else -1
    if known and (unit >= LARGE or 1 - place > MOST_DECIMALS):
        return _with_power(value, place)
    text = f"{value:.{max(1 - place, 2)}f}"
    return f"−{text[1:]}" if text.startswith("-") and float(text) != 0 else text.removeprefix("-")


def _with_power(value: float, place: int) -> str:
    """A number times a power of ten, to the second digit of a unit of that place."""
    if value == 0:
        return "0"
    digits = int(np.clip(np.floor(np.log10(abs(value))) - place + 1, 1, 15))
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPTS)}".replace("-", "−")


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
