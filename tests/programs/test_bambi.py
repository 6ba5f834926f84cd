"""The generated Bambi models have the log density that the program states, where Bambi can be imported."""

import warnings

import numpy as np
import pytest

import mixedfx as mfx
from mixedfx.programs.density import log_densities
from tests.programs.models import FITS, fitted, point
from tests.programs.test_pymc import log_density

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def bambi_works():
    try:
        import bambi  # noqa: F401
    except (ImportError, AttributeError):  # a release that does not go with the Matplotlib that is installed
        return False
    return True


NAMES = ["slopes", "independent", "three effects", "no coefficients", "known sigma", "bernoulli", "binomial", "poisson"]
NAMES += ["nbinom2", "gamma", "beta", "beta-binomial", "t", "names", "no bars", "interaction of groups"]


def bambis(program, model, values):
    """The values by the names that Bambi gives its variables."""
    found = {program.variables[p.key]: values[p.name] for p in program.model.parameters}
    for variable in model.free_RVs:
        if variable.name not in found:  # effects of a column, by the name of its standard deviation
            key = next(k for k, name in program.variables.items() if name == f"{variable.name}_sigma")
            for term in program.model.terms:
                for place, parameter in enumerate(term.deviations):
                    if parameter.key == key:
                        found[variable.name] = values[term.effect].reshape(len(term.levels), -1)[:, place]
    return {name: np.reshape(value, ()) if np.size(value) == 1 else value for name, value in found.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_model_has_the_log_density_of_the_program(name):
    if not bambi_works():
        pytest.skip("Bambi is not installed, or does not go with the Matplotlib that is")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        program = fitted(name).to_bambi()
    names = {"data": program.data}
    exec(program.code, names)
    model = names["model"].backend.model
    reference = fitted(name).to_stan()
    values = {key: value for key, value in point(reference).items() if not key.startswith("L_")}
    theirs = log_density(model, bambis(program, model, values))
    assert theirs == pytest.approx(sum(log_densities(program.model, values).values()), abs=1e-8)


def test_every_name_is_a_fit():
    assert set(NAMES) <= set(FITS)
