"""Names in programs: identifiers of Python, Stan and R alike, made of names that may be any text."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable

__all__ = ["WORDS", "Names", "identifier", "quoted", "remark"]

WORDS = frozenset(
    {
        *("if", "else", "for", "in", "while", "repeat", "function", "next", "break", "TRUE", "FALSE", "NULL", "NA"),
        *("NaN", "Inf", "and", "or", "not", "is", "as", "def", "class", "from", "import", "lambda", "return", "pass"),
        *("None", "True", "False", "with", "yield", "try", "except", "raise", "int", "real", "vector", "matrix"),
        *("array", "target", "Intercept", "intercept", "offset", "trials", "shift", "del", "global", "nonlocal"),
        *("assert", "async", "await", "continue", "elif", "finally", "void", "complex", "upper", "lower"),
    }
)
"""Words of Python, R and Stan that no column may bear, and those that formulas use."""

RESERVED = WORDS | {
    *("chain", "draw", "row", "coefficient", "data", "coords", "dims", "model", "y", "X", "eta", "mu", "weights"),
    *("spread", "shapes", "density", "levels", "r", "cumulative", "probabilities", "np", "pm", "pt", "pytensor"),
    *("jax", "jnp", "dist", "numpyro", "N", "P", "beta", "n", "j", "k", "root"),
}
"""Words that mean something in a program: of its languages, and those that programs use."""


def identifier(text: str) -> str:
    """Return ASCII letters, digits and single underscores that look like ``text``; empty where nothing is left.

    Examples
    --------
    >>> identifier("f[T.b]"), identifier("I(x ** 2)"), identifier("Größe"), identifier("β")
    ('f_T_b', 'I_x_2', 'Grosse', 'beta')
    """
    letters = "".join(_plain(letter) for letter in unicodedata.normalize("NFKC", text))
    return re.sub(r"[^A-Za-z0-9]+", "_", letters).strip("_")


def _plain(letter: str) -> str:
    """ASCII that stands for one letter: ``ö`` is o, ``ß`` ss, ``β`` beta; others by their number."""
    if letter.isascii():
        return letter
    bare = "".join(part for part in unicodedata.normalize("NFKD", letter) if part.isascii())
    if bare:
        return bare
    if letter == "ß":
        return "ss"
    words = unicodedata.name(letter, "").split()
    if words[:1] == ["GREEK"] and words[2:3] == ["LETTER"]:
        return words[3].lower()
    return f"u{ord(letter):x}" if letter.isalpha() else "_"


class Names:
    """Identifiers that are all different.

    Parameters
    ----------
    taken : iterable of str
        Words that are no names.
    """

    def __init__(self, taken: Iterable[str] = RESERVED) -> None:
        self._taken = set(taken)

    def new(self, *parts: str, otherwise: str = "x") -> str:
        """Return an identifier that no other thing has, made of parts that are joined by underscores.

        Examples
        --------
        >>> names = Names()
        >>> names.new("b", "my x"), names.new("b", "my.x"), names.new("lambda"), names.new("2nd")
        ('b_my_x', 'b_my_x_2', 'x_lambda', 'x_2nd')
        """
        plain = [part for part in map(identifier, parts) if part]
        name = "_".join(plain) or otherwise
        if not name[0].isalpha() or (name in self._taken and len(plain) < 2):
            name = f"{otherwise}_{name}"
        chosen, count = name, 1
        while chosen in self._taken:
            count += 1
            chosen = f"{name}_{count}"
        self._taken.add(chosen)
        return chosen

    def own(self, name: str) -> str:
        """Return a word that programs use themselves; it is taken from then on."""
        self._taken.add(name)
        return name


def remark(text: str) -> str:
    """Return any text as one line of ASCII, as a comment may hold it.

    Examples
    --------
    >>> remark("a\\nb"), remark("β")
    ('a\\\\nb', '\\\\u03b2')
    """
    return json.dumps(text)[1:-1].replace('\\"', '"')


def quoted(text: str) -> str:
    """Return any text as a literal of Python in ASCII.

    Examples
    --------
    >>> print(quoted("Days"), quoted('a "b"'))
    "Days" 'a "b"'
    """
    literal = ascii(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in literal else literal
