"""What the interpreter does while something is tried."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Watch:
    """Notes the events that are forbidden; an audit hook cannot be taken away, so it is switched.

    Parameters
    ----------
    forbidden : callable
        Whether an audit event with these arguments must not happen.
    """

    def __init__(self, forbidden: Callable[[str, tuple[Any, ...]], bool]) -> None:
        self.forbidden, self.on = forbidden, False
        self.seen: list[tuple[str, tuple[Any, ...]]] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and self.forbidden(event, arguments):
            self.seen.append((event, arguments))

    @contextmanager
    def nothing_happens(self) -> Iterator[None]:
        """Fail if a forbidden event happens inside."""
        self.seen.clear()
        self.on = True
        try:
            yield
        finally:
            self.on = False
        assert self.seen == []
