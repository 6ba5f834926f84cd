"""Random effects as labelled tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.design import RandomEffects

__all__ = ["coefficients_by_level", "effect_frames"]


def effect_frames(terms: Sequence[RandomEffects], values: Sequence[Array]) -> dict[str, pd.DataFrame]:
    """Return group to DataFrame (levels x columns) from the values (q, m) of every term, those of a group together."""
    out: dict[str, pd.DataFrame] = {}
    for term, value in zip(terms, values, strict=True):
        frame = pd.DataFrame(value.T.copy(), index=term.levels, columns=list(term.names))
        out[term.group] = pd.concat([out[term.group], frame], axis=1) if term.group in out else frame
    return out


def coefficients_by_level(params: pd.Series[float], effects: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return fixed plus random effects: group to DataFrame (levels x coefficients).

    A fixed effect without a random counterpart is the same for all levels; a random effect without a fixed counterpart
    varies around zero and comes last.
    """
    out = {}
    for group, frame in effects.items():
        columns = {name: np.full(len(frame), value) for name, value in params.items()}
        for name in frame.columns:
            own = frame.loc[:, [name]].to_numpy().sum(axis=1)
            columns[name] = columns.get(name, np.zeros(len(frame))) + own
        out[group] = pd.DataFrame(columns, index=frame.index)
    return out
