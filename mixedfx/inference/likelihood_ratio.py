"""Twice the difference of two log-likelihoods, which random probes may have estimated, and what it can tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from mixedfx._typing import Array

__all__ = ["LikelihoodRatio", "likelihood_ratio"]

LEVEL = 0.05  # of the test whose critical value a ratio is looked at beside
CLEAR = 0.1  # Monte Carlo error of a test, relative to its distance from the critical value, that changes no verdict
ZERO = 4.0  # errors below zero at which a ratio still counts as zero


@dataclass(frozen=True)
class LikelihoodRatio:
    """Twice the difference of two log-likelihoods.

    Attributes
    ----------
    value : float
    error : float
        Monte Carlo standard deviation of the value; 0 if both likelihoods are exact.
    probes : int
    """

    value: float
    error: float = 0.0
    probes: int = 0

    def is_negative(self, rounding: float) -> bool:
        """Whether the larger model has the smaller likelihood, by more than ``rounding`` and the errors allow for."""
        return self.value < -rounding - ZERO * self.error

    def is_clear(self, df: int) -> bool:
        """Whether the error is small beside the distance from the critical value of a test of 5 %: none always is."""
        return self.error == 0.0 or self.error <= CLEAR * self._distance(df)

    def wanted(self, df: int) -> int:
        """Return how many probes would make it clear, a power of two."""
        share = self.error / max(CLEAR * self._distance(df), np.finfo(float).tiny)
        return int(2 ** np.ceil(np.log2(self.probes * min(share, 1e6) ** 2)))

    def _distance(self, df: int) -> float:
        critical = float(special.chdtri(df, LEVEL)) if df else 0.0  # nothing is tested where no parameter goes
        return abs(self.value - critical)

    def doubt(self, df: int) -> str:
        """Return why there is no test, in words; empty where there is one."""
        if self.is_clear(df):
            return ""
        return (
            f"the Monte Carlo error of a likelihood ratio, {self.error:.2g} of {self.value:.3g}, is more than a tenth "
            f"of its distance from the critical value: there is no test before both models are fitted with about "
            f"{self.wanted(df)} probes, control=mfx.Control(probes={self.wanted(df)})"
        )


def likelihood_ratio(large: tuple[float, Array], small: tuple[float, Array]) -> LikelihoodRatio:
    """Return twice the difference of two log-likelihoods.

    Parameters
    ----------
    large, small : (llf, (K,))
        The log-likelihood, and what it is by each random probe; those of an exact one are none. Both have the same
        signs at the levels that they share: the differences, probe by probe, vary much less than either.
    """
    sampled = [each.size for _, each in (large, small) if each.size]
    probes = min(sampled, default=0)
    if probes < 2:
        return LikelihoodRatio(2.0 * (large[0] - small[0]))
    first, second = (each[:probes] if each.size else llf for llf, each in (large, small))
    differences = 2.0 * (np.asarray(first) - second)
    error = float(np.std(differences, ddof=1)) / np.sqrt(probes)
    return LikelihoodRatio(float(np.mean(differences)), float(error), probes)
