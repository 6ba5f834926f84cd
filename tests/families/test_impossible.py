"""A response that a family cannot have: one error in words, before anything is computed with it."""

import contextlib
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.families.resolve import FAMILIES

R = np.random.default_rng(0)
N = 96
POSITIVE = R.gamma(2.0, size=N)
RESPONSES = {
    "zeros": np.where(R.random(N) < 0.3, 0.0, POSITIVE),
    "negative": R.normal(size=N),
    "halves": R.poisson(2, N) + 0.5,
    "negative counts": R.poisson(2, N) - 1,
    "huge": POSITIVE * 1e300,
    "huge counts": R.poisson(2, N) * 1e18,
    "beyond one": R.uniform(0.0, 2.0, N),
    "ones": np.where(R.random(N) < 0.3, 1.0, R.uniform(0.01, 0.99, N)),
    "nothing but zeros": np.zeros(N),
    "nothing but ones": np.ones(N),
    "infinite": np.where(np.arange(N) == 3, np.inf, 1.0),
}


@pytest.mark.parametrize("response", RESPONSES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_response_is_fitted_or_refused_without_a_word_of_numpy(family, response):
    data = pd.DataFrame({"c": RESPONSES[response], "x": R.normal(size=N), "g": np.repeat(range(12), 8)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        with contextlib.suppress(mfx.DataError, mfx.SpecificationError):
            model = mfx.GeneralizedLinearMixedModel("c ~ x + (1 | g)", data, family=family)
            model._prepared(False)  # where the family looks at the response


def test_zeros_of_a_lognormal_response_are_named():
    data = pd.DataFrame({"c": RESPONSES["zeros"], "x": R.normal(size=N), "g": np.repeat(range(12), 8)})
    row = int(np.flatnonzero(data["c"] == 0)[0])
    with pytest.raises(mfx.DataError, match=f"positive numbers; found 0 in row {row}"):
        mfx.glmer("c ~ x + (1 | g)", data, family="lognormal")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mfx.check_design("c ~ x + (1 | g)", data, family="lognormal")


def test_whole_numbers_are_asked_for_with_a_number_that_is_none():
    data = pd.DataFrame({"c": np.arange(N) + 1000001.5, "x": R.normal(size=N), "g": np.repeat(range(12), 8)})
    with pytest.raises(mfx.DataError, match=r"whole numbers; found 1000001\.5 in row 0"):
        mfx.glmer("c ~ x + (1 | g)", data, family="poisson")
