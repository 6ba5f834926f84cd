"""One page about a fit: what is well, what to look at, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from mixedfx._display import StatsTable
from mixedfx._lazy import cached_property, higher
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.diagnostics.findings import LOOK, MARKS, SUSPICIOUS, WELL, WRONG, Finding, p_words, verdict
from mixedfx.diagnostics.influence import LARGE, Influence, influence, outstanding
from mixedfx.diagnostics.layers import flat_layers
from mixedfx.diagnostics.measures import vif
from mixedfx.diagnostics.patterns import DISPERSED, can_spread, patterns
from mixedfx.diagnostics.random_effects import FEWEST_LEVELS, random_effects_independence, random_effects_normality
from mixedfx.diagnostics.residuals import anderson_darling, standardized_residuals
from mixedfx.diagnostics.simulated import QuantileResiduals, sampled_residuals
from mixedfx.diagnostics.variances import untestable
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.results.base import MixedResults
from mixedfx.results.simulate import generator

__all__ = ["Check", "check"]


UNCORRELATED = 1.05
INFLATED = 3.0  # standard errors this many times longer than without collinearity
FAR_OUT = 3.5  # standard deviations
SKEWED = 0.5  # skewness beyond which a distribution is called skew
RELIABLE = 0.85  # share of an effect's variance that its modes show: below, those of a family are far from normal
FEW_LEVELS = 5
SHOWING = 10  # levels: fewer show little of a distribution
MOST_NAMED = 4  # rows that a sentence lists
DRAWS = 250
MOST_SETS = 5000  # groups, beyond which the page leaves influence out …
MOST_REFITTED = 1e7  # … or rows of all fits, where it takes a fit a group
MOST_ROWS = 20_000  # whose simulated residuals are looked at


@hinting_methods
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
        """Return ``verdict`` ("well", "look", "wrong"), ``found`` and ``advice`` (empty without need) by topic."""
        rows = {f.topic: (f.verdict, f.words, f.advice) for f in self.findings}
        return pd.DataFrame.from_dict(rows, orient="index", columns=["verdict", "found", "advice"]).rename_axis("topic")

    def panels(self) -> pd.DataFrame:
        """Return what stands under each picture of ``plot()``: ``topic, verdict, line``, by ``panel``.

        Where several findings belong to a picture, the first that needs a look.
        """
        shown = {finding.topic: finding for finding in self.findings}
        rows = {}
        for panel in (*PANELS, self.last_but_one, "dispersion"):
            topics = [shown[topic] for topic in PANELS.get(panel, (panel,)) if topic in shown]
            if topics:
                found = next((finding for finding in topics if finding.verdict != WELL), topics[0])
                rows[panel] = (found.topic, found.verdict, found.sentence)
            else:
                rows[panel] = ("", "", self._untold(panel))
        return pd.DataFrame.from_dict(rows, orient="index", columns=["topic", "verdict", "line"]).rename_axis("panel")

    @property
    def last_but_one(self) -> str:
        """What the last picture but one shows: influence where that can be had, else zeros if there are any."""
        if self.influence is not None:
            return "influence"
        return "zeros" if any(finding.topic == "zeros" for finding in self.findings) else "outliers"

    @cached_property
    def influence(self) -> Influence | None:
        """Influence of the levels of the factor with the fewest; None where the page leaves it out."""
        try:
            return _influence(self.fit)
        except TROUBLE:
            return None

    def _untold(self, panel: str) -> str:
        """What is said of a picture of which nothing was tested."""
        if panel == "dispersion":
            reason = str(untestable(self.fit))
            return f"{reason[:1].upper()}{reason[1:]}."
        if panel == "random effects" and self.fit.design.random:
            return "Not tested: the model does not take these effects for normal."
        if panel == "spread" and not can_spread(self.fit):
            return "Nothing to test: single zeros and ones cannot spread more or less."
        return "Nothing to test: all fitted values are the same."

    def table(self) -> StatsTable:
        """Return the page as a table."""
        open_points = [f.topic for f in self.findings if f.verdict != WELL]
        note = f"Worth a look: {', '.join(open_points)}." if open_points else "Nothing stands out."
        frame = self.to_frame().assign(verdict=lambda found: found["verdict"].map(MARKS))
        return StatsTable.from_frame(frame, heading="Check of the fit", notes=[note])

    def plot(self) -> Any:
        """Draw the pictures of the page; see :func:`mixedfx.plots.dashboard`."""
        return higher("dashboard")(self)

    def __str__(self) -> str:
        width = max(len(f.topic) for f in self.findings) + 2
        lines = [f"Check of {self.fit.design.written}", ""]
        for f in self.findings:
            lines.append(f"{f'[{MARKS[f.verdict]}]':8}{f.topic.ljust(width)}{f.words}")
            if f.advice:
                lines.append(f"{'':8}{'':{width}}→ {f.advice}")
        return "\n".join([*lines, "", *self.table().notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


PANELS = {
    "residuals": ("bends",),
    "spread": ("equal spread",),
    "quantiles": ("distribution", "residuals", "outliers"),
    "random effects": ("random effects",),
}
"""Topics that the first pictures show; the last two show what their names say."""


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
        Prints as one page; ``to_frame()``, ``ok``, ``plot()``, ``panels()`` (the line under each picture).

    Notes
    -----
    The distribution is tested by Anderson and Darling's statistic of residuals that are independent and normal if the
    model holds: of a linear model conditional residuals in their own standard deviations, of a generalised one
    quantile residuals about a draw of the linear predictor given the data. Dispersion, outliers and zeros are compared
    with draws from the model about such a draw, the dispersion where the family has none that was estimated. Bends and
    unequal spread are looked for along the fitted values, every column of the fixed effects and (the spread) every
    grouping factor with ten rows a level or more; their p-values count all of these.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"))
    >>> mfx.check(fit).to_frame()["verdict"].to_dict()["convergence"]
    'well'
    """
    results = mixed_results(fit, "check")
    residuals, seen = _simulated(results, seed), cache(lambda: patterns(results, seed))
    topics: dict[str, Callable[[], Iterable[Finding]]] = {
        "convergence": lambda: [_convergence(results)],
        "variances": lambda: [_boundary(results)],
        "layers": lambda: _layers(results),
        "distribution": lambda: [_distribution(results, seed)],
        "dispersion": lambda: _dispersion(results, residuals),
        "outliers": lambda: [_outliers(residuals)],
        "zeros": lambda: _zeros(residuals),
        "residuals": lambda: _extremes(results),
        "bends": lambda: seen().bend(),
        "equal spread": lambda: seen().spread(),
        "random effects": lambda: _normality(results),
        "within and between": lambda: _independence(results),
        "levels": lambda: _levels(results),
        "collinearity": lambda: _collinearity(results),
        "influence": lambda: _moved(_influence(results)),
    }
    findings = tuple(finding for topic, found in topics.items() for finding in _examined(topic, found))
    return Check(results, findings, residuals)


def _simulated(fit: MixedResults, seed: Any) -> QuantileResiduals:
    """Residuals about a draw given the data; about the estimate, if that is too near singular."""
    try:
        return _page_residuals(fit, seed)
    except DataError:
        return _page_residuals(fit, seed, "fitted")


def _page_residuals(fit: MixedResults, seed: Any, random: str = "posterior") -> QuantileResiduals:
    """Return simulated residuals; of a random sample of the rows if there are very many."""
    return sampled_residuals(fit, DRAWS, generator(seed), random, MOST_ROWS)


TROUBLE = (ArithmeticError, np.linalg.LinAlgError, DataError, SpecificationError)


def _examined(topic: str, found: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The findings; where the fit is too near singular to be examined, that."""
    try:
        return list(found())
    except TROUBLE as reason:
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
    words = "some variance is zero or some correlation -1 or 1"
    return Finding("variances", LOOK, words, "a smaller random part may do")


def _layers(fit: MixedResults) -> Iterator[Finding]:
    """Layers whose variance can be exchanged for that of another, at no cost: a flat profile."""
    for found in flat_layers(fit):
        if found.is_better:
            words = (
                f"{found.one} and {found.other} share a ridge with another maximum: -2 log L falls by {found.fall:.2g} "
                "along it"
            )
            yield Finding("layers", WRONG, words, "fit again with control=mfx.Control(starts=5)")
        else:
            words = (
                f"the profile is flat: {found.one} and {found.other} can be exchanged for each other, from none to all "
                f"of it, within 95 % intervals (-2 log L rises by {found.rise:.2g}): the data tell little but their sum"
            )
            yield Finding("layers", LOOK, words)


def _distribution(fit: MixedResults, seed: Any) -> Finding:
    """Anderson and Darling's test of residuals that are independent and normal if the model holds."""
    values = standardized_residuals(fit, seed=seed)
    statistic, pvalue = anderson_darling(values)
    if np.isnan(pvalue):
        return Finding("distribution", WELL, "too few residuals to tell their distribution")
    test = f"Anderson-Darling A = {statistic:.2f}, {p_words(pvalue)}"
    if verdict(pvalue) == WELL:
        return Finding("distribution", WELL, f"no departure of the residuals from the model is seen ({test})")
    shape, advice = _shape(fit, values[np.isfinite(values)])
    return Finding("distribution", LOOK, f"residuals {shape} ({test})", advice)


def _shape(fit: MixedResults, values: Array) -> tuple[str, str]:
    """How residuals depart from their distribution, and what to do."""
    near = values[np.abs(values) < FAR_OUT]  # one row far out makes no distribution skew
    skewness, linear = float(stats.skew(near)), fit.solution.response.has_normal_residuals
    if abs(skewness) > SKEWED:
        side = "right" if skewness > 0 else "left"
        other = "look at bends and spread first, then try another scale of the response"
        return f"are skewed to the {side}", other if linear else OTHER_FAMILY
    if stats.kurtosis(values) > 0:
        tails = "look at the rows far out"
        tails += ', then try glmer(…, family="student_t")' if fit.solution.residual is None else ""
        return "have longer tails than the model says", tails if linear else OTHER_FAMILY
    short = "look at the quantiles: values may be rounded, bounded or of two kinds"
    return "do not follow the distribution of the model", short if linear else OTHER_FAMILY


OTHER_FAMILY = "look at dispersion, zeros, bends and spread first, then try another family"


def _dispersion(fit: MixedResults, residuals: QuantileResiduals) -> Iterator[Finding]:
    """A test of the dispersion, for families that do not estimate one."""
    if untestable(fit) is not None:
        return
    test = residuals.dispersion()
    ratio, p = float(test["statistic"]), p_words(test["pvalue"])
    words = f"the data vary {ratio:.2f} times as much as the family says"
    if verdict(test["pvalue"]) == WELL:
        yield Finding("dispersion", WELL, f"{words}, as chance could make it ({p})")
    elif ratio > 1.0:
        other = DISPERSED.get(fit.solution.family.name)
        yield Finding("dispersion", LOOK, f"{words} ({p})", f'try family="{other}"' if other else "try another family")
    else:
        yield Finding("dispersion", LOOK, f"{words} ({p})", "standard errors are longer than they need be")


def _outliers(residuals: QuantileResiduals) -> Finding:
    count, expected = int(residuals.outside.sum()), float(residuals.drawn_outside.mean())
    words = (
        f"{count} of {residuals.outside.size}{residuals.sampled} responses {'lies' if count == 1 else 'lie'} beyond "
        f"all {residuals.n_draws} draws, where about {expected:.1f} would"
    )
    found = verdict(residuals.outliers()["pvalue"])
    return Finding("outliers", found, words, "look at these rows, and at the dispersion" if found == LOOK else "")


def _zeros(residuals: QuantileResiduals) -> Iterator[Finding]:
    if residuals.zeros or residuals.drawn_zeros.any():
        zeros = residuals.zero_counts()
        found, many = verdict(zeros["pvalue"]), zeros["statistic"] > 1.0
        words = f"{zeros['statistic']:.2f} times as many zeros as in draws from the model ({p_words(zeros['pvalue'])})"
        more = 'try zero_inflation="~ 1", or a family with more dispersion'
        advice = more if many else "find out why: zeros may not have been recorded"
        yield Finding("zeros", found, words, advice if found == LOOK else "")


def _extremes(fit: MixedResults) -> Iterator[Finding]:
    """Residuals that are too large for the normal distribution, by Bonferroni's bound."""
    if not fit.solution.response.has_normal_residuals:
        return
    size = fit.residuals("normalized").abs()
    limit = float(special.ndtri(1.0 - 0.5 * SUSPICIOUS / max(len(size), 1)))
    far = size[size > limit].sort_values(ascending=False)
    if far.empty:
        yield Finding("residuals", WELL, f"the largest is {size.max():.1f} standard deviations, which is not far")
        return
    names = ", ".join(str(row) for row in far.index[:MOST_NAMED])
    more = ", …" if len(far) > MOST_NAMED else ""
    verb = "is" if len(far) == 1 else "are"
    yield Finding(
        "residuals",
        LOOK,
        f"{len(far)} {verb} beyond {limit:.1f} standard deviations, where none should be: row {names}{more}",
        "see whether the values are right; report the fit with and without them",
    )


def _normality(fit: MixedResults) -> Iterator[Finding]:
    laws = fit.solution.laws
    if laws and all(term.group in laws for term in fit.design.random):
        return
    shown = _shown(fit)
    if shown < RELIABLE:
        words = f"not tested: the rows of a level show only {100 * shown:.0f} % of the variance of its effect"
        yield Finding("random effects", WELL, words)
        return
    frame = random_effects_normality(fit).to_frame()
    far = frame[frame["p"] < SUSPICIOUS]
    if far.empty:
        yield Finding("random effects", WELL, _calm(frame))
        return
    labels = [f"{term} of {group}" for group, term in far.index]
    names = ", ".join(f"{label} ({p_words(p)})" for label, p in zip(labels, far["p"], strict=True))
    yield Finding(
        "random effects", LOOK, f"do not look normal: {names}", "look at the levels far out: what sets them apart?"
    )


def _shown(fit: MixedResults) -> float:
    """Smallest mean share of the variance of effects that their modes show; 1 where modes are normal whatever it is.

    If little is known of a level, the mode of its effect is a function of few different responses, far from normal
    where these are counts.
    """
    if fit.solution.response.has_normal_residuals:
        return 1.0
    shares = [1.0]
    for group, known in fit.random_effects_sd.items():
        if group in fit.varcorr.covariances:
            variances = fit.varcorr.covariances[group].to_numpy().diagonal()
            kept = variances > 0
            shares += (1.0 - np.mean(np.square(known.to_numpy()[:, kept]), axis=0) / variances[kept]).tolist()
    return float(min(shares))


def _calm(frame: pd.DataFrame) -> str:
    """What is said where nothing departs: of effects without variance, or with few levels, nothing is known."""
    untested = frame[frame["p"].isna()]
    if frame.empty:
        return "there are none"
    if untested.empty:
        fewest = int(frame["levels"].min())
        little = f"; {fewest} levels show little" if fewest < SHOWING else ""
        return f"no departure from the normal distribution is seen{little}"
    names = ", ".join(f"{term} of {group}" for group, term in untested.index)
    rest = "" if len(untested) == len(frame) else "; no departure from the normal distribution is seen elsewhere"
    return f"nothing can be told of {names} (no variance, or fewer than {FEWEST_LEVELS} levels){rest}"


def _independence(fit: MixedResults) -> Iterator[Finding]:
    frame = random_effects_independence(fit).to_frame()
    if frame.empty:
        return
    related = frame[frame["p"] < SUSPICIOUS / len(frame)]
    if related.empty:
        yield Finding("within and between", WELL, "no relation of random effects with means of predictors is seen")
        return
    pairs = ", ".join(f"{predictor} ({group})" for group, _, predictor in related.index)
    yield Finding(
        "within and between",
        LOOK,
        f"random effects go with the group means of {pairs}: its effect may differ within and between groups",
        "split the predictor: wb(predictor, group)",
    )


def _levels(fit: MixedResults) -> Iterator[Finding]:
    few = {group: m for group, m in fit.n_groups.items() if m < FEW_LEVELS}
    if few:
        names = ", ".join(f"{group} ({m})" for group, m in few.items())
        words = f"few levels: {names}; their variance is hardly known"
        yield Finding("levels", LOOK, words, "a fixed effect may serve better")


def _collinearity(fit: MixedResults) -> Iterator[Finding]:
    if sum(term != "Intercept" for term in fit.design.fixed.terms) < 2:
        return
    scaled = vif(fit).to_frame()["scaled"]
    if scaled.isna().all():
        yield Finding("collinearity", LOOK, "it cannot be told: some predictor is all but determined by the others")
        return
    worst = str(scaled.idxmax())
    words = f"correlation of the terms makes standard errors up to {scaled.max():.1f} times as long ({worst})"
    if scaled.max() < UNCORRELATED:
        words = "the terms are all but uncorrelated"
    if scaled.max() > INFLATED:
        advice = "centre numbers that are multiplied or squared; else no term is wrong, but little is known of each"
        yield Finding("collinearity", LOOK, words, advice)
    else:
        yield Finding("collinearity", WELL, words)


def _is_quick(fit: MixedResults, count: int) -> bool:
    """Whether a page can wait for the influence of so many groups: crossed designs are fitted anew without each."""
    crossed = fit.solution.problem.assembly.rows.layout.n_remainder > 0
    return count <= MOST_SETS and (not crossed or count * fit.nobs <= MOST_REFITTED)


def _influence(fit: MixedResults) -> Influence | None:
    """The fit without each level of the factor with the fewest; None where that is not looked at."""
    if not fit.solution.response.has_normal_residuals or fit.solution.residual is not None or not fit.n_groups:
        return None
    group, count = min(fit.n_groups.items(), key=lambda pair: pair[1])
    if not _is_quick(fit, count) or not len(fit.params):
        return None
    found = influence(fit, group)
    return None if found.cooks_distance.isna().all() else found


def _moved(found: Influence | None) -> Iterator[Finding]:
    if found is None:
        return
    distance, group = found.cooks_distance, found.name
    count, sets = int(found.is_remarkable.sum()), len(found.labels)
    some = f"; {count} of {sets} stand{'s' if count == 1 else ''} out (above {outstanding(sets):.2g})" if count else ""
    if distance.max() > LARGE:
        words = (
            f"{group} {distance.idxmax()} moves the fixed effects a lot (Cook's distance {distance.max():.2g}){some}"
        )
        yield Finding("influence", LOOK, words, "report the result with and without it")
        return
    words = f"no {group} moves the fixed effects much: the largest Cook's distance is {distance.max():.2g}{some}"
    yield Finding("influence", WELL, words)
