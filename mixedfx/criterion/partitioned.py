"""A marginal model of rows that stay where they are: every question is a sum over pieces of them.

What a conditional mode, the Laplace approximation and its gradient ask of the rows are sums: the log-likelihood,
``Z'g``, ``Z'WZ``, ``Z'WX``, ``X'WX``. Each kind of question is a class here whose object, called with the rows of one
piece (a :class:`~mixedfx.criterion.marginal.MarginalModel` of them), returns the piece's share. Nothing of the length
of the data is kept: the linear predictor of a row follows from parameters and effects whenever the row is read.

With the adjoint solve ``r = (I + Z'WZ Sigma)^-1 Z'a``, ``s = Sigma r`` of :mod:`mixedfx.criterion.laplace`, products of
the rows with ``v = Z s`` in the gradient are products of sums: ``X'(W o v) = (Z'WX)' s``. So a gradient takes two
passes over the rows at the mode: one for the expansion of the likelihood, one for leverages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from mixedfx._lazy import cached_property
from mixedfx._typing import Array
from mixedfx.criterion.evaluation import Integrator, MarginalEvaluation
from mixedfx.criterion.generalized_problem import GeneralizedProblem
from mixedfx.criterion.laplace import Adjoint, LaplaceEvaluation
from mixedfx.criterion.marginal import Expansion, MarginalModel
from mixedfx.criterion.mode import ModeState
from mixedfx.criterion.newton import TOLERANCE, Mode, ascend, positive_weight
from mixedfx.criterion.start import (
    GAINED,
    HALVINGS,
    RIDGE,
    SWEEPS,
    expected_weights,
    member_shift,
    row_variance,
    theta_of_moments,
)
from mixedfx.linalg.factor import BlockFactor, PatternInverse, factorize
from mixedfx.linalg.gram import Gram, cross_products
from mixedfx.linalg.rowwise import RowMap
from mixedfx.matrices import Design

__all__ = [
    "Largest",
    "PartitionedEvaluation",
    "PartitionedModel",
    "PartitionedProblem",
    "PartitionedState",
    "Pieces",
    "Sums",
    "Work",
    "added",
]

Sums = dict[str, Any]  # shares of pieces: what has the same name is added
Work = Callable[[MarginalModel], Sums]


@dataclass(frozen=True)
class Largest:
    """A share of which the largest counts."""

    value: float

    def __add__(self, other: Largest) -> Largest:
        return self if self.value >= other.value else other


def added(first: Sums, second: Sums) -> Sums:
    """Return the sums of two sets of rows."""
    out = {}
    for name, one in first.items():
        other = second[name]
        together = isinstance(one, list)
        out[name] = [a + b for a, b in zip(one, other, strict=True)] if together else one + other
    return out


class Pieces(Protocol):
    """Rows that are read piece by piece, wherever they are."""

    def reduce(self, work: Work) -> Sums:
        """Return the sums over all rows of what ``work`` gives for each piece."""


# ---------------------------------------------------------------- what is asked of a piece
@dataclass(frozen=True)
class Point:
    """Parameters, and the random effects (q,): what the linear predictor of a row depends on."""

    beta: Array
    extra: Array
    b: Array

    def eta(self, rows: MarginalModel) -> Array:
        """Return the linear predictor (n,)."""
        fixed = rows.fixed_part(self.beta)
        return fixed + rows.space.spread(self.b) if self.b.any() else fixed

    def expansion(self, rows: MarginalModel) -> Expansion:
        """Return the expansion of the likelihood."""
        return rows.likelihood.expansion(self.eta(rows), rows.auxiliary_values(self.extra))


@dataclass(frozen=True)
class Quadratic:
    """The quadratic approximation of a penalised log-likelihood, with positive weights where ``mean_size`` is given."""

    point: Point
    mean_size: float | None = None

    def __call__(self, rows: MarginalModel) -> Sums:
        """Return the share of some rows."""
        eta = self.point.eta(rows)
        with np.errstate(over="ignore", invalid="ignore"):  # a wild step is judged by its value and taken back
            value, gradient, weight = rows.likelihood.quadratic(eta, rows.auxiliary_values(self.point.extra))
            weight = weight if self.mean_size is None else positive_weight(weight, self.mean_size)
            working = gradient + weight * rows.space.spread(self.point.b)
            return {
                "value": float(value.sum()),
                "gram": cross_products(rows.space.rows, weight).arrays,
                "side": rows.space.collect(working[:, None]),
                "size": float(np.abs(weight).sum()),
                "count": len(eta),
            }


@dataclass(frozen=True)
class Curves:
    """The expansion of the likelihood at a mode, in sums."""

    point: Point

    def __call__(self, rows: MarginalModel) -> Sums:
        """Return the share of some rows."""
        e, space, X = self.point.expansion(rows), rows.space, rows.X
        weighted = X * e.observed.weight[:, None]
        parts = list(zip(rows.auxiliary_matrices, e.auxiliary, strict=True))
        mixed = _joined([m * part.mixed[:, None] for m, part in parts], len(X))
        scores = _joined([m * part.slope[:, None] for m, part in parts], len(X))
        same = e.determinant is e.observed
        return {
            "value": float(e.value.sum()),
            "gram": cross_products(space.rows, e.observed.weight).arrays,
            "determinant": [] if same else cross_products(space.rows, e.determinant.weight).arrays,
            "score": X.T @ e.gradient,
            "side": space.collect(weighted),
            "information": X.T @ weighted,
            "mixed side": space.collect(mixed),
            "mixed": X.T @ mixed,
            "scores": scores.sum(axis=0),
            "squares": scores.T @ scores,
            "largest": Largest(float(np.abs(X @ self.point.beta).max(initial=0.0))),
        }


@dataclass(frozen=True)
class Leverages:
    """What the gradient needs of the leverages ``h_i = z_i' K z_i``."""

    point: Point
    inverse: PatternInverse

    def __call__(self, rows: MarginalModel) -> Sums:
        """Return the share of some rows."""
        curve = self.point.expansion(rows).determinant
        half = 0.5 * rows.space.leverages(self.inverse)
        a = half * curve.slope
        further = [m.T @ (half * slope) for m, slope in zip(rows.auxiliary_matrices, curve.auxiliary, strict=True)]
        return {
            "side": rows.space.collect(a[:, None]),
            "fixed": rows.X.T @ a,
            "extra": np.concatenate(further) if further else np.zeros(0),
        }


@dataclass(frozen=True)
class Together:
    """Several questions in one pass."""

    works: tuple[Work, ...]

    def __call__(self, rows: MarginalModel) -> Sums:
        """Return the shares of some rows, by question."""
        return {f"{k} {name}": share for k, work in enumerate(self.works) for name, share in work(rows).items()}

    def separated(self, sums: Sums) -> list[Sums]:
        """Return the sums of each question."""
        out: list[Sums] = [{} for _ in self.works]
        for key, total in sums.items():
            k, _, name = key.partition(" ")
            out[int(k)][name] = total
        return out


@dataclass(frozen=True)
class First:
    """What starting values need to begin with."""

    def __call__(self, rows: MarginalModel) -> Sums:
        """Return the share of some rows."""
        eta = rows.likelihood.family.start_eta(rows.likelihood.observed)
        return {
            "square": rows.X.T @ rows.X,
            "sum": rows.X.sum(axis=0),
            "offset": rows.X.T @ rows.offset,
            "eta": rows.X.T @ eta,
            "total": float(eta.sum()),
            "count": len(eta),
        }


@dataclass(frozen=True)
class Scores:
    """A step of scoring without random effects, with the observed or the ``expected`` weights."""

    beta: Array
    extra: Array
    expected: bool = False

    def __call__(self, rows: MarginalModel) -> Sums:
        """Return the share of some rows."""
        eta, auxiliary = rows.fixed_part(self.beta), rows.auxiliary_values(self.extra)
        value, gradient, weight = rows.likelihood.quadratic(eta, auxiliary)
        weight = expected_weights(rows, eta, auxiliary) if self.expected else weight
        return {
            "value": float(value.sum()),
            "score": rows.X.T @ gradient,
            "information": rows.X.T @ (rows.X * weight[:, None]),
            "negative": int(np.sum(~(weight > 0))),
        }


@dataclass(frozen=True)
class Moments:
    """Moments of the scores without random effects."""

    beta: Array
    extra: Array

    def __call__(self, rows: MarginalModel) -> Sums:
        """Return the share of some rows."""
        eta, auxiliary = rows.fixed_part(self.beta), rows.auxiliary_values(self.extra)
        _, gradient, _ = rows.likelihood.quadratic(eta, auxiliary)
        weight = expected_weights(rows, eta, auxiliary)
        squares = [np.square(z) for covariates in rows.space.rows.z for z in covariates]
        return {
            "side": rows.space.collect(gradient[:, None]),
            "expected": np.array([weight @ square for square in squares]),
            "squares": np.array([square.sum() for square in squares]),
            "gram": cross_products(rows.space.rows, weight).arrays,
            "count": len(eta),
        }


@dataclass(frozen=True)
class Variances:
    """Variances of the random part of the linear predictor."""

    theta: Array

    def __call__(self, rows: MarginalModel) -> Sums:
        """Return the share of some rows."""
        return {"total": float(row_variance(rows, self.theta).sum())}


@dataclass(frozen=True)
class Shifts:
    """From the population's mean to that of its members: see :func:`~mixedfx.criterion.start.member_shift`."""

    beta: Array
    theta: Array
    typical: float

    def __call__(self, rows: MarginalModel) -> Sums:
        """Return the share of some rows."""
        return {"side": rows.X.T @ member_shift(rows, self.beta, row_variance(rows, self.theta), self.typical)}


def _joined(columns: Sequence[Array], n: int) -> Array:
    return np.concatenate(columns, axis=1) if columns else np.zeros((n, 0))


# ---------------------------------------------------------------- the model, its states and its evaluations
@dataclass(frozen=True)
class PartitionedModel(MarginalModel):
    """A marginal model whose rows are read whenever they are needed.

    Attributes
    ----------
    pieces : Pieces
    space, X, offset, likelihood
        Of rows that stand for all: which levels there are and meet, not what was observed.
    """

    pieces: Pieces = field(kw_only=True)

    @cached_property
    def _blank(self) -> Gram:
        return cross_products(self.space.rows)

    def gram_of(self, arrays: Sequence[Any]) -> Gram:
        """Return the cross-products that were summed."""
        return self._blank.with_arrays(arrays)


@dataclass(frozen=True)
class _Place:
    """A point of the search for the mode."""

    mode: Mode
    value: float
    gram: Gram
    side: Array
    mean_weight: float


def _mode(
    model: PartitionedModel,
    beta: Array,
    extra: Array,
    factors: Sequence[Array],
    start: tuple[Array, Array] | None,
    tolerance: float,
) -> Mode:
    """Find the conditional mode (see :func:`~mixedfx.criterion.mode.find_mode`), one pass over the rows a step."""
    space, none = model.space, np.zeros(0)

    def evaluate(mode: Mode) -> _Place:
        sums = model.pieces.reduce(Quadratic(Point(beta, extra, mode.b)))
        value = sums["value"] - 0.5 * float(mode.t @ mode.b)
        return _Place(mode, value, model.gram_of(sums["gram"]), sums["side"], sums["size"] / sums["count"])

    def newton(place: _Place) -> Mode:
        try:
            factor, side = factorize(place.gram, factors), place.side
        except FloatingPointError:
            sums = model.pieces.reduce(Quadratic(Point(beta, extra, place.mode.b), place.mean_weight))
            factor, side = factorize(model.gram_of(sums["gram"]), factors), sums["side"]
        b, t = space.solve(factor, side)
        return Mode(b[:, 0], t[:, 0], none, converged=False)

    def decrement(place: _Place, full: Mode) -> float:
        change = full.b - place.mode.b
        return abs(float(change @ _times(space, place.gram, change))) + abs(float((full.t - place.mode.t) @ change))

    if start is not None and start[0].any():
        mode = ascend(newton, evaluate, decrement, Mode(*start, none, converged=False), tolerance)
        if mode.converged:
            return mode
    zero = np.zeros(space.n_effects)
    return ascend(newton, evaluate, decrement, Mode(zero, zero, none, converged=False), tolerance)


def _times(space: RowMap, gram: Gram, effects: Array) -> Array:
    """``Z'WZ effects`` for effects (q,)."""
    out = np.zeros_like(effects)
    for f, part in enumerate(space.split(effects)):
        chain, rest = gram.times(f, np.ascontiguousarray(part[:, :, None]))
        out += np.concatenate([*[c.reshape(-1) for c in chain], rest[:, 0]])
    return out


@dataclass(frozen=True)
class PartitionedState(ModeState):
    """A conditional mode of rows that are not kept: what they tell of it are sums, made in one pass.

    Attributes
    ----------
    kin : list of PartitionedState
        States of which the same will be asked, so that one pass serves all.
    """

    model: PartitionedModel
    kin: list[PartitionedState] = field(default_factory=list, compare=False)

    @property
    def point(self) -> Point:
        """What the linear predictor depends on."""
        return Point(self.parts.beta, self.parts.extra, self.mode.b)

    def _asked(self, name: str, question: Callable[[PartitionedState], Work]) -> Sums:
        """The answer to a question, which its kin get in the same pass."""
        if name not in self.__dict__:
            alike = [other for other in self.kin or [self] if name not in other.__dict__]
            together = Together(tuple(question(other) for other in alike))
            for other, sums in zip(alike, together.separated(self.model.pieces.reduce(together)), strict=True):
                other.__dict__[name] = sums
        found: Sums = self.__dict__[name]
        return found

    @property
    def curves(self) -> Sums:
        """Sums of the expansion of the likelihood: see :class:`Curves`."""
        return self._asked("_curves", lambda state: Curves(state.point))

    @property
    def leverages(self) -> Sums:
        """Sums of the leverages: see :class:`Leverages`."""
        return self._asked("_leverages", lambda state: Leverages(state.point, state.determinant_factor.inverse))

    @property
    def log_likelihood(self) -> float:
        """Sum over the rows at the mode."""
        return float(self.curves["value"])

    @cached_property
    def gram(self) -> Gram:
        """Cross-products with the observed weights."""
        return self.model.gram_of(self.curves["gram"])

    @cached_property
    def determinant_factor(self) -> BlockFactor:
        """The factor whose determinant is the Laplace approximation's."""
        arrays = self.curves["determinant"]
        return factorize(self.model.gram_of(arrays), self.factors) if arrays else self.factor

    @property
    def fixed_side(self) -> Array:
        """``Z'W X`` (q, p)."""
        return np.asarray(self.curves["side"])

    @property
    def fixed_information(self) -> Array:
        """``X'W X`` (p, p)."""
        return np.asarray(self.curves["information"])

    @property
    def auxiliary_sides(self) -> list[Array]:
        """``Z'`` (q, k) times the derivative of the score in the auxiliary variables, in their parameters."""
        return [self.curves["mixed side"]]

    @property
    def auxiliary_information(self) -> tuple[Array, Array]:
        """``X'`` times the same (p, k), and the products (k, k) of the scores of the extra parameters."""
        return self.curves["mixed"], self.curves["squares"]

    def predicted(self, xs: Sequence[Array]) -> list[ModeState]:
        """Return the states that the derivatives of the mode predict at points close by."""
        kin: list[PartitionedState] = []
        for x in xs:
            b, t = _predicted(self, x)
            kin.append(PartitionedState(self.model, x, Mode(b, t, np.zeros(0)), kin=kin))
        return list(kin)


def _predicted(near: ModeState, x: Array) -> tuple[Array, Array]:
    (db, dt), change = near.movement, x - near.x
    return near.mode.b + db @ change, near.mode.t + dt @ change


@dataclass(frozen=True)
class PartitionedEvaluation(LaplaceEvaluation):
    """Minus twice the Laplace log-likelihood of rows that are not kept."""

    state: PartitionedState

    @cached_property
    def adjoint(self) -> Adjoint:
        """How the determinant changes when the mode moves; ``v`` is ``Sigma r`` (q,) itself."""
        inside, outside = self.model.space.solve(self.state.factor, self.state.leverages["side"])
        return Adjoint(np.zeros(0), outside[:, 0], inside[:, 0])

    @cached_property
    def gradient(self) -> Array:
        """Exact gradient (len(x),)."""
        state, model, moved = self.state, self.model, self.adjoint.v
        curves, leverages = state.curves, state.leverages
        beta = 2.0 * (leverages["fixed"] - curves["score"] - curves["side"].T @ moved)
        theta = model.covariance.gradient(state.sigma_derivatives, self.covariance_gradient)
        extra = 2.0 * (leverages["extra"] + curves["mixed side"].T @ moved - curves["scores"])
        return np.concatenate([beta + model.penalty.gradient(state.parts.beta), theta, extra])


@dataclass(frozen=True)
class PartitionedProblem(GeneralizedProblem):
    """A generalised mixed model of rows that are read whenever they are needed.

    Attributes
    ----------
    model : PartitionedModel
    phi_start : (m,)
        Family-wide parameters to begin with.
    log_precision : float
        Mean logarithm of the weights that divide the dispersion.
    rebuilt : callable
        From another design of the same rows to its problem.
    """

    model: PartitionedModel
    phi_start: Array = field(kw_only=True)
    log_precision: float = field(default=0.0, kw_only=True)
    rebuilt: Callable[[Design], PartitionedProblem] = field(kw_only=True, repr=False)

    def log_weight(self, name: str) -> float:
        """Return the logarithm of a typical weight where ``name`` is what the weights divide, else 0."""
        return self.log_precision if name == "dispersion" else 0.0

    def evaluate(
        self,
        x: Array,
        integrate: Integrator = PartitionedEvaluation,  # type: ignore[assignment]
        near: ModeState | None = None,
        tolerance: float = TOLERANCE,
    ) -> MarginalEvaluation:
        """Evaluate the Laplace approximation at ``x`` (k,), on the inner scale."""
        model, parts = self.model, self.model.parts(x)
        start = None if near is None else _predicted(near, x)
        mode = _mode(model, parts.beta, parts.extra, model.covariance.factors(parts.theta), start, tolerance)
        return integrate(PartitionedState(model, x, mode))

    @property
    def start(self) -> Array:
        """Parameters ``x`` to begin with, as :func:`~mixedfx.criterion.start.starting_values` has them."""
        model, extra = self.model, self.phi_start + self.phi_log_weights
        first = model.pieces.reduce(First())
        beta = self._scored(first, extra)
        sums = model.pieces.reduce(Moments(beta, extra))
        shared, squares = model.gram_of(sums["gram"]).squared_norms(), sums["squares"] / sums["count"]
        theta = np.zeros(0)
        if model.covariance.terms:
            theta = theta_of_moments(model, sums["side"][:, 0], sums["expected"], shared, squares, 1.0)
        if beta.size:
            typical = model.pieces.reduce(Variances(theta))["total"] / first["count"]
            side = model.pieces.reduce(Shifts(beta, theta, typical))["side"]
            beta = beta + _least_squares(first["square"], side)
        return np.concatenate([beta, theta, extra])

    def _scored(self, first: Sums, extra: Array) -> Array:
        """Coefficients without random effects: Fisher scoring from a constant, halved until it gains."""
        if self.model.n_fixed == 0:
            return np.zeros(0)
        reduce, mean = self.model.pieces.reduce, first["total"] / first["count"]
        beta = _least_squares(first["square"], mean * first["sum"] - first["offset"])
        here = reduce(Scores(beta, extra))
        if not np.isfinite(here["value"]):
            beta = _least_squares(first["square"], first["eta"] - first["offset"])
            here = reduce(Scores(beta, extra))
        for _ in range(SWEEPS):
            better = self._improved(beta, here, extra)
            if better is None:
                break
            gained = better[1]["value"] - here["value"]
            beta, here = better
            if gained < GAINED:
                break
        return beta

    def _improved(self, beta: Array, here: Sums, extra: Array) -> tuple[Array, Sums] | None:
        """One step of scoring; None if nothing is gained."""
        reduce = self.model.pieces.reduce
        sums = reduce(Scores(beta, extra, expected=True)) if here["negative"] else here
        information = sums["information"].copy()
        information.flat[:: beta.size + 1] += RIDGE * (float(np.trace(information)) + 1.0) / beta.size
        step = np.linalg.solve(information, sums["score"])
        for halving in range(HALVINGS):
            trial = beta + 0.5**halving * step
            there = reduce(Scores(trial, extra))
            if np.isfinite(there["value"]) and (there["value"] > here["value"] or not np.isfinite(here["value"])):
                return trial, there
        return None

    def with_design(self, design: Design) -> PartitionedProblem:
        """Return the problem of the same model for ``design``, which differs in its random terms only."""
        return self.rebuilt(design)


def _least_squares(square: Array, side: Array) -> Array:
    return np.asarray(np.linalg.lstsq(square, side, rcond=None)[0])
