"""What the cases of messages are made of: a small table, and calls that wait."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import mixedfx as mfx

MODEL = "y ~ x + (1 | g)"
Case = tuple[Callable[[], Any], Any, tuple[str, ...]]
"""What is done, its class, words that the message must have (culprit and remedy)."""


def data(**changes: Any) -> pd.DataFrame:
    """48 rows in 8 groups; ``changes`` replaces columns."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(8), 6)
    x = rng.normal(size=48)
    y = x + 2.0 * rng.normal(size=8)[g] + rng.normal(size=48)
    s = rng.integers(0, 3, 48)
    frame = {"y": y, "x": x, "g": [f"g{i}" for i in g], "h": np.arange(48) % 4, "f": list("abc") * 16, "s": s}
    frame |= {
        "p": np.exp(x),
        "b": np.arange(48) % 2,
        "t": 3,
        "w": 1.0,
        "id": range(48),
        "when": pd.Timestamp("2024-01-01"),
    }
    return pd.DataFrame(frame | changes)


def lmer(formula: str = MODEL, **options: Any) -> Callable[[], Any]:
    frame = options.pop("data", None)
    return lambda: mfx.lmer(formula, data() if frame is None else frame, **options)


def glmer(formula: str, family: Any = "poisson", **options: Any) -> Callable[[], Any]:
    frame = options.pop("data", None)
    return lambda: mfx.glmer(formula, data() if frame is None else frame, family=family, **options)


def fitted(action: Callable[[Any], Any], formula: str = MODEL) -> Callable[[], Any]:
    return lambda: action(mfx.lmer(formula, data()))


def holes(column: str, rows: Any) -> pd.DataFrame:
    frame = data().astype({column: object})
    frame.loc[rows, column] = None
    return frame
