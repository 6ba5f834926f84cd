"""The same model with something changed: its formula, its data or its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import Control
from mixedfx.formula import Formula, update
from mixedfx.matrices import Design
from mixedfx.matrices.frame import Frame, as_frame
from mixedfx.models.inputs import ModelInputs

__all__ = ["Changed", "changed", "with_note"]

SHOWN = 5  # labels of rows that a note lists


@dataclass(frozen=True)
class Changed:
    """What the changed model is made from.

    Attributes
    ----------
    formula : Formula
    frame : Frame
    options : dict
        Keyword arguments of the model.
    asked : dict
        Keyword arguments of ``fit``.
    """

    formula: Formula
    frame: Frame
    options: dict[str, Any]
    asked: dict[str, Any]


def changed(
    old: Formula,
    inputs: ModelInputs | None,
    asked: Mapping[str, Any],
    formula: str | None,
    data: Any,
    changes: Mapping[str, Any],
) -> Changed:
    """Return the changed arguments of a model.

    Parameters
    ----------
    old : Formula
        The formula of the fit.
    inputs : ModelInputs or None
        What its model was made from; None if it was a refit.
    asked : mapping
        What its ``fit`` was asked for.
    formula : str or None
        The change, as R writes it.
    data : data frame or None
        Other data.
    changes : mapping
        Other keyword arguments.
    """
    if inputs is None:
        raise SpecificationError("a refit has no data of its own: update the fit that it was made from")
    known = [*inputs.options, *asked]
    unknown = [name for name in changes if name not in known]
    if unknown:
        raise TypeError(f"update has no argument {unknown[0]!r}; choose from formula, data, {', '.join(known)}")
    options = {name: changes.get(name, value) for name, value in inputs.options.items()}
    fit_options = {name: changes.get(name, value) for name, value in asked.items()}
    frame = inputs.source if data is None else as_frame(data)
    if data is not None:
        _check_arrays(inputs.options, changes)
    functions = options["functions"] or {}
    new = old if formula is None else update(old, formula, columns=_names(inputs, frame), functions=functions)
    _check_kept(new, inputs, frame)
    if new.random != old.random and "control" not in changes and isinstance(fit_options.get("control"), Control):
        fit_options["control"] = replace(fit_options["control"], start=None)  # starting values of other parameters
    return Changed(new, frame, options, fit_options)


def with_note(design: Design, before: Design) -> Design:
    """Return ``design`` with a note on the rows that only one of it and ``before``, of the same data, uses."""
    n = before.n_rows + before.n_dropped
    old = np.ones(n, dtype=bool) if before.keep is None else before.keep
    new = np.ones(n, dtype=bool) if design.keep is None else design.keep
    parts = []
    for what, rows in (("no longer used", old & ~new), ("used anew", new & ~old)):
        if rows.any():
            labels = _labels(design, before, rows)
            parts.append(f"{int(rows.sum())} {'row is' if rows.sum() == 1 else 'rows are'} {what} ({labels})")
    if not parts:
        return design
    note = f"the rows differ from those of the fit that was updated: {'; '.join(parts)}"
    return replace(design, notes=(*design.notes, note))


def _labels(design: Design, before: Design, rows: Any) -> str:
    """Labels of the first of ``rows``; each is in one of the two designs."""
    of: dict[int, Any] = {}
    for used_design in (design, before):
        used = np.arange(rows.size) if used_design.keep is None else np.flatnonzero(used_design.keep)
        of |= dict(zip(used.tolist(), used_design.index.tolist(), strict=True))
    places = np.flatnonzero(rows)
    return ", ".join(str(of[k]) for k in places[:SHOWN].tolist()) + (", …" if places.size > SHOWN else "")


def _names(inputs: ModelInputs, frame: Frame) -> tuple[str, ...] | None:
    """Columns that the formula may name; None for a loaded fit, which kept only the columns of its model."""
    return None if frame is inputs.frame else frame.names


def _check_kept(formula: Formula, inputs: ModelInputs, frame: Frame) -> None:
    if frame is not inputs.frame:
        return
    lost = [name for name in formula.variables if name not in frame]
    if lost:
        raise SpecificationError(
            f"the fit was loaded and kept only the columns that it used ({', '.join(frame.names)}): "
            f"to use {lost[0]!r}, give the data again with data="
        )


def _check_arrays(options: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    for name in ("weights", "offset"):
        if options[name] is not None and not isinstance(options[name], str) and name not in changes:
            raise SpecificationError(
                f"{name} was an array, one value for each row of the data of the fit: give {name}= for the other data "
                f"too (or {name}=None)"
            )
