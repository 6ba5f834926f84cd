"""Run bootstrap replicates in blocks: the same numbers whatever the number of workers."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfx._arguments import checked_seed
from mixedfx._workers import Workers
from mixedfx.results.base import MixedResults
from mixedfx.results.resampling import Block, Measure, Outcome, Scheme

__all__ = ["blocks_for", "groups_of", "replicated", "seed_sequence"]

TOGETHER = 200  # replicates of a block that is fitted all at once
ONE_BY_ONE = 1  # replicates of a block whose fits follow one another
GROUP = 100  # replicates with a seed each that are fitted at once


def seed_sequence(seed: Any) -> np.random.SeedSequence:
    """Return the sequence from which the seeds of the blocks are spawned, fresh ones however often it was used."""
    if isinstance(seed, np.random.SeedSequence):
        return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
    if isinstance(seed, np.random.Generator):
        return np.random.SeedSequence(seed.integers(2**63, size=4).tolist())
    checked = checked_seed(seed)
    return np.random.SeedSequence(None if checked is None else int(checked))


def blocks_for(n: int, size: int, seed: Any) -> list[Block]:
    """Cut ``n`` replicates into blocks of ``size``, the last one smaller."""
    counts = [min(size, n - start) for start in range(0, n, size)]
    seeds = seed_sequence(seed).spawn(len(counts))
    return [Block(count, own) for count, own in zip(counts, seeds, strict=True)]


def groups_of(fit: MixedResults, n: int, seed: Any, *, usual: bool) -> list[tuple[Block, ...]]:
    """Return the blocks of ``n`` replicates, grouped by what is worked on at once.

    ``usual`` says that nothing but the usual quantities of new responses is wanted.
    """
    blocks = blocks_for(n, TOGETHER if usual and fit.refits_together else ONE_BY_ONE, seed)
    size = GROUP if usual and fit.refits_grouped and not fit.refits_together else 1
    return [tuple(blocks[start : start + size]) for start in range(0, len(blocks), size)]


def replicated(
    fit: MixedResults, scheme: Scheme, measure: Measure, n: int, seed: Any, workers: Workers
) -> list[Outcome]:
    """Return the outcomes of all blocks in their order; of those that were finished, if the work was stopped.

    Raises
    ------
    KeyboardInterrupt, DataError
        If it was stopped before any block was finished.
    """
    groups = groups_of(fit, n, seed, usual=scheme.of_responses and measure.statistic is None)
    tasks, counts = [(group,) for group in groups], [sum(block.count for block in group) for group in groups]
    found = workers.run_as_far(scheme.replicate, (fit, measure), tasks, "bootstrap", counts)
    if found.stopped is not None and not found.results:
        raise found.stopped
    return found.in_order()
