"""One catalogue of problems, for timings and tests alike.

Every formula is in the part of lme4's language that all peers understand: combined grouping factors and products of
covariates are columns of the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Problem:
    """A model and how to make its data.

    Attributes
    ----------
    name, formula : str
    frame : callable
        Makes the data; grouping factors and factors are strings.
    note : str
        Size and character, for the table.
    family : str
        ``"gaussian"`` is a linear mixed model by REML.
    nagq : int
    options : dict
        Further arguments of :func:`mixedfx.glmer`.
    formulas : dict
        Other spellings: peer to formula.
    skip : tuple of str
        Peers that cannot fit it, or not within many minutes.
    large : bool
        Left out by ``--quick``.
    """

    name: str
    formula: str
    frame: Callable[[], pd.DataFrame]
    note: str
    family: str = "gaussian"
    nagq: int = 1
    options: dict[str, str] = field(default_factory=dict)
    formulas: dict[str, str] = field(default_factory=dict)
    skip: tuple[str, ...] = ()
    large: bool = False


def dataset(name: str, **columns: Callable[[pd.DataFrame], object]) -> Callable[[], pd.DataFrame]:
    """A bundled data set, with some columns added."""

    def make() -> pd.DataFrame:
        import mixedfx as mfx

        return mfx.load_dataset(name).assign(**columns)

    return make


def joined(*names: str) -> Callable[[pd.DataFrame], object]:
    """The column of the combinations of several."""
    return lambda frame: frame[list(names)].astype(str).agg("_".join, axis=1)


def labels(codes: np.ndarray) -> np.ndarray:
    return np.char.add("L", codes.astype(str))


def simulated(
    rng: np.random.Generator, fixed: np.ndarray, groups: dict[str, np.ndarray], sd: dict[str, float]
) -> pd.DataFrame:
    """``y`` with a random intercept for each group."""
    y = fixed + rng.standard_normal(len(fixed))
    for name, codes in groups.items():
        y = y + sd[name] * rng.standard_normal(codes.max() + 1)[codes]
    return pd.DataFrame({"y": y} | {name: labels(codes) for name, codes in groups.items()})


# --------------------------------------------------------------------------- simulated linear problems
def nested(n: int = 31_022, schools: int = 2280, authorities: int = 131) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    school = rng.integers(0, schools, n)
    authority = rng.integers(0, authorities, schools)[school]
    x = rng.standard_normal(n)
    groups = {"authority": authority, "school": school}
    return simulated(rng, 0.5 * x, groups, {"authority": 0.15, "school": 0.33}).assign(x=x)


def slopes(n: int = 1_000_000, levels: int = 100_000) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    g, x = rng.integers(0, levels, n), rng.standard_normal(n)
    b = rng.standard_normal((2, levels)) * [[1.0], [0.5]]
    return pd.DataFrame({"y": 1 + x + b[0, g] + b[1, g] * x + rng.standard_normal(n), "x": x, "g": labels(g)})


def crossed(n: int = 100_000, a: int = 2000, b: int = 2000) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    x, groups = rng.standard_normal(n), {"a": rng.integers(0, a, n), "b": rng.integers(0, b, n)}
    return simulated(rng, 1 + x, groups, {"a": 1.0, "b": 0.5}).assign(x=x)


def three_levels(n: int = 1_000_000, inner: int = 100_000, outer: int = 10_000) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    g = rng.integers(0, inner, n)
    h = rng.integers(0, outer, inner)[g]
    x = rng.standard_normal(n)
    return simulated(rng, 0.3 * x, {"inner": g, "outer": h}, {"inner": 0.5, "outer": 0.3}).assign(x=x)


def pupils(moves: str) -> Callable[[], pd.DataFrame]:
    """40 000 rows: 10 000 pupils, four occasions each, in 3000 classes of 300 schools."""

    def make() -> pd.DataFrame:
        rng = np.random.default_rng(5)
        pupil = np.repeat(np.arange(10_000), 4)
        if moves == "within schools":
            school = rng.integers(0, 300, 10_000)[pupil]
            classes = school * 10 + rng.integers(0, 10, pupil.size)
        else:
            classes = rng.integers(0, 3000, 10_000)[pupil]
            moved = rng.random(pupil.size) < 0.2
            classes = np.where(moved, rng.integers(0, 3000, pupil.size), classes)
        x = rng.standard_normal(pupil.size)
        groups = {"pupil": pupil, "classroom": classes}
        return simulated(rng, 0.4 * x, groups, {"pupil": 1.0, "classroom": 0.5}).assign(x=x)

    return make


COVARIATES = [f"v{i}" for i in range(32)]


def psychology(people: int = 45, items: int = 288) -> pd.DataFrame:
    """Every person sees every item; four conditions with all interactions, 32 covariates, slopes for both factors."""
    rng = np.random.default_rng(6)
    person, item = np.repeat(np.arange(people), items), np.tile(np.arange(items), people)
    frame = pd.DataFrame({"person": labels(person), "item": labels(item)})
    conditions = {name: rng.choice([-1.0, 1.0], person.size) for name in "abcd"}
    frame = frame.assign(**conditions, ab=conditions["a"] * conditions["b"])
    frame = frame.assign(**{name: rng.standard_normal(person.size) for name in COVARIATES})
    own = np.column_stack([np.ones(person.size), frame[["a", "b", "ab"]]])
    theirs = np.column_stack([np.ones(person.size), frame[["c", "d"]]])
    y = np.sum(own * (0.4 * rng.standard_normal((people, 4)))[person], axis=1)
    y = y + np.sum(theirs * (0.3 * rng.standard_normal((items, 3)))[item], axis=1)
    return frame.assign(y=y + 0.3 * frame["a"] + rng.standard_normal(person.size))


FACTORIAL = " + ".join(":".join(c) for r in range(1, 5) for c in combinations("abcd", r))
PSYCHOLOGY = f"y ~ {FACTORIAL} + {' + '.join(COVARIATES)} + (a + b + ab | person) + (c + d | item)"


# --------------------------------------------------------------------------- simulated generalised problems
def bernoulli(n: int = 100_000, levels: int = 5000) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    g, x = rng.integers(0, levels, n), rng.standard_normal(n)
    b = rng.standard_normal((2, levels)) * [[1.0], [0.5]]
    eta = -0.5 + 0.5 * x + b[0, g] + b[1, g] * x
    return pd.DataFrame({"y": (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int), "x": x, "g": labels(g)})


SLOW = ("interlace", "statsmodels")  # more than five minutes on large problems, or gigabytes

LINEAR = (
    Problem("sleepstudy", "Reaction ~ Days + (Days | Subject)", dataset("sleepstudy"), "180 rows, 18 subjects"),
    Problem(
        "penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", dataset("penicillin"), "144 rows, crossed 24 x 6"
    ),
    Problem(
        "pastes",
        "strength ~ 1 + (1 | batch) + (1 | batch_cask)",
        dataset("pastes", batch_cask=joined("batch", "cask")),
        "60 rows, nested 30 in 10",
    ),
    Problem("machines", "score ~ Machine + (Machine | Worker)", dataset("machines"), "54 rows, 6 parameters"),
    Problem(
        "insteval 2",
        "y ~ service + (1 | s) + (1 | d)",
        dataset("insteval"),
        "73 421 rows, crossed 2972 x 1128",
        skip=SLOW,
        large=True,
    ),
    Problem(
        "insteval 3",
        "y ~ service + (1 | s) + (1 | d) + (1 | dept_service)",
        dataset("insteval", dept_service=joined("dept", "service")),
        "73 421 rows, crossed 2972 x 1128 x 28",
        skip=SLOW,
        large=True,
    ),
    Problem("nested", "y ~ x + (1 | authority) + (1 | school)", nested, "31 022 rows, nested 2280 in 131"),
    Problem(
        "crossed slopes", PSYCHOLOGY, psychology, "12 960 rows, 48 coefficients, 16 parameters", skip=SLOW, large=True
    ),
    Problem("many groups", "y ~ x + (1 + x | g)", slopes, "1e6 rows, 1e5 groups with slopes", skip=SLOW, large=True),
    Problem("crossed", "y ~ x + (1 | a) + (1 | b)", crossed, "1e5 rows, crossed 2000 x 2000", skip=SLOW, large=True),
    Problem(
        "three levels", "y ~ x + (1 | inner) + (1 | outer)", three_levels, "1e6 rows, 1e5 in 1e4", skip=SLOW, large=True
    ),
    Problem(
        "pupils move",
        "y ~ x + (1 | pupil) + (1 | classroom)",
        pupils("anywhere"),
        "40 000 rows, 10 000 pupils, 3000 classes; a fifth of the rows in any other class",
        skip=SLOW,
        large=True,
    ),
    Problem(
        "pupils move within schools",
        "y ~ x + (1 | pupil) + (1 | classroom)",
        pupils("within schools"),
        "40 000 rows, 10 000 pupils, 3000 classes of 300 schools",
        skip=SLOW,
        large=True,
    ),
)

GENERALIZED = (
    Problem(
        "cbpp",
        "cbind(incidence, healthy) ~ period + (1 | herd)",
        dataset("cbpp", healthy=lambda d: d["size"] - d["incidence"]),
        "56 rows, binomial",
        "binomial",
        formulas={"mixedlm": "incidence / size ~ period + (1 | herd)"},
    ),
    Problem(
        "verbagg",
        "yes ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)",
        dataset("verbagg", yes=lambda d: (d["r2"].astype(str) == "Y").astype(int)),
        "7584 rows, Bernoulli, crossed 316 x 24",
        "binomial",
    ),
    Problem(
        "contraception",
        "used ~ age + age2 + urban + livch + (urban | district)",
        dataset(
            "contraception",
            used=lambda d: (d["use"].astype(str) == "Y").astype(int),
            age2=lambda d: d["age"] ** 2,
        ),
        "1934 rows, Bernoulli, slopes",
        "binomial",
    ),
    Problem(
        "grouseticks",
        "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)",
        dataset("grouseticks"),
        "403 rows, Poisson, three nested",
        "poisson",
    ),
    Problem(
        "salamanders",
        "count ~ mined + spp + (1 | site)",
        dataset("salamanders"),
        "644 rows, negative binomial",
        "nbinom2",
        skip=("interlace",),
    ),
    Problem(
        "owls",
        "SiblingNegotiation ~ FoodTreatment * SexParent + logBroodSize + (1 | Nest)",
        dataset("owls"),
        "599 rows, zero-inflated negative binomial",
        "nbinom2",
        options={"zero_inflation": "~ 1"},
        skip=("lme4", "glmm", "mixedlm", "statsmodels", "gpboost", "interlace"),
    ),
    Problem(
        "toenail",
        "y ~ treatment * time + (1 | patientID)",
        dataset("toenail"),
        "1908 rows, Bernoulli, 11 nodes",
        "binomial",
        nagq=11,
        skip=("glmmTMB", "interlace"),
    ),
    Problem(
        "bernoulli slopes",
        "y ~ x + (1 + x | g)",
        bernoulli,
        "1e5 rows, 5000 groups with slopes",
        "binomial",
        skip=("interlace",),
        large=True,
    ),
)

PROBLEMS = {problem.name: problem for problem in LINEAR + GENERALIZED}
