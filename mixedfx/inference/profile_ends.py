"""Where a profile of the likelihood has fallen by a given amount."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mixedfx._typing import Array

__all__ = ["End", "Held", "find_end"]

ROOT_TOLERANCE = 1e-6  # of zeta at the end of an interval
OPEN_END = 1e-4  # distance to the bound, relative to that of the estimate, at which an interval is open
MAX_HOLDS = 60  # constrained minima per end
MAX_FAILURES = 2  # how many of them may fail
NEAR = 1.5  # a minimum whose zeta is at most this multiple of the target is a good start for the next search
FURTHER = 4.0  # largest ratio of one step outwards to the last
NO_FURTHER = 2.0  # the same once the profile has stopped rising: what is to be seen is that it still does not
LEVEL = 1e-6  # growth of the rise, relative to the wanted one, that is none while the distance doubles (or that to a …
LEVEL_STEPS = 2  # … bound or a failed search halves) so many times: the profile has levelled off
SEEN = 1e-3  # share of the target zeta below which the profile counts as flat
JUMP = 1e-12  # relative distance below which two points are the same
BARRED = 1e-3  # distance to a failed search, relative to that of the estimate, at which the profile is given up
FLAT_STEPS = 14  # steps outwards on a flat profile before giving up


@dataclass(frozen=True)
class Held:
    """A constrained minimum.

    Attributes
    ----------
    value : float
        Minus twice the log-likelihood.
    slope : float
        Its derivative with respect to the fixed value.
    state : (k,)
        The other parameters, to start the next one from.
    converged : bool
        Whether the search ended at a minimum at which the quantity has its fixed value.
    feasible : bool
        Whether the quantity at least has its fixed value; the true minimum is then no higher than ``value``.
    """

    value: float
    slope: float
    state: Array
    converged: bool = True
    feasible: bool = False


@dataclass(frozen=True)
class End:
    """Where the profile reaches ``zeta``: an end of an interval.

    Attributes
    ----------
    value : float
        The bound of the quantity if ``is_open``; nan if the profile could not be followed so far.
    zeta : float
        Signed root of the profile there, or the largest that it reaches.
    reached : bool
        Whether the target was reached.
    state : (k,)
        The other parameters.
    """

    value: float
    zeta: float
    reached: bool
    state: Array

    @property
    def is_open(self) -> bool:
        """Whether the data do not exclude any value on this side."""
        return not self.reached and not np.isnan(self.value)


class _Followed(Protocol):
    @property
    def estimate(self) -> float: ...
    @property
    def se(self) -> float: ...
    @property
    def lower(self) -> float: ...
    @property
    def upper(self) -> float: ...
    @property
    def start(self) -> Array: ...

    def hold(self, value: float, state: Array) -> Held: ...


def find_end(profile: _Followed, best: float, zeta: float) -> End:
    """Return where the signed root of the rise of the criterion equals ``zeta`` (not 0).

    Parameters
    ----------
    profile : HeldProfile
    best : float
        Minus twice the maximal log-likelihood.
    zeta : float
        Negative for the lower end.

    Notes
    -----
    Newton steps in the root, kept between the points known to be inside and outside, and at most :data:`FURTHER` times
    as far out as the last one. A search that ends above its minimum but below the target still marks a point inside;
    one that fails says nothing of its point, so that an end is looked for before it and never assumed at it.
    A profile that levels off below the wanted rise, or never rises, has an open end.
    """
    side, target = float(np.sign(zeta)), abs(zeta)
    bound = profile.upper if side > 0 else profile.lower
    room = abs(bound - profile.estimate)
    if np.isfinite(room) and room <= OPEN_END * max(profile.se, abs(profile.estimate)):
        return End(bound, 0.0, False, profile.start)
    walk = _Walk(profile.estimate, bound, side, profile.se, profile.start)
    value, failures = _guess(profile, zeta, bound), 0
    for _ in range(MAX_HOLDS):
        held = profile.hold(value, walk.state)
        reached = float(np.sqrt(max(held.value - best, 0.0)))
        if not held.converged and not (held.feasible and reached < target):
            failures += 1
            if failures > MAX_FAILURES:
                break
            walk.failed_at(value)
            value = 0.5 * (walk.inside + value)
            continue
        if held.converged and abs(reached - target) <= ROOT_TOLERANCE * target:
            return End(value, side * reached, True, held.state)
        if reached < target:
            walk.inwards(value, reached / target, held.state)
            at_bound = np.isfinite(room) and abs(bound - value) <= OPEN_END * room
            if at_bound or walk.levelled:
                return End(bound, side * reached, False, held.state)
        else:
            walk.outwards(value, held.state if reached < NEAR * target else walk.state)
        newton = _newton(value, reached, target, held.slope) if held.slope * side > 0 else np.nan
        if walk.is_barred:
            break
        if walk.is_jump:
            return End(value, side * target, True, walk.state)
        value = walk.between(newton)
    return End(np.nan, side * target, False, walk.state)


@dataclass
class _Walk:
    """The points known to be inside and outside, and how the rise has grown on the way out."""

    inside: float
    outside: float
    side: float
    se: float
    state: Array
    rise: float = 0.0
    level_steps: int = 0
    flat_steps: int = 0
    failed: bool = False

    def __post_init__(self) -> None:
        self.origin, self.bound = self.inside, self.outside

    def inwards(self, value: float, share: float, state: Array) -> None:
        """Note a point inside, with the share of the wanted zeta that is reached there."""
        doubled = abs(value - self.origin) >= 1.99 * abs(self.inside - self.origin)
        halved = np.isfinite(self.outside) and abs(self.outside - value) <= 0.51 * abs(self.outside - self.inside)
        if (self.outside == self.bound or self.failed) and (doubled or halved) and self.inside != self.origin:
            grown = share**2 - self.rise > LEVEL
            seen = share > SEEN
            self.level_steps = self.level_steps + 1 if seen and not grown else 0
            self.flat_steps = self.flat_steps + 1 if not seen else 0
        self.inside, self.rise, self.state = value, share**2, state

    def outwards(self, value: float, state: Array) -> None:
        """Note a point outside."""
        self.outside, self.state, self.failed = value, state, False

    def failed_at(self, value: float) -> None:
        """Note a point beyond which nothing is known, as the search there has failed."""
        self.outside, self.failed = value, True

    @property
    def levelled(self) -> bool:
        """Whether the profile has stopped rising, or never will."""
        return self.level_steps >= LEVEL_STEPS or self.flat_steps >= FLAT_STEPS

    @property
    def is_barred(self) -> bool:
        """Whether the profile has been followed up to where its search fails."""
        return self.failed and abs(self.outside - self.inside) <= BARRED * abs(self.inside - self.origin)

    @property
    def is_jump(self) -> bool:
        """Whether the profile leaps over what is wanted, from one minimum of the other parameters to another."""
        return abs(self.outside - self.inside) <= JUMP * (abs(self.inside) + self.se)

    def between(self, newton: float) -> float:
        """Newton's value if it lies between the points known to be inside and outside, else a cautious one."""
        distance = max(abs(self.inside - self.origin), 0.1 * self.se)
        furthest = self.inside + self.side * ((NO_FURTHER if self.level_steps else FURTHER) - 1.0) * distance
        if np.isfinite(newton) and (newton - self.inside) * self.side > 0 and (self.outside - newton) * self.side > 0:
            return float(newton if (furthest - newton) * self.side > 0 else self._before_bound(furthest))
        if np.isfinite(self.outside) and self.outside != self.bound:
            return 0.5 * (self.inside + self.outside)
        return self._before_bound(self.inside + self.side * max(distance, 2.0 * self.se))

    def _before_bound(self, value: float) -> float:
        """The value, or halfway to what is known to be outside if it lies beyond."""
        beyond = (value - self.outside) * self.side >= 0
        return 0.5 * (self.inside + self.outside) if beyond else float(value)


def _newton(value: float, reached: float, target: float, slope: float) -> float:
    """Where the tangent of the root of the rise reaches the target: infinitely far if the profile has levelled off."""
    with np.errstate(over="ignore"):
        return float(value + (target - reached) * 2.0 * np.float64(reached) / slope)


def _guess(profile: _Followed, zeta: float, bound: float) -> float:
    """Wald's end; on the log scale for positive quantities; kept off the bound."""
    if profile.lower == 0.0 and profile.estimate > profile.se:
        guess = profile.estimate * float(np.exp(np.clip(zeta * profile.se / profile.estimate, -1.5, 1.5)))
    else:
        guess = profile.estimate + zeta * profile.se
    if np.isfinite(bound) and (guess - bound) * np.sign(zeta) >= 0:
        guess = 0.5 * (profile.estimate + bound)
    return guess
