"""From a design to the criterion on its inner scale, with the maps back to the user's scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.assemble import Assembly, TermRows, assemble
from mixedfx.criterion.linear import LinearCriterion
from mixedfx.criterion.parameters import CovarianceModel
from mixedfx.design import Design
from mixedfx.design.basis import FixedBasis, TermBasis, fixed_basis, term_basis
from mixedfx.linalg.gram import cross_products

__all__ = ["LinearProblem", "linear_problem"]


@dataclass(frozen=True)
class LinearProblem:
    """A Gaussian mixed model ready to be evaluated.

    Attributes
    ----------
    design : Design
    assembly : Assembly
        Rows and parameter map on the inner scale, factors in elimination order.
    criterion : LinearCriterion
        On the inner scale, its value on the user's.
    fixed : FixedBasis
    terms : tuple of TermBasis
        In the order of the formula.
    """

    design: Design
    assembly: Assembly
    criterion: LinearCriterion
    fixed: FixedBasis
    terms: tuple[TermBasis, ...]

    @property
    def model(self) -> CovarianceModel:
        """The parameter map, terms in the order of the formula."""
        return self.assembly.model

    def theta_to_user(self, theta: Array) -> Array:
        """Return the parameters (n_theta,) on the user's scale."""
        return self._each_term(theta, [basis.to_user for basis in self.terms])

    def theta_to_inner(self, theta: Array) -> Array:
        """Return the parameters (n_theta,) on the inner scale."""
        return self._each_term(theta, [basis.to_inner for basis in self.terms])

    def _each_term(self, theta: Array, maps: list) -> Array:  # type: ignore[type-arg]
        parts = [f(theta[slot.theta]) for f, slot in zip(maps, self.model.terms, strict=True)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def relative_covariances(self, theta: Array) -> list[Array]:
        """Return ``Sigma / sigma**2`` (q, q) of every term on the user's scale, at an inner ``theta``."""
        out = []
        for basis, slot in zip(self.terms, self.model.terms, strict=True):
            half = basis.matrix @ slot.covariance.factor(theta[slot.theta])
            out.append(half @ half.T)
        return out

    def objective(self, theta: Array) -> tuple[float, Array]:
        """Evaluate the criterion and its gradient (n_theta,) at parameters on the user's scale.

        Notes
        -----
        With ``Sigma = R Sigma_inner R'`` the derivative with respect to ``Sigma`` is ``R^-T N R^-1``.
        """
        at = self.criterion(self.theta_to_inner(np.asarray(theta, dtype=float)))
        gradient = np.zeros(self.model.n_theta)
        for basis, slot in zip(self.terms, self.model.terms, strict=True):
            n = at.covariance_gradient[slot.factor][slot.coefficients, slot.coefficients]
            inverse = np.linalg.inv(basis.matrix)
            user = inverse.T @ n @ inverse
            own = np.asarray(theta[slot.theta], dtype=float)
            d = slot.covariance.covariance_derivative(own)
            gradient[slot.theta] = d.reshape(len(d), -1) @ user.ravel()
        return at.value, gradient


def linear_problem(design: Design, *, reml: bool, sigma: float | None = None) -> LinearProblem:
    """Form the cross-products of a design.

    Parameters
    ----------
    design : Design
    reml : bool
    sigma : float, optional
        Residual standard deviation if it is known.
    """
    y = design.response.values if design.offset is None else design.response.values - design.offset
    basis, X, inner = fixed_basis(design.fixed.matrix, y)
    pairs = [term_basis(term.matrix, term.covariance) for term in design.random]
    terms = [
        TermRows(term.group, term.codes, len(term.levels), z, term.covariance, term.loading)
        for term, (_, z) in zip(design.random, pairs, strict=True)
    ]
    assembly = assemble(terms, np.column_stack([X, inner]))
    weights = design.weights
    positive = np.ones(len(y), dtype=bool) if weights is None else weights > 0
    n = int(positive.sum())
    nu = n - X.shape[1] if reml else n
    constant = 2.0 * nu * float(np.log(basis.scale)) - (2.0 * basis.log_det if reml else 0.0)
    if weights is not None:
        constant -= float(np.log(weights[positive]).sum())
    criterion = LinearCriterion(
        cross_products(assembly.rows, weights),
        assembly.model,
        n,
        reml,
        constant,
        None if sigma is None else (sigma / basis.scale) ** 2,
    )
    return LinearProblem(design, assembly, criterion, basis, tuple(b for b, _ in pairs))
