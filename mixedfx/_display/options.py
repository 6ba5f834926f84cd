"""What the user may choose for all that is shown."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from mixedfx._arguments import checked_flag
from mixedfx.exceptions import SpecificationError

__all__ = ["Options", "options"]


@dataclass
class Options:
    """Choices for the whole session: ``mfx.options``.

    Attributes
    ----------
    next_steps : bool
        Whether a summary ends with a line that says what to do next.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> mfx.options.next_steps
    True
    """

    next_steps: bool = True

    def __setattr__(self, name: str, value: Any) -> None:
        known = [field.name for field in fields(self)]
        if name not in known:
            raise SpecificationError(f"there is no option {name!r}; there is {', '.join(map(repr, known))}")
        super().__setattr__(name, checked_flag(name, value))


options = Options()
