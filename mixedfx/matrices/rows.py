"""The rows of a frame that a model uses, column by column."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mixedfx._typing import Array, BoolArray
from mixedfx.matrices.frame import Frame
from mixedfx.matrices.labels import Labels

__all__ = ["Rows"]


class Rows:
    """A frame restricted to the rows where ``keep`` holds (all rows if it is None).

    Parameters
    ----------
    frame : Frame
        The data.
    keep : numpy.ndarray of bool, optional
        The rows (n,) that are used.
    """

    def __init__(self, frame: Frame, keep: BoolArray | None = None) -> None:
        self.frame, self.keep = frame, keep
        self.size = len(frame) if keep is None else int(keep.sum())
        self._labels: dict[str, Labels] = {}
        self._numbers: dict[str, Array] = {}

    @property
    def index(self) -> pd.Index[Any]:
        """Labels of the rows that are used."""
        return self.frame.index if self.keep is None else self.frame.index[self.keep]

    def all(self) -> Rows:
        """Return all rows of the frame."""
        return self if self.keep is None else Rows(self.frame)

    def is_factor(self, name: str) -> bool:
        """Say whether a formula reads the column as a factor."""
        return self.frame.column(name).is_factor

    def is_logical(self, name: str) -> bool:
        """Say whether the values of a column are True and False."""
        return self.frame.column(name).is_logical

    def numbers(self, name: str) -> Array:
        """Return the values of a column as float64; do not write to them."""
        values = self._numbers.get(name)
        if values is None:
            values = self.frame.column(name).numbers
            values = self._numbers[name] = values if self.keep is None else values[self.keep]
        return values

    def labels(self, name: str) -> Labels:
        """Return the values of a column as labels; levels that do not occur are left out."""
        labels = self._labels.get(name)
        if labels is None:
            labels = self.frame.column(name).labels
            labels = self._labels[name] = labels if self.keep is None else labels.take(self.keep)
        return labels
