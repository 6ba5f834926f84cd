"""Fits of generalised mixed models: exact maxima, boundaries, separation, predictions, honest verdicts."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

import mixedfx as mfx
from mixedfx.criterion.mode import mode_state
from mixedfx.fitting.generalized_search import difference_hessian
from tests.criterion import exact_cases
from tests.differences import hessian

CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"


@pytest.fixture(scope="module")
def cbpp():
    return mfx.load_dataset("cbpp")


@pytest.fixture(scope="module")
def laplace(cbpp):
    return mfx.glmer(CBPP, cbpp, family="binomial")


def panel(seed=0, groups=30, size=8):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), size)
    x = rng.normal(size=g.size)
    eta = 0.2 + 0.5 * x + rng.normal(size=groups)[g] * 0.8 + rng.normal(size=groups)[g] * 0.4 * x
    frame = pd.DataFrame({"g": g, "x": x, "h": rng.integers(0, 6, g.size)})
    return frame.assign(y=rng.poisson(np.exp(eta)), b=rng.binomial(1, special.expit(eta)))


@pytest.mark.parametrize("name", exact_cases.NAMES)
def test_automatic_quadrature_finds_the_exact_maximum(name):
    reference, model = exact_cases.load(name)
    exact = reference["exact_mle"]
    fit = model.fit("auto")
    assert fit.converged
    assert fit.llf == pytest.approx(exact["loglik"], abs=1e-6)
    se = np.array(exact["se_beta"])
    np.testing.assert_allclose((fit.params - exact["beta"]) / se, 0.0, atol=1e-4)
    np.testing.assert_allclose(fit.bse, se, rtol=1e-4)
    assert fit.varcorr.to_frame()["sd"][0] == pytest.approx(exact["sigma"], rel=1e-4)


@pytest.mark.parametrize("name", exact_cases.NAMES)
def test_laplace_maximum(name):
    reference, model = exact_cases.load(name)
    expected = reference["laplace_mle"]
    fit = model.fit()
    assert fit.converged
    assert fit.llf == pytest.approx(expected["laplace_loglik"], abs=1e-7)
    np.testing.assert_allclose(fit.params, expected["beta"], atol=1e-4)


def test_hessian_by_differences_of_the_gradient(laplace):
    fit = laplace.solution
    exact = hessian(lambda x: fit.integrate(mode_state(fit.problem.model, x)).value, fit.x)
    np.testing.assert_allclose(fit.hessian, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())
    np.testing.assert_allclose(difference_hessian(fit.integrate, fit.at), exact, atol=1e-5 * np.abs(exact).max())


def test_gradient_of_the_objective_on_the_users_scale(laplace):
    value, gradient = laplace.model.objective([*laplace.params, *laplace.theta])
    assert value == pytest.approx(-2 * laplace.llf, abs=1e-8)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-4)


def test_scale_of_the_predictors_does_not_matter():
    frame = panel()
    near = mfx.glmer("y ~ x + (x | g)", frame, family="poisson")
    far = mfx.glmer("y ~ x + (x | g)", frame.assign(x=1e-4 * frame["x"] + 2000), family="poisson")
    assert far.llf == pytest.approx(near.llf, abs=1e-5)
    assert far.params["x"] == pytest.approx(1e4 * near.params["x"], rel=1e-4)
    assert far.bse["x"] == pytest.approx(1e4 * near.bse["x"], rel=1e-4)


def ordered_frame(seed):
    rng = np.random.default_rng(seed)
    g, h, x = np.repeat(np.arange(15), 8), rng.integers(0, 5, 120), rng.normal(size=120)
    z = 0.9 * x + 0.4 * rng.normal(size=120)
    latent = 0.5 * x - 0.3 * z + rng.normal(size=15)[g] + 0.5 * rng.normal(size=5)[h] + rng.logistic(size=120)
    return pd.DataFrame({"y": np.digitize(latent, [-1.0, 0.0, 1.5]) + 1, "x": x, "z": z, "g": g, "h": h})


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
@pytest.mark.parametrize("shift", [1e6, *(pytest.param(c, marks=pytest.mark.slow) for c in (1e2, 1e4))])
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("right", "link"),
    [
        ("x + (1 | g)", "logit"),
        ("x + (1 | g) + (1 | h)", "probit"),
        ("x + (x | g)", "logit"),
        ("x + z + (1 | g)", "logit"),
        ("x + z", "cloglog"),
    ],
)
def test_the_origin_of_predictors_moves_nothing_but_the_thresholds(right, link, seed, shift):
    """No intercept takes it up: the thresholds do, and they move by ``beta * shift``."""
    frame = ordered_frame(seed)
    moved = frame.assign(x=frame["x"] + shift, z=frame["z"] - shift)
    near, far = (mfx.glmer(f"y ~ {right}", data, family="ordinal", link=link) for data in (frame, moved))
    assert far.converged
    assert far.llf == pytest.approx(near.llf, abs=1e-7)
    assert far.params.to_numpy() == pytest.approx(near.params.to_numpy(), rel=1e-6)
    assert far.bse.to_numpy() == pytest.approx(near.bse.to_numpy(), rel=1e-6)
    by = shift * (far.params["x"] - far.params.get("z", 0.0))
    assert far.family_params.to_numpy() - by == pytest.approx(near.family_params.to_numpy(), abs=1e-6)
    found, expected = (fit.get_prediction().summary_frame()["mean_se"].to_numpy() for fit in (far, near))
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_gradient_with_predictors_far_from_zero():
    shift, own = 1e4, np.array([0.4, 0.8, -1.0, 0.1, 0.3])
    frame = ordered_frame(1)
    far = mfx.GeneralizedLinearMixedModel("y ~ x + (1 | g)", frame.assign(x=frame["x"] + shift), family="ordinal")
    near = mfx.GeneralizedLinearMixedModel("y ~ x + (1 | g)", frame, family="ordinal")
    (value, gradient), (expected, slopes) = far.objective(own + [0, 0, 0.4 * shift, 0, 0]), near.objective(own)
    assert value == pytest.approx(expected, abs=1e-8)
    assert gradient + [shift * gradient[2], 0, 0, 0, 0] == pytest.approx(slopes, rel=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_what_is_made_of_ordered_categories_does_not_know_the_origin_of_predictors(tmp_path):
    frame, shift = ordered_frame(3), 1e6
    near, far = (
        mfx.glmer("y ~ x + z + (1 | g)", frame.assign(x=frame["x"] + c), family="ordinal") for c in (0.0, shift)
    )
    path = tmp_path / "far.mfx"
    far.save(path)
    assert mfx.load(path).llf == far.llf
    assert mfx.load(path).params.equals(far.params)
    rolled = np.roll(frame["y"].to_numpy(), 3)
    names = ["x", "z", "sd_Intercept|g"]

    def made(fit, c):
        at = {"x": [c - 1.0, c, c + 1.0]}
        return {
            "profile": fit.conf_int(method="profile", which="all").loc[names],
            "refit": fit.refit(rolled).params,
            "together": fit.refit_many(np.column_stack([rolled, frame["y"]])).params[["x", "z"]],
            "bootstrap": fit.bootstrap(3, seed=1).replicates[names],
            "probabilities": fit.predict(frame.assign(x=frame["x"] + c)[:9], which="probabilities"),
            "marginal": mfx.emmeans(fit, "x", at=at, scale="response").estimates,
            "latent": mfx.emmeans(fit, "x", at=at, scale="link").estimates,
            "influence": fit.influence("g").cooks_distance,
        }

    expected = made(near, 0.0)
    for what, found in made(far, shift).items():
        assert np.asarray(found) == pytest.approx(np.asarray(expected[what]), rel=1e-5, abs=1e-6), what


def test_no_variance_is_found_and_confirmed():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"g": np.repeat(np.arange(20), 10), "x": rng.normal(size=200)})
    frame["y"] = np.tile([0, 1, 1, 2, 2, 2, 3, 0, 4, 1], 20)  # every group has the same sum
    with pytest.warns(mfx.SingularFitWarning):
        fit = mfx.glmer("y ~ x + (1 | g)", frame, family="poisson")
    assert fit.is_singular
    assert fit.converged
    assert fit.theta.iloc[0] == 0.0
    assert np.all(np.isfinite(fit.bse))


def test_a_gaussian_model_is_the_linear_mixed_model():
    sleep = mfx.load_dataset("sleepstudy")
    linear = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep, reml=False)
    fit = mfx.glmer("Reaction ~ Days + (Days | Subject)", sleep, family="gaussian")
    assert fit.llf == pytest.approx(linear.llf, abs=1e-7)
    assert fit.sigma == pytest.approx(linear.sigma, rel=1e-5)
    np.testing.assert_allclose(fit.params, linear.params, rtol=1e-6)
    np.testing.assert_allclose(fit.random_effects["Subject"], linear.random_effects["Subject"], atol=1e-3)


def test_quadrature_with_slopes_tends_to_a_limit():
    frame = panel()
    values = [mfx.glmer("b ~ x + (x | g)", frame, family="binomial", nagq=k).llf for k in (7, 15, "auto")]
    assert abs(values[1] - values[2]) < 1e-3
    assert abs(values[1] - values[2]) < abs(values[0] - values[2]) + 1e-6


def test_expected_information_is_another_approximation(cbpp):
    observed = mfx.glmer(CBPP, cbpp, family="binomial", link="cloglog")
    expected = mfx.glmer(CBPP, cbpp, family="binomial", link="cloglog", information="expected")
    assert -2 * observed.llf == pytest.approx(183.51600, abs=1e-4)
    assert -2 * expected.llf == pytest.approx(183.60408, abs=1e-4)


def separated(frame):
    return frame.assign(s=(frame["b"] == 1) & (frame["x"] > 0)).astype({"s": float})


def test_separation_names_the_column():
    frame = separated(panel())
    with pytest.warns(mfx.SeparationWarning, match=r"\bs\b"):
        fit = mfx.glmer("b ~ x + s + (1 | g)", frame, family="binomial")
    assert not fit.converged
    assert fit.certificate.separated == ("s",)
    assert np.all(np.isfinite(fit.params))


def test_a_weak_penalty_keeps_a_separated_model_finite():
    frame = separated(panel())
    with warnings.catch_warnings():
        warnings.simplefilter("error", mfx.SeparationWarning)
        fit = mfx.glmer("b ~ x + s + (1 | g)", frame, family="binomial", penalty=0.1)
    assert fit.converged
    assert abs(fit.params["s"]) < 30
    free = mfx.glmer("b ~ x + (1 | g)", frame, family="binomial")
    weak = mfx.glmer("b ~ x + (1 | g)", frame, family="binomial", penalty=1e-9)
    assert weak.llf == pytest.approx(free.llf, abs=1e-6)


def test_zeros_only_in_one_category_are_separation_of_counts():
    frame = panel().assign(c="u")
    frame.loc[frame["g"] % 3 == 0, "c"] = "v"
    frame.loc[frame["c"] == "v", "y"] = 0
    with pytest.warns(mfx.SeparationWarning, match=r"c\[T.v\]"):
        fit = mfx.glmer("y ~ c + (1 | g)", frame, family="poisson")
    assert not fit.converged


def test_zeros_only_in_one_category_are_separation_of_zero_inflated_counts():
    frame = panel().assign(c="u")
    frame.loc[frame["g"] % 3 == 0, "c"] = "v"
    frame.loc[frame["c"] == "v", "y"] = 0
    with pytest.warns(mfx.SeparationWarning, match=r"c\[T.v\]"):
        fit = mfx.glmer("y ~ c + (1 | g)", frame, family="poisson", zero_inflation="~ 1")
    assert not fit.converged


def test_zeros_only_in_one_category_separate_the_zero_inflation():
    frame = panel().assign(c="u")
    frame.loc[frame["h"] == 0, "c"] = "v"
    frame.loc[frame["c"] == "v", "y"] = 0
    with pytest.warns(mfx.SeparationWarning, match=r"in the zero inflation: .*c\[T.v\]"):
        fit = mfx.glmer("y ~ x + (1 | g)", frame, family="poisson", zero_inflation="~ c")
    assert any("c[T.v] (separation)" in note for note in fit.notes)
    rest = mfx.glmer("y ~ x + (1 | g)", frame[frame["c"] == "u"], family="poisson", zero_inflation="~ 1")
    assert fit.llf == pytest.approx(rest.llf, abs=1e-6)  # rows that are certain add nothing
    np.testing.assert_allclose(fit.bse, rest.bse, rtol=1e-4)


def categories(frame, cuts):
    return frame.assign(o=pd.Categorical(np.digitize(frame["x"], cuts), ordered=True))


def test_ordered_categories_that_a_column_tells_apart_are_separated():
    frame = categories(panel(), [-0.7, 0.0, 0.8])
    with pytest.warns(mfx.SeparationWarning, match=r"separation: x tells the outcomes apart"):
        fit = mfx.glmer("o ~ x + (1 | g)", frame, family="ordinal")
    assert not fit.converged
    weak = mfx.glmer("o ~ x + (1 | g)", frame, family="ordinal", penalty=0.1)
    assert weak.certificate.separated == ()


def test_a_column_that_names_the_top_category_is_separated():
    frame = panel()
    frame = categories(frame.assign(x=frame["x"] + np.random.default_rng(2).logistic(size=len(frame))), [-0.7, 0.8])
    frame["top"] = (frame["h"] == 0).astype(float)
    frame.loc[frame["top"] == 1, "o"] = 2
    with pytest.warns(mfx.SeparationWarning, match=r"separation: top tells"):
        fit = mfx.glmer("o ~ b + top + (1 | g)", frame, family="ordinal")
    assert fit.certificate.separated == ("top",)
    frame.loc[frame["top"] == 1, "o"] = 1  # the middle one has two neighbours
    assert mfx.glmer("o ~ b + top + (1 | g)", frame, family="ordinal").converged


def test_groups_within_one_ordered_category_have_no_finite_variance():
    frame = panel().assign(o=lambda d: pd.Categorical(d["g"] % 3, ordered=True))
    with pytest.warns(mfx.SeparationWarning, match="no level of g has more than one outcome"):
        fit = mfx.glmer("o ~ x + (1 | g)", frame, family="ordinal")
    assert not fit.converged


def test_groups_of_zeros_only_are_no_separation():
    frame = panel()
    frame.loc[frame["g"] < 5, "y"] = 0
    fit = mfx.glmer("y ~ x + (1 | g)", frame, family="poisson")
    assert fit.converged
    assert fit.certificate.separated == ()


def test_large_linear_predictors_of_small_responses_are_no_separation():
    frame = panel()
    rng = np.random.default_rng(3)
    means = np.exp(-2.5 + 0.3 * frame["x"] + 0.2 * rng.normal(size=30)[frame["g"]])
    frame["small"] = means * (1.0 + 0.1 * rng.normal(size=len(frame)))
    fit = mfx.glmer("small ~ x + (1 | g)", frame, family="gaussian", link="inverse")
    assert fit.linear_predictors.max() > 20
    assert fit.certificate.separated == ()
    assert fit.converged


def test_population_average_is_the_integral(laplace):
    new = {"period": ["1", "3"]}
    eta = laplace.predict(new, random=False, which="linear").to_numpy()
    sd = laplace.varcorr.to_frame()["sd"][0]
    expected = [
        integrate.quad(lambda b, e=e: special.expit(e + b) * stats.norm.pdf(b, scale=sd), -8, 8)[0] for e in eta
    ]
    found = laplace.predict(new, random=False, integrate=True)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_simulated_responses_have_the_fitted_distribution():
    fit = mfx.glmer("y ~ x + (1 | g)", panel(), family="poisson")
    draws = fit.simulate(4000, seed=1)
    mean = fit.predict(random=False, integrate=True)
    error = draws.to_numpy().std(axis=1) / np.sqrt(4000)
    assert np.abs((draws.mean(axis=1) - mean) / error).mean() == pytest.approx(np.sqrt(2 / np.pi), abs=0.15)


def test_joint_mode_has_no_maximum(laplace):
    path = laplace.joint_map_path()
    assert np.all(np.diff(path["joint"].to_numpy()) > 0)
    assert path["marginal"].idxmax() == 1.0


def test_integrators_side_by_side(laplace):
    table = laplace.compare_integrators()
    assert table.loc["Laplace", "difference"] == pytest.approx(-0.0425, abs=1e-3)
    sampled = table.loc["importance sampling"]
    assert abs(sampled["difference"]) < 4 * sampled["standard_error"]


def test_the_summary_tells_success_penalty_and_integration():
    frame = panel().assign(w=lambda d: np.where(d["b"] == 1, "alive", "dead"))
    text = str(mfx.glmer("w ~ x + (1 | g)", frame, family="binomial", penalty=2.0, nagq=25).summary())
    assert "success is w = 'dead'" in text
    assert "penalty of precision 2" in text
    assert "\nIntegration:      quadrature, 25 nodes\n" in text  # within its column
    plain = mfx.glmer("b ~ x + (1 | g)", frame, family="binomial")
    assert plain.notes == ()


def test_an_unknown_level_is_written_as_a_plain_number():
    fit = mfx.glmer("y ~ x + (1 | g)", panel(), family="poisson")
    with pytest.raises(mfx.DataError, match=r"does not know \(99\)"):
        fit.predict({"x": [0.0], "g": [99]})


def test_many_groups_are_compared_without_importance_sampling():
    table = mfx.glmer("y ~ x + (1 | g)", panel(groups=4001, size=3), family="poisson").compare_integrators()
    assert "importance sampling" not in table.index
    assert abs(table.loc["quadrature, 31 nodes", "difference"]) < 1e-6


def test_integrators_need_draws(laplace):
    with pytest.raises(mfx.SpecificationError, match="at least 100 draws; found draws=1"):
        laplace.compare_integrators(draws=1)


def test_the_joint_mode_of_a_singular_fit_is_that_of_the_directions_that_vary():
    frame = panel().assign(one=lambda d: d["g"] % 2)
    rng = np.random.default_rng(1)
    frame["y"] = rng.poisson(np.exp(0.2 + rng.normal(size=30)[frame["g"]]))  # (1 | one) has no variance
    with pytest.warns(mfx.SingularFitWarning):
        both = mfx.glmer("y ~ x + (1 | g) + (1 | one)", frame, family="poisson")
    single = mfx.glmer("y ~ x + (1 | g)", frame, family="poisson")
    np.testing.assert_allclose(both.joint_map_path(), single.joint_map_path(), atol=1e-3)


def test_dispersion_and_zero_inflation_formulas_are_components():
    fit = mfx.glmer("y ~ x + (1 | g)", panel(), family="nbinom2", dispersion="~ x", zero_inflation="~ 1")
    assert list(fit.component_params) == ["dispersion", "zero_inflation"]
    assert ("dispersion", "x") in fit.params_all.index
    assert fit.n_parameters == len(fit.params_all)
    assert 0 <= fit.predict(which="zero_inflation").iloc[0] < 1


def test_ordinal_thresholds_take_the_place_of_the_intercept():
    rng = np.random.default_rng(3)
    frame = panel()
    latent = frame["x"] + rng.logistic(size=len(frame))
    frame["o"] = pd.cut(latent, [-np.inf, -1, 1, np.inf], labels=["low", "mid", "high"])
    fit = mfx.glmer("o ~ x + (1 | g)", frame, family="ordinal")
    assert list(fit.params.index) == ["x"]
    assert list(fit.family_params.index) == ["low|mid", "mid|high"]
    chances = fit.predict(which="probabilities")
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)
    assert fit.converged


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"nagq": "many"}, "auto"),
        ({"nagq": -1}, "at least 0"),
        ({"information": "some"}, "observed"),
        ({"penalty": -1.0}, "precision"),
        ({"dispersion": "~ x"}, "dispersion"),
        ({"zero_inflation": "y ~ x"}, "fixed effects only"),
    ],
)
def test_arguments_without_meaning(arguments, message):
    with pytest.raises(mfx.SpecificationError, match=message):
        mfx.glmer("y ~ x + (1 | g)", panel(), family="poisson", **arguments)


def test_quadrature_is_refused_for_crossed_factors():
    with pytest.raises(mfx.SpecificationError, match="one grouping factor"):
        mfx.glmer("y ~ x + (1 | g) + (1 | h)", panel(), family="poisson", nagq=5)


def test_a_huge_rule_is_refused():
    with pytest.raises(mfx.SpecificationError, match="at most"):
        mfx.glmer("y ~ x + (x | g)", panel(), family="poisson", nagq=200)


def test_arguments_of_the_wrong_type():
    with pytest.raises(TypeError):
        mfx.glmer("y ~ x + (1 | g)", panel(), family="poisson", nagq=2.5)
    with pytest.raises(TypeError):
        mfx.glmer("y ~ x + (1 | g)", panel(), family=3)


@pytest.mark.parametrize("nagq", [0, 1, "auto"])
def test_a_saved_fit_comes_back(cbpp, tmp_path, nagq):
    fit = mfx.glmer(CBPP, cbpp, family="binomial", nagq=nagq)
    fit.save(tmp_path / "fit.mfx")
    again = mfx.load(tmp_path / "fit.mfx")
    assert again.llf == pytest.approx(fit.llf, abs=1e-10)
    assert again.converged
    pd.testing.assert_series_equal(again.bse, fit.bse)
    pd.testing.assert_frame_equal(again.random_effects["herd"], fit.random_effects["herd"], atol=1e-8)


@pytest.mark.parametrize("nagq", [1, "auto"])
def test_a_dispersion_that_the_data_do_not_show_is_at_its_limit(nagq):
    rng = np.random.default_rng(0)
    g, x = rng.integers(0, 25, 300), rng.normal(size=300)
    y = rng.poisson(20 + 2 * x + rng.normal(size=25)[g] * 2)
    frame = pd.DataFrame({"g": g, "x": x, "y": y})
    fit = mfx.glmer("y ~ x + (1 | g)", frame, family="nbinom2", nagq=nagq)
    limit = mfx.glmer("y ~ x + (1 | g)", frame, family="poisson", nagq=nagq)
    assert fit.converged
    assert fit.llf == pytest.approx(limit.llf, abs=1e-6)
    assert any("dispersion" in note for note in fit.notes)
    np.testing.assert_allclose(fit.bse, limit.bse, rtol=1e-4)


def test_prediction_errors_of_a_gaussian_model():
    """Without random effects those of the linear model; with them glmmTMB's, which count the variances too."""
    sleep = mfx.load_dataset("sleepstudy")
    linear = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep, reml=False)
    fit = mfx.glmer("Reaction ~ Days + (Days | Subject)", sleep, family="gaussian")
    new = {"Days": [3, 10], "Subject": ["308", "309"]}
    for random in (True, False):
        ours, theirs = (f.get_prediction(new, random=random) for f in (fit, linear))
        np.testing.assert_allclose(ours.predicted_mean, theirs.predicted_mean, rtol=1e-6)
    np.testing.assert_allclose(ours.se_mean, theirs.se_mean, rtol=1e-6)
    # glmmTMB 1.1.5: predict(glmmTMB(Reaction ~ Days + (Days | Subject), sleepstudy), new, se.fit=TRUE)$se.fit
    np.testing.assert_allclose(fit.get_prediction(new).se_mean, [8.309930899, 16.291328011], rtol=1e-5)


def test_intervals_stay_within_the_range_of_the_mean(laplace):
    frame = laplace.get_prediction().summary_frame()
    assert (frame["mean_ci_lower"] >= 0).all()
    assert (frame["mean_ci_upper"] <= 1).all()
    assert (frame["mean_ci_lower"] < frame["mean"]).all()


def test_a_separated_fit_speaks_of_what_separates_and_not_of_variances():
    rng = np.random.default_rng(5)
    nest, trt = np.repeat(np.arange(30), 4), np.tile(["none", "ctrl", "prot", "sucr"], 30)
    eta = 1.5 - 0.8 * (trt == "ctrl") + rng.normal(0, 0.8, 30)[nest]
    y = (rng.random(120) < 1 / (1 + np.exp(-eta))).astype(int)
    y[trt == "sucr"] = 1
    frame = pd.DataFrame({"y": y, "trt": trt, "nest": nest})
    for coding in ("treatment", "sum"):
        with pytest.warns(mfx.SeparationWarning, match="sucr"):
            fit = mfx.glmer("y ~ trt + (1 | nest)", frame, family="binomial", contrasts={"trt": coding})
        assert fit.certificate.is_identified
        assert "not identified" not in str(fit.certificate)
        for table in (mfx.anova(fit), mfx.emmeans(fit, "trt"), fit.summary()):
            text = " ".join(str(table).split())
            assert "sucr" in text
            assert "likelihood ratio" in text


def test_zero_inflation_at_its_limit_is_minus_infinity_and_the_note_is_true_of_each_level():
    rng = np.random.default_rng(0)
    g, f = np.repeat(np.arange(20), 12), np.array(["a", "b"])[np.arange(240) % 2]
    counts = rng.poisson(3, 240)
    none = mfx.glmer("y ~ 1 + (1 | g)", {"y": counts, "g": g}, family="poisson", zero_inflation="~ 1")
    assert none.component_params["zero_inflation"]["coef"].tolist() == [-np.inf]
    assert "∞" in str(none.summary())
    assert np.isfinite(none.predict()).all()
    zeros = {"y": np.where(f == "a", 0, counts), "g": g, "f": f}
    both = mfx.glmer("y ~ 1 + (1 | g)", zeros, family="poisson", zero_inflation="~ f")
    notes = " ".join(both.notes)
    assert "in 120 of 240 rows every response is zero" in notes
    assert "the data show none" not in notes


@pytest.mark.parametrize("seed", [3, 4])
def test_where_several_modes_end_the_search_nothing_is_said_of_identification(seed):
    rng = np.random.default_rng(seed)
    g, x = rng.integers(0, 11, 51), rng.normal(size=51)
    y = 0.5 * x + 3 * rng.normal(size=11)[g] + 2 * rng.standard_t(1, size=51)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        fit = mfx.glmer("y ~ x + (x | g)", pd.DataFrame({"y": y, "x": x, "g": g}), family="student_t")
    assert "split into several modes" in str(fit.certificate)
    assert fit.certificate.is_identified
    assert "not identified" not in str(fit.certificate)
