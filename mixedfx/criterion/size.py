"""Whether the equations of a design fit into memory, asked before anything large is allocated."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mixedfx.exceptions import SpecificationError
from mixedfx.linalg.layout import Layout
from mixedfx.matrices import Design

__all__ = ["check_memory", "needed_bytes"]

DENSE_MATRICES = 14  # square matrices of a dense remainder that live at the same time at the peak of a fit (measured)
SPARSE_VECTORS = 10  # the same for the vector of a sparse remainder's cells
PAIR_BYTES = 48  # what one pair of entries of a sparse cross block takes, with its indices
USABLE = 0.8  # share of the machine's memory that a fit may take
CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
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
    copies = DENSE_MATRICES if layout.plan is None else SPARSE_VECTORS
    return 8.0 * copies * float(layout.square.n_cells) + PAIR_BYTES * float(np.sum(sparse))


def _machine_memory() -> float:
    """What the machine has, or the container's share of it where the system tells."""
    try:
        physical = float(os.sysconf("SC_PAGE_SIZE")) * float(os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        physical = UNKNOWN_MEMORY
    return min([physical, *_container_limits()])


def _container_limits() -> list[float]:
    found = []
    for path in CONTAINER_LIMITS:
        try:
            found.append(float(Path(path).read_text()))
        except (OSError, ValueError):  # no such file; "max": no limit
            continue
    return found
