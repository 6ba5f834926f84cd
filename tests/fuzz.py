"""Random formulas and frames, valid and broken: nothing may crash, hang, leak or lie.

    python -m tests.fuzz --pairs 20000 --strings 5000 --seed 0 --calls 2

Every pair must end in one of our errors or in a fit whose numbers are finite if it says that it converged; no foreign
exception, no foreign warning, no call longer than the time limit, no file written. With ``--calls``, so many random
calls of ``tests.calls`` follow each fit, and again on the fit from a file. A short run is part of the tests.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import pandas as pd

import mixedfx as mfx

SECONDS = 10
OURS = (mfx.SpecificationError, mfx.DataError, TypeError)
FIXED = [
    "1",
    "0",
    "x",
    "z",
    "f",
    "x:f",
    "x*f",
    "poly(x, 2)",
    "log(p)",
    "scale(z)",
    "I(x^2)",
    "C(f, contr.sum)",
    "bs(x, df=4)",
]
FIXED += [
    "ns(z, df=3)",
    "center(x)",
    "np.exp(z)",
    "x/f",
    "(x + z)^2",
    "-1",
    "offset(z)",
    "b",
    "cut(x, 3)",
    "f:b",
    "`a b`",
]
BROKEN = [
    "nope",
    "x +",
    "x y",
    "(x",
    "x))",
    "__import__('os')",
    "x.__class__",
    "lambda: 1",
    "g[0]",
    "'s'",
    "log()",
    "x ** g",
]
BROKEN += [
    "I(x",
    "poly(x)",
    "poly(x, 99)",
    "bs(f)",
    "log(f)",
    "10**10**8",
    "x == ",
    "~ x",
    ".",
    "x | g",
    "NA",
    "inf",
    "1e999",
]
LEFT = ["1", "x", "0 + x", "0 + f", "f", "1 + x + z", "x:z", "poly(x, 2)", "log(p)", "nope", "", "b"]
GROUPS = ["g", "h", "g/h", "g:h", "k", "g + h", "x", "one", "id", "nope", "", "f", "g/h/k", "d"]
WRAPPERS = [
    "({} | {})",
    "({} || {})",
    "diag({} | {})",
    "cs({} | {})",
    "homcs({} | {})",
    "ar1({} | {})",
    "toep({} | {})",
]
RESPONSES = ["y", "log(p)", "y", "y", "sqrt(p)", "I(y * 2)", "f", "nope", "const", "cbind(s, t)", "y + x", "b", "s"]
FAMILIES = ["poisson", "binomial", "gamma", "negative_binomial", "beta", "student_t", "gaussian", "nope"]


def frame(rng: np.random.Generator) -> pd.DataFrame:
    """A small data frame with every kind of column, sometimes hostile."""
    n = int(rng.choice([0, 1, 2, 5, 12, 40, 90], p=[0.02, 0.02, 0.03, 0.08, 0.25, 0.4, 0.2]))
    g = rng.integers(0, max(1, n // int(rng.integers(2, 9))) + 1, n)
    data = pd.DataFrame(
        {
            "x": rng.normal(size=n) * 10.0 ** rng.integers(-6, 7) + rng.choice([0.0, 0.0, 1e6]),
            "z": rng.normal(size=n),
            "p": rng.uniform(0.1, 5, n),
            "f": pd.Categorical(rng.choice(list("abc"), n), categories=list("cabd")),
            "b": rng.integers(0, 2, n).astype(bool),
            "g": [f"g{i}" for i in g],
            "h": rng.integers(0, 3, n),
            "k": rng.choice(["u:1", "u", "v", ":"], n),
            "d": pd.to_datetime("2024-01-01") + pd.to_timedelta(rng.integers(0, 4, n), unit="D"),
            "one": "a",
            "id": np.arange(n),
            "const": 3.0,
            "s": rng.integers(0, 4, n),
            "t": rng.integers(0, 4, n),
            "a b": rng.normal(size=n),
        }
    )
    effect = rng.normal(size=int(g.max(initial=0)) + 1) * rng.choice([0.0, 0.1, 1.0, 1e3])
    data["y"] = (effect[g] + rng.normal(size=n) * rng.choice([1e-6, 1.0, 1e6])) if n else []
    for column in rng.choice(["x", "y", "g", "f", "z"], rng.integers(0, 3)):
        if n and rng.random() < 0.5:
            rows = rng.integers(0, n, rng.integers(1, 3))
            data[column] = data[column].astype(object).where(~data.index.isin(rows), rng.choice([None, np.nan]))
            if column in "xyz":
                data[column] = data[column].astype(float)
    if n and rng.random() < 0.05:
        data.loc[rng.integers(0, n), "x"] = rng.choice([np.inf, -np.inf, 1e308])
    return data


def formula(rng: np.random.Generator) -> str:
    """Mostly legal, now and then broken."""
    terms = list(rng.choice(FIXED, rng.integers(0, 4)))
    if rng.random() < 0.08:
        terms.append(str(rng.choice(BROKEN)))
    for _ in range(rng.integers(0, 3) if rng.random() < 0.15 else rng.integers(1, 3)):
        wrapper = WRAPPERS[0] if rng.random() < 0.6 else str(rng.choice(WRAPPERS))
        left = str(rng.choice(LEFT[:9] if rng.random() < 0.9 else LEFT))
        group = str(rng.choice(GROUPS[:5] if rng.random() < 0.8 else GROUPS))
        terms.append(wrapper.format(left, group))
    response = str(rng.choice(RESPONSES[:6] if rng.random() < 0.9 else RESPONSES))
    return f"{response} ~ {' + '.join(terms)}"


def text(rng: np.random.Generator) -> str:
    """A string of formula-like characters."""
    pieces = [
        *"xyzgf()|~+-*/:^.,`'\"[]{}=<>!@#$%&\\;?é\x00 \n0123456789",
        "||",
        "log",
        "(1|g)",
        "I(",
        "**",
        "%in%",
        "Error(",
    ]
    return "".join(rng.choice(pieces, rng.integers(0, 30)))


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Interrupt what takes longer, in seconds of the processor: what else the machine does is of no concern."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"longer than {seconds} s")

    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def verdict(call, then=None) -> str:  # type: ignore[no-untyped-def]
    """Run a fit, and ``then`` on it; return "fit", "refused", or what is wrong."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with time_limit(SECONDS):
                fit = call()
                numbers = np.concatenate([fit.params, fit.bse, [fit.llf], fit.fittedvalues])
                str(fit.summary())
        except OURS:
            return "refused"
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:100]}"
    foreign = [w for w in caught if not issubclass(w.category, mfx.MixedfxWarning)]
    if foreign:
        return f"leaked {foreign[0].category.__name__}: {str(foreign[0].message)[:100]}"
    if fit.converged and not np.isfinite(numbers).all():
        return "not finite, converged=True"
    return (then and then(fit)) or "fit"


def called(data: pd.DataFrame, count: int, seed: list[int], fit: object) -> str:
    """Make random calls on a fit; return the first one that fails, and how."""
    from tests.calls import calls

    wrong = (f"{what}: {problem}" for what, problem in calls(fit, data, count, seed) if problem)
    return next(wrong, "")


def pairs(count: int, seed: int, n_calls: int = 0) -> Iterator[tuple[str, str]]:
    """Yield (what was fitted, verdict) for random pairs of formula and frame, with random calls on each fit."""
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        data, written = frame(rng), formula(rng)
        then = partial(called, data, n_calls, [seed, i]) if n_calls else None
        if rng.random() < 0.8:
            reml = bool(rng.integers(2))
            yield (
                f"[{seed}, {i}] lmer({written!r})",
                verdict(lambda d=data, w=written, r=reml: mfx.lmer(w, d, reml=r), then),
            )
        else:
            family = str(rng.choice(FAMILIES))
            written = written.replace("y ~", f"{rng.choice(['s', 'b', 'p', 'y'])} ~", 1)
            call = lambda d=data, w=written, f=family: mfx.glmer(w, d, family=f)  # noqa: E731
            yield f"[{seed}, {i}] glmer({written!r}, family={family!r})", verdict(call, then)


def strings(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield (string, verdict) for random strings as formulas."""
    data = frame(np.random.default_rng(1))
    for i in range(count):
        written = text(np.random.default_rng([seed, i, 7]))
        yield repr(written), verdict(lambda w=written: mfx.lmer(w, data))


def main() -> int:
    """Run from the command line; the exit code says whether something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--strings", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--calls", type=int, default=0, help="random calls on each fit")
    options = parser.parse_args()
    start, counts = time.monotonic(), Counter()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for runs in (pairs(options.pairs, options.seed, options.calls), strings(options.strings, options.seed)):
            for what, found in runs:
                counts[found if found in ("fit", "refused") else "FAILED"] += 1
                if found not in ("fit", "refused"):
                    print(f"{what}: {found}", flush=True)
        written = os.listdir(folder)
        os.chdir("/")
    print(f"{dict(counts)}, {len(written)} files written, {time.monotonic() - start:.0f} s")
    return int(counts["FAILED"] > 0 or bool(written))


if __name__ == "__main__":
    sys.exit(main())
