"""One page about a fit: what is well, what to look at, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from mixedfx._display import StatsTable
from mixedfx._lazy import higher
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.diagnostics.influence import influence
from mixedfx.diagnostics.layers import flat_layers
from mixedfx.diagnostics.measures import vif
from mixedfx.diagnostics.random_effects import FEWEST_LEVELS, random_effects_independence, random_effects_normality
from mixedfx.diagnostics.residuals import anderson_darling, standardized_residuals
from mixedfx.diagnostics.simulated import QuantileResiduals, sampled_residuals
from mixedfx.diagnostics.variances import untestable
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.results.base import MixedResults
from mixedfx.results.simulate import generator

__all__ = ["Check", "check", "is_quick", "page_residuals"]


WELL, LOOK, WRONG = "well", "look", "wrong"
SUSPICIOUS = 0.01  # p-values below are worth a look: several tests are made
INFLATED = 3.0  # standard errors this many times longer than without collinearity
LARGE_COOK = 1.0  # Cook's distance of a set that moves the estimates by a standard error or so
UNEVEN = 0.2  # rank correlation of the size of the residuals with the fitted values
FEW_LEVELS = 5
MOST_NAMED = 4  # rows that a sentence lists
DRAWS = 250
MOST_SETS = 5000  # groups, beyond which the page leaves influence out …
MOST_REFITTED = 1e7  # … or rows of all fits, where it takes a fit a group
MOST_ROWS = 20_000  # whose simulated residuals are looked at


@dataclass(frozen=True)
class Finding:
    """One line of the page."""

    topic: str
    verdict: str
    words: str


@dataclass(frozen=True)
class Check:
    """The findings about a fit; made by :func:`check`. Prints as a page; ``plot()`` draws the pictures."""

    fit: MixedResults
    findings: tuple[Finding, ...]
    residuals: QuantileResiduals

    @property
    def ok(self) -> bool:
        """Whether nothing needs a look."""
        return all(finding.verdict == WELL for finding in self.findings)

    def to_frame(self) -> pd.DataFrame:
        """Return ``verdict`` ("well", "look", "wrong") and ``found`` by topic."""
        rows = {f.topic: (f.verdict, f.words) for f in self.findings}
        return pd.DataFrame.from_dict(rows, orient="index", columns=["verdict", "found"]).rename_axis("topic")

    def table(self) -> StatsTable:
        """Return the page as a table."""
        open_points = [f.topic for f in self.findings if f.verdict != WELL]
        note = f"Worth a look: {', '.join(open_points)}." if open_points else "Nothing stands out."
        frame = self.to_frame().assign(verdict=lambda found: found["verdict"].map(MARKS))
        return StatsTable.from_frame(frame, heading="Check of the fit", notes=[note])

    def plot(self) -> Any:
        """Draw the pictures of the page; see :func:`mixedfx.plots.dashboard`."""
        return higher("dashboard")(self.fit, self.residuals)

    def __str__(self) -> str:
        width = max(len(f.topic) for f in self.findings) + 2
        lines = [f"Check of {self.fit.design.formula}", ""]
        lines += [f"{f'[{MARKS[f.verdict]}]':8}{f.topic.ljust(width)}{f.words}" for f in self.findings]
        return "\n".join([*lines, "", *self.table().notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


MARKS = {WELL: "ok", LOOK: "look", WRONG: "wrong"}


def check(fit: Any, *, seed: Any = 0) -> Check:
    """Look a fit over: convergence, residuals, random effects, collinearity, influence.

    Parameters
    ----------
    fit : MixedResults
    seed : int, optional
        Of the simulated residuals.

    Returns
    -------
    Check
        Prints as one page; ``to_frame()``, ``ok``, ``plot()``.

    Notes
    -----
    The distribution is tested by Anderson and Darling's statistic of residuals that are independent and normal if the
    model holds: of a linear model conditional residuals in their own standard deviations, of a generalised one
    quantile residuals about a draw of the linear predictor given the data. Dispersion, outliers and zeros are compared
    with draws from the model about such a draw, the dispersion where the family has none that was estimated.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"))
    >>> mfx.check(fit).to_frame()["verdict"].to_dict()["convergence"]
    'well'
    """
    results = mixed_results(fit, "check")
    residuals = _simulated(results, seed)
    topics: dict[str, Callable[[], Iterable[Finding]]] = {
        "convergence": lambda: [_convergence(results)],
        "variances": lambda: [_boundary(results)],
        "layers": lambda: _layers(results),
        "distribution": lambda: [_distribution(results, seed)],
        "dispersion": lambda: _dispersion(results, residuals),
        "outliers": lambda: [_outliers(residuals)],
        "zeros": lambda: _zeros(residuals),
        "residuals": lambda: _extremes(results),
        "equal spread": lambda: _spread(results),
        "random effects": lambda: _normality(results),
        "within and between": lambda: _independence(results),
        "levels": lambda: _levels(results),
        "collinearity": lambda: _collinearity(results),
        "influence": lambda: _influence(results),
    }
    findings = tuple(finding for topic, found in topics.items() for finding in _examined(topic, found))
    return Check(results, findings, residuals)


def _simulated(fit: MixedResults, seed: Any) -> QuantileResiduals:
    """Residuals about a draw given the data; about the estimate, if that is too near singular."""
    try:
        return page_residuals(fit, seed)
    except DataError:
        return page_residuals(fit, seed, "fitted")


def page_residuals(fit: MixedResults, seed: Any, random: str = "posterior") -> QuantileResiduals:
    """Return simulated residuals; of a random sample of the rows if there are very many."""
    return sampled_residuals(fit, DRAWS, generator(seed), random, MOST_ROWS)


def _examined(topic: str, found: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The findings; where the fit is too near singular to be examined, that."""
    try:
        return list(found())
    except (ArithmeticError, np.linalg.LinAlgError, DataError, SpecificationError) as reason:
        return [Finding(topic, LOOK, f"could not be examined, the fit is too near singular ({reason})")]


def _convergence(fit: MixedResults) -> Finding:
    if fit.converged:
        return Finding("convergence", WELL, "the optimum was found and certified")
    return Finding("convergence", WRONG, f"the optimum is in doubt: {fit.certificate}")


def _boundary(fit: MixedResults) -> Finding:
    if not fit.certificate.is_identified:
        return Finding("variances", WRONG, str(fit.certificate).splitlines()[1])
    if not fit.is_singular:
        return Finding("variances", WELL, "none is zero, no correlation is -1 or 1")
    return Finding("variances", LOOK, "some variance is zero or some correlation -1 or 1: a smaller random part may do")


def _layers(fit: MixedResults) -> Iterator[Finding]:
    """Layers whose variance can be exchanged for that of another, at no cost: a flat profile."""
    for found in flat_layers(fit):
        if found.is_better:
            words = (
                f"{found.one} and {found.other} share a ridge with another maximum: -2 log L falls by {found.fall:.2g} "
                "along it; fit again with control=mfx.Control(starts=5)"
            )
            yield Finding("layers", WRONG, words)
        else:
            words = (
                f"the profile is flat: {found.one} and {found.other} can be exchanged for each other, from none to all "
                f"of it, within 95 % intervals (-2 log L rises by {found.rise:.2g}): the data tell little but their sum"
            )
            yield Finding("layers", LOOK, words)


def _distribution(fit: MixedResults, seed: Any) -> Finding:
    """Anderson and Darling's test of residuals that are independent and normal if the model holds."""
    statistic, pvalue = anderson_darling(standardized_residuals(fit, seed=seed))
    if np.isnan(pvalue):
        return Finding("distribution", WELL, "too few residuals to tell their distribution")
    return Finding(
        "distribution",
        _verdict(pvalue),
        f"residuals {_agree(pvalue)} the distribution of the model (Anderson-Darling A = {statistic:.2f}, p = "
        f"{pvalue:.2g})",
    )


def _dispersion(fit: MixedResults, residuals: QuantileResiduals) -> Iterator[Finding]:
    """A test of the dispersion, for families that do not estimate one."""
    if untestable(fit) is None:
        test = residuals.dispersion()
        words = f"the data vary {test['statistic']:.2f} times as much as the family says (p = {test['pvalue']:.2g})"
        yield Finding("dispersion", _verdict(test["pvalue"]), words)


def _outliers(residuals: QuantileResiduals) -> Finding:
    return Finding(
        "outliers",
        _verdict(residuals.outliers()["pvalue"]),
        f"{int(residuals.outside.sum())} of {residuals.outside.size}{residuals.sampled} responses lie beyond all "
        f"{residuals.n_draws} draws",
    )


def _zeros(residuals: QuantileResiduals) -> Iterator[Finding]:
    if residuals.zeros or residuals.drawn_zeros.any():
        zeros = residuals.zero_counts()
        yield Finding(
            "zeros",
            _verdict(zeros["pvalue"]),
            f"{zeros['statistic']:.2f} times as many zeros as in draws from the model (p = {zeros['pvalue']:.2g})",
        )


def _verdict(pvalue: float) -> str:
    return LOOK if pvalue < SUSPICIOUS else WELL


def _agree(pvalue: float) -> str:
    return "do not follow" if pvalue < SUSPICIOUS else "follow"


def _extremes(fit: MixedResults) -> Iterator[Finding]:
    """Residuals that are too large for the normal distribution, by Bonferroni's bound."""
    if not fit.solution.response.has_normal_residuals:
        return
    size = fit.residuals("normalized").abs()
    limit = float(special.ndtri(1.0 - 0.5 * SUSPICIOUS / max(len(size), 1)))
    far = size[size > limit].sort_values(ascending=False)
    if far.empty:
        yield Finding("residuals", WELL, f"the largest is {size.max():.1f} standard deviations: no outlier")
        return
    names = ", ".join(str(row) for row in far.index[:MOST_NAMED])
    more = ", …" if len(far) > MOST_NAMED else ""
    verb = "is" if len(far) == 1 else "are"
    yield Finding(
        "residuals",
        LOOK,
        f"{len(far)} {verb} beyond {limit:.1f} standard deviations, where none should be: row {names}{more}",
    )


def _spread(fit: MixedResults) -> Iterator[Finding]:
    if not fit.solution.response.has_normal_residuals:
        return
    residuals, fitted = np.abs(fit.residuals("pearson").to_numpy()), fit.fittedvalues.to_numpy()
    used = np.isfinite(residuals)
    if np.ptp(fitted[used]) == 0:
        return
    test = stats.spearmanr(residuals[used], fitted[used])
    correlation, pvalue = float(test.statistic), float(test.pvalue)
    uneven = abs(correlation) > UNEVEN and pvalue < SUSPICIOUS
    trend = "grow" if correlation > 0 else "shrink"
    words = f"residuals {trend} with the fitted values" if uneven else "residuals are as large for all fitted values"
    yield Finding("equal spread", LOOK if uneven else WELL, f"{words} (rank correlation {correlation:.2f})")


def _normality(fit: MixedResults) -> Iterator[Finding]:
    laws = fit.solution.laws
    if laws and all(term.group in laws for term in fit.design.random):
        return
    frame = random_effects_normality(fit).to_frame()
    far = frame[frame["p"] < SUSPICIOUS]
    if far.empty:
        yield Finding("random effects", WELL, _calm(frame))
        return
    labels = [f"{term} of {group}" for group, term in far.index]
    names = ", ".join(f"{label} (p = {p:.2g})" for label, p in zip(labels, far["p"], strict=True))
    yield Finding("random effects", LOOK, f"not normal: {names}")


def _calm(frame: pd.DataFrame) -> str:
    """What is said where nothing departs: of effects without variance, or with few levels, nothing is known."""
    untested = frame[frame["p"].isna()]
    if frame.empty:
        return "there are none"
    if untested.empty:
        return "no departure from the normal distribution"
    names = ", ".join(f"{term} of {group}" for group, term in untested.index)
    rest = "" if len(untested) == len(frame) else "; no departure from the normal distribution elsewhere"
    return f"nothing can be told of {names} (no variance, or fewer than {FEWEST_LEVELS} levels){rest}"


def _independence(fit: MixedResults) -> Iterator[Finding]:
    frame = random_effects_independence(fit).to_frame()
    if frame.empty:
        return
    related = frame[frame["p"] < SUSPICIOUS / len(frame)]
    if related.empty:
        yield Finding("within and between", WELL, "random effects are unrelated to group means of the predictors")
        return
    pairs = ", ".join(f"{predictor} ({group})" for group, _, predictor in related.index)
    yield Finding(
        "within and between",
        LOOK,
        f"random effects go with the group means of {pairs}: its effect may differ within and between groups",
    )


def _levels(fit: MixedResults) -> Iterator[Finding]:
    few = {group: m for group, m in fit.n_groups.items() if m < FEW_LEVELS}
    if few:
        names = ", ".join(f"{group} ({m})" for group, m in few.items())
        yield Finding("levels", LOOK, f"few levels: {names}; their variance is hardly known")


def _collinearity(fit: MixedResults) -> Iterator[Finding]:
    if sum(term != "Intercept" for term in fit.design.fixed.terms) < 2:
        return
    scaled = vif(fit).to_frame()["scaled"]
    if scaled.isna().all():
        yield Finding("collinearity", LOOK, "it cannot be told: some predictor is all but determined by the others")
        return
    worst = str(scaled.idxmax())
    words = f"standard errors are at most {scaled.max():.1f} times longer for it ({worst})"
    yield Finding("collinearity", LOOK if scaled.max() > INFLATED else WELL, words)


def is_quick(fit: MixedResults, count: int) -> bool:
    """Whether a page can wait for the influence of so many groups: crossed designs are fitted anew without each."""
    crossed = fit.solution.problem.assembly.rows.layout.n_remainder > 0
    return count <= MOST_SETS and (not crossed or count * fit.nobs <= MOST_REFITTED)


def _influence(fit: MixedResults) -> Iterator[Finding]:
    if not fit.solution.response.has_normal_residuals or fit.solution.residual is not None or not fit.n_groups:
        return
    group, count = min(fit.n_groups.items(), key=lambda pair: pair[1])
    if not is_quick(fit, count) or not len(fit.params):
        return
    distance = influence(fit, group).cooks_distance
    if distance.isna().all():
        return
    words = f"no {group} moves the fixed effects much: the largest Cook's distance is {distance.max():.2g}"
    if distance.max() > LARGE_COOK:
        words = f"{group} {distance.idxmax()} moves the fixed effects a lot (Cook's distance {distance.max():.2g})"
    yield Finding("influence", LOOK if distance.max() > LARGE_COOK else WELL, f"{words}")
