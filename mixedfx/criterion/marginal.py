"""A generalised mixed model as a function of its parameters, before any integral is approximated.

The parameters are one vector ``x = (beta, theta, extra)``: fixed effects of the first linear predictor, covariance
parameters, then everything that the auxiliary variables are made of.

The first linear predictor carries the random effects. Everything else that the likelihood depends on (further linear
predictors, family-wide parameters) is an *auxiliary* variable: a value a row, or one value for all rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from mixedfx._lazy import cached_property
from mixedfx._typing import Array
from mixedfx.criterion.assembly import CovarianceModel
from mixedfx.families.base import Family
from mixedfx.families.observed import Observed
from mixedfx.linalg.gram import Gram, cross_products
from mixedfx.linalg.layout import fields_only
from mixedfx.linalg.probes import Solver
from mixedfx.linalg.rowwise import RowMap

__all__ = [
    "EXPECTED",
    "OBSERVED",
    "Auxiliary",
    "AuxiliaryPart",
    "Curve",
    "Expansion",
    "FamilyLikelihood",
    "Information",
    "MarginalModel",
    "Parts",
    "RidgePenalty",
]

STENCIL = ((1.0, 8.0), (2.0, -1.0))  # five-point rule: offsets and weights / 12
STENCIL_STEP = 1e-3
ROWS_AT_ONCE = 1 << 14  # whose likelihood is computed at a time
ROUGH = 1e-3  # residual of a step on the way to the mode, where equations are solved by iteration


@dataclass(frozen=True)
class Curve:
    """A weight of every row (n,), positive for most likelihoods, with its derivatives.

    Attributes
    ----------
    weight : (n,)
    slope : (n,)
        Derivative in the first linear predictor.
    auxiliary : tuple of (n,)
        Derivatives in the auxiliary variables.
    """

    weight: Array
    slope: Array
    auxiliary: tuple[Array, ...]

    def take(self, place: int) -> Curve:
        """Return one of several points that were expanded together (leading axis)."""
        return Curve(self.weight[place], self.slope[place], tuple(part[place] for part in self.auxiliary))


@dataclass(frozen=True)
class AuxiliaryPart:
    """Derivatives (n,) of the log-likelihood in one auxiliary variable: itself, and once more in the predictor."""

    slope: Array
    mixed: Array


@dataclass(frozen=True)
class Expansion:
    """The log-likelihood of all rows around their linear predictor.

    Attributes
    ----------
    value, gradient : (n,)
        Log-likelihood and its derivative in the first linear predictor.
    observed : Curve
        Minus the second derivative, and how it changes.
    determinant : Curve
        The weights of the determinant in the Laplace approximation: ``observed``, or the expected information.
    auxiliary : tuple of AuxiliaryPart
    """

    value: Array
    gradient: Array
    observed: Curve
    determinant: Curve
    auxiliary: tuple[AuxiliaryPart, ...]

    def take(self, place: int) -> Expansion:
        """Return one of several points that were expanded together (leading axis)."""
        observed = self.observed.take(place)
        same = self.determinant is self.observed
        parts = tuple(AuxiliaryPart(part.slope[place], part.mixed[place]) for part in self.auxiliary)
        determinant = observed if same else self.determinant.take(place)
        return Expansion(self.value[place], self.gradient[place], observed, determinant, parts)

    @property
    def arrays(self) -> list[Array]:
        """All that it is made of, once each."""
        curves = [self.observed] if self.determinant is self.observed else [self.observed, self.determinant]
        of_curves = [array for curve in curves for array in (curve.weight, curve.slope, *curve.auxiliary)]
        return [
            self.value,
            self.gradient,
            *of_curves,
            *(a for part in self.auxiliary for a in (part.slope, part.mixed)),
        ]

    def with_arrays(self, arrays: Sequence[Array]) -> Expansion:
        """Return one that is made of other :attr:`arrays` in the same way."""
        rest = iter(arrays)
        value, gradient = next(rest), next(rest)
        observed = Curve(next(rest), next(rest), tuple(next(rest) for _ in self.observed.auxiliary))
        determinant = observed
        if self.determinant is not self.observed:
            determinant = Curve(next(rest), next(rest), tuple(next(rest) for _ in self.determinant.auxiliary))
        parts = tuple(AuxiliaryPart(next(rest), next(rest)) for _ in self.auxiliary)
        return Expansion(value, gradient, observed, determinant, parts)


@dataclass(frozen=True)
class FamilyLikelihood:
    """A family with the response that it describes.

    The auxiliary variables are the family's linear predictors after the first, then its family-wide parameters.
    """

    family: Family
    observed: Observed
    information: Information

    @property
    def n_predictors(self) -> int:
        """Number of linear predictors."""
        return len(self.family.predictors)

    @property
    def n_auxiliary(self) -> int:
        """Number of auxiliary variables."""
        return self.n_predictors - 1 + len(self.family.phi_names)

    __getstate__ = fields_only

    def _is_long(self, eta: Array) -> bool:
        return eta.ndim == 1 and eta.size > ROWS_AT_ONCE

    @cached_property
    def _pieces(self) -> list[tuple[slice, FamilyLikelihood]]:
        """The rows in pieces, the work on which stays in the processor's cache."""
        starts = range(0, self.observed.n, ROWS_AT_ONCE)
        slices = [slice(start, min(start + ROWS_AT_ONCE, self.observed.n)) for start in starts]
        return [(at, replace(self, observed=self.observed.take(at))) for at in slices]

    def arguments(self, eta: Array, auxiliary: Sequence[Array]) -> tuple[Array, Array]:
        """Return the linear predictors as the family takes them, and the family-wide parameters.

        For many responses at once all have a leading axis, the family-wide parameters (R, 1) each.
        """
        further = self.n_predictors - 1
        phi = np.array(auxiliary[further:], dtype=float)
        if not further:
            return eta, phi
        return np.stack(np.broadcast_arrays(eta, *auxiliary[:further]), axis=-1), phi

    def value(self, eta: Array, auxiliary: Sequence[Array]) -> Array:
        """Return the log-likelihood of every row."""
        return self.family.derivatives(self.observed, *self.arguments(eta, auxiliary), order=0)[0]

    def quadratic(self, eta: Array, auxiliary: Sequence[Array]) -> tuple[Array, Array, Array]:
        """Return the log-likelihood up to terms without ``eta``, its derivative, and minus the second derivative."""
        if self._is_long(eta):
            value, gradient, weight = (np.empty(eta.size) for _ in range(3))  # apart: the value is not kept
            for at, piece in self._pieces:
                value[at], gradient[at], weight[at] = piece.quadratic(eta[at], _cut(auxiliary, at, eta.size))
            return value, gradient, weight
        arguments = self.arguments(eta, auxiliary)
        value, gradient, second = self.family.mean_derivatives(self.observed, *arguments, order=2)
        return value, gradient, -second

    def scores(self, eta: Array, auxiliary: Sequence[Array]) -> tuple[Array, Array, tuple[Array, ...]]:
        """Return the log-likelihood and its first derivatives in ``eta`` and in the auxiliary variables."""
        arguments = self.arguments(eta, auxiliary)
        value, gradient = self.family.derivatives(self.observed, *arguments, order=1)
        phi = self.family.phi_derivatives(self.observed, *arguments, order=0)
        if self.n_predictors == 1:
            return value, gradient, tuple(phi[0][..., j] for j in range(self.n_auxiliary))
        further = tuple(gradient[..., k] for k in range(1, self.n_predictors))
        return value, gradient[..., 0], further + tuple(phi[0][..., j] for j in range(phi[0].shape[-1]))

    def expansion(self, eta: Array, auxiliary: Sequence[Array]) -> Expansion:
        """Return everything up to the third order."""
        if self._is_long(eta):
            pieces = ((at, piece.expansion(eta[at], _cut(auxiliary, at, eta.size))) for at, piece in self._pieces)
            return _whole(pieces, eta.size)
        arguments = self.arguments(eta, auxiliary)
        (value, first, second, third), phi = self.family.all_derivatives(self.observed, *arguments)
        parts: list[AuxiliaryPart] = []
        curves: list[Array] = []
        if self.n_predictors > 1:
            for k in range(1, self.n_predictors):
                parts.append(AuxiliaryPart(first[..., k], second[..., 0, k]))
                curves.append(-third[..., 0, 0, k])
            first, second, third = first[..., 0], second[..., 0, 0], third[..., 0, 0, 0]
            phi = (phi[0], phi[1][..., 0, :], phi[2][..., 0, 0, :])
        for j in range(len(self.family.phi_names)):
            parts.append(AuxiliaryPart(phi[0][..., j], phi[1][..., j]))
            curves.append(-phi[2][..., j])
        observed = Curve(-second, -third, tuple(curves))
        determinant = self.information.curve(self, observed, eta, auxiliary)
        return Expansion(value, first, observed, determinant, tuple(parts))


def _cut(auxiliary: Sequence[Array], at: slice, n: int) -> list[Array]:
    """The auxiliary variables of some rows; those that are one value for all stay as they are."""
    return [values[at] if np.shape(values) == (n,) else values for values in auxiliary]


def _whole(pieces: Iterable[tuple[slice, Expansion]], n: int) -> Expansion:
    """The expansion of all rows from those of pieces, put in place one after the other."""
    whole: list[Array] = []
    for at, part in pieces:
        whole = whole or [np.empty(n) for _ in part.arrays]
        for array, values in zip(whole, part.arrays, strict=True):
            array[at] = values
    return part.with_arrays(whole)


class Information(ABC):
    """The weights in the determinant of the Laplace approximation."""

    @abstractmethod
    def curve(self, rows: FamilyLikelihood, observed: Curve, eta: Array, auxiliary: Sequence[Array]) -> Curve:
        """Return the weights and their derivatives at ``eta`` (n,)."""


@dataclass(frozen=True)
class _Observed(Information):
    """Minus the second derivative of the log-likelihood: the Laplace approximation proper."""

    def curve(self, rows: FamilyLikelihood, observed: Curve, eta: Array, auxiliary: Sequence[Array]) -> Curve:
        return observed


@dataclass(frozen=True)
class _Expected(Information):
    """Fisher's expected information, as in Fisher scoring."""

    def curve(self, rows: FamilyLikelihood, observed: Curve, eta: Array, auxiliary: Sequence[Array]) -> Curve:
        def weights(*values: Array) -> Array:
            return rows.family.expected_weights(rows.observed, *rows.arguments(values[0], values[1:]))

        values = [eta, *auxiliary]
        slopes = [_slope(weights, values, position) for position in range(len(values))]
        return Curve(weights(*values), slopes[0], tuple(slopes[1:]))


def _slope(function: Callable[..., Array], values: Sequence[Array], position: int) -> Array:
    """Derivative in one argument, row by row, by a five-point rule (relative error about 1e-12)."""
    total: Array | float = 0.0
    for offset, weight in STENCIL:
        for sign in (1.0, -1.0):
            moved = list(values)
            moved[position] = values[position] + sign * offset * STENCIL_STEP
            total = total + sign * weight * function(*moved)
    return np.asarray(total / (12.0 * STENCIL_STEP))


OBSERVED: Information = _Observed()
EXPECTED: Information = _Expected()


@dataclass(frozen=True)
class Auxiliary:
    """One auxiliary variable: ``matrix @ parameters + offset`` (n,), a further linear predictor or a common number."""

    matrix: Array
    offset: Array | float = 0.0

    def value(self, parameters: Array) -> Array:
        """Return the variable: (n,), or a number where ``matrix`` has a single row."""
        out = self.matrix @ parameters + self.offset
        return out[0] if self.matrix.shape[0] == 1 else out


@dataclass(frozen=True)
class RidgePenalty:
    """A normal prior on the fixed effects, minus twice its log-density up to a constant: ``beta' precision beta``."""

    precision: Array

    def value(self, beta: Array) -> float:
        """Return the penalty."""
        return float(beta @ self.precision @ beta)

    def gradient(self, beta: Array) -> Array:
        """Return its gradient (p,)."""
        return np.asarray(2.0 * self.precision @ beta)

    def curvature(self) -> Array:
        """Return its Hessian (p, p)."""
        return 2.0 * self.precision


@dataclass(frozen=True)
class Parts:
    """The parameters by kind."""

    beta: Array
    theta: Array
    extra: Array


@dataclass(frozen=True)
class MarginalModel:
    """Rows, covariance model and likelihood.

    Attributes
    ----------
    space : RowMap
        Incidence of the random effects.
    covariance : CovarianceModel
    X : (n, p)
        Columns of the first linear predictor.
    offset : (n,)
    likelihood : FamilyLikelihood
    auxiliaries : tuple of Auxiliary
    penalty : RidgePenalty
    solver : Solver
        How equations that are never formed are solved.
    """

    space: RowMap
    covariance: CovarianceModel
    X: Array
    offset: Array
    likelihood: FamilyLikelihood
    auxiliaries: tuple[Auxiliary, ...]
    penalty: RidgePenalty
    solver: Solver = field(default_factory=Solver)

    def gram(self, weight: Array) -> Gram:
        """Return the cross-products of the random effects' columns with weights (n,)."""
        gram = cross_products(self.space.rows, weight)
        return gram if gram.solver == self.solver else replace(gram, solver=self.solver)

    def roughly(self) -> MarginalModel:
        """Return the model whose equations are solved no better than a step on the way to the mode needs."""
        return replace(self, solver=replace(self.solver, tolerance=ROUGH, inverse_iterations=0))

    @property
    def n_fixed(self) -> int:
        """Number p of fixed effects of the first linear predictor."""
        return int(self.X.shape[1])

    @property
    def theta_slice(self) -> slice:
        """Positions of theta in the parameters."""
        return slice(self.n_fixed, self.n_fixed + self.covariance.n_theta)

    @cached_property
    def extra_slices(self) -> tuple[slice, ...]:
        """Positions among the extra parameters of each auxiliary variable's."""
        ends = np.cumsum([0] + [a.matrix.shape[1] for a in self.auxiliaries])
        return tuple(slice(int(i), int(j)) for i, j in pairwise(ends))

    @property
    def n_parameters(self) -> int:
        """Length of the parameter vector."""
        return int(self.theta_slice.stop + (self.extra_slices[-1].stop if self.auxiliaries else 0))

    @cached_property
    def auxiliary_matrices(self) -> tuple[Array, ...]:
        """``d variable / d parameters`` (n, k) of every auxiliary variable."""
        n = self.X.shape[0]
        return tuple(np.broadcast_to(a.matrix, (n, a.matrix.shape[1])) for a in self.auxiliaries)

    def parts(self, x: Array) -> Parts:
        """Split the parameter vector by kind."""
        at = self.theta_slice
        return Parts(x[: at.start], x[at], x[at.stop :])

    def auxiliary_values(self, extra: Array) -> list[Array]:
        """Return the auxiliary variables."""
        return [a.value(extra[at]) for a, at in zip(self.auxiliaries, self.extra_slices, strict=True)]

    def fixed_part(self, beta: Array) -> Array:
        """Return ``X beta + offset`` (n,)."""
        return np.asarray(self.X @ beta + self.offset)
