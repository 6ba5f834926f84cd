"""What the linear and the generalised problem have in common: a design on its inner scale, and the maps between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.assemble import Assembly
from mixedfx.criterion.evaluation import Evaluation
from mixedfx.criterion.parameters import CovarianceModel
from mixedfx.matrices import Design
from mixedfx.matrices.basis import FixedBasis, TermBasis

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem(ABC):
    """A mixed model ready to be evaluated at ``x``, all parameters that are not profiled out.

    Attributes
    ----------
    design : Design
    assembly : Assembly
        Rows and parameter map on the inner scale, factors in elimination order.
    bases : tuple of FixedBasis
        Of the linear predictors, that of the mean first.
    terms : tuple of TermBasis
        In the order of the formula.
    """

    design: Design
    assembly: Assembly
    bases: tuple[FixedBasis, ...]
    terms: tuple[TermBasis, ...]

    @property
    @abstractmethod
    def theta_slice(self) -> slice:
        """Positions of the covariance parameters in ``x``."""

    @property
    @abstractmethod
    def coefficients(self) -> list[tuple[slice, FixedBasis]]:
        """Positions in ``x`` of the coefficients of every linear predictor, and their basis; none if profiled out."""

    @abstractmethod
    def evaluate(self, x: Array) -> Evaluation:
        """Evaluate the criterion at ``x`` (k,), on the inner scale."""

    @property
    def covariance(self) -> CovarianceModel:
        """From theta to the covariances, terms in the order of the formula."""
        return self.assembly.covariance

    @property
    def basis(self) -> FixedBasis:
        """Maps of the fixed effects of the mean, and of the response."""
        return self.bases[0]

    def to_user(self, x: Array) -> Array:
        """Return the parameters (…, k) on the user's scale, of inner ones; a shorter ``x`` may end after theta."""
        out = np.array(x, dtype=float)
        for at, basis in self.coefficients:
            out[at] = basis.beta(x[at])
        self._move_theta(out, [basis.to_user for basis in self.terms])
        return out

    def to_inner(self, x: Array) -> Array:
        """Return the parameters (…, k) on the inner scale, of the user's; a shorter ``x`` may end after theta."""
        out = np.array(x, dtype=float)
        for at, basis in self.coefficients:
            out[at] = np.linalg.solve(basis.matrix, x[at] - basis.origin)
        self._move_theta(out, [basis.to_inner for basis in self.terms])
        return out

    def _move_theta(self, x: Array, maps: Sequence[Callable[[Array], Array]]) -> None:
        theta = x[..., self.theta_slice]
        for move, slot in zip(maps, self.covariance.terms, strict=True):
            theta[..., slot.theta] = move(theta[..., slot.theta])

    def _roots(self, theta: Array) -> list[Array]:
        """``R`` (q, q) of every term on the user's scale, at an inner ``theta`` (n_theta,)."""
        return [
            np.asarray(basis.matrix @ slot.covariance.factor(theta[slot.theta]))
            for basis, slot in zip(self.terms, self.covariance.terms, strict=True)
        ]
