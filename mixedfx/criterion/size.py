"""Whether the equations of a design fit into memory, asked before anything large is allocated."""

from __future__ import annotations

import os

import numpy as np

from mixedfx.design import Design
from mixedfx.exceptions import SpecificationError
from mixedfx.linalg.layout import Layout

__all__ = ["check_memory", "needed_bytes"]

MATRICES = 3  # cross-products, factor and inverse of the remainder live at the same time
PAIR_BYTES = 48  # what one pair of entries of a sparse cross block takes, with its indices
USABLE = 0.8  # share of the machine's memory that a fit may take
UNKNOWN_MEMORY = 16e9  # assumed where the system does not say how much it has


def check_memory(design: Design, layout: Layout) -> None:
    """Refuse crossed factors whose equations would not fit.

    Raises
    ------
    SpecificationError
        Naming the factors, the size and what to do.
    """
    needed, available = needed_bytes(layout), _machine_memory()
    if needed <= USABLE * available:
        return
    names: dict[str, int] = {term.group: len(term.levels) for term in design.random}
    listed = ", ".join(f"{name!r} ({count:,} levels)" for name, count in names.items())
    raise SpecificationError(
        f"the crossed grouping factors {listed} leave {layout.n_remainder:,} random effects that depend on each other: "
        f"their equations need about {needed / 1e9:,.1f} GB of memory, and this machine has {available / 1e9:,.1f} GB. "
        "Drop or merge the levels with few rows of the smaller factor, fit a sample of its levels, or leave out its "
        "random slopes"
    )


def needed_bytes(layout: Layout) -> float:
    """Return the memory that the factorisation needs at its peak, in bytes."""
    if layout.n_remainder == 0:
        return 0.0
    sparse = [p.n_pairs for p, dense in zip(layout.patterns, layout.dense_cross, strict=True) if not dense]
    n_cells = float(layout.n_remainder) ** 2 if layout.plan is None else float(layout.plan.n_cells)
    return 8.0 * MATRICES * n_cells + PAIR_BYTES * float(np.sum(sparse))


def _machine_memory() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * float(os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return UNKNOWN_MEMORY
