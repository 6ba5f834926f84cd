"""A generalised mixed model as a function of its parameters, before any integral is approximated.

The parameters are one vector ``x = (beta, theta, extra)``: fixed effects of the first linear predictor, covariance
parameters, then everything that the auxiliary variables are made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.expansion import RowLikelihood
from mixedfx.criterion.parameters import CovarianceModel
from mixedfx.linalg.rowwise import RowMap

__all__ = ["Auxiliary", "MarginalModel", "Parts", "RidgePenalty"]


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
    likelihood : RowLikelihood
    auxiliaries : tuple of Auxiliary
    penalty : RidgePenalty
    """

    space: RowMap
    covariance: CovarianceModel
    X: Array
    offset: Array
    likelihood: RowLikelihood
    auxiliaries: tuple[Auxiliary, ...]
    penalty: RidgePenalty

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
        """Cut the parameter vector."""
        at = self.theta_slice
        return Parts(x[: at.start], x[at], x[at.stop :])

    def auxiliary_values(self, extra: Array) -> list[Array]:
        """Return the auxiliary variables."""
        return [a.value(extra[at]) for a, at in zip(self.auxiliaries, self.extra_slices, strict=True)]

    def fixed_part(self, beta: Array) -> Array:
        """Return ``X beta + offset`` (n,)."""
        return np.asarray(self.X @ beta + self.offset)
