"""Labels of new data in the levels that a model learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfx.exceptions import DataError
from mixedfx.matrices.labels import Labels

__all__ = ["ordered_levels", "recoded"]


def recoded(name: str, labels: Labels, levels: pd.Index[Any]) -> Labels:
    """Return the labels in the levels that were learnt.

    Raises
    ------
    DataError
        If a label was unknown when the model was fitted.
    """
    codes = labels.recode(levels)
    unknown = (codes < 0) & (labels.codes >= 0)
    if unknown.any():
        found = labels.levels[np.unique(labels.codes[unknown])].tolist()
        known = levels.tolist()
        shown = ", ".join(map(repr, known[:20])) + (", …" if len(known) > 20 else "")
        raise DataError(
            f"{name!r} has {'levels' if len(found) > 1 else 'the level'} {', '.join(map(repr, found[:5]))}, unknown to "
            f"the fitted model; known levels: {shown}"
        )
    return Labels(codes, levels)


def ordered_levels(name: str, labels: Labels, wanted: Any) -> pd.Index[Any]:
    """Return the levels of ``labels`` in their own order, or in the order in which ``wanted`` lists them.

    Raises
    ------
    DataError
        If ``wanted`` leaves one out.
    """
    if wanted is None:
        return labels.levels
    listed = list(wanted) if isinstance(wanted, list) else [wanted]
    found = labels.levels.tolist()
    absent = [level for level in found if level not in listed]
    if absent:
        raise DataError(
            f"levels={listed} leaves out {', '.join(map(repr, absent[:5]))}, which occur in {name}; list every level"
        )
    return labels.levels[[found.index(level) for level in dict.fromkeys(listed) if level in found]]
