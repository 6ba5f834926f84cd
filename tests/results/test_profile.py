"""Profile intervals: ends where the likelihood-ratio test says so, open ends honest, laws."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize
from scipy.stats import norm

import mixedfx as mfx

Z = norm.ppf(0.975)


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
@pytest.mark.parametrize(
    ("formula", "name"),
    [("Reaction ~ Days + (Days | Subject)", "sleepstudy"), ("Yield ~ 1 + (1 | Batch)", "dyestuff2")],
)
def test_ends_reach_the_cutoff(formula, name):
    """At an end of sigma's interval, minus twice the log-likelihood has risen by z squared (refit at known sigma)."""
    data = mfx.load_dataset(name)
    fit = mfx.lmer(formula, data, reml=False)
    for end in mfx.profile(fit).conf_int(which="random").loc["sigma"]:
        held = mfx.lmer(formula, data, reml=False, sigma=end)
        assert held.deviance - fit.deviance == pytest.approx(Z**2, rel=1e-5)


def test_fixed_effects_by_offset():
    data = mfx.load_dataset("sleepstudy")
    fit = mfx.lmer("Reaction ~ Days + (1 | Subject)", data, reml=False)
    for end in mfx.profile(fit).conf_int(which="fixed").loc["Days"]:
        held = mfx.lmer("Reaction ~ 1 + (1 | Subject)", data, reml=False, offset=end * data.Days.to_numpy(float))
        assert held.deviance - fit.deviance == pytest.approx(Z**2, rel=1e-5)


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_open_ends():
    """A zero variance: the interval of its standard deviation begins at zero; free correlations reach one."""
    flat = mfx.profile(mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff2"))).conf_int()
    assert flat.loc["sd_Intercept|Batch", "lower"] == 0
    assert flat.loc["sd_Intercept|Batch", "upper"] == pytest.approx(2.084, abs=1e-3)
    data = mfx.load_dataset("orthodont")
    slopes = mfx.profile(mfx.lmer("distance ~ age * Sex + (I(age - 11) | Subject)", data)).conf_int(which="random")
    assert slopes.filter(like="cor_", axis=0).to_numpy().tolist() == [[-1.0, 1.0]]


def test_reml_and_ml_fits_have_one_profile():
    data = mfx.load_dataset("penicillin")
    formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"
    pair = [mfx.profile(mfx.lmer(formula, data, reml=reml)).conf_int() for reml in (True, False)]
    np.testing.assert_allclose(pair[0], pair[1], rtol=1e-5)


def test_curves_rise_through_zero_at_the_estimate():
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"), reml=False)
    curves = mfx.profile(fit).to_frame()
    for name, curve in curves.groupby("parameter"):
        assert (np.diff(curve.value) > 0).all(), name
        assert (np.diff(curve.zeta) > 0).all(), name
    at_zero = curves[curves.zeta == 0].set_index("parameter").value
    assert at_zero["Days"] == pytest.approx(fit.params["Days"])
    assert at_zero["sigma"] == pytest.approx(fit.sigma)


def test_what_cannot_be_profiled_is_said():
    data = mfx.load_dataset("sleepstudy")
    with pytest.raises(mfx.SpecificationError, match="which"):
        mfx.profile(mfx.lmer("Reaction ~ Days + (1 | Subject)", data)).conf_int(which="beta")
    with pytest.raises(TypeError, match="fitted"):
        mfx.profile("Reaction ~ Days")


SHAPES = ("(1 | a)", "(x | a)", "(x || a)", "(0 + x | a)", "(1 | a) + (1 | b)", "(x | a) + (1 | b)")


def _small_variances(seed):
    """Few groups and rows, variances small or none: most fits are singular."""
    rng = np.random.default_rng(seed)
    groups, n = int(rng.integers(4, 9)), int(rng.integers(20, 60))
    a, b, x = rng.integers(groups, size=n), rng.integers(5, size=n), rng.normal(size=n)
    sa, sx, sb = rng.choice([0.0, 0.4], size=3)
    y = 0.5 * x + (sa * rng.normal(size=groups))[a] + (sx * rng.normal(size=groups))[a] * x + sb * rng.normal(size=5)[b]
    return pd.DataFrame({"a": a.astype(str), "b": b.astype(str), "x": x, "y": y + rng.normal(size=n)})


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
@pytest.mark.parametrize("random", SHAPES)
def test_every_end_of_a_fixed_effect_is_where_the_deviance_has_risen_by_the_cutoff(random):
    """Fitted anew with the coefficient at the end, given as an offset: whatever variances are zero, there or here."""
    singular = 0
    for seed in range(6):
        data = _small_variances(seed)
        fit = mfx.lmer(f"y ~ x + {random}", data, reml=False)
        singular += fit.is_singular
        for end in mfx.profile(fit).conf_int(which="fixed").loc["x"]:
            held = mfx.lmer(f"y ~ 1 + {random}", data, reml=False, offset=end * data["x"].to_numpy())
            assert held.deviance - fit.deviance == pytest.approx(Z**2, rel=1e-4), (seed, end)
    assert singular >= 2


BCG = pd.DataFrame(
    {
        "yi": [-0.889311, -1.585387, -1.348073, -1.441551, -0.217547, -0.786116, -1.620898]
        + [0.011952, -0.469418, -1.371345, -0.339359, 0.445913, -0.017314],
        "vi": [0.325585, 0.194581, 0.415368, 0.020010, 0.051210, 0.006906, 0.223017]
        + [0.003962, 0.056434, 0.073025, 0.012412, 0.532506, 0.071405],
        "trial": [f"t{i:02d}" for i in range(13)],
    }
)  # log risk ratios of 13 trials of the BCG vaccine (Colditz et al. 1994, J. Am. Med. Assoc. 271, 698)


def _by_hand(tau2, mean=None):
    """Minus twice the log-likelihood of a random-effects meta-analysis, without constants."""
    weights = 1.0 / (BCG["vi"] + tau2)
    mean = np.average(BCG["yi"], weights=weights) if mean is None else mean
    return float(np.sum(weights * (BCG["yi"] - mean) ** 2 - np.log(weights)))


def test_meta_analysis_by_hand():
    """Known variances: the ends of tau, and of the mean, in both ways to write the model."""
    fit = mfx.lmer("yi ~ 1 + (1 | trial)", BCG, residual=mfx.KnownVariance("vi"))
    ends = mfx.profile(fit).conf_int()
    assert list(ends.index) == ["sd_Intercept|trial", "Intercept"]
    best = optimize.minimize_scalar(_by_hand, bounds=(0.0, 3.0), method="bounded", options={"xatol": 1e-10}).fun
    for tau in ends.loc["sd_Intercept|trial"]:
        assert _by_hand(tau**2) - best == pytest.approx(Z**2, rel=1e-5)
    for mean in ends.loc["Intercept"]:
        held = optimize.minimize_scalar(_by_hand, bounds=(0.0, 9.0), args=(mean,), method="bounded")
        assert held.fun - best == pytest.approx(Z**2, rel=1e-5)
    weighted = mfx.lmer("yi ~ 1 + (1 | trial)", BCG.assign(w=1.0 / BCG["vi"]), weights="w", sigma=1.0)
    np.testing.assert_allclose(mfx.profile(weighted).conf_int(), ends, rtol=1e-6)


STRUCTURES = {
    "AR1": (lambda: mfx.AR1("Days", group="Subject"), "Reaction ~ Days + (1 | Subject)"),
    "VarIdent": (lambda: mfx.VarIdent("late"), "Reaction ~ Days + (1 | Subject)"),
    "CompoundSymmetry": (lambda: mfx.CompoundSymmetry(group="Subject"), "Reaction ~ Days"),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_residual_structures(name):
    """Sigma by a refit with it known; the slope by a refit with an offset; the rest as wide as Wald's, nearly."""
    structure, formula = STRUCTURES[name][0](), STRUCTURES[name][1]
    data = mfx.load_dataset("sleepstudy").assign(late=lambda d: np.where(d["Days"] > 5, "yes", "no"))
    fit = mfx.lmer(formula, data, residual=structure, reml=False)
    ends, wald = mfx.profile(fit).conf_int(), fit.conf_int(which="all")
    assert list(ends.index) == list(wald.index)
    for end in ends.loc["sigma"]:
        held = mfx.lmer(formula, data, residual=structure, reml=False, sigma=end)
        assert held.deviance - fit.deviance == pytest.approx(Z**2, rel=1e-4)
    for end in ends.loc["Days"]:
        without = formula.replace("Days", "1", 1)
        held = mfx.lmer(without, data, residual=structure, reml=False, offset=end * data["Days"].to_numpy(float))
        assert held.deviance - fit.deviance == pytest.approx(Z**2, rel=1e-4)
    width = (ends["upper"] - ends["lower"]) / (wald["upper"] - wald["lower"])
    assert width.between(0.7, 1.5).all(), width


def test_a_correlation_at_one():
    """``ar1`` with rho at 1 is a random intercept: the same intervals."""
    rng = np.random.default_rng(2)
    g, x = np.repeat(np.arange(12), 9), rng.normal(size=108)
    data = {"y": x + rng.normal(size=12)[g] + rng.normal(size=108), "x": x, "g": g, "t": np.arange(108) % 9}
    with pytest.warns(mfx.SingularFitWarning):
        fit = mfx.lmer("y ~ x + ar1(0 + C(t) | g)", data)
    found = mfx.profile(fit).conf_int()
    twin = mfx.profile(mfx.lmer("y ~ x + (1 | g)", data)).conf_int()
    np.testing.assert_allclose(found.loc["sd_C(t)[0]|g"], twin.loc["sd_Intercept|g"], rtol=1e-4)
    for name in ("sigma", "Intercept", "x"):
        np.testing.assert_allclose(found.loc[name], twin.loc[name], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
@pytest.mark.parametrize("structure", ["cs", "toep", "ar1", "hetar1"])
def test_structured_covariances_at_the_boundary_end_in_limits_or_nan(structure):
    """No exception of NumPy and no warning of it, and limits on both sides of the estimate, where there are any."""
    for seed in range(2):
        rng = np.random.default_rng(seed)
        g, f, x = np.repeat(np.arange(12), 12), np.tile(np.repeat(list("abcd"), 3), 12), rng.normal(size=144)
        mean = 0.3 * x + 0.3 * seed * rng.normal(size=12)[g]
        data = pd.DataFrame({"g": g, "f": f, "x": x, "y": mean + rng.normal(size=144)})
        made = mfx.profile(mfx.lmer(f"y ~ x + {structure}(0 + f | g)", data))
        ends, estimates = made.conf_int(), pd.Series({n: held.estimate for n, held in made.profiles.items()})
        margin = 1e-6 * (1.0 + estimates.abs())
        assert not (ends["lower"] > estimates + margin).any()
        assert not (ends["upper"] < estimates - margin).any()
        assert ends.loc[["sigma", "Intercept", "x"]].notna().all(axis=None)
