"""Families, links and their moments."""

from typing import Any

import numpy as np

from mixedfx import DataError, SpecificationError
from mixedfx.families import family_for, with_zero_inflation
from tests.messages.helpers import Case, glmer
from tests.messages.results import counts, simulated

S, D = SpecificationError, DataError


def prepared(name: str, y: Any, **options: Any) -> Any:
    return lambda: family_for(name).observe(np.asarray(y), **options)


def odd_family() -> Any:
    """A family of statsmodels that is none of those known."""
    from statsmodels.genmod.families import Poisson

    return type("Odd", (Poisson,), {"__module__": Poisson.__module__})()


CASES: dict[str, Case] = {
    "family and link": (glmer("s ~ x + (1 | g)", link="logit"), S, ("'poisson'", "'logit'", "log")),
    "weights of counts": (prepared("poisson", [1.0, 2.0], weights=[-1.0, 1.0]), D, ("weights", "-1")),
    "two columns": (prepared("poisson", np.ones((2, 2))), D, ("one column", "(2, 2)")),
    "text": (prepared("poisson", ["a", "b"]), D, ("numeric", "'a'")),
    "categories": (lambda: family_for("ordinal").adapted([1.0, 3.0]), D, ("1, 2", "gaps", "3.0")),
    "another category": (prepared("ordinal", [1.0, 4.0]), D, ("2 categories", "4")),
    "few categories": (lambda: type(family_for("ordinal"))(n_categories=1), S, ("at least 2", "1")),
    "broken trials": (prepared("binomial", [0.5, 0.5], trials=[1.5, 2.0]), D, ("trials", "whole numbers", "1.5")),
    "broken successes": (prepared("binomial", [0.3, 0.5], trials=[2.0, 2.0]), D, ("0.3", "cbind(successes, failures)")),
    "zero inflation twice": (
        lambda: with_zero_inflation(with_zero_inflation(family_for("poisson"))),
        S,
        ("poisson", "zero inflation"),
    ),
    "no zeros": (glmer("y ~ x + (1 | g)", "gaussian", zero_inflation="~ 1"), S, ("'gaussian'", "zeros", "counts")),
    "statsmodels family": (glmer("s ~ x + (1 | g)", odd_family()), S, ("Odd", "'poisson'")),
    "no such component": (lambda: family_for("poisson").with_predictors("nope"), S, ("'poisson'", "'nope'", "'mean'")),
    "no dispersion": (glmer("s ~ x + (1 | g)", "poisson", dispersion="~ x"), S, ("'poisson'", "dispersion=")),
    "dispersion along a smooth": (glmer("s ~ x + (1 | g)", "nbinom2", dispersion="~ s(x)"), S, ("s(x)", "bs(x, df=4)")),
    "no such parameter": (lambda: family_for("gamma").with_fixed(nope=1.0), S, ("'gamma'", "'nope'", "'dispersion'")),
    "value of a parameter": (
        lambda: family_for("gamma").with_fixed(dispersion=-1.0),
        S,
        ("'gamma'", "dispersion", "-1"),
    ),
    "method of variance": (
        lambda: family_for("poisson").link_variance(np.zeros(2), (), method="nope"),
        S,
        ("'nope'", "'delta'"),
    ),
    "log link": (
        lambda: family_for("binomial").link_variance(np.zeros(2), (), method="lognormal"),
        S,
        ("log link", "'delta'"),
    ),
    "latent": (lambda: family_for("poisson").link_variance(np.zeros(2), (), method="latent"), S, ("latent", "'delta'")),
    "thresholds": (
        simulated("s ~ x + (1 | g)", "ordinal", **{"x": 1.0, "sd_Intercept|g": 1.0, "thresholds": [1.0, 0.0]}),
        S,
        ("'thresholds'", "increasing", "[1.0, 0.0]"),
    ),
    "moments by quadrature": (lambda: counts().random_effects_moments, S, ("quadrature", 'nagq="auto"')),
}
