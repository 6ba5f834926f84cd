"""One factor of a formula: tokens to a checked `Expression`.

Names are resolved first (columns, back-quotes, dots, ``np.``), then the text is parsed with `ast` and every node is
checked against the whitelist; what is handed on is the checked tree, and the text that is written back from it.
"""

from __future__ import annotations

import ast
import keyword
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from mixedfx._suggestions import way_out
from mixedfx.covariance.registry import structures
from mixedfx.exceptions import SpecificationError
from mixedfx.formula.grammar import OPENERS, Token, mistake
from mixedfx.formula.names import WORDS, identifier
from mixedfx.formula.terms import Expression
from mixedfx.formula.whitelist import (
    CONSTANTS,
    CONTRASTS,
    ELEMENTWISE,
    FUNCTIONS,
    PATSY_CONTRASTS,
    Refused,
    Whitelist,
)

MAX_TOKENS = 2_000

_TRUTH = {"TRUE": "True", "FALSE": "False", "True": "True", "False": "False"}
_REFUSED_OPERATORS = {
    "%in%": "'%in%' joins terms and has no meaning inside an expression",
    ":": "':' joins terms and has no meaning inside an expression",
    "~": "'~' has no meaning inside an expression",
    "|": "a bar inside an expression is not allowed; random terms stand outside: y ~ x + (1 | g)",
    "||": "a bar inside an expression is not allowed; random terms stand outside: y ~ x + (1 || g)",
    "%%": "write (x % 2) for the remainder, in parentheses: R's '%%' binds tighter than '*'",
    "%/%": "write (x // 2) for whole division, in parentheses: R's '%/%' binds tighter than '*'",
    ".": "attributes and methods are not allowed in a formula",
    "{": "braces are not allowed in a formula",
    "}": "braces are not allowed in a formula",
}


class UnknownColumn(Exception):
    """A name that is not among the columns; `parse` makes the message, because it has all of them."""

    def __init__(self, name: str, start: int, hint: str = "") -> None:
        super().__init__(name)
        self.name, self.start, self.hint = name, start, hint


@dataclass(frozen=True)
class Scope:
    """What the names of a formula may mean.

    Attributes
    ----------
    text : str
        The formula, for messages.
    known : frozenset of str, or None
        The columns among the names of the formula; None when the columns are not known.
    functions : frozenset of str
        The user's own names.
    """

    text: str
    known: frozenset[str] | None
    functions: frozenset[str]

    @property
    def taken(self) -> frozenset[str]:
        """Names of functions, which a column must not hide; a column called s is too common to be quoted."""
        return (FUNCTIONS - {"s"}) | self.functions

    def error(self, message: str, start: int) -> SpecificationError:
        """Return an error that marks the place ``start``."""
        return mistake(message, self.text, start)

    def column(self, name: str, start: int, quoted: bool) -> str:
        """Return ``name`` if it can be a column."""
        if self.known is not None:
            if name not in self.known:
                hint = "attributes and methods of a column are not allowed" if "." in name and not quoted else ""
                raise UnknownColumn(name, start, hint)
        elif not quoted and (name in WORDS or any(part.startswith("__") for part in name.split("."))):
            raise self.error(f"{name!r} is not allowed in a formula; back-quote it if it is a column", start)
        return name


def read_expression(tokens: Sequence[Token], scope: Scope, *, response: bool = False) -> Expression:
    """Return one factor or offset, or the ``response``, checked.

    Raises
    ------
    SpecificationError
        Anything that is not on the whitelist, with its place.
    """
    pieces = _Translation(tokens, scope).pieces()
    text = " ".join(piece for piece, _ in pieces)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval").body
        check = Whitelist(scope.functions)
        value = check.response(tree) if response else check.factor(tree)
        if not value.varies:
            what = "the response" if response else "a term"
            raise Refused(f"{what} needs a column; a number or a constant alone is none", tree)
        return Expression(ast.unparse(tree), tree, scope.functions)
    except SyntaxError as error:
        raise _syntax_error(tokens, scope, _place(pieces, (error.offset or 1) - 1)) from None
    except Refused as error:
        offset = len(text.encode()[: getattr(error.node, "col_offset", 0)].decode())
        raise scope.error(error.message, _place(pieces, offset)) from None
    except (RecursionError, MemoryError):
        raise scope.error(
            "the expression is too complex: compute it as a column of the data first", tokens[0].start
        ) from None


def _syntax_error(tokens: Sequence[Token], scope: Scope, place: int) -> SpecificationError:
    for token in tokens:
        if token.kind == "name" and keyword.iskeyword(token.text) and token.start <= place:
            return scope.error(
                f"{token.text!r} is not allowed in a formula; back-quote it if it is a column", token.start
            )
    return scope.error("syntax error in this expression", place)


def _place(pieces: list[tuple[str, int]], offset: int) -> int:
    """Translate an offset in the joined pieces to a place in the formula."""
    start = 0
    for piece, place in pieces:
        if offset <= start + len(piece):
            return place
        start += len(piece) + 1
    return pieces[-1][1]


class _Translation:
    """Pieces of Python text for the tokens of one factor; ``stack`` holds the functions whose parentheses are open."""

    def __init__(self, tokens: Sequence[Token], scope: Scope) -> None:
        if len(tokens) > MAX_TOKENS:
            message = (
                f"the expression is too long: {len(tokens):,} symbols, the limit is {MAX_TOKENS:,}; compute it as a "
                "column of the data first"
            )
            raise scope.error(message, tokens[0].start)
        self.tokens, self.scope, self.index = tokens, scope, 0
        self.stack: list[str] = []

    def at(self, ahead: int, text: str) -> bool:
        index = self.index + ahead
        return 0 <= index < len(self.tokens) and self.tokens[index][:2] == ("operator", text)

    def pieces(self) -> list[tuple[str, int]]:
        pieces = []
        while self.index < len(self.tokens):
            token = self.tokens[self.index]
            pieces.append((self.piece(token), token.start))
            self.index += 1
        return pieces

    def piece(self, token: Token) -> str:
        match token.kind:
            case "name":
                return self.function(token) if self.at(1, "(") else self.name(token)
            case "quoted":
                return identifier(self.scope.column(token.text, token.start, True), self.scope.taken)
            case "string":
                return repr(token.text[1:-1])
            case "number":
                return self.number(token)
        return self.operator(token)

    def number(self, token: Token) -> str:
        if not isfinite(float(token.text)):
            raise self.scope.error("this number is too large", token.start)
        whole = token.text.isdecimal()
        return str(int(token.text)) if whole and token.text.isascii() else repr(float(token.text))

    def operator(self, token: Token) -> str:
        if token.text in _REFUSED_OPERATORS:
            raise self.scope.error(_REFUSED_OPERATORS[token.text], token.start)
        if token.text in OPENERS:
            self.stack.append(token.text)
        elif token.text in OPENERS.values() and self.stack:
            return "]" if self.stack.pop() == "c" else token.text
        return "**" if token.text == "^" else token.text

    def in_contrasts(self) -> bool:
        return self.stack[-1:] == ["C"] and (self.at(-1, ",") or self.at(-1, "="))

    def is_option(self) -> bool:
        inside = bool(self.stack) and self.stack[-1] not in ("(", "[", "c")
        return inside and self.at(1, "=") and (self.at(-1, ",") or self.at(-1, "("))

    def name(self, token: Token) -> str:
        name, scope = token.text, self.scope
        if self.is_option():
            return "base" if name == "reference" and self.stack[-1].startswith("contr.") else name
        if self.in_contrasts() and name in PATSY_CONTRASTS:
            return PATSY_CONTRASTS[name]
        if scope.known is None or name not in scope.known:
            contrasts = name.startswith("contr.") and name[6:] in CONTRASTS
            if contrasts or name in scope.functions or name in CONSTANTS:
                return name
            if name in _TRUTH:
                return _TRUTH[name]
        return identifier(scope.column(name, token.start, False), scope.taken)

    def function(self, token: Token) -> str:
        """Return the called function with its opening parenthesis, which is taken too; a whole ``Q('name')``."""
        name = self.function_name(token)
        if name == "Q":
            return self.quoted_column(token)
        self.stack.append(name)
        self.index += 1
        return "[" if name == "c" else f"{name}("

    def function_name(self, token: Token) -> str:
        name, scope = token.text, self.scope
        if name in FUNCTIONS or name in scope.functions or name in ("Q", "c"):
            return name
        if name.startswith("np.") and name[3:] in ELEMENTWISE:
            return name[3:]
        if self.in_contrasts() and name in PATSY_CONTRASTS:
            return PATSY_CONTRASTS[name]
        if name.startswith("contr.") and name[6:] in CONTRASTS:
            return name
        raise scope.error(_refusal(name), token.start)

    def quoted_column(self, token: Token) -> str:
        following = self.tokens[self.index + 2 : self.index + 4]
        if [part.kind for part in following] != ["string", "operator"] or following[1].text != ")":
            raise self.scope.error("Q(…) takes the name of a column in quotes: Q('my x')", token.start)
        self.index += 3
        name = following[0].text[1:-1]
        return identifier(self.scope.column(name, following[0].start, True), self.scope.taken)


def _refusal(name: str) -> str:
    if name in ("offset", "Error"):
        return f"{name}(…) can only be added to the other terms"
    if name in structures():
        return f"{name}(…) needs a bar: {name}(x | g)"
    says = way_out("function", name.removeprefix("np."))
    if says:
        return f"{name}(…) is not a function of formulas; {says}"
    if keyword.iskeyword(name):
        return f"{name!r} is not allowed in a formula"
    if "." in name:
        return (
            f"{name}(…) is not allowed: a formula has no methods, attributes or modules (but np.log and the like); a "
            "column whose name has such signs is written in back-quotes"
        )
    known = ", ".join(sorted(FUNCTIONS))
    return f"{name}(…) is not a function of formulas ({known}); give your own in functions={{{name!r}: …}}"
