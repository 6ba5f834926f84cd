"""`update` changes a formula as R does."""

import pytest

from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import parse, update

CHANGES = [
    ("y ~ x*z + (1 | g)", "~ . - x:z", "y ~ x + z + (1 | g)"),
    ("y ~ x + (1 | g)", ". ~ .", "y ~ x + (1 | g)"),
    ("y ~ x", "log(.) ~ .", "log(y) ~ x"),
    ("y/n ~ x", "log(.) ~ .", "log(y/n) ~ x"),
    ("y ~ x", "z ~ .", "z ~ x"),
    ("y ~ x", "~ . + (x | g)", "y ~ x + (x | g)"),
    ("y ~ x + (1 | g/h)", "~ . - (1 | g:h)", "y ~ x + (1 | g)"),
    ("y ~ x + (1 | g/h)", "~ . - (1 | g/h) + (x || g)", "y ~ x + (x || g)"),
    ("y ~ 0 + x", "~ . + z", "y ~ 0 + x + z"),
    ("y ~ 0 + x", "~ . + 1", "y ~ x"),
    ("y ~ x", "~ . - 1", "y ~ 0 + x"),
    ("y ~ a + b", "~ .^2", "y ~ a * b"),
    ("y ~ a + b", "~ . + .:c", "y ~ a + b + a:c + b:c"),
    ("y ~ a + b + (1 | g)", "~ a", "y ~ a"),
    ("y ~ a + offset(log(n)) + (1 | g)", "~ . - offset(log(n))", "y ~ a + (1 | g)"),
    ("y ~ a + Error(s)", "~ . - Error(s) + (1 | s)", "y ~ a + (1 | s)"),
    ("y ~ a + Error(s/a)", "log(.) ~ . + b", "log(y) ~ a + b + Error(s/a)"),
    ("y ~ a + (1 | g)", "~ . + b + .", "y ~ a + b + (1 | g)"),
    ("`my y` ~ total.x", "~ . + log(total.x)", "`my y` ~ total.x + log(total.x)"),
]


@pytest.mark.parametrize(("old", "change", "new"), CHANGES)
def test_changes(old, change, new):
    assert update(old, change) == update(parse(old), change) == parse(new)


def test_the_result_tells_its_own_source():
    formula = update("y ~ x + (1 | g)", "~ . - x")
    assert formula.source == str(formula) == "y ~ 1 + (1 | g)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("~ . - z", "no term z"),
        ("~ . - Error(s)", "no such Error"),
        ("~ . - (x | g)", "no random term"),
        ("~ . - offset(x)", "no offset"),
        ("~ . + y", "response"),
    ],
)
def test_nothing_is_ignored(change, message):
    with pytest.raises(SpecificationError, match=message):
        update("y ~ x + (1 | g)", change)


def test_unknown_columns():
    columns = ["y", "x", "g"]
    assert update("y ~ x", "~ . + (1 | g)", columns=columns).groups == ("g",)
    with pytest.raises(DataError, match="'w'"):
        update("y ~ x", "~ . + w", columns=columns)


def test_updates_are_not_a_back_door():
    for change in (
        "~ . + I(__import__('os'))",
        "open('x') ~ .",
        "~ . + (1 + x.to_csv('f') | g)",
        "~ . + offset(eval('x'))",
    ):
        with pytest.raises(SpecificationError):
            update("y ~ x + (1 | g)", change)
