"""Many pieces of work, done here or by the workers of whatever back end of joblib the user has chosen.

What all pieces need (a fit, as a rule) is pickled once into one array of bytes, which joblib maps into memory where it
is large, and which every worker opens once. What comes back is the same as without workers: results, errors, warnings.
"""

from __future__ import annotations

import pickle
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx._progress import checked_progress, unwatched, watched
from mixedfx.exceptions import DataError, MixedfxWarning, SpecificationError

__all__ = ["Run", "Workers"]

RESTARTS = 1  # of the work that killed workers have left
ALIGNED = 16  # bytes: where arrays may begin, as they do when NumPy makes them; elsewhere sums end in other last digits
KEPT = 1e8  # bytes; what is larger is opened anew for every task, so that no idle worker holds on to it
KILLED = ("TerminatedWorkerError", "KilledWorker")  # what joblib and Dask call a worker that ended before its time

Bytes = NDArray[np.uint8]
Numbered = tuple[int, Any]
Warned = tuple[Warning | str, type[Warning], str, int]


@dataclass(frozen=True)
class Run:
    """Results by the number of their task, and what stopped the work before all were there, if anything did."""

    results: dict[int, Any]
    stopped: BaseException | None

    def in_order(self) -> list[Any]:
        """Return the results that there are in the order of their tasks."""
        return [result for _, result in sorted(self.results.items())]


class _Killed(DataError):
    """Workers were killed, again and again."""


@dataclass(frozen=True)
class Workers:
    """How work that consists of many independent tasks is done.

    Attributes
    ----------
    n_jobs : int, optional
        Processes, as joblib counts them; if omitted what ``joblib.parallel_config`` says, and 1 outside of it.
    progress : bool, optional
        Whether to show a bar; if omitted where somebody looks and the work is long (see ``_progress``).
    """

    n_jobs: int | None = None
    progress: bool | None = None

    def __post_init__(self) -> None:
        checked_progress(self.progress)
        if self.n_jobs is None:
            return
        if isinstance(self.n_jobs, bool) or not isinstance(self.n_jobs, int | np.integer):
            raise TypeError(f"n_jobs is the number of processes, a whole number; found {self.n_jobs!r}")
        if self.n_jobs == 0:
            raise SpecificationError("n_jobs is the number of processes: 1 or more, or -1 for one each core; found 0")

    def run(
        self,
        function: Callable[..., Any],
        shared: tuple[Any, ...],
        tasks: Sequence[tuple[Any, ...]],
        title: str,
        amounts: Sequence[int] | None = None,
    ) -> list[Any]:
        """Return ``function(*shared, *task)`` of all tasks in their order.

        Parameters
        ----------
        function : callable
            Of a module, so that it can be pickled by its name.
        shared : tuple
            What every task needs; it is sent to every worker once, its arrays cannot be written to there.
        tasks : sequence of tuple
            Small.
        title : str
            What stands before the bar.
        amounts : sequence of int, optional
            How much of the work each task is; 1 if omitted.
        """
        found = self.run_as_far(function, shared, tasks, title, amounts)
        if found.stopped is not None:
            raise found.stopped
        return found.in_order()

    def run_as_far(
        self,
        function: Callable[..., Any],
        shared: tuple[Any, ...],
        tasks: Sequence[tuple[Any, ...]],
        title: str,
        amounts: Sequence[int] | None = None,
    ) -> Run:
        """Return what was done: all, unless the work was stopped (Ctrl-C, killed workers).

        Tasks of a worker that was killed are done again by a new one.
        """
        sizes, results = [1] * len(tasks) if amounts is None else amounts, dict[int, Any]()
        pieces = self._pieces(function, shared, tasks, results)
        try:
            with closing(watched(pieces, sum(sizes), title, self.progress, lambda piece: sizes[piece[0]])) as seen:
                for number, result in seen:
                    results[number] = result
        except (KeyboardInterrupt, _Killed) as stopped:
            return Run(results, stopped)
        return Run(results, None)

    def _pieces(
        self,
        function: Callable[..., Any],
        shared: tuple[Any, ...],
        tasks: Sequence[tuple[Any, ...]],
        done: dict[int, Any],
    ) -> Generator[Numbered, None, None]:
        """Yield numbers of tasks and their results as they are made; ``done`` grows meanwhile."""
        if len(tasks) <= 1 or self._count() == 1:
            yield from ((number, function(*shared, *task)) for number, task in enumerate(tasks))
            return
        for _ in range(1 + RESTARTS):
            left = [(number, task) for number, task in enumerate(tasks) if number not in done]
            try:
                yield from _spread(self.n_jobs, function, shared, left)
            except Exception as error:
                if not _was_killed(error):
                    raise
            else:
                return
        raise _Killed(
            "worker processes were killed again and again, most likely for want of memory: use fewer of them (n_jobs=)"
        )

    def _count(self) -> int:
        """Number of workers that there would be."""
        if self.n_jobs == 1 or (self.n_jobs is None and "joblib" not in sys.modules):  # nobody has configured it
            return 1
        from joblib import effective_n_jobs

        return int(effective_n_jobs(self.n_jobs))


def _was_killed(error: Exception) -> bool:
    return any(kind.__name__ in KILLED for kind in type(error).__mro__)


# ---------------------------------------------------------------- by joblib
def _spread(
    n_jobs: int | None, function: Callable[..., Any], shared: tuple[Any, ...], tasks: Sequence[tuple[int, Any]]
) -> Generator[Numbered, None, None]:
    """Yield numbers and results of numbered tasks as joblib's workers return them."""
    from uuid import uuid4

    from joblib import Parallel, delayed
    from joblib.parallel import get_active_backend

    backend, _ = get_active_backend()
    one_by_one = "generator_unordered" if backend.supports_return_generator else "list"
    with _one_thread_each(backend):
        parallel = Parallel(n_jobs=n_jobs, return_as=one_by_one)
    if getattr(backend, "supports_sharedmem", False):
        with warnings.catch_warnings():  # threads share the filters, and leave those of whichever ends last
            warnings.simplefilter("ignore", MixedfxWarning)
            calls = (delayed(_here)(number, function, shared, task) for number, task in tasks)
            with _quietly_closing(parallel(calls)) as results:
                for number, result in results:
                    yield number, result
        return
    token, parcel, said = uuid4().hex, _parcel((function, shared)), dict[Any, Any]()
    sent = (delayed(_there)(number, task, token, parcel) for number, task in tasks)
    with _quietly_closing(_sent(parallel, sent)) as results:
        for number, result, warned in results:
            for message, category, filename, line in warned:
                warnings.warn_explicit(message, category, filename, line, registry=said)
            yield number, result


def _one_thread_each(backend: Any) -> AbstractContextManager[Any]:
    """Let every new process compute with one thread, unless the user has said with how many."""
    from joblib import parallel_config

    said = getattr(backend, "inner_max_num_threads", None) is not None or getattr(backend, "backend_kwargs", {})
    if type(backend).__name__ != "LokyBackend" or said:
        return nullcontext()
    context: AbstractContextManager[Any] = parallel_config("loky", inner_max_num_threads=1)
    return context


def _sent(parallel: Any, calls: Iterator[Any]) -> Iterator[Any]:
    """Yield what comes back; what cannot be sent back (an error of somebody's class) is one that says what to do."""
    from concurrent.futures import BrokenExecutor

    try:
        yield from parallel(calls)
    except BrokenExecutor as error:
        if _was_killed(error):
            raise
        raise _unsendable(error) from error


def _unsendable(error: Exception) -> SpecificationError:
    return SpecificationError(
        f"what the work needs, or what comes of it, cannot be sent to other processes and back ({error}): use n_jobs=1 "
        'or joblib.parallel_config("threading")'
    )


@contextmanager
def _quietly_closing(results: Any) -> Generator[Any, None, None]:
    """Stop the workers if the results are not wanted to their end, without joblib's warning that this is a waste."""
    try:
        yield results
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if isinstance(results, Generator):
                results.close()


# ---------------------------------------------------------------- in the workers
_opened: dict[str, tuple[Any, Any]] = {}  # what this process was sent last, by its token


def _here(number: int, function: Callable[..., Any], shared: tuple[Any, ...], task: tuple[Any, ...]) -> Numbered:
    return number, function(*shared, *task)


def _there(number: int, task: tuple[Any, ...], token: str, parcel: Bytes) -> tuple[int, Any, list[Warned]]:
    """Do one task in another process: its number, its result, and what was warned of."""
    function, shared = _unpacked(token, parcel)
    with unwatched("worker"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # the filters of the user are in the process of the user
        result = function(*shared, *task)
    return number, result, [(one.message, one.category, one.filename, one.lineno) for one in caught]


def _unpacked(token: str, parcel: Bytes) -> tuple[Any, Any]:
    if token in _opened:
        return _opened[token]
    _opened.clear()
    try:
        found: tuple[Any, Any] = _open(parcel)
    except Exception as error:  # a module that this process does not find, …
        raise _unsendable(error) from error
    if parcel.nbytes <= KEPT:
        _opened[token] = found
    return found


def _parcel(thing: Any) -> Bytes:
    """Return a pickle in one array: the places of its parts, the pickle itself, and the arrays that it refers to.

    Raises
    ------
    SpecificationError
        If something cannot be pickled.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        head = _cloudpickle().dumps(thing, protocol=5, buffer_callback=buffers.append)
    except Exception as error:  # whatever the methods for pickling of somebody's class raise
        raise _unsendable(error) from error
    parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
    sizes = np.array([len(parts), *(part.nbytes for part in parts)], dtype=np.int64)
    places = _places(sizes)
    out = np.zeros(places[-1], dtype=np.uint8)
    out[: sizes.nbytes] = sizes.view(np.uint8)
    for part, start in zip(parts, places[:-1], strict=True):
        out[start : start + part.nbytes] = np.frombuffer(part, dtype=np.uint8)
    return out


def _open(parcel: Bytes) -> Any:
    """Return what was pickled, its arrays views of the parcel that cannot be written to."""
    parcel = _aligned(parcel).view()
    parcel.flags.writeable = False
    count = int(parcel[:8].view(np.int64)[0])
    sizes = parcel[: 8 * (count + 1)].view(np.int64)
    head, *buffers = (parcel[start : start + size] for start, size in zip(_places(sizes), sizes[1:], strict=False))
    return pickle.loads(head.data, buffers=buffers)


def _aligned(parcel: Bytes) -> Bytes:
    """Return the parcel, or a copy that begins where an array may."""
    if parcel.ctypes.data % ALIGNED == 0:
        return parcel
    room = np.empty(parcel.size + ALIGNED, dtype=np.uint8)
    start = -room.ctypes.data % ALIGNED
    out: Bytes = room[start : start + parcel.size]
    out[:] = parcel
    return out


def _places(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where parts begin, aligned, behind the table of their number and sizes; the end of the last one."""
    taken = -(-np.concatenate([[sizes.nbytes], sizes[1:]]) // ALIGNED) * ALIGNED
    return np.cumsum(taken)


def _cloudpickle() -> Any:
    """Return cloudpickle, which older versions of joblib bring along."""
    try:
        import cloudpickle
    except ImportError:
        from joblib.externals import cloudpickle
    return cloudpickle
