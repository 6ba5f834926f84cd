"""Errors and warnings of mixedfx: each names the culprit, what was found and what to write instead."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

__all__ = [
    "ConvergenceWarning",
    "DataError",
    "MixedfxWarning",
    "RankDeficientWarning",
    "SeparationWarning",
    "SingularFitWarning",
    "SpecificationError",
    "warn",
]


def warn(message: str, category: type[MixedfxWarning]) -> None:
    """Warn at the line of the caller outside this package."""
    frame, depth, own = sys._getframe(1), 2, f"{Path(__file__).parent}{os.sep}"
    while frame.f_back is not None and frame.f_back.f_code.co_filename.startswith(own):
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, category, stacklevel=depth + 1)


class SpecificationError(ValueError):
    """The formula or an argument asks for something that has no meaning.

    Parameters
    ----------
    message : str
        What is wrong and what to write instead.
    formula : str, optional
        The text in which the mistake stands.
    position : int, optional
        Offset in ``formula`` that a caret will mark.

    Examples
    --------
    >>> from mixedfx import SpecificationError
    >>> print(SpecificationError("a bar needs parentheses", formula="y ~ x + 1|g", position=9))
    a bar needs parentheses
        y ~ x + 1|g
                 ^
    """

    def __init__(self, message: str, *, formula: str | None = None, position: int | None = None) -> None:
        self.message, self.formula, self.position = message, formula, position
        if formula is not None and position is not None:
            start = max(0, position - 60)
            shown = formula[start : position + 60].replace("\n", " ")
            message = f"{message}\n    {shown}\n    {' ' * (position - start)}^"
        super().__init__(message)


class DataError(ValueError):
    """The data cannot serve the model: a column is missing, not numeric, not finite, constant, …

    Examples
    --------
    >>> import mixedfx as mfx
    >>> try:
    ...     mfx.lmer("Reaction ~ Dayz + (1 | Subject)", mfx.load_dataset("sleepstudy"))
    ... except mfx.DataError as error:
    ...     print("Dayz" in str(error))
    True
    """


class MixedfxWarning(UserWarning):
    """Base of all warnings of mixedfx, so that one filter can treat them alike."""


class ConvergenceWarning(MixedfxWarning):
    """The optimiser stopped away from an optimum; ``fit.certificate`` says how far."""


class SingularFitWarning(MixedfxWarning):
    """A variance is estimated as zero or a correlation as ±1: the estimate lies on the boundary."""


class RankDeficientWarning(MixedfxWarning):
    """Fixed-effects columns that are combinations of earlier ones were dropped; the message names them."""


class SeparationWarning(MixedfxWarning):
    """A fixed effect separates the outcomes: its estimate runs off to infinity; the message names the column."""
