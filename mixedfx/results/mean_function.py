"""The mean of a response as a function of what was estimated, its slopes, and the scale for its intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from mixedfx._typing import Array
from mixedfx.families import Ordinal
from mixedfx.families.base import Family
from mixedfx.results.population import averaged
from mixedfx.results.response import ResponseModel

__all__ = ["MeanFunction", "MeanSlopes", "limits_on_unbounded_scale"]

STEP = 1e-4  # of first differences, in units of a linear predictor or of an unbounded parameter
WIDE_STEP = 1e-3  # of the second difference


@dataclass(frozen=True)
class MeanSlopes:
    """Derivatives of the mean.

    Attributes
    ----------
    eta : (n,)
        In the first linear predictor.
    further : (n, K - 1)
        In the further linear predictors.
    phi : (n, m)
        In the family-wide parameters on their unbounded scales.
    variance : (n,)
        In the variance over which the mean is averaged; zero where there is none.
    """

    eta: Array
    further: Array
    phi: Array
    variance: Array

    @property
    def of_eta_only(self) -> bool:
        """Whether the mean is a function of the first linear predictor alone."""
        return not (self.further.any() or self.phi.any() or self.variance.any())


@dataclass(frozen=True)
class MeanFunction:
    """``E m(eta + e, further, phi)`` with ``e ~ N(0, variance)``: one mean for each row.

    Attributes
    ----------
    response : ResponseModel
    further : (n, K - 1)
        Further linear predictors.
    variance : (n,)
        Of the random effects that are integrated out; zero where none are.
    """

    response: ResponseModel
    further: Array
    variance: Array

    def __call__(self, eta: Array, further: Array | None = None, phi: Array | None = None) -> Array:
        """Return the means for linear predictors (…, n); further predictors and phi as estimated if omitted."""
        others = self.further if further is None else further
        own = self.response.phi if phi is None else phi
        family = self.response.problem.family

        def mean(first: Array) -> Array:
            return family.mean(joined(first, others), own)

        if not self.variance.any():
            return mean(eta)
        return averaged(mean, eta, self.variance)

    def slopes(self, eta: Array) -> MeanSlopes:
        """Return the derivatives of the mean at linear predictors (n,), by central differences.

        That in the variance is half the second one in ``eta``: a normal density solves the heat equation.
        """
        further, phi = self.further, self.response.phi
        by_further = [self._slope(eta, further, phi, step, None) for step in STEP * np.eye(further.shape[1])]
        by_phi = [self._slope(eta, further, phi, None, step) for step in STEP * np.eye(phi.size)]
        bend = np.zeros(eta.size)
        if self.variance.any():
            bend = (self(eta + WIDE_STEP) - 2.0 * self(eta) + self(eta - WIDE_STEP)) / (2.0 * WIDE_STEP**2)
        n = eta.size
        return MeanSlopes(
            (self(eta + STEP) - self(eta - STEP)) / (2.0 * STEP),
            np.array(by_further).reshape(further.shape[1], n).T,
            np.array(by_phi).reshape(phi.size, n).T,
            np.where(self.variance > 0, bend, 0.0),
        )

    def _slope(self, eta: Array, further: Array, phi: Array, move: Array | None, shift: Array | None) -> Array:
        step: Array | float = 0.0 if move is None else move
        change: Array | float = 0.0 if shift is None else shift
        rise = self(eta, further + step, phi + change) - self(eta, further - step, phi - change)
        return np.asarray(rise / (2.0 * STEP))


def joined(eta: Array, further: Array) -> Array:
    """Return all linear predictors (…, n, K), or (…, n) for one, as a family takes them."""
    if further.shape[-1] == 0:
        return eta
    others = [further[..., k] for k in range(further.shape[-1])]
    return np.stack(np.broadcast_arrays(eta, *others), axis=-1)


def limits_on_unbounded_scale(family: Family, mean: Array, reach: Array) -> tuple[Array, Array]:
    """Return ``mean -+ reach``, to first order, by a logarithm or logit of the mean that keeps it within its range.

    Parameters
    ----------
    family : Family
        Its mean is any number, positive, or within (0, 1); that of category numbers within their range.
    mean, reach : (n,)
        Half the width of the interval on the scale of the mean.
    """
    top = float(family.n_categories - 1) if isinstance(family, Ordinal) else 1.0
    kind = "unit" if isinstance(family, Ordinal) else family.mean_range
    if kind == "real":
        return mean - reach, mean + reach
    with np.errstate(
        divide="ignore", invalid="ignore", over="ignore"
    ):  # a mean at the end of its range has no interval
        if kind == "positive":
            factor = np.exp(reach / mean)
            return mean / factor, mean * factor
        share = mean / top
        half = reach / (top * share * (1.0 - share))
        centre = special.logit(share)
        return top * special.expit(centre - half), top * special.expit(centre + half)
