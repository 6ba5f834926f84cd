"""Errors and warnings of mixedfx: each names the culprit, what was found and what to write instead."""

from __future__ import annotations

import os
import sys
import warnings
from dis import opname
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = [
    "ConvergenceWarning",
    "DataError",
    "MixedfxWarning",
    "RankDeficientWarning",
    "SeparationWarning",
    "SingularFitWarning",
    "SpecificationError",
    "UnknownArgumentError",
    "UnknownNameError",
    "told_in_notebooks",
    "warn",
]


def warn(message: str, category: type[MixedfxWarning]) -> None:
    """Warn at the line of the caller outside this package."""
    frame, depth = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_back.f_code.co_filename.startswith(OWN):
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, category, stacklevel=depth + 1)


OWN = f"{Path(__file__).parent}{os.sep}"


class _ForTheUser(Exception):
    """An error whose message says all: notebooks show it below the user's own lines, without the frames in here."""

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows instead of the whole traceback (all of it under ``%xmode Verbose``)."""
        return _rendered(self)


def told_in_notebooks(error: TypeError) -> None:
    """Let notebooks show a TypeError that this package raised on purpose as they show its own classes of errors."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or not trace.tb_frame.f_code.co_filename.startswith(OWN):
        return
    if opname[trace.tb_frame.f_code.co_code[trace.tb_lasti]] == "RAISE_VARARGS":
        error._render_traceback_ = partial(_rendered, error)  # type: ignore[attr-defined]


def _rendered(error: BaseException) -> list[str]:
    """Return what IPython shows of an error: the user's own lines and the message."""
    shell: Any = sys.modules["IPython"].get_ipython()
    printer, kind = shell.InteractiveTB, type(error)
    if printer.mode == "Verbose":
        whole: list[str] = printer.structured_traceback(kind, error, error.__traceback__)
        return whole
    bare = kind.__new__(kind)  # without causes, which lie in here too
    bare.args = error.args
    shown: list[str] = printer.structured_traceback(
        kind, bare, _without_own(error.__traceback__), tb_offset=printer.tb_offset
    )
    return shown


def _without_own(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback up to the first frame of this package."""
    if trace is None or trace.tb_frame.f_code.co_filename.startswith(OWN):
        return None
    return TracebackType(_without_own(trace.tb_next), trace.tb_frame, trace.tb_lasti, trace.tb_lineno)


class UnknownNameError(_ForTheUser, AttributeError):
    """Something has no such attribute; the message says what it is called here."""


class UnknownArgumentError(_ForTheUser, TypeError):
    """A function has no such argument, or needs another one; the message says what to write."""


class SpecificationError(_ForTheUser, ValueError):
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


class DataError(_ForTheUser, ValueError):
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
