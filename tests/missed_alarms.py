"""Missed alarms: unidentified and degenerate models that are fitted without a word, or with an untrue one.

    python -m tests.missed_alarms [--seeds N] [--case REGEX]

Every case is a design that no data could identify, or a response without a residual, over random data. An alarm is
missed if the fit does not say so in its warning, its summary, its notes, its certificate and ``check_design``, speaks
of a saddle or of a likelihood that still rises, reports a variance far beyond that of the response, or does not have
the likelihood of the identified model.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

import mixedfx as mfx

SEEDS = 20
SAME = 1e-5  # log-likelihoods of one model
FAR = 1e4  # a variance so many times that of the response is none
UNTRUE = ("saddle", "still rises", "could still fall")
ENGINES: dict[str, dict[str, Any]] = {"reml": {}, "ml": {"reml": False}, "poisson": {"family": "poisson"}}
# formula, the identified model, a word of the message
DESIGNS = (
    ("~ t + (1 | i) + (0 + t | i)", "~ t + (0 + t | i)", "(0 + t | i)"),
    ("~ b + (1 | i) + (0 + b | i)", "~ b + (0 + b | i)", "(0 + b | i)"),
    ("~ x + (1 | i) + (0 + b | i) + (1 | h)", "~ x + (0 + b | i) + (1 | h)", "(0 + b | i)"),
    ("~ x + (1 | i) + homcs(0 + t | i)", "~ x + homcs(0 + t | i)", "homcs"),
    ("~ x + (0 + t || i) + (1 | i:t)", "~ x + (0 + t || i)", "i:t"),
    ("~ x + (1 | i) + (1 | i2)", "~ x + (1 | i)", "same groups"),
    ("~ x + (x | i) + (1 | i2)", "~ x + (x | i)", "i2"),
    ("~ x + (1 | i) + (1 | i2) + (1 | h)", "~ x + (1 | i) + (1 | h)", "same groups"),
    ("~ x + (1 | i / i2)", "~ x + (1 | i)", "same groups"),
    ("~ s + (1 | s)", None, "fixed effects"),
    ("~ s + (1 | s) + (1 | i)", "~ s + (1 | i)", "fixed effects"),
    ("~ i + (1 | s)", None, "fixed effects"),
    ("~ i + (1 | s) + (1 | h)", "~ i + (1 | h)", "fixed effects"),
    ("~ s * b + (1 | s * b)", None, "fixed effects"),
    ("~ s * b + (1 | s:b) + (1 | i)", "~ s * b + (1 | i)", "fixed effects"),
    ("~ s + x:s + (x | s) + (1 | i)", "~ s + x:s + (1 | i)", "fixed effects"),
    ("~ i + (x | i)", "~ i + (0 + x | i)", "fixed effects"),
    ("~ x + (1 + never || i)", "~ x + (1 | i)", "never"),
    ("~ x + (1 + never | i)", "~ x + (1 | i)", "never"),
    ("~ x + (0 + never | i) + (1 | h)", "~ x + (1 | h)", "never"),
    ("~ x + (1 + c | i)", "~ x + (1 | i)", "c by i"),
    ("~ x + (1 | i) + (0 + c | i)", "~ x + (1 | i)", "c by i"),
    ("~ x + (1 + x + x2 | i)", "~ x + (1 + x | i)", "x2"),
    ("~ x + (x | i) + (0 + x2 | i)", "~ x + (x | i)", "x2"),
    ("~ x + (0 + sex | i)", "~ x + (0 + sex || i)", "correlation"),
    ("~ x + (1 + sex | i)", "~ x + (0 + sex || i)", "sex"),
    ("~ x + (1 + xb | i)", "~ x + (0 + sex || i)", "xb"),
)
STRUCTURES = (
    ("(1 | i) + unstructured", lambda: mfx.Unstructured("day", group="i"), "y ~ x + (1 | i)"),
    ("(1 | i) + exchangeable", lambda: mfx.CompoundSymmetry(group="i"), "y ~ x + (1 | i)"),
    ("(1 | row) + variances", lambda: mfx.VarIdent("b"), "y ~ x + (1 | row)"),
)


@dataclass(frozen=True)
class Case:
    """A model that must raise the alarm; ``twin`` is the identified one, ``refused`` says that it must be an error."""

    name: str
    formula: str
    options: dict[str, Any] = field(default_factory=dict)
    twin: str | None = None
    word: str = ""
    refused: bool = False
    columns: Callable[[pd.DataFrame, np.random.Generator], dict[str, Any]] | None = None


def cases() -> Iterator[Case]:
    """Yield all cases."""
    for engine, options in ENGINES.items():
        response = "k" if engine == "poisson" else "y"
        for formula, twin, word in DESIGNS:
            whole = None if twin is None else f"{response} {twin}"
            yield Case(f"{engine}: {formula}", f"{response} {formula}", options, whole, word)
    for name, structure, formula in STRUCTURES:
        yield Case(name, formula, {"residual": structure()}, None, "structure of the residuals")
    for family, response in (("gaussian", "y"), ("lognormal", "p")):
        yield Case(f"{family}: (1 | row)", f"{response} ~ x + (1 | row)", {"family": family}, None, "residual variance")
    for name, formula, options, columns in _degenerate():
        yield Case(name, formula, options, refused=True, columns=columns)


def _degenerate() -> Iterator[tuple[str, str, dict[str, Any], Any]]:
    def by_group(d: pd.DataFrame, rng: np.random.Generator) -> dict[str, Any]:
        values = rng.normal(size=d.i.nunique())[pd.factorize(d.i)[0]]
        return {"z": values, "w": values + 2 * d.x, "q": np.exp(values), "e": 1 + 2 * d.x - 3 * (d.b == "v")}

    yield "constant in groups", "z ~ 1 + (1 | i)", {}, by_group
    yield "constant in groups, ML", "z ~ x + (1 | i)", {"reml": False}, by_group
    yield "constant in groups, slopes", "z ~ x + (x | i)", {}, by_group
    yield "exact in x and groups", "w ~ x + (1 | i)", {}, by_group
    yield "exact in x", "e ~ x + b + (1 | i)", {}, by_group
    yield "exact in x, slopes", "e ~ x + b + (x | i)", {}, by_group
    yield "lognormal, constant in groups", "q ~ x + (1 | i)", {"family": "lognormal"}, by_group
    yield "gamma, constant in groups", "q ~ x + (1 | i)", {"family": "gamma"}, by_group
    yield "gaussian glmer, exact", "e ~ x + b + (1 | i)", {"family": "gaussian"}, by_group
    yield "a level a row", "y ~ x + (1 | row)", {}, by_group
    yield "as many effects as rows", "y ~ x + (0 + day_of | i)", {}, lambda d, _: {"day_of": "d" + d.day.astype(str)}


def data_of(seed: int) -> pd.DataFrame:
    """Rows of groups of equal and random sizes, random factors, and columns without information."""
    rng = np.random.default_rng(seed)
    m, k = int(rng.integers(10, 20)), int(rng.integers(4, 7))
    i = np.repeat(np.arange(m), k)
    n = m * k
    t, b = rng.integers(0, 3, n), rng.integers(0, 2, n)
    frame = pd.DataFrame({"i": [f"u{v}" for v in i], "t": np.array(list("abc"))[t], "b": np.array(["u", "v"])[b]})
    frame = frame.assign(i2="z" + frame.i, s=(i % 3).astype(str), h=rng.integers(0, 5, n).astype(str), never=0.0, c=2.0)
    frame["x"] = rng.normal(size=n) + rng.choice([0.0, 100.0])
    frame["x2"] = 3.0 * frame.x - 1.0
    frame["sex"], frame["xb"] = np.where(i % 2 == 1, "m", "f"), (i % 2).astype(float)
    frame["row"], frame["day"] = [f"r{v}" for v in range(n)], np.tile(np.arange(k), m)
    spread = rng.choice([0.0, 0.5, 1.5])
    y = spread * rng.normal(size=(m, 3))[i, t] + rng.normal(size=n)
    frame["y"] = rng.choice([1.0, 1e-3, 1e4]) * y
    return frame.assign(p=np.exp(0.5 * y), k=rng.poisson(np.exp(0.3 * y)))


def missed(case: Case, seed: int) -> str:
    """Say what is missing from, or untrue in, what a fit says; empty if the alarm is raised."""
    data = data_of(seed)
    if case.columns is not None:
        data = data.assign(**case.columns(data, np.random.default_rng(seed)))
    try:
        fit, warned = _said(case.formula, data, case.options)
    except (mfx.DataError, mfx.SpecificationError) as error:
        return "" if case.refused else f"refused: {error}"
    if case.refused:
        return f"fitted without a refusal, llf {fit.llf:.3f}"
    certificate = fit.certificate
    if certificate.is_identified:
        return f"certified: {certificate}"
    if not fit.converged and not certificate.separated:
        return f"not converged: {certificate}"
    said = str(certificate).splitlines()[1].split(" The estimate lies")[0]
    summary = " ".join(str(fit.summary()).split())
    places = {
        "warning": " ".join(warned),
        "notes": " ".join(fit.notes),
        "check_design": str(mfx.check_design(case.formula, data, **_of_design(case.options)).problems),
    }
    for place in ("warning", "notes"):
        if said not in places[place]:
            return f"not in the {place}: {said}"
    if "not identified" not in summary or case.word not in said or places["check_design"] == "()":
        return f"not in summary or check_design, or without {case.word!r}: {said}; {places['check_design']}"
    if any(word in " ".join([*places.values(), str(certificate)]) for word in UNTRUE):
        return f"untrue: {certificate}"
    return _numbers(case, fit, data)


def _numbers(case: Case, fit: Any, data: pd.DataFrame) -> str:
    variances = fit.varcorr.to_frame()["variance"].dropna()
    response = case.formula.split()[0]
    on_its_own_scale = case.options.get("family", "gaussian") == "gaussian"
    spread = float(np.var(data[response])) if on_its_own_scale else 1.0
    if len(variances) and variances.max() > FAR * spread:
        return f"a variance of {variances.max():.3g} where the response has {spread:.3g}"
    if case.twin is None:
        return ""
    other, _ = _said(case.twin, data, case.options)
    return "" if abs(fit.llf - other.llf) < SAME else f"llf {fit.llf:.6f}, that of the identified model {other.llf:.6f}"


def _of_design(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "reml"}


def _said(formula: str, data: pd.DataFrame, options: dict[str, Any]) -> tuple[Any, list[str]]:
    call = mfx.glmer if "family" in options else mfx.lmer
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = call(formula, data, **options)
    return fit, [str(w.message) for w in caught]


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; the exit code says whether an alarm was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.missed_alarms", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="random data sets of each case")
    parser.add_argument("--case", default="", help="only cases matching this regular expression")
    options = parser.parse_args(arguments)
    start, count, total = time.monotonic(), 0, 0
    chosen = [case for case in cases() if re.search(options.case, case.name)]
    for case in chosen:
        for seed in range(options.seeds):
            total += 1
            found = missed(case, seed)
            if found:
                count += 1
                print(f"missed: {case.name}, seed {seed}: {found}", flush=True)
    print(f"{count} missed alarms in {total} fits of {len(chosen)} designs, {time.monotonic() - start:.0f} s")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
