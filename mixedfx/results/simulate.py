"""Draw responses from a fitted linear mixed model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mixedfx._typing import Array
from mixedfx.design import Design, RandomEffects
from mixedfx.exceptions import SpecificationError

__all__ = ["checked_count", "draw_effects", "generator", "random_parts"]

SOURCES = ("new", "fitted")


def generator(seed: Any) -> np.random.Generator:
    """Return numpy's generator for a seed, a SeedSequence or a generator."""
    if seed is None or isinstance(seed, int | np.integer | np.random.SeedSequence | np.random.Generator):
        return np.random.default_rng(seed)
    raise TypeError(f"seed is a whole number, a SeedSequence, a Generator or None; found {type(seed).__name__}")


def checked_count(n: Any) -> int:
    """Return the number of draws."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise TypeError(f"n is the number of draws, a whole number; found {n!r}")
    if n < 1:
        raise SpecificationError(f"n is the number of draws, at least 1; found {n}")
    return int(n)


def draw_effects(term: RandomEffects, root: Array, n: int, rng: np.random.Generator) -> Array:
    """Return n draws (q, m, n) of one term's random effects with covariance ``root @ root.T`` (q, q)."""
    m = len(term.levels)
    b = np.tensordot(root, rng.standard_normal((root.shape[1], m, n)), axes=1)
    return b if term.loading is None else np.einsum("lm,qmn->qln", term.loading, b)


def random_parts(
    design: Design,
    roots: Sequence[Array],
    modes: Sequence[Array],
    n: int,
    rng: np.random.Generator,
    random: str,
) -> Array:
    """Return ``Z b`` (rows, n), with new draws of the random effects or with the fitted ones."""
    if random not in SOURCES:
        raise SpecificationError(f'random is "new" (drawn afresh) or "fitted" (conditional modes); found {random!r}')
    out = np.zeros((design.n_rows, n))
    for term, root, mode in zip(design.random, roots, modes, strict=True):
        b = draw_effects(term, root, n, rng) if random == "new" else mode[:, :, None]
        for column, part in zip(term.matrix.T, b, strict=True):
            out += column[:, None] * part[term.codes]
    return out
