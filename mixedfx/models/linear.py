"""Linear mixed models: build, evaluate, fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfx._arguments import checked_flag
from mixedfx._suggestions import hinting_methods, way_out
from mixedfx._typing import AnyArray, Array
from mixedfx.covariance.residual.structure import ResidualStructure
from mixedfx.criterion.linear_problem import LinearProblem, linear_problem
from mixedfx.criterion.problem import REMAINDERS
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import Control, LinearFit, fit_linear
from mixedfx.formula import Formula
from mixedfx.linalg.probes import Solver
from mixedfx.matrices import build_design
from mixedfx.matrices.frame import as_frame, used_columns
from mixedfx.matrices.rows import MissingName
from mixedfx.models.base import MixedModel, checked_control
from mixedfx.models.identifiable import check_linear, check_residual, identified_linear
from mixedfx.models.inputs import ModelInputs, fit_mismeasured, is_mismeasured
from mixedfx.models.storage import register
from mixedfx.models.verdicts import warn_of
from mixedfx.optimize import Optimum
from mixedfx.results.linear import LinearMixedResults

if TYPE_CHECKING:
    from mixedfx.models.errors_in_variables import ErrorsName
    from mixedfx.scale import CrossProducts

__all__ = ["LinearMixedModel", "checked_sigma", "columns_of_residual", "lmer"]


@hinting_methods
class LinearMixedModel(MixedModel[LinearMixedResults]):
    """A linear mixed model: ``y = X beta + Z b + e``, ``b ~ N(0, sigma^2 Lambda Lambda')``, ``e ~ N(0, sigma^2 / w)``.

    Parameters
    ----------
    formula : str
        As in lme4: ``"y ~ x + (x | g)"``; see the grammar page. Without bars the model is fitted by least squares.
    data : data frame or dict of arrays
        pandas, polars, pyarrow or anything that narwhals reads.
    weights, offset : str or array, optional
        Column name, or one number a row: precision weights (``Var(e) = sigma^2 / w``; rows of weight zero are
        left out); a known part of the mean.
    contrasts : dict, optional
        Column to coding: ``"treatment"``, ``"sum"``, ``"helmert"``, ``"poly"``, ``"sdif"`` or a labelled matrix.
    missing : {"drop", "raise"}
        ``"drop"`` rows with missing values (and say so), or ``"raise"``.
    residual : ResidualStructure, optional
        Variances and correlations of the residuals: ``mfx.VarIdent("Sex")``, ``mfx.AR1("age", group="Subject")``, …
        With one, a formula without bars is fitted by generalised least squares.
    sigma : float, optional
        Residual standard deviation, if it is known.
    functions : dict, optional
        Extra names for the formula.

    Raises
    ------
    SpecificationError, DataError

    Examples
    --------
    >>> import mixedfx as mfx
    >>> model = mfx.LinearMixedModel("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> value, gradient = model.objective([1.0, 0.0, 1.0])
    >>> round(value, 4)
    1773.6803
    >>> round(model.fit(reml=False).llf, 4)
    -875.9697
    """

    def __init__(
        self,
        formula: str | Formula | None,
        data: Any,
        *,
        weights: Any = None,
        offset: Any = None,
        contrasts: Mapping[str, Any] | None = None,
        missing: MissingName = "drop",
        residual: ResidualStructure | None = None,
        sigma: float | None = None,
        functions: Mapping[str, Any] | None = None,
    ) -> None:
        if getattr(type(data), "are_sums_over_rows", False):
            said = {"weights": weights, "offset": offset, "contrasts": contrasts, "functions": functions}
            self._init_of_sums(formula, data, sigma, said | {"residual": residual})
            return
        if formula is None:
            raise TypeError("the formula is left out only where the data are sums: mfx.cross_products(source, formula)")
        options = {
            "weights": weights,
            "offset": offset,
            "contrasts": contrasts,
            "missing": missing,
            "functions": functions,
        }
        frame = as_frame(data)
        extra = columns_of_residual(residual)
        self.design = build_design(formula, frame, extra=extra, **options)
        self.sigma = checked_sigma(sigma)
        self.residual = residual
        self.inputs = ModelInputs.of(
            self.design.formula, frame, options | {"sigma": self.sigma, "residual": residual}, extra
        )
        check_linear(self.design)
        self.has_bars = bool(self.design.random)
        self._bound = None
        if residual is not None:
            self.residual_columns = used_columns(frame, extra, self.design.keep)
            self._bound = residual.bind(self.residual_columns)
        self.design = identified_linear(self.design, self.sigma, self._bound)
        if self.sigma is None and (self._bound is None or self._bound.sigma is None):
            check_residual(self.design)

    def _init_of_sums(
        self, formula: str | Formula | None, sums: CrossProducts, sigma: float | None, said: Mapping[str, Any]
    ) -> None:
        """Take sums over rows in the place of the rows."""
        from mixedfx.models.sums import SumsInputs, check_arguments

        check_arguments(formula, sums, said)
        self.sigma, self.residual, self._bound = checked_sigma(sigma), None, None
        self.design = sums.design()
        check_linear(self.design)
        self.has_bars = bool(self.design.random)
        self.inputs = SumsInputs(sums, {"sigma": self.sigma})
        self.design = identified_linear(self.design, self.sigma, None)
        if self.sigma is None:
            check_residual(self.design)

    def _prepared(self, reml: bool, most_exact: float = REMAINDERS["auto"]) -> LinearProblem:
        return linear_problem(self.design, reml=reml, sigma=self.sigma, residual=self._bound, most_exact=most_exact)

    def _solved_by(self, reml: bool, most_exact: float) -> LinearProblem:
        """The problem with its crossed equations factorised up to a number of effects; that of "auto" is built once."""
        usual = most_exact == REMAINDERS["auto"]
        problem: LinearProblem = self._problem(reml) if usual else self._prepared(reml, most_exact)
        return problem

    def fit(self, reml: bool = True, *, control: Control | None = None) -> LinearMixedResults:
        """Fit by REML or maximum likelihood.

        Parameters
        ----------
        reml : bool
            Restricted maximum likelihood (default) or maximum likelihood.
        control : Control, optional
            Starting values, tolerance, iteration limit.

        Returns
        -------
        LinearMixedResults

        Warns
        -----
        SingularFitWarning
            If a variance is estimated as zero or a correlation as -1 or 1.
        ConvergenceWarning
            If the optimum was not found.
        """
        reml, control_ = checked_flag("reml", reml), checked_control(control)
        fit = fit_linear(self._solved_by(reml, control_.most_exact), control_)
        warn_of(fit)
        return self._results(fit, {"reml": bool(reml), "control": control})

    def _again(self, earlier: LinearFit, problem: LinearProblem) -> LinearFit:
        return fit_linear(problem, replace(earlier.same_way, start=earlier.theta))

    def _results(self, fit: LinearFit, asked: Mapping[str, Any] | None = None) -> LinearMixedResults:
        return LinearMixedResults(self, fit, asked or {"reml": fit.reml, "control": None})

    def _stored_fit(self, state: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> LinearFit:
        problem = self._solved_by(state["reml"], REMAINDERS[state.get("remainder", "auto")])
        if state.get("solver"):
            problem = problem.with_solver(Solver(**state["solver"]))
        problem = (problem.refined() or problem) if state["refined"] else problem
        theta = arrays["theta"]
        at = problem.criterion(theta)
        counts = (int(state["iterations"]), int(state["evaluations"]), bool(state["converged"]), bool(state["cut"]))
        return LinearFit(problem, Optimum(theta, at, float(state["decrement"]), *counts, path=(theta,)), at)

    # ---------------------------------------------------------------- look inside without fitting
    def objective(self, theta: Any, *, reml: bool = True) -> tuple[float, Array]:
        """Evaluate minus twice the profiled (restricted) log-likelihood without fitting.

        Parameters
        ----------
        theta : array-like (n_theta,)
            Covariance parameters on the user's scale, relative to sigma, in the order of ``fit.theta``.
        reml : bool
            Whether the restricted likelihood is evaluated.

        Returns
        -------
        value : float
        gradient : (n_theta,) array

        Raises
        ------
        SpecificationError
            If a parameter is not finite or not legal.
        DataError
            If floating point cannot compute the likelihood there.
        """
        problem = self._problem(checked_flag("reml", reml))
        return self._objective_at("theta", theta, problem, problem.criterion.start.size, problem.objective)


def lmer(
    formula: str | Formula | None,
    data: Any,
    *,
    reml: bool = True,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    missing: MissingName = "drop",
    residual: ResidualStructure | None = None,
    sigma: float | None = None,
    functions: Mapping[str, Any] | None = None,
    errors_in_variables: ErrorsName | None = None,
    control: Control | None = None,
) -> LinearMixedResults:
    """Fit a linear mixed model.

    Parameters
    ----------
    formula : str
        As in lme4: ``"y ~ x + (x | g)"``; see the grammar page.
    data : data frame or dict of arrays
        pandas, polars, pyarrow or anything that narwhals reads.
    reml : bool
        Restricted maximum likelihood (default) or maximum likelihood.
    weights, offset : str or array, optional
        Column name, or one number a row: precision weights (``Var(e) = sigma^2 / w``; rows of weight zero are
        left out); a known part of the mean.
    contrasts : dict, optional
        Column to coding: ``"treatment"``, ``"sum"``, ``"helmert"``, ``"poly"``, ``"sdif"`` or a labelled matrix.
    missing : {"drop", "raise"}
        ``"drop"`` rows with missing values (and say so), or ``"raise"``.
    residual : ResidualStructure, optional
        Variances and correlations of the residuals: ``mfx.VarIdent("Sex")``, ``mfx.AR1("age", group="Subject")``, …
        With one, a formula without bars is fitted by generalised least squares.
    sigma : float, optional
        Residual standard deviation, if it is known.
    functions : dict, optional
        Extra names for the formula.
    errors_in_variables : {"ml", "rc", "moment"}, optional
        How predictors measured with error, ``me(w, sd=…)``, ``me(w1, w2)`` in the formula, are corrected for: by the
        joint likelihood of responses and measurements (default), by regression calibration, or by Fuller's moments.
    control : Control, optional
        Starting values, tolerance, iteration limit.

    Returns
    -------
    LinearMixedResults
        With ``me(…)``: :class:`~mixedfx.results.errors_in_variables.ErrorsInVariablesResults`.

    Raises
    ------
    SpecificationError
        If the formula or an argument makes no sense.
    DataError
        If the data cannot serve the formula.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> round(fit.llf, 4)
    -871.8141
    """
    if is_mismeasured(formula, functions, errors_in_variables):
        shared = {"weights": weights, "offset": offset, "contrasts": contrasts, "missing": missing}
        shared |= {"functions": functions, "reml": reml, "errors_in_variables": errors_in_variables}
        fit: LinearMixedResults = fit_mismeasured(
            str(formula), data, control, {"residual": residual, "sigma": sigma}, **shared
        )
        return fit
    model = LinearMixedModel(
        formula,
        data,
        weights=weights,
        offset=offset,
        contrasts=contrasts,
        missing=missing,
        residual=residual,
        sigma=sigma,
        functions=functions,
    )
    if residual is None and not model.has_bars:
        raise SpecificationError(
            "the formula has no random effects: add a term such as (1 | group), or give residual=; a regression is "
            "mfx.LinearMixedModel(formula, data).fit(), mfx.glmer(formula, data, family='gaussian') or statsmodels' ols"
        )
    return model.fit(reml=reml, control=control)


register(LinearFit.kind, LinearMixedModel)


def checked_sigma(sigma: Any) -> float | None:
    """Return a known residual standard deviation as a number, or None."""
    if sigma is None:
        return None
    if isinstance(sigma, bool) or not isinstance(sigma, int | float | np.number):
        raise TypeError(f"sigma is a positive number, found {type(sigma).__name__}")
    if not (np.isfinite(sigma) and sigma > 0):
        raise SpecificationError(f"sigma is the known residual standard deviation, a positive number; found {sigma}")
    return float(sigma)


def columns_of_residual(residual: Any) -> tuple[str, ...]:
    """Return the columns that the residual structure reads."""
    if residual is None:
        return ()
    if not isinstance(residual, ResidualStructure):
        says, such = way_out("residual", residual), "such as mfx.VarIdent('sex') or mfx.AR1('age', group='id')"
        raise TypeError(f"residual is a structure {such}; found {residual!r}{says and f': {says}'}")
    return residual.columns
