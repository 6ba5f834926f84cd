"""The dense GLMM likelihoods against exact ones (30-digit arithmetic, fine grids)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import dense, dense_glmm

FOLDER = Path(__file__).parents[2] / "shared" / "reference" / "hierarchical"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="no reference folder beside the project")


def _cbpp(frame):
    dummies = [(frame["period"].astype(str) == level).astype(float) for level in "234"]
    response = frame["incidence"].to_numpy(float)
    density = dense_glmm.density("binomial", "logit", trials=frame["size"].to_numpy(float))
    return response, np.column_stack([np.ones(len(frame)), *dummies]), frame["herd"], density


def _bernoulli(frame):
    X = np.column_stack([np.ones(len(frame)), frame["x"]])
    return frame["y"].to_numpy(float), X, frame["group"], dense_glmm.density("binomial", "logit")


def _fabric(frame):
    X = np.column_stack([np.ones(len(frame)), np.log(frame["leng"])])
    return frame["y"].to_numpy(float), X, pd.Series(np.arange(len(frame))), dense_glmm.density("poisson", "log")


CASES = {"cbpp": _cbpp, "tiny_bernoulli": _bernoulli, "fabric_poisson": _fabric}


def _model(name):
    reference = json.loads((FOLDER / f"glmm_exact_{name}.json").read_text(encoding="utf-8"))
    y, X, group, density = CASES[name](pd.read_csv(FOLDER / "data" / reference["data"]))
    codes, levels = pd.factorize(group)
    term = dense.DenseTerm(codes, np.ones((len(y), 1)), len(levels))
    return reference["at_fixed_parameters"], dense_glmm.DenseGLMM(y, X, (term,), density)


@pytest.mark.parametrize("name", list(CASES))
def test_laplace_quadrature_and_integral(name):
    at, model = _model(name)
    arguments = (model, np.array(at["beta"]), [np.array([[at["sigma"]]])])
    assert dense_glmm.laplace(*arguments) == pytest.approx(at["loglik"]["laplace"], abs=1e-8)
    for nodes in (3, 9, 25):
        value = dense_glmm.adaptive_quadrature(*arguments, nodes)
        assert value == pytest.approx(at["loglik"][f"agq{nodes}"], abs=1e-8)
    assert dense_glmm.exact(*arguments) == pytest.approx(at["exact_loglik"], abs=1e-8)


@pytest.mark.parametrize("name", list(CASES))
def test_modes(name):
    at, model = _model(name)
    modes = at["sigma"] * dense_glmm.mode(model, np.array(at["beta"]), [np.array([[at["sigma"]]])])
    expected = [group["mode"] for group in at["cond"]]
    assert modes[: len(expected)] == pytest.approx(expected, abs=1e-8)
