"""Columns of the data in the rows that are used, for what is not written in a formula."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mixedfx._typing import BoolArray
from mixedfx.matrices.columns import TimeColumn
from mixedfx.matrices.frame import Frame

__all__ = ["used_columns"]


def used_columns(frame: Frame, names: Sequence[str], keep: BoolArray | None) -> pd.DataFrame:
    """Return the named columns in the rows that are used: factors as categoricals, the others as numbers."""
    out = {}
    for name in names:
        column = frame.column(name)
        if column.is_factor or isinstance(column, TimeColumn):
            labels = column.labels.take(keep)
            out[name] = pd.Series(pd.Categorical.from_codes(labels.codes, categories=labels.levels))
        else:
            out[name] = pd.Series(column.numbers if keep is None else column.numbers[keep])
    return pd.DataFrame(out)
