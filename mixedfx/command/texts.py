"""Tables from text: the sign between columns, what is wrong with rows, and how numbers are written."""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from itertools import islice
from typing import TYPE_CHECKING, Any

import mixedfx as mfx
from mixedfx.command.numbers import with_numbers

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SIGNS", "SPACE", "checked_separator", "read_text", "with_words"]

SPACE = r"\s+"  # any run of white space
SIGNS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", SPACE: "white space"}
SPELLED = {"\\t": "\t", " ": SPACE}  # how a shell passes them
LOOKED_AT = 50  # lines from which the separator is guessed
BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16
NOTHING = "None"  # of Python, and the arm of a trial that gets nothing
FEW = 5  # lines that a message lists


def checked_separator(text: str | None) -> str | None:
    r"""Return what divides the columns: one sign, ``\t`` for a tab, a blank for any white space; None is guessed."""
    if text is None:
        return None
    sign = SPELLED.get(text, text)
    if sign != SPACE and (len(sign) != 1 or sign.isalnum() or sign in "\"'\r\n"):
        raise mfx.SpecificationError(
            f"--sep is one sign such as ';' or '|', '\\t' for a tab, ' ' for white space; found {text!r}"
        )
    return sign


def read_text(
    content: bytes, usual: str, given: str | None, decimal: str | None, missing: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Return the table and what is to be said of it; its rows are called by the lines at which they begin.

    Parameters
    ----------
    content : bytes
    usual : str
        The sign that is expected between columns.
    given : str or None
        The sign that the user gave.
    decimal : str or None
        The decimal sign that the user gave.
    missing : sequence of str
        What stands for a missing value, beside nothing, NA and the like.

    Raises
    ------
    ValueError
        If this is no table.
    DataError
        If it cannot be told how the numbers of a column are to be read.
    """
    encoding = "utf-16" if content.startswith(BYTE_ORDER_MARKS) else "utf-8-sig"
    lines = [line for line in islice(_lines(content, encoding), LOOKED_AT) if line.strip()]
    if any("\0" in line for line in lines):
        raise ValueError("it is no text")
    if not lines:
        raise ValueError("there is nothing in it")
    sign = given or _separator(lines, usual)
    remarks = [f"columns are divided by {SIGNS[sign]}"] if given is None and sign != usual else []
    text = _Text(content, encoding, sign, _Shape.of(lines, sign), tuple(missing))
    try:
        data = text.frame()
    except UnicodeDecodeError:
        text = _Text(content, "cp1252", sign, text.shape, text.missing)
        data = text.frame()
        remarks.append("the text is not UTF-8 and was read as Windows-1252 (Latin-1)")
    remarks += text.shape.remarks(data)
    data = text.shape.with_names_alone(data)
    data, said = with_numbers(data, lambda: text.frame(dtype=str), decimal, missing)
    data, words = with_words(data, lambda: text.frame(dtype=str, keep_default_na=False), missing)
    return text.with_lines(data), [*remarks, *said, *words]


def _lines(content: bytes, encoding: str) -> Iterator[str]:
    return iter(TextIOWrapper(BytesIO(content), encoding, errors="replace", newline=""))


@dataclass(frozen=True)
class _Text:
    """A text whose sign between columns is known."""

    content: bytes
    encoding: str
    sign: str
    shape: _Shape
    missing: tuple[str, ...]

    def frame(self, **options: Any) -> pd.DataFrame:
        """Return the table as pandas reads it.

        Raises
        ------
        ValueError
            If a row has more or fewer fields than the header.
        """
        import pandas as pd

        options = {"na_values": list(self.missing), **options}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)  # of fields that would be lost
                data: pd.DataFrame = pd.read_csv(
                    BytesIO(self.content),
                    sep=self.sign,
                    encoding=self.encoding,
                    skipinitialspace=True,
                    low_memory=False,
                    index_col=None if self.shape.has_row_names else False,
                    **options,
                )
        except (pd.errors.ParserError, pd.errors.ParserWarning):
            self.check_rows()
            raise
        if len(data) and data.iloc[:, -1].isna().any():  # a row that is too short lacks it
            self.check_rows()
        return data

    def check_rows(self) -> None:
        """Refuse rows that have more or fewer fields than the header, by the lines at which they begin."""
        (first, header), *records = self._records()
        expected = len(header) + self.shape.has_row_names
        wrong = [(line, len(row)) for line, row in records if not self._fits(row, expected)]
        if not wrong:
            return
        divided = f"(columns are divided by {SIGNS.get(self.sign, repr(self.sign))}; --sep settles the sign)"
        if len(wrong) == len(records) > 1:
            raise ValueError(
                f"line {first}, with the names of columns, has {_fields_of(expected)}, line {wrong[0][0]} has "
                f"{wrong[0][1]}: take out what stands above the names, or complete them {divided}"
            )
        others = ", ".join(str(line) for line, _ in wrong[1:FEW]) + (", …" if len(wrong) > FEW else "")
        more = f", and line{'s' * (len(wrong) > 2)} {others} not as many either" if others else ""
        raise ValueError(
            f"line {wrong[0][0]} has {_fields_of(wrong[0][1])}, not {expected} as the others{more}: complete the row, "
            f"or take it out, as titles, comments and totals {divided}"
        )

    def _fits(self, row: list[str], expected: int) -> bool:
        return len(row) == expected or (self.shape.ends_in_nothing and len(row) == expected + 1 and not row[-1])

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """The line at which a record begins and its fields; without empty lines."""
        reader = _fields(_lines(self.content, self.encoding), self.sign)
        line = 1
        for row in reader:
            if any(row) or len(row) > 1:
                yield line, row
            line = reader.line_num + 1

    def with_lines(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the table with the numbers of its lines as index, unless its rows have names."""
        import pandas as pd

        if self.shape.has_row_names:
            return data
        ends = self.content.count(b"\n") or self.content.count(b"\r")
        is_ended = self.content.rstrip(b"\0").endswith((b"\n", b"\r"))
        if len(data) + 1 == ends + (not is_ended):  # a line each: none is empty, none is part of a field
            return data.set_axis(pd.RangeIndex(2, len(data) + 2))
        numbers = [line for line, _ in self._records()][1:]
        return data.set_axis(pd.Index(numbers)) if len(numbers) == len(data) else data


def _fields_of(count: int) -> str:
    return f"{count} field{'s' * (count > 1)}"


def _fields(lines: Iterable[str], sign: str) -> Any:
    if sign == SPACE:
        bare = (line.expandtabs(1).strip() for line in lines)
        return csv.reader(bare, delimiter=" ", skipinitialspace=True)
    return csv.reader(lines, delimiter=sign, skipinitialspace=True)


@dataclass(frozen=True)
class _Shape:
    """The fields of the first lines, once the sign between them is known."""

    names: list[str]
    has_row_names: bool
    ends_in_nothing: bool

    @classmethod
    def of(cls, lines: list[str], sign: str) -> _Shape:
        names, *rows = _fields(lines, sign)
        longer = bool(rows) and all(len(row) == len(names) + 1 for row in rows)
        empty = longer and all(row[-1] == "" for row in rows)
        return cls(names, longer and not empty, empty)

    def remarks(self, data: pd.DataFrame) -> list[str]:
        """What pandas makes of it without a word."""
        said = []
        for name, count in Counter(filter(None, self.names)).items():
            if count > 1:
                new = ", ".join(repr(f"{name}.{k}") for k in range(1, count))
                said.append(f"{count} columns are called {name!r}: all but the first became {new}")
        if self.has_row_names:
            said.append("the first field of each row has no name and was taken as the name of the row")
        if count := len(data.columns) - len(self.with_names_alone(data).columns):
            said.append(f"columns without name and values were left out: {count}")
        return said

    def with_names_alone(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the table without columns that have neither a name nor values, as signs at the ends of lines make."""
        if len(self.names) != len(data.columns) or not len(data):
            return data
        nothing = [not name and data.iloc[:, j].isna().all() for j, name in enumerate(self.names)]
        return data.loc[:, [not one for one in nothing]]


def _separator(lines: list[str], usual: str) -> str:
    """The sign that divides all the first lines into as many fields, the usual one if several do.

    A header may have one field less, as R writes it. White space divides only what no other sign does. If no sign
    divides all lines, the one that divides most lines into as many fields.
    """
    signs = [usual, *(sign for sign in SIGNS if sign not in (usual, SPACE))]
    counts = {sign: [len(row) for row in _fields(lines, sign)] for sign in (*signs, SPACE)}
    for extra in (0, 1):
        alike = [sign for sign in signs if _divides(counts[sign], extra)]
        if alike:
            return alike[0] if alike[0] == usual else max(alike, key=lambda sign: counts[sign][0])
        if _divides(counts[SPACE], extra):
            return SPACE
    best = max(signs, key=lambda sign: _agreeing(counts[sign]))
    return best if _agreeing(counts[best]) else max((best, SPACE), key=lambda sign: _agreeing(counts[sign]))


def _divides(counts: list[int], extra: int) -> bool:
    header, *rows = counts
    return (header > 1 or extra > 0) and set(rows) <= {header + extra} and bool(rows or not extra)


def _agreeing(counts: list[int]) -> int:
    """How many lines have as many fields as most, two or more."""
    return max(Counter(count for count in counts if count > 1).values(), default=0)


def with_words(
    data: pd.DataFrame, as_written: Callable[[], pd.DataFrame], missing: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Return the table with None as a level of columns of labels, and what is to be said of it.

    Parameters
    ----------
    data : DataFrame
        In which None is a missing value, as pandas reads it.
    as_written : callable
        Returns the same table with all that stands for missing values as it is written.
    missing : sequence of str
        What stands for a missing value; nothing is changed if None does.
    """
    labels = data.select_dtypes(include=["object", "string"])
    lacking = [name for name in labels if labels[name].isna().any() and not labels[name].isna().all()]
    if NOTHING in missing or not lacking:
        return data, []
    written, said = as_written(), []
    for name in lacking:
        places = (written[name] == NOTHING) & data[name].isna()
        if places.any():
            data = data.assign(**{str(name): data[name].mask(places, NOTHING)})
            said.append(f"{NOTHING} is a level of {name!r} (if it is a missing value: --na {NOTHING})")
    return data, said
