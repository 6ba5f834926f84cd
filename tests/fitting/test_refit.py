"""Refits against fits from scratch, and the batch criterion against the dense definition."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

import mixedfx as mfx
from mixedfx.criterion.batch import BatchCriterion, ResponseGram, block_map
from tests import dense
from tests.criterion.test_linear import fast, theta_for
from tests.differences import jacobian
from tests.strategies import designs

MODELS = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "pastes": "strength ~ 1 + (1 | batch / cask)",
    "machines": "score ~ Machine + (Machine | Worker)",
    "dyestuff2": "Yield ~ 1 + (1 | Batch)",
}


def batch(design, reml):
    """The batch criterion of a random design with its response and another one."""
    model, assembly, _ = fast(design, reml)
    blocks = block_map(assembly.rows.layout)
    incidence = blocks.incidence(assembly.rows)
    Y = np.column_stack([model.y, np.cos(np.arange(len(model.y))) + 0.3 * model.y])
    weighted = Y if model.weights is None else Y * model.weights[:, None]
    zy = np.asarray(incidence @ weighted).reshape(blocks.size, blocks.count, -1).swapaxes(1, 2)
    responses = ResponseGram(zy, weighted.T @ model.X, np.einsum("nr,nr->r", Y, weighted), None)
    gram = blocks.gram(incidence, model.X, model.weights)
    return model, Y, BatchCriterion(gram, blocks.factor_basis(assembly.covariance), responses, model.nu, reml)


@pytest.mark.parametrize("reml", [True, False])
@given(design=designs())
def test_batch_criterion_against_the_dense_definition(reml, design):
    model, Y, criterion = batch(design, reml)
    both = np.arange(2)
    thetas = np.stack([theta_for(design, 1), theta_for(design, 2)])
    at = criterion.at(thetas, both)
    shift = 0.0 if model.weights is None else -np.log(model.weights).sum()
    for r, theta in enumerate(thetas):
        own = dense.replace(model, y=Y[:, r])
        expected = dense.criterion(own, dense.unstructured(own, theta))
        assert at.value[r] + shift == pytest.approx(expected, rel=1e-10, abs=1e-8)

    def value_and_gradient(theta):
        there = criterion.at(np.stack([theta, thetas[1]]), both)
        return np.append(there.value[0], there.gradient[0])

    expected, *exact = jacobian(value_and_gradient, thetas[0])
    np.testing.assert_allclose(at.gradient[0], expected, rtol=1e-6, atol=1e-7 * (1 + np.abs(expected).max()))
    np.testing.assert_allclose(at.hessian[0], exact, rtol=1e-6, atol=1e-6 * (1 + np.abs(exact).max()))


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_refits_are_fits(name, reml):
    frame = mfx.load_dataset(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.SingularFitWarning)
        fit = mfx.lmer(MODELS[name], frame, reml=reml)
        Y = fit.simulate(6, seed=3) * [1, 1, 1, 1e-3, 1e3, 1] + [0, 0, 0, 0, 0, 1e6]
        found = fit.refit_many(Y)
        for r in range(6):
            other = mfx.lmer(MODELS[name], frame.assign(**{MODELS[name].split()[0]: Y[r]}), reml=reml)
            assert found.values[r] == pytest.approx(-2 * other.llf, rel=1e-9, abs=1e-7)
            np.testing.assert_allclose(found.theta[r], other.theta, rtol=1e-4, atol=2e-4)
            np.testing.assert_allclose(found.beta[r], other.params, rtol=1e-6)
            assert found.sigma[r] == pytest.approx(other.sigma, rel=1e-5)
            assert found.singular[r] == other.is_singular
            single = fit.refit(Y[r])
            assert single.llf == pytest.approx(other.llf, rel=1e-9, abs=1e-7)
            np.testing.assert_allclose(single.params, other.params, rtol=1e-6)
    assert found.converged.all()


def test_one_by_one_where_blocks_are_large_or_structured():
    """Known relationship, compound symmetry, weights with a zero, offset, residual structure."""
    frame = mfx.load_dataset("sleepstudy").assign(w=1.0, o=lambda d: 2.0 * d["Days"])
    frame.loc[3, "w"] = 0.0
    for options in (
        {"formula": "Reaction ~ Days + cs(1 + Days | Subject)"},
        {"formula": "Reaction ~ Days + (Days | Subject)", "weights": "w", "offset": "o"},
        {"formula": "Reaction ~ Days + (1 | Subject)", "residual": mfx.AR1("Days", group="Subject")},
        {"formula": "Reaction ~ Days + (1 | Subject)", "sigma": 30.0},
    ):
        fit = mfx.lmer(data=frame, **options)
        y = pd.Series(np.roll(frame["Reaction"].to_numpy(), 10))
        expected = mfx.lmer(data=frame.assign(Reaction=y), **options)
        found = fit.refit_many(np.column_stack([y, frame["Reaction"]]))
        np.testing.assert_allclose(found.values, [-2 * expected.llf, -2 * fit.llf], rtol=1e-9)
        np.testing.assert_allclose(found.beta[0], expected.params, rtol=1e-5)
        assert found.sigma[0] == pytest.approx(expected.sigma, rel=1e-6)
        assert fit.refit(y).llf == pytest.approx(expected.llf, rel=1e-9)


FURTHER = {
    "cs": {"formula": "Reaction ~ Days + cs(1 + Days | Subject)"},
    "weights": {"formula": "Reaction ~ Days + (Days | Subject)", "weights": "w", "offset": "o"},
    "residual": {"formula": "Reaction ~ Days + (1 | Subject)", "residual": mfx.AR1("Days", group="Subject")},
    "known": {"formula": "Reaction ~ Days + (1 | Subject)", "sigma": 30.0},
    "ml": {"formula": "Reaction ~ poly(Days, 2) + (Days || Subject)", "reml": False},
}


@pytest.mark.parametrize("name", [*MODELS, *FURTHER])
def test_tests_of_many_fits_are_those_of_single_fits(name):
    """Standard errors, df and p values; singular fits among them."""
    frame = mfx.load_dataset(name if name in MODELS else "sleepstudy")
    options = FURTHER.get(name, {"formula": MODELS.get(name)})
    frame = frame.assign(w=np.linspace(0.5, 2, len(frame)), o=np.arange(len(frame)) / 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.SingularFitWarning)
        fit = mfx.lmer(data=frame, **options)
        Y = fit.simulate(8, seed=5) * [1, 1, 1, 1e-3, 1e3, 1, 1, 1] + [0, 0, 0, 0, 0, 1e6, 0, 0]
        Y.columns = [f"gene{r}" for r in range(8)]
        found = fit.refit_many(Y)
        for r in range(8):
            other = fit.refit(Y.iloc[:, r])
            close = {"rtol": 2e-4, "atol": 1e-12}
            np.testing.assert_allclose(found.params.iloc[r], other.params, rtol=1e-5)
            np.testing.assert_allclose(found.bse.iloc[r], other.bse, **close)
            np.testing.assert_allclose(found.df.iloc[r], other.df, rtol=2e-3)
            np.testing.assert_allclose(found.tvalues.iloc[r], other.tvalues, **close)
            np.testing.assert_allclose(found.pvalues.iloc[r], other.pvalues, rtol=5e-3, atol=1e-300)
            assert found.llf.iloc[r] == pytest.approx(other.llf, rel=1e-9, abs=1e-7)
    table = found.to_frame()
    assert list(table.index) == list(Y.columns) == list(found.converged.index)
    assert len(repr(found).splitlines()) < 20
    assert {"llf", "converged", *found.varcorr.columns} <= set(table.columns)
    assert ("sigma" in found.varcorr) == (name != "known")


@pytest.mark.parametrize(
    "formula", ["Reaction ~ Days + (Days | Subject)", "Reaction ~ 1 + (1 | Subject) + cs(1 | Days)"]
)
def test_one_response_that_cannot_be_fitted_costs_no_other(formula):
    """Constant responses, and one that the fixed effects explain exactly, beside a good one."""
    frame = mfx.load_dataset("sleepstudy")
    fit = mfx.lmer(formula, frame)
    Y = np.column_stack([np.ones(180), frame["Reaction"], np.zeros(180), 1.0 + 2 * frame["Days"]])
    with pytest.warns(mfx.ConvergenceWarning, match="of 4 responses"):
        found = fit.refit_many(Y)
    np.testing.assert_allclose(found.bse.iloc[1], fit.bse, rtol=1e-4)
    assert found.converged.iloc[1]
    assert len(found.to_frame()) == 4


def test_wrong_responses_are_refused():
    fit = mfx.lmer(MODELS["sleepstudy"], mfx.load_dataset("sleepstudy"))
    with pytest.raises(mfx.DataError, match="each of the 180 rows"):
        fit.refit(np.zeros(3))
    with pytest.raises(mfx.DataError, match="1 values of the new responses"):
        fit.refit(np.where(np.arange(180) == 3, np.nan, 1.0))


def test_responses_come_in_tables_of_any_kind_and_keep_their_names():
    polars, arrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    frame = mfx.load_dataset("sleepstudy")
    fit = mfx.lmer(MODELS["sleepstudy"], frame)
    Y = pd.DataFrame({"b": frame["Reaction"] ** 2, "a": frame["Reaction"]})
    expected = fit.refit_many(Y).to_frame()
    assert expected.index.tolist() == ["b", "a"]
    for table in (polars.from_pandas(Y), arrow.Table.from_pandas(Y), Y.to_dict("list")):
        pd.testing.assert_frame_equal(fit.refit_many(table).to_frame(), expected)
    assert fit.refit_many(Y.to_numpy()).params.index.tolist() == [0, 1]
