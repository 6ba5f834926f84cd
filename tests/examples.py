"""How many examples a law is tried on: few by default, four times as many in CI, by the profiles of ``conftest.py``."""

from math import ceil
from typing import Any

from hypothesis import settings

USUAL = 15  # of the default profile


def examples(n: int, **options: Any) -> settings:
    """Settings with ``n`` examples where the default profile has 15, and as many more where another has more."""
    return settings(max_examples=ceil(n * settings().max_examples / USUAL), **options)
