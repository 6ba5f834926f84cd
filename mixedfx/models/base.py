"""What every model shows of itself without being fitted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._suggestions import OF_MODELS, hinting_methods, unknown_name
from mixedfx._typing import Array
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.fitting import Control
from mixedfx.formula import Formula
from mixedfx.matrices import Design, as_frame
from mixedfx.matrices.response import no_residual
from mixedfx.models.evaluation import checked_numbers, checked_theta
from mixedfx.models.groups import with_groups
from mixedfx.models.inputs import ModelInputs
from mixedfx.models.update import changed, with_note

__all__ = ["MixedModel", "check_residual", "check_strata", "checked_control", "residual_problem"]


@hinting_methods
class MixedModel:
    """A model with its data: matrices, names and groups.

    Attributes
    ----------
    design : Design
    """

    design: Design
    inputs: ModelInputs | None

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
        new = changed(self.formula, self.inputs, asked, formula, data, changes)
        model: Any = type(self)(new.formula, new.frame, **new.options)  # type: ignore[call-arg]
        if data is None:
            model.design = with_note(model.design, self.design)
        return model.fit(**new.asked)

    @property
    def formula(self) -> Formula:
        """The parsed formula; ``str()`` gives text."""
        return self.design.formula

    @property
    def endog(self) -> Array:
        """Response (n,)."""
        return self.design.response.values

    @property
    def exog(self) -> Array:
        """Fixed-effects matrix (n, p)."""
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
        return {term.group: term.levels for term in self.design.random}

    @cached_property
    def exog_re(self) -> sp.csr_array:
        """Sparse ``Z`` (n, q): terms in the order of the formula, levels within a term, coefficients within a level."""
        blocks = []
        for term in self.design.random:
            n, q = term.matrix.shape
            columns = (term.codes[:, None] * q + np.arange(q)).ravel()
            rows = np.repeat(np.arange(n), q)
            shape = (n, len(term.levels) * q)
            blocks.append(sp.csr_array((term.matrix.ravel(), (rows, columns)), shape=shape))
        return sp.csr_array(sp.hstack(blocks)) if blocks else sp.csr_array((len(self.endog), 0))

    def Lambda(self, theta: Any) -> sp.csr_array:
        """Return the covariance factor (q, q) at ``theta`` on the user's scale, ordered as :attr:`exog_re`.

        Raises
        ------
        SpecificationError
            If a parameter is not finite or not legal, such as a correlation beyond 1.
        """
        sizes = [term.covariance.n_theta for term in self.design.random]
        values = checked_theta(self.design, checked_numbers("theta", theta, sum(sizes)))
        blocks = []
        for term, own in zip(self.design.random, np.split(values, np.cumsum(sizes, dtype=np.intp))[:-1], strict=True):
            levels = sp.eye_array(len(term.levels)) if term.loading is None else sp.csr_array(term.loading)
            blocks.append(sp.kron(levels, sp.csr_array(term.covariance.factor(own))))
        return sp.csr_array(sp.block_diag(blocks)) if blocks else sp.csr_array((0, 0))

    def loglike(self, parameters: Any, **options: Any) -> float:
        """Return the log-likelihood at some parameters without fitting: minus half of :meth:`objective`.

        Parameters
        ----------
        parameters : array-like (k,)
            As for :meth:`objective`: in a linear model the covariance parameters relative to sigma (fixed effects and
            sigma are the best ones given these), in a generalised one all parameters.
        **options
            ``reml=`` of linear models (True unless given), ``nagq=`` of generalised ones.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> model = mfx.LinearMixedModel("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> fit = model.fit()
        >>> round(abs(model.loglike(fit.theta) - fit.llf), 6)
        0.0
        """
        model: Any = self
        return -0.5 * float(model.objective(parameters, **options)[0])

    def score(self, parameters: Any, **options: Any) -> Array:
        """Return the gradient (k,) of :meth:`loglike`, which takes the same arguments."""
        model: Any = self
        return np.asarray(-0.5 * model.objective(parameters, **options)[1])

    if not TYPE_CHECKING:  # a type checker shall miss the names that are not there

        def __getattr__(self, name: str) -> Any:
            """Say what a name is called here that is no attribute."""
            if hasattr(type(self), name):  # a property failed inside: its own error is the true one
                return object.__getattribute__(self, name)
            raise unknown_name(f"{type(self).__name__!r} object", name, dir(type(self)), OF_MODELS)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.formula}, {len(self.endog)} observations>"


def checked_control(control: Any) -> Control:
    """Return the control argument or its default, or raise a TypeError."""
    if control is None:
        return Control()
    if not isinstance(control, Control):
        raise TypeError(f"control is a mixedfx.Control, found {type(control).__name__}")
    return control


def residual_problem(design: Design, *, fixed: bool = True) -> str:
    """Say why a response leaves no residual, so that the likelihood has no maximum; empty where it leaves one.

    Without ``fixed`` only constants within groups are looked for: what the mean is linear in is not the response.
    """
    X, shift = design.fixed.matrix, 0.0 if design.offset is None else design.offset
    columns, names = (X, design.fixed.names) if fixed else (X[:, :0], ())
    reason = no_residual(design.response.name, design.response.values - shift, columns, names, design.random)
    if not reason:
        return ""
    return (
        f"{reason}: no residual is left, and the likelihood grows without end as its variance goes to zero. For a "
        "response of the groups take one row a group and a model without that random effect; a formula for the "
        "response needs no model"
    )


def check_residual(design: Design, *, fixed: bool = True) -> None:
    """Refuse a response that leaves no residual."""
    reason = residual_problem(design, fixed=fixed)
    if reason:
        raise DataError(reason)


def check_strata(design: Design, model: str) -> None:
    """Refuse ``Error(…)``, which belongs to another analysis."""
    if design.formula.error:
        groups = " + ".join(f"(1 | {':'.join(term)})" for term in design.formula.error)
        raise SpecificationError(f"Error(…) is for aov; {model} takes random terms instead: write {groups}")
