"""Warnings, those of fits and those of what is asked of a fit."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import mixedfx as mfx
from mixedfx import ConvergenceWarning, RankDeficientWarning, SeparationWarning, SingularFitWarning
from tests.messages.helpers import Case, data, glmer, lmer


def after(fit: Callable[[], Any], action: Callable[[Any], Any]) -> Callable[[], Any]:
    """What is asked of a fit that was made in silence."""

    def call() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mfx.MixedfxWarning)
            found = fit()
        return action(found)

    return call


def walks() -> Any:
    """Random walks of the groups, without further noise."""
    steps = np.random.default_rng(0).normal(size=(8, 6))
    return data(t=list("uvwxyz") * 8, y=np.cumsum(steps, axis=1).ravel())


def gaps() -> Any:
    """A factor with a cell that has no rows."""
    frame = data(k=np.where(np.arange(48) % 5 < 2, "u", "v"))
    return frame[~((frame["f"] == "c") & (frame["k"] == "v"))]


def arms() -> Any:
    """Two of the groups have the treatment: without them nothing is known of it."""
    return data(a=np.repeat([0, 0, 0, 0, 0, 0, 1, 1], 6))


def unfinished() -> Any:
    return mfx.lmer("y ~ x + (x | g)", data(), control=mfx.Control(max_iter=1))


class Interrupted:
    """A statistic during which Ctrl-C is pressed."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, fit: Any) -> float:
        self.calls += 1
        if self.calls > 26:
            raise KeyboardInterrupt
        return float(fit.sigma)


CASES: dict[str, Case] = {
    "pool of fits that did not converge": (
        after(unfinished, lambda fit: mfx.pool([fit, fit])),
        ConvergenceWarning,
        ("2 of 2 fits", "number 1, 2", "certificate"),
    ),
    "a spline that runs off": (
        lambda: mfx.deconvolve([0.0, 1.0, 2.5], sd=1.0, method="spline", penalty=0),
        ConvergenceWarning,
        ("not the optimum", "spline", "penalty="),
    ),
    "eql of binary responses": (
        lambda: mfx.hglm("b ~ x + (1 | g)", data(), family="binomial", method="eql"),
        mfx.MixedfxWarning,
        ("binary", '"laplace"'),
    ),
    "responses without an optimum": (
        after(lmer(), lambda fit: fit.refit_many({"a": [1.0] * 48, "b": data()["y"]})),
        ConvergenceWarning,
        ("1 of 2 responses", "verdict", "'a'", "the same"),
    ),
    "Bambi without correlations": (
        after(lmer("y ~ x + (x | g)"), lambda fit: fit.to_bambi()),
        mfx.MixedfxWarning,
        ("(1 + x | g)", "independent", "to_pymc"),
    ),
    "aliased column": (lmer("y ~ x + I(2 * x) + (1 | g)"), RankDeficientWarning, ("I(2 * x)", "dropped")),
    "no variance": (
        lmer(data=data(y=np.tile([1.0, -1.0, 2.0, -2.0, 0.5, -0.5], 8))),
        SingularFitWarning,
        ("(1 | g)", "no variance"),
    ),
    "no residual variance": (
        lmer("y ~ 1 + ar1(0 + t | g)", data=walks()),
        SingularFitWarning,
        ("residual variance is estimated as zero", "ar1(0 + t | g)"),
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
    "separation of zeros": (
        glmer(
            "s ~ x + (1 | g)",
            data=data(s=np.where((np.arange(48) % 3 == 0) | (np.arange(48) % 5 == 0), 0, 4 + np.arange(48) % 4)),
            zero_inflation="~ f",
        ),
        SeparationWarning,
        ("zero inflation", "f[T.b]", "no finite estimate"),
    ),
    "one outcome a group": (
        glmer("b ~ x + (1 | g)", "binomial", data=data(b=np.arange(48) // 24)),
        SeparationWarning,
        ("no level of g", "more than one outcome", "fewer random effects"),
    ),
    "cut, glmer": (
        glmer("s ~ x + (x | g)", control=mfx.Control(max_iter=1)),
        ConvergenceWarning,
        ("not the optimum", "iteration limit"),
    ),
    "prediction in an empty cell": (
        after(lmer("y ~ f * k + (1 | g)", data=gaps()), lambda fit: fit.predict({"f": ["c"], "k": ["v"], "g": ["g0"]})),
        RankDeficientWarning,
        ("1 row is not estimable", "empty cells", "nan"),
    ),
    "prediction in an empty cell of the zeros": (
        after(
            glmer("s ~ x + (1 | g)", data=gaps(), zero_inflation="~ f * k"),
            lambda fit: fit.predict({"x": [0.0], "f": ["c"], "k": ["v"], "g": ["g0"]}),
        ),
        RankDeficientWarning,
        ("1 row is not estimable", "empty cells", "nan"),
    ),
    "failed replicates": (
        after(
            lambda: mfx.bootstrap(lmer("y ~ a + (1 | g)", data=arms())(), 60, seed=1, method="cluster"),
            lambda replicates: replicates.conf_int(),
        ),
        ConvergenceWarning,
        ("of 60 replicates failed", "cannot be estimated from the clusters drawn (a)", "the others"),
    ),
    "stopped bootstrap": (
        after(lmer(), lambda fit: mfx.bootstrap(fit, 60, seed=1, statistic=Interrupted())),
        ConvergenceWarning,
        ("stopped", "25 of 60", "kept"),
    ),
}
