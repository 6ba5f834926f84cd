"""The door for observations with errors of a known law."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_choice, checked_flag, plain_numbers
from mixedfx._typing import Array
from mixedfx.deconvolution.counts import BinomialCounts, PoissonCounts
from mixedfx.deconvolution.estimate import InformationName, MethodName, Options, Sample, estimated
from mixedfx.deconvolution.kernels import BinnedNormal, Kernel, NormalErrors
from mixedfx.deconvolution.results import Deconvolution
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.results.base import results_of_ours

__all__ = ["deconvolve"]

LARGEST = 1e100  # of numbers that are squared

ErrorName: TypeAlias = Literal["gaussian", "binomial", "poisson"]


def deconvolve(
    y: Any,
    *,
    sd: Any = None,
    family: ErrorName | None = None,
    trials: Any = None,
    exposure: Any = None,
    weights: Any = None,
    method: MethodName = "npmle",
    support: Any = None,
    bins: Any = None,
    truncated: bool = False,
    df: int | None = None,
    basis: Any = None,
    penalty: float | None = None,
    information: InformationName | None = None,
) -> Deconvolution:
    """Estimate the law of theta from observations of single thetas with error.

    Each ``y_i`` was drawn given its own ``theta_i``, and the thetas from an unknown law g: normal errors with known
    standard deviations make it a deconvolution, counts a general mixture. For the random effects of a fitted model
    write ``fit.deconvolve("group")``.

    Parameters
    ----------
    y : array-like (n,)
        Observations; the index of a Series names them.
    sd : number or array-like (n,), optional
        Standard deviations of normal errors.
    family : str, optional
        ``"gaussian"`` with ``sd``, ``"binomial"`` (y successes in ``trials``, theta the probability) or ``"poisson"``
        (theta the rate per unit of ``exposure``); gaussian where ``sd`` is given.
    trials, exposure : number or array-like (n,), optional
        Of counts; an exposure that is not given is 1.
    weights : array-like (n,), optional
        How often each y was observed.
    method : str
        ``"npmle"``: the law of best likelihood among all laws, which has few atoms; ``"spline"``: Efron's g-modelling,
        ``g = exp(Q alpha)`` on a grid with a natural spline Q, with standard errors; ``"normal"``: the normal law of
        best likelihood, for counts that of the logit of theta or of its logarithm.
    support : array-like (m,), optional
        The values that theta may have, in ascending order. By default any value for ``"npmle"``, and for ``"spline"``
        100 points over the range of the estimates (for probabilities 0.01, 0.02, …, 0.99).
    bins : array-like, optional
        For normal errors of one sd: edges of cells, the ends may be infinite. Then only the cell of each y counts,
        which makes millions of observations a small table.
    truncated : bool
        For Poisson counts: whether zeros cannot be seen (species, words). The law is that of the thetas that were seen.
    df : int, optional
        Columns of the spline, 5 if omitted.
    basis : array-like (m, p), optional
        Columns on the grid in place of the natural spline, taken as they are.
    penalty : float, optional
        ``c0`` of the spline, 1 if omitted: the log-likelihood less ``c0 |alpha|`` is maximised.
    information : str, optional
        What the spline's standard errors rest on: ``"observed"``, the products of the scores of the observations, or
        ``"expected"``, their mean over all outcomes. The latter is the default where the observations share one law
        with finitely many outcomes up to the largest.

    Returns
    -------
    Deconvolution
        ``support, mass`` (atoms) or ``grid, density, se, bias`` (spline); ``cdf(t)``, ``posterior_mean``,
        ``posterior_interval(level)``, ``llf``, ``gap`` (no law has a log-likelihood that is higher by more),
        ``normality_test()``, ``plot()``, ``summary()``.

    Raises
    ------
    SpecificationError, DataError

    Warns
    -----
    ConvergenceWarning
        If the optimum is in doubt.

    References
    ----------
    Kiefer & Wolfowitz (1956), Ann. Math. Stat. 27, 887; Lindsay (1995), Mixture Models; Wang (2007), J. R. Stat. Soc. B
    69, 185; Koenker & Mizera (2014), J. Am. Stat. Assoc. 109, 674; Efron (2016), Biometrika 103, 1.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> y = [-1.9, -2.2, -1.6, 1.7, 2.4, 2.1, 1.8]
    >>> found = mfx.deconvolve(y, sd=0.5)
    >>> found.support.round(2).tolist(), found.mass.round(2).tolist()
    ([-1.9, 2.0], [0.43, 0.57])
    >>> bool(found.gap < 1e-8)
    True
    >>> found.posterior_mean.round(2).tolist()
    [-1.9, -1.9, -1.9, 2.0, 2.0, 2.0, 2.0]
    """
    if results_of_ours(y) is not None:
        raise SpecificationError("mfx.deconvolve takes observations, not a fit: write fit.deconvolve('group')")
    index = y.index if isinstance(y, pd.Series) else None
    values = plain_numbers("y", y)
    if values.ndim != 1 or not values.size:
        raise DataError(f"y is one column with at least one value; found shape {values.shape}")
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise DataError(f"y has {bad.size} missing or infinite values, the first at position {bad[0]}: leave them out")
    if family is None and sd is None:
        raise SpecificationError(
            "say how y was seen: sd= for normal errors, family='binomial' with trials=, or family='poisson'"
        )
    name = "gaussian" if family is None else family
    kernel_of, own = checked_choice("family", name, ERRORS)
    given = {"sd": sd, "trials": trials, "exposure": exposure, "bins": bins, "truncated": truncated or None}
    others = [key for key, value in given.items() if value is not None and key not in own]
    if others:
        raise SpecificationError(f"{others[0]}= is not for family={name!r}, which takes {', '.join(own)}")
    counts = _positive("weights", 1.0 if weights is None else weights, values, may_be_zero=True)
    kernel = kernel_of(values, {**given, "truncated": checked_flag("truncated", truncated)})
    labels = pd.RangeIndex(values.size) if index is None else index
    options = Options(support, df, basis, penalty, information)
    return estimated(Sample(kernel, counts, labels), method, options)


def _positive(name: str, given: Any, y: Array, *, may_be_zero: bool = False) -> Array:
    """One positive finite number for every observation."""
    values = plain_numbers(name, given)
    if values.ndim and values.shape != y.shape:
        raise DataError(f"{name} needs one number, or one for each of the {y.size} values of y; found {values.shape}")
    values = np.broadcast_to(values, y.shape).copy()
    bad = ~(np.isfinite(values) & ((values >= 0) if may_be_zero else (values > 0)))
    if bad.any() or not values.any():
        first = int(np.argmax(bad))
        least = "not all of them zero" if may_be_zero else "above zero"
        raise DataError(f"{name} must be finite numbers, {least}; found {values[first]:g} at position {first}")
    return values


def _normal(y: Array, given: dict[str, Any]) -> Kernel:
    if given["sd"] is None:
        raise SpecificationError("family='gaussian' needs the standard deviations of the errors, sd=")
    sd = _positive("sd", given["sd"], y)
    largest, least = max(float(np.abs(y).max()), float(sd.max())), float(sd.min())
    if largest > LARGEST or least < 1.0 / LARGEST:
        raise DataError(
            f"y and sd reach from {least:.3g} to {largest:.3g}: their squares are beyond what numbers can hold, change "
            "the unit"
        )
    if given["bins"] is None:
        return NormalErrors(y, sd)
    if np.ptp(sd) > 0:
        raise SpecificationError("bins= is for errors of one sd: leave bins= out")
    edges = plain_numbers("bins", given["bins"])
    if edges.ndim != 1 or edges.size < 2 or not np.all(np.diff(edges) > 0):
        raise SpecificationError("bins are the edges of cells, at least two numbers in ascending order")
    if y.min() < edges[0] or y.max() > edges[-1]:
        raise DataError(
            f"y from {y.min():g} to {y.max():g} is not within bins, from {edges[0]:g} to {edges[-1]:g}: let the outer "
            "cells be endless, with edges -inf and inf"
        )
    cell = np.minimum(np.searchsorted(edges, y, side="right") - 1, edges.size - 2)
    return BinnedNormal(edges[cell], edges[cell + 1], float(sd[0]), edges)


def _binomial(y: Array, given: dict[str, Any]) -> Kernel:
    if given["trials"] is None:
        raise SpecificationError("family='binomial' needs the numbers of trials, trials=; y are the successes")
    trials = _positive("trials", given["trials"], y)
    _check_whole(y, trials)
    return BinomialCounts(y, trials)


def _poisson(y: Array, given: dict[str, Any]) -> Kernel:
    exposure = _positive("exposure", 1.0 if given["exposure"] is None else given["exposure"], y)
    _check_whole(y, np.full(y.shape, np.inf), float(given["truncated"]))
    return PoissonCounts(y, exposure, given["truncated"])


def _check_whole(y: Array, most: Array, least: float = 0.0) -> None:
    bad = (y < least) | (y > most) | (y != np.round(y)) | ((most != np.round(most)) & np.isfinite(most))
    if bad.any():
        first = int(np.argmax(bad))
        limit = f" in {most[first]:g} trials" if np.isfinite(most[first]) else ""
        raise DataError(
            f"y must be whole numbers from {least:g}, no more than there are trials; found {y[first]:g}{limit} at "
            f"position {first}"
        )


ERRORS: dict[str, tuple[Callable[[Array, dict[str, Any]], Kernel], tuple[str, ...]]] = {
    "gaussian": (_normal, ("sd", "bins")),
    "binomial": (_binomial, ("trials",)),
    "poisson": (_poisson, ("exposure", "truncated")),
}
