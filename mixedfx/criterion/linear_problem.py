"""From a design to the criterion on its inner scale, with the maps back to the user's scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self, cast

import numpy as np

from mixedfx._typing import Array
from mixedfx.covariance.residual.structure import BoundResidual
from mixedfx.criterion.evaluation import GaussianCriterion, GaussianEvaluation
from mixedfx.criterion.linear import LinearCriterion
from mixedfx.criterion.problem import REMAINDERS, Problem, assembled
from mixedfx.criterion.refinement import loses_digits, refinement
from mixedfx.criterion.residual import ResidualCriterion
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.linalg.gram import Rows, cross_products
from mixedfx.linalg.probes import Solver
from mixedfx.matrices import Design, nested_in
from mixedfx.matrices.basis import FixedBasis, InnerResponses, RowWeights, fixed_basis, inner_responses

__all__ = ["LinearProblem", "inner_weights", "linear_problem"]

HEAVIEST = 1e13  # times the median weight: beyond, the median row has no digit left beside the heaviest


@dataclass(frozen=True)
class LinearProblem(Problem):
    """A Gaussian mixed model ready to be evaluated.

    Attributes
    ----------
    design, assembly, bases, terms
        As in :class:`~mixedfx.criterion.problem.Problem`.
    criterion : GaussianCriterion
        On the inner scale, its value on the user's: a function of ``x = (theta, rho)``.
    residual : BoundResidual or None
        Structure of the residuals, if they are not independent with equal variances.
    most_exact : float
        Crossed random effects beside the largest factor that are factorised, rather than solved by iteration.
    """

    criterion: GaussianCriterion
    residual: BoundResidual | None = None
    most_exact: float = REMAINDERS["auto"]

    @property
    def is_iterative(self) -> bool:
        """Whether the crossed equations are solved by iteration, and traces sampled."""
        return self.assembly.rows.layout.is_operator

    @property
    def solver(self) -> Solver | None:
        """How the crossed equations are solved by iteration; None where they are factorised."""
        return cast(LinearCriterion, self.criterion).gram.solver if self.is_iterative else None

    def with_solver(self, solver: Solver) -> Self:
        """Return the problem with its crossed equations solved in another way."""
        return replace(self, criterion=cast(LinearCriterion, self.criterion).with_solver(solver))

    @property
    def theta_slice(self) -> slice:
        """Positions of theta in ``x``."""
        return slice(0, self.covariance.n_theta)

    @property
    def coefficients(self) -> list[tuple[slice, FixedBasis]]:
        """None: the fixed effects are profiled out."""
        return []

    @property
    def level(self) -> None:
        """None: what stands for an intercept is a column."""

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds (k,) of ``x`` for the search."""
        return self.criterion.search_lower, self.criterion.upper

    def evaluate(self, x: Array) -> GaussianEvaluation:
        """Evaluate the criterion at ``(theta, rho)``, on the inner scale."""
        return self.criterion(x)

    def relative_covariances(self, x: Array) -> list[Array]:
        """Return ``Sigma / sigma**2`` (q, q) of every term on the user's scale, at an inner ``x``."""
        return [root @ root.T for root in self.relative_roots(x)]

    def relative_roots(self, x: Array) -> list[Array]:
        """Return a root (q, q) of each matrix of :meth:`relative_covariances`."""
        return self._roots(x[self.theta_slice])

    def objective(self, user: Array) -> tuple[float, Array]:
        """Evaluate the criterion and its gradient at ``(theta, rho)``, theta on the user's scale."""
        at = self.evaluate(self.to_inner(user))
        gradient = at.gradient.copy()
        for basis, slot in zip(self.terms, self.covariance.terms, strict=True):
            n = at.covariance_gradient[slot.factor][slot.coefficients, slot.coefficients]
            gradient[slot.theta] = basis.gradient_to_user(user[slot.theta], n)
        return at.value, gradient

    @property
    def is_plain(self) -> bool:
        """Whether residuals and levels are independent: all is said by sums over the levels."""
        return self.residual is None and not self.assembly.rows.loadings

    @property
    def known_sigma(self) -> float | None:
        """Residual standard deviation on the user's scale if it is known."""
        known = self.criterion.sigma2
        return None if known is None else float(np.sqrt(known)) * self.basis.scale

    def refined(self) -> LinearProblem | None:
        """Return the problem with its columns split for precision, or None if that is done or not possible."""
        criterion = self.criterion.refined(self.assembly.rows, self.design.weights)
        return None if criterion is None else replace(self, criterion=criterion)

    def constants(self, responses: InnerResponses) -> Array:
        """Return the differences (R,) between the criterion of each response and that on the inner scale."""
        criterion = self.criterion
        nu = len(responses.values) - (self.basis.matrix.shape[1] if criterion.reml else 0)
        return np.asarray(criterion.constant + 2.0 * nu * np.log(responses.scale / self.basis.scale))

    def known_sigma2(self, responses: InnerResponses) -> Array | None:
        """Return the known residual variances (R,) on the inner scale, or None."""
        known = self.criterion.sigma2
        return None if known is None else known * (self.basis.scale / responses.scale) ** 2

    def responses(self, Y: Array) -> InnerResponses:
        """Bring the responses ``Y`` (n, R), offset included, to the inner scale."""
        design = self.design
        values = Y if design.offset is None else Y - design.offset[:, None]
        X = self.assembly.rows.columns[:, :-1]
        return inner_responses(self.basis, X, values, inner_weights(design, self.residual))

    def with_design(self, design: Design) -> LinearProblem:
        """Return the problem of the same model for ``design``, which differs in its random terms only."""
        reml, sigma = self.criterion.reml, self.known_sigma
        return linear_problem(design, reml=reml, sigma=sigma, residual=self.residual, most_exact=self.most_exact)

    def with_response(self, y: Array) -> Self:
        """Return the problem with the response ``y`` (n,), offset included; all else is shared."""
        inner = self.responses(y[:, None])
        basis = replace(self.basis, origin=inner.origin[0], scale=float(inner.scale[0]))
        design = replace(self.design, response=replace(self.design.response, values=y))
        rows = self.assembly.rows.with_response(inner.values[:, 0])
        known, constant = self.known_sigma2(inner), float(self.constants(inner)[0])
        sigma2 = None if known is None else float(known[0])
        criterion = self.criterion.with_response(rows, design.weights, constant, sigma2)
        assembly = replace(self.assembly, rows=rows)
        return replace(self, design=design, assembly=assembly, criterion=criterion, bases=(basis,))


def linear_problem(
    design: Design,
    *,
    reml: bool,
    sigma: float | None = None,
    residual: BoundResidual | None = None,
    most_exact: float = REMAINDERS["auto"],
) -> LinearProblem:
    """Form the cross-products of a design.

    Parameters
    ----------
    design : Design
    reml : bool
    sigma : float, optional
        Residual standard deviation if it is known.
    residual : BoundResidual, optional
        Structure of the residuals.
    most_exact : float
        Crossed random effects beside the largest factor that are factorised, rather than solved by iteration; all are
        where residuals have a structure.

    Raises
    ------
    SpecificationError, DataError
        If crossed factors are too large for this machine, or residuals are correlated across levels of a grouping
        factor.
    """
    y = design.response.values if design.offset is None else design.response.values - design.offset
    weights = inner_weights(design, residual)
    basis, X, inner = fixed_basis(design.fixed.matrix, y, weights)
    columns = np.column_stack([X, inner])
    assembly, terms = assembled(design, columns, weights, most_exact, independent=residual is None)
    known = sigma if residual is None or residual.sigma is None else residual.sigma
    sigma2 = None if known is None else (known / basis.scale) ** 2
    constant = _constant(design, basis, reml)
    criterion: GaussianCriterion
    if residual is None:
        gram = cross_products(assembly.rows, design.weights)
        refined = refinement(assembly.rows, gram, design.weights) if loses_digits(gram) else None
        criterion = LinearCriterion(gram, assembly.covariance, design.n_rows, reml, constant, sigma2, refined)
    else:
        _check_groups(design, residual)
        rows = _weighted(assembly.rows, design.weights)
        criterion = ResidualCriterion(rows, residual, assembly.covariance, reml, constant, sigma2)
    return LinearProblem(design, assembly, (basis,), terms, criterion, residual, most_exact)


def inner_weights(design: Design, residual: BoundResidual | None) -> RowWeights:
    """Return the weights under which the rows have equal variances where the search begins.

    Raises
    ------
    DataError
        If some weights are so large that rounding loses the information of the other rows.
    """
    given = design.weights
    if residual is not None and residual.variances:
        precision = 1.0 / residual.relative_variances(residual.start)
        given = precision if given is None else given * precision
    if given is not None:
        _check_heavy(design, given)
    return RowWeights.of(given, design.n_rows)


def _check_heavy(design: Design, weights: Array) -> None:
    largest, usual = float(weights.max()), float(np.median(weights))
    if largest / HEAVIEST > usual:
        row = design.index[int(np.argmax(weights))]
        raise DataError(
            f"row {row} weighs {largest:.3g}, the median weight is {usual:.3g}: what the other rows say is lost in "
            "rounding beside it. A weight of 1e8 times the others already fits a row exactly: make it no larger"
        )


def _constant(design: Design, basis: FixedBasis, reml: bool) -> float:
    """Difference between the criterion on the user's scale and that on the inner scale, log weights included."""
    n, p = design.n_rows, basis.matrix.shape[1]
    constant = 2.0 * (n - p if reml else n) * float(np.log(basis.scale)) - (2.0 * basis.log_det if reml else 0.0)
    return constant - design.log_weights


def _weighted(rows: Rows, weights: Array | None) -> Rows:
    """Rows times the roots of their weights."""
    if weights is None:
        return rows
    root = np.sqrt(weights)
    return Rows(rows.layout, tuple(z * root for z in rows.z), rows.columns * root[:, None], rows.loadings)


def _check_groups(design: Design, residual: BoundResidual) -> None:
    """Residuals may be correlated only within levels of every grouping factor."""
    if residual.groups is None:
        return
    for term in design.random:
        if not nested_in(residual.groups, term.codes):
            raise SpecificationError(
                f"the residuals are correlated within groups that hold several levels of {term.group!r}: the group of "
                "a residual structure must lie within one level of every grouping factor of the formula"
            )
