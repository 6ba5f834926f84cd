"""Predictors measured with error, and lines through points with errors."""

from collections.abc import Callable
from typing import Any

import numpy as np

import mixedfx as mfx
from mixedfx import DataError, SpecificationError
from mixedfx.models.errors_in_variables import ErrorsInVariablesModel
from tests.messages.helpers import Case, data, glmer

THREE = [1.0, 2.0, 4.0]


def frame(**changes: Any) -> Any:
    """The small table with two measurements ``v1, v2`` of x, and one ``u`` of the groups."""
    rng = np.random.default_rng(8)
    table = data()
    table["v1"], table["v2"] = table.x + 0.5 * rng.normal(size=48), table.x + 0.5 * rng.normal(size=48)
    table["u"] = rng.normal(size=8)[np.repeat(np.arange(8), 6)]
    return table.assign(**changes)


def lmer(formula: str, table: Any = None, **options: Any) -> Callable[[], Any]:
    return lambda: mfx.lmer(formula, frame() if table is None else table, **options)


def me(call: str, rest: str = "", **options: Any) -> Callable[[], Any]:
    return lmer(f"y ~ {call}{rest}", **options)


def model(formula: str = "y ~ me(v1, v2)", **options: Any) -> ErrorsInVariablesModel:
    return ErrorsInVariablesModel(formula, frame(), **options)


def moment(formula: str, **options: Any) -> Callable[[], Any]:
    return lmer(formula, errors_in_variables="moment", **options)


CASES: dict[str, Case] = {
    # what is said of the error
    "unknown error": (me("me(v1)"), SpecificationError, ("v1", "not identified", "sd=", "replicate")),
    "no column": (me("me(sd=1)"), SpecificationError, ("me(", "column")),
    "computed": (me("me(log(v1), sd=1)"), SpecificationError, ("columns", "beforehand")),
    "two sizes": (me("me(v1, sd=1, var=1)"), SpecificationError, ("one of", "sd", "var")),
    "no size": (me("me(v1, sd='a')"), SpecificationError, ("sd=", "number or a column")),
    "negative": (me("me(v1, sd=-1)"), SpecificationError, ("sd=", "-1")),
    "reliability": (me("me(v1, reliability=2)"), SpecificationError, ("reliability", "2")),
    "reliability of replicates": (me("me(v1, v2, reliability=.8)"), SpecificationError, ("reliability", "sd=")),
    "replicate twice": (me("me(v1, v1)"), SpecificationError, ("replicate", "twice")),
    "two errors": (me("me(v1, sd=1) + me(v1, sd=2)"), SpecificationError, ("me(v1)", "twice")),
    "negative column": (lmer("y ~ me(v1, sd=w)", frame(w=-1.0)), DataError, ("'w'", "-1")),
    "infinite": (lmer("y ~ me(v1, sd=1)", frame(v1=np.inf)), DataError, ("v1", "inf")),
    "infinite replicate": (lmer("y ~ me(v1, v2)", frame(v2=[np.inf] + [-np.inf] + [1.0] * 46)), DataError, ("inf",)),
    "nothing twice": (lmer("y ~ me(v1, v2)", frame(v2=np.nan)), DataError, ("me(v1, v2)", "not identified", "sd=")),
    "equal replicates": (lmer("y ~ me(v1, x)", frame(v1=frame().x)), DataError, ("me(v1, x)", "agree")),
    "zero error": (lmer("y ~ me(v1, v2, sd=w)", frame(w=0.0)), DataError, ("me(v1, v2", "differ", "'w'")),
    # where it stands
    "interaction": (me("me(v1, sd=1) * f"), SpecificationError, ("me(v1)", "interaction", "term of its own")),
    "polynomial": (me("poly(me(v1, sd=1), 2)"), SpecificationError, ("me(v1)", "function", "term of its own")),
    "random slope": (me("x", " + (me(v1, sd=1) | g)"), SpecificationError, ("me(v1)", "random slope", "(1 | group)")),
    "undefined function": (me("log(me(v1, sd=1))"), SpecificationError, ("me(v1)", "function", "term of its own")),
    "grouping": (me("x", " + (1 | me(v1, sd=1))"), SpecificationError, ("me(v1)", "right of a bar", "(1 | group)")),
    "offset": (me("x", " + offset(me(v1, sd=1))"), SpecificationError, ("me(v1)", "fixed part")),
    "measured twice": (me("me(v1, sd=1) + v1"), SpecificationError, ("'v1'", "elsewhere")),
    "elsewhere": (lambda: mfx.aov("y ~ me(v1, sd=1)", frame()), SpecificationError, ("me(…)", "lmer or glmer")),
    "redundant": (lmer("y ~ x + me(v1, sd=1)", frame(v1=frame().x)), DataError, ("me(v1)", "combination")),
    "several of groups": (me("me(u, sd=.1) + me(v1, sd=1) + (1 | g)"), SpecificationError, ("me(u)", "'g'", "2 me()")),
    # models
    "no me": (me("x", errors_in_variables="rc"), SpecificationError, ("errors_in_variables", "me(w, sd=…)")),
    "method": (me("me(v1, sd=1)", errors_in_variables="simex"), SpecificationError, ("simex", "'rc'")),
    "residual": (me("me(v1, sd=1)", residual=mfx.VarIdent("f")), SpecificationError, ("residual=", "me(…)")),
    "weights": (glmer("s ~ me(v1, sd=1)", data=frame(), weights="w"), SpecificationError, ("weights", "poisson")),
    "inflated": (
        glmer("s ~ me(v1, sd=1)", "zero_inflated_poisson", data=frame()),
        SpecificationError,
        ("zero_inflated_poisson", "zero_inflation"),
    ),
    "edge": (
        glmer("p ~ me(v1, sd=1)", "gamma", link="inverse", data=frame()),
        SpecificationError,
        ("'inverse'", "edge", '"rc"'),
    ),
    "nodes without groups": (
        glmer("s ~ me(v1, sd=1)", data=frame(), nagq=5),
        SpecificationError,
        ("nagq", "random effects"),
    ),
    "nodes": (glmer("s ~ me(v1, sd=1) + (1 | g)", data=frame(), nagq=0), SpecificationError, ("nagq", "0")),
    "kind of nodes": (glmer("s ~ me(v1, sd=1) + (1 | g)", data=frame(), nagq=2.5), TypeError, ("nagq", "float")),
    "undetermined": (
        lmer("y ~ me(v1, sd=1) + (1 | g) + (1 | k)", frame(k=frame().g)),
        SpecificationError,
        ("me(…)", "leave out"),
    ),
    "all error": (
        lmer("y ~ me(v1, sd=9)", errors_in_variables="rc"),
        DataError,
        ("me(v1)", "reliability", "size of the error"),
    ),
    "moments with groups": (moment("y ~ me(v1, sd=.1) + (1 | g)"), SpecificationError, ("random effects", '"rc"')),
    "moments of many sizes": (
        moment("y ~ me(v1, sd=w)", table=frame(w=np.arange(48.0))),
        SpecificationError,
        ('"ml"',),
    ),
    "moments without intercept": (moment("y ~ 0 + me(v1, sd=.1)"), SpecificationError, ("intercept", '"ml"')),
    "objective": (
        lambda: model().objective([0.0, 1.0, 0.0, 0.0, -1.0, 0.2]),
        SpecificationError,
        ("true values", "positive definite"),
    ),
    "refit": (lambda: mfx.bootstrap(model().fit(), 5, seed=1), SpecificationError, ("errors in variables", "refit")),
    "profile of calibrated": (
        lambda: lmer("y ~ me(v1, v2)", errors_in_variables="rc")().profile(),
        SpecificationError,
        ("regression calibration", '"ml"'),
    ),
    "variances of calibrated": (
        lambda: lmer("y ~ me(v1, v2) + (1 | g)", errors_in_variables="rc")().cov_varpar(),
        SpecificationError,
        ("regression calibration", '"ml"'),
    ),
    "some rows": (
        lambda: mfx.lmer("y ~ me(v1, v2)", frame()).solution.on_rows(None, None),
        SpecificationError,
        ("errors in variables", "rows"),
    ),
    "joint covariance": (
        lambda: mfx.lmer("y ~ me(v1, v2) + (1 | g)", frame()).cov_joint(),
        SpecificationError,
        ("errors in variables", "joint covariance"),
    ),
    "linear only": (
        lambda: mfx.conditional_aic(mfx.lmer("y ~ me(v1, v2) + (1 | g)", frame())),
        SpecificationError,
        ("conditional_aic", "fit.naive"),
    ),
    "linear only, ranova": (
        lambda: mfx.ranova(mfx.lmer("y ~ me(v1, v2) + (1 | g)", frame())),
        SpecificationError,
        ("ranova", "fit.naive"),
    ),
    "comparison": (
        lambda: mfx.anova(mfx.lmer("y ~ me(v1, v2)", frame()), mfx.lmer("y ~ me(v1, v2) + f", frame())),
        DataError,
        ("joint likelihood", "same", "wald_test"),
    ),
    "comparison of calibrated": (
        lambda: mfx.anova(
            mfx.lmer("y ~ me(v1, v2)", frame(), errors_in_variables="rc"), mfx.lmer("y ~ me(v1, v2)", frame())
        ),
        DataError,
        ("regression calibration", '"ml"'),
    ),
    # lines
    "pairs": (lambda: mfx.deming(THREE, [1.0, 2.0]), DataError, ("3", "2", "pairs")),
    "few points": (lambda: mfx.deming([1.0, 2.0], [1.0, 2.0]), DataError, ("3 points", "2")),
    "constant": (lambda: mfx.deming([1.0] * 3, THREE), DataError, ("x", "slope")),
    "missing": (lambda: mfx.deming([1.0, np.nan, 2.0], THREE), DataError, ("x", "nan")),
    "table": (lambda: mfx.deming(np.ones((3, 2)), THREE), DataError, ("x", "shape")),
    "text": (lambda: mfx.deming("abc", THREE), TypeError, ("x", "numbers")),
    "uncorrelated": (lambda: mfx.deming([-1.0, 0.0, 1.0], [1.0, -2.0, 1.0]), DataError, ("uncorrelated",)),
    "ratio": (lambda: mfx.deming(THREE, THREE, ratio=-1), SpecificationError, ("ratio", "-1")),
    "negative error": (lambda: mfx.york(THREE, THREE, -1, 1), DataError, ("sx", "-1")),
    "number of errors": (lambda: mfx.york(THREE, THREE, [1.0, 2.0], 1), DataError, ("sx", "2", "3")),
    "infinite error": (lambda: mfx.york(THREE, THREE, np.inf, 1), DataError, ("sx", "inf")),
    "no errors": (lambda: mfx.york(THREE, THREE, 0, [0.0, 1.0, 1.0]), DataError, ("sx", "sy", "zero")),
    "correlation": (lambda: mfx.york(THREE, THREE, 1, 1, r=1.0), SpecificationError, ("r", "1")),
    "no line": (
        lambda: mfx.york([-1.0, 0.0, 1.0], [1.0, -2.0, 1.0], 1.0, 1.0),
        DataError,
        ("no line", "slope"),
    ),
}
