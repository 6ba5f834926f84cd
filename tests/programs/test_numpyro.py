"""The generated NumPyro models have the log density that the program states, where NumPyro is installed."""

from importlib.util import find_spec

import numpy as np
import pytest

from tests.programs.models import FITS, PRIORS, fitted, point

FOUND = find_spec("numpyro") is not None
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not FOUND, reason="NumPyro is not installed: pip install 'mixedfx[ppl]'"),
]


def log_density(program, values):
    names = {"data": program.data}
    exec(program.code, names)
    from numpyro.infer.util import log_density as joint

    arrays = {name: np.asarray(value, float) for name, value in values.items()}
    return float(joint(names["model"], (program.data,), {}, arrays)[0])


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("name", FITS)
def test_the_model_has_the_log_density_of_the_program(name, centered):
    program = fitted(name).to_numpyro(centered=centered)
    values = point(program)
    assert log_density(program, values) == pytest.approx(program.log_density(values), abs=1e-8)


@pytest.mark.parametrize("x, sd", list(zip(*PRIORS.values(), strict=True)))
def test_every_prior_is_what_it_says(x, sd):
    program = fitted("independent").to_numpyro(priors={"I(x ** 2)": x, "sd_x|g": sd})
    values = {**point(program), "b_I_x_2": 0.3, "sd_g_x": 0.4}
    assert log_density(program, values) == pytest.approx(program.log_density(values), abs=1e-8)


def test_the_program_computes_in_double_precision():
    import jax

    program = fitted("slopes").to_numpyro()
    exec(program.code, {"data": program.data})
    assert jax.config.jax_enable_x64


def test_dimensions_are_those_of_the_coordinates():
    program = fitted("slopes").to_numpyro()
    names = {"data": program.data}
    exec(program.code, names)
    assert names["dims"] == {name: list(dims) for name, dims in program.dims.items()}
    assert {dim for dims in names["dims"].values() for dim in dims} <= set(names["coords"])
