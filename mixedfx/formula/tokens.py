"""Cut the text of a formula into tokens that know where they stand."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from mixedfx.exceptions import SpecificationError

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
            found = match[0][1:-1].replace("``", "`") if kind == "quoted" else match[0]
            if kind == "string" and not found.isprintable():
                raise mistake("a string holds an invisible character", text, place)
            tokens.append(Token(kind, found, place))
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
