"""After a fit whose crossed equations were solved by iteration: what is asked of it, beside an exact fit."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx import plots
from mixedfx.diagnostics import page
from mixedfx.fitting import errors, without
from mixedfx.inference.likelihood_ratio import likelihood_ratio
from mixedfx.linalg.row_variances import known_variances
from mixedfx.plots import diagnostics as pictures
from mixedfx.plots import engine, look
from tests.calls import shown

FORMULA = "y ~ x + f + (1 | u) + (1 | i)"
ITERATIVE = mfx.Control(remainder="iterative", probes=64)


def ratings(n: int = 900, users: int = 60, items: int = 40, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    u, i = rng.integers(0, users, n), rng.integers(0, items, n)
    x, f = rng.normal(size=n), rng.choice(list("abc"), n)
    eta = 0.5 + 0.3 * x + 0.3 * (f == "b") + 0.6 * rng.normal(size=users)[u] + 0.5 * rng.normal(size=items)[i]
    return pd.DataFrame({"y": eta + rng.normal(size=n), "x": x, "f": f, "u": u, "i": i})


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return ratings()


@pytest.fixture(scope="module")
def fit(data: pd.DataFrame) -> Any:
    return mfx.lmer(FORMULA, data, control=ITERATIVE)


@pytest.fixture(scope="module")
def exact(data: pd.DataFrame, fit: Any) -> Any:
    """The exact fit at the estimate of the iterative one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.ConvergenceWarning)  # no step was taken
        return mfx.lmer(FORMULA, data, control=mfx.Control(start=fit.theta.to_numpy(), max_iter=0))


def numbers(value: Any) -> np.ndarray:
    """All numbers of a result: a table, a series, a dict of tables, or what is shown."""
    if isinstance(value, dict):
        return np.concatenate([numbers(part) for part in value.values()])
    value = value.to_frame() if hasattr(value, "to_frame") and not isinstance(value, pd.Series) else value
    if isinstance(value, pd.DataFrame):
        return value.select_dtypes("number").to_numpy(dtype=float).ravel()
    if isinstance(value, pd.Series | np.ndarray | float | int):
        return np.atleast_1d(np.asarray(value, dtype=float)).ravel()
    return np.array(re.findall(r"-?\d+\.\d+", shown(value)), dtype=float)


EXACT: dict[str, Callable[[Any], Any]] = {
    "params": lambda fit: fit.params,
    "bse": lambda fit: fit.bse,
    "cov_params": lambda fit: fit.cov_params(),
    "varcorr": lambda fit: fit.varcorr.to_frame(),
    "random_effects": lambda fit: fit.random_effects,
    "coefficients": lambda fit: fit.coefficients,
    "fittedvalues": lambda fit: fit.fittedvalues,
    "pearson residuals": lambda fit: fit.residuals("pearson"),
    "marginal residuals": lambda fit: fit.residuals("marginal"),
    "predict": lambda fit: fit.predict(ratings(20, seed=5)),
    "predicted without": lambda fit: fit.predict(random="u"),
    "errors of predictions": lambda fit: fit.get_prediction(ratings(20, seed=5)).summary_frame(),
    "errors of fitted values": lambda fit: fit.get_prediction().se_mean,
    "a new level": lambda fit: fit.get_prediction(ratings(5).assign(u=10**6), new_levels="population").summary_frame(),
    "simulate": lambda fit: fit.simulate(2, seed=1),
    "simulated from the modes": lambda fit: fit.simulate(2, seed=1, random="fitted"),
    "cov_joint": lambda fit: fit.cov_joint(),
    "z tests": lambda fit: mfx.anova(fit, ddf="z"),
    "residual degrees of freedom": lambda fit: mfx.anova(fit, ddf="residual"),
    "icc": mfx.icc,
    "r2": mfx.r2,
    "vif": mfx.vif,
    "augment": mfx.augment,
}
"""What solves alone say: as exact as the last solve."""

ESTIMATED: dict[str, tuple[Callable[[Any], Any], float]] = {
    "satterthwaite": (lambda fit: fit.df, 0.01),
    "anova": (lambda fit: mfx.anova(fit).to_frame()["den_df"], 0.01),
    "type 2": (lambda fit: mfx.anova(fit, type=2).to_frame()["den_df"], 0.01),
    "kenward-roger": (lambda fit: mfx.anova(fit, ddf="kenward-roger").to_frame()["den_df"], 0.01),
    "emmeans": (lambda fit: mfx.emmeans(fit, "f"), 0.01),
    "pairs": (lambda fit: mfx.emmeans(fit, "f").contrast("pairwise").to_frame()[["estimate", "se"]], 0.01),
    "trends": (lambda fit: mfx.trends(fit, "x"), 0.01),
    "limits of variances": (lambda fit: fit.conf_int(which="random"), 0.02),
    "errors of variances": (lambda fit: fit.bse_re, 0.02),
    "aic": (lambda fit: fit.aic, 1e-4),
    "dropped": (lambda fit: mfx.ranova(fit).to_frame()["lrt"].iloc[1:], 1e-3),
    "conditional AIC": (mfx.conditional_aic, 0.002),
    "sds of random effects": (lambda fit: fit.random_effects_sd, 0.06),
    "covariances of random effects": (lambda fit: fit.random_effects_cov, 0.12),
    "leverages": (lambda fit: mfx.leverage(fit), 0.12),
}
"""What probes estimate, and how near it must be, relatively, with 64 of them."""


@pytest.mark.parametrize("name", list(EXACT))
def test_what_is_solved_is_exact(name: str, fit: Any, exact: Any) -> None:
    mine, theirs = numbers(EXACT[name](fit)), numbers(EXACT[name](exact))
    np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", list(ESTIMATED))
def test_what_is_sampled_is_near(name: str, fit: Any, exact: Any) -> None:
    call, tolerance = ESTIMATED[name]
    np.testing.assert_allclose(numbers(call(fit)), numbers(call(exact)), rtol=tolerance, atol=1e-6)


@pytest.fixture(scope="module")
def loaded(fit: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("saved") / "fit.mfx"
    fit.save(path)
    return mfx.load(path)


@pytest.mark.parametrize("name", ["params", "errors of predictions", "simulate", "random_effects"])
def test_a_file_keeps_what_is_solved(name: str, fit: Any, loaded: Any) -> None:
    np.testing.assert_allclose(numbers(EXACT[name](loaded)), numbers(EXACT[name](fit)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", list(ESTIMATED))
def test_a_file_keeps_the_probes(name: str, fit: Any, loaded: Any) -> None:
    call, _ = ESTIMATED[name]
    np.testing.assert_allclose(numbers(call(loaded)), numbers(call(fit)), rtol=1e-7, atol=1e-9)


def test_a_file_keeps_the_verdict_and_the_errors(fit: Any, loaded: Any) -> None:
    assert str(loaded.certificate) == str(fit.certificate)
    assert loaded.certificate.llf_error == pytest.approx(fit.certificate.llf_error, rel=1e-7)


def test_a_file_keeps_that_a_fit_was_exact(data: pd.DataFrame, tmp_path: Any) -> None:
    mfx.lmer(FORMULA, data, control=mfx.Control(remainder="exact")).save(tmp_path / "fit.mfx")
    loaded = mfx.load(tmp_path / "fit.mfx")
    assert loaded.solution.problem.most_exact == np.inf
    assert loaded.certificate.sampling is None


def test_a_pickle_is_the_fit(fit: Any) -> None:
    again = pickle.loads(pickle.dumps(fit))
    assert again.llf == fit.llf
    pd.testing.assert_series_equal(again.df, fit.df)


def test_a_refit_has_the_probes_of_the_fit(fit: Any, data: pd.DataFrame) -> None:
    again = fit.refit(data["y"])
    assert again.solution.problem.solver.probes == 64
    np.testing.assert_allclose(again.theta, fit.theta, rtol=1e-6)


def test_many_refits_are_those_one_by_one(fit: Any) -> None:
    Y = fit.simulate(2, seed=2)
    many = fit.refit_many(Y)
    again = fit.refit(Y[1])
    np.testing.assert_allclose(many.params.iloc[1], again.params, rtol=1e-6)


# ---------------------------------------------------------------- likelihood ratios
def without_f(fit: Any, data: pd.DataFrame) -> Any:
    return mfx.lmer("y ~ x + (1 | u) + (1 | i)", data, control=fit.asked["control"])


def test_likelihood_ratios_take_the_same_probes(fit: Any, data: pd.DataFrame) -> None:
    table = mfx.anova(without_f(fit, data), fit).to_frame()
    other = mfx.anova(mfx.lmer("y ~ x + (1 | u) + (1 | i)", data), mfx.lmer(FORMULA, data)).to_frame()
    error = table["chi2_error"].iloc[1]
    assert 0 < error < 0.1 * fit.certificate.llf_error
    assert abs(table["chi2"].iloc[1] - other["chi2"].iloc[1]) < 4 * error + 1e-4
    assert "chi2_error" not in other


def test_exact_fits_have_no_error_of_a_ratio(data: pd.DataFrame) -> None:
    table = mfx.ranova(mfx.lmer(FORMULA, data)).to_frame()
    assert "lrt_error" not in table


def test_a_dropped_factor_leaves_an_exact_model(fit: Any, data: pd.DataFrame) -> None:
    table = mfx.ranova(fit).to_frame()
    other = mfx.ranova(mfx.lmer(FORMULA, data)).to_frame()
    errors = table["lrt_error"].iloc[1:]
    assert (errors > 0).all()
    assert ((table["lrt"] - other["lrt"]).abs().iloc[1:] < 4 * errors + 1e-4).all()


def test_a_ratio_next_to_its_critical_value_is_no_test() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(size=16)
    clear = likelihood_ratio((-100.0, -100.0 + noise), (-110.0, -110.0 + noise + 0.01 * rng.normal(size=16)))
    near = likelihood_ratio((-100.0, -100.0 + noise), (-102.0, -102.0 + rng.normal(size=16)))
    assert clear.is_clear(1)
    assert not clear.doubt(1)
    assert not near.is_clear(1)
    assert near.wanted(1) > 16
    assert "probes" in near.doubt(1)


def test_the_error_of_a_ratio_is_that_of_the_differences() -> None:
    rng = np.random.default_rng(2)
    ratios = []
    for _ in range(400):
        noise = rng.normal(size=8)
        ratios.append(likelihood_ratio((0.0, noise + 0.1 * rng.normal(size=8)), (0.0, noise)))
    spread, stated = np.std([one.value for one in ratios]), np.sqrt(np.mean([one.error**2 for one in ratios]))
    assert stated / spread == pytest.approx(1.0, abs=0.15)


def test_models_side_by_side_say_the_error_of_their_difference(fit: Any, data: pd.DataFrame) -> None:
    both = [mfx.lmer(text, data, reml=False, control=ITERATIVE) for text in (FORMULA, "y ~ x + (1 | u) + (1 | i)")]
    table = mfx.compare(both)
    assert table.to_frame()["delta_error"].iloc[1] > 0
    assert np.isfinite(table.to_frame()["weight"]).all()
    assert "random probes" in str(table)


def test_a_summary_says_what_the_degrees_of_freedom_come_from(fit: Any, exact: Any) -> None:
    assert "average information" in str(fit.summary()).replace("\n    ", " ")
    assert "(Gilmour" not in str(exact.summary())


# ---------------------------------------------------------------- many rows
@pytest.mark.parametrize("family", ["gaussian", "binomial"])
@pytest.mark.parametrize("random", [True, "u", "i"])
def test_errors_of_many_rows_come_from_probes(family: str, random: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ratings(600).assign(k=lambda d: (d["y"] > 0.5).astype(int))
    fit = (
        mfx.lmer(FORMULA, rows, control=ITERATIVE)
        if family == "gaussian"
        else mfx.glmer(f"k {FORMULA[1:]}", rows, family="binomial", control=ITERATIVE)
    )
    new = ratings(50, seed=8)
    solved = [fit.get_prediction(data, random=random).se_linear for data in (None, new)]
    monkeypatch.setattr(errors, "MOST_WORK", 0.0)
    sampled = [fit.get_prediction(data, random=random) for data in (None, new)]
    for one, other in zip(solved, sampled, strict=True):
        np.testing.assert_allclose(other.se_linear, one, rtol=0.02)
        assert "probes" in other.notes[-1]


@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_whole_data_of_an_exact_fit_are_those_of_its_rows(data: pd.DataFrame) -> None:
    for formula in (FORMULA, "y ~ x + (1 + x | u) + (1 | i)", "y ~ x + (1 | u) + (1 | f:u)"):
        fit = mfx.lmer(formula, data)
        some = fit.get_prediction(data.iloc[:30]).se_mean
        np.testing.assert_allclose(fit.get_prediction().se_mean[:30], some, rtol=1e-9)


def test_copies_of_a_row_are_solved_once() -> None:
    codes = [np.array([0, 1, 0, 0, 2]), np.array([1, 1, 1, 1, 1])]
    z = [np.array([[1.0, 1.0, 1.0, 2.0, 0.0]]), np.zeros((1, 5))]
    first, copies = errors.unlike_rows(codes, z)
    assert copies[0] == copies[2]
    assert len(set(copies.tolist())) == len(first) == 4


def test_too_many_solves_are_refused_in_a_sentence(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(mfx.SpecificationError, match="rows or levels at a time"):
        errors.check_solves(fit.solution.problem.assembly.rows.layout, 10**9)


# ---------------------------------------------------------------- generalised models
@pytest.fixture(scope="module")
def chosen() -> pd.DataFrame:
    return ratings(900).assign(k=lambda d: (d["y"] > 0.5).astype(int))


@pytest.fixture(scope="module")
def binomial(chosen: pd.DataFrame) -> Any:
    return mfx.glmer(f"k {FORMULA[1:]}", chosen, family="binomial", control=ITERATIVE)


def test_generalised_ratios_take_the_same_probes(binomial: Any, chosen: pd.DataFrame) -> None:
    small = "k ~ x + (1 | u) + (1 | i)"
    table = mfx.anova(mfx.glmer(small, chosen, family="binomial", control=ITERATIVE), binomial).to_frame()
    fits = [mfx.glmer(text, chosen, family="binomial") for text in (small, f"k {FORMULA[1:]}")]
    other = mfx.anova(*fits).to_frame()
    error = table["chi2_error"].iloc[1]
    assert 0 < error < 0.1
    assert abs(table["chi2"].iloc[1] - other["chi2"].iloc[1]) < 4 * error + 1e-3


def test_generalised_refits_have_the_probes_of_the_fit(binomial: Any, chosen: pd.DataFrame) -> None:
    again = binomial.refit(chosen["k"])
    assert again.solution.problem.model.solver.probes == 64
    np.testing.assert_allclose(again.params, binomial.params, rtol=1e-3)


# ---------------------------------------------------------------- named levels
@pytest.mark.parametrize("formula", [FORMULA, "y ~ x + (1 + x | u) + (1 | f:u) + (1 | i)"])
@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_named_levels_are_exact(formula: str, data: pd.DataFrame) -> None:
    fit = mfx.lmer(formula, data, control=ITERATIVE)
    exact = mfx.lmer(formula, data, control=mfx.Control(start=fit.theta.to_numpy(), max_iter=0))
    for group in fit.n_groups:
        levels = list(fit.random_effects[group].index[:3])
        one, other = fit.random_effects_table(group, levels), exact.random_effects_table(group, levels)
        assert (one["sd_error"] == 0).all()
        np.testing.assert_allclose(one[["mode", "sd"]], other[["mode", "sd"]], rtol=1e-7, atol=1e-9)


def test_all_levels_of_an_exact_fit_are_those_of_the_frames(exact: Any) -> None:
    table = exact.random_effects_table("u")
    np.testing.assert_allclose(table["sd"], exact.random_effects_sd["u"].to_numpy().ravel(), rtol=1e-10)
    np.testing.assert_allclose(table["mode"], exact.random_effects["u"].to_numpy().ravel(), rtol=1e-12)


def test_many_levels_say_their_error(fit: Any, exact: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "MOST_WORK", 0.0)
    table = fit.random_effects_table("u")
    np.testing.assert_allclose(table["sd"], fit.random_effects_sd["u"].to_numpy().ravel(), rtol=1e-10)
    assert (table["sd_error"] > 0).all()
    off = np.abs(table["sd"].to_numpy() - exact.random_effects_sd["u"].to_numpy().ravel())
    assert (off < 4 * table["sd_error"]).all()


def test_levels_and_groups_are_checked(fit: Any) -> None:
    with pytest.raises(mfx.SpecificationError, match="'nope'"):
        fit.random_effects_table("nope")
    with pytest.raises(mfx.SpecificationError, match="no level 'nope'"):
        fit.random_effects_table("u", ["nope"])


# ---------------------------------------------------------------- out of reach
def test_profiles_are_refused(fit: Any, binomial: Any) -> None:
    for one in (fit, binomial):
        with pytest.raises(mfx.SpecificationError, match="random probes"):
            mfx.profile(one)
        with pytest.raises(mfx.SpecificationError, match="random probes"):
            one.conf_int(method="profile")


def test_hours_of_fits_are_refused(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(without, "MOST_REFITTED", 1000)
    with pytest.raises(mfx.SpecificationError, match="60 fits of 900 rows"):
        without.check_refits(60, fit.design)


@pytest.mark.slow
def test_influence_of_a_small_design_is_that_of_the_exact_fit(data: pd.DataFrame) -> None:
    one, other = (mfx.lmer(FORMULA, data, control=control) for control in (ITERATIVE, None))
    found, expected = (mfx.influence(fit, "i").cooks_distance for fit in (one, other))
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=1e-5)


def test_a_page_takes_a_sample_of_very_many_rows(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_ROWS", 300)
    monkeypatch.setattr(page, "MOST_REFITTED", 0)
    found = mfx.check(fit)
    assert len(found.residuals.values) == 300
    assert "300 sampled responses" in str(found)
    assert "influence" not in found.to_frame().index


def test_too_many_draws_are_refused(fit: Any) -> None:
    with pytest.raises(mfx.SpecificationError, match="n=33,333"):
        mfx.quantile_residuals(fit, 100_000)


# ---------------------------------------------------------------- pictures
@pytest.fixture
def wide() -> Any:
    rows = ratings(9000, users=3000, items=400)
    return mfx.lmer("y ~ x + (1 | u) + (1 | i)", rows, control=mfx.Control(remainder="iterative", probes=4))


def test_of_very_many_levels_the_ends_are_drawn(wide: Any) -> None:
    (panel,) = plots.caterpillar(wide)
    assert len(panel.get_yticks()) == 50
    drawn = panel.lines[1].get_xdata() if len(panel.lines[1].get_xdata()) == 50 else panel.lines[0].get_xdata()
    modes = np.sort(wide.random_effects["u"].to_numpy().ravel())
    np.testing.assert_allclose(np.sort(drawn), np.concatenate([modes[:25], modes[-25:]]))


def test_very_many_rows_are_counted_in_cells(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_POINTS", 100)
    panel = plots.residuals(fit)
    assert panel.collections[0].get_array().sum() == fit.nobs


def test_quantiles_of_very_many_values_keep_their_ends(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = plots.qq_frame(fit)
    monkeypatch.setattr(pictures, "MOST_QUANTILES", 200)
    few = plots.qq_frame(fit)
    assert len(few) < len(whole)
    pd.testing.assert_frame_equal(few.head(20), whole.head(20))
    pd.testing.assert_frame_equal(few.tail(20).reset_index(drop=True), whole.tail(20).reset_index(drop=True))


def test_a_local_mean_of_cells_is_that_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=5000)
    y = np.sin(x) + rng.normal(size=5000)
    mean = look.smooth(x, y)[1]
    monkeypatch.setattr(look, "MOST_AVERAGED", 100)
    np.testing.assert_allclose(look.smooth(x, y)[1], mean, atol=1e-3)


def test_pictures_without_an_end_are_refused(wide: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MOST_EVALUATED", 1000)
    with pytest.raises(mfx.SpecificationError, match="1,681 evaluations"):
        plots.likelihood_surface(wide)
    with pytest.raises(mfx.SpecificationError, match="matrix_frame"):
        plots.matrix_image(wide)


@pytest.mark.parametrize("formula", ["k ~ x + (1 + x | u)", "k ~ x + (1 | u / f)", f"k {FORMULA[1:]}"])
@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_all_levels_of_exact_generalised_fits_are_those_of_solves(formula: str, chosen: pd.DataFrame) -> None:
    fit = mfx.glmer(formula, chosen, family="binomial")
    for group in fit.n_groups:
        sds = fit.random_effects_sd[group].to_numpy().ravel()
        np.testing.assert_allclose(fit.random_effects_table(group)["sd"], sds, rtol=1e-8, atol=1e-9)


def test_rows_that_join_levels_anew_are_solved(data: pd.DataFrame) -> None:
    fit = mfx.lmer("y ~ x + (1 | u) + (1 | f:u)", data)
    layout = fit.solution.problem.assembly.rows.layout
    assert layout.n_remainder == 0
    inverse, place = fit.solution.at.factor.inverse, np.array([0, 0])
    met = layout.parents[0, 1][place]
    joined = known_variances(layout, inverse, [np.ones((1, 2))] * 2, [place, np.array([met[0], (met[0] + 1) % 60])])
    assert np.isfinite(joined[0])
    assert np.isnan(joined[1])
