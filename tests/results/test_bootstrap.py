"""Bootstrap: seeds and workers, schemes against their definitions, failures that are said."""

import copy
import os
import signal
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.matrices import build_design
from mixedfx.results.quantities import estimates, quantities
from mixedfx.results.resampling import clusters_of, refit_rows, reflated, residual_draws

SLOPES = "Reaction ~ Days + (Days | Subject)"
HERDS = "cbind(incidence, size - incidence) ~ period + (1 | herd)"


@pytest.fixture(scope="module")
def sleep():
    return mfx.lmer(SLOPES, mfx.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def herds():
    return mfx.glmer(HERDS, mfx.load_dataset("cbpp"), family="binomial")


# ------------------------------------------------------------------ seeds and workers
@pytest.mark.parametrize("method", ["parametric", "residual", "cluster"])
def test_workers_do_not_change_a_bit(sleep, method):
    n = 450 if method != "cluster" else 25
    one, two = (mfx.bootstrap(sleep, n, seed=5, method=method, n_jobs=jobs).to_frame() for jobs in (1, 2))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_workers_do_not_change_a_bit_of_a_generalised_fit(herds):
    one, three = (mfx.bootstrap(herds, 25, seed=5, n_jobs=jobs).to_frame() for jobs in (1, 3))
    pd.testing.assert_frame_equal(one, three, check_exact=True)


def test_seeds_decide(sleep):
    sequence = np.random.SeedSequence(9)
    first = mfx.bootstrap(sleep, 20, seed=sequence).to_frame()
    pd.testing.assert_frame_equal(first, mfx.bootstrap(sleep, 20, seed=sequence).to_frame())
    pd.testing.assert_frame_equal(first, mfx.bootstrap(sleep, 20, seed=9).to_frame())
    assert not first.equals(mfx.bootstrap(sleep, 20, seed=10).to_frame())
    generator = np.random.default_rng(1)
    assert (
        not mfx.bootstrap(sleep, 5, seed=generator)
        .to_frame()
        .equals(mfx.bootstrap(sleep, 5, seed=generator).to_frame())
    )


# ------------------------------------------------------------------ what is computed
def test_estimates_are_those_of_varcorr_and_params(sleep, herds):
    table = sleep.varcorr.to_frame()
    expected = [table["sd"][0], table["sd"][1], table["corr"][2], sleep.sigma, *sleep.params]
    np.testing.assert_allclose(estimates(sleep), expected, rtol=1e-12)
    names = ("sd_Intercept|Subject", "sd_Days|Subject", "cor_Days.Intercept|Subject", "sigma", "Intercept", "Days")
    assert quantities(sleep).names == names
    np.testing.assert_allclose(estimates(herds), [herds.varcorr.to_frame()["sd"][0], *herds.params], rtol=1e-12)


@pytest.mark.parametrize(
    "formula, data",
    [
        ("Reaction ~ Days + (Days || Subject)", "sleepstudy"),
        ("strength ~ 1 + (1 | batch/cask)", "pastes"),
        ("score ~ Machine + cs(0 + Machine | Worker)", "machines"),
    ],
)
def test_replicates_are_fits_to_simulated_responses(formula, data):
    fit = mfx.lmer(formula, mfx.load_dataset(data))
    found = mfx.bootstrap(fit, 4, seed=3).to_frame()
    seed = np.random.SeedSequence(3).spawn(1)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        for row, y in zip(found.to_numpy(), fit.simulate(4, seed=seed).to_numpy().T, strict=True):
            np.testing.assert_allclose(row, estimates(fit.refit(y)), rtol=2e-4, atol=1e-5)


def test_structures_of_residuals_have_their_parameters():
    data = mfx.load_dataset("orthodont")
    fit = mfx.lmer("distance ~ age + (1 | Subject)", data, residual=mfx.VarIdent("Sex"))
    found = mfx.bootstrap(fit, 6, seed=1)
    assert list(found.estimate.index[1:3]) == [fit.residual_params.index[0], "sigma"]
    assert found.estimate.iloc[1] == pytest.approx(fit.residual_params.iloc[0])
    assert found.replicates.notna().all(axis=None)
    gls = mfx.lmer("distance ~ age", data, residual=mfx.AR1("age", group="Subject"))
    assert list(mfx.bootstrap(gls, 3, seed=1).to_frame()) == ["phi", "sigma", "Intercept", "age"]


def test_a_statistic_of_ones_own(sleep):
    variance = mfx.bootstrap(sleep, 8, seed=2, statistic=lambda fit: fit.varcorr.to_frame()["variance"][1] / fit.scale)
    assert list(variance.to_frame()) == ["statistic"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        for value, own in zip(variance.replicates["statistic"], np.random.SeedSequence(2).spawn(8), strict=True):
            again = sleep.refit(sleep.simulate(1, seed=own)[0])
            assert value == pytest.approx(again.varcorr.to_frame()["sd"][1] ** 2 / again.sigma**2, rel=1e-12)
    series = mfx.bootstrap(sleep, 3, seed=2, statistic=lambda fit: fit.params_all)
    assert "conditional:Days" in series.to_frame()
    vector = mfx.bootstrap(sleep, 3, seed=2, statistic=lambda fit: fit.fittedvalues.to_numpy()[:2])
    assert list(vector.conf_int().index) == ["statistic[0]", "statistic[1]"]
    with pytest.raises(mfx.SpecificationError, match="neither fixed nor random"):
        vector.conf_int(which="fixed")


# ------------------------------------------------------------------ schemes
def test_clusters_drawn_twice_are_two(sleep):
    """The same as fitting a frame in which the drawn subjects have new names."""
    data = mfx.load_dataset("sleepstudy")
    drawn = np.random.default_rng(4).integers(18, size=18)
    levels = list(sleep.model.groups["Subject"])
    frames = [data[data.Subject == levels[j]].assign(Subject=f"s{i:02d}") for i, j in enumerate(drawn)]
    expected = mfx.lmer(SLOPES, pd.concat(frames, ignore_index=True))
    found = refit_rows(sleep, clusters_of(sleep, None), drawn)
    assert found.llf == pytest.approx(expected.llf, abs=1e-8)
    np.testing.assert_allclose(found.params, expected.params, rtol=1e-8)


ROWS, TAKEN = 47, 31  # no other lengths


def lengths(value, seen=None):
    """The first lengths of all arrays in a value, however deep."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, str | bytes | type):
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray | pd.Index) and not isinstance(value, pd.RangeIndex):
        yield value.shape[0] if value.ndim else 0
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    for part in (*parts, *getattr(value, "__dict__", {}).values()):
        yield from lengths(part, seen)


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("y ~ x + f + (x | g) + (1 | g:h)", {"weights": "w", "offset": "x"}),
        ("y ~ wb(x, g) + C(h) + offset(x) + (1 | g)", {}),
        ("y ~ f + s(x, k=6) + (1 | g)", {}),
        ("y ~ x + (1 | mm(g, h))", {}),
        ("cbind(k, n) ~ f + poly(x, 2) + (1 | g)", {"response_kind": "binomial"}),
        ("f ~ x + (1 | g)", {"response_kind": "ordinal"}),
    ],
)
def test_everything_of_a_row_is_taken_with_it(formula, options):
    """No part of a design of some rows has the length of the old ones."""
    r = np.random.default_rng(3)
    data = pd.DataFrame({"y": r.normal(size=ROWS), "x": r.normal(size=ROWS), "w": r.uniform(1, 2, ROWS)})
    data["f"] = pd.Categorical(np.array(list("abc"))[r.integers(0, 3, ROWS)], ordered=True)
    data["g"], data["h"] = ([f"{a}{i}" for i in r.integers(0, 6, ROWS)] for a in "gh")
    data["k"], data["n"] = r.integers(1, 5, ROWS), r.integers(1, 5, ROWS)
    design = build_design(formula, data, **options)
    rows = r.integers(0, ROWS, TAKEN)
    random = [replace(term, codes=term.codes[rows], matrix=term.matrix[rows]) for term in design.random]
    taken = design.taken(rows, random)
    assert ROWS in set(lengths(design))
    assert ROWS not in set(lengths(taken))
    assert taken.n_rows == len(taken.index) == TAKEN
    for name, variable in taken.variables.items():
        old = design.variables[name]
        if old.is_factor:
            assert list(variable.labels.levels[variable.labels.codes]) == list(
                old.labels.levels[old.labels.codes[rows]]
            )
        else:
            np.testing.assert_array_equal(variable.numbers, old.numbers[rows])


def test_clusters_of_separated_data_are_failures_with_their_reason():
    fit = mfx.glmer(
        "cbind(incidence, size - incidence) ~ period + (1 | herd)", mfx.load_dataset("cbpp"), family="binomial"
    )
    found = mfx.bootstrap(fit, 30, seed=1, method="cluster")
    assert 0 < found.n_failed < 10
    assert all("told apart by period[T.4]" in reason for reason in found.failures)


def test_any_column_of_the_data_can_be_the_clusters():
    """Draws of whole clusters of a model without random effects: least squares, Poisson regression of those rows."""
    r = np.random.default_rng(6)
    data = pd.DataFrame({"x": r.normal(size=60), "g": np.repeat(list("abcdefghij"), 6), "c": r.poisson(2, 60)})
    data["y"] = data["x"] + r.normal(size=10)[np.repeat(range(10), 6)] + r.normal(size=60)
    drawn = np.array([0, 0, 3, 4, 4, 4, 6, 7, 8, 9])
    frame = pd.concat([data[data["g"] == "abcdefghij"[j]] for j in drawn], ignore_index=True)
    for one, other in (
        (mfx.LinearMixedModel("y ~ x", data).fit(), mfx.LinearMixedModel("y ~ x", frame).fit()),
        (mfx.glmer("c ~ x", data, family="poisson"), mfx.glmer("c ~ x", frame, family="poisson")),
    ):
        found = refit_rows(one, clusters_of(one, "g"), drawn)
        np.testing.assert_allclose(found.params, other.params, rtol=1e-6)
        replicates = mfx.bootstrap(one, 40, seed=1, method="cluster", cluster="g")
        assert "levels of g drawn" in replicates.description
        assert np.isfinite(replicates.conf_int(kind="bca").to_numpy()).all()
        with pytest.raises(mfx.SpecificationError, match="name a column of the data"):
            mfx.bootstrap(one, 5, method="cluster")


def test_nested_levels_go_with_their_cluster_in_generalised_fits():
    data = pd.DataFrame({"a": np.repeat(list("abcdefgh"), 12), "b": np.tile(np.repeat(list("xyz"), 4), 8)})
    rng = np.random.default_rng(2)
    data["x"] = rng.normal(size=96)
    data["y"] = rng.poisson(np.exp(0.4 * data.x + rng.normal(size=8)[data.a.map(ord) - 97]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        fit = mfx.glmer("y ~ x + (1 | a/b)", data, family="poisson")
        drawn = np.array([0, 0, 3, 4, 4, 4, 6, 7])
        frames = [data[data.a == "abcdefgh"[j]].assign(a=f"c{i}") for i, j in enumerate(drawn)]
        expected = mfx.glmer("y ~ x + (1 | a/b)", pd.concat(frames, ignore_index=True), family="poisson")
        found = refit_rows(fit, clusters_of(fit, None), drawn)
    assert clusters_of(fit, None).group == "a"
    assert found.llf == pytest.approx(expected.llf, abs=1e-6)
    np.testing.assert_allclose(estimates(found), estimates(expected), rtol=1e-4, atol=1e-5)


def test_crossed_factors_need_a_named_cluster():
    fit = mfx.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", mfx.load_dataset("penicillin"))
    with pytest.raises(mfx.SpecificationError, match="crossed"):
        mfx.bootstrap(fit, 5, method="cluster")
    assert mfx.bootstrap(fit, 5, method="cluster", cluster="plate", seed=1).n_failed == 0
    with pytest.raises(mfx.SpecificationError, match="independent cluster"):
        mfx.bootstrap(fit, 5, seed=1).conf_int(kind="bca")
    with pytest.raises(mfx.SpecificationError, match="'plate', 'sample'\\), or a column of the data"):
        mfx.bootstrap(fit, 5, method="cluster", cluster="dish")


def test_reflated_effects_have_the_covariance():
    rng = np.random.default_rng(0)
    effects, root = rng.normal(size=(3, 20)), rng.normal(size=(3, 3))
    found = reflated(effects, root @ root.T)
    np.testing.assert_allclose(found @ found.T / 20, root @ root.T, atol=1e-12)
    np.testing.assert_allclose(found.mean(axis=1), 0.0, atol=1e-14)
    flat = np.outer([1.0, 2.0], rng.normal(size=20))
    flat -= flat.mean(axis=1, keepdims=True)
    found = reflated(flat, np.outer([2.0, 4.0], [2.0, 4.0]))
    np.testing.assert_allclose(found @ found.T / 20, [[4.0, 8.0], [8.0, 16.0]], atol=1e-10)
    assert not reflated(np.zeros((1, 5)), np.zeros((1, 1))).any()


def test_residual_draws_have_the_moments_of_the_model(sleep):
    draws = residual_draws(sleep, 20_000, np.random.SeedSequence(1))
    half = (sleep.model.exog_re @ sleep.model.Lambda(sleep.theta)).toarray()
    covariance = sleep.scale * (half @ half.T + np.eye(180))
    sd = np.sqrt(np.diag(covariance))
    mean = sleep.predict(random=False).to_numpy()
    assert np.abs((draws.mean(axis=1) - mean) / (sd / np.sqrt(20_000))).max() < 5
    np.testing.assert_allclose(np.cov(draws) / np.outer(sd, sd), covariance / np.outer(sd, sd), atol=0.07)


# ------------------------------------------------------------------ failures and the boundary
def test_failures_are_counted_and_said():
    """With two clusters in one arm, resamples without that arm cannot estimate its effect."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat(range(8), 6), "arm": np.repeat([0, 0, 0, 0, 0, 0, 1, 1], 6)})
    data["y"] = rng.normal(size=8)[data.g] + rng.normal(size=48)
    fit = mfx.lmer("y ~ arm + (1 | g)", data)
    found = mfx.bootstrap(fit, 60, seed=1, method="cluster")
    assert 0 < found.n_failed < 60
    assert found.n == 60
    assert int(found.to_frame()["arm"].isna().sum()) == found.n_failed
    assert "cannot be estimated" in next(iter(found.failures))
    assert f"{found.n_failed} of 60 replicates failed" in str(found.summary()).replace("\n   ", "")
    with pytest.warns(mfx.ConvergenceWarning, match="failed"):
        limits = found.conf_int(0.1)
    good = found.to_frame()["arm"].dropna()
    np.testing.assert_allclose(limits.loc["arm"], np.quantile(good, [0.05, 0.95]))


def test_singular_replicates_count_and_undefined_correlations_are_said():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        flat = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff2"))
    found = mfx.bootstrap(flat, 200, seed=1)
    zero = found.to_frame()["sd_Intercept|Batch"] == 0
    assert found.n_singular == int(zero.sum()) > 50
    assert found.conf_int().loc["sd_Intercept|Batch", "lower"] == 0
    assert "are singular" in str(found)
    assert found.conf_int(kind="basic").loc["sd_Intercept|Batch", "lower"] == 0  # cut to what is possible


def test_intervals_by_kind_and_which(sleep):
    found = mfx.bootstrap(sleep, 300, seed=1)
    frame = found.to_frame()
    expected = np.quantile(frame, [0.05, 0.95], axis=0).T
    np.testing.assert_array_equal(found.conf_int(0.1), expected)
    assert list(found.conf_int(which="fixed").index) == ["Intercept", "Days"]
    assert list(found.conf_int(which="random").index)[-1] == "sigma"
    bca = found.conf_int(kind="bca")
    assert (bca["lower"] < found.estimate).all()
    assert (found.estimate < bca["upper"]).all()
    table = found.summary()
    np.testing.assert_allclose(table["se"], frame.std())
    np.testing.assert_allclose(table["bias"], frame.mean() - found.estimate)
    again = copy.copy(found)
    assert repr(again) == str(again.summary())


def test_coverage_of_the_slope_and_of_sigma():
    """Of nominal 90 % intervals in 60 data sets simulated from a known model: within three binomial errors."""
    data = mfx.load_dataset("sleepstudy")
    truth = mfx.lmer(SLOPES, data)
    hits = np.zeros(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        for i, y in enumerate(truth.simulate(60, seed=11).to_numpy().T):
            limits = mfx.bootstrap(truth.refit(y), 200, seed=i).conf_int(0.1, kind="basic")
            for k, (name, value) in enumerate({"Days": truth.params["Days"], "sigma": truth.sigma}.items()):
                hits[k] += limits.loc[name, "lower"] <= value <= limits.loc[name, "upper"]
    assert np.all(hits >= 60 * 0.9 - 3 * np.sqrt(60 * 0.09))


# ------------------------------------------------------------------ arguments
def test_what_makes_no_sense_is_refused(sleep, herds):
    with pytest.raises(mfx.SpecificationError, match="'parametric'"):
        mfx.bootstrap(sleep, 5, method="wild")
    with pytest.raises(mfx.SpecificationError, match="no residuals"):
        mfx.bootstrap(herds, 5, method="residual")
    with pytest.raises(mfx.SpecificationError, match="cluster="):
        mfx.bootstrap(sleep, 5, cluster="Subject")
    with pytest.raises(TypeError, match="fitted mixed model"):
        mfx.bootstrap(3)
    with pytest.raises(TypeError, match="statistic"):
        mfx.bootstrap(sleep, 5, statistic="params")
    with pytest.raises(mfx.SpecificationError, match="n_jobs"):
        mfx.bootstrap(sleep, 5, n_jobs=0)
    with pytest.raises(TypeError, match="seed"):
        mfx.bootstrap(sleep, 5, seed="x")
    with pytest.raises(mfx.SpecificationError, match="kind"):
        mfx.bootstrap(sleep, 5, seed=1).conf_int(kind="student")
    with pytest.raises(mfx.SpecificationError, match="which"):
        mfx.bootstrap(sleep, 5, seed=1).conf_int(which="beta")


def test_progress_bar_counts_replicates(sleep, capsys):
    mfx.bootstrap(sleep, 5, seed=1, progress=True)
    assert "5/5" in capsys.readouterr().err


def test_one_block_that_cannot_be_fitted_loses_nothing_else(monkeypatch):
    """Where the fit of all replicates at once breaks down, they are fitted one by one: the same numbers."""
    fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"))
    whole = mfx.bootstrap(fit, 12, seed=3).to_frame()

    def broken(self, Y):
        raise np.linalg.LinAlgError("Matrix is not positive definite")

    monkeypatch.setattr(type(fit), "refit_many", broken)
    np.testing.assert_allclose(mfx.bootstrap(fit, 12, seed=3).to_frame(), whole, rtol=1e-4, atol=1e-3)


class _Interrupted:
    """A statistic during which Ctrl-C is pressed at a certain call."""

    def __init__(self, at):
        self.at, self.calls = at, 0

    def __call__(self, fit):
        self.calls += 1
        if self.calls > self.at:
            raise KeyboardInterrupt
        return fit.sigma


def test_ctrl_c_keeps_the_finished_replicates():
    fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"))
    with pytest.warns(mfx.ConvergenceWarning, match="25 of 60 replicates were finished"):
        some = mfx.bootstrap(fit, 60, seed=1, statistic=_Interrupted(26))
    every = mfx.bootstrap(fit, 60, seed=1, statistic=lambda f: f.sigma)
    assert some.n == 25
    assert some.asked == 60
    np.testing.assert_array_equal(some.to_frame(), every.to_frame().iloc[:25])
    assert "60 replicates were asked for" in str(some)
    with pytest.raises(KeyboardInterrupt):
        mfx.bootstrap(fit, 60, seed=1, statistic=_Interrupted(1))


class _Deadly:
    """A statistic that kills its worker at one replicate, once or always, as the system does when memory is short."""

    def __init__(self, sigma, marker, *, always):
        self.sigma, self.marker, self.always, self.home = sigma, marker, always, os.getpid()

    def __call__(self, fit):
        again = self.marker.exists()
        if os.getpid() != self.home and abs(fit.sigma - self.sigma) < 1e-9 and (self.always or not again):
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return fit.sigma


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed otherwise here")
def test_a_killed_worker_loses_nothing(tmp_path):
    fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"))
    expected = mfx.bootstrap(fit, 80, seed=1, statistic=lambda f: f.sigma).to_frame()
    last = float(expected.iloc[-1, 0])
    found = mfx.bootstrap(fit, 80, seed=1, statistic=_Deadly(last, tmp_path / "once", always=False), n_jobs=2)
    np.testing.assert_array_equal(found.to_frame(), expected)
    with pytest.warns(mfx.ConvergenceWarning, match="replicates were finished"):
        some = mfx.bootstrap(fit, 80, seed=1, statistic=_Deadly(last, tmp_path / "ever", always=True), n_jobs=2)
    assert 0 < some.n < 80
