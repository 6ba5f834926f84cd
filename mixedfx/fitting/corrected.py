"""A fit whose predictors were measured with error: what an ordinary fit says, with what the errors change.

Inside is a fit of the same model to the true values that the measurements lead one to expect, ``E(x | w, z)``, which
has the corrected coefficients: by joint likelihood its family, or a last random term, holds what they leave open.
Random effects and predictions are those of that fit; errors of the estimates, likelihood and certificate are those of
the correction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from mixedfx._typing import AnyArray, Array, BoolArray
from mixedfx.exceptions import SpecificationError
from mixedfx.families import Family
from mixedfx.fitting.certificate import Certificate
from mixedfx.fitting.errors import PredictorErrors, root_of
from mixedfx.fitting.fit import Fit
from mixedfx.fitting.likelihood import Likelihood
from mixedfx.fitting.reported import Reported
from mixedfx.fitting.response import FamilyResponse, ResponseModel
from mixedfx.matrices import Design, FixedEffects
from mixedfx.matrices.measured import Measurements
from mixedfx.matrices.new_rows import PredictedRows

__all__ = ["CorrectedFit", "Correction", "MeasurementTable"]

METHODS = {"ml": "joint likelihood", "rc": "regression calibration", "moment": "Fuller's moments"}


@dataclass(frozen=True)
class MeasurementTable:
    """What was estimated of the true values and of their measurements.

    Attributes
    ----------
    names : tuple of str
    estimates : (m,)
    covariance : (m, m)
    """

    names: tuple[str, ...]
    estimates: Array
    covariance: Array


@dataclass(frozen=True)
class Correction:
    """How a fit was corrected for the errors of measurements.

    Attributes
    ----------
    method : {"ml", "rc", "moment"}
    data : Measurements
    table : MeasurementTable
    mean, covariance : (U, K), (U, K, K)
        The true values given their measurements.
    errors : (U, K)
        Variance of the error of every mean measurement.
    parameter_covariance : (k, k)
        Of the parameters of the fit inside, on its inner scale, the errors of the measurements accounted for.
    family : Family
        Of the response given the true values.
    response : ResponseModel
        The response given the measurements in the fitted rows, given the true values in new ones.
    llf : float
    n_parameters : int
    scale : float
        Residual variance or dispersion beside the errors of the measurements.
    certificate : Certificate
    is_linear : bool
        Whether the model is a linear one, of lmer.
    notes : tuple of str
    parameters : (k,)
        Where the search for the joint likelihood ended; empty for the other methods.
    likelihood : Likelihood or None
        The joint likelihood around the estimate; None for the other methods.
    known : (k,) bool
        Its parameters that have a standard error.
    reported : tuple of Reported
        The numbers that intervals are made for, as functions of its parameters.
    """

    method: str
    data: Measurements
    table: MeasurementTable
    mean: Array
    covariance: Array
    errors: Array
    parameter_covariance: Array
    family: Family
    response: ResponseModel
    llf: float
    n_parameters: int
    scale: float
    certificate: Certificate
    is_linear: bool
    notes: tuple[str, ...] = ()
    parameters: Array = field(default_factory=partial(np.zeros, 0))
    likelihood: Likelihood | None = None
    known: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    reported: tuple[Reported, ...] = ()

    @property
    def reliability(self) -> Array:
        """Share (K,) of the variance of the mean measurements over the rows that is not error."""
        data = self.data
        spread = data.at_rows(data.means).var(axis=0, ddof=1)
        return np.asarray(1.0 - data.at_rows(self.errors).mean(axis=0) / spread)


@dataclass(frozen=True)
class CorrectedFit(Fit):
    """A fit that is corrected for errors of measurements.

    Attributes
    ----------
    inner : Fit
        Of the same model, with the expected true values for predictors.
    outer : Design
        The design as users see it: without the random term that holds what measurements of groups leave open.
    correction : Correction
    """

    kind = "errors_in_variables"
    has_draws = False

    inner: Fit
    outer: Design
    correction: Correction

    def _lacks(self, what: str) -> SpecificationError:
        """Return the error of a question that only the fit without correction has an answer to."""
        return SpecificationError(f"{super()._lacks(what)}; the fit without correction may have: fit.naive")

    # ---------------------------------------------------------------- the model
    @property
    def title(self) -> str:  # type: ignore[override]
        """Heading of the summary."""
        kind = "Linear mixed model" if self.correction.is_linear else "Generalised linear mixed model"
        return f"{kind} with errors in variables"

    @property
    def is_relative(self) -> bool:  # type: ignore[override]
        """Whether theta is relative to sigma."""
        return self.inner.is_relative

    @property
    def measured_by(self) -> tuple[str, ...]:
        """The method, the measurements, and the predictors that their law has."""
        data = self.correction.data
        return (METHODS[self.correction.method], *(one.source for one in data.measured), *data.z_names)

    @property
    def not_linear(self) -> str:
        """Measurements have a likelihood of their own."""
        return "knows nothing of the errors of measurements; ask the fit without correction, fit.naive"

    @cached_property
    def problem(self) -> Any:
        """What was solved, with the random terms that users see."""
        inner, n = self.inner.problem, len(self.outer.random)
        assembly = replace(inner.assembly, places=inner.assembly.places[:n])
        return replace(inner, design=self.outer, assembly=assembly, terms=inner.terms[:n])

    @property
    def design(self) -> Design:
        """The matrices, the true values that are expected in the place of measurements."""
        return self.outer

    @property
    def family(self) -> Family:
        """Distribution of the response given true values and random effects."""
        return self.correction.family

    @property
    def reml(self) -> bool:
        """Whether the criterion is the restricted likelihood: of a calibrated fit."""
        return self.inner.reml

    @property
    def integration(self) -> str:
        """How the random effects were integrated out, in words."""
        return self.inner.integration

    @property
    def method(self) -> str:
        """How the parameters were estimated, in a word."""
        return "moments" if self.correction.method == "moment" else super().method

    @property
    def how(self) -> str:
        """How the errors were corrected for, in a sentence."""
        likelihood = "restricted maximum likelihood (REML)" if self.reml else "maximum likelihood"
        return {
            "ml": "Fitted by maximum likelihood of the response and the measurements together.",
            "rc": f"Fitted by {likelihood} to what the measurements lead one to expect (regression calibration).",
            "moment": "Fitted by the moments of the response and the measurements (Fuller 1987).",
        }[self.correction.method]

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """How the errors were corrected for, and what the fit inside says."""
        own = (("Correction", METHODS[self.correction.method]),)
        return own if self.correction.is_linear else (*own, *self.inner.facts)

    # ---------------------------------------------------------------- estimates
    @property
    def x(self) -> Array:
        """Parameters of the fit inside."""
        return self.inner.x

    @property
    def beta(self) -> Array:
        """Corrected fixed effects (p,)."""
        return self.inner.beta

    @property
    def beta_covariance(self) -> Array:
        """Their covariance (p, p), the errors of the measurements accounted for."""
        slopes = self.beta_slopes
        return np.asarray(slopes @ self.correction.parameter_covariance @ slopes.T)

    @property
    def theta(self) -> Array:
        """Covariance parameters (t,) of the random effects that users see."""
        return self.inner.theta[: sum(term.covariance.n_theta for term in self.outer.random)]

    @property
    def scale(self) -> float:
        """Residual variance or dispersion beside the errors of the measurements."""
        return self.correction.scale

    @property
    def has_sigma(self) -> bool:
        """Whether a residual variance is estimated."""
        return self.inner.has_sigma

    @property
    def roots(self) -> tuple[Array, ...]:
        """A root (q, q) of the covariance of the random effects of each term."""
        return self.inner.roots[: len(self.outer.random)]

    @property
    def llf(self) -> float:
        """Log-likelihood: of responses and measurements together, or of the calibrated fit."""
        return self.correction.llf

    @property
    def n_parameters(self) -> int:
        """Number of estimated parameters, those of the measurements among them."""
        return self.correction.n_parameters

    @property
    def certificate(self) -> Certificate:
        """How sure it is that the optimum was found."""
        return self.correction.certificate

    # ---------------------------------------------------------------- the likelihood around the estimate
    @property
    def reported(self) -> tuple[Reported, ...]:
        """The numbers that intervals are made for; of a fit without joint likelihood the fixed effects."""
        return self.correction.reported or super().reported

    @property
    def likelihood(self) -> Likelihood:
        """The joint likelihood, in its own parameters and those of the measurements."""
        if self.correction.likelihood is None:
            raise SpecificationError(self.unprofilable)
        return self.correction.likelihood

    @property
    def phi_covariance(self) -> Array:
        """Covariance (k, k) of its parameters, nan for those that have no standard error."""
        known = self.correction.known
        return np.where(known[:, None] & known, self.likelihood.covariance, np.nan)

    @property
    def theta_jacobian(self) -> Array:
        """Derivatives (t, t) of :attr:`theta` in the inner covariance parameters."""
        t = self.theta.size
        return self.inner.theta_jacobian[:t, :t]

    @property
    def unprofilable(self) -> str:
        """Why there is no likelihood to profile; empty where there is one."""
        if self.correction.likelihood is not None:
            return ""
        how = METHODS[self.correction.method]
        return f'estimates by {how} have no likelihood of the measurements: fit with errors_in_variables="ml"'

    # ---------------------------------------------------------------- random effects
    @property
    def modes(self) -> tuple[Array, ...]:
        """Conditional modes (q, m) of the random effects of each term."""
        return self.inner.modes[: len(self.outer.random)]

    def factor_covariance(self, factor: int) -> Array:
        """Return the conditional covariances (Q, Q, m) of a factor's effects, in the basis of the inner scale."""
        return self.inner.factor_covariance(factor)

    def joint_covariance(self) -> Array:
        """Return the covariance (p, p) of the fixed effects where there are no random ones."""
        if self.outer.random:
            raise self._lacks("joint covariance of fixed and random effects")
        return self.beta_covariance

    def weighted_rows(self, matrix: Any) -> Any:
        """Return rows times the roots of the working weights."""
        return self.inner.weighted_rows(matrix)

    # ---------------------------------------------------------------- predictions
    @property
    def response(self) -> ResponseModel:
        """The response given the measurements in the fitted rows, given the true values in new ones."""
        return self.correction.response

    @property
    def components(self) -> Mapping[str, FixedEffects]:
        """The error that measurements leave in the linear predictor of fitted rows; new rows have none."""
        response = self.correction.response
        return {c.name: c.fixed for c in response.problem.components} if isinstance(response, FamilyResponse) else {}

    def component_slopes(self, matrices: Mapping[str, Array]) -> list[Array]:
        """Return zeros (n, k): the size of that error counts as known."""
        k = len(self.correction.parameter_covariance)
        return [np.zeros((len(matrices[name]), k)) for name in self.components]

    @cached_property
    def error_root(self) -> Array:
        """A root (k, k) of the covariance of the parameters of the fit inside."""
        return root_of(self.correction.parameter_covariance)

    @property
    def beta_slopes(self) -> Array:
        """Derivatives (p, k) of the fixed effects in these parameters."""
        return self.inner.beta_slopes

    @property
    def phi_slopes(self) -> Array:
        """Derivatives (m, k) of the family-wide parameters in these parameters."""
        return self.inner.phi_slopes

    def predictor_errors(self, rows: PredictedRows) -> PredictorErrors:
        """Return what makes the linear predictor of each row uncertain, the true values given."""
        hidden = len(self.inner.design.random) - len(self.outer.random)
        n = len(rows.x)
        padded = replace(
            rows,
            codes=[*rows.codes, *[np.full(n, -1)] * hidden],
            z=[*rows.z, *[np.zeros((n, 1))] * hidden],
            chosen=[*rows.chosen, *[np.zeros(1, dtype=bool)] * hidden],
        )
        found = self.inner.predictor_errors(padded)
        return replace(found, outside=rows.outside(self.outer.random, self.covariances)) if hidden else found

    @property
    def phi_bounds(self) -> tuple[Array, Array]:
        """Smallest and largest values (m,) of the family-wide parameters."""
        return self.inner.phi_bounds

    def leverages(self) -> tuple[Array, Array]:
        """Return how much every response pulls its own linear predictor, the expected true values held."""
        return self.inner.leverages()

    # ---------------------------------------------------------------- the same model again
    def with_response(self, y: Array) -> Any:
        """Refuse: the measurements belong to the response.

        Raises
        ------
        SpecificationError
        """
        raise self._lacks("refit to another response: the measurements would have to be drawn with it")

    def on_rows(self, design: Design, rows: AnyArray) -> Any:
        """Refuse.

        Raises
        ------
        SpecificationError
        """
        raise self._lacks("refit to some of its rows; fit the model to those rows of the data")

    # ---------------------------------------------------------------- storage
    def stored(self) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        """Return where the search ended."""
        return {"nodes": self.inner.nodes}, {"parameters": self.correction.parameters}
