"""The numbers beside the mean, as programs have them: standard deviations, shapes and sizes instead of dispersions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.families.base import Family
from mixedfx.programs.priors import POSITIVE, UNIT, Domain

__all__ = ["FamilyNumber", "numbers_of"]


@dataclass(frozen=True)
class FamilyNumber:
    """A parameter of a family as programs have it.

    Attributes
    ----------
    component : str
        What it is called here: ``dispersion``, ``df``, ``zero_inflation``.
    name : str
        What it is called in programs.
    key : str
        Whose prior it is.
    power : float
        The dispersion is it to this power; 0 for a probability, whose unbounded scale is the logit.
    default : str
        Its prior, if the data say nothing of its size.
    """

    component: str
    name: str
    key: str
    power: float
    default: str

    @property
    def domain(self) -> Domain:
        """Its values."""
        return POSITIVE if self.power else UNIT

    def unbounded(self, value: Array | float) -> Array:
        """Return it on the unbounded scale of the family, where its linear predictor is."""
        value = np.asarray(value, dtype=float)
        return np.asarray(self.power * np.log(value) if self.power else np.log(value) - np.log1p(-value))

    def natural(self, value: float) -> float:
        """Return it from the unbounded scale of the family."""
        return float(np.exp(value / self.power)) if self.power else float(1.0 / (1.0 + np.exp(-value)))

    def reported(self, value: Array) -> Array:
        """Return what a fit reports in its place: the residual standard deviation, or it itself."""
        return np.asarray(value ** (0.5 * self.power)) if self.power == -1.0 else value

    @property
    def reported_name(self) -> str:
        """What a fit calls the number that it reports in its place."""
        return "sigma" if self.power in (2.0, -1.0) else self.key


HALF_CAUCHY = "half_cauchy(5.0)"
SIGMA = FamilyNumber("dispersion", "sigma", "sigma", 2.0, "")
SHAPE = FamilyNumber("dispersion", "shape", "family: shape", -1.0, HALF_CAUCHY)
NUMBERS: dict[str, tuple[FamilyNumber, ...]] = {
    "gaussian": (SIGMA,),
    "student_t": (SIGMA, FamilyNumber("df", "df", "family: df", 1.0, "gamma(2.0, 0.1)")),
    "lognormal": (SIGMA,),
    "gamma": (SHAPE,),
    "inverse_gaussian": (SHAPE,),
    "nbinom2": (FamilyNumber("dispersion", "concentration", "family: dispersion", 1.0, HALF_CAUCHY),),
    "nbinom1": (FamilyNumber("dispersion", "excess", "family: dispersion", 1.0, HALF_CAUCHY),),
    "beta": (FamilyNumber("dispersion", "precision", "family: dispersion", 1.0, "half_cauchy(10.0)"),),
    "beta_binomial": (FamilyNumber("dispersion", "precision", "family: dispersion", 1.0, "half_cauchy(10.0)"),),
}
ZEROS = FamilyNumber("zero_inflation", "zero_inflation", "family: zero_inflation", 0.0, "beta(1.0, 1.0)")


def numbers_of(family: Family) -> tuple[FamilyNumber, ...]:
    """Return the parameters beside the mean, in the order of ``family.parameters``; none for thresholds."""
    zeros = (ZEROS,) if any(p.name == "zero_inflation" for p in family.parameters) else ()
    return (*NUMBERS.get(family.innermost.name, ()), *zeros)
