"""Text to tokens to a tree: R's operators and precedence, lme4's bars.

Columns play no part here, so the tree can be kept. From loose to tight: ``~``, ``|`` and ``||`` (inside parentheses
only), ``+ -``, ``* /``, ``%in%``, ``:``, ``^``.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple, TypeAlias

from mixedfx._suggestions import advised, way_out
from mixedfx.covariance.registry import structures
from mixedfx.exceptions import SpecificationError
from mixedfx.formula.whitelist import FUNCTIONS

MAX_KEPT = 2_000
"""Length of the formulas that are kept once they are parsed."""

_CHAINS = (("*", "/"), ("%in%",), (":",))
_ARITHMETIC = frozenset({"<", ">", "<=", ">=", "==", "!=", "=", "//", "%%", "%/%", "%"})

MAX_LENGTH = 100_000
MAX_DEPTH = 50

OPENERS = {"(": ")", "[": "]", "{": "}"}
_CLOSERS = {closer: opener for opener, closer in OPENERS.items()}

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<quoted>`(?:[^`]|``)+`)
    |(?P<string>"[^"\\\n]*"|'[^'\\\n]*')
    |(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
    |(?P<name>(?:[^\W\d]|\.(?=[^\W\d]))[\w.]*)
    |(?P<operator>%in%|%/%|%%|\|\||\*\*|//|==|!=|<=|>=|[-+*/^:~|(),=<>\[\]{}%.])""",
    re.VERBOSE,
)

_LOOK_ALIKES = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "∗": "*", "×": "*", "·": ":", "∣": "|", "｜": "|", "│": "|", "∼": "~",
    "～": "~", "˜": "~", "（": "(", "）": ")", "＋": "+", "：": ":", "∶": ":", "“": '"', "”": '"', "‘": "'",
    "’": "'", "´": "`",
}  # fmt: skip


def mistake(message: str, text: str, place: int) -> SpecificationError:
    """Return an error that marks ``place`` in the formula, invisible characters made visible."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return SpecificationError(message, formula=shown, position=place)


class Token(NamedTuple):
    """A piece of the formula: its kind, its text (of a quoted name: the name) and its place."""

    kind: str
    text: str
    start: int


def tokenize(text: str) -> tuple[Token, ...]:
    """Return the tokens of ``text``, closed by an ``end`` token.

    Raises
    ------
    SpecificationError
        A character that means nothing in a formula, an unclosed quote or bracket, or a text past the limits.
    """
    if len(text) > MAX_LENGTH:
        raise SpecificationError(
            f"the formula is too long: {len(text):,} characters, the limit is {MAX_LENGTH:,}; leave terms out, or give "
            "a table of fewer columns and write '.' for all of them"
        )
    tokens = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise _unreadable(text, place)
        kind = str(match.lastgroup)
        if kind != "space":
            content = match[0][1:-1].replace("``", "`") if kind == "quoted" else match[0]
            if kind == "string" and not content.isprintable():
                raise mistake("a string holds an invisible character", text, place)
            tokens.append(Token(kind, content, place))
        place = match.end()
    tokens.append(Token("end", "", len(text)))
    _check_brackets(tokens, text)
    return tuple(tokens)


def _unreadable(text: str, place: int) -> SpecificationError:
    character = text[place]
    name = unicodedata.name(character, "control character")
    if character in "`\"'":
        message = f"syntax error: the quote {character} is never closed (or holds a backslash or a line break)"
    elif character.isdigit() or (character == "." and text[place + 1 : place + 2].isdigit()):
        message = "syntax error: a number runs into a name; back-quote a column name that begins with a digit: `1st`"
    elif character in _LOOK_ALIKES:
        message = f"syntax error: {character!r} ({name}) only looks like {_LOOK_ALIKES[character]!r}"
    elif character == "\\":
        message = "syntax error: a backslash has no meaning in a formula"
    elif character in "&!":
        message = (
            f"{character!r} is not allowed in a formula; multiply comparisons, as in I((x > 1) * (z < 2)), instead"
        )
    else:
        message = f"syntax error: unexpected character {character!r} (U+{ord(character):04X}, {name})"
    return mistake(message, text, place)


def _check_brackets(tokens: list[Token], text: str) -> None:
    stack: list[Token] = []
    for token in tokens:
        if token.kind != "operator":
            continue
        if token.text in OPENERS:
            stack.append(token)
            if len(stack) > MAX_DEPTH:
                message = (
                    f"the formula is too complex: parentheses are nested {len(stack)} deep here, the limit is "
                    f"{MAX_DEPTH}; compute the inner part as a column of the data first"
                )
                raise mistake(message, text, token.start)
        elif token.text in _CLOSERS:
            if not stack or stack[-1].text != _CLOSERS[token.text]:
                message = (
                    f"syntax error: {token.text!r} closes nothing; a {_CLOSERS[token.text]!r} is missing before it"
                )
                raise mistake(message, text, token.start)
            stack.pop()
    if stack:
        message = f"syntax error: the parenthesis {stack[-1].text!r} is never closed"
        raise mistake(message, text, stack[-1].start)


@dataclass(frozen=True, slots=True)
class Name:
    """A column, ``quoted`` if it stood in back-quotes."""

    text: str
    quoted: bool
    start: int


@dataclass(frozen=True, slots=True)
class Number:
    """A number where a term may stand."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Dot:
    """The ``.`` that stands for all other columns, or for the old formula in an update."""

    start: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function call ``name(…)``: its tokens, from the name to the closing parenthesis."""

    name: str
    tokens: tuple[Token, ...]
    start: int


@dataclass(frozen=True, slots=True)
class Chain:
    """Operands joined from left to right by operators of one precedence."""

    first: Node
    rest: tuple[tuple[str, Node], ...]
    start: int


@dataclass(frozen=True, slots=True)
class Power:
    """``(a + b)^exponent``: all interactions up to that order."""

    base: Node
    exponent: int
    start: int


@dataclass(frozen=True, slots=True)
class Sum:
    """Signed terms ``+ a - b``."""

    items: tuple[tuple[int, Node], ...]
    start: int


@dataclass(frozen=True, slots=True)
class Bar:
    """A random term ``keyword(left | group, argument)``."""

    left: Sum
    group: Node
    covariance: str
    argument: str | None
    start: int


@dataclass(frozen=True, slots=True)
class ErrorStrata:
    """``Error(…)`` of an analysis of variance."""

    inner: Sum
    start: int


Leaf: TypeAlias = Name | Call | Dot
Node: TypeAlias = Name | Number | Dot | Call | Chain | Power | Sum | Bar | ErrorStrata


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole formula: its tokens, those of the response, the right side, every name that may be a column."""

    text: str
    tokens: tuple[Token, ...]
    response: tuple[Token, ...]
    right: Sum
    names: tuple[str, ...]
    has_dot: bool


def read(text: str) -> Tree:
    """Return the tree of the formula ``text``; short ones are kept, because they do not depend on data."""
    return _read_short(text) if len(text) <= MAX_KEPT else _read(text)


def _read(text: str) -> Tree:
    tokens = tokenize(text)
    tilde = _tilde(tokens, text)
    parser = _TermParser(tokens, text, tilde + 1)
    right = parser.sum()
    parser.expect_end()
    texts = (token.text[1:-1] if token.kind == "string" else token.text for token in tokens)
    names = tuple(dict.fromkeys(text for text in texts if text))
    dots = any(token.text == "." and token.kind == "operator" for token in tokens)
    return Tree(text, tokens, tokens[:tilde], right, names, dots)


_read_short = lru_cache(maxsize=256)(_read)


def _tilde(tokens: tuple[Token, ...], text: str) -> int:
    places = [index for index, token in enumerate(tokens) if token[:2] == ("operator", "~")]
    if not places:
        message = "a formula needs a '~' between the response and the terms: y ~ x + (1 | g)"
        raise mistake(message, text, tokens[-1].start)
    if len(places) > 1:
        raise mistake("a formula has only one '~'", text, tokens[places[1]].start)
    left = [token.text for token in tokens[: places[0]] if token.kind == "operator"]
    if sum((text in OPENERS) - (text in OPENERS.values()) for text in left):
        message = "syntax error: the '~' stands inside parentheses"
        raise mistake(message, text, tokens[places[0]].start)
    return places[0]


class _TermParser:
    """Recursive descent over the tokens; ``index`` is the next token."""

    def __init__(self, tokens: tuple[Token, ...], text: str, index: int) -> None:
        self.tokens, self.text, self.index = tokens, text, index

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def at(self, *operators: str) -> bool:
        return self.token.kind == "operator" and self.token.text in operators

    def take(self) -> Token:
        self.index += 1
        return self.tokens[self.index - 1]

    def error(self, message: str, start: int) -> SpecificationError:
        return mistake(message, self.text, start)

    def sum(self) -> Sum:
        start = self.token.start
        items = [(self.sign(), self.chain(0))]
        while self.at("+", "-"):
            items.append((self.sign(), self.chain(0)))
        return Sum(tuple(items), start)

    def sign(self) -> int:
        sign = 1
        while self.at("+", "-"):
            sign = -sign if self.take().text == "-" else sign
        return sign

    def chain(self, level: int) -> Node:
        if level == len(_CHAINS):
            return self.power()
        first = self.chain(level + 1)
        rest: list[tuple[str, Node]] = []
        while self.at(*_CHAINS[level]):
            rest.append((self.take().text, self.chain(level + 1)))
        return Chain(first, tuple(rest), first.start) if rest else first

    def power(self) -> Node:
        base = self.primary()
        while self.at("^", "**"):
            operator = self.take()
            exponent = self.take()
            if exponent.kind != "number" or not exponent.text.isdecimal() or int(exponent.text[:9]) < 1:
                message = (
                    f"the exponent of {operator.text!r} between terms is a whole number from 1 (an order of "
                    "interaction); for a power of a column write I(x^2)"
                )
                raise self.error(message, exponent.start)
            base = Power(base, int(exponent.text[:9]), operator.start)
        return base

    def primary(self) -> Node:
        token = self.token
        if token.kind in ("name", "quoted"):
            self.take()
            if token.kind == "name" and self.at("("):
                return self.call(token)
            return Name(token.text, token.kind == "quoted", token.start)
        if token.kind == "number":
            return Number(self.take().text, token.start)
        if self.at("."):
            return Dot(self.take().start)
        if self.at("("):
            return self.parenthesis()
        raise self.unexpected_term()

    def parenthesis(self) -> Node:
        start = self.take().start
        inner = self.bar_left() if self.at("|", "||") else self.sum()
        if self.at("|", "||"):
            return self.bar(inner, "us", start)
        self.close()
        sign, only = inner.items[0]
        return only if len(inner.items) == 1 and sign > 0 else inner

    def call(self, name: Token) -> Node:
        opening, closing = self.index, self.closing(self.index)
        if self.has_bar(opening, closing):
            if name.text not in structures():
                raise self.error(_no_structure(name.text), name.start)
            self.index = opening + 1
            inner = self.bar_left() if self.at("|", "||") else self.sum()
            return self.bar(inner, name.text, name.start)
        if name.text == "Error":
            self.index = opening + 1
            strata = ErrorStrata(self.sum(), name.start)
            self.close()
            return strata
        self.index = closing + 1
        return Call(name.text, self.tokens[opening - 1 : closing + 1], name.start)

    def closing(self, opening: int) -> int:
        """Return where the parenthesis at ``opening`` is closed; the brackets are known to match."""
        depth, index = 1, opening
        while depth:
            index += 1
            depth += self.step(index)
        return index

    def step(self, index: int) -> int:
        kind, text, _ = self.tokens[index]
        return (text in OPENERS) - (text in OPENERS.values()) if kind == "operator" else 0

    def has_bar(self, opening: int, closing: int) -> bool:
        depth = 0
        for index in range(opening, closing):
            depth += self.step(index)
            if depth == 1 and self.tokens[index][:2] in (("operator", "|"), ("operator", "||")):
                return True
        return False

    def bar_left(self) -> Sum:
        raise self.error("nothing stands left of the bar; write (1 | g) for a random intercept", self.token.start)

    def bar(self, left: Sum, covariance: str, start: int) -> Bar:
        bar = self.take()
        if self.at(")", ","):
            raise self.error(f"no grouping factor stands right of '{bar.text}'; write (1 | g)", self.token.start)
        if bar.text == "||" and covariance != "us":
            raise self.error(f"'||' already means a diagonal covariance: write {covariance}(… | g)", bar.start)
        group = self.chain(0)
        if isinstance(group, Number):
            raise self.error(f"a group is a column, not the number {group.text}", group.start)
        if self.at("+", "-"):
            message = (
                "a group is one factor, a:b, a/b or a*b; write (1 | a) + (1 | b) for two groups, (1 | a:b) for cells"
            )
            raise self.error(message, self.token.start)
        if self.at("|", "||"):
            raise self.error("a random term has one bar only", self.token.start)
        argument = self.argument(covariance, start)
        self.close()
        return Bar(left, group, "diag" if bar.text == "||" else covariance, argument, start)

    def argument(self, covariance: str, start: int) -> str | None:
        if not self.at(","):
            if covariance == "known":
                raise self.error("known(…) needs its matrix: known(1 | animal, K) with functions={'K': K}", start)
            return None
        comma = self.take()
        if covariance != "known":
            raise self.error(f"only known(… | g, K) takes an argument, {covariance} does not", comma.start)
        if self.token.kind != "name":
            raise self.error("the second argument of known(… | g, K) is the name of a matrix", self.token.start)
        return self.take().text

    def close(self) -> None:
        if not self.at(")"):
            raise self.unexpected_operator()
        self.take()

    def expect_end(self) -> None:
        if self.token.kind != "end":
            raise self.unexpected_operator()

    def unexpected_term(self) -> SpecificationError:
        token = self.token
        if token.kind == "end":
            return self.error("syntax error: the formula ends where a term was expected", token.start)
        if token.kind == "string":
            message = "a string is not a term; a column with an unusual name is written in back-quotes: `my x`"
            return self.error(message, token.start)
        if token.text in "[{":
            return self.error(f"syntax error: {token.text!r} is not allowed in a formula; expected a term", token.start)
        return self.error(f"syntax error: expected a term, found {token.text!r}", token.start)

    def unexpected_operator(self) -> SpecificationError:
        token = self.token
        if token.text in ("|", "||"):
            message = f"a random term needs parentheses around its '{token.text}': y ~ x + (1 {token.text} g)"
        elif token.text in _ARITHMETIC:
            message = (
                f"{token.text!r} does not join terms; wrap arithmetic and comparisons in I(…): I(x {token.text} 2)"
            )
        elif token.text in ("[", "{"):
            message = f"{token.text!r} is not allowed: a formula has no subscripts; make a column first"
        elif token.kind == self.tokens[self.index - 1].kind == "name":
            words = " ".join(word.text for word in takewhile(lambda one: one.kind == "name", self.tokens[self.index :]))
            whole = f"{self.tokens[self.index - 1].text} {words}"
            message = (
                f"syntax error: expected an operator such as '+', found {token.text!r}; a column whose name has spaces "
                f"is written in back-quotes: `{whole}`"
            )
        else:
            message = f"syntax error: expected an operator such as '+', found {token.text!r}"
        return self.error(message, token.start)


def _no_structure(name: str) -> str:
    """Say what to write instead of a name around a bar that is no covariance structure."""
    if name in FUNCTIONS and not way_out("structure", name):
        return f"a bar inside {name}(…) is not allowed; random terms stand outside"
    own = ", or give one of your own to mfx.register_covariance"
    return f"unknown covariance structure {name!r} around a bar; {advised('structure', name, structures(), own)}"
