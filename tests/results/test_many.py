"""Many responses at once: every row is a refit, whatever the model, the table they come in and where the results go."""

import itertools
import re
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.fitting import generalized_refit
from mixedfx.results import many_files

SLEEP = "Reaction ~ Days + (Days | Subject)"


def counted(seed=0, groups=12, each=8):
    """Rows of a few groups with a covariate, trials, weights and an exposure."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), each)
    n = g.size
    return pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "g": [f"g{k}" for k in g],
            "h": rng.integers(5, size=n).astype(str),
            "t": rng.integers(3, 12, size=n),
            "w": rng.uniform(0.5, 2.0, size=n),
            "e": rng.uniform(1.0, 3.0, size=n),
        }
    )


def drawn(formula, params, *, family=None, seed=1, frame=None, of=None, **options):
    """A fit to data drawn from known parameters of its family, or of the family ``of``."""
    frame = counted() if frame is None else frame
    source = family if of is None else of
    drawn_with = {} if source is None else {"family": source}
    y = mfx.simulate(formula, frame, params=params, seed=seed, **drawn_with).iloc[:, 0]
    frame = frame.assign(**{formula.split(" ")[0]: y.to_numpy()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        if family is None:
            return mfx.lmer(formula, frame, **options)
        return mfx.glmer(formula, frame, family=family, **options)


BETA = {"Intercept": 0.4, "x": 0.5}
ONE = BETA | {"sd_Intercept|g": 0.7}
SLOPES = ONE | {"sd_x|g": 0.5, "cor_x.Intercept|g": 0.2}
GENERALISED = {
    "bernoulli": lambda: drawn("y ~ x + (1 | g)", ONE, family="binomial"),
    "poisson": lambda: drawn("y ~ x + (1 | g)", ONE, family="poisson"),
    "poisson slopes": lambda: drawn("y ~ x + (x | g)", SLOPES, family="poisson"),
    "gamma": lambda: drawn("y ~ x + (1 | g)", ONE | {"dispersion": 0.5}, family=mfx.families.Gamma("log")),
    "nbinom2": lambda: drawn("y ~ x + (1 | g)", ONE | {"dispersion": 2.0}, family="nbinom2"),
    "offset": lambda: drawn("y ~ x + offset(log(e)) + (1 | g)", ONE, family="poisson"),
    "weights": lambda: drawn("y ~ x + (1 | g)", ONE, family="poisson", weights="w"),
    "quadrature": lambda: drawn("y ~ x + (1 | g)", ONE, family="binomial", nagq=7),
    "crossed": lambda: drawn("y ~ x + (1 | g) + (1 | h)", ONE | {"sd_Intercept|h": 0.5}, family="poisson"),
    "zeros": lambda: drawn("y ~ x + (1 | g)", ONE, family="poisson", zero_inflation="~ 1"),
    "dispersion": lambda: drawn("y ~ x + (1 | g)", ONE | {"dispersion": 2.0}, family="nbinom2", dispersion="~ x"),
}


def rows_equal(many, fit, Y):
    """Every row of ``many`` is the refit to that response, verdicts included."""
    for r, name in enumerate(many.index):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mfx.MixedfxWarning)
            other = fit.refit(Y[:, r])
        assert many.converged[name] == other.converged, name
        assert many.singular[name] == other.is_singular, name
        assert many.llf[name] == pytest.approx(other.llf, rel=1e-8, abs=1e-5)
        if not other.converged:
            assert many.verdict[name] == str(other.certificate).splitlines()[0]
            continue
        size = np.maximum(np.asarray(other.bse), 1e-8)
        assert np.all(np.abs(many.params.loc[name] - other.params) < 1e-4 * size)
        np.testing.assert_allclose(many.bse.loc[name], other.bse, rtol=1e-3)
        np.testing.assert_allclose(many.df.loc[name], other.df, rtol=2e-3)
        np.testing.assert_allclose(many.pvalues.loc[name], other.pvalues, rtol=1e-2, atol=1e-12)
        random = other.varcorr.to_frame()["sd"].to_numpy(dtype=float)
        shown = many.varcorr.loc[name]
        own = shown[[column for column in shown.index if column.startswith("sd_")]].to_numpy()
        np.testing.assert_allclose(own, random[: own.size], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", GENERALISED)
def test_rows_are_refits_in_generalised_models(kind):
    fit = GENERALISED[kind]()
    Y = fit.simulate(6, seed=3).to_numpy().astype(float)
    Y[:, 5] = 1.0 - Y[:, 4] if fit.solution.family.proportions else 9.0 * Y[:, 4]  # unlike the others
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.ConvergenceWarning)
        many = fit.refit_many(Y)
    rows_equal(many, fit, Y)
    assert np.isinf(many.df.to_numpy()[many.converged]).all()
    assert list(many.columns) == list(many.to_frame().columns)


@pytest.mark.parametrize("kind", ["bernoulli", "poisson", "gamma", "nbinom2", "offset", "weights", "zeros"])
def test_usual_responses_are_fitted_together(kind, monkeypatch):
    """The search for one response is for what is in doubt: none of these, variances of zero among them."""
    fit, alone = GENERALISED[kind](), []
    original = generalized_refit._one
    monkeypatch.setattr(generalized_refit, "_one", lambda *of: alone.append(of) or original(*of))
    many = fit.refit_many(fit.simulate(20, seed=2))
    assert many.converged.all()
    assert len(alone) <= (4 if kind == "zeros" else 0)


def test_trials_are_those_of_the_fit():
    fit = mfx.glmer(
        "cbind(incidence, size - incidence) ~ period + (1 | herd)", mfx.load_dataset("cbpp"), family="binomial"
    )
    Y = fit.simulate(6, seed=1).to_numpy()
    rows_equal(fit.refit_many(Y), fit, Y)


def test_models_without_random_effects_and_with_residual_structures():
    frame = mfx.load_dataset("sleepstudy")
    residual = {"residual": mfx.AR1("Days", group="Subject")}
    for formula, options in (("Reaction ~ Days", residual), ("Reaction ~ Days + (1 | Subject)", residual)):
        fit = mfx.lmer(formula, frame, **options)
        Y = fit.simulate(3, seed=2).to_numpy()
        rows_equal(fit.refit_many(Y), fit, Y)


def test_fits_by_iteration_are_refitted_by_iteration():
    frame, rng = counted(), np.random.default_rng(3)
    frame["y"] = rng.normal(size=len(frame)) + np.repeat(rng.normal(size=12), 8)
    control = mfx.Control(remainder="iterative")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        fit = mfx.lmer("y ~ x + (1 | g) + (1 | h)", frame, control=control)
    Y = fit.simulate(2, seed=1).to_numpy()
    rows_equal(fit.refit_many(Y), fit, Y)


def test_constant_and_separated_responses_are_told():
    """Counts that are all zero, and a constant response of a family with a dispersion, which would go to zero."""
    counts, sizes = GENERALISED["poisson"](), GENERALISED["gamma"]()
    for fit, constant, words in ((counts, 0.0, "no optimum|rises"), (sizes, 2.0, "values are the same")):
        Y = fit.simulate(3, seed=3).astype(float)
        Y[1] = constant
        with pytest.warns(mfx.ConvergenceWarning, match="1 of 3"):
            many = fit.refit_many(Y)
        assert many.converged.tolist() == [True, False, True]
        assert re.search(words, many.verdict[1])


# ---------------------------------------------------------------- tables that are read and written
@pytest.fixture(scope="module")
def sleep():
    fit = mfx.lmer(SLEEP, mfx.load_dataset("sleepstudy"))
    Y = fit.simulate(25, seed=1)
    Y.columns = [f"gene{k}" for k in range(25)]
    return fit, Y


@pytest.mark.parametrize("chunk", [1, 7, 25, 100])
def test_chunks_change_nothing(sleep, chunk):
    fit, Y = sleep
    close = {"rtol": 1e-4, "atol": 1e-5}
    pd.testing.assert_frame_equal(fit.refit_many(Y, chunk=chunk).to_frame(), fit.refit_many(Y).to_frame(), **close)


def test_a_file_has_what_memory_has(sleep, tmp_path):
    fit, Y = sleep
    Y = Y.assign(gene3=np.nan, gene9=1.0)
    out = tmp_path / "fits.parquet"
    with pytest.warns(mfx.ConvergenceWarning, match=r"2 of 25 .*'gene3'.*missing.*'gene9'"):
        stored = fit.refit_many(Y, out=out, chunk=10)
    with pytest.warns(mfx.ConvergenceWarning) as told:
        memory = fit.refit_many(Y, chunk=10)
    assert len(told) == 1
    pd.testing.assert_frame_equal(stored.to_frame(), memory.to_frame())
    for name in ("params", "bse", "df", "tvalues", "pvalues", "varcorr", "further"):
        pd.testing.assert_frame_equal(getattr(stored, name), getattr(memory, name), check_column_type=False)
    for name in ("llf", "converged", "singular", "verdict"):
        pd.testing.assert_series_equal(getattr(stored, name), getattr(memory, name))
    assert repr(stored) == repr(memory)
    assert (len(stored), "gene4" in stored, list(stored)[:2]) == (25, True, ["gene0", "gene1"])
    pd.testing.assert_series_equal(stored["gene4"], memory["gene4"], check_names=False)
    assert pd.read_parquet(out).index.tolist() == list(Y.columns)
    assert [path.name for path in tmp_path.iterdir()] == ["fits.parquet"]


def test_tables_of_every_kind_and_one_after_the_other(sleep, tmp_path):
    fit, Y = sleep
    expected = fit.refit_many(Y).to_frame()
    close = {"rtol": 1e-4, "atol": 1e-5}
    blocks = [Y.iloc[:, :10], Y.iloc[:, 10:11], Y.iloc[:, 11:]]
    out = tmp_path / "fits.parquet"
    pd.testing.assert_frame_equal(fit.refit_many(iter(blocks), out=out).to_frame(), expected, **close)
    pd.testing.assert_frame_equal(fit.refit_many(block for block in blocks).to_frame(), expected, **close)
    on_disk = np.memmap(tmp_path / "y.bin", dtype=np.float32, mode="w+", shape=Y.shape)
    on_disk[:] = Y
    plain = fit.refit_many(on_disk, chunk=4)
    np.testing.assert_allclose(plain.beta, expected.iloc[:, :2], rtol=1e-4)
    assert plain.index.tolist() == list(range(25))
    assert fit.refit_many(on_disk, out=out, chunk=4).index.tolist() == list(range(25))
    assert fit.refit_many(on_disk, names=Y.columns).index.tolist() == list(Y.columns)
    assert fit.refit_many(Y["gene2"]).index.tolist() == ["gene2"]


def test_a_response_that_cannot_be_fitted_costs_no_other():
    fit = drawn("y ~ x + (1 | g)", ONE, family="poisson")
    Y = fit.simulate(6, seed=5).astype(float)
    Y[1], Y[3] = -1.0, 0.5
    Y.iloc[4, 4] = np.inf
    with pytest.warns(mfx.ConvergenceWarning, match="3 of 6 responses"):
        many = fit.refit_many(Y)
    assert many.params.isna().all(axis=1).tolist() == [False, True, False, True, True, False]
    assert "whole numbers" in many.verdict[1]
    assert "row 4" in many.verdict[4]
    rows_equal(fit.refit_many(Y[[0, 2, 5]]), fit, Y[[0, 2, 5]].to_numpy())
    with pytest.warns(mfx.ConvergenceWarning, match="1 of 1 responses has"):
        assert fit.refit_many(Y[[1]]).params.isna().all(axis=None)


# ---------------------------------------------------------------- what goes wrong
def test_work_that_ends_early_leaves_the_old_file(sleep, tmp_path, monkeypatch):
    fit, Y = sleep
    out = tmp_path / "fits.parquet"
    fit.refit_many(Y.iloc[:, :2], out=out)
    before = out.read_bytes()
    calls = itertools.count()

    def stopped(*arguments):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    original = many_files.fitted_responses
    monkeypatch.setattr(many_files, "fitted_responses", stopped)
    with pytest.raises(KeyboardInterrupt):
        fit.refit_many(Y, out=out, chunk=5)
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["fits.parquet"]


WRONG = {
    "rows": (lambda Y: {"Y": Y.iloc[:9]}, mfx.DataError, "180 rows"),
    "names": (lambda Y: {"Y": Y, "names": ["a"]}, mfx.SpecificationError, "25 responses; found 1"),
    "names of a stream": (lambda Y: {"Y": iter([Y]), "names": ["a"]}, mfx.SpecificationError, "found 1"),
    "too many names": (
        lambda Y: {"Y": iter([Y]), "names": range(30)},
        mfx.SpecificationError,
        "25 responses; found 30",
    ),
    "same names": (lambda Y: {"Y": Y, "names": ["a"] * 25}, mfx.SpecificationError, "same name 'a'"),
    "same columns": (lambda Y: {"Y": pd.concat([Y, Y["gene3"]], axis=1)}, mfx.SpecificationError, "'gene3'"),
    "same in two tables": (lambda Y: {"Y": iter([Y, Y])}, mfx.SpecificationError, "'gene0'"),
    "nothing": (lambda Y: {"Y": Y.iloc[:, :0]}, mfx.DataError, "no columns"),
    "no tables": (lambda Y: {"Y": iter([])}, mfx.DataError, "no columns"),
    "three dimensions": (lambda Y: {"Y": np.zeros((180, 2, 2))}, mfx.DataError, "shape"),
    "text": (lambda Y: {"Y": Y.assign(gene4="a")}, mfx.DataError, "numbers"),
    "chunk": (lambda Y: {"Y": Y, "chunk": 0}, mfx.SpecificationError, "chunk"),
    "chunk of another kind": (lambda Y: {"Y": Y, "chunk": 2.5}, TypeError, "chunk"),
    "suffix": (lambda Y: {"Y": Y, "out": "fits.csv"}, mfx.SpecificationError, "to_frame"),
    "out": (lambda Y: {"Y": Y, "out": 3}, TypeError, "Parquet"),
    "folder": (lambda Y: {"Y": Y, "out": "no/such/folder/fits.parquet"}, mfx.DataError, "cannot be written"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_told(sleep, case, tmp_path, monkeypatch):
    fit, Y = sleep
    monkeypatch.chdir(tmp_path)
    arguments, kind, words = WRONG[case]
    with pytest.raises(kind, match=words):
        fit.refit_many(**arguments(Y))
    assert list(tmp_path.iterdir()) == []


def test_a_response_that_is_not_there_is_told(sleep):
    fit, Y = sleep
    many = fit.refit_many(Y)
    with pytest.raises(mfx.SpecificationError, match=r"no response 'gene99'.*'gene0'"):
        many["gene99"]
    with pytest.raises(mfx.SpecificationError, match="to_frame"):
        many["llf"]


def test_rows_of_missing_responses_are_those_of_the_data():
    frame = counted()
    frame.loc[[1, 4], "x"] = np.nan
    frame.index = "r" + frame.index.astype(str)
    frame["y"] = np.random.default_rng(1).normal(size=len(frame))
    fit = mfx.lmer("y ~ x + (1 | g)", frame)
    Y = frame[["y"]].assign(z=frame["y"])
    Y.iloc[9, 1] = np.nan
    with pytest.raises(mfx.DataError, match="first in row r9"):
        fit.refit(Y["z"])
    with pytest.warns(mfx.ConvergenceWarning, match="the value in row r9 is missing"):
        fit.refit_many(Y)
