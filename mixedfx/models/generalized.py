"""Generalised linear mixed models: build, evaluate, fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np

from mixedfx._arguments import checked_choice
from mixedfx._lazy import higher
from mixedfx._suggestions import hinting_methods, way_out
from mixedfx._typing import AnyArray, Array
from mixedfx.criterion.generalized_problem import Component, GeneralizedProblem, generalized_problem
from mixedfx.criterion.marginal import EXPECTED, OBSERVED, Information
from mixedfx.criterion.mode import known_state
from mixedfx.criterion.problem import REMAINDERS
from mixedfx.exceptions import SpecificationError
from mixedfx.families import Family, FamilyName, LinkName, family_for, with_zero_inflation
from mixedfx.fitting import Control
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.fitting.generalized_iterative import final_solver
from mixedfx.fitting.integrators import (
    check_quadrature,
    confirmed_hessian,
    fit_automatic,
    fit_nodes,
    fit_profiled,
    integrator,
    refit_generalized,
)
from mixedfx.formula import Formula, display, parse
from mixedfx.matrices import Design, FixedEffects, build_design, identified_twin
from mixedfx.matrices.encoder import Settings
from mixedfx.matrices.fixed import build_fixed
from mixedfx.matrices.frame import Frame, FrameRows
from mixedfx.matrices.rows import MissingName
from mixedfx.matrices.values import codings_for
from mixedfx.models.base import MixedModel, checked_control
from mixedfx.models.identifiable import (
    check_generalized,
    check_residual,
    generalized_noise,
    has_residual,
    transformed,
)
from mixedfx.models.inputs import ModelInputs, fit_mismeasured, is_mismeasured
from mixedfx.models.sources import frame_of, is_read_in_pieces
from mixedfx.models.storage import register
from mixedfx.models.verdicts import warn_of
from mixedfx.optimize import Optimum
from mixedfx.results.generalized import GeneralizedLinearMixedResults

if TYPE_CHECKING:
    from mixedfx.models.errors_in_variables import ErrorsName

__all__ = [
    "INFORMATION",
    "GeneralizedLinearMixedModel",
    "InformationName",
    "completed_family",
    "glmer",
    "response_kind_of",
]

InformationName: TypeAlias = Literal["observed", "expected"]
INFORMATION: dict[str, Information] = {"observed": OBSERVED, "expected": EXPECTED}


@hinting_methods
class GeneralizedLinearMixedModel(MixedModel[GeneralizedLinearMixedResults]):
    """A generalised linear mixed model: ``g(E y) = X beta + Z b``, ``b ~ N(0, Lambda Lambda')``.

    Parameters
    ----------
    formula : str
        As in lme4: ``"y ~ x + (x | g)"``; ``cbind(successes, failures) ~ …`` for binomial counts. Without bars it is a
        generalised linear model, fitted by maximum likelihood (its dispersion as well).
    data : data frame or dict of arrays
        pandas, polars, pyarrow or anything that narwhals reads; or a source of :func:`mixedfx.cross_products` that can
        be read again: it is read piece by piece, and the columns that the formulas mention are kept, labels as codes.
    family : str, Family or statsmodels family
        ``"binomial"``, ``"poisson"``, ``"nbinom2"``, ``"gamma"``, ``"beta"``, ``"ordinal"``, …
    link : str, optional
        Instead of the family's default.
    weights : str or array, optional
        Not negative; rows of weight zero are left out. What they mean is the family's: the trials of a binomial or
        beta-binomial proportion; for ``gaussian``, ``student_t``, ``gamma``, ``inverse_gaussian``, ``lognormal`` and
        ``tweedie`` precisions, which divide the dispersion; for all others (counts, ``beta``, ``ordinal``) so many
        equal rows: they multiply the log-likelihood.
    offset : str or array, optional
        A known part of the linear predictor.
    dispersion, zero_inflation : str, optional
        Formulas of further linear predictors, ``"~ x"``: of the logarithm of the dispersion, of the logit of the
        probability of extra zeros.
    information : {"observed", "expected"}
        ``"observed"`` is the Laplace approximation proper, ``"expected"`` what lme4 computes: they differ for links
        that are not canonical.
    penalty : float, optional
        Precision of a normal prior on every fixed effect but the intercept, for columns scaled to standard deviation
        1; a weak one (0.1) keeps separated models finite. The log-likelihood is reported without it.
    contrasts : dict, optional
        Column to coding: ``"treatment"``, ``"sum"``, ``"helmert"``, ``"poly"``, ``"sdif"`` or a labelled matrix.
    missing : {"drop", "raise"}
        ``"drop"`` rows with missing values (and say so), or ``"raise"``.
    functions : dict, optional
        Extra names for the formula.

    Raises
    ------
    SpecificationError, DataError

    Examples
    --------
    >>> import mixedfx as mfx
    >>> data = mfx.load_dataset("cbpp")
    >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    >>> model = mfx.GeneralizedLinearMixedModel(formula, data, family="binomial")
    >>> round(model.fit().llf, 6)
    -92.026282
    """

    def __init__(
        self,
        formula: str | Formula,
        data: Any,
        *,
        family: FamilyName | Any,
        link: LinkName | Any = None,
        weights: Any = None,
        offset: Any = None,
        dispersion: str | None = None,
        zero_inflation: str | None = None,
        information: InformationName = "observed",
        penalty: float | None = None,
        contrasts: Mapping[str, Any] | None = None,
        missing: MissingName = "drop",
        functions: Mapping[str, Any] | None = None,
    ) -> None:
        frame = frame_of(data, (formula, weights, offset, dispersion, zero_inflation))
        shared = {
            "weights": weights,
            "offset": offset,
            "contrasts": contrasts,
            "missing": missing,
            "functions": functions,
        }
        parts = _PredictorFormulas(frame, Settings({} if functions is None else functions, codings_for(contrasts)))
        completed, written = completed_family(family_for(family, link), dispersion, zero_inflation)
        formulas = {name: parts.formula(name, text) for name, text in written.items()}
        extra = tuple(dict.fromkeys(v for f in formulas.values() for v in f.variables))
        design = build_design(formula, frame, response_kind=response_kind_of(completed), extra=extra, **shared)
        check_generalized(design)
        self.design = design if completed.has_intercept else replace(design, fixed=_without_intercept(design.fixed))
        self.family: Family = completed.adapted(design.response.values)
        self.components = {name: parts.fixed(formulas[name], self.design) for name in self.family.predictors[1:]}
        self.information = checked_choice("information", information, INFORMATION)
        self.penalty = _checked_penalty(penalty)
        X = design.fixed.matrix[:, :0] if self.penalty else design.fixed.matrix
        noise = generalized_noise(self.family, self.design, self.components)
        self.design = identified_twin(self.design, noise, X)
        if noise.diagonals:
            check_residual(transformed(self.design, self.family))
        elif has_residual(self.family):
            check_residual(self.design, fixed=False)
        options = shared | {"dispersion": dispersion, "zero_inflation": zero_inflation, "information": information}
        options |= {"family": family, "link": link, "penalty": self.penalty}
        self.inputs = ModelInputs.of(design.formula, frame, options, extra)

    @property
    def problem(self) -> GeneralizedProblem:
        """The model on its inner scale."""
        problem: GeneralizedProblem = self._problem()
        return problem

    def _prepared(self, reml: bool, most_exact: float = REMAINDERS["auto"]) -> GeneralizedProblem:
        response = self.design.response
        observed = self.family.observe(
            response.values, trials=response.trials, weights=self.design.weights, rows=self.design.index
        )
        return generalized_problem(
            self.design,
            self.family,
            observed,
            information=self.information,
            components=[Component(name, fixed) for name, fixed in self.components.items()],
            penalty=self.penalty,
            most_exact=most_exact,
        )

    def fit(self, nagq: int | Literal["auto"] = 1, *, control: Control | None = None) -> GeneralizedLinearMixedResults:
        """Fit by maximum likelihood.

        Parameters
        ----------
        nagq : int or "auto"
            How the random effects are integrated out: 1 is the Laplace approximation, more are nodes of adaptive
            Gauss-Hermite quadrature in each dimension, ``"auto"`` doubles them until the log-likelihood moves by less
            than 1e-6 (at most 10 000 nodes in all), 0 takes the fixed effects from the inner iteration.
        control : Control, optional

        Returns
        -------
        GeneralizedLinearMixedResults

        Warns
        -----
        SeparationWarning
            If fixed effects separate the outcomes: their estimates are infinite.
        SingularFitWarning
            If a variance is estimated as zero or a correlation as -1 or 1.
        ConvergenceWarning
            If the optimum was not found.
        """
        fit = self._fit(nagq, checked_control(control))
        warn_of(fit)
        return self._results(fit, {"nagq": nagq, "control": control})

    def _fit(self, nagq: int | str, control: Control) -> GeneralizedFit:
        nodes = _checked_nodes(nagq)
        if not self.design.random:  # nothing is integrated out
            nodes = 1
        problem = self.problem if control.remainder == "auto" else self._prepared(False, control.most_exact)
        if nodes is None:
            return fit_automatic(problem, control)
        return fit_profiled(problem, control) if nodes == 0 else fit_nodes(problem, control, nodes)

    def _again(self, earlier: GeneralizedFit, problem: GeneralizedProblem) -> GeneralizedFit:
        return refit_generalized(earlier, problem)

    def _results(self, fit: GeneralizedFit, asked: Mapping[str, Any] | None = None) -> GeneralizedLinearMixedResults:
        return GeneralizedLinearMixedResults(self, fit, asked or {"nagq": fit.nodes, "control": None})

    def _stored_fit(self, state: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> GeneralizedFit:
        problem, x, nodes = self._stored_problem(state), arrays["x"], int(state["nodes"])
        integrate = integrator(problem, max(1, nodes))
        at = integrate(known_state(problem.model, x, arrays["b"], arrays["t"], bool(state["mode_converged"])))
        counts = (int(state["iterations"]), int(state["evaluations"]), bool(state["converged"]), bool(state["cut"]))
        optimum: Optimum[Any] = Optimum(x, at, float(state["decrement"]), *counts, path=(x,))
        hessian = arrays["hessian"]
        hessian = hessian if problem.is_iterative else confirmed_hessian(integrate, at, nodes, hessian)
        remaining = None if state["remaining"] is None else float(state["remaining"])
        return GeneralizedFit(problem, integrate, optimum, at, hessian, nodes, remaining)

    def _stored_problem(self, state: Mapping[str, Any]) -> GeneralizedProblem:
        """The problem of a saved fit: with its probes if its crossed equations were solved by iteration."""
        probes = int(state.get("probes", 0))
        if probes:
            iterative = self._prepared(False, REMAINDERS["iterative"])
            return iterative.with_solver(final_solver(probes, int(state["seed"]), int(state.get("controls", 0))))
        return self._prepared(False, REMAINDERS["exact"]) if self.problem.is_iterative else self.problem

    def objective(self, parameters: Any, *, nagq: int = 1) -> tuple[float, Array]:
        """Evaluate minus twice the approximate log-likelihood without fitting.

        Parameters
        ----------
        parameters : array-like (k,)
            On the user's scale: fixed effects, covariance parameters as in ``fit.theta``, coefficients of further
            linear predictors; then family-wide parameters on their unbounded scales.
        nagq : int
            Nodes in each dimension; 1 is the Laplace approximation.

        Returns
        -------
        value : float
        gradient : (k,) array

        Raises
        ------
        SpecificationError
            If a parameter is not finite or not legal.
        DataError
            If floating point cannot compute the likelihood there.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
        >>> model = mfx.GeneralizedLinearMixedModel(formula, mfx.load_dataset("cbpp"), family="binomial")
        >>> value, gradient = model.objective([-1.4, -1.0, -1.1, -1.6, 0.65], nagq=25)
        >>> round(-value / 2, 8)
        -91.99023365
        """
        problem, nodes = self.problem, _checked_nodes(nagq)
        if nodes is None or nodes < 1:
            raise SpecificationError("nagq of an objective is a number of nodes, at least 1")
        if nodes > 1:
            check_quadrature(problem, nodes)

        def evaluate(values: Array) -> tuple[float, Array]:
            at = problem.evaluate(problem.to_inner(values), integrator(problem, nodes))
            return at.value, problem.gradient_to_user(values, at.gradient, at.covariance_gradient)

        return self._objective_at("parameters", parameters, problem, problem.n_parameters, evaluate)


def glmer(
    formula: str | Formula,
    data: Any,
    *,
    family: FamilyName | Any,
    link: LinkName | Any = None,
    nagq: int | Literal["auto"] = 1,
    weights: Any = None,
    offset: Any = None,
    dispersion: str | None = None,
    zero_inflation: str | None = None,
    information: InformationName = "observed",
    penalty: float | None = None,
    contrasts: Mapping[str, Any] | None = None,
    missing: MissingName = "drop",
    functions: Mapping[str, Any] | None = None,
    errors_in_variables: ErrorsName | None = None,
    control: Control | None = None,
) -> GeneralizedLinearMixedResults:
    """Fit a generalised linear mixed model.

    Parameters
    ----------
    formula : str
        As in lme4: ``"y ~ x + (x | g)"``; ``cbind(successes, failures) ~ …`` for binomial counts. Without bars it is a
        generalised linear model, fitted by maximum likelihood (its dispersion as well).
    data : data frame or dict of arrays
        pandas, polars, pyarrow or anything that narwhals reads; or a source of :func:`mixedfx.cross_products` that can
        be read again (Parquet files, a DuckDB relation, a polars LazyFrame, a Dask dataframe, a list or collection of
        frames): its rows are read piece by piece, again at every step, and never kept, so that residuals and fitted
        values cannot be had afterwards. The Laplace approximation of families with one linear predictor is fitted so;
        for other models the columns that the formulas mention are kept in memory, and a note of the summary says so.
    family : str, Family or statsmodels family
        ``"binomial"``, ``"poisson"``, ``"nbinom2"``, ``"gamma"``, ``"beta"``, ``"ordinal"``, …
    link : str, optional
        Instead of the family's default.
    nagq : int or "auto"
        1 is the Laplace approximation, more are nodes of adaptive quadrature in each dimension, ``"auto"`` chooses.
    weights, offset : str or array, optional
        Weights are the trials of a binomial or beta-binomial proportion; precisions, which divide the dispersion, for
        ``gaussian``, ``student_t``, ``gamma``, ``inverse_gaussian``, ``lognormal`` and ``tweedie``; elsewhere (counts,
        ``beta``, ``ordinal``) numbers of equal rows, which multiply the log-likelihood. Rows of weight zero are left
        out. The offset is a known part of the linear predictor.
    dispersion, zero_inflation : str, optional
        Formulas of further linear predictors, ``"~ x"``.
    information : {"observed", "expected"}
        ``"observed"`` or, as lme4, ``"expected"`` information in the Laplace approximation.
    penalty : float, optional
        Precision of a weak normal prior on the fixed effects.
    contrasts, missing, functions
        As for :func:`lmer`.
    errors_in_variables : {"ml", "rc", "moment"}, optional
        How predictors measured with error, ``me(w, sd=…)``, ``me(w1, w2)`` in the formula, are corrected for: by the
        joint likelihood of responses and measurements (default) or by regression calibration.
    control : Control, optional
        Starting values, tolerance, iteration limit.

    Returns
    -------
    GeneralizedLinearMixedResults

    Raises
    ------
    SpecificationError
        If the formula or an argument makes no sense, or a source gives its rows once.
    DataError
        If the data cannot serve the formula or the family, or a source changes while it is read again.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    >>> fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial", nagq="auto")
    >>> fit.params.round(4).tolist()
    [-1.3992, -0.9914, -1.1278, -1.5795]
    """
    if is_mismeasured(formula, functions, errors_in_variables):
        shared = {"weights": weights, "offset": offset, "contrasts": contrasts, "missing": missing}
        shared |= {"functions": functions, "family": family, "link": link, "nagq": nagq}
        refused = {"dispersion": dispersion, "zero_inflation": zero_inflation, "penalty": penalty}
        refused["information"] = None if information == "observed" else information
        fit: GeneralizedLinearMixedResults = fit_mismeasured(
            str(formula), data, control, refused, errors_in_variables=errors_in_variables, **shared
        )
        return fit
    said: dict[str, Any] = {
        "family": family,
        "link": link,
        "weights": weights,
        "offset": offset,
        "dispersion": dispersion,
        "zero_inflation": zero_inflation,
        "information": information,
        "penalty": penalty,
        "contrasts": contrasts,
        "missing": missing,
        "functions": functions,
    }
    if is_read_in_pieces(data):
        return _fit_source(formula, data, said, nagq, control)
    return GeneralizedLinearMixedModel(formula, data, **said).fit(nagq, control=control)


def _fit_source(*arguments: Any) -> GeneralizedLinearMixedResults:
    """Fit a model to rows that are read piece by piece."""
    return cast("GeneralizedLinearMixedResults", higher("fit_source")(*arguments))


register(GeneralizedFit.kind, GeneralizedLinearMixedModel)


@dataclass(frozen=True)
class _PredictorFormulas:
    """The data and settings from which the further linear predictors are built."""

    frame: Frame
    settings: Settings

    def formula(self, name: str, text: str) -> Formula:
        if not isinstance(text, str):
            raise TypeError(f"{name} is a formula such as '~ x', found {type(text).__name__}")
        parsed = parse(text, columns=self.frame.names, functions=self.settings.functions)
        if parsed.response or parsed.random or parsed.offsets:
            says = f"{name}={text!r} is a formula of fixed effects only, such as '~ x'"
            curves = [display(term.terms[0][0].arguments[0]) for term in parsed.smooths]
            if curves:
                says = f"{says}; a curve without a penalty is '~ bs({curves[0]}, df=4)'"
            elif parsed.random:
                says = f"{says}; {way_out(name, 'random')}"
            raise SpecificationError(says)
        return parsed

    def fixed(self, formula: Formula, design: Design) -> FixedEffects:
        """Columns of a further linear predictor in the rows of the model."""
        return build_fixed(formula.fixed_terms, FrameRows(self.frame, design.keep), self.settings)[0]


def completed_family(
    family: Family, dispersion: str | None, zero_inflation: str | None
) -> tuple[Family, dict[str, str]]:
    """Return the family with its further linear predictors, and their formulas."""
    written: dict[str, str] = {}
    if zero_inflation is not None and "zero_inflation" not in family.predictors:
        family = with_zero_inflation(family)
    if "zero_inflation" in family.predictors:
        written["zero_inflation"] = "~ 1" if zero_inflation is None else zero_inflation
    if dispersion is not None:
        if "dispersion" not in [parameter.name for parameter in family.parameters]:
            raise SpecificationError(f"the family {family.name!r} has no dispersion to model: leave dispersion= out")
        family = family.with_predictors(*family.predictors[1:], "dispersion")
        written["dispersion"] = dispersion
    return family, written


def response_kind_of(family: Family) -> str:
    """Return what kind of response a family models."""
    if not family.has_intercept:
        return "ordinal"
    return "binomial" if family.proportions else "numeric"


def _without_intercept(fixed: FixedEffects) -> FixedEffects:
    """The columns without the intercept, whose place thresholds take."""
    if not fixed.has_intercept:
        raise SpecificationError("a model with thresholds has no intercept of its own: do not write 0 + … or -1")
    (position,) = fixed.terms["Intercept"]
    kept = [j for j in range(len(fixed.names)) if j != position]
    new = {old: place for place, old in enumerate(kept)}
    terms = {t: tuple(new[j] for j in places) for t, places in fixed.terms.items() if t != "Intercept"}
    return replace(
        fixed,
        matrix=np.asfortranarray(fixed.matrix[:, kept]),
        names=tuple(fixed.names[j] for j in kept),
        terms=terms,
        kept=fixed.kept[kept],
        alias=fixed.alias[kept],
        replaced=("Intercept",),
    )


def _checked_penalty(penalty: Any) -> float:
    if penalty is None:
        return 0.0
    if isinstance(penalty, bool) or not isinstance(penalty, int | float | np.number):
        raise TypeError(f"penalty is a number, found {type(penalty).__name__}")
    if not 0 <= penalty < np.inf:
        raise SpecificationError(f"penalty is the precision of a prior, at least 0; found {penalty}")
    return float(penalty)


def _checked_nodes(nagq: Any) -> int | None:
    """Return the number of nodes, or None for the automatic choice."""
    if isinstance(nagq, str):
        if nagq != "auto":
            raise SpecificationError(f"nagq is a number of nodes or 'auto'; found {nagq!r}")
        return None
    if isinstance(nagq, bool) or not isinstance(nagq, int | np.integer):
        raise TypeError(f"nagq is a whole number or 'auto', found {type(nagq).__name__}")
    if nagq < 0:
        raise SpecificationError(f"nagq is a number of nodes, at least 0; found {nagq}")
    return int(nagq)
