"""Which model contains which: one rule for every spelling, against dense algebra, and what users are told."""

import itertools
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given
from hypothesis import strategies as st

import mixedfx as mfx
from mixedfx.fitting.starts import random_theta
from mixedfx.matrices import build_design
from mixedfx.results.nesting import MEAN, Columns, Contents, difference

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")


def frame(seed=0, n=60):
    r = np.random.default_rng(seed)
    f = np.tile(list("abc"), n // 3)
    return pd.DataFrame(
        {
            "y": r.normal(size=n),
            "x": r.uniform(1, 3, n),
            "w": r.normal(size=n),
            "f": f,
            "g": np.repeat([f"g{i}" for i in range(n // 6)], 6),
            "h": [f"h{i}" for i in r.integers(0, 5, n)],
        }
    )


def contents(formula, data):
    design = build_design(formula, data)
    columns = {MEAN: Columns(design.fixed.matrix, tuple(design.fixed.names))}
    return Contents(None, None, design.offset, columns, design.random, normal=True)


# --------------------------------------------------------------------------- columns
TERMS = ("x", "I(x^2)", "w", "f", "f:w")
NEEDS = {"f:w": {"f", "w"}, "I(x^2)": {"x"}}  # so that every spelling has the same span
SPELLINGS = {
    "x": ("x", "center(x)", "I(1e6 * x)", "I(1e-7 * x)", "I(x + 1e5)"),
    "w": ("w", "scale(w)", "I(3 - 1e8 * w)"),
    "I(x^2)": ("I(x^2)", "I((x - 2)^2)", "poly(x, 2)", "I(1e9 * x^2)"),
    "f": ("f", "C(f, contr.sum)", "C(f, contr.helmert)"),
    "f:w": ("f:w", "C(f, contr.sum):scale(w)"),
}


@st.composite
def term_sets(draw):
    chosen = draw(st.sets(st.sampled_from(TERMS)))
    whole = chosen.union(*(NEEDS.get(term, set()) for term in chosen))
    return whole, " + ".join(["1", *(draw(st.sampled_from(SPELLINGS[term])) for term in TERMS if term in whole)])


@given(small=term_sets(), large=term_sets())
def test_columns_are_contained_whatever_their_spelling(small, large):
    data = frame()
    found = difference(contents(f"y ~ {small[1]} + (1 | g)", data), contents(f"y ~ {large[1]} + (1 | g)", data))
    assert bool(found) == (not small[0] <= large[0]), found


# --------------------------------------------------------------------------- random terms
RANDOM = (
    "(1 | g)",
    "(x | g)",
    "(0 + x | g)",
    "(0 + I(1e5 * x - 2e5) | g)",
    "(x || g)",
    "(0 + f | g)",
    "(f | g)",
    "diag(0 + f | g)",
    "homdiag(0 + f | g)",
    "homcs(0 + f | g)",
    "cs(0 + f | g)",
    "ar1(0 + f | g)",
    "(1 | g:f)",
    "(1 | h)",
    "(1 | g:h)",
    "(w | h)",
    "(1 | g) + (1 | g:f)",
    "(1 | g) + (1 | h)",
)
TOLERANCE = 1e-6  # of a covariance of length one


@cache
def written(random):
    """What ``difference`` asks of a model with these terms, and the covariances that they can give."""
    model = contents(f"y ~ 1 + {random}", frame(n=36))
    return model, dense(model.random)


@cache
def span(random):
    """An orthonormal basis of the covariances of the model, residuals among them."""
    covariances = written(random)[1]
    n = round(len(covariances) ** 0.5)
    U, size, _ = np.linalg.svd(np.column_stack([np.eye(n).ravel() / np.sqrt(n), covariances]), full_matrices=False)
    return U[:, size > TOLERANCE * size[0]]


def dense(random, count=60):
    """Covariances (n * n, k) that the terms can give to all pairs of rows, each of length one."""
    rng, found = np.random.default_rng(5), []
    for term in random:
        size = np.linalg.norm(term.matrix, axis=0) if term.covariance.closed_under_scaling() else 1.0
        for _ in range(count):
            if term.covariance.closed_under_affine():
                root = rng.normal(size=(term.n_columns, term.n_columns))
                Sigma = root @ root.T
            else:
                Sigma = term.covariance.covariance(random_theta(term.covariance, rng))
            Z = term.matrix / size
            V = (term.codes[:, None] == term.codes) * (Z @ Sigma @ Z.T)
            found.append(V.ravel() / np.linalg.norm(V))
    return np.column_stack(found)


@pytest.mark.parametrize("large", RANDOM)
def test_terms_are_contained_as_dense_covariances_say(large):
    outer, U = written(large)[0], span(large)
    for small in RANDOM:
        inner, covariances = written(small)
        outside = np.linalg.norm(covariances - U @ (U.T @ covariances), axis=0).max()
        assert bool(difference(inner, outer)) == (outside > TOLERANCE), (small, large)


def test_the_order_of_terms_levels_and_names_of_groups_says_nothing():
    data = frame()
    data["k"] = data["g"].map({name: i for i, name in enumerate(sorted(set(data["g"]), reverse=True))}).astype(str)
    for one, other in itertools.permutations(("(x | g)", "(x | k)", "(0 + x + I(x - 2) | k)"), 2):
        assert not difference(contents(f"y ~ x + {one}", data), contents(f"y ~ x + {other}", data))


def test_smooths_memberships_and_known_covariances():
    data = frame()
    K = pd.DataFrame(0.5 + 0.5 * np.eye(10), index=sorted(set(data["g"])), columns=sorted(set(data["g"])))
    pairs = {
        "x + (1 | g)": "s(x, k=6) + (1 | g)",
        "s(x, k=6)": "s(x, k=6) + s(w, k=5)",
        "known(1 | g, K)": "w + known(1 | g, K) + (1 | h)",
    }
    for small, large in pairs.items():
        one, two = (
            Contents(None, None, None, {MEAN: Columns(d.fixed.matrix, tuple(d.fixed.names))}, d.random, normal=True)
            for d in (build_design(f"y ~ {part}", data, functions={"K": K}) for part in (small, large))
        )
        assert not difference(one, two)
        assert difference(two, one)


# --------------------------------------------------------------------------- what users see
@pytest.fixture(scope="module")
def sleep():
    r = np.random.default_rng(1)
    data = mfx.load_dataset("sleepstudy")
    return data.assign(a=r.normal(size=180), c=r.normal(size=180))


def compared(*fits):
    table = mfx.anova(*fits)
    return np.isfinite(table["PR(>chi2)"].iloc[1]), " ".join(table.notes)


def test_columns_that_only_the_smaller_model_has_are_named(sleep):
    one, two = (mfx.lmer(f"Reaction ~ {x} + (1 | Subject)", sleep) for x in ("a", "Days + c"))
    has_p, notes = compared(one, two)
    assert not has_p
    assert "Model 1 has a, which model 2 lacks: they are not nested" in notes
    assert "AIC (mfx.compare)" in notes
    with pytest.raises(mfx.SpecificationError, match="the first model has a, which the second lacks: they are not nes"):
        mfx.bootstrap_test(one, two, 5)
    plain = smf.ols("Reaction ~ a", sleep).fit()
    with pytest.raises(mfx.SpecificationError, match="has a, which"):
        mfx.bootstrap_test(plain, two, 5)


def test_further_predictors_are_compared_too():
    r = np.random.default_rng(2)
    d = pd.DataFrame({"g": r.integers(0, 12, 240), "x": r.normal(size=240), "w": r.normal(size=240)})
    d["c"] = r.poisson(np.exp(0.5 + 0.3 * r.normal(size=12)[d["g"]])) * (r.random(240) < 0.8)
    formula = "c ~ x + (1 | g)"

    def fit(**options):
        return mfx.glmer(formula, d, family="nbinom2", **options)

    has_p, notes = compared(fit(dispersion="~ x"), fit(zero_inflation="~ w", dispersion="~ w"))
    assert not has_p
    assert "Model 1 has dispersion: x, which" in notes
    has_p, notes = compared(fit(zero_inflation="~ x"), fit(zero_inflation="~ w", dispersion="~ w"))
    assert "Model 1 has zero_inflation: x, which" in notes
    has_p, notes = compared(fit(), fit(dispersion="~ 0 + x + w"))  # which cannot be constant
    assert "Model 1 has dispersion: Intercept, which" in notes
    assert compared(fit(dispersion="~ x"), fit(dispersion="~ x + I(x^2)", zero_inflation="~ 1"))[0]


def test_ordinal_models_have_no_intercept_to_compare():
    r = np.random.default_rng(4)
    d = pd.DataFrame({"g": r.integers(0, 10, 200), "x": r.normal(size=200), "w": r.normal(size=200)})
    d["y"] = pd.Categorical(np.array(list("abc"))[r.integers(0, 3, 200)], ordered=True)
    one, two = (mfx.glmer(f"y ~ {x} + (1 | g)", d, family="ordinal") for x in ("I(2 - x)", "x + w"))
    assert compared(one, two)[0]


def test_residual_structures_are_compared_too(sleep):
    def fit(formula, residual=None):
        return mfx.lmer(formula, sleep, residual=residual)

    ar1 = mfx.AR1("Days", group="Subject")
    plain, more = "Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + a + c + (1 | Subject)"
    assert compared(fit(plain), fit(plain, ar1))[0]
    assert compared(fit(plain, ar1), fit(more, ar1 * mfx.VarIdent("Subject")))[0]
    has_p, notes = compared(fit("Reaction ~ Days", mfx.CompoundSymmetry(group="Subject")), fit(more))
    assert has_p
    assert "boundary" not in notes  # the variance of the larger model is in the residuals of the smaller one
    has_p, notes = compared(fit(plain, ar1), fit(more))
    assert not has_p
    assert "Model 1 has residuals with AR(1)" in notes
    has_p, notes = compared(fit(plain, ar1), fit(plain, mfx.VarIdent("Subject")))
    assert not has_p
    assert "Model 1 has residuals with AR(1)" in notes


def test_models_of_one_size_have_no_test_and_say_so(sleep):
    one, two = (mfx.lmer(f"Reaction ~ {x} + (1 | Subject)", sleep) for x in ("poly(Days, 2)", "Days + I(Days^2)"))
    has_p, notes = compared(one, two)
    assert not has_p
    assert "Model 1 and model 2 have the same number of parameters: there is no test." in notes


def test_every_blank_p_value_has_a_note(sleep):
    formulas = ("a + (1 | Subject)", "Days + (1 | Subject)", "Days + (Days | Subject)", "c + Days + (0 + a | Subject)")
    fits = [mfx.lmer(f"Reaction ~ {formula}", sleep) for formula in formulas]
    for pair in itertools.combinations(fits, 2):
        has_p, notes = compared(*pair)
        assert has_p or "here is no test" in notes


def test_a_saturated_twin_of_a_factor_is_contained():
    data = mfx.load_dataset("machines")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nested = mfx.lmer("score ~ Machine + (1 | Worker) + (1 | Worker:Machine)", data)
        for left in ("Machine", "0 + Machine"):
            assert compared(nested, mfx.lmer(f"score ~ Machine + ({left} | Worker)", data))[0]
