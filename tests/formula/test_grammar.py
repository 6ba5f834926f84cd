"""The grammar table: what each spelling means."""

import pickle

import pytest

from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import Formula, RandomTerm, display, parse

# The terms (as sets of factors) are those of R 4.2's terms().
FIXED = [
    ("y ~ x", "1 + x"),
    ("y ~ 1", "1"),
    ("y ~ 0 + x", "0 + x"),
    ("y ~ x - 1", "0 + x"),
    ("y ~ x + 0", "0 + x"),
    ("y ~ -1 + x", "0 + x"),
    ("y ~ x + -1", "0 + x"),
    ("y ~ 0 + x + 1", "1 + x"),
    ("y ~ 1 + x", "1 + x"),
    ("y ~ (0 + x)", "0 + x"),
    ("y ~ 0", "0"),
    ("y ~ a*b", "1 + a + b + a:b"),
    ("y ~ a:b", "1 + a:b"),
    ("y ~ b + a:b + a", "1 + b + a + a:b"),
    ("y ~ a:b + b:a", "1 + a:b"),
    ("y ~ a:a", "1 + a"),
    ("y ~ a/b", "1 + a + a:b"),
    ("y ~ a/b/c", "1 + a + a:b + a:b:c"),
    ("y ~ (a + b)/c", "1 + a + b + a:b:c"),
    ("y ~ a/(b + c)", "1 + a + a:b + a:c"),
    ("y ~ b %in% a", "1 + b:a"),
    ("y ~ a + b %in% a", "1 + a + b:a"),
    ("y ~ (a + b + c)^2", "1 + a + b + c + a:b + a:c + b:c"),
    ("y ~ (a + b + c)**2 - a:b", "1 + a + b + c + a:c + b:c"),
    ("y ~ a*b*c - a:b:c", "1 + a + b + c + a:b + a:c + b:c"),
    ("y ~ (a + b)^3", "1 + a + b + a:b"),
    ("y ~ a + b:c*d", "1 + a + d + b:c + b:c:d"),
    ("y ~ a*(b + c)", "1 + a + b + c + a:b + a:c"),
    ("y ~ ((x))", "1 + x"),
    ("y ~ x + x", "1 + x"),
    ("y\n~ x\n + z", "1 + x + z"),
    ("y ~ total.fruits", "1 + quoted_746f74616c2e667275697473"),
]

EXPRESSIONS = [
    ("I(x^2)", "I(x ** 2)"),
    ("I( x ** 2 )", "I(x ** 2)"),
    ("I(-x^2)", "I(-x ** 2)"),
    ("np.log(x)", "log(x)"),
    ("log(x + 1)", "log(x + 1)"),
    ("I(x / log(2))", "I(x / log(2))"),
    ("sin(2 * pi * x)", "sin(2 * pi * x)"),
    ("poly(x, 3)", "poly(x, 3)"),
    ("poly(x, degree = 2, raw = TRUE)", "poly(x, degree=2, raw=True)"),
    ("bs(x, df=5)", "bs(x, df=5)"),
    ("bs(x, knots = c(1, 2.5))", "bs(x, knots=[1, 2.5])"),
    ("ns(x, knots = [1, 2])", "ns(x, knots=[1, 2])"),
    ("cr(x, df=4, constraints='center')", "cr(x, df=4, constraints='center')"),
    ("cs(x, df=4)", "cs(x, df=4)"),
    ("C(f)", "C(f)"),
    ("C(f, contr.sum)", "C(f, contr.sum)"),
    ("C(f, contr.treatment(base = 'b'))", "C(f, contr.treatment(base='b'))"),
    ("C(f, contr.treatment('b'))", "C(f, contr.treatment('b'))"),
    ("C(f, Treatment(reference='b'))", "C(f, contr.treatment(base='b'))"),
    ("C(f, Sum)", "C(f, contr.sum)"),
    ("C(f, 'helmert')", "C(f, 'helmert')"),
    ("C(f, contr.poly(scores=[1, 2, 5]))", "C(f, contr.poly(scores=[1, 2, 5]))"),
    ("C(f, levels=['a', 'b'])", "C(f, levels=['a', 'b'])"),
    ("C(cut(x, 3))", "C(cut(x, 3))"),
    ("cut(x, [0, 1, 2], labels=['low', 'high'])", "cut(x, [0, 1, 2], labels=['low', 'high'])"),
    ("scale(log(x))", "scale(log(x))"),
    ("scale(x, center=False)", "scale(x, center=False)"),
    ("lag(x, -1)", "lag(x, -1)"),
    ("round(x, 2)", "round(x, 2)"),
    ("I(f == 'it is')", "I(f == 'it is')"),
    ("I((x > 1) * (x <= 3))", "I((x > 1) * (x <= 3))"),
    ("I(x // 2 + x % 2)", "I(x // 2 + x % 2)"),
    ("I(2.50 * x)", "I(2.5 * x)"),
    ("I(1e3 * x)", "I(1000.0 * x)"),
]

RANDOM = [
    ("(1 | g)", [("1", ("g",), "us")]),
    ("(x | g)", [("1 + x", ("g",), "us")]),
    ("(1 + x | g)", [("1 + x", ("g",), "us")]),
    ("(0 + x | g)", [("0 + x", ("g",), "us")]),
    ("(x - 1 | g)", [("0 + x", ("g",), "us")]),
    ("(x || g)", [("1 + x", ("g",), "diag")]),
    ("(a*b | g)", [("1 + a + b + a:b", ("g",), "us")]),
    ("(log(x) + I(z^2) | g)", [("1 + log(x) + I(z ** 2)", ("g",), "us")]),
    ("(1 | a/b)", [("1", ("a",), "us"), ("1", ("a", "b"), "us")]),
    ("(1 | a/b/c/d)", [("1", ("a", "b", "c", "d")[:k], "us") for k in (1, 2, 3, 4)]),
    ("(1 | a:b)", [("1", ("a", "b"), "us")]),
    ("(1 | a*b)", [("1", ("a",), "us"), ("1", ("b",), "us"), ("1", ("a", "b"), "us")]),
    ("(1 | a/(b*c))", [("1", g, "us") for g in [("a",), ("a", "b"), ("a", "c"), ("a", "b", "c")]]),
    ("(x || a/b)", [("1 + x", ("a",), "diag"), ("1 + x", ("a", "b"), "diag")]),
    ("ar1(0 + t | g)", [("0 + t", ("g",), "ar1")]),
    ("ar1(t + 0 | g)", [("0 + t", ("g",), "ar1")]),
    *[
        (f"{name}(0 + f | g)", [("0 + f", ("g",), name)])
        for name in ("us", "diag", "homdiag", "cs", "homcs", "hetar1", "toep")
    ],
    ("(1 | Q('my g'))", [("1", ("my g",), "us")]),
    ("(1 | school/class)", [("1", ("school",), "us"), ("1", ("school", "class"), "us")]),
    ("(0 + f || f:g)", [("0 + f", ("f", "g"), "diag")]),
    ("(1 | g) + ar1(0 + t | g)", [("1", ("g",), "us"), ("0 + t", ("g",), "ar1")]),
    ("(1 | g) + (0 + x | g)", [("1", ("g",), "us"), ("0 + x", ("g",), "us")]),
]


@pytest.mark.parametrize(("text", "fixed"), FIXED)
def test_fixed_terms(text, fixed):
    formula = parse(text)
    assert formula.fixed == fixed
    assert [":".join(term) for term in formula.fixed_terms if term] == fixed.split(" + ")[1:]
    assert formula.has_intercept == fixed.startswith("1")


@pytest.mark.parametrize(("written", "evaluable"), EXPRESSIONS)
def test_expressions(written, evaluable):
    assert parse(f"y ~ {written}").fixed == f"1 + {evaluable}"
    assert parse(f"y ~ 1 + (0 + {written} | g)").random[0].expression == f"0 + {evaluable}"


@pytest.mark.parametrize(("text", "expected"), RANDOM)
@pytest.mark.parametrize("frame", ["y ~ w + {}", "y ~ {} + w", "y ~ ({} + w)", "y ~ {} + 1 + w"])
def test_random_terms(text, expected, frame):
    formula = parse(frame.format(text))
    assert [(term.expression, term.group, term.covariance) for term in formula.random] == expected
    assert formula.fixed == "1 + w"
    assert formula.random


@pytest.mark.parametrize(
    ("text", "response", "variables"),
    [
        ("log(y + 1) ~ x", "log(y + 1)", ("y", "x")),
        ("y/n ~ x", "y / n", ("y", "n", "x")),
        ("y^2 ~ x", "y ** 2", ("y", "x")),
        ("cbind(s, n - s) ~ n", "cbind(s, n - s)", ("s", "n")),
        ("y - base ~ base", "y - base", ("y", "base")),
        ("~ x", "", ("x",)),
        ("np.sqrt(y) ~ 1", "sqrt(y)", ("y",)),
        ("`the y` ~ x", "quoted_7468652079", ("the y", "x")),
    ],
)
def test_response(text, response, variables):
    formula = parse(text)
    assert (formula.response, formula.variables) == (response, variables)


def test_offsets_and_strata_are_peeled_off():
    formula = parse("y ~ offset(log(n)) + A*B + Error(subject/A) + offset(2 * z)")
    assert formula.offsets == ("log(n)", "2 * z")
    assert formula.error == (("subject",), ("subject", "A"))
    assert formula.fixed == "1 + A + B + A:B"
    assert formula.variables == ("y", "A", "B", "n", "z", "subject")
    assert not formula.random
    assert parse("y ~ A + Error(s/(A*B))").error == (("s",), ("s", "A"), ("s", "B"), ("s", "A", "B"))
    assert parse("y ~ A + Error(a + b)").error == (("a",), ("b",))


def test_known_takes_the_name_of_a_matrix():
    term = parse("y ~ x + known(1 | animal, K) + (1 | animal)", functions={"K": 0}).random[0]
    assert (term.covariance, term.argument, str(term)) == ("known", "K", "known(1 | animal, K)")


def test_functions_of_the_user():
    formula = parse("y ~ half(x, [1, 2]) + I(x * k) + C(f, M) + bs(x, knots=k)", functions=("half", "k", "M"))
    assert formula.fixed == "1 + half(x, [1, 2]) + I(x * k) + C(f, M) + bs(x, knots=k)"
    assert formula.variables == ("y", "x", "f")


def test_columns_named_like_functions():
    formula = parse("y ~ log + log(log) + C + I(C^2) + (1 | C)", columns=["y", "log", "C"])
    assert str(formula) == "y ~ 1 + log + log(log) + C + I(C ** 2) + (1 | C)"
    assert formula.variables == ("y", "log", "C")
    assert {name for key, name in formula.names if key != name} == {"log", "C"}
    assert dict(formula.names)["y"] == "y"


def test_dotted_names_are_columns_before_anything_else():
    formula = parse("y ~ log(total.fruits) + x.y:z", columns=["y", "total.fruits", "x.y", "z"])
    assert formula.variables == ("y", "total.fruits", "x.y", "z")
    with pytest.raises(DataError, match="attributes and methods"):
        parse("y ~ x.values", columns=["y", "x"])


def test_constants_are_columns_only_if_the_data_say_so():
    assert parse("y ~ sin(pi * x)").variables == ("y", "x")
    assert parse("y ~ sin(pi * x)", columns=["y", "x", "pi"]).variables == ("y", "pi", "x")
    with pytest.raises(DataError, match="'pi'"):
        parse("y ~ x + pi", columns=["y", "x"])


def test_dot_is_all_but_response_and_groups():
    columns = ["y", "x", "z", "g", "my x", "h"]
    formula = parse("log(y) ~ . + (1 | g/h)", columns=columns)
    assert display(formula.fixed) == "1 + x + z + `my x`"
    assert parse("y ~ .^2 - x:z + (1 | g)", columns=["y", "x", "z", "g"]).fixed == "1 + x + z"
    assert parse("y ~ . + Error(g/x)", columns=["y", "x", "z", "g"]).fixed == "1 + x + z"
    assert parse("y ~ . - z", columns=["y", "x", "z"]).fixed == "1 + x"
    with pytest.raises(SpecificationError, match=r"\."):
        parse("y ~ . + (1 | g)")
    with pytest.raises(DataError, match="strings"):
        parse("y ~ .", columns=["y", 3])


def test_formulas_are_values():
    formula = parse("y ~ `my x` + (x || a/b)")
    assert [term.label for term in formula.random] == ["a", "a:b"]
    assert repr(formula.random[1]) == "RandomTerm('(1 + x || a:b)')"
    assert pickle.loads(pickle.dumps(formula)) == formula
    assert hash(formula) == hash(parse(str(formula)))
    assert parse(formula) == formula
    assert repr(formula) == "Formula('y ~ 1 + `my x` + (1 + x || a) + (1 + x || a:b)')"
    assert formula.groups == ("a", "b")
    assert formula.source == "y ~ `my x` + (x || a/b)"
    assert isinstance(formula, Formula)
    assert all(isinstance(term, RandomTerm) for term in formula.random)


def test_spaces_mean_nothing():
    assert parse("y~x+(1|g)") == parse("  y ~\tx\n + ( 1 | g ) ")
