"""Several starts: where each search began, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.criterion.assembly import CovarianceModel
from mixedfx.matrices import Design

__all__ = ["Found", "Starts", "random_thetas", "starts_report"]

SPREAD = 1.5  # standard deviation of the logarithms of random standard deviations
INSIDE = 0.9  # share of its interval that a random correlation is drawn from
SAME = 1e-4  # of the log-likelihood: the same maximum


@dataclass(frozen=True)
class Found:
    """One search.

    Attributes
    ----------
    start, theta : (n_theta,)
        Covariance parameters on the user's scale where it began, and where it ended.
    llf : float
    converged : bool
        Whether the search ended at an optimum.
    evaluations : int
    """

    start: Array
    theta: Array
    llf: float
    converged: bool
    evaluations: int


@dataclass(frozen=True)
class Starts:
    """What every start found, the usual one first.

    Attributes
    ----------
    names : tuple of str
        Covariance parameters.
    found : tuple of Found

    Examples
    --------
    >>> import mixedfx as mfx
    >>> data = mfx.load_dataset("sleepstudy")
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", data, control=mfx.Control(starts=5))
    >>> print(fit.certificate.starts)
    All 5 starts found the same maximum.
    >>> fit.certificate.starts.to_frame()["llf"].round(4).unique().tolist()
    [-871.8141]
    """

    names: tuple[str, ...]
    found: tuple[Found, ...]

    @property
    def best(self) -> float:
        """The highest log-likelihood."""
        return max(one.llf for one in self.found)

    @property
    def n_best(self) -> int:
        """Number of starts that found it."""
        return sum(one.llf > self.best - SAME for one in self.found)

    def to_frame(self) -> pd.DataFrame:
        """Return a row a start: log-likelihood, how far below the best, verdict, evaluations, and theta."""
        rows = [
            {"llf": one.llf, "below": self.best - one.llf, "converged": one.converged, "evaluations": one.evaluations}
            | dict(zip(self.names, one.theta.tolist(), strict=True))
            for one in self.found
        ]
        return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="start"))

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        count = len(self.found)
        if self.n_best == count:
            return f"All {count} starts found the same maximum."
        usual = "the usual start among them" if self.found[0].llf > self.best - SAME else "the usual start did not"
        lowest = self.best - min(one.llf for one in self.found)
        return (
            f"{self.n_best} of {count} starts found the highest maximum, {usual}; the others ended up to "
            f"{lowest:.3g} below it (log-likelihood)."
        )


def parameter_names(design: Design) -> tuple[str, ...]:
    """Return a name for every covariance parameter, unique by group and term."""
    names = [f"{term.group}: {label}" for term in design.random for label in term.covariance.labels(term.names)]
    return tuple(name if names.count(name) == 1 else f"{name} ({k + 1})" for k, name in enumerate(names))


def starts_report(design: Design, to_user: Callable[[Array], Array], searches: Sequence[Found]) -> Starts:
    """Return the report of searches whose parameters are on the inner scale."""
    found = [replace(one, start=to_user(one.start), theta=to_user(one.theta)) for one in searches]
    return Starts(parameter_names(design), tuple(found))


def random_thetas(model: CovarianceModel, count: int, seed: int, unit: float = 1.0) -> Iterator[Array]:
    """Yield ``count`` random inner parameters: standard deviations around ``unit``, any correlations."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        theta = model.start.copy()
        for slot in model.terms:
            covariance, q = slot.covariance, slot.covariance.size
            free = rng.standard_normal((q + 2, q))
            size = np.sqrt(np.square(free).sum(axis=0))
            sds = unit * np.exp(SPREAD * rng.standard_normal(q))
            if not covariance.closed_under_scaling():
                sds = np.full(q, sds[0])
            own = covariance.rescale(covariance.near((free.T @ free) / np.outer(size, size)), sds)
            lower, upper = covariance.lower(), covariance.upper()
            boxed = np.isfinite(lower) & np.isfinite(upper)
            share = rng.uniform(0.5 - 0.5 * INSIDE, 0.5 + 0.5 * INSIDE, own.size)
            own[boxed] = (lower + share * np.where(boxed, upper - lower, 0.0))[boxed]
            theta[slot.theta] = own
        yield theta
