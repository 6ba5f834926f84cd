"""Narrower models to search from: a structure is never below a structure that it contains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from mixedfx._typing import Array
from mixedfx.covariance.base import Contained
from mixedfx.criterion.assembly import CovarianceModel
from mixedfx.matrices import Design

__all__ = ["NUDGES", "SMALL_SD", "Effort", "NarrowerModel", "has_free_correlation", "narrower_models"]

NUDGES = (0.1, 0.03, 0.01, 0.003)  # standard deviations to open a direction by, in units of the residual's
SMALL_SD = 1e-4  # one that may as well be zero


@dataclass(frozen=True)
class NarrowerModel:
    """A design one of whose terms has a narrower covariance, and the way back.

    Attributes
    ----------
    design : Design
    embed : callable
        From ``theta`` of the narrower model to that of the wider one, both on the user's scale.
    """

    design: Design
    embed: Callable[[Array], Array]


class Effort:
    """What the searches within narrower structures may cost all together, and what those that were made have found.

    Structures contain structures, so that with several terms the number of ways from one to another is exponential:
    each structure is searched once, and its optimum serves all that contain it.

    Parameters
    ----------
    left : int
        Evaluations that are left.
    """

    def __init__(self, left: int) -> None:
        self.left, self.floor = left, -left
        self.known: dict[str, tuple[Array, ...] | None] = {}

    def spend(self, evaluations: int) -> None:
        """Count evaluations that were made."""
        self.left -= evaluations

    @property
    def is_used_up(self) -> bool:
        """Whether even known optima may not be searched from any more: twice of what was allowed has been spent."""
        return self.left <= self.floor

    def optimum(self, design: Design, search: Callable[[], tuple[Array, ...] | None]) -> tuple[Array, ...] | None:
        """Return the optimum of a model: the known one, that of ``search``, or None where nothing is left for it."""
        key = repr([term.covariance for term in design.random])
        if key not in self.known:
            if self.left <= 0:
                return None
            self.known[key] = search()
        return self.known[key]


def narrower_models(design: Design, model: CovarianceModel) -> Iterator[NarrowerModel]:
    """Yield the models that differ by a narrower covariance of one term, where the structure names some."""
    for k, (term, slot) in enumerate(zip(design.random, model.terms, strict=True)):
        for contained in term.covariance.contained():
            terms = list(design.random)
            terms[k] = replace(term, covariance=contained.covariance)
            yield NarrowerModel(replace(design, random=tuple(terms)), _embedding(contained, slot.theta.start))


def _embedding(contained: Contained, start: int) -> Callable[[Array], Array]:
    stop = start + contained.covariance.n_theta

    def embed(theta: Array) -> Array:
        return np.concatenate([theta[:start], contained.embed(theta[start:stop]), theta[stop:]])

    return embed


def has_free_correlation(model: CovarianceModel, theta: Array, zero: float) -> bool:
    """Whether a structured term has a zero standard deviation or a correlation at its end: searches get lost there."""
    for slot in model.terms:
        own, covariance = theta[slot.theta], slot.covariance
        lower, upper = covariance.lower(), covariance.upper()
        small = (lower == 0) & (np.abs(own) <= zero)
        if covariance.contained() and np.any(small | (own >= upper) | ((own <= lower) & (lower != 0))):
            return True
    return False
