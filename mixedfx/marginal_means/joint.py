"""Tests of several rows of a table at once: main effects and interactions of the factors that label them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx.inference.wald import JointTest
from mixedfx.marginal_means.cells import Cells
from mixedfx.marginal_means.families import split_by
from mixedfx.marginal_means.nesting import told

if TYPE_CHECKING:
    from mixedfx.marginal_means.means import MarginalMeans

__all__ = ["joint_table", "term_table"]


def joint_table(means: MarginalMeans, null: float) -> StatsTable:
    """Return the test that all rows of each family are ``null``."""
    tests = [means.functions.taken(own).joint(null) for own in split_by(means.labels, means.by)]
    rows = [own[0] for own in split_by(means.labels, means.by)]
    labels = means.labels.iloc[rows][list(means.by)].reset_index(drop=True)
    return _table(means, tests, labels, [], [f"Tested: all are {null:g}."] if null else [])


def term_table(means: MarginalMeans, by: tuple[str, ...]) -> StatsTable:
    """Return the tests of all main effects and interactions within each combination of the columns ``by``.

    A nested factor has no effect of its own: it is tested together with, and within, the factors that contain it.
    """
    names = [name for name in means.labels.columns if name not in by]
    tests, labels, partial = [], [], []
    for own in split_by(means.labels, by):
        rows = means.labels.iloc[own].reset_index(drop=True)
        cells = Cells.of(rows, names, means.nesting)
        within = {name: rows[name].iloc[0] for name in by}
        functions = means.functions.taken(own)
        size = np.abs(functions.rows).max(axis=0)
        for term in cells.terms():
            effects = functions.combined(cells.effects(term)).without_rounding(size)
            if not len(effects.values):  # the model has no such term
                continue
            test = effects.joint()
            tests.append(test)
            labels.append({"term": ":".join(term), **within})
            if test.df_num < np.linalg.matrix_rank(effects.rows):
                partial.append(":".join(term))
    return _table(means, tests, pd.DataFrame(labels), partial)


def _table(
    means: MarginalMeans,
    tests: Sequence[JointTest],
    labels: pd.DataFrame,
    partial: Sequence[str],
    tested: Sequence[str] = (),
) -> StatsTable:
    frame = labels.assign(df=[float(test.df_num) for test in tests])
    columns: dict[str, list[Any]]
    if any(test.use_f and test.df_num for test in tests):
        columns = {
            "den_df": [test.df_denom for test in tests],
            "F": [test.fvalue for test in tests],
            "PR(>F)": [test.pvalue for test in tests],
        }
    else:
        columns = {"chi2": [test.wald for test in tests], "PR(>chi2)": [test.pvalue for test in tests]}
    frame = frame.assign(**columns)
    stubs = [name for name in ("term", *means.by) if name in frame]
    frame = frame.set_index(stubs) if stubs else frame
    notes = [f"Denominator degrees of freedom by {means.functions.model.denominator.label}."] if "F" in frame else []
    notes = [*means.functions.model.notes, *tested, *notes, *(told(means.nesting) if "term" in stubs else ())]
    if partial:
        notes.append(f"Only a part can be estimated (empty cells) of: {', '.join(dict.fromkeys(partial))}.")
    return StatsTable.from_frame(frame, heading="Joint tests", notes=notes)
