"""What must hold of corrections for errors of measurements, whatever the data."""

import pickle
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import mixedfx as mfx


@cache
def drawn():
    rng = np.random.default_rng(11)
    n, m = 180, 20
    g = np.arange(n) % m
    x, z = rng.normal(2, 1.5, size=n), rng.normal(size=n)
    u = rng.normal(size=m)
    frame = pd.DataFrame({"g": [f"g{i:02}" for i in g], "z": z, "f": np.where(z > 0, "a", "b")})
    frame["w1"], frame["w2"] = x + rng.normal(size=n), x + rng.normal(size=n)
    frame["w"], frame["s"] = (frame.w1 + frame.w2) / 2, 0.7
    frame["u"] = (u + 0.4 * rng.normal(size=m))[g]
    eta = 0.3 + 0.6 * x - 0.5 * z + 0.7 * rng.normal(size=m)[g] + 0.5 * u[g]
    frame["y"], frame["t"] = eta + rng.normal(size=n), (rng.uniform(size=n) < 1 / (1 + np.exp(1 - eta))).astype(int)
    frame["c"] = rng.poisson(np.exp(0.4 * eta))
    return frame


@pytest.fixture
def data():
    return drawn()


KINDS = {
    "linear": (mfx.lmer, "y ~ {me} + z", {}),
    "mixed": (mfx.lmer, "y ~ {me} + z + (1 | g)", {}),
    "calibrated": (mfx.lmer, "y ~ {me} + z + (1 | g)", {"errors_in_variables": "rc"}),
    "moments": (mfx.lmer, "y ~ {me} + z", {"errors_in_variables": "moment"}),
    "logistic": (mfx.glmer, "t ~ {me} + z", {"family": "binomial"}),
    "poisson mixed": (mfx.glmer, "c ~ {me} + z + (1 | g)", {"family": "poisson"}),
    "logistic calibrated": (mfx.glmer, "t ~ {me} + z", {"family": "binomial", "errors_in_variables": "rc"}),
}


def fitted(kind, me, data):
    function, formula, options = KINDS[kind]
    return function(formula.format(me=me), data, **options)


@cache
def fit_of(kind, me):
    """The fit to the data as they were drawn, made once."""
    return fitted(kind, me, drawn())


LIKELY = ["linear", "mixed", "logistic", "poisson mixed"]
REACH = 1.96


@pytest.mark.parametrize("kind", LIKELY)
def test_without_error_the_profile_is_the_naive_one(data, kind):
    fit = fit_of(kind, "me(w, sd=1e-5)")
    naive = fit.naive if kind in ("logistic", "poisson mixed") else fit.naive.model.fit(reml=False)
    for side in (-REACH, REACH):
        end = mfx.profile(fit).end("me(w)", side).value
        assert end == pytest.approx(mfx.profile(naive).end("me(w)", side).value, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "me"), [("linear", "me(w1, w2)"), ("mixed", "me(u, sd=0.4)"), ("logistic", "me(w, sd=s)")]
)
def test_at_the_end_of_the_profile_the_joint_likelihood_has_fallen_by_what_is_wanted(data, kind, me):
    """By another search, of the definition's parameters with the slope held."""
    fit = fit_of(kind, me)
    name, correction = next(n for n in fit.params.index if n.startswith("me(")), fit.solution.correction
    held = list(fit.params.index).index(name)
    sigma = [np.log(fit.scale)] if kind != "logistic" else []
    start = np.array([*fit.params, *fit.theta, *sigma, *correction.table.estimates])
    others = np.delete(np.arange(start.size), held)
    lowest = [1e-3 if one.startswith("var(") else None for one in correction.table.names]
    bounds = [(low, None) for low in [None] * (start.size - len(lowest)) + lowest]
    for side in (-REACH, REACH):
        end = mfx.profile(fit).end(name, side)

        def function(values, at=end.value):
            parameters = np.insert(values, held, at)
            value, gradient = fit.model.objective(parameters)
            return value, np.asarray(gradient)[others]

        found = minimize(
            function, start[others], jac=True, method="L-BFGS-B", bounds=[bounds[k] for k in others], tol=1e-12
        )
        assert end.reached
        assert found.fun + 2.0 * fit.llf == pytest.approx(REACH**2, abs=1e-3)


def test_intervals_of_standard_deviations(data):
    fit = fit_of("mixed", "me(w1, w2)")
    limits = fit.conf_int(which="all")
    assert list(limits.index) == ["sd_Intercept|g", "sigma", *fit.params.index]
    assert (limits["lower"] < limits["upper"]).all()
    rescaled = fitted("mixed", "me(w1, w2)", data.assign(y=1000 * data["y"]))
    np.testing.assert_allclose(rescaled.conf_int(which="all"), 1000 * limits, rtol=1e-4)
    for kind in ("calibrated", "moments"):
        with pytest.raises(mfx.SpecificationError, match='errors_in_variables="ml"'):
            mfx.profile(fit_of(kind, "me(w, sd=0.7)"))


@pytest.mark.parametrize("kind", KINDS)
def test_without_error_the_fit_is_the_naive_one(data, kind):
    fit = fit_of(kind, "me(w, sd=1e-5)")
    function, formula, options = KINDS[kind]
    options = {k: v for k, v in options.items() if k != "errors_in_variables"}
    options |= {"reml": False} if kind in ("linear", "mixed") else {}
    written, reml = formula.format(me="w"), options.pop("reml", True)
    naive = (
        mfx.LinearMixedModel(written, data).fit(reml) if function is mfx.lmer else function(written, data, **options)
    )
    np.testing.assert_allclose(fit.params, naive.params, rtol=1e-5, atol=1e-6)
    assert fit.reliability.item() == pytest.approx(1.0, abs=1e-8)
    if kind != "linear" and "calibrated" not in kind:
        np.testing.assert_allclose(fit.bse, naive.bse, rtol=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_the_correction_undoes_attenuation(data, kind):
    fit = fit_of(kind, "me(w1, w2)")
    assert fit.params["me(w1, w2)"] > fit.naive.params["me(w1, w2)"] > 0
    assert 0 < fit.reliability["me(w1, w2)"] < 1
    assert fit.converged


@pytest.mark.parametrize("kind", KINDS)
def test_units_of_the_measurements(data, kind):
    one, other = fit_of(kind, "me(w, sd=0.7)"), fitted(kind, "me(w, sd=7)", data.assign(w=10 * data.w + 300))
    assert other.params["me(w)"] == pytest.approx(one.params["me(w)"] / 10, rel=1e-5)
    assert other.bse["me(w)"] == pytest.approx(one.bse["me(w)"] / 10, rel=1e-4)
    if one.method == "ml":
        assert other.llf == pytest.approx(one.llf - len(data) * np.log(10), abs=1e-6)


SPELLINGS = [
    ("me(w, sd=0.7)", "me(w, var=0.49)"),
    ("me(w, sd=0.7)", "me(w, sd=s)"),
    ("me(w, reliability=0.8)", "me(w, var={noise})"),
    ("me(w1, w2, sd=0.9)", "me(w, var=0.405)"),
    ("me(w1, w2)", "me(w2, w1)"),
]


@pytest.mark.parametrize("spellings", SPELLINGS, ids=str)
@pytest.mark.parametrize("kind", ["linear", "calibrated", "moments", "logistic"])
def test_two_spellings_of_one_error(data, kind, spellings):
    one, other = (text.format(noise=0.2 * data.w.var()) for text in spellings)
    one, other = fit_of(kind, one), fit_of(kind, other)
    np.testing.assert_allclose(one.params.to_numpy(), other.params.to_numpy(), rtol=1e-6)
    np.testing.assert_allclose(one.bse.to_numpy(), other.bse.to_numpy(), rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_rows_and_labels_does_not_matter(data, kind):
    shuffled = data.sample(frac=1, random_state=1)
    shuffled["g"] = shuffled.g.map(lambda name: f"h{99 - int(name[1:])}")
    one, other = fit_of(kind, "me(w1, w2)"), fitted(kind, "me(w1, w2)", shuffled)
    np.testing.assert_allclose(one.params, other.params, rtol=1e-6)
    np.testing.assert_allclose(one.bse, other.bse, rtol=1e-5)
    assert one.llf == pytest.approx(other.llf, abs=1e-7)


HOW = {"ml": ("ML", "together"), "rc": ("REML", "regression calibration"), "moment": ("moments", "Fuller 1987")}


@pytest.mark.parametrize("method", HOW)
def test_tables_say_how_it_was_fitted_and_the_formula_as_it_is_read(data, method):
    fit, words = mfx.lmer("y ~ me(w1, w2) + z", data, errors_in_variables=method), HOW[method]
    facts = fit.summary().tables[0]["value"]
    assert facts["Method"] == words[0]
    assert facts["Formula"] == "y ~ 1 + me(w1, w2) + z"
    assert words[1] in fit.report()
    assert "`" not in fit.report()


def test_calibration_is_moments_where_all_is_linear(data):
    one, other = fit_of("moments", "me(w1, w2)"), mfx.lmer("y ~ me(w1, w2) + z", data, errors_in_variables="rc")
    np.testing.assert_allclose(one.params, other.params, rtol=1e-9)
    np.testing.assert_allclose(one.bse, other.bse, rtol=0.1)


def test_a_missing_replicate_is_not_a_missing_row(data):
    holes = data.copy()
    holes.loc[:9, "w2"] = np.nan
    holes.loc[5:6, "w1"] = np.nan
    fit = fitted("mixed", "me(w1, w2)", holes)
    assert fit.nobs == len(data) - 2
    whole = fit_of("mixed", "me(w1, w2)")
    assert fit.params["me(w1, w2)"] == pytest.approx(whole.params["me(w1, w2)"], abs=whole.bse["me(w1, w2)"])
    sd = fit.true_values["me(w1, w2)", "sd"]
    assert sd.loc[0] > sd.loc[20]


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_is_of_the_model(data, kind):
    """Mixed with random effects alone, and with a family where it is not the linear model."""
    _, formula, options = KINDS[kind]
    first = fit_of(kind, "me(w1, w2)").report().split(" was fitted")[0]
    assert ("mixed" in first) == ("|" in formula)
    assert ("family" in first) == ("family" in options)
    assert options.get("family", "") in first.lower()


def test_a_group_has_one_true_value(data):
    for formula in ("y ~ me(u, sd=0.4) + z + (1 | g)", "y ~ z + me(u, sd=0.4) + (1 | g)"):
        fit = mfx.lmer(formula, data)
        assert list(fit.true_values.index) == sorted(set(data.g))
        assert list(fit.random_effects) == ["g"]
        assert fit.random_effects["g"].shape == (20, 1)
    assert any("levels of 'g'" in note for note in fit.notes)
    # each level a row: the same as a row at a time
    means = data.groupby("g", as_index=False)[["u", "z", "y"]].mean()
    twice = pd.concat([means, means]).reset_index(drop=True)
    assert mfx.lmer("y ~ me(u, sd=0.4) + z", means).true_values.shape[0] == len(means)
    assert mfx.lmer("y ~ me(u, sd=0.4) + z + (1 | g)", twice.assign(y=twice.y + np.arange(40) % 3)).nobs == 40


def test_laplace_and_quadrature_agree_as_groups_grow(data):
    formula = "c ~ me(u, sd=0.4) + (1 | g)"
    fits = [mfx.glmer(formula, data, family="poisson", nagq=k) for k in (1, 7)]
    np.testing.assert_allclose(fits[0].params, fits[1].params, atol=0.02)
    auto = mfx.glmer(formula, data, family="poisson", nagq="auto")
    assert auto.llf == pytest.approx(mfx.glmer(formula, data, family="poisson", nagq=21).llf, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded(data, kind, tmp_path):
    fit = fit_of(kind, "me(w1, w2)")
    fit.save(tmp_path / "fit.mfx")
    again = mfx.load(tmp_path / "fit.mfx")
    for other in (again, pickle.loads(pickle.dumps(fit))):
        assert str(other.summary()) == str(fit.summary())
        pd.testing.assert_frame_equal(other.comparison, fit.comparison)
        pd.testing.assert_frame_equal(other.true_values, fit.true_values)
        assert np.allclose(other.predict(data.head()), fit.predict(data.head()))


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_take_true_values(data, kind):
    fit = fit_of(kind, "me(w1, w2)")
    new = pd.DataFrame({"me(w1, w2)": [1.0, 2.0], "z": 0.0, "g": "g03"})
    eta = fit.predict(new, random=False, which="linear")
    assert np.diff(eta).item() == pytest.approx(fit.params["me(w1, w2)"])
    measured = new.rename(columns={"me(w1, w2)": "w1"})
    assert np.allclose(fit.predict(measured, random=False, which="linear"), eta)
    frame = fit.get_prediction(new, random=False).summary_frame()
    assert (frame["mean_se"] > 0).all()
    fitted_mean = fit.true_values["me(w1, w2)", "mean"]
    assert np.allclose(fit.model.exog[:, 1], data[["w1", "w2"]].mean(axis=1))
    assert np.allclose(fit.design.fixed.matrix[:, 1], fitted_mean)


def test_residuals_of_fitted_rows_have_the_variance_that_they_should(data):
    fit = fit_of("linear", "me(w1, w2)")
    assert np.var(fit.residuals("pearson")) == pytest.approx(1.0, abs=0.02)
    draws = fit.simulate(500, seed=1)
    assert draws.to_numpy().std() == pytest.approx(data.y.std(), rel=0.1)
    logistic = fit_of("logistic", "me(w1, w2)")
    assert logistic.fittedvalues.mean() == pytest.approx(data.t.mean(), abs=0.02)


def test_update(data):
    fit = fit_of("mixed", "me(w1, w2)")
    assert list(fit.update("~ . - z").params.index) == ["Intercept", "me(w1, w2)"]
    assert list(fit.update("~ . + me(u, sd=0.1) - (1 | g)").params.index)[-1] == "me(u)"
    plain = fit.update("~ . - `me(w1, w2)`")
    assert list(plain.params.index) == ["Intercept", "z"]
    assert fit.update(data=data.head(90)).nobs == 90
    other = fit.update(errors_in_variables="rc")
    assert other.method == "rc"
    assert other.params.iloc[1] == pytest.approx(fit.params.iloc[1], rel=0.05)


def test_the_columns_of_a_formula_are_named_by_what_was_measured(data):
    fit = mfx.lmer("y ~ me(`w`, sd=0.5) + me(u, sd=0.1) + f", data)
    assert list(fit.params.index) == ["Intercept", "me(w)", "me(u)", "f[T.b]"]
    assert isinstance(fit.naive.params["me(w)"], float)


def test_a_function_of_the_users_own_called_me(data):
    fit = mfx.lmer("y ~ me(w) + (1 | g)", data, functions={"me": np.square})
    assert "me(w)" in fit.params.index
    assert not hasattr(type(fit), "naive")


def test_errors_beyond_the_measurements_are_modified_or_said(data):
    noise = data.assign(w=np.random.default_rng(0).normal(size=len(data)))
    fit = mfx.lmer("y ~ me(w, sd=1.0) + z", noise, errors_in_variables="moment")
    assert any("modified" in note for note in fit.notes)
    assert np.isfinite(fit.params).all()
    for method in ("ml", "rc"):
        with pytest.raises(mfx.DataError, match="reliability"):
            mfx.lmer("y ~ me(w, sd=1.1) + z", noise, errors_in_variables=method)


def test_the_graph_has_the_true_value_between_measurements_and_response(data):
    dag = mfx.graph(mfx.lmer("y ~ me(w1, w2) + z", data))
    assert not dag.independent("w1", "w2")
    assert dag.independent("w1", "w2", given="me(w1, w2)")
    assert dag.independent("w1", "y", given="me(w1, w2)")
    of_formula = mfx.graph("y ~ me(u, sd=0.4) + z + (1 | g)", data, view="unrolled")
    assert of_formula.independent("u[g00]", "u[g01]")


def test_comparisons_are_of_the_same_measurements(data):
    small, large = (fit_of("mixed", "me(w1, w2)"), mfx.lmer("y ~ me(w1, w2) + z + (z | g)", data))
    assert mfx.anova(small, large).shape[0] == 2
    assert mfx.explain(small).code == {}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ml", "rc", "moment"])
def test_coverage(method):
    rng = np.random.default_rng(5)
    inside = []
    for _ in range(150):
        x, z = rng.normal(size=150), rng.normal(size=150)
        x = x + 0.5 * z
        frame = pd.DataFrame({"z": z, "y": 1 + 0.8 * x - 0.5 * z + rng.normal(size=150)})
        frame["w1"], frame["w2"] = x + 0.8 * rng.normal(size=150), x + 0.8 * rng.normal(size=150)
        limits = mfx.lmer("y ~ me(w1, w2) + z", frame, errors_in_variables=method).conf_int()
        truth = np.array([1, 0.8, -0.5])
        inside.append((limits["lower"] < truth) & (truth < limits["upper"]))
    assert np.abs(np.mean(inside, axis=0) - 0.95).max() < 0.055  # three standard errors of 150


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ml", "rc"])
def test_coverage_in_a_mixed_logistic_model(method):
    rng = np.random.default_rng(6)
    inside = []
    for _ in range(60):
        g = np.arange(240) % 24
        x, b = rng.normal(size=240), 0.5 * rng.normal(size=24)
        eta = -0.5 + 0.7 * x + b[g]
        frame = pd.DataFrame({"g": g, "t": rng.uniform(size=240) < 1 / (1 + np.exp(-eta))})
        frame["w"] = x + 0.6 * rng.normal(size=240)
        fit = mfx.glmer("t ~ me(w, sd=0.6) + (1 | g)", frame, family="binomial", errors_in_variables=method)
        low, high = fit.conf_int().loc["me(w)"]
        inside.append(low < 0.7 < high)
    assert np.mean(inside) > 0.85
