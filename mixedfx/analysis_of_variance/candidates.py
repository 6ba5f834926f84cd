"""Fitted models beside each other: what a comparison by likelihood needs of each, and whether it makes sense."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mixedfx._typing import Array
from mixedfx.exceptions import SingularFitWarning
from mixedfx.families import Family, family_for
from mixedfx.matrices import Design
from mixedfx.results.base import MixedResults
from mixedfx.results.foreign import ForeignFit, foreign_fit, is_foreign
from mixedfx.results.linear import LinearMixedResults
from mixedfx.results.settings import settings_of

__all__ = ["Candidate", "candidate", "integration_note", "labels_of", "same_values", "unlike_rows"]

SAME = 1e-8  # relative difference of responses, weights and offsets that counts as none

INTEGRATED = (
    "The log-likelihoods are not approximated alike ({}): part of the difference is that of the approximations. Fit "
    "all models with the same nagq."
)


@dataclass(frozen=True, eq=False)
class Candidate:
    """One model of a comparison.

    Attributes
    ----------
    formula : str
    settings : dict of str to str
        What the formula does not say, by heading.
    llf : float
    n_params : int
    response, trials, weights, offset : (n,) or None
    rows : array or None
        Labels of the rows used, where they are known.
    designs : tuple of Design
        None for a model of statsmodels.
    reml : bool
    X : (n, p) or None
        Columns of the fixed part, where they are known.
    columns : tuple of str
        Their names.
    family : Family or None
    sizes : dict of str to int
        Number of coefficients of each parameter of the family that has a linear predictor of its own.
    integration : str
        How random effects were integrated out; empty for linear models.
    """

    formula: str
    settings: Mapping[str, str]
    llf: float
    n_params: int
    response: Array
    trials: Array | None
    weights: Array | None
    offset: Array | None
    rows: Any
    designs: tuple[Design, ...]
    reml: bool
    X: Array | None = field(repr=False)
    columns: tuple[str, ...]
    family: Family | None
    sizes: Mapping[str, int]
    integration: str = ""

    @property
    def nobs(self) -> int:
        """Number of rows."""
        return len(self.response)


def candidate(fit: Any, *, refit: bool = False) -> Candidate:
    """Return what is compared of a fit of ours or of statsmodels.

    Parameters
    ----------
    fit : results
    refit : bool
        Whether a REML fit is fitted again by maximum likelihood.

    Raises
    ------
    TypeError
        If it is no fitted model.
    """
    if isinstance(fit, LinearMixedResults):
        used = _by_maximum_likelihood(fit) if refit and fit.reml else fit
        return _of_mixed(used, used.reml, family_for("gaussian"))
    if isinstance(fit, MixedResults):
        return _of_mixed(fit, False, fit.fit.problem.family)
    if is_foreign(fit):
        return _of_foreign(foreign_fit(fit))
    raise TypeError(f"anova compares fitted models; found {type(fit).__name__}")


def _by_maximum_likelihood(fit: LinearMixedResults) -> LinearMixedResults:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)  # of a fit that the user did not ask for
        return fit.model.fit(reml=False)


def _of_mixed(fit: MixedResults, reml: bool, family: Family) -> Candidate:
    design = fit.design
    return Candidate(
        str(design.formula),
        {"Family": family.name, "Link": family.link.name} | settings_of(fit),
        fit.llf,
        fit.n_parameters,
        np.asarray(design.response.values, dtype=float),
        design.response.trials,
        design.weights,
        design.offset,
        design.index,
        (design,),
        reml,
        design.fixed.matrix,
        tuple(design.fixed.names),
        family,
        {part.name: len(part.names) for part in getattr(fit.fit.problem, "components", ())},
        str(getattr(fit, "integration", "")).split(",")[0],
    )


def _of_foreign(fit: ForeignFit) -> Candidate:
    return Candidate(
        fit.label,
        {"Family": fit.family.name, "Link": fit.family.link.name} if fit.family is not None else {},
        fit.llf,
        fit.n_parameters,
        fit.response,
        fit.trials,
        fit.weights,
        fit.offset,
        None,
        (),
        fit.reml,
        None,
        fit.columns,
        fit.family,
        {},
    )


def same_values(one: Array | None, other: Array | None, usual: float) -> bool:
    """Whether two arguments with a value for each row are equal; none given means the ``usual`` value everywhere."""
    if one is None and other is None:
        return True
    a, b = (np.asarray(usual) if values is None else values for values in (one, other))
    return bool(np.allclose(a, b, rtol=SAME, atol=0.0))


def labels_of(models: Sequence[Candidate]) -> list[str]:
    """Return what each model is called below a table: its formula, and the settings in which the models differ."""
    headings = dict.fromkeys(heading for model in models for heading in model.settings)
    told = [h for h in headings if len({model.settings.get(h) for model in models}) > 1]
    out = []
    for model in models:
        parts = [f"{h[0].lower()}{h[1:]} {model.settings[h]}" for h in told if h in model.settings]
        out.append("; ".join([model.formula, ", ".join(parts)] if parts else [model.formula]))
    return out


def unlike_rows(models: Sequence[Candidate]) -> str | None:
    """Return why likelihoods cannot be compared because rows or responses differ; None if they can."""
    if len({model.nobs for model in models}) > 1:
        counts = " and ".join(str(model.nobs) for model in models)
        return (
            f"the models were fitted to {counts} rows: fit them to the same rows (are values missing in a column that "
            "only one of them uses?)"
        )
    first = models[0]
    for other in models[1:]:
        alike = np.allclose(other.response, first.response, rtol=SAME, atol=0.0)
        if alike and same_values(first.trials, other.trials, 1.0):
            continue
        if first.rows is not None and other.rows is not None and not first.rows.equals(other.rows):
            common = len(first.rows.intersection(other.rows))
            return (
                f"the models were fitted to different rows ({common} of {first.nobs} in common): fit them to the same "
                "rows"
            )
        return (
            f"the models have different responses: {first.formula!r} and {other.formula!r}. Likelihoods of different "
            "responses cannot be compared; a response and its logarithm are by family='lognormal' beside 'gaussian'"
        )
    return None


def integration_note(models: Sequence[Candidate]) -> list[str]:
    """Return a note if log-likelihoods are approximated in different ways."""
    kinds = dict.fromkeys(model.integration for model in models if model.integration)
    return [INTEGRATED.format(", ".join(kinds))] if len(kinds) > 1 else []
