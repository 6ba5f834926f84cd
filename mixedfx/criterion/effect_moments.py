"""Mean, mode and standard deviation of random effects u given the data, from their density on the canonical scale v.

With one grouping factor the density of a level's v is known but for its constant: Gauss-Hermite quadrature around its
mode gives the moments of ``u(v)``, and the mode of u maximises that density less ``log du/dv``. With crossed factors v
is taken as normal around its conditional mean.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.hierarchical import PlacedLaw
from mixedfx.criterion.laplace import LaplaceEvaluation, first_order_mean
from mixedfx.criterion.mode import ModeState, mode_covariance
from mixedfx.families.random_laws import Law

__all__ = ["effect_moments"]

NODES = 41
REACH = 12.0  # standard deviations around the mode of v within which the mode of u is sought
GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)
SECTIONS = 70  # of the golden-section search: 1e-14 of the interval
CHUNK_CELLS = 4_000_000
AT_END = 1e-6  # share of the interval that counts as its end


def effect_moments(state: ModeState, placed: PlacedLaw, factor: int) -> dict[str, Array]:
    """Return ``mean, mode, sd`` (m,) of u of every level of the term, whose grouping factor is ``factor``."""
    mode = state.model.space.split(state.mode.b)[factor][0]
    sd = np.sqrt(mode_covariance(state, factor)[0, 0])
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    if state.model.space.rows.layout.n_factors == 1:
        density = _Density(state, mode)
        v = mode + sd * nodes[:, None]
        logs = density(v) + 0.5 * nodes[:, None] ** 2 + np.log(weights)[:, None]
        return _moments(placed.law, v, logs) | {"mode": _u_mode(placed.law, density, mode, sd)}
    mean = state.model.space.split(first_order_mean(LaplaceEvaluation(state)))[factor][0]
    v = mean + sd * nodes[:, None]

    def normal(at: Array) -> Array:
        return np.asarray(-0.5 * ((at - mean) / sd) ** 2)

    logs = np.broadcast_to(np.log(weights)[:, None], v.shape)
    return _moments(placed.law, v, logs) | {"mode": _u_mode(placed.law, normal, mean, sd)}


def _moments(law: Law, v: Array, logs: Array) -> dict[str, Array]:
    p = np.exp(logs - logs.max(axis=0))
    p /= p.sum(axis=0)
    u = law.effect(v)
    mean = (p * u).sum(axis=0)
    return {"mean": mean, "sd": np.sqrt((p * (u - mean) ** 2).sum(axis=0))}


class _Density:
    """Logarithm (c, m) of the density of v of every level given the data, but for a constant of each level."""

    def __init__(self, state: ModeState, mode: Array) -> None:
        self._state, self._mode = state, mode

    def __call__(self, v: Array) -> Array:
        state = self._state
        v = np.atleast_2d(v)
        codes, m = state.model.space.rows.layout.codes[0], v.shape[1]
        out = np.empty(v.shape)
        size = max(1, CHUNK_CELLS // codes.size)
        for start in range(0, len(v), size):
            part = v[start : start + size]
            eta = state.mode.eta + (part - self._mode)[:, codes]
            values = state.model.likelihood.value(eta, state.auxiliary)
            for row, logs in zip(range(start, start + len(part)), values, strict=True):
                out[row] = np.bincount(codes, weights=logs, minlength=m)
        return out - 0.5 * v**2


def _u_mode(law: Law, density: Callable[[Array], Array], centre: Array, sd: Array) -> Array:
    """Maximise the density of u by golden sections on v; an end of the interval of u where it has its maximum there."""

    def value(v: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            found = np.asarray(density(v)).reshape(v.shape) - law.log_jacobian(v)[0]
        return np.where(np.isfinite(found), found, -np.inf)

    low, high = centre - REACH * sd, centre + REACH * sd
    first, last = low.copy(), high.copy()
    a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_a, at_b = value(a), value(b)
    for _ in range(SECTIONS):
        left = at_a >= at_b
        low, high = np.where(left, low, a), np.where(left, b, high)
        new = np.where(left, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
        at_new = value(new)
        a, b = np.where(left, new, b), np.where(left, a, new)
        at_a, at_b = np.where(left, at_new, at_b), np.where(left, at_a, at_new)
    v = 0.5 * (low + high)
    width = last - first
    mode = law.effect(v)
    mode = np.where(v - first < AT_END * width, law.lower, mode)
    return np.where(last - v < AT_END * width, law.upper, mode)
