"""Power: by formula, by simulation, and that both agree where the formula holds."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mfx
from mixedfx.inference.denominator import Asymptotic
from mixedfx.inference.hypothesis import Hypothesis
from mixedfx.inference.satterthwaite import _denominator
from mixedfx.inference.wald import joint_test
from mixedfx.planning.power import wilson
from mixedfx.planning.stated import study_of
from mixedfx.results.many import joint_pvalues

SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleep():
    return mfx.lmer(SLEEP, mfx.load_dataset("sleepstudy"))


# ---------------------------------------------------------------- against closed forms
def test_the_paired_t_test():
    """Differences within n subjects: variance 2 sigma^2, n - 1 degrees of freedom."""
    plan = mfx.design(subjects=20, within={"c": ["a", "b"]})
    values = {"Intercept": 0.0, "c[T.b]": 0.5, "sd_Intercept|subject": 1.5, "sigma": 0.8}
    found = mfx.power("y ~ c + (1 | subject)", plan, params=values, effect="c[T.b]", seed=1).to_frame()
    shift, critical = 0.5 / (0.8 * np.sqrt(2 / 20)), stats.t.ppf(0.975, 19)
    expected = stats.nct.sf(critical, 19, shift) + stats.nct.cdf(-critical, 19, shift)
    assert found["method"].tolist() == ["analytic"]
    assert found["power"].iloc[0] == pytest.approx(expected, abs=1e-6)


def test_the_f_test_of_groups():
    """Means of m visits of n subjects in each of three groups: one-way analysis of variance of the means."""
    plan = mfx.design(subjects=36, visits=5, between={"g": ["a", "b", "d"]})
    values = {"Intercept": 0.0, "g[T.b]": 0.4, "g[T.d]": 0.9, "sd_Intercept|subject": 0.8, "sigma": 1.0}
    found = mfx.power("y ~ g + (1 | subject)", plan, params=values, effect="g", seed=1).to_frame()
    means, spread = np.array([0, 0.4, 0.9]), 0.8**2 + 1.0 / 5
    expected = stats.ncf.sf(stats.f.ppf(0.95, 2, 33), 2, 33, 12 * np.sum((means - means.mean()) ** 2) / spread)
    assert found["power"].iloc[0] == pytest.approx(expected, abs=1e-6)


def test_nothing_to_find_is_found_as_often_as_the_level(sleep):
    for level in (0.05, 0.01):
        found = mfx.power(sleep, effect={"Days": 0.0}, alpha=level, seed=1).to_frame()
        assert found["power"].iloc[0] == pytest.approx(level, abs=1e-10)


def test_scaling_the_response_changes_nothing(sleep):
    data = mfx.load_dataset("sleepstudy")
    small = mfx.lmer(SLEEP, data.assign(Reaction=data["Reaction"] / 1000))
    first = mfx.power(sleep, effect={"Days": 5.0}, seed=1).to_frame()["power"]
    second = mfx.power(small, effect={"Days": 0.005}, seed=1).to_frame()["power"]
    np.testing.assert_allclose(first, second, rtol=1e-5)


def test_a_fit_and_its_parameters_written_out_agree(sleep):
    values = {
        "Intercept": sleep.params["Intercept"],
        "Days": 5.0,
        "sigma": sleep.sigma,
        "theta": sleep.theta.to_numpy(),
    }
    written = mfx.power(
        "y ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"), params=values, effect="Days", seed=1
    )
    fitted = mfx.power(sleep, effect={"Days": 5.0}, seed=1)
    np.testing.assert_allclose(written.to_frame()["power"], fitted.to_frame()["power"], rtol=1e-8)


# ---------------------------------------------------------------- by simulation
def test_a_fit_keeps_the_order_of_its_categories():
    formula, effect = "y ~ arm * visit + (1 | subject)", "arm[T.drug]:visit"
    plan = mfx.design(subjects=12, visits=3, between={"arm": ["usual", "drug"]})
    values = {"Intercept": 0, "arm[T.drug]": 0, "visit": 0, effect: 1, "sd_Intercept|subject": 2, "sigma": 1}
    fit = mfx.lmer(formula, plan.assign(y=mfx.simulate(formula, plan, params=values, seed=1)[0]))
    asked = {"params": values, "effect": effect, "along": "subject", "sizes": [12, 30], "seed": 1}
    of_fit = mfx.power(fit, **asked).to_frame()
    pd.testing.assert_frame_equal(of_fit, mfx.power(formula, plan, **asked).to_frame())


def test_simulation_is_that_of_refits_by_hand(sleep):
    found = mfx.power(sleep, effect={"Days": 5.0}, method="simulate", n_sim=200, seed=4).to_frame().iloc[0]
    values = {
        "Intercept": sleep.params["Intercept"],
        "Days": 5.0,
        "sigma": sleep.sigma,
        "theta": sleep.theta.to_numpy(),
    }
    Y = mfx.simulate(SLEEP, mfx.load_dataset("sleepstudy"), params=values, n=200, seed=4)
    share = float((sleep.refit_many(Y).pvalues["Days"] < 0.05).mean())
    assert found["power"] == pytest.approx(share)
    assert (found["lower"], found["upper"]) == wilson(round(200 * share), 200)


def test_wilson_against_scipy():
    for hits in (0, 3, 50, 99, 100):
        interval = stats.binomtest(hits, 100).proportion_ci(method="wilson")
        np.testing.assert_allclose(wilson(hits, 100), interval, atol=1e-12)


def test_where_a_variance_is_often_zero_studies_are_simulated():
    plan = mfx.design(subjects=8, visits=4)
    values = {"Intercept": 0, "visit": 0.6, "sd_Intercept|subject": 1, "sd_visit|subject": 0.4, "sigma": 1}
    found = mfx.power("y ~ visit + (visit | subject)", plan, params=values, effect="visit", n_sim=100, seed=1)
    assert found.to_frame()["method"].tolist() == ["simulate"]
    assert "boundary" in str(found)


def test_tests_that_have_no_formula(sleep):
    herds = mfx.glmer(
        "cbind(incidence, size - incidence) ~ period + (1 | herd)", mfx.load_dataset("cbpp"), family="binomial"
    )
    found = mfx.power(herds, effect=["period[T.2]", "period"], n_sim=20, seed=1)
    assert found.to_frame()["effect"].tolist() == ["period[T.2]", "period"]
    assert "generalised" in str(found)
    ratios = mfx.power(sleep, effect={"Days": 3.0}, test="lrt", n_sim=20, seed=1)
    assert "likelihood-ratio" in str(ratios)
    adjusted = mfx.power(
        sleep, effect={"Days": 3.0}, test="kenward-roger", method="simulate", n_sim=20, seed=1
    ).to_frame()
    usual = mfx.power(sleep, effect={"Days": 3.0}, method="simulate", n_sim=20, seed=1).to_frame()
    assert abs(adjusted["power"].iloc[0] - usual["power"].iloc[0]) <= 0.1


# ---------------------------------------------------------------- what is tested
GROUPS = "y ~ g + visit + (1 | subject)"
BELIEF = {
    "Intercept": 0,
    "g[T.b]": 0.4,
    "g[T.d]": 1.2,
    "visit": 0.2,
    "sd_Intercept|subject": 0.8,
    "sigma": 1.0,
}


@pytest.fixture(scope="module")
def groups():
    return mfx.design(subjects=36, visits=3, between={"g": ["a", "b", "d"]})


@pytest.mark.parametrize("method", ["analytic", "simulate"])
def test_a_contrast_is_the_coefficient_that_another_reference_gives(groups, method):
    turned = groups.assign(g=groups["g"].cat.reorder_categories(["b", "a", "d"]))
    same = {"Intercept": 0.4, "g[T.a]": -0.4, "g[T.d]": 0.8}
    other = {name: BELIEF[name] for name in ("visit", "sd_Intercept|subject", "sigma")}
    how = {"method": method, "n_sim": 60, "seed": 3}
    as_contrast = mfx.power(GROUPS, groups, params=BELIEF, effect=["g[T.d] - g[T.b]", "g"], **how).to_frame()
    recoded = mfx.power(GROUPS, turned, params={**same, **other}, effect=["g[T.d]", "g"], **how).to_frame()
    np.testing.assert_allclose(as_contrast["power"], recoded["power"], atol=1e-8)


def test_a_contrast_may_be_with_a_number_and_grow_with_the_effect(groups):
    asked = {"params": BELIEF, "seed": 1}
    same = mfx.power(GROUPS, groups, effect="g[T.d] = 1.2", **asked).to_frame()["power"].iloc[0]
    assert same == pytest.approx(0.05, abs=1e-10)
    found = mfx.power(GROUPS, groups, effect="g[T.d] - g[T.b]", along="effect", sizes=[0, 0.5, 1], **asked)
    assert found.to_frame()["power"].iloc[0] == pytest.approx(0.05, abs=1e-10)
    assert found.to_frame()["power"].is_monotonic_increasing


def test_two_equal_groups_of_several_coefficients_are_tested_as_one(groups):
    joint = mfx.power(GROUPS, groups, params=BELIEF, effect=["g", "g[T.b] = 0, g[T.d] = 0"], seed=1).to_frame()
    assert joint["power"].iloc[0] == pytest.approx(joint["power"].iloc[1], rel=1e-10)


def test_a_stricter_level_finds_less_and_a_larger_effect_more(groups):
    power = [
        mfx.power(GROUPS, groups, params=BELIEF, effect="g[T.d]", alpha=alpha, seed=1).to_frame()["power"].iloc[0]
        for alpha in (0.001, 0.01, 0.05, 0.2)
    ]
    assert np.all(np.diff(power) > 0)


@pytest.mark.parametrize("method", ["analytic", "simulate"])
def test_units_of_predictors_and_response_change_nothing(groups, method):
    scaled = {name: 1000.0 * value for name, value in BELIEF.items()} | {"visit": 1000.0 * 0.2 * 7}
    weeks = groups.assign(visit=groups["visit"] / 7.0)
    how = {"effect": ["visit", "g[T.d]"], "method": method, "n_sim": 100, "seed": 5}
    first = mfx.power(GROUPS, groups, params=BELIEF, **how).to_frame()["power"]
    second = mfx.power(GROUPS, weeks, params=scaled, **how).to_frame()["power"]
    np.testing.assert_allclose(first, second, rtol=1e-6)


def test_the_slow_way_tests_as_the_fast_one(groups):
    """A contrast that is a coefficient, study by study, against all studies at once."""
    how = {"params": BELIEF, "method": "simulate", "n_sim": 50, "seed": 2}
    for test in ("satterthwaite", "z"):
        fast = mfx.power(GROUPS, groups, effect="g[T.b]", test=test, **how).to_frame()
        slow = mfx.power(GROUPS, groups, effect="g[T.b] = 0", test=test, **how).to_frame()
        pd.testing.assert_frame_equal(fast.drop(columns="effect"), slow.drop(columns="effect"))


DESIGNS = {
    "one factor": (GROUPS, {"subjects": 36, "visits": 3, "between": {"g": ["a", "b", "d"]}}, ["g", "g[T.d] - g[T.b]"]),
    "slopes": ("y ~ g + (g | subject)", {"subjects": 20, "within": {"g": ["a", "b", "d"]}, "replicates": 3}, ["g"]),
    "crossed": (
        "y ~ g + (1 | subject) + (1 | item)",
        {"subjects": 12, "items": 9, "within": {"g": ["a", "b", "d"]}, "counterbalance": "latin"},
        ["g", "g[T.b] = 0, Intercept = 0.2"],
    ),
    "alone": (
        "y ~ g * visit + ar1(0 + visit | subject)",  # each fit by itself
        {"subjects": 12, "visits": 4, "between": {"g": ["a", "b", "d"]}},
        ["g:visit"],
    ),
}


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
@pytest.mark.parametrize("name", DESIGNS)
def test_joint_tests_of_all_studies_are_those_of_each(name):
    """At the same estimates to rounding; after a search of its own as far as searches agree."""
    formula, arguments, effects = DESIGNS[name]
    plan = mfx.design(**arguments)
    any_fit = mfx.lmer(formula, plan.assign(y=np.random.default_rng(1).normal(size=len(plan))))
    values = {**dict.fromkeys(any_fit.params.index, 0.2), "theta": np.full(len(any_fit.theta), 0.5), "sigma": 1.0}
    study = study_of(formula, plan, values, effects)
    Y = study.draws(12, 3)
    template = study.template(Y)
    many = template.refit_many(Y)
    assert template.refits_together
    for effect in study.effects:
        hypothesis = Hypothesis(effect.rows(template), effect.rhs, ("",) * len(effect.rhs))
        for is_z in (False, True):
            found = joint_pvalues(many, hypothesis.L, hypothesis.rhs, is_z=is_z)
            for k, name in enumerate(Y):
                denominator = _denominator(template.solution.problem, Y[name].to_numpy(), many.theta[k])
                denominator = Asymptotic(denominator.covariance) if is_z else denominator
                here = joint_test(hypothesis, many.beta[k], denominator, template._canonical_rows.usual)
                assert found[k] == pytest.approx(here.pvalue, rel=1e-8, abs=1e-14)
                if k < 3:
                    own = template.refit(Y[name]).f_test((hypothesis.L, hypothesis.rhs), ddf="z" if is_z else None)
                    assert found[k] == pytest.approx(own.pvalue, rel=1e-3, abs=1e-6)


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_joint_tests_of_generalised_studies_are_those_of_each(groups):
    values = {**BELIEF, "Intercept": -0.5}
    del values["sigma"]
    study = study_of(GROUPS, groups, values, ["g", "g[T.d] - g[T.b]"], family="binomial")
    Y = study.draws(12, 3)
    template = study.template(Y)
    found = study.pvalues(12, 3, "z").pvalues
    for k, name in enumerate(Y):
        fit = template.refit(Y[name])
        for effect in study.effects:
            own = fit.f_test((effect.rows(template), effect.rhs)).pvalue
            assert found[effect.label][k] == pytest.approx(own, rel=1e-3)


def test_blocks_are_of_bounded_size_and_the_same_for_the_same_seed(groups, monkeypatch):
    asked = {"params": BELIEF, "effect": "g", "n_sim": 50}
    whole = mfx.power(GROUPS, groups, method="simulate", seed=3, **asked).to_frame()
    monkeypatch.setattr("mixedfx.planning.stated.MOST_DRAWN", 20 * len(groups) + 1)
    study = study_of(GROUPS, groups, BELIEF, "g")
    blocks = list(study.blocks(50, np.random.SeedSequence(3)))
    assert [block.shape for block in blocks] == [(len(groups), 20), (len(groups), 20), (len(groups), 10)]
    for block, again in zip(blocks, study.blocks(50, np.random.SeedSequence(3)), strict=True):
        pd.testing.assert_frame_equal(block, again)
    assert pd.concat(blocks, axis=1).T.drop_duplicates().shape[0] == 50
    parts = mfx.power(GROUPS, groups, method="simulate", seed=3, **asked).to_frame()
    Y = pd.concat(blocks, axis=1, ignore_index=True)
    template = study.template(Y)
    effect = study.effects[0]
    rejected = joint_pvalues(template.refit_many(Y), effect.rows(template), effect.rhs, is_z=False) < 0.05
    assert parts["power"].iloc[0] == np.mean(rejected)
    assert parts["lower"].iloc[0] <= whole["upper"].iloc[0]
    asked = {"params": BELIEF, "effect": "g", "seed": 3}
    small = mfx.power(GROUPS, groups, **asked).to_frame()  # the look at the boundary, in ten blocks
    monkeypatch.undo()
    pd.testing.assert_frame_equal(small, mfx.power(GROUPS, groups, **asked).to_frame())


def test_likelihood_ratios_leave_out_the_intercept_too():
    plan = mfx.design(subjects=20, visits=[-1, 0, 1])
    values = {"Intercept": 0.6, "visit": 0, "sd_Intercept|subject": 0.7, "sigma": 1}
    found = mfx.power(
        "y ~ visit + (1 | subject)", plan, params=values, effect="Intercept", test="lrt", n_sim=400, seed=1
    )
    t = mfx.power("y ~ visit + (1 | subject)", plan, params=values, effect="Intercept", seed=1).to_frame()["power"]
    assert found.to_frame()["power"].iloc[0] == pytest.approx(t.iloc[0], abs=0.08)


def test_studies_that_cannot_be_fitted_are_counted():
    """Rare events: some studies have none, so that nothing can be estimated."""
    plan = mfx.design(subjects=6, within={"c": ["a", "b"]}, replicates=2)
    values = {"Intercept": -3.0, "c[T.b]": 0.0, "sd_Intercept|subject": 0.1}
    for effect in ("c[T.b]", "c[T.b] = 0"):
        found = mfx.power(
            "y ~ c + (1 | subject)", plan, params=values, effect=effect, family="binomial", n_sim=40, seed=1
        )
        row = found.to_frame().iloc[0]
        assert 0 < row["failed"] < 40
        assert row["power"] <= 1 - row["failed"] / 40
        assert f"{row['failed']} of 40 fits" in str(found)


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_a_first_study_without_events_is_no_obstacle(family):
    """Most of these studies see no event: what is told does not hang on the first of them."""
    plan = mfx.design(subjects=6, within={"c": ["a", "b"]}, replicates=2)
    values = {"Intercept": -4.0, "c[T.b]": 0.0, "sd_Intercept|subject": 0.1}
    asked = {"effect": "c[T.b]", "family": family, "n_sim": 10, "seed": 1}
    row = mfx.power("y ~ c + (1 | subject)", plan, params=values, **asked).to_frame().iloc[0]
    assert row["failed"] > 0
    assert row["power"] <= 1 - row["failed"] / 10


def test_studies_may_lack_a_category():
    plan = mfx.design(subjects=6, within={"c": ["a", "b"]}, replicates=2)
    values = {"c[T.b]": 0.0, "sd_Intercept|subject": 0.1, "thresholds": [0, 4, 5]}
    asked = {"effect": "c[T.b]", "family": "ordinal", "n_sim": 10, "seed": 1}
    found = mfx.power("y ~ c + (1 | subject)", plan, params=values, **asked)
    assert "categories" not in str(found)
    assert found.to_frame()["failed"].iloc[0] == 0


def test_parameters_may_be_a_series_and_the_index_anything(groups):
    how = {"effect": "g[T.d]", "method": "simulate", "n_sim": 20, "seed": 2}
    first = mfx.power(GROUPS, groups, params=BELIEF, **how).to_frame()
    again = mfx.power(GROUPS, groups.set_axis([7] * len(groups)), params=pd.Series(BELIEF), **how).to_frame()
    pd.testing.assert_frame_equal(first, again)


def messy():
    """Rows with labels that occur twice, and some without an x."""
    rng = np.random.default_rng(5)
    d = pd.DataFrame({"g": np.repeat(np.arange(12), 10), "x": rng.normal(size=120), "t": np.tile([0, 1], 60)})
    eta = 0.4 * d["t"] + 0.8 * rng.normal(size=12)[d["g"]] + 0.7 * rng.normal(size=12)[d["g"]] * d["x"]
    d["y"], d["count"] = eta + rng.normal(size=120), rng.poisson(np.exp(eta))
    d.loc[:3, "x"] = np.nan
    return d.set_index(pd.Index(np.tile(np.arange(60), 2)))


@pytest.mark.parametrize("random", ["(x || g)", "(1 | g) + (0 + x | g)", "homdiag(1 + x | g)"])
def test_power_of_independent_effects_does_not_depend_on_the_spelling_or_the_index(random):
    d = messy()
    fits = [mfx.lmer(f"y ~ t + x + {random}", each) for each in (d, d.dropna().reset_index(drop=True))]
    named = {f"sd_{name}|g": 0.7 for name in ("Intercept", "x")} if "homdiag" not in random else {}
    found = [mfx.power(fit, effect={"t": 0.3}, params=named, seed=1).to_frame()["power"] for fit in fits]
    assert found[0].iloc[0] == pytest.approx(found[1].iloc[0], rel=1e-6)
    assert 0.05 < found[0].iloc[0] < 1.0


@pytest.mark.parametrize(
    "formula, family", [("count ~ t + x", "poisson"), ("count ~ t + (1 | g)", "hurdle_poisson"), ("y ~ t", "gaussian")]
)
def test_power_of_generalised_fits_of_any_kind(formula, family):
    fit = mfx.glmer(formula, messy(), family=family)
    found = mfx.power(fit, effect="t", n_sim=20, seed=1).to_frame().iloc[0]
    assert found["failed"] == 0
    assert found["power"] > 0.0


@pytest.mark.slow
def test_a_structure_with_parameters_of_its_own_is_planned_by_them():
    plan, belief = messy().reset_index(drop=True), {"Intercept": 0, "C(t)[T.1]": 0.3, "sigma": 1}
    formula = "~ C(t) + ar1(0 + C(t) | g)"
    with pytest.raises(mfx.SpecificationError, match="needs 'theta' for ar1"):
        mfx.power(formula, plan, params=belief | {"sd_C(t)[0]|g": 1, "sd_C(t)[1]|g": 0.5}, effect="C(t)[T.1]", seed=1)
    found = mfx.power(formula, plan, params=belief | {"theta": [0.7, 0.4]}, effect="C(t)[T.1]", seed=1)
    assert found.to_frame()["method"].tolist() == ["analytic"]


@pytest.mark.slow
def test_studies_of_other_models_say_what_to_do():
    fit = mfx.hglm("count ~ t + (1 | g)", messy(), family="poisson", random={"g": "gamma"})
    with pytest.raises(mfx.SpecificationError, match=r"hglm are drawn by fit\.simulate"):
        mfx.power(fit, effect="t")


def test_functions_of_a_fit_serve_its_studies():
    data = mfx.load_dataset("sleepstudy")
    weeks = mfx.lmer("Reaction ~ weeks(Days) + (1 | Subject)", data, functions={"weeks": lambda days: days / 7})
    plain = mfx.lmer("Reaction ~ Days + (1 | Subject)", data)
    power = [
        mfx.power(fit, effect={name: size}, seed=1).to_frame()["power"].iloc[0]
        for fit, name, size in ((weeks, "weeks(Days)", 14.0), (plain, "Days", 2.0))
    ]
    assert power[0] == pytest.approx(power[1], rel=1e-6)


@pytest.mark.parametrize("seed", [None, np.random.default_rng(3), np.random.SeedSequence(3)])
def test_one_table_has_one_seed(groups, seed):
    """What is asked later of a table is drawn as the table was."""
    found = mfx.power(
        GROUPS, groups, params=BELIEF, effect="g[T.d]", along="subject", sizes=[9, 18], method="simulate", n_sim=50,
        seed=seed,
    )  # fmt: skip
    again = pickle.loads(pickle.dumps(found))
    assert str(again) == str(found)
    targets = found.to_frame()["power"].to_numpy() - 1e-9
    assert again.smallest(targets[1]) == found.smallest(targets[1]) <= 18
    pd.testing.assert_frame_equal(found._plan.at(9)[0], found.to_frame().iloc[:1], check_dtype=False)


def test_params_from_the_literature_mean_what_the_guide_says():
    """The moments of many responses that are drawn from an intraclass correlation, a difference and an R squared."""
    icc, d, share = 0.3, 0.5, 0.1
    plan = mfx.design(subjects=20_000, visits=2, between={"g": 2})
    plan["x"] = np.random.default_rng(1).normal(3.0, 2.0, len(plan))
    values = {"Intercept": 0, "g[T.g2]": d, "sd_Intercept|subject": icc**0.5, "sigma": (1 - icc) ** 0.5}
    y = plan.assign(y=mfx.simulate("y ~ g + (1 | subject)", plan, params=values, seed=2)[0])
    first, second = (y.loc[(y["visit"] == k) & (y["g"] == "g1"), "y"].to_numpy() for k in (0, 1))
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(icc, abs=0.03)
    means = y.groupby("g", observed=True)["y"].mean()
    assert (means["g2"] - means["g1"]) / first.std() == pytest.approx(d, abs=0.04)
    values = {"Intercept": 0, "x": np.sqrt(share / (1 - share)) / plan["x"].std()} | dict(list(values.items())[2:])
    drawn = mfx.simulate("y ~ x + (1 | subject)", plan, params=values, seed=3)[0]
    assert np.corrcoef(plan["x"], drawn)[0, 1] ** 2 == pytest.approx(share, abs=0.01)
    fit = mfx.lmer("y ~ x + (1 | subject)", plan.assign(y=drawn))
    assert fit.varcorr.to_frame()["variance"].iloc[0] == pytest.approx(icc, abs=0.03)


def test_rows_of_a_design_that_take_no_part_are_said(groups):
    gaps = groups.assign(visit=groups["visit"].where(groups.index > 4))
    asked = {"params": BELIEF, "effect": "visit", "seed": 1}
    assert f"5 of {len(groups)} rows of the design take no part" in str(mfx.power(GROUPS, gaps, **asked))
    assert "take no part" not in str(mfx.power(GROUPS, groups, **asked))


# ---------------------------------------------------------------- along sizes
@pytest.fixture(scope="module")
def every(groups):
    asked = {"along": "subject", "sizes": range(6, 61), "seed": 1}
    return mfx.power(GROUPS, groups, params=BELIEF, effect="g[T.d]", **asked).to_frame()


SLOWLY = [pytest.param(sizes, marks=pytest.mark.slow) for sizes in ([40, 60], [59, 60])]


@pytest.mark.parametrize("sizes", [[9, 60], [60], *SLOWLY])
def test_the_smallest_is_that_of_all_sizes(groups, every, sizes):
    target = 0.85
    first = every.loc[every["power"] >= target, "size"].min()
    found = mfx.power(GROUPS, groups, params=BELIEF, effect=["g[T.d]", "visit"], along="subject", sizes=sizes, seed=1)
    assert found.smallest(target, "g[T.d]") == first


def test_a_size_that_is_too_small_for_the_model_reaches_nothing(groups):
    asked = {"params": BELIEF, "effect": "visit", "along": "subject", "seed": 1}
    assert mfx.power(GROUPS, groups, sizes=[12], **asked).smallest(0.06) >= 3
    with pytest.raises(mfx.SpecificationError, match=r"with 2 levels of 'subject'.*g\[T.d\]"):
        mfx.power(GROUPS, groups, sizes=[2, 12], **asked)


def test_power_grows_along_the_sizes_and_the_smallest_is_the_first_that_reaches(sleep):
    found = mfx.power(sleep, effect={"Days": 4.0}, along="Subject", sizes=[15, 30, 60], seed=1)
    frame = found.to_frame()
    assert frame["power"].is_monotonic_increasing
    n = int(found.smallest(0.9))
    around = mfx.power(sleep, effect={"Days": 4.0}, along="Subject", sizes=[n - 1, n], seed=1).to_frame()["power"]
    assert around.iloc[0] < 0.9 <= around.iloc[1]
    stretched = mfx.power(sleep, effect={"Days": 4.0}, along="effect", sizes=[0.5, 1, 2], seed=1)
    assert stretched.to_frame()["power"].is_monotonic_increasing
    assert 0.5 < stretched.smallest(0.7) < 2
    import matplotlib.pyplot as plt

    assert found.plot().get_xlabel() == "levels of Subject"
    plt.close("all")


SIX = {
    "paired": (
        {"subjects": 24, "within": {"c": ["a", "b"]}},
        "y ~ c + (1 | subject)",
        {"Intercept": 0, "c[T.b]": 0.5, "sd_Intercept|subject": 1.0, "sigma": 0.8},
        "c[T.b]",
    ),
    "slopes": (
        {"subjects": 24, "visits": 6},
        "y ~ visit + (visit | subject)",
        {"Intercept": 0, "visit": 0.4, "sd_Intercept|subject": 1.5, "sd_visit|subject": 0.6, "sigma": 0.6},
        "visit",
    ),
    "groups": (
        {"subjects": 24, "visits": 5, "between": {"g": 2}},
        "y ~ g + (1 | subject)",
        {"Intercept": 0, "g[T.g2]": 0.8, "sd_Intercept|subject": 0.8, "sigma": 1.0},
        "g[T.g2]",
    ),
    "split plot": (
        {"blocks": 8, "whole_plots": {"v": 2}, "within": {"n": ["p", "q", "r"]}},
        "y ~ v * n + (1 | block / plot)",
        {
            "Intercept": 0,
            "v[T.v2]": 1.5,
            "n[T.q]": 0,
            "n[T.r]": 0,
            "v[T.v2]:n[T.q]": 0,
            "v[T.v2]:n[T.r]": 0,
            "sd_Intercept|block": 1.5,
            "sd_Intercept|block:plot": 1.0,
            "sigma": 0.5,
        },
        "v[T.v2]",
    ),
    "clusters": (
        {"clusters": {"school": 12}, "subjects": 10, "between_clusters": {"m": ["old", "new"]}},
        "y ~ m + (1 | school)",
        {"Intercept": 0, "m[T.new]": 1.0, "sd_Intercept|school": 0.6, "sigma": 1.0},
        "m[T.new]",
    ),
    "interaction": (
        {"subjects": 24, "between": {"g": 2}, "within": {"c": ["a", "b"]}, "replicates": 3},
        "y ~ g * c + (c | subject)",
        {
            "Intercept": 0,
            "g[T.g2]": 0.2,
            "c[T.b]": 0.1,
            "g[T.g2]:c[T.b]": 1.0,
            "sd_Intercept|subject": 1.0,
            "sd_c[T.b]|subject": 1.0,
            "sigma": 0.6,
        },
        "g[T.g2]:c[T.b]",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SIX)
def test_the_formula_is_that_of_many_simulations(name):
    """Within .01 of 20 000 studies where no variance is near zero (the Monte Carlo error is at most .0035)."""
    arguments, formula, values, effect = SIX[name]
    plan = mfx.design(**arguments)
    formed = mfx.power(formula, plan, params=values, effect=effect, seed=1).to_frame()
    assert formed["method"].tolist() == ["analytic"]
    drawn = mfx.power(formula, plan, params=values, effect=effect, method="simulate", n_sim=20_000, seed=2).to_frame()
    assert drawn["failed"].iloc[0] == 0
    assert formed["power"].iloc[0] == pytest.approx(drawn["power"].iloc[0], abs=0.01)


def test_a_saved_design_of_other_tables_serves(sleep):
    plan = mfx.design(subjects=12, within={"c": ["a", "b"]})
    values = {"Intercept": 0.0, "c[T.b]": 0.5, "sd_Intercept|subject": 1.0, "sigma": 0.5}
    expected = mfx.power("y ~ c + (1 | subject)", plan, params=values, effect="c", seed=1).to_frame()
    columns = {name: plan[name].to_numpy(dtype=object) for name in plan}
    found = mfx.power("y ~ c + (1 | subject)", columns, params=values, effect="c", seed=1).to_frame()
    pd.testing.assert_frame_equal(found, expected)
