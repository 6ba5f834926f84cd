"""Intervals of dispersions, zero inflation and other parameters of the family, against constrained optimisation."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import mixedfx as mfx

LOST = stats.chi2.ppf(0.95, 1)
pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(5)
    n, g = 300, np.repeat(np.arange(20), 15)
    x = rng.normal(size=n)
    effect = rng.normal(size=20)[g] * 0.4
    mean = np.exp(1.0 + 0.3 * x + effect)
    counts = rng.negative_binomial(2.0, 2.0 / (2.0 + mean))
    return pd.DataFrame(
        {
            "x": x,
            "g": g,
            "counts": counts,
            "zeros": np.where(rng.random(n) < 0.25, 0, rng.poisson(mean)),
            "heavy": 0.3 * x + effect + rng.standard_t(4, size=n),
            "level": np.digitize(0.5 * x + effect + rng.logistic(size=n), [-1.0, 1.0]),
        }
    )


MODELS = {
    "nbinom2": ("counts ~ x + (1 | g)", {"family": "nbinom2"}, ["family: dispersion"]),
    "dispersion formula": (
        "counts ~ x + (1 | g)",
        {"family": "nbinom2", "dispersion": "~ x"},
        ["dispersion: Intercept", "dispersion: x"],
    ),
    "zero inflation": (
        "zeros ~ x + (1 | g)",
        {"family": "poisson", "zero_inflation": "~ x"},
        ["zero_inflation: Intercept", "zero_inflation: x"],
    ),
    "student_t": ("heavy ~ x + (1 | g)", {"family": "student_t"}, ["sigma", "family: df"]),
    "ordinal": ("level ~ x + (1 | g)", {"family": "ordinal"}, ["family: 0|1", "family: 1|2"]),
}


def quantity(name, fit):
    """The quantity as a function of the parameters that ``model.objective`` takes, written down anew."""
    place, names = fit.solution.problem.component_slices, fit.solution.problem.family.phi_names
    if name == "sigma":
        return lambda v: np.exp(0.5 * v[v.size - len(names) + names.index("dispersion")])
    component, label = name.split(": ")
    if component in place:
        columns = list(fit.component_params[component].index)
        return lambda v: v[place[component].start + columns.index(label)]
    if label == "0|1":
        return lambda v: v[-2]
    if label == "1|2":
        return lambda v: v[-2] + np.exp(v[-1])
    return lambda v: np.exp(v[v.size - len(names) + names.index(label)])


@pytest.mark.parametrize("model", MODELS)
def test_ends_of_profile_intervals_by_constrained_optimisation(model, frame):
    formula, options, names = MODELS[model]
    fit = mfx.glmer(formula, frame, **options)
    which = "all"
    intervals = mfx.profile(fit).conf_int(which=which).loc[names]
    problem = fit.solution.problem
    best = problem.to_user(fit.solution.x)
    for name in names:
        function = quantity(name, fit)
        for end in intervals.loc[name]:
            found = optimize.minimize(
                lambda v: fit.model.objective(v)[0] + 2.0 * fit.llf,
                best,
                jac=lambda v: fit.model.objective(v)[1],
                constraints={"type": "eq", "fun": lambda v, e=end, f=function: f(v) - e},
                method="SLSQP",
                options={"ftol": 1e-9, "maxiter": 200},
            )
            assert found.fun == pytest.approx(LOST, abs=2e-3)


@pytest.mark.parametrize("model", MODELS)
def test_the_methods_speak_of_the_same_quantities(model, frame):
    formula, options, names = MODELS[model]
    fit = mfx.glmer(formula, frame, **options)
    wald = fit.conf_int(which="all")
    drawn = mfx.bootstrap(fit, 8, seed=1)
    assert list(drawn.conf_int(which="all").index) == list(wald.index) == list(mfx.profile(fit).profiles)
    assert set(names) <= set(wald.index)
    own = fit.conf_int(which="family")
    pd.testing.assert_frame_equal(own, wald.loc[own.index])
    assert list(drawn.conf_int(which="family").index) == list(own.index)
    estimates = drawn.estimate[names]
    assert ((wald.loc[names, "lower"] < estimates) & (estimates < wald.loc[names, "upper"])).all()


def test_replicates_hold_what_their_fits_say(frame):
    fit = mfx.glmer("heavy ~ x + (1 | g)", frame, family="student_t")
    own = mfx.bootstrap(fit, 4, seed=2, statistic=lambda f: f.family_params).to_frame()
    usual = mfx.bootstrap(fit, 4, seed=2).to_frame()
    np.testing.assert_allclose(usual["family: df"], own["df"], rtol=1e-6)
    np.testing.assert_allclose(usual["sigma"] ** 2, own["dispersion"], rtol=1e-6)


def test_degrees_of_freedom_that_may_be_infinite_have_an_open_interval():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(15), 10)
    frame = pd.DataFrame({"g": g, "y": rng.normal(size=15)[g] + rng.normal(size=150)})
    lower, upper = mfx.profile(mfx.glmer("y ~ 1 + (1 | g)", frame, family="student_t")).conf_int(which="family").iloc[0]
    assert 3.0 < lower < 100.0
    assert upper == np.inf


def test_a_parameter_at_the_end_of_its_range_stays_there_while_others_are_profiled():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(15), 10)
    frame = pd.DataFrame({"g": g, "y": rng.normal(size=15)[g] + rng.standard_t(0.6, size=150)})
    fit = mfx.glmer("y ~ 1 + (1 | g)", frame, family="student_t")
    cauchy = mfx.glmer("y ~ 1 + (1 | g)", frame, family=fit.solution.problem.family.with_fixed(df=1.0))
    profiles = mfx.profile(fit)
    found, expected = (p.conf_int(which="fixed").loc["Intercept"] for p in (profiles, mfx.profile(cauchy)))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert profiles.conf_int(which="family")["lower"].iloc[0] == pytest.approx(1.0)
