"""Gelman's analysis of variance: independent numbers, the identity of both deviations, simulated intervals."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, ncf

import mixedfx as mfx
from tests.analysis_of_variance.classical import NUMBERS

FOLDER = Path(__file__).parents[3] / "shared" / "reference" / "hierarchical"
pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
QUANTILES = ["finite_lower", "finite_q25", "finite_q75", "finite_upper"]
DRAWS = 300_000


def compare(table, theirs):
    for group, wanted in theirs["finite"].items():
        row = table.loc[group]
        assert (row["n"], row["df"]) == (wanted["J"], wanted["df"])
        assert row["super"] == pytest.approx(theirs["superpop_sd"][group], rel=1e-6, abs=1e-5)
        if theirs["superpop_sd"][group] == 0.0:
            assert row["finite"] == pytest.approx(0.0, abs=1e-5)
            continue
        assert row["finite"] == pytest.approx(wanted["rms_finite_pop_sd"], rel=1e-6)
        quantiles = np.delete(wanted["mc_quantiles_s_2p5_25_50_75_97p5"], 2)
        np.testing.assert_allclose(row[QUANTILES].astype(float), quantiles, rtol=5e-3)


def test_latin_square():
    theirs = NUMBERS["batches"]["millet"]
    fit = mfx.lmer(theirs["formula"], mfx.load_dataset("millet"))
    compare(mfx.batches(fit, draws=DRAWS, seed=1).table, theirs)


@pytest.mark.parametrize("case, file", [("pilots", "pilots_cells.csv"), ("radon_M0", "radon_mn.csv")])
def test_numbers_of_other_folders(case, file):
    if not FOLDER.exists():
        pytest.skip("the reference folder is not beside the project")
    theirs = json.loads((FOLDER / "gelman_sds_results.json").read_text())[case]
    fit = mfx.lmer(theirs["formula"], pd.read_csv(FOLDER / "data" / file))
    compare(mfx.batches(fit, draws=20_000 if case == "radon_M0" else DRAWS, seed=2).table, theirs)


@pytest.mark.parametrize(
    "formula, data",
    [
        ("Yield ~ 1 + (1 | Batch)", "dyestuff"),
        ("diameter ~ 1 + (1 | plate) + (1 | sample)", "penicillin"),
        ("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
        ("y ~ recipe * temp + (1 | replicate)", "cake"),
    ],
)
def test_finite_and_population_deviations_agree_at_the_reml_estimate(formula, data):
    """E(s^2 | y) is the estimated variance where the indicator columns of a batch sum into the span of X."""
    frame = mfx.load_dataset(data)
    frame = frame.rename(columns={"angle": "y"})
    table = mfx.batches(mfx.lmer(formula, frame), draws=10).table
    random = table[table["kind"] == "random"]
    np.testing.assert_allclose(random["finite"], random["super"], rtol=1e-6)


def test_deviation_of_predictions_is_too_small():
    """The spread of conditional modes is not that of the effects (radon: 0.21 against 0.31)."""
    fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"))
    modes = fit.random_effects["Batch"]["Intercept"]
    assert modes.std() < mfx.batches(fit, draws=10).table.loc["Batch", "finite"]


def test_fixed_batches_are_moment_estimates_with_noncentral_limits():
    """By hand for machines: s^2 = sum of squared effects / 2 less MS(interaction) / 18."""
    data = mfx.load_dataset("machines")
    row = mfx.batches(mfx.lmer("score ~ Machine + (1 | Worker/Machine)", data), draws=10).table.loc["Machine"]
    means = data.groupby("Machine", observed=True)["score"].mean()
    wanted = float(np.sum((means - means.mean()) ** 2)) / 2 - 42.653 / 18
    assert row["finite"] == pytest.approx(np.sqrt(wanted), rel=1e-6)
    nc = 2 * row[["finite_lower", "finite_upper"]].astype(float) ** 2 / (42.653 / 18)
    np.testing.assert_allclose(ncf.cdf(20.5760829640744, 2, 10, nc), [0.975, 0.025], atol=1e-4)
    assert np.isnan(row["super"])


def test_an_effect_below_chance_is_zero():
    oats = mfx.load_dataset("oats").astype({"nitro": "category"})
    table = mfx.batches(mfx.lmer("yield ~ Variety * nitro + (1 | Block/Variety)", oats), draws=10).table
    assert table.loc["Variety:nitro", "finite"] == 0.0
    assert table.loc["Variety:nitro", "finite_lower"] == 0.0
    assert (table.loc["Variety:nitro", "n"], table.loc["Variety:nitro", "df"]) == (12, 6)


def test_residuals_and_degrees_of_freedom_are_those_of_least_squares():
    table = mfx.batches(mfx.lmer("ca ~ 1 + (1 | plant/leaf)", mfx.load_dataset("turnip")), draws=10).table
    assert table["df"].tolist() == [3, 8, 12]
    assert table.loc["Residual", "finite"] ** 2 == pytest.approx(0.00665416666666671)


def test_population_limits_are_chi_squared_when_the_effects_are_known():
    """Many rows a group: the limits are those of a sample of J normal effects."""
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(20), 400)
    y = 3.0 * rng.standard_normal(20)[g] + 0.1 * rng.standard_normal(g.size)
    row = mfx.batches(mfx.lmer("y ~ 1 + (1 | g)", {"y": y, "g": g.astype(str)}), draws=10).table.loc["g"]
    wanted = row["super"] * np.sqrt(19 / chi2.ppf([0.975, 0.025], 19))
    np.testing.assert_allclose(row[["super_lower", "super_upper"]].astype(float), wanted, rtol=1e-3)


def test_profiled_limits_exist_for_vanishing_variances():
    fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff2"))
    table = mfx.batches(fit, draws=10, population="profile").table
    limits = mfx.profile(fit).conf_int()
    assert table.loc["Batch", "super"] == 0.0
    assert table.loc["Batch", "super_upper"] == pytest.approx(limits.loc["sd_Intercept|Batch", "upper"])
    assert table.loc["Residual", "super_lower"] == pytest.approx(limits.loc["sigma", "lower"])
    assert np.isnan(mfx.batches(fit, draws=10).table.loc["Batch", "super_upper"])
    assert "population='profile'" in str(mfx.batches(fit, draws=10))
    with pytest.raises(mfx.SpecificationError, match="'chi2' or 'profile'"):
        mfx.batches(fit, population="wald")


def test_equal_weights_change_nothing():
    data = mfx.load_dataset("dyestuff")
    weighted = mfx.batches(mfx.lmer("Yield ~ 1 + (1 | Batch)", data.assign(w=2.0), weights="w"), draws=10).table
    plain = mfx.batches(mfx.lmer("Yield ~ 1 + (1 | Batch)", data), draws=10).table
    assert weighted.loc["Batch", "finite"] == pytest.approx(plain.loc["Batch", "finite"], rel=1e-6)


def test_the_seed_decides():
    fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"))
    first, again, other = (mfx.batches(fit, draws=500, seed=seed).to_frame() for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_picture_has_a_dot_a_batch():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    made = mfx.batches(mfx.lmer("ca ~ 1 + (1 | plant/leaf)", mfx.load_dataset("turnip")), draws=100)
    for kind in ("finite", "super"):
        axes = made.plot(kind=kind)
        assert [label.get_text() for label in axes.get_yticklabels()] == [
            "plant (3)",
            "plant:leaf (8)",
            "Residual (12)",
        ]
        dots = next(line for line in axes.lines if line.get_label() == kind)
        np.testing.assert_allclose(dots.get_xdata(), made.table[kind])
        assert axes.get_xlim()[1] < 5 * made.table[kind].max()
        matplotlib.pyplot.close(axes.figure)
    with pytest.raises(mfx.SpecificationError, match="'finite' or 'super'"):
        made.plot(kind="sample")


def test_mistakes_are_named():
    data = mfx.load_dataset("orthodont")
    with pytest.raises(TypeError, match="linear mixed models"):
        mfx.batches("y ~ x")
    with pytest.raises(mfx.SpecificationError, match="independent"):
        mfx.batches(mfx.lmer("distance ~ age + (1 | Subject)", data, residual=mfx.VarIdent("Sex")))
    with pytest.raises(mfx.SpecificationError, match="alpha"):
        mfx.batches(mfx.lmer("distance ~ age + (1 | Subject)", data), alpha=2)
