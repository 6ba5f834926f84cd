"""Draws beside estimates: what is matched by name, what is said of the rest."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.programs.draws import density_mode
from tests.programs.models import fitted

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
N = 400


class Variable:
    """What a variable of xarray has that is asked for."""

    def __init__(self, dims, values):
        self.dims, self.values = dims, values


class Posterior(dict):
    """What a data set of xarray has that is asked for."""

    @property
    def data_vars(self):
        return list(self)


def drawn(fit, seed=0):
    """Draws around the start of the NumPyro program, as it names them, and their values by the names of the fit."""
    rng = np.random.default_rng(seed)
    program = fit.to_numpyro()
    draws = {}
    for name, start in program.start.items():
        value = np.asarray(start, dtype=float)
        noise = np.zeros((N, *value.shape)) if name.startswith("L_") else 0.01 * rng.normal(size=(N, *value.shape))
        draws[name] = value + noise * np.maximum(np.abs(value), 0.1)
    return draws


@pytest.mark.parametrize("name", ["slopes", "three effects", "nbinom2, dispersion", "gamma", "t", "ordinal", "names"])
def test_every_parameter_of_the_program_is_found(name):
    fit = fitted(name)
    table = mfx.compare_draws(fit, drawn(fit))
    wanted = fit.conf_int(which="all").index.unique()
    assert sorted(table.index) == sorted(wanted)
    assert table.notes[1:] == ()
    regular = [key for key in table.index if not key.startswith(("sd_", "cor_"))]  # starts of those may be moved
    close = table.loc[regular]
    assert close["mean"].to_numpy() == pytest.approx(close["estimate"].to_numpy(), rel=0.02, abs=0.01)


def test_kinds_of_containers_say_the_same():
    fit = fitted("slopes")
    draws = drawn(fit)
    chains = {name: values.reshape(2, N // 2, *values.shape[1:]) for name, values in draws.items()}
    variables = {
        name: Variable(("chain", "draw", *(f"{name}_{k}" for k in range(values.ndim - 2))), values)
        for name, values in chains.items()
    }
    table = mfx.compare_draws(fit, draws)
    for other in (SimpleNamespace(posterior=Posterior(variables)), Posterior(variables)):
        pd.testing.assert_frame_equal(pd.DataFrame(mfx.compare_draws(fit, other)), pd.DataFrame(table))
    single = {name: values for name, values in chains.items() if values.ndim == 2}
    again = mfx.compare_draws(fit, single)
    assert again["mean"].to_numpy() == pytest.approx(table.loc[again.index, "mean"].to_numpy())


def test_names_of_bambi_and_brms_and_of_the_fit_are_known():
    fit = fitted("slopes")
    draws = drawn(fit)
    theirs = {
        "b_Intercept": draws["b_Intercept"],
        "x": draws["b_x"],
        "1|g_sigma": draws["sd_g_Intercept"],
        "sd_g__x": draws["sd_g_x"],
        "cor_g__Intercept__x": np.linspace(-0.5, 0.5, N),
        "sigma": draws["sigma"],
    }
    table = mfx.compare_draws(fit, theirs)
    assert len(table) == 6
    assert table.loc["cor_x.Intercept|g", "mean"] == pytest.approx(0.0)
    ours = mfx.compare_draws(fit, {"sd_x|g": draws["sd_g_x"]})
    assert ours.loc["sd_x|g", "mean"] == pytest.approx(table.loc["sd_x|g", "mean"])


def test_what_cannot_be_matched_is_named():
    fit = fitted("slopes")
    table = mfx.compare_draws(fit, {"b_x": np.arange(20.0), "nope": np.arange(20.0)})
    assert table.index.tolist() == ["x"]
    assert "'sigma'" in table.notes[1]
    assert "'nope'" in table.notes[2]


def test_shapes_are_compared_as_the_deviation_that_the_fit_reports():
    fit = fitted("gamma")
    table = mfx.compare_draws(fit, {"shape": np.full(20, 4.0) + np.linspace(-0.1, 0.1, 20)})
    assert table.loc["sigma", "mean"] == pytest.approx(0.5, abs=1e-3)


def test_correlations_are_found_however_they_are_drawn():
    fit = fitted("slopes")
    rng = np.random.default_rng(0)
    r = rng.uniform(-0.9, 0.9, N)
    matrix = np.stack([[np.ones(N), r], [r, np.ones(N)]]).transpose(2, 0, 1)
    tables = [
        mfx.compare_draws(fit, draws)
        for draws in (
            {"cor_g": matrix},
            {"L_g": np.linalg.cholesky(matrix)},
            {"partial_g": 0.5 * (1.0 + r)[:, None]},
        )
    ]
    for table in tables:
        assert table.loc["cor_x.Intercept|g", "mean"] == pytest.approx(r.mean())


def test_effects_stand_beside_their_modes():
    fit = fitted("slopes")
    table = mfx.compare_draws(fit, drawn(fit), effects=True)
    modes = fit.random_effects["g"]
    for effect in modes:
        own = table.loc[[f"{effect}|g[{level}]" for level in modes.index]]
        assert own["estimate"].to_numpy() == pytest.approx(modes[effect].to_numpy())
        assert own["mean"].to_numpy() == pytest.approx(modes[effect].to_numpy(), abs=0.05)


def test_the_interval_has_equal_tails_of_the_level():
    draws = np.random.default_rng(1).permutation(np.linspace(0.0, 1.0, 1001))
    table = mfx.compare_draws(fitted("slopes"), {"b_x": draws}, alpha=0.2)
    assert table.loc["x", ["post_lower", "post_upper"]].tolist() == pytest.approx([0.1, 0.9])


@pytest.mark.parametrize("scale, location", [(1.0, 0.0), (1e-6, 5.0), (1e6, -1e7)])
def test_the_mode_follows_units(scale, location):
    z = np.random.default_rng(2).gamma(5.0, size=4000)
    assert density_mode(location + scale * z) == pytest.approx(location + scale * density_mode(z), rel=1e-6)


def test_the_mode_of_known_distributions():
    rng = np.random.default_rng(3)
    assert density_mode(rng.gamma(5.0, size=40_000)) == pytest.approx(4.0, abs=0.35)
    assert density_mode(np.abs(rng.normal(size=40_000)), 0.0) < 0.3
    assert density_mode(np.full(20, 3.0)) == 3.0
