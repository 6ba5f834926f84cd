"""What a fitted model says of each level of a grouping factor: its own estimate with an error of known law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._typing import Array, IntArray
from mixedfx.deconvolution.estimate import Options, Sample, estimated
from mixedfx.deconvolution.grouped import FamilyGroups
from mixedfx.deconvolution.kernels import IDENTITY, Kernel, NormalErrors
from mixedfx.deconvolution.laws import NormalLaw
from mixedfx.deconvolution.results import Deconvolution
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import Fit
from mixedfx.matrices import RandomEffects, nested_in
from mixedfx.matrices.new_rows import fixed_part
from mixedfx.results.base import MixedResults

__all__ = ["Levels", "deconvolved", "levels_of"]

PLUG_IN = "The fixed effects and the variances of the fit count as known."
NESTED = "The effects of {names}, within {group}, count as normal with the variances of the fit."


@dataclass(frozen=True)
class Levels:
    """The levels of a factor as observations of their effects.

    Attributes
    ----------
    kernel : Kernel
    index : Index
        The levels.
    law : NormalLaw
        Of the effects, as it was fitted.
    notes : tuple of str
    """

    kernel: Kernel
    index: pd.Index[Any]
    law: NormalLaw
    notes: tuple[str, ...]


def levels_of(results: MixedResults, group: Any) -> Levels:
    """Return what the data of a fit say of the random intercepts of ``group``.

    Raises
    ------
    SpecificationError
        If there are none, if they have slopes beside them, or if the data tie the effects of several levels together.
    """
    design, fit = results.design, results.solution
    design.need_rows("a deconvolution")
    if fit.not_linear:
        raise SpecificationError(f"deconvolve {fit.not_linear}")
    place = _only_intercept(results, group)
    term = design.random[place]
    others = [other for k, other in enumerate(design.random) if k != place]
    linear = fit.response.has_normal_residuals
    _check_apart(term, others, fit, linear)
    law = NormalLaw(0.0, float(np.abs(fit.roots[place][0, 0])), IDENTITY)
    kernel = _normal_levels(results, place) if linear else _family_levels(fit, term)
    names = ", ".join(dict.fromkeys(other.group for other in others))
    notes = (PLUG_IN, NESTED.format(names=names, group=term.group)) if others else (PLUG_IN,)
    return Levels(kernel, term.levels, law, notes)


def _only_intercept(results: MixedResults, group: Any) -> int:
    """The place of the one term of a factor, a random intercept."""
    terms = results.design.random
    places = [k for k, term in enumerate(terms) if isinstance(group, str) and term.group == group]
    if not places:
        known = ", ".join(dict.fromkeys(repr(term.group) for term in terms)) or "none"
        raise SpecificationError(f"there is no grouping factor {group!r} to deconvolve; the model has {known}")
    names = [name for k in places for name in terms[k].names]
    if names != ["Intercept"]:
        raise SpecificationError(
            f"a deconvolution is of random intercepts alone, (1 | {group}), and {group} has the effects "
            f"{', '.join(names)}: their joint law has more than one dimension"
        )
    return places[0]


def _check_apart(term: RandomEffects, others: list[RandomEffects], fit: Fit, linear: bool) -> None:
    """Refuse a factor whose levels the data, or the model, tie together."""
    crossed = [other.group for other in others if not (linear and nested_in(other.codes, term.codes))]
    if crossed:
        why = "is crossed with it or contains it" if linear else "has random effects too, and no normal likelihood"
        raise SpecificationError(
            f"a deconvolution of {term.group} needs levels that are independent given their effects, but {crossed[0]} "
            f"{why}: fit without {crossed[0]}"
        )
    tied = [one.term for one in (term, *others) if one.loading is not None]
    bound = fit.residual
    if bound is not None and bound.groups is not None and not nested_in(bound.groups, term.codes):
        tied.append("residual=")
    if tied:
        raise SpecificationError(
            f"a deconvolution of {term.group} needs levels that are independent given their effects, but {tied[0]} "
            "correlates rows of several levels"
        )


def _normal_levels(results: MixedResults, place: int) -> NormalErrors:
    """Generalised least squares of every level: ``(1'P r) / (1'P 1)`` with the variance ``sigma^2 / (1'P 1)``.

    P is the inverse covariance of the rows of the level, relative to sigma squared, given its effect.
    """
    fit, design = results.solution, results.design
    term, sigma = design.random[place], float(np.sqrt(fit.scale))
    columns = np.column_stack([np.ones(design.n_rows), np.asarray(results.residuals("marginal"), dtype=float)])
    white = _dense(fit.weighted_rows(sp.csr_array(columns)))
    one, left = white[:, 0].copy(), white
    roots = [
        _rooted(other, fit.roots[k] / sigma)
        for k, other in enumerate(design.random)
        if k != place and fit.roots[k].any()
    ]
    if roots:
        T = sp.csr_array(fit.weighted_rows(sp.hstack(roots, format="csr")))
        inner = sp.csc_array(T.T @ T + sp.eye_array(T.shape[1]))
        left = white - T @ _solved(inner, T.T @ white)
    sums = np.stack([np.bincount(term.codes, weights=one * v, minlength=term.n_levels) for v in left.T])
    return NormalErrors(sums[1] / sums[0], sigma / np.sqrt(sums[0]))


def _solved(matrix: Any, side: Array) -> Array:
    from scipy.sparse.linalg import splu

    return np.asarray(splu(matrix).solve(side))


def _dense(matrix: Any) -> Array:
    toarray = getattr(matrix, "toarray", None)
    return np.asarray(matrix if toarray is None else toarray())


def _rooted(term: RandomEffects, root: Array) -> Any:
    """Columns (n, m q) of a term times a root (q, q) of the covariance of its effects."""
    n, q = term.matrix.shape
    rows = np.repeat(np.arange(n), q)
    columns = (term.codes[:, None] * q + np.arange(q)).ravel()
    return sp.csr_array(((term.matrix @ root).ravel(), (rows, columns)), shape=(n, term.n_levels * q))


def _family_levels(fit: Any, term: RandomEffects) -> FamilyGroups:
    """The rows of every level, as its effect moves their linear predictors."""
    order = np.argsort(term.codes, kind="stable")
    starts: IntArray = np.searchsorted(term.codes[order], np.arange(term.n_levels))
    design, response = fit.design, fit.response
    predictors = response.predictors(fixed_part(design, fit.beta), response.matrices)
    prior = (None if values is None else values[order] for values in (design.weights, design.response.trials))
    return FamilyGroups(
        response.family, fit.problem.observed.take(order), predictors[order], response.phi, starts, *prior
    )


def deconvolved(results: MixedResults, group: Any, method: Any, *options: Any) -> Deconvolution:
    """Estimate the law of the random intercepts of ``group``; see ``fit.deconvolve``."""
    results.solution.check_normal("deconvolve")
    levels = levels_of(results, group)
    weights = np.ones(levels.kernel.size)
    sample = Sample(levels.kernel, weights, levels.index, str(group), levels.law, levels.notes)
    return estimated(sample, method, Options(*options))
