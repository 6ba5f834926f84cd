"""What is seen of long work: one rule for every loop that may take long.

A bar is drawn only where somebody is looking (a terminal, a notebook) and once the first pieces show that the whole
will take more than a few seconds. Work within work that is watched already stays silent, and so do worker processes.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing, contextmanager
from typing import Any, TypeVar

from mixedfx._arguments import checked_flag

__all__ = ["checked_progress", "unwatched", "watched"]

LONG = 5.0  # seconds; work that is expected to take longer is shown
SOONEST = 0.5  # seconds before which nothing is expected: the first pieces are slower than the others
KERNEL = "ZMQInteractiveShell"  # IPython's shell behind notebooks

T = TypeVar("T")
_within: list[str] = []  # titles of the loops that are running


def checked_progress(progress: Any) -> bool | None:
    """Return ``progress`` if it is True, False or None, or raise a TypeError."""
    return None if progress is None else checked_flag("progress", progress)


def watched(
    pieces: Iterable[T],
    total: int,
    title: str,
    progress: bool | None = None,
    amount: Callable[[T], int] = lambda piece: 1,
) -> Generator[T, None, None]:
    """Yield ``pieces`` as they are made, with a bar if that takes long.

    Parameters
    ----------
    pieces : iterable
        Made while it is iterated over.
    total : int
        What the amounts of all pieces sum to.
    title : str
        What stands before the bar.
    progress : bool, optional
        True: a bar in any case; False: none; None: if somebody is looking and the work is expected to take longer than
        :data:`LONG` seconds.
    amount : callable
        From a piece to how much of the work it is.

    Notes
    -----
    Iterate within ``contextlib.closing``: the bar is then closed when an exception, Ctrl-C among them, ends the loop.

    Examples
    --------
    >>> list(watched((n * n for n in range(3)), 3, "squares", progress=False))
    [0, 1, 4]
    """
    started, done = time.time(), 0
    may = _is_looked_at() if progress is None else progress
    with ExitStack() as stack:
        if isinstance(pieces, Generator):
            stack.enter_context(closing(pieces))
        stack.enter_context(unwatched(title))
        bar = stack.enter_context(_bar(total, title, started)) if progress else None
        for piece in pieces:
            more = amount(piece)
            done += more
            if bar is not None:
                bar.update(more)
            elif may and is_long(time.time() - started, done / total):
                bar = stack.enter_context(_bar(total, title, started))
                bar.update(done)
            yield piece


def is_long(elapsed: float, share: float) -> bool:
    """Whether work of which a ``share`` took ``elapsed`` seconds is expected to take long as a whole."""
    return elapsed >= SOONEST and elapsed > LONG * share


@contextmanager
def unwatched(title: str) -> Generator[None, None, None]:
    """Let no loop within show a bar, unless it is told to."""
    _within.append(title)
    try:
        yield
    finally:
        _within.remove(title)


def _is_looked_at() -> bool:
    """Whether a bar would be seen: no other is about to be, and standard error is a terminal or part of a notebook."""
    if _within or os.environ.get("TQDM_DISABLE", "0") not in ("", "0"):
        return False
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return type(shell).__name__ == KERNEL or bool(sys.stderr and sys.stderr.isatty())


def _bar(total: int, title: str, started: float) -> Any:
    """Return a bar whose clock has run since ``started``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without ipywidgets gets a bar of text
        from tqdm.auto import tqdm

    bar = tqdm(total=total, desc=title, disable=False)
    bar.start_t = bar.last_print_t = started
    return bar
