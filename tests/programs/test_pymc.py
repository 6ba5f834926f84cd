"""The generated PyMC models have the log density that the program states, where PyMC is installed."""

from importlib.util import find_spec

import numpy as np
import pytest

from tests.programs.models import FITS, PRIORS, fitted, point

FOUND = find_spec("pymc") is not None
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not FOUND, reason="PyMC is not installed: pip install 'mixedfx[ppl]'"),
]
STANDARDISED = ("three effects", "relationship", "memberships", "binomial")  # both ways


def built(program):
    """The model that the text makes, in a name space of its own."""
    names = {"data": program.data}
    exec(program.code, names)
    return names["model"]


def log_density(model, values):
    """Without the Jacobians of PyMC's transforms, which are of the same parameters."""
    from pytensor import tensor

    at = {}
    for variable in model.free_RVs:
        value, transform = np.asarray(values[variable.name], float), model.rvs_to_transforms[variable]
        if transform is not None:
            moved = transform.forward(tensor.as_tensor(value), *variable.owner.inputs)
            value = moved.eval(mode="FAST_COMPILE")
        at[model.rvs_to_values[variable].name] = value
    return float(model.compile_logp(jacobian=False, mode="FAST_COMPILE")(at))


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("name", FITS)
def test_the_model_has_the_log_density_of_the_program(name, centered):
    if not centered and name not in STANDARDISED:
        pytest.skip("one of each kind of term is enough")
    program = fitted(name).to_pymc(centered=centered)
    model = built(program)
    values = point(program)
    assert {variable.name for variable in model.free_RVs} == set(values)
    assert log_density(model, values) == pytest.approx(program.log_density(values), abs=1e-8)


def test_the_coordinates_are_named():
    model = built(fitted("slopes").to_pymc())
    assert list(model.coords["coefficient"]) == ["Intercept", "x"]
    assert list(model.coords["g_effect"]) == ["Intercept", "x"]
    assert list(model.coords["g"]) == [str(level) for level in range(6)]


@pytest.mark.parametrize("x, sd", list(zip(*PRIORS.values(), strict=True)))
def test_every_prior_is_what_it_says(x, sd):
    program = fitted("independent").to_pymc(priors={"I(x ** 2)": x, "sd_x|g": sd})
    values = {**point(program), "b_I_x_2": 0.3, "sd_g_x": 0.4}
    assert log_density(built(program), values) == pytest.approx(program.log_density(values), abs=1e-8)
