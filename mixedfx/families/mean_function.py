"""The mean of a response as a function of what was estimated, its slopes, and the scale for its intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import special

from mixedfx._typing import Array
from mixedfx.calculus.quadrature import averaged
from mixedfx.families.base import Family
from mixedfx.families.links import EVERYWHERE, Link, image

__all__ = [
    "MeanFunction",
    "MeanModel",
    "MeanSlopes",
    "has_link_scale",
    "is_inverse_link",
    "joined",
    "limits_of_mean",
    "limits_within",
]

STEP = 1e-3  # of first differences of fourth order, in units of a linear predictor or of an unbounded parameter
FOUR = (-2, -1, 1, 2)
SAME = 1e-10  # relative difference of a mean from the inverse link that is rounding
WIDE_STEP = 1e-2  # of the second difference of fourth order


class MeanModel(Protocol):
    """What has a mean, or another function of its linear predictors that is averaged like one."""

    @property
    def phi(self) -> Array:
        """Family-wide parameters on their unbounded scales, as estimated."""

    def mean_at(self, predictors: Array, phi: Array) -> Array:
        """Return the mean (…, n) at linear predictors (…, n) or (…, n, K) and family-wide parameters."""


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

    @classmethod
    def of_identity(cls, n: int) -> MeanSlopes:
        """Return the slopes of a mean that is the linear predictor itself."""
        return cls(np.ones(n), np.zeros((n, 0)), np.zeros((n, 0)), np.zeros(n))


@dataclass(frozen=True)
class MeanFunction:
    """``E m(eta + e, further, phi)`` with ``e ~ N(0, variance)``: one mean for each row.

    Attributes
    ----------
    response : MeanModel
    further : (n, K - 1)
        Further linear predictors.
    variance : (n,)
        Of the random effects that are integrated out; zero where none are.
    """

    response: MeanModel
    further: Array
    variance: Array

    def __call__(self, eta: Array, further: Array | None = None, phi: Array | None = None) -> Array:
        """Return the means for linear predictors (…, n); further predictors and phi as estimated if omitted."""
        others = self.further if further is None else further
        parameters = self.response.phi if phi is None else phi

        def mean(first: Array) -> Array:
            return self.response.mean_at(joined(first, others), parameters)

        if not self.variance.any():
            return mean(eta)
        return averaged(mean, eta, self.variance)

    def slopes(self, eta: Array) -> MeanSlopes:
        """Return the derivatives of the mean at linear predictors (n,), by differences of fourth order.

        That in the variance is half the second one in ``eta``: a normal density solves the heat equation.
        """
        further, phi = self.further, self.response.phi
        moves, shifts = STEP * np.eye(further.shape[1]), STEP * np.eye(phi.size)
        by_eta = _first([self(eta + k * STEP) for k in FOUR])
        by_further = [_first([self(eta, further + k * move) for k in FOUR]) for move in moves]
        by_phi = [_first([self(eta, further, phi + k * shift) for k in FOUR]) for shift in shifts]
        bend = np.zeros(eta.size)
        if self.variance.any():
            at = [self(eta + k * WIDE_STEP) for k in (-2, -1, 0, 1, 2)]
            bend = (16.0 * (at[1] + at[3]) - (at[0] + at[4]) - 30.0 * at[2]) / (24.0 * WIDE_STEP**2)
        n = eta.size
        return MeanSlopes(
            by_eta,
            np.array(by_further).reshape(further.shape[1], n).T,
            np.array(by_phi).reshape(phi.size, n).T,
            np.where(self.variance > 0, bend, 0.0),
        )


def _first(values: list[Array]) -> Array:
    """Return the derivative from values at the places ``FOUR``, in steps."""
    two_below, below, above, two_above = values
    return np.asarray((8.0 * (above - below) - (two_above - two_below)) / (12.0 * STEP))


def joined(eta: Array, further: Array) -> Array:
    """Return all linear predictors (…, n, K), or (…, n) for one, as a family takes them."""
    if further.shape[-1] == 0:
        return eta
    others = [further[..., k] for k in range(further.shape[-1])]
    return np.stack(np.broadcast_arrays(eta, *others), axis=-1)


def is_inverse_link(link: Link, eta: Array, mean: Array) -> bool:
    """Whether means (n,) are the inverse link of the linear predictor ``eta`` (n,) and nothing else."""
    with np.errstate(invalid="ignore"):  # rows with missing predictors
        plain, known = link.mean(eta), np.isfinite(mean)
        return bool(np.all(np.abs(mean - plain)[known] <= SAME * np.abs(plain)[known]))


def has_link_scale(family: Family) -> bool:
    """Whether the link takes all means of the family, and no others, to the whole line."""
    interval, link = family.mean_interval, family.mean_link
    before, after = link.mean(np.array([-1.0, 1.0]))  # alike where the mean is the square of a root
    of_range = family.mean_bounds == (interval.lower, interval.upper)
    return bool(before != after) and of_range and link.domain(family.mean_range) == EVERYWHERE


def limits_of_mean(family: Family, mean: Array, reach: Array) -> tuple[Array, Array]:
    """Return ``mean -+ reach``, to first order, on a scale without bounds: that of the link, or of the range.

    Parameters
    ----------
    family : Family
        Its link, and its :attr:`~Family.mean_bounds`.
    mean, reach : (n,)
        ``reach`` is half the width of the interval on the scale of the mean.
    """
    if not has_link_scale(family):
        return limits_within(family.mean_bounds, mean, reach)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # a mean at the end of its range has none
        eta = family.mean_link(mean)
        half = reach / np.abs(np.asarray(family.mean_link.inverse(eta, 1)[1]))
    return image(family.mean_link, EVERYWHERE, eta - half, eta + half)


def limits_within(bounds: tuple[float, float], value: Array, reach: Array) -> tuple[Array, Array]:
    """Return ``value -+ reach`` (n,), to first order, on the logarithm or logit of where a value lies in its range."""
    lower, upper = bounds
    if not np.isfinite(lower):
        return value - reach, value + reach
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # a value at the end of its range has none
        if not np.isfinite(upper):
            factor = np.exp(reach / (value - lower))
            return lower + (value - lower) / factor, lower + (value - lower) * factor
        width = upper - lower
        share = (value - lower) / width
        half = reach / (width * share * (1.0 - share))
        centre = special.logit(share)
        return lower + width * special.expit(centre - half), lower + width * special.expit(centre + half)
