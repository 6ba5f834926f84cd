"""Every public function and method after a fit, called with odd but legal arguments, and with illegal ones.

    python -m tests.calls --fits 500 --calls 20 --seed 0

What a call may end in: a result, or one of our errors. A foreign exception, a foreign warning, a call longer than the
time limit, and an answer that differs after ``save`` and ``load`` are failures. The callables are found by looking at
what is public, the values by the names of the parameters: a new function is tried as soon as it exists, and a new
parameter without values here fails ``tests/test_calls.py``.
"""

from __future__ import annotations

import argparse
import inspect
import linecache
import os
import re
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

import mixedfx as mfx
from mixedfx import plots
from mixedfx.results.base import MixedResults
from tests.fuzz import formula, frame, time_limit

SECONDS = 30
PACKAGE = f"{Path(mfx.__file__).parent}{os.sep}"
OURS = (mfx.SpecificationError, mfx.DataError)
LEVELS = [0.05, 0.05, 0.2, 0, 1, 1.5, 95, -0.1, np.nan, None, "a"]
NOT_KEPT = "the data have no column"  # of the caller's data a file keeps the columns that the model uses
ADDRESS = re.compile(r" at 0x[0-9a-f]+|(?<=dtype )\w+")  # text is a category in a file
SLOW = {"influence", "bootstrap", "bootstrap_test", "profile", "dashboard", "conf_int", "check"}  # they fit many times
SLOW |= {"plot_profile", "plot_bootstrap"}


@dataclass(frozen=True, eq=False)
class Context:
    """What arguments are made of."""

    fit: Any
    data: pd.DataFrame
    rng: np.random.Generator

    @cached_property
    def columns(self) -> list[str]:
        return [*map(str, self.data.columns), "nope"]

    @cached_property
    def rows(self) -> Any:
        """New rows, whole or spoilt."""
        data, rng = self.data, self.rng
        few = data.iloc[rng.integers(0, len(data), 3)] if len(data) else data
        spoilt = [
            lambda: data,
            lambda: few,
            lambda: few.iloc[:0],
            lambda: few.drop(columns=str(rng.choice(data.columns))),
            lambda: few.assign(**{str(rng.choice(data.columns)): np.nan}),
            lambda: few.assign(g="never seen", h=77),
            lambda: few.assign(f="never seen"),
            lambda: few.assign(x="text"),
            lambda: {name: few[name].to_numpy() for name in few},
            lambda: few.set_axis(["a", "a", "b"][: len(few)]),
            lambda: "nope",
            lambda: None,
        ]
        return spoilt[int(rng.integers(len(spoilt)))]()


def some(*values: Any) -> Callable[[Context], Any]:
    """One of the values; those that are functions are called with the context."""

    def chosen(context: Context) -> Any:
        value = values[int(context.rng.integers(len(values)))]
        return value(context) if callable(value) else value

    return chosen


def column(context: Context) -> str:
    return str(context.rng.choice(context.columns))


def columns(context: Context) -> list[str]:
    return [column(context) for _ in range(int(context.rng.integers(1, 3)))]


def coefficient(context: Context) -> str:
    names = [str(name) for name in context.fit.params.index]
    return str(context.rng.choice(names)) if names else "x"


def constraint(context: Context) -> Any:
    p, rng = len(context.fit.params), context.rng
    texts = (
        f"{coefficient(context)} = 0",
        f"{coefficient(context)} - {coefficient(context)}",
        "nope = 0",
        "",
        "x - = 1",
    )
    rows = (
        np.eye(p),
        np.eye(p + 1),
        np.zeros((1, p)),
        np.full((1, p), np.nan),
        rng.normal(size=(2, p)),
        np.zeros((0, p)),
    )
    return some(*texts, *rows, [], None, 3)(context)


def response(context: Context) -> Any:
    n = context.fit.design.n_rows
    fitted, drawn = np.asarray(context.fit.fittedvalues), context.rng.normal(size=n)
    return some(fitted, drawn, np.zeros(n), np.full(n, np.nan), np.ones((n, 2)), np.zeros(3), ["a"] * n, None)(context)


def numbers(context: Context) -> Any:
    n = len(context.data)
    return some(
        None, None, "x", "p", "nope", np.ones(n), np.zeros(n), -np.ones(n), np.full(n, np.nan), np.ones(3), 2.0, [1]
    )(context)


def other(context: Context) -> Any:
    return some(context.fit, simple(), None, "fit")(context)


def means(context: Context) -> Any:
    """Marginal means of a column, or nothing where there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        try:
            return mfx.emmeans(context.fit, column(context))
        except OURS:
            return None


def residuals(context: Context) -> Any:
    """Quantile residuals, or nothing where there are none."""
    try:
        return mfx.quantile_residuals(context.fit, n=20, seed=1)
    except OURS:
        return None


@cache
def simple() -> Any:
    return mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"))


DDF = some(None, "satterthwaite", "kenward-roger", "containment", "residual", "z", "nope", 5.0, -1, np.nan)
SPECS = some(column, columns, None, "f | b", "f:b", "~ f", ["nope"], 3, {}, [])
AT = some(
    None, {"x": [0.0, 1.0]}, {"x": 1.0}, {"f": ["a"]}, {"f": ["nope"]}, {"nope": [1]}, {"x": []}, {"x": [np.nan]}, 3
)
WEIGHTING = some("equal", "proportional", "outer", "cells", "flat", "nope", [1, 2], [0, 0], None)
ARGUMENTS: dict[str, Callable[[Context], Any]] = {
    "others": other,
    "fit": lambda context: context.fit,
    "fit0": lambda context: context.fit,
    "fit1": other,
    "fits": lambda context: [context.fit, other(context)],
    "formula": some(None, "~ .", "~ . + nope", "~ . - x", "log(.) ~ .", "", "y", 3),
    "random": some(True, False, None, "new", "fitted", "(1 | g)", "g", "nope", "zero", 3),
    "new_levels": some("error", "population", "draw", "nan", "nope", None),
    "data": lambda context: context.rows,
    "offset": numbers,
    "weights": some(numbers, WEIGHTING),
    "which": some(
        "mean", "linear", "fixed", "random", "all", "family", "marginal", "response", "probability", "nope", None
    ),
    "alpha": some(*LEVELS),
    "level": some(*LEVELS),
    "method": some("wald", "parametric", "npmle", "spline", "normal", "nope", None),
    "n": some(1, 3, 0, -1, 2.5, "a", None),
    "n_jobs": some(1),
    "seed": some(1, 1, 1, -1, 2.5, "a"),
    "progress": some(False),
    "draws": some(10, 0, -1),
    "ddf": DDF,
    "use_f": some(None, True, False, "a"),
    "scale": some("link", "response", "sd", "variance", "theta", "latent", "mean_class", "nope", None),
    "kind": some("response", "pearson", "deviance", "quantile", "working", "normalized", "nope", None),
    "constraints": constraint,
    "y": response,
    "Y": response,
    "names": some(None, ["a"], ["a", "b"], "a", [1, 2]),
    "out": some(None, None, "nonexistent/folder/file.parquet", "nope", 3),
    "chunk": some(None, 1, 2, 0, -1, 2.5, "a"),
    "path": some("nonexistent/folder/file", ".", ""),
    "type": some(None, 1, 2, 3, "I", "nope", 4),
    "refit": some(True, False),
    "statistic": some(None, lambda: lambda fit: fit.llf, lambda: lambda fit: "text", lambda: 3),
    "cluster": some(None, "g", "h", "nope"),
    "population": some("chi2", "nope"),
    "specs": SPECS,
    "by": some(None, None, column, columns, 3),
    "at": AT,
    "integrate": some(False, False, True),
    "nesting": some(None, {"f": "b"}, {"nope": "f"}, 3, "f"),
    "variables": some(None, column, columns, {"x": 2.0}, {"f": "reference"}, {"x": (0, 1)}, {"nope": 1}, {}, [], 3),
    "variable": some(column, "log(p)", None),
    "x": some("x", "z", "f", column, None, 3),
    "rows": constraint,
    "n_points": some(5, 0, -1),
    "comparison": some("difference", "ratio", "lnratio", "nope"),
    "average": some(True, False),
    "corrected": some(True, False),
    "by_group": some(True, False),
    "group": some(None, "g", "h", "nope", ["g1"], 3, []),
    "stars": some(True, False),
    "exp": some(True, False, 3),
    "exponentiate": some(True, False, None),
    "time": some(None, "z", "d", "f", "nope", response, ["a"], 3),
    "distance": some("z", "x", "d", "f", "nope", response, ["a"], 3, None),
    "lags": some(None, 1, 5, 0, -1, 2.5, "a", 10**6),
    "intervals": some(20, 1, 0, -1, 2.5, "a", 10**6),
    "hypothesis": some(coefficient, lambda c: f"exp({coefficient(c)}) = 1", "a / 0", "log(-1)", "", {"a": "x"}, [], 3),
    "means": some(means, means, lambda context: context.fit, None, 3),
    "sigma": some(None, 1.0, 0.0, -1, np.nan, "a"),
    "df": some(None, 10.0, 0.0, -1, np.nan, np.inf, "a"),
    "levels": some(None, ["g1", "g2"], [], ["nope"], 3, "g1"),
    "terms": some(None, ["1", "x"], ["(Intercept)", "x"], [], ["nope"], 3, "x"),
    "term": some(None, "(Intercept)", "1", "x", "nope", 3),
    "parameters": some(None, (0,), (0, 1), (1, 0), (99,), (-1,), (), (0, 0), 3, "a"),
    "start": some(None, np.ones(1), np.zeros(2), [], np.full(2, np.nan), "a", 3.0),
    "source": some(lambda context: context.fit, lambda context: context.fit, "y ~ x + (1 | g)", None, 3),
    "family": some(None, None, "poisson", "nope", 3),
    "view": some("plates", "unrolled", "nope", None),
    "centered": some(True, False, "a"),
    "constant": some((), "parameters", ("parameters", "predictors"), "nope", None, 3),
    "nodes": some(None, ["mu", "y"], "y", ["nope"], 3),
    "node": some("y", "mu", "nope", None, 3),
    "a": some("y", ["y", "mu"], "nope", [], 3),
    "b": some("beta", "sigma", "y", "nope", None),
    "given": some((), "mu", ["mu"], "nope", 3),
    "priors": some(None, None, {}, {"sigma": "half_normal(1)"}, {"nope": "normal(0, 1)"}, {"sigma": 3}, "nope", 3),
    "effects": some(False, True, 3),
    "formula_or_fit": lambda context: context.fit,
    "effect": some(coefficient, coefficient, lambda c: {coefficient(c): 0.5}, "f", "nope", {}, [], None, 3),
    "test": some("satterthwaite", "z", "lrt", "nope", None),
    "n_sim": some(10, 1, 0, "a"),
    "params": some(None, {"sigma": 1.0}, {"nope": 1}, 3),
    "along": some(None, None, "g", "h", "effect", "nope", 3),
    "sizes": some(None, [4, 6], [0], [], "a"),
    "link": some(None, "log"),
    "target": some(0.8, 0.0, 2, None),
    # methods of what functions return
    "adjust": some(None, "tukey", "holm", "bonferroni", "fdr", "scheffe", "sidak", "mvt", "none", "nope", 3),
    "side": some("two-sided", "less", "greater", "nope", None, 3),
    "null": some(0.0, 1.0, None, np.nan, np.inf, "a"),
    "delta": some(None, 0.0, 0.5, -1.0, np.nan, "a"),
    "joint": some(True, False, None),
    "reverse": some(True, False, 3),
    "simple": some(None, "f", column, columns, 3),
    "interaction": some(None, True, "pairwise", ["pairwise", "poly"], "nope", 3),
    "coefficients": some({"a": [1, -1]}, {"a": [1, -1, 0]}, {"a": [np.nan]}, {}, [1, -1], [], None, 3),
    "ratios": some(None, True, False, 3),
    "transform": some(None, "response", "nope", 3),
    "expectation": some(True, False),
    "digits": some(3, 0, -1, "a", None),
    "caption": some(None, "a", 3),
    "reference": some(None, 0, 1, -1, 99, "a", "nope"),
    "lag": some(1, 0, -1, 99, "a"),
    "parameter": some(coefficient, "nope", 0, 99, None),
    "name": some(column, coefficient, "nope", 3, None),
    "bound": some(None, "lower", "upper", "nope"),
    "width": some(80, 0, -1, "a", None),
    "correction": some("gg", "hf", "none", None, "nope", 3),
    "alternative": some("two-sided", "less", "greater", "nope", None, 3),
    "panels": some(None, None, "f", "x", "nope", 3),
    "xname": some(None, ["a"], "a", 3),
    "obs": some(True, False, None, 3),
    "skip_single": some(True, False, 3),
    "combine_terms": some(None, "x", ["x"], ["nope"], 3),
    "scales": some((2.0, 1.0, 0.1), [], [-1.0], [np.nan], 1.0, "a", None),
    "support": some(None, None, np.linspace(-2.0, 2.0, 30), [0.0], [1.0, 0.0], [np.nan], [], "a"),
    "basis": some(None, None, np.ones((100, 1)), np.ones((3, 1)), "a"),
    "penalty": some(None, 0.1, 0, -1, np.nan, "a"),
    "information": some(None, "observed", "expected", "nope"),
    "zeta": some(0.0, 1.0, -2.0, np.nan, np.inf, "a"),
}
INTERNAL = {"model", "solution", "asked", "design", "denominator", "changed"}
NOT_AFTER_A_FIT = {
    *(
        "lmer",
        "glmer",
        "hglm",
        "simulate",
        "load",
        "load_dataset",
        "list_datasets",
        "aov",
        "mean_squares",
        "check_design",
        "cross_products",
        "deconvolve",
        "register_covariance",
        "deming",
        "york",
        "design",
        "extend",
    ),
}


def public_functions() -> dict[str, Callable[..., Any]]:
    """Functions of the package whose first argument is a fit, or several."""
    found = {}
    for name in mfx.__all__:
        value = getattr(mfx, name)
        if inspect.isfunction(value) and name not in NOT_AFTER_A_FIT:
            found[name] = value
    for name in plots.__all__:
        value = getattr(plots, name)
        if inspect.isfunction(value) and next(iter(inspect.signature(value).parameters)) == "fit":
            found[f"plots.{name}"] = value
    return found


def public_methods(fit: Any) -> dict[str, Callable[..., Any]]:
    """Methods of a fit; its properties as functions without arguments."""
    found: dict[str, Callable[..., Any]] = {}
    for name in dir(fit):
        if name.startswith("_") or name in INTERNAL:
            continue
        value = inspect.getattr_static(type(fit), name, None)
        found[name] = getattr(fit, name) if inspect.isfunction(value) else _property(fit, name)
    return found


def _property(fit: Any, name: str) -> Callable[[], Any]:
    return lambda: getattr(fit, name)


def callables(fit: Any) -> dict[str, Callable[..., Any]]:
    """All that a user may call once there is a fit."""
    return {f"mfx.{name}": value for name, value in public_functions().items()} | {
        f"fit.{name}": value for name, value in public_methods(fit).items()
    }


def arguments(call: Callable[..., Any], context: Context) -> tuple[list[Any], dict[str, Any]]:
    """Random values for the parameters: the required ones, and some of the others."""
    positional, named = [], {}
    for name, parameter in inspect.signature(call).parameters.items():
        if name not in ARGUMENTS:
            continue
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            if context.rng.random() < 0.2:
                positional.append(ARGUMENTS[name](context))
        elif parameter.default is inspect.Parameter.empty:
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                named[name] = ARGUMENTS[name](context)
            else:
                positional.append(ARGUMENTS[name](context))
        elif context.rng.random() < 0.3 or name in ("n", "seed", "draws"):
            named[name] = ARGUMENTS[name](context)
    return positional, named


def is_ours(error: BaseException) -> bool:
    """Whether an exception is one of our errors, or a TypeError or AttributeError that this package raises itself."""
    if isinstance(error, OURS):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    raised = linecache.getline(last.filename, last.lineno or 0).strip().startswith("raise")
    inside = last.filename.startswith(PACKAGE)
    return isinstance(error, TypeError | AttributeError | NotImplementedError) and inside and raised


def shown(value: Any) -> str:
    """What a user sees of a result: its repr, HTML and text, and its table."""
    parts = [ADDRESS.sub("", repr(value))]
    for name in ("_repr_html_", "to_frame", "summary", "summary_frame"):
        method = getattr(value, name, None)
        if method is not None and not isinstance(value, pd.DataFrame | pd.Series) and callable(method):
            parts.append(str(method()))
    return "\n".join(parts)


def own_members(value: Any) -> list[str]:
    """Public methods and properties that this package has given to what a function returned, unless that is a fit."""
    kind = type(value)
    if not kind.__module__.startswith("mixedfx") or isinstance(value, MixedResults):
        return []
    return [name for name in dir(value) if _is_own(inspect.getattr_static(kind, name, None), name)]


def _is_own(member: Any, name: str) -> bool:
    function = member.fget if isinstance(member, property) else getattr(member, "func", member)
    public = not name.startswith("_") and name not in INTERNAL and not isinstance(member, classmethod)
    return public and getattr(function, "__module__", "").startswith("mixedfx")


def drawn(call: Callable[..., Any], name: str, context: Context) -> tuple[Callable[[], Any], str]:
    """Return a call with random arguments, and how it is written."""
    if not callable(call):
        return lambda: call, name
    positional, named = arguments(call, context)
    said = ", ".join([*map(_short, positional), *(f"{key}={_short(value)}" for key, value in named.items())])
    return partial(call, *positional, **named), f"{name}({said})"


def outcome(call: Callable[[], Any], context: Context | None = None) -> tuple[str, str, str]:
    """Return what went wrong (or ""), what is shown or the words of our error, and what was called on the result.

    With a context, one public method of what the call returns is called too, if it is an object of this package.
    """
    then = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with time_limit(SECONDS):
                value = call()
                text = shown(value)
                members = own_members(value) if context is not None else []
                if context is not None and members:
                    name = str(context.rng.choice(members))
                    then = f".{name}"
                    again, then = drawn(getattr(value, name), then, context)
                    text += f"\n{shown(again())}"
        except Exception as error:
            if not is_ours(error):
                place = _last_own(error)
                where = f"{Path(place.filename).name}:{place.lineno}"
                return f"{type(error).__name__}: {str(error)[:100]} ({where})", "", then
            text = ADDRESS.sub("", f"{type(error).__name__}: {error}")
    foreign = [w for w in caught if not issubclass(w.category, mfx.MixedfxWarning)]
    foreign = [w for w in foreign if issubclass(w.category, RuntimeWarning | FutureWarning | DeprecationWarning)]
    if foreign:
        first = foreign[0]
        where = f"{Path(first.filename).name}:{first.lineno}"
        return f"leaked {first.category.__name__}: {str(first.message)[:100]} ({where})", text, then
    return "", text, then


def _last_own(error: BaseException) -> traceback.FrameSummary:
    """Where an exception left this package: the last of its lines, or the last of all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if one.filename.startswith(PACKAGE)]
    return (own or frames)[-1]


FAMILIES = [
    *("poisson", "binomial", "gamma", "nbinom2", "nbinom1", "beta", "student_t", "gaussian", "lognormal", "tweedie"),
    *("ordinal", "zero_inflated_poisson", "hurdle_poisson", "truncated_poisson", "beta_binomial", "inverse_gaussian"),
]
RESIDUALS = [mfx.VarIdent("f"), mfx.AR1("d", group="g"), mfx.KnownVariance("p"), mfx.VarPower("p")]


def random_fit(rng: np.random.Generator) -> tuple[Any, pd.DataFrame]:
    """A fit of a random model to a random frame, or None where it is refused."""
    data, written = frame(rng), formula(rng)
    options: dict[str, Any] = {}
    if rng.random() < 0.2:
        options["weights"] = str(rng.choice(["p", "b"]))
    if rng.random() < 0.2:
        options["offset"] = str(rng.choice(["z", "x"])) if rng.random() < 0.5 else np.asarray(data["z"], dtype=float)
    if rng.random() < 0.55:
        if rng.random() < 0.2:
            options["residual"] = RESIDUALS[int(rng.integers(len(RESIDUALS)))]
        return mfx.lmer(written, data, reml=bool(rng.integers(2)), **options), data
    family = str(rng.choice(FAMILIES))
    answer = {"binomial": "b", "gamma": "p", "beta": "I(p / 6)", "ordinal": "o", "lognormal": "p", "tweedie": "s"}
    answer |= {"student_t": "z", "gaussian": "z", "truncated_poisson": "I(s + 1)", "inverse_gaussian": "p"}
    answer |= {"beta_binomial": "cbind(s, t)"}
    data = data.assign(o=pd.Categorical(data["s"].map(dict(enumerate("abcd"))), ordered=True))
    written = f"{answer.get(family, 's')} ~{written.split('~', 1)[1]}"
    if rng.random() < 0.15:
        options["dispersion"] = "~ x"
    if rng.random() < 0.1 and family in ("poisson", "nbinom2", "nbinom1"):
        options["zero_inflation"] = "~ 1"
    nagq = [1, 1, 0, 5][int(rng.integers(4))]
    return mfx.glmer(written, data, family=family, nagq=nagq, **options), data


def reloaded(fit: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fit.mfx"
        fit.save(path)
        return mfx.load(path)


def calls(
    fit: Any, data: pd.DataFrame, count: int, seed: list[int], *, slow: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield (call, what went wrong) for random calls on a fit and on the same fit from a file."""
    names = [name for name in callables(fit) if slow or name.rpartition(".")[2] not in SLOW]
    yield "numbers", outcome(partial(_unfounded, fit))[0]
    twins, wrong = [fit], ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mfx.MixedfxWarning)
            twins.append(reloaded(fit))
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"
    yield "save and load", wrong
    for number in np.random.default_rng(seed).integers(0, len(names), count):
        yield _on_twins(names[int(number)], twins, data, [*seed, int(number)])
        _closed()


def _unfounded(fit: Any) -> None:
    """Raise an error where a fit without any reservation has numbers that are not finite."""
    if not fit.converged or fit.is_singular or not fit.certificate.is_identified:
        return
    numbers = {name: np.asarray(getattr(fit, name)) for name in ("params", "bse", "llf", "fittedvalues")}
    wrong = [name for name, found in numbers.items() if not np.isfinite(found).all()]
    if wrong:
        raise ValueError(f"not finite with a good verdict: {', '.join(wrong)}")


def _on_twins(name: str, twins: list[Any], data: pd.DataFrame, seed: list[int]) -> tuple[str, str]:
    """Make one random call on a fit and on its twin from a file; return it with what went wrong."""
    texts, written = [], ""
    for one in twins:
        context = Context(one, data, np.random.default_rng(seed))
        call, said = drawn(callables(one)[name], name, context)
        problem, text, then = outcome(call, None if _is_private(name) else context)
        written = written or said + then
        if problem:
            return written, problem
        texts.append(text)
    if _is_private(name) or all(agree(texts[0], text) for text in texts) or NOT_KEPT in texts[-1]:
        return written, ""
    at = next((i for i, (a, b) in enumerate(zip(*texts[:2], strict=False)) if a != b), 0)
    return written, "differs after save and load:\n" + "\n".join(text[max(0, at - 150) : at + 150] for text in texts)


def before_a_fit(context: Context) -> Iterator[tuple[str, str]]:
    """Yield (call, what went wrong) for functions that take a formula and data."""
    rng = context.rng
    for name in rng.choice(list(WITHOUT_A_FIT), 2):
        positional, named = WITHOUT_A_FIT[str(name)](context)
        problem, _, then = outcome(partial(getattr(mfx, str(name)), *positional, **named), context)
        said = ", ".join([*map(_short, positional), *(f"{key}={_short(value)}" for key, value in named.items())])
        yield f"mfx.{name}({said}){then}", problem


def _some_of(context: Context, **options: Callable[[Context], Any]) -> dict[str, Any]:
    return {name: value(context) for name, value in options.items() if context.rng.random() < 0.3}


STRATA = [
    "y ~ f",
    "y ~ f * b",
    "y ~ f * b + Error(g)",
    "y ~ f + Error(g / f)",
    "y ~ f + Error(g / (f * b))",
    "y ~ g / h",
]
STRATA += [
    "y ~ x + f",
    "y ~ 1",
    "y ~ nope",
    "log(p) ~ h + Error(one)",
    "y ~ Error(g)",
    "y ~ f + (1 | g)",
    "y ~ k + g + h",
]
NAMES = some("f", ["f"], ["f", "b"], "nope", [], 3, None)


def _for_aov(context: Context) -> tuple[list[Any], dict[str, Any]]:
    options = _some_of(
        context,
        type=some(1, 2, 3, "II", "nope", None),
        aggregate=some(None, "mean", "median", "nope", 3),
        observed=NAMES,
        missing=some("drop", "raise", "nope", None),
        contrasts=some({"f": "sum"}, {"nope": "sum"}, {"f": "nope"}, 3),
    )
    return [str(context.rng.choice(STRATA)), context.data], options


def _for_mean_squares(context: Context) -> tuple[list[Any], dict[str, Any]]:
    options = _some_of(
        context, fixed=NAMES, convention=some("restricted", "unrestricted", "nope", 3), missing=some("drop", "nope")
    )
    return [str(context.rng.choice(STRATA)), context.data], options


def _for_check_design(context: Context) -> tuple[list[Any], dict[str, Any]]:
    options = _some_of(
        context,
        family=some(None, "poisson", "binomial", "gamma", "nope", 3),
        weights=numbers,
        offset=numbers,
        residual=some(*RESIDUALS, "nope"),
        sigma=ARGUMENTS["sigma"],
        nope=some(1),
    )
    return [formula(context.rng), context.data], options


def _for_simulate(context: Context) -> tuple[list[Any], dict[str, Any]]:
    params = some(
        {"beta": [1.0, 0.5], "theta": [1.0], "sigma": 1.0},
        {"beta": [1.0], "theta": [1.0], "sigma": 1.0},
        {"beta": {"Intercept": 1.0, "x": 0.5}, "sd": {"g": 1.0}, "sigma": -1},
        {"beta": [np.nan], "theta": [np.nan], "sigma": 1.0},
        {"nope": 1},
        {},
        None,
        3,
    )
    options = _some_of(
        context,
        family=some(None, "poisson", "binomial", "nope"),
        link=some(None, "log", "nope"),
        n=ARGUMENTS["n"],
        seed=some(1, "a", -1),
        weights=numbers,
        offset=numbers,
    )
    written = some("~ x + (1 | g)", "~ 1 + (1 | g)", "y ~ x + (1 | g)", lambda context: formula(context.rng))
    return [written(context), context.data], options | {"params": params(context)}


def _for_design(context: Context) -> tuple[list[Any], dict[str, Any]]:
    levels = some({"u": ["a", "b"]}, {"u": 3}, {"u": ["a"]}, {"u": 1.5}, {"subject": 2}, {}, ["a"], 3, None)
    count = some(None, 4, 6, 1, 0, -1, 2.5, "a")
    return [], _some_of(
        context,
        subjects=some(4, 6, count),
        items=count,
        between=levels,
        within=levels,
        between_items=levels,
        between_clusters=levels,
        counterbalance=some(None, "latin", "nope"),
        clusters=some(None, {"k": 4}, {"k": 2, "m": 3}, {"k": 0}, {"k": "a"}, 3),
        blocks=count,
        whole_plots=levels,
        square=some(None, 4, ["a", "b", "c"], ["a", "a"], "a"),
        wedge=some(None, 3, 9, 1, "a"),
        visits=some(None, 3, [0, 1, 4], [], "a", 1),
        dropout=some(0.0, 0.2, 1.0, -1, np.nan, "a"),
        replicates=some(1, 2, 0, "a"),
    )


def _for_extend(context: Context) -> tuple[list[Any], dict[str, Any]]:
    options = _some_of(context, labels=some((), ["h"], ["nope"], 3))
    return [context.rows, column(context), some(3, 12, 0, -1, 2.5, "a", None)(context)], options


WITHOUT_A_FIT: dict[str, Callable[[Context], tuple[list[Any], dict[str, Any]]]] = {
    "aov": _for_aov,
    "mean_squares": _for_mean_squares,
    "check_design": _for_check_design,
    "simulate": _for_simulate,
    "design": _for_design,
    "extend": _for_extend,
}


NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def agree(text: str, other: str) -> bool:
    """Whether two texts say the same: their words, and their numbers but for rounding."""
    if text == other:
        return True
    mine, theirs = (np.array(NUMBER.findall(one), dtype=float) for one in (text, other))
    words = NUMBER.sub("#", text).split() == NUMBER.sub("#", other).split()
    return words and bool(np.allclose(mine, theirs, rtol=1e-6, atol=1e-9))


def _is_private(name: str) -> bool:
    """What a file does not keep: the caller's data and arguments, pictures as objects."""
    return name.startswith("mfx.plots") or name in (
        "fit.update",
        "fit.design",
        "fit.certificate",
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"<{type(value).__name__}>"


def _closed() -> None:
    if "matplotlib.pyplot" in sys.modules:
        mpl.pyplot.close("all")


def campaign(fits: int, count: int, seed: int, *, slow: bool = False) -> Iterator[tuple[str, str]]:
    """Yield (what was done, what went wrong) for random fits with random calls."""
    for i in range(fits):
        rng, found = np.random.default_rng([seed, i]), []
        problem, _, _ = outcome(lambda rng=rng, found=found: found.append(random_fit(rng)))  # type: ignore[misc]
        if problem:
            yield f"[{seed}, {i}] fit", problem
        context = Context(None, frame(rng), rng)
        for what, wrong in before_a_fit(context):
            yield f"[{seed}, {i}] {what}", wrong
        for fit, data in found:
            for what, wrong in calls(fit, data, count, [seed, i], slow=slow):
                yield f"[{seed}, {i}] {fit.model.formula} {what}", wrong


def main() -> int:
    """Run from the command line; the exit code says whether something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=500)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slow", action="store_true", help="profiles and bootstraps too")
    options = parser.parse_args()
    start, counts = time.monotonic(), Counter[str]()
    for what, wrong in campaign(options.fits, options.calls, options.seed, slow=options.slow):
        counts["FAILED" if wrong else "fine"] += 1
        if wrong:
            print(f"{what}: {wrong}", flush=True)
    print(f"{dict(counts)}, {time.monotonic() - start:.0f} s")
    return int(counts["FAILED"] > 0)


if __name__ == "__main__":
    sys.exit(main())
