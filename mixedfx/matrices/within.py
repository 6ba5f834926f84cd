"""``wb(x, g)``: a predictor split into the mean of its group and the deviation from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.matrices.labels import Labels
from mixedfx.matrices.values import Basis

__all__ = ["BETWEEN", "WITHIN", "GroupMeans", "learn_means"]

WITHIN, BETWEEN = "within", "between"
ROUNDING = 4.0 * np.finfo(float).eps  # a deviation below this multiple of the value is none


@dataclass(frozen=True)
class GroupMeans:
    """Means of a predictor by group, learnt from the rows of the model.

    Parameters
    ----------
    levels : pandas.Index
        The groups (m,).
    means : numpy.ndarray
        Their means (m,).
    within_only : bool
        Whether the mean itself is no column: left of a bar, where it would not vary within the group.
    """

    levels: pd.Index[Any]
    means: Array
    within_only: bool

    def __call__(self, values: tuple[Array, Labels]) -> Basis:
        """Return the columns for values ``x`` (n,) and groups; a group that was not learnt has the mean of its rows."""
        x, groups = values
        codes = groups.recode(self.levels)
        mean = self.means[codes]
        unknown = codes < 0
        if unknown.any():
            mean = np.where(unknown, means_by_group(x, groups)[groups.codes], mean)
        within = x - mean
        within[np.abs(within) <= ROUNDING * np.abs(x)] = 0.0
        if self.within_only:
            return Basis(within[:, None], (WITHIN,))
        return Basis(np.column_stack([within, mean]), (WITHIN, BETWEEN))


def learn_means(x: Array, groups: Labels, *, within_only: bool) -> GroupMeans:
    """Learn the mean of each group."""
    return GroupMeans(groups.levels, means_by_group(x, groups), within_only)


def means_by_group(x: Array, groups: Labels) -> Array:
    """Return the mean (m,) of each level; a second pass makes those of constant values exact."""
    present = groups.codes >= 0
    codes, m = groups.codes[present], len(groups.levels)
    counts = np.maximum(np.bincount(codes, minlength=m), 1)
    means = np.bincount(codes, weights=x[present], minlength=m) / counts
    return np.asarray(means + np.bincount(codes, weights=x[present] - means[codes], minlength=m) / counts)
