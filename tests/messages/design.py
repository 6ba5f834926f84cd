"""Formulas meeting data: columns, factors, contrasts, splines, weights, the response; limits and searches."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import mixedfx as mfx
from mixedfx import DataError, SpecificationError
from mixedfx.formula import as_expression, parse
from tests.messages.helpers import Case, data, glmer, lmer

S, D = SpecificationError, DataError
LONG = np.arange(200_000.0)
WORDS = np.array(["low", "mid", "top"])[np.arange(48) % 3]


@cache
def fit(term: str) -> Any:
    return mfx.lmer(f"y ~ {term} + (1 | g)", data(), contrasts={"f": "sum"} if term == "f" else None)


def contrasts(value: Any, term: str = "f") -> Any:
    return lmer(f"y ~ {term} + (1 | g)", contrasts={term: value})


def simulated(formula: str, frame: Any, **options: Any) -> Any:
    return lambda: mfx.simulate(formula, frame, params={}, **options)


def with_offset() -> Any:
    return mfx.lmer("y ~ x + (1 | g)", data(), offset=np.ones(48))


def shuffled(name: str) -> dict[str, Any]:
    columns = {key: data()[key] for key in ("y", "x", "g")}
    columns[name] = columns[name].set_axis(range(5, 53))
    return columns


def related(name: str) -> pd.DataFrame:
    levels = sorted(set(data()[name]))
    return pd.DataFrame(np.eye(len(levels)) + 0.1, levels, levels)


def iterative(**control: Any) -> mfx.Control:
    return mfx.Control(remainder="iterative", **control)


CASES: dict[str, Case] = {
    "three words as response": (lambda: lmer("w ~ x + (1 | g)", data=data(w=WORDS))(), D, ("'w'", "'ordinal'")),
    "two words as response": (
        lambda: lmer("w ~ x + (1 | g)", data=data(w=WORDS == "low").astype({"w": str}))(),
        D,
        ("'w'", "'binomial'"),
    ),
    "computed weights": (lmer("y ~ x + (1 | g)", weights="1 / log(x)"), D, ("'1 / log(x)'", "1 / np.log(data['x'])")),
    "strata of a simulation": (simulated("y ~ x + Error(g)", data()), S, ("Error(…)", "(1 | group)")),
    "simulation of no rows": (simulated("y ~ x + (1 | g)", data().iloc[:0]), D, ("empty", "rows")),
    "base": (lmer("y ~ C(f, contr.treatment(base='z')) + (1 | g)"), S, ("'z'", "'f'", "'a'")),
    "scores": (lmer("y ~ C(f, contr.poly(scores=[1, 2])) + (1 | g)"), S, ("'f'", "3 distinct scores", "[1")),
    "rows of contrasts": (contrasts(pd.DataFrame(np.eye(3)[:, :2], index=list("xyz"))), S, ("'f'", "'x'", "'a'")),
    "dependent contrasts": (contrasts(np.ones((3, 2))), S, ("'f'", "linearly independent")),
    "dimensions of contrasts": (contrasts(np.ones((3, 2, 2))), S, ("'f'", "3 dimensions", "two")),
    "contrasts of a number": (contrasts("sum", "x"), S, ("'x'", "C(x)")),
    "sum with categories": (
        lmer("y ~ I(k + 1) + (1 | g)", data=data(k=pd.Categorical(list("abcd") * 12))),
        D,
        ("k", "number"),
    ),
    "matrix as a column": (
        lmer(data={"y": np.ones(4), "x": np.ones((4, 2)), "g": list("aabb")}),
        D,
        ("'x'", "2 dimensions"),
    ),
    "factor of one level": (lmer("y ~ C(t) + (1 | g)"), D, ("C(t)", "one level", "leave it out")),
    "offset of a factor": (lmer("y ~ x + offset(f) + (1 | g)"), D, ("f", "one column of numbers")),
    "learning inside lag": (lmer("y ~ lag(scale(x)) + (1 | g)"), S, ("lag(scale(x))", "outside")),
    "length of a function": (
        lmer("y ~ half(x) + (1 | g)", functions={"half": lambda x: x[:5]}),
        D,
        ("half", "5 values", "48 rows"),
    ),
    "ragged function": (
        lmer("y ~ half(x) + (1 | g)", functions={"half": lambda x: [[1, 2]] * 24 + [[1]] * 24}),
        D,
        ("half(x)", "one length"),
    ),
    "cube of a function": (
        lmer("y ~ half(x) + (1 | g)", functions={"half": lambda x: np.ones((48, 2, 2))}),
        D,
        ("half(x)", "3 dimensions"),
    ),
    "function of all rows": (
        lmer("y ~ I(x - mean(x)) + (1 | g)", functions={"mean": np.mean}),
        S,
        ("mean(x)", "row by row", "center(x)", "compute the column"),
    ),
    "function that fails on rows": (
        lmer("y ~ own(x) + (1 | g)", functions={"own": lambda x: x + np.arange(48)}),
        S,
        ("own(x)", "half of the rows", "fails"),
    ),
    "mean of a column": (lmer("y ~ I(x - mean(x)) + (1 | g)"), S, ("mean(…)", "whole column", "center(x)", "wb(x, g)")),
    "not an expression": (lambda: as_expression("x +"), S, ("x +", "not an expression")),
    "indexes": (lmer(data=shuffled("x")), D, ("'x'", "'y'", "index", "DataFrame")),
    "mixed labels": (
        lmer(data=data(g=pd.Series([["a"], "b", 3] * 16, dtype=object))),
        D,
        ("'g'", "astype(str)"),
    ),
    "wide": (lmer("y ~ C(id):C(g):C(f):C(h) + (1 | g)"), S, ("C(id):C(g):C(f):C(h)", "columns", "random effect")),
    "arguments of a function": (lmer("y ~ lag(x, [1, 2], 3) + (1 | g)"), S, ("lag", "arguments")),
    "levels left out": (lmer("y ~ C(f, levels=['a', 'b']) + (1 | g)"), D, ("levels=", "'c'", "every level")),
    "response of two columns": (lmer("poly(y, 2) ~ x + (1 | g)"), S, ("poly(y, 2)", "2 columns")),
    "proportions": (glmer("q ~ x + (1 | g)", "binomial", data=data(q=0.25)), D, ("'q'", "0.25", "weights=")),
    "three categories": (glmer("f ~ x + (1 | g)", "binomial"), D, ("'f'", "3 categories", "two")),
    "numbers as text": (
        lmer("v ~ x + (1 | g)", data=data(v=["n/a?", *map(str, range(47))])),
        D,
        ("'v'", "'n/a?'", "row 0"),
    ),
    "constant in groups": (
        lambda: mfx.lmer("y ~ 1 + (1 | g)", {"y": np.repeat([1.0, 3.0, 2.0], 4), "g": np.repeat(list("abc"), 4)}),
        D,
        ("'y'", "does not vary within the levels of g"),
    ),
    "exact": (lmer("v ~ x + (1 | g)", data=data(v=1 + 2 * data()["x"])), D, ("'v'", "exact linear function of x")),
    "response of a planned study": (
        lambda: mfx.check_design("z ~ x + (1 | g)", data()),
        DataError,
        ("no column 'z'", "left out", "'~ x + (1 | g)'"),
    ),
    "residual of counts": (
        lambda: mfx.check_design("s ~ x + (1 | g)", data(), family="poisson", sigma=1.0),
        S,
        ("sigma=", "'poisson'"),
    ),
    "ordinal text": (glmer("w ~ x + (1 | g)", "ordinal", data=data(w=WORDS)), D, ("'w'", "ordered=True", "'low'")),
    "ordinal numbers": (
        lambda: mfx.glmer("y ~ 1 + (1 | g)", {"y": LONG[:400], "g": LONG[:400] % 20}, family="ordinal"),
        D,
        ("'y'", "400", "pd.cut"),
    ),
    "a column called Intercept": (
        lmer("y ~ Intercept + (1 | g)", data=data(Intercept=np.arange(48.0))),
        S,
        ("'Intercept'", "rename"),
    ),
    "contrasts of nothing": (lmer("y ~ f + (1 | g)", contrasts={"F": "sum"}), S, ("contrasts", "'F'", "'f'")),
    "columns without a name in text": (
        lambda: mfx.lmer("y ~ x + (1 | g)", data().rename(columns={"x": 0})),
        D,
        ("'x'", "name is not text", "0"),
    ),
    "ordinal cbind": (glmer("cbind(s, t) ~ x + (1 | g)", "ordinal"), S, ("ordinal", "cbind(s, t)")),
    "negative cbind": (glmer("cbind(k, t) ~ x + (1 | g)", "binomial", data=data(k=-1)), D, ("k", "negative", "-1")),
    "degree of bs": (lmer("y ~ bs(x, degree=0) + (1 | g)"), S, ("degree", "at least 1", "0")),
    "df and knots": (lmer("y ~ bs(x, df=5, knots=[0.1]) + (1 | g)"), S, ("bs", "df", "knots")),
    "knots": (lmer("y ~ bs(x, knots=[100]) + (1 | g)"), D, ("bs(x", "100", "knots")),
    "outside of the spline": (
        lambda: fit("bs(x, df=4)").predict(data(x=99.0)),
        D,
        ("bs(x, df=4)", "99", "extrapolation='extend'"),
    ),
    "breaks": (lmer("y ~ cut(x, [1]) + (1 | g)"), S, ("cut", "two different breaks")),
    "labels of cut": (lmer("y ~ cut(x, [-9, 0, 9], labels=['a']) + (1 | g)"), S, ("cut", "2 intervals", "1 labels")),
    "broken degree": (lmer("y ~ poly(x, 2.7) + (1 | g)"), S, ("degree", "whole number", "2.7")),
    "broken df": (lmer("y ~ bs(x, df=4.7) + (1 | g)"), S, ("df of bs", "whole number", "4.7")),
    "a spline that fills the memory": (
        lambda: mfx.lmer("y ~ bs(x, df=999) + (1 | g)", {"y": LONG, "x": LONG, "g": LONG % 50}),
        S,
        ("bs", "999 columns", "GB"),
    ),
    "intervals": (lmer("y ~ cut(x, 1) + (1 | g)"), S, ("cut", "at least two intervals", "1")),
    "intervals of infinite values": (
        lmer("y ~ cut(x, 3) + (1 | g)", data=data(x=np.where(np.arange(48) == 3, np.inf, np.arange(48.0)))),
        D,
        ("cut", "finite", "inf"),
    ),
    "cut of a constant": (lmer("y ~ cut(t, 3) + (1 | g)"), D, ("cut(t, 3)", "constant")),
    "index of weights": (
        lmer(weights=pd.Series(np.ones(48), index=range(5, 53))),
        D,
        ("weights", "index", "to_numpy()"),
    ),
    "weights of nothing": (lmer(weights=np.zeros(48)), D, ("weights", "positive", "48")),
    "infinite weights": (lmer(weights=np.full(48, np.inf)), D, ("weights", "infinite", "48 rows")),
    "offset of new rows": (lambda: with_offset().predict(data()), S, ("offset=",)),
    "iterations": (lambda: mfx.Control(max_iter=-1), S, ("max_iter", "at least 0", "-1")),
    "number of starts": (lambda: mfx.Control(starts=0), S, ("starts", "at least 1", "0")),
    "seed of starts": (lambda: mfx.Control(seed=-3), S, ("seed", "at least 0", "-3")),
    "several starts, by iteration": (
        lambda: mfx.glmer("s ~ x + (1 | g) + (1 | f)", data(), family="poisson", control=iterative(starts=2)),
        SpecificationError,
        ("starts=1", "remainder='iterative'"),
    ),
    "profiled, by iteration": (
        lambda: mfx.glmer("s ~ x + (1 | g) + (1 | f)", data(), family="poisson", nagq=0, control=iterative()),
        SpecificationError,
        ("nagq=1", "remainder='iterative'"),
    ),
    "residual structure, by iteration": (
        lmer("y ~ x + (1 | g) + (1 | f)", residual=mfx.VarIdent("f"), control=iterative()),
        S,
        ('remainder="iterative"', "residual=", 'remainder="auto"'),
    ),
    "correlated levels, by iteration": (
        lmer("y ~ x + known(1 | g, K) + (1 | f)", functions={"K": related("g")}, control=iterative()),
        S,
        ('remainder="iterative"', "correlated a priori"),
    ),
    "starts of a quick look": (
        lambda: mfx.glmer("s ~ x + (1 | g)", data(), family="poisson", nagq=0, control=mfx.Control(starts=2)),
        S,
        ("starts", "nagq=1"),
    ),
    "one heavy row": (
        lmer(weights=np.where(np.arange(48) == 5, 1e20, 1.0)),
        D,
        ("row 5", "1e+20", "median weight is 1", "1e8"),
    ),
    "tolerance": (lambda: mfx.Control(tol=-1.0), S, ("tol", "positive", "-1")),
    "function name": (lmer(functions={"lambda": np.log}), S, ("'lambda'", "functions")),
    "names of '.'": (
        lambda: parse("y ~ .", columns=["y", 3]),
        D,
        ("'.'", "strings", "3"),
    ),
    "long formula": (lmer("y ~ " + "x + " * 30_000), S, ("120,004", "100,000", "leave terms out")),
    "ordinal without intercept": (glmer("s ~ 0 + x + (1 | g)", "ordinal"), S, ("thresholds", "0 +")),
    "constant counts": (glmer("t ~ x + (1 | g)"), D, ("'t'", "constant", "3")),
    "few rows": (lmer("y ~ x + (1 | g)", data=data().iloc[[0, 7]]), D, ("2",)),
}
