"""The Laplace approximation of many responses at once against that of one, on random designs and families."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfx as mfx
from mixedfx.criterion.batch import block_map
from mixedfx.criterion.generalized_batch import generalized_batch
from mixedfx.criterion.generalized_modes import stacked
from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.fitting.generalized_search import difference_hessian
from mixedfx.models.generalized import GeneralizedLinearMixedModel
from tests.examples import examples

FAMILIES = {
    "binomial": {},
    "poisson": {},
    "nbinom2": {},
    "nbinom1": {},
    "gamma": {"link": "log"},
    "gaussian": {"link": "log"},
    "beta": {},
    "betabinomial": {},
    "lognormal": {},
    "student": {},
    "inverse_gaussian": {"link": "log"},
    "zero-inflated poisson": {"zero_inflation": "~ x"},
    "dispersion": {"dispersion": "~ x"},
}
TERMS = ("(1 | g)", "(x | g)", "(x || g)", "(1 | g / h)")


def problem_of(name, term, seed):
    """A model of a family on a small random design, and three responses that it can have."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 6, size=rng.integers(4, 7))
    n = int(sizes.sum())
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "g": np.repeat([f"g{k}" for k in range(sizes.size)], sizes),
            "h": rng.integers(2, size=n).astype(str),
            "w": rng.uniform(0.5, 2.0, size=n),
            "t": rng.integers(2, 9, size=n),
        }
    )
    options = dict(FAMILIES[name])
    family = {"zero-inflated poisson": "poisson", "dispersion": "nbinom2"}.get(name, name)
    family = mfx.families.family_for(family, options.pop("link", None))
    weights = "t" if family.proportions else "w"
    Y = np.column_stack([draw(family, rng, frame) for _ in range(3)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        model = GeneralizedLinearMixedModel(
            f"y ~ x + {term}", frame.assign(y=Y[:, 0]), family=family, weights=weights, **options
        )
    return model.problem, Y


def draw(family, rng, frame):
    """Some response that the family can have."""
    n = len(frame)
    if family.proportions:
        return rng.binomial(frame["t"], 0.4) / frame["t"]
    if family.support.atoms == "integers":
        return rng.poisson(1.5, size=n).astype(float)
    unit = family.mean_range == "unit"
    return rng.uniform(0.1, 0.9, size=n) if unit else np.exp(0.4 * rng.normal(size=n))


@pytest.mark.parametrize("name", FAMILIES)
@given(term=st.sampled_from(TERMS), seed=st.integers(0, 10_000))
@examples(5)
def test_the_batch_is_the_criterion_of_each_response(name, term, seed):
    problem, Y = problem_of(name, term, seed)
    problems = [problem.with_response(y) for y in Y.T]
    blocks = block_map(problem.assembly.rows.layout)
    batch = generalized_batch(problem.model, blocks, stacked([one.shifted_response for one in problems]))
    x = 0.3 * np.random.default_rng(seed).normal(size=(3, problem.n_parameters))
    at = batch.at(x, np.zeros((blocks.size, blocks.count, 3)))
    near = batch.at(x + 1e-3, at.modes.t)
    for r, own in enumerate(problems):
        expected = own.evaluate(x[r])
        assert np.isfinite(expected.value) == at.is_known[r]
        if not at.is_known[r]:
            continue
        size = 1.0 + np.abs(expected.gradient).max()
        assert at.value[r] == pytest.approx(expected.value, rel=1e-9, abs=1e-8)
        np.testing.assert_allclose(at.gradient[r], expected.gradient, rtol=1e-6, atol=1e-6 * size)
        assert near.value[r] == pytest.approx(own.evaluate(x[r] + 1e-3).value, rel=1e-9, abs=1e-8)
        hessian = difference_hessian(LaplaceEvaluation, expected)
        np.testing.assert_allclose(at.hessian[r], hessian, rtol=1e-3, atol=1e-4 * np.abs(hessian).max())


def test_a_response_without_a_mode_does_not_hold_up_the_others():
    problem, Y = problem_of("poisson", "(1 | g)", 1)
    problems = [problem.with_response(y) for y in Y.T]
    blocks = block_map(problem.assembly.rows.layout)
    batch = generalized_batch(problem.model, blocks, stacked([one.shifted_response for one in problems]))
    x = np.zeros((3, problem.n_parameters))
    x[1, 0] = np.nan
    with np.errstate(all="ignore"):
        at = batch.at(x, np.zeros((blocks.size, blocks.count, 3)))
        assert np.isfinite(at.value).tolist() == [True, False, True]
    assert at.value[2] == pytest.approx(problems[2].evaluate(x[2]).value)
