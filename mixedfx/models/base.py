"""What every model shares: what it shows without being fitted, and the way from a fit to results, other data, a file.

A kind of model adds its arguments and their checks, how its problem is built, and how the problem is fitted.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._suggestions import hinting_methods, names_of
from mixedfx._typing import AnyArray, Array
from mixedfx.covariance.residual.structure import ResidualStructure
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.fitting import Control, Fit
from mixedfx.formula import Formula
from mixedfx.matrices import Design, as_frame
from mixedfx.models.groups import with_groups
from mixedfx.models.inputs import ModelInputs
from mixedfx.models.storage import write
from mixedfx.models.update import changed, with_note
from mixedfx.models.verdicts import warn_of

if TYPE_CHECKING:
    from mixedfx.covariance.residual.structure import BoundResidual
    from mixedfx.families import Family
    from mixedfx.families.random_laws import Law
    from mixedfx.matrices import FixedEffects
    from mixedfx.models.sums import SumsInputs

__all__ = ["MixedModel", "checked_control", "checked_theta"]

R = TypeVar("R")  # the results of a kind of model

END = 1e-9  # relative: no farther beyond its end a correlation is taken for 1 or -1


@hinting_methods
class MixedModel(ABC, Generic[R]):
    """A model with its data: matrices, names and groups.

    Attributes
    ----------
    design : Design
    inputs : ModelInputs or None
        What the model was made from; None if it was made for a refit.
    residual : ResidualStructure or None
        Structure of the residuals.
    sigma : float or None
        The residual standard deviation, if it is known.
    penalty : float
        Precision of a penalty on the fixed effects.
    family : Family or None
        Of the response, around its mean; None where the residuals are normal.
    components : dict of str to FixedEffects
        Of linear predictors beside that of the mean.
    laws : tuple of Law or None
        Of the random terms, None where it is the normal one; empty where all are normal.
    naive_model : MixedModel or None
        The model as if no predictor were measured with error, where some are.
    """

    design: Design
    inputs: ModelInputs | SumsInputs | None
    residual: ResidualStructure | None = None
    residual_columns: Any = None  # what the structure reads, in the rows that are used
    sigma: float | None = None
    penalty: float = 0.0
    family: Family | None = None
    components: Mapping[str, FixedEffects] = MappingProxyType({})
    laws: tuple[Law | None, ...] = ()
    naive_model: Any = None
    data: Any = None  # the measurements of predictors that are measured with error

    # ---------------------------------------------------------------- what a kind of model adds
    @abstractmethod
    def fit(self, *args: Any, **options: Any) -> R:
        """Fit the model and return its results."""

    @abstractmethod
    def objective(self, *parameters: Any, **options: Any) -> tuple[float, Array]:
        """Return minus twice the log-likelihood and its gradient (k,), at parameters on the user's scale."""

    @abstractmethod
    def _prepared(self, reml: bool) -> Any:
        """Return the problem of the model, its criterion on the inner scale."""

    @abstractmethod
    def _again(self, earlier: Any, problem: Any) -> Fit:
        """Return the fit of another problem, searched from an earlier fit."""

    @abstractmethod
    def _stored_fit(self, state: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> Fit:
        """Return the fit whose :meth:`~mixedfx.fitting.Fit.stored` gave these plain values and arrays."""

    @abstractmethod
    def _results(self, fit: Any, asked: Mapping[str, Any] | None = None) -> R:
        """Return the results of a fit; ``asked`` are the arguments of :meth:`fit`, by default those of that fit."""

    # ---------------------------------------------------------------- from a fit to results
    def _problem(self, reml: bool = False) -> Any:
        """The problem of the model, built once for each criterion."""
        problems = self.__dict__.setdefault("_problems", {})
        if reml not in problems:
            problems[reml] = self._prepared(reml)
        return problems[reml]

    def refitted(self, earlier: Fit, problem: Any) -> R:
        """Fit this model to another problem (another response, other rows), starting from an earlier fit."""
        fit = self._again(earlier, problem)
        other = copy.copy(self)
        other.design, other.inputs = problem.design, None
        other.__dict__["_problems"] = {fit.reml: problem}
        other.__dict__.pop("exog_re", None)  # of the rows of this model
        warn_of(fit)
        return other._results(fit)

    def save(self, path: str | Path, fit: Fit) -> None:
        """Write a fit of this model; ``save`` of its results calls it."""
        state, arrays = fit.stored()
        write(path, fit.kind, self.inputs, state, arrays, fit.llf)

    def restored(self, state: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> R:
        """Return the results that :meth:`save` wrote."""
        return self._results(self._stored_fit(state, arrays))

    # ---------------------------------------------------------------- other ways to say a model
    @classmethod
    def from_formula(
        cls,
        formula: str | Formula,
        data: Any,
        *,
        groups: str | None = None,
        re_formula: str | None = None,
        vc_formula: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Self:
        """Return the model; the same as calling the class, or statsmodels' spelling with the random effects apart.

        Parameters
        ----------
        formula : str
            With random effects, or without them if ``groups`` is given.
        data : data frame or dict of arrays
        groups : str, optional
            Column of the groups: adds ``(1 | groups)``.
        re_formula : str, optional
            Random coefficients, ``"~ x"``: adds ``(x | groups)`` instead.
        vc_formula : dict of str to str, optional
            Variance components within the groups: ``{"class": "0 + C(classroom)"}`` adds ``(1 | groups:classroom)``,
            and there is no ``(1 | groups)`` unless ``re_formula`` asks for it, as in statsmodels.
        **options
            Further arguments of the class.

        Returns
        -------
        LinearMixedModel or GeneralizedLinearMixedModel

        Raises
        ------
        SpecificationError
            If the random effects are said twice, or ``vc_formula`` has no equivalent.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> data = mfx.load_dataset("sleepstudy")
        >>> model = mfx.LinearMixedModel.from_formula("Reaction ~ Days", data, groups="Subject", re_formula="~ Days")
        >>> print(model.formula)
        Reaction ~ 1 + Days + (1 + Days | Subject)
        >>> data, options = mfx.load_dataset("contraception"), {"family": "binomial", "groups": "district"}
        >>> print(mfx.GeneralizedLinearMixedModel.from_formula("use ~ urban", data, **options).formula)
        use ~ 1 + urban + (1 | district)
        """
        frame, functions = as_frame(data), tuple(options.get("functions") or ())
        written = with_groups(formula, frame, groups, re_formula, vc_formula, functions)
        return cls(written, frame, **options)  # type: ignore[call-arg]

    def updated(self, asked: Mapping[str, Any], formula: str | None, data: Any, changes: Mapping[str, Any]) -> Any:
        """Return the fit of this model with another formula, other data or other arguments.

        What users call is ``update`` of the results; ``asked`` is what their ``fit`` was asked for.
        """
        if not isinstance(self.inputs, ModelInputs | None):
            return self._updated_sums(self.inputs, asked, formula, data, changes)
        new = changed(self.formula, self.inputs, asked, formula, data, changes)
        model = type(self)(new.formula, new.frame, **new.options)  # type: ignore[call-arg]
        if data is None:
            model.design = with_note(model.design, self.design)
        return model.fit(**new.asked)

    def _updated_sums(
        self, inputs: SumsInputs, asked: Mapping[str, Any], formula: str | None, data: Any, changes: Mapping[str, Any]
    ) -> Any:
        """Return the fit of the same sums with other arguments."""
        if formula is not None or data is not None:
            self.design.need_rows("another formula or other data")
        unknown = [name for name in changes if name not in (*inputs.options, *asked)]
        if unknown:
            known = ", ".join((*inputs.options, *asked))
            raise TypeError(f"update of a fit to sums over rows has no argument {unknown[0]!r}; choose from {known}")
        options = {name: changes.get(name, value) for name, value in inputs.options.items()}
        model = type(self)(None, inputs.sums, **options)  # type: ignore[call-arg]
        return model.fit(**{name: changes.get(name, value) for name, value in asked.items()})

    # ---------------------------------------------------------------- matrices and names
    @property
    def formula(self) -> Formula:
        """The parsed formula; ``str()`` gives text."""
        return self.design.formula

    @property
    def written(self) -> str:
        """The formula as text, as tables of results show it."""
        return self.design.written

    @property
    def endog(self) -> Array:
        """Response (n,)."""
        self.design.need_rows("the response")
        return self.design.response.values

    @property
    def exog(self) -> Array:
        """Fixed-effects matrix (n, p)."""
        self.design.need_rows("the matrix of the fixed effects")
        return self.design.fixed.matrix

    @property
    def endog_names(self) -> str:
        """Name of the response."""
        return self.design.response.name

    @property
    def exog_names(self) -> list[str]:
        """Names of the fixed effects."""
        return list(self.design.fixed.names)

    @property
    def groups(self) -> dict[str, pd.Index[Any]]:
        """Levels of each grouping factor."""
        return {term.group: term.shown_levels for term in self.design.random if not term.is_smooth}

    @cached_property
    def exog_re(self) -> sp.csr_array:
        """Sparse ``Z`` (n, q): terms in the order of the formula, levels within a term, coefficients within a level."""
        self.design.need_rows("the matrix of the random effects")
        blocks = []
        for term in self.design.random:
            n, q = term.matrix.shape
            columns = (term.codes[:, None] * q + np.arange(q)).ravel()
            rows = np.repeat(np.arange(n), q)
            shape = (n, len(term.levels) * q)
            blocks.append(sp.csr_array((term.matrix.ravel(), (rows, columns)), shape=shape))
        return sp.csr_array(sp.hstack(blocks)) if blocks else sp.csr_array((self.design.n_rows, 0))

    @property
    def bound_residual(self) -> BoundResidual | None:
        """The structure of the residuals for the rows that are used."""
        return None if self.residual is None else self.residual.bind(self.residual_columns)

    def Lambda(self, theta: Any) -> sp.csr_array:
        """Return the relative covariance factor of all random effects.

        Parameters
        ----------
        theta : array-like (t,)
            Covariance parameters on the user's scale, as ``fit.theta``.

        Returns
        -------
        sparse array (q, q)
            Rows and columns ordered as those of :attr:`exog_re`.

        Raises
        ------
        SpecificationError
            If a parameter is not finite or not legal, such as a correlation beyond 1.
        """
        sizes = [term.covariance.n_theta for term in self.design.random]
        values = checked_theta(self.design, checked_numbers("theta", theta, sum(sizes)))
        blocks = []
        for term, part in zip(self.design.random, np.split(values, np.cumsum(sizes, dtype=np.intp))[:-1], strict=True):
            levels = sp.eye_array(len(term.levels)) if term.loading is None else sp.csr_array(term.loading)
            blocks.append(sp.kron(levels, sp.csr_array(term.covariance.factor(part))))
        return sp.csr_array(sp.block_diag(blocks)) if blocks else sp.csr_array((0, 0))

    # ---------------------------------------------------------------- the likelihood, without fitting
    def _objective_at(
        self, what: str, given: Any, problem: Any, size: int, evaluate: Callable[[Array], tuple[float, Array]]
    ) -> tuple[float, Array]:
        """Check ``size`` parameters that a user gave, and evaluate a criterion and its gradient there.

        Raises
        ------
        SpecificationError
            If a parameter is not finite or not legal.
        DataError
            If floating point cannot compute the likelihood there.
        """
        values, theta = checked_numbers(what, given, size), problem.theta_slice
        values[theta] = checked_theta(self.design, values[theta])
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                value, gradient = evaluate(values)
            if not (np.isfinite(value) and np.isfinite(gradient).all()):
                raise FloatingPointError("it overflows")
        except (FloatingPointError, np.linalg.LinAlgError) as error:
            raise DataError(f"the likelihood cannot be computed at these {what} ({error})") from error
        return float(value), np.asarray(gradient)

    def loglike(self, parameters: Any, **options: Any) -> float:
        """Return the log-likelihood at some parameters without fitting: minus half of :meth:`objective`.

        Parameters
        ----------
        parameters : array-like (k,)
            On the user's scale, as for :meth:`objective`: in a linear model the covariance parameters relative to sigma
            (fixed effects and sigma are the best ones given these), in a generalised one all parameters.
        **options
            ``reml=`` of linear models (True unless given), ``nagq=`` of generalised ones.

        Returns
        -------
        float

        Examples
        --------
        >>> import mixedfx as mfx
        >>> model = mfx.LinearMixedModel("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> fit = model.fit()
        >>> round(abs(model.loglike(fit.theta) - fit.llf), 6)
        0.0
        """
        return -0.5 * float(self.objective(parameters, **options)[0])

    def score(self, parameters: Any, **options: Any) -> Array:
        """Return the gradient (k,) of :meth:`loglike` on the user's scale; it takes the same arguments."""
        return np.asarray(-0.5 * self.objective(parameters, **options)[1])

    if not TYPE_CHECKING:  # a type checker shall miss the names that are not there
        __getattr__ = names_of("of a model")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.formula}, {self.design.n_rows} observations>"


def checked_control(control: Any) -> Control:
    """Return the settings of the search, the usual ones for None, or raise a TypeError."""
    if control is None:
        return Control()
    if not isinstance(control, Control):
        raise TypeError(f"control is a mixedfx.Control, found {type(control).__name__}")
    return control


def checked_numbers(what: str, given: Any, count: int) -> Array:
    """Return ``count`` finite numbers that a user gave, as a new array, or say what is wrong with them."""
    try:
        values = np.array(given, dtype=float)
    except (TypeError, ValueError):
        raise SpecificationError(f"{what} is an array of {count} numbers, found {given!r}") from None
    if values.shape != (count,):
        raise SpecificationError(f"{what} needs {count} numbers, found shape {values.shape}")
    if not np.all(np.isfinite(values)):
        raise SpecificationError(f"{what} must be finite, found {values.tolist()}")
    return values


def checked_theta(design: Design, theta: Array) -> Array:
    """Return covariance parameters (n_theta,) on the user's scale within their bounds, or name the one that is not.

    A correlation of exactly 1 or -1 is moved inside by the margin that the structures keep.
    """
    parts, start = [], 0
    for term in design.random:
        covariance = term.covariance
        part = theta[start : start + covariance.n_theta]
        start += part.size
        lower, upper = covariance.search_lower(), covariance.upper()
        legal = np.clip(part, lower, upper)
        wrong = np.abs(legal - part) > END * np.maximum(np.abs(legal), 1.0)
        if wrong.any():
            j = int(np.flatnonzero(wrong)[0])
            name = term.theta_labels[j]
            raise SpecificationError(
                f"theta of {term.term}: {name} = {part[j]:g} is not between {lower[j]:.4g} and {upper[j]:.4g}"
            )
        parts.append(legal)
    return np.concatenate(parts) if parts else theta
