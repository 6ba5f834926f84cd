"""Whether smooths are straight lines: the exact null distribution of the likelihood ratio of one variance.

The ratio is that of a variance at the end of its range, and not an even mixture of chi-squared distributions: it is
zero in well over half of the samples. Crainiceanu and Ruppert (2004, JRSS B 66:165) have its distribution as that of
the largest value of a function of one variable, drawn in a moment. Beside other random effects it is an approximation
that takes these as known (Greven, Crainiceanu, Kuechenhoff and Peters 2008, JCGS 17:870).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.analysis_of_variance.components.random_terms import linear_results
from mixedfx.covariance import PooledDiagonalCovariance
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import fit_linear
from mixedfx.inference.smooths import FittedSmooth
from mixedfx.matrices import RandomEffects
from mixedfx.matrices.pooled import Pooled
from mixedfx.results.linear import LinearMixedResults
from mixedfx.results.simulate import checked_count, generator

__all__ = ["linearity_test", "ratio_draws"]

GRID = np.concatenate([[0.0], np.geomspace(1e-6, 1e6, 240)])  # of the variance relative to that of a row, by its scale
AT_ONCE = 2_000_000  # numbers of a table of draws
NONE = 1e-8  # a ratio below this is zero: rounding


def linearity_test(fit: Any, *, n: int = 10_000, seed: Any = 0) -> StatsTable:
    """Test for every smooth whether it is a straight line: its variance zero, the others staying.

    Parameters
    ----------
    fit : LinearMixedResults
        A fit with smooths ``s(x)``, by REML (restricted likelihood ratio) or ML.
    n : int
        Draws from the null distribution.
    seed : int, SeedSequence or Generator
        For the draws.

    Returns
    -------
    StatsTable
        A row for each smooth: ``edf``; ``lrt``, twice the gain in (restricted) log-likelihood over the straight line;
        ``pvalue``, the share of draws that reach it, whose Monte Carlo standard deviation is
        ``sqrt(p (1 - p) / n)``.

    Raises
    ------
    SpecificationError
        If there are no smooths.
    TypeError
        If it is no linear mixed model.

    Notes
    -----
    With one smooth and no other random effects the distribution is exact. Beside others it takes their variances as
    known. The test of :attr:`~mixedfx.LinearMixedResults.smooths` is another one: whether the smooth is zero.

    References
    ----------
    Crainiceanu & Ruppert (2004), J. R. Stat. Soc. B 66, 165; Greven, Crainiceanu, Kuechenhoff & Peters (2008),
    J. Comput. Graph. Stat. 17, 870.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ s(Days, k=5) + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> float(mfx.linearity_test(fit).to_frame().loc["s(Days)", "pvalue"]) > 0.2
    True
    """
    results = linear_results(fit, "linearity_test")
    smooths = results.fitted_smooths
    if not smooths:
        raise SpecificationError("the model has no smooths: write s(x) in its formula")
    count, rng = checked_count(n), generator(seed)
    rows = {}
    for smooth in smooths:
        statistic = max(2.0 * (results.llf - _straight_llf(results, smooth)), 0.0)
        draws = ratio_draws(*_columns(results, smooth), count, rng, reml=results.reml)
        reached = 1.0 if statistic < NONE else float(np.mean(draws >= statistic))
        rows[smooth.label] = (smooth.edf, statistic, reached)
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["edf", "lrt", "pvalue"])
    kind = "Restricted likelihood" if results.reml else "Likelihood"
    several = len(results.design.random) > 1 or len(smooths) > 1
    notes = [
        f"{kind} ratio of the smooth against its straight line; {count:,} draws of its distribution if that is true "
        "(Crainiceanu and Ruppert 2004).",
        *(["The variances of other random effects and smooths are taken as known (Greven et al. 2008)."] * several),
    ]
    return StatsTable.from_frame(frame, heading="Tests of linearity", notes=notes, formats={"pvalue": "p"})


def _straight_llf(results: LinearMixedResults, smooth: FittedSmooth) -> float:
    """The log-likelihood of the model in which the smooth is a line."""
    problem = results.solution.problem
    random = tuple(_without(problem.design.random, smooth))
    reduced = fit_linear(problem.with_design(replace(problem.design, random=random)), results.solution.same_way)
    return float(reduced.llf)


def _without(terms: tuple[RandomEffects, ...], smooth: FittedSmooth) -> Iterator[RandomEffects]:
    """Yield the terms; of that of the smooth the levels that stay, if there are any."""
    for place, term in enumerate(terms):
        if place != smooth.term:
            yield term
            continue
        kept = np.setdiff1d(np.arange(term.n_columns), smooth.random)
        if kept.size:
            sizes = (smooth.random.size,) * (kept.size // smooth.random.size)
            names = tuple(term.names[j] for j in kept)
            matrix = np.asfortranarray(term.matrix[:, kept])
            covariance = PooledDiagonalCovariance(kept.size, sizes)
            blocks = tuple(name for name, first in term.variances if first in kept)
            pooled = Pooled(blocks, covariance.firsts)
            yield replace(term, matrix=matrix, names=names, covariance=covariance, pooled=pooled)


def _columns(results: LinearMixedResults, smooth: FittedSmooth) -> tuple[Array, Array]:
    """The fixed effects (n, p) and the random columns (n, k) of the smooth, of rows of equal weight."""
    design = results.design
    both = np.hstack([design.fixed.matrix, design.random[smooth.term].matrix[:, smooth.random]])
    weighted: Any = results.solution.weighted_rows(sparse.csr_array(both))
    dense = np.asarray(weighted if isinstance(weighted, np.ndarray) else weighted.toarray())
    p = design.fixed.matrix.shape[1]
    return dense[:, :p], dense[:, p:]


def ratio_draws(X: Array, Z: Array, n: int, rng: np.random.Generator, *, reml: bool) -> Array:
    """Return draws (n,) of the likelihood ratio of the variance of ``Z b`` if it is zero, beside ``X beta``.

    Parameters
    ----------
    X, Z : (r, p), (r, k)
        Columns of fixed and of random effects, the latter independent and of one variance.
    n : int
    rng : Generator
    reml : bool
        Whether the likelihoods are restricted.
    """
    rows, p = X.shape
    Q = np.linalg.qr(X)[0]
    beside = Z - Q @ (Q.T @ Z)
    mu = np.linalg.svd(beside, compute_uv=False) ** 2
    scale = max(float(mu.max(initial=0.0)), np.finfo(float).tiny)
    grid = GRID[:, None] / scale
    counted, penalty = (rows - p, mu) if reml else (rows, np.linalg.svd(Z, compute_uv=False) ** 2)
    shrunk = 1.0 / (1.0 + grid * mu)  # (g, k)
    lost = np.log1p(grid * penalty).sum(axis=1)
    out, step = [], max(1, AT_ONCE // len(GRID))
    for start in range(0, n, step):
        squares = rng.standard_normal((min(step, n - start), mu.size)) ** 2
        rest = rng.chisquare(max(rows - p - mu.size, 1), len(squares))[:, None]
        denominator = squares @ shrunk.T + rest
        total = squares.sum(axis=1)[:, None] + rest
        out.append((counted * np.log(total / denominator) - lost).max(axis=1))
    return np.asarray(np.maximum(np.concatenate(out), 0.0))
