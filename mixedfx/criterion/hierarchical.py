"""Hierarchical generalised linear models: random effects that are not normal, as rows of a generalised mixed model.

An effect with log-density ``log f_v(v; lambda)`` is a standard normal one beside a row that has its own linear
predictor ``v`` and the log-likelihood ``log f_v(v; lambda) - log N(v; 0, 1)``: the two normal densities cancel,
whatever the integral is approximated by. So the random effects of a law bring one row a level (Lee and Nelder's
augmented data), and modes, Laplace's approximation, quadrature and their derivatives are those of the generalised mixed
model.

The parameters are ``x = (beta, theta, log lambda, further ones)``; ``theta`` belongs to the normal terms alone.

References
----------
Lee & Nelder (1996), JRSS B 58, 619; Lee, Nelder & Pawitan (2017), Generalized Linear Models with Random Effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self, cast

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.covariance.base import Covariance
from mixedfx.covariance.registry import covariance_for
from mixedfx.criterion.assembly import TermRows, assemble
from mixedfx.criterion.generalized_problem import Component, GeneralizedProblem, generalized_problem
from mixedfx.criterion.marginal import (
    OBSERVED,
    Auxiliary,
    AuxiliaryPart,
    Curve,
    Expansion,
    FamilyLikelihood,
    Information,
    MarginalModel,
)
from mixedfx.families import Family, Observed
from mixedfx.families.random_laws import HALF_LOG_2PI, LARGEST_LAMBDA, SMALLEST_LAMBDA, Law
from mixedfx.linalg.rowwise import RowMap
from mixedfx.matrices import Design, RandomEffects
from mixedfx.matrices.basis import TermBasis

__all__ = ["AugmentedLikelihood", "HierarchicalProblem", "PlacedLaw", "StandardEffect", "hierarchical_problem"]

SMALLEST_START, LARGEST_START = 0.01, 2.0  # lambda to begin with
STEP = 1e-3  # of the five-point rule for the fourth derivative of the log-likelihood


@dataclass(frozen=True)
class StandardEffect(Covariance):
    """The covariance 1 of an effect whose own law stands in a row of the likelihood; without parameters."""

    size: int = 1

    @property
    def n_theta(self) -> int:
        """None."""
        return 0

    def factor(self, theta: Array) -> Array:
        """Return 1."""
        return np.ones((1, 1))

    def derivative(self, theta: Array) -> Array:
        """Return an empty array (0, 1, 1)."""
        return np.zeros((0, 1, 1))

    def second_derivative(self, theta: Array) -> None:
        """Return None."""

    def lower(self) -> Array:
        """Return an empty array."""
        return np.zeros(0)

    def upper(self) -> Array:
        """Return an empty array."""
        return np.zeros(0)

    def start(self) -> Array:
        """Return an empty array."""
        return np.zeros(0)

    def labels(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return no names."""
        return ()

    def closed_under_affine(self) -> bool:
        """No: it is 1."""
        return False

    def closed_under_scaling(self) -> bool:
        """Yes, as far as it has parameters at all."""
        return True

    def rescale(self, theta: Array, scale: Array) -> Array:
        """Return the empty array that came."""
        return theta


@dataclass(frozen=True)
class PlacedLaw:
    """The law of one random term, and where its levels have their rows.

    Attributes
    ----------
    law : Law
    term : int
        Position of the term in the formula.
    rows : slice
        One row a level, among all rows of the likelihood.
    """

    law: Law
    term: int
    rows: slice


@dataclass(frozen=True)
class AugmentedLikelihood:
    """The likelihood of the rows of the data, then of one row a level of every random term with a law.

    Its auxiliary variables are the logarithms of lambda, in the order of the terms, then those of the data's family.

    Attributes
    ----------
    rows : FamilyLikelihood
    laws : tuple of PlacedLaw
    """

    rows: FamilyLikelihood
    laws: tuple[PlacedLaw, ...]

    @property
    def family(self) -> Family:
        """That of the data."""
        return self.rows.family

    @property
    def observed(self) -> Observed:
        """The response."""
        return self.rows.observed

    @property
    def information(self) -> Information:
        """Whose determinant the Laplace approximation takes."""
        return self.rows.information

    @property
    def n_data(self) -> int:
        """Number n of rows of the data."""
        return self.rows.observed.n

    @property
    def n_auxiliary(self) -> int:
        """Number of auxiliary variables."""
        return len(self.laws) + self.rows.n_auxiliary

    def _of_data(self, eta: Array, auxiliary: Sequence[Array]) -> tuple[Array, list[Array]]:
        n, size = self.n_data, eta.shape[-1]
        rest = auxiliary[len(self.laws) :]
        return eta[..., :n], [values[..., :n] if np.shape(values)[-1:] == (size,) else values for values in rest]

    def arguments(self, eta: Array, auxiliary: Sequence[Array]) -> tuple[Array, Array]:
        """Return the linear predictors of the data as the family takes them, and the family-wide parameters."""
        return self.rows.arguments(*self._of_data(eta, auxiliary))

    def _effects(self, eta: Array, auxiliary: Sequence[Array]) -> list[dict[tuple[int, ...], Array]]:
        """Log-density of every level over the standard normal one, with its derivatives, by term."""
        out = []
        for placed, log_lambda in zip(self.laws, auxiliary, strict=False):
            v = eta[..., placed.rows]
            parts = dict(placed.law.derivatives(v, float(log_lambda)))
            parts[()] = parts[()] + 0.5 * v**2 + HALF_LOG_2PI
            parts[(0,)] = parts[(0,)] + v
            parts[0, 0] = parts[0, 0] + 1.0
            out.append(parts)
        return out

    def value(self, eta: Array, auxiliary: Sequence[Array]) -> Array:
        """Return the log-likelihood of every row."""
        effects = self._effects(eta, auxiliary)
        return _joined(self.rows.value(*self._of_data(eta, auxiliary)), [parts[()] for parts in effects])

    def quadratic(self, eta: Array, auxiliary: Sequence[Array]) -> tuple[Array, Array, Array]:
        """Return the log-likelihood up to terms without ``eta``, its derivative, and minus the second derivative."""
        value, gradient, weight = self.rows.quadratic(*self._of_data(eta, auxiliary))
        effects = self._effects(eta, auxiliary)
        return (
            _joined(value, [parts[()] for parts in effects]),
            _joined(gradient, [parts[(0,)] for parts in effects]),
            _joined(weight, [-parts[0, 0] for parts in effects]),
        )

    def scores(self, eta: Array, auxiliary: Sequence[Array]) -> tuple[Array, Array, tuple[Array, ...]]:
        """Return the log-likelihood and its first derivatives in ``eta`` and in the auxiliary variables."""
        value, gradient, slopes = self.rows.scores(*self._of_data(eta, auxiliary))
        effects = self._effects(eta, auxiliary)
        own = [self._alone(eta.shape, k, parts[(1,)]) for k, parts in enumerate(effects)]
        rest = [self._padded(eta.shape, slope) for slope in slopes]
        return (
            _joined(value, [parts[()] for parts in effects]),
            _joined(gradient, [parts[(0,)] for parts in effects]),
            (*own, *rest),
        )

    def expansion(self, eta: Array, auxiliary: Sequence[Array]) -> Expansion:
        """Return everything up to the third order."""
        data, effects, shape = (
            self.rows.expansion(*self._of_data(eta, auxiliary)),
            self._effects(eta, auxiliary),
            eta.shape,
        )
        parts = [
            AuxiliaryPart(self._alone(shape, k, p[(1,)]), self._alone(shape, k, p[0, 1])) for k, p in enumerate(effects)
        ]
        parts += [AuxiliaryPart(self._padded(shape, p.slope), self._padded(shape, p.mixed)) for p in data.auxiliary]
        observed = self._curve(shape, data.observed, effects)
        same = data.determinant is data.observed
        return Expansion(
            _joined(data.value, [p[()] for p in effects]),
            _joined(data.gradient, [p[(0,)] for p in effects]),
            observed,
            observed if same else self._curve(shape, data.determinant, effects),
            tuple(parts),
        )

    def _curve(self, shape: tuple[int, ...], data: Curve, effects: list[dict[tuple[int, ...], Array]]) -> Curve:
        own = [self._alone(shape, k, -parts[0, 0, 1]) for k, parts in enumerate(effects)]
        return Curve(
            _joined(data.weight, [-parts[0, 0] for parts in effects]),
            _joined(data.slope, [-parts[0, 0, 0] for parts in effects]),
            (*own, *(self._padded(shape, part) for part in data.auxiliary)),
        )

    def fourth(self, eta: Array, auxiliary: Sequence[Array]) -> Array:
        """Return the fourth derivative (n,) of the log-likelihood in ``eta``, by a five-point rule."""
        total = np.zeros(eta.shape)
        for offset, weight in ((1.0, 8.0), (2.0, -1.0)):
            for sign in (1.0, -1.0):
                moved = self.expansion(eta + sign * offset * STEP, auxiliary)
                total += sign * weight * -moved.observed.slope
        return np.asarray(total / (12.0 * STEP))

    def _alone(self, shape: tuple[int, ...], k: int, values: Array) -> Array:
        """Values in the rows of one law, zero in all others."""
        out = np.zeros(shape)
        out[..., self.laws[k].rows] = values
        return out

    def _padded(self, shape: tuple[int, ...], values: Array) -> Array:
        """Values in the rows of the data, zero in those of the laws."""
        out = np.zeros(shape)
        out[..., : self.n_data] = values
        return out


def _joined(data: Array, effects: list[Array]) -> Array:
    return np.concatenate([np.asarray(data), *effects], axis=-1)


@dataclass(frozen=True)
class HierarchicalProblem(GeneralizedProblem):
    """A hierarchical generalised linear model ready to be evaluated.

    Attributes
    ----------
    laws : tuple of PlacedLaw
        Of the terms that are not normal, in the order of the formula.
    normal : GeneralizedProblem
        The same model with normal effects throughout, on the same inner scale; its design is that of the data.
    """

    laws: tuple[PlacedLaw, ...] = ()
    normal: GeneralizedProblem | None = None

    @property
    def twin(self) -> GeneralizedProblem:
        """The model with normal effects throughout."""
        assert self.normal is not None
        return self.normal

    @property
    def lambda_slice(self) -> slice:
        """Positions of the logarithms of lambda in ``x``."""
        stop = self.theta_slice.stop
        return slice(stop, stop + len(self.laws))

    @cached_property
    def component_slices(self) -> dict[str, slice]:
        """Positions of the coefficients of every further linear predictor among all parameters."""
        stop = self.theta_slice.stop
        pairs = zip(self.components, self.model.extra_slices[len(self.laws) :], strict=False)
        return {c.name: slice(stop + at.start, stop + at.stop) for c, at in pairs}

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds (k,) of ``x`` for the search."""
        lower, upper = super().bounds
        lower[self.lambda_slice], upper[self.lambda_slice] = np.log(SMALLEST_LAMBDA), np.log(LARGEST_LAMBDA)
        return lower, upper

    def law_of(self, term: int) -> Law | None:
        """Return the law of a term of the formula; None if it is normal."""
        return next((placed.law for placed in self.laws if placed.term == term), None)

    def with_observed(self, observed: Observed) -> Self:
        """Return the problem with another response; all else is shared."""
        twin = self.twin.with_observed(observed)
        rows = twin.model.likelihood
        likelihood = replace(cast(AugmentedLikelihood, self.model.likelihood), rows=rows)
        model = replace(self.model, likelihood=cast(FamilyLikelihood, likelihood))
        return replace(self, observed=observed, model=model, normal=twin)

    def with_design(self, design: Design) -> GeneralizedProblem:
        """Return the problem of the same model for ``design``, which differs in its random terms only."""
        laws = [self.law_of(k) for k in range(len(design.random))]
        return hierarchical_problem(design, self.family, self.observed, laws, self.components)

    @property
    def start(self) -> Array:
        """Parameters ``x`` to begin with: those of the model with normal effects, variances as lambda."""
        start, twin = self.twin.start, self.twin
        at, theta, sizes = twin.theta_slice, [], []
        for k, slot in enumerate(twin.covariance.terms):
            own = start[at][slot.theta]
            law = self.law_of(k)
            if law is None:
                theta.append(own)
                continue
            root = twin.terms[k].matrix @ slot.covariance.factor(own)
            size = np.clip(law.start(float(root[0, 0] ** 2)), SMALLEST_START, LARGEST_START)
            sizes.append(np.log(size))
        return np.concatenate([start[: at.start], *theta, np.array(sizes), start[at.stop :]])


def hierarchical_problem(
    design: Design,
    family: Family,
    observed: Observed,
    laws: Sequence[Law | None],
    components: Sequence[Component] = (),
) -> HierarchicalProblem:
    """Put the rows of the data and of the levels together.

    Parameters
    ----------
    design : Design
        Terms with a law are intercepts with independent levels.
    family : Family
        With one linear predictor more than ``components``.
    observed : Observed
        The response.
    laws : sequence of Law or None
        Of every random term; None for a normal one.
    components : sequence of Component
        The further linear predictors.
    """
    twin = generalized_problem(
        _with_covariances(design, laws), family, observed, information=OBSERVED, components=components
    )
    chosen = [k for k, law in enumerate(laws) if law is not None]
    sizes = [design.random[k].n_levels for k in chosen]
    starts = np.cumsum([len(design.index), *sizes])
    placed = tuple(
        PlacedLaw(laws[k], k, slice(int(a), int(a) + size))  # type: ignore[arg-type]
        for k, a, size in zip(chosen, starts, sizes, strict=False)
    )
    bases = tuple(
        basis if law is None else TermBasis(StandardEffect(), np.eye(1), np.ones(1))
        for basis, law in zip(twin.terms, laws, strict=True)
    )
    own = tuple(
        term if law is None else replace(term, covariance=StandardEffect())
        for term, law in zip(design.random, laws, strict=True)
    )
    first = [_first_rows(design.random[k]) for k in chosen]
    rows = [_augmented(term, k, basis, placed, first) for k, (term, basis) in enumerate(zip(own, bases, strict=True))]
    extra = int(sum(sizes))
    assembly = assemble(rows, np.zeros((len(design.index) + extra, 0)))
    inner = twin.model

    def padded(matrix: Array) -> Array:
        return np.concatenate([matrix, np.zeros((extra, *matrix.shape[1:]))])

    further = [
        Auxiliary(padded(a.matrix), a.offset) if len(a.matrix) == len(design.index) and k < len(components) else a
        for k, a in enumerate(inner.auxiliaries)
    ]
    model = MarginalModel(
        RowMap(assembly.rows),
        assembly.covariance,
        np.asfortranarray(padded(inner.X)),
        padded(inner.offset),
        cast(FamilyLikelihood, AugmentedLikelihood(inner.likelihood, placed)),
        (*(Auxiliary(np.ones((1, 1))) for _ in placed), *further),
        inner.penalty,
    )
    return HierarchicalProblem(
        replace(design, random=own),
        assembly,
        twin.bases,
        bases,
        family,
        observed,
        model,
        tuple(components),
        twin.shift,
        laws=placed,
        normal=twin,
    )


def _with_covariances(design: Design, laws: Sequence[Law | None]) -> Design:
    """The design with a variance of its own for every term, also where a law stands in the place of one."""
    random = tuple(
        replace(term, covariance=covariance_for("us", 1)) if isinstance(term.covariance, StandardEffect) else term
        for term in design.random
    )
    return replace(design, random=random)


def _first_rows(term: RandomEffects) -> IntArray:
    """The first row (m,) of every level."""
    levels, first = np.unique(term.codes, return_index=True)
    out = np.zeros(term.n_levels, dtype=np.intp)
    out[levels] = first
    return out


def _augmented(
    term: RandomEffects, k: int, basis: TermBasis, laws: Sequence[PlacedLaw], first: Sequence[IntArray]
) -> TermRows:
    """One term in the rows of the data and of the laws.

    A row of another term's level lies in a level that the two share somewhere, so that the pattern stays as it is; its
    covariate is zero there.
    """
    codes, z = [term.codes], [(term.matrix @ basis.matrix).T]
    for placed, rows in zip(laws, first, strict=True):
        own = placed.term == k
        codes.append(np.arange(term.n_levels) if own else term.codes[rows])
        z.append(np.full((basis.matrix.shape[1], rows.size), 1.0 if own else 0.0))
    return TermRows(
        term.group, np.concatenate(codes), term.n_levels, np.concatenate(z, axis=1), term.covariance, term.loading
    )
