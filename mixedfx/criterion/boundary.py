"""The boundary of the parameter space: variances of zero, and whether they belong there.

The derivative of a criterion with respect to a standard deviation vanishes at zero and proves nothing; the sign of the
derivative ``N`` with respect to the *covariance*, in a direction without variance, decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.criterion.assembly import CovarianceModel, TermSlot
from mixedfx.criterion.evaluation import Evaluation
from mixedfx.matrices.random import RandomEffects
from mixedfx.optimize import eigen, equilibrium, minimize

__all__ = [
    "CERTIFIED_GAP",
    "NEGLIGIBLE_VARIANCE",
    "CurvatureVerdict",
    "VarianceVerdict",
    "curvature_verdict",
    "flattest",
    "followed",
    "reopened",
    "settled",
    "variance_verdicts",
    "widened",
]

NEGLIGIBLE_VARIANCE = 1e-8  # relative variance on the inner scale below which a direction counts as zero
NEGLIGIBLE_RATIO = 1e-12  # … or relative to the largest variance of its term
CERTIFIED_GAP = 1e-5  # a fit is converged if -2 log L can fall by no more than this
FLAT = 1e-8  # relative size of a Hessian eigenvalue that counts as zero
CURVED, FLAT_AT_MOST = 3.0, 1e-5  # the same along a curved valley: times slope over radius, but never more
NEXT_TO_NOTHING = 1e-4  # relative size of an eigenvalue that rounding can make of a direction that is known to be flat
TAKES_PART = 1e-3  # length of the part of a unit direction from which a parameter takes part in it
UNKNOWABLE = 1e-6  # least change of the criterion when a parameter moves by its own size; with less it is unknowable
TINY = float(np.finfo(float).tiny)
NUDGE = 0.1  # relative standard deviation at which a restart re-opens a variance
MARGIN = 3.0  # Monte Carlo errors that the sign of a slope must exceed
FAR = 1.0  # … and at which one looks for another optimum
STEPS = 4.0 ** -np.arange(10)  # moves along a direction of negative curvature, relative to the size of the parameters
FOLLOWED = 30  # iterations of the search from there


@dataclass(frozen=True)
class VarianceVerdict:
    """What the certificate says of one random-effects term.

    Attributes
    ----------
    term : str
        As the formula has it.
    rank, size : int
        Number of directions with positive variance, of all.
    confirmed : bool
        Where ``rank < size``: the criterion rises when any of the missing directions is given a variance.
    """

    term: str
    rank: int
    size: int
    confirmed: bool


def _null_space(covariance: Array) -> tuple[Array, Array]:
    """Split the eigenvectors (q, q) of a relative covariance into null directions (q, k) and the others."""
    values, vectors = eigen(covariance)
    zero = int(np.count_nonzero(values <= max(NEGLIGIBLE_VARIANCE, NEGLIGIBLE_RATIO * float(values[-1]))))
    return vectors[:, :zero], vectors[:, zero:]


def _term_covariance(model: CovarianceModel, at: Evaluation, k: int, unit: float) -> tuple[Array, Array]:
    """Covariance (q, q) of term k in squared units, and the derivative ``N`` of the criterion with respect to it."""
    slot = model.terms[k]
    n = at.covariance_gradient[slot.factor][slot.coefficients, slot.coefficients]
    return slot.covariance.covariance(at.theta[slot.theta]) / unit**2, n * unit**2


@dataclass(frozen=True)
class _Rise:
    """Smallest slope along a null direction that a term's structure allows, and the parameters moved that way.

    ``margin`` is how far random probes may have moved the slope.
    """

    slope: float
    nudged: Array
    margin: float = 0.0


def _rise(model: CovarianceModel, at: Evaluation, k: int, unit: float, nudge: float = NUDGE) -> _Rise:
    slot = model.terms[k]
    covariance, n = _term_covariance(model, at, k, unit)
    null, _ = _null_space(covariance)
    parameters = at.theta[slot.theta]
    if null.shape[1] == 0:
        return _Rise(np.inf, parameters)
    nudged = slot.covariance.reopened(parameters, null, n / unit**2, nudge * unit)
    change = slot.covariance.covariance(nudged) / unit**2 - covariance
    size = float(np.abs(change).max())
    if size == 0:
        return _Rise(np.inf, nudged)
    return _Rise(float(np.sum(n * change)) / size, nudged, _margin(at, slot, change * (unit**2 / size)))


def _margin(at: Evaluation, slot: TermSlot, direction: Array) -> float:
    """Errors of the slope in a direction (q, q) that random probes may have made; 0 where all is exact."""
    if not at.covariance_deviations:
        return 0.0
    deviations = at.covariance_deviations[slot.factor][:, slot.coefficients, slot.coefficients]
    probes = len(deviations)
    if probes < 2:
        return 0.0
    spread = np.sum(deviations * direction, axis=(1, 2))
    return float(MARGIN * np.sqrt(np.sum(spread**2) / ((probes - 1) * probes)))


def _tolerated(at: Evaluation, unit: float) -> float:
    """Rounding level of a derivative with respect to a covariance in squared units."""
    largest = max((float(np.abs(n).max()) for n in at.covariance_gradient), default=1.0)
    return CERTIFIED_GAP * max(1.0, largest * unit**2)


def reopened(model: CovarianceModel, at: Evaluation, unit: float = 1.0, nudge: float = NUDGE) -> Array | None:
    """Return theta with the wrongly closed directions re-opened, or None where every boundary is confirmed.

    ``unit`` is the standard deviation that those of the random effects are compared with, here and below; ``nudge`` is
    the one that is opened, relative to it.
    """
    theta, opened = at.theta.copy(), False
    for k, slot in enumerate(model.terms):
        rise = _rise(model, at, k, unit, nudge)
        if rise.slope < 0 and rise.slope < -_tolerated(at, unit) - rise.margin:
            theta[slot.theta], opened = rise.nudged, True
    return theta if opened else None


def widened(model: CovarianceModel, at: Evaluation, unit: float = 1.0) -> Array | None:
    """Return theta with large variances for the terms that have none at all, or None where there are no such terms.

    The likelihood of a generalised model may fall when a variance leaves zero, and have a higher maximum beyond.
    """
    theta, opened = at.theta.copy(), False
    for k, slot in enumerate(model.terms):
        covariance, _ = _term_covariance(model, at, k, unit)
        if _null_space(covariance)[1].shape[1] == 0:
            structure = slot.covariance
            theta[slot.theta], opened = structure.rescale(structure.start(), np.full(structure.size, FAR * unit)), True
    return theta if opened else None


def settled(model: CovarianceModel, at: Evaluation, unit: float = 1.0) -> Array:
    """Return theta with negligible directions set to exactly zero, in its canonical form."""
    theta = at.theta.copy()
    for k, slot in enumerate(model.terms):
        covariance, _ = _term_covariance(model, at, k, unit)
        null, rest = _null_space(covariance)
        parameters = theta[slot.theta]
        theta[slot.theta] = slot.covariance.canonical(
            parameters if null.shape[1] == 0 else slot.covariance.closed(parameters, rest)
        )
    return theta


def variance_verdicts(
    model: CovarianceModel, at: Evaluation, random: Sequence[RandomEffects], unit: float = 1.0
) -> tuple[VarianceVerdict, ...]:
    """Return the verdicts on the terms ``random``, the first of the model."""
    return tuple(_variance_verdict(model, at, k, term.term, unit) for k, term in enumerate(random))


def _variance_verdict(model: CovarianceModel, at: Evaluation, k: int, label: str, unit: float) -> VarianceVerdict:
    covariance, _ = _term_covariance(model, at, k, unit)
    _, rest = _null_space(covariance)
    size, rank = len(covariance), rest.shape[1]
    return VarianceVerdict(label, rank, size, rank == size or _is_confirmed(model, at, k, unit))


def _is_confirmed(model: CovarianceModel, at: Evaluation, k: int, unit: float) -> bool:
    """Whether the criterion rises when a missing direction of term k is given a variance, whatever probes may do."""
    rise = _rise(model, at, k, unit)
    return bool(rise.slope >= rise.margin - _tolerated(at, unit))


@dataclass(frozen=True)
class CurvatureVerdict:
    """How far the criterion could still fall, and the numbers of negative and flat directions.

    ``whole_gap`` counts flat directions as well, as if they were just curved: a search that was cut answers for them.
    ``ways`` (k, d) are the directions of which a parabola says too much, moves by the size of the parameters: first
    the ``negative`` ones, then flat ones with a slope. ``rest`` is ``gap`` and ``whole_gap`` without them. ``cleared``
    says that there were negative ones, and that the criterion does not fall along any of them.
    """

    gap: float
    negative: int
    flat: int
    whole_gap: float
    ways: Array
    rest: tuple[float, float] = (0.0, 0.0)
    cleared: bool = False

    def closing(self, own: slice) -> BoolArray:
        """Return the parameters (k,), those among ``own`` that move most along the cleared directions."""
        out = np.zeros(len(self.ways), dtype=bool)
        if self.cleared:
            out[own.start + np.abs(self.ways[own]).argmax(axis=0)] = True
        return out

    def confirming(self, verdicts: Iterable[VarianceVerdict]) -> tuple[VarianceVerdict, ...]:
        """Return the verdicts with those confirmed that were in doubt for a slope along which nothing falls."""
        return tuple(replace(verdict, confirmed=verdict.confirmed or self.cleared) for verdict in verdicts)


def curvature_verdict(
    hessian: Array,
    gradient: Array,
    free: BoolArray,
    at: Array,
    *,
    known_flat: int = 0,
    counted: BoolArray | None = None,
) -> CurvatureVerdict:
    """Return the gap ``g' H^-1 g / 2`` over the ``free`` parameters and the signature of the Hessian.

    A direction is flat if its curvature vanishes relative to the others, or if a move by the size of the parameters
    ``at`` (k,) changes the criterion by next to nothing. A flat valley may be curved (two terms share the sum of their
    variances, a circle in their standard deviations): the Hessian along it is the slope across it over its radius.
    The ``known_flat`` directions of least curvature, which the design is known to leave open, are flat in any case.
    Where ``counted`` is given, only flat directions in which these parameters take part are counted: not that of a
    coefficient that diverges.
    """
    if not free.any():
        return CurvatureVerdict(0.0, 0, 0, 0.0, np.zeros((free.size, 0)))
    h, g, of_all = hessian, gradient, np.flatnonzero(free)
    if not free.all():
        h, g, at = hessian[np.ix_(free, free)], gradient[free], at[free]
        counted = None if counted is None else counted[free]
    if not (np.isfinite(h).all() and np.isfinite(g).all()):
        return CurvatureVerdict(np.inf, 0, 0, np.inf, np.zeros((free.size, 0)))
    size = np.maximum(np.abs(at), 1.0)
    sizes, directions = eigen(h * (size * size[:, None]))
    unknown = _count(directions[:, np.abs(sizes) <= UNKNOWABLE], counted)
    scale = equilibrium(h)
    values, vectors = eigen((h / scale) / scale[:, None])
    along = vectors.T @ (g / scale)
    curved = np.abs(values)
    largest = max(float(curved.max()), TINY)
    vanishing = curved <= FLAT * largest
    if known_flat:
        vanishing |= flattest(values, known_flat)
    with np.errstate(over="ignore"):  # a gap beyond all numbers is infinite
        falls = 0.5 * along**2 / np.maximum(curved, FLAT * largest)
    radius = max(float(np.linalg.norm(at * scale)), TINY)
    in_valley = min(CURVED * float(np.abs(along).max()) / radius, FLAT_AT_MOST * largest)
    reach = np.square(vectors / (scale * size)[:, None]).sum(axis=0)  # squared, of a unit move in sizes of parameters
    flat = vanishing | (curved <= in_valley) | (curved <= UNKNOWABLE * reach)
    negative = ~flat & (values < 0)
    order = np.concatenate([np.flatnonzero(negative), np.flatnonzero(flat & (falls > CERTIFIED_GAP))])
    moves = (vectors / scale[:, None])[:, order]
    ways = np.zeros((free.size, order.size))
    ways[of_all] = moves / np.abs(moves / size[:, None]).max(axis=0, initial=TINY)
    plain = np.ones(falls.size, dtype=bool)
    plain[order] = False
    return CurvatureVerdict(
        float(falls[~vanishing].sum()),
        int(np.count_nonzero(negative)),
        max(_count(vectors[:, flat] / scale[:, None], counted), unknown),
        float(falls.sum()),
        ways,
        (float(falls[plain & ~vanishing].sum()), float(falls[plain].sum())),
    )


def followed(
    found: CurvatureVerdict, function: Callable[[Array], Any], x: Array, value: float, lower: Array, upper: Array
) -> CurvatureVerdict:
    """Return the verdict after its doubtful directions were followed: how far the criterion does fall along them.

    Next to the boundary the curvature in a standard deviation is twice a slope in its variance, which vanishes where
    the data are about to close the direction: its sign says that the criterion falls, not that it falls by anything
    worth mentioning. Along a flat, curved valley a parabola promises a fall that is not there. Where the criterion
    falls along the other directions there is no optimum anyway: its fall along these is left out.

    Parameters
    ----------
    found : CurvatureVerdict
        At ``x`` (k,), where the criterion is ``value``.
    function : callable
        Gives the criterion with its derivatives at parameters (k,) between ``lower`` and ``upper``.
    """
    if found.ways.size == 0:
        return found
    gap, whole = found.rest
    if gap > CERTIFIED_GAP:  # no optimum, whatever else there is
        return replace(found, gap=gap, whole_gap=whole, negative=0, ways=found.ways[:, :0])
    falls = np.array([_fall(function, x, value, way, lower, upper) for way in found.ways.T])
    gap, whole = (rest + float(falls.max()) for rest in found.rest)
    real = int(np.count_nonzero(falls[: found.negative] > CERTIFIED_GAP))
    ways, cleared = found.ways[:, : found.negative], found.negative > real == 0
    return replace(found, gap=gap, whole_gap=whole, negative=real, ways=ways, cleared=cleared)


def _fall(function: Callable[[Array], Any], x: Array, value: float, way: Array, lower: Array, upper: Array) -> float:
    """How far the criterion falls in a search from the lowest place on a line (k,) through ``x`` (k,); 0 if nowhere."""
    lowest, start = value, None
    for move in (sign * step for step in STEPS for sign in (1.0, -1.0)):
        place = np.clip(x + move * way, lower, upper)
        try:
            there = function(place).value
        except FloatingPointError:
            continue
        if there < lowest:
            lowest, start = there, place
    if start is None:
        return 0.0
    try:
        end = minimize(function, start, lower, upper, max_iter=FOLLOWED)
    except FloatingPointError:
        return float(value - lowest)
    return float(value - end.point.value + end.decrement)


def flattest(values: Array, known: int) -> BoolArray:
    """Say which eigenvalues (k,) belong to the ``known`` flat directions: the smallest, if they are negligible.

    Where the variances are zero the curvature in their roots is that of the slope, and nothing is flat.
    """
    out = np.zeros(values.size, dtype=bool)
    out[np.argsort(np.abs(values))[:known]] = True
    return np.asarray(out & (np.abs(values) <= NEXT_TO_NOTHING * np.abs(values).max(initial=0.0)))


def _count(directions: Array, counted: BoolArray | None) -> int:
    """Number of directions (k, d) in which the counted parameters (k,) take part."""
    if counted is None or directions.shape[1] == 0:
        return int(directions.shape[1])
    parts = directions[counted] / np.maximum(np.linalg.norm(directions, axis=0), np.finfo(float).tiny)
    values = np.linalg.svd(parts, compute_uv=False)
    return int(np.sum(values > TAKES_PART))
