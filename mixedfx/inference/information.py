"""Directions in which the covariance of the data can vary, the information about them, and effective parameters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from mixedfx._typing import Array, IntArray
from mixedfx.covariance.base import Covariance
from mixedfx.covariance.linear import UnstructuredCovariance
from mixedfx.criterion.linear import DENSE_EFFECTS, LinearEvaluation
from mixedfx.fitting.likelihood import inverse_on_range
from mixedfx.linalg.factor import factorize

__all__ = [
    "VarianceDirections",
    "apply_information",
    "effective_parameters",
    "information_traces",
    "linear_members",
    "trace_of_hat",
    "variance_directions",
]

SPAN_TOLERANCE = 1e-9  # relative size of what counts as outside of a linear span
SEED = 20  # of the members that are tried: any generic ones will do
STEP = 1e-3  # of a one-sided difference, relative to the largest covariance that would not change the information
WIDE = 4_000_000  # at most so many numbers at a time


@dataclass(frozen=True)
class VarianceDirections:
    """Symmetric matrices ``D_i``: the covariance of the data moves by ``Z_f (I x D_i) Z_f'``.

    Attributes
    ----------
    factor : (k,)
        Position of the grouping factor f of every direction, in elimination order.
    matrices : tuple of k arrays (Q_f, Q_f)
    curved : tuple of arrays (c, c, Q_f, Q_f)
        Second derivatives of the terms whose covariance is not linear in its parameters.
    curved_at : tuple of arrays (c,)
        The directions that these second derivatives belong to.
    """

    factor: IntArray
    matrices: tuple[Array, ...]
    curved: tuple[Array, ...]
    curved_at: tuple[IntArray, ...]

    @property
    def size(self) -> int:
        """Number k of directions."""
        return len(self.matrices)

    @cached_property
    def by_factor(self) -> dict[int, tuple[IntArray, Array]]:
        """For every factor that varies, the positions (k_f,) of its directions and their matrices (k_f, Q_f, Q_f)."""
        out = {}
        for f in np.unique(self.factor):
            places = np.flatnonzero(self.factor == f)
            out[int(f)] = (places, np.stack([self.matrices[i] for i in places]))
        return out

    def extended(self, factor: int, matrix: Array) -> VarianceDirections:
        """Return them with one more direction at the end."""
        return VarianceDirections(np.append(self.factor, factor), (*self.matrices, matrix), (), ())


def linear_members(covariance: Covariance) -> Array | None:
    """Return a basis (k, q, q) of a family of covariances, or None if the family is not linear.

    A family of k parameters is (an open part of) a linear space exactly if its members span k dimensions. The basis is
    in echelon form: one matrix of units for every variance, covariance, or set of equal ones. Any other, the members
    themselves above all, may be nearly dependent, and the information about their coefficients nearly singular.
    """
    rng = np.random.default_rng(SEED)
    k, start = covariance.n_theta, covariance.start()
    lower, upper = covariance.lower(), covariance.upper()
    room = np.where(np.isfinite(upper - lower), 0.4 * np.minimum(upper - start, start - lower), 0.7)
    free = k < covariance.size * (covariance.size + 1) // 2
    draws = start + room * rng.uniform(-1.0, 1.0, size=(k + (3 if free else 0), k))
    members = np.stack([covariance.covariance(draw) for draw in draws])
    flat = members.reshape(len(members), -1)
    sizes = np.linalg.svd(flat, compute_uv=False)
    if np.sum(sizes > SPAN_TOLERANCE * sizes[0]) != k:
        return None
    return _echelon(flat[:k]).reshape(-1, *members.shape[1:])


def _echelon(rows: Array) -> Array:
    """Return the basis (k, c) of the span of ``rows`` (k, c) that is the identity in the k best conditioned columns."""
    _, _, order = linalg.qr(rows, mode="economic", pivoting=True)
    return np.asarray(np.linalg.solve(rows[:, order[: len(rows)]], rows))


def variance_directions(at: LinearEvaluation) -> VarianceDirections:
    """Return the directions at an estimate: members of a linear family, else the tangents with their derivatives."""
    factor: list[int] = []
    matrices: list[Array] = []
    curved: list[Array] = []
    curved_at: list[IntArray] = []
    for slot in at.criterion.covariance.terms:
        theta = at.theta[slot.theta]
        members = linear_members(slot.covariance)
        if members is None:
            members = slot.covariance.covariance_derivative(theta)
            curved.append(
                _embedded(slot.covariance.covariance_second_derivative(theta), at, slot.factor, slot.coefficients)
            )
            curved_at.append(np.arange(len(matrices), len(matrices) + len(members)))
        matrices.extend(_embedded(members, at, slot.factor, slot.coefficients))
        factor.extend([slot.factor] * len(members))
    return VarianceDirections(np.array(factor, dtype=np.intp), tuple(matrices), tuple(curved), tuple(curved_at))


def _embedded(matrices: Array, at: LinearEvaluation, factor: int, coefficients: slice) -> Array:
    """Place matrices (…, q, q) of one term among the coefficients of its factor."""
    size = at.criterion.covariance.sizes[factor]
    out = np.zeros((*matrices.shape[:-2], size, size))
    out[..., coefficients, coefficients] = matrices
    return out


def apply_information(at: LinearEvaluation, factor: int, t: Array) -> list[Array]:
    """Return ``Z' V^-1 Z_f t`` by factor, (Q_g, m_g, c), for ``t`` (Q_f, m_f, c) on the levels of one factor."""
    layout = at.criterion.gram.layout
    if layout.n_factors == 1 and layout.n_chain == 1:
        return [np.einsum("abm,bmc->amc", at.information[0], t)]
    return at.by_factor(at.factor.solve(*at.criterion.gram.times(factor, t))[1])


def information_traces(at: LinearEvaluation, directions: VarianceDirections) -> Array:
    """Return ``tr(V^-1 V_i V^-1 V_j)`` (k, k).

    Notes
    -----
    Exact for one grouping factor and up to ``DENSE_EFFECTS`` random effects. Beyond that, third-order differences of
    the exact diagonal blocks of ``Z' V^-1 Z``, whose derivative in direction j is ``- [Z' V^-1 V_j V^-1 Z]``.
    """
    layout = at.criterion.gram.layout
    n_effects = sum(m * size for m, size in zip(layout.levels, layout.sizes, strict=True))
    if layout.n_factors == 1 and layout.n_chain == 1:
        return _traces_of_blocks(at, directions)
    if n_effects <= DENSE_EFFECTS:
        return _traces_by_columns(at, directions)
    return _traces_by_differences(at, directions)


def _traces_of_blocks(at: LinearEvaluation, directions: VarianceDirections) -> Array:
    e = at.information[0]
    size, _, m = e.shape
    flat = e.reshape(size * size, m)
    pairs = (flat @ flat.T).reshape(size, size, size, size)
    d = np.stack(directions.matrices)
    return np.asarray(np.einsum("abcd,ibc,jda->ij", pairs, d, d, optimize=True))


def _traces_by_columns(at: LinearEvaluation, directions: VarianceDirections) -> Array:
    """From ``Z' V^-1 Z``, some columns at a time."""
    layout = at.criterion.gram.layout
    trace = np.zeros((directions.size, directions.size))
    n_effects = sum(m * size for m, size in zip(layout.levels, layout.sizes, strict=True))
    for g, (columns, right) in directions.by_factor.items():
        size, m = layout.sizes[g], layout.levels[g]
        chunk = max(1, WIDE // (n_effects * size))
        for start in range(0, m, chunk):
            levels = np.arange(start, min(start + chunk, m))
            t = np.zeros((size, m, size, levels.size))
            t[np.arange(size)[:, None], levels, np.arange(size)[:, None], np.arange(levels.size)] = 1.0
            moved = apply_information(at, g, t.reshape(size, m, -1))
            for f, (rows, left) in directions.by_factor.items():
                block = moved[f].reshape(layout.sizes[f], layout.levels[f], size, levels.size)
                flat = block.transpose(0, 2, 1, 3).reshape(layout.sizes[f] * size, -1)
                pairs = (flat @ flat.T).reshape(layout.sizes[f], size, layout.sizes[f], size)
                trace[np.ix_(rows, columns)] += np.einsum("abcd,iac,jdb->ij", pairs, left, right, optimize=True)
    return trace


def _traces_by_differences(at: LinearEvaluation, directions: VarianceDirections) -> Array:
    trace = np.zeros((directions.size, directions.size))
    for j in range(directions.size):
        slopes = _information_slope(at, int(directions.factor[j]), directions.matrices[j])
        for g, (places, matrices) in directions.by_factor.items():
            trace[places, j] = -np.tensordot(matrices, slopes[g], axes=2)
    return 0.5 * (trace + trace.T)


def _information_slope(at: LinearEvaluation, f: int, direction: Array) -> list[Array]:
    """Derivative of the sums over levels of ``[Z' V^-1 Z]_ll``, (Q_g, Q_g) by factor, along a direction of factor f.

    One-sided, as a variance may be zero: the positive and the negative part of the direction are added in turn.
    """
    here = _block_sums(at.information)
    values, vectors = np.linalg.eigh(direction)
    out = [np.zeros_like(part) for part in here]
    for kept, sign in ((values > 0, 1.0), (values < 0, -1.0)):
        if not kept.any():
            continue
        root = vectors[:, kept] * np.sqrt(np.abs(values[kept]))
        largest = float(np.max(np.einsum("ai,abm,bi->m", root, at.information[f], root)))
        step = STEP / largest if largest > 0 else STEP
        one, two, three = (_block_sums(_moved(at, f, np.sqrt(i * step) * root)) for i in (1, 2, 3))
        for slope, a, b, c, d in zip(out, here, one, two, three, strict=True):
            slope += sign * (18.0 * b - 9.0 * c + 2.0 * d - 11.0 * a) / (6.0 * step)
    return out


def _block_sums(blocks: tuple[Array, ...]) -> list[Array]:
    return [block.sum(axis=2) for block in blocks]


def _moved(at: LinearEvaluation, f: int, root: Array) -> tuple[Array, ...]:
    """Diagonal blocks of ``Z' V^-1 Z`` with ``root root'`` added to the covariance of factor f."""
    factors = list(at.factor.factors)
    covariance = UnstructuredCovariance(len(root))
    factors[f] = covariance.factor(covariance.parameters(np.hstack([factors[f], root])))
    return factorize(at.criterion.gram, factors).information()


def trace_of_hat(at: LinearEvaluation) -> float:
    """Return ``sum d fitted_i / d y_i`` at known variance parameters: ``n - tr(P)``, P relative to sigma squared.

    References
    ----------
    Hodges & Sargent (2001), Biometrika 88, 367; Vaida & Blanchard (2005), Biometrika 92, 351.
    """
    total = float(at.criterion.n_fixed)
    for information, zx, factor in zip(at.information, at.z_vinv_x, at.factor.factors, strict=True):
        block = information.sum(axis=2) - np.einsum("amp,pr,bmr->ab", zx, at.unscaled_cov, zx, optimize=True)
        total += float(np.sum(block * (factor @ factor.T)))
    return total


def effective_parameters(at: LinearEvaluation) -> float:
    """Return ``sum d fitted_i / d y_i`` when the variance parameters are estimated from the same data.

    Notes
    -----
    The fitted values are ``y - P y``, and ``d theta / d y`` follows from the gradient being zero: with
    ``a_j = P V_j P y`` it adds ``sum_jk H^-1_jk nu [2 a_j'a_k / r2 - 2 (y'P V_k P y) (Py)'a_j / r2^2]``, H the exact
    Hessian of the criterion. Products with P in the middle follow from ``P P = P - P Z Sigma Z' P``. Variances at zero
    stay there.

    References
    ----------
    Greven & Kneib (2010), Biometrika 97, 773.
    """
    k = at.theta.size
    if k == 0:
        return trace_of_hat(at)
    outer, along_y = at.quadratic_forms
    inner, across = _sandwiches(at)
    nu, r2 = at.criterion.nu, at.sigma2 * at.criterion.nu
    between = outer - inner
    if at.criterion.sigma2 is not None:
        change = 2.0 * between / at.sigma2
    else:
        change = nu * (2.0 * between / r2 - 2.0 * np.outer(along_y - across, along_y) / r2**2)
    return trace_of_hat(at) + float(np.sum(inverse_on_range(at.hessian) * change))


def _sandwiches(at: LinearEvaluation) -> tuple[Array, Array]:
    """``w_j' P Z Sigma Z' P w_k`` (k, k) and ``y' P Z Sigma Z' P w_k`` (k,) with ``w_k = V_k P y``."""
    model, phi, p = at.criterion.covariance, at.unscaled_cov, at.criterion.n_fixed
    moved = [np.zeros((*s.shape, at.theta.size)) for s in at.s]
    for f, own in enumerate(model.by_factor):
        if own.size == 0:
            continue
        slopes = [d @ t.T for d, t in zip(model.derivatives(at.theta), at.factor.factors, strict=True)][f]
        t = np.einsum("kab,bm->amk", slopes + slopes.swapaxes(1, 2), at.s[f])
        x_part = phi @ (at.z_vinv_x[f].reshape(-1, p).T @ t.reshape(-1, own.size))
        for g, block in enumerate(apply_information(at, f, t)):
            moved[g][:, :, own] = block - at.z_vinv_x[g] @ x_part
    inner, across = np.zeros((at.theta.size, at.theta.size)), np.zeros(at.theta.size)
    for s, block, factor in zip(at.s, moved, at.factor.factors, strict=True):
        half = np.einsum("ab,amk->bmk", factor, block).reshape(-1, at.theta.size)
        inner += half.T @ half
        across += (factor.T @ s).reshape(-1) @ half
    return inner, across
