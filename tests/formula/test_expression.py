"""Expressions: text and tree are one value, read once."""

import ast
import copy
import pickle

import pytest

import mixedfx as mfx
from mixedfx.exceptions import SpecificationError
from mixedfx.formula import Expression, as_expression, columns_in, parse

FORMULA = (
    "cbind(incidence, n - incidence) ~ log(x + 1)*C(period, contr.sum) + lag(x, 1) + my(x, 2) + offset(log(n)) "
    "+ (1 + wb(x, herd) | herd)"
)


def every_expression(formula):
    return [*formula.expressions, *(part for whole in formula.expressions for part in (*whole.arguments, *whole.lags))]


@pytest.mark.parametrize("expression", every_expression(parse(FORMULA, functions={"my"})))
def test_the_tree_says_what_the_text_says(expression):
    assert ast.dump(ast.parse(expression.text, mode="eval").body) == ast.dump(expression.tree)
    assert expression == expression.text
    assert hash(expression) == hash(expression.text)
    assert type(expression.text) is str


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copy_says_the_same(again):
    formula = parse(FORMULA, functions={"my"})
    for one, other in zip(formula.expressions, again(formula).expressions, strict=True):
        assert one == other
        assert (one.columns, one.functions) == (other.columns, other.functions)
        assert ast.dump(one.tree) == ast.dump(other.tree)


def test_columns_and_functions_are_told_apart():
    expression = parse("y ~ my(x, K) + log(quoted) + `log`", functions={"my", "K"}).fixed_terms[1][0]
    assert expression.columns == ("x",)
    assert expression.functions == {"my", "K"}
    assert columns_in(parse("y ~ log(`log`) + I(pi * z)").expressions) == ("y", "log", "z")


def test_values_of_other_rows():
    expression = parse("y ~ I(x + lag(z, 2) + lag(z, 2) + lag(x))").fixed_terms[1][0].arguments[0]
    assert expression.columns == ("x", "z")
    assert expression.row_columns == ("x",)
    assert expression.lags == ("lag(z, 2)", "lag(x)")


def test_nothing_has_no_columns():
    assert parse("~ x").response == Expression() == ""
    assert Expression().columns == () == Expression().arguments


def test_text_from_elsewhere_is_read_once():
    assert as_expression("np.log(x) + C(f, Treatment)") is as_expression("np.log(x) + C(f, Treatment)")
    assert as_expression("np.log(x)").columns == ("x",)
    with pytest.raises(SpecificationError, match="not an expression"):
        as_expression("x +")


def test_a_fit_parses_every_expression_once(monkeypatch):
    data = mfx.load_dataset("cbpp").assign(n=lambda d: d["size"], x=lambda d: 1.0 + d["size"] % 7)
    parsed, really = [], ast.parse
    monkeypatch.setattr(
        ast, "parse", lambda text, *rest, **options: parsed.append(text) or really(text, *rest, **options)
    )
    functions = {"my": lambda x, power: x**power}
    fit = mfx.glmer(FORMULA + " + (0 + I(x > 3) | period)", data, family="binomial", nagq=0, functions=functions)
    fit.predict(data)
    mfx.emmeans(fit, "period")
    assert "lag(x, 1)" in fit.params.index
    assert any("lag" in text for text in parsed)
    ours = [text for text in parsed if text != "1"]  # formulaic reads its intercept
    assert len(ours) == len(set(ours))
