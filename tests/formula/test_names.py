"""Any column name survives: alias there and back, text shown as the user would write it."""

import ast

from hypothesis import given
from hypothesis import strategies as st

from mixedfx.formula import FUNCTIONS, coefficient_name, display, identifier, parse, quote
from mixedfx.formula.names import column

COLUMN = st.one_of(
    st.text(min_size=1, max_size=12),
    st.sampled_from(
        ["my x", "a:b", "id|2", "total.fruits", "log", "C", "class", "lambda", "None", "TRUE", "pi", "np", "quoted_61"]
        + [
            "__class__",
            "__import__('os')",
            "it's",
            'a"b',
            "a`b",
            "a\\b",
            "naïve",
            "ﬁ",
            "x²",
            "ｘ",
            "a\nb",
            "%in%",
            "1st",
        ]
        + [".", "..", "contr.sum", "np.log", ".x", "_", "Q", "I(x)", "{x}", "f(\x00)", "\u202e", "é", "e\u0301"]
    ),
).filter(lambda name: name.strip() != "")


@given(COLUMN)
def test_identifiers_are_python_and_reversible(name):
    plain = identifier(name, FUNCTIONS)
    assert plain.isidentifier()
    assert ast.parse(plain, mode="eval").body.id == plain  # no normalisation by Python
    assert column(plain) == name
    assert plain not in FUNCTIONS


@given(COLUMN, COLUMN)
def test_different_columns_have_different_identifiers(first, second):
    assert (identifier(first) == identifier(second)) == (first == second)


@given(COLUMN.filter(lambda name: name not in ("y", "g")))
def test_any_column_can_stand_in_any_place(name):
    quoted = "`" + name.replace("`", "``") + "`"
    text = f"y ~ {quoted} + log({quoted}) + {quoted}:f + (1 + {quoted} | g) + (1 | g:{quoted}2) + offset({quoted})"
    text = text.replace(f"{quoted}2", "`" + (name + "2").replace("`", "``") + "`")
    for columns in (None, ["y", "g", "f", name, name + "2"]):
        formula = parse(text, columns=columns)
        assert set(formula.variables) == {"y", "g", "f", name, name + "2"}
        assert parse(str(formula), columns=columns) == formula
    response = parse(f"{quoted} ~ 1")
    assert response.variables == (name,)
    assert display(response.response) == quote(name)


def test_coefficients_bear_the_users_names():
    formula = parse("y ~ `my x` + `a:b`:`my x` + log(`my x` + total.fruits) + class + total.fruits:f")
    factors = [coefficient_name(":".join(term)) for term in formula.fixed_terms if term]
    assert factors == ["my x", "log(`my x` + total.fruits)", "class", "`a:b`:my x", "total.fruits:f"]
    assert coefficient_name(f"{identifier('my x')}[T.b]:z") == "my x[T.b]:z"


def test_look_alikes_are_other_names():
    formula = parse("y ~ ｘ + x", columns=["y", "x", "ｘ"])
    assert formula.variables == ("y", "ｘ", "x")
    assert len(formula.fixed_terms) == 3
