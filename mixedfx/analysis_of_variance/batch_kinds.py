"""The batches of coefficients of a model: those of a fixed term, of a random term, the residuals.

A batch has a standard deviation in the population from which its coefficients come, and another one among the
coefficients that are there: ``s^2 = b' C b / df`` with ``C`` the projection that enforces the constraints ``A' b = 0``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, special, stats

from mixedfx._typing import Array, IntArray
from mixedfx.analysis_of_variance.joint_effects import JointEffects

__all__ = ["FixedBatch", "RandomBatch", "Spread", "population_spread"]

HALF = 0.5  # level of the inner interval
LEAST_DF = 1.0  # of a variance that chi-squared can tell something about
MANY = 1e8  # denominator degrees of freedom that count as infinitely many
LARGE = 1e8  # sums of squares beside the error, from which on the noncentrality is as uncertain as the error is


@dataclass(frozen=True)
class Spread:
    """A standard deviation with its interval and the interval of 50 %.

    Attributes
    ----------
    sd, lower, q25, q75, upper : float
    """

    sd: float
    lower: float = np.nan
    q25: float = np.nan
    q75: float = np.nan
    upper: float = np.nan


@dataclass(frozen=True)
class RandomBatch:
    """The effects of one column of a random term.

    Attributes
    ----------
    label : str
    places : (J,)
        Of its effects among all random ones.
    constraints : (J, a)
        Orthonormal columns in whose directions the effects do not count: what other batches have.
    """

    label: str
    places: IntArray
    constraints: Array

    @property
    def size(self) -> int:
        """Number J of coefficients."""
        return len(self.places)

    @property
    def df(self) -> int:
        """Coefficients less constraints."""
        return self.size - int(self.constraints.shape[1])

    def _constrained(self, values: Array) -> Array:
        return np.asarray(values - self.constraints @ (self.constraints.T @ values))

    def finite(self, joint: JointEffects, draws: Array, alpha: float) -> Spread:
        """Return the root of the expected ``s^2`` given the data, with quantiles of the draws (p + q, D)."""
        if self.df == 0:
            return Spread(np.nan)
        places = joint.n_fixed + self.places
        mean, root = self._constrained(joint.mean[places]), self._constrained(joint.root[places])
        expected = (float(mean @ mean) + float(np.sum(root**2))) / self.df
        s = np.sqrt(np.sum(self._constrained(draws[places]) ** 2, axis=0) / self.df)
        return Spread(float(np.sqrt(expected)), *np.quantile(s, _levels(alpha)).tolist())


@dataclass(frozen=True)
class FixedBatch:
    """The effects of one fixed term.

    Attributes
    ----------
    label : str
    size : int
        Number of coefficients.
    directions : (m, p)
        ``G`` with ``s^2 = |G beta|^2``.
    df : int
    f, den_df : float
        The F test of the term.
    """

    label: str
    size: int
    directions: Array
    df: int
    f: float
    den_df: float

    def finite(self, joint: JointEffects, draws: Array, alpha: float) -> Spread:
        """Return the root of ``|G beta|^2`` less what chance adds, with limits from the noncentral F distribution.

        The limits are exact where the estimated effects are exchangeable, as in a balanced design.
        """
        p = joint.n_fixed
        chance = float(np.sum((self.directions @ joint.root[:p]) ** 2))
        value = float(np.sum((self.directions @ joint.mean[:p]) ** 2))
        limits = [np.sqrt(_noncentrality(self, 1.0 - level) * chance / self.df) for level in _levels(alpha)]
        return Spread(float(np.sqrt(max(value - chance, 0.0))), *limits)


def _levels(alpha: float) -> list[float]:
    return [alpha / 2, HALF / 2, 1 - HALF / 2, 1 - alpha / 2]


def _noncentrality(batch: FixedBatch, probability: float) -> float:
    """The noncentrality at which F is below its observed value with this probability; 0 if there is none."""
    f, df, den_df = batch.f, batch.df, min(batch.den_df, MANY)

    def excess(nc: float) -> float:
        return float(stats.ncf.cdf(f, df, den_df, nc)) - probability

    if float(special.fdtr(df, den_df, f)) <= probability:
        return 0.0
    if df * f > LARGE:  # all that is uncertain is the denominator
        return df * f * float(special.chdtri(den_df, probability)) / den_df
    stop = df * f + 1.0
    while excess(stop) > 0:
        stop *= 2.0
    return float(optimize.brentq(excess, 0.0, stop, xtol=1e-10))


def population_spread(variance: float, uncertainty: float, alpha: float) -> Spread:
    """Return a standard deviation with limits from chi-squared whose relative variance is that of the estimate.

    Its degrees of freedom are ``2 v^2 / Var(v)``; where they are less than one, as for an estimate near zero, there are
    no limits.
    """
    df = 2.0 * variance**2 / uncertainty if uncertainty > 0 else 0.0
    if df < LEAST_DF:
        return Spread(float(np.sqrt(max(variance, 0.0))))
    limits = np.sqrt(variance * df / special.chdtri(df, _levels(alpha)))
    return Spread(float(np.sqrt(variance)), *limits.tolist())


def orthonormal_constraints(columns: Sequence[Array], size: int) -> Array:
    """Return an orthonormal basis (size, a) of indicator columns."""
    if not columns:
        return np.zeros((size, 0))
    return np.asarray(linalg.orth(np.column_stack(columns)))
