"""Run bootstrap replicates in blocks: the same numbers whatever the number of workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfx._arguments import checked_seed
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.results.base import MixedResults
from mixedfx.results.resampling import Measure, Outcome, Scheme

__all__ = ["Block", "Workers", "blocks_for", "replicated", "seed_sequence"]

TOGETHER = 200  # replicates of a block that is fitted all at once
RESTARTS = 1  # of the work that killed workers have left
ONE_BY_ONE = 10  # replicates of a block whose fits follow one another


@dataclass(frozen=True)
class Block:
    """Some replicates with a seed of their own, which depends on nothing but their place."""

    count: int
    seed: np.random.SeedSequence


@dataclass(frozen=True)
class Workers:
    """How the work is done.

    Attributes
    ----------
    n_jobs : int
        Processes, as joblib counts them.
    progress : bool
        Whether to show a progress bar.
    """

    n_jobs: int = 1
    progress: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.n_jobs, bool) or not isinstance(self.n_jobs, int | np.integer):
            raise TypeError(f"n_jobs is the number of processes, a whole number; found {self.n_jobs!r}")
        if self.n_jobs == 0:
            raise SpecificationError("n_jobs is the number of processes: 1 or more, or -1 for one each core; found 0")

    def run(self, function: Any, tasks: list[tuple[Any, ...]], counts: list[int], title: str) -> list[Any]:
        """Return ``function(*task)`` of all tasks in their order."""
        found = self.run_numbered(function, tasks, counts, title)
        if found.stopped is not None:
            raise found.stopped
        return [result for _, result in sorted(found.results.items())]

    def run_numbered(self, function: Any, tasks: list[tuple[Any, ...]], counts: list[int], title: str) -> Run:
        """Return what was done, by the number of the task: all, unless the work was stopped (Ctrl-C, killed workers).

        Tasks of a worker that was killed are done again by a new one.
        """
        results: dict[int, Any] = {}
        left = list(range(len(tasks)))
        for attempt in range(1 + RESTARTS):
            try:
                for number, result in self._watched(self._results(function, tasks, left), counts, title):
                    results[number] = result
                return Run(results, None)
            except KeyboardInterrupt as stop:
                return Run(results, stop)
            except Exception as error:
                if not _was_killed(error):
                    raise
                left = [number for number in left if number not in results]
                if attempt == RESTARTS:
                    return Run(results, _killed())
        raise AssertionError("unreachable")

    def _results(self, function: Any, tasks: list[tuple[Any, ...]], left: list[int]) -> Iterable[tuple[int, Any]]:
        if self.n_jobs == 1 or len(tasks) == 1:
            return ((number, function(*tasks[number])) for number in left)
        from joblib import Parallel, delayed

        results: Iterable[tuple[int, Any]] = Parallel(n_jobs=self.n_jobs, return_as="generator_unordered")(
            delayed(_numbered)(number, function, tasks[number]) for number in left
        )
        return results

    def _watched(self, results: Iterable[tuple[int, Any]], counts: list[int], title: str) -> Iterator[tuple[int, Any]]:
        if not self.progress:
            yield from results
            return
        from tqdm.auto import tqdm

        with tqdm(total=sum(counts), desc=title) as bar:
            for number, result in results:
                bar.update(counts[number])
                yield number, result


def _numbered(number: int, function: Any, task: tuple[Any, ...]) -> tuple[int, Any]:
    return number, function(*task)


def _was_killed(error: Exception) -> bool:
    """Whether a worker process ended before its time; joblib's and the standard library's errors share this class."""
    return isinstance(error, BrokenExecutor)


def _killed() -> Exception:
    return DataError(
        "worker processes were killed again and again, most likely for want of memory: use fewer of them (n_jobs=)"
    )


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


@dataclass(frozen=True)
class Run:
    """Results by the number of their task, and what stopped the work before all were there, if anything did."""

    results: dict[int, Any]
    stopped: BaseException | None


def replicated(
    fit: MixedResults, scheme: Scheme, measure: Measure, n: int, seed: Any, workers: Workers
) -> list[Outcome]:
    """Return the outcomes of all blocks in their order; of those that were finished, if the work was stopped.

    Raises
    ------
    KeyboardInterrupt, DataError
        If it was stopped before any block was finished.
    """
    together = fit.refits_together and scheme.of_responses and measure.statistic is None
    blocks = blocks_for(n, TOGETHER if together else ONE_BY_ONE, seed)
    tasks = [(fit, measure, block.count, block.seed) for block in blocks]
    found = workers.run_numbered(scheme.replicate, tasks, [block.count for block in blocks], "bootstrap")
    if found.stopped is not None and not found.results:
        raise found.stopped
    return [outcome for _, outcome in sorted(found.results.items())]
