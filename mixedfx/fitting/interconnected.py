"""Interconnected generalised linear models: Lee and Nelder's extended quasi-likelihood.

Fixed and random effects solve one weighted regression of augmented data, ``T = [[X, Z], [0, I]]``, responses
``(y, psi)`` with psi the mean of u; the dispersions are gamma generalised linear models of the deviances over one minus
their leverages ``q`` in that regression, with weights ``(1 - q) / 2``:

    ``lambda = sum d / sum (1 - q)``,   ``log phi = X_d gamma``.

The equations are no derivatives of a likelihood, and for binary responses their solution is far off.

References
----------
Lee & Nelder (1996), JRSS B 58, 619; Lee & Nelder (2001), Biometrika 88, 987; Rönnegård, Shen & Alam (2010), R Journal
2(2), 20.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import scipy.sparse as sp

from mixedfx._typing import Array
from mixedfx.criterion.boundary import VarianceVerdict
from mixedfx.criterion.corrections import NOTHING, CorrectedEvaluation, adjusted_here
from mixedfx.criterion.evaluation import MarginalEvaluation
from mixedfx.criterion.hierarchical import AugmentedLikelihood, HierarchicalProblem
from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.criterion.mode import mode_state
from mixedfx.exceptions import SpecificationError
from mixedfx.families.random_laws import SMALLEST_LAMBDA
from mixedfx.fitting.certificate import Certificate
from mixedfx.fitting.control import Control
from mixedfx.fitting.hierarchical import EQL, HierarchicalFit, integrator_of
from mixedfx.optimize import Optimum

__all__ = ["fit_interconnected"]

FAMILIES = ("gaussian", "binomial", "poisson", "gamma", "inverse_gaussian")
MOST_EFFECTS = 4000  # fixed and random effects of one regression
MOST_STEPS = 100  # of the regression for given dispersions
MOST_ROUNDS = 2000  # of dispersions
SOLVED = 1e-11  # relative change of all parameters
LEAST_FREE = 1e-10  # of one minus a leverage
SHORTEST, ROUNDING = 1e-6, 1e-12  # share of a step at which halving ends; of the deviance, relatively
LARGEST_START = 1.0  # lambda to begin with


@dataclass(frozen=True)
class _Regression:
    """The augmented regression at given dispersions.

    Attributes
    ----------
    effects : (p + q,)
    inverse : (p + q, p + q)
        Covariance of the effects.
    leverages : (n + q,)
        Of the rows of the data, then of the levels.
    deviances : (n + q,)
    """

    effects: Array
    inverse: Array
    leverages: Array
    deviances: Array


@dataclass(frozen=True)
class _Equations:
    """The interconnected models on the inner scale."""

    problem: HierarchicalProblem
    restricted: bool

    @property
    def likelihood(self) -> AugmentedLikelihood:
        return cast(AugmentedLikelihood, self.problem.model.likelihood)

    @property
    def n(self) -> int:
        return self.likelihood.n_data

    def matrix(self) -> sp.csr_array:
        """``T`` (n + q, p + q), effects of the terms in the order of the formula, on the scale of the predictor."""
        problem, n = self.problem, self.n
        blocks = []
        for term in problem.design.random:
            rows = (term.matrix[:, 0], (np.arange(n), term.codes))
            blocks.append(sp.csr_array(rows, shape=(n, term.n_levels)))
        X = sp.csr_array(problem.model.X[:n])
        top = sp.hstack([X, *blocks])
        q = sum(block.shape[1] for block in blocks)
        return sp.csr_array(sp.vstack([top, sp.hstack([sp.csr_array((q, X.shape[1])), sp.eye_array(q)])]))

    def spans(self) -> list[slice]:
        """The levels of every term among all random effects."""
        ends = np.cumsum([0] + [term.n_levels for term in self.problem.design.random])
        return [slice(int(a), int(b)) for a, b in pairwise(ends)]

    def quasi(self, v: Array) -> tuple[Array, Array, Array]:
        """Deviation, weight and deviance (q,) of every level, for lambda = 1."""
        deviation, weight, deviance = -v, np.ones_like(v), v**2
        for k, span in enumerate(self.spans()):
            law = self.problem.law_of(k)
            if law is not None:
                deviation[span], weight[span], deviance[span] = law.quasi(v[span])
        return deviation, weight, deviance

    def regression(self, T: sp.csr_array, x: Array, sizes: Array, effects: Array) -> _Regression:
        """Solve the augmented regression by iterative re-weighting, from ``effects`` (p + q,), with halved steps."""
        problem, likelihood, n = self.problem, self.likelihood, self.n
        p = problem.model.n_fixed
        auxiliary = problem.model.auxiliary_values(problem.model.parts(x).extra)
        by_level = np.repeat(sizes, [span.stop - span.start for span in self.spans()])
        place, matrix = self.dispersion_design()
        dispersion = np.ones(n) if matrix is None else np.exp(matrix @ x[place])
        scale = np.concatenate([dispersion, by_level])

        def deviances(effects: Array) -> Array:
            eta, v = self.predictors(T, effects)
            arguments = likelihood.arguments(self.padded(eta), auxiliary)
            return np.concatenate([likelihood.family.unit_deviance(likelihood.observed, *arguments), self.quasi(v)[2]])

        current = float((deviances(effects) / scale).sum())
        for _ in range(MOST_STEPS):
            eta, v = self.predictors(T, effects)
            arguments = likelihood.arguments(self.padded(eta), auxiliary)
            _, slope, _ = likelihood.family.mean_derivatives(likelihood.observed, *arguments, order=2)
            data = likelihood.family.expected_weights(likelihood.observed, *arguments)
            data = np.maximum(data, np.finfo(float).tiny)
            deviation, weight, _ = self.quasi(v)
            weights = np.concatenate([data, weight / by_level])
            weighted = sp.diags_array(weights) @ T
            information = np.asarray((T.T @ weighted).todense())
            score = T.T @ np.concatenate([slope, weight * deviation / by_level])
            step = np.linalg.solve(information, score)
            fraction = 1.0
            while fraction > SHORTEST:
                moved = effects + fraction * step
                trial = float((deviances(moved) / scale).sum())
                if trial <= current + ROUNDING * (1.0 + abs(current)):
                    break
                fraction *= 0.5
            change = float(np.max(np.abs(moved - effects) / (1.0 + np.abs(effects)), initial=0.0))
            effects, current = moved, trial
            if change < SOLVED:
                break
        inverse = np.linalg.inv(information)
        pulled = inverse if self.restricted or p == 0 else _without_fixed(information, p)
        leverages = weights * np.asarray((T @ pulled) * T.toarray()).sum(axis=1)
        return _Regression(effects, inverse, np.clip(leverages, 0.0, 1.0 - LEAST_FREE), deviances(effects))

    def predictors(self, T: sp.csr_array, effects: Array) -> tuple[Array, Array]:
        """Linear predictors (n,) of the data, offset included, and effects v (q,)."""
        linear = T @ effects
        return linear[: self.n] + self.problem.model.offset[: self.n], linear[self.n :]

    def padded(self, eta: Array) -> Array:
        """Linear predictors of the data as the likelihood of all rows takes them."""
        return np.concatenate([eta, np.zeros(self.problem.model.X.shape[0] - self.n)])

    def dispersions(self, x: Array, sizes: Array, fitted: _Regression) -> tuple[Array, Array]:
        """Return the parameters and the lambdas that solve the gamma models of the deviances."""
        n, x = self.n, x.copy()
        free = 1.0 - fitted.leverages
        new = sizes.copy()
        for k, span in enumerate(self.spans()):
            own = slice(n + span.start, n + span.stop)
            new[k] = max(float(fitted.deviances[own].sum() / free[own].sum()), SMALLEST_LAMBDA)
        place, matrix = self.dispersion_design()
        if matrix is not None:
            x[place] = _gamma_model(matrix, fitted.deviances[:n], free[:n], x[place])
        return x, new

    def dispersion_design(self) -> tuple[slice, Array | None]:
        """Positions of the coefficients of the logarithm of the dispersion in x, and their columns (n, k)."""
        problem = self.problem
        if "dispersion" in problem.component_slices:
            names = [c.name for c in problem.components]
            k = len(problem.laws) + names.index("dispersion")
            return problem.component_slices["dispersion"], problem.model.auxiliaries[k].matrix[: self.n]
        if "dispersion" in problem.family.phi_names:
            return slice(problem.n_parameters - 1, problem.n_parameters), np.ones((self.n, 1))
        return slice(0, 0), None


def _without_fixed(information: Array, p: int) -> Array:
    """Inverse of the block of the random effects, zero elsewhere."""
    out = np.zeros_like(information)
    out[p:, p:] = np.linalg.inv(information[p:, p:])
    return out


def _gamma_model(matrix: Array, deviances: Array, free: Array, start: Array) -> Array:
    """Coefficients (k,) of a gamma model with log link of ``deviances / free``, with weights ``free / 2``."""
    response, weights = deviances / free, 0.5 * free
    if matrix.shape[1] == 1 and np.ptp(matrix) == 0:
        return np.array([np.log(float(weights @ response) / float(weights.sum())) / matrix[0, 0]])
    gamma = start.copy()
    information = matrix.T @ (weights[:, None] * matrix)
    for _ in range(MOST_STEPS):
        step = np.linalg.solve(information, matrix.T @ (weights * (response * np.exp(-matrix @ gamma) - 1.0)))
        gamma = gamma + step / max(1.0, float(np.abs(step).max()))
        if float(np.abs(step).max()) < SOLVED:
            break
    return gamma


def check_interconnected(problem: HierarchicalProblem) -> None:
    """Refuse models for which the interconnected models are not defined here.

    Raises
    ------
    SpecificationError
    """
    family = problem.family
    if family.name not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise SpecificationError(
            f'method="eql" is for the families of generalised linear models, {known}; found {family.name!r}: write '
            'method="laplace"'
        )
    for term in problem.design.random:
        if term.n_columns != 1 or term.loading is not None:
            raise SpecificationError(
                f'method="eql" takes one effect a level, independent of the others; {term.term} has more: write '
                'method="laplace"'
            )
    count = problem.model.n_fixed + sum(term.n_levels for term in problem.design.random)
    if count > MOST_EFFECTS:
        raise SpecificationError(
            f'method="eql" solves for all {count} effects at once, at most {MOST_EFFECTS}: write method="laplace"'
        )


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # wild steps are judged by their deviance
def fit_interconnected(
    problem: HierarchicalProblem, control: Control, start: Array, *, restricted: bool
) -> HierarchicalFit:
    """Solve the interconnected models.

    Parameters
    ----------
    problem : HierarchicalProblem
    control : Control
        Its ``max_iter`` of zero stops after one round.
    start : (k,)
        Inner parameters to begin with.
    restricted : bool
        Whether leverages are those of fixed and random effects together, as Lee and Nelder have them, or of the random
        ones alone.
    """
    check_interconnected(problem)
    equations = _Equations(problem, restricted)
    T, p, place = equations.matrix(), problem.model.n_fixed, problem.lambda_slice
    x, sizes = start.copy(), _sizes(problem, start)
    effects = np.concatenate([x[:p], np.zeros(T.shape[1] - p)])
    rounds, change, most = 0, np.inf, MOST_ROUNDS if control.max_iter else 1
    while rounds < most and change >= SOLVED:
        rounds += 1
        fitted = equations.regression(T, x, sizes, effects)
        moved, new = equations.dispersions(x, sizes, fitted)
        moved[:p] = fitted.effects[:p]
        change = max(
            float(np.max(np.abs(moved[:p] - x[:p]) / (1.0 + np.abs(x[:p])), initial=0.0)),
            float(np.max(np.abs(moved[place.stop :] - x[place.stop :]), initial=0.0)),
            float(np.max(np.abs(np.log(new / sizes)), initial=0.0)),
        )
        if not np.isfinite(change):
            raise FloatingPointError("the interconnected models run off")
        x, sizes, effects = moved, new, fitted.effects
    fitted = equations.regression(T, x, sizes, effects)
    x[:p] = fitted.effects[:p]
    x = _with_sizes(problem, x, sizes)
    return _fit_at(problem, x, fitted, equations, restricted=restricted, rounds=rounds, change=change)


def _sizes(problem: HierarchicalProblem, x: Array) -> Array:
    """Variances of the normal terms and lambdas of the others to begin with, from inner parameters."""
    out = np.array([float(root[0, 0] ** 2) for root in problem.roots(x)])
    for placed, value in zip(problem.laws, x[problem.lambda_slice], strict=True):
        out[placed.term] = np.exp(value)
    return np.asarray(np.clip(out, SMALLEST_LAMBDA, LARGEST_START))


def _with_sizes(problem: HierarchicalProblem, x: Array, sizes: Array) -> Array:
    """The inner parameters with these variances and lambdas."""
    x, offset = x.copy(), problem.theta_slice.start
    for k, (basis, slot) in enumerate(zip(problem.terms, problem.covariance.terms, strict=True)):
        if problem.law_of(k) is None:
            x[offset + slot.theta.start] = np.sqrt(sizes[k]) / basis.matrix[0, 0]
    for position, placed in enumerate(problem.laws):
        x[problem.lambda_slice.start + position] = np.log(sizes[placed.term])
    return x


def _fit_at(
    problem: HierarchicalProblem,
    x: Array,
    fitted: _Regression,
    equations: _Equations,
    *,
    restricted: bool,
    rounds: int,
    change: float,
) -> HierarchicalFit:
    p, n = problem.model.n_fixed, equations.n
    state = mode_state(problem.model, x)
    plain: MarginalEvaluation = CorrectedEvaluation(LaplaceEvaluation(state), NOTHING)
    at = adjusted_here(problem, state) if restricted else plain
    free = 1.0 - fitted.leverages
    hessian = np.zeros((x.size, x.size))
    hessian[:p, :p] = 2.0 * np.linalg.inv(fitted.inverse[:p, :p])
    offset = problem.theta_slice.start
    for k, (slot, span) in enumerate(zip(problem.covariance.terms, equations.spans(), strict=True)):
        information = 0.5 * float(free[n + span.start : n + span.stop].sum())  # about the logarithm of lambda
        if problem.law_of(k) is None:
            j = offset + slot.theta.start
            hessian[j, j] = 2.0 * information * 4.0 / x[j] ** 2
    for position, placed in enumerate(problem.laws):
        span = equations.spans()[placed.term]
        j = problem.lambda_slice.start + position
        hessian[j, j] = float(free[n + span.start : n + span.stop].sum())
    place, matrix = equations.dispersion_design()
    if matrix is not None:
        hessian[place, place] = matrix.T @ (free[:n, None] * matrix)
    converged = change < SOLVED
    verdicts = tuple(VarianceVerdict(term.term, 1, 1, confirmed=True) for term in problem.design.random)
    solved = Certificate(
        0.0 if converged else np.inf, 0, 0, verdicts, not converged, rounds, rounds, equations=_words(change)
    )
    optimum: Optimum[Any] = Optimum(x, at, 0.0, rounds, rounds, converged, not converged, path=(x,))
    return HierarchicalFit(
        problem,
        integrator_of(EQL),
        optimum,
        at,
        hessian,
        strategy=EQL,
        restricted=restricted,
        solved=solved,
    )


def _words(change: float) -> str:
    return (
        "The interconnected models are solved: another round changes no parameter by more than "
        f"{max(SOLVED, float(f'{change:.0e}')):.0e}, relatively. They maximise no likelihood."
    )
