"""Smooths against mgcv: smooths_reference.R makes data and fits, smooths_reference.json holds them."""

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.inference.smooths import wood_statistic

CASES = json.loads((Path(__file__).parent / "smooths_reference.json").read_text())
GAUSSIAN = [name for name, case in CASES.items() if case["family"] == "gaussian"]
SCORED = [name for name in GAUSSIAN if CASES[name]["method"] == "REML"]


@cache
def fitted(name):
    case = CASES[name]
    data = pd.DataFrame(case["data"])
    if case["family"] != "gaussian":  # mgcv's scores have the fixed effects at the joint mode
        return mfx.glmer(case["formula"], data, family=case["family"], nagq=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.SingularFitWarning)  # the smooth of a straight line
        return mfx.lmer(case["formula"], data, reml=case["method"] == "REML")


@pytest.mark.parametrize("name", CASES)
def test_fitted_values(name):
    assert np.asarray(fitted(name).fittedvalues) == pytest.approx(CASES[name]["fitted"], abs=1e-5)


@pytest.mark.parametrize("name", SCORED)
def test_residual_variance_and_standard_errors(name):
    fit, case = fitted(name), CASES[name]
    assert fit.scale == pytest.approx(case["sig2"], rel=1e-6)
    se = fit.get_prediction().summary_frame()["mean_se"]
    assert np.asarray(se) == pytest.approx(case["se"], rel=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_effective_degrees_of_freedom(name):
    smooths, case = fitted(name).smooths, CASES[name]
    count = len(smooths)
    assert smooths["edf"].to_numpy() == pytest.approx(np.atleast_1d(case["edf"])[:count], abs=1e-5)
    assert smooths["ref_df"].to_numpy() == pytest.approx(np.atleast_1d(case["ref_df"])[:count], abs=1e-5)


@pytest.mark.parametrize("name", [name for name in CASES if name != "ml"])  # mgcv's sigma of ML is that of REML
def test_the_statistic_is_that_of_mgcv_up_to_the_sign_of_an_eigenvector(name):
    fit, case = fitted(name), CASES[name]
    for smooth, expected in zip(fit.fitted_smooths, np.atleast_1d(case["statistic"]), strict=False):
        if case["family"] == "gaussian":
            expected = expected * smooth.ref_df
        half = _half(fit, smooth)
        assert min(abs(smooth.statistic + sign * half - expected) for sign in (-1, 1)) < 1e-5 * expected


def _half(fit, smooth):
    """The part of the statistic whose sign is arbitrary, from the joint covariance of all effects."""
    weight = fit.solution.weighted_rows(_eye(fit.nobs)).toarray()
    p, matrix = len(fit.params), np.hstack([fit.model.exog, fit.model.exog_re.toarray()])
    start = p + sum(term.n_columns * term.n_levels for term in fit.design.random[: smooth.term])
    own = np.concatenate([smooth.fixed, start + smooth.random])
    root = np.eye(matrix.shape[1])
    root[p:, p:] = fit.model.Lambda(fit.theta.to_numpy()).toarray()
    inner = weight @ matrix @ root
    ridge = np.diag(np.r_[np.zeros(p), np.ones(matrix.shape[1] - p)])
    covariance = root @ np.linalg.inv(inner.T @ inner + ridge) @ root.T * fit.scale
    effects = np.concatenate([fit.params.to_numpy(), *(mode.T.ravel() for mode in fit.solution.modes)])
    found = wood_statistic(weight @ matrix[:, own], effects[own], covariance[np.ix_(own, own)], smooth.ref_df)
    assert found.mean == pytest.approx(smooth.statistic, rel=1e-6)
    return found.half


def _eye(n):
    import scipy.sparse as sp

    return sp.csr_array(sp.eye_array(n))


@pytest.mark.parametrize("name", [name for name in CASES if "newdata" in CASES[name]])
def test_the_basis_is_replayed_on_new_data_and_goes_on_as_a_line(name):
    case = CASES[name]
    predicted = fitted(name).predict(pd.DataFrame(case["newdata"]))
    assert np.asarray(predicted) == pytest.approx(case["predicted"], abs=1e-4)


@pytest.mark.parametrize("name", SCORED)
def test_differences_of_scores_between_smoothing_parameters(name):
    fit, case = fitted(name), CASES[name]
    data = pd.DataFrame(case["data"])
    low, high = (fit.model.objective(_theta(fit, case[end], data))[0] / 2 for end in ("low", "high"))
    assert low - high == pytest.approx(case["low"]["score"] - case["high"]["score"], abs=1e-6)


def _theta(fit, at, data):
    """Theta at mgcv's smoothing parameters: the penalty is ``sp b'Sb = u'u / theta^2`` of the same function."""
    values = np.asarray(at["terms"]).reshape(len(data), -1)
    squares, own = [], 0
    for term in fit.design.random:
        if term.is_smooth:
            x = data[term.encoder.smooth.columns[0]].to_numpy(float)
            z = data[term.encoder.times].to_numpy() if term.encoder.times else np.ones(len(x))
            for (_, first), count in zip(term.variances, term.covariance.counts, strict=True):
                Z = term.matrix[:, first : first + count]
                rows = np.abs(Z).max(axis=1) > 0
                design = np.column_stack([z[rows], z[rows] * (x[rows] - x.mean()), Z[rows]])
                u = np.linalg.lstsq(design, values[rows, own], rcond=None)[0]
                assert design @ u == pytest.approx(values[rows, own], abs=1e-8)
                squares.append((own, u[2:] @ u[2:]))
                own += 1
        else:
            effects = pd.Series(values[:, -1]).groupby(data[term.group].to_numpy()).first()
            squares.append((values.shape[1] - 1, float(effects @ effects)))
    sp, penalty = np.atleast_1d(at["sp"]), np.atleast_1d(at["penalties"])
    return np.array([np.sqrt(square / (sp[place] * penalty[place])) for place, square in squares])
