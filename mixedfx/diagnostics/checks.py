"""What the diagnostics ask of their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from mixedfx._typing import IntArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.results.base import MixedResults, checked_fit

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
        raise TypeError(f"{name} {words}, found {type(fit).__name__}")
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
        raise TypeError(f"{name} {words}, found {type(fit).__name__}")
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
    return _labelled_sets(fit, group)


def _labelled_sets(fit: MixedResults, group: Sequence[Any]) -> tuple[IntArray, pd.Index[Any], str]:
    labels = group if isinstance(group, pd.Series) else pd.Series(np.asarray(group))
    keep = fit.design.keep
    if keep is not None and len(labels) == keep.size:
        labels = labels[keep]
    if len(labels) != fit.nobs:
        raise DataError(f"group has {len(labels)} labels for {fit.nobs} rows: give one label for every row")
    codes, levels = pd.factorize(labels, sort=True)
    if np.any(codes < 0):
        raise DataError(f"{int(np.sum(codes < 0))} labels of group are missing: every row needs one")
    return codes.astype(np.intp), pd.Index(levels), str(labels.name or "set")
