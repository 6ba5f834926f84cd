"""A function of the user gives a row the same value alone and among others, or it is refused by name."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfx as mfx
from mixedfx.exceptions import SpecificationError
from mixedfx.matrices import build_design
from mixedfx.matrices.random import RandomEffects

OWN, DRAWS = np.arange(59.0), np.random.default_rng(1)

ALONE = {
    "half(x)": lambda x: x / 2,
    "both(x)": lambda x: np.column_stack([x, np.sin(x)]),
    "table(x)": lambda x: pd.DataFrame({"one": x, "two": x**2}),
    "big(x)": lambda x: np.where(x > 0.5, "big", "small"),
    "between(x)": lambda x: pd.cut(x, [-np.inf, 0, 1, np.inf]),
    "positive(x)": lambda x: x > 0,
    "first(f)": lambda f: np.asarray(f) == "a",
    "upper(f)": lambda f: [str(label).upper() for label in f],
    "squared(center(x))": np.square,
    "I(half(x) * half(k))": lambda x: x / 2,
    "slow(x)": np.vectorize(lambda value: float(value) ** 3),
}
TOGETHER = {
    "I(x - mean(x))": np.mean,
    "I(k - mean(k))": np.mean,
    "I(x / max(x))": np.max,
    "least(k)": lambda k: k - np.min(k),
    "rank(x)": lambda x: pd.Series(x).rank(),
    "z(x)": lambda x: (x - x.mean()) / x.std(),
    "walk(x)": np.cumsum,
    "shift(k)": lambda k: np.roll(k, 1),
    "thirds(x)": lambda x: pd.qcut(x, 3),
    "wide(x)": lambda x: pd.cut(x, 3),
    "count(f)": lambda f: pd.Series(np.asarray(f)).map(pd.Series(np.asarray(f)).value_counts()).to_numpy(dtype=float),
    "own_part(x)": lambda x: x + OWN,
    "jitter(x)": lambda x: x + DRAWS.normal(size=x.size),
    "orthogonal(x)": lambda x: np.linalg.qr(np.vander(x, 3))[0],
    "half(mean(x))": np.mean,
    "groups(f, x)": lambda f, x: pd.Series(x).groupby(np.asarray(f)).transform("mean").to_numpy(),
}


def frame(seed, n=60):
    """A variable, a balanced one whose halves have one mean, a factor, and holes."""
    r = np.random.default_rng(seed)
    data = pd.DataFrame({"y": r.normal(size=n), "x": r.normal(size=n), "k": np.tile(np.arange(6.0), n // 6)})
    data["f"] = np.tile(list("aabcd"), n // 5)
    data["g"] = np.repeat([f"g{i}" for i in range(n // 6)], 6)
    data.loc[n - 1, "x"] = np.nan
    return data


def named(term, function):
    names = {word for word in term.replace("(", " ( ").split() if word.isidentifier()} - {"I", "x", "k", "f", "center"}
    return {name: function if name != "half" or name in term[:7] else (lambda x: x / 2) for name in names}


@pytest.mark.parametrize("term", ALONE)
@given(seed=st.integers(0, 2**32 - 1))
def test_rows_alone_have_the_values_that_they_have_among_others(term, seed):
    data = frame(seed)
    design = build_design(f"y ~ {term} + ({term} | g)", data, functions=named(term, ALONE[term]))
    rows = np.sort(np.random.default_rng(seed).choice(59, 7, replace=False))
    np.testing.assert_allclose(design.fixed.encode(data.iloc[rows]), design.fixed.matrix[rows], rtol=1e-9, atol=1e-12)
    random: RandomEffects = design.random[0]
    np.testing.assert_allclose(random.encode(data.iloc[rows])[1], random.matrix[rows], rtol=1e-9, atol=1e-12)


PLACES = ("y ~ {} + (1 | g)", "y ~ 1 + ({} | g)", "y ~ 1 + offset({}) + (1 | g)", "y ~ s({}, k=5)")


@pytest.mark.parametrize("term", TOGETHER)
def test_functions_of_all_rows_are_refused_by_name_wherever_they_stand(term):
    functions = named(term, TOGETHER[term])
    for place in PLACES:
        with pytest.raises(SpecificationError, match=r"row by row.*center\(x\).*compute the column") as found:
            build_design(place.format(term), frame(3), functions=functions)
        assert any(f"{name} does not work row by row" in str(found.value) for name in functions)


def test_a_response_may_look_at_all_rows():
    """No row of new data has one."""
    data = frame(5)
    design = build_design("z(y) ~ x + (1 | g)", data, functions={"z": lambda y: y - y.mean()})
    assert design.response.values.mean() == pytest.approx(0.0, abs=1e-12)


def test_sums_over_rows_see_no_other_pieces():
    pieces = [frame(1), frame(2)]
    for formula in ("y ~ rank(x) + (1 | g)", "rank(y) ~ x + (1 | g)"):
        with pytest.raises(SpecificationError, match="rank does not work row by row"):
            mfx.cross_products(iter(pieces), formula, functions={"rank": TOGETHER["rank(x)"]})


@pytest.mark.parametrize("name", ["mean", "sd", "max", "rank", "np.mean", "zscore", "cumsum"])
def test_names_of_such_functions_are_known(name):
    with pytest.raises(
        SpecificationError, match=r"looks at a whole column.*center\(x\), scale\(x\).*wb\(x, g\)"
    ) as found:
        build_design(f"y ~ I(x - {name}(x)) + (1 | g)", frame(1))
    assert "functions=" not in str(found.value)
