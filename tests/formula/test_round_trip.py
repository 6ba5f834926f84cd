"""`str(formula)` is an equivalent formula; evaluable text holds nothing but the whitelist."""

import ast
import keyword

from hypothesis import given

from mixedfx.exceptions import SpecificationError
from mixedfx.formula import CONSTANTS, FUNCTIONS, parse
from tests.examples import examples
from tests.formula.strategies import formulas


@examples(120)
@given(formulas())
def test_round_trip(text):
    try:
        formula = parse(text)
    except SpecificationError as error:
        if "twice" not in error.message and "both sides" not in error.message:
            raise
        return
    again = parse(str(formula))
    assert again == formula
    assert str(again) == str(formula)
    assert again.variables == formula.variables
    assert again.names == formula.names
    assert again.fixed_terms == formula.fixed_terms
    assert [(term.terms, term.variables) for term in again.random] == [(t.terms, t.variables) for t in formula.random]
    assert parse(text, columns=list(formula.variables)) == formula


@examples(60)
@given(formulas())
def test_evaluable_text_holds_columns_and_whitelisted_functions_only(text):
    try:
        formula = parse(text)
    except SpecificationError:
        return
    texts = [formula.response, *formula.offsets] if formula.response else [*formula.offsets]
    texts += [factor for term in formula.fixed_terms for factor in term]
    texts += [factor for bar in formula.random for term in bar.terms for factor in term]
    known = {name for name, _ in formula.names} | FUNCTIONS | CONSTANTS.keys() | {"contr"}
    for node in (node for piece in texts for node in ast.walk(ast.parse(piece, mode="eval"))):
        if isinstance(node, ast.Name):
            assert node.id in known
            assert not keyword.iskeyword(node.id)
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node.value) == "contr"
