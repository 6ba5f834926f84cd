"""The door: a fit and priors go in, a program comes out."""

from __future__ import annotations

from typing import Any

from mixedfx._arguments import checked_flag, checked_mapping
from mixedfx.exceptions import SpecificationError
from mixedfx.programs.defaults import default_priors, domains
from mixedfx.programs.description import Description, describe
from mixedfx.programs.formulas import bambi_program, brms_program, uncorrelated
from mixedfx.programs.numpyro import numpyro_program
from mixedfx.programs.priors import Prior, parsed_prior
from mixedfx.programs.program import Program
from mixedfx.programs.pymc import pymc_program
from mixedfx.programs.stan import stan_program
from mixedfx.results.base import MixedResults

__all__ = ["to_bambi", "to_brms", "to_numpyro", "to_pymc", "to_stan"]

FEWEST_LEVELS = 3  # Gelman (2006), Bayesian Analysis 1, 515: with fewer a flat prior has an improper posterior
EXAMPLE = '{"Days": "normal(0, 20)"}'


def to_pymc(fit: MixedResults, priors: Any, centered: Any) -> Program:
    """Return the model as a PyMC program."""
    return pymc_program(_described(fit, "to_pymc", priors), checked_flag("centered", centered))


def to_numpyro(fit: MixedResults, priors: Any, centered: Any) -> Program:
    """Return the model as a NumPyro program."""
    return numpyro_program(_described(fit, "to_numpyro", priors), checked_flag("centered", centered))


def to_stan(fit: MixedResults, priors: Any, centered: Any) -> Program:
    """Return the model as a Stan program."""
    return stan_program(_described(fit, "to_stan", priors), checked_flag("centered", centered))


def to_bambi(fit: MixedResults, priors: Any, centered: Any) -> Program:
    """Return the model as a Bambi program."""
    model = _with_priors(uncorrelated(describe(fit, "to_bambi")), priors)
    return bambi_program(model, checked_flag("centered", centered))


def to_brms(fit: MixedResults, priors: Any) -> Program:
    """Return the model as a brms program."""
    return brms_program(_described(fit, "to_brms", priors))


def _described(fit: MixedResults, method: str, priors: Any) -> Description:
    return _with_priors(describe(fit, method), priors)


def _with_priors(model: Description, priors: Any) -> Description:
    """The model with its priors: the usual ones, unless the user gave others."""
    found = default_priors(model) | _given(model, priors)
    for term in model.terms:
        for parameter in term.deviations:
            if found[parameter.key].is_flat and not term.is_shared and len(term.levels) < FEWEST_LEVELS:
                raise SpecificationError(
                    f"{term.text} has {len(term.levels)} levels, and with a flat prior of {parameter.key!r} there "
                    "would be no posterior: half_student_t(3, 1) has a width"
                )
    return model.with_priors(found)


def _given(model: Description, priors: Any) -> dict[str, Prior]:
    given, known = checked_mapping("priors", priors, EXAMPLE), domains(model)
    for key in given:
        if key not in known:
            raise SpecificationError(
                f"priors: there is no parameter {key!r}; this model has {', '.join(map(repr, known))}"
            )
    return {key: parsed_prior(key, prior, known[key]) for key, prior in given.items()}
