"""The process in which ``test_workers.py`` presses Ctrl-C: it starts long work and tells what has become of it."""

import os
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

import mixedfx as mfx
from mixedfx._workers import Workers

MANY = 100_000


def fits():
    data = mfx.load_dataset("cbpp")
    formula = "cbind(incidence, size - incidence) ~ {} + (1 | herd)"
    return [mfx.glmer(formula.format(fixed), data, family="binomial") for fixed in ("1", "period")]


@contextmanager
def endless(times):
    """Within, all work takes for ever: every task is done so many times; "at work" is printed after the first ones."""
    pieces, run = Workers._pieces, Workers.run_as_far

    def told(self, *arguments):
        for number, piece in enumerate(pieces(self, *arguments)):
            if number == 2:
                print("at work", flush=True)
            yield piece

    def repeated(self, function, shared, tasks, title, amounts=None):
        return run(self, function, shared, list(tasks) * times, title)

    Workers._pieces, Workers.run_as_far = told, repeated
    yield
    Workers._pieces, Workers.run_as_far = pieces, run


def workers():
    """Processes that this one has started and that live, but for joblib's and Python's own trackers."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            command = (path / "cmdline").read_text()
        except OSError:  # it has just ended
            continue
        if parent == os.getpid() and "tracker" not in command:
            found.append(command)
    return found


def main():
    kind, n_jobs = sys.argv[1], int(sys.argv[2])
    small, large = fits()
    options = {"n_jobs": n_jobs, "progress": True}
    work = {
        "bootstrap": lambda n: mfx.bootstrap(large, n, seed=1, **options).to_frame(),
        "test": lambda n: mfx.bootstrap_test(small, large, n, seed=1, **options).replicates,
        "profile": lambda n: mfx.profile(large, **options).conf_int(),
        "influence": lambda n: mfx.influence(large, "herd", **options).params,
    }[kind]
    before = np.asarray(work(4))
    with endless(1 if kind in ("bootstrap", "test") else MANY):
        try:
            print("kept some" if 0 < len(work(MANY)) < MANY else "was not interrupted")
        except KeyboardInterrupt:
            print("KeyboardInterrupt")
    print(workers() or "no workers")
    print(list(tqdm._instances) or "no bar")
    print("the same numbers" if np.array_equal(np.asarray(work(4)), before) else "other numbers")


if __name__ == "__main__":
    warnings.simplefilter("ignore", mfx.MixedfxWarning)
    main()
