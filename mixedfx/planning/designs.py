"""Designs as data frames without a response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from mixedfx._arguments import (
    checked_choice,
    checked_mapping,
    checked_name,
    checked_names,
    checked_number,
    checked_whole,
)
from mixedfx._typing import IntArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.matrices.frame import as_frame, plain_frame

__all__ = ["design", "extend"]

Factor = tuple[str, tuple[Any, ...]]
BalanceName: TypeAlias = Literal["latin"]
BALANCES = {"latin": "moves over subjects and items"}


def design(
    subjects: int | None = None,
    items: int | None = None,
    *,
    between: Mapping[str, Any] | None = None,
    within: Mapping[str, Any] | None = None,
    between_items: Mapping[str, Any] | None = None,
    counterbalance: BalanceName | None = None,
    clusters: Mapping[str, int] | None = None,
    between_clusters: Mapping[str, Any] | None = None,
    blocks: int | None = None,
    whole_plots: Mapping[str, Any] | None = None,
    square: Any = None,
    wedge: int | None = None,
    visits: Any = None,
    dropout: float = 0.0,
    replicates: int = 1,
    seed: Any = 0,
) -> pd.DataFrame:
    """Lay out a study: one row an observation, no response.

    Parameters
    ----------
    subjects : int, optional
        Number of subjects; within each of the smallest ``clusters`` if there are clusters. Column ``subject``.
    items : int, optional
        Number of items, each of which every subject meets. Column ``item``.
    between, within, between_items, between_clusters : dict, optional
        Factor to its levels (a list, or their number): ``between`` is constant within a subject, and its combinations
        go round the subjects; ``within`` is met by every subject in all combinations; ``between_items`` is constant
        within an item, ``between_clusters`` within one of the largest clusters.
    counterbalance : str, optional
        ``"latin"``: each subject meets each item in one combination of ``within`` only, which moves on from subject to
        subject and from item to item: over as many subjects as there are combinations every item is met in each.
    clusters : dict, optional
        Name to number, the largest first: ``{"school": 10, "class": 3}`` is 3 classes in each of 10 schools.
    blocks, whole_plots : int, dict
        A split plot: each block has a plot for each combination of ``whole_plots``, within which the factors ``within``
        vary. Columns ``block``, ``plot``.
    square : int or list, optional
        A Latin square of these treatments. Columns ``row``, ``column``, ``treatment``.
    wedge : int, optional
        A stepped wedge of so many periods: the largest clusters (or the subjects) go over to the treatment in
        ``wedge - 1`` steps, as many in each as possible; all begin without. Columns ``period``, ``treatment`` (0 or 1).
    visits : int or list, optional
        Repeated visits: their number, or their times. Column ``visit``.
    dropout : float
        Probability of a subject, before each visit after the first, not to come any more.
    replicates : int
        Observations in each cell; a column ``replicate`` if more than one.
    seed : int, optional
        Of the dropout.

    Returns
    -------
    DataFrame
        Units are text with leading zeros. Factors of text are categorical, their levels in the order in which they were
        given: the first is the reference.

    Raises
    ------
    SpecificationError
        If the parts do not make a design, or a name comes twice.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> plan = mfx.design(subjects=24, items=12, within={"prime": ["related", "unrelated"]}, counterbalance="latin")
    >>> plan.shape, plan.groupby(["item", "prime"]).size().unique().tolist()
    ((288, 3), [12])
    >>> mfx.design(blocks=6, whole_plots={"variety": 3}, within={"nitrogen": [0.0, 0.2, 0.4, 0.6]}).shape
    (72, 4)
    """
    if square is not None:
        others = [subjects, items, between, within, clusters, blocks, whole_plots, wedge, visits]
        if any(other is not None for other in others):
            raise SpecificationError("square= is a whole design: rows, columns and treatments; leave the others out")
        return _replicated(_square(square), replicates)
    if (blocks is None) != (whole_plots is None):
        raise SpecificationError(
            "a split plot has blocks= and whole_plots=, as in blocks=6, whole_plots={'variety': 3}"
        )
    if between_clusters is not None and clusters is None:
        raise SpecificationError("between_clusters= needs clusters=, as in clusters={'school': 10}")
    if between_items is not None and items is None:
        raise SpecificationError("between_items= needs items=")
    if between is not None and subjects is None:
        raise SpecificationError("between= is constant within a subject: give subjects=")
    units = _units(subjects, clusters, blocks)
    rows = units.copy()
    if clusters is not None:
        rows = _assigned(rows, next(iter(clusters)), _factors("between_clusters", between_clusters))
    if subjects is not None:
        rows = _assigned(rows, "subject", _factors("between", between))
    if whole_plots is not None:
        rows = _crossed(rows, _factors("whole_plots", whole_plots))
        labels = rows["block"].to_numpy(str)
        number = rows.groupby("block", sort=False).cumcount().to_numpy() + 1
        rows.insert(1, "plot", [f"{block}-{k}" for block, k in zip(labels, number, strict=True)])
    rows = _with_periods(rows, wedge, clusters)
    rows = _with_visits(rows, visits, dropout, seed)
    rows = _with_items(rows, items, _factors("between_items", between_items))
    conditions = _factors("within", within)
    if counterbalance is None:
        rows = _crossed(rows, conditions)
    else:
        checked_choice("counterbalance", counterbalance, BALANCES)
        rows = _rotated(rows, conditions, [name for name, _ in _factors("between", between)])
    if not len(rows.columns):
        raise SpecificationError("there is nothing to lay out: give subjects=, clusters=, blocks= or square=")
    return _replicated(rows, replicates)


def _labels(prefix: str, count: int) -> list[str]:
    width = len(str(count))
    return [f"{prefix}{k + 1:0{width}d}" for k in range(count)]


def _factors(argument: str, given: Any) -> list[Factor]:
    if given is None:
        return []
    factors = []
    for name, levels in checked_mapping(argument, given, "{'condition': ['a', 'b']}").items():
        if isinstance(levels, int | np.integer) and not isinstance(levels, bool):
            levels = [f"{name}{k + 1}" for k in range(checked_whole(f"{argument}={{{name!r}: …}}", levels, 2))]
        if isinstance(levels, str) or not isinstance(levels, Sequence | np.ndarray | pd.Index):
            raise SpecificationError(f"{argument}: {name!r} is given by its levels or their number, found {levels!r}")
        if len(set(levels)) < max(len(levels), 2):
            raise SpecificationError(f"{argument}: {name!r} needs two or more levels, all different; found {levels!r}")
        factors.append((checked_name(f"a name in {argument}", name), tuple(levels)))
    return factors


def _units(subjects: int | None, clusters: Mapping[str, int] | None, blocks: int | None) -> pd.DataFrame:
    """The smallest units with those in which they lie."""
    rows = pd.DataFrame(index=[0])
    path = ""
    for name, count in () if clusters is None else checked_mapping("clusters", clusters, "{'school': 10}").items():
        rows = _nested(
            rows, checked_name("a name in clusters", name), checked_whole(f"clusters: {name}", count, 1), path
        )
        path = name
    if blocks is not None:
        rows = _nested(rows, "block", checked_whole("blocks", blocks, 2), path)
        path = "block"
    if subjects is not None:
        rows = _nested(rows, "subject", checked_whole("subjects", subjects, 1), path)
    return rows


def _nested(rows: pd.DataFrame, name: str, count: int, within: str) -> pd.DataFrame:
    """``count`` units in each row, labelled throughout."""
    _check_free(rows, [name])
    new = rows.loc[rows.index.repeat(count)].reset_index(drop=True)
    prefix = "s" if name == "subject" else name
    return new.assign(**{name: _labels(prefix, len(new)) if within else _labels(prefix, count)})


def _check_free(rows: pd.DataFrame, names: list[str]) -> None:
    for name in names:
        if name in rows:
            raise SpecificationError(f"two parts of the design are called {name!r}: rename one")


def _crossed(rows: pd.DataFrame, factors: list[Factor]) -> pd.DataFrame:
    _check_free(rows, [name for name, _ in factors])
    for name, levels in factors:
        new = rows.loc[rows.index.repeat(len(levels))].reset_index(drop=True)
        rows = new.assign(**{name: _column(levels, list(levels) * (len(new) // len(levels)))})
    return rows


def _column(levels: Sequence[Any], values: list[Any]) -> Any:
    """A factor of text has its levels in the order in which they were given: the first is the reference."""
    is_text = all(isinstance(level, str) for level in levels)
    return pd.Categorical(values, list(levels)) if is_text else values


def _combinations(factors: list[Factor]) -> list[tuple[Any, ...]]:
    return list(product(*(levels for _, levels in factors)))


def _assigned(rows: pd.DataFrame, unit: str, factors: list[Factor]) -> pd.DataFrame:
    """Factors that are constant within a unit; their combinations go round the units."""
    if not factors:
        return rows
    codes = pd.factorize(rows[unit])[0]
    combinations = _combinations(factors)
    return _chosen(rows, factors, [combinations[k % len(combinations)] for k in codes])


def _chosen(rows: pd.DataFrame, factors: list[Factor], cells: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Factors whose combination in each row is given."""
    _check_free(rows, [name for name, _ in factors])
    return rows.assign(
        **{name: _column(levels, [cell[j] for cell in cells]) for j, (name, levels) in enumerate(factors)}
    )


def _with_periods(rows: pd.DataFrame, wedge: int | None, clusters: Mapping[str, int] | None) -> pd.DataFrame:
    if wedge is None:
        return rows
    periods = checked_whole("wedge", wedge, 2)
    unit = next(iter(clusters)) if clusters else "subject"
    if unit not in rows:
        raise SpecificationError("wedge= needs clusters= (or subjects=) that go over to the treatment")
    codes = pd.factorize(rows[unit])[0]
    count = int(codes.max()) + 1
    if count < periods - 1:
        raise SpecificationError(
            f"wedge={wedge} has {periods - 1} steps: it needs as many levels of {unit}, found {count}"
        )
    step = 1 + codes * (periods - 1) // count
    rows = _crossed(rows.assign(_step=step), [("period", tuple(range(periods)))])
    treated = (rows["period"] >= rows["_step"]).astype(int)
    return rows.drop(columns="_step").assign(treatment=treated)


def _with_visits(rows: pd.DataFrame, visits: Any, dropout: float, seed: Any) -> pd.DataFrame:
    rate = checked_number("dropout", dropout, "between 0 and 1")
    if not 0 <= rate < 1:
        raise SpecificationError(f"dropout is a probability below 1, found {dropout}")
    if visits is None:
        if rate:
            raise SpecificationError("dropout= needs visits=")
        return rows
    if isinstance(visits, int | np.integer) and not isinstance(visits, bool):
        visits = range(checked_whole("visits", visits, 2))
    ((name, times),) = _factors("visits", {"visit": tuple(visits)})
    if "subject" not in rows:
        raise SpecificationError("visits= are those of subjects: give subjects=")
    rows = _crossed(rows, [(name, times)])
    if not rate:
        return rows
    rng = np.random.default_rng(seed)
    codes, names = pd.factorize(rows["subject"])
    last = rng.geometric(rate, len(names))  # the first visit that is missed, the first of all excepted
    number = np.array([times.index(time) for time in rows[name]])
    return rows[number < last[codes]].reset_index(drop=True)


def _with_items(rows: pd.DataFrame, items: int | None, factors: list[Factor]) -> pd.DataFrame:
    if items is None:
        return rows
    count = checked_whole("items", items, 2)
    _check_free(rows, ["item"])
    rows = rows.loc[rows.index.repeat(count)].reset_index(drop=True)
    rows = rows.assign(item=_labels("i", count) * (len(rows) // count))
    return _assigned(rows, "item", factors)


def _rotated(rows: pd.DataFrame, factors: list[Factor], between: list[str]) -> pd.DataFrame:
    """One combination in each row; it moves on from item to item, and from subject to subject of the same kind."""
    if "subject" not in rows or "item" not in rows or not factors:
        raise SpecificationError("counterbalance='latin' moves within= over subjects= and items=: give all three")
    kinds = rows.drop_duplicates("subject").set_index("subject")
    number = (
        kinds.groupby(between, sort=False).cumcount() if between else pd.Series(range(len(kinds)), index=kinds.index)
    )
    combinations = _combinations(factors)
    turn = (rows["subject"].map(number).to_numpy() + pd.factorize(rows["item"])[0]) % len(combinations)
    return _chosen(rows, factors, [combinations[k] for k in turn])


def _square(treatments: Any) -> pd.DataFrame:
    ((_, levels),) = _factors("square", {"treatment": treatments})
    k = len(levels)
    names = _labels("r", k), _labels("c", k)
    cells = [(names[0][i], names[1][j], levels[(i + j) % k]) for i in range(k) for j in range(k)]
    plan = pd.DataFrame(cells, columns=["row", "column", "treatment"])
    return plan.assign(treatment=_column(levels, plan["treatment"].tolist()))


def _replicated(rows: pd.DataFrame, replicates: int) -> pd.DataFrame:
    count = checked_whole("replicates", replicates, 1)
    return rows if count == 1 else _crossed(rows, [("replicate", tuple(range(1, count + 1)))])


# ---------------------------------------------------------------- more of the same
def extend(data: Any, along: str, n: int, *, labels: Sequence[str] = ()) -> pd.DataFrame:
    """Return the design with ``n`` levels of a grouping factor: more than there are, or fewer.

    Parameters
    ----------
    data : data frame
        A design, or the data of a pilot study.
    along : str
        The column whose levels are copied. Columns of text whose levels lie within one of its levels each (classes in
        schools) get new levels with it.
    n : int
        Number of levels.
    labels : sequence of str
        Columns of numbers that are labels too, as identifiers of classes are.

    Returns
    -------
    DataFrame
        The rows of as many levels as are asked for. Levels are taken in turn from those that differ in what is constant
        within a level (the arms of a trial), so that the design stays as balanced as it was. What is not a label, a
        response among it, is that of the row that was copied.

    Raises
    ------
    DataError
        If there is no such column, or it has missing values.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> plan = mfx.design(subjects=10, visits=4, between={"arm": ["drug", "placebo"]})
    >>> larger = mfx.extend(plan, along="subject", n=24)
    >>> larger.groupby("arm")["subject"].nunique().tolist()
    [12, 12]
    """
    rows, name = plain_frame(data), checked_name("along", along)
    numbered = checked_names("labels", labels)
    as_frame(rows).require((name, *numbered))
    count = checked_whole("n", n, 1)
    codes, levels = pd.factorize(rows[name])
    if not len(rows):
        raise DataError("there are no rows to copy: the data are empty")
    if (codes < 0).any():
        raise DataError(f"{name!r} has missing values in {int((codes < 0).sum())} rows: drop them")
    renamed = [
        name,
        *(column for column in rows if column != name and _is_within(rows[column], codes, column in numbered)),
    ]
    order, copies = _in_turn(rows, name, codes, len(levels)), -(-count // len(levels))
    places = [np.flatnonzero(codes == order[k % len(levels)]) for k in range(count)]
    turns = np.repeat([k // len(levels) for k in range(count)], [len(place) for place in places])
    whole = rows.iloc[np.concatenate(places)].reset_index(drop=True)
    for column in renamed:
        whole[column] = _copied(whole[column], turns, copies)
    return whole


def _in_turn(rows: pd.DataFrame, name: str, codes: IntArray, count: int) -> list[int]:
    """The levels, each in turn from another kind of those that differ in what is constant within a level."""
    constant = [
        column
        for column in rows
        if column != name
        and rows[column].nunique() <= max(count // 2, 1)
        and bool(rows[column].groupby(codes).nunique().le(1).all())
    ]
    kinds: Any = rows.groupby(codes)[constant].first().astype(str).apply(tuple, axis=1) if constant else [()] * count
    seen: dict[tuple[str, ...], int] = {}
    ranks = []
    for kind in kinds:
        seen[kind] = seen.get(kind, -1) + 1
        ranks.append(seen[kind])
    return sorted(range(count), key=lambda k: (ranks[k], k))


def _is_within(column: pd.Series[Any], codes: IntArray, is_label: bool) -> bool:
    """Whether a column has labels each of which lies within one level, and some level several."""
    if not is_label and pd.api.types.is_numeric_dtype(column):
        return False
    owners = pd.Series(codes).groupby(column.to_numpy(dtype=object)).nunique()
    return bool(owners.le(1).all()) and len(owners) > len(np.unique(codes))


def _copied(column: pd.Series[Any], turns: IntArray, copies: int) -> pd.Series[Any]:
    """Labels, new ones in each turn after the first."""
    if pd.api.types.is_integer_dtype(column):
        return column + turns * (int(column.max()) - int(column.min()) + 1)
    text = column.astype(object)
    new = [value if not turn else f"{value}+{turn}" for value, turn in zip(text, turns, strict=True)]
    if isinstance(column.dtype, pd.CategoricalDtype):
        known = [f"{value}+{turn}" if turn else value for turn in range(copies) for value in column.cat.categories]
        return pd.Series(pd.Categorical(new, [value for value in known if value in set(new)]), index=column.index)
    return pd.Series(new, index=column.index)
