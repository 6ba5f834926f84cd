"""Column names inside evaluable text: the identifier that stands for a name which Python could not read.

A column may be called ``my x``, ``total.fruits``, ``log`` or ``__import__('os')``. Text that will be evaluated holds
plain identifiers only; every other name is written as ``quoted_`` and the hexadecimal digits of its UTF-8 bytes. This
needs no table, so each piece of a formula can be shown as the user wrote it.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches

from mixedfx.formula.whitelist import CONSTANTS

PREFIX = "quoted_"
RESERVED = frozenset({"TRUE", "FALSE", "contr", "np", *CONSTANTS})

WORDS = frozenset({"TRUE", "FALSE", "True", "False", "None"})
"""Names that are never a column unless quoted."""

SEPARATORS = ";\t|,"  # of the columns of a text file, the likeliest to be overlooked first

_ENCODED = re.compile(rf"\b{PREFIX}((?:[0-9a-f]{{2}})+)\b")
_WHOLE_FACTOR = re.compile(rf"(?<![^:]){PREFIX}((?:[0-9a-f]{{2}})+)(?![^:\[])")
_READABLE = re.compile(r"(?:[^\W\d]|\.(?=[^\W\d]))[\w.]*\Z")
_NUMBERED = r"[\W_]*[^\W\d_]{0,4}[\W_]*\d+"  # what a name goes on with in a wide table: _t1, .time2, 3
_PLAIN = re.compile(r"[^\W\d]\w*\Z")


def identifier(name: str, functions: frozenset[str] = frozenset()) -> str:
    """Return the Python identifier that stands for the column ``name`` in evaluable text.

    Parameters
    ----------
    name : str
        A column name, any text.
    functions : frozenset of str
        Names taken by functions, which a column must not hide.

    Examples
    --------
    >>> identifier("Days"), identifier("a.b")
    ('Days', 'quoted_612e62')
    """
    plain = _PLAIN.match(name) is not None and name.isidentifier() and unicodedata.normalize("NFKC", name) == name
    taken = name in functions or name in RESERVED or keyword.iskeyword(name) or name.startswith(("__", PREFIX))
    return name if plain and not taken else PREFIX + name.encode("utf-8", "surrogatepass").hex()


def column(text: str) -> str:
    """Return the column name for which the identifier ``text`` stands.

    Examples
    --------
    >>> column("quoted_612e62"), column("Days")
    ('a.b', 'Days')
    """
    match = _ENCODED.fullmatch(text)
    return _decode(match) if match else text


def quote(name: str) -> str:
    """Return ``name`` as it must be written in a formula: back-quoted unless it reads as one name.

    Examples
    --------
    >>> quote("total.fruits"), quote("my x")
    ('total.fruits', '`my x`')
    """
    readable = _READABLE.match(name) is not None and not name.startswith(("__", "contr."))
    if readable and name not in WORDS and name not in CONSTANTS:
        return name
    return "`" + name.replace("`", "``") + "`"


def meant_by(name: str, columns: Sequence[str]) -> str:
    """Return what somebody who wrote ``name`` may have meant, or how the table came to have other columns.

    Examples
    --------
    >>> meant_by("math", ["school", "math score"])
    "; did you mean 'math score'? (in a formula: `math score`)"
    >>> meant_by("y", ["x;y;z"])
    "; the whole first line was read as one name: divide the columns at ';' (pandas.read_csv(…, sep=';'))"
    """
    signs = [sign for sign in SEPARATORS if len(columns) == 1 and sign in columns[0]]
    if signs:
        cure = f"divide the columns at {signs[0]!r} (pandas.read_csv(…, sep={signs[0]!r}))"
        return f"; the whole first line was read as one name: {cure}"
    numbered = [one for one in columns if re.fullmatch(re.escape(name) + _NUMBERED, one)]
    if len(numbered) > 1:
        listed = ", ".join(map(repr, numbered[:3])) + (", …" if len(numbered) > 3 else "")
        return (
            f"; if {listed} are one measurement in several columns, make the table long, one row a measurement: "
            f"data.melt(id_vars=[…], value_vars=[…], value_name={name!r})"
        )
    longer = [one for one in columns if one.casefold().startswith(name.casefold())]
    near = [*get_close_matches(name, columns, n=1), *longer]
    if not near:
        return ""
    odd = f" (in a formula: {quote(near[0])})" if quote(near[0]) != near[0] else ""
    return f"; did you mean {near[0]!r}?{odd}"


def display(text: str) -> str:
    """Return evaluable ``text`` with the user's names, back-quoted where a formula needs it.

    Examples
    --------
    >>> display("log(quoted_612e62) + quoted_6d792078")
    'log(a.b) + `my x`'
    """
    return _ENCODED.sub(lambda match: quote(_decode(match)), text)


def coefficient_name(text: str) -> str:
    """Return the name of a coefficient with the user's names: a column that is a whole factor is not quoted.

    Only names that contain a colon keep their quotes there, as in formulaic.

    Examples
    --------
    >>> coefficient_name("quoted_6d792078:f[T.b]"), coefficient_name("log(quoted_6d792078)")
    ('my x:f[T.b]', 'log(`my x`)')
    """
    return display(_WHOLE_FACTOR.sub(_bare, text))


def factors_of(name: str) -> tuple[str, ...]:
    """Return the factors of which the coefficient ``name`` is the product.

    Examples
    --------
    >>> factors_of("f[T.a:b]:log(x)"), factors_of("`my:x`:z")
    (('f[T.a:b]', 'log(x)'), ('`my:x`', 'z'))
    """
    parts, depth, quoted = [""], 0, False
    for letter in name:
        quoted ^= letter == "`"
        depth += (letter in "([") - (letter in ")]") if not quoted else 0
        if letter == ":" and depth <= 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple(parts)


def _bare(match: re.Match[str]) -> str:
    name = _decode(match)
    return f"`{name}`" if ":" in name else name


def _decode(match: re.Match[str]) -> str:
    return bytes.fromhex(match[1]).decode("utf-8", "surrogatepass")
