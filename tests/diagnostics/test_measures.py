"""Measures of fit against their definitions."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.inference.information import effective_parameters, trace_of_hat
from mixedfx.inference.variance_scales import variance_estimates
from tests.differences import gradient

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")


@pytest.fixture(scope="module")
def sleep():
    return mfx.load_dataset("sleepstudy")


CASES = [
    ("Reaction ~ Days + (Days | Subject)", True, None),
    ("Reaction ~ Days + (Days | Subject)", False, None),
    ("Reaction ~ Days + (1 | Subject)", True, "w"),
    ("Reaction ~ Days + (1 | Subject) + (1 | Days)", True, None),
]


@pytest.mark.parametrize("formula, reml, weights", CASES)
def test_effective_parameters_by_refitting(sleep, formula, reml, weights):
    """The sum of the derivatives of the fitted values, each found by moving one response and fitting again."""
    data = sleep.iloc[:40].assign(w=np.linspace(0.5, 2, 40), Reaction=lambda d: d["Reaction"].astype(float))
    control = mfx.Control(tol=1e-13)
    fit = mfx.lmer(formula, data, reml=reml, weights=weights)
    total, step = 0.0, 1e-2
    for i in range(len(data)):
        ends = []
        for sign in (1, -1):
            moved = data.copy()
            moved.iloc[i, moved.columns.get_loc("Reaction")] += sign * step
            ends.append(mfx.lmer(formula, moved, reml=reml, weights=weights, control=control).fittedvalues.iloc[i])
        total += (ends[0] - ends[1]) / (2 * step)
    assert effective_parameters(fit.solution.at) == pytest.approx(total, rel=1e-5)
    assert trace_of_hat(fit.solution.at) < total


def test_conditional_aic_without_correction(sleep):
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    found = mfx.conditional_aic(fit, corrected=False)
    e = fit.resid.to_numpy()
    llf = -0.5 * np.sum(np.log(2 * np.pi * fit.scale) + e**2 / fit.scale)
    assert found["llf"] == pytest.approx(llf)
    assert found["df"] == pytest.approx(29.02212 + 1, abs=1e-4)  # sum(hatvalues()) of lme4
    assert found["caic"] == pytest.approx(-2 * llf + 2 * found["df"])


def test_aicc(sleep):
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    assert mfx.aicc(fit) == pytest.approx(fit.aic + 2 * 6 * 7 / (180 - 7))
    with pytest.raises(mfx.SpecificationError, match="observations"):
        mfx.aicc(mfx.lmer("Reaction ~ 1 + (1 | Subject)", sleep.iloc[[0, 1, 11, 12]]))


def test_shares_do_not_depend_on_the_parametrisation():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame([(g, m) for g in "abcdefghij" for m in "XYZ" for _ in range(2)], columns=["g", "m"])
    cell = {key: rng.normal() for key in zip(frame["g"], frame["m"])}
    frame["y"] = [cell[key] for key in zip(frame["g"], frame["m"])] + rng.normal(size=len(frame)) * 0.3
    one, two = mfx.lmer("y ~ m + (m | g)", frame), mfx.lmer("y ~ m + (0 + m | g)", frame)
    assert mfx.r2(one).to_numpy() == pytest.approx(mfx.r2(two).to_numpy(), abs=1e-5)
    assert mfx.icc(one).to_numpy() == pytest.approx(mfx.icc(two).to_numpy(), abs=1e-5)


def test_shares_add_up(sleep):
    fit = mfx.lmer("Reaction ~ Days + (1 | Subject) + (1 | Days)", sleep)
    groups, whole, r2 = mfx.icc(fit, by_group=True), mfx.icc(fit), mfx.r2(fit)
    assert groups["adjusted"].sum() == pytest.approx(whole["adjusted"])
    assert r2["conditional"] - r2["marginal"] == pytest.approx(whole["unadjusted"])
    assert mfx.r2(mfx.lmer("Reaction ~ 1 + (1 | Subject)", sleep))["marginal"] == 0.0


@pytest.mark.parametrize("scale", ["variance", "sd"])
def test_scales_of_the_variance_parameters(sleep, scale):
    """The delta method by numerical differentiation of what varcorr shows."""
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    found = variance_estimates(fit.solution, scale)
    base = variance_estimates(fit.solution, "theta")

    def shown(parameters):
        T = np.array([[parameters[0], 0], [parameters[1], parameters[2]]])
        covariance = parameters[3] ** 2 * T @ T.T
        sd = np.sqrt(np.diag(covariance))
        if scale == "variance":
            return np.array([covariance[0, 0], covariance[0, 1], covariance[1, 1], parameters[3] ** 2])
        return np.array([sd[0], covariance[0, 1] / sd.prod(), sd[1], parameters[3]])

    J = np.array([gradient(lambda p, row=row: shown(p)[row], base.values) for row in range(4)])
    assert found.values == pytest.approx(shown(base.values))
    assert found.covariance == pytest.approx(J @ base.covariance @ J.T, rel=1e-5)


def test_published_standard_error_of_a_variance(sleep):
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    assert mfx.variance_tests(fit)["se"].iloc[0] == pytest.approx(288.8, abs=0.05)
    assert fit.cov_varpar("variance").iloc[0, 0] ** 0.5 == pytest.approx(288.8, abs=0.05)
    with pytest.raises(mfx.SpecificationError, match="scale"):
        fit.cov_varpar("log")


def test_principal_components(sleep):
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    table = mfx.random_effects_pca(fit)
    total = np.trace(fit.varcorr.covariances["Subject"])
    assert (table["sd"] ** 2).sum() == pytest.approx(total)
    assert table["cumulative"].iloc[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("function", [mfx.r2, mfx.icc, mfx.conditional_aic, mfx.variance_tests, mfx.random_effects_pca])
def test_wrong_type(function):
    with pytest.raises(TypeError):
        function("a fit")


def test_shares_of_a_poisson_model_are_those_of_the_published_formula():
    ticks = mfx.load_dataset("grouseticks")
    fit = mfx.glmer("TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)", ticks, family="poisson")
    table = fit.varcorr.to_frame().set_index("group")["variance"]
    residual = table["INDEX"] + np.log1p(1.0 / fit.fittedvalues.mean())  # Nakagawa, Johnson & Schielzeth, table 1
    fixed = np.var(fit.model.exog @ fit.params.to_numpy(), ddof=1)
    between = table["BROOD"] + table["LOCATION"]
    assert mfx.icc(fit)["adjusted"] == pytest.approx(between / (between + residual), rel=1e-10)
    assert mfx.r2(fit)["marginal"] == pytest.approx(fixed / (fixed + between + residual), rel=1e-10)
    assert list(mfx.icc(fit, by_group=True).to_frame().index) == ["BROOD", "LOCATION"]


def test_a_gaussian_generalised_model_has_the_shares_of_the_linear_one():
    sleep = mfx.load_dataset("sleepstudy")
    formula = "Reaction ~ Days + (Days | Subject)"
    linear, generalised = mfx.lmer(formula, sleep, reml=False), mfx.glmer(formula, sleep, family="gaussian")
    pd.testing.assert_series_equal(mfx.r2(generalised), mfx.r2(linear), rtol=1e-6)
    pd.testing.assert_series_equal(mfx.icc(generalised), mfx.icc(linear), rtol=1e-6)


def test_further_linear_predictors_take_part_in_the_shares():
    owls = mfx.load_dataset("owls")
    formula = "SiblingNegotiation ~ FoodTreatment + (1 | Nest)"
    fit = mfx.glmer(formula, owls, family="nbinom2", zero_inflation="~ SexParent")
    assert 0 < mfx.r2(fit)["marginal"] < mfx.r2(fit)["conditional"] < 1


def test_principal_components_need_random_effects():
    data = mfx.load_dataset("orthodont")
    fit = mfx.lmer("distance ~ age", data, residual=mfx.AR1("age", group="Subject"))
    with pytest.raises(mfx.SpecificationError, match="random effects"):
        mfx.random_effects_pca(fit)


def noisy(seed=3):
    rng = np.random.default_rng(seed)
    g, f, z = np.repeat(np.arange(24), 12), np.tile(list("abc"), 96), rng.uniform(0, 2, 288)
    x, sd = rng.normal(size=288), np.select([f == "a", f == "b"], [0.5, 1.0], 2.0)
    return {"g": g, "f": f, "x": x, "z": z, "y": 1 + x + rng.normal(size=24)[g] + sd * rng.normal(size=288)}


@pytest.mark.parametrize(
    ("dispersion", "residual", "options"),
    [
        ("~ f", mfx.VarIdent("f"), {}),
        ("~ 0 + f", mfx.VarIdent("f"), {}),
        ("~ f", mfx.VarIdent("f"), {"contrasts": {"f": "sum"}}),
        ("~ z", mfx.VarExp("z"), {}),
    ],
)
def test_one_model_written_twice_has_one_residual_variance(dispersion, residual, options):
    data = noisy()
    one = mfx.glmer("y ~ x + (x | g)", data, family="gaussian", dispersion=dispersion, **options)
    two = mfx.lmer("y ~ x + (x | g)", data, residual=residual, reml=False)
    assert one.llf == pytest.approx(two.llf, abs=1e-6)
    assert (one.sigma, one.scale) == pytest.approx((two.sigma, two.scale), rel=1e-5)
    variances = [fit.varcorr.to_frame()["variance"].to_numpy() for fit in (one, two)]
    assert variances[0] == pytest.approx(variances[1], rel=1e-4, abs=1e-6)
    assert mfx.icc(one).to_numpy() == pytest.approx(mfx.icc(two).to_numpy(), rel=1e-5)
    assert mfx.r2(one).to_numpy() == pytest.approx(mfx.r2(two).to_numpy(), rel=1e-5)
    assert any("a formula of its own" in note for note in one.notes)


def test_weights_do_not_enter_the_residual_share_of_a_structure():
    """A row of weight one, as without a structure: a structure of one variance is none."""
    data = noisy() | {"w": np.random.default_rng(1).uniform(0.5, 3.0, 288), "row": np.arange(288)}
    plain = mfx.lmer("y ~ x + (1 | g)", data, weights="w", reml=False)
    own = mfx.glmer("y ~ x + (1 | g)", data, family="gaussian", weights="w", dispersion="~ 1")
    assert mfx.icc(own).to_numpy() == pytest.approx(mfx.icc(plain).to_numpy(), rel=1e-5)
    structured = mfx.lmer("y ~ x + (1 | g)", data, weights="w", residual=mfx.VarIdent("f"), reml=False)
    twin = mfx.glmer("y ~ x + (1 | g)", data, family="gaussian", weights="w", dispersion="~ f")
    assert mfx.icc(twin).to_numpy() == pytest.approx(mfx.icc(structured).to_numpy(), rel=1e-5)


def test_the_dispersion_of_a_gamma_by_group_is_shown_and_averaged():
    data = noisy()
    fit = mfx.glmer("exp(y / 4) ~ x + (1 | g)", data, family="gamma", link="log", dispersion="~ f")
    values = np.exp(
        np.add(
            [0.0, *fit.component_params["dispersion"]["coef"][1:]], fit.component_params["dispersion"]["coef"].iloc[0]
        )
    )
    assert fit.scale == pytest.approx(values[0])
    assert fit.varcorr.residual == pytest.approx(values[0])
    residual, between = np.log1p(values).mean(), float(fit.varcorr.to_frame()["variance"].iloc[0])
    assert mfx.icc(fit)["adjusted"] == pytest.approx(between / (between + residual), rel=1e-8)


@pytest.mark.parametrize("measure", [mfx.icc, mfx.r2])
def test_shares_without_a_variance_are_refused(measure):
    data = noisy()
    ordered = pd.Series(pd.Categorical(np.digitize(data["y"], [0, 1, 2]), ordered=True))
    ordinal = mfx.glmer("o ~ x + (1 | g)", data | {"o": ordered}, family="ordinal", link="cauchit")
    binary = mfx.glmer("b ~ x + (1 | g)", data | {"b": (data["y"] > 1) * 1}, family="binomial", link="cauchit")
    for fit in (ordinal, binary):
        with pytest.raises(mfx.SpecificationError, match="'cauchit' has no finite variance"):
            measure(fit)
    rng = np.random.default_rng(5)
    wild = data | {"y": 1 + data["x"] + rng.standard_t(1.2, 288)}
    heavy = mfx.glmer("y ~ x + (1 | g)", wild, family="student_t")
    assert heavy.family_params["df"] < 2
    assert heavy.residuals("pearson").isna().all()
    with pytest.raises(mfx.SpecificationError, match="'student_t' has no finite variance at"):
        measure(heavy)


def test_as_many_least_confounded_residuals_as_degrees_of_freedom():
    """Wherever the predictor lies; their squares add up to the quadratic form of the REML estimate."""
    rng = np.random.default_rng(3)
    g, x = np.repeat(np.arange(20), 8), rng.normal(size=160)
    y = x + rng.normal(size=20)[g] + rng.normal(size=160)
    for formula, shift, p in (
        ("y ~ x + (1 | g)", 7e5, 2),
        ("y ~ x + I(x ** 2) + (1 | g)", 2000.0, 3),
        ("y ~ 0 + (1 | g)", 0.0, 0),
    ):
        found = mfx.least_confounded_residuals(mfx.lmer(formula, {"y": y + 10 * shift, "x": x + shift, "g": g}))
        assert len(found) == 160 - p
        assert (found**2).sum() == pytest.approx(160 - p, rel=1e-6)
        assert found.index.min() > 1e-3
