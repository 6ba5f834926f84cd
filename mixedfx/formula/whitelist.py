"""What may stand in an expression: the closed list of functions, and the check against it; a formula is data, not code.

What is not written down here is refused before anything is evaluated. Constants are folded in floating point while
checking, so that ``10**10**8`` is refused and not computed.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

from mixedfx._suggestions import way_out

CONSTANTS: dict[str, float] = {"pi": 3.141592653589793}

ELEMENTWISE = frozenset(
    {"log", "log10", "log2", "log1p", "exp", "expm1", "sqrt", "abs", "sin", "cos", "tan", "tanh", "floor", "ceil"}
)
"""Functions of one argument (``log`` may have a base); ``np.`` may stand before them."""

TOGETHER = {"pmin": "pmin(x, 5)", "pmax": "pmax(x - 5, 0)", "where": "where(x > 5, x, 5)"}
"""Functions of several expressions, row by row, with an example that has as many as are needed."""

_KNOTS = {"df": "count", "knots": "numbers"}
_BOUNDS = {"lower_bound": "number", "upper_bound": "number"}
_CUBIC = {**_KNOTS, **_BOUNDS, "constraints": "constraint", "extrapolation": "outside"}

SIGNATURES: dict[str, dict[str, str]] = {
    **{name: {} for name in sorted(ELEMENTWISE | {"logit", "expit"})},
    "log": {"base": "base"},
    **{name: {} for name in TOGETHER},
    "round": {"decimals": "count"},
    "I": {},
    "C": {"contrasts": "contrasts", "levels": "labels"},
    "scale": {"center": "flag", "scale": "flag", "ddof": "count"},
    "center": {},
    "poly": {"degree": "count", "raw": "flag"},
    "bs": {**_KNOTS, "degree": "count", "include_intercept": "flag", **_BOUNDS, "extrapolation": "outside"},
    "ns": {**_KNOTS, "include_intercept": "flag", **_BOUNDS},
    "cr": _CUBIC,
    "cs": _CUBIC,
    "cut": {"breaks": "breaks", "labels": "labels", "right": "flag", "include_lowest": "flag"},
    "lag": {"k": "count"},
    "cbind": {},
    "wb": {},
    "s": {"k": "count", "bs": "basis", "by": "column"},
}
"""Parameters after the first one (an expression of columns) and their kinds."""

FUNCTIONS = frozenset(SIGNATURES)
KEYWORD_ONLY = frozenset({"levels"})
"""Parameters that must be named."""

WHOLE = frozenset({"C", "poly", "bs", "ns", "cr", "cs", "cbind", "wb", "s"})
"""Functions that give categories or several columns: a whole factor, never part of an expression."""

CONTRASTS: dict[str, dict[str, str]] = {
    "treatment": {"base": "label"},
    "sum": {},
    "helmert": {},
    "poly": {"scores": "numbers"},
    "sdif": {},
}
"""``contr.NAME`` and its parameters."""

PATSY_CONTRASTS = {
    "Treatment": "contr.treatment",
    "Sum": "contr.sum",
    "Helmert": "contr.helmert",
    "Poly": "contr.poly",
    "Diff": "contr.sdif",
}
"""Names that statsmodels' users write inside ``C(…)``."""

CHOICES = {"constraint": ("center",), "basis": ("cr", "tp", "ps"), "outside": ("raise", "clip", "na", "zero", "extend")}
"""Words that an argument of the kind may be."""

MAX_EXPONENT = 100.0
MAX_COUNT = 1_000.0
MAX_DEPTH = 100

_FOLD: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_DESCRIPTIONS: dict[type[ast.AST], str] = {
    ast.Attribute: "an attribute or method",
    ast.Subscript: "a subscript",
    ast.Starred: "a starred argument",
    ast.List: "a list outside the arguments of a function",
    ast.Tuple: "a list in parentheses",
    ast.Call: "a call of an expression",
}


class Refused(Exception):
    """An expression that is not on the list, with the place to mark."""

    def __init__(self, message: str, node: ast.AST) -> None:
        super().__init__(message)
        self.message, self.node = message, node


@dataclass(frozen=True, slots=True)
class Constancy:
    """What is known of an expression: whether it depends on a column, and its number if it is a constant."""

    varies: bool
    number: float | None = None


@dataclass(frozen=True, slots=True)
class Whitelist:
    """The list, with the user's own ``functions`` on it."""

    functions: frozenset[str] = frozenset()

    def factor(self, node: ast.expr) -> Constancy:
        """Check a whole factor, the place where `C`, `poly` and the splines may stand."""
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if isinstance(node, ast.Call) and name == "wb" and name not in self.functions:
            return self._within_between(node)
        if isinstance(node, ast.Call) and name in WHOLE - self.functions - {"cbind"}:
            return self._known_call(node, name, 0)
        return self.value(node, 0)

    def response(self, node: ast.expr) -> Constancy:
        """Check the left side of a formula, the only place for `cbind`."""
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if isinstance(node, ast.Call) and name == "cbind" and name not in self.functions:
            return self._columns(node)
        return self.factor(node)

    def value(self, node: ast.expr, depth: int) -> Constancy:
        """Check an expression of columns and numbers; raise `Refused` at the first thing that is not allowed."""
        if depth > MAX_DEPTH:
            message = (
                f"the expression is too complex: it is nested {depth} deep here, the limit is {MAX_DEPTH}; compute it "
                "as a column of the data first"
            )
            raise Refused(message, node)
        match node:
            case ast.Name(id=name):
                return _name(name, self.functions)
            case ast.Constant():
                return _constant(node)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                value = self.value(operand, depth + 1)
                negate = value.number is not None and isinstance(sign, ast.USub)
                return Constancy(value.varies, -value.number) if negate and value.number is not None else value
            case ast.BinOp(op=op) if type(op) in _FOLD:
                return self._arithmetic(node, depth)
            case ast.Compare():
                return self._comparison(node, depth)
            case ast.Call(func=ast.Name(id=name)):
                return self._call(node, name, depth)
        raise Refused(f"{_DESCRIPTIONS.get(type(node), 'this')} is not allowed in a formula", node)

    def _arithmetic(self, node: ast.BinOp, depth: int) -> Constancy:
        left, right = self.value(node.left, depth + 1), self.value(node.right, depth + 1)
        if isinstance(node.op, ast.Pow) and not right.varies and not _is_small(right.number, MAX_EXPONENT):
            message = (
                f"an exponent must be a number between -{MAX_EXPONENT:g} and {MAX_EXPONENT:g}, or contain a column"
            )
            raise Refused(message, node.right)
        if left.number is None or right.number is None:
            return Constancy(left.varies or right.varies)
        return Constancy(False, _fold(node, left.number, right.number))

    def _comparison(self, node: ast.Compare, depth: int) -> Constancy:
        if len(node.ops) != 1 or not isinstance(node.ops[0], _COMPARISONS):
            message = "one comparison of two things only: write I((1 < x) * (x < 3)) instead of 1 < x < 3"
            raise Refused(message, node)
        sides = [node.left, node.comparators[0]]
        values = [self.value(side, depth + 1) for side in sides if not _is_text(side)]
        if len(values) < len(sides) and not isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
            raise Refused("a string may be compared with == and != only", node)
        return Constancy(any(value.varies for value in values))

    def _call(self, node: ast.Call, name: str, depth: int) -> Constancy:
        if name in self.functions:
            return self._user_call(node, depth)
        if name not in SIGNATURES:
            raise Refused("only a function can be called, not a column", node)
        if name == "cbind":
            raise Refused("cbind(…) can only be the whole left side of '~': cbind(successes, failures) ~ x", node)
        if name in TOGETHER:
            return self._together(node, name, depth)
        if name in WHOLE:
            raise Refused(f"{name}(…) is a term of its own and cannot stand inside an expression", node)
        return self._known_call(node, name, depth)

    def _user_call(self, node: ast.Call, depth: int) -> Constancy:
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        _refuse_unpacking(node)
        for argument in arguments:
            if isinstance(argument, ast.List):
                self._argument(argument, "numbers")
        values = [self.value(a, depth + 1) for a in arguments if not isinstance(a, ast.List)]
        return Constancy(any(value.varies for value in values))

    def _together(self, node: ast.Call, name: str, depth: int) -> Constancy:
        _refuse_unpacking(node)
        wanted = TOGETHER[name].count(",") + 1
        if node.keywords or len(node.args) < wanted or (name == "where" and len(node.args) > wanted):
            more = "" if name == "where" else " or more"
            raise Refused(f"{name}(…) takes {wanted} expressions{more}: {TOGETHER[name]}", node)
        values = [self.value(argument, depth + 1) for argument in node.args]
        return Constancy(any(value.varies for value in values))

    def _known_call(self, node: ast.Call, name: str, depth: int) -> Constancy:
        if not node.args:
            raise Refused(f"{name}(…) needs a column as its first argument", node)
        value = self.value(node.args[0], depth + 1)
        if not value.varies and name not in ELEMENTWISE | {"logit", "expit"}:
            raise Refused(f"{name}(…) needs a column as its first argument", node)
        self._options(node, node.args[1:], name, SIGNATURES[name])
        return Constancy(value.varies)

    def _columns(self, node: ast.Call) -> Constancy:
        _refuse_unpacking(node)
        if len(node.args) != 2 or node.keywords:
            raise Refused("cbind(…) takes two counts: cbind(successes, failures)", node)
        values = [self.value(argument, 0) for argument in node.args]
        return Constancy(all(value.varies for value in values))

    def _within_between(self, node: ast.Call) -> Constancy:
        _refuse_unpacking(node)
        if len(node.args) < 2 or node.keywords:
            raise Refused("wb(…) takes a predictor and one or more grouping columns: wb(x, g)", node)
        for group in node.args[1:]:
            if not isinstance(group, ast.Name) or not _name(group.id, self.functions).varies:
                raise Refused("a group of wb(x, g) is a column; several are cells: wb(x, school, class)", group)
        value = self.value(node.args[0], 0)
        if not value.varies:
            raise Refused("wb(…) needs a column as its first argument", node)
        return value

    def _options(self, node: ast.Call, positional: list[ast.expr], name: str, kinds: dict[str, str]) -> None:
        _refuse_unpacking(node)
        places = [option for option in kinds if option not in KEYWORD_ONLY]
        if name == "s" and positional:
            message = "s(…) smooths one variable, and its options have names: s(x, k=10, by=f)"
            raise Refused(f"{message}; {way_out('function', 'te')}", positional[0])
        if len(positional) > len(places):
            known = f"one column and {', '.join(kinds)}" if kinds else "one argument only"
            raise Refused(f"too many arguments for {name}(…), which takes {known}", positional[len(places)])
        given = dict(zip(places, positional, strict=False))
        for keyword in node.keywords:
            option = str(keyword.arg)
            if option not in kinds:
                known = f"choose from {', '.join(kinds)}" if kinds else "it takes none"
                raise Refused(f"{name}(…) has no argument {option!r}; {known}", keyword.value)
            if option in given:
                raise Refused(f"the argument {option!r} of {name}(…) is given twice", keyword.value)
            given[option] = keyword.value
        for option, argument in given.items():
            self._argument(argument, kinds[option])

    def _argument(self, node: ast.expr, kind: str) -> None:
        if kind == "contrasts":
            self._contrasts(node)
        elif not (isinstance(node, ast.Name) and node.id in self.functions) and not _KINDS[kind](self, node):
            says = way_out(kind, node.value) if isinstance(node, ast.Constant) else ""
            raise Refused(_EXPECTED[kind] + (says and f"; {says}"), node)

    def _contrasts(self, node: ast.expr) -> None:
        if isinstance(node, ast.Name) and node.id in self.functions:
            return
        if isinstance(node, ast.Constant) and node.value in CONTRASTS:
            return
        call = node if isinstance(node, ast.Call) else None
        match call.func if call else node:
            case ast.Attribute(value=ast.Name(id="contr"), attr=name) if name in CONTRASTS:
                if call:
                    self._options(call, call.args, f"contr.{name}", CONTRASTS[name])
                return
        names = ", ".join(f"contr.{name}" for name in CONTRASTS)
        raise Refused(f"the contrasts of C(…) are {names}, or the name of a matrix given in functions=", node)

    def number(self, node: ast.expr) -> float | None:
        """Return the number of a constant expression, None for anything else."""
        return None if _is_text(node) or isinstance(node, ast.List) else self.value(node, 0).number

    def is_count(self, node: ast.expr) -> bool:
        """Whether ``node`` is a number that may size something."""
        return _is_small(self.number(node), MAX_COUNT)

    def are_numbers(self, node: ast.expr) -> bool:
        """Whether ``node`` is a number or a list of numbers."""
        return all(self.number(item) is not None for item in _items(node))

    def are_breaks(self, node: ast.expr) -> bool:
        """Whether ``node`` is a list of numbers, or a number of intervals."""
        return self.are_numbers(node) if isinstance(node, ast.List) else self.is_count(node)


def _name(name: str, functions: frozenset[str]) -> Constancy:
    if name in CONSTANTS:
        return Constancy(False, CONSTANTS[name])
    return Constancy(name not in functions)


def _constant(node: ast.Constant) -> Constancy:
    if isinstance(node.value, (bool, int, float)):
        return Constancy(False, float(node.value))
    raise Refused("a string is allowed in Q('name'), in comparisons and as a level or label only", node)


def _fold(node: ast.BinOp, left: float, right: float) -> float:
    try:
        number = _FOLD[type(node.op)](left, right)
    except (OverflowError, ZeroDivisionError) as error:
        raise Refused("this constant is not a finite number", node) from error
    if isinstance(number, complex) or not math.isfinite(number):
        raise Refused("this constant is not a finite number", node)
    return number


def _is_small(number: float | None, limit: float) -> bool:
    return number is not None and abs(number) <= limit


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _items(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.List) else [node]


def _refuse_unpacking(node: ast.Call) -> None:
    for argument in node.args:
        if isinstance(argument, ast.Starred):
            raise Refused("a starred argument is not allowed in a formula", argument)
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg.startswith("_"):
            raise Refused("such an argument is not allowed in a formula", keyword.value)


def _is_one_of(words: tuple[str, ...]) -> Callable[[Whitelist, ast.expr], bool]:
    return lambda check, node: isinstance(node, ast.Constant) and node.value in words


def _is_label(check: Whitelist, node: ast.expr) -> bool:
    return _is_text(node) or check.number(node) is not None


_KINDS: dict[str, Callable[[Whitelist, ast.expr], bool]] = {
    "count": Whitelist.is_count,
    "number": lambda check, node: check.number(node) is not None,
    "base": lambda check, node: (check.number(node) or 0.0) > 0.0 and check.number(node) != 1.0,
    "numbers": Whitelist.are_numbers,
    "breaks": Whitelist.are_breaks,
    "flag": lambda check, node: check.number(node) is not None,
    "label": _is_label,
    "labels": lambda check, node: all(_is_label(check, item) for item in _items(node)),
    "column": lambda check, node: isinstance(node, ast.Name) and _name(node.id, check.functions).varies,
    **{kind: _is_one_of(words) for kind, words in CHOICES.items()},
}
_EXPECTED = {
    "count": f"expected a number of at most {MAX_COUNT:g}",
    "number": "expected a number",
    "base": "expected the base of a logarithm: a positive number other than 1",
    "numbers": "expected a number or a list of numbers such as [1, 2, 3]",
    "breaks": f"expected a list of numbers such as [0, 1, 2], or a number of intervals of at most {MAX_COUNT:g}",
    "flag": "expected True or False",
    "label": "expected a level: a string or a number",
    "labels": "expected labels such as ['low', 'high']",
    "column": "expected the name of a column, a factor or a number",
    **{kind: f"expected one of {', '.join(map(repr, words))}" for kind, words in CHOICES.items()},
}
