"""What the diagnostics ask of their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from mixedfx._suggestions import wrong_fit
from mixedfx._typing import IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.results.base import MixedResults, checked_fit
from mixedfx.results.resampling import labelled_rows

if TYPE_CHECKING:
    from mixedfx.results.linear import LinearMixedResults

__all__ = ["generalized_results", "independent_results", "linear_results", "mixed_results", "row_sets"]


def mixed_results(fit: Any, name: str, words: str = "needs the results of lmer or glmer") -> MixedResults:
    """Return ``fit`` if it is results of mixedfx; ``words`` say what the function ``name`` wants."""
    return checked_fit(fit, name, words)


def linear_results(fit: Any, name: str, words: str = "is for linear mixed models (lmer)") -> MixedResults:
    """Return ``fit`` if it is a linear mixed model: normal residuals around the linear predictor."""
    results = mixed_results(fit, name, words)
    if not results.solution.response.has_normal_residuals:
        raise wrong_fit(name, words, fit)
    if results.solution.not_linear:
        raise SpecificationError(f"{name} {results.solution.not_linear}")
    return results


def independent_results(fit: Any, name: str) -> LinearMixedResults:
    """Return ``fit`` if it is a linear mixed model without a residual structure."""
    results = linear_results(fit, name)
    if results.solution.residual is not None:
        raise SpecificationError(f"{name} is for models without a residual structure: fit without residual=")
    return cast("LinearMixedResults", results)


def generalized_results(fit: Any, name: str) -> MixedResults:
    """Return ``fit`` if it is a generalised linear mixed model."""
    words = "is for generalised linear mixed models (glmer)"
    results = mixed_results(fit, name, words)
    if results.solution.response.has_normal_residuals:
        raise wrong_fit(name, words, fit)
    return results


def row_sets(fit: MixedResults, group: str | Sequence[Any] | None) -> tuple[IntArray, pd.Index[Any], str]:
    """Return the set (n,) of every row, the labels of the sets, and their name.

    Parameters
    ----------
    group : str, sequence or None
        A grouping factor of the model, a label for every row, or None for single rows.
    """
    if group is None:
        return np.arange(fit.nobs), fit.design.index, "row"
    if isinstance(group, str):
        for term in fit.design.grouped:
            if term.group == group:
                return term.codes, term.levels, group
        known = ", ".join(sorted({repr(term.group) for term in fit.design.grouped})) or "none"
        raise SpecificationError(
            f"the model has no grouping factor {group!r}; it has {known}. For other sets of rows give their labels: "
            f"group=data[{group!r}]"
        )
    return labelled_rows(fit, "group", group)
