"""Every error and warning: its class, the culprit that it names, and the remedy. The guide lists them all."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx import (
    ConvergenceWarning,
    DataError,
    RankDeficientWarning,
    SeparationWarning,
    SingularFitWarning,
    SpecificationError,
)

PAGE = Path(__file__).parent.parent / "docs" / "guide" / "messages.md"
MODEL = "y ~ x + (1 | g)"


def data(**changes: Any) -> pd.DataFrame:
    """48 rows in 8 groups; ``changes`` replaces columns."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(8), 6)
    x = rng.normal(size=48)
    y = x + 2.0 * rng.normal(size=8)[g] + rng.normal(size=48)
    s = rng.integers(0, 3, 48)
    frame = {"y": y, "x": x, "g": [f"g{i}" for i in g], "h": np.arange(48) % 4, "f": list("abc") * 16, "s": s}
    frame |= {
        "p": np.exp(x),
        "b": np.arange(48) % 2,
        "t": 3,
        "w": 1.0,
        "id": range(48),
        "when": pd.Timestamp("2024-01-01"),
    }
    return pd.DataFrame(frame | changes)


def lmer(formula: str = MODEL, **options: Any) -> Callable[[], Any]:
    frame = options.pop("data", None)
    return lambda: mfx.lmer(formula, data() if frame is None else frame, **options)


def glmer(formula: str, family: Any = "poisson", **options: Any) -> Callable[[], Any]:
    frame = options.pop("data", None)
    return lambda: mfx.glmer(formula, data() if frame is None else frame, family=family, **options)


def fitted(action: Callable[[Any], Any], formula: str = MODEL) -> Callable[[], Any]:
    return lambda: action(mfx.lmer(formula, data()))


def holes(column: str, rows: Any) -> pd.DataFrame:
    frame = data().astype({column: object})
    frame.loc[rows, column] = None
    return frame


# what is done, class, words that the message must have (culprit and remedy)
ERRORS: dict[str, tuple[Callable[[], Any], type[Exception], tuple[str, ...]]] = {
    # formulas
    "empty": (lmer(""), SpecificationError, ("formula",)),
    "no response": (lmer("~ x + (1 | g)"), SpecificationError, ("response",)),
    "bar without parentheses": (lmer("y ~ x + 1 | g"), SpecificationError, ("parenthes",)),
    "unbalanced": (lmer("y ~ (x + (1 | g)"), SpecificationError, ("(",)),
    "no group": (lmer("y ~ x + (1 | )"), SpecificationError, ("|",)),
    "not a name": (lmer("y ~ x.__class__ + (1 | g)"), DataError, ("x.__class__", "not allowed")),
    "import": (lmer("y ~ __import__('os') + (1 | g)"), SpecificationError, ("__import__",)),
    "lambda": (lmer("y ~ (lambda: 1) + (1 | g)"), DataError, ("lambda",)),
    "unknown function": (lmer("y ~ frobnicate(x) + (1 | g)"), SpecificationError, ("frobnicate", "functions")),
    "no random effects": (lmer("y ~ x"), SpecificationError, ("(1 | group)", "ols")),
    "no random effects, glmer": (glmer("s ~ x"), SpecificationError, ("(1 | group)", "glm")),
    "Error in lmer": (lmer("y ~ x + Error(g)"), SpecificationError, ("Error", "aov", "(1 | g)")),
    "bars in aov": (lambda: mfx.aov("y ~ f + (1 | g)", data()), SpecificationError, ("Error(g)", "lmer")),
    "no intercept in aov": (lambda: mfx.aov("y ~ 0 + f + Error(g)", data()), SpecificationError, ("intercept",)),
    "two responses": (lmer("cbind(s, t) ~ x + (1 | g)"), SpecificationError, ("cbind(s, t)", "binomial")),
    "degree": (lmer("y ~ poly(x, 0) + (1 | g)"), SpecificationError, ("degree", "at least 1")),
    "degree too high": (lmer("y ~ poly(h, 9) + (1 | g)"), DataError, ("poly(h, 9)", "different values")),
    "few df": (lmer("y ~ bs(x, df=1) + (1 | g)"), SpecificationError, ("bs", "at least 3")),
    "constant spline": (lmer("y ~ bs(t, df=4) + (1 | g)"), DataError, ("bs(t, df=4)", "constant")),
    "infinite spline": (lmer("y ~ bs(x) + (1 | g)", data=data(x=np.inf)), DataError, ("bs(x)", "finite")),
    "constant scale": (lmer("y ~ scale(t) + (1 | g)"), DataError, ("scale(t)", "constant")),
    "log of a label": (lmer("y ~ log(f) + (1 | g)"), DataError, ("f", "numbers")),
    "log of a negative": (lmer("y ~ log(x) + (1 | g)"), DataError, ("log(x)",)),
    # data
    "missing column": (lmer("y ~ nope + (1 | g)"), DataError, ("nope",)),
    "missing group": (lmer("y ~ x + (1 | nope)"), DataError, ("nope",)),
    "not data": (lmer(data=3), TypeError, ("int", "data")),
    "columns twice": (lmer(data=pd.concat([data(), data()[["x"]]], axis=1)), DataError, ("'x'", "rename")),
    "lengths": (lmer(data={"y": [1.0, 2.0], "x": [1.0], "g": ["a", "b"]}), DataError, ("length", "x")),
    "no rows": (lmer(data=data().iloc[:0]), DataError, ("rows",)),
    "all missing": (lmer(data=holes("x", slice(None))), DataError, ("x", "missing")),
    "missing, raise": (lmer(data=holes("g", [3]), missing="raise"), DataError, ("g", "missing='drop'")),
    "unknown missing": (lmer(missing="fill"), SpecificationError, ("fill", "'drop'", "'raise'")),
    "text response": (lmer("f ~ x + (1 | g)"), DataError, ("'f'", "binomial")),
    "constant response": (lmer("t ~ x + (1 | g)"), DataError, ("'t'", "constant")),
    "infinite": (lmer(data=data(x=[np.inf] + [0.0, 1.0] * 23 + [2.0])), DataError, ("x", "infinite")),
    "dates": (lmer("y ~ when + (1 | g)"), DataError, ("when", "date")),
    "complex": (lmer(data=data(x=1j)), (DataError, TypeError), ("x", "complex")),
    "row identifier": (lmer("y ~ x + (1 | id)"), DataError, ("'id'", "row identifier", "sigma=")),
    "one level": (lmer("y ~ x + (1 | t)"), DataError, ("t", "level")),
    "too few rows": (lmer(data=data().iloc[:2]), DataError, ("2",)),
    "too many parameters": (lmer("y ~ 1 + (poly(x, 9) | g)", data=data().iloc[:30]), SpecificationError, ("||",)),
    # arguments
    "weights column": (lmer(weights="nope"), DataError, ("nope",)),
    "negative weights": (lmer(weights=-np.ones(48)), DataError, ("weights",)),
    "short weights": (lmer(weights=np.ones(3)), DataError, ("weights", "3", "48")),
    "short offset": (lmer(offset=np.ones(3)), DataError, ("offset", "3", "48")),
    "unknown contrasts": (lmer("y ~ f + (1 | g)", contrasts={"f": "nope"}), SpecificationError, ("nope", "'f'", "sum")),
    "contrast matrix": (lmer("y ~ f + (1 | g)", contrasts={"f": np.eye(2)}), SpecificationError, ("'f'", "rows")),
    "contrasts type": (lmer("y ~ f + (1 | g)", contrasts={"f": 3}), TypeError, ("'f'", "int")),
    "formula type": (lmer(3), TypeError, ("formula", "int")),
    "reml type": (lmer(reml="yes"), TypeError, ("reml",)),
    "control type": (lmer(control={"tol": 1}), TypeError, ("Control",)),
    "start": (lmer(control=mfx.Control(start=[1.0, 2.0, 3.0])), SpecificationError, ("start", "3")),
    "residual type": (lmer(residual="ar1"), TypeError, ("residual",)),
    "no family": (glmer("s ~ x + (1 | g)", "nope"), SpecificationError, ("nope", "poisson")),
    "no link": (glmer("s ~ x + (1 | g)", link="nope"), SpecificationError, ("nope", "log")),
    "negative counts": (glmer("y ~ x + (1 | g)"), DataError, ("y",)),
    "not binary": (glmer("s ~ x + (1 | g)", "binomial"), DataError, ("s",)),
    "gamma of zero": (glmer("s ~ x + (1 | g)", "gamma"), DataError, ("s",)),
    "trials twice": (
        glmer("cbind(s, t) ~ x + (1 | g)", "binomial", weights="w"),
        SpecificationError,
        ("cbind", "weights"),
    ),
    "nodes": (glmer("s ~ x + (1 | g)", nagq=-1), SpecificationError, ("nagq", "-1")),
    "nodes word": (glmer("s ~ x + (1 | g)", nagq="many"), SpecificationError, ("nagq", "'auto'")),
    "nodes, crossed": (glmer("s ~ x + (1 | g) + (1 | h)", nagq=5), SpecificationError, ("nagq=1", "2")),
    "many nodes": (glmer("s ~ x + (x | g)", nagq=400), SpecificationError, ("nagq=400",)),
    "information": (glmer("s ~ x + (1 | g)", information="nope"), SpecificationError, ("nope", "'observed'")),
    "penalty": (glmer("s ~ x + (1 | g)", penalty=-1.0), SpecificationError, ("penalty", "-1")),
    "penalty type": (glmer("s ~ x + (1 | g)", penalty="weak"), TypeError, ("penalty", "str")),
    "dispersion formula": (
        glmer("s ~ x + (1 | g)", "nbinom2", dispersion="~ (1 | h)"),
        SpecificationError,
        ("dispersion",),
    ),
    "dataset": (lambda: mfx.load_dataset("nope"), SpecificationError, ("nope", "list_datasets()")),
    "outside the link": (glmer("p ~ 0 + (0 + x | g)", "gamma"), DataError, ("'p'", "intercept", "link='log'")),
    # results
    "new level": (fitted(lambda fit: fit.predict(data(g="new"))), DataError, ("new", "g", "population")),
    "prediction lacks a column": (fitted(lambda fit: fit.predict(data().drop(columns="x"))), DataError, ("x",)),
    "unknown level": (
        fitted(lambda fit: fit.predict(data(f="z")), "y ~ f + (1 | g)"),
        DataError,
        ("f", "z"),
    ),
    "interval method": (fitted(lambda fit: fit.conf_int(method="nope")), SpecificationError, ("nope", "wald")),
    "alpha": (fitted(lambda fit: fit.conf_int(alpha=2.0)), SpecificationError, ("alpha", "2")),
    "anova type": (fitted(lambda fit: mfx.anova(fit, type=4)), SpecificationError, ("type", "4")),
    "anova ddf": (fitted(lambda fit: mfx.anova(fit, ddf="nope")), SpecificationError, ("nope", "satterthwaite")),
    "anova of other rows": (
        lambda: mfx.anova(mfx.lmer(MODEL, data()), mfx.lmer("y ~ 1 + (1 | g)", data().iloc[:40])),
        DataError,
        ("rows",),
    ),
    "test of nothing": (fitted(lambda fit: fit.t_test("nope = 0")), SpecificationError, ("nope",)),
    "emmeans of nothing": (fitted(lambda fit: mfx.emmeans(fit, "nope")), SpecificationError, ("nope",)),
}

WARNINGS: dict[str, tuple[Callable[[], Any], type[Warning], tuple[str, ...]]] = {
    "aliased column": (lmer("y ~ x + I(2 * x) + (1 | g)"), RankDeficientWarning, ("I(2 * x)", "dropped")),
    "no variance": (
        lmer(data=data(y=np.tile([1.0, -1.0, 2.0, -2.0, 0.5, -0.5], 8))),
        SingularFitWarning,
        ("(1 | g)", "no variance"),
    ),
    "aliased groups": (
        lmer("y ~ x + (1 | g) + (1 | g2)", data=data(g2=np.repeat(list("sdfghjkl"), 6))),
        SingularFitWarning,
        ("not identified", "same groups"),
    ),
    "cut": (
        lmer("y ~ x + (x | g)", control=mfx.Control(max_iter=1)),
        ConvergenceWarning,
        ("not the optimum", "iteration limit"),
    ),
    "separation": (
        glmer("b ~ b2 + (1 | g)", "binomial", data=data(b2=np.arange(48) % 2)),
        SeparationWarning,
        ("b2", "penalty=0.1"),
    ),
}


def error_of(case: str) -> Exception:
    call, expected, _ = ERRORS[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        with pytest.raises(expected) as caught:
            call()
    return caught.value


def warning_of(case: str) -> warnings.WarningMessage:
    call, expected, _ = WARNINGS[case]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    (found,) = [w for w in caught if issubclass(w.category, expected)]
    return found


def documented() -> list[re.Pattern[str]]:
    """The messages of the guide as patterns: ``…`` stands for what differs."""
    rows = re.findall(r"^\| `(.+?)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    parts = [[re.escape(part) for part in row.replace("\\|", "|").split("…")] for row in rows]
    return [re.compile(".*?".join(own), re.DOTALL) for own in parts]


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_the_culprit_and_the_remedy(case):
    error = error_of(case)
    assert all(word in str(error) for word in ERRORS[case][2]), str(error)
    assert any(pattern.search(str(error)) for pattern in documented()), str(error)


@pytest.mark.parametrize("case", WARNINGS)
def test_warning_names_the_culprit_and_the_remedy(case):
    found = warning_of(case)
    assert all(word in str(found.message) for word in WARNINGS[case][2]), str(found.message)
    assert found.filename == __file__, "the warning does not point to the caller's line"
    assert any(pattern.search(str(found.message)) for pattern in documented()), str(found.message)


def test_every_message_of_the_guide_exists():
    said = [str(error_of(case)) for case in ERRORS] + [str(warning_of(case).message) for case in WARNINGS]
    assert [p.pattern for p in documented() if not any(p.search(message) for message in said)] == []
