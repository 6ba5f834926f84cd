"""The numbers that intervals are made for: standard deviations, correlations, sigma, fixed effects, the family's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from mixedfx._arguments import checked_choice
from mixedfx._typing import Array
from mixedfx.covariance.base import Covariance
from mixedfx.fitting import Refits
from mixedfx.fitting.reported import Reported, covariance_entries
from mixedfx.matrices import RandomEffects
from mixedfx.results.base import MixedResults

__all__ = ["EVERY_PART", "Quantities", "WhichName", "checked_which", "estimates", "quantities", "refitted_estimates"]

WhichName: TypeAlias = Literal["fixed", "random", "family", "all"]
EVERY_PART = ("random", "fixed", "family")
WHICH = {"fixed": ("fixed",), "random": ("random",), "family": ("family",), "all": EVERY_PART}


def checked_which(which: str) -> tuple[str, ...]:
    """Resolve ``which=`` to parts of the table.

    Raises
    ------
    SpecificationError
        If there is no such part.
    """
    return checked_choice("which", which, WHICH)


@dataclass(frozen=True)
class Quantities:
    """The random part (``sd_x|g``, ``cor_x.y|g``, ``sigma``), the fixed effects, the family's own: in this order."""

    entries: tuple[Reported, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names (k)."""
        return tuple(entry.name for entry in self.entries)

    @property
    def n_random(self) -> int:
        """Number of entries of the random part, which stand first."""
        return sum(entry.part == "random" for entry in self.entries)

    @property
    def lower(self) -> Array:
        """Smallest possible values (k,)."""
        return np.array([entry.lower for entry in self.entries])

    @property
    def upper(self) -> Array:
        """Largest possible values (k,)."""
        return np.array([entry.upper for entry in self.entries])

    def chosen(self, which: str) -> list[int]:
        """Return the positions of ``"fixed"``, ``"random"``, ``"family"`` or ``"all"`` entries."""
        parts = checked_which(which)
        return [k for k, entry in enumerate(self.entries) if entry.part in parts]


def quantities(fit: MixedResults) -> Quantities:
    """Return what a fit has."""
    return Quantities(fit.solution.reported)


def estimates(fit: MixedResults) -> Array:
    """Return the values (k,) of :func:`quantities` in one fit, on the user's scale."""
    entries, beta = fit.solution.reported, iter(np.asarray(fit.params, dtype=float))
    phi = fit.solution.likelihood.phi if any(entry.part != "fixed" for entry in entries) else np.zeros(0)
    return np.array([next(beta) if entry.part == "fixed" else entry.value(phi) for entry in entries])


def refitted_estimates(fit: MixedResults, refits: Refits) -> Array:
    """Return the values (R, k) of :func:`quantities` in many fits of one model."""
    terms = fit.design.random
    ends = np.cumsum([term.covariance.n_theta for term in terms], dtype=np.intp)
    *by_term, rho = np.split(refits.theta, ends, axis=1)
    unit = refits.sigma if fit.solution.is_relative else np.ones(len(refits.sigma))
    columns = [column for term, theta in zip(terms, by_term, strict=True) for column in _term_values(term, theta, unit)]
    if fit.solution.residual is not None:
        columns += list(np.array([fit.solution.residual.natural(one) for one in rho]).T)
    if fit.solution.has_sigma:
        columns.append(refits.sigma)
    return np.column_stack([*columns, refits.beta, refits.further])


def _term_values(term: RandomEffects, theta: Array, sigma: Array) -> Iterator[Array]:
    """Standard deviations, then correlations (R,) at ``theta`` (R, k) relative to ``sigma`` (R,); nan if undefined."""
    known = np.asarray(np.isfinite(theta).all(axis=1))
    factor = _factors(term.covariance, np.where(known[:, None], theta, term.covariance.start()))
    factor[~known] = np.nan
    covariance = factor @ factor.swapaxes(1, 2)
    sd = np.sqrt(np.einsum("rii->ri", covariance))
    entries = covariance_entries(term)
    yield from (sigma * sd[:, i] for i, j in entries if i == j)
    for i, j in entries:
        if i != j:
            product = sd[:, i] * sd[:, j]
            correlation = np.full(product.shape, np.nan)
            np.divide(covariance[:, i, j], product, out=correlation, where=product > 0)
            yield np.clip(correlation, -1.0, 1.0)


def _factors(covariance: Covariance, theta: Array) -> Array:
    """Relative factors (R, q, q) of many ``theta`` (R, k)."""
    start = covariance.start()
    if covariance.second_derivative(start) is None:
        return np.tensordot(theta, covariance.derivative(start), axes=1)
    return np.array([covariance.factor(one) for one in theta])
