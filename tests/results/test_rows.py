"""One rule for old and new rows: a row has one prediction, one interval and the same draws, whatever is beside it."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

import mixedfx as mfx

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")


@cache
def panel():
    rng = np.random.default_rng(11)
    m, k = 16, 8
    g, t = np.repeat(np.arange(m), k), np.tile(np.arange(k), m)
    data = pd.DataFrame({"g": [f"g{i:02d}" for i in g], "t": t, "x": rng.standard_normal(m * k)})
    data["f"], data["w"] = rng.choice(["a", "b", "c"], m * k), rng.uniform(0.5, 4.0, m * k)
    data["n"], data["e"] = rng.integers(3, 12, m * k), rng.uniform(1.0, 5.0, m * k)
    data["v"] = rng.uniform(0.2, 2.0, m * k)
    data["eta"] = 0.4 * data.x + 0.7 * rng.standard_normal(m)[g] + 0.4 * rng.standard_normal(m)[g] * data.x
    data["y"] = data.eta + rng.standard_normal(m * k) * np.sqrt(data.v)
    data["count"] = rng.poisson(data.e * np.exp(data.eta))
    data["count"] *= rng.uniform(size=m * k) > 0.15
    data["hits"] = rng.binomial(data.n, special.expit(data.eta))
    data["misses"], data["share"] = data.n - data.hits, data.hits / data.n
    data["size"] = rng.gamma(3.0, np.exp(data.eta) / 3.0)
    data["part"] = np.clip(rng.beta(4 * special.expit(data.eta), 4 * special.expit(-data.eta)), 1e-3, 1 - 1e-3)
    data["grade"] = pd.Categorical(pd.cut(data.eta + rng.logistic(size=m * k), [-np.inf, -1, 1, np.inf], labels=False))
    return data


STRUCTURES = {
    "none": {},
    "VarIdent": {"residual": mfx.VarIdent("f")},
    "VarPower": {"residual": mfx.VarPower("e")},
    "VarExp": {"residual": mfx.VarExp("x", group="f")},
    "KnownVariance": {"residual": mfx.KnownVariance("v")},
    "AR1": {"residual": mfx.AR1("t", group="g")},
    "CompoundSymmetry": {"residual": mfx.CompoundSymmetry(group="g:f")},
    "Unstructured": {"residual": mfx.Unstructured("f4", group="g4"), "formula": "y ~ x"},
    "product": {"residual": mfx.VarIdent("f") * mfx.AR1("t", group="g")},
    "weights": {"weights": "w"},
    "offset": {"offset": "e"},
}


@cache
def linear(name):
    options = dict(STRUCTURES[name])
    formula = options.pop("formula", "y ~ f + x + (x | g)")
    data = panel().assign(f4=panel().t % 4, g4=panel().g + (panel().t // 4).astype(str))
    return mfx.lmer(formula, data, **options), data


GENERALIZED = {
    "binomial, cbind": ("cbind(hits, misses) ~ f + (x | g)", {"family": "binomial"}),
    "binomial, weights": ("share ~ f + x + (1 | g)", {"family": "binomial", "weights": "n"}),
    "poisson, offset": ("count ~ x + offset(log(e)) + (x | g)", {"family": "poisson"}),
    "poisson, offset column": ("count ~ x + (1 | g)", {"family": "poisson", "offset": "e"}),
    "nbinom2, zero part": ("count ~ x + (1 | g)", {"family": "nbinom2", "zero_inflation": "~ f"}),
    "hurdle": ("count ~ x + (1 | g)", {"family": "hurdle_poisson", "zero_inflation": "~ x"}),
    "gamma, weights": ("size ~ x + (1 | g)", {"family": "gamma", "link": "log", "weights": "w"}),
    "gaussian, dispersion": ("y ~ x + (1 | g)", {"family": "gaussian", "dispersion": "~ f"}),
    "beta": ("part ~ x + (1 | g)", {"family": "beta"}),
    "ordinal": ("grade ~ x + (1 | g)", {"family": "ordinal"}),
}


@cache
def generalized(name):
    formula, options = GENERALIZED[name]
    return mfx.glmer(formula, panel(), **options), panel()


def fits():
    return [*((linear, name) for name in STRUCTURES), *((generalized, name) for name in GENERALIZED)]


@pytest.mark.parametrize("kind, name", fits(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_row_has_one_prediction_and_one_interval(kind, name):
    fit, data = kind(name)
    some = data.sample(9, random_state=3)
    for random in (True, False):
        old = fit.get_prediction(random=random).summary_frame().to_frame()
        assert not old.isna().any(axis=None)
        for rows in (data, some):
            new = fit.get_prediction(rows, random=random).summary_frame().to_frame()
            np.testing.assert_allclose(new, old.loc[rows.index], rtol=1e-8, atol=1e-10)
            np.testing.assert_allclose(fit.predict(rows, random=random), new["mean"], rtol=1e-12)
    np.testing.assert_allclose(fit.simulate(2, seed=5, data=data), fit.simulate(2, seed=5), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", GENERALIZED)
def test_the_mean_is_that_of_the_responses_drawn(name):
    fit, data = generalized(name)
    for rows in (None, data.sample(40, random_state=1)):
        drawn = fit.simulate(3000, seed=8, random="fitted", data=rows).to_numpy()
        error = drawn.std(axis=1) / np.sqrt(3000)
        gap = np.abs(drawn.mean(axis=1) - fit.predict(rows).to_numpy())
        assert (gap <= 5.0 * error + 1e-12).all()


@pytest.mark.parametrize("kind, name", fits(), ids=lambda value: value if isinstance(value, str) else "")
def test_saved_fits_predict_alike(kind, name, tmp_path):
    fit, data = kind(name)
    fit.save(tmp_path / "fit.mfx")
    again = mfx.load(tmp_path / "fit.mfx")
    some = data.sample(5, random_state=2)
    for rows in (None, some):
        expected = fit.get_prediction(rows).summary_frame()
        np.testing.assert_allclose(again.get_prediction(rows).summary_frame(), expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(again.simulate(2, seed=1, data=rows), fit.simulate(2, seed=1, data=rows), rtol=1e-9)
    np.testing.assert_allclose(again.cov_joint(), fit.cov_joint(), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(again.L.toarray(), fit.L.toarray(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind, name", fits(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_new_group_is_the_average_group(kind, name):
    fit, data = kind(name)
    new = data.head(4).assign(g="new")
    population = fit.get_prediction(new, new_levels="population")
    average = fit.get_prediction(new, random=False)
    np.testing.assert_allclose(population.summary_frame(), average.summary_frame(), rtol=1e-10)
    effect = [found.summary_frame(which="effect") for found in (population, average)]
    np.testing.assert_allclose(*effect, rtol=1e-10)
    mean, wide = average.conf_int(), effect[0]
    assert (wide["effect_ci_lower"] <= mean["lower"] + 1e-12).all() or linear is kind  # t and normal quantiles differ
    assert (wide["effect_ci_upper"] - wide["effect_ci_lower"] > 0).all()


def test_variances_of_an_observation_are_sums():
    fit, data = linear("KnownVariance")
    new = data.head(5).assign(g="new", v=[0.1, 0.5, 1.0, 2.0, 7.0])
    found = fit.get_prediction(new, new_levels="population")
    z = np.column_stack([np.ones(5), new.x])
    between = np.einsum("ia,ab,ib->i", z, fit.varcorr.covariances["g"].to_numpy(), z)
    limits = found.conf_int(obs=True)
    half = stats.norm.ppf(0.975) * np.sqrt(found.se_mean**2 + between + new.v)
    np.testing.assert_allclose(0.5 * (limits["upper"] - limits["lower"]), half, rtol=1e-10)
    np.testing.assert_allclose(found.se_effect**2, found.se_mean**2 + between, rtol=1e-10)


def test_the_true_effect_of_a_new_study_is_that_of_metafor():
    # metafor 3.8, R 4.2: predict(rma(yi, vi, data = dat.bcg transformed by escalc)): pi.lb -1.9410, pi.ub 0.4508
    yi = [-0.9387, -1.6662, -1.3863, -1.4564, -0.2191, -0.9581, -1.6338, 0.0120, -0.4717, -1.4012, -0.3408, 0.4466]
    vi = [0.3571, 0.2081, 0.4334, 0.0203, 0.0520, 0.0099, 0.2270, 0.0040, 0.0570, 0.0754, 0.0125, 0.5342]
    data = pd.DataFrame({"trial": range(13), "yi": [*yi, -0.0173], "vi": [*vi, 0.0716]})
    fit = mfx.lmer("yi ~ 1 + (1 | trial)", data, residual=mfx.KnownVariance("vi"))
    found = fit.get_prediction({"trial": [99]}, new_levels="population")
    np.testing.assert_allclose(found.conf_int(which="effect").iloc[0], [-1.9410, 0.4508], atol=2e-3)
    assert found.conf_int(obs=True).isna().all(axis=None)  # its sampling variance is not known
    assert "vi" in found.summary_frame().notes[0]


def test_an_observation_of_a_model_without_random_effects_has_its_t_distribution():
    data = panel().assign(f=np.where(panel().f == "a", "a", "b"))
    fit = mfx.lmer("y ~ x", data, residual=mfx.VarIdent("f"))
    found = fit.get_prediction(data.head(2))
    limits, df = found.conf_int(obs=True), found.df
    half = stats.t.ppf(0.975, df) * np.sqrt(found.se_mean**2 + fit.residual_variances[:2])
    np.testing.assert_allclose(0.5 * (limits["upper"] - limits["lower"]), half, rtol=1e-10)


def test_unknown_levels_of_a_residual_variance_are_nan_and_said():
    data = panel()
    fit = mfx.lmer("y ~ x + (1 | g)", data, residual=mfx.VarIdent("f"))
    found = fit.get_prediction(data.head(2).assign(f=["a", "zzz"]))
    assert found.conf_int(obs=True).isna().all(axis=1).tolist() == [False, True]
    assert not found.conf_int().isna().any(axis=None)
    assert "1 row(s) have levels of 'f'" in found.summary_frame().notes[0]


def test_the_average_group_needs_no_column_of_the_random_effects():
    fit = mfx.lmer("y ~ f + (x | g)", panel())
    found = fit.get_prediction({"f": ["a", "b"]}, random=False)
    np.testing.assert_allclose(found.predicted_mean, fit.params["Intercept"] + np.array([0, fit.params["f[T.b]"]]))
    assert not found.conf_int().isna().any(axis=None)
    assert found.conf_int(obs=True).isna().all(axis=None)
    assert "'x'" in found.summary_frame().notes[0]


def test_relatives_vary_as_their_known_covariance_says():
    matrix = 0.3 + np.diag(np.linspace(0.5, 3.0, 16))
    names = sorted(panel().g.unique())
    K = pd.DataFrame(matrix, index=names, columns=names)
    for family in (None, "poisson"):
        formula, options = f"{'y' if family is None else 'count'} ~ x + known(1 | g, K)", {"functions": {"K": K}}
        if family is None:
            fit = mfx.lmer(formula, panel(), **options)
        else:
            fit = mfx.glmer(formula, panel(), family=family, **options)
        variance = fit.varcorr.covariances["g"].iloc[0, 0]
        found = fit.get_prediction(panel(), random=False)
        own = found.var_effect if family is None else found.effects.variance
        places = [names.index(g) for g in panel().g]
        np.testing.assert_allclose(own, variance * np.diag(matrix)[places], rtol=1e-9)
        if family is None:
            drawn = fit.simulate(4000, seed=2).var(axis=1)
            np.testing.assert_allclose(drawn, own + fit.scale, rtol=0.12)


# ---------------------------------------------------------------- cells without data
@pytest.mark.parametrize("levels", [["p", "q", "r"], ["r", "p", "q"], ["q", "r", "p"]])
@pytest.mark.parametrize("glm", [False, True])
@pytest.mark.filterwarnings("ignore::mixedfx.RankDeficientWarning")
def test_empty_cells_have_no_prediction_whatever_the_order_of_levels(levels, glm):
    data = panel().assign(a=np.where(panel().t % 2, "a1", "a2"), b=np.resize(["p", "q", "r"], 128))
    data = data[~((data.a == "a1") & (data.b == "r"))].assign(b=lambda d: pd.Categorical(d.b, levels))
    fit = mfx.lmer("y ~ a * b + (1 | g)", data)
    if glm:
        fit = mfx.glmer("count ~ a * b + (1 | g)", data, family="poisson")
    new = pd.DataFrame({"a": ["a1", "a1", "a2"], "b": ["r", "q", "r"], "g": "g03"})
    with pytest.warns(mfx.RankDeficientWarning, match="1 row is not estimable"):
        found = fit.predict(new)
    assert found.isna().tolist() == [True, False, False]
    table = fit.get_prediction(new).summary_frame()
    assert table.isna().all(axis=1).tolist() == [True, False, False]
    assert "empty cells" in table.notes[0]
    assert fit.simulate(3, seed=1, data=new).isna().all(axis=1).tolist() == [True, False, False]
    plain = mfx.emmeans(fit, ["a", "b"]).to_frame()["mean"].notna().sum()
    assert plain == 5


# ---------------------------------------------------------------- which random effects
def test_parts_of_a_term():
    fit, data = generalized("poisson, offset")
    modes = fit.random_effects["g"].loc[data.g]
    eta = fit.predict(random=False, which="linear").to_numpy()
    for spelled, own in {
        "(1 | g)": modes["Intercept"].to_numpy(),
        "(0 + x | g)": modes["x"].to_numpy() * data.x.to_numpy(),
        "~ (1 + x | g)": modes["Intercept"].to_numpy() + modes["x"].to_numpy() * data.x.to_numpy(),
    }.items():
        np.testing.assert_allclose(fit.predict(random=spelled, which="linear"), eta + own, rtol=1e-10)
        np.testing.assert_allclose(fit.predict(data, random=[spelled], which="linear"), eta + own, rtol=1e-10)
    whole = fit.get_prediction(random="g").se_linear
    np.testing.assert_allclose(fit.get_prediction(random="(x | g)").se_linear, whole, rtol=1e-12)


@pytest.mark.parametrize("call", ["predict", "get_prediction"])
@pytest.mark.parametrize("random", [None, "h", "(1 | h)", "(f | g)", "x", "(("])
def test_unknown_random_terms_are_refused(call, random):
    for fit in (linear("none")[0], generalized("poisson, offset")[0]):
        with pytest.raises(mfx.SpecificationError, match="random="):
            getattr(fit, call)(random=random)


def test_the_marginal_mean_is_the_mean_over_groups():
    fit, data = generalized("binomial, cbind")
    row = data.head(1)
    eta = float(fit.predict(row, random=False, which="linear").iloc[0])
    z = np.array([1.0, row.x.iloc[0]])
    sd = float(np.sqrt(z @ fit.varcorr.covariances["g"].to_numpy() @ z))
    expected = integrate.quad(lambda e: special.expit(eta + sd * e) * stats.norm.pdf(e), -9, 9)[0]
    np.testing.assert_allclose(fit.predict(row, which="marginal"), expected, rtol=1e-6)
    np.testing.assert_allclose(fit.predict(which="marginal").iloc[0], expected, rtol=1e-6)
    lmm = linear("none")[0]
    np.testing.assert_array_equal(lmm.predict(which="marginal"), lmm.predict(random=False))


# ---------------------------------------------------------------- weights, offsets
@pytest.mark.parametrize("kind, name", [(linear, "weights"), (generalized, "gamma, weights")])
def test_weights_of_new_rows(kind, name):
    fit, data = kind(name)
    for wrong in (-1.0, 0.0, np.nan, np.inf):
        with pytest.raises(mfx.DataError, match="positive"):
            fit.get_prediction(data, weights=np.full(len(data), wrong))
        with pytest.raises(mfx.DataError, match="positive"):
            fit.simulate(1, data=data, weights=np.full(len(data), wrong))
    for call in (fit.get_prediction, fit.simulate):
        with pytest.raises(mfx.SpecificationError, match="give data"):
            call(weights="w")
    without = fit.get_prediction(data.drop(columns="w"))
    assert "weight 1" in without.summary_frame().notes[0]
    ones = fit.get_prediction(data, weights=np.ones(len(data)))
    np.testing.assert_allclose(without.summary_frame(), ones.summary_frame())


def test_trials_are_whole_numbers():
    fit, data = generalized("binomial, cbind")
    for wrong in (2.5, 0, -1, np.nan):
        with pytest.raises(mfx.DataError, match="whole"):
            fit.get_prediction(data, weights=np.full(len(data), wrong))
    without = fit.get_prediction(data.drop(columns=["hits", "misses"]))
    assert without.conf_int(obs=True).isna().all(axis=None)
    assert "trials" in without.summary_frame().notes[0]


def test_an_offset_is_that_of_new_rows():
    for fit in (linear("offset")[0], generalized("poisson, offset column")[0]):
        for call in (fit.predict, fit.get_prediction, fit.simulate):
            with pytest.raises(mfx.SpecificationError, match="give data"):
                call(offset="e")


# ---------------------------------------------------------------- shown
@pytest.mark.parametrize("kind, name", [(linear, "none"), (generalized, "beta")])
def test_a_prediction_is_shown_on_one_screen(kind, name):
    shown = kind(name)[0].get_prediction()
    assert len(repr(shown).splitlines()) < 30
    assert "of 128 rows" in repr(shown)
    assert shown._repr_html_().count("<tr") < 30
