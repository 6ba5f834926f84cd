"""Fit many responses of one generalised model: together where the design allows it, else one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mixedfx._typing import AnyArray, Array, BoolArray, IntArray
from mixedfx.criterion.batch import BlockMap, block_map
from mixedfx.criterion.generalized_batch import GeneralizedBatch, GeneralizedPoint, generalized_batch
from mixedfx.criterion.generalized_modes import stacked
from mixedfx.criterion.generalized_problem import GeneralizedProblem
from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.criterion.marginal import OBSERVED
from mixedfx.criterion.separation import SUSPICIOUS_SPREAD
from mixedfx.criterion.start import MEASURED, starting_values
from mixedfx.exceptions import DataError
from mixedfx.families.observed import Observed
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.fitting.integrators import refit_generalized
from mixedfx.fitting.refit import CONSTANT, Refits
from mixedfx.optimize import Derivatives, minimize_many

__all__ = ["fits_together", "refit_many_generalized"]

LARGEST_BLOCK = 8  # coefficients of a block of several factors, at the most
CHUNK_CELLS = 60_000  # rows times responses whose arrays are worked on at a time: a few dozens of them fit the cache
TOLERANCE = 1e-8  # decrement at which the search ends; the exact Newton step that follows would square the error
MAX_ITER = 60
UNLIKELY = 3.0  # root n: a response whose -2 log L is so much larger at the start does not look like the fitted one
PATIENCE = 8  # looks at a response before every Hessian is worth its price
SAFEGUARD = 1e-8  # smallest cosine for which a secant update is trusted
POLISHING_STEPS = 4  # with exact Hessians, at the most
SWEEPS, HALVINGS = 3, 4  # of iteratively re-weighted least squares for the fixed effects to start from
POSITIVE = 1e-2  # a standard deviation so small, in units of a row, may be none: such a fit is looked at alone …
LARGEST_ERROR = 5.0  # standard errors, columns of size 1: where a separation ends in rounding they are 1e4 and more
FAR = 1.0  # standard deviation, in units of a row, from which another optimum is looked for
SAME = 1e-7  # values of the criterion that differ by less are the same
SHARE = 1e-2  # … and one so small beside the largest of its term
CURVED = 1e-4  # so is one whose scaled Hessian has a smaller eigenvalue beside the largest …
LEAST = 1e-3  # … or whose parameters beside the mean are less curved: they may have run to a limit


def refit_many_generalized(earlier: GeneralizedFit, Y: Array) -> Refits:
    """Fit every column of ``Y`` (n, R), finite numbers, in place of the response of ``earlier``.

    Every fit is that of :func:`~mixedfx.fitting.integrators.refit_generalized`. All at once means: Newton steps for all
    responses with the exact gradient; whatever is not an undoubted optimum inside the parameter space (a variance next
    to zero, a separation, a parameter on its way to a limit) is left to the search for one response.
    """
    problem, blocks = earlier.problem, fits_together(earlier)
    observed, words = _observed(problem, Y)
    found = _nothing(earlier, words)
    if blocks is None:
        left = np.flatnonzero(words == "")
    else:
        start = _start(earlier)
        for which in _chunks(np.flatnonzero(words == ""), len(Y)):
            batch = generalized_batch(
                problem.model, blocks, stacked([one for one in (observed[k] for k in which) if one is not None])
            )
            found = found.replaced(which, _fitted(earlier, batch, start))
        left = np.flatnonzero((words == "") & ~found.converged)
    return found.replaced(left, Refits.concatenated([_one(earlier, Y[:, k]) for k in left])) if left.size else found


def fits_together(earlier: GeneralizedFit) -> BlockMap | None:
    """Return the blocks of the design, or None where design, covariances or family are not for a batch."""
    problem, model = earlier.problem, earlier.problem.covariance
    rows = problem.assembly.rows
    linear = all(t.covariance.second_derivative(t.covariance.start()) is None for t in model.terms)
    free = np.all(np.isneginf(model.search_lower)) and np.all(np.isposinf(model.upper))
    plain = not rows.loadings and rows.layout.n_factors > 0 and not earlier.undetermined
    usual = problem.information == OBSERVED and problem.family.many_responses
    alike = earlier.integrate is LaplaceEvaluation  # and not the likelihood of a hierarchical model
    if not (linear and free and plain and usual and alike and earlier.nodes == 1):
        return None
    blocks = block_map(rows.layout)
    return blocks if rows.layout.n_factors == 1 or blocks.size <= LARGEST_BLOCK else None


def _observed(problem: GeneralizedProblem, Y: Array) -> tuple[dict[int, Observed], AnyArray]:
    """Return every response as the family sees it, and why it cannot be fitted (R,); empty where it may be.

    A constant one that an intercept takes up leaves a dispersion to go to zero, however long one searches.
    """
    hopeless = _dispersed(problem) & (Y[:1] == Y).all(axis=0)
    design, shift = problem.design, problem.shift
    out: dict[int, Observed] = {}
    words = np.where(hopeless, CONSTANT, "").astype(object)
    for k in np.flatnonzero(~hopeless):
        try:
            observed = problem.family.observe(
                Y[:, k], trials=design.response.trials, weights=design.weights, rows=design.index
            )
            out[int(k)] = replace(observed, y=observed.y - shift) if shift else observed
        except DataError as error:
            words[k] = str(error)
    return out, words


def _dispersed(problem: GeneralizedProblem) -> bool:
    """Whether a dispersion is estimated beside an intercept, with nothing that could make up for a constant."""
    family, design = problem.family, problem.design
    estimated = family.precision_weights and "dispersion" in family.phi_names
    return bool(estimated and problem.bases[0].intercept.any() and design.offset is None)


def _nothing(earlier: GeneralizedFit, words: AnyArray) -> Refits:
    further = sum(entry.part == "family" for entry in earlier.reported)
    p = earlier.problem.model.n_fixed
    n_theta = earlier.problem.covariance.n_theta
    return Refits.failed(len(words), n_theta, p, words, n_further=further, n_tests=p)


def _chunks(which: IntArray, n_rows: int) -> Iterator[IntArray]:
    size = max(1, CHUNK_CELLS // max(n_rows, 1))
    for first in range(0, which.size, size):
        yield which[first : first + size]


# ---------------------------------------------------------------- one response
def _one(earlier: GeneralizedFit, y: Array) -> Refits:
    """The fit to one response; where it cannot be made, why: that must not cost the others."""
    try:
        fit = refit_generalized(earlier, earlier.problem.with_response(y))
        certificate = fit.certificate
        covariance = fit.beta_covariance
    except (DataError, ArithmeticError, np.linalg.LinAlgError) as error:
        return _nothing(earlier, np.array([str(error)], dtype=object))
    words = "" if certificate.converged else certificate.verdict
    verdicts = (certificate.converged, certificate.is_singular, words)
    df = np.full(len(covariance), np.inf)
    estimated = (fit.theta, fit.beta, float(np.sqrt(fit.scale)), -2.0 * fit.llf)
    return Refits.of(*estimated, *verdicts, _further(earlier, fit.x), covariance, df)


def _further(earlier: GeneralizedFit, x: Array) -> Array:
    """The family's own numbers (f,) at inner parameters ``x`` (k,)."""
    return np.array([entry.value(x) for entry in earlier.reported if entry.part == "family"], dtype=float)


# ---------------------------------------------------------------- all at once
def _start(earlier: GeneralizedFit) -> Array:
    """Inner parameters (k,) to start from: those of the earlier fit, unless a variance is zero there."""
    singular = any(verdict.rank < verdict.size for verdict in earlier.certificate.variances)
    return starting_values(earlier.problem) if singular else earlier.x


@dataclass(frozen=True)
class _Search:
    """The criterion of all responses, every search for a mode starting where the last one was found.

    A Hessian is dear. The search begins with the one it is given (nan: with the exact one) and learns from the
    gradients, by the symmetric rank-one formula; one that takes long gets exact ones.

    Attributes
    ----------
    batch : GeneralizedBatch
    x, t, gradient, hessian : (R, k), (Q, m, R), (R, k), (R, k, k)
        Where each response was looked at last, ``Sigma^-1 b`` at its mode there, the gradient, and the Hessian, nearly.
    looks : (R,)
        How often each response was looked at.
    """

    batch: GeneralizedBatch
    x: Array
    t: Array
    gradient: Array
    hessian: Array
    looks: IntArray

    def __call__(self, x: Array, which: IntArray) -> Derivatives:
        """Values, gradients and Hessians of the responses number ``which`` at ``x`` (r, k)."""
        point = self.batch.take(which).at(x, self.t[..., which])
        known = point.is_known
        gradient = np.where(known[:, None], point.gradient, 0.0)
        hessian = _secant(self.hessian[which], x - self.x[which], gradient - self.gradient[which])
        exact = known & (np.isnan(hessian).any(axis=(1, 2)) | (self.looks[which] >= PATIENCE))
        hessian = _exact(point, exact, hessian)
        known &= np.isfinite(hessian).all(axis=(1, 2))
        own = which[known]
        self.x[own], self.t[..., own] = x[known], point.modes.t[..., known]
        self.gradient[own], self.hessian[own] = gradient[known], hessian[known]
        self.looks[which] += 1
        hessian = np.where(known[:, None, None], hessian, np.eye(x.shape[1]))
        gradient = np.where(known[:, None], gradient, 0.0)
        return Derivatives(np.where(known, point.value, np.inf), gradient, hessian, (gradient,))


def _exact(point: GeneralizedPoint, which: BoolArray, hessian: Array) -> Array:
    """Hessians (R, k, k), those of the responses ``which`` the exact ones."""
    if which.all():
        return point.hessian
    chosen = np.flatnonzero(which)
    if not chosen.size:
        return hessian
    out = hessian.copy()
    out[chosen] = point.take(chosen).hessian
    return out


def _secant(hessian: Array, step: Array, change: Array) -> Array:
    """Symmetric rank-one updates (R, k, k), so that ``hessian @ step`` meets the change of the gradient."""
    residual = change - np.einsum("rij,rj->ri", hessian, step)
    along = np.einsum("ri,ri->r", residual, step)
    size = np.linalg.norm(residual, axis=1) * np.linalg.norm(step, axis=1)
    safe = np.abs(along) > SAFEGUARD * size
    weight = np.divide(1.0, along, out=np.zeros(along.shape), where=safe)
    return np.asarray(hessian + weight[:, None, None] * residual[:, :, None] * residual[:, None, :])


@dataclass(frozen=True)
class _Found:
    """Where the searches ended: ``x`` (R, k), the criterion (R,), gradients, Hessians, and whether that is an optimum.

    ``closed`` (R, k) are the standard deviations that are zero.
    """

    x: Array
    value: Array
    gradient: Array
    hessian: Array
    good: BoolArray
    closed: BoolArray

    def replaced(self, which: IntArray, other: _Found) -> _Found:
        parts = []
        for mine, new in zip(vars(self).values(), vars(other).values(), strict=True):
            part = mine.copy()
            part[which] = new
            parts.append(part)
        return _Found(*parts)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # wild steps are judged by their value and taken back
def _fitted(earlier: GeneralizedFit, batch: GeneralizedBatch, start: Array) -> Refits:
    """Fit all responses of a batch; what is not an undoubted optimum counts as not converged."""
    problem = earlier.problem
    found = _searched(batch, *_begun(earlier, batch, start))
    unit = _units(problem, batch, found.x)
    small = _deviations(problem) & (np.abs(found.x) <= POSITIVE * unit[:, None])
    which = np.flatnonzero(found.good & small.any(axis=1))
    if which.size:
        found = found.replaced(which, _closed(problem, batch.take(which), found, which, small[which], unit[which]))
    covariance, positive = _inverses(found.hessian)
    newton = -np.einsum("rij,rj->ri", 0.5 * covariance, found.gradient)
    x = np.where(found.closed, 0.0, found.x + np.where(positive[:, None], newton, 0.0))
    found = replace(found, x=x, good=found.good & positive)
    return _refits(earlier, found, covariance, found.good & _is_plain(problem, found, covariance, unit))


def _searched(batch: GeneralizedBatch, x: Array, t: Array, hessian: Array | None = None) -> _Found:
    """Search from ``x`` (R, k), where ``t`` (Q, m, R) is near the modes and ``hessian`` (R, k, k) near the Hessians.

    Exact Newton steps end the search; a response for which they do not is no optimum.
    """
    count, k = x.shape
    known = np.full((count, k, k), np.nan) if hessian is None else hessian
    search = _Search(batch, x.copy(), t.copy(), np.zeros(x.shape), known.copy(), np.zeros(count, dtype=np.intp))
    optima = minimize_many(search, x, tol=TOLERANCE, max_iter=MAX_ITER)
    found = _Found(optima.x, optima.value, optima.extra[0], known, optima.converged, np.zeros(x.shape, dtype=bool))
    found = replace(found, good=found.good & np.isfinite(found.value), hessian=np.full(known.shape, np.nan))
    left = np.flatnonzero(found.good)
    for _ in range(POLISHING_STEPS):
        if not left.size:
            break
        left, found = _polished(batch, search.t, found, left)
    good = found.good.copy()
    good[left] = False
    return replace(found, good=good)


def _polished(batch: GeneralizedBatch, t: Array, found: _Found, left: IntArray) -> tuple[IntArray, _Found]:
    """Give the responses ``left`` their exact Hessians; those with a large decrement take a step, and are left."""
    point = batch.take(left).at(found.x[left], t[..., left])
    t[..., left] = point.modes.t
    hessian = np.where(point.is_known[:, None, None], point.hessian, np.nan)
    covariance, positive = _inverses(hessian)
    step = -0.5 * np.einsum("rij,rj->ri", covariance, point.gradient)
    far = positive & (-0.5 * np.einsum("ri,ri->r", step, point.gradient) > TOLERANCE)
    x = found.x[left] + np.where(far[:, None], step, 0.0)
    own = _Found(x, point.value, point.gradient, hessian, positive, found.closed[left])
    return left[far], found.replaced(left, own)


def _closed(
    problem: GeneralizedProblem,
    batch: GeneralizedBatch,
    found: _Found,
    which: IntArray,
    small: BoolArray,
    unit: Array,
) -> _Found:
    """The optima with the ``small`` (r, k) standard deviations at zero, if the criterion is no lower anywhere near.

    Where a term has no variance at all, a search from a large one must end no lower, as in the search for one response.
    """
    rows, x = batch.rows, np.where(small, 0.0, found.x[which])
    nothing = np.zeros((rows.size, rows.count, which.size))
    at = _searched(batch, x, nothing)
    good = at.good & (at.value <= found.value[which] + SAME)
    for slot in problem.covariance.terms:
        own = slice(problem.theta_slice.start + slot.theta.start, problem.theta_slice.start + slot.theta.stop)
        empty = np.flatnonzero(good & (at.x[:, own] == 0).all(axis=1))
        if empty.size:
            far = at.x[empty].copy()
            far[:, own] = FAR * unit[empty, None]
            again = _searched(batch.take(empty), far, nothing[..., empty])
            good[empty] &= ~(again.value < at.value[empty] - SAME)
    return replace(at, good=good, closed=small & (at.x == 0))


def _deviations(problem: GeneralizedProblem) -> BoolArray:
    """Which parameters (k,) are standard deviations, each for itself."""
    out = np.zeros(problem.n_parameters, dtype=bool)
    for slot in problem.covariance.terms:
        diagonal = all(np.count_nonzero(part) == 1 for part in slot.covariance.derivative(slot.covariance.start()))
        alone = diagonal and slot.covariance.n_theta == slot.covariance.size
        out[problem.theta_slice.start + slot.theta.start : problem.theta_slice.start + slot.theta.stop] = alone
    return out


def _inverses(hessian: Array) -> tuple[Array, BoolArray]:
    """Covariances ``2 H^-1`` (R, k, k), and which Hessians are positive definite beyond doubt (R,)."""
    diagonal = np.einsum("rii->ri", hessian)
    good = (diagonal > 0).all(axis=1) & np.isfinite(hessian).all(axis=(1, 2))
    safe = np.where(good[:, None, None], hessian, np.eye(hessian.shape[1]))
    scale = np.sqrt(np.einsum("rii->ri", safe))
    scaled = safe / (scale[:, :, None] * scale[:, None, :])
    values = np.linalg.eigvalsh(scaled)
    good &= values[:, 0] > CURVED * values[:, -1]
    safe[~good] = np.eye(hessian.shape[1])
    return 2.0 * np.linalg.inv(safe), good


def _is_plain(problem: GeneralizedProblem, found: _Found, covariance: Array, unit: Array) -> BoolArray:
    """Which estimates (R,) lie so far inside the parameter space, or so clearly at zero, that nothing is in doubt."""
    x, p = found.x, problem.model.n_fixed
    further = slice(problem.theta_slice.stop, x.shape[1])
    lower, upper = (ends[further] for ends in problem.bounds)
    inside = ((x[:, further] > lower) & (x[:, further] < upper)).all(axis=1)
    curved = (np.einsum("rii->ri", found.hessian)[:, p:] > LEAST).all(axis=1)
    errors = np.sqrt(np.einsum("rii->ri", covariance)[:, :p])
    calm = (errors < LARGEST_ERROR).all(axis=1)
    return np.asarray(inside & curved & calm & _has_variances(problem, found, unit))


def _has_variances(problem: GeneralizedProblem, found: _Found, unit: Array) -> BoolArray:
    """Which responses (R,) have variances that are zero, or neither next to nothing nor huge."""
    theta, closed = found.x[:, problem.theta_slice], found.closed[:, problem.theta_slice]
    good = np.ones(len(theta), dtype=bool)
    for slot in problem.covariance.terms:
        root = np.tensordot(theta[:, slot.theta], slot.covariance.derivative(slot.covariance.start()), axes=1)
        values = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ root.swapaxes(1, 2)), 0.0))
        zeros = closed[:, slot.theta].sum(axis=1)[:, None]
        large = (values > POSITIVE * unit[:, None]) & (values > SHARE * values[:, -1:])
        good &= (large | (np.arange(values.shape[1]) < zeros)).all(axis=1)
        good &= np.abs(root).max(axis=(1, 2)) < SUSPICIOUS_SPREAD
    return good


def _units(problem: GeneralizedProblem, batch: GeneralizedBatch, x: Array) -> Array:
    """Standard deviations of a row (R,) where the linear predictor is in units of the response; else 1."""
    if problem.family.mean_link.name not in MEASURED:
        return np.ones(len(x))
    likelihood = batch.likelihood
    arguments = likelihood.arguments(batch.fixed(x).T, batch.auxiliary(x))
    information = likelihood.family.expected_weights(batch.observed, *arguments).mean(axis=1)
    return np.where(information > 0, 1.0 / np.sqrt(information), 1.0)


def _begun(earlier: GeneralizedFit, batch: GeneralizedBatch, start: Array) -> tuple[Array, Array, Array]:
    """Where the searches begin (R, k), ``t`` (Q, m, R) there, and the Hessians (R, k, k) that they begin with.

    Responses that look unlike that of the earlier fit take the fixed effects of the model without random effects, if
    these begin better, and their own Hessians (nan).
    """
    usable = start is earlier.x and _inverses(earlier.hessian[None])[1].all()
    hessian = np.tile(earlier.hessian if usable else np.full_like(earlier.hessian, np.nan), (batch.n_responses, 1, 1))
    x = np.tile(start, (batch.n_responses, 1))
    rows = batch.rows
    at = batch.at(x, np.zeros((rows.size, rows.count, len(x))))
    t, value = at.modes.t, at.rough_value
    n = len(batch.model.X)
    which = np.flatnonzero(~(value < float(earlier.at.value) + UNLIKELY * np.sqrt(n)))
    if which.size:
        chosen, other = batch.take(which), x[which]
        other[:, : batch.model.n_fixed] = _generalized_linear(chosen, other)
        point = chosen.at(other, np.zeros((rows.size, rows.count, which.size)))
        better = point.rough_value < value[which]
        x[which[better]], t[..., which[better]] = other[better], point.modes.t[..., better]
        hessian[which] = np.nan
    return x, np.where(np.isfinite(t), t, 0.0), hessian


def _generalized_linear(batch: GeneralizedBatch, x: Array) -> Array:
    """Fixed effects (R, p) without random effects: scoring from those of ``x``, or from a constant that fits better."""
    model, auxiliary = batch.model, batch.auxiliary(x)
    likelihood, p = batch.likelihood, batch.model.n_fixed

    def value(beta: Array) -> Array:
        found = likelihood.quadratic((model.X @ beta.T + model.offset[:, None]).T, auxiliary)[0].sum(axis=1)
        return np.where(np.isfinite(found), found, -np.inf)

    eta = likelihood.family.start_eta(batch.observed)
    eta = eta if eta.ndim == 2 else eta[..., 0]
    constant = np.linalg.lstsq(model.X, eta.mean(axis=1) - model.offset[:, None], rcond=None)[0].T
    beta = x[:, :p]
    beta = np.where((value(constant) > value(beta))[:, None], constant, beta)
    for _ in range(SWEEPS):
        here = (model.X @ beta.T + model.offset[:, None]).T
        _, gradient, _ = likelihood.quadratic(here, auxiliary)
        weight = likelihood.family.expected_weights(batch.observed, *likelihood.arguments(here, auxiliary))
        information = np.einsum("ni,rn,nj->rij", model.X, weight, model.X, optimize=True)
        step = (np.linalg.pinv(information, hermitian=True) @ (gradient @ model.X)[:, :, None])[:, :, 0]
        now = value(beta)
        for halving in range(HALVINGS):
            trial = beta + 0.5**halving * step
            gains = value(trial) > now
            beta, step = np.where(gains[:, None], trial, beta), np.where(gains[:, None], 0.0, step)
    return np.asarray(beta)


def _refits(earlier: GeneralizedFit, found: _Found, covariance: Array, good: BoolArray) -> Refits:
    """The estimates on the user's scale."""
    problem, x, user = earlier.problem, found.x, earlier.problem.to_user(found.x)
    p, basis, precision = problem.model.n_fixed, problem.bases[0].matrix, problem.model.penalty.precision
    own = basis @ covariance[:, :p, :p] @ basis.T
    values = found.value - np.einsum("ri,ij,rj->r", x[:, :p], precision, x[:, :p])
    words, singular = np.full(len(x), "", dtype=object), np.asarray(found.closed.any(axis=1))
    estimated = (user[:, problem.theta_slice], user[:, :p], _sigmas(earlier, user), values)
    further = np.array([_further(earlier, one) for one in x])
    return Refits(*estimated, good, singular, words, further, own, np.full(own.shape[:2], np.inf))


def _sigmas(earlier: GeneralizedFit, user: Array) -> Array:
    """Roots of the dispersions (R,), as :attr:`~mixedfx.fitting.generalized.GeneralizedFit.scale` has them."""
    if earlier.has_sigma:
        names = earlier.family.phi_names
        return np.exp(0.5 * user[:, user.shape[1] - len(names) + names.index("dispersion")])
    if earlier.dispersion_reference is not None:
        place = earlier.problem.component_slices["dispersion"]
        return np.asarray(np.exp(0.5 * (user[:, place] @ earlier.dispersion_reference.row)))
    return np.full(len(user), np.sqrt(earlier.scale))
