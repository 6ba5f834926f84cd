"""What results give to be shown: a summary of blocks, and a DataFrame that shows itself as a statistical table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from mixedfx._arguments import checked_whole
from mixedfx._display import exchange, html, latex, text
from mixedfx._display.blocks import Block, Column, Table
from mixedfx._display.formats import (
    ColumnFormat,
    DegreesOfFreedom,
    Each,
    Numbers,
    OnceOnly,
    Text,
    format_count,
    format_p,
    format_percent,
    format_text,
)
from mixedfx._suggestions import hinting_methods, unknown_name

__all__ = ["FORMATS", "StatsTable", "Summary", "column_format"]

TERMINAL = 80


@hinting_methods
@dataclass(frozen=True)
class Summary:
    """Tables of a result, ready to be shown.

    Parameters
    ----------
    blocks : tuple of Table or Facts
        From top to bottom.
    title : str
        Heading of the whole.
    notes : tuple of str
        Sentences at the bottom, in plain language.
    following : str
        A last line for people at a screen; not exported.

    Examples
    --------
    >>> from mixedfx._display import Column, Numbers, Table
    >>> names = Column("", ("Intercept", "Days"), stub=True)
    >>> print(Summary((Table((names, Column("coef", (251.40510, 10.46729), Numbers()))),), notes=("By hand.",)))
    =====================
                     coef
    ---------------------
    Intercept    251.4051
    Days          10.4673
    =====================
    Notes:
    [1] By hand.
    """

    blocks: tuple[Block, ...]
    title: str = ""
    notes: tuple[str, ...] = ()
    following: str = ""

    @property
    def tables(self) -> list[pd.DataFrame]:
        """The blocks as DataFrames with unrounded numbers."""
        return [block.to_frame() for block in self.blocks]

    def as_text(self, width: int = TERMINAL) -> str:
        """Return the text for a terminal.

        Parameters
        ----------
        width : int
            Cells of a line. Long names are continued on the next line, and tables that are still too wide are
            continued below; nothing is cut off.
        """
        return text.as_text(self.title, self.blocks, self.notes, checked_whole("width", width, 1), self.following)

    def as_html(self) -> str:
        """Return escaped HTML that carries its own style."""
        return html.as_html(self.title, self.blocks, self.notes)

    def as_latex(self) -> str:
        """Return a LaTeX ``table``; it needs the package booktabs."""
        return latex.as_latex(self.title, self.blocks, self.notes)

    def as_csv(self) -> str:
        """Return comma-separated values with unrounded numbers, an empty line between tables."""
        return exchange.as_csv(self.blocks)

    def as_markdown(self) -> str:
        """Return pipe tables."""
        return exchange.as_markdown(self.title, self.blocks, self.notes)

    def as_statsmodels(self) -> Any:
        """Return the same tables as a summary of statsmodels, for programs that take one.

        Returns
        -------
        statsmodels.iolib.summary.Summary
            Each cell shows what it shows here and holds the unrounded number.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> theirs = fit.summary().as_statsmodels()
        >>> print(theirs.tables[-1])
                                   Fixed effects
        ====================================================================
                       coef  std err    df       t   P>|t|   [0.025   0.975]
        --------------------------------------------------------------------
        Intercept  251.4051    6.825  17.0  36.838  <0.001  237.007  265.804
        Days        10.4673    1.546  17.0   6.771  <0.001    7.206   13.729
        ====================================================================
        >>> theirs.tables[-1].data[2][1] == fit.params["Days"]
        True
        """
        return exchange.as_statsmodels(self.title, self.blocks, self.notes)

    def __str__(self) -> str:
        return self.as_text()

    def __repr__(self) -> str:
        return self.as_text()

    def _repr_html_(self) -> str:
        return html.as_html(self.title, self.blocks, self.notes, self.following)


FORMATS: dict[str, ColumnFormat] = {
    "number": Numbers(),
    "statistic": Numbers(3, units=(1.0,)),
    "criterion": Numbers(3, units=(1.0,)),
    "p": Each(format_p),
    "df": DegreesOfFreedom(),
    "count": Each(format_count),
    "percent": Each(format_percent),
    "share": Numbers(4, units=(1.0,)),
    "text": Text(),
}

USUAL = (  # what the columns of statistical tables are called, and the format they have unless told otherwise
    (re.compile(r"p|p[-_. ]?(val(ue)?s?|adj\w*)|p[r>(].*|P>\|.\||prob.*", re.I), "p"),
    (re.compile(r"df|ddf|(den|num|chi)[-_. ]?df|df[-_. ]?\w+|\w+[-_. ]df", re.I), "df"),
    (re.compile(r"F|t|z|chi2|chisq|χ²|statistic|lrt|q|corr(elation)?|cor", re.I), "statistic"),
    (re.compile(r"(partial_|generali[sz]ed_)?(eta|omega)_sq(uared)?|cohen_f", re.I), "share"),
    (re.compile(r"aic|aicc|bic|llf|loglik|log-likelihood|deviance|-2 ?llf", re.I), "criterion"),
    (re.compile(r"n|nobs|npar|n_\w+|count|levels", re.I), "count"),
)


def column_format(name: object, values: pd.Series[Any]) -> ColumnFormat:
    """Return the usual format of a column of that name and type.

    Examples
    --------
    >>> import pandas as pd
    >>> column_format("P>|t|", pd.Series([0.00001])) is FORMATS["p"]
    True
    >>> column_format("mean", pd.Series(["a"]))
    Text(missing='')
    """
    if not _is_real(values):
        return FORMATS["text"]
    usual = next((keyword for pattern, keyword in USUAL if pattern.fullmatch(str(name))), None)
    if usual is not None:
        return FORMATS[usual]
    return FORMATS["count" if pd.api.types.is_integer_dtype(values) else "number"]


def _is_real(values: pd.Series[Any]) -> bool:
    types = pd.api.types
    return types.is_numeric_dtype(values) and not (types.is_bool_dtype(values) or types.is_complex_dtype(values))


@hinting_methods
class StatsTable(pd.DataFrame):
    """Table of results: a DataFrame of unrounded numbers with a heading, notes and a handsome display.

    Everything that pandas does with a DataFrame can be done with it. Make one with :meth:`from_frame`; heading,
    notes and formats are kept in ``attrs`` and survive slicing, copying, pickling and Parquet files.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"F": [45.853], "df": [17.0], "p": [3.264e-06]}, index=["Days"])
    >>> table = StatsTable.from_frame(frame, heading="Analysis of variance", notes=["Type III."])
    >>> print(table)
         Analysis of variance
    ==============================
                 F    df         p
    ------------------------------
    Days    45.853    17    <0.001
    ==============================
    Notes:
    [1] Type III.
    >>> table.loc["Days", "F"]
    np.float64(45.853)
    """

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        heading: str = "",
        notes: Iterable[str] = (),
        formats: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> StatsTable:
        """Wrap ``frame``.

        Parameters
        ----------
        frame : DataFrame
            Unrounded values; its index names the rows.
        heading : str
            Title of the table.
        notes : iterable of str
            Sentences below it.
        formats : mapping of str to str, optional
            Formats (a key of ``FORMATS``) of columns that shall not have the usual one of their name.
        headers : mapping of str to str, optional
            What columns are called where the table is shown, if their names are long.
        """
        chosen = dict(formats or {})
        unknown = sorted(set(chosen.values()) - set(FORMATS))
        if unknown:
            raise ValueError(f"unknown column formats {unknown}; choose from {sorted(FORMATS)}")
        table = cls(frame)
        table.attrs = {
            **frame.attrs,
            "heading": heading,
            "notes": list(notes),
            "formats": chosen,
            "headers": dict(headers or {}),
        }
        return table

    if not TYPE_CHECKING:  # a type checker shall miss the names that are not there

        def __getattr__(self, name: str) -> Any:
            """Say what a name is called here that is neither a method nor a column."""
            try:
                return super().__getattr__(name)
            except AttributeError:
                if hasattr(type(self), name):  # a property failed inside: its own error is the true one
                    raise
            raise unknown_name(f"{type(self).__name__!r} object", name, [*dir(type(self)), *map(str, self.columns)])

    @property
    def _constructor(self) -> Callable[..., StatsTable]:
        return StatsTable

    @property
    def heading(self) -> str:
        """Title of the table."""
        return str(self.attrs.get("heading", ""))

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences below the table."""
        return tuple(self.attrs.get("notes", ()))

    def to_frame(self) -> pd.DataFrame:
        """Return the plain DataFrame."""
        plain = pd.DataFrame(self)
        plain.attrs = {}
        return plain

    def summary(self) -> Summary:
        """Return the table with heading and notes, ready to be written."""
        return Summary((_table(self),), title=self.heading, notes=self.notes)

    def as_text(self, width: int = 80) -> str:
        """Return the text for a terminal of ``width`` cells."""
        return self.summary().as_text(width)

    def as_html(self) -> str:
        """Return escaped HTML that carries its own style."""
        return self.summary().as_html()

    def as_latex(self) -> str:
        """Return a LaTeX ``table``; it needs the package booktabs."""
        return self.summary().as_latex()

    def as_csv(self) -> str:
        """Return comma-separated values with unrounded numbers."""
        return self.summary().as_csv()

    def as_markdown(self) -> str:
        """Return a pipe table."""
        return self.summary().as_markdown()

    def __str__(self) -> str:
        return _shown(self).as_text()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return _shown(self).as_html()


def _shown(table: StatsTable) -> Summary:
    """Return the rows that pandas' option ``display.max_rows`` permits."""
    limit = pd.get_option("display.max_rows") or len(table)
    if len(table) <= limit:
        return table.summary()
    more = f"{len(table) - limit} more rows of {len(table)} are not shown; as_text() and to_frame() have them all."
    head = table.iloc[:limit].summary()
    return Summary(head.blocks, head.title, (*head.notes, more))


def _table(table: StatsTable) -> Table:
    """Translate the DataFrame: levels of the index name the rows."""
    levels = range(table.index.nlevels)
    stubs = (
        Column(
            format_text(table.index.names[level]),
            tuple(table.index.get_level_values(level)),
            Text() if level == levels[-1] else OnceOnly(),
            stub=True,
        )
        for level in levels
    )
    chosen, headers = table.attrs.get("formats", {}), table.attrs.get("headers", {})
    body = (_column(name, table.iloc[:, position], chosen, headers) for position, name in enumerate(table.columns))
    return Table((*stubs, *body))


def _column(name: Any, values: pd.Series[Any], chosen: Mapping[str, str], headers: Mapping[str, str]) -> Column:
    label = " ".join(map(str, name)) if isinstance(name, tuple) else str(name)
    form = FORMATS[chosen[label]] if label in chosen and _is_real(values) else column_format(label, values)
    return Column(headers.get(label, label), tuple(values), form)
