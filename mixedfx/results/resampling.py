"""Bootstrap schemes: what a replicate is drawn from, and how it is estimated."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import AnyArray, Array, BoolArray
from mixedfx.exceptions import DataError, MixedfxWarning, SpecificationError
from mixedfx.fitting import Refits
from mixedfx.results.base import MixedResults
from mixedfx.results.clusters import Clusters, clusters_of, refit_rows
from mixedfx.results.generalized import GeneralizedLinearMixedResults
from mixedfx.results.linear import LinearMixedResults
from mixedfx.results.quantities import estimates, quantities, refitted_estimates
from mixedfx.results.reflation import residual_draws

__all__ = ["Measure", "Outcome", "Scheme", "attempt", "outcome_of", "scheme_for"]

UNCONVERGED = "the fit did not converge"


@dataclass(frozen=True)
class Measure:
    """What is computed from every fit: the usual quantities, or a user's statistic.

    Attributes
    ----------
    statistic : callable, optional
        From a fit to a number, array, dict or Series.
    """

    statistic: Callable[[Any], Any] | None = None

    def named(self, fit: MixedResults) -> pd.Series[float]:
        """Return the values of one fit with their names."""
        if self.statistic is None:
            return pd.Series(estimates(fit), index=list(quantities(fit).names), dtype=float)
        found = self.statistic(fit)
        if isinstance(found, pd.Series | dict):
            series = pd.Series(found, dtype=float)
            return series.set_axis([_flat(label) for label in series.index])
        values: AnyArray = np.asarray(found, dtype=float)
        if values.ndim > 1:
            raise SpecificationError(f"a statistic is a number, a vector or a Series; found shape {values.shape}")
        names = ["statistic"] if values.ndim == 0 else [f"statistic[{i}]" for i in range(values.size)]
        return pd.Series(np.atleast_1d(values), index=names, dtype=float)

    def values(self, fit: MixedResults) -> Array:
        """Return the values (k,) of one fit."""
        return estimates(fit) if self.statistic is None else np.asarray(self.named(fit), dtype=np.float64)


def _flat(label: Any) -> str:
    return ":".join(map(str, label)) if isinstance(label, tuple) else str(label)


@dataclass(frozen=True)
class Outcome:
    """Replicates of one block.

    Attributes
    ----------
    values : (R, k)
        Missing where the replicate failed.
    singular : (R,)
    failures : tuple of str
        Why replicates failed.
    """

    values: Array
    singular: BoolArray
    failures: tuple[str, ...]


class Scheme(ABC):
    """How replicates are drawn."""

    description: str

    @abstractmethod
    def replicate(self, fit: MixedResults, measure: Measure, count: int, seed: np.random.SeedSequence) -> Outcome:
        """Draw and estimate ``count`` replicates."""


@dataclass(frozen=True)
class Responses(Scheme):
    """New responses for the same rows."""

    draw: Callable[[Any, int, np.random.SeedSequence], Array]
    description: str

    def replicate(self, fit: MixedResults, measure: Measure, count: int, seed: np.random.SeedSequence) -> Outcome:
        """Draw all responses, fit them: all at once where nothing but the usual quantities is wanted."""
        Y = self.draw(fit, count, seed)
        if isinstance(fit, LinearMixedResults) and measure.statistic is None:
            refits = _refits(fit, Y)
            if refits is None:
                return outcome_of([attempt(lambda y=y: fit.refit(y), measure) for y in Y.T], fit, measure)  # type: ignore[misc]
            values = np.where(refits.converged[:, None], refitted_estimates(fit, refits), np.nan)
            failed = int(np.sum(~refits.converged))
            return Outcome(values, refits.singular & refits.converged, (UNCONVERGED,) * failed)
        assert isinstance(fit, LinearMixedResults | GeneralizedLinearMixedResults)
        return outcome_of([attempt(lambda y=y: fit.refit(y), measure) for y in Y.T], fit, measure)  # type: ignore[misc]


@dataclass(frozen=True)
class ResampledClusters(Scheme):
    """Whole clusters of rows drawn with replacement."""

    clusters: Clusters

    @property
    def description(self) -> str:  # type: ignore[override]
        """In words."""
        return f"levels of {self.clusters.group} drawn with replacement"

    def replicate(self, fit: MixedResults, measure: Measure, count: int, seed: np.random.SeedSequence) -> Outcome:
        """Draw the clusters of all replicates, fit one after the other."""
        m = self.clusters.count
        drawn = np.random.default_rng(seed).integers(m, size=(count, m))
        tried = [attempt(lambda own=own: refit_rows(fit, self.clusters, own), measure) for own in drawn]  # type: ignore[misc]
        return outcome_of(tried, fit, measure)


def _refits(fit: LinearMixedResults, Y: Array) -> Refits | None:
    """The fits of all columns at once, or None where one of them keeps the others from being made."""
    try:
        return fit.refit_many(Y).refits
    except (DataError, ArithmeticError, np.linalg.LinAlgError):
        return None


Attempt = tuple[Array, bool] | str


def attempt(refit: Callable[[], MixedResults], measure: Measure) -> Attempt:
    """Return values and singularity of a refit, or why it failed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # counted instead
        try:
            found = refit()
        except DataError as error:
            return str(error)
        except (ArithmeticError, np.linalg.LinAlgError):
            return UNCONVERGED
        if not found.converged:
            return str(found.certificate).splitlines()[0] if _separated(found) else UNCONVERGED
        return measure.values(found), found.is_singular


def _separated(fit: MixedResults) -> bool:
    return bool(getattr(fit.certificate, "separated", ()))


def outcome_of(tried: list[Attempt], fit: MixedResults, measure: Measure) -> Outcome:
    """Put attempts together."""
    good = next((one[0] for one in tried if not isinstance(one, str)), None)
    size = measure.values(fit).size if good is None else good.size
    values = np.full((len(tried), size), np.nan)
    singular = np.zeros(len(tried), dtype=bool)
    for row, one in enumerate(tried):
        if not isinstance(one, str):
            values[row], singular[row] = one
    return Outcome(values, singular, tuple(one for one in tried if isinstance(one, str)))


def _parametric(fit: Any, count: int, seed: np.random.SeedSequence) -> Array:
    return np.asarray(fit.simulate(count, seed=seed), dtype=float)


def scheme_for(method: str, fit: MixedResults, cluster: str | None) -> Scheme:
    """Resolve the method of a bootstrap; the only place where it is a string."""
    if cluster is not None and method not in ("case", "cluster"):
        raise SpecificationError('cluster= is for method="cluster"')
    if method == "parametric":
        return Responses(_parametric, "parametric: new random effects and residuals from the fitted model")
    if method == "residual":
        if not isinstance(fit, LinearMixedResults):
            raise SpecificationError('generalised models have no residuals to resample: use method="parametric"')
        return Responses(residual_draws, "reflated random effects and residuals drawn with replacement")
    if method in ("case", "cluster"):
        return ResampledClusters(clusters_of(fit, cluster))
    raise SpecificationError(f"method is 'parametric', 'residual', 'cluster' or 'case'; found {method!r}")
