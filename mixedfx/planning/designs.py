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
    checked_seed,
    checked_whole,
)
from mixedfx._typing import IntArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.matrices.frame import as_frame, plain_frame

__all__ = ["design", "extend"]

Factor = tuple[str, tuple[Any, ...]]
BalanceName: TypeAlias = Literal["latin"]
BALANCES = {"latin": "moves over subjects and items"}
LISTS = (Sequence, Mapping, np.ndarray, pd.Index, pd.Series, pd.Categorical)


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
        Factor to its levels (a list, their number, or a dict of levels and their shares, as in
        ``{"arm": {"drug": 2, "placebo": 1}}``): ``between`` is constant within a subject, and its combinations go round
        the subjects; ``within`` is met by every subject in all combinations; ``between_items`` is constant within an
        item, ``between_clusters`` within one of the largest clusters.
    counterbalance : str, optional
        ``"latin"``: each subject meets each item in one combination of ``within`` only, which moves on from subject to
        subject and from item to item, among those that are alike in what is between them: over as many subjects of a
        kind as there are combinations every item is met in each.
    clusters : dict, optional
        Name to number, the largest first: ``{"school": 10, "class": 3}`` is 3 classes in each of 10 schools.
    blocks, whole_plots : int, dict
        A split plot: each block has a plot for each combination of ``whole_plots``, within which the factors ``within``
        vary. Columns ``block``, ``plot``.
    square : int or list, optional
        A Latin square of these treatments; with an even number of them each follows each other one once along the
        rows, which balances what is carried over (Williams 1949). Columns ``row``, ``column``, ``treatment``.
    wedge : int, optional
        A stepped wedge of so many periods: the largest clusters (or the subjects) go over to the treatment in
        ``wedge - 1`` steps, as many in each as possible; all begin without. Columns ``period``, ``treatment`` (0 or 1).
    visits : int or list, optional
        Repeated visits: their number, or their times. Column ``visit``.
    dropout : float
        Probability of a subject, before each visit after the first (of all periods), not to come any more.
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
        If the parts do not make a design, a name comes twice, or a combination of factors is left without a unit.

    References
    ----------
    Williams (1949), Australian Journal of Scientific Research A 2, 149, for squares balanced for carry-over.

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
        others = [subjects, items, between, within, between_items, counterbalance, clusters, between_clusters, blocks]
        if any(other is not None for other in [*others, whole_plots, wedge, visits]) or dropout:
            raise SpecificationError("square= is a whole design: rows, columns and treatments; leave the others out")
        return _replicated(_square(square), replicates)
    if (blocks is None) != (whole_plots is None):
        raise SpecificationError(
            "a split plot has blocks= and whole_plots=, as in blocks=6, whole_plots={'variety': 3}"
        )
    if blocks is not None and subjects is not None:
        raise SpecificationError(
            "the units of a split plot are its plots, not subjects=: leave it out; several measurements of a plot are "
            "within= or replicates="
        )
    sizes = checked_mapping("clusters", clusters, "{'school': 10}")
    if between_clusters is not None and not sizes:
        raise SpecificationError("between_clusters= needs clusters=, as in clusters={'school': 10}")
    if between_items is not None and items is None:
        raise SpecificationError("between_items= needs items=")
    if between is not None and subjects is None:
        raise SpecificationError("between= is constant within a subject: give subjects=")
    rows = _units(subjects, sizes, blocks)
    of_clusters, of_subjects = _factors("between_clusters", between_clusters), _factors("between", between)
    of_items, conditions = _factors("between_items", between_items), _factors("within", within)
    if sizes:
        rows = _assigned(rows, next(iter(sizes)), of_clusters, ())
    if subjects is not None:
        rows = _assigned(rows, "subject", of_subjects, of_clusters)
    if whole_plots is not None:
        rows = _with_plots(rows, _factors("whole_plots", whole_plots))
    rows = _with_periods(rows, wedge, next(iter(sizes), "subject"))
    rows = _with_visits(rows, visits, dropout, seed)
    rows = _with_items(rows, items, of_items)
    if counterbalance is None:
        rows = _crossed(rows, conditions)
    else:
        checked_choice("counterbalance", counterbalance, BALANCES)
        rows = _rotated(rows, conditions, [*of_clusters, *of_subjects], of_items)
    if not len(rows.columns):
        raise SpecificationError("there is nothing to lay out: give subjects=, clusters=, blocks= or square=")
    return _replicated(rows, replicates)


def _labels(prefix: str, count: int) -> list[str]:
    width = len(str(count))
    return [f"{prefix}{k + 1:0{width}d}" for k in range(count)]


def _factors(argument: str, given: Any) -> list[Factor]:
    """Names and levels, a level as many times as it has shares."""
    found = checked_mapping(argument, given, "{'condition': ['a', 'b']}")
    return [
        (checked_name(f"a name in {argument}", name), _levels(f"{argument}: {name!r}", name, levels))
        for name, levels in found.items()
    ]


def _levels(what: str, name: str, given: Any) -> tuple[Any, ...]:
    shares: Any = given
    if isinstance(given, int | np.integer) and not isinstance(given, bool):
        shares = [f"{name}{k + 1}" for k in range(given)]
    elif isinstance(given, str) or not isinstance(given, LISTS):
        raise SpecificationError(f"{what} is given by its levels or their number, found {given!r}")
    levels = list(shares)
    if not all(isinstance(level, str) or _is_finite(level) for level in levels):
        raise SpecificationError(f"{what} has levels that are texts or finite numbers; found {given!r}")
    if len(set(levels)) < max(len(levels), 2):
        raise SpecificationError(f"{what} needs two or more levels, all different; found {given!r}")
    if len({isinstance(level, str) for level in levels}) > 1:
        raise SpecificationError(f"{what} has levels that are all texts or all numbers; found {given!r}")
    if not isinstance(shares, Mapping):
        return tuple(levels)
    counts = [checked_whole(f"{what}, the share of {level!r},", count, 1) for level, count in shares.items()]
    return tuple(level for level, count in zip(levels, counts, strict=True) for _ in range(count))


def _is_finite(level: Any) -> bool:
    return isinstance(level, int | float | np.integer | np.floating | np.bool_) and bool(np.isfinite(level))


def _units(subjects: int | None, clusters: Mapping[str, int], blocks: int | None) -> pd.DataFrame:
    """The smallest units with those in which they lie."""
    rows = pd.DataFrame(index=[0])
    path = ""
    for name, count in clusters.items():
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
    return pd.Categorical(values, list(dict.fromkeys(levels))) if is_text else values


def _numbers(rows: pd.DataFrame, unit: str, kinds: Sequence[Factor]) -> IntArray:
    """The number of the unit of each row among those of its kind."""
    units = rows.drop_duplicates(unit)
    names = [name for name, _ in kinds]
    numbers = units.groupby(names, sort=False, observed=True).cumcount() if names else np.arange(len(units))
    return np.asarray(numbers)[pd.factorize(rows[unit])[0]]


def _assigned(rows: pd.DataFrame, unit: str, factors: list[Factor], kinds: Sequence[Factor]) -> pd.DataFrame:
    """Factors that are constant within a unit; their combinations go round the units of each kind."""
    if not factors:
        return rows
    combinations = list(product(*(levels for _, levels in factors)))
    numbers, count = _numbers(rows, unit, kinds), len(set(combinations))
    whole = _chosen(rows, factors, numbers)
    if len(whole[[name for name, _ in factors]].drop_duplicates()) < count:
        named = " and ".join(repr(name) for name, _ in factors)
        shares = "" if len(combinations) == count else f" in turns of {len(combinations)}"
        raise SpecificationError(
            f"{named}: {count} combinations of levels go round the units {unit!r}{shares}, of which there are "
            f"{rows[unit].nunique()}: some are left out; give more units, or fewer levels"
        )
    return whole


def _chosen(rows: pd.DataFrame, factors: list[Factor], turns: IntArray) -> pd.DataFrame:
    """Factors whose combinations come in turn."""
    _check_free(rows, [name for name, _ in factors])
    combinations = list(product(*(levels for _, levels in factors)))
    cells = [combinations[k] for k in turns % len(combinations)]
    return rows.assign(
        **{name: _column(levels, [cell[j] for cell in cells]) for j, (name, levels) in enumerate(factors)}
    )


def _with_plots(rows: pd.DataFrame, factors: list[Factor]) -> pd.DataFrame:
    """A plot of each block for each combination."""
    rows = _crossed(rows, factors)
    _check_free(rows, ["plot"])
    number = (rows.groupby("block", sort=False).cumcount() + 1).astype(str)
    rows.insert(list(rows).index("block") + 1, "plot", rows["block"].str.cat(number, sep="-"))
    return rows


def _with_periods(rows: pd.DataFrame, wedge: int | None, unit: str) -> pd.DataFrame:
    if wedge is None:
        return rows
    periods = checked_whole("wedge", wedge, 2)
    if unit not in rows:
        raise SpecificationError("wedge= needs clusters= (or subjects=) that go over to the treatment")
    codes = pd.factorize(rows[unit])[0]
    count = int(codes.max()) + 1
    if count < periods - 1:
        raise SpecificationError(
            f"wedge={wedge} has {periods - 1} steps: it needs as many levels of {unit}, found {count}"
        )
    steps = np.repeat(1 + codes * (periods - 1) // count, periods)
    rows = _crossed(rows, [("period", tuple(range(periods)))])
    _check_free(rows, ["treatment"])
    return rows.assign(treatment=(rows["period"] >= steps).astype(int))


def _with_visits(rows: pd.DataFrame, visits: Any, dropout: float, seed: Any) -> pd.DataFrame:
    rate = checked_number("dropout", dropout, " between 0 and 1")
    if not 0 <= rate < 1:
        raise SpecificationError(f"dropout is a probability below 1, found {dropout}")
    rng = np.random.default_rng(checked_seed(seed))
    if visits is None:
        if rate:
            raise SpecificationError("dropout= needs visits=")
        return rows
    if isinstance(visits, int | np.integer) and not isinstance(visits, bool):
        visits = range(checked_whole("visits", visits, 2))
    times = _factors("visits", {"visit": visits})
    if "subject" not in rows:
        raise SpecificationError("visits= are those of subjects: give subjects=")
    rows = _crossed(rows, times)
    if not rate:
        return rows
    codes, names = pd.factorize(rows["subject"])
    last = rng.geometric(rate, len(names))  # the first visit that is missed, the first of all excepted
    number = rows.groupby("subject", sort=False).cumcount().to_numpy()
    return rows[number < last[codes]].reset_index(drop=True)


def _with_items(rows: pd.DataFrame, items: int | None, factors: list[Factor]) -> pd.DataFrame:
    if items is None:
        return rows
    count = checked_whole("items", items, 2)
    _check_free(rows, ["item"])
    rows = rows.loc[rows.index.repeat(count)].reset_index(drop=True)
    rows = rows.assign(item=_labels("i", count) * (len(rows) // count))
    return _assigned(rows, "item", factors, ())


def _rotated(
    rows: pd.DataFrame, factors: list[Factor], of_subjects: list[Factor], of_items: list[Factor]
) -> pd.DataFrame:
    """One combination in each row; it moves on from item to item and from subject to subject, of the same kind each."""
    if "subject" not in rows or "item" not in rows or not factors:
        raise SpecificationError("counterbalance='latin' moves within= over subjects= and items=: give all three")
    return _chosen(rows, factors, _numbers(rows, "subject", of_subjects) + _numbers(rows, "item", of_items))


def _square(treatments: Any) -> pd.DataFrame:
    """Row ``i`` has the treatments ``i + w``, with ``w = 0, 1, k - 1, 2, k - 2, …`` (Williams)."""
    ((_, levels),) = _factors("square", {"treatment": treatments})
    k = len(levels)
    rows, columns, steps = _labels("r", k), _labels("c", k), np.arange(k)
    order = np.where(steps % 2, (steps + 1) // 2, -(steps // 2))
    cells = [(rows[i], columns[j], levels[(i + order[j]) % k]) for i in range(k) for j in range(k)]
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
        Columns that are labels whatever is in them, as numbers of classes are.

    Returns
    -------
    DataFrame
        The rows of as many levels as are asked for, those of a smaller number among those of a larger one. Levels are
        taken in turn from those that differ in a column (the arms of a trial, the steps of a wedge, the lists of a
        counterbalanced design, the visits before a dropout), in proportion to their numbers, so that any number of
        levels is as balanced as the design. What is not a label, a response among it, is that of the row that was
        copied.

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
    twice = rows.columns[rows.columns.duplicated()]
    if len(twice):
        raise DataError(f"the data have several columns called {twice[0]!r}: rename or drop all but one")
    count = checked_whole("n", n, 1)
    codes, levels = pd.factorize(rows[name])
    if not len(rows):
        raise DataError("there are no rows to copy: the data are empty")
    if (codes < 0).any():
        raise DataError(f"{name!r} has missing values in {int((codes < 0).sum())} rows: drop them")
    within = (column for column in rows if column != name and _is_within(rows[column], codes, column in numbered))
    parts = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    order = _interleaved(len(levels), _patterns(rows.drop(columns=name), codes))
    places = [parts[order[k % len(levels)]] for k in range(count)]
    turns = np.repeat(np.arange(count) // len(levels), [len(place) for place in places])
    whole = rows.iloc[np.concatenate(places)].reset_index(drop=True)
    for column in (name, *within):
        whole[column] = _copied(whole[column], turns)
    return whole


def _patterns(rows: pd.DataFrame, codes: IntArray) -> list[IntArray]:
    """In what levels differ: of each column what a level has in it, if several have the same."""
    found = []
    for column in rows:
        values = pd.Series(pd.factorize(rows[column])[0])
        kinds = pd.factorize(values.groupby(codes).agg(tuple))[0]
        if 1 < len(set(kinds)) <= len(kinds) // 2:
            found.append(kinds)
    return found


def _interleaved(count: int, patterns: Sequence[IntArray]) -> IntArray:
    """The levels in an order whose beginnings have the kinds of every pattern, and their combinations, in proportion.

    The next one is that after which the squared differences from the proportional numbers are least.
    """
    if not patterns:
        return np.arange(count)
    profiles, codes = np.unique(patterns, axis=1, return_inverse=True)
    kinds, codes = [*profiles, np.arange(profiles.shape[1])], np.ravel(codes)
    waiting = [list(np.flatnonzero(codes == k)[::-1]) for k in range(profiles.shape[1])]
    shares = [np.bincount(kind, weights=np.bincount(codes)) / count for kind in kinds]
    behind = [share.copy() for share in shares]  # how many levels of each kind are due
    order = []
    for _ in range(count):
        due = np.round(sum(lack[kind] for lack, kind in zip(behind, kinds, strict=True)), 9)  # ties in turn
        due[[not levels for levels in waiting]] = -np.inf
        chosen = int(np.argmax(due))
        order.append(waiting[chosen].pop())
        for lack, share, kind in zip(behind, shares, kinds, strict=True):
            lack += share
            lack[kind[chosen]] -= 1.0
    return np.array(order)


def _is_within(column: pd.Series[Any], codes: IntArray, is_label: bool) -> bool:
    """Whether a column has labels each of which lies within one level, and some level several if they may be none."""
    is_number = pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column)
    if not is_label and is_number:
        return False
    owners = pd.Series(codes).groupby(column.to_numpy(dtype=object)).nunique()
    return bool(owners.le(1).all()) and (is_label or len(owners) > len(np.unique(codes)))


def _copied(column: pd.Series[Any], turns: IntArray) -> pd.Series[Any]:
    """Labels, new ones in each turn after the first."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        new = _copied(column.astype(object).infer_objects(), turns)
        known = pd.unique(new.iloc[np.lexsort((column.cat.codes, turns))].dropna())
        return pd.Series(pd.Categorical(new, known, ordered=column.cat.ordered), index=column.index)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        if column.isin([np.inf, -np.inf]).any():
            raise DataError(f"{column.name!r} has infinite labels, of which there are no new ones: make them text")
        return pd.Series(column + turns * (column.max() - column.min() + 1))
    text, mark = column.map(str, na_action="ignore"), "+"
    while text.str.contains(mark, regex=False).any():  # of a design that was made larger before
        mark += "+"
    return text + pd.Series([f"{mark}{turn}" if turn else "" for turn in turns], index=text.index)
