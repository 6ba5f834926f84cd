"""Programs for other languages, and draws of theirs."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

import mixedfx as mfx
from mixedfx import DataError, SpecificationError
from mixedfx.families import Link, Poisson
from tests.messages.helpers import Case, data, glmer, lmer

D, S = DataError, SpecificationError
OFTEN = np.linspace(0.0, 1.0, 20)


@cache
def fit() -> Any:
    return mfx.lmer("y ~ x + (x | g)", data())


def prior(text: Any, key: str = "x") -> Callable[[], Any]:
    return lambda: fit().to_pymc(priors={key: text})


def written(method: str, make: Callable[[], Any], **options: Any) -> Callable[[], Any]:
    return lambda: getattr(make(), method)(**options)


def user_link() -> Any:
    def inverse(eta: Any, order: int) -> Any:
        return (np.exp(eta),) * (order + 1)

    return Poisson(Link("mine", np.log, inverse))


CASES: dict[str, Case] = {
    "unknown prior": (prior("nope(1)"), S, ("'x'", "normal(mean, sd)", "'nope(1)'")),
    "prior of another type": (prior(3), S, ("'x'", "3", "normal(mean, sd)")),
    "numbers of a prior": (prior("normal(1)"), S, ("normal(mean, sd)", "'normal(1)'")),
    "negative width": (prior("normal(0, -1)"), S, ("'x'", "sd must be positive")),
    "empty interval": (prior("uniform(2, 1)"), S, ("lower must be below upper",)),
    "prior of a deviation": (
        prior("normal(0, 1)", "sd_x|g"),
        S,
        ("'sd_x|g'", "a positive number", "half_normal"),
    ),
    "prior of correlations": (prior("normal(0, 1)", "cor|g"), S, ("'cor|g'", "lkj(eta)")),
    "prior of nothing": (prior("normal(0, 1)", "nope"), S, ("'nope'", "'x'", "'cor|g'")),
    "flat prior of two levels": (
        lambda: mfx.lmer("y ~ x + (1 | b)", data()).to_pymc(priors={"sd_Intercept|b": "flat"}),
        S,
        ("(1 | b)", "2 levels", "'sd_Intercept|b'", "half_student_t"),
    ),
    "another kind of model": (
        written("to_pymc", lambda: mfx.hglm("s ~ x + (1 | g)", data(), family="poisson", random={"g": "gamma"})),
        S,
        ("to_pymc", "generalised linear mixed models", "hierarchical"),
    ),
    "structure of residuals": (
        written("to_pymc", lmer("y ~ x + (1 | g)", residual=mfx.VarIdent("f"))),
        S,
        ("to_pymc", "residual"),
    ),
    "link of the user's": (written("to_stan", glmer("s ~ x + (1 | g)", user_link())), S, ("to_stan", "'mine'")),
    "rows that count": (
        written("to_numpyro", glmer("s ~ x + (1 | g)", weights="w2", data=data(w2=2.0))),
        S,
        ("poisson", "repeat the rows"),
    ),
    "covariance of a program": (
        written("to_pymc", lmer("y ~ x + cs(0 + f | g)")),
        S,
        ("cs(0 + f | g)", "homdiag(x | g)"),
    ),
    "family that others have": (
        written("to_brms", glmer("r ~ x + (1 | g)", "lognormal", data=data(r=1.0 + np.arange(48) % 7))),
        S,
        ("to_brms", "'lognormal'", "to_stan have it"),
    ),
    "family that none has": (
        written("to_pymc", glmer("p ~ x + (1 | g)", "tweedie")),
        S,
        ("'tweedie'", "nor has any"),
    ),
    "link of categories": (
        written("to_pymc", glmer("s ~ x + (1 | g)", "ordinal", link="cloglog")),
        S,
        ("ordinal", "probit", "'cloglog'"),
    ),
    "link that Bambi lacks": (
        written("to_bambi", glmer("b ~ x + (1 | g)", "binomial", link="cauchit")),
        S,
        ("to_bambi", "'cauchit'", "to_stan"),
    ),
    "weights in a formula": (
        written("to_bambi", lmer("y ~ x + (1 | g)", weights="w")),
        S,
        ("to_bambi", "precision weights", "to_pymc"),
    ),
    "bounds in brms": (
        lambda: fit().to_brms(priors={"x": "exponential(1)"}),
        S,
        ("to_brms", "'x'", "to_stan"),
    ),
    "value left out": (
        lambda: fit().to_stan().log_density({"b_x": 1.0}),
        S,
        ("'b_Intercept'", "'b_x'"),
    ),
    "several values": (
        lambda: (p := fit().to_stan()).log_density(p.start | {"sigma": [1.0, 2.0]}),
        S,
        ("sigma is one number", "2"),
    ),
    "draws of nothing": (lambda: mfx.compare_draws(fit(), {"nope": OFTEN}), S, ("'nope'", "'sigma'")),
    "draws of another type": (lambda: mfx.compare_draws(fit(), 3), TypeError, ("InferenceData", "int")),
    "draws that are text": (lambda: mfx.compare_draws(fit(), {"sigma": ["a"] * 20}), D, ("'sigma'", "no numbers")),
    "few draws": (lambda: mfx.compare_draws(fit(), {"sigma": [1.0, 2.0]}), D, ("'sigma'", "2", "at least 10")),
    "missing draws": (
        lambda: mfx.compare_draws(fit(), {"sigma": [np.nan, *OFTEN]}),
        D,
        ("'sigma'", "missing or infinite"),
    ),
}
