"""Linear mixed models: build, evaluate, fit."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mixedfx._arguments import checked_flag
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import AnyArray, Array
from mixedfx.covariance.residual import ResidualStructure
from mixedfx.covariance.residual.structure import BoundResidual
from mixedfx.criterion.linear_problem import LinearProblem, is_refined, linear_problem, refined
from mixedfx.exceptions import ConvergenceWarning, DataError, SpecificationError, warn
from mixedfx.fitting import Control, LinearFit, fit_linear
from mixedfx.formula import Formula
from mixedfx.matrices import Design, Noise, RandomEffects, build_design, identified_twin
from mixedfx.matrices.frame import as_frame, used_columns
from mixedfx.matrices.rows import MissingName
from mixedfx.models.base import MixedModel, check_residual, check_strata, checked_control
from mixedfx.models.evaluation import checked_numbers, checked_theta, evaluated, finite_pair
from mixedfx.models.inputs import ModelInputs
from mixedfx.models.storage import register, write
from mixedfx.models.verdicts import warn_of_variances
from mixedfx.optimize import Optimum
from mixedfx.results.linear import LinearMixedResults

__all__ = ["LinearMixedModel", "checked_sigma", "columns_of_residual", "linear_noise", "lmer"]


@hinting_methods
class LinearMixedModel(MixedModel):
    """A linear mixed model: ``y = X beta + Z b + e``, ``b ~ N(0, sigma^2 Lambda Lambda')``, ``e ~ N(0, sigma^2 / w)``.

    Parameters
    ----------
    formula : str
        As in lme4: ``"y ~ x + (x | g)"``; see the grammar page.
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
        With one, a formula without random effects is a generalised least-squares model.
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
        formula: str | Formula,
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
        _check_identifiable(self.design, self.sigma, residual is not None)
        self.residual_columns = used_columns(frame, extra, self.design.keep)
        self._bound = None if residual is None else residual.bind(self.residual_columns)
        self.design = _identified(self.design, self.sigma, self._bound)
        if self.sigma is None and (self._bound is None or self._bound.sigma is None):
            check_residual(self.design)

    def _problem(self, reml: bool) -> LinearProblem:
        return self._reml_problem if reml else self._ml_problem

    @cached_property
    def _reml_problem(self) -> LinearProblem:
        return linear_problem(self.design, reml=True, sigma=self.sigma, residual=self._bound)

    @cached_property
    def _ml_problem(self) -> LinearProblem:
        return linear_problem(self.design, reml=False, sigma=self.sigma, residual=self._bound)

    def fit(self, reml: bool = True, *, control: Control | None = None) -> LinearMixedResults:
        """Fit by REML or maximum likelihood.

        Parameters
        ----------
        reml : bool
        control : Control, optional

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
        problem = self._problem(checked_flag("reml", reml))
        fit = fit_linear(problem, checked_control(control))
        _warn(fit)
        return LinearMixedResults(self, fit, {"reml": bool(reml), "control": control})

    def refitted(self, earlier: LinearFit, problem: LinearProblem) -> LinearMixedResults:
        """Fit this model to another problem (another response, other rows), starting from an earlier fit."""
        other = copy.copy(self)
        other.design, other.inputs = problem.design, None
        for name in ("_reml_problem", "_ml_problem"):
            other.__dict__.pop(name, None)
        other.__dict__["_reml_problem" if problem.criterion.reml else "_ml_problem"] = problem
        fit = fit_linear(problem, Control(start=earlier.problem.to_user(earlier.theta)))
        _warn(fit)
        return LinearMixedResults(other, fit, {"reml": problem.criterion.reml, "control": None})

    def save(self, path: str | Path, fit: LinearFit) -> None:
        """Write a fit of this model; :meth:`LinearMixedResults.save` calls it."""
        o = fit.optimum
        state: dict[str, Any] = {
            "reml": fit.problem.criterion.reml,
            "iterations": o.iterations,
            "evaluations": o.evaluations,
            "cut": o.cut,
        }
        state |= {"decrement": o.decrement, "converged": o.converged}
        state["refined"] = is_refined(fit.problem)
        write(path, "linear", self.inputs, state, {"theta": fit.point.x}, -0.5 * fit.at.value)

    # ---------------------------------------------------------------- look inside without fitting
    def objective(self, theta: Any, *, reml: bool = True) -> tuple[float, Array]:
        """Evaluate minus twice the profiled (restricted) log-likelihood without fitting.

        Parameters
        ----------
        theta : array-like (n_theta,)
            Covariance parameters relative to sigma, in the order of ``fit.theta``.
        reml : bool

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
        values = checked_numbers("theta", theta, problem.criterion.start.size)
        k = problem.covariance.n_theta
        values[:k] = checked_theta(self.design, values[:k])
        with evaluated("theta"):
            return finite_pair(*problem.objective(values))


def lmer(
    formula: str | Formula,
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
        With one, a formula without random effects is a generalised least-squares model.
    sigma : float, optional
        Residual standard deviation, if it is known.
    functions : dict, optional
        Extra names for the formula.
    control : Control, optional
        Starting values, tolerance, iteration limit.

    Returns
    -------
    LinearMixedResults

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
    return model.fit(reml=reml, control=control)


def _restore(inputs: ModelInputs, state: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> LinearMixedResults:
    """Rebuild a saved fit."""
    model = LinearMixedModel(inputs.formula, inputs.frame, **inputs.options)
    problem = model._problem(state["reml"])
    problem = (refined(problem) or problem) if state["refined"] else problem
    at = problem.criterion(arrays["theta"])
    counts = (int(state["iterations"]), int(state["evaluations"]), bool(state["converged"]), bool(state["cut"]))
    optimum = Optimum(arrays["theta"], at, float(state["decrement"]), *counts, path=(arrays["theta"],))
    return LinearMixedResults(model, LinearFit(problem, optimum, at), {"reml": state["reml"], "control": None})


register("linear", _restore)


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
        raise TypeError(
            f"residual is a structure such as mfx.VarIdent('sex') or mfx.AR1('age', group='id'); found {residual!r}"
        )
    return residual.columns


def _check_identifiable(design: Design, sigma: float | None, has_residual: bool) -> None:
    """Refuse what no linear mixed model can estimate."""
    check_strata(design, "lmer")
    if not design.random and not has_residual:
        raise SpecificationError(
            "the formula has no random effects: add a term such as (1 | group), give residual=, or use statsmodels' ols"
        )
    y = design.response.values
    n, p = y.size, design.fixed.matrix.shape[1]
    if n <= p:
        raise DataError(f"{n} observations cannot identify {p} fixed effects and a residual variance")
    if np.ptp(y) == 0:
        raise DataError(f"the response {design.response.name!r} is constant ({y[0]:g} in all rows): nothing to model")


def _identified(design: Design, sigma: float | None, residual: BoundResidual | None) -> Design:
    """Return the design less the variances that nothing can tell.

    Raises
    ------
    DataError
        If a factor has a level for every row, and so no variance beside that of independent residuals.
    """
    found = identified_twin(design, linear_noise(design, sigma, residual))
    if residual is None:
        for finding in found.undetermined:
            if finding.residual and not finding.restricted:
                _check_levels(design, design.random[finding.term])
    return found


def linear_noise(design: Design, sigma: float | None, residual: BoundResidual | None) -> Noise:
    """Return what the rows of a linear model have of their own."""
    known = sigma is not None or (residual is not None and residual.sigma is not None)
    return Noise(() if known else (np.ones(design.n_rows),), residual, design.weights)


def _check_levels(design: Design, term: RandomEffects) -> None:
    m, q, n = term.n_levels, term.n_columns, design.n_rows
    if m * q >= n:
        what = f"{m} levels" if q == 1 else f"{m} levels with {q} effects each"
        raise DataError(
            f"the grouping factor {term.group!r} has {what} for {n} observations: its variance cannot be told from "
            "the residual variance; is it a row identifier? (give sigma= if the residual variance is known, "
            "residual=mfx.KnownVariance(…) if it is known row by row, as in a meta-analysis)"
        )


def _warn(fit: LinearFit) -> None:
    if fit.is_doubtful or any(v.rank < v.size for v in fit.verdicts):
        certificate = fit.certificate
        if certificate.is_singular or not certificate.is_identified:
            warn_of_variances(certificate)
        if not certificate.converged:
            warn(str(certificate).splitlines()[0], ConvergenceWarning)
