"""How to optimise: what a user may say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np

from mixedfx._arguments import checked_choice, checked_whole, plain_numbers
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array
from mixedfx.criterion.problem import REMAINDERS, RemainderName
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting.monte_carlo import FEWEST_PROBES, MOST_PROBES
from mixedfx.linalg.probes import Solver

__all__ = ["Control", "checked_start"]

FEWEST = 2  # probes: one alone does not tell its error


@hinting_methods
@dataclass(frozen=True)
class Control:
    """How to optimise.

    Parameters
    ----------
    max_iter : int
        Newton steps at the most; a fit that is cut says so.
    tol : float
        Stop when the Newton decrement, an estimate of how far -2 log L can still fall, is below it.
    start : array-like, optional
        Starting values of ``theta`` in the order of ``fit.theta``, on the user's scale.
    verbose : bool
        Print one line an iteration, with the parameters on the user's scale.
    starts : int
        Number of searches: the usual one, then others from random parameters. The best is kept, and
        ``fit.certificate.starts`` tells what each found.
    seed : int
        Of the random starts, and of the random probes of an iterative fit.
    remainder : {"auto", "exact", "iterative"}
        How the equations of crossed factors are solved: factorised exactly, or by iteration, with traces and the
        determinant as means over random probes, whose error the certificate tells. ``"auto"`` factorises up to 12 000
        crossed random effects beside those of the largest factor. Without crossed factors all is exact.
    probes : int or "auto"
        Number of random probes of an iterative fit that are solved for; ``"auto"`` takes 16, and more (256 at the most,
        with controls beside them) until their error is small beside the standard errors.

    Raises
    ------
    SpecificationError
        If a number is out of range.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> mfx.Control(max_iter=50).max_iter
    50
    """

    max_iter: int = 200
    tol: float = 1e-11
    start: Any = None
    verbose: bool = False
    starts: int = 1
    seed: int = 0
    remainder: RemainderName = "auto"
    probes: int | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        for name in ("max_iter", "starts", "seed"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise TypeError(f"{name} is a whole number, found {type(value).__name__}")
        if self.starts < 1:
            raise SpecificationError(f"starts is the number of searches, at least 1; found {self.starts}")
        if self.seed < 0:
            raise SpecificationError(f"seed is a whole number, at least 0; found {self.seed}")
        if self.max_iter < 0:
            raise SpecificationError(f"max_iter is the number of iterations, at least 0; found {self.max_iter}")
        if not 0 < self.tol < 1:
            raise SpecificationError(f"tol is a small positive number such as 1e-11; found {self.tol}")
        checked_choice("remainder", self.remainder, REMAINDERS)
        if self.probes != "auto":
            checked_whole("probes", self.probes, FEWEST)

    @property
    def most_exact(self) -> float:
        """Crossed random effects beside the largest factor that are factorised, rather than solved by iteration."""
        return REMAINDERS[self.remainder]

    @classmethod
    def alike(cls, most_exact: float, solver: Solver | None = None, start: Any = None) -> Control:
        """Return settings by which another fit solves its equations as an earlier one did, with the same probes.

        Parameters
        ----------
        most_exact : float
            As :attr:`most_exact` of the earlier one.
        solver : Solver, optional
            Of its equations, if they were solved by iteration.
        start : array-like, optional
        """
        name = next(name for name, most in REMAINDERS.items() if most == most_exact)
        usual = cls(start=start, remainder=cast(RemainderName, name))
        if solver is None:
            return usual
        return _Alike(start=start, remainder=usual.remainder, seed=solver.seed, probes=solver.probes, known=solver)

    @property
    def controls(self) -> int:
        """Probes of an iterative fit beside :attr:`probes` of which only products are taken, to begin with."""
        return 0

    @property
    def probe_range(self) -> tuple[int, int]:
        """Fewest and most random probes of an iterative fit."""
        return (FEWEST_PROBES, MOST_PROBES) if self.probes == "auto" else (int(self.probes), int(self.probes))

    def callback(self, to_user: Callable[[Array], Array]) -> Callable[[int, Array, Any], None] | None:
        """Return what the optimiser calls after every step; ``to_user`` brings its parameters to the user's scale."""
        if not self.verbose:
            return None

        def report(iteration: int, x: Array, point: Any) -> None:
            shown = np.array2string(to_user(x), precision=5)
            print(f"iteration {iteration:3d}   -2 log L = {point.value:.8f}   parameters = {shown}")

        return report


def checked_start(start: Any, n_theta: int) -> Array:
    """Return starting values (n_theta,) that a user gave, or say what is wrong with them."""
    values = plain_numbers("start", start)
    if values.shape != (n_theta,) or not np.all(np.isfinite(values)):
        raise SpecificationError(
            f"start needs {n_theta} finite numbers, one for each entry of fit.theta; found {values.tolist()}"
        )
    return values


@dataclass(frozen=True)
class _Alike(Control):
    """The settings of a fit that was made: ``known`` is how it solved its equations."""

    known: Solver = field(default_factory=Solver)

    @property
    def controls(self) -> int:
        """Those of the earlier fit."""
        return self.known.controls
