"""A formula is data: attempts to escape are refused, wherever they stand, and nothing is run on the way."""

import pytest

from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import parse, update
from tests.effort import calls
from tests.watch import Watch

ATTACKS = [
    # calls of what Python has
    "__import__('os').system('touch f')",
    "I(__import__('os').system('touch f'))",
    "I(__import__('os').system('touch f') or x)",
    "exec(\"open('f','w')\")",
    "eval('1')",
    "compile('1', '', 'eval')",
    "open('f', 'w')",
    "I(open('f', 'w').close() or x)",
    "print(x)",
    "getattr(x, 'values')",
    "setattr(x, 'a', 1)",
    "globals()",
    "locals()",
    "vars(x)",
    "dir(x)",
    "type(x)",
    "breakpoint()",
    "input()",
    "help()",
    "exit()",
    "memoryview(x)",
    "list(x)",
    "map(log, x)",
    "sum(x)",
    "max(x)",
    "str(x)",
    "object()",
    "super()",
    "I(log)(x)",
    "log(x)(x)",
    "(log)(x)",
    "I((log)(x))",
    # attributes and methods
    "x.to_csv('f')",
    "I(x.to_csv('f') or x)",
    "x.values",
    "x.T",
    "I(x).values",
    "log(x).values",
    "I(x.__class__)",
    "x.__class__",
    "().__class__",
    "().__class__.__base__.__subclasses__()",
    "I([c for c in ().__class__.__base__.__subclasses__()] and x)",
    "I((1).real + x)",
    "I('a'.join(x))",
    "I('{0.__class__}'.format(x))",
    "I('%s' % x)",
    "np.load('f')",
    "np.fromfile('f')",
    "np.lib.npyio.os.system('id')",
    "np.log.__class__(x)",
    "np.savetxt('f', x)",
    "np(x)",
    "np.os(x)",
    "os.system('id')",
    "pd.read_pickle('f')",
    "contr.sum(x)",
    "contr.__class__(x)",
    "C(f, contr.__class__)",
    "C(f, contr.sum.__init__)",
    "C(f, contr.sum().__class__)",
    "C(f, contr['sum'])",
    "C(f, contr)",
    "C(f, __import__('os'))",
    "log.__globals__",
    "log.__self__(x)",
    "scale.__wrapped__(x)",
    "poly(x, 2).__class__",
    "Q('x').values",
    "Q('x')(x)",
    "Q(x)",
    "Q('x' + 'y')",
    "Q(__name__)",
    "Q('x', 'y')",
    "wb(x, __import__('os'))",
    "wb(x, 'g')",
    "wb(x, [g])",
    "wb(*x)",
    "wb(x, *g)",
    "wb(x, **g)",
    "wb.__globals__",
    # dunder names
    "__name__",
    "__builtins__",
    "I(__builtins__)",
    "I(__FORMULAIC_CONTEXT__)",
    "I(__class__)",
    "scale(x, __state=1)",
    "scale(x, _state=1)",
    "scale(x, _context=1)",
    # other syntax of Python
    "I(lambda: x)",
    "I((lambda: x)())",
    "lambda x: x",
    "I([x for x in z])",
    "I({x for x in z})",
    "I({x: 1})",
    "I((x for x in z))",
    "I(f'{x}')",
    'I(f"{__import__(chr(111))}")',
    "I(b'x')",
    "I(rb'x' + x)",
    "I(x := 3)",
    "I(x[0])",
    "I(x[...])",
    "I(x[::2])",
    "x[0]",
    "I(*x)",
    "I(**x)",
    "log(*x)",
    "log(x, **z)",
    "poly(x, *z)",
    "I(x if z else w)",
    "I(x and z)",
    "I(x or z)",
    "I(not x)",
    "I(x is z)",
    "I(x in z)",
    "I(x not in z)",
    "I(await x)",
    "I(yield x)",
    "I(x, z)",
    "I((x, z))",
    "I([x])",
    "I([x, z][0])",
    "I(...)",
    "I(x @ z)",
    "I(x << 100)",
    "I(x >> 1)",
    "I(x & z)",
    "I(x | z)",
    "I(~x)",
    "I(x ^ z | w)",
    "I(x; z)",
    "I(x\\\n)",
    "I('\\x41' == x)",
    "I(x) # comment",
    "I(del x)",
    "import os",
    "I(x = 3)",
    "I(x) = 3",
    "I(0x10 * x)",
    "I(1_000 * x)",
    "I(1j * x)",
    "{x}",
    "{__import__('os')}",
    "`x` `z`",
    "I(`x`.values)",
    "I(`x`(z))",
    "I(`log`(x))",
    "`x`.values",
    "`log`(x)",
    # numbers that explode
    "I(x * 10**10**8)",
    "I(x * 10**(10**8))",
    "I(x * 2**2**2**2**2**2)",
    "I(x * 9**9**9**9)",
    "I(x * 10**abs(100000000))",
    "I(x ** 1e308)",
    "I(x * 1e999)",
    "I(x * " + "9" * 400 + ")",
    "I('a' * 10**9 == x)",
    "I([0] * 10**9)",
    "I(x + 1 // 0)",
    "I(x % 0 + 1 % 0)",
    "poly(x, 10**9)",
    "poly(x, 999999999)",
    "bs(x, df=10**8)",
    "cut(x, 10**9)",
    "cut(x, 1e12)",
    "ns(x, df=1e300)",
    "lag(x, 10**12)",
    "round(x, 10**9)",
    # look-alikes
    "ｌｏｇ(x)",
    "ｅｘｅｃ(x)",
    "＿＿import＿＿('os')",
    "еxp(x)",
    "lоg(x)",
    "I(x‗y)",
    "x\u200b(z)",
    "x\u202e)",
    "log\x00(x)",
    "I(x\x00)",
    "I('a\x00' == x)",
    "x\ufeff",
    "x ； z",
    "log（x）",
]

PLACES = [
    "y ~ {}",
    "y ~ x + {} + (1 | g)",
    "y ~ x:{}",
    "{} ~ x + (1 | g)",
    "log({}) ~ x",
    "y ~ x + ({} | g)",
    "y ~ x + ar1(0 + {} || g)",
    "y ~ x + (1 | {})",
    "y ~ x + (1 | g:{})",
    "y ~ x + offset({})",
    "y ~ x + offset(log({}))",
    "y ~ x + Error({})",
    "y ~ scale({})",
    "y ~ C({}, contr.sum)",
    "y ~ C(f, {})",
    "y ~ poly(x, {})",
    "y ~ bs(x, knots=[{}])",
    "y ~ known(1 | g, {})",
    "~ {}",
]
FORBIDDEN_EVENTS = ("exec", "open", "import", "os.", "subprocess.", "socket.", "builtins.", "shutil.", "ctypes.")


WATCH = Watch(lambda event, arguments: event.startswith(FORBIDDEN_EVENTS))


def refused(read):
    try:
        with WATCH.nothing_happens():
            read()
    except (SpecificationError, DataError):
        return True
    return False


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused_everywhere(attack):
    columns = ["y", "x", "z", "w", "f", "g"]
    for place in PLACES:
        text = place.replace("{}", attack)
        assert refused(lambda text=text: parse(text, columns=columns, functions=("half", "K"))), text


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused_without_columns_or_become_a_name(attack):
    """Without the columns a dotted name may be one, never more than a name."""
    for place in PLACES:
        try:
            with WATCH.nothing_happens():
                formula = parse(place.replace("{}", attack))
        except SpecificationError:
            continue
        assert set(formula.variables) <= {"y", "x", "f", "g", attack}


@pytest.mark.parametrize("attack", ATTACKS)
def test_updates_are_no_way_in(attack):
    for change in ("~ . + {}", "{} ~ .", "~ . + ({} | h)", "~ . + (1 | {})", "~ .:{}"):
        text = change.replace("{}", attack)
        assert refused(
            lambda text=text: update("y ~ x + (1 | g)", text, columns=["y", "x", "z", "w", "f", "g", "h"])
        ), text


def test_a_column_that_looks_like_code_is_data():
    name = "__import__('os').system('touch f')"
    for columns in (None, ["y", "g", name]):
        formula = parse(f"y ~ `{name}` + log(`{name}`) + (1 | `{name}`)", columns=columns)
        assert formula.variables == ("y", name)
        assert "import" not in formula.fixed
        assert parse(str(formula), columns=columns) == formula


def test_columns_cannot_make_functions():
    columns = ["y", "x", "open", "os", "eval", "__import__", "x.to_csv", "np.load"]
    for text in ("open(x)", "eval(x)", "__import__(x)", "x.to_csv(x)", "np.load(x)", "I(os.system(x))"):
        with pytest.raises(SpecificationError):
            parse(f"y ~ {text}", columns=columns)
    assert parse("y ~ open + eval + x.to_csv + np.load + __import__", columns=columns).variables[1:] == (
        "open",
        "eval",
        "x.to_csv",
        "np.load",
        "__import__",
    )


def test_functions_must_be_given_by_name():
    assert parse("y ~ half(x)", functions={"half": abs}).fixed == "1 + half(x)"
    for text in ("half(x, 'text')", "half.__globals__", "half(x).values", "half(*x)", "half(**x)", "half(x, _a=1)"):
        with pytest.raises(SpecificationError):
            parse(f"y ~ {text}", functions={"half": abs})


HOSTILE = [  # how often something is written, and the text
    (9000, lambda n: "(a+b)^" + "9" * n),
    (30, lambda n: "I(" * n + "x" + ")" * n + "+(" * 40),
    (99_000, lambda n: "x" * n),
    (1000, lambda n: "(a+b)*" * n + "c"),
    (4000, lambda n: ":".join(f"v{i}" for i in range(n))),
    (2000, lambda n: "(" + "+".join(f"v{i}" for i in range(n)) + ")^2"),
    (2000, lambda n: "(1 | " + "/".join(f"v{i}" for i in range(n)) + ")"),
    (1200, lambda n: "+".join("(x | g)" for _ in range(n))),
    (49, lambda n: "I(" + "(" * n + "x" + ")" * n + ")"),
    (900, lambda n: "poly(x, " + "1+" * n + "1)"),
    (5001, lambda n: "`" * n),
    (5001, lambda n: "'" * n),
    (5000, lambda n: "~" * n),
    (5000, lambda n: "|" * n),
    (20_000, lambda n: "-" * n),
    (2000, lambda n: "+".join(f"(1|g{i})" for i in range(n))),
    (5100, lambda n: "+".join(f"v{i}" for i in range(n))),
    (1500, lambda n: "+".join(f"v{i}" for i in range(n)) + "-".join(f"v{i}" for i in range(n))),
    (1500, lambda n: "+".join(f"offset(v{i})" for i in range(n))),
    (4000, lambda n: "a" + "-(a+b)" * n),
]


def test_the_work_is_proportionate_to_the_text():
    """In calls: few for each character, and no more than twice as many (and a bit) for twice the text."""
    for n, text in HOSTILE:
        half, whole = (f"y ~ {text(m)}" for m in (n // 2, n))
        work = calls(refused, lambda text=whole: parse(text))
        assert work < 20_000 + 300 * len(whole), whole[:40]
        few = work < 20_000  # then half the text says no more
        assert few or work < 20_000 + 2.5 * calls(refused, lambda text=half: parse(text)), whole[:40]
