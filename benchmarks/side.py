"""One side of ``benchmarks.compare``: reads names of tasks, one a line, and answers with CPU seconds."""

from __future__ import annotations

import sys
import time
import warnings

from benchmarks.tasks import Task, tasks

SHORT = 0.02  # CPU seconds that the runs behind one answer take together, at least
AT_MOST = 12  # runs behind one answer


def seconds(task: Task) -> float:
    """The shortest of a few runs, each of something made afresh: others on the machine only lengthen it."""
    times: list[float] = []
    while sum(times) < SHORT and len(times) < AT_MOST:
        made = task.make()
        start = time.process_time()
        task.run(made)
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    import mixedfx

    warnings.simplefilter("ignore")
    known = tasks()
    print(mixedfx.__file__, flush=True)
    for line in sys.stdin:
        try:
            print(seconds(known[line.strip()]), flush=True)
        except Exception as error:  # what one side cannot do is no comparison: the other side shall say so
            print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
