"""Random text: either a formula or one of our errors, in no time."""

import random

import pytest

from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import parse, update

TERMS = [
    "x",
    "z",
    "f",
    "a.b",
    "`my x`",
    "`a:b`",
    "1",
    "0",
    "I(x^2)",
    "log(a.b)",
    "C(f, contr.sum)",
    "poly(z, 2)",
    "half(x)",
]
TERMS += [
    "(1 | g)",
    "(x || g)",
    "(1 | g/h)",
    "(0 + f | h)",
    "diag(x | h)",
    "known(1 | g, K)",
    "offset(log(x))",
    "(x + z)^2",
]
OPERATORS = [" + ", " + ", " + ", " - ", "*", ":", "/", " %in% ", " | "]
WORDS = [
    "lambda",
    "for",
    "if",
    "else",
    "and",
    "not",
    "in",
    "is",
    "None",
    "True",
    "__x__",
    "x.y.z",
    "df=",
    "knots=",
    "10**9",
]
CALLS = [
    "log(",
    "I(",
    "C(",
    "poly(",
    "offset(",
    "Error(",
    "Q(",
    "cbind(",
    "us(",
    "ar1(",
    "known(",
    "c(",
    "np.log(",
    "(",
    "(",
]
SIGNS = [
    *"~+-*/:^()[]{}|,=<>.%#;@&!$\\`'\"\x00\u200b\u202e\ud800ｘé\t\n",
    "||",
    "**",
    "%in%",
    "==",
    "//",
    "%%",
    ")",
    ")",
]
PIECES = [*TERMS, *OPERATORS, *WORDS, *CALLS, *SIGNS]
CHARACTERS = "yxg~+-*/:^|()[]{}.,=<>`'\"%0123456789 \n\te_é\x00\\#@!&;"
GOOD = "log(y) ~ I(x^2)*`my x` + poly(a.b, 3):f + (1 + x | g/h) + ar1(0 + f | h) + offset(log(z))"


def well_formed(source):
    """Terms that have a meaning joined by operators: many of them are formulas."""
    terms = source.choices(TERMS, k=source.randint(1, 5))
    return "y ~ " + "".join(term + source.choice(OPERATORS) for term in terms) + source.choice(TERMS)


def mutilated(source):
    """A good formula with a few characters changed, inserted or lost."""
    characters = list(GOOD)
    for _ in range(source.randint(1, 4)):
        place = source.randrange(len(characters))
        characters[place : place + source.randint(0, 2)] = source.choice(CHARACTERS)
    return "".join(characters)


def jumbled(source):
    """Pieces in any order."""
    return source.choice(["", "y ~ "]) + source.choice(["", " "]).join(source.choices(PIECES, k=source.randint(0, 16)))


def noise(source):
    """Characters in any order."""
    return "".join(source.choices(CHARACTERS, k=source.randint(0, 40)))


def sentences(seed, count):
    source = random.Random(seed)
    for _ in range(count):
        yield source.choice([well_formed, mutilated, jumbled, noise])(source)


@pytest.mark.parametrize("columns", [None, ["y", "x", "z", "f", "g", "h", "a.b", "my x", "a:b"]])
def test_only_our_errors_come_out(columns):
    parsed = 0
    for text in sentences(seed=7, count=4000):
        try:
            formula = parse(text, columns=columns, functions=("half", "K"))
        except SpecificationError as error:
            if error.position is not None and not 0 <= error.position <= len(text):
                raise
        except DataError:
            if columns is None:
                raise
        else:
            parsed += 1
            assert parse(str(formula), columns=columns, functions=("half", "K")) == formula, text
    assert parsed > 100


def test_updates_too():
    for text in sentences(seed=11, count=1500):
        try:
            formula = update("y ~ x*z + (1 | g) + offset(log(w))", text)
        except SpecificationError:
            continue
        assert parse(str(formula)) == formula, text
