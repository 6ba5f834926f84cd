"""The three ways to estimate a law, by their words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_choice, checked_whole, is_number, plain_numbers
from mixedfx._typing import Array
from mixedfx.deconvolution.kernels import Kernel
from mixedfx.deconvolution.laws import AtomicLaw, NormalLaw
from mixedfx.deconvolution.normal import normal_law
from mixedfx.deconvolution.npmle import npmle
from mixedfx.deconvolution.results import Deconvolution
from mixedfx.deconvolution.spline import smooth, spline_basis
from mixedfx.exceptions import ConvergenceWarning, DataError, SpecificationError, warn

__all__ = ["InformationName", "MethodName", "Options", "Sample", "estimated"]

MethodName: TypeAlias = Literal["npmle", "spline", "normal"]
InformationName: TypeAlias = Literal["observed", "expected"]
INFORMATION = {"observed": False, "expected": True}
GRID = 100  # points of a spline's grid
DF, PENALTY = 5, 1.0
ACCEPTED = 1e-7  # duality gap, relative to the number of observations, above which the optimum is in doubt
UNBOUNDED = "The atom at {end:+.0f} stands for an infinite effect: there are groups whose rows all say the same."
UNFINISHED = (
    "This is not the optimum: another law may have a log-likelihood that is higher by {gap:.2g}. The search ended early"
)
NOT_FINISHED = "This is not the optimum: the search for the spline's coefficients ended early; raise penalty="


@dataclass(frozen=True)
class Sample:
    """Observations whose thetas are drawn from one law.

    Attributes
    ----------
    kernel : Kernel
        n observations.
    weights : (n,)
        How often each was observed.
    index : Index
        Their names.
    group : str
        The grouping factor of a fit, or empty.
    fitted_law : NormalLaw or None
        Of a fit.
    remarks : tuple of str
    """

    kernel: Kernel
    weights: Array
    index: pd.Index[Any]
    group: str = ""
    fitted_law: NormalLaw | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Options:
    """What the user has said of the estimate."""

    support: Any = None
    df: Any = None
    basis: Any = None
    penalty: Any = None
    information: Any = None

    def refuse_others(self, method: str, used: tuple[str, ...]) -> None:
        """Refuse an option that the method does not have."""
        for name in ("support", "df", "basis", "penalty", "information"):
            if getattr(self, name) is not None and name not in used:
                raise SpecificationError(
                    f"{name}= is not for method={method!r}: leave it out, or write method='spline'"
                )


def estimated(sample: Sample, method: Any, options: Options) -> Deconvolution:
    """Estimate the law of theta.

    Parameters
    ----------
    sample : Sample
    method : str
        ``"npmle"``, ``"spline"`` or ``"normal"``.
    options : Options
    """
    estimate, used = checked_choice("method", method, METHODS)
    options.refuse_others(method, used)
    return estimate(sample, options)


def _distinct(sample: Sample) -> tuple[Kernel, Array]:
    kernel, inverse = sample.kernel.distinct()
    counts = np.bincount(inverse, weights=sample.weights, minlength=kernel.size)
    return kernel, np.asarray(counts, dtype=np.float64)


def _result(sample: Sample, method: str, law: Any, **further: Any) -> Deconvolution:
    given = {"candidates": None, "smooth": None, "converged": True, "remarks": sample.remarks} | further
    own = (sample.kernel, sample.weights, sample.index, sample.group, law)
    return Deconvolution(method, *own, fitted_law=sample.fitted_law, **given)


def _nonparametric(sample: Sample, options: Options) -> Deconvolution:
    kernel, weights = _distinct(sample)
    candidates = None if options.support is None else _checked_support(options.support, kernel)
    found = npmle(kernel, weights, candidates)
    converged = bool(found.gap <= ACCEPTED * weights.sum())
    if not converged:
        warn(UNFINISHED.format(gap=found.gap), ConvergenceWarning)
    law = AtomicLaw(found.atoms.support, found.atoms.mass)
    own, errors = kernel.estimates
    ends = [end for end in law.support if np.any(np.isinf(errors) & (own == end))]
    remarks = (*sample.remarks, *(UNBOUNDED.format(end=end) for end in ends))
    return _result(sample, "npmle", law, candidates=candidates, converged=converged, remarks=remarks)


def _spline(sample: Sample, options: Options) -> Deconvolution:
    kernel, weights = _distinct(sample)
    grid = kernel.spline_grid(GRID) if options.support is None else _checked_support(options.support, kernel)
    basis = _checked_basis(options, grid)
    penalty = _checked_penalty(options.penalty)
    outcomes = kernel.outcomes
    if options.information is not None:
        expected = checked_choice("information", options.information, INFORMATION)
        if expected and outcomes is None:
            raise SpecificationError(
                "information='expected' averages over all outcomes of one law, and these observations have none in "
                "common (one number of trials, one exposure, or one sd with bins=): write information='observed'"
            )
        outcomes = outcomes if expected else None
    found = smooth(kernel, weights, grid, basis, penalty, outcomes)
    if not found.converged:
        warn(NOT_FINISHED, ConvergenceWarning)
    return _result(sample, "spline", AtomicLaw(grid, found.g), smooth=found, converged=found.converged)


def _normal(sample: Sample, options: Options) -> Deconvolution:
    law = normal_law(*_distinct(sample)) if sample.fitted_law is None else sample.fitted_law
    return _result(sample, "normal", law)


SPLINE = ("support", "df", "basis", "penalty", "information")
METHODS: dict[str, tuple[Callable[[Sample, Options], Deconvolution], tuple[str, ...]]] = {
    "npmle": (_nonparametric, ("support",)),
    "spline": (_spline, SPLINE),
    "normal": (_normal, ()),
}


def _checked_support(support: Any, kernel: Kernel) -> Array:
    """Values of theta in ascending order, each of which is possible."""
    values = plain_numbers("support", support)
    low, high = kernel.domain
    good = values.ndim == 1 and values.size > 0 and np.all(np.isfinite(values)) and np.all(np.diff(values) > 0)
    if not (good and values[0] >= low and values[-1] <= high):
        raise SpecificationError(
            f"support is a list of values of theta between {low:g} and {high:g}, in ascending order; found "
            f"{_shown(values)}"
        )
    if not np.all(np.isfinite(kernel.log_density(values[None, :]).max(axis=1))):
        raise SpecificationError("support has no value at which all observations are possible: add values between them")
    return values


def _shown(values: Array) -> str:
    return np.array2string(values, threshold=6, edgeitems=2, precision=4) if values.size else "none"


def _checked_basis(options: Options, grid: Array) -> Array:
    """The columns of the spline on the grid: the user's own, or a natural spline of ``df``."""
    if options.basis is not None:
        if options.df is not None:
            raise SpecificationError("df= is the number of columns of the usual basis: leave it out beside basis=")
        basis = plain_numbers("basis", options.basis)
        if basis.ndim != 2 or len(basis) != grid.size or not basis.size or not np.all(np.isfinite(basis)):
            raise SpecificationError(
                f"basis is a matrix of finite numbers, a row for each of the {grid.size} points of the grid; found "
                f"shape {basis.shape}"
            )
        return basis
    df = DF if options.df is None else checked_whole("df", options.df, 1)
    if np.unique(grid).size < df + 2:
        raise DataError(
            f"a spline with df={df} needs a grid of at least {df + 2} values of theta, and there are "
            f"{np.unique(grid).size}: give a grid, support=, or fewer df="
        )
    return spline_basis(grid, df)


def _checked_penalty(penalty: Any) -> float:
    if penalty is None:
        return PENALTY
    if not is_number(penalty) or not 0.0 <= penalty < np.inf:
        raise SpecificationError(f"penalty is a number, at least 0; found {penalty!r}")
    return float(penalty)
