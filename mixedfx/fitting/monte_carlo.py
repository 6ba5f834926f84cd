"""What random probes leave open of an estimate: its Monte Carlo error, and how many probes are enough.

The criterion ``f`` of an iterative fit has the gradient ``g``, the mean over K probes of vectors ``g_k``. With ``S``
their covariance and H the Hessian of ``f``, the estimate has the covariance ``H^-1 S H^-1 / K`` about the exact
optimum. It is looked at beside the standard errors, the roots of the diagonal of ``2 H^-1``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from mixedfx._typing import Array, BoolArray
from mixedfx.fitting.reported import Reported, standard_error

__all__ = ["FEWEST_PROBES", "MOST_PROBES", "TOLERATED", "MonteCarlo", "Plan", "monte_carlo", "relative_errors"]

FEWEST_PROBES, MOST_PROBES = 16, 256
TOLERATED = 0.0075  # Monte Carlo error, in standard errors: four of them are 3 % of a standard error
SOLVED_PROBES, MOST_CONTROLS = 32, 512  # where few probes are not enough
LIMIT = 0.1  # chance that the stated error is too small by more than :attr:`MonteCarlo.limit` allows for


@dataclass(frozen=True)
class MonteCarlo:
    """The Monte Carlo error of the estimates.

    Attributes
    ----------
    covariance : (k, k)
        Of the estimates about those without Monte Carlo error, on the scale of the Hessian that it was made with.
    relative : (k,)
        Their standard deviations in standard errors of the estimates; 0 for parameters that are not free.
    llf : float
        Error of the log-likelihood: the standard deviation of its determinant, and what the estimates' errors cost,
        which has ``sqrt(3)`` times its mean as root mean square if that is one parameter's.
    probes : int
    """

    covariance: Array
    relative: Array
    llf: float
    probes: int

    @property
    def largest(self) -> float:
        """The largest error in standard errors."""
        return float(self.relative.max(initial=0.0))

    @property
    def limit(self) -> float:
        """Upper limit of :attr:`largest`, at the confidence 0.9: the stated one is itself an estimate."""
        degrees = self.probes - 1
        return self.largest * float(np.sqrt(degrees / special.chdtri(degrees, 1.0 - LIMIT)))

    @property
    def is_enough(self) -> bool:
        """Whether more probes are not worth their price."""
        return self.limit <= TOLERATED or self.probes >= MOST_PROBES

    @property
    def needed(self) -> float:
        """Number of probes that would be enough, if all are solved for."""
        return self.probes * (self.limit / TOLERATED) ** 2


@dataclass(frozen=True)
class Plan:
    """How many probes a fit takes: those that are solved for, and the controls beside them."""

    probes: int
    controls: int = 0

    def more(self, errors: MonteCarlo) -> Plan:
        """Return what to take next: controls at first, twice as many as probes would be enough, then more of both."""
        if errors.is_enough:  # but for the sign of a slope
            return Plan(min(2 * self.probes, MOST_PROBES), self.controls)
        if not self.controls:
            return Plan(max(SOLVED_PROBES, self.probes), int(min(2.0 * errors.needed, MOST_CONTROLS)))
        return Plan(min(2 * self.probes, MOST_PROBES), min(2 * self.controls, MOST_CONTROLS))


def monte_carlo(hessian: Array, deviations: Array, logdets: Array, free: BoolArray | None = None) -> MonteCarlo:
    """Return the Monte Carlo error of the estimates.

    Parameters
    ----------
    hessian : (k, k)
        Of minus twice the log-likelihood, or the average information; nothing is known where it is not finite.
    deviations : (N, k)
        Of the gradient (:class:`~mixedfx.linalg.probes.Expansion`): by every probe less the mean if there are no
        controls; N = 0 if all is exact.
    logdets : (K,)
        The log-determinant by every probe, as it stands in minus twice the log-likelihood.
    free : (k,), optional
        Parameters that are not held at a bound; all if omitted.
    """
    (n, k), probes = deviations.shape, logdets.size
    covariance, relative = np.zeros((k, k)), np.zeros(k)
    if probes < 2:
        return MonteCarlo(covariance, relative, 0.0, probes)
    free = np.ones(k, dtype=bool) if free is None else free
    both = np.ix_(free, free)
    if not np.isfinite(hessian[both]).all():
        return MonteCarlo(covariance, relative, 0.0, probes)
    inverse = np.linalg.pinv(hessian[both], hermitian=True)
    moved = deviations[:, free] @ inverse
    covariance[both] = moved.T @ moved / ((n - 1) * n)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative[free] = np.nan_to_num(np.sqrt(covariance.diagonal()[free] / (2.0 * inverse.diagonal())))
    llf = 0.5 * float(np.std(logdets, ddof=1)) / np.sqrt(probes)
    lost = float(np.sum(hessian[both] * covariance[both])) / 4.0  # on average, of the likelihood next to the optimum
    return MonteCarlo(covariance, relative, float(np.hypot(llf, np.sqrt(3.0) * lost)), probes)


def relative_errors(numbers: Sequence[Reported], phi: Array, errors: Array, covariance: Array) -> dict[str, float]:
    """Return the Monte Carlo errors of reported numbers in their standard errors, by name.

    Parameters
    ----------
    numbers : sequence of Reported
    phi : (k,)
        Parameters of the likelihood.
    errors, covariance : (k, k)
        Covariance of their Monte Carlo errors, and of the estimates.
    """
    found = {}
    for number in numbers:
        if number.quantity is not None:
            error = standard_error(number.quantity, phi, errors)
            found[number.name] = error / standard_error(number.quantity, phi, covariance) if error else 0.0
    return found
