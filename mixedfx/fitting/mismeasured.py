"""Estimates of a model whose predictors were measured with error: the joint likelihood, and what all methods share.

Standard errors of the joint likelihood come from the observed information about all parameters, those of the
measurements among them, so that the uncertainty of an estimated error variance is in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.covariance import covariance_for
from mixedfx.criterion.boundary import curvature_verdict, followed, settled, variance_verdicts
from mixedfx.criterion.exposure import Exposure
from mixedfx.criterion.generalized_problem import Component, generalized_problem
from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.criterion.marginal import OBSERVED
from mixedfx.criterion.mismeasured import SMALLEST_LOG_SD, JointEvaluation, JointProblem
from mixedfx.criterion.mode import known_state
from mixedfx.exceptions import DataError
from mixedfx.families import Family
from mixedfx.families.blurred import blurred
from mixedfx.fitting.certificate import Certificate
from mixedfx.fitting.control import Control
from mixedfx.fitting.corrected import CorrectedFit, Correction, MeasurementTable
from mixedfx.fitting.generalized import GeneralizedFit, unit_at
from mixedfx.fitting.integrators import check_quadrature, integrator
from mixedfx.fitting.likelihood import Likelihood, inverse_information, opened
from mixedfx.fitting.reported import Reported, generalized_reported, term_entries
from mixedfx.fitting.response import FamilyResponse, GaussianResponse, ResponseModel
from mixedfx.formula import Expression
from mixedfx.matrices import Design, FixedEffects, RandomEffects
from mixedfx.matrices.encoder import Encoder
from mixedfx.matrices.frame import FrameRows
from mixedfx.matrices.measured import Measurements
from mixedfx.optimize import Optimum, minimize

__all__ = ["calibrated_design", "evaluated_joint", "fit_joint", "joint_problem", "response_given"]

FLAT = 1e-6  # curvature of -2 log L in a parameter, with its slope, below which it has run to its limit


# ---------------------------------------------------------------- the problem
def joint_problem(design: Design, family: Family, data: Measurements, nodes: int) -> JointProblem:
    """Return the joint likelihood of the response of ``design`` and of the measurements.

    Parameters
    ----------
    design : Design
        With the mean measurements for predictors.
    family : Family
    data : Measurements
    nodes : int
        Of the integral over the random effects in each dimension; 1 is the Laplace approximation.
    """
    components: list[Component] = []
    if data.codes is None:
        family = blurred(family)
        components = [Component("error", replace(design.fixed, matrix=np.zeros((design.n_rows, 0)), names=()))]
    else:
        design = replace(design, random=(*design.random, _remainder(design, data)))
    response = design.response
    observed = family.observe(response.values, trials=response.trials, weights=design.weights)
    problem = generalized_problem(design, family, observed, information=OBSERVED, components=components)
    if nodes > 1:
        check_quadrature(problem, nodes)
    integrate = integrator(problem, nodes) if design.random else LaplaceEvaluation
    return JointProblem(problem, Exposure(data), integrate)


def _remainder(design: Design, data: Measurements) -> RandomEffects:
    """The random term of the units that holds what their measurements leave open of the linear predictor."""
    term: Any = data.term
    out: RandomEffects = replace(
        term,
        matrix=np.ones((design.n_rows, 1), order="F"),
        names=data.names,
        covariance=covariance_for("us", 1),
        term=f"(0 + {data.names[0]} | {data.group})",
        loading=None,
    )
    return out


def calibrated_design(design: Design, data: Measurements, mean: Array) -> Design:
    """Return the design with the expected true values (U, K) in the place of their measurements."""
    matrix = np.array(design.fixed.matrix, order="F")
    matrix[:, data.places] = data.at_rows(mean)
    return replace(design, fixed=replace(design.fixed, matrix=matrix))


# ---------------------------------------------------------------- the search
def fit_joint(
    joint: JointProblem, design: Design, family: Family, start: Array, control: Control, is_linear: bool
) -> CorrectedFit:
    """Maximise the joint likelihood.

    Parameters
    ----------
    joint : JointProblem
    design : Design
        As users see it, with the mean measurements for predictors.
    family : Family
        Of the response given the true values.
    start : (k,)
        Parameters of ``joint`` to begin with.
    control : Control
    is_linear : bool
        Whether results are those of a linear model.

    Raises
    ------
    DataError
        If the likelihood cannot be computed where the search begins.
    """
    last: list[JointEvaluation] = []
    accepted: list[JointEvaluation] = []

    def function(x: Array) -> JointEvaluation:
        if last and last[0].known_hessian is not None:  # the search went on from there
            accepted[:] = last
        point = joint.evaluate(x, accepted[0] if accepted else None)
        last[:] = [point]
        return point

    def hessian(point: JointEvaluation) -> Array:
        return point.hessian(central=False)

    try:
        optimum = minimize(
            function,
            start,
            *joint.bounds,
            tol=control.tol,
            max_iter=control.max_iter,
            callback=control.callback(_same),
            hessian=hessian,
        )
        point = _settled(joint, optimum.point)
    except FloatingPointError as error:
        raise DataError(
            f"the likelihood of {design.response.name!r} and its measurements cannot be computed ({error}): do columns "
            "differ much in size, or are there values that the family can hardly produce?"
        ) from error
    return evaluated_joint(point, design, family, is_linear, optimum)


def _same(x: Array) -> Array:
    return x


def _settled(joint: JointProblem, point: JointEvaluation) -> JointEvaluation:
    """The evaluation with negligible variances set to exactly zero."""
    if joint.of_groups or not joint.problem.design.random:
        return point
    theta = settled(joint.problem.covariance, point.response, unit_at(point.response))
    if np.array_equal(theta, point.response.theta):
        return point
    x = point.x.copy()
    x[joint.problem.theta_slice] = theta
    moved = joint.evaluate(x, point)
    return moved if moved.value <= point.value + 1e-9 * abs(point.value) else point


def evaluated_joint(
    point: JointEvaluation, design: Design, family: Family, is_linear: bool, optimum: Optimum[Any] | None = None
) -> CorrectedFit:
    """Return the fit at the estimate; ``optimum`` says how it was found, None if it was known."""
    joint, data = point.joint, point.joint.exposure.data
    hessian = point.hessian()
    lower, upper = joint.bounds
    ended = (np.abs(hessian.diagonal()) < FLAT) & (np.abs(point.gradient) < FLAT)
    free = (point.x > lower) & (point.x < upper) & ~ended
    covariance = np.zeros_like(hessian)
    covariance[np.ix_(free, free)] = 2.0 * inverse_information(hessian[np.ix_(free, free)])
    unknown = np.isnan(covariance.diagonal())
    unknown[joint.problem.model.n_fixed :] = False
    covariance = np.nan_to_num(covariance)
    inner = _inner(point, design)
    psi = point.x[joint.n_own :]
    moved = joint.exposure.natural_slopes(psi)
    table = MeasurementTable(
        tuple(joint.exposure.natural_names()),
        joint.exposure.natural(psi),
        moved @ covariance[joint.n_own :, joint.n_own :] @ moved.T,
    )
    into = _into_whole(point)
    whole = into @ covariance @ into.T
    lost = np.abs(into) @ unknown > 0  # fixed effects without information keep their nan
    whole[lost], whole[:, lost] = np.nan, np.nan
    outer = calibrated_design(design, data, point.posterior.mean)
    correction = Correction(
        "ml",
        data,
        table,
        point.posterior.mean,
        point.posterior.covariance,
        joint.exposure.mean_errors(psi),
        whole,
        family,
        _response(point, outer, family),
        -0.5 * float(point.value),
        point.x.size,
        inner.scale,
        _certificate(point, hessian, free, optimum),
        is_linear,
        tuple(_notes(point, ended)),
        point.x,
        _likelihood(point, hessian, covariance, free),
        free & ~unknown,
        _reported(joint),
    )
    return CorrectedFit(inner, outer, correction)


@dataclass(frozen=True)
class _Nearby:
    """Minus twice the joint log-likelihood at ``phi`` (k,), with the ``hessian`` (k, k) at the estimate."""

    estimate: JointEvaluation
    hessian: Array
    phi: Array

    @cached_property
    def at(self) -> JointEvaluation:
        """The evaluation."""
        return self.estimate.joint.evaluate(self.phi, self.estimate)

    @property
    def value(self) -> float:
        """The criterion."""
        return self.at.value

    @property
    def gradient(self) -> Array:
        """Its gradient (k,)."""
        return self.at.gradient

    @property
    def hessian_is_exact(self) -> bool:
        """Always false: it is that of the estimate."""
        return False


def _likelihood(point: JointEvaluation, hessian: Array, covariance: Array, free: BoolArray) -> Likelihood:
    """The joint likelihood around the estimate, for intervals and profiles."""
    joint = point.joint
    place, terms = joint.problem.theta_slice, joint.problem.covariance.terms
    place = slice(place.start, place.stop - joint.of_groups)
    terms = terms[: len(terms) - joint.of_groups]
    family, position = joint.problem.family, np.arange(point.x.size)
    is_variance = family.precision_weights and "dispersion" in family.phi_names
    return Likelihood(
        partial(_Nearby, point, hessian),
        point.x,
        point.value,
        covariance,
        *joint.bounds,
        partial(opened, terms, place, np.full(point.x.size, np.nan)),
        (position >= place.stop) & ~free,
        np.zeros(point.x.size, dtype=bool),
        place,
        tuple(terms),
        joint.n_own - len(family.phi_names) + family.phi_names.index("dispersion") if is_variance else None,
    )


def _reported(joint: JointProblem) -> tuple[Reported, ...]:
    """What the model of the response reports, as functions of the parameters of the joint likelihood."""
    places = np.full(joint.problem.n_parameters, -1)
    places[joint.own] = np.arange(joint.n_own)
    hidden = [name for name, *_ in term_entries(joint.problem.design.random[-1])] if joint.of_groups else []
    numbers = generalized_reported(joint.problem)
    return tuple(number.among_all(places) for number in numbers if number.name not in hidden)


def _inner(point: JointEvaluation, design: Design) -> GeneralizedFit:
    """The fit of the response given the measurements, its predictors the expected true values."""
    joint = point.joint
    problem, whole = joint.problem, joint.whole(point.x)
    model = joint.model_at(point.x, point.posterior)
    own = calibrated_design(problem.design, joint.exposure.data, point.posterior.mean)
    model = replace(model, X=problem.basis.columns(own.fixed.matrix), offset=problem.model.offset)
    state = point.response.state
    b, t = (np.zeros(0), np.zeros(0)) if state is None else (state.mode.b, state.mode.t)
    at = joint.integrate(known_state(model, whole, b, t, True))
    k = whole.size
    found: Optimum[Any] = Optimum(whole, at, 0.0, 0, 0, True, False, (whole,))
    nodes = getattr(getattr(joint.integrate, "keywords", {}).get("rule"), "order", 1)
    return GeneralizedFit(
        replace(problem, design=own, model=model), joint.integrate, found, at, np.full((k, k), np.nan), nodes
    )


def _into_whole(point: JointEvaluation) -> Array:
    """Derivatives (whole, k) of the parameters of the fit inside in those of the joint likelihood."""
    joint = point.joint
    out = np.zeros((joint.problem.n_parameters, point.x.size))
    out[joint.own, np.arange(joint.n_own)] = 1.0
    if joint.of_groups:
        b, place = joint.slopes_of(point.x)[0], joint.exposure.data.places[0]
        out[joint.problem.theta_slice.stop - 1, : joint.problem.model.n_fixed] = (
            np.sign(b) * joint.unit * joint.problem.bases[0].matrix[place]
        )
    return out


def _certificate(point: JointEvaluation, hessian: Array, free: BoolArray, optimum: Optimum[Any] | None) -> Certificate:
    """From the Hessian of the joint likelihood at the estimate."""
    joint = point.joint
    signature = curvature_verdict(hessian, point.gradient, free, point.x)
    signature = followed(signature, lambda x: joint.evaluate(x, point), point.x, point.value, *joint.bounds)
    shown = joint.problem.design.random[: -1 if joint.of_groups else None]
    unit = unit_at(point.response) if shown else 1.0
    verdicts = signature.confirming(variance_verdicts(joint.problem.covariance, point.response, shown, unit))
    counts = (False, 0, 0) if optimum is None else (optimum.cut, optimum.iterations, optimum.evaluations)
    gap = signature.whole_gap if counts[0] else signature.gap
    return Certificate(gap, signature.negative, signature.flat if shown else 0, verdicts, *counts)


def _notes(point: JointEvaluation, ended: BoolArray) -> list[str]:
    joint = point.joint
    start, K = joint.n_own + joint.exposure.n_gamma, joint.exposure.n_values
    rows, columns = np.tril_indices(K)
    logs = point.x[start + np.flatnonzero(rows == columns)]
    notes = []
    if (logs <= SMALLEST_LOG_SD + 1e-6).any():
        notes.append(
            "The measurements vary no more than their errors do: the variance of the true values is estimated as zero, "
            "and their slope means nothing."
        )
    n_phi = len(joint.problem.family.phi_names)
    if n_phi and ended[joint.n_own - n_phi : joint.n_own].any():
        notes.append(
            "The errors of the measurements explain all of the residuals: the residual variance is estimated as zero. "
            "Is the size of the error right?"
        )
    return notes


# ---------------------------------------------------------------- the response
class _NoError(Encoder):
    """The column of an error that only fitted rows have: new rows come with true values."""

    names = ("error",)
    terms: dict[str, tuple[int, ...]] = {}  # noqa: RUF012  (as the class that it is)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """None."""
        return ()

    @property
    def functions(self) -> Mapping[str, Any]:
        """None."""
        return {}

    def columns(self, rows: FrameRows) -> Array:
        """Return zeros (n, 1)."""
        return np.zeros((rows.size, 1))


def _response(point: JointEvaluation, outer: Design, family: Family) -> ResponseModel:
    """The response in the rows of the fit, given the measurements, and in new ones, given the true values."""
    joint = point.joint
    user = joint.problem.to_user(joint.whole(point.x))
    n_theta = sum(term.covariance.n_theta for term in outer.random)
    stop = outer.fixed.matrix.shape[1] + n_theta
    extra = user[joint.problem.theta_slice.stop :]
    b = user[joint.exposure.data.places]
    spread = None if joint.of_groups else joint.spread(b, point.posterior.covariance)
    return response_given(outer, family, user[:stop], extra, spread)


def response_given(outer: Design, family: Family, first: Array, extra: Array, spread: Array | None) -> ResponseModel:
    """Return the response model.

    Parameters
    ----------
    outer : Design
    family : Family
    first : (p + t,)
        Fixed effects and covariance parameters.
    extra : (m,)
        Family-wide parameters.
    spread : (n,) or None
        Standard deviation of what the measurements leave open of the linear predictor of each row.
    """
    if family.name == "gaussian" and family.mean_link.name == "identity":
        sigma2 = float(np.exp(extra[0]))
        weights = np.ones(outer.n_rows) if outer.weights is None else outer.weights
        if spread is not None:
            weights = 1.0 / (1.0 / weights + np.square(spread) / max(sigma2, np.finfo(float).tiny))
        return GaussianResponse(
            replace(outer, weights=weights),
            family,
            float(np.sqrt(sigma2)),
            None,
            np.zeros(0),
            first[: len(outer.fixed.names)],
        )
    response, components, inside = outer.response, [], np.concatenate([first, extra])
    if spread is not None:
        family = blurred(family)
        column = FixedEffects(spread[:, None], ("error",), (), {}, ("error",), {}, np.array([0]), np.eye(1), _NoError())
        components, inside = [Component("error", column)], np.concatenate([first, [1.0], extra])
    observed = family.observe(response.values, trials=response.trials, weights=outer.weights)
    problem = generalized_problem(outer, family, observed, information=OBSERVED, components=components)
    return FamilyResponse(problem, inside)
