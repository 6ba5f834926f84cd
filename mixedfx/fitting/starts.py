"""Where searches start: from random parameters, and from the optima of structures that a covariance contains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd

from mixedfx._typing import Array, BoolArray
from mixedfx.covariance.base import Contained, Covariance
from mixedfx.criterion.assembly import CovarianceModel
from mixedfx.criterion.boundary import NEGLIGIBLE_VARIANCE
from mixedfx.exceptions import SpecificationError
from mixedfx.matrices import Design
from mixedfx.matrices.labels import NEARLY_SAME, nearly_same
from mixedfx.matrices.random import RandomEffects

__all__ = [
    "FEW_EFFECTS",
    "NUDGES",
    "SMALL_SD",
    "Effort",
    "Found",
    "NarrowerModel",
    "Starts",
    "boxed",
    "ended",
    "exchanged_thetas",
    "has_free_correlation",
    "narrower_models",
    "random_theta",
    "random_thetas",
    "similar_terms",
    "starts_report",
    "station_thetas",
]

FEW_EFFECTS = 500  # random effects; with more, the likelihood is close to quadratic
SPREAD = 1.5  # standard deviation of the logarithms of random standard deviations
INSIDE = 0.9  # share of its interval that a random correlation is drawn from
SAME = 1e-4  # of the log-likelihood: the same maximum
NUDGES = (0.1, 0.03, 0.01, 0.003)  # standard deviations to open a direction by, in units of the residual's
SMALL_SD = 1e-4  # one that may as well be zero
MOVED = 0.9  # share of a variance that a term hands over to one that is nearly the same and has none
NO_SHARE = 1e-4  # of the other term's variance: a term with less has none
NO_VARIANCE = 1e-6  # of the residual's: a term with less in the mean row has nothing to hand over
STATIONS = ((0.02, 1.0), (0.5, 0.3), (0.5, 1.0), (0.98, 1.0))  # shares of the way between ends, of the usual sds …
APART = 0.1  # … of which those of the usual size are left out that lie no further from the usual start
WAY = (1e-5, 1e-4, 1e-3, 0.01, *np.linspace(0.03, 0.97, 16), 0.99, 0.999, 1 - 1e-4, 1 - 1e-5)  # shares of a range


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

    @classmethod
    def nothing(cls, start: Array) -> Found:
        """Return a search that could not be made."""
        return cls(start, np.full(start.size, np.nan), -np.inf, False, 0)


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
    names = [f"{term.group}: {label}" for term in design.random for label in term.theta_labels]
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
            theta[slot.theta] = random_theta(slot.covariance, rng, unit)
        yield theta


def random_theta(covariance: Covariance, rng: np.random.Generator, unit: float = 1.0) -> Array:
    """Return random parameters of a covariance: standard deviations around ``unit``, any correlations."""
    q = covariance.size
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
    return np.asarray(own)


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
        lower, upper, ended = covariance.lower(), covariance.upper(), boxed(covariance)
        small = (lower == 0) & (np.abs(own) <= zero)
        if ended.any() and np.any(small | (ended & ((own >= upper) | (own <= lower)))):
            return True
    return False


def station_thetas(model: CovarianceModel, start: Array) -> Iterator[Array]:
    """Yield ``start`` (n_theta,) with the correlations of one term elsewhere: near either end, or half-way.

    A likelihood may have a maximum on either side of a correlation of zero, and a user's parameter may be one that
    says nothing in most of its range: places are told by the way that the covariance goes, not by the parameter.
    """
    for slot in model.terms:
        moving = boxed(slot.covariance)
        for station, size in _stations(slot.covariance):
            theta = start.copy()
            theta[slot.theta] = np.where(moving, station, size * start[slot.theta])
            yield theta


def boxed(covariance: Covariance) -> BoolArray:
    """Which parameters (n_theta,) have two ends: correlations."""
    return np.isfinite(covariance.lower()) & np.isfinite(covariance.upper())


def ended(design: Design, model: CovarianceModel, theta: Array) -> list[str]:
    """Say which parameters of structured terms lie at an end of their range, where no correlation is -1 or 1."""
    out = []
    for term, slot in zip(design.random, model.terms, strict=True):
        own, covariance = theta[slot.theta], slot.covariance
        at_end = boxed(covariance) & ((own <= covariance.lower()) | (own >= covariance.upper()))
        spread = np.linalg.eigvalsh(covariance.covariance(own))
        if spread[0] > NEGLIGIBLE_VARIANCE * spread[-1]:
            out += [f"{term.theta_labels[j]} of {term.term} = {own[j]:.3g}" for j in np.flatnonzero(at_end)]
    return out


def _stations(covariance: Covariance) -> list[tuple[Array, float]]:
    """Parameters (n_theta,) that lie elsewhere, with the share of the usual standard deviations to start with.

    Where several parameters say the correlations, those of the structures within that have one, if there are such.
    """
    (places,) = np.nonzero(boxed(covariance))
    narrower = [within for within in covariance.contained() if np.count_nonzero(boxed(within.covariance)) == 1]
    if places.size > 1 and narrower:
        return [(one.embed(station), size) for one in narrower for station, size in _stations(one.covariance)]
    return [station for j in places.tolist() for station in _along(covariance, j)]


def _along(covariance: Covariance, j: int) -> list[tuple[Array, float]]:
    """Stations where parameter j alone has moved."""
    start, lower, upper = covariance.start(), covariance.lower()[j], covariance.upper()[j]
    values, seen = [], []
    for value in sorted([start[j], *(lower + (upper - lower) * np.array(WAY))]):
        try:
            seen.append(covariance.covariance(np.where(np.arange(start.size) == j, value, start)))
        except (SpecificationError, FloatingPointError, np.linalg.LinAlgError):  # a user's pattern may end before
            continue
        values.append(value)
    gone = np.append(0.0, np.cumsum([np.linalg.norm(b - a) for a, b in pairwise(seen)]))
    usual, way = gone[values.index(start[j])], gone[-1]
    out = []
    for share, size in STATIONS:
        if size < 1.0 or abs(share * way - usual) > APART * way:
            station = start.copy()
            station[j] = np.interp(share * way, gone, values)
            out.append((station, size))
    return out


def similar_terms(design: Design) -> list[tuple[int, int]]:
    """Return the pairs of terms, either first, that may group nearly the same rows: as far as few numbers tell."""
    terms = design.random
    if len(terms) == 1:
        return []
    plain = [k for k, term in enumerate(terms) if term.pooled is None and term.loading is None]
    counts = [len(term.levels) for term in terms]
    return [
        (i, j)
        for i in plain
        for j in plain
        if i != j and counts[i] <= NEARLY_SAME * counts[j] <= NEARLY_SAME**2 * counts[i]
    ]


def exchanged_thetas(design: Design, theta: Array) -> Iterator[Array]:
    """Yield parameters with most of a variance moved to a term of nearly the same groups that has none.

    Such terms share the sum of their variances: the likelihood is a ridge between them, with a maximum at either end
    or before it, and the slopes at one end do not tell of the other.

    Parameters
    ----------
    design : Design
    theta : (n_theta,)
        Covariance parameters on the user's scale.
    """
    terms = design.random
    pairs = similar_terms(design)
    if not pairs:
        return
    stops = np.cumsum([term.covariance.n_theta for term in terms])
    slots = [slice(stop - term.covariance.n_theta, stop) for term, stop in zip(terms, stops, strict=True)]
    covariances = [term.covariance.covariance(theta[slot]) for term, slot in zip(terms, slots, strict=True)]
    for i, j in pairs:
        empty, full = terms[i], terms[j]
        columns = _movable(empty, full, covariances[i], covariances[j])
        if not columns or not nearly_same(empty.codes, full.codes):
            continue
        into, out = (np.array(place, dtype=np.intp) for place in zip(*columns, strict=True))
        more, kept = covariances[i].copy(), np.ones(full.n_columns)
        more[np.ix_(into, into)] += MOVED * covariances[j][np.ix_(out, out)]
        kept[out] = np.sqrt(1.0 - MOVED)
        moved = theta.copy()
        moved[slots[i]] = empty.covariance.near(more)
        moved[slots[j]] = full.covariance.near(covariances[j] * np.outer(kept, kept))
        yield moved


def _movable(empty: RandomEffects, full: RandomEffects, has: Array, gives: Array) -> list[tuple[int, int]]:
    """Positions of the columns that vary in one term and not, or not in all directions, in the other."""
    columns = []
    for i, name in enumerate(empty.names):
        j = full.names.index(name) if name in full.names else None
        if j is not None and gives[j, j] * float(np.mean(np.square(full.matrix[:, j]))) > NO_VARIANCE:
            columns.append((i, j))
    if not columns:
        return []
    into, out = (list(place) for place in zip(*columns, strict=True))
    size = np.sqrt(gives.diagonal()[out])
    shares = np.linalg.eigvalsh(has[np.ix_(into, into)] / np.outer(size, size))
    return columns if shares[0] <= NO_SHARE else []
