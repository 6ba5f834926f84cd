"""Likelihood-ratio tests of random effects, whose variances lie at the end of their range under the null hypothesis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx._progress import watched
from mixedfx._suggestions import wrong_fit
from mixedfx.covariance import Covariance, DiagonalCovariance, UnstructuredCovariance
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import LinearFit, fit_linear
from mixedfx.inference.distributions import chi2_tail
from mixedfx.inference.likelihood_ratio import LikelihoodRatio, likelihood_ratio
from mixedfx.matrices import Design, RandomEffects
from mixedfx.matrices.encoder import term_label
from mixedfx.results.base import checked_fit

if TYPE_CHECKING:
    from mixedfx.results.linear import LinearMixedResults

__all__ = ["SEVERAL", "Extension", "chi_bar_square_tail", "extension_of", "linear_results", "ranova"]

INTERCEPT = "Intercept"
SEVERAL = (
    "Where several such parameters are tested at once PR(>chi2) is too large, and the right one depends on the design: "
    "bootstrap_test finds it."
)
SAMPLED = (
    "lrt_error is the Monte Carlo standard deviation of lrt: the likelihoods were estimated by random probes, the same "
    "for all models."
)
Terms = tuple[RandomEffects, ...]


@dataclass(frozen=True)
class Extension:
    """What a larger model has beyond a smaller one in its random part.

    Attributes
    ----------
    variances : int
        Number of variances that are zero in the smaller model.
    others : int
        Number of further parameters (covariances with those effects, fixed effects, …).
    """

    variances: int
    others: int


def chi_bar_square_tail(x: float, extension: Extension) -> float:
    """Return the p-value of a likelihood ratio ``x``: an even mixture of chi-squared with k - 1 and k df.

    Exact (asymptotically) where one variance is tested; nan where there are several, whose mixture depends on the
    design; without variances the ordinary p-value.

    References
    ----------
    Self & Liang (1987), J. Am. Stat. Assoc. 82, 605; Stram & Lee (1994), Biometrics 50, 1171.
    """
    k = extension.variances + extension.others
    if extension.variances == 0:
        return chi2_tail(x, k) if k else np.nan
    if extension.variances > 1:
        return np.nan
    below = chi2_tail(x, k - 1) if k > 1 else float(x <= 0)
    return 0.5 * below + 0.5 * chi2_tail(x, k)


def extension_of(small: Sequence[Design], large: Design, n_extra: int) -> Extension | None:
    """Return how ``large`` extends the random part of a smaller model; None if it does not contain it.

    Parameters
    ----------
    small : sequence of Design
        The design of the smaller model; empty if it has no random part at all.
    large : Design
    n_extra : int
        Difference of the numbers of parameters.
    """
    effects_before = {(term.group, name) for design in small for term in design.random for name in term.names}
    effects_now = {(term.group, name) for term in large.random for name in term.names}
    means = {(term.group, INTERCEPT) for term in large.random if _holds_intercept(term)}
    if not effects_before <= effects_now | means:
        return None
    of_means = effects_before & means
    new = [
        sum((term.group, name) not in effects_before for name in term.names)
        - ((term.group, INTERCEPT) in of_means and _holds_intercept(term))
        for term in large.random
    ]
    variances = sum(min(k, n_variances(term.covariance)) for k, term in zip(new, large.random, strict=True))
    return Extension(variances, n_extra - variances) if n_extra >= variances else None


def _holds_intercept(term: RandomEffects) -> bool:
    """Whether correlated columns of a factor stand for an intercept: ``(0 + f | g)`` contains ``(1 | g)``."""
    if INTERCEPT in term.names or not isinstance(term.covariance, UnstructuredCovariance):
        return False
    return any(holds_constant(term, label) for label in term.encoder.terms)


def holds_constant(term: RandomEffects, label: str) -> bool:
    """Whether the columns of a term left of the bar add up to the constant."""
    total = term.matrix[:, list(term.encoder.terms[label])].sum(axis=1)
    return bool(total[0] != 0 and np.all(total == total[0]))


def n_variances(covariance: Covariance) -> int:
    """Return how many variances a covariance has: the parameters that cannot be negative; one if all are equal."""
    return int(np.sum(covariance.lower() == 0))


@dataclass(frozen=True)
class _Reduction:
    """One random effect dropped: what the row is called, what is left, and how many variances are gone."""

    label: str
    terms: Terms
    variances: int = 1


def linear_results(fit: Any, function: str) -> LinearMixedResults:
    """Return results of a linear mixed model: normal residuals around the linear predictor.

    Raises
    ------
    TypeError
        If it is something else.
    """
    words = "is for linear mixed models"
    results = checked_fit(fit, function, words)
    if not results.solution.response.has_normal_residuals:
        raise wrong_fit(function, words, fit)
    if results.solution.not_linear:
        raise SpecificationError(f"{function} {results.solution.not_linear}")
    return cast("LinearMixedResults", results)


def ranova(fit: Any) -> StatsTable:
    """Test every random effect of a linear mixed model by dropping it.

    An effect of a correlated term, as ``x`` in ``(1 + x | g)``, is dropped together with its covariances, and all
    columns of a factor together, so that neither its coding nor its reference matters; what a product contains is not
    dropped before it. Of ``(0 + f | g)``, a factor without an intercept, ``(1 | g)`` is left. A term of one effect is
    dropped as a whole, down to the model with fixed effects only. REML fits are compared by their restricted
    likelihoods, as the fixed effects stay the same.

    Parameters
    ----------
    fit : LinearMixedResults

    Returns
    -------
    StatsTable
        One row a dropped effect: ``n_params, llf, aic, lrt, df, PR(>chi2)``, and ``PR(boundary)``, which takes into
        account that a variance cannot be negative; nan where several variances are dropped at once.

    Raises
    ------
    TypeError
        If ``fit`` is not a linear mixed model.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.ranova(fit).to_frame()[["n_params", "lrt", "df"]].round(3)
                                  n_params     lrt   df
    <none>                               6     NaN  NaN
    Days in (1 + Days | Subject)         4  42.837  2.0
    """
    fit = linear_results(fit, "ranova")
    reductions = list(_reductions(fit.design))
    fits = (_reduced(fit, reduction.terms) for reduction in reductions)
    reduced = list(watched(fits, len(reductions), "ranova"))
    removed = [_n_theta(fit.design.random) - _n_theta(reduction.terms) for reduction in reductions]
    frame = pd.DataFrame({"n_params": fit.n_parameters - np.array([0, *removed])})
    frame["llf"] = [fit.llf, *(other.llf for other in reduced)]
    frame.index = pd.Index(["<none>", *(reduction.label for reduction in reductions)])
    frame["aic"] = -2.0 * frame["llf"] + 2.0 * frame["n_params"]
    ratios = [likelihood_ratio((fit.llf, fit.solution.llfs), (other.llf, other.llfs)) for other in reduced]
    tests = [_test(*test) for test in zip(ratios, removed, reductions, strict=True)]
    for position, name in enumerate(("lrt", "df", "PR(>chi2)", "PR(boundary)")):
        frame[name] = [np.nan, *(test[position] for test in tests)]
    if any(ratio.error for ratio in ratios):
        frame.insert(list(frame).index("lrt") + 1, "lrt_error", [np.nan, *(ratio.error for ratio in ratios)])
    notes = [
        f"{'Restricted l' if fit.reml else 'L'}ikelihood-ratio tests; every row is the model without that effect.",
        "PR(boundary) takes into account that a variance cannot be negative (Stram and Lee 1994).",
    ]
    if any(reduction.variances > 1 for reduction in reductions):
        notes.append(SEVERAL)
    if any(ratio.error for ratio in ratios):
        notes.append(SAMPLED)
    doubts = [ratio.doubt(df) for ratio, df in zip(ratios, removed, strict=True)]
    notes += [f"{one.label}: {doubt}." for one, doubt in zip(reductions, doubts, strict=True) if doubt]
    return StatsTable.from_frame(frame, heading="Tests of random effects", notes=notes, formats={"PR(boundary)": "p"})


def _test(ratio: LikelihoodRatio, df: int, reduction: _Reduction) -> tuple[float, float, float, float]:
    lrt, extension = max(ratio.value, 0.0), Extension(reduction.variances, df - reduction.variances)
    if not ratio.is_clear(df):
        return lrt, float(df), np.nan, np.nan
    return lrt, float(df), chi2_tail(lrt, df), chi_bar_square_tail(lrt, extension)


def _reduced(fit: LinearMixedResults, terms: Terms) -> LinearFit:
    """The fit of the model with other random-effects terms."""
    problem = fit.solution.problem
    return fit_linear(problem.with_design(replace(problem.design, random=terms)), fit.solution.same_way)


def _n_theta(terms: Terms) -> int:
    return sum(term.covariance.n_theta for term in terms)


def _reductions(design: Design) -> Iterator[_Reduction]:
    terms = design.random
    for i, term in enumerate(terms):
        before, after = terms[:i], terms[i + 1 :]
        text = term.term if term.term.startswith("(") or "(" in term.term else f"({term.term})"
        dropped = _droppable(term, _expressions(design, term))
        if not dropped:
            yield _Reduction(text, (*before, *after), n_variances(term.covariance))
        for label in dropped:
            remaining = _without(term, label)
            variances = n_variances(term.covariance) - sum(n_variances(part.covariance) for part in remaining)
            yield _Reduction(f"{label} in {text}", (*before, *remaining, *after), variances)


def _expressions(design: Design, term: RandomEffects) -> dict[str, frozenset[str]]:
    """The expressions of which each term left of the bar is the product."""
    parsed = next(item for item in design.formula.random if str(item) == term.term)
    by_label = {term_label(item): frozenset(item) for item in parsed.terms}
    return {label: by_label.get(label, frozenset({label})) for label in term.encoder.terms}


def _droppable(term: RandomEffects, expressions: Mapping[str, frozenset[str]]) -> list[str]:
    """Terms left of the bar that can be dropped singly; none if only the whole can be.

    Any independent ones; of correlated ones those that no other contains, so all but the intercept of several.
    """
    if isinstance(term.covariance, DiagonalCovariance):
        return list(expressions) if len(expressions) > 1 else []
    if not isinstance(term.covariance, UnstructuredCovariance) or term.n_columns == 1:
        return []
    tops = [label for label, parts in expressions.items() if not any(parts < other for other in expressions.values())]
    alone = len(expressions) == 1 and not holds_constant(term, tops[0])
    return [] if alone else [label for label in tops if label != "Intercept"]


def _without(term: RandomEffects, label: str) -> Terms:
    """The term without one of its effects; a constant that correlated columns of a factor held stays."""
    dropped = set(term.encoder.terms[label])
    columns = [j for j in range(term.n_columns) if j not in dropped]
    matrix, names = term.matrix[:, columns], tuple(term.names[j] for j in columns)
    correlated = isinstance(term.covariance, UnstructuredCovariance)
    if correlated and "Intercept" not in term.encoder.terms and holds_constant(term, label):
        matrix, names = np.column_stack([np.ones(len(matrix)), matrix]), ("Intercept", *names)
    if not names:
        return ()
    covariance = type(term.covariance)(len(names))
    return (replace(term, matrix=np.asfortranarray(matrix), names=names, covariance=covariance),)
