"""The summary of a fitted model: what was fitted, random effects, fixed effects, and notes in plain language."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import zip_longest
from types import MappingProxyType
from typing import Protocol

import numpy as np
import pandas as pd

from mixedfx._display import (
    Block,
    Column,
    ColumnFormat,
    Each,
    Fact,
    Facts,
    Numbers,
    Summary,
    Table,
    format_count,
    format_df,
    format_number,
    format_p,
    options,
)
from mixedfx.inference.smooths import FittedSmooth
from mixedfx.inference.wald import RowTests
from mixedfx.results.smooths import smooth_table
from mixedfx.results.varcorr import TermCovariance, VarCorr

__all__ = ["FittedModel", "Specification", "coefficient_table", "summarize"]

UNDEFINED = "—"
PERFECT = 1 - 1e-4  # a correlation beyond this is called one

SINGULAR_MEANING = (
    "The estimate lies on the boundary of what is possible, which is no proof that the truth does.{reduction} "
    "Estimates and tests of the fixed effects remain usable."
)
NOTHING_LOST = " A model without what has no variance has the same likelihood."
UNTOLD = " Whether a simpler random part describes the data as well, mfx.anova(simpler, fit) tells."
NOT_CONVERGED = (
    "NOT CONVERGED: these are not the estimates. Look at fit.certificate; other starting values, rescaled predictors "
    "or a simpler random part may help."
)
NO_FINITE_ESTIMATES = (
    "NOT CONVERGED: some estimates are infinite, see the next note; what is printed of them is no number."
)
AVERAGE_INFORMATION = (
    "Degrees of freedom and intervals of variances come from the average information (Gilmour, Thompson and Cullis "
    "1995) in place of the exact Hessian."
)
SMOOTH_NOTE = (
    "Smooths: edf are effective degrees of freedom (1: a straight line), F tests the smooth being zero everywhere "
    "(Wood 2013). The coefficient [linear] is the slope of the straight part, the variance that of what bends about it."
)
COEFFICIENT_NOTE = (
    "{} is the coefficient of the number {} along a variable (edf 2: a straight line), [constant] that of its straight "
    "part at the mean of the variable. For a curve at each level make {} a category."
)
RATIOS = "Coefficients and limits are exponentiated; the tests are those of the coefficients themselves."


class Specification(Protocol):
    """The model of a fit, as far as a summary speaks of it."""

    @property
    def written(self) -> str:
        """Formula as text."""


class FittedModel(Protocol):
    """What a summary needs of a fit."""

    @property
    def model(self) -> Specification: ...  # noqa: D102
    @property
    def params(self) -> pd.Series[float]: ...  # noqa: D102
    @property
    def bse(self) -> pd.Series[float]: ...  # noqa: D102
    @property
    def df(self) -> pd.Series[float]: ...  # noqa: D102
    @property
    def tvalues(self) -> pd.Series[float]: ...  # noqa: D102
    @property
    def pvalues(self) -> pd.Series[float]: ...  # noqa: D102
    @property
    def use_t(self) -> bool: ...  # noqa: D102
    @property
    def reml(self) -> bool: ...  # noqa: D102
    @property
    def varcorr(self) -> VarCorr: ...  # noqa: D102
    @property
    def nobs(self) -> int: ...  # noqa: D102
    @property
    def n_groups(self) -> Mapping[str, int]: ...  # noqa: D102
    @property
    def df_resid(self) -> float: ...  # noqa: D102
    @property
    def llf(self) -> float: ...  # noqa: D102
    @property
    def aic(self) -> float: ...  # noqa: D102
    @property
    def bic(self) -> float: ...  # noqa: D102
    @property
    def converged(self) -> bool: ...  # noqa: D102
    @property
    def is_singular(self) -> bool: ...  # noqa: D102
    @property
    def certificate(self) -> object: ...  # noqa: D102
    @property
    def notes(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def smooths(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def fitted_smooths(self) -> tuple[FittedSmooth, ...]: ...  # noqa: D102
    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame: ...  # noqa: D102


def summarize(
    results: FittedModel,
    alpha: float = 0.05,
    *,
    title: str = "Linear mixed model",
    method: str = "ML",
    facts: Sequence[tuple[str, object]] = (),
    settings: Mapping[str, str] = MappingProxyType({}),
    residual: pd.DataFrame | None = None,
    known_residuals: bool = False,
    components: Mapping[str, pd.DataFrame] | None = None,
    ratio: str | None = None,
    tests: RowTests | None = None,
    unanswered: Collection[str] = (),
) -> Summary:
    """Return the summary of a fit.

    Parameters
    ----------
    results : FittedModel
        Estimates in statsmodels' vocabulary; ``str(results.certificate)`` is a sentence on convergence.
    alpha : float
        One minus the level of the confidence intervals.
    title : str
        Heading; the kind of the model.
    method : str
        How the parameters were estimated, in a word.
    facts : sequence of (str, object)
        Further entries of the model block: family, link, integration.
    settings : mapping of str to str, optional
        What the formula does not say: weights, offset, residuals; a line each.
    residual : DataFrame, optional
        Parameters of the residual structure; see :func:`coefficient_table`.
    known_residuals : bool
        Whether the residual variances are known.
    components : mapping of str to DataFrame, optional
        Further tables of coefficients by title (dispersion, zero inflation, thresholds); see :func:`coefficient_table`.
    ratio : str, optional
        If given, the fixed effects are exponentiated and called this: ``"odds ratio"``, ``"rate ratio"``.
    tests : RowTests, optional
        Tests of the fixed effects by a method that is not the usual one of the model.
    unanswered : collection of str
        The methods, ``"check"`` and ``"explain"``, that have no answer for this kind of fit.

    Returns
    -------
    Summary
        Model block, random effects, fixed effects, components, and notes.
    """
    random = results.varcorr.table()
    blocks: list[Block] = [
        _model_block(results, method, facts, settings),
        *([random] if len(random.to_frame()) else []),
    ]
    if residual is not None:
        blocks.append(coefficient_table("Residuals", residual, alpha))
    if len(results.params):
        estimates = _estimates(results, alpha) if tests is None else _tested(tests, alpha)
        blocks.append(
            coefficient_table(
                "Fixed effects", estimates, alpha, use_t=results.use_t if tests is None else tests.use_t, ratio=ratio
            )
        )
    smooths = results.smooths
    if len(smooths):
        blocks.append(smooth_table(smooths))
    blocks += [coefficient_table(name, frame, alpha) for name, frame in (components or {}).items()]
    return Summary(
        tuple(blocks),
        title=title,
        notes=(*_notes(results, tests, ratio), *_residual_notes(residual, known=known_residuals)),
        following=_next_step(results.converged, unanswered) if options.next_steps else "",
    )


def _next_step(converged: bool, unanswered: Collection[str]) -> str:
    """The methods that have an answer for this fit."""
    steps = {"plot": ".plot() shows the fit", "check": ".check() its assumptions", "explain": ".explain() every line"}
    if not converged:
        steps = {"": ".certificate says what is wrong", "explain": ".explain() what the model assumes"}
    return f"Next: {', '.join(text for name, text in steps.items() if name not in unanswered)}."


def coefficient_table(
    title: str, estimates: pd.DataFrame, alpha: float = 0.05, *, use_t: bool = False, ratio: str | None = None
) -> Table:
    """Lay out coefficients in statsmodels' manner.

    Parameters
    ----------
    title : str
        Caption.
    estimates : DataFrame
        One row a coefficient, with any of the columns ``coef, bse, df, statistic, pvalue, lower, upper``.
    alpha : float
        One minus the level of ``lower`` and ``upper``.
    use_t : bool
        Whether the statistic is a t, with degrees of freedom ``df``, or a z.
    ratio : str, optional
        Name of the exponentiated coefficients, which are then shown instead of the coefficients and their errors.

    Returns
    -------
    Table
        Columns ``coef, std err, df, t, P>|t|, [0.025, 0.975]``, as far as ``estimates`` has them.

    Examples
    --------
    >>> import pandas as pd
    >>> table = coefficient_table("Thresholds", pd.DataFrame({"coef": [-1.2], "bse": [0.4]}, index=["low|high"]))
    >>> list(table.to_frame().columns)
    ['coef', 'std err']
    """
    if ratio is not None:
        estimates = _exponentiated(estimates)
    shown = estimates if use_t else estimates.drop(columns="df", errors="ignore")
    headers = _headers("t" if use_t else "z", alpha, ratio or "coef")
    formats = _formats(estimates)
    names = Column("", tuple(map(str, estimates.index)), stub=True)
    chosen = [key for key in headers if key in shown.columns and not (ratio is not None and key == "bse")]
    return Table((names, *(Column(headers[key], tuple(shown[key]), formats[key]) for key in chosen)), title=title)


def _estimates(results: FittedModel, alpha: float) -> pd.DataFrame:
    limits = results.conf_int(alpha=alpha)
    return pd.DataFrame(
        {
            "coef": results.params,
            "bse": results.bse,
            "df": results.df,
            "statistic": results.tvalues,
            "pvalue": results.pvalues,
            "lower": limits["lower"],
            "upper": limits["upper"],
        }
    )


def _tested(tests: RowTests, alpha: float) -> pd.DataFrame:
    frame = tests.to_frame(alpha).rename(columns={"estimate": "coef", "se": "bse", "t": "statistic", "z": "statistic"})
    return frame[["coef", "bse", "df", "statistic", "pvalue", "lower", "upper"]]


def _exponentiated(estimates: pd.DataFrame) -> pd.DataFrame:
    """Return coefficients and limits on the ratio scale; the standard error by the delta method gives their digits."""
    raised = estimates.copy()
    scale = [name for name in ("coef", "lower", "upper") if name in estimates.columns]
    with np.errstate(over="ignore"):  # a separated coefficient has an infinite ratio
        raised[scale] = np.exp(estimates[scale])
        if "bse" in estimates.columns:
            raised["bse"] = raised["coef"] * estimates["bse"]
    return raised


def _headers(letter: str, alpha: float, coefficient: str) -> dict[str, str]:
    return {
        "coef": coefficient,
        "bse": "std err",
        "df": "df",
        "statistic": letter,
        "pvalue": f"P>|{letter}|",
        "lower": f"[{alpha / 2:.4g}",
        "upper": f"{1 - alpha / 2:.4g}]",
    }


def _formats(estimates: pd.DataFrame) -> dict[str, ColumnFormat]:
    """Return formats in which the standard error of each row says how many digits are worth writing."""
    units = tuple(estimates["bse"]) if "bse" in estimates.columns else ()
    return {
        "coef": Numbers(4, units, UNDEFINED),
        "bse": Numbers(3, units, UNDEFINED),
        "df": Each(format_df, UNDEFINED),
        "statistic": Numbers(3, (1.0,), UNDEFINED),
        "pvalue": Each(format_p, UNDEFINED),
        "lower": Numbers(3, units, UNDEFINED),
        "upper": Numbers(3, units, UNDEFINED),
    }


def _model_block(
    results: FittedModel, method: str, extra: Sequence[tuple[str, object]], settings: Mapping[str, str]
) -> Facts:
    left = [
        Fact("Method", method),
        *(Fact(label, value) for label, value in extra),
        Fact("Observations", results.nobs),
        Fact("Residual df", results.df_resid, format_count(results.df_resid)),
    ]
    right = [
        _criterion("REML log-likelihood" if results.reml else "Log-likelihood", results.llf),
        _criterion("AIC", results.aic),
        _criterion("BIC", results.bic),
    ]
    pairs = zip_longest(left, right, fillvalue=Fact("", ""))
    groups = ", ".join(f"{name} ({size})" for name, size in results.n_groups.items())
    wide = [("Formula", results.model.written), ("Groups", groups), ("Converged", _verdict(results))]
    formula, sizes, verdict = (Fact(label, str(value), wide=True) for label, value in wide)
    told = (Fact(label, text, wide=True) for label, text in settings.items())
    above = (formula, *([sizes] if groups else []), *told)
    return Facts((*above, *(fact for pair in pairs for fact in pair), verdict))


def _criterion(label: str, value: float) -> Fact:
    return Fact(label, value, format_number(value, 3, unit=1.0, missing=UNDEFINED))


def _verdict(results: FittedModel) -> str:
    verdict = "yes" if results.converged else "NO"
    singular = ", on the boundary (see the notes)" if results.is_singular else ""
    reasons = [] if results.certificate is None else str(results.certificate).splitlines()
    return f"{verdict}{singular}. {reasons[0]}" if reasons else f"{verdict}{singular}"


def _notes(results: FittedModel, tests: RowTests | None, ratio: str | None) -> Iterator[str]:
    if not results.converged:
        separated = bool(getattr(results.certificate, "separated", ()))
        yield NO_FINITE_ESTIMATES if separated else NOT_CONVERGED
    if results.is_singular:
        found = _boundaries(results)
        vanished = sum(sd == 0 for term in results.varcorr.terms for sd in term.sd)
        reduction = f"{NOTHING_LOST if vanished else ''}{UNTOLD if len(found) > vanished else ''}"
        yield f"Singular fit: {'; '.join(found)}. {SINGULAR_MEANING.format(reduction=reduction)}"
    yield from results.notes
    if len(results.smooths):
        yield SMOOTH_NOTE
    for smooth in results.fitted_smooths:
        if smooth.times is not None:
            yield COEFFICIENT_NOTE.format(smooth.label, smooth.times, smooth.times)
    if tests is not None and tests.use_t:
        yield f"t tests and intervals of the fixed effects have degrees of freedom by {tests.method}."
    elif tests is None and len(results.params) and results.use_t:
        plain = not results.n_groups and np.allclose(results.df, results.nobs - len(results.params))
        kind = "the residual" if plain else "Satterthwaite's"
        yield f"t tests and intervals of the fixed effects have {kind} degrees of freedom."
    if results.use_t and getattr(results.certificate, "sampling", None) is not None:
        yield AVERAGE_INFORMATION
    if ratio is not None:
        yield RATIOS


def _residual_notes(residual: pd.DataFrame | None, *, known: bool) -> Iterator[str]:
    if known:
        yield (
            "The residual variances are known, row by row: the row Residual is 1 because it multiplies them, and is no "
            "estimate."
        )
    if residual is not None and any(str(name).startswith("sd, ") for name in residual.index):
        yield (
            "Residual variances differ: the row Residual has sigma squared, the standard deviations by Residuals (sd) "
            "are those of rows of weight 1; names with a level in brackets are ratios to the first level."
        )


def _boundaries(results: FittedModel) -> list[str]:
    """Say which variances are zero and which correlations one."""
    found = [sentence for term in results.varcorr.terms for sentence in _boundaries_of(term)]
    if taking := getattr(results.certificate, "exhausting", ()):
        found.append(f"the residual variance is estimated as zero: {' and '.join(taking)} takes all of it")
    return found or ["some combination of the random effects has no variance"]


def _boundaries_of(term: TermCovariance) -> Iterator[str]:
    for name, sd in zip(term.names, term.sd):
        if sd == 0 and term.smooth:
            where = "" if len(term.names) == 1 else f" of {name}"
            yield f"the smooth {term.group}{where} is estimated as a straight line, without any variance about it"
        elif sd == 0:
            yield f"the variance of {name} by {term.group} is estimated as zero"
    if term.correlated:
        correlation = np.tril(np.nan_to_num(term.correlation), -1)
        for row, column in np.argwhere(np.abs(correlation) > PERFECT):
            pair = f"{term.names[column]} and {term.names[row]} by {term.group}"
            yield f"the correlation of {pair} is estimated as {np.sign(correlation[row, column]):+.0f}"
