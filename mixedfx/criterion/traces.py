"""``tr(P* V_i P* V_j)`` for the exact Hessian, in the space of the random effects.

``P*`` is P (REML) or ``V^-1`` (ML). Three ways: sums over levels for one block-diagonal factor; products of the dense
``Z' P* Z`` for few random effects; closed forms for random intercepts of two nested factors, or of one and a remainder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixedfx._typing import Array
from mixedfx.linalg import packed
from mixedfx.linalg.remainder import ShiftedRemainder
from mixedfx.linalg.small import apply, multiply

if TYPE_CHECKING:
    from mixedfx.criterion.linear import LinearEvaluation

MANY_COLUMNS = 24  # of a level: with more, tables of the fourth power of their number are larger than the work

__all__ = ["dense_traces", "has_intercepts_only", "traces_of_blocks", "traces_of_intercepts"]


def traces_of_blocks(at: LinearEvaluation) -> Array:
    """Return the traces (k, k) for one block-diagonal factor."""
    if not at.criterion.covariance.terms:
        return np.zeros((0, 0))
    d, e = at.sigma_derivatives[0], at.information[0]
    size, _, m = e.shape
    if size > MANY_COLUMNS:
        return _traces_of_wide_blocks(at)
    flat = less = e.reshape(size * size, m)
    restricted = at.criterion.reml and at.criterion.n_fixed > 0
    if restricted:
        zx = at.z_vinv_x[0]
        less = flat - 2.0 * np.einsum("amr,bmr->abm", zx @ at.unscaled_cov, zx).reshape(size * size, m)
    trace = _contract(d, d, (flat @ less.T).reshape(size, size, size, size))
    return trace + _fixed_part(at) if restricted else trace


def _traces_of_wide_blocks(at: LinearEvaluation) -> Array:
    """The same for blocks of many columns, level by level: without a table of the fourth power of their number."""
    d, e = at.sigma_derivatives[0], at.information[0].transpose(2, 0, 1)  # (m, q, q)
    restricted = at.criterion.reml and at.criterion.n_fixed > 0
    less = e
    if restricted:
        zx = at.z_vinv_x[0].transpose(1, 0, 2)
        less = e - 2.0 * (zx @ at.unscaled_cov @ zx.swapaxes(1, 2))
    left, right = ([part @ one for one in d] for part in (e, less))
    trace = np.array([[float(np.sum(a * b.swapaxes(1, 2))) for b in right] for a in left])
    return trace + _fixed_part(at) if restricted else trace


def _contract(left: Array, right: Array, pairs: Array) -> Array:
    """``sum over l tr(A_l L_i B_l R_j)`` with ``pairs[a, b, c, d] = sum over l A_l[a, b] B_l[c, d]``."""
    q = len(pairs)
    matrix = pairs.transpose(1, 2, 3, 0).reshape(q * q, q * q)
    return np.asarray(left.reshape(-1, q * q) @ matrix @ right.reshape(-1, q * q).T)


def _fixed_part(at: LinearEvaluation) -> Array:
    """``tr(Phi F' D_i F Phi F' D_j F)`` (k, k), F = Z' V^-1 X."""
    half = at.x_form_stack @ at.unscaled_cov
    return np.asarray(half.reshape(len(half), -1) @ half.swapaxes(1, 2).reshape(len(half), -1).T)


def dense_traces(at: LinearEvaluation) -> Array:
    """Return the traces (k, k) from the dense ``Z' P* Z``."""
    layout, model = at.criterion.gram.layout, at.criterion.covariance
    counts = [m * q for m, q in zip(layout.levels, layout.sizes, strict=True)]
    starts = np.concatenate([[0], np.cumsum(counts)])
    whole = _dense_information(at)
    trace = np.zeros((model.n_theta, model.n_theta))
    for f, positions in enumerate(model.by_factor):
        for g, other in enumerate(model.by_factor[: f + 1]):
            block = whole[starts[f] : starts[f + 1], starts[g] : starts[g + 1]]
            q, r = layout.sizes[f], layout.sizes[g]
            if q * r > MANY_COLUMNS**2:
                table = block.reshape(q, -1, r, layout.levels[g])
                left_moved = [np.tensordot(one, table, axes=1) for one in at.sigma_derivatives[f]]
                right_moved = [np.einsum("ambn,bc->amcn", table, two) for two in at.sigma_derivatives[g]]
                trace[np.ix_(positions, other)] = [[np.vdot(a, b) for b in right_moved] for a in left_moved]
                trace[np.ix_(other, positions)] = trace[np.ix_(positions, other)].T
                continue
            flat = block.reshape(q, layout.levels[f], r, layout.levels[g]).transpose(0, 2, 1, 3).reshape(q * r, -1)
            pairs = (flat @ flat.T).reshape(q, r, q, r).transpose(2, 0, 1, 3).reshape(q * q, r * r)
            left, right = at.sigma_derivatives[f].reshape(-1, q * q), at.sigma_derivatives[g].reshape(-1, r * r)
            trace[np.ix_(positions, other)] = left @ pairs @ right.T
            trace[np.ix_(other, positions)] = trace[np.ix_(positions, other)].T
    return trace


def _dense_information(at: LinearEvaluation) -> Array:
    """``Z' P* Z`` (q, q), factor by factor, coefficient by coefficient."""
    layout = at.criterion.gram.layout
    if layout.n_chain == 1 and layout.n_remainder:
        across = np.concatenate([_columns(at, f) for f in layout.remainder], axis=1)
        first = len(across) - layout.n_remainder
        out = np.block([[_first_block(at), across[:first]], [across[:first].T, across[first:]]])
    else:
        out = np.concatenate([_columns(at, f) for f in range(layout.n_factors)], axis=1)
    if at.criterion.reml and at.criterion.n_fixed:
        flat = np.concatenate([zx.reshape(-1, at.criterion.n_fixed) for zx in at.z_vinv_x])
        out -= flat @ at.unscaled_cov @ flat.T
    return np.asarray(out)


def _columns(at: LinearEvaluation, f: int) -> Array:
    """``Z' V^-1 Z_f``, by solving."""
    gram = at.criterion.gram
    size, m = gram.layout.sizes[f], gram.layout.levels[f]
    t = np.eye(size * m).reshape(size, m, -1)
    return np.concatenate([part.reshape(-1, size * m) for part in at.by_factor(at.factor.solve(*gram.times(f, t))[1])])


def _first_block(at: LinearEvaluation) -> Array:
    """``E - B K B'`` for the only factor of the chain; see :func:`traces_of_intercepts`."""
    factor, rest = at.factor, at.factor.remainder
    assert rest is not None
    identity = np.eye(at.criterion.gram.layout.n_remainder)
    resolvent = factor.resolvents[0]
    size, _, m = resolvent.shape
    b = apply(resolvent, factor.cross[0].dot(identity)).reshape(size * m, -1)
    out = (-(b @ rest.solve(identity)[0]) @ b.T).reshape(size, m, size, m)
    each = np.arange(m)
    out[:, each, :, each] += multiply(resolvent, factor.s[0]).transpose(2, 0, 1)
    return out.reshape(size * m, size * m)


def has_intercepts_only(at: LinearEvaluation) -> bool:
    """Whether :func:`traces_of_intercepts` can be used: one coefficient a factor, and the right pattern."""
    layout = at.criterion.gram.layout
    scalar = all(size == 1 for size in layout.sizes) and at.criterion.covariance.n_theta == layout.n_factors
    nested = layout.n_chain == 2 and layout.n_remainder == 0
    return scalar and (nested or (layout.n_chain == 1 and _shifted_remainder(at) is not None))


def _shifted_remainder(at: LinearEvaluation) -> ShiftedRemainder | None:
    return None if at.factor.remainder is None else at.factor.remainder.shifted()


def traces_of_intercepts(at: LinearEvaluation) -> Array:
    """Return the traces (k, k) for random intercepts of two nested factors, or of one and a dense remainder.

    With ``B = Z_1' V_1^-1 Z_2``, ``V_1 = I + Z_1 Sigma_1 Z_1'``, ``E = Z_1' V_1^-1 Z_1``, ``K`` the remainder's part of
    the inverse, and ``G = B' B``:  ``Z_1' V^-1 Z_1 = E - B K B'`` and ``Z_1' V^-1 Z_2 = B (I - K S)``, whose squared
    norms are traces of products of G and K.
    """
    rest = _shifted_remainder(at)
    trace = _nested_squares(at) if rest is None else _crossed_squares(at, rest)
    if at.criterion.reml and at.criterion.n_fixed:
        forms = _forms(at) if rest is None else _crossed_forms(at, rest)
        trace = trace - 2.0 * np.einsum("ipjq,pq->ij", forms, at.unscaled_cov)
    order = at.criterion.covariance.order
    slopes = np.concatenate([d[:, 0, 0] for d in at.sigma_derivatives])
    out = np.empty_like(trace)
    out[np.ix_(order, order)] = trace * np.outer(slopes, slopes)
    if at.criterion.reml and at.criterion.n_fixed:
        out += _fixed_part(at)
    return 0.5 * (out + out.T)


def _forms(at: LinearEvaluation) -> Array:
    """``F_f' (Z_f' V^-1 Z_g) F_g`` (k, p, k, p), F = Z' V^-1 X."""
    k, p = len(at.z_vinv_x), at.criterion.n_fixed
    moved = at.moved(list(at.z_vinv_x))
    return np.stack([(zx[0].T @ part[0]).reshape(p, k, p) for zx, part in zip(at.z_vinv_x, moved, strict=True)])


def _crossed_forms(at: LinearEvaluation, rest: ShiftedRemainder) -> Array:
    """The same, by a product with K."""
    factor, layout, p = at.factor, at.criterion.gram.layout, at.criterion.n_fixed
    resolvent, first = factor.resolvents[0][0, 0], at.z_vinv_x[0][0]
    sides = np.zeros((layout.n_remainder, layout.n_factors, p))
    sides[:, 0] = factor.cross[0].transpose_dot((resolvent[:, None] * first)[None])
    diagonal = [first.T @ ((resolvent * factor.s[0][0, 0])[:, None] * first)]
    for f in layout.remainder:
        span, zx = layout.span(f), at.z_vinv_x[f][0]
        sides[span, f] = rest.precision[span, None] * zx
        diagonal.append(zx.T @ sides[span, f])
    flat = sides.reshape(layout.n_remainder, -1)
    out = -(flat.T @ (packed.times(rest.k, layout.n_remainder, flat))).reshape(layout.n_factors, p, layout.n_factors, p)
    out[0, :, 1:] *= -1.0
    out[1:, :, 0] *= -1.0
    for f, part in enumerate(diagonal):
        out[f, :, f] += part
    return out


def _nested_squares(at: LinearEvaluation) -> Array:
    """Squared norms (2, 2) of the blocks of ``Z' V^-1 Z``: everything is a sum over the levels of the outer factor."""
    factor, layout = at.factor, at.criterion.gram.layout
    inner, outer = (part[0, 0] for part in at.information)
    parents, m = layout.parents[0, 1], layout.levels[1]
    b = factor.resolvents[0][0, 0] * factor.chain[0, 1][0, 0]
    k, g = factor.k[1][0, 0], np.bincount(parents, weights=b * b, minlength=m)
    lost = k[parents] * b * b
    within = float(inner @ inner + np.square(k * g).sum() - lost @ lost)
    across = float(g @ np.square(factor.resolvents[1][0, 0]))
    return np.array([[within, across], [across, float(outer @ outer)]])


def _crossed_squares(at: LinearEvaluation, rest: ShiftedRemainder) -> Array:
    """Squared norms (k, k) of the blocks of ``Z' V^-1 Z`` by factor, the remainder's after the first."""
    factor, layout = at.factor, at.criterion.gram.layout
    resolvent, information = factor.resolvents[0][0, 0], at.information[0][0, 0]
    lost = resolvent * factor.s[0][0, 0] - information
    spread = np.zeros((layout.n_remainder, layout.n_factors - 1))  # squares of Lambda^-2, a column a factor
    for column, r in enumerate(layout.remainder):
        spread[layout.span(r), column] = np.square(rest.precision[layout.span(r)])
    squares, norms = rest.products_with(factor.cross[0].schur(np.square(resolvent)[None, None]))
    out = np.empty((layout.n_factors, layout.n_factors))
    out[0, 0] = information @ information + squares - lost @ lost
    out[0, 1:] = out[1:, 0] = norms @ spread
    out[1:, 1:] = spread.T @ rest.squared_k_times(spread)
    diagonal = np.square(spread).T @ np.square(rest.k[layout.square.diagonal])
    out[np.arange(1, len(out)), np.arange(1, len(out))] += [
        np.square(part).sum() for part in at.information[1:]
    ] - diagonal
    return out
