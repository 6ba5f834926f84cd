"""Every mistake is a SpecificationError that says what to write and marks the place."""

import re
import sys

import pytest

from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import parse, update

# The character '‸' stands before the place that must be marked.
MISTAKES = [
    ("‸", "needs a '~'"),
    ("y‸", "needs a '~'"),
    ("y ~ x ‸~ z", "only one"),
    ("(y ‸~ x)", "inside parentheses"),
    ("y ~ x + ‸(1|g", "never closed"),
    ("y ~ x + ‸(1|g + (1|h)", "never closed"),
    ("y ~ x + 1‸|g", "needs parentheses"),
    ("y ~ x ‸|| g", "needs parentheses"),
    ("y ~ x + (1|‸)", "no grouping factor"),
    ("y ~ x + (‸|g)", "nothing stands left"),
    ("y ~ x + us(‸|g)", "nothing stands left"),
    ("y ~ ‸(0 | g)", "nothing is left to vary"),
    ("y ~ (1 | g ‸| h)", "one bar only"),
    ("y ~ (1 | a ‸+ b)", "one factor"),
    ("y ~ (1 | ‸3)", "a group is a column"),
    ("y ~ (1 | a:‸3)", "number"),
    ("y ~ (1 | ‸C(g))", "make a column of C"),
    ("y ~ (1 | ‸.)", "cannot stand for a group"),
    ("y ~ ‸(f | f)", "both sides of the bar"),
    ("y ~ ‸(f | g/f)", "both sides of the bar"),
    ("y ~ (1 | g) + ‸(1 | g)", "twice"),
    ("y ~ (x | g) + ‸(1 + x | g)", "twice"),
    ("y ~ (1 | a/b) + ‸(1 | b:a)", "twice"),
    ("y ~ (1 | g) + ‸(1 || g)", "twice"),
    ("y ~ x - ‸(1 | g)", "no random term"),
    ("y ~ ‸(1 | g):x", "only be added"),
    ("y ~ (‸offset(x) + (1 | g)) : z", "only be added"),
    ("y ~ (‸x + (1 | h) | g)", "left of a bar"),
    ("y ~ ‸foo(x | g)", "unknown covariance"),
    ("y ~ ‸log(x | g)", "bar inside log"),
    ("y ~ diag(x ‸|| g)", "already means"),
    ("y ~ ‸known(1 | g)", "needs its matrix"),
    ("y ~ ‸known(1 | g, K)", "functions="),
    ("y ~ known(1 | g, ‸3)", "name of a matrix"),
    ("y ~ ar1(0 + t | g‸, K)", "takes an argument"),
    ("y ~ ‸diag(x)", "needs a bar"),
    ("y ~ x + ‸* z + (1|g)", "expected a term"),
    ("y ~ x +‸", "ends where a term"),
    ("y ~ x ‸z", "expected an operator"),
    ("y ~ x‸)", "closes nothing"),
    ("y ~ (x‸]", "closes nothing"),
    ("y ~ x + (a ‸= 3)", "does not join terms"),
    ("y ~ x ‸> 3", "wrap arithmetic"),
    ("y ~ x ‸== 3", "wrap arithmetic"),
    ("y ~ x‸[0]", "subscripts"),
    ("y ~ ‸{x}", "not allowed"),
    ("y ~ ‸'x'", "back-quotes"),
    ("y ~ ‸2 * x", "I\\(2 \\* x\\)"),
    ("y ~ x + ‸2", "only 1 and 0"),
    ("y ~ x:‸1", "number 1"),
    ("y ~ x‸^2", "I\\(x\\^2\\)"),
    ("y ~ log(x)‸**2", "I\\(log\\(x\\)\\^2\\)"),
    ("y ~ (a + b)^‸0", "whole number"),
    ("y ~ (a + b)^‸1.5", "whole number"),
    ("y ~ (a + b)^‸b", "whole number"),
    ("y ~ x - ‸z", "no term z"),
    ("y ~ ‸y + x", "response 'y'"),
    ("log(y) ~ x + ‸y", "response 'y'"),
    ("y ~ x + log(‸y)", "response 'y'"),
    ("y ~ x + (1 | ‸y)", "response 'y'"),
    ("y ~ x + offset(‸y)", "response 'y'"),
    ("cbind(a, b) ~ ‸a", "response 'a'"),
    ("‸0 ~ 1 + (1 | g)", "needs a column"),
    ("‸1 + 1 ~ x", "needs a column"),
    ("‸cbind(a, b) + cbind(a, c) ~ x", "whole left side"),
    ("‸cbind(a) ~ x", "two counts"),
    ("y ~ ‸cbind(a, b)", "left side"),
    ("y ~ ‸offset()", "needs an expression"),
    ("y ~ ‸offset(x):z", "only be added"),
    ("y ~ x - ‸offset(x)", "no offset"),
    ("y ~ Error(a) + ‸Error(b)", "only one Error"),
    ("y ~ ‸Error(a) + (1 | g)", "cannot stand in one formula"),
    ("y ~ Error(a + ‸1)", "columns of the strata"),
    ("y ~ Error(‸log(a))", "make a column"),
    ("y ~ ‸Error(a):b", "only be added"),
    ("y ~ I(‸Error(a))", "only be added"),
    ("y ~ ‸foo(x)", "not a function of formulas"),
    ("y ~ ‸factor(x)", "C\\(x\\)"),
    ("y ~ ‸poly()", "needs a column"),
    ("y ~ ‸I(2)", "needs a column"),
    ("y ~ ‸log(2)", "needs a column"),
    ("y ~ ‸I(pi)", "needs a column"),
    ("y ~ exp(x, ‸2)", "too many arguments"),
    ("y ~ log(x, ‸1)", "base of a logarithm"),
    ("y ~ log(x, ‸-2)", "base of a logarithm"),
    ("y ~ log(x, ‸z)", "base of a logarithm"),
    ("y ~ ‸pmin(x)", r"pmin\(x, 5\)"),
    ("y ~ ‸pmax(x, na=1)", r"pmax\(x - 5, 0\)"),
    ("y ~ ‸where(x > 1, 1)", r"where\(x > 5, x, 5\)"),
    ("y ~ ‸where(x > 1, 1, 2, 3)", r"where\(x > 5, x, 5\)"),
    ("y ~ s(x, bs=‸'re')", r"\(1 \| group\)"),
    ("y ~ C(f, contr.sum, ‸['a'])", "too many arguments"),
    ("y ~ scale(x, foo=‸1)", "no argument 'foo'"),
    ("y ~ poly(x, 2, degree=‸3)", "twice"),
    ("y ~ poly(x, ‸'a')", "expected a number"),
    ("y ~ poly(x, ‸z)", "expected a number"),
    ("y ~ poly(x, ‸10**6)", "at most 1000"),
    ("y ~ bs(x, df=‸1e9)", "at most 1000"),
    ("y ~ bs(x, knots=‸['a'])", "list of numbers"),
    ("y ~ cut(x, ‸1e6)", "number of intervals"),
    ("y ~ cr(x, df=3, constraints=‸'raise')", "one of 'center'"),
    ("y ~ bs(x, df=3, extrapolation=‸'center')", "one of 'raise'"),
    ("y ~ C(f, ‸contr.foo)", "contr.sum|not allowed"),
    ("y ~ C(f, ‸x)", "contr.sum"),
    ("y ~ C(f, ‸'foo')", "contr.sum"),
    ("y ~ C(f, contr.treatment(‸x))", "a level"),
    ("y ~ I(1 + ‸poly(x, 2))", "term of its own"),
    ("y ~ scale(‸C(f))", "term of its own"),
    ("y ~ I(‸1 < x < 3)", "one comparison"),
    ("y ~ I(‸x < 'a')", "== and !="),
    ("y ~ I(x + ‸'a')", "string is allowed"),
    ("y ~ I(x ** ‸1000)", "exponent"),
    ("y ~ I(x * 10**‸300)", "exponent"),
    ("y ~ I(x / (‸1e300 * 1e300))", "finite"),
    ("y ~ I(x * (‸1 / 0))", "finite"),
    ("y ~ I(‸(-8) ** 0.5 * x)", "finite"),
    ("y ~ I(x * ‸1e999)", "too large"),
    ("y ~ I(x ‸%% 2)", "tighter"),
    ("y ~ I(x ‸%in% z)", "joins terms"),
    ("y ~ I(a‸:b)", "joins terms"),
    ("y ~ I((x ‸| g))", "bar inside an expression"),
    ("y ~ I(x ‸& z)", "multiply comparisons"),
    ("y ~ Q‸(x)", "name of a column in quotes"),
    ("y ~ ‸None", "not allowed"),
    ("y ~ ‸1st", "back-quote"),
    ("y ~ ‸`x", "never closed"),
    ("y ~ I(x == ‸'a)", "never closed"),
    ("y ~ x ‸# comment", "NUMBER SIGN"),
    ("y ~ x ‸− z", "looks like '-'"),
    ("y ~ (1 ‸∣ g)", "looks like"),
    ("y ~ x‸\x00 + (1|g)", "character"),
    ("y ~ x‸\u200b", "ZERO WIDTH SPACE"),
    ("y ~ x ‸\\ z", "backslash"),
]


@pytest.mark.parametrize(("marked", "message"), MISTAKES, ids=[marked for marked, _ in MISTAKES])
def test_mistakes_are_marked(marked, message):
    text = marked.replace("‸", "", 1)
    with pytest.raises(SpecificationError, match=message) as caught:
        parse(text)
    place = marked.index("‸")
    if text.startswith("y ~ Q"):
        place -= 1
    assert caught.value.position == place
    assert len(caught.value.formula) == len(text)
    assert "\x00" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("y ~ xx + (1|g)", "xx"),
        ("y ~ x + (1|gg)", "gg"),
        ("yy ~ x", "yy"),
        ("y ~ log(xx)", "xx"),
        ("y ~ Q('a b')", "a b"),
    ],
)
def test_missing_columns_are_named_with_a_neighbour(text, column):
    with pytest.raises(DataError, match=repr(column)) as caught:
        parse(text, columns=["y", "x", "g", "a_b"])
    assert "did you mean" in str(caught.value)
    assert "^" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        ("math ~ x", ["x", "math score"], "in a formula: `math score`"),
        ("score ~ x", ["x", "score_t1", "score_t2"], "data.melt"),
        ("y ~ x", ["y;x;g"], r"sep=';'"),
        ("math score ~ x", ["x", "math score"], "`math score`"),
        ("y ~ x + (1 | the school id)", None, "`the school id`"),
        ("size.(mm) ~ x", None, "back-quotes"),
    ],
)
def test_names_as_files_have_them_are_told_how_to_be_written(text, columns, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        parse(text, columns=columns)


@pytest.mark.parametrize("formula", [None, 3, b"y ~ x", ["y ~ x"]])
def test_a_formula_is_a_string(formula):
    with pytest.raises(TypeError, match="formula must be a str"):
        parse(formula)


def test_arguments_of_the_wrong_type():
    with pytest.raises(TypeError, match="columns"):
        parse("y ~ x", columns="xy")
    with pytest.raises(TypeError, match="functions"):
        parse("y ~ x", functions="f")
    with pytest.raises(TypeError, match="functions"):
        parse("y ~ x", functions=[3])
    for name in ("a b", "lambda", "__import__", "quoted_61", "pi", "np", ""):
        with pytest.raises(SpecificationError, match="functions"):
            parse("y ~ x", functions=[name])


def test_limits():
    many = "+".join(f"v{i}" for i in range(12))
    for text, message in [
        (f"y ~ ({many})**12 + (1|g)", "terms"),
        (f"y ~ ({many})^999999999", "terms"),
        ("y ~ " + "*".join(f"v{i}" for i in range(40)), "terms"),
        ("y ~ (1 | " + "*".join(f"v{i}" for i in range(40)) + ")", "terms"),
        ("y ~ " + "(" * 1000 + "x" + ")" * 1000, "nested"),
        ("y ~ " + "I(" * 1000 + "x" + ")" * 1000, "nested"),
        ("y ~ " + "x +" * 50_000, "too long"),
        ("y ~ " + " + ".join(f"(1 | g{i})" for i in range(300)), "more than 200 random terms"),
        ("y ~ " + ":".join(f"v{i}" for i in range(60)), "more than 50"),
        ("y ~ (1 | " + "/".join(f"v{i}" for i in range(60)) + ")", "more than 50"),
        ("y ~ I(" + "x + " * 3000 + "x)", "too long"),
        ("y ~ I(" + "x + " * 500 + "x)", "nested|complex"),
        ("y ~ I(" + "-" * 900 + "x)", "nested|complex"),
        ("y ~ I(" + "x ** " * 900 + "x)", "nested|complex"),
        ("y ~ " + "+".join(f"v{i}" for i in range(15_000)), "5,001 terms.* limit is 5,000; leave some out"),
        ("y ~ (" + "+".join(f"v{i}" for i in range(6_000)) + " | g)", "5,001 terms"),
        ("y ~ " + "+".join(f"offset(v{i})" for i in range(300)), "offset 201 .* limit is 200; add them up"),
    ]:
        with pytest.raises(SpecificationError, match=message):
            parse(text)
    with pytest.raises(SpecificationError, match="20,001 terms"):
        parse("y ~ . + (1 | g)", columns=["y", "g", *(f"v{i}" for i in range(20_000))])
    with pytest.raises(SpecificationError, match="5,001 terms"):
        update("y ~ " + "+".join(f"v{i}" for i in range(3_000)), "~ . + " + "+".join(f"w{i}" for i in range(3_000)))


def test_messages_of_limits_say_what_was_found_the_limit_and_what_to_do():
    for text, words in [
        ("y ~ " + "(" * 70 + "x" + ")" * 70, ("51 deep", "limit is 50", "column of the data")),
        ("y ~ " + "x +" * 50_000, ("150,004", "limit is 100,000", "leave terms out")),
        ("y ~ " + "*".join(f"v{i}" for i in range(40)), ("limit is 1,000", "lower the order")),
        ("y ~ I(" + "x + " * 3000 + "x)", ("6,004 symbols", "limit is 2,000", "column of the data")),
        ("y ~ I(" + "x + " * 500 + "x)", ("101 deep", "limit is 100", "column of the data")),
        ("y ~ " + ":".join(f"v{i}" for i in range(60)), ("more than 50", "(51 here)", "'+'")),
    ]:
        with pytest.raises(SpecificationError) as caught:
            parse(text)
        assert [word for word in words if word not in caught.value.message] == [], caught.value.message


def test_long_sums_are_no_problem():
    columns = [f"v{i}" for i in range(3000)]
    assert len(parse("y ~ " + "+".join(columns)).fixed_terms) == 3001
    assert len(parse("y ~ .", columns=["y", *columns]).fixed_terms) == 3001
    assert parse("y ~ " + "+" * 5000 + "x").fixed == "1 + x"
    assert parse("y ~ I(" + "x + " * 90 + "x)").variables == ("y", "x")


def at_depth(levels, run):
    return run() if levels == 0 else at_depth(levels - 1, run)


def frames():
    frame, count = sys._getframe(), 0
    while frame is not None:
        frame, count = frame.f_back, count + 1
    return count


@pytest.mark.parametrize("left", [100, 150, 200, 300, 400, 600])
def test_a_caller_deep_in_the_stack_sees_our_error(left):
    """Nesting within the limits may still be too deep for a caller that has used up Python's stack."""
    texts = [
        f"y ~ {'(' * 45}x{')' * 45} + z{left}",
        f"y ~ I({'+'.join(['x'] * 90)}) + z{left}",
        f"y ~ {'log(' * 45}x{')' * 45} + z{left}",
    ]
    for text in texts:
        try:
            at_depth(sys.getrecursionlimit() - frames() - left, lambda text=text: parse(text))
        except SpecificationError as error:
            if "complex" not in error.message:
                raise
