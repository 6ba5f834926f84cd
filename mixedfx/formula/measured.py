"""Predictors measured with error: ``me(w, sd=0.5)``, ``me(w1, w2)`` in the text of a formula.

Behind this door the formula has a column called ``me(w)`` in the place of the call: the true value, which the data do
not have. What is known of its measurements is a `Measured` value beside the formula.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite

from mixedfx.exceptions import SpecificationError
from mixedfx.formula.grammar import Token, mistake, tokenize
from mixedfx.formula.names import identifier, quote
from mixedfx.formula.terms import Formula

__all__ = ["ERRORS", "Measured", "check_places", "has_measured", "split_measured"]

ERRORS = ("sd", "var", "reliability")
"""What may be said of the size of the error."""

UNIDENTIFIED = (
    "nothing is known of the error of {name}: without its size the slope is not identified, because every value "
    "between the naive slope and that of the reverse regression fits normal data equally well. Say it: "
    "me({first}, sd=0.5), with var= or reliability=, or give replicate measurements, me({first}, {first}_again)"
)


@dataclass(frozen=True)
class Measured:
    """A true value of which the data have measurements only.

    Attributes
    ----------
    columns : tuple of str
        The measurements: one column, or several replicates.
    error : str
        What is known of the error of one measurement: ``"sd"``, ``"var"``, ``"reliability"``; empty where replicates
        tell it.
    size : float or str
        The number, or the column that has it; 0 where ``error`` is empty.
    source : str
        The call as the user wrote it.
    """

    columns: tuple[str, ...]
    error: str
    size: float | str
    source: str

    @property
    def name(self) -> str:
        """Name of the coefficient: ``me(w)``, ``me(w1, w2)``."""
        return f"me({', '.join(self.columns)})"

    @property
    def variables(self) -> tuple[str, ...]:
        """All columns that it reads."""
        return (*self.columns, self.size) if isinstance(self.size, str) else self.columns


def has_measured(text: object, functions: Iterable[str] = ()) -> bool:
    """Whether a formula has a call of ``me``, which is no function of the user's."""
    return isinstance(text, str) and "me" in text and "me" not in set(functions) and any(_calls(text))


def split_measured(text: str, known: Mapping[str, str] | None = None) -> tuple[str, tuple[Measured, ...]]:
    """Take the calls of ``me(…)`` out of a formula.

    Parameters
    ----------
    text : str
    known : mapping of str to str, optional
        Calls by the name of their coefficient, for a formula from which they were taken before.

    Returns
    -------
    str
        The formula with a column in the place of each call.
    tuple of Measured

    Raises
    ------
    SpecificationError
        If a call cannot be read, or says nothing of the error.

    Examples
    --------
    >>> split_measured("y ~ me(w, sd=0.5) + z")
    ('y ~ `me(w)` + z', (Measured(columns=('w',), error='sd', size=0.5, source='me(w, sd=0.5)'),))
    """
    for name, call in (known or {}).items():
        text = text.replace(quote(name), call)
    found: dict[str, Measured] = {}
    pieces, place = [], 0
    for first, last, tokens in _calls(text):
        one = _read(tokens, text, text[first:last])
        if found.setdefault(one.name, one) != one and (found[one.name].error, found[one.name].size) != (
            one.error,
            one.size,
        ):
            raise mistake(f"{one.name} stands in the formula twice, with different errors", text, first)
        pieces += [text[place:first], quote(one.name)]
        place = last
    return "".join([*pieces, text[place:]]), tuple(found.values())


def check_places(formula: Formula, measured: Iterable[Measured]) -> None:
    """Refuse a true value anywhere but as a term of its own in the fixed part.

    Raises
    ------
    SpecificationError
        Naming the term, and what to do instead.
    """
    for one in measured:
        own = identifier(one.name)
        for term in formula.fixed_terms:
            if term == (own,) or not any(own in factor.identifiers for factor in term):
                continue
            what = "an interaction" if own in term else "a function"
            raise SpecificationError(
                f"{one.name} stands in {what} of the formula: the error of a product or of a curve is no longer the "
                "error of the measurement, and correcting it as if it were would be wrong. Use it as a term of its own"
            )
        for bar in formula.random:
            if one.name in bar.group:
                raise SpecificationError(
                    f"{one.name} stands right of a bar, {bar}: a value measured with error has no levels to group by. "
                    "Use it as a term of its own in the fixed part, with (1 | group)"
                )
            if any(own in factor.identifiers for term in bar.terms for factor in term):
                raise SpecificationError(
                    f"{one.name} stands left of a bar, {bar}: a random slope of a value measured with error is not "
                    "fitted. Use it as a term of its own in the fixed part, with (1 | group)"
                )
        elsewhere = (formula.response, *formula.offsets)
        if any(own in expression.identifiers for expression in elsewhere) or (own,) not in formula.fixed_terms:
            raise SpecificationError(f"{one.name} must be a term of the fixed part: y ~ {one.source} + z")
        others = {name for expression in formula.expressions for name in expression.columns} | set(formula.groups)
        if twice := sorted(others.intersection(one.variables)):
            raise SpecificationError(
                f"{twice[0]!r} belongs to {one.source} and stands elsewhere in the formula too: beside the true value "
                "its measurement tells nothing. Take it away there"
            )


def _calls(text: str) -> Iterable[tuple[int, int, list[Token]]]:
    """Yield the beginning, the end and the tokens between the parentheses of every call of ``me``."""
    tokens = tokenize(text)
    for k, token in enumerate(tokens[:-1]):
        if token.kind != "name" or token.text != "me" or tokens[k + 1].text != "(" or tokens[k + 1].kind != "operator":
            continue
        depth, end = 1, k + 2
        while depth:
            if tokens[end].kind == "operator":
                depth += {"(": 1, ")": -1}.get(tokens[end].text, 0)
            end += 1
        yield token.start, tokens[end - 1].start + 1, list(tokens[k + 2 : end - 1])


def _read(tokens: list[Token], text: str, source: str) -> Measured:
    """Return what one call says."""
    columns: list[str] = []
    said: dict[str, float | str] = {}
    for argument in _arguments(tokens):
        start = argument[0].start if argument else text.index(source)
        if len(argument) == 1 and argument[0].kind in ("name", "quoted"):
            columns.append(argument[0].text)
        elif len(argument) >= 3 and argument[1].text == "=" and argument[0].text in ERRORS:
            said[argument[0].text] = _size(argument, text)
        else:
            raise mistake(
                "me(…) takes columns of measurements and the size of their error: me(w, sd=0.5), me(w, var=s2), "
                "me(w, reliability=0.8), me(w1, w2); compute what is not a column beforehand",
                text,
                start,
            )
    if not columns:
        raise mistake("me(…) needs the column of a measurement: me(w, sd=0.5)", text, text.index(source))
    if len(set(columns)) < len(columns):
        raise mistake("a replicate stands twice in me(…): one measurement is not two", text, text.index(source))
    if len(said) > 1:
        raise mistake(f"me(…) takes one of {', '.join(ERRORS)}, found {' and '.join(said)}", text, text.index(source))
    if not said and len(columns) == 1:
        raise SpecificationError(UNIDENTIFIED.format(name=columns[0], first=columns[0]))
    error, size = next(iter(said.items()), ("", 0.0))
    _check_size(error, size, len(columns), text, text.index(source))
    return Measured(tuple(columns), error, size, source)


def _arguments(tokens: list[Token]) -> list[list[Token]]:
    """The tokens between the commas."""
    out: list[list[Token]] = [[]]
    for token in tokens:
        if token[:2] == ("operator", ","):
            out.append([])
        else:
            out[-1].append(token)
    return out


def _size(argument: list[Token], text: str) -> float | str:
    """The number or the column that stands right of the sign of equality."""
    value = argument[2:]
    sign = -1.0 if value[0].text == "-" else 1.0
    value = value[1:] if value[0].text == "-" else value
    if len(value) == 1 and value[0].kind == "number":
        return sign * float(value[0].text)
    if len(value) == 1 and value[0].kind in ("name", "quoted") and sign > 0:
        return value[0].text
    raise mistake(f"{argument[0].text}= of me(…) is a number or a column", text, argument[2].start)


def _check_size(error: str, size: float | str, n_columns: int, text: str, place: int) -> None:
    if error == "reliability":
        if isinstance(size, str) or not 0.0 < size <= 1.0:
            raise mistake(f"reliability= of me(…) is one number above 0, at most 1; found {size}", text, place)
        if n_columns > 1:
            raise mistake(
                "reliability= is that of a single measurement; replicates tell the error themselves: leave it out, or "
                "give sd=",
                text,
                place,
            )
    elif not isinstance(size, str) and error and not (isfinite(size) and size >= 0.0):
        raise mistake(f"{error}= of me(…) is not negative; found {size:g}", text, place)
