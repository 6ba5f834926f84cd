"""Contrasts: their coefficients by method, within the combinations of some columns of a table, and products of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from math import gcd, lcm
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from mixedfx._suggestions import advised
from mixedfx._typing import Array, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.labels import row_names, shown_levels, split_by

__all__ = ["Contrasts", "ContrastsOfRows", "MethodName", "bracketed", "contrasted", "contrasts_for", "interactions"]

DEGREES = ("linear", "quadratic", "cubic", "quartic")
HIGHEST_DEGREE = 6
ZERO = Fraction(0)


@dataclass(frozen=True, eq=False)
class Contrasts:
    """Combinations of k means.

    Attributes
    ----------
    coefficients : (c, k)
    names : tuple of c str
        With ``{}`` in the place of the sign between two means: a minus, or a slash for ratios.
    adjust : str
        The usual adjustment.
    are_all_pairs : bool
        Whether these are all pairwise differences.
    """

    coefficients: Array
    names: tuple[str, ...]
    adjust: str
    are_all_pairs: bool = False


def _escaped(label: object) -> str:
    return str(label).replace("{", "{{").replace("}", "}}")


def bracketed(label: str) -> str:
    """Return a label in brackets if it would be misread beside a minus or a slash."""
    return f"({label})" if any(sign in label for sign in (" - ", " / ", " + ")) else label


def _named(label: str) -> str:
    return _escaped(bracketed(label))


def _pairs(order: int, labels: Sequence[str]) -> Contrasts:
    k = len(labels)
    first, second = np.triu_indices(k, 1)
    eye = np.eye(k)
    left, right = (first, second) if order > 0 else (second, first)
    names = tuple(f"{_named(labels[i])} {{}} {_named(labels[j])}" for i, j in zip(left.tolist(), right.tolist()))
    return Contrasts(eye[left] - eye[right], names, "tukey", are_all_pairs=True)


def _treatment(labels: Sequence[str], reference: int = 0) -> Contrasts:
    k = len(labels)
    others = [i for i in range(k) if i != reference]
    eye = np.eye(k)
    names = tuple(f"{_named(labels[i])} {{}} {_named(labels[reference])}" for i in others)
    return Contrasts(eye[others] - eye[reference], names, "dunnett")


def _sequential(labels: Sequence[str]) -> Contrasts:
    names = tuple(f"{_named(after)} {{}} {_named(before)}" for before, after in pairwise(labels))
    return Contrasts(np.diff(np.eye(len(labels)), axis=0), names, "dunnett")


def _effects(labels: Sequence[str]) -> Contrasts:
    k = len(labels)
    return Contrasts(np.eye(k) - 1.0 / k, tuple(f"{_named(label)} effect" for label in labels), "fdr")


def _helmert(labels: Sequence[str]) -> Contrasts:
    k = len(labels)
    rows = np.array([[-1.0 / j] * j + [1.0] + [0.0] * (k - j - 1) for j in range(1, k)]).reshape(-1, k)
    names = [f"{_named(labels[1])} {{}} {_named(labels[0])}"] if k > 1 else []
    first = bracketed(labels[0])
    names += [f"{_named(label)} {{}} mean of {first}…{_named(before)}" for before, label in pairwise(labels[1:])]
    return Contrasts(rows, tuple(names), "dunnett")


def _identity(labels: Sequence[str]) -> Contrasts:
    return Contrasts(np.eye(len(labels)), tuple(map(_escaped, labels)), "none")


def _polynomial(labels: Sequence[str]) -> Contrasts:
    """Orthogonal polynomials of equally spaced levels, as the smallest whole numbers."""
    k = len(labels)
    basis: list[list[Fraction]] = [[Fraction(1)] * k]
    for degree in range(1, min(k - 1, HIGHEST_DEGREE) + 1):
        column = [Fraction(i) ** degree for i in range(k)]
        for other in basis:
            share = sum((a * b for a, b in zip(column, other)), ZERO) / sum((b * b for b in other), ZERO)
            column = [a - share * b for a, b in zip(column, other)]
        basis.append(_whole(column))
    names = tuple(DEGREES[d] if d < len(DEGREES) else f"degree {d + 1}" for d in range(len(basis) - 1))
    return Contrasts(np.array([[float(v) for v in row] for row in basis[1:]]).reshape(-1, k), names, "none")


def _whole(column: list[Fraction]) -> list[Fraction]:
    common = lcm(*(value.denominator for value in column))
    numbers = [int(value * common) for value in column]
    divisor = gcd(*numbers)
    return [Fraction(number, divisor) for number in numbers]


MethodName: TypeAlias = Literal[
    "pairwise",
    "revpairwise",
    "sequential",
    "polynomial",
    "helmert",
    "effects",
    "identity",
    "treatment",
]
METHODS: dict[str, Callable[[Sequence[str]], Contrasts]] = {
    "pairwise": partial(_pairs, 1),
    "revpairwise": partial(_pairs, -1),
    "sequential": _sequential,
    "polynomial": _polynomial,
    "helmert": _helmert,
    "effects": _effects,
    "identity": _identity,
    "treatment": _treatment,
}
NOT_NUMBERS = "coefficients of contrasts must be numbers, equally many in each contrast"
ALIASES = {
    "pairs": "pairwise",
    "tukey": "pairwise",
    "consec": "sequential",
    "poly": "polynomial",
    "eff": "effects",
    "deviation": "effects",
    "trt.vs.ctrl": "treatment",
    "dunnett": "treatment",
}


def contrasts_for(method: Any, labels: Sequence[str], reference: Hashable | None = None) -> Contrasts:
    """Return the contrasts between the means called ``labels`` (k).

    Parameters
    ----------
    method : str, dict or array
        A word; names and coefficients; or a matrix (c, k).
    labels : sequence of str
    reference : str or int, optional
        Of treatment contrasts: the label of the mean, or its position; the first if omitted.

    Raises
    ------
    SpecificationError
        If the method is unknown, or the coefficients do not fit.

    Examples
    --------
    >>> contrasts_for("polynomial", ["0", "1", "2", "3"]).coefficients
    array([[-3., -1.,  1.,  3.],
           [ 1., -1., -1.,  1.],
           [-1.,  3., -3.,  1.]])
    """
    if isinstance(method, str):
        key = ALIASES.get(method.lower(), method.lower())
        if reference is not None and METHODS.get(key) is not _treatment:
            raise SpecificationError(f"reference={reference!r} is for contrasts of the method 'treatment'")
        if key not in METHODS:
            advice = advised("contrasts", method, METHODS, ", or give coefficients")
            raise SpecificationError(f"unknown contrasts {method!r}; {advice}")
        return METHODS[key](labels) if reference is None else _treatment(labels, _position(reference, labels))
    if isinstance(method, Mapping):
        return _given(list(method.values()), [str(name) for name in method], labels)
    try:
        matrix = np.atleast_2d(np.asarray(method, dtype=float))
    except (TypeError, ValueError) as error:
        raise SpecificationError(NOT_NUMBERS) from error
    names = list(map(str, method.index)) if hasattr(method, "index") and not callable(method.index) else []
    return _given(matrix, names or [f"c{i + 1}" for i in range(len(matrix))], labels)


def _position(reference: Hashable, labels: Sequence[str]) -> int:
    if str(reference) in labels:
        return list(labels).index(str(reference))
    if isinstance(reference, int) and -len(labels) <= reference < len(labels):
        return reference % len(labels)
    raise SpecificationError(f"reference={reference!r} is none of {', '.join(map(repr, labels))}")


def _given(rows: Any, names: Sequence[str], labels: Sequence[str]) -> Contrasts:
    try:
        matrix = np.asarray([np.asarray(row, dtype=float) for row in rows])
    except (TypeError, ValueError) as error:
        raise SpecificationError(NOT_NUMBERS) from error
    if matrix.ndim != 2 or matrix.shape[1] != len(labels) or not np.isfinite(matrix).all():
        raise SpecificationError(
            f"a contrast needs {len(labels)} finite coefficients, one for each of {', '.join(labels)}; found shape "
            f"{matrix.shape}"
        )
    return Contrasts(matrix, tuple(map(_escaped, names)), "none")


# ---------------------------------------------------------------- of the rows of a table
@dataclass(frozen=True, eq=False)
class ContrastsOfRows:
    """Contrasts of the rows (r) of a table, made within the combinations of some of its columns.

    Attributes
    ----------
    labels : DataFrame
        The contrasts, and the levels of ``by`` within which they are made.
    coefficients : (c, r)
    adjust : str
        The usual adjustment.
    pairs_of : int or None
        Number of means of which the contrasts within one combination are all pairwise differences.
    """

    labels: pd.DataFrame
    coefficients: Array
    adjust: str
    pairs_of: int | None = None


def contrasted(
    labels: pd.DataFrame, method: Any, by: tuple[str, ...], *, sign: str, reference: Hashable | None
) -> ContrastsOfRows:
    """Return the contrasts of rows within each combination of the columns ``by``; ``sign`` stands between two means."""
    compared = [name for name in labels.columns if name not in by]
    groups, tables, blocks = [], [], []
    for group in split_by(labels, by):
        rows = labels.iloc[group]
        contrasts = contrasts_for(method, row_names(rows[compared]), reference)
        if not contrasts.names:  # a single mean: a nested factor has one level here
            continue
        groups.append(contrasts)
        blocks.append(_in_all_rows(contrasts.coefficients, group, len(labels)))
        tables.append(_labelled({"contrast": [name.format(sign) for name in contrasts.names]}, rows, by))
    if not groups:
        raise SpecificationError("there is only one mean: nothing to compare")
    last = groups[-1]
    pairs_of = last.coefficients.shape[1] if last.are_all_pairs else None
    return ContrastsOfRows(pd.concat(tables, ignore_index=True), np.vstack(blocks), last.adjust, pairs_of)


def interactions(labels: pd.DataFrame, methods: Any, by: tuple[str, ...], *, sign: str) -> ContrastsOfRows:
    """Return products of contrasts, one method a factor."""
    names = [name for name in labels.columns if name not in by]
    chosen = _methods(methods, names)
    tables, blocks = [], []
    for group in split_by(labels, by):
        rows = labels.iloc[group].reset_index(drop=True)
        levels, order = _factor_levels(rows, names)
        parts = [contrasts_for(method, texts) for method, texts in zip(chosen, levels, strict=True)]
        coefficients = np.ones((1, 1))
        for part in parts:  # the first factor varies fastest
            coefficients = np.asarray(np.kron(part.coefficients, coefficients), dtype=np.float64)
        places = np.indices([len(part.names) for part in reversed(parts)]).reshape(len(parts), -1)[::-1]
        columns = {
            name: [part.names[i].format(sign) for i in place]
            for name, part, place in zip(names, parts, places.tolist(), strict=True)
        }
        blocks.append(_in_all_rows(coefficients, group[order], len(labels)))
        tables.append(_labelled(columns, rows, by))
    return ContrastsOfRows(pd.concat(tables, ignore_index=True), np.vstack(blocks), "none")


def _in_all_rows(coefficients: Array, group: IntArray, n: int) -> Array:
    out = np.zeros((len(coefficients), n))
    out[:, group] = coefficients
    return out


def _labelled(columns: Mapping[str, Sequence[Any]], rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    frame = pd.DataFrame(columns)
    for name in by:
        frame[name] = [rows[name].iloc[0]] * len(frame)
    return frame


def _factor_levels(labels: pd.DataFrame, names: Sequence[str]) -> tuple[list[list[str]], IntArray]:
    """Return the levels of each column, and the rows of their combinations, the first factor varying fastest.

    Raises
    ------
    SpecificationError
        If the rows are not all combinations.
    """
    place, size, levels = np.zeros(len(labels), dtype=np.intp), 1, []
    for name in names:
        codes, _ = pd.factorize(labels[name])
        texts = shown_levels(labels[name])
        levels.append([str(texts[row]) for row in pd.Series(codes).drop_duplicates().index])
        place += size * codes
        size *= len(levels[-1])
    if size != len(labels) or len(np.unique(place)) < size:
        raise SpecificationError(
            f"the rows are not all combinations of the levels of {', '.join(names)}: ask for contrasts of single rows, "
            "or hold a factor with by="
        )
    return levels, np.argsort(place)


def _methods(methods: Any, names: Sequence[str]) -> list[Any]:
    if isinstance(methods, Mapping):
        missing = [name for name in names if name not in methods]
        if missing or len(methods) != len(names):
            raise SpecificationError(f"interaction= needs a method for each of {', '.join(names)}; found {methods!r}")
        return [methods[name] for name in names]
    if isinstance(methods, str) or methods is True:
        return ["pairwise" if methods is True else methods] * len(names)
    chosen = list(methods) if isinstance(methods, Sequence) else []
    if len(chosen) != len(names):
        raise SpecificationError(
            f"interaction= needs {len(names)} methods, one for each of {', '.join(names)}; found {methods!r}"
        )
    return chosen
