"""The reference rows of a further linear predictor: where its value is the one that tables show."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfx._typing import Array
from mixedfx.exceptions import DataError
from mixedfx.matrices.encoder import FormulaicEncoder
from mixedfx.matrices.fixed import FixedEffects

__all__ = ["Reference"]


class Reference:
    """The first level of every factor and zero of every number, whatever the coding: as in residual structures.

    Attributes
    ----------
    row : (k,)
        Columns of the predictor there; of the average row where the columns are not defined there (a logarithm).
    words : str
        Where that is: ``"f = 'a', x = 0"``.
    """

    row: Array
    words: str

    def __init__(self, fixed: FixedEffects) -> None:
        encoder = fixed.encoder
        levels = encoder.levels if isinstance(encoder, FormulaicEncoder) else {}
        values: dict[str, Any] = {}
        for name in encoder.variables:
            own = levels.get(name, levels.get(f"C({name})"))
            values[name] = 0.0 if own is None else own[0]
        self.row, self.words = fixed.matrix.mean(axis=0), "the average row"
        if not values:
            return
        try:
            with np.errstate(all="ignore"):
                row = fixed.encode({name: [value] for name, value in values.items()})[0]
        except (DataError, ArithmeticError):
            return
        if np.isfinite(row).all():
            self.row = row
            self.words = ", ".join(f"{k} = {0 if v == 0.0 else repr(v)}" for k, v in values.items())
