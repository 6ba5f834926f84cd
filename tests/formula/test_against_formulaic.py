"""The algebra of terms against formulaic's own parser, an independent reading of the same grammar."""

import pytest
from formulaic import Formula as FormulaicFormula
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.exceptions import SpecificationError
from mixedfx.formula import parse

LEAVES = st.sampled_from(["a", "b", "c", "d"])


def _joined(children):
    pairs = st.tuples(children, st.sampled_from([" + ", ":", "*"]), children)
    return pairs.map(lambda parts: f"({parts[0]}{parts[1]}{parts[2]})")


RIGHT_SIDES = st.recursive(LEAVES, _joined, max_leaves=6)


def terms_of_formulaic(right):
    return [tuple(sorted(str(factor) for factor in term.factors)) for term in FormulaicFormula(right)]


def terms_of_mixedfx(right):
    return [tuple(sorted(term)) or ("1",) for term in parse("y ~ " + right).fixed_terms]


@given(RIGHT_SIDES)
def test_random_algebra(right):
    assert terms_of_mixedfx(right) == terms_of_formulaic(right)


@pytest.mark.parametrize(
    "right",
    [
        "a*b*c - a:b",
        "a/b",
        "a/b/c",
        "(a + b + c)**2",
        "0 + a + b:a",
        "a - 1",
        "a*b*c*d",
        "(a + b)/c",
        "a:b + b",
    ],
)
def test_operators(right):
    assert terms_of_mixedfx(right) == terms_of_formulaic(right)


@pytest.mark.parametrize("right", ["1 + I(x ** 2)", "poly(x, 3)", "bs(x, df=5):f", "C(f, contr.sum)*x", "log(x + 1)"])
def test_expressions_have_formulaics_text(right):
    ours = {factor for term in parse("y ~ " + right).fixed_terms for factor in term}
    theirs = {str(factor) for term in FormulaicFormula(right) for factor in term.factors} - {"1"}
    assert ours == theirs


@given(st.lists(LEAVES, min_size=2, max_size=4, unique=True), st.integers(1, 4))
def test_powers(names, order):
    right = f"({' + '.join(names)})**{order}"
    assert set(terms_of_mixedfx(right)) == set(terms_of_formulaic(right))


def test_in_follows_r_where_formulaic_adds_the_outer_factor():
    assert terms_of_formulaic("b %in% a") == [("1",), ("a",), ("a", "b")]
    assert terms_of_mixedfx("b %in% a") == [("1",), ("a", "b")]


def test_a_power_of_one_term_is_refused_where_formulaic_takes_it_silently():
    assert terms_of_formulaic("x**2") == [("1",), ("x",)]
    with pytest.raises(SpecificationError, match="I"):
        parse("y ~ x**2")
