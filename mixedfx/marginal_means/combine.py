"""Contrasts of the rows of a table, within the combinations of some of its columns."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.adjust import adjustment_for
from mixedfx.marginal_means.contrasts import Contrasts, contrasts_for
from mixedfx.marginal_means.families import split_by
from mixedfx.marginal_means.levels import shown_levels
from mixedfx.marginal_means.scales import IDENTITY, RatioScale, Scale

if TYPE_CHECKING:
    from mixedfx.marginal_means.means import MarginalMeans

__all__ = ["contrasted", "factor_levels", "interactions", "row_names"]


def contrasted(
    means: MarginalMeans, method: Any, by: tuple[str, ...], adjust: str | None, reference: Hashable | None
) -> MarginalMeans:
    """Return the contrasts of the rows within each combination of the columns ``by``."""
    compared = [name for name in means.labels.columns if name not in by]
    labels, blocks = [], []
    found = None
    for own in split_by(means.labels, by):
        rows = means.labels.iloc[own]
        names = row_names(rows[compared])
        own_contrasts = contrasts_for(method, names, reference)
        if not own_contrasts.names:  # a single mean: a nested factor has one level here
            continue
        found = own_contrasts
        blocks.append(_spread(found.coefficients, own, len(means)))
        labels.append(_labelled({"contrast": [n.format(_sign(means)) for n in found.names]}, rows, by))
    if found is None:
        raise SpecificationError("there is only one mean: nothing to compare")
    return _compared(means, np.vstack(blocks), pd.concat(labels, ignore_index=True), by, found, adjust)


def row_names(labels: pd.DataFrame) -> list[str]:
    """Return the names of rows; levels that are bare numbers carry the name of their factor: ``Days0``."""
    texts = [[_told(name, value) for value in shown_levels(labels[name])] for name in labels.columns]
    return [" ".join(parts) for parts in zip(*texts, strict=True)] if texts else ["overall"] * len(labels)


def _told(name: str, value: object) -> str:
    text = str(value)
    return f"{name}{text}" if text[:1].isdigit() or text[:1] in "-.+" else text


def _compared(
    means: MarginalMeans,
    coefficients: Array,
    labels: pd.DataFrame,
    by: tuple[str, ...],
    found: Contrasts,
    adjust: str | None,
) -> MarginalMeans:
    is_ratio = _sign(means) == "/" and bool(np.allclose(coefficients.sum(axis=1), 0.0))
    scale, column = _ratio_scale(means) if is_ratio else (IDENTITY, "estimate")
    notes = list(means.notes)
    if means.response is not None and not means.response.is_identity and not is_ratio:
        notes = [note for note in notes if "response scale" not in note]
        notes.append(f"Contrasts are on the {means.response.name} scale: they have no counterpart on the response.")
    return means.changed(
        labels=labels,
        functions=means.functions.combined(coefficients),
        by=by,
        estimate=column,
        scale=scale,
        heading=_heading(means),
        notes=tuple(notes),
        adjustment=adjustment_for(found.adjust if adjust is None else adjust),
        pairs_of=len(found.coefficients[0]) if found.are_all_pairs else None,
        response=means.response if is_ratio else None,
    )


def _heading(means: MarginalMeans) -> str:
    if means.heading.startswith("Contrasts of "):
        return means.heading
    return f"Contrasts of {means.heading[0].lower()}{means.heading[1:]}"


def _sign(means: MarginalMeans) -> str:
    """What stands between two means: a slash where their difference is shown as a ratio."""
    return "/" if means.response is not None and means.response.ratio is not None else "-"


def _ratio_scale(means: MarginalMeans) -> tuple[Scale, str]:
    assert means.response is not None
    ratio = means.response.ratio
    assert ratio is not None
    return RatioScale(ratio.name, ratio), ratio.name


def _spread(coefficients: Array, own: IntArray, n: int) -> Array:
    out = np.zeros((len(coefficients), n))
    out[:, own] = coefficients
    return out


def _labelled(columns: Mapping[str, Sequence[Any]], rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    frame = pd.DataFrame(columns)
    for name in by:
        frame[name] = [rows[name].iloc[0]] * len(frame)
    return frame


# ---------------------------------------------------------------- interactions
def factor_levels(labels: pd.DataFrame, names: Sequence[str]) -> tuple[list[list[str]], IntArray]:
    """Return the levels of each column, and where their combinations (the first factor fastest) stand in the table.

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


def interactions(means: MarginalMeans, methods: Any, by: tuple[str, ...], adjust: str | None) -> MarginalMeans:
    """Return products of contrasts, one method a factor."""
    names = [name for name in means.labels.columns if name not in by]
    chosen = _methods(methods, names)
    labels, blocks = [], []
    combined = np.zeros((0, 0))
    for own in split_by(means.labels, by):
        rows = means.labels.iloc[own].reset_index(drop=True)
        levels, order = factor_levels(rows, names)
        parts = [contrasts_for(method, texts) for method, texts in zip(chosen, levels, strict=True)]
        combined = np.ones((1, 1))
        for part in parts:  # the first factor varies fastest
            combined = np.asarray(np.kron(part.coefficients, combined), dtype=np.float64)
        places = np.indices([len(part.names) for part in reversed(parts)]).reshape(len(parts), -1)[::-1]
        columns = {
            name: [part.names[i].format(_sign(means)) for i in place]
            for name, part, place in zip(names, parts, places.tolist(), strict=True)
        }
        blocks.append(_spread(combined, own[order], len(means)))
        labels.append(_labelled(columns, rows, by))
    found = Contrasts(combined, (), "none")
    return _compared(means, np.vstack(blocks), pd.concat(labels, ignore_index=True), by, found, adjust)


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
