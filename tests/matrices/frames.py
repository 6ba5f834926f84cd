"""A small data set for the tests of the design."""

import numpy as np
import pandas as pd


def small(n=24, seed=3):
    """Response, two numbers, a three-level factor, a group and a group whose labels are used again within it."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "y": random.normal(size=n),
            "x": random.normal(size=n),
            "z": random.uniform(1, 2, size=n),
            "f": np.array(["a", "b", "c"])[np.arange(n) % 3],
            "g": np.array(["g1", "g2", "g3", "g4"])[np.arange(n) // (n // 4) % 4],
            "h": np.array(["p", "q"])[np.arange(n) % 2],
        }
    )
