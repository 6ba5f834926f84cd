"""How sure it is that the optimum was found, in numbers and in two sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mixedfx._suggestions import hinting_methods
from mixedfx.criterion.boundary import CERTIFIED_GAP, VarianceVerdict
from mixedfx.fitting.monte_carlo import TOLERATED, MonteCarlo
from mixedfx.fitting.starts import Starts

__all__ = ["Certificate", "Sampling", "held_notes"]


def held_notes(held: Sequence[str]) -> list[str]:
    """Return a note for every parameter at the end of its range."""
    return [f"at the end of the range in which it is sought: {text}" for text in held]


@dataclass(frozen=True)
class Sampling:
    """What random probes leave open of an iterative fit.

    Attributes
    ----------
    errors : tuple of (name, error)
        Monte Carlo errors of the reported numbers, in their standard errors.
    llf : float
        Monte Carlo standard deviation of the log-likelihood.
    probes : int
    is_enough : bool
        Whether more probes would not be worth their price.
    hessian_is_exact : bool
        Whether the curvature is that of the likelihood of the probes, rather than the average information.
    """

    errors: tuple[tuple[str, float], ...]
    llf: float
    probes: int
    is_enough: bool
    hessian_is_exact: bool

    @classmethod
    def of(cls, found: MonteCarlo, errors: Mapping[str, float], *, hessian_is_exact: bool = True) -> Sampling:
        """Return what an iterative fit found."""
        return cls(tuple(errors.items()), found.llf, found.probes, found.limit <= TOLERATED, hessian_is_exact)

    @property
    def largest(self) -> float:
        """The largest error of a reported number; those that are not finite have none."""
        return max((error for _, error in self.errors if np.isfinite(error)), default=0.0)

    def __str__(self) -> str:
        more = "" if self.is_enough else "; more probes would make it smaller: control=mfx.Control(probes=…)"
        return (
            f"the Monte Carlo error of the estimates is at most {100.0 * self.largest:.2g} % of a standard error "
            f"({self.probes} probes){more}"
        )


@hinting_methods
@dataclass(frozen=True)
class Certificate:
    """How sure it is that the optimum was found.

    Attributes
    ----------
    gap : float
        How far minus twice the log-likelihood could still fall, by the exact Hessian; infinite if without end.
    negative_directions : int
        Eigenvalues of the Hessian that are negative: 0 at a minimum.
    flat_directions : int
        Eigenvalues that vanish: directions of theta that the data say nothing about (or that do not matter).
    variances : tuple of VarianceVerdict
    cut : bool
        The iteration limit ended the search, at the optimum or not.
    iterations, evaluations : int
    separated : tuple of str
        Fixed effects along which the likelihood never stops rising.
    divided : tuple of str
        Grouping factors along whose variance it never stops rising: no level has more than one outcome.
    obstacle : str
        What a search that found no optimum ran into, where that is known.
    held : tuple of str
        Parameters of the family, of residuals and of a user's structure at the end of their range.
    unseen : tuple of str
        Fixed effects whose curvature is lost in rounding.
    levels : tuple of str
        The levels of a factor that are told apart, if it is a factor that separates the outcomes.
    undetermined : str
        What of the random effects no data of this design could tell, in words.
    starts : Starts, optional
        What each of several searches found: :class:`Control` with ``starts``.
    sampling : Sampling, optional
        What random probes leave open of an iterative fit; None if all is exact.
    exhausting : tuple of str
        Random terms that take all of the residual variance, which is estimated as zero.
    equations : str
        What was solved where the estimates maximise no likelihood.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> print(fit.certificate)
    This is the optimum: by the curvature of the likelihood, -2 log L cannot fall by more than 1e-09.
    Every variance is positive and no correlation is at -1 or 1.
    """

    gap: float
    negative_directions: int
    flat_directions: int
    variances: tuple[VarianceVerdict, ...]
    cut: bool
    iterations: int
    evaluations: int
    separated: tuple[str, ...] = ()
    divided: tuple[str, ...] = ()
    obstacle: str = ""
    held: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    undetermined: str = ""
    levels: tuple[str, ...] = ()
    starts: Starts | None = None
    sampling: Sampling | None = None
    exhausting: tuple[str, ...] = ()
    equations: str = ""

    @property
    def monte_carlo_errors(self) -> pd.Series:
        """Monte Carlo errors of the reported numbers, in their standard errors; empty for exact fits."""
        errors = () if self.sampling is None else self.sampling.errors
        return pd.Series(dict(errors), name="monte_carlo_error", dtype=float)

    @property
    def monte_carlo_error(self) -> float:
        """The largest Monte Carlo error of a reported number, in its standard error; 0 for exact fits."""
        return 0.0 if self.sampling is None else self.sampling.largest

    @property
    def llf_error(self) -> float:
        """Monte Carlo standard deviation of the log-likelihood; 0 for exact fits."""
        return 0.0 if self.sampling is None else self.sampling.llf

    @property
    def monte_carlo_note(self) -> tuple[str, ...]:
        """What random probes leave open, in words; empty for exact fits."""
        return () if self.sampling is None else (str(self.sampling),)

    @property
    def converged(self) -> bool:
        """Whether nothing worth mentioning is left to gain."""
        boundary = all(v.confirmed for v in self.variances if v.rank < v.size)
        finite = np.isfinite(self.gap) and not (self.separated or self.divided or self.unseen)
        return bool(finite and self.gap <= CERTIFIED_GAP and self.negative_directions == 0 and boundary)

    @property
    def is_identified(self) -> bool:
        """Whether the data determine the variances: no flat direction but those of a zero variance or a separation.

        Where an obstacle ended the search, the curvature does not tell.
        """
        explained = self.is_singular or bool(self.separated or self.divided or self.obstacle)
        return not self.undetermined and (self.flat_directions == 0 or explained)

    @property
    def is_singular(self) -> bool:
        """Whether some variance is zero, of random effects or residuals, or some correlation is -1 or 1."""
        return bool(self.exhausting) or any(v.rank < v.size for v in self.variances)

    @property
    def culprits(self) -> str:
        """What separates the outcomes: the levels, where the names of the columns do not say them, and the columns."""
        names = ", ".join(self.separated)
        said = all(level.split(" = ")[1].strip("'") in names for level in self.levels)
        return names if said else f"{', '.join(self.levels)} ({names})"

    @property
    def separation_note(self) -> tuple[str, ...]:
        """What tests and means of a separated model are worth, and what to do; empty without a separation."""
        if not self.separated:
            return ()
        return (
            f"separation: the outcomes are told apart perfectly by {self.culprits}, without a finite estimate: Wald "
            "tests, standard errors and intervals that involve it say nothing. Compare with the model without it by "
            "the likelihood ratio, mfx.anova(smaller, larger), or fit with penalty=0.1",
        )

    def __str__(self) -> str:
        second = f"{self._boundary()}{self._held()}".lstrip()
        several = "" if self.starts is None else str(self.starts)
        return "\n".join(part for part in (self.verdict, second, several) if part)

    def _held(self) -> str:
        return f" At the end of its range: {', '.join(self.held)}." if self.held else ""

    @property
    def verdict(self) -> str:
        """The first sentence: whether this is the optimum, and if not, why."""
        if self.converged and self.equations:
            return self.equations
        if self.converged:
            bound = max(1e-9, float(f"{self.gap:.0e}"))
            if self.sampling is not None:
                known = "curvature of the likelihood" if self.sampling.hessian_is_exact else "average information"
                return (
                    f"This is the optimum for the random probes: by the {known}, -2 log L cannot fall by more than "
                    f"{bound:.0e}; {self.sampling}."
                )
            return (
                "This is the optimum: by the curvature of the likelihood, -2 log L cannot fall by more than "
                f"{bound:.0e}."
            )
        if self.equations:
            return f"These are not the estimates: the equations are not solved after {self.iterations} rounds."
        if self.separated:
            return (
                f"There is no optimum: the outcomes are told apart by {self.culprits}, and the likelihood rises "
                "without end as the coefficients grow."
            )
        if self.divided:
            return (
                f"There is no optimum: no level of {' or '.join(self.divided)} has more than one outcome, and the "
                "likelihood rises without end as the variance grows."
            )
        if self.obstacle:
            return f"This is not the optimum: {self.obstacle}."
        if self.unseen:
            return (
                "Whether this is the optimum cannot be told: the curvature of the likelihood in "
                f"{', '.join(self.unseen)} is lost in rounding: no row tells of it, or a residual variance beside "
                "it is all but zero."
            )
        reason = "the iteration limit ended the search" if self.cut else "the search could not go on"
        if self.negative_directions:
            return f"This is not the optimum: {reason} at a point from which the likelihood still rises (a saddle)."
        return f"This is not the optimum: {reason}, and -2 log L could still fall by about {self.gap:.2g}."

    def _boundary(self) -> str:
        zero = [v for v in self.variances if v.rank < v.size]
        if self.undetermined:
            return f"{self.undetermined} {self._zero(zero)}" if zero else self.undetermined
        if not self.is_identified:
            ways = "one direction" if self.flat_directions == 1 else f"{self.flat_directions} directions"
            return (
                f"The variances are not identified: the likelihood is flat in {ways}, so that other values fit equally "
                "well. Do two terms describe the same groups, or does a fixed effect?"
            )
        if not self.variances:
            return ""
        if self.exhausting:
            taken = f"The residual variance is estimated as zero: {' and '.join(self.exhausting)} takes all of it."
            return f"{taken} {self._zero(zero)}" if zero else taken
        return self._zero(zero) if zero else "Every variance is positive and no correlation is at -1 or 1."

    @staticmethod
    def _zero(zero: Sequence[VarianceVerdict]) -> str:
        named = ", ".join(
            f"{v.term} has no variance at all" if v.rank == 0 else f"{v.term} varies in {v.rank} of {v.size} directions"
            for v in zero
        )
        sure = "the likelihood falls when more is allowed" if all(v.confirmed for v in zero) else "this is in doubt"
        return f"The estimate lies on the boundary: {named}; {sure}."

    def __repr__(self) -> str:
        return str(self)
