"""What a test of a mean or contrast asks: is it different from a value, beyond it, or close to it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError

__all__ = ["PLAIN", "Question", "question_for"]

SIDES = {"two-sided": 0, "greater": 1, "less": -1}


@dataclass(frozen=True)
class Question:
    """The hypothesis of a test.

    Attributes
    ----------
    null : float
        What the estimates are compared with, on the scale of the linear predictor.
    side : int
        0 for both, 1 for greater, -1 for less.
    delta : float
        Distance from ``null`` that does not matter; 0 for tests of a difference.
    """

    null: float = 0.0
    side: int = 0
    delta: float = 0.0

    @property
    def is_equivalence(self) -> bool:
        """Whether estimates are to be shown to lie within ``delta`` of ``null``, on both sides."""
        return self.delta > 0.0 and self.side == 0

    @property
    def direction(self) -> int:
        """Which statistics count as evidence: large ones (1), small ones (-1), or both (0)."""
        return -1 if self.is_equivalence else self.side

    def distance(self, estimates: Array) -> Array:
        """Return how far estimates (r,) are from the end of what the hypothesis claims."""
        difference = estimates - self.null
        if self.is_equivalence:
            return np.asarray(np.abs(difference) - self.delta)
        return np.asarray(difference + self.side * self.delta)

    @property
    def words(self) -> tuple[str, ...]:
        """What the table says of it; nothing of a two-sided test that estimates are zero."""
        if self.is_equivalence:
            return (f"Tests of equivalence: closer to {self.null:g} than {self.delta:g}.",)
        if self.delta > 0.0:
            word = "noninferiority" if self.side > 0 else "nonsuperiority"
            return (f"Tests of {word}: {self._side_word} than {self.null - self.side * self.delta:g}.",)
        if self.side:
            return (f"One-sided tests: {self._side_word} than {self.null:g}.",)
        return (f"Tested: the estimate is {self.null:g}.",) if self.null else ()

    @property
    def _side_word(self) -> str:
        return "greater" if self.side > 0 else "less"


PLAIN = Question()


def question_for(null: Any, side: Any, delta: Any) -> Question:
    """Resolve ``null=``, ``side=`` and ``delta=``.

    Raises
    ------
    SpecificationError
        If ``side`` is another word, or a number is not finite, or ``delta`` is negative.
    TypeError
        If ``null`` or ``delta`` is no number.
    """
    if not isinstance(side, str) or side not in SIDES:
        raise SpecificationError(f"side is one of {', '.join(map(repr, SIDES))}; found {side!r}")
    margin = _number("delta", delta)
    if margin < 0.0:
        raise SpecificationError(f"delta is a distance, not below zero; found {delta}")
    return Question(_number("null", null), SIDES[side], margin)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise TypeError(f"{name} is a number on the scale of the linear predictor; found {type(value).__name__}")
    if not np.isfinite(value):
        raise SpecificationError(f"{name} is a finite number on the scale of the linear predictor; found {value}")
    return float(value)
