"""Likelihood-ratio tests of the random-effects terms of one linear mixed model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx.analysis_of_variance.boundary import Extension, chi_bar_square_tail
from mixedfx.covariance import DiagonalCovariance, UnstructuredCovariance
from mixedfx.criterion.prepare import linear_problem
from mixedfx.design import RandomEffects
from mixedfx.fitting import Control, fit_linear
from mixedfx.inference.distributions import chi2_tail
from mixedfx.results.linear import LinearMixedResults

__all__ = ["ranova"]

Terms = tuple[RandomEffects, ...]


@dataclass(frozen=True)
class _Reduction:
    """One random effect dropped: what the row is called, and what is left."""

    label: str
    terms: Terms


def ranova(fit: Any) -> StatsTable:
    """Test every random effect of a linear mixed model by dropping it.

    An effect of a correlated term, as ``x`` in ``(1 + x | g)``, is dropped together with its covariances; a term of one
    effect is dropped as a whole, down to the model with fixed effects only. REML fits are compared by their restricted
    likelihoods, as the fixed effects stay the same.

    Parameters
    ----------
    fit : LinearMixedResults

    Returns
    -------
    StatsTable
        One row a dropped effect: ``n_params, llf, aic, lrt, df, PR(>chi2)``, and ``PR(boundary)``, which takes into
        account that a variance cannot be negative.

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
    if not isinstance(fit, LinearMixedResults):
        raise TypeError(f"ranova is for linear mixed models, found {type(fit).__name__}")
    rows = [("<none>", fit.n_parameters, fit.llf)]
    for reduction in _reductions(fit.design.random):
        removed = _n_theta(fit.design.random) - _n_theta(reduction.terms)
        rows.append((reduction.label, fit.n_parameters - removed, _llf(fit, reduction.terms)))
    frame = pd.DataFrame({"n_params": [row[1] for row in rows], "llf": [row[2] for row in rows]})
    frame.index = pd.Index([row[0] for row in rows])
    frame["aic"] = -2.0 * frame["llf"] + 2.0 * frame["n_params"]
    tests = [_test(fit, llf, fit.n_parameters - n) for _, n, llf in rows[1:]]
    for position, name in enumerate(("lrt", "df", "PR(>chi2)", "PR(boundary)")):
        frame[name] = [np.nan, *(test[position] for test in tests)]
    notes = [
        f"{'Restricted l' if fit.reml else 'L'}ikelihood-ratio tests; every row is the model without that effect.",
        "PR(boundary) takes into account that a variance cannot be negative (Stram and Lee 1994).",
    ]
    return StatsTable.from_frame(frame, heading="Tests of random effects", notes=notes, formats={"PR(boundary)": "p"})


def _test(fit: LinearMixedResults, llf: float, df: int) -> tuple[float, float, float, float]:
    lrt = max(2.0 * (fit.llf - llf), 0.0)
    return lrt, float(df), chi2_tail(lrt, df), chi_bar_square_tail(lrt, Extension(1, df - 1))


def _llf(fit: LinearMixedResults, terms: Terms) -> float:
    """(Restricted) log-likelihood of the model with other random-effects terms."""
    problem = fit.fit.problem
    design = replace(problem.design, random=terms)
    reduced = linear_problem(design, reml=fit.reml, sigma=fit.model.sigma, residual=problem.residual)
    return -0.5 * float(fit_linear(reduced, Control()).at.value)


def _n_theta(terms: Terms) -> int:
    return sum(term.covariance.n_theta for term in terms)


def _reductions(terms: Terms) -> Iterator[_Reduction]:
    for i, term in enumerate(terms):
        others = (*terms[:i], *terms[i + 1 :])
        written = term.term if term.term.startswith("(") or "(" in term.term else f"({term.term})"
        dropped = _droppable(term)
        if not dropped:
            yield _Reduction(written, others)
        for position in dropped:
            kept = [j for j in range(term.n_columns) if j != position]
            yield _Reduction(
                f"{term.names[position]} in {written}", (*terms[:i], _restricted(term, kept), *terms[i + 1 :])
            )


def _droppable(term: RandomEffects) -> list[int]:
    """Columns that can be dropped singly: any independent ones; of correlated ones all but the intercept."""
    if term.n_columns > 1 and isinstance(term.covariance, DiagonalCovariance):
        return list(range(term.n_columns))
    if term.n_columns == 1 or not isinstance(term.covariance, UnstructuredCovariance):
        return []
    return [i for i, name in enumerate(term.names) if name != "Intercept"]


def _restricted(term: RandomEffects, kept: list[int]) -> RandomEffects:
    return replace(
        term,
        matrix=np.asfortranarray(term.matrix[:, kept]),
        names=tuple(term.names[i] for i in kept),
        covariance=type(term.covariance)(len(kept)),
    )
