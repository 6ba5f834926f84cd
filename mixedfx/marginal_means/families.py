"""Which rows of a table are tested together, and their adjusted p-values and intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx._typing import Array, IntArray
from mixedfx.marginal_means.adjust import Adjustment, Family
from mixedfx.marginal_means.functions import Functions
from mixedfx.marginal_means.question import PLAIN, Question

if TYPE_CHECKING:
    from mixedfx.marginal_means.means import MarginalMeans

__all__ = ["families", "split_by"]

INDEPENDENT = 1e-9  # eigenvalues of a correlation, relative to the largest, that count


def split_by(labels: pd.DataFrame, by: Sequence[str]) -> list[IntArray]:
    """Return the positions of the rows of each combination of the columns ``by``, in the order of the table."""
    if not by:
        return [np.arange(len(labels))]
    codes = labels.groupby(list(by), sort=False, observed=True).ngroup().to_numpy()
    return [np.flatnonzero(codes == number) for number in range(int(codes.max(initial=-1)) + 1)]


def families(
    means: MarginalMeans,
    adjustment: Adjustment,
    ask: Callable[[Adjustment, Family], Array],
    *,
    question: Question = PLAIN,
) -> tuple[Array, tuple[str, ...]]:
    """Ask each family of a table for one number a row (r,), and say in words how it was adjusted."""
    out = np.full(len(means.labels), np.nan)
    notes: dict[str, None] = {}
    for own in split_by(means.labels, means.by):
        functions = means.functions.taken(own)
        told = functions.estimable & (functions.se > 0)
        if not told.any():
            continue
        family = _family(functions.taken(told), question, are_pairs=means.pairs_of is not None)
        fitting = adjustment.fitting(family)
        out[own[told]] = ask(fitting, family)
        if fitting.label and family.size > 1:
            notes[f"Adjusted for {family.size} tests by {fitting.label}."] = None
    return out, tuple(notes)


def _family(functions: Functions, question: Question, *, are_pairs: bool) -> Family:
    se = functions.se
    correlation = functions.covariance / np.outer(se, se)
    np.fill_diagonal(correlation, 1.0)
    sizes = np.linalg.eigvalsh(correlation)
    rank = int(np.sum(sizes > INDEPENDENT * sizes[-1]))
    n_means = round(0.5 + float(np.sqrt(0.25 + 2.0 * se.size))) if are_pairs else None  # k (k - 1) / 2 differences
    statistic = question.distance(functions.values) / se
    return Family(statistic, functions.df, correlation, n_means, rank, question.direction, question.is_equivalence)
