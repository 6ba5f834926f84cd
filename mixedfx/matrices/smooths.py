"""Smooths of one variable: a basis, its penalty, and what of it is fixed and what is random.

A smooth is ``f(x) = sum_j b_j B_j(x)`` with the penalty ``b' S b`` on its curvature. Of the coefficients that make f
sum to zero over the rows, ``S = U D U'``; the null space is the straight line, and ``Z = B U_+ D_+^(-1/2)`` has
independent effects of one variance (Wood 2004, JASA 99:673; 2017, chapter 5). The line is a fixed effect.

Everything is computed of x mapped to [0, 1], so that a shift or another unit of x changes nothing, and Z is scaled to
have rows of mean square 1: the standard deviation of its effects is that of the smooth about its line.

A curve that multiplies a number z, ``f(x) z``, is a coefficient of z that varies with x (Hastie and Tibshirani 1993,
JRSS B 55:757). It need not sum to zero: its constant, the fixed effect of z, stands beside its line.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve_banded

from mixedfx._typing import Array, IntArray
from mixedfx.exceptions import DataError
from mixedfx.matrices.limits import check_basis
from mixedfx.matrices.transforms import whole

__all__ = ["DEFAULT_SIZE", "LearntSmooth", "SmoothBasis", "SmoothInputs", "learn_smooth"]

DEFAULT_SIZE = 10  # columns of a basis, the constant among them
DEGREE = 3  # of the pieces of a P-spline
MARGIN = 1e-3  # by which the knots of a P-spline reach beyond the data, of their range
MOST_KNOTS = 1_000  # of a thin-plate spline: distinct values beyond are thinned to as many quantiles


class SmoothBasis(ABC):
    """Functions of a variable on [0, 1], and the penalty on their combinations."""

    @abstractmethod
    def __call__(self, t: Array) -> Array:
        """Return the functions (n, k) at ``t`` (n,); straight lines continue them beyond [0, 1]."""

    @property
    @abstractmethod
    def penalty(self) -> Array:
        """Return ``S`` (k, k), whose null space is the straight lines."""


@dataclass(frozen=True)
class CubicRegression(SmoothBasis):
    """Natural cubic splines by their values at the ``knots`` (k,): ``bs="cr"`` (Wood 2017, section 5.3.1).

    Second derivatives at the knots are ``F b``; the penalty is the integral of the squared second derivative.
    """

    knots: Array

    @property
    def _bands(self) -> tuple[Array, Array]:
        """``D`` (k - 2, k), and the banded matrix of the equations ``A (F b)[1:-1] = D b``."""
        h, k = np.diff(self.knots), len(self.knots)
        D = np.zeros((k - 2, k))
        inner = np.arange(k - 2)
        D[inner, inner] = 1.0 / h[:-1]
        D[inner, inner + 1] = -1.0 / h[:-1] - 1.0 / h[1:]
        D[inner, inner + 2] = 1.0 / h[1:]
        bands = np.zeros((3, k - 2))
        bands[1] = (h[:-1] + h[1:]) / 3.0
        bands[0, 1:] = bands[2, :-1] = h[1:-1] / 6.0
        return D, bands

    @property
    def _curvature(self) -> Array:
        """``F`` (k, k): second derivatives at the knots, zero at the ends."""
        D, bands = self._bands
        F = np.zeros((len(self.knots), len(self.knots)))
        F[1:-1] = solve_banded((1, 1), bands, D)
        return F

    @property
    def penalty(self) -> Array:
        """Return the integral of the products of second derivatives."""
        D, _ = self._bands
        S = D.T @ self._curvature[1:-1]
        return np.asarray(0.5 * (S + S.T))

    def __call__(self, t: Array) -> Array:
        """Return the cardinal splines (n, k)."""
        knots, k, n = self.knots, len(self.knots), len(t)
        inside = np.clip(t, knots[0], knots[-1])
        j = np.clip(np.searchsorted(knots, inside, side="right") - 1, 0, k - 2)
        h = knots[j + 1] - knots[j]
        right, left = inside - knots[j], knots[j + 1] - inside
        F = self._curvature
        out = (left**3 / h - h * left)[:, None] / 6.0 * F[j] + (right**3 / h - h * right)[:, None] / 6.0 * F[j + 1]
        rows = np.arange(n)
        out[rows, j] += left / h
        out[rows, j + 1] += right / h
        beyond = t - inside
        if beyond.any():
            slope = (-(left**2) / (2 * h) + h / 6.0)[:, None] * F[j] + (right**2 / (2 * h) - h / 6.0)[:, None] * F[
                j + 1
            ]
            slope[rows, j] -= 1.0 / h
            slope[rows, j + 1] += 1.0 / h
            out += beyond[:, None] * slope
        return np.asarray(out)


@dataclass(frozen=True)
class PenalizedSplines(SmoothBasis):
    """Cubic B-splines on ``size - 3`` equal intervals with a penalty on second differences: ``bs="ps"``.

    Eilers and Marx (1996), Statistical Science 11:89.
    """

    size: int

    @property
    def _step(self) -> float:
        return (1.0 + 2.0 * MARGIN) / (self.size - DEGREE)

    @property
    def penalty(self) -> Array:
        """Return the products of second differences of the coefficients."""
        differences = np.diff(np.eye(self.size), 2, axis=0)
        return np.asarray(differences.T @ differences)

    def __call__(self, t: Array) -> Array:
        """Return the B-splines (n, k)."""
        inside = np.clip(t, -MARGIN, 1.0 + MARGIN)
        place = (inside + MARGIN) / self._step
        j = np.clip(np.floor(place).astype(np.intp), 0, self.size - DEGREE - 1)
        u = place - j
        parts = ((1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3)
        out = np.zeros((len(t), self.size))
        rows = np.arange(len(t))
        for shift, part in enumerate(parts):
            out[rows, j + shift] = part / 6.0
        beyond = t - inside
        if beyond.any():
            slopes = (-3 * (1 - u) ** 2, 9 * u**2 - 12 * u, -9 * u**2 + 6 * u + 3, 3 * u**2)
            for shift, part in enumerate(slopes):
                out[rows, j + shift] += beyond / self._step * part / 6.0
        return out


@dataclass(frozen=True)
class ThinPlate(SmoothBasis):
    """Thin-plate regression splines: ``bs="tp"`` (Wood 2003, JRSS B 65:95).

    Attributes
    ----------
    knots : (m,)
        Distinct values.
    weights : (m, k - 2)
        Combinations of the radial functions ``|t - knot|**3``.
    roughness : (k - 2, k - 2)
        Their penalty.
    """

    knots: Array
    weights: Array
    roughness: Array

    @classmethod
    def of(cls, knots: Array, size: int) -> ThinPlate:
        """Return the basis of the ``size`` largest eigenvalues of the radial functions of the ``knots``."""
        E = np.abs(knots[:, None] - knots) ** 3 / 12.0
        values, vectors = np.linalg.eigh(E)
        largest = np.argsort(-np.abs(values), kind="stable")[:size]
        U, D = vectors[:, largest], values[largest]
        lines = np.column_stack([np.ones(len(knots)), knots - 0.5])
        beside = np.linalg.qr(U.T @ lines, mode="complete")[0][:, 2:]
        return cls(knots, np.asarray(U @ beside), np.asarray(beside.T @ (D[:, None] * beside)))

    @property
    def penalty(self) -> Array:
        """Return the penalty of the radial functions, with zeros for the line."""
        k = len(self.roughness)
        S = np.zeros((k + 2, k + 2))
        S[:k, :k] = 0.5 * (self.roughness + self.roughness.T)
        return S

    def __call__(self, t: Array) -> Array:
        """Return the radial combinations and the line (n, k)."""
        distinct, back = np.unique(t, return_inverse=True)
        radial = np.abs(distinct[:, None] - self.knots) ** 3 / 12.0 @ self.weights
        return np.column_stack([radial[back.ravel()], np.ones(len(t)), t - 0.5])


def _cubic_regression(t: Array, k: int) -> SmoothBasis:
    return CubicRegression(np.quantile(np.unique(t), np.linspace(0.0, 1.0, k)))


def _penalized(t: Array, k: int) -> SmoothBasis:
    return PenalizedSplines(k)


def _thin_plate(t: Array, k: int) -> SmoothBasis:
    knots = np.unique(t)
    if len(knots) > MOST_KNOTS:
        knots = np.quantile(knots, np.linspace(0.0, 1.0, MOST_KNOTS))
    return ThinPlate.of(knots, k)


BASES: dict[str, tuple[Callable[[Array, int], SmoothBasis], int]] = {
    "cr": (_cubic_regression, 3),
    "tp": (_thin_plate, 3),
    "ps": (_penalized, 5),
}
"""How a basis is made, and its least size."""


@dataclass(frozen=True)
class SmoothInputs:
    """What a smooth is a function of, in some rows.

    Attributes
    ----------
    x : (n,)
        The variable.
    codes : (n,) or None
        Level of the factor of ``by=``.
    times : (n,) or None
        The number of ``by=``, which the curve multiplies.
    """

    x: Array
    codes: IntArray | None = None
    times: Array | None = None


@dataclass(frozen=True)
class LearntSmooth:
    """A smooth as the data of the fit define it, replayed on other data.

    Attributes
    ----------
    low, span, mean : float
        Of the variable.
    basis : SmoothBasis
    penalized : (k, k - 2)
        ``U_+ D_+^(-1/2)`` in terms of the basis, scaled.
    n_levels : int
        Number of levels of the factor of ``by=``; 1 without.
    has_constant : bool
        Whether the curve multiplies a number, and has a constant of its own.
    """

    low: float
    span: float
    mean: float
    basis: SmoothBasis
    penalized: Array
    n_levels: int
    has_constant: bool = False

    @property
    def size(self) -> int:
        """Number of random effects of one level."""
        return int(self.penalized.shape[1])

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the fixed columns of one level."""
        return ("constant", "linear") if self.has_constant else ("linear",)

    def line(self, at: SmoothInputs) -> Array:
        """Return the fixed columns (n, n_levels * parts): the variable less its mean, in the rows of each level."""
        line = np.asarray(at.x - self.mean)[:, None]
        return self._by(np.hstack([np.ones_like(line), line]) if self.has_constant else line, at)

    def wiggle(self, at: SmoothInputs) -> Array:
        """Return the random columns (n, n_levels * size), level after level."""
        return self._by(self.basis((at.x - self.low) / self.span) @ self.penalized, at)

    def _by(self, columns: Array, at: SmoothInputs) -> Array:
        if at.times is not None:
            columns = at.times[:, None] * columns
        if at.codes is None:
            return np.asfortranarray(columns)
        k = columns.shape[1]
        out = np.zeros((len(columns), self.n_levels * k), order="F")
        for level in range(self.n_levels):
            rows = at.codes == level
            out[rows, level * k : (level + 1) * k] = columns[rows]
        return out


def learn_smooth(at: SmoothInputs, n_levels: int = 1, k: Any = DEFAULT_SIZE, bs: str = "cr") -> LearntSmooth:
    """Learn a smooth of some rows: its knots, and what sums to zero over the rows.

    Raises
    ------
    DataError
        If the variable has fewer distinct values than the basis has functions, or the number of ``by=`` is constant.
    SpecificationError
        If the basis is too small.
    """
    x, has_constant = at.x, at.times is not None
    make, least = BASES[bs]
    size = whole(f"the number k of functions of a smooth (bs={bs!r})", k, least)
    check_basis("s", size, len(x))
    distinct = np.unique(x)
    if len(distinct) < size:
        known = f"{len(distinct)} different value{'s' * (len(distinct) != 1)}"
        remedy = f"write k={len(distinct)}" if len(distinct) >= least else "make it a factor or a line"
        raise DataError(f"a smooth of k={size} functions needs as many different values, found {known}: {remedy}")
    low, span = float(distinct[0]), float(distinct[-1] - distinct[0])
    t = (x - low) / span
    basis = make(t, size)
    columns = basis(t)
    free = np.eye(size) if has_constant else np.linalg.qr(columns.sum(axis=0)[:, None], mode="complete")[0][:, 1:]
    values, vectors = np.linalg.eigh(free.T @ basis.penalty @ free)
    kept = slice(2 if has_constant else 1, None)  # a constant and a straight line have no penalty
    penalized = free @ (vectors[:, kept] / np.sqrt(values[kept]))
    Z = columns @ penalized
    penalized = penalized / np.sqrt(np.mean(np.einsum("ij,ij->i", Z, Z)))
    signs = np.where(penalized[np.abs(penalized).argmax(axis=0), np.arange(penalized.shape[1])] < 0, -1.0, 1.0)
    return LearntSmooth(
        low, span, float(np.mean(x)), basis, np.asarray(penalized * signs), n_levels, has_constant=has_constant
    )
